/* registry.c - sharded cells and their text form.
 * SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct family {
    uint32_t type;
    const char *name;
    const char *help;
} family;

typedef struct series {
    int family;
    om_cell_t cell;
    char *labels;
} series;

typedef struct shard {
    _Alignas(64) _Atomic uint64_t cells[OM_REGISTRY_CELLS];
} shard;

struct om_registry {
    shard *shards; /* [OM_REGISTRY_SHARDS] */
    uint32_t cell_count;
    uint32_t family_count;
    uint32_t series_count;
    family families[OM_REGISTRY_FAMILIES];
    series series[OM_REGISTRY_SERIES];
};

/* 1 - 2.5 - 5 steps: five buckets of 10 us to 500 us, then on to 30 s, where every deadline ends.
 */
static const struct {
    uint64_t ns;
    const char *text;
} bounds[OM_HISTOGRAM_BOUNDS] = {
    {UINT64_C(10000), "1e-05"},    {UINT64_C(25000), "2.5e-05"},  {UINT64_C(50000), "5e-05"},
    {UINT64_C(100000), "0.0001"},  {UINT64_C(250000), "0.00025"}, {UINT64_C(500000), "0.0005"},
    {UINT64_C(1000000), "0.001"},  {UINT64_C(2500000), "0.0025"}, {UINT64_C(5000000), "0.005"},
    {UINT64_C(10000000), "0.01"},  {UINT64_C(25000000), "0.025"}, {UINT64_C(50000000), "0.05"},
    {UINT64_C(100000000), "0.1"},  {UINT64_C(250000000), "0.25"}, {UINT64_C(500000000), "0.5"},
    {UINT64_C(1000000000), "1"},   {UINT64_C(2500000000), "2.5"}, {UINT64_C(5000000000), "5"},
    {UINT64_C(10000000000), "10"}, {UINT64_C(30000000000), "30"},
};

om_registry *om_registry_create(void)
{
    om_registry *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    size_t bytes = sizeof(shard) * OM_REGISTRY_SHARDS;
    r->shards = aligned_alloc(64, bytes);
    if (r->shards == NULL) {
        free(r);
        return NULL;
    }
    memset(r->shards, 0, bytes);
    return r;
}

void om_registry_free(om_registry *r)
{
    if (r == NULL) {
        return;
    }
    for (uint32_t i = 0; i < r->series_count; i++) {
        free(r->series[i].labels);
    }
    free(r->shards);
    free(r);
}

int om_registry_family(om_registry *r, uint32_t type, const char *name, const char *help)
{
    if (r->family_count == OM_REGISTRY_FAMILIES) {
        return -1;
    }
    r->families[r->family_count] = (family){type, name, help};
    return (int)r->family_count++;
}

om_cell_t om_registry_series(om_registry *r, int family_index, const char *labels)
{
    if (family_index < 0 || r->series_count == OM_REGISTRY_SERIES) {
        return OM_CELL_NONE;
    }
    bool histogram = r->families[family_index].type == OM_FAMILY_HISTOGRAM;
    uint32_t need = histogram ? OM_HISTOGRAM_CELLS : 1;
    char *copy = need <= OM_REGISTRY_CELLS - r->cell_count ? strdup(labels) : NULL;
    if (copy == NULL) {
        return OM_CELL_NONE;
    }
    om_cell_t cell = r->cell_count;
    r->cell_count += need;
    r->series[r->series_count++] = (series){family_index, cell, copy};
    return cell;
}

/* Threads take shards in turn; there are few of them, so that most have one for themselves. */
static shard *own_shard(om_registry *r)
{
    static _Atomic uint32_t next;
    static _Thread_local uint32_t own = UINT32_MAX;
    if (own == UINT32_MAX) {
        own = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % OM_REGISTRY_SHARDS;
    }
    return &r->shards[own];
}

void om_registry_add(om_registry *r, om_cell_t cell, uint64_t n)
{
    if (cell != OM_CELL_NONE) {
        atomic_fetch_add_explicit(&own_shard(r)->cells[cell], n, memory_order_relaxed);
    }
}

void om_registry_set(om_registry *r, om_cell_t cell, double value)
{
    if (cell != OM_CELL_NONE) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        atomic_store_explicit(&r->shards[0].cells[cell], bits, memory_order_relaxed);
    }
}

