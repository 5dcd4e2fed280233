/* engine_search.c - one search, segment after segment into one heap: graph and tail by codes, the best
 * again in full precision.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine_filter.h"

enum { LATE_ROUNDS = 4, WIDEN_AGAIN = 4, WIDEN_MOST = 16, LIVE_SCANNED = 1000 };
enum { SMALL_ROWS = 1024, FEW_ROWS = 10000, NOTE_EVERY = 8 };
/* Beams of the default, measured on every set of tests/recall (recall@10 0.96 or more, at most 5 % of the
 * rows looked at beyond 10,000) and on the two sets of a million rows of tests/bench: clustered-1m needs 160
 * for 0.955 (0.933 at 116), 0.3 % of its rows. */
enum {
    EF_FEW_ROWS = 96,
    EF_BASE = 36,
    EF_A_DOUBLING = 16,
    EF_A_LATE_DOUBLING = 30, /* from 131,072 rows on */
    EF_EARLY_DOUBLINGS = 2,
    EF_IP = 144
};

uint32_t om_default_ef(uint32_t metric, uint32_t k, uint32_t rows)
{
    /* Few rows are searched wide, it costs little; from 32,768 on each doubling wants a wider beam. */
    uint32_t ef = rows <= FEW_ROWS ? EF_FEW_ROWS : EF_BASE;
    uint32_t doublings = 0;
    for (uint32_t n = rows >> 15; n != 0; n >>= 1) {
        ef += doublings++ < EF_EARLY_DOUBLINGS ? EF_A_DOUBLING : EF_A_LATE_DOUBLING;
    }
    /* The graph is built by Euclidean distance; inner products need a wider beam on it. */
    if (metric == OMEN_IP) {
        ef = om_max_u32(ef, EF_IP);
    }
    return om_min_u32(om_max_u32(ef, 2 * k), OMEN_MAX_EF);
}

/* What a search of a segment works on: rows first, then the view, so that the view has all of these rows. */
static void look(om_search *s)
{
    om_segment *seg = s->seg;
    s->rows = atomic_load(&seg->visible);
    s->live = atomic_load(&seg->live);
    s->view = om_view_load(seg);
    if (s->view != NULL) {
        s->rows = om_max_u32(s->rows, s->view->indexed);
    }
    s->dead = NULL;
    if (s->snapshot != NULL) {
        s->rows = s->snapshot->rows[s->part];
        s->live = s->snapshot->live_rows[s->part];
        s->dead = s->snapshot->dead[s->part];
    }
}

uint32_t om_search_merge(om_search *s, const uint64_t *a, uint32_t na, const uint64_t *b,
                         uint32_t nb, const uint64_t **out)
{
    if (nb == 0) {
        *out = a;
        return na;
    }
    if (na == 0) {
        *out = b;
        return nb;
    }
    uint64_t *to = s->ctx->beam + s->ctx->beam_cap;
    uint32_t n = 0, i = 0, j = 0;
    while (i < na || j < nb) {
        bool left = j == nb || (i < na && a[i] <= b[j]);
        to[n++] = left ? a[i++] : b[j++];
    }
    *out = to;
    return n;
}

/* The beam must be wider where many of its entries are dead. */
static uint32_t widened(const om_search *s, uint32_t ef)
{
    uint64_t wide = ef;
    if (s->live < s->rows) {
        wide = s->live == 0 ? (uint64_t)ef * WIDEN_MOST : (uint64_t)ef * s->rows / s->live;
        wide = om_min_u64(wide, (uint64_t)ef * WIDEN_MOST);
    }
    return (uint32_t)om_min_u64(wide, OMEN_MAX_EF);
}

static bool scans_instead(const om_search *s, uint32_t ef)
{
    return s->view->graph == NULL ||
           ((s->flags & OMEN_GRAPH_ONLY) == 0 &&
            (s->view->indexed <= SMALL_ROWS || s->view->indexed <= 4 * ef));
}

