/* simd_checks_floats.c - float kernels: equal to the scalar ones up to the order of summation, conversions
 * bit for bit. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "simd_checks.h"

enum { MAX_DIM = 65535 };
/* Sums of up to 65,535 terms in float, in another order, against a sum in double. */
#define TOLERANCE 2e-5

static const uint32_t dims_beyond[] = {71,  100, 127, 128,  255,  256,
                                       257, 784, 960, 1000, 4096, MAX_DIM};
enum { SMALL_DIMS = 70, DIMS = SMALL_DIMS + sizeof dims_beyond / sizeof dims_beyond[0] };

static uint32_t dim_at(uint32_t i)
{
    return i < SMALL_DIMS ? i + 1 : dims_beyond[i - SMALL_DIMS];
}

static uint32_t type_width(uint32_t type)
{
    return type == OMEN_F32 ? 4 : type == OMEN_F16 ? 2 : 1;
}

/* Any finite vector of a type, as bytes. */
static void fill_row(uint32_t type, uint8_t *row, uint32_t dim)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    for (uint32_t i = 0; i < dim; i++) {
        float value = simd_random_float();
        uint16_t half;
        switch (type) {
        case OMEN_F32:
            memcpy(row + (size_t)i * 4, &value, 4);
            break;
        case OMEN_F16:
            scalar->f32_to_f16(&value, &half, 1);
            memcpy(row + (size_t)i * 2, &half, 2);
            break;
        default:
            row[i] = (uint8_t)simd_random();
            break;
        }
    }
}

static bool near_enough(float wanted, float got, double scale)
{
    return fabs((double)wanted - (double)got) <= TOLERANCE * scale + 1e-30;
}

/* sum |q| |v|, to judge an inner product whose terms cancel. */
static double magnitude(uint32_t type, const float *query, const uint8_t *row, uint32_t dim)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        float q;
        memcpy(&q, (const uint8_t *)query + (size_t)i * 4, 4);
        float one = 1.0f;
        float value = scalar->ip[type](&one, row + (size_t)i * type_width(type), 1);
        sum += fabs((double)q * (double)value);
    }
    return sum;
}

static uint32_t exact_case(const om_kernels *kernels, uint32_t type, uint32_t dim, uint32_t shift)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    static uint8_t *row_end;
    static uint8_t *query_end;
    if (row_end == NULL) {
        row_end = (uint8_t *)simd_guarded(MAX_DIM * 4 + 64) + MAX_DIM * 4 + 64;
        query_end = (uint8_t *)simd_guarded(MAX_DIM * 4 + 64) + MAX_DIM * 4 + 64;
    }
    /* Without a shift both end at an unreadable page; with one they are unaligned. */
    uint8_t *row = row_end - (size_t)dim * type_width(type) - shift;
    uint8_t *query_bytes = query_end - (size_t)dim * 4 - shift;
    fill_row(type, row, dim);
    fill_row(OMEN_F32, query_bytes, dim);
    const float *query = (const float *)(const void *)query_bytes;
    uint32_t failures = 0;
    float wanted = scalar->l2[type](query, row, dim);
    if (!near_enough(wanted, kernels->l2[type](query, row, dim), (double)wanted)) {
        failures += simd_failed(kernels, "l2: type, dim", type, dim);
    }
    wanted = scalar->ip[type](query, row, dim);
    double scale = magnitude(type, query, row, dim);
    if (!near_enough(wanted, kernels->ip[type](query, row, dim), scale)) {
        failures += simd_failed(kernels, "ip: type, dim", type, dim);
    }
    return failures;
}

static uint32_t check_exact(const om_kernels *kernels)
{
    uint32_t failures = 0;
    for (uint32_t type = OMEN_F32; type <= OMEN_U8; type++) {
        for (uint32_t i = 0; i < DIMS; i++) {
            for (uint32_t shift = 0; shift < 3; shift++) {
                failures += exact_case(kernels, type, dim_at(i), shift);
            }
        }
    }
    return failures;
}

