/* simd_avx512.c - AVX-512 + VNNI: byte rows, the beam, and the table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "simd_int.h"

/* Sums the lanes of four accumulators at once: 13 instructions for four results. */
OM_INLINE __m128i reduce4(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

OM_INLINE void store_group(int32_t *out, __m128i value, uint32_t count)
{
    if (count == OM_GROUP) {
        _mm_storeu_si128((__m128i *)out, value);
    } else {
        _mm_mask_storeu_epi32(out, (__mmask8)((1u << count) - 1u), value);
    }
}

/* A query block for squared differences, split into its even and odd bytes as 16-bit lanes: rows are then
 * split by a mask and a shift, which need no shuffle port, and differences are exact in 16 bits. */
typedef struct query_block {
    __m512i even, odd;
} query_block;

OM_INLINE query_block split(const uint8_t *data)
{
    __m512i v = _mm512_loadu_si512(data);
    return (query_block){_mm512_and_si512(v, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(v, 8)};
}
OM_INLINE __m512i l2_step(__m512i sum, const uint8_t *row, query_block q)
{
    __m512i v = _mm512_loadu_si512(row);
    __m512i even = _mm512_sub_epi16(_mm512_and_si512(v, _mm512_set1_epi16(0xff)), q.even);
    __m512i odd = _mm512_sub_epi16(_mm512_srli_epi16(v, 8), q.odd);
    return _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sum, even, even), odd, odd);
}

/* `count` rows (a constant <= 4) of `blocks` (a constant <= 4) blocks. */
OM_INLINE __m128i l2_short_group(const query_block *q, const uint8_t *const *row, uint32_t blocks,
                                 uint32_t count)
{
    __m512i sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = _mm512_setzero_si512();
    }
    OM_UNROLL
    for (uint32_t b = 0; b < blocks; b++) {
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            sum[r] = l2_step(sum[r], row[r] + b * 64, q[b]);
        }
    }
    return reduce4(sum[0], sum[1], sum[2], sum[3]);
}

OM_INLINE void l2_short_rest(const query_block *q, const uint8_t *rows, size_t stride,
                             const uint32_t *ids, int32_t *out, uint32_t blocks, uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    store_group(out, l2_short_group(q, row, blocks, count), count);
}

/* Rows of one to four lines: the query stays in registers. */
OM_INLINE void gather_l2_short(OM_GATHER_ARGS, const uint32_t blocks)
{
    query_block q[OM_SHORT_LINES];
    OM_UNROLL
    for (uint32_t b = 0; b < blocks; b++) {
        q[b] = split((const uint8_t *)probe->data + b * 64);
    }
    const uint32_t ahead = om_ahead(blocks, n);
    om_prefetch_rows(rows, stride, ids, 0, ahead, n, blocks);
    uint32_t i = 0;
    for (; i + OM_GROUP <= n; i += OM_GROUP) {
        om_prefetch_rows(rows, stride, ids, i + ahead, i + ahead + OM_GROUP, n, blocks);
        l2_short_rest(q, rows, stride, ids + i, out + i, blocks, OM_GROUP);
    }
    switch (n - i) {
    case 3:
        l2_short_rest(q, rows, stride, ids + i, out + i, blocks, 3);
        break;
    case 2:
        l2_short_rest(q, rows, stride, ids + i, out + i, blocks, 2);
        break;
    case 1:
        l2_short_rest(q, rows, stride, ids + i, out + i, blocks, 1);
        break;
    default:
        break;
    }
}

/* `count` rows of any length; prefetches the same lines of the four rows `next` (NULL: none). */
OM_INLINE __m128i l2_long_group(const om_probe *probe, const uint8_t *const *row,
                                const uint8_t *const *next, uint32_t count)
{
    const uint8_t *data = probe->data;
    __m512i sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = _mm512_setzero_si512();
    }
    for (uint32_t at = 0; at < probe->bytes; at += 64) {
        query_block q = split(data + at);
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            sum[r] = l2_step(sum[r], row[r] + at, q);
        }
        if (next != NULL && at < OM_PREFETCH_LINES * OM_CACHE_LINE) {
            OM_UNROLL
            for (uint32_t r = 0; r < OM_GROUP; r++) {
                __builtin_prefetch(next[r] + at, 0, 3);
            }
        }
    }
    return reduce4(sum[0], sum[1], sum[2], sum[3]);
}

