/* engine_memory_test.c - every allocation fails once, and every budget runs out somewhere: no crash, no leak,
 * nothing half applied. SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

enum { ROWS = 400, DIM = 8 };

/* Fails call number `fail_at`; with `for_good` also all later ones. */
typedef struct torture {
    pthread_mutex_t mutex;
    uint64_t calls, fail_at, failed;
    bool for_good;
    int64_t bytes, blocks;
} torture;

static void *torture_alloc(void *ctx, size_t size, size_t align)
{
    torture *t = ctx;
    void *block = NULL;
    (void)pthread_mutex_lock(&t->mutex);
    t->calls++;
    bool fail = t->for_good ? t->calls >= t->fail_at : t->calls == t->fail_at;
    if (!fail) {
        size_t power = align < 16 ? 16 : align;
        block = aligned_alloc(power, (size + power - 1) / power * power + power);
        assert_non_null(block);
        t->bytes += (int64_t)size;
        t->blocks++;
    }
    t->failed += fail;
    (void)pthread_mutex_unlock(&t->mutex);
    return block;
}

static void torture_free(void *ctx, void *block, size_t size, size_t align)
{
    torture *t = ctx;
    (void)align;
    (void)pthread_mutex_lock(&t->mutex);
    t->bytes -= (int64_t)size;
    t->blocks--;
    (void)pthread_mutex_unlock(&t->mutex);
    free(block);
}

/* A step that may fail for want of memory, and then must say so. */
static bool went(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
        assert_int_equal(err->status, OMEN_RESOURCE_EXHAUSTED);
        assert_true(err->detail == OMEN_D_NO_MEMORY || err->detail == OMEN_D_BUDGET);
    }
    return status == OMEN_OK;
}

static omen_batch string_batch(const float *rows, char *ids)
{
    for (uint32_t i = 0; i < ROWS; i++) {
        memcpy(ids + i * 8, &(uint64_t){i * UINT64_C(0x9E3779B97F4A7C15)}, 8);
    }
    return (omen_batch){.struct_size = sizeof(omen_batch),
                        .count = ROWS,
                        .vectors = rows,
                        .dim = DIM,
                        .ids = {.data = ids, .width = 8},
                        .stream_id = "s",
                        .stream_id_len = 1,
                        .seq = 1,
                        .request_id = "r",
                        .request_id_len = 1,
                        .mode = OMEN_INSERT};
}

static void use_collection(omen_db *db, omen_collection *c, const float *rows)
{
    static char ids[ROWS * 8];
    omen_error err;
    omen_batch batch = string_batch(rows, ids);
    uint64_t count = 0, keys[10];
    bool added = went(omen_add_batch(c, &batch, NULL, NULL, &err), &err);
    assert_int_equal(omen_count(c, &count, &err), OMEN_OK);
    assert_int_equal(count, added ? ROWS : 0);
    if (!added && went(omen_add_batch(c, &batch, NULL, NULL, &err), &err)) {
        added = true; /* the same call again: its seq was not used up */
        assert_int_equal(omen_count(c, &count, &err), OMEN_OK);
        assert_int_equal(count, ROWS);
    }
    (void)went(omen_wait(c, 0, OMEN_WAIT_INDEXED, 0, NULL, &err), &err);
    if (went(omen_search_f32(c, rows, 1, 10, 0, keys, NULL, &err), &err)) {
        assert_true((keys[0] != OMEN_NONE) == added);
    }
    omen_rows *fetched = NULL;
    if (added && went(omen_fetch(c, keys, 1, OMEN_FIELD_ID, &fetched, &err), &err)) {
        omen_rows_free(fetched);
    }
    const char *path = fx_path("torture.omen");
    if (went(omen_save(c, path, NULL, &err), &err)) {
        omen_open_options opt = {.struct_size = sizeof opt, .file = path, .warm = OMEN_WARM_NONE};
        omen_collection *mapped = NULL;
        if (went(omen_open(db, "mapped", &opt, &mapped, &err), &err)) {
            (void)went(omen_search_f32(mapped, rows, 1, 10, 0, keys, NULL, &err), &err);
            omen_collection_free(mapped);
        }
        fx_remove(path);
    }
    assert_int_equal(omen_count(c, &count, &err), OMEN_OK);
    assert_int_equal(count, added ? ROWS : 0);
}

static void scenario(const omen_runtime_options *ropt, const float *rows)
{
    omen_error err;
    omen_runtime *rt = NULL;
    omen_db *db = NULL;
    omen_collection *c = NULL;
    if (!went(omen_runtime_create(ropt, &rt, &err), &err)) {
        return;
    }
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = rt};
    if (went(omen_db_open(NULL, &dopt, &db, &err), &err)) {
        omen_options o = {
            .struct_size = sizeof o, .dim = DIM, .metric = OMEN_COSINE, .id_type = OMEN_ID_STRING};
        if (went(omen_create(db, "c", &o, &c, &err), &err)) {
            use_collection(db, c, rows);
            omen_collection_free(c);
        }
        omen_db_free(db);
    }
    omen_runtime_free(rt);
}

