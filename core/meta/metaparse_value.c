/* metaparse_value.c - JSON values as payloads of the type that their field has, or shall have.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metaparse_int.h"
#include "metatime.h"
#include "schema_int.h"

static omen_status_t bad_type(om_metaparse *parse, uint16_t want, const char *found)
{
    const char *how = "";
    if (want == OMEN_TYPE_TIME) {
        how = " (RFC 3339 text with a zone)";
    } else if (want == OMEN_TYPE_BYTES) {
        how = " (base64 text)";
    } else if (want == OMEN_TYPE_GEO) {
        how = " ({\"lat\": y, \"lon\": x})";
    }
    return om_metaparse_bad(parse, OMEN_D_TYPE, "expected %s%s, found %s", om_type_name(want), how,
                            found);
}

bool om_meta_widens(const uint8_t *payload, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 8) {
        if (!om_double_holds((int64_t)om_load64(payload + i))) {
            return false;
        }
    }
    return true;
}

void om_meta_widen(uint8_t *payload, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += 8) {
        double number = (double)(int64_t)om_load64(payload + i);
        memcpy(payload + i, &number, sizeof number);
    }
}

static omen_status_t put_fixed(om_metaparse *parse, const void *value)
{
    return om_bytes_put(&parse->payload, value, 8, parse->error);
}

/* A string into `out`, turned into what the type keeps. */
static omen_status_t take_string(om_metaparse *parse, uint16_t want, om_bytes *out, uint16_t *type)
{
    omen_status_t status = OMEN_OK;
    size_t before = out->size;
    *type = want == 0 ? OMEN_TYPE_STRING : want;
    if (want == OMEN_TYPE_TIME) {
        before = parse->text.size;
        out = &parse->text;
    } else if (want != 0 && want != OMEN_TYPE_STRING && want != OMEN_TYPE_TEXT &&
               want != OMEN_TYPE_BYTES) {
        return bad_type(parse, want, "a string");
    }
    parse->at++;
    OM_TRY(om_metaparse_string(parse, out));
    if (want == OMEN_TYPE_TIME) {
        int64_t micros;
        bool good = om_time_parse((const char *)out->data + before, out->size - before, &micros);
        out->size = before;
        status = good ? put_fixed(parse, &micros) : bad_type(parse, want, "other text");
    } else if (want == OMEN_TYPE_BYTES) {
        size_t length;
        if (!om_base64_parse(out->data + before, out->size - before, &length)) {
            return bad_type(parse, want, "other text");
        }
        out->size = before + length;
    }
out:
    return status;
}

/* A whole number for a field of doubles: taken when it is one exactly, so that no id is changed in
 * silence. */
static omen_status_t whole_as_double(om_metaparse *parse, const om_json_number *number, double *out)
{
    if (number->fits && om_double_holds(number->value)) {
        *out = (double)number->value;
        return OMEN_OK;
    }
    if (!number->fits && om_double_parse(number->text, number->length, out)) {
        char digits[OM_NUMBER_TEXT];
        int length = snprintf(digits, sizeof digits, "%.0f", *out);
        if (length > 0 && (size_t)length == number->length &&
            memcmp(digits, number->text, number->length) == 0) {
            return OMEN_OK;
        }
    }
    return om_metaparse_bad(parse, OMEN_D_TYPE,
                            "a double does not hold the integer %.*s exactly (to have it rounded, "
                            "write it with a point or an exponent)",
                            (int)om_min_u64(number->length, 40), number->text);
}

static omen_status_t take_double(om_metaparse *parse, const om_json_number *number, om_want want,
                                 double *out)
{
    if (number->whole) {
        return whole_as_double(parse, number, out);
    }
    if (want.type == OMEN_TYPE_INT64 && want.inexact) {
        return om_metaparse_bad(parse, OMEN_D_TYPE,
                                "the field cannot become double: it has integers that doubles do "
                                "not hold exactly");
    }
    if (!om_double_parse(number->text, number->length, out)) {
        return om_metaparse_bad(parse, OMEN_D_TYPE, "%.*s is beyond the range of doubles",
                                (int)om_min_u64(number->length, 40), number->text);
    }
    return OMEN_OK;
}

