/* simd_neon_float.c - NEON: distances in float, of rows in a graph and of stored vectors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "simd_int.h"

OM_INLINE float32x4_t step(float32x4_t sum, float32x4_t q, float32x4_t v, bool l2)
{
    if (l2) {
        float32x4_t difference = vsubq_f32(q, v);
        return vfmaq_f32(sum, difference, difference);
    }
    return vfmaq_f32(sum, q, v);
}

/* Eight components of a stored vector. Loads go through bytes: any alignment is allowed. */
OM_INLINE float32x4x2_t load_f32(const void *row, size_t i)
{
    const uint8_t *from = (const uint8_t *)row + i * 4;
    float32x4x2_t v = {
        {vreinterpretq_f32_u8(vld1q_u8(from)), vreinterpretq_f32_u8(vld1q_u8(from + 16))}};
    return v;
}
OM_INLINE float32x4x2_t load_f16(const void *row, size_t i)
{
    float16x8_t half = vreinterpretq_f16_u8(vld1q_u8((const uint8_t *)row + i * 2));
    float32x4x2_t v = {{vcvt_f32_f16(vget_low_f16(half)), vcvt_high_f32_f16(half)}};
    return v;
}
OM_INLINE float32x4x2_t load_i8(const void *row, size_t i)
{
    int16x8_t wide = vmovl_s8(vld1_s8((const int8_t *)row + i));
    float32x4x2_t v = {
        {vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_high_s16(wide))}};
    return v;
}
OM_INLINE float32x4x2_t load_u8(const void *row, size_t i)
{
    uint16x8_t wide = vmovl_u8(vld1_u8((const uint8_t *)row + i));
    float32x4x2_t v = {
        {vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), vcvtq_f32_u32(vmovl_high_u16(wide))}};
    return v;
}

/* `count` rows (a constant <= 4); prefetches the same lines of the four rows `next` (NULL: none). */
OM_INLINE void group(const om_probe *probe, const uint8_t *rows, size_t stride, const uint32_t *ids,
                     int32_t *out, const uint8_t *const *next, bool l2, uint32_t count)
{
    const uint8_t *row[OM_GROUP];
    om_group_rows(rows, stride, ids, count, row);
    const uint8_t *data = probe->data;
    float32x4_t sum[OM_GROUP];
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        sum[r] = vdupq_n_f32(0);
    }
    for (uint32_t at = 0; at < probe->bytes; at += 32) {
        float32x4x2_t q = load_f32(data + at, 0);
        if (next != NULL && at % OM_CACHE_LINE == 0 && at < OM_PREFETCH_LINES * OM_CACHE_LINE) {
            OM_UNROLL
            for (uint32_t r = 0; r < OM_GROUP; r++) {
                __builtin_prefetch(next[r] + at, 0, 3);
            }
        }
        OM_UNROLL
        for (uint32_t r = 0; r < count; r++) {
            float32x4x2_t v = load_f32(row[r] + at, 0);
            sum[r] = step(step(sum[r], q.val[0], v.val[0], l2), q.val[1], v.val[1], l2);
        }
    }
    float32x4_t total = vpaddq_f32(vpaddq_f32(sum[0], sum[1]), vpaddq_f32(sum[2], sum[3]));
    if (!l2) {
        total = vnegq_f32(total);
    }
    float value[OM_GROUP];
    vst1q_f32(value, total);
    OM_UNROLL
    for (uint32_t r = 0; r < count; r++) {
        out[r] = om_order_f32(value[r]);
    }
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

void om_neon_gather_l2_f32(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, true);
}

void om_neon_gather_ip_f32(OM_GATHER_ARGS)
{
    gather(probe, rows, stride, ids, n, out, false);
}

/* Four accumulators hide the latency of the multiply-add. The last few components go through zeroed
 * buffers, so that nothing outside the vectors is read. */
#define DEFINE_EXACT(name, type, width, l2)                                                    \
    float om_neon_##name##_##type(const float *query, const void *row, uint32_t dim)           \
    {                                                                                          \
        float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)}; \
        uint32_t i = 0;                                                                        \
        for (; i + 16 <= dim; i += 16) {                                                       \
            OM_UNROLL                                                                          \
            for (uint32_t s = 0; s < 4; s += 2) {                                              \
                float32x4x2_t q = load_f32(query, i + 4 * s);                                  \
                float32x4x2_t v = load_##type(row, i + 4 * s);                                 \
                sum[s] = step(sum[s], q.val[0], v.val[0], l2);                                 \
                sum[s + 1] = step(sum[s + 1], q.val[1], v.val[1], l2);                         \
            }                                                                                  \
        }                                                                                      \
        for (; i < dim; i += 8) {                                                              \
            uint32_t left = dim - i < 8 ? dim - i : 8;                                         \
            float rest_q[8] = {0};                                                             \
            uint8_t rest_v[8 * (width)] = {0};                                                 \
            memcpy(rest_q, (const uint8_t *)query + (size_t)i * 4, left * sizeof *query);      \
            memcpy(rest_v, (const uint8_t *)row + (size_t)i * (width), left * (width));        \
            float32x4x2_t q = load_f32(rest_q, 0);                                             \
            float32x4x2_t v = load_##type(rest_v, 0);                                          \
            sum[0] = step(sum[0], q.val[0], v.val[0], l2);                                     \
            sum[1] = step(sum[1], q.val[1], v.val[1], l2);                                     \
        }                                                                                      \
        return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));    \
    }
DEFINE_EXACT(l2, f32, 4, true)
DEFINE_EXACT(l2, f16, 2, true)
DEFINE_EXACT(l2, i8, 1, true)
DEFINE_EXACT(l2, u8, 1, true)
DEFINE_EXACT(ip, f32, 4, false)
DEFINE_EXACT(ip, f16, 2, false)
DEFINE_EXACT(ip, i8, 1, false)
DEFINE_EXACT(ip, u8, 1, false)
