/* engine_find_memory_test.c - every allocation of filters, searches of several parts, facets and listings
 * fails once: no crash, no leak, and the next call goes on. Warm filtered searches allocate nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "things.h"

enum { ROWS = 300, K = 10 };

/* Fails call number `fail_at`; with `for_good` also all later ones. */
typedef struct torture {
    pthread_mutex_t mutex;
    pthread_t caller;
    uint64_t calls, fail_at, failed;
    uint64_t own; /* calls of the thread `caller`: others tidy up in the background */
    bool for_good;
    int64_t blocks;
} torture;

static void *torture_alloc(void *ctx, size_t size, size_t align)
{
    torture *t = ctx;
    void *block = NULL;
    (void)pthread_mutex_lock(&t->mutex);
    t->calls++;
    t->own += pthread_equal(pthread_self(), t->caller) != 0;
    bool fail = t->for_good ? t->calls >= t->fail_at : t->calls == t->fail_at;
    if (!fail) {
        size_t power = align < 16 ? 16 : align;
        block = aligned_alloc(power, (size + power - 1) / power * power + power);
        assert_non_null(block);
        t->blocks++;
    }
    t->failed += fail;
    (void)pthread_mutex_unlock(&t->mutex);
    return block;
}

static void torture_free(void *ctx, void *block, size_t size, size_t align)
{
    torture *t = ctx;
    (void)size;
    (void)align;
    (void)pthread_mutex_lock(&t->mutex);
    t->blocks--;
    (void)pthread_mutex_unlock(&t->mutex);
    free(block);
}

static void open_with(things *t, torture *x)
{
    memset(t, 0, sizeof *t);
    t->room = ROWS;
    t->item = calloc(ROWS, sizeof *t->item);
    assert_non_null(t->item);
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1};
    ropt.allocator = (omen_allocator){torture_alloc, torture_free, x};
    OK(&t->f, omen_runtime_create(&ropt, &t->f.rt, &t->f.err));
    things_open_in(t, OMEN_L2, NULL);
    things_put(t, 0, ROWS);
    things_remove(t, 0, ROWS, 9);
}

/* A step that may fail for want of memory, and then must say so. */
static bool went(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
        assert_int_equal(err->detail, OMEN_D_NO_MEMORY);
    }
    return status == OMEN_OK;
}

static void find(things *t, const omen_filter *filter)
{
    static const uint64_t liked[] = {1, 2};
    uint64_t keys[2 * K];
    uint32_t count = 0;
    float vector[THING_DIM] = {0.5f};
    omen_filter_explain filters;
    omen_error err;
    omen_leg legs[3] = {
        {.struct_size = sizeof *legs,
         .kind = OMEN_LEG_VECTOR,
         .vector = vector,
         .dtype = OMEN_F32,
         .dim = THING_DIM},
        {.struct_size = sizeof *legs, .kind = OMEN_LEG_TEXT, .text = "w1q w2q", .text_len = 7},
        {.struct_size = sizeof *legs, .kind = OMEN_LEG_LIKE, .keys = liked, .key_count = 2}};
    omen_request request = {.struct_size = sizeof request,
                            .legs = legs,
                            .leg_count = 3,
                            .k = K,
                            .filter = filter,
                            .group_by = "number",
                            .group_size = 2};
    omen_hits hits = {
        .struct_size = sizeof hits, .keys = keys, .counts = &count, .filters = &filters};
    if (went(omen_find(t->f.c, &request, &hits, &err), &err)) {
        assert_true(count >= K);
    }
    request.group_by = NULL;
    request.group_size = 0;
    request.leg_count = 1;
    if (went(omen_find(t->f.c, &request, &hits, &err), &err)) {
        assert_int_equal(count, K);
    }
}

static void search(things *t, const omen_filter *filter)
{
    uint64_t keys[K];
    uint32_t count = 0;
    float vector[THING_DIM] = {0.5f};
    omen_error err;
    omen_query query = {.struct_size = sizeof query,
                        .vectors = vector,
                        .dtype = OMEN_F32,
                        .dim = THING_DIM,
                        .count = 1,
                        .k = K,
                        .filter = filter};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &count};
    if (went(omen_search(t->f.c, &query, &hits, &err), &err)) {
        assert_int_equal(count, K);
    }
}

static void read_all(things *t, const omen_filter *filter)
{
    uint64_t keys[ROWS], count = 0;
    omen_rows *rows = NULL;
    omen_error err;
    omen_listing listing = {.struct_size = sizeof listing, .filter = filter, .order_by = "color"};
    if (went(omen_list_items(t->f.c, &listing, keys, ROWS, &count, &err), &err)) {
        assert_true(count > K && count < ROWS);
        if (went(omen_fetch(t->f.c, keys, count, OMEN_FIELD_ID | OMEN_FIELD_METADATA, &rows, &err),
                 &err)) {
            assert_int_equal(omen_rows_count(rows), count);
            omen_rows_free(rows);
        }
    }
    if (went(omen_facet(t->f.c, filter, "tags", 3, &rows, &err), &err)) {
        assert_int_equal(omen_rows_count(rows), 3);
        omen_rows_free(rows);
    }
    if (went(omen_count_where(t->f.c, filter, &count, &err), &err)) {
        assert_true(count > K && count < ROWS);
    }
}

