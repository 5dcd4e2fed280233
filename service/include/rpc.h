/* rpc.h - one call as its method sees it. No gRPC type is visible: the adapter in service/rpc is the
 * only code that knows the transport.
 *
 * A call is an actor: the functions of its om_rpc_impl run on one queue thread, never two at once, so
 * its state needs no lock. Other threads (workers) may use only what says [any]. A worker that was
 * given a call by om_rpc_hold and om_pool_submit may send its answer itself, as long as the actor does
 * not send meanwhile. Everything that is held must be released: a call ends when nothing holds it.
 * Depends on: omen.h, failure.h, guard.h, slow.h, wread.h, pool.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RPC_H
#define OM_RPC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access.h"
#include "failure.h"
#include "guard.h"
#include "omen.h"
#include "slow.h"
#include "wread.h"

typedef struct om_rpc om_rpc;
typedef struct om_rt om_rt;

/* A received message: its bytes where the transport left them. */
typedef struct om_rpc_message {
    const om_span *spans;
    size_t span_count;
    size_t size;
} om_rpc_message;
/* [any] Gives the message back. NULL is accepted. */
void om_rpc_message_free(om_rpc_message *message);

enum {
    OM_RPC_QUIET = 1u, /* health: limits of its own, no tenant, served while draining */
    OM_RPC_HOT = 2u,   /* more request slots */
    OM_RPC_WAITS = 4u  /* answers when something else has happened: never a slow call */
};
typedef struct om_rpc_impl {
    uint32_t flags;
    uint32_t verb; /* OM_VERB_*: what a caller must be allowed; NONE (0): nobody may call it */
    size_t
        state_size; /* bytes of om_rpc_state, zero at the start                                 */
    /* The call was admitted and its first message is being read. May be NULL. */
    void (*start)(om_rpc *rpc);
    /* A message; NULL: the client half-closed. The method owns the message. For unary and server
     * streaming methods it is called once, with the message. */
    void (*message)(om_rpc *rpc, om_rpc_message *message);
    /* The message of om_rpc_write has left; another may be written. May be NULL for unary methods. */
    void (*written)(om_rpc *rpc);
    /* After om_rpc_post. */
    void (*posted)(om_rpc *rpc);
    /* The client cancelled, its deadline passed, or the connection broke: nothing can be sent any more.
     * omen_op is already cancelled. May be NULL. */
    void (*cancelled)(om_rpc *rpc);
    /* Client streams: the caller's credential is not good any more, and the message that came was
     * dropped. The method ends the call with *f in its own time. NULL: the call is ended at once. */
    void (*refused)(om_rpc *rpc, const om_failure *f);
    /* The server drains; long calls should come to an end. May be NULL. */
    void (*drain)(om_rpc *rpc);
    /* Before the state goes. May be NULL. */
    void (*destroy)(om_rpc *rpc);
} om_rpc_impl;

typedef struct om_rpc_method {
    const char *service, *name;
    const char *path; /* "/service/name" */
    bool client_stream, server_stream;
    const om_rpc_impl *impl;
} om_rpc_method;
extern const om_rpc_method om_rpc_methods[];
extern const uint32_t om_rpc_method_count;

/* ---- What a method may ask ------------------------------------------------------------------- */
void *om_rpc_state(om_rpc *rpc);
om_rt *om_rpc_runtime(const om_rpc *rpc);
uint32_t om_rpc_method_index(const om_rpc *rpc);
/* [any] Who calls; never NULL in a method. Methods that need nobody (OM_VERB_OPEN) get `anonymous`. */
const om_principal *om_rpc_principal(const om_rpc *rpc);
/* [any] Whose limits hold for the call; NULL: none, for calls that are not counted in (OM_RPC_QUIET). */
om_tenant *om_rpc_tenant(const om_rpc *rpc);
/* [any] The verb of its method. */
uint32_t om_rpc_verb(const om_rpc *rpc);
om_access *om_rpc_access(const om_rpc *rpc);
/* [any] Address of the other side, "" when it is not known. Costs an allocation: for logs. */
void om_rpc_peer(const om_rpc *rpc, char *out, size_t size);
/* [any] A line in the audit log: what the call changed, or tried to. */
void om_rpc_audit(const om_rpc *rpc, const char *action, const char *object, bool ok);
/* [any] CLOCK_MONOTONIC nanoseconds; 0: no deadline. */
uint64_t om_rpc_deadline_ns(const om_rpc *rpc);
/* [any] What is left of the deadline for omen.h: at least 1; 0: none. */
uint64_t om_rpc_timeout_us(const om_rpc *rpc);
/* [any] True once nothing can be sent any more. */
bool om_rpc_is_cancelled(const om_rpc *rpc);
/* The op that a cancel of this call cancels; made at the first use, which must be the actor's. NULL:
 * no memory. */
omen_op *om_rpc_op(om_rpc *rpc);
/* Memory that lives as long as the call. Its limit is small: raise it by what the message may need. */
om_arena *om_rpc_arena(om_rpc *rpc);
/* For the slow log and the metrics. */
void om_rpc_note_collection(om_rpc *rpc, const char *name);
void om_rpc_note_engine(om_rpc *rpc, uint64_t queue_ns, uint64_t engine_ns);
void om_rpc_note_search(om_rpc *rpc, const om_slow_search *search); /* once a call */
/* Whether the call may become one for the slow log: what costs to know is only worth it then. */
bool om_rpc_lingers(const om_rpc *rpc);
/* Calls that now live on this call's queue thread, this one included: is it alone? */
uint32_t om_rpc_neighbours(const om_rpc *rpc);
/* [any] Whether every queue has calls of its own: then other threads have work without this one's. */
bool om_rpc_all_busy(const om_rpc *rpc);
bool om_rpc_draining(const om_rpc *rpc);

/* ---- What a method may do -------------------------------------------------------------------- */
/* Streams: asks for the next message. At most one request is outstanding. */
void om_rpc_read(om_rpc *rpc);
/* An answer under construction: exactly `size` bytes at `data`. */
typedef struct om_rpc_out {
    uint8_t *data;
    size_t size;
    uint64_t slice[4]; /* the adapter's */
} om_rpc_out;
void om_rpc_out_init(om_rpc_out *out, size_t size);
void om_rpc_out_drop(om_rpc_out *out); /* instead of sending it */
/* [any, see above] Sends a message; one at a time, until `written`. Consumes out. */
void om_rpc_write(om_rpc *rpc, om_rpc_out *out);
/* [any, see above] The answer of a unary call, and OK. Consumes out. */
void om_rpc_reply(om_rpc *rpc, om_rpc_out *out);
/* The same with a protobuf-c message. */
void om_rpc_reply_pb(om_rpc *rpc, const ProtobufCMessage *message);
void om_rpc_write_pb(om_rpc *rpc, const ProtobufCMessage *message);
/* [any, see above] Ends the call: NULL is OK, otherwise the failure with its details. Only the first
 * end counts. */
void om_rpc_finish(om_rpc *rpc, const om_failure *failure);
/* Unpacks a message behind guard and arena and frees it; NULL: the call was finished with the reason. */
void *om_rpc_unpack(om_rpc *rpc, om_rpc_message *message, const ProtobufCMessageDescriptor *type);

/* ---- Between threads ------------------------------------------------------------------------- */
/* [any] Runs `posted` on the actor's thread soon. Posts that have not run yet are one. The caller
 * holds the call. */
void om_rpc_post(om_rpc *rpc);
/* [any] Keeps the call alive until om_rpc_release. */
void om_rpc_hold(om_rpc *rpc);
void om_rpc_release(om_rpc *rpc);
#endif
