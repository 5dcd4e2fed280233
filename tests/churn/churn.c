/* churn.c - rounds of deleting and re-inserting a tenth of a collection on disk. Recall at the beam that
 * gave 0.95 before must not fall by 0.005 in any round; memory and disk must stay below 2.5 times the live
 * data, as they are found after each round, merges in progress included.
 *
 *   churn [--rows N] [--rounds N] [--dim N] [--seed N] [--seal-rows N] [--folder DIR]
 *
 * Last line: churn: rounds=10 recall_first=a recall_last=b. Exit code 1: a figure is bad; 2: an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "churn_data.h"
#include "omen.h"

enum { K = 10, QUERIES = 1000, BATCH = 1000, SHARE = 10, PATH_ROOM = 4096, SECONDS_MOST = 3600 };
static const double RECALL_WANTED = 0.95;
static const double FALL_MOST = 0.005;
static const double SIZE_MOST = 2.5;
/* The log keeps three files of 64 MiB for reuse, however little there is in them: they count where the data
 * are not small beside them. */
#define LOG_RESERVE (UINT64_C(192) << 20)
#define LIVE_LEAST (UINT64_C(128) << 20)

typedef struct churn {
    uint32_t rows, rounds, dim, ef;
    uint64_t seed, seal_rows, live_bytes;
    char folder[PATH_ROOM];
    churn_data data;
    churn_rng rng;
    uint32_t *turn;  /* [rows] of the vector that an item has */
    uint32_t *order; /* [rows] items, shuffled */
    float *queries;  /* [QUERIES * dim] */
    float *batch;    /* [BATCH * dim] */
    omen_runtime *rt;
    omen_db *db;
    omen_collection *c;
} churn;

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "churn: %s: %s\n", what, why);
    exit(2);
}

static void must(omen_status_t status, const omen_error *err, const char *what)
{
    if (status != OMEN_OK) {
        die(what, err->message);
    }
}

/* ---- Writing ----------------------------------------------------------------------------------- */
static void put(churn *k, const uint32_t *items, uint32_t n)
{
    omen_error err;
    uint64_t keys[BATCH];
    for (uint32_t at = 0; at < n; at += BATCH) {
        uint32_t part = n - at < BATCH ? n - at : BATCH;
        for (uint32_t i = 0; i < part; i++) {
            uint32_t item = items[at + i];
            keys[i] = item;
            churn_row(&k->data, item, k->turn[item], k->batch + (size_t)i * k->dim);
        }
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = part,
                            .vectors = k->batch,
                            .dim = k->dim,
                            .keys = keys};
        must(omen_add_batch(k->c, &batch, NULL, NULL, &err), &err, "adding");
    }
}

static void take_out(churn *k, const uint32_t *items, uint32_t n)
{
    omen_error err;
    uint64_t keys[BATCH];
    uint64_t gone = 0;
    for (uint32_t at = 0; at < n; at += BATCH) {
        uint32_t part = n - at < BATCH ? n - at : BATCH;
        for (uint32_t i = 0; i < part; i++) {
            keys[i] = items[at + i];
        }
        omen_batch batch = {.struct_size = sizeof batch, .count = part, .keys = keys};
        omen_write_result result = {.struct_size = sizeof result};
        must(omen_delete_batch(k->c, &batch, &result, NULL, &err), &err, "deleting");
        gone += result.applied;
    }
    if (gone != n) {
        die("deleting", "some items were not there");
    }
}

/* Brings `n` random items to the front of the order. */
static void shuffle(churn *k, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t with = i + churn_below(&k->rng, k->rows - i);
        uint32_t swap = k->order[i];
        k->order[i] = k->order[with];
        k->order[with] = swap;
    }
}

static void one_round(churn *k)
{
    uint32_t n = k->rows / SHARE;
    shuffle(k, n);
    take_out(k, k->order, n);
    for (uint32_t i = 0; i < n; i++) {
        k->turn[k->order[i]]++;
    }
    put(k, k->order, n);
}

