/* cmd_import.c - import: from a file of vectors into a collection, a batch at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "import_name.h"

/* How the import went: at most TIMELINE samples, evenly spread; when full, every second one goes and
 * the spacing doubles. */
enum { TIMELINE = 256 };
typedef struct timeline {
    double started, step;
    size_t count;
    struct sample {
        double at;
        uint64_t accepted, indexed;
    } samples[TIMELINE];
} timeline;

typedef struct importer {
    const om_args *args;
    om_import *file;
    om_import *metadata;  /* of --metadata, or NULL */
    om_field_list fields; /* to be declared */
    om_target *target;
    om_source *id_file; /* NULL: none */
    uint64_t id_line;
    om_ids ids;
    void *converted; /* rows in the type of the collection, when it is another one */
    size_t converted_rows;
    uint32_t dtype; /* handed to the target */
    om_bar bar;
    timeline line;
    bool remote; /* what was accepted is kept, and the writer says how to go on */
    char stream_id[OMEN_MAX_STREAM_ID + 1];
} importer;

static void sample(timeline *t, uint64_t accepted, uint64_t indexed)
{
    double at = om_tool_now() - t->started;
    if (t->count > 0 && at - t->samples[t->count - 1].at < t->step) {
        return;
    }
    if (t->count == TIMELINE) {
        for (size_t i = 0; i < TIMELINE / 2; i++) {
            t->samples[i] = t->samples[2 * i];
        }
        t->count = TIMELINE / 2;
        t->step *= 2;
    }
    t->samples[t->count++] = (struct sample){at, accepted, indexed};
}

static void draw(void *ctx, uint64_t accepted, uint64_t indexed)
{
    importer *im = ctx;
    sample(&im->line, accepted, indexed);
    const om_import_info *info = om_import_about(im->file);
    om_bar_state s = {.label = "import", .rows = accepted, .indexed = indexed};
    if (info->rows != OMEN_NONE) {
        /* Accepting and indexing are half of the work each: the bar ends when both have ended. */
        uint64_t seen = indexed < info->rows ? indexed : info->rows;
        bool both = !im->args->no_wait;
        s.done = accepted + (both ? seen : 0);
        s.total = info->rows * (both ? 2 : 1);
    } else {
        om_import_position(im->file, &s.done, &s.total);
    }
    om_bar_draw(&im->bar, &s);
}

/* ---- Ids ------------------------------------------------------------------------------------- */

static bool next_id_line(importer *im, const char **line, size_t *len, om_tool_error *err)
{
    bool got;
    if (!om_source_line(im->id_file, 64u << 10, line, len, &got, err)) {
        return false;
    }
    if (!got) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: has only %llu lines, a line a row is needed", im->args->id_file,
                            (unsigned long long)im->id_line);
    }
    im->id_line++;
    if (*len > 0 && (*line)[*len - 1] == '\r') {
        (*len)--;
    }
    return true;
}

static bool ids_from_file(importer *im, size_t count, om_tool_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *line;
        size_t len;
        if (!next_id_line(im, &line, &len, err)) {
            return false;
        }
        if (!om_ids_add_text(&im->ids, line, len, err)) {
            return om_tool_wrap(err, "%s, line %llu", im->args->id_file,
                                (unsigned long long)im->id_line);
        }
    }
    return true;
}

/* Of `count` rows from position `first` of the file; `own`: those that the file tells, or NULL. */
static bool make_ids(importer *im, uint64_t first, size_t count, const om_ids *own,
                     om_tool_error *err)
{
    om_ids_clear(&im->ids);
    if (im->id_file != NULL) {
        return ids_from_file(im, count, err);
    }
    if (own != NULL) {
        return om_ids_add_converted(&im->ids, own, err)
                   ? true
                   : om_tool_wrap(err, "row %llu", (unsigned long long)(first + im->ids.count));
    }
    for (size_t i = 0; i < count; i++) {
        if (!om_ids_add_u64(&im->ids, im->args->first_id + first + i, err)) {
            return false;
        }
    }
    return true;
}

