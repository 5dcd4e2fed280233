/* operate.c - Maintenance: starting operations, asking for them, waiting for them; and the state of the
 * database. Everything here answers at once but WaitOperation, which the end of an operation wakes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "impls.h"
#include "method_util.h"
#include "omen/v1/maintenance.pb-c.h"
#include "operations.h"

enum { WAIT_DEFAULT_MS = 30000, WAIT_MAX_MS = 600000 };
#define NS_PER_MS UINT64_C(1000000)

/* ---- Answers --------------------------------------------------------------------------------- */

/* One Operation message with what it points to. */
typedef struct shown {
    Omen__V1__Operation message;
    Omen__V1__Operation__Error error;
    Omen__V1__Operation__Result result;
} shown;

/* The texts are the view's. */
static void show(om_operation_view *v, shown *out)
{
    omen__v1__operation__init(&out->message);
    out->message.id = v->id;
    out->message.kind = (Omen__V1__Operation__Kind)v->kind;
    out->message.state = (Omen__V1__Operation__State)v->state;
    out->message.target = v->target;
    out->message.done = v->done;
    out->message.total = v->total;
    out->message.started_unix_ms = v->started_ms;
    out->message.ended_unix_ms = v->ended_ms;
    if (v->state == OM_OPERATION_FAILED || v->state == OM_OPERATION_CANCELLED) {
        omen__v1__operation__error__init(&out->error);
        out->error.code = v->error.code;
        out->error.reason = v->error.reason;
        out->error.message = v->error.message;
        out->message.error = &out->error;
    }
    if (v->state == OM_OPERATION_SUCCEEDED) {
        omen__v1__operation__result__init(&out->result);
        out->result.version = v->result.version;
        out->result.files = v->result.files;
        out->result.bytes = v->result.bytes;
        out->result.files_linked = v->result.files_linked;
        out->result.bytes_copied = v->result.bytes_copied;
        out->message.result = &out->result;
    }
}

static void answer(om_rpc *rpc, bool ok, om_operation_view *v, const om_failure *f)
{
    shown s;
    if (!ok) {
        om_rpc_finish(rpc, f);
        return;
    }
    show(v, &s);
    om_rpc_reply_pb(rpc, &s.message.base);
}

static om_operations *operations_of(om_rpc *rpc)
{
    return om_rt_shared_of(om_rpc_runtime(rpc))->operations;
}

/* ---- Starting -------------------------------------------------------------------------------- */

static const char *action_of(uint32_t kind)
{
    static const char *const names[] = {"operate", "optimize", "checkpoint",
                                        "backup",  "restore",  "verify"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : names[0];
}

static void begin(om_rpc *rpc, om_operation_request *request)
{
    om_operation_view v;
    om_failure f;
    request->who = om_rpc_principal(rpc);
    bool ok = om_operations_start(operations_of(rpc), request, &v, &f);
    om_rpc_audit(rpc, action_of(request->kind), ok ? v.target : request->name, ok);
    answer(rpc, ok, &v, &f);
}

static void optimize_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__OptimizeRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__optimize_request__descriptor);
    om_failure f;
    if (q == NULL) {
        return;
    }
    om_operation_request request = {.kind = OM_OPERATION_OPTIMIZE, .name = "", .other = ""};
    request.coll = om_method_coll(rpc, q->collection, &f);
    if (request.coll == NULL) {
        om_rpc_finish(rpc, &f);
        return;
    }
    begin(rpc, &request);
    om_coll_release(request.coll);
}

static void checkpoint_message(om_rpc *rpc, om_rpc_message *m)
{
    if (om_rpc_unpack(rpc, m, &omen__v1__checkpoint_request__descriptor) != NULL) {
        om_operation_request request = {.kind = OM_OPERATION_CHECKPOINT, .name = "", .other = ""};
        begin(rpc, &request);
    }
}

