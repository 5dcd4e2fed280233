/* quant_codec_test.c - training and encoding: bounds of the error, exact codes, extreme values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant_fixture.h"
#include "rng.h"

/* Every component that was not clipped comes back within half a step. */
static void decoded_is_near(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 3, 17, 64, 100, 256, 257, 300, 784};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        const uint32_t dim = dims[d];
        quant_set set = quant_set_make(1000, dim, dim);
        om_codec_params params = quant_params(dim, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_OFF);
        quant_rows rows = quant_encode(quant_train(&params, &set), &set);
        const om_codec *codec = rows.codec;
        assert_true(om_codec_error(codec) < 0.001);
        assert_true(rows.clipped <= (uint64_t)set.count * dim / 500 + 1);
        uint64_t far = 0;
        for (uint32_t r = 0; r < set.count; r++) {
            for (uint32_t i = 0; i < dim; i++) {
                float decoded = codec->center[i] +
                                codec->scale * (float)(rows.codes[r * rows.stride + i] - 128);
                far += fabsf(decoded - set.rows[(size_t)r * dim + i]) > codec->scale * 0.5005f;
            }
        }
        assert_true(far <= rows.clipped);
        quant_rows_free(&rows);
        quant_set_free(&set);
    }
}

static void rows_have_their_layout(void **state)
{
    (void)state;
    struct {
        uint32_t dim, metric, quantization, stride;
    } shapes[] = {
        {1, OMEN_L2, OMEN_QUANT_SQ8, 64},          {64, OMEN_L2, OMEN_QUANT_SQ8, 64},
        {65, OMEN_COSINE, OMEN_QUANT_SQ8, 128},    {256, OMEN_L2, OMEN_QUANT_SQ8, 256},
        {257, OMEN_L2, OMEN_QUANT_SQ8, 320},       {316, OMEN_L2, OMEN_QUANT_SQ8, 320},
        {317, OMEN_L2, OMEN_QUANT_SQ8, 384},       {768, OMEN_L2, OMEN_QUANT_SQ8, 832},
        {240, OMEN_IP, OMEN_QUANT_SQ8, 256},       {241, OMEN_IP, OMEN_QUANT_SQ8, 320},
        {16, OMEN_L2, OMEN_QUANT_NONE, 64},        {16, OMEN_IP, OMEN_QUANT_NONE, 128},
        {784, OMEN_COSINE, OMEN_QUANT_NONE, 3136},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        quant_set set = quant_set_make(40, shapes[s].dim, s);
        om_codec_params params =
            quant_params(shapes[s].dim, shapes[s].metric, shapes[s].quantization, OMEN_ROTATE_OFF);
        quant_rows rows = quant_encode(quant_train(&params, &set), &set);
        assert_int_equal(rows.stride, shapes[s].stride);
        const uint32_t code_dim = rows.codec->code_dim;
        for (uint32_t r = 0; shapes[s].quantization == OMEN_QUANT_SQ8 && r < set.count; r++) {
            const uint8_t *row = rows.codes + r * rows.stride;
            int64_t norm = 0;
            for (uint32_t i = 0; i < code_dim; i++) {
                norm += (row[i] - 128) * (row[i] - 128);
            }
            const bool tail = code_dim > OM_DIRECT_DIM;
            for (size_t i = code_dim; i < rows.stride - (tail ? 4 : 0); i++) {
                assert_int_equal(row[i], 0x80);
            }
            int32_t half;
            memcpy(&half, row + rows.stride - 4, 4);
            assert_true(!tail || half == norm / 2);
        }
        quant_rows_free(&rows);
        quant_set_free(&set);
    }
}

/* Integers in their own range: codes are the values and distances are exact. */
static void integers_are_exact(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 50, 128, 256, 300};
    for (uint32_t type = OMEN_I8; type <= OMEN_U8; type++) {
        for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
            const uint32_t dim = dims[d];
            quant_set set = quant_set_make(300, dim, dim);
            uint64_t random = type;
            for (size_t i = 0; i < (size_t)set.count * dim; i++) {
                set.rows[i] = (float)om_rng_below(&random, 256) - (type == OMEN_I8 ? 128.0f : 0.0f);
            }
            om_codec_params params = quant_params(dim, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_AUTO);
            params.dtype = type;
            quant_rows rows = quant_encode(quant_train(&params, &set), &set);
            assert_int_equal(rows.clipped, 0);
            assert_int_equal(om_codec_exact(rows.codec), dim <= OM_DIRECT_DIM);
            assert_false(om_codec_rotated(rows.codec));
            om_probe probe;
            om_codec_query(rows.codec, set.rows, rows.scratch, rows.data, &probe);
            quant_scan(&rows, &probe);
            for (uint32_t r = 0; r < set.count; r++) {
                double wanted = quant_distance(OMEN_L2, set.rows, set.rows + (size_t)r * dim, dim);
                double got = dim <= OM_DIRECT_DIM ? rows.distance[r] : 2.0 * rows.distance[r];
                assert_true(fabs(wanted - got) <= (dim <= OM_DIRECT_DIM ? 0 : 2));
            }
            quant_rows_free(&rows);
            quant_set_free(&set);
        }
    }
}

