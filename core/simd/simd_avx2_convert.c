/* simd_avx2_convert.c - AVX2 + F16C: conversions, finite checks, int8 coding, Walsh-Hadamard transform.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

void om_avx2_f16_to_f32(const uint16_t *in, float *out, uint32_t dim)
{
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8) {
        _mm256_storeu_ps(out + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + i))));
    }
    if (i < dim) {
        uint16_t rest[8] = {0};
        float result[8];
        memcpy(rest, in + i, (dim - i) * sizeof *in);
        _mm256_storeu_ps(result,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)rest)));
        memcpy(out + i, result, (dim - i) * sizeof *out);
    }
}

OM_INLINE __m128i to_f16(const float *in)
{
    return _mm256_cvtps_ph(_mm256_loadu_ps(in), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void om_avx2_f32_to_f16(const float *in, uint16_t *out, uint32_t dim)
{
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8) {
        _mm_storeu_si128((__m128i *)(void *)(out + i), to_f16(in + i));
    }
    if (i < dim) {
        float rest[8] = {0};
        uint16_t result[8];
        memcpy(rest, in + i, (dim - i) * sizeof *in);
        _mm_storeu_si128((__m128i *)(void *)result, to_f16(rest));
        memcpy(out + i, result, (dim - i) * sizeof *out);
    }
}

bool om_avx2_finite_f32(const float *in, size_t count)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i bad = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in + i));
        bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(_mm256_and_si256(v, exponent), exponent));
    }
    return _mm256_testz_si256(bad, bad) != 0 && om_kernels_scalar.finite_f32(in + i, count - i);
}

bool om_avx2_finite_f16(const uint16_t *in, size_t count)
{
    const __m256i exponent = _mm256_set1_epi16(0x7c00);
    __m256i bad = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in + i));
        bad = _mm256_or_si256(bad, _mm256_cmpeq_epi16(_mm256_and_si256(v, exponent), exponent));
    }
    return _mm256_testz_si256(bad, bad) != 0 && om_kernels_scalar.finite_f16(in + i, count - i);
}

/* Eight codes as 32-bit lanes; adds the clamped ones to *clamped. */
OM_INLINE __m256i code8(const float *in, const float *center, __m256 inv, uint32_t *clamped)
{
    const __m256 low = _mm256_set1_ps(-128.0f);
    const __m256 high = _mm256_set1_ps(127.0f);
    __m256 v = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(in), _mm256_loadu_ps(center)), inv);
    v = _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 out =
        _mm256_or_ps(_mm256_cmp_ps(v, low, _CMP_LT_OQ), _mm256_cmp_ps(v, high, _CMP_GT_OQ));
    *clamped += (uint32_t)__builtin_popcount((uint32_t)_mm256_movemask_ps(out));
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, low), high));
}

uint32_t om_avx2_encode_sq8(const float *in, const float *center, float inv_scale, uint32_t dim,
                            uint8_t *code)
{
    const __m256 inv = _mm256_set1_ps(inv_scale);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    uint32_t clamped = 0;
    uint32_t i = 0;
    for (; i + 32 <= dim; i += 32) {
        __m256i a = code8(in + i, center + i, inv, &clamped);
        __m256i b = code8(in + i + 8, center + i + 8, inv, &clamped);
        __m256i c = code8(in + i + 16, center + i + 16, inv, &clamped);
        __m256i d = code8(in + i + 24, center + i + 24, inv, &clamped);
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        bytes = _mm256_permutevar8x32_epi32(bytes, order); /* packs work in halves of 128 bits */
        _mm256_storeu_si256((__m256i *)(void *)(code + i),
                            _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)));
    }
    for (; i + 8 <= dim; i += 8) {
        __m256i a = code8(in + i, center + i, inv, &clamped);
        __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        __m128i bytes = _mm_xor_si128(_mm_packs_epi16(words, words), _mm_set1_epi8((char)0x80));
        _mm_storel_epi64((__m128i *)(void *)(code + i), bytes);
    }
    return clamped + om_kernels_scalar.encode_sq8(in + i, center + i, inv_scale, dim - i, code + i);
}

/* The stages within a register: y = partner +- x, with the partner at distance 1, 2, 4. */
OM_INLINE __m256 hadamard8(__m256 x)
{
    __m256 partner = _mm256_permute_ps(x, 0xb1);
    x = _mm256_blend_ps(_mm256_add_ps(partner, x), _mm256_sub_ps(partner, x), 0xaa);
    partner = _mm256_permute_ps(x, 0x4e);
    x = _mm256_blend_ps(_mm256_add_ps(partner, x), _mm256_sub_ps(partner, x), 0xcc);
    partner = _mm256_permute2f128_ps(x, x, 0x01);
    return _mm256_blend_ps(_mm256_add_ps(partner, x), _mm256_sub_ps(partner, x), 0xf0);
}

/* Two stages in one pass: half the loads and stores. */
OM_INLINE void hadamard_pair(float *data, uint32_t half)
{
    for (uint32_t j = 0; j < half; j += 8) {
        __m256 a = _mm256_loadu_ps(data + j);
        __m256 b = _mm256_loadu_ps(data + j + half);
        __m256 c = _mm256_loadu_ps(data + j + 2 * half);
        __m256 d = _mm256_loadu_ps(data + j + 3 * half);
        __m256 ab = _mm256_add_ps(a, b);
        __m256 a_b = _mm256_sub_ps(a, b);
        __m256 cd = _mm256_add_ps(c, d);
        __m256 c_d = _mm256_sub_ps(c, d);
        _mm256_storeu_ps(data + j, _mm256_add_ps(ab, cd));
        _mm256_storeu_ps(data + j + half, _mm256_add_ps(a_b, c_d));
        _mm256_storeu_ps(data + j + 2 * half, _mm256_sub_ps(ab, cd));
        _mm256_storeu_ps(data + j + 3 * half, _mm256_sub_ps(a_b, c_d));
    }
}

void om_avx2_hadamard(float *data, uint32_t n)
{
    if (n < 8) {
        om_kernels_scalar.hadamard(data, n);
        return;
    }
    for (uint32_t i = 0; i < n; i += 8) {
        _mm256_storeu_ps(data + i, hadamard8(_mm256_loadu_ps(data + i)));
    }
    uint32_t half = 8;
    for (; half * 2 < n; half *= 4) {
        for (uint32_t i = 0; i < n; i += 4 * half) {
            hadamard_pair(data + i, half);
        }
    }
    for (uint32_t j = 0; half < n && j < half; j += 8) {
        __m256 a = _mm256_loadu_ps(data + j);
        __m256 b = _mm256_loadu_ps(data + j + half);
        _mm256_storeu_ps(data + j, _mm256_add_ps(a, b));
        _mm256_storeu_ps(data + j + half, _mm256_sub_ps(a, b));
    }
}
