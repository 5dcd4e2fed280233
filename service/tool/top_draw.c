/* top_draw.c - a view as lines of text, and as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "out.h"
#include "top.h"

enum { LINE = 512, BAR = 20 };

typedef struct canvas {
    FILE *to;
    const om_top_style *style;
    unsigned drawn;
} canvas;

static bool has_room(const canvas *c, unsigned lines)
{
    return c->style->rows == 0 || c->drawn + lines <= c->style->rows;
}

/* A line, cut at the last column. Everything but names of collections is ASCII, and those are by their
 * rules. */
static void put(canvas *c, const char *colour, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(canvas *c, const char *colour, const char *format, ...)
{
    char line[LINE];
    va_list args;
    if (!has_room(c, 1)) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    int width = c->style->columns < LINE ? (int)c->style->columns : LINE;
    bool coloured = c->style->colour && colour[0] != '\0';
    (void)fprintf(c->to, "%s%.*s%s%s\n", coloured ? colour : "", width, line,
                  coloured ? "\033[0m" : "", c->style->clear);
    c->drawn++;
}

/* ---- Numbers ------------------------------------------------------------------------------- */

typedef struct text {
    char s[32];
} text;

static text bytes(double n)
{
    text t;
    (void)om_out_bytes(t.s, n > 0 ? (uint64_t)n : 0);
    return t;
}

static text a_rate(double n)
{
    text t;
    if (!(n > 0)) {
        (void)snprintf(t.s, sizeof t.s, "0");
    } else if (n < 1) {
        (void)snprintf(t.s, sizeof t.s, "%.2f", n);
    } else {
        (void)om_out_rate(t.s, n);
    }
    return t;
}

static text count(double n)
{
    text t;
    (void)om_out_count(t.s, n > 0 ? (uint64_t)(n + 0.5) : 0);
    return t;
}

/* Seconds in the unit that fits; nothing measured is a dash. */
static text latency(double s)
{
    text t;
    if (!(s > 0)) {
        (void)snprintf(t.s, sizeof t.s, "-");
    } else if (s < 1e-3) {
        (void)snprintf(t.s, sizeof t.s, "%.0f us", s * 1e6);
    } else if (s < 1) {
        (void)snprintf(t.s, sizeof t.s, "%.*f ms", s < 0.01 ? 2 : s < 0.1 ? 1 : 0, s * 1e3);
    } else {
        (void)snprintf(t.s, sizeof t.s, "%.2f s", s);
    }
    return t;
}

static text uptime(double s)
{
    text t;
    unsigned long n = (unsigned long)s;
    if (n >= 86400) {
        (void)snprintf(t.s, sizeof t.s, "%lud %luh", n / 86400, n / 3600 % 24);
    } else if (n >= 3600) {
        (void)snprintf(t.s, sizeof t.s, "%luh %lum", n / 3600, n / 60 % 60);
    } else {
        (void)snprintf(t.s, sizeof t.s, "%lum %lus", n / 60, n % 60);
    }
    return t;
}

static text recall(double value)
{
    text t;
    if (value < 0) {
        (void)snprintf(t.s, sizeof t.s, "-");
    } else {
        (void)snprintf(t.s, sizeof t.s, "%.4f", value);
    }
    return t;
}

static text bar(double share)
{
    text t;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    int full = (int)(share * BAR + 0.5);
    t.s[0] = '[';
    memset(t.s + 1, '#', (size_t)full);
    memset(t.s + 1 + full, '.', (size_t)(BAR - full));
    t.s[BAR + 1] = ']';
    t.s[BAR + 2] = '\0';
    return t;
}

/* ---- Lines --------------------------------------------------------------------------------- */

#define RED "\033[31m"
#define YELLOW "\033[33m"
#define BOLD "\033[1m"
#define REVERSE "\033[7m"

static const char *bad_when(bool bad)
{
    return bad ? RED : "";
}

static void draw_head(canvas *c, const om_top_view *v, const char *address)
{
    bool good = v->ready && strcmp(v->state, "writable") == 0;
    put(c, good ? BOLD : RED, "omendb %s at %s   up %s   %s, %s", v->version, address,
        uptime(v->uptime).s, v->ready ? "ready" : "not ready",
        v->state[0] != '\0' ? v->state : "no database");
    put(c, bad_when(v->errors > 0 || v->refused > 0),
        "calls     %10s/s   errors %s/s   refused %s/s   slow %s/s   in flight %.0f   streams %.0f",
        a_rate(v->calls).s, a_rate(v->errors).s, a_rate(v->refused).s, a_rate(v->slow).s,
        v->in_flight, v->streams);
}

static void draw_searches(canvas *c, const om_top_view *v)
{
    char line[LINE] = "";
    put(c, "", "search    %10s/s   p50 %s   p95 %s   p99 %s   waiting %.0f (p99 %s)",
        a_rate(v->searches).s, latency(v->p50).s, latency(v->p95).s, latency(v->p99).s, v->queued,
        latency(v->queue_p99).s);
    for (uint32_t i = 0; i < OM_TOP_PLANS; i++) {
        size_t n = strlen(line);
        if (v->plans[i] > 0) {
            (void)snprintf(line + n, sizeof line - n, "   %s %s/s", omen_plan_name(i + 1),
                           a_rate(v->plans[i]).s);
        }
    }
    put(c, bad_when(v->short_results > 0), "  plans       %s%s", line[0] != '\0' ? line : "   -",
        v->short_results > 0 ? "   with too few results" : "");
    if (v->recall >= 0) {
        put(c, "", "  recall  %10s of %s, 95%% between %s and %s", recall(v->recall).s,
            v->recall_of, recall(v->recall_low).s, recall(v->recall_high).s);
    } else {
        put(c, "", "  recall           - no estimate yet");
    }
}

static void draw_ingest(canvas *c, const om_top_view *v)
{
    put(c, v->stalled > 0.1 ? YELLOW : "",
        "ingest    %10s rows/s   %s/s   commit p99 %s   visible p99 %s   waiting %s   stalled "
        "%.0f%%",
        a_rate(v->rows).s, bytes(v->bytes).s, latency(v->commit_p99).s, latency(v->visible_p99).s,
        bytes(v->window).s, v->stalled * 100);
    put(c, v->durable_lag > 5 ? YELLOW : "",
        "  log     %10s   %s syncs/s   p99 %s   unsynced %s   lag %.0f s", bytes(v->log_bytes).s,
        a_rate(v->syncs).s, latency(v->fsync_p99).s, bytes(v->unsynced).s, v->durable_lag);
    put(c, v->index_lag > 60 ? YELLOW : "",
        "index     %10s items   waiting %s   lag %.0f s   segments %.0f   operations %.0f",
        count(v->items).s, count(v->unindexed).s, v->index_lag, v->segments, v->operations);
}

static void draw_resources(canvas *c, const om_top_view *v)
{
    if (v->budget > 0) {
        double share = v->used / v->budget;
        put(c,
            share > 0.9   ? RED
            : share > 0.8 ? YELLOW
                          : "",
            "memory    %10s of %s %s %.0f%%   resident %s   refused %s/s", bytes(v->used).s,
            bytes(v->budget).s, bar(share).s, share * 100, bytes(v->resident).s,
            a_rate(v->rejections).s);
    } else {
        put(c, "", "memory    %10s   no budget   resident %s", bytes(v->used).s,
            bytes(v->resident).s);
    }
    if (v->disk_size > 0) {
        double share = 1 - v->disk_free / v->disk_size;
        put(c,
            share > 0.9    ? RED
            : share > 0.85 ? YELLOW
                           : "",
            "disk      %10s ours %s %.0f%% of %s used, %s free", bytes(v->disk_used).s,
            bar(share).s, share * 100, bytes(v->disk_size).s, bytes(v->disk_free).s);
    }
    put(c, "", "process   %10.2f cores   threads %.0f   files %.0f   page faults %s/s", v->cores,
        v->threads, v->fds, a_rate(v->faults).s);
}

/* On a narrow terminal the name is cut, and the median and the disk are left out. */
enum { WIDE = 98, NAME_MOST = 24, NAME_LEAST = 8, REST_WIDE = 87, REST_NARROW = 65 };

static void draw_row(canvas *c, const char *colour, const char *const cells[9])
{
    int columns = (int)(c->style->columns < LINE ? c->style->columns : LINE);
    bool wide = columns >= WIDE;
    int name = columns - (wide ? REST_WIDE : REST_NARROW);
    name = name > NAME_MOST ? NAME_MOST : name < NAME_LEAST ? NAME_LEAST : name;
    if (wide) {
        put(c, colour, "%-*.*s %12s %10s %10s %9s %9s %11s %11s %7s", name, name, cells[0],
            cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7], cells[8]);
    } else {
        put(c, colour, "%-*.*s %12s %10s %10s %9s %11s %7s", name, name, cells[0], cells[1],
            cells[2], cells[3], cells[5], cells[6], cells[8]);
    }
}

