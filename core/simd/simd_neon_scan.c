/* simd_neon_scan.c - NEON: conditions on codes. SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "simd_int.h"

/* One bit of each of 64 bytes that are 0 or 255: each keeps the bit of its place within eight, and three
 * rounds of adding neighbours gather the eights. */
OM_INLINE uint64_t gather_bits(const uint8x16_t *in)
{
    const uint8x16_t place = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x8040201008040201)));
    uint8x16_t low = vpaddq_u8(vandq_u8(in[0], place), vandq_u8(in[1], place));
    uint8x16_t high = vpaddq_u8(vandq_u8(in[2], place), vandq_u8(in[3], place));
    uint8x16_t all = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

OM_INLINE uint64_t word8(const uint8_t *codes, uint8_t first, uint8_t span)
{
    const uint8x16_t from = vdupq_n_u8(first);
    const uint8x16_t most = vdupq_n_u8(span);
    uint8x16_t in[4];
    OM_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        in[i] = vcleq_u8(vsubq_u8(vld1q_u8(codes + i * 16), from), most);
    }
    return gather_bits(in);
}

OM_INLINE uint64_t word16(const uint16_t *codes, uint16_t first, uint16_t span)
{
    const uint16x8_t from = vdupq_n_u16(first);
    const uint16x8_t most = vdupq_n_u16(span);
    uint8x16_t in[4];
    OM_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        uint16x8_t low = vcleq_u16(vsubq_u16(vld1q_u16(codes + i * 16), from), most);
        uint16x8_t high = vcleq_u16(vsubq_u16(vld1q_u16(codes + i * 16 + 8), from), most);
        in[i] = vcombine_u8(vmovn_u16(low), vmovn_u16(high));
    }
    return gather_bits(in);
}

OM_DEFINE_SCANS(neon)
