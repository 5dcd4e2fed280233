/* graph_filter_test.c - filtered walks against brute force over the same codes: recall
 * at every share and every way, filters that lie far from the query, budgets, edges of the bitmap.
 * SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"

enum { K = 10, EF = 64, BEAM = 2048, ROWS = 5000, QUERIES = 40 };

static const fixture_options usual = {.n = ROWS,
                                      .dim = 24,
                                      .metric = OMEN_L2,
                                      .threads = 2,
                                      .entry = OMEN_ENTRY_SEEDS,
                                      .m = 16,
                                      .ef_construction = 100,
                                      .quantization = OMEN_QUANT_SQ8};
static const uint32_t plans[] = {OMEN_PLAN_FILTER_IN, OMEN_PLAN_FILTER_HOP,
                                 OMEN_PLAN_FILTER_BRIDGE};

typedef struct filtered {
    fixture f;
    om_graph_view *view;
    uint64_t pass[ROWS / 64 + 2];
    uint32_t matches;
    om_graph_filter filter;
    om_graph_counters counters;
    const uint64_t *keys;
    uint32_t found;
} filtered;

static void open_with(filtered *t, const fixture_options *options, make_row_fn make)
{
    omen_error err;
    memset(t, 0, sizeof *t);
    fixture_open(&t->f, options, make);
    fixture_index(&t->f, t->f.n);
    assert_int_equal(om_graph_view_create(t->f.graph, &t->f.arrays, &t->view, &err), OMEN_OK);
    assert_int_equal(om_graph_ctx_reserve(t->f.ctx, t->view, BEAM, &err), OMEN_OK);
}

static void close_it(filtered *t)
{
    om_graph_view_free(t->view);
    fixture_close(&t->f);
}

static bool passes(const filtered *t, uint32_t slot)
{
    return ((t->pass[slot >> 6] >> (slot & 63)) & 1) != 0;
}

static void let_pass(filtered *t, uint32_t slot)
{
    t->matches += !passes(t, slot);
    t->pass[slot >> 6] |= UINT64_C(1) << (slot & 63);
}

/* About `share` of all slots, by chance. */
static void pass_share(filtered *t, double share, uint64_t seed)
{
    memset(t->pass, 0, sizeof t->pass);
    t->matches = 0;
    for (uint32_t slot = 0; slot < t->f.n; slot++) {
        if ((double)(om_mix64(slot ^ (seed << 32)) >> 11) * 0x1p-53 < share) {
            let_pass(t, slot);
        }
    }
}

static om_probe probe_of(filtered *t, const float *query)
{
    om_probe probe;
    om_codec_query(t->f.codec, query, t->f.scratch, t->f.probe, &probe);
    return probe;
}

static omen_status_t walk(filtered *t, const float *query, uint32_t plan, const om_stop *stop)
{
    om_probe probe = probe_of(t, query);
    uint64_t budget = t->filter.budget != 0 ? t->filter.budget : UINT64_MAX;
    t->filter = (om_graph_filter){.pass = t->pass,
                                  .matches = t->matches,
                                  .plan = plan,
                                  .k = K,
                                  .ef = EF,
                                  .beam = BEAM,
                                  .budget = budget};
    t->counters = (om_graph_counters){0};
    return om_graph_search_filtered(t->view, t->f.ctx, &probe, &t->filter, stop, &t->keys,
                                    &t->found, &t->counters);
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Distances of all passing slots by the scalar kernels, ascending; returns how many. */
static uint32_t oracle(filtered *t, const float *query, uint64_t *out)
{
    om_probe probe = probe_of(t, query);
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < om_graph_view_count(t->view); slot++) {
        int32_t distance;
        if (!passes(t, slot)) {
            continue;
        }
        om_kernels_by_name("scalar")->gather[probe.kind](&probe, t->f.codes, t->f.stride, &slot, 1,
                                                         &distance);
        out[n++] = om_key_pack(distance, slot);
    }
    qsort(out, n, sizeof *out, compare_keys);
    return n;
}

