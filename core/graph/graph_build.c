/* graph_build.c - the scratch of the builder: made at the first insert, kept for the next ones.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

#define MERGE_SLOTS (OM_BATCH_CANDIDATES + 16u)

static size_t edge_room(const om_graph *graph)
{
    return (size_t)OM_GRAPH_MAX_BATCH * graph->m;
}

/* A list under selection: the beam and the batch's candidates, or a full row and all new edges. */
static uint32_t list_capacity(const om_graph *graph)
{
    uint32_t search = graph->params.ef_construction + OM_BATCH_CANDIDATES;
    uint32_t reverse = graph->m0 + OM_GRAPH_MAX_BATCH;
    return (uint32_t)om_round_up(om_max_u32(search, reverse), 16);
}

static void free_worker(const om_alloc *alloc, om_worker *worker, size_t stride)
{
    size_t words = worker->capacity * sizeof(uint32_t);
    om_graph_ctx_free(worker->ctx);
    om_alloc_put(alloc, worker->probe_data, stride, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->select_data, stride, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->list.slot, words, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->list.distance, words, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->alive, words, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->gather_ids, words, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->gather_out, words, OM_CACHE_LINE);
    om_alloc_put(alloc, worker->merge, MERGE_SLOTS * sizeof(uint64_t), OM_CACHE_LINE);
    om_alloc_put(alloc, worker->dropped, OM_DROPPED_MAX * sizeof(uint32_t), OM_CACHE_LINE);
}

static omen_status_t make_worker(const om_graph *graph, om_worker *worker, size_t stride,
                                 omen_error *err)
{
    const om_alloc *alloc = graph->alloc;
    worker->capacity = list_capacity(graph);
    size_t count = worker->capacity;
    worker->probe_data = om_alloc_zero(alloc, 1, stride, OM_CACHE_LINE);
    worker->select_data = om_alloc_zero(alloc, 1, stride, OM_CACHE_LINE);
    worker->list.slot = om_alloc_get(alloc, count * sizeof(uint32_t), OM_CACHE_LINE);
    worker->list.distance = om_alloc_get(alloc, count * sizeof(int32_t), OM_CACHE_LINE);
    worker->alive = om_alloc_get(alloc, count * sizeof(uint32_t), OM_CACHE_LINE);
    worker->gather_ids = om_alloc_get(alloc, count * sizeof(uint32_t), OM_CACHE_LINE);
    worker->gather_out = om_alloc_get(alloc, count * sizeof(int32_t), OM_CACHE_LINE);
    worker->merge = om_alloc_get(alloc, MERGE_SLOTS * sizeof(uint64_t), OM_CACHE_LINE);
    worker->dropped = om_alloc_get(alloc, OM_DROPPED_MAX * sizeof(uint32_t), OM_CACHE_LINE);
    if (worker->dropped == NULL || worker->probe_data == NULL || worker->select_data == NULL ||
        worker->list.slot == NULL || worker->list.distance == NULL || worker->alive == NULL ||
        worker->gather_ids == NULL || worker->gather_out == NULL || worker->merge == NULL) {
        return om_fail_memory(err, "graph builder", count * 20u + 2 * stride);
    }
    return om_graph_ctx_create(alloc, &worker->ctx, err);
}

void om_build_free(om_graph *graph)
{
    om_build *build = graph->build;
    const om_alloc *alloc = graph->alloc;
    if (build == NULL) {
        return;
    }
    size_t edges = edge_room(graph);
    for (uint32_t i = 0; build->worker != NULL && i < build->workers; i++) {
        free_worker(alloc, &build->worker[i], build->stride);
    }
    om_alloc_put(alloc, build->worker, build->workers * sizeof(om_worker), OM_CACHE_LINE);
    om_alloc_put(alloc, build->chosen, edges * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(alloc, build->chosen_dist, edges * sizeof(int32_t), OM_CACHE_LINE);
    om_alloc_put(alloc, build->chosen_count, OM_GRAPH_MAX_BATCH * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(alloc, build->edge, edges * sizeof(om_redge), OM_CACHE_LINE);
    om_alloc_put(alloc, build->edge_sorted, edges * sizeof(om_redge), OM_CACHE_LINE);
    om_alloc_put(alloc, build->group, (edges + 1) * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(alloc, build->lonely, build->workers * OM_DROPPED_MAX * sizeof(uint32_t),
                 OM_CACHE_LINE);
    om_alloc_put(alloc, build, sizeof *build, OM_CACHE_LINE);
    graph->build = NULL;
}

static omen_status_t make_build(om_graph *graph, uint32_t workers, size_t stride, omen_error *err)
{
    const om_alloc *alloc = graph->alloc;
    size_t edges = edge_room(graph);
    om_build *build = om_alloc_zero(alloc, 1, sizeof *build, OM_CACHE_LINE);
    if (build == NULL) {
        return om_fail_memory(err, "graph builder", sizeof *build);
    }
    graph->build = build;
    build->stride = stride;
    build->worker = om_alloc_zero(alloc, workers, sizeof(om_worker), OM_CACHE_LINE);
    build->workers = workers;
    build->chosen = om_alloc_get(alloc, edges * sizeof(uint32_t), OM_CACHE_LINE);
    build->chosen_dist = om_alloc_get(alloc, edges * sizeof(int32_t), OM_CACHE_LINE);
    build->chosen_count = om_alloc_zero(alloc, OM_GRAPH_MAX_BATCH, sizeof(uint32_t), OM_CACHE_LINE);
    build->edge = om_alloc_get(alloc, edges * sizeof(om_redge), OM_CACHE_LINE);
    build->edge_sorted = om_alloc_get(alloc, edges * sizeof(om_redge), OM_CACHE_LINE);
    build->group = om_alloc_get(alloc, (edges + 1) * sizeof(uint32_t), OM_CACHE_LINE);
    build->lonely = om_alloc_get(alloc, workers * OM_DROPPED_MAX * sizeof(uint32_t), OM_CACHE_LINE);
    if (build->worker == NULL || build->lonely == NULL || build->chosen == NULL ||
        build->chosen_dist == NULL || build->chosen_count == NULL || build->edge == NULL ||
        build->edge_sorted == NULL || build->group == NULL) {
        om_build_free(graph);
        return om_fail_memory(err, "graph builder", edges * 40u);
    }
    for (uint32_t i = 0; i < workers; i++) {
        omen_status_t status = make_worker(graph, &build->worker[i], stride, err);
        if (status != OMEN_OK) {
            om_build_free(graph);
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_build_reserve(om_graph *graph, const om_graph_view *frozen, uint32_t workers,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (graph->build != NULL &&
        (graph->build->workers < workers || graph->build->stride != frozen->stride)) {
        om_build_free(graph);
    }
    if (graph->build == NULL) {
        OM_TRY(make_build(graph, workers, frozen->stride, err));
    }
    for (uint32_t i = 0; i < graph->build->workers; i++) {
        OM_TRY(om_graph_ctx_reserve(graph->build->worker[i].ctx, frozen,
                                    graph->params.ef_construction, err));
    }
out:
    return status;
}

void om_graph_trim(om_graph *graph)
{
    om_build_free(graph);
}
