/* model_read.c - everything that reads, compared with the model.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

static uint64_t some_key(model_run *run, const model_item **item)
{
    uint32_t n = model_below(run, run->universe + 1);
    *item = n < run->universe && run->items[n].live ? &run->items[n] : NULL;
    if (*item != NULL) {
        return (*item)->key;
    }
    if (run->id_type == OMEN_ID_U64) {
        return n < run->universe ? model_u64_id(n) : OMEN_NONE;
    }
    /* A key that died is as absent as one that was never there. */
    return n < run->universe && run->items[n].key != 0 ? run->items[n].key : OMEN_NONE;
}

static void check_ids(model_run *run, omen_collection *c, const uint64_t *keys, uint32_t count)
{
    omen_rows *rows = NULL;
    omen_column column;
    CHECK(run, omen_fetch(c, keys, count, OMEN_FIELD_ID, &rows, &run->err) == OMEN_OK);
    omen_rows_column(rows, OMEN_FIELD_ID, &column);
    const uint8_t *data = column.data;
    CHECK(run, column.offset_bits == (run->id_type == OMEN_ID_STRING ? 64u : 0u));
    for (uint32_t i = 0; i < count; i++) {
        const model_item *item = model_by_key(run, keys[i]);
        uint8_t id[MODEL_MAX_ID];
        size_t want = 0;
        if (item != NULL) {
            want = model_id(run, (uint32_t)(item - run->items), id);
        } else if (run->id_type != OMEN_ID_STRING) {
            want = run->id_type == OMEN_ID_U64 ? 8 : 16;
            memset(id, 0xFF, want);
        }
        size_t begin = (size_t)i * column.width;
        size_t length = column.width;
        if (column.offset_bits == 64) {
            const int64_t *offsets = column.offsets;
            begin = (size_t)offsets[i];
            length = (size_t)(offsets[i + 1] - offsets[i]);
        }
        CHECK(run, length == want);
        CHECK(run, want == 0 || memcmp(data + begin, id, want) == 0);
    }
    omen_rows_free(rows);
}

void model_get(model_run *run, omen_collection *c)
{
    enum { MOST = 30 };
    uint64_t keys[MOST];
    const model_item *items[MOST];
    uint8_t found[MOST];
    uint8_t out[MOST * (MODEL_MAX_DIM * 4 + 4)];
    uint32_t count = model_below(run, MOST + 1);
    uint32_t live = 0;
    run->what = "get";
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = some_key(run, &items[i]);
        live += items[i] != NULL;
    }
    bool floats = model_below(run, 2) == 0;
    uint32_t dtype = floats ? (uint32_t)OMEN_F32 : run->dtype;
    size_t row = run->dim * model_width(dtype);
    size_t stride = model_below(run, 2) == 0 ? row : row + 4;
    omen_status_t status = omen_get_vectors(c, keys, count, out, stride == row ? 0 : stride,
                                            floats ? OMEN_F32 : 0, found, &run->err);
    CHECK(run, status == OMEN_OK);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t want[MODEL_MAX_DIM * 4];
        CHECK(run, found[i] == (items[i] != NULL));
        if (items[i] != NULL) {
            model_encode(dtype, items[i]->vector, run->dim, want);
            CHECK(run, memcmp(out + i * stride, want, row) == 0);
        }
    }
    status = omen_get_vectors(c, keys, count, out, 0, 0, NULL, &run->err);
    CHECK(run, status == (live == count ? OMEN_OK : OMEN_NOT_FOUND));
    check_ids(run, c, keys, count);
}

void model_lookup(model_run *run, omen_collection *c)
{
    uint32_t names[MODEL_MAX_BATCH];
    uint64_t keys[MODEL_MAX_BATCH];
    uint32_t count = model_below(run, MODEL_MAX_BATCH + 1);
    run->what = "lookup";
    for (uint32_t i = 0; i < count; i++) {
        names[i] = model_below(run, run->universe);
    }
    omen_column column = model_column(run, names, count);
    CHECK(run, omen_lookup(c, &column, count, keys, &run->err) == OMEN_OK);
    for (uint32_t i = 0; i < count; i++) {
        const model_item *item = &run->items[names[i]];
        CHECK(run, keys[i] == (item->live ? item->key : OMEN_NONE));
    }
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

/* All keys, in pieces: each live item once, nothing else. */
void model_scan(model_run *run, omen_collection *c)
{
    run->what = "scan";
    uint64_t *got = malloc((run->universe + 64) * sizeof *got);
    uint64_t *want = malloc(run->universe * sizeof *want);
    CHECK(run, got != NULL && want != NULL);
    uint64_t cursor = 0;
    uint64_t total = 0;
    uint64_t piece = 0;
    uint64_t part = 1 + model_below(run, 64);
    do {
        CHECK(run, total <= run->live);
        CHECK(run, omen_scan(c, &cursor, got + total, part, &piece, &run->err) == OMEN_OK);
        total += piece;
    } while (piece == part);
    uint64_t live = 0;
    for (uint32_t n = 0; n < run->universe; n++) {
        if (run->items[n].live) {
            want[live++] = run->items[n].key;
        }
    }
    CHECK(run, live == run->live && total == live);
    qsort(got, live, sizeof *got, compare_keys);
    qsort(want, live, sizeof *want, compare_keys);
    CHECK(run, live == 0 || memcmp(got, want, live * sizeof *got) == 0);
    uint64_t count = 0;
    CHECK(run, omen_count(c, &count, &run->err) == OMEN_OK && count == live);
    free(got);
    free(want);
}

static int compare_doubles(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;
    return (*left > *right) - (*left < *right);
}

/* Distances from a query to every live item, nearest first. */
static uint32_t all_distances(const model_run *run, const float *query, double *out)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < run->universe; n++) {
        if (run->items[n].live) {
            out[count++] = model_distance(run, query, run->items[n].vector);
        }
    }
    qsort(out, count, sizeof *out, compare_doubles);
    return count;
}