omen_status_t om_search_probe(om_search *s, uint32_t ef, om_probe *probe)
{
    om_ctx *ctx = s->ctx;
    size_t dim = om_round_up(s->c->options.dim, 16);
    om_ctx_need need = {.floats = dim + om_round_up(om_codec_scratch(s->view->codec), 16),
                        .probe_bytes = om_codec_stride(s->view->codec),
                        .beam = ef + 24,
                        .hits = 2 * s->cap};
    if (need.floats > ctx->query_floats) {
        /* The query lies at the front of the block that is replaced: it moves along. */
        float *block =
            om_alloc_grow(&s->c->rt->alloc, ctx->query, ctx->query_floats * sizeof(float),
                          need.floats * sizeof(float), OM_CACHE_LINE);
        if (block == NULL) {
            return om_fail_memory(s->err, "search scratch", need.floats * sizeof(float));
        }
        ctx->query = block;
        ctx->query_floats = need.floats;
        s->query = block;
    }
    omen_status_t status = om_ctx_reserve(s->c->rt, ctx, &need, s->err);
    if (status == OMEN_OK) {
        om_codec_query(s->view->codec, s->query, ctx->query + dim, ctx->probe, probe);
    }
    return status;
}

/* Candidates from the graph, or from the codes of all its rows, then from the codes of the tail;
 * the best of them in full precision; and the part of the tail that has no codes yet. */
static omen_status_t approximate(om_search *s, uint32_t ef, uint32_t rerank)
{
    omen_status_t status = OMEN_OK;
    om_probe probe;
    const uint64_t *from_graph = NULL, *keys = NULL;
    uint32_t in_graph = 0, in_scan = 0;
    bool scan_all = scans_instead(s, ef);
    uint32_t first = scan_all ? 0 : s->view->indexed;
    uint32_t coded = om_min_u32(s->view->indexed, s->rows);
    if (s->view->codes_owner != NULL) {
        uint32_t encoded =
            atomic_load_explicit(&s->view->codes_owner->encoded, memory_order_acquire);
        coded = om_min_u32(om_max_u32(encoded, coded), s->rows);
    }
    uint64_t t0 = om_search_clock(s);
    OM_TRY(om_search_probe(s, ef, &probe));
    if (!scan_all) {
        OM_TRY(om_mapped_ready(s->seg, &s->stop, s->err));
        OM_TRY(om_graph_ctx_reserve(s->ctx->graph, s->view->graph, ef, s->err));
        status = om_graph_search(s->view->graph, s->ctx->graph, &probe, ef, &s->stop, &from_graph,
                                 &in_graph, &s->counters);
        s->walked_ef += ef;
        if (status != OMEN_OK) {
            OM_TRY(om_search_stopped(s, status));
        }
    }
    uint64_t t1 = om_search_clock(s);
    if (!s->partial && first < coded) {
        OM_TRY(om_scan_codes(s, &probe, first, coded, om_min_u32(ef, coded - first), &in_scan));
    }
    uint64_t t2 = om_search_clock(s);
    uint32_t n = om_search_merge(s, from_graph, in_graph, s->ctx->beam, in_scan, &keys);
    OM_TRY(om_rerank(s, &probe, keys, n, rerank));
    uint64_t t3 = om_search_clock(s);
    if (!s->partial && coded < s->rows) {
        OM_TRY(om_scan_raw(s, coded, s->rows));
    }
    s->explain.plan = scan_all ? OMEN_PLAN_EXACT : OMEN_PLAN_GRAPH;
    s->explain.graph_ns += t1 - t0;
    s->explain.rerank_ns += t3 - t2;
    s->explain.scan_ns += (t2 - t1) + (om_search_clock(s) - t3);
out:
    return status;
}

static omen_status_t exact(om_search *s)
{
    uint64_t begun = om_search_clock(s);
    s->explain.plan = OMEN_PLAN_EXACT;
    omen_status_t status = om_scan_raw(s, 0, s->rows);
    s->explain.scan_ns += om_search_clock(s) - begun;
    return status;
}

static uint32_t wanted(const om_search *s)
{
    return om_min_u32(s->k, s->live);
}

/* Where the dead are many, a beam is full of them: few live rows, or one in sixteen, are read one by one
 * instead, which costs less than a beam that is wide enough. */
static bool mostly_dead(const om_search *s)
{
    return (s->flags & OMEN_GRAPH_ONLY) == 0 && s->live < s->rows &&
           (s->live <= om_max_u32(LIVE_SCANNED, 4 * s->k) || s->live < s->rows / WIDEN_MOST);
}

