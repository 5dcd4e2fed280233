/* textwindow.c - the best rows of one image: block-max MaxScore over windows of rows. Words that alone
 * cannot lift a row among the best are only asked about rows that another one brought up.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

static omen_status_t damaged(omen_error *err)
{
    return om_text_damaged(err, "a block of postings is out of bounds");
}

static uint32_t bound_below(const om_textrun *run, uint32_t end)
{
    uint32_t sum = 0;
    for (uint32_t j = 0; j < end; j++) {
        sum += run->scratch->order[j]->bound;
    }
    return sum;
}

/* ---- One clause that brings up rows --------------------------------------------------------- */
/* The candidates that pass. */
static uint32_t pick_passing(om_textrun *run, uint32_t n)
{
    om_textscratch *s = run->scratch;
    uint32_t kept = 0;
    if (run->from->pass == NULL && run->from->dead == NULL) {
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = s->rows[i];
        s->row_sums[kept] = s->row_sums[i];
        s->rows[kept] = row;
        kept += om_textrun_passes(run, row);
    }
    return kept;
}

enum { SIXTEEN = 16 };
/* Bit i: scores[i] is enough. Scores are below 2^31, and signed comparisons are what every vector unit
 * has; vectors of the compiler are SSE2 or NEON at the baseline of their platforms. */
typedef int32_t v4i __attribute__((vector_size(16)));
static inline uint32_t enough_of(const uint32_t *scores, uint32_t enough)
{
    const int32_t below = (int32_t)enough - 1;
    const v4i limit = {below, below, below, below};
    v4i four[4];
    memcpy(four, scores, sizeof four);
    const v4i bits = ((four[0] > limit) & (v4i){1, 2, 4, 8}) |
                     ((four[1] > limit) & (v4i){16, 32, 64, 128}) |
                     ((four[2] > limit) & (v4i){256, 512, 1024, 2048}) |
                     ((four[3] > limit) & (v4i){4096, 8192, 16384, 32768});
    return (uint32_t)(bits[0] | bits[1] | bits[2] | bits[3]);
}

/* Rows of the loaded and scored block in the window, with sums that can be enough. */
static uint32_t pick(om_textrun *run, const om_window *w, const om_lane *lane, uint32_t enough)
{
    om_textscratch *s = run->scratch;
    uint32_t n = 0;
    for (uint32_t first = 0; first < lane->n; first += SIXTEEN) {
        for (uint32_t bits = enough_of(lane->scores + first, enough); bits != 0; bits &= bits - 1) {
            const uint32_t i = first + (uint32_t)__builtin_ctz(bits);
            s->rows[n] = lane->rows[i];
            s->row_sums[n] = lane->scores[i];
            n += lane->rows[i] >= w->from && lane->rows[i] < w->to; /* behind the last is none */
        }
    }
    return pick_passing(run, n);
}

static omen_status_t lead_word(om_textrun *run, const om_window *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_text_counters *counters = &run->search->counters;
    om_lane *lane = run->scratch->order[w->asked]->lanes[0];
    const uint32_t rest = bound_below(run, w->asked);
    if (!om_lane_seek(lane, w->from)) {
        return OMEN_OK;
    }
    for (uint32_t block = lane->next; block < lane->list.blocks; block++) {
        const uint32_t enough = run->need > rest ? run->need - rest : 0;
        OM_TRY(om_textrun_stop(run, 1));
        if (lane->top < enough) {
            break;
        }
        if (om_lane_block_bound(lane, block) < enough) {
            counters->blocks_skipped++;
        } else {
            if (!om_lane_load(lane, block) || !om_lane_score(lane)) {
                return damaged(err);
            }
            counters->postings += lane->n;
            const uint32_t n = pick(run, w, lane, enough);
            if (n != 0) {
                OM_TRY(om_ask_all(run, w, n, err));
            }
        }
        if (om_lane_last(lane, block) >= w->to - 1) {
            break;
        }
    }
out:
    return status;
}

/* ---- A phrase's rows ------------------------------------------------------------------------ */
typedef omen_status_t (*take_row)(om_textrun *run, const om_window *w, uint32_t row, uint32_t sum,
                                  omen_error *err);

