/* engine_state.c - whether a database on disk can be written, why not, and how full its disk is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "engine_disk.h"
#include "wal.h"

#define LOOK_AGAIN_NS UINT64_C(1000000000)
#define RESERVE_MOST (UINT64_C(1) << 30)
enum { RESERVE_SHARE = 20, REASON_WRITING = 1, REASON_SET = 2 };

/* ---- States that stay -------------------------------------------------------------------------- */
void om_disk_fail(omen_db *db, uint32_t state, const char *reason)
{
    om_disk *disk = db->disk;
    uint32_t none = 0;
    if (!atomic_compare_exchange_strong(&disk->reason_set, &none, REASON_WRITING)) {
        return; /* another thread was first: what it says holds */
    }
    (void)snprintf(disk->reason, sizeof disk->reason, "%s", reason);
    atomic_store_explicit(&disk->reason_set, REASON_SET, memory_order_release);
    atomic_store(&disk->state, state);
    if (state != OMEN_DB_OPENED_READ_ONLY) {
        om_log_write(&db->rt->log, OMEN_LOG_ERROR, "engine", "%s: can only be read: %s",
                     disk->folder.text, disk->reason);
    }
}

static const char *reason_of(const om_disk *disk)
{
    bool set = atomic_load_explicit(&disk->reason_set, memory_order_acquire) == REASON_SET;
    return set ? disk->reason : "another thread found that it cannot be written";
}

/* ---- Full and not full ------------------------------------------------------------------------- */
void om_disk_full(omen_db *db)
{
    uint32_t writable = OMEN_DB_WRITABLE;
    om_disk *disk = db->disk;
    if (atomic_compare_exchange_strong(&disk->state, &writable, OMEN_DB_DISK_FULL)) {
        atomic_store(&disk->disk_looked_ns, om_io_now(disk->io));
        om_log_write(&db->rt->log, OMEN_LOG_WARN, "engine",
                     "%s: the disk is full: nothing but deletes is accepted", disk->folder.text);
        om_keeper_notify(db);
    }
}

static uint64_t reserve_of(const om_disk *disk, const om_io_space *space)
{
    uint64_t share = space->total / RESERVE_SHARE;
    return disk->options.reserve_bytes != 0 ? disk->options.reserve_bytes
                                            : om_min_u64(share, RESERVE_MOST);
}

void om_disk_watch(omen_db *db)
{
    om_disk *disk = db->disk;
    om_io_space space = {0};
    omen_error err;
    atomic_store(&disk->disk_looked_ns, om_io_now(disk->io));
    if (om_io_free_space(disk->io, disk->folder.text, &space, &err) != OMEN_OK) {
        om_log_write(&db->rt->log, OMEN_LOG_WARN, "engine", "%s", err.message);
        return; /* what is not known changes nothing: the next write tells */
    }
    uint64_t reserve = reserve_of(disk, &space);
    atomic_store(&disk->disk_available, space.available);
    atomic_store(&disk->disk_reserve, reserve);
    if (space.available < reserve) {
        om_disk_full(db);
        return;
    }
    uint32_t full = OMEN_DB_DISK_FULL;
    if (atomic_compare_exchange_strong(&disk->state, &full, OMEN_DB_WRITABLE)) {
        om_log_write(&db->rt->log, OMEN_LOG_INFO, "engine", "%s: there is space on the disk again",
                     disk->folder.text);
    }
}

static omen_status_t refuse_full(const om_disk *disk, omen_error *err)
{
    omen_status_t status =
        om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_DISK_FULL,
                "the disk is full: %llu bytes are free, %llu are kept in reserve",
                (unsigned long long)atomic_load(&disk->disk_available),
                (unsigned long long)atomic_load(&disk->disk_reserve));
    if (err != NULL) {
        err->flags |= OMEN_ERROR_RETRIABLE;
    }
    return status;
}

omen_status_t om_disk_writable(omen_db *db, bool deletes, omen_error *err)
{
    om_disk *disk = db->disk;
    if (disk == NULL) {
        return OMEN_OK;
    }
    uint32_t state = atomic_load(&disk->state);
    if (OM_LIKELY(state == OMEN_DB_WRITABLE)) {
        return OMEN_OK;
    }
    if (state == OMEN_DB_DISK_FULL) {
        uint64_t looked = atomic_load(&disk->disk_looked_ns);
        if (om_io_now(disk->io) - looked >= LOOK_AGAIN_NS) {
            om_disk_watch(db);
        }
        if (deletes || atomic_load(&disk->state) == OMEN_DB_WRITABLE) {
            return OMEN_OK;
        }
        return refuse_full(disk, err);
    }
    return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                   "the database can only be read: %s", reason_of(disk));
}

