/* engine_filtered.c - searching a segment for the nearest of the rows that pass: which way, and never
 * fewer than there are.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_filter.h"

/* So few rows are read in full precision, which the best of them would be anyway. */
enum { FEW_ROWS = 64 };

static om_part part_of(const om_search *s)
{
    return (om_part){.segment = s->seg,
                     .view = s->view,
                     .snapshot = s->snapshot,
                     .number = s->part,
                     .rows = s->rows,
                     .live = s->live};
}

/* The bitmap for the rows that are seen, and those of the graph, of which a snapshot may see fewer. */
static omen_status_t look_up(om_search *s)
{
    om_pass_need need = {.segment = s->seg,
                         .rows = om_max_u32(s->rows, s->view->indexed),
                         .past = s->snapshot != NULL,
                         .stop = &s->stop};
    omen_status_t status = om_filter_pass(s->filter, &need, &s->pass, s->err);
    bool stopped = status == OMEN_DEADLINE_EXCEEDED || status == OMEN_CANCELLED;
    return stopped ? om_search_stopped(s, status) : status;
}

static uint64_t pack_guess(uint32_t rows, double share)
{
    float rounded = (float)share;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint64_t)rows << 32 | bits;
}

static double share_of(uint64_t guess)
{
    uint32_t bits = (uint32_t)guess;
    float share;
    memcpy(&share, &bits, sizeof share);
    return (double)share;
}

/* What the blocks behind the rows that a guess knows add to it. */
static omen_status_t guess_more(om_filter *f, const om_fields_look *look, const om_stop *stop,
                                uint64_t *guess, omen_error *err)
{
    uint32_t known = (uint32_t)(*guess >> 32);
    double passing = share_of(*guess) * (double)known;
    omen_status_t status = OMEN_OK;
    for (uint32_t i = om_fields_part_of(look, known);
         i < look->parts->meta_count && om_stop_check(stop) == OMEN_OK; i++) {
        const om_meta_part *part = &look->parts->meta[i];
        const om_metablock *block = NULL;
        double share = om_filter_empty(f) ? 1 : 0;
        if (!part->none) {
            OM_TRY(om_fields_block(look, i, &block, err));
            share = om_predicate_estimate(f->predicate, block) / (double)part->rows;
        }
        passing += share * (double)(part->first + part->rows - known);
        known = part->first + part->rows;
    }
    *guess = pack_guess(known, known != 0 ? passing / (double)known : 0);
out:
    return status;
}

omen_status_t om_pass_estimate(om_filter *f, const om_fields_look *look, const om_pass *pass,
                               const om_stop *stop, double *out, omen_error *err)
{
    om_pass *kept =
        (om_pass *)(uintptr_t)pass; /* blocks do not change: it is no other bitmap for it */
    uint64_t guess = atomic_load_explicit(&kept->guess, memory_order_relaxed);
    if (f->predicate != NULL && guess >> 32 < look->parts->meta_covered) {
        omen_status_t status = guess_more(f, look, stop, &guess, err);
        if (status != OMEN_OK) {
            return status;
        }
        atomic_store_explicit(&kept->guess, guess, memory_order_relaxed);
    }
    double share = guess >> 32 != 0 ? share_of(guess)
                                    : (double)pass->matches / (double)om_max_u32(pass->rows, 1);
    *out = share * (double)look->rows;
    return OMEN_OK;
}

static omen_status_t estimate(om_search *s)
{
    om_fields_look look;
    double rows = 0;
    om_fields_look_at(s->seg, s->rows, &look);
    omen_status_t status = om_pass_estimate(s->filter, &look, s->pass, &s->stop, &rows, s->err);
    s->filters.estimated += rows; /* a share of the rows at the end */
    return status;
}

/* ---- What walks and reads cost here ---------------------------------------------------------------- */
static om_plan_costs unpack(uint64_t bits)
{
    om_plan_costs costs;
    memcpy(&costs, &bits, sizeof costs);
    return costs;
}

/* Measured on the first graph that is large enough, and again when there is one four times as large. One
 * search does it, the others go on with what is known. */
