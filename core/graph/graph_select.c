/* graph_select.c - which candidates become links: diverse ones, nearest first.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

/* Drops from the alive candidates those that are nearer to the kept neighbour than to the node itself:
 * the walk reaches them through it. Equal distances stay, or copies and lattice data would lose links. */
static uint32_t drop_shadowed(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker,
                              uint32_t kept_slot, uint32_t alive)
{
    const om_candidates *list = &worker->list;
    size_t stride = om_codec_stride(arrays->codec);
    om_probe probe;
    for (uint32_t i = 0; i < alive; i++) {
        worker->gather_ids[i] = list->slot[worker->alive[i]];
    }
    om_codec_row_probe(arrays->codec, arrays->codes + (size_t)kept_slot * stride, worker->select_data,
                       &probe);
    graph->kernels->gather[probe.kind](&probe, arrays->codes, stride, worker->gather_ids, alive,
                                       worker->gather_out);
    uint32_t left = 0;
    for (uint32_t i = 0; i < alive; i++) {
        uint32_t at = worker->alive[i];
        worker->alive[left] = at;
        left += (uint32_t)(worker->gather_out[i] >= list->distance[at]);
    }
    return left;
}

void om_select(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker, uint32_t most)
{
    om_candidates *list = &worker->list;
    uint32_t alive = list->n, kept = 0, twins = 0;
    om_assert(list->n <= worker->capacity);
    for (uint32_t i = 0; i < alive; i++) {
        worker->alive[i] = i;
    }
    while (alive > 0 && kept < most) {
        uint32_t at = worker->alive[0];
        uint32_t slot = list->slot[at];
        int32_t distance = list->distance[at];
        alive--;
        for (uint32_t i = 0; i < alive; i++) {
            worker->alive[i] = worker->alive[i + 1];
        }
        /* Codes that are equal have distance 0, or -1 where the half norms were rounded down. */
        twins += (uint32_t)(distance <= 0 && distance >= -1);
        if (twins > OM_MAX_TWINS && distance <= 0 && distance >= -1) {
            continue;
        }
        list->slot[kept] = slot;
        list->distance[kept] = distance;
        kept++;
        if (kept < most && alive > 0) {
            alive = drop_shadowed(graph, arrays, worker, slot, alive);
        }
    }
    list->n = kept;
}
