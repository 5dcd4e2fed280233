/* meta_json_test.c - JSON to rows and back, against jansson; every fault with its item, field and place.
 * SPDX-License-Identifier: Apache-2.0 */
#include "meta_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metarow_int.h"
#include "rng.h"

static const om_alloc libc_alloc;

/* Equal, numbers included: jansson tells ints and reals apart. */
static void same_json(const json_t *expected, const char *text, size_t length)
{
    json_error_t error;
    json_t *found = json_loadb(text, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (found == NULL || !json_equal(found, expected)) {
        char *dump = json_dumps(expected, JSON_COMPACT);
        fail_msg("expected %s\nfound %.*s (%s)", dump, (int)length, text, error.text);
    }
    json_decref(found);
}

static void there_and_back(void **state)
{
    (void)state;
    static const size_t flags[] = {JSON_COMPACT, JSON_INDENT(3), JSON_ENSURE_ASCII,
                                   JSON_ESCAPE_SLASH};
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    uint64_t seed = 21;
    for (int i = 0; i < 20000; i++) {
        json_t *item = meta_random_item(&seed, 1 + om_rng_below(&seed, 16), i % 4 == 0);
        char *text = json_dumps(item, flags[i % 4]);
        om_meta_rows rows;
        meta_take(schema, text, &rows);
        om_bytes out = meta_print(&libc_alloc, schema, rows.bytes);
        same_json(item, (const char *)out.data, out.size);
        /* What was printed gives the same row again. */
        om_meta_rows again;
        meta_take(schema, (const char *)out.data, &again);
        assert_int_equal(again.offsets[1], rows.offsets[1]);
        assert_memory_equal(again.bytes, rows.bytes, rows.offsets[1]);
        om_meta_rows_free(&again);
        om_bytes_free(&out);
        om_meta_rows_free(&rows);
        free(text);
        json_decref(item);
    }
    om_schema_free(schema);
}

typedef struct om_fault {
    const char *item;
    int32_t detail;
    const char *message; /* part of it */
} om_fault;

static const om_fault faults[] = {
    {"[", OMEN_D_METADATA, "expected a JSON object"},
    {"1", OMEN_D_METADATA, "expected a JSON object"},
    {" ", OMEN_D_METADATA, "expected a JSON object"},
    {"null", OMEN_D_METADATA, "expected a JSON object"},
    {"\xEF\xBB\xBF{}", OMEN_D_METADATA, "byte 0: expected a JSON object"},
    {"{", OMEN_D_METADATA, "expected a name in double quotes"},
    {"{a:1}", OMEN_D_METADATA, "byte 1: expected a name in double quotes"},
    {"{'a':1}", OMEN_D_METADATA, "expected a name in double quotes"},
    {"{\"a\"", OMEN_D_METADATA, "field 'a', byte 4: expected ':'"},
    {"{\"a\" 1}", OMEN_D_METADATA, "expected ':'"},
    {"{\"a\":", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":x}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":nul}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":tru}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":truex}", OMEN_D_METADATA, "expected ',' or '}'"},
    {"{\"a\":NaN}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":Infinity}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":+1}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":.5}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":1", OMEN_D_METADATA, "expected ',' or '}'"},
    {"{\"a\":1,", OMEN_D_METADATA, "expected a name in double quotes"},
    {"{\"a\":1,}", OMEN_D_METADATA, "expected a name in double quotes"},
    {"{,}", OMEN_D_METADATA, "expected a name in double quotes"},
    {"{\"a\":1}}", OMEN_D_METADATA, "byte 7: something behind the object"},
    {"{\"a\":1} {}", OMEN_D_METADATA, "something behind the object"},
    {"{\"a\":1/**/}", OMEN_D_METADATA, "expected ',' or '}'"},
    {"{\"a\":-}", OMEN_D_METADATA, "expected a digit"},
    {"{\"a\":1.}", OMEN_D_METADATA, "expected a digit"},
    {"{\"a\":1e}", OMEN_D_METADATA, "expected a digit"},
    {"{\"a\":1e+}", OMEN_D_METADATA, "expected a digit"},
    {"{\"a\":01}", OMEN_D_METADATA, "begins with 0"},
    {"{\"a\":-01}", OMEN_D_METADATA, "begins with 0"},
    {"{\"a\":0x1}", OMEN_D_METADATA, "expected ',' or '}'"},
    {"{\"a\":9223372036854775808}", OMEN_D_TYPE,
     "field 'a', byte 24: 9223372036854775808 is beyond"},
    {"{\"a\":-9223372036854775809}", OMEN_D_TYPE, "beyond the range of int64"},
    {"{\"a\":[1,99999999999999999999]}", OMEN_D_TYPE, "beyond the range of int64"},
    {"{\"a\":1e400}", OMEN_D_TYPE, "beyond the range of doubles"},
    {"{\"a\":-1e400}", OMEN_D_TYPE, "beyond the range of doubles"},
    {"{\"a\":\"x}", OMEN_D_METADATA, "the string does not end"},
    {"{\"a\":\"\\", OMEN_D_METADATA, "the string does not end"},
    {"{\"a\":\"\n\"}", OMEN_D_METADATA, "field 'a', byte 6: a control character"},
    {"{\"a\":\"01234567\x1F\"}", OMEN_D_METADATA, "byte 14: a control character"},
    {"{\"a\":\"\\x\"}", OMEN_D_METADATA, "an escape that JSON does not have"},
    {"{\"a\":\"\\u12g4\"}", OMEN_D_METADATA, "four hexadecimal digits"},
    {"{\"a\":\"\\u12", OMEN_D_METADATA, "four hexadecimal digits"},
    {"{\"a\":\"\\ud83d\"}", OMEN_D_METADATA, "second half of a surrogate"},
    {"{\"a\":\"\\ud83d\\u0041\"}", OMEN_D_METADATA, "second half of a surrogate"},
    {"{\"a\":\"\\ude00\"}", OMEN_D_METADATA, "half a surrogate"},
    {"{\"a\":\"\xFF\"}", OMEN_D_METADATA, "field 'a', byte 6: invalid UTF-8"},
    {"{\"a\":\"abcdefgh\xC3\"}", OMEN_D_METADATA, "byte 14: invalid UTF-8"},
    {"{\"a\":\"\xED\xA0\x80\"}", OMEN_D_METADATA, "invalid UTF-8"},
    {"{\"a\":\"\xC0\x80\"}", OMEN_D_METADATA, "invalid UTF-8"},
    {"{\"a\":\"\xE2\x82\"}", OMEN_D_METADATA, "invalid UTF-8"},
    {"{\"\xFF\":1}", OMEN_D_METADATA, "invalid UTF-8"},
    {"{\"a\":1,\"a\":2}", OMEN_D_METADATA, "field 'a', byte 13: a name occurs twice"},
    {"{\"a\":1,\"\\u0061\":2}", OMEN_D_METADATA, "a name occurs twice"},
    {"{\"a\":null,\"a\":2}", OMEN_D_METADATA, "a name occurs twice"},
    {"{\"int64\":1,\"z\":2,\"int64\":1}", OMEN_D_METADATA,
     "field 'int64', byte 27: a name occurs twice"},
    {"{\"\":1}", OMEN_D_FIELD, "it is empty"},
    {"{\"$score\":1}", OMEN_D_FIELD, "'$' are reserved"},
    {"{\"a\\nb\":1}", OMEN_D_FIELD, "control character"},
    {"{\"a\\u0000b\":1}", OMEN_D_FIELD, "control character"},
    {"{\"a\\u0085b\":1}", OMEN_D_FIELD, "control character"},
    {"{\"a\":{}}", OMEN_D_TYPE, "not nested ones"},
    {"{\"a\":{\"lat\":1,\"lon\":2}}", OMEN_D_TYPE, "not nested ones"},
    {"{\"a\":[{}]}", OMEN_D_TYPE, "an array with an object in it"},
    {"{\"a\":[[]]}", OMEN_D_TYPE, "an array with an array in it"},
    {"{\"a\":[null]}", OMEN_D_TYPE, "an array with a null in it"},
    {"{\"a\":[1,null]}", OMEN_D_TYPE, "an array with a null in it"},
    {"{\"a\":[1,\"x\"]}", OMEN_D_TYPE, "expected int64, found a string"},
    {"{\"a\":[1.5,\"x\"]}", OMEN_D_TYPE, "expected double, found a string"},
    {"{\"a\":[\"x\",1]}", OMEN_D_TYPE, "expected string, found a number"},
    {"{\"a\":[true,1]}", OMEN_D_TYPE, "expected bool, found a number"},
    {"{\"a\":[1,true]}", OMEN_D_TYPE, "expected int64, found a bool"},
    {"{\"a\":[9007199254740993,0.5]}", OMEN_D_TYPE, "doubles do not hold exactly"},
    {"{\"a\":[0.5,9007199254740993]}", OMEN_D_TYPE, "does not hold the integer 9007199254740993"},
    {"{\"a\":[", OMEN_D_METADATA, "the array does not end"},
    {"{\"a\":[1", OMEN_D_METADATA, "expected ',' or ']'"},
    {"{\"a\":[1,", OMEN_D_METADATA, "the array does not end"},
    {"{\"a\":[1,]}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":[,1]}", OMEN_D_METADATA, "expected a value"},
    {"{\"a\":[1 2]}", OMEN_D_METADATA, "expected ',' or ']'"},
    {"{\"string\":1}", OMEN_D_TYPE, "field 'string', byte 10: expected string, found a number"},
    {"{\"string\":true}", OMEN_D_TYPE, "expected string, found a bool"},
    {"{\"string\":[\"x\"]}", OMEN_D_TYPE, "expected string, found an array"},
    {"{\"string\":{}}", OMEN_D_TYPE, "expected string, found an object"},
    {"{\"text\":1}", OMEN_D_TYPE, "expected text, found a number"},
    {"{\"int64\":\"1\"}", OMEN_D_TYPE, "expected int64, found a string"},
    {"{\"int64\":1.0}", OMEN_D_TYPE, "expected int64, found a number with a point"},
    {"{\"int64\":1e3}", OMEN_D_TYPE, "expected int64, found a number with a point"},
    {"{\"int64[]\":[1,1.0]}", OMEN_D_TYPE, "expected int64, found a number with a point"},
    {"{\"int64[]\":1}", OMEN_D_TYPE, "expected array of int64, found a single value"},
    {"{\"string[]\":\"x\"}", OMEN_D_TYPE, "expected array of string, found a string"},
    {"{\"string[]\":?}", OMEN_D_METADATA, "expected a value"},
    {"{\"double\":\"1\"}", OMEN_D_TYPE, "expected double, found a string"},
    {"{\"double\":9007199254740993}", OMEN_D_TYPE,
     "does not hold the integer 9007199254740993 exactly"},
    {"{\"double\":123456789012345678901}", OMEN_D_TYPE, "does not hold the integer"},
    {"{\"bool\":0}", OMEN_D_TYPE, "expected bool, found a number"},
    {"{\"bool\":\"true\"}", OMEN_D_TYPE, "expected bool, found a string"},
    {"{\"time\":0}", OMEN_D_TYPE, "expected time (RFC 3339 text with a zone), found a number"},
    {"{\"time\":\"2026-11-20\"}", OMEN_D_TYPE, "expected time (RFC 3339"},
    {"{\"time[]\":[\"x\"]}", OMEN_D_TYPE, "expected time (RFC 3339"},
    {"{\"bytes\":\"A\"}", OMEN_D_TYPE, "expected bytes (base64"},
    {"{\"bytes[]\":[\"AAAA\",\"A\"]}", OMEN_D_TYPE, "expected bytes (base64"},
    {"{\"geo\":1}", OMEN_D_TYPE, "expected geo ({\"lat\": y, \"lon\": x}), found a single value"},
    {"{\"geo\":[1,2]}", OMEN_D_TYPE, "expected geo"},
    {"{\"geo\":{}}", OMEN_D_TYPE, "a position is"},
    {"{\"geo\":{\"lat\":1}}", OMEN_D_TYPE, "a position is"},
    {"{\"geo\":{\"lat\":1,\"lat\":2}}", OMEN_D_TYPE, "a position is"},
    {"{\"geo\":{\"lat\":1,\"lng\":2}}", OMEN_D_TYPE, "a position is"},
    {"{\"geo\":{\"lat\":1,\"lon\":2,\"x\":3}}", OMEN_D_METADATA, "expected '}' after a position"},
    {"{\"geo\":{\"lat\":\"1\",\"lon\":2}}", OMEN_D_TYPE, "expected a number of degrees"},
    {"{\"geo\":{\"lat\":90.0000001,\"lon\":2}}", OMEN_D_TYPE,
     "lat 90.0000001 is out of range (at most 90)"},
    {"{\"geo\":{\"lat\":-91,\"lon\":2}}", OMEN_D_TYPE, "out of range"},
    {"{\"geo\":{\"lat\":1,\"lon\":180.5}}", OMEN_D_TYPE, "lon 180.5 is out of range (at most 180)"},
    {"{\"geo\":{\"lat\":1e999,\"lon\":0}}", OMEN_D_TYPE, "out of range"},
    {"{\"geo\":{\"lat\":1 \"lon\":0}}", OMEN_D_TYPE, "a position is"},
};

