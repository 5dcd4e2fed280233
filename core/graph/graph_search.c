/* graph_search.c - best-first walk over level 0: branch-free collection of unseen neighbours, gathered
 * distances with rolling prefetch, a sorted beam. No lock, no allocation.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_walk.h"

/* Candidates expanded together: the first rows of a gather arrive late, so a longer gather pays
 * (fashion-mnist 0.990: 38k QPS one at a time, 46k with three; 1M x 128 at 0.98: 14.3k and 17.2k), and
 * the few expansions that one at a time would have spared raise the recall a little. */
#define POPS 3u

uint32_t om_beam_merge(const om_graph_view *view, om_graph_ctx *ctx, uint32_t n, uint32_t size,
                       uint32_t ef, uint32_t *cur)
{
    for (uint32_t i = 0; i < n; i++) {
        ctx->flipped[i] = OM_SLOT_FLIP - ctx->ids[i];
    }
    /* A full beam takes equal distances too: a newer slot sorts before an older one (OM_SLOT_FLIP). */
    int32_t limit = INT32_MAX;
    if (size == ef) {
        int32_t worst = om_key_distance(ctx->beam[ef - 1]);
        limit = worst == INT32_MAX ? INT32_MAX : worst + 1;
    }
    uint32_t packed = view->kernels->pack_below(ctx->distance, ctx->flipped, n, limit, ctx->packed);
    for (uint32_t i = 0; i < packed; i++) {
        uint64_t key = ctx->packed[i];
        if (size == ef && key >= ctx->beam[ef - 1]) {
            continue;
        }
        uint32_t at = view->kernels->beam_insert(ctx->beam, size, ef, key);
        size += size < ef;
        *cur = om_min_u32(*cur, at);
        om_prefetch_links(view, om_flip_slot(key));
    }
    return size;
}

omen_status_t om_graph_walk(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                            uint32_t ef, uint32_t *size, const om_stop *stop,
                            om_graph_counters *counters)
{
    const om_kernels *kernels = view->kernels;
    omen_status_t status = OMEN_OK;
    uint64_t distances = 0, hops = 0, next_stop = OM_STOP_INTERVAL;
    uint32_t found = *size, cur = 0;
    while (cur < found) {
        uint32_t n = om_expand_nearest(view, ctx, found, POPS, &cur, &hops);
        kernels->gather[probe->kind](probe, view->arrays.codes, view->stride, ctx->ids, n,
                                     ctx->distance);
        distances += n;
        found = om_beam_merge(view, ctx, n, found, ef, &cur);
        if (OM_UNLIKELY(distances >= next_stop) && stop != NULL) {
            next_stop = distances + OM_STOP_INTERVAL;
            status = om_stop_check(stop);
            if (status != OMEN_OK) {
                break;
            }
        }
    }
    *size = found;
    counters->distances += distances;
    counters->hops += hops;
    return status;
}

omen_status_t om_graph_search(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                              uint32_t ef, const om_stop *stop, const uint64_t **keys,
                              uint32_t *found, om_graph_counters *counters)
{
    omen_status_t status = OMEN_OK;
    uint32_t size = 0;
    om_assert(ef >= 1 && ef <= ctx->beam_cap);
    if (view->count > 0) {
        om_ctx_begin(ctx, view->count);
        size = om_entry_search(view, ctx, probe, ef, counters);
        status = om_graph_walk(view, ctx, probe, ef, &size, stop, counters);
    }
    for (uint32_t i = 0; i < size; i++) {
        uint64_t key = ctx->beam[i];
        ctx->beam[i] = om_key_pack(om_key_distance(key), om_flip_slot(key));
    }
    *keys = ctx->beam;
    *found = size;
    return status;
}
