/* recall_defaults.c - recall@10 of one set of default parameters, the graph forced, on real vectors.
 *
 *   recall_defaults [--json | --ef N] [FOLDER]
 *
 * FOLDER holds one set, or folders that do; without it the environment variable DATA names it. Each set
 * must reach 0.95, and more than 10,000 rows must take at most 5 % of them as distances a query. A row as
 * near as the k-th true neighbour counts as found. --ef shows what another beam would give. Exit code 77:
 * there is nothing to test.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "import.h"

enum { K = 10, PATH_SIZE = 4096, BATCH = 4096, QUERY_ROWS = 1000, SETS_MAX = 256, SKIPPED = 77 };
static const double RECALL_LEAST = 0.95;
static const double DISTANCES_SHARE_MOST = 0.05;
static const uint64_t LARGE_ROWS = 10000;
/* Relative, for sums in f32; and absolute, for similarities (see the README of the data). */
static const double TIE_RELATIVE = 2e-6;
static const double TIE_COSINE = 1e-6;

/* How the files of a kind of set are called; the first kind whose base is there is taken. */
typedef struct layout {
    const char *base, *query, *truth, *distances;
    uint32_t metric;
} layout;
static const layout LAYOUTS[] = {
    {"train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz", "groundtruth.ivecs.gz",
     "sqdist.ivecs.gz", OMEN_L2},
    {"base.bvecs.gz", "query.bvecs.gz", "groundtruth.ivecs.gz", "sqdist.ivecs.gz", OMEN_L2},
    {"base.fvecs.gz", "query.fvecs.gz", "groundtruth.ivecs.gz", "cosine.fvecs.gz", OMEN_COSINE},
    {"lsa256-docs.fvecs.gz", "lsa256-queries.fvecs.gz", "lsa256-groundtruth.ivecs.gz",
     "lsa256-cosine.fvecs.gz", OMEN_COSINE},
};

typedef struct matrix {
    void *data;
    size_t rows;
    uint32_t dim, dtype;
} matrix;

typedef struct set {
    const char *name;
    const layout *files;
    matrix base, query, truth, distances;
} set;

typedef struct outcome {
    double recall, distances;
    uint64_t rows;
    bool passed;
} outcome;

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "recall_defaults: %s: %s\n", what, why);
    exit(1);
}

static void must(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        die(omen_status_name(status), err->message);
    }
}

static void path_of(char *out, const char *folder, const char *file)
{
    if (snprintf(out, PATH_SIZE, "%s/%s", folder, file) >= PATH_SIZE) {
        die(folder, "the path is too long");
    }
}

static matrix load(const char *folder, const char *file)
{
    char path[PATH_SIZE];
    om_tool_error err;
    om_import *imp;
    om_import_options options = {0};
    path_of(path, folder, file);
    if (!om_import_open(path, &options, &imp, &err)) {
        die(path, err.message);
    }
    matrix m = {.dim = om_import_about(imp)->dim, .dtype = om_import_about(imp)->dtype};
    size_t row = m.dim * om_import_dtype_width(m.dtype);
    om_import_rows part;
    for (;;) {
        if (!om_import_read(imp, BATCH, &part, &err)) {
            die(path, err.message);
        }
        if (part.count == 0) {
            break;
        }
        char *grown = realloc(m.data, (m.rows + part.count) * row);
        if (grown == NULL) {
            die(path, "no memory");
        }
        memcpy(grown + m.rows * row, part.data, part.count * row);
        m.data = grown;
        m.rows += part.count;
    }
    om_import_free(imp);
    return m;
}

/* ---- Building and searching ------------------------------------------------------------------ */

static omen_collection *build(const set *s, omen_db *db)
{
    omen_error err;
    omen_collection *c;
    omen_options options = {.struct_size = sizeof options,
                            .dim = s->base.dim,
                            .metric = s->files->metric,
                            .dtype = s->base.dtype};
    must(omen_create(db, "set", &options, &c, &err), &err);
    size_t row = s->base.dim * om_import_dtype_width(s->base.dtype);
    for (size_t at = 0; at < s->base.rows; at += BATCH) {
        uint64_t keys[BATCH];
        size_t n = s->base.rows - at < BATCH ? s->base.rows - at : BATCH;
        for (size_t i = 0; i < n; i++) {
            keys[i] = at + i;
        }
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = n,
                            .vectors = (const char *)s->base.data + at * row,
                            .dim = s->base.dim,
                            .keys = keys};
        must(omen_add_batch(c, &batch, NULL, NULL, &err), &err);
    }
    must(omen_wait(c, 0, OMEN_WAIT_INDEXED, 0, NULL, &err), &err);
    return c;
}

/* The greatest distance that is as good as the k-th true one. */
static double tie_limit(const set *s, size_t query)
{
    size_t i = query * s->distances.dim + K - 1;
    if (s->distances.dtype == OM_IMPORT_I32) {
        return (double)((const int32_t *)s->distances.data)[i] * (1 + TIE_RELATIVE);
    }
    return 1 - (double)((const float *)s->distances.data)[i] + TIE_COSINE;
}

static bool is_true(const int32_t *truth, uint64_t key)
{
    for (size_t i = 0; i < K; i++) {
        if ((uint64_t)(uint32_t)truth[i] == key) {
            return true;
        }
    }
    return false;
}

