/* cmd_collection.c - create, drop, count, stats.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"
#include "show_hits.h"

bool om_check_range(const char *option, uint64_t value, uint64_t low, uint64_t high,
                    om_tool_error *err)
{
    return value >= low && value <= high
               ? true
               : om_tool_fail(err, OM_EXIT_USAGE, "%s is %llu; %llu to %llu are allowed", option,
                              (unsigned long long)value, (unsigned long long)low,
                              (unsigned long long)high);
}

bool om_by_name(const char *option, const char *text, const char *const *words, uint32_t first,
                uint32_t *out, om_tool_error *err)
{
    if (text == NULL) {
        return true;
    }
    for (uint32_t i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = first + i;
            return true;
        }
    }
    char known[120] = "";
    for (size_t i = 0, at = 0; words[i] != NULL && at < sizeof known; i++) {
        int n = snprintf(known + at, sizeof known - at, "%s%s", i > 0 ? ", " : "", words[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return om_tool_fail(err, OM_EXIT_USAGE, "%s: '%s' is none of %s", option, text, known);
}

bool om_durability_from_args(const om_args *args, uint32_t *out, om_tool_error *err)
{
    static const char *const words[] = {"none", "interval", "batch", NULL};
    return om_by_name("--durability", args->durability, words, OMEN_DURABILITY_NONE, out, err);
}

bool om_shape_from_args(const om_args *args, uint32_t dim, uint32_t dtype, omen_options *out,
                        om_tool_error *err)
{
    static const char *const metrics[] = {"l2", "ip", "cosine", NULL};
    static const char *const dtypes[] = {"f32", "f16", "i8", "u8", NULL};
    static const char *const id_types[] = {"u64", "uuid", "string", NULL};
    static const char *const quants[] = {"sq8", "none", NULL};
    static const char *const rotations[] = {"auto", "off", "on", NULL};
    static const char *const entries[] = {"auto", "seeds", "hierarchy", NULL};
    uint64_t d = args->dim != 0 ? args->dim : dim;
    memset(out, 0, sizeof *out);
    out->struct_size = sizeof *out;
    out->metric = OMEN_L2;
    out->dtype = dtype != 0 ? dtype : OMEN_F32;
    out->id_type = OMEN_ID_U64;
    out->quantization = OMEN_QUANT_SQ8;
    if (d == 0) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--dim is needed: the number of values of a vector");
    }
    if (!om_check_range("--dim", d, 1, OMEN_MAX_DIM, err) ||
        !om_check_range("--m", args->m, 0, OMEN_MAX_M, err) ||
        !om_check_range("--ef-construction", args->ef_construction, 0, OMEN_MAX_EF, err) ||
        !om_by_name("--metric", args->metric, metrics, OMEN_L2, &out->metric, err) ||
        !om_by_name("--dtype", args->dtype, dtypes, OMEN_F32, &out->dtype, err) ||
        !om_by_name("--id-type", args->id_type, id_types, OMEN_ID_U64, &out->id_type, err) ||
        !om_by_name("--quantization", args->quantization, quants, OMEN_QUANT_SQ8,
                    &out->quantization, err) ||
        !om_by_name("--rotation", args->rotation, rotations, OMEN_ROTATE_AUTO, &out->rotation,
                    err) ||
        !om_by_name("--entry", args->entry, entries, OMEN_ENTRY_AUTO, &out->entry, err) ||
        !om_durability_from_args(args, &out->durability, err)) {
        return false;
    }
    out->dim = (uint32_t)d;
    out->m = (uint32_t)args->m;
    out->ef_construction = (uint32_t)args->ef_construction;
    out->capacity_hint = args->capacity;
    out->max_backlog_rows = args->max_backlog;
    return true;
}

bool om_target_create(const om_args *args, const om_place *place, const omen_options *opt,
                      om_tool_error *err)
{
    if (place->remote) {
        return om_remote_create(args, place, opt, err);
    }
    return place->db != NULL ? om_embed_create(place, opt, err) : om_local_create(place, opt, err);
}

static const char *place_name(const om_place *place)
{
    return place->remote || place->db != NULL ? place->name : place->path;
}

static bool no_more_args(const om_args *args, const om_place *place, om_tool_error *err)
{
    return args->rest_count <= place->args_used
               ? true
               : om_tool_fail(err, OM_EXIT_USAGE, "'%s' is not understood here",
                              args->rest[place->args_used]);
}

bool om_cmd_create(const om_args *args, om_tool_error *err)
{
    om_place place;
    omen_options opt;
    om_field_list fields = {0};
    if (!om_place_find(args, true, &place, err) || !no_more_args(args, &place, err) ||
        !om_shape_from_args(args, 0, 0, &opt, err) || !om_fields_from_args(args, &fields, err)) {
        return false;
    }
    opt.fields = fields.items;
    opt.field_count = fields.count;
    bool ok = om_target_create(args, &place, &opt, err);
    om_field_list_free(&fields);
    if (!ok) {
        return false;
    }
    if (args->json) {
        om_out_object(json_pack("{s:s, s:i, s:s, s:s, s:s}", "created", place_name(&place), "dim",
                                (int)opt.dim, "metric", om_tool_metric_name(opt.metric), "dtype",
                                om_tool_dtype_name(opt.dtype), "id_type",
                                om_tool_id_type_name(opt.id_type)));
    } else if (!args->quiet) {
        (void)printf("created %s: %u x %s, %s, %s ids\n", place_name(&place), opt.dim,
                     om_tool_dtype_name(opt.dtype), om_tool_metric_name(opt.metric),
                     om_tool_id_type_name(opt.id_type));
    }
    return true;
}

bool om_cmd_drop(const om_args *args, om_tool_error *err)
{
    om_place place;
    if (!om_place_find(args, true, &place, err) || !no_more_args(args, &place, err)) {
        return false;
    }
    bool ok = place.remote       ? om_remote_drop(args, &place, err)
              : place.db != NULL ? om_embed_drop(&place, err)
                                 : om_local_drop(&place, err);
    if (ok && args->json) {
        om_out_object(json_pack("{s:s}", "dropped", place_name(&place)));
    } else if (ok && !args->quiet) {
        (void)printf("dropped %s\n", place_name(&place));
    }
    return ok;
}

static bool print_count(const om_args *args, om_target *t, const om_condition *where,
                        om_tool_error *err)
{
    uint64_t count = 0;
    if (!t->ops->count(t, where, &count, err)) {
        return false;
    }
    if (!args->json) {
        (void)printf("%llu\n", (unsigned long long)count);
        return om_show_facets(args, t, where, NULL, err);
    }
    json_t *o = json_pack("{s:I}", "count", (json_int_t)count);
    bool ok = om_show_facets(args, t, where, o, err);
    om_out_object(o);
    return ok;
}

bool om_cmd_count(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_condition where;
    if (!om_place_find(args, true, &place, err) || !no_more_args(args, &place, err) ||
        !om_condition_from_args(args, &where, err)) {
        return false;
    }
    bool ok = om_target_open(args, &place, OM_TARGET_READ, &t, err);
    if (ok) {
        ok = print_count(args, t, where.text != NULL ? &where : NULL, err);
        om_target_close(t);
    }
    om_condition_free(&where);
    return ok;
}

static void stats_json(const om_target_info *i)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "count",
                          (json_int_t)i->count, "deleted", (json_int_t)i->deleted, "indexed_rows",
                          (json_int_t)i->indexed_rows, "backlog_rows", (json_int_t)i->backlog_rows,
                          "memory_bytes", (json_int_t)i->memory_bytes, "mapped_bytes",
                          (json_int_t)i->mapped_bytes, "version", (json_int_t)i->version,
                          "read_only", (int)i->read_only, "rotated", (int)i->rotated);
    json_t *shape = json_pack("{s:i, s:s?, s:s?, s:s?, s:s?, s:i, s:i}", "dim", (int)i->options.dim,
                              "metric", om_tool_metric_name(i->options.metric), "dtype",
                              om_tool_dtype_name(i->options.dtype), "id_type",
                              om_tool_id_type_name(i->options.id_type), "quantization",
                              om_tool_quant_name(i->options.quantization), "m", (int)i->options.m,
                              "ef_construction", (int)i->options.ef_construction);
    if (i->segments != 0) {
        (void)json_object_update_new(o, json_pack("{s:i, s:i, s:I}", "segments", (int)i->segments,
                                                  "frozen_segments", (int)i->frozen, "disk_bytes",
                                                  (json_int_t)i->disk_bytes));
    }
    if (i->file_bytes != 0) {
        json_t *parts = json_pack(
            "{s:I, s:I, s:I, s:I, s:I}", "file_bytes", (json_int_t)i->file_bytes, "bytes_codes",
            (json_int_t)i->bytes_codes, "bytes_links", (json_int_t)i->bytes_links, "bytes_ids",
            (json_int_t)i->bytes_ids, "bytes_vectors", (json_int_t)i->bytes_vectors);
        (void)json_object_update_new(o, parts);
    }
    (void)json_object_update_new(o, shape);
    om_out_object(o);
}

static void stats_text(const char *name, const om_target_info *i)
{
    char a[32], b[32];
    const char *quant = om_tool_quant_name(i->options.quantization);
    (void)printf("%s\n", name);
    (void)printf("  vectors       %u x %s, %s, %s ids\n", i->options.dim,
                 om_tool_dtype_name(i->options.dtype), om_tool_metric_name(i->options.metric),
                 om_tool_id_type_name(i->options.id_type));
    (void)printf("  graph         m %u, ef_construction %u, %s%s\n", i->options.m,
                 i->options.ef_construction, quant != NULL ? quant : "?",
                 i->rotated ? ", rotated" : "");
    (void)printf("  items         %s live, %s deleted\n", om_out_count(a, i->count),
                 om_out_count(b, i->deleted));
    (void)printf("  indexed       %s rows, %s waiting\n", om_out_count(a, i->indexed_rows),
                 om_out_count(b, i->backlog_rows));
    bool mapped = i->mapped_bytes > 0; /* then what is held in memory is no figure of an item */
    (void)printf("  memory        %s", om_out_bytes(a, i->memory_bytes));
    if (i->count > 0 && !mapped) {
        (void)printf(" (%.0f bytes an item)", (double)i->memory_bytes / (double)i->count);
    }
    (void)printf(", %s mapped\n", om_out_bytes(b, i->mapped_bytes));
    if (i->file_bytes != 0 && i->count > 0) {
        (void)printf("  file          %s (%.0f bytes an item)\n", om_out_bytes(a, i->file_bytes),
                     (double)i->file_bytes / (double)i->count);
    }
    if (i->segments != 0) {
        (void)printf("  segments      %u, %u waiting to be written, %s on disk\n", i->segments,
                     i->frozen, om_out_bytes(a, i->disk_bytes));
    }
    (void)printf("  version       %llu%s\n", (unsigned long long)i->version,
                 i->read_only ? ", read-only" : "");
}

bool om_cmd_stats(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_target_info info;
    if (args->rest_count == 0 && args->collection == NULL &&
        (args->server != NULL || args->db != NULL)) {
        return om_cmd_database(args, err);
    }
    if (!om_place_find(args, true, &place, err) || !no_more_args(args, &place, err) ||
        !om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        return false;
    }
    bool ok = t->ops->describe(t, &info, err);
    om_target_close(t);
    if (ok && args->json) {
        stats_json(&info);
    } else if (ok) {
        stats_text(place_name(&place), &info);
    }
    return ok;
}
