/* base_op_test.c - cancellation, deadlines, progress. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <pthread.h>

#include "op.h"

static void nothing_stops_by_default(void **state)
{
    (void)state;
    om_stop stop = {0};
    assert_int_equal(om_stop_check(&stop), OMEN_OK);
}

static void cancel_comes_before_the_deadline(void **state)
{
    (void)state;
    omen_op op = {0};
    om_stop stop = {.op = &op};
    assert_int_equal(om_stop_check(&stop), OMEN_OK);
    stop.deadline_ns = om_now_ns() + UINT64_C(3600000000000);
    assert_int_equal(om_stop_check(&stop), OMEN_OK);
    stop.deadline_ns = om_now_ns();
    assert_int_equal(om_stop_check(&stop), OMEN_DEADLINE_EXCEEDED);
    atomic_store(&op.cancelled, 1);
    assert_int_equal(om_stop_check(&stop), OMEN_CANCELLED);
}

static void progress_is_what_was_reported(void **state)
{
    (void)state;
    omen_op op = {0};
    om_op_report(&op, 2, 30, 100);
    assert_int_equal(op.stage, 2);
    assert_int_equal(op.done, 30);
    assert_int_equal(op.total, 100);
    om_op_report(NULL, 1, 1, 1);
}

static void *cancel_it(void *arg)
{
    omen_op *op = arg;
    atomic_store(&op->cancelled, 1);
    return NULL;
}

static void another_thread_can_cancel(void **state)
{
    (void)state;
    omen_op op = {0};
    om_stop stop = {.op = &op};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_it, &op), 0);
    while (om_stop_check(&stop) == OMEN_OK) {
        /* Ends as soon as the other thread ran; ctest bounds the wait. */
    }
    assert_int_equal(om_stop_check(&stop), OMEN_CANCELLED);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void time_does_not_go_back(void **state)
{
    (void)state;
    uint64_t last = om_now_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = om_now_ns();
        assert_true(now >= last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_stops_by_default),
        cmocka_unit_test(cancel_comes_before_the_deadline),
        cmocka_unit_test(progress_is_what_was_reported),
        cmocka_unit_test(another_thread_can_cancel),
        cmocka_unit_test(time_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
