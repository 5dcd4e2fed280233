/* engine_runtime.c - what databases share: allocator, budget, log, threads, search contexts, the
 * indexer.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

enum { MAX_THREADS = 1024 };

void om_runtime_ref(omen_runtime *rt)
{
    atomic_fetch_add_explicit(&rt->refs, 1, memory_order_relaxed);
}

/* The block of the runtime itself comes from its allocator, outside of the budget that it
 * contains. */
static om_alloc plain_alloc(const omen_runtime *rt)
{
    return (om_alloc){.fns = rt->alloc.fns};
}

void om_runtime_unref(omen_runtime *rt)
{
    if (atomic_fetch_sub_explicit(&rt->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    om_indexer_free(rt->indexer);
    om_pool_free(rt->pool);
    om_words_drop(rt);
    om_epochs_free(rt);
    om_assert(atomic_load(&rt->budget.used) == 0);
    om_alloc alloc = plain_alloc(rt);
    om_alloc_put(&alloc, rt, sizeof *rt, _Alignof(omen_runtime));
}

static omen_status_t check_options(const omen_runtime_options *opt, omen_error *err)
{
    if (opt->flags != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "runtime flags: unknown bits 0x%x",
                       opt->flags);
    }
    if (opt->threads > MAX_THREADS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "threads: %u is above the limit of %d", opt->threads, MAX_THREADS);
    }
    if (opt->log_level < OMEN_LOG_OFF || opt->log_level > OMEN_LOG_DEBUG) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "log_level: %d is not one of 0 to %d", opt->log_level, OMEN_LOG_DEBUG);
    }
    if ((opt->allocator.alloc == NULL) != (opt->allocator.free == NULL)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "allocator: alloc and free are both given or both NULL");
    }
    return OMEN_OK;
}

static omen_status_t start(omen_runtime *rt, omen_error *err)
{
    omen_status_t status = om_epochs_init(rt, err);
    if (status != OMEN_OK) {
        return status;
    }
    OM_TRY(om_pool_create(&rt->alloc, rt->threads, &rt->pool, err));
    rt->executor = om_pool_executor(rt->pool);
    OM_TRY(om_indexer_create(rt, &rt->indexer, err));
out:
    if (status != OMEN_OK) {
        om_pool_free(rt->pool);
        om_epochs_free(rt);
    }
    return status;
}

omen_status_t om_runtime_create(const omen_runtime_options *opt, omen_runtime **out,
                                omen_error *err)
{
    omen_status_t status = check_options(opt, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_alloc alloc = {.fns = opt->allocator};
    omen_runtime *rt = om_alloc_zero(&alloc, 1, sizeof *rt, _Alignof(omen_runtime));
    if (rt == NULL) {
        return om_fail_memory(err, "runtime", sizeof *rt);
    }
    atomic_init(&rt->refs, 1);
    rt->handle = (om_handle){.magic = OM_MAGIC_RUNTIME, .generation = om_fork_generation()};
    rt->budget.limit = opt->memory_limit;
    rt->alloc = (om_alloc){.fns = opt->allocator, .budget = &rt->budget};
    rt->log = (om_log){.fn = opt->log, .ctx = opt->log_ctx, .level = opt->log_level};
    rt->threads = opt->threads != 0 ? opt->threads : om_min_u32(om_cpu_count(), MAX_THREADS);
    rt->kernels = om_kernels_get();
    status = start(rt, err);
    if (status != OMEN_OK) {
        om_alloc_put(&alloc, rt, sizeof *rt, _Alignof(omen_runtime));
        return status;
    }
    om_log_write(&rt->log, OMEN_LOG_INFO, "engine",
                 "runtime: %u threads, %s kernels, limit %llu bytes", rt->threads,
                 rt->kernels->name, (unsigned long long)opt->memory_limit);
    *out = rt;
    return OMEN_OK;
}

void om_runtime_free(omen_runtime *rt)
{
    rt->handle.magic = OM_MAGIC_FREED;
    om_runtime_unref(rt);
}

void om_runtime_stats(const omen_runtime *rt, omen_runtime_stats *out)
{
    out->threads = rt->threads;
    out->memory_limit = rt->budget.limit;
    out->memory_used = atomic_load_explicit(&rt->budget.used, memory_order_relaxed);
    out->memory_rejections = om_rejections(rt);
}

uint64_t om_rejections(const omen_runtime *rt)
{
    return atomic_load_explicit(&rt->budget.rejections, memory_order_relaxed);
}

omen_status_t om_explain_memory(omen_runtime *rt, uint64_t rejections, omen_status_t status,
                                omen_error *err)
{
    if (status == OMEN_RESOURCE_EXHAUSTED && err != NULL && err->detail == OMEN_D_NO_MEMORY &&
        om_rejections(rt) != rejections) {
        err->detail = OMEN_D_BUDGET;
    }
    return status;
}

omen_status_t om_op_create(omen_op **out, omen_error *err)
{
    om_alloc alloc = {.budget = NULL};
    omen_op *op = om_alloc_zero(&alloc, 1, sizeof *op, _Alignof(omen_op));
    if (op == NULL) {
        return om_fail_memory(err, "op", sizeof *op);
    }
    op->magic = OM_MAGIC_OP;
    *out = op;
    return OMEN_OK;
}

void om_op_free(omen_op *op)
{
    om_alloc alloc = {.budget = NULL};
    op->magic = OM_MAGIC_FREED;
    om_alloc_put(&alloc, op, sizeof *op, _Alignof(omen_op));
}
