/* meta_block_test.c - blocks against their rows: what comes out, dictionaries and orders by brute
 * force, facets, every shape of column, damage. SPDX-License-Identifier: Apache-2.0 */
#include "meta_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metablock_int.h"
#include "metarow_int.h"
#include "rng.h"

static const om_alloc libc_alloc;

/* A block, and the rows that went into it. */
typedef struct om_sample {
    om_schema *schema;
    om_meta_rows rows;
    uint8_t *bytes;
    size_t size;
    om_metablock *block;
} om_sample;

static void build_sample(om_sample *sample)
{
    om_metabuild *build = NULL;
    assert_int_equal(om_metabuild_create(&libc_alloc, sample->schema, &build, NULL), OMEN_OK);
    for (uint64_t i = 0; i < sample->rows.count; i++) {
        const uint8_t *row = sample->rows.bytes + sample->rows.offsets[i];
        assert_int_equal(om_metabuild_add(build, row, NULL), OMEN_OK);
    }
    assert_int_equal(om_metabuild_finish(build, &sample->bytes, &sample->size, NULL), OMEN_OK);
    om_metabuild_free(build);
    assert_int_equal(sample->size % 64, 0);
    omen_error err = {.message = ""};
    omen_status_t status = om_metablock_open(&libc_alloc, sample->schema, sample->bytes,
                                             sample->size, &sample->block, &err);
    if (status != OMEN_OK) {
        fail_msg("%s", err.message);
    }
}

static void end_sample(om_sample *sample)
{
    om_metablock_free(sample->block);
    om_alloc_put(&libc_alloc, sample->bytes, sample->size, 64);
    om_meta_rows_free(&sample->rows);
    om_schema_free(sample->schema);
}

