/* model_disk_test.c - databases on disk against the model.
 *     model_disk_test [--ops N] [--seed S] [--jobs J] [--round-ops N] [--skip N]
 *     model_disk_test --replay FILE      the operations of a failure, as they were printed
 * Every thousand operations have a database of their own. The last line is "model: ops=n seed=s
 * mismatches=m". SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model_disk.h"

enum { JOBS_MOST = 16, REPLAY_MOST = 100000 };

typedef struct job {
    pid_t pid; /* 0: none runs */
    disk_list list;
    char folder[DISK_PATH];
} job;

typedef struct rounds {
    uint64_t seed, ops, given_out, done, mismatches;
    uint32_t jobs, round_ops;
    volatile uint32_t *progress; /* [jobs] */
    char folder[DISK_PATH];
    job running[JOBS_MOST];
} rounds;

static void start(rounds *r, job *j)
{
    uint64_t left = r->ops - r->given_out;
    uint32_t count = left < r->round_ops ? (uint32_t)left : r->round_ops;
    uint64_t round = r->given_out / r->round_ops;
    disk_list_make(&j->list, r->seed * 1000000 + round, count);
    r->given_out += count;
    (void)snprintf(j->folder, sizeof j->folder, "%.200s/round-%llu", r->folder,
                   (unsigned long long)round);
    j->pid = disk_list_start(&j->list, j->folder, false, &r->progress[j - r->running]);
}

static void on_failure(rounds *r, job *j, int status, uint32_t done)
{
    r->mismatches++;
    (void)printf("model: database of seed %llu: operation %u of %u failed (wait status 0x%x); "
                 "shrinking\n",
                 (unsigned long long)j->list.seed, done, j->list.count, (unsigned)status);
    (void)fflush(stdout);
    disk_list_shrink(&j->list, j->folder, done);
    disk_list_print(&j->list);
    uint32_t again = 0;
    if (disk_list_run(&j->list, j->folder, false, &again) == 0) {
        (void)printf("model: it does not fail every time\n");
    }
    (void)printf("model: the folder %s is kept\n", j->folder);
}

/* Waits for one of the running jobs. */
static void take(rounds *r)
{
    int status = 0;
    pid_t pid = wait(&status);
    for (uint32_t i = 0; i < r->jobs; i++) {
        job *j = &r->running[i];
        if (j->pid != pid || pid <= 0) {
            continue;
        }
        j->pid = 0;
        r->done += r->progress[i];
        if (status != 0) {
            r->given_out = r->ops; /* no new ones */
            on_failure(r, j, status, r->progress[i]);
        } else {
            disk_remove(j->folder);
        }
        free(j->list.ops);
    }
}

static bool any_running(const rounds *r)
{
    for (uint32_t i = 0; i < r->jobs; i++) {
        if (r->running[i].pid != 0) {
            return true;
        }
    }
    return false;
}

static void run_all(rounds *r)
{
    do {
        for (uint32_t i = 0; i < r->jobs && r->given_out < r->ops; i++) {
            if (r->running[i].pid == 0) {
                start(r, &r->running[i]);
            }
        }
        take(r);
    } while (any_running(r) || r->given_out < r->ops);
}

static int replay(const char *path, const char *folder)
{
    char line[200];
    disk_list list = {0, 0, calloc(REPLAY_MOST, sizeof *list.ops)};
    FILE *file = fopen(path, "re");
    if (file == NULL || list.ops == NULL) {
        perror(path);
        return 2;
    }
    while (fgets(line, sizeof line, file) != NULL && list.count < REPLAY_MOST) {
        const char *seed = strstr(line, "database of seed ");
        char *at = line;
        if (seed != NULL) {
            list.seed = strtoull(seed + strlen("database of seed "), NULL, 10);
        } else if (line[0] >= '0' && line[0] <= '9') {
            disk_op *op = &list.ops[list.count++];
            op->kind = (uint32_t)strtoul(at, &at, 10) % OP_KINDS;
            op->part = (uint32_t)strtoul(at, &at, 10);
            op->seed = strtoull(at, &at, 10);
        }
    }
    (void)fclose(file);
    uint32_t done = 0;
    int status = disk_list_run(&list, folder, false, &done);
    (void)printf("model: %u of %u operations, wait status 0x%x\n", done, list.count,
                 (unsigned)status);
    disk_remove(folder);
    free(list.ops);
    return status == 0 ? 0 : 1;
}

static bool read_options(int argc, char **argv, rounds *r, const char **file)
{
    static const struct option known[] = {{"ops", required_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"round-ops", required_argument, NULL, 'r'},
                                          {"skip", required_argument, NULL, 'k'},
                                          {"replay", required_argument, NULL, 'f'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case 'n':
            r->ops = strtoull(optarg, NULL, 10);
            break;
        case 's':
            r->seed = strtoull(optarg, NULL, 10);
            break;
        case 'j':
            r->jobs = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            r->round_ops = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            r->given_out = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            *file = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc && r->jobs > 0 && r->jobs <= JOBS_MOST && r->round_ops > 0 &&
           r->ops > r->given_out;
}

int main(int argc, char **argv)
{
    static rounds r = {.seed = 1, .ops = 2000, .jobs = 1, .round_ops = 1000};
    const char *file = NULL;
    char made[] = "model-disk-XXXXXX";
    if (!read_options(argc, argv, &r, &file)) {
        (void)fprintf(stderr,
                      "usage: model_disk_test [--ops N] [--seed S] [--jobs J] [--round-ops N] "
                      "[--skip N] [--replay FILE]\n");
        return 2;
    }
    if (mkdtemp(made) == NULL) {
        perror("model");
        return 2;
    }
    (void)snprintf(r.folder, sizeof r.folder, "%s", made);
    if (file != NULL) {
        char folder[64];
        (void)snprintf(folder, sizeof folder, "%s/replay", made);
        int status = replay(file, folder);
        (void)rmdir(made);
        return status;
    }
    r.progress = mmap(NULL, JOBS_MOST * sizeof *r.progress, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.progress == MAP_FAILED) {
        perror("model");
        return 2;
    }
    run_all(&r);
    (void)rmdir(made); /* stays when a round has left something */
    (void)printf("model: ops=%llu seed=%llu mismatches=%llu\n", (unsigned long long)r.done,
                 (unsigned long long)r.seed, (unsigned long long)r.mismatches);
    return r.mismatches == 0 ? 0 : 1;
}
