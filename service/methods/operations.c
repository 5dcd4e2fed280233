/* operations.c - the table of operations. An entry is taken at the start, runs once on a thread of the
 * pool, and is forgotten an hour after its end, or earlier when another one needs its place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operations.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup_list.h"

#define NS_PER_SECOND UINT64_C(1000000000)
enum { PATH_SIZE = 4096 + OM_BACKUP_NAME + 2 };

typedef struct entry {
    om_job job;
    om_operations *ops;
    uint64_t number;        /* 0: free */
    om_operation_view view; /* but done and total: those are the op's */
    omen_op *op;
    om_coll *coll;
    char path[PATH_SIZE], other[PATH_SIZE]; /* "": none */
    bool copy;
    uint64_t started_ns, ended_ns;
} entry;

struct om_operations {
    om_rt_shared *shared;
    om_pool *pool;
    uint64_t (*now_ns)(void);
    pthread_mutex_t mutex; /* guards all below; not held while an operation runs */
    uint64_t last_number;
    bool stopping;
    entry entries[OM_OPERATIONS_MAX];
};

static int64_t wall_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

om_operations *om_operations_create(om_rt_shared *shared, uint64_t (*now_ns)(void))
{
    om_operations *ops = calloc(1, sizeof *ops);
    if (ops == NULL) {
        return NULL;
    }
    ops->shared = shared;
    ops->now_ns = now_ns != NULL ? now_ns : om_pool_now_ns;
    ops->pool = om_pool_start("omend-maint", OM_OPERATIONS_THREADS, OM_OPERATIONS_MAX);
    if (ops->pool == NULL) {
        free(ops);
        return NULL;
    }
    pthread_mutex_init(&ops->mutex, NULL);
    /* The backups of earlier processes count: else each restart would look as if there were none. */
    int64_t newest_ms = om_backup_newest_ms(shared->opt.backup_dir);
    if (newest_ms > 0) {
        om_metrics_backup_found(shared->opt.metrics, newest_ms);
    }
    return ops;
}

static void release(entry *e)
{
    omen_op_free(e->op);
    om_coll_release(e->coll);
    memset(e, 0, sizeof *e);
}

void om_operations_stop(om_operations *ops)
{
    if (ops == NULL) {
        return;
    }
    pthread_mutex_lock(&ops->mutex);
    ops->stopping = true;
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        if (ops->entries[i].number != 0 && !om_operation_ended(&ops->entries[i].view)) {
            omen_op_cancel(ops->entries[i].op);
        }
    }
    pthread_mutex_unlock(&ops->mutex);
}

void om_operations_free(om_operations *ops)
{
    if (ops == NULL) {
        return;
    }
    om_operations_stop(ops);
    om_pool_free(ops->pool);
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        release(&ops->entries[i]);
    }
    pthread_mutex_destroy(&ops->mutex);
    free(ops);
}

/* ---- Running --------------------------------------------------------------------------------- */

static omen_status_t perform(entry *e, omen_backup_result *result, omen_error *err)
{
    omen_db *db = e->ops->shared->opt.db;
    omen_backup_options opt = {.struct_size = sizeof opt,
                               .flags = e->copy ? OMEN_BACKUP_COPY : 0,
                               .runtime = e->ops->shared->opt.runtime,
                               .previous = e->other[0] != '\0' ? e->other : NULL,
                               .op = e->op};
    omen_status_t whole = e->coll != NULL ? om_coll_whole(e->coll, err) : OMEN_OK;
    switch (e->view.kind) {
    case OM_OPERATION_OPTIMIZE:
        if (whole != OMEN_OK) { /* what is merged must not be zeros */
            return whole;
        }
        om_coll_enter(e->coll);
        return om_coll_leave(e->coll, omen_optimize(e->coll->handle, e->op, err), err);
    case OM_OPERATION_CHECKPOINT:
        return omen_checkpoint(db, e->op, err);
    case OM_OPERATION_BACKUP:
        return omen_backup(db, e->path, &opt, result, err);
    case OM_OPERATION_RESTORE:
        opt.previous = NULL;
        return omen_restore(e->path, e->other, &opt, result, err);
    default:
        return omen_verify(e->path, &opt, result, err);
    }
}

