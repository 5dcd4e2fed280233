/* rpc_watch.c - clients that keep the server waiting: calls whose first message does not come, answers
 * that nobody takes, connections that cancel without end. A deadline does not help, since the client sets it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

#include "peer_counts.h"
#include "rpc_accept.h"
#include "rpc_int.h"

enum { CUT_AT_ONCE = 64, NEAR_NS = 50000000, VICTIMS = 16 };

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
    return om_rpc_try_hold(rpc);
}

static bool is_over(const _Atomic uint64_t *since, uint64_t now, uint64_t limit)
{
    uint64_t at = atomic_load_explicit(since, memory_order_relaxed);
    return at != 0 && now > at && now - at > limit;
}

static bool is_open(const om_rpc *rpc)
{
    return rpc->impl != NULL && rpc->impl->verb == OM_VERB_OPEN;
}

/* Who has no credential, or was refused, is waited for not as long. */
static uint32_t limit_ms(const om_rpc *rpc)
{
    uint32_t usual = rpc->rt->shared.opt.stalled_call_ms;
    bool hurried = is_open(rpc) || atomic_load_explicit(&rpc->refused, memory_order_relaxed);
    return hurried && usual > RPC_HURRIED_MS ? (uint32_t)RPC_HURRIED_MS : usual;
}

static bool is_stalled(const om_rpc *rpc, uint64_t now)
{
    uint64_t limit = limit_ms(rpc) * UINT64_C(1000000);
    return is_over(&rpc->reading_ns, now, limit) || is_over(&rpc->sending_ns, now, limit);
}

/* The call without a credential that has waited longest for its message, held; NULL: there is none. */
static om_rpc *find_silent(om_queue *q, uint64_t *since)
{
    om_rpc *found = NULL;
    *since = UINT64_MAX;
    pthread_mutex_lock(&q->free_mutex);
    for (om_rpc *rpc = q->calls; rpc != NULL; rpc = rpc->watch_next) {
        uint64_t at = atomic_load_explicit(&rpc->reading_ns, memory_order_relaxed);
        if (at != 0 && at < *since && is_open(rpc)) {
            *since = at;
            found = rpc;
        }
    }
    found = found != NULL && try_hold(found) ? found : NULL;
    pthread_mutex_unlock(&q->free_mutex);
    return found;
}

static uint32_t find_stalled(om_queue *q, uint64_t now, om_rpc **out)
{
    uint32_t n = 0;
    pthread_mutex_lock(&q->free_mutex);
    for (om_rpc *rpc = q->calls; rpc != NULL && n < CUT_AT_ONCE; rpc = rpc->watch_next) {
        if (is_stalled(rpc, now) && try_hold(rpc)) {
            out[n++] = rpc;
        }
    }
    pthread_mutex_unlock(&q->free_mutex);
    return n;
}

static void cut(om_rpc *rpc)
{
    const om_rt_options *o = &rpc->rt->shared.opt;
    bool reader = atomic_load_explicit(&rpc->sending_ns, memory_order_relaxed) != 0;
    const om_rpc_method *m = rpc->index < om_rpc_method_count ? &om_rpc_methods[rpc->index] : NULL;
    char *peer = grpc_call_get_peer(rpc->call);
    om_metrics_cut(o->metrics, reader ? OM_CUT_SLOW_READER : OM_CUT_SLOW_WRITER);
    om_slog(o->log, OMEN_LOG_WARN, "stalled_call",
            reader ? "a client did not take its answer: the call is ended"
                   : "a client did not send its message: the call is ended",
            OM_SLOG_STR("method", m != NULL ? m->name : NULL), OM_SLOG_STR("peer", peer),
            OM_SLOG_U64("limit_ms", limit_ms(rpc)));
    gpr_free(peer);
    /* Once is enough: what is outstanding comes back now. */
    om_rpc_wait_ends(&rpc->reading_ns);
    om_rpc_wait_ends(&rpc->sending_ns);
    grpc_call_cancel_with_status(rpc->call, GRPC_STATUS_UNAVAILABLE,
                                 "the client kept the server waiting for too long", NULL);
    om_rpc_release(rpc);
}

/* A hash of the other side, never 0: of its connection, or of its address. */
static uint32_t key_of(const om_rpc *rpc, bool connection)
{
    char *peer = grpc_call_get_peer(rpc->call);
    const char *port = peer != NULL ? strrchr(peer, ':') : NULL;
    uint32_t key = 2166136261u;
    for (const char *at = peer; at != NULL && *at != '\0' && (connection || at != port); at++) {
        key = (key ^ (uint8_t)*at) * 16777619u;
    }
    gpr_free(peer);
    return key != 0 ? key : 1;
}

/* ---- Streams of health ------------------------------------------------------------------------- */

void om_rpc_note_address(om_rpc *rpc)
{
    atomic_store_explicit(&rpc->address_key, key_of(rpc, false), memory_order_relaxed);
}

/* Counts the streams of an address; the key of the one that has most so far. */
static uint32_t count_watches(om_queue *q, om_peer_counts *counts, uint32_t most)
{
    pthread_mutex_lock(&q->free_mutex);
    for (const om_rpc *rpc = q->calls; rpc != NULL; rpc = rpc->watch_next) {
        uint32_t key = atomic_load_explicit(&rpc->address_key, memory_order_relaxed);
        if (key != 0 && !atomic_load_explicit(&rpc->finished, memory_order_relaxed) &&
            !atomic_load_explicit(&rpc->cancelled, memory_order_relaxed)) {
            om_peer_counts_add(counts, key);
            bool more =
                most == 0 || om_peer_counts_get(counts, key) > om_peer_counts_get(counts, most);
            most = more ? key : most;
        }
    }
    pthread_mutex_unlock(&q->free_mutex);
    return most;
}

