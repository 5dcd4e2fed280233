/* simd_neon.c - NEON (base AArch64): byte rows, the beam, and the table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "simd_int.h"

/* Sums the lanes of four accumulators at once. */
OM_INLINE int32x4_t reduce4(const uint32x4_t *sum)
{
    uint32x4_t all = vpaddq_u32(vpaddq_u32(sum[0], sum[1]), vpaddq_u32(sum[2], sum[3]));
    return vreinterpretq_s32_u32(all);
}

OM_INLINE void store_group(int32_t *out, int32x4_t value, uint32_t count)
{
    if (count == OM_GROUP) {
        vst1q_s32(out, value);
        return;
    }
    int32_t lanes[OM_GROUP];
    vst1q_s32(lanes, value);
    memcpy(out, lanes, count * sizeof *out);
}

OM_INLINE uint32x4_t l2_step(uint32x4_t sum, uint8x16_t row, uint8x16_t q)
{
    uint8x16_t d = vabdq_u8(row, q);
    sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(d), vget_low_u8(d)));
    return vpadalq_u16(sum, vmull_high_u8(d, d));
}

/* 16-bit products of a full byte with a signed one do not fit 16 bits: both are widened first. */
OM_INLINE uint32x4_t dot_step(uint32x4_t sum, uint8x16_t row, int16x8_t q_low, int16x8_t q_high)
{
    int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(row)));
    int16x8_t high = vreinterpretq_s16_u16(vmovl_high_u8(row));
    int32x4_t wide = vreinterpretq_s32_u32(sum);
    wide = vmlal_s16(wide, vget_low_s16(low), vget_low_s16(q_low));
    wide = vmlal_high_s16(wide, low, q_low);
    wide = vmlal_s16(wide, vget_low_s16(high), vget_low_s16(q_high));
    wide = vmlal_high_s16(wide, high, q_high);
    return vreinterpretq_u32_s32(wide);
}

/* `count` rows (a constant <= 4); prefetches the same lines of the four rows `next` (NULL: none). */
OM_INLINE int32x4_t group(const om_probe *probe, const uint8_t *const *row,
                          const uint8_t *const *next, bool l2, uint32_t count)
{
    const uint8_t *data = probe->data;
    uint32x4_t sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = vdupq_n_u32(0);
    }
    for (uint32_t at = 0; at < probe->bytes; at += 16) {
        uint8x16_t q = vld1q_u8(data + at);
        int16x8_t q_low = vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(q)));
        int16x8_t q_high = vmovl_high_s8(vreinterpretq_s8_u8(q));
        if (next != NULL && at % OM_CACHE_LINE == 0 && at < OM_PREFETCH_LINES * OM_CACHE_LINE) {
            OM_UNROLL
            for (uint32_t r = 0; r < OM_GROUP; r++) {
                __builtin_prefetch(next[r] + at, 0, 3);
            }
        }
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            uint8x16_t v = vld1q_u8(row[r] + at);
            sum[r] = l2 ? l2_step(sum[r], v, q) : dot_step(sum[r], v, q_low, q_high);
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
    int32x4_t sum = group(probe, row, next, kind == OM_PROBE_L2_U8, count);
    if (kind != OM_PROBE_L2_U8) {
        int32_t base[OM_GROUP] = {probe->bias, probe->bias, probe->bias, probe->bias};
        OM_UNROLL
        for (uint32_t r = 0; kind == OM_PROBE_NORM && r < count; r++) {
            base[r] = om_wrap_add(base[r], om_row_tail(row[r], stride));
        }
        sum = vsubq_s32(vld1q_s32(base), sum);
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
    const int32x4_t bound = vdupq_n_s32(limit);
    uint32_t count = 0;
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint32x4_t below = vcltq_s32(vld1q_s32(distance + i), bound);
        if (vmaxvq_u32(below) == 0) {
            continue; /* the common case late in a search */
        }
        for (uint32_t at = i; at < i + 4; at++) {
            out[count] = om_key_pack(distance[at], ids[at]);
            count += distance[at] < limit;
        }
    }
    for (; i < n; i++) {
        out[count] = om_key_pack(distance[i], ids[i]);
        count += distance[i] < limit;
    }
    return count;
}

/* Blocks of four whose first key is greater move up by one as they are; the last few one by one. */
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
        uint64x2x2_t block = vld1q_u64_x2(keys + end - 4);
        vst1q_u64_x2(keys + end - 3, block);
    }
    for (; end > 0 && keys[end - 1] > key; end--) {
        keys[end] = keys[end - 1];
    }
    keys[end] = key;
    return end;
}

static int32_t dot_u8s8(const uint8_t *a, const int8_t *b, uint32_t bytes)
{
    uint32x4_t sum = vdupq_n_u32(0);
    for (uint32_t at = 0; at < bytes; at += 16) {
        int8x16_t q = vld1q_s8(b + at);
        sum = dot_step(sum, vld1q_u8(a + at), vmovl_s8(vget_low_s8(q)), vmovl_high_s8(q));
    }
    return (int32_t)vaddvq_u32(sum);
}

static uint32_t l2_u8(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    uint32x4_t sum = vdupq_n_u32(0);
    for (uint32_t at = 0; at < bytes; at += 16) {
        sum = l2_step(sum, vld1q_u8(a + at), vld1q_u8(b + at));
    }
    return vaddvq_u32(sum);
}

OM_DEFINE_TABLE(neon);
