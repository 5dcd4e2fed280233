/* quant_rotate_test.c - the rotation is orthogonal, and is used where it pays.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "quant_fixture.h"

static void norms_and_products_are_kept(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1,  2,   3,   5,    16,   17,    63,   64,
                                    65, 100, 784, 1000, 4097, 65535, 65551};
    const om_kernels *kernels = om_kernels_get();
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        const uint32_t dim = dims[d];
        quant_set set = quant_set_make(2, dim, d);
        om_rotation rotation;
        omen_error err;
        assert_int_equal(om_rotation_init(&quant_alloc, dim, 3, &rotation, &err), OMEN_OK);
        const float *a = set.rows;
        const float *b = set.rows + dim;
        double aa = om_norm_squared(a, dim);
        double bb = om_norm_squared(b, dim);
        double ab = quant_distance(OMEN_IP, a, b, dim);
        om_rotation_apply(&rotation, kernels, set.rows);
        om_rotation_apply(&rotation, kernels, set.rows + dim);
        assert_true(fabs(om_norm_squared(a, dim) / aa - 1) < 1e-5);
        assert_true(fabs(om_norm_squared(b, dim) / bb - 1) < 1e-5);
        assert_true(fabs(quant_distance(OMEN_IP, a, b, dim) - ab) < 1e-5 * sqrt(aa * bb));
        om_rotation_free(&quant_alloc, &rotation);
        quant_set_free(&set);
    }
}

/* A single component ends up everywhere: none keeps more than a small part of it. */
static void energy_is_spread(void **state)
{
    (void)state;
    static const uint32_t dims[] = {64, 100, 200, 784, 1000};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        const uint32_t dim = dims[d];
        om_rotation rotation;
        omen_error err;
        assert_int_equal(om_rotation_init(&quant_alloc, dim, 3, &rotation, &err), OMEN_OK);
        float *x = quant_aligned(dim * sizeof *x);
        for (uint32_t at = 0; at < dim; at += dim / 7) {
            memset(x, 0, dim * sizeof *x);
            x[at] = 1.0f;
            om_rotation_apply(&rotation, om_kernels_get(), x);
            float largest = 0;
            for (uint32_t i = 0; i < dim; i++) {
                largest = fmaxf(largest, fabsf(x[i]));
            }
            assert_true(largest < 8 / sqrtf((float)dim));
        }
        quant_free(x);
        om_rotation_free(&quant_alloc, &rotation);
    }
}

static void seeds_differ_and_repeat(void **state)
{
    (void)state;
    om_rotation a, b, c;
    assert_int_equal(om_rotation_init(&quant_alloc, 100, 1, &a, NULL), OMEN_OK);
    assert_int_equal(om_rotation_init(&quant_alloc, 100, 1, &b, NULL), OMEN_OK);
    assert_int_equal(om_rotation_init(&quant_alloc, 100, 2, &c, NULL), OMEN_OK);
    for (uint32_t step = 0; step < OM_ROTATE_STEPS; step++) {
        assert_memory_equal(a.factor[step], b.factor[step], 100 * sizeof(float));
        assert_memory_not_equal(a.factor[step], c.factor[step], 100 * sizeof(float));
    }
    om_rotation_free(&quant_alloc, &a);
    om_rotation_free(&quant_alloc, &b);
    om_rotation_free(&quant_alloc, &c);
}

/* AUTO leaves data alone that the code serves well, and data that a rotation does not help. */
static void not_rotated_without_need(void **state)
{
    (void)state;
    quant_set set = quant_set_make(600, 128, 9);
    om_codec_params params = quant_params(128, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_AUTO);
    om_codec *even = quant_train(&params, &set);
    assert_true(om_codec_error(even) < 0.002);
    assert_false(om_codec_rotated(even));
    params.rotation = OMEN_ROTATE_ON;
    om_codec *forced = quant_train(&params, &set);
    assert_true(om_codec_rotated(forced));
    om_codec_free(even);
    om_codec_free(forced);
    /* Rows of very different length: all components of a row grow together, in any base. */
    for (uint32_t r = 0; r < set.count; r++) {
        for (uint32_t i = 0; i < 128; i++) {
            set.rows[r * 128 + i] *= r % 50 == 0 ? 1.0f : 0.002f;
        }
    }
    params.rotation = OMEN_ROTATE_OFF;
    om_codec *off = quant_train(&params, &set);
    params.rotation = OMEN_ROTATE_AUTO;
    om_codec *chosen = quant_train(&params, &set);
    params.rotation = OMEN_ROTATE_ON;
    om_codec *on = quant_train(&params, &set);
    assert_int_equal(om_codec_rotated(chosen),
                     om_codec_error(off) > 0.002 && om_codec_error(on) <= om_codec_error(off) / 2);
    om_codec_free(off);
    om_codec_free(chosen);
    om_codec_free(on);
    quant_set_free(&set);
}

static void spikes_are_rotated(void **state)
{
    (void)state;
    /* One component of a row is large, another one in each row: no centre helps, a rotation does. */
    quant_set set = quant_set_make(512, 784, 1);
    for (uint32_t r = 0; r < set.count; r++) {
        for (uint32_t i = 0; i < 784; i++) {
            set.rows[r * 784 + i] = (float)((r * 31 + i * 17) % 13) * 0.02f;
        }
        set.rows[r * 784 + (r * 97) % 784] = 30.0f;
    }
    om_codec_params params = quant_params(784, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_OFF);
    om_codec *off = quant_train(&params, &set);
    params.rotation = OMEN_ROTATE_AUTO;
    om_codec *chosen = quant_train(&params, &set);
    assert_true(om_codec_error(off) > 0.002);
    assert_true(om_codec_rotated(chosen));
    assert_true(om_codec_error(chosen) < om_codec_error(off) / 2);
    params.quantization = OMEN_QUANT_NONE;
    params.rotation = OMEN_ROTATE_ON;
    om_codec *floats = quant_train(&params, &set);
    assert_false(om_codec_rotated(floats));
    om_codec_free(off);
    om_codec_free(chosen);
    om_codec_free(floats);
    quant_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_and_products_are_kept), cmocka_unit_test(energy_is_spread),
        cmocka_unit_test(seeds_differ_and_repeat),     cmocka_unit_test(not_rotated_without_need),
        cmocka_unit_test(spikes_are_rotated),
    };
    return cmocka_run_group_tests_name("quant_rotate", tests, NULL, NULL);
}
