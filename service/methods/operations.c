/* operations.c - the table of operations. An entry is taken at the start, runs once on a thread of a pool,
 * and is forgotten an hour after its end, or earlier when another one needs its place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operations.h"
#include "tenants.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup_list.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define SWEEP_NS UINT64_C(20000000)
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
    bool admin;     /* begun by an administrator */
    bool cancelled; /* it was asked to stop      */
    om_tenant *tenant;
    uint32_t owner_count; /* the first one began it */
    uint8_t owners[OM_OPERATIONS_OWNERS][OM_ACCESS_IDENTITY];
    uint64_t started_ns, ended_ns;
} entry;

struct om_operations {
    om_rt_shared *shared;
    om_pool *optimizes, *others; /* a long OPTIMIZE keeps no backup waiting */
    om_pool *waits;              /* one job, while anybody waits */
    om_job sweep;
    uint64_t (*now_ns)(void);
    pthread_mutex_t mutex; /* guards all below; not held while an operation runs */
    uint64_t last_number;
    bool stopping, sweeping;
    om_operation_waiter *waiters;
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
    ops->optimizes = om_pool_start("omend-optimize", OM_OPERATIONS_THREADS, OM_OPERATIONS_MAX);
    ops->others = om_pool_start("omend-maint", OM_OPERATIONS_THREADS, OM_OPERATIONS_MAX);
    ops->waits = om_pool_start("omend-wait", 1, 1);
    if (ops->optimizes == NULL || ops->others == NULL || ops->waits == NULL) {
        om_pool_free(ops->waits);
        om_pool_free(ops->optimizes);
        om_pool_free(ops->others);
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
    om_pool_free(ops->waits);
    om_pool_free(ops->optimizes);
    om_pool_free(ops->others);
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        release(&ops->entries[i]);
    }
    pthread_mutex_destroy(&ops->mutex);
    free(ops);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* A backup is what the server is made of again from: keys, tenants and whose the collections are belong to
 * it. They come after the data, so that no collection in the copy lacks its owner. */
static omen_status_t back_up(entry *e, const omen_backup_options *opt, omen_backup_result *result,
                             omen_error *err)
{
    const om_rt_options *o = &e->ops->shared->opt;
    char why[256];
    omen_status_t status = omen_backup(o->db, e->path, opt, result, err);
    if (status == OMEN_OK && !om_access_copy(o->access, e->path, why, sizeof why)) {
        memset(err, 0, sizeof *err);
        err->status = OMEN_UNAVAILABLE;
        err->detail = OMEN_D_IO;
        err->item = OMEN_NONE;
        (void)snprintf(
            err->message, sizeof err->message,
            "the data is saved, but not the keys and tenants: " OM_ACCESS_COPY ": %.150s", why);
        return OMEN_UNAVAILABLE;
    }
    return status;
}

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
        return back_up(e, &opt, result, err);
    case OM_OPERATION_RESTORE:
        opt.previous = NULL;
        return omen_restore(e->path, e->other, &opt, result, err);
    default:
        return omen_verify(e->path, &opt, result, err);
    }
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Calls that wait cost no worker and no place in a queue: the end of an operation wakes them, and one job for
 * all looks whose time is over. */
static void wake_waiters(om_operations *ops, uint64_t now)
{
    bool draining = atomic_load(&ops->shared->draining);
    for (om_operation_waiter *w = ops->waiters; w != NULL; w = w->next) {
        if (draining || w->until_ns <= now) {
            w->wake(w);
        }
    }
}

static void sweep(om_job *job, bool expired)
{
    om_operations *ops =
        (om_operations *)(void *)((char *)job - offsetof(struct om_operations, sweep));
    (void)expired;
    pthread_mutex_lock(&ops->mutex);
    wake_waiters(ops, om_pool_now_ns());
    ops->sweeping = ops->waiters != NULL;
    if (ops->sweeping) {
        om_pool_submit_later(ops->waits, &ops->sweep, SWEEP_NS);
    }
    pthread_mutex_unlock(&ops->mutex);
}

void om_operations_wait(om_operations *ops, om_operation_waiter *w)
{
    pthread_mutex_lock(&ops->mutex);
    w->prev = NULL;
    w->next = ops->waiters;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    ops->waiters = w;
    w->waits = true;
    if (!ops->sweeping) {
        ops->sweeping = true;
        ops->sweep.run = sweep;
        om_pool_submit_later(ops->waits, &ops->sweep, SWEEP_NS);
    }
    pthread_mutex_unlock(&ops->mutex);
}

