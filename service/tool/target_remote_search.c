/* target_remote_search.c - Items.Search, several calls under way at a time on one connection.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "remote_pack.h"

static const char method[] = "/omen.v1.Items/Search";
enum { IN_FLIGHT = 16, QUERIES_A_ROUND = 256 };

static om_rpcc_buf *pack_query(const om_remote *t, const om_search_params *p,
                               const om_packed_filter *filter, size_t i, om_tool_error *err)
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
    request.filter = filter->text;
    request.n_params = filter->count;
    request.params = filter->params;
    om_rpcc_buf *packed = om_remote_pack(&request.base);
    if (packed == NULL) {
        om_tool_no_memory(err, row);
    }
    return packed;
}

static void take_plan(const Omen__V1__Explain *plan, bool filtered, om_search_plan *to)
{
    (void)snprintf(to->plan, sizeof to->plan, "%s", plan->plan);
    to->ef = plan->ef;
    to->distances = plan->distances;
    to->hops = plan->hops;
    to->scanned = plan->scanned;
    to->reranked = plan->reranked;
    to->filtered = filtered;
    to->estimated = plan->estimated_selectivity;
    to->selectivity = plan->selectivity;
    to->matches = plan->matches;
    to->tests = plan->filter_tests;
    to->postings = plan->postings;
    to->candidates = plan->candidates;
    for (size_t i = 0; i < plan->n_stages; i++) {
        om_search_plan_stage(to, plan->stages[i]->name, plan->stages[i]->ns);
    }
}

/* Appends the hits of an answer. */
static bool take_answer(om_remote *t, om_rpcc_buf *reply, size_t query, bool filtered,
                        om_search_result *r, om_tool_error *err)
{
    const Omen__V1__SearchResponse *answer =
        om_remote_unpack(&omen__v1__search_response__descriptor, reply, &t->arena, err);
    if (answer == NULL) {
        return false;
    }
    size_t n = om_remote_ids_count(answer->ids), at = r->ids.count;
    const float *values = answer->n_scores > 0 ? answer->scores : answer->distances;
    if (n != (answer->n_scores > 0 ? answer->n_scores : answer->n_distances) ||
        (answer->n_groups > 0 && answer->n_groups != n)) {
        return om_tool_fail(err, OM_EXIT_RUNTIME,
                            "the server's answer has %zu ids and %zu distances", n,
                            answer->n_distances);
    }
    if (!om_search_result_reserve(r, n, err)) {
        return false;
    }
    r->scored = r->scored || answer->n_scores > 0;
    if (n > 0) {
        memcpy(r->distances + at, values, n * sizeof *r->distances);
    }
    if (answer->n_groups > 0) {
        memcpy(r->groups + at, answer->groups, n * sizeof *r->groups);
    }
    if (!om_remote_take_ids(answer->ids, &r->ids, err) ||
        (answer->metadata != NULL &&
         !om_remote_take_metadata(answer->metadata, n, &r->metadata, err))) {
        return false;
    }
    r->starts[query + 1] = r->ids.count;
    if (r->plans != NULL && answer->explain != NULL) {
        take_plan(answer->explain, filtered, &r->plans[query]);
    }
    return true;
}

