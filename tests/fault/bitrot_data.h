/* bitrot_data.h - the database that rots: what was written into it, and what a damaged copy may answer.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef BITROT_DATA_H
#define BITROT_DATA_H
#include "engine.h"
#include "sim_disk.h"

#define ROT_FOLDER "/db"
enum { ROT_COLLECTIONS = 2, ROT_ITEMS = 320, ROT_DIM = 12, ROT_WHY = 256 };

typedef struct rot_model {
    uint32_t turns[ROT_COLLECTIONS][ROT_ITEMS]; /* times the item was written */
    bool alive[ROT_COLLECTIONS][ROT_ITEMS];
} rot_model;
/* Makes the database in ROT_FOLDER: sealed segments with deaths, rows that are only in the log, cursors,
 * requests, three manifests. Closed. */
void rot_make(const om_io *io, omen_runtime *rt, rot_model *model);

typedef enum rot_verdict {
    ROT_HARMLESS, /* everything is as it was written */
    ROT_DETECTED, /* a call told of it, and no answer was wrong */
    ROT_WRONG     /* why says what */
} rot_verdict;
/* Opens it, asks for every item by id and key, counts, searches, and compares. */
rot_verdict rot_judge(const om_io *io, omen_runtime *rt, const rot_model *model, uint32_t flags,
                      char why[ROT_WHY]);
#endif
