/* open_bench.c - how long a database on disk takes to its first right answer, and how much heap opening
 * takes.
 *
 *   open_bench fill FOLDER ROWS DIM      makes it, waits for the index, closes it
 *   open_bench ingest FOLDER ROWS DIM    writes ROWS, says so, and goes on writing until it is killed
 *   open_bench open FOLDER DIM           prints one JSON object
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "omen.h"

enum { BATCH = 1000, HIDDEN = 16, K = 10 };

typedef struct counted {
    _Atomic size_t now, most;
} counted;

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(omen_status_t status, const omen_error *err, const char *what)
{
    if (status != OMEN_OK) {
        (void)fprintf(stderr, "open_bench: %s: %s\n", what, err->message);
        exit(1);
    }
}

static void *count_alloc(void *ctx, size_t size, size_t align)
{
    counted *c = ctx;
    void *memory = NULL;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size) != 0) {
        return NULL;
    }
    size_t now = atomic_fetch_add(&c->now, size) + size;
    size_t most = atomic_load(&c->most);
    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now)) {
    }
    return memory;
}

static void count_free(void *ctx, void *memory, size_t size, size_t align)
{
    counted *c = ctx;
    (void)align;
    (void)atomic_fetch_sub(&c->now, size);
    free(memory);
}

static float uniform(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(*state >> 40) / (float)(1 << 23) - 1.0F;
}

/* Row `key`: a function of the key alone, with 16 hidden dimensions. */
static void make_row(uint64_t key, uint32_t dim, float *out)
{
    static float *mixing;
    if (mixing == NULL) {
        uint64_t state = 99;
        mixing = malloc((size_t)HIDDEN * dim * sizeof *mixing);
        if (mixing == NULL) {
            exit(1);
        }
        for (size_t i = 0; i < (size_t)HIDDEN * dim; i++) {
            mixing[i] = uniform(&state);
        }
    }
    uint64_t state = key * UINT64_C(0x9E3779B97F4A7C15) + 1;
    memset(out, 0, dim * sizeof *out);
    for (uint32_t h = 0; h < HIDDEN; h++) {
        float weight = uniform(&state);
        for (uint32_t d = 0; d < dim; d++) {
            out[d] += weight * mixing[(size_t)h * dim + d];
        }
    }
}

static void add(omen_collection *c, uint64_t first, uint32_t dim, float *rows, omen_error *err)
{
    uint64_t keys[BATCH];
    for (uint64_t i = 0; i < BATCH; i++) {
        keys[i] = first + i;
        make_row(first + i, dim, rows + i * dim);
    }
    omen_batch batch = {
        .struct_size = sizeof batch, .count = BATCH, .vectors = rows, .dim = dim, .keys = keys};
    must(omen_add_batch(c, &batch, NULL, NULL, err), err, "add");
}

static int write_rows(const char *folder, uint64_t count, uint32_t dim, bool for_ever)
{
    omen_error err;
    omen_db *db;
    omen_collection *c;
    float *rows = malloc((size_t)BATCH * dim * sizeof *rows);
    const omen_options options = {.struct_size = sizeof options, .dim = dim};
    must(omen_db_open(folder, NULL, &db, &err), &err, "open");
    must(omen_create(db, "bench", &options, &c, &err), &err, "create");
    for (uint64_t at = 0; at < count || for_ever; at += BATCH) {
        if (at == count) {
            (void)printf("written\n");
            (void)fflush(stdout);
        }
        add(c, at, dim, rows, &err);
    }
    must(omen_wait(c, 0, OMEN_WAIT_INDEXED, 0, NULL, &err), &err, "wait");
    omen_collection_free(c);
    omen_db_free(db);
    free(rows);
    return 0;
}

/* The key that the row of a key finds; the first answer is right when it is that key. */
static uint64_t nearest(omen_collection *c, uint64_t key, uint32_t dim, omen_error *err)
{
    uint64_t keys[K];
    float distances[K];
    float *row = malloc(dim * sizeof *row);
    make_row(key, dim, row);
    must(omen_search_f32(c, row, 1, K, 0, keys, distances, err), err, "search");
    free(row);
    return keys[0];
}

static int open_once(const char *folder, uint32_t dim)
{
    static counted heap;
    enum { ASKED = 100, ASKED_FIRST = 4321 };
    omen_error err;
    omen_runtime *runtime;
    omen_db *db;
    omen_collection *c;
    uint64_t count = 0;
    omen_runtime_options how = {.struct_size = sizeof how,
                                .allocator = {count_alloc, count_free, &heap}};
    must(omen_runtime_create(&how, &runtime, &err), &err, "runtime");
    const omen_db_options options = {
        .struct_size = sizeof options, .flags = OMEN_DB_MUST_EXIST, .runtime = runtime};
    double begin = seconds();
    must(omen_db_open(folder, &options, &db, &err), &err, "open");
    must(omen_open(db, "bench", NULL, &c, &err), &err, "collection");
    double opened = seconds();
    bool right = nearest(c, ASKED_FIRST, dim, &err) == ASKED_FIRST;
    double answered = seconds();
    size_t most = atomic_load(&heap.most);
    omen_runtime_stats used = {.struct_size = sizeof used};
    omen_db_stats stats = {.struct_size = sizeof stats};
    must(omen_get_runtime_stats(runtime, &used, &err), &err, "stats");
    must(omen_get_db_stats(db, &stats, &err), &err, "stats");
    must(omen_count(c, &count, &err), &err, "count");
    uint64_t found = 0;
    for (uint64_t i = 0; i < ASKED; i++) {
        uint64_t key = i * (count / ASKED);
        found += nearest(c, key, dim, &err) == key;
    }
    (void)printf(
        "{\"open_ms\": %.2f, \"answer_ms\": %.2f, \"right\": %s, \"found_of_100\": %llu, "
        "\"heap_bytes\": %zu, \"budgeted_bytes\": %llu, \"rows\": %llu, \"segments\": %llu, "
        "\"growing_rows\": %llu, \"replayed_records\": %llu, \"recovered_rows\": %llu, "
        "\"replayed_ms\": %.2f}\n",
        1e3 * (opened - begin), 1e3 * (answered - begin), right ? "true" : "false",
        (unsigned long long)found, most, (unsigned long long)used.memory_used,
        (unsigned long long)count, (unsigned long long)stats.segments,
        (unsigned long long)stats.growing_rows, (unsigned long long)stats.replayed_records,
        (unsigned long long)stats.recovered_rows, (double)stats.replayed_ns / 1e6);
    omen_collection_free(c);
    omen_db_free(db);
    omen_runtime_free(runtime);
    return right ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 5 && (strcmp(argv[1], "fill") == 0 || strcmp(argv[1], "ingest") == 0)) {
        return write_rows(argv[2], strtoull(argv[3], NULL, 10) / BATCH * BATCH,
                          (uint32_t)strtoul(argv[4], NULL, 10), argv[1][0] == 'i');
    }
    if (argc == 4 && strcmp(argv[1], "open") == 0) {
        return open_once(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    }
    (void)fprintf(stderr, "usage: open_bench fill|ingest FOLDER ROWS DIM, or open FOLDER DIM\n");
    return 2;
}
