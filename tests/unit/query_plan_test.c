/* query_plan_test.c - the planner: which way at which share, both sides of every threshold, and the same
 * answers on both; costs measured on a graph.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "op.h"
#include "plan.h"
#include "rng.h"

enum { K = 10, EF = 64, ROWS = 12000 };

static om_plan_input input_of(uint64_t rows, uint64_t matches)
{
    return (om_plan_input){.rows = rows,
                           .matches = matches,
                           .k = K,
                           .ef = EF,
                           .distances = 900,
                           .costs = {.gathered = 25, .walked = 18},
                           .stride = 832};
}

static uint32_t plan_at(uint64_t rows, uint64_t matches)
{
    om_plan plan;
    om_plan_input in = input_of(rows, matches);
    om_plan_choose(&in, &plan);
    return plan.plan;
}

static void test_order_of_the_ways(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1000, 60000, 1000000, 100000000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        /* As more pass: nothing, all of them, on while few are near (so many rows that all of them is too
         * much, and too few for bridges), among them, on, as it is; never back. */
        static const uint32_t order[] = {OMEN_PLAN_EMPTY,      OMEN_PLAN_EXACT,
                                         OMEN_PLAN_FILTER_HOP, OMEN_PLAN_FILTER_BRIDGE,
                                         OMEN_PLAN_FILTER_HOP, OMEN_PLAN_FILTER_IN};
        enum { WAYS = sizeof order / sizeof *order };
        size_t at = 0;
        assert_int_equal(plan_at(sizes[s], 0), OMEN_PLAN_EMPTY);
        for (uint64_t m = 1; m <= sizes[s]; m += 1 + m / 50) {
            uint32_t plan = plan_at(sizes[s], m);
            while (at < WAYS && order[at] != plan) {
                at++;
            }
            assert_in_range(at, 1, WAYS - 1);
        }
        assert_int_equal(plan_at(sizes[s], 1), OMEN_PLAN_EXACT);
        assert_int_equal(plan_at(sizes[s], sizes[s]), OMEN_PLAN_FILTER_IN);
    }
    assert_int_equal(plan_at(0, 0), OMEN_PLAN_EMPTY);
}

static void test_what_is_given_to_the_walk(void **state)
{
    (void)state;
    for (uint64_t rows = 20000; rows <= 2000000000u; rows *= 7) {
        for (uint64_t m = 1; m <= rows; m = m * 2 + 1) {
            om_plan plan;
            om_plan_input in = input_of(rows, m);
            om_plan_choose(&in, &plan);
            if (plan.plan == OMEN_PLAN_EXACT) {
                continue;
            }
            assert_true(plan.ef == EF);
            assert_in_range(plan.beam, EF, OMEN_MAX_EF);
            /* Given up when it cost about what all of them cost: twice that is the most. */
            double scan = (double)m * 25.0;
            assert_true((double)plan.budget * 18.0 <= scan * 1.2 + 18.0 * EF);
            assert_true((double)plan.budget * 18.0 >= scan * 0.8);
        }
    }
}

static void test_graph_only(void **state)
{
    (void)state;
    for (uint64_t m = 1; m <= 60000; m = m * 2 + 1) {
        om_plan plan;
        om_plan_input in = input_of(60000, m);
        in.graph_only = true;
        om_plan_choose(&in, &plan);
        assert_true(plan.plan >= OMEN_PLAN_FILTER_IN && plan.plan <= OMEN_PLAN_FILTER_BRIDGE);
        assert_true(plan.budget == UINT64_MAX);
        assert_in_range(plan.beam, EF, 60000);
    }
}

