/* textsearch.c - BM25 over many sources: statistics first, then the most promising image, then the
 * others with the threshold that it left.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

enum { STOP_STEPS = 64 };

omen_status_t om_textrun_stop(om_textrun *run, uint32_t work)
{
    if (OM_UNLIKELY(run->failed != OMEN_OK)) {
        return run->failed;
    }
    run->steps += work;
    if (run->steps < STOP_STEPS || run->search->stop == NULL) {
        return OMEN_OK;
    }
    run->steps = 0;
    const omen_status_t status = om_stop_check(run->search->stop);
    return status == OMEN_OK
               ? OMEN_OK
               : om_fail(run->err, status, OMEN_D_NONE, "stopped while words were searched");
}

/* ---- Images --------------------------------------------------------------------------------- */
static int by_df(const om_lane *a, const om_lane *b)
{
    return (a->list.df > b->list.df) - (a->list.df < b->list.df);
}

/* The clause's lanes in the image, the rarest first; false in *there: a word of it is missing. */
static omen_status_t open_clause(om_textrun *run, uint32_t number, const uint32_t *terms,
                                 om_lane **lanes, bool *there, omen_error *err)
{
    const om_textquery *q = run->query;
    const om_clause *clause = &q->clauses[number];
    om_textscratch *s = run->scratch;
    *there = false;
    for (uint32_t k = 0; k < clause->count; k++) {
        if (terms[q->parts[clause->first + k].word] == UINT32_MAX) {
            return OMEN_OK;
        }
    }
    for (uint32_t k = 0; k < clause->count; k++) {
        const om_part *part = &q->parts[clause->first + k];
        om_lane *lane = &s->lanes[clause->first + k];
        if (!om_lane_open(lane, run->from->image, terms[part->word], &s->formulas[number])) {
            return om_text_damaged(err, "a list is out of bounds");
        }
        lane->offset = part->offset;
        uint32_t at = k;
        for (; at > 0 && by_df(lanes[at - 1], lane) > 0; at--) {
            lanes[at] = lanes[at - 1];
        }
        lanes[at] = lane;
    }
    *there = true;
    return OMEN_OK;
}

/* Opens what the image has of the query; *top: no row of it has more. */
static omen_status_t open_clauses(om_textrun *run, const uint32_t *terms, uint64_t *top,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_textquery *q = run->query;
    om_textscratch *s = run->scratch;
    run->clauses = 0;
    *top = 0;
    for (uint32_t i = 0; i < q->clause_count; i++) {
        om_lane **lanes = s->lane_of + q->clauses[i].first;
        bool there;
        OM_TRY(om_textrun_stop(run, q->clauses[i].count));
        OM_TRY(open_clause(run, i, terms, lanes, &there, err));
        if (!there) {
            continue;
        }
        om_runclause *clause = &s->clauses[run->clauses];
        *clause = (om_runclause){.lanes = lanes,
                                 .count = q->clauses[i].count,
                                 .formula = s->formulas[i],
                                 .top = lanes[0]->top,
                                 .cost = lanes[0]->list.df};
        for (uint32_t k = 1; k < clause->count; k++) {
            clause->top = om_min_u32(clause->top, lanes[k]->top);
        }
        *top += clause->top;
        s->order[run->clauses++] = clause;
    }
out:
    return status;
}

static omen_status_t search_images(om_textrun *run, uint32_t images, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    const size_t words = run->query->word_count;
    uint64_t top;
    for (uint32_t i = 0; i < images && images > 1; i++) {
        om_imageorder image = s->images[i];
        om_textrun_source(run, image.source);
        OM_TRY(open_clauses(run, s->terms + image.number * words, &image.top, err));
        uint32_t at = i;
        for (; at > 0 && s->images[at - 1].top < image.top; at--) {
            s->images[at] = s->images[at - 1];
        }
        s->images[at] = image;
    }
    for (uint32_t i = 0; i < images; i++) {
        const om_imageorder *image = &s->images[i];
        om_textrun_source(run, image->source);
        if (run->limit == 0 || (images > 1 && image->top < run->need)) {
            continue;
        }
        OM_TRY(open_clauses(run, s->terms + image->number * words, &top, err));
        if (run->clauses != 0) {
            OM_TRY(om_textwindow_run(run, err));
        }
    }
out:
    return status;
}

static void clear_window(om_textscratch *s)
{
    if (s->window_room != 0) {
        memset(s->sums, 0, s->window_room * sizeof *s->sums);
        memset(s->touched, 0, s->window_room / 64 * sizeof *s->touched);
    }
}

static omen_status_t run_all(om_textrun *run, uint32_t images, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    const om_text_search *search = run->search;
    uint32_t number = 0;
    OM_TRY(om_textscratch_room(run, images, err));
    for (uint32_t i = 0; i < search->source_count; i++) {
        const om_textimage *image = search->sources[i].image;
        if (image == NULL) {
            OM_TRY(om_textscan_rows(run, i, err));
        } else {
            s->images[number] = (om_imageorder){.source = i, .number = number};
            om_textrun_source(run, i);
            OM_TRY(om_textrun_count(run, s->terms + (size_t)number * run->query->word_count));
            number++;
        }
    }
    om_textrun_formulas(run);
    om_textscan_score(run);
    OM_TRY(search_images(run, images, err));
out:
    if (status == OMEN_OK || status == OMEN_DEADLINE_EXCEEDED) {
        om_textrun_put(run);
        status = run->failed != OMEN_OK ? run->failed : status;
    }
    if (status != OMEN_OK) {
        clear_window(s); /* what a window that was left half way has there */
    }
    return status;
}

omen_status_t om_text_run(om_text_search *search, om_textscratch *scratch, omen_error *err)
{
    om_textrun run = {.search = search, .query = search->query, .scratch = scratch, .err = err};
    uint32_t images = 0;
    search->found = 0;
    search->counters = (om_text_counters){.postings = 0};
    if (search->query->clause_count == 0 || search->limit == 0 || search->source_count == 0) {
        return OMEN_OK;
    }
    for (uint32_t i = 0; i < search->source_count; i++) {
        images += search->sources[i].image != NULL;
    }
    const omen_status_t status = run_all(&run, images, err);
    om_textscratch_tidy(scratch);
    return status;
}
