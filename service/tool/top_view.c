/* top_view.c - what is shown, out of two pages: rates between them, and how things are in the second.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "top.h"

enum { WITH_LATENCY = 64 };

typedef struct pair {
    const om_top_page *from, *to;
    double span;
} pair;

static double level(const pair *p, const char *name, const char *label)
{
    return om_top_sum(p->to, name, label, NULL);
}

/* A counter that fell was begun anew: then all of it is since. */
static double rate(const pair *p, const char *name, const char *label)
{
    double before = om_top_sum(p->from, name, label, NULL);
    double after = om_top_sum(p->to, name, label, NULL);
    return (after >= before ? after - before : after) / p->span;
}

static double quantile(const pair *p, const char *name, double q)
{
    return om_top_quantile(p->from, p->to, name, NULL, q);
}

static void take_head(const pair *p, om_top_view *v)
{
    const om_top_family *build = om_top_find(p->to, "omendb_build_info");
    const om_top_family *states = om_top_find(p->to, "omendb_database_state");
    if (build != NULL) {
        (void)om_top_label(&p->to->samples[build->first], "version", v->version, sizeof v->version);
    }
    for (size_t i = 0; states != NULL && i < states->count; i++) {
        const om_top_sample *s = &p->to->samples[states->first + i];
        if (s->value > 0) {
            (void)om_top_label(s, "state", v->state, sizeof v->state);
        }
    }
    v->ready = level(p, "omendb_ready", NULL) > 0;
    double started = level(p, "process_start_time_seconds", NULL);
    v->uptime = started > 0 ? (double)time(NULL) - started : 0;
    v->uptime = v->uptime > 0 ? v->uptime : 0;
}

static void take_calls(const pair *p, om_top_view *v)
{
    static const char *const handled = "omendb_grpc_server_handled_total";
    v->calls = rate(p, handled, NULL);
    v->errors = v->calls - rate(p, handled, "code=\"OK\"") - rate(p, handled, "code=\"CANCELLED\"");
    v->errors = v->errors > 1e-9 ? v->errors : 0;
    v->refused = rate(p, "omendb_grpc_server_shed_total", NULL);
    v->slow = rate(p, "omendb_slow_calls_total", NULL);
    v->in_flight = level(p, "omendb_grpc_server_inflight", NULL);
    v->streams = level(p, "omendb_ingest_streams", NULL);
}

static void take_searches(const pair *p, om_top_view *v)
{
    for (uint32_t i = 0; i < OM_TOP_PLANS; i++) {
        char label[48];
        (void)snprintf(label, sizeof label, "plan=\"%s\"", omen_plan_name(i + 1));
        v->plans[i] = rate(p, "omendb_search_seconds_count", label);
    }
    v->searches = rate(p, "omendb_search_seconds_count", NULL);
    v->filtered = rate(p, "omendb_search_filter_seconds_count", NULL);
    v->p50 = quantile(p, "omendb_search_seconds", 0.5);
    v->p95 = quantile(p, "omendb_search_seconds", 0.95);
    v->p99 = quantile(p, "omendb_search_seconds", 0.99);
    v->queue_p99 = quantile(p, "omendb_search_queue_seconds", 0.99);
    v->queued = level(p, "omendb_queue_length", NULL);
    v->short_results = rate(p, "omendb_search_short_total", NULL);
    v->partial = rate(p, "omendb_search_partial_total", NULL);
}

