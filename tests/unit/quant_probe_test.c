/* quant_probe_test.c - distances of probes to rows against exact ones, in every metric and row layout.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quant_fixture.h"
#include "rng.h"

enum { COUNT = 1500, QUERIES = 12, TOP = 20 };

static void exact_distances(const quant_set *set, uint32_t metric, const float *query,
                            double *exact)
{
    for (uint32_t r = 0; r < set->count; r++) {
        exact[r] = quant_distance(metric, query, set->rows + (size_t)r * set->dim, set->dim);
    }
}

/* Searches order rows as exact distances do, nearly. */
static void check_queries(const om_codec_params *params, const quant_set *set,
                          const quant_set *queries)
{
    quant_rows rows = quant_encode(quant_train(params, set), set);
    double *exact = quant_aligned(set->count * sizeof *exact);
    uint32_t found = 0;
    for (uint32_t q = 0; q < QUERIES; q++) {
        const float *query = queries->rows + (size_t)q * set->dim;
        om_probe probe;
        om_codec_query(rows.codec, query, rows.scratch, rows.data, &probe);
        quant_scan(&rows, &probe);
        exact_distances(set, params->metric, query, exact);
        found += quant_overlap(&rows, exact, TOP);
        if (params->quantization == OMEN_QUANT_SQ8) {
            assert_true(quant_correlation(&rows, exact) > 0.999);
        }
    }
    const bool floats = params->quantization == OMEN_QUANT_NONE;
    assert_true(found >= QUERIES * TOP * (floats ? 99 : 93) / 100);
    quant_free(exact);
    quant_rows_free(&rows);
}

static void queries_find_the_nearest(void **state)
{
    (void)state;
    static const uint32_t dims[] = {16, 100, 128, 256, 300, 784};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        /* Rows and queries of one distribution: the last rows are the queries. */
        quant_set all = quant_set_make(COUNT + QUERIES, dims[d], 1000 + d);
        quant_set set = {COUNT, all.dim, all.rows};
        quant_set queries = {QUERIES, all.dim, all.rows + (size_t)COUNT * all.dim};
        for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
            om_codec_params params = quant_params(all.dim, metric, OMEN_QUANT_SQ8, OMEN_ROTATE_OFF);
            check_queries(&params, &set, &queries);
            params.rotation = OMEN_ROTATE_ON;
            check_queries(&params, &set, &queries);
            params.quantization = OMEN_QUANT_NONE;
            check_queries(&params, &set, &queries);
        }
        quant_set_free(&all);
    }
}

/* The geometry of the graph: squared distance in L2 and cosine, scaled by a constant. */
static double graph_distance(const om_codec *codec, const quant_set *set, uint32_t a, uint32_t b,
                             float *x, float *y)
{
    bool over;
    const float *p = om_codec_transform(codec, set->rows + (size_t)a * set->dim, x, &over);
    const float *q = om_codec_transform(codec, set->rows + (size_t)b * set->dim, y, &over);
    return quant_distance(OMEN_L2, p, q, codec->code_dim);
}

static void check_row_probes(const om_codec_params *params, const quant_set *set)
{
    quant_rows rows = quant_encode(quant_train(params, set), set);
    const om_codec *codec = rows.codec;
    float *x = quant_aligned(om_codec_scratch(codec) * sizeof *x);
    float *y = quant_aligned(om_codec_scratch(codec) * sizeof *y);
    const double unit = (double)codec->scale * codec->scale * (codec->normed ? 2 : 1);
    for (uint32_t r = 0; r < 5; r++) {
        om_probe probe;
        om_codec_row_probe(codec, rows.codes + r * rows.stride, rows.data, &probe);
        quant_scan(&rows, &probe);
        /* A row is the nearest one to itself; half norms may be off by one half each. */
        assert_true(codec->floats || abs(rows.distance[r]) <= 1);
        double error = 0, sum = 0;
        for (uint32_t i = 0; i < set->count; i++) {
            double wanted = graph_distance(codec, set, r, i, x, y);
            double got =
                codec->floats ? (double)om_unorder_f32(rows.distance[i]) : rows.distance[i] * unit;
            error += fabs(got - wanted);
            sum += wanted;
        }
        assert_true(error < (codec->floats ? 1e-4 : 0.02) * sum);
    }
    quant_free(x);
    quant_free(y);
    quant_rows_free(&rows);
}

static void rows_measure_the_geometry(void **state)
{
    (void)state;
    static const uint32_t dims[] = {2, 64, 240, 256, 257, 600};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        quant_set set = quant_set_make(400, dims[d], 77 + d);
        for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
            for (uint32_t rotation = OMEN_ROTATE_OFF; rotation <= OMEN_ROTATE_ON; rotation++) {
                om_codec_params params = quant_params(dims[d], metric, OMEN_QUANT_SQ8, rotation);
                check_row_probes(&params, &set);
            }
            om_codec_params params =
                quant_params(dims[d], metric, OMEN_QUANT_NONE, OMEN_ROTATE_OFF);
            check_row_probes(&params, &set);
        }
        quant_set_free(&set);
    }
}

/* The extension of IP: every row has the same norm, so that the distance of a (not extended) query to the
 * rows falls as the inner product grows. */
