/* graph.c - the graph object and its views; what a change of codec asks of it.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

size_t om_graph_link_stride(uint32_t m)
{
    /* One word for the count and 2m - 1 links: exactly two cache lines at m = 16. */
    return om_round_up((size_t)2 * m * sizeof(uint32_t), OM_CACHE_LINE);
}

omen_status_t om_graph_create(const om_alloc *alloc, const om_graph_params *params, om_graph **out,
                              omen_error *err)
{
    om_assert(params->m >= 2 && params->m <= OMEN_MAX_M);
    om_graph *graph = om_alloc_zero(alloc, 1, sizeof *graph, OM_CACHE_LINE);
    if (graph == NULL) {
        return om_fail_memory(err, "graph", sizeof *graph);
    }
    graph->alloc = alloc;
    graph->kernels = om_kernels_get();
    graph->params = *params;
    graph->m = params->m;
    graph->m0 = 2 * params->m - 1;
    graph->words = (uint32_t)(om_graph_link_stride(params->m) / sizeof(uint32_t));
    graph->hierarchy = params->entry == OMEN_ENTRY_HIERARCHY;
    atomic_init(&graph->count, 0);
    *out = graph;
    return OMEN_OK;
}

void om_graph_free(om_graph *graph)
{
    if (graph != NULL) {
        om_entry_free(graph);
        om_build_free(graph);
        om_alloc_put(graph->alloc, graph, sizeof *graph, OM_CACHE_LINE);
    }
}

uint32_t om_graph_count(const om_graph *graph)
{
    return atomic_load_explicit(&graph->count, memory_order_acquire);
}

void om_view_fill(const om_graph *graph, const om_graph_arrays *arrays, om_graph_view *view)
{
    view->alloc = graph->alloc;
    view->kernels = graph->kernels;
    view->arrays = *arrays;
    view->stride = om_codec_stride(arrays->codec);
    view->words = graph->words;
    view->m0 = graph->m0;
    view->count = om_graph_count(graph);
}

omen_status_t om_graph_view_create(om_graph *graph, const om_graph_arrays *arrays,
                                   om_graph_view **out, omen_error *err)
{
    om_graph_view *view = om_alloc_zero(graph->alloc, 1, sizeof *view, OM_CACHE_LINE);
    if (view == NULL) {
        return om_fail_memory(err, "graph view", sizeof *view);
    }
    om_view_fill(graph, arrays, view);
    omen_status_t status = om_entry_view_init(graph, &view->entry, arrays, err);
    if (status != OMEN_OK) {
        om_alloc_put(graph->alloc, view, sizeof *view, OM_CACHE_LINE);
        return status;
    }
    *out = view;
    return OMEN_OK;
}

void om_graph_view_free(om_graph_view *view)
{
    if (view != NULL) {
        om_entry_view_release(&view->entry);
        om_alloc_put(view->alloc, view, sizeof *view, OM_CACHE_LINE);
    }
}

uint32_t om_graph_view_count(const om_graph_view *view)
{
    return view->count;
}

omen_status_t om_graph_rescore(om_graph *graph, const om_graph_arrays *arrays,
                               om_executor *executor, omen_error *err)
{
    return om_graph_count(graph) == 0 ? OMEN_OK : om_entry_rescore(graph, arrays, executor, err);
}
