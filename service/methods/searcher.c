/* searcher.c - one search and its answer. SPDX-License-Identifier: Apache-2.0 */
#include "searcher.h"

#include <string.h>

enum { REFETCH = 3 }; /* times that parts are fetched anew because hits were deleted meanwhile */

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

/* ---- Parts of an answer: each clears keep[i] of the hits that are gone ------------------------------- */

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

static bool fetch_ids(om_searcher *s, uint8_t *keep, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    omen_column *ids = take(s, sizeof *ids);
    if (ids == NULL) {
        return no_memory(f);
    }
    omen_rows_free(s->rows);
    s->rows = NULL;
    om_coll_enter(s->coll);
    omen_status_t status =
        omen_fetch(s->coll->handle, s->keys, s->hits.count, OMEN_FIELD_ID, &s->rows, &err);
    if (om_coll_leave(s->coll, status, &err) != OMEN_OK) {
        return om_failure_from_engine(f, &err);
    }
    omen_rows_column(s->rows, OMEN_FIELD_ID, ids);
    for (uint32_t i = 0; i < s->hits.count; i++) {
        keep[i] = keep[i] != 0 && id_present(s, ids, i);
    }
    s->hits.ids = ids;
    return true;
}

static bool fetch_vectors(om_searcher *s, uint8_t *keep, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    size_t size = (size_t)s->coll->row_bytes * s->hits.count;
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
        omen_get_vectors(s->coll->handle, s->keys, s->hits.count, vectors, 0, 0, found, &err);
    if (om_coll_leave(s->coll, status, &err) != OMEN_OK) {
        return om_failure_from_engine(f, &err);
    }
    for (uint32_t i = 0; i < s->hits.count; i++) {
        keep[i] = keep[i] != 0 && found[i] != 0;
    }
    s->hits.vectors = vectors;
    s->hits.vectors_size = size;
    s->hits.vectors_type = s->coll->options.dtype;
    s->hits.vectors_dim = s->coll->options.dim;
    return true;
}

static bool fetch_metadata(om_searcher *s, uint8_t *keep, om_failure *f)
{
    const om_wire_search *q = s->request;
    if (s->fetched == NULL) {
        s->fetched = take(s, sizeof *s->fetched);
        if (s->fetched == NULL) {
            return no_memory(f);
        }
        memset(s->fetched, 0, sizeof *s->fetched);
    }
    om_fetched_end(s->fetched);
    om_fetch what = {.coll = s->coll,
                     .from = s->coll->handle,
                     .keys = s->keys,
                     .count = s->hits.count,
                     .metadata = true,
                     .fields = q->fields,
                     .field_count = q->field_count,
                     .room = s->shared->opt.max_message_bytes};
    if (!om_fetch_items(&what, s->fetched, f)) {
        return false;
    }
    const int64_t *offsets = s->fetched->metadata.offsets;
    for (uint32_t i = 0; i < s->hits.count; i++) {
        keep[i] = keep[i] != 0 && offsets[i + 1] > offsets[i];
    }
    s->hits.metadata = &s->fetched->metadata;
    return true;
}

/* ---- The answer -------------------------------------------------------------------------------------- */

/* Keeps the hits for which keep[i] is set. */
static void compact(om_searcher *s, const uint8_t *keep)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->hits.count; i++) {
        if (keep[i] == 0) {
            continue;
        }
        s->keys[n] = s->keys[i];
        s->distances[n] = s->distances[i];
        if (s->scores != NULL) {
            s->scores[n] = s->scores[i];
        }
        if (s->groups != NULL) {
            s->groups[n] = s->groups[i];
        }
        n++;
    }
    s->hits.count = n;
}

static bool fetch_parts(om_searcher *s, uint8_t *keep, om_failure *f)
{
    memset(keep, 1, s->hits.count);
    return (s->hits.id_type == OMEN_ID_U64 || fetch_ids(s, keep, f)) &&
           (!s->request->with_vectors || fetch_vectors(s, keep, f)) &&
           (!s->request->with_metadata || fetch_metadata(s, keep, f));
}

/* What an answer has beside keys and distances. A hit that was deleted since the search has none of it: it
 * is dropped, and the rest fetched again, so that all parts are of the same items. */
static bool complete(om_searcher *s, om_failure *f)
{
    const om_wire_search *q = s->request;
    if (s->hits.count == 0 ||
        (s->hits.id_type == OMEN_ID_U64 && !q->with_vectors && !q->with_metadata)) {
        return true;
    }
    uint8_t *keep = take(s, s->hits.count);
    if (keep == NULL) {
        return no_memory(f);
    }
    for (int attempt = 0; attempt < REFETCH && s->hits.count > 0; attempt++) {
        if (!fetch_parts(s, keep, f)) {
            return false;
        }
        if (memchr(keep, 0, s->hits.count) == NULL) {
            return true;
        }
        compact(s, keep);
    }
    if (s->hits.count == 0) {
        s->hits.vectors = NULL;
        s->hits.metadata = NULL;
        return true;
    }
    return om_failure_set(f, OMEN_ABORTED, "ABORTED", NULL,
                          "the items found were deleted while the answer was made: try again");
}

static bool add_facets(om_searcher *s, om_failure *f)
{
    const om_wire_search *q = s->request;
    om_facets_query what = {.coll = s->coll,
                            .rpc = s->rpc,
                            .filter = s->filter,
                            .facets = q->facets,
                            .count = q->facet_count,
                            .room = s->shared->opt.max_message_bytes};
    if (q->facet_count == 0) {
        return true;
    }
    s->facets = take(s, sizeof *s->facets);
    if (s->facets == NULL) {
        return no_memory(f);
    }
    if (!om_facets_run(&what, s->facets, f)) {
        return false;
    }
    s->hits.facets = s->facets->values;
    s->hits.facet_count = s->facets->count;
    return true;
}

bool om_search_run(om_searcher *s, om_failure *f)
{
    const om_wire_search *q = s->request;
    s->hits = (om_wire_hits){.id_type = s->coll->options.id_type, .queue_ns = s->queue_ns};
    if (!om_search_find(s, f) || !complete(s, f) || !add_facets(s, f)) {
        return false;
    }
    bool distances = q->leg_count == 1 && q->first.kind != OMEN_LEG_TEXT;
    s->hits.keys = s->keys;
    s->hits.distances = distances ? s->distances : NULL;
    s->hits.scores = distances ? NULL : s->scores;
    s->hits.groups = s->groups;
    if (q->explain) {
        s->hits.explain = &s->explain;
        s->hits.filter_explain = q->rich ? &s->filter_explain : NULL;
    }
    s->size = om_search_response_size(&s->hits);
    return s->size <= s->shared->opt.max_message_bytes ||
           !(q->with_metadata || q->facet_count > 0) ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "limit",
                          "the answer has %zu bytes, the limit of a message is %u", s->size,
                          s->shared->opt.max_message_bytes);
}

void om_search_end(om_searcher *s)
{
    omen_rows_free(s->rows);
    s->rows = NULL;
    if (s->fetched != NULL) {
        om_fetched_end(s->fetched);
    }
    if (s->facets != NULL) {
        om_facets_end(s->facets);
    }
    omen_filter_free(s->filter);
    s->filter = NULL;
}
