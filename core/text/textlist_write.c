/* textlist_write.c - one list of postings becomes bytes: blocks, then positions, then the tables to
 * skip by.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

/* ---- Arrays and bytes that grow ------------------------------------------------------------- */
omen_status_t om_text_room(const om_alloc *alloc, void **array, size_t *capacity, size_t count,
                           size_t size, omen_error *err)
{
    if (count <= *capacity) {
        return OMEN_OK;
    }
    const size_t wanted = count + count / 2 + 64;
    size_t bytes;
    if (!om_mul_size(wanted, size, &bytes)) {
        return om_fail_memory(err, "a text image", UINT64_MAX);
    }
    void *grown = om_alloc_grow(alloc, *array, *capacity * size, bytes, 16);
    if (grown == NULL) {
        return om_fail_memory(err, "a text image", bytes);
    }
    *array = grown;
    *capacity = wanted;
    return OMEN_OK;
}

enum { OUT_BYTES = 65536 };

static omen_status_t out_room(om_textout *out, size_t size, omen_error *err)
{
    if (out->sink == NULL) {
        return om_text_room(out->alloc, (void **)&out->data, &out->capacity, out->used + size, 1,
                            err);
    }
    omen_status_t status = OMEN_OK;
    if (out->capacity == 0) {
        status = om_text_room(out->alloc, (void **)&out->data, &out->capacity, OUT_BYTES, 1, err);
    } else if (out->capacity - out->used < size) {
        status = om_textout_flush(out, err);
    }
    return status;
}

omen_status_t om_textout_put(om_textout *out, const void *bytes, size_t size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    out->at += size;
    if (out->alloc == NULL || size == 0) {
        return OMEN_OK;
    }
    OM_TRY(out_room(out, size, err));
    if (out->sink != NULL && size > out->capacity) {
        return out->sink(out->ctx, bytes, size, err);
    }
    memcpy(out->data + out->used, bytes, size);
    out->used += size;
out:
    return status;
}

omen_status_t om_textout_align(om_textout *out, uint32_t align, omen_error *err)
{
    static const uint8_t zeros[64];
    om_assert(align <= sizeof zeros);
    return om_textout_put(out, zeros, (size_t)(-out->at & (align - 1)), err);
}

omen_status_t om_textout_flush(om_textout *out, omen_error *err)
{
    if (out->sink == NULL || out->used == 0) {
        return OMEN_OK;
    }
    const size_t size = out->used;
    out->used = 0;
    return out->sink(out->ctx, out->data, size, err);
}

void om_textout_free(om_textout *out)
{
    if (out->alloc != NULL) {
        om_alloc_put(out->alloc, out->data, out->capacity, 16);
    }
    out->data = NULL;
    out->used = out->capacity = 0;
}

/* ---- Impacts -------------------------------------------------------------------------------- */
/* Both are cut to 16 bits towards the better score, so a bound stays one. */
void om_impacts_add(om_impacts *impacts, uint32_t count, uint32_t length)
{
    const uint16_t c = (uint16_t)om_min_u32(count, UINT16_MAX);
    const uint16_t l = (uint16_t)om_min_u32(length, UINT16_MAX);
    uint32_t at = 0;
    while (at < impacts->count && impacts->pair[at][0] > c) {
        at++;
    }
    /* Before `at` are larger counts; the nearest has the shortest length of them. */
    if (at > 0 && impacts->pair[at - 1][1] <= l) {
        return;
    }
    if (at < impacts->count && impacts->pair[at][0] == c && impacts->pair[at][1] <= l) {
        return;
    }
    uint32_t end = at;
    while (end < impacts->count && impacts->pair[end][1] >= l) {
        end++;
    }
    if (end == at && impacts->count == OM_TEXT_MAX_IMPACTS) {
        /* No room: the neighbour covers both. */
        const uint32_t near = at > 0 ? at - 1 : 0;
        const uint16_t larger = impacts->pair[near][0] > c ? impacts->pair[near][0] : c;
        const uint16_t shorter = impacts->pair[near][1] < l ? impacts->pair[near][1] : l;
        memmove(impacts->pair[near], impacts->pair[near + 1],
                (impacts->count - near - 1) * sizeof impacts->pair[0]);
        impacts->count--;
        om_impacts_add(impacts, larger, shorter);
        return;
    }
    memmove(impacts->pair[at + 1], impacts->pair[end],
            (impacts->count - end) * sizeof impacts->pair[0]);
    impacts->count = impacts->count - (end - at) + 1;
    impacts->pair[at][0] = c;
    impacts->pair[at][1] = l;
}

