/* service_pool_test.c - worker pools: order, limits, deadlines, waiting jobs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "unit.h"

#include "pool.h"

enum { JOBS = 64 };

typedef struct task {
    om_job job; /* first */
    sem_t *done, *gate;
    _Atomic uint32_t *order;
    uint32_t place;
    bool expired;
    uint64_t ran_ns;
    om_pool *pool;
    uint32_t again;
} task;

static void run(om_job *job, bool expired)
{
    task *t = (task *)(void *)job;
    if (t->gate != NULL) {
        sem_wait(t->gate);
    }
    t->expired = expired;
    t->ran_ns = om_pool_now_ns();
    if (t->order != NULL) {
        t->place = atomic_fetch_add(t->order, 1);
    }
    if (t->again > 0) {
        t->again--;
        om_pool_submit_always(t->pool, job);
        return;
    }
    sem_post(t->done);
}

typedef struct slow_task {
    om_job job; /* first */
    sem_t *done;
    uint64_t ns;
} slow_task;

/* Takes at least so long, on a clock. */
static void run_slow(om_job *job, bool expired)
{
    slow_task *t = (slow_task *)(void *)job;
    uint64_t end = om_pool_now_ns() + t->ns;
    assert_false(expired);
    while (om_pool_now_ns() < end) {
        sched_yield();
    }
    sem_post(t->done);
}

static void test_order_of_one_worker(void **state)
{
    (void)state;
    sem_t done;
    _Atomic uint32_t order = 0;
    task tasks[JOBS] = {0};
    sem_init(&done, 0, 0);
    om_pool *pool = om_pool_start("test", 1, JOBS);
    assert_non_null(pool);
    for (uint32_t i = 0; i < JOBS; i++) {
        tasks[i] = (task){.job.run = run, .done = &done, .order = &order};
        assert_int_equal(om_pool_submit(pool, &tasks[i].job, NULL), OM_POOL_TAKEN);
    }
    for (uint32_t i = 0; i < JOBS; i++) {
        sem_wait(&done);
    }
    for (uint32_t i = 0; i < JOBS; i++) {
        assert_int_equal(tasks[i].place, i);
        assert_false(tasks[i].expired);
    }
    om_pool_free(pool);
    sem_destroy(&done);
}

/* While the only worker is held at a gate, exactly `capacity` jobs may wait. */
static void test_capacity_and_deadline(void **state)
{
    (void)state;
    sem_t done;
    sem_t gate;
    sem_init(&done, 0, 0);
    sem_init(&gate, 0, 0);
    om_pool *pool = om_pool_start("test", 1, 3);
    assert_non_null(pool);
    task held = {.job.run = run, .done = &done, .gate = &gate};
    om_pool_submit_always(pool, &held.job);
    while (om_pool_running(pool) == 0) {
        sched_yield();
    }
    task waiting[5] = {0};
    for (uint32_t i = 0; i < 5; i++) {
        waiting[i] = (task){.job.run = run, .done = &done};
        waiting[i].job.deadline_ns = i == 1 ? 1 : 0; /* long past */
        if (i < 4) {
            assert_int_equal(om_pool_submit(pool, &waiting[i].job, NULL),
                             i < 3 ? OM_POOL_TAKEN : OM_POOL_FULL);
        }
    }
    assert_int_equal(om_pool_queued(pool), 3);
    om_pool_submit_always(pool, &waiting[4].job); /* whatever waits */
    sem_post(&gate);
    for (uint32_t i = 0; i < 5; i++) {
        sem_wait(&done);
    }
    assert_true(waiting[1].expired);
    assert_false(waiting[0].expired || waiting[2].expired || waiting[4].expired);
    assert_int_equal(waiting[3].ran_ns, 0);
    om_pool_free(pool);
    sem_destroy(&done);
    sem_destroy(&gate);
}

/* Once it is known what jobs take, one whose deadline is nearer than those ahead of it is refused at
 * once, and one that can wait, or has no deadline, is taken. */
