/* quant_codec.c - encoding of vectors and probes, and the geometry behind both.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "quant_int.h"

bool om_codec_is_identity(const om_codec_params *params)
{
    return params->quantization == OMEN_QUANT_SQ8 && params->metric == OMEN_L2 &&
           params->rotation != OMEN_ROTATE_ON &&
           (params->dtype == OMEN_U8 || params->dtype == OMEN_I8);
}

uint32_t om_codec_code_dim(const om_codec_params *params)
{
    if (params->metric != OMEN_IP) {
        return params->dim;
    }
    return params->dim + (params->quantization == OMEN_QUANT_NONE ? 1 : OM_IP_PAD);
}

uint32_t om_codec_row_bytes(const om_codec_params *params)
{
    const uint32_t dim = om_codec_code_dim(params);
    if (params->quantization == OMEN_QUANT_NONE) {
        return (uint32_t)om_round_up(dim, 16) * (uint32_t)sizeof(float);
    }
    return (uint32_t)om_round_up(dim > OM_DIRECT_DIM ? dim + sizeof(int32_t) : dim, OM_CACHE_LINE);
}

size_t om_codec_stride(const om_codec *codec)
{
    return codec->stride;
}

bool om_codec_rotated(const om_codec *codec)
{
    return codec->rotated;
}

bool om_codec_exact(const om_codec *codec)
{
    if (codec->params.metric != OMEN_L2) {
        return false;
    }
    /* Half norms are rounded down, so that longer identity codes may swap neighbours by one half. */
    return codec->floats || (codec->identity && !codec->normed);
}

double om_codec_error(const om_codec *codec)
{
    return codec->error;
}

size_t om_codec_scratch(const om_codec *codec)
{
    /* The vector in the geometry of the graph, and a centre of zeros for queries. */
    return 2 * om_round_up(codec->code_dim, 16);
}

void om_codec_set_scale(om_codec *codec, float scale)
{
    if (!(scale > 0)) {
        scale = 1.0f; /* all values are equal: any scale will do */
    }
    scale = scale < OM_SCALE_MIN ? OM_SCALE_MIN : scale;
    scale = scale > OM_SCALE_MAX ? OM_SCALE_MAX : scale;
    codec->scale = scale;
    codec->inv_scale = 1.0f / scale;
}

/* In double: the square of a float may overflow or vanish in float. */
double om_norm_squared(const float *vector, uint32_t dim)
{
    double sum[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= dim; i += 8) {
        for (uint32_t k = 0; k < 8; k++) {
            double value = (double)vector[i + k];
            sum[k] += value * value;
        }
    }
    for (; i < dim; i++) {
        sum[0] += (double)vector[i] * (double)vector[i];
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static void scaled_copy(const float *in, double factor, uint32_t dim, float *out)
{
    const float single = (float)factor;
    /* One rounding more than in double, and twice as fast; only for factors that a float can hold. */
    if (single > 1e-30f && single < 1e30f) {
        for (uint32_t i = 0; i < dim; i++) {
            out[i] = in[i] * single;
        }
        return;
    }
    for (uint32_t i = 0; i < dim; i++) {
        out[i] = (float)((double)in[i] * factor);
    }
}

static void extend(const om_codec *codec, double norm_squared, float *vector, bool *over)
{
    const uint32_t dim = codec->params.dim;
    const uint32_t pads = codec->code_dim - dim;
    const double missing = codec->radius * codec->radius - norm_squared;
    /* The longest row of the sample itself must not count as too long by a rounding. */
    *over = missing < -1e-9 * norm_squared;
    /* R may be longer than a float can tell. */
    const float value = missing > 0 ? (float)fmin(sqrt(missing / pads), (double)FLT_MAX) : 0.0f;
    for (uint32_t i = 0; i < pads; i++) {
        vector[dim + i] = value;
    }
}

void om_codec_rotate(const om_codec *codec, float *vector)
{
    const double norm_squared = om_norm_squared(vector, codec->code_dim);
    if (norm_squared > OM_ROTATE_NORM_MAX * OM_ROTATE_NORM_MAX) {
        scaled_copy(vector, OM_ROTATE_NORM_MAX / sqrt(norm_squared), codec->code_dim, vector);
    }
    om_rotation_apply(&codec->rotation, codec->kernels, vector);
}

const float *om_codec_transform(const om_codec *codec, const float *vector, float *scratch,
                                bool *over)
{
    const uint32_t dim = codec->params.dim;
    *over = false;
    if (codec->params.metric == OMEN_L2 && !codec->rotated) {
        return vector;
    }
    const double norm_squared =
        codec->params.metric == OMEN_L2 ? 1.0 : om_norm_squared(vector, dim);
    if (codec->params.metric == OMEN_COSINE && norm_squared > 0) {
        scaled_copy(vector, 1.0 / sqrt(norm_squared), dim, scratch);
    } else {
        memcpy(scratch, vector, dim * sizeof *scratch);
    }
    if (codec->params.metric == OMEN_IP) {
        extend(codec, norm_squared, scratch, over);
    }
    if (codec->rotated) {
        om_codec_rotate(codec, scratch);
    }
    return scratch;
}

static void put_floats(const om_codec *codec, const float *vector, uint32_t dim, uint8_t *row)
{
    memcpy(row, vector, dim * sizeof *vector);
    memset(row + dim * sizeof *vector, 0, codec->stride - dim * sizeof *vector);
}

static uint32_t put_code(const om_codec *codec, const float *vector, uint8_t *row)
{
    const uint32_t dim = codec->code_dim;
    uint32_t clipped =
        codec->kernels->encode_sq8(vector, codec->center, codec->inv_scale, dim, row);
    memset(row + dim, 0x80, codec->stride - dim);
    if (codec->normed) {
        int32_t half = (int32_t)(codec->kernels->l2_u8(row, codec->zero_code, codec->bytes) / 2);
        memcpy(row + codec->stride - sizeof half, &half, sizeof half);
    }
    return clipped;
}

uint32_t om_codec_encode(const om_codec *codec, const float *vector, float *scratch, uint8_t *row)
{
    bool over;
    const float *form = om_codec_transform(codec, vector, scratch, &over);
    if (codec->floats) {
        put_floats(codec, form, codec->code_dim, row);
        return over ? codec->code_dim : 0;
    }
    uint32_t clipped = put_code(codec, form, row);
    return over ? codec->code_dim : clipped;
}

/* A code row as the query of a NORM probe: s8 values, nothing behind them, the half norm in the bias.
 * data may be the row. */
static void norm_probe(const om_codec *codec, const uint8_t *row, uint8_t *data, om_probe *probe)
{
    int32_t half;
    memcpy(&half, row + codec->stride - sizeof half, sizeof half);
    for (uint32_t i = 0; i < codec->code_dim; i++) {
        data[i] = row[i] ^ 0x80;
    }
    memset(data + codec->code_dim, 0, codec->stride - codec->code_dim);
    /* dot(row u8, q) = dot(row s8, q) + 128 * sum(q); the code of zero, 0x80, gives the second term. */
    int32_t offset = codec->kernels->dot_u8s8(codec->zero_code, (const int8_t *)data, codec->bytes);
    *probe = (om_probe){
        .kind = OM_PROBE_NORM, .bytes = codec->bytes, .bias = half + offset, .data = data};
}

void om_codec_row_probe(const om_codec *codec, const uint8_t *row, uint8_t *data, om_probe *probe)
{
    if (codec->normed) {
        norm_probe(codec, row, data, probe);
        return;
    }
    *probe = (om_probe){.kind = codec->floats ? OM_PROBE_L2_F32 : OM_PROBE_L2_U8,
                        .bytes = codec->stride,
                        .data = row};
}

static float largest_magnitude(const float *vector, uint32_t dim)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < dim; i++) {
        uint32_t bits;
        memcpy(&bits, vector + i, sizeof bits);
        largest = om_max_u32(largest, bits & 0x7fffffffu);
    }
    float value;
    memcpy(&value, &largest, sizeof value);
    return value;
}

