/* rt.h - the gRPC server of omend as its main sees it: options, start, drain, stop, figures.
 * Depends on: omen.h, metrics.h, observe.h, slog.h, tls.h.  Threads: start and stop by one thread; the
 * rest any. Order of a clean stop: om_rt_set_serving(false), wait for load balancers, om_rt_drain,
 * om_rt_stop. Block the signals that main waits for before om_rt_start: it starts threads.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RT_H
#define OM_RT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access.h"
#include "metrics.h"
#include "observe.h"
#include "omen.h"
#include "slog.h"
#include "tls.h"

typedef struct om_rt om_rt;

/* Options: zero means the default in brackets. What is pointed to is borrowed until om_rt_free. */
typedef struct om_rt_options {
    omen_db *db;
    omen_runtime *runtime;  /* NULL: streams do not look at memory                              */
    const char *backup_dir; /* NULL: no backups                                                 */
    bool persistent;        /* db is on disk                                                    */
    uint32_t durability;    /* OMEN_DURABILITY_* of new collections that name none              */
    om_metrics *metrics; /* NULL: nothing is counted                                             */
    om_slog *log;        /* NULL: silence                                                        */
    const om_observe *observe; /* NULL: slow calls go to nowhere, no recall is measured          */
    om_tls *tls;       /* NULL: plain text                                                     */
    om_access *access; /* NULL: nothing is asked of callers                                    */
    const char *const
        *listen; /* "127.0.0.1:7070", "[::1]:0", "unix:/run/omend.sock"                  */
    size_t listen_count;
    /* The listener cannot accept any more (file descriptors ran out: the transport never recovers).
     * The process should drain and exit with a failure, so that its supervisor restarts it. Called at
     * most once, by any thread. NULL: only logged. */
    void (*fatal)(void *ctx, const char *why);
    void *fatal_ctx;
    uint32_t cq_threads; /* [clamp(cores / 4, 2, 4)] at least 2                                */
    uint32_t search_threads; /* [cores]                                                           */
    uint32_t ingest_threads; /* [clamp(cores, 2, 8)]                                              */
    uint32_t search_queue;   /* searches that may wait [64 * search_threads]                      */
    uint32_t max_in_flight;  /* calls [4096]                                                      */
    uint32_t max_streams;    /* concurrent streams a connection [128]                             */
    uint32_t
        max_message_bytes; /* [16 MiB]                                                          */
    uint32_t
        max_metadata_bytes; /* [16 KiB]                                                          */
    uint64_t
        stream_window_bytes; /* unacknowledged bytes of a StreamWrite [8 MiB]                     */
    uint64_t
        transport_quota;   /* bytes the transport may buffer [512 MiB]                          */
    uint32_t keepalive_ms; /* [60,000]                                                          */
    uint32_t
        keepalive_timeout_ms; /* [20,000]                                                          */
    uint32_t
        connection_idle_ms; /* [15 minutes]                                                      */
    uint32_t
        connection_age_ms; /* [30 minutes]                                                      */
    uint32_t
        connection_grace_ms; /* after the age, for calls that still run [10 minutes]              */
    uint32_t handshake_ms;   /* [10,000]                                                          */
    uint32_t stalled_call_ms; /* a client's silence that ends a call: [120,000]                   */
    uint32_t max_connections; /* [what descriptors allow, less a reserve]                         */
    uint32_t max_connections_per_address; /* [any number]                                         */
    uint32_t
        max_resets; /* calls a second that a connection may cancel [any number]               */
    uint32_t slow_log_ms; /* calls that took longer go to observe->slow [0: off]               */
    uint64_t
        memory_limit_bytes; /* only told to clients by GetServerInfo                             */
} om_rt_options;

/* Binds, starts the threads and serves. Health says NOT_SERVING until om_rt_set_serving(true).
 * INVALID_ARGUMENT (an address, the TLS material), UNAVAILABLE (address in use), RESOURCE_EXHAUSTED. */
omen_status_t om_rt_start(const om_rt_options *options, om_rt **out, omen_error *err)
    __attribute__((warn_unused_result));
/* The port that listen[i] was bound to: the kernel's choice for port 0; 0 for unix sockets. */
uint16_t om_rt_port(const om_rt *rt, size_t i);
/* What grpc.health.v1 answers, and what Watch streams are told. */
void om_rt_set_serving(om_rt *rt, bool serving);
/* Streams are told Draining and end with UNAVAILABLE after the last acknowledgement; new calls get
 * UNAVAILABLE; running ones go on. Returns at once. */
void om_rt_drain(om_rt *rt, uint32_t grace_ms);
/* Closes the listeners, waits up to grace_ms for the calls, cancels the rest, stops the threads.
 * Call om_rt_drain before. */
void om_rt_stop(om_rt *rt, uint32_t grace_ms);
/* After om_rt_stop. NULL is accepted. */
void om_rt_free(om_rt *rt);

/* A poll; never blocks. */
typedef struct om_rt_stats {
    uint64_t in_flight; /* calls                                                                */
    uint64_t streams;   /* StreamWrite calls                                                    */
    uint64_t
        searches_queued; /* waiting for a worker                                                 */
    uint64_t ingest_queued;
    uint64_t
        oldest_beat_ns; /* CLOCK_MONOTONIC: every queue thread has run since; liveness          */
} om_rt_stats;
void om_rt_get_stats(const om_rt *rt, om_rt_stats *out);
/* Once a second: ends stalled calls, counts connections, drops listings and measures tenants. */
void om_rt_tick(om_rt *rt);
#endif