OM_INLINE void l2_long_rows(const om_probe *probe, const uint8_t *rows, size_t stride,
                            const uint32_t *ids, int32_t *out, const uint8_t *const *next,
                            uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    store_group(out, l2_long_group(probe, row, next, count), count);
}

static void gather_l2_long(OM_GATHER_ARGS)
{
    const uint8_t *next[OM_GROUP];
    const uint32_t lines = om_min_u32(probe->bytes / OM_CACHE_LINE, OM_PREFETCH_LINES);
    const uint32_t ahead = om_ahead(lines, n);
    om_prefetch_rows(rows, stride, ids, 0, ahead, n, lines);
    uint32_t i = 0;
    for (; i + ahead < n; i += OM_GROUP) {
        om_next_rows(rows, stride, ids, i + ahead, n, next);
        l2_long_rows(probe, rows, stride, ids + i, out + i, next, OM_GROUP);
    }
    for (; i + OM_GROUP <= n; i += OM_GROUP) {
        l2_long_rows(probe, rows, stride, ids + i, out + i, NULL, OM_GROUP);
    }
    switch (n - i) {
    case 3:
        l2_long_rows(probe, rows, stride, ids + i, out + i, NULL, 3);
        break;
    case 2:
        l2_long_rows(probe, rows, stride, ids + i, out + i, NULL, 2);
        break;
    case 1:
        l2_long_rows(probe, rows, stride, ids + i, out + i, NULL, 1);
        break;
    default:
        break;
    }
}

static void gather_l2_u8(OM_GATHER_ARGS)
{
    switch (probe->bytes) {
    case 64:
        gather_l2_short(probe, rows, stride, ids, n, out, 1);
        break;
    case 128:
        gather_l2_short(probe, rows, stride, ids, n, out, 2);
        break;
    case 192:
        gather_l2_short(probe, rows, stride, ids, n, out, 3);
        break;
    case 256:
        gather_l2_short(probe, rows, stride, ids, n, out, 4);
        break;
    default:
        gather_l2_long(probe, rows, stride, ids, n, out);
        break;
    }
}

/* Two accumulators a row hide the latency of VPDPBUSD. */
typedef struct dot_sums {
    __m512i even[OM_GROUP];
    __m512i odd[OM_GROUP];
} dot_sums;

/* Adds bytes [from, to) of `count` rows (a constant <= 4); with `prefetch` (a constant) asks for the same
 * lines of the rows `next`. Sizes are size_t: 32-bit ones could wrap, which costs the compiler its best
 * addressing. Returns where it stopped: less than two blocks before `to`. */
OM_INLINE size_t dot_span(const int8_t *data, const uint8_t *const *row, const uint8_t *const *next,
                          size_t from, size_t to, bool prefetch, uint32_t count, dot_sums *sums)
{
    for (; from + 128 <= to; from += 128) {
        __m512i q0 = _mm512_loadu_si512(data + from);
        __m512i q1 = _mm512_loadu_si512(data + from + 64);
        OM_UNROLL
        for (uint32_t r = 0; prefetch && r < OM_GROUP; r++) {
            __builtin_prefetch(next[r] + from, 0, 3);
            __builtin_prefetch(next[r] + from + 64, 0, 3);
        }
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            __m512i v0 = _mm512_loadu_si512(row[r] + from);
            __m512i v1 = _mm512_loadu_si512(row[r] + from + 64);
            sums->even[r] = _mm512_dpbusd_epi32(sums->even[r], v0, q0);
            sums->odd[r] = _mm512_dpbusd_epi32(sums->odd[r], v1, q1);
        }
    }
    return from;
}

