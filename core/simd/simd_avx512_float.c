/* simd_avx512_float.c - AVX-512: distances in float, of rows in a graph and of stored vectors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

OM_INLINE __m128 reduce4(__m512 a, __m512 b, __m512 c, __m512 d)
{
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 all = _mm512_add_ps(
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

OM_INLINE __m512 step(__m512 sum, __m512 q, __m512 v, bool l2)
{
    if (l2) {
        __m512 difference = _mm512_sub_ps(q, v);
        return _mm512_fmadd_ps(difference, difference, sum);
    }
    return _mm512_fmadd_ps(q, v, sum);
}

/* Floats to integers of the same order: om_order_f32 for four lanes. */
OM_INLINE __m128i order4(__m128 value)
{
    __m128i bits = _mm_castps_si128(value);
    __m128i flip = _mm_and_si128(_mm_srai_epi32(bits, 31), _mm_set1_epi32(INT32_MAX));
    return _mm_xor_si128(bits, flip);
}

/* `count` rows (a constant <= 4); prefetches the same lines of the four rows `next` (NULL: none). */
OM_INLINE void group(const om_probe *probe, const uint8_t *rows, size_t stride, const uint32_t *ids,
                     int32_t *out, const uint8_t *const *next, bool l2, uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    const uint8_t *data = probe->data;
    __m512 sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = _mm512_setzero_ps();
    }
    for (uint32_t at = 0; at < probe->bytes; at += 64) {
        __m512 q = _mm512_loadu_ps(data + at);
        if (next != NULL && at < OM_PREFETCH_LINES * OM_CACHE_LINE) {
            OM_UNROLL
            for (uint32_t r = 0; r < OM_GROUP; r++) {
                __builtin_prefetch(next[r] + at, 0, 3);
            }
        }
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            sum[r] = step(sum[r], q, _mm512_loadu_ps(row[r] + at), l2);
        }
    }
    __m128 total = reduce4(sum[0], sum[1], sum[2], sum[3]);
    if (!l2) {
        total = _mm_xor_ps(total, _mm_set1_ps(-0.0f));
    }
    _mm_mask_storeu_epi32(out, (__mmask8)((1u << count) - 1u), order4(total));
}

OM_INLINE void gather(OM_GATHER_ARGS, const bool l2)
{
    const uint8_t *next[OM_GROUP];
    const uint32_t lines = om_min_u32(probe->bytes / OM_CACHE_LINE, OM_PREFETCH_LINES);
    const uint32_t ahead = om_ahead(lines, n);
    om_prefetch_rows(rows, stride, ids, 0, ahead, n, lines);
    uint32_t i = 0;
    for (; i + ahead < n; i += OM_GROUP) {
        om_next_rows(rows, stride, ids, i + ahead, n, next);
        group(probe, rows, stride, ids + i, out + i, next, l2, OM_GROUP);
    }
    for (; i + OM_GROUP <= n; i += OM_GROUP) {
        group(probe, rows, stride, ids + i, out + i, NULL, l2, OM_GROUP);
    }
    switch (n - i) {
    case 3:
        group(probe, rows, stride, ids + i, out + i, NULL, l2, 3);
        break;
    case 2:
        group(probe, rows, stride, ids + i, out + i, NULL, l2, 2);
        break;
    case 1:
        group(probe, rows, stride, ids + i, out + i, NULL, l2, 1);
        break;
    default:
        break;
    }
}

void om_avx512_gather_l2_f32(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, true);
}

void om_avx512_gather_ip_f32(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, false);
}

/* Sixteen components of a stored vector as floats; those outside the mask are zero and not read. */
OM_INLINE __m512 load_f32(const void *row, uint32_t i, __mmask16 in)
{
    return _mm512_maskz_loadu_ps(in, (const uint8_t *)row + (size_t)i * 4);
}
OM_INLINE __m512 load_f16(const void *row, uint32_t i, __mmask16 in)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(in, (const uint8_t *)row + (size_t)i * 2));
}
OM_INLINE __m512 load_i8(const void *row, uint32_t i, __mmask16 in)
{
    __m128i v = _mm_maskz_loadu_epi8(in, (const uint8_t *)row + i);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v));
}
OM_INLINE __m512 load_u8(const void *row, uint32_t i, __mmask16 in)
{
    __m128i v = _mm_maskz_loadu_epi8(in, (const uint8_t *)row + i);
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

/* Four accumulators hide the latency of the multiply-add; the tail is one masked step. */
#define DEFINE_EXACT(name, type, l2)                                                      \
    float om_avx512_##name##_##type(const float *query, const void *row, uint32_t dim)    \
    {                                                                                     \
        const __mmask16 all = (__mmask16)0xffff;                                          \
        __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),   \
                         _mm512_setzero_ps()};                                            \
        uint32_t i = 0;                                                                   \
        for (; i + 64 <= dim; i += 64) {                                                  \
            OM_UNROLL                                                                     \
            for (uint32_t s = 0; s < 4; s++) {                                            \
                __m512 q = load_f32(query, i + 16 * s, all);                              \
                sum[s] = step(sum[s], q, load_##type(row, i + 16 * s, all), l2);          \
            }                                                                             \
        }                                                                                 \
        for (; i < dim; i += 16) {                                                        \
            __mmask16 in = dim - i >= 16 ? all : (__mmask16)((1u << (dim - i)) - 1u);     \
            sum[0] = step(sum[0], load_f32(query, i, in), load_##type(row, i, in), l2);   \
        }                                                                                 \
        return _mm512_reduce_add_ps(                                                      \
            _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3]))); \
    }
DEFINE_EXACT(l2, f32, true)
DEFINE_EXACT(l2, f16, true)
DEFINE_EXACT(l2, i8, true)
DEFINE_EXACT(l2, u8, true)
DEFINE_EXACT(ip, f32, false)
DEFINE_EXACT(ip, f16, false)
DEFINE_EXACT(ip, i8, false)
DEFINE_EXACT(ip, u8, false)
