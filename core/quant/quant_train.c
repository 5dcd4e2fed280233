/* quant_train.c - makes codecs: geometry, memory, training on a sample, the choice of rotation.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "quant_int.h"

/* Floats of the sample that training looks at (8 MiB), and the fewest rows: longer samples are thinned
 * evenly. 16,384 rows of 128 dimensions just fit. */
enum { TRAIN_FLOATS = 1 << 21, TRAIN_ROWS_MIN = 64, ERROR_ROWS = 256 };
/* AUTO rotates from this relative error on, if the error then at least halves. */
#define ROTATE_ERROR 0.002
#define ERROR_MAX 1e9

omen_status_t om_codec_check_params(const om_codec_params *params, omen_error *err)
{
    if (params->dim == 0 || params->dim > OMEN_MAX_DIM) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "dim is %u, must be 1 to %u",
                       params->dim, OMEN_MAX_DIM);
    }
    if (params->metric < OMEN_L2 || params->metric > OMEN_COSINE) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, "metric %u has no codec",
                       params->metric);
    }
    if (params->dtype < OMEN_F32 || params->dtype > OMEN_U8) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, "dtype %u has no codec",
                       params->dtype);
    }
    if (params->quantization != OMEN_QUANT_SQ8 && params->quantization != OMEN_QUANT_NONE) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "quantization is %u, must be 1 or 2", params->quantization);
    }
    if (params->rotation > OMEN_ROTATE_ON) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, "rotation is %u, must be 0 to 2",
                       params->rotation);
    }
    return OMEN_OK;
}

