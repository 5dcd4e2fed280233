/* metrics.h - the metrics of omend: what the rest of the service reports, and the text of /metrics.
 * Every function that reports is wait-free, allocates nothing and accepts a NULL handle (nothing is
 * counted then). Series exist, at 0, from the moment that their method is added.
 * Depends on: omen.h, page.h, registry.h.  Threads: any, but create, add_method and free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METRICS_H
#define OM_METRICS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"
#include "page.h"
#include "registry.h"

typedef struct om_metrics om_metrics;
typedef struct om_metrics_method om_metrics_method;
enum {
    OM_METRICS_MAX_METHODS = 64,
    OM_METRICS_CODES = 17, /* grpc codes 0 .. 16; others count as UNKNOWN (2) */
    OM_METRICS_MAX_COLLECTIONS = 1000,
    OM_METRICS_MAX_TEXT = 16 * 1024 * 1024 /* bytes of a rendered page */
};
/* Why a call was refused before it ran. */
enum {
    OM_SHED_INFLIGHT = 0,
    OM_SHED_QUEUE = 1,
    OM_SHED_DRAINING = 2,
    OM_SHED_MEMORY = 3,
    OM_SHED_DEADLINE = 4,
    OM_SHED_RATE = 5,        /* of the tenant: calls a second */
    OM_SHED_CONCURRENCY = 6, /* of the tenant: calls at once  */
    OM_SHED_QUOTA = 7,       /* of the tenant: rows or bytes  */
    OM_SHED_REASONS = 8
};
/* Why a connection was not let in. */
enum {
    OM_REFUSED_LIMIT = 0,
    OM_REFUSED_ADDRESS = 1,
    OM_REFUSED_DESCRIPTORS = 2,
    OM_REFUSED_REASONS = 3
};
/* Why something that ran was ended: connections (RESETS, MEMORY, TIME), calls (the others). */
enum {
    OM_CUT_RESETS = 0,
    OM_CUT_MEMORY = 1,
    OM_CUT_SLOW_READER = 2,
    OM_CUT_SLOW_WRITER = 3,
    OM_CUT_ANSWERS = 4, /* answers that nobody takes hold as much as may be */
    OM_CUT_TIME = 5,
    OM_CUT_REASONS = 6
};
/* Why a caller was not let in, and which files of keys there are. */
enum {
    OM_AUTH_MISSING = 0,
    OM_AUTH_INVALID = 1,
    OM_AUTH_EXPIRED = 2,
    OM_AUTH_REVOKED = 3,
    OM_AUTH_REASONS = 4
};
enum { OM_AUTH_FILE_BOOTSTRAP = 0, OM_AUTH_FILE_JWT = 1, OM_AUTH_FILES = 2 };
/* Maintenance operations, by the numbers of omen.v1.Operation.Kind. */
enum { OM_MAINTENANCE_KINDS = 6 };
typedef struct om_metrics_maintenance_event {
    uint32_t kind;
    bool ok, cancelled;
    uint64_t ns;
} om_metrics_maintenance_event;
/* Why an ingest stream waited. */
enum { OM_STALL_MEMORY = 0, OM_STALL_BACKLOG = 1, OM_STALL_WINDOW = 2, OM_STALL_REASONS = 3 };

typedef struct om_metrics_options {
    uint32_t top_collections; /* collections with a label of their own; the rest is "_other" */
    omen_runtime *runtime;    /* NULL: no memory series; must outlive the metrics */
    omen_db *db;              /* NULL: no collection series; must outlive the metrics */
    const char *data_dir;     /* NULL: no size of a disk; must outlive the metrics */
} om_metrics_options;
om_metrics *om_metrics_create(const om_metrics_options *options); /* NULL: no memory */
void om_metrics_free(om_metrics *m);
/* Points the scrape at an engine that was made later (both may be NULL: away from it). */
void om_metrics_attach(om_metrics *m, omen_runtime *runtime, omen_db *db);

/* Metrics of other parts: families and their series, made (at 0) before there is traffic; name and help must
 * live as long as the metrics. Reporting to -1, to OM_CELL_NONE and to NULL metrics does nothing. */
