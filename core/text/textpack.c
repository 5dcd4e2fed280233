/* textpack.c - integers of few bits: blocks of 128 in four lanes for vector registers, shorter ones in
 * a row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text_int.h"

/* Vectors of the compiler: SSE2 or NEON at the baseline of their platforms, the same code. */
typedef uint32_t v4u __attribute__((vector_size(16)));
#define INLINE static inline __attribute__((always_inline))

INLINE v4u load(const uint8_t *in)
{
    v4u value;
    memcpy(&value, in, sizeof value);
    return value;
}

/* Vector `i` of a block whose width is a constant to the compiler: shifts become immediates. */
INLINE v4u field_at(const uint8_t *in, uint32_t i, const uint32_t width)
{
    const uint32_t bit = i * width;
    const uint32_t shift = bit % 32;
    const v4u mask = (v4u){1, 1, 1, 1} * (width == 32 ? UINT32_MAX : (UINT32_C(1) << width) - 1);
    v4u value = load(in + (size_t)(bit / 32) * 16) >> shift;
    if (shift + width > 32) {
        value |= load(in + (size_t)(bit / 32 + 1) * 16) << (32 - shift);
    }
    return value & mask;
}

INLINE void unpack_width(const uint8_t *in, uint32_t *out, const uint32_t width)
{
#pragma GCC unroll 32
    for (uint32_t i = 0; i < OM_PACK / 4; i++) {
        v4u value = width == 0 ? (v4u){0} : field_at(in, i, width);
        memcpy(out + (size_t)i * 4, &value, sizeof value);
    }
}

/* Sums of the four gaps of a vector come first, so that only one addition and one shuffle a vector
 * wait for the vector before. */
INLINE uint32_t rows_width(const uint8_t *in, uint32_t before, uint32_t *out, const uint32_t width)
{
    const v4u zero = {0, 0, 0, 0};
    v4u carry = {before, before, before, before};
    v4u all = zero;
#pragma GCC unroll 32
    for (uint32_t i = 0; i < OM_PACK / 4; i++) {
        v4u value = width == 0 ? zero : field_at(in, i, width);
        value += (v4u){1, 1, 1, 1};
        value += __builtin_shufflevector(zero, value, 0, 4, 5, 6);
        value += __builtin_shufflevector(zero, value, 0, 1, 4, 5);
        value += carry;
        carry = __builtin_shufflevector(value, value, 3, 3, 3, 3);
        all |= value;
        memcpy(out + (size_t)i * 4, &value, sizeof value);
    }
    return all[0] | all[1] | all[2] | all[3];
}

#define WIDTHS(X)                                                                             \
    X(0)                                                                                      \
    X(1)                                                                                      \
    X(2)                                                                                      \
    X(3)                                                                                      \
    X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) \
        X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32)

void om_unpack_full(const uint8_t *in, uint32_t width, uint32_t *out)
{
    switch (width) {
#define CASE(w)                   \
    case w:                       \
        unpack_width(in, out, w); \
        return;
        WIDTHS(CASE)
#undef CASE
    default:
        om_assert(width <= 32);
    }
}

uint32_t om_unpack_rows(const uint8_t *in, uint32_t width, uint32_t before, uint32_t *out)
{
    switch (width) {
#define CASE(w) \
    case w:     \
        return rows_width(in, before, out, w);
        WIDTHS(CASE)
#undef CASE
    default:
        om_assert(width <= 32);
        return UINT32_MAX;
    }
}

void om_pack_full(const uint32_t *in, uint32_t width, uint8_t *out)
{
    uint32_t words[OM_PACK] = {0};
    for (uint32_t i = 0; i < OM_PACK; i++) {
        const uint32_t bit = i / 4 * width;
        const uint64_t value = (uint64_t)in[i] << (bit % 32);
        const uint32_t at = bit / 32 * 4 + i % 4;
        words[at] |= (uint32_t)value;
        if (bit % 32 + width > 32) {
            words[at + 4] |= (uint32_t)(value >> 32);
        }
    }
    memcpy(out, words, (size_t)width * 16);
}

void om_pack_some(const uint32_t *in, uint32_t n, uint32_t width, uint8_t *out)
{
    uint64_t held = 0;
    uint32_t bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        held |= (uint64_t)in[i] << bits;
        bits += width;
        for (; bits >= 8; bits -= 8, held >>= 8) {
            *out++ = (uint8_t)held;
        }
    }
    if (bits != 0) {
        *out = (uint8_t)held;
    }
}

void om_unpack_some(const uint8_t *in, uint32_t n, uint32_t width, uint32_t *out)
{
    const uint64_t mask = (UINT64_C(1) << width) - 1;
    uint64_t bit = 0;
    for (uint32_t i = 0; i < n; i++, bit += width) {
        uint64_t value;
        memcpy(&value, in + bit / 8, sizeof value);
        out[i] = (uint32_t)(value >> (bit % 8) & mask);
    }
}
