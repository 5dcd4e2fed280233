/* meta_fixture.c - what the tests of core/meta share. SPDX-License-Identifier: Apache-2.0 */
#include "meta_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metatime.h"
#include "rng.h"

static void *memory_alloc(void *ctx, size_t size, size_t align)
{
    meta_memory *memory = ctx;
    if (memory->fail_at != 0 && ++memory->calls == memory->fail_at) {
        return NULL;
    }
    return aligned_alloc(align < sizeof(void *) ? sizeof(void *) : align,
                         om_round_up(size, align < sizeof(void *) ? sizeof(void *) : align));
}

static void memory_free(void *ctx, void *block, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(block);
}

void meta_memory_init(meta_memory *memory)
{
    memset(memory, 0, sizeof *memory);
    memory->alloc =
        (om_alloc){.fns = {memory_alloc, memory_free, memory}, .budget = &memory->budget};
}

void meta_memory_end(const meta_memory *memory)
{
    assert_int_equal(memory->budget.used, 0);
}

om_schema *meta_schema(const om_alloc *alloc, const omen_field *fields, size_t count)
{
    om_schema *schema = NULL;
    assert_int_equal(om_schema_create(alloc, &schema, NULL), OMEN_OK);
    for (size_t i = 0; i < count; i++) {
        om_field field;
        assert_int_equal(om_field_check(&fields[i], &field, NULL), OMEN_OK);
        assert_int_equal(om_schema_add(schema, &field, NULL), OMEN_OK);
        assert_int_equal(field.id, i);
    }
    return schema;
}

void meta_batch_make(meta_batch *batch, const char *const *items, uint64_t count)
{
    size_t size = 0;
    for (uint64_t i = 0; i < count; i++) {
        size += strlen(items[i]);
    }
    batch->count = count;
    batch->bytes = malloc(size != 0 ? size : 1);
    batch->offsets = malloc((count + 1) * sizeof batch->offsets[0]);
    assert_true(batch->bytes != NULL && batch->offsets != NULL);
    batch->offsets[0] = 0;
    for (uint64_t i = 0; i < count; i++) {
        size_t length = strlen(items[i]);
        memcpy(batch->bytes + batch->offsets[i], items[i], length);
        batch->offsets[i + 1] = batch->offsets[i] + (int64_t)length;
    }
    batch->column =
        (omen_column){.data = batch->bytes, .offsets = batch->offsets, .offset_bits = 64};
}

void meta_batch_free(meta_batch *batch)
{
    free(batch->bytes);
    free(batch->offsets);
}

omen_status_t meta_parse(const om_alloc *alloc, const om_schema *schema, const meta_batch *batch,
                         om_meta_rows *rows, omen_error *err)
{
    om_meta_input input = {.schema = schema, .column = &batch->column, .count = batch->count};
    return om_meta_parse(alloc, &input, rows, err);
}

void meta_take(om_schema *schema, const char *item, om_meta_rows *rows)
{
    static const om_alloc libc_alloc;
    meta_batch batch;
    omen_error err = {.message = ""};
    uint32_t first;
    meta_batch_make(&batch, &item, 1);
    omen_status_t status = meta_parse(&libc_alloc, schema, &batch, rows, &err);
    if (status != OMEN_OK) {
        fail_msg("%s: %s", item, err.message);
    }
    meta_batch_free(&batch);
    assert_int_equal(om_meta_bind(schema, rows, &first, &err), OMEN_OK);
    assert_int_equal(om_meta_check(schema, rows->bytes, rows->offsets[1], &err), OMEN_OK);
}

om_bytes meta_print(const om_alloc *alloc, const om_schema *schema, const uint8_t *row)
{
    om_bytes out = {.alloc = alloc};
    assert_int_equal(om_meta_json(schema, row, NULL, 0, &out, NULL), OMEN_OK);
    assert_int_equal(om_bytes_room(&out, 1, NULL), OMEN_OK);
    out.data[out.size] = '\0';
    return out;
}

const omen_field meta_all[META_ALL] = {
    {.name = "string", .type = OMEN_TYPE_STRING},
    {.name = "int64", .type = OMEN_TYPE_INT64},
    {.name = "double", .type = OMEN_TYPE_DOUBLE},
    {.name = "bool", .type = OMEN_TYPE_BOOL},
    {.name = "time", .type = OMEN_TYPE_TIME},
    {.name = "bytes", .type = OMEN_TYPE_BYTES},
    {.name = "geo", .type = OMEN_TYPE_GEO},
    {.name = "text", .type = OMEN_TYPE_TEXT},
    {.name = "string[]", .type = OMEN_TYPE_STRING | OMEN_TYPE_ARRAY},
    {.name = "int64[]", .type = OMEN_TYPE_INT64 | OMEN_TYPE_ARRAY},
    {.name = "double[]", .type = OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY},
    {.name = "bool[]", .type = OMEN_TYPE_BOOL | OMEN_TYPE_ARRAY},
    {.name = "time[]", .type = OMEN_TYPE_TIME | OMEN_TYPE_ARRAY},
    {.name = "bytes[]", .type = OMEN_TYPE_BYTES | OMEN_TYPE_ARRAY},
};

