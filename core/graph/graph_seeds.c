/* graph_seeds.c - entry by seeds: slots whose code rows are copied side by side, so that one sequential scan
 * finds good starting points. graph_cover.c chooses them.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"

omen_status_t om_seeds_create(const om_alloc *alloc, uint32_t capacity, size_t stride,
                              om_seeds **out, omen_error *err)
{
    om_seeds *seeds = om_alloc_zero(alloc, 1, sizeof *seeds, OM_CACHE_LINE);
    if (seeds == NULL) {
        return om_fail_memory(err, "seeds", sizeof *seeds);
    }
    seeds->alloc = alloc;
    seeds->capacity = capacity;
    seeds->stride = stride;
    atomic_init(&seeds->refs, 1);
    seeds->slots = om_alloc_zero(alloc, capacity, sizeof(uint32_t), OM_CACHE_LINE);
    seeds->codes = om_alloc_zero(alloc, capacity, stride, OM_CACHE_LINE);
    if (seeds->slots == NULL || seeds->codes == NULL) {
        om_seeds_release(seeds);
        return om_fail_memory(err, "seeds", (uint64_t)capacity * (stride + sizeof(uint32_t)));
    }
    *out = seeds;
    return OMEN_OK;
}

void om_seeds_release(om_seeds *seeds)
{
    if (seeds == NULL || atomic_fetch_sub_explicit(&seeds->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (!seeds->borrowed) {
        om_alloc_put(seeds->alloc, seeds->slots, seeds->capacity * sizeof(uint32_t), OM_CACHE_LINE);
        om_alloc_put(seeds->alloc, seeds->codes, (size_t)seeds->capacity * seeds->stride,
                     OM_CACHE_LINE);
    }
    om_alloc_put(seeds->alloc, seeds, sizeof *seeds, OM_CACHE_LINE);
}

void om_seeds_append(om_seeds *seeds, const uint8_t *code, uint32_t slot)
{
    om_assert(seeds->count < seeds->capacity);
    seeds->slots[seeds->count] = slot;
    memcpy(seeds->codes + seeds->count * seeds->stride, code, seeds->stride);
    seeds->count++;
}

uint32_t om_seeds_search(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                         uint32_t wanted, om_graph_counters *counters)
{
    const om_seeds *seeds = view->entry.seeds;
    uint32_t size = 0, cur = 0;
    for (uint32_t at = 0; at < view->entry.seed_count; at += OM_GATHER_MAX) {
        uint32_t n = om_min_u32(OM_GATHER_MAX, view->entry.seed_count - at);
        for (uint32_t i = 0; i < n; i++) {
            ctx->ids[i] = at + i;
        }
        view->kernels->gather[probe->kind](probe, seeds->codes, seeds->stride, ctx->ids, n,
                                           ctx->distance);
        memcpy(ctx->ids, seeds->slots + at, n * sizeof(uint32_t));
        size = om_beam_merge(view, ctx, n, size, wanted, &cur);
    }
    counters->distances += view->entry.seed_count;
    return size;
}