/* What a walk gave is in order, passes, and has no slot twice. */
static void check_found(const filtered *t)
{
    for (uint32_t i = 0; i < t->found; i++) {
        assert_true(om_key_slot(t->keys[i]) < om_graph_view_count(t->view));
        assert_true(passes(t, om_key_slot(t->keys[i])));
        for (uint32_t j = 0; j < i; j++) {
            assert_int_not_equal(om_key_slot(t->keys[i]), om_key_slot(t->keys[j]));
        }
        if (i != 0) {
            assert_true(om_key_distance(t->keys[i]) >= om_key_distance(t->keys[i - 1]));
        }
    }
}

/* Of the K nearest passing ones, how many of `found` are as near. */
static uint32_t hits(const filtered *t, const uint64_t *want, uint32_t n)
{
    uint32_t most = om_min_u32(K, n), good = 0;
    for (uint32_t i = 0; i < om_min_u32(t->found, most); i++) {
        good += om_key_distance(t->keys[i]) <= om_key_distance(want[most - 1]);
    }
    return good;
}

/* Recall@K of one way over queries near every seventh row; the engine's rule included: of what
 * gives up or has too few all are read. *given_up counts these. */
static double recall_of(filtered *t, uint32_t plan, uint32_t first_query, uint32_t *given_up)
{
    static uint64_t want[ROWS];
    uint32_t good = 0, all = 0;
    for (uint32_t q = 0; q < QUERIES; q++) {
        float query[64];
        const float *row = t->f.rows + (size_t)(first_query + q * 7) * t->f.dim;
        for (uint32_t j = 0; j < t->f.dim; j++) {
            query[j] = row[j] + 0.01f * (float)(j % 3);
        }
        uint32_t n = oracle(t, query, want);
        assert_int_equal(n, t->matches);
        assert_int_equal(walk(t, query, plan, NULL), OMEN_OK);
        check_found(t);
        bool read = t->filter.abandoned || t->found < om_min_u32(K, n);
        *given_up += read;
        good += read ? om_min_u32(K, n) : hits(t, want, n);
        all += om_min_u32(K, n);
    }
    return (double)good / (all != 0 ? all : 1);
}

static void test_recall_at_every_share(void **state)
{
    static filtered t;
    static const double shares[] = {0.95, 0.6, 0.3, 0.12, 0.06, 0.03, 0.01, 0.002};
    (void)state;
    open_with(&t, &usual, random_row);
    for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
        pass_share(&t, shares[s], s);
        for (size_t p = 0; p < 3; p++) {
            uint32_t given_up = 0;
            double recall = recall_of(&t, plans[p], 3, &given_up);
            if (recall < 0.95) {
                fail_msg("share %.3f plan %u: recall %.3f", shares[s], plans[p], recall);
            }
            /* Where half passes, every way must find its way by itself. */
            assert_true(shares[s] < 0.5 || given_up == 0);
        }
    }
    close_it(&t);
}

/* 20 clusters that touch each other. */
static void cluster_row(uint32_t i, uint32_t dim, float *row)
{
    float offset[64];
    random_row(90000 + i % 20, dim, offset);
    random_row(i, dim, row);
    for (uint32_t j = 0; j < dim; j++) {
        row[j] = offset[j] * 1.5f + row[j] * 0.5f;
    }
}

static void test_filters_that_lie_far_from_the_query(void **state)
{
    static filtered t;
    (void)state;
    open_with(&t, &usual, cluster_row);
    for (uint32_t far = 1; far < 20; far += 6) {
        memset(t.pass, 0, sizeof t.pass);
        t.matches = 0;
        for (uint32_t slot = 0; slot < t.f.n; slot++) {
            if (slot % 20 == far) {
                let_pass(&t, slot);
            }
        }
        /* Queries of one cluster (7 times 20 rows apart), results from another. */
        for (size_t p = 0; p < 3; p++) {
            uint32_t given_up = 0;
            uint32_t first = 20u * far;
            double recall = recall_of(&t, plans[p], first, &given_up);
            if (recall < 0.95) {
                fail_msg("cluster %u plan %u: recall %.3f", far, plans[p], recall);
            }
            /* The way over passing slots must not need the scan. */
            assert_true(plans[p] == OMEN_PLAN_FILTER_IN || given_up <= QUERIES / 4);
        }
    }
    close_it(&t);
}

