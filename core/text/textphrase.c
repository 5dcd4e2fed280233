/* textphrase.c - words one behind the other: positions side by side.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_search.h"

enum { FEW = 16 }; /* words of a phrase that need no memory of their own */

/* Places p of the first word with each other word at p plus its offset less the first one's. Positions
 * ascend, so each list is walked once. at: [n], zeros. */
static uint32_t match(const om_phrasepart *parts, uint32_t n, uint32_t *at)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < parts[0].count; i++) {
        bool all = true;
        for (uint32_t k = 1; k < n && all; k++) {
            const om_phrasepart *part = &parts[k];
            /* Offsets may be before the first one's: everything is compared shifted by them. */
            const uint64_t wanted = (uint64_t)parts[0].positions[i] + part->offset;
            while (at[k] < part->count &&
                   (uint64_t)part->positions[at[k]] + parts[0].offset < wanted) {
                at[k]++;
            }
            all =
                at[k] < part->count && (uint64_t)part->positions[at[k]] + parts[0].offset == wanted;
        }
        found += all;
    }
    return found;
}

bool om_phrase_match(const om_alloc *alloc, const om_phrasepart *parts, uint32_t n, uint32_t *count)
{
    uint32_t few[FEW] = {0};
    uint32_t *at = n <= FEW ? few : om_alloc_zero(alloc, n, sizeof *at, 64);
    if (at == NULL) {
        return false;
    }
    *count = match(parts, n, at);
    if (at != few) {
        om_alloc_put(alloc, at, n * sizeof *at, 64);
    }
    return true;
}

/* Where the positions of the lane's block are, row by row. */
static omen_status_t find_places(om_lane *lane, omen_error *err)
{
    uint32_t start = 0;
    if (lane->placed) {
        return OMEN_OK;
    }
    if (!om_textlist_places(&lane->list, lane->block, lane->counts, &lane->places)) {
        return om_text_damaged(err, "positions are out of bounds");
    }
    for (uint32_t i = 0; i < lane->n; i++) {
        lane->starts[i] = start;
        start += lane->counts[i];
    }
    lane->placed = true;
    return OMEN_OK;
}

/* The positions of the lane's word in the row at its place. */
static omen_status_t load_positions(const om_alloc *alloc, om_lane *lane, om_phrasepart *part,
                                    omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint32_t count = lane->counts[lane->found];
    OM_TRY(find_places(lane, err));
    if (count > lane->positions_room) {
        OM_TRY(
            om_text_room(alloc, (void **)&lane->positions, &lane->positions_room, count, 4, err));
    }
    om_textplaces_get(&lane->places, lane->starts[lane->found], count, lane->positions);
    *part = (om_phrasepart){.positions = lane->positions, .count = count, .offset = lane->offset};
out:
    return status;
}

/* Two words that stand once each, which most do: no lists. */
static omen_status_t count_pair(om_lane *a, om_lane *b, uint32_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t at, other;
    OM_TRY(find_places(a, err));
    OM_TRY(find_places(b, err));
    om_textplaces_get(&a->places, a->starts[a->found], 1, &at);
    om_textplaces_get(&b->places, b->starts[b->found], 1, &other);
    *count = (uint64_t)at + b->offset == (uint64_t)other + a->offset;
out:
    return status;
}

omen_status_t om_phrase_count(const om_alloc *alloc, const om_runclause *clause, uint32_t *count,
                              omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_phrasepart few[FEW];
    om_phrasepart *parts = few;
    om_lane *const *lanes = clause->lanes;
    if (clause->count == 2 && lanes[0]->counts[lanes[0]->found] == 1 &&
        lanes[1]->counts[lanes[1]->found] == 1) {
        return count_pair(lanes[0], lanes[1], count, err);
    }
    if (clause->count > FEW) {
        parts = om_alloc_get(alloc, clause->count * sizeof *parts, 64);
    }
    if (parts == NULL) {
        return om_fail_memory(err, "a phrase", clause->count * sizeof *parts);
    }
    for (uint32_t k = 0; k < clause->count; k++) {
        OM_TRY(load_positions(alloc, lanes[k], &parts[k], err));
    }
    if (!om_phrase_match(alloc, parts, clause->count, count)) {
        status = om_fail_memory(err, "a phrase", clause->count * sizeof *count);
    }
out:
    if (parts != few) {
        om_alloc_put(alloc, parts, clause->count * sizeof *parts, 64);
    }
    return status;
}
