/* engine_query.c - the search call: its arguments, a batch of queries over threads, its output.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine_filter.h"

/* One call. Workers take query after query; the first failure ends it for all. */
typedef struct job {
    om_collection *c;
    const omen_query *query;
    omen_hits *hits;
    uint32_t dtype, ef, rerank;
    uint64_t stride, deadline_ns;
    _Atomic uint32_t next;
    _Atomic uint32_t failed; /* 1: taken by the worker that reports */
    const om_snapshot *snapshot;
    om_filter *filter;
    omen_status_t status;
    omen_error error;
} job;

/* Length 1, in double where the squares leave the range of floats; a zero vector stays zero. */
static void normalize(const om_kernels *kernels, float *x, uint32_t dim)
{
    float square = kernels->ip[OMEN_F32](x, x, dim);
    double length = sqrt((double)square);
    if (!(square >= FLT_MIN && square <= FLT_MAX)) {
        double sum = 0;
        for (uint32_t i = 0; i < dim; i++) {
            sum += (double)x[i] * (double)x[i];
        }
        length = sqrt(sum);
    }
    for (uint32_t i = 0; length > 0 && i < dim; i++) {
        x[i] = (float)((double)x[i] / length);
    }
}

static void to_floats(const om_kernels *kernels, uint32_t dtype, const uint8_t *from, float *to,
                      uint32_t dim)
{
    if (dtype == OMEN_F32) {
        memcpy(to, from, dim * sizeof(float));
    } else if (dtype == OMEN_F16 && (uintptr_t)from % sizeof(uint16_t) != 0) {
        for (uint32_t i = 0; i < dim; i++) {
            uint16_t half;
            memcpy(&half, from + (size_t)i * sizeof half, sizeof half);
            om_to_f32(kernels, OMEN_F16, &half, &to[i], 1);
        }
    } else {
        om_to_f32(kernels, dtype, from, to, dim);
    }
}

omen_status_t om_query_load(om_collection *c, om_ctx *ctx, const om_query_vector *from,
                            omen_error *err)
{
    uint32_t dim = c->options.dim;
    om_ctx_need need = {.floats = om_round_up(dim, 16), .hits = 2 * (from->k + OM_SLACK)};
    omen_status_t status = om_ctx_reserve(c->rt, ctx, &need, err);
    if (status != OMEN_OK) {
        return status;
    }
    to_floats(c->rt->kernels, from->dtype, from->vector, ctx->query, dim);
    if (!c->rt->kernels->finite_f32(ctx->query, dim)) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NOT_FINITE, from->item,
                            "%s %u: a component is NaN or infinite", from->what, from->item);
    }
    if (c->options.metric == OMEN_COSINE) {
        normalize(c->rt->kernels, ctx->query, dim);
    }
    return OMEN_OK;
}

static void store_hits(const job *j, const om_search *s, uint32_t q)
{
    uint32_t k = j->query->k;
    uint64_t *keys = j->hits->keys + (size_t)q * k;
    float *distances = j->hits->distances != NULL ? j->hits->distances + (size_t)q * k : NULL;
    for (uint32_t i = 0; i < k; i++) {
        bool there = i < s->size;
        keys[i] = there ? s->ctx->hits[i].key : OMEN_NONE;
        if (distances != NULL) {
            distances[i] = there ? s->ctx->hits[i].distance : INFINITY;
        }
    }
    if (j->hits->counts != NULL) {
        j->hits->counts[q] = s->size;
    }
    if (j->hits->flags != NULL) {
        j->hits->flags[q] = s->partial ? OMEN_HITS_PARTIAL : 0u;
    }
    if (j->hits->explain != NULL) {
        j->hits->explain[q] = s->explain;
    }
    if (j->hits->filters != NULL) {
        j->hits->filters[q] = s->filters;
    }
}

static omen_status_t run_query(const job *j, om_ctx *ctx, uint32_t q, omen_error *err)
{
    om_search s = {.c = j->c,
                   .snapshot = j->snapshot,
                   .ctx = ctx,
                   .stop = {.op = j->query->op, .deadline_ns = j->deadline_ns},
                   .flags = j->query->flags,
                   .k = j->query->k,
                   .ef = j->ef,
                   .rerank = j->rerank,
                   .cap = j->query->k + OM_SLACK,
                   .timed = j->hits->explain != NULL || j->hits->filters != NULL,
                   .estimates = j->hits->filters != NULL,
                   .filter = j->filter,
                   .err = err};
    om_query_vector vector = {.vector = (const uint8_t *)j->query->vectors + q * j->stride,
                              .dtype = j->dtype,
                              .k = j->query->k,
                              .item = q,
                              .what = "query"};
    omen_status_t status = om_query_load(j->c, ctx, &vector, err);
    if (status != OMEN_OK) {
        return status;
    }
    s.query = ctx->query;
    status = om_search_one(&s);
    if (status == OMEN_OK) {
        store_hits(j, &s, q);
    }
    return status;
}

static void fail_job(job *j, omen_status_t status, const omen_error *err)
{
    uint32_t first = 0;
    if (atomic_compare_exchange_strong(&j->failed, &first, 1)) {
        j->status = status;
        j->error = *err;
    }
}

static void query_task(void *context, uint32_t worker, uint32_t task)
{
    job *j = context;
    om_ctx *ctx = NULL;
    omen_error err;
    (void)worker;
    (void)task;
    omen_status_t status = om_ctx_acquire(j->c->rt, &ctx, &err);
    while (status == OMEN_OK && atomic_load_explicit(&j->failed, memory_order_relaxed) == 0) {
        uint32_t q = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
        if (q >= j->query->count) {
            break;
        }
        status = run_query(j, ctx, q, &err);
    }
    if (ctx != NULL) {
        om_ctx_release(ctx);
    }
    if (status != OMEN_OK) {
        fail_job(j, status, &err);
    }
}