static omen_status_t take_number(om_metaparse *parse, om_want want, uint16_t *type)
{
    omen_status_t status = OMEN_OK;
    om_json_number number;
    double value;
    if (want.type != 0 && want.type != OMEN_TYPE_INT64 && want.type != OMEN_TYPE_DOUBLE) {
        return bad_type(parse, want.type, "a number");
    }
    OM_TRY(om_metaparse_number(parse, &number));
    if (want.type != OMEN_TYPE_DOUBLE && number.whole) {
        if (!number.fits) {
            return om_metaparse_bad(parse, OMEN_D_TYPE, "%.*s is beyond the range of int64",
                                    (int)om_min_u64(number.length, 40), number.text);
        }
        *type = OMEN_TYPE_INT64;
        return put_fixed(parse, &number.value);
    }
    if (want.type == OMEN_TYPE_INT64 && !want.soft) {
        return bad_type(parse, want.type, "a number with a point or an exponent");
    }
    OM_TRY(take_double(parse, &number, want, &value));
    *type = OMEN_TYPE_DOUBLE;
    OM_TRY(put_fixed(parse, &value));
out:
    return status;
}

static omen_status_t take_bool(om_metaparse *parse, uint16_t want, uint16_t *type)
{
    if (want != 0 && want != OMEN_TYPE_BOOL) {
        return bad_type(parse, want, "a bool");
    }
    int64_t value = om_metaparse_word(parse, "true", 4);
    if (value == 0 && !om_metaparse_word(parse, "false", 5)) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a value");
    }
    *type = OMEN_TYPE_BOOL;
    return put_fixed(parse, &value);
}

/* A value that is no array and no object. Strings go to `strings`, numbers to the payload. */
static omen_status_t take_scalar(om_metaparse *parse, om_want want, om_bytes *strings,
                                 uint16_t *type)
{
    uint8_t c = *parse->at;
    if (c == '"') {
        return take_string(parse, want.type, strings, type);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return take_number(parse, want, type);
    }
    if (c == 't' || c == 'f') {
        return take_bool(parse, want.type, type);
    }
    return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a value");
}

/* One part of a position. *seen: bit 0 lat, bit 1 lon. */
static omen_status_t take_coordinate(om_metaparse *parse, uint32_t *seen, double point[2])
{
    omen_status_t status = OMEN_OK;
    om_json_number number;
    bool lat = om_metaparse_word(parse, "\"lat\"", 5);
    uint32_t bit = lat ? 1 : 2;
    if ((!lat && !om_metaparse_word(parse, "\"lon\"", 5)) || (*seen & bit) != 0) {
        return om_metaparse_bad(parse, OMEN_D_TYPE, "a position is {\"lat\": y, \"lon\": x}");
    }
    *seen |= bit;
    om_metaparse_space(parse);
    if (!om_metaparse_take(parse, ':')) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected ':'");
    }
    om_metaparse_space(parse);
    if (parse->at == parse->end || (*parse->at != '-' && (*parse->at < '0' || *parse->at > '9'))) {
        return om_metaparse_bad(parse, OMEN_D_TYPE, "expected a number of degrees");
    }
    OM_TRY(om_metaparse_number(parse, &number));
    double *value = &point[lat ? 0 : 1];
    if (!om_double_parse(number.text, number.length, value) || fabs(*value) > (lat ? 90 : 180)) {
        return om_metaparse_bad(parse, OMEN_D_TYPE, "%s %.*s is out of range (at most %d)",
                                lat ? "lat" : "lon", (int)om_min_u64(number.length, 40),
                                number.text, lat ? 90 : 180);
    }
    om_metaparse_space(parse);
out:
    return status;
}

static omen_status_t take_geo(om_metaparse *parse)
{
    omen_status_t status = OMEN_OK;
    uint32_t seen = 0;
    double point[2] = {0, 0};
    parse->at++;
    om_metaparse_space(parse);
    OM_TRY(take_coordinate(parse, &seen, point));
    if (!om_metaparse_take(parse, ',')) {
        return om_metaparse_bad(parse, OMEN_D_TYPE, "a position is {\"lat\": y, \"lon\": x}");
    }
    om_metaparse_space(parse);
    OM_TRY(take_coordinate(parse, &seen, point));
    if (!om_metaparse_take(parse, '}')) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected '}' after a position");
    }
    OM_TRY(om_bytes_put(&parse->payload, point, sizeof point, parse->error));
out:
    return status;
}

/* What the next element may be when those before it are of type base (0: there are none). */
static om_want element_want(om_want want, uint16_t base)
{
    if (base != 0 && (want.type == 0 || want.soft)) {
        want.type = base;
        want.soft = base == OMEN_TYPE_INT64;
    }
    return want;
}

/* A double among integers: those before it become doubles. */
static omen_status_t widen_array(om_metaparse *parse, size_t start)
{
    uint32_t before = (uint32_t)(parse->payload.size - start - 8);
    if (!om_meta_widens(parse->payload.data + start, before)) {
        return om_metaparse_bad(parse, OMEN_D_TYPE,
                                "a double among integers that doubles do not hold exactly");
    }
    om_meta_widen(parse->payload.data + start, before);
    return OMEN_OK;
}