uint64_t om_registry_read(const om_registry *r, om_cell_t cell)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; cell != OM_CELL_NONE && i < OM_REGISTRY_SHARDS; i++) {
        sum += atomic_load_explicit(&r->shards[i].cells[cell], memory_order_relaxed);
    }
    return sum;
}

uint64_t om_histogram_bound(uint32_t i)
{
    return bounds[i].ns;
}

/* The power of two below ns finds the first bucket that can hold it; at most two steps remain,
 * since bounds stand 2 to 2.5 (at the end 3) apart. */
uint32_t om_histogram_bucket(uint64_t ns)
{
    static const uint8_t first[64] = {
        /* 2^0 .. 2^13 lie below 10 us */
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2,
        /* 2^16 = 65.5 us, 2^17 = 131 us, ... 2^31 = 2.1 s */
        3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16,
        /* 2^32 = 4.3 s, 2^33 = 8.6 s, 2^34 = 17 s; beyond 2^35 = 34 s all is +Inf */
        17, 18, 19, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
        20, 20, 20, 20, 20, 20, 20, 20, 20};
    uint32_t i = ns == 0 ? 0 : first[63 - __builtin_clzll(ns)];
    while (i < OM_HISTOGRAM_BOUNDS && ns > bounds[i].ns) {
        i++;
    }
    return i;
}

void om_registry_observe(om_registry *r, om_cell_t histogram, uint64_t ns)
{
    if (histogram != OM_CELL_NONE) {
        _Atomic uint64_t *cells = &own_shard(r)->cells[histogram];
        atomic_fetch_add_explicit(&cells[om_histogram_bucket(ns)], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&cells[OM_HISTOGRAM_CELLS - 1], ns, memory_order_relaxed);
    }
}

void om_page_put_family(om_page *page, const char *name, const char *type, const char *help)
{
    om_page_printf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_series_name(om_page *page, const char *name, const char *suffix, const char *labels)
{
    om_page_put(page, name);
    om_page_put(page, suffix);
    if (labels[0] != '\0') {
        om_page_printf(page, "{%s}", labels);
    }
    om_page_put(page, " ");
}

/* Buckets are cumulative, and the count is the last of them: the three agree within one page, also
 * while threads report. */
static void put_histogram(const om_registry *r, om_page *page, const char *name, const series *s)
{
    const char *comma = s->labels[0] != '\0' ? "," : "";
    uint64_t total = 0;
    for (uint32_t i = 0; i <= OM_HISTOGRAM_BOUNDS; i++) {
        total += om_registry_read(r, s->cell + i);
        om_page_printf(page, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, s->labels, comma,
                       i < OM_HISTOGRAM_BOUNDS ? bounds[i].text : "+Inf", total);
    }
    put_series_name(page, name, "_sum", s->labels);
    om_page_put_seconds(page, om_registry_read(r, s->cell + OM_HISTOGRAM_CELLS - 1));
    om_page_put(page, "\n");
    put_series_name(page, name, "_count", s->labels);
    om_page_printf(page, "%" PRIu64 "\n", total);
}

static void put_series(const om_registry *r, om_page *page, const family *f, const series *s)
{
    if (f->type == OM_FAMILY_HISTOGRAM) {
        put_histogram(r, page, f->name, s);
        return;
    }
    put_series_name(page, f->name, "", s->labels);
    uint64_t value = om_registry_read(r, s->cell);
    double number;
    switch (f->type) {
    case OM_FAMILY_COUNTER_SECONDS:
        om_page_put_seconds(page, value);
        break;
    case OM_FAMILY_GAUGE:
        /* The shards are read one after the other: a fall may be seen before its rise. */
        om_page_printf(page, "%" PRIu64, (int64_t)value < 0 ? 0 : value);
        break;
    case OM_FAMILY_GAUGE_DOUBLE:
        memcpy(&number, &value, sizeof number);
        om_page_printf(page, "%.15g", number);
        break;
    default:
        om_page_printf(page, "%" PRIu64, value);
        break;
    }
    om_page_put(page, "\n");
}

void om_registry_render(const om_registry *r, om_page *page)
{
    static const char *const types[] = {"counter", "counter", "gauge", "gauge", "histogram"};
    for (uint32_t f = 0; f < r->family_count; f++) {
        const family *fam = &r->families[f];
        om_page_put_family(page, fam->name, types[fam->type], fam->help);
        for (uint32_t i = 0; i < r->series_count; i++) {
            if (r->series[i].family == (int)f) {
                put_series(r, page, fam, &r->series[i]);
            }
        }
    }
}
