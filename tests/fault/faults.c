/* faults.c - every call of the disk and every allocation of random programs fails once, and then for ever:
 * no crash, no leak, and the database holds what was acknowledged.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     faults [--cases N] [--seed S] [--steps M]     N: at most so many cases, evenly chosen; 0: all
 *     faults --repeat SEED STEPS CASE
 *
 * A site is a place in the program that calls the disk or allocates, known by its return addresses. Each is
 * tried at its first and last call and at one between, with every kind of failure that suits it. */
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_data.h"
#include "fault_walk.h"

enum { STEPS = 70, MOST_FAILURES = 20, FRAMES = 8, SKIPPED = 2, POWER_STATES = 6, HOW = 6 };
enum { MOST_SITES = 8192, CALLS_OF_SITE = 3, OUT_OF_MEMORY = -1, FULL_DISK = -2 };
/* Sizes of disks that get full: each is a call of one of these made-up sites, in units. */
enum { FULL_SITES = 8 };
#define FULL_LEAST (UINT64_C(1) << 19)
#define FULL_STEP (UINT64_C(1) << 17)

typedef struct fault_site {
    uint64_t id;
    sim_call call; /* SIM_CALLS: an allocation; SIM_MARK: none, the disk gets full */
    uint64_t count;
    uint64_t nth[CALLS_OF_SITE]; /* first, one between, last */
} fault_site;
typedef struct how {
    const char *name;
    int error; /* 0: a short transfer; OUT_OF_MEMORY: an allocation */
    bool for_ever;
    bool harmless; /* the call goes on by itself: no step may fail */
} how;
static const how disk_hows[HOW] = {
    {"EIO once", EIO, false, false},       {"EIO for ever", EIO, true, false},
    {"ENOSPC once", ENOSPC, false, false}, {"ENOSPC for ever", ENOSPC, true, false},
    {"EINTR", EINTR, false, true},         {"short", 0, false, true},
};
static const how full_hows[HOW] = {{"full disk", FULL_DISK, false, false}};
static const how memory_hows[HOW] = {{"no memory once", OUT_OF_MEMORY, false, false},
                                     {"no memory for ever", OUT_OF_MEMORY, true, false}};

typedef struct plan {
    fault_shared *shared;
    uint64_t seed, stride; /* every `stride`th case is tried */
    uint64_t cases;
    uint64_t *number; /* [cases] for case_of */
    uint32_t steps, sites;
    fault_site site[MOST_SITES];
} plan;

/* ---- Memory that counts, fails and knows where it is asked for ---------------------------------------- */
typedef struct meter {
    _Atomic uint64_t calls, used;
    uint64_t fail_at; /* 0: never */
    bool for_ever;
    plan *tracking; /* NULL, or where sites are noted */
} meter;

static void note_call(plan *p, uint64_t id, sim_call call, uint64_t nth)
{
    uint32_t i = 0;
    while (i < p->sites && p->site[i].id != id) {
        i++;
    }
    if (i == MOST_SITES) {
        return;
    }
    fault_site *site = &p->site[i];
    if (i == p->sites) {
        p->sites++;
        *site = (fault_site){.id = id, .call = call, .nth = {nth, nth, nth}};
    }
    site->count++;
    site->nth[2] = nth;
    if (om_mix64(nth) % site->count == 0) {
        site->nth[1] = nth;
    }
}

static void note_allocation(plan *p, uint64_t nth)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* the indexer allocates too */
    void *frames[SKIPPED + FRAMES];
    uint64_t id = UINT64_C(0xA110C);
    int depth = backtrace(frames, SKIPPED + FRAMES);
    for (int i = SKIPPED; i < depth; i++) {
        id = om_mix64(id ^ (uintptr_t)frames[i]);
    }
    (void)pthread_mutex_lock(&mutex);
    note_call(p, id, SIM_CALLS, nth);
    (void)pthread_mutex_unlock(&mutex);
}

static void *meter_get(void *ctx, size_t size, size_t align)
{
    meter *m = ctx;
    uint64_t nth = atomic_fetch_add(&m->calls, 1) + 1;
    if (m->tracking != NULL) {
        note_allocation(m->tracking, nth);
    }
    if (m->fail_at != 0 && (nth == m->fail_at || (m->for_ever && nth > m->fail_at))) {
        return NULL;
    }
    void *block = NULL;
    if (posix_memalign(&block, align < sizeof(void *) ? sizeof(void *) : align, size) != 0) {
        return NULL;
    }
    atomic_fetch_add(&m->used, size);
    return block;
}

static void meter_put(void *ctx, void *block, size_t size, size_t align)
{
    meter *m = ctx;
    (void)align;
    if (block != NULL) {
        atomic_fetch_sub(&m->used, size);
        free(block);
    }
}

/* ---- Cases ------------------------------------------------------------------------------------------ */
typedef struct fault_case {
    const fault_site *site;
    const how *how;
    uint64_t nth;
} fault_case;

