/* cmd_dump.c - dump: all items of a collection, as they are at one moment, into a file or a pipe; load: back
 * in, which is an import of a file that tells its own shape.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base64.h"
#include "cmd.h"
#include "dump.h"

enum { BLOCK_BYTES = 1 << 20, BLOCK_ROWS = 10000 };

typedef struct dumper {
    const om_args *args;
    om_target *target;
    FILE *out;
    char path[4096], partial[4096 + 16]; /* "": standard output */
    bool binary;
    om_dump_writer writer;
    om_ids ids;
    om_field_list fields;
    om_json_column metadata; /* of a block, of a collection with fields */
    void *vectors;
    float *values; /* of a row, for JSON */
    char *text;    /* of a row, for JSON in base64 */
    size_t rows;   /* of a block */
    uint64_t done, total;
    om_bar bar;
} dumper;

static bool put(void *ctx, const void *bytes, size_t n, om_tool_error *err)
{
    dumper *d = ctx;
    return fwrite(bytes, 1, n, d->out) == n
               ? true
               : om_tool_fail(err, OM_EXIT_RUNTIME, "cannot write %s: %s",
                              d->partial[0] != '\0' ? d->partial : "the output", strerror(errno));
}

/* ---- Rows as JSON ------------------------------------------------------------------------------- */

static bool json_row(dumper *d, size_t i, om_tool_error *err)
{
    const om_target *t = d->target;
    size_t row = t->dim * om_tool_dtype_width(t->dtype);
    const uint8_t *vector = (const uint8_t *)d->vectors + i * row;
    json_t *id = om_out_id(&d->ids, i);
    char *name = id != NULL ? json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    json_decref(id);
    if (name == NULL) {
        return om_tool_no_memory(err, OM_ID_TEXT);
    }
    bool ok = fprintf(d->out, "{\"id\":%s,", name) > 0;
    free(name);
    size_t len = 0;
    const char *metadata = d->fields.count > 0 ? om_json_column_get(&d->metadata, i, &len) : "";
    if (ok && len > 2) { /* not "{}" */
        ok = fputs("\"metadata\":", d->out) >= 0 && fwrite(metadata, 1, len, d->out) == len &&
             fputc(',', d->out) != EOF;
    }
    if (d->args->base64) {
        om_base64_encode(vector, row, d->text);
        ok = ok && fprintf(d->out, "\"dtype\":\"%s\",\"vector\":\"%.*s\"}\n",
                           om_tool_dtype_name(t->dtype), (int)OM_BASE64_SIZE(row), d->text) > 0;
    } else {
        size_t item;
        if (!om_import_convert(vector, t->dtype, d->values, OMEN_F32, t->dim, &item, err)) {
            return false;
        }
        ok = ok && fputs("\"vector\":[", d->out) >= 0;
        for (uint32_t v = 0; ok && v < t->dim; v++) {
            ok = fprintf(d->out, "%s%.9g", v > 0 ? "," : "", (double)d->values[v]) > 0;
        }
        ok = ok && fputs("]}\n", d->out) >= 0;
    }
    return ok ? true
              : om_tool_fail(err, OM_EXIT_RUNTIME, "cannot write the output: %s", strerror(errno));
}

static bool json_rows(dumper *d, om_tool_error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < d->ids.count; i++) {
        ok = json_row(d, i, err);
    }
    return ok;
}

/* ---- The whole ----------------------------------------------------------------------------------- */

/* JSON lines tell of the fields first. */
static bool json_fields(dumper *d, om_tool_error *err)
{
    json_t *o = d->fields.count == 0 ? NULL
                                     : json_pack("{s:o}", "fields",
                                                 om_fields_json(d->fields.items, d->fields.count));
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    bool ok = d->fields.count == 0 || text != NULL ? true : om_tool_no_memory(err, 1024);
    ok = ok && (text == NULL || (put(d, text, strlen(text), err) && put(d, "\n", 1, err)));
    free(text);
    return ok;
}

static bool copy_items(dumper *d, om_tool_error *err)
{
    bool ok = d->binary ? om_dump_begin(&d->writer, err) : json_fields(d, err);
    bool metadata = d->fields.count > 0;
    om_scan_params p = {.most = d->rows};
    om_item_parts parts = {.vectors = d->vectors, .metadata = metadata ? &d->metadata : NULL};
    while (ok) {
        if (om_tool_interrupted()) {
            return om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted");
        }
        ok = d->target->ops->scan(d->target, &p, &d->ids, &parts, err);
        if (!ok || d->ids.count == 0) {
            break;
        }
        ok = d->binary ? om_dump_rows(&d->writer, &d->ids, d->vectors, parts.metadata, err)
                       : json_rows(d, err);
        d->done += d->ids.count;
        om_bar_draw(&d->bar, &(om_bar_state){.label = "dump",
                                             .done = d->done,
                                             .total = d->total,
                                             .rows = d->done,
                                             .indexed = d->done});
    }
    return ok && (!d->binary || om_dump_end(&d->writer, err));
}

