/* op.h - progress and cancellation of one running call (omen_op), and its deadline.
 * Depends on: base.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_OP_H
#define OM_OP_H
#include <stdatomic.h>

#include "alloc.h"
#include "base.h"

struct omen_op {
    _Atomic uint32_t cancelled;
    _Atomic uint32_t stage;
    _Atomic uint64_t done;
    _Atomic uint64_t total;
    uint64_t magic; /* handle check of capi */
};

/* What a long loop asks every few hundred distances. deadline_ns 0: none. */
typedef struct om_stop {
    const omen_op *op; /* NULL: cannot be cancelled                          */
    uint64_t deadline_ns;
} om_stop;
/* OMEN_OK, OMEN_CANCELLED or OMEN_DEADLINE_EXCEEDED (no error text). */
omen_status_t om_stop_check(const om_stop *stop);
void om_op_report(omen_op *op, uint32_t stage, uint64_t done, uint64_t total); /* op may be NULL */

/* Monotonic nanoseconds. */
uint64_t om_now_ns(void);
#endif
