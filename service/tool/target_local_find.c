/* target_local_find.c - one search of vectors, words and examples in a local collection.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "target_local.h"

void om_local_plan(const omen_explain *from, const omen_filter_explain *filter, bool filtered,
                   om_search_plan *to)
{
    (void)snprintf(to->plan, sizeof to->plan, "%s", omen_plan_name(from->plan));
    to->ef = from->ef;
    to->distances = from->distances;
    to->hops = from->hops;
    to->scanned = from->scanned;
    to->reranked = from->reranked;
    to->filtered = filtered;
    to->estimated = filter->estimated;
    to->selectivity = filter->selectivity;
    to->matches = filter->matches;
    to->tests = filter->tests;
    to->postings = filter->postings;
    to->candidates = filter->candidates;
    om_search_plan_stage(to, "filter", filter->filter_ns);
    om_search_plan_stage(to, "entry", from->entry_ns);
    om_search_plan_stage(to, "graph", from->graph_ns);
    om_search_plan_stage(to, "scan", from->scan_ns);
    om_search_plan_stage(to, "rerank", from->rerank_ns);
    om_search_plan_stage(to, "text", filter->text_ns);
    om_search_plan_stage(to, "fuse", filter->fuse_ns);
}

/* Keys of the items that --like names. */
static bool like_keys(om_local *t, const om_ids *ids, uint64_t **out, om_tool_error *err)
{
    uint64_t *keys = calloc(ids->count + 1, sizeof *keys);
    if (keys == NULL) {
        return om_tool_no_memory(err, ids->count * sizeof *keys);
    }
    *out = keys;
    if (!om_local_keys(t->collection, ids, keys, err)) {
        return false;
    }
    for (size_t i = 0; i < ids->count; i++) {
        if (keys[i] == OMEN_NONE) {
            char text[OM_ID_TEXT];
            (void)om_ids_text(ids, i, text);
            return om_tool_fail(err, OM_EXIT_NOT_FOUND, "there is no item with the id %s", text);
        }
    }
    return true;
}

static uint32_t make_legs(const om_find_params *p, const uint64_t *like, omen_leg legs[3])
{
    uint32_t n = 0;
    uint32_t flags = (p->exact ? OMEN_EXACT : 0u) | (p->graph_only ? OMEN_GRAPH_ONLY : 0u);
    const omen_leg none = {.struct_size = sizeof none, .flags = flags, .ef = p->ef};
    if (p->vector != NULL) {
        legs[n] = none;
        legs[n].kind = OMEN_LEG_VECTOR;
        legs[n].vector = p->vector;
        legs[n].dtype = p->dtype;
        legs[n].dim = p->dim;
        legs[n++].weight = p->weights[0];
    }
    if (p->like != NULL) {
        legs[n] = none;
        legs[n].kind = OMEN_LEG_LIKE;
        legs[n].keys = like;
        legs[n].key_count = p->like->count;
        legs[n++].weight = p->weights[1];
    }
    if (p->text != NULL) {
        legs[n] = (omen_leg){.struct_size = sizeof legs[n],
                             .kind = OMEN_LEG_TEXT,
                             .text = p->text,
                             .text_len = strlen(p->text),
                             .field = p->text_field,
                             .weight = p->weights[2]};
        n++;
    }
    return n;
}

static omen_request make_request(const om_find_params *p, const omen_leg *legs, uint32_t count)
{
    omen_request r = {.struct_size = sizeof r,
                      .flags = (p->max_distance != NULL ? OMEN_FIND_MAX_DISTANCE : 0u) |
                               (p->min_score != NULL ? OMEN_FIND_MIN_SCORE : 0u),
                      .legs = legs,
                      .leg_count = count,
                      .k = p->k,
                      .offset = p->skip,
                      .fusion = p->fusion,
                      .max_distance = p->max_distance != NULL ? *p->max_distance : 0,
                      .min_score = p->min_score != NULL ? *p->min_score : 0,
                      .group_size = p->group_size,
                      .group_by = p->group_by};
    return r;
}

/* Appends the hits that the search left in the arrays. */
static bool take_hits(om_local *t, const om_find_params *p, const omen_hits *hits,
                      om_search_result *r, om_tool_error *err)
{
    size_t n = hits->counts[0];
    size_t at = r->ids.count;
    om_item_parts parts = {.metadata = &r->metadata, .shown = p->shown};
    if (!om_search_result_reserve(r, n, err)) {
        return false;
    }
    r->scored = p->text != NULL || (p->vector != NULL && p->like != NULL);
    if (n > 0) {
        memcpy(r->distances + at, r->scored ? hits->scores : hits->distances, n * sizeof(float));
        memcpy(r->groups + at, hits->groups, n * sizeof *r->groups);
    }
    return om_local_take(t->collection, hits->keys, n, &r->ids, p->shown != NULL ? &parts : NULL,
                         err);
}

bool om_local_find(om_target *base, const om_find_params *p, size_t query, om_search_result *r,
                   om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_leg legs[3];
    size_t room = (size_t)p->k * (p->group_by != NULL && p->group_size > 1 ? p->group_size : 1);
    uint64_t *like = NULL;
    uint64_t *keys = calloc(room, sizeof *keys);
    float *values = calloc(2 * room, sizeof *values);
    uint32_t *groups = calloc(room, sizeof *groups);
    uint32_t count = 0;
    omen_explain explain = {0};
    omen_filter_explain filters = {0};
    omen_error why;
    r->ids.type = base->id_type;
    bool ok = keys != NULL && values != NULL && groups != NULL
                  ? true
                  : om_tool_no_memory(err, room * sizeof *keys);
    ok = ok && (p->like == NULL || like_keys(t, p->like, &like, err));
    omen_request request = make_request(p, legs, make_legs(p, like, legs));
    request.op = t->op;
    ok = ok && om_local_filter(t, p->where, &request.filter, err);
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = values,
                      .counts = &count,
                      .explain = &explain,
                      .filters = &filters,
                      .scores = ok ? values + room : NULL,
                      .groups = p->group_by != NULL ? groups : NULL};
    ok = ok && (omen_find(t->collection, &request, &hits, &why) == OMEN_OK ||
                om_tool_fail_omen(err, &why));
    hits.groups = groups;
    ok = ok && take_hits(t, p, &hits, r, err);
    if (ok) {
        r->starts[query + 1] = r->ids.count;
        if (r->plans != NULL) {
            om_local_plan(&explain, &filters, request.filter != NULL, &r->plans[query]);
        }
    }
    free(like);
    free(keys);
    free(values);
    free(groups);
    return ok;
}
