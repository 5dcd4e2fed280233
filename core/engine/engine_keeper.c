/* engine_keeper.c - the thread of a database on disk: seals, merges, checkpoints, and looks after the disk.
 * SPDX-License-Identifier: Apache-2.0
 *
 * It wakes when something was frozen or completed, when much was logged, and once in a while. A failure is
 * reported and tried again later, each time after twice as long; what succeeds ends that. */
#include <string.h>

#include "engine_disk.h"
#include "wal.h"

#define SECOND_NS UINT64_C(1000000000)
#define TICK_NS (2 * SECOND_NS)
#define WATCH_NS (10 * SECOND_NS)
#define CHECKPOINT_NS (60 * SECOND_NS)
#define FIRST_DELAY_NS (SECOND_NS / 10)
#define LAST_DELAY_NS (30 * SECOND_NS)
#define LOG_BETWEEN (UINT64_C(4) * OM_WAL_MAX_FILE) /* from one checkpoint to the next */
#define LOG_MOST (UINT64_C(8) * OM_WAL_MAX_FILE)    /* then whoever holds it back is sealed */

typedef struct retry { /* after a failure */
    uint64_t delay_ns, not_before_ns;
} retry;
struct om_keeper {
    omen_db *db;
    om_mutex mu; /* rank KEEPER: the next three */
    om_cond wake;
    bool notified, stop;
    omen_op cancel; /* of whatever it does when the database is closed */
    om_thread *thread;
    uint64_t checked_ns, watched_ns; /* its own */
    retry all, merges; /* merges apart: one that always fails (a damaged file) must not hold seals back */
};

/* ---- Work -------------------------------------------------------------------------------------- */
static bool stopping(const om_keeper *keeper)
{
    return atomic_load(&keeper->cancel.cancelled) != 0;
}

static omen_status_t seal_collection(om_keeper *keeper, om_collection *c, bool *done,
                                     omen_error *err)
{
    om_stop stop = {.op = &keeper->cancel};
    const om_sealing how = {.least = UINT32_MAX, .stop = &stop};
    bool sealed = false;
    omen_status_t status = om_checkpoint_seal(c, &how, &sealed, err);
    *done = *done || sealed;
    return status;
}

static omen_status_t merge_collection(om_keeper *keeper, om_collection *c, bool *done,
                                      omen_error *err)
{
    om_stop stop = {.op = &keeper->cancel};
    bool merged = false;
    om_mutex_lock(&c->save_mu);
    omen_status_t status =
        atomic_load(&c->dropped) ? OMEN_OK : om_merge_next(c, false, &stop, NULL, &merged, err);
    om_mutex_unlock(&c->save_mu);
    *done = *done || merged;
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
    om_disk *disk = keeper->db->disk;
    om_log_state state;
    disk->log->ops->tail(disk->log, &state);
    uint64_t spares = (uint64_t)OM_WAL_SPARES * OM_WAL_MAX_FILE;
    om_collection *c = state.bytes > LOG_MOST + spares ? holder(roll) : NULL;
    if (c == NULL) {
        return OMEN_OK;
    }
    om_stop stop = {.op = &keeper->cancel};
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
                bytes += atomic_load(&set->part[s]->visible) * om_layout_total(&set->part[s]->layout);
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
    om_collection *c = keeper->db->rt->budget.limit != 0 ? largest(roll) : NULL;
    if (c == NULL || !om_memory_short(c)) {
        return OMEN_OK;
    }
    om_stop stop = {.op = &keeper->cancel};
    const om_sealing how = {.least = 1, .force = true, .stop = &stop};
    bool sealed = false;
    omen_status_t status = om_checkpoint_seal(c, &how, &sealed, err);
    *done = *done || sealed;
    return status;
}

static bool checkpoint_is_due(om_keeper *keeper, bool done)
{
    om_disk *disk = keeper->db->disk;
    uint64_t now = om_now_ns();
    if (done || atomic_load(&disk->logged) >= LOG_BETWEEN) {
        return true;
    }
    if (now - keeper->checked_ns < CHECKPOINT_NS) {
        return false;
    }
    keeper->checked_ns = now;
    return om_checkpoint_wanted(keeper->db);
}