static void extended_rows_order_by_inner_product(void **state)
{
    (void)state;
    quant_set set = quant_set_make(600, 32, 4);
    uint64_t random = 1;
    for (uint32_t r = 0; r < set.count; r++) {
        float wild =
            (float)(1u << om_rng_below(&random, 8)); /* norms over two orders of magnitude */
        for (uint32_t i = 0; i < 32; i++) {
            set.rows[r * 32 + i] *= wild;
        }
    }
    om_codec_params params = quant_params(32, OMEN_IP, OMEN_QUANT_NONE, OMEN_ROTATE_OFF);
    quant_rows rows = quant_encode(quant_train(&params, &set), &set);
    const double radius = rows.codec->radius;
    for (uint32_t r = 0; r < set.count; r++) {
        const float *row = (const float *)(const void *)(rows.codes + r * rows.stride);
        assert_true(fabs(sqrt(om_norm_squared(row, 33)) - radius) < 1e-5 * radius);
    }
    assert_int_equal(rows.clipped, 0);
    /* A query without an extra component, seen as a row: |q - x|^2 = |q|^2 + R^2 - 2 q.x */
    float *query = quant_aligned(rows.stride);
    memset(query, 0, rows.stride);
    memcpy(query, set.rows + 32, 32 * sizeof *query);
    om_probe probe = {.kind = OM_PROBE_L2_F32, .bytes = (uint32_t)rows.stride, .data = query};
    quant_scan(&rows, &probe);
    double *exact = quant_aligned(set.count * sizeof *exact);
    exact_distances(&set, OMEN_IP, query, exact);
    for (uint32_t a = 0; a < set.count; a++) {
        for (uint32_t b = 0; b < set.count; b++) {
            double gap = exact[a] - exact[b];
            assert_true(!(gap < -1e-5 * radius * radius) || rows.distance[a] < rows.distance[b]);
        }
    }
    quant_free(exact);
    quant_free(query);
    quant_rows_free(&rows);
    quant_set_free(&set);
}

static void rows_beyond_the_radius_count_as_clipped(void **state)
{
    (void)state;
    quant_set set = quant_set_make(300, 24, 6);
    for (uint32_t quantization = OMEN_QUANT_SQ8; quantization <= OMEN_QUANT_NONE; quantization++) {
        om_codec_params params = quant_params(24, OMEN_IP, quantization, OMEN_ROTATE_OFF);
        quant_rows rows = quant_encode(quant_train(&params, &set), &set);
        float vector[24];
        for (uint32_t i = 0; i < 24; i++) {
            vector[i] = set.rows[i] * 100;
        }
        uint32_t clipped = om_codec_encode(rows.codec, vector, rows.scratch, rows.codes);
        assert_int_equal(clipped, rows.codec->code_dim);
        quant_rows_free(&rows);
    }
    quant_set_free(&set);
}

static void zero_vectors_are_defined(void **state)
{
    (void)state;
    static const uint32_t dims[] = {20, 400};
    for (size_t d = 0; d < 2; d++) {
        const uint32_t dim = dims[d];
        quant_set set = quant_set_make(100, dim, 2);
        memset(set.rows, 0, dim * sizeof(float));
        float *zero = quant_aligned(dim * sizeof *zero);
        memset(zero, 0, dim * sizeof *zero);
        for (uint32_t metric = OMEN_IP; metric <= OMEN_COSINE; metric++) {
            for (uint32_t quantization = OMEN_QUANT_SQ8; quantization <= OMEN_QUANT_NONE;
                 quantization++) {
                om_codec_params params = quant_params(dim, metric, quantization, OMEN_ROTATE_ON);
                quant_rows rows = quant_encode(quant_train(&params, &set), &set);
                om_probe probe;
                om_codec_query(rows.codec, zero, rows.scratch, rows.data, &probe);
                quant_scan(&rows, &probe);
                for (uint32_t r = 0; r < set.count; r++) {
                    /* All alike: 0, or the order of minus zero. */
                    assert_in_range(rows.distance[r] + 1, 0, 1);
                }
                quant_rows_free(&rows);
            }
        }
        quant_free(zero);
        quant_set_free(&set);
    }
}

/* The largest dimension with the largest differences: nothing overflows. */
static void the_widest_rows_do_not_overflow(void **state)
{
    (void)state;
    quant_set set = quant_set_make(2, OMEN_MAX_DIM, 1);
    for (uint32_t i = 0; i < OMEN_MAX_DIM; i++) {
        set.rows[i] = 0.0f;
        set.rows[OMEN_MAX_DIM + i] = 255.0f;
    }
    om_codec_params params = quant_params(OMEN_MAX_DIM, OMEN_L2, OMEN_QUANT_SQ8, OMEN_ROTATE_AUTO);
    params.dtype = OMEN_U8;
    quant_rows rows = quant_encode(quant_train(&params, &set), &set);
    for (uint32_t r = 0; r < 2; r++) {
        om_probe probe;
        om_codec_row_probe(rows.codec, rows.codes + r * rows.stride, rows.data, &probe);
        quant_scan(&rows, &probe);
        assert_in_range(rows.distance[r] + 1, 0, 1);
        assert_in_range(rows.distance[1 - r], 255ll * 255 * OMEN_MAX_DIM / 2 - 1,
                        255ll * 255 * OMEN_MAX_DIM / 2);
    }
    quant_rows_free(&rows);
    quant_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_find_the_nearest),
        cmocka_unit_test(rows_measure_the_geometry),
        cmocka_unit_test(extended_rows_order_by_inner_product),
        cmocka_unit_test(rows_beyond_the_radius_count_as_clipped),
        cmocka_unit_test(zero_vectors_are_defined),
        cmocka_unit_test(the_widest_rows_do_not_overflow),
    };
    return cmocka_run_group_tests_name("quant_probe", tests, NULL, NULL);
}
