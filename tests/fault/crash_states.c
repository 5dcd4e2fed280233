/* crash_states.c - power failures at every operation of random programs: recovers the disks that they could
 * leave and compares the databases with what had been acknowledged.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     crash_states [--states N] [--seed S] [--steps M] [--programs P]
 *     crash_states --repeat SEED STEPS AT KEPT DICE     one disk again, as a violation printed it
 *     crash_states --syncs PROGRAMS                     leaves out the syncs one by one: each must be missed
 *
 * Goes through programs S, S + 1, ... until N distinct disks were recovered (or P programs are through). */
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_data.h"
#include "fault_walk.h"

enum { STEPS = 90, MOST_VIOLATIONS = 20, MOST_TRIES = 40, SYNC_TRIES = 12, MOST_SYNCS = 512 };
#define SYNC_STATES (UINT64_C(1) << 22)

typedef struct plan {
    fault_shared *shared;
    uint64_t states, seed, programs;
    uint32_t steps;
} plan;

static void seen(void *arg, uint64_t hash)
{
    fault_shared *shared = arg;
    atomic_fetch_add(&shared->judged, 1);
    if (fault_shared_add(shared, hash)) {
        atomic_fetch_add(&shared->states, 1);
    }
}

static void work(void *ctx, uint32_t job)
{
    const plan *p = ctx;
    omen_runtime *rt = fault_runtime(NULL);
    fault_run *run = fault_memory(sizeof *run);
    run->seen = seen;
    run->seen_arg = p->shared;
    while (!fault_finished(p->shared, MOST_VIOLATIONS)) {
        uint64_t number = atomic_fetch_add(&p->shared->next, 1);
        if (p->programs != 0 && number >= p->programs) {
            break;
        }
        (void)snprintf(p->shared->now[job], FAULT_NOW, "program %llu of %u steps",
                       (unsigned long long)(p->seed + number), p->steps);
        sim_trace *trace = fault_program(run, rt, p->seed + number, p->steps, 0);
        if (run->why[0] != '\0') {
            char text[FAULT_WHY + 100];
            (void)snprintf(text, sizeof text, "program %llu: %s", (unsigned long long)run->seed,
                           run->why);
            fault_report(p->shared, text);
        } else {
            fault_walk walk = {.shared = p->shared,
                               .job = job,
                               .run = run,
                               .trace = trace,
                               .most_tries = MOST_TRIES};
            (void)fault_walk_all(&walk, MOST_VIOLATIONS);
        }
        sim_trace_free(trace);
        atomic_fetch_add(&p->shared->done, 1);
    }
    free(run);
    omen_runtime_free(rt);
}

/* ---- Leaving out syncs ------------------------------------------------------------------------------ */
typedef struct sync_place {
    sim_site site;
    uint64_t seed; /* a program that comes there */
    uint64_t calls;
} sync_place;
typedef struct sync_plan {
    fault_shared *shared;
    uint32_t steps, count;
    uint64_t programs;
    sync_place place[MOST_SYNCS];
} sync_plan;

static void note_place(sync_plan *p, const sim_site *site, uint64_t seed)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->place[i].site.id == site->id) {
            p->place[i].calls++;
            return;
        }
    }
    if (p->count < MOST_SYNCS) {
        p->place[p->count++] = (sync_place){.site = *site, .seed = seed, .calls = 1};
    }
}

static void find_places(sync_plan *p)
{
    omen_runtime *rt = fault_runtime(NULL);
    fault_run *run = fault_memory(sizeof *run);
    for (uint64_t seed = 1; seed <= p->programs; seed++) {
        size_t count = 0;
        sim_disk *disk = sim_disk_create(NULL);
        sim_disk_track(disk, true);
        sim_trace_free(fault_program_on(disk, run, rt, seed, p->steps));
        const sim_site *sites = sim_disk_sites(disk, &count);
        for (size_t i = 0; i < count; i++) {
            if (sites[i].sync != 0) {
                note_place(p, &sites[i], seed);
            }
        }
        sim_disk_free(disk);
    }
    free(run);
    omen_runtime_free(rt);
}

static void report_place(const sync_plan *p, uint32_t i)
{
    const sync_place *place = &p->place[i];
    char text[2000];
    int used = snprintf(text, sizeof text, "%s, called %llu times, can be left out unnoticed:",
                        sim_call_name(place->site.call), (unsigned long long)place->calls);
    int depth = 0;
    while (depth < 4 && place->site.frames[depth] != NULL) {
        depth++;
    }
    void *frames[4];
    memcpy(frames, place->site.frames, sizeof frames);
    char **names = backtrace_symbols(frames, depth);
    for (int f = 0; names != NULL && f < depth && used > 0 && (size_t)used < sizeof text; f++) {
        used += snprintf(text + used, sizeof text - (size_t)used, "\n  %s", names[f]);
    }
    free(names);
    fault_report(p->shared, text);
}

