/* metarow_print.c - meta rows as JSON. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "metarow.h"
#include "metarow_int.h"
#include "metatime.h"

/* Bytes of a string from `at` on that JSON takes as they are. */
static size_t plain_run(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *from = at;
    for (; end - at >= 8; at += 8) {
        uint64_t special = om_json_special(om_load64(at));
        if (special != 0) {
            return (size_t)(at - from) + (size_t)__builtin_ctzll(special) / 8;
        }
    }
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\') {
        at++;
    }
    return (size_t)(at - from);
}

/* The escape of one byte; at most 6 characters. */
static size_t escape(uint8_t byte, char out[8])
{
    static const char names[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof names; i += 2) {
        if ((uint8_t)names[i] == byte) {
            out[0] = '\\';
            out[1] = names[i + 1];
            return 2;
        }
    }
    static const char digits[] = "0123456789abcdef";
    out[0] = '\\';
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = digits[byte >> 4];
    out[5] = digits[byte & 15];
    return 6;
}

static omen_status_t put_string(om_bytes *out, const uint8_t *bytes, size_t size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint8_t *at = bytes;
    const uint8_t *end = bytes + size;
    OM_TRY(om_bytes_room(out, size + 2, err));
    OM_TRY(om_bytes_put(out, "\"", 1, err));
    while (at < end) {
        size_t run = plain_run(at, end);
        OM_TRY(om_bytes_put(out, at, run, err));
        at += run;
        if (at < end) {
            char text[8];
            OM_TRY(om_bytes_put(out, text, escape(*at++, text), err));
        }
    }
    OM_TRY(om_bytes_put(out, "\"", 1, err));
out:
    return status;
}

static omen_status_t put_bytes(om_bytes *out, const uint8_t *bytes, size_t size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    size_t length = om_base64_size(size);
    OM_TRY(om_bytes_room(out, length + 2, err));
    out->data[out->size] = '"';
    om_base64_print(bytes, size, (char *)out->data + out->size + 1);
    out->data[out->size + 1 + length] = '"';
    out->size += length + 2;
out:
    return status;
}

static omen_status_t put_fixed(om_bytes *out, uint16_t type, const uint8_t *at, omen_error *err)
{
    char text[64];
    size_t length;
    int64_t whole;
    memcpy(&whole, at, sizeof whole);
    if (type == OMEN_TYPE_DOUBLE) {
        double number;
        memcpy(&number, at, sizeof number);
        length = om_double_print(number, text);
    } else if (type == OMEN_TYPE_BOOL) {
        length = whole != 0 ? 4 : 5;
        memcpy(text, whole != 0 ? "true" : "false", length);
    } else if (type == OMEN_TYPE_TIME) {
        text[0] = '"';
        length = om_time_print(whole, text + 1) + 2;
        text[length - 1] = '"';
    } else {
        length = (size_t)snprintf(text, sizeof text, "%lld", (long long)whole);
    }
    return om_bytes_put(out, text, length, err);
}

static omen_status_t put_geo(om_bytes *out, const uint8_t *at, omen_error *err)
{
    double point[2];
    char lat[OM_DOUBLE_TEXT];
    char lon[OM_DOUBLE_TEXT];
    char text[2 * OM_DOUBLE_TEXT + 32];
    memcpy(point, at, sizeof point);
    (void)om_double_print(point[0], lat);
    (void)om_double_print(point[1], lon);
    int length = snprintf(text, sizeof text, "{\"lat\": %s, \"lon\": %s}", lat, lon);
    return om_bytes_put(out, text, (size_t)length, err);
}

static omen_status_t put_one(om_bytes *out, uint16_t type, const uint8_t *at, size_t size,
                             omen_error *err)
{
    switch (type) {
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_TEXT:
        return put_string(out, at, size, err);
    case OMEN_TYPE_BYTES:
        return put_bytes(out, at, size, err);
    case OMEN_TYPE_GEO:
        return put_geo(out, at, err);
    default:
        return put_fixed(out, type, at, err);
    }
}

static omen_status_t put_array(om_bytes *out, const om_meta_value *value, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint16_t base = value->type & (uint16_t)~OMEN_TYPE_ARRAY;
    uint32_t count = om_meta_elements(value);
    OM_TRY(om_bytes_put(out, "[", 1, err));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size;
        const uint8_t *at = om_meta_element(value, i, &size);
        OM_TRY(om_bytes_put(out, ", ", i == 0 ? 0 : 2, err));
        OM_TRY(put_one(out, base, at, size, err));
    }
    OM_TRY(om_bytes_put(out, "]", 1, err));
out:
    return status;
}

omen_status_t om_meta_value_json(const om_meta_value *value, om_bytes *out, omen_error *err)
{
    if ((value->type & OMEN_TYPE_ARRAY) != 0) {
        return put_array(out, value, err);
    }
    return put_one(out, value->type, value->payload, value->size, err);
}

uint32_t om_meta_elements(const om_meta_value *value)
{
    uint16_t base = value->type & (uint16_t)~OMEN_TYPE_ARRAY;
    if (base != OMEN_TYPE_STRING && base != OMEN_TYPE_BYTES) {
        return value->size / 8;
    }
    uint32_t count;
    memcpy(&count, value->payload, sizeof count);
    return count;
}

const uint8_t *om_meta_element(const om_meta_value *value, uint32_t i, uint32_t *size)
{
    uint16_t base = value->type & (uint16_t)~OMEN_TYPE_ARRAY;
    if (base != OMEN_TYPE_STRING && base != OMEN_TYPE_BYTES) {
        *size = 8;
        return value->payload + 8 * (size_t)i;
    }
    uint32_t count;
    uint32_t ends[2];
    memcpy(&count, value->payload, sizeof count);
    memcpy(ends, value->payload + 4 + 4 * (size_t)i, sizeof ends);
    *size = ends[1] - ends[0];
    return value->payload + 8 + 4 * (size_t)count + ends[0];
}

omen_status_t om_meta_json(const om_schema *schema, const uint8_t *row, const uint16_t *only,
                           uint32_t only_count, om_bytes *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t wanted[OMEN_MAX_FIELDS / 64] = {0};
    for (uint32_t i = 0; only != NULL && i < only_count; i++) {
        if (only[i] < OMEN_MAX_FIELDS) {
            wanted[only[i] / 64] |= UINT64_C(1) << only[i] % 64;
        }
    }
    om_meta_iter iter = om_meta_first(row);
    om_meta_value value;
    const char *between = "{";
    while (om_meta_next(&iter, &value)) {
        if (only != NULL && (wanted[value.field / 64] >> value.field % 64 & 1) == 0) {
            continue;
        }
        const om_field *field = om_schema_at(schema, value.field);
        OM_TRY(om_bytes_put(out, between, strlen(between), err));
        OM_TRY(put_string(out, (const uint8_t *)field->name, field->name_length, err));
        OM_TRY(om_bytes_put(out, ": ", 2, err));
        OM_TRY(om_meta_value_json(&value, out, err));
        between = ", ";
    }
    OM_TRY(om_bytes_put(out, between[0] == '{' ? "{}" : "}", between[0] == '{' ? 2 : 1, err));
out:
    return status;
}
