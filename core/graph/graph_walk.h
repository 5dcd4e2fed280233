/* graph_walk.h - the hot loop that all walks share: unseen neighbours without a branch, candidates expanded
 * together, gathered distances merged into the beam.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_GRAPH_WALK_H
#define OM_GRAPH_WALK_H
#include "graph_int.h"

/* Appends the neighbours of `slot` that were not seen to the n in ctx->ids; marks them. The loop
 * has no branch that depends on data: about half of all neighbours have been seen, which no
 * predictor can guess, and the mispredictions would cost more than the distances (+42 % speed, ann-
 * core section 0). Padding and slots beyond the view fall on the mark behind the last slot, which
 * om_ctx_begin sets as seen. */
static inline uint32_t om_collect_unseen(const om_graph_view *view, om_graph_ctx *ctx,
                                         uint32_t slot, uint32_t n)
{
    const uint32_t *row = view->arrays.links + (size_t)slot * view->words;
    uint32_t count = om_min_u32(om_link_load(row), view->m0);
    uint32_t limit = view->count;
    uint8_t *visited = ctx->visited;
    uint8_t epoch = ctx->epoch;
    uint32_t *ids = ctx->ids;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t neighbor = om_min_u32(om_link_load(row + i), limit);
        ids[n] = neighbor;
        n += (uint32_t)(visited[neighbor] != epoch);
        visited[neighbor] = epoch;
    }
    return n;
}

static inline void om_prefetch_links(const om_graph_view *view, uint32_t slot)
{
    const char *row = (const char *)(view->arrays.links + (size_t)slot * view->words);
    for (size_t at = 0; at < view->words * sizeof(uint32_t); at += OM_CACHE_LINE) {
        __builtin_prefetch(row + at);
    }
}

/* Takes up to `most` of the nearest candidates in beam[*cur .. end) that were not expanded yet; returns how
 * many new slots they name. */
static inline uint32_t om_expand_nearest(const om_graph_view *view, om_graph_ctx *ctx, uint32_t end,
                                         uint32_t most, uint32_t *cur, uint64_t *hops)
{
    uint32_t n = 0, pops = 0, at = *cur;
    for (; at < end && pops < most && n + view->m0 <= OM_GATHER_MAX; at++) {
        uint64_t key = ctx->beam[at];
        if ((key & OM_KEY_EXPANDED) == 0) {
            ctx->beam[at] = key | OM_KEY_EXPANDED;
            n = om_collect_unseen(view, ctx, om_flip_slot(key), n);
            pops++;
        }
    }
    *cur = at;
    *hops += pops;
    return n;
}
#endif
