/* ids.c - columns of ids and their text forms.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ids.h"

#include <stdlib.h>
#include <string.h>

void om_ids_free(om_ids *ids)
{
    free(ids->u64);
    free(ids->uuid);
    free(ids->text);
    free(ids->offsets);
    memset(ids, 0, sizeof *ids);
}

void om_ids_clear(om_ids *ids)
{
    ids->count = 0;
}

static void *grow(void *array, size_t cap, size_t width, om_tool_error *err)
{
    void *grown = reallocarray(array, cap, width);
    if (grown == NULL) {
        om_tool_no_memory(err, cap * width);
    }
    return grown;
}

/* Room for one more id of the type; a column never mixes types. */
static bool reserve(om_ids *ids, uint32_t type, om_tool_error *err)
{
    if (ids->type == 0) {
        ids->type = type;
    }
    if (ids->type != type) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "id %zu is a %s id among %s ids", ids->count,
                            om_tool_id_type_name(type), om_tool_id_type_name(ids->type));
    }
    if (ids->count < ids->cap) {
        return true;
    }
    size_t cap = ids->cap == 0 ? 64 : ids->cap * 2;
    void *grown;
    if (type == OMEN_ID_U64) {
        grown = grow(ids->u64, cap, sizeof *ids->u64, err);
        ids->u64 = grown != NULL ? grown : ids->u64;
    } else if (type == OMEN_ID_UUID) {
        grown = grow(ids->uuid, cap, 16, err);
        ids->uuid = grown != NULL ? grown : ids->uuid;
    } else {
        grown = grow(ids->offsets, cap + 1, sizeof *ids->offsets, err);
        ids->offsets = grown != NULL ? grown : ids->offsets;
    }
    ids->cap = grown != NULL ? cap : ids->cap;
    return grown != NULL;
}

bool om_ids_add_u64(om_ids *ids, uint64_t id, om_tool_error *err)
{
    if (id == OMEN_NONE) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "the id %llu is reserved",
                            (unsigned long long)id);
    }
    if (!reserve(ids, OMEN_ID_U64, err)) {
        return false;
    }
    ids->u64[ids->count++] = id;
    return true;
}

bool om_ids_add_uuid(om_ids *ids, const uint8_t id[16], om_tool_error *err)
{
    if (!reserve(ids, OMEN_ID_UUID, err)) {
        return false;
    }
    memcpy(ids->uuid + 16 * ids->count++, id, 16);
    return true;
}

bool om_ids_add_string(om_ids *ids, const char *id, size_t len, om_tool_error *err)
{
    if (len == 0 || len > OMEN_MAX_STRING_ID) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "a string id has %zu bytes; 1 to %u are allowed", len,
                            OMEN_MAX_STRING_ID);
    }
    if (!om_ids_utf8(id, len)) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "a string id is not UTF-8");
    }
    if (!reserve(ids, OMEN_ID_STRING, err)) {
        return false;
    }
    size_t used = ids->count == 0 ? 0 : (size_t)ids->offsets[ids->count];
    if (used + len > ids->text_cap) {
        size_t cap = ids->text_cap == 0 ? 1024 : ids->text_cap;
        while (cap < used + len) {
            cap *= 2;
        }
        char *grown = grow(ids->text, cap, 1, err);
        if (grown == NULL) {
            return false;
        }
        ids->text = grown;
        ids->text_cap = cap;
    }
    memcpy(ids->text + used, id, len);
    ids->offsets[ids->count] = (int64_t)used;
    ids->offsets[++ids->count] = (int64_t)(used + len);
    return true;
}

bool om_ids_add_text(om_ids *ids, const char *text, size_t len, om_tool_error *err)
{
    uint64_t number;
    uint8_t uuid[16];
    int shown = len < 60 ? (int)len : 60;
    switch (ids->type) {
    case OMEN_ID_U64:
        if (!om_ids_parse_u64(text, len, &number)) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                                "'%.*s' is not an id: u64 ids are numbers from 0 to %llu", shown,
                                text, (unsigned long long)(OMEN_NONE - 1));
        }
        return om_ids_add_u64(ids, number, err);
    case OMEN_ID_UUID:
        if (!om_ids_parse_uuid(text, len, uuid)) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "'%.*s' is not a UUID", shown, text);
        }
        return om_ids_add_uuid(ids, uuid, err);
    default:
        return om_ids_add_string(ids, text, len, err);
    }
}

