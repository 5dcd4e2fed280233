/* engine_listing.c - pages of the keys of items that pass, in the order they were written or by a field.
 * SPDX-License-Identifier: Apache-2.0
 *
 * By a field: the best `capacity` behind the last key of the page before, in a heap. A block has its rows
 * in the order of the field, so that of each block little more than a page is looked at. */
#include <string.h>

#include "engine_values.h"

enum { TOUCH_AHEAD = 64, ROUNDS = 4, FEW_SHARE = 16 };

typedef struct listed {
    om_value value; /* type 0: null */
    uint64_t key;
} listed;

typedef struct page {
    om_collection *c;
    om_filter *filter;     /* NULL: all */
    const om_field *field; /* NULL: in the order of writing */
    bool down;
    bool behind; /* there was a page before: */
    uint64_t after;
    om_place after_place;
    uint32_t after_part;
    listed last; /* of the page before */
    uint64_t *keys;
    uint64_t capacity, count;
    listed *heap;         /* [capacity], the last one of the page on top */
    const om_pass **pass; /* [parts] NULL: all */
    uint32_t parts;
    om_stop stop;
    bool late; /* rows came behind the bitmaps: once more */
} page;

/* ---- In the order of writing --------------------------------------------------------------------- */
static omen_status_t touch_keys(const om_part *part, uint32_t slot, omen_error *err)
{
    om_mapped *mapped = part->view->mapped;
    if (mapped == NULL) {
        return OMEN_OK;
    }
    uint32_t first = slot / TOUCH_AHEAD * TOUCH_AHEAD;
    return om_mapped_touch(mapped, OM_TOUCH_KEYS, first,
                           om_min_u32(TOUCH_AHEAD, part->rows - first), err);
}

static omen_status_t list_up(page *p, const om_part *part, const om_rows_of *of, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t end = ((of->last - 1) >> 6) + 1;
    for (uint32_t word = of->first >> 6; word < end && p->count < p->capacity; word++) {
        uint64_t bits = om_rows_word(of, word);
        for (; bits != 0 && p->count < p->capacity; bits &= bits - 1) {
            uint32_t slot = (word << 6) + (uint32_t)__builtin_ctzll(bits);
            OM_TRY(touch_keys(part, slot, err));
            p->keys[p->count++] = part->view->keys[slot];
        }
    }
out:
    return status;
}

static omen_status_t list_down(page *p, const om_part *part, const om_rows_of *of, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t begin = of->first >> 6;
    for (uint32_t word = ((of->last - 1) >> 6) + 1; word > begin && p->count < p->capacity;) {
        uint64_t bits = om_rows_word(of, --word);
        while (bits != 0 && p->count < p->capacity) {
            uint32_t bit = 63u - (uint32_t)__builtin_clzll(bits);
            uint32_t slot = (word << 6) + bit;
            bits &= ~(UINT64_C(1) << bit);
            OM_TRY(touch_keys(part, slot, err));
            p->keys[p->count++] = part->view->keys[slot];
        }
    }
out:
    return status;
}

/* Rows of the part that are not behind us. */
static bool rows_left(const page *p, const om_part *part, uint32_t *first, uint32_t *last)
{
    *first = 0;
    *last = part->rows;
    if (p->behind && part->number == p->after_part) {
        *(p->down ? last : first) = p->down ? p->after_place.slot : p->after_place.slot + 1;
    } else if (p->behind && (part->number < p->after_part) != p->down) {
        return false;
    }
    return *first < *last;
}

