/* fuzz_meta_json.c - lines of JSON as one batch: whatever is taken jansson takes too, gives good rows,
 * prints as the same values and reads back as the same bytes. The first byte: bit 0 patches, bit 1
 * declared fields, bit 2 bad items are left out. SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "fuzz_meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_ITEMS = 64 };

static omen_status_t refuse(void *ctx, uint64_t item, omen_status_t status, omen_error *err)
{
    uint64_t *refused = ctx;
    need(status == OMEN_INVALID_ARGUMENT && err->item == item, "a refused item is named");
    need(err->message[0] != '\0', "and why");
    *refused |= UINT64_C(1) << item;
    return OMEN_OK;
}

/* Values that mean the same: an int may have become a double. */
static bool same(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_real(b)) {
        return (double)json_integer_value(a) == json_real_value(b);
    }
    if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        for (size_t i = 0; i < json_array_size(a); i++) {
            if (!same(json_array_get(a, i), json_array_get(b, i))) {
                return false;
            }
        }
        return true;
    }
    return json_equal(a, b);
}

/* Times may be written in another zone and positions as doubles: only what has no other form is
 * compared. */
static void compare(const json_t *item, json_t *printed, const om_schema *schema)
{
    const char *name;
    json_t *value;
    json_object_foreach(printed, name, value)
    {
        const om_field *field = om_schema_find(schema, name, strlen(name));
        need(field != NULL, "a field that was printed");
        uint16_t base = field->type & (uint16_t)~OMEN_TYPE_ARRAY;
        if (base != OMEN_TYPE_TIME && base != OMEN_TYPE_GEO) {
            need(same(json_object_get(item, name), value), "a value as it was given");
        }
    }
}

static void check_row(om_schema *schema, const uint8_t *row, size_t size, const uint8_t *text,
                      size_t length)
{
    om_bytes json = {.alloc = &fuzz_heap};
    json_error_t error;
    need(om_meta_check(schema, row, size, NULL) == OMEN_OK, "a row that can be checked");
    need(om_meta_json(schema, row, NULL, 0, &json, NULL) == OMEN_OK, "a row that can be printed");
    json_t *printed = json_loadb((const char *)json.data, json.size,
                                 JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    need(printed != NULL, "JSON");
    if (length != 0) {
        json_t *item =
            json_loadb((const char *)text, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
        need(item != NULL || strstr(error.text, "too big") != NULL, "JSON for jansson, too");
        if (item != NULL) {
            compare(item, printed, schema);
            json_decref(item);
        }
    }
    json_decref(printed);
    int64_t offsets[2] = {0, (int64_t)json.size};
    omen_column column = {.data = json.data, .offsets = offsets, .offset_bits = 64};
    om_meta_input input = {.schema = schema, .column = &column, .count = 1};
    om_meta_rows again;
    omen_status_t status = om_meta_parse(&fuzz_heap, &input, &again, NULL);
    /* What is printed is longer than what was read when it has many numbers. */
    need(status == OMEN_OK || json.size > OMEN_MAX_METADATA, "what was printed can be read");
    if (status == OMEN_OK) {
        need(again.offsets[1] == size && memcmp(again.bytes, row, size) == 0, "the same row");
        om_meta_rows_free(&again);
    }
    om_bytes_free(&json);
}

static void check_rows(om_schema *schema, const om_meta_rows *rows, const uint8_t *text,
                       const int64_t *offsets, uint64_t refused)
{
    om_metabuild *build = NULL;
    om_metablock *block = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    om_bytes out = {.alloc = &fuzz_heap};
    need(om_metabuild_create(&fuzz_heap, schema, &build, NULL) == OMEN_OK, "a builder");
    for (uint64_t i = 0; i < rows->count; i++) {
        const uint8_t *row = rows->bytes + rows->offsets[i];
        bool empty = (refused >> i & 1) != 0;
        check_row(schema, row, (size_t)(rows->offsets[i + 1] - rows->offsets[i]), text + offsets[i],
                  empty ? 0 : (size_t)(offsets[i + 1] - offsets[i]));
        need(om_metabuild_add(build, row, NULL) == OMEN_OK, "a row in a block");
    }
    need(om_metabuild_finish(build, &bytes, &size, NULL) == OMEN_OK, "a block");
    need(om_metablock_open(&fuzz_heap, schema, bytes, size, &block, NULL) == OMEN_OK,
         "a good block");
    for (uint64_t i = 0; i < rows->count; i++) {
        out.size = 0;
        need(om_metablock_row(block, (uint32_t)i, &out, NULL) == OMEN_OK, "a row of a block");
        need(out.size == rows->offsets[i + 1] - rows->offsets[i] &&
                 memcmp(out.data, rows->bytes + rows->offsets[i], out.size) == 0,
             "the row that went in");
    }
    om_bytes_free(&out);
    om_metablock_free(block);
    om_alloc_put(&fuzz_heap, bytes, size, 64);
    om_metabuild_free(build);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t flags = data[0];
    const uint8_t *text = data + 1;
    int64_t offsets[MOST_ITEMS + 1] = {0};
    uint64_t count = 0;
    for (size_t i = 1; i < size && count < MOST_ITEMS; i++) {
        if (data[i] == '\n' || i + 1 == size) {
            offsets[++count] = (int64_t)i;
        }
    }
    om_schema *schema = NULL;
    if ((flags & 2) != 0) {
        schema = fuzz_schema();
    } else {
        need(om_schema_create(&fuzz_heap, &schema, NULL) == OMEN_OK, "a schema");
    }
    uint64_t refused = 0;
    uint32_t first;
    om_meta_rows rows;
    omen_error err;
    omen_column column = {.data = text, .offsets = offsets, .offset_bits = 64};
    om_meta_input input = {.schema = schema,
                           .column = &column,
                           .count = count,
                           .patch = (flags & 1) != 0,
                           .refuse = (flags & 4) != 0 ? refuse : NULL,
                           .ctx = &refused};
    omen_status_t status = om_meta_parse(&fuzz_heap, &input, &rows, &err);
    if (status == OMEN_OK) {
        need(om_meta_bind(schema, &rows, &first, NULL) == OMEN_OK, "a batch that binds");
        if (!rows.patch) {
            check_rows(schema, &rows, text, offsets, refused);
        }
        om_meta_rows_free(&rows);
    } else {
        need(status == OMEN_INVALID_ARGUMENT && err.item < count, "a fault with its item");
    }
    om_schema_free(schema);
    return 0;
}
