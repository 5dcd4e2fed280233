/* method_util.c - what several methods need. SPDX-License-Identifier: Apache-2.0 */
#include "method_util.h"

#include <string.h>

#include "tenants.h"

void om_rt_note_ingest(om_rt_shared *shared, int64_t bytes)
{
    atomic_fetch_add_explicit(&shared->ingest_bytes, (uint64_t)bytes, memory_order_relaxed);
    om_metrics_ingest_window_bytes(shared->opt.metrics, bytes);
}

bool om_rt_ingest_full(const om_rt_shared *shared)
{
    return atomic_load_explicit(&shared->ingest_bytes, memory_order_relaxed) >=
           shared->opt.transport_quota / 2;
}

void om_rt_note_answers(om_rt_shared *shared, int64_t bytes)
{
    atomic_fetch_add_explicit(&shared->answer_bytes, (uint64_t)bytes, memory_order_relaxed);
}

bool om_rt_answers_full(const om_rt_shared *shared, uint64_t more)
{
    return atomic_load_explicit(&shared->answer_bytes, memory_order_relaxed) + more >
           shared->opt.transport_quota / 2;
}

bool om_method_may(om_rpc *rpc, const char *name, om_failure *f)
{
    char peer[128];
    const om_principal *who = om_rpc_principal(rpc);
    uint32_t verb = om_rpc_verb(rpc);
    if (om_principal_may(who, name, verb)) {
        return true;
    }
    om_rpc_peer(rpc, peer, sizeof peer);
    return om_access_denied_from(om_rpc_access(rpc), who, peer, name, verb, f);
}

om_coll *om_method_find(om_rpc *rpc, const char *name, om_failure *f)
{
    const om_rt_shared *shared = om_rt_shared_of(om_rpc_runtime(rpc));
    omen_error err = {.item = OMEN_NONE};
    om_coll *coll = NULL;
    if (name[0] == '\0') {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "NAME", "collection", "collection is empty");
        return NULL;
    }
    if (!om_method_may(rpc, name, f)) {
        return NULL;
    }
    if (om_colls_get(shared->colls, name, &coll, &err) != OMEN_OK) {
        om_failure_from_engine(f, &err);
        return NULL;
    }
    return coll;
}

om_coll *om_method_coll(om_rpc *rpc, const char *name, om_failure *f)
{
    om_coll *coll = om_method_find(rpc, name, f);
    if (coll != NULL) {
        om_rpc_note_collection(rpc, name);
    }
    return coll;
}

void om_method_fail_engine(om_rpc *rpc, const omen_error *err)
{
    om_failure f;
    om_failure_from_engine(&f, err);
    om_rpc_finish(rpc, &f);
}

bool om_method_db_failed(const om_rt_shared *shared, om_failure *f)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    if (omen_get_db_stats(shared->opt.db, &stats, NULL) != OMEN_OK ||
        stats.state != OMEN_DB_FAILED) {
        return false;
    }
    om_failure_set(f, OMEN_UNAVAILABLE, "LOG_FAILED", NULL,
                   "the log could not be written, the server restarts: %s", stats.reason);
    f->retry_ms = 1000;
    return true;
}

void om_method_answers_full(om_failure *f)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "ANSWERS", NULL,
                   "answers that clients have not taken yet hold as much memory as may be");
    f->retry_ms = 1000;
}

void om_method_lane(const om_rpc *rpc, om_job *job)
{
    const om_tenant *tenant = om_rpc_tenant(rpc);
    job->lane = tenant != NULL ? om_tenant_index(tenant) : 0;
    job->weight = tenant != NULL ? om_tenant_weight(tenant) : 1;
}

/* Told now, not when the deadline is over: the client may still ask another server. */
static void fail_late(om_rpc *rpc, uint64_t wait_ns, const char *what)
{
    om_failure f;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    uint32_t wait_ms = (uint32_t)(wait_ns / 1000000u);
    om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "DEADLINE", NULL,
                   "the %s that wait on this server take about %u ms, longer than the deadline of "
                   "this call",
                   what, wait_ms);
    f.retry_ms = wait_ms > 0 ? wait_ms : 1;
    om_metrics_rpc_shed(s->opt.metrics, OM_SHED_DEADLINE);
    om_rpc_finish(rpc, &f);
}

void om_method_submit(om_rpc *rpc, om_pool *pool, om_job *job, const char *what)
{
    uint64_t wait_ns = 0;
    om_method_lane(rpc, job);
    om_rpc_hold(rpc);
    om_pool_answer answer = om_pool_submit(pool, job, &wait_ns);
    if (answer == OM_POOL_TAKEN) {
        return;
    }
    if (answer == OM_POOL_LATE) {
        fail_late(rpc, wait_ns, what);
    } else {
        om_method_fail_full(rpc, what);
    }
    om_rpc_release(rpc);
}

void om_method_fail_full(om_rpc *rpc, const char *what)
{
    om_failure f;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "RATE", NULL, "too many %s wait on this server",
                   what);
    f.retry_ms = 100;
    om_metrics_rpc_shed(s->opt.metrics, OM_SHED_QUEUE);
    om_rpc_finish(rpc, &f);
}

void om_method_fail_expired(om_rpc *rpc)
{
    om_failure f;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure_set(&f, OMEN_DEADLINE_EXCEEDED, "DEADLINE", NULL,
                   "the deadline passed while the call waited for a worker");
    om_metrics_rpc_shed(s->opt.metrics, OM_SHED_DEADLINE);
    om_rpc_finish(rpc, &f);
}

bool om_method_filter_source(om_rpc *rpc, const om_method_filter *in, omen_collection *collection,
                             om_filter_source *out, om_failure *f)
{
    om_arena *arena = om_rpc_arena(rpc);
    size_t size = strlen(in->text);
    *out = (om_filter_source){.collection = collection,
                              .field = "filter",
                              .metrics = om_rt_shared_of(om_rpc_runtime(rpc))->opt.metrics};
    if (size > OMEN_MAX_FILTER) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "filter",
                              "filter has %zu bytes, the limit is %u", size, OMEN_MAX_FILTER);
    }
    if (size == 0) {
        return in->value_count == 0 || om_method_stray_params(f);
    }
    om_params *params = om_wire_take(arena, sizeof *params, 8, f);
    if (params == NULL || !om_params_from_pb(in->values, in->value_count, arena, params, f)) {
        return false;
    }
    out->text = in->text;
    out->size = size;
    out->params = params;
    return true;
}

bool om_method_stray_params(om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "FILTER_SYNTAX", "params",
                          "params are given, and no filter that they belong to");
}

bool om_method_check_names(const char *field, char *const *names, size_t count, om_failure *f)
{
    if (count > OMEN_MAX_FIELDS) {
        return om_failure_limit(f, field, count, OMEN_MAX_FIELDS);
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) > OMEN_MAX_FIELD_NAME) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                                  "%s[%zu] has %zu bytes, the limit is %u", field, i,
                                  strlen(names[i]), OMEN_MAX_FIELD_NAME);
        }
    }
    return true;
}

omen_status_t om_method_wait_visible(om_rpc *rpc, om_coll *coll, uint64_t version, omen_error *err)
{
    if (version == 0) {
        return OMEN_OK;
    }
    omen_write_progress progress = {.struct_size = sizeof progress};
    omen_status_t status = omen_get_progress(coll->handle, &progress, err);
    if (status != OMEN_OK || progress.visible_version >= version) {
        return status;
    }
    return omen_wait(coll->handle, version, OMEN_WAIT_VISIBLE, om_rpc_timeout_us(rpc),
                     om_rpc_op(rpc), err);
}
