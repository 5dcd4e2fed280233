/* simd_avx2_scan.c - AVX2: conditions on codes. SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

OM_INLINE __m256i load32(const void *bytes)
{
    return _mm256_loadu_si256((const __m256i *)bytes);
}

/* There is no unsigned comparison: x <= span is min(x, span) == x. */
OM_INLINE uint32_t half8(const uint8_t *codes, __m256i first, __m256i span)
{
    __m256i x = _mm256_sub_epi8(load32(codes), first);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(x, span), x));
}

OM_INLINE uint64_t word8(const uint8_t *codes, uint8_t first, uint8_t span)
{
    const __m256i from = _mm256_set1_epi8((char)first);
    const __m256i most = _mm256_set1_epi8((char)span);
    return half8(codes, from, most) | (uint64_t)half8(codes + 32, from, most) << 32;
}

OM_INLINE __m256i in16(const uint16_t *codes, __m256i first, __m256i span)
{
    __m256i x = _mm256_sub_epi16(load32(codes), first);
    return _mm256_cmpeq_epi16(_mm256_min_epu16(x, span), x);
}

/* Packing works within lanes: their middle quarters change places. */
OM_INLINE uint32_t half16(const uint16_t *codes, __m256i first, __m256i span)
{
    __m256i both = _mm256_packs_epi16(in16(codes, first, span), in16(codes + 16, first, span));
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(both, 0xd8));
}

OM_INLINE uint64_t word16(const uint16_t *codes, uint16_t first, uint16_t span)
{
    const __m256i from = _mm256_set1_epi16((short)first);
    const __m256i most = _mm256_set1_epi16((short)span);
    return half16(codes, from, most) | (uint64_t)half16(codes + 32, from, most) << 32;
}

OM_DEFINE_SCANS(avx2)
