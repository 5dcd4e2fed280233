/* remote_operations.c - Maintenance: starting operations, asking, waiting.
 * SPDX-License-Identifier: Apache-2.0 */
#include "remote_operations.h"

#include <stdlib.h>
#include <string.h>

#include "remote.h"

const char *om_operation_kind_name(uint32_t kind)
{
    static const char *const names[] = {"?",      "optimize", "checkpoint",
                                        "backup", "restore",  "verify"};
    return kind < sizeof names / sizeof *names ? names[kind] : "?";
}

const char *om_operation_state_name(uint32_t state)
{
    static const char *const names[] = {"?",         "queued", "running",
                                        "succeeded", "failed", "cancelled"};
    return state < sizeof names / sizeof *names ? names[state] : "?";
}

bool om_remote_link_open(const om_args *args, om_remote_link **out, om_tool_error *err)
{
    om_remote_link *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return om_tool_no_memory(err, sizeof *r);
    }
    om_arena_init(&r->arena, NULL, 0, 0);
    if (!om_endpoint_load(args, &r->endpoint, err) ||
        !om_endpoint_connect(&r->endpoint, &r->client, err)) {
        om_remote_link_close(r);
        return false;
    }
    *out = r;
    return true;
}

void om_remote_link_close(om_remote_link *r)
{
    if (r != NULL) {
        om_rpcc_close(r->client);
        om_arena_reset(&r->arena);
        om_endpoint_free(&r->endpoint);
        free(r);
    }
}

static void take(const Omen__V1__Operation *from, om_operation_info *out)
{
    memset(out, 0, sizeof *out);
    (void)snprintf(out->id, sizeof out->id, "%s", from->id);
    (void)snprintf(out->target, sizeof out->target, "%s", from->target);
    out->kind = (uint32_t)from->kind;
    out->state = (uint32_t)from->state;
    out->done = from->done;
    out->total = from->total;
    out->started_ms = from->started_unix_ms;
    out->ended_ms = from->ended_unix_ms;
    if (from->error != NULL) {
        out->code = from->error->code;
        (void)snprintf(out->reason, sizeof out->reason, "%s", from->error->reason);
        (void)snprintf(out->message, sizeof out->message, "%s", from->error->message);
    }
    if (from->result != NULL) {
        out->version = from->result->version;
        out->files = from->result->files;
        out->bytes = from->result->bytes;
        out->files_linked = from->result->files_linked;
        out->bytes_copied = from->result->bytes_copied;
    }
}

/* A call that is answered with an Operation. */
static bool call(om_remote_link *r, const char *method, const ProtobufCMessage *request,
                 om_operation_info *out, om_tool_error *err)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/omen.v1.Maintenance/%s", method);
    const Omen__V1__Operation *answer = om_remote_call(
        &r->endpoint, r->client, path, request, &omen__v1__operation__descriptor, &r->arena, err);
    if (answer != NULL) {
        take(answer, out);
    }
    return answer != NULL;
}

bool om_remote_begin(om_remote_link *r, const om_remote_what *what, om_operation_info *out,
                     om_tool_error *err)
{
    char *name = om_remote_text(what->name != NULL ? what->name : "");
    char *other = om_remote_text(what->other != NULL ? what->other : "");
    Omen__V1__OptimizeRequest optimize;
    Omen__V1__CheckpointRequest checkpoint;
    Omen__V1__BackupRequest backup;
    Omen__V1__RestoreRequest restore;
    Omen__V1__VerifyRequest verify;
    switch (what->kind) {
    case OM_START_OPTIMIZE:
        omen__v1__optimize_request__init(&optimize);
        optimize.collection = name;
        return call(r, "Optimize", &optimize.base, out, err);
    case OM_START_CHECKPOINT:
        omen__v1__checkpoint_request__init(&checkpoint);
        return call(r, "Checkpoint", &checkpoint.base, out, err);
    case OM_START_BACKUP:
        omen__v1__backup_request__init(&backup);
        backup.name = name;
        backup.previous = other;
        backup.copy = what->copy;
        return call(r, "Backup", &backup.base, out, err);
    case OM_START_RESTORE:
        omen__v1__restore_request__init(&restore);
        restore.name = name;
        restore.to = other;
        return call(r, "Restore", &restore.base, out, err);
    default:
        omen__v1__verify_request__init(&verify);
        verify.name = name;
        return call(r, "Verify", &verify.base, out, err);
    }
}

bool om_remote_get(om_remote_link *r, const char *id, om_operation_info *out, om_tool_error *err)
{
    Omen__V1__GetOperationRequest request;
    omen__v1__get_operation_request__init(&request);
    request.id = om_remote_text(id);
    return call(r, "GetOperation", &request.base, out, err);
}

