/* engine_epoch.c - search contexts, and the epochs by which a reader that takes no lock keeps
 * what it reads.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A reader writes the current epoch into its context before it loads a pointer, and clears it
 * when it is done. Whoever makes something unreachable takes the epoch at that time as a tag and
 * moves the clock on; the thing may go once no context holds an epoch up to the tag. All of it is
 * sequentially consistent: a reader that got the old pointer had written its epoch before the
 * pointer was replaced, so the look at the contexts, which comes later, finds it. */
#include <string.h>

#include "engine_int.h"
#include "textindex.h"

omen_status_t om_epochs_init(omen_runtime *rt, omen_error *err)
{
    atomic_init(&rt->epochs.now, 1);
    atomic_init(&rt->epochs.first, NULL);
    return om_mutex_init(&rt->epochs.grow, OM_RANK_CTX, err);
}

static void free_ctx(const om_alloc *alloc, om_ctx *ctx)
{
    om_graph_ctx_free(ctx->graph);
    om_alloc_put(alloc, ctx->query, ctx->query_floats * sizeof(float), OM_CACHE_LINE);
    om_alloc_put(alloc, ctx->probe, ctx->probe_bytes, OM_CACHE_LINE);
    om_alloc_put(alloc, ctx->beam, (size_t)ctx->beam_cap * 3 * sizeof(uint64_t), OM_CACHE_LINE);
    om_alloc_put(alloc, ctx->hits, ctx->hits_cap * sizeof(om_hit), OM_CACHE_LINE);
    om_alloc_put(alloc, ctx->bits, ctx->bit_words * sizeof(uint64_t), OM_CACHE_LINE);
    om_textscratch_free(ctx->text);
}

void om_epochs_free(omen_runtime *rt)
{
    om_ctx_chunk *chunk = atomic_load_explicit(&rt->epochs.first, memory_order_acquire);
    while (chunk != NULL) {
        om_ctx_chunk *next = atomic_load_explicit(&chunk->next, memory_order_acquire);
        for (uint32_t i = 0; i < OM_CTX_CHUNK; i++) {
            free_ctx(&rt->alloc, &chunk->ctx[i]);
        }
        om_alloc_put(&rt->alloc, chunk, sizeof *chunk, _Alignof(om_ctx_chunk));
        chunk = next;
    }
    om_mutex_destroy(&rt->epochs.grow);
}

