/* ops_collections_test.c - what /metrics tells of a real engine: figures per collection, the cap on
 * labels, who keeps a label, and the memory budget.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap.h"
#include "metrics.h"
#include "omen.h"
#include "ops_promtext.h"

enum { DIM = 8, TOP = 3, BUDGET = 512 << 20 };

static omen_runtime *runtime;
static omen_db *db;
static om_metrics *metrics;

static char *render(void)
{
    size_t length = 0;
    char *page = om_metrics_render(metrics, &length);
    assert_non_null(page);
    const char *wrong = promtext_check(page);
    if (wrong != NULL) {
        fail_msg("%s", wrong);
    }
    return page;
}

static double value_of(const char *page, const char *name, const char *collection)
{
    char series[256];
    double value = -1;
    (void)snprintf(series, sizeof series, "%s{collection=\"%s\"}", name, collection);
    if (!promtext_value(page, series, &value)) {
        return -1;
    }
    return value;
}

static omen_collection *create(const char *name, uint64_t rows)
{
    float vectors[64 * DIM];
    uint64_t keys[64];
    omen_collection *c = NULL;
    omen_error error;
    omen_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.dim = DIM;
    if (omen_create(db, name, &options, &c, &error) != OMEN_OK) {
        fail_msg("%s", error.message);
    }
    assert_true(rows <= 64);
    for (uint64_t i = 0; i < rows; i++) {
        keys[i] = i + 1;
        for (uint32_t d = 0; d < DIM; d++) {
            vectors[i * DIM + d] = (float)(i * 7 + d * 3 % 5);
        }
    }
    omen_batch batch;
    memset(&batch, 0, sizeof batch);
    batch.struct_size = sizeof batch;
    batch.count = rows;
    batch.vectors = vectors;
    batch.dtype = OMEN_F32;
    batch.dim = DIM;
    batch.keys = keys;
    if (rows > 0 && omen_add_batch(c, &batch, NULL, NULL, &error) != OMEN_OK) {
        fail_msg("%s", error.message);
    }
    return c;
}

static void search(omen_collection *c, int times)
{
    float query[DIM] = {1, 2, 3};
    uint64_t key = 0;
    for (int i = 0; i < times; i++) {
        assert_int_equal(omen_search_f32(c, query, 1, 1, 0, &key, NULL, NULL), OMEN_OK);
    }
}

static void remove_one(omen_collection *c, uint64_t key)
{
    omen_batch batch;
    memset(&batch, 0, sizeof batch);
    batch.struct_size = sizeof batch;
    batch.count = 1;
    batch.keys = &key;
    assert_int_equal(omen_delete_batch(c, &batch, NULL, NULL, NULL), OMEN_OK);
}

static void test_empty(void **state)
{
    double value = -1;
    (void)state;
    char *page = render();
    assert_true(promtext_value(page, "omendb_collections", &value) && value == 0);
    assert_int_equal(promtext_count(page, "omendb_points"), 0);
    assert_true(promtext_value(page, "omendb_memory_budget_bytes", &value) && value == BUDGET);
    assert_true(promtext_value(page, "omendb_memory_rejections_total", &value) && value == 0);
    free(page);
}

static void test_figures(void **state)
{
    (void)state;
    omen_collection *c = create("figures", 10);
    search(c, 4);
    remove_one(c, 3);
    char *page = render();
    assert_true(value_of(page, "omendb_points", "figures") == 9);
    assert_true(value_of(page, "omendb_rows", "figures") == 10);
    assert_true(value_of(page, "omendb_deleted_ratio", "figures") == 0.1);
    assert_true(value_of(page, "omendb_unindexed_points", "figures") >= 0);
    assert_true(value_of(page, "omendb_collection_searches_total", "figures") == 4);
    assert_int_equal(promtext_count(page, "omendb_collection_bytes"), 9);
    double used = 0;
    assert_true(promtext_value(page, "omendb_memory_used_bytes", &used) && used > 0);
    free(page);
    omen_collection_free(c);
    assert_int_equal(omen_drop(db, "figures", NULL), OMEN_OK);
    page = render();
    assert_true(value_of(page, "omendb_points", "figures") == -1);
    free(page);
}

/* At most TOP labels; the most used get them, keep them, and free them when dropped. */
static void test_cap(void **state)
{
    omen_collection *c[5];
    (void)state;
    for (int i = 0; i < 5; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "c%d", i);
        c[i] = create(name, 10);
        search(c[i], i); /* c4 is used most */
    }
    char *page = render();
    assert_int_equal(promtext_count(page, "omendb_points"), TOP + 1);
    assert_true(value_of(page, "omendb_points", "c4") == 10);
    assert_true(value_of(page, "omendb_points", "c3") == 10);
    assert_true(value_of(page, "omendb_points", "c2") == 10);
    assert_true(value_of(page, "omendb_points", "_other") == 20);
    assert_true(value_of(page, "omendb_collection_searches_total", "c4") == 4);
    assert_true(value_of(page, "omendb_collection_searches_total", "_other") == -1);
    free(page);
    search(c[0], 50); /* now c0 is used most, but a series that is there stays */
    page = render();
    assert_true(value_of(page, "omendb_points", "c2") == 10);
    assert_true(value_of(page, "omendb_points", "c0") == -1);
    free(page);
    assert_int_equal(omen_drop(db, "c2", NULL), OMEN_OK);
    page = render();
    assert_true(value_of(page, "omendb_points", "c2") == -1);
    assert_true(value_of(page, "omendb_points", "c0") == 10);
    assert_true(value_of(page, "omendb_points", "_other") == 10);
    free(page);
    for (int i = 0; i < 5; i++) {
        omen_collection_free(c[i]);
    }
}

/* More collections than one page of the listing. */
static void test_many(void **state)
{
    enum { MANY = 600 };
    double value = -1;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "many-%d", i);
        omen_collection_free(create(name, 0));
    }
    char *page = render();
    assert_true(promtext_value(page, "omendb_collections", &value));
    assert_true(value == MANY + 4); /* four of the test before */
    assert_int_equal(promtext_count(page, "omendb_rows"), TOP + 1);
    free(page);
    /* Away from the engine its series go. */
    om_metrics_attach(metrics, NULL, NULL);
    page = render();
    assert_int_equal(promtext_count(page, "omendb_collections"), 0);
    assert_int_equal(promtext_count(page, "omendb_memory_used_bytes"), 0);
    free(page);
}

static int start(void **state)
{
    omen_runtime_options runtime_options;
    omen_db_options db_options;
    (void)state;
    memset(&runtime_options, 0, sizeof runtime_options);
    runtime_options.struct_size = sizeof runtime_options;
    runtime_options.threads = 2;
    runtime_options.memory_limit = BUDGET;
    runtime_options.allocator = om_heap_engine_allocator();
    memset(&db_options, 0, sizeof db_options);
    db_options.struct_size = sizeof db_options;
    if (omen_runtime_create(&runtime_options, &runtime, NULL) != OMEN_OK) {
        return -1;
    }
    db_options.runtime = runtime;
    if (omen_db_open(NULL, &db_options, &db, NULL) != OMEN_OK) {
        return -1;
    }
    om_metrics_options options = {.top_collections = TOP, .runtime = runtime, .db = db};
    metrics = om_metrics_create(&options);
    return metrics != NULL ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    om_metrics_free(metrics);
    omen_db_free(db);
    omen_runtime_free(runtime);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