/* ---- Measuring --------------------------------------------------------------------------------- */
static void search(churn *k, uint32_t ef, uint32_t flags, float *distances)
{
    omen_error err;
    static uint64_t keys[QUERIES * K];
    omen_query query = {.struct_size = sizeof query,
                        .flags = flags,
                        .vectors = k->queries,
                        .dtype = OMEN_F32,
                        .dim = k->dim,
                        .count = QUERIES,
                        .k = K,
                        .ef = ef};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
    must(omen_search(k->c, &query, &hits, &err), &err, "searching");
}

/* A row as near as the k-th true neighbour counts as found. */
static double compare(const float *truth, const float *found)
{
    uint32_t good = 0;
    for (uint32_t q = 0; q < QUERIES; q++) {
        float limit = truth[q * K + K - 1];
        for (uint32_t i = 0; i < K; i++) {
            good += found[q * K + i] <= limit;
        }
    }
    return (double)good / (QUERIES * K);
}

static double recall_at(churn *k, uint32_t ef, const float *truth)
{
    static float found[QUERIES * K];
    search(k, ef, OMEN_GRAPH_ONLY, found);
    return compare(truth, found);
}

static void wait_indexed(churn *k)
{
    omen_error err;
    must(omen_wait(k->c, 0, OMEN_WAIT_INDEXED, SECONDS_MOST * UINT64_C(1000000), NULL, &err), &err,
         "indexing");
}

static double recall_now(churn *k)
{
    static float truth[QUERIES * K];
    wait_indexed(k);
    search(k, 0, OMEN_EXACT, truth);
    if (k->ef != 0) {
        return recall_at(k, k->ef, truth);
    }
    for (uint32_t ef = K; ef <= OMEN_MAX_EF; ef += ef < 32 ? 2 : ef / 8) {
        double recall = recall_at(k, ef, truth);
        if (recall >= RECALL_WANTED) {
            k->ef = ef;
            return recall;
        }
    }
    die("recall", "0.95 is not reached with any beam");
}

static uint64_t disk_bytes;
static int add_file(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)path;
    (void)at;
    if (kind == FTW_F) {
        disk_bytes += (uint64_t)info->st_blocks * 512;
    }
    return 0;
}

/* What this leaves is what stays: everything sealed, merges over or not begun. True: within the bounds. */
static bool sizes_hold(churn *k, const char *label, double recall)
{
    omen_error err;
    omen_stats stats = {.struct_size = sizeof stats};
    omen_runtime_stats rt = {.struct_size = sizeof rt};
    omen_db_stats db = {.struct_size = sizeof db};
    must(omen_get_stats(k->c, &stats, &err), &err, "statistics");
    must(omen_get_runtime_stats(k->rt, &rt, &err), &err, "statistics");
    must(omen_get_db_stats(k->db, &db, &err), &err, "statistics");
    disk_bytes = 0;
    if (nftw(k->folder, add_file, 16, FTW_PHYS) != 0) {
        die(k->folder, "cannot be listed");
    }
    double memory = (double)rt.memory_used / (double)k->live_bytes;
    uint64_t reserve = db.log_bytes < LOG_RESERVE ? db.log_bytes : LOG_RESERVE;
    disk_bytes -= k->live_bytes < LIVE_LEAST ? reserve : 0;
    double disk = (double)disk_bytes / (double)k->live_bytes;
    (void)printf("%-9s recall %.4f at ef %u; segments %u, rows %" PRIu64 ", dead %" PRIu64
                 ", seals %" PRIu64 ", merges %" PRIu64
                 "; memory %.2f, disk %.2f of the live data\n",
                 label, recall, k->ef, stats.segments, stats.rows, stats.deleted, db.seals,
                 db.merges, memory, disk);
    (void)fflush(stdout);
    if (stats.count != k->rows) {
        die("counting", "items are missing");
    }
    return memory <= SIZE_MOST && disk <= SIZE_MOST;
}

/* ---- Life -------------------------------------------------------------------------------------- */
static void *room(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (block == NULL) {
        die("memory", "not enough");
    }
    return block;
}