static uint32_t check_gather_f32(const om_kernels *kernels)
{
    enum { ROWS = 12, MOST = 19 };
    const om_kernels *scalar = om_kernels_by_name("scalar");
    uint32_t failures = 0;
    for (uint32_t bytes = 64; bytes <= 4096; bytes = bytes < 640 ? bytes + 64 : bytes * 2) {
        const size_t stride = bytes + bytes % 192;
        uint8_t *rows = simd_guarded(ROWS * stride);
        uint8_t *query = simd_guarded(bytes);
        fill_row(OMEN_F32, rows, (uint32_t)(ROWS * stride / 4));
        fill_row(OMEN_F32, query, bytes / 4);
        for (uint32_t n = 0; n <= MOST; n++) {
            uint32_t ids[MOST + 1];
            int32_t wanted[2][MOST + 1];
            int32_t got[2][MOST + 1];
            memset(got, 0x5a, sizeof got);
            for (uint32_t i = 0; i < n; i++) {
                ids[i] = (uint32_t)(simd_random() % ROWS);
            }
            ids[n] = UINT32_MAX;
            om_probe probe = {.kind = OM_PROBE_L2_F32, .bytes = bytes, .data = query};
            scalar->gather[OM_PROBE_L2_F32](&probe, rows, stride, ids, n, wanted[0]);
            kernels->gather[OM_PROBE_L2_F32](&probe, rows, stride, ids, n, got[0]);
            scalar->gather[OM_PROBE_IP_F32](&probe, rows, stride, ids, n, wanted[1]);
            kernels->gather[OM_PROBE_IP_F32](&probe, rows, stride, ids, n, got[1]);
            for (uint32_t i = 0; i < n; i++) {
                float l2 = om_unorder_f32(wanted[0][i]);
                float ip = om_unorder_f32(wanted[1][i]);
                if (!near_enough(l2, om_unorder_f32(got[0][i]), (double)l2) ||
                    !near_enough(ip, om_unorder_f32(got[1][i]), bytes)) {
                    failures += simd_failed(kernels, "float gather: bytes, n", bytes, n);
                }
            }
            if (got[0][n] != 0x5a5a5a5a || got[1][n] != 0x5a5a5a5a) {
                failures += simd_failed(kernels, "float gather writes too far: bytes, n", bytes, n);
            }
        }
    }
    return failures;
}

static bool same_or_nan_f32(float a, float b)
{
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    return x == y || (isnan(a) && isnan(b) && (x ^ y) >> 31 == 0);
}

static bool same_or_nan_f16(uint16_t a, uint16_t b)
{
    bool both_nan = (a & 0x7fff) > 0x7c00 && (b & 0x7fff) > 0x7c00;
    return a == b || (both_nan && (a ^ b) >> 15 == 0);
}

static uint32_t check_f16_to_f32(const om_kernels *kernels)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    enum { COUNT = 65536 };
    uint16_t *in = simd_guarded(COUNT * sizeof *in);
    float *got = simd_guarded(COUNT * sizeof *got);
    for (uint32_t i = 0; i < COUNT; i++) {
        in[i] = (uint16_t)i;
    }
    uint32_t failures = 0;
    kernels->f16_to_f32(in, got, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        float wanted;
        scalar->f16_to_f32(in + i, &wanted, 1);
        if (!same_or_nan_f32(wanted, got[i])) {
            failures += simd_failed(kernels, "f16_to_f32: value", i, 0);
        }
    }
    /* Every length, up to the end of the arrays; what lies before stays as it is. */
    for (uint32_t n = 0; n < 40; n++) {
        uint32_t start = COUNT - n;
        memset(got, 0, COUNT * sizeof *got);
        kernels->f16_to_f32(in + 1000, got + start, n);
        for (uint32_t i = 0; i < n; i++) {
            float wanted;
            scalar->f16_to_f32(in + 1000 + i, &wanted, 1);
            if (!same_or_nan_f32(wanted, got[start + i])) {
                failures += simd_failed(kernels, "f16_to_f32: dim, at", n, i);
            }
        }
        if (got[start - 1] < 0 || got[start - 1] > 0) {
            failures += simd_failed(kernels, "f16_to_f32 writes before its output", n, 0);
        }
    }
    return failures;
}

/* Floats around every half: the half itself, the middle to the next one, and one step off the middle. */
static uint32_t fill_around_halves(float *in)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    uint32_t n = 0;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        uint16_t pair[2] = {(uint16_t)half, (uint16_t)(half + 1)};
        float value[2];
        scalar->f16_to_f32(pair, value, 2);
        float next = half == 0x7bff ? 65536.0f : value[1];
        float middle = value[0] + (next - value[0]) / 2;
        float sign = half % 2 == 0 ? 1.0f : -1.0f;
        in[n++] = sign * value[0];
        in[n++] = sign * middle;
        in[n++] = sign * nextafterf(middle, 0.0f);
        in[n++] = sign * nextafterf(middle, INFINITY);
    }
    return n;
}

static uint32_t check_f32_to_f16(const om_kernels *kernels)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    enum { COUNT = 4 * 0x7c00 + 60000 };
    float *in = simd_guarded(COUNT * sizeof *in);
    uint16_t *got = simd_guarded(COUNT * sizeof *got);
    uint32_t n = fill_around_halves(in);
    static const float special[] = {0.0f,    -0.0f,    INFINITY, -INFINITY, NAN,   1e-45f,
                                    -1e-45f, 65504.0f, 65519.9f, 65520.0f,  1e30f, -3e38f};
    memcpy(in + n, special, sizeof special);
    n += sizeof special / sizeof special[0];
    for (; n < COUNT; n++) {
        uint32_t bits = (uint32_t)simd_random();
        memcpy(&in[n], &bits, sizeof bits);
    }
    uint32_t failures = 0;
    kernels->f32_to_f16(in, got, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint16_t wanted;
        scalar->f32_to_f16(in + i, &wanted, 1);
        if (!same_or_nan_f16(wanted, got[i])) {
            failures += simd_failed(kernels, "f32_to_f16: at, got", i, got[i]);
        }
    }
    for (uint32_t dim = 0; dim < 40; dim++) {
        uint16_t wanted[40];
        scalar->f32_to_f16(in + COUNT - dim, wanted, dim);
        memset(got, 0, COUNT * sizeof *got);
        kernels->f32_to_f16(in + COUNT - dim, got + COUNT - dim, dim);
        for (uint32_t i = 0; i < dim; i++) {
            if (!same_or_nan_f16(wanted[i], got[COUNT - dim + i])) {
                failures += simd_failed(kernels, "f32_to_f16: dim, at", dim, i);
            }
        }
    }
    return failures;
}