void om_search_keep_heap(om_search *s)
{
    s->kept = s->size;
    memcpy(s->ctx->hits + s->cap, s->ctx->hits, s->size * sizeof(om_hit));
}

void om_search_again(om_search *s)
{
    s->size = s->kept;
    s->found = 0;
    memcpy(s->ctx->hits, s->ctx->hits + s->cap, s->size * sizeof(om_hit));
}

/* Never fewer than min(k, live) hits: a wider beam, and at last every row. */
static omen_status_t find(om_search *s)
{
    omen_status_t status = OMEN_OK;
    if (s->view == NULL || s->rows == 0) {
        s->explain.plan = OMEN_PLAN_EMPTY;
        return OMEN_OK;
    }
    if (OM_UNLIKELY(s->filter != NULL)) {
        bool all = false;
        status = om_search_passing(s, &all);
        if (status != OMEN_OK || !all) {
            return status;
        }
    }
    if ((s->flags & OMEN_EXACT) != 0 || s->view->codec == NULL || mostly_dead(s)) {
        return exact(s);
    }
    om_search_keep_heap(s);
    uint32_t base = s->ef != 0 ? s->ef : om_default_ef(s->c->options.metric, s->k, s->rows);
    uint32_t ef = widened(s, om_max_u32(base, s->k));
    s->explain.ef = ef;
    OM_TRY(approximate(s, ef, s->rerank));
    if (s->found < wanted(s) && !s->partial && ef < OMEN_MAX_EF &&
        s->explain.plan == OMEN_PLAN_GRAPH) {
        ef = om_min_u32(ef * WIDEN_AGAIN, OMEN_MAX_EF);
        om_search_again(s);
        s->explain.ef = ef;
        OM_TRY(approximate(s, ef, s->rerank));
    }
    if (s->found < wanted(s) && !s->partial) {
        om_search_again(s);
        OM_TRY(exact(s));
    }
out:
    return status;
}

static omen_status_t find_in(om_search *s, om_segment *seg, uint32_t part)
{
    s->seg = seg;
    s->part = part;
    s->found = 0;
    look(s);
    return find(s);
}

/* Every segment of the set; *last_rows: rows seen of the last one. */
static omen_status_t find_all(om_search *s, const om_set *set, uint32_t *last_rows)
{
    omen_status_t status = OMEN_OK;
    uint32_t plan = s->filter != NULL ? OMEN_PLAN_EMPTY : OMEN_PLAN_EXACT;
    uint32_t most = 0; /* rows of the segment whose plan it is */
    s->filters = (omen_filter_explain){.tests = s->filters.tests};
    s->seen = 0;
    s->seen_rows = 0;
    for (uint32_t part = 0; part < set->count && !s->partial; part++) {
        OM_TRY(find_in(s, set->part[part], part));
        if (s->explain.plan != OMEN_PLAN_EMPTY && s->rows > most) {
            plan = s->explain.plan;
            most = s->rows;
        }
        s->seen += s->live;
        s->seen_rows += s->rows;
        *last_rows = s->rows;
    }
    s->explain.plan = plan;
out:
    return status;
}

/* The rows that came to the segments since: those of `last` behind `rows`, and whole newer segments.
 * *lost: last is not there any more. */
