/* service_lanes_test.c - the fair queue of the pools, without threads and clock.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "lanes.h"

enum { MANY = 4096 };

typedef struct fixture {
    om_lanes lanes;
    om_job jobs[MANY];
    uint32_t used;
} fixture;

static fixture *make(void)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    om_lanes_init(&f->lanes);
    return f;
}

static om_job *push(fixture *f, uint32_t lane, uint32_t weight)
{
    assert_true(f->used < MANY);
    om_job *job = &f->jobs[f->used++];
    *job = (om_job){.lane = lane, .weight = weight};
    om_lanes_push(&f->lanes, job);
    return job;
}

/* Serves `rounds` jobs, each of which takes cost[lane], and is followed by another of its lane.
 * Returns the time that each lane had. */
static void serve(fixture *f, uint32_t rounds, const uint64_t *cost, uint64_t *had)
{
    for (uint32_t i = 0; i < rounds; i++) {
        om_lane_bill bill;
        om_job *job = om_lanes_pop(&f->lanes, &bill);
        assert_non_null(job);
        had[job->lane] += cost[job->lane];
        om_lanes_settle(&f->lanes, &bill, cost[job->lane]);
        om_lanes_push(&f->lanes, job);
    }
}

static void assert_ratio(uint64_t a, uint64_t b, double ratio, double tolerance)
{
    double is = (double)a / (double)b;
    if (is < ratio * (1 - tolerance) || is > ratio * (1 + tolerance)) {
        fail_msg("%g instead of %g", is, ratio);
    }
}

static void test_one_lane_is_a_plain_queue(void **state)
{
    (void)state;
    fixture *f = make();
    om_lane_bill bill;
    for (uint32_t i = 0; i < 100; i++) {
        (void)push(f, 7, 0);
    }
    for (uint32_t i = 0; i < 100; i++) {
        assert_ptr_equal(om_lanes_pop(&f->lanes, &bill), &f->jobs[i]);
        om_lanes_settle(&f->lanes, &bill, 1000 * (i % 5));
    }
    assert_null(om_lanes_pop(&f->lanes, &bill));
    assert_int_equal(f->lanes.queued, 0);
    free(f);
}

/* A lane with a thousand jobs and one with a single job at a time get the same time. */
static void test_much_work_gets_no_more(void **state)
{
    (void)state;
    fixture *f = make();
    uint64_t cost[2] = {50000, 50000};
    uint64_t had[2] = {0, 0};
    for (uint32_t i = 0; i < 1000; i++) {
        (void)push(f, 0, 1);
    }
    (void)push(f, 1, 1);
    serve(f, 4000, cost, had);
    assert_ratio(had[0], had[1], 1, 0.02);
    free(f);
}

static void test_time_is_divided_and_not_jobs(void **state)
{
    (void)state;
    fixture *f = make();
    uint64_t cost[3] = {10000, 1000000, 200000};
    uint64_t had[3] = {0, 0, 0};
    for (uint32_t i = 0; i < 30; i++) {
        (void)push(f, i % 3, 1);
    }
    serve(f, 20000, cost, had);
    assert_ratio(had[0], had[1], 1, 0.1);
    assert_ratio(had[2], had[1], 1, 0.1);
    free(f);
}

static void test_weights(void **state)
{
    (void)state;
    fixture *f = make();
    uint64_t cost[3] = {40000, 40000, 40000};
    uint64_t had[3] = {0, 0, 0};
    for (uint32_t i = 0; i < 30; i++) {
        (void)push(f, i % 3, i % 3 == 0 ? 1 : i % 3 == 1 ? 3 : 6);
    }
    serve(f, 20000, cost, had);
    assert_ratio(had[1], had[0], 3, 0.05);
    assert_ratio(had[2], had[0], 6, 0.05);
    free(f);
}

/* Who had nothing to do is served at once, but cannot make up for the time it did not use. */
static void test_rest_is_not_saved(void **state)
{
    (void)state;
    fixture *f = make();
    uint64_t cost[2] = {50000, 50000};
    uint64_t had[2] = {0, 0};
    om_lane_bill bill;
    for (uint32_t i = 0; i < 10; i++) {
        (void)push(f, 0, 1);
    }
    serve(f, 10000, cost, had);
    for (uint32_t i = 0; i < 10; i++) {
        (void)push(f, 1, 1);
    }
    uint32_t before = 0;
    for (;; before++) {
        om_job *job = om_lanes_pop(&f->lanes, &bill);
        om_lanes_settle(&f->lanes, &bill, 50000);
        om_lanes_push(&f->lanes, job);
        if (job->lane == 1) {
            break;
        }
    }
    assert_true(before <= 2);
    had[0] = had[1] = 0;
    serve(f, 1000, cost, had);
    assert_ratio(had[0], had[1], 1, 0.05);
    free(f);
}

