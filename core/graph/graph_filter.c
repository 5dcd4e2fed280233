/* graph_filter.c - filtered search: the walk that goes on until enough of what is near passes.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_filter.h"

#include <math.h>

/* Passing candidates that must be expanded where few pass: so many times sqrt(ef k). The recall then is
 * about that of an unfiltered search with this ef, be it a narrow beam (ef 14, k 10: 0.97) or a wide one. */
#define MARGIN 0.75
/* Up to so many candidates the walk is that of an unfiltered search; then only passing slots are new.
 * With 1.0 the recall of wiki-movies at 10 % is 0.947, with 1.5 0.970 (unfiltered 0.969), with 2.0 0.976. */
#define NEAR(ef) ((ef) + (ef) / 2)
/* Distances (tests included) of a candidate expected beyond ef, and of one that is expanded there. */
#define EXPECTED_COSTS 2.5
#define EXPANDED_COSTS 4.5
/* Part of an unfiltered search that NEAR adds to it. */
#define NEAR_COSTS 0.3
/* What the walk among passing slots costs in distances (tests included) by the entries of an unfiltered beam:
 * 1,700 (ef 10), 3,200 (ef 52, fashion-mnist), 14,000 to 22,000 (ef 158, a million rows) were counted. */
#define BRIDGE_START 1500.0
#define BRIDGE_A_CANDIDATE 100.0
/* Passing candidates that the share of all rows counts for in the guess of the share nearby. */
#define PRIOR 3.0
/* Rounds of the walk over all candidates: each at least this much farther, and at most so many times as far:
 * what the share nearby is shows on the way. */
#define STEP_LEAST 8u
#define STEP_MOST 3u
/* Candidates expanded together: more of them in a wide beam, where none is in vain. */
#define POPS_NARROW 3u
#define POPS_WIDE 6u
#define WIDE_BEAM 96u
#define POPS_PASSING 8u
#define LISTS_AHEAD 6u

double om_graph_horizon(uint32_t ef, uint32_t k, double share)
{
    double wanted = MARGIN * sqrt((double)ef * (double)k);
    return (double)ef + wanted * (1.0 / share - 1.0);
}

double om_graph_filtered_distances(double distances, uint32_t ef, uint32_t k, double share)
{
    double beyond = om_graph_horizon(ef, k, share) - (double)ef;
    return distances * (1.0 + NEAR_COSTS * (1.0 - share)) + EXPECTED_COSTS * beyond;
}

double om_graph_bridge_distances(uint32_t ef)
{
    return BRIDGE_START + BRIDGE_A_CANDIDATE * (double)ef;
}

omen_status_t om_filter_gather(om_filter_walk *w, uint32_t n)
{
    w->view->kernels->gather[w->probe->kind](w->probe, w->view->arrays.codes, w->view->stride,
                                             w->ctx->ids, n, w->ctx->distance);
    w->distances += n;
    w->size = om_beam_merge(w->view, w->ctx, n, w->size, w->room, &w->cur);
    if (OM_UNLIKELY(om_walk_costs(w) >= w->next_stop) && w->stop != NULL) {
        w->next_stop = om_walk_costs(w) + OM_STOP_INTERVAL;
        return om_stop_check(w->stop);
    }
    return OMEN_OK;
}

static uint32_t count_passing(om_filter_walk *w, uint32_t end)
{
    uint32_t passing = 0;
    for (uint32_t i = 0; i < end; i++) {
        passing += om_passes(w->filter->pass, om_flip_slot(w->ctx->beam[i]));
    }
    w->tests += end;
    return passing;
}

/* The next candidates before `end`: of their neighbours only what passes is new. */
static uint32_t expand_passing(om_filter_walk *w, uint32_t end)
{
    uint32_t n = 0, pops = 0, at = w->cur;
    for (; at < end && pops < POPS_PASSING && n + w->view->m0 <= OM_GATHER_MAX; at++) {
        uint64_t key = w->ctx->beam[at];
        if ((key & OM_KEY_EXPANDED) != 0) {
            continue;
        }
        if (at + LISTS_AHEAD < w->size) {
            om_prefetch_links(w->view, om_flip_slot(w->ctx->beam[at + LISTS_AHEAD]));
        }
        w->ctx->beam[at] = key | OM_KEY_EXPANDED;
        n = om_collect_passing(w, om_flip_slot(key), n);
        pops++;
    }
    w->cur = at;
    w->hops += pops;
    return n;
}

/* Expands everything among the first `horizon` candidates, whatever comes to be there; among: of what is
 * found only what passes is taken. */
static omen_status_t walk_within(om_filter_walk *w, uint32_t horizon, bool among)
{
    omen_status_t status = OMEN_OK;
    uint32_t pops = horizon >= WIDE_BEAM ? POPS_WIDE : POPS_NARROW;
    while (w->cur < om_min_u32(horizon, w->size) && status == OMEN_OK) {
        uint32_t n = among ? expand_passing(w, om_min_u32(horizon, w->size))
                           : om_expand_nearest(w->view, w->ctx, om_min_u32(horizon, w->size), pops,
                                               &w->cur, &w->hops);
        status = om_filter_gather(w, n);
        if (OM_UNLIKELY(om_walk_spent(w))) {
            w->filter->abandoned = true;
            break;
        }
    }
    return status;
}

