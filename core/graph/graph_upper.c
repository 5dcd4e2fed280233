/* graph_upper.c - entry by hierarchy: every 16th node belongs to a graph of its own, whose code and link
 * rows lie side by side; its own entry are seeds. The upper levels of HNSW (Malkov, Yashunin, TPAMI 2018)
 * thus need no code besides that of level 0.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"
#include "rng.h"

#define UPPER_RATIO 16u
#define UPPER_FIRST_CAPACITY 1024u

/* The level of a node is a function of its slot alone. Slot 0 is always there: an entry must exist. */
static bool is_upper(const om_graph *graph, uint32_t slot)
{
    return slot == 0 || om_mix64(graph->params.seed ^ slot) % UPPER_RATIO == 0;
}

omen_status_t om_upper_create(const om_alloc *alloc, uint32_t capacity, size_t stride, uint32_t m,
                              om_upper **out, omen_error *err)
{
    om_upper *upper = om_alloc_zero(alloc, 1, sizeof *upper, OM_CACHE_LINE);
    if (upper == NULL) {
        return om_fail_memory(err, "hierarchy", sizeof *upper);
    }
    upper->alloc = alloc;
    upper->capacity = capacity;
    upper->stride = stride;
    upper->link_stride = om_graph_link_stride(m);
    atomic_init(&upper->refs, 1);
    upper->slots = om_alloc_zero(alloc, capacity, sizeof(uint32_t), OM_CACHE_LINE);
    upper->codes = om_alloc_zero(alloc, capacity, stride, OM_CACHE_LINE);
    upper->links = om_alloc_zero(alloc, capacity, upper->link_stride, OM_CACHE_LINE);
    upper->incoming = om_alloc_zero(alloc, capacity, sizeof(uint32_t), OM_CACHE_LINE);
    if (upper->slots == NULL || upper->codes == NULL || upper->links == NULL ||
        upper->incoming == NULL) {
        om_upper_release(upper);
        return om_fail_memory(err, "hierarchy", (uint64_t)capacity * (stride + 260u));
    }
    *out = upper;
    return OMEN_OK;
}

void om_upper_release(om_upper *upper)
{
    if (upper == NULL || atomic_fetch_sub_explicit(&upper->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    size_t capacity = upper->capacity;
    if (!upper->borrowed) {
        om_alloc_put(upper->alloc, upper->slots, capacity * sizeof(uint32_t), OM_CACHE_LINE);
        om_alloc_put(upper->alloc, upper->codes, capacity * upper->stride, OM_CACHE_LINE);
        om_alloc_put(upper->alloc, upper->links, capacity * upper->link_stride, OM_CACHE_LINE);
        om_alloc_put(upper->alloc, upper->incoming, capacity * sizeof(uint32_t), OM_CACHE_LINE);
    }
    om_alloc_put(upper->alloc, upper, sizeof *upper, OM_CACHE_LINE);
}

om_graph_arrays om_upper_arrays(const om_upper *upper, const om_codec *codec)
{
    return (om_graph_arrays){codec, upper->codes, upper->links, upper->incoming};
}

/* A copy with room for `capacity` rows. Old views keep the old one; code rows are taken over only when the
 * codec is still the same. */
static omen_status_t replace_upper(om_graph *graph, const om_codec *codec, uint32_t capacity,
                                   omen_error *err)
{
    om_upper *old = graph->upper, *fresh = NULL;
    omen_status_t status =
        om_upper_create(graph->alloc, capacity, om_codec_stride(codec), graph->m, &fresh, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (old != NULL) {
        fresh->count = old->count;
        memcpy(fresh->slots, old->slots, old->count * sizeof(uint32_t));
        memcpy(fresh->links, old->links, old->count * old->link_stride);
        memcpy(fresh->incoming, old->incoming, old->count * sizeof(uint32_t));
        if (fresh->stride == old->stride) {
            memcpy(fresh->codes, old->codes, old->count * old->stride);
        }
        om_upper_release(old);
    }
    graph->upper = fresh;
    return OMEN_OK;
}

omen_status_t om_upper_insert(om_graph *graph, const om_graph_arrays *arrays, uint32_t first,
                              uint32_t n, om_executor *executor, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (graph->upper_graph == NULL) {
        om_graph_params params = graph->params;
        params.entry = OMEN_ENTRY_SEEDS;
        OM_TRY(om_graph_create(graph->alloc, &params, &graph->upper_graph, err));
    }
    uint32_t have = graph->upper != NULL ? graph->upper->count : 0;
    uint32_t capacity = graph->upper != NULL ? graph->upper->capacity : 0;
    if (have + n > capacity) {
        capacity = om_max_u32(UPPER_FIRST_CAPACITY, om_max_u32(have + n, 2 * capacity));
        OM_TRY(replace_upper(graph, arrays->codec, capacity, err));
    }
    om_upper *upper = graph->upper;
    uint32_t added = 0;
    for (uint32_t slot = first; slot < first + n; slot++) {
        if (is_upper(graph, slot)) {
            upper->slots[have + added] = slot;
            memcpy(upper->codes + (have + added) * upper->stride,
                   arrays->codes + (size_t)slot * upper->stride, upper->stride);
            added++;
        }
    }
    if (added > 0) {
        om_graph_arrays rows = om_upper_arrays(upper, arrays->codec);
        OM_TRY(om_graph_insert(graph->upper_graph, &rows, added, executor, err));
        upper->count = have + added;
    }
out:
    return status;
}

omen_status_t om_upper_rescore(om_graph *graph, const om_graph_arrays *arrays,
                               om_executor *executor, omen_error *err)
{
    if (graph->upper == NULL) {
        return OMEN_OK;
    }
    omen_status_t status = replace_upper(graph, arrays->codec, graph->upper->capacity, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_upper *upper = graph->upper;
    for (uint32_t i = 0; i < upper->count; i++) {
        memcpy(upper->codes + i * upper->stride,
               arrays->codes + (size_t)upper->slots[i] * upper->stride, upper->stride);
    }
    om_graph_arrays rows = om_upper_arrays(upper, arrays->codec);
    return om_graph_rescore(graph->upper_graph, &rows, executor, err);
}