static void draw_collection(canvas *c, const om_top_collection *i)
{
    const text cells[8] = {count(i->items), count(i->unindexed), a_rate(i->searches),
                           latency(i->p50), latency(i->p99),     bytes(i->memory),
                           bytes(i->disk),  recall(i->recall)};
    draw_row(c, "",
             (const char *const[9]){i->name, cells[0].s, cells[1].s, cells[2].s, cells[3].s,
                                    cells[4].s, cells[5].s, cells[6].s, cells[7].s});
}

static void draw_collections(canvas *c, const om_top_view *v)
{
    size_t shown = 0;
    if (!has_room(c, 3)) {
        return;
    }
    put(c, "", "%s", "");
    draw_row(c, REVERSE,
             (const char *const[9]){"COLLECTION", "ITEMS", "WAITING", "SEARCH/S", "P50", "P99",
                                    "MEMORY", "DISK", "RECALL"});
    for (; shown < v->collection_count && has_room(c, shown + 1 < v->collection_count ? 2 : 1);
         shown++) {
        draw_collection(c, &v->collections[shown]);
    }
    if (shown < v->collection_count) {
        put(c, "", "... and %zu more", v->collection_count - shown);
    }
}

void om_top_draw(FILE *to, const om_top_view *v, const char *address, const om_top_style *style)
{
    canvas c = {to, style, 0};
    draw_head(&c, v, address);
    draw_searches(&c, v);
    draw_ingest(&c, v);
    draw_resources(&c, v);
    draw_collections(&c, v);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static json_t *known(double value)
{
    return value < 0 ? json_null() : json_real(value);
}

static json_t *of_collection(const om_top_collection *i)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "name", i->name, "items",
                     i->items, "unindexed", i->unindexed, "deleted_ratio", i->deleted,
                     "searches_per_s", i->searches, "p50_s", i->p50, "p99_s", i->p99,
                     "memory_bytes", i->memory, "disk_bytes", i->disk, "recall", known(i->recall));
}

