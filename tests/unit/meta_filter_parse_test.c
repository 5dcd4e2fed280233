/* meta_filter_parse_test.c - what the parser takes, what it refuses and how it says so, and its limits at
 * N and N + 1. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta_filter_fixture.h"

static om_schema *schema;
static uint8_t *row; /* year 1999, rating 4.5, genre drama, tags a b, public, seen 2026-01-01 */

static int set_up(void **state)
{
    static const char *const tags[] = {"a", "b"};
    static const uint32_t lengths[] = {1, 1};
    (void)state;
    row_maker maker;
    schema = schema_new();
    row_begin(&maker);
    row_int(&maker, schema_field(schema, "year", OMEN_TYPE_INT64), 1999);
    row_double(&maker, schema_field(schema, "rating", OMEN_TYPE_DOUBLE), 4.5);
    row_value(&maker, schema_field(schema, "genre", OMEN_TYPE_STRING), "drama", 5);
    row_strings(&maker, schema_field(schema, "tags", OMEN_TYPE_STRING | OMEN_TYPE_ARRAY), tags,
                lengths, 2);
    row_int(&maker, schema_field(schema, "public", OMEN_TYPE_BOOL), 1);
    row_int(&maker, schema_field(schema, "seen", OMEN_TYPE_TIME), INT64_C(1767225600000000));
    row_value(&maker, schema_field(schema, "hash", OMEN_TYPE_BYTES), "\x0a\xff", 2);
    row_geo(&maker, schema_field(schema, "place", OMEN_TYPE_GEO), 52.5, 13.4);
    row_value(&maker, schema_field(schema, "body", OMEN_TYPE_TEXT), "some words", 10);
    (void)schema_field(schema, "absent", OMEN_TYPE_INT64);
    row_int(&maker, schema_field(schema, "in", OMEN_TYPE_INT64), 5);
    row_int(&maker, schema_field(schema, "a \"b\".c", OMEN_TYPE_INT64), 6);
    row_int(&maker, schema_field(schema, "größe.x_1", OMEN_TYPE_INT64), 7);
    row_int(&maker, schema_field(schema, "distance", OMEN_TYPE_INT64), 8);
    row_int(&maker, schema_field(schema, "any", OMEN_TYPE_INT64), 9);
    row_int(&maker, schema_field(schema, "x", OMEN_TYPE_INT64), 10);
    row = row_end(&maker);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(row);
    om_schema_free(schema);
    return 0;
}

