/* wal_sync.c - group commit: whoever comes first syncs for all that wait; the timer of the interval level.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The leader takes the tail as it is when it begins, so its fdatasync covers every record that was appended
 * before; callers that come meanwhile wait, and the first of those that were not covered leads the next
 * one. A failed fdatasync is never repeated: the kernel marks the pages clean, and the next one would
 * succeed without having written them. */
#include <stdio.h>

#include "op.h"
#include "wal_int.h"

#define FASTEST_SYNC_NS UINT64_C(100000)

omen_status_t om_wal_writable(om_wal *wal, omen_error *err)
{
    uint32_t state = atomic_load(&wal->state);
    if (state == OM_LOG_OPEN) {
        return OMEN_OK;
    }
    if (state == OM_LOG_READ_ONLY) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                       "the log is open for reading only");
    }
    om_mutex_lock(&wal->sync_mu);
    omen_status_t status = om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                                   "the log takes no more records: %s", wal->reason);
    om_mutex_unlock(&wal->sync_mu);
    return status;
}

/* sync_mu held. */
static void mark_broken(om_wal *wal, const char *why)
{
    if (atomic_load(&wal->state) == OM_LOG_OPEN) {
        (void)snprintf(wal->reason, sizeof wal->reason, "%.*s", (int)sizeof wal->reason - 1, why);
        atomic_store(&wal->state, OM_LOG_BROKEN);
    }
    om_cond_broadcast(&wal->synced);
}

static omen_status_t outcome_unknown(const om_wal *wal, omen_error *err)
{
    om_log_write(wal->options.log, OMEN_LOG_ERROR, "log", "no more writing: %s", err->message);
    err->status = OMEN_UNAVAILABLE;
    err->detail = OMEN_D_OUTCOME_UNKNOWN;
    return OMEN_UNAVAILABLE;
}

omen_status_t om_wal_break(om_wal *wal, omen_error *err)
{
    om_mutex_lock(&wal->sync_mu);
    mark_broken(wal, err->message);
    om_mutex_unlock(&wal->sync_mu);
    return outcome_unknown(wal, err);
}

void om_wal_set_durable(om_wal *wal, uint64_t lsn)
{
    om_mutex_lock(&wal->sync_mu);
    if (lsn > atomic_load(&wal->durable)) {
        atomic_store(&wal->durable, lsn);
    }
    om_cond_broadcast(&wal->synced);
    om_mutex_unlock(&wal->sync_mu);
}

static void note_sync(om_wal *wal, uint64_t ns)
{
    uint32_t i = 0;
    while (i < OMEN_SYNC_TIMES - 1 && ns > FASTEST_SYNC_NS << i) {
        i++;
    }
    atomic_fetch_add(&wal->syncs, 1);
    atomic_fetch_add(&wal->sync_ns, ns);
    atomic_fetch_add(&wal->sync_times[i], 1);
}

/* One fdatasync of the current file; the files before it are durable. Never two at once: the kernel tells a
 * failure to one of them only. A new file is published with sync_mu held, before anything is in it, so the
 * tail that is seen here does not go beyond the file that is seen. */
static omen_status_t lead(om_wal *wal, omen_error *err) OM_RELEASE(wal->sync_mu)
{
    uint64_t written = atomic_load(&wal->written); /* before the tail: never too much */
    uint64_t tail = atomic_load(&wal->tail);
    om_wal_file *file = wal->current;
    om_assert(file != NULL); /* without one everything is durable */
    file->refs++;
    wal->syncing = true;
    om_mutex_unlock(&wal->sync_mu);
    uint64_t begun = om_now_ns();
    omen_status_t status = om_io_sync(&file->io, err);
    note_sync(wal, om_now_ns() - begun);
    if (status == OMEN_OK) {
        om_wal_set_durable(wal, tail);
        atomic_store(&wal->settled, written); /* one leader at a time */
    } else {
        status = om_wal_break(wal, err);
    }
    om_mutex_lock(&wal->sync_mu);
    wal->syncing = false;
    om_cond_broadcast(&wal->synced);
    om_mutex_unlock(&wal->sync_mu);
    om_wal_file_release(wal, file);
    return status;
}

