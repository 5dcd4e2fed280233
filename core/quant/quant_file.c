/* quant_file.c - a codec as portable bytes in a segment file, and back from bytes that nobody trusts.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Little-endian: 0 version, 1 metric, 2 dtype, 3 quantization, 4 rotation, 5 rotated, 6 two zero bytes;
 * 8 dim u32, 12 scale f32, 16 seed u64, 24 radius f64, 32 error f64; 40 centres f32[code_dim] (only when
 * the code was trained); then a u64 check sum of all that. */
#include <math.h>
#include <string.h>

#include "quant_int.h"
#include "rng.h"

enum { VERSION = 1, HEAD_BYTES = 40, SUM_BYTES = 8 };

static void put_u32(uint8_t *out, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}
static void put_u64(uint8_t *out, uint64_t value)
{
    put_u32(out, (uint32_t)value);
    put_u32(out + 4, (uint32_t)(value >> 32));
}
static uint32_t get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}
static uint64_t get_u64(const uint8_t *in)
{
    return get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
}
static void put_f32(uint8_t *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(out, bits);
}
static void put_f64(uint8_t *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u64(out, bits);
}
static float get_f32(const uint8_t *in)
{
    uint32_t bits = get_u32(in);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static double get_f64(const uint8_t *in)
{
    uint64_t bits = get_u64(in);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Detects damage, not malice: whatever passes is validated all the same. */
static uint64_t check_sum(const uint8_t *bytes, size_t size)
{
    uint64_t sum = size;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        sum = om_mix64(sum ^ get_u64(bytes + i));
    }
    uint8_t rest[8] = {0};
    memcpy(rest, bytes + i, size - i);
    return om_mix64(sum ^ get_u64(rest));
}

static bool has_centers(const om_codec *codec)
{
    return !codec->floats && !codec->identity;
}

static size_t body_bytes(const om_codec *codec)
{
    return HEAD_BYTES + (has_centers(codec) ? (size_t)codec->code_dim * 4 : 0);
}

size_t om_codec_export_size(const om_codec *codec)
{
    return body_bytes(codec) + SUM_BYTES;
}

void om_codec_export(const om_codec *codec, uint8_t *out)
{
    memset(out, 0, HEAD_BYTES);
    out[0] = VERSION;
    out[1] = (uint8_t)codec->params.metric;
    out[2] = (uint8_t)codec->params.dtype;
    out[3] = (uint8_t)codec->params.quantization;
    out[4] = (uint8_t)codec->params.rotation;
    out[5] = codec->rotated ? 1 : 0;
    put_u32(out + 8, codec->params.dim);
    put_f32(out + 12, codec->scale);
    put_u64(out + 16, codec->params.seed);
    put_f64(out + 24, codec->radius);
    put_f64(out + 32, codec->error);
    if (has_centers(codec)) {
        for (uint32_t i = 0; i < codec->code_dim; i++) {
            put_f32(out + HEAD_BYTES + (size_t)i * 4, codec->center[i]);
        }
    }
    const size_t body = body_bytes(codec);
    put_u64(out + body, check_sum(out, body));
}

static omen_status_t damaged(omen_error *err, const char *what)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "codec: %s", what);
}

/* Everything outside the parameters; the codec is freed by the caller when this fails. */
static omen_status_t read_fields(om_codec *codec, const uint8_t *bytes, omen_error *err)
{
    const float scale = get_f32(bytes + 12);
    codec->radius = get_f64(bytes + 24);
    codec->error = get_f64(bytes + 32);
    if (!(scale >= OM_SCALE_MIN && scale <= OM_SCALE_MAX)) {
        return damaged(err, "scale is out of range");
    }
    if (!(codec->radius >= 0 && codec->radius <= 1e45 && codec->error >= 0 &&
          codec->error <= 1e45)) {
        return damaged(err, "radius or error is out of range");
    }
    om_codec_set_scale(codec, scale);
    if (bytes[5] > 1 || bytes[6] != 0 || bytes[7] != 0) {
        return damaged(err, "flags are unknown");
    }
    if (!has_centers(codec)) {
        bool plain = scale <= 1.0f && scale >= 1.0f && bytes[5] == 0;
        return plain ? OMEN_OK : damaged(err, "a plain codec with a scale or a rotation");
    }
    for (uint32_t i = 0; i < codec->code_dim; i++) {
        codec->center[i] = get_f32(bytes + HEAD_BYTES + (size_t)i * 4);
    }
    if (!codec->kernels->finite_f32(codec->center, codec->code_dim)) {
        return damaged(err, "a centre is not finite");
    }
    if (bytes[5] == 0) {
        return OMEN_OK;
    }
    codec->rotated = true;
    return om_rotation_init(codec->alloc, codec->code_dim, codec->params.seed, &codec->rotation,
                            err);
}

omen_status_t om_codec_import(const om_alloc *alloc, const uint8_t *bytes, size_t size,
                              om_codec **out, omen_error *err)
{
    om_codec *codec = NULL;
    omen_status_t status;
    if (size < HEAD_BYTES + SUM_BYTES) {
        return damaged(err, "too short");
    }
    if (get_u64(bytes + size - SUM_BYTES) != check_sum(bytes, size - SUM_BYTES)) {
        return damaged(err, "check sum mismatch");
    }
    if (bytes[0] != VERSION) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_FORMAT_VERSION, "codec: version %u, known is %u",
                       bytes[0], (unsigned)VERSION);
    }
    const om_codec_params params = {.dim = get_u32(bytes + 8),
                                    .metric = bytes[1],
                                    .dtype = bytes[2],
                                    .quantization = bytes[3],
                                    .rotation = bytes[4],
                                    .seed = get_u64(bytes + 16)};
    if (om_codec_check_params(&params, NULL) != OMEN_OK) {
        return damaged(err, "parameters are out of range");
    }
    OM_TRY(om_codec_create(alloc, &params, &codec, err));
    if (size != om_codec_export_size(codec)) {
        status = damaged(err, "size does not fit the parameters");
        goto out;
    }
    OM_TRY(read_fields(codec, bytes, err));
    *out = codec;
    return OMEN_OK;
out:
    om_codec_free(codec);
    return status;
}