static void take_items(om_sample *sample, const char *const *items, uint64_t count)
{
    meta_batch batch;
    uint32_t first;
    omen_error err = {.message = ""};
    meta_batch_make(&batch, items, count);
    if (meta_parse(&libc_alloc, sample->schema, &batch, &sample->rows, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    meta_batch_free(&batch);
    assert_int_equal(om_meta_bind(sample->schema, &sample->rows, &first, NULL), OMEN_OK);
}

static void random_sample(om_sample *sample, uint64_t *seed, uint32_t count, uint32_t share,
                          bool few)
{
    char **items = malloc((count + 1) * sizeof items[0]);
    assert_non_null(items);
    for (uint32_t i = 0; i < count; i++) {
        json_t *item = meta_random_item(seed, share, few);
        items[i] = json_dumps(item, JSON_COMPACT);
        json_decref(item);
    }
    *sample = (om_sample){.schema = meta_schema(&libc_alloc, meta_all, META_ALL)};
    take_items(sample, (const char *const *)items, count);
    for (uint32_t i = 0; i < count; i++) {
        free(items[i]);
    }
    free(items);
    build_sample(sample);
}

static void same_rows(const om_sample *sample)
{
    om_bytes out = {.alloc = &libc_alloc};
    assert_int_equal(om_metablock_rows(sample->block), sample->rows.count);
    for (uint32_t i = 0; i < sample->rows.count; i++) {
        size_t start = om_round_up(out.size, 8);
        size_t size = (size_t)(sample->rows.offsets[i + 1] - sample->rows.offsets[i]);
        assert_int_equal(om_metablock_row(sample->block, i, &out, NULL), OMEN_OK);
        assert_int_equal(out.size - start, size);
        assert_memory_equal(out.data + start, sample->rows.bytes + sample->rows.offsets[i], size);
        for (uint16_t field = 0; field < META_ALL + 1; field++) {
            om_meta_value expected;
            om_meta_value found;
            bool there = om_meta_get(out.data + start, field, &expected);
            bool plain = there && (expected.type & OMEN_TYPE_ARRAY) == 0;
            assert_int_equal(om_metablock_get(sample->block, i, field, &found), plain);
            if (plain) {
                assert_int_equal(found.field, field);
                assert_int_equal(found.type, expected.type);
                assert_int_equal(found.size, expected.size);
                assert_memory_equal(found.payload, expected.payload, found.size);
            }
        }
        if (i % 7 == 0) {
            out.size = i % 14 == 0 ? 0 : 3; /* rows are aligned wherever they are put */
        }
    }
    om_bytes_free(&out);
}

/* The value that code `code` stands for. */
static om_meta_value code_value(const om_metacolumn *column, uint32_t code)
{
    uint16_t base = column->type & (uint16_t)~OMEN_TYPE_ARRAY;
    om_meta_value value = {.field = column->field, .type = base, .size = 8};
    uint64_t length;
    if (column->offsets != NULL) {
        value.payload = om_column_bytes(column, code, &length);
        value.size = (uint32_t)length;
    } else if (column->points != NULL) {
        value.payload = (const uint8_t *)&column->points[code];
        value.size = 16;
    } else {
        value.payload = column->doubles != NULL ? (const uint8_t *)&column->doubles[code]
                                                : (const uint8_t *)&column->ints[code];
    }
    return value;
}

static bool same_value(const om_meta_value *value, const uint8_t *payload, uint32_t size)
{
    return value->size == size && (size == 0 || memcmp(value->payload, payload, size) == 0);
}

/* Whether a row has this value, or this element. */
static bool row_has(const om_sample *sample, uint32_t row, const om_meta_value *value)
{
    om_meta_value there;
    if (!om_meta_get(sample->rows.bytes + sample->rows.offsets[row], value->field, &there)) {
        return false;
    }
    if ((there.type & OMEN_TYPE_ARRAY) == 0) {
        return same_value(value, there.payload, there.size);
    }
    for (uint32_t i = 0; i < om_meta_elements(&there); i++) {
        uint32_t size;
        const uint8_t *element = om_meta_element(&there, i, &size);
        if (same_value(value, element, size)) {
            return true;
        }
    }
    return false;
}

/* The dictionary ascends; under each code are exactly the rows that have it, ascending. */
static void same_column(const om_sample *sample, const om_metacolumn *column)
{
    uint32_t rows = om_metablock_rows(sample->block);
    uint32_t known = 0;
    for (uint32_t row = 0; row < rows; row++) {
        om_meta_value value;
        uint32_t entry;
        bool there =
            om_meta_get(sample->rows.bytes + sample->rows.offsets[row], column->field, &value);
        assert_int_equal(om_column_entry(column, row, &entry), there);
        assert_true(!there || entry < column->entries);
        known += there;
    }
    assert_int_equal(column->count, known);
    assert_int_equal(column->sparse, known * OM_SPARSE_SHARE < rows);
    if (column->starts == NULL) {
        assert_int_equal(column->type, OMEN_TYPE_TEXT);
        return;
    }
    uint64_t sum = 0;
    for (uint32_t code = 0; code < column->distinct; code++) {
        om_meta_value value = code_value(column, code);
        if (code > 0 && column->points == NULL) {
            om_meta_value before = code_value(column, code - 1);
            assert_true(om_meta_compare(&before, &value) < 0);
            assert_true(om_meta_compare(&value, &before) > 0);
        } else if (code > 0) {
            assert_true(column->cells[code - 1] <= column->cells[code]);
        }
        uint32_t at = column->starts[code];
        for (uint32_t row = 0; row < rows; row++) {
            if (row_has(sample, row, &value)) {
                assert_true(at < column->starts[code + 1]);
                assert_int_equal(column->order[at++], row);
            }
        }
        assert_int_equal(at, column->starts[code + 1]);
        assert_true(at > column->starts[code]);
        sum += at - column->starts[code];
    }
    assert_int_equal(sum, column->postings);
}

static void same_columns(const om_sample *sample)
{
    for (uint16_t field = 0; field < META_ALL; field++) {
        const om_metacolumn *column = om_metablock_column(sample->block, field);
        bool any = false;
        for (uint32_t row = 0; row < sample->rows.count; row++) {
            om_meta_value value;
            any = any || om_meta_get(sample->rows.bytes + sample->rows.offsets[row], field, &value);
        }
        assert_int_equal(column != NULL, any);
        if (column != NULL) {
            same_column(sample, column);
        }
    }
    assert_null(om_metablock_column(sample->block, META_ALL));
}

/* Few and many values, dense and sparse, around the borders of words and of sparseness. */
static void blocks_against_rows(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 15, 16, 17, 33, 63, 64, 65, 127, 128, 129, 300, 700};
    uint64_t seed = 41;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (uint32_t share = 0; share <= 16; share += share == 0 ? 1 : share) {
            om_sample sample;
            random_sample(&sample, &seed, counts[i], share, (i + share) % 2 == 0);
            same_rows(&sample);
            same_columns(&sample);
            end_sample(&sample);
        }
    }
}

