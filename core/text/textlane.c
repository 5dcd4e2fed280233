/* textlane.c - one word's list in an image while it is searched: blocks decoded when they are needed,
 * bounds from the impacts, scores of 128 rows at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

/* ---- Bounds --------------------------------------------------------------------------------- */
/* Of an entry of impact_at[]: blocks, then groups, then the whole list. */
static uint32_t impact_bound(const om_lane *lane, uint32_t entry)
{
    const om_textlist *list = &lane->list;
    const om_formula *f = &lane->formula;
    const uint32_t first = list->impact_at[entry];
    const uint32_t end = list->impact_at[entry + 1];
    float best = 0;
    if (first >= end || end > list->impacts || list->impact[(size_t)first * 2] == UINT16_MAX) {
        return om_formula_lift(f->weight); /* damaged, or more than the pairs can tell */
    }
    for (uint32_t i = first; i < end; i++) {
        const float count = list->impact[(size_t)i * 2];
        const float length = list->impact[(size_t)i * 2 + 1];
        const float x = f->weight * count / (count + (f->ka + f->kb * length));
        best = x > best ? x : best;
    }
    return om_formula_lift(best);
}

uint32_t om_lane_block_bound(om_lane *lane, uint32_t block)
{
    if (lane->list.kind != OM_LIST_LONG) {
        return lane->top;
    }
    if (lane->bound_block != block) {
        lane->bound_block = block;
        lane->bound = impact_bound(lane, block);
    }
    return lane->bound;
}

uint32_t om_lane_range_bound(om_lane *lane, uint32_t from, uint32_t to)
{
    uint32_t best = 0;
    if (!om_lane_seek(lane, from)) {
        return 0;
    }
    if (lane->list.kind != OM_LIST_LONG) {
        for (uint32_t i = om_lane_place(lane, from); i < lane->n && lane->rows[i] < to; i++) {
            best = om_max_u32(best, lane->scores[i]);
        }
        return best;
    }
    const om_textlist *list = &lane->list;
    for (uint32_t block = lane->next; block < list->blocks;) {
        const uint32_t group = block / OM_TEXT_GROUP;
        const uint32_t last = om_min_u32(group * OM_TEXT_GROUP + OM_TEXT_GROUP, list->blocks) - 1;
        const bool whole = block % OM_TEXT_GROUP == 0 && list->last[last] < to;
        const uint32_t bound =
            whole ? impact_bound(lane, list->blocks + group) : om_lane_block_bound(lane, block);
        const uint32_t end = whole ? last : block;
        best = om_max_u32(best, bound);
        if (list->last[end] >= to - 1) {
            break;
        }
        block = end + 1;
    }
    return best;
}

/* ---- Places --------------------------------------------------------------------------------- */
/* The first block from low on whose last row is not below row; `blocks` when there is none. So far
 * ahead as steps double, then between. */
