/* cmd_patch.c - patch: sets and unsets fields of an item. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"

static bool write_patch(om_target *t, const om_target_batch *b, om_tool_error *err)
{
    om_target_write_options opt = {.mode = OMEN_PATCH, .retry_s = 60};
    om_target_written written;
    return t->ops->write_begin(t, &opt, err) && t->ops->write(t, b, err) &&
           t->ops->write_end(t, &written, err);
}

/* One JSON object, on one line. */
static bool add_patch(const char *text, om_json_column *out, om_tool_error *err)
{
    json_error_t why;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!json_is_object(o)) {
        json_decref(o);
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "the patch is no JSON object: %s",
                            o == NULL ? why.text : "it is something else");
    }
    json_decref(o);
    return om_json_column_add(out, text, strlen(text), err);
}

bool om_cmd_patch(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_ids ids = {0};
    om_json_column patch = {0};
    if (!om_place_find(args, true, &place, err)) {
        return false;
    }
    if (args->rest_count != place.args_used + 2) {
        return om_tool_fail(err, OM_EXIT_USAGE, "usage: omen patch TARGET ID '{\"field\": value}'");
    }
    const char *id = args->rest[place.args_used];
    if (!om_target_open(args, &place, OM_TARGET_WRITE, &t, err)) {
        return false;
    }
    ids.type = t->id_type;
    om_target_batch batch = {.count = 1,
                             .ids = &ids,
                             .metadata = &patch,
                             .if_version = args->versioned ? &args->if_version : NULL};
    bool ok = om_ids_add_text(&ids, id, strlen(id), err) &&
              add_patch(args->rest[place.args_used + 1], &patch, err) &&
              write_patch(t, &batch, err);
    if (ok && args->json) {
        om_out_object(json_pack("{s:o}", "patched", om_out_id(&ids, 0)));
    } else if (ok && !args->quiet) {
        (void)printf("patched %s\n", id);
    }
    om_ids_free(&ids);
    om_json_column_free(&patch);
    om_target_close(t);
    return ok;
}
