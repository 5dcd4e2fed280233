/* engine_legs.c - legs by vector: one that is given, or the mean of some items.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_find.h"

omen_status_t om_find_origin(om_find *f, om_segment *segment, uint32_t *out)
{
    for (uint32_t i = f->segment_count; i-- != 0;) {
        if (f->segments[i] == segment) {
            *out = i;
            return OMEN_OK;
        }
    }
    if (f->segment_count == f->segment_room) {
        uint32_t room = f->segment_room != 0 ? f->segment_room * 2 : 16;
        om_segment **grown =
            om_alloc_grow(&f->c->rt->alloc, f->segments, f->segment_room * sizeof *grown,
                          room * sizeof *grown, OM_CACHE_LINE);
        if (grown == NULL) {
            return om_fail_memory(f->err, "segments of a search", room * sizeof *grown);
        }
        f->segments = grown;
        f->segment_room = room;
    }
    *out = f->segment_count;
    f->segments[f->segment_count++] = segment;
    return OMEN_OK;
}

omen_status_t om_leg_room(om_find *f, om_find_leg *leg, uint32_t room)
{
    if (room <= leg->room) {
        return OMEN_OK;
    }
    om_ranked *items = om_alloc_get(&f->c->rt->alloc, room * sizeof *items, OM_CACHE_LINE);
    if (items == NULL) {
        return om_fail_memory(f->err, "hits of a leg", room * sizeof *items);
    }
    om_alloc_put(&f->c->rt->alloc, leg->items, leg->room * sizeof *items, OM_CACHE_LINE);
    leg->items = items;
    leg->room = room;
    return OMEN_OK;
}

/* ---- The mean of some items ---------------------------------------------------------------------- */
static omen_status_t add_vector(om_find *f, om_place place, double *sum, float *row)
{
    om_segment *seg = place.segment;
    const om_view *view = om_view_load(seg);
    uint32_t dim = seg->options.dim;
    if (view->mapped != NULL) {
        omen_status_t status =
            om_mapped_touch(view->mapped, OM_TOUCH_VECTORS, place.slot, 1, f->err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    om_to_f32(seg->rt->kernels, seg->options.dtype,
              view->vectors + (size_t)place.slot * seg->layout.row_bytes, row, dim);
    for (uint32_t i = 0; i < dim; i++) {
        sum[i] += (double)row[i];
    }
    return OMEN_OK;
}

static omen_status_t add_vectors(om_find *f, const om_find_leg *leg, double *sum, float *row)
{
    omen_status_t status = OMEN_OK;
    om_rwlock_read(&f->c->ids_mu);
    om_reader from =
        om_reader_of(f->handle); /* with ids_mu held each item has one live row in it */
    for (uint64_t i = 0; i < leg->in->key_count && status == OMEN_OK; i++) {
        om_place place;
        status = om_reader_find(&from, leg->in->keys[i], &place, f->err);
        if (status == OMEN_OK && place.segment != NULL) {
            status = add_vector(f, place, sum, row);
        } else if (status == OMEN_OK) {
            status = om_fail_item(f->err, OMEN_NOT_FOUND, OMEN_D_NONE, i,
                                  "leg %u: no item with key %llu", (uint32_t)(leg - f->leg),
                                  (unsigned long long)leg->in->keys[i]);
        }
    }
    om_rwlock_unlock(&f->c->ids_mu);
    return status;
}

static omen_status_t make_mean(om_find *f, om_find_leg *leg)
{
    const om_alloc *alloc = &f->c->rt->alloc;
    uint32_t dim = f->c->options.dim;
    omen_status_t status = OMEN_OK;
    if (leg->mean != NULL) {
        return OMEN_OK;
    }
    double *sum = om_alloc_zero(alloc, dim, sizeof *sum, OM_CACHE_LINE);
    float *mean = om_alloc_get(alloc, dim * sizeof *mean, OM_CACHE_LINE);
    if (sum == NULL || mean == NULL) {
        status = om_fail_memory(f->err, "mean of vectors", dim * sizeof *sum);
    } else {
        status = add_vectors(f, leg, sum, mean);
    }
    for (uint32_t i = 0; status == OMEN_OK && i < dim; i++) {
        mean[i] = (float)(sum[i] / (double)leg->in->key_count);
    }
    om_alloc_put(alloc, sum, dim * sizeof *sum, OM_CACHE_LINE);
    leg->mean = mean; /* given back with the search */
    return status;
}

/* ---- Searching ----------------------------------------------------------------------------------- */
static bool is_left_out(const om_find_leg *leg, uint64_t key)
{
    for (uint64_t i = 0; leg->in->kind == OMEN_LEG_LIKE && i < leg->in->key_count; i++) {
        if (leg->in->keys[i] == key) {
            return true;
        }
    }
    return false;
}

static omen_status_t take_hits(om_find *f, om_find_leg *leg, const om_search *s)
{
    leg->count = 0;
    for (uint32_t i = 0; i < s->size && leg->count < leg->limit; i++) {
        const om_hit *hit = &s->ctx->hits[i];
        om_ranked *item = &leg->items[leg->count];
        if (is_left_out(leg, hit->key)) {
            continue;
        }
        *item = (om_ranked){.key = hit->key, .value = hit->distance, .slot = hit->slot};
        omen_status_t status = om_find_origin(f, hit->segment, &item->origin);
        if (status != OMEN_OK) {
            return status;
        }
        leg->count++;
    }
    return OMEN_OK;
}

static void note(om_find *f, const om_search *s)
{
    omen_explain *to = &f->explain;
    f->counters.distances += s->counters.distances;
    f->counters.hops += s->counters.hops;
    f->searches++;
    f->partial |= s->partial;
    to->plan = s->explain.plan;
    to->ef = s->explain.ef;
    to->distances += s->counters.distances;
    to->hops += s->counters.hops;
    to->scanned += s->explain.scanned;
    to->reranked += s->explain.reranked;
    to->graph_ns += s->explain.graph_ns;
    to->scan_ns += s->explain.scan_ns;
    to->rerank_ns += s->explain.rerank_ns;
    f->filters.tests += s->filters.tests;
    f->filters.filter_ns += s->filters.filter_ns;
    f->filters.matches = s->filters.matches;
    f->filters.estimated = s->filters.estimated;
    f->filters.selectivity = s->filters.selectivity;
}

omen_status_t om_leg_vector(om_find *f, om_find_leg *leg)
{
    omen_status_t status = OMEN_OK;
    const omen_leg *in = leg->in;
    uint32_t left_out = in->kind == OMEN_LEG_LIKE ? (uint32_t)in->key_count : 0;
    uint32_t k = om_min_u32(leg->limit + left_out, OMEN_MAX_K);
    om_query_vector vector = {.vector = in->vector,
                              .dtype = in->dtype != 0 ? in->dtype : f->c->options.dtype,
                              .k = k,
                              .item = (uint32_t)(leg - f->leg),
                              .what = "leg"};
    if (in->kind == OMEN_LEG_LIKE) {
        OM_TRY(make_mean(f, leg));
        vector.vector = leg->mean;
        vector.dtype = OMEN_F32;
    }
    OM_TRY(om_leg_room(f, leg, leg->limit));
    OM_TRY(om_query_load(f->c, f->ctx, &vector, f->err));
    om_search s = {.c = f->c,
                   .snapshot = f->handle->snapshot,
                   .ctx = f->ctx,
                   .stop = f->stop,
                   .query = f->ctx->query,
                   .flags = in->flags | (f->in->flags & OMEN_PARTIAL_OK),
                   .k = k,
                   .ef = in->ef,
                   .rerank = in->rerank != 0 ? om_max_u32(in->rerank, k) : 0,
                   .cap = k + OM_SLACK,
                   .timed = f->timed,
                   .estimates = f->hits->filters != NULL,
                   .filter = f->filter,
                   .err = f->err};
    OM_TRY(om_search_pinned(&s));
    note(f, &s);
    status = take_hits(f, leg, &s);
out:
    return status;
}
