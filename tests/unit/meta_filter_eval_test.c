/* meta_filter_eval_test.c - evaluation at its edges: numbers where ints and doubles part, full dictionaries,
 * null, large sets, places. Blocks and rows are asked alike. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta_filter_fixture.h"
#include "rng.h"

typedef struct table {
    om_schema *schema;
    uint8_t **rows;
    uint32_t count;
    test_block block;
} table;

static table begin_table(uint32_t count)
{
    table t = {.schema = schema_new(), .count = count};
    t.rows = calloc(count, sizeof *t.rows);
    assert_non_null(t.rows);
    return t;
}

static void end_table(table *t)
{
    block_drop(&t->block);
    for (uint32_t i = 0; i < t->count; i++) {
        free(t->rows[i]);
    }
    free(t->rows);
    om_schema_free(t->schema);
}

static uint32_t ask(const table *t, const char *text, const omen_param *params, uint64_t count,
                    uint64_t *words)
{
    static uint64_t own[OM_BLOCK_WORDS];
    const om_predicate_text source = {text, strlen(text), params, count};
    om_predicate *predicate;
    omen_error err;
    if (om_predicate_compile(&test_alloc, t->schema, &source, &predicate, &err) != OMEN_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    const uint32_t passed = filter_rows(predicate, &t->block, t->rows, words != NULL ? words : own);
    if (passed == UINT32_MAX) {
        fail_msg("%s: the block and its rows differ", text);
    }
    om_predicate_free(predicate);
    return passed;
}

/* ---- Numbers ------------------------------------------------------------------------------------ */
__extension__ typedef __int128 wide_int;

/* Compares by value without rounding, as fixed-point numbers of 128 bits. */
static int exact(int64_t a, double b)
{
    const wide_int wide = (wide_int)a << 60;
    if (fabs(b) >= 1e19) {
        return b > 0 ? -1 : 1;
    }
    if (fabs(b) < 0x1p-50) { /* its bits would be lost */
        return a != 0 ? (a > 0 ? 1 : -1) : (b < 0) - (b > 0);
    }
    const wide_int other = (wide_int)(b * 0x1p60);
    return (wide > other) - (wide < other);
}

static bool compares(int side, uint32_t op)
{
    const bool answers[] = {side == 0, side != 0, side<0, side <= 0, side> 0, side >= 0};
    return answers[op];
}

static const int64_t ints[] = {0,
                               1,
                               -1,
                               3,
                               INT64_C(9007199254740991),
                               INT64_C(9007199254740992),
                               INT64_C(9007199254740993),
                               INT64_C(9007199254740995),
                               INT64_C(-9007199254740992),
                               INT64_C(-9007199254740993),
                               INT64_C(9223372036854774783),
                               INT64_C(9223372036854774784),
                               INT64_C(9223372036854774785),
                               INT64_C(9223372036854775295),
                               INT64_C(9223372036854775296),
                               INT64_MAX - 1,
                               INT64_MAX,
                               INT64_MIN,
                               INT64_MIN + 1,
                               INT64_MIN + 1025};
static const double doubles[] = {0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 0.5,
                                 -0.5,
                                 3.0,
                                 3.5,
                                 5e-324,
                                 -5e-324,
                                 9007199254740991.0,
                                 9007199254740992.0,
                                 9007199254740994.0,
                                 9007199254740996.0,
                                 -9007199254740992.0,
                                 -9007199254740994.0,
                                 9223372036854774784.0,
                                 9223372036854775808.0,
                                 9223372036854777856.0,
                                 -9223372036854775808.0,
                                 -9223372036854777856.0,
                                 1.7976931348623157e308,
                                 -1.7976931348623157e308};
enum { INTS = sizeof ints / sizeof ints[0], DOUBLES = sizeof doubles / sizeof doubles[0] };
static const char *const ops[] = {"=", "!=", "<", "<=", ">", ">="};

