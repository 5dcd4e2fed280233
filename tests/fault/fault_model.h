/* fault_model.h - a random program over a database on a simulated disk, and what the database must hold
 * after each of its steps.
 * Depends on: capi and everything below it, tests/sim.  SPDX-License-Identifier: Apache-2.0 */
#ifndef FAULT_MODEL_H
#define FAULT_MODEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"
#include "sim_disk.h"

enum {
    FAULT_KINDS = 4,
    FAULT_IDS = 96,
    FAULT_MAX_DIM = 1024,
    FAULT_MAX_STEPS = 400,
    FAULT_WHY = 512
};
#define FAULT_DB "/db"
#define FAULT_DISK (UINT64_C(64) << 20) /* bytes: small, so that log files are */
#define FAULT_STREAM "stream"

/* The collections that may be there. */
typedef struct fault_kind {
    const char *name;
    uint32_t dim, id_type, metric, durability, ids;
    bool fields; /* its items have metadata */
    bool text;   /* with a declared TEXT field */
} fault_kind;
extern const fault_kind fault_kinds[FAULT_KINDS];

/* What a database holds: for each id the number of the step that wrote it. */
typedef struct fault_state {
    uint8_t exists[FAULT_KINDS];
    uint8_t fields
        [FAULT_KINDS]; /* a batch came, and with it the fields that filters name; not read back */
    uint64_t last_seq[FAULT_KINDS];
    uint16_t value[FAULT_KINDS][FAULT_IDS]; /* 0: not there */
} fault_state;
/* Reads it back through the public calls; false with the reason when anything does not fit together.
 * search: also by an exact search and by scans. */
bool fault_read(omen_db *db, bool search, fault_state *out, char *why);
/* The first difference in words; "" when there is none. */
void fault_difference(const fault_state *want, const fault_state *got, char *why);

typedef enum fault_action {
    FAULT_ADD,
    FAULT_DELETE,
    FAULT_CREATE,
    FAULT_DROP,
    FAULT_SEAL,
    FAULT_MERGE,
    FAULT_OPTIMIZE,
    FAULT_MANIFEST,   /* om_checkpoint_write */
    FAULT_CHECKPOINT, /* omen_checkpoint */
    FAULT_BACKUP,
    FAULT_RESTORE,
    FAULT_REOPEN,
    FAULT_ACTIONS
} fault_action;
typedef struct fault_step {
    fault_action action;
    uint32_t c;            /* collection */
    uint32_t first, count; /* ids, consecutive, around */
    uint32_t durability;
    bool stream, request;
    bool patch; /* an add: of items that are there, some of their fields */
    bool where; /* a deletion: by a filter */
    uint64_t seq;
    omen_status_t status; /* how it ended */
    int32_t detail;
} fault_step;

typedef struct fault_run {
    uint64_t seed;
    uint32_t steps;
    sim_disk *disk;
    om_io io;
    omen_runtime *rt;
    omen_db *db; /* NULL: could not be opened */
    omen_collection *handle[FAULT_KINDS];
    /* [i]: after step i; 0: before the first one. */
    fault_step step[FAULT_MAX_STEPS + 1];
    fault_state state[FAULT_MAX_STEPS + 1];
    uint32_t floor[FAULT_MAX_STEPS + 1];   /* the newest step that is certain */
    uint64_t version[FAULT_MAX_STEPS + 1]; /* of the database, certain */
    uint32_t done;                         /* steps that were begun */
    uint32_t unknown;                      /* the last step, if its outcome is not known; 0: none */
    bool may_fail;                         /* a step that fails is no mistake */
    uint64_t
        limit; /* 0, or bytes of a disk that gets full; at the end there is space, and a write works */
    char why[FAULT_WHY];                    /* the first mistake that was seen; "" none */
    void (*seen)(void *arg, uint64_t hash); /* NULL, or told of every disk that is judged */
    void *seen_arg;
} fault_run;
/* Marks in the trace: step i begins, step i was acknowledged. */
static inline uint64_t fault_mark(uint32_t step, bool acknowledged)
{
    return ((uint64_t)step << 1) | (acknowledged ? 1 : 0);
}
/* Runs the program of the seed from an empty disk (which may already record, fail or lie). The database is
 * closed at the end. False: see why. */
bool fault_execute(fault_run *run, sim_disk *disk, omen_runtime *rt, uint64_t seed, uint32_t steps);
void fault_describe(const fault_run *run, uint32_t step, char *text, size_t capacity);
/* A database at `path` of a disk; NULL with the reason. */
omen_db *fault_open(const om_io *io, omen_runtime *rt, const char *path, omen_error *err);
/* The bytes of a step that adds or deletes, sent to `c`. */
omen_status_t fault_send(const fault_run *run, uint32_t step, omen_collection *c,
                         omen_write_result *result, omen_error *err);
void fault_backup_path(uint32_t step, bool restored, char *out, size_t capacity);

/* ---- Judging (fault_judge.c) ---- */
typedef struct fault_bounds {
    uint32_t floor, started; /* the database must hold the state after one of these steps */
    uint32_t acknowledged;   /* the newest one */
} fault_bounds;
fault_bounds fault_bounds_of(const fault_run *run, uint64_t mark);
/* The process was killed here, another one recovers and goes on, and then the power fails. */
bool fault_judge_killed(const fault_run *run, const sim_crash *crash, fault_bounds bounds,
                        uint64_t dice, char *why);
/* Recovers a disk and looks at it. depth: how many power failures during recoveries follow. dice decides what
 * else is tried. False with the reason. */
bool fault_judge(const fault_run *run, const sim_image *image, fault_bounds bounds, uint64_t dice,
                 uint32_t depth, char *why);
#endif
