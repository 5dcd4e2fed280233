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
static inline bool om_walk_spent(const om_filter_walk *w)
{
    return w->distances + w->tests / OM_TESTS_A_DISTANCE > w->filter->budget;
}
/* Distances of ctx->ids[0 .. n) into the beam; asks `stop` now and then. */
omen_status_t om_filter_gather(om_filter_walk *w, uint32_t n);
/* The walk among passing slots, from what the beam holds and from seeds of the bitmap. */
omen_status_t om_filter_bridge(om_filter_walk *w);
#endif
