/* maintain.c - Maintenance: MeasureRecall and GetServerInfo. SPDX-License-Identifier: Apache-2.0 */
#include "impls.h"
#include "listings.h"
#include "method_util.h"
#include "omen/v1/maintenance.pb-c.h"
#include "operations.h"
#include "search_reader.h"

enum { DEFAULT_SAMPLES = 200, MAX_SAMPLES = 10000 };

typedef Omen__V1__MeasureRecallRequest recall_request;

typedef struct recall_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    recall_request *request;
    omen_op *op;
} recall_call;

static void recall_reply(recall_call *c, const omen_recall *recall)
{
    Omen__V1__MeasureRecallResponse r;
    omen__v1__measure_recall_response__init(&r);
    r.recall = recall->recall;
    r.low = recall->low;
    r.high = recall->high;
    r.samples = recall->samples;
    r.distances = recall->distances;
    om_rpc_reply_pb(c->rpc, &r.base);
}

static void recall_run(om_job *job, bool expired)
{
    recall_call *c = (recall_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    omen_error err = {.item = OMEN_NONE};
    if (expired) {
        om_method_fail_expired(rpc);
    } else {
        omen_recall_options opt = {.struct_size = sizeof opt,
                                   .flags = c->request->graph_only ? OMEN_GRAPH_ONLY : 0,
                                   .k = c->request->k,
                                   .ef = c->request->ef,
                                   .samples = c->request->samples,
                                   .seed = c->request->seed};
        omen_recall recall = {.struct_size = sizeof recall};
        om_coll_enter(c->coll);
        omen_status_t status = omen_measure_recall(c->coll->handle, &opt, &recall, c->op, &err);
        if (om_coll_leave(c->coll, status, &err) == OMEN_OK) {
            recall_reply(c, &recall);
        } else {
            om_method_fail_engine(rpc, &err);
        }
    }
    atomic_fetch_sub(&s->recalls, 1);
    om_rpc_release(rpc);
}

static bool recall_check(const recall_request *q, om_failure *f)
{
    if (q->k > OMEN_MAX_K) {
        return om_failure_limit(f, "k", q->k, OMEN_MAX_K);
    }
    if (q->ef > OMEN_MAX_EF) {
        return om_failure_limit(f, "ef", q->ef, OMEN_MAX_EF);
    }
    return q->samples <= MAX_SAMPLES || om_failure_limit(f, "samples", q->samples, MAX_SAMPLES);
}

static void recall_message(om_rpc *rpc, om_rpc_message *message)
{
    recall_call *c = om_rpc_state(rpc);
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    c->rpc = rpc;
    c->request = om_rpc_unpack(rpc, message, &omen__v1__measure_recall_request__descriptor);
    if (c->request == NULL) {
        return;
    }
    if (!recall_check(c->request, &f) ||
        (c->coll = om_method_coll(rpc, c->request->collection, &f)) == NULL) {
        om_rpc_finish(rpc, &f);
        return;
    }
    /* It compares with brute force: a few at a time, so that the admin workers stay free for others. */
    if (atomic_fetch_add(&s->recalls, 1) >= OM_RT_MAX_RECALLS) {
        atomic_fetch_sub(&s->recalls, 1);
        om_method_fail_full(rpc, "recall measurements");
        return;
    }
    c->op = om_rpc_op(rpc);
    c->job.run = recall_run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_lane(rpc, &c->job);
    om_rpc_hold(rpc);
    om_pool_submit_always(s->admin, &c->job);
}

static void recall_destroy(om_rpc *rpc)
{
    recall_call *c = om_rpc_state(rpc);
    om_coll_release(c->coll);
}

static void fill_limits(const om_rt_shared *s, Omen__V1__ServerInfo__Limits *out)
{
    out->max_dim = OMEN_MAX_DIM;
    out->max_k = OMEN_MAX_K;
    out->max_ef = OMEN_MAX_EF;
    out->max_message_bytes = s->opt.max_message_bytes;
    out->max_string_id_bytes = OMEN_MAX_STRING_ID;
    out->max_streams_per_connection = s->opt.max_streams;
    out->max_searches_per_batch = OM_RT_MAX_SEARCHES;
    out->max_batch_items = s->opt.max_message_bytes / 8;
    out->memory_limit_bytes = s->opt.memory_limit_bytes;
    out->stream_window_bytes = s->opt.stream_window_bytes;
    out->max_operations = OM_OPERATIONS_MAX;
    out->max_listings = OM_CURSORS_MAX;
    out->max_page_size = OM_RT_MAX_PAGE;
    out->max_backup_name_bytes = OM_BACKUP_NAME;
}

/* Of metadata, filters and searches. */
static void fill_query_limits(Omen__V1__ServerInfo__Limits *out)
{
    out->max_metadata_bytes = OMEN_MAX_METADATA;
    out->max_fields = OMEN_MAX_FIELDS;
    out->max_field_name_bytes = OMEN_MAX_FIELD_NAME;
    out->max_array_values = OMEN_MAX_ARRAY;
    out->max_filter_bytes = OMEN_MAX_FILTER;
    out->max_filter_depth = OMEN_MAX_FILTER_DEPTH;
    out->max_filter_terms = OMEN_MAX_FILTER_TERMS;
    out->max_params = OMEN_MAX_PARAMS;
    out->max_param_values = OM_PARAM_VALUES_MAX;
    out->max_legs = OMEN_MAX_LEGS;
    out->max_text_query_bytes = OMEN_MAX_TEXT_QUERY;
    out->max_facets = OM_SEARCH_MAX_FACETS;
    out->max_facet_values = OM_FACET_MAX_VALUES;
    out->max_like_items = OMEN_MAX_LIKE;
    out->max_get_items = OM_RT_MAX_GET_ITEMS;
}

static void info_message(om_rpc *rpc, om_rpc_message *message)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    if (om_rpc_unpack(rpc, message, &omen__v1__get_server_info_request__descriptor) == NULL) {
        return;
    }
    Omen__V1__ServerInfo__Limits limits;
    omen__v1__server_info__limits__init(&limits);
    fill_limits(s, &limits);
    fill_query_limits(&limits);
    Omen__V1__ServerInfo info;
    omen__v1__server_info__init(&info);
    info.version = (char *)(uintptr_t)omen_version_string();
    info.abi = omen_abi_version();
    info.format = omen_format_version();
    info.isa = (char *)(uintptr_t)omen_isa_name();
    info.limits = &limits;
    info.server_epoch = (char *)(uintptr_t)s->epoch;
    om_rpc_reply_pb(rpc, &info.base);
}

const om_rpc_impl om_impl_omen_v1_Maintenance_MeasureRecall = {.verb = OM_VERB_MANAGE,
                                                               .state_size = sizeof(recall_call),
                                                               .message = recall_message,
                                                               .destroy = recall_destroy};
const om_rpc_impl om_impl_omen_v1_Maintenance_GetServerInfo = {.verb = OM_VERB_ANY,
                                                               .message = info_message};