/* Runs queries [first, first + count); replies[i] is set for each that succeeded. */
static bool run_round(om_remote *t, const om_search_params *p, const om_packed_filter *filter,
                      size_t first, size_t count, om_rpcc_buf **replies, om_tool_error *err)
{
    size_t started = 0, ended = 0;
    bool ok = true;
    while (ended < started || (ok && started < count)) {
        while (ok && started < count && started - ended < IN_FLIGHT) {
            om_rpcc_buf *packed = pack_query(t, p, filter, first + started, err);
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
    om_arena arena;
    om_packed_filter filter;
    om_arena_init(&arena, NULL, 0, 0);
    bool ok = om_remote_filter(p->where, &arena, &filter, err);
    for (size_t first = 0; ok && first < p->count; first += QUERIES_A_ROUND) {
        om_rpcc_buf *replies[QUERIES_A_ROUND] = {NULL};
        size_t count = p->count - first < QUERIES_A_ROUND ? p->count - first : QUERIES_A_ROUND;
        ok = run_round(t, p, &filter, first, count, replies, err);
        for (size_t i = 0; i < count; i++) {
            ok = ok && take_answer(t, replies[i], first + i, p->where != NULL, r, err);
            om_rpcc_buf_unref(replies[i]);
        }
        if (ok && om_tool_interrupted()) {
            ok = om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted");
        }
    }
    om_arena_reset(&arena);
    return ok;
}

/* ---- One search of several parts ----------------------------------------------------------------- */

typedef struct find_legs {
    Omen__V1__VectorColumn column;
    Omen__V1__VectorLeg vector;
    Omen__V1__TextLeg text;
    Omen__V1__Ids like;
    Omen__V1__Leg legs[3];
    Omen__V1__Leg *list[3];
    size_t count;
} find_legs;

static Omen__V1__Leg *add_leg(find_legs *l, Omen__V1__Leg__QueryCase kind, float weight)
{
    Omen__V1__Leg *leg = &l->legs[l->count];
    omen__v1__leg__init(leg);
    leg->query_case = kind;
    leg->weight = weight;
    l->list[l->count++] = leg;
    return leg;
}

/* l->like is set already. */
static void make_legs(const om_find_params *p, find_legs *l)
{
    if (p->vector != NULL) {
        omen__v1__vector_column__init(&l->column);
        omen__v1__vector_leg__init(&l->vector);
        l->column.type = (Omen__V1__DataType)p->dtype;
        l->column.dim = p->dim;
        l->column.data.len = p->dim * om_tool_dtype_width(p->dtype);
        l->column.data.data = (uint8_t *)om_remote_text(p->vector);
        l->vector.vector = &l->column;
        l->vector.ef = p->ef;
        l->vector.exact = p->exact;
        add_leg(l, OMEN__V1__LEG__QUERY_VECTOR, p->weights[0])->vector = &l->vector;
    }
    if (p->like != NULL) {
        add_leg(l, OMEN__V1__LEG__QUERY_LIKE, p->weights[1])->like = &l->like;
    }
    if (p->text != NULL) {
        omen__v1__text_leg__init(&l->text);
        l->text.text = om_remote_text(p->text);
        l->text.field = om_remote_text(p->text_field != NULL ? p->text_field : "");
        add_leg(l, OMEN__V1__LEG__QUERY_TEXT, p->weights[2])->text = &l->text;
    }
}

static void make_request(const om_remote *t, const om_find_params *p,
                         const om_packed_filter *filter, find_legs *l,
                         Omen__V1__SearchRequest *request)
{
    omen__v1__search_request__init(request);
    request->collection = om_remote_text(t->name);
    request->limit = p->k;
    request->offset = p->skip;
    request->n_legs = l->count;
    request->legs = l->list;
    request->explain = p->explain ? 1 : 0;
    request->filter = filter->text;
    request->n_params = filter->count;
    request->params = filter->params;
    request->fusion = (Omen__V1__Fusion)p->fusion;
    request->group_by = om_remote_text(p->group_by != NULL ? p->group_by : "");
    request->group_size = p->group_size;
    request->with_metadata = p->shown != NULL;
    request->fields = om_remote_names(p->shown, &request->n_fields);
    if (p->max_distance != NULL) {
        request->threshold_case = OMEN__V1__SEARCH_REQUEST__THRESHOLD_MAX_DISTANCE;
        request->max_distance = *p->max_distance;
    } else if (p->min_score != NULL) {
        request->threshold_case = OMEN__V1__SEARCH_REQUEST__THRESHOLD_MIN_SCORE;
        request->min_score = *p->min_score;
    }
}

bool om_remote_find(om_target *base, const om_find_params *p, size_t query, om_search_result *r,
                    om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    find_legs legs = {.count = 0};
    char **texts = NULL;
    om_arena arena;
    om_packed_filter filter;
    Omen__V1__SearchRequest request;
    if (p->graph_only || (p->exact && p->vector == NULL)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--%s works on files, not at a server",
                            p->graph_only ? "graph-only" : "exact of --like");
    }
    om_arena_init(&arena, NULL, 0, 0);
    r->ids.type = base->id_type;
    bool ok =
        om_remote_filter(p->where, &arena, &filter, err) &&
        (p->like == NULL || om_remote_ids(p->like, 0, p->like->count, &legs.like, &texts, err));
    if (ok) {
        make_legs(p, &legs);
        make_request(t, p, &filter, &legs, &request);
    }
    om_rpcc_buf *packed = ok ? om_remote_pack(&request.base) : NULL;
    ok = ok && (packed != NULL || om_tool_no_memory(err, 64));
    om_rpcc_buf *reply = NULL;
    om_rpcc_status status;
    ok = ok && (om_rpcc_call(t->client, method, packed, t->endpoint.timeout_ms, &reply, &status) ||
                om_remote_fail(&t->endpoint, &status, err));
    ok = ok && take_answer(t, reply, query, p->where != NULL && p->where->text != NULL, r, err);
    if (ok) { /* also when there are no hits */
        r->scored = p->text != NULL || (p->vector != NULL && p->like != NULL);
    }
    om_rpcc_buf_unref(reply);
    om_rpcc_buf_unref(packed);
    om_arena_reset(&arena);
    free(texts);
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
    const om_packed_filter none = {.text = om_remote_text("")};
    for (; ok && s->count < p->count; s->count += ok ? 1 : 0) {
        s->queries[s->count] = pack_query(t, p, &none, s->count, err);
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
