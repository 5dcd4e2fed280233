/* engine_threads_test.c - searches, reads, writes, deletes, saves and indexing at the same time. What must
 * hold at every moment is checked by every thread; run under TSan too. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

enum { DIM = 8, STABLE = 600, MOVING = 400, ROUNDS = 30, CHURNS = 80, SAVES = 10, K = 10 };

/* Keys below STABLE are never touched after the start; keys from there on are upserted all the time, with
 * vectors far away from the stable ones; keys from 10,000 on come and go. */
typedef struct shared {
    fixture f;
    const float *rows;
    _Atomic bool stop;
    _Atomic uint32_t failures;
    _Atomic uint64_t searches;
} shared;

/* cmocka's asserts belong to the main thread: the others count, and name the first lines that failed. */
static void expect_line(shared *s, bool good, int line)
{
    if (!good && atomic_fetch_add(&s->failures, 1) < 10) {
        print_error("line %d does not hold\n", line);
    }
}
#define expect(s, good) expect_line((s), (good), __LINE__)

static void *upsert_thread(void *context)
{
    shared *s = context;
    uint64_t keys[MOVING];
    float *rows = malloc(MOVING * DIM * sizeof *rows);
    omen_error err;
    for (uint32_t round = 1; round <= ROUNDS && rows != NULL; round++) {
        for (uint32_t i = 0; i < MOVING; i++) {
            keys[i] = STABLE + i;
            for (uint32_t d = 0; d < DIM; d++) {
                rows[i * DIM + d] = 6.0f + 0.001f * (float)i + 0.00001f * (float)round;
            }
        }
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = MOVING,
                            .vectors = rows,
                            .dim = DIM,
                            .keys = keys};
        omen_write_result result = {.struct_size = sizeof result};
        expect(s, omen_add_batch(s->f.c, &batch, &result, NULL, &err) == OMEN_OK);
        expect(s, result.replaced == (round == 1 ? 0 : MOVING));
    }
    free(rows);
    atomic_store(&s->stop, true);
    return NULL;
}

static void *churn_thread(void *context)
{
    shared *s = context;
    uint64_t keys[50];
    float rows[50 * DIM];
    omen_error err;
    for (uint32_t i = 0; i < 50 * DIM; i++) {
        rows[i] = -6.0f - 0.001f * (float)i;
    }
    for (uint64_t round = 0; round < CHURNS && !atomic_load(&s->stop); round++) {
        for (uint32_t i = 0; i < 50; i++) {
            keys[i] = 10000 + round * 50 + i;
        }
        omen_batch batch = {
            .struct_size = sizeof batch, .count = 50, .vectors = rows, .dim = DIM, .keys = keys};
        omen_write_result result = {.struct_size = sizeof result};
        expect(s, omen_add_batch(s->f.c, &batch, &result, NULL, &err) == OMEN_OK);
        expect(s, omen_delete_batch(s->f.c, &batch, &result, NULL, &err) == OMEN_OK);
        expect(s, result.applied == 50);
    }
    return NULL;
}

/* The nearest of the stable rows stay what they were; no key comes twice. */
static void check_stable(shared *s, uint32_t i, uint32_t flags)
{
    uint64_t keys[K];
    float distances[K];
    uint32_t count = 0;
    omen_error err;
    omen_query query = {.struct_size = sizeof query,
                        .flags = flags,
                        .vectors = s->rows + (size_t)i * DIM,
                        .dtype = OMEN_F32,
                        .dim = DIM,
                        .count = 1,
                        .k = K};
    omen_hits hits = {
        .struct_size = sizeof hits, .keys = keys, .distances = distances, .counts = &count};
    expect(s, omen_search(s->f.c, &query, &hits, &err) == OMEN_OK);
    expect(s, count == K && keys[0] == i && distances[0] == 0);
    for (uint32_t a = 0; a < K; a++) {
        expect(s, keys[a] < STABLE);
    }
    atomic_fetch_add(&s->searches, 1);
}

/* A moving item is always there, once, in one of its versions. */
static void check_moving(shared *s, uint32_t i)
{
    float query[DIM];
    uint64_t keys[5];
    omen_error err;
    for (uint32_t d = 0; d < DIM; d++) {
        query[d] = 6.0f + 0.001f * (float)i;
    }
    expect(s, omen_search_f32(s->f.c, query, 1, 5, 0, keys, NULL, &err) == OMEN_OK);
    for (uint32_t a = 0; a < 5; a++) {
        for (uint32_t b = 0; b < a; b++) {
            expect(s, keys[a] == OMEN_NONE || keys[a] != keys[b]);
        }
    }
}

static void *search_thread(void *context)
{
    shared *s = context;
    fx_rng rng = {(uint64_t)(uintptr_t)&rng};
    while (!atomic_load(&s->stop)) {
        check_stable(s, fx_below(&rng, STABLE), fx_below(&rng, 2) == 0 ? OMEN_GRAPH_ONLY : 0);
        check_stable(s, fx_below(&rng, STABLE), OMEN_EXACT);
        check_moving(s, fx_below(&rng, MOVING));
    }
    return NULL;
}

