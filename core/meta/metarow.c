/* metarow.c - reads values out of meta rows, lays a patch over a row, grows byte arrays.
 * SPDX-License-Identifier: Apache-2.0 */
#include "metarow.h"

#include <string.h>

#include "metarow_int.h"

uint32_t om_meta_fields(const uint8_t *row)
{
    uint16_t fields;
    memcpy(&fields, row + 4, sizeof fields);
    return fields;
}

om_meta_iter om_meta_first(const uint8_t *row)
{
    uint32_t fields = om_meta_fields(row);
    return (om_meta_iter){
        .row = row, .payload = row + OM_ROW_HEAD + (size_t)fields * OM_ROW_ENTRY, .fields = fields};
}

bool om_meta_next(om_meta_iter *iter, om_meta_value *out)
{
    if (iter->at == iter->fields) {
        return false;
    }
    om_row_entry entry = om_row_entry_at(iter->row, iter->at++);
    *out = (om_meta_value){
        .field = entry.field, .type = entry.type, .size = entry.size, .payload = iter->payload};
    iter->payload += om_row_pad(entry.size);
    return true;
}

om_meta_value om_meta_at(const uint8_t *row, uint32_t i)
{
    om_meta_iter iter = om_meta_first(row);
    om_meta_value value = {.field = OM_NO_FIELD};
    om_assert(i < iter.fields);
    while (iter.at <= i && om_meta_next(&iter, &value)) {
    }
    return value;
}

bool om_meta_get(const uint8_t *row, uint16_t field, om_meta_value *out)
{
    om_meta_iter iter = om_meta_first(row);
    om_meta_value value;
    while (om_meta_next(&iter, &value) && value.field <= field) {
        if (value.field == field) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* The next value of a row and a patch together; the patch comes before the row. False: that was all. */
typedef struct om_overlay {
    om_meta_iter row, patch;
    om_meta_value below, above;
    bool has_below, has_above;
} om_overlay;

static bool overlay_next(om_overlay *overlay, om_meta_value *out)
{
    while (overlay->has_below || overlay->has_above) {
        bool above = overlay->has_above &&
                     (!overlay->has_below || overlay->above.field <= overlay->below.field);
        bool both = above && overlay->has_below && overlay->above.field == overlay->below.field;
        *out = above ? overlay->above : overlay->below;
        if (above) {
            overlay->has_above = om_meta_next(&overlay->patch, &overlay->above);
        }
        if (!above || both) {
            overlay->has_below = om_meta_next(&overlay->row, &overlay->below);
        }
        if (out->type != 0) {
            return true;
        }
    }
    return false;
}

static om_overlay overlay_begin(const uint8_t *row, const uint8_t *patch)
{
    om_overlay overlay = {.row = om_meta_first(row), .patch = om_meta_first(patch)};
    overlay.has_below = om_meta_next(&overlay.row, &overlay.below);
    overlay.has_above = om_meta_next(&overlay.patch, &overlay.above);
    return overlay;
}

size_t om_meta_merge(const uint8_t *row, const uint8_t *patch, uint8_t *out)
{
    om_meta_value value;
    om_overlay overlay = overlay_begin(row, patch);
    size_t size = OM_ROW_HEAD;
    uint32_t fields = 0;
    while (overlay_next(&overlay, &value)) {
        size += OM_ROW_ENTRY + om_row_pad(value.size);
        fields++;
    }
    if (out == NULL) {
        return size;
    }
    om_row_writer writer = om_row_begin(out, fields);
    overlay = overlay_begin(row, patch);
    while (overlay_next(&overlay, &value)) {
        om_row_entry entry = {.field = value.field, .type = value.type, .size = value.size};
        om_row_put(&writer, entry, value.payload);
    }
    return om_row_end(&writer);
}

omen_status_t om_bytes_room(om_bytes *bytes, size_t more, omen_error *err)
{
    size_t needed;
    if (!om_add_size(bytes->size, more, &needed)) {
        return om_fail_memory(err, "metadata", UINT64_MAX);
    }
    if (needed <= bytes->capacity) {
        return OMEN_OK;
    }
    size_t capacity = 2 * bytes->capacity;
    capacity = capacity < needed ? needed : capacity;
    capacity = capacity < 256 ? 256 : capacity;
    uint8_t *data = om_alloc_grow(bytes->alloc, bytes->data, bytes->capacity, capacity, 8);
    if (data == NULL) {
        return om_fail_memory(err, "metadata", capacity);
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return OMEN_OK;
}

omen_status_t om_bytes_put(om_bytes *bytes, const void *data, size_t size, omen_error *err)
{
    omen_status_t status = om_bytes_room(bytes, size, err);
    if (status == OMEN_OK && size != 0) {
        memcpy(bytes->data + bytes->size, data, size);
        bytes->size += size;
    }
    return status;
}

void om_bytes_free(om_bytes *bytes)
{
    if (bytes->data != NULL) {
        om_alloc_put(bytes->alloc, bytes->data, bytes->capacity, 8);
    }
    bytes->data = NULL;
    bytes->size = 0;
    bytes->capacity = 0;
}

void om_meta_rows_free(om_meta_rows *rows)
{
    if (rows->alloc == NULL) {
        return;
    }
    om_alloc_put(rows->alloc, rows->bytes, (size_t)rows->capacity_bytes, 8);
    om_alloc_put(rows->alloc, rows->offsets, (size_t)(rows->count + 1) * sizeof rows->offsets[0],
                 _Alignof(uint64_t));
    om_alloc_put(rows->alloc, rows->added, rows->added_capacity * sizeof rows->added[0],
                 _Alignof(om_field));
    memset(rows, 0, sizeof *rows);
}

int om_meta_compare(const om_meta_value *a, const om_meta_value *b)
{
    om_assert(a->type == b->type);
    if (a->type == OMEN_TYPE_STRING || a->type == OMEN_TYPE_TEXT || a->type == OMEN_TYPE_BYTES) {
        size_t common = a->size < b->size ? a->size : b->size;
        int order = common == 0 ? 0 : memcmp(a->payload, b->payload, common);
        return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
    }
    uint64_t left = om_load64(a->payload);
    uint64_t right = om_load64(b->payload);
    uint64_t x = a->type == OMEN_TYPE_DOUBLE ? om_order_double(left) : om_order_int(left);
    uint64_t y = a->type == OMEN_TYPE_DOUBLE ? om_order_double(right) : om_order_int(right);
    return (x > y) - (x < y);
}
