/* metatime.c - RFC 3339 times and base64. SPDX-License-Identifier: Apache-2.0 */
#include "metatime.h"

#include <string.h>

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar, by years that begin in March: a
 * leap day is then the last of its year. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = years + era * 400 + (*month <= 2);
}

static int64_t days_of_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

typedef struct om_timetext {
    const char *at, *end;
    bool good;
} om_timetext;

/* `count` digits. */
static int64_t take_number(om_timetext *text, int count)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++, text->at++) {
        if (text->at == text->end || *text->at < '0' || *text->at > '9') {
            text->good = false;
            return 0;
        }
        value = value * 10 + (*text->at - '0');
    }
    return value;
}

static void take_char(om_timetext *text, const char *any)
{
    if (text->good && text->at < text->end && strchr(any, *text->at) != NULL && *text->at != 0) {
        text->at++;
    } else {
        text->good = false;
    }
}

/* Microseconds of a fraction, whose point may be missing. */
static int64_t take_fraction(om_timetext *text)
{
    if (text->at == text->end || *text->at != '.') {
        return 0;
    }
    text->at++;
    const char *first = text->at;
    int64_t value = 0;
    int64_t unit = 100000;
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
        value += (*text->at - '0') * unit;
        unit /= 10;
    }
    text->good = text->good && text->at > first;
    return value;
}

/* Seconds that the zone is ahead of UTC. */
static int64_t take_zone(om_timetext *text)
{
    if (!text->good || text->at == text->end) {
        text->good = false;
        return 0;
    }
    if (*text->at == 'Z' || *text->at == 'z') {
        text->at++;
        return 0;
    }
    int64_t sign = *text->at == '-' ? -1 : 1;
    take_char(text, "+-");
    int64_t hours = take_number(text, 2);
    take_char(text, ":");
    int64_t minutes = take_number(text, 2);
    text->good = text->good && hours < 24 && minutes < 60;
    return sign * (hours * 3600 + minutes * 60);
}

/* Leap seconds have been at the end of these months only, at midnight UTC. `next` is the second behind. */
static bool leap_second_at(int64_t next)
{
    int64_t year;
    int64_t month;
    int64_t day;
    int64_t days = next / 86400 - (next % 86400 < 0);
    civil_from_days(days, &year, &month, &day);
    return next == days * 86400 && day == 1 && (month == 1 || month == 7);
}

bool om_time_parse(const char *string, size_t length, int64_t *micros)
{
    om_timetext text = {.at = string, .end = string + length, .good = true};
    int64_t year = take_number(&text, 4);
    take_char(&text, "-");
    int64_t month = take_number(&text, 2);
    take_char(&text, "-");
    int64_t day = take_number(&text, 2);
    take_char(&text, "Tt ");
    int64_t hour = take_number(&text, 2);
    take_char(&text, ":");
    int64_t minute = take_number(&text, 2);
    take_char(&text, ":");
    int64_t second = take_number(&text, 2);
    int64_t fraction = take_fraction(&text);
    int64_t zone = take_zone(&text);
    if (!text.good || text.at != text.end || month < 1 || month > 12 || day < 1 ||
        day > days_of_month(year, month) || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    int64_t seconds =
        days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
    if (second == 60 && !leap_second_at(seconds)) {
        return false;
    }
    int64_t time = seconds * 1000000 + fraction;
    if (time < OM_TIME_MIN || time > OM_TIME_MAX) {
        return false;
    }
    *micros = time;
    return true;
}

static char *put_number(char *out, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10) {
        out[i] = (char)('0' + value % 10);
    }
    return out + digits;
}

size_t om_time_print(int64_t micros, char out[OM_TIME_TEXT])
{
    om_assert(micros >= OM_TIME_MIN && micros <= OM_TIME_MAX);
    int64_t day_micros = INT64_C(86400) * 1000000;
    int64_t days = micros / day_micros - (micros % day_micros < 0);
    int64_t rest = micros - days * day_micros;
    int64_t year;
    int64_t month;
    int64_t day;
    civil_from_days(days, &year, &month, &day);
    char *at = put_number(out, year, 4);
    *at++ = '-';
    at = put_number(at, month, 2);
    *at++ = '-';
    at = put_number(at, day, 2);
    *at++ = 'T';
    int64_t seconds = rest / 1000000;
    at = put_number(at, seconds / 3600, 2);
    *at++ = ':';
    at = put_number(at, seconds / 60 % 60, 2);
    *at++ = ':';
    at = put_number(at, seconds % 60, 2);
    if (rest % 1000000 != 0) {
        *at++ = '.';
        at = put_number(at, rest % 1000000, 6);
        while (at[-1] == '0') {
            at--;
        }
    }
    *at++ = 'Z';
    *at = '\0';
    return (size_t)(at - out);
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void om_base64_print(const uint8_t *bytes, size_t length, char *out)
{
    for (size_t i = 0; i < length; i += 3, out += 4) {
        size_t left = length - i;
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= left > 2 ? bytes[i + 2] : 0;
        out[0] = base64_digits[word >> 18];
        out[1] = base64_digits[word >> 12 & 63];
        out[2] = (char)(left > 1 ? base64_digits[word >> 6 & 63] : '=');
        out[3] = (char)(left > 2 ? base64_digits[word & 63] : '=');
    }
}

/* The value of a digit; above 63: it is none. */
static uint32_t base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - (uint32_t)'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - (uint32_t)'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - (uint32_t)'0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool om_base64_parse(uint8_t *text, size_t length, size_t *out_length)
{
    *out_length = 0;
    if (length % 4 != 0) {
        return false;
    }
    uint8_t *out = text;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t padding = 0;
        if (i + 4 == length && text[i + 3] == '=') {
            padding = text[i + 2] == '=' ? 2 : 1;
        }
        uint32_t word = 0;
        for (uint32_t j = 0; j < 4; j++) {
            uint32_t value = j < 4 - padding ? base64_value(text[i + j]) : 0;
            if (value > 63) {
                return false;
            }
            word = word << 6 | value;
        }
        if ((word & ((1u << (8 * padding)) - 1)) != 0) {
            return false;
        }
        out[0] = (uint8_t)(word >> 16);
        out[1] = padding < 2 ? (uint8_t)(word >> 8) : out[1];
        out[2] = padding < 1 ? (uint8_t)word : out[2];
        out += 3 - padding;
    }
    *out_length = (size_t)(out - text);
    return true;
}
