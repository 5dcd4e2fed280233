/* metrics_int.h - what the files of the metrics share.
 * Depends on: metrics.h, registry.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METRICS_INT_H
#define OM_METRICS_INT_H
#include <pthread.h>

#include "metrics.h"
#include "registry.h"

enum { OM_PLANS = 9, /* OMEN_PLAN_EXACT .. OMEN_PLAN_HYBRID */ OM_FILTER_ERRORS = 5 };

struct om_metrics_method {
    om_registry *registry;
    om_cell_t started, handled[OM_METRICS_CODES], seconds, inflight;
    om_cell_t received, received_bytes, sent, sent_bytes;
};

typedef struct om_metrics_families {
    int started, handled, seconds, inflight, received, received_bytes, sent, sent_bytes;
} om_metrics_families;

/* metrics_limits.c */
typedef struct om_metrics_limits {
    om_cell_t refused[OM_REFUSED_REASONS], cut[OM_CUT_REASONS], connections, answer_bytes;
} om_metrics_limits;

struct om_metrics {
    om_registry *registry;
    pthread_mutex_t mutex; /* guards the making of series, a running scrape, runtime, db, members */
    omen_runtime *runtime;
    omen_db *db;
    om_metrics_families rpc;
    uint32_t method_count;
    om_metrics_method methods[OM_METRICS_MAX_METHODS];
    om_cell_t shed[OM_SHED_REASONS], unimplemented, accept_failures, queue_wait;
    om_cell_t search_seconds[OM_PLANS], search_distances[OM_PLANS], search_hops[OM_PLANS];
    om_cell_t search_short, search_partial, search_postings, filter_seconds;
    om_cell_t filter_errors[OM_FILTER_ERRORS];
    om_cell_t ingest_rows, ingest_bytes, ingest_batches, ingest_replayed, ingest_streams;
    om_cell_t ingest_window, ingest_stall[OM_STALL_REASONS];
    om_cell_t ingest_commit, visible_lag, lags[2]; /* durable, index */
    om_cell_t checksum_failures, slow_calls;
    om_cell_t maintenance_running[OM_MAINTENANCE_KINDS];
    om_cell_t maintenance_seconds[OM_MAINTENANCE_KINDS];
    om_cell_t maintenance_ended[OM_MAINTENANCE_KINDS][3]; /* ok, failed, cancelled */
    om_cell_t backup_success;
    om_cell_t tls_reloads[2], tls_expiry, startup, ready, queues[2];
    om_cell_t log_suppressed, log_failed;
    om_cell_t auth_failures[OM_AUTH_REASONS], auth_denied, auth_lookups, auth_keys, audit_failures;
    om_cell_t auth_reloads[OM_AUTH_FILES][2]; /* failed, ok */
    om_metrics_limits limits;
    /* Collections with a label of their own. Who is in stays in until it is dropped: a series that
     * came and went with its rank would look like a counter that was reset. */
    uint32_t top_collections, member_count;
    char (*members)[OMEN_MAX_NAME + 1]; /* [top_collections], in order after each scrape */
    const char *data_dir;
    struct {
        om_metrics_put_fn put; /* NULL: free */
        void *ctx;
    } sources[OM_METRICS_SOURCES];
};

/* metrics_auth.c */
void om_metrics_add_auth(om_metrics *m);
void om_metrics_add_limits(om_metrics *m);
/* Each puts its families onto the page. The mutex is held. */
void om_metrics_put_build(om_page *page);
void om_metrics_put_database(om_metrics *m, om_page *page);
void om_metrics_put_memory(om_metrics *m, om_page *page, const omen_stats *all);
void om_metrics_put_process(om_page *page);
/* *all: sums over all collections. */
void om_metrics_put_collections(om_metrics *m, om_page *page, omen_stats *all);
void om_metrics_put_u64(om_page *page, const char *name, const char *type, const char *help,
                        uint64_t value);
/* All collections with their figures; the caller frees. NULL: none, or no memory. */
typedef struct om_metrics_entry {
    char name[OMEN_MAX_NAME + 1];
    omen_stats stats;
    uint64_t indexed_version; /* UINT64_MAX: not asked for, since few rows wait */
    bool member;
} om_metrics_entry;
om_metrics_entry *om_metrics_entries(omen_db *db, size_t *count);
/* CPU time and memory of the process. */
uint64_t om_metrics_cpu_ns(void);
uint64_t om_metrics_resident(void);
#endif