/* One element; *base is the type of those before it. start: of the array in the payload. */
static omen_status_t take_element(om_metaparse *parse, om_want want, uint16_t *base, size_t start)
{
    uint8_t c = *parse->at;
    if (c == '[' || c == '{' || c == 'n') {
        return om_metaparse_bad(parse, OMEN_D_TYPE, "an array with %s in it",
                                c == '['   ? "an array"
                                : c == '{' ? "an object"
                                           : "a null");
    }
    uint16_t found = 0;
    omen_status_t status = take_scalar(parse, element_want(want, *base), &parse->text, &found);
    if (status == OMEN_OK && *base == OMEN_TYPE_INT64 && found == OMEN_TYPE_DOUBLE) {
        status = widen_array(parse, start);
    }
    *base = found;
    if (status == OMEN_OK && (found == OMEN_TYPE_STRING || found == OMEN_TYPE_BYTES)) {
        uint32_t end = (uint32_t)parse->text.size;
        status = om_bytes_put(&parse->ends, &end, sizeof end, parse->error);
    }
    return status;
}

/* count, offsets and bytes of the strings that were gathered. */
static omen_status_t put_strings(om_metaparse *parse, uint32_t count)
{
    omen_status_t status = OMEN_OK;
    const uint32_t head[2] = {count, 0};
    OM_TRY(om_bytes_put(&parse->payload, head, sizeof head, parse->error));
    OM_TRY(om_bytes_put(&parse->payload, parse->ends.data, parse->ends.size, parse->error));
    OM_TRY(om_bytes_put(&parse->payload, parse->text.data, parse->text.size, parse->error));
out:
    return status;
}

static omen_status_t take_elements(om_metaparse *parse, om_want want, uint16_t *base,
                                   uint32_t *count)
{
    size_t start = parse->payload.size;
    for (;;) {
        om_metaparse_space(parse);
        if (parse->at == parse->end) {
            return om_metaparse_bad(parse, OMEN_D_METADATA, "the array does not end");
        }
        if (*count == OMEN_MAX_ARRAY) {
            return om_metaparse_bad(parse, OMEN_D_LIMIT, "an array of more than %u elements",
                                    OMEN_MAX_ARRAY);
        }
        omen_status_t status = take_element(parse, want, base, start);
        if (status != OMEN_OK) {
            return status;
        }
        ++*count;
        om_metaparse_space(parse);
        if (om_metaparse_take(parse, ']')) {
            return OMEN_OK;
        }
        if (!om_metaparse_take(parse, ',')) {
            return om_metaparse_bad(parse, OMEN_D_METADATA, "expected ',' or ']'");
        }
    }
}

static omen_status_t take_array(om_metaparse *parse, om_want want, uint16_t *type)
{
    if (want.type != 0 && (want.type & OMEN_TYPE_ARRAY) == 0) {
        return bad_type(parse, want.type, "an array");
    }
    want.type &= (uint16_t)~OMEN_TYPE_ARRAY;
    uint16_t base = 0;
    uint32_t count = 0;
    omen_status_t status = OMEN_OK;
    parse->text.size = 0;
    parse->ends.size = 0;
    parse->at++;
    om_metaparse_space(parse);
    if (om_metaparse_take(parse, ']')) {
        base = want.type;
    } else {
        status = take_elements(parse, want, &base, &count);
    }
    *type = base | OMEN_TYPE_ARRAY;
    bool strings = base == OMEN_TYPE_STRING || base == OMEN_TYPE_BYTES || base == 0;
    return status == OMEN_OK && strings ? put_strings(parse, count) : status;
}

omen_status_t om_metaparse_value(om_metaparse *parse, om_want want, uint16_t *type)
{
    uint8_t c = *parse->at;
    if (c == '[') {
        return take_array(parse, want, type);
    }
    if (c == '{') {
        if (want.type == OMEN_TYPE_GEO) {
            *type = want.type;
            return take_geo(parse);
        }
        return want.type != 0
                   ? bad_type(parse, want.type, "an object")
                   : om_metaparse_bad(parse, OMEN_D_TYPE,
                                      "objects are taken for declared fields of type geo "
                                      "only, not nested ones");
    }
    if ((want.type & OMEN_TYPE_ARRAY) != 0 || want.type == OMEN_TYPE_GEO) {
        bool value = c == '"' || c == 't' || c == 'f' || c == '-' || (c >= '0' && c <= '9');
        return value ? bad_type(parse, want.type, c == '"' ? "a string" : "a single value")
                     : om_metaparse_bad(parse, OMEN_D_METADATA, "expected a value");
    }
    return take_scalar(parse, want, &parse->payload, type);
}
