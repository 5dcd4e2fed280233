/* store_wal_fixture.h - a log on a simulated disk beside a model of what must be in it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_WAL_FIXTURE_H
#define STORE_WAL_FIXTURE_H
#include "sim_disk.h"
#include "unit.h"
#include "wal_int.h"

enum { WAL_MOST_RECORDS = 4096, WAL_DISK = 64 << 20 /* log files of 1 MiB then */ };

/* A record is known by its lsn: everything else is drawn from it and the seed of the batch. */
typedef struct wal_model {
    uint64_t first;                   /* lsn of the first one that may still be there */
    uint64_t last;                    /* 0: none */
    uint64_t unknown;                 /* records behind it of an append whose outcome is unknown */
    uint64_t seeds[WAL_MOST_RECORDS]; /* of record lsn at lsn % WAL_MOST_RECORDS */
    uint32_t bytes[WAL_MOST_RECORDS];
} wal_model;

typedef struct wal_fixture {
    sim_disk *disk;
    om_io io;
    om_alloc alloc;
    om_wal_options options;
    om_logdriver *log; /* NULL: closed */
    wal_model model;
    omen_error err;
} wal_fixture;

void wal_setup(wal_fixture *f, const sim_image *from); /* with folder "db"; the log is not opened */
void wal_teardown(wal_fixture *f);
omen_status_t wal_open(wal_fixture *f);
void wal_must_open(wal_fixture *f);
void wal_close(wal_fixture *f); /* harmless when it is closed */
/* The process ends: nothing is written or synced. */
void wal_kill(wal_fixture *f);
om_log_state wal_state(wal_fixture *f);
/* Appends one group of records of these sizes; adds it to the model when it succeeded. */
omen_status_t wal_append_sizes(wal_fixture *f, uint64_t seed, const uint32_t *sizes, uint32_t count,
                               uint8_t flags);
omen_status_t wal_append_one(wal_fixture *f, uint64_t seed, uint32_t bytes);
void wal_must_append(wal_fixture *f, uint64_t seed, uint32_t bytes);
omen_status_t wal_sync(wal_fixture *f);
/* Reads from lsn `from` on and compares; *last: the last lsn delivered, from - 1 when none was. */
omen_status_t wal_read_check(wal_fixture *f, uint64_t from, uint64_t *last);
/* Everything of the model is there, from model.first to model.last, and nothing else. */
void wal_must_hold(wal_fixture *f);
/* The same up to `last`. */
void wal_must_hold_until(wal_fixture *f, uint64_t last);

/* ---- Bytes behind the log's back ---- */
uint64_t wal_file_size(wal_fixture *f, const char *path);
void wal_peek(wal_fixture *f, const char *path, uint64_t at, void *data, size_t bytes);
void wal_poke(wal_fixture *f, const char *path, uint64_t at, const void *data, size_t bytes);
void wal_flip(wal_fixture *f, const char *path, uint64_t bit);
/* "db/wal/<16 hex>.wal"; memory of the fixture's callers is not needed: a static buffer. */
const char *wal_name(uint64_t first);
uint32_t wal_count(wal_fixture *f, const char *folder,
                   const char *part); /* names that contain part */
/* Where record lsn begins in the file named first. */
uint64_t wal_position(wal_fixture *f, uint64_t first, uint64_t lsn);

/* ---- Allocations that fail ---- */
typedef struct wal_memory {
    uint64_t calls, fail_at; /* 0: none */
    int64_t blocks;          /* in use */
} wal_memory;
om_alloc wal_memory_alloc(wal_memory *memory);
#endif