/* Every number against every literal and parameter of the other kind, with every operator, NOT and IN. */
static void test_numbers(void **state)
{
    static uint64_t words[OM_BLOCK_WORDS];
    const uint32_t rows = INTS > DOUBLES ? INTS : DOUBLES;
    table t = begin_table(rows);
    (void)state;
    const om_field *i_field = schema_field(t.schema, "i", OMEN_TYPE_INT64);
    const om_field *d_field = schema_field(t.schema, "d", OMEN_TYPE_DOUBLE);
    for (uint32_t r = 0; r < rows; r++) {
        row_maker maker;
        row_begin(&maker);
        row_int(&maker, i_field, ints[r % INTS]);
        row_double(&maker, d_field, doubles[r % DOUBLES]);
        t.rows[r] = row_end(&maker);
    }
    t.block = block_of(t.schema, t.rows, rows);
    for (uint32_t v = 0; v < rows; v++) {
        const omen_param params[] = {{OMEN_TYPE_INT64, 1, &ints[v % INTS], NULL},
                                     {OMEN_TYPE_DOUBLE, 1, &doubles[v % DOUBLES], NULL}};
        for (uint32_t op = 0; op < 12; op++) {
            char text[128];
            const char *sign = ops[op % 6], *not = op < 6 ? "" : "NOT ";
            (void)snprintf(text, sizeof text, "%si %s %.17g", not, sign, doubles[v % DOUBLES]);
            (void)ask(&t, text, NULL, 0, words);
            for (uint32_t r = 0; r < rows; r++) {
                const bool wanted = compares(exact(ints[r % INTS], doubles[v % DOUBLES]), op % 6);
                if ((words[0] >> r & 1) != (wanted != (op >= 6))) {
                    fail_msg("%s for %lld", text, (long long)ints[r % INTS]);
                }
            }
            const uint64_t literal = words[0];
            (void)snprintf(text, sizeof text, "%si %s $2", not, sign);
            (void)ask(&t, text, params, 2, words);
            assert_true(words[0] == literal);
            (void)snprintf(text, sizeof text, "%sd %s %lld", not, sign, (long long)ints[v % INTS]);
            (void)ask(&t, text, NULL, 0, words);
            for (uint32_t r = 0; r < rows; r++) {
                const bool wanted = compares(-exact(ints[v % INTS], doubles[r % DOUBLES]), op % 6);
                if ((words[0] >> r & 1) != (wanted != (op >= 6))) {
                    fail_msg("%s for %.17g", text, doubles[r % DOUBLES]);
                }
            }
            if (op % 6 == 0) {
                const uint64_t equal = words[0];
                (void)snprintf(text, sizeof text, "%sd IN ($1, 123.25)", not );
                (void)ask(&t, text, params, 2, words);
                assert_true(words[0] == equal);
            }
        }
    }
    end_table(&t);
}

/* Integers of the text that are beyond 64 bits count as doubles. */
static void test_large_literals(void **state)
{
    table t = begin_table(3);
    (void)state;
    const om_field *field = schema_field(t.schema, "i", OMEN_TYPE_INT64);
    const int64_t values[] = {INT64_MIN, 0, INT64_MAX};
    for (uint32_t r = 0; r < 3; r++) {
        row_maker maker;
        row_begin(&maker);
        row_int(&maker, field, values[r]);
        t.rows[r] = row_end(&maker);
    }
    t.block = block_of(t.schema, t.rows, 3);
    assert_int_equal(ask(&t, "i < 9223372036854775808", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "i >= 9223372036854775808", NULL, 0, NULL), 0);
    assert_int_equal(ask(&t, "i <= 9223372036854775807", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "i < 9223372036854775807", NULL, 0, NULL), 2);
    assert_int_equal(ask(&t, "i >= -9223372036854775808", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "i > -9223372036854775808", NULL, 0, NULL), 2);
    assert_int_equal(ask(&t, "i < -9223372036854775808", NULL, 0, NULL), 0);
    assert_int_equal(ask(&t, "i < 99999999999999999999", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "i > -99999999999999999999", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "i = -9223372036854775808 OR i = 00", NULL, 0, NULL), 2);
    assert_int_equal(ask(&t, "i > 1e300 OR i < -1e300", NULL, 0, NULL), 0);
    assert_int_equal(ask(&t, "i BETWEEN -1e300 AND 1e300", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "i NOT BETWEEN 0.5 AND 1e300", NULL, 0, NULL), 2);
    assert_int_equal(
        ask(&t, "i IN (0.0, 9223372036854775808, -9223372036854775808)", NULL, 0, NULL), 2);
    end_table(&t);
}

