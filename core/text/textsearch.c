/* textsearch.c - BM25 over many sources: statistics first, then the most promising image, then the
 * others with the threshold that it left.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "text_search.h"

/* All contributions together stay below 2^OM_SUM_BITS, plus one a clause. */
enum { OM_SUM_BITS = 30, STOP_STEPS = 64 };

/* ---- Scratch -------------------------------------------------------------------------------- */
omen_status_t om_textscratch_create(const om_alloc *alloc, om_textscratch **out, omen_error *err)
{
    om_textscratch *s = om_alloc_zero(alloc, 1, sizeof *s, 64);
    if (s == NULL) {
        return om_fail_memory(err, "a text search", sizeof *s);
    }
    s->alloc = alloc;
    *out = s;
    return OMEN_OK;
}

/* Every array, its element's size and its room, for the three functions that go through all of them. */
typedef struct piece {
    void *array;
    size_t bytes;
} piece;
enum { PIECES = 18 };

static void list_pieces(const om_textscratch *s, piece *out)
{
    const piece pieces[PIECES] = {
        {s->lanes, s->lanes_room * sizeof *s->lanes},
        {s->lane_of, s->lane_of_room * sizeof *s->lane_of},
        {s->clauses, s->clauses_room * sizeof *s->clauses},
        {s->order, s->order_room * sizeof *s->order},
        {s->formulas, s->formulas_room * sizeof *s->formulas},
        {s->stats, s->stats_room * sizeof *s->stats},
        {s->df, s->df_room * sizeof *s->df},
        {s->terms, s->terms_room * sizeof *s->terms},
        {s->images, s->images_room * sizeof *s->images},
        {s->matches, s->matches_room * sizeof *s->matches},
        {s->best, s->best_room * sizeof *s->best},
        {s->places, s->places_room * sizeof *s->places},
        {s->positions, s->positions_room * sizeof *s->positions},
        {s->sums, s->window_room * sizeof *s->sums},
        {s->touched, s->window_room / 64 * sizeof *s->touched},
        {s->rows, s->window_room * sizeof *s->rows},
        {s->row_sums, s->window_room * sizeof *s->row_sums},
        {NULL, 0},
    };
    memcpy(out, pieces, sizeof pieces);
}

static void free_lane_positions(om_textscratch *s)
{
    for (size_t i = 0; i < s->lanes_room; i++) {
        om_alloc_put(s->alloc, s->lanes[i].positions, s->lanes[i].positions_room * 4, 16);
    }
}

void om_textscratch_free(om_textscratch *s)
{
    piece pieces[PIECES];
    if (s == NULL) {
        return;
    }
    free_lane_positions(s);
    list_pieces(s, pieces);
    om_alloc_put(s->alloc, s->lanes, s->lanes_room * sizeof *s->lanes, 64);
    for (uint32_t i = 1; i < PIECES; i++) {
        om_alloc_put(s->alloc, pieces[i].array, pieces[i].bytes, 16);
    }
    om_alloc_put(s->alloc, s, sizeof *s, 64);
}

size_t om_textscratch_bytes(const om_textscratch *s)
{
    piece pieces[PIECES];
    size_t bytes = sizeof *s;
    list_pieces(s, pieces);
    for (uint32_t i = 0; i < PIECES; i++) {
        bytes += pieces[i].bytes;
    }
    for (size_t i = 0; i < s->lanes_room; i++) {
        bytes += s->lanes[i].positions_room * 4;
    }
    return bytes;
}

static omen_status_t room_for_lanes(om_textscratch *s, size_t count, omen_error *err)
{
    if (count <= s->lanes_room) {
        return OMEN_OK;
    }
    om_lane *lanes = om_alloc_zero(s->alloc, count, sizeof *lanes, 64);
    if (lanes == NULL) {
        return om_fail_memory(err, "a text search", count * sizeof *lanes);
    }
    free_lane_positions(s);
    om_alloc_put(s->alloc, s->lanes, s->lanes_room * sizeof *s->lanes, 64);
    s->lanes = lanes;
    s->lanes_room = count;
    return OMEN_OK;
}

static omen_status_t room_for_window(om_textscratch *s, omen_error *err)
{
    const size_t count = OM_WINDOW_MAX + OM_PACK;
    if (s->window_room != 0) {
        return OMEN_OK;
    }
    uint32_t *sums = om_alloc_zero(s->alloc, count, 4, 16);
    uint64_t *touched = om_alloc_zero(s->alloc, count / 64, 8, 16);
    uint32_t *rows = om_alloc_get(s->alloc, count * 4, 16);
    uint32_t *row_sums = om_alloc_get(s->alloc, count * 4, 16);
    if (sums == NULL || touched == NULL || rows == NULL || row_sums == NULL) {
        om_alloc_put(s->alloc, sums, count * 4, 16);
        om_alloc_put(s->alloc, touched, count / 64 * 8, 16);
        om_alloc_put(s->alloc, rows, count * 4, 16);
        om_alloc_put(s->alloc, row_sums, count * 4, 16);
        return om_fail_memory(err, "a text search", count * 16);
    }
    s->sums = sums;
    s->touched = touched;
    s->rows = rows;
    s->row_sums = row_sums;
    s->window_room = count;
    return OMEN_OK;
}

