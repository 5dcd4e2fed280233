/* golden_test.c - opens the golden files and finds in them what was written.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"

static const char *folder;
static const char *databases;

static void check_items(omen_collection *c, const golden_file *file)
{
    uint64_t keys[GOLDEN_ITEMS];
    uint8_t found[GOLDEN_ITEMS];
    static uint8_t rows[GOLDEN_ITEMS * GOLDEN_DIM * 4];
    size_t row = golden_row_bytes(file);
    uint64_t count = 0;
    assert_int_equal(omen_count(c, &count, NULL), OMEN_OK);
    assert_int_equal(count, GOLDEN_ITEMS - GOLDEN_DELETED);
    omen_column column = golden_column(file, 0, GOLDEN_ITEMS);
    assert_int_equal(omen_lookup(c, &column, GOLDEN_ITEMS, keys, NULL), OMEN_OK);
    assert_int_equal(omen_get_vectors(c, keys, GOLDEN_ITEMS, rows, 0, 0, found, NULL), OMEN_OK);
    for (uint32_t n = 0; n < GOLDEN_ITEMS; n++) {
        uint8_t want[GOLDEN_DIM * 4];
        golden_bytes(file, n, want);
        assert_int_equal(keys[n] != OMEN_NONE, n >= GOLDEN_DELETED);
        assert_int_equal(found[n], n >= GOLDEN_DELETED);
        if (n >= GOLDEN_DELETED) {
            assert_memory_equal(rows + n * row, want, row);
            assert_true(file->id_type != OMEN_ID_U64 || keys[n] == golden_key(n));
        }
    }
}

static double distance(const golden_file *file, const float *a, const float *b)
{
    double sum = 0, product = 0, aa = 0, bb = 0;
    for (uint32_t d = 0; d < GOLDEN_DIM; d++) {
        double x = (double)a[d], y = (double)b[d];
        sum += (x - y) * (x - y);
        product += x * y;
        aa += x * x;
        bb += y * y;
    }
    return file->metric == OMEN_L2   ? sum
           : file->metric == OMEN_IP ? -product
                                     : 1 - product / sqrt(aa * bb);
}

/* The vectors of the items as queries: the nearest by brute force, found exactly and through the
 * graph. */
static void check_search(omen_collection *c, const golden_file *file, uint32_t flags)
{
    enum { K = 5 };
    uint32_t right = 0;
    for (uint32_t q = 0; q < GOLDEN_ITEMS; q++) {
        float query[GOLDEN_DIM], vector[GOLDEN_DIM], distances[K];
        uint64_t keys[K];
        double best = INFINITY;
        golden_vector(file, q, query);
        for (uint32_t n = GOLDEN_DELETED; n < GOLDEN_ITEMS; n++) {
            golden_vector(file, n, vector);
            best = fmin(best, distance(file, query, vector));
        }
        const omen_query asked = {.struct_size = sizeof asked,
                                  .flags = flags,
                                  .vectors = query,
                                  .dtype = OMEN_F32,
                                  .dim = GOLDEN_DIM,
                                  .count = 1,
                                  .k = K};
        omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
        assert_int_equal(omen_search(c, &asked, &hits, NULL), OMEN_OK);
        right += fabs((double)distances[0] - best) <= 1e-5 * (1 + fabs(best));
        assert_int_not_equal(keys[K - 1], OMEN_NONE);
    }
    assert_true(right >= ((flags & OMEN_EXACT) != 0 ? GOLDEN_ITEMS : GOLDEN_ITEMS - 2));
}

static void check_file(omen_db *db, const golden_file *file, uint32_t open_flags)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file->name);
    const omen_open_options options = {
        .struct_size = sizeof options, .flags = open_flags, .file = path};
    omen_collection *c = NULL;
    omen_error err = {0};
    if (omen_open(db, "golden", &options, &c, &err) != OMEN_OK) {
        fail_msg("%s: %s", file->name, err.message);
    }
    omen_options described = {.struct_size = sizeof described};
    assert_int_equal(omen_describe(c, &described, NULL), OMEN_OK);
    assert_int_equal(described.dim, GOLDEN_DIM);
    assert_int_equal(described.metric, file->metric);
    assert_int_equal(described.dtype, file->dtype);
    assert_int_equal(described.id_type, file->id_type);
    assert_int_equal(described.quantization, file->quantization);
    assert_int_equal(described.m, 8);
    check_items(c, file);
    check_search(c, file, OMEN_EXACT);
    check_search(c, file, 0);
    check_search(c, file, OMEN_GRAPH_ONLY);
    assert_int_equal(omen_drop(db, "golden", NULL), OMEN_OK);
    omen_collection_free(c);
}

static void test_golden_files(void **unused)
{
    (void)unused;
    omen_db *db = NULL;
    assert_int_equal(omen_db_open(NULL, NULL, &db, NULL), OMEN_OK);
    for (size_t i = 0; i < golden_count; i++) {
        check_file(db, &golden_files[i], 0);
        check_file(db, &golden_files[i], OMEN_OPEN_VERIFY);
    }
    omen_db_free(db);
}

/* ---- The database ------------------------------------------------------------------------------- */
static void check_database(const char *path, uint32_t flags)
{
    omen_db *db = NULL;
    omen_error err = {0};
    const omen_db_options options = {.struct_size = sizeof options, .flags = flags};
    if (omen_db_open(path, &options, &db, &err) != OMEN_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    for (int i = 0; i < GOLDEN_COLLECTIONS; i++) {
        omen_collection *c = NULL;
        uint64_t seq = 0, epoch = 0;
        assert_int_equal(omen_open(db, golden_names[i], NULL, &c, NULL), OMEN_OK);
        check_items(c, golden_kinds[i]);
        check_search(c, golden_kinds[i], OMEN_EXACT);
        check_search(c, golden_kinds[i], 0);
        if (flags == 0) {
            assert_int_equal(omen_stream_open(c, "golden-stream", 13, &seq, &epoch, NULL), OMEN_OK);
            assert_int_equal(seq, 3);
        }
        omen_collection_free(c);
    }
    omen_db_free(db);
}

static void test_golden_backup(void **unused)
{
    static const char restored[] = "golden-restored";
    (void)unused;
    char path[1024];
    omen_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", databases, golden_backup);
    if (omen_verify(path, NULL, NULL, &err) != OMEN_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    check_database(path, OMEN_DB_READ_ONLY);
    golden_remove(restored);
    if (omen_restore(path, restored, NULL, NULL, &err) != OMEN_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    check_database(restored, 0);
    check_database(restored, 0); /* as the new version left it */
    golden_remove(restored);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_files),
                                       cmocka_unit_test(test_golden_backup)};
    folder = argc > 1 ? argv[1] : ".";
    databases = argc > 2 ? argv[2] : folder;
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