/* ---- Whole blocks ------------------------------------------------------------------------------- */
/* As many values as there are codes, and one fewer beside a null. */
static void test_full_dictionary(void **state)
{
    (void)state;
    for (uint32_t nulls = 0; nulls < 2; nulls++) {
        table t = begin_table(OM_BLOCK_ROWS);
        const om_field *field = schema_field(t.schema, "n", OMEN_TYPE_INT64);
        for (uint32_t r = 0; r < OM_BLOCK_ROWS; r++) {
            row_maker maker;
            row_begin(&maker);
            if (r >= nulls) {
                row_int(&maker, field, (r * UINT64_C(40503)) % OM_BLOCK_ROWS);
            }
            t.rows[r] = row_end(&maker);
        }
        /* Row 0 would be 0, so that the values that are left begin with `nulls`. */
        t.block = block_of(t.schema, t.rows, OM_BLOCK_ROWS);
        const uint32_t known = OM_BLOCK_ROWS - nulls;
        assert_int_equal(ask(&t, "n >= 0", NULL, 0, NULL), known);
        assert_int_equal(ask(&t, "n != -1", NULL, 0, NULL), known);
        assert_int_equal(ask(&t, "NOT n >= 0", NULL, 0, NULL), 0);
        assert_int_equal(ask(&t, "n < 65535", NULL, 0, NULL), known - 1);
        assert_int_equal(ask(&t, "n != 65535", NULL, 0, NULL), known - 1);
        assert_int_equal(ask(&t, "n > 0", NULL, 0, NULL), OM_BLOCK_ROWS - 1);
        assert_int_equal(ask(&t, "n = 65535 OR n = 1", NULL, 0, NULL), 2);
        assert_int_equal(ask(&t, "n BETWEEN 1000 AND 50999", NULL, 0, NULL), 50000);
        assert_int_equal(ask(&t, "n NOT BETWEEN 1000 AND 50999", NULL, 0, NULL), known - 50000);
        assert_int_equal(
            ask(&t, "n NOT BETWEEN 1000 AND 50999 AND n < 2000 AND n != 5", NULL, 0, NULL),
            1000 - nulls - 1);
        assert_int_equal(ask(&t, "n IS NULL", NULL, 0, NULL), nulls);
        assert_int_equal(ask(&t, "n IS NULL OR n >= 0", NULL, 0, NULL), OM_BLOCK_ROWS);
        assert_int_equal(ask(&t, "n < 100 OR NOT n < 100", NULL, 0, NULL), known);
        end_table(&t);
    }
}

/* Sets of 65,536 values against dictionaries of few and of many. */
static void test_large_sets(void **state)
{
    static int64_t values[OMEN_MAX_ARRAY];
    table t = begin_table(30000);
    uint64_t random = 7;
    uint32_t wanted = 0, wanted_few = 0;
    (void)state;
    const om_field *many = schema_field(t.schema, "many", OMEN_TYPE_INT64);
    const om_field *few = schema_field(t.schema, "few", OMEN_TYPE_DOUBLE);
    for (uint32_t i = 0; i < OMEN_MAX_ARRAY; i++) {
        values[i] = (int64_t)(i * UINT64_C(40503) % OMEN_MAX_ARRAY) * 3;
    }
    for (uint32_t r = 0; r < t.count; r++) {
        row_maker maker;
        const int64_t value = om_rng_below(&random, 3 * OMEN_MAX_ARRAY);
        row_begin(&maker);
        row_int(&maker, many, value);
        row_double(&maker, few, (double)(value % 10) / 2);
        wanted += value % 3 == 0 ? 1 : 0;
        wanted_few += value % 10 == 0 || value % 10 == 6 ? 1 : 0;
        t.rows[r] = row_end(&maker);
    }
    t.block = block_of(t.schema, t.rows, t.count);
    const omen_param set = {OMEN_TYPE_INT64, OMEN_MAX_ARRAY, values, NULL};
    const omen_param part = {OMEN_TYPE_INT64, 400, values, NULL};
    assert_int_equal(ask(&t, "many IN $1", &set, 1, NULL), wanted);
    assert_int_equal(ask(&t, "many NOT IN $1", &set, 1, NULL), t.count - wanted);
    assert_int_equal(ask(&t, "many IN $1 AND NOT many IN $1", &set, 1, NULL), 0);
    assert_int_equal(ask(&t, "few IN $1", &set, 1, NULL), wanted_few);
    assert_int_equal(ask(&t, "few NOT IN $1", &set, 1, NULL), t.count - wanted_few);
    /* Six of them do not fit the lists of codes that a predicate keeps: they are looked up again. */
    assert_int_equal(
        ask(&t,
            "many IN $1 AND many IN $1 AND many IN $1 AND many IN $1 AND many IN $1 AND "
            "many IN $1",
            &set, 1, NULL),
        wanted);
    const uint32_t some = ask(&t, "many IN $1", &part, 1, NULL);
    assert_true(some > 20 && some < 200);
    assert_int_equal(ask(&t, "many IN $1 AND few >= 0 AND few < 100", &part, 1, NULL), some);
    end_table(&t);
}

