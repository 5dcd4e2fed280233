/* metablock.c - rows and values out of an open block. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "metalayout.h"
#include "metarow_int.h"
#include "metautf8.h"

uint32_t om_metablock_rows(const om_metablock *block)
{
    return block->rows;
}

/* Value `code` of a dictionary, or entry `code` of a TEXT, where it stands. */
static om_meta_value value_at(const om_metacolumn *column, uint32_t code)
{
    uint16_t base = om_base_type(column->type);
    om_meta_value value = {.field = column->field, .type = base, .size = 8};
    uint64_t length;
    switch (base) {
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_BYTES:
    case OMEN_TYPE_TEXT:
        value.payload = om_column_bytes(column, code, &length);
        value.size = (uint32_t)om_min_u64(length, OM_META_ROW_MAX);
        break;
    case OMEN_TYPE_GEO:
        value.payload = (const uint8_t *)&column->points[code];
        value.size = sizeof(om_geo_point);
        break;
    case OMEN_TYPE_DOUBLE:
        value.payload = (const uint8_t *)&column->doubles[code];
        break;
    default:
        value.payload = (const uint8_t *)&column->ints[code];
        break;
    }
    return value;
}

bool om_metablock_get(const om_metablock *block, uint32_t i, uint16_t field, om_meta_value *out)
{
    uint32_t entry;
    const om_metacolumn *column = om_metablock_column(block, field);
    om_assert(i < block->rows);
    if (column == NULL || om_is_array(column->type) || !om_column_entry(column, i, &entry)) {
        return false;
    }
    bool text = column->type == OMEN_TYPE_TEXT;
    *out = value_at(column, text ? entry : om_column_code(column, entry));
    return true;
}

uint32_t om_metablock_sorted(const om_metablock *block, uint16_t field, const uint16_t **rows)
{
    const om_metacolumn *column = om_metablock_column(block, field);
    if (column == NULL || om_is_array(column->type) || column->type == OMEN_TYPE_TEXT) {
        *rows = NULL;
        return 0;
    }
    *rows = column->order;
    return column->count;
}

/* ---- Rows ---------------------------------------------------------------------------------------- */

/* Bytes that an array of a row takes in a meta row. */
static uint64_t array_size(const om_metacolumn *column, uint32_t entry)
{
    uint64_t from = column->lists[entry];
    uint32_t count = column->lists[entry + 1] - column->lists[entry];
    if (!om_has_heap(column->type)) {
        return 8 * (uint64_t)count;
    }
    uint64_t size = 8 + 4 * (uint64_t)count;
    for (uint32_t i = 0; i < count; i++) {
        size += om_min_u64(value_at(column, om_column_code(column, from + i)).size, UINT32_MAX);
    }
    return size;
}

static void write_array(const om_metacolumn *column, uint32_t entry, uint8_t *out)
{
    uint64_t from = column->lists[entry];
    uint32_t count = column->lists[entry + 1] - column->lists[entry];
    bool strings = om_has_heap(column->type);
    uint8_t *to = strings ? out + 8 + 4 * (size_t)count : out;
    uint32_t end = 0;
    if (strings) {
        memcpy(out, &count, sizeof count);
        memcpy(out + 4, &end, sizeof end);
    }
    for (uint32_t i = 0; i < count; i++) {
        om_meta_value value = value_at(column, om_column_code(column, from + i));
        if (value.size != 0) {
            memcpy(to + end, value.payload, value.size);
        }
        end += value.size;
        if (strings) {
            memcpy(out + 8 + 4 * (size_t)i, &end, sizeof end);
        }
    }
}

/* The size of a column's value in a row; UINT64_MAX: null. */
static uint64_t cell_size(const om_metacolumn *column, uint32_t row, uint32_t *entry)
{
    if (!om_column_entry(column, row, entry)) {
        return UINT64_MAX;
    }
    if (om_is_array(column->type)) {
        return array_size(column, *entry);
    }
    bool text = column->type == OMEN_TYPE_TEXT;
    return value_at(column, text ? *entry : om_column_code(column, *entry)).size;
}

