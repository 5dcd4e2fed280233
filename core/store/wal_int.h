/* wal_int.h - inside the log: bytes of its files, the cursor that walks them, and the driver's state.
 * Depends on: base, os.  Locks: values 64, append 65, sync 66, taken in this order.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WAL_INT_H
#define OM_WAL_INT_H
#include <stdatomic.h>

#include "lock.h"
#include "os.h"
#include "wal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little-endian and used as they lie in memory");

#define OM_WAL_MAGIC "\x89OMENLG\n"
#define OM_WAL_BYTE_ORDER 0x01020304u
#define OM_WAL_KNOWN_INCOMPAT 0u
enum {
    OM_WAL_FORMAT = 1,
    OM_WAL_HEADER_BYTES = 4096,
    OM_WAL_HEADER_CRC_AT = 4092,
    OM_WAL_FRAME_BYTES = 40,
    OM_WAL_FRAME_CRC_AT = 36,
    OM_WAL_MAX_FILES = 1 << 14,
    OM_WAL_PATH = 4096,
    OM_WAL_MAX_KEY = 64,
    OM_WAL_NAME = OM_WAL_MAX_KEY + 24, /* the longest name in a folder, with its slash */
    OM_WAL_KEEP_VALUES = 3,
    OM_WAL_READ = 1 << 20, /* bytes of one read                                                  */
    OM_WAL_AHEAD_SHARE = 64, /* of a new file, filled with zeros ahead; see wal_append.c         */
    OM_WAL_RANK_VALUES = 64,
    OM_WAL_RANK_APPEND = 65,
    OM_WAL_RANK_SYNC = 66,
};

/* The first page of a file; its last four bytes are the checksum of the others. */
typedef struct om_wal_header {
    uint8_t magic[8];
    uint32_t format;
    uint32_t header_bytes;
    uint32_t incompat, ro_compat, compat;
    uint32_t byte_order;
    uint8_t database[16];
    uint64_t file_bytes;
    uint64_t first;          /* lsn of the first record                                          */
    uint64_t previous_first; /* the same of the file before; 0: this one begins the log          */
    uint64_t durable;        /* newest lsn known to be durable when this was written             */
    uint32_t previous_crc;   /* of record first - 1; 0 when this one begins the log              */
    uint32_t epoch;          /* random, not 0; in every record of the file                       */
} om_wal_header;
_Static_assert(sizeof(om_wal_header) == 88, "log file header");
_Static_assert(offsetof(om_wal_header, file_bytes) == 48, "log file header");
_Static_assert(offsetof(om_wal_header, epoch) == 84, "log file header");

/* Before the payload of each record. */
typedef struct om_wal_frame {
    uint32_t bytes; /* of the payload */
    uint32_t crc;   /* CRC-32C of the payload, then of this structure with both checksums zero */
    uint64_t lsn;
    uint32_t epoch;
    uint32_t collection;
    uint8_t type, flags;
    uint16_t frame_bytes;  /* 40 */
    uint32_t previous_crc; /* crc of record lsn - 1                                         */
    uint32_t durable_back; /* lsn minus the newest durable one when this was written; >= 1  */
    uint32_t frame_crc;    /* CRC-32C of the 36 bytes above: what is said there counts even when the
                              payload is damaged */
} om_wal_frame;
_Static_assert(sizeof(om_wal_frame) == OM_WAL_FRAME_BYTES, "frame");
_Static_assert(offsetof(om_wal_frame, frame_crc) == OM_WAL_FRAME_CRC_AT, "frame");

typedef struct om_wal_path {
    char text[OM_WAL_PATH];
} om_wal_path;
typedef struct om_wal_name {
    uint64_t number; /* first lsn of a log file; running number of a spare */
    uint64_t bytes;
    bool fresh; /* a spare made since the log was opened: its blocks were never written */
} om_wal_name;
typedef struct om_wal_names { /* ascending by number */
    om_wal_name *items;
    uint32_t count, capacity;
} om_wal_names;

/* The file that takes records. */
typedef struct om_wal_file {
    om_iofile io;
    om_wal_path path;
    om_wal_header header;
    uint32_t refs; /* sync_mu: the driver's and one for a sync in progress */
} om_wal_file;

typedef struct om_wal_watcher {
    struct om_wal_watcher *next;
    om_log_watch watch;
    void *ctx;
    char key[OM_WAL_MAX_KEY + 1];
} om_wal_watcher;

