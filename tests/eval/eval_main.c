/* eval_main.c - quality of what searches find, against known answers: filtered searches, BM25, hybrid.
 *
 *   eval [--disk DIR] [FOLDER ...]
 *
 * A FOLDER holds one set, or folders that do; without one the environment variable DATA names it. One line a
 * measurement: "eval: set=S task=T metric=M value=V reference=R". Exit code 1 when a value is out of bounds,
 * 77 when there is nothing to evaluate. --disk: databases on disk, sealed and opened again, in new folders
 * of DIR.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

enum { SKIPPED = 77, SEAL_ROWS = 4096 };
static const double NEAR = 0.01;

static const char *disk;
static size_t measured, out_of_bounds, sets, databases;

_Noreturn void eval_die(const char *what, const char *why)
{
    (void)fprintf(stderr, "eval: %s: %s\n", what, why);
    exit(1);
}

void eval_must(omen_status_t status, const omen_error *err)
{
    if (status != OMEN_OK) {
        eval_die(omen_status_name(status), err->message);
    }
}

void eval_report(const char *set, const char *task, const char *metric, double value,
                 eval_bound bound, double reference)
{
    (void)printf("eval: set=%s task=%s metric=%s value=%.4f reference=", set, task, metric, value);
    bool fine = true;
    if (bound == EVAL_SHOWN) {
        (void)printf("none\n");
    } else {
        (void)printf("%.4f\n", reference);
    }
    if (bound == EVAL_NEAR) {
        fine = fabs(value - reference) <= NEAR;
    } else if (bound == EVAL_LEAST) {
        fine = value >= reference;
    } else if (bound == EVAL_EQUAL) {
        fine = value >= reference && value <= reference;
    }
    (void)fflush(stdout);
    measured++;
    if (!fine) {
        out_of_bounds++;
        (void)fprintf(stderr, "eval: out of bounds: set=%s task=%s metric=%s\n", set, task, metric);
    }
}

static char db_path[EVAL_PATH]; /* of the last database on disk */

static omen_db *open_db(void)
{
    omen_error err;
    omen_db *db;
    omen_db_options options = {.struct_size = sizeof options};
    options.seal_rows = disk == NULL ? 0 : SEAL_ROWS;
    eval_must(omen_db_open(disk == NULL ? NULL : db_path, &options, &db, &err), &err);
    return db;
}

omen_db *eval_open_db(const char *set)
{
    const char *slash = strrchr(set, '/');
    if (disk != NULL &&
        snprintf(db_path, sizeof db_path, "%s/%s-%zu", disk, slash == NULL ? set : slash + 1,
                 databases++) >= (int)sizeof db_path) {
        eval_die(disk, "the path is too long");
    }
    return open_db();
}

void eval_settle(omen_db **db, omen_collection **c)
{
    omen_error err;
    eval_must(omen_wait(*c, 0, OMEN_WAIT_INDEXED, 0, NULL, &err), &err);
    if (disk != NULL) {
        eval_must(omen_checkpoint(*db, NULL, &err), &err);
        omen_collection_free(*c);
        omen_db_free(*db);
        *db = open_db();
        eval_must(omen_open(*db, "eval", NULL, c, &err), &err);
    }
}

static bool is_set(const char *folder)
{
    return eval_has(folder, "corpus.jsonl.gz") || eval_has(folder, "filters.jsonl.gz") ||
           eval_has(folder, "films.jsonl.gz") || eval_has(folder, "train-labels-idx1-ubyte.gz");
}

static void run(const char *set, const char *folder)
{
    bool filtered = eval_filtered(set, folder);
    bool text = eval_text(set, folder);
    bool films = eval_films(set, folder);
    sets += filtered || text || films;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void run_folders(const char *folder)
{
    struct dirent **list;
    int count = scandir(folder, &list, NULL, by_name);
    if (count < 0) {
        eval_die(folder, "cannot be read");
    }
    for (int i = 0; i < count; i++) {
        char path[EVAL_PATH];
        int length = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (list[i]->d_name[0] != '.' && length < (int)sizeof path && is_set(path)) {
            run(list[i]->d_name, path);
        }
        free(list[i]);
    }
    free(list);
}

static void run_any(const char *folder)
{
    size_t before = sets;
    if (is_set(folder)) {
        const char *slash = strrchr(folder, '/');
        run(slash == NULL || slash[1] == '\0' ? folder : slash + 1, folder);
    } else {
        run_folders(folder);
    }
    if (sets == before) {
        eval_die(folder, "there are no sets in it");
    }
}

int main(int argc, char **argv)
{
    int at = 1;
    if (argc > 2 && strcmp(argv[1], "--disk") == 0) {
        disk = argv[2];
        at = 3;
    }
    const char *data = getenv("DATA");
    if (argc <= at && (data == NULL || data[0] == '\0')) {
        (void)fprintf(stderr, "eval: no FOLDER, and DATA is not set: nothing is evaluated\n");
        return SKIPPED;
    }
    if (argc <= at) {
        run_any(data);
    }
    for (; at < argc; at++) {
        run_any(argv[at]);
    }
    (void)fprintf(stderr, "eval: %zu sets, %zu measurements, %zu out of bounds\n", sets, measured,
                  out_of_bounds);
    return out_of_bounds == 0 ? 0 : 1;
}
