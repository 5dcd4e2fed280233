/* metajson.c - the words of JSON: strings, names, numbers; every fault with its place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "metaparse_int.h"
#include "metatime.h"
#include "metautf8.h"

omen_status_t om_metaparse_bad(om_metaparse *parse, int32_t detail, const char *format, ...)
{
    char what[200];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    size_t length = strlen(what);
    int cut = om_utf8_cut(what, length, sizeof what - 8); /* a name may have been cut */
    if (parse->name == NULL) {
        return om_fail_item(parse->error, OMEN_INVALID_ARGUMENT, detail, parse->item,
                            "metadata of item %llu, byte %zu: %.*s",
                            (unsigned long long)parse->item, (size_t)(parse->at - parse->from), cut,
                            what);
    }
    return om_fail_item(parse->error, OMEN_INVALID_ARGUMENT, detail, parse->item,
                        "metadata of item %llu, field '%.*s', byte %zu: %.*s",
                        (unsigned long long)parse->item,
                        OM_NAME_ARGS(parse->name, parse->name_length),
                        (size_t)(parse->at - parse->from), cut, what);
}

void om_metaparse_skip(om_metaparse *parse)
{
    const uint8_t *at = parse->at;
    while (at < parse->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    parse->at = at;
}

/* Behind the bytes of a string that stand for themselves: at a quote, a backslash, a control
 * character, a byte that is no UTF-8, or the end. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    for (;;) {
        uint64_t found = 0;
        while (end - at >= 8) {
            uint64_t word = om_load64(at);
            found = om_json_special(word) | (word & high);
            if (found != 0) {
                break;
            }
            at += 8;
        }
        at += found != 0 ? __builtin_ctzll(found) / 8 : 0;
        while (at < end && *at < 0x80) {
            if (*at == '"' || *at == '\\' || *at < 0x20) {
                return at;
            }
            at++; /* the last few bytes of the text */
        }
        if (at == end) {
            return at;
        }
        while (at < end && *at >= 0x80) {
            uint32_t step = om_utf8_step(at, end);
            if (step == 0) {
                return at;
            }
            at += step;
        }
    }
}

/* Four hexadecimal digits, or UINT32_MAX. */
static uint32_t take_hex(om_metaparse *parse)
{
    if (parse->end - parse->at < 4) {
        return UINT32_MAX;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = parse->at[i];
        uint8_t low = c | 0x20;
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint32_t)(c - '0');
        } else if (low >= 'a' && low <= 'f') {
            value = value << 4 | (uint32_t)(low - 'a' + 10);
        } else {
            return UINT32_MAX;
        }
    }
    parse->at += 4;
    return value;
}

static size_t encode_utf8(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* \uXXXX, two of them for what lies above U+FFFF; "\u" is behind. */
static omen_status_t take_code(om_metaparse *parse, om_bytes *out)
{
    uint32_t code = take_hex(parse);
    if (code == UINT32_MAX) {
        return om_metaparse_bad(parse, OMEN_D_METADATA,
                                "expected four hexadecimal digits after \\u");
    }
    if (code >= 0xD800 && code < 0xDC00) {
        uint32_t low = UINT32_MAX;
        if (parse->end - parse->at >= 2 && parse->at[0] == '\\' && parse->at[1] == 'u') {
            parse->at += 2;
            low = take_hex(parse);
        }
        if (low < 0xDC00 || low > 0xDFFF) {
            return om_metaparse_bad(parse, OMEN_D_METADATA,
                                    "expected the second half of a surrogate");
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "half a surrogate");
    }
    uint8_t bytes[4];
    return om_bytes_put(out, bytes, encode_utf8(code, bytes), parse->error);
}

/* What follows a backslash. */
static omen_status_t take_escape(om_metaparse *parse, om_bytes *out)
{
    static const char names[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (parse->at == parse->end) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "the string does not end");
    }
    char c = (char)*parse->at;
    if (c == 'u') {
        parse->at++;
        return take_code(parse, out);
    }
    for (size_t i = 0; i + 1 < sizeof names; i += 2) {
        if (names[i] == c) {
            parse->at++;
            return om_bytes_put(out, &names[i + 1], 1, parse->error);
        }
    }
    return om_metaparse_bad(parse, OMEN_D_METADATA, "an escape that JSON does not have");
}