static void take_ingest(const pair *p, om_top_view *v)
{
    v->rows = rate(p, "omendb_ingest_rows_total", NULL);
    v->bytes = rate(p, "omendb_ingest_bytes_total", NULL);
    v->batches = rate(p, "omendb_ingest_batches_total", NULL);
    v->commit_p99 = quantile(p, "omendb_ingest_commit_seconds", 0.99);
    v->visible_p99 = quantile(p, "omendb_visible_lag_seconds", 0.99);
    v->window = level(p, "omendb_ingest_window_bytes", NULL);
    v->stalled = rate(p, "omendb_ingest_stall_seconds_total", NULL);
    v->syncs = rate(p, "omendb_wal_syncs_total", NULL);
    v->fsync_p99 = quantile(p, "omendb_wal_fsync_seconds", 0.99);
    v->log_bytes = level(p, "omendb_wal_bytes", NULL);
    v->unsynced = level(p, "omendb_wal_unsynced_bytes", NULL);
    v->durable_lag = level(p, "omendb_durable_lag_seconds", NULL);
    v->items = level(p, "omendb_points", NULL);
    v->unindexed = level(p, "omendb_unindexed_points", NULL);
    v->index_lag = level(p, "omendb_index_lag_seconds", NULL);
    v->segments = level(p, "omendb_segments", NULL);
    v->seals = rate(p, "omendb_seals_total", NULL);
    v->merges = rate(p, "omendb_merges_total", NULL);
    v->operations = level(p, "omendb_maintenance_running", NULL);
}

static void take_resources(const pair *p, om_top_view *v)
{
    v->used = level(p, "omendb_memory_used_bytes", NULL);
    v->budget = level(p, "omendb_memory_budget_bytes", NULL);
    v->resident = level(p, "process_resident_memory_bytes", NULL);
    v->heap = level(p, "omendb_jemalloc_allocated_bytes", NULL);
    v->rejections = rate(p, "omendb_memory_rejections_total", NULL);
    v->disk_used = level(p, "omendb_disk_used_bytes", NULL);
    v->disk_free = level(p, "omendb_disk_free_bytes", NULL);
    v->disk_size = level(p, "omendb_disk_size_bytes", NULL);
    v->cores = rate(p, "process_cpu_seconds_total", NULL);
    v->threads = level(p, "process_threads", NULL);
    v->fds = level(p, "process_open_fds", NULL);
    v->faults = rate(p, "process_major_page_faults_total", NULL);
}

static void take_recall(const pair *p, om_top_view *v)
{
    const om_top_family *f = om_top_find(p->to, "omendb_recall_estimate");
    v->recall = v->recall_low = v->recall_high = -1;
    for (size_t i = 0; f != NULL && i < f->count; i++) {
        const om_top_sample *s = &p->to->samples[f->first + i];
        char name[OM_TOP_NAME], plan[20];
        if ((v->recall < 0 || s->value < v->recall) &&
            om_top_label(s, "collection", name, sizeof name) &&
            om_top_label(s, "plan", plan, sizeof plan)) {
            v->recall = s->value;
            v->recall_low = om_top_sum(p->to, "omendb_recall_low", s->labels, NULL);
            v->recall_high = om_top_sum(p->to, "omendb_recall_high", s->labels, NULL);
            (void)snprintf(v->recall_of, sizeof v->recall_of, "%s %s", name, plan);
        }
    }
}

/* ---- Collections --------------------------------------------------------------------------- */

