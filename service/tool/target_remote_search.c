/* target_remote_search.c - Items.Search, several calls under way at a time on one connection.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "remote.h"

static const char method[] = "/omen.v1.Items/Search";
enum { IN_FLIGHT = 16, QUERIES_A_ROUND = 256 };

static om_rpcc_buf *pack_query(const om_remote *t, const om_search_params *p, size_t i,
                               om_tool_error *err)
{
    size_t row = p->dim * om_tool_dtype_width(p->dtype);
    const char *vector = (const char *)p->vectors + i * row;
    Omen__V1__VectorColumn column;
    omen__v1__vector_column__init(&column);
    Omen__V1__VectorLeg leg;
    omen__v1__vector_leg__init(&leg);
    Omen__V1__Leg any;
    omen__v1__leg__init(&any);
    Omen__V1__Leg *legs[1] = {&any};
    Omen__V1__SearchRequest request;
    omen__v1__search_request__init(&request);
    column.type = (Omen__V1__DataType)p->dtype;
    column.dim = p->dim;
    column.data.len = row;
    column.data.data = (uint8_t *)om_remote_text(vector);
    leg.vector = &column;
    leg.ef = p->ef;
    leg.exact = p->exact;
    any.query_case = OMEN__V1__LEG__QUERY_VECTOR;
    any.vector = &leg;
    request.collection = om_remote_text(t->name);
    request.limit = p->k;
    request.n_legs = 1;
    request.legs = legs;
    request.explain = p->explain ? 1 : 0;
    om_rpcc_buf *packed = om_remote_pack(&request.base);
    if (packed == NULL) {
        om_tool_no_memory(err, row);
    }
    return packed;
}

static bool take_answer(om_remote *t, om_rpcc_buf *reply, size_t query, om_search_result *r,
                        om_tool_error *err)
{
    const Omen__V1__SearchResponse *answer =
        om_remote_unpack(&omen__v1__search_response__descriptor, reply, &t->arena, err);
    if (answer == NULL) {
        return false;
    }
    size_t n = om_remote_ids_count(answer->ids);
    if (n != answer->n_distances) {
        return om_tool_fail(err, OM_EXIT_RUNTIME,
                            "the server's answer has %zu ids and %zu distances", n,
                            answer->n_distances);
    }
    if (!om_search_result_reserve(r, n, err)) {
        return false;
    }
    if (n > 0) {
        memcpy(r->distances + r->ids.count, answer->distances, n * sizeof *r->distances);
    }
    if (!om_remote_take_ids(answer->ids, &r->ids, err)) {
        return false;
    }
    r->starts[query + 1] = r->ids.count;
    const Omen__V1__Explain *plan = answer->explain;
    if (r->plans != NULL && plan != NULL) {
        om_search_plan *to = &r->plans[query];
        (void)snprintf(to->plan, sizeof to->plan, "%s", plan->plan);
        to->ef = plan->ef;
        to->distances = plan->distances;
        to->hops = plan->hops;
        to->scanned = plan->scanned;
        to->reranked = plan->reranked;
    }
    return true;
}

/* Runs queries [first, first + count); replies[i] is set for each that succeeded. */
static bool run_round(om_remote *t, const om_search_params *p, size_t first, size_t count,
                      om_rpcc_buf **replies, om_tool_error *err)
{
    size_t started = 0, ended = 0;
    bool ok = true;
    while (ended < started || (ok && started < count)) {
        while (ok && started < count && started - ended < IN_FLIGHT) {
            om_rpcc_buf *packed = pack_query(t, p, first + started, err);
            ok = packed != NULL;
            if (ok && !om_rpcc_start(t->client, method, packed, t->endpoint.timeout_ms,
                                     &replies[started])) {
                ok = om_tool_no_memory(err, 64);
            }
            om_rpcc_buf_unref(packed); /* the call holds its own reference */
            started += ok ? 1 : 0;
        }
        if (ended == started) {
            break;
        }
        void *user;
        om_rpcc_buf *reply;
        om_rpcc_status status;
        (void)om_rpcc_next(t->client, &user, &reply, &status);
        ended++;
        *(om_rpcc_buf **)user = reply;
        if (status.code != 0 && ok) {
            ok = om_remote_fail(&t->endpoint, &status, err);
        }
    }
    return ok;
}

