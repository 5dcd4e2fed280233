/* logdriver.h - the log as the engine sees it: append, read, tail, trim, cas, watch. The local driver is
 * wal.h; a replicated one implements the same table and nothing above it changes.
 * Depends on: base.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_LOGDRIVER_H
#define OM_LOGDRIVER_H
#include <sys/uio.h>

#include "alloc.h"
#include "base.h"

/* Types of records (ruling 2). UPDATE and PATCH are reserved. */
enum {
    OM_LOG_UPSERT = 1,
    OM_LOG_INSERT = 2,
    OM_LOG_UPDATE = 3,
    OM_LOG_PATCH = 4,
    OM_LOG_DELETE = 5,
    OM_LOG_SCHEMA = 6, /* a collection is created or dropped */
    OM_LOG_SEAL = 7,
    OM_LOG_COMMIT = 8, /* ends a batch that came in parts (OM_LOG_PART) */
    OM_LOG_CHECKPOINT = 9,
    OM_LOG_NOOP = 10, /* a consumed seq, a mark */
    OM_LOG_TYPES = 11
};
enum {
    OM_LOG_PART = 1, /* flags: applied at the next COMMIT of its collection */
    OM_LOG_BALLAST =
        128 /* not stored: may use the space kept for when the disk is full (what frees space) */
};
#define OM_LOG_MAX_PAYLOAD \
    (8u << 20)                  /* of one record, anywhere; om_log_state tells the limit here */
enum { OM_LOG_MAX_PARTS = 16 }; /* iovecs of one record */
enum { OM_LOG_MAX_GROUP = 64 }; /* entries of one append */

typedef struct om_log_entry { /* to append */
    uint32_t collection;      /* its serial; 0: the database */
    uint8_t type, flags;
    uint8_t part_count;
    struct iovec parts[OM_LOG_MAX_PARTS]; /* the payload, gathered; borrowed until append returns */
} om_log_entry;
typedef struct om_log_record { /* as read */
    uint64_t lsn;
    uint32_t collection;
    uint8_t type, flags;
    const uint8_t *payload; /* 8-byte aligned; lives until the callback returns */
    size_t bytes;
} om_log_record;
/* Anything but OMEN_OK ends the reading and is returned. */
typedef omen_status_t (*om_log_apply)(void *ctx, const om_log_record *record, omen_error *err);
typedef void (*om_log_watch)(void *ctx, const char *key, uint64_t revision);

enum { OM_LOG_OPEN = 0, OM_LOG_READ_ONLY = 1, OM_LOG_BROKEN = 2, OM_LOG_ROTTEN = 3 };
typedef struct om_log_state {
    uint32_t state;   /* OM_LOG_*: BROKEN after a failed sync or write, ROTTEN: damage found */
    uint64_t first;   /* oldest lsn that can be read */
    uint64_t tail;    /* newest lsn appended, 0: none */
    uint64_t durable; /* newest lsn on stable storage */
    uint64_t bytes;   /* of files, spares included */
    uint64_t syncs, appends;    /* since it was opened; appends: groups */
    uint64_t written, unsynced; /* bytes of records since it was opened; of these not durable */
    uint64_t sync_ns;           /* in all syncs */
    uint64_t sync_times[OMEN_SYNC_TIMES]; /* as in omen_db_stats.log_sync_times */
    uint32_t max_payload; /* bytes of one record: the engine splits larger batches */
    uint32_t
        max_group; /* bytes of one append: the payloads, each rounded up to 8, and 40 for each */
    uint64_t rotten_lsn; /* ROTTEN: the first record that cannot be read */
    char reason[160];    /* of BROKEN and ROTTEN */
} om_log_state;

typedef struct om_logdriver om_logdriver;
typedef struct om_logdriver_ops {
    /* Appends `count` records one after another, all or none; *last gets the lsn of the last one, the others
     * precede it without gaps. They survive the end of the process when this returns, and a power failure
     * after `sync`. RESOURCE_EXHAUSTED (DISK_FULL, NO_MEMORY) and failures to begin a new file: nothing was
     * appended, later calls may succeed. A write or sync that failed: UNAVAILABLE / OUTCOME_UNKNOWN, the
     * driver is BROKEN; from then on (and when it is ROTTEN) FAILED_PRECONDITION / READ_ONLY. */
    omen_status_t (*append)(om_logdriver *log, const om_log_entry *entries, uint32_t count,
                            uint64_t *last, omen_error *err);
    /* Returns when everything up to lsn is durable; callers that wait together share one fdatasync. An lsn
     * that was not appended yet: everything that was. Errors as for append. */
    omen_status_t (*sync)(om_logdriver *log, uint64_t lsn, omen_error *err);
    /* Records from lsn `from` on, in order, up to the tail as of the call. OUT_OF_RANGE: older ones than
     * there are; a reader beside the writer loads the newest manifest then. */
    omen_status_t (*read)(om_logdriver *log, uint64_t from, om_log_apply apply, void *ctx,
                          omen_error *err);
    void (*tail)(om_logdriver *log, om_log_state *out);
    /* Records at or below lsn are not needed any more. Does nothing while a read is in progress. */
    omen_status_t (*trim)(om_logdriver *log, uint64_t lsn, omen_error *err);
    /* Small named values that are replaced atomically: writes revision `expected` + 1 if the newest one is
     * `expected` (0: none yet), else OMEN_ABORTED / VERSION_CONFLICT. */
    omen_status_t (*cas)(om_logdriver *log, const char *key, uint64_t expected, const void *value,
                         size_t bytes, omen_error *err);
    /* Calls back at once with the newest revision (0: none), then after every cas of the key (NULL: ends
     * it). One watcher a key; it must not call cas or watch. The local driver keeps values as files that
     * manifest.h reads, and sees its own changes only. */
    omen_status_t (*watch)(om_logdriver *log, const char *key, om_log_watch watch, void *ctx,
                           omen_error *err);
    void (*close)(om_logdriver *log);
} om_logdriver_ops;
struct om_logdriver {
    const om_logdriver_ops *ops;
};
#endif
