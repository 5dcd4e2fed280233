/* os_thread_test.c - threads and the fork generation. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os.h"

typedef struct seen {
    char name[16];
    int blocked; /* signals that are, of 1 .. 31 */
} seen;

static void look(void *ctx)
{
    seen *self = ctx;
    sigset_t set;
    (void)pthread_getname_np(pthread_self(), self->name, sizeof self->name);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &set);
    for (int i = 1; i < 32; i++) {
        self->blocked += sigismember(&set, i) == 1;
    }
}

static void threads_are_named_and_deaf(void **state)
{
    (void)state;
    om_budget budget = {0};
    om_alloc alloc = {.budget = &budget};
    om_thread *thread = NULL;
    seen first = {0};
    sigset_t before;
    sigset_t after;
    memset(&before, 0, sizeof before); /* compared as bytes below */
    memset(&after, 0, sizeof after);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(om_thread_create(&alloc, "a-rather-long-name", look, &first, &thread, NULL),
                     OMEN_OK);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    om_thread_join(thread);
    om_thread_join(NULL);
    assert_string_equal(first.name, "a-rather-long-n");
    assert_true(first.blocked >= 29); /* all but KILL and STOP */
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(budget.used, 0);
}

static void no_memory_no_thread(void **state)
{
    (void)state;
    om_budget budget = {.limit = 1};
    om_alloc alloc = {.budget = &budget};
    om_thread *thread = NULL;
    assert_int_equal(om_thread_create(&alloc, "x", look, NULL, &thread, NULL),
                     OMEN_RESOURCE_EXHAUSTED);
    assert_null(thread);
}

static void cpu_count_follows_the_affinity(void **state)
{
    (void)state;
    cpu_set_t before;
    cpu_set_t one;
    assert_true(om_cpu_count() >= 1);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(om_cpu_count() <= (uint32_t)CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    uint32_t count = om_cpu_count();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(count, 1);
}

/* The exit status of a child that forks `depth` more times: how far the generation went up. */
static int generation_in_child(uint32_t start, int depth)
{
    pid_t child = fork();
    if (child < 0) {
        return -1;
    }
    if (child == 0) {
        _exit(depth == 0 ? (int)(om_fork_generation() - start)
                         : generation_in_child(start, depth - 1));
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

static void generation_counts_forks(void **state)
{
    (void)state;
    uint32_t start = om_fork_generation();
    assert_int_equal(om_fork_generation(), start);
    assert_int_equal(generation_in_child(start, 0), 1);
    assert_int_equal(generation_in_child(start, 2), 3);
    assert_int_equal(om_fork_generation(), start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_named_and_deaf),
        cmocka_unit_test(no_memory_no_thread),
        cmocka_unit_test(cpu_count_follows_the_affinity),
        cmocka_unit_test(generation_counts_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