static bool open_ids(importer *im, om_tool_error *err)
{
    bool told = om_import_about(im->file)->has_ids ||
                (im->metadata != NULL && om_import_about(im->metadata)->has_ids);
    im->ids.type = im->target->id_type;
    if (im->args->id_file == NULL) {
        if (!told && im->target->id_type != OMEN_ID_U64) {
            return om_tool_fail(err, OM_EXIT_USAGE,
                                "the collection has %s ids: give --id-file, or JSON lines with ids",
                                om_tool_id_type_name(im->target->id_type));
        }
        return true;
    }
    if (!om_source_open(im->args->id_file, &im->id_file, err)) {
        return false;
    }
    for (uint64_t i = 0; i < im->args->offset; i++) {
        const char *line;
        size_t len;
        if (!next_id_line(im, &line, &len, err)) {
            return false;
        }
    }
    return true;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The library takes f32 into f16 itself; everything else is converted here, without loss. */
static uint32_t handed_dtype(uint32_t file, uint32_t collection)
{
    bool to_half = collection == OMEN_F16 && file != OMEN_F16;
    return to_half ? OMEN_F32 : collection;
}

static bool convert(importer *im, const om_import_rows *rows, const void **out, om_tool_error *err)
{
    const om_import_info *info = om_import_about(im->file);
    if (im->dtype == info->dtype || info->dim == 0) {
        *out = rows->data;
        return true;
    }
    if (rows->count > im->converted_rows) {
        size_t bytes = rows->count * info->dim * om_import_dtype_width(im->dtype);
        void *grown = realloc(im->converted, bytes);
        if (grown == NULL) {
            return om_tool_no_memory(err, bytes);
        }
        im->converted = grown;
        im->converted_rows = rows->count;
    }
    size_t item;
    *out = im->converted;
    if (om_import_convert(rows->data, info->dtype, im->converted, im->dtype,
                          rows->count * info->dim, &item, err)) {
        return true;
    }
    return om_tool_wrap(err, "row %llu, value %zu",
                        (unsigned long long)(rows->first + item / info->dim), item % info->dim);
}

static size_t batch_rows(const importer *im)
{
    const om_import_info *info = om_import_about(im->file);
    uint32_t wider = om_import_dtype_width(im->dtype) > om_import_dtype_width(info->dtype)
                         ? im->dtype
                         : info->dtype;
    return im->args->batch != 0 ? (size_t)im->args->batch : om_import_batch_rows(info->dim, wider);
}

/* Writes rows [at, at + *count) of a batch of the file; --metadata may make *count smaller. */
static bool write_part(importer *im, const om_import_rows *rows, const void *vectors, size_t at,
                       size_t *count, om_tool_error *err)
{
    const om_import_info *info = om_import_about(im->file);
    size_t row = info->dim * om_import_dtype_width(im->dtype);
    om_import_rows beside = {.count = *count, .ids = rows->ids, .metadata = rows->metadata};
    if (im->metadata != NULL) {
        if (!om_import_read(im->metadata, *count, &beside, err)) {
            return false;
        }
        if (beside.count == 0) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s ends before row %llu of the vectors",
                                im->args->metadata_file, (unsigned long long)(rows->first + at));
        }
        *count = beside.count;
    }
    if (!make_ids(im, rows->first + at, beside.count, beside.ids, err)) {
        return false;
    }
    om_target_batch b = {.count = beside.count,
                         .first_row = rows->first + at,
                         .vectors = row > 0 ? (const char *)vectors + at * row : NULL,
                         .dtype = row > 0 ? im->dtype : 0,
                         .dim = info->dim,
                         .ids = &im->ids,
                         .metadata = beside.metadata};
    return im->target->ops->write(im->target, &b, err);
}

/* Behind the last row there is no line of metadata. */
static bool check_end(importer *im, om_tool_error *err)
{
    om_import_rows more = {.count = 0};
    if (im->metadata == NULL || !om_import_read(im->metadata, 1, &more, err)) {
        return im->metadata == NULL;
    }
    return more.count == 0
               ? true
               : om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s has more lines than there are vectors",
                              im->args->metadata_file);
}

static bool copy_rows(importer *im, om_tool_error *err)
{
    size_t batch = batch_rows(im);
    for (;;) {
        om_import_rows rows;
        const void *vectors = NULL;
        if (om_tool_interrupted() && !im->remote) {
            return om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted; the file is as it was");
        }
        if (!om_import_read(im->file, batch, &rows, err)) {
            return false;
        }
        if (rows.count == 0) {
            return check_end(im, err);
        }
        if (!convert(im, &rows, &vectors, err)) {
            return false;
        }
        for (size_t at = 0, n; at < rows.count; at += n) {
            n = rows.count - at;
            if (!write_part(im, &rows, vectors, at, &n, err)) {
                return false;
            }
        }
    }
}

