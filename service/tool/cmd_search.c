/* cmd_search.c - search: by vectors, words and examples.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "show_hits.h"

bool om_search_from_args(const om_args *args, const om_matrix *queries, om_search_params *out,
                         om_tool_error *err)
{
    uint64_t threads = 0;
    memset(out, 0, sizeof *out);
    if (args->thread_list != NULL) {
        char *end;
        threads = strtoull(args->thread_list, &end, 10);
        if (end == args->thread_list || *end != '\0') {
            return om_tool_fail(err, OM_EXIT_USAGE, "--threads wants a number, not '%s'",
                                args->thread_list);
        }
    }
    if (!om_check_range("-k", args->k, 1, OMEN_MAX_K, err) ||
        !om_check_range("--ef", args->ef, 0, OMEN_MAX_EF, err) ||
        !om_check_range("--threads", threads, 0, 1024, err)) {
        return false;
    }
    out->vectors = queries->data;
    out->dtype = queries->dtype;
    out->dim = queries->dim;
    out->count = queries->rows;
    out->k = (uint32_t)args->k;
    out->ef = (uint32_t)args->ef;
    out->threads = (uint32_t)threads;
    out->exact = args->exact;
    out->graph_only = args->graph_only;
    out->explain = args->explain;
    return true;
}

/* The vector of a stored item as the query. */
static bool query_by_id(om_target *t, const char *text, om_matrix *out, om_tool_error *err)
{
    om_ids ids = {.type = t->id_type};
    uint8_t found = 0;
    memset(out, 0, sizeof *out);
    out->dim = t->dim;
    out->dtype = t->dtype;
    out->rows = 1;
    out->data = calloc(t->dim, om_tool_dtype_width(t->dtype));
    bool ok = out->data != NULL ? true : om_tool_no_memory(err, t->dim);
    ok = ok && om_ids_add_text(&ids, text, strlen(text), err) &&
         t->ops->get(t, &ids, &(om_item_parts){.vectors = out->data}, &found, err);
    if (ok && found == 0) {
        ok = om_tool_fail(err, OM_EXIT_NOT_FOUND, "there is no item with the id %s", text);
    }
    om_ids_free(&ids);
    return ok;
}

/* Everything that one search command needs. */
typedef struct searcher {
    const om_args *args;
    om_target *t;
    om_matrix queries; /* rows 0: words or examples alone */
    om_condition where;
    om_texts shown;
    om_ids like;
    bool metadata;
    float max_distance, min_score;
    om_search_params params;
    om_search_result result;
} searcher;

static bool load_queries(searcher *s, const om_place *place, om_tool_error *err)
{
    const om_args *args = s->args;
    size_t files = args->rest_count - place->args_used;
    size_t sources = files + (args->vector != NULL) + (args->id != NULL);
    if (sources > 1 || (sources == 0 && args->text == NULL && args->like.count == 0)) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "give one of: a file of queries, --vector '[...]', --id ID; or --text, "
                            "--like; or both");
    }
    if (sources == 0) {
        return true;
    }
    if (args->id != NULL) {
        return query_by_id(s->t, args->id, &s->queries, err);
    }
    om_import_options opt = {.format = args->format, .offset = args->offset, .limit = args->limit};
    bool ok = args->vector != NULL
                  ? om_matrix_parse(args->vector, &s->queries, err)
                  : om_matrix_load(args->rest[place->args_used], &opt, &s->queries, err);
    return ok && om_matrix_for_query(&s->queries, s->t, err);
}

static bool load_like(searcher *s, om_tool_error *err)
{
    s->like.type = s->t->id_type;
    bool ok = true;
    for (size_t i = 0; ok && i < s->args->like.count; i++) {
        const char *id = s->args->like.items[i];
        ok = om_ids_add_text(&s->like, id, strlen(id), err);
    }
    return ok;
}

/* ---- Searches of several parts --------------------------------------------------------------------- */