/* Long arrays against long sets must not multiply: this would take minutes. */
static void test_long_arrays(void **state)
{
    static int64_t values[OMEN_MAX_ARRAY];
    table t = begin_table(40);
    (void)state;
    const om_field *field = schema_field(t.schema, "a", OMEN_TYPE_INT64 | OMEN_TYPE_ARRAY);
    for (uint32_t r = 0; r < t.count; r++) {
        row_maker maker;
        for (uint32_t i = 0; i < OMEN_MAX_ARRAY; i++) {
            values[i] = (int64_t)((i + r) * UINT64_C(40503) % OMEN_MAX_ARRAY) + (r % 2);
        }
        row_begin(&maker);
        row_array(&maker, field, values, OMEN_MAX_ARRAY - (r % 4 == 0 ? 1 : 0));
        t.rows[r] = row_end(&maker);
    }
    t.block = block_of(t.schema, t.rows, t.count);
    for (uint32_t i = 0; i < OMEN_MAX_ARRAY; i++) {
        values[i] = OMEN_MAX_ARRAY - 1 - i;
    }
    const omen_param set = {OMEN_TYPE_INT64, OMEN_MAX_ARRAY, values, NULL};
    assert_int_equal(ask(&t, "a CONTAINS ALL $1", &set, 1, NULL), 10);
    assert_int_equal(ask(&t, "NOT a CONTAINS ALL $1", &set, 1, NULL), 30);
    assert_int_equal(ask(&t, "a CONTAINS ANY $1", &set, 1, NULL), 40);
    assert_int_equal(ask(&t, "a CONTAINS 65536", NULL, 0, NULL), 20);
    end_table(&t);
}

/* 0.0 and -0.0 are one value. */
static void test_zeros(void **state)
{
    static const double zeros[4][2] = {{0.0, 1}, {-0.0, 1}, {0.0, -0.0}, {2, 1}};
    table t = begin_table(4);
    (void)state;
    const om_field *plain = schema_field(t.schema, "d", OMEN_TYPE_DOUBLE);
    const om_field *array = schema_field(t.schema, "a", OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY);
    for (uint32_t r = 0; r < 4; r++) {
        row_maker maker;
        row_begin(&maker);
        row_double(&maker, plain, zeros[r][0]);
        row_array(&maker, array, zeros[r], 2);
        t.rows[r] = row_end(&maker);
    }
    t.block = block_of(t.schema, t.rows, 4);
    assert_int_equal(ask(&t, "d = 0", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "d = -0.0", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "d < 0.0 OR d > -0.0", NULL, 0, NULL), 1);
    assert_int_equal(ask(&t, "d IN (0, 5)", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "d IN (-0.0, 0, 0.0, 2)", NULL, 0, NULL), 4);
    assert_int_equal(ask(&t, "a CONTAINS 0", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "a CONTAINS ALL (0, 1)", NULL, 0, NULL), 2);
    assert_int_equal(ask(&t, "a CONTAINS ALL (0, 7)", NULL, 0, NULL), 0);
    assert_int_equal(ask(&t, "a CONTAINS ALL (0, -0.0)", NULL, 0, NULL), 3);
    end_table(&t);
}

/* ---- Places ------------------------------------------------------------------------------------- */
static double radians(double degrees)
{
    return degrees * (3.14159265358979323846 / 180);
}

/* The haversine formula as it is in the books. */
static double direct(double lat1, double lon1, double lat2, double lon2)
{
    const double lat = sin(radians(lat2 - lat1) / 2), lon = sin(radians(lon2 - lon1) / 2);
    const double a = lat * lat + cos(radians(lat1)) * cos(radians(lat2)) * lon * lon;
    return 2 * 6371008.8 * asin(sqrt(a < 1 ? a : 1));
}