bool om_remote_search(om_target *base, const om_search_params *p, om_search_result *r,
                      om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    if (p->graph_only) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--graph-only works on files, not at a server");
    }
    if (!om_search_result_begin(r, p->count, p->explain, err)) {
        return false;
    }
    r->ids.type = base->id_type;
    bool ok = true;
    for (size_t first = 0; ok && first < p->count; first += QUERIES_A_ROUND) {
        om_rpcc_buf *replies[QUERIES_A_ROUND] = {NULL};
        size_t count = p->count - first < QUERIES_A_ROUND ? p->count - first : QUERIES_A_ROUND;
        ok = run_round(t, p, first, count, replies, err);
        for (size_t i = 0; i < count; i++) {
            ok = ok && take_answer(t, replies[i], first + i, r, err);
            om_rpcc_buf_unref(replies[i]);
        }
        if (ok && om_tool_interrupted()) {
            ok = om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted");
        }
    }
    return ok;
}

/* ---- Sessions: a connection and the packed queries, for measuring ---------------------------- */

typedef struct remote_session {
    om_session base;
    const om_remote *target;
    om_rpcc *client;
    om_arena arena;
    om_rpcc_buf **queries;
    size_t count, at;
    size_t in_flight, running;
    double *started; /* in_flight of them: what `user` points to */
    size_t free_slot;
    uint8_t room[16384]; /* answers are unpacked here: nothing is allocated a call */
} remote_session;

bool om_remote_session_open(om_target *base, const om_search_params *p, size_t in_flight,
                            om_session **out, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    remote_session *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return om_tool_no_memory(err, sizeof *s);
    }
    s->base.ops = base->ops;
    s->target = t;
    s->in_flight = in_flight;
    om_arena_init(&s->arena, s->room, sizeof s->room, 0);
    s->queries = calloc(p->count, sizeof *s->queries);
    s->started = calloc(in_flight, sizeof *s->started);
    bool ok = s->queries != NULL && s->started != NULL ? true : om_tool_no_memory(err, p->count);
    for (; ok && s->count < p->count; s->count += ok ? 1 : 0) {
        s->queries[s->count] = pack_query(t, p, s->count, err);
        ok = s->queries[s->count] != NULL;
    }
    if (!ok || !om_endpoint_connect(&t->endpoint, &s->client, err)) {
        om_remote_session_close(&s->base);
        return false;
    }
    *out = &s->base;
    return true;
}

/* The slot freed by the call that ended last is the one the next call takes; at the start they are
 * taken in order. */
static bool start_one(remote_session *s, om_tool_error *err)
{
    double *slot = &s->started[s->free_slot];
    *slot = om_tool_now();
    if (!om_rpcc_start(s->client, method, s->queries[s->at], 0, slot)) {
        return om_tool_fail(err, OM_EXIT_RUNTIME, "a call could not be started");
    }
    s->at = s->at + 1 < s->count ? s->at + 1 : 0;
    s->running++;
    s->free_slot++;
    return true;
}

bool om_remote_session_step(om_session *base, uint64_t *latency_ns, om_tool_error *err)
{
    remote_session *s = (remote_session *)base;
    while (s->running < s->in_flight) {
        if (!start_one(s, err)) {
            return false;
        }
    }
    void *user;
    om_rpcc_buf *reply;
    om_rpcc_status status;
    (void)om_rpcc_next(s->client, &user, &reply, &status);
    s->running--;
    const double *slot = user;
    s->free_slot = (size_t)(slot - s->started);
    if (status.code != 0) {
        return om_remote_fail(&s->target->endpoint, &status, err);
    }
    *latency_ns = (uint64_t)((om_tool_now() - *slot) * 1e9);
    /* A client reads its answers, so reading them belongs to the cost. */
    bool ok =
        om_remote_unpack(&omen__v1__search_response__descriptor, reply, &s->arena, err) != NULL;
    om_rpcc_buf_unref(reply);
    return ok;
}

void om_remote_session_close(om_session *base)
{
    remote_session *s = (remote_session *)base;
    if (s == NULL) {
        return;
    }
    om_rpcc_close(s->client);
    for (size_t i = 0; s->queries != NULL && i < s->count; i++) {
        om_rpcc_buf_unref(s->queries[i]);
    }
    om_arena_reset(&s->arena);
    free(s->queries);
    free(s->started);
    free(s);
}
