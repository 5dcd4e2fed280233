/* console_search.c - the playground: searches as the RPC makes them, with all that they tell about
 * themselves, and pages of items. SPDX-License-Identifier: Apache-2.0 */
#include "console_query.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 4096 };
#define NS_PER_US UINT64_C(1000)

static json_t *stage(const char *name, uint64_t ns)
{
    return json_pack("{s:s,s:I}", "name", name, "ns", (json_int_t)ns);
}

/* What the stages do not cover (ids, metadata, the answer's own parts) is told as the last one. */
static json_t *stages_of(const om_searcher *s, uint64_t total_ns)
{
    const omen_explain *e = &s->explain;
    const omen_filter_explain *x = &s->filter_explain;
    const struct {
        const char *name;
        uint64_t ns;
    } parts[] = {{"filter", x->filter_ns}, {"entry", e->entry_ns},   {"graph", e->graph_ns},
                 {"scan", e->scan_ns},     {"rerank", e->rerank_ns}, {"text", x->text_ns},
                 {"fuse", x->fuse_ns}};
    json_t *list = json_array();
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        sum += parts[i].ns;
        if (parts[i].ns > 0) {
            (void)json_array_append_new(list, stage(parts[i].name, parts[i].ns));
        }
    }
    uint64_t engine = s->engine_ns > sum ? s->engine_ns - sum : 0;
    (void)json_array_append_new(list, stage("other", engine));
    sum += engine;
    (void)json_array_append_new(list, stage("fetch", total_ns > sum ? total_ns - sum : 0));
    return list;
}

static json_t *explain_of(const om_searcher *s, uint64_t total_ns)
{
    const omen_explain *e = &s->explain;
    const omen_filter_explain *x = &s->filter_explain;
    bool rich = s->request->rich;
    return json_pack("{s:s,s:i,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:I,s:I,s:I,s:o,s:I,s:I}", "plan",
                     omen_plan_name(e->plan), "ef", (int)e->ef, "distances",
                     (json_int_t)e->distances, "hops", (json_int_t)e->hops, "scanned",
                     (json_int_t)e->scanned, "reranked", (json_int_t)e->reranked, "estimated",
                     rich ? om_console_real(x->estimated) : json_null(), "selectivity",
                     rich ? om_console_real(x->selectivity) : json_null(), "matches",
                     rich ? om_console_u64(x->matches) : json_null(), "tests", (json_int_t)x->tests,
                     "postings", (json_int_t)x->postings, "candidates", (json_int_t)x->candidates,
                     "stages", stages_of(s, total_ns), "engine_ns", (json_int_t)s->engine_ns,
                     "total_ns", (json_int_t)total_ns);
}

/* Metadata goes as text: numbers in it may be larger than a page can hold. */
static void put_metadata(json_t *o, const om_wire_texts *metadata, size_t i)
{
    if (metadata != NULL && i < metadata->count) {
        const int64_t *offsets = metadata->offsets;
        (void)json_object_set_new(
            o, "metadata",
            om_console_string(metadata->data + offsets[i], (size_t)(offsets[i + 1] - offsets[i])));
    }
}

static json_t *hits_of(const om_searcher *s)
{
    json_t *list = json_array();
    const om_wire_hits *h = &s->hits;
    for (uint32_t i = 0; i < h->count; i++) {
        json_t *o = json_object();
        (void)json_object_set_new(o, "id", om_console_id(h->id_type, h->keys[i], h->ids, i));
        if (h->distances != NULL) {
            (void)json_object_set_new(o, "distance", om_console_real((double)h->distances[i]));
        } else if (h->scores != NULL) {
            (void)json_object_set_new(o, "score", om_console_real((double)h->scores[i]));
        }
        if (h->groups != NULL) {
            (void)json_object_set_new(o, "group", json_integer((json_int_t)h->groups[i]));
        }
        put_metadata(o, h->metadata, i);
        (void)json_array_append_new(list, o);
    }
    return list;
}

static json_t *run_search(om_console_call *call, om_coll *coll, om_console_query *q, omen_op *op)
{
    om_searcher s = {.shared = call->shared,
                     .coll = coll,
                     .request = &q->search,
                     .arena = &q->arena,
                     .op = op,
                     .timeout_us = OM_CONSOLE_SEARCH_MS * NS_PER_US};
    json_t *o = NULL;
    uint64_t start = om_pool_now_ns();
    om_console_op_begin(call->console, op);
    if (om_search_run(&s, &call->f)) {
        uint64_t total = om_pool_now_ns() - start;
        o = json_pack("{s:o,s:o,s:b,s:o}", "version", om_console_version(s.hits.version), "hits",
                      hits_of(&s), "partial", s.hits.partial ? 1 : 0, "explain",
                      explain_of(&s, total));
    }
    om_console_op_end(call->console, op);
    om_search_end(&s);
    return o;
}

static json_t *search_in(om_console_call *call, json_t *body, om_coll *coll)
{
    uint8_t room[ROOM];
    om_console_query q;
    omen_op *op = NULL;
    omen_error err = {.item = OMEN_NONE};
    json_t *o = NULL;
    memset(&q, 0, sizeof q);
    om_arena_init(&q.arena, room, sizeof room, sizeof room);
    if (om_console_query_read(call, body, coll, &q)) {
        if (omen_op_create(&op, &err) == OMEN_OK) {
            o = run_search(call, coll, &q, op);
        } else {
            om_failure_from_engine(&call->f, &err);
        }
    }
    omen_op_free(op);
    om_arena_reset(&q.arena);
    return o;
}

