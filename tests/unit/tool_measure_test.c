/* tool_measure_test.c - recall with ties, the histogram of latencies, readable numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static int compare_u64(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Against a sorted array, over the whole range of values. */
static void quantiles(void **state)
{
    (void)state;
    enum { N = 20000 };
    om_latency *l = calloc(1, sizeof *l), *half = calloc(1, sizeof *half);
    uint64_t *values = calloc(N, sizeof *values);
    assert_true(l != NULL && half != NULL && values != NULL);
    assert_int_equal(om_latency_quantile(l, 0.5), 0);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < N; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        values[i] = x >> (x % 60); /* from a few ns to centuries */
        om_latency_add(i % 2 ? l : half, values[i]);
    }
    om_latency_add(l, 0);
    om_latency_add(l, UINT64_MAX);
    om_latency_merge(l, half);
    assert_int_equal(l->count, N + 2);
    qsort(values, N, sizeof *values, compare_u64);
    const double shares[] = {0.01, 0.25, 0.5, 0.9, 0.99, 0.999};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double got = (double)om_latency_quantile(l, shares[i]);
        double low = (double)values[(size_t)(shares[i] * N) - 2];
        double high = (double)values[(size_t)(shares[i] * N) + 2];
        assert_true(got >= low && got <= high * 1.01 + 1);
    }
    assert_true(om_latency_quantile(l, 1) == UINT64_MAX);
    free(l);
    free(half);
    free(values);
}

static void add_hit(om_search_result *r, uint64_t id, float distance)
{
    om_tool_error err;
    assert_true(om_search_result_reserve(r, 1, &err));
    r->distances[r->ids.count] = distance;
    assert_true(om_ids_add_u64(&r->ids, id, &err));
}

static void recall_counts_ties(void **state)
{
    (void)state;
    int32_t ids[2][3] = {{1, 2, 3}, {4, 5, -1}};
    int32_t distances[2][3] = {{10, 20, 20}, {7, 8, -1}};
    om_truth truth = {.ids = {ids, 2, 3, OM_IMPORT_I32}};
    om_search_result r = {.ids = {.type = OMEN_ID_U64}};
    om_tool_error err;
    double recall;
    assert_true(om_search_result_begin(&r, 2, false, &err));
    add_hit(&r, 1, 10);
    add_hit(&r, 9, 20); /* as near as the third true one */
    add_hit(&r, 8, 21);
    r.starts[1] = 3;
    add_hit(&r, 5, 8);
    r.starts[2] = 4;
    /* Ids alone: 1 of 3, and 1 of the 2 that the padded row has. */
    assert_true(om_truth_recall(&truth, &r, 2, 3, &recall, &err));
    assert_float_equal(recall, (1.0 / 3 + 1.0 / 2) / 2, 1e-12);
    truth.distances = (om_matrix){distances, 2, 3, OM_IMPORT_I32};
    assert_true(om_truth_recall(&truth, &r, 2, 3, &recall, &err));
    assert_float_equal(recall, (2.0 / 3 + 1.0 / 2) / 2, 1e-12);
    assert_false(om_truth_recall(&truth, &r, 3, 3, &recall, &err)); /* no such row */
    assert_false(om_truth_recall(&truth, &r, 2, 4, &recall, &err)); /* k too large */
    r.ids.type = OMEN_ID_STRING;
    assert_false(om_truth_recall(&truth, &r, 2, 3, &recall, &err));
    assert_int_equal(err.code, OM_EXIT_USAGE);
    r.ids.type = OMEN_ID_U64;
    om_search_result_free(&r);
}

static void recall_of_similarities(void **state)
{
    (void)state;
    int32_t ids[1][2] = {{1, 2}};
    float similar[1][2] = {{0.9f, 0.5f}};
    om_truth truth = {
        .ids = {ids, 1, 2, OM_IMPORT_I32}, .distances = {similar, 1, 2, OMEN_F32}, .cosine = true};
    om_search_result r = {.ids = {.type = OMEN_ID_U64}};
    om_tool_error err;
    double recall;
    assert_true(om_search_result_begin(&r, 1, false, &err));
    add_hit(&r, 7, 0.5f); /* similarity 0.5: ties with the second */
    add_hit(&r, 6, 0.6f);
    r.starts[1] = 2;
    assert_true(om_truth_recall(&truth, &r, 1, 2, &recall, &err));
    assert_float_equal(recall, 0.5, 1e-12);
    assert_float_equal(om_exact_recall(&r, &r, 1), 1, 0);
    om_search_result_free(&r);
}

static void numbers_for_people(void **state)
{
    (void)state;
    char b[32];
    assert_string_equal(om_out_count(b, 0), "0");
    assert_string_equal(om_out_count(b, 999), "999");
    assert_string_equal(om_out_count(b, 1000), "1,000");
    assert_string_equal(om_out_count(b, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(om_out_bytes(b, 1023), "1023 B");
    assert_string_equal(om_out_bytes(b, 1536), "1.50 KiB");
    assert_string_equal(om_out_rate(b, 12345), "12.3k");
    assert_string_equal(om_out_rate(b, 1234567), "1.23M");
    assert_string_equal(om_out_rate(b, 950), "950");
    assert_string_equal(om_out_seconds(b, 75), "1:15");
    assert_string_equal(om_out_seconds(b, 3725), "1:02:05");
    assert_string_equal(om_out_seconds(b, -1), "--:--");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles),
        cmocka_unit_test(recall_counts_ties),
        cmocka_unit_test(recall_of_similarities),
        cmocka_unit_test(numbers_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
