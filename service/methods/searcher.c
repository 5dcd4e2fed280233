/* searcher.c - one search and its answer. SPDX-License-Identifier: Apache-2.0 */
#include "searcher.h"

#include <string.h>

enum { REFETCH = 3 }; /* times that ids are fetched anew because hits were deleted meanwhile */

static uint32_t limit_of(const om_wire_search *q)
{
    return q->limit == 0 ? OM_SEARCH_DEFAULT_LIMIT : q->limit;
}

bool om_search_check(const om_wire_search *q, const om_coll *coll, om_failure *f)
{
    uint32_t type = q->type == 0 ? coll->options.dtype : q->type;
    uint32_t width = om_coll_width(type);
    if (limit_of(q) > OMEN_MAX_K) {
        return om_failure_limit(f, "limit", q->limit, OMEN_MAX_K);
    }
    if (q->ef > OMEN_MAX_EF) {
        return om_failure_limit(f, "legs.vector.ef", q->ef, OMEN_MAX_EF);
    }
    if (q->rerank > OMEN_MAX_EF) {
        return om_failure_limit(f, "legs.vector.rerank", q->rerank, OMEN_MAX_EF);
    }
    if (type == OMEN_BF16 || type == OMEN_B1) {
        return om_failure_unimplemented(f, "legs.vector.vector.type");
    }
    if (width == 0 || (type != coll->options.dtype && type != OMEN_F32)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "legs.vector.vector.type",
                              "vector.type is %u, the collection %s has %u; F32 is accepted too",
                              type, coll->name, coll->options.dtype);
    }
    if (q->dim != 0 && q->dim != coll->options.dim) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "legs.vector.vector.dim",
                              "vector.dim is %u, the collection %s has %u", q->dim, coll->name,
                              coll->options.dim);
    }
    size_t need = (size_t)coll->options.dim * width;
    return q->vector_size == need ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "legs.vector.vector.data",
                          "vector.data has %zu bytes, one vector of the collection %s has %zu",
                          q->vector_size, coll->name, need);
}

static void *take(om_searcher *s, size_t size)
{
    s->arena->limit = s->arena->used + size;
    return om_arena_alloc(s->arena, size, 16);
}

static bool no_memory(om_failure *f)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the answer");
    f->retry_ms = 1000;
    return false;
}

static void note(om_searcher *s, uint32_t wanted, bool partial)
{
    const omen_explain *e = &s->explain;
    if (e->plan == OMEN_PLAN_GRAPH) {
        om_coll_note_search(s->coll, s->engine_ns);
    }
    uint32_t flags = partial ? OM_SEARCH_PARTIAL : 0;
    omen_stats stats = {.struct_size = sizeof stats};
    /* Fewer than asked for is only remarkable when there were more. */
    if (s->hits.count < wanted && omen_get_stats(s->coll->handle, &stats, NULL) == OMEN_OK &&
        s->hits.count < stats.count) {
        flags |= OM_SEARCH_SHORT;
    }
    om_metrics_search_event event = {.plan = e->plan,
                                     .flags = flags,
                                     .ns = s->engine_ns,
                                     .distances = e->distances + e->scanned + e->reranked,
                                     .hops = e->hops};
    om_metrics_search(s->shared->opt.metrics, &event);
}

static bool search(om_searcher *s, uint64_t *keys, float *distances, om_failure *f)
{
    const om_wire_search *q = s->request;
    omen_error err;
    uint32_t flags = 0;
    omen_query query = {.struct_size = sizeof query,
                        .flags =
                            (q->exact ? OMEN_EXACT : 0) | (q->partial_ok ? OMEN_PARTIAL_OK : 0),
                        .vectors = q->vector,
                        .dtype = q->type,
                        .dim = s->coll->options.dim,
                        .count = 1,
                        .k = limit_of(q),
                        .ef = q->ef,
                        .rerank = q->rerank,
                        .threads = 1,
                        .timeout_us = s->timeout_us,
                        .min_version = q->min_version,
                        .op = s->op};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = distances,
                      .counts = &s->hits.count,
                      .flags = &flags,
                      .explain = &s->explain};
    uint64_t start = om_pool_now_ns();
    om_coll_enter(s->coll);
    omen_status_t status =
        om_coll_leave(s->coll, omen_search(s->coll->handle, &query, &hits, &err), &err);
    s->engine_ns = om_pool_now_ns() - start;
    if (status != OMEN_OK) {
        if (status == OMEN_NOT_FOUND) {
            om_colls_forget(s->shared->colls, s->coll->name);
        }
        return om_failure_from_engine(f, &err);
    }
    s->hits.version = hits.version;
    s->hits.partial = (flags & OMEN_HITS_PARTIAL) != 0;
    note(s, query.k, s->hits.partial);
    return true;
}

/* Keeps the hits for which keep[i] is set. */
static void compact(om_searcher *s, uint64_t *keys, float *distances, const uint8_t *keep)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->hits.count; i++) {
        if (keep[i] != 0) {
            keys[n] = keys[i];
            distances[n++] = distances[i];
        }
    }
    s->hits.count = n;
}