bool om_remote_cancel(om_remote_link *r, const char *id, om_operation_info *out, om_tool_error *err)
{
    Omen__V1__CancelOperationRequest request;
    omen__v1__cancel_operation_request__init(&request);
    request.id = om_remote_text(id);
    return call(r, "CancelOperation", &request.base, out, err);
}

bool om_remote_wait(om_remote_link *r, const char *id, uint32_t timeout_ms, om_operation_info *out,
                    om_tool_error *err)
{
    Omen__V1__WaitOperationRequest request;
    omen__v1__wait_operation_request__init(&request);
    request.id = om_remote_text(id);
    request.timeout_ms = timeout_ms;
    return call(r, "WaitOperation", &request.base, out, err);
}

bool om_remote_operations(om_remote_link *r, om_operation_each each, void *ctx, om_tool_error *err)
{
    Omen__V1__ListOperationsRequest request;
    omen__v1__list_operations_request__init(&request);
    const Omen__V1__ListOperationsResponse *answer = om_remote_call(
        &r->endpoint, r->client, "/omen.v1.Maintenance/ListOperations", &request.base,
        &omen__v1__list_operations_response__descriptor, &r->arena, err);
    for (size_t i = 0; answer != NULL && i < answer->n_operations; i++) {
        om_operation_info info;
        take(answer->operations[i], &info);
        each(ctx, &info);
    }
    return answer != NULL;
}

bool om_remote_backups(om_remote_link *r, const char *prefix, om_backup_info **out, size_t *count,
                       om_tool_error *err)
{
    Omen__V1__ListBackupsRequest request;
    omen__v1__list_backups_request__init(&request);
    request.prefix = om_remote_text(prefix);
    const Omen__V1__ListBackupsResponse *answer =
        om_remote_call(&r->endpoint, r->client, "/omen.v1.Maintenance/ListBackups", &request.base,
                       &omen__v1__list_backups_response__descriptor, &r->arena, err);
    if (answer == NULL) {
        return false;
    }
    om_backup_info *all = calloc(answer->n_backups + 1, sizeof *all);
    if (all == NULL) {
        return om_tool_no_memory(err, (answer->n_backups + 1) * sizeof *all);
    }
    for (size_t i = 0; i < answer->n_backups; i++) {
        const Omen__V1__Backup *b = answer->backups[i];
        (void)snprintf(all[i].name, sizeof all[i].name, "%s", b->name);
        all[i].created_ms = b->created_unix_ms;
        all[i].files = b->files;
        all[i].bytes = b->bytes;
    }
    *out = all;
    *count = answer->n_backups;
    return true;
}

bool om_remote_delete_backup(om_remote_link *r, const char *name, om_tool_error *err)
{
    Omen__V1__DeleteBackupRequest request;
    omen__v1__delete_backup_request__init(&request);
    request.name = om_remote_text(name);
    return om_remote_call(&r->endpoint, r->client, "/omen.v1.Maintenance/DeleteBackup",
                          &request.base, &omen__v1__delete_backup_response__descriptor, &r->arena,
                          err) != NULL;
}

bool om_remote_database(om_remote_link *r, om_database_info *out, om_tool_error *err)
{
    Omen__V1__GetDatabaseInfoRequest request;
    omen__v1__get_database_info_request__init(&request);
    const Omen__V1__DatabaseInfo *a =
        om_remote_call(&r->endpoint, r->client, "/omen.v1.Maintenance/GetDatabaseInfo",
                       &request.base, &omen__v1__database_info__descriptor, &r->arena, err);
    if (a == NULL) {
        return false;
    }
    memset(out, 0, sizeof *out);
    out->persistent = a->persistent;
    out->backups = a->backups;
    out->stats = (omen_db_stats){.struct_size = sizeof out->stats,
                                 .state = (uint32_t)a->state - 1,
                                 .version = a->version,
                                 .durable_version = a->durable_version,
                                 .checkpoint_version = a->checkpoint_version,
                                 .collections = a->collections,
                                 .segments = a->segments,
                                 .growing_rows = a->growing_rows,
                                 .log_bytes = a->log_bytes,
                                 .segment_bytes = a->segment_bytes,
                                 .log_syncs = a->log_syncs,
                                 .log_records = a->log_records,
                                 .disk_available = a->disk_available_bytes,
                                 .checkpoints = a->checkpoints,
                                 .seals = a->seals,
                                 .merges = a->merges,
                                 .replayed_records = a->replayed_records,
                                 .replayed_ns = a->replayed_us * 1000,
                                 .recovered_rows = a->recovered_rows};
    (void)snprintf(out->stats.reason, sizeof out->stats.reason, "%s", a->reason);
    return true;
}
