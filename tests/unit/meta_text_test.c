/* meta_text_test.c - times against timegm, doubles against the C library, base64, UTF-8 against a slow
 * rule.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metatime.h"
#include "metautf8.h"
#include "rng.h"

static bool parse_time(const char *text, int64_t *micros)
{
    return om_time_parse(text, strlen(text), micros);
}

static void times_against_timegm(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        int64_t micros;
        char text[96];
        struct tm parts = {.tm_year = (int)om_rng_below(&seed, 9998) + 1 - 1900,
                           .tm_mon = (int)om_rng_below(&seed, 12),
                           .tm_mday = (int)om_rng_below(&seed, 28) + 1,
                           .tm_hour = (int)om_rng_below(&seed, 24),
                           .tm_min = (int)om_rng_below(&seed, 60),
                           .tm_sec = (int)om_rng_below(&seed, 60)};
        int minutes = (int)om_rng_below(&seed, 24 * 60);
        int sign = om_rng_below(&seed, 2) == 0 ? 1 : -1;
        uint32_t fraction = om_rng_below(&seed, 1000000);
        (void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06u%c%02d:%02d",
                       parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                       parts.tm_min, parts.tm_sec, fraction, sign > 0 ? '+' : '-', minutes / 60,
                       minutes % 60);
        int64_t expected = ((int64_t)timegm(&parts) - sign * minutes * 60) * 1000000 + fraction;
        assert_true(parse_time(text, &micros));
        assert_int_equal(micros, expected);
        char again[OM_TIME_TEXT];
        int64_t back;
        assert_true(om_time_print(micros, again) < OM_TIME_TEXT);
        assert_true(parse_time(again, &back));
        assert_int_equal(back, micros);
    }
}

static void times_at_the_edges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t micros;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:00Z", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-01T00:00:00.1Z", 100000},
        {"1970-01-01T00:00:00.1234567899999999Z", 123456},
        {"1969-12-31T23:59:59.999999Z", -1},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000000)},
        {"2017-01-01T01:59:60+02:00", INT64_C(1483228800000000)},
        {"2015-06-30T23:59:60.5Z", INT64_C(1435708800500000)},
        {"0000-01-01T00:00:00Z", OM_TIME_MIN},
        {"9999-12-31T23:59:59.999999Z", OM_TIME_MAX},
        {"0000-02-29T00:00:00Z", OM_TIME_MIN + INT64_C(59) * 86400 * 1000000},
    };
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-20",
        "2026-11-20T08:00:00",
        "2026-11-20T08:00Z",
        "2026-11-20T08:00:00.Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T08:60:00Z",
        "2026-11-20T08:00:61Z",
        "2026-11-20T08:00:60Z",
        "2026-12-31T22:59:60Z",
        "2026-03-31T23:59:60Z",
        "2026-11-20T08:00:00+24:00",
        "2026-11-20T08:00:00+01:60",
        "2026-11-20T08:00:00+0100",
        "2026-11-20T08:00:00+01",
        "2026-11-20T08:00:00Z ",
        " 2026-11-20T08:00:00Z",
        "2026-11-20T08:00:00,5Z",
        "-026-11-20T08:00:00Z",
        "+2026-11-20T08:00:00Z",
        "2026-11-20T8:00:00Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t micros;
        assert_true(parse_time(good[i].text, &micros));
        assert_int_equal(micros, good[i].micros);
        /* Every shorter text is none. */
        for (size_t cut = 0; cut < strlen(good[i].text); cut++) {
            assert_false(om_time_parse(good[i].text, cut, &micros));
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t micros;
        if (parse_time(bad[i], &micros)) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    char text[OM_TIME_TEXT];
    size_t length = om_time_print(OM_TIME_MAX, text);
    assert_int_equal(length, strlen(text));
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
    (void)om_time_print(OM_TIME_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00Z");
    (void)om_time_print(-250000, text);
    assert_string_equal(text, "1969-12-31T23:59:59.75Z");
    assert_false(om_time_parse("1970-01-01T00:00:00\0Z", 21, &(int64_t){0}));
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Digits of a number as text, without zeros at either end, sign, point and exponent. */
static int digits_of(const char *text)
{
    char digits[64];
    int count = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text >= '0' && *text <= '9' && (count > 0 || *text != '0')) {
            digits[count++] = *text;
        }
    }
    while (count > 0 && digits[count - 1] == '0') {
        count--;
    }
    return count;
}

