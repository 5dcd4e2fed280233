/* metrics_collections.c - what a scrape tells of collections: a label for the most used ones, a sum of the
 * rest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_int.h"

enum { LIST_PAGE = 256, MAX_LISTED = 100000 };
/* The label of the rest: not a legal name, so that no collection can have it. */
#define OTHER "_other"

typedef om_metrics_entry entry;

typedef struct column {
    const char *name, *type, *help;
    uint64_t (*value)(const omen_stats *stats);
} column;

/* ---- Collections ------------------------------------------------------------------------- */

static bool read_entry(omen_db *db, const char *name, entry *e)
{
    omen_collection *c = NULL;
    omen_open_options open;
    memset(&open, 0, sizeof open);
    open.struct_size = sizeof open;
    if (omen_open(db, name, &open, &c, NULL) != OMEN_OK) {
        return false; /* dropped since it was listed */
    }
    memset(e, 0, sizeof *e);
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    e->stats.struct_size = sizeof e->stats;
    e->indexed_version = UINT64_MAX;
    bool ok = omen_get_stats(c, &e->stats, NULL) == OMEN_OK;
    omen_write_progress progress = {.struct_size = sizeof progress};
    if (ok && e->stats.backlog_rows > OM_METRICS_BACKLOG &&
        omen_get_progress(c, &progress, NULL) == OMEN_OK) {
        e->indexed_version = progress.indexed_version;
    }
    omen_collection_free(c);
    return ok;
}

