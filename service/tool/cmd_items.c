/* cmd_items.c - get and delete: items by id.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

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

static bool print_item(const om_args *args, const om_target *t, const om_ids *ids, size_t i,
                       const void *vector, float *values, om_tool_error *err)
{
    size_t item;
    bool whole = t->dtype == OMEN_I8 || t->dtype == OMEN_U8;
    if (!om_import_convert(vector, t->dtype, values, OMEN_F32, t->dim, &item, err)) {
        return false;
    }
    if (args->json) {
        json_t *list = json_array();
        for (uint32_t v = 0; v < t->dim; v++) {
            (void)json_array_append_new(list, whole ? json_integer((json_int_t)values[v])
                                                    : json_real((double)values[v]));
        }
        om_out_object(json_pack("{s:o, s:o}", "id", om_out_id(ids, i), "vector", list));
        return true;
    }
    char text[OM_ID_TEXT];
    (void)om_ids_text(ids, i, text);
    uint32_t shown = args->show_vectors || t->dim <= SHOWN_VALUES ? t->dim : SHOWN_VALUES;
    (void)printf("%s  [", text);
    for (uint32_t v = 0; v < shown; v++) {
        (void)printf("%s%.9g", v > 0 ? ", " : "", (double)values[v]);
    }
    (void)printf(shown < t->dim ? ", ... %u values]\n" : "]\n", t->dim);
    return true;
}

/* Fetches and prints ids in rounds, so that memory stays bounded. */
static bool print_items(const om_args *args, om_target *t, const om_ids *ids, size_t *missing,
                        om_tool_error *err)
{
    size_t row = t->dim * om_tool_dtype_width(t->dtype);
    size_t most = (16u << 20) / row;
    most = most < 1 ? 1 : most > IDS_A_ROUND ? IDS_A_ROUND : most;
    char *vectors = malloc(most * row);
    uint8_t *found = calloc(most, 1);
    float *values = calloc(t->dim, sizeof *values);
    om_ids part = {.type = ids->type};
    bool ok = vectors != NULL && found != NULL && values != NULL
                  ? true
                  : om_tool_no_memory(err, most * row);
    for (size_t first = 0; ok && first < ids->count; first += most) {
        size_t n = ids->count - first < most ? ids->count - first : most;
        om_ids_clear(&part);
        for (size_t i = 0; ok && i < n; i++) {
            ok = om_ids_add_from(&part, ids, first + i, err);
        }
        ok = ok && t->ops->get(t, &part, vectors, found, err);
        for (size_t i = 0; ok && i < n; i++) {
            *missing += found[i] == 0;
            ok = found[i] == 0 || print_item(args, t, &part, i, vectors + i * row, values, err);
        }
    }
    om_ids_free(&part);
    free(vectors);
    free(found);
    free(values);
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
    bool ok = collect_ids(args, &place, &ids, err) && t->ops->erase(t, &ids, &removed, err);
    if (ok && args->json) {
        om_out_object(json_pack("{s:I, s:I}", "removed", (json_int_t)removed, "given",
                                (json_int_t)ids.count));
    } else if (ok && !args->quiet) {
        (void)printf("removed %llu of %zu\n", (unsigned long long)removed, ids.count);
    }
    om_ids_free(&ids);
    om_target_close(t);
    return ok;
}