omen_status_t om_search_costs(om_search *s, om_plan_costs *out)
{
    om_collection *c = s->c;
    const om_view *view = s->view;
    _Static_assert(sizeof(om_plan_costs) == sizeof(uint64_t), "two floats");
    *out = unpack(atomic_load_explicit(&c->costs, memory_order_relaxed));
    uint32_t rows = atomic_load_explicit(&c->cost_rows, memory_order_relaxed);
    uint32_t wanted =
        om_max_u32(OM_PLAN_SAMPLE_ROWS, rows <= UINT32_MAX / 4 ? 4 * rows : UINT32_MAX);
    bool ready =
        view->mapped == NULL || atomic_load_explicit(&view->mapped->verified, memory_order_acquire);
    if (view->indexed < wanted || !ready ||
        !atomic_compare_exchange_strong(&c->cost_rows, &rows, view->indexed)) {
        return OMEN_OK;
    }
    om_ctx_need need = {.probe_bytes = om_codec_stride(view->codec)};
    omen_status_t status = om_ctx_reserve(c->rt, s->ctx, &need, s->err);
    if (status != OMEN_OK) {
        return status;
    }
    om_plan_sample sample = {.kernels = c->rt->kernels,
                             .codec = view->codec,
                             .codes = view->codes,
                             .view = view->graph,
                             .ctx = s->ctx->graph,
                             .probe_data = s->ctx->probe};
    status = om_plan_measure(&sample, out, s->err);
    if (status == OMEN_OK) {
        uint64_t bits;
        memcpy(&bits, out, sizeof bits);
        atomic_store_explicit(&c->costs, bits, memory_order_relaxed);
    }
    return status;
}

/* ---- One way or the other ------------------------------------------------------------------------ */
static uint32_t coded_rows(const om_search *s)
{
    uint32_t coded = om_min_u32(s->view->indexed, s->rows);
    if (s->view->codes_owner != NULL) {
        uint32_t encoded =
            atomic_load_explicit(&s->view->codes_owner->encoded, memory_order_acquire);
        coded = om_min_u32(om_max_u32(encoded, coded), s->rows);
    }
    return coded;
}

static omen_status_t exact(om_search *s)
{
    uint64_t begun = om_search_clock(s);
    s->explain.plan = OMEN_PLAN_EXACT;
    omen_status_t status = om_gather_raw(s, 0, s->rows);
    s->explain.scan_ns += om_search_clock(s) - begun;
    return status;
}

