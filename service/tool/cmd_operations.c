/* cmd_operations.c - backup, restore, verify, checkpoint, optimize: at a server as operations that are waited
 * for, in a folder as calls of the library; and the list of a server's operations.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "remote_operations.h"
#include "restore_place.h"

enum { WAIT_MS = 500 };

/* What an operation has led to, wherever it ran. */
static void report(const om_args *args, const char *what, const om_operation_info *i)
{
    char a[32], b[32];
    if (args->json) {
        json_t *o =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "operation", what, "target", i->target,
                      "version", (json_int_t)i->version, "files", (json_int_t)i->files, "bytes",
                      (json_int_t)i->bytes, "files_linked", (json_int_t)i->files_linked,
                      "bytes_copied", (json_int_t)i->bytes_copied);
        if (i->id[0] != '\0') {
            (void)json_object_update_new(o, json_pack("{s:s, s:s}", "id", i->id, "state",
                                                      om_operation_state_name(i->state)));
        }
        om_out_object(o);
    } else if (!args->quiet && i->state != OM_REMOTE_SUCCEEDED && i->id[0] != '\0') {
        (void)printf("%s %s is %s: omen operations %s\n", what, i->target,
                     om_operation_state_name(i->state), i->id);
    } else if (!args->quiet && i->files > 0) {
        (void)printf("%s %s: %llu files, %s (%s copied), version %llu\n", what, i->target,
                     (unsigned long long)i->files, om_out_bytes(a, i->bytes),
                     om_out_bytes(b, i->bytes_copied), (unsigned long long)i->version);
    } else if (!args->quiet) {
        (void)printf("%s %s: done\n", what, i->target);
    }
}

/* ---- At a server ----------------------------------------------------------------------------------- */

/* Ctrl-C asks the server to stop; the answer is waited for all the same. */
static bool wait_for(om_remote_link *r, const om_args *args, om_operation_info *i,
                     om_tool_error *err)
{
    om_bar bar;
    bool ok = true;
    bool told = false;
    char id[sizeof i->id];
    memcpy(id, i->id, sizeof id);
    om_bar_start(&bar, !args->quiet);
    while (ok && i->state < OM_REMOTE_SUCCEEDED) {
        if (om_tool_interrupted() && !told) {
            told = true;
            ok = om_remote_cancel(r, id, i, err);
        }
        ok = ok && om_remote_wait(r, id, WAIT_MS, i, err);
        om_bar_draw(&bar, &(om_bar_state){.label = om_operation_kind_name(i->kind),
                                          .done = i->done,
                                          .total = i->total,
                                          .rows = i->done});
    }
    om_bar_end(&bar);
    if (ok && i->state == OM_REMOTE_CANCELLED && told) {
        return om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted; the server has stopped it");
    }
    if (ok && i->state != OM_REMOTE_SUCCEEDED) {
        om_tool_fail(err, om_tool_exit_code((int)i->code), "%s", i->message);
        (void)snprintf(err->reason, sizeof err->reason, "%s", i->reason);
        return false;
    }
    return ok;
}

static bool at_server(const om_args *args, const om_remote_what *what, om_tool_error *err)
{
    om_remote_link *r;
    om_operation_info i;
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    bool ok = om_remote_begin(r, what, &i, err) && (args->no_wait || wait_for(r, args, &i, err));
    if (ok) {
        report(args, om_operation_kind_name(i.kind), &i);
    }
    om_remote_link_close(r);
    return ok;
}

/* ---- In a folder ------------------------------------------------------------------------------------ */

typedef struct local_call {
    const char *what, *path, *other;
    omen_status_t (*run)(const struct local_call *call, const omen_backup_options *opt,
                         omen_backup_result *out, omen_error *err);
    omen_db *db;
} local_call;

static omen_status_t run_backup(const local_call *c, const omen_backup_options *opt,
                                omen_backup_result *out, omen_error *err)
{
    return omen_backup(c->db, c->path, opt, out, err);
}

static omen_status_t run_restore(const local_call *c, const omen_backup_options *opt,
                                 omen_backup_result *out, omen_error *err)
{
    return omen_restore(c->path, c->other, opt, out, err);
}

static omen_status_t run_verify(const local_call *c, const omen_backup_options *opt,
                                omen_backup_result *out, omen_error *err)
{
    return omen_verify(c->path, opt, out, err);
}

