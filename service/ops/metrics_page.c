/* metrics_page.c - what a scrape asks engine, allocator and kernel for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"
#include "metrics_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIST_PAGE = 256, MAX_LISTED = 100000 };
/* The label of the rest: not a legal name, so that no collection can have it. */
#define OTHER "_other"

typedef struct entry {
    char name[OMEN_MAX_NAME + 1];
    omen_stats stats;
    bool member;
} entry;

typedef struct column {
    const char *name, *type, *help;
    uint64_t (*value)(const omen_stats *stats);
} column;

static void put_u64(om_page *page, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    om_page_put_family(page, name, type, help);
    om_page_printf(page, "%s %" PRIu64 "\n", name, value);
}

void om_metrics_put_build(om_page *page)
{
    om_page_put_family(page, "omendb_build_info", "gauge",
                       "Versions of the library that serves, and its kernels.");
    uint32_t abi = omen_abi_version();
    om_page_printf(
        page, "omendb_build_info{version=\"%s\",abi=\"%u.%u\",format=\"%u\",isa=\"%s\"} 1\n",
        omen_version_string(), abi >> 16, abi & 0xffff, omen_format_version(), omen_isa_name());
}

/* ---- Memory ------------------------------------------------------------------------------ */

static void put_runtime(om_metrics *m, om_page *page)
{
    omen_runtime_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    if (m->runtime == NULL || omen_get_runtime_stats(m->runtime, &stats, NULL) != OMEN_OK) {
        return;
    }
    if (stats.memory_limit > 0) { /* absent without a limit: 0 would read as one */
        put_u64(page, "omendb_memory_budget_bytes", "gauge",
                "Most that index and scratch may take.", stats.memory_limit);
    }
    put_u64(page, "omendb_memory_used_bytes", "gauge", "What index and scratch take.",
            stats.memory_used);
    put_u64(page, "omendb_memory_rejections_total", "counter",
            "Requests refused because the budget was used up.", stats.memory_rejections);
}

void om_metrics_put_memory(om_metrics *m, om_page *page)
{
    put_runtime(m, page);
    om_heap_stats heap;
    if (!om_heap_get_stats(&heap)) {
        return;
    }
    put_u64(page, "omendb_jemalloc_allocated_bytes", "gauge", "Handed out by the allocator.",
            heap.allocated);
    put_u64(page, "omendb_jemalloc_engine_allocated_bytes", "gauge",
            "Handed out to the engine; part of the former.", heap.engine_allocated);
    put_u64(page, "omendb_jemalloc_active_bytes", "gauge", "In pages with allocations.",
            heap.active);
    put_u64(page, "omendb_jemalloc_metadata_bytes", "gauge", "Of the allocator itself.",
            heap.metadata);
    put_u64(page, "omendb_jemalloc_resident_bytes", "gauge", "In memory, at most.", heap.resident);
    put_u64(page, "omendb_jemalloc_mapped_bytes", "gauge", "Of active extents.", heap.mapped);
    put_u64(page, "omendb_jemalloc_retained_bytes", "gauge", "Address space kept for later.",
            heap.retained);
}

/* ---- Process: the names that every Prometheus client uses -------------------------------- */

static uint64_t count_fds(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        count += e->d_name[0] != '.';
    }
    (void)closedir(dir);
    return count > 0 ? count - 1 : 0; /* without the one that was opened to look */
}

static size_t read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Field `index` (from 1, as in proc(5)) of /proc/self/stat; the name in field 2 may hold anything.
 */
static uint64_t stat_field(const char *stat, int index)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < index; field++) {
        at = strchr(at + 1, ' ');
    }
    return at != NULL ? strtoull(at + 1, NULL, 10) : 0;
}

/* Seconds since 1970 at which the process started: boot time, and ticks after it. */
static double start_time(const char *stat)
{
    char text[8192];
    (void)read_file("/proc/stat", text, sizeof text);
    const char *boot = strstr(text, "\nbtime ");
    if (boot == NULL) {
        return 0;
    }
    return (double)strtoull(boot + 7, NULL, 10) +
           (double)stat_field(stat, 22) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec * 1e-6;
}

void om_metrics_put_process(om_page *page)
{
    char stat[1024];
    struct rusage usage;
    struct rlimit fds;
    memset(&usage, 0, sizeof usage);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)read_file("/proc/self/stat", stat, sizeof stat);
    om_page_put_family(page, "process_cpu_seconds_total", "counter", "User and system time.");
    om_page_printf(page, "process_cpu_seconds_total %.6f\n",
                   seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    om_page_put_family(page, "process_start_time_seconds", "gauge", "Start, since 1970.");
    om_page_printf(page, "process_start_time_seconds %.2f\n", start_time(stat));
    put_u64(page, "process_resident_memory_bytes", "gauge", "Memory in use, file pages included.",
            stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE));
    put_u64(page, "process_virtual_memory_bytes", "gauge", "Address space.", stat_field(stat, 23));
    put_u64(page, "process_threads", "gauge", "Threads.", stat_field(stat, 20));
    put_u64(page, "process_major_page_faults_total", "counter", "Pages read from disk.",
            (uint64_t)usage.ru_majflt);
    put_u64(page, "process_open_fds", "gauge", "Open file descriptors.", count_fds());
    if (getrlimit(RLIMIT_NOFILE, &fds) == 0) {
        put_u64(page, "process_max_fds", "gauge", "Limit of open file descriptors.", fds.rlim_cur);
    }
}

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
    bool ok = omen_get_stats(c, &e->stats, NULL) == OMEN_OK;
    omen_collection_free(c);
    return ok;
}

/* All collections with their figures; the caller frees. NULL: none, or no memory. */
static entry *read_entries(omen_db *db, size_t *count)
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
    sum->bytes_scratch += s->bytes_scratch;
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

void om_metrics_put_collections(om_metrics *m, om_page *page)
{
    if (m->db == NULL) {
        return;
    }
    listing l;
    memset(&l, 0, sizeof l);
    entry *entries = read_entries(m->db, &l.count);
    if (entries != NULL) {
        choose_members(m, entries, l.count);
    } else {
        m->member_count = 0;
    }
    for (size_t i = 0; i < l.count; i++) {
        if (!entries[i].member) {
            add_stats(&l.other, &entries[i].stats);
            l.others++;
        }
    }
    l.entries = entries;
    put_u64(page, "omendb_collections", "gauge", "Collections.", l.count);
    put_listing(page, &l);
    free(entries);
}