static om_rpc *find_watch(om_queue *q, uint32_t key)
{
    om_rpc *found = NULL;
    pthread_mutex_lock(&q->free_mutex);
    for (om_rpc *rpc = q->calls; rpc != NULL && found == NULL; rpc = rpc->watch_next) {
        bool wanted = atomic_load_explicit(&rpc->address_key, memory_order_relaxed) == key &&
                      !atomic_load_explicit(&rpc->finished, memory_order_relaxed) &&
                      !atomic_load_explicit(&rpc->cancelled, memory_order_relaxed);
        found = wanted && try_hold(rpc) ? rpc : NULL;
        if (found != NULL) { /* it is counted and found no more, though it ends a little later */
            atomic_store_explicit(&found->address_key, 0, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&q->free_mutex);
    return found;
}

bool om_rpc_end_watch(om_rpc *rpc)
{
    om_rt *rt = rpc->rt;
    om_rpc *found = NULL;
    uint32_t most = 0;
    uint32_t own = atomic_load_explicit(&rpc->address_key, memory_order_relaxed);
    om_peer_counts *counts = calloc(1, sizeof *counts);
    for (uint32_t i = 0; counts != NULL && i < rt->queue_count; i++) {
        most = count_watches(&rt->queue[i], counts, most);
    }
    /* This one is counted already. */
    bool more = most != 0 && om_peer_counts_get(counts, most) > om_peer_counts_get(counts, own);
    for (uint32_t i = 0; more && found == NULL && i < rt->queue_count; i++) {
        found = find_watch(&rt->queue[i], most);
    }
    free(counts);
    if (found != NULL) {
        grpc_call_cancel_with_status(found->call, GRPC_STATUS_UNAVAILABLE,
                                     "another address needs the place of this stream", NULL);
        om_rpc_release(found);
    }
    return found != NULL;
}

/* ---- Answers that nobody takes ----------------------------------------------------------------- */

/* A client that obeys the protocol never waits for more answers than it may have streams: those that are on
 * their way, and those of calls that it made when it saw the first of them. */
static uint64_t most_unsent(const om_rt *rt)
{
    return 4 * (uint64_t)rt->shared.opt.max_streams;
}

void om_rpc_answer_begins(om_rpc *rpc)
{
    om_rt *rt = rpc->rt;
    if (atomic_fetch_add_explicit(&rt->unsent, 1, memory_order_relaxed) >= RPC_UNSENT_FEW) {
        atomic_store_explicit(&rpc->peer_key, key_of(rpc, true), memory_order_relaxed);
    }
    om_rpc_wait_begins(&rpc->sending_ns, rpc);
}

/* One held call of every peer that has more than `limit`; returns how many there are now. */
static uint32_t find_greedy(om_queue *q, om_peer_counts *counts, uint32_t limit, om_rpc **out,
                            uint32_t n)
{
    pthread_mutex_lock(&q->free_mutex);
    for (om_rpc *rpc = q->calls; rpc != NULL && n < VICTIMS; rpc = rpc->watch_next) {
        uint32_t key = atomic_load_explicit(&rpc->peer_key, memory_order_relaxed);
        if (key == 0 || atomic_load_explicit(&rpc->sending_ns, memory_order_relaxed) == 0) {
            continue;
        }
        om_peer_counts_add(counts, key);
        if (om_peer_counts_get(counts, key) == limit + 1 && try_hold(rpc)) {
            out[n++] = rpc;
        }
    }
    pthread_mutex_unlock(&q->free_mutex);
    return n;
}

void om_rpc_cut_unsent(om_rt *rt)
{
    om_rpc *greedy[VICTIMS];
    uint32_t n = 0;
    uint64_t all = atomic_load_explicit(&rt->unsent, memory_order_relaxed);
    uint32_t limit = all > RPC_UNSENT_MAX ? RPC_UNSENT_LEAST : (uint32_t)most_unsent(rt);
    om_peer_counts *counts = calloc(1, sizeof *counts);
    for (uint32_t i = 0; counts != NULL && i < rt->queue_count; i++) {
        n = find_greedy(&rt->queue[i], counts, limit, greedy, n);
    }
    free(counts);
    for (uint32_t k = 0; k < n; k++) {
        char *peer = grpc_call_get_peer(greedy[k]->call);
        (void)om_accept_cut_peer(peer, OM_CUT_SLOW_READER,
                                 "a connection made calls and did not take their answers");
        gpr_free(peer);
        om_rpc_release(greedy[k]);
    }
}

/* ---- Looking ------------------------------------------------------------------------------------- */

void om_rpc_watch(om_rt *rt, uint64_t now_ns)
{
    om_rpc *stalled[CUT_AT_ONCE];
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        uint32_t n = 0;
        do {
            n = find_stalled(&rt->queue[i], now_ns, stalled);
            for (uint32_t k = 0; k < n; k++) {
                cut(stalled[k]);
            }
        } while (n == CUT_AT_ONCE);
    }
    if (atomic_load_explicit(&rt->unsent, memory_order_relaxed) > most_unsent(rt)) {
        om_rpc_cut_unsent(rt);
    }
}

bool om_rpc_end_silent(om_rt *rt)
{
    om_rpc *oldest = NULL;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        uint64_t since = 0;
        om_rpc *found = find_silent(&rt->queue[i], &since);
        bool better = found != NULL && since < least;
        om_rpc *other = better ? oldest : found;
        least = better ? since : least;
        oldest = better ? found : oldest;
        if (other != NULL) {
            om_rpc_release(other);
        }
    }
    if (oldest != NULL) {
        cut(oldest);
    }
    return oldest != NULL;
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
