/* engine_traffic_test.c - everything at once on a database on disk: writers, searches, snapshots, sealing
 * and merging by the keeper, checkpoints, backups; made for the thread sanitizer. What the writers wrote is
 * there in the end, in the database and when it is opened again; every backup is whole.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "engine_fixture.h"

enum { DIM = 8, SPAN = 400, BATCH = 25, ROUNDS = 60, SEAL = 600, WRITERS = 2, K = 5 };

/* Item i of a writer has the value that its newest batch gave it; 0: deleted or not there yet. */
typedef struct writer {
    fixture *f;
    uint32_t number;
    uint32_t value[SPAN];
} writer;
typedef struct watch {
    fixture *f;
    _Atomic uint32_t *running;
    uint32_t rounds;
} watch;

static uint64_t key_of(const writer *w, uint32_t i)
{
    return (uint64_t)w->number * SPAN + i;
}

static void vector_of(uint64_t key, uint32_t value, float *out)
{
    for (uint32_t d = 0; d < DIM; d++) {
        out[d] = (float)(key % 97) + (float)value + 0.25f * (float)d;
    }
}

static void must(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        print_error("%s: %s\n", omen_status_name(status), err->message);
    }
    assert_int_equal(status, OMEN_OK);
}

static void put(writer *w, uint32_t first, uint32_t value)
{
    omen_error err;
    float rows[BATCH][DIM];
    uint64_t keys[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        uint32_t at = (first + i) % SPAN;
        keys[i] = key_of(w, at);
        vector_of(keys[i], value, rows[i]);
        w->value[at] = value;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = BATCH,
                        .dim = DIM,
                        .vectors = rows,
                        .keys = keys};
    must(omen_add_batch(w->f->c, &batch, NULL, NULL, &err), &err);
}

static void drop(writer *w, uint32_t first)
{
    omen_error err;
    uint64_t keys[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        uint32_t at = (first + i) % SPAN;
        keys[i] = key_of(w, at);
        w->value[at] = 0;
    }
    omen_batch batch = {.struct_size = sizeof batch, .count = BATCH, .keys = keys};
    must(omen_delete_batch(w->f->c, &batch, NULL, NULL, &err), &err);
}

static void *write_all(void *arg)
{
    writer *w = arg;
    fx_rng rng = {w->number + 7};
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        put(w, fx_below(&rng, SPAN), round);
        if (round % 4 == 0) {
            drop(w, fx_below(&rng, SPAN));
        }
    }
    return NULL;
}

/* Hits are in order, and no key comes twice. */
static void check_hits(const uint64_t *keys, const float *distances)
{
    for (uint32_t i = 0; i < K && keys[i] != OMEN_NONE; i++) {
        assert_true(keys[i] < (uint64_t)WRITERS * SPAN);
        assert_true(i == 0 || distances[i] >= distances[i - 1]);
        for (uint32_t j = 0; j < i; j++) {
            assert_true(keys[j] != keys[i]);
        }
    }
}

static void *search_all(void *arg)
{
    watch *w = arg;
    omen_error err;
    fx_rng rng = {99};
    while (atomic_load(w->running) != 0) {
        uint64_t keys[K];
        float distances[K], query[DIM];
        vector_of(fx_below(&rng, WRITERS * SPAN), fx_below(&rng, ROUNDS), query);
        must(omen_search_f32(w->f->c, query, 1, K, 0, keys, distances, &err), &err);
        check_hits(keys, distances);
        w->rounds++;
    }
    return NULL;
}

