/* graph_insert.c - a micro-batch: every new node searches the graph as it was before the batch and looks at
 * the earlier rows of its batch; then reverse edges are added target by target. The result depends on the
 * rows and the batch borders only (batch-parallel building as in ParlayANN, PPoPP 2024).
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

/* Nodes a task: small enough to balance the last tasks of a batch, large enough to hide the hand-out. */
#define NODES_PER_TASK 4u

typedef struct insert_job {
    om_graph *graph;
    const om_graph_arrays *arrays;
    om_graph_view frozen;
    uint32_t first, n;
} insert_job;

uint32_t om_graph_batch_end(uint32_t first)
{
    /* Small batches while the graph is small (a batch does not search itself), larger ones later, so that
     * many threads have work between two barriers. Aligned, hence a function of the slot alone. */
    uint32_t size = first < 4096 ? 64 : first < 65536 ? 256 : 512;
    return (first / size + 1) * size;
}

/* The nearest earlier rows of the micro-batch, into worker->merge, ascending. */
static uint32_t batch_candidates(const insert_job *job, om_worker *worker, const om_probe *probe,
                                 uint32_t slot)
{
    const om_kernels *kernels = job->graph->kernels;
    om_graph_ctx *ctx = worker->ctx;
    uint32_t size = 0;
    for (uint32_t at = job->first; at < slot; at += OM_GATHER_MAX) {
        uint32_t n = om_min_u32(OM_GATHER_MAX, slot - at);
        for (uint32_t i = 0; i < n; i++) {
            ctx->ids[i] = at + i;
            ctx->flipped[i] = OM_SLOT_FLIP - (at + i);
        }
        kernels->gather[probe->kind](probe, job->arrays->codes, job->frozen.stride, ctx->ids, n,
                                     ctx->distance);
        int32_t limit = INT32_MAX;
        if (size == OM_BATCH_CANDIDATES) {
            limit = om_key_distance(worker->merge[size - 1]);
            limit += limit < INT32_MAX;
        }
        uint32_t packed = kernels->pack_below(ctx->distance, ctx->flipped, n, limit, ctx->packed);
        for (uint32_t i = 0; i < packed; i++) {
            if (size < OM_BATCH_CANDIDATES || ctx->packed[i] < worker->merge[size - 1]) {
                (void)kernels->beam_insert(worker->merge, size, OM_BATCH_CANDIDATES,
                                           ctx->packed[i]);
                size += size < OM_BATCH_CANDIDATES;
            }
        }
    }
    return size;
}

/* Merges the beam and the candidates of the batch, nearest first. */
static void merge_candidates(om_worker *worker, uint32_t beam_size, uint32_t batch_size)
{
    const uint64_t *beam = worker->ctx->beam, *batch = worker->merge;
    om_candidates *list = &worker->list;
    uint32_t a = 0, b = 0;
    list->n = 0;
    while (a < beam_size || b < batch_size) {
        bool from_batch = a == beam_size || (b < batch_size && batch[b] < beam[a]);
        uint64_t key = from_batch ? batch[b] : beam[a];
        a += !from_batch;
        b += from_batch;
        list->slot[list->n] = om_flip_slot(key);
        list->distance[list->n] = om_key_distance(key);
        list->n++;
    }
}

static void write_new_row(const insert_job *job, const om_candidates *list, uint32_t slot)
{
    uint32_t words = job->graph->words;
    uint32_t *row = om_link_row(job->arrays->links, words, slot);
    om_link_store(row, list->n);
    for (uint32_t i = 0; i + 1 < words; i++) {
        om_link_store(row + 1 + i, i < list->n ? list->slot[i] : OM_NO_SLOT);
    }
}

static void insert_node(const insert_job *job, om_worker *worker, uint32_t i)
{
    om_graph *graph = job->graph;
    om_build *build = graph->build;
    uint32_t slot = job->first + i, size = 0;
    om_graph_counters counters = {0};
    om_probe probe;
    om_codec_row_probe(job->arrays->codec, job->arrays->codes + (size_t)slot * job->frozen.stride,
                       worker->probe_data, &probe);
    if (job->frozen.count > 0) {
        om_ctx_begin(worker->ctx, job->frozen.count);
        size = om_entry_search(&job->frozen, worker->ctx, &probe, graph->params.ef_construction,
                               &counters);
        (void)om_graph_walk(&job->frozen, worker->ctx, &probe, graph->params.ef_construction, &size,
                            NULL, &counters);
    }
    uint32_t batch_size = batch_candidates(job, worker, &probe, slot);
    merge_candidates(worker, size, batch_size);
    om_select(graph, job->arrays, worker, graph->m);
    write_new_row(job, &worker->list, slot);
    build->chosen_count[i] = worker->list.n;
    for (uint32_t j = 0; j < worker->list.n; j++) {
        build->chosen[i * graph->m + j] = worker->list.slot[j];
        build->chosen_dist[i * graph->m + j] = worker->list.distance[j];
    }
}

static void insert_task(void *arg, uint32_t worker, uint32_t task)
{
    const insert_job *job = arg;
    uint32_t end = om_min_u32(job->n, (task + 1) * NODES_PER_TASK);
    for (uint32_t i = task * NODES_PER_TASK; i < end; i++) {
        insert_node(job, &job->graph->build->worker[worker], i);
    }
}

/* The edges target <- source of the batch, in source order. Incoming links are counted from here on. */
static uint32_t collect_edges(const om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n)
{
    om_build *build = graph->build;
    uint32_t edges = 0;
    for (uint32_t i = 0; i < n; i++) {
        om_guard_reset(arrays, first + i);
        for (uint32_t j = 0; j < build->chosen_count[i]; j++) {
            build->edge[edges++] = (om_redge){build->chosen[i * graph->m + j], first + i,
                                              build->chosen_dist[i * graph->m + j]};
        }
    }
    return edges;
}

omen_status_t om_graph_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t n,
                              om_executor *executor, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t first = om_graph_count(graph);
    om_assert(n >= 1 && n <= OM_GRAPH_MAX_BATCH && arrays->incoming != NULL);
    insert_job job = {.graph = graph, .arrays = arrays, .first = first, .n = n};
    om_view_fill(graph, arrays, &job.frozen);
    job.frozen.entry = (om_entry_view){0};
    OM_TRY(om_entry_view_init(graph, &job.frozen.entry, arrays, err));
    OM_TRY(om_build_reserve(graph, &job.frozen, executor->threads, err));
    executor->run(executor, insert_task, &job, (n + NODES_PER_TASK - 1) / NODES_PER_TASK);
    OM_TRY(om_entry_insert(graph, arrays, first, n, executor, err));
    om_link_reverse(graph, arrays, collect_edges(graph, arrays, first, n), executor);
    om_guard_mend(graph, arrays, first, n);
    atomic_store_explicit(&graph->count, first + n, memory_order_release);
out:
    om_entry_view_release(&job.frozen.entry);
    return status;
}