/* Opens the target; with --create makes it first when it is missing. */
static bool open_target(importer *im, const om_place *place, om_tool_error *err)
{
    const om_args *args = im->args;
    const om_import_info *info = om_import_about(im->file);
    if (!om_target_open(args, place, OM_TARGET_WRITE, &im->target, err)) {
        im->target = NULL;
        if (err->code != OM_EXIT_NOT_FOUND || !(args->create || info->has_shape)) {
            return false;
        }
        omen_options opt;
        if (info->dim == 0) {
            return om_tool_fail(err, OM_EXIT_USAGE, "there are no vectors to make a collection of");
        }
        if (!om_shape_from_args(args, info->dim, om_import_natural_dtype(info->dtype), &opt, err)) {
            return false;
        }
        if (info->has_shape) { /* a dump tells all of it */
            opt = info->shape;
        }
        opt.fields = im->fields.items;
        opt.field_count = im->fields.count;
        if (opt.capacity_hint == 0 && info->rows != OMEN_NONE) {
            opt.capacity_hint = info->rows;
        }
        if (!om_target_create(args, place, &opt, err) ||
            !om_target_open(args, place, OM_TARGET_WRITE, &im->target, err)) {
            im->target = NULL;
            return false;
        }
    }
    if (info->dim != 0 && info->dim != im->target->dim) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "the file has rows of %u values, the collection of %u", info->dim,
                            im->target->dim);
    }
    im->dtype = handed_dtype(info->dtype, im->target->dtype);
    return true;
}

static bool parse_mode(const om_args *args, uint32_t *mode, om_tool_error *err)
{
    static const char *const words[] = {"upsert", "insert", "update", "patch"};
    *mode = OMEN_UPSERT;
    for (uint32_t i = 0; args->mode != NULL && i < 4; i++) {
        if (strcmp(args->mode, words[i]) == 0) {
            *mode = OMEN_UPSERT + i;
            return true;
        }
    }
    return args->mode == NULL
               ? true
               : om_tool_fail(err, OM_EXIT_USAGE,
                              "--mode: '%s' is none of upsert, insert, update, patch", args->mode);
}

/* Opens --metadata, and gathers the fields of the options and of the file. */
static bool open_metadata(importer *im, om_tool_error *err)
{
    const om_args *args = im->args;
    const om_import_info *info = om_import_about(im->file);
    om_import_options in = {
        .format = "jsonl", .offset = args->offset, .limit = args->limit, .bare = true};
    const om_field_list *told = &info->fields;
    if (args->metadata_file != NULL) {
        if (info->has_ids || strcmp(info->format, "jsonl") == 0) {
            return om_tool_fail(err, OM_EXIT_USAGE,
                                "--metadata goes with a file of vectors alone, not with %s",
                                info->format);
        }
        if (!om_import_open(args->metadata_file, &in, &im->metadata, err)) {
            return false;
        }
        if (om_import_about(im->metadata)->dim != 0) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s has vectors, too", args->metadata_file);
        }
        told = &om_import_about(im->metadata)->fields;
    }
    om_field_list own;
    bool ok = om_fields_from_args(args, &own, err) &&
              om_field_list_make(&im->fields, own.count + told->count, err);
    if (ok && own.count > 0) {
        memcpy(im->fields.items, own.items, own.count * sizeof *own.items);
    }
    if (ok && told->count > 0) {
        memcpy(im->fields.items + own.count, told->items, told->count * sizeof *told->items);
    }
    im->fields.count = ok ? own.count + told->count : 0;
    om_field_list_free(&own);
    return ok;
}

