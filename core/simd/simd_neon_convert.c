/* simd_neon_convert.c - NEON: conversions, finite checks, int8 coding, Walsh-Hadamard transform.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "simd_int.h"

/* Loads and stores go through bytes: any alignment is allowed. */
OM_INLINE float32x4_t load4(const float *in)
{
    return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)in));
}
OM_INLINE void store4(float *out, float32x4_t value)
{
    vst1q_u8((uint8_t *)out, vreinterpretq_u8_f32(value));
}

void om_neon_f16_to_f32(const uint16_t *in, float *out, uint32_t dim)
{
    uint32_t i = 0;
    for (; i + 4 <= dim; i += 4) {
        store4(out + i, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8((const uint8_t *)(in + i)))));
    }
    om_kernels_scalar.f16_to_f32(in + i, out + i, dim - i);
}

void om_neon_f32_to_f16(const float *in, uint16_t *out, uint32_t dim)
{
    uint32_t i = 0;
    for (; i + 4 <= dim; i += 4) {
        vst1_u8((uint8_t *)(out + i), vreinterpret_u8_f16(vcvt_f16_f32(load4(in + i))));
    }
    om_kernels_scalar.f32_to_f16(in + i, out + i, dim - i);
}

bool om_neon_finite_f32(const float *in, size_t count)
{
    const uint32x4_t exponent = vdupq_n_u32(0x7f800000u);
    uint32x4_t bad = vdupq_n_u32(0);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        uint32x4_t v = vreinterpretq_u32_f32(load4(in + i));
        bad = vorrq_u32(bad, vceqq_u32(vandq_u32(v, exponent), exponent));
    }
    return vmaxvq_u32(bad) == 0 && om_kernels_scalar.finite_f32(in + i, count - i);
}

bool om_neon_finite_f16(const uint16_t *in, size_t count)
{
    const uint16x8_t exponent = vdupq_n_u16(0x7c00u);
    uint16x8_t bad = vdupq_n_u16(0);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint16x8_t v = vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)(in + i)));
        bad = vorrq_u16(bad, vceqq_u16(vandq_u16(v, exponent), exponent));
    }
    return vmaxvq_u16(bad) == 0 && om_kernels_scalar.finite_f16(in + i, count - i);
}

/* Four codes as 32-bit lanes; counts the clamped ones as -1 in *clamped. */
OM_INLINE int32x4_t code4(const float *in, const float *center, float inv_scale,
                          uint32x4_t *clamped)
{
    const float32x4_t low = vdupq_n_f32(-128.0f);
    const float32x4_t high = vdupq_n_f32(127.0f);
    float32x4_t v = vrndnq_f32(vmulq_n_f32(vsubq_f32(load4(in), load4(center)), inv_scale));
    *clamped = vaddq_u32(*clamped, vorrq_u32(vcltq_f32(v, low), vcgtq_f32(v, high)));
    return vcvtq_s32_f32(vminq_f32(vmaxq_f32(v, low), high));
}

uint32_t om_neon_encode_sq8(const float *in, const float *center, float inv_scale, uint32_t dim,
                            uint8_t *code)
{
    uint32x4_t clamped = vdupq_n_u32(0);
    uint32_t i = 0;
    for (; i + 16 <= dim; i += 16) {
        int32x4_t a = code4(in + i, center + i, inv_scale, &clamped);
        int32x4_t b = code4(in + i + 4, center + i + 4, inv_scale, &clamped);
        int32x4_t c = code4(in + i + 8, center + i + 8, inv_scale, &clamped);
        int32x4_t d = code4(in + i + 12, center + i + 12, inv_scale, &clamped);
        int16x8_t ab = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
        int16x8_t cd = vcombine_s16(vmovn_s32(c), vmovn_s32(d));
        int8x16_t bytes = vcombine_s8(vmovn_s16(ab), vmovn_s16(cd));
        vst1q_u8(code + i, veorq_u8(vreinterpretq_u8_s8(bytes), vdupq_n_u8(0x80)));
    }
    uint32_t count = 0u - vaddvq_u32(clamped);
    return count + om_kernels_scalar.encode_sq8(in + i, center + i, inv_scale, dim - i, code + i);
}

/* Stages 1 and 2 of four components: b + a where the sign mask is clear, b - a where it is set. */
OM_INLINE float32x4_t hadamard4(float32x4_t x)
{
    const uint32x4_t odd = {0, 0x80000000u, 0, 0x80000000u};
    const uint32x4_t upper = {0, 0, 0x80000000u, 0x80000000u};
    float32x4_t signed_x = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), odd));
    x = vaddq_f32(vrev64q_f32(x), signed_x);
    signed_x = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), upper));
    return vaddq_f32(vextq_f32(x, x, 2), signed_x);
}

/* Two stages in one pass: half the loads and stores. */
OM_INLINE void hadamard_pair(float *data, uint32_t half)
{
    for (uint32_t j = 0; j < half; j += 4) {
        float32x4_t a = load4(data + j);
        float32x4_t b = load4(data + j + half);
        float32x4_t c = load4(data + j + 2 * half);
        float32x4_t d = load4(data + j + 3 * half);
        float32x4_t ab = vaddq_f32(a, b);
        float32x4_t a_b = vsubq_f32(a, b);
        float32x4_t cd = vaddq_f32(c, d);
        float32x4_t c_d = vsubq_f32(c, d);
        store4(data + j, vaddq_f32(ab, cd));
        store4(data + j + half, vaddq_f32(a_b, c_d));
        store4(data + j + 2 * half, vsubq_f32(ab, cd));
        store4(data + j + 3 * half, vsubq_f32(a_b, c_d));
    }
}

void om_neon_hadamard(float *data, uint32_t n)
{
    if (n < 4) {
        om_kernels_scalar.hadamard(data, n);
        return;
    }
    for (uint32_t i = 0; i < n; i += 4) {
        store4(data + i, hadamard4(load4(data + i)));
    }
    uint32_t half = 4;
    for (; half * 2 < n; half *= 4) {
        for (uint32_t i = 0; i < n; i += 4 * half) {
            hadamard_pair(data + i, half);
        }
    }
    for (uint32_t j = 0; half < n && j < half; j += 4) {
        float32x4_t a = load4(data + j);
        float32x4_t b = load4(data + j + half);
        store4(data + j, vaddq_f32(a, b));
        store4(data + j + half, vsubq_f32(a, b));
    }
}
