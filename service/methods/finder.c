/* finder.c - a request as the engine takes it: a plain vector leg by omen_search, all else by omen_find.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "searcher.h"

static void *take(om_searcher *s, size_t size)
{
    s->arena->limit = s->arena->used + size;
    return om_arena_alloc(s->arena, size, 16);
}

static bool no_memory(om_failure *f)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the search");
    f->retry_ms = 1000;
    return false;
}

/* ---- Metrics ---------------------------------------------------------------------------------------- */

/* Fewer than asked for is only remarkable when there were more that pass. */
static bool is_short(const om_searcher *s)
{
    const om_wire_search *q = s->request;
    omen_stats stats = {.struct_size = sizeof stats};
    if (s->hits.count >= om_search_capacity(q) || q->first.kind == OMEN_LEG_TEXT ||
        q->leg_count > 1 || q->threshold != OM_THRESHOLD_NONE || q->group_by != NULL ||
        q->first.limit != 0 || q->first.kind == OMEN_LEG_LIKE) {
        return false;
    }
    uint64_t seen = (uint64_t)s->hits.count + q->offset;
    if (q->filter != NULL) {
        return seen < s->filter_explain.matches;
    }
    return omen_get_stats(s->coll->handle, &stats, NULL) == OMEN_OK && seen < stats.count;
}

static void hold_coll(void *owner)
{
    (void)om_coll_hold(owner);
}

static void release_coll(void *owner)
{
    om_coll_release(owner);
}

/* One vector leg, approximate and whole: what can be searched again, exactly, and compared. */
static bool is_plain(const om_searcher *s)
{
    const om_wire_search *q = s->request;
    return q->leg_count == 1 && q->first.kind == OMEN_LEG_VECTOR && !q->first.exact &&
           q->first.limit == 0 && q->offset == 0 && q->threshold == OM_THRESHOLD_NONE &&
           q->group_by == NULL && !s->hits.partial && om_recall_suits(s->explain.plan);
}

/* One search of many is given to the recall monitor. */
static void offer(om_searcher *s)
{
    const om_wire_search *q = s->request;
    om_recall_query query = {.owner = s->coll,
                             .hold = hold_coll,
                             .release = release_coll,
                             .collection = s->coll->handle,
                             .damaged = &s->coll->damaged,
                             .name = s->coll->name,
                             .vector = q->first.vector,
                             .vector_size = q->first.vector_size,
                             .dtype = q->first.type,
                             .dim = s->coll->options.dim,
                             .k = om_search_capacity(q),
                             .ef = q->first.ef,
                             .rerank = q->first.rerank,
                             .filter = q->filter,
                             .filter_size = q->filter_size,
                             .params = q->params.list,
                             .param_count = q->params.count};
    om_recall_offer(s->shared->opt.observe->recall, &query);
}

/* Texts of filters are not for logs, and their hashes only worth it when the call may be one. */
static uint64_t filter_hash(const om_searcher *s)
{
    const om_wire_search *q = s->request;
    om_filter_source source = {.text = q->filter, .size = q->filter_size, .params = &q->params};
    bool lingers = s->rpc != NULL && om_rpc_lingers(s->rpc);
    return q->filter != NULL && lingers ? om_source_hash(&source) : 0;
}

static void note_slow(om_searcher *s)
{
    const omen_explain *e = &s->explain;
    s->noted = (om_slow_search){.searches = 1,
                                .legs = s->request->leg_count,
                                .k = om_search_capacity(s->request),
                                .ef = e->ef,
                                .plan = e->plan,
                                .visited = e->hops,
                                .distances = e->distances + e->scanned + e->reranked,
                                .filter_hash = filter_hash(s),
                                .filter_us = s->filter_explain.filter_ns / 1000};
}

