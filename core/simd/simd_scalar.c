/* simd_scalar.c - the kernels in plain C: the oracle of every other table, and the fallback.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "simd_int.h"

static int32_t dot_u8s8(const uint8_t *a, const int8_t *b, uint32_t bytes)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        sum += (uint32_t)((int32_t)a[i] * (int32_t)b[i]);
    }
    return (int32_t)sum;
}

static uint32_t l2_u8(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        int32_t difference = (int32_t)a[i] - (int32_t)b[i];
        sum += (uint32_t)(difference * difference);
    }
    return sum;
}

static void gather_l2_u8(OM_GATHER_ARGS)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = (int32_t)l2_u8(om_row_at(rows, stride, ids[i]), probe->data, probe->bytes);
    }
}

static void gather_norm(OM_GATHER_ARGS)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = om_row_at(rows, stride, ids[i]);
        int32_t base = om_wrap_add(probe->bias, om_row_tail(row, stride));
        out[i] = om_wrap_sub(base, dot_u8s8(row, probe->data, probe->bytes));
    }
}

static void gather_dot(OM_GATHER_ARGS)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = om_row_at(rows, stride, ids[i]);
        out[i] = om_wrap_sub(probe->bias, dot_u8s8(row, probe->data, probe->bytes));
    }
}

static float f16_value(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 31u;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    if (exponent == 31) {
        /* A signalling NaN becomes quiet, as in hardware. */
        bits = sign | 0x7f800000u | (mantissa << 13) | (mantissa != 0 ? 0x400000u : 0u);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    } else {
        float value = (float)mantissa * 0x1p-24f; /* zero or subnormal: exact in f32 */
        memcpy(&bits, &value, sizeof bits);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t f16_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x1ffu));
    }
    if (magnitude >= 0x477ff000u) {
        return (uint16_t)(sign | 0x7c00u); /* from 65520 on the nearest half is infinity */
    }
    if (magnitude < 0x38800000u) {
        /* Below 2^-14: adding 0.5 puts the unit of the sum at 2^-24, that of half subnormals, so that the
         * addition rounds to nearest even by itself. */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof shifted);
        shifted += 0.5f;
        memcpy(&bits, &shifted, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000u));
    }
    uint32_t odd = (magnitude >> 13) & 1u;
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}

static float load_f32(const void *row, uint32_t i)
{
    float value;
    memcpy(&value, (const uint8_t *)row + (size_t)i * sizeof value, sizeof value);
    return value;
}
static float load_f16(const void *row, uint32_t i)
{
    uint16_t half;
    memcpy(&half, (const uint8_t *)row + (size_t)i * sizeof half, sizeof half);
    return f16_value(half);
}
static float load_i8(const void *row, uint32_t i)
{
    return (float)((const int8_t *)row)[i];
}
static float load_u8(const void *row, uint32_t i)
{
    return (float)((const uint8_t *)row)[i];
}

/* Exact distances sum in double: the oracle should not be the less accurate one. */
#define DEFINE_EXACT(type)                                                                \
    static float l2_row_##type(const float *query, const void *row, uint32_t dim)         \
    {                                                                                     \
        double sum = 0;                                                                   \
        for (uint32_t i = 0; i < dim; i++) {                                              \
            double difference = (double)load_f32(query, i) - (double)load_##type(row, i); \
            sum += difference * difference;                                               \
        }                                                                                 \
        return (float)sum;                                                                \
    }                                                                                     \
    static float ip_row_##type(const float *query, const void *row, uint32_t dim)         \
    {                                                                                     \
        double sum = 0;                                                                   \
        for (uint32_t i = 0; i < dim; i++) {                                              \
            sum += (double)load_f32(query, i) * (double)load_##type(row, i);              \
        }                                                                                 \
        return (float)sum;                                                                \
    }
DEFINE_EXACT(f32)
DEFINE_EXACT(f16)
DEFINE_EXACT(i8)
DEFINE_EXACT(u8)