static bool suits(const fault_site *site, const how *h)
{
    bool transfer = site->call == SIM_PREAD || site->call == SIM_PWRITEV;
    if (h->name == NULL) {
        return false;
    }
    if (h->error == 0) {
        return transfer;
    }
    if (h->error == EINTR) {
        return transfer || site->call == SIM_OPEN || site->call == SIM_ALLOCATE ||
               site->call == SIM_TRUNCATE;
    }
    /* These find no full disk. */
    return h->error != ENOSPC || (site->call != SIM_PREAD && site->call != SIM_CLOSE &&
                                  site->call != SIM_LOCK && site->call != SIM_FSTAT);
}

/* False: there is no such case. */
static bool case_of(const plan *p, uint64_t number, fault_case *out)
{
    const fault_site *site = &p->site[number / (HOW * CALLS_OF_SITE)];
    uint64_t which = number / HOW % CALLS_OF_SITE;
    const how *hows = site->call == SIM_CALLS  ? memory_hows
                      : site->call == SIM_MARK ? full_hows
                                               : disk_hows;
    *out = (fault_case){.site = site, .how = &hows[number % HOW], .nth = site->nth[which]};
    for (uint64_t i = 0; i < which; i++) {
        if (site->nth[i] == out->nth) {
            return false;
        }
    }
    return suits(site, out->how);
}

typedef struct outcome {
    sim_image *image; /* as another process would find it */
    sim_trace *trace;
    char why[FAULT_WHY];
} outcome;

static bool leaks(sim_disk *disk, const meter *m, char *why)
{
    sim_open open = sim_disk_open(disk);
    uint64_t used = atomic_load(&m->used);
    if (open.files == 0 && open.mappings == 0 && used == 0) {
        return false;
    }
    (void)snprintf(why, FAULT_WHY, "left behind: %u files, %u mappings, %llu bytes", open.files,
                   open.mappings, (unsigned long long)used);
    return true;
}

/* Runs the program with its fault; the database is closed and the runtime gone afterwards. */
static void run_case(const plan *p, const fault_case *c, fault_run *run, outcome *out)
{
    meter m = {.for_ever = c->how->for_ever};
    omen_allocator allocator = {.alloc = meter_get, .free = meter_put, .ctx = &m};
    sim_disk *disk = sim_disk_create(NULL);
    sim_disk_record(disk);
    m.fail_at = c->how->error == OUT_OF_MEMORY ? c->nth : 0;
    omen_runtime *rt = fault_runtime(&allocator);
    if (m.fail_at == 0 && c->how->error != FULL_DISK) {
        /* Counted among its kind: the indexer's thread makes small differences between two runs. */
        sim_disk_fault(disk, &(sim_fault){.call = c->site->call,
                                          .nth = c->nth,
                                          .for_ever = c->how->for_ever,
                                          .error = c->how->error});
    }
    *run = (fault_run){.may_fail = !c->how->harmless,
                       .limit = c->how->error == FULL_DISK ? FULL_LEAST + c->nth * FULL_STEP : 0};
    if (rt != NULL) {
        (void)fault_execute(run, disk, rt, p->seed, p->steps);
    }
    (void)snprintf(out->why, sizeof out->why, "%s", run->why);
    omen_runtime_free(rt);
    if (out->why[0] == '\0') {
        (void)leaks(disk, &m, out->why);
    }
    out->trace = sim_disk_recorded(disk);
    out->image = sim_disk_image(disk);
    sim_disk_free(disk);
    run->disk = NULL;
    run->rt = NULL;
}

/* What another process finds, and what is left after a power failure at the end. */
static bool judge_case(fault_run *run, const outcome *out, char *why)
{
    uint32_t done = run->done;
    fault_bounds bounds = {.floor = run->unknown != 0 ? done - 1 : done,
                           .started = done,
                           .acknowledged = run->unknown != 0 ? done - 1 : done};
    if (!fault_judge(run, out->image, bounds, 0, 0, why)) {
        return false;
    }
    sim_crash *crash = sim_crash_create(out->trace);
    while (sim_crash_next(crash)) {
    }
    bounds.floor = run->floor[done];
    bool fine = true;
    for (uint64_t i = 0; fine && i < POWER_STATES; i++) {
        sim_image *image = sim_crash_state(crash, i == 0 ? SIM_KEEP_NONE : SIM_KEEP_SOME, i);
        fine = fault_judge(run, image, bounds, i, 0, why);
        sim_image_free(image);
    }
    sim_crash_free(crash);
    return fine;
}

static void describe(const plan *p, uint64_t number, const fault_case *c, char *text,
                     size_t capacity)
{
    (void)snprintf(text, capacity, "%s at call %llu (%s): faults --repeat %llu %u %llu",
                   c->how->name, (unsigned long long)c->nth,
                   c->site->call == SIM_CALLS ? "allocation" : sim_call_name(c->site->call),
                   (unsigned long long)p->seed, p->steps, (unsigned long long)number);
}