typedef struct om_counted {
    om_meta_value values[2000];
    double zero;
    uint32_t rows[2000], count;
} om_counted;

static void count_value(void *ctx, const om_meta_value *value, uint32_t rows)
{
    om_counted *counted = ctx;
    assert_true(counted->count < 2000);
    counted->values[counted->count] = *value;
    counted->rows[counted->count++] = rows;
}

/* Facets by walking over all rows for each value that was told, and no value is forgotten. */
static void facets(void **state)
{
    (void)state;
    uint64_t seed = 43;
    om_counted *counted = malloc(sizeof *counted);
    assert_non_null(counted);
    for (int round = 0; round < 12; round++) {
        om_sample sample;
        uint64_t pass[8] = {0};
        random_sample(&sample, &seed, 300, round % 3 == 0 ? 1 : 12, round % 2 == 0);
        for (uint32_t i = 0; i < 300; i++) {
            pass[i / 64] |= (uint64_t)(om_rng_below(&seed, 3) == 0) << i % 64;
        }
        for (uint16_t field = 0; field < META_ALL; field++) {
            uint16_t base = om_schema_at(sample.schema, field)->type & (uint16_t)~OMEN_TYPE_ARRAY;
            if (base == OMEN_TYPE_TEXT || base == OMEN_TYPE_GEO || base == OMEN_TYPE_BYTES) {
                continue;
            }
            for (int all = 0; all < 2; all++) {
                counted->count = 0;
                om_metablock_facet(sample.block, field, all ? NULL : pass, count_value, counted);
                uint64_t told = 0;
                uint64_t zeros = 0;
                for (uint32_t v = 0; v < counted->count; v++) {
                    uint32_t rows = 0;
                    om_meta_value minus = counted->values[v];
                    double nothing = -0.0;
                    bool zero = base == OMEN_TYPE_DOUBLE && om_load64(minus.payload) == 0;
                    minus.payload = (const uint8_t *)&nothing;
                    assert_true(base != OMEN_TYPE_DOUBLE ||
                                om_load64(counted->values[v].payload) != om_load64(minus.payload));
                    for (uint32_t row = 0; row < 300; row++) {
                        bool has = row_has(&sample, row, &counted->values[v]) ||
                                   (zero && row_has(&sample, row, &minus));
                        rows += has && (all || (pass[row / 64] >> row % 64 & 1) != 0);
                    }
                    zeros += zero;
                    if (!zero ||
                        (om_schema_at(sample.schema, field)->type & OMEN_TYPE_ARRAY) == 0) {
                        assert_int_equal(rows, counted->rows[v]);
                    }
                    assert_true(counted->rows[v] > 0);
                    told += counted->rows[v];
                }
                assert_true(zeros <= 1);
                const om_metacolumn *column = om_metablock_column(sample.block, field);
                assert_true(!all || told == (column == NULL ? 0 : column->postings));
            }
        }
        end_sample(&sample);
    }
    free(counted);
}

