/* rpc_watch.c - clients that keep the server waiting: calls whose first message does not come, answers
 * that nobody takes, connections that cancel without end. A deadline does not help, since the client sets it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <grpc/support/alloc.h>

#include "rpc_accept.h"
#include "rpc_int.h"

enum { CUT_AT_ONCE = 64, NEAR_NS = 50000000 };

void om_rpc_watch_add(om_rpc *rpc)
{
    om_queue *q = rpc->queue;
    rpc->watch_prev = NULL;
    rpc->watch_next = q->calls;
    if (q->calls != NULL) {
        q->calls->watch_prev = rpc;
    }
    q->calls = rpc;
}

void om_rpc_watch_remove(om_rpc *rpc)
{
    *(rpc->watch_prev != NULL ? &rpc->watch_prev->watch_next : &rpc->queue->calls) =
        rpc->watch_next;
    if (rpc->watch_next != NULL) {
        rpc->watch_next->watch_prev = rpc->watch_prev;
    }
}

/* Holds a call that is listed, unless its last hold is gone. */
static bool try_hold(om_rpc *rpc)
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

static bool is_over(const _Atomic uint64_t *since, uint64_t now, uint64_t limit)
{
    uint64_t at = atomic_load_explicit(since, memory_order_relaxed);
    return at != 0 && now > at && now - at > limit;
}

static uint32_t find_stalled(om_queue *q, uint64_t now, om_rpc **out)
{
    uint64_t limit = (uint64_t)q->rt->shared.opt.stalled_call_ms * 1000000u;
    uint32_t n = 0;
    pthread_mutex_lock(&q->free_mutex);
    for (om_rpc *rpc = q->calls; rpc != NULL && n < CUT_AT_ONCE; rpc = rpc->watch_next) {
        if ((is_over(&rpc->reading_ns, now, limit) || is_over(&rpc->sending_ns, now, limit)) &&
            try_hold(rpc)) {
            out[n++] = rpc;
        }
    }
    pthread_mutex_unlock(&q->free_mutex);
    return n;
}

static void cut(om_rpc *rpc, uint64_t now)
{
    const om_rt_options *o = &rpc->rt->shared.opt;
    bool reader = is_over(&rpc->sending_ns, now, (uint64_t)o->stalled_call_ms * 1000000u);
    const om_rpc_method *m = rpc->index < om_rpc_method_count ? &om_rpc_methods[rpc->index] : NULL;
    char *peer = grpc_call_get_peer(rpc->call);
    om_metrics_cut(o->metrics, reader ? OM_CUT_SLOW_READER : OM_CUT_SLOW_WRITER);
    om_slog(o->log, OMEN_LOG_WARN, "stalled_call",
            reader ? "a client did not take its answer: the call is ended"
                   : "a client did not send its message: the call is ended",
            OM_SLOG_STR("method", m != NULL ? m->name : NULL), OM_SLOG_STR("peer", peer),
            OM_SLOG_U64("limit_ms", o->stalled_call_ms));
    gpr_free(peer);
    /* Once is enough: what is outstanding comes back now. */
    om_rpc_wait_ends(&rpc->reading_ns);
    om_rpc_wait_ends(&rpc->sending_ns);
    grpc_call_cancel_with_status(rpc->call, GRPC_STATUS_UNAVAILABLE,
                                 "the client kept the server waiting for too long", NULL);
    om_rpc_release(rpc);
}

void om_rpc_watch(om_rt *rt, uint64_t now_ns)
{
    om_rpc *stalled[CUT_AT_ONCE];
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        uint32_t n = 0;
        do {
            n = find_stalled(&rt->queue[i], now_ns, stalled);
            for (uint32_t k = 0; k < n; k++) {
                cut(stalled[k], now_ns);
            }
        } while (n == CUT_AT_ONCE);
    }
}

/* Clients end a call by themselves when its deadline is over, a moment before or after we do: a storm
 * of short deadlines is no attack. */
void om_rpc_note_reset(om_rpc *rpc, uint64_t now_ns)
{
    if (rpc->rt->shared.opt.max_resets == 0) {
        return;
    }
    bool near = rpc->deadline_ns != 0 && now_ns + NEAR_NS >= rpc->deadline_ns;
    char *peer = grpc_call_get_peer(rpc->call);
    (void)om_accept_note_reset(peer, near, now_ns);
    gpr_free(peer);
}