int om_metrics_family(om_metrics *m, uint32_t type, const char *name, const char *help);
om_cell_t om_metrics_series(om_metrics *m, int family, const char *labels);
void om_metrics_add(om_metrics *m, om_cell_t cell, uint64_t n);
void om_metrics_set(om_metrics *m, om_cell_t cell, double value);
void om_metrics_observe(om_metrics *m, om_cell_t histogram, uint64_t ns);

/* What is put onto the page at each scrape, e.g. series with the label of a collection: `labelled` says which
 * collections have one. Runs with the mutex of the metrics held: it must not call them. */
typedef struct om_metrics_labelled {
    const char (*names)[OMEN_MAX_NAME + 1]; /* in order */
    size_t count;
} om_metrics_labelled;
bool om_metrics_has_label(const om_metrics_labelled *labelled, const char *collection);
typedef void (*om_metrics_put_fn)(void *ctx, om_page *page, const om_metrics_labelled *labelled);
enum { OM_METRICS_SOURCES = 8 };
/* False: there are too many. put NULL takes those of ctx away; none of them runs any more then. */
bool om_metrics_source(om_metrics *m, om_metrics_put_fn put, void *ctx);

/* gRPC: one handle a method, e.g. ("omen.v1.Items", "Search"), asked for once before serving. The
 * strings are copied. NULL when more than OM_METRICS_MAX_METHODS are added. */
om_metrics_method *om_metrics_add_method(om_metrics *m, const char *service, const char *method);
void om_metrics_rpc_started(om_metrics_method *method);
/* Exactly once for each started: its code, and the time since started. */
void om_metrics_rpc_handled(om_metrics_method *method, uint32_t code, uint64_t ns);
void om_metrics_rpc_received(om_metrics_method *method, uint64_t bytes); /* each message */
void om_metrics_rpc_sent(om_metrics_method *method, uint64_t bytes);
void om_metrics_rpc_shed(om_metrics *m, uint32_t why); /* OM_SHED_* */
void om_metrics_rpc_unimplemented(om_metrics *m);      /* an unknown method was called */
void om_metrics_accept_failure(om_metrics *m);
void om_metrics_refused(om_metrics *m, uint32_t why); /* OM_REFUSED_*: a connection */
void om_metrics_cut(om_metrics *m, uint32_t why);     /* OM_CUT_* */
void om_metrics_connections(om_metrics *m, uint64_t open);
void om_metrics_answer_bytes(om_metrics *m, uint64_t bytes); /* that peers have not taken yet */
void om_metrics_queue_wait(om_metrics *m, uint64_t ns); /* from submit to a search worker's start */

typedef struct om_metrics_search_event {
    uint32_t plan;      /* OMEN_PLAN_* */
    uint32_t flags;     /* OM_SEARCH_* */
    uint64_t ns;        /* in the engine, without the queue */
    uint64_t distances; /* omen_explain.distances + scanned + reranked */
    uint64_t hops;
    uint64_t filter_ns; /* with OM_SEARCH_FILTERED */
    uint64_t postings;
} om_metrics_search_event;
enum {
    OM_SEARCH_SHORT = 1u,   /* fewer than min(k, items that pass) results */
    OM_SEARCH_PARTIAL = 2u, /* cut by its deadline */
    OM_SEARCH_FILTERED = 4u
};
void om_metrics_search(om_metrics *m, const om_metrics_search_event *event); /* one query */
/* A filter was refused: detail is OMEN_D_*. */
void om_metrics_filter_error(om_metrics *m, int32_t detail);

void om_metrics_ingest_batch(om_metrics *m, uint64_t rows, uint64_t bytes, bool replayed);
void om_metrics_ingest_commit(om_metrics *m,
                              uint64_t ns); /* a batch in the engine, its sync included */