static omen_status_t run_checkpoint(const local_call *c, const omen_backup_options *opt,
                                    omen_backup_result *out, omen_error *err)
{
    (void)out;
    return omen_checkpoint(c->db, opt->op, err);
}

static omen_status_t run_optimize(const local_call *c, const omen_backup_options *opt,
                                  omen_backup_result *out, omen_error *err)
{
    omen_collection *collection = NULL;
    (void)out;
    omen_status_t status = omen_open(c->db, c->path, NULL, &collection, err);
    if (status == OMEN_OK) {
        status = omen_optimize(collection, opt->op, err);
    }
    omen_collection_free(collection);
    return status;
}

static bool in_folder(const om_args *args, const local_call *call, om_tool_error *err)
{
    omen_error why;
    omen_op *op = NULL;
    omen_backup_result result = {.struct_size = sizeof result};
    if (omen_op_create(&op, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    om_tool_set_op(op);
    omen_backup_options opt = {.struct_size = sizeof opt,
                               .flags = args->copy ? OMEN_BACKUP_COPY : 0,
                               .previous = args->previous,
                               .op = op};
    omen_status_t status = call->run(call, &opt, &result, &why);
    om_tool_set_op(NULL);
    omen_op_free(op);
    if (status != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    om_operation_info i = {.state = OM_REMOTE_SUCCEEDED,
                           .version = result.version,
                           .files = result.files,
                           .bytes = result.bytes,
                           .files_linked = result.files_linked,
                           .bytes_copied = result.bytes_copied};
    (void)snprintf(i.target, sizeof i.target, "%s", call->path);
    report(args, call->what, &i);
    return true;
}

/* The same with the database of --db open. */
static bool in_database(const om_args *args, local_call call, om_tool_error *err)
{
    if (args->db == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "give --db DIR or --server HOST:PORT");
    }
    if (!om_embed_database(args->db, OM_TARGET_WRITE, false, &call.db, err)) {
        return false;
    }
    bool ok = in_folder(args, &call, err);
    omen_db_free(call.db);
    return ok;
}

/* ---- The commands ------------------------------------------------------------------------------------ */

/* The name of the newest backup, which the new one links files from; "" when there is none. */
static bool newest_backup(const om_args *args, char *name, size_t size, om_tool_error *err)
{
    om_remote_link *r;
    om_backup_info *all = NULL;
    size_t count = 0;
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    bool ok = om_remote_backups(r, "", &all, &count, err);
    (void)snprintf(name, size, "%s", ok && count > 0 ? all[0].name : "");
    free(all);
    om_remote_link_close(r);
    return ok;
}

bool om_cmd_backup(const om_args *args, om_tool_error *err)
{
    const char *name = args->rest[0];
    char newest[64];
    if (args->incremental && (args->server == NULL || args->previous != NULL)) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--incremental finds the newest backup of a server: give --server, and "
                            "no --previous");
    }
    if (args->server != NULL) {
        om_remote_what what = {OM_START_BACKUP, name, args->previous, args->copy};
        if (args->incremental) {
            if (!newest_backup(args, newest, sizeof newest, err)) {
                return false;
            }
            what.other = newest;
        }
        return at_server(args, &what, err);
    }
    return in_database(args, (local_call){.what = "backup", .path = name, .run = run_backup}, err);
}

/* Backups of a server are names; with a '/' in it it is a folder, as a TARGET with one is always a file, so
 * that OMEN_SERVER in the environment does not send paths to a server. */
static bool is_folder(const char *name)
{
    return strchr(name, '/') != NULL;
}

/* In the place of a database: restored beside it, then moved there. */
static bool restore_in_place(const om_args *args, om_tool_error *err)
{
    om_restore_place place;
    bool done = false;
    if (!om_restore_begin(args, &place, &done, err)) {
        return false;
    }
    if (done) {
        if (!args->quiet) {
            (void)fprintf(stderr, "omen: %s was restored from %s already\n", args->rest[1],
                          args->once);
        }
        return true;
    }
    const local_call call = {
        .what = "restore", .path = args->rest[0], .other = place.staging, .run = run_restore};
    bool ok = in_folder(args, &call, err) && om_restore_finish(&place, err);
    om_restore_end(&place);
    return ok;
}

