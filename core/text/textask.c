/* textask.c - words and phrases are asked about rows that others brought up.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

static omen_status_t damaged(omen_error *err)
{
    return om_text_damaged(err, "a block of postings is out of bounds");
}

/* ---- Asking --------------------------------------------------------------------------------- */
/* Loads the row's block and finds it there; false in *there: the lane does not have it. */
static omen_status_t find_row(om_lane *lane, uint32_t row, bool *there, omen_error *err)
{
    *there = false;
    if (!om_lane_seek(lane, row)) {
        return OMEN_OK;
    }
    if (!om_lane_load(lane, lane->next)) {
        return damaged(err);
    }
    const uint32_t at = om_lane_forward(lane, row);
    *there = at < lane->n && lane->rows[at] == row;
    return OMEN_OK;
}

/* What a word adds to a row. `enough`: when the bound of its block there is below, the row is no
 * candidate, and *sum becomes 0. */
static omen_status_t ask_word(om_lane *lane, uint32_t row, uint32_t enough, uint32_t *sum,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool there;
    if (!om_lane_seek(lane, row)) {
        return OMEN_OK;
    }
    if (lane->block != lane->next && *sum + om_lane_block_bound(lane, lane->next) < enough) {
        *sum = 0;
        return OMEN_OK;
    }
    OM_TRY(find_row(lane, row, &there, err));
    if (there) {
        if (!om_lane_count(lane)) {
            return damaged(err);
        }
        *sum +=
            lane->scored
                ? lane->scores[lane->found]
                : om_formula_score(&lane->formula, lane->counts[lane->found],
                                   om_textimage_length(lane->list.image, lane->list.field, row));
    }
out:
    return status;
}

/* A word is asked about *n candidates; those that are not enough any more go. */
static omen_status_t ask_rows(om_textrun *run, om_runclause *clause, uint32_t enough, uint32_t *n,
                              omen_error *err)
{
    om_textscratch *s = run->scratch;
    om_lane *lane = clause->lanes[0];
    const uint32_t count = *n;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sum = s->row_sums[i];
        const uint32_t row = s->rows[i];
        if (sum + clause->bound < enough) {
            continue;
        }
        omen_status_t status = ask_word(lane, row, enough, &sum, err);
        if (status != OMEN_OK) {
            return status;
        }
        s->rows[kept] = row;
        s->row_sums[kept] = sum;
        kept += sum >= enough;
    }
    *n = kept;
    return OMEN_OK;
}

/* The phrase is there no more often than its rarest word: most rows are out before positions are
 * read. */
omen_status_t om_ask_phrase(const om_textrun *run, om_runclause *clause, uint32_t row,
                            uint32_t enough, uint32_t *sum, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t count = UINT32_MAX;
    for (uint32_t k = 0; k < clause->count; k++) {
        om_lane *lane = clause->lanes[k];
        bool there;
        OM_TRY(find_row(lane, row, &there, err));
        if (!there) {
            return OMEN_OK;
        }
        if (!om_lane_count(lane)) {
            return damaged(err);
        }
        count = om_min_u32(count, lane->counts[lane->found]);
    }
    const om_textlist *list = &clause->lanes[0]->list;
    const uint32_t length = om_textimage_length(list->image, list->field, row);
    if (*sum + om_formula_score(&clause->formula, count, length) + 2 < enough) {
        *sum = 0;
        return OMEN_OK;
    }
    OM_TRY(om_phrase_count(run->scratch->alloc, clause, &count, err));
    *sum += count != 0 ? om_formula_score(&clause->formula, count, length) : 0;
out:
    return status;
}

static omen_status_t ask_phrases(om_textrun *run, om_runclause *clause, uint32_t enough,
                                 uint32_t *n, omen_error *err)
{
    om_textscratch *s = run->scratch;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++) {
        uint32_t sum = s->row_sums[i];
        const uint32_t row = s->rows[i];
        if (sum + clause->bound < enough) {
            continue;
        }
        omen_status_t status = om_ask_phrase(run, clause, row, enough, &sum, err);
        if (status != OMEN_OK) {
            return status;
        }
        s->rows[kept] = row;
        s->row_sums[kept] = sum;
        kept += sum >= enough;
    }
    *n = kept;
    return OMEN_OK;
}

/* The same as ask_rows when there are so many candidates that every block is wanted: all of the
 * word's rows of the window are added to those sums that are candidates'. */
static omen_status_t ask_window(om_textrun *run, const om_window *w, om_runclause *clause,
                                uint32_t enough, uint32_t *n, omen_error *err)
{
    om_textscratch *s = run->scratch;
    om_lane *lane = clause->lanes[0];
    const uint32_t count = *n, span = w->to - w->from;
    uint32_t kept = 0;
    if (!om_lane_seek(lane, s->rows[0])) {
        return OMEN_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        s->sums[s->rows[i] - w->from] = s->row_sums[i];
    }
    for (uint32_t block = lane->next; block < lane->list.blocks; block++) {
        run->search->counters.postings += lane->block == block ? 0 : OM_PACK;
        if (!om_lane_load(lane, block) || !om_lane_score(lane)) {
            return damaged(err);
        }
        for (uint32_t i = 0; i < lane->n; i++) {
            const uint32_t at = lane->rows[i] - w->from;
            if (at < span) {
                const uint32_t sum = s->sums[at];
                s->sums[at] = sum + (sum != 0 ? lane->scores[i] : 0);
            }
        }
        if (om_lane_last(lane, block) >= s->rows[count - 1]) {
            break;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = s->rows[i], sum = s->sums[row - w->from];
        s->sums[row - w->from] = 0;
        s->rows[kept] = row;
        s->row_sums[kept] = sum;
        kept += sum >= enough;
    }
    *n = kept;
    return OMEN_OK;
}

/* Asking about a candidate costs as much as adding so many rows. */
enum { ASK_COST = 4 };
static bool asks_window(const om_textrun *run, const om_window *w, const om_runclause *clause,
                        uint32_t n)
{
    return w->summed && clause->cost * (w->to - w->from) / run->limit < (uint64_t)n * ASK_COST;
}

/* Asks the clauses [0, w->asked), the strongest first, about n candidates in ascending order; those
 * that cannot be among the best go. The rest is offered. */
omen_status_t om_ask_all(om_textrun *run, const om_window *w, uint32_t n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    uint32_t rest = 0;
    run->search->counters.candidates += n;
    for (uint32_t j = 0; j < w->asked; j++) {
        rest += s->order[j]->bound;
    }
    for (uint32_t j = w->asked; j-- > 0 && n != 0;) {
        om_runclause *clause = s->order[j];
        OM_TRY(om_textrun_stop(run, 1 + n / 64));
        rest -= clause->bound;
        const uint32_t enough = run->need > rest ? run->need - rest : 0;
        if (clause->count > 1) {
            OM_TRY(ask_phrases(run, clause, enough, &n, err));
        } else if (asks_window(run, w, clause, n)) {
            OM_TRY(ask_window(run, w, clause, enough, &n, err));
        } else {
            OM_TRY(ask_rows(run, clause, enough, &n, err));
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (s->row_sums[i] != 0 && s->row_sums[i] >= run->need) {
            om_textrun_offer(run, s->rows[i], s->row_sums[i]);
        }
    }
out:
    return status;
}