static void note(om_searcher *s)
{
    const omen_explain *e = &s->explain;
    const om_observe *observe = s->shared->opt.observe;
    if (e->plan == OMEN_PLAN_GRAPH) {
        om_coll_note_search(s->coll, s->engine_ns);
    }
    om_coll_note_time(s->coll, s->engine_ns);
    if (observe != NULL && om_recall_wants(observe->recall) && is_plain(s)) {
        offer(s);
    }
    note_slow(s);
    om_metrics_search_event event = {.plan = e->plan,
                                     .flags = (s->hits.partial ? OM_SEARCH_PARTIAL : 0) |
                                              (is_short(s) ? OM_SEARCH_SHORT : 0) |
                                              (s->request->filter != NULL ? OM_SEARCH_FILTERED : 0),
                                     .ns = s->engine_ns,
                                     .distances = e->distances + e->scanned + e->reranked,
                                     .hops = e->hops,
                                     .filter_ns = s->filter_explain.filter_ns,
                                     .postings = s->filter_explain.postings};
    om_metrics_search(s->shared->opt.metrics, &event);
}

/* ---- The engine ------------------------------------------------------------------------------------- */

static omen_status_t search(om_searcher *s, omen_hits *hits, omen_error *err)
{
    const om_wire_search *q = s->request;
    const om_wire_leg *leg = &q->first;
    omen_query query = {.struct_size = sizeof query,
                        .flags =
                            (leg->exact ? OMEN_EXACT : 0) | (q->partial_ok ? OMEN_PARTIAL_OK : 0),
                        .vectors = leg->vector,
                        .dtype = leg->type,
                        .dim = s->coll->options.dim,
                        .count = 1,
                        .k = om_search_capacity(q),
                        .ef = leg->ef,
                        .rerank = leg->rerank,
                        .threads = 1,
                        .timeout_us = s->timeout_us,
                        .min_version = q->min_version,
                        .op = s->op};
    return omen_search(s->coll->handle, &query, hits, err);
}

/* The keys of the items that a leg is to be like. */
static bool like_keys(om_searcher *s, const om_wire_leg *in, omen_leg *out, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    const om_wire_ids *ids = &in->like;
    out->key_count = ids->count;
    if (ids->type == OM_IDS_U64) {
        out->keys = ids->data;
        return true;
    }
    uint64_t *keys = take(s, ids->count * sizeof *keys);
    if (keys == NULL) {
        return no_memory(f);
    }
    omen_column column = ids->type == OM_IDS_UUID ? (omen_column){ids->data, NULL, 0, 16}
                                                  : (omen_column){ids->data, ids->offsets, 32, 0};
    om_coll_enter(s->coll);
    omen_status_t status = omen_lookup(s->coll->handle, &column, ids->count, keys, &err);
    if (om_coll_leave(s->coll, status, &err) != OMEN_OK) {
        return om_failure_from_engine(f, &err);
    }
    for (size_t i = 0; i < ids->count; i++) {
        if (keys[i] == OMEN_NONE) {
            om_failure_set(f, OMEN_NOT_FOUND, "ITEM_NOT_FOUND", "legs.like",
                           "legs.like: item %zu of %zu does not exist", i, ids->count);
            f->item = i;
            return false;
        }
    }
    out->keys = keys;
    return true;
}

static bool fill_leg(om_searcher *s, const om_wire_leg *in, omen_leg *out, om_failure *f)
{
    *out = (omen_leg){.struct_size = sizeof *out,
                      .flags = in->exact ? OMEN_EXACT : 0,
                      .kind = in->kind,
                      .limit = in->limit,
                      .ef = in->ef,
                      .rerank = in->rerank,
                      .weight = in->weight};
    switch (in->kind) {
    case OMEN_LEG_VECTOR:
        out->vector = in->vector;
        out->dtype = in->type;
        out->dim = s->coll->options.dim;
        return true;
    case OMEN_LEG_TEXT:
        out->text = in->text;
        out->text_len = in->text_size;
        out->field = in->field;
        out->k1 = in->k1;
        out->b = in->b;
        return true;
    default:
        return like_keys(s, in, out, f);
    }
}

