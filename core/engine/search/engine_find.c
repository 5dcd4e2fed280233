/* engine_find.c - one search of several parts: legs, fusion, bounds, groups, output.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "engine_find.h"

/* Lists of several legs are this long at least; with groups they grow until all groups are full. */
enum { LEAST_LIST = 100, GROWTH = 4 };
#define DEFAULT_RANK_CONSTANT 60.0f

static bool by_distance(const om_find *f)
{
    return f->in->leg_count == 1 && f->in->legs[0].kind != OMEN_LEG_TEXT;
}

/* ---- The lists of the legs ----------------------------------------------------------------------- */
static void set_limits(om_find *f, uint32_t factor)
{
    uint64_t least = (uint64_t)f->wanted * f->group_size;
    if (f->in->leg_count > 1 || f->group_by != NULL) {
        least = least < LEAST_LIST ? LEAST_LIST : least;
    }
    for (uint32_t i = 0; i < f->in->leg_count; i++) {
        const omen_leg *in = f->leg[i].in;
        uint64_t left_out = in->kind == OMEN_LEG_LIKE ? in->key_count : 0;
        uint64_t limit = in->limit != 0 ? in->limit : least * factor;
        f->leg[i].limit = (uint32_t)om_min_u64(limit, OMEN_MAX_K - left_out);
    }
}

/* Whether a longer list is to be had: of a leg whose length is not the caller's, and that was full. */
static bool can_grow(const om_find *f)
{
    for (uint32_t i = 0; i < f->in->leg_count && !f->partial; i++) {
        const om_find_leg *leg = &f->leg[i];
        uint64_t left_out = leg->in->kind == OMEN_LEG_LIKE ? leg->in->key_count : 0;
        if (leg->in->limit == 0 && leg->count == leg->limit && leg->limit < OMEN_MAX_K - left_out) {
            return true;
        }
    }
    return false;
}

static omen_status_t run_legs(om_find *f)
{
    for (uint32_t i = 0; i < f->in->leg_count; i++) {
        om_find_leg *leg = &f->leg[i];
        leg->count = 0;
        if (f->partial) {
            continue;
        }
        omen_status_t status =
            leg->in->kind == OMEN_LEG_TEXT ? om_leg_text(f, leg) : om_leg_vector(f, leg);
        if (status != OMEN_OK) {
            return status;
        }
    }
    if (f->in->leg_count > 1) {
        bool empty = f->filter != NULL && f->filters.matches == 0;
        f->explain.plan = empty ? OMEN_PLAN_EMPTY : OMEN_PLAN_HYBRID;
    }
    return OMEN_OK;
}

static omen_status_t fused_room(om_find *f, uint32_t room)
{
    const om_alloc *alloc = &f->c->rt->alloc;
    if (room <= f->fused_room) {
        return OMEN_OK;
    }
    om_ranked *fused = om_alloc_get(alloc, room * sizeof *fused, OM_CACHE_LINE);
    if (fused == NULL) {
        return om_fail_memory(f->err, "fused hits", room * sizeof *fused);
    }
    om_alloc_put(alloc, f->fused, f->fused_room * sizeof *fused, OM_CACHE_LINE);
    f->fused = fused;
    f->fused_room = room;
    return OMEN_OK;
}

static omen_status_t fuse(om_find *f)
{
    om_ranked_list lists[OMEN_MAX_LEGS];
    uint32_t room = 1;
    for (uint32_t i = 0; i < f->in->leg_count; i++) {
        const omen_leg *in = f->leg[i].in;
        lists[i] = (om_ranked_list){.items = f->leg[i].items,
                                    .count = f->leg[i].count,
                                    .weight = in->weight != 0 ? in->weight : 1,
                                    .distances = in->kind != OMEN_LEG_TEXT};
        room += f->leg[i].count;
    }
    omen_status_t status = fused_room(f, room);
    if (status != OMEN_OK) {
        return status;
    }
    float constant = f->in->rank_constant;
    om_fuse_options options = {.fusion = f->in->fusion != 0 ? f->in->fusion : OMEN_FUSE_RRF,
                               .rank_constant = constant != 0 ? constant : DEFAULT_RANK_CONSTANT};
    f->list = f->fused;
    return om_fuse(&f->c->rt->alloc, lists, f->in->leg_count, &options, f->fused, &f->list_count,
                   f->err);
}

/* One list, without what is beyond the bounds. */
static omen_status_t make_list(om_find *f)
{
    omen_status_t status = OMEN_OK;
    uint64_t begun = om_find_clock(f);
    f->list = f->leg[0].items;
    f->list_count = f->leg[0].count;
    if (f->in->leg_count > 1) {
        OM_TRY(fuse(f));
    }
    if ((f->in->flags & OMEN_FIND_MAX_DISTANCE) != 0) {
        while (f->list_count != 0 && f->list[f->list_count - 1].value > f->in->max_distance) {
            f->list_count--;
        }
    }
    if ((f->in->flags & OMEN_FIND_MIN_SCORE) != 0) {
        while (f->list_count != 0 && f->list[f->list_count - 1].value < f->in->min_score) {
            f->list_count--;
        }
    }
    f->filters.fuse_ns += om_find_clock(f) - begun;
out:
    return status;
}

