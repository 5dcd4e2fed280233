/* metautf8.h - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 * Depends on: base.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METAUTF8_H
#define OM_METAUTF8_H
#include "base.h"

static inline bool om_utf8_tail(uint8_t byte)
{
    return (byte & 0xC0u) == 0x80u;
}

/* Bytes of the sequence at `at` (at < end); 0: it is not a valid one. */
static inline uint32_t om_utf8_step(const uint8_t *at, const uint8_t *end)
{
    uint8_t lead = at[0];
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4 || end - at < 2 || !om_utf8_tail(at[1])) {
        return 0;
    }
    if (lead < 0xE0) {
        return 2;
    }
    if (end - at < 3 || !om_utf8_tail(at[2])) {
        return 0;
    }
    if (lead < 0xF0) {
        bool overlong = lead == 0xE0 && at[1] < 0xA0;
        bool surrogate = lead == 0xED && at[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (end - at < 4 || !om_utf8_tail(at[3])) {
        return 0;
    }
    bool overlong = lead == 0xF0 && at[1] < 0x90;
    bool beyond = lead == 0xF4 && at[1] > 0x8F;
    return overlong || beyond ? 0 : 4;
}

/* Bytes from the start that are valid: `length` when all are. */
static inline size_t om_utf8_valid(const uint8_t *bytes, size_t length)
{
    const uint8_t *at = bytes;
    const uint8_t *end = bytes + length;
    while (at < end) {
        while (end - at >= 8) {
            uint64_t word;
            __builtin_memcpy(&word, at, 8);
            if ((word & UINT64_C(0x8080808080808080)) != 0) {
                break;
            }
            at += 8;
        }
        if (at == end) {
            break;
        }
        uint32_t step = om_utf8_step(at, end);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return (size_t)(at - bytes);
}

/* The longest start of at most `most` bytes that does not end inside a sequence: for messages. */
static inline int om_utf8_cut(const char *text, size_t length, size_t most)
{
    if (length <= most) {
        return (int)length;
    }
    size_t cut = most;
    while (cut > 0 && om_utf8_tail((uint8_t)text[cut])) {
        cut--;
    }
    return (int)cut;
}
/* A name for "%.*s". */
#define OM_NAME_ARGS(name, length) om_utf8_cut((name), (length), 64), (const char *)(name)
#endif