static void check_double(double value)
{
    char text[OM_DOUBLE_TEXT];
    double back = 0;
    size_t length = om_double_print(value, text);
    assert_int_equal(length, strlen(text));
    assert_true(length < OM_DOUBLE_TEXT);
    assert_true(bits_of(strtod(text, NULL)) == bits_of(value));
    assert_true(om_double_parse(text, length, &back));
    assert_true(bits_of(back) == bits_of(value));
    assert_true(strpbrk(text, ".e") != NULL);
    /* Nothing shorter gives the value. */
    int fewest = digits_of(text);
    for (int digits = 1; digits < fewest; digits++) {
        char shorter[64];
        (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 1, value);
        assert_true(bits_of(strtod(shorter, NULL)) != bits_of(value));
    }
}

static void doubles_read_back(void **state)
{
    (void)state;
    static const double edges[] = {0.0,
                                   -0.0,
                                   1.0,
                                   -1.0,
                                   0.1,
                                   0.3,
                                   1e15,
                                   1e16,
                                   1e17,
                                   123456789012345680.0,
                                   1e22,
                                   1e23,
                                   1e-4,
                                   1e-5,
                                   1e-6,
                                   5e-324,
                                   2.2250738585072014e-308,
                                   2.225073858507201e-308,
                                   1.7976931348623157e308,
                                   9007199254740991.0,
                                   9007199254740992.0,
                                   9007199254740994.0,
                                   4.35,
                                   100.0,
                                   1e10,
                                   0.5};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        check_double(edges[i]);
    }
    uint64_t seed = 3;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = om_rng_next(&seed);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) {
            check_double(value);
        }
        check_double((double)(int64_t)(bits >> 40) / 1000);
        check_double((double)(int64_t)(bits >> 11) * 1e-9);
        bits &= (UINT64_C(1) << 52) - 1; /* below the normal range */
        memcpy(&value, &bits, sizeof value);
        check_double(value);
    }
    static const struct {
        double value;
        const char *text;
    } looks[] = {{1, "1.0"},
                 {-2.5, "-2.5"},
                 {1e16, "1e+16"},
                 {1e15, "1000000000000000.0"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {1.5e300, "1.5e+300"},
                 {-0.0, "-0.0"},
                 {123456789.125, "123456789.125"},
                 {5e-324, "5e-324"}};
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        char text[OM_DOUBLE_TEXT];
        (void)om_double_print(looks[i].value, text);
        assert_string_equal(text, looks[i].text);
    }
}

/* Decimals of all lengths are rounded as strtod rounds them. */
static void doubles_as_strtod(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < 200000; i++) {
        char text[96];
        size_t length = 0;
        if (om_rng_below(&seed, 2) == 0) {
            text[length++] = '-';
        }
        text[length++] = (char)('1' + om_rng_below(&seed, 9));
        for (uint32_t n = om_rng_below(&seed, 25); n > 0; n--) {
            text[length++] = (char)('0' + om_rng_below(&seed, 10));
        }
        if (om_rng_below(&seed, 2) == 0) {
            text[length++] = '.';
            for (uint32_t n = 1 + om_rng_below(&seed, 25); n > 0; n--) {
                text[length++] = (char)('0' + om_rng_below(&seed, 10));
            }
        }
        if (om_rng_below(&seed, 2) == 0) {
            length += (size_t)snprintf(text + length, 16, "%c%s%u", i % 2 == 0 ? 'e' : 'E',
                                       i % 3 == 0   ? "-"
                                       : i % 3 == 1 ? "+"
                                                    : "",
                                       om_rng_below(&seed, 340));
        }
        text[length] = '\0';
        double expected = strtod(text, NULL);
        double value = 0;
        bool good = om_double_parse(text, length, &value);
        assert_int_equal(good, isfinite(expected));
        assert_true(!good || bits_of(value) == bits_of(expected));
    }
    double value;
    assert_false(om_double_parse("1e309", 5, &value));
    assert_true(om_double_parse("1e-400", 6, &value) && value == 0);
    assert_true(om_double_parse("0e99999999", 10, &value) && value == 0);
}

/* A locale with a comma must change nothing. Skipped where there is none. */
static void doubles_in_a_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < 4 && !found; i++) {
        found = setlocale(LC_NUMERIC, names[i]) != NULL;
    }
    char text[OM_DOUBLE_TEXT];
    double value = 0;
    (void)om_double_print(0.12345678901234567, text);
    bool parsed = om_double_parse("0.12345678901234567", 19, &value);
    (void)setlocale(LC_NUMERIC, "C");
    assert_string_equal(text, "0.12345678901234566");
    assert_true(parsed && value == 0.12345678901234567);
}