static void test_costs_decide(void **state)
{
    (void)state;
    om_plan plan;
    om_plan_input in = input_of(60000, 6000);
    in.costs = (om_plan_costs){.gathered = 1, .walked = 100};
    om_plan_choose(&in, &plan);
    assert_int_equal(plan.plan, OMEN_PLAN_EXACT);
    in.costs = (om_plan_costs){.gathered = 100, .walked = 1};
    om_plan_choose(&in, &plan);
    assert_int_equal(plan.plan, OMEN_PLAN_FILTER_HOP);
    /* Not known: guessed by the length of a code; the same for a code as long as the measured one. */
    in.costs = (om_plan_costs){0};
    om_plan_choose(&in, &plan);
    assert_int_equal(plan.plan, OMEN_PLAN_FILTER_HOP);
    in.matches = 1000;
    om_plan_choose(&in, &plan);
    assert_int_equal(plan.plan, OMEN_PLAN_EXACT);
    /* A beam that must be wide makes the walk dear. */
    in = input_of(60000, 6000);
    in.k = 1000;
    in.ef = 2000;
    in.distances = 0;
    om_plan_choose(&in, &plan);
    assert_int_equal(plan.plan, OMEN_PLAN_EXACT);
}

/* ---- On a graph ------------------------------------------------------------------------------ */
typedef struct world {
    fixture f;
    om_graph_view *view;
    uint64_t *pass;
    uint32_t matches;
} world;

static void open_world(world *w, uint32_t rows)
{
    omen_error err;
    fixture_options options = {.n = rows,
                               .dim = 16,
                               .metric = OMEN_L2,
                               .threads = 2,
                               .entry = OMEN_ENTRY_SEEDS,
                               .m = 16,
                               .ef_construction = 100,
                               .quantization = OMEN_QUANT_SQ8};
    memset(w, 0, sizeof *w);
    fixture_open(&w->f, &options, random_row);
    fixture_index(&w->f, rows);
    assert_int_equal(om_graph_view_create(w->f.graph, &w->f.arrays, &w->view, &err), OMEN_OK);
    w->pass = om_alloc_zero(&w->f.alloc, rows / 64 + 1, sizeof *w->pass, OM_CACHE_LINE);
    assert_non_null(w->pass);
}

static void close_world(world *w)
{
    om_alloc_put(&w->f.alloc, w->pass, (w->f.n / 64 + 1) * sizeof *w->pass, OM_CACHE_LINE);
    om_graph_view_free(w->view);
    fixture_close(&w->f);
}

/* The first `matches` slots in an order of chance. */
static void pass_so_many(world *w, uint32_t matches)
{
    memset(w->pass, 0, (w->f.n / 64 + 1) * sizeof *w->pass);
    uint64_t state = 11;
    for (w->matches = 0; w->matches < matches;) {
        uint32_t slot = om_rng_below(&state, w->f.n);
        uint64_t bit = UINT64_C(1) << (slot & 63);
        w->matches += (w->pass[slot >> 6] & bit) == 0;
        w->pass[slot >> 6] |= bit;
    }
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Distances of all passing slots, ascending; returns how many. */
static uint32_t read_all(const world *w, const om_probe *probe, uint64_t *out)
{
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < w->f.n; slot++) {
        int32_t distance;
        if (((w->pass[slot >> 6] >> (slot & 63)) & 1) != 0) {
            om_kernels_get()->gather[probe->kind](probe, w->f.codes, w->f.stride, &slot, 1,
                                                  &distance);
            out[n++] = om_key_pack(distance, slot);
        }
    }
    qsort(out, n, sizeof *out, compare_keys);
    return n;
}

/* Recall of what the engine does with this plan: what a walk gives up is read. */
static double recall_with(world *w, const om_plan *plan)
{
    static uint64_t want[ROWS];
    omen_error err;
    uint32_t good = 0, all = 0;
    for (uint32_t q = 0; q < 40; q++) {
        om_probe probe;
        const uint64_t *keys = want;
        uint32_t found;
        om_graph_counters counters = {0};
        om_graph_filter f = {.pass = w->pass,
                             .matches = w->matches,
                             .plan = plan->plan,
                             .k = K,
                             .ef = plan->ef,
                             .beam = plan->beam,
                             .budget = plan->budget};
        om_codec_query(w->f.codec, w->f.rows + (size_t)q * 31 * w->f.dim, w->f.scratch, w->f.probe,
                       &probe);
        uint32_t n = om_min_u32(K, read_all(w, &probe, want));
        assert_int_equal(n, om_min_u32(K, w->matches));
        if (plan->plan != OMEN_PLAN_EXACT) {
            assert_int_equal(om_graph_ctx_reserve(w->f.ctx, w->view, plan->beam, &err), OMEN_OK);
            assert_int_equal(om_graph_search_filtered(w->view, w->f.ctx, &probe, &f, NULL, &keys,
                                                      &found, &counters),
                             OMEN_OK);
            keys = f.abandoned || found < n ? want : keys;
        }
        for (uint32_t i = 0; i < n; i++) {
            good += om_key_distance(keys[i]) <= om_key_distance(want[n - 1]);
        }
        all += n;
    }
    return (double)good / all;
}

