/* simd_checks_scan.c - scans of codes: bit for bit what the definition says.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "simd_checks.h"

enum { WORDS = 9, CODES = WORDS * 64 };
static const uint64_t CANARY = UINT64_C(0x5a5a5a5a5a5a5a5a);

/* What a scan shall leave, from its definition and not from another kernel. */
static uint32_t expect(const bool *in, uint32_t kind, uint64_t *bits, uint32_t words)
{
    uint32_t count = 0;
    for (uint32_t w = 0; w < words; w++) {
        uint64_t found = 0;
        for (uint32_t i = 0; i < 64; i++) {
            found |= (uint64_t)in[w * 64 + i] << i;
        }
        bits[w] = kind == OM_SCAN_AND  ? bits[w] & found
                  : kind == OM_SCAN_OR ? bits[w] | found
                                       : found;
        for (uint64_t left = bits[w]; left != 0; left &= left - 1) {
            count++;
        }
    }
    return count;
}

static void fill_bits(uint64_t *bits, uint32_t words)
{
    for (uint32_t w = 0; w < words; w++) {
        bits[w] = simd_random() & simd_random();
    }
    bits[words] = CANARY;
}

/* One scan of the last `words` words of codes, which end at an unreadable page. */
static uint32_t compare(const om_kernels *kernels, const void *codes, bool wide, uint16_t first,
                        uint16_t span, uint32_t words)
{
    bool in[CODES];
    uint64_t wanted[WORDS + 1], got[WORDS + 1];
    uint32_t failures = 0;
    for (uint32_t i = 0; i < words * 64; i++) {
        const uint32_t code = wide ? ((const uint16_t *)codes)[i] : ((const uint8_t *)codes)[i];
        in[i] = ((code - first) & (wide ? 0xffffu : 0xffu)) <= span;
    }
    for (uint32_t kind = 0; kind < OM_SCAN_KINDS; kind++) {
        fill_bits(wanted, words);
        memcpy(got, wanted, sizeof got);
        const uint32_t want_count = expect(in, kind, wanted, words);
        const uint32_t count =
            wide ? kernels->scan16[kind](codes, first, span, got, words)
                 : kernels->scan8[kind](codes, (uint8_t)first, (uint8_t)span, got, words);
        if (count != want_count || memcmp(got, wanted, (words + 1) * sizeof *got) != 0) {
            failures += simd_failed(kernels, wide ? "scan16: first, span" : "scan8: first, span",
                                    first, span);
        }
        if (kernels->count_bits(got, words) != want_count) {
            failures += simd_failed(kernels, "count_bits: words", words, count);
        }
    }
    return failures;
}

static uint32_t check_width(const om_kernels *kernels, bool wide)
{
    static const uint16_t edges[] = {0, 1, 2, 127, 128, 129, 254, 255};
    static const uint16_t wide_edges[] = {0, 1, 255, 256, 32767, 32768, 65534, 65535};
    enum { EDGES = sizeof edges / sizeof edges[0] };
    const size_t width = wide ? 2 : 1;
    uint8_t *codes = simd_guarded(CODES * width);
    uint32_t failures = 0;
    if (codes == NULL) {
        return simd_failed(kernels, "out of memory", 0, 0);
    }
    for (uint32_t round = 0; round < 400; round++) {
        /* Edges beside random codes; later only few different ones, so that many are equal to first. */
        for (uint32_t i = 0; i < CODES; i++) {
            const uint16_t any = (uint16_t)simd_random();
            const uint16_t edge = wide ? wide_edges[any % EDGES] : edges[any % EDGES];
            const uint16_t code = any < 20000 ? edge : (uint16_t)(simd_random() >> (round % 16));
            memcpy(codes + i * width, &code, width); /* the low byte of narrow ones */
        }
        const uint16_t first = round < EDGES * EDGES ? (wide ? wide_edges : edges)[round / EDGES]
                                                     : (uint16_t)simd_random();
        const uint16_t span = round < EDGES * EDGES ? (wide ? wide_edges : edges)[round % EDGES]
                                                    : (uint16_t)(simd_random() >> (round % 16));
        const uint16_t mask = wide ? 0xffff : 0xff;
        const uint32_t words = round % (WORDS + 1);
        failures += compare(kernels, codes + (size_t)(WORDS - words) * 64 * width, wide,
                            first & mask, span & mask, words);
    }
    simd_unguard(codes, CODES * width);
    return failures;
}

static uint32_t check_scan8(const om_kernels *kernels)
{
    return check_width(kernels, false);
}

static uint32_t check_scan16(const om_kernels *kernels)
{
    return check_width(kernels, true);
}

const simd_check simd_checks_scan[] = {
    {"scan8", check_scan8}, {"scan16", check_scan16}, {NULL, NULL}};
