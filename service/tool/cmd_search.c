/* cmd_search.c - search and recall.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

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
         t->ops->get(t, &ids, out->data, &found, err);
    if (ok && found == 0) {
        ok = om_tool_fail(err, OM_EXIT_NOT_FOUND, "there is no item with the id %s", text);
    }
    om_ids_free(&ids);
    return ok;
}

static bool load_queries(const om_args *args, const om_place *place, om_target *t, om_matrix *out,
                         om_tool_error *err)
{
    size_t files = args->rest_count - place->args_used;
    size_t sources = files + (args->vector != NULL) + (args->id != NULL);
    if (sources != 1) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "give one of: a file of queries, --vector '[...]', --id ID");
    }
    if (args->id != NULL) {
        return query_by_id(t, args->id, out, err);
    }
    om_import_options opt = {.format = args->format, .offset = args->offset, .limit = args->limit};
    bool ok = args->vector != NULL ? om_matrix_parse(args->vector, out, err)
                                   : om_matrix_load(args->rest[place->args_used], &opt, out, err);
    return ok && om_matrix_for_query(out, t, err);
}

static void print_json(const om_search_result *r, size_t q, size_t shown_as)
{
    json_t *hits = json_array();
    for (size_t i = r->starts[q]; i < r->starts[q + 1]; i++) {
        (void)json_array_append_new(hits, json_pack("{s:o, s:f}", "id", om_out_id(&r->ids, i),
                                                    "distance", (double)r->distances[i]));
    }
    json_t *o = json_pack("{s:I, s:o}", "query", (json_int_t)shown_as, "hits", hits);
    if (r->plans != NULL) {
        const om_search_plan *p = &r->plans[q];
        (void)json_object_set_new(
            o, "explain",
            json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "plan", p->plan, "ef", (int)p->ef,
                      "distances", (json_int_t)p->distances, "hops", (json_int_t)p->hops, "scanned",
                      (json_int_t)p->scanned, "reranked", (json_int_t)p->reranked));
    }
    om_out_object(o);
}

static void print_text(const om_search_result *r, size_t q, size_t shown_as, bool single)
{
    if (!single) {
        (void)printf("%squery %zu\n", q > 0 ? "\n" : "", shown_as);
    }
    if (r->plans != NULL) {
        const om_search_plan *p = &r->plans[q];
        (void)printf("  plan %s, ef %u: %llu distances, %llu hops, %llu scanned, %llu reranked\n",
                     p->plan, p->ef, (unsigned long long)p->distances, (unsigned long long)p->hops,
                     (unsigned long long)p->scanned, (unsigned long long)p->reranked);
    }
    for (size_t i = r->starts[q]; i < r->starts[q + 1]; i++) {
        char id[OM_ID_TEXT];
        (void)om_ids_text(&r->ids, i, id);
        (void)printf("%5zu  %-22s %.7g\n", i - r->starts[q] + 1, id, (double)r->distances[i]);
    }
    if (r->starts[q] == r->starts[q + 1]) {
        (void)printf("  nothing found: the collection is empty\n");
    }
}

bool om_cmd_search(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    om_matrix queries = {0};
    om_search_params params;
    om_search_result result = {0};
    if (!om_place_find(args, true, &place, err) ||
        !om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        return false;
    }
    bool ok = load_queries(args, &place, t, &queries, err) &&
              om_search_from_args(args, &queries, &params, err) &&
              t->ops->search(t, &params, &result, err);
    for (size_t q = 0; ok && q < params.count; q++) {
        size_t shown_as = q + (size_t)args->offset;
        if (args->json) {
            print_json(&result, q, shown_as);
        } else {
            print_text(&result, q, shown_as, params.count == 1);
        }
    }
    om_search_result_free(&result);
    om_matrix_free(&queries);
    om_target_close(t);
    return ok;
}

/* Recall of stored items, sampled by the engine itself. */
static bool sampled_recall(const om_args *args, om_target *t, om_tool_error *err)
{
    omen_recall r;
    if (!om_check_range("-k", args->k, 1, OMEN_MAX_K, err) ||
        !om_check_range("--ef", args->ef, 0, OMEN_MAX_EF, err) ||
        !om_check_range("--samples", args->samples, 1, 10000, err)) {
        return false;
    }
    om_recall_params p = {.k = (uint32_t)args->k,
                          .ef = (uint32_t)args->ef,
                          .samples = (uint32_t)args->samples,
                          .seed = args->seed,
                          .graph_only = args->graph_only};
    if (!t->ops->recall(t, &p, &r, err)) {
        return false;
    }
    if (args->json) {
        om_out_object(json_pack("{s:f, s:f, s:f, s:i, s:i, s:f}", "recall", r.recall, "low", r.low,
                                "high", r.high, "samples", (int)r.samples, "k", (int)args->k,
                                "distances", r.distances));
    } else {
        (void)printf(
            "recall@%llu = %.4f (95 %% interval %.4f to %.4f; %u samples, %.0f distances a "
            "query)\n",
            (unsigned long long)args->k, r.recall, r.low, r.high, r.samples, r.distances);
    }
    return true;
}

static bool file_recall(const om_args *args, om_target *t, om_tool_error *err)
{
    om_matrix queries;
    om_search_params params;
    om_search_result found = {0}, exact = {0};
    om_truth truth = {0};
    double recall = 0;
    om_import_options opt = {.format = args->format, .offset = args->offset, .limit = args->limit};
    if ((args->truth != NULL) == args->exact) {
        return om_tool_fail(err, OM_EXIT_USAGE, "give one of --truth FILE and --exact");
    }
    bool ok = om_matrix_load(args->queries, &opt, &queries, err) &&
              om_matrix_for_query(&queries, t, err) &&
              om_search_from_args(args, &queries, &params, err);
    params.exact = false;
    ok = ok && t->ops->search(t, &params, &found, err);
    if (ok && args->truth != NULL) {
        ok = om_truth_load(args, &truth, err) &&
             om_truth_recall(&truth, &found, params.count, params.k, &recall, err);
    } else if (ok) {
        params.exact = true;
        params.graph_only = false;
        ok = t->ops->search(t, &params, &exact, err);
        recall = ok ? om_exact_recall(&exact, &found, params.count) : 0;
    }
    if (ok && args->json) {
        om_out_object(json_pack("{s:f, s:I, s:i, s:i}", "recall", recall, "queries",
                                (json_int_t)params.count, "k", (int)params.k, "ef",
                                (int)params.ef));
    } else if (ok) {
        (void)printf("recall@%u = %.4f (%zu queries)\n", params.k, recall, params.count);
    }
    om_search_result_free(&found);
    om_search_result_free(&exact);
    om_truth_free(&truth);
    om_matrix_free(&queries);
    return ok;
}

bool om_cmd_recall(const om_args *args, om_tool_error *err)
{
    om_place place;
    om_target *t;
    if (!om_place_find(args, true, &place, err) ||
        !om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        return false;
    }
    bool ok = args->queries != NULL ? file_recall(args, t, err) : sampled_recall(args, t, err);
    om_target_close(t);
    return ok;
}
