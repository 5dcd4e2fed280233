/* engine_search_test.c - searches against brute force: every metric, type and code; hard data; deletes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

enum { MOST_K = 64 };

/* Hits of q are right: distances are those of the keys (which are row numbers), all alive; returns how
 * many are as near as the true ones. */
static uint32_t good_hits(fixture *f, const fx_query *q, const float *rows, const bool *alive,
                          uint32_t n, uint32_t live)
{
    uint64_t keys[MOST_K];
    float distances[MOST_K];
    uint32_t dim = f->options.dim;
    uint32_t want = q->k < live ? q->k : live;
    uint32_t good = 0;
    assert_int_equal(fx_search(f, q, keys, distances), want);
    double kth = want != 0 ? fx_kth(f, q->vector, rows, alive, n, want) : 0;
    for (uint32_t i = 0; i < want; i++) {
        assert_true(keys[i] < n);
        assert_true(alive == NULL || alive[keys[i]]);
        double right = fx_distance(f->options.metric, q->vector, rows + (size_t)keys[i] * dim, dim);
        double room = 1e-4 * (1 + fabs(right));
        assert_true(fabs((double)distances[i] - right) <= room);
        good += right <= kth + room;
    }
    return good;
}

/* The rows of the collection as it stores them. */
static void read_back(fixture *f, float *rows, uint32_t n)
{
    uint64_t *keys = malloc(n * sizeof *keys);
    assert_non_null(keys);
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = i;
    }
    OK(f, omen_get_vectors(f->c, keys, n, rows, 0, OMEN_F32, NULL, &f->err));
    free(keys);
}

static void add_as(fixture *f, const float *rows, uint32_t n)
{
    uint32_t dim = f->options.dim;
    if (f->options.dtype == OMEN_F32 || f->options.dtype == OMEN_F16) {
        fx_add(f, rows, n, 0);
        return;
    }
    uint8_t *bytes = malloc((size_t)n * dim);
    assert_non_null(bytes);
    for (size_t i = 0; i < (size_t)n * dim; i++) {
        float value = fmaxf(-127, fminf(127, rows[i] * 40));
        bytes[i] = f->options.dtype == OMEN_U8 ? (uint8_t)(value + 128) : (uint8_t)(int8_t)value;
    }
    omen_batch batch = {.struct_size = sizeof batch, .count = n, .vectors = bytes, .dim = dim};
    OK(f, omen_add_batch(f->c, &batch, NULL, NULL, &f->err));
    free(bytes);
}

static void one_combination(const omen_options *o, uint32_t n)
{
    fixture f;
    fx_open(&f, o, 2);
    float *rows = fx_rows(n, o->dim, 5);
    fx_rng rng = {6};
    add_as(&f, rows, n);
    read_back(&f, rows, n);
    for (uint32_t indexed = 0; indexed < 2; indexed++) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < 20; i++) {
            const float *vector = rows + (size_t)fx_below(&rng, n) * o->dim;
            const fx_query exact = {.vector = vector, .k = 10, .flags = OMEN_EXACT};
            const fx_query graph = {.vector = vector, .k = 10, .flags = OMEN_GRAPH_ONLY};
            assert_int_equal(good_hits(&f, &exact, rows, NULL, n, n), 10);
            found += good_hits(&f, &graph, rows, NULL, n, n);
        }
        assert_true(found >= 20 * 10 * 95 / 100);
        fx_index(&f);
    }
    free(rows);
    fx_close(&f);
}

static void every_metric_type_and_code_finds_its_neighbours(void **state)
{
    (void)state;
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        for (uint32_t dtype = OMEN_F32; dtype <= OMEN_U8; dtype++) {
            for (uint32_t quant = OMEN_QUANT_SQ8; quant <= OMEN_QUANT_NONE; quant++) {
                const omen_options o = {
                    .dim = 24, .metric = metric, .dtype = dtype, .quantization = quant};
                one_combination(&o, 1500);
            }
        }
    }
}

