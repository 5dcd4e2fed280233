/* metrics.c - the families of omend, what the service reports to them, and the page as a whole.
 * SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include "metrics_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const code_names[OM_METRICS_CODES] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
/* By OMEN_PLAN_* less one: the names of omen_plan_name. */
static const char *const plan_labels[OM_PLANS] = {
    "plan=\"exact\"",     "plan=\"graph\"",      "plan=\"empty\"",
    "plan=\"filter_in\"", "plan=\"filter_hop\"", "plan=\"filter_bridge\"",
    "plan=\"abandoned\"", "plan=\"text\"",       "plan=\"hybrid\""};
static const struct {
    int32_t detail; /* of the engine; the last one: any other */
    const char *label;
} filter_errors[OM_FILTER_ERRORS] = {{OMEN_D_FILTER_SYNTAX, "reason=\"FILTER_SYNTAX\""},
                                     {OMEN_D_FIELD, "reason=\"FIELD\""},
                                     {OMEN_D_TYPE, "reason=\"TYPE\""},
                                     {OMEN_D_LIMIT, "reason=\"LIMIT\""},
                                     {OMEN_D_NONE, "reason=\"OTHER\""}};

static void add_rpc_families(om_metrics *m)
{
    om_registry *r = m->registry;
    om_metrics_families *f = &m->rpc;
    f->started = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_started_total",
                                    "Calls that arrived.");
    f->handled = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_handled_total",
                                    "Calls that ended, by status code.");
    f->seconds = om_registry_family(r, OM_FAMILY_HISTOGRAM, "omendb_grpc_server_handling_seconds",
                                    "From the arrival of a call to its end; streams: their life.");
    f->inflight =
        om_registry_family(r, OM_FAMILY_GAUGE, "omendb_grpc_server_inflight", "Calls that run.");
    f->received = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_msg_received_total",
                                     "Messages received.");
    f->received_bytes =
        om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_msg_received_bytes_total",
                           "Bytes of the messages received.");
    f->sent = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_msg_sent_total",
                                 "Messages sent.");
    f->sent_bytes =
        om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_msg_sent_bytes_total",
                           "Bytes of the messages sent.");
}

/* A family with one series and no labels. */
static om_cell_t add_single(om_metrics *m, uint32_t type, const char *name, const char *help)
{
    return om_registry_series(m->registry, om_registry_family(m->registry, type, name, help), "");
}

/* A family with one series for each of n label texts. */
static void add_set(om_metrics *m, int family, const char *const *labels, om_cell_t *cells,
                    uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        cells[i] = om_registry_series(m->registry, family, labels[i]);
    }
}

static void add_service_families(om_metrics *m)
{
    static const char *const why[OM_SHED_REASONS] = {
        "why=\"inflight\"", "why=\"queue\"", "why=\"draining\"",    "why=\"memory\"",
        "why=\"deadline\"", "why=\"rate\"",  "why=\"concurrency\"", "why=\"quota\""};
    static const char *const queues[2] = {"queue=\"search\"", "queue=\"ingest\""};
    static const char *const results[2] = {"result=\"failed\"", "result=\"ok\""};
    om_registry *r = m->registry;
    add_set(m,
            om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_shed_total",
                               "Calls refused before they ran, by reason."),
            why, m->shed, OM_SHED_REASONS);
    m->unimplemented = add_single(m, OM_FAMILY_COUNTER, "omendb_grpc_server_unimplemented_total",
                                  "Calls of methods that do not exist.");
    m->accept_failures =
        add_single(m, OM_FAMILY_COUNTER, "omendb_grpc_server_accept_failures_total",
                   "Connections that could not be accepted.");
    add_set(m,
            om_registry_family(r, OM_FAMILY_GAUGE_DOUBLE, "omendb_queue_length",
                               "Work that waits for a thread; a look once a second."),
            queues, m->queues, 2);
    add_set(m,
            om_registry_family(r, OM_FAMILY_COUNTER, "omendb_tls_reloads_total",
                               "Times that changed certificate files were read, by result."),
            results, m->tls_reloads, 2);
    m->tls_expiry =
        add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_tls_certificate_expiry_timestamp_seconds",
                   "When the certificate in use ends; 0: no TLS.");
    m->startup = add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_startup_seconds",
                            "From the start of the process until it served; 0: not yet.");
    m->ready = add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_ready",
                          "1: serving; 0: starting or draining.");
    m->log_suppressed = add_single(m, OM_FAMILY_COUNTER, "omendb_log_suppressed_lines_total",
                                   "Log lines left out by the rate limit.");
    m->log_failed = add_single(m, OM_FAMILY_COUNTER, "omendb_log_failed_lines_total",
                               "Log lines that could not be written.");
}

