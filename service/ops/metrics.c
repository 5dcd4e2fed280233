/* metrics.c - the families of omend, what the service reports to them, and the page as a whole.
 * SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include "metrics_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    m->checksum_failures = add_single(m, OM_FAMILY_COUNTER, "omendb_checksum_failures_total",
                                      "Answers and operations that failed on damaged bytes.");
    m->slow_calls = add_single(m, OM_FAMILY_COUNTER, "omendb_slow_calls_total",
                               "Calls that took longer than the slow log's limit.");
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
    static const char *const labels[OM_FILTER_ERRORS] = {
        "reason=\"FILTER_SYNTAX\"", "reason=\"FIELD\"", "reason=\"TYPE\"", "reason=\"LIMIT\"",
        "reason=\"OTHER\""}; /* om_metrics_filter_error has the same order */
    int errors = om_registry_family(m->registry, OM_FAMILY_COUNTER, "omendb_filter_errors_total",
                                    "Filters that could not be compiled, by reason.");
    add_set(m, errors, labels, m->filter_errors, OM_FILTER_ERRORS);
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
    m->visible_lag = add_single(m, OM_FAMILY_HISTOGRAM, "omendb_visible_lag_seconds",
                                "From the arrival of a batch until every search sees it.");
    m->lags[0] = add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_durable_lag_seconds",
                            "Age of the oldest write that a loss of power would take.");
    m->lags[1] = add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_index_lag_seconds",
                            "Age of the oldest write that waits for its graph, where many wait.");
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
                   "When the last backup ended well, or the newest of those found at the start was "
                   "made; 0: none yet.");
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
    m->data_dir = options->data_dir;
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

/* ---- gRPC -------------------------------------------------------------------------------- */

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

/* ---- Metrics of other parts -------------------------------------------------------------- */

int om_metrics_family(om_metrics *m, uint32_t type, const char *name, const char *help)
{
    int family = -1;
    if (m != NULL) {
        (void)pthread_mutex_lock(&m->mutex);
        family = om_registry_family(m->registry, type, name, help);
        (void)pthread_mutex_unlock(&m->mutex);
    }
    return family;
}

om_cell_t om_metrics_series(om_metrics *m, int family, const char *labels)
{
    om_cell_t cell = OM_CELL_NONE;
    if (m != NULL) {
        (void)pthread_mutex_lock(&m->mutex);
        cell = om_registry_series(m->registry, family, labels);
        (void)pthread_mutex_unlock(&m->mutex);
    }
    return cell;
}

bool om_metrics_source(om_metrics *m, om_metrics_put_fn put, void *ctx)
{
    bool done = put == NULL;
    if (m == NULL) {
        return true;
    }
    (void)pthread_mutex_lock(&m->mutex);
    for (uint32_t i = 0; i < OM_METRICS_SOURCES; i++) {
        if (put == NULL && m->sources[i].ctx == ctx) {
            m->sources[i].put = NULL;
            m->sources[i].ctx = NULL;
        } else if (!done && m->sources[i].put == NULL) {
            m->sources[i].put = put;
            m->sources[i].ctx = ctx;
            done = true;
        }
    }
    (void)pthread_mutex_unlock(&m->mutex);
    return done;
}

bool om_metrics_has_label(const om_metrics_labelled *labelled, const char *collection)
{
    size_t low = 0;
    size_t high = labelled->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(collection, labelled->names[middle]);
        if (order == 0) {
            return true;
        }
        low = order > 0 ? middle + 1 : low;
        high = order < 0 ? middle : high;
    }
    return false;
}

static void put_sources(om_metrics *m, om_page *page)
{
    om_metrics_labelled labelled = {(const char(*)[OMEN_MAX_NAME + 1]) m->members, m->member_count};
    for (uint32_t i = 0; i < OM_METRICS_SOURCES; i++) {
        if (m->sources[i].put != NULL) {
            m->sources[i].put(m->sources[i].ctx, page, &labelled);
        }
    }
}

char *om_metrics_render(om_metrics *m, size_t *length)
{
    om_page page;
    omen_stats all;
    om_page_init(&page, OM_METRICS_MAX_TEXT);
    (void)pthread_mutex_lock(&m->mutex);
    om_metrics_put_build(&page);
    om_registry_render(m->registry, &page);
    om_metrics_put_collections(m, &page, &all);
    put_sources(m, &page);
    om_metrics_put_database(m, &page);
    om_metrics_put_memory(m, &page, &all);
    om_metrics_put_process(&page);
    (void)pthread_mutex_unlock(&m->mutex);
    if (page.failed) {
        om_page_free(&page);
        return NULL;
    }
    *length = page.length;
    return page.text;
}