/* At a byte that ends a plain run and is no quote. */
static omen_status_t take_special(om_metaparse *parse, om_bytes *out)
{
    if (parse->at == parse->end) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "the string does not end");
    }
    if (*parse->at == '\\') {
        parse->at++;
        return take_escape(parse, out);
    }
    return om_metaparse_bad(parse, OMEN_D_METADATA,
                            *parse->at < 0x20 ? "a control character within a string"
                                              : "invalid UTF-8");
}

omen_status_t om_metaparse_string(om_metaparse *parse, om_bytes *out)
{
    for (;;) {
        const uint8_t *run = parse->at;
        parse->at = plain_end(run, parse->end);
        omen_status_t status = om_bytes_put(out, run, (size_t)(parse->at - run), parse->error);
        if (status != OMEN_OK) {
            return status;
        }
        if (parse->at < parse->end && *parse->at == '"') {
            parse->at++;
            return OMEN_OK;
        }
        status = take_special(parse, out);
        if (status != OMEN_OK) {
            return status;
        }
    }
}

omen_status_t om_metaparse_name(om_metaparse *parse)
{
    const uint8_t *run = parse->at;
    const uint8_t *end = plain_end(run, parse->end);
    parse->name = NULL;
    if (end < parse->end && *end == '"') {
        parse->at = end + 1;
        parse->name = (const char *)run;
        parse->name_length = (uint32_t)(end - run);
        return OMEN_OK;
    }
    parse->key.size = 0;
    omen_status_t status = om_metaparse_string(parse, &parse->key);
    if (status == OMEN_OK) {
        parse->name = (const char *)parse->key.data;
        parse->name_length = (uint32_t)parse->key.size;
    }
    return status;
}

bool om_metaparse_word(om_metaparse *parse, const char *word, size_t length)
{
    if ((size_t)(parse->end - parse->at) < length || memcmp(parse->at, word, length) != 0) {
        return false;
    }
    parse->at += length;
    return true;
}

static bool is_digit(const om_metaparse *parse)
{
    return parse->at < parse->end && *parse->at >= '0' && *parse->at <= '9';
}

/* One digit or more. */
static omen_status_t skip_digits(om_metaparse *parse)
{
    if (!is_digit(parse)) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a digit");
    }
    while (is_digit(parse)) {
        parse->at++;
    }
    return OMEN_OK;
}

/* Digits in front of a point: *value, unless they are too many. */
static omen_status_t take_whole(om_metaparse *parse, uint64_t *value, bool *fits)
{
    const uint8_t *first = parse->at;
    if (!is_digit(parse)) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a digit");
    }
    uint64_t sum = 0;
    const uint8_t *at = first;
    for (; at < parse->end && *at >= '0' && *at <= '9'; at++) {
        sum = sum * 10 + (uint64_t)(*at - '0'); /* 19 digits fit */
    }
    parse->at = at;
    *fits = at - first <= 19;
    *value = sum;
    if (*first == '0' && parse->at - first > 1) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "a number that begins with 0");
    }
    return OMEN_OK;
}

omen_status_t om_metaparse_number(om_metaparse *parse, om_json_number *out)
{
    omen_status_t status = OMEN_OK;
    const uint8_t *first = parse->at;
    bool negative = *first == '-';
    uint64_t size = 0;
    parse->at += negative;
    *out = (om_json_number){.whole = true, .text = (const char *)first};
    OM_TRY(take_whole(parse, &size, &out->fits));
    if (parse->at < parse->end && *parse->at == '.') {
        out->whole = false;
        parse->at++;
        OM_TRY(skip_digits(parse));
    }
    if (parse->at < parse->end && (*parse->at == 'e' || *parse->at == 'E')) {
        out->whole = false;
        parse->at++;
        if (parse->at < parse->end && (*parse->at == '+' || *parse->at == '-')) {
            parse->at++;
        }
        OM_TRY(skip_digits(parse));
    }
    out->length = (size_t)(parse->at - first);
    if (out->length > OM_NUMBER_TEXT) {
        return om_metaparse_bad(parse, OMEN_D_LIMIT, "a number of %zu characters, at most %u",
                                out->length, OM_NUMBER_TEXT);
    }
    out->fits = out->fits && out->whole && size <= (uint64_t)INT64_MAX + negative;
    out->value = (int64_t)(negative ? 0 - size : size);
out:
    return status;
}
