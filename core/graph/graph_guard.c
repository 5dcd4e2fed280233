/* graph_guard.c - no node without an incoming link. Pruning a full list can drop the last link that leads
 * to a node, which no search would then find again (peers: lucene #12627, hnswlib #352). Every node's
 * incoming links are counted while the graph is built; a node that lost its last one is linked again
 * from its nearest neighbour. The counts do not depend on the order of threads, and the mending runs on
 * one thread in slot order, so the graph stays deterministic.
 * Depends on: base.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_int.h"

static uint32_t incoming(const om_graph_arrays *arrays, uint32_t slot)
{
    return __atomic_load_n(arrays->incoming + slot, __ATOMIC_RELAXED);
}

void om_guard_reset(const om_graph_arrays *arrays, uint32_t slot)
{
    __atomic_store_n(arrays->incoming + slot, 0, __ATOMIC_RELAXED);
}

void om_guard_add(const om_graph_arrays *arrays, uint32_t slot, uint32_t links)
{
    __atomic_fetch_add(arrays->incoming + slot, links, __ATOMIC_RELAXED);
}

void om_guard_drop(const om_graph_arrays *arrays, om_worker *worker, uint32_t slot)
{
    __atomic_fetch_sub(arrays->incoming + slot, 1, __ATOMIC_RELAXED);
    if (worker->dropped_count < OM_DROPPED_MAX) {
        worker->dropped[worker->dropped_count] = slot;
    }
    /* Beyond the buffer the count goes on: the guard then looks at every node. */
    worker->dropped_count++;
}

/* Puts `slot` into the row of `from`, in place of the farthest link that its node can spare when the row
 * is full. False when every node in the row depends on it. */
static bool link_from(const om_graph *graph, const om_graph_arrays *arrays, uint32_t from,
                      uint32_t slot)
{
    uint32_t *row = om_link_row(arrays->links, graph->words, from);
    uint32_t count = om_link_load(row), hole = count + 1;
    if (count == graph->m0) {
        for (hole = count; hole > 0 && incoming(arrays, om_link_load(row + hole)) < 2; hole--) {
        }
        if (hole == 0) {
            return false;
        }
        __atomic_fetch_sub(arrays->incoming + om_link_load(row + hole), 1, __ATOMIC_RELAXED);
    }
    /* Out of order, at the end or where the hole was: the next change of the list sorts it. */
    om_link_store(row + hole, slot);
    om_link_store(row, om_min_u32(count + 1, graph->m0));
    om_guard_add(arrays, slot, 1);
    return true;
}

static void mend(const om_graph *graph, const om_graph_arrays *arrays, uint32_t slot)
{
    const uint32_t *row = om_link_row(arrays->links, graph->words, slot);
    uint32_t count = om_link_load(row);
    for (uint32_t i = 1; i <= count && incoming(arrays, slot) == 0; i++) {
        (void)link_from(graph, arrays, om_link_load(row + i), slot);
    }
}

static void sort_slots(uint32_t *slots, uint32_t n)
{
    for (uint32_t gap = n / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < n; i++) {
            uint32_t slot = slots[i], at = i;
            for (; at >= gap && slots[at - gap] > slot; at -= gap) {
                slots[at] = slots[at - gap];
            }
            slots[at] = slot;
        }
    }
}

void om_guard_mend(om_graph *graph, const om_graph_arrays *arrays, uint32_t first, uint32_t n)
{
    om_build *build = graph->build;
    bool all = false;
    uint32_t lonely = 0;
    for (uint32_t w = 0; w < build->workers; w++) {
        om_worker *worker = &build->worker[w];
        all = all || worker->dropped_count > OM_DROPPED_MAX;
        for (uint32_t i = 0; i < om_min_u32(worker->dropped_count, OM_DROPPED_MAX); i++) {
            if (incoming(arrays, worker->dropped[i]) == 0 && worker->dropped[i] < first) {
                build->lonely[lonely++] = worker->dropped[i];
            }
        }
        worker->dropped_count = 0;
    }
    sort_slots(build->lonely, all ? 0 : lonely);
    for (uint32_t i = 0; !all && i < lonely; i++) {
        mend(graph, arrays, build->lonely[i]);
    }
    for (uint32_t slot = all ? 0 : first; slot < first + n; slot++) {
        mend(graph, arrays, slot);
    }
}
