/* disk_fixture.h - a database on a simulated disk (no thread of its own runs) or in a real folder, and a
 * model of its collections that outlives every opening.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_DISK_FIXTURE_H
#define OM_DISK_FIXTURE_H
#include "engine_disk.h"
#include "engine_fixture.h"
#include "sim_disk.h"

enum { DB_COLLECTIONS = 4, DB_ITEMS = 2000, DB_DIM = 6 };
typedef struct db_item {
    bool alive;
    uint32_t turn; /* of its newest vector */
    uint64_t key;  /* OMEN_NONE: it never had one */
} db_item;
typedef struct db_collection {
    char name[16];
    omen_options options;
    bool exists;
    omen_collection *handle; /* NULL while the database is closed */
    uint64_t version;        /* of the newest write */
    db_item item[DB_ITEMS];
} db_collection;
typedef struct dbx {
    fixture f; /* its db and runtime; err */
    om_io io;
    sim_disk *sim; /* NULL: a real folder */
    uint64_t clock;
    char path[256];
    omen_db_options options;
    uint32_t threads;
    fx_rng rng;
    db_collection model[DB_COLLECTIONS];
} dbx;

void db_init_sim(dbx *x);
void db_init_folder(dbx *x, const char *name);
void db_end(dbx *x); /* closes, and removes everything */
omen_status_t db_try_open(dbx *x);
void db_open(dbx *x); /* and handles of all collections that exist */
void db_close(dbx *x);
/* What a kill leaves, on a simulated disk: the files as they are now, before the database is closed. */
void db_kill(dbx *x);

void db_create(dbx *x, uint32_t at, const omen_options *options);
void db_drop(dbx *x, uint32_t at);
/* Items [first, first + n) with new vectors, as one batch; other fields of the batch are `how`'s. */
omen_status_t db_put_how(dbx *x, uint32_t at, uint32_t first, uint32_t n, const omen_batch *how,
                         omen_write_result *result);
void db_put(dbx *x, uint32_t at, uint32_t first, uint32_t n);
void db_remove(dbx *x, uint32_t at, uint32_t first, uint32_t n);
/* Random puts and removals in all collections that exist. */
void db_churn(dbx *x, uint32_t batches);
void db_vector(uint32_t at, uint32_t item, uint32_t turn, float *out);
/* Counts, keys, ids, vectors, exact searches; versions can be waited for. */
void db_check(dbx *x);
void db_check_one(dbx *x, uint32_t at);
om_collection *db_inner(dbx *x, uint32_t at);
omen_db_stats db_stats(dbx *x);
#endif
