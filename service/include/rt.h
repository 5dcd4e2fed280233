/* rt.h - the gRPC server of omend as its main sees it: options, start, drain, stop, figures.
 * Depends on: omen.h.  Threads: start and stop by one thread; the rest any.
 * Order of a clean stop: om_rt_set_serving(false), wait for load balancers, om_rt_drain, om_rt_stop.
 * Block the signals that main waits for before om_rt_start: it starts threads.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RT_H
#define OM_RT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

typedef struct om_rt om_rt;

/* ---- TLS material: a callback, so that renewed certificates are used without a restart ----------- */
typedef struct om_rt_tls_material {
    const char *chain_pem;     /* server certificate and intermediates, NUL-terminated                */
    const char *key_pem;       /* its private key                                                     */
    const char *client_ca_pem; /* NULL: clients are not asked for a certificate                       */
} om_rt_tls_material;
typedef enum om_rt_tls_result {
    OM_RT_TLS_NEW,       /* *out is set; its strings stay valid until the next call                   */
    OM_RT_TLS_UNCHANGED, /* the material of the call before is still right                            */
    OM_RT_TLS_FAILED     /* unreadable, or key and chain do not match: the old material stays in use  */
} om_rt_tls_result;
/* Called before every handshake, by any thread but never by two at once. The first call, made inside
 * om_rt_start, must return NEW. It must not block for long: handshakes wait for it. */
typedef om_rt_tls_result (*om_rt_tls_fetch_fn)(void *ctx, om_rt_tls_material *out);

/* ---- What the server reports while it runs: any member may be NULL -------------------------------- */
enum { OM_RT_CODES = 17 }; /* gRPC status codes 0 .. 16 */
typedef enum om_rt_stall { OM_RT_STALL_WINDOW, OM_RT_STALL_INDEX, OM_RT_STALL_MEMORY } om_rt_stall;
/* How a call ended. Pointers are valid during the callback only. */
typedef struct om_rt_call_end {
    uint32_t method;         /* 0 .. om_rt_method_count() - 1, or OM_RT_METHOD_UNKNOWN                */
    uint32_t code;           /* gRPC status                                                           */
    uint64_t total_ns;       /* first byte seen to last byte handed to the transport                  */
    uint64_t queue_ns;       /* of it: waiting for a worker                                           */
    uint64_t engine_ns;      /* of it: inside omen.h                                                  */
    uint64_t received_bytes; /* messages                                                              */
    uint64_t sent_bytes;
    const char *request_id;  /* "" when the client sent none                                          */
    const char *peer;        /* "" unless want_peer                                                   */
    const char *collection;  /* "" when not known                                                     */
    const char *message;     /* status text, "" when OK                                               */
} om_rt_call_end;
typedef struct om_rt_search_end {
    const char *collection;
    uint32_t plan; /* OMEN_PLAN_* */
    uint32_t partial;
    uint64_t engine_ns;
    uint64_t distances;
    uint64_t hops;
    uint32_t wanted, found; /* k asked, hits given */
} om_rt_search_end;
typedef struct om_rt_ingest_end {
    const char *collection;
    uint64_t rows, bytes; /* accepted */
    uint64_t refused;
    uint64_t engine_ns;
    bool replayed;
} om_rt_ingest_end;
typedef struct om_rt_hooks {
    void *ctx;
    bool want_peer; /* fill om_rt_call_end.peer (costs an allocation a call) */
    void (*call_started)(void *ctx, uint32_t method);
    void (*call_finished)(void *ctx, const om_rt_call_end *end);
    void (*search_finished)(void *ctx, const om_rt_search_end *end);
    void (*ingest_finished)(void *ctx, const om_rt_ingest_end *end);
    void (*ingest_stalled)(void *ctx, om_rt_stall why, uint64_t ns);
    /* level: OMEN_LOG_*; text is one line. Messages of the transport arrive here too. */
    void (*log)(void *ctx, int32_t level, const char *module, const char *text);
    /* The listener cannot accept any more (file descriptors ran out: the transport never recovers).
     * The process should drain and exit with a failure, so that its supervisor restarts it. */
    void (*fatal)(void *ctx, const char *why);
} om_rt_hooks;

#define OM_RT_METHOD_UNKNOWN UINT32_MAX
/* The methods in a fixed order, for labels: service "omen.v1.Items", name "Search". */
uint32_t om_rt_method_count(void);
const char *om_rt_method_service(uint32_t method);
const char *om_rt_method_name(uint32_t method);

/* ---- Options: zero means the default in brackets --------------------------------------------------- */
typedef struct om_rt_options {
    omen_runtime *runtime; /* borrowed until om_rt_free; for GetServerInfo                               */
    omen_db *db;           /* borrowed until om_rt_free                                                  */
    const char *const *listen; /* "127.0.0.1:7070", "[::1]:0", "unix:/run/omend.sock"                  */
    size_t listen_count;
    om_rt_tls_fetch_fn tls_fetch; /* NULL: plain text                                                  */
    void *tls_ctx;
    bool tls_require_client; /* mTLS: a verified client certificate is required                         */
    const om_rt_hooks *hooks;      /* NULL: none; borrowed until om_rt_free                              */
    uint32_t cq_threads;           /* [clamp(cores / 4, 2, 4)] at least 2                                */
    uint32_t search_threads;       /* [cores]                                                           */
    uint32_t ingest_threads;       /* [clamp(cores, 2, 8)]                                              */
    uint32_t search_queue;         /* searches that may wait [64 * search_threads]                      */
    uint32_t max_in_flight;        /* calls [4096]                                                      */
    uint32_t max_streams;          /* concurrent streams a connection [128]                             */
    uint32_t max_message_bytes;    /* [16 MiB]                                                          */
    uint32_t max_metadata_bytes;   /* [16 KiB]                                                          */
    uint64_t stream_window_bytes;  /* unacknowledged bytes of a StreamWrite [8 MiB]                     */
    uint64_t transport_quota;      /* bytes the transport may buffer [512 MiB]                          */
    uint32_t keepalive_ms;         /* [60,000]                                                          */
    uint32_t keepalive_timeout_ms; /* [20,000]                                                          */
    uint32_t connection_idle_ms;   /* [15 minutes]                                                      */
    uint32_t connection_age_ms;    /* [30 minutes]                                                      */
    uint32_t connection_grace_ms;  /* after the age, for calls that still run [10 minutes]              */
    uint32_t handshake_ms;         /* [10,000]                                                          */
    uint64_t memory_limit_bytes;   /* only told to clients by GetServerInfo                             */
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

/* A poll for gauges; never blocks. */
typedef struct om_rt_stats {
    uint64_t in_flight;           /* calls                                                             */
    uint64_t streams;             /* StreamWrite calls                                                 */
    uint64_t stream_bytes;        /* of them: received and not yet applied                             */
    uint64_t searches_queued;     /* waiting for a worker                                              */
    uint64_t searches_running;
    uint64_t ingest_queued;
    uint64_t shed;                /* calls refused because a queue or limit was full                   */
    uint64_t expired;             /* calls dropped from a queue because their deadline had passed      */
    uint64_t tls_reloads, tls_failures;
    uint64_t loop_beats;          /* grows while every queue thread is alive: the liveness signal      */
} om_rt_stats;
void om_rt_get_stats(const om_rt *rt, om_rt_stats *out);
#endif
