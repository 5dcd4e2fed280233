/* base_lock_test.c - mutual exclusion, conditions, and the check of the locking order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lock.h"
#include "op.h"

enum { THREADS = 4, ROUNDS = 5000 };

typedef struct shared {
    om_mutex mutex;
    om_rwlock rwlock;
    om_cond cond;
    uint64_t count;
    uint64_t twin;
    bool ready;
} shared;

static void *add_under_mutex(void *arg)
{
    shared *data = arg;
    for (int i = 0; i < ROUNDS; i++) {
        om_mutex_lock(&data->mutex);
        data->count++;
        om_mutex_unlock(&data->mutex);
    }
    return NULL;
}

static void *read_and_write(void *arg)
{
    shared *data = arg;
    void *torn = NULL;
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 8 == 0) {
            om_rwlock_write(&data->rwlock);
            data->count++;
            data->twin++;
        } else {
            om_rwlock_read(&data->rwlock);
            if (data->count != data->twin) {
                torn = data;
            }
        }
        om_rwlock_unlock(&data->rwlock);
    }
    return torn;
}

static void run_threads(void *(*fn)(void *), shared *data)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fn, data), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = data;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
}

static void mutex_excludes(void **state)
{
    (void)state;
    shared data = {0};
    assert_int_equal(om_mutex_init(&data.mutex, 10, NULL), OMEN_OK);
    run_threads(add_under_mutex, &data);
    assert_int_equal(data.count, THREADS * ROUNDS);
    om_mutex_destroy(&data.mutex);
}

static void rwlock_excludes(void **state)
{
    (void)state;
    shared data = {0};
    assert_int_equal(om_rwlock_init(&data.rwlock, 10, NULL), OMEN_OK);
    run_threads(read_and_write, &data);
    assert_int_equal(data.count, THREADS * ROUNDS / 8);
    om_rwlock_destroy(&data.rwlock);
}

static void *set_ready(void *arg)
{
    shared *data = arg;
    om_mutex_lock(&data->mutex);
    data->ready = true;
    om_cond_broadcast(&data->cond);
    om_mutex_unlock(&data->mutex);
    return NULL;
}

static void condition_wakes_and_times_out(void **state) OM_NO_LOCK_ANALYSIS
{
    (void)state;
    shared data = {0};
    assert_int_equal(om_mutex_init(&data.mutex, 10, NULL), OMEN_OK);
    assert_int_equal(om_cond_init(&data.cond, NULL), OMEN_OK);
    om_mutex_lock(&data.mutex);
    uint64_t deadline = om_now_ns() + 2000000;
    while (om_cond_wait(&data.cond, &data.mutex, deadline)) {
        /* It may wake early, but not for ever. */
    }
    assert_true(om_now_ns() >= deadline);
    assert_false(om_cond_wait(&data.cond, &data.mutex, 1)); /* long past */

    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, set_ready, &data), 0);
    while (!data.ready) {
        assert_true(om_cond_wait(&data.cond, &data.mutex, 0));
    }
    om_mutex_unlock(&data.mutex);
    assert_int_equal(pthread_join(thread, NULL), 0);
    om_cond_destroy(&data.cond);
    om_mutex_destroy(&data.mutex);
}

static void rising_ranks_pass(void **state) OM_NO_LOCK_ANALYSIS
{
    (void)state;
    om_mutex low;
    om_mutex high;
    om_rwlock middle;
    assert_int_equal(om_mutex_init(&low, 1, NULL), OMEN_OK);
    assert_int_equal(om_rwlock_init(&middle, 5, NULL), OMEN_OK);
    assert_int_equal(om_mutex_init(&high, 9, NULL), OMEN_OK);
    for (int i = 0; i < 3; i++) {
        om_mutex_lock(&low);
        om_rwlock_read(&middle);
        om_mutex_lock(&high);
        om_mutex_unlock(&low); /* giving back in any order is allowed */
        om_mutex_unlock(&high);
        om_rwlock_unlock(&middle);
    }
    om_mutex_destroy(&high);
    om_rwlock_destroy(&middle);
    om_mutex_destroy(&low);
}

#if OMEN_ASSERT >= 1
/* The signal that ends a child which takes a lock of rank `first`, then one of rank `second`. */
static int signal_of_order(uint32_t first, uint32_t second) OM_NO_LOCK_ANALYSIS
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka's handler would go on in the child */
        int null = open("/dev/null", O_WRONLY);
        (void)dup2(null, STDERR_FILENO);
        om_mutex a;
        om_mutex b;
        if (om_mutex_init(&a, first, NULL) == OMEN_OK &&
            om_mutex_init(&b, second, NULL) == OMEN_OK) {
            om_mutex_lock(&a);
            om_mutex_lock(&b);
        }
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void falling_ranks_are_caught(void **state)
{
    (void)state;
    assert_int_equal(signal_of_order(10, 11), 0);
    assert_int_equal(signal_of_order(11, 10), SIGABRT);
    assert_int_equal(signal_of_order(10, 10), SIGABRT);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutex_excludes),
        cmocka_unit_test(rwlock_excludes),
        cmocka_unit_test(condition_wakes_and_times_out),
        cmocka_unit_test(rising_ranks_pass),
#if OMEN_ASSERT >= 1
        cmocka_unit_test(falling_ranks_are_caught),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