om_metrics_entry *om_metrics_entries(omen_db *db, size_t *count)
{
    char(*names)[OMEN_MAX_NAME + 1] = calloc(LIST_PAGE, sizeof *names);
    entry *entries = NULL;
    size_t n = 0;
    size_t listed = names != NULL ? LIST_PAGE : 0;
    char after[OMEN_MAX_NAME + 1] = "";
    while (listed == LIST_PAGE && n < MAX_LISTED) {
        if (omen_list(db, after[0] != '\0' ? after : NULL, names[0], LIST_PAGE, &listed, NULL) !=
                OMEN_OK ||
            listed == 0) {
            break;
        }
        entry *grown = realloc(entries, (n + listed) * sizeof *entries);
        if (grown == NULL) {
            break;
        }
        entries = grown;
        for (size_t i = 0; i < listed; i++) {
            n += read_entry(db, names[i], &entries[n]);
        }
        memcpy(after, names[listed - 1], sizeof after);
    }
    free(names);
    *count = n;
    return entries;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static int by_label(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Most searched first, then largest, then by name. */
static int by_use(const void *a, const void *b)
{
    const entry *x = a;
    const entry *y = b;
    if (x->stats.searches != y->stats.searches) {
        return x->stats.searches > y->stats.searches ? -1 : 1;
    }
    if (x->stats.rows != y->stats.rows) {
        return x->stats.rows > y->stats.rows ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

/* Forgets members that were dropped and gives free places to the most used of the rest. */
static void choose_members(om_metrics *m, entry *entries, size_t n)
{
    uint32_t kept = 0;
    qsort(entries, n, sizeof *entries, by_name);
    for (uint32_t i = 0; i < m->member_count; i++) {
        entry key;
        memcpy(key.name, m->members[i], sizeof key.name);
        entry *found = bsearch(&key, entries, n, sizeof *entries, by_name);
        if (found != NULL) {
            found->member = true;
            memmove(m->members[kept++], m->members[i], sizeof m->members[0]);
        }
    }
    m->member_count = kept;
    qsort(entries, n, sizeof *entries, by_use);
    for (size_t i = 0; i < n && m->member_count < m->top_collections; i++) {
        if (!entries[i].member) {
            entries[i].member = true;
            memcpy(m->members[m->member_count++], entries[i].name, sizeof entries[i].name);
        }
    }
    qsort(entries, n, sizeof *entries, by_name);
    qsort(m->members, m->member_count, sizeof *m->members, by_label);
}

static void add_stats(omen_stats *sum, const omen_stats *s)
{
    sum->count += s->count;
    sum->deleted += s->deleted;
    sum->rows += s->rows;
    sum->indexed_rows += s->indexed_rows;
    sum->backlog_rows += s->backlog_rows;
    sum->bytes_codes += s->bytes_codes;
    sum->bytes_links += s->bytes_links;
    sum->bytes_ids += s->bytes_ids;
    sum->bytes_vectors += s->bytes_vectors;
    /* Scratch is the runtime's, and every collection tells of all of it. */
    sum->bytes_scratch =
        s->bytes_scratch > sum->bytes_scratch ? s->bytes_scratch : sum->bytes_scratch;
    sum->bytes_metadata += s->bytes_metadata;
    sum->bytes_text += s->bytes_text;
    sum->bytes_mapped += s->bytes_mapped;
    sum->bytes_disk += s->bytes_disk;
    sum->segments += s->segments;
}

/* clang-format off */
static uint64_t get_count(const omen_stats *s) { return s->count; }
static uint64_t get_rows(const omen_stats *s) { return s->rows; }
static uint64_t get_backlog(const omen_stats *s) { return s->backlog_rows; }
static uint64_t get_codes(const omen_stats *s) { return s->bytes_codes; }
static uint64_t get_links(const omen_stats *s) { return s->bytes_links; }
static uint64_t get_ids(const omen_stats *s) { return s->bytes_ids; }
static uint64_t get_vectors(const omen_stats *s) { return s->bytes_vectors; }
static uint64_t get_scratch(const omen_stats *s) { return s->bytes_scratch; }
static uint64_t get_metadata(const omen_stats *s) { return s->bytes_metadata; }
static uint64_t get_text(const omen_stats *s) { return s->bytes_text; }
static uint64_t get_mapped(const omen_stats *s) { return s->bytes_mapped; }
static uint64_t get_disk(const omen_stats *s) { return s->bytes_disk; }
static uint64_t get_segments(const omen_stats *s) { return s->segments; }
static const column columns[] = {
    {"omendb_points", "gauge", "Live items.", get_count},
    {"omendb_rows", "gauge", "Rows, dead ones included.", get_rows},
    {"omendb_unindexed_points", "gauge", "Rows that are scanned until they are in the graph.",
     get_backlog},
    {"omendb_collection_segments", "gauge", "Segments of a collection.", get_segments},
};
static const struct { const char *part; uint64_t (*value)(const omen_stats *); } parts[] = {
    {"codes", get_codes}, {"links", get_links}, {"ids", get_ids}, {"vectors", get_vectors},
    {"scratch", get_scratch}, {"metadata", get_metadata}, {"text", get_text},
    {"mapped", get_mapped}, {"disk", get_disk},
};
/* clang-format on */

typedef struct listing {
    const entry *entries;
    size_t count;
    omen_stats other; /* the sum of those without a label of their own */
    size_t others;
} listing;

static void put_column(om_page *page, const column *c, const listing *l)
{
    om_page_put_family(page, c->name, c->type, c->help);
    for (size_t i = 0; i < l->count; i++) {
        if (l->entries[i].member) {
            om_page_printf(page, "%s{collection=\"%s\"} %" PRIu64 "\n", c->name, l->entries[i].name,
                           c->value(&l->entries[i].stats));
        }
    }
    if (l->others > 0) {
        om_page_printf(page, "%s{collection=\"" OTHER "\"} %" PRIu64 "\n", c->name,
                       c->value(&l->other));
    }
}

static void put_parts(om_page *page, const char *name, const omen_stats *stats)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        om_page_printf(page, "omendb_collection_bytes{collection=\"%s\",part=\"%s\"} %" PRIu64 "\n",
                       name, parts[i].part, parts[i].value(stats));
    }
}

static void put_ratio(om_page *page, const char *name, const omen_stats *s)
{
    double ratio = s->rows > 0 ? (double)s->deleted / (double)s->rows : 0.0;
    om_page_printf(page, "omendb_deleted_ratio{collection=\"%s\"} %.6g\n", name, ratio);
}

static void put_listing(om_page *page, const listing *l)
{
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        put_column(page, &columns[i], l);
    }
    om_page_put_family(page, "omendb_deleted_ratio", "gauge", "Dead rows of all rows.");
    for (size_t i = 0; i < l->count; i++) {
        if (l->entries[i].member) {
            put_ratio(page, l->entries[i].name, &l->entries[i].stats);
        }
    }
    if (l->others > 0) {
        put_ratio(page, OTHER, &l->other);
    }
    om_page_put_family(page, "omendb_collection_bytes", "gauge",
                       "Memory of a collection by part; mapped: file pages, not counted as used; "
                       "disk: files.");
    for (size_t i = 0; i < l->count; i++) {
        if (l->entries[i].member) {
            put_parts(page, l->entries[i].name, &l->entries[i].stats);
        }
    }
    if (l->others > 0) {
        put_parts(page, OTHER, &l->other);
    }
    /* No sum of the rest here: it would fall with every drop, and read as a reset. */
    om_page_put_family(page, "omendb_collection_searches_total", "counter",
                       "Queries of a collection; only those with a label of their own.");
    for (size_t i = 0; i < l->count; i++) {
        if (l->entries[i].member) {
            om_page_printf(page,
                           "omendb_collection_searches_total{collection=\"%s\"} %" PRIu64 "\n",
                           l->entries[i].name, l->entries[i].stats.searches);
        }
    }
}

void om_metrics_put_collections(om_metrics *m, om_page *page, omen_stats *all)
{
    memset(all, 0, sizeof *all);
    if (m->db == NULL) {
        m->member_count = 0;
        return;
    }
    listing l;
    memset(&l, 0, sizeof l);
    entry *entries = om_metrics_entries(m->db, &l.count);
    if (entries != NULL) {
        choose_members(m, entries, l.count);
    } else {
        m->member_count = 0;
    }
    for (size_t i = 0; i < l.count; i++) {
        add_stats(all, &entries[i].stats);
        if (!entries[i].member) {
            add_stats(&l.other, &entries[i].stats);
            l.others++;
        }
    }
    l.entries = entries;
    om_metrics_put_u64(page, "omendb_collections", "gauge", "Collections.", l.count);
    put_listing(page, &l);
    free(entries);
}

bool om_metrics_sum_collections(om_metrics *m, om_metrics_sum *out)
{
    size_t count = 0;
    memset(out, 0, sizeof *out);
    out->indexed_version = UINT64_MAX;
    if (m == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&m->mutex);
    bool there = m->db != NULL;
    entry *entries = there ? om_metrics_entries(m->db, &count) : NULL;
    (void)pthread_mutex_unlock(&m->mutex);
    for (size_t i = 0; i < count; i++) {
        const entry *e = &entries[i];
        out->items += e->stats.count;
        out->rows += e->stats.rows;
        out->unindexed += e->stats.backlog_rows;
        out->segments += e->stats.segments;
        if (e->indexed_version < out->indexed_version) {
            out->indexed_version = e->indexed_version;
        }
    }
    out->collections = count;
    free(entries);
    return there;
}
