/* engine_births.c - which write made a row: where the rows of each write begin.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

enum { FIRST_ROOM = 16 };

/* Rows are appended in the order of their versions. ids_mu held for writing, here and in the next. */
omen_status_t om_births_reserve(om_segment *seg, uint32_t more, omen_error *err)
{
    om_births *b = &seg->births;
    uint32_t room = b->room == 0 ? FIRST_ROOM : b->room;
    while (room < b->count + more) {
        room *= 2;
    }
    if (room == b->room) {
        return OMEN_OK;
    }
    om_birth *list = om_alloc_grow(&seg->rt->alloc, b->list, b->room * sizeof *list,
                                   room * sizeof *list, OM_CACHE_LINE);
    if (list == NULL) {
        return om_fail_memory(err, "versions of rows", room * sizeof *list);
    }
    b->list = list;
    b->room = room;
    return OMEN_OK;
}

void om_births_push(om_segment *seg, uint64_t version, uint32_t first)
{
    om_births *b = &seg->births;
    om_assert(b->count < b->room);
    b->list[b->count++] = (om_birth){.version = version, .first = first};
}

void om_births_free(om_segment *seg)
{
    om_births *b = &seg->births;
    om_alloc_put(&seg->rt->alloc, b->list, b->room * sizeof *b->list, OM_CACHE_LINE);
    *b = (om_births){.list = NULL};
}

/* The last entry that does not begin behind the slot; count when there is none. */
uint64_t om_births_find(const om_birth *list, uint64_t count, uint32_t slot)
{
    uint64_t low = 0;
    uint64_t high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (list[middle].first <= slot) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low != 0 ? low - 1 : count;
}

/* Ascending, from slot 0 on, inside the segment: looked at once, with all blocks of the section. */
static omen_status_t check(om_segment *seg, const om_section *section, omen_error *err)
{
    om_mapped *mapped = seg->mapped;
    const om_birth *list = (const void *)section->data;
    omen_status_t status = om_segfile_verify(mapped->file, section, 0, section->bytes, err);
    for (uint64_t i = 0; i < section->rows && status == OMEN_OK; i++) {
        bool begins = i != 0 ? list[i].first > list[i - 1].first : list[i].first == 0;
        if (!begins || list[i].first >= mapped->rows) {
            status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                             "segment file: write %llu of BIRTHS begins at row %u of %u",
                             (unsigned long long)i, list[i].first, mapped->rows);
        }
    }
    if (status == OMEN_OK) {
        atomic_store_explicit(&mapped->births_checked, true, memory_order_release);
    }
    return status;
}

omen_status_t om_births_of(om_segment *seg, const om_birth **list, uint64_t *count, omen_error *err)
{
    if (seg->mapped == NULL) {
        *list = seg->births.list;
        *count = seg->births.count;
        return OMEN_OK;
    }
    const om_section *section = &seg->mapped->section[OM_SECTION_BIRTHS];
    *list = (const void *)section->data;
    *count = section->rows;
    if (section->data == NULL ||
        atomic_load_explicit(&seg->mapped->births_checked, memory_order_acquire)) {
        return OMEN_OK;
    }
    return check(seg, section, err);
}

omen_status_t om_segment_version(om_segment *seg, uint32_t slot, uint64_t *version, omen_error *err)
{
    const om_birth *list = NULL;
    uint64_t count = 0;
    omen_status_t status = om_births_of(seg, &list, &count, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t at = om_births_find(list, count, slot);
    /* Files of older versions do not say: their newest write stands for all. */
    *version = at < count ? list[at].version : atomic_load(&seg->last_version);
    return OMEN_OK;
}