/* Dot products of `count` rows (a constant <= 4) with the query. next NULL: nothing to prefetch. */
OM_INLINE __m128i dot_group(const om_probe *probe, const uint8_t *const *row,
                            const uint8_t *const *next, uint32_t count)
{
    const int8_t *data = probe->data;
    const size_t bytes = probe->bytes;
    dot_sums sums;
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sums.even[r] = _mm512_setzero_si512();
        sums.odd[r] = _mm512_setzero_si512();
    }
    size_t at = 0;
    if (next != NULL) {
        const size_t most = (size_t)OM_PREFETCH_LINES * OM_CACHE_LINE;
        at = dot_span(data, row, next, 0, bytes < most ? bytes : most, true, count, &sums);
    }
    at = dot_span(data, row, next, at, bytes, false, count, &sums);
    if (at < bytes) {
        __m512i q0 = _mm512_loadu_si512(data + at);
        OM_UNROLL
        for (uint32_t r = 0; next != NULL && r < OM_GROUP; r++) {
            __builtin_prefetch(next[r] + at, 0, 3);
        }
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            sums.even[r] = _mm512_dpbusd_epi32(sums.even[r], _mm512_loadu_si512(row[r] + at), q0);
        }
    }
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sums.even[r] = _mm512_add_epi32(sums.even[r], sums.odd[r]);
    }
    return reduce4(sums.even[0], sums.even[1], sums.even[2], sums.even[3]);
}

/* bias (+ tail) - dot of one group of `count` rows. */
OM_INLINE void dot_finish(const om_probe *probe, const uint8_t *rows, size_t stride,
                          const uint32_t *ids, int32_t *out, const uint8_t *const *next, bool tails,
                          uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    __m128i base = _mm_set1_epi32(probe->bias);
    __m128i dot = dot_group(probe, row, next, count);
    if (tails) {
        int32_t tail[OM_GROUP] = {0, 0, 0, 0};
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            tail[r] = om_row_tail(row[r], stride);
        }
        base = _mm_add_epi32(base, _mm_setr_epi32(tail[0], tail[1], tail[2], tail[3]));
    }
    store_group(out, _mm_sub_epi32(base, dot), count);
}

OM_INLINE void gather_dots(OM_GATHER_ARGS, const bool tails)
{
    const uint8_t *next[OM_GROUP];
    const uint32_t lines = om_min_u32(probe->bytes / OM_CACHE_LINE, OM_PREFETCH_LINES);
    /* The tail may have a line of its own, behind the bytes that count. */
    const bool tail_line = tails && stride > probe->bytes;
    const uint32_t ahead = om_ahead(lines, n);
    om_prefetch_rows(rows, stride, ids, 0, ahead, n, tail_line ? lines + 1 : lines);
    uint32_t i = 0;
    for (; i + ahead < n; i += OM_GROUP) {
        om_next_rows(rows, stride, ids, i + ahead, n, next);
        if (tail_line) {
            OM_UNROLL
            for (uint32_t r = 0; r < OM_GROUP; r++) {
                __builtin_prefetch(next[r] + stride - OM_CACHE_LINE, 0, 3);
            }
        }
        dot_finish(probe, rows, stride, ids + i, out + i, next, tails, OM_GROUP);
    }
    for (; i + OM_GROUP <= n; i += OM_GROUP) {
        dot_finish(probe, rows, stride, ids + i, out + i, NULL, tails, OM_GROUP);
    }
    switch (n - i) {
    case 3:
        dot_finish(probe, rows, stride, ids + i, out + i, NULL, tails, 3);
        break;
    case 2:
        dot_finish(probe, rows, stride, ids + i, out + i, NULL, tails, 2);
        break;
    case 1:
        dot_finish(probe, rows, stride, ids + i, out + i, NULL, tails, 1);
        break;
    default:
        break;
    }
}

static void gather_norm(OM_GATHER_ARGS)
{
    gather_dots(probe, rows, stride, ids, n, out, true);
}

