/* os_pool_test.c - the parallel for: every task once, workers apart, many callers, nested calls.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "os.h"

enum { MAX_TASKS = 5000, MAX_WORKERS = 64 };

static om_budget budget;
static const om_alloc heap = {.budget = &budget};

typedef struct counts {
    uint32_t threads;
    _Atomic uint32_t runs[MAX_TASKS];
    _Atomic uint32_t inside[MAX_WORKERS]; /* by worker: 0 or 1 */
    _Atomic uint32_t faults;
    uint64_t plain[MAX_TASKS]; /* written without atomics: the return of run() must publish it */
} counts;

static void count_task(void *ctx, uint32_t worker, uint32_t task)
{
    counts *self = ctx;
    if (worker >= self->threads || atomic_fetch_add(&self->inside[worker], 1) != 0) {
        atomic_fetch_add(&self->faults, 1);
    }
    atomic_fetch_add(&self->runs[task], 1);
    self->plain[task] = task * UINT64_C(3) + 1;
    atomic_fetch_sub(&self->inside[worker], 1);
}

static void run_and_check(om_executor *executor, counts *self, uint32_t tasks)
{
    for (uint32_t i = 0; i < tasks; i++) {
        self->runs[i] = 0;
        self->plain[i] = 0;
    }
    self->threads = executor->threads;
    executor->run(executor, count_task, self, tasks);
    assert_int_equal(self->faults, 0);
    for (uint32_t i = 0; i < tasks; i++) {
        assert_int_equal(self->runs[i], 1);
        assert_int_equal(self->plain[i], i * UINT64_C(3) + 1);
    }
}

static void every_task_runs_once(void **state)
{
    (void)state;
    static const uint32_t threads[] = {1, 2, 3, 8, 64};
    static const uint32_t tasks[] = {0, 1, 2, 7, 64, MAX_TASKS};
    counts *self = calloc(1, sizeof *self);
    assert_non_null(self);
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        om_pool *pool = NULL;
        assert_int_equal(om_pool_create(&heap, threads[i], &pool, NULL), OMEN_OK);
        om_executor *executor = om_pool_executor(pool);
        assert_int_equal(executor->threads, threads[i]);
        for (int round = 0; round < 20; round++) {
            for (size_t j = 0; j < sizeof tasks / sizeof tasks[0]; j++) {
                run_and_check(executor, self, tasks[j]);
            }
        }
        om_pool_free(pool);
        assert_int_equal(budget.used, 0);
    }
    free(self);
}

/* Two tasks that wait for each other end only when two threads run them. */
static void meet(void *ctx, uint32_t worker, uint32_t task)
{
    pthread_barrier_t *barrier = ctx;
    (void)worker;
    (void)task;
    (void)pthread_barrier_wait(barrier);
}

