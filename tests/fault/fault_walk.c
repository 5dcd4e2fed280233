/* fault_walk.c - power failures at every operation of a program. SPDX-License-Identifier: Apache-2.0 */
#include "fault_walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "fault_data.h"

enum { LEAST_TRIES = 5 };
#define DICE_BITS ((UINT64_C(1) << 48) - 1) /* above them the step, for the message */

void *fault_memory(size_t bytes)
{
    void *block = calloc(1, bytes);
    if (block == NULL) {
        perror("calloc");
        exit(2);
    }
    return block;
}

omen_runtime *fault_runtime(const omen_allocator *allocator)
{
    omen_runtime_options options = {.struct_size = sizeof options, .threads = 1};
    omen_runtime *rt = NULL;
    omen_error err;
    if (allocator != NULL) {
        options.allocator = *allocator;
    }
    omen_status_t status = omen_runtime_create(&options, &rt, &err);
    if (status != OMEN_OK && (allocator == NULL || status != OMEN_RESOURCE_EXHAUSTED)) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(2);
    }
    return rt;
}

__attribute__((noinline)) sim_trace *
fault_program_on(sim_disk *disk, fault_run *run, omen_runtime *rt, uint64_t seed, uint32_t steps)
{
    sim_disk_record(disk);
    (void)fault_execute(run, disk, rt, seed, steps);
    sim_trace *trace = sim_disk_recorded(disk);
    run->disk = NULL;
    return trace;
}

sim_trace *fault_program(fault_run *run, omen_runtime *rt, uint64_t seed, uint32_t steps,
                         uint64_t without)
{
    sim_disk *disk = sim_disk_create(NULL);
    sim_disk_lie_site(disk, without);
    sim_trace *trace = fault_program_on(disk, run, rt, seed, steps);
    sim_disk_free(disk);
    return trace;
}

static void tell(const fault_walk *walk, size_t at, sim_kept kept, uint64_t dice)
{
    char text[FAULT_WHY + 900], op[200] = "nothing", step[200] = "nothing";
    const fault_run *run = walk->run;
    if (at != 0) {
        sim_trace_describe(walk->trace, at - 1, op, sizeof op);
    }
    if (dice >> 48 != 0) {
        fault_describe(run, (uint32_t)(dice >> 48), step, sizeof step);
    }
    (void)snprintf(text, sizeof text,
                   "violation: %s\n  after operation %zu (%s)\n  in %s\n"
                   "  again: crash_states --repeat %llu %u %zu %d %llu",
                   walk->why, at, op, step, (unsigned long long)run->seed, run->steps, at,
                   (int)kept, (unsigned long long)dice);
    fault_report(walk->shared, text);
}

bool fault_try(fault_walk *walk, const sim_crash *crash, sim_kept kept, uint64_t dice)
{
    fault_shared *shared = walk->shared;
    fault_bounds bounds = fault_bounds_of(walk->run, sim_crash_mark(crash));
    dice = (dice & DICE_BITS) | ((uint64_t)bounds.started << 48);
    sim_image *image = sim_crash_state(crash, kept, dice);
    uint64_t key = om_mix64(sim_image_hash(image) ^ walk->salt ^
                            om_mix64(bounds.started * UINT64_C(1000) + bounds.floor));
    bool fine = true;
    if (fault_shared_add(shared, key)) {
        (void)snprintf(shared->now[walk->job], FAULT_NOW,
                       "crash_states --repeat %llu %u %zu %d %llu",
                       (unsigned long long)walk->run->seed, walk->run->steps, sim_crash_at(crash),
                       (int)kept, (unsigned long long)dice);
        fine = fault_judge(walk->run, image, bounds, dice, dice % 16 == 4 ? 1 : 0, walk->why) &&
               (dice % 16 != 5 || fault_judge_killed(walk->run, crash, bounds, dice, walk->why));
        if (!fine && !walk->quiet) {
            tell(walk, sim_crash_at(crash), kept, dice);
        }
    }
    sim_image_free(image);
    return fine;
}

static sim_kept kept_of(uint32_t i)
{
    return i == 0 ? SIM_KEEP_NONE : i == 1 ? SIM_KEEP_ALL : i < 4 ? SIM_KEEP_PREFIX : SIM_KEEP_SOME;
}

bool fault_finished(const fault_shared *shared, uint64_t most)
{
    return (shared->goal != 0 && atomic_load(&shared->states) >= shared->goal) ||
           atomic_load(&shared->failures) >= most;
}

bool fault_walk_all(fault_walk *walk, uint64_t most)
{
    bool fine = true;
    sim_crash *crash = sim_crash_create(walk->trace);
    do {
        size_t pending = sim_crash_pending(crash);
        uint32_t tries = pending == 0 ? 1 : (uint32_t)(LEAST_TRIES + 2 * pending);
        tries = tries < walk->most_tries ? tries : walk->most_tries;
        for (uint32_t i = 0; i < tries && !fault_finished(walk->shared, most); i++) {
            uint64_t dice = om_mix64(walk->run->seed ^ om_mix64(sim_crash_at(crash) * 64 + i));
            fine = fault_try(walk, crash, kept_of(i), dice) && fine;
            if (!fine && walk->quiet) {
                break;
            }
        }
    } while (!(walk->quiet && !fine) && !fault_finished(walk->shared, most) &&
             sim_crash_next(crash));
    sim_crash_free(crash);
    return fine;
}
