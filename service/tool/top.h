/* top.h - a page of /metrics: fetched, taken apart, asked; and what `omen top` shows of two of them.
 * A page is another program's text: everything in it is checked and bounded.
 * Depends on: tool.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TOP_H
#define OM_TOP_H
#include <stdio.h>

#include "tool.h"

enum { OM_TOP_MAX_PAGE = 32 << 20, OM_TOP_PLANS = 9, OM_TOP_NAME = 64 };

/* ---- A page -------------------------------------------------------------------------------- */
typedef struct om_top_sample {
    const char *labels; /* `a="b",c="d"`, NUL-terminated */
    double value;
    size_t family;
} om_top_sample;
typedef struct om_top_family {
    const char *name; /* of its samples: of a histogram `x` there are x_bucket, x_sum and x_count */
    size_t first, count; /* they stand together here, though not on the page */
} om_top_family;
typedef struct om_top_page {
    char *text;
    om_top_sample *samples;
    om_top_family *families;
    size_t sample_count, family_count;
    double taken; /* seconds, on a clock that never goes back */
} om_top_page;
/* GET /metrics of HOST:PORT over plain HTTP. */
bool om_top_fetch(const char *address, uint64_t timeout_ms, om_top_page *out, om_tool_error *err);
/* Takes over text (malloc'd, size bytes and a NUL), also when it fails. */
bool om_top_parse(char *text, size_t size, om_top_page *out, om_tool_error *err);
void om_top_page_free(om_top_page *page);
/* Sum of the samples of that name that have the label (`code="OK"`; NULL: all). *there (may be NULL):
 * whether there is one. */
double om_top_sum(const om_top_page *page, const char *name, const char *label, bool *there);
/* The value of a label; false: the sample has none, or it does not fit. */
bool om_top_label(const om_top_sample *sample, const char *label, char *out, size_t size);
const om_top_family *om_top_find(const om_top_page *page, const char *name);
/* What was observed between two pages of the histogram `name`: seconds below which the share q lies; 0:
 * nothing was. */
double om_top_quantile(const om_top_page *from, const om_top_page *to, const char *name,
                       const char *label, double q);

/* ---- What is shown ------------------------------------------------------------------------- */
typedef struct om_top_collection {
    char name[OM_TOP_NAME];
    double items, unindexed, deleted, memory, disk;
    double searches, p50, p99; /* a second; seconds, of the first 64 */
    double recall, recall_low; /* lowest of its plans; -1: not known */
} om_top_collection;
typedef struct om_top_view {
    char version[32], state[16]; /* "writable", ...; "": not known */
    bool ready;
    double span, uptime;
    double calls, errors, refused, in_flight, streams, slow; /* a second, but the gauges */
    double searches, filtered, p50, p95, p99, queue_p99, queued, short_results, partial;
    double plans[OM_TOP_PLANS]; /* a second, by OMEN_PLAN_* less one */
    double rows, bytes, batches, commit_p99, visible_p99, window,
        stalled; /* stalled: seconds a second */
    double syncs, fsync_p99, log_bytes, unsynced, durable_lag;
    double items, unindexed, index_lag, segments, seals, merges, operations;
    double used, budget, resident, heap, rejections; /* budget 0: none */
    double disk_used, disk_free, disk_size;          /* size 0: no disk */
    double cores, threads, fds, faults;
    double recall, recall_low, recall_high; /* lowest; -1: not known */
    char recall_of[OM_TOP_NAME + 20];       /* "films filter_in" */
    om_top_collection *collections;         /* most searched first */
    size_t collection_count;
    double collections_in_all;
} om_top_view;
bool om_top_view_of(const om_top_page *from, const om_top_page *to, om_top_view *out,
                    om_tool_error *err);
void om_top_view_free(om_top_view *view);

/* How it is drawn: lines of at most `columns`, at most `rows` of them (0: any number); colour with
 * escapes. */
typedef struct om_top_style {
    unsigned columns, rows;
    bool colour;
    const char *clear; /* at the end of each line: "" or an escape that clears the rest */
} om_top_style;
void om_top_draw(FILE *to, const om_top_view *view, const char *address, const om_top_style *style);
void om_top_json(const om_top_view *view); /* one line on standard output */
#endif