typedef struct om_wal {
    om_logdriver driver;
    om_wal_options options; /* its strings are the two paths below */
    const om_io *io;
    const om_alloc *alloc;
    om_wal_path folder, values;
    uint64_t file_bytes; /* of new files */
    uint32_t max_payload;
    uint32_t mutexes_made, conds_made; /* of those below */

    om_mutex values_mu;
    om_wal_watcher *watchers; /* values_mu */

    om_mutex append_mu;
    om_wal_file
        *current;      /* set with both locks, read with one; NULL: the next append begins a file */
    uint64_t position; /* append_mu: of the next frame in it                   */
    uint64_t filled;   /* append_mu: blocks up to here were written before     */
    uint32_t last_crc; /* append_mu: of the newest record                      */
    uint64_t previous_first; /* append_mu: what the next file says of the one before it */
    uint64_t first;          /* append_mu: oldest lsn that can be read               */
    om_wal_names files;      /* append_mu: log files, the current one is the last    */
    om_wal_names spares;     /* append_mu */
    uint64_t next_spare;     /* append_mu */
    uint32_t readers;        /* append_mu: reads in progress; nothing is trimmed     */
    uint64_t rotten_lsn;     /* set by open */
    _Atomic uint64_t tail;   /* released under append_mu, acquired by sync           */
    _Atomic uint64_t appends;

    om_mutex sync_mu;
    om_cond synced;
    bool syncing;             /* sync_mu: a leader is at it                          */
    bool stop;                /* sync_mu: of the timer                               */
    char reason[160];         /* sync_mu: of `state`                                 */
    om_cond wake;             /* of the timer                                        */
    _Atomic uint32_t armed;   /* the timer has something to sync                     */
    _Atomic uint64_t durable; /* released under sync_mu                              */
    _Atomic uint32_t state;   /* OM_LOG_*; released under sync_mu                    */
    _Atomic uint64_t syncs;
    /* Figures for whoever watches. A poll may see them a step apart. */
    _Atomic uint64_t written; /* bytes of records; added under append_mu, behind `tail` */
    _Atomic uint64_t settled; /* of these: known to be durable; released under sync_mu       */
    _Atomic uint64_t sync_ns, sync_times[OMEN_SYNC_TIMES];
    om_thread *timer;
} om_wal;
static inline om_wal *om_wal_of(om_logdriver *driver)
{
    return (om_wal *)driver;
}
static inline uint64_t om_wal_padded(uint64_t payload)
{
    return (payload + 7) & ~UINT64_C(7);
}

/* ---- Bytes (wal_format.c) ---------------------------------------------------------------------- */
void om_wal_header_seal(const om_wal_header *header, uint8_t page[OM_WAL_HEADER_BYTES]);
/* DATA_LOSS when it is damaged or makes no sense, FAILED_PRECONDITION for another database,
 * UNIMPLEMENTED / FORMAT_VERSION for a newer format. */
omen_status_t om_wal_header_read(const uint8_t page[OM_WAL_HEADER_BYTES],
                                 const uint8_t database[16], const char *path, om_wal_header *out,
                                 omen_error *err) OM_NODISCARD;
/* Fills both checksums; payload_crc: om_crc32c of the payload. */
void om_wal_frame_seal(om_wal_frame *frame, uint32_t payload_crc);
/* Whether these 40 bytes are a frame of this epoch; its payload may still be damaged. */
bool om_wal_frame_holds(const om_wal_frame *frame, uint32_t epoch);
bool om_wal_payload_holds(const om_wal_frame *frame, const uint8_t *payload);

/* ---- Names (wal_names.c) ----------------------------------------------------------------------- */
/* Cannot fail: folders leave room for every name (OM_WAL_NAME). */
void om_wal_path_join(om_wal_path *out, const char *folder, const char *name);
void om_wal_path_file(om_wal_path *out, const om_wal *wal, uint64_t first);
void om_wal_path_spare(om_wal_path *out, const om_wal *wal, uint64_t number);
/* The number of "<prefix><16 hex><suffix>"; false: the name is another one. */
bool om_wal_name_number(const char *name, const char *prefix, const char *suffix, uint64_t *out);
omen_status_t om_wal_names_reserve(const om_wal *wal, om_wal_names *names, uint32_t count,
                                   omen_error *err) OM_NODISCARD;
void om_wal_names_add(om_wal_names *names, uint64_t number, uint64_t bytes); /* reserved before */
void om_wal_names_remove(om_wal_names *names, uint32_t index);
void om_wal_names_free(const om_wal *wal, om_wal_names *names);
/* Index of the largest number <= `number`; UINT32_MAX: none. */
uint32_t om_wal_names_find(const om_wal_names *names, uint64_t number);
bool om_wal_names_same(const om_wal_names *a, const om_wal_names *b);
/* What the folder holds, with sizes; nothing when there is no folder. Both lists are replaced. */
omen_status_t om_wal_list(const om_wal *wal, om_wal_names *files, om_wal_names *spares,
                          omen_error *err) OM_NODISCARD;