static void dimensions_from_one_to_the_limit(void **state)
{
    (void)state;
    one_combination(&(omen_options){.dim = 1}, 1200);
    one_combination(&(omen_options){.dim = 300, .metric = OMEN_COSINE}, 1200);
    one_combination(&(omen_options){.dim = 4096, .metric = OMEN_IP}, 200);
    one_combination(&(omen_options){.dim = OMEN_MAX_DIM}, 40);
    one_combination(&(omen_options){.dim = 64, .rotation = OMEN_ROTATE_ON}, 1200);
    one_combination(&(omen_options){.dim = 32, .entry = OMEN_ENTRY_HIERARCHY}, 3000);
}

static void empty_and_nearly_empty(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    float *rows = fx_rows(5, 4, 7);
    uint64_t keys[MOST_K];
    float distances[MOST_K];
    const fx_query q = {.vector = rows, .k = 20};
    assert_int_equal(fx_search(&f, &q, keys, distances), 0);
    fx_index(&f);
    fx_add(&f, rows, 5, 0);
    assert_int_equal(good_hits(&f, &q, rows, NULL, 5, 5), 5);
    fx_index(&f);
    assert_int_equal(good_hits(&f, &q, rows, NULL, 5, 5), 5);
    const fx_query graph = {.vector = rows, .k = 20, .flags = OMEN_GRAPH_ONLY, .ef = 1};
    assert_int_equal(good_hits(&f, &graph, rows, NULL, 5, 5), 5);
    free(rows);
    fx_close(&f);
}

/* Data that breaks graphs: the graph alone must still find nearly everything. */
static void hard_set(const omen_options *o, const float *rows, uint32_t n, uint32_t least_percent)
{
    fixture f;
    fx_open(&f, o, 2);
    fx_rng rng = {8};
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 500) {
        fx_add(&f, rows + (size_t)i * o->dim, n - i < 500 ? n - i : 500, i);
    }
    fx_index(&f);
    for (uint32_t i = 0; i < 40; i++) {
        const fx_query q = {
            .vector = rows + (size_t)fx_below(&rng, n) * o->dim, .k = 10, .flags = OMEN_GRAPH_ONLY};
        found += good_hits(&f, &q, rows, NULL, n, n);
    }
    assert_true(found >= 40 * 10 * least_percent / 100);
    fx_close(&f);
}

static void duplicates_and_equal_data(void **state)
{
    (void)state;
    enum { N = 3000, DIM = 16 };
    float *rows = fx_rows(N, DIM, 9);
    for (uint32_t i = 0; i < N; i++) { /* every vector fifty times */
        memcpy(rows + (size_t)i * DIM, rows + (size_t)(i % 60) * DIM, DIM * sizeof *rows);
    }
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        hard_set(&(omen_options){.dim = DIM, .metric = metric}, rows, N, 95);
    }
    for (uint32_t i = 0; i < N * DIM; i++) {
        rows[i] = 0.25f;
    }
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        hard_set(&(omen_options){.dim = DIM, .metric = metric}, rows, N, 100);
    }
    memset(rows, 0, N * DIM * sizeof *rows);
    hard_set(&(omen_options){.dim = DIM, .metric = OMEN_COSINE}, rows, N, 100);
    free(rows);
}

static void clusters_one_after_the_other(void **state)
{
    (void)state;
    enum { N = 4000, DIM = 16, CLUSTERS = 20 };
    float *rows = fx_rows(N, DIM, 10);
    fx_rng rng = {11};
    for (uint32_t c = 0; c < CLUSTERS; c++) {
        float center[DIM];
        for (uint32_t d = 0; d < DIM; d++) {
            center[d] = 100 * fx_uniform(&rng);
        }
        for (uint32_t i = c * (N / CLUSTERS); i < (c + 1) * (N / CLUSTERS); i++) {
            for (uint32_t d = 0; d < DIM; d++) {
                rows[(size_t)i * DIM + d] += center[d];
            }
        }
    }
    hard_set(&(omen_options){.dim = DIM}, rows, N, 90);
    hard_set(&(omen_options){.dim = DIM, .quantization = OMEN_QUANT_NONE}, rows, N, 95);
    free(rows);
}

static void inner_products_of_wild_lengths(void **state)
{
    (void)state;
    enum { N = 3000, DIM = 16 };
    float *rows = fx_rows(N, DIM, 12);
    fx_rng rng = {13};
    for (uint32_t i = 0; i < N; i++) {
        float scale = powf(10.0f, 2 * fx_uniform(&rng));
        for (uint32_t d = 0; d < DIM; d++) {
            rows[(size_t)i * DIM + d] *= scale;
        }
    }
    hard_set(&(omen_options){.dim = DIM, .metric = OMEN_IP}, rows, N, 90);
    free(rows);
}

