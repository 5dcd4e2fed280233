/* rpc_transport.c - attacks on the transport itself, known by what they cost: memory that no limit
 * counts, time that brings nothing. The library has no way to tell whose it is, so the connection that
 * sends most goes. SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "heap.h"
#include "rpc_accept.h"
#include "rpc_int.h"

enum {
    CUT_LEAST = 8 << 20,     /* bytes in a second, for memory                               */
    BURN_LEAST = 1 << 10,    /* bytes in a second, for time: the attack slows itself down   */
    BURN_TICKS = 3,          /* seconds in a row                                            */
    BURN_MIN_NS = 100000000, /* of a second that a queue thread must have run to be looked at */
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

/* The transport's quota is soft, and headers do not count in it at all: an endless header block grows
 * until the process ends. What the methods hold has limits of its own below the quota, so that more
 * than it, for as long as a second, is somebody's doing. */
static void watch_memory(om_rt *rt)
{
    uint64_t quota = rt->shared.opt.transport_quota;
    uint64_t used = own_bytes();
    if (used > quota) {
        (void)om_accept_cut_largest(CUT_LEAST, OM_CUT_MEMORY);
    }
}

static uint64_t cpu_of(pthread_t thread)
{
    clockid_t clock;
    struct timespec t = {0, 0};
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) != 0) {
        return 0;
    }
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whether a queue thread has worked since the last look and brought nothing: one header value without
 * an end is copied again with every piece that comes (CVE-2023-33953). Honest traffic of any kind
 * brings hundreds of events a second of its time. */
static bool burned(om_queue *q)
{
    uint64_t cpu = cpu_of(q->thread);
    uint64_t events = atomic_load_explicit(&q->events, memory_order_relaxed);
    uint64_t spent = cpu - q->seen_cpu;
    uint64_t brought = events - q->seen_events;
    q->seen_cpu = cpu;
    q->seen_events = events;
    return spent >= BURN_MIN_NS && brought * 1000000000u < spent * EVENTS_A_SECOND;
}

static void watch_time(om_rt *rt)
{
    uint32_t worst = 0;
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        om_queue *q = &rt->queue[i];
        q->idle_burns = burned(q) ? q->idle_burns + 1 : 0;
        worst = q->idle_burns > worst ? q->idle_burns : worst;
    }
    if (worst >= BURN_TICKS) {
        (void)om_accept_cut_largest(BURN_LEAST, OM_CUT_TIME);
    }
}

void om_rpc_watch_transport(om_rt *rt)
{
    watch_memory(rt);
    watch_time(rt);
}