static bool number(const char *option, const char *text, float *out, om_tool_error *err)
{
    char *end;
    *out = strtof(text, &end);
    return end != text && *end == '\0' && *out == *out
               ? true
               : om_tool_fail(err, OM_EXIT_USAGE, "%s wants a number, not '%s'", option, text);
}

/* --weight, one for each part there is, in order. */
static bool take_weights(const om_args *args, om_find_params *p, om_tool_error *err)
{
    const bool there[] = {p->vector != NULL, p->like != NULL, p->text != NULL};
    size_t used = 0;
    for (size_t i = 0; i < 3 && used < args->weights.count; i++) {
        if (there[i] && !number("--weight", args->weights.items[used++], &p->weights[i], err)) {
            return false;
        }
        if (there[i] && p->weights[i] <= 0) {
            return om_tool_fail(err, OM_EXIT_USAGE, "--weight wants a number above 0");
        }
    }
    return used == args->weights.count
               ? true
               : om_tool_fail(err, OM_EXIT_USAGE,
                              "there are more --weight than searches to be fused (vector, like, "
                              "text)");
}

static bool make_params(searcher *s, om_find_params *p, om_tool_error *err)
{
    static const char *const fusions[] = {"rrf", "weighted", NULL};
    const om_args *args = s->args;
    *p = (om_find_params){.vector = s->queries.rows > 0 ? s->queries.data : NULL,
                          .dtype = s->queries.dtype,
                          .dim = s->queries.dim,
                          .like = s->like.count > 0 ? &s->like : NULL,
                          .text = args->text,
                          .text_field = args->text_field,
                          .k = (uint32_t)args->k,
                          .skip = (uint32_t)args->skip,
                          .ef = (uint32_t)args->ef,
                          .group_size = (uint32_t)args->group_size,
                          .group_by = args->group_by,
                          .where = s->params.where,
                          .shown = s->metadata ? &s->shown : NULL,
                          .exact = args->exact,
                          .graph_only = args->graph_only,
                          .explain = args->explain};
    if (args->max_distance != NULL && args->min_score != NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--max-distance is for one vector, --min-score for words and fusion: "
                            "give one");
    }
    p->max_distance = args->max_distance != NULL ? &s->max_distance : NULL;
    p->min_score = args->min_score != NULL ? &s->min_score : NULL;
    return om_check_range("--skip", args->skip, 0, OMEN_MAX_K, err) &&
           om_check_range("--group-size", args->group_size, 0, OMEN_MAX_K, err) &&
           om_by_name("--fusion", args->fusion, fusions, OMEN_FUSE_RRF, &p->fusion, err) &&
           (p->max_distance == NULL ||
            number("--max-distance", args->max_distance, &s->max_distance, err)) &&
           (p->min_score == NULL || number("--min-score", args->min_score, &s->min_score, err)) &&
           take_weights(args, p, err);
}

/* Nothing but vectors and a filter: many searches a call. */
static bool is_plain(const searcher *s)
{
    const om_args *a = s->args;
    return a->text == NULL && a->like.count == 0 && a->skip == 0 && a->fusion == NULL &&
           a->weights.count == 0 && a->max_distance == NULL && a->min_score == NULL &&
           a->group_by == NULL && a->group_size == 0 && a->text_field == NULL && !s->metadata;
}

static bool find_all(searcher *s, om_tool_error *err)
{
    om_find_params p;
    size_t row = s->queries.dim * om_tool_dtype_width(s->queries.dtype);
    bool ok = make_params(s, &p, err) &&
              om_search_result_begin(&s->result, s->params.count, s->args->explain, err);
    for (size_t q = 0; ok && q < s->params.count; q++) {
        if (om_tool_interrupted()) {
            return om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted");
        }
        if (p.vector != NULL) {
            p.vector = (const char *)s->queries.data + q * row;
        }
        ok = s->t->ops->find(s->t, &p, q, &s->result, err);
    }
    return ok;
}

/* ---- Printing --------------------------------------------------------------------------------------- */