static omen_status_t list_written(page *p, const om_reader *from, omen_error *err)
{
    for (uint32_t i = 0; i < from->set->count && p->count < p->capacity; i++) {
        om_part part = om_part_of(from, p->down ? from->set->count - 1 - i : i);
        const om_pass *pass = p->filter != NULL ? p->pass[part.number] : NULL;
        uint32_t first, last;
        om_rows_of of;
        part.rows = pass != NULL ? om_min_u32(part.rows, pass->rows) : part.rows;
        if (part.view == NULL || (p->filter != NULL && pass == NULL) ||
            !rows_left(p, &part, &first, &last)) {
            continue;
        }
        omen_status_t status = om_rows_begin(&part, pass, first, last, &of, err);
        if (status == OMEN_OK) {
            status = p->down ? list_down(p, &part, &of, err) : list_up(p, &part, &of, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* ---- By a field ---------------------------------------------------------------------------------- */
/* Whether a stands behind b on the list. Nulls are last, whatever the direction; keys always rise. */
static bool stands_behind(const page *p, const listed *a, const listed *b)
{
    if (a->value.type == 0 || b->value.type == 0) {
        return a->value.type != b->value.type ? a->value.type == 0 : a->key > b->key;
    }
    int order = om_value_compare(&a->value, &b->value);
    return order != 0 ? (order > 0) != p->down : a->key > b->key;
}

static void sift_down(const page *p, uint64_t size, uint64_t at)
{
    listed item = p->heap[at];
    for (uint64_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && stands_behind(p, &p->heap[child + 1], &p->heap[child])) {
            child++;
        }
        if (!stands_behind(p, &p->heap[child], &item)) {
            break;
        }
        p->heap[at] = p->heap[child];
    }
    p->heap[at] = item;
}

static void offer(page *p, const listed *item)
{
    if (p->behind && !stands_behind(p, item, &p->last)) {
        return;
    }
    if (p->count == p->capacity) {
        if (stands_behind(p, &p->heap[0], item)) {
            p->heap[0] = *item;
            sift_down(p, p->count, 0);
        }
        return;
    }
    uint64_t at = p->count++;
    for (; at != 0 && stands_behind(p, item, &p->heap[(at - 1) / 2]); at = (at - 1) / 2) {
        p->heap[at] = p->heap[(at - 1) / 2];
    }
    p->heap[at] = *item;
}

/* Nothing with this value, or behind it, is wanted any more. */
static bool is_full_before(const page *p, const om_value *value)
{
    if (p->count < p->capacity || value->type == 0 || p->heap[0].value.type == 0) {
        return false;
    }
    int order = om_value_compare(value, &p->heap[0].value);
    return p->down ? order < 0 : order > 0;
}

static omen_status_t offer_row(page *p, const om_part *part, uint32_t slot, const om_value *value,
                               omen_error *err)
{
    omen_status_t status = touch_keys(part, slot, err);
    if (status == OMEN_OK) {
        offer(p, &(listed){.value = *value, .key = part->view->keys[slot]});
    }
    return status;
}

static bool counts(const om_rows_of *of, uint32_t slot)
{
    return slot < of->last && (om_rows_word(of, slot >> 6) >> (slot & 63) & 1) != 0;
}

static om_value value_at(const om_metablock *block, uint32_t row, uint16_t field)
{
    om_meta_value value;
    return om_metablock_get(block, row, field, &value) ? om_value_from(&value)
                                                       : (om_value){.type = 0};
}

/* Where the page begins in rows that are sorted by value: the first (downwards: behind the last) row whose
 * value is not before (behind) that of the last key. */
static uint32_t begin_at(const page *p, const om_metablock *block, const uint16_t *sorted,
                         uint32_t n)
{
    uint32_t low = 0;
    uint32_t high = n;
    if (!p->behind) {
        return p->down ? n : 0;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        om_value value = value_at(block, sorted[middle], p->field->id);
        int order = om_value_compare(&value, &p->last.value);
        if (p->down ? order <= 0 : order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static omen_status_t offer_sorted(page *p, const om_part *part, const om_rows_of *of,
                                  const om_meta_part *meta, const om_metablock *block,
                                  omen_error *err)
{
    const uint16_t *sorted = NULL;
    uint32_t n = om_metablock_sorted(block, p->field->id, &sorted);
    if (n == 0 || (p->behind && p->last.value.type == 0)) {
        return OMEN_OK; /* only nulls are left */
    }
    uint32_t at = begin_at(p, block, sorted, n);
    while (p->down ? at != 0 : at < n) {
        uint32_t row = sorted[p->down ? --at : at++];
        if (!counts(of, meta->first + row)) {
            continue;
        }
        om_value value = value_at(block, row, p->field->id);
        if (is_full_before(p, &value)) {
            break;
        }
        omen_status_t status = offer_row(p, part, meta->first + row, &value, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* The few rows that pass, as they lie. */
static omen_status_t offer_few(page *p, const om_part *part, const om_rows_of *of,
                               const om_meta_part *meta, const om_metablock *block, omen_error *err)
{
    uint32_t last = om_min_u32(meta->first + meta->rows, of->last);
    for (uint32_t word = meta->first >> 6; word <= (last - 1) >> 6; word++) {
        for (uint64_t bits = om_rows_word(of, word); bits != 0; bits &= bits - 1) {
            uint32_t slot = (word << 6) + (uint32_t)__builtin_ctzll(bits);
            om_value value = value_at(block, slot - meta->first, p->field->id);
            if (value.type == 0 || is_full_before(p, &value)) {
                continue;
            }
            omen_status_t status = offer_row(p, part, slot, &value, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

/* Rows that stand in an order have a value, the others have none. */
static omen_status_t offer_nulls(page *p, const om_part *part, const om_rows_of *of,
                                 const om_meta_part *meta, const uint16_t *sorted, uint32_t valued,
                                 omen_error *err)
{
    const om_value null = {.type = 0};
    uint64_t there[OM_BLOCK_WORDS];
    uint32_t last = om_min_u32(meta->first + meta->rows, of->last);
    uint32_t first = meta->first >> 6;
    memset(there, 0, sizeof there);
    for (uint32_t i = 0; i < valued; i++) {
        there[sorted[i] >> 6] |= UINT64_C(1) << (sorted[i] & 63);
    }
    for (uint32_t word = first; word <= (last - 1) >> 6; word++) {
        /* Of a part without a block, which may be longer than one, all are null. */
        uint64_t bits = om_rows_word(of, word) & (valued != 0 ? ~there[word - first] : UINT64_MAX);
        for (; bits != 0; bits &= bits - 1) {
            uint32_t slot = (word << 6) + (uint32_t)__builtin_ctzll(bits);
            omen_status_t status = offer_row(p, part, slot, &null, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

/* Where few rows pass they are gone through as they lie; else in the order of the field, up to the page's
 * end. */
static omen_status_t offer_block(page *p, const om_part *part, const om_rows_of *of,
                                 const om_meta_part *meta, const om_metablock *block, bool nulls,
                                 omen_error *err)
{
    const uint16_t *sorted = NULL;
    uint32_t valued = block != NULL ? om_metablock_sorted(block, p->field->id, &sorted) : 0;
    uint32_t last = om_min_u32(meta->first + meta->rows, of->last);
    uint32_t passing = meta->rows;
    if (nulls ? valued == meta->rows : valued == 0) {
        return OMEN_OK;
    }
    if (of->pass != NULL) {
        passing = om_pass_count(of->pass, last) - om_pass_count(of->pass, meta->first);
    }
    if (nulls) {
        return offer_nulls(p, part, of, meta, sorted, valued, err);
    }
    return passing < valued / FEW_SHARE ? offer_few(p, part, of, meta, block, err)
                                        : offer_sorted(p, part, of, meta, block, err);
}

static omen_status_t offer_single(page *p, const om_part *part, const om_fields_look *look,
                                  const om_rows_of *of, bool nulls, omen_error *err)
{
    for (uint32_t slot = look->any ? look->parts->meta_covered : 0; slot < of->last; slot++) {
        om_meta_value cell;
        om_value value = {.type = 0};
        const uint8_t *row = look->any ? om_fields_meta_row(look, slot) : NULL;
        if (row != NULL && om_meta_get(row, p->field->id, &cell)) {
            value = om_value_from(&cell);
        }
        if ((value.type == 0) != nulls || !counts(of, slot) || is_full_before(p, &value)) {
            continue;
        }
        omen_status_t status = offer_row(p, part, slot, &value, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t offer_part(page *p, const om_part *part, const om_pass *pass, bool nulls,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_fields_look look;
    om_rows_of of;
    om_fields_look_at(part->segment, part->rows, &look);
    OM_TRY(om_rows_begin(part, pass, 0, part->rows, &of, err));
    for (uint32_t i = 0; look.any && i < look.parts->meta_count; i++) {
        const om_meta_part *meta = &look.parts->meta[i];
        const om_metablock *block = NULL;
        if (meta->first >= part->rows) {
            break;
        }
        if (!meta->none) {
            OM_TRY(om_fields_block(&look, i, &block, err));
        }
        OM_TRY(offer_block(p, part, &of, meta, block, nulls, err));
    }
    status = offer_single(p, part, &look, &of, nulls, err);
out:
    return status;
}

static omen_status_t offer_all(page *p, const om_reader *from, bool nulls, omen_error *err)
{
    for (uint32_t i = 0; i < from->set->count; i++) {
        om_part part = om_part_of(from, i);
        const om_pass *pass = p->filter != NULL ? p->pass[i] : NULL;
        part.rows = pass != NULL ? om_min_u32(part.rows, pass->rows) : part.rows;
        if (part.view == NULL || part.rows == 0 || (p->filter != NULL && pass == NULL)) {
            continue;
        }
        omen_status_t status = offer_part(p, &part, pass, nulls, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t list_ordered(page *p, const om_reader *from, omen_error *err)
{
    omen_status_t status = offer_all(p, from, false, err);
    if (status == OMEN_OK && p->count < p->capacity) {
        status = offer_all(p, from, true, err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    for (uint64_t n = p->count; n > 1; n--) {
        listed last = p->heap[n - 1];
        p->heap[n - 1] = p->heap[0];
        p->heap[0] = last;
        sift_down(p, n - 1, 0);
    }
    for (uint64_t i = 0; i < p->count; i++) {
        p->keys[i] = p->heap[i].key;
    }
    return OMEN_OK;
}

/* ---- The call ------------------------------------------------------------------------------------ */
/* What may take long or take locks below ids_mu: bitmaps, and the first look at blocks of files. */
static omen_status_t prepare_part(page *p, const om_part *part, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_fields_look look;
    om_pass_need need = {.segment = part->segment,
                         .rows = part->rows,
                         .past = part->snapshot != NULL,
                         .stop = &p->stop};
    if (p->filter != NULL) {
        OM_TRY(om_filter_pass(p->filter, &need, &p->pass[part->number], err));
    }
    if (p->field == NULL || part->segment->mapped == NULL) {
        return OMEN_OK;
    }
    om_fields_look_at(part->segment, part->rows, &look);
    for (uint32_t i = 0; look.any && i < look.parts->meta_count; i++) {
        const om_metablock *block = NULL;
        if (!look.parts->meta[i].none) {
            OM_TRY(om_fields_block(&look, i, &block, err));
        }
    }
out:
    return status;
}

static omen_status_t prepare(page *p, const om_reader *from, omen_error *err)
{
    const om_alloc *alloc = &p->c->rt->alloc;
    om_alloc_put(alloc, p->pass, p->parts * sizeof *p->pass, OM_CACHE_LINE);
    p->parts = from->set->count;
    p->pass = om_alloc_zero(alloc, p->parts, sizeof *p->pass, OM_CACHE_LINE);
    if (p->pass == NULL) {
        return om_fail_memory(err, "listing", p->parts * sizeof *p->pass);
    }
    for (uint32_t i = 0; i < from->set->count; i++) {
        om_part part = om_part_of(from, i);
        if (part.rows != 0 && part.view != NULL) {
            omen_status_t status = prepare_part(p, &part, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

static omen_status_t find_after(page *p, const om_reader *from, omen_error *err)
{
    om_meta_value cell;
    om_fields_look look;
    omen_status_t status = om_reader_find(from, p->after, &p->after_place, err);
    if (status == OMEN_OK && p->after_place.segment == NULL) {
        return om_fail(err, OMEN_NOT_FOUND, OMEN_D_NONE,
                       "after: no key %llu; list through a snapshot", (unsigned long long)p->after);
    }
    for (uint32_t i = 0; status == OMEN_OK && i < from->set->count; i++) {
        if (from->set->part[i] == p->after_place.segment) {
            p->after_part = i;
        }
    }
    p->last = (listed){.key = p->after};
    if (status == OMEN_OK && p->field != NULL) {
        om_fields_look_at(p->after_place.segment, om_reader_rows(from, p->after_part), &look);
        status = om_cell(&look, p->after_place.slot, p->field->id, &cell, err);
        if (status == OMEN_OK && cell.type != 0) {
            p->last.value = om_value_from(&cell);
        }
    }
    return status;
}

static bool came_late(const page *p, const om_reader *from)
{
    for (uint32_t i = 0; p->filter != NULL && i < from->set->count; i++) {
        uint32_t rows = om_reader_rows(from, i);
        if (rows != 0 && (p->pass[i] == NULL || p->pass[i]->rows < rows)) {
            return true;
        }
    }
    return false;
}

static omen_status_t list_page(page *p, const om_reader *from, omen_error *err)
{
    p->count = 0;
    if (p->capacity == 0) {
        return OMEN_OK;
    }
    return p->field != NULL ? list_ordered(p, from, err) : list_written(p, from, err);
}

/* An item that is replaced has one live row at any moment that ids_mu is held. */
static omen_status_t list_present(page *p, const om_reader *from, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_rwlock_read(&p->c->ids_mu);
    p->late = om_set_load(p->c) != from->set || came_late(p, from);
    if (p->behind) {
        status = find_after(p, from, err);
    }
    if (status == OMEN_OK) {
        status = list_page(p, from, err);
    }
    om_rwlock_unlock(&p->c->ids_mu);
    return status;
}

/* A snapshot does not change: only the maps are looked into with ids_mu held. */
static omen_status_t list_past(page *p, const om_reader *from, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    p->late = false;
    if (p->behind) {
        om_rwlock_read(&p->c->ids_mu);
        status = find_after(p, from, err);
        om_rwlock_unlock(&p->c->ids_mu);
    }
    return status != OMEN_OK ? status : list_page(p, from, err);
}

static omen_status_t list_pinned(const om_reader *from, void *args, omen_error *err)
{
    page *p = args;
    omen_status_t status = prepare(p, from, err);
    if (status != OMEN_OK) {
        return status;
    }
    return from->snapshot != NULL ? list_past(p, from, err) : list_present(p, from, err);
}

static omen_status_t check(page *p, const om_item_listing *in, omen_error *err)
{
    const uint32_t known = OMEN_LIST_DESCENDING | OMEN_LIST_AFTER;
    if ((in->options->flags & ~known) != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "listing flags: unknown bits 0x%x",
                       in->options->flags & ~known);
    }
    if (in->capacity > OMEN_MAX_BATCH_ITEMS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "capacity: %llu keys, above the limit of %u",
                       (unsigned long long)in->capacity, OMEN_MAX_BATCH_ITEMS);
    }
    if (in->options->order_by == NULL) {
        return OMEN_OK;
    }
    omen_status_t status = om_field_find(p->c, "order_by", in->options->order_by, &p->field, err);
    if (status == OMEN_OK && (p->field->type > OMEN_TYPE_BYTES)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "order_by field '%s': values of type %s have no order", p->field->name,
                       om_field_type_name(p->field->type));
    }
    return status;
}

static omen_status_t run(omen_collection *handle, page *p, omen_error *err)
{
    const om_alloc *alloc = &p->c->rt->alloc;
    omen_status_t status = OMEN_OK;
    size_t bytes = p->field != NULL ? (size_t)p->capacity * sizeof *p->heap : 0;
    if (bytes != 0) {
        p->heap = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
        if (p->heap == NULL) {
            return om_fail_memory(err, "listing", bytes);
        }
    }
    p->late = true;
    for (uint32_t round = 0; round < ROUNDS && p->late && status == OMEN_OK; round++) {
        status = om_read_pinned(handle, false, list_pinned, p, err);
    }
    om_alloc_put(alloc, p->heap, bytes, OM_CACHE_LINE);
    om_alloc_put(alloc, p->pass, p->parts * sizeof *p->pass, OM_CACHE_LINE);
    return status;
}

omen_status_t om_collection_list_items(omen_collection *handle, const om_item_listing *in,
                                       uint64_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    page p = {.c = c,
              .down = (in->options->flags & OMEN_LIST_DESCENDING) != 0,
              .behind = (in->options->flags & OMEN_LIST_AFTER) != 0,
              .after = in->options->after,
              .keys = in->keys,
              .capacity = in->capacity};
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(om_filter_of(c, in->options->filter, &p.filter, err));
    OM_TRY(check(&p, in, err));
    OM_TRY(run(handle, &p, err));
    *count = p.count;
out:
    return om_explain_memory(c->rt, rejections, status, err);
}