bool om_cmd_restore(const om_args *args, om_tool_error *err)
{
    bool in_place = args->replace || args->once != NULL;
    bool folders = is_folder(args->rest[0]) || is_folder(args->rest[1]);
    if (args->server != NULL && !folders && in_place) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--replace and --once are for folders: a server never restores in "
                            "place");
    }
    if (args->server != NULL && !folders) {
        om_remote_what what = {OM_START_RESTORE, args->rest[0], args->rest[1], false};
        return at_server(args, &what, err);
    }
    if (in_place) {
        return restore_in_place(args, err);
    }
    const local_call call = {
        .what = "restore", .path = args->rest[0], .other = args->rest[1], .run = run_restore};
    return in_folder(args, &call, err);
}

bool om_cmd_verify(const om_args *args, om_tool_error *err)
{
    const char *name = args->rest_count > 0 ? args->rest[0] : args->db;
    if (name == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "give a folder, or a backup and --server");
    }
    if (args->server != NULL && args->rest_count > 0 && !is_folder(name)) {
        om_remote_what what = {OM_START_VERIFY, name, NULL, false};
        return at_server(args, &what, err);
    }
    const local_call call = {.what = "verify", .path = name, .run = run_verify};
    return in_folder(args, &call, err);
}

bool om_cmd_checkpoint(const om_args *args, om_tool_error *err)
{
    if (args->server != NULL) {
        om_remote_what what = {OM_START_CHECKPOINT, NULL, NULL, false};
        return at_server(args, &what, err);
    }
    return in_database(
        args, (local_call){.what = "checkpoint", .path = args->db, .run = run_checkpoint}, err);
}

bool om_cmd_optimize(const om_args *args, om_tool_error *err)
{
    om_place place;
    if (!om_place_find(args, true, &place, err)) {
        return false;
    }
    if (place.remote) {
        om_remote_what what = {OM_START_OPTIMIZE, place.name, NULL, false};
        return at_server(args, &what, err);
    }
    if (place.db == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "a segment file is one segment: give --db DIR or --server HOST:PORT");
    }
    return in_database(
        args, (local_call){.what = "optimize", .path = place.name, .run = run_optimize}, err);
}

/* ---- operations -------------------------------------------------------------------------------------- */

static json_t *operation_json(const om_operation_info *i)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "id", i->id, "kind",
                     om_operation_kind_name(i->kind), "state", om_operation_state_name(i->state),
                     "target", i->target, "done", (json_int_t)i->done, "total",
                     (json_int_t)i->total, "started_unix_ms", (json_int_t)i->started_ms,
                     "ended_unix_ms", (json_int_t)i->ended_ms, "error", i->message);
}

static void operation_text(const om_operation_info *i)
{
    double percent = i->total > 0 ? 100.0 * (double)i->done / (double)i->total : 0;
    (void)printf("%-24s  %-10s  %-9s  %5.1f %%  %s%s%s\n", i->id, om_operation_kind_name(i->kind),
                 om_operation_state_name(i->state),
                 i->state == OM_REMOTE_SUCCEEDED ? 100.0 : percent, i->target,
                 i->message[0] != '\0' ? ": " : "", i->message);
}

static void print_operation(void *ctx, const om_operation_info *i)
{
    json_t *list = ctx;
    if (list != NULL) {
        (void)json_array_append_new(list, operation_json(i));
    } else {
        operation_text(i);
    }
}

bool om_cmd_operations(const om_args *args, om_tool_error *err)
{
    om_remote_link *r;
    om_operation_info i;
    if (args->server == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "operations are a server's: give --server HOST:PORT");
    }
    if (args->cancel && args->rest_count == 0) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--cancel wants the id of an operation");
    }
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    bool ok = true;
    if (args->rest_count > 0) {
        ok = args->cancel ? om_remote_cancel(r, args->rest[0], &i, err)
                          : om_remote_get(r, args->rest[0], &i, err);
        if (ok && args->json) {
            om_out_object(operation_json(&i));
        } else if (ok) {
            operation_text(&i);
        }
    } else {
        json_t *list = args->json ? json_array() : NULL;
        ok = om_remote_operations(r, print_operation, list, err);
        if (ok && list != NULL) {
            om_out_object(json_pack("{s:O}", "operations", list));
        }
        json_decref(list);
    }
    om_remote_link_close(r);
    return ok;
}
