/* target_local_search.c - searches in a segment file, and single searches in a loop for measuring.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "target_local.h"

enum { QUERIES_A_CALL = 1024 };

typedef struct hits_room {
    uint64_t *keys;
    float *distances;
    uint32_t *counts;
    omen_explain *explain;
    omen_filter_explain *filters;
} hits_room;

static void room_free(hits_room *room)
{
    free(room->keys);
    free(room->distances);
    free(room->counts);
    free(room->explain);
    free(room->filters);
}

static bool room_make(hits_room *room, size_t queries, size_t k, om_tool_error *err)
{
    room->keys = calloc(queries * k, sizeof *room->keys);
    room->distances = calloc(queries * k, sizeof *room->distances);
    room->counts = calloc(queries, sizeof *room->counts);
    room->explain = calloc(queries, sizeof *room->explain);
    room->filters = calloc(queries, sizeof *room->filters);
    if (room->keys == NULL || room->distances == NULL || room->counts == NULL ||
        room->explain == NULL || room->filters == NULL) {
        return om_tool_no_memory(err, queries * k * 12);
    }
    return true;
}

static omen_query make_query(const om_search_params *p, size_t first, size_t count)
{
    size_t row = p->dim * om_tool_dtype_width(p->dtype);
    omen_query q = {.struct_size = sizeof q,
                    .flags = (p->exact ? OMEN_EXACT : 0u) | (p->graph_only ? OMEN_GRAPH_ONLY : 0u),
                    .vectors = (const char *)p->vectors + first * row,
                    .dtype = p->dtype,
                    .dim = p->dim,
                    .count = (uint32_t)count,
                    .k = p->k,
                    .ef = p->ef,
                    .threads = p->threads};
    return q;
}

static bool take_hits(om_local *t, const om_search_params *p, const hits_room *room, size_t first,
                      size_t count, om_search_result *r, om_tool_error *err)
{
    for (size_t q = 0; q < count; q++) {
        size_t n = room->counts[q];
        if (!om_search_result_reserve(r, n, err)) {
            return false;
        }
        if (n > 0) {
            memcpy(r->distances + r->ids.count, room->distances + q * p->k, n * sizeof(float));
        }
        if (!om_local_take(t->collection, room->keys + q * p->k, n, &r->ids, NULL, err)) {
            return false;
        }
        r->starts[first + q + 1] = r->ids.count;
        if (r->plans != NULL) {
            om_local_plan(&room->explain[q], &room->filters[q], p->where != NULL,
                          &r->plans[first + q]);
        }
    }
    return true;
}

bool om_local_search(om_target *base, const om_search_params *p, om_search_result *r,
                     om_tool_error *err)
{
    om_local *t = (om_local *)base;
    hits_room room = {0};
    size_t most = p->count < QUERIES_A_CALL ? p->count : QUERIES_A_CALL;
    bool ok = om_search_result_begin(r, p->count, p->explain, err) &&
              room_make(&room, most == 0 ? 1 : most, p->k, err);
    const omen_filter *filter = NULL;
    r->ids.type = base->id_type;
    ok = ok && om_local_filter(t, p->where, &filter, err);
    for (size_t first = 0; ok && first < p->count; first += most) {
        size_t count = p->count - first < most ? p->count - first : most;
        omen_query query = make_query(p, first, count);
        query.op = t->op;
        query.filter = filter;
        omen_hits hits = {.struct_size = sizeof hits,
                          .keys = room.keys,
                          .distances = room.distances,
                          .counts = room.counts,
                          .explain = p->explain ? room.explain : NULL,
                          .filters = p->explain ? room.filters : NULL};
        omen_error why;
        ok = (omen_search(t->collection, &query, &hits, &why) == OMEN_OK ||
              om_tool_fail_omen(err, &why)) &&
             take_hits(t, p, &room, first, count, r, err);
    }
    room_free(&room);
    return ok;
}

typedef struct local_session {
    om_session base;
    om_local *target;
    om_search_params params;
    size_t at;
    uint64_t *keys;
    float *distances;
} local_session;

bool om_local_session_open(om_target *base, const om_search_params *p, size_t in_flight,
                           om_session **out, om_tool_error *err)
{
    (void)in_flight; /* a search in this process ends before it returns */
    local_session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return om_tool_no_memory(err, sizeof *s);
    }
    s->base.ops = base->ops;
    s->target = (om_local *)base;
    s->params = *p;
    s->params.threads = 1;
    s->keys = calloc(p->k, sizeof *s->keys);
    s->distances = calloc(p->k, sizeof *s->distances);
    if (s->keys == NULL || s->distances == NULL) {
        om_local_session_close(&s->base);
        return om_tool_no_memory(err, p->k * sizeof *s->keys);
    }
    *out = &s->base;
    return true;
}

bool om_local_session_step(om_session *base, uint64_t *latency_ns, om_tool_error *err)
{
    local_session *s = (local_session *)base;
    omen_query query = make_query(&s->params, s->at, 1);
    omen_hits hits = {.struct_size = sizeof hits, .keys = s->keys, .distances = s->distances};
    omen_error why;
    double start = om_tool_now();
    if (omen_search(s->target->collection, &query, &hits, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    *latency_ns = (uint64_t)((om_tool_now() - start) * 1e9);
    s->at = s->at + 1 < s->params.count ? s->at + 1 : 0;
    return true;
}

void om_local_session_close(om_session *base)
{
    local_session *s = (local_session *)base;
    if (s != NULL) {
        free(s->keys);
        free(s->distances);
        free(s);
    }
}
