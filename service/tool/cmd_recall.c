/* cmd_recall.c - recall: how many of the true neighbours searches find.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

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

/* Queries for a filtered measurement: stored items, any of them, chosen evenly (algorithm R). */
static bool sample_queries(const om_args *args, om_target *t, om_matrix *out, om_tool_error *err)
{
    size_t row = t->dim * om_tool_dtype_width(t->dtype);
    om_scan_params p = {.most = row < (1u << 20) ? (4u << 20) / row : 4};
    om_ids ids = {0};
    om_item_parts parts = {.vectors = malloc(p.most * row)};
    uint64_t state = args->seed + UINT64_C(0x9e3779b97f4a7c15), seen = 0;
    *out =
        (om_matrix){.data = malloc((size_t)args->samples * row), .dim = t->dim, .dtype = t->dtype};
    bool ok = out->data != NULL && parts.vectors != NULL
                  ? true
                  : om_tool_no_memory(err, (size_t)args->samples * row);
    bool more = ok;
    while (more) {
        ok = t->ops->scan(t, &p, &ids, &parts, err);
        more = ok && ids.count > 0;
        for (size_t i = 0; more && i < ids.count; i++, seen++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            uint64_t slot = seen < args->samples ? seen : (state >> 11) % (seen + 1);
            if (slot < args->samples) {
                memcpy((char *)out->data + slot * row, (char *)parts.vectors + i * row, row);
            }
        }
    }
    out->rows = (size_t)(seen < args->samples ? seen : args->samples);
    free(parts.vectors);
    om_ids_free(&ids);
    return ok && (out->rows > 0 || om_tool_fail(err, OM_EXIT_NOT_FOUND, "the collection is empty"));
}

static bool file_recall(const om_args *args, om_target *t, const om_condition *where,
                        om_tool_error *err)
{
    om_matrix queries = {0};
    om_search_params params;
    om_search_result found = {0}, exact = {0};
    om_truth truth = {0};
    double recall = 0;
    om_import_options opt = {.format = args->format, .offset = args->offset, .limit = args->limit};
    bool sampled = args->queries == NULL;
    if (sampled && !om_check_range("--samples", args->samples, 1, 10000, err)) {
        return false;
    }
    if (!sampled && (args->truth != NULL) == args->exact) {
        return om_tool_fail(err, OM_EXIT_USAGE, "give one of --truth FILE and --exact");
    }
    bool ok = (sampled ? sample_queries(args, t, &queries, err)
                       : om_matrix_load(args->queries, &opt, &queries, err)) &&
              om_matrix_for_query(&queries, t, err) &&
              om_search_from_args(args, &queries, &params, err);
    params.exact = false;
    params.where = where->text != NULL ? where : NULL;
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
    om_condition where;
    if (!om_place_find(args, true, &place, err) || !om_condition_from_args(args, &where, err)) {
        return false;
    }
    if (!om_target_open(args, &place, OM_TARGET_READ, &t, err)) {
        om_condition_free(&where);
        return false;
    }
    bool ok = args->queries != NULL || where.text != NULL ? file_recall(args, t, &where, err)
                                                          : sampled_recall(args, t, err);
    om_target_close(t);
    om_condition_free(&where);
    return ok;
}
