/* meta_filter_fixture.h - schemas, meta rows made by hand and blocks of them, for the tests of filters.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef META_FILTER_FIXTURE_H
#define META_FILTER_FIXTURE_H
#include "filter.h"

/* A row under way: values are given in ascending order of fields. */
typedef struct row_maker {
    uint8_t *bytes;
    size_t capacity, payload;
    uint32_t fields;
    struct {
        uint16_t field, type;
        uint32_t size;
    } entries[64];
    uint8_t *payloads;
} row_maker;
void row_begin(row_maker *maker);
void row_value(row_maker *maker, const om_field *field, const void *payload, size_t size);
void row_int(row_maker *maker, const om_field *field, int64_t value); /* BOOL and TIME, too */
void row_double(row_maker *maker, const om_field *field, double value);
void row_geo(row_maker *maker, const om_field *field, double lat, double lon);
/* Arrays of 8-byte values, and of strings or bytes. */
void row_array(row_maker *maker, const om_field *field, const void *values, uint32_t count);
void row_strings(row_maker *maker, const om_field *field, const char *const *values,
                 const uint32_t *lengths, uint32_t count);
/* The row, which the caller frees. */
uint8_t *row_end(row_maker *maker);

/* Aborts when it cannot. */
const om_field *schema_field(om_schema *schema, const char *name, uint32_t type);
om_schema *schema_new(void);

typedef struct test_block {
    uint8_t *bytes;
    size_t size;
    om_metablock *block;
} test_block;
/* Builds and opens a block. */
test_block block_of(const om_schema *schema, uint8_t *const *rows, uint32_t count);
void block_drop(test_block *block);

/* The rows that pass, as bits for OM_BLOCK_WORDS words; checks that the block, each row and the count
 * agree. */
uint32_t filter_rows(const om_predicate *predicate, const test_block *block, uint8_t *const *rows,
                     uint64_t *words);
extern const om_alloc test_alloc;
#endif