/* Every row of the phrase in the window; `others`: what the rest of the query can add at most. */
static omen_status_t walk_phrase(om_textrun *run, const om_window *w, om_runclause *clause,
                                 uint32_t others, take_row take, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_lane *lane = clause->lanes[0];
    if (!om_lane_seek(lane, w->from)) {
        return OMEN_OK;
    }
    for (uint32_t block = lane->next; block < lane->list.blocks; block++) {
        const uint32_t enough = run->need > others ? run->need - others : 0;
        OM_TRY(om_textrun_stop(run, 1 + clause->count / 16));
        if (om_lane_block_bound(lane, block) < enough) {
            run->search->counters.blocks_skipped++;
        } else {
            if (!om_lane_load(lane, block)) {
                return damaged(err);
            }
            run->search->counters.postings += lane->n;
            for (uint32_t i = om_lane_place(lane, w->from); i < lane->n; i++) {
                const uint32_t row = lane->rows[i];
                uint32_t sum = 0;
                if (row >= w->to) {
                    break;
                }
                if (row >= w->from && om_textrun_passes(run, row)) {
                    OM_TRY(om_ask_phrase(run, clause, row, enough, &sum, err));
                }
                if (sum != 0) {
                    OM_TRY(take(run, w, row, sum, err));
                }
            }
        }
        if (om_lane_last(lane, block) >= w->to - 1) {
            break;
        }
    }
out:
    return status;
}

static omen_status_t ask_one(om_textrun *run, const om_window *w, uint32_t row, uint32_t sum,
                             omen_error *err)
{
    run->scratch->rows[0] = row;
    run->scratch->row_sums[0] = sum;
    return om_ask_all(run, w, 1, err);
}

/* ---- Several that bring up rows ------------------------------------------------------------- */
static omen_status_t add_one(om_textrun *run, const om_window *w, uint32_t row, uint32_t sum,
                             omen_error *err)
{
    const uint32_t at = row - w->from;
    (void)err;
    run->scratch->sums[at] += sum;
    if (!w->dense) {
        run->scratch->touched[at / 64] |= UINT64_C(1) << (at % 64);
    }
    return OMEN_OK;
}

static void add_block(om_textrun *run, const om_window *w, const om_lane *lane)
{
    uint32_t *sums = run->scratch->sums;
    uint64_t *touched = run->scratch->touched;
    const uint32_t span = w->to - w->from;
    uint32_t begin = 0, end = lane->n;
    if (lane->rows[0] < w->from) {
        begin = om_lane_place(lane, w->from);
    }
    if (lane->rows[end - 1] >= w->to) {
        end = om_min_u32(end, om_lane_place(lane, w->to));
    }
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t at = lane->rows[i] - w->from;
        if (OM_UNLIKELY(at >= span)) { /* only rows that do not ascend get here: damage */
            continue;
        }
        sums[at] += lane->scores[i];
        if (!w->dense) {
            touched[at / 64] |= UINT64_C(1) << (at % 64);
        }
    }
}

/* `others`: what the rest of the query adds in this window at most. */
static omen_status_t add_word(om_textrun *run, const om_window *w, om_runclause *clause,
                              uint32_t others, omen_error *err)
{
    om_lane *lane = clause->lanes[0];
    if (!om_lane_seek(lane, w->from)) {
        return OMEN_OK;
    }
    for (uint32_t block = lane->next; block < lane->list.blocks; block++) {
        if (om_lane_block_bound(lane, block) + others < run->need) {
            run->search->counters.blocks_skipped++;
        } else {
            run->search->counters.postings += lane->block == block ? 0 : lane->n;
            if (!om_lane_load(lane, block) || !om_lane_score(lane)) {
                return damaged(err);
            }
            add_block(run, w, lane);
        }
        if (om_lane_last(lane, block) >= w->to - 1) {
            break;
        }
    }
    return OMEN_OK;
}

