/* simd_avx2_float.c - AVX2 + FMA + F16C: distances in float, of rows in a graph and of stored vectors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

OM_INLINE __m128 reduce4(const __m256 *sum)
{
    __m256 ab = _mm256_hadd_ps(sum[0], sum[1]);
    __m256 cd = _mm256_hadd_ps(sum[2], sum[3]);
    __m256 all = _mm256_hadd_ps(ab, cd);
    return _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
}

OM_INLINE __m256 step(__m256 sum, __m256 q, __m256 v, bool l2)
{
    if (l2) {
        __m256 difference = _mm256_sub_ps(q, v);
        return _mm256_fmadd_ps(difference, difference, sum);
    }
    return _mm256_fmadd_ps(q, v, sum);
}

/* Floats to integers of the same order: om_order_f32 for four lanes. */
OM_INLINE __m128i order4(__m128 value)
{
    __m128i bits = _mm_castps_si128(value);
    __m128i flip = _mm_and_si128(_mm_srai_epi32(bits, 31), _mm_set1_epi32(INT32_MAX));
    return _mm_xor_si128(bits, flip);
}

OM_INLINE __m256 load_f32(const void *row, size_t i)
{
    return _mm256_loadu_ps((const float *)(const void *)((const uint8_t *)row + i * 4));
}
OM_INLINE __m256 load_f16(const void *row, size_t i)
{
    const uint8_t *from = (const uint8_t *)row + i * 2;
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}
OM_INLINE __m256 load_i8(const void *row, size_t i)
{
    const uint8_t *from = (const uint8_t *)row + i;
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from)));
}
OM_INLINE __m256 load_u8(const void *row, size_t i)
{
    const uint8_t *from = (const uint8_t *)row + i;
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from)));
}

/* `count` rows (a constant <= 4); prefetches the same lines of the four rows `next` (NULL: none). */
OM_INLINE void group(const om_probe *probe, const uint8_t *rows, size_t stride, const uint32_t *ids,
                     int32_t *out, const uint8_t *const *next, bool l2, uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    const uint8_t *data = probe->data;
    __m256 sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = _mm256_setzero_ps();
    }
    for (uint32_t at = 0; at < probe->bytes; at += 64) {
        if (next != NULL && at < OM_PREFETCH_LINES * OM_CACHE_LINE) {
            OM_UNROLL
            for (uint32_t r = 0; r < OM_GROUP; r++) {
                __builtin_prefetch(next[r] + at, 0, 3);
            }
        }
        OM_UNROLL
        for (uint32_t half = 0; half < 64; half += 32) {
            __m256 q = load_f32(data + at + half, 0);
            OM_UNROLL
            for (uint32_t r = 0; r < count; r++) {
                sum[r] = step(sum[r], q, load_f32(row[r] + at + half, 0), l2);
            }
        }
    }
    __m128 total = reduce4(sum);
    if (!l2) {
        total = _mm_xor_ps(total, _mm_set1_ps(-0.0f));
    }
    __m128i lane = _mm_setr_epi32(0, 1, 2, 3);
    _mm_maskstore_epi32(out, _mm_cmpgt_epi32(_mm_set1_epi32((int32_t)count), lane), order4(total));
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

void om_avx2_gather_l2_f32(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, true);
}

void om_avx2_gather_ip_f32(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, false);
}

OM_INLINE float reduce1(const __m256 *sum)
{
    __m256 all = _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3]));
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

/* Four accumulators hide the latency of the multiply-add. The last few components go through zeroed
 * buffers, so that nothing outside the vectors is read. */
#define DEFINE_EXACT(name, type, width, l2)                                                  \
    float om_avx2_##name##_##type(const float *query, const void *row, uint32_t dim)         \
    {                                                                                        \
        __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),      \
                         _mm256_setzero_ps()};                                               \
        uint32_t i = 0;                                                                      \
        for (; i + 32 <= dim; i += 32) {                                                     \
            OM_UNROLL                                                                        \
            for (uint32_t s = 0; s < 4; s++) {                                               \
                __m256 q = load_f32(query, i + 8 * s);                                       \
                sum[s] = step(sum[s], q, load_##type(row, i + 8 * s), l2);                   \
            }                                                                                \
        }                                                                                    \
        for (; i + 8 <= dim; i += 8) {                                                       \
            sum[1] = step(sum[1], load_f32(query, i), load_##type(row, i), l2);              \
        }                                                                                    \
        if (i < dim) {                                                                       \
            float rest_q[8] = {0};                                                           \
            uint8_t rest_v[8 * (width)] = {0};                                               \
            memcpy(rest_q, query + i, (dim - i) * sizeof *query);                            \
            memcpy(rest_v, (const uint8_t *)row + (size_t)i * (width), (dim - i) * (width)); \
            sum[0] = step(sum[0], load_f32(rest_q, 0), load_##type(rest_v, 0), l2);          \
        }                                                                                    \
        return reduce1(sum);                                                                 \
    }
DEFINE_EXACT(l2, f32, 4, true)
DEFINE_EXACT(l2, f16, 2, true)
DEFINE_EXACT(l2, i8, 1, true)
DEFINE_EXACT(l2, u8, 1, true)
DEFINE_EXACT(ip, f32, 4, false)
DEFINE_EXACT(ip, f16, 2, false)
DEFINE_EXACT(ip, i8, 1, false)
DEFINE_EXACT(ip, u8, 1, false)