static bool id_present(const om_searcher *s, const omen_column *ids, uint32_t i)
{
    if (s->hits.id_type == OMEN_ID_UUID) {
        static const uint8_t absent[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
        return memcmp((const uint8_t *)ids->data + 16 * (size_t)i, absent, 16) != 0;
    }
    const int64_t *offsets = ids->offsets;
    return offsets[i + 1] > offsets[i];
}

/* Ids for the keys. A hit that was deleted since the search has none: it is dropped, and the rest
 * fetched again. */
static bool fetch_ids(om_searcher *s, uint64_t *keys, float *distances, om_failure *f)
{
    omen_error err;
    omen_column *ids = take(s, sizeof *ids);
    uint8_t *keep = take(s, s->hits.count + 1);
    if (ids == NULL || keep == NULL) {
        return no_memory(f);
    }
    for (int attempt = 0; attempt < REFETCH; attempt++) {
        bool all = true;
        omen_rows_free(s->rows);
        s->rows = NULL;
        om_coll_enter(s->coll);
        omen_status_t status =
            omen_fetch(s->coll->handle, keys, s->hits.count, OMEN_FIELD_ID, &s->rows, &err);
        if (om_coll_leave(s->coll, status, &err) != OMEN_OK) {
            return om_failure_from_engine(f, &err);
        }
        omen_rows_column(s->rows, OMEN_FIELD_ID, ids);
        for (uint32_t i = 0; i < s->hits.count; i++) {
            keep[i] = id_present(s, ids, i);
            all = all && keep[i] != 0;
        }
        if (all) {
            s->hits.ids = ids;
            return true;
        }
        compact(s, keys, distances, keep);
    }
    return om_failure_set(f, OMEN_ABORTED, "ABORTED", NULL,
                          "the items found were deleted while the answer was made: try again");
}

static bool fetch_vectors(om_searcher *s, uint64_t *keys, float *distances, om_failure *f)
{
    omen_error err;
    size_t row = s->coll->row_bytes;
    size_t size = row * s->hits.count;
    if (size > s->shared->opt.max_message_bytes) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "with_vectors",
                              "the vectors of %u hits have %zu bytes, the limit of a message is %u",
                              s->hits.count, size, s->shared->opt.max_message_bytes);
    }
    uint8_t *vectors = take(s, size + 1);
    uint8_t *found = take(s, s->hits.count + 1);
    if (vectors == NULL || found == NULL) {
        return no_memory(f);
    }
    om_coll_enter(s->coll);
    omen_status_t status =
        omen_get_vectors(s->coll->handle, keys, s->hits.count, vectors, 0, 0, found, &err);
    if (om_coll_leave(s->coll, status, &err) != OMEN_OK) {
        return om_failure_from_engine(f, &err);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->hits.count; i++) {
        if (found[i] != 0 && n++ != i) {
            memmove(vectors + (n - 1) * row, vectors + i * row, row);
        }
    }
    compact(s, keys, distances, found);
    s->hits.vectors = vectors;
    s->hits.vectors_size = n * row;
    s->hits.vectors_type = s->coll->options.dtype;
    s->hits.vectors_dim = s->coll->options.dim;
    return true;
}

bool om_search_run(om_searcher *s, om_failure *f)
{
    const om_wire_search *q = s->request;
    uint32_t k = limit_of(q);
    uint64_t *keys = take(s, (size_t)k * sizeof *keys);
    float *distances = take(s, (size_t)k * sizeof *distances);
    s->rows = NULL;
    s->hits = (om_wire_hits){.id_type = s->coll->options.id_type, .queue_ns = s->queue_ns};
    if (keys == NULL || distances == NULL) {
        return no_memory(f);
    }
    if (!search(s, keys, distances, f)) {
        return false;
    }
    s->hits.keys = keys;
    s->hits.distances = distances;
    if (q->with_vectors && !fetch_vectors(s, keys, distances, f)) {
        return false;
    }
    uint32_t before = s->hits.count;
    if (s->hits.id_type != OMEN_ID_U64 && before > 0 && !fetch_ids(s, keys, distances, f)) {
        return false;
    }
    if (q->with_vectors && s->hits.count != before) {
        /* Hits were dropped, so the vectors are fetched for what is left; a third change is too much. */
        before = s->hits.count;
        if (!fetch_vectors(s, keys, distances, f)) {
            return false;
        }
        if (s->hits.count != before) {
            return om_failure_set(
                f, OMEN_ABORTED, "ABORTED", NULL,
                "the items found were deleted while the answer was made: try again");
        }
    }
    if (q->explain) {
        s->hits.explain = &s->explain;
    }
    s->size = om_search_response_size(&s->hits);
    return true;
}

void om_search_end(om_searcher *s)
{
    omen_rows_free(s->rows);
    s->rows = NULL;
}