/* The log is trimmed up to what the manifest before says, and the files of what was dropped go when no kept
 * manifest names them: after a seal or a drop, which free much, at once. */
static omen_status_t checkpoint(om_keeper *keeper, bool sealed, omen_error *err)
{
    om_disk *disk = keeper->db->disk;
    bool dropped = atomic_exchange(&disk->dropped, false);
    if (!checkpoint_is_due(keeper, sealed || dropped)) {
        return OMEN_OK;
    }
    omen_status_t status = sealed || dropped ? om_checkpoint_settle(keeper->db, err)
                                             : om_checkpoint_write(keeper->db, err);
    if (status != OMEN_OK && dropped) {
        atomic_store(&disk->dropped, true);
    }
    keeper->checked_ns = om_now_ns();
    return status;
}

/* The first failure is kept; the others go on, so that one collection does not stop all. */
static void keep_first(omen_status_t status, const omen_error *err, omen_status_t *first,
                       omen_error *out)
{
    if (status != OMEN_OK && *first == OMEN_OK) {
        *first = status;
        *out = *err;
    }
}

static void note_outcome(om_keeper *keeper, retry *again, omen_status_t status,
                         const omen_error *err)
{
    if (status == OMEN_OK || stopping(keeper)) {
        *again = (retry){.delay_ns = 0};
        return;
    }
    uint64_t delay = again->delay_ns == 0 ? FIRST_DELAY_NS : again->delay_ns * 2;
    again->delay_ns = om_min_u64(delay, LAST_DELAY_NS);
    again->not_before_ns = om_now_ns() + again->delay_ns;
    om_log_write(&keeper->db->rt->log, OMEN_LOG_WARN, "engine",
                 "%s: work in the background is tried again in %llu ms: %s",
                 keeper->db->disk->folder.text, (unsigned long long)(again->delay_ns / 1000000),
                 err->message);
    if (err->detail == OMEN_D_DISK_FULL) {
        om_disk_watch(keeper->db);
    }
}

/* One merge of each collection that wants one. What fails is noted here; a failure to settle is returned. */
static omen_status_t merge_all(om_keeper *keeper, const om_roll *roll, omen_error *err)
{
    omen_status_t first = OMEN_OK;
    omen_status_t status = OMEN_OK;
    omen_error why = {0};
    omen_error local = {0};
    bool merged = false;
    for (size_t i = 0; i < roll->count && !stopping(keeper); i++) {
        keep_first(merge_collection(keeper, roll->list[i], &merged, &local), &local, &first, &why);
    }
    note_outcome(keeper, &keeper->merges, first, &why);
    if (merged && !stopping(keeper)) {
        status = om_checkpoint_settle(keeper->db, err);
        /* The outcome may be merged in turn, rows were frozen meanwhile. */
        om_keeper_notify(keeper->db);
    }
    return status;
}

static omen_status_t work(om_keeper *keeper, const om_roll *roll, omen_error *err)
{
    omen_status_t first = OMEN_OK;
    omen_error local = {0};
    bool done = false;
    for (size_t i = 0; i < roll->count && !stopping(keeper); i++) {
        reclaim(roll->list[i]);
        keep_first(seal_collection(keeper, roll->list[i], &done, &local), &local, &first, err);
    }
    keep_first(release_log(keeper, roll, &done, &local), &local, &first, err);
    keep_first(release_memory(keeper, roll, &done, &local), &local, &first, err);
    /* Before merges, which take long: what is sealed frees log. */
    if (!stopping(keeper)) {
        keep_first(checkpoint(keeper, done, &local), &local, &first, err);
    }
    if (!stopping(keeper) && om_now_ns() >= keeper->merges.not_before_ns) {
        keep_first(merge_all(keeper, roll, &local), &local, &first, err);
    }
    return first;
}