static json_t *hit_json(const searcher *s, size_t i)
{
    const om_search_result *r = &s->result;
    json_t *o = json_pack("{s:o, s:o}", "id", om_out_id(&r->ids, i),
                          r->scored ? "score" : "distance", om_out_float(r->distances[i]));
    if (s->args->group_by != NULL) {
        (void)json_object_set_new(o, "group", json_integer((json_int_t)r->groups[i]));
    }
    if (s->metadata) {
        (void)json_object_set_new(o, "metadata", om_show_metadata(&r->metadata, i));
    }
    return o;
}

static bool print_json(searcher *s, size_t q, size_t shown_as, om_tool_error *err)
{
    const om_search_result *r = &s->result;
    json_t *hits = json_array();
    for (size_t i = r->starts[q]; i < r->starts[q + 1]; i++) {
        (void)json_array_append_new(hits, hit_json(s, i));
    }
    json_t *o = json_pack("{s:I, s:o}", "query", (json_int_t)shown_as, "hits", hits);
    if (r->plans != NULL) {
        (void)json_object_set_new(o, "explain", om_show_plan_json(&r->plans[q]));
    }
    bool ok = q > 0 || om_show_facets(s->args, s->t, s->params.where, o, err);
    om_out_exact(o);
    return ok;
}

static bool print_text(searcher *s, size_t q, size_t shown_as, om_tool_error *err)
{
    const om_search_result *r = &s->result;
    if (s->params.count > 1) {
        (void)printf("%squery %zu\n", q > 0 ? "\n" : "", shown_as);
    }
    if (r->plans != NULL) {
        om_show_plan(&r->plans[q]);
    }
    for (size_t i = r->starts[q]; i < r->starts[q + 1]; i++) {
        size_t number_of = i - r->starts[q] + 1 + (size_t)s->args->skip;
        char id[OM_ID_TEXT], note[32];
        (void)om_ids_text(&r->ids, i, id);
        (void)snprintf(note, sizeof note, "%.7g", (double)r->distances[i]);
        if (s->metadata) {
            om_show_item(&(om_shown_item){number_of, &r->ids, i, &r->metadata, note});
        } else {
            (void)printf("%5zu  %-22s %s\n", number_of, id, note);
        }
    }
    if (r->starts[q] == r->starts[q + 1]) {
        (void)printf(s->params.where != NULL || s->args->text != NULL
                         ? "  nothing found\n"
                         : "  nothing found: the collection is empty\n");
    }
    return q > 0 || om_show_facets(s->args, s->t, s->params.where, NULL, err);
}

static bool run(searcher *s, const om_place *place, om_tool_error *err)
{
    const om_args *args = s->args;
    if (!om_condition_from_args(args, &s->where, err) ||
        !om_shown_fields(args, &s->shown, &s->metadata, err) ||
        !om_target_open(args, place, OM_TARGET_READ, &s->t, err)) {
        return false;
    }
    bool ok = load_queries(s, place, err) && load_like(s, err) &&
              om_search_from_args(args, &s->queries, &s->params, err);
    s->params.where = s->where.text != NULL ? &s->where : NULL;
    if (ok && s->queries.dim == 0) { /* no vectors: one search */
        s->params.count = 1;
    }
    ok = ok &&
         (is_plain(s) ? s->t->ops->search(s->t, &s->params, &s->result, err) : find_all(s, err));
    for (size_t q = 0; ok && q < s->params.count; q++) {
        size_t shown_as = q + (size_t)args->offset;
        ok = args->json ? print_json(s, q, shown_as, err) : print_text(s, q, shown_as, err);
    }
    return ok;
}

bool om_cmd_search(const om_args *args, om_tool_error *err)
{
    om_place place;
    if (!om_place_find(args, true, &place, err)) {
        return false;
    }
    searcher s = {.args = args};
    bool ok = run(&s, &place, err);
    om_search_result_free(&s.result);
    om_matrix_free(&s.queries);
    om_ids_free(&s.like);
    om_target_close(s.t); /* it may keep the filter of the condition */
    om_shown_fields_free(&s.shown);
    om_condition_free(&s.where);
    return ok;
}