static void gather_dot(OM_GATHER_ARGS)
{
    gather_dots(probe, rows, stride, ids, n, out, false);
}

static uint32_t pack_below(const int32_t *distance, const uint32_t *ids, uint32_t n, int32_t limit,
                           uint64_t *out)
{
    const __m512i bound = _mm512_set1_epi32(limit);
    const __m512i flip = _mm512_set1_epi32(INT32_MIN);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 in = n - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (n - i)) - 1u);
        __m512i d = _mm512_maskz_loadu_epi32(in, distance + i);
        uint32_t below = _mm512_mask_cmplt_epi32_mask(in, d, bound);
        if (below == 0) {
            continue; /* the common case late in a search */
        }
        __m512i id = _mm512_maskz_loadu_epi32(in, ids + i);
        d = _mm512_xor_si512(d, flip);
        id = _mm512_add_epi32(id, id);
        __m512i low =
            _mm512_or_si512(_mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(d)), 32),
                            _mm512_cvtepu32_epi64(_mm512_castsi512_si256(id)));
        __m512i high = _mm512_or_si512(
            _mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(d, 1)), 32),
            _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(id, 1)));
        /* Compressed in a register: the compressing store is microcoded on some machines. */
        __mmask8 first = (__mmask8)(below & 0xffu);
        __mmask8 second = (__mmask8)(below >> 8);
        _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi64(first, low));
        count += (uint32_t)__builtin_popcount(first);
        _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi64(second, high));
        count += (uint32_t)__builtin_popcount(second);
    }
    return count;
}

/* Opens a gap in the block of `count` <= 8 keys that ends at keys[end] and puts the key there. */
OM_INLINE uint32_t insert_into_block(uint64_t *keys, uint32_t end, uint32_t count, uint64_t key)
{
    const __mmask8 in = (__mmask8)((1u << count) - 1u);
    uint64_t *first = keys + (end - count);
    __m512i block = _mm512_maskz_loadu_epi64(in, first);
    __mmask8 greater = _mm512_mask_cmpgt_epu64_mask(in, block, _mm512_set1_epi64((long long)key));
    _mm512_mask_storeu_epi64(first + 1, greater, block);
    const uint32_t at = end - (uint32_t)__builtin_popcount(greater);
    keys[at] = key;
    return at;
}

/* One pass from the end: blocks of eight whose first key is greater move up by one as they are; the block
 * where that ends holds the position. The work is what has to move, with one hard-to-guess branch, which
 * waits for a scalar load only. */
static uint32_t beam_insert(uint64_t *keys, uint32_t size, uint32_t cap, uint64_t key)
{
    if (size == cap) {
        if (cap == 0 || keys[cap - 1] <= key) {
            return cap;
        }
        size--;
    }
    uint32_t end = size;
    for (; end >= 8 && keys[end - 8] > key; end -= 8) {
        _mm512_storeu_si512(keys + end - 7, _mm512_loadu_si512(keys + end - 8));
    }
    return insert_into_block(keys, end, end < 8 ? end : 8, key);
}

static int32_t dot_u8s8(const uint8_t *a, const int8_t *b, uint32_t bytes)
{
    __m512i even = _mm512_setzero_si512();
    __m512i odd = _mm512_setzero_si512();
    uint32_t at = 0;
    for (; at + 128 <= bytes; at += 128) {
        even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(a + at), _mm512_loadu_si512(b + at));
        odd = _mm512_dpbusd_epi32(odd, _mm512_loadu_si512(a + at + 64),
                                  _mm512_loadu_si512(b + at + 64));
    }
    if (at < bytes) {
        even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(a + at), _mm512_loadu_si512(b + at));
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd));
}

static uint32_t l2_u8(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    __m512i sum = _mm512_setzero_si512();
    for (uint32_t at = 0; at < bytes; at += 64) {
        sum = l2_step(sum, a + at, split(b + at));
    }
    return (uint32_t)_mm512_reduce_add_epi32(sum);
}

OM_DEFINE_TABLE(avx512);