static void prepare(churn *k)
{
    if (churn_data_make(&k->data, k->dim, k->seed) != 0) {
        die("memory", "not enough");
    }
    k->rng.state = k->seed + 1;
    k->turn = room(k->rows, sizeof *k->turn);
    k->order = room(k->rows, sizeof *k->order);
    k->batch = room((size_t)BATCH * k->dim, sizeof *k->batch);
    k->queries = room((size_t)QUERIES * k->dim, sizeof *k->queries);
    for (uint32_t i = 0; i < k->rows; i++) {
        k->order[i] = i;
    }
    for (uint32_t i = 0; i < QUERIES; i++) {
        churn_row(&k->data, (uint64_t)UINT32_MAX + i, 0, k->queries + (size_t)i * k->dim);
    }
}

static void open_database(churn *k)
{
    omen_error err;
    omen_runtime_options ropt = {.struct_size = sizeof ropt};
    omen_options options = {
        .struct_size = sizeof options, .dim = k->dim, .durability = OMEN_DURABILITY_INTERVAL};
    if (k->folder[0] == '\0') {
        const char *base = getenv("TMPDIR");
        (void)snprintf(k->folder, sizeof k->folder, "%s/omen-churn-XXXXXX",
                       base != NULL ? base : "/tmp");
        if (mkdtemp(k->folder) == NULL) {
            die(k->folder, "cannot be made");
        }
    }
    must(omen_runtime_create(&ropt, &k->rt, &err), &err, "runtime");
    omen_db_options dopt = {
        .struct_size = sizeof dopt, .runtime = k->rt, .seal_rows = k->seal_rows};
    must(omen_db_open(k->folder, &dopt, &k->db, &err), &err, k->folder);
    must(omen_create(k->db, "churn", &options, &k->c, &err), &err, "collection");
    /* The live data: vectors, codes, links and keys of these rows, as one fresh segment has them. */
    k->live_bytes = (uint64_t)k->rows * (k->dim * (sizeof(float) + 1) + 128 + 16);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static void finish(churn *k)
{
    omen_collection_free(k->c);
    omen_db_free(k->db);
    omen_runtime_free(k->rt);
    churn_data_free(&k->data);
    free(k->turn);
    free(k->order);
    free(k->batch);
    free(k->queries);
    (void)nftw(k->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool run(churn *k)
{
    bool good = true;
    prepare(k);
    open_database(k);
    put(k, k->order, k->rows);
    double first = recall_now(k);
    double last = first;
    good = sizes_hold(k, "before", first);
    for (uint32_t round = 1; round <= k->rounds; round++) {
        char label[32];
        one_round(k);
        last = recall_now(k);
        (void)snprintf(label, sizeof label, "round %u", round);
        good = sizes_hold(k, label, last) && first - last < FALL_MOST && good;
    }
    finish(k);
    (void)printf("churn: rounds=%u recall_first=%.4f recall_last=%.4f\n", k->rounds, first, last);
    return good;
}

static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < least || value > most) {
        die(name, "is no number in its range");
    }
    return value;
}

int main(int argc, char **argv)
{
    static churn k = {.rows = 200000, .rounds = 10, .dim = 128, .seed = 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        if (strcmp(name, "--rows") == 0) {
            k.rows = (uint32_t)number(name, value, 1000, 100000000);
        } else if (strcmp(name, "--rounds") == 0) {
            k.rounds = (uint32_t)number(name, value, 1, 100000);
        } else if (strcmp(name, "--dim") == 0) {
            k.dim = (uint32_t)number(name, value, 1, CHURN_MOST_DIM);
        } else if (strcmp(name, "--seed") == 0) {
            k.seed = number(name, value, 0, UINT64_MAX);
        } else if (strcmp(name, "--seal-rows") == 0) {
            k.seal_rows = number(name, value, 0, UINT32_MAX);
        } else if (strcmp(name, "--folder") == 0 && strlen(value) < sizeof k.folder) {
            (void)snprintf(k.folder, sizeof k.folder, "%s", value);
        } else {
            die(name, "is no option");
        }
    }
    if (argc % 2 == 0) {
        die(argv[argc - 1], "needs a value");
    }
    return run(&k) ? 0 : 1;
}