/* The touched rows become candidates, and the sums are zero again. */
static uint32_t collect_touched(om_textrun *run, const om_window *w, uint32_t enough)
{
    om_textscratch *s = run->scratch;
    const uint32_t words = (w->to - w->from + 63) / 64;
    uint32_t n = 0;
    for (uint32_t i = 0; i < words; i++) {
        for (uint64_t bits = s->touched[i]; bits != 0; bits &= bits - 1) {
            const uint32_t at = i * 64 + (uint32_t)__builtin_ctzll(bits);
            s->rows[n] = w->from + at;
            s->row_sums[n] = s->sums[at];
            n += s->sums[at] >= enough;
            s->sums[at] = 0;
        }
        s->touched[i] = 0;
    }
    return n;
}

/* The same without touched[]; sums[] has room for whole sixteens. */
static uint32_t collect_dense(om_textrun *run, const om_window *w, uint32_t enough)
{
    om_textscratch *s = run->scratch;
    const uint32_t span = w->to - w->from;
    uint32_t n = 0;
    for (uint32_t first = 0; first < span; first += SIXTEEN) {
        for (uint32_t bits = enough_of(s->sums + first, enough); bits != 0; bits &= bits - 1) {
            const uint32_t at = first + (uint32_t)__builtin_ctz(bits);
            s->rows[n] = w->from + at;
            s->row_sums[n] = s->sums[at];
            n++;
        }
    }
    memset(s->sums, 0, (size_t)span * sizeof *s->sums);
    return n;
}

static omen_status_t add_window(om_textrun *run, const om_window *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    const uint32_t all = bound_below(run, run->clauses);
    for (uint32_t j = w->asked; j < run->clauses; j++) {
        om_runclause *clause = s->order[j];
        const uint32_t others = all - clause->bound;
        OM_TRY(om_textrun_stop(run, 1));
        OM_TRY(clause->count == 1 ? add_word(run, w, clause, others, err)
                                  : walk_phrase(run, w, clause, others, add_one, err));
    }
    const uint32_t rest = bound_below(run, w->asked);
    const uint32_t enough = run->need > rest ? run->need - rest : 1;
    uint32_t n = w->dense ? collect_dense(run, w, enough) : collect_touched(run, w, enough);
    n = pick_passing(run, n);
    if (n != 0) {
        status = om_ask_all(run, w, n, err);
    }
out:
    return status;
}

/* ---- Windows -------------------------------------------------------------------------------- */
static uint32_t clause_bound(om_runclause *clause, uint32_t from, uint32_t to)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t k = 0; k < clause->count; k++) {
        best = om_min_u32(best, om_lane_range_bound(clause->lanes[k], from, to));
    }
    return best;
}

/* Insertion keeps order[] by the bounds of the window: few clauses, nearly in order already. */
static void insert_by_bound(om_runclause **order, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        om_runclause *clause = order[i];
        uint32_t at = i;
        for (; at > 0 && order[at - 1]->bound > clause->bound; at--) {
            order[at] = order[at - 1];
        }
        order[at] = clause;
    }
}

static void sink(om_runclause **order, uint32_t at, uint32_t count)
{
    om_runclause *clause = order[at];
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && order[child + 1]->bound > order[child]->bound;
        if (order[child]->bound <= clause->bound) {
            break;
        }
        order[at] = order[child];
        at = child;
    }
    order[at] = clause;
}

/* Of thousands a heap, whatever order they are in. */
static void heap_by_bound(om_runclause **order, uint32_t count)
{
    for (uint32_t at = count / 2; at-- > 0;) {
        sink(order, at, count);
    }
    for (uint32_t left = count; left-- > 1;) {
        om_runclause *largest = order[0];
        order[0] = order[left];
        order[left] = largest;
        sink(order, 0, left);
    }
}

static void sort_by_bound(om_textrun *run)
{
    enum { FEW = 256 };
    if (run->clauses <= FEW) {
        insert_by_bound(run->scratch->order, run->clauses);
    } else {
        heap_by_bound(run->scratch->order, run->clauses);
    }
}

/* How many of the first clauses together cannot lift a row among the best. */
static uint32_t count_asked(const om_textrun *run)
{
    uint32_t asked = 0, sum = 0;
    while (asked < run->clauses) {
        sum += run->scratch->order[asked]->bound;
        if (sum >= run->need) {
            break;
        }
        asked++;
    }
    return asked;
}

