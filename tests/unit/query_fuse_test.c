/* query_fuse_test.c - fused lists against a plain oracle that adds up every key by looking through all lists.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuse.h"
#include "rng.h"

enum { LISTS_MAX = 16, ITEMS_MAX = 400 };

typedef struct sample {
    om_ranked items[LISTS_MAX][ITEMS_MAX];
    om_ranked_list lists[LISTS_MAX];
    uint32_t count;
} sample;

static om_budget budget;
static om_alloc alloc = {.budget = &budget};

/* ---- The oracle ------------------------------------------------------------------------------ */
static double oracle_score(const sample *s, const om_fuse_options *o, uint64_t key)
{
    double sum = 0;
    for (uint32_t l = 0; l < s->count; l++) {
        const om_ranked_list *list = &s->lists[l];
        for (uint32_t r = 0; r < list->count; r++) {
            if (list->items[r].key != key) {
                continue;
            }
            double best = (double)list->items[0].value;
            double last = (double)list->items[list->count - 1].value;
            double part = best == last ? 1 : ((double)list->items[r].value - last) / (best - last);
            sum += (double)list->weight * (o->fusion == OMEN_FUSE_WEIGHTED
                                               ? part
                                               : 1.0 / ((double)o->rank_constant + 1.0 + r));
        }
    }
    return sum;
}

static bool in_lists(const sample *s, uint64_t key)
{
    for (uint32_t l = 0; l < s->count; l++) {
        for (uint32_t r = 0; r < s->lists[l].count; r++) {
            if (s->lists[l].items[r].key == key) {
                return true;
            }
        }
    }
    return false;
}

static void check(const sample *s, const om_fuse_options *o, uint64_t keys)
{
    omen_error err;
    uint32_t total = 0, found = 0, want = 0;
    for (uint32_t l = 0; l < s->count; l++) {
        total += s->lists[l].count;
    }
    om_ranked *out = calloc(total + 1u, sizeof *out);
    assert_non_null(out);
    assert_int_equal(om_fuse(&alloc, s->lists, s->count, o, out, &found, &err), OMEN_OK);
    for (uint64_t key = 0; key < keys; key++) {
        want += in_lists(s, key);
    }
    assert_int_equal(found, want);
    for (uint32_t i = 0; i < found; i++) {
        assert_true(in_lists(s, out[i].key));
        double score = oracle_score(s, o, out[i].key);
        assert_true(fabs((double)out[i].value - score) <= 1e-6 * (1 + fabs(score)));
        if (i != 0) {
            /* Strict order: no key twice, ties by key. */
            assert_true(out[i - 1].value > out[i].value ||
                        (out[i - 1].value == out[i].value && out[i - 1].key < out[i].key));
        }
    }
    free(out);
    assert_int_equal(budget.used, 0);
}

/* ---- Lists ----------------------------------------------------------------------------------- */
static void fill(sample *s, uint64_t *state, uint32_t count, uint32_t keys)
{
    s->count = count;
    for (uint32_t l = 0; l < count; l++) {
        bool used[ITEMS_MAX * 2] = {false};
        uint32_t n = om_rng_below(state, om_min_u32(keys, ITEMS_MAX) + 1);
        bool distances = om_rng_below(state, 2) != 0;
        float value = (float)om_rng_below(state, 100) - 50.0f;
        for (uint32_t r = 0; r < n; r++) {
            uint64_t key;
            do {
                key = om_rng_below(state, keys);
            } while (used[key]);
            used[key] = true;
            s->items[l][r] = (om_ranked){key, value, l, r};
            /* Equal values one after the other are common. */
            float step = (float)om_rng_below(state, 3);
            value += distances ? step : -step;
        }
        s->lists[l] =
            (om_ranked_list){s->items[l], n, (float)om_rng_below(state, 5) / 2.0f, distances};
    }
}

static void test_against_the_oracle(void **unused)
{
    (void)unused;
    static sample s;
    uint64_t state = 7;
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t keys = 1 + om_rng_below(&state, ITEMS_MAX);
        fill(&s, &state, om_rng_below(&state, LISTS_MAX + 1), keys);
        om_fuse_options rrf = {OMEN_FUSE_RRF, (float)om_rng_below(&state, 100)};
        om_fuse_options weighted = {OMEN_FUSE_WEIGHTED, 0};
        check(&s, &rrf, keys);
        check(&s, &weighted, keys);
    }
}

