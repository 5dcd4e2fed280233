/* graph_bridge.c - the filtered walk that scores passing slots alone: over neighbours of neighbours where few
 * pass, from the place that a walk over all candidates found and from seeds drawn from the bitmap.
 * Depends on: base, simd.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_filter.h"
#include "rng.h"

/* New passing slots of one expansion: with fewer it looks behind neighbours that do not pass. With 8 the
 * recall of far filters falls by 0.01, with 24 nothing is won. */
#define FRESH_WANTED 16u
/* Slots drawn from the bitmap, and candidates that do not pass to look behind at the start. */
#define SEEDS 64u
#define WAYS 32u
#define POPS 3u
#define LIST_MAX 128u
#define LISTS_AHEAD 8u

/* Appends what passes of the list of `slot` and was not scored yet to the n in ctx->ids; `fail` gets the
 * slots that do not pass and were not looked behind yet, *fails of them. */
static inline uint32_t collect_near(om_filter_walk *w, uint32_t slot, uint32_t n, uint32_t *fail,
                                    uint32_t *fails)
{
    const om_graph_view *view = w->view;
    om_graph_ctx *ctx = w->ctx;
    const uint32_t *row = view->arrays.links + (size_t)slot * view->words;
    const uint64_t *pass = w->filter->pass;
    uint32_t count = om_min_u32(om_link_load(row), view->m0);
    uint32_t limit = view->count, failed = 0;
    uint8_t epoch = ctx->epoch;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t at = om_link_load(row + i);
        at = at < limit ? at : slot; /* newer than the view: as the slot itself, which is marked */
        uint8_t mark = ctx->visited[at];
        uint32_t fresh = (uint32_t)(mark != epoch);
        uint32_t passes = om_passes(pass, at);
        ctx->ids[n] = at;
        n += fresh & passes;
        ctx->visited[at] = (fresh & passes) != 0 ? epoch : mark;
        fail[failed] = at;
        failed += fresh & (passes ^ 1u);
    }
    w->tests += count;
    *fails = failed;
    return n;
}

/* The neighbours of an expanded slot, and what lies behind those that do not pass while too few do. */
static uint32_t expand(om_filter_walk *w, uint32_t slot, uint32_t n)
{
    uint32_t fail[LIST_MAX], fails = 0;
    const uint32_t first = n;
    w->ctx->visited[slot] = w->ctx->epoch;
    n = collect_near(w, slot, n, fail, &fails);
    if (n - first >= FRESH_WANTED) {
        return n;
    }
    for (uint32_t i = 0; i < om_min_u32(LISTS_AHEAD, fails); i++) {
        om_prefetch_links(w->view, fail[i]);
    }
    for (uint32_t i = 0; i < fails && n - first < FRESH_WANTED && n + w->view->m0 <= OM_GATHER_MAX;
         i++) {
        if (i + LISTS_AHEAD < fails) {
            om_prefetch_links(w->view, fail[i + LISTS_AHEAD]);
        }
        w->ctx->visited[fail[i]] = w->ctx->epoch; /* looked behind */
        n = om_collect_passing(w, fail[i], n);
    }
    return n;
}

/* All that pass, OM_GATHER_MAX at most: few are not worth a search. */
static uint32_t draw_all(om_filter_walk *w)
{
    const uint32_t words = (w->view->count + 63u) / 64u;
    uint32_t n = 0;
    for (uint32_t at = 0; at < words; at++) {
        for (uint64_t word = w->filter->pass[at]; word != 0; word &= word - 1) {
            uint32_t slot = at * 64u + (uint32_t)__builtin_ctzll(word);
            if (slot < w->view->count && w->ctx->visited[slot] != w->ctx->epoch &&
                n < OM_GATHER_MAX) {
                w->ctx->visited[slot] = w->ctx->epoch;
                w->ctx->ids[n++] = slot;
            }
        }
    }
    return n;
}

/* One passing slot of each of `SEEDS` equal parts of the bitmap that has any, at a place of its own. */
static uint32_t draw_seeds(om_filter_walk *w)
{
    const uint32_t words = (w->view->count + 63u) / 64u;
    const uint64_t *pass = w->filter->pass;
    uint64_t state = w->filter->matches;
    uint32_t n = 0;
    for (uint32_t part = 0; part < SEEDS; part++) {
        uint32_t from = (uint32_t)((uint64_t)part * words / SEEDS);
        uint32_t length = (uint32_t)((uint64_t)(part + 1) * words / SEEDS) - from;
        if (length == 0) {
            continue;
        }
        uint32_t begin = om_rng_below(&state, length), bit = om_rng_below(&state, 64);
        for (uint32_t i = 0; i < length; i++) {
            uint32_t at = from + (begin + i) % length;
            uint64_t word = pass[at];
            if (word == 0) {
                continue;
            }
            uint64_t above = word >> bit << bit;
            uint32_t slot = at * 64u + (uint32_t)__builtin_ctzll(above != 0 ? above : word);
            if (slot < w->view->count && w->ctx->visited[slot] != w->ctx->epoch) {
                w->ctx->visited[slot] = w->ctx->epoch;
                w->ctx->ids[n++] = slot;
            }
            break;
        }
    }
    return n;
}

/* Keeps the passing candidates, to be expanded anew; the nearest others are ways to look behind. */
static uint32_t split_beam(om_filter_walk *w, uint32_t *way)
{
    uint64_t *beam = w->ctx->beam;
    uint32_t kept = 0, ways = 0;
    for (uint32_t i = 0; i < w->size; i++) {
        uint32_t slot = om_flip_slot(beam[i]);
        if (om_passes(w->filter->pass, slot) != 0) {
            w->ctx->visited[slot] = w->ctx->epoch;
            beam[kept++] = beam[i] & ~OM_KEY_EXPANDED;
        } else if (ways < WAYS) {
            way[ways++] = slot;
        }
    }
    w->tests += w->size;
    w->size = om_min_u32(kept, w->room);
    w->cur = 0;
    return ways;
}

static omen_status_t start(om_filter_walk *w)
{
    uint32_t way[WAYS];
    om_ctx_begin(w->ctx, w->view->count);
    uint32_t ways = split_beam(w, way);
    for (uint32_t i = 0; i < ways; i++) {
        omen_status_t status = om_filter_gather(w, expand(w, way[i], 0));
        if (status != OMEN_OK) {
            return status;
        }
    }
    return om_filter_gather(w, w->filter->matches <= OM_GATHER_MAX ? draw_all(w) : draw_seeds(w));
}

omen_status_t om_filter_bridge(om_filter_walk *w)
{
    /* Wider than that of an unfiltered search: links between passing slots are fewer and longer. */
    uint32_t wider = w->filter->ef + w->filter->ef / 2;
    w->room = om_min_u32(w->room, om_max_u32(wider, w->filter->k));
    omen_status_t status = start(w);
    while (w->cur < w->size && status == OMEN_OK) {
        uint32_t n = 0, pops = 0;
        for (; w->cur < w->size && pops < POPS && n + w->view->m0 <= OM_GATHER_MAX; w->cur++) {
            uint64_t key = w->ctx->beam[w->cur];
            if ((key & OM_KEY_EXPANDED) == 0) {
                w->ctx->beam[w->cur] = key | OM_KEY_EXPANDED;
                n = expand(w, om_flip_slot(key), n);
                pops++;
            }
        }
        w->hops += pops;
        status = om_filter_gather(w, n);
        if (OM_UNLIKELY(om_walk_spent(w))) {
            w->filter->abandoned = w->cur < w->size;
            break;
        }
    }
    return status;
}