static void await_leader(om_wal *wal) OM_REQUIRES(wal->sync_mu)
{
    (void)om_cond_wait(&wal->synced, &wal->sync_mu, 0);
}

omen_status_t om_wal_sync_now(om_wal *wal, omen_error *err)
{
    om_mutex_lock(&wal->sync_mu);
    while (wal->syncing) {
        await_leader(wal);
    }
    return lead(wal, err);
}

/* Somebody else's write or sync failed: whether the caller's records are on the disk is not known. */
static omen_status_t fail_broken(const om_wal *wal, omen_error *err)
{
    return om_fail(err, OMEN_UNAVAILABLE, OMEN_D_OUTCOME_UNKNOWN, "%s", wal->reason);
}

omen_status_t om_wal_sync(om_logdriver *driver, uint64_t lsn, omen_error *err)
{
    omen_error local;
    om_wal *wal = om_wal_of(driver);
    omen_status_t status = OMEN_OK;
    err = err != NULL ? err : &local;
    lsn = om_min_u64(lsn, atomic_load(&wal->tail));
    if (lsn <= atomic_load(&wal->durable)) {
        return OMEN_OK;
    }
    if (atomic_load(&wal->state) != OM_LOG_BROKEN) {
        OM_TRY(om_wal_writable(wal, err));
    }
    om_mutex_lock(&wal->sync_mu);
    while (status == OMEN_OK && lsn > atomic_load(&wal->durable)) {
        if (atomic_load(&wal->state) != OM_LOG_OPEN) {
            status = fail_broken(wal, err);
        } else if (wal->syncing) {
            await_leader(wal);
        } else {
            status = lead(wal, err);
            om_mutex_lock(&wal->sync_mu);
        }
    }
    om_mutex_unlock(&wal->sync_mu);
out:
    return status;
}

void om_wal_timer_notify(om_wal *wal)
{
    if (wal->timer != NULL && atomic_exchange(&wal->armed, 1) == 0) {
        om_mutex_lock(&wal->sync_mu);
        om_cond_broadcast(&wal->wake);
        om_mutex_unlock(&wal->sync_mu);
    }
}

/* Sleeps until something was appended, then for the interval, then syncs: so a record waits for the interval
 * and one sync at most, and an idle log wakes nobody. */
static void timer_main(void *ctx)
{
    om_wal *wal = ctx;
    om_mutex_lock(&wal->sync_mu);
    uint64_t until = om_now_ns() + wal->options.interval_ns;
    while (!wal->stop) {
        if (atomic_load(&wal->armed) == 0) {
            (void)om_cond_wait(&wal->wake, &wal->sync_mu, 0);
            until = om_now_ns() + wal->options.interval_ns;
        } else if (!om_cond_wait(&wal->wake, &wal->sync_mu, until)) {
            atomic_store(&wal->armed, 0);
            om_mutex_unlock(&wal->sync_mu);
            (void)om_wal_sync(&wal->driver, UINT64_MAX, NULL); /* A failure stays in the state. */
            om_mutex_lock(&wal->sync_mu);
            until = om_now_ns() + wal->options.interval_ns;
        }
    }
    om_mutex_unlock(&wal->sync_mu);
}

omen_status_t om_wal_timer_start(om_wal *wal, omen_error *err)
{
    return om_thread_create(wal->alloc, "omen-log", timer_main, wal, &wal->timer, err);
}

void om_wal_timer_stop(om_wal *wal)
{
    om_mutex_lock(&wal->sync_mu);
    wal->stop = true;
    om_cond_broadcast(&wal->wake);
    om_mutex_unlock(&wal->sync_mu);
    om_thread_join(wal->timer);
    wal->timer = NULL;
}