static void test_the_paper_s_example(void **unused)
{
    (void)unused;
    omen_error err;
    om_ranked a[] = {{10, 0.1f, 1, 11}, {20, 0.2f, 1, 12}, {30, 0.9f, 1, 13}};
    om_ranked b[] = {{30, 9.0f, 2, 21}, {10, 8.0f, 2, 22}};
    om_ranked_list lists[] = {{a, 3, 1.0f, true}, {b, 2, 1.0f, false}};
    om_fuse_options o = {OMEN_FUSE_RRF, 60};
    om_ranked out[5];
    uint32_t found = 0;
    assert_int_equal(om_fuse(&alloc, lists, 2, &o, out, &found, &err), OMEN_OK);
    assert_int_equal(found, 3);
    assert_int_equal(out[0].key, 10);
    assert_float_equal(out[0].value, (float)(1.0 / 61 + 1.0 / 62), 1e-7f);
    assert_int_equal(out[0].origin, 1); /* where the first list has it */
    assert_int_equal(out[0].slot, 11);
    assert_int_equal(out[1].key, 30);
    assert_float_equal(out[1].value, (float)(1.0 / 63 + 1.0 / 61), 1e-7f);
    assert_int_equal(out[2].key, 20);
    o.fusion = OMEN_FUSE_WEIGHTED;
    lists[0].weight = 2.0f;
    assert_int_equal(om_fuse(&alloc, lists, 2, &o, out, &found, &err), OMEN_OK);
    assert_int_equal(out[0].key, 10); /* best of a, last of b */
    assert_float_equal(out[0].value, 2.0f, 1e-6f);
    assert_int_equal(out[1].key, 20);
    assert_float_equal(out[1].value, (float)(2.0 * 0.7 / 0.8), 1e-5f);
    assert_int_equal(out[2].key, 30); /* last of a, best of b */
    assert_float_equal(out[2].value, 1.0f, 1e-6f);
}

static void test_edges(void **unused)
{
    (void)unused;
    omen_error err;
    om_ranked one[] = {{UINT64_MAX, 5.0f, 0, 0}};
    om_ranked far[] = {{1, -3e38f, 0, 0}, {2, 3e38f, 0, 0}};
    om_ranked_list lists[] = {{NULL, 0, 1.0f, true}, {one, 1, 0.5f, true}, {far, 2, 3e38f, true}};
    om_fuse_options o = {OMEN_FUSE_WEIGHTED, 60};
    om_ranked out[3];
    uint32_t found = 9;
    assert_int_equal(om_fuse(&alloc, lists, 0, &o, out, &found, &err), OMEN_OK);
    assert_int_equal(found, 0);
    assert_int_equal(om_fuse(&alloc, lists, 1, &o, out, &found, &err), OMEN_OK);
    assert_int_equal(found, 0);
    /* A list of one item: it is the best, not the last. */
    assert_int_equal(om_fuse(&alloc, lists, 2, &o, out, &found, &err), OMEN_OK);
    assert_int_equal(found, 1);
    assert_float_equal(out[0].value, 0.5f, 0.0f);
    /* The ends of the range of floats stay finite. */
    assert_int_equal(om_fuse(&alloc, lists, 3, &o, out, &found, &err), OMEN_OK);
    assert_int_equal(found, 3);
    for (uint32_t i = 0; i < found; i++) {
        assert_true(isfinite(out[i].value));
    }
    assert_int_equal(out[0].key, 1);
}

static void test_no_memory(void **unused)
{
    (void)unused;
    omen_error err;
    om_budget none = {.limit = 64};
    om_alloc poor = {.budget = &none};
    om_ranked items[] = {{1, 2, 0, 0}, {2, 1, 0, 0}};
    om_ranked_list list = {items, 2, 1.0f, false};
    om_fuse_options o = {OMEN_FUSE_RRF, 60};
    om_ranked out[2];
    uint32_t found = 0;
    assert_int_equal(om_fuse(&poor, &list, 1, &o, out, &found, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(none.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_oracle),
        cmocka_unit_test(test_the_paper_s_example),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