/* Refused, with the item named, and nothing is left behind. */
static void faults_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        meta_memory memory;
        meta_memory_init(&memory);
        om_schema *schema = meta_schema(&memory.alloc, meta_all, META_ALL);
        const char *items[] = {"{\"fine\":1}", faults[i].item};
        meta_batch batch;
        om_meta_rows rows;
        omen_error err = {.message = ""};
        meta_batch_make(&batch, items, 2);
        omen_status_t status = meta_parse(&memory.alloc, schema, &batch, &rows, &err);
        if (status != OMEN_INVALID_ARGUMENT || err.detail != faults[i].detail || err.item != 1 ||
            strstr(err.message, faults[i].message) == NULL ||
            strstr(err.message, "metadata of item 1") == NULL) {
            fail_msg("%s: status %d, detail %d, '%s'", faults[i].item, status, err.detail,
                     err.message);
        }
        assert_int_equal(om_schema_count(schema), META_ALL);
        meta_batch_free(&batch);
        om_schema_free(schema);
        meta_memory_end(&memory);
    }
}

/* Every beginning of a good item is refused, and never read beyond. */
static void cut_anywhere(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    uint64_t seed = 23;
    json_t *item = meta_random_item(&seed, 16, false);
    char *text = json_dumps(item, JSON_ENSURE_ASCII);
    size_t length = strlen(text);
    for (size_t cut = 1; cut < length; cut++) {
        char *copy = malloc(cut);
        assert_non_null(copy);
        memcpy(copy, text, cut);
        int32_t offsets[] = {0, (int32_t)cut};
        omen_column column = {.data = copy, .offsets = offsets, .offset_bits = 32};
        om_meta_input input = {.schema = schema, .column = &column, .count = 1};
        om_meta_rows rows;
        omen_error err;
        assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, &err), OMEN_INVALID_ARGUMENT);
        assert_int_equal(err.item, 0);
        free(copy);
    }
    free(text);
    json_decref(item);
    om_schema_free(schema);
}