/* Several workers that take jobs before any of them has ended do not all serve the same lane. */
static void test_charged_in_advance(void **state)
{
    (void)state;
    fixture *f = make();
    om_lane_bill bill[16];
    uint32_t seen[4] = {0};
    for (uint32_t i = 0; i < 64; i++) {
        (void)push(f, i % 4, 1);
    }
    for (uint32_t i = 0; i < 16; i++) {
        seen[om_lanes_pop(&f->lanes, &bill[i])->lane]++;
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(seen[i], 4);
    }
    free(f);
}

/* What did not run (its deadline was over) costs its lane nothing. */
static void test_expired_jobs_are_free(void **state)
{
    (void)state;
    fixture *f = make();
    om_lane_bill bill;
    for (uint32_t i = 0; i < 20; i++) {
        (void)push(f, 0, 1);
    }
    uint64_t before = f->lanes.lane[0].pass_ns;
    for (uint32_t i = 0; i < 10; i++) {
        (void)om_lanes_pop(&f->lanes, &bill);
        om_lanes_settle(&f->lanes, &bill, 0);
    }
    assert_int_equal(f->lanes.lane[0].pass_ns, before);
    assert_int_equal(f->lanes.lane[0].mean_ns, 0);
    free(f);
}

/* A full queue still has room for whoever has less than a share of it, up to twice its size and one
 * job each. */
static void test_room(void **state)
{
    (void)state;
    fixture *f = make();
    enum { CAPACITY = 100 };
    om_job probe = {.lane = 0, .weight = 1};
    while (om_lanes_room(&f->lanes, &probe, CAPACITY)) {
        (void)push(f, 0, 1);
    }
    assert_int_equal(f->lanes.queued, CAPACITY);
    probe.lane = 1;
    while (om_lanes_room(&f->lanes, &probe, CAPACITY)) {
        (void)push(f, 1, 1);
    }
    assert_int_equal(f->lanes.lane[1].queued, CAPACITY / 2);
    uint32_t lane = 2;
    for (; lane < 200; lane++) {
        probe.lane = lane;
        while (om_lanes_room(&f->lanes, &probe, CAPACITY)) {
            (void)push(f, lane, 1);
        }
    }
    assert_in_range(f->lanes.queued, 2 * CAPACITY, 2 * CAPACITY + 200);
    assert_int_equal(f->lanes.lane[199].queued,
                     1); /* the last one has its first job in all the same */
    free(f);
}

static void test_wait(void **state)
{
    (void)state;
    fixture *f = make();
    om_lane_bill bill;
    om_job probe = {.lane = 0, .weight = 1};
    assert_int_equal(om_lanes_wait_ns(&f->lanes, &probe, 2), 0);
    for (uint32_t lane = 0; lane < 2; lane++) {
        (void)push(f, lane, 1);
        (void)om_lanes_pop(&f->lanes, &bill);
        om_lanes_settle(&f->lanes, &bill, 1000000); /* jobs of both take a millisecond */
    }
    for (uint32_t i = 0; i < 10; i++) {
        (void)push(f, 0, 1);
    }
    assert_int_equal(om_lanes_wait_ns(&f->lanes, &probe, 1), 10000000);
    assert_int_equal(om_lanes_wait_ns(&f->lanes, &probe, 4), 2500000);
    probe.lane = 1;
    assert_int_equal(om_lanes_wait_ns(&f->lanes, &probe, 1), 0);
    (void)push(f, 1, 1);
    assert_int_equal(om_lanes_wait_ns(&f->lanes, &probe, 1), 2000000); /* one of each lane */
    for (uint32_t i = 0; i < 99; i++) {
        (void)push(f, 1, 1);
    }
    assert_int_equal(om_lanes_wait_ns(&f->lanes, &probe, 1), 110000000); /* all there is */
    free(f);
}

/* Any mixture comes out complete, each lane in order. */
static void test_nothing_is_lost(void **state)
{
    (void)state;
    fixture *f = make();
    uint32_t random = 12345;
    uint32_t out = 0;
    const om_job *last[16] = {NULL};
    while (out < MANY) {
        random = random * 1664525u + 1013904223u;
        if (f->used < MANY && (random >> 28) < 9) {
            (void)push(f, (random >> 8) % 16, (random >> 16) % 5);
            continue;
        }
        om_lane_bill bill;
        om_job *job = om_lanes_pop(&f->lanes, &bill);
        if (job == NULL) {
            assert_int_equal(f->lanes.queued, 0);
            continue;
        }
        assert_true(last[job->lane] < job);
        last[job->lane] = job;
        om_lanes_settle(&f->lanes, &bill, random % 100000);
        out++;
    }
    assert_int_equal(f->lanes.queued, 0);
    assert_int_equal(f->lanes.active_count, 0);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_lane_is_a_plain_queue),
        cmocka_unit_test(test_much_work_gets_no_more),
        cmocka_unit_test(test_time_is_divided_and_not_jobs),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_rest_is_not_saved),
        cmocka_unit_test(test_charged_in_advance),
        cmocka_unit_test(test_expired_jobs_are_free),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