static json_t *of_searches(const om_top_view *v)
{
    json_t *plans = json_object();
    for (uint32_t i = 0; i < OM_TOP_PLANS; i++) {
        (void)json_object_set_new(plans, omen_plan_name(i + 1), json_real(v->plans[i]));
    }
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o}", "per_s",
                     v->searches, "filtered_per_s", v->filtered, "short_per_s", v->short_results,
                     "partial_per_s", v->partial, "p50_s", v->p50, "p95_s", v->p95, "p99_s", v->p99,
                     "waiting", v->queued, "queue_p99_s", v->queue_p99, "plans_per_s", plans,
                     "recall", known(v->recall), "recall_low", known(v->recall_low), "recall_high",
                     known(v->recall_high));
}

static json_t *of_ingest(const om_top_view *v)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rows_per_s",
                     v->rows, "bytes_per_s", v->bytes, "batches_per_s", v->batches, "commit_p99_s",
                     v->commit_p99, "visible_p99_s", v->visible_p99, "waiting_bytes", v->window,
                     "stalled", v->stalled, "syncs_per_s", v->syncs, "fsync_p99_s", v->fsync_p99,
                     "log_bytes", v->log_bytes, "unsynced_bytes", v->unsynced, "durable_lag_s",
                     v->durable_lag);
}

void om_top_json(const om_top_view *v)
{
    json_t *collections = json_array();
    for (size_t i = 0; i < v->collection_count; i++) {
        (void)json_array_append_new(collections, of_collection(&v->collections[i]));
    }
    json_t *o = json_pack("{s:s, s:s, s:b, s:f, s:f}", "version", v->version, "state", v->state,
                          "ready", (int)v->ready, "uptime_s", v->uptime, "span_s", v->span);
    (void)json_object_set_new(o, "calls",
                              json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "per_s", v->calls,
                                        "errors_per_s", v->errors, "refused_per_s", v->refused,
                                        "slow_per_s", v->slow, "in_flight", v->in_flight, "streams",
                                        v->streams));
    (void)json_object_set_new(o, "searches", of_searches(v));
    (void)json_object_set_new(o, "ingest", of_ingest(v));
    (void)json_object_set_new(o, "index",
                              json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "items", v->items,
                                        "unindexed", v->unindexed, "lag_s", v->index_lag,
                                        "segments", v->segments, "seals_per_s", v->seals,
                                        "merges_per_s", v->merges, "operations", v->operations));
    (void)json_object_set_new(o, "memory",
                              json_pack("{s:f, s:f, s:f, s:f, s:f}", "used_bytes", v->used,
                                        "budget_bytes", v->budget, "resident_bytes", v->resident,
                                        "heap_bytes", v->heap, "rejections_per_s", v->rejections));
    (void)json_object_set_new(o, "disk",
                              json_pack("{s:f, s:f, s:f}", "used_bytes", v->disk_used, "free_bytes",
                                        v->disk_free, "size_bytes", v->disk_size));
    (void)json_object_set_new(o, "process",
                              json_pack("{s:f, s:f, s:f, s:f}", "cores", v->cores, "threads",
                                        v->threads, "files", v->fds, "page_faults_per_s",
                                        v->faults));
    (void)json_object_set_new(o, "collections", collections);
    om_out_object(o);
}