static void repeat(char **at, const char *text, size_t times)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < times; i++) {
        memcpy(*at, text, length);
        *at += length;
    }
    **at = '\0';
}

static omen_status_t parse_text(const om_schema *schema, const char *text, om_meta_rows *rows,
                                omen_error *err)
{
    meta_batch batch;
    meta_batch_make(&batch, &text, 1);
    omen_status_t status = meta_parse(&libc_alloc, schema, &batch, rows, err);
    meta_batch_free(&batch);
    return status;
}

static void limits(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    char *text = malloc(4 << 20);
    assert_non_null(text);
    omen_error err;
    om_meta_rows rows;
    for (int over = 0; over < 2; over++) { /* OMEN_MAX_ARRAY elements, and one more */
        char *at = text;
        repeat(&at, "{\"a\":[1", 1);
        repeat(&at, ",1", OMEN_MAX_ARRAY - 1 + (size_t)over);
        repeat(&at, "]}", 1);
        omen_status_t status = parse_text(schema, text, &rows, &err);
        assert_int_equal(status, over ? OMEN_INVALID_ARGUMENT : OMEN_OK);
        if (over) {
            assert_int_equal(err.detail, OMEN_D_LIMIT);
            assert_non_null(strstr(err.message, "more than 65536 elements"));
        } else {
            om_meta_value value = om_meta_at(rows.bytes, 0);
            assert_int_equal(om_meta_elements(&value), OMEN_MAX_ARRAY);
            om_meta_rows_free(&rows);
        }
    }
    for (int over = 0; over < 2; over++) { /* OMEN_MAX_METADATA bytes, and one more */
        char *at = text;
        repeat(&at, "{\"a\":\"", 1);
        repeat(&at, "x", OMEN_MAX_METADATA - 8 + (size_t)over);
        repeat(&at, "\"}", 1);
        omen_status_t status = parse_text(schema, text, &rows, &err);
        assert_int_equal(status, over ? OMEN_INVALID_ARGUMENT : OMEN_OK);
        if (over) {
            assert_int_equal(err.detail, OMEN_D_LIMIT);
            assert_non_null(strstr(err.message, "1048577 bytes, at most 1048576"));
        } else {
            om_meta_rows_free(&rows);
        }
    }
    for (uint32_t over = 0; over < 2; over++) { /* OMEN_MAX_FIELDS fields, and one more */
        char *at = text;
        for (uint32_t i = 0; i < OMEN_MAX_FIELDS + over; i++) {
            at += snprintf(at, 32, "%s\"f%u\":1", i == 0 ? "{" : ",", i);
        }
        repeat(&at, "}", 1);
        omen_status_t status = parse_text(schema, text, &rows, &err);
        assert_int_equal(status, over ? OMEN_INVALID_ARGUMENT : OMEN_OK);
        if (over) {
            assert_int_equal(err.detail, OMEN_D_LIMIT);
            assert_non_null(strstr(err.message, "more than 1024 fields"));
        } else {
            assert_int_equal(om_meta_fields(rows.bytes), OMEN_MAX_FIELDS);
            om_meta_rows_free(&rows);
        }
    }
    for (uint32_t over = 0; over < 2;
         over++) { /* a name of OMEN_MAX_FIELD_NAME bytes, and one more */
        char *at = text;
        repeat(&at, "{\"", 1);
        repeat(&at, "n", OMEN_MAX_FIELD_NAME + over);
        repeat(&at, "\":1}", 1);
        omen_status_t status = parse_text(schema, text, &rows, &err);
        assert_int_equal(status, over ? OMEN_INVALID_ARGUMENT : OMEN_OK);
        if (over) {
            assert_non_null(strstr(err.message, "longer than 128 bytes"));
        } else {
            om_meta_rows_free(&rows);
        }
    }
    for (uint32_t over = 0; over < 2; over++) { /* digits of a number: 1,024, and one more */
        char *at = text;
        repeat(&at, "{\"a\":0.", 1);
        repeat(&at, "1", 1022 + over);
        repeat(&at, "}", 1);
        omen_status_t status = parse_text(schema, text, &rows, &err);
        assert_int_equal(status, over ? OMEN_INVALID_ARGUMENT : OMEN_OK);
        if (!over) {
            om_meta_rows_free(&rows);
        }
    }
    free(text);
    om_schema_free(schema);
}