/* ---- Walking a file (wal_cursor.c) ------------------------------------------------------------- */
typedef struct om_wal_cursor {
    const om_wal *wal;
    om_iofile file;
    om_wal_path path;
    om_wal_header header;
    uint64_t limit;    /* bytes of the file that can be read */
    bool cut;          /* the file is shorter than its header says */
    uint64_t position; /* of the next frame */
    uint64_t lsn;      /* that it must have */
    uint32_t crc;      /* of the record before it */
    uint64_t durable;  /* newest lsn that a record or the header says is durable */
    uint8_t *buffer;   /* bytes [start, start + held) of the file */
    size_t capacity, held;
    uint64_t start;
} om_wal_cursor;
void om_wal_cursor_init(om_wal_cursor *cursor, const om_wal *wal);
void om_wal_cursor_free(om_wal_cursor *cursor);
/* Goes to the first record of a file. *damaged: its header cannot be believed (no failure: the caller
 * knows what it means; err tells how). */
omen_status_t om_wal_cursor_open(om_wal_cursor *cursor, uint64_t first, bool *damaged,
                                 omen_error *err) OM_NODISCARD;
/* The same when a damaged header is a failure. */
omen_status_t om_wal_cursor_enter(om_wal_cursor *cursor, uint64_t first,
                                  omen_error *err) OM_NODISCARD;
/* The next record, NULL when there is none that holds; lives until the next call. The payload follows
 * the frame. */
omen_status_t om_wal_cursor_next(om_wal_cursor *cursor, const om_wal_frame **out,
                                 omen_error *err) OM_NODISCARD;
/* The same when there must be one: DATA_LOSS / CHECKSUM otherwise. */
omen_status_t om_wal_cursor_must(om_wal_cursor *cursor, const om_wal_frame **out,
                                 omen_error *err) OM_NODISCARD;
/* What frames of this epoch from the position on say, whether or not they are in place. */
typedef struct om_wal_remains {
    bool any;         /* there are frames of lsn or later */
    uint64_t durable; /* the newest lsn that they know to have been durable */
} om_wal_remains;
omen_status_t om_wal_cursor_remains(om_wal_cursor *cursor, om_wal_remains *out,
                                    omen_error *err) OM_NODISCARD;

/* ---- Opening (wal_recover.c) ------------------------------------------------------------------- */
/* Checks the files of wal->files from the checkpoint on and sets first, tail, durable, last_crc,
 * current, state. Changes the disk only to make durable what was found; nothing when read-only. */
omen_status_t om_wal_recover(om_wal *wal, omen_error *err) OM_NODISCARD;

/* ---- Files that come and go (wal_files.c) ------------------------------------------------------- */
/* At least `count` spares are there. append_mu held, as for the next one. */
omen_status_t om_wal_ensure_spares(om_wal *wal, uint32_t count, omen_error *err) OM_NODISCARD;
/* Begins a new file behind the newest record, taking a spare; there must be one. A failed sync or one of the
 * folder breaks the log; after any other failure it is as it was. */
omen_status_t om_wal_rotate(om_wal *wal, omen_error *err) OM_NODISCARD;
void om_wal_file_release(om_wal *wal, om_wal_file *file); /* takes sync_mu; NULL ok */
void om_wal_set_current(om_wal *wal, om_wal_file *file);  /* takes sync_mu; append_mu held */
omen_status_t om_wal_trim(om_logdriver *driver, uint64_t lsn, omen_error *err);

/* ---- Writing (wal_append.c, wal_sync.c) --------------------------------------------------------- */
omen_status_t om_wal_append(om_logdriver *driver, const om_log_entry *entries, uint32_t count,
                            uint64_t *last, omen_error *err);
omen_status_t om_wal_sync(om_logdriver *driver, uint64_t lsn, omen_error *err);
/* Whatever was written to the current file is durable afterwards; takes sync_mu. */
omen_status_t om_wal_sync_now(om_wal *wal, omen_error *err) OM_NODISCARD;
/* OMEN_OK while records can be appended. */
omen_status_t om_wal_writable(om_wal *wal, omen_error *err) OM_NODISCARD;
/* No more writing until the log is opened again; takes sync_mu. Returns OUTCOME_UNKNOWN's status. */
omen_status_t om_wal_break(om_wal *wal, omen_error *err);
void om_wal_set_durable(om_wal *wal, uint64_t lsn); /* takes sync_mu */
omen_status_t om_wal_timer_start(om_wal *wal, omen_error *err) OM_NODISCARD;
void om_wal_timer_stop(om_wal *wal);
void om_wal_timer_notify(om_wal *wal); /* something was appended; nothing when there is no timer */

/* ---- Reading (wal_read.c) and values (wal_values.c) --------------------------------------------- */
omen_status_t om_wal_read(om_logdriver *driver, uint64_t from, om_log_apply apply, void *ctx,
                          omen_error *err);
omen_status_t om_wal_cas(om_logdriver *driver, const char *key, uint64_t expected,
                         const void *value, size_t bytes, omen_error *err);
omen_status_t om_wal_watch(om_logdriver *driver, const char *key, om_log_watch watch, void *ctx,
                           omen_error *err);
void om_wal_watchers_free(om_wal *wal);
#endif
