/* engine_disk.h - what a database on disk has beside one in memory: folder, lock, log, manifest and the
 * keeper that seals, merges and checkpoints in the background.
 * Depends on: engine_int.h.  Locks: README.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_DISK_H
#define OM_ENGINE_DISK_H
#include "engine_int.h"
#include "io.h"
#include "logdriver.h"
#include "manifest.h"

typedef struct om_keeper om_keeper;
typedef struct om_disk {
    const om_io *io;
    om_logdriver *log; /* NULL: opened for reading */
    om_iofile lock;
    om_path folder, lock_path;
    uint8_t uuid[16];
    omen_db_options options;       /* defaults filled in */
    om_mutex keep_mu;              /* rank KEEP: one checkpoint or backup at a time */
    uint64_t generation;           /* of the manifest; keep_mu */
    uint64_t cursors;              /* keep_mu */
    _Atomic uint64_t checkpoint;   /* no record up to it is needed */
    _Atomic uint64_t next_segment; /* ids of files not given out yet */
    _Atomic uint32_t state;        /* OMEN_DB_* */
    char reason[160];              /* of the state; written once before it */
    _Atomic uint32_t pins;         /* backups that copy files: nothing is unlinked */
    _Atomic uint64_t disk_available, checkpoints, seals, merges;
    uint64_t replayed_records, replayed_ns, recovered_rows;
    om_keeper *keeper;
} om_disk;

/* ---- Life (engine_disk.c) ---------------------------------------------------------------------- */
/* Opens or makes the directory, replays the log; db is otherwise ready and empty. io: om_io_system but in
 * tests (om_db_open_io). */
omen_status_t om_disk_open(omen_db *db, const om_io *io, const char *path,
                           const omen_db_options *options, omen_error *err) OM_NODISCARD;
/* Stops the keeper, seals what is worth it, makes everything durable, unlocks. */
void om_disk_close(omen_db *db);
void om_disk_free(omen_db *db); /* with the last reference; harmless in memory */
const om_io *om_db_io(const omen_db *db); /* the system's for a database in memory */
omen_status_t om_disk_refresh(omen_db *db, uint32_t *changed, omen_error *err) OM_NODISCARD;
void om_disk_stats(omen_db *db, omen_db_stats *out);

/* ---- The log (engine_record.c) ------------------------------------------------------------------ */
/* Refuses with the state's error unless writes are possible. More: the batch deletes, which is allowed when
 * the disk is full. */
omen_status_t om_disk_writable(omen_db *db, bool deletes, omen_error *err) OM_NODISCARD;
/* Logs a checked batch for which all memory is there, and waits until it is durable at its level; fills
 * w->done.version. write_mu of the collection held. The rows may be applied when this returns OMEN_OK. */
omen_status_t om_record_write(om_write *w, omen_error *err) OM_NODISCARD;
/* A refused batch that uses up its seq (ruling 16). write_mu held. */
omen_status_t om_record_consumed(om_collection *c, const omen_batch *batch, uint64_t *version,
                                 omen_error *err) OM_NODISCARD;
omen_status_t om_record_created(om_collection *c,
                                omen_error *err) OM_NODISCARD; /* durable on return */
omen_status_t om_record_dropped(om_collection *c, omen_error *err) OM_NODISCARD;
/* Applies one record; the om_log_apply of recovery. ctx: omen_db. */
omen_status_t om_record_replay(void *ctx, const om_log_record *record,
                               omen_error *err) OM_NODISCARD;

/* ---- Files of segments (engine_seal.c, engine_merge.c) -------------------------------------------- */
static inline uint64_t om_disk_take_id(om_disk *disk)
{
    return atomic_fetch_add(&disk->next_segment, 1);
}
/* The oldest frozen segment, indexed to its end, becomes a file and is replaced by it. *done false: there
 * is none. save_mu held. */
omen_status_t om_seal_next(om_collection *c, const om_stop *stop, bool *done,
                           omen_error *err) OM_NODISCARD;
/* One merge, if the policy wants one (tiers of four; more than a fifth dead; all: into one). save_mu held. */
omen_status_t om_merge_next(om_collection *c, bool all, const om_stop *stop, omen_op *op,
                            bool *done, omen_error *err) OM_NODISCARD;
/* Live rows of these segments, oldest first, as one segment file. dead: copies of their tombstones. */
typedef struct om_merge_input {
    om_segment *segment;
    const uint64_t *dead;
    uint32_t rows, live;
    const uint64_t *id_offsets; /* [rows + 1], and the bytes: ids of live rows of a segment in memory, */
    const uint8_t *id_bytes;    /* copied at the same moment. NULL: read when the merge begins       */
} om_merge_input;
omen_status_t om_merge_write(om_collection *c, const om_merge_input *inputs, uint32_t count,
                             const char *path, const om_stop *stop, omen_op *op,
                             omen_error *err) OM_NODISCARD;

/* ---- Checkpoints and the keeper (engine_checkpoint.c, engine_keeper.c) --------------------------- */
/* A manifest of what is sealed now, deaths and cursors first; then the log is trimmed and files that no
 * manifest names are removed. */
omen_status_t om_checkpoint_write(omen_db *db, omen_error *err) OM_NODISCARD;
/* omen_checkpoint: freezes and seals everything before it. */
omen_status_t om_checkpoint_all(omen_db *db, omen_op *op, omen_error *err) OM_NODISCARD;
omen_status_t om_keeper_create(omen_db *db, omen_error *err) OM_NODISCARD;
void om_keeper_free(omen_db *db);
void om_keeper_notify(
    omen_db *db); /* a segment was frozen or completed; any thread, any lock but its own */
#endif