/* What a snapshot counts and scans stays the same, whatever is written. */
static void *snapshot_all(void *arg)
{
    watch *w = arg;
    omen_error err;
    while (atomic_load(w->running) != 0) {
        omen_collection *past = NULL;
        uint64_t first = 0, again = 0, total = 0, cursor = 0, count = BATCH;
        must(omen_snapshot(w->f->c, &past, &err), &err);
        must(omen_count(past, &first, &err), &err);
        while (count == BATCH) {
            uint64_t keys[BATCH];
            must(omen_scan(past, &cursor, keys, BATCH, &count, &err), &err);
            total += count;
        }
        must(omen_count(past, &again, &err), &err);
        assert_int_equal(total, first);
        assert_int_equal(again, first);
        omen_collection_free(past);
        w->rounds++;
    }
    return NULL;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_all(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void *keep_all(void *arg)
{
    watch *w = arg;
    omen_error err;
    char path[512];
    omen_backup_options options = {.struct_size = sizeof options, .runtime = w->f->rt};
    while (atomic_load(w->running) != 0) {
        omen_backup_result made = {.struct_size = sizeof made};
        omen_backup_result read = {.struct_size = sizeof read};
        (void)snprintf(path, sizeof path, "%s", fx_path("traffic-backup"));
        must(omen_backup(w->f->db, path, &options, &made, &err), &err);
        must(omen_verify(path, &options, &read, &err), &err);
        assert_int_equal(read.version, made.version);
        remove_all(path);
        must(omen_checkpoint(w->f->db, NULL, &err), &err);
        w->rounds++;
    }
    return NULL;
}

/* ---- ------------------------------------------------------------------------------------------- */
static void open_traffic(fixture *f)
{
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 2};
    memset(f, 0, sizeof *f);
    OK(f, omen_runtime_create(&ropt, &f->rt, &f->err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f->rt, .seal_rows = SEAL};
    char path[512];
    (void)snprintf(path, sizeof path, "%s", fx_path("traffic"));
    OK(f, omen_db_open(path, &dopt, &f->db, &f->err));
}

static void check_all(fixture *f, const writer *w)
{
    uint64_t alive = 0;
    for (uint32_t n = 0; n < WRITERS; n++) {
        for (uint32_t i = 0; i < SPAN; i++) {
            uint64_t key = key_of(&w[n], i);
            float row[DIM], expected[DIM];
            uint8_t found = 0;
            OK(f, omen_get_vectors(f->c, &key, 1, row, 0, OMEN_F32, &found, &f->err));
            assert_int_equal(found, w[n].value[i] != 0);
            vector_of(key, w[n].value[i], expected);
            assert_true(found == 0 || memcmp(row, expected, sizeof row) == 0);
            alive += found;
        }
    }
    assert_int_equal(fx_count(f), alive);
}

static void everything_at_once(void **state)
{
    (void)state;
    static void *(*const watching[])(void *) = {search_all, search_all, snapshot_all, keep_all};
    enum { WATCHES = sizeof watching / sizeof watching[0] };
    fixture f;
    static writer w[WRITERS];
    watch watches[WATCHES];
    pthread_t writers[WRITERS], threads[WATCHES];
    _Atomic uint32_t running;
    atomic_init(&running, 1);
    open_traffic(&f);
    omen_options o = {.struct_size = sizeof o, .dim = DIM, .durability = OMEN_DURABILITY_INTERVAL};
    OK(&f, omen_create(f.db, "traffic", &o, &f.c, &f.err));
    for (uint32_t i = 0; i < WATCHES; i++) {
        watches[i] = (watch){.f = &f, .running = &running};
        assert_int_equal(pthread_create(&threads[i], NULL, watching[i], &watches[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        w[i] = (writer){.f = &f, .number = i};
        assert_int_equal(pthread_create(&writers[i], NULL, write_all, &w[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    }
    OK(&f, omen_optimize(f.c, NULL, &f.err));
    atomic_store(&running, 0);
    for (uint32_t i = 0; i < WATCHES; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    check_all(&f, w);
    fx_close(&f);
    open_traffic(&f);
    OK(&f, omen_open(f.db, "traffic", NULL, &f.c, &f.err));
    check_all(&f, w);
    fx_close(&f);
    remove_all(fx_path("traffic"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
