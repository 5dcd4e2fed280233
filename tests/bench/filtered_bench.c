/* filtered_bench.c - filtered searches through omen.h, a query a call, one thread; filtered_bench.py asks.
 *
 *   filtered_bench FOLDER
 *
 * FOLDER holds base.bin and query.bin (u32 rows, u32 dim, f32) and values.bin (u32 a row: the field "u"). It
 * says "ready SECONDS" when the index is built. Then every line of the standard input is
 *   LIMIT EF MODE     only items with u < LIMIT (0: no filter); EF 0: the default; MODE 0: the filter is
 *                     compiled once for all queries, 1: for every query anew; the clock runs meanwhile
 * and is answered with the seconds that all queries took and the plans they had; omen.ids has the results.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "omen.h"

enum { BATCH = 10000, K = 10, PATH_SIZE = 4096, TEXT_SIZE = 32, PLANS = 16 };

typedef struct matrix {
    uint32_t rows, dim;
    float *data;
} matrix;

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "filtered_bench: %s: %s\n", what, why);
    exit(1);
}

static void must(omen_status_t status, const omen_error *err, const char *what)
{
    if (status != OMEN_OK) {
        die(what, err->message);
    }
}

static FILE *open_in(const char *folder, const char *name, const char *mode)
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        die(folder, "the path is too long");
    }
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        die(path, "cannot be opened");
    }
    return file;
}

static void *read_all(FILE *file, size_t bytes, const char *name)
{
    void *data = malloc(bytes);
    if (data == NULL || fread(data, 1, bytes, file) != bytes) {
        die(name, "is too short");
    }
    return data;
}

static matrix load(const char *folder, const char *name)
{
    uint32_t head[2];
    FILE *file = open_in(folder, name, "rb");
    if (fread(head, sizeof head, 1, file) != 1) {
        die(name, "is too short");
    }
    matrix m = {head[0], head[1], NULL};
    m.data = read_all(file, (size_t)m.rows * m.dim * sizeof(float), name);
    (void)fclose(file);
    return m;
}

/* JSON of rows [first, first + n): text and the n + 1 offsets in front of it. */
static omen_column metadata_of(const uint32_t *values, uint32_t first, uint32_t n, char *text,
                               int64_t *offsets)
{
    size_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        offsets[i] = (int64_t)at;
        at += (size_t)snprintf(text + at, TEXT_SIZE, "{\"u\":%" PRIu32 "}", values[first + i]);
    }
    offsets[n] = (int64_t)at;
    return (omen_column){text, offsets, 64, 0};
}

static void fill(omen_collection *c, const matrix *base, const uint32_t *values)
{
    omen_error err;
    char *text = malloc((size_t)BATCH * TEXT_SIZE);
    int64_t *offsets = malloc((BATCH + 1) * sizeof *offsets);
    uint64_t *keys = malloc(BATCH * sizeof *keys);
    if (text == NULL || offsets == NULL || keys == NULL) {
        die("batch", "no memory");
    }
    for (uint32_t at = 0; at < base->rows; at += BATCH) {
        uint32_t n = base->rows - at < BATCH ? base->rows - at : BATCH;
        for (uint32_t i = 0; i < n; i++) {
            keys[i] = at + i;
        }
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = n,
                            .vectors = base->data + (size_t)at * base->dim,
                            .dtype = OMEN_F32,
                            .dim = base->dim,
                            .keys = keys,
                            .metadata = metadata_of(values, at, n, text, offsets)};
        must(omen_add_batch(c, &batch, NULL, NULL, &err), &err, "add");
    }
    must(omen_wait(c, 0, OMEN_WAIT_INDEXED, 0, NULL, &err), &err, "wait");
    free(text);
    free(offsets);
    free(keys);
}

