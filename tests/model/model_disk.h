/* model_disk.h - a database on disk with several collections, and lists of operations on it that can be
 * cut shorter. SPDX-License-Identifier: Apache-2.0 */
#ifndef MODEL_DISK_H
#define MODEL_DISK_H
#include "model.h"

enum { DISK_PARTS = 3, DISK_SNAPSHOTS = 3, DISK_PATH = 320 };

typedef enum disk_kind {
    OP_ADD,
    OP_BAD,
    OP_DELETE,
    OP_REPEAT,
    OP_ASSIGNED,
    OP_GET,
    OP_LOOKUP,
    OP_EXACT,
    OP_SEARCH,
    OP_SCAN,
    OP_INDEX,
    OP_SNAPSHOT,
    OP_LOOK_BACK,
    OP_FORGET,
    OP_REOPEN,
    OP_CHECKPOINT,
    OP_OPTIMIZE,
    OP_BACKUP,
    OP_READER,
    OP_REFRESH,
    OP_SAVE,
    OP_RECREATE,
    OP_KINDS
} disk_kind;

/* What it does follows from the seed and from the state that the operations before have left. */
typedef struct disk_op {
    uint32_t kind, part;
    uint64_t seed;
} disk_op;

/* A handle to the past, with the items of then. */
typedef struct disk_view {
    omen_collection *c; /* NULL: not in use */
    uint32_t part;
    model_run model;
} disk_view;

typedef struct disk_run {
    uint64_t seed; /* of the collections' shapes and the options of the database */
    const char *folder;
    char path[DISK_PATH], backup[DISK_PATH];
    uint64_t rng;
    omen_db *db;
    model_run parts[DISK_PARTS];
    disk_view views[DISK_SNAPSHOTS];
    omen_db *reader; /* opened read-only beside the writer, or NULL */
    omen_collection *reader_parts[DISK_PARTS];
    bool reader_has[DISK_PARTS]; /* the reader shows this collection as it is now */
    omen_collection *assigned;   /* a collection whose keys the library chooses */
    uint64_t assigned_highest, assigned_live;
    uint32_t backups;
    /* What failed operations are told by: set before each one, shared with the parent process. */
    volatile uint32_t *progress;
} disk_run;

extern const char *const disk_kind_names[OP_KINDS];

/* ---- model_disk.c: the life of the database ---- */
void disk_begin(disk_run *run);
void disk_end(disk_run *run);
void disk_execute(disk_run *run, const disk_op *op);
model_run *disk_part(disk_run *run, uint32_t part);
/* Everything of the database db must be as the model says. */
void disk_compare(disk_run *run, omen_db *db);
void disk_part_name(uint32_t part, char out[16]);

/* ---- model_past.c: snapshots, readers, backups, saved files ---- */
void disk_snapshot(disk_run *run, uint32_t part);
void disk_look_back(disk_run *run, uint32_t which);
void disk_forget(disk_run *run, disk_view *view);
void disk_reader(disk_run *run);
void disk_refresh(disk_run *run);
void disk_reader_close(disk_run *run);
void disk_backup(disk_run *run);
void disk_save(disk_run *run, uint32_t part);
void disk_remove(const char *path);

/* ---- model_shrink.c: lists of operations, each list in a process of its own ---- */
typedef struct disk_list {
    uint64_t seed;
    uint32_t count;
    disk_op *ops;
} disk_list;
void disk_list_make(disk_list *list, uint64_t seed, uint32_t count);
/* Runs a list in a child, and returns how it ended: 0 for well. *done: operations begun. */
int disk_list_run(const disk_list *list, const char *folder, bool quiet, uint32_t *done);
/* Starts it; disk_list_wait ends it. The pid, or -1. */
int disk_list_start(const disk_list *list, const char *folder, bool quiet,
                    volatile uint32_t *progress);
/* Leaves out what is not needed to make it fail. */
void disk_list_shrink(disk_list *list, const char *folder, uint32_t done);
void disk_list_print(const disk_list *list);
#endif