static omen_status_t check_counts(const omen_query *q, const omen_hits *hits, omen_error *err)
{
    const uint32_t known = OMEN_EXACT | OMEN_PARTIAL_OK | OMEN_GRAPH_ONLY;
    if ((q->flags & ~known) != 0 || q->reserved != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "query flags: unknown bits 0x%x",
                       q->flags & ~known);
    }
    if (q->k < 1 || q->k > OMEN_MAX_K) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "k: %u is not in 1 to %u", q->k,
                       OMEN_MAX_K);
    }
    if (q->ef > OMEN_MAX_EF || q->rerank > OMEN_MAX_EF) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "ef %u or rerank %u is above %u",
                       q->ef, q->rerank, OMEN_MAX_EF);
    }
    if (q->count > OMEN_MAX_QUERIES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "count: %u is above the limit of %u", q->count, OMEN_MAX_QUERIES);
    }
    if (q->count != 0 && (q->vectors == NULL || hits->keys == NULL)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "%s: NULL with %u queries",
                       q->vectors == NULL ? "vectors" : "hits.keys", q->count);
    }
    return OMEN_OK;
}

static omen_status_t check_query(job *j, omen_error *err)
{
    const omen_query *q = j->query;
    const omen_options *o = &j->c->options;
    omen_status_t status = check_counts(q, j->hits, err);
    if (status != OMEN_OK) {
        return status;
    }
    j->dtype = q->dtype != 0 ? q->dtype : o->dtype;
    if (om_dtype_width(j->dtype) == 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "dtype: %u is not one of f32 (1), f16 (2), i8 (3), u8 (4)", q->dtype);
    }
    if (q->dim != o->dim) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_DIM_MISMATCH,
                       "dim: %u, the collection has %u", q->dim, o->dim);
    }
    uint64_t row = (uint64_t)o->dim * om_dtype_width(j->dtype);
    j->stride = q->stride != 0 ? q->stride : row;
    if (j->stride < row || j->stride > PTRDIFF_MAX / OMEN_MAX_QUERIES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "stride: %llu bytes for queries of %llu bytes",
                       (unsigned long long)j->stride, (unsigned long long)row);
    }
    return OMEN_OK;
}

/* Every version up to the newest one handed out is visible once its writer lets go of the
 * collection. */
static omen_status_t wait_visible(om_collection *c, uint64_t version, omen_error *err)
{
    if (version <= atomic_load(&c->version)) {
        return OMEN_OK;
    }
    uint64_t newest = atomic_load(&c->db->version);
    if (version > newest) {
        return om_fail(err, OMEN_OUT_OF_RANGE, OMEN_D_NONE,
                       "min_version: %llu was never handed out, the newest version is %llu",
                       (unsigned long long)version, (unsigned long long)newest);
    }
    om_mutex_lock(&c->write_mu);
    om_mutex_unlock(&c->write_mu);
    return OMEN_OK;
}

omen_status_t om_query_version(const omen_collection *handle, uint64_t min_version,
                               uint64_t *version, omen_error *err)
{
    const om_snapshot *snapshot = handle->snapshot;
    uint64_t now = 0;
    if (snapshot == NULL) {
        omen_status_t status = wait_visible(handle->c, min_version, err);
        if (status != OMEN_OK) {
            return status;
        }
        now = atomic_load(&handle->c->version);
    } else if (min_version > snapshot->version) {
        return om_fail(err, OMEN_OUT_OF_RANGE, OMEN_D_NONE,
                       "min_version: %llu is above %llu, the version of the snapshot",
                       (unsigned long long)min_version, (unsigned long long)snapshot->version);
    } else {
        now = snapshot->version;
    }
    *version = now > min_version ? now : min_version;
    return OMEN_OK;
}

uint64_t om_query_deadline(uint64_t timeout_us)
{
    uint64_t ns, deadline;
    if (timeout_us == 0 || __builtin_mul_overflow(timeout_us, UINT64_C(1000), &ns) ||
        __builtin_add_overflow(om_now_ns(), ns, &deadline)) {
        return 0;
    }
    return deadline;
}

static void run_job(job *j)
{
    om_executor *executor = j->c->rt->executor;
    uint32_t threads = j->query->threads == 0 ? executor->threads : j->query->threads;
    threads = om_min_u32(om_min_u32(threads, executor->threads), j->query->count);
    if (threads <= 1) {
        query_task(j, 0, 0);
    } else {
        executor->run(executor, query_task, j, threads);
    }
}

omen_status_t om_collection_search(omen_collection *handle, const omen_query *query,
                                   omen_hits *hits, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    job j = {.c = c, .query = query, .hits = hits, .snapshot = handle->snapshot};
    uint64_t rejections = om_rejections(c->rt);
    uint64_t version = 0;
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(check_query(&j, err));
    OM_TRY(om_filter_of(c, query->filter, &j.filter, err));
    j.deadline_ns = om_query_deadline(query->timeout_us);
    OM_TRY(om_query_version(handle, query->min_version, &version, err));
    if (query->count != 0) {
        j.ef = query->ef;
        j.rerank = query->rerank != 0 ? om_max_u32(query->rerank, query->k) : 0;
        run_job(&j);
        if (j.status != OMEN_OK) {
            if (err != NULL) {
                *err = j.error;
            }
            return om_explain_memory(c->rt, rejections, j.status, err);
        }
    }
    hits->version = version;
out:
    return status;
}
