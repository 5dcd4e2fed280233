/* graph_filter.h - what the filtered walks share: their state, the bit test, one gather.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_GRAPH_FILTER_H
#define OM_GRAPH_FILTER_H
#include "graph_walk.h"

/* Bits tested for the price of a distance, as the budget counts them: a list of 31 is two lines of memory and
 * costs 75 to 140 ns, a distance 25 to 40. */
#define OM_TESTS_A_DISTANCE 8u

typedef struct om_filter_walk {
    const om_graph_view *view;
    om_graph_ctx *ctx;
    const om_probe *probe;
    om_graph_filter *filter;
    const om_stop *stop;
    uint32_t room; /* entries that the beam may have */
    uint32_t size, cur;
    uint64_t distances, hops, tests, next_stop;
} om_filter_walk;

static inline uint32_t om_passes(const uint64_t *pass, uint32_t slot)
{
    return (uint32_t)(pass[slot >> 6] >> (slot & 63)) & 1u;
}
/* What the walk has cost so far, in distances. */
static inline uint64_t om_walk_costs(const om_filter_walk *w)
{
    return w->distances + w->tests / OM_TESTS_A_DISTANCE;
}
static inline bool om_walk_spent(const om_filter_walk *w)
{
    return om_walk_costs(w) > w->filter->budget;
}
/* Appends what passes of the list of `slot` and was not scored yet to the n in ctx->ids. Where few pass, the
 * branch is guessed well, and the marks of the others are not touched for nothing. */
static inline uint32_t om_collect_passing(om_filter_walk *w, uint32_t slot, uint32_t n)
{
    const om_graph_view *view = w->view;
    om_graph_ctx *ctx = w->ctx;
    const uint32_t *row = view->arrays.links + (size_t)slot * view->words;
    const uint64_t *pass = w->filter->pass;
    uint32_t count = om_min_u32(om_link_load(row), view->m0);
    uint32_t limit = view->count;
    uint8_t epoch = ctx->epoch;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t at = om_link_load(row + i);
        at = at < limit ? at : slot;
        if (om_passes(pass, at) != 0) {
            ctx->ids[n] = at;
            n += (uint32_t)(ctx->visited[at] != epoch);
            ctx->visited[at] = epoch;
        }
    }
    w->tests += count;
    return n;
}

/* Distances of ctx->ids[0 .. n) into the beam; asks `stop` now and then. */
omen_status_t om_filter_gather(om_filter_walk *w, uint32_t n);
/* The walk among passing slots, from what the beam holds and from seeds of the bitmap. */
omen_status_t om_filter_bridge(om_filter_walk *w);
#endif
