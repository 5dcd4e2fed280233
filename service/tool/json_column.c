/* json_column.c - a growing column of JSON texts. SPDX-License-Identifier: Apache-2.0 */
#include "json_column.h"

#include <stdlib.h>
#include <string.h>

void om_json_column_free(om_json_column *c)
{
    free(c->text);
    free(c->offsets);
    memset(c, 0, sizeof *c);
}

void om_json_column_clear(om_json_column *c)
{
    c->count = 0;
}

size_t om_json_column_bytes(const om_json_column *c)
{
    return c->count == 0 ? 0 : (size_t)c->offsets[c->count];
}

static bool reserve(om_json_column *c, size_t bytes, om_tool_error *err)
{
    if (c->count + 2 > c->cap) {
        size_t cap = c->cap == 0 ? 64 : 2 * c->cap;
        int64_t *grown = reallocarray(c->offsets, cap, sizeof *grown);
        if (grown == NULL) {
            return om_tool_no_memory(err, cap * sizeof *grown);
        }
        c->offsets = grown;
        c->cap = cap;
    }
    c->offsets[0] = 0;
    size_t want = om_json_column_bytes(c) + bytes + 1; /* never NULL, also when all are empty */
    if (want > c->text_cap) {
        size_t cap = c->text_cap == 0 ? 4096 : c->text_cap;
        while (cap < want) {
            cap *= 2;
        }
        char *grown = realloc(c->text, cap);
        if (grown == NULL) {
            return om_tool_no_memory(err, cap);
        }
        c->text = grown;
        c->text_cap = cap;
    }
    return true;
}

bool om_json_column_add(om_json_column *c, const char *text, size_t len, om_tool_error *err)
{
    if (!reserve(c, len, err)) {
        return false;
    }
    int64_t at = c->offsets[c->count];
    if (len > 0) {
        memcpy(c->text + at, text, len);
    }
    c->offsets[++c->count] = at + (int64_t)len;
    return true;
}

const char *om_json_column_get(const om_json_column *c, size_t i, size_t *len)
{
    *len = (size_t)(c->offsets[i + 1] - c->offsets[i]);
    return c->text + c->offsets[i];
}

void om_json_column_view(const om_json_column *c, size_t first, size_t n, omen_column *out)
{
    *out = (omen_column){0};
    if (n > 0 && c->offsets[first + n] > c->offsets[first]) {
        out->data = c->text;
        out->offsets = c->offsets + first;
        out->offset_bits = 64;
    }
}

bool om_json_column_add_view(om_json_column *c, const omen_column *from, size_t n,
                             om_tool_error *err)
{
    for (size_t i = 0; i < n; i++) {
        int64_t at[2] = {0, 0};
        if (from->data != NULL) {
            memcpy(at, (const char *)from->offsets + i * sizeof *at, sizeof at);
        }
        if (!om_json_column_add(c, (const char *)from->data + at[0], (size_t)(at[1] - at[0]),
                                err)) {
            return false;
        }
    }
    return true;
}