static bool make_room(dumper *d, om_tool_error *err)
{
    size_t row = d->target->dim * om_tool_dtype_width(d->target->dtype);
    d->rows = BLOCK_BYTES / row;
    d->rows = d->rows < 1 ? 1 : d->rows > BLOCK_ROWS ? BLOCK_ROWS : d->rows;
    d->vectors = malloc(d->rows * row);
    d->values = malloc(d->target->dim * sizeof *d->values);
    d->text = malloc(OM_BASE64_SIZE(row));
    return d->vectors != NULL && d->values != NULL && d->text != NULL
               ? true
               : om_tool_no_memory(err, d->rows * row);
}

/* A file appears whole: what is there under its name stays until then. */
static bool open_output(dumper *d, const char *path, om_tool_error *err)
{
    if (path == NULL || strcmp(path, "-") == 0) {
        d->out = stdout;
        return d->binary && isatty(STDOUT_FILENO)
                   ? om_tool_fail(err, OM_EXIT_USAGE,
                                  "a dump is no text: give a file, or --format jsonl")
                   : true;
    }
    if (snprintf(d->path, sizeof d->path, "%s", path) >= (int)sizeof d->path) {
        return om_tool_fail(err, OM_EXIT_USAGE, "the path is longer than %zu bytes",
                            sizeof d->path - 1);
    }
    (void)snprintf(d->partial, sizeof d->partial, "%s.partial", path);
    d->out = fopen(d->partial, "wbe");
    return d->out != NULL ? true
                          : om_tool_fail(err, OM_EXIT_RUNTIME, "%s: cannot open: %s", d->partial,
                                         strerror(errno));
}

static bool close_output(dumper *d, bool ok, om_tool_error *err)
{
    if (d->out == NULL || d->out == stdout) {
        return ok;
    }
    bool written = !ok || (fflush(d->out) == 0 && fsync(fileno(d->out)) == 0);
    written = fclose(d->out) == 0 && written;
    if (ok && (!written || rename(d->partial, d->path) != 0)) {
        ok = om_tool_fail(err, OM_EXIT_RUNTIME, "cannot write %s: %s", d->path, strerror(errno));
    }
    if (!ok) {
        (void)unlink(d->partial);
    }
    return ok;
}

static bool choose_format(dumper *d, const char *path, om_tool_error *err)
{
    const char *format = d->args->format;
    size_t n = path != NULL ? strlen(path) : 0;
    bool named = n > 6 && strcmp(path + n - 6, ".jsonl") == 0;
    d->binary = !d->args->base64 && !named && (format == NULL || strcmp(format, "dump") == 0);
    if (format != NULL && strcmp(format, "dump") != 0 && strcmp(format, "jsonl") != 0) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--format: a dump is 'dump' or 'jsonl', not '%s'",
                            format);
    }
    if (format != NULL && strcmp(format, "dump") == 0 && (named || d->args->base64)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--format dump is not JSON lines");
    }
    return true;
}

static void report(const dumper *d)
{
    FILE *to = d->out == stdout ? stderr : stdout;
    char a[32];
    if (d->args->quiet) {
        return;
    }
    if (d->args->json && to == stdout) {
        om_out_object(json_pack("{s:I, s:s}", "rows", (json_int_t)d->done, "file", d->path));
    } else {
        (void)fprintf(to, "dumped %s items\n", om_out_count(a, d->done));
    }
}

static bool run(dumper *d, const char *path, om_tool_error *err)
{
    om_target_info info;
    if (!d->target->ops->describe(d->target, &info, err) ||
        !d->target->ops->fields(d->target, &d->fields, err) || !make_room(d, err)) {
        return false;
    }
    d->total = info.count;
    info.options.fields = d->fields.items;
    info.options.field_count = d->fields.count;
    d->writer = (om_dump_writer){
        .put = put, .ctx = d, .head = {.options = info.options, .rows = OMEN_NONE}};
    bool ok = open_output(d, path, err);
    om_bar_start(&d->bar, ok && !d->args->quiet);
    ok = ok && copy_items(d, err);
    om_bar_end(&d->bar);
    return close_output(d, ok, err);
}

bool om_cmd_dump(const om_args *args, om_tool_error *err)
{
    om_place place;
    dumper d = {.args = args};
    if (!om_place_find(args, true, &place, err)) {
        return false;
    }
    const char *path = args->rest_count > place.args_used ? args->rest[place.args_used] : NULL;
    if (!choose_format(&d, path, err) ||
        !om_target_open(args, &place, OM_TARGET_READ, &d.target, err)) {
        return false;
    }
    bool ok = run(&d, path, err);
    if (ok) {
        report(&d);
    }
    om_dump_writer_free(&d.writer);
    om_ids_free(&d.ids);
    om_field_list_free(&d.fields);
    om_json_column_free(&d.metadata);
    free(d.vectors);
    free(d.values);
    free(d.text);
    om_target_close(d.target);
    return ok;
}

bool om_cmd_load(const om_args *args, om_tool_error *err)
{
    return om_cmd_import(args, err);
}
