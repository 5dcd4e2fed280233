/* graph_cover.c - which slots become seeds: so many that every dense region has one.
 * Clusters far from each other are not connected by short links, whatever the beam: a walk that starts in
 * the wrong one ends there. Seeds are therefore drawn with a probability proportional to the squared
 * distance from the seeds so far (k-means++: Arthur, Vassilvitskii, SODA 2007), and drawing goes on until
 * the mean distance to a seed is of the order of the distance between linked neighbours, or 1,024 seeds.
 * Smooth data needs sqrt(n) / 4 of them: at 1M rows 125 to 1,000 seeds gave the same recall at equal
 * beam width.
 * Between two drawings (each time the graph has doubled) a new row far from all seeds becomes one.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"
#include "rng.h"

#define SEEDS_MIN 128u
#define SEEDS_MAX 1024u
#define POOL_MAX 8192u
/* Mean distance to a seed over mean distance to the nearest neighbour at which a region counts as covered. */
#define COVER_RATIO 8.0
/* A new row this many times farther from every seed than the mean is news. */
#define NEWS_RATIO 4.0
/* Every 8th row of a batch is looked at: 0.5 % of the cost of a batch at 1M rows. */
#define NEWS_STEP 8u

typedef struct pool {
    const om_alloc *alloc;
    const om_graph *graph;
    const om_codec *codec;
    uint32_t n;
    size_t stride;
    uint32_t *slots, *ids; /* [n]; ids counts 0, 1, 2, ... for the gather */
    uint8_t *codes;        /* [n * stride] */
    int32_t *near;         /* [n] distance to the nearest seed */
    int32_t *fresh;        /* [n] distance to the newest seed  */
    uint8_t *probe_data;   /* [stride] */
} pool;

static void pool_free(pool *p)
{
    om_alloc_put(p->alloc, p->slots, p->n * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(p->alloc, p->ids, p->n * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(p->alloc, p->codes, p->n * p->stride, OM_CACHE_LINE);
    om_alloc_put(p->alloc, p->near, p->n * sizeof(int32_t), OM_CACHE_LINE);
    om_alloc_put(p->alloc, p->fresh, p->n * sizeof(int32_t), OM_CACHE_LINE);
    om_alloc_put(p->alloc, p->probe_data, p->stride, OM_CACHE_LINE);
}

/* One slot from each of n equal strata of [0, rows). */
static omen_status_t pool_draw(pool *p, const om_graph *graph, const om_graph_arrays *arrays,
                               uint32_t rows, omen_error *err)
{
    const om_alloc *alloc = graph->alloc;
    uint64_t state = graph->params.seed ^ rows;
    *p = (pool){.alloc = alloc,
                .graph = graph,
                .codec = arrays->codec,
                .n = om_min_u32(rows, POOL_MAX),
                .stride = om_codec_stride(arrays->codec)};
    p->slots = om_alloc_zero(alloc, p->n, sizeof(uint32_t), OM_CACHE_LINE);
    p->ids = om_alloc_zero(alloc, p->n, sizeof(uint32_t), OM_CACHE_LINE);
    p->codes = om_alloc_get(alloc, p->n * p->stride, OM_CACHE_LINE);
    p->near = om_alloc_zero(alloc, p->n, sizeof(int32_t), OM_CACHE_LINE);
    p->fresh = om_alloc_zero(alloc, p->n, sizeof(int32_t), OM_CACHE_LINE);
    p->probe_data = om_alloc_zero(alloc, 1, p->stride, OM_CACHE_LINE);
    if (p->slots == NULL || p->ids == NULL || p->codes == NULL || p->near == NULL ||
        p->fresh == NULL || p->probe_data == NULL) {
        pool_free(p);
        return om_fail_memory(err, "seeds", p->n * (p->stride + 16u));
    }
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t begin = (uint32_t)((uint64_t)i * rows / p->n);
        uint32_t end = (uint32_t)((uint64_t)(i + 1) * rows / p->n);
        p->slots[i] = begin + om_rng_below(&state, end - begin);
        p->ids[i] = i;
        p->near[i] = INT32_MAX;
        memcpy(p->codes + i * p->stride, arrays->codes + p->slots[i] * p->stride, p->stride);
    }
    return OMEN_OK;
}

/* Distances are integers in code units, or floats in integer order (om_order_f32). */
static double as_number(const om_probe *probe, int32_t distance)
{
    double value =
        probe->kind == OM_PROBE_L2_F32 ? (double)om_unorder_f32(distance) : (double)distance;
    return value > 0.0 ? value : 0.0;
}

/* Makes row `at` of the pool a seed; returns the sum of the distances to the nearest seeds. */
static double pool_take(pool *p, om_seeds *seeds, uint32_t at)
{
    om_probe probe;
    double sum = 0.0;
    om_seeds_append(seeds, p->codes + at * p->stride, p->slots[at]);
    om_codec_row_probe(p->codec, p->codes + at * p->stride, p->probe_data, &probe);
    p->graph->kernels->gather[probe.kind](&probe, p->codes, p->stride, p->ids, p->n, p->fresh);
    p->fresh[at] = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        p->near[i] = p->fresh[i] < p->near[i] ? p->fresh[i] : p->near[i];
        sum += as_number(&probe, p->near[i]);
    }
    seeds->probe_kind = probe.kind;
    return sum;
}

