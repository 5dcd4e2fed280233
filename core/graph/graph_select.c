/* graph_select.c - which candidates become links: diverse ones, nearest first.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

/* A node that keeps less than this part of what it may keep chooses again, less strictly. */
#define FEW_KEPT 4u

/* Twice a distance, in whichever form the codec has distances. */
static int64_t twice(const om_probe *probe, int32_t distance)
{
    /* Floats above zero are compared by their bits: the exponent grows by one. */
    return probe->kind == OM_PROBE_L2_F32 ? (int64_t)distance + (1 << 23) : 2 * (int64_t)distance;
}

/* Drops from the alive candidates those that are nearer to the kept neighbour than to the node itself:
 * the walk reaches them through it. Equal distances stay, or copies and lattice data would lose links.
 * lenient: only those that are less than half as far from the kept neighbour. */
static uint32_t drop_shadowed(const om_graph *graph, const om_graph_arrays *arrays,
                              om_worker *worker, uint32_t kept_slot, uint32_t alive, bool lenient)
{
    const om_candidates *list = &worker->list;
    size_t stride = om_codec_stride(arrays->codec);
    om_probe probe;
    for (uint32_t i = 0; i < alive; i++) {
        worker->gather_ids[i] = list->slot[worker->alive[i]];
    }
    om_codec_row_probe(arrays->codec, arrays->codes + (size_t)kept_slot * stride,
                       worker->select_data, &probe);
    graph->kernels->gather[probe.kind](&probe, arrays->codes, stride, worker->gather_ids, alive,
                                       worker->gather_out);
    uint32_t left = 0;
    for (uint32_t i = 0; i < alive; i++) {
        uint32_t at = worker->alive[i];
        int64_t shadow = lenient ? twice(&probe, worker->gather_out[i]) : worker->gather_out[i];
        worker->alive[left] = at;
        left += (uint32_t)(shadow >= list->distance[at]);
    }
    return left;
}

/* Keeps the nearest alive candidate, drops what it shadows, and so on. Writes the places of those kept,
 * ascending; returns how many there are. */
static uint32_t choose(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker,
                       uint32_t *kept_at, uint32_t most, bool lenient)
{
    const om_candidates *list = &worker->list;
    uint32_t alive = list->n, kept = 0, twins = 0;
    for (uint32_t i = 0; i < alive; i++) {
        worker->alive[i] = i;
    }
    while (alive > 0 && kept < most) {
        uint32_t at = worker->alive[0];
        int32_t distance = list->distance[at];
        alive--;
        for (uint32_t i = 0; i < alive; i++) {
            worker->alive[i] = worker->alive[i + 1];
        }
        /* Codes that are equal have distance 0, or -1 where the half norms were rounded down. */
        bool twin = distance <= 0 && distance >= -1;
        twins += (uint32_t)twin;
        if (twin && twins > OM_MAX_TWINS) {
            continue;
        }
        kept_at[kept++] = at;
        if (kept < most && alive > 0) {
            alive = drop_shadowed(graph, arrays, worker, list->slot[at], alive, lenient);
        }
    }
    return kept;
}

void om_select(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker,
               uint32_t most)
{
    om_candidates *list = &worker->list;
    uint32_t kept_at[2 * OMEN_MAX_M];
    om_assert(list->n <= worker->capacity && most <= 2 * OMEN_MAX_M);
    uint32_t kept = choose(graph, arrays, worker, kept_at, most, false);
    /* A vector in the middle of all others (a zero vector under cosine, the centre of a sphere) is nearer
     * to every node than the node's real neighbours are, and shadows them all: the graph would be a star.
     * Seen from the centre two neighbours are at most about half as far (squared) as from each other. */
    if (kept < om_max_u32(most / FEW_KEPT, 2) && kept < list->n) {
        kept = choose(graph, arrays, worker, kept_at, most, true);
    }
    for (uint32_t i = 0; i < kept; i++) {
        list->slot[i] = list->slot[kept_at[i]];
        list->distance[i] = list->distance[kept_at[i]];
    }
    list->n = kept;
}
