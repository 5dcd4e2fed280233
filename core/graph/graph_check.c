/* graph_check.c - the oracle over a whole graph: every rule of the link rows, and who can be reached.
 * Depends on: base.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

static omen_status_t check_row(const om_graph *graph, const om_graph_arrays *arrays, uint32_t slot,
                               uint32_t count, omen_error *err)
{
    const uint32_t *row = arrays->links + (size_t)slot * graph->words;
    uint32_t degree = om_link_load(row);
    if (degree > graph->m0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "links of slot %u: count %u above %u",
                       slot, degree, graph->m0);
    }
    for (uint32_t i = 1; i <= graph->m0; i++) {
        uint32_t neighbor = om_link_load(row + i);
        if (i > degree && neighbor != OM_NO_SLOT) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                           "links of slot %u: word %u is not padding", slot, i);
        }
        if (i <= degree && (neighbor >= count || neighbor == slot)) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                           "links of slot %u: link %u names slot %u of %u", slot, i, neighbor,
                           count);
        }
        for (uint32_t j = 1; i <= degree && j < i; j++) {
            if (om_link_load(row + j) == neighbor) {
                return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                               "links of slot %u: slot %u twice", slot, neighbor);
            }
        }
    }
    return OMEN_OK;
}

static void push(uint8_t *seen, uint32_t *queue, uint32_t *tail, uint32_t slot)
{
    if (!seen[slot]) {
        seen[slot] = 1;
        queue[(*tail)++] = slot;
    }
}

/* Breadth first from all entry points; returns how many nodes it saw. */
static uint32_t count_reached(const om_graph *graph, const om_graph_arrays *arrays, uint32_t count,
                              uint8_t *seen, uint32_t *queue)
{
    uint32_t head = 0, tail = 0;
    for (uint32_t i = 0; graph->seeds != NULL && i < graph->seeds->count; i++) {
        push(seen, queue, &tail, graph->seeds->slots[i]);
    }
    for (uint32_t i = 0; graph->upper != NULL && i < graph->upper->count; i++) {
        push(seen, queue, &tail, graph->upper->slots[i]);
    }
    while (head < tail) {
        const uint32_t *row = arrays->links + (size_t)queue[head++] * graph->words;
        uint32_t degree = om_link_load(row);
        for (uint32_t i = 1; i <= degree && tail < count; i++) {
            push(seen, queue, &tail, om_link_load(row + i));
        }
    }
    return tail;
}

omen_status_t om_graph_check(const om_graph *graph, const om_graph_arrays *arrays,
                             om_graph_report *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t count = om_graph_count(graph);
    om_graph_report report = {.nodes = count, .min_degree = count > 0 ? UINT32_MAX : 0};
    uint64_t degrees = 0;
    uint8_t *seen = om_alloc_zero(graph->alloc, (size_t)count + 1, 1, OM_CACHE_LINE);
    uint32_t *queue =
        om_alloc_zero(graph->alloc, (size_t)count + 1, sizeof(uint32_t), OM_CACHE_LINE);
    if (seen == NULL || queue == NULL) {
        status = om_fail_memory(err, "graph check", (uint64_t)count * 5u);
        goto out;
    }
    for (uint32_t slot = 0; slot < count; slot++) {
        OM_TRY(check_row(graph, arrays, slot, count, err));
        uint32_t degree = om_link_load(arrays->links + (size_t)slot * graph->words);
        report.min_degree = om_min_u32(report.min_degree, degree);
        report.max_degree = om_max_u32(report.max_degree, degree);
        degrees += degree;
    }
    report.mean_degree = count > 0 ? (double)degrees / count : 0.0;
    report.unreached = count - count_reached(graph, arrays, count, seen, queue);
    *out = report;
out:
    om_alloc_put(graph->alloc, seen, (size_t)count + 1, OM_CACHE_LINE);
    om_alloc_put(graph->alloc, queue, ((size_t)count + 1) * sizeof(uint32_t), OM_CACHE_LINE);
    return status;
}
