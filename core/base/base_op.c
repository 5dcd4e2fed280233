/* base_op.c - cancellation, deadlines and progress of running calls. SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "op.h"

uint64_t om_now_ns(void)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    om_assert(failed == 0);
    (void)failed;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

omen_status_t om_stop_check(const om_stop *stop)
{
    /* Relaxed: the flag carries no data, it only has to be seen some time. */
    if (stop->op != NULL && atomic_load_explicit(&stop->op->cancelled, memory_order_relaxed) != 0) {
        return OMEN_CANCELLED;
    }
    if (stop->deadline_ns != 0 && om_now_ns() >= stop->deadline_ns) {
        return OMEN_DEADLINE_EXCEEDED;
    }
    return OMEN_OK;
}

void om_op_report(omen_op *op, uint32_t stage, uint64_t done, uint64_t total)
{
    if (op == NULL) {
        return;
    }
    atomic_store_explicit(&op->stage, stage, memory_order_relaxed);
    atomic_store_explicit(&op->total, total, memory_order_relaxed);
    atomic_store_explicit(&op->done, done, memory_order_relaxed);
}