static uint32_t check_finite(const om_kernels *kernels)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const uint16_t bad16[] = {0x7c00, 0xfc00, 0x7e01, 0xffff};
    uint32_t failures = 0;
    for (uint32_t count = 0; count <= 70; count++) {
        float *in = simd_guarded(count * sizeof *in);
        uint16_t *in16 = simd_guarded(count * sizeof *in16);
        for (uint32_t i = 0; i < count; i++) {
            in[i] = i % 3 == 0 ? 3.4e38f : -1e-45f;
            in16[i] = i % 3 == 0 ? 0x7bff : 0x8001;
        }
        if (!kernels->finite_f32(in, count) || !kernels->finite_f16(in16, count)) {
            failures += simd_failed(kernels, "finite: refuses finite values", count, 0);
        }
        for (uint32_t i = 0; i < count; i++) {
            float keep = in[i];
            uint16_t keep16 = in16[i];
            for (uint32_t b = 0; b < 4; b++) {
                in[i] = bad[b % 3];
                in16[i] = bad16[b];
                if (kernels->finite_f32(in, count) || kernels->finite_f16(in16, count)) {
                    failures += simd_failed(kernels, "finite: count, at", count, i);
                }
            }
            in[i] = keep;
            in16[i] = keep16;
        }
    }
    return failures;
}

static uint32_t check_encode(const om_kernels *kernels)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    static const float special[] = {127.5f,   127.49f,   128.0f, -128.5f, -128.51f, -129.0f,
                                    0.5f,     1.5f,      -0.5f,  -1.5f,   1e30f,    -1e30f,
                                    INFINITY, -INFINITY, 126.5f, 3e38f};
    uint32_t failures = 0;
    for (uint32_t round = 0; round < 300; round++) {
        const uint32_t dim = round < 280 ? round % 70 + 1 : 900 + round;
        float *in = simd_guarded(dim * sizeof *in);
        float *center = simd_guarded(dim * sizeof *center);
        uint8_t wanted[2048];
        uint8_t *got = simd_guarded(dim);
        for (uint32_t i = 0; i < dim; i++) {
            bool odd = simd_random() % 4 == 0;
            in[i] = odd ? special[simd_random() % 16] : simd_random_float() * 200;
            center[i] = round % 2 == 0 ? 0.0f : simd_random_float() * 10;
        }
        float inv = round % 3 == 0 ? 1.0f : 0.7f;
        uint32_t a = scalar->encode_sq8(in, center, inv, dim, wanted);
        uint32_t b = kernels->encode_sq8(in, center, inv, dim, got);
        if (a != b || memcmp(wanted, got, dim) != 0) {
            failures += simd_failed(kernels, "encode_sq8: dim, clamped", dim, b);
        }
    }
    return failures;
}

static uint32_t check_hadamard(const om_kernels *kernels)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    uint32_t failures = 0;
    for (uint32_t n = 1; n <= 65536; n *= 2) {
        float *a = simd_guarded(n * sizeof *a);
        float *b = simd_guarded(n * sizeof *b);
        float *in = simd_guarded(n * sizeof *in);
        for (uint32_t i = 0; i < n; i++) {
            in[i] = a[i] = b[i] = simd_random_float();
        }
        scalar->hadamard(a, n);
        kernels->hadamard(b, n);
        if (memcmp(a, b, n * sizeof *a) != 0) {
            failures += simd_failed(kernels, "hadamard differs: n", n, 0);
        }
        kernels->hadamard(b, n); /* its own inverse, times n */
        for (uint32_t i = 0; i < n; i++) {
            if (!near_enough(in[i] * (float)n, b[i], n)) {
                failures += simd_failed(kernels, "hadamard is not its inverse: n, at", n, i);
                break;
            }
        }
    }
    return failures;
}

const simd_check simd_checks_floats[] = {
    {"exact", check_exact},           {"gather_f32", check_gather_f32},
    {"f16_to_f32", check_f16_to_f32}, {"f32_to_f16", check_f32_to_f16},
    {"finite", check_finite},         {"encode_sq8", check_encode},
    {"hadamard", check_hadamard},     {NULL, NULL},
};
