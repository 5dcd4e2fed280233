/* engine_disk.h - what a database on disk has beside one in memory: folder, lock, log, manifest and the
 * keeper that seals, merges and checkpoints in the background.
 * Depends on: engine_int.h.  Locks: README.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_DISK_H
#define OM_ENGINE_DISK_H
#include "engine_int.h"
#include "io.h"
#include "logdriver.h"
#include "manifest.h"

enum { OM_RANK_FILES = 72, OM_RANK_KEEPER = 85 };
typedef struct om_keeper om_keeper;
typedef struct om_serial {
    uint32_t serial;
    om_collection *c; /* NULL: dropped */
} om_serial;
typedef struct om_disk {
    const om_io *io;
    om_logdriver *log; /* NULL: opened for reading, or closed */
    om_iofile lock;
    om_path folder, lock_path;
    uint8_t uuid[16];
    omen_db_options options; /* defaults filled in */
    bool keep_mu_made, files_mu_made, ready;

    om_mutex keep_mu;    /* rank KEEP: one checkpoint, backup or refresh at a time; the next nine */
    uint64_t generation; /* of the newest manifest */
    uint64_t cursors;    /* generation of the cursors file that it names; 0: none */
    uint64_t cursors_lsn;       /* they have everything up to it */
    uint64_t trim_to;           /* checkpoint of the manifest before: it may be needed again */
    uint64_t manifest_tail;     /* newest lsn when it was written */
    uint64_t manifest_changes;  /* `changes` likewise */
    struct om_pending *pending; /* of replay: batches in parts (engine_record.h) */
    om_serial *serials;         /* [serial_count] of replay, ascending */
    size_t serial_count, serial_room;

    _Atomic uint64_t changes;      /* grows with every seal and merge */
    _Atomic uint32_t failures;     /* of the keeper, one after another; merges do not count */
    _Atomic bool dropped;          /* a collection with files was: older manifests name them */
    _Atomic uint64_t checkpoint;   /* no record up to it is needed */
    _Atomic uint64_t applied;      /* newest lsn that replay applied */
    _Atomic uint64_t next_segment; /* ids of files not given out yet */
    _Atomic uint32_t state;        /* OMEN_DB_* */
    _Atomic uint32_t reason_set;   /* 2: `reason` can be read */
    char reason[160];              /* of a state that stays */
    _Atomic uint32_t pins;         /* backups that copy files: nothing is unlinked */
    om_mutex files_mu;             /* rank FILES: the next one */
    struct om_file_mark *writing;  /* seals and merges in progress */
    uint32_t max_payload;          /* of one record */
    _Atomic uint64_t disk_available, disk_reserve, disk_looked_ns;
    _Atomic uint64_t checkpoints, seals, merges;
    _Atomic uint64_t logged;    /* bytes of payloads, since the last checkpoint */
    _Atomic uint64_t log_bytes; /* of a database opened for reading, as of the last look */
    _Atomic uint64_t replayed_records, replayed_ns, recovered_rows;
    _Atomic(om_keeper *) keeper; /* the indexer looks while the database is opened */
} om_disk;

/* ---- Life (engine_disk.c) ---------------------------------------------------------------------- */
/* Opens or makes the directory, replays the log; db is otherwise ready and empty. io: om_io_system but in
 * tests (om_db_open_io). After a failure too om_disk_close and om_disk_free are called. */
omen_status_t om_disk_open(omen_db *db, const om_io *io, const char *path,
                           const omen_db_options *options, omen_error *err) OM_NODISCARD;
/* Stops the keeper, seals what is worth it, makes everything durable, unlocks. Nobody holds a handle; the
 * collections are still listed. Harmless without a disk, and twice. */
void om_disk_close(omen_db *db);
void om_disk_free(omen_db *db);           /* at the end of db; om_db_io works until then */
const om_io *om_db_io(const omen_db *db); /* the system's for a database in memory */
/* The collections of a manifest, opened; their logs are not replayed yet (engine_adopt.c). */
omen_status_t om_disk_adopt(omen_db *db, const om_manifest *manifest, omen_error *err) OM_NODISCARD;
/* A segment that a manifest names, as it was then. */
omen_status_t om_disk_open_segment(om_collection *c, const om_manifest_segment *named,
                                   om_segment **out, omen_error *err) OM_NODISCARD;
/* engine_refresh.c: what om_disk_open does for readers, and what follows. */
omen_status_t om_disk_open_reader(omen_db *db, omen_error *err) OM_NODISCARD;
omen_status_t om_disk_refresh(omen_db *db, uint32_t *changed, omen_error *err) OM_NODISCARD;
/* The newest generation that has a name in the folder; 0: none. */
omen_status_t om_disk_newest(const om_disk *disk, uint64_t *generation,
                             omen_error *err) OM_NODISCARD;
