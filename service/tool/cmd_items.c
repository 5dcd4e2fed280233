/* cmd_items.c - get and delete: items by id.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "show_hits.h"

enum { SHOWN_VALUES = 8, IDS_A_ROUND = 1024 };

/* The ids of the command line, then those of --id-file. */
static bool collect_ids(const om_args *args, const om_place *place, om_ids *ids, om_tool_error *err)
{
    for (size_t i = place->args_used; i < args->rest_count; i++) {
        if (!om_ids_add_text(ids, args->rest[i], strlen(args->rest[i]), err)) {
            return false;
        }
    }
    if (args->id_file == NULL) {
        return ids->count > 0 ? true : om_tool_fail(err, OM_EXIT_USAGE, "no ids are given");
    }
    om_source *file;
    if (!om_source_open(args->id_file, &file, err)) {
        return false;
    }
    bool ok = true, got = true;
    for (uint64_t line = 1; ok && got; line++) {
        const char *text;
        size_t len;
        ok = om_source_line(file, 64u << 10, &text, &len, &got, err);
        if (ok && got) {
            len -= len > 0 && text[len - 1] == '\r' ? 1 : 0;
            ok = om_ids_add_text(ids, text, len, err) ||
                 om_tool_wrap(err, "%s, line %llu", args->id_file, (unsigned long long)line);
        }
    }
    om_source_free(file);
    return ok;
}

/* What a round of items is read into. */
typedef struct getter {
    const om_args *args;
    om_target *t;
    om_texts shown;
    bool with_metadata;
    om_json_column metadata;
    uint64_t *versions;
    char *vectors;
    float *values; /* of a row */
    uint8_t *found;
} getter;

static void item_json(const getter *g, const om_ids *ids, size_t i)
{
    const om_target *t = g->t;
    bool whole = t->dtype == OMEN_I8 || t->dtype == OMEN_U8;
    json_t *list = json_array();
    for (uint32_t v = 0; v < t->dim; v++) {
        (void)json_array_append_new(list, whole ? json_integer((json_int_t)g->values[v])
                                                : om_out_float(g->values[v]));
    }
    json_t *o = json_pack("{s:o, s:o}", "id", om_out_id(ids, i), "vector", list);
    if (g->with_metadata) {
        (void)json_object_set_new(o, "metadata", om_show_metadata(&g->metadata, i));
    }
    if (g->args->versions) {
        (void)json_object_set_new(o, "version", json_integer((json_int_t)g->versions[i]));
    }
    om_out_exact(o);
}

static bool print_item(const getter *g, const om_ids *ids, size_t i, om_tool_error *err)
{
    const om_target *t = g->t;
    size_t item, row = t->dim * om_tool_dtype_width(t->dtype);
    if (!om_import_convert(g->vectors + i * row, t->dtype, g->values, OMEN_F32, t->dim, &item,
                           err)) {
        return false;
    }
    if (g->args->json) {
        item_json(g, ids, i);
        return true;
    }
    if (g->with_metadata) {
        om_show_item(&(om_shown_item){0, ids, i, &g->metadata, ""});
    }
    if (g->args->versions) {
        (void)printf("       version %llu\n", (unsigned long long)g->versions[i]);
    }
    if (g->with_metadata && !g->args->show_vectors) {
        return true;
    }
    char text[OM_ID_TEXT];
    (void)om_ids_text(ids, i, text);
    uint32_t shown = g->args->show_vectors || t->dim <= SHOWN_VALUES ? t->dim : SHOWN_VALUES;
    (void)printf("%s  [", text);
    for (uint32_t v = 0; v < shown; v++) {
        (void)printf("%s%.9g", v > 0 ? ", " : "", (double)g->values[v]);
    }
    (void)printf(shown < t->dim ? ", ... %u values]\n" : "]\n", t->dim);
    return true;
}