static void report(const importer *im, const om_target_written *w, double started)
{
    double accepted_s = w->accepted_at - started;
    double indexed_s = w->indexed_at - started;
    double rows = (double)w->accepted;
    const om_args *args = im->args;
    if (args->json) {
        json_t *o =
            json_pack("{s:I, s:f, s:f, s:I, s:I, s:I, s:s}", "rows", (json_int_t)w->accepted,
                      "accepted_seconds", accepted_s, "accepted_rows_per_s",
                      accepted_s > 0 ? rows / accepted_s : 0.0, "indexed_rows",
                      (json_int_t)w->indexed, "skipped", (json_int_t)w->skipped, "reconnects",
                      (json_int_t)w->reconnects, "stream_id", w->stream_id);
        if (!args->no_wait) {
            (void)json_object_update_new(o, json_pack("{s:f, s:f}", "indexed_seconds", indexed_s,
                                                      "indexed_rows_per_s",
                                                      indexed_s > 0 ? rows / indexed_s : 0.0));
        }
        json_t *line = json_array();
        for (size_t i = 0; i < im->line.count; i++) {
            const struct sample *p = &im->line.samples[i];
            (void)json_array_append_new(line, json_pack("[f, I, I]", p->at, (json_int_t)p->accepted,
                                                        (json_int_t)p->indexed));
        }
        (void)json_object_set_new(o, "timeline", line);
        om_out_object(o);
        return;
    }
    if (args->quiet) {
        return;
    }
    char a[32], b[32], c[32];
    (void)printf("imported %s rows in %.2f s: %s rows/s accepted", om_out_count(a, w->accepted),
                 args->no_wait ? accepted_s : indexed_s,
                 om_out_rate(b, accepted_s > 0 ? rows / accepted_s : 0));
    if (!args->no_wait) {
        (void)printf(", %s rows/s indexed", om_out_rate(c, indexed_s > 0 ? rows / indexed_s : 0));
    }
    if (w->skipped > 0) {
        (void)printf(", %s were there already", om_out_count(a, w->skipped));
    }
    if (w->reconnects > 0) {
        (void)printf(", %llu reconnects", (unsigned long long)w->reconnects);
    }
    (void)printf("\n");
    if (w->skipped > 0 && w->skipped == w->accepted) {
        (void)printf("(this upload had been written before; --again writes it once more)\n");
    }
}

/* Servers and databases remember uploads by their stream id; a file is written as a whole. */
static const char *choose_stream(importer *im, const om_place *place)
{
    om_import_name_parts parts = {.collection = place->name,
                                  .file = im->args->rest[place->args_used],
                                  .batch = batch_rows(im)};
    if (im->args->stream_id != NULL || (!place->remote && place->db == NULL)) {
        return im->args->stream_id;
    }
    return om_import_name(im->args, &parts, im->stream_id, sizeof im->stream_id) ? im->stream_id
                                                                                 : NULL;
}

/* Lines without vectors are for patches alone. */
static bool open_file(importer *im, const char *path, om_import_options *in, uint32_t mode,
                      om_tool_error *err)
{
    in->bare = mode == OMEN_PATCH;
    return om_import_open(path, in, &im->file, err);
}

static bool run(importer *im, const om_place *place, om_tool_error *err)
{
    const om_args *args = im->args;
    om_import_options in = {.format = args->format, .offset = args->offset, .limit = args->limit};
    om_target_write_options opt = {.fields = &im->fields,
                                   .retry_s = args->retry_s,
                                   .wait_indexed = !args->no_wait,
                                   .tick = draw,
                                   .tick_ctx = im};
    om_target_written written;
    if (!parse_mode(args, &opt.mode, err) || !om_durability_from_args(args, &opt.durability, err) ||
        !om_check_range("--batch", args->batch, 0, 1000000, err) ||
        !open_file(im, args->rest[place->args_used], &in, opt.mode, err) ||
        !open_metadata(im, err) || !open_target(im, place, err) || !open_ids(im, err)) {
        return false;
    }
    opt.stream_id = choose_stream(im, place);
    if (!im->target->ops->write_begin(im->target, &opt, err)) {
        return false;
    }
    double started = om_tool_now();
    im->line = (timeline){.started = started, .step = 0.005};
    om_bar_start(&im->bar, !args->quiet);
    bool ok = copy_rows(im, err) && im->target->ops->write_end(im->target, &written, err);
    om_bar_end(&im->bar);
    if (!ok) {
        return false;
    }
    report(im, &written, started);
    return true;
}

bool om_cmd_import(const om_args *args, om_tool_error *err)
{
    om_place place;
    importer im = {.args = args};
    if (!om_place_find(args, true, &place, err)) {
        return false;
    }
    if (args->rest_count != place.args_used + 1) {
        return om_tool_fail(err, OM_EXIT_USAGE, "usage: omen import TARGET FILE");
    }
    im.remote = place.remote || place.db != NULL;
    bool ok = run(&im, &place, err);
    om_target_close(im.target);
    om_import_free(im.file);
    om_import_free(im.metadata);
    om_field_list_free(&im.fields);
    om_source_free(im.id_file);
    om_ids_free(&im.ids);
    free(im.converted);
    return ok;
}