static void add_search_families(om_metrics *m)
{
    om_registry *r = m->registry;
    add_set(m,
            om_registry_family(r, OM_FAMILY_HISTOGRAM, "omendb_search_seconds",
                               "Time of one query in the engine, without the queue, by plan."),
            plan_labels, m->search_seconds, OM_PLANS);
    m->queue_wait = add_single(m, OM_FAMILY_HISTOGRAM, "omendb_search_queue_seconds",
                               "Time that searches waited for a worker.");
    add_set(m,
            om_registry_family(r, OM_FAMILY_COUNTER, "omendb_search_distances_total",
                               "Distances computed, by plan."),
            plan_labels, m->search_distances, OM_PLANS);
    add_set(m,
            om_registry_family(r, OM_FAMILY_COUNTER, "omendb_search_hops_total",
                               "Graph nodes whose links were followed, by plan."),
            plan_labels, m->search_hops, OM_PLANS);
    m->search_short = add_single(m, OM_FAMILY_COUNTER, "omendb_search_short_total",
                                 "Queries with fewer results than min(k, items that pass).");
    m->filter_seconds = add_single(m, OM_FAMILY_HISTOGRAM, "omendb_search_filter_seconds",
                                   "Time that a filtered search spent on its filter.");
    m->search_postings = add_single(m, OM_FAMILY_COUNTER, "omendb_search_postings_total",
                                    "Postings of words that text searches decoded.");
    m->search_partial = add_single(m, OM_FAMILY_COUNTER, "omendb_search_partial_total",
                                   "Queries cut by their deadline and answered in part.");
}

static void add_filter_families(om_metrics *m)
{
    int errors = om_registry_family(m->registry, OM_FAMILY_COUNTER, "omendb_filter_errors_total",
                                    "Filters that could not be compiled, by reason.");
    for (uint32_t i = 0; i < OM_FILTER_ERRORS; i++) {
        m->filter_errors[i] = om_registry_series(m->registry, errors, filter_errors[i].label);
    }
}

static void add_ingest_families(om_metrics *m)
{
    static const char *const why[OM_STALL_REASONS] = {"why=\"memory\"", "why=\"index_backlog\"",
                                                      "why=\"window\""};
    m->ingest_rows =
        add_single(m, OM_FAMILY_COUNTER, "omendb_ingest_rows_total", "Items of applied batches.");
    m->ingest_bytes = add_single(m, OM_FAMILY_COUNTER, "omendb_ingest_bytes_total",
                                 "Bytes of applied batches: vectors, ids and metadata.");
    m->ingest_batches =
        add_single(m, OM_FAMILY_COUNTER, "omendb_ingest_batches_total", "Batches applied.");
    m->ingest_replayed = add_single(m, OM_FAMILY_COUNTER, "omendb_ingest_replayed_batches_total",
                                    "Batches acknowledged and not applied again.");
    m->ingest_streams =
        add_single(m, OM_FAMILY_GAUGE, "omendb_ingest_streams", "Open StreamWrite calls.");
    m->ingest_window = add_single(m, OM_FAMILY_GAUGE, "omendb_ingest_window_bytes",
                                  "Bytes of batches received and not yet acknowledged.");
    add_set(m,
            om_registry_family(m->registry, OM_FAMILY_COUNTER_SECONDS,
                               "omendb_ingest_stall_seconds_total",
                               "Time that streams were made to wait, by reason."),
            why, m->ingest_stall, OM_STALL_REASONS);
    m->ingest_commit = add_single(m, OM_FAMILY_HISTOGRAM, "omendb_ingest_commit_seconds",
                                  "Time of one batch in the engine, its sync included.");
}

static void add_maintenance_families(om_metrics *m)
{
    static const char *const kinds[OM_MAINTENANCE_KINDS] = {NULL,     "optimize", "checkpoint",
                                                            "backup", "restore",  "verify"};
    static const char *const results[3] = {"ok", "failed", "cancelled"};
    om_registry *r = m->registry;
    int running = om_registry_family(r, OM_FAMILY_GAUGE, "omendb_maintenance_running",
                                     "Operations that run, by kind.");
    int seconds =
        om_registry_family(r, OM_FAMILY_COUNTER_SECONDS, "omendb_maintenance_seconds_total",
                           "Time that ended operations took, by kind.");
    int ended = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_maintenance_ended_total",
                                   "Operations that have ended, by kind and result.");
    for (uint32_t k = 1; k < OM_MAINTENANCE_KINDS; k++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "kind=\"%s\"", kinds[k]);
        m->maintenance_running[k] = om_registry_series(r, running, labels);
        m->maintenance_seconds[k] = om_registry_series(r, seconds, labels);
        for (uint32_t i = 0; i < 3; i++) {
            (void)snprintf(labels, sizeof labels, "kind=\"%s\",result=\"%s\"", kinds[k],
                           results[i]);
            m->maintenance_ended[k][i] = om_registry_series(r, ended, labels);
        }
    }
    m->backup_success =
        add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_backup_last_success_timestamp_seconds",
                   "When the last backup of this process ended well; 0: none yet.");
}