static int by_use(const void *a, const void *b)
{
    const om_top_collection *x = a;
    const om_top_collection *y = b;
    if (x->searches < y->searches || x->searches > y->searches) {
        return x->searches > y->searches ? -1 : 1;
    }
    if (x->items < y->items || x->items > y->items) {
        return x->items > y->items ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static void take_estimates(const pair *p, const char *label, om_top_collection *c)
{
    const om_top_family *f = om_top_find(p->to, "omendb_recall_estimate");
    c->recall = c->recall_low = -1;
    for (size_t i = 0; f != NULL && i < f->count; i++) {
        const om_top_sample *s = &p->to->samples[f->first + i];
        size_t size = strlen(label);
        if (strncmp(s->labels, label, size) == 0 && s->labels[size] == ',' &&
            (c->recall < 0 || s->value < c->recall)) {
            c->recall = s->value;
            c->recall_low = om_top_sum(p->to, "omendb_recall_low", s->labels, NULL);
        }
    }
}

static void take_one(const pair *p, om_top_collection *c)
{
    char label[OM_TOP_NAME + 16];
    (void)snprintf(label, sizeof label, "collection=\"%s\"", c->name);
    c->items = level(p, "omendb_points", label);
    c->unindexed = level(p, "omendb_unindexed_points", label);
    c->deleted = level(p, "omendb_deleted_ratio", label);
    c->searches = rate(p, "omendb_collection_search_seconds_count", label);
    take_estimates(p, label, c);
}

/* Quantiles walk over the buckets of all collections, so only those that are shown first have them. */
static void take_latency(const pair *p, om_top_collection *c)
{
    char label[OM_TOP_NAME + 16];
    (void)snprintf(label, sizeof label, "collection=\"%s\"", c->name);
    c->p50 = om_top_quantile(p->from, p->to, "omendb_collection_search_seconds", label, 0.5);
    c->p99 = om_top_quantile(p->from, p->to, "omendb_collection_search_seconds", label, 0.99);
}

/* Memory and disk out of the parts, which stand together. */
static void take_parts(const pair *p, om_top_view *v)
{
    const om_top_family *f = om_top_find(p->to, "omendb_collection_bytes");
    size_t at = 0;
    for (size_t i = 0; f != NULL && i < f->count; i++) {
        const om_top_sample *s = &p->to->samples[f->first + i];
        char name[OM_TOP_NAME], part[20];
        if (!om_top_label(s, "collection", name, sizeof name) ||
            !om_top_label(s, "part", part, sizeof part)) {
            continue;
        }
        for (size_t n = 0; n < v->collection_count && strcmp(v->collections[at].name, name) != 0;
             n++) {
            at = (at + 1) % v->collection_count;
        }
        if (v->collection_count == 0 || strcmp(v->collections[at].name, name) != 0) {
            continue;
        }
        if (strcmp(part, "disk") == 0) {
            v->collections[at].disk += s->value;
        } else if (strcmp(part, "mapped") != 0 && strcmp(part, "scratch") != 0) {
            v->collections[at].memory += s->value;
        }
    }
}

static bool take_collections(const pair *p, om_top_view *v, om_tool_error *err)
{
    const om_top_family *f = om_top_find(p->to, "omendb_points");
    v->collections_in_all = level(p, "omendb_collections", NULL);
    if (f == NULL) {
        return true;
    }
    v->collections = calloc(f->count, sizeof *v->collections);
    if (v->collections == NULL) {
        return om_tool_no_memory(err, f->count * sizeof *v->collections);
    }
    for (size_t i = 0; i < f->count; i++) {
        om_top_collection *c = &v->collections[v->collection_count];
        if (om_top_label(&p->to->samples[f->first + i], "collection", c->name, sizeof c->name)) {
            take_one(p, c);
            v->collection_count++;
        }
    }
    take_parts(p, v);
    qsort(v->collections, v->collection_count, sizeof *v->collections, by_use);
    for (size_t i = 0; i < v->collection_count && i < WITH_LATENCY; i++) {
        take_latency(p, &v->collections[i]);
    }
    return true;
}

bool om_top_view_of(const om_top_page *from, const om_top_page *to, om_top_view *out,
                    om_tool_error *err)
{
    pair p = {from, to, to->taken - from->taken};
    memset(out, 0, sizeof *out);
    p.span = p.span > 1e-3 ? p.span : 1e-3;
    out->span = p.span;
    take_head(&p, out);
    take_calls(&p, out);
    take_searches(&p, out);
    take_ingest(&p, out);
    take_resources(&p, out);
    take_recall(&p, out);
    if (!take_collections(&p, out, err)) {
        om_top_view_free(out);
        return false;
    }
    return true;
}

void om_top_view_free(om_top_view *v)
{
    free(v->collections);
    v->collections = NULL;
    v->collection_count = 0;
}