static void test_all_pass_is_the_plain_search(void **state)
{
    static filtered t;
    uint64_t plain[EF];
    (void)state;
    open_with(&t, &usual, random_row);
    pass_share(&t, 2.0, 1);
    assert_int_equal(t.matches, t.f.n);
    for (uint32_t q = 0; q < QUERIES; q++) {
        const float *query = t.f.rows + (size_t)q * 11 * t.f.dim;
        uint32_t n = fixture_search(&t.f, query, EF, plain, EF);
        assert_int_equal(walk(&t, query, OMEN_PLAN_FILTER_IN, NULL), OMEN_OK);
        assert_int_equal(n, EF);
        assert_true(t.found >= EF);
        assert_memory_equal(t.keys, plain, EF * sizeof *plain);
    }
    close_it(&t);
}

static void test_budget_bounds_the_walk(void **state)
{
    static filtered t;
    (void)state;
    open_with(&t, &usual, random_row);
    pass_share(&t, 0.02, 5);
    for (size_t p = 0; p < 3; p++) {
        for (uint64_t budget = 200; budget <= 1600; budget *= 2) {
            t.filter.budget = budget;
            assert_int_equal(walk(&t, t.f.rows, plans[p], NULL), OMEN_OK);
            check_found(&t);
            /* The gather that crosses the line is the last one; the entry is not counted. */
            uint64_t spent = t.counters.distances + t.filter.tests / 16;
            assert_true(spent <= budget + 1200);
            if (budget == 200) {
                assert_true(t.filter.abandoned);
            }
        }
    }
    close_it(&t);
}

static void test_nothing_and_little_passes(void **state)
{
    static filtered t;
    (void)state;
    open_with(&t, &usual, random_row);
    for (size_t p = 0; p < 3; p++) {
        pass_share(&t, 0.0, 1);
        t.filter.budget = 0;
        assert_int_equal(walk(&t, t.f.rows, plans[p], NULL), OMEN_OK);
        assert_int_equal(t.found, 0);
        /* The last slot alone. */
        let_pass(&t, t.f.n - 1);
        assert_int_equal(walk(&t, t.f.rows, plans[p], NULL), OMEN_OK);
        assert_true(t.found <= 1);
        if (plans[p] == OMEN_PLAN_FILTER_BRIDGE) {
            assert_int_equal(t.found, 1); /* drawn as a seed */
        }
    }
    close_it(&t);
}

static void test_stops(void **state)
{
    static filtered t;
    omen_op op;
    om_stop stop = {.op = &op};
    (void)state;
    memset(&op, 0, sizeof op);
    atomic_store(&op.cancelled, 1);
    open_with(&t, &usual, random_row);
    pass_share(&t, 0.02, 3);
    /* A walk that has to go far. */
    t.filter.budget = 0;
    assert_int_equal(walk(&t, t.f.rows, OMEN_PLAN_FILTER_IN, &stop), OMEN_CANCELLED);
    check_found(&t);
    close_it(&t);
}

static void test_same_answer_every_time(void **state)
{
    static filtered t;
    uint64_t first[K];
    (void)state;
    open_with(&t, &usual, cluster_row);
    pass_share(&t, 0.04, 9);
    for (size_t p = 0; p < 3; p++) {
        t.filter.budget = 0;
        assert_int_equal(walk(&t, t.f.rows, plans[p], NULL), OMEN_OK);
        uint32_t n = om_min_u32(K, t.found);
        memcpy(first, t.keys, n * sizeof *first);
        for (uint32_t round = 0; round < 260; round++) { /* past the wrap of the marks */
            assert_int_equal(walk(&t, t.f.rows, plans[p], NULL), OMEN_OK);
            assert_true(t.found >= n);
            assert_memory_equal(t.keys, first, n * sizeof *first);
        }
    }
    close_it(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall_at_every_share),
        cmocka_unit_test(test_filters_that_lie_far_from_the_query),
        cmocka_unit_test(test_all_pass_is_the_plain_search),
        cmocka_unit_test(test_budget_bounds_the_walk),
        cmocka_unit_test(test_nothing_and_little_passes),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_same_answer_every_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
