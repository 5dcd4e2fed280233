/* textlist.c - reading one list of postings, with bounds: whatever the bytes are, rows stay below the
 * image's rows and nothing is read outside of the image.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

static omen_status_t open_short(om_textlist *list, const om_textentry *entry)
{
    const uint64_t size = list->image->head->lists_size;
    if (entry->list > size || size - entry->list < 4) {
        return OMEN_DATA_LOSS;
    }
    const uint8_t *at = list->image->lists + entry->list;
    list->kind = OM_LIST_SHORT;
    list->row_width = at[0];
    list->count_width = at[1];
    list->position_width = at[2];
    list->base = at + 4;
    list->room = size - entry->list - 4;
    const bool good =
        at[0] <= 32 && at[1] <= OM_TEXT_MAX_BITS && at[2] <= 32 &&
        om_pack_bytes(list->df - 1, at[0]) + om_pack_bytes(list->df, at[1]) <= list->room;
    return good ? OMEN_OK : OMEN_DATA_LOSS;
}

static omen_status_t open_long(om_textlist *list, const om_textentry *entry)
{
    const uint64_t size = list->image->head->lists_size;
    const uint64_t tables = (uint64_t)entry->extra * 16;
    uint32_t head[4];
    if (entry->list % 16 != 0 || entry->list > size || tables > size - entry->list ||
        size - entry->list - tables < sizeof head) {
        return OMEN_DATA_LOSS;
    }
    const uint8_t *at = list->image->lists + entry->list;
    const uint64_t room = size - entry->list - tables - sizeof head;
    list->kind = OM_LIST_LONG;
    list->base = at;
    list->room = tables; /* blocks and positions are in front of the tables */
    memcpy(head, at + tables, sizeof head);
    list->blocks = head[0];
    list->groups = head[1];
    list->impacts = head[2];
    const uint64_t blocks = ((uint64_t)list->df + OM_PACK - 1) / OM_PACK;
    const uint64_t groups = (blocks + OM_TEXT_GROUP - 1) / OM_TEXT_GROUP;
    if (list->blocks != blocks || list->groups != groups ||
        blocks * 18 + (blocks + groups + 2) * 4 + (uint64_t)list->impacts * 4 > room) {
        return OMEN_DATA_LOSS;
    }
    at += tables + sizeof head;
    list->positions = (const uint64_t *)(const void *)at;
    list->last = (const uint32_t *)(const void *)(at + blocks * 8);
    list->data = list->last + blocks;
    list->impact_at = list->data + blocks;
    list->impact = (const uint16_t *)(const void *)(list->impact_at + blocks + groups + 2);
    list->widths = (const uint8_t *)(list->impact + (size_t)list->impacts * 2);
    return OMEN_OK;
}

omen_status_t om_textlist_open(const om_textimage *image, uint32_t term, om_textlist *out)
{
    const om_textentry *entry = &image->entries[term];
    *out = (om_textlist){.image = image,
                         .df = entry->df,
                         .field = om_textentry_field(entry),
                         .row = entry->extra,
                         .blocks = 1};
    if (entry->df == 0 || entry->df > image->head->rows || out->field >= image->head->fields) {
        return OMEN_DATA_LOSS;
    }
    if (entry->df >= OM_PACK) {
        return open_long(out, entry);
    }
    if (entry->extra >= image->head->rows) {
        return OMEN_DATA_LOSS;
    }
    if ((entry->list & OM_TEXT_INLINE) != 0) {
        out->kind = OM_LIST_ONE;
        out->position = (uint32_t)entry->list;
        return entry->df == 1 ? OMEN_OK : OMEN_DATA_LOSS;
    }
    return open_short(out, entry);
}

/* Gaps less one become rows. The largest row is found by or-ing: it has no bit above those of the
 * image's last row, or the rows are looked at one by one. */
static uint32_t add_gaps(uint32_t before, uint32_t n, uint32_t *rows)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < n; i++) {
        before += rows[i] + 1;
        rows[i] = before;
        all |= before;
    }
    return all;
}

static bool rows_inside(const om_textlist *list, const uint32_t *rows, uint32_t n, uint32_t all)
{
    const uint32_t limit = list->image->head->rows;
    if (all < limit) {
        return true;
    }
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        largest = om_max_u32(largest, rows[i]);
    }
    return largest < limit;
}

bool om_textlist_rows(const om_textlist *list, uint32_t block, uint32_t *rows)
{
    if (list->kind == OM_LIST_ONE) {
        rows[0] = list->row;
        return true;
    }
    if (list->kind == OM_LIST_SHORT) {
        rows[0] = list->row;
        om_unpack_some(list->base, list->df - 1, list->row_width, rows + 1);
        uint32_t all = add_gaps(list->row, list->df - 1, rows + 1);
        return rows_inside(list, rows, list->df, all | list->row);
    }
    const uint32_t n = om_textlist_count(list, block);
    const uint32_t width = list->widths[(size_t)block * 2];
    const uint64_t at = (uint64_t)list->data[block] * 16;
    const uint32_t before = block == 0 ? UINT32_MAX : list->last[block - 1];
    uint32_t all;
    if (width > 32 || at > list->room || list->room - at < om_pack_bytes(n, width)) {
        return false;
    }
    if (n == OM_PACK) {
        all = om_unpack_rows(list->base + at, width, before, rows);
    } else {
        om_unpack_some(list->base + at, n, width, rows);
        all = add_gaps(before, n, rows);
    }
    return rows_inside(list, rows, n, all);
}

bool om_textlist_counts(const om_textlist *list, uint32_t block, uint32_t *counts)
{
    uint32_t n = om_textlist_count(list, block);
    if (list->kind == OM_LIST_ONE) {
        counts[0] = 1;
        return true;
    }
    if (list->kind == OM_LIST_SHORT) {
        om_unpack_some(list->base + om_pack_bytes(n - 1, list->row_width), n, list->count_width,
                       counts);
    } else {
        const uint32_t width = list->widths[(size_t)block * 2 + 1];
        const uint64_t at =
            (uint64_t)list->data[block] * 16 + om_pack_bytes(n, list->widths[(size_t)block * 2]);
        if (width > OM_TEXT_MAX_BITS || at > list->room ||
            list->room - at < om_pack_bytes(n, width)) {
            return false;
        }
        if (n == OM_PACK) {
            om_unpack_full(list->base + at, width, counts);
        } else {
            om_unpack_some(list->base + at, n, width, counts);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        counts[i]++;
    }
    return true;
}

bool om_textlist_places(const om_textlist *list, uint32_t block, const uint32_t *counts,
                        om_textplaces *out)
{
    const uint32_t n = om_textlist_count(list, block);
    uint64_t at;
    *out = (om_textplaces){.total = 0};
    for (uint32_t i = 0; i < n; i++) {
        out->total += counts[i];
    }
    if (list->kind == OM_LIST_ONE) {
        out->only = list->position;
        return true;
    }
    if (list->kind == OM_LIST_SHORT) {
        at = om_pack_bytes(n - 1, list->row_width) + om_pack_bytes(n, list->count_width);
        out->width = list->position_width;
    } else {
        at = list->positions[block] & ((UINT64_C(1) << 56) - 1);
        out->width = (uint32_t)(list->positions[block] >> 56);
    }
    out->bytes = list->base + at;
    /* Positions of a row differ, so no bits at all means one position a row. */
    return out->width <= 32 && at <= list->room && (out->width != 0 || out->total == n) &&
           om_pack_bytes(out->total, out->width) <= list->room - at;
}