static void add_impacts(om_impacts *to, const om_impacts *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        om_impacts_add(to, from->pair[i][0], from->pair[i][1]);
    }
}

/* ---- Blocks --------------------------------------------------------------------------------- */
void om_listwriter_begin(om_listwriter *writer)
{
    writer->begin = writer->out->at;
    writer->df = writer->held = writer->block = writer->impacts = 0;
    writer->before = UINT32_MAX;
    writer->held_positions = 0;
    writer->group.count = writer->all.count = 0;
}

static uint32_t blocks_of(uint32_t df)
{
    return df / OM_PACK + (df % OM_PACK != 0);
}

/* impact_at[] and the pairs of it. */
static omen_status_t keep_impacts(om_listwriter *writer, uint32_t entry, const om_impacts *impacts,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const size_t after = (size_t)writer->impacts + impacts->count;
    OM_TRY(om_text_room(writer->alloc, (void **)&writer->impact_at, &writer->impact_at_room,
                        (size_t)entry + 2, 4, err));
    OM_TRY(
        om_text_room(writer->alloc, (void **)&writer->impact, &writer->impact_room, after, 4, err));
    memcpy(writer->impact + (size_t)writer->impacts * 2, impacts->pair,
           impacts->count * sizeof impacts->pair[0]);
    writer->impact_at[entry] = writer->impacts;
    writer->impact_at[entry + 1] = writer->impacts = (uint32_t)after;
out:
    return status;
}

static omen_status_t keep_block(om_listwriter *writer, uint32_t n, uint32_t row_width,
                                uint32_t count_width, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint32_t block = (writer->df - n) / OM_PACK;
    const uint64_t data = (writer->out->at - writer->begin) / 16;
    om_impacts impacts = {.count = 0};
    if (data > UINT32_MAX) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT, "text: a list is too long");
    }
    OM_TRY(
        om_text_room(writer->alloc, (void **)&writer->last, &writer->last_room, block + 1, 4, err));
    OM_TRY(
        om_text_room(writer->alloc, (void **)&writer->data, &writer->data_room, block + 1, 4, err));
    OM_TRY(om_text_room(writer->alloc, (void **)&writer->widths, &writer->widths_room,
                        ((size_t)block + 1) * 2, 1, err));
    for (uint32_t i = 0; i < n; i++) {
        om_impacts_add(&impacts, writer->counts[i], writer->lengths[i]);
    }
    OM_TRY(keep_impacts(writer, block, &impacts, err));
    add_impacts(&writer->all, &impacts);
    writer->last[block] = writer->rows[n - 1];
    writer->data[block] = (uint32_t)data;
    writer->widths[(size_t)block * 2] = (uint8_t)row_width;
    writer->widths[(size_t)block * 2 + 1] = (uint8_t)count_width;
out:
    return status;
}

/* Gaps less one and counts less one of the held rows. */
static void take_gaps(const om_listwriter *writer, uint32_t *gaps, uint32_t *counts,
                      uint32_t *row_width, uint32_t *count_width)
{
    uint32_t before = writer->before, gap_bits = 0, count_bits = 0;
    for (uint32_t i = 0; i < writer->held; i++) {
        gaps[i] = writer->rows[i] - before - 1;
        counts[i] = writer->counts[i] - 1;
        gap_bits |= gaps[i];
        count_bits |= counts[i];
        before = writer->rows[i];
    }
    *row_width = om_pack_width(gap_bits);
    *count_width = om_pack_width(count_bits);
}

static omen_status_t flush_block(om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t gaps[OM_PACK] __attribute__((aligned(16)));
    uint32_t counts[OM_PACK] __attribute__((aligned(16)));
    uint8_t packed[OM_PACK * 8];
    uint32_t row_width, count_width;
    const uint32_t n = writer->held;
    take_gaps(writer, gaps, counts, &row_width, &count_width);
    OM_TRY(keep_block(writer, n, row_width, count_width, err));
    size_t rows_size = (size_t)row_width * 16, size = rows_size + (size_t)count_width * 16;
    if (n == OM_PACK) {
        om_pack_full(gaps, row_width, packed);
        om_pack_full(counts, count_width, packed + rows_size);
    } else {
        rows_size = (size_t)om_pack_bytes(n, row_width);
        size = rows_size + (size_t)om_pack_bytes(n, count_width);
        om_pack_some(gaps, n, row_width, packed);
        om_pack_some(counts, n, count_width, packed + rows_size);
    }
    OM_TRY(om_textout_put(writer->out, packed, size, err));
    OM_TRY(om_textout_align(writer->out, 16, err));
    writer->before = writer->rows[n - 1];
    writer->held = 0;
out:
    return status;
}