static void zero_vectors_have_cosine_distance_one(void **state)
{
    (void)state;
    enum { N = 2000, DIM = 16 };
    float *rows = fx_rows(N, DIM, 14);
    for (uint32_t i = 0; i < N; i += 10) {
        memset(rows + (size_t)i * DIM, 0, DIM * sizeof *rows);
    }
    hard_set(&(omen_options){.dim = DIM, .metric = OMEN_COSINE}, rows, N, 95);
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM, .metric = OMEN_COSINE}, 1);
    fx_add(&f, rows, N, 0);
    const float zero[DIM] = {0};
    uint64_t keys[5];
    float distances[5];
    const fx_query q = {.vector = zero, .k = 5};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(fx_search(&f, &q, keys, distances), 5);
        for (uint32_t j = 0; j < 5; j++) {
            assert_true(distances[j] == 1.0f);
        }
        fx_index(&f);
    }
    free(rows);
    fx_close(&f);
}

static void huge_values_stay_in_order(void **state)
{
    (void)state;
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        fixture f;
        fx_open(&f, &(omen_options){.dim = 2, .metric = metric}, 1);
        const float rows[8] = {3e38f, -3e38f, 1e30f, 1e30f, -3e38f, 3e38f, 1e-30f, 2e-30f};
        fx_add(&f, rows, 4, 0);
        uint64_t keys[4];
        float distances[4];
        for (uint32_t i = 0; i < 4; i++) {
            const fx_query q = {.vector = rows + (size_t)i * 2, .k = 4, .flags = OMEN_EXACT};
            assert_int_equal(fx_search(&f, &q, keys, distances), 4);
            assert_true(isfinite(distances[0]) && isfinite(distances[3]));
            if (metric == OMEN_COSINE) {
                assert_int_equal(keys[0], i);
                assert_true(distances[0] < 1e-5f);
            }
        }
        fx_index(&f);
        fx_close(&f);
    }
}

static void deletes_leave_what_is_alive(void **state)
{
    (void)state;
    enum { N = 3000, DIM = 12 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM}, 2);
    float *rows = fx_rows(N, DIM, 15);
    bool *alive = malloc(N * sizeof *alive);
    assert_non_null(alive);
    memset(alive, true, N);
    fx_add(&f, rows, N, 0);
    fx_index(&f);
    fx_rng rng = {16};
    /* The first rows are the entry points of the graph: they go first. */
    for (uint32_t left = N, next = 0; left > 0;) {
        for (uint32_t i = 0; i < 290 && next < N; i++, next++) {
            fx_delete(&f, next);
            alive[next] = false;
            left--;
        }
        assert_int_equal(fx_count(&f), left);
        for (uint32_t i = 0; i < 3 && left > 0; i++) {
            const float *vector = rows + (size_t)fx_below(&rng, N) * DIM;
            const fx_query exact = {.vector = vector, .k = 20, .flags = OMEN_EXACT};
            const fx_query graph = {.vector = vector, .k = 20, .flags = OMEN_GRAPH_ONLY};
            uint32_t want = left < 20 ? left : 20;
            assert_int_equal(good_hits(&f, &exact, rows, alive, N, left), want);
            assert_true(good_hits(&f, &graph, rows, alive, N, left) * 10 >= want * 8);
        }
    }
    uint64_t keys[4];
    float distances[4];
    assert_int_equal(fx_search(&f, &(fx_query){.vector = rows, .k = 4}, keys, distances), 0);
    fx_add(&f, rows, 100, 0);
    assert_int_equal(good_hits(&f, &(fx_query){.vector = rows, .k = 20}, rows, NULL, 100, 100), 20);
    free(alive);
    free(rows);
    fx_close(&f);
}

