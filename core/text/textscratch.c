/* textscratch.c - the memory of a text search: kept from one to the next while it is not unusually much.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

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

static void give_back(om_textscratch *s)
{
    piece pieces[PIECES];
    free_lane_positions(s);
    list_pieces(s, pieces);
    om_alloc_put(s->alloc, s->lanes, s->lanes_room * sizeof *s->lanes, 64);
    for (uint32_t i = 1; i < PIECES; i++) {
        om_alloc_put(s->alloc, pieces[i].array, pieces[i].bytes, 16);
    }
    *s = (om_textscratch){.alloc = s->alloc};
}

void om_textscratch_free(om_textscratch *s)
{
    if (s != NULL) {
        give_back(s);
        om_alloc_put(s->alloc, s, sizeof *s, 64);
    }
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

void om_textscratch_tidy(om_textscratch *s)
{
    if (om_textscratch_bytes(s) > OM_TEXT_KEPT) {
        give_back(s);
    }
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

omen_status_t om_textscratch_room(const om_textrun *run, uint32_t images, omen_error *err)
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
