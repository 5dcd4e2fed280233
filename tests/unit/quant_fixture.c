/* quant_fixture.c - vectors and codecs for the tests of core/quant. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant_fixture.h"
#include "rng.h"

const om_alloc quant_alloc = {{NULL, NULL, NULL}, NULL};

float quant_random(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += (double)(om_rng_next(state) >> 11) * 0x1p-53;
    }
    return (float)(sum - 6.0);
}

void *quant_aligned(size_t size)
{
    void *memory = om_alloc_get(&quant_alloc, size, OM_CACHE_LINE);
    assert_non_null(memory);
    return memory;
}

void quant_free(void *memory)
{
    om_alloc_put(&quant_alloc, memory, 0, OM_CACHE_LINE);
}

quant_set quant_set_make(uint32_t count, uint32_t dim, uint64_t seed)
{
    enum { LATENT = 12 };
    quant_set set = {count, dim, quant_aligned((size_t)count * dim * sizeof(float))};
    uint64_t state = seed;
    float *basis = quant_aligned((size_t)LATENT * dim * sizeof(float));
    float *center = quant_aligned(dim * sizeof(float));
    for (uint32_t i = 0; i < LATENT * dim; i++) {
        basis[i] = quant_random(&state);
    }
    for (uint32_t i = 0; i < dim; i++) {
        center[i] = 3 * quant_random(&state);
    }
    for (uint32_t r = 0; r < count; r++) {
        float latent[LATENT];
        for (uint32_t k = 0; k < LATENT; k++) {
            latent[k] = quant_random(&state);
        }
        for (uint32_t i = 0; i < dim; i++) {
            float value = center[i] + 0.5f * quant_random(&state);
            for (uint32_t k = 0; k < LATENT; k++) {
                value += latent[k] * basis[k * dim + i];
            }
            set.rows[(size_t)r * dim + i] = value;
        }
    }
    quant_free(basis);
    quant_free(center);
    return set;
}

void quant_set_free(quant_set *set)
{
    quant_free(set->rows);
}

om_codec_params quant_params(uint32_t dim, uint32_t metric, uint32_t quantization,
                             uint32_t rotation)
{
    return (om_codec_params){.dim = dim,
                             .metric = metric,
                             .dtype = OMEN_F32,
                             .quantization = quantization,
                             .rotation = rotation,
                             .seed = 99};
}

om_codec *quant_train(const om_codec_params *params, const quant_set *set)
{
    om_codec *codec = NULL;
    omen_error err;
    assert_int_equal(om_codec_train(&quant_alloc, params, set->rows, set->count, &codec, &err),
                     OMEN_OK);
    assert_int_equal(om_codec_stride(codec), om_codec_row_bytes(params));
    return codec;
}

quant_rows quant_encode(om_codec *codec, const quant_set *set)
{
    quant_rows rows = {.codec = codec, .stride = om_codec_stride(codec), .count = set->count};
    rows.codes = quant_aligned(rows.stride * set->count);
    rows.data = quant_aligned(rows.stride);
    rows.scratch = quant_aligned(om_codec_scratch(codec) * sizeof(float));
    rows.ids = quant_aligned(set->count * sizeof *rows.ids);
    rows.distance = quant_aligned(set->count * sizeof *rows.distance);
    for (uint32_t r = 0; r < set->count; r++) {
        rows.ids[r] = r;
        rows.clipped += om_codec_encode(codec, set->rows + (size_t)r * set->dim, rows.scratch,
                                        rows.codes + r * rows.stride);
    }
    return rows;
}

void quant_rows_free(quant_rows *rows)
{
    quant_free(rows->codes);
    quant_free(rows->data);
    quant_free(rows->scratch);
    quant_free(rows->ids);
    quant_free(rows->distance);
    om_codec_free(rows->codec);
}

void quant_scan(quant_rows *rows, const om_probe *probe)
{
    assert_int_equal((uintptr_t)probe->data % 64, 0);
    assert_int_equal(probe->bytes % 64, 0);
    assert_true(probe->bytes <= rows->stride);
    om_kernels_get()->gather[probe->kind](probe, rows->codes, rows->stride, rows->ids, rows->count,
                                          rows->distance);
}

double quant_distance(uint32_t metric, const float *a, const float *b, uint32_t dim)
{
    double dot = 0, l2 = 0, aa = 0, bb = 0;
    for (uint32_t i = 0; i < dim; i++) {
        double x = (double)a[i];
        double y = (double)b[i];
        dot += x * y;
        l2 += (x - y) * (x - y);
        aa += x * x;
        bb += y * y;
    }
    if (metric == OMEN_L2) {
        return l2;
    }
    if (metric == OMEN_IP) {
        return -dot;
    }
    return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa * bb) : 1;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static int compare_ints(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a;
    const int32_t y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

uint32_t quant_overlap(const quant_rows *rows, const double *exact, uint32_t k)
{
    double *sorted = quant_aligned(rows->count * sizeof *sorted);
    int32_t *order = quant_aligned(rows->count * sizeof *order);
    memcpy(sorted, exact, rows->count * sizeof *sorted);
    memcpy(order, rows->distance, rows->count * sizeof *order);
    qsort(sorted, rows->count, sizeof *sorted, compare_doubles);
    qsort(order, rows->count, sizeof *order, compare_ints);
    uint32_t found = 0;
    for (uint32_t r = 0; r < rows->count; r++) {
        found += rows->distance[r] <= order[k - 1] && exact[r] <= sorted[k - 1];
    }
    quant_free(sorted);
    quant_free(order);
    return om_min_u32(found, k);
}

double quant_correlation(const quant_rows *rows, const double *exact)
{
    double n = rows->count, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    for (uint32_t r = 0; r < rows->count; r++) {
        double a = rows->distance[r];
        x += a;
        y += exact[r];
        xx += a * a;
        yy += exact[r] * exact[r];
        xy += a * exact[r];
    }
    return (n * xy - x * y) / sqrt((n * xx - x * x) * (n * yy - y * y));
}