omen_status_t om_listwriter_row(om_listwriter *writer, uint32_t row, uint32_t count,
                                uint32_t length, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_assert(count >= 1 && (row > writer->before || writer->before == UINT32_MAX));
    if (writer->held == OM_PACK) {
        if (writer->df == OM_PACK) { /* now it is a long list */
            OM_TRY(om_textout_align(writer->out, 16, err));
            writer->begin = writer->out->at;
        }
        OM_TRY(flush_block(writer, err));
    }
    if (count > UINT32_C(1) << OM_TEXT_MAX_BITS) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "text: a word stands in an item more than 2^%d times", OM_TEXT_MAX_BITS);
    }
    writer->rows[writer->held] = row;
    writer->counts[writer->held] = count;
    writer->lengths[writer->held] = length;
    writer->held++;
    writer->df++;
out:
    return status;
}

/* Lists of up to 127 rows wait whole; so does one of 128, which is long. */
static bool is_long(const om_listwriter *writer)
{
    return writer->df >= OM_PACK;
}

static omen_status_t keep_groups(om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint32_t blocks = blocks_of(writer->df);
    uint32_t entry = blocks;
    for (uint32_t first = 0; first < blocks; first += OM_TEXT_GROUP, entry++) {
        om_impacts group = {.count = 0};
        const uint32_t end = om_min_u32(first + OM_TEXT_GROUP, blocks);
        for (uint32_t i = writer->impact_at[first]; i < writer->impact_at[end]; i++) {
            om_impacts_add(&group, writer->impact[(size_t)i * 2],
                           writer->impact[(size_t)i * 2 + 1]);
        }
        OM_TRY(keep_impacts(writer, entry, &group, err));
    }
    OM_TRY(keep_impacts(writer, entry, &writer->all, err));
out:
    return status;
}

omen_status_t om_listwriter_turn(om_listwriter *writer, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_assert(writer->df != 0);
    if (!is_long(writer)) {
        return OMEN_OK;
    }
    if (writer->df == OM_PACK) {
        OM_TRY(om_textout_align(writer->out, 16, err));
        writer->begin = writer->out->at;
    }
    OM_TRY(flush_block(writer, err));
    OM_TRY(keep_groups(writer, err));
out:
    return status;
}