static void tasks_run_side_by_side(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    om_pool *pool = NULL;
    pthread_barrier_t barrier;
    assert_int_equal(om_pool_create(&heap, THREADS, &pool, NULL), OMEN_OK);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    om_executor *executor = om_pool_executor(pool);
    for (int round = 0; round < 50; round++) {
        executor->run(executor, meet, &barrier, THREADS);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    om_pool_free(pool);
}

typedef struct caller {
    om_executor *executor;
    counts *counts;
    uint32_t tasks;
} caller;

static void *call_often(void *arg)
{
    caller *self = arg;
    for (int round = 0; round < 60; round++) {
        run_and_check(self->executor, self->counts, self->tasks);
    }
    return NULL;
}

static void callers_share_the_workers(void **state)
{
    (void)state;
    enum { CALLERS = 6 };
    om_pool *pool = NULL;
    assert_int_equal(om_pool_create(&heap, 3, &pool, NULL), OMEN_OK);
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    for (uint32_t i = 0; i < CALLERS; i++) {
        callers[i].executor = om_pool_executor(pool);
        callers[i].counts = calloc(1, sizeof(counts));
        callers[i].tasks = 1 + i * 50;
        assert_non_null(callers[i].counts);
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (uint32_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        free(callers[i].counts);
    }
    om_pool_free(pool);
    assert_int_equal(budget.used, 0);
}

/* A second caller gets workers although the first one's tasks would keep them busy for ever. */
typedef struct endless {
    om_executor *executor;
    _Atomic uint32_t stop;
    _Atomic uint32_t started;
} endless;

static void spin_a_little(void *ctx, uint32_t worker, uint32_t task)
{
    endless *self = ctx;
    (void)worker;
    (void)task;
    atomic_store(&self->started, 1);
}

static void *run_until_stopped(void *arg)
{
    endless *self = arg;
    while (atomic_load(&self->stop) == 0) {
        self->executor->run(self->executor, spin_a_little, self, 100000);
    }
    return NULL;
}

static void new_callers_get_workers_from_old_ones(void **state)
{
    (void)state;
    enum { THREADS = 3, TOGETHER = 2 };
    om_pool *pool = NULL;
    pthread_t other;
    pthread_barrier_t barrier;
    assert_int_equal(om_pool_create(&heap, THREADS, &pool, NULL), OMEN_OK);
    endless busy = {.executor = om_pool_executor(pool)};
    assert_int_equal(pthread_barrier_init(&barrier, NULL, TOGETHER), 0);
    assert_int_equal(pthread_create(&other, NULL, run_until_stopped, &busy), 0);
    while (atomic_load(&busy.started) == 0) {
        /* Ends when the other caller works; ctest bounds the wait. */
    }
    for (int round = 0; round < 50; round++) {
        busy.executor->run(busy.executor, meet, &barrier, TOGETHER);
    }
    atomic_store(&busy.stop, 1);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    om_pool_free(pool);
}

typedef struct nest {
    om_executor *executor;
    _Atomic uint32_t leaves;
    uint32_t depth;
} nest;

static void descend(void *ctx, uint32_t worker, uint32_t task)
{
    nest *self = ctx;
    (void)worker;
    (void)task;
    if (self->depth == 0) {
        atomic_fetch_add(&self->leaves, 1);
        return;
    }
    nest below = {.executor = self->executor, .depth = self->depth - 1};
    below.executor->run(below.executor, descend, &below, 6);
    atomic_fetch_add(&self->leaves, atomic_load(&below.leaves));
}

static void nested_calls_do_not_deadlock(void **state)
{
    (void)state;
    om_pool *pool = NULL;
    assert_int_equal(om_pool_create(&heap, 4, &pool, NULL), OMEN_OK);
    for (int round = 0; round < 10; round++) {
        nest root = {.executor = om_pool_executor(pool), .depth = 3};
        root.executor->run(root.executor, descend, &root, 6);
        assert_int_equal(root.leaves, 6 * 6 * 6 * 6);
    }
    om_pool_free(pool);
}

static void creation_checks_and_frees(void **state)
{
    (void)state;
    om_pool *pool = NULL;
    omen_error err;
    assert_int_equal(om_pool_create(&heap, 0, &pool, &err), OMEN_INVALID_ARGUMENT);
    assert_int_equal(om_pool_create(&heap, 4097, &pool, &err), OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    om_budget small = {.limit = 900};
    om_alloc alloc = {.budget = &small};
    assert_int_equal(om_pool_create(&alloc, 64, &pool, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(small.used, 0);
    assert_null(pool);
    om_pool_free(NULL);
    assert_int_equal(om_pool_create(&heap, 8, &pool, &err), OMEN_OK);
    om_pool_free(pool); /* never ran: no worker was started */
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(tasks_run_side_by_side),
        cmocka_unit_test(callers_share_the_workers),
        cmocka_unit_test(new_callers_get_workers_from_old_ones),
        cmocka_unit_test(nested_calls_do_not_deadlock),
        cmocka_unit_test(creation_checks_and_frees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