/* ---- Items ----------------------------------------------------------------------------------- */

typedef struct items_page {
    om_coll *coll;
    omen_filter *filter;
    const char *order_by;
    bool descending;
    uint32_t limit;
    uint64_t *keys, count, matches;
} items_page;

static bool engine_failed(om_console_call *call, const omen_error *err)
{
    return om_failure_from_engine(&call->f, err);
}

static bool find_items(om_console_call *call, items_page *p)
{
    omen_error err = {.item = OMEN_NONE};
    omen_listing listing = {.struct_size = sizeof listing,
                            .flags = p->descending ? OMEN_LIST_DESCENDING : 0,
                            .filter = p->filter,
                            .order_by = p->order_by};
    om_coll_enter(p->coll);
    omen_status_t status = omen_count_where(p->coll->handle, p->filter, &p->matches, &err);
    if (status == OMEN_OK) {
        status = omen_list_items(p->coll->handle, &listing, p->keys, p->limit, &p->count, &err);
    }
    return om_coll_leave(p->coll, status, &err) == OMEN_OK || engine_failed(call, &err);
}

static json_t *items_json(const items_page *p, const omen_column *ids, const om_fetched *fetched)
{
    json_t *list = json_array();
    for (size_t i = 0; i < fetched->count; i++) {
        const int64_t *offsets = fetched->metadata.offsets;
        if (offsets[i + 1] > offsets[i]) { /* else it was deleted meanwhile */
            json_t *o = json_object();
            (void)json_object_set_new(o, "id",
                                      om_console_id(p->coll->options.id_type, p->keys[i], ids, i));
            put_metadata(o, &fetched->metadata, i);
            (void)json_array_append_new(list, o);
        }
    }
    return json_pack("{s:o,s:o}", "items", list, "matches", om_console_u64(p->matches));
}

static json_t *show_items(om_console_call *call, const items_page *p)
{
    omen_error err = {.item = OMEN_NONE};
    omen_rows *rows = NULL;
    omen_column ids = {0};
    om_fetched fetched = {0};
    om_fetch what = {.coll = p->coll,
                     .from = p->coll->handle,
                     .keys = p->keys,
                     .count = (size_t)p->count,
                     .metadata = true,
                     .room = call->shared->opt.max_message_bytes,
                     .cut = true};
    om_coll_enter(p->coll);
    omen_status_t status =
        omen_fetch(p->coll->handle, p->keys, p->count, OMEN_FIELD_ID, &rows, &err);
    if (om_coll_leave(p->coll, status, &err) != OMEN_OK) {
        omen_rows_free(rows);
        (void)engine_failed(call, &err);
        return NULL;
    }
    omen_rows_column(rows, OMEN_FIELD_ID, &ids);
    json_t *o = om_fetch_items(&what, &fetched, &call->f) ? items_json(p, &ids, &fetched) : NULL;
    om_fetched_end(&fetched);
    omen_rows_free(rows);
    return o;
}

static bool read_items(om_console_call *call, json_t *body, items_page *p)
{
    static const char *const members[] = {"collection", "filter",     "limit",
                                          "order_by",   "descending", NULL};
    static const om_params none;
    const char *order = NULL;
    om_filter_source source = {.collection = p->coll->handle,
                               .params = &none,
                               .field = "filter",
                               .metrics = call->shared->opt.metrics};
    if (!om_console_known(call, body, members) ||
        !om_console_number(call, body, "limit", OM_CONSOLE_MAX_HITS, &p->limit) ||
        !om_console_text(call, body, "order_by", &order) ||
        !om_console_flag(call, body, "descending", &p->descending) ||
        !om_console_filter(call, body, &source.text, &source.size)) {
        return false;
    }
    p->order_by = order[0] != '\0' ? order : NULL;
    p->limit = p->limit == 0 ? OM_SEARCH_DEFAULT_LIMIT : p->limit;
    if (source.text != NULL) {
        p->filter = om_source_compile(&source, &call->f);
    }
    p->keys = malloc(p->limit * sizeof *p->keys);
    return p->keys != NULL && (source.text == NULL || p->filter != NULL);
}

static json_t *items_in(om_console_call *call, json_t *body, om_coll *coll)
{
    items_page p = {.coll = coll};
    json_t *o = NULL;
    if (read_items(call, body, &p) && find_items(call, &p)) {
        o = show_items(call, &p);
    }
    omen_filter_free(p.filter);
    free(p.keys);
    return o;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* Both are calls of the tenant, and count as such. */
static json_t *about_collection(om_console_call *call,
                                json_t *(*work)(om_console_call *, json_t *, om_coll *))
{
    const char *name = NULL;
    json_t *o = NULL;
    json_t *body = om_console_body(call);
    if (body != NULL && om_console_text(call, body, "collection", &name)) {
        om_tenant *tenant = call->who->tenant;
        om_coll *coll = om_console_coll(call, name, OM_VERB_READ);
        if (coll != NULL &&
            (tenant == NULL || om_tenant_enter(tenant, om_pool_now_ns(), false, &call->f))) {
            o = work(call, body, coll);
            if (tenant != NULL) {
                om_tenant_leave(tenant, false);
            }
        }
        om_coll_release(coll);
    }
    json_decref(body);
    return o;
}

json_t *om_console_search(om_console_call *call)
{
    return about_collection(call, search_in);
}

json_t *om_console_items(om_console_call *call)
{
    return about_collection(call, items_in);
}