static void round_of_work(om_keeper *keeper)
{
    omen_db *db = keeper->db;
    om_disk *disk = db->disk;
    om_roll roll = {.list = NULL};
    omen_error err = {0};
    uint64_t now = om_now_ns();
    if (now - keeper->watched_ns >= WATCH_NS || atomic_load(&disk->state) == OMEN_DB_DISK_FULL) {
        keeper->watched_ns = now;
        om_disk_watch(db);
    }
    uint32_t state = atomic_load(&disk->state);
    if ((state != OMEN_DB_WRITABLE && state != OMEN_DB_DISK_FULL) || now < keeper->all.not_before_ns) {
        return;
    }
    omen_status_t status = om_roll_take(db, &roll, &err);
    if (status == OMEN_OK) {
        status = work(keeper, &roll, &err);
    }
    om_roll_drop(db, &roll);
    atomic_store(&disk->failures, status == OMEN_OK ? 0 : atomic_load(&disk->failures) + 1);
    note_outcome(keeper, &keeper->all, status, &err);
}

/* ---- The thread -------------------------------------------------------------------------------- */
static void run(void *ctx)
{
    om_keeper *keeper = ctx;
    om_mutex_lock(&keeper->mu);
    while (!keeper->stop) {
        if (!keeper->notified) {
            (void)om_cond_wait(&keeper->wake, &keeper->mu, om_now_ns() + TICK_NS);
        }
        /* After a failure nobody hurries it. */
        while (!keeper->stop && om_now_ns() < keeper->all.not_before_ns) {
            (void)om_cond_wait(&keeper->wake, &keeper->mu, keeper->all.not_before_ns);
        }
        if (keeper->stop) {
            break;
        }
        keeper->notified = false;
        om_mutex_unlock(&keeper->mu);
        round_of_work(keeper);
        om_mutex_lock(&keeper->mu);
    }
    om_mutex_unlock(&keeper->mu);
}

omen_status_t om_keeper_create(omen_db *db, omen_error *err)
{
    const om_alloc *alloc = &db->rt->alloc;
    om_keeper *keeper = om_alloc_zero(alloc, 1, sizeof *keeper, _Alignof(om_keeper));
    if (keeper == NULL) {
        return om_fail_memory(err, "keeper", sizeof *keeper);
    }
    keeper->db = db;
    keeper->checked_ns = om_now_ns();
    keeper->watched_ns = keeper->checked_ns;
    omen_status_t status = om_mutex_init(&keeper->mu, OM_RANK_KEEPER, err);
    if (status != OMEN_OK) {
        goto no_mutex;
    }
    if ((status = om_cond_init(&keeper->wake, err)) != OMEN_OK) {
        goto no_cond;
    }
    status = om_thread_create(alloc, "omen-keep", run, keeper, &keeper->thread, err);
    if (status != OMEN_OK) {
        goto no_thread;
    }
    db->disk->keeper = keeper;
    return OMEN_OK;
no_thread:
    om_cond_destroy(&keeper->wake);
no_cond:
    om_mutex_destroy(&keeper->mu);
no_mutex:
    om_alloc_put(alloc, keeper, sizeof *keeper, _Alignof(om_keeper));
    return status;
}

void om_keeper_stop(omen_db *db)
{
    om_keeper *keeper = db->disk->keeper;
    if (keeper == NULL) {
        return;
    }
    atomic_store(&keeper->cancel.cancelled, 1);
    om_mutex_lock(&keeper->mu);
    keeper->stop = true;
    om_cond_broadcast(&keeper->wake);
    om_mutex_unlock(&keeper->mu);
    om_thread_join(keeper->thread);
    keeper->thread = NULL;
}

void om_keeper_free(omen_db *db)
{
    om_keeper *keeper = db->disk->keeper;
    if (keeper == NULL) {
        return;
    }
    om_keeper_stop(db);
    db->disk->keeper = NULL;
    om_cond_destroy(&keeper->wake);
    om_mutex_destroy(&keeper->mu);
    om_alloc_put(&db->rt->alloc, keeper, sizeof *keeper, _Alignof(om_keeper));
}

void om_keeper_notify(omen_db *db)
{
    om_keeper *keeper = db->disk != NULL ? db->disk->keeper : NULL;
    if (keeper == NULL) {
        return;
    }
    om_mutex_lock(&keeper->mu);
    keeper->notified = true;
    om_cond_broadcast(&keeper->wake);
    om_mutex_unlock(&keeper->mu);
}