static void backup_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__BackupRequest *q = om_rpc_unpack(rpc, m, &omen__v1__backup_request__descriptor);
    if (q != NULL) {
        om_operation_request request = {.kind = OM_OPERATION_BACKUP,
                                        .name = q->name,
                                        .other = q->previous,
                                        .copy = q->copy != 0};
        begin(rpc, &request);
    }
}

static void restore_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__RestoreRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__restore_request__descriptor);
    if (q != NULL) {
        om_operation_request request = {
            .kind = OM_OPERATION_RESTORE, .name = q->name, .other = q->to};
        begin(rpc, &request);
    }
}

static void verify_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__VerifyRequest *q = om_rpc_unpack(rpc, m, &omen__v1__verify_request__descriptor);
    if (q != NULL) {
        om_operation_request request = {.kind = OM_OPERATION_VERIFY, .name = q->name, .other = ""};
        begin(rpc, &request);
    }
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void get_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__GetOperationRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__get_operation_request__descriptor);
    om_operation_view v;
    om_failure f;
    if (q != NULL) {
        answer(rpc, om_operations_get(operations_of(rpc), om_rpc_principal(rpc), q->id, &v, &f), &v,
               &f);
    }
}

static void cancel_message(om_rpc *rpc, om_rpc_message *m)
{
    const Omen__V1__CancelOperationRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__cancel_operation_request__descriptor);
    om_operation_view v;
    om_failure f;
    if (q != NULL) {
        bool ok = om_operations_cancel(operations_of(rpc), om_rpc_principal(rpc), q->id, &v, &f);
        om_rpc_audit(rpc, "cancel_operation", ok ? v.target : q->id, ok);
        answer(rpc, ok, &v, &f);
    }
}

