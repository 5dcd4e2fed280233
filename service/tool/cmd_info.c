/* cmd_info.c - list and info: what is there, without reading it all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

typedef struct lister {
    json_t *json; /* an array, or NULL: print text */
    size_t count;
} lister;

static void list_one(void *ctx, const char *name, const om_target_info *i)
{
    lister *l = ctx;
    const char *metric = om_tool_metric_name(i->options.metric);
    const char *dtype = om_tool_dtype_name(i->options.dtype);
    if (l->json != NULL) {
        (void)json_array_append_new(
            l->json, json_pack("{s:s, s:I, s:i, s:s?, s:s?, s:I, s:I}", "name", name, "count",
                               (json_int_t)i->count, "dim", (int)i->options.dim, "metric", metric,
                               "dtype", dtype, "memory_bytes", (json_int_t)i->memory_bytes,
                               "file_bytes", (json_int_t)i->file_bytes));
        return;
    }
    char items[32], bytes[32];
    if (l->count++ == 0) {
        (void)printf("%-28s %14s %7s  %-7s %-5s %12s\n", "NAME", "ITEMS", "DIM", "METRIC", "DTYPE",
                     "SIZE");
    }
    (void)printf("%-28s %14s %7u  %-7s %-5s %12s\n", name, om_out_count(items, i->count),
                 i->options.dim, metric != NULL ? metric : "?", dtype != NULL ? dtype : "?",
                 om_out_bytes(bytes, i->file_bytes != 0 ? i->file_bytes : i->memory_bytes));
}

static int is_segment(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 5 && strcmp(entry->d_name + len - 5, ".omen") == 0;
}

/* The segment files of a folder. One that cannot be opened is told and does not hide the others. */
static bool list_folder(const char *folder, lister *l, om_tool_error *err)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_segment, alphasort);
    if (n < 0) {
        int code = errno == ENOENT ? OM_EXIT_NOT_FOUND : OM_EXIT_RUNTIME;
        return om_tool_fail(err, code, "%s: cannot list: %s", folder, strerror(errno));
    }
    bool ok = true;
    for (int i = 0; i < n; i++) {
        om_place place = {0};
        om_target *t;
        om_target_info info;
        om_tool_error why;
        (void)snprintf(place.path, sizeof place.path, "%s/%s", folder, entries[i]->d_name);
        bool opened = om_local_open(&place, OM_TARGET_READ, &t, &why);
        if (opened && t->ops->describe(t, &info, &why)) {
            list_one(l, entries[i]->d_name, &info);
        } else {
            (void)fprintf(stderr, "omen: %s\n", why.message);
            *err = why;
            ok = false;
        }
        if (opened) {
            om_target_close(t);
        }
        free(entries[i]);
    }
    free(entries);
    return ok ? true : om_tool_wrap(err, "some files could not be read, the last one");
}

bool om_cmd_list(const om_args *args, om_tool_error *err)
{
    lister l = {.json = args->json ? json_array() : NULL};
    bool remote = args->server != NULL && args->rest_count == 0;
    bool database = args->db != NULL && args->rest_count == 0;
    bool ok = remote     ? om_remote_list(args, list_one, &l, err)
              : database ? om_embed_list(args->db, list_one, &l, err)
                         : list_folder(args->rest_count > 0 ? args->rest[0] : ".", &l, err);
    if (args->json && ok) {
        om_out_object(json_pack("{s:O}", "collections", l.json));
    } else if (ok && l.count == 0 && !args->quiet) {
        (void)printf("no collections\n");
    }
    json_decref(l.json);
    return ok;
}

static bool info_server(const om_args *args, om_tool_error *err)
{
    om_server_info i;
    if (!om_remote_info(args, &i, err)) {
        return false;
    }
    if (args->json) {
        om_out_object(json_pack(
            "{s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "server",
            args->server, "version", i.version, "abi", om_out_abi(i.abi), "format", (int)i.format,
            "isa", i.isa, "epoch", i.epoch, "max_dim", (json_int_t)i.max_dim, "max_k",
            (json_int_t)i.max_k, "max_ef", (json_int_t)i.max_ef, "max_message_bytes",
            (json_int_t)i.max_message_bytes, "max_batch_items", (json_int_t)i.max_batch_items,
            "memory_limit_bytes", (json_int_t)i.memory_limit_bytes, "stream_window_bytes",
            (json_int_t)i.stream_window_bytes));
        return true;
    }
    char a[32], b[32], c[32];
    (void)printf("%s\n  omend         %s (abi %s, format %u, kernels %s)\n", args->server,
                 i.version, om_out_abi(i.abi), i.format, i.isa);
    (void)printf("  limits        dim %llu, k %llu, ef %llu, message %s, stream window %s\n",
                 (unsigned long long)i.max_dim, (unsigned long long)i.max_k,
                 (unsigned long long)i.max_ef, om_out_bytes(a, i.max_message_bytes),
                 om_out_bytes(b, i.stream_window_bytes));
    (void)printf("  memory limit  %s\n",
                 i.memory_limit_bytes == 0 ? "none" : om_out_bytes(c, i.memory_limit_bytes));
    return true;
}

bool om_cmd_info(const om_args *args, om_tool_error *err)
{
    if (args->rest_count == 0) {
        return args->server != NULL
                   ? info_server(args, err)
                   : om_tool_fail(err, OM_EXIT_USAGE, "give a file, or --server HOST:PORT");
    }
    const char *path = args->rest[0];
    size_t len = strlen(path);
    if (len > 5 && strcmp(path + len - 5, ".omen") == 0) {
        return om_cmd_stats(args, err);
    }
    om_import *imp;
    om_import_options opt = {.format = args->format};
    if (!om_import_open(path, &opt, &imp, err)) {
        return false;
    }
    const om_import_info *i = om_import_about(imp);
    bool known = i->rows != OMEN_NONE;
    char rows[32];
    if (args->json) {
        om_out_object(json_pack("{s:s, s:s, s:i, s:s, s:o, s:b}", "file", path, "format", i->format,
                                "dim", (int)i->dim, "dtype", om_import_dtype_name(i->dtype), "rows",
                                known ? json_integer((json_int_t)i->rows) : json_null(), "ids",
                                (int)i->has_ids));
    } else {
        (void)printf("%s: %s, %u x %s, %s%s%s\n", path, i->format, i->dim,
                     om_import_dtype_name(i->dtype),
                     known ? om_out_count(rows, i->rows) : "rows unknown until read",
                     known ? " rows" : "", i->has_ids ? ", with ids" : "");
    }
    om_import_free(imp);
    return true;
}
