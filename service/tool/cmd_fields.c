/* cmd_fields.c - fields: lists those of a collection, and declares more.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"

bool om_fields_from_args(const om_args *args, om_field_list *out, om_tool_error *err)
{
    if (!om_field_list_make(out, args->fields.count, err)) {
        return false;
    }
    for (size_t i = 0; i < args->fields.count; i++) {
        if (!om_field_parse(args->fields.items[i], &out->items[i], err)) {
            om_field_list_free(out);
            return false;
        }
        out->count++;
    }
    return true;
}

static void show(const om_args *args, const om_field_list *list)
{
    if (args->json) {
        om_out_object(json_pack("{s:o}", "fields", om_fields_json(list->items, list->count)));
        return;
    }
    if (list->count == 0) {
        (void)printf("no fields yet: they come with the metadata, or are declared with --field\n");
        return;
    }
    (void)printf("%-32s %-10s %s\n", "NAME", "TYPE", "OPTIONS");
    for (size_t i = 0; i < list->count; i++) {
        char type[16], options[96];
        const omen_field *f = &list->items[i];
        (void)om_field_options(f, options, sizeof options);
        (void)printf("%-32s %-10s %s\n", f->name, om_field_type_name(f->type, type),
                     options[0] == ':' ? options + 1 : "");
    }
}

bool om_cmd_fields(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_field_list more = {0}, all = {0};
    int mode = args->fields.count > 0 ? OM_TARGET_WRITE : OM_TARGET_READ;
    if (!om_place_find(args, true, &place, err) || !om_fields_from_args(args, &more, err)) {
        return false;
    }
    if (args->rest_count > place.args_used || !om_target_open(args, &place, mode, &t, err)) {
        om_field_list_free(&more);
        return args->rest_count > place.args_used
                   ? om_tool_fail(err, OM_EXIT_USAGE, "'%s' is not understood here",
                                  args->rest[place.args_used])
                   : false;
    }
    bool ok = more.count == 0 || t->ops->declare(t, &more, err);
    if (ok && more.count > 0) { /* a file was replaced: look into the new one */
        om_target_close(t);
        ok = om_target_open(args, &place, OM_TARGET_READ, &t, err);
        t = ok ? t : NULL;
    }
    ok = ok && t->ops->fields(t, &all, err);
    if (ok && !args->quiet) {
        show(args, &all);
    }
    om_field_list_free(&more);
    om_field_list_free(&all);
    om_target_close(t);
    return ok;
}