/* The query of IP and cosine on a scale of its own: not centred, since the centre adds the same to every
 * distance. The extension of rows for IP meets zeros. */
static void dot_probe(const om_codec *codec, const float *query, float *scratch, uint8_t *data,
                      om_probe *probe)
{
    const uint32_t dim = codec->code_dim;
    float *zeros = scratch + om_round_up(dim, 16);
    memcpy(scratch, query, codec->params.dim * sizeof *query);
    memset(scratch + codec->params.dim, 0, (dim - codec->params.dim) * sizeof *scratch);
    if (codec->rotated) {
        om_codec_rotate(codec, scratch);
    }
    *probe = (om_probe){.kind = OM_PROBE_DOT, .bytes = codec->bytes, .data = data};
    memset(data, 0, codec->stride);
    const float largest = largest_magnitude(scratch, dim);
    if (!(largest > 0)) {
        return;
    }
    float inv_scale = 127.0f / largest;
    if (largest < 1e-30f) {
        scaled_copy(scratch, 127.0 / (double)largest, dim,
                    scratch); /* 127 / largest may overflow */
        inv_scale = 1.0f;
    }
    memset(zeros, 0, dim * sizeof *zeros);
    codec->kernels->encode_sq8(scratch, zeros, inv_scale, dim, data);
    for (uint32_t i = 0; i < dim; i++) {
        data[i] ^= 0x80;
    }
    probe->bias = codec->kernels->dot_u8s8(codec->zero_code, (const int8_t *)data, codec->bytes);
}

static void float_probe(const om_codec *codec, const float *query, uint8_t *data, om_probe *probe)
{
    const uint32_t dim = codec->params.dim;
    *probe = (om_probe){.kind = codec->params.metric == OMEN_L2 ? OM_PROBE_L2_F32 : OM_PROBE_IP_F32,
                        .bytes = codec->stride,
                        .data = data};
    put_floats(codec, query, dim, data);
    if (codec->params.metric == OMEN_COSINE) {
        double norm_squared = om_norm_squared(query, dim);
        if (norm_squared > 0) {
            scaled_copy(query, 1.0 / sqrt(norm_squared), dim, (float *)(void *)data);
        }
    }
}

void om_codec_query(const om_codec *codec, const float *query, float *scratch, uint8_t *data,
                    om_probe *probe)
{
    if (codec->floats) {
        float_probe(codec, query, data, probe);
        return;
    }
    if (codec->params.metric != OMEN_L2) {
        dot_probe(codec, query, scratch, data, probe);
        return;
    }
    bool over;
    (void)put_code(codec, om_codec_transform(codec, query, scratch, &over), data);
    om_codec_row_probe(codec, data, data, probe);
}

void om_to_f32(const om_kernels *kernels, uint32_t dtype, const void *in, float *out, uint32_t dim)
{
    switch (dtype) {
    case OMEN_F16:
        kernels->f16_to_f32(in, out, dim);
        break;
    case OMEN_I8:
        for (uint32_t i = 0; i < dim; i++) {
            out[i] = (float)((const int8_t *)in)[i];
        }
        break;
    case OMEN_U8:
        for (uint32_t i = 0; i < dim; i++) {
            out[i] = (float)((const uint8_t *)in)[i];
        }
        break;
    default:
        om_assert(dtype == OMEN_F32);
        memcpy(out, in, dim * sizeof *out);
        break;
    }
}
