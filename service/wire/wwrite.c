/* wwrite.c - protocol buffer fields into a fixed buffer. SPDX-License-Identifier: Apache-2.0 */
#include "wwrite.h"

#include <string.h>

static bool room(om_wbuf *w, size_t size)
{
    if (w->full || (size_t)(w->end - w->at) < size) {
        w->full = true;
        return false;
    }
    return true;
}

void om_w_varint(om_wbuf *w, uint64_t value)
{
    if (!room(w, om_wsize_varint(value))) {
        return;
    }
    while (value >= 0x80) {
        *w->at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *w->at++ = (uint8_t)value;
}

static void tag(om_wbuf *w, uint32_t field, uint32_t type)
{
    om_w_varint(w, (uint64_t)field << 3 | type);
}

void om_w_uint(om_wbuf *w, uint32_t field, uint64_t value)
{
    if (value != 0) {
        tag(w, field, OM_WT_VARINT);
        om_w_varint(w, value);
    }
}

void om_w_fixed64(om_wbuf *w, uint32_t field, uint64_t value)
{
    if (value != 0) {
        /* The wire is little-endian, and so is every machine that the engine supports. */
        tag(w, field, OM_WT_FIXED64);
        om_w_raw(w, &value, sizeof value);
    }
}

void om_w_double(om_wbuf *w, uint32_t field, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    om_w_fixed64(w, field, bits);
}

void om_w_len(om_wbuf *w, uint32_t field, size_t size)
{
    tag(w, field, OM_WT_LEN);
    om_w_varint(w, size);
}

void om_w_raw(om_wbuf *w, const void *data, size_t size)
{
    if (size > 0 && room(w, size)) {
        memcpy(w->at, data, size);
        w->at += size;
    }
}

void om_w_bytes(om_wbuf *w, uint32_t field, const void *data, size_t size)
{
    if (size > 0) {
        om_w_len(w, field, size);
        om_w_raw(w, data, size);
    }
}

void om_w_string(om_wbuf *w, uint32_t field, const char *text)
{
    om_w_bytes(w, field, text, strlen(text));
}
