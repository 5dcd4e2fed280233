/* metrics_report.c - what the service reports: every function is a few relaxed adds, and nothing when
 * there are no metrics. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "metrics_int.h"

/* ---- gRPC -------------------------------------------------------------------------------- */

void om_metrics_rpc_started(om_metrics_method *method)
{
    if (method != NULL) {
        om_registry_add(method->registry, method->started, 1);
        om_registry_add(method->registry, method->inflight, 1);
    }
}

void om_metrics_rpc_handled(om_metrics_method *method, uint32_t code, uint64_t ns)
{
    if (method != NULL) {
        uint32_t known = code < OM_METRICS_CODES ? code : 2;
        om_registry_add(method->registry, method->handled[known], 1);
        om_registry_add(method->registry, method->inflight, UINT64_MAX);
        om_registry_observe(method->registry, method->seconds, ns);
    }
}

void om_metrics_rpc_received(om_metrics_method *method, uint64_t bytes)
{
    if (method != NULL) {
        om_registry_add(method->registry, method->received, 1);
        om_registry_add(method->registry, method->received_bytes, bytes);
    }
}

void om_metrics_rpc_sent(om_metrics_method *method, uint64_t bytes)
{
    if (method != NULL) {
        om_registry_add(method->registry, method->sent, 1);
        om_registry_add(method->registry, method->sent_bytes, bytes);
    }
}

void om_metrics_rpc_shed(om_metrics *m, uint32_t why)
{
    if (m != NULL && why < OM_SHED_REASONS) {
        om_registry_add(m->registry, m->shed[why], 1);
    }
}

void om_metrics_rpc_unimplemented(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->unimplemented, 1);
    }
}

void om_metrics_accept_failure(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->accept_failures, 1);
    }
}

void om_metrics_queue_wait(om_metrics *m, uint64_t ns)
{
    if (m != NULL) {
        om_registry_observe(m->registry, m->queue_wait, ns);
    }
}

/* ---- Search and ingest ------------------------------------------------------------------- */

void om_metrics_search(om_metrics *m, const om_metrics_search_event *event)
{
    if (m == NULL) {
        return;
    }
    uint32_t known = event->plan >= 1 && event->plan <= OM_PLANS ? event->plan : OMEN_PLAN_GRAPH;
    uint32_t plan = known - 1;
    om_registry_observe(m->registry, m->search_seconds[plan], event->ns);
    om_registry_add(m->registry, m->search_distances[plan], event->distances);
    om_registry_add(m->registry, m->search_hops[plan], event->hops);
    if (event->flags & OM_SEARCH_FILTERED) {
        om_registry_observe(m->registry, m->filter_seconds, event->filter_ns);
    }
    if (event->postings != 0) {
        om_registry_add(m->registry, m->search_postings, event->postings);
    }
    if (event->flags & OM_SEARCH_SHORT) {
        om_registry_add(m->registry, m->search_short, 1);
    }
    if (event->flags & OM_SEARCH_PARTIAL) {
        om_registry_add(m->registry, m->search_partial, 1);
    }
}

void om_metrics_filter_error(om_metrics *m, int32_t detail)
{
    static const int32_t details[OM_FILTER_ERRORS] = {OMEN_D_FILTER_SYNTAX, OMEN_D_FIELD,
                                                      OMEN_D_TYPE, OMEN_D_LIMIT, OMEN_D_NONE};
    uint32_t i = 0;
    while (i < OM_FILTER_ERRORS - 1 && details[i] != detail) {
        i++;
    }
    if (m != NULL) {
        om_registry_add(m->registry, m->filter_errors[i], 1);
    }
}

void om_metrics_ingest_batch(om_metrics *m, uint64_t rows, uint64_t bytes, bool replayed)
{
    if (m == NULL) {
        return;
    }
    if (replayed) {
        om_registry_add(m->registry, m->ingest_replayed, 1);
        return;
    }
    om_registry_add(m->registry, m->ingest_batches, 1);
    om_registry_add(m->registry, m->ingest_rows, rows);
    om_registry_add(m->registry, m->ingest_bytes, bytes);
}

void om_metrics_ingest_streams(om_metrics *m, int64_t delta)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->ingest_streams, (uint64_t)delta);
    }
}

void om_metrics_ingest_window_bytes(om_metrics *m, int64_t delta)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->ingest_window, (uint64_t)delta);
    }
}

void om_metrics_ingest_stall(om_metrics *m, uint32_t why, uint64_t ns)
{
    if (m != NULL && why < OM_STALL_REASONS) {
        om_registry_add(m->registry, m->ingest_stall[why], ns);
    }
}

