/* metarow_check.c - meta rows out of the log or of anywhere else that may be damaged.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "metarow.h"
#include "metarow_int.h"
#include "metatime.h"
#include "metautf8.h"

/* One number of 8 bytes. */
static const char *fixed_fault(uint16_t type, const uint8_t *at)
{
    int64_t whole;
    memcpy(&whole, at, sizeof whole);
    double number;
    memcpy(&number, at, sizeof number);
    switch (type) {
    case OMEN_TYPE_INT64:
        return NULL;
    case OMEN_TYPE_DOUBLE:
        return isfinite(number) ? NULL : "a number that is not finite";
    case OMEN_TYPE_BOOL:
        return whole == 0 || whole == 1 ? NULL : "a bool that is neither 0 nor 1";
    case OMEN_TYPE_TIME:
        return whole >= OM_TIME_MIN && whole <= OM_TIME_MAX ? NULL : "a time out of range";
    default:
        return "an unknown type";
    }
}

static const char *geo_fault(const uint8_t *payload, uint32_t size)
{
    double point[2];
    if (size != sizeof point) {
        return "a position that is not two numbers";
    }
    memcpy(point, payload, sizeof point);
    bool inside = fabs(point[0]) <= 90 && fabs(point[1]) <= 180; /* false for NaN */
    return inside ? NULL : "a position out of range";
}

static const char *text_fault(const uint8_t *bytes, size_t size)
{
    return om_utf8_valid(bytes, size) == size ? NULL : "invalid UTF-8";
}

/* Arrays of numbers: their payload is the numbers. */
static const char *numbers_fault(uint16_t type, const uint8_t *payload, uint32_t size)
{
    if (size % 8 != 0 || size / 8 > OMEN_MAX_ARRAY) {
        return "an array of a wrong size";
    }
    const char *fault = NULL;
    for (uint32_t i = 0; i < size && fault == NULL; i += 8) {
        fault = fixed_fault(type, payload + i);
    }
    return fault;
}

/* Arrays of strings or bytes: count, offsets, bytes. */
static const char *strings_fault(uint16_t type, const uint8_t *payload, uint32_t size)
{
    uint32_t count;
    if (size < 8) {
        return "an array without a count";
    }
    memcpy(&count, payload, sizeof count);
    if (count > OMEN_MAX_ARRAY || (size - 8) / 4 < count) {
        return "an array with a wrong count";
    }
    const uint8_t *offsets = payload + 4;
    const uint8_t *bytes = offsets + 4 * ((size_t)count + 1);
    uint32_t total = size - 8 - 4 * count;
    uint32_t from = 0;
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t to;
        memcpy(&to, offsets + 4 * (size_t)i, sizeof to);
        if (to < from || to > total || (i == 0 && to != 0)) {
            return "an array with a wrong offset";
        }
        const char *fault = type == OMEN_TYPE_STRING ? text_fault(bytes + from, to - from) : NULL;
        if (fault != NULL) {
            return fault;
        }
        from = to;
    }
    return from == total ? NULL : "an array with bytes behind its last element";
}

const char *om_meta_payload_fault(uint16_t type, const uint8_t *payload, uint32_t size)
{
    uint16_t base = type & (uint16_t)~OMEN_TYPE_ARRAY;
    if ((type & OMEN_TYPE_ARRAY) != 0) {
        bool strings = base == OMEN_TYPE_STRING || base == OMEN_TYPE_BYTES;
        return strings ? strings_fault(base, payload, size) : numbers_fault(base, payload, size);
    }
    switch (base) {
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_TEXT:
        return text_fault(payload, size);
    case OMEN_TYPE_BYTES:
        return NULL;
    case OMEN_TYPE_GEO:
        return geo_fault(payload, size);
    default:
        return size == 8 ? fixed_fault(base, payload) : "a number that is not of 8 bytes";
    }
}

static omen_status_t lost(omen_error *err, const char *what)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "metadata of an item: %s", what);
}

/* One entry; *payload is moved behind what it describes. */
static omen_status_t check_entry(const om_schema *schema, om_row_entry entry,
                                 const uint8_t **payload, size_t *left, omen_error *err)
{
    if (entry.field >= om_schema_count(schema)) {
        return lost(err, "a field that the schema does not have");
    }
    if (entry.type != om_schema_at(schema, entry.field)->type) {
        return lost(err, "a type that the field does not have");
    }
    size_t padded = om_row_pad(entry.size);
    if (padded > *left) {
        return lost(err, "a value beyond its end");
    }
    const char *fault = om_meta_payload_fault(entry.type, *payload, entry.size);
    if (fault != NULL) {
        return lost(err, fault);
    }
    for (size_t i = entry.size; i < padded; i++) {
        if ((*payload)[i] != 0) {
            return lost(err, "padding that is not zero");
        }
    }
    *payload += padded;
    *left -= padded;
    return OMEN_OK;
}

omen_status_t om_meta_check(const om_schema *schema, const uint8_t *row, size_t size,
                            omen_error *err)
{
    if (size < OM_ROW_HEAD || size % 8 != 0 || size > OM_META_ROW_MAX ||
        om_row_bytes(row) != size || row[6] != 0 || row[7] != 0) {
        return lost(err, "a wrong size");
    }
    uint32_t fields = om_meta_fields(row);
    if (fields > (size - OM_ROW_HEAD) / OM_ROW_ENTRY) {
        return lost(err, "more fields than it has room for");
    }
    size_t left = size - OM_ROW_HEAD - (size_t)fields * OM_ROW_ENTRY;
    const uint8_t *payload = row + (size - left);
    uint32_t least = 0;
    for (uint32_t i = 0; i < fields; i++) {
        om_row_entry entry = om_row_entry_at(row, i);
        if (entry.field < least) {
            return lost(err, "fields that do not ascend");
        }
        least = entry.field + 1u;
        omen_status_t status = check_entry(schema, entry, &payload, &left, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return left == 0 ? OMEN_OK : lost(err, "bytes behind its last value");
}
