/* graph_test.c - the graph against brute force over the same codes: recall, determinism, duplicates, clusters
 * in sequence, rescoring, stopping.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <string.h>

#include "rng.h"

static const fixture_options usual = {.n = 3000,
                                      .dim = 32,
                                      .metric = OMEN_L2,
                                      .threads = 2,
                                      .entry = OMEN_ENTRY_SEEDS,
                                      .m = 16,
                                      .ef_construction = 100,
                                      .quantization = OMEN_QUANT_SQ8};

static om_graph_report check(fixture *f)
{
    omen_error err;
    om_graph_report report;
    memset(&err, 0, sizeof err);
    omen_status_t status = om_graph_check(f->graph, &f->arrays, &report, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, OMEN_OK);
    return report;
}

static void recall_of(const fixture_options *options, make_row_fn make, uint32_t ef, double least)
{
    fixture f;
    fixture_open(&f, options, make);
    fixture_index(&f, f.n);
    om_graph_report report = check(&f);
    assert_int_equal(report.nodes, f.n);
    assert_int_equal(report.unreached, 0);
    double recall = fixture_recall(&f, 100, 10, ef);
    if (recall < least) {
        fail_msg("recall %.4f below %.4f", recall, least);
    }
    fixture_close(&f);
}

static void test_recall_by_metric_and_entry(void **state)
{
    (void)state;
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        for (uint32_t entry = OMEN_ENTRY_SEEDS; entry <= OMEN_ENTRY_HIERARCHY; entry++) {
            fixture_options options = usual;
            options.metric = metric;
            options.entry = entry;
            recall_of(&options, random_row, 100, metric == OMEN_IP ? 0.90 : 0.95);
        }
    }
}

static void test_float_rows_and_long_rows(void **state)
{
    (void)state;
    fixture_options options = usual;
    options.quantization = OMEN_QUANT_NONE;
    recall_of(&options, random_row, 100, 0.95);
    options.quantization = OMEN_QUANT_SQ8;
    options.dim = 300;
    options.n = 1500;
    recall_of(&options, random_row, 200, 0.95);
}

static void equal_row(uint32_t i, uint32_t dim, float *row)
{
    (void)i;
    for (uint32_t j = 0; j < dim; j++) {
        row[j] = 0.5f;
    }
}

static void test_all_rows_equal(void **state)
{
    (void)state;
    fixture f;
    uint64_t keys[2000];
    fixture_options options = usual;
    options.n = 2000;
    fixture_open(&f, &options, equal_row);
    fixture_index(&f, f.n);
    assert_int_equal(check(&f).unreached, 0);
    /* Every copy is reached, not only those that the first ones link to. */
    assert_int_equal(fixture_search(&f, f.rows, 2000, keys, 2000), 2000);
    fixture_close(&f);
}

/* Two thirds of the rows are copies of 20 vectors. */
static void twin_row(uint32_t i, uint32_t dim, float *row)
{
    random_row(i % 3 == 0 ? 1000 + i : i % 20, dim, row);
}

static void test_many_copies(void **state)
{
    (void)state;
    fixture f;
    uint64_t keys[512];
    fixture_open(&f, &usual, twin_row);
    fixture_index(&f, f.n);
    assert_int_equal(check(&f).unreached, 0);
    assert_true(fixture_recall(&f, 100, 50, 200) >= 0.97);
    /* All hundred copies of one vector. */
    uint32_t found = fixture_search(&f, f.rows + f.dim, 300, keys, 100);
    assert_int_equal(found, 100);
    for (uint32_t i = 0; i < found; i++) {
        assert_true(om_key_distance(keys[i]) <= 0);
    }
    fixture_close(&f);
}

/* 30 tight clusters, one inserted after the other, far from each other. */
static void cluster_row(uint32_t i, uint32_t dim, float *row)
{
    float offset[64];
    random_row(90000 + i / 100, dim, offset);
    random_row(i, dim, row);
    for (uint32_t j = 0; j < dim; j++) {
        row[j] = offset[j] * 20.0f + row[j] * 0.5f;
    }
}

static void test_clusters_in_sequence(void **state)
{
    (void)state;
    recall_of(&usual, cluster_row, 100, 0.95);
}

static void test_one_dimension(void **state)
{
    (void)state;
    fixture_options options = usual;
    options.dim = 1;
    recall_of(&options, random_row, 100, 0.95);
}

static void index_in_steps(fixture *f, const fixture_options *options, uint32_t threads)
{
    fixture_options own = *options;
    own.threads = threads;
    fixture_open(f, &own, random_row);
    fixture_index(f, f->n);
}

static void test_same_graph_for_any_number_of_threads(void **state)
{
    (void)state;
    for (uint32_t entry = OMEN_ENTRY_SEEDS; entry <= OMEN_ENTRY_HIERARCHY; entry++) {
        fixture one, three;
        fixture_options options = usual;
        options.entry = entry;
        index_in_steps(&one, &options, 1);
        index_in_steps(&three, &options, 3);
        assert_memory_equal(one.links, three.links, one.n * one.link_stride);
        size_t size = om_graph_export_size(one.graph);
        assert_int_equal(size, om_graph_export_size(three.graph));
        uint8_t *a = om_alloc_get(&one.alloc, size, 64), *b = om_alloc_get(&three.alloc, size, 64);
        om_graph_export(one.graph, a);
        om_graph_export(three.graph, b);
        assert_memory_equal(a, b, size);
        om_alloc_put(&one.alloc, a, size, 64);
        om_alloc_put(&three.alloc, b, size, 64);
        fixture_close(&one);
        fixture_close(&three);
    }
}