static void doubles_hold_integers(void **state)
{
    (void)state;
    assert_true(om_double_holds(0));
    assert_true(om_double_holds(INT64_C(1) << 53));
    assert_false(om_double_holds((INT64_C(1) << 53) + 1));
    assert_true(om_double_holds(-(INT64_C(1) << 53)));
    assert_false(om_double_holds(-(INT64_C(1) << 53) - 1));
    assert_true(om_double_holds(INT64_MIN));
    assert_false(om_double_holds(INT64_MAX));
    assert_true(om_double_holds(INT64_MAX - 1023));
}

static void base64_both_ways(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}}; /* RFC 4648, section 10 */
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[16];
        size_t length = strlen(pairs[i][0]);
        size_t back = 99;
        om_base64_print((const uint8_t *)pairs[i][0], length, text);
        assert_int_equal(om_base64_size(length), strlen(pairs[i][1]));
        assert_memory_equal(text, pairs[i][1], om_base64_size(length));
        assert_true(om_base64_parse((uint8_t *)text, om_base64_size(length), &back));
        assert_int_equal(back, length);
        assert_memory_equal(text, pairs[i][0], length);
    }
    static const char *const bad[] = {"A",    "AA",   "AAA",  "A===",  "====",     "AB==",  "AAB=",
                                      "AA=A", "AA-_", "AA A", "AAAA=", "AA==AAAA", "AAA\n", "=AAA"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t copy[16];
        size_t length;
        memcpy(copy, bad[i], strlen(bad[i]));
        if (om_base64_parse(copy, strlen(bad[i]), &length)) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    uint64_t seed = 7;
    for (int i = 0; i < 2000; i++) {
        uint8_t bytes[100];
        char text[140];
        size_t length = om_rng_below(&seed, sizeof bytes);
        size_t back = 0;
        for (size_t j = 0; j < length; j++) {
            bytes[j] = (uint8_t)om_rng_next(&seed);
        }
        om_base64_print(bytes, length, text);
        assert_true(om_base64_parse((uint8_t *)text, om_base64_size(length), &back));
        assert_int_equal(back, length);
        assert_memory_equal(text, bytes, length);
    }
}

/* Every code point is encoded and taken; every sequence of two and three bytes is judged by decoding
 * it. */
static bool valid_slowly(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        uint32_t lead = bytes[i];
        size_t size = lead < 0x80       ? 1
                      : lead >> 5 == 6  ? 2
                      : lead >> 4 == 14 ? 3
                      : lead >> 3 == 30 ? 4
                                        : 0;
        if (size == 0 || i + size > length) {
            return false;
        }
        uint32_t code = size == 1 ? lead : lead & (0xFFu >> (size + 1));
        for (size_t j = 1; j < size; j++) {
            if (bytes[i + j] >> 6 != 2) {
                return false;
            }
            code = code << 6 | (bytes[i + j] & 0x3Fu);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[size] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            return false;
        }
        i += size;
    }
    return true;
}

static void utf8_against_decoding(void **state)
{
    (void)state;
    for (uint32_t word = 0; word < 1u << 24; word++) {
        uint8_t bytes[12] = "abcdefghi";
        bytes[9] = (uint8_t)(word >> 16);
        bytes[10] = (uint8_t)(word >> 8);
        bytes[11] = (uint8_t)word;
        bool good = om_utf8_valid(bytes + 9, 3) == 3;
        assert_true(good == valid_slowly(bytes + 9, 3));
    }
    uint64_t seed = 9;
    for (int i = 0; i < 2000000; i++) {
        static const uint8_t some[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2,
                                       0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF};
        uint8_t bytes[16];
        size_t length = om_rng_below(&seed, sizeof bytes + 1);
        for (size_t j = 0; j < length; j++) {
            bytes[j] = some[om_rng_below(&seed, sizeof some)];
        }
        assert_true((om_utf8_valid(bytes, length) == length) == valid_slowly(bytes, length));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_against_timegm), cmocka_unit_test(times_at_the_edges),
        cmocka_unit_test(doubles_read_back),    cmocka_unit_test(doubles_as_strtod),
        cmocka_unit_test(doubles_in_a_locale),  cmocka_unit_test(doubles_hold_integers),
        cmocka_unit_test(base64_both_ways),     cmocka_unit_test(utf8_against_decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