static void allocations_fail_one_after_the_other(void **state)
{
    (void)state;
    float *rows = fx_rows(ROWS, DIM, 40);
    for (uint32_t for_good = 0; for_good < 2; for_good++) {
        uint64_t failed = 1, step = 1;
        for (uint64_t n = 1; failed != 0; n += step) {
            torture t = {.fail_at = n, .for_good = for_good != 0};
            assert_int_equal(pthread_mutex_init(&t.mutex, NULL), 0);
            omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1};
            ropt.allocator = (omen_allocator){torture_alloc, torture_free, &t};
            scenario(&ropt, rows);
            failed = t.failed;
            assert_int_equal(t.blocks, 0);
            assert_int_equal(t.bytes, 0);
            assert_int_equal(pthread_mutex_destroy(&t.mutex), 0);
            assert_true(n < 100000);
        }
    }
    free(rows);
}

static void budgets_run_out_anywhere(void **state)
{
    (void)state;
    float *rows = fx_rows(ROWS, DIM, 41);
    for (uint64_t limit = 16 * 1024; limit < 8 * 1024 * 1024; limit += limit / 12) {
        omen_runtime_options ropt = {
            .struct_size = sizeof ropt, .threads = 1, .memory_limit = limit};
        scenario(&ropt, rows);
    }
    free(rows);
}

static void a_full_budget_refuses_writes_and_serves_reads(void **state)
{
    (void)state;
    enum { LIMIT = 64 * 1024 * 1024, WIDE = 256, PIECE = 1000 };
    fixture f = {.rt = NULL};
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 2, .memory_limit = LIMIT};
    OK(&f, omen_runtime_create(&ropt, &f.rt, &f.err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f.rt};
    OK(&f, omen_db_open(NULL, &dopt, &f.db, &f.err));
    f.options = (omen_options){.struct_size = sizeof f.options, .dim = WIDE};
    OK(&f, omen_create(f.db, "c", &f.options, &f.c, &f.err));
    float *rows = fx_rows(PIECE, WIDE, 42);
    omen_batch batch = {.struct_size = sizeof batch, .count = PIECE, .vectors = rows, .dim = WIDE};
    uint64_t accepted = 0;
    omen_status_t status;
    while ((status = omen_add_batch(f.c, &batch, NULL, NULL, &f.err)) == OMEN_OK) {
        accepted += PIECE;
        assert_true(accepted * WIDE * sizeof(float) < LIMIT);
    }
    FAILS(&f, status, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BUDGET);
    assert_true(accepted > 10 * PIECE);
    assert_int_equal(fx_count(&f), accepted);
    omen_runtime_stats stats = {.struct_size = sizeof stats};
    OK(&f, omen_get_runtime_stats(f.rt, &stats, &f.err));
    assert_true(stats.memory_used <= LIMIT && stats.memory_rejections > 0);
    assert_int_equal(stats.memory_limit, LIMIT);
    uint64_t keys[5];
    OK(&f, omen_search_f32(f.c, rows, 1, 5, 0, keys, NULL, &f.err));
    assert_int_equal(keys[0] % PIECE, 0);
    omen_batch gone = {.struct_size = sizeof gone, .count = 5, .keys = keys};
    OK(&f, omen_delete_batch(f.c, &gone, NULL, NULL, &f.err));
    assert_int_equal(fx_count(&f), accepted - 5);
    free(rows);
    fx_close(&f);
}

/* Once its scratch has its size, a search allocates nothing: in the tail, in the graph, or exactly. */
static void warm_searches_allocate_nothing(void **state)
{
    (void)state;
    enum { MANY = 4000 };
    torture t = {.fail_at = UINT64_MAX};
    assert_int_equal(pthread_mutex_init(&t.mutex, NULL), 0);
    fixture f = {.rt = NULL};
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1};
    ropt.allocator = (omen_allocator){torture_alloc, torture_free, &t};
    OK(&f, omen_runtime_create(&ropt, &f.rt, &f.err));
    omen_db_options dopt = {.struct_size = sizeof dopt, .runtime = f.rt};
    OK(&f, omen_db_open(NULL, &dopt, &f.db, &f.err));
    f.options = (omen_options){.struct_size = sizeof f.options, .dim = DIM};
    OK(&f, omen_create(f.db, "c", &f.options, &f.c, &f.err));
    float *rows = fx_rows(MANY, DIM, 43);
    fx_add(&f, rows, MANY, 0);
    fx_index(&f);
    uint64_t before = 0;
    for (uint32_t round = 0; round < 50; round++) {
        uint64_t keys[10];
        float distances[10];
        const fx_query graph = {.vector = rows + (size_t)round * DIM, .k = 10};
        const fx_query exact = {.vector = graph.vector, .k = 10, .flags = OMEN_EXACT};
        assert_int_equal(fx_search(&f, &graph, keys, distances), 10);
        assert_int_equal(fx_search(&f, &exact, keys, distances), 10);
        (void)pthread_mutex_lock(&t.mutex);
        assert_true(round == 0 || t.calls == before);
        before = t.calls;
        (void)pthread_mutex_unlock(&t.mutex);
    }
    free(rows);
    fx_close(&f);
    assert_int_equal(t.blocks, 0);
    assert_int_equal(pthread_mutex_destroy(&t.mutex), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_fail_one_after_the_other),
        cmocka_unit_test(budgets_run_out_anywhere),
        cmocka_unit_test(a_full_budget_refuses_writes_and_serves_reads),
        cmocka_unit_test(warm_searches_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
