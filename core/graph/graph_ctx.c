/* graph_ctx.c - the scratch of a search: visited marks, beam and the buffers of one hop.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "graph_int.h"

/* Room beyond the beam's capacity that the insert kernels may touch (simd.h). */
#define BEAM_SLACK 16u
#define BEAM_STEP 64u

static size_t beam_bytes(uint32_t cap)
{
    return (om_round_up(cap, 8) + BEAM_SLACK) * sizeof(uint64_t);
}

static void free_buffers(om_graph_ctx *ctx)
{
    om_alloc_put(ctx->alloc, ctx->ids, OM_GATHER_MAX * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(ctx->alloc, ctx->flipped, OM_GATHER_MAX * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(ctx->alloc, ctx->distance, OM_GATHER_MAX * sizeof(int32_t), OM_CACHE_LINE);
    om_alloc_put(ctx->alloc, ctx->packed, OM_GATHER_MAX * sizeof(uint64_t), OM_CACHE_LINE);
}

omen_status_t om_graph_ctx_create(const om_alloc *alloc, om_graph_ctx **out, omen_error *err)
{
    om_graph_ctx *ctx = om_alloc_zero(alloc, 1, sizeof *ctx, OM_CACHE_LINE);
    if (ctx == NULL) {
        return om_fail_memory(err, "search context", sizeof *ctx);
    }
    ctx->alloc = alloc;
    ctx->ids = om_alloc_zero(alloc, OM_GATHER_MAX, sizeof(uint32_t), OM_CACHE_LINE);
    ctx->flipped = om_alloc_zero(alloc, OM_GATHER_MAX, sizeof(uint32_t), OM_CACHE_LINE);
    ctx->distance = om_alloc_zero(alloc, OM_GATHER_MAX, sizeof(int32_t), OM_CACHE_LINE);
    ctx->packed = om_alloc_zero(alloc, OM_GATHER_MAX, sizeof(uint64_t), OM_CACHE_LINE);
    if (ctx->ids == NULL || ctx->flipped == NULL || ctx->distance == NULL || ctx->packed == NULL) {
        om_graph_ctx_free(ctx);
        return om_fail_memory(err, "search context", OM_GATHER_MAX * 20u);
    }
    *out = ctx;
    return OMEN_OK;
}

void om_graph_ctx_free(om_graph_ctx *ctx)
{
    if (ctx == NULL) {
        return;
    }
    om_graph_ctx_free(ctx->upper);
    free_buffers(ctx);
    om_alloc_put(ctx->alloc, ctx->visited, ctx->visited_size, OM_CACHE_LINE);
    om_alloc_put(ctx->alloc, ctx->beam, beam_bytes(ctx->beam_cap), OM_CACHE_LINE);
    om_alloc_put(ctx->alloc, ctx, sizeof *ctx, OM_CACHE_LINE);
}

static omen_status_t grow_visited(om_graph_ctx *ctx, uint32_t slots, omen_error *err)
{
    if (ctx->visited_size > slots) {
        return OMEN_OK;
    }
    /* A quarter beyond, so that a growing collection does not pay at every micro-batch. */
    size_t size = om_round_up((size_t)slots + slots / 4 + 1, 4096);
    uint8_t *marks = om_alloc_zero(ctx->alloc, size, 1, OM_CACHE_LINE);
    if (marks == NULL) {
        return om_fail_memory(err, "visited marks", size);
    }
    om_alloc_put(ctx->alloc, ctx->visited, ctx->visited_size, OM_CACHE_LINE);
    ctx->visited = marks;
    ctx->visited_size = size;
    ctx->epoch = 0;
    return OMEN_OK;
}

static omen_status_t grow_beam(om_graph_ctx *ctx, uint32_t ef, omen_error *err)
{
    if (ctx->beam != NULL && ctx->beam_cap >= ef) {
        return OMEN_OK;
    }
    uint32_t cap = (uint32_t)om_round_up(ef, BEAM_STEP);
    uint64_t *beam = om_alloc_get(ctx->alloc, beam_bytes(cap), OM_CACHE_LINE);
    if (beam == NULL) {
        return om_fail_memory(err, "beam", beam_bytes(cap));
    }
    om_alloc_put(ctx->alloc, ctx->beam, beam_bytes(ctx->beam_cap), OM_CACHE_LINE);
    ctx->beam = beam;
    ctx->beam_cap = cap;
    return OMEN_OK;
}

omen_status_t om_graph_ctx_reserve(om_graph_ctx *ctx, const om_graph_view *view, uint32_t ef,
                                   omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(grow_visited(ctx, view->count, err));
    OM_TRY(grow_beam(ctx, om_max_u32(ef, OM_ENTRY_WANTED), err));
    if (view->entry.upper_view != NULL) {
        if (ctx->upper == NULL) {
            OM_TRY(om_graph_ctx_create(ctx->alloc, &ctx->upper, err));
        }
        OM_TRY(om_graph_ctx_reserve(ctx->upper, view->entry.upper_view, OM_ENTRY_WANTED, err));
    }
out:
    return status;
}

size_t om_graph_ctx_bytes(const om_graph_ctx *ctx)
{
    return sizeof *ctx + ctx->visited_size + beam_bytes(ctx->beam_cap) + OM_GATHER_MAX * 20u +
           (ctx->upper != NULL ? om_graph_ctx_bytes(ctx->upper) : 0);
}

void om_ctx_begin(om_graph_ctx *ctx, uint32_t count)
{
    om_assert(ctx->visited_size > count);
    ctx->epoch = (uint8_t)(ctx->epoch + 1);
    if (ctx->epoch == 0) {
        /* One byte a slot and a sweep every 255 searches: half the cache of 16-bit epochs. */
        memset(ctx->visited, 0, ctx->visited_size);
        ctx->epoch = 1;
    }
    /* The mark that stands in for padding and for slots newer than the view: always seen. */
    ctx->visited[count] = ctx->epoch;
}