/* ---- What is counted --------------------------------------------------------------------------- */
void om_disk_version(omen_db *db, uint64_t lsn)
{
    om_db_raise_version(db, lsn);
}

void om_disk_logged(omen_db *db, uint64_t lsn, uint64_t bytes)
{
    om_disk_version(db, lsn);
    om_disk *disk = db->disk;
    /* The keeper looks at the log once in a while; this many bytes should not wait for that. */
    const uint64_t many = (uint64_t)OM_WAL_MAX_FILE * 2;
    uint64_t before = atomic_fetch_add(&disk->logged, bytes);
    if (before / many != (before + bytes) / many) {
        om_keeper_notify(db);
    }
}

void om_disk_prepare(om_collection *c)
{
    c->streams.io = c->db->disk->io;
    c->streams.first_epoch = om_io_wall(c->db->disk->io);
}

/* ---- A poll ------------------------------------------------------------------------------------ */
static void count_segments(om_collection *c, omen_db_stats *out)
{
    om_ctx *ctx = NULL; /* keeps the set alive, without a lock that a writer holds while it syncs */
    if (om_ctx_acquire(c->rt, &ctx, NULL) != OMEN_OK) {
        return;
    }
    om_ctx_pin(c->rt, ctx);
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        const om_segment *seg = set->part[i];
        if (seg->mapped != NULL) {
            out->segments++;
            out->segment_bytes += om_mapped_bytes(seg->mapped);
        } else {
            out->growing_rows += atomic_load_explicit(&seg->visible, memory_order_relaxed);
        }
    }
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
}

static void log_stats(const omen_db *db, omen_db_stats *out)
{
    om_disk *disk = db->disk;
    if (disk->log == NULL) {
        out->durable_version = out->version;
        out->log_bytes = atomic_load(&disk->log_bytes);
        return;
    }
    om_log_state state;
    disk->log->ops->tail(disk->log, &state);
    out->durable_version = state.durable;
    out->log_bytes = state.bytes;
    out->log_syncs = state.syncs;
    out->log_records = state.appends;
    out->log_written_bytes = state.written;
    out->log_unsynced_bytes = state.unsynced;
    out->log_sync_ns = state.sync_ns;
    memcpy(out->log_sync_times, state.sync_times, sizeof out->log_sync_times);
}

static void state_text(const om_disk *disk, omen_db_stats *out)
{
    if (out->state == OMEN_DB_DISK_FULL) {
        (void)snprintf(out->reason, sizeof out->reason, "%llu bytes are free, %llu are kept",
                       (unsigned long long)atomic_load(&disk->disk_available),
                       (unsigned long long)atomic_load(&disk->disk_reserve));
    } else if (out->state != OMEN_DB_WRITABLE) {
        (void)snprintf(out->reason, sizeof out->reason, "%s", reason_of(disk));
    }
}

void om_disk_stats(omen_db *db, omen_db_stats *out)
{
    const om_disk *disk = db->disk;
    out->state = atomic_load(&disk->state);
    out->checkpoint_version = atomic_load(&disk->checkpoint);
    out->disk_available = atomic_load(&disk->disk_available);
    out->checkpoints = atomic_load(&disk->checkpoints);
    out->seals = atomic_load(&disk->seals);
    out->merges = atomic_load(&disk->merges);
    out->replayed_records = atomic_load(&disk->replayed_records);
    out->replayed_ns = atomic_load(&disk->replayed_ns);
    out->recovered_rows = atomic_load(&disk->recovered_rows);
    log_stats(db, out);
    state_text(disk, out);
}

omen_status_t om_db_stats(omen_db *db, omen_db_stats *out, omen_error *err)
{
    (void)err;
    out->version = atomic_load(&db->version);
    out->durable_version = 0;
    out->state = OMEN_DB_WRITABLE;
    out->reason[0] = '\0';
    out->collections = 0;
    out->segments = 0;
    out->growing_rows = 0;
    out->segment_bytes = 0;
    om_collection *c;
    for (size_t i = 0; (c = om_db_at(db, i)) != NULL; i++) {
        out->collections++;
        count_segments(c, out);
        om_collection_unref(c);
    }
    if (db->disk != NULL) {
        om_disk_stats(db, out);
    }
    return OMEN_OK;
}
