/* fuzz_filter.c - any text as a condition: it is refused, or a block and its rows agree on it, and no row
 * passes both it and its NOT. The first byte says how many parameters there are, of fixed values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta_filter_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 130 };

static om_schema *schema;
static uint8_t *rows[ROWS];
static test_block block;

static void make_rows(void)
{
    static const char *const words[] = {"", "a", "ab", "drama", "it's"};
    static const char *const tags[] = {"a", "b", "drama"};
    static const uint32_t lengths[] = {1, 1, 5};
    schema = schema_new();
    const om_field *fields[] = {schema_field(schema, "i", OMEN_TYPE_INT64),
                                schema_field(schema, "d", OMEN_TYPE_DOUBLE),
                                schema_field(schema, "s", OMEN_TYPE_STRING),
                                schema_field(schema, "b", OMEN_TYPE_BOOL),
                                schema_field(schema, "t", OMEN_TYPE_TIME),
                                schema_field(schema, "x", OMEN_TYPE_BYTES),
                                schema_field(schema, "g", OMEN_TYPE_GEO),
                                schema_field(schema, "w", OMEN_TYPE_TEXT),
                                schema_field(schema, "a", OMEN_TYPE_STRING | OMEN_TYPE_ARRAY),
                                schema_field(schema, "n", OMEN_TYPE_INT64)};
    for (uint32_t r = 0; r < ROWS; r++) {
        row_maker maker;
        const char *word = words[r % 5];
        row_begin(&maker);
        row_int(&maker, fields[0], (int64_t)r - 20);
        if (r % 3 != 0) {
            row_double(&maker, fields[1], r / 4.0);
        }
        row_value(&maker, fields[2], word, strlen(word));
        row_int(&maker, fields[3], r % 2);
        row_int(&maker, fields[4], INT64_C(1767225600000000) + r);
        row_value(&maker, fields[5], word, strlen(word));
        row_geo(&maker, fields[6], r - 60.0, 2.0 * r - 130);
        row_value(&maker, fields[7], word, strlen(word));
        row_strings(&maker, fields[8], tags, lengths, r % 4);
        if (r % 40 == 0) {
            row_int(&maker, fields[9], r);
        }
        rows[r] = row_end(&maker);
    }
    block = block_of(schema, rows, ROWS);
}

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static om_predicate *compile(const char *text, size_t length, uint64_t params)
{
    static const int64_t ints[] = {1, 5, 7};
    static const double doubles[] = {0.25, 2.5};
    static const uint64_t ends[] = {0, 1, 3};
    static const omen_param values[] = {
        {OMEN_TYPE_INT64, 1, ints, NULL},     {OMEN_TYPE_INT64, 3, ints, NULL},
        {OMEN_TYPE_DOUBLE, 2, doubles, NULL}, {OMEN_TYPE_STRING, 2, "aab", ends},
        {OMEN_TYPE_STRING, 0, NULL, NULL},    {OMEN_TYPE_BYTES, 1, "ab", ends}};
    const om_predicate_text source = {text, length, values, params % 7};
    om_predicate *predicate = NULL;
    omen_error err;
    const omen_status_t status =
        om_predicate_compile(&test_alloc, schema, &source, &predicate, &err);
    if (status != OMEN_OK) {
        need(status == OMEN_INVALID_ARGUMENT && predicate == NULL, "the status of a bad condition");
        need(err.detail == OMEN_D_FILTER_SYNTAX || err.detail == OMEN_D_FIELD ||
                 err.detail == OMEN_D_TYPE || err.detail == OMEN_D_LIMIT,
             "its detail");
        need(strncmp(err.message, "filter", 6) == 0, "its message");
    }
    return predicate;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t words[OM_BLOCK_WORDS], denied[OM_BLOCK_WORDS];
    if (schema == NULL) {
        make_rows();
    }
    if (size == 0) {
        return 0;
    }
    om_predicate *predicate = compile((const char *)data + 1, size - 1, data[0]);
    if (predicate == NULL) {
        return 0;
    }
    need(filter_rows(predicate, &block, rows, words) != UINT32_MAX, "block and rows agree");
    om_predicate_free(predicate);
    char *text = malloc(size + 8);
    need(text != NULL, "memory");
    const int length = snprintf(text, size + 8, "NOT (%.*s)", (int)(size - 1), data + 1);
    predicate =
        memchr(data + 1, 0, size - 1) == NULL ? compile(text, (size_t)length, data[0]) : NULL;
    if (predicate != NULL) { /* not when that is too deep or too long */
        need(filter_rows(predicate, &block, rows, denied) != UINT32_MAX,
             "NOT: block and rows agree");
        for (uint32_t w = 0; w < OM_BLOCK_WORDS; w++) {
            need((words[w] & denied[w]) == 0, "a row passes a condition and its NOT");
        }
        om_predicate_free(predicate);
    }
    free(text);
    return 0;
}
