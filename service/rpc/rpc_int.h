/* rpc_int.h - inside of the gRPC adapter: queues, tags, calls. Only service/rpc includes it.
 * Locks: om_rt.list_mutex, om_queue.free_mutex; neither is held while another is taken or while a
 * method runs.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RPC_INT_H
#define OM_RPC_INT_H
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>
#include <stdatomic.h>

#include "rpc.h"
#include "rt_shared.h"

enum {
    RPC_ROOM = 2048,      /* first arena bytes of a call, inside it              */
    RPC_STATE = 384,      /* method state that needs no memory of its own        */
    RPC_REQUEST_ID = 36,  /* longest x-request-id that is accepted               */
    RPC_TRACE_ID = 32,    /* hex digits of a trace                               */
    RPC_FREE_KEPT = 1024, /* idle call objects kept by a queue                   */
    RPC_SLOTS = 4,        /* requests waiting for a call, per method and queue   */
    RPC_SLOTS_HOT = 16,
    /* Calls of health at once, and its streams: both apart from the limit of the others, so that neither
     * takes the places of what has a credential, nor streams, which may stay for ever, those of probes. */
    RPC_QUIET_MAX = 512,
    RPC_WATCHES_MAX = 512,
    RPC_HURRIED_MS =
        5000, /* for what was refused to be taken, and calls without credential to come */
    RPC_UNSENT_FEW = 64,    /* answers on their way; beyond that it is noted for whom they are */
    RPC_UNSENT_MANY = 1024, /* beyond that it is looked who does not take them ...  */
    RPC_UNSENT_LOOK = 256,  /* ... with every so many new calls                     */
    RPC_UNSENT_MAX = 16384, /* beyond that whoever does not take RPC_UNSENT_LEAST is cut */
    RPC_UNSENT_LEAST = 32,
    RPC_LARGE = 16 << 10 /* bytes of an answer from which on it is counted                 */
};

/* What comes back from a completion queue. hb carries happens-before in our own code: the transport is
 * not instrumented, so a race detector would not see the hand-over through it. */
typedef struct om_tag {
    void (*fn)(om_rpc *rpc, bool ok);
    om_rpc *rpc;
    _Atomic uint32_t hb;
} om_tag;

typedef struct om_queue {
    om_rt *rt;
    grpc_completion_queue *cq;
    pthread_t thread;
    _Atomic uint64_t beat_ns;
    _Atomic uint64_t events;        /* that came back, ever; its thread writes it     */
    uint64_t seen_events, seen_cpu; /* at the last tick: om_rpc_watch_transport's own */
    _Atomic uint32_t live;          /* calls that run on this queue */
    pthread_mutex_t free_mutex;
    om_rpc *free_list; /* guarded by free_mutex, as the next two */
    uint32_t free_count;
    om_rpc *calls; /* all of this queue, waiting slots included, by watch_next */
} om_queue;

typedef struct om_tls_port {
    om_rt *rt;
    uint64_t seen; /* generation of the material that this listener has */
} om_tls_port;

struct om_rt {
    om_rt_shared shared; /* first: om_rt_shared_of */
    grpc_server *server;
    om_queue queue[OM_RT_MAX_CQ];
    uint32_t queue_count;
    void **registered;           /* per method: the core's handle */
    om_metrics_method **metrics; /* per method                    */
    uint16_t *ports;
    om_tls_port *tls_ports;
    pthread_mutex_t list_mutex;
    om_rpc *streams;                 /* calls of streaming methods, guarded by list_mutex */
    _Atomic uint64_t in_flight;      /* calls that are not quiet */
    _Atomic uint64_t quiet, watches; /* calls of health, and its streams: counted apart */
    _Atomic uint64_t refused;        /* calls that were given to no method */
    _Atomic uint64_t unsent;         /* answers that the transport still has, of all calls */
    _Atomic uint64_t looks;          /* calls that came while there were many of them */
    _Atomic uint64_t allocated;      /* call objects in use, waiting slots included */
    om_access *own_access;           /* made here, since none was given */
    _Atomic bool failed;             /* fatal was told */
    _Atomic bool down;               /* the server's shutdown is complete */
    uint32_t idle_burns; /* ticks in a row that cost time and brought nothing: rpc_transport.c */
    om_tag down_tag;
};