om_metrics *om_metrics_create(const om_metrics_options *options)
{
    om_metrics *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    (void)pthread_mutex_init(&m->mutex, NULL);
    m->top_collections = options->top_collections < OM_METRICS_MAX_COLLECTIONS
                             ? options->top_collections
                             : OM_METRICS_MAX_COLLECTIONS;
    m->registry = om_registry_create();
    m->members = calloc((size_t)m->top_collections + 1, sizeof *m->members);
    if (m->registry == NULL || m->members == NULL) {
        om_metrics_free(m);
        return NULL;
    }
    m->runtime = options->runtime;
    m->db = options->db;
    add_rpc_families(m);
    add_service_families(m);
    add_search_families(m);
    add_filter_families(m);
    add_ingest_families(m);
    add_maintenance_families(m);
    om_metrics_add_auth(m);
    om_metrics_add_limits(m);
    return m;
}

void om_metrics_free(om_metrics *m)
{
    if (m == NULL) {
        return;
    }
    om_registry_free(m->registry);
    (void)pthread_mutex_destroy(&m->mutex);
    free(m->members);
    free(m);
}

void om_metrics_attach(om_metrics *m, omen_runtime *runtime, omen_db *db)
{
    if (m != NULL) {
        (void)pthread_mutex_lock(&m->mutex);
        m->runtime = runtime;
        m->db = db;
        (void)pthread_mutex_unlock(&m->mutex);
    }
}

/* ---- gRPC ------------------------------------------------------------------------------------ */

static void add_method_series(om_metrics *m, om_metrics_method *method, const char *labels)
{
    om_registry *r = m->registry;
    const om_metrics_families *f = &m->rpc;
    method->registry = r;
    method->started = om_registry_series(r, f->started, labels);
    method->seconds = om_registry_series(r, f->seconds, labels);
    method->inflight = om_registry_series(r, f->inflight, labels);
    method->received = om_registry_series(r, f->received, labels);
    method->received_bytes = om_registry_series(r, f->received_bytes, labels);
    method->sent = om_registry_series(r, f->sent, labels);
    method->sent_bytes = om_registry_series(r, f->sent_bytes, labels);
    for (uint32_t code = 0; code < OM_METRICS_CODES; code++) {
        om_page text;
        om_page_init(&text, 1024);
        om_page_printf(&text, "%s,code=\"%s\"", labels, code_names[code]);
        method->handled[code] =
            text.failed ? OM_CELL_NONE : om_registry_series(r, f->handled, text.text);
        om_page_free(&text);
    }
}

om_metrics_method *om_metrics_add_method(om_metrics *m, const char *service, const char *method)
{
    if (m == NULL) {
        return NULL;
    }
    om_metrics_method *added = NULL;
    om_page labels;
    om_page_init(&labels, 512);
    om_page_put(&labels, "service=\"");
    om_page_put_label(&labels, service);
    om_page_put(&labels, "\",method=\"");
    om_page_put_label(&labels, method);
    om_page_put(&labels, "\"");
    (void)pthread_mutex_lock(&m->mutex);
    if (!labels.failed && m->method_count < OM_METRICS_MAX_METHODS) {
        added = &m->methods[m->method_count++];
        add_method_series(m, added, labels.text);
    }
    (void)pthread_mutex_unlock(&m->mutex);
    om_page_free(&labels);
    return added;
}

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

/* ---- Search and ingest ----------------------------------------------------------------------- */

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
    uint32_t i = 0;
    while (i < OM_FILTER_ERRORS - 1 && filter_errors[i].detail != detail) {
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

/* ---- Maintenance ----------------------------------------------------------------------------- */

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

/* ---- The process ----------------------------------------------------------------------------- */

void om_metrics_tls_reload(om_metrics *m, bool ok)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->tls_reloads[ok ? 1 : 0], 1);
    }
}

static void set(om_metrics *m, om_cell_t cell, double value)
{
    om_registry_set(m->registry, cell, value);
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

char *om_metrics_render(om_metrics *m, size_t *length)
{
    om_page page;
    om_page_init(&page, OM_METRICS_MAX_TEXT);
    (void)pthread_mutex_lock(&m->mutex);
    om_metrics_put_build(&page);
    om_registry_render(m->registry, &page);
    om_metrics_put_collections(m, &page);
    om_metrics_put_database(m, &page);
    om_metrics_put_memory(m, &page);
    om_metrics_put_process(&page);
    (void)pthread_mutex_unlock(&m->mutex);
    if (page.failed) {
        om_page_free(&page);
        return NULL;
    }
    *length = page.length;
    return page.text;
}
