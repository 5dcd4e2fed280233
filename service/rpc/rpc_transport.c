/* rpc_transport.c - attacks on the transport itself, known by what they cost: memory that no limit
 * counts, time that brings nothing. Calls that hold much and take no answer go first; for the rest the
 * library has no way to tell whose it is, so the connection that sends most goes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <time.h>

#include "heap.h"
#include "rpc_accept.h"
#include "rpc_int.h"

#define PATIENCE_NS \
    UINT64_C(5000000000) /* with an answer that is not taken while memory is short */
enum {
    CUT_LEAST = 8 << 20,     /* bytes in a second, for memory                               */
    BURN_LEAST = 1 << 10,    /* bytes in a second, for time: the attack slows itself down   */
    BURN_TICKS = 3,          /* seconds in a row                                            */
    BURN_MIN_NS = 100000000, /* of a second that a queue thread must have run to be looked at */
    HOLDERS = 256,           /* calls that are looked at for what they hold */
    EVENTS_A_SECOND =
        20 /* of its time: the largest messages that may be come five times as often */
};

/* Bytes of the transport and the methods: all but the engine's. 0: not known. */
static uint64_t own_bytes(void)
{
    om_heap_stats heap;
    return om_heap_get_stats(&heap) && heap.allocated > heap.engine_allocated
               ? heap.allocated - heap.engine_allocated
               : 0;
}

/* ---- Memory ---------------------------------------------------------------------------------- */

typedef struct holder {
    om_rpc *rpc;
    uint64_t bytes;
} holder;

static int most_first(const void *a, const void *b)
{
    uint64_t x = ((const holder *)a)->bytes;
    uint64_t y = ((const holder *)b)->bytes;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Calls that hold memory because their client has not taken an answer for a while; each is held. */
static size_t find_holders(om_queue *q, holder *out, size_t most)
{
    size_t n = 0;
    uint64_t now = om_pool_now_ns();
    pthread_mutex_lock(&q->free_mutex);
    for (om_rpc *rpc = q->calls; rpc != NULL && n < most; rpc = rpc->watch_next) {
        uint64_t since = atomic_load_explicit(&rpc->sending_ns, memory_order_relaxed);
        uint64_t bytes = atomic_load_explicit(&rpc->held, memory_order_relaxed);
        if (since != 0 && now > since + PATIENCE_NS && bytes >= RPC_LARGE && om_rpc_try_hold(rpc)) {
            out[n++] = (holder){rpc, bytes};
        }
    }
    pthread_mutex_unlock(&q->free_mutex);
    return n;
}

/* Ends those that hold most, until what they held is `wanted` bytes. Returns what it is. */
static uint64_t end_holders(om_rt *rt, uint64_t wanted)
{
    holder found[HOLDERS];
    size_t n = 0;
    uint64_t freed = 0;
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        n += find_holders(&rt->queue[i], found + n, HOLDERS - n);
    }
    qsort(found, n, sizeof found[0], most_first);
    for (size_t i = 0; i < n; i++) {
        if (freed < wanted) {
            freed += found[i].bytes;
            om_metrics_cut(rt->shared.opt.metrics, OM_CUT_MEMORY);
            om_rpc_wait_ends(&found[i].rpc->sending_ns);
            grpc_call_cancel_with_status(found[i].rpc->call, GRPC_STATUS_UNAVAILABLE,
                                         "memory is short, and the client takes no answers", NULL);
        }
        om_rpc_release(found[i].rpc);
    }
    if (freed > 0) {
        om_slog(rt->shared.opt.log, OMEN_LOG_WARN, "held_memory",
                "calls were ended that held memory, since their clients take no answers",
                OM_SLOG_U64("bytes", freed));
    }
    return freed;
}

/* The transport's quota is soft, and headers do not count in it at all: an endless header block grows
 * until the process ends. What the methods hold has limits of its own below the quota, so that more
 * than it, for as long as a second, is somebody's doing: of those who hold and do not read, else of who
 * sends most. */
static void watch_memory(om_rt *rt)
{
    uint64_t quota = rt->shared.opt.transport_quota;
    uint64_t used = own_bytes();
    uint64_t reads = om_rt_reads_hold(&rt->shared);
    uint64_t half = om_rt_reads_limit(&rt->shared) / 2;
    uint64_t wanted = used > quota ? used - quota : 0;
    wanted = reads > half && reads - half > wanted ? reads - half : wanted;
    uint64_t freed = wanted > 0 ? end_holders(rt, wanted) : 0;
    if (used > quota && freed == 0) {
        (void)om_accept_cut_largest(CUT_LEAST, OM_CUT_MEMORY);
    }
}

/* ---- Time ------------------------------------------------------------------------------------ */

static uint64_t cpu_of(pthread_t thread)
{
    clockid_t clock;
    struct timespec t = {0, 0};
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) != 0) {
        return 0;
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What a queue has cost and brought since the last look. */
static void look(om_queue *q, uint64_t *spent, uint64_t *brought)
{
    uint64_t cpu = cpu_of(q->thread);
    uint64_t events = atomic_load_explicit(&q->events, memory_order_relaxed);
    *spent += cpu - q->seen_cpu;
    *brought += events - q->seen_events;
    q->seen_cpu = cpu;
    q->seen_events = events;
}

/* Whether the queue threads worked for seconds and brought nothing: one header value without an end is copied
 * again with every piece that comes (CVE-2023-33953). Honest traffic of any kind brings hundreds of events a
 * second of their time. All queues are judged together: any thread reads for any connection, and its events
 * may come out at another queue, so that one thread alone can work honestly and bring nothing. */
static void watch_time(om_rt *rt)
{
    uint64_t spent = 0, brought = 0;
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        look(&rt->queue[i], &spent, &brought);
    }
    bool burned = spent >= BURN_MIN_NS && brought * 1000000000u < spent * EVENTS_A_SECOND;
    rt->idle_burns = burned ? rt->idle_burns + 1 : 0;
    if (rt->idle_burns >= BURN_TICKS) {
        (void)om_accept_cut_largest(BURN_LEAST, OM_CUT_TIME);
    }
}

void om_rpc_watch_transport(om_rt *rt)
{
    watch_memory(rt);
    watch_time(rt);
}
