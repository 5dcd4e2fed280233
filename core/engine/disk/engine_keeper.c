/* engine_keeper.c - what a database on disk does in the background: seals and checkpoints, looking after the
 * disk, and (engine_merger.c, a thread of its own) merges.
 * SPDX-License-Identifier: Apache-2.0
 *
 * It wakes when something was frozen or completed, when much was logged, and once in a while. */
#include "engine_disk.h"
#include "wal.h"

#define SECOND_NS UINT64_C(1000000000)
#define WATCH_NS (10 * SECOND_NS)
#define CHECKPOINT_NS (60 * SECOND_NS)
#define LOG_BETWEEN (UINT64_C(4) * OM_WAL_MAX_FILE) /* from one checkpoint to the next */
#define LOG_MOST (UINT64_C(8) * OM_WAL_MAX_FILE)    /* then whoever holds it back is sealed */

struct om_keeper {
    om_worker keep, merge;
    uint64_t checked_ns, watched_ns; /* of `keep` */
};

/* ---- Work -------------------------------------------------------------------------------------- */
static bool stopping(const om_keeper *keeper)
{
    return om_worker_stopping(&keeper->keep);
}

static omen_status_t seal_collection(om_keeper *keeper, om_collection *c, bool *done,
                                     omen_error *err)
{
    om_stop stop = {.op = &keeper->keep.cancel};
    const om_sealing how = {.least = UINT32_MAX, .stop = &stop};
    bool sealed = false;
    omen_status_t status = om_checkpoint_seal(c, &how, &sealed, err);
    *done = *done || sealed;
    return status;
}

/* Sets that no search holds any more; without this their memory would wait for the next swap. */
static void reclaim(om_collection *c)
{
    om_mutex_lock(&c->write_mu);
    om_set *past = om_sets_reclaim(c);
    om_mutex_unlock(&c->write_mu);
    om_sets_free_list(c->rt, past);
}

/* The collection whose oldest row in memory is the oldest of all. */
static om_collection *holder(const om_roll *roll)
{
    om_collection *found = NULL;
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < roll->count; i++) {
        om_collection *c = roll->list[i];
        om_mutex_lock(&c->write_mu);
        const om_set *set = om_set_load(c);
        for (uint32_t s = 0; s < set->count; s++) {
            uint64_t first = atomic_load(&set->part[s]->first_version);
            if (set->part[s]->mapped == NULL && first != 0 && first < oldest) {
                oldest = first;
                found = c;
            }
        }
        om_mutex_unlock(&c->write_mu);
    }
    return found;
}

/* Much log is kept because of some collection with few new rows: they go into a file, however few. */
static omen_status_t release_log(om_keeper *keeper, const om_roll *roll, bool *done,
                                 omen_error *err)
{
    om_disk *disk = keeper->keep.db->disk;
    om_log_state state;
    disk->log->ops->tail(disk->log, &state);
    uint64_t spares = (uint64_t)OM_WAL_SPARES * OM_WAL_MAX_FILE;
    om_collection *c = state.bytes > LOG_MOST + spares ? holder(roll) : NULL;
    if (c == NULL) {
        return OMEN_OK;
    }
    om_stop stop = {.op = &keeper->keep.cancel};
    const om_sealing how = {.least = 1, .force = true, .stop = &stop};
    bool sealed = false;
    omen_status_t status = om_checkpoint_seal(c, &how, &sealed, err);
    *done = *done || sealed;
    return status;
}

/* The collection with the most bytes of rows in memory; NULL: there are none. */
static om_collection *largest(const om_roll *roll)
{
    om_collection *found = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < roll->count; i++) {
        om_collection *c = roll->list[i];
        uint64_t bytes = 0;
        om_mutex_lock(&c->write_mu);
        const om_set *set = om_set_load(c);
        for (uint32_t s = 0; s < set->count; s++) {
            if (set->part[s]->mapped == NULL) {
                bytes +=
                    atomic_load(&set->part[s]->visible) * om_layout_total(&set->part[s]->layout);
            }
        }
        om_mutex_unlock(&c->write_mu);
        if (bytes > most) {
            most = bytes;
            found = c;
        }
    }
    return found;
}

/* Memory is short: rows of whoever has most of them go into a file, also when nobody writes there now. */
static omen_status_t release_memory(om_keeper *keeper, const om_roll *roll, bool *done,
                                    omen_error *err)
{
    om_collection *c = keeper->keep.db->rt->budget.limit != 0 ? largest(roll) : NULL;
    if (c == NULL || !om_memory_short(c)) {
        return OMEN_OK;
    }
    om_stop stop = {.op = &keeper->keep.cancel};
    const om_sealing how = {.least = 1, .force = true, .stop = &stop};
    bool sealed = false;
    omen_status_t status = om_checkpoint_seal(c, &how, &sealed, err);
    *done = *done || sealed;
    return status;
}

static bool checkpoint_is_due(om_keeper *keeper, bool done)
{
    om_disk *disk = keeper->keep.db->disk;
    uint64_t now = om_now_ns();
    if (done || atomic_load(&disk->logged) >= LOG_BETWEEN) {
        return true;
    }
    if (now - keeper->checked_ns < CHECKPOINT_NS) {
        return false;
    }
    keeper->checked_ns = now;
    return om_checkpoint_wanted(keeper->keep.db);
}

