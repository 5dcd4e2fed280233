/* metanumber.c - doubles as text, and back, whatever the locale of the process is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metatime.h"

enum { MOST_DIGITS = 17 };
/* Powers of ten that a double holds exactly. */
static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                              1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                              1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Digits (without zeros at either end, but for "0") and the power of ten of the first one. */
typedef struct om_decimal {
    char digits[MOST_DIGITS + 1];
    int count, exponent;
} om_decimal;

static void trim_zeros(om_decimal *decimal)
{
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0') {
        decimal->count--;
    }
}

/* A value that is a whole number below 2^53 over a power of ten up to 10^22 is the nearest double of
 * that quotient, since both are exact and a division rounds once: the smallest such power gives the
 * fewest digits. Prices, ratings and coordinates end here. value is above 0. */
static bool short_decimal(double value, om_decimal *out)
{
    if (value < 1e-5 || value >= 1e15) {
        return false;
    }
    for (int power = 0; power < 16; power++) {
        double scaled = value * tens[power];
        if (scaled >= 9007199254740992.0) {
            return false;
        }
        double whole = nearbyint(scaled);
        if (whole / tens[power] == value) {
            char text[24];
            int count = snprintf(text, sizeof text, "%lld", (long long)whole);
            if (count < 1 || count > MOST_DIGITS) {
                return false;
            }
            memcpy(out->digits, text, (size_t)count);
            out->count = count;
            out->exponent = count - 1 - power;
            trim_zeros(out);
            return true;
        }
    }
    return false;
}

/* value with `count` digits, rounded to nearest. The sign of the locale for the point may be several
 * bytes. */
static void rounded_decimal(double value, int count, om_decimal *out)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.*e", count - 1, value);
    out->count = 0;
    const char *at = text;
    for (; *at != 'e' && *at != '\0'; at++) {
        if (*at >= '0' && *at <= '9' && out->count < MOST_DIGITS) {
            out->digits[out->count++] = *at;
        }
    }
    out->exponent = *at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0;
    trim_zeros(out);
}

/* Writes the digits so that they can be read again by om_double_parse. */
static double decimal_value(const om_decimal *decimal)
{
    char text[MOST_DIGITS + 16];
    int length = snprintf(text, sizeof text, "%.*se%d", decimal->count, decimal->digits,
                          decimal->exponent - decimal->count + 1);
    double value = 0;
    return length > 0 && om_double_parse(text, (size_t)length, &value) ? value : INFINITY;
}

/* Fewest digits: 17 always suffice, and 15 are kept by every normal double, so shorter ones show in
 * them as zeros at the end. Below the normal range fewer digits hold. */
static void shortest_decimal(double value, om_decimal *out)
{
    if (short_decimal(value, out)) {
        return;
    }
    int first = value < 2.2250738585072014e-308 ? 1 : 15;
    for (int count = first; count <= MOST_DIGITS; count++) {
        rounded_decimal(value, count, out);
        if (decimal_value(out) == value) {
            return;
        }
    }
}

static size_t lay_out(const om_decimal *decimal, char *out)
{
    char *at = out;
    int point = decimal->exponent + 1; /* digits in front of the point */
    if (point > 16 || point < -3) {
        *at++ = decimal->digits[0];
        if (decimal->count > 1) {
            *at++ = '.';
            memcpy(at, decimal->digits + 1, (size_t)decimal->count - 1);
            at += decimal->count - 1;
        }
        *at++ = 'e';
        *at++ = decimal->exponent < 0 ? '-' : '+';
        int exponent = decimal->exponent < 0 ? -decimal->exponent : decimal->exponent;
        if (exponent >= 100) {
            *at++ = (char)('0' + exponent / 100);
        }
        *at++ = (char)('0' + exponent / 10 % 10);
        *at++ = (char)('0' + exponent % 10);
        return (size_t)(at - out);
    }
    if (point <= 0) {
        *at++ = '0';
        *at++ = '.';
        memset(at, '0', (size_t)-point);
        at += -point;
        memcpy(at, decimal->digits, (size_t)decimal->count);
        return (size_t)(at - out) + (size_t)decimal->count;
    }
    for (int i = 0; i < point || i < decimal->count; i++) {
        if (i == point) {
            *at++ = '.';
        }
        *at++ = (char)(i < decimal->count ? decimal->digits[i] : '0');
    }
    if (point >= decimal->count) {
        *at++ = '.';
        *at++ = '0';
    }
    return (size_t)(at - out);
}

size_t om_double_print(double value, char out[OM_DOUBLE_TEXT])
{
    om_assert(isfinite(value));
    size_t sign = 0;
    if (signbit(value)) {
        out[0] = '-';
        sign = 1;
    }
    om_decimal decimal = {.digits = "0", .count = 1};
    if (value != 0) {
        shortest_decimal(fabs(value), &decimal);
    }
    size_t length = sign + lay_out(&decimal, out + sign);
    out[length] = '\0';
    return length;
}

/* strtod in the locale "C", whatever the caller's is; glibc and musl make no new object for it. */
static bool parse_exactly(const char *text, size_t length, double *out)
{
    char copy[OM_NUMBER_TEXT + 1];
    om_assert(length <= OM_NUMBER_TEXT);
    memcpy(copy, text, length);
    copy[length] = '\0';
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) {
        return false;
    }
    double value = strtod_l(copy, NULL, plain);
    freelocale(plain);
    if (!isfinite(value)) {
        return false;
    }
    *out = value;
    return true;
}

bool om_double_parse(const char *text, size_t length, double *out)
{
    const char *at = text;
    const char *end = text + length;
    bool negative = at < end && *at == '-';
    at += negative;
    uint64_t whole = 0;
    int digits = 0; /* of whole, without zeros in front */
    int scale = 0;
    bool point = false;
    for (; at < end && (*at == '.' || (*at >= '0' && *at <= '9')); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        whole = whole * 10 + (uint64_t)(*at - '0');
        digits += whole != 0;
        scale -= point;
        if (digits > 18) {
            return parse_exactly(text, length, out);
        }
    }
    if (at < end) { /* an exponent; more than 4 digits of it are none of the common cases */
        if (end - at > 6) {
            return parse_exactly(text, length, out);
        }
        at++;
        bool minus = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        int exponent = 0;
        for (; at < end; at++) {
            exponent = exponent * 10 + (*at - '0');
        }
        scale += minus ? -exponent : exponent;
    }
    if (whole > (UINT64_C(1) << 53) || scale < -22 || scale > 22) {
        return parse_exactly(text, length, out);
    }
    /* Both operands are exact, so that the one rounding is the right one (Clinger, PLDI 1990). */
    double value = scale < 0 ? (double)whole / tens[-scale] : (double)whole * tens[scale];
    *out = negative ? -value : value;
    return true;
}
