/* os_thread.c - threads of the library, and how many of them are useful here.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os.h"

enum { MAX_NAME = 16 };

struct om_thread {
    const om_alloc *alloc;
    void (*fn)(void *ctx);
    void *ctx;
    pthread_t thread;
    char name[MAX_NAME];
};

/* The share of processor time that a container is allowed ("max 100000" or "150000 100000"), in whole
 * processors, rounded up; 0: no limit is known. */
static uint32_t cgroup_cpus(void)
{
    char text[64];
    int fd = open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t length = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (length <= 0) {
        return 0;
    }
    text[length] = '\0';
    char *rest;
    unsigned long long quota = strtoull(text, &rest, 10);
    if (rest == text) {
        return 0;
    }
    unsigned long long period = strtoull(rest, NULL, 10);
    if (quota == 0 || period == 0) {
        return 0;
    }
    unsigned long long cpus = quota / period + (quota % period != 0);
    return cpus < UINT32_MAX ? (uint32_t)cpus : UINT32_MAX;
}

uint32_t om_cpu_count(void)
{
    cpu_set_t set;
    long count = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = CPU_COUNT(&set);
    } else {
        count = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than a cpu_set_t can name */
    }
    uint32_t cpus = count > 0 ? (uint32_t)count : 1;
    uint32_t quota = cgroup_cpus();
    return quota != 0 ? om_min_u32(cpus, quota) : cpus;
}

static void *thread_main(void *arg)
{
    om_thread *thread = arg;
    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->fn(thread->ctx);
    return NULL;
}

omen_status_t om_thread_create(const om_alloc *alloc, const char *name, void (*fn)(void *ctx),
                               void *ctx, om_thread **out, omen_error *err)
{
    om_thread *thread = om_alloc_zero(alloc, 1, sizeof *thread, alignof(om_thread));
    if (thread == NULL) {
        return om_fail_memory(err, "a thread", sizeof *thread);
    }
    thread->alloc = alloc;
    thread->fn = fn;
    thread->ctx = ctx;
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);

    /* Signals belong to the program's own threads: its handlers must not run on ours. */
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread->thread, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        om_alloc_put(alloc, thread, sizeof *thread, alignof(om_thread));
        return om_fail_errno(err, OMEN_RESOURCE_EXHAUSTED, failed, "cannot start the thread %s",
                             name);
    }
    *out = thread;
    return OMEN_OK;
}

void om_thread_join(om_thread *thread)
{
    if (thread == NULL) {
        return;
    }
    int failed = pthread_join(thread->thread, NULL);
    om_assert(failed == 0);
    (void)failed;
    om_alloc_put(thread->alloc, thread, sizeof *thread, alignof(om_thread));
}