static omen_status_t scan_newer(om_search *s, const om_segment *last, uint32_t rows, bool *lost)
{
    const om_set *set = om_set_load(s->c);
    uint32_t part = set->count;
    while (part != 0 && set->part[part - 1] != last) {
        part--;
    }
    *lost = part == 0;
    for (part--; !*lost && part < set->count; part++) {
        s->seg = set->part[part];
        s->part = part;
        look(s);
        uint32_t first = s->seg == last ? rows : 0;
        if (s->view != NULL && s->rows > first) {
            omen_status_t status =
                s->filter != NULL ? om_scan_late_passing(s, first) : om_scan_raw(s, first, s->rows);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

/* Rows that replaced others meanwhile: the old ones may have been skipped as dead when the new
 * ones were not visible yet to this search. *raced: an item may now be there twice. */
static omen_status_t find_late(om_search *s, const om_segment *last, uint32_t rows,
                               uint32_t replacing, bool *raced)
{
    om_collection *c = s->c;
    for (uint32_t round = 0; round < LATE_ROUNDS && !s->partial; round++) {
        uint32_t now = atomic_load(&c->replacing);
        if (now == replacing && (now & 1) == 0) {
            return OMEN_OK;
        }
        *raced = true;
        replacing = now;
        bool lost = false;
        omen_status_t status = scan_newer(s, last, rows, &lost);
        if (status == OMEN_OK && lost) {
            const om_set *set = om_set_load(c);
            last = om_set_last(set);
            status = find_all(s, set, &rows);
        } else if (s->seg == last) {
            rows = om_max_u32(rows, s->rows);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* The heap without the hits that died during the search. */
static void drop_dead(om_search *s)
{
    om_hit *hits = s->ctx->hits;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->size; i++) {
        if (!om_view_is_dead(om_view_load(hits[i].segment), hits[i].slot)) {
            om_hit keep = hits[i];
            hits[kept++] = keep;
        }
    }
    s->size = kept;
}

/* What a walk of a filtered search is weighed against. */
static void note_walks(const om_search *s)
{
    om_shard *shard = &s->c->shards[s->ctx->index % OM_SHARDS];
    atomic_fetch_add_explicit(&shard->walked_ef, s->walked_ef, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->walked, s->counters.distances, memory_order_relaxed);
}

double om_walk_distances(const om_collection *c, uint32_t ef)
{
    uint64_t distances = 0;
    uint64_t wide = 0;
    for (uint32_t i = 0; i < OM_SHARDS; i++) {
        distances += atomic_load_explicit(&c->shards[i].walked, memory_order_relaxed);
        wide += atomic_load_explicit(&c->shards[i].walked_ef, memory_order_relaxed);
    }
    return wide != 0 ? (double)distances / (double)wide * (double)ef : 0;
}

/* Rows become shares. */
static void summarize(om_search *s)
{
    double seen = s->seen != 0 ? (double)s->seen : 1;
    if (s->filter == NULL) {
        s->filters.matches = s->seen;
        s->filters.estimated = (double)s->seen_rows;
    }
    s->filters.estimated =
        fmin(s->filters.estimated / (s->seen_rows != 0 ? (double)s->seen_rows : 1), 1);
    s->filters.selectivity = fmin((double)s->filters.matches / seen, 1);
}

/* All segments and what came meanwhile; *raced: rows were replaced, and hits may have died. */
static omen_status_t search_once(om_search *s, bool *raced)
{
    omen_status_t status = OMEN_OK;
    uint32_t rows = 0;
    uint32_t replacing = atomic_load(&s->c->replacing);
    const om_set *set = s->snapshot != NULL ? s->snapshot->set : om_set_load(s->c);
    *raced = false;
    s->size = 0;
    OM_TRY(find_all(s, set, &rows));
    if (s->snapshot == NULL) {
        OM_TRY(find_late(s, om_set_last(set), rows, replacing, raced));
    }
    om_heap_sort(s);
    if (*raced && s->size != 0) {
        drop_dead(s);
        om_heap_unique(s);
    }
out:
    return status;
}

omen_status_t om_search_pinned(om_search *s)
{
    omen_status_t status = OMEN_OK;
    bool raced = true;
    /* Again when more hits died than there are spare ones. */
    for (uint32_t round = 0; round < LATE_ROUNDS && raced && s->size < s->k && !s->partial;
         round++) {
        OM_TRY(search_once(s, &raced));
    }
    s->size = om_min_u32(s->size, s->k);
    if (s->filter == NULL && s->walked_ef != 0 && (s->ctx->turn++ & (NOTE_EVERY - 1)) == 0) {
        note_walks(s);
    }
    if (s->filter != NULL || s->estimates) {
        summarize(s);
    }
out:
    s->explain.distances = s->counters.distances;
    s->explain.hops = s->counters.hops;
    return status;
}

omen_status_t om_search_one(om_search *s)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = s->c;
    om_ctx_pin(c->rt, s->ctx);
    status = om_search_pinned(s);
    om_ctx_unpin(s->ctx);
    om_shard *shard = &c->shards[s->ctx->index % OM_SHARDS];
    atomic_fetch_add_explicit(&shard->searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->distances, s->counters.distances, memory_order_relaxed);
    atomic_fetch_add_explicit(&shard->hops, s->counters.hops, memory_order_relaxed);
    return status;
}