omen_status_t om_disk_open_log(omen_db *db, const om_manifest *manifest, uint64_t checkpoint,
                               om_logdriver **out, omen_error *err) OM_NODISCARD;

/* ---- State (engine_state.c) --------------------------------------------------------------------- */
/* A state that stays until the database is opened again; the first reason counts. */
void om_disk_fail(omen_db *db, uint32_t state, const char *reason);
void om_disk_full(omen_db *db); /* the disk refused a write */
/* Looks at the free space: DISK_FULL below the reserve, and back. */
void om_disk_watch(omen_db *db);
void om_disk_version(omen_db *db, uint64_t lsn); /* a record of it is in the log */
/* After each append. */
void om_disk_logged(omen_db *db, uint64_t lsn, uint64_t bytes);
void om_disk_stats(omen_db *db, omen_db_stats *out);
/* What a collection of a database on disk takes from it. */
void om_disk_prepare(om_collection *c);

/* ---- Replay (engine_replay.c) -------------------------------------------------------------------- */
omen_status_t om_serials_set(omen_db *db, uint32_t serial, om_collection *c,
                             omen_error *err) OM_NODISCARD;
om_collection *om_serials_get(const om_disk *disk, uint32_t serial, bool *known);
void om_serials_free(omen_db *db);
typedef struct om_listing { /* a collection to be made and listed */
    const char *name;
    const omen_options *options;
    uint32_t serial, count;
    uint64_t contained, next_key;
    const om_manifest_segment *segments; /* [count] */
    const uint8_t *schema;               /* [schema_bytes] its fields; NULL: none */
    uint32_t schema_bytes;
} om_listing;
omen_status_t om_replay_list(omen_db *db, const om_listing *listing, omen_error *err) OM_NODISCARD;
void om_replay_unlist(omen_db *db, om_collection *c); /* as if it was dropped */

/* ---- Cursors (engine_streams.c, engine_requests.c) ------------------------------------------------ */
/* Streams in use, into out (NULL: only their number). write_mu held. */
uint32_t om_streams_export(const om_streams *streams, uint32_t serial, om_cursor *out);
omen_status_t om_streams_import(om_collection *c, const om_cursor *cursor,
                                omen_error *err) OM_NODISCARD;
uint32_t om_requests_count(om_requests *requests);
/* The newest `room` ones, in the order they came; returns how many. */
uint32_t om_requests_export(om_requests *requests, om_request *out, uint32_t room);
omen_status_t om_requests_import(om_requests *requests, const om_request *request,
                                 omen_error *err) OM_NODISCARD;

/* ---- The log (engine_record.c) ------------------------------------------------------------------ */
/* Refuses with the state's error unless writes are possible. More: the batch deletes, which is allowed when
 * the disk is full. */
omen_status_t om_disk_writable(omen_db *db, bool deletes, omen_error *err) OM_NODISCARD;
/* Logs a checked batch for which all memory is there; fills w->done.version. write_mu of the collection
 * held. The rows may be applied when om_record_sync of it has returned OMEN_OK, which waits at level
 * BATCH. */
omen_status_t om_record_write(om_write *w, omen_error *err) OM_NODISCARD;
omen_status_t om_record_sync(om_collection *c, uint32_t level, uint64_t version,
                             omen_error *err) OM_NODISCARD;
/* A refused batch that uses up its seq (ruling 16), or one whose request id was seen before. write_mu
 * held. */
omen_status_t om_record_consumed(om_collection *c, const omen_batch *batch, uint64_t *version,
                                 omen_error *err) OM_NODISCARD;
/* Durable on return. db->mu held, in the same critical section that lists or unlists c: else a manifest in
 * between would take it for dropped, or for alive. */
omen_status_t om_record_created(om_collection *c, omen_error *err) OM_NODISCARD;
omen_status_t om_record_dropped(om_collection *c, omen_error *err) OM_NODISCARD;
/* The growing segment was frozen: recovery and readers cut at the same rows. write_mu held. */
void om_record_sealed(om_collection *c);
/* Applies one record; the om_log_apply of recovery. ctx: omen_db. */
omen_status_t om_record_replay(void *ctx, const om_log_record *record,
                               omen_error *err) OM_NODISCARD;

/* ---- Files of segments (engine_seal.c, engine_merge.c, engine_files.c) ---------------------------- */
/* Around whatever takes ids for files, until their segments are in a set or the files are gone again: no file
 * from `below` on is swept meanwhile, since no manifest names them yet. */
typedef struct om_file_mark {
    struct om_file_mark *next;
    uint64_t below;
} om_file_mark;
void om_disk_begin_files(om_disk *disk, om_file_mark *mark);
void om_disk_end_files(om_disk *disk, om_file_mark *mark);
/* Files below it are in the sets that are looked at afterwards, or needless. */
uint64_t om_disk_settled_files(om_disk *disk);
static inline uint64_t om_disk_take_id(om_disk *disk)
{
    return atomic_fetch_add(&disk->next_segment, 1);
}
/* The oldest frozen segment, indexed to its end, becomes a file and is replaced by it. *done false: there
 * is none. save_mu held. */