static bool all_finite(const om_codec *codec)
{
    return isfinite(codec->scale) && isfinite(codec->inv_scale) && codec->scale > 0 &&
           codec->inv_scale > 0 && isfinite(codec->error) && isfinite(codec->radius) &&
           (codec->floats || om_kernels_get()->finite_f32(codec->center, codec->code_dim));
}

/* Encodes rows and outlandish queries; looks at everything that could be NaN or infinite. */
static void survive(const quant_set *set, uint32_t metric, uint32_t quantization, uint32_t rotation)
{
    static const float odd[] = {0.0f, 1e-45f, -1e-40f, 1e-30f, 1.0f, -1e20f, 3.4e38f, -3.4e38f};
    om_codec_params params = quant_params(set->dim, metric, quantization, rotation);
    quant_rows rows = quant_encode(quant_train(&params, set), set);
    assert_true(all_finite(rows.codec));
    float *query = quant_aligned(set->dim * sizeof *query);
    for (uint32_t q = 0; q < 24; q++) {
        for (uint32_t i = 0; i < set->dim; i++) {
            query[i] = q < 8 ? odd[q] : odd[(q * 7 + i * 5 + i / 3) % 8];
        }
        bool over;
        const float *form = om_codec_transform(rows.codec, query, rows.scratch, &over);
        assert_true(om_kernels_get()->finite_f32(form, rows.codec->code_dim));
        om_probe probe;
        om_codec_query(rows.codec, query, rows.scratch, rows.data, &probe);
        quant_scan(&rows, &probe);
    }
    quant_free(query);
    quant_rows_free(&rows);
}

static void extreme_values_survive(void **state)
{
    (void)state;
    static const float factors[] = {0.0f, 1e-45f, 1e-38f, 1e-30f, 1e30f, 1e37f};
    static const uint32_t dims[] = {1, 2, 33, 300};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        for (size_t f = 0; f < sizeof factors / sizeof factors[0]; f++) {
            for (uint32_t count = 1; count <= 100; count += 33) {
                quant_set set = quant_set_make(count, dims[d], count);
                for (size_t i = 0; i < (size_t)count * dims[d]; i++) {
                    set.rows[i] *= factors[f];
                }
                for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
                    survive(&set, metric, OMEN_QUANT_SQ8, OMEN_ROTATE_AUTO);
                    survive(&set, metric, OMEN_QUANT_SQ8, OMEN_ROTATE_ON);
                    survive(&set, metric, OMEN_QUANT_NONE, OMEN_ROTATE_AUTO);
                }
                quant_set_free(&set);
            }
        }
    }
}

/* The full range of a float on both sides: differences overflow. */
static void widest_range_survives(void **state)
{
    (void)state;
    quant_set set = quant_set_make(64, 20, 5);
    for (size_t i = 0; i < 64 * 20; i++) {
        set.rows[i] = set.rows[i] > 0 ? 3.4e38f : -3.4e38f;
    }
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        survive(&set, metric, OMEN_QUANT_SQ8, OMEN_ROTATE_ON);
        survive(&set, metric, OMEN_QUANT_SQ8, OMEN_ROTATE_OFF);
    }
    quant_set_free(&set);
}

static void constant_rows_are_at_distance_zero(void **state)
{
    (void)state;
    static const uint32_t dims[] = {5, 300};
    for (size_t d = 0; d < 2; d++) {
        quant_set set = quant_set_make(50, dims[d], 1);
        for (size_t i = 0; i < (size_t)50 * dims[d]; i++) {
            set.rows[i] = 7.25f;
        }
        om_codec_params params = quant_params(dims[d], OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_AUTO);
        quant_rows rows = quant_encode(quant_train(&params, &set), &set);
        om_probe probe;
        om_codec_row_probe(rows.codec, rows.codes, rows.data, &probe);
        quant_scan(&rows, &probe);
        for (uint32_t r = 0; r < set.count; r++) {
            assert_in_range(rows.distance[r] + 1, 0, 1); /* half norms are rounded down */
        }
        quant_rows_free(&rows);
        quant_set_free(&set);
    }
}

static void outliers_are_counted(void **state)
{
    (void)state;
    quant_set set = quant_set_make(500, 40, 3);
    om_codec_params params = quant_params(40, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_OFF);
    quant_rows rows = quant_encode(quant_train(&params, &set), &set);
    float vector[40];
    memcpy(vector, set.rows, sizeof vector);
    uint32_t before = om_codec_encode(rows.codec, vector, rows.scratch, rows.codes);
    vector[3] = 1e6f;
    vector[39] = -1e6f;
    uint32_t after = om_codec_encode(rows.codec, vector, rows.scratch, rows.codes);
    assert_int_equal(after, before + 2);
    assert_int_equal(rows.codes[3], 255);
    assert_int_equal(rows.codes[39], 0);
    quant_rows_free(&rows);
    quant_set_free(&set);
}