static void finish(entry *e, omen_status_t status, const omen_backup_result *result,
                   const omen_error *err)
{
    om_operations *ops = e->ops;
    pthread_mutex_lock(&ops->mutex);
    omen_progress progress;
    omen_op_progress(e->op, &progress);
    e->view.done = progress.done;
    e->view.total = progress.total;
    e->view.ended_ms = wall_ms();
    e->ended_ns = ops->now_ns();
    e->view.result = *result;
    e->view.state = OM_OPERATION_SUCCEEDED;
    if (status != OMEN_OK) {
        om_failure_from_engine(&e->view.error, err);
        e->view.state = status == OMEN_CANCELLED ? OM_OPERATION_CANCELLED : OM_OPERATION_FAILED;
    } else if (progress.total != 0) {
        e->view.done = progress.total;
    }
    om_metrics_maintenance_event event = {.kind = e->view.kind,
                                          .ok = status == OMEN_OK,
                                          .cancelled = status == OMEN_CANCELLED,
                                          .ns = e->ended_ns - e->started_ns};
    om_coll_release(e->coll);
    e->coll = NULL;
    pthread_mutex_unlock(&ops->mutex);
    om_metrics_maintenance_ended(ops->shared->opt.metrics, &event);
    if (status == OMEN_DATA_LOSS) {
        om_metrics_checksum_failure(ops->shared->opt.metrics);
    }
}

static void run(om_job *job, bool expired)
{
    entry *e = (entry *)(void *)job;
    om_operations *ops = e->ops;
    omen_backup_result result = {.struct_size = sizeof result};
    omen_error err = {.status = OMEN_CANCELLED,
                      .item = OMEN_NONE,
                      .message = "the server stopped before the operation began"};
    (void)expired;
    pthread_mutex_lock(&ops->mutex);
    bool stopping = ops->stopping;
    e->view.state = OM_OPERATION_RUNNING;
    e->started_ns = ops->now_ns();
    e->view.started_ms = wall_ms();
    pthread_mutex_unlock(&ops->mutex);
    om_metrics_maintenance_started(ops->shared->opt.metrics, e->view.kind);
    omen_status_t status = stopping ? OMEN_CANCELLED : perform(e, &result, &err);
    om_slog(ops->shared->opt.log, status == OMEN_OK ? OMEN_LOG_INFO : OMEN_LOG_WARN, "maintenance",
            status == OMEN_OK ? "an operation has ended" : err.message,
            OM_SLOG_STR("operation", e->view.id), OM_SLOG_STR("target", e->view.target),
            OM_SLOG_STR("status", omen_status_name(status)));
    finish(e, status, &result, &err);
}

/* ---- Entries; the mutex is held -------------------------------------------------------------- */

static bool expired_entry(const om_operations *ops, const entry *e)
{
    return e->number != 0 && om_operation_ended(&e->view) &&
           ops->now_ns() - e->ended_ns > OM_OPERATIONS_KEPT_S * NS_PER_SECOND;
}

/* A free entry; else the one that ended first; NULL: all are under way. */
static entry *take_entry(om_operations *ops)
{
    entry *oldest = NULL;
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        entry *e = &ops->entries[i];
        if (expired_entry(ops, e)) {
            release(e);
        }
        if (e->number == 0) {
            return e;
        }
        if (om_operation_ended(&e->view) && (oldest == NULL || e->ended_ns < oldest->ended_ns)) {
            oldest = e;
        }
    }
    if (oldest != NULL) {
        release(oldest);
    }
    return oldest;
}

static bool may_see(const om_principal *who, const entry *e)
{
    return om_principal_may_some(who, OM_VERB_ADMIN) ||
           (who->kind == e->view.by && strcmp(who->name, e->view.who) == 0);
}

static entry *find(om_operations *ops, const om_principal *who, const char *id, om_failure *f)
{
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        entry *e = &ops->entries[i];
        if (e->number != 0 && !expired_entry(ops, e) && strcmp(e->view.id, id) == 0 &&
            may_see(who, e)) {
            return e;
        }
    }
    (void)om_failure_set(
        f, OMEN_NOT_FOUND, "OPERATION_NOT_FOUND", "id",
        "there is no operation '%.64s': one is forgotten an hour after its end, and "
        "when the server restarts",
        id);
    return NULL;
}

