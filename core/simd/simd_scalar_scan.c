/* simd_scalar_scan.c - conditions on codes in plain C: the oracle of the other tables, and the fallback.
 * SPDX-License-Identifier: Apache-2.0 */
#include "simd_int.h"

OM_INLINE uint64_t word8(const uint8_t *codes, uint8_t first, uint8_t span)
{
    uint64_t word = 0;
    for (uint32_t i = 0; i < 64; i++) {
        word |= (uint64_t)((uint8_t)(codes[i] - first) <= span) << i;
    }
    return word;
}

OM_INLINE uint64_t word16(const uint16_t *codes, uint16_t first, uint16_t span)
{
    uint64_t word = 0;
    for (uint32_t i = 0; i < 64; i++) {
        word |= (uint64_t)((uint16_t)(codes[i] - first) <= span) << i;
    }
    return word;
}

OM_DEFINE_SCANS(scalar)
