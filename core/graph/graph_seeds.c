/* graph_seeds.c - entry by sampled seeds: about sqrt(n) / 4 slots whose code rows are copied side by side, so
 * that one sequential scan finds good starting points.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"
#include "rng.h"

#define SEEDS_MIN 32u
#define SEEDS_MAX 1024u

/* sqrt(n) / 4, within bounds: at 1M rows 32 seeds to 1,000 gave the same recall at equal beam width, low-dimensional
 * and clustered alike, and the scan should stay a small share of a search. */
static uint32_t seeds_wanted(uint32_t n)
{
    uint32_t root = SEEDS_MIN;
    while (root < SEEDS_MAX && (uint64_t)root * root * 16 < n) {
        root++;
    }
    return om_min_u32(root, n);
}

omen_status_t om_seeds_create(const om_alloc *alloc, uint32_t capacity, size_t stride, om_seeds **out,
                              omen_error *err)
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
        om_alloc_put(seeds->alloc, seeds->codes, (size_t)seeds->capacity * seeds->stride, OM_CACHE_LINE);
    }
    om_alloc_put(seeds->alloc, seeds, sizeof *seeds, OM_CACHE_LINE);
}

static void append_seed(om_seeds *seeds, const uint8_t *codes, uint32_t slot)
{
    seeds->slots[seeds->count] = slot;
    memcpy(seeds->codes + seeds->count * seeds->stride, codes + slot * seeds->stride, seeds->stride);
    seeds->count++;
}

/* A fresh sample of [0, n), one slot from each of equal strata, with room until n has doubled. */
omen_status_t om_seeds_resample(om_graph *graph, const om_graph_arrays *arrays, uint32_t n,
                                omen_error *err)
{
    om_seeds *seeds = NULL;
    uint32_t wanted = seeds_wanted(n);
    uint32_t room = seeds_wanted(n > UINT32_MAX / 2 ? UINT32_MAX : 2 * n);
    omen_status_t status = om_seeds_create(graph->alloc, om_max_u32(room, SEEDS_MIN),
                                           om_codec_stride(arrays->codec), &seeds, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t state = graph->params.seed ^ n;
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t begin = (uint32_t)((uint64_t)i * n / wanted);
        uint32_t end = (uint32_t)((uint64_t)(i + 1) * n / wanted);
        append_seed(seeds, arrays->codes, begin + om_rng_below(&state, end - begin));
    }
    om_seeds_release(graph->seeds);
    graph->seeds = seeds;
    return OMEN_OK;
}

omen_status_t om_seeds_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first, uint32_t n,
                              omen_error *err)
{
    uint32_t wanted = seeds_wanted(first + n);
    if (graph->seeds == NULL || graph->seeds->capacity < wanted ||
        graph->seeds->stride != om_codec_stride(arrays->codec)) {
        return om_seeds_resample(graph, arrays, first + n, err);
    }
    uint64_t state = graph->params.seed ^ first;
    while (graph->seeds->count < wanted) {
        append_seed(graph->seeds, arrays->codes, first + om_rng_below(&state, n));
    }
    return OMEN_OK;
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
        view->kernels->gather[probe->kind](probe, seeds->codes, seeds->stride, ctx->ids, n, ctx->distance);
        memcpy(ctx->ids, seeds->slots + at, n * sizeof(uint32_t));
        size = om_beam_merge(view, ctx, n, size, wanted, &cur);
    }
    counters->distances += view->entry.seed_count;
    return size;
}
