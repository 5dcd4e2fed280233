/* console_state.c - the server as a whole: what it is, how it stands, and the last fifteen minutes of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- State ----------------------------------------------------------------------------------- */

static json_t *grants_of(const om_principal *who)
{
    static const char *const roles[] = {"", "read", "write", "manage"};
    json_t *list = json_array();
    for (uint32_t i = 0; i < who->grant_count; i++) {
        const om_grant *g = &who->grants[i];
        const char *role = g->role < sizeof roles / sizeof roles[0] ? roles[g->role] : "";
        (void)json_array_append_new(
            list, json_pack("{s:s,s:s}", "role", role, "collection", g->collection));
    }
    return list;
}

static json_t *caller(const om_console_call *call)
{
    static const char *const kinds[] = {"nobody", "key", "jwt", "certificate", "bootstrap"};
    const om_principal *who = call->who;
    const char *kind = who->kind < sizeof kinds / sizeof kinds[0] ? kinds[who->kind] : "";
    return json_pack("{s:s,s:s,s:s,s:I,s:b,s:o}", "name", who->name, "kind", kind, "tenant",
                     who->tenant != NULL ? om_tenant_name(who->tenant) : "", "expires_unix",
                     (json_int_t)who->expires, "admin",
                     om_principal_may_some(who, OM_VERB_ADMIN) ? 1 : 0, "grants", grants_of(who));
}

static json_t *server_of(const om_console_call *call)
{
    static const char *const phases[] = {"starting", "serving", "draining"};
    const om_console *c = call->console;
    const om_rt_shared *s = call->shared;
    uint32_t phase = om_health_get(c->options.health);
    uint32_t abi = omen_abi_version();
    return json_pack(
        "{s:s,s:i,s:i,s:i,s:s,s:s,s:I,s:I,s:b,s:b,s:i}", "version", omen_version_string(),
        "abi_major", (int)(abi >> 16), "abi_minor", (int)(abi & 0xffff), "format",
        (int)omen_format_version(), "isa", omen_isa_name(), "phase",
        phase < sizeof phases / sizeof phases[0] ? phases[phase] : "", "started_unix",
        (json_int_t)c->started_unix, "now_unix_ms", (json_int_t)time(NULL) * 1000, "persistent",
        s != NULL && s->opt.persistent, "backups", s != NULL && s->opt.backup_dir != NULL, "cores",
        (int)sysconf(_SC_NPROCESSORS_ONLN));
}

static json_t *memory_of(const om_rt_shared *s)
{
    omen_runtime_stats stats = {.struct_size = sizeof stats};
    if (s == NULL || s->opt.runtime == NULL ||
        omen_get_runtime_stats(s->opt.runtime, &stats, NULL) != OMEN_OK) {
        return json_null();
    }
    return json_pack("{s:o,s:o,s:o}", "limit", om_console_u64(stats.memory_limit), "used",
                     om_console_u64(stats.memory_used), "rejections",
                     om_console_u64(stats.memory_rejections));
}

/* What GetDatabaseInfo tells, to those who may ask for it. */
static json_t *database_of(const om_console_call *call)
{
    static const char *const states[] = {"writable", "read_only", "disk_full", "failed", "damaged"};
    omen_db_stats d = {.struct_size = sizeof d};
    if (call->shared == NULL || !om_principal_may_some(call->who, OM_VERB_ADMIN) ||
        omen_get_db_stats(call->shared->opt.db, &d, NULL) != OMEN_OK) {
        return json_null();
    }
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"collections", d.collections},
                   {"segments", d.segments},
                   {"growing_rows", d.growing_rows},
                   {"log_bytes", d.log_bytes},
                   {"segment_bytes", d.segment_bytes},
                   {"disk_available", d.disk_available},
                   {"checkpoints", d.checkpoints},
                   {"seals", d.seals},
                   {"merges", d.merges},
                   {"log_syncs", d.log_syncs},
                   {"log_records", d.log_records},
                   {"replayed_records", d.replayed_records},
                   {"recovered_rows", d.recovered_rows},
                   {"replayed_us", d.replayed_ns / 1000}};
    json_t *o = json_pack("{s:s,s:s,s:o,s:o,s:o}", "state",
                          d.state < sizeof states / sizeof states[0] ? states[d.state] : "",
                          "reason", d.reason, "version", om_console_version(d.version),
                          "durable_version", om_console_version(d.durable_version),
                          "checkpoint_version", om_console_version(d.checkpoint_version));
    for (size_t i = 0; o != NULL && i < sizeof numbers / sizeof numbers[0]; i++) {
        (void)json_object_set_new(o, numbers[i].name, om_console_u64(numbers[i].value));
    }
    return o;
}

