/* metrics_totals.c - sums over what was reported, for the history.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "heap.h"
#include "metrics_int.h"

static uint64_t read(const om_metrics *m, om_cell_t cell)
{
    return om_registry_read(m->registry, cell);
}

static void add_buckets(const om_metrics *m, om_cell_t histogram, uint64_t *buckets)
{
    for (uint32_t i = 0; histogram != OM_CELL_NONE && i <= OM_HISTOGRAM_BOUNDS; i++) {
        buckets[i] += read(m, histogram + i);
    }
}

/* A gauge whose shards are read one after the other may seem to be below zero. */
static uint64_t level(uint64_t value)
{
    return (int64_t)value < 0 ? 0 : value;
}

/* The mutex is held: methods are still being added at the start. */
static void add_methods(const om_metrics *m, om_metrics_totals *out)
{
    enum { OK = 0, CANCELLED = 1 };
    for (uint32_t i = 0; i < m->method_count; i++) {
        const om_metrics_method *method = &m->methods[i];
        for (uint32_t code = 0; code < OM_METRICS_CODES; code++) {
            uint64_t n = read(m, method->handled[code]);
            out->calls += n;
            out->errors += code != OK && code != CANCELLED ? n : 0;
        }
        out->received_bytes += read(m, method->received_bytes);
        out->sent_bytes += read(m, method->sent_bytes);
    }
    for (uint32_t i = 0; i < OM_SHED_REASONS; i++) {
        out->refused += read(m, m->shed[i]);
    }
}

static void add_searches(const om_metrics *m, om_metrics_totals *out)
{
    uint64_t filtered[OM_HISTOGRAM_BOUNDS + 1] = {0};
    for (uint32_t i = 0; i < OM_PLANS; i++) {
        add_buckets(m, m->search_seconds[i], out->search);
        out->distances += read(m, m->search_distances[i]);
        out->hops += read(m, m->search_hops[i]);
    }
    add_buckets(m, m->filter_seconds, filtered);
    for (uint32_t i = 0; i <= OM_HISTOGRAM_BOUNDS; i++) {
        out->searches += out->search[i];
        out->filtered += filtered[i];
    }
    out->short_results = read(m, m->search_short);
    out->partial = read(m, m->search_partial);
    add_buckets(m, m->queue_wait, out->queue);
}

static void add_ingest(const om_metrics *m, om_metrics_totals *out)
{
    out->batches = read(m, m->ingest_batches);
    out->rows = read(m, m->ingest_rows);
    out->bytes = read(m, m->ingest_bytes);
    out->window_bytes = level(read(m, m->ingest_window));
    add_buckets(m, m->ingest_commit, out->commit);
    add_buckets(m, m->visible_lag, out->visible);
    for (uint32_t k = 1; k < OM_MAINTENANCE_KINDS; k++) {
        out->maintenance += level(read(m, m->maintenance_running[k]));
    }
}

void om_metrics_read(om_metrics *m, om_metrics_totals *out)
{
    om_heap_stats heap;
    memset(out, 0, sizeof *out);
    out->runtime.struct_size = sizeof out->runtime;
    out->db.struct_size = sizeof out->db;
    if (m == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&m->mutex);
    add_methods(m, out);
    bool runtime =
        m->runtime != NULL && omen_get_runtime_stats(m->runtime, &out->runtime, NULL) == OMEN_OK;
    bool db = m->db != NULL && omen_get_db_stats(m->db, &out->db, NULL) == OMEN_OK;
    (void)pthread_mutex_unlock(&m->mutex);
    if (!runtime) {
        memset(&out->runtime, 0, sizeof out->runtime);
    }
    if (!db) {
        memset(&out->db, 0, sizeof out->db);
    }
    add_searches(m, out);
    add_ingest(m, out);
    out->cpu_ns = om_metrics_cpu_ns();
    out->resident_bytes = om_metrics_resident();
    out->heap_bytes = om_heap_get_stats(&heap) ? heap.allocated : 0;
}
