/* fault_walk.h - programs of fault_model.h run on a recording disk, and power failures at their operations.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_WALK_H
#define FAULT_WALK_H
#include "fault_jobs.h"
#include "fault_model.h"

typedef struct fault_walk {
    fault_shared *shared;
    uint32_t job;
    fault_run *run;
    const sim_trace *trace;
    uint64_t salt;       /* of the keys of disks that need not be judged twice */
    uint32_t most_tries; /* disks at one operation */
    bool quiet;          /* a violation is what is looked for: no report, and the walk ends */
    char why[FAULT_WHY]; /* of the newest violation */
} fault_walk;
void *fault_memory(size_t bytes); /* zeroed; ends the program when there is none */
/* Of one thread. allocator NULL: the C library's. NULL only when the allocator refused. */
omen_runtime *fault_runtime(const omen_allocator *allocator);
/* Runs the program of a seed on a disk. Never inlined: sites are only equal when all come this way. */
sim_trace *fault_program_on(sim_disk *disk, fault_run *run, omen_runtime *rt, uint64_t seed,
                            uint32_t steps);
/* The same on an empty disk of its own; `without`: a site whose syncs are left out, 0: none. */
sim_trace *fault_program(fault_run *run, omen_runtime *rt, uint64_t seed, uint32_t steps,
                         uint64_t without);
/* False: a violation. */
bool fault_try(fault_walk *walk, const sim_crash *crash, sim_kept kept, uint64_t dice);
/* Every operation; ends early when the goal of states or `most` failures are reached. False: a violation
 * (only told when quiet). */
bool fault_walk_all(fault_walk *walk, uint64_t most);
bool fault_finished(const fault_shared *shared, uint64_t most);
#endif