json_t *om_console_state(om_console_call *call)
{
    const om_access *access = call->console->options.access;
    return json_pack("{s:o,s:o,s:b,s:o,s:o}", "server", server_of(call), "you", caller(call),
                     "credentials", om_access_required(access) ? 1 : 0, "memory",
                     memory_of(call->shared), "database", database_of(call));
}

/* ---- History --------------------------------------------------------------------------------- */

/* One column of the answer: its value in a sample; NaN: nothing to say. */
typedef struct column {
    const char *name;
    double (*value)(const om_history_sample *s);
} column;

static double rate(const om_history_sample *s, uint64_t count)
{
    return s->span_ms > 0 ? (double)count * 1000 / s->span_ms : 0;
}

static double latency(uint64_t ns)
{
    return ns > 0 ? (double)ns : (double)NAN;
}

#define RATE(name_, field_)                               \
    static double get_##name_(const om_history_sample *s) \
    {                                                     \
        return rate(s, s->field_);                        \
    }
#define GAUGE(name_, field_)                              \
    static double get_##name_(const om_history_sample *s) \
    {                                                     \
        return (double)s->field_;                         \
    }
#define LATENCY(name_, field_)                            \
    static double get_##name_(const om_history_sample *s) \
    {                                                     \
        return latency(s->field_);                        \
    }
/* clang-format off */
RATE(calls, calls) RATE(errors, errors) RATE(refused, refused)
RATE(searches, searches) RATE(filtered, filtered) RATE(short_results, short_results) RATE(partial, partial)
RATE(distances, distances) RATE(rows, rows) RATE(bytes, bytes) RATE(batches, batches)
RATE(received, received_bytes) RATE(sent, sent_bytes) RATE(log_written, log_bytes) RATE(log_syncs, log_syncs)
LATENCY(p50, search.p50) LATENCY(p95, search.p95) LATENCY(p99, search.p99)
LATENCY(queue_p99, queue.p99) LATENCY(commit_p50, commit.p50) LATENCY(commit_p99, commit.p99)
LATENCY(fsync_p99, fsync.p99) LATENCY(visible_p99, visible.p99)
GAUGE(in_flight, in_flight) GAUGE(streams, streams) GAUGE(searches_queued, searches_queued)
GAUGE(ingest_queued, ingest_queued) GAUGE(window, window_bytes) GAUGE(items, items)
GAUGE(unindexed, unindexed) GAUGE(segments, segments) GAUGE(memory_used, memory_used)
GAUGE(resident, resident_bytes) GAUGE(heap, heap_bytes) GAUGE(log_kept, log_kept_bytes)
GAUGE(segment_bytes, segment_bytes) GAUGE(disk_free, disk_free_bytes)
GAUGE(durable_lag, durable_lag_ms) GAUGE(index_lag, index_lag_ms) GAUGE(maintenance, maintenance)
    /* clang-format on */

    static double get_cpu(const om_history_sample *s)
{
    return s->span_ms > 0 ? (double)s->cpu_ns / 1e6 / s->span_ms : 0;
}

static double get_budget(const om_history_sample *s)
{
    return s->memory_budget > 0 ? (double)s->memory_budget : (double)NAN;
}

static double get_recall(const om_history_sample *s)
{
    return s->recall >= 0 ? (double)s->recall : (double)NAN;
}

static double get_recall_low(const om_history_sample *s)
{
    return s->recall >= 0 ? (double)s->recall_low : (double)NAN;
}

static const column columns[] = {{"calls", get_calls},
                                 {"errors", get_errors},
                                 {"refused", get_refused},
                                 {"searches", get_searches},
                                 {"filtered", get_filtered},
                                 {"short", get_short_results},
                                 {"partial", get_partial},
                                 {"distances", get_distances},
                                 {"rows", get_rows},
                                 {"bytes", get_bytes},
                                 {"batches", get_batches},
                                 {"received", get_received},
                                 {"sent", get_sent},
                                 {"log_written", get_log_written},
                                 {"log_syncs", get_log_syncs},
                                 {"p50", get_p50},
                                 {"p95", get_p95},
                                 {"p99", get_p99},
                                 {"queue_p99", get_queue_p99},
                                 {"commit_p50", get_commit_p50},
                                 {"commit_p99", get_commit_p99},
                                 {"fsync_p99", get_fsync_p99},
                                 {"visible_p99", get_visible_p99},
                                 {"in_flight", get_in_flight},
                                 {"streams", get_streams},
                                 {"searches_queued", get_searches_queued},
                                 {"ingest_queued", get_ingest_queued},
                                 {"window", get_window},
                                 {"items", get_items},
                                 {"unindexed", get_unindexed},
                                 {"segments", get_segments},
                                 {"memory_used", get_memory_used},
                                 {"budget", get_budget},
                                 {"resident", get_resident},
                                 {"heap", get_heap},
                                 {"log_kept", get_log_kept},
                                 {"segment_bytes", get_segment_bytes},
                                 {"disk_free", get_disk_free},
                                 {"durable_lag", get_durable_lag},
                                 {"index_lag", get_index_lag},
                                 {"maintenance", get_maintenance},
                                 {"cpu", get_cpu},
                                 {"recall", get_recall},
                                 {"recall_low", get_recall_low}};

