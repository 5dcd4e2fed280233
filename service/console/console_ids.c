/* console_ids.c - ids of items out of a request's JSON: texts, or whole numbers for collections of numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "console_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool bad_id(om_console_call *call, size_t i, const char *expected)
{
    om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "TYPE", "like",
                   "like[%zu] is no id of this collection: its ids are %s", i, expected);
    call->f.item = i;
    return false;
}

static bool read_u64(const json_t *value, uint64_t *out)
{
    if (json_is_integer(value)) {
        *out = (uint64_t)json_integer_value(value);
        return json_integer_value(value) >= 0;
    }
    const char *text = json_string_value(value);
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out != OMEN_NONE;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* 32 hex digits, with dashes anywhere between bytes. */
static bool read_uuid(const json_t *value, uint8_t out[16])
{
    const char *text = json_string_value(value);
    size_t n = 0;
    while (text != NULL && *text != '\0') {
        if (*text == '-' && n > 0) {
            text++;
            continue;
        }
        int high = hex_digit(text[0]);
        int low = high >= 0 ? hex_digit(text[1]) : -1;
        if (low < 0 || n == 16) {
            return false;
        }
        out[n++] = (uint8_t)(high * 16 + low);
        text += 2;
    }
    return n == 16;
}

static bool take_numbers(om_console_call *call, const json_t *array, om_arena *arena,
                         om_wire_ids *out)
{
    uint64_t *ids = om_wire_take(arena, out->count * sizeof *ids, 8, &call->f);
    for (size_t i = 0; ids != NULL && i < out->count; i++) {
        if (!read_u64(json_array_get(array, i), &ids[i])) {
            return bad_id(call, i, "whole numbers");
        }
    }
    out->data = ids;
    return ids != NULL;
}

static bool take_uuids(om_console_call *call, const json_t *array, om_arena *arena,
                       om_wire_ids *out)
{
    uint8_t *ids = om_wire_take(arena, out->count * 16, 8, &call->f);
    for (size_t i = 0; ids != NULL && i < out->count; i++) {
        if (!read_uuid(json_array_get(array, i), ids + 16 * i)) {
            return bad_id(call, i, "UUIDs");
        }
    }
    out->data = ids;
    return ids != NULL;
}

static bool take_texts(om_console_call *call, const json_t *array, om_arena *arena,
                       om_wire_ids *out)
{
    size_t total = 0;
    for (size_t i = 0; i < out->count; i++) {
        const json_t *value = json_array_get(array, i);
        size_t size = json_string_length(value);
        if (!json_is_string(value) || size == 0 || size > OMEN_MAX_STRING_ID) {
            return bad_id(call, i, "texts of 1 to 512 bytes");
        }
        total += size;
    }
    int32_t *offsets = om_wire_take(arena, (out->count + 1) * sizeof *offsets, 8, &call->f);
    char *data = offsets != NULL ? om_wire_take(arena, total, 1, &call->f) : NULL;
    if (data == NULL) {
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < out->count; i++) {
        const json_t *value = json_array_get(array, i);
        offsets[i] = (int32_t)at;
        memcpy(data + at, json_string_value(value), json_string_length(value));
        at += json_string_length(value);
    }
    offsets[out->count] = (int32_t)at;
    out->data = data;
    out->offsets = offsets;
    out->size = total;
    return true;
}

bool om_console_ids(om_console_call *call, const json_t *array, uint32_t id_type, om_arena *arena,
                    om_wire_ids *out)
{
    *out = (om_wire_ids){.type = id_type, .count = json_array_size(array)};
    if (out->count == 0 || out->count > OMEN_MAX_LIKE) {
        return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "LIMIT", "like",
                              "like names %zu items, it must be 1 to %u", out->count,
                              OMEN_MAX_LIKE);
    }
    switch (id_type) {
    case OMEN_ID_U64:
        return take_numbers(call, array, arena, out);
    case OMEN_ID_UUID:
        return take_uuids(call, array, arena, out);
    default:
        return take_texts(call, array, arena, out);
    }
}