static omen_status_t make_room(const om_textrun *run, uint32_t images, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textscratch *s = run->scratch;
    const om_textquery *q = run->query;
    size_t terms;
    if (!om_mul_size((size_t)images + 1, q->word_count, &terms)) {
        return om_fail_memory(err, "a text search", UINT64_MAX);
    }
    OM_TRY(room_for_lanes(s, q->part_count, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->lane_of, &s->lane_of_room, q->part_count,
                        sizeof *s->lane_of, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->clauses, &s->clauses_room, q->clause_count,
                        sizeof *s->clauses, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->order, &s->order_room, q->clause_count,
                        sizeof *s->order, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->formulas, &s->formulas_room, q->clause_count,
                        sizeof *s->formulas, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->stats, &s->stats_room, q->target_count,
                        sizeof *s->stats, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->df, &s->df_room, q->word_count, sizeof *s->df, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->places, &s->places_room, q->word_count,
                        sizeof *s->places, err));
    OM_TRY(
        om_text_room(s->alloc, (void **)&s->terms, &s->terms_room, terms, sizeof *s->terms, err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->images, &s->images_room, images, sizeof *s->images,
                        err));
    OM_TRY(om_text_room(s->alloc, (void **)&s->best, &s->best_room, run->search->limit,
                        sizeof *s->best, err));
    OM_TRY(room_for_window(s, err));
    memset(s->stats, 0, q->target_count * sizeof *s->stats);
    memset(s->df, 0, q->word_count * sizeof *s->df);
    s->match_count = 0;
out:
    return status;
}

/* ---- The best so far: a heap with the worst on top ------------------------------------------ */
static bool worse(const om_best *a, const om_best *b)
{
    if (a->sum != b->sum) {
        return a->sum < b->sum;
    }
    return a->source != b->source ? a->source > b->source : a->row > b->row;
}

static void sift(om_best *best, uint32_t at, uint32_t count)
{
    const om_best moved = best[at];
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && worse(&best[child + 1], &best[child])) {
            child++;
        }
        if (!worse(&best[child], &moved)) {
            break;
        }
        best[at] = best[child];
        at = child;
    }
    best[at] = moved;
}

/* What a sum of this source must reach. Equal scores go by source and row: rows come in ascending
 * order, so only the worst of a later source can still be replaced by an equal one, and sums that
 * round to the same score are at most 2^-24 of it apart. */
static void set_need(om_textrun *run)
{
    const om_best *worst = &run->scratch->best[0];
    if (run->best < run->search->limit) {
        run->need = 1;
    } else if (worst->source > run->source) {
        run->need = worst->sum - (worst->sum >> 24);
    } else {
        run->need = worst->sum + 1;
    }
}

void om_textrun_source(om_textrun *run, uint32_t source)
{
    run->source = source;
    run->from = &run->search->sources[source];
    run->limit = run->from->count;
    if (run->from->image != NULL) {
        run->limit = om_min_u32(run->limit, run->from->image->head->rows);
    }
    set_need(run);
}

void om_textrun_offer(om_textrun *run, uint32_t row, uint32_t sum)
{
    om_best *best = run->scratch->best;
    const om_best hit = {.sum = (uint32_t)(float)sum, .source = run->source, .row = row};
    if (run->best < run->search->limit) {
        uint32_t at = run->best++;
        for (; at > 0 && worse(&hit, &best[(at - 1) / 2]); at = (at - 1) / 2) {
            best[at] = best[(at - 1) / 2];
        }
        best[at] = hit;
    } else if (worse(&best[0], &hit)) {
        best[0] = hit;
        sift(best, 0, run->best);
    }
    set_need(run);
}

static void put_hits(om_textrun *run)
{
    om_best *best = run->scratch->best;
    om_text_search *search = run->search;
    search->found = run->best;
    for (uint32_t left = run->best; left > 0; left--) {
        const om_best worst = best[0];
        best[0] = best[left - 1];
        sift(best, 0, left - 1);
        search->hits[left - 1] =
            (om_text_hit){.score = (float)ldexp((double)worst.sum, -run->exponent),
                          .source = worst.source,
                          .row = worst.row};
    }
}