/* ---- Output -------------------------------------------------------------------------------------- */
static void clear_hits(const om_find *f)
{
    omen_hits *hits = f->hits;
    uint32_t room = f->in->k * f->group_size;
    for (uint32_t i = 0; i < room; i++) {
        hits->keys[i] = OMEN_NONE;
        if (hits->distances != NULL) {
            hits->distances[i] = INFINITY;
        }
        if (hits->scores != NULL) {
            hits->scores[i] = -INFINITY;
        }
        if (hits->groups != NULL) {
            hits->groups[i] = UINT32_MAX;
        }
    }
}

static void write_list(om_find *f)
{
    omen_hits *hits = f->hits;
    uint32_t n = 0;
    for (uint32_t i = f->in->offset; i < f->list_count && n < f->in->k; i++, n++) {
        hits->keys[n] = f->list[i].key;
        if (hits->distances != NULL && by_distance(f)) {
            hits->distances[n] = f->list[i].value;
        }
        if (hits->scores != NULL && !by_distance(f)) {
            hits->scores[n] = f->list[i].value;
        }
    }
    f->list_count = n;
}

static void write_report(const om_find *f)
{
    omen_hits *hits = f->hits;
    if (hits->counts != NULL) {
        hits->counts[0] = f->list_count;
    }
    if (hits->flags != NULL) {
        hits->flags[0] = f->partial ? OMEN_HITS_PARTIAL : 0u;
    }
    if (hits->explain != NULL) {
        hits->explain[0] = f->explain;
    }
    if (hits->filters != NULL) {
        hits->filters[0] = f->filters;
    }
}

/* Legs, list, hits; with groups again with longer lists, until longer ones would change nothing. */
static omen_status_t find_pinned(om_find *f)
{
    omen_status_t status = OMEN_OK;
    bool more = true;
    for (uint32_t factor = 1; more; factor *= GROWTH) {
        set_limits(f, factor);
        OM_TRY(run_legs(f));
        more = can_grow(f);
        OM_TRY(make_list(f));
        clear_hits(f);
        if (f->group_by == NULL) {
            write_list(f);
            break;
        }
        bool unfilled = false;
        uint32_t listed = 0;
        for (uint32_t i = 0; i < f->in->leg_count; i++) {
            listed += f->leg[i].count;
        }
        /* What the bounds cut off does not come back with longer lists. */
        bool cut = f->in->leg_count == 1 && f->list_count < listed;
        OM_TRY(om_find_groups(f, &unfilled));
        more = more && unfilled && !cut;
    }
    write_report(f);
out:
    return status;
}

static void count_searches(const om_find *f)
{
    om_shard *shard = &f->c->shards[f->ctx->index % OM_SHARDS];
    atomic_fetch_add_explicit(&shard->searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->distances, f->counters.distances, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->hops, f->counters.hops, memory_order_relaxed);
}

static void release(om_find *f)
{
    const om_alloc *alloc = &f->c->rt->alloc;
    for (uint32_t i = 0; i < OMEN_MAX_LEGS; i++) {
        om_find_leg *leg = &f->leg[i];
        om_textquery_free(leg->query);
        om_alloc_put(alloc, leg->mean, f->c->options.dim * sizeof *leg->mean, OM_CACHE_LINE);
        om_alloc_put(alloc, leg->items, leg->room * sizeof *leg->items, OM_CACHE_LINE);
    }
    om_alloc_put(alloc, f->segments, f->segment_room * sizeof *f->segments, OM_CACHE_LINE);
    om_alloc_put(alloc, f->sources, f->source_room * sizeof *f->sources, OM_CACHE_LINE);
    om_alloc_put(alloc, f->fused, f->fused_room * sizeof *f->fused, OM_CACHE_LINE);
    om_values_free(&f->groups);
    om_moment_free(&f->moment);
}

static omen_status_t run(om_find *f)
{
    omen_status_t status = om_ctx_acquire(f->c->rt, &f->ctx, f->err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(f->c->rt, f->ctx);
    status = find_pinned(f);
    om_ctx_unpin(f->ctx);
    count_searches(f);
    om_ctx_release(f->ctx);
    release(f);
    return status;
}

omen_status_t om_collection_find(omen_collection *handle, const omen_request *in, omen_hits *hits,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    uint64_t version = 0;
    om_find f = {.c = c,
                 .handle = handle,
                 .in = in,
                 .hits = hits,
                 .groups = {.alloc = &c->rt->alloc},
                 .moment = {.alloc = &c->rt->alloc},
                 .timed = hits->explain != NULL || hits->filters != NULL,
                 .err = err};
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(om_find_check(&f));
    OM_TRY(om_filter_of(c, in->filter, &f.filter, err));
    f.stop = (om_stop){.op = in->op, .deadline_ns = om_query_deadline(in->timeout_us)};
    OM_TRY(om_query_version(handle, in->min_version, &version, err));
    OM_TRY(run(&f));
    hits->version = version;
out:
    return om_explain_memory(c->rt, rejections, status, err);
}