static void scenario(things *t)
{
    omen_filter *filter = NULL, *set = NULL;
    omen_error err;
    uint64_t keys[3 * K], before = 0, after = 0;
    for (uint64_t i = 0; i < 3 * K; i++) {
        keys[i] = (3 * K - i) * 10 + 1;
    }
    if (went(omen_filter_compile(t->f.c, "share < 0.9 AND color IS NOT NULL", 33, NULL, 0, &filter,
                                 &err),
             &err)) {
        search(t, filter);
        find(t, filter);
        read_all(t, filter);
    }
    if (went(omen_filter_from_keys(t->f.c, keys, 3 * K, &set, &err), &err)) {
        search(t, set);
        find(t, NULL);
    }
    if (set != NULL && went(omen_count_where(t->f.c, set, &before, &err), &err)) {
        assert_true(before >= 2 * K);
        omen_write_result result = {.struct_size = sizeof result};
        bool gone = went(omen_delete_where(t->f.c, set, NULL, &result, NULL, &err), &err);
        assert_true(!gone || result.applied == before);
        if (went(omen_count_where(t->f.c, set, &after, &err), &err)) {
            assert_int_equal(after, gone ? 0 : before);
        }
    }
    omen_filter_free(filter);
    omen_filter_free(set);
}

static void allocations_fail_one_after_the_other(void **state)
{
    (void)state;
    for (uint32_t for_good = 0; for_good < 2; for_good++) {
        uint64_t failed = 1;
        for (uint64_t n = 1; failed != 0; n++) {
            torture x = {.fail_at = UINT64_MAX, .for_good = for_good != 0};
            things t;
            assert_int_equal(pthread_mutex_init(&x.mutex, NULL), 0);
            open_with(&t, &x);
            (void)pthread_mutex_lock(&x.mutex);
            x.fail_at = x.calls + n;
            (void)pthread_mutex_unlock(&x.mutex);
            scenario(&t);
            (void)pthread_mutex_lock(&x.mutex);
            x.fail_at = UINT64_MAX;
            failed = x.failed;
            (void)pthread_mutex_unlock(&x.mutex);
            search(&t, NULL); /* all is well again */
            things_close(&t);
            assert_int_equal(x.blocks, 0);
            assert_int_equal(pthread_mutex_destroy(&x.mutex), 0);
            assert_true(n < 10000);
        }
    }
}

/* By every plan: a filter's bitmap and the scratch of a search are made once. */
static void warm_filtered_searches_allocate_nothing(void **state)
{
    (void)state;
    static const double shares[] = {0, 0.02, 0.1, 0.5, 0.9};
    static const uint32_t flags[] = {0, OMEN_EXACT, OMEN_GRAPH_ONLY};
    enum { MANY = 6000 };
    torture x = {.caller = pthread_self(), .fail_at = UINT64_MAX};
    things t;
    memset(&t, 0, sizeof t);
    assert_int_equal(pthread_mutex_init(&x.mutex, NULL), 0);
    t.room = MANY;
    t.item = calloc(MANY, sizeof *t.item);
    assert_non_null(t.item);
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1};
    ropt.allocator = (omen_allocator){torture_alloc, torture_free, &x};
    OK(&t.f, omen_runtime_create(&ropt, &t.f.rt, &t.f.err));
    things_open_in(&t, OMEN_L2, NULL);
    things_put(&t, 0, MANY);
    fx_index(&t.f);
    things_remove(&t, 0, MANY, 5);
    for (uint32_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        thing_filter filter = things_share(shares[i]);
        omen_filter *compiled = things_compile(&t, &filter);
        uint64_t before = 0;
        for (uint32_t round = 0; round < 60; round++) {
            float vector[THING_DIM] = {(float)round / 60};
            uint64_t keys[K];
            uint32_t count = 0;
            omen_query query = {.struct_size = sizeof query,
                                .flags = flags[round % 3],
                                .vectors = vector,
                                .dtype = OMEN_F32,
                                .dim = THING_DIM,
                                .count = 1,
                                .k = K,
                                .filter = compiled};
            omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &count};
            OK(&t.f, omen_search(t.f.c, &query, &hits, &t.f.err));
            assert_int_equal(count, i == 0 ? 0 : K);
            (void)pthread_mutex_lock(&x.mutex);
            assert_true(round < 6 || x.own == before);
            before = x.own;
            (void)pthread_mutex_unlock(&x.mutex);
        }
        omen_filter_free(compiled);
    }
    things_close(&t);
    assert_int_equal(x.blocks, 0);
    assert_int_equal(pthread_mutex_destroy(&x.mutex), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_fail_one_after_the_other),
        cmocka_unit_test(warm_filtered_searches_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