/* One wild row in a thousand must not cost the others their resolution. */
static void one_outlier_does_not_blur_the_rest(void **state)
{
    (void)state;
    quant_set set = quant_set_make(2000, 64, 8);
    om_codec_params params = quant_params(64, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_OFF);
    om_codec *codec = quant_train(&params, &set);
    const float scale = codec->scale;
    om_codec_free(codec);
    set.rows[700 * 64 + 9] = 4000.0f;
    set.rows[900 * 64 + 1] = -1.0f * 4000.0f;
    codec = quant_train(&params, &set);
    /* 4,000 clipped to 20 costs much in squares; all the same the scale must not follow it to 4000 / 127. */
    assert_true(codec->scale < 40 * scale);
    om_codec_free(codec);
    quant_set_free(&set);
}

static void training_is_deterministic(void **state)
{
    (void)state;
    quant_set set = quant_set_make(700, 96, 12);
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        om_codec_params params = quant_params(96, metric, OMEN_QUANT_SQ8, OMEN_ROTATE_ON);
        quant_rows a = quant_encode(quant_train(&params, &set), &set);
        quant_rows b = quant_encode(quant_train(&params, &set), &set);
        assert_memory_equal(a.codes, b.codes, a.stride * a.count);
        quant_rows_free(&a);
        quant_rows_free(&b);
    }
    quant_set_free(&set);
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    const om_codec_params good = quant_params(8, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_AUTO);
    om_codec_params bad[8];
    for (size_t i = 0; i < 8; i++) {
        bad[i] = good;
    }
    bad[0].dim = 0;
    bad[1].dim = OMEN_MAX_DIM + 1;
    bad[2].metric = OMEN_HAMMING;
    bad[3].metric = 0;
    bad[4].dtype = OMEN_BF16;
    bad[5].quantization = 3;
    bad[6].rotation = 3;
    bad[7].dtype = 0;
    float sample[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    om_codec *codec = NULL;
    omen_error err;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(om_codec_train(&quant_alloc, &bad[i], sample, 1, &codec, &err),
                         OMEN_INVALID_ARGUMENT);
        assert_null(codec);
    }
    assert_int_equal(om_codec_train(&quant_alloc, &good, sample, 0, &codec, &err),
                     OMEN_INVALID_ARGUMENT);
    om_codec_free(NULL);
}

/* Every allocation of training fails once; nothing leaks (the sanitizer builds look) and all is reported. */
static void no_memory_is_reported(void **state)
{
    (void)state;
    quant_set set = quant_set_make(200, 40, 4);
    om_codec_params params = quant_params(40, OMEN_IP, OMEN_QUANT_SQ8, OMEN_ROTATE_ON);
    bool done = false;
    for (uint64_t limit = 64; !done && limit < 1u << 22; limit += 512) {
        om_budget budget = {.limit = limit};
        om_alloc alloc = {{NULL, NULL, NULL}, &budget};
        om_codec *codec = NULL;
        omen_error err;
        omen_status_t status = om_codec_train(&alloc, &params, set.rows, set.count, &codec, &err);
        assert_true(status == OMEN_OK || status == OMEN_RESOURCE_EXHAUSTED);
        done = status == OMEN_OK;
        om_codec_free(codec);
        assert_int_equal(budget.used, 0);
    }
    assert_true(done);
    quant_set_free(&set);
}

static void stored_types_become_floats(void **state)
{
    (void)state;
    const om_kernels *kernels = om_kernels_get();
    float out[3];
    const int8_t i8[3] = {-128, 0, 127};
    const uint8_t u8[3] = {0, 128, 255};
    const uint16_t f16[3] = {0x3c00, 0xc000, 0x0001};
    const float f32[3] = {1.5f, -2.0f, 1e30f};
    om_to_f32(kernels, OMEN_I8, i8, out, 3);
    assert_true(out[0] <= -128.0f && out[1] >= 0.0f && out[2] >= 127.0f);
    om_to_f32(kernels, OMEN_U8, u8, out, 3);
    assert_true(out[0] <= 0.0f && out[1] >= 128.0f && out[2] >= 255.0f);
    om_to_f32(kernels, OMEN_F16, f16, out, 3);
    const float halves[3] = {1.0f, -2.0f, 0x1p-24f};
    assert_memory_equal(out, halves, sizeof out);
    om_to_f32(kernels, OMEN_F32, f32, out, 3);
    assert_memory_equal(out, f32, sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_is_near),
        cmocka_unit_test(rows_have_their_layout),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(extreme_values_survive),
        cmocka_unit_test(widest_range_survives),
        cmocka_unit_test(constant_rows_are_at_distance_zero),
        cmocka_unit_test(outliers_are_counted),
        cmocka_unit_test(one_outlier_does_not_blur_the_rest),
        cmocka_unit_test(training_is_deterministic),
        cmocka_unit_test(bad_parameters_are_refused),
        cmocka_unit_test(no_memory_is_reported),
        cmocka_unit_test(stored_types_become_floats),
    };
    return cmocka_run_group_tests_name("quant_codec", tests, NULL, NULL);
}