static uint32_t gallop(const uint32_t *last, uint32_t low, uint32_t blocks, uint32_t row)
{
    uint32_t step = 1;
    if (low >= blocks || last[low] >= row) {
        return low;
    }
    while (blocks - low > step && last[low + step] < row) {
        low += step;
        step *= 2;
    }
    uint32_t high = blocks - low > step ? low + step : blocks;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (last[middle] < row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

bool om_lane_seek(om_lane *lane, uint32_t row)
{
    if (lane->list.kind == OM_LIST_LONG) {
        lane->next = gallop(lane->list.last, lane->next, lane->list.blocks, row);
    } else {
        lane->next = lane->rows[lane->n - 1] < row;
    }
    return lane->next < lane->list.blocks;
}

uint32_t om_lane_place(const om_lane *lane, uint32_t row)
{
    /* Seven steps without a branch to guess. */
    const uint32_t *rows = lane->rows;
    uint32_t at = rows[63] < row ? 64 : 0;
    at += rows[at + 31] < row ? 32 : 0;
    at += rows[at + 15] < row ? 16 : 0;
    at += rows[at + 7] < row ? 8 : 0;
    at += rows[at + 3] < row ? 4 : 0;
    at += rows[at + 1] < row ? 2 : 0;
    at += rows[at] < row ? 1 : 0;
    return at + (at == OM_PACK - 1 && rows[at] < row);
}

/* ---- Blocks --------------------------------------------------------------------------------- */
bool om_lane_load(om_lane *lane, uint32_t block)
{
    if (lane->block == block) {
        return true;
    }
    lane->n = om_textlist_count(&lane->list, block);
    lane->counted = lane->scored = lane->placed = false;
    lane->block = OM_NO_BLOCK;
    if (!om_textlist_rows(&lane->list, block, lane->rows)) {
        return false;
    }
    lane->block = block;
    lane->found = 0;
    for (uint32_t i = lane->n; i < OM_PACK; i++) {
        lane->rows[i] = INT32_MAX;
    }
    return true;
}

bool om_lane_count(om_lane *lane)
{
    if (!lane->counted) {
        lane->counted = om_textlist_counts(&lane->list, lane->block, lane->counts);
    }
    return lane->counted;
}

/* Lengths of the rows, which are below the image's rows. */
static void gather_lengths(const om_lane *lane, uint32_t *out)
{
    const om_textimage *image = lane->list.image;
    const om_textfield *field = &image->fields[lane->list.field];
    const uint8_t *lengths = image->bytes + field->lengths_at;
    const uint32_t n = lane->n;
    if (field->width == 1) {
        for (uint32_t i = 0; i < n; i++) {
            out[i] = lengths[lane->rows[i]];
        }
    } else if (field->width == 2) {
        const uint16_t *wide = (const uint16_t *)(const void *)lengths;
        for (uint32_t i = 0; i < n; i++) {
            out[i] = wide[lane->rows[i]];
        }
    } else {
        const uint32_t *wider = (const uint32_t *)(const void *)lengths;
        for (uint32_t i = 0; i < n; i++) {
            out[i] = wider[lane->rows[i]] & INT32_MAX;
        }
    }
}

/* om_formula_score for a whole block: the same operations, so the same results, four at a time in any
 * vector unit. What stands behind n is computed too, and nobody's. */
bool om_lane_score(om_lane *lane)
{
    uint32_t lengths[OM_PACK] __attribute__((aligned(16))) = {0};
    if (lane->scored) {
        return true;
    }
    if (!om_lane_count(lane)) {
        return false;
    }
    const float weight = lane->formula.weight, ka = lane->formula.ka, kb = lane->formula.kb;
    gather_lengths(lane, lengths);
    for (uint32_t i = lane->n; i < OM_PACK; i++) {
        lane->counts[i] = 1;
    }
    for (uint32_t i = 0; i < OM_PACK; i++) {
        const float count = (float)(int32_t)lane->counts[i];
        const float length = (float)(int32_t)lengths[i];
        const float x = weight * count / (count + (ka + kb * length));
        lane->scores[i] = (uint32_t)(int32_t)x + 1;
    }
    lane->scored = true;
    return true;
}

bool om_lane_open(om_lane *lane, const om_textimage *image, uint32_t term,
                  const om_formula *formula)
{
    lane->formula = *formula;
    lane->next = 0;
    lane->block = lane->bound_block = OM_NO_BLOCK;
    if (om_textlist_open(image, term, &lane->list) != OMEN_OK) {
        return false;
    }
    if (lane->list.kind == OM_LIST_LONG) {
        lane->top = impact_bound(lane, lane->list.blocks + lane->list.groups);
        return true;
    }
    if (!om_lane_load(lane, 0) || !om_lane_score(lane)) {
        return false;
    }
    lane->top = 0;
    for (uint32_t i = 0; i < lane->n; i++) {
        lane->top = om_max_u32(lane->top, lane->scores[i]);
    }
    return true;
}