/* The horizon that should hold enough, by the share that passes of the first `seen` candidates. */
static double next_horizon(const om_filter_walk *w, uint32_t passing, uint32_t seen)
{
    const om_graph_filter *f = w->filter;
    double all = (double)f->matches / (double)w->view->count;
    double share = ((double)passing + PRIOR) / ((double)seen + PRIOR / all);
    return om_graph_horizon(f->ef, f->k, share < 1.0 ? (share > 1e-9 ? share : 1e-9) : 1.0);
}

/* Whether the first `seen` candidates, all expanded, hold enough that pass, and the beam k. */
static bool enough(om_filter_walk *w, uint32_t passing, uint32_t seen)
{
    const om_graph_filter *f = w->filter;
    if (passing >= f->matches) {
        return true;
    }
    return passing != 0 &&
           (double)seen >= om_graph_horizon(f->ef, f->k, (double)passing / (double)seen) &&
           (passing >= f->k || count_passing(w, w->size) >= om_min_u64(f->k, f->matches));
}

/* Walks on until the horizon holds enough. *lacking: it came to where the beam ends or what is to come
 * costs more than is left. */
static omen_status_t walk_all(om_filter_walk *w, bool *lacking)
{
    const uint32_t near = om_min_u32(NEAR(w->filter->ef), w->room);
    uint32_t horizon = om_min_u32(w->filter->ef, w->room);
    omen_status_t status = OMEN_OK;
    *lacking = false;
    for (;;) {
        status = walk_within(w, horizon, horizon > near);
        if (status != OMEN_OK || w->filter->abandoned || w->size < horizon) {
            /* A beam that is not full has all that can be reached. */
            return status;
        }
        uint32_t passing = count_passing(w, horizon);
        if (enough(w, passing, horizon)) {
            return OMEN_OK;
        }
        double next = next_horizon(w, passing, horizon);
        double costs = (double)om_walk_costs(w) + EXPANDED_COSTS * (next - (double)horizon);
        if (horizon == w->room || next > (double)w->room || costs > (double)w->filter->budget) {
            *lacking = true;
            return OMEN_OK;
        }
        uint32_t most = horizon < near ? near : om_min_u32(horizon * STEP_MOST, w->room);
        horizon = om_min_u32(om_max_u32((uint32_t)next, horizon + STEP_LEAST), most);
    }
}

/* The walk among passing slots, when it can be had for what is left of the budget. */
static omen_status_t bridge(om_filter_walk *w)
{
    if (w->filter->plan == OMEN_PLAN_FILTER_IN ||
        (w->filter->plan == OMEN_PLAN_FILTER_HOP &&
         (double)om_walk_costs(w) + om_graph_bridge_distances(w->filter->ef) >
             (double)w->filter->budget)) {
        w->filter->abandoned = true;
        return OMEN_OK;
    }
    return om_filter_bridge(w);
}

/* What passes, in the form of results. */
static void finish(om_filter_walk *w, om_graph_counters *counters)
{
    uint64_t *beam = w->ctx->beam;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->size; i++) {
        uint32_t slot = om_flip_slot(beam[i]);
        beam[kept] = om_key_pack(om_key_distance(beam[i]), slot);
        kept += om_passes(w->filter->pass, slot);
    }
    w->tests += w->size;
    w->size = kept;
    w->filter->tests = w->tests;
    counters->distances += w->distances;
    counters->hops += w->hops;
}

omen_status_t om_graph_search_filtered(const om_graph_view *view, om_graph_ctx *ctx,
                                       const om_probe *probe, om_graph_filter *filter,
                                       const om_stop *stop, const uint64_t **keys, uint32_t *found,
                                       om_graph_counters *counters)
{
    omen_status_t status = OMEN_OK;
    om_filter_walk w = {.view = view,
                        .ctx = ctx,
                        .probe = probe,
                        .filter = filter,
                        .stop = stop,
                        .room = filter->beam,
                        .next_stop = OM_STOP_INTERVAL};
    om_assert(filter->beam >= 1 && filter->beam <= ctx->beam_cap);
    filter->abandoned = false;
    filter->tests = 0;
    if (view->count > 0 && filter->matches > 0) {
        bool lacking = false;
        om_ctx_begin(ctx, view->count);
        w.size = om_entry_search(view, ctx, probe, w.room, counters);
        if (filter->plan == OMEN_PLAN_FILTER_BRIDGE) {
            lacking = true;
            status = walk_within(&w, om_min_u32(OM_ENTRY_WANTED * 2, w.room), false);
        } else {
            status = walk_all(&w, &lacking);
        }
        if (status == OMEN_OK && lacking && !filter->abandoned) {
            status = bridge(&w);
        }
    }
    finish(&w, counters);
    *keys = ctx->beam;
    *found = w.size;
    return status;
}