/* One query's hits: live, each once, sorted, with right distances; exact ones are the nearest. */
static void check_hits(model_run *run, const float *query, const uint64_t *keys,
                       const float *distances, uint32_t k, bool exact)
{
    static double truth[4096];
    uint32_t live = all_distances(run, query, truth);
    uint32_t want = k < live ? k : live;
    for (uint32_t i = want; i < k; i++) {
        CHECK(run, keys[i] == OMEN_NONE && isinf(distances[i]) && distances[i] > 0);
    }
    for (uint32_t i = 0; i < want; i++) {
        const model_item *item = model_by_key(run, keys[i]);
        CHECK(run, item != NULL);
        double right = model_distance(run, query, item->vector);
        double tolerance = model_tolerance(run, query, item->vector);
        CHECK(run, fabs((double)distances[i] - right) <= tolerance);
        CHECK(run, i == 0 || distances[i] > distances[i - 1] ||
                       (distances[i] == distances[i - 1] && keys[i] > keys[i - 1]));
        for (uint32_t j = 0; j < i; j++) {
            CHECK(run, keys[j] != keys[i]);
        }
        CHECK(run, !exact || fabs((double)distances[i] - truth[i]) <= tolerance);
        run->wanted += !exact;
        run->found += !exact && right <= truth[want - 1] + tolerance;
    }
}

void model_search(model_run *run, omen_collection *c, uint32_t flags)
{
    enum { QUERIES = 3 };
    static uint64_t keys[QUERIES * MODEL_MAX_K];
    static float distances[QUERIES * MODEL_MAX_K];
    float queries[QUERIES][MODEL_MAX_DIM];
    uint8_t bytes[QUERIES * MODEL_MAX_DIM * 4];
    uint32_t counts[QUERIES];
    run->what = (flags & OMEN_EXACT) != 0 ? "exact search" : "search";
    uint32_t k = model_below(run, 12) == 0 ? MODEL_MAX_K : 1 + model_below(run, 30);
    uint32_t dtype = model_below(run, 2) == 0 ? (uint32_t)OMEN_F32 : run->dtype;
    uint32_t count = 1 + model_below(run, QUERIES);
    for (uint32_t q = 0; q < count; q++) {
        model_vector(run, queries[q]);
        model_encode(dtype, queries[q], run->dim, bytes + q * run->dim * model_width(dtype));
    }
    const omen_query query = {.struct_size = sizeof query,
                              .flags = flags,
                              .vectors = bytes,
                              .dtype = dtype,
                              .dim = run->dim,
                              .count = count,
                              .k = k,
                              .threads = model_below(run, 3),
                              .min_version = c == run->c ? run->version : 0};
    omen_hits hits = {
        .struct_size = sizeof hits, .keys = keys, .distances = distances, .counts = counts};
    CHECK(run, omen_search(c, &query, &hits, &run->err) == OMEN_OK);
    CHECK(run, c != run->c || hits.version >= run->version);
    for (uint32_t q = 0; q < count; q++) {
        CHECK(run, counts[q] == (k < run->live ? k : run->live));
        check_hits(run, queries[q], keys + q * k, distances + q * k, k, (flags & OMEN_EXACT) != 0);
    }
}

void model_read_only(model_run *run, omen_collection *c)
{
    for (int i = 0; i < 3; i++) {
        model_get(run, c);
        model_lookup(run, c);
        model_search(run, c, OMEN_EXACT);
        model_search(run, c, 0);
        model_search(run, c, OMEN_GRAPH_ONLY);
    }
    model_scan(run, c);
    model_read_fields(run, c);
}