static bool try_case(const plan *p, uint64_t number, fault_run *run, omen_runtime *judges)
{
    fault_case c;
    if (!case_of(p, number, &c)) {
        return true;
    }
    outcome out = {0};
    char why[FAULT_WHY] = "", text[FAULT_NOW], all[FAULT_WHY + FAULT_NOW + 300], step[200] = "";
    run_case(p, &c, run, &out);
    run->rt = judges;
    bool fine = out.why[0] == '\0' && judge_case(run, &out, why);
    if (!fine) {
        describe(p, number, &c, text, sizeof text);
        if (run->done != 0) {
            fault_describe(run, run->done, step, sizeof step);
        }
        (void)snprintf(all, sizeof all, "failure: %s%s\n  last: %s\n  %s", out.why, why, step,
                       text);
        fault_report(p->shared, all);
    }
    sim_trace_free(out.trace);
    sim_image_free(out.image);
    return fine;
}

static void work(void *ctx, uint32_t job)
{
    const plan *p = ctx;
    fault_run *run = fault_memory(sizeof *run);
    omen_runtime *judges = fault_runtime(NULL);
    while (atomic_load(&p->shared->failures) < MOST_FAILURES) {
        uint64_t next = atomic_fetch_add(&p->shared->next, 1) * p->stride;
        fault_case c;
        if (next >= p->cases) {
            break;
        }
        if (case_of(p, p->number[next], &c)) {
            describe(p, p->number[next], &c, p->shared->now[job], FAULT_NOW);
            (void)try_case(p, p->number[next], run, judges);
            atomic_fetch_add(&p->shared->done, 1);
        }
    }
    free(run);
    omen_runtime_free(judges);
}

/* ---- Sites ------------------------------------------------------------------------------------------ */
static void find_sites(plan *p)
{
    fault_run *run = fault_memory(sizeof *run);
    meter m = {.tracking = p};
    omen_allocator allocator = {.alloc = meter_get, .free = meter_put, .ctx = &m};
    sim_disk *disk = sim_disk_create(NULL);
    omen_runtime *rt = fault_runtime(&allocator);
    sim_disk_track(disk, true);
    bool fine = fault_execute(run, disk, rt, p->seed, p->steps);
    m.tracking = NULL;
    omen_runtime_free(rt);
    if (!fine) {
        (void)fprintf(stderr, "program %llu without a fault: %s\n", (unsigned long long)p->seed,
                      run->why);
        exit(1);
    }
    size_t count = 0;
    const sim_site *sites = sim_disk_sites(disk, &count);
    for (size_t i = 0; i < count; i++) {
        note_call(p, sites[i].id, sites[i].call, sites[i].kind);
    }
    sim_disk_free(disk);
    free(run);
    for (uint32_t i = 0; i < FULL_SITES && p->sites < MOST_SITES; i++) {
        uint64_t nth = (uint64_t)i * CALLS_OF_SITE;
        p->site[p->sites++] =
            (fault_site){.id = i, .call = SIM_MARK, .nth = {nth, nth + 1, nth + 2}};
    }
}

static void list_cases(plan *p)
{
    uint64_t all = (uint64_t)p->sites * HOW * CALLS_OF_SITE;
    fault_case c;
    p->number = fault_memory((size_t)(all + 1) * sizeof p->number[0]);
    for (uint64_t i = 0; i < all; i++) {
        if (case_of(p, i, &c)) {
            p->number[p->cases++] = i;
        }
    }
}

static int repeat(plan *p, const char *number)
{
    fault_run *run = fault_memory(sizeof *run);
    omen_runtime *judges = fault_runtime(NULL);
    bool fine = try_case(p, strtoull(number, NULL, 10), run, judges);
    (void)printf("%s\n", fine ? "fine" : "failure");
    free(run);
    omen_runtime_free(judges);
    return fine ? 0 : 1;
}

int main(int argc, char **argv)
{
    plan *p = fault_memory(sizeof *p);
    uint64_t most = 0;
    p->seed = 1;
    p->steps = STEPS;
    p->shared = fault_shared_create(1);
    bool again = argc == 5 && strcmp(argv[1], "--repeat") == 0;
    if (again) {
        p->seed = strtoull(argv[2], NULL, 10);
        p->steps = (uint32_t)strtoul(argv[3], NULL, 10);
    }
    for (int i = 1; !again && i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        most = strcmp(argv[i], "--cases") == 0 ? value : most;
        p->seed = strcmp(argv[i], "--seed") == 0 ? value : p->seed;
        p->steps = strcmp(argv[i], "--steps") == 0 ? (uint32_t)value : p->steps;
    }
    find_sites(p);
    if (again) {
        return repeat(p, argv[4]);
    }
    list_cases(p);
    p->stride = most == 0 || most >= p->cases ? 1 : p->cases / most;
    fault_jobs(p->shared, fault_job_count(), MOST_FAILURES, work, p);
    uint64_t failures = atomic_load(&p->shared->failures);
    (void)printf("faults: cases=%llu seed=%llu\n",
                 (unsigned long long)atomic_load(&p->shared->done), (unsigned long long)p->seed);
    (void)printf("faults: sites=%u failures=%llu\n", p->sites - FULL_SITES,
                 (unsigned long long)failures);
    bool fine = failures == 0 && p->sites != 0;
    free(p->number);
    free(p);
    return fine ? 0 : 1;
}
