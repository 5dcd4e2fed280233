/* crash_main.c - kill -9, again and again, under load.
 *     crash --omend PROGRAM [--cycles N] [--seed S] [--folder DIR] [--seal-rows N] [--copy]
 * The last line is "crash: cycles=n lost=a resurrected=b doubled=c"; the exit status is 0 only when all
 * three are 0 and nothing else was wrong. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crash.h"

enum { SAID_MOST = 20 };

void crash_problem(crash_run *run, crash_kind kind, const char *fmt, ...)
{
    static const char *const names[] = {"lost", "resurrected", "doubled", "wrong"};
    if (atomic_fetch_add(&run->problems[kind], 1) >= SAID_MOST) {
        return;
    }
    char text[700];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)fprintf(stderr, "crash: cycle %llu: %s: %s\n", (unsigned long long)run->cycle,
                  names[kind], text);
}

bool crash_is_bad(crash_run *run)
{
    for (int kind = 0; kind < 4; kind++) {
        if (atomic_load(&run->problems[kind]) != 0) {
            return true;
        }
    }
    return false;
}

/* The moment is what is random here: nothing waits for something to have happened. */
static void pass_us(uint32_t us)
{
    struct timespec left = {us / 1000000, (long)(us % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static void load(crash_run *run)
{
    pthread_t threads[CRASH_WRITERS];
    uint32_t started = 0;
    for (; started < CRASH_WRITERS; started++) {
        if (pthread_create(&threads[started], NULL, crash_write, &run->writers[started]) != 0) {
            crash_problem(run, CRASH_OTHER, "no thread");
            break;
        }
    }
    pthread_t keeper;
    bool kept =
        crash_below(&run->rng, 2) == 0 && pthread_create(&keeper, NULL, crash_maintain, run) == 0;
    uint32_t dice = crash_below(&run->rng, 10);
    pass_us(dice < 2 ? crash_below(&run->rng, 10000) : 5000 + crash_below(&run->rng, 195000));
    if (crash_below(&run->rng, 15) == 0) {
        crash_stop(run);
        run->stops++;
    } else {
        crash_kill(run);
        run->kills_loaded++;
    }
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    if (kept) {
        (void)pthread_join(keeper, NULL);
    }
}

static void one_cycle(crash_run *run)
{
    if (run->copy && !crash_copy_folder(run)) {
        return;
    }
    uint32_t dice = crash_below(&run->rng, 10);
    if (!crash_start(run)) {
        return;
    }
    if (dice == 0 && run->created) { /* while it starts and recovers */
        pass_us(crash_below(&run->rng, 60000));
        crash_kill(run);
        run->kills_early++;
        return;
    }
    double begin = om_tool_now();
    if (!crash_wait_serving(run)) {
        return;
    }
    run->seconds_starting += om_tool_now() - begin;
    crash_check(run);
    if (crash_is_bad(run)) {
        crash_kill(run);
    } else if (dice == 1) {
        crash_kill(run);
        run->kills_idle++;
    } else {
        load(run);
    }
}

/* The last word: everything again, then a clean end. */
static void last_check(crash_run *run)
{
    if ((run->copy && !crash_copy_folder(run)) || !crash_start(run) || !crash_wait_serving(run)) {
        return;
    }
    crash_check(run);
    crash_stop(run);
}

static void report(crash_run *run, double seconds)
{
    uint64_t batches = 0;
    uint64_t rows = 0;
    uint64_t replays = 0;
    uint64_t cuts = 0;
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        batches += run->writers[i].acked;
        rows += run->writers[i].rows;
        replays += run->writers[i].replays;
        cuts += run->writers[i].cuts;
    }
    (void)printf(
        "crash: killed under load %llu, idle %llu, while starting %llu; ended cleanly %llu; "
        "%llu checkpoints and merges asked for; %.1f cycles/s\n",
        (unsigned long long)run->kills_loaded, (unsigned long long)run->kills_idle,
        (unsigned long long)run->kills_early, (unsigned long long)run->stops,
        (unsigned long long)run->maintained, (double)run->cycle / seconds);
    (void)printf(
        "crash: %llu records with %llu rows replayed, at most %llu segments; starting took %.1f "
        "s, checking %.1f s of %.1f s\n",
        (unsigned long long)run->replayed_records, (unsigned long long)run->recovered_rows,
        (unsigned long long)run->segments_most, run->seconds_starting, run->seconds_checking,
        seconds);
    (void)printf("crash: %llu batches with %llu items acknowledged, %llu sent again, %llu streams "
                 "cut\n",
                 (unsigned long long)batches, (unsigned long long)rows, (unsigned long long)replays,
                 (unsigned long long)cuts);
}

static bool read_options(int argc, char **argv, crash_run *run)
{
    static const struct option known[] = {{"omend", required_argument, NULL, 'o'},
                                          {"cycles", required_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"folder", required_argument, NULL, 'f'},
                                          {"seal-rows", required_argument, NULL, 'r'},
                                          {"copy", no_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'o':
            run->omend = optarg;
            break;
        case 'n':
            run->cycles = strtoull(optarg, NULL, 10);
            break;
        case 's':
            run->seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            run->folder = optarg;
            break;
        case 'r':
            run->seal_rows = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            run->copy = true;
            break;
        default:
            return false;
        }
    }
    return run->omend != NULL && optind == argc;
}

/* Removes the folder of a good run. */
static void clean(const crash_run *run, bool made)
{
    const char *parts[] = {"data", "before"};
    char path[512];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", run->folder, parts[i]);
        crash_remove(path);
    }
    if (made) {
        (void)rmdir(run->folder);
    }
}

int main(int argc, char **argv)
{
    static crash_run run = {.cycles = 20, .seal_rows = 1024, .out = -1};
    char made[] = "crash-XXXXXX";
    run.seed = (uint64_t)time(NULL);
    if (!read_options(argc, argv, &run)) {
        (void)fprintf(stderr, "usage: crash --omend PROGRAM [--cycles N] [--seed S] [--folder DIR] "
                              "[--seal-rows N] [--copy]\n");
        return 2;
    }
    bool own = run.folder == NULL;
    run.folder = own ? mkdtemp(made) : run.folder;
    if (run.folder == NULL || (!own && mkdir(run.folder, 0700) != 0 && errno != EEXIST)) {
        perror("crash: folder");
        return 2;
    }
    (void)printf("crash: seed %llu, folder %s\n", (unsigned long long)run.seed, run.folder);
    (void)fflush(stdout);
    run.rng = crash_mix(run.seed);
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        crash_writer_init(&run, i);
    }
    double begin = om_tool_now();
    while (run.cycle < run.cycles && !crash_is_bad(&run)) {
        run.cycle++;
        one_cycle(&run);
    }
    if (!crash_is_bad(&run)) {
        last_check(&run);
    }
    report(&run, om_tool_now() - begin);
    bool bad = crash_is_bad(&run);
    if (bad) {
        (void)printf(
            "crash: the folder %s is kept; to repeat: crash --omend %s --seed %llu --cycles "
            "%llu --seal-rows %u --copy\n",
            run.folder, run.omend, (unsigned long long)run.seed, (unsigned long long)run.cycle + 1,
            run.seal_rows);
    } else {
        clean(&run, own);
    }
    (void)printf("crash: cycles=%llu lost=%llu resurrected=%llu doubled=%llu\n",
                 (unsigned long long)run.cycle, atomic_load(&run.problems[CRASH_LOST]),
                 atomic_load(&run.problems[CRASH_RESURRECTED]),
                 atomic_load(&run.problems[CRASH_DOUBLED]));
    return bad ? 1 : 0;
}
