/* fault_jobs.c - processes that share counters and a table of hashes. SPDX-License-Identifier: Apache-2.0 */
#include "fault_jobs.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os.h"

fault_shared *fault_shared_create(uint64_t table)
{
    uint64_t slots = 1024;
    while (slots < table * 2) {
        slots *= 2;
    }
    size_t bytes = sizeof(fault_shared) + (size_t)slots * sizeof(uint64_t);
    fault_shared *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    shared->table_mask = slots - 1;
    return shared;
}

bool fault_shared_add(fault_shared *shared, uint64_t hash)
{
    hash |= 1; /* 0 marks a free slot */
    uint64_t at = hash >> 1;
    for (uint64_t tries = 0; tries <= shared->table_mask; tries++, at++) {
        _Atomic uint64_t *slot = &shared->table[at & shared->table_mask];
        uint64_t found = 0;
        if (atomic_compare_exchange_strong(slot, &found, hash)) {
            return true;
        }
        if (found == hash) {
            return false;
        }
    }
    return false;
}

void fault_report(fault_shared *shared, const char *text)
{
    atomic_fetch_add(&shared->failures, 1);
    (void)fprintf(stderr, "%s\n", text);
}

static pid_t start(void (*fn)(void *ctx, uint32_t job), void *ctx, uint32_t job)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        /* Memory is wanted again at once: giving it back between two disks took half of the time. */
        (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
        (void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
        fn(ctx, job);
        exit(0);
    }
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    return pid;
}

void fault_jobs(fault_shared *shared, uint32_t jobs, uint64_t most,
                void (*fn)(void *ctx, uint32_t job), void *ctx)
{
    pid_t pid[FAULT_MAX_JOBS];
    uint32_t running = jobs;
    for (uint32_t i = 0; i < jobs; i++) {
        pid[i] = start(fn, ctx, i);
    }
    while (running != 0) {
        int status = 0;
        pid_t ended = wait(&status);
        if (ended < 0) {
            perror("wait");
            exit(2);
        }
        uint32_t job = 0;
        while (job < jobs && pid[job] != ended) {
            job++;
        }
        if (job == jobs) {
            continue;
        }
        running--;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            continue;
        }
        char text[FAULT_NOW + 100];
        (void)snprintf(text, sizeof text, "a process died (%s %d) at %s",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                       shared->now[job]);
        fault_report(shared, text);
        if (atomic_load(&shared->failures) < most) {
            pid[job] = start(fn, ctx, job);
            running++;
        }
    }
}

uint32_t fault_job_count(void)
{
    const char *text = getenv("JOBS");
    unsigned long jobs = text != NULL ? strtoul(text, NULL, 10) : om_cpu_count();
    return jobs < 1 ? 1 : jobs > FAULT_MAX_JOBS ? (uint32_t)FAULT_MAX_JOBS : (uint32_t)jobs;
}