bool om_operations_leave(om_operations *ops, om_operation_waiter *w)
{
    pthread_mutex_lock(&ops->mutex);
    bool waited = w->waits;
    if (waited) {
        *(w->prev != NULL ? &w->prev->next : &ops->waiters) = w->next;
        if (w->next != NULL) {
            w->next->prev = w->prev;
        }
        w->waits = false;
    }
    pthread_mutex_unlock(&ops->mutex);
    return waited;
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
    wake_waiters(ops, UINT64_MAX);
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

static bool is_of(const entry *e, const om_principal *who)
{
    for (uint32_t i = 0; i < e->owner_count; i++) {
        if (memcmp(e->owners[i], who->identity, sizeof e->owners[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* False: it has as many owners as it can have. */
static bool join(entry *e, const om_principal *who)
{
    if (!is_of(e, who)) {
        if (e->owner_count == OM_OPERATIONS_OWNERS) {
            return false;
        }
        memcpy(e->owners[e->owner_count++], who->identity, sizeof e->owners[0]);
    }
    return true;
}

static bool may_see(const om_principal *who, const entry *e)
{
    return om_principal_may_some(who, OM_VERB_ADMIN) ||
           (e->view.kind == OM_OPERATION_OPTIMIZE && is_of(e, who) &&
            om_principal_may(who, e->view.target, OM_VERB_READ));
}

/* One under way that does what is asked for; NULL: none. A checkpoint that runs may have passed what was
 * written since. */
static entry *same_entry(om_operations *ops, const om_operation_request *q)
{
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        entry *e = &ops->entries[i];
        if (e->number == 0 || e->cancelled || e->view.kind != q->kind) {
            continue;
        }
        if ((q->kind == OM_OPERATION_OPTIMIZE && !om_operation_ended(&e->view) &&
             e->coll == q->coll) ||
            (q->kind == OM_OPERATION_CHECKPOINT && e->view.state == OM_OPERATION_QUEUED)) {
            return e;
        }
    }
    return NULL;
}

/* ---- Whose entry is given away; the mutex is held -------------------------------------------- */

typedef enum scope { OF_CALLER, OF_TENANT, OF_SHARED, OF_ADMINS, OF_ALL } scope;

static bool is_in(const entry *e, const om_principal *who, scope which)
{
    switch (which) {
    case OF_CALLER:
        return memcmp(e->owners[0], who->identity, sizeof e->owners[0]) == 0 &&
               e->admin == om_principal_may_some(who, OM_VERB_ADMIN);
    case OF_TENANT:
        return !e->admin && e->tenant == who->tenant;
    case OF_SHARED:
        return !e->admin;
    case OF_ADMINS:
        return e->admin;
    default:
        return true;
    }
}

/* under_way: those that have ended are left out. */
static uint32_t count(const om_operations *ops, const om_principal *who, scope which,
                      bool under_way)
{
    uint32_t n = 0;
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        const entry *e = &ops->entries[i];
        n += e->number != 0 && is_in(e, who, which) && !(under_way && om_operation_ended(&e->view));
    }
    return n;
}

/* How many entries the tenant of e has; 0: it is an administrator's. */
static uint32_t held(const om_operations *ops, const entry *e)
{
    const om_principal like = {.tenant = e->tenant};
    return e->admin ? 0 : count(ops, &like, OF_TENANT, false);
}

/* Forgets one that has ended: of the tenant with most of them the one that ended first. NULL: none has. */
static entry *evict(om_operations *ops, const om_principal *who, scope which)
{
    entry *best = NULL;
    uint32_t most = 0;
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        entry *e = &ops->entries[i];
        if (e->number == 0 || !om_operation_ended(&e->view) || !is_in(e, who, which)) {
            continue;
        }
        uint32_t has = held(ops, e);
        if (best == NULL || has > most || (has == most && e->ended_ns < best->ended_ns)) {
            best = e;
            most = has;
        }
    }
    if (best != NULL) {
        release(best);
    }
    return best;
}

static entry *free_entry(om_operations *ops)
{
    entry *e = NULL;
    for (size_t i = 0; i < OM_OPERATIONS_MAX; i++) {
        if (expired_entry(ops, &ops->entries[i])) {
            release(&ops->entries[i]);
        }
        if (e == NULL && ops->entries[i].number == 0) {
            e = &ops->entries[i];
        }
    }
    return e;
}

static entry *refuse(om_failure *f, const char *whose, int limit)
{
    (void)om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "RATE", NULL,
                         "%d operations%s are under way, which is the limit", limit, whose);
    f->retry_ms = 1000;
    return NULL;
}

static entry *take_as_admin(om_operations *ops, const om_principal *who, om_failure *f)
{
    static const scope order[] = {OF_CALLER, OF_ADMINS, OF_ALL};
    entry *e = free_entry(ops);
    for (size_t i = 0; e == NULL && i < sizeof order / sizeof *order; i++) {
        e = evict(ops, who, order[i]);
    }
    return e != NULL ? e : refuse(f, "", OM_OPERATIONS_MAX);
}

/* Within the share of callers, of its tenant and of its own; what ended of its own goes first. */
static entry *take_as_caller(om_operations *ops, const om_principal *who, om_failure *f)
{
    entry *e = free_entry(ops);
    if (count(ops, who, OF_CALLER, true) >= OM_OPERATIONS_OWN) {
        return refuse(f, " of yours", OM_OPERATIONS_OWN);
    }
    if (count(ops, who, OF_TENANT, true) >= OM_OPERATIONS_TENANT) {
        return refuse(f, " of your tenant", OM_OPERATIONS_TENANT);
    }
    bool tenant_full = count(ops, who, OF_TENANT, false) >= OM_OPERATIONS_TENANT;
    bool shared_full = count(ops, who, OF_SHARED, false) >= OM_OPERATIONS_SHARED;
    if (e != NULL && !tenant_full && !shared_full) {
        return e;
    }
    e = evict(ops, who, OF_CALLER);
    e = e != NULL ? e : evict(ops, who, OF_TENANT);
    if (e == NULL && !tenant_full) {
        e = evict(ops, who, OF_SHARED);
    }
    if (e == NULL && !shared_full) { /* administrators have more than their places */
        e = evict(ops, who, OF_ADMINS);
    }
    return e != NULL ? e : refuse(f, " of collections", OM_OPERATIONS_SHARED);
}

static entry *take_entry(om_operations *ops, const om_principal *who, om_failure *f)
{
    return om_principal_may_some(who, OM_VERB_ADMIN) ? take_as_admin(ops, who, f)
                                                     : take_as_caller(ops, who, f);
}

/* ---- What callers see; the mutex is held ----------------------------------------------------- */

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
    e->admin = om_principal_may_some(q->who, OM_VERB_ADMIN);
    e->tenant = q->who->tenant;
    (void)join(e, q->who);
    e->job.lane = om_tenant_index(e->tenant);
    e->job.weight = om_tenant_weight(e->tenant);
    (void)snprintf(e->view.who, sizeof e->view.who, "%s", q->who->name);
    e->view.state = OM_OPERATION_QUEUED;
    (void)snprintf(e->view.id, sizeof e->view.id, "%s-%llu", ops->shared->epoch,
                   (unsigned long long)e->number);
    (void)snprintf(e->view.target, sizeof e->view.target, "%s",
                   q->coll != NULL ? q->coll->name : q->name);
    return true;
}

/* The entry that answers for the request; NULL: *f. */
static entry *begin(om_operations *ops, const om_operation_request *q, om_failure *f)
{
    if (ops->stopping) {
        (void)om_failure_set(f, OMEN_UNAVAILABLE, "DRAINING", NULL, "the server is stopping");
        f->retry_ms = 1000;
        return NULL;
    }
    entry *e = same_entry(ops, q);
    if (e != NULL) {
        return join(e, q->who) ? e : refuse(f, " for others", 1);
    }
    e = take_entry(ops, q->who, f);
    if (e == NULL) {
        return NULL;
    }
    if (!fill(ops, q, e, f)) {
        release(e);
        return NULL;
    }
    om_pool_submit_always(q->kind == OM_OPERATION_OPTIMIZE ? ops->optimizes : ops->others, &e->job);
    return e;
}

bool om_operations_start(om_operations *ops, const om_operation_request *q, om_operation_view *out,
                         om_failure *f)
{
    pthread_mutex_lock(&ops->mutex);
    const entry *e = begin(ops, q, f);
    if (e != NULL) {
        look(e, out);
    }
    pthread_mutex_unlock(&ops->mutex);
    return e != NULL;
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
    bool may = e != NULL && (om_principal_may_some(who, OM_VERB_ADMIN) ||
                             om_principal_may(who, e->view.target, OM_VERB_MANAGE));
    if (e != NULL) {
        look(e, out);
    }
    if (may && !om_operation_ended(&e->view)) {
        omen_op_cancel(e->op);
        e->cancelled = true;
    }
    pthread_mutex_unlock(&ops->mutex);
    if (e != NULL && !may) {
        return om_access_denied(ops->shared->opt.access, who, out->target, OM_VERB_MANAGE, f);
    }
    return may;
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
