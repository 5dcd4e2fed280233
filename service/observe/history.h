/* history.h - what the server did in each of the last 15 minutes' seconds, for the console: a ring of
 * samples, taken once a second by a thread of its own (observe.h).
 * Depends on: metrics.h.  Threads: tick: one; the rest any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_HISTORY_H
#define OM_HISTORY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"

enum { OM_HISTORY_SECONDS = 900 };

/* Latencies are quantiles of the span, read out of buckets (2 to 2.5 times apart) by a straight line within
 * one, in ns; 0: nothing was measured. */
typedef struct om_quantiles {
    uint64_t p50, p95, p99;
} om_quantiles;

typedef struct om_history_sample {
    int64_t unix_ms;   /* its end */
    uint32_t span_ms;  /* since the sample before; about 1000: divide by it for rates */
    uint32_t db_state; /* OMEN_DB_* */
    /* What happened in the span. */
    uint64_t calls, errors, refused; /* ended; neither OK nor CANCELLED; refused before they ran */
    uint64_t searches, filtered;     /* queries; of these with a filter */
    uint64_t short_results, partial; /* queries with too few results; cut by their deadline */
    uint64_t distances, hops;
    uint64_t batches, rows, bytes; /* applied */
    uint64_t received_bytes, sent_bytes;
    uint64_t log_bytes, log_syncs; /* written to the log; its syncs */
    uint64_t cpu_ns;               /* of the process, all threads */
    uint64_t seals, merges, checkpoints;
    om_quantiles search, queue; /* queries in the engine; how long they waited for a worker */
    om_quantiles commit, visible,
        fsync; /* batches in the engine; from arrival until seen; the log */
    /* How things are at its end. */
    uint64_t in_flight, streams, searches_queued, ingest_queued, window_bytes;
    /* Of all collections; looked at every second, or every ten when that takes long. */
    uint64_t collections, items, rows_stored, unindexed, segments;
    uint64_t memory_used, memory_budget; /* budget 0: none */
    uint64_t resident_bytes, heap_bytes; /* heap 0: not known */
    uint64_t log_kept_bytes, segment_bytes, disk_free_bytes;
    uint64_t version, durable_version;
    uint64_t durable_lag_ms, index_lag_ms;
    uint32_t maintenance; /* operations that run */
    /* Of the collection and plan whose estimate is lowest; -1: none is known. */
    float recall, recall_low;
} om_history_sample;

/* What only the transport knows; asked for once a sample. */
typedef struct om_history_gauges {
    uint64_t in_flight, streams, searches_queued, ingest_queued;
} om_history_gauges;
typedef void (*om_history_look)(void *ctx, om_history_gauges *out);

typedef struct om_history om_history;
typedef struct om_history_options {
    om_metrics *metrics;
    struct om_recall *recall; /* NULL: no estimates */
    uint64_t (*now_ns)(void); /* NULL: CLOCK_MONOTONIC; tests replace both */
    int64_t (*wall_ms)(void); /* NULL: CLOCK_REALTIME */
} om_history_options;
om_history *om_history_create(const om_history_options *options); /* NULL: no memory */
void om_history_free(om_history *history);
/* Where the gauges come from; look NULL: from nowhere (before it returns the former one is not running). */
void om_history_attach(om_history *history, om_history_look look, void *ctx);
/* Takes a sample; the first call only looks. About once a second. */
void om_history_tick(om_history *history);
/* The newest `capacity` samples whose unix_ms is above `after`, oldest first; returns their number. NULL
 * history: 0. */
size_t om_history_copy(om_history *history, int64_t after, om_history_sample *out, size_t capacity);
/* The newest one; false: there is none yet. */
bool om_history_last(om_history *history, om_history_sample *out);
#endif