static json_t *values_of(const column *c, const om_history_sample *samples, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        double value = c->value(&samples[i]);
        bool whole = value == (double)(json_int_t)value;
        (void)json_array_append_new(list, whole ? json_integer((json_int_t)value)
                                                : om_console_real(value));
    }
    return list;
}

static json_t *times_of(const om_history_sample *samples, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, json_integer(samples[i].unix_ms));
    }
    return list;
}

/* The `after` of the request; 0: everything. */
static bool after_of(om_console_call *call, int64_t *after)
{
    const char *text = om_admin_argument(call->request, "after");
    char *end = NULL;
    *after = 0;
    if (text == NULL || text[0] == '\0') {
        return true;
    }
    errno = 0;
    *after = strtoll(text, &end, 10);
    return (errno == 0 && *end == '\0') ||
           om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", "after",
                          "after is no time in milliseconds");
}

json_t *om_console_history(om_console_call *call)
{
    int64_t after = 0;
    /* Figures of the whole server are not for those who may do nothing on it. */
    if (!om_principal_may_some(call->who, OM_VERB_READ)) {
        (void)om_console_may(call, NULL, OM_VERB_ADMIN);
        return NULL;
    }
    if (!after_of(call, &after)) {
        return NULL;
    }
    om_history_sample *samples = malloc(OM_HISTORY_SECONDS * sizeof *samples);
    if (samples == NULL) {
        return NULL;
    }
    const om_observe *observe = call->console->options.observe;
    size_t count =
        observe != NULL ? om_history_copy(observe->history, after, samples, OM_HISTORY_SECONDS) : 0;
    json_t *o = json_pack("{s:o}", "t", times_of(samples, count));
    for (size_t i = 0; o != NULL && i < sizeof columns / sizeof columns[0]; i++) {
        (void)json_object_set_new(o, columns[i].name, values_of(&columns[i], samples, count));
    }
    free(samples);
    return o;
}

/* ---- Slow calls ------------------------------------------------------------------------------ */

/* whole: who called, from where, and what it was told, which may quote what was asked. */
static json_t *slow_of(const om_slow_call *s, bool whole)
{
    return json_pack(
        "{s:I,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:I,s:I,s:b,s:s}", "unix_ms",
        (json_int_t)s->unix_ms, "service", s->service, "method", s->method, "code", (int)s->code,
        "total_us", (json_int_t)s->total_us, "queue_us", (json_int_t)s->queue_us, "engine_us",
        (json_int_t)s->engine_us, "send_us", (json_int_t)s->send_us, "collection", s->collection,
        "principal", whole ? s->principal : "", "peer", whole ? s->peer : "", "request_id",
        whole ? s->request_id : "", "k", (int)s->search.k, "ef", (int)s->search.ef, "plan",
        s->search.plan != 0 ? omen_plan_name(s->search.plan) : "", "visited",
        (json_int_t)s->search.visited, "distances", (json_int_t)s->search.distances, "filtered",
        s->search.filter_hash != 0, "why", whole ? s->why : "");
}

/* Calls about a collection are shown to those who may read it, the others to administrators. Whose they are
 * is for administrators, and for who made them. */
json_t *om_console_slow(om_console_call *call)
{
    bool admin = om_principal_may_some(call->who, OM_VERB_ADMIN);
    const om_observe *observe = call->console->options.observe;
    om_slow_call *calls = malloc(OM_SLOW_KEPT * sizeof *calls);
    json_t *list = json_array();
    size_t count =
        calls != NULL && observe != NULL ? om_slow_copy(observe->slow, calls, OM_SLOW_KEPT) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = calls[i].collection;
        if (admin || (name[0] != '\0' && om_principal_may(call->who, name, OM_VERB_READ))) {
            bool own = strcmp(calls[i].principal, call->who->name) == 0;
            (void)json_array_append_new(list, slow_of(&calls[i], admin || own));
        }
    }
    free(calls);
    return json_pack("{s:o}", "calls", list);
}