static void list_message(om_rpc *rpc, om_rpc_message *m)
{
    if (om_rpc_unpack(rpc, m, &omen__v1__list_operations_request__descriptor) == NULL) {
        return;
    }
    om_operation_view *views = calloc(OM_OPERATIONS_MAX, sizeof *views);
    shown *rows = calloc(OM_OPERATIONS_MAX, sizeof *rows);
    Omen__V1__Operation *pointers[OM_OPERATIONS_MAX];
    if (views != NULL && rows != NULL) {
        Omen__V1__ListOperationsResponse r;
        omen__v1__list_operations_response__init(&r);
        r.n_operations = om_operations_list(operations_of(rpc), om_rpc_principal(rpc), views);
        for (size_t i = 0; i < r.n_operations; i++) {
            show(&views[i], &rows[i]);
            pointers[i] = &rows[i].message;
        }
        r.operations = pointers;
        om_rpc_reply_pb(rpc, &r.base);
    } else {
        om_failure f;
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the list");
        om_rpc_finish(rpc, &f);
    }
    free(views);
    free(rows);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

typedef struct wait_call {
    om_operation_waiter waiter; /* first; holds the call while it waits */
    om_rpc *rpc;
    const char *id; /* lives in the arena of the call */
} wait_call;

static void wake(om_operation_waiter *waiter)
{
    om_rpc_post(((wait_call *)(void *)waiter)->rpc);
}

static void leave(wait_call *c)
{
    if (om_operations_leave(operations_of(c->rpc), &c->waiter)) {
        om_rpc_release(c->rpc);
    }
}

static void wait_posted(om_rpc *rpc)
{
    wait_call *c = om_rpc_state(rpc);
    om_operation_view v;
    om_failure f;
    if (!c->waiter.waits || om_rpc_is_cancelled(rpc)) {
        return;
    }
    bool ok = om_operations_get(operations_of(rpc), om_rpc_principal(rpc), c->id, &v, &f);
    bool more = ok && !om_operation_ended(&v) && om_pool_now_ns() < c->waiter.until_ns;
    if (!more || om_rpc_draining(rpc)) {
        answer(rpc, ok, &v, &f);
        leave(c);
    }
}

static void wait_cancelled(om_rpc *rpc)
{
    wait_call *c = om_rpc_state(rpc);
    if (c->waiter.waits) {
        leave(c);
    }
}

static void wait_message(om_rpc *rpc, om_rpc_message *m)
{
    wait_call *c = om_rpc_state(rpc);
    const Omen__V1__WaitOperationRequest *q =
        om_rpc_unpack(rpc, m, &omen__v1__wait_operation_request__descriptor);
    om_failure f;
    if (q == NULL) {
        return;
    }
    if (q->timeout_ms > WAIT_MAX_MS) {
        om_failure_limit(&f, "timeout_ms", q->timeout_ms, WAIT_MAX_MS);
        om_rpc_finish(rpc, &f);
        return;
    }
    uint64_t ms = q->timeout_ms == 0 ? WAIT_DEFAULT_MS : q->timeout_ms;
    *c = (wait_call){.waiter = {.wake = wake, .until_ns = om_pool_now_ns() + ms * NS_PER_MS},
                     .rpc = rpc,
                     .id = q->id};
    om_rpc_hold(rpc);
    om_operations_wait(operations_of(rpc), &c->waiter);
    /* It may have ended before anybody waited, and the call before its message came. */
    if (om_rpc_is_cancelled(rpc)) {
        leave(c);
    } else {
        wait_posted(rpc);
    }
}

/* ---- The database ---------------------------------------------------------------------------- */

static void database_message(om_rpc *rpc, om_rpc_message *m)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    omen_db_stats stats = {.struct_size = sizeof stats};
    omen_error err = {.item = OMEN_NONE};
    if (om_rpc_unpack(rpc, m, &omen__v1__get_database_info_request__descriptor) == NULL) {
        return;
    }
    if (omen_get_db_stats(s->opt.db, &stats, &err) != OMEN_OK) {
        om_method_fail_engine(rpc, &err);
        return;
    }
    Omen__V1__DatabaseInfo info;
    omen__v1__database_info__init(&info);
    info.state = (Omen__V1__DatabaseInfo__State)(stats.state + 1);
    info.reason = stats.reason;
    info.persistent = s->opt.persistent;
    info.backups = s->opt.backup_dir != NULL;
    info.version = stats.version;
    info.durable_version = stats.durable_version;
    info.checkpoint_version = stats.checkpoint_version;
    info.collections = stats.collections;
    info.segments = stats.segments;
    info.growing_rows = stats.growing_rows;
    info.log_bytes = stats.log_bytes;
    info.segment_bytes = stats.segment_bytes;
    info.disk_available_bytes = stats.disk_available;
    info.checkpoints = stats.checkpoints;
    info.seals = stats.seals;
    info.merges = stats.merges;
    info.log_syncs = stats.log_syncs;
    info.log_records = stats.log_records;
    info.replayed_records = stats.replayed_records;
    info.recovered_rows = stats.recovered_rows;
    info.replayed_us = stats.replayed_ns / 1000;
    om_rpc_reply_pb(rpc, &info.base);
}

const om_rpc_impl om_impl_omen_v1_Maintenance_GetDatabaseInfo = {.verb = OM_VERB_ADMIN,
                                                                 .message = database_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_Optimize = {.verb = OM_VERB_MANAGE,
                                                          .message = optimize_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_Checkpoint = {.verb = OM_VERB_ADMIN,
                                                            .message = checkpoint_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_Backup = {.verb = OM_VERB_ADMIN,
                                                        .message = backup_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_Restore = {.verb = OM_VERB_ADMIN,
                                                         .message = restore_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_Verify = {.verb = OM_VERB_ADMIN,
                                                        .message = verify_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_GetOperation = {.verb = OM_VERB_ANY,
                                                              .message = get_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_ListOperations = {.verb = OM_VERB_ANY,
                                                                .message = list_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_CancelOperation = {.verb = OM_VERB_ANY,
                                                                 .message = cancel_message};
const om_rpc_impl om_impl_omen_v1_Maintenance_WaitOperation = {.verb = OM_VERB_ANY,
                                                               .flags = OM_RPC_WAITS,
                                                               .state_size = sizeof(wait_call),
                                                               .message = wait_message,
                                                               .posted = wait_posted,
                                                               .cancelled = wait_cancelled};
