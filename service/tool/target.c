/* target.c - decides whether a command works on a file, in a database or at a server, and what the two share.
 * SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

#include <stdlib.h>
#include <string.h>

static bool is_path(const char *text)
{
    return strchr(text, '/') != NULL || strchr(text, '.') != NULL;
}

/* shop and shop.omen are the same file. */
static bool set_path(om_place *place, om_tool_error *err)
{
    size_t len = strlen(place->name);
    bool suffixed = len > 5 && strcmp(place->name + len - 5, ".omen") == 0;
    int n = snprintf(place->path, sizeof place->path, "%s%s", place->name, suffixed ? "" : ".omen");
    if (n < 0 || (size_t)n >= sizeof place->path) {
        return om_tool_fail(err, OM_EXIT_USAGE, "the path is longer than %zu bytes",
                            sizeof place->path - 1);
    }
    return true;
}

bool om_place_find(const om_args *args, bool needed, om_place *place, om_tool_error *err)
{
    memset(place, 0, sizeof *place);
    const char *first = args->rest_count > 0 ? args->rest[0] : NULL;
    bool file = first != NULL && is_path(first) && strcmp(first, "-") != 0;
    place->db = file ? NULL : args->db;
    /* With --collection the arguments are all the command's own, so a path among them is data. */
    if ((args->server != NULL || args->db != NULL) && args->collection != NULL &&
        !(file && strstr(first, ".omen"))) {
        place->remote = args->server != NULL;
        place->db = args->db;
        place->name = args->collection;
        return true;
    }
    place->remote = args->server != NULL && !file;
    place->name = first;
    place->args_used = first != NULL ? 1 : 0;
    if (first == NULL) {
        return needed ? om_tool_fail(err, OM_EXIT_USAGE,
                                     args->server != NULL || args->db != NULL
                                         ? "no collection: give its name, or --collection NAME"
                                         : "no target: give a segment file, or the name of a "
                                           "collection and --server HOST:PORT or --db DIR")
                      : true;
    }
    return place->remote || place->db != NULL ? true : set_path(place, err);
}

bool om_target_open(const om_args *args, const om_place *place, int mode, om_target **out,
                    om_tool_error *err)
{
    if (place->remote) {
        return om_remote_open(args, place, out, err);
    }
    return place->db != NULL ? om_embed_open(place, mode, out, err)
                             : om_local_open(place, mode, out, err);
}

void om_target_close(om_target *t)
{
    if (t != NULL) {
        t->ops->close(t);
    }
}

void om_search_result_free(om_search_result *r)
{
    om_ids_free(&r->ids);
    om_json_column_free(&r->metadata);
    free(r->distances);
    free(r->groups);
    free(r->starts);
    free(r->plans);
    memset(r, 0, sizeof *r);
}

bool om_search_result_begin(om_search_result *r, size_t queries, bool plans, om_tool_error *err)
{
    om_ids_clear(&r->ids);
    om_json_column_clear(&r->metadata);
    free(r->starts);
    free(r->plans);
    r->plans = NULL;
    r->starts = calloc(queries + 1, sizeof *r->starts);
    if (plans) {
        r->plans = calloc(queries + 1, sizeof *r->plans);
    }
    if (r->starts == NULL || (plans && r->plans == NULL)) {
        return om_tool_no_memory(err, queries * sizeof *r->plans);
    }
    return true;
}

bool om_search_result_reserve(om_search_result *r, size_t hits, om_tool_error *err)
{
    size_t want = r->ids.count + hits;
    if (want <= r->cap) {
        return true;
    }
    size_t cap = r->cap == 0 ? 1024 : r->cap;
    while (cap < want) {
        cap *= 2;
    }
    float *grown = reallocarray(r->distances, cap, sizeof *grown);
    if (grown == NULL) {
        return om_tool_no_memory(err, cap * sizeof *grown);
    }
    r->distances = grown;
    uint32_t *groups = reallocarray(r->groups, cap, sizeof *groups);
    if (groups == NULL) {
        return om_tool_no_memory(err, cap * sizeof *groups);
    }
    memset(groups + r->cap, 0, (cap - r->cap) * sizeof *groups);
    r->groups = groups;
    r->cap = cap;
    return true;
}

void om_search_plan_stage(om_search_plan *plan, const char *name, uint64_t ns)
{
    if (ns > 0 && plan->stage_count < OM_STAGES_MAX) {
        om_search_stage *s = &plan->stages[plan->stage_count++];
        (void)snprintf(s->name, sizeof s->name, "%s", name);
        s->ns = ns;
    }
}

void om_facet_free(om_facet *f)
{
    om_json_column_free(&f->values);
    free(f->counts);
    memset(f, 0, sizeof *f);
}
