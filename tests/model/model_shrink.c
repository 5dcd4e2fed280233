/* model_shrink.c - lists of operations: made from a seed, run in a process of their own, cut down to what
 * still fails. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model_disk.h"

enum { HANGS_AFTER_S = 300, SHRINK_S = 240 };

/* How often each kind comes, in thousandths. */
static const uint16_t weights[OP_KINDS] = {
    [OP_ADD] = 270,      [OP_BAD] = 15,    [OP_DELETE] = 110, [OP_REPEAT] = 40,
    [OP_ASSIGNED] = 25,  [OP_GET] = 90,    [OP_LOOKUP] = 80,  [OP_EXACT] = 90,
    [OP_SEARCH] = 100,   [OP_SCAN] = 40,   [OP_INDEX] = 12,   [OP_SNAPSHOT] = 25,
    [OP_LOOK_BACK] = 35, [OP_FORGET] = 15, [OP_REOPEN] = 12,  [OP_CHECKPOINT] = 10,
    [OP_OPTIMIZE] = 5,   [OP_BACKUP] = 5,  [OP_READER] = 5,   [OP_REFRESH] = 10,
    [OP_SAVE] = 3,       [OP_RECREATE] = 3};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * UINT64_C(0x7FB5D329728EA185);
    x = (x ^ (x >> 27)) * UINT64_C(0x81DADEF4BC2DD44D);
    return x ^ (x >> 33);
}

static uint32_t choose_kind(uint32_t dice)
{
    uint32_t kind = 0;
    while (kind + 1 < OP_KINDS && dice >= weights[kind]) {
        dice -= weights[kind++];
    }
    return kind;
}

void disk_list_make(disk_list *list, uint64_t seed, uint32_t count)
{
    list->seed = seed;
    list->count = count;
    list->ops = malloc(count * sizeof *list->ops);
    if (list->ops == NULL) {
        perror("model");
        exit(2);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t dice = mix(seed * 1000003 + i + 1);
        list->ops[i] = (disk_op){choose_kind((uint32_t)(dice % 1000)),
                                 (uint32_t)(dice >> 20) % DISK_PARTS, mix(dice)};
    }
}

static _Noreturn void child(const disk_list *list, const char *folder, bool quiet,
                            volatile uint32_t *progress)
{
    if (quiet) {
        int nowhere = open("/dev/null", O_WRONLY);
        (void)dup2(nowhere, STDERR_FILENO);
        (void)close(nowhere);
    }
    (void)alarm(HANGS_AFTER_S);
    disk_run *run = calloc(1, sizeof *run);
    if (run == NULL || mkdir(folder, 0700) != 0) {
        perror(folder);
        _exit(2);
    }
    run->seed = list->seed;
    run->folder = folder;
    run->progress = progress;
    disk_begin(run);
    for (*progress = 0; *progress < list->count;) {
        const disk_op *op = &list->ops[*progress];
        *progress = *progress + 1;
        disk_execute(run, op);
    }
    disk_end(run);
    free(run);
    exit(0); /* with the leak check of the sanitizers */
}

int disk_list_start(const disk_list *list, const char *folder, bool quiet,
                    volatile uint32_t *progress)
{
    disk_remove(folder);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        child(list, folder, quiet, progress);
    }
    return pid;
}

int disk_list_run(const disk_list *list, const char *folder, bool quiet, uint32_t *done)
{
    volatile uint32_t *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1;
    if (progress == MAP_FAILED) {
        perror("model");
        exit(2);
    }
    pid_t pid = disk_list_start(list, folder, quiet, progress);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    *done = *progress;
    (void)munmap((void *)(uintptr_t)progress, sizeof *progress);
    return status;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The list without [from, from + count), if it still fails: then it is the list. */
static bool leave_out(disk_list *list, uint32_t from, uint32_t count, const char *folder)
{
    disk_list less = {list->seed, list->count - count, malloc(list->count * sizeof *list->ops)};
    if (less.ops == NULL) {
        return false;
    }
    memcpy(less.ops, list->ops, from * sizeof *less.ops);
    memcpy(less.ops + from, list->ops + from + count, (less.count - from) * sizeof *less.ops);
    uint32_t done = 0;
    bool fails = disk_list_run(&less, folder, true, &done) != 0;
    if (fails) {
        memcpy(list->ops, less.ops, less.count * sizeof *less.ops);
        list->count = done > 0 && done < less.count ? done : less.count;
    }
    free(less.ops);
    return fails;
}

void disk_list_shrink(disk_list *list, const char *folder, uint32_t done)
{
    double until = now() + SHRINK_S;
    list->count = done > 0 && done < list->count ? done : list->count;
    for (uint32_t size = list->count / 2; size > 0; size /= 2) {
        for (uint32_t end = list->count; end > 0 && now() < until;) {
            uint32_t from = end > size ? end - size : 0;
            if (end <= list->count) {
                (void)leave_out(list, from, end - from, folder);
            }
            end = from < list->count ? from : list->count;
        }
    }
}

void disk_list_print(const disk_list *list)
{
    (void)printf("model: what is left of it: database of seed %llu, %u operations\n",
                 (unsigned long long)list->seed, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const disk_op *op = &list->ops[i];
        (void)printf("%u %u %llu  %s, part-%u\n", op->kind, op->part, (unsigned long long)op->seed,
                     disk_kind_names[op->kind], op->part);
    }
}