omen_status_t om_codec_create(const om_alloc *alloc, const om_codec_params *params, om_codec **out,
                              omen_error *err)
{
    omen_status_t status = om_codec_check_params(params, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_codec *codec = om_alloc_zero(alloc, 1, sizeof *codec, OM_CACHE_LINE);
    if (codec == NULL) {
        return om_fail_memory(err, "codec", sizeof *codec);
    }
    codec->params = *params;
    codec->alloc = alloc;
    codec->kernels = om_kernels_get();
    codec->code_dim = om_codec_code_dim(params);
    codec->stride = om_codec_row_bytes(params);
    codec->floats = params->quantization == OMEN_QUANT_NONE;
    codec->identity = om_codec_is_identity(params);
    codec->normed = !codec->floats && codec->code_dim > OM_DIRECT_DIM;
    codec->bytes =
        codec->floats ? codec->stride : (uint32_t)om_round_up(codec->code_dim, OM_CACHE_LINE);
    om_codec_set_scale(codec, 1.0f);
    if (!codec->floats) {
        codec->center = om_alloc_zero(alloc, codec->code_dim, sizeof(float), OM_CACHE_LINE);
        codec->zero_code = om_alloc_get(alloc, codec->stride, OM_CACHE_LINE);
        if (codec->center == NULL || codec->zero_code == NULL) {
            const uint64_t wanted = (uint64_t)codec->code_dim * sizeof(float) + codec->stride;
            om_codec_free(codec);
            return om_fail_memory(err, "codec", wanted);
        }
        memset(codec->zero_code, 0x80, codec->stride);
    }
    if (codec->identity && params->dtype == OMEN_U8) {
        for (uint32_t i = 0; i < codec->code_dim; i++) {
            codec->center[i] = 128.0f;
        }
    }
    *out = codec;
    return OMEN_OK;
}

void om_codec_free(om_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    om_rotation_free(codec->alloc, &codec->rotation);
    om_alloc_put(codec->alloc, codec->center, codec->code_dim * sizeof(float), OM_CACHE_LINE);
    om_alloc_put(codec->alloc, codec->zero_code, codec->stride, OM_CACHE_LINE);
    om_alloc_put(codec->alloc, codec, sizeof *codec, OM_CACHE_LINE);
}

static void find_radius(om_codec *codec, const float *sample, uint32_t count)
{
    double longest = 0;
    for (uint32_t i = 0; i < count; i++) {
        double squared = om_norm_squared(sample + (size_t)i * codec->params.dim, codec->params.dim);
        longest = squared > longest ? squared : longest;
    }
    codec->radius = sqrt(longest);
}

/* The coding error over some of the rows (which are in the geometry already), as it really is. */
static omen_status_t measure_error(om_codec *codec, const float *rows, uint32_t count,
                                   double energy_per_row, omen_error *err)
{
    uint8_t *code = om_alloc_get(codec->alloc, codec->code_dim, 1);
    if (code == NULL) {
        return om_fail_memory(err, "quantiser training", codec->code_dim);
    }
    const uint32_t used = om_min_u32(count, ERROR_ROWS);
    double sum = 0;
    for (uint32_t r = 0; r < used; r++) {
        const float *row = rows + (size_t)((uint64_t)r * count / used) * codec->code_dim;
        codec->kernels->encode_sq8(row, codec->center, codec->inv_scale, codec->code_dim, code);
        for (uint32_t d = 0; d < codec->code_dim; d++) {
            double decoded = (double)codec->center[d] + (double)codec->scale * (code[d] - 128);
            sum += ((double)row[d] - decoded) * ((double)row[d] - decoded);
        }
    }
    om_alloc_put(codec->alloc, code, codec->code_dim, 1);
    /* Capped: a few almost equal rows have hardly any energy of their own. */
    codec->error = energy_per_row > 0 ? fmin(sum / used / energy_per_row, ERROR_MAX) : 0;
    return OMEN_OK;
}

/* Rotates the rows and fits again; keeps that when it is wanted or pays. */
static omen_status_t try_rotation(om_codec *codec, float *rows, uint32_t count, om_fit *fit,
                                  omen_error *err)
{
    const bool forced = codec->params.rotation == OMEN_ROTATE_ON;
    const size_t bytes = codec->code_dim * sizeof(float);
    om_fit turned = {.center = om_alloc_get(codec->alloc, bytes, OM_CACHE_LINE)};
    omen_status_t status = OMEN_OK;
    if (turned.center == NULL) {
        return om_fail_memory(err, "quantiser training", bytes);
    }
    OM_TRY(
        om_rotation_init(codec->alloc, codec->code_dim, codec->params.seed, &codec->rotation, err));
    codec->rotated = true;
    for (uint32_t r = 0; r < count; r++) {
        om_codec_rotate(codec, rows + (size_t)r * codec->code_dim);
    }
    OM_TRY(om_fit_sq8(codec->alloc, rows, count, codec->code_dim, &turned, err));
    if (forced || turned.error <= fit->error / 2) {
        memcpy(fit->center, turned.center, bytes);
        fit->scale = turned.scale;
        fit->error = turned.error;
    } else {
        codec->rotated = false;
        om_rotation_free(codec->alloc, &codec->rotation);
    }
out:
    om_alloc_put(codec->alloc, turned.center, bytes, OM_CACHE_LINE);
    return status;
}

/* Fits centre and scale to rows that are in the geometry of the graph (and rotates them, if at all). */
static omen_status_t fit_rows(om_codec *codec, float *rows, uint32_t count, omen_error *err)
{
    om_fit fit = {.center = codec->center};
    omen_status_t status = om_fit_sq8(codec->alloc, rows, count, codec->code_dim, &fit, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_codec_set_scale(codec, fit.scale);
    status = measure_error(codec, rows, count, fit.energy / count, err);
    const uint32_t rotation = codec->params.rotation;
    if (status != OMEN_OK || rotation == OMEN_ROTATE_OFF ||
        (rotation == OMEN_ROTATE_AUTO && codec->error <= ROTATE_ERROR)) {
        return status;
    }
    status = try_rotation(codec, rows, count, &fit, err);
    if (status != OMEN_OK || !codec->rotated) {
        return status;
    }
    om_codec_set_scale(codec, fit.scale);
    return measure_error(codec, rows, count, fit.energy / count, err);
}

static omen_status_t fit_sample(om_codec *codec, const float *sample, uint32_t count,
                                omen_error *err)
{
    const uint32_t dim = codec->code_dim;
    const uint32_t used = om_min_u32(count, om_max_u32(TRAIN_FLOATS / dim, TRAIN_ROWS_MIN));
    const size_t bytes = (size_t)used * dim * sizeof(float);
    float *rows = om_alloc_get(codec->alloc, bytes, OM_CACHE_LINE);
    if (rows == NULL) {
        return om_fail_memory(err, "quantiser training", bytes);
    }
    for (uint32_t r = 0; r < used; r++) {
        size_t from = (size_t)((uint64_t)r * count / used);
        float *row = rows + (size_t)r * dim;
        bool over;
        const float *form =
            om_codec_transform(codec, sample + from * codec->params.dim, row, &over);
        if (form != row) {
            memcpy(row, form, dim * sizeof *row);
        }
    }
    omen_status_t status = fit_rows(codec, rows, used, err);
    om_alloc_put(codec->alloc, rows, bytes, OM_CACHE_LINE);
    return status;
}

omen_status_t om_codec_train(const om_alloc *alloc, const om_codec_params *params,
                             const float *sample, uint32_t count, om_codec **out, omen_error *err)
{
    om_codec *codec = NULL;
    omen_status_t status;
    if (count == 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "sample has 0 rows, must have at least 1");
    }
    OM_TRY(om_codec_create(alloc, params, &codec, err));
    if (params->metric == OMEN_IP) {
        find_radius(codec, sample, count);
    }
    if (!codec->floats && !codec->identity) {
        OM_TRY(fit_sample(codec, sample, count, err));
    }
    *out = codec;
    return OMEN_OK;
out:
    om_codec_free(codec);
    return status;
}