void om_metrics_ingest_commit(om_metrics *m, uint64_t ns)
{
    if (m != NULL) {
        om_registry_observe(m->registry, m->ingest_commit, ns);
    }
}

void om_metrics_ingest_visible(om_metrics *m, uint64_t ns)
{
    if (m != NULL) {
        om_registry_observe(m->registry, m->visible_lag, ns);
    }
}

/* ---- Other parts --------------------------------------------------------------------------- */

void om_metrics_add(om_metrics *m, om_cell_t cell, uint64_t n)
{
    if (m != NULL) {
        om_registry_add(m->registry, cell, n);
    }
}

void om_metrics_set(om_metrics *m, om_cell_t cell, double value)
{
    if (m != NULL) {
        om_registry_set(m->registry, cell, value);
    }
}

void om_metrics_observe(om_metrics *m, om_cell_t histogram, uint64_t ns)
{
    if (m != NULL) {
        om_registry_observe(m->registry, histogram, ns);
    }
}

/* ---- Maintenance -------------------------------------------------------------------------- */

enum { KIND_BACKUP = 3 };

void om_metrics_maintenance_started(om_metrics *m, uint32_t kind)
{
    if (m != NULL && kind > 0 && kind < OM_MAINTENANCE_KINDS) {
        om_registry_add(m->registry, m->maintenance_running[kind], 1);
    }
}

void om_metrics_maintenance_ended(om_metrics *m, const om_metrics_maintenance_event *e)
{
    if (m == NULL || e->kind == 0 || e->kind >= OM_MAINTENANCE_KINDS) {
        return;
    }
    om_registry_add(m->registry, m->maintenance_running[e->kind], UINT64_MAX);
    om_registry_add(m->registry, m->maintenance_seconds[e->kind], e->ns);
    om_registry_add(m->registry,
                    m->maintenance_ended[e->kind][e->ok          ? 0
                                                  : e->cancelled ? 2
                                                                 : 1],
                    1);
    if (e->kind == KIND_BACKUP && e->ok) {
        om_registry_set(m->registry, m->backup_success, (double)time(NULL));
    }
}

void om_metrics_backup_found(om_metrics *m, int64_t unix_ms)
{
    if (m != NULL) {
        om_registry_set(m->registry, m->backup_success, (double)unix_ms / 1000);
    }
}

bool om_metrics_database(om_metrics *m, omen_db_stats *out)
{
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    if (m == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&m->mutex);
    bool ok = m->db != NULL && omen_get_db_stats(m->db, out, NULL) == OMEN_OK;
    (void)pthread_mutex_unlock(&m->mutex);
    return ok;
}

/* ---- The process ------------------------------------------------------------------------- */

void om_metrics_tls_reload(om_metrics *m, bool ok)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->tls_reloads[ok ? 1 : 0], 1);
    }
}

void om_metrics_checksum_failure(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->checksum_failures, 1);
    }
}

void om_metrics_slow_call(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->slow_calls, 1);
    }
}

static void set(om_metrics *m, om_cell_t cell, double value)
{
    om_registry_set(m->registry, cell, value);
}

void om_metrics_lags(om_metrics *m, double durable_s, double index_s)
{
    if (m != NULL) {
        set(m, m->lags[0], durable_s);
        set(m, m->lags[1], index_s);
    }
}

void om_metrics_tls_expiry(om_metrics *m, int64_t unix_seconds)
{
    if (m != NULL) {
        set(m, m->tls_expiry, (double)unix_seconds);
    }
}

void om_metrics_startup_seconds(om_metrics *m, double seconds)
{
    if (m != NULL) {
        set(m, m->startup, seconds);
    }
}

void om_metrics_ready(om_metrics *m, bool ready)
{
    if (m != NULL) {
        set(m, m->ready, ready ? 1.0 : 0.0);
    }
}

void om_metrics_queues(om_metrics *m, uint64_t searches, uint64_t ingest)
{
    if (m != NULL) {
        set(m, m->queues[0], (double)searches);
        set(m, m->queues[1], (double)ingest);
    }
}

/* The log counts by itself: what is new since the last call is added. */
void om_metrics_log_counts(om_metrics *m, uint64_t suppressed, uint64_t failed)
{
    if (m == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&m->mutex);
    uint64_t had_suppressed = om_registry_read(m->registry, m->log_suppressed);
    uint64_t had_failed = om_registry_read(m->registry, m->log_failed);
    if (suppressed > had_suppressed) {
        om_registry_add(m->registry, m->log_suppressed, suppressed - had_suppressed);
    }
    if (failed > had_failed) {
        om_registry_add(m->registry, m->log_failed, failed - had_failed);
    }
    (void)pthread_mutex_unlock(&m->mutex);
}