static bool print_round(getter *g, const om_ids *part, size_t *missing, om_tool_error *err)
{
    om_item_parts parts = {.vectors = g->vectors,
                           .metadata = g->with_metadata ? &g->metadata : NULL,
                           .shown = &g->shown,
                           .versions = g->args->versions ? g->versions : NULL};
    om_json_column_clear(&g->metadata);
    bool ok = g->t->ops->get(g->t, part, &parts, g->found, err);
    for (size_t i = 0; ok && i < part->count; i++) {
        *missing += g->found[i] == 0;
        ok = g->found[i] == 0 || print_item(g, part, i, err);
    }
    return ok;
}

/* Fetches and prints ids in rounds, so that memory stays bounded. */
static bool print_items(const om_args *args, om_target *t, const om_ids *ids, size_t *missing,
                        om_tool_error *err)
{
    getter g = {.args = args, .t = t};
    bool ok = om_shown_fields(args, &g.shown, &g.with_metadata, err);
    size_t row = t->dim * om_tool_dtype_width(t->dtype);
    size_t most = (16u << 20) / row, limit = g.with_metadata ? 64 : IDS_A_ROUND;
    most = most < 1 ? 1 : most > limit ? limit : most;
    g.vectors = malloc(most * row);
    g.found = calloc(most, 1);
    g.values = calloc(t->dim, sizeof *g.values);
    g.versions = calloc(most, sizeof *g.versions);
    om_ids part = {.type = ids->type};
    if (ok && (g.vectors == NULL || g.found == NULL || g.values == NULL || g.versions == NULL)) {
        ok = om_tool_no_memory(err, most * row);
    }
    for (size_t first = 0; ok && first < ids->count; first += most) {
        size_t n = ids->count - first < most ? ids->count - first : most;
        om_ids_clear(&part);
        for (size_t i = 0; ok && i < n; i++) {
            ok = om_ids_add_from(&part, ids, first + i, err);
        }
        ok = ok && print_round(&g, &part, missing, err);
    }
    om_ids_free(&part);
    om_json_column_free(&g.metadata);
    om_shown_fields_free(&g.shown);
    free(g.vectors);
    free(g.values);
    free(g.versions);
    free(g.found);
    return ok;
}

bool om_cmd_get(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_ids ids = {0};
    size_t missing = 0;
    if (!om_place_find(args, true, &place, err) ||
        !om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        return false;
    }
    ids.type = t->id_type;
    bool ok = collect_ids(args, &place, &ids, err) && print_items(args, t, &ids, &missing, err);
    if (ok && missing > 0) {
        ok =
            om_tool_fail(err, OM_EXIT_NOT_FOUND, "%zu of %zu ids do not exist", missing, ids.count);
    }
    om_ids_free(&ids);
    om_target_close(t);
    return ok;
}

/* The ids of the command line, or all that pass --filter. */
static bool erase(const om_args *args, const om_place *place, om_target *t, om_ids *ids,
                  uint64_t *removed, om_tool_error *err)
{
    if (args->filter == NULL) {
        return collect_ids(args, place, ids, err) && t->ops->erase(t, ids, removed, err);
    }
    if (args->rest_count > place->args_used || args->id_file != NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "give ids or --filter, not both");
    }
    om_condition where;
    if (!om_condition_from_args(args, &where, err)) {
        return false;
    }
    bool ok = t->ops->erase_where(t, &where, removed, err);
    om_condition_free(&where);
    return ok;
}

bool om_cmd_delete(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_ids ids = {0};
    uint64_t removed = 0;
    if (!om_place_find(args, true, &place, err) ||
        !om_target_open(args, &place, OM_TARGET_WRITE, &t, err)) {
        return false;
    }
    ids.type = t->id_type;
    bool ok = erase(args, &place, t, &ids, &removed, err);
    if (ok && args->json) {
        json_t *o = json_pack("{s:I}", "removed", (json_int_t)removed);
        if (args->filter == NULL) {
            (void)json_object_set_new(o, "given", json_integer((json_int_t)ids.count));
        }
        om_out_object(o);
    } else if (ok && !args->quiet && args->filter != NULL) {
        (void)printf("removed %llu\n", (unsigned long long)removed);
    } else if (ok && !args->quiet) {
        (void)printf("removed %llu of %zu\n", (unsigned long long)removed, ids.count);
    }
    om_ids_free(&ids);
    om_target_close(t);
    return ok;
}