struct om_rpc {
    om_queue *queue;
    om_rt *rt;
    uint32_t index; /* of the method; om_rpc_method_count: unknown ones */
    const om_rpc_impl *impl;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_call_details details; /* unknown methods only */
    om_tag t_new, t_close, t_read, t_write, t_status, t_post;
    _Atomic uint32_t pending; /* outstanding tags and holds */
    _Atomic bool cancelled, finished, post_due;
    _Atomic bool refused;         /* without a method having seen it */
    _Atomic uint32_t peer_key;    /* of who does not take the answer; 0: not noted */
    _Atomic uint32_t address_key; /* of a stream of health: from where; 0: it is none */
    _Atomic uint64_t *place;      /* where it is counted; NULL: not admitted */
    int close_cancelled;
    bool listed, drain_told, single_seen;
    bool initial_sent; /* by whoever sends */
    grpc_byte_buffer *received, *sent_message, *sent_final;
    grpc_metadata initial[1];
    grpc_metadata trailing[1];
    grpc_slice status_text, status_details;
    const om_principal *principal; /* held; NULL: not identified        */
    const om_principal
        *renewed;      /* held; of a stream whose token was verified again; NULL: it was not */
    om_tenant *tenant; /* was entered; NULL: it was not     */
    /* The header of that name, where the transport keeps it as long as the call. */
    const char *authorization;
    size_t authorization_size;
    uint64_t deadline_ns, started_ns, queue_ns, engine_ns;
    uint64_t answered_ns; /* when the end was handed to the transport; 0: it was not */
    _Atomic uint64_t bytes_in, bytes_out;
    /* Since when the client is waited for: to send its first message, to take what is sent to it. 0:
     * it is not. In time of the queue's beat; looked at by om_rpc_watch. */
    _Atomic uint64_t reading_ns, sending_ns;
    /* Bytes of large answers and of messages that the call holds, as it is seen from outside. */
    _Atomic uint64_t held;
    size_t write_large, final_large; /* bytes counted in om_rt.shared.answer_bytes */
    uint32_t code;
    char request_id[RPC_REQUEST_ID + 1];
    char trace_id[RPC_TRACE_ID + 1]; /* of a traceparent, "": none */
    om_slow_search search;           /* for the slow log */
    char collection[OMEN_MAX_NAME + 1];
    char why[128]; /* of a failure, for the slow log */
    om_rpc *prev, *next;
    om_rpc *watch_prev, *watch_next;
    void *state;
    om_arena arena;
    /* What follows is not cleared between calls. */
    omen_op *op;
    bool op_dirty;
    _Alignas(16) uint8_t state_room[RPC_STATE];
    _Alignas(64) uint8_t room[RPC_ROOM];
};

/* rpc_call.c */
void om_rpc_listen(om_queue *queue, uint32_t method);
void om_rpc_event(om_tag *tag, bool ok);
void om_rpc_start_tag(om_rpc *rpc, om_tag *tag, const grpc_op *ops, size_t count);
void om_rpc_wake_streams(om_rt *rt);
void om_queue_free_calls(om_queue *queue);

/* rpc_send.c */
void om_rpc_on_written(om_rpc *rpc, bool ok);
void om_rpc_on_status(om_rpc *rpc, bool ok);
void om_rpc_account(om_rpc *rpc);

/* rpc_auth.c */
/* Who calls, whether this method is for them, and whether their tenant has room: false: *f. */
bool om_rpc_authorize(om_rpc *rpc, om_failure *f);
/* Whether the caller of a stream is still good; identifies again where that helps. False: *f. */
bool om_rpc_still(om_rpc *rpc, om_failure *f);
void om_rpc_leave(om_rpc *rpc); /* gives back what authorize took */
/* Holds a call that is listed, unless its last hold is gone. */
static inline bool om_rpc_try_hold(om_rpc *rpc)
{
    uint32_t pending = atomic_load_explicit(&rpc->pending, memory_order_relaxed);
    while (pending != 0) {
        if (atomic_compare_exchange_weak_explicit(&rpc->pending, &pending, pending + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}
/* rpc_watch.c: the queue's free_mutex is held by whoever calls the first two. */
void om_rpc_watch_add(om_rpc *rpc);
void om_rpc_watch_remove(om_rpc *rpc);
static inline void om_rpc_wait_begins(_Atomic uint64_t *since, const om_rpc *rpc)
{
    uint64_t now = atomic_load_explicit(&rpc->queue->beat_ns, memory_order_relaxed);
    atomic_store_explicit(since, now, memory_order_relaxed);
}
static inline void om_rpc_wait_ends(_Atomic uint64_t *since)
{
    atomic_store_explicit(since, 0, memory_order_relaxed);
}
/* Ends calls whose client has kept them waiting for too long. */
void om_rpc_watch(om_rt *rt, uint64_t now_ns);
/* Ends the call of health that has waited longest for its message, to make room. False: none waits. */
bool om_rpc_end_silent(om_rt *rt);
/* From where a stream of health comes. */
void om_rpc_note_address(om_rpc *rpc);
/* Ends a stream of health of the address that has most, when that is more than rpc has. False: not. */
bool om_rpc_end_watch(om_rpc *rpc);
/* An answer was handed to the transport: until om_rpc_wait_ends, and minus one in unsent. */
void om_rpc_answer_begins(om_rpc *rpc);
/* Cuts connections that open calls and do not take their answers. */
void om_rpc_cut_unsent(om_rt *rt);
/* The call was cancelled by its client: a connection that does so too often is cut. */
void om_rpc_note_reset(om_rpc *rpc, uint64_t now_ns);

/* rpc_transport.c: what attackers cost inside the transport, where no call is to be seen. */
void om_rpc_watch_transport(om_rt *rt);

/* rpc_trace.c: credential, request and trace of a call, and what is kept of slow ones. */
void om_rpc_take_headers(om_rpc *rpc);
/* An id for a call whose client gave none: enough to find it in the log. */
void om_rpc_need_id(om_rpc *rpc);
void om_rpc_slow(om_rpc *rpc, uint32_t code, uint64_t total_ns);
/* A line in the log for what is a fault of the server (INTERNAL, UNKNOWN, DATA_LOSS); else nothing. */
void om_rpc_log_fault(const om_rpc *rpc, const om_failure *f);

/* rpc_creds.c: NULL: *err says why. */
grpc_server_credentials *om_rpc_credentials(om_rt *rt, size_t port);

/* rpc_log.c */
void om_rpc_log_install(om_rt *rt);
void om_rpc_log_remove(om_rt *rt);
#endif