static void test_empty_and_tiny(void **state)
{
    (void)state;
    uint64_t keys[8];
    for (uint32_t n = 1; n <= 5; n++) {
        fixture f;
        fixture_options options = usual;
        options.n = n;
        options.entry = n % 2 == 0 ? OMEN_ENTRY_HIERARCHY : OMEN_ENTRY_SEEDS;
        fixture_open(&f, &options, random_row);
        assert_int_equal(fixture_search(&f, f.rows, 8, keys, 8), 0);
        fixture_index(&f, n);
        assert_int_equal(check(&f).nodes, n);
        assert_int_equal(fixture_search(&f, f.rows, 8, keys, 8), n);
        assert_int_equal(fixture_search(&f, f.rows, 1, keys, 8), 1);
        fixture_close(&f);
    }
}

static void test_batch_borders_depend_on_the_slot_alone(void **state)
{
    (void)state;
    uint32_t slot = 0, batches = 0;
    while (slot < 200000) {
        uint32_t end = om_graph_batch_end(slot);
        assert_true(end > slot && end - slot <= OM_GRAPH_MAX_BATCH);
        assert_int_equal(om_graph_batch_end(end - 1), end);
        slot = end;
        batches++;
    }
    assert_true(batches > 300);
}

static void test_rescore_keeps_the_graph(void **state)
{
    (void)state;
    for (uint32_t entry = OMEN_ENTRY_SEEDS; entry <= OMEN_ENTRY_HIERARCHY; entry++) {
        fixture f;
        omen_error err;
        om_codec *codec = NULL;
        fixture_options options = usual;
        options.entry = entry;
        fixture_open(&f, &options, random_row);
        fixture_index(&f, 2000);
        om_codec_params params = {f.dim, f.metric, OMEN_F32, OMEN_QUANT_SQ8, OMEN_ROTATE_ON, 7};
        assert_int_equal(om_codec_train(&f.alloc, &params, f.rows, f.n, &codec, &err), OMEN_OK);
        assert_int_equal(om_codec_stride(codec), f.stride);
        for (uint32_t i = 0; i < f.n; i++) {
            (void)om_codec_encode(codec, f.rows + (size_t)i * f.dim, f.scratch,
                                  f.codes + i * f.stride);
        }
        om_codec_free(f.codec);
        f.codec = codec;
        f.arrays.codec = codec;
        om_executor *executor = om_pool_executor(f.pool);
        assert_int_equal(om_graph_rescore(f.graph, &f.arrays, executor, &err), OMEN_OK);
        fixture_index(&f, f.n);
        assert_int_equal(check(&f).unreached, 0);
        assert_true(fixture_recall(&f, 100, 10, 100) >= 0.95);
        fixture_close(&f);
    }
}

static void test_stop_ends_the_walk(void **state)
{
    (void)state;
    fixture f;
    omen_error err;
    struct omen_op op = {0};
    om_stop stop = {&op, 0};
    om_graph_view *view = NULL;
    om_probe probe;
    const uint64_t *keys = NULL;
    uint32_t found = 0;
    om_graph_counters all = {0}, cut = {0};
    fixture_open(&f, &usual, random_row);
    fixture_index(&f, f.n);
    assert_int_equal(om_graph_view_create(f.graph, &f.arrays, &view, &err), OMEN_OK);
    assert_int_equal(om_graph_ctx_reserve(f.ctx, view, 2000, &err), OMEN_OK);
    om_codec_query(f.codec, f.rows, f.scratch, f.probe, &probe);
    assert_int_equal(om_graph_search(view, f.ctx, &probe, 2000, &stop, &keys, &found, &all),
                     OMEN_OK);
    assert_int_equal(found, 2000);
    atomic_store(&op.cancelled, 1);
    assert_int_equal(om_graph_search(view, f.ctx, &probe, 2000, &stop, &keys, &found, &cut),
                     OMEN_CANCELLED);
    assert_true(found > 0 && cut.distances < all.distances);
    om_graph_view_free(view);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall_by_metric_and_entry),
        cmocka_unit_test(test_float_rows_and_long_rows),
        cmocka_unit_test(test_all_rows_equal),
        cmocka_unit_test(test_many_copies),
        cmocka_unit_test(test_clusters_in_sequence),
        cmocka_unit_test(test_one_dimension),
        cmocka_unit_test(test_same_graph_for_any_number_of_threads),
        cmocka_unit_test(test_empty_and_tiny),
        cmocka_unit_test(test_batch_borders_depend_on_the_slot_alone),
        cmocka_unit_test(test_rescore_keeps_the_graph),
        cmocka_unit_test(test_stop_ends_the_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