bool om_ids_add_from(om_ids *ids, const om_ids *from, size_t i, om_tool_error *err)
{
    if (from->type == OMEN_ID_U64) {
        return om_ids_add_u64(ids, from->u64[i], err);
    }
    if (from->type == OMEN_ID_UUID) {
        return om_ids_add_uuid(ids, from->uuid + 16 * i, err);
    }
    size_t len;
    const char *text = om_ids_string(from, i, &len);
    return om_ids_add_string(ids, text, len, err);
}

bool om_ids_add_converted(om_ids *ids, const om_ids *from, om_tool_error *err)
{
    char buf[OM_ID_TEXT];
    for (size_t i = 0; i < from->count; i++) {
        bool ok;
        if (from->type == ids->type) {
            ok = om_ids_add_from(ids, from, i, err);
        } else if (from->type == OMEN_ID_STRING) {
            size_t len;
            const char *text = om_ids_string(from, i, &len);
            ok = om_ids_add_text(ids, text, len, err);
        } else {
            size_t len = om_ids_text(from, i, buf);
            ok = om_ids_add_text(ids, buf, len, err);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

bool om_ids_equal(const om_ids *a, size_t i, const om_ids *b, size_t j)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == OMEN_ID_U64) {
        return a->u64[i] == b->u64[j];
    }
    if (a->type == OMEN_ID_UUID) {
        return memcmp(a->uuid + 16 * i, b->uuid + 16 * j, 16) == 0;
    }
    size_t m, n;
    const char *x = om_ids_string(a, i, &m);
    const char *y = om_ids_string(b, j, &n);
    return m == n && memcmp(x, y, m) == 0;
}

void om_ids_column(const om_ids *ids, size_t first, omen_column *column, const uint64_t **keys)
{
    memset(column, 0, sizeof *column);
    *keys = NULL;
    if (ids->type == OMEN_ID_U64) {
        *keys = ids->u64 + first;
    } else if (ids->type == OMEN_ID_UUID) {
        column->data = ids->uuid + 16 * first;
        column->width = 16;
    } else if (ids->count > 0) {
        column->data = ids->text;
        column->offsets = ids->offsets + first;
        column->offset_bits = 64;
    }
}

const char *om_ids_string(const om_ids *ids, size_t i, size_t *len)
{
    *len = (size_t)(ids->offsets[i + 1] - ids->offsets[i]);
    return ids->text + ids->offsets[i];
}

size_t om_ids_text(const om_ids *ids, size_t i, char buf[OM_ID_TEXT])
{
    if (ids->type == OMEN_ID_U64) {
        int n = snprintf(buf, OM_ID_TEXT, "%llu", (unsigned long long)ids->u64[i]);
        return n > 0 ? (size_t)n : 0;
    }
    if (ids->type == OMEN_ID_UUID) {
        size_t at = 0;
        for (size_t b = 0; b < 16; b++) {
            bool dash = b == 4 || b == 6 || b == 8 || b == 10;
            int n =
                snprintf(buf + at, OM_ID_TEXT - at, dash ? "-%02x" : "%02x", ids->uuid[16 * i + b]);
            at += n > 0 ? (size_t)n : 0;
        }
        return at;
    }
    size_t len;
    const char *text = om_ids_string(ids, i, &len);
    len = len < OM_ID_TEXT ? len : OM_ID_TEXT - 1;
    for (size_t b = 0; b < len; b++) {
        unsigned char c = (unsigned char)text[b];
        buf[b] = c < 0x20 || c == 0x7f ? '?' : text[b];
    }
    buf[len] = '\0';
    return len;
}

bool om_ids_parse_u64(const char *text, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    if (len == 0 || len > 20) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return value != OMEN_NONE;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool om_ids_parse_uuid(const char *text, size_t len, uint8_t out[16])
{
    if (len != 32 && len != 36) {
        return false;
    }
    size_t at = 0;
    for (size_t b = 0; b < 16; b++) {
        if (len == 36 && (b == 4 || b == 6 || b == 8 || b == 10) && text[at++] != '-') {
            return false;
        }
        int high = hex_digit(text[at]);
        int low = hex_digit(text[at + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[b] = (uint8_t)(high * 16 + low);
        at += 2;
    }
    return true;
}

/* Length of the well-formed sequence at s (Unicode 15, table 3-7), 0 when there is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80) {
        return s[0] != 0 ? 1 : 0;
    }
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < want) {
        return 0;
    }
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < want; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return want;
}

bool om_ids_utf8(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length(s + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}