static size_t hits_of(const set *s, size_t query, const uint64_t *keys, const float *distances)
{
    const int32_t *truth = (const int32_t *)s->truth.data + query * s->truth.dim;
    double limit = tie_limit(s, query);
    size_t hits = 0;
    for (size_t i = 0; i < K; i++) {
        if (keys[i] == OMEN_NONE || (i > 0 && keys[i] == keys[i - 1])) {
            continue;
        }
        hits += is_true(truth, keys[i]) || (double)distances[i] <= limit;
    }
    return hits;
}

static uint32_t beam; /* 0: the default */

static outcome search(const set *s, omen_collection *c)
{
    omen_error err;
    outcome out = {.rows = s->base.rows};
    static uint64_t keys[QUERY_ROWS * K];
    static float distances[QUERY_ROWS * K];
    static omen_explain explain[QUERY_ROWS];
    size_t row = s->query.dim * om_import_dtype_width(s->query.dtype);
    for (size_t at = 0; at < s->query.rows; at += QUERY_ROWS) {
        size_t n = s->query.rows - at < QUERY_ROWS ? s->query.rows - at : QUERY_ROWS;
        omen_query query = {.struct_size = sizeof query,
                            .flags = OMEN_GRAPH_ONLY,
                            .vectors = (const char *)s->query.data + at * row,
                            .dim = s->query.dim,
                            .count = (uint32_t)n,
                            .k = K,
                            .ef = beam};
        omen_hits hits = {
            .struct_size = sizeof hits, .keys = keys, .distances = distances, .explain = explain};
        must(omen_search(c, &query, &hits, &err), &err);
        for (size_t i = 0; i < n; i++) {
            if (explain[i].plan != OMEN_PLAN_GRAPH || explain[i].scanned != 0) {
                die(s->name, "a search did not take the graph alone");
            }
            out.recall += (double)hits_of(s, at + i, keys + i * K, distances + i * K);
            out.distances += (double)explain[i].distances;
        }
    }
    out.recall /= (double)s->query.rows * K;
    out.distances /= (double)s->query.rows;
    return out;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static outcome measure(const char *name, const char *folder, const layout *files)
{
    omen_error err;
    omen_db *db;
    omen_db_options options = {.struct_size = sizeof options};
    set s = {.name = name,
             .files = files,
             .base = load(folder, files->base),
             .query = load(folder, files->query),
             .truth = load(folder, files->truth),
             .distances = load(folder, files->distances)};
    if (s.query.rows > s.truth.rows) {
        s.query.rows = s.truth.rows; /* the bundled part has the truth of the first queries */
    }
    if (s.query.rows == 0 || s.distances.rows != s.truth.rows || s.truth.dim < K ||
        s.distances.dim != s.truth.dim || s.query.dim != s.base.dim) {
        die(folder, "the files do not fit together");
    }
    must(omen_db_open(NULL, &options, &db, &err), &err);
    omen_collection *c = build(&s, db);
    outcome out = search(&s, c);
    omen_collection_free(c);
    omen_db_free(db);
    bool few = out.distances <= DISTANCES_SHARE_MOST * (double)out.rows || out.rows <= LARGE_ROWS;
    out.passed = out.recall >= RECALL_LEAST && few;
    free(s.base.data);
    free(s.query.data);
    free(s.truth.data);
    free(s.distances.data);
    return out;
}

static const layout *layout_of(const char *folder)
{
    for (size_t i = 0; i < sizeof LAYOUTS / sizeof LAYOUTS[0]; i++) {
        char path[PATH_SIZE];
        struct stat info;
        path_of(path, folder, LAYOUTS[i].base);
        if (stat(path, &info) == 0) {
            return &LAYOUTS[i];
        }
    }
    return NULL;
}

static size_t found, failed;

/* The name of a set is that of its folder. */
static void run(const char *name, const char *folder, bool json)
{
    const layout *files = layout_of(folder);
    if (files == NULL) {
        return;
    }
    outcome o = measure(name, folder, files);
    double share = 100 * o.distances / (double)o.rows;
    if (json) {
        (void)printf("{\"set\": \"%s\", \"rows\": %llu, \"recall\": %.5f, \"distances\": %.1f}\n",
                     name, (unsigned long long)o.rows, o.recall, o.distances);
    } else {
        (void)printf("%-30s %6llu rows  recall@10 %.4f  distances %7.1f a query, %5.2f %%%s\n",
                     name, (unsigned long long)o.rows, o.recall, o.distances, share,
                     o.passed ? "" : "  FAILED");
    }
    (void)fflush(stdout);
    found++;
    failed += o.passed ? 0 : 1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void run_folders(const char *folder, bool json)
{
    struct dirent **list;
    int count = scandir(folder, &list, NULL, by_name);
    if (count < 0) {
        die(folder, "cannot be read");
    }
    for (int i = 0; i < count; i++) {
        if (list[i]->d_name[0] != '.' && found < SETS_MAX) {
            char path[PATH_SIZE];
            path_of(path, folder, list[i]->d_name);
            run(list[i]->d_name, path, json);
        }
        free(list[i]);
    }
    free(list);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    bool with_ef = argc > 2 && strcmp(argv[1], "--ef") == 0;
    int options = json ? 1 : with_ef ? 2 : 0;
    beam = with_ef ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    const char *folder = argc > 1 + options ? argv[1 + options] : getenv("DATA");
    if (folder == NULL || folder[0] == '\0') {
        (void)fprintf(stderr,
                      "recall_defaults: no FOLDER, and DATA is not set: nothing is tested\n");
        return SKIPPED;
    }
    if (layout_of(folder) != NULL) {
        run(folder, folder, json);
    } else {
        run_folders(folder, json);
    }
    if (found == 0) {
        die(folder, "there are no sets in it");
    }
    return failed == 0 ? 0 : 1;
}
