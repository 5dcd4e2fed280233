/* fuzz_meta_block.c - hostile bytes of a block, a row or a schema (first byte: 0, 1, 2): refused, or
 * all of it can be read. SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_meta.h"
#include "metablock_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void told(omen_status_t status)
{
    need(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED, "the status of bad bytes");
}

static void sum_rows(void *ctx, const om_meta_value *value, uint32_t rows)
{
    uint64_t *sum = ctx;
    need(rows > 0 && value->size <= OM_META_ROW_MAX, "a value of a facet");
    *sum += rows;
}

static void read_block(const om_schema *schema, const om_metablock *block)
{
    om_bytes row = {.alloc = &fuzz_heap};
    om_bytes json = {.alloc = &fuzz_heap};
    om_metabuild *build = NULL;
    bool whole = true;
    need(om_metabuild_create(&fuzz_heap, schema, &build, NULL) == OMEN_OK, "a builder");
    for (uint32_t i = 0; i < om_metablock_rows(block); i++) {
        row.size = 0;
        json.size = 0;
        omen_status_t status = om_metablock_row(block, i, &row, NULL);
        if (status == OMEN_OK) {
            need(om_meta_check(schema, row.data, row.size, NULL) == OMEN_OK, "a good row");
            need(om_meta_json(schema, row.data, NULL, 0, &json, NULL) == OMEN_OK, "JSON");
            need(om_metabuild_add(build, row.data, NULL) == OMEN_OK, "a row in a block");
        } else {
            told(status);
            whole = false;
        }
    }
    for (uint16_t field = 0; field < om_schema_count(schema); field++) {
        const uint16_t *rows;
        uint64_t sum = 0;
        om_metablock_facet(block, field, NULL, sum_rows, &sum);
        uint32_t count = om_metablock_sorted(block, field, &rows);
        for (uint32_t i = 0; i < count; i++) {
            om_meta_value value;
            need(om_metablock_get(block, rows[i], field, &value), "a value of a sorted row");
        }
    }
    if (whole) {
        uint8_t *again = NULL;
        size_t size = 0;
        need(om_metabuild_finish(build, &again, &size, NULL) == OMEN_OK, "a block");
        need(size == block->size && memcmp(again, block->bytes, size) == 0, "the same block");
        om_alloc_put(&fuzz_heap, again, size, 64);
    }
    om_metabuild_free(build);
    om_bytes_free(&row);
    om_bytes_free(&json);
}

static void try_block(om_schema *schema, const uint8_t *data, size_t size)
{
    om_metablock *block = NULL;
    size_t room = om_round_up(size + 1, 64);
    uint8_t *bytes = om_alloc_get(&fuzz_heap, room, 64);
    need(bytes != NULL, "memory");
    memcpy(bytes, data, size);
    omen_status_t status = om_metablock_open(&fuzz_heap, schema, bytes, size, &block, NULL);
    if (status == OMEN_OK) {
        read_block(schema, block);
        om_metablock_free(block);
    } else {
        told(status);
    }
    om_alloc_put(&fuzz_heap, bytes, room, 64);
}

static void try_row(om_schema *schema, const uint8_t *data, size_t size)
{
    om_bytes json = {.alloc = &fuzz_heap};
    if (om_meta_check(schema, data, size, NULL) == OMEN_OK) {
        need(om_meta_json(schema, data, NULL, 0, &json, NULL) == OMEN_OK, "JSON");
        need(om_meta_merge(data, data, NULL) == size, "a row laid over itself");
    }
    om_bytes_free(&json);
}

static void try_schema(const uint8_t *data, size_t size)
{
    om_schema *schema = NULL;
    need(om_schema_create(&fuzz_heap, &schema, NULL) == OMEN_OK, "a schema");
    omen_status_t status = om_schema_import(schema, data, size, NULL);
    if (status == OMEN_OK) {
        uint8_t *again = malloc(size);
        need(again != NULL && om_schema_export_size(schema, 0) == size, "the same size");
        om_schema_export(schema, 0, again);
        need(memcmp(again, data, size) == 0, "the same bytes");
        free(again);
    } else {
        told(status);
    }
    om_schema_free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    om_schema *schema = fuzz_schema();
    if (data[0] % 3 == 0) {
        try_block(schema, data + 1, size - 1);
    } else if (data[0] % 3 == 1) {
        try_row(schema, data + 1, size - 1);
    } else {
        try_schema(data + 1, size - 1);
    }
    om_schema_free(schema);
    return 0;
}