/* The log is trimmed up to what the manifest before says, and the files of what was dropped go when no kept
 * manifest names them: after a seal or a drop, which free much, at once. */
static omen_status_t checkpoint(om_keeper *keeper, bool sealed, omen_error *err)
{
    om_disk *disk = keeper->keep.db->disk;
    bool dropped = atomic_exchange(&disk->dropped, false);
    if (!checkpoint_is_due(keeper, sealed || dropped)) {
        return OMEN_OK;
    }
    omen_status_t status = sealed || dropped ? om_checkpoint_settle(keeper->keep.db, err)
                                             : om_checkpoint_write(keeper->keep.db, err);
    if (status != OMEN_OK && dropped) {
        atomic_store(&disk->dropped, true);
    }
    keeper->checked_ns = om_now_ns();
    return status;
}

void om_first_failure(omen_status_t status, const omen_error *err, omen_status_t *first,
                      omen_error *out)
{
    if (status != OMEN_OK && *first == OMEN_OK) {
        *first = status;
        *out = *err;
    }
}

static omen_status_t work(om_keeper *keeper, const om_roll *roll, omen_error *err)
{
    omen_status_t first = OMEN_OK;
    omen_error local = {0};
    bool done = false;
    for (size_t i = 0; i < roll->count && !stopping(keeper); i++) {
        reclaim(roll->list[i]);
        om_first_failure(seal_collection(keeper, roll->list[i], &done, &local), &local, &first,
                         err);
    }
    om_first_failure(release_log(keeper, roll, &done, &local), &local, &first, err);
    om_first_failure(release_memory(keeper, roll, &done, &local), &local, &first, err);
    if (!stopping(keeper)) {
        om_first_failure(checkpoint(keeper, done, &local), &local, &first, err);
    }
    if (done) {
        om_worker_notify(&keeper->merge);
    }
    return first;
}

static omen_status_t keep(om_worker *worker, omen_error *err)
{
    om_keeper *keeper = (om_keeper *)worker; /* its first member */
    omen_db *db = worker->db;
    om_disk *disk = db->disk;
    om_roll roll = {.list = NULL};
    uint64_t now = om_now_ns();
    if (now - keeper->watched_ns >= WATCH_NS || atomic_load(&disk->state) == OMEN_DB_DISK_FULL) {
        keeper->watched_ns = now;
        om_disk_watch(db);
    }
    uint32_t state = atomic_load(&disk->state);
    if (state != OMEN_DB_WRITABLE && state != OMEN_DB_DISK_FULL) {
        return OMEN_OK;
    }
    omen_status_t status = om_roll_take(db, &roll, err);
    if (status == OMEN_OK) {
        status = work(keeper, &roll, err);
    }
    om_roll_drop(db, &roll);
    atomic_store(&disk->failures, status == OMEN_OK ? 0 : atomic_load(&disk->failures) + 1);
    return status;
}

/* ---- Life -------------------------------------------------------------------------------------- */
omen_status_t om_keeper_create(omen_db *db, omen_error *err)
{
    const om_alloc *alloc = &db->rt->alloc;
    om_keeper *keeper = om_alloc_zero(alloc, 1, sizeof *keeper, _Alignof(om_keeper));
    if (keeper == NULL) {
        return om_fail_memory(err, "keeper", sizeof *keeper);
    }
    keeper->keep = (om_worker){.db = db, .round = keep};
    keeper->merge = (om_worker){.db = db, .round = om_merger_round};
    keeper->checked_ns = om_now_ns();
    keeper->watched_ns = keeper->checked_ns;
    omen_status_t status = om_worker_start(&keeper->merge, "omen-merge", err);
    if (status != OMEN_OK) {
        goto no_merger;
    }
    status = om_worker_start(&keeper->keep, "omen-keep", err);
    if (status != OMEN_OK) {
        goto no_keeper;
    }
    db->disk->keeper = keeper;
    return OMEN_OK;
no_keeper:
    om_worker_destroy(&keeper->merge);
no_merger:
    om_alloc_put(alloc, keeper, sizeof *keeper, _Alignof(om_keeper));
    return status;
}

void om_keeper_stop(omen_db *db)
{
    om_keeper *keeper = db->disk->keeper;
    if (keeper == NULL) {
        return;
    }
    om_worker_stop(&keeper->keep);
    om_worker_stop(&keeper->merge);
}

void om_keeper_free(omen_db *db)
{
    om_keeper *keeper = db->disk->keeper;
    if (keeper == NULL) {
        return;
    }
    db->disk->keeper = NULL;
    om_worker_destroy(&keeper->keep);
    om_worker_destroy(&keeper->merge);
    om_alloc_put(&db->rt->alloc, keeper, sizeof *keeper, _Alignof(om_keeper));
}

void om_keeper_notify(omen_db *db)
{
    om_keeper *keeper = db->disk != NULL ? db->disk->keeper : NULL;
    if (keeper != NULL) {
        om_worker_notify(&keeper->keep);
    }
}
