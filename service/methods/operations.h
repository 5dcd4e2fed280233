/* operations.h - maintenance that takes long: a bounded table of operations, threads that run them, and names
 * of backups turned into paths below one folder. Who manages collections and not the server has a share of
 * the table and threads of its own, so that it keeps no administrator waiting.
 * Depends on: rt_shared.h, colls.h, failure.h.  Threads: any, but create and free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_OPERATIONS_H
#define OM_OPERATIONS_H
#include "colls.h"
#include "failure.h"
#include "rt_shared.h"

enum {
    OM_OPERATIONS_MAX = 64,      /* remembered, those under way included     */
    OM_OPERATIONS_SHARED = 48,   /* of them for who is no administrator      */
    OM_OPERATIONS_TENANT = 16,   /* of those for the callers of one tenant   */
    OM_OPERATIONS_OWN = 8,       /* under way for one such caller            */
    OM_OPERATIONS_OWNERS = 8,    /* who asked for one that was under way     */
    OM_OPERATIONS_THREADS = 2,   /* for OPTIMIZE, and as many for the rest   */
    OM_OPERATIONS_KEPT_S = 3600, /* after their end, if the table has room   */
    OM_BACKUP_NAME = 63          /* bytes of the name of a backup            */
};
/* The numbers of omen.v1.Operation. */
enum {
    OM_OPERATION_OPTIMIZE = 1,
    OM_OPERATION_CHECKPOINT = 2,
    OM_OPERATION_BACKUP = 3,
    OM_OPERATION_RESTORE = 4,
    OM_OPERATION_VERIFY = 5
};
enum {
    OM_OPERATION_QUEUED = 1,
    OM_OPERATION_RUNNING = 2,
    OM_OPERATION_SUCCEEDED = 3,
    OM_OPERATION_FAILED = 4,
    OM_OPERATION_CANCELLED = 5
};

typedef struct om_operations om_operations;
typedef struct om_operation_request {
    uint32_t kind;
    om_coll *coll;            /* OPTIMIZE; held by whoever asks        */
    const char *name, *other; /* backups: see maintenance.proto        */
    bool copy;
    const om_principal *who; /* who asks                               */
} om_operation_request;
/* An operation at one moment. */
typedef struct om_operation_view {
    char id[40];
    uint32_t kind, state;
    char target[OM_BACKUP_NAME + 1];
    char who[OM_ACCESS_MAX_PRINCIPAL + 1]; /* who began it                  */
    uint64_t done, total;
    int64_t started_ms, ended_ms; /* since 1970; 0: not yet                */
    om_failure error;             /* of FAILED and CANCELLED               */
    omen_backup_result result;    /* of SUCCEEDED                          */
} om_operation_view;

/* now_ns: NULL for CLOCK_MONOTONIC. NULL: no memory or threads. */
om_operations *om_operations_create(om_rt_shared *shared, uint64_t (*now_ns)(void));
/* Cancels what is under way and waits for its end. */
void om_operations_free(om_operations *ops);
/* Asks everything under way to stop; what is started afterwards is refused. */
void om_operations_stop(om_operations *ops);
/* An OPTIMIZE of a collection that is under way, or a CHECKPOINT that has not begun, answers for another one
 * like it and belongs to both callers then. False: *f says why, and nothing was started. */
bool om_operations_start(om_operations *ops, const om_operation_request *request,
                         om_operation_view *out, om_failure *f);
/* These show what `who` began of collections that it may read now, and everything to who may administer the
 * server; the rest is not there for them. To cancel takes MANAGE of the collection still. */
bool om_operations_get(om_operations *ops, const om_principal *who, const char *id,
                       om_operation_view *out, om_failure *f);
bool om_operations_cancel(om_operations *ops, const om_principal *who, const char *id,
                          om_operation_view *out, om_failure *f);
/* Who waits for an operation. `wake` is called with the table locked: when any operation has ended, at
 * until_ns and while the server drains, and again later as long as the waiter has not left. */
typedef struct om_operation_waiter {
    void (*wake)(struct om_operation_waiter *waiter);
    uint64_t until_ns; /* CLOCK_MONOTONIC */
    struct om_operation_waiter *prev, *next;
    bool waits;
} om_operation_waiter;
void om_operations_wait(om_operations *ops, om_operation_waiter *waiter);
/* Afterwards it is not woken any more. False: it had left before. */
bool om_operations_leave(om_operations *ops, om_operation_waiter *waiter);
/* Fills out[OM_OPERATIONS_MAX], newest first; returns how many. */
size_t om_operations_list(om_operations *ops, const om_principal *who, om_operation_view *out);
static inline bool om_operation_ended(const om_operation_view *v)
{
    return v->state >= OM_OPERATION_SUCCEEDED;
}

/* ^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$ and not "...partial", which a backup under way is called. */
bool om_backup_name_ok(const char *name);
/* The path of an entry of `folder`. exists: it must be a directory (a link is none); otherwise nothing may
 * be there. False: *f names the field. */
typedef struct om_backup_place {
    const char *folder; /* NULL: the server has none */
    const char *field, *name;
    bool exists;
} om_backup_place;
bool om_backup_path(const om_backup_place *place, char *out, size_t size, om_failure *f);
#endif