omen_status_t om_textrun_stop(om_textrun *run)
{
    if (run->search->stop == NULL || ++run->steps % STOP_STEPS != 0) {
        return OMEN_OK;
    }
    return om_stop_check(run->search->stop);
}

/* ---- Statistics ----------------------------------------------------------------------------- */
/* Fields and words of one image. */
static void count_image(om_textrun *run, const om_textimage *image, uint32_t *terms)
{
    const om_textquery *q = run->query;
    om_textscratch *s = run->scratch;
    uint32_t field = UINT32_MAX, target = UINT32_MAX;
    for (uint32_t t = 0; t < q->target_count; t++) {
        const uint32_t f = om_textimage_field(image, q->targets[t].field);
        if (f != UINT32_MAX) {
            s->stats[t].rows += image->fields[f].rows;
            s->stats[t].total += image->fields[f].total;
        }
    }
    for (uint32_t i = 0; i < q->word_count; i++) { /* words of a target stand together */
        const om_queryword *word = &q->words[i];
        if (word->target != target) {
            target = word->target;
            field = om_textimage_field(image, q->targets[target].field);
        }
        terms[i] = field == UINT32_MAX
                       ? UINT32_MAX
                       : om_textimage_find(image, field, q->bytes + word->at, word->length);
        s->df[i] += terms[i] == UINT32_MAX ? 0 : image->entries[terms[i]].df;
    }
}

static double idf(const om_textrun *run, uint32_t word)
{
    const double n = (double)run->scratch->stats[run->query->words[word].target].rows;
    const double df = fmin((double)run->scratch->df[word], n);
    return log(1 + (n - df + 0.5) / (df + 0.5));
}

/* Weights of all clauses, scaled by one power of two so that their sum fills OM_SUM_BITS. */
static void make_formulas(om_textrun *run)
{
    const om_textquery *q = run->query;
    om_textscratch *s = run->scratch;
    double total = 0;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < q->clause_count; i++) {
            const om_clause *clause = &q->clauses[i];
            const om_targetstats *stats = &s->stats[clause->target];
            double weight = 0;
            for (uint32_t k = 0; k < clause->count; k++) {
                weight += idf(run, q->parts[clause->first + k].word);
            }
            weight *=
                (double)q->targets[clause->target].weight * clause->times * ((double)q->k1 + 1);
            total += pass == 0 ? weight : 0;
            /* A row that has the field has a word at least, unless an image is damaged. */
            const double average = stats->rows == 0 || stats->total < stats->rows
                                       ? 1
                                       : (double)stats->total / (double)stats->rows;
            s->formulas[i] = (om_formula){.weight = (float)ldexp(weight, run->exponent),
                                          .ka = q->k1 * (1 - q->b),
                                          .kb = (float)((double)q->k1 * (double)q->b / average)};
        }
        if (pass == 0) {
            int high;
            (void)frexp(total, &high);
            run->exponent = OM_SUM_BITS - high;
        }
    }
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
    const om_textquery *q = run->query;
    om_textscratch *s = run->scratch;
    run->clauses = 0;
    *top = 0;
    for (uint32_t i = 0; i < q->clause_count; i++) {
        om_lane **lanes = s->lane_of + q->clauses[i].first;
        bool there;
        omen_status_t status = open_clause(run, i, terms, lanes, &there, err);
        if (status != OMEN_OK) {
            return status;
        }
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
    return OMEN_OK;
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
    OM_TRY(make_room(run, images, err));
    for (uint32_t i = 0; i < search->source_count; i++) {
        const om_textimage *image = search->sources[i].image;
        if (image == NULL) {
            OM_TRY(om_textscan_rows(run, i, err));
        } else {
            s->images[number] = (om_imageorder){.source = i, .number = number};
            count_image(run, image, s->terms + (size_t)number * run->query->word_count);
            number++;
        }
    }
    make_formulas(run);
    om_textscan_score(run);
    OM_TRY(search_images(run, images, err));
    put_hits(run);
out:
    if (status != OMEN_OK) {
        clear_window(s); /* what a window that was left half way has there */
    }
    return status;
}

omen_status_t om_text_run(om_text_search *search, om_textscratch *scratch, omen_error *err)
{
    om_textrun run = {.search = search, .query = search->query, .scratch = scratch};
    uint32_t images = 0;
    search->found = 0;
    search->counters = (om_text_counters){.postings = 0};
    if (search->query->clause_count == 0 || search->limit == 0 || search->source_count == 0) {
        return OMEN_OK;
    }
    for (uint32_t i = 0; i < search->source_count; i++) {
        images += search->sources[i].image != NULL;
    }
    return run_all(&run, images, err);
}