static void k_and_ef_at_their_limits(void **state)
{
    (void)state;
    enum { N = OMEN_MAX_K + 100, DIM = 4 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM}, 2);
    float *rows = fx_rows(N, DIM, 17);
    uint64_t *keys = malloc(OMEN_MAX_K * sizeof *keys);
    float *distances = malloc(OMEN_MAX_K * sizeof *distances);
    assert_non_null(keys);
    assert_non_null(distances);
    fx_add(&f, rows, N, 0);
    fx_index(&f);
    const fx_query all = {
        .vector = rows, .k = OMEN_MAX_K, .ef = OMEN_MAX_EF, .flags = OMEN_GRAPH_ONLY};
    assert_int_equal(fx_search(&f, &all, keys, distances), OMEN_MAX_K);
    const fx_query raised = {.vector = rows, .k = OMEN_MAX_K, .ef = 1};
    assert_int_equal(fx_search(&f, &raised, keys, distances), OMEN_MAX_K);
    omen_query query = {
        .struct_size = sizeof query, .vectors = rows, .dim = DIM, .count = 1, .k = 1};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys};
    query.k = OMEN_MAX_K + 1;
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    query.k = 0;
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    query.k = 1;
    query.ef = OMEN_MAX_EF + 1;
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    query.ef = 0;
    query.count = OMEN_MAX_QUERIES + 1;
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    free(distances);
    free(keys);
    free(rows);
    fx_close(&f);
}

static void many_queries_over_threads(void **state)
{
    (void)state;
    enum { N = 3000, DIM = 12, Q = 300, K = 5 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM}, 3);
    float *rows = fx_rows(N, DIM, 18);
    fx_add(&f, rows, N, 0);
    fx_index(&f);
    static uint64_t keys[2][Q * K];
    static float distances[2][Q * K];
    static uint32_t counts[Q], flags[Q];
    static omen_explain explain[Q];
    omen_query query = {.struct_size = sizeof query,
                        .vectors = rows,
                        .stride = DIM * sizeof(float),
                        .dim = DIM,
                        .count = Q,
                        .k = K};
    for (uint32_t i = 0; i < 2; i++) {
        omen_hits hits = {.struct_size = sizeof hits,
                          .keys = keys[i],
                          .distances = distances[i],
                          .counts = counts,
                          .flags = flags,
                          .explain = explain};
        query.threads = i; /* all, then the caller's only: the same hits */
        OK(&f, omen_search(f.c, &query, &hits, &f.err));
        for (uint32_t q = 0; q < Q; q++) {
            assert_int_equal(keys[i][q * K], q);
            assert_int_equal(counts[q], K);
            assert_int_equal(flags[q], 0);
            assert_int_equal(explain[q].plan, OMEN_PLAN_GRAPH);
            assert_true(explain[q].distances > 0 && explain[q].hops > 0);
            assert_true(explain[q].reranked >= K && explain[q].ef >= K);
        }
        assert_true(hits.version != 0);
    }
    assert_memory_equal(keys[0], keys[1], sizeof keys[0]);
    assert_memory_equal(distances[0], distances[1], sizeof distances[0]);
    rows[7 * DIM + 3] = NAN;
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys[0]};
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NOT_FINITE);
    assert_int_equal(f.err.item, 7);
    omen_stats stats = {.struct_size = sizeof stats};
    OK(&f, omen_get_stats(f.c, &stats, &f.err));
    assert_true(stats.searches >= 2 * Q && stats.distances > 0 && stats.hops > 0);
    free(rows);
    fx_close(&f);
}

static void searches_can_be_stopped(void **state)
{
    (void)state;
    enum { N = 60000, DIM = 32, K = 3 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM, .max_backlog_rows = N + 1}, 1);
    float *rows = fx_rows(N, DIM, 19);
    fx_add(&f, rows, N, 0);
    omen_op *op = NULL;
    OK(&f, omen_op_create(&op, &f.err));
    uint64_t keys[K];
    float distances[K];
    uint32_t counts, flags;
    omen_query query = {.struct_size = sizeof query,
                        .flags = OMEN_EXACT,
                        .vectors = rows,
                        .dim = DIM,
                        .count = 1,
                        .k = K,
                        .op = op};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = distances,
                      .counts = &counts,
                      .flags = &flags};
    omen_op_cancel(op);
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_CANCELLED, OMEN_D_NONE);
    omen_op_reset(op);
    OK(&f, omen_search(f.c, &query, &hits, &f.err));
    assert_int_equal(flags, 0);
    query.timeout_us = 1; /* sixty thousand rows take longer than that anywhere */
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_DEADLINE_EXCEEDED, OMEN_D_NONE);
    query.flags |= OMEN_PARTIAL_OK;
    OK(&f, omen_search(f.c, &query, &hits, &f.err));
    assert_int_equal(flags, OMEN_HITS_PARTIAL);
    query.timeout_us = 0;
    query.min_version = 1000000;
    FAILS(&f, omen_search(f.c, &query, &hits, &f.err), OMEN_OUT_OF_RANGE, OMEN_D_NONE);
    omen_op_cancel(op);
    FAILS(&f, omen_wait(f.c, 0, OMEN_WAIT_INDEXED, 0, op, &f.err), OMEN_CANCELLED, OMEN_D_NONE);
    FAILS(&f, omen_wait(f.c, 0, OMEN_WAIT_INDEXED, 1, NULL, &f.err), OMEN_DEADLINE_EXCEEDED,
          OMEN_D_NONE);
    omen_op_free(op);
    free(rows);
    fx_close(&f);
}