static bool try_take(om_ctx *ctx)
{
    uint32_t idle = 0;
    return atomic_load_explicit(&ctx->busy, memory_order_relaxed) == 0 &&
           atomic_compare_exchange_strong_explicit(&ctx->busy, &idle, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static om_ctx *take_from(om_ctx_chunk *chunk, uint32_t start)
{
    for (uint32_t i = 0; i < OM_CTX_CHUNK; i++) {
        om_ctx *ctx = &chunk->ctx[(start + i) % OM_CTX_CHUNK];
        if (try_take(ctx)) {
            return ctx;
        }
    }
    return NULL;
}

static omen_status_t add_chunk(omen_runtime *rt, om_ctx **out, omen_error *err)
{
    om_ctx_chunk *chunk = om_alloc_zero(&rt->alloc, 1, sizeof *chunk, _Alignof(om_ctx_chunk));
    if (chunk == NULL) {
        return om_fail_memory(err, "search contexts", sizeof *chunk);
    }
    atomic_init(&chunk->ctx[0].busy, 1);
    *out = &chunk->ctx[0];
    om_mutex_lock(&rt->epochs.grow);
    om_ctx_chunk *_Atomic *at = &rt->epochs.first;
    uint32_t index = 0;
    for (om_ctx_chunk *next; (next = atomic_load(at)) != NULL; at = &next->next) {
        index += OM_CTX_CHUNK;
    }
    for (uint32_t i = 0; i < OM_CTX_CHUNK; i++) {
        chunk->ctx[i].index = index + i;
    }
    atomic_store(at, chunk);
    om_mutex_unlock(&rt->epochs.grow);
    return OMEN_OK;
}

omen_status_t om_ctx_acquire(omen_runtime *rt, om_ctx **out, omen_error *err)
{
    /* Threads have stacks far apart: the address spreads them over the contexts, and brings a
     * thread back to the one whose scratch is warm in its cache. */
    uint32_t start = (uint32_t)(om_mix64((uint64_t)(uintptr_t)&start >> 16) >> 32);
    om_ctx_chunk *chunk = atomic_load(&rt->epochs.first);
    for (; chunk != NULL; chunk = atomic_load(&chunk->next)) {
        om_ctx *ctx = take_from(chunk, start);
        if (ctx != NULL) {
            *out = ctx;
            return OMEN_OK;
        }
    }
    return add_chunk(rt, out, err);
}

void om_ctx_release(om_ctx *ctx)
{
    om_assert(atomic_load(&ctx->epoch) == 0);
    atomic_store_explicit(&ctx->busy, 0, memory_order_release);
}

void om_ctx_pin(omen_runtime *rt, om_ctx *ctx)
{
    atomic_store(&ctx->epoch, atomic_load(&rt->epochs.now));
}

void om_ctx_unpin(om_ctx *ctx)
{
    atomic_store(&ctx->epoch, 0);
}

uint64_t om_epoch_tag(omen_runtime *rt)
{
    return atomic_fetch_add(&rt->epochs.now, 1);
}

bool om_epoch_passed(omen_runtime *rt, uint64_t tag)
{
    om_ctx_chunk *chunk = atomic_load(&rt->epochs.first);
    for (; chunk != NULL; chunk = atomic_load(&chunk->next)) {
        for (uint32_t i = 0; i < OM_CTX_CHUNK; i++) {
            uint64_t epoch = atomic_load(&chunk->ctx[i].epoch);
            if (epoch != 0 && epoch <= tag) {
                return false;
            }
        }
    }
    return true;
}

uint64_t om_ctx_bytes(omen_runtime *rt)
{
    uint64_t sum = 0;
    om_ctx_chunk *chunk = atomic_load(&rt->epochs.first);
    for (; chunk != NULL; chunk = atomic_load(&chunk->next)) {
        sum += sizeof *chunk;
        for (uint32_t i = 0; i < OM_CTX_CHUNK; i++) {
            sum += atomic_load_explicit(&chunk->ctx[i].bytes, memory_order_relaxed);
        }
    }
    return sum;
}

/* Replaces a block by a larger one; its content is scratch and is not kept. */
static omen_status_t widen(const om_alloc *alloc, void **block, size_t old_bytes, size_t bytes,
                           omen_error *err)
{
    void *wider = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
    if (wider == NULL) {
        return om_fail_memory(err, "search scratch", bytes);
    }
    om_alloc_put(alloc, *block, old_bytes, OM_CACHE_LINE);
    *block = wider;
    return OMEN_OK;
}

static omen_status_t reserve_arrays(const om_alloc *alloc, om_ctx *ctx, const om_ctx_need *need,
                                    omen_error *err)
{
    omen_status_t status = OMEN_OK;
    void *block;
    if (need->floats > ctx->query_floats) {
        block = ctx->query;
        OM_TRY(widen(alloc, &block, ctx->query_floats * sizeof(float), need->floats * sizeof(float),
                     err));
        ctx->query = block;
        ctx->query_floats = need->floats;
    }
    if (need->probe_bytes > ctx->probe_bytes) {
        block = ctx->probe;
        OM_TRY(widen(alloc, &block, ctx->probe_bytes, need->probe_bytes, err));
        ctx->probe = block;
        ctx->probe_bytes = need->probe_bytes;
    }
    if (need->beam > ctx->beam_cap) {
        /* Three parts: the scan's beam, a second input of a merge, and its result. */
        uint32_t cap = (uint32_t)om_round_up(need->beam, 64);
        block = ctx->beam;
        OM_TRY(widen(alloc, &block, (size_t)ctx->beam_cap * 3 * sizeof(uint64_t),
                     (size_t)cap * 3 * sizeof(uint64_t), err));
        ctx->beam = block;
        ctx->beam_cap = cap;
    }
    if (need->hits > ctx->hits_cap) {
        block = ctx->hits;
        OM_TRY(
            widen(alloc, &block, ctx->hits_cap * sizeof(om_hit), need->hits * sizeof(om_hit), err));
        ctx->hits = block;
        ctx->hits_cap = need->hits;
    }
out:
    return status;
}

omen_status_t om_ctx_reserve(omen_runtime *rt, om_ctx *ctx, const om_ctx_need *need,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (ctx->graph == NULL) {
        OM_TRY(om_graph_ctx_create(&rt->alloc, &ctx->graph, err));
    }
    OM_TRY(reserve_arrays(&rt->alloc, ctx, need, err));
out:
    om_ctx_note_bytes(ctx);
    return status;
}

void om_ctx_note_bytes(om_ctx *ctx)
{
    atomic_store_explicit(&ctx->bytes,
                          (ctx->graph != NULL ? om_graph_ctx_bytes(ctx->graph) : 0) +
                              (ctx->text != NULL ? om_textscratch_bytes(ctx->text) : 0) +
                              ctx->query_floats * sizeof(float) + ctx->probe_bytes +
                              (uint64_t)ctx->beam_cap * 3 * sizeof(uint64_t) +
                              ctx->hits_cap * sizeof(om_hit) + ctx->bit_words * sizeof(uint64_t),
                          memory_order_relaxed);
}

omen_status_t om_ctx_bits(omen_runtime *rt, om_ctx *ctx, size_t words, omen_error *err)
{
    void *block = ctx->bits;
    if (words <= ctx->bit_words) {
        return OMEN_OK;
    }
    words =
        om_round_up(words + words / 8, 8); /* rows come, and it shall not be made anew each time */
    omen_status_t status =
        widen(&rt->alloc, &block, ctx->bit_words * sizeof(uint64_t), words * sizeof(uint64_t), err);
    if (status == OMEN_OK) {
        ctx->bits = block;
        ctx->bit_words = words;
        om_ctx_note_bytes(ctx);
    }
    return status;
}

omen_status_t om_ctx_text(omen_runtime *rt, om_ctx *ctx, omen_error *err)
{
    return ctx->text != NULL ? OMEN_OK : om_textscratch_create(&rt->alloc, &ctx->text, err);
}