static void gather_l2_f32(OM_GATHER_ARGS)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = om_row_at(rows, stride, ids[i]);
        out[i] = om_order_f32(l2_row_f32(probe->data, row, probe->bytes / 4));
    }
}

static void gather_ip_f32(OM_GATHER_ARGS)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = om_row_at(rows, stride, ids[i]);
        out[i] = om_order_f32(-ip_row_f32(probe->data, row, probe->bytes / 4));
    }
}

static uint32_t pack_below(const int32_t *distance, const uint32_t *ids, uint32_t n, int32_t limit,
                           uint64_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[count] = om_key_pack(distance[i], ids[i]);
        count += distance[i] < limit;
    }
    return count;
}

static uint32_t beam_insert(uint64_t *keys, uint32_t size, uint32_t cap, uint64_t key)
{
    if (size == cap) {
        if (cap == 0 || keys[cap - 1] <= key) {
            return cap;
        }
        size--;
    }
    uint32_t at = size;
    for (; at > 0 && keys[at - 1] > key; at--) {
        keys[at] = keys[at - 1];
    }
    keys[at] = key;
    return at;
}

static void f16_to_f32(const uint16_t *in, float *out, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i++) {
        out[i] = load_f16(in, i);
    }
}

static void f32_to_f16(const float *in, uint16_t *out, uint32_t dim)
{
    for (uint32_t i = 0; i < dim; i++) {
        uint16_t half = f16_bits(load_f32(in, i));
        memcpy((uint8_t *)out + (size_t)i * sizeof half, &half, sizeof half);
    }
}

static bool finite_f32(const float *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, (const uint8_t *)in + i * sizeof bits, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u) {
            return false;
        }
    }
    return true;
}

static bool finite_f16(const uint16_t *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const uint8_t *)in + i * sizeof half, sizeof half);
        if ((half & 0x7c00u) == 0x7c00u) {
            return false;
        }
    }
    return true;
}

static uint32_t encode_sq8(const float *in, const float *center, float inv_scale, uint32_t dim,
                           uint8_t *code)
{
    uint32_t clamped = 0;
    for (uint32_t i = 0; i < dim; i++) {
        float value = rintf((load_f32(in, i) - center[i]) * inv_scale);
        clamped += (value < -128.0f) | (value > 127.0f);
        /* Clamped before the conversion: out of range, it would be undefined. */
        value = value > -128.0f ? value : -128.0f;
        value = value < 127.0f ? value : 127.0f;
        code[i] = (uint8_t)((int32_t)value + 128);
    }
    return clamped;
}

static void hadamard(float *data, uint32_t n)
{
    for (uint32_t half = 1; half < n; half *= 2) {
        for (uint32_t i = 0; i < n; i += 2 * half) {
            for (uint32_t j = i; j < i + half; j++) {
                float a = data[j];
                float b = data[j + half];
                data[j] = a + b;
                data[j + half] = a - b;
            }
        }
    }
}

const om_kernels om_kernels_scalar = {
    .name = "scalar",
    .gather = {NULL, gather_l2_u8, gather_norm, gather_dot, gather_l2_f32, gather_ip_f32},
    .pack_below = pack_below,
    .beam_insert = beam_insert,
    .dot_u8s8 = dot_u8s8,
    .l2_u8 = l2_u8,
    .l2 = {NULL, l2_row_f32, l2_row_f16, l2_row_i8, l2_row_u8},
    .ip = {NULL, ip_row_f32, ip_row_f16, ip_row_i8, ip_row_u8},
    .f16_to_f32 = f16_to_f32,
    .f32_to_f16 = f32_to_f16,
    .finite_f32 = finite_f32,
    .finite_f16 = finite_f16,
    .encode_sq8 = encode_sq8,
    .hadamard = hadamard,
    OM_TABLE_SCANS(scalar),
};