/* Words that share beginnings of 7, 8, 9 and 16 bytes, ends with zeros, and characters of every length. */
static json_t *random_string(uint64_t *seed, bool few)
{
    static const char *const parts[] = {"",
                                        "a",
                                        "https://",
                                        "1234567",
                                        "https://a.b/c/d/",
                                        "\xC3\xA9",
                                        "\xE2\x82\xAC",
                                        "\xF0\x9F\x98\x80",
                                        "\"\\/\b\f\n\r\t",
                                        "\x01\x1F\x7F"};
    char text[256];
    size_t length = 0;
    uint32_t count = few ? 1 : 1 + om_rng_below(seed, 4);
    for (uint32_t i = 0; i < count; i++) {
        const char *part = parts[om_rng_below(seed, few ? 4 : 10)];
        memcpy(text + length, part, strlen(part));
        length += strlen(part);
        if (!few && om_rng_below(seed, 3) == 0) {
            length += (size_t)snprintf(text + length, 16, "%u", om_rng_below(seed, 100000));
        }
        if (!few && om_rng_below(seed, 8) == 0) {
            text[length++] = '\0';
        }
    }
    return json_stringn(text, length);
}

static int64_t random_whole(uint64_t *seed, bool few)
{
    if (few) {
        return (int64_t)om_rng_below(seed, 5) - 2;
    }
    uint64_t bits = om_rng_next(seed);
    return (int64_t)(bits >> om_rng_below(seed, 64)) * (om_rng_below(seed, 2) == 0 ? 1 : -1);
}

static double random_number(uint64_t *seed, bool few)
{
    if (few) {
        static const double values[] = {-1.5, -0.0, 0.0, 0.5, 1e300};
        return values[om_rng_below(seed, 5)];
    }
    for (;;) {
        uint64_t bits = om_rng_next(seed);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (om_rng_below(seed, 2) == 0) {
            value = (double)(int64_t)(bits % 20000000) / 100 - 50000;
        }
        if (value - value == 0) { /* finite */
            return value;
        }
    }
}

static json_t *random_bytes(uint64_t *seed, bool few)
{
    uint8_t bytes[40];
    char text[64];
    uint32_t length = om_rng_below(seed, few ? 2 : sizeof bytes);
    for (uint32_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)om_rng_below(seed, few ? 3 : 256);
    }
    om_base64_print(bytes, length, text);
    return json_stringn(text, om_base64_size(length));
}

static json_t *random_time(uint64_t *seed, bool few)
{
    char text[OM_TIME_TEXT];
    uint64_t span = (uint64_t)OM_TIME_MAX - (uint64_t)OM_TIME_MIN + 1;
    int64_t time = few ? (int64_t)om_rng_below(seed, 4) * 1000000
                       : (int64_t)((uint64_t)OM_TIME_MIN + om_rng_next(seed) % span);
    return json_stringn(text, om_time_print(time, text));
}

static json_t *random_one(uint64_t *seed, uint32_t type, bool few)
{
    switch (type) {
    case OMEN_TYPE_INT64:
        return json_integer(random_whole(seed, few));
    case OMEN_TYPE_DOUBLE:
        return json_real(random_number(seed, few));
    case OMEN_TYPE_BOOL:
        return json_boolean(om_rng_below(seed, 2));
    case OMEN_TYPE_TIME:
        return random_time(seed, few);
    case OMEN_TYPE_BYTES:
        return random_bytes(seed, few);
    case OMEN_TYPE_GEO:
        return json_pack("{s:f, s:f}", "lat",
                         (double)om_rng_below(seed, few ? 3 : 18001) / 100 - 90, "lon",
                         (double)om_rng_below(seed, few ? 3 : 36001) / 100 - 180);
    default:
        return random_string(seed, few);
    }
}

json_t *meta_random_item(uint64_t *seed, uint32_t share, bool few)
{
    json_t *item = json_object();
    for (uint32_t i = 0; i < META_ALL; i++) {
        if (om_rng_below(seed, 16) >= share) {
            continue;
        }
        uint32_t base = meta_all[i].type & ~(uint32_t)OMEN_TYPE_ARRAY;
        json_t *value;
        if ((meta_all[i].type & OMEN_TYPE_ARRAY) == 0) {
            value = random_one(seed, base, few);
        } else {
            value = json_array();
            for (uint32_t n = om_rng_below(seed, 5); n > 0; n--) {
                assert_int_equal(json_array_append_new(value, random_one(seed, base, few)), 0);
            }
        }
        assert_int_equal(json_object_set_new(item, meta_all[i].name, value), 0);
    }
    return item;
}