static void test_both_sides_of_every_threshold(void **state)
{
    (void)state;
    static world w;
    uint32_t thresholds = 0;
    const uint32_t rows = ROWS;
    open_world(&w, rows);
    om_plan below, above;
    om_plan_input in = {.rows = rows,
                        .k = K,
                        .ef = EF,
                        .distances = 900,
                        .costs = {.gathered = 40, .walked = 10},
                        .stride = 64};
    for (uint32_t m = 1; m < rows; m++) {
        in.matches = m;
        om_plan_choose(&in, &below);
        in.matches = m + 1;
        om_plan_choose(&in, &above);
        if (below.plan == above.plan) {
            continue;
        }
        thresholds++;
        pass_so_many(&w, m);
        double left = recall_with(&w, &below);
        pass_so_many(&w, m + 1);
        double right = recall_with(&w, &above);
        if (left < 0.95 || right < 0.95) {
            fail_msg("%u matches: plan %u recall %.3f, plan %u recall %.3f", m, below.plan, left,
                     above.plan, right);
        }
    }
    assert_in_range(thresholds, 2, 4);
    close_world(&w);
}

static void test_costs_are_measured(void **state)
{
    (void)state;
    static world w;
    omen_error err;
    om_plan_costs costs = {0};
    open_world(&w, OM_PLAN_SAMPLE_ROWS);
    om_plan_sample sample = {.kernels = om_kernels_get(),
                             .codec = w.f.codec,
                             .codes = w.f.codes,
                             .view = w.view,
                             .ctx = w.f.ctx,
                             .probe_data = w.f.probe};
    assert_int_equal(om_plan_measure(&sample, &costs, &err), OMEN_OK);
    assert_true(costs.gathered > 0);
    assert_true(costs.walked > 0);
    /* A distance of a walk costs more than one that is gathered from a row of one line. */
    assert_true(costs.walked > costs.gathered);
    close_world(&w);
}

static void test_costs_of_no_rows(void **state)
{
    (void)state;
    omen_error err;
    fixture f;
    om_graph_view *view = NULL;
    om_plan_costs costs;
    fixture_options options = {.n = 10,
                               .dim = 8,
                               .metric = OMEN_L2,
                               .threads = 1,
                               .entry = OMEN_ENTRY_SEEDS,
                               .m = 16,
                               .ef_construction = 100,
                               .quantization = OMEN_QUANT_SQ8};
    fixture_open(&f, &options, random_row);
    assert_int_equal(om_graph_view_create(f.graph, &f.arrays, &view, &err), OMEN_OK);
    om_plan_sample sample = {.kernels = om_kernels_get(),
                             .codec = f.codec,
                             .codes = f.codes,
                             .view = view,
                             .ctx = f.ctx,
                             .probe_data = f.probe};
    assert_int_equal(om_plan_measure(&sample, &costs, &err), OMEN_FAILED_PRECONDITION);
    om_graph_view_free(view);
    fixture_close(&f);
    for (size_t stride = 64; stride <= 65536; stride *= 2) {
        om_plan_costs guess = om_plan_guess(stride);
        assert_true(guess.gathered > 0 && guess.walked > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_the_ways),
        cmocka_unit_test(test_what_is_given_to_the_walk),
        cmocka_unit_test(test_graph_only),
        cmocka_unit_test(test_costs_decide),
        cmocka_unit_test(test_both_sides_of_every_threshold),
        cmocka_unit_test(test_costs_are_measured),
        cmocka_unit_test(test_costs_of_no_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