/* Draws a row with a probability proportional to its distance; the last one that has any otherwise. */
static uint32_t pool_pick(const pool *p, uint32_t probe_kind, double sum, uint64_t *state)
{
    om_probe probe = {.kind = probe_kind};
    double aim = sum * ((double)(om_rng_next(state) >> 11) * 0x1p-53);
    uint32_t last = p->n;
    for (uint32_t i = 0; i < p->n; i++) {
        double distance = as_number(&probe, p->near[i]);
        if (distance > 0.0) {
            last = i;
            aim -= distance;
            if (aim < 0.0) {
                break;
            }
        }
    }
    return last;
}

/* Mean distance from linked rows of the pool to their nearest neighbour; 0 when there are none. */
static double neighbor_distance(const pool *p, const om_graph_arrays *arrays)
{
    uint32_t linked = 0, count = om_graph_count(p->graph);
    double sum = 0.0;
    for (uint32_t i = 0; i < p->n; i++) {
        const uint32_t *row = arrays->links + (size_t)p->slots[i] * p->graph->words;
        if (p->slots[i] >= count || om_link_load(row) == 0) {
            continue;
        }
        uint32_t neighbor = om_link_load(row + 1);
        int32_t distance;
        om_probe probe;
        om_codec_row_probe(p->codec, p->codes + i * p->stride, p->probe_data, &probe);
        p->graph->kernels->gather[probe.kind](&probe, arrays->codes, p->stride, &neighbor, 1,
                                              &distance);
        sum += as_number(&probe, distance);
        linked++;
    }
    return linked > 0 ? sum / linked : 0.0;
}

static uint32_t least_seeds(uint32_t rows)
{
    uint32_t root = SEEDS_MIN;
    while (root < SEEDS_MAX && (uint64_t)root * root * 16 < rows) {
        root++;
    }
    return om_min_u32(root, rows);
}

omen_status_t om_cover_draw(om_graph *graph, const om_graph_arrays *arrays, uint32_t rows,
                            omen_error *err)
{
    om_seeds *seeds = NULL;
    pool p;
    omen_status_t status = pool_draw(&p, graph, arrays, rows, err);
    if (status != OMEN_OK) {
        return status;
    }
    /* Room for as many again: the news until the next drawing. */
    OM_TRY(om_seeds_create(graph->alloc, 2 * SEEDS_MAX, p.stride, &seeds, err));
    uint64_t state = graph->params.seed + rows;
    uint32_t most = om_min_u32(SEEDS_MAX, p.n), least = om_min_u32(least_seeds(rows), most);
    double sum = pool_take(&p, seeds, om_rng_below(&state, p.n));
    double covered = COVER_RATIO * neighbor_distance(&p, arrays) * p.n;
    while (seeds->count < most && (seeds->count < least || sum > covered)) {
        uint32_t at = pool_pick(&p, seeds->probe_kind, sum, &state);
        if (at == p.n) {
            break; /* every row of the pool equals a seed */
        }
        sum = pool_take(&p, seeds, at);
    }
    seeds->news = NEWS_RATIO * sum / p.n;
    seeds->rows = rows;
    om_seeds_release(graph->seeds);
    graph->seeds = seeds;
out:
    pool_free(&p);
    return status;
}

/* Distance of a row to the nearest seed. */
static double distance_to_seeds(const om_graph *graph, const om_seeds *seeds, const om_probe *probe)
{
    uint32_t ids[64];
    int32_t distance[64], best = INT32_MAX;
    for (uint32_t at = 0; at < seeds->count; at += 64) {
        uint32_t n = om_min_u32(64, seeds->count - at);
        for (uint32_t i = 0; i < n; i++) {
            ids[i] = at + i;
        }
        graph->kernels->gather[probe->kind](probe, seeds->codes, seeds->stride, ids, n, distance);
        for (uint32_t i = 0; i < n; i++) {
            best = distance[i] < best ? distance[i] : best;
        }
    }
    return as_number(probe, best);
}

omen_status_t om_seeds_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n, omen_error *err)
{
    om_seeds *seeds = graph->seeds;
    size_t stride = om_codec_stride(arrays->codec);
    if (seeds == NULL || seeds->stride != stride || first + n >= 2 * (uint64_t)seeds->rows) {
        return om_cover_draw(graph, arrays, first + n, err);
    }
    uint8_t *data = om_alloc_get(graph->alloc, stride, OM_CACHE_LINE);
    if (data == NULL) {
        return om_fail_memory(err, "seeds", stride);
    }
    for (uint32_t slot = first; slot < first + n && seeds->count < seeds->capacity;
         slot += NEWS_STEP) {
        const uint8_t *code = arrays->codes + (size_t)slot * stride;
        om_probe probe;
        om_codec_row_probe(arrays->codec, code, data, &probe);
        if (distance_to_seeds(graph, seeds, &probe) > seeds->news) {
            om_seeds_append(seeds, code, slot);
        }
    }
    om_alloc_put(graph->alloc, data, stride, OM_CACHE_LINE);
    return OMEN_OK;
}