/* The bits of the graph's rows that pass and live: those of the filter when none of them is dead. */
static omen_status_t live_bits(om_search *s, uint32_t matches, const uint64_t **out)
{
    om_part part = part_of(s);
    om_rows_of of;
    size_t words = ((size_t)s->view->indexed + 63) / 64;
    uint32_t last = om_min_u32(s->view->indexed, s->rows);
    if (last == s->view->indexed && om_pass_count(s->pass, s->rows) == matches) {
        *out = s->pass->words;
        return OMEN_OK;
    }
    omen_status_t status = om_ctx_bits(s->c->rt, s->ctx, words, s->err);
    if (status == OMEN_OK) {
        status = om_rows_begin(&part, s->pass, 0, last, &of, s->err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    size_t used = ((size_t)last + 63) / 64;
    for (size_t word = 0; word < used; word++) {
        s->ctx->bits[word] = om_rows_word(&of, (uint32_t)word);
    }
    memset(s->ctx->bits + used, 0, (words - used) * sizeof(uint64_t));
    *out = s->ctx->bits;
    return OMEN_OK;
}

static omen_status_t choose(om_search *s, uint32_t matches, uint32_t ef, om_plan *out)
{
    uint32_t graph = om_min_u32(s->view->indexed, s->rows);
    uint32_t tail = om_pass_count(s->pass, s->rows) - om_pass_count(s->pass, graph);
    om_plan_input input = {.rows = graph,
                           .matches = matches - om_min_u32(tail, matches),
                           .k = s->k,
                           .ef = ef,
                           .stride = s->seg->layout.code_stride,
                           .graph_only = (s->flags & OMEN_GRAPH_ONLY) != 0};
    *out = (om_plan){.plan = OMEN_PLAN_EXACT};
    if (s->view->graph == NULL || input.matches == 0) {
        return OMEN_OK;
    }
    input.distances = om_walk_distances(s->c, ef);
    omen_status_t status = om_search_costs(s, &input.costs);
    if (status == OMEN_OK) {
        om_plan_choose(&input, out);
        out->plan = out->plan == OMEN_PLAN_EMPTY ? OMEN_PLAN_EXACT : out->plan;
    }
    return status;
}

/* The nearest passing slots by a walk over the graph; none when it was abandoned. */
static omen_status_t walk(om_search *s, const om_probe *probe, const om_plan *plan,
                          uint32_t matches, const uint64_t **keys, uint32_t *found)
{
    omen_status_t status = OMEN_OK;
    om_graph_filter filter = {.matches = matches,
                              .plan = plan->plan,
                              .k = s->k,
                              .ef = plan->ef,
                              .beam = plan->beam,
                              .budget = plan->budget};
    OM_TRY(om_mapped_ready(s->seg, &s->stop, s->err));
    OM_TRY(live_bits(s, matches, &filter.pass));
    OM_TRY(om_graph_ctx_reserve(s->ctx->graph, s->view->graph, plan->beam, s->err));
    status = om_graph_search_filtered(s->view->graph, s->ctx->graph, probe, &filter, &s->stop, keys,
                                      found, &s->counters);
    s->filters.tests += filter.tests;
    if (status != OMEN_OK) {
        OM_TRY(om_search_stopped(s, status));
    }
    if (filter.abandoned && !s->partial) {
        *found = 0;
        s->explain.plan = OMEN_PLAN_ABANDONED;
    }
out:
    return status;
}

/* Candidates by a walk or from the codes of all that pass, then from the codes of the tail; the best of
 * them in full precision; and the part of the tail that has no codes yet. */
static omen_status_t approximate(om_search *s, const om_plan *plan, uint32_t ef, uint32_t matches)
{
    omen_status_t status = OMEN_OK;
    om_probe probe;
    const uint64_t *from_graph = NULL, *keys = NULL;
    uint32_t in_graph = 0, in_scan = 0;
    uint32_t coded = coded_rows(s);
    bool walks = plan->plan != OMEN_PLAN_EXACT;
    uint64_t t0 = om_search_clock(s);
    s->explain.plan = plan->plan;
    s->explain.ef = walks ? plan->ef : ef;
    OM_TRY(om_search_probe(s, walks ? om_max_u32(plan->beam, ef) : ef, &probe));
    if (walks) {
        OM_TRY(walk(s, &probe, plan, matches, &from_graph, &in_graph));
        walks = s->explain.plan != OMEN_PLAN_ABANDONED;
    }
    uint32_t first = walks ? om_min_u32(s->view->indexed, coded) : 0;
    uint64_t t1 = om_search_clock(s);
    if (!s->partial) {
        uint32_t cap = om_min_u32(ef, om_max_u32(coded - first, 1));
        OM_TRY(om_gather_codes(s, &probe, first, coded, cap, &in_scan));
    }
    uint64_t t2 = om_search_clock(s);
    uint32_t n = om_search_merge(s, from_graph, in_graph, s->ctx->beam, in_scan, &keys);
    OM_TRY(om_rerank(s, &probe, keys, n, s->rerank));
    uint64_t t3 = om_search_clock(s);
    if (!s->partial) {
        OM_TRY(om_gather_raw(s, coded, s->rows));
    }
    s->explain.graph_ns += t1 - t0;
    s->explain.rerank_ns += t3 - t2;
    s->explain.scan_ns += (t2 - t1) + (om_search_clock(s) - t3);
out:
    return status;
}

/* Never fewer than min(k, matches): what a walk did not find is read. */
static omen_status_t find_matches(om_search *s, uint32_t matches)
{
    omen_status_t status = OMEN_OK;
    om_plan plan;
    uint32_t wanted = om_min_u32(s->k, matches);
    bool graph_only = (s->flags & OMEN_GRAPH_ONLY) != 0;
    if ((s->flags & OMEN_EXACT) != 0 || s->view->codec == NULL ||
        (!graph_only && matches <= om_max_u32(FEW_ROWS, 2 * wanted))) {
        return exact(s);
    }
    om_search_keep_heap(s);
    uint32_t base = s->ef != 0 ? s->ef : om_default_ef(s->c->options.metric, s->k, s->rows);
    uint32_t ef = om_max_u32(base, s->k);
    OM_TRY(choose(s, matches, ef, &plan));
    OM_TRY(approximate(s, &plan, ef, matches));
    if (s->found < wanted && !s->partial) {
        om_search_again(s);
        bool walked = s->explain.plan >= OMEN_PLAN_FILTER_IN;
        OM_TRY(exact(s));
        s->explain.plan = walked ? OMEN_PLAN_ABANDONED : OMEN_PLAN_EXACT;
    }
out:
    return status;
}

omen_status_t om_search_passing(om_search *s, bool *all)
{
    omen_status_t status = OMEN_OK;
    uint32_t matches = 0;
    uint64_t begun = om_search_clock(s);
    om_part part = part_of(s);
    *all = false;
    s->explain.plan = OMEN_PLAN_EMPTY;
    OM_TRY(look_up(s));
    if (s->partial) {
        return OMEN_OK;
    }
    OM_TRY(om_part_matches(&part, s->pass, &matches, s->err));
    if (s->estimates) {
        OM_TRY(estimate(s));
    }
    s->filters.matches += matches;
    s->filters.filter_ns += om_search_clock(s) - begun;
    *all = s->pass->matches == s->pass->rows; /* then it is searched as without a filter */
    if (matches != 0 && !*all) {
        status = find_matches(s, matches);
    }
out:
    return status;
}

omen_status_t om_scan_late_passing(om_search *s, uint32_t first)
{
    omen_status_t status = look_up(s);
    return status != OMEN_OK || s->partial ? status : om_gather_raw(s, first, s->rows);
}
