/* simd_avx512_scan.c - AVX-512: conditions on codes. SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

OM_INLINE uint64_t word8(const uint8_t *codes, uint8_t first, uint8_t span)
{
    __m512i x = _mm512_sub_epi8(_mm512_loadu_si512(codes), _mm512_set1_epi8((char)first));
    return _mm512_cmple_epu8_mask(x, _mm512_set1_epi8((char)span));
}

OM_INLINE uint32_t half16(const uint16_t *codes, __m512i first, __m512i span)
{
    return _mm512_cmple_epu16_mask(_mm512_sub_epi16(_mm512_loadu_si512(codes), first), span);
}

OM_INLINE uint64_t word16(const uint16_t *codes, uint16_t first, uint16_t span)
{
    const __m512i from = _mm512_set1_epi16((short)first);
    const __m512i most = _mm512_set1_epi16((short)span);
    return half16(codes, from, most) | (uint64_t)half16(codes + 32, from, most) << 32;
}

OM_DEFINE_SCANS(avx512)
