/* graph_entry.c - the one interface over both ways to find starting points: seeds or hierarchy.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

omen_status_t om_entry_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n, om_executor *executor, omen_error *err)
{
    return graph->hierarchy ? om_upper_insert(graph, arrays, first, n, executor, err)
                            : om_seeds_insert(graph, arrays, first, n, err);
}

omen_status_t om_entry_rescore(om_graph *graph, const om_graph_arrays *arrays,
                               om_executor *executor, omen_error *err)
{
    return graph->hierarchy ? om_upper_rescore(graph, arrays, executor, err)
                            : om_cover_draw(graph, arrays, om_graph_count(graph), err);
}

omen_status_t om_entry_view_init(om_graph *graph, om_entry_view *entry,
                                 const om_graph_arrays *arrays, omen_error *err)
{
    size_t stride = om_codec_stride(arrays->codec);
    *entry = (om_entry_view){0};
    if ((graph->seeds != NULL && graph->seeds->stride != stride) ||
        (graph->upper != NULL && graph->upper->stride != stride)) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "entry points: their code rows do not have the %zu bytes of the codec's",
                       stride);
    }
    if (graph->hierarchy && graph->upper != NULL) {
        om_graph_arrays rows = om_upper_arrays(graph->upper, arrays->codec);
        omen_status_t status =
            om_graph_view_create(graph->upper_graph, &rows, &entry->upper_view, err);
        if (status != OMEN_OK) {
            return status;
        }
        entry->upper = graph->upper;
        atomic_fetch_add_explicit(&entry->upper->refs, 1, memory_order_relaxed);
    }
    if (graph->seeds != NULL) {
        entry->seeds = graph->seeds;
        entry->seed_count = graph->seeds->count;
        atomic_fetch_add_explicit(&entry->seeds->refs, 1, memory_order_relaxed);
    }
    return OMEN_OK;
}

void om_entry_view_release(om_entry_view *entry)
{
    om_graph_view_free(entry->upper_view);
    om_upper_release(entry->upper);
    om_seeds_release(entry->seeds);
    *entry = (om_entry_view){0};
}

void om_entry_free(om_graph *graph)
{
    om_graph_free(graph->upper_graph);
    om_upper_release(graph->upper);
    om_seeds_release(graph->seeds);
    graph->upper_graph = NULL;
    graph->upper = NULL;
    graph->seeds = NULL;
}

/* Starting points through the hierarchy: its rows hold the same codes, so distances carry over. */
static uint32_t search_upper(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                             uint32_t wanted, om_graph_counters *counters)
{
    om_graph_ctx *upper_ctx = ctx->upper;
    const om_entry_view *entry = &view->entry;
    uint32_t found = 0, size = 0;
    om_ctx_begin(upper_ctx, entry->upper_view->count);
    found = om_seeds_search(entry->upper_view, upper_ctx, probe, wanted, counters);
    /* Bounded by the size of the upper graph and by `wanted`: not worth a look at the stop flag. */
    (void)om_graph_walk(entry->upper_view, upper_ctx, probe, wanted, &found, NULL, counters);
    for (uint32_t i = 0; i < found; i++) {
        uint64_t key = upper_ctx->beam[i];
        uint32_t slot = entry->upper->slots[om_flip_slot(key)];
        uint64_t here = om_key_pack(om_key_distance(key), OM_SLOT_FLIP - slot);
        (void)view->kernels->beam_insert(ctx->beam, size, wanted, here);
        size++;
    }
    return size;
}

uint32_t om_entry_search(const om_graph_view *view, om_graph_ctx *ctx, const om_probe *probe,
                         uint32_t ef, om_graph_counters *counters)
{
    uint32_t wanted = om_min_u32(ef, OM_ENTRY_WANTED);
    uint32_t size = view->entry.upper_view != NULL
                        ? search_upper(view, ctx, probe, wanted, counters)
                        : om_seeds_search(view, ctx, probe, wanted, counters);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < size; i++) {
        uint32_t slot = om_flip_slot(ctx->beam[i]);
        /* Entry structures grow before the view does: what is newer than the view is left out. */
        if (slot < view->count && ctx->visited[slot] != ctx->epoch) {
            ctx->visited[slot] = ctx->epoch;
            ctx->beam[kept++] = ctx->beam[i];
        }
    }
    return kept;
}
