/* engine_policy_test.c - which segments are merged: the rules one by one, and what a long life under them
 * comes to. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_files.h"
#include "unit.h"

#define MIB (UINT64_C(1) << 20)
static const om_policy_limits no_limits = {.bytes = OM_MERGE_MOST_BYTES, .rows = OMEN_MAX_ROWS};

/* A segment of so many MiB, a thousand rows in each, of which a share is dead. */
static om_policy_segment of_size(uint64_t mib, double dead)
{
    uint64_t rows = mib * 1000;
    return (om_policy_segment){
        .rows = rows, .live = rows - (uint64_t)((double)rows * dead), .bytes = mib * MIB};
}

static om_policy_pick pick(const uint64_t *mib, uint32_t count)
{
    om_policy_segment segments[64];
    for (uint32_t i = 0; i < count; i++) {
        segments[i] = of_size(mib[i], 0);
    }
    return om_policy_choose(segments, count, &no_limits);
}

static void expect(om_policy_pick got, uint32_t first, uint32_t count)
{
    assert_int_equal(got.count, count);
    if (count != 0) {
        assert_int_equal(got.first, first);
    }
}

static void four_of_a_size_are_merged(void **state)
{
    (void)state;
    expect(pick((uint64_t[]){500, 500, 500}, 3), 0, 0);
    expect(pick((uint64_t[]){500, 500, 500, 500}, 4), 0, 4);
    expect(pick((uint64_t[]){2000, 500, 500, 500}, 4), 0, 0);
    expect(pick((uint64_t[]){2000, 500, 500, 500, 500}, 5), 1, 4);
    expect(pick((uint64_t[]){64, 1, 1, 1, 1}, 5), 1, 4);
    expect(pick(NULL, 0), 0, 0);
}

static void small_ones_between_large_ones_do_not_stay(void **state)
{
    (void)state;
    expect(pick((uint64_t[]){500, 1, 500, 1}, 4), 0, 4);
    /* not the three tiny ones with a large one, of which the result would hardly be larger */
    expect(pick((uint64_t[]){1000, 1, 1, 1}, 4), 0, 0);
}

static void the_smallest_run_is_first(void **state)
{
    (void)state;
    expect(pick((uint64_t[]){80, 80, 80, 80, 5, 5, 5, 5}, 8), 4, 4);
    expect(pick((uint64_t[]){5, 5, 5, 5, 80, 80, 80, 80}, 8), 0, 4);
}

static void a_fifth_dead_is_rewritten_alone(void **state)
{
    (void)state;
    om_policy_segment segments[4] = {of_size(100, 0.2), of_size(100, 0.21), of_size(100, 0.5),
                                     of_size(100, 0)};
    expect(om_policy_choose(segments, 4, &no_limits), 2, 1);
    segments[2] = of_size(100, 0);
    expect(om_policy_choose(segments, 4, &no_limits), 1, 1);
    expect(om_policy_choose(segments, 1, &no_limits), 0, 0);
    segments[0].live = 0;
    expect(om_policy_choose(segments, 1, &no_limits), 0, 1);
    assert_false(om_policy_wasteful(0, 0));
    assert_false(om_policy_wasteful(100, 80));
    assert_true(om_policy_wasteful(100, 79));
}

static void limits_hold(void **state)
{
    (void)state;
    om_policy_segment segments[5];
    for (uint32_t i = 0; i < 5; i++) {
        segments[i] = of_size(1000, 0.1);
    }
    om_policy_limits limits = no_limits;
    limits.bytes = 3600 * MIB; /* 900 MiB of each are live */
    expect(om_policy_choose(segments, 5, &limits), 0, 4);
    limits.bytes--;
    expect(om_policy_choose(segments, 5, &limits), 0, 0);
    limits = no_limits;
    limits.rows = 3600000;
    expect(om_policy_choose(segments, 5, &limits), 0, 4);
    limits.rows--;
    expect(om_policy_choose(segments, 5, &limits), 0, 0);
    segments[3] = of_size(1000, 0.5);
    limits.rows = 499999; /* not even the rewrite fits */
    expect(om_policy_choose(segments, 5, &limits), 0, 0);
}

static void all_means_all(void **state)
{
    (void)state;
    om_policy_segment segments[3] = {of_size(20000, 0), of_size(1, 0), of_size(1, 1)};
    expect(om_policy_all(segments, 3), 0, 3);
    expect(om_policy_all(segments, 1), 0, 0);
    segments[0].live--;
    expect(om_policy_all(segments, 1), 0, 1);
    expect(om_policy_all(segments, 0), 0, 0);
}

/* Ten thousand seals: few segments at any time, and no row is written too often. */
static void a_long_life(uint64_t (*size_of)(uint32_t i), uint32_t most_segments, double most_writes)
{
    enum { SEALS = 10000 };
    om_policy_segment segments[256];
    uint32_t count = 0;
    uint64_t sealed = 0, written = 0;
    for (uint32_t i = 0; i < SEALS; i++) {
        segments[count] =
            (om_policy_segment){.rows = size_of(i), .live = size_of(i), .bytes = size_of(i) * 1024};
        sealed += segments[count++].bytes;
        om_policy_pick p;
        while ((p = om_policy_choose(segments, count, &no_limits)).count != 0) {
            om_policy_segment sum = {.rows = 0};
            assert_true(p.first + p.count <= count);
            for (uint32_t j = p.first; j < p.first + p.count; j++) {
                sum.rows += segments[j].rows;
                sum.live += segments[j].live;
                sum.bytes += segments[j].bytes;
            }
            assert_true(sum.bytes <= OM_MERGE_MOST_BYTES);
            written += sum.bytes;
            segments[p.first] = sum;
            memmove(&segments[p.first + 1], &segments[p.first + p.count],
                    (count - p.first - p.count) * sizeof segments[0]);
            count -= p.count - 1;
        }
        /* those at the upper limit stay for ever */
        assert_true(count <= most_segments + sealed / (OM_MERGE_MOST_BYTES / 4));
    }
    assert_true((double)written / (double)sealed <= most_writes);
}

static uint64_t equal(uint32_t i)
{
    (void)i;
    return 262144;
}
static uint64_t mixed(uint32_t i)
{
    return i % 3 == 0 ? 262144 : 1 + i % 1000;
}
static uint64_t tiny(uint32_t i)
{
    return 1 + i % 5;
}

static void segments_stay_few_and_rows_are_not_written_too_often(void **state)
{
    (void)state;
    a_long_life(equal, 16, 7);
    a_long_life(mixed, 24, 8);
    a_long_life(tiny, 16, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_of_a_size_are_merged),
        cmocka_unit_test(small_ones_between_large_ones_do_not_stay),
        cmocka_unit_test(the_smallest_run_is_first),
        cmocka_unit_test(a_fifth_dead_is_rewritten_alone),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(all_means_all),
        cmocka_unit_test(segments_stay_few_and_rows_are_not_written_too_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
