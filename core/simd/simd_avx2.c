/* simd_avx2.c - AVX2: byte rows, the beam, and the table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

/* Sums the lanes of four accumulators at once. */
OM_INLINE __m128i reduce4(const __m256i *sum)
{
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(sum[0], sum[1]),
                                  _mm256_unpackhi_epi32(sum[0], sum[1]));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(sum[2], sum[3]),
                                  _mm256_unpackhi_epi32(sum[2], sum[3]));
    __m256i all = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

OM_INLINE void store_group(int32_t *out, __m128i value, uint32_t count)
{
    if (count == OM_GROUP) {
        _mm_storeu_si128((__m128i *)(void *)out, value);
    } else {
        __m128i lane = _mm_setr_epi32(0, 1, 2, 3);
        _mm_maskstore_epi32(out, _mm_cmpgt_epi32(_mm_set1_epi32((int32_t)count), lane), value);
    }
}

OM_INLINE __m256i load32(const void *bytes)
{
    return _mm256_loadu_si256((const __m256i *)bytes);
}

/* Even and odd bytes as 16-bit lanes: products of pairs then go through VPMADDWD, which is exact, while
 * VPMADDUBSW on bytes would saturate. A mask and a shift need no shuffle port. */
typedef struct halves {
    __m256i even, odd;
} halves;

OM_INLINE halves split_u8(__m256i v)
{
    return (halves){_mm256_and_si256(v, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(v, 8)};
}
OM_INLINE halves split_s8(__m256i v)
{
    return (halves){_mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), _mm256_srai_epi16(v, 8)};
}
OM_INLINE __m256i step(__m256i sum, __m256i row, halves q, bool l2)
{
    halves v = split_u8(row);
    if (l2) {
        v.even = _mm256_sub_epi16(v.even, q.even);
        v.odd = _mm256_sub_epi16(v.odd, q.odd);
        q = v;
    }
    __m256i products =
        _mm256_add_epi32(_mm256_madd_epi16(v.even, q.even), _mm256_madd_epi16(v.odd, q.odd));
    return _mm256_add_epi32(sum, products);
}

/* `count` rows (a constant <= 4); prefetches the same lines of the four rows `next` (NULL: none). */
OM_INLINE __m128i group(const om_probe *probe, const uint8_t *const *row,
                        const uint8_t *const *next, bool l2, uint32_t count)
{
    const uint8_t *data = probe->data;
    __m256i sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = _mm256_setzero_si256();
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
            __m256i bytes = load32(data + at + half);
            halves q = l2 ? split_u8(bytes) : split_s8(bytes);
            OM_UNROLL
            for (uint32_t r = 0; r < count; r++) {
                sum[r] = step(sum[r], load32(row[r] + at + half), q, l2);
            }
        }
    }
    return reduce4(sum);
}

/* One group of `count` rows, finished: the squared distance, or bias (+ tail) - dot. */
OM_INLINE void finish(const om_probe *probe, const uint8_t *rows, size_t stride,
                      const uint32_t *ids, int32_t *out, const uint8_t *const *next, uint32_t kind,
                      uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    __m128i sum = group(probe, row, next, kind == OM_PROBE_L2_U8, count);
    if (kind != OM_PROBE_L2_U8) {
        __m128i base = _mm_set1_epi32(probe->bias);
        if (kind == OM_PROBE_NORM) {
            int32_t tail[OM_GROUP] = {0, 0, 0, 0};
            OM_UNROLL
            for (uint32_t r = 0; r < count; r++) {
                tail[r] = om_row_tail(row[r], stride);
            }
            base = _mm_add_epi32(base, _mm_setr_epi32(tail[0], tail[1], tail[2], tail[3]));
        }
        sum = _mm_sub_epi32(base, sum);
    }
    store_group(out, sum, count);
}

OM_INLINE void gather(OM_GATHER_ARGS, const uint32_t kind)
{
    const uint8_t *next[OM_GROUP];
    const uint32_t lines = om_min_u32(probe->bytes / OM_CACHE_LINE, OM_PREFETCH_LINES);
    const uint32_t ahead = om_ahead(lines, n);
    om_prefetch_rows(rows, stride, ids, 0, ahead, n, lines);
    uint32_t i = 0;
    for (; i + ahead < n; i += OM_GROUP) {
        om_next_rows(rows, stride, ids, i + ahead, n, next);
        finish(probe, rows, stride, ids + i, out + i, next, kind, OM_GROUP);
    }
    for (; i + OM_GROUP <= n; i += OM_GROUP) {
        finish(probe, rows, stride, ids + i, out + i, NULL, kind, OM_GROUP);
    }
    switch (n - i) {
    case 3:
        finish(probe, rows, stride, ids + i, out + i, NULL, kind, 3);
        break;
    case 2:
        finish(probe, rows, stride, ids + i, out + i, NULL, kind, 2);
        break;
    case 1:
        finish(probe, rows, stride, ids + i, out + i, NULL, kind, 1);
        break;
    default:
        break;
    }
}

static void gather_l2_u8(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, OM_PROBE_L2_U8);
}

static void gather_norm(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, OM_PROBE_NORM);
}

static void gather_dot(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, OM_PROBE_DOT);
}

static uint32_t pack_below(const int32_t *distance, const uint32_t *ids, uint32_t n, int32_t limit,
                           uint64_t *out)
{
    const __m256i bound = _mm256_set1_epi32(limit);
    uint32_t count = 0;
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i below = _mm256_cmpgt_epi32(bound, load32(distance + i));
        uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(below));
        for (; mask != 0; mask &= mask - 1) { /* few are left late in a search */
            uint32_t at = i + (uint32_t)__builtin_ctz(mask);
            out[count++] = om_key_pack(distance[at], ids[at]);
        }
    }
    for (; i < n; i++) {
        out[count] = om_key_pack(distance[i], ids[i]);
        count += distance[i] < limit;
    }
    return count;
}

/* As in AVX-512, in blocks of four; the last few keys move one by one. */
static uint32_t beam_insert(uint64_t *keys, uint32_t size, uint32_t cap, uint64_t key)
{
    if (size == cap) {
        if (cap == 0 || keys[cap - 1] <= key) {
            return cap;
        }
        size--;
    }
    uint32_t end = size;
    for (; end >= 4 && keys[end - 4] > key; end -= 4) {
        _mm256_storeu_si256((__m256i *)(void *)(keys + end - 3), load32(keys + end - 4));
    }
    for (; end > 0 && keys[end - 1] > key; end--) {
        keys[end] = keys[end - 1];
    }
    keys[end] = key;
    return end;
}

OM_INLINE uint32_t reduce1(__m256i sum)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(half);
}

static int32_t dot_u8s8(const uint8_t *a, const int8_t *b, uint32_t bytes)
{
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t at = 0; at < bytes; at += 32) {
        sum = step(sum, load32(a + at), split_s8(load32(b + at)), false);
    }
    return (int32_t)reduce1(sum);
}

static uint32_t l2_u8(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    __m256i sum = _mm256_setzero_si256();
    for (uint32_t at = 0; at < bytes; at += 32) {
        sum = step(sum, load32(a + at), split_u8(load32(b + at)), true);
    }
    return reduce1(sum);
}

OM_DEFINE_TABLE(avx2);
