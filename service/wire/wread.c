/* wread.c - fields out of a chain of spans. SPDX-License-Identifier: Apache-2.0 */
#include "wread.h"

#include <string.h>

#include "wwrite.h"

void om_wread_init(om_wread *r, const om_span *spans, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += spans[i].size;
    }
    *r = (om_wread){.next = spans, .last = spans + count, .limit = total};
}

bool om_wread_fail(om_wread *r, const char *why)
{
    if (r->bad == NULL) {
        r->bad = why;
    }
    return false;
}

/* Makes at least one byte of the chain current. The caller has checked the limit, so there is one. */
static void advance(om_wread *r)
{
    while (r->at == r->end && r->next != r->last) {
        r->at = r->next->data;
        r->end = r->at + r->next->size;
        r->next++;
    }
}

bool om_wread_copy(om_wread *r, void *out, size_t size)
{
    if (r->bad != NULL || size > r->limit - r->pos) {
        return om_wread_fail(r, "a field is longer than its message");
    }
    uint8_t *to = out;
    r->pos += size;
    while (size > 0) {
        advance(r);
        size_t part = (size_t)(r->end - r->at);
        part = part < size ? part : size;
        memcpy(to, r->at, part);
        to += part;
        r->at += part;
        size -= part;
    }
    return true;
}

bool om_wread_skip(om_wread *r, size_t size)
{
    if (r->bad != NULL || size > r->limit - r->pos) {
        return om_wread_fail(r, "a field is longer than its message");
    }
    r->pos += size;
    while (size > 0) {
        advance(r);
        size_t part = (size_t)(r->end - r->at);
        part = part < size ? part : size;
        r->at += part;
        size -= part;
    }
    return true;
}

bool om_wread_varint(om_wread *r, uint64_t *value)
{
    uint64_t v = 0;
    for (uint32_t shift = 0; shift < 70; shift += 7) {
        uint8_t byte = 0;
        if (r->bad != NULL || r->pos == r->limit) {
            return om_wread_fail(r, "it ends inside a number");
        }
        advance(r);
        byte = *r->at++;
        r->pos++;
        if (shift == 63 && byte > 1) {
            return om_wread_fail(r, "a number has more than 64 bits");
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = v;
            return true;
        }
    }
    return om_wread_fail(r, "a number has more than 10 bytes");
}

bool om_wread_field(om_wread *r, om_wfield *out)
{
    uint64_t tag = 0;
    uint32_t narrow = 0;
    if (r->bad != NULL || r->pos == r->limit || !om_wread_varint(r, &tag)) {
        return false;
    }
    if (tag >> 3 == 0 || tag > UINT32_MAX) {
        return om_wread_fail(r, "a field has a number that does not exist");
    }
    out->number = (uint32_t)(tag >> 3);
    out->type = (uint32_t)(tag & 7);
    switch (out->type) {
    case OM_WT_VARINT:
        return om_wread_varint(r, &out->value);
    case OM_WT_FIXED64:
        return om_wread_copy(r, &out->value, sizeof out->value);
    case OM_WT_FIXED32:
        out->value = 0;
        if (!om_wread_copy(r, &narrow, sizeof narrow)) {
            return false;
        }
        out->value = narrow;
        return true;
    case OM_WT_LEN:
        if (!om_wread_varint(r, &out->value)) {
            return false;
        }
        if (out->value > r->limit - r->pos) {
            return om_wread_fail(r, "a field is longer than its message");
        }
        return true;
    default:
        return om_wread_fail(r, "a field has a wire type that does not exist");
    }
}

size_t om_wread_enter(om_wread *r, size_t size)
{
    size_t outer = r->limit;
    if (r->bad == NULL && size <= r->limit - r->pos) {
        r->limit = r->pos + size;
    } else {
        om_wread_fail(r, "a field is longer than its message");
    }
    return outer;
}

void om_wread_leave(om_wread *r, size_t outer)
{
    if (r->bad == NULL && r->pos != r->limit) {
        om_wread_fail(r, "a message was left before its end");
    }
    r->limit = outer;
}
