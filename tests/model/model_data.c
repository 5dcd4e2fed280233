/* model_data.c - ids, vectors and distances of the model. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "model.h"

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

uint32_t model_below(model_run *run, uint32_t bound)
{
    run->rng++;
    return (uint32_t)(((mix(run->rng ^ mix(run->seed)) >> 32) * bound) >> 32);
}

uint64_t model_u64_id(uint32_t n)
{
    switch (n % 4) {
    case 0:
        return n / 4;
    case 1:
        return UINT64_MAX - 1 - n / 4;
    case 2:
        return (uint64_t)(n / 4 + 1) << 33;
    default:
        return mix(n) >> 1;
    }
}

/* Strings of 1 to 512 bytes, with zero bytes and bytes above 127 inside when they may be. */
static size_t string_id(uint32_t n, uint8_t *out)
{
    static const uint32_t lengths[] = {30, 12, 64, 33, 511, 512, 240, 8};
    if (n < 94) {
        out[0] = (uint8_t)('!' + n);
        return 1;
    }
    size_t length = lengths[n % 8];
    memset(out, n % 3 == 0 ? '\0' : 'x', length);
    uint32_t rest = n;
    for (size_t i = 0; i < 7; i++, rest /= 10) {
        out[n % 2 == 0 ? i : length - 1 - i] = (uint8_t)('0' + rest % 10);
    }
    return length;
}

size_t model_id(const model_run *run, uint32_t n, uint8_t *out)
{
    if (run->id_type == OMEN_ID_STRING) {
        return string_id(n, out);
    }
    const uint64_t words[2] = {run->id_type == OMEN_ID_U64 ? model_u64_id(n) : mix(n), n};
    size_t length = run->id_type == OMEN_ID_U64 ? 8 : 16;
    memcpy(out, words, length);
    return length;
}

omen_column model_column(model_run *run, const uint32_t *names, uint32_t count)
{
    static uint8_t bytes[MODEL_MAX_BATCH * MODEL_MAX_ID];
    static int32_t offsets32[MODEL_MAX_BATCH + 1];
    static int64_t offsets64[MODEL_MAX_BATCH + 1];
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        at += model_id(run, names[i], bytes + at);
        offsets32[i + 1] = (int32_t)at;
        offsets64[i + 1] = (int64_t)at;
    }
    omen_column column = {.data = bytes};
    if (run->id_type != OMEN_ID_STRING) {
        column.width = run->id_type == OMEN_ID_U64 ? 8 : 16;
    } else if (model_below(run, 2) == 0) {
        column.offsets = offsets32;
        column.offset_bits = 32;
    } else {
        column.offsets = offsets64;
        column.offset_bits = 64;
    }
    return column;
}

static float component(model_run *run)
{
    switch (run->dtype) {
    case OMEN_I8:
        return (float)((int32_t)model_below(run, 256) - 128);
    case OMEN_U8:
        return (float)model_below(run, 256);
    case OMEN_F16:
        return (float)((int32_t)model_below(run, 1025) - 512) / 64.0f;
    default:
        return (float)((int32_t)model_below(run, 2000001) - 1000000) / 300000.0f;
    }
}

void model_vector(model_run *run, float *out)
{
    uint32_t dice = model_below(run, 60);
    if (dice == 0) {
        memset(out, 0, run->dim * sizeof *out);
    } else if (dice <= 3) {
        memcpy(out, run->items[model_below(run, run->universe)].vector, run->dim * sizeof *out);
    } else {
        for (uint32_t d = 0; d < run->dim; d++) {
            out[d] = component(run);
        }
    }
}

size_t model_width(uint32_t dtype)
{
    return dtype == OMEN_F32 ? 4 : dtype == OMEN_F16 ? 2 : 1;
}

/* A multiple of 1/64 of less than 2^11 steps: a half float holds it exactly. */
static uint16_t to_half(float value)
{
    uint16_t sign = value < 0 ? 0x8000 : 0;
    int exponent = 0;
    float fraction = frexpf(fabsf(value), &exponent); /* 0.5 <= fraction < 1 */
    if (fraction == 0) {
        return sign;
    }
    uint16_t mantissa = (uint16_t)ldexpf(fraction - 0.5f, 11);
    return (uint16_t)(sign | (uint16_t)((exponent + 14) << 10) | mantissa);
}

void model_encode(uint32_t dtype, const float *vector, uint32_t dim, void *out)
{
    uint8_t *at = out;
    for (uint32_t d = 0; d < dim; d++, at += model_width(dtype)) {
        uint16_t half;
        switch (dtype) {
        case OMEN_F32:
            memcpy(at, &vector[d], sizeof vector[d]);
            break;
        case OMEN_F16:
            half = to_half(vector[d]);
            memcpy(at, &half, sizeof half);
            break;
        case OMEN_I8:
            *at = (uint8_t)(int8_t)vector[d];
            break;
        default:
            *at = (uint8_t)vector[d];
            break;
        }
    }
}

static double dot(const float *a, const float *b, uint32_t dim)
{
    double sum = 0;
    for (uint32_t d = 0; d < dim; d++) {
        sum += (double)a[d] * (double)b[d];
    }
    return sum;
}

double model_distance(const model_run *run, const float *a, const float *b)
{
    double product = dot(a, b, run->dim);
    double aa = dot(a, a, run->dim);
    double bb = dot(b, b, run->dim);
    if (run->metric == OMEN_IP) {
        return -product;
    }
    if (run->metric == OMEN_COSINE) {
        return aa == 0 || bb == 0 ? 1 : 1 - product / sqrt(aa * bb);
    }
    double sum = 0;
    for (uint32_t d = 0; d < run->dim; d++) {
        double difference = (double)a[d] - (double)b[d];
        sum += difference * difference;
    }
    return sum;
}

double model_tolerance(const model_run *run, const float *a, const float *b)
{
    if (run->metric == OMEN_COSINE) {
        return 1e-5;
    }
    return 1e-5 * (dot(a, a, run->dim) + dot(b, b, run->dim)) + 1e-7;
}

model_item *model_by_key(const model_run *run, uint64_t key)
{
    for (uint32_t n = 0; n < run->universe; n++) {
        if (run->items[n].live && run->items[n].key == key) {
            return &run->items[n];
        }
    }
    return NULL;
}
