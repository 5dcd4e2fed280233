/* count.c - Items.Count: all items, or those that pass a filter, and facets of them. What needs no filter is
 * answered where it arrived. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "impls.h"
#include "method_util.h"
#include "omen/v1/items.pb-c.h"
#include "wwrite.h"

typedef Omen__V1__CountRequest count_request;

typedef struct count_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    const count_request *request;
    om_filter_source source; /* text NULL: no filter */
    omen_filter *filter;
    om_wire_facet facets[OM_SEARCH_MAX_FACETS];
    om_facets *found; /* malloc'd: most counts have no facets */
} count_call;

static void reply(const count_call *c, uint64_t count, uint64_t version)
{
    size_t size = om_wsize_uint(count) + om_wsize_fixed64(version);
    uint32_t facets = c->found != NULL ? c->found->count : 0;
    for (uint32_t i = 0; i < facets; i++) {
        size += om_wsize_len(om_wsize_facet(&c->found->values[i]));
    }
    om_rpc_out out;
    om_rpc_out_init(&out, size);
    om_wbuf w = om_wbuf_of(out.data, out.size);
    om_w_uint(&w, 1, count);
    om_w_fixed64(&w, 2, version);
    for (uint32_t i = 0; i < facets; i++) {
        om_w_len(&w, 3, om_wsize_facet(&c->found->values[i]));
        om_w_facet(&w, &c->found->values[i]);
    }
    om_rpc_reply(c->rpc, &out);
}

static void fail(const count_call *c, const omen_error *err)
{
    if (err->status == OMEN_NOT_FOUND) {
        om_colls_forget(om_rt_shared_of(om_rpc_runtime(c->rpc))->colls, c->coll->name);
    }
    om_method_fail_engine(c->rpc, err);
}

static bool find_facets(count_call *c, om_failure *f)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(c->rpc));
    om_facets_query what = {.coll = c->coll,
                            .rpc = c->rpc,
                            .filter = c->filter,
                            .facets = c->facets,
                            .count = (uint32_t)c->request->n_facets,
                            .room = s->opt.max_message_bytes / 2};
    if (what.count == 0) {
        return true;
    }
    c->found = calloc(1, sizeof *c->found);
    if (c->found == NULL) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the answer");
        f->retry_ms = 1000;
        return false;
    }
    return om_facets_run(&what, c->found, f);
}

static void count_now(count_call *c)
{
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    omen_stats stats = {.struct_size = sizeof stats};
    uint64_t count = 0;
    if (om_method_wait_visible(c->rpc, c->coll, c->request->min_version, &err) != OMEN_OK ||
        omen_get_stats(c->coll->handle, &stats, &err) != OMEN_OK) {
        fail(c, &err);
        return;
    }
    count = stats.count;
    if (c->source.text != NULL) {
        c->filter = om_source_compile(&c->source, &f);
        if (c->filter == NULL) {
            om_rpc_finish(c->rpc, &f);
            return;
        }
        om_coll_enter(c->coll);
        omen_status_t status = omen_count_where(c->coll->handle, c->filter, &count, &err);
        if (om_coll_leave(c->coll, status, &err) != OMEN_OK) {
            fail(c, &err);
            return;
        }
    }
    if (!find_facets(c, &f)) {
        om_rpc_finish(c->rpc, &f);
        return;
    }
    reply(c, count, stats.version);
}

static void count_run(om_job *job, bool expired)
{
    count_call *c = (count_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc)) {
        count_now(c);
    }
    om_rpc_release(rpc);
}

static bool check_facets(count_call *c, om_failure *f)
{
    const count_request *q = c->request;
    if (q->n_facets > OM_SEARCH_MAX_FACETS) {
        return om_failure_limit(f, "facets", q->n_facets, OM_SEARCH_MAX_FACETS);
    }
    for (size_t i = 0; i < q->n_facets; i++) {
        const Omen__V1__FacetRequest *in = q->facets[i];
        if (in->field[0] == '\0' || strlen(in->field) > OMEN_MAX_FIELD_NAME) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "facets.field",
                                  "facets[%zu].field has %zu bytes, it must have 1 to %u", i,
                                  strlen(in->field), OMEN_MAX_FIELD_NAME);
        }
        if (in->limit > OM_FACET_MAX_VALUES) {
            return om_failure_limit(f, "facets.limit", in->limit, OM_FACET_MAX_VALUES);
        }
        c->facets[i].field = in->field;
        c->facets[i].limit = in->limit != 0 ? in->limit : OM_FACET_DEFAULT_VALUES;
    }
    return true;
}

static bool check(count_call *c, om_failure *f)
{
    const count_request *q = c->request;
    if (!check_facets(c, f) || (c->coll = om_method_coll(c->rpc, q->collection, f)) == NULL) {
        return false;
    }
    om_method_filter filter = {q->filter, q->params, q->n_params};
    return om_method_filter_source(c->rpc, &filter, c->coll->handle, &c->source, f);
}

static void count_message(om_rpc *rpc, om_rpc_message *message)
{
    count_call *c = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    c->rpc = rpc;
    c->request = om_rpc_unpack(rpc, message, &omen__v1__count_request__descriptor);
    if (c->request == NULL) {
        return;
    }
    if (!check(c, &f)) {
        om_rpc_finish(rpc, &f);
        return;
    }
    bool reads = c->source.text != NULL || c->request->n_facets > 0;
    if (!reads && c->request->min_version == 0) {
        count_now(c);
        return;
    }
    om_rpc_op(rpc);
    c->job.run = count_run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, reads ? s->search : s->admin, &c->job, "counts");
}

static void count_destroy(om_rpc *rpc)
{
    count_call *c = om_rpc_state(rpc);
    if (c->found != NULL) {
        om_facets_end(c->found);
        free(c->found);
    }
    omen_filter_free(c->filter);
    om_coll_release(c->coll);
}

const om_rpc_impl om_impl_omen_v1_Items_Count = {.verb = OM_VERB_READ,
                                                 .state_size = sizeof(count_call),
                                                 .message = count_message,
                                                 .destroy = count_destroy};
