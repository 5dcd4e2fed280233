/* truth.c - recall against a file of true neighbours or an exact search. Ties count: an item that
 * is as near as the k-th true neighbour is as good as it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cmd.h"

/* Distances are sums in f32 here and exact, or f64, in the file: this much relative error is
 * neither's. */
static const double tie_relative = 2e-6;
static const double tie_cosine = 1e-6;

void om_truth_free(om_truth *t)
{
    om_matrix_free(&t->ids);
    om_matrix_free(&t->distances);
}

static bool same_shape(const om_args *args, const om_truth *t, om_tool_error *err)
{
    if (t->distances.rows != t->ids.rows || t->distances.dim != t->ids.dim) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s has %zu x %u ids, %s %zu x %u distances",
                            args->truth, t->ids.rows, t->ids.dim,
                            t->cosine ? args->cosine : args->sqdist, t->distances.rows,
                            t->distances.dim);
    }
    return true;
}

bool om_truth_load(const om_args *args, om_truth *out, om_tool_error *err)
{
    om_import_options opt = {.offset = args->offset, .limit = args->limit};
    memset(out, 0, sizeof *out);
    if (args->sqdist != NULL && args->cosine != NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--sqdist and --cosine exclude each other");
    }
    if (!om_matrix_load(args->truth, &opt, &out->ids, err)) {
        return false;
    }
    bool ok =
        out->ids.dtype == OM_IMPORT_I32 ||
        om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: ids are wanted: an ivecs file", args->truth);
    const char *distances = args->sqdist != NULL ? args->sqdist : args->cosine;
    out->cosine = args->cosine != NULL;
    if (ok && distances != NULL) {
        ok = om_matrix_load(distances, &opt, &out->distances, err);
        if (ok && out->distances.dtype != OM_IMPORT_I32 && out->distances.dtype != OMEN_F32) {
            ok = om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: ivecs or fvecs are wanted", distances);
        }
        ok = ok && same_shape(args, out, err);
    }
    if (!ok) {
        om_truth_free(out);
    }
    return ok;
}

static double value_at(const om_matrix *m, size_t row, size_t column)
{
    size_t i = row * m->dim + column;
    if (m->dtype == OM_IMPORT_I32) {
        return (double)((const int32_t *)m->data)[i];
    }
    return (double)((const float *)m->data)[i];
}

/* The greatest distance that still ties with the k-th true one; -inf when distances are not
 * known. */
static double tie_limit(const om_truth *t, size_t row, size_t k)
{
    if (t->distances.rows == 0) {
        return -(double)INFINITY;
    }
    double value = value_at(&t->distances, row, k - 1);
    return t->cosine ? 1 - value + tie_cosine : value + fabs(value) * tie_relative;
}

static bool is_true(const int32_t *ids, size_t k, uint64_t id)
{
    for (size_t i = 0; i < k; i++) {
        if (ids[i] >= 0 && (uint64_t)ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool om_truth_recall(const om_truth *truth, const om_search_result *found, size_t queries,
                     uint32_t k, double *recall, om_tool_error *err)
{
    if (found->ids.type != OMEN_ID_U64) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "a truth file has numbers, the collection has %s ids: use --exact",
                            om_tool_id_type_name(found->ids.type));
    }
    if (truth->ids.rows < queries || truth->ids.dim < k) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "the truth has %zu rows of %u ids; %zu queries and k %u need more",
                            truth->ids.rows, truth->ids.dim, queries, k);
    }
    double sum = 0;
    size_t judged = 0;
    for (size_t q = 0; q < queries; q++) {
        const int32_t *ids = (const int32_t *)truth->ids.data + q * truth->ids.dim;
        size_t want = 0; /* fewer than k when the truth is padded with -1 */
        while (want < k && ids[want] >= 0) {
            want++;
        }
        if (want == 0) {
            continue;
        }
        double limit = tie_limit(truth, q, want);
        size_t hits = 0;
        for (size_t i = found->starts[q]; i < found->starts[q + 1] && hits < want; i++) {
            hits += is_true(ids, want, found->ids.u64[i]) || (double)found->distances[i] <= limit;
        }
        sum += (double)hits / (double)want;
        judged++;
    }
    *recall = judged == 0 ? 1 : sum / (double)judged;
    return true;
}

double om_exact_recall(const om_search_result *exact, const om_search_result *found, size_t queries)
{
    double sum = 0;
    size_t judged = 0;
    for (size_t q = 0; q < queries; q++) {
        size_t first = exact->starts[q];
        size_t want = exact->starts[q + 1] - first;
        if (want == 0) {
            continue;
        }
        double last = (double)exact->distances[first + want - 1];
        double limit = last + fabs(last) * tie_relative;
        size_t hits = 0;
        for (size_t i = found->starts[q]; i < found->starts[q + 1] && hits < want; i++) {
            hits += (double)found->distances[i] <= limit;
        }
        sum += (double)hits / (double)want;
        judged++;
    }
    return judged == 0 ? 1 : sum / (double)judged;
}