/* So wide that about two thousand rows are brought up. */
static void set_width(const om_textrun *run, om_window *w)
{
    uint64_t cost = 1;
    for (uint32_t j = w->asked; j < run->clauses; j++) {
        cost += run->scratch->order[j]->cost;
    }
    const uint64_t wanted = (uint64_t)run->limit * 2048 / cost;
    uint32_t rows = 1024;
    while (rows < OM_WINDOW_MAX && rows < wanted) {
        rows *= 2;
    }
    w->to = run->limit - w->from > rows ? w->from + rows : run->limit;
    w->summed = true;
    w->dense = cost >= run->limit / 2;
}

static omen_status_t lead(om_textrun *run, const om_window *w, omen_error *err)
{
    om_runclause *clause = run->scratch->order[w->asked];
    if (clause->count == 1) {
        return lead_word(run, w, err);
    }
    return walk_phrase(run, w, clause, bound_below(run, w->asked), ask_one, err);
}

/* Bounds of the whole image choose who leads; those of the window may spare more. */
static omen_status_t run_window(om_textrun *run, om_window *w, uint32_t asked, omen_error *err)
{
    om_runclause **order = run->scratch->order;
    for (uint32_t j = asked; j < run->clauses; j++) {
        order[j]->bound = clause_bound(order[j], w->from, w->to);
    }
    sort_by_bound(run);
    w->asked = count_asked(run);
    if (w->asked == run->clauses) {
        return OMEN_OK;
    }
    return w->asked + 1 == run->clauses ? lead(run, w, err) : add_window(run, w, err);
}

static void use_tops(om_textrun *run)
{
    for (uint32_t j = 0; j < run->clauses; j++) {
        run->scratch->order[j]->bound = run->scratch->order[j]->top;
    }
    sort_by_bound(run);
}

/* Rows that pass are few: they are the candidates, and every clause is asked. */
static omen_status_t walk_passing(om_textrun *run, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    const om_window w = {.to = run->limit, .asked = run->clauses};
    const uint32_t words = (run->limit + 63) / 64;
    for (uint32_t i = 0; i < words;) {
        uint32_t n = 0;
        for (; i < words && n < OM_WINDOW_MAX - 64; i++) {
            for (uint64_t bits = run->from->pass[i]; bits != 0; bits &= bits - 1) {
                const uint32_t row = i * 64 + (uint32_t)__builtin_ctzll(bits);
                s->rows[n] = row;
                s->row_sums[n] = 0;
                n += row < run->limit && om_textrun_passes(run, row);
            }
        }
        OM_TRY(om_textrun_stop(run, 1));
        OM_TRY(om_ask_all(run, &w, n, err));
    }
out:
    return status;
}

/* A passing row costs a search in every list, most often with a block decoded. */
static bool few_pass(const om_textrun *run)
{
    enum { PASS_COST = 24 };
    uint64_t rows = 0, cost = 0;
    if (run->from->pass == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < run->limit / 64; i++) {
        rows += (uint64_t)__builtin_popcountll(run->from->pass[i]);
    }
    for (uint32_t j = 0; j < run->clauses; j++) {
        cost += run->scratch->order[j]->cost;
    }
    return (rows + 1) * run->clauses * PASS_COST < cost;
}

omen_status_t om_textwindow_run(om_textrun *run, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    use_tops(run);
    if (few_pass(run)) {
        return walk_passing(run, err);
    }
    for (uint32_t from = 0; from < run->limit;) {
        use_tops(run);
        const uint32_t asked = count_asked(run);
        om_window w = {.from = from, .to = run->limit, .asked = asked};
        if (asked == run->clauses) {
            break;
        }
        if (asked + 1 == run->clauses) {
            status = lead(run, &w, err);
            break;
        }
        set_width(run, &w);
        OM_TRY(om_textrun_stop(run, 1 + run->clauses / 16));
        OM_TRY(run_window(run, &w, asked, err));
        from = w.to;
    }
out:
    return status;
}
