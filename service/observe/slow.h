/* slow.h - calls that took long: a ring of the newest ones, for the console, and a line in the log for
 * each. Nothing here tells what was searched for: no vectors, no filters' texts, only their hashes.
 * Depends on: slog.h, metrics.h.  Threads: any, but create and free.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SLOW_H
#define OM_SLOW_H
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"
#include "omen.h"
#include "slog.h"

enum { OM_SLOW_KEPT = 256, OM_SLOW_PEER = 64, OM_SLOW_PRINCIPAL = 64, OM_SLOW_WHY = 128 };

/* What a search did; all 0 when the call was none, or several (BatchSearch: sums, and the largest k, ef). */
typedef struct om_slow_search {
    uint32_t searches, legs;
    uint32_t k, ef;                  /* ef as used, 0: no graph was walked */
    uint32_t plan;                   /* OMEN_PLAN_* of the last one */
    uint64_t visited, distances;     /* nodes whose links were followed; distances computed */
    uint64_t filter_hash, filter_us; /* 0: no filter */
} om_slow_search;

typedef struct om_slow_call {
    int64_t unix_ms;                                 /* its end */
    const char *service, *method;                    /* static storage */
    uint32_t code;                                   /* of gRPC */
    uint64_t total_us, queue_us, engine_us, send_us; /* send: from the answer to its leaving */
    uint64_t received_bytes, sent_bytes;
    om_slow_search search;
    char request_id[37], trace_id[33]; /* "": none */
    char peer[OM_SLOW_PEER], principal[OM_SLOW_PRINCIPAL];
    char collection[OMEN_MAX_NAME + 1];
    char why[OM_SLOW_WHY]; /* of a failure */
} om_slow_call;

typedef struct om_slow om_slow;
om_slow *om_slow_create(om_metrics *metrics, om_slog *log); /* NULL: no memory */
void om_slow_free(om_slow *slow);
/* Keeps it, counts it and logs it. NULL slow: nothing. */
void om_slow_add(om_slow *slow, const om_slow_call *call);
/* The newest ones, newest first; returns their number. */
size_t om_slow_copy(om_slow *slow, om_slow_call *out, size_t capacity);
#endif