static omen_status_t lost(omen_error *err, const char *what)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "a block of metadata: %s", what);
}

static omen_status_t measure_row(const om_metablock *block, uint32_t row, uint32_t *fields,
                                 size_t *size, omen_error *err)
{
    uint64_t total = OM_ROW_HEAD;
    *fields = 0;
    for (uint32_t i = 0; i < block->column_count; i++) {
        uint32_t entry;
        uint64_t bytes = cell_size(&block->columns[i], row, &entry);
        if (bytes != UINT64_MAX) {
            total += OM_ROW_ENTRY + (bytes + 7) / 8 * 8;
            ++*fields;
        }
        if (total > OM_META_ROW_MAX) {
            return lost(err, "a row that is larger than rows can be");
        }
    }
    *size = (size_t)total;
    return OMEN_OK;
}

omen_status_t om_metablock_row(const om_metablock *block, uint32_t i, om_bytes *out,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t fields = 0;
    size_t size = 0;
    om_assert(i < block->rows);
    OM_TRY(measure_row(block, i, &fields, &size, err));
    size_t start = om_row_pad(out->size);
    OM_TRY(om_bytes_room(out, start - out->size + size, err));
    memset(out->data + out->size, 0, start - out->size);
    om_row_writer writer = om_row_begin(out->data + start, fields);
    for (uint32_t c = 0; c < block->column_count; c++) {
        const om_metacolumn *column = &block->columns[c];
        uint32_t entry;
        uint64_t bytes = cell_size(column, i, &entry);
        if (bytes == UINT64_MAX) {
            continue;
        }
        om_row_entry head = {.field = column->field, .type = column->type, .size = (uint32_t)bytes};
        uint8_t *payload = om_row_room(&writer, head);
        if (om_is_array(column->type)) {
            write_array(column, entry, payload);
            continue;
        }
        bool text = column->type == OMEN_TYPE_TEXT;
        om_meta_value value = value_at(column, text ? entry : om_column_code(column, entry));
        if (text && om_utf8_valid(value.payload, value.size) != value.size) {
            return lost(err, "a text that is not UTF-8");
        }
        if (value.size != 0) {
            memcpy(payload, value.payload, value.size);
        }
    }
    out->size = start + om_row_end(&writer);
out:
    return status;
}

/* ---- Facets -------------------------------------------------------------------------------------- */

/* Rows of `pass` among those of one code. */
static uint32_t count_rows(const om_metacolumn *column, uint32_t code, const uint64_t *pass)
{
    uint32_t first = column->starts[code];
    uint32_t here = column->starts[code + 1] - first;
    if (pass == NULL) {
        return here;
    }
    uint32_t count = 0;
    for (uint64_t i = first, end = i + here; i < end; i++) {
        uint32_t row = column->order[i];
        count += (uint32_t)(pass[row / 64] >> row % 64) & 1;
    }
    return count;
}

static bool is_minus_zero(const om_metacolumn *column, uint32_t code)
{
    return column->doubles != NULL && column->doubles[code] == 0 &&
           om_load64((const uint8_t *)&column->doubles[code]) != 0;
}

void om_metablock_facet(const om_metablock *block, uint16_t field, const uint64_t *pass,
                        om_metablock_value each, void *ctx)
{
    static const double zero = 0.0;
    const om_metacolumn *column = om_metablock_column(block, field);
    if (column == NULL || column->starts == NULL) {
        return;
    }
    for (uint32_t code = 0; code < column->distinct; code++) {
        om_meta_value value = value_at(column, code);
        uint32_t rows = count_rows(column, code, pass);
        if (is_minus_zero(column, code)) { /* equal to 0.0, which stands behind it if it is there */
            value.payload = (const uint8_t *)&zero;
            if (code + 1 < column->distinct && column->doubles[code + 1] == 0) {
                rows += count_rows(column, ++code, pass);
            }
        }
        if (rows != 0) {
            each(ctx, &value, rows);
        }
    }
}