static omen_filter *compile(omen_collection *c, uint64_t limit)
{
    omen_error err;
    omen_filter *filter = NULL;
    char text[TEXT_SIZE];
    int n = snprintf(text, sizeof text, "u < %" PRIu64, limit);
    must(omen_filter_compile(c, text, (size_t)n, NULL, 0, &filter, &err), &err, "filter");
    return filter;
}

static void search(omen_collection *c, const matrix *queries, uint64_t limit, uint32_t ef,
                   bool anew, int32_t *ids)
{
    uint64_t keys[K];
    omen_error err;
    omen_explain explain;
    uint32_t plans[PLANS] = {0};
    omen_filter *filter = NULL;
    double begun = seconds();
    for (uint32_t q = 0; q < queries->rows; q++) {
        if (limit != 0 && (q == 0 || anew)) {
            omen_filter_free(filter);
            filter = compile(c, limit);
        }
        omen_query query = {.struct_size = sizeof query,
                            .vectors = queries->data + (size_t)q * queries->dim,
                            .dtype = OMEN_F32,
                            .dim = queries->dim,
                            .count = 1,
                            .k = K,
                            .ef = ef,
                            .threads = 1,
                            .filter = filter};
        omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .explain = &explain};
        must(omen_search(c, &query, &hits, &err), &err, "search");
        plans[explain.plan < PLANS ? explain.plan : 0]++;
        for (uint32_t i = 0; i < K; i++) {
            ids[q * K + i] = keys[i] == OMEN_NONE ? -1 : (int32_t)keys[i];
        }
    }
    omen_filter_free(filter);
    (void)printf("%.9f", seconds() - begun);
    for (uint32_t plan = 0; plan < PLANS; plan++) {
        if (plans[plan] != 0) {
            (void)printf(" %s:%u", omen_plan_name(plan), plans[plan]);
        }
    }
    (void)printf("\n");
}

int main(int argc, char **argv)
{
    omen_error err;
    omen_runtime *rt = NULL;
    omen_db *db = NULL;
    omen_collection *c = NULL;
    if (argc != 2) {
        die("usage", "filtered_bench FOLDER");
    }
    matrix base = load(argv[1], "base.bin"), queries = load(argv[1], "query.bin");
    FILE *file = open_in(argv[1], "values.bin", "rb");
    uint32_t *values = read_all(file, base.rows * sizeof *values, "values.bin");
    (void)fclose(file);
    omen_runtime_options runtime = {.struct_size = sizeof runtime, .threads = 1};
    must(omen_runtime_create(&runtime, &rt, &err), &err, "runtime");
    omen_db_options options = {.struct_size = sizeof options, .runtime = rt};
    must(omen_db_open(NULL, &options, &db, &err), &err, "database");
    omen_options about = {.struct_size = sizeof about, .dim = base.dim, .capacity_hint = base.rows};
    must(omen_create(db, "bench", &about, &c, &err), &err, "collection");
    double begun = seconds();
    fill(c, &base, values);
    (void)printf("ready %.3f\n", seconds() - begun);
    (void)fflush(stdout);
    int32_t *ids = malloc((size_t)queries.rows * K * sizeof *ids);
    if (ids == NULL) {
        die("results", "no memory");
    }
    char line[TEXT_SIZE * 4];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *end = line;
        uint64_t limit = strtoull(end, &end, 10);
        uint32_t ef = (uint32_t)strtoul(end, &end, 10);
        bool anew = strtoul(end, &end, 10) != 0;
        if (*end != '\n') {
            die("command", line);
        }
        search(c, &queries, limit, ef, anew, ids);
        file = open_in(argv[1], "omen.ids", "wb");
        if (fwrite(ids, sizeof *ids, (size_t)queries.rows * K, file) != (size_t)queries.rows * K ||
            fclose(file) != 0) {
            die("omen.ids", "cannot be written");
        }
        (void)fflush(stdout);
    }
    omen_collection_free(c);
    omen_db_free(db);
    omen_runtime_free(rt);
    free(base.data);
    free(queries.data);
    free(values);
    free(ids);
    return 0;
}