static void sorted_rows(void **state)
{
    (void)state;
    uint64_t seed = 47;
    om_sample sample;
    random_sample(&sample, &seed, 500, 12, false);
    for (uint16_t field = 0; field < META_ALL + 1; field++) {
        const uint16_t *rows = NULL;
        uint32_t count = om_metablock_sorted(sample.block, field, &rows);
        uint16_t type = field < META_ALL ? om_schema_at(sample.schema, field)->type : 0;
        if (field == META_ALL || type == OMEN_TYPE_TEXT || (type & OMEN_TYPE_ARRAY) != 0) {
            assert_int_equal(count, 0);
            assert_null(rows);
            continue;
        }
        assert_int_equal(count, om_metablock_column(sample.block, field)->count);
        for (uint32_t i = 1; type != OMEN_TYPE_GEO && i < count; i++) {
            om_meta_value a;
            om_meta_value b;
            assert_true(om_metablock_get(sample.block, rows[i - 1], field, &a));
            assert_true(om_metablock_get(sample.block, rows[i], field, &b));
            int order = om_meta_compare(&a, &b);
            assert_true(order < 0 || (order == 0 && rows[i - 1] < rows[i]));
        }
    }
    end_sample(&sample);
}

/* As many different values as codes of one byte and of two hold, with and without nulls, in a whole
 * block. */
static void codes_of_every_width(void **state)
{
    (void)state;
    static const struct {
        uint32_t rows, values, nulls;
        uint8_t code_bytes;
    } shapes[] = {{256, 256, 0, 1},
                  {257, 256, 1, 2},
                  {257, 255, 1, 1},
                  {257, 257, 0, 2},
                  {OM_BLOCK_ROWS, 256, 0, 1},
                  {OM_BLOCK_ROWS, 256, 5, 2},
                  {OM_BLOCK_ROWS, OM_BLOCK_ROWS, 0, 2},
                  {OM_BLOCK_ROWS, OM_BLOCK_ROWS - 1, 1, 2},
                  {OM_BLOCK_ROWS - 1, OM_BLOCK_ROWS - 1, 0, 2}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        om_sample sample = {.schema = meta_schema(&libc_alloc, meta_all, 2)};
        uint32_t count = shapes[s].rows;
        char **items = malloc(count * sizeof items[0]);
        assert_non_null(items);
        for (uint32_t i = 0; i < count; i++) {
            char text[96];
            uint32_t value = (i * UINT32_C(40503)) % shapes[s].values; /* in no order */
            if (i >= count - shapes[s].nulls) {
                (void)snprintf(text, sizeof text, "{}");
            } else {
                (void)snprintf(text, sizeof text, "{\"int64\":%d,\"string\":\"https://a.b/%u\"}",
                               (int)value - 1000, value);
            }
            items[i] = strdup(text);
        }
        take_items(&sample, (const char *const *)items, count);
        build_sample(&sample);
        for (uint32_t i = 0; i < count; i++) {
            om_bytes out = {.alloc = &libc_alloc};
            assert_int_equal(om_metablock_row(sample.block, i, &out, NULL), OMEN_OK);
            assert_memory_equal(out.data, sample.rows.bytes + sample.rows.offsets[i], out.size);
            om_bytes_free(&out);
            free(items[i]);
        }
        free(items);
        for (uint16_t field = 0; field < 2; field++) {
            const om_metacolumn *column = om_metablock_column(sample.block, field);
            assert_int_equal(column->code_bytes, shapes[s].code_bytes);
            assert_int_equal(column->present == NULL, shapes[s].nulls == 0);
            assert_int_equal((uintptr_t)column->codes % 64, 0);
            assert_false(column->sparse);
        }
        end_sample(&sample);
    }
}

