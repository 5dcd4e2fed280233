/* graph_link.c - reverse edges: sorted by target, each target's list changed once, by one thread.
 * Depends on: base, simd, quant.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"

#define RADIX_BITS 11u
#define RADIX_SIZE (1u << RADIX_BITS)
#define GROUPS_PER_TASK 16u

typedef struct link_job {
    om_graph *graph;
    const om_graph_arrays *arrays;
    uint32_t groups;
} link_job;

/* Stable, so that the edges of a target stay in source order: the result is the same on every machine. */
static void sort_by_target(om_build *build, uint32_t edges)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < edges; i++) {
        largest = om_max_u32(largest, build->edge[i].target);
    }
    for (uint32_t shift = 0; shift < 32 && (shift == 0 || largest >> shift != 0);
         shift += RADIX_BITS) {
        uint32_t start[RADIX_SIZE] = {0};
        for (uint32_t i = 0; i < edges; i++) {
            start[(build->edge[i].target >> shift) % RADIX_SIZE]++;
        }
        for (uint32_t digit = 0, at = 0; digit < RADIX_SIZE; digit++) {
            uint32_t size = start[digit];
            start[digit] = at;
            at += size;
        }
        for (uint32_t i = 0; i < edges; i++) {
            build->edge_sorted[start[(build->edge[i].target >> shift) % RADIX_SIZE]++] =
                build->edge[i];
        }
        om_redge *sorted = build->edge_sorted;
        build->edge_sorted = build->edge;
        build->edge = sorted;
    }
}

static uint32_t find_groups(om_build *build, uint32_t edges)
{
    uint32_t groups = 0;
    for (uint32_t i = 0; i < edges; i++) {
        if (i == 0 || build->edge[i].target != build->edge[i - 1].target) {
            build->group[groups++] = i;
        }
    }
    build->group[groups] = edges;
    return groups;
}

void om_node_distances(const om_graph *graph, const om_graph_arrays *arrays, om_worker *worker,
                       uint32_t node, const uint32_t *slots, uint32_t n, int32_t *out)
{
    size_t stride = om_codec_stride(arrays->codec);
    om_probe probe;
    om_codec_row_probe(arrays->codec, arrays->codes + (size_t)node * stride, worker->probe_data,
                       &probe);
    graph->kernels->gather[probe.kind](&probe, arrays->codes, stride, slots, n, out);
}

/* Moves the last entry of the list to its place: nearest first, at equal distance the newest first. */
static void settle_last(om_candidates *list)
{
    uint32_t at = list->n - 1, slot = list->slot[at];
    int32_t distance = list->distance[at];
    while (at > 0 && (list->distance[at - 1] > distance ||
                      (list->distance[at - 1] == distance && list->slot[at - 1] < slot))) {
        list->slot[at] = list->slot[at - 1];
        list->distance[at] = list->distance[at - 1];
        at--;
    }
    list->slot[at] = slot;
    list->distance[at] = distance;
}

/* The present list and the new edges together, in order. */
static void gather_list(const link_job *job, om_worker *worker, uint32_t target,
                        const om_redge *edge, uint32_t n)
{
    om_candidates *list = &worker->list;
    const uint32_t *row = om_link_row(job->arrays->links, job->graph->words, target);
    uint32_t present = om_link_load(row);
    for (uint32_t i = 0; i < present; i++) {
        worker->gather_ids[i] = om_link_load(row + 1 + i);
    }
    om_node_distances(job->graph, job->arrays, worker, target, worker->gather_ids, present,
                      worker->gather_out);
    list->n = 0;
    for (uint32_t i = 0; i < present + n; i++) {
        bool old = i < present;
        list->slot[list->n] = old ? worker->gather_ids[i] : edge[i - present].source;
        list->distance[list->n] = old ? worker->gather_out[i] : edge[i - present].distance;
        list->n++;
        settle_last(list);
    }
}

/* Which links the pruned list no longer has. Both lists are short: a row and its new edges. */
static void count_dropped(const link_job *job, om_worker *worker, uint32_t target,
                          const om_redge *edge, uint32_t n)
{
    const om_graph *graph = job->graph;
    const om_candidates *list = &worker->list;
    const uint32_t *row = om_link_row(job->arrays->links, graph->words, target);
    uint32_t before = om_link_load(row);
    for (uint32_t i = 1; i <= before; i++) {
        uint32_t slot = om_link_load(row + i), at = 0;
        while (at < list->n && list->slot[at] != slot) {
            at++;
        }
        if (at == list->n) {
            om_guard_drop(job->arrays, worker, slot);
        }
    }
    for (uint32_t i = 0; i < list->n; i++) {
        uint32_t at = 0;
        while (at < n && edge[at].source != list->slot[i]) {
            at++;
        }
        if (at < n) {
            om_guard_add(job->arrays, list->slot[i], 1);
        }
    }
}

static void write_list(const link_job *job, const om_candidates *list, uint32_t target)
{
    uint32_t words = job->graph->words;
    uint32_t *row = om_link_row(job->arrays->links, words, target);
    uint32_t before = om_link_load(row);
    for (uint32_t i = 0; i < om_max_u32(list->n, before); i++) {
        om_link_store(row + 1 + i, i < list->n ? list->slot[i] : OM_NO_SLOT);
    }
    om_link_store(row, list->n);
}

static void link_task(void *arg, uint32_t worker_index, uint32_t task)
{
    const link_job *job = arg;
    om_build *build = job->graph->build;
    om_worker *worker = &build->worker[worker_index];
    uint32_t end = om_min_u32(job->groups, (task + 1) * GROUPS_PER_TASK);
    for (uint32_t group = task * GROUPS_PER_TASK; group < end; group++) {
        uint32_t at = build->group[group], n = build->group[group + 1] - at;
        uint32_t target = build->edge[at].target;
        gather_list(job, worker, target, build->edge + at, n);
        om_guard_add(job->arrays, target, n);
        if (worker->list.n > job->graph->m0) {
            om_select(job->graph, job->arrays, worker, job->graph->m0);
            count_dropped(job, worker, target, build->edge + at, n);
        } else {
            for (uint32_t i = 0; i < n; i++) {
                om_guard_add(job->arrays, build->edge[at + i].source, 1);
            }
        }
        write_list(job, &worker->list, target);
    }
}

void om_link_reverse(om_graph *graph, const om_graph_arrays *arrays, uint32_t edges,
                     om_executor *executor)
{
    sort_by_target(graph->build, edges);
    link_job job = {graph, arrays, find_groups(graph->build, edges)};
    executor->run(executor, link_task, &job, (job.groups + GROUPS_PER_TASK - 1) / GROUPS_PER_TASK);
}
