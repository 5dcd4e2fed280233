/* engine_pass_live.c - rows that pass and live: counted once for each number of deaths, and gone through
 * word by word.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_filter.h"

om_part om_part_of(const om_reader *from, uint32_t number)
{
    om_segment *seg = from->set->part[number];
    om_part part = {.segment = seg, .snapshot = from->snapshot, .number = number};
    part.rows = atomic_load(&seg->visible); /* before the view, which then has these rows */
    part.live = om_min_u32(atomic_load(&seg->live), part.rows);
    part.view = om_view_load(seg);
    if (from->snapshot != NULL) {
        part.rows = from->snapshot->rows[number];
        part.live = from->snapshot->live_rows[number];
    }
    return part;
}

omen_status_t om_rows_begin(const om_part *part, const om_pass *pass, uint32_t first, uint32_t last,
                            om_rows_of *out, omen_error *err)
{
    om_mapped *mapped = part->view->mapped;
    bool past = part->snapshot != NULL;
    *out = (om_rows_of){.pass = pass,
                        .dead_then = past ? part->snapshot->dead[part->number] : NULL,
                        .dead_now = part->view->dead,
                        .first = first,
                        .last = last};
    if (mapped != NULL && !past) {
        return om_mapped_touch(mapped, OM_TOUCH_DEAD, first, last - first, err);
    }
    return OMEN_OK;
}

static uint32_t bits_of(uint64_t x)
{
    x -= (x >> 1) & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    return (uint32_t)((x * UINT64_C(0x0101010101010101)) >> 56);
}

/* Live rows of [first, last). */
static omen_status_t count_live(const om_part *part, const om_pass *pass, uint32_t first,
                                uint32_t last, uint32_t *out, omen_error *err)
{
    om_rows_of of;
    *out = 0;
    if (first >= last) {
        return OMEN_OK;
    }
    omen_status_t status = om_rows_begin(part, pass, first, last, &of, err);
    for (uint32_t word = first >> 6; status == OMEN_OK && word <= (last - 1) >> 6; word++) {
        *out += bits_of(om_rows_word(&of, word));
    }
    return status;
}

/* Passing rows of the whole bitmap that are dead, kept with the number of deaths at which they were
 * counted: what was counted holds at least as many deaths, which searches from then on see as well. */
static omen_status_t dead_now(const om_part *part, const om_pass *pass, uint32_t *out,
                              omen_error *err)
{
    om_pass *kept = (om_pass *)(uintptr_t)pass; /* but for these two numbers it is immutable */
    uint32_t deaths = (uint32_t)atomic_load_explicit(&part->segment->deaths, memory_order_acquire);
    uint64_t known = atomic_load_explicit(&kept->dead_now, memory_order_relaxed);
    if (known != UINT64_MAX && (uint32_t)(known >> 32) == deaths) {
        *out = (uint32_t)known;
        return OMEN_OK;
    }
    uint32_t live = 0;
    omen_status_t status = count_live(part, pass, 0, pass->rows, &live, err);
    if (status == OMEN_OK) {
        *out = pass->matches - om_min_u32(live, pass->matches);
        atomic_store_explicit(&kept->dead_now, (uint64_t)deaths << 32 | *out, memory_order_relaxed);
    }
    return status;
}

static omen_status_t matches_then(const om_part *part, const om_pass *pass, uint32_t *out,
                                  omen_error *err)
{
    om_pass *kept = (om_pass *)(uintptr_t)pass;
    uint32_t serial = (uint32_t)part->snapshot->serial;
    uint64_t known = atomic_load_explicit(&kept->live_then, memory_order_relaxed);
    if ((uint32_t)(known >> 32) == serial && serial != 0) {
        *out = (uint32_t)known;
        return OMEN_OK;
    }
    omen_status_t status = count_live(part, pass, 0, part->rows, out, err);
    if (status == OMEN_OK) {
        atomic_store_explicit(&kept->live_then, (uint64_t)serial << 32 | *out,
                              memory_order_relaxed);
    }
    return status;
}

/* The bitmap has rows that came after those that are seen: of its dead ones, those behind do not count.
 * Unless some died between the two looks, then the rows that are seen are counted. */
static omen_status_t matches_of_fewer(const om_part *part, const om_pass *pass, uint32_t matches,
                                      uint32_t *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t dead = 0, live = 0;
    om_part newer = *part; /* whose view has all rows of the bitmap */
    uint64_t deaths = atomic_load(&part->segment->deaths);
    newer.view = om_view_load(part->segment);
    OM_TRY(dead_now(&newer, pass, &dead, err));
    OM_TRY(count_live(&newer, pass, part->rows, pass->rows, &live, err));
    if (atomic_load(&part->segment->deaths) != deaths) {
        return count_live(part, pass, 0, part->rows, out, err);
    }
    uint32_t behind = pass->matches - matches - om_min_u32(live, pass->matches - matches);
    *out = matches - om_min_u32(dead - om_min_u32(behind, dead), matches);
out:
    return status;
}

omen_status_t om_part_matches(const om_part *part, const om_pass *pass, uint32_t *out,
                              omen_error *err)
{
    uint32_t dead = 0;
    *out = 0;
    if (part->rows == 0 || part->view == NULL) {
        return OMEN_OK;
    }
    if (pass == NULL) {
        *out = part->live;
        return OMEN_OK;
    }
    uint32_t matches = om_pass_count(pass, part->rows);
    if (matches == 0 || (part->snapshot != NULL && part->live == part->rows)) {
        *out = matches;
        return OMEN_OK;
    }
    if (part->snapshot != NULL) {
        return matches_then(part, pass, out, err);
    }
    if (part->rows == pass->rows) {
        omen_status_t status = dead_now(part, pass, &dead, err);
        *out = matches - om_min_u32(dead, matches);
        return status;
    }
    return matches_of_fewer(part, pass, matches, out, err);
}
