/* crc32c_sse42.c - CRC-32C with the crc32 instruction, three streams at a time. Compiled with
 * -msse4.2 -mpclmul, called only where the processor has both. SPDX-License-Identifier: Apache-2.0
 *
 * The instruction takes three cycles and one can start each cycle, so one chain of them uses a
 * third of the unit. A stretch of 3 * LANE bytes is summed as three lanes at once. To join them,
 * the checksums of the first and second lane must be carried over the bytes that follow them, which
 * multiplies them by x^(8n) modulo the polynomial. A carry-less product with the constant x^(8n -
 * 33) followed by the crc32 instruction, which multiplies by x^32 and reduces, does that; the
 * missing x is the shift by one that the product of two reflected polynomials has. */
#include "crc32c_int.h"

#include <immintrin.h>
#include <string.h>

enum { LANE = 4096, SHORT_LANE = 256 };
/* x^(8n - 33) mod P, reflected, for n of one and two lanes. */
enum { LANE_1 = 0, LANE_2 = 1 };
static const uint32_t carry_lane[2] = {0x82F89C77u, 0x54A86326u};
static const uint32_t carry_short[2] = {0xB9E02B86u, 0xDD7E3B0Cu};

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t carry(uint64_t crc, uint32_t constant)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
                                           _mm_cvtsi32_si128((int)constant), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

static uint64_t three_lanes(uint64_t crc, const uint8_t *at, size_t lane, const uint32_t *constants)
{
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < lane; i += 8) {
        crc = _mm_crc32_u64(crc, load64(at + i));
        second = _mm_crc32_u64(second, load64(at + lane + i));
        third = _mm_crc32_u64(third, load64(at + 2 * lane + i));
    }
    uint64_t carried = carry(crc, constants[LANE_2]) ^ carry(second, constants[LANE_1]);
    return _mm_crc32_u64(0, carried) ^ third;
}

uint32_t om_crc32c_sse42(uint32_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t crc = (uint32_t)~seed;
    for (; bytes >= 3 * (size_t)LANE; at += 3 * LANE, bytes -= 3 * LANE) {
        crc = three_lanes(crc, at, LANE, carry_lane);
    }
    for (; bytes >= 3 * (size_t)SHORT_LANE; at += 3 * SHORT_LANE, bytes -= 3 * SHORT_LANE) {
        crc = three_lanes(crc, at, SHORT_LANE, carry_short);
    }
    for (; bytes >= 8; at += 8, bytes -= 8) {
        crc = _mm_crc32_u64(crc, load64(at));
    }
    for (; bytes > 0; at++, bytes--) {
        crc = _mm_crc32_u8((uint32_t)crc, *at);
    }
    return ~(uint32_t)crc;
}
