/* simd_avx512_convert.c - AVX-512: conversions, finite checks, int8 coding, Walsh-Hadamard transform.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

OM_INLINE __mmask16 lanes(size_t left)
{
    return left >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << left) - 1u);
}

void om_avx512_f16_to_f32(const uint16_t *in, float *out, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i += 16) {
        __mmask16 part = lanes(dim - i);
        _mm512_mask_storeu_ps(out + i, part,
                              _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(part, in + i)));
    }
}

void om_avx512_f32_to_f16(const float *in, uint16_t *out, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i += 16) {
        __mmask16 part = lanes(dim - i);
        __m512 value = _mm512_maskz_loadu_ps(part, in + i);
        __m256i half = _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(out + i, part, half);
    }
}

bool om_avx512_finite_f32(const float *in, size_t count)
{
    const __m512i exponent = _mm512_set1_epi32(0x7f800000);
    __mmask16 bad = 0;
    for (size_t i = 0; i < count; i += 16) {
        __m512i v = _mm512_maskz_loadu_epi32(lanes(count - i), in + i);
        bad |= _mm512_cmpeq_epi32_mask(_mm512_and_si512(v, exponent), exponent);
    }
    return bad == 0;
}

bool om_avx512_finite_f16(const uint16_t *in, size_t count)
{
    const __m512i exponent = _mm512_set1_epi16(0x7c00);
    __mmask32 bad = 0;
    for (size_t i = 0; i < count; i += 32) {
        size_t left = count - i;
        __mmask32 part = left >= 32 ? UINT32_MAX : (1u << left) - 1u;
        __m512i v = _mm512_maskz_loadu_epi16(part, in + i);
        bad |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(v, exponent), exponent);
    }
    return bad == 0;
}

uint32_t om_avx512_encode_sq8(const float *in, const float *center, float inv_scale, uint32_t dim,
                              uint8_t *code)
{
    const __m512 inv = _mm512_set1_ps(inv_scale);
    const __m512 low = _mm512_set1_ps(-128.0f);
    const __m512 high = _mm512_set1_ps(127.0f);
    uint32_t clamped = 0;
    for (uint32_t i = 0; i < dim; i += 16) {
        __mmask16 part = lanes(dim - i);
        __m512 v = _mm512_sub_ps(_mm512_maskz_loadu_ps(part, in + i),
                                 _mm512_maskz_loadu_ps(part, center + i));
        v = _mm512_roundscale_ps(_mm512_mul_ps(v, inv),
                                 _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        uint32_t out_of_range = _mm512_mask_cmp_ps_mask(part, v, low, _CMP_LT_OQ) |
                                _mm512_mask_cmp_ps_mask(part, v, high, _CMP_GT_OQ);
        clamped += (uint32_t)__builtin_popcount(out_of_range);
        v = _mm512_min_ps(_mm512_max_ps(v, low), high);
        __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
        _mm_mask_storeu_epi8(code + i, part, _mm_xor_si128(bytes, _mm_set1_epi8((char)0x80)));
    }
    return clamped;
}

/* The stages within a register: y = partner + (sign ? -x : x), with the partner at distance 1, 2, 4, 8. */
OM_INLINE __m512 butterfly(__m512 x, __m512 partner, __mmask16 upper)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(partner, x), upper, partner, x);
}
OM_INLINE __m512 hadamard16(__m512 x)
{
    x = butterfly(x, _mm512_permute_ps(x, 0xb1), 0xaaaa);
    x = butterfly(x, _mm512_permute_ps(x, 0x4e), 0xcccc);
    x = butterfly(x, _mm512_shuffle_f32x4(x, x, 0xb1), 0xf0f0);
    return butterfly(x, _mm512_shuffle_f32x4(x, x, 0x4e), 0xff00);
}

/* Two stages in one pass: half the loads and stores. */
OM_INLINE void hadamard_pair(float *data, uint32_t half)
{
    for (uint32_t j = 0; j < half; j += 16) {
        __m512 a = _mm512_loadu_ps(data + j);
        __m512 b = _mm512_loadu_ps(data + j + half);
        __m512 c = _mm512_loadu_ps(data + j + 2 * half);
        __m512 d = _mm512_loadu_ps(data + j + 3 * half);
        __m512 ab = _mm512_add_ps(a, b);
        __m512 a_b = _mm512_sub_ps(a, b);
        __m512 cd = _mm512_add_ps(c, d);
        __m512 c_d = _mm512_sub_ps(c, d);
        _mm512_storeu_ps(data + j, _mm512_add_ps(ab, cd));
        _mm512_storeu_ps(data + j + half, _mm512_add_ps(a_b, c_d));
        _mm512_storeu_ps(data + j + 2 * half, _mm512_sub_ps(ab, cd));
        _mm512_storeu_ps(data + j + 3 * half, _mm512_sub_ps(a_b, c_d));
    }
}

void om_avx512_hadamard(float *data, uint32_t n)
{
    if (n < 16) {
        om_kernels_scalar.hadamard(data, n);
        return;
    }
    for (uint32_t i = 0; i < n; i += 16) {
        _mm512_storeu_ps(data + i, hadamard16(_mm512_loadu_ps(data + i)));
    }
    uint32_t half = 16;
    for (; half * 2 < n; half *= 4) {
        for (uint32_t i = 0; i < n; i += 4 * half) {
            hadamard_pair(data + i, half);
        }
    }
    for (uint32_t j = 0; half < n && j < half; j += 16) {
        __m512 a = _mm512_loadu_ps(data + j);
        __m512 b = _mm512_loadu_ps(data + j + half);
        _mm512_storeu_ps(data + j, _mm512_add_ps(a, b));
        _mm512_storeu_ps(data + j + half, _mm512_sub_ps(a, b));
    }
}
