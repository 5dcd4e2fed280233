/* fault_jobs.h - work for several processes, so that one that dies is a finding and not the end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_JOBS_H
#define FAULT_JOBS_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAULT_MAX_JOBS = 64, FAULT_NOW = 512 };
/* In memory that all processes share. */
typedef struct fault_shared {
    _Atomic uint64_t next;     /* number of the next piece of work */
    _Atomic uint64_t states;   /* distinct disks seen */
    _Atomic uint64_t judged;   /* disks recovered */
    _Atomic uint64_t failures; /* violations, or cases that failed */
    _Atomic uint64_t done;
    uint64_t goal;                       /* of states; 0: none */
    char now[FAULT_MAX_JOBS][FAULT_NOW]; /* what each process is at, told when it dies */
    uint64_t table_mask;
    _Atomic uint64_t table[]; /* hashes of disks, open addressing */
} fault_shared;
/* table: number of hashes that it must hold. */
fault_shared *fault_shared_create(uint64_t table);
/* True when the hash is new. */
bool fault_shared_add(fault_shared *shared, uint64_t hash);
/* Runs fn(ctx, job) in `jobs` processes until each has returned; one that dies counts as a failure and is
 * replaced while there are fewer than `most` failures. */
void fault_jobs(fault_shared *shared, uint32_t jobs, uint64_t most,
                void (*fn)(void *ctx, uint32_t job), void *ctx);
uint32_t fault_job_count(void); /* JOBS of the environment, or the processors */
/* Prints a finding, whole lines at a time, and counts it. */
void fault_report(fault_shared *shared, const char *text);
#endif
