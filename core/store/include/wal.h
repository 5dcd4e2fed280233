/* wal.h - the log: records in preallocated, recycled files; group commit; replay that tells a torn tail
 * from rot. FORMAT.md gives every byte. The engine reaches it through logdriver.h only.
 * Depends on: base, os.  Locks: the log's own, rank 65 (append) and 66 (sync), leaves but for each other.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WAL_H
#define OM_WAL_H
#include "alloc.h"
#include "io.h"
#include "log.h"
#include "logdriver.h"

enum { OM_WAL_MAX_FILE = 64 << 20, OM_WAL_MIN_FILE = 1 << 20, OM_WAL_SPARES = 2 };

typedef struct om_wal_options {
    const om_io *io;
    const om_alloc *alloc;
    const om_log *log;
    const char *folder;    /* "<database>/wal"; made when it is missing */
    const char *values;    /* folder of the values of cas: <key>-<revision>, the newest three kept */
    uint8_t database[16];  /* its uuid: files of another database are refused */
    uint64_t checkpoint;   /* newest lsn that nobody needs from the log any more */
    uint64_t durable_hint; /* an lsn that is known to have been durable (from the manifest) */
    uint64_t interval_ns;  /* of the timer that serves OMEN_DURABILITY_INTERVAL */
    bool read_only;        /* changes nothing on disk: a torn tail is only left out */
    bool timer;            /* start the thread of the interval level */
} om_wal_options;
/* A driver over the files of a folder. Every record above the checkpoint is checked here: a torn tail is
 * cut (a new file with a new epoch follows it), rot below what was once durable opens read-only
 * (om_logdriver_state) and is never cut away. */
omen_status_t om_wal_open(const om_wal_options *options, om_logdriver **out,
                          omen_error *err) OM_NODISCARD;
#endif