/* Arrays with more different elements than codes of two bytes have; a full block and one row too many. */
static void large_arrays(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, &meta_all[9], 1);
    om_metabuild *build = NULL;
    enum { ELEMENTS = 40000 };
    assert_int_equal(om_metabuild_create(&libc_alloc, schema, &build, NULL), OMEN_OK);
    size_t size = 16 + 8 * ELEMENTS;
    uint8_t *row = calloc(1, size);
    assert_non_null(row);
    om_sample sample = {.schema = schema};
    for (uint32_t i = 0; i < 3; i++) {
        om_row_writer writer = om_row_begin(row, 1);
        om_row_entry entry = {.type = OMEN_TYPE_ARRAY | OMEN_TYPE_INT64, .size = 8 * ELEMENTS};
        uint8_t *payload = om_row_room(&writer, entry);
        for (int64_t j = 0; j < ELEMENTS; j++) {
            int64_t value = (int64_t)i * 30000 + j; /* rows share some */
            memcpy(payload + 8 * j, &value, 8);
        }
        assert_int_equal(om_row_end(&writer), size);
        assert_int_equal(om_metabuild_add(build, row, NULL), OMEN_OK);
    }
    assert_int_equal(om_metabuild_finish(build, &sample.bytes, &sample.size, NULL), OMEN_OK);
    assert_int_equal(
        om_metablock_open(&libc_alloc, schema, sample.bytes, sample.size, &sample.block, NULL),
        OMEN_OK);
    const om_metacolumn *column = om_metablock_column(sample.block, 0);
    assert_int_equal(column->code_bytes, 4);
    assert_int_equal(column->distinct, 100000);
    om_bytes out = {.alloc = &libc_alloc};
    assert_int_equal(om_metablock_row(sample.block, 2, &out, NULL), OMEN_OK);
    assert_int_equal(out.size, size);
    assert_memory_equal(out.data, row, size);
    om_bytes_free(&out);
    free(row);
    static const uint8_t empty[8] = {8};
    for (uint32_t i = 0; i < OM_BLOCK_ROWS; i++) {
        assert_int_equal(om_metabuild_add(build, empty, NULL), OMEN_OK);
    }
    omen_error err;
    assert_int_equal(om_metabuild_add(build, empty, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    om_metabuild_free(build);
    om_metabuild_free(NULL);
    end_sample(&sample);
}

/* A builder is empty after its block: the next has nothing of it, and equal rows give equal bytes. */
static void built_again(void **state)
{
    (void)state;
    uint64_t seed = 53;
    om_sample sample;
    om_metabuild *build = NULL;
    random_sample(&sample, &seed, 200, 14, false);
    assert_int_equal(om_metabuild_create(&libc_alloc, sample.schema, &build, NULL), OMEN_OK);
    for (int round = 0; round < 3; round++) {
        uint8_t *bytes = NULL;
        size_t size = 0;
        for (uint32_t i = 0; round != 1 && i < 200; i++) {
            const uint8_t *row = sample.rows.bytes + sample.rows.offsets[i];
            assert_int_equal(om_metabuild_add(build, row, NULL), OMEN_OK);
        }
        assert_int_equal(om_metabuild_finish(build, &bytes, &size, NULL), OMEN_OK);
        if (round == 1) {
            assert_int_equal(size, 64);
        } else {
            assert_int_equal(size, sample.size);
            assert_memory_equal(bytes, sample.bytes, size);
        }
        om_alloc_put(&libc_alloc, bytes, size, 64);
    }
    om_metabuild_free(build);
    end_sample(&sample);
}

/* Reads all that can be read: nothing may go wrong in a block that was opened, and its rows make it
 * again, byte for byte. */
static void read_all(const om_schema *schema, const om_metablock *block, om_counted *counted)
{
    om_bytes out = {.alloc = &libc_alloc};
    om_bytes json = {.alloc = &libc_alloc};
    om_metabuild *build = NULL;
    bool whole = true;
    assert_int_equal(om_metabuild_create(&libc_alloc, schema, &build, NULL), OMEN_OK);
    for (uint32_t i = 0; i < om_metablock_rows(block); i++) {
        out.size = 0;
        json.size = 0;
        omen_status_t status = om_metablock_row(block, i, &out, NULL);
        if (status == OMEN_OK) {
            assert_int_equal(om_meta_check(schema, out.data, out.size, NULL), OMEN_OK);
            assert_int_equal(om_meta_json(schema, out.data, NULL, 0, &json, NULL), OMEN_OK);
            assert_int_equal(om_metabuild_add(build, out.data, NULL), OMEN_OK);
        } else {
            assert_int_equal(status, OMEN_DATA_LOSS); /* a text */
            whole = false;
        }
    }
    for (uint16_t field = 0; field < META_ALL; field++) {
        counted->count = 0;
        om_metablock_facet(block, field, NULL, count_value, counted);
    }
    if (whole) {
        uint8_t *bytes = NULL;
        size_t size = 0;
        assert_int_equal(om_metabuild_finish(build, &bytes, &size, NULL), OMEN_OK);
        assert_int_equal(size, block->size);
        assert_memory_equal(bytes, block->bytes, size);
        om_alloc_put(&libc_alloc, bytes, size, 64);
    }
    om_metabuild_free(build);
    om_bytes_free(&out);
    om_bytes_free(&json);
}

static void damaged_blocks(void **state)
{
    (void)state;
    uint64_t seed = 59;
    uint64_t taken = 0;
    uint64_t refused = 0;
    om_counted *counted = malloc(sizeof *counted);
    assert_non_null(counted);
    for (int round = 0; round < 6; round++) {
        om_sample sample;
        random_sample(&sample, &seed, round < 2 ? 40 : 70, round % 3 == 0 ? 2 : 15, round % 2 == 0);
        for (size_t cut = 0; cut < sample.size; cut += 64) {
            om_metablock *block = NULL;
            assert_int_equal(
                om_metablock_open(&libc_alloc, sample.schema, sample.bytes, cut, &block, NULL),
                OMEN_DATA_LOSS);
        }
        size_t step = sample.size > 8192 ? 3 : 1;
        for (size_t at = 0; at < sample.size; at += step) {
            om_metablock *block = NULL;
            uint8_t old = sample.bytes[at];
            sample.bytes[at] ^= (uint8_t)(1u << om_rng_below(&seed, 8));
            omen_status_t status = om_metablock_open(&libc_alloc, sample.schema, sample.bytes,
                                                     sample.size, &block, NULL);
            if (status == OMEN_OK) {
                read_all(sample.schema, block, counted);
                om_metablock_free(block);
                taken++;
            } else {
                assert_true(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED);
                refused++;
            }
            sample.bytes[at] = old;
        }
        end_sample(&sample);
    }
    assert_true(taken > 100 && refused > 10000); /* letters may change within their order */
    free(counted);
}

/* Opens a block after one column of it was changed by `forge`. */
static omen_status_t open_forged(void (*forge)(om_metacolumn *column))
{
    const char *items[] = {"{\"int64\":1,\"int64[]\":[1,2]}", "{\"int64\":2,\"int64[]\":[2]}"};
    om_sample sample = {.schema = meta_schema(&libc_alloc, meta_all, META_ALL)};
    om_metablock *block = NULL;
    take_items(&sample, items, 2);
    build_sample(&sample);
    forge(&sample.block->columns[0]);
    forge(&sample.block->columns[1]);
    omen_status_t status =
        om_metablock_open(&libc_alloc, sample.schema, sample.bytes, sample.size, &block, NULL);
    om_metablock_free(block);
    end_sample(&sample);
    return status;
}

static void leave_alone(om_metacolumn *column)
{
    (void)column;
}

/* Both rows have the first value: the second is of no row. */
static void unused_value(om_metacolumn *column)
{
    if (column->field == 1) {
        ((uint8_t *)(uintptr_t)column->codes)[1] = 0;
        ((uint32_t *)(uintptr_t)column->starts)[1] = 2;
    }
}

/* The second value has the rows of both, the first none. */
static void moved_start(om_metacolumn *column)
{
    if (column->field == 1) {
        ((uint32_t *)(uintptr_t)column->starts)[1] = 0;
    }
}

static void swapped_order(om_metacolumn *column)
{
    uint16_t *order = (uint16_t *)(uintptr_t)column->order;
    if (column->field == 1) {
        order[0] = 1;
        order[1] = 0;
    }
}

/* [1, 2] becomes [2, 2], and the row still stands under 1. */
static void repeated_element(om_metacolumn *column)
{
    if (column->field != 1) {
        ((uint8_t *)(uintptr_t)column->codes)[0] = 1;
    }
}

static void forged_blocks(void **state)
{
    (void)state;
    assert_int_equal(open_forged(leave_alone), OMEN_OK);
    assert_int_equal(open_forged(unused_value), OMEN_DATA_LOSS);
    assert_int_equal(open_forged(moved_start), OMEN_DATA_LOSS);
    assert_int_equal(open_forged(swapped_order), OMEN_DATA_LOSS);
    assert_int_equal(open_forged(repeated_element), OMEN_DATA_LOSS);
}

/* A schema that does not have the fields, or has others, refuses the block. */
static void other_schema(void **state)
{
    (void)state;
    uint64_t seed = 61;
    om_sample sample;
    om_metablock *block = NULL;
    random_sample(&sample, &seed, 10, 16, false);
    om_schema *fewer = meta_schema(&libc_alloc, meta_all, META_ALL - 1);
    om_schema *others = meta_schema(&libc_alloc, meta_all + 1, META_ALL - 1);
    assert_int_equal(om_metablock_open(&libc_alloc, fewer, sample.bytes, sample.size, &block, NULL),
                     OMEN_DATA_LOSS);
    assert_int_equal(
        om_metablock_open(&libc_alloc, others, sample.bytes, sample.size, &block, NULL),
        OMEN_DATA_LOSS);
    om_schema_free(fewer);
    om_schema_free(others);
    end_sample(&sample);
}

/* Whatever allocation fails: no leak; finishing can be tried again. */
static void without_memory(void **state)
{
    (void)state;
    uint64_t seed = 67;
    om_sample sample;
    random_sample(&sample, &seed, 60, 14, false);
    uint64_t failures = 0;
    for (uint64_t fail = 1;; fail++) {
        meta_memory memory;
        om_metabuild *build = NULL;
        om_metablock *block = NULL;
        uint8_t *bytes = NULL;
        size_t size = 0;
        meta_memory_init(&memory);
        memory.fail_at = fail;
        omen_status_t status = om_metabuild_create(&memory.alloc, sample.schema, &build, NULL);
        for (uint32_t i = 0; status == OMEN_OK && i < 60; i++) {
            status = om_metabuild_add(build, sample.rows.bytes + sample.rows.offsets[i], NULL);
        }
        if (status == OMEN_OK) {
            status = om_metabuild_finish(build, &bytes, &size, NULL);
            if (status != OMEN_OK) {
                failures++;
                assert_int_equal(om_metabuild_finish(build, &bytes, &size, NULL), OMEN_OK);
                assert_int_equal(size, sample.size);
                assert_memory_equal(bytes, sample.bytes, size);
            }
        }
        om_metabuild_free(build);
        if (status == OMEN_OK) {
            status = om_metablock_open(&memory.alloc, sample.schema, bytes, size, &block, NULL);
            om_metablock_free(block);
        }
        om_alloc_put(&memory.alloc, bytes, size, 64);
        meta_memory_end(&memory);
        if (status == OMEN_OK) {
            break;
        }
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
    }
    assert_true(failures > 3);
    end_sample(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_against_rows), cmocka_unit_test(facets),
        cmocka_unit_test(sorted_rows),         cmocka_unit_test(codes_of_every_width),
        cmocka_unit_test(large_arrays),        cmocka_unit_test(built_again),
        cmocka_unit_test(damaged_blocks),      cmocka_unit_test(other_schema),
        cmocka_unit_test(forged_blocks),       cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
