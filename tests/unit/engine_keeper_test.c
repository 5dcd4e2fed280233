/* engine_keeper_test.c - the thread of a database on disk: it seals, merges and writes checkpoints
 * by itself, also while everything else goes on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_fixture.h"

enum { SEAL_ROWS = 300, STEADY = 400, MINUTE = 60 };
#define SECOND UINT64_C(1000000000)

static const omen_options plain = {.metric = OMEN_L2};
static const omen_options strings = {.metric = OMEN_L2, .id_type = OMEN_ID_STRING};

typedef bool (*condition)(const omen_db_stats *stats);

static void wait_for(dbx *x, condition holds)
{
    uint64_t end = om_now_ns() + 2 * MINUTE * SECOND; /* against hangs only */
    omen_db_stats stats = db_stats(x);
    while (!holds(&stats)) {
        if (om_now_ns() > end) {
            print_message("state %u, seals %llu, merges %llu, segments %llu, growing %llu\n",
                          stats.state, (unsigned long long)stats.seals,
                          (unsigned long long)stats.merges, (unsigned long long)stats.segments,
                          (unsigned long long)stats.growing_rows);
            fail();
        }
        (void)sched_yield();
        stats = db_stats(x);
    }
}

static bool four_seals(const omen_db_stats *stats)
{
    return stats->seals >= 4;
}

static bool merged(const omen_db_stats *stats)
{
    return stats->merges >= 1 && stats->checkpoints >= 2;
}

static void it_seals_and_merges(void **state)
{
    (void)state;
    static dbx x;
    db_init_folder(&x, "keeper-db");
    x.options.seal_rows = SEAL_ROWS;
    db_open(&x);
    db_create(&x, 0, &plain);
    db_create(&x, 1, &strings);
    for (uint32_t i = 0; i < 6; i++) {
        db_put(&x, 0, 0, DB_ITEMS);              /* each replaces the one before */
        db_put(&x, 1, i * SEAL_ROWS, SEAL_ROWS); /* files of the same size, all alive */
    }
    wait_for(&x, four_seals);
    wait_for(&x, merged);
    db_check(&x);
    db_close(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

/* Everything at once, and closed in the middle of it. */
typedef struct crowd {
    dbx *x;
    omen_db *reader_db;
    _Atomic bool stop;
    _Atomic uint32_t failures;
} crowd;

static void note(crowd *g, bool holds)
{
    if (!holds) {
        atomic_fetch_add(&g->failures, 1);
    }
}

/* Items that are never touched must be found always, with what they are. */
static void check_steady(crowd *g, omen_collection *c)
{
    static _Thread_local float rows[STEADY][DB_DIM];
    uint64_t keys[STEADY];
    omen_error err;
    for (uint32_t i = 0; i < STEADY; i++) {
        keys[i] = i;
    }
    note(g, omen_get_vectors(c, keys, STEADY, rows, 0, OMEN_F32, NULL, &err) == OMEN_OK);
    for (uint32_t i = 0; i < STEADY; i += 37) {
        float vector[DB_DIM];
        uint64_t key = OMEN_NONE;
        float distance = 1;
        db_vector(0, i, 1, vector);
        note(g, memcmp(rows[i], vector, sizeof vector) == 0);
        note(g, omen_search_f32(c, vector, 1, 1, 0, &key, &distance, &err) == OMEN_OK);
        note(g, key == i && distance == 0);
    }
}

static void *searcher(void *arg)
{
    crowd *g = arg;
    while (!atomic_load(&g->stop)) {
        check_steady(g, g->x->model[0].handle);
    }
    return NULL;
}

static void *reader(void *arg)
{
    crowd *g = arg;
    omen_error err;
    omen_collection *c = NULL;
    const omen_open_options open = {.struct_size = sizeof open};
    note(g, omen_open(g->reader_db, "c0", &open, &c, &err) == OMEN_OK);
    while (!atomic_load(&g->stop)) {
        uint32_t changed = 0;
        note(g, omen_refresh(g->reader_db, &changed, &err) == OMEN_OK);
        check_steady(g, c);
    }
    omen_collection_free(c);
    return NULL;
}

/* Searches of a reader go on while it moves on. */
static void *reader_searcher(void *arg)
{
    crowd *g = arg;
    omen_error err;
    omen_collection *c = NULL;
    const omen_open_options open = {.struct_size = sizeof open};
    note(g, omen_open(g->reader_db, "c0", &open, &c, &err) == OMEN_OK);
    while (!atomic_load(&g->stop)) {
        check_steady(g, c);
    }
    omen_collection_free(c);
    return NULL;
}

static void *checkpointer(void *arg)
{
    crowd *g = arg;
    omen_error err;
    while (!atomic_load(&g->stop)) {
        note(g, omen_checkpoint(g->x->f.db, NULL, &err) == OMEN_OK);
        omen_db_stats stats = {.struct_size = sizeof stats};
        note(g, omen_get_db_stats(g->x->f.db, &stats, &err) == OMEN_OK);
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    (void)state;
    static dbx x;
    crowd g = {.x = &x};
    void *(*const run[])(void *) = {searcher, reader, reader_searcher, checkpointer};
    pthread_t threads[4];
    db_init_folder(&x, "crowd-db");
    x.options.seal_rows = SEAL_ROWS;
    db_open(&x);
    db_create(&x, 0, &plain);
    db_create(&x, 1, &strings);
    db_put(&x, 0, 0, STEADY);
    omen_db_options reading = x.options;
    reading.flags = OMEN_DB_READ_ONLY;
    OK(&x.f, omen_db_open(x.path, &reading, &g.reader_db, &x.f.err));
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run[i], &g), 0);
    }
    for (uint32_t i = 0; i < 25; i++) {
        db_put(&x, 0, STEADY, DB_ITEMS - STEADY);
        db_remove(&x, 0, STEADY + i * 10, 200);
        db_put(&x, 1, i * 60, 500);
    }
    atomic_store(&g.stop, true);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&g.failures), 0);
    omen_db_free(g.reader_db);
    db_check(&x);
    for (uint32_t i = 0; i < 6; i++) {
        db_put(&x, 0, STEADY,
               DB_ITEMS - STEADY); /* frozen, and merges to come, when it is closed */
    }
    db_close(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_seals_and_merges),
        cmocka_unit_test(everything_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