static void test_refused_at_once_when_it_must_be_late(void **state)
{
    (void)state;
    sem_t done;
    sem_t gate;
    uint64_t wait_ns = 0;
    sem_init(&done, 0, 0);
    sem_init(&gate, 0, 0);
    om_pool *pool = om_pool_start("test", 1, 16);
    assert_non_null(pool);
    slow_task slow = {.job.run = run_slow, .done = &done, .ns = 20000000};
    assert_int_equal(om_pool_submit(pool, &slow.job, NULL), OM_POOL_TAKEN);
    sem_wait(&done);
    /* What it took is booked before the worker takes the next job. */
    task held = {.job.run = run, .done = &done, .gate = &gate};
    om_pool_submit_always(pool, &held.job);
    while (om_pool_running(pool) == 0 || om_pool_queued(pool) != 0) {
        sched_yield();
    }
    task waiting[4] = {0};
    for (uint32_t i = 0; i < 4; i++) {
        waiting[i] = (task){.job.run = run, .done = &done};
    }
    assert_int_equal(om_pool_submit(pool, &waiting[0].job, &wait_ns), OM_POOL_TAKEN);
    assert_int_equal(wait_ns, 0);
    waiting[1].job.deadline_ns = om_pool_now_ns() + 1000000;
    assert_int_equal(om_pool_submit(pool, &waiting[1].job, &wait_ns), OM_POOL_LATE);
    assert_true(wait_ns >= 19000000);
    waiting[2].job.deadline_ns = om_pool_now_ns() + UINT64_C(3600000000000);
    assert_int_equal(om_pool_submit(pool, &waiting[2].job, &wait_ns), OM_POOL_TAKEN);
    assert_int_equal(om_pool_submit(pool, &waiting[3].job, &wait_ns), OM_POOL_TAKEN);
    assert_true(wait_ns >= 2 * 19000000);
    sem_post(&gate);
    for (uint32_t i = 0; i < 4; i++) {
        sem_wait(&done);
    }
    assert_int_equal(waiting[1].ran_ns, 0);
    om_pool_free(pool);
    sem_destroy(&done);
    sem_destroy(&gate);
}

static void test_later(void **state)
{
    (void)state;
    static const uint64_t delays[] = {30000000, 1000000, 20000000, 10000000};
    sem_t done;
    _Atomic uint32_t order = 0;
    task tasks[4] = {0};
    uint64_t start = om_pool_now_ns();
    sem_init(&done, 0, 0);
    om_pool *pool = om_pool_start("test", 1, 4);
    assert_non_null(pool);
    for (uint32_t i = 0; i < 4; i++) {
        tasks[i] = (task){.job.run = run, .done = &done, .order = &order};
        om_pool_submit_later(pool, &tasks[i].job, delays[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        sem_wait(&done);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(tasks[i].ran_ns >= start + delays[i]);
    }
    assert_true(tasks[1].place < tasks[0].place);
    om_pool_free(pool);
    sem_destroy(&done);
}

static void test_free_runs_what_waits(void **state)
{
    (void)state;
    sem_t done;
    task tasks[8] = {0};
    sem_init(&done, 0, 0);
    om_pool *pool = om_pool_start("test", 2, 8);
    assert_non_null(pool);
    for (uint32_t i = 0; i < 8; i++) {
        tasks[i] = (task){.job.run = run, .done = &done};
        om_pool_submit_later(pool, &tasks[i].job, 3600u * 1000000000ull);
    }
    om_pool_free(pool);
    int value = 0;
    sem_getvalue(&done, &value);
    assert_int_equal(value, 8);
    sem_destroy(&done);
    om_pool_free(NULL);
    assert_null(om_pool_start("test", 0, 1));
}

static void test_jobs_that_queue_themselves(void **state)
{
    (void)state;
    sem_t done;
    task tasks[4] = {0};
    sem_init(&done, 0, 0);
    om_pool *pool = om_pool_start("test", 4, 8);
    assert_non_null(pool);
    for (uint32_t i = 0; i < 4; i++) {
        tasks[i] = (task){.job.run = run, .done = &done, .pool = pool, .again = 500};
        om_pool_submit_always(pool, &tasks[i].job);
    }
    for (uint32_t i = 0; i < 4; i++) {
        sem_wait(&done);
    }
    om_pool_free(pool);
    sem_destroy(&done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_one_worker),
        cmocka_unit_test(test_capacity_and_deadline),
        cmocka_unit_test(test_refused_at_once_when_it_must_be_late),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_free_runs_what_waits),
        cmocka_unit_test(test_jobs_that_queue_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