static omen_status_t compile(const char *text, size_t length, const omen_param *params,
                             uint64_t count, om_predicate **out, omen_error *err)
{
    /* A copy without the NUL, so that a sanitizer sees a read behind the end. */
    char *copy = malloc(length != 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    const om_predicate_text source = {copy, length, params, count};
    memset(err, 0, sizeof *err);
    const omen_status_t status = om_predicate_compile(&test_alloc, schema, &source, out, err);
    free(copy);
    return status;
}

static bool passes(const char *text)
{
    om_predicate *predicate;
    omen_error err;
    if (compile(text, strlen(text), NULL, 0, &predicate, &err) != OMEN_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    const bool answer = om_predicate_row(predicate, row);
    om_predicate_free(predicate);
    return answer;
}

/* Both a condition and what NOT makes of it. */
static void holds(const char *text, bool wanted)
{
    char denied[512];
    if (passes(text) != wanted) {
        fail_msg("%s is %s", text, wanted ? "false" : "true");
    }
    (void)snprintf(denied, sizeof denied, "NOT (%s)", text);
    if (passes(denied) == wanted) {
        fail_msg("%s is the same with NOT", text);
    }
}

static void test_words(void **state)
{
    (void)state;
    holds("year > 1998 aNd rating < 5 Or false", true);
    holds("false or true and false", false);
    holds("(true or true) and false", false);
    holds("true or true and false", true);
    holds("not false and false", false);
    holds("not (false and false)", true);
    holds("not year = 2000", true);
    holds("  year\t=\r\n1999 ", true);
    holds("year!=1999", false);
}

static void test_tests(void **state)
{
    (void)state;
    holds("year in (1, 1999,3)", true);
    holds("year not in (1,2)", true);
    holds("year between 1999 and 2000 and rating between 5 and 4", false);
    holds("year not between 2000 and 2001", true);
    holds("genre like 'dra%'", true);
    holds("genre not like 'dra%'", false);
    holds("genre like 'drama'", true);
    holds("genre like '%'", true);
    holds("genre like 'dram\\%'", false);
    holds("tags contains 'a'", true);
    holds("tags not contains 'a'", false);
    holds("tags contains any ('x', 'b')", true);
    holds("tags contains all ('a', 'b', 'a')", true);
    holds("tags contains all ('a', 'c')", false);
    holds("tags not contains any ('x', 'y')", true);
    holds("genre contains 'drama'", true);
    holds("genre contains all ('drama', 'drama')", true);
    holds("genre contains all ('drama', 'x')", false);
    holds("public", true);
    holds("public and year = 1999", true);
    holds("(public)", true);
    holds("public = false", false);
    holds("public > FALSE", true);
    holds("seen = '2026-01-01T00:00:00Z'", true);
    holds("seen = '2026-01-01T02:00:00+02:00'", true);
    holds("seen < '2026-01-01T00:00:00.000001Z'", true);
    holds("hash = X'0aFF'", true);
    holds("hash < x'0b'", true);
    holds("hash > x''", true);
    holds("body is not null", true);
    holds("absent is null", true);
    holds("distance(place, 52.5, 13.4) <= 0", true);
    holds("DISTANCE (place, 52.5, 13.4) < 0", false);
    holds("DISTANCE(place, 48.137, 11.575) > 500000", true);
    holds("DISTANCE(\"place\", 48.137, 11.575) >= 510000", false);
}

static void test_names(void **state)
{
    (void)state;
    holds("\"in\" = 5", true);
    holds("\"a \"\"b\"\".c\" = 6", true);
    holds("größe.x_1 = 7", true);
    holds("distance = 8", true);
    holds("any = 9", true);
    holds("\"any\" = 9", true);
    holds("x = 10", true); /* no X'00' */
    holds("genre > 'd' and genre < 'e'", true);
    holds("genre = 'it''s'", false);
}

static void refuses(const char *text, int32_t detail, const char *says)
{
    om_predicate *predicate = NULL;
    omen_error err;
    if (compile(text, strlen(text), NULL, 0, &predicate, &err) != OMEN_INVALID_ARGUMENT ||
        err.detail != detail || strstr(err.message, says) == NULL) {
        fail_msg("%s: status %d detail %d: %s", text, err.status, err.detail, err.message);
    }
}

static void test_syntax(void **state)
{
    const int32_t syntax = OMEN_D_FILTER_SYNTAX;
    (void)state;
    refuses("", syntax, "byte 0: expected a field");
    refuses("   ", syntax, "byte 3: expected a field");
    refuses("year", OMEN_D_TYPE, "\"year\"");
    refuses("year =", syntax, "byte 6: expected a value");
    refuses("year = 5 5", syntax, "byte 9: expected AND, OR or the end, found 5");
    refuses("year == 5", syntax, "byte 6: expected a value");
    refuses("year <> 5", syntax, "byte 6: expected a value");
    refuses("year = null", syntax, "IS NULL");
    refuses("year is 5", syntax, "byte 8: expected NULL or NOT NULL, found 5");
    refuses("(year = 5", syntax, "byte 9: expected AND, OR or ')'");
    refuses("year = 5)", syntax, "byte 8: expected AND, OR or the end, found )");
    refuses("year in ()", syntax, "byte 9: expected a value");
    refuses("year in 5", syntax, "byte 8: expected '('");
    refuses("year in (5;6)", syntax, "byte 10");
    refuses("year in (5 6)", syntax, "byte 11: expected ',' or ')', found 6");
    refuses("year between 5", syntax, "byte 14: expected AND and the upper end");
    refuses("genre = 'drama", syntax, "byte 8: expected a closing quote");
    refuses("\"genre", syntax, "byte 0: expected a closing quote");
    refuses("hash = x'0'", syntax, "hexadecimal");
    refuses("hash = x'0g'", syntax, "hexadecimal");
    refuses("hash = x'00", syntax, "byte 7: expected a closing quote");
    refuses("year = 12abc", syntax, "byte 7: expected a number");
    refuses("year = 1.", syntax, "byte 7: expected a number");
    refuses("year = -", syntax, "byte 7: expected a number");
    refuses("year = .5", syntax, "byte 7: expected a number");
    refuses("rating < 1e999", syntax, "byte 9: expected a number of at most");
    refuses("year = -12345678901234567890123456789012345678901234567890e999", syntax, "at most");
    refuses("year = $1", syntax, "byte 7: expected a parameter that is bound, found $1, and 0 are");
    refuses("year = $0", syntax, "$1 to $1024");
    refuses("year = $1025", syntax, "$1 to $1024");
    refuses("year = $", syntax, "$1 to $1024");
    refuses("year ! 5", syntax, "byte 5");
    refuses("and", syntax, "byte 0: expected a field (in double quotes");
    refuses("year not 5", syntax, "byte 9: expected IN, BETWEEN, LIKE or CONTAINS");
    refuses("year like 5", OMEN_D_TYPE, "LIKE is for strings");
    refuses("genre like 'a%b'", syntax, "byte 11: expected a prefix");
    refuses("genre like 'a_'", syntax, "written \\_");
    refuses("DISTANCE(place, 1) < 5", syntax, "byte 17: expected ',' and a longitude");
    refuses("DISTANCE(place, 1, 2) = 5", syntax, "byte 22: expected one of < <= > >=");
    refuses("year = \xff", syntax, "byte 7: expected UTF-8");
    refuses("year # 5", syntax, "byte 5");
    refuses("NOT NOT public", syntax, "byte 4: expected a field");
}

static void test_types(void **state)
{
    (void)state;
    refuses("nothing = 5", OMEN_D_FIELD, "byte 0: no field is called \"nothing\"");
    refuses("public and \"no such\" is null", OMEN_D_FIELD,
            "byte 11: no field is called \"no such\"");
    refuses("Year = 5", OMEN_D_FIELD, "\"Year\"");
    refuses("year = 'abc'", OMEN_D_TYPE, "byte 7: field \"year\" is int64 and never 'abc'");
    refuses("year = true", OMEN_D_TYPE, "TRUE");
    refuses("rating = x'00'", OMEN_D_TYPE, "bytes");
    refuses("genre = 5", OMEN_D_TYPE,
            "field \"genre\" is string and cannot be compared with an int 5");
    refuses("genre in ('a', 1.5)", OMEN_D_TYPE, "byte 15");
    refuses("public = 1", OMEN_D_TYPE, "\"public\" is bool");
    refuses("genre", OMEN_D_TYPE, "only a bool stands alone");
    refuses("seen > 5", OMEN_D_TYPE, "\"seen\" is time");
    refuses("seen > '2026-01-01'", OMEN_D_TYPE, "2026-11-20T08:00:00Z");
    refuses("tags = 'a'", OMEN_D_TYPE, "an array is asked with CONTAINS");
    refuses("tags in ('a')", OMEN_D_TYPE, "an array is asked with CONTAINS");
    refuses("tags contains 5", OMEN_D_TYPE, "\"tags\"");
    refuses("body = 'some words'", OMEN_D_TYPE, "text search");
    refuses("body contains 'some'", OMEN_D_TYPE, "text search");
    refuses("body like 'some%'", OMEN_D_TYPE, "text search");
    refuses("place = 5", OMEN_D_TYPE, "DISTANCE");
    refuses("place", OMEN_D_TYPE, "DISTANCE");
    refuses("DISTANCE(year, 1, 2) < 5", OMEN_D_TYPE, "DISTANCE is for geo fields");
    refuses("DISTANCE(place, 91, 2) < 5", OMEN_D_TYPE, "byte 16: a latitude 91");
    refuses("DISTANCE(place, 1, -180.5) < 5", OMEN_D_TYPE, "a longitude -180.5");
    refuses("DISTANCE(place, 1, 2) < 'far'", OMEN_D_TYPE, "a distance is a number");
}

/* Text that is made of n times a part. */
static void limit(const char *before, const char *part, const char *after, uint32_t n,
                  uint32_t tail_n, const char *tail, omen_status_t wanted)
{
    const size_t room =
        strlen(before) + strlen(part) * n + strlen(after) + strlen(tail) * tail_n + 1;
    char *text = calloc(room, 1);
    om_predicate *predicate = NULL;
    omen_error err;
    size_t at = (size_t)snprintf(text, room, "%s", before);
    for (uint32_t i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, room - at, "%s", part);
    }
    at += (size_t)snprintf(text + at, room - at, "%s", after);
    for (uint32_t i = 0; i < tail_n; i++) {
        at += (size_t)snprintf(text + at, room - at, "%s", tail);
    }
    const omen_status_t status = compile(text, at, NULL, 0, &predicate, &err);
    if (status != wanted) {
        fail_msg("%u times %s: %d %s", n, part, status, err.message);
    }
    if (status == OMEN_OK) {
        assert_true(om_predicate_row(predicate, row));
        om_predicate_free(predicate);
    } else {
        assert_int_equal(err.detail, OMEN_D_LIMIT);
    }
    free(text);
}

static void test_limits(void **state)
{
    (void)state;
    limit("", "(", "public", 64, 64, ")", OMEN_OK);
    limit("", "(", "public", 65, 65, ")", OMEN_INVALID_ARGUMENT);
    limit("", "NOT (", "public", 32, 32, ")", OMEN_OK);
    limit("", "NOT (", "public", 33, 33, ")", OMEN_INVALID_ARGUMENT);
    limit("", "((((public))))", "", 1, 1023, " AND ((public))", OMEN_OK); /* depth is not a sum */
    limit("public", " AND public", "", 1023, 0, "", OMEN_OK);
    limit("public", " AND public", "", 1024, 0, "", OMEN_INVALID_ARGUMENT);
    limit("year IN (1999", ", 5", ")", 1023, 0, "", OMEN_OK);
    limit("year IN (1999", ", 5", ")", 1024, 0, "", OMEN_INVALID_ARGUMENT);
    limit("year IN (1999", ", 5", ") AND public", 1023, 0, "", OMEN_INVALID_ARGUMENT);
    limit("rating < 1", "0", "", 300, 0, "", OMEN_OK);
    limit("public", " ", "", OMEN_MAX_FILTER - 6, 0, "", OMEN_OK);
    limit("public", " ", "", OMEN_MAX_FILTER - 5, 0, "", OMEN_INVALID_ARGUMENT);
}

/* A condition with one parameter, and what is said about it. */
static void param(const char *text, omen_param value, bool wanted)
{
    om_predicate *predicate;
    omen_error err;
    if (compile(text, strlen(text), &value, 1, &predicate, &err) != OMEN_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    if (om_predicate_row(predicate, row) != wanted) {
        fail_msg("%s is %s", text, wanted ? "false" : "true");
    }
    om_predicate_free(predicate);
}

static void refuses_param(const char *text, omen_param value, int32_t detail, const char *says)
{
    om_predicate *predicate;
    omen_error err;
    if (compile(text, strlen(text), &value, 1, &predicate, &err) != OMEN_INVALID_ARGUMENT ||
        err.detail != detail || strstr(err.message, says) == NULL) {
        fail_msg("%s: status %d detail %d: %s", text, err.status, err.detail, err.message);
    }
}

static void test_params(void **state)
{
    static int64_t many[OMEN_MAX_ARRAY + 1];
    const int64_t years[] = {5, 1999};
    const int64_t time = INT64_C(1767225600000000);
    const double half[] = {4.5, 0.5}, bad[] = {NAN};
    const uint8_t truth[] = {1};
    const uint64_t ends[] = {0, 5, 6}, falling[] = {0, 5, 4}, one[] = {0, 1}, iso[] = {0, 20};
    (void)state;
    for (uint32_t i = 0; i <= OMEN_MAX_ARRAY; i++) {
        many[i] = 1999 - (int64_t)(i * UINT64_C(2654435761) % OMEN_MAX_ARRAY);
    }
    param("year = $1", (omen_param){OMEN_TYPE_INT64, 1, &years[1], NULL}, true);
    param("rating < $1", (omen_param){OMEN_TYPE_INT64, 1, years, NULL}, true);
    param("year IN $1", (omen_param){OMEN_TYPE_INT64, 2, years, NULL}, true);
    param("year NOT IN $1", (omen_param){OMEN_TYPE_INT64, 2, years, NULL}, false);
    param("year IN (3, $1)", (omen_param){OMEN_TYPE_INT64, 1, years, NULL}, false);
    param("year IN $1", (omen_param){OMEN_TYPE_INT64, 0, NULL, NULL}, false);
    param("NOT year IN $1", (omen_param){OMEN_TYPE_INT64, 0, NULL, NULL}, true);
    param("NOT absent IN $1", (omen_param){OMEN_TYPE_INT64, 0, NULL, NULL}, false);
    param("tags CONTAINS ALL $1", (omen_param){OMEN_TYPE_STRING, 0, NULL, NULL}, true);
    param("year IN $1", (omen_param){OMEN_TYPE_INT64, OMEN_MAX_ARRAY, many, NULL}, true);
    param("rating IN $1", (omen_param){OMEN_TYPE_DOUBLE, 2, half, NULL}, true);
    param("public = $1", (omen_param){OMEN_TYPE_BOOL, 1, truth, NULL}, true);
    param("seen = $1", (omen_param){OMEN_TYPE_TIME, 1, &time, NULL}, true);
    param("seen = $1", (omen_param){OMEN_TYPE_STRING, 1, "2026-01-01T00:00:00Z", iso}, true);
    param("genre IN $1", (omen_param){OMEN_TYPE_STRING, 2, "dramax", ends}, true);
    param("hash IN $1", (omen_param){OMEN_TYPE_BYTES, 2, "dramax", ends}, false);
    param("genre LIKE $1", (omen_param){OMEN_TYPE_STRING, 1, "%", one}, true);
    refuses_param("year IN $1", (omen_param){OMEN_TYPE_INT64, OMEN_MAX_ARRAY + 1, many, NULL},
                  OMEN_D_LIMIT, "65536 are the most");
    refuses_param("year = $1", (omen_param){OMEN_TYPE_INT64, 2, years, NULL}, OMEN_D_TYPE,
                  "$1 has 2 values where one is wanted");
    refuses_param("year = $1", (omen_param){OMEN_TYPE_STRING, 1, "5", one}, OMEN_D_TYPE,
                  "\"year\" is int64 and never '5'");
    refuses_param("seen = $1", (omen_param){OMEN_TYPE_INT64, 1, years, NULL}, OMEN_D_TYPE, "time");
    refuses_param("rating = $1", (omen_param){OMEN_TYPE_DOUBLE, 1, bad, NULL}, OMEN_D_TYPE,
                  "finite");
    refuses_param("genre = $1", (omen_param){OMEN_TYPE_STRING, 1, "\xff", one}, OMEN_D_TYPE,
                  "UTF-8");
    refuses_param("genre IN $1", (omen_param){OMEN_TYPE_STRING, 2, "dramax", falling}, OMEN_D_TYPE,
                  "fall");
    refuses_param("genre = $1", (omen_param){OMEN_TYPE_STRING, 1, "a", NULL}, OMEN_D_TYPE,
                  "offsets");
    refuses_param("year = $1", (omen_param){OMEN_TYPE_INT64, 1, NULL, NULL}, OMEN_D_TYPE,
                  "no data");
    refuses_param("year = $1", (omen_param){OMEN_TYPE_GEO, 1, years, NULL}, OMEN_D_TYPE, "none of");
    refuses_param("genre LIKE $1", (omen_param){OMEN_TYPE_INT64, 1, years, NULL}, OMEN_D_TYPE,
                  "cannot be compared with an int 5");
    refuses_param("year = $2", (omen_param){OMEN_TYPE_INT64, 1, years, NULL}, OMEN_D_FILTER_SYNTAX,
                  "found $2, and 1 are");
}

/* What the predicate of a text that is n times a part takes; the part may have a number in it. */
static void *counting_get(void *ctx, size_t size, size_t align)
{
    *(size_t *)ctx += size;
    return aligned_alloc(align < 16 ? 16 : align, om_round_up(size, align < 16 ? 16 : align));
}

static void counting_put(void *ctx, void *memory, size_t size, size_t align)
{
    (void)align;
    *(size_t *)ctx -= memory != NULL ? size : 0;
    free(memory);
}

static omen_status_t repeated(const char *part, uint32_t n, const omen_param *value, size_t *bytes,
                              omen_error *err)
{
    const size_t room = (strlen(part) + 32) * n;
    char *text = calloc(room, 1);
    size_t at = 0;
    assert_non_null(text);
    for (uint32_t i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, room - at, "%s(%s AND x < %u)", i != 0 ? " OR " : "",
                               part, 11 + i);
    }
    *bytes = 0;
    const om_alloc alloc = {{counting_get, counting_put, bytes}, NULL};
    const om_predicate_text source = {text, at, value, 1};
    om_predicate *predicate = NULL;
    const omen_status_t status = om_predicate_compile(&alloc, schema, &source, &predicate, err);
    if (status == OMEN_OK) {
        assert_true(om_predicate_row(predicate, row));
        assert_int_equal(om_predicate_bytes(predicate), *bytes);
        om_predicate_free(predicate);
    } else {
        assert_int_equal(*bytes, 0);
    }
    free(text);
    return status;
}

/* A bound array is kept once, however often it is used; the whole has a limit. */
static void test_param_uses(void **state)
{
    enum { WORDS = 4096, USES = 200 };
    static int64_t many[OMEN_MAX_ARRAY];
    static char words[WORDS * 8];
    static uint64_t ends[WORDS + 1];
    const uint64_t one[] = {0, 8}, iso[] = {0, 20};
    const char *const parts[] = {"genre IN $1", "tags NOT CONTAINS ANY $1", "hash IN $1"};
    omen_error err;
    size_t once, often;
    (void)state;
    for (uint32_t i = 0; i < OMEN_MAX_ARRAY; i++) {
        many[i] = 1999 - (int64_t)i;
    }
    for (uint32_t i = 0; i < WORDS; i++) {
        ends[i + 1] = ends[i] + (uint32_t)snprintf(words + ends[i], 8, i == 7 ? "drama" : "q%u", i);
    }
    const omen_param texts = {OMEN_TYPE_STRING, WORDS, words, ends};
    const omen_param ints = {OMEN_TYPE_INT64, OMEN_MAX_ARRAY, many, NULL};
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(repeated(parts[i], 1, &texts, &once, &err), OMEN_OK);
        assert_int_equal(repeated(parts[i], USES, &texts, &often, &err), OMEN_OK);
        assert_true(often < once + USES * 2048);
    }
    assert_int_equal(repeated(parts[2], 1, &texts, &once, &err), OMEN_INVALID_ARGUMENT);
    assert_int_equal(repeated("year IN $1", 16, &ints, &once, &err), OMEN_OK);
    assert_int_equal(repeated("year IN $1", 17, &ints, &once, &err), OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    assert_non_null(strstr(err.message, "more than 1048576 values"));
    /* Of the same test one is left. */
    param("year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR "
          "year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR "
          "year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR year IN $1 OR year IN $1",
          ints, true);
    param("year IN $1 AND year IN $1 AND NOT absent IN $1", ints, false);
    param("year IN $1 AND NOT year IN $1", ints, false);
    param("x IN $1 OR NOT x IN $1", ints, true);
    param("rating IN $1 OR year IN $1", ints, true);
    /* One value as what the fields are. */
    const omen_param time = {OMEN_TYPE_STRING, 1, "2026-01-01T00:00:00Z", iso};
    param("genre NOT IN $1 AND seen IN $1 AND seen = $1 AND NOT genre LIKE $1", time, true);
    param("NOT genre LIKE $1 AND NOT genre LIKE $1 AND genre != $1",
          (omen_param){OMEN_TYPE_STRING, 1, "dra\\_ma%", one}, true);
}

static void test_param_count(void **state)
{
    const char *text = "public";
    const om_predicate_text source = {text, strlen(text), NULL, OMEN_MAX_PARAMS + 1};
    om_predicate *predicate = NULL;
    omen_error err;
    (void)state;
    assert_int_equal(om_predicate_compile(&test_alloc, schema, &source, &predicate, &err),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
}

/* Every allocation fails once: nothing leaks, nothing is half made. */
typedef struct failing {
    uint32_t left, live;
} failing;

static void *failing_get(void *ctx, size_t size, size_t align)
{
    failing *state = ctx;
    if (state->left == 0) {
        return NULL;
    }
    state->left--;
    state->live++;
    return aligned_alloc(align < 16 ? 16 : align, om_round_up(size, align < 16 ? 16 : align));
}

static void failing_put(void *ctx, void *memory, size_t size, size_t align)
{
    failing *state = ctx;
    (void)size;
    (void)align;
    state->live--;
    free(memory);
}

static void test_no_memory(void **state)
{
    /* Enough conditions for several chunks of memory at every stage. */
    char text[8192];
    size_t at = (size_t)snprintf(text, sizeof text,
                                 "(year IN (1, 2, 1999) OR tags CONTAINS ALL ('a', 'b')) AND "
                                 "NOT genre LIKE 'x%%' AND \"a \"\"b\"\".c\" = 6");
    for (uint32_t i = 0; i < 60; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at,
                               " AND (year != %u OR genre IN ('%u', '%u%060u'))", i, i, i, i);
    }
    (void)snprintf(text + at, sizeof text - at, " AND genre IN $1 AND NOT genre LIKE $2");
    const uint64_t ends[] = {0, 5, 6}, end[] = {0, 2};
    const omen_param params[] = {{OMEN_TYPE_STRING, 2, "dramax", ends},
                                 {OMEN_TYPE_STRING, 1, "x%", end}};
    (void)state;
    for (uint32_t n = 0;; n++) {
        failing memory = {n, 0};
        const om_alloc alloc = {{failing_get, failing_put, &memory}, NULL};
        const om_predicate_text source = {text, strlen(text), params, 2};
        om_predicate *predicate = NULL;
        omen_error err;
        const omen_status_t status =
            om_predicate_compile(&alloc, schema, &source, &predicate, &err);
        if (status == OMEN_OK) {
            assert_true(n >= 3);
            assert_true(om_predicate_row(predicate, row));
            om_predicate_free(predicate);
            assert_int_equal(memory.live, 0);
            return;
        }
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
        assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
        assert_int_equal(memory.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),     cmocka_unit_test(test_tests),
        cmocka_unit_test(test_names),     cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_types),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_params),    cmocka_unit_test(test_param_count),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_param_uses)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
