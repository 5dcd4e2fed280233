/* console_operations.c - maintenance: what runs and ran, starting and cancelling it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operations.h"

static const char *const kinds[] = {"", "optimize", "checkpoint", "backup", "restore", "verify"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static json_t *operation_of(const om_operation_view *v)
{
    static const char *const states[] = {"",          "queued", "running",
                                         "succeeded", "failed", "cancelled"};
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o,s:I,s:I}", "id", v->id, "kind",
                          v->kind < KINDS ? kinds[v->kind] : "", "state",
                          v->state < sizeof states / sizeof states[0] ? states[v->state] : "",
                          "target", v->target, "who", v->who, "done", om_console_u64(v->done),
                          "total", om_console_u64(v->total), "started_unix_ms",
                          (json_int_t)v->started_ms, "ended_unix_ms", (json_int_t)v->ended_ms);
    if (v->state == OM_OPERATION_FAILED || v->state == OM_OPERATION_CANCELLED) {
        (void)json_object_set_new(
            o, "error",
            json_pack("{s:s,s:s}", "reason", v->error.reason, "message", v->error.message));
    }
    if (v->state == OM_OPERATION_SUCCEEDED && v->result.files > 0) {
        (void)json_object_set_new(o, "result",
                                  json_pack("{s:o,s:o,s:o,s:o,s:o}", "version",
                                            om_console_version(v->result.version), "files",
                                            om_console_u64(v->result.files), "bytes",
                                            om_console_u64(v->result.bytes), "files_linked",
                                            om_console_u64(v->result.files_linked), "bytes_copied",
                                            om_console_u64(v->result.bytes_copied)));
    }
    return o;
}

/* Administrators are shown all of them, others what they began. */
json_t *om_console_operations(om_console_call *call)
{
    om_operation_view *views = calloc(OM_OPERATIONS_MAX, sizeof *views);
    if (views == NULL) {
        return NULL;
    }
    json_t *list = json_array();
    size_t count = om_operations_list(call->shared->operations, call->who, views);
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, operation_of(&views[i]));
    }
    free(views);
    return json_pack("{s:o}", "operations", list);
}

/* ---- Starting and cancelling ----------------------------------------------------------------- */

static void audit(om_console_call *call, const char *action, const char *object, bool ok)
{
    om_access_audit(call->console->options.access, call->who, call->request->peer, action, object,
                    ok);
}

static uint32_t kind_of(const char *name)
{
    uint32_t kind = 1;
    while (kind < KINDS && strcmp(kinds[kind], name) != 0) {
        kind++;
    }
    return kind < KINDS ? kind : 0;
}

static json_t *start(om_console_call *call, const om_operation_request *request, const char *object)
{
    om_operation_view v;
    char action[32];
    bool ok = om_operations_start(call->shared->operations, request, &v, &call->f);
    (void)snprintf(action, sizeof action, "console.%s", kinds[request->kind]);
    audit(call, action, object, ok);
    return ok ? operation_of(&v) : NULL;
}

/* `target` is the collection, or the name of the backup; `other` the former backup, or where to restore. */
static json_t *start_from(om_console_call *call, json_t *body)
{
    static const char *const members[] = {"kind", "target", "other", "copy", NULL};
    const char *kind = NULL;
    const char *target = NULL;
    om_operation_request request = {.other = "", .who = call->who};
    if (!om_console_known(call, body, members) || !om_console_text(call, body, "kind", &kind) ||
        !om_console_text(call, body, "target", &target) ||
        !om_console_text(call, body, "other", &request.other) ||
        !om_console_flag(call, body, "copy", &request.copy)) {
        return NULL;
    }
    request.kind = kind_of(kind);
    request.name = target;
    if (request.kind == 0) {
        om_failure_set(
            &call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", "kind",
            "kind is '%.40s', it must be optimize, checkpoint, backup, restore or verify", kind);
        return NULL;
    }
    if (request.kind != OM_OPERATION_OPTIMIZE) {
        return om_console_may(call, NULL, OM_VERB_ADMIN) ? start(call, &request, target) : NULL;
    }
    request.coll = om_console_coll(call, target, OM_VERB_MANAGE);
    json_t *o = request.coll != NULL ? start(call, &request, target) : NULL;
    om_coll_release(request.coll);
    return o;
}

json_t *om_console_start(om_console_call *call)
{
    json_t *body = om_console_body(call);
    json_t *o = body != NULL ? start_from(call, body) : NULL;
    json_decref(body);
    return o;
}

static json_t *cancel_one(om_console_call *call, const char *id)
{
    om_operation_view v;
    bool ok = om_operations_cancel(call->shared->operations, call->who, id, &v, &call->f);
    audit(call, "console.cancel", id, ok);
    return ok ? operation_of(&v) : NULL;
}

json_t *om_console_cancel(om_console_call *call)
{
    static const char *const members[] = {"id", NULL};
    const char *id = NULL;
    json_t *body = om_console_body(call);
    json_t *o = NULL;
    if (body != NULL && om_console_known(call, body, members) &&
        om_console_text(call, body, "id", &id)) {
        o = cancel_one(call, id);
    }
    json_decref(body);
    return o;
}
