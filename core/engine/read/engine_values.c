/* engine_values.c - values of fields that are counted: a table from values to numbers of rows, and the most
 * frequent of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_values.h"

enum { FIRST_SLOTS = 256 };

static bool is_number(uint16_t type)
{
    uint32_t base = type & ~(uint32_t)OMEN_TYPE_ARRAY;
    return base != OMEN_TYPE_STRING && base != OMEN_TYPE_BYTES && base != OMEN_TYPE_TEXT &&
           base != OMEN_TYPE_GEO;
}

static om_value value_of(const om_meta_value *from)
{
    om_value value = {.bytes = (const uint8_t *)"", .type = from->type, .size = from->size};
    if (from->type == 0 || !is_number(from->type)) {
        value.bytes = from->payload != NULL ? from->payload : value.bytes;
        return value;
    }
    memcpy(&value.bits, from->payload, sizeof value.bits);
    if (from->type == OMEN_TYPE_DOUBLE && value.bits == UINT64_C(1) << 63) {
        value.bits = 0; /* -0 is 0 */
    }
    return value;
}

static bool same(const om_value *a, const om_value *b)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == 0 || is_number(a->type)) {
        return a->bits == b->bits;
    }
    return a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

static uint64_t hash_of(const om_value *value)
{
    if (value->type == 0 || is_number(value->type)) {
        return om_mix64(value->bits);
    }
    return om_id_hash((om_id){.bytes = value->bytes, .length = value->size});
}

void om_values_free(om_values *values)
{
    om_alloc_put(values->alloc, values->entry, values->room * sizeof *values->entry, OM_CACHE_LINE);
    om_alloc_put(values->alloc, values->slot, values->slots * sizeof *values->slot, OM_CACHE_LINE);
    *values = (om_values){.alloc = values->alloc};
}

void om_values_clear(om_values *values)
{
    values->count = 0;
    if (values->slots != 0) {
        memset(values->slot, 0, values->slots * sizeof *values->slot);
    }
}

static omen_status_t grow(om_values *values, omen_error *err)
{
    size_t slots = values->slots != 0 ? values->slots * 2 : FIRST_SLOTS;
    size_t room = slots / 2;
    uint32_t *slot = om_alloc_zero(values->alloc, slots, sizeof *slot, OM_CACHE_LINE);
    if (slot == NULL) {
        return om_fail_memory(err, "different values", slots * sizeof *slot);
    }
    om_value *entry = om_alloc_grow(values->alloc, values->entry, values->room * sizeof *entry,
                                    room * sizeof *entry, OM_CACHE_LINE);
    if (entry == NULL) {
        om_alloc_put(values->alloc, slot, slots * sizeof *slot, OM_CACHE_LINE);
        return om_fail_memory(err, "different values", room * sizeof *entry);
    }
    om_alloc_put(values->alloc, values->slot, values->slots * sizeof *values->slot, OM_CACHE_LINE);
    values->entry = entry;
    values->room = room;
    values->slot = slot;
    values->slots = slots;
    for (uint32_t i = 0; i < values->count; i++) {
        size_t at = hash_of(&entry[i]) & (slots - 1);
        while (slot[at] != 0) {
            at = (at + 1) & (slots - 1);
        }
        slot[at] = i + 1;
    }
    return OMEN_OK;
}

omen_status_t om_values_find(om_values *values, const om_meta_value *from, uint32_t *out,
                             omen_error *err)
{
    om_value value = value_of(from);
    if (values->count == values->room) {
        omen_status_t status = values->room < UINT32_MAX / 4
                                   ? grow(values, err)
                                   : om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                                             "different values: %u are too many", values->count);
        if (status != OMEN_OK) {
            return status;
        }
    }
    size_t at = hash_of(&value) & (values->slots - 1);
    for (; values->slot[at] != 0; at = (at + 1) & (values->slots - 1)) {
        if (same(&values->entry[values->slot[at] - 1], &value)) {
            *out = values->slot[at] - 1;
            return OMEN_OK;
        }
    }
    values->entry[values->count] = value;
    *out = values->count++;
    values->slot[at] = values->count;
    return OMEN_OK;
}

/* ---- Order --------------------------------------------------------------------------------------- */
static int compare_bytes(const om_value *a, const om_value *b)
{
    uint32_t least = om_min_u32(a->size, b->size);
    int order = least != 0 ? memcmp(a->bytes, b->bytes, least) : 0;
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

int om_value_compare(const om_value *a, const om_value *b)
{
    if (a->type == OMEN_TYPE_DOUBLE) {
        double x, y;
        memcpy(&x, &a->bits, sizeof x);
        memcpy(&y, &b->bits, sizeof y);
        return (x > y) - (x < y);
    }
    if (is_number(a->type)) {
        int64_t x = (int64_t)a->bits, y = (int64_t)b->bits;
        return (x > y) - (x < y);
    }
    return compare_bytes(a, b);
}

const uint8_t *om_value_payload(const om_value *value)
{
    return is_number(value->type) ? (const uint8_t *)&value->bits : value->bytes;
}

om_value om_value_from(const om_meta_value *from)
{
    return value_of(from);
}

/* Less frequent, or as frequent and behind. */
static bool worse(const om_value *a, const om_value *b)
{
    return a->rows != b->rows ? a->rows < b->rows : om_value_compare(a, b) > 0;
}

static void sift_down(om_value *heap, uint32_t size, uint32_t at)
{
    om_value value = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && worse(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!worse(&heap[child], &value)) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = value;
}

uint32_t om_values_best(om_values *values, uint32_t limit)
{
    om_value *heap =
        values->entry; /* its first entries: the best so far, the worst of them on top */
    uint32_t size = om_min_u32(limit, values->count);
    for (uint32_t i = size / 2; i-- != 0;) {
        sift_down(heap, size, i);
    }
    for (uint32_t i = size; size != 0 && i < values->count; i++) {
        if (worse(&heap[0], &values->entry[i])) {
            heap[0] = values->entry[i];
            sift_down(heap, size, 0);
        }
    }
    for (uint32_t n = size; n > 1; n--) {
        om_value last = heap[n - 1];
        heap[n - 1] = heap[0];
        heap[0] = last;
        sift_down(heap, n - 1, 0);
    }
    return size;
}
