/* meta_filter_fixture.c - see meta_filter_fixture.h. SPDX-License-Identifier: Apache-2.0 */
#include "meta_filter_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const om_alloc test_alloc = {{NULL, NULL, NULL}, NULL};

static void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "filter tests: %s\n", what);
        abort();
    }
}

static void *room(size_t size)
{
    void *memory = calloc(1, size != 0 ? size : 1);
    need(memory != NULL, "no memory");
    return memory;
}

/* ---- Rows --------------------------------------------------------------------------------------- */
void row_begin(row_maker *maker)
{
    memset(maker, 0, sizeof *maker);
}

void row_value(row_maker *maker, const om_field *field, const void *payload, size_t size)
{
    const size_t padded = om_round_up(size, 8);
    need(maker->fields < 64, "too many fields");
    need(maker->fields == 0 || maker->entries[maker->fields - 1].field < field->id,
         "fields are not ascending");
    if (maker->payload + padded > maker->capacity) {
        maker->capacity = (maker->payload + padded) * 2;
        maker->payloads = realloc(maker->payloads, maker->capacity);
        need(maker->payloads != NULL, "no memory");
    }
    if (padded != 0) {
        memset(maker->payloads + maker->payload, 0, padded);
        memcpy(maker->payloads + maker->payload, payload, size);
    }
    maker->payload += padded;
    maker->entries[maker->fields].field = field->id;
    maker->entries[maker->fields].type = field->type;
    maker->entries[maker->fields].size = (uint32_t)size;
    maker->fields++;
}

void row_int(row_maker *maker, const om_field *field, int64_t value)
{
    row_value(maker, field, &value, sizeof value);
}

void row_double(row_maker *maker, const om_field *field, double value)
{
    row_value(maker, field, &value, sizeof value);
}

void row_geo(row_maker *maker, const om_field *field, double lat, double lon)
{
    const double place[2] = {lat, lon};
    row_value(maker, field, place, sizeof place);
}

void row_array(row_maker *maker, const om_field *field, const void *values, uint32_t count)
{
    row_value(maker, field, values, (size_t)count * 8);
}

void row_strings(row_maker *maker, const om_field *field, const char *const *values,
                 const uint32_t *lengths, uint32_t count)
{
    size_t size = 4 + 4 * ((size_t)count + 1);
    for (uint32_t i = 0; i < count; i++) {
        size += lengths[i];
    }
    uint8_t *payload = room(size);
    memcpy(payload, &count, 4);
    uint8_t *bytes = payload + 8 + (size_t)count * 4;
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(payload + 4 + (size_t)i * 4, &at, 4);
        memcpy(bytes + at, values[i], lengths[i]);
        at += lengths[i];
    }
    memcpy(payload + 4 + (size_t)count * 4, &at, 4);
    row_value(maker, field, payload, size);
    free(payload);
}

uint8_t *row_end(row_maker *maker)
{
    const size_t head = 8 + (size_t)maker->fields * 8;
    const uint32_t size = (uint32_t)(head + maker->payload);
    uint8_t *row = room(size);
    const uint16_t fields = (uint16_t)maker->fields;
    memcpy(row, &size, 4);
    memcpy(row + 4, &fields, 2);
    for (uint32_t i = 0; i < maker->fields; i++) {
        memcpy(row + 8 + (size_t)i * 8, &maker->entries[i].field, 2);
        memcpy(row + 10 + (size_t)i * 8, &maker->entries[i].type, 2);
        memcpy(row + 12 + (size_t)i * 8, &maker->entries[i].size, 4);
    }
    if (maker->payload != 0) {
        memcpy(row + head, maker->payloads, maker->payload);
    }
    free(maker->payloads);
    return row;
}

/* ---- Schemas and blocks ------------------------------------------------------------------------- */
om_schema *schema_new(void)
{
    om_schema *schema = NULL;
    need(om_schema_create(&test_alloc, &schema, NULL) == OMEN_OK, "no schema");
    return schema;
}

const om_field *schema_field(om_schema *schema, const char *name, uint32_t type)
{
    omen_field declared = {.type = type};
    om_field field;
    omen_error err;
    (void)snprintf(declared.name, sizeof declared.name, "%s", name);
    if (om_field_check(&declared, &field, &err) != OMEN_OK) {
        need(false, err.message);
    }
    field.id = (uint16_t)om_schema_count(schema);
    if (om_schema_add(schema, &field, &err) != OMEN_OK) {
        need(false, err.message);
    }
    return om_schema_find(schema, name, strlen(name));
}

test_block block_of(const om_schema *schema, uint8_t *const *rows, uint32_t count)
{
    test_block out = {0};
    om_metabuild *build = NULL;
    omen_error err;
    memset(&err, 0, sizeof err);
    omen_status_t status = om_metabuild_create(&test_alloc, schema, &build, &err);
    for (uint32_t i = 0; i < count && status == OMEN_OK; i++) {
        uint32_t size;
        memcpy(&size, rows[i], 4);
        status = om_meta_check(schema, rows[i], size, &err);
        if (status == OMEN_OK) {
            status = om_metabuild_add(build, rows[i], &err);
        }
    }
    if (status == OMEN_OK) {
        status = om_metabuild_finish(build, &out.bytes, &out.size, &err);
    }
    if (status == OMEN_OK) {
        status = om_metablock_open(&test_alloc, schema, out.bytes, out.size, &out.block, &err);
    }
    need(status == OMEN_OK, err.message);
    om_metabuild_free(build);
    need(om_metablock_rows(out.block) == count, "the block has other rows");
    return out;
}

void block_drop(test_block *block)
{
    om_metablock_free(block->block);
    om_alloc_put(&test_alloc, block->bytes, block->size, 64);
}

uint32_t filter_rows(const om_predicate *predicate, const test_block *block, uint8_t *const *rows,
                     uint64_t *words)
{
    const size_t size = om_round_up(om_predicate_scratch(predicate), 64);
    const uint32_t count = om_metablock_rows(block->block);
    /* Just as large as asked for, and filled with garbage: nothing may depend on what was there. */
    uint8_t *scratch = aligned_alloc(64, size != 0 ? size : 64);
    need(scratch != NULL, "no memory");
    memset(scratch, 0xa5, size);
    memset(words, 0xa5, OM_BLOCK_WORDS * sizeof *words);
    const uint32_t passed = om_predicate_block(predicate, block->block, words, scratch);
    free(scratch);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < OM_BLOCK_ROWS; i++) {
        const bool bit = (words[i / 64] >> i % 64 & 1) != 0;
        seen += bit;
        if (i < count && bit != om_predicate_row(predicate, rows[i])) {
            fprintf(stderr, "filter tests: row %u passes %s\n", i,
                    bit ? "in the block, not alone" : "alone, not in the block");
            return UINT32_MAX;
        }
        need(i < count || !bit, "a bit behind the last row");
    }
    need(seen == passed, "the count is not that of the bits");
    const double guess = om_predicate_estimate(predicate, block->block);
    need(guess >= 0 && guess <= count + 1e-6 * count, "the guess is not within the rows");
    return passed;
}