static void look(const entry *e, om_operation_view *out)
{
    *out = e->view;
    if (!om_operation_ended(out)) {
        omen_progress progress;
        omen_op_progress(e->op, &progress);
        out->done = progress.done;
        out->total = progress.total;
    }
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* The paths of an operation on backups, checked before anything runs. */
static bool resolve(const om_operations *ops, const om_operation_request *q, entry *e,
                    om_failure *f)
{
    const char *folder = ops->shared->opt.backup_dir;
    om_backup_place place = {folder, "name", q->name, q->kind != OM_OPERATION_BACKUP};
    om_backup_place other = {folder, "previous", q->other, true};
    if (q->kind == OM_OPERATION_OPTIMIZE || q->kind == OM_OPERATION_CHECKPOINT) {
        return true;
    }
    if (q->kind == OM_OPERATION_RESTORE) {
        other.field = "to";
        other.exists = false;
    }
    bool second =
        q->kind == OM_OPERATION_RESTORE || (q->kind == OM_OPERATION_BACKUP && q->other[0] != '\0');
    return om_backup_path(&place, e->path, sizeof e->path, f) &&
           (!second || om_backup_path(&other, e->other, sizeof e->other, f));
}

static bool fill(om_operations *ops, const om_operation_request *q, entry *e, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    if (!resolve(ops, q, e, f)) {
        return false;
    }
    if (omen_op_create(&e->op, &err) != OMEN_OK) {
        return om_failure_from_engine(f, &err);
    }
    e->ops = ops;
    e->job.run = run;
    e->copy = q->copy;
    e->coll = q->coll != NULL ? om_coll_hold(q->coll) : NULL;
    e->number = ++ops->last_number;
    e->view.kind = q->kind;
    e->view.by = q->who->kind;
    (void)snprintf(e->view.who, sizeof e->view.who, "%s", q->who->name);
    e->view.state = OM_OPERATION_QUEUED;
    (void)snprintf(e->view.id, sizeof e->view.id, "%s-%llu", ops->shared->epoch,
                   (unsigned long long)e->number);
    (void)snprintf(e->view.target, sizeof e->view.target, "%s",
                   q->coll != NULL ? q->coll->name : q->name);
    return true;
}

bool om_operations_start(om_operations *ops, const om_operation_request *q, om_operation_view *out,
                         om_failure *f)
{
    bool ok = false;
    pthread_mutex_lock(&ops->mutex);
    entry *e = ops->stopping ? NULL : take_entry(ops);
    if (ops->stopping) {
        (void)om_failure_set(f, OMEN_UNAVAILABLE, "DRAINING", NULL, "the server is stopping");
        f->retry_ms = 1000;
    } else if (e == NULL) {
        (void)om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "RATE", NULL,
                             "%d operations are under way, which is the limit", OM_OPERATIONS_MAX);
        f->retry_ms = 1000;
    } else if (fill(ops, q, e, f)) {
        look(e, out);
        om_pool_submit_always(ops->pool, &e->job);
        ok = true;
    } else {
        release(e);
    }
    pthread_mutex_unlock(&ops->mutex);
    return ok;
}

bool om_operations_get(om_operations *ops, const om_principal *who, const char *id,
                       om_operation_view *out, om_failure *f)
{
    pthread_mutex_lock(&ops->mutex);
    const entry *e = find(ops, who, id, f);
    if (e != NULL) {
        look(e, out);
    }
    pthread_mutex_unlock(&ops->mutex);
    return e != NULL;
}

bool om_operations_cancel(om_operations *ops, const om_principal *who, const char *id,
                          om_operation_view *out, om_failure *f)
{
    pthread_mutex_lock(&ops->mutex);
    entry *e = find(ops, who, id, f);
    if (e != NULL) {
        if (!om_operation_ended(&e->view)) {
            omen_op_cancel(e->op);
        }
        look(e, out);
    }
    pthread_mutex_unlock(&ops->mutex);
    return e != NULL;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = (*(const entry *const *)a)->number;
    uint64_t y = (*(const entry *const *)b)->number;
    return x > y ? -1 : x < y;
}

size_t om_operations_list(om_operations *ops, const om_principal *who, om_operation_view *out)
{
    const entry *shown[OM_OPERATIONS_MAX];
    size_t n = 0;
    pthread_mutex_lock(&ops->mutex);
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        if (ops->entries[i].number != 0 && !expired_entry(ops, &ops->entries[i]) &&
            may_see(who, &ops->entries[i])) {
            shown[n++] = &ops->entries[i];
        }
    }
    qsort(shown, n, sizeof shown[0], newest_first);
    for (size_t i = 0; i < n; i++) {
        look(shown[i], &out[i]);
    }
    pthread_mutex_unlock(&ops->mutex);
    return n;
}