static omen_status_t find(om_searcher *s, const omen_leg *legs, omen_hits *hits, omen_error *err)
{
    const om_wire_search *q = s->request;
    omen_request request = {
        .struct_size = sizeof request,
        .flags = (q->partial_ok ? OMEN_PARTIAL_OK : 0) |
                 (q->threshold == OM_THRESHOLD_DISTANCE ? OMEN_FIND_MAX_DISTANCE : 0) |
                 (q->threshold == OM_THRESHOLD_SCORE ? OMEN_FIND_MIN_SCORE : 0),
        .legs = legs,
        .leg_count = q->leg_count,
        .k = q->limit == 0 ? OM_SEARCH_DEFAULT_LIMIT : q->limit,
        .offset = q->offset,
        .fusion = q->fusion,
        .rank_constant = q->rank_constant,
        .max_distance = q->threshold == OM_THRESHOLD_DISTANCE ? q->bound : 0,
        .min_score = q->threshold == OM_THRESHOLD_SCORE ? q->bound : 0,
        .group_size = q->group_size,
        .group_by = q->group_by,
        .filter = s->filter,
        .timeout_us = s->timeout_us,
        .min_version = q->min_version,
        .op = s->op};
    return omen_find(s->coll->handle, &request, hits, err);
}

/* The field that an error of a search is about: the library's messages begin with the name of its own. */
static void name_field(const omen_error *err, om_failure *f)
{
    static const char group[] = "group_by";
    bool of_group = strncmp(err->message, group, sizeof group - 1) == 0;
    if (err->status == OMEN_NOT_FOUND && err->item != OMEN_NONE) {
        om_failure_about(f, "legs.like");
    } else if (err->detail == OMEN_D_FIELD || err->detail == OMEN_D_TYPE) {
        om_failure_about(f, of_group ? group : "legs.text.field");
    } else if (err->detail == OMEN_D_NOT_FINITE) {
        om_failure_about(f, "legs.vector.vector.data");
    }
}

static bool get_filter(om_searcher *s, om_failure *f)
{
    const om_wire_search *q = s->request;
    om_filter_source source = {.collection = s->coll->handle,
                               .text = q->filter,
                               .size = q->filter_size,
                               .params = &q->params,
                               .field = "filter",
                               .metrics = s->shared->opt.metrics};
    if (q->filter != NULL) {
        s->filter = om_source_compile(&source, f);
    }
    return q->filter == NULL || s->filter != NULL;
}

/* Legs and room of a request beyond a plain vector leg. */
static bool prepare(om_searcher *s, omen_leg **legs, om_failure *f)
{
    const om_wire_search *q = s->request;
    size_t n = om_search_capacity(q);
    *legs = take(s, q->leg_count * sizeof **legs);
    s->scores = take(s, n * sizeof *s->scores);
    s->groups = q->group_by != NULL ? take(s, n * sizeof *s->groups) : NULL;
    if (*legs == NULL || s->scores == NULL || (q->group_by != NULL && s->groups == NULL)) {
        return no_memory(f);
    }
    for (uint32_t i = 0; i < q->leg_count; i++) {
        if (!fill_leg(s, om_wire_leg_at(q, i), &(*legs)[i], f)) {
            return false;
        }
    }
    return get_filter(s, f);
}

bool om_search_find(om_searcher *s, om_failure *f)
{
    const om_wire_search *q = s->request;
    size_t n = om_search_capacity(q);
    omen_error err = {.item = OMEN_NONE};
    uint32_t flags = 0;
    omen_leg *legs = NULL;
    s->keys = take(s, n * sizeof *s->keys);
    s->distances = take(s, n * sizeof *s->distances);
    if (s->keys == NULL || s->distances == NULL) {
        return no_memory(f);
    }
    uint64_t start = om_pool_now_ns();
    if (q->rich && !prepare(s, &legs, f)) {
        return false;
    }
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = s->keys,
                      .distances = s->distances,
                      .counts = &s->hits.count,
                      .flags = &flags,
                      .explain = &s->explain,
                      .filters = q->rich ? &s->filter_explain : NULL,
                      .scores = s->scores,
                      .groups = s->groups};
    om_coll_enter(s->coll);
    omen_status_t status = q->rich ? find(s, legs, &hits, &err) : search(s, &hits, &err);
    status = om_coll_leave(s->coll, status, &err);
    s->engine_ns = om_pool_now_ns() - start;
    if (status != OMEN_OK) {
        if (status == OMEN_NOT_FOUND && err.item == OMEN_NONE) {
            om_colls_forget(s->shared->colls, s->coll->name);
        }
        om_failure_from_engine(f, &err);
        name_field(&err, f);
        return false;
    }
    s->hits.version = hits.version;
    s->hits.partial = (flags & OMEN_HITS_PARTIAL) != 0;
    note(s);
    return true;
}
