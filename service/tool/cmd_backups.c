/* cmd_backups.c - the backups of a server: listed, and old ones deleted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "remote_operations.h"

/* 2026-11-20T03:17:00Z */
static const char *time_text(char *out, size_t size, int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        (void)snprintf(out, size, "?");
    }
    return out;
}

static void show(const om_args *args, const om_backup_info *all, size_t count, size_t deleted)
{
    json_t *list = args->json ? json_array() : NULL;
    for (size_t i = 0; i < count; i++) {
        char when[32], size[32];
        time_text(when, sizeof when, all[i].created_ms);
        if (list != NULL) {
            (void)json_array_append_new(
                list, json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", all[i].name, "created", when,
                                "created_unix_ms", (json_int_t)all[i].created_ms, "files",
                                (json_int_t)all[i].files, "bytes", (json_int_t)all[i].bytes));
        } else if (!args->quiet) {
            (void)printf("%s  %10s  %6llu files  %s\n", when, om_out_bytes(size, all[i].bytes),
                         (unsigned long long)all[i].files, all[i].name);
        }
    }
    if (list != NULL) {
        om_out_object(json_pack("{s:o, s:I}", "backups", list, "deleted", (json_int_t)deleted));
    } else if (!args->quiet && deleted > 0) {
        (void)printf("deleted: %zu\n", deleted);
    }
}

static bool keeps(const om_args *args)
{
    return args->keep != OMEN_NONE;
}

static bool check(const om_args *args, om_tool_error *err)
{
    if (args->server == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "backups are a server's: give --server HOST:PORT");
    }
    if (args->keep == 0) {
        return om_tool_fail(
            err, OM_EXIT_USAGE,
            "--keep 0 would leave no backup: keep at least 1, and delete the last one by --delete");
    }
    if (keeps(args) && (args->prefix == NULL || args->prefix[0] == '\0')) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--keep deletes backups: --prefix must say which they are");
    }
    if (args->remove != NULL && (keeps(args) || args->prefix != NULL)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--delete names one backup: give nothing else");
    }
    return true;
}

/* Oldest first, so that what is left after a failure are the newer ones. */
static bool prune(const om_args *args, om_remote_link *r, const om_backup_info *all, size_t *count,
                  om_tool_error *err)
{
    bool ok = true;
    while (ok && keeps(args) && *count > args->keep) {
        ok = om_remote_delete_backup(r, all[*count - 1].name, err);
        *count -= ok ? 1 : 0;
    }
    return ok;
}

bool om_cmd_backups(const om_args *args, om_tool_error *err)
{
    om_remote_link *r;
    om_backup_info *all = NULL;
    size_t count = 0;
    if (!check(args, err) || !om_remote_link_open(args, &r, err)) {
        return false;
    }
    bool ok = true;
    if (args->remove != NULL) {
        ok = om_remote_delete_backup(r, args->remove, err);
        if (ok) {
            show(args, NULL, 0, 1);
        }
    } else {
        const char *prefix = args->prefix != NULL ? args->prefix : "";
        ok = om_remote_backups(r, prefix, &all, &count, err);
        size_t before = count;
        ok = ok && prune(args, r, all, &count, err);
        if (ok) {
            show(args, all, count, before - count);
        }
    }
    free(all);
    om_remote_link_close(r);
    return ok;
}