/* Whether some program misses the syncs of this place. */
static bool is_missed(sync_plan *p, uint32_t which, uint32_t job, fault_run *run, omen_runtime *rt)
{
    const sync_place *place = &p->place[which];
    bool missed = false;
    for (uint64_t i = 0; i < p->programs && !missed; i++) {
        uint64_t seed = (place->seed - 1 + i) % p->programs + 1;
        (void)snprintf(p->shared->now[job], FAULT_NOW, "place %u, program %llu", which,
                       (unsigned long long)seed);
        sim_trace *trace = fault_program(run, rt, seed, p->steps, place->site.id);
        fault_walk walk = {.shared = p->shared,
                           .job = job,
                           .run = run,
                           .trace = trace,
                           .salt = om_mix64(which + 1),
                           .most_tries = SYNC_TRIES,
                           .quiet = true};
        missed = run->why[0] != '\0' || !fault_walk_all(&walk, UINT64_MAX);
        sim_trace_free(trace);
    }
    return missed;
}

static void work_syncs(void *ctx, uint32_t job)
{
    sync_plan *p = ctx;
    omen_runtime *rt = fault_runtime(NULL);
    fault_run *run = fault_memory(sizeof *run);
    for (;;) {
        uint64_t which = atomic_fetch_add(&p->shared->next, 1);
        if (which >= p->count) {
            break;
        }
        if (is_missed(p, (uint32_t)which, job, run, rt)) {
            atomic_fetch_add(&p->shared->done, 1);
        } else {
            report_place(p, (uint32_t)which);
        }
    }
    free(run);
    omen_runtime_free(rt);
}

static int leave_out_syncs(const char *programs)
{
    sync_plan *p = fault_memory(sizeof *p);
    p->shared = fault_shared_create(SYNC_STATES);
    p->steps = STEPS;
    p->programs = strtoull(programs, NULL, 10);
    find_places(p);
    fault_jobs(p->shared, fault_job_count(), UINT64_MAX, work_syncs, p);
    uint64_t missed = atomic_load(&p->shared->done);
    (void)printf("crash-states: syncs=%u missed=%llu\n", p->count, (unsigned long long)missed);
    bool fine = p->count != 0 && missed == p->count;
    free(p);
    return fine ? 0 : 1;
}

/* ---- One disk again --------------------------------------------------------------------------------- */
static int repeat(char **words)
{
    uint64_t seed = strtoull(words[0], NULL, 10), dice = strtoull(words[4], NULL, 10);
    uint32_t steps = (uint32_t)strtoul(words[1], NULL, 10);
    size_t at = strtoull(words[2], NULL, 10);
    sim_kept kept = (sim_kept)strtoul(words[3], NULL, 10);
    omen_runtime *rt = fault_runtime(NULL);
    fault_run *run = fault_memory(sizeof *run);
    sim_trace *trace = fault_program(run, rt, seed, steps, 0);
    sim_crash *crash = sim_crash_create(trace);
    while (sim_crash_at(crash) < at && sim_crash_next(crash)) {
        char text[300];
        sim_trace_describe(trace, sim_crash_at(crash) - 1, text, sizeof text);
        (void)printf("%zu: %s\n", sim_crash_at(crash), text);
    }
    (void)fflush(stdout);
    fault_walk walk = {.shared = fault_shared_create(1), .run = run, .trace = trace};
    bool fine = fault_try(&walk, crash, kept, dice);
    (void)printf("%s\n", fine ? "fine" : "violation");
    sim_crash_free(crash);
    sim_trace_free(trace);
    free(run);
    omen_runtime_free(rt);
    return fine ? 0 : 1;
}

static bool read_plan(int argc, char **argv, plan *p)
{
    for (int i = 1; i < argc; i += 2) {
        uint64_t value = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "--states") == 0) {
            p->states = value;
        } else if (strcmp(argv[i], "--seed") == 0) {
            p->seed = value;
        } else if (strcmp(argv[i], "--steps") == 0) {
            p->steps = (uint32_t)value;
        } else if (strcmp(argv[i], "--programs") == 0) {
            p->programs = value;
        } else {
            (void)fprintf(stderr, "unknown option %s\n", argv[i]);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    plan p = {.states = 2000, .seed = 1, .steps = STEPS};
    if (argc == 7 && strcmp(argv[1], "--repeat") == 0) {
        return repeat(argv + 2);
    }
    if (argc == 3 && strcmp(argv[1], "--syncs") == 0) {
        return leave_out_syncs(argv[2]);
    }
    if (!read_plan(argc, argv, &p)) {
        return 2;
    }
    p.shared = fault_shared_create(p.states * 4);
    p.shared->goal = p.states;
    fault_jobs(p.shared, fault_job_count(), MOST_VIOLATIONS, work, &p);
    uint64_t states = atomic_load(&p.shared->states), violations = atomic_load(&p.shared->failures);
    (void)printf("crash-states: programs=%llu recoveries=%llu seed=%llu\n",
                 (unsigned long long)atomic_load(&p.shared->done),
                 (unsigned long long)atomic_load(&p.shared->judged), (unsigned long long)p.seed);
    (void)printf("crash-states: states=%llu violations=%llu\n", (unsigned long long)states,
                 (unsigned long long)violations);
    return violations == 0 && states != 0 ? 0 : 1;
}