/* Points everywhere or near one place, circles of all sizes, at poles and across the date line. */
static void test_circles(void **state)
{
    static const double centers[][2] = {{0, 0},       {52.5, 13.4},  {90, 0},     {-90, 77},
                                        {89.99, 170}, {10, 180},     {-45, -180}, {-89, -1},
                                        {0, 179.9},   {33, -179.999}};
    enum { POINTS = 3000, CENTERS = sizeof centers / sizeof centers[0] };
    static double places[POINTS][2];
    static uint64_t words[OM_BLOCK_WORDS];
    uint64_t random = 3;
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        table t = begin_table(POINTS);
        const om_field *field = schema_field(t.schema, "p", OMEN_TYPE_GEO);
        for (uint32_t r = 0; r < POINTS; r++) {
            const double *center = centers[om_rng_below(&random, CENTERS)];
            const double u = om_rng_below(&random, 2000001) / 1e6 - 1;
            const double v = om_rng_below(&random, 2000001) / 1e6 - 1;
            const double spread = kind == 1 ? 0.5 : 0.00001;
            places[r][0] = kind == 0 ? u * 90 : fmax(-90, fmin(90, center[0] + u * spread));
            places[r][1] = kind == 0 ? v * 180 : center[1] + v * spread;
            places[r][1] -= places[r][1] > 180 ? 360 : 0;
            places[r][1] += places[r][1] < -180 ? 360 : 0;
            row_maker maker;
            row_begin(&maker);
            row_geo(&maker, field, places[r][0], places[r][1]);
            t.rows[r] = row_end(&maker);
        }
        t.block = block_of(t.schema, t.rows, POINTS);
        for (uint32_t q = 0; q < 400; q++) {
            const double *center = centers[q % CENTERS];
            const double metres =
                pow(10, om_rng_below(&random, 8000) / 1000.0) * (q < 380 ? 1 : 2.1);
            char text[160];
            (void)snprintf(text, sizeof text, "DISTANCE(p, %.17g, %.17g) %s %.17g", center[0],
                           center[1], q % 2 == 0 ? "<=" : ">", metres);
            (void)ask(&t, text, NULL, 0, words);
            for (uint32_t r = 0; r < POINTS; r++) {
                const double far = direct(center[0], center[1], places[r][0], places[r][1]);
                const bool in = (words[r / 64] >> r % 64 & 1) != (q % 2 == 1);
                /* The formula itself is good for a part in 10^9, near the poles for some 0.1 mm. */
                if (in != (far <= metres) && fabs(far - metres) > 1e-9 * metres + 2e-4) {
                    fail_msg("%s: (%.17g, %.17g) is %.17g away", text, places[r][0], places[r][1],
                             far);
                }
            }
        }
        end_table(&t);
    }
}

static void test_exact_places(void **state)
{
    table t = begin_table(4);
    (void)state;
    static const double places[4][2] = {{0, 0}, {0, 180}, {90, 12}, {0, 1}};
    const om_field *field = schema_field(t.schema, "p", OMEN_TYPE_GEO);
    for (uint32_t r = 0; r < 4; r++) {
        row_maker maker;
        row_begin(&maker);
        row_geo(&maker, field, places[r][0], places[r][1]);
        t.rows[r] = row_end(&maker);
    }
    t.block = block_of(t.schema, t.rows, 4);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) <= 0", NULL, 0, NULL), 1);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) < 0", NULL, 0, NULL), 0);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) > 0", NULL, 0, NULL), 3);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) >= 0", NULL, 0, NULL), 4);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) <= -1", NULL, 0, NULL), 0);
    assert_int_equal(ask(&t, "NOT DISTANCE(p, 0, 0) <= -1", NULL, 0, NULL), 4);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, -180) <= 0.001", NULL, 0, NULL), 1);
    assert_int_equal(ask(&t, "DISTANCE(p, 90, -100) <= 0.001", NULL, 0, NULL), 1);
    /* A degree of the equator and half the sphere: 2 pi r / 360 and pi r. */
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) < 111195.0803", NULL, 0, NULL), 2);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) < 111195.0802", NULL, 0, NULL), 1);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) < 20015114.45", NULL, 0, NULL), 4);
    assert_int_equal(ask(&t, "DISTANCE(p, 0, 0) < 20015114.44", NULL, 0, NULL), 3);
    end_table(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_large_literals),
        cmocka_unit_test(test_full_dictionary), cmocka_unit_test(test_large_sets),
        cmocka_unit_test(test_long_arrays),     cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_circles),         cmocka_unit_test(test_exact_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