/* A batch is seen by every search, this long after its bytes arrived. */
void om_metrics_ingest_visible(om_metrics *m, uint64_t ns);
void om_metrics_ingest_streams(om_metrics *m, int64_t delta);      /* +1 opened, -1 closed */
void om_metrics_ingest_window_bytes(om_metrics *m, int64_t delta); /* received, not yet acked */
void om_metrics_ingest_stall(om_metrics *m, uint32_t why, uint64_t ns); /* OM_STALL_* */

void om_metrics_maintenance_started(om_metrics *m, uint32_t kind);
void om_metrics_maintenance_ended(om_metrics *m, const om_metrics_maintenance_event *event);
/* A backup that was there at the start: when it was made. */
void om_metrics_backup_found(om_metrics *m, int64_t unix_ms);
/* The state of the attached database. False: there is none. */
bool om_metrics_database(om_metrics *m, omen_db_stats *out);

/* An answer or an operation failed on damaged bytes. */
void om_metrics_checksum_failure(om_metrics *m);
void om_metrics_slow_call(om_metrics *m);
/* Age of the oldest write that is not durable, and of the oldest that waits for the graph. */
void om_metrics_lags(om_metrics *m, double durable_s, double index_s);

void om_metrics_tls_reload(om_metrics *m, bool ok);
void om_metrics_tls_expiry(om_metrics *m, int64_t unix_seconds); /* of the leaf in use; 0: no TLS */
void om_metrics_auth_failure(om_metrics *m, uint32_t why);       /* OM_AUTH_*: UNAUTHENTICATED */
void om_metrics_auth_denied(om_metrics *m);                      /* PERMISSION_DENIED */
void om_metrics_auth_lookup(om_metrics *m); /* a credential was not in the cache */
void om_metrics_auth_reload(om_metrics *m, uint32_t file, bool ok); /* OM_AUTH_FILE_* */
void om_metrics_auth_keys(om_metrics *m, uint64_t count);           /* in force */
void om_metrics_audit_failure(om_metrics *m); /* a line of the audit log was lost */
void om_metrics_startup_seconds(om_metrics *m, double seconds);
void om_metrics_ready(om_metrics *m, bool ready);
/* Work that waits: searches for a worker, batches for theirs. */
void om_metrics_queues(om_metrics *m, uint64_t searches, uint64_t ingest);
void om_metrics_log_counts(om_metrics *m, uint64_t suppressed, uint64_t failed);

/* Sums of what was reported, and what engine, allocator and kernel say now. Histograms: counts of the buckets
 * of registry.h, not cumulative, the last beyond all bounds. */
typedef struct om_metrics_totals {
    uint64_t calls, errors, refused, received_bytes, sent_bytes;
    uint64_t searches, filtered, short_results, partial, distances, hops;
    uint64_t batches, rows, bytes;
    uint64_t search[OM_HISTOGRAM_BOUNDS + 1], queue[OM_HISTOGRAM_BOUNDS + 1];
    uint64_t commit[OM_HISTOGRAM_BOUNDS + 1], visible[OM_HISTOGRAM_BOUNDS + 1];
    uint64_t window_bytes, maintenance; /* gauges: bytes that wait; operations that run */
    uint64_t cpu_ns, resident_bytes, heap_bytes;
    omen_runtime_stats runtime; /* zero without one */
    omen_db_stats db;           /* likewise */
} om_metrics_totals;
void om_metrics_read(om_metrics *m, om_metrics_totals *out);
/* Sums over all collections; false: there is no database. */
typedef struct om_metrics_sum {
    uint64_t collections, items, rows, unindexed, segments;
    uint64_t
        indexed_version; /* of those with more than OM_METRICS_BACKLOG rows that wait: the lowest;
                                 UINT64_MAX: there are none */
} om_metrics_sum;
enum { OM_METRICS_BACKLOG = 2048 }; /* fewer wait on purpose, for a whole micro-batch */
bool om_metrics_sum_collections(om_metrics *m, om_metrics_sum *out);

/* The page: Prometheus text format 0.0.4, allocated with malloc; the caller frees it. Collects from
 * engine, allocator and kernel. NULL: no memory, or longer than OM_METRICS_MAX_TEXT. */
char *om_metrics_render(om_metrics *m, size_t *length);
#endif