/* ---- Positions ------------------------------------------------------------------------------ */
/* Packs the held positions into out; returns their width. */
static omen_status_t put_positions(om_listwriter *writer, uint32_t *width, omen_error *err)
{
    uint8_t packed[OM_PACK * 4];
    uint32_t all = 0;
    for (size_t i = 0; i < writer->held_positions; i++) {
        all |= writer->positions[i];
    }
    *width = om_pack_width(all);
    /* Pieces of 128: each ends at a byte. */
    for (size_t at = 0; at < writer->held_positions; at += OM_PACK) {
        const size_t left = writer->held_positions - at;
        const uint32_t n = left < OM_PACK ? (uint32_t)left : OM_PACK;
        om_pack_some(writer->positions + at, n, *width, packed);
        omen_status_t status =
            om_textout_put(writer->out, packed, (size_t)om_pack_bytes(n, *width), err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    writer->held_positions = 0;
    return OMEN_OK;
}

static omen_status_t flush_positions(om_listwriter *writer, uint32_t block, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint64_t place = writer->out->at - writer->begin;
    uint32_t width;
    OM_TRY(om_text_room(writer->alloc, (void **)&writer->places, &writer->places_room, block + 1, 8,
                        err));
    OM_TRY(put_positions(writer, &width, err));
    writer->places[block] = place | (uint64_t)width << 56;
out:
    return status;
}

omen_status_t om_listwriter_room(om_listwriter *writer, uint32_t count, uint32_t **out,
                                 omen_error *err)
{
    omen_status_t status =
        om_text_room(writer->alloc, (void **)&writer->positions, &writer->positions_room,
                     writer->held_positions + count, 4, err);
    *out = writer->positions + writer->held_positions;
    return status;
}

omen_status_t om_listwriter_positions(om_listwriter *writer, uint32_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t *positions = writer->positions + writer->held_positions;
    for (uint32_t i = count; i-- > 1;) {
        positions[i] -= positions[i - 1];
    }
    writer->held_positions += count;
    writer->block++;
    if (is_long(writer) && (writer->block % OM_PACK == 0 || writer->block == writer->df)) {
        OM_TRY(flush_positions(writer, (writer->block - 1) / OM_PACK, err));
    }
out:
    return status;
}

/* ---- The end of a list ---------------------------------------------------------------------- */
static omen_status_t end_short(om_listwriter *writer, om_textentry *entry, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t gaps[OM_PACK], counts[OM_PACK];
    uint8_t packed[4 + OM_PACK * 8] = {0};
    uint32_t row_width, count_width, all = 0;
    entry->extra = writer->rows[0];
    if (writer->df == 1 && writer->counts[0] == 1) {
        entry->list = OM_TEXT_INLINE | writer->positions[0];
        return OMEN_OK;
    }
    writer->before = writer->rows[0] - 1;
    take_gaps(writer, gaps, counts, &row_width, &count_width);
    for (size_t i = 0; i < writer->held_positions; i++) {
        all |= writer->positions[i];
    }
    packed[0] = (uint8_t)row_width;
    packed[1] = (uint8_t)count_width;
    packed[2] = (uint8_t)om_pack_width(all);
    size_t used = 4;
    om_pack_some(gaps + 1, writer->df - 1, row_width, packed + used);
    used += (size_t)om_pack_bytes(writer->df - 1, row_width);
    om_pack_some(counts, writer->df, count_width, packed + used);
    used += (size_t)om_pack_bytes(writer->df, count_width);
    entry->list = writer->begin;
    OM_TRY(om_textout_put(writer->out, packed, used, err));
    OM_TRY(put_positions(writer, &all, err));
out:
    return status;
}

static omen_status_t end_long(om_listwriter *writer, om_textentry *entry, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_textout *out = writer->out;
    const uint32_t blocks = blocks_of(writer->df);
    const uint32_t groups = (blocks + OM_TEXT_GROUP - 1) / OM_TEXT_GROUP;
    const uint32_t head[4] = {blocks, groups, writer->impacts, 0};
    OM_TRY(om_textout_align(out, 16, err));
    const uint64_t tables = (out->at - writer->begin) / 16;
    if (tables > UINT32_MAX) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT, "text: a list is too long");
    }
    entry->extra = (uint32_t)tables;
    entry->list = writer->begin;
    OM_TRY(om_textout_put(out, head, sizeof head, err));
    OM_TRY(om_textout_put(out, writer->places, (size_t)blocks * 8, err));
    OM_TRY(om_textout_put(out, writer->last, (size_t)blocks * 4, err));
    OM_TRY(om_textout_put(out, writer->data, (size_t)blocks * 4, err));
    OM_TRY(om_textout_put(out, writer->impact_at, ((size_t)blocks + groups + 2) * 4, err));
    OM_TRY(om_textout_put(out, writer->impact, (size_t)writer->impacts * 4, err));
    OM_TRY(om_textout_put(out, writer->widths, (size_t)blocks * 2, err));
out:
    return status;
}

omen_status_t om_listwriter_end(om_listwriter *writer, om_textentry *entry, omen_error *err)
{
    om_assert(writer->block == writer->df);
    entry->df = writer->df;
    return is_long(writer) ? end_long(writer, entry, err) : end_short(writer, entry, err);
}

void om_listwriter_free(om_listwriter *writer)
{
    om_alloc_put(writer->alloc, writer->last, writer->last_room * 4, 16);
    om_alloc_put(writer->alloc, writer->data, writer->data_room * 4, 16);
    om_alloc_put(writer->alloc, writer->impact_at, writer->impact_at_room * 4, 16);
    om_alloc_put(writer->alloc, writer->impact, writer->impact_room * 4, 16);
    om_alloc_put(writer->alloc, writer->widths, writer->widths_room, 16);
    om_alloc_put(writer->alloc, writer->places, writer->places_room * 8, 16);
    om_alloc_put(writer->alloc, writer->positions, writer->positions_room * 4, 16);
}