/* Deep nesting is refused at its second level: nothing here recurses. */
static void deep(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    char *text = malloc(OMEN_MAX_METADATA + 16);
    assert_non_null(text);
    static const char *const opens[] = {"[", "{\"a\":", "{\"geo\":"};
    for (size_t i = 0; i < 3; i++) {
        char *at = text;
        om_meta_rows rows;
        omen_error err;
        repeat(&at, "{\"a\":", 1);
        repeat(&at, opens[i], 100000);
        assert_int_equal(parse_text(schema, text, &rows, &err), OMEN_INVALID_ARGUMENT);
        assert_int_equal(err.detail, OMEN_D_TYPE);
    }
    free(text);
    om_schema_free(schema);
}

/* The ends of int64, -0, and doubles written as integers. */
static void numbers(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    static const char *const pairs[][2] = {
        {"{\"int64\":9223372036854775807}", "{\"int64\": 9223372036854775807}"},
        {"{\"int64\":-9223372036854775808}", "{\"int64\": -9223372036854775808}"},
        {"{\"int64\":-0}", "{\"int64\": 0}"},
        {"{\"double\":1}", "{\"double\": 1.0}"},
        {"{\"double\":-0.0}", "{\"double\": -0.0}"},
        {"{\"double\":9007199254740992}", "{\"double\": 9007199254740992.0}"},
        {"{\"double\":100000000000000000000}", "{\"double\": 1e+20}"},
        {"{\"double\":9007199254740993.0}", "{\"double\": 9007199254740992.0}"},
        {"{\"double[]\":[1,2.5,-3]}", "{\"double[]\": [1.0, 2.5, -3.0]}"},
        {"{\"double\":1E2}", "{\"double\": 100.0}"},
        {"{\"geo\":{\"lon\":-180,\"lat\":9.0e1}}", "{\"geo\": {\"lat\": 90.0, \"lon\": -180.0}}"},
        {"{\"geo\" : { \"lat\" : 1 , \"lon\" : 2 } }", "{\"geo\": {\"lat\": 1.0, \"lon\": 2.0}}"},
        {"{\"bytes\":\"\\/\\/\\/\\/\"}", "{\"bytes\": \"////\"}"},
        {"{\"time\":\"2026-11-20T09:00:00.500+01:00\"}", "{\"time\": \"2026-11-20T08:00:00.5Z\"}"},
        {"{\"string\":\"\\ud83d\\ude00\\u20ac\\u00e9\\u0041\\u0000\"}",
         "{\"string\": \"\xF0\x9F\x98\x80\xE2\x82\xAC\xC3\xA9"
         "A\\u0000\"}"},
        {"{\"string\":null,\"int64\":1}", "{\"int64\": 1}"},
        {" \t\r\n{ } ", "{}"},
        {"{\"int64[]\":[],\"string[]\":[]}", "{\"string[]\": [], \"int64[]\": []}"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        om_meta_rows rows;
        meta_take(schema, pairs[i][0], &rows);
        om_bytes out = meta_print(&libc_alloc, schema, rows.bytes);
        assert_string_equal((const char *)out.data, pairs[i][1]);
        om_bytes_free(&out);
        om_meta_rows_free(&rows);
    }
    om_schema_free(schema);
}

static void only_some_fields(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    om_meta_rows rows;
    meta_take(schema, "{\"string\":\"s\",\"int64\":5,\"bool\":true}", &rows);
    static const uint16_t some[] = {3, 0, 999, OM_NO_FIELD};
    om_bytes out = {.alloc = &libc_alloc};
    assert_int_equal(om_meta_json(schema, rows.bytes, some, 4, &out, NULL), OMEN_OK);
    assert_memory_equal(out.data, "{\"string\": \"s\", \"bool\": true}", out.size);
    out.size = 0;
    assert_int_equal(om_meta_json(schema, rows.bytes, some, 0, &out, NULL), OMEN_OK);
    assert_int_equal(out.size, 2);
    assert_memory_equal(out.data, "{}", 2);
    om_bytes_free(&out);
    om_meta_rows_free(&rows);
    om_schema_free(schema);
}

/* Columns of every shape; offsets that do not ascend. */
static void columns(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    static const char text[] = "{\"a\":1}{\"a\":2}";
    static const int32_t narrow[] = {0, 7, 7, 14};
    static const int64_t wide[] = {0, 7, 7, 14};
    const omen_column shapes[] = {{text, narrow, 32, 0}, {text, wide, 64, 0}, {text, NULL, 0, 7}};
    for (size_t i = 0; i < 3; i++) {
        om_meta_input input = {.schema = schema, .column = &shapes[i], .count = i == 2 ? 2 : 3};
        om_meta_rows rows;
        assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, NULL), OMEN_OK);
        om_meta_value last = om_meta_at(rows.bytes + rows.offsets[input.count - 1], 0);
        assert_int_equal(om_load64(last.payload), 2);
        if (i != 2) {
            assert_int_equal(rows.offsets[2] - rows.offsets[1], 8);
            assert_int_equal(om_meta_fields(rows.bytes + rows.offsets[1]), 0);
        }
        om_meta_rows_free(&rows);
    }
    om_meta_rows rows;
    omen_column absent = {0};
    om_meta_input none = {.schema = schema, .column = &absent, .count = 2};
    assert_int_equal(om_meta_parse(&libc_alloc, &none, &rows, NULL), OMEN_OK);
    assert_int_equal(rows.offsets[2], 16);
    om_meta_rows_free(&rows);
    none.column = NULL;
    assert_int_equal(om_meta_parse(&libc_alloc, &none, &rows, NULL), OMEN_OK);
    om_meta_rows_free(&rows);
    none.count = 0;
    assert_int_equal(om_meta_parse(&libc_alloc, &none, &rows, NULL), OMEN_OK);
    assert_int_equal(rows.offsets[0], 0);
    om_meta_rows_free(&rows);
    static const int32_t falling[] = {0, 7, 3};
    static const int64_t negative[] = {-1, 7};
    omen_column bad = {text, falling, 32, 0};
    om_meta_input input = {.schema = schema, .column = &bad, .count = 2};
    omen_error err;
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, &err), OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.item, 1);
    bad = (omen_column){text, negative, 64, 0};
    input.count = 1;
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, &err), OMEN_INVALID_ARGUMENT);
    om_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(faults_are_told),
        cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(limits),
        cmocka_unit_test(deep),
        cmocka_unit_test(numbers),
        cmocka_unit_test(only_some_fields),
        cmocka_unit_test(columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