static void *read_thread(void *context)
{
    shared *s = context;
    fx_rng rng = {77};
    omen_error err;
    while (!atomic_load(&s->stop)) {
        uint64_t keys[2] = {fx_below(&rng, STABLE), STABLE + fx_below(&rng, MOVING)};
        float out[2 * DIM];
        uint8_t found[2];
        expect(s, omen_get_vectors(s->f.c, keys, 2, out, 0, 0, found, &err) == OMEN_OK);
        expect(s, found[0] == 1 && memcmp(out, s->rows + keys[0] * DIM, DIM * sizeof *out) == 0);
        if (found[1] == 1) { /* rows of one version, never a mix */
            for (uint32_t d = 1; d < DIM; d++) {
                expect(s, out[DIM + d] == out[DIM]);
            }
        }
        omen_stats stats = {.struct_size = sizeof stats};
        expect(s, omen_get_stats(s->f.c, &stats, &err) == OMEN_OK);
        omen_write_progress progress = {.struct_size = sizeof progress};
        expect(s, omen_get_progress(s->f.c, &progress, &err) == OMEN_OK);
        expect(s, progress.indexed_version <= progress.visible_version);
    }
    return NULL;
}

static void *save_thread(void *context)
{
    shared *s = context;
    omen_error err;
    char path[512];
    (void)snprintf(path, sizeof path, "%s", fx_path("threads.omen"));
    for (uint32_t round = 0; round < SAVES && !atomic_load(&s->stop); round++) {
        omen_open_options opt = {
            .struct_size = sizeof opt, .flags = OMEN_OPEN_VERIFY, .file = path};
        omen_collection *c = NULL;
        expect(s, omen_save(s->f.c, path, NULL, &err) == OMEN_OK);
        expect(s, omen_open(s->f.db, "copy", &opt, &c, &err) == OMEN_OK);
        uint64_t key = OMEN_NONE, count = 0;
        expect(s, omen_search_f32(c, s->rows, 1, 1, 0, &key, NULL, &err) == OMEN_OK && key == 0);
        expect(s, omen_count(c, &count, &err) == OMEN_OK);
        /* Whole batches only: the moving items are all there or none is. */
        uint64_t first = STABLE, last = STABLE + MOVING - 1;
        float out[DIM];
        uint8_t found[2];
        expect(s, omen_get_vectors(c, &first, 1, out, 0, 0, &found[0], &err) == OMEN_OK);
        expect(s, omen_get_vectors(c, &last, 1, out, 0, 0, &found[1], &err) == OMEN_OK);
        expect(s, found[0] == found[1]);
        expect(s, count % 50 == 0);
        expect(s, omen_drop(s->f.db, "copy", &err) == OMEN_OK);
        omen_collection_free(c);
    }
    return NULL;
}

static void run_everything(uint32_t quantization)
{
    typedef void *thread_fn(void *);
    thread_fn *const functions[] = {upsert_thread, churn_thread, search_thread,
                                    search_thread, read_thread,  save_thread};
    enum { THREADS = sizeof functions / sizeof functions[0] };
    shared s = {.stop = false};
    pthread_t threads[THREADS];
    const omen_options o = {.dim = DIM, .max_backlog_rows = 3000, .quantization = quantization};
    fx_open(&s.f, &o, 2);
    float *rows = fx_rows(STABLE, DIM, 50);
    s.rows = rows;
    fx_add(&s.f, rows, STABLE, 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, functions[i], &s), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&s.failures), 0);
    assert_int_equal(fx_count(&s.f), STABLE + MOVING);
    fx_index(&s.f);
    for (uint32_t i = 0; i < STABLE; i += 20) {
        check_stable(&s, i, OMEN_GRAPH_ONLY);
    }
    assert_int_equal(atomic_load(&s.failures), 0);
    fx_remove(fx_path("threads.omen"));
    free(rows);
    fx_close(&s.f);
}

static void everything_at_once(void **state)
{
    (void)state;
    run_everything(OMEN_QUANT_SQ8);
    run_everything(OMEN_QUANT_NONE);
}

/* Two collections of one runtime, written by a thread each while a third waits for both. */
static void *fill_thread(void *context)
{
    fixture *f = context;
    float *rows = fx_rows(500, DIM, 51);
    for (uint32_t i = 0; i < 20; i++) {
        fx_add(f, rows, 500, 500 * i);
    }
    free(rows);
    return NULL;
}

static void collections_share_the_indexer(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    fixture f[COUNT];
    pthread_t threads[COUNT];
    fx_open(&f[0], &(omen_options){.dim = DIM}, 2);
    for (uint32_t i = 1; i < COUNT; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        f[i] = f[0];
        omen_options o = {.struct_size = sizeof o, .dim = DIM};
        OK(&f[i], omen_create(f[0].db, name, &o, &f[i].c, &f[i].err));
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fill_thread, &f[i]), 0);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        fx_index(&f[i]);
        assert_int_equal(fx_count(&f[i]), 10000);
    }
    for (uint32_t i = 1; i < COUNT; i++) {
        omen_collection_free(f[i].c);
    }
    fx_close(&f[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(collections_share_the_indexer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