omen_status_t om_seal_next(om_collection *c, const om_stop *stop, bool *done,
                           omen_error *err) OM_NODISCARD;
uint32_t om_seal_count(om_collection *c); /* frozen segments that wait for it */
/* One merge, if the policy wants one (tiers of four; more than a fifth dead; all: into one). save_mu held. */
omen_status_t om_merge_next(om_collection *c, bool all, const om_stop *stop, omen_op *op,
                            bool *done, omen_error *err) OM_NODISCARD;
/* Live rows of these segments, oldest first, as one segment file. dead: copies of their tombstones. */
typedef struct om_merge_input {
    om_segment *segment;
    const uint64_t *dead;
    uint32_t rows, live;
    const uint64_t
        *id_offsets; /* [rows + 1], and the bytes: ids of live rows of a segment in memory, */
    const uint8_t *id_bytes; /* copied at the same moment. NULL: read when the merge begins       */
} om_merge_input;
omen_status_t om_merge_write(om_collection *c, const om_merge_input *inputs, uint32_t count,
                             const char *path, const om_stop *stop, omen_op *op,
                             omen_error *err) OM_NODISCARD;

/* ---- Memory that is left for sealing (engine_reserve.c) ------------------------------------------- */
bool om_memory_short(om_collection *c); /* its writers should stop, rows should be sealed */
/* Waits for the keeper while memory is short, or refuses the batch. No lock held. */
omen_status_t om_write_leave_room(om_write *w, omen_error *err) OM_NODISCARD;

/* ---- Threads (engine_worker.c) -------------------------------------------------------------------- */
typedef struct om_worker {
    omen_db *db;
    omen_status_t (*round)(struct om_worker *worker, omen_error *err);
    om_mutex mu; /* rank KEEPER: the next three */
    om_cond wake;
    bool notified, stop;
    omen_op cancel; /* of whatever it does when the database is closed */
    om_thread *thread;
    uint64_t delay_ns, not_before_ns; /* its own: after a failure */
} om_worker;
omen_status_t om_worker_start(om_worker *worker, const char *name, omen_error *err) OM_NODISCARD;
void om_worker_stop(om_worker *worker); /* ends the thread, also in the middle of a merge */
void om_worker_destroy(om_worker *worker);
void om_worker_notify(om_worker *worker);
bool om_worker_stopping(const om_worker *worker);

/* ---- Checkpoints, the keeper and the merger (engine_checkpoint.c, engine_keeper.c, engine_merger.c) -- */
/* A manifest of what is sealed now, deaths and cursors first; then the log is trimmed and files that no
 * manifest names are removed. */
omen_status_t om_checkpoint_write(omen_db *db, omen_error *err) OM_NODISCARD;
/* As many as manifests are kept, so that none names files whose rows were merged into others: else they
 * would stay until other checkpoints come, which in an idle database is for ever. */
omen_status_t om_checkpoint_settle(omen_db *db, omen_error *err) OM_NODISCARD;
/* omen_checkpoint: freezes and seals everything before it. */
omen_status_t om_checkpoint_all(omen_db *db, omen_op *op, omen_error *err) OM_NODISCARD;
/* Whether the engine wants a checkpoint now; clock and log as they are. */
bool om_checkpoint_wanted(omen_db *db);
/* All collections at one moment, each with a reference; and the first serial that is free. */
typedef struct om_roll {
    om_collection **list;
    size_t count, room;
    uint32_t next_serial;
} om_roll;
omen_status_t om_roll_take(omen_db *db, om_roll *out, omen_error *err) OM_NODISCARD;
void om_roll_drop(omen_db *db, om_roll *roll);
/* Freezes what grows (least: rows of it, at least) and seals frozen segments until there is none, or, unless
 * `force`, until one is not wholly in the graph. */
typedef struct om_sealing {
    uint32_t least;
    bool force;
    const om_stop *stop;
} om_sealing;
omen_status_t om_checkpoint_seal(om_collection *c, const om_sealing *how, bool *done,
                                 omen_error *err) OM_NODISCARD;
omen_status_t om_merger_round(om_worker *worker, omen_error *err) OM_NODISCARD;
/* The first failure is kept; the others go on, so that one collection does not stop all. */
void om_first_failure(omen_status_t status, const omen_error *err, omen_status_t *first,
                      omen_error *out);
omen_status_t om_keeper_create(omen_db *db, omen_error *err) OM_NODISCARD;
void om_keeper_stop(omen_db *db);
void om_keeper_free(omen_db *db); /* when nobody can notify it any more */
void om_keeper_notify(
    omen_db *db); /* a segment was frozen or completed; any thread, any lock but its own */
#endif