static void recall_is_measured(void **state)
{
    (void)state;
    enum { N = 4000, DIM = 16 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM}, 2);
    float *rows = fx_rows(N, DIM, 20);
    omen_recall_options opt = {.struct_size = sizeof opt, .flags = OMEN_GRAPH_ONLY, .samples = 100};
    omen_recall recall = {.struct_size = sizeof recall};
    OK(&f, omen_measure_recall(f.c, &opt, &recall, NULL, &f.err));
    assert_int_equal(recall.samples, 0);
    fx_add(&f, rows, N, 0);
    fx_index(&f);
    OK(&f, omen_measure_recall(f.c, &opt, &recall, NULL, &f.err));
    assert_int_equal(recall.samples, 100);
    assert_true(recall.recall >= 0.95 && recall.low <= recall.recall &&
                recall.recall <= recall.high);
    assert_true(recall.low > 0.9 && recall.high <= 1 && recall.distances > 10);
    opt.vectors = rows;
    opt.dim = DIM;
    opt.dtype = OMEN_F32;
    opt.k = 1;
    OK(&f, omen_measure_recall(f.c, &opt, &recall, NULL, &f.err));
    assert_true(recall.recall >= 0.99);
    opt.samples = OMEN_MAX_QUERIES + 1;
    FAILS(&f, omen_measure_recall(f.c, &opt, &recall, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_LIMIT);
    free(rows);
    fx_close(&f);
}

static void a_codec_that_fits_badly_is_trained_again(void **state)
{
    (void)state;
    enum { N = 17000, DIM = 8 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM}, 2);
    float *rows = fx_rows(N, DIM, 21);
    for (size_t i = 2000 * DIM; i < (size_t)N * DIM; i++) {
        rows[i] = rows[i] * 30 + 50; /* what comes later looks different */
    }
    fx_add(&f, rows, N, 0);
    fx_index(&f);
    omen_stats stats = {.struct_size = sizeof stats};
    OK(&f, omen_get_stats(f.c, &stats, &f.err));
    assert_true(stats.retrained >= 1);
    fx_rng rng = {22};
    uint32_t found = 0;
    for (uint32_t i = 0; i < 30; i++) {
        const fx_query q = {.vector = rows + (size_t)fx_below(&rng, N) * DIM, .k = 10};
        found += good_hits(&f, &q, rows, NULL, N, N);
    }
    assert_true(found >= 30 * 10 * 9 / 10);
    free(rows);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_type_and_code_finds_its_neighbours),
        cmocka_unit_test(dimensions_from_one_to_the_limit),
        cmocka_unit_test(empty_and_nearly_empty),
        cmocka_unit_test(duplicates_and_equal_data),
        cmocka_unit_test(clusters_one_after_the_other),
        cmocka_unit_test(inner_products_of_wild_lengths),
        cmocka_unit_test(zero_vectors_have_cosine_distance_one),
        cmocka_unit_test(huge_values_stay_in_order),
        cmocka_unit_test(deletes_leave_what_is_alive),
        cmocka_unit_test(k_and_ef_at_their_limits),
        cmocka_unit_test(many_queries_over_threads),
        cmocka_unit_test(searches_can_be_stopped),
        cmocka_unit_test(recall_is_measured),
        cmocka_unit_test(a_codec_that_fits_badly_is_trained_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
