/* meta_batch_test.c - what a batch adds: types over all its items, refused items, joining the schema,
 * patches, and rows out of the log. SPDX-License-Identifier: Apache-2.0 */
#include "meta_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metarow_int.h"
#include "rng.h"
#include "schema_int.h"

static const om_alloc libc_alloc;

/* The batch as it must come out: items as JSON, '|' between them, or the message of its fault. */
static char *outcome(om_schema *schema, const char *const *items, uint64_t count)
{
    meta_batch batch;
    om_meta_rows rows;
    omen_error err = {.message = ""};
    om_bytes out = {.alloc = &libc_alloc};
    uint32_t first;
    meta_batch_make(&batch, items, count);
    omen_status_t status = meta_parse(&libc_alloc, schema, &batch, &rows, &err);
    meta_batch_free(&batch);
    if (status != OMEN_OK) {
        return strdup(err.message);
    }
    assert_int_equal(om_meta_bind(schema, &rows, &first, NULL), OMEN_OK);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *row = rows.bytes + rows.offsets[i];
        size_t size = (size_t)(rows.offsets[i + 1] - rows.offsets[i]);
        assert_int_equal(om_meta_check(schema, row, size, NULL), OMEN_OK);
        assert_int_equal(om_meta_json(schema, row, NULL, 0, &out, NULL), OMEN_OK);
        assert_int_equal(om_bytes_put(&out, i + 1 < count ? "|" : "\0", 1, NULL), OMEN_OK);
    }
    char *text = strdup((const char *)out.data);
    om_bytes_free(&out);
    om_meta_rows_free(&rows);
    return text;
}

typedef struct om_case {
    const char *items[4];
    const char *result; /* of all, or a part of the message */
} om_case;

static const om_case cases[] = {
    {{"{\"a\":1}", "{\"a\":0.5}"}, "{\"a\": 1.0}|{\"a\": 0.5}"},
    {{"{\"a\":0.5}", "{\"a\":1}"}, "{\"a\": 0.5}|{\"a\": 1.0}"},
    {{"{\"a\":[1]}", "{\"a\":[]}", "{\"a\":[2,0.5]}"},
     "{\"a\": [1.0]}|{\"a\": []}|{\"a\": [2.0, 0.5]}"},
    {{"{\"a\":[]}", "{\"a\":[1]}"}, "{\"a\": []}|{\"a\": [1]}"},
    {{"{\"a\":[]}", "{\"a\":[\"x\"]}"}, "{\"a\": []}|{\"a\": [\"x\"]}"},
    {{"{\"a\":[]}", "{\"a\":[]}"}, "{}|{}"},
    {{"{\"a\":[],\"b\":1}", "{\"b\":2,\"c\":3}"}, "{\"b\": 1}|{\"b\": 2, \"c\": 3}"},
    {{"{\"a\":null,\"b\":1}", "{\"c\":true,\"a\":null}"}, "{\"b\": 1}|{\"c\": true}"},
    {{"{\"a\":null}", "{\"a\":\"x\"}", "{\"a\":null}"}, "{}|{\"a\": \"x\"}|{}"},
    {{"{\"b\":1,\"a\":2}", "{\"a\":3,\"b\":4.5}"}, "{\"b\": 1.0, \"a\": 2}|{\"b\": 4.5, \"a\": 3}"},
    {{"{\"a\":[],\"b\":[],\"c\":[]}", "{\"b\":[0.5]}", "{\"b\":[7]}"},
     "{\"b\": []}|{\"b\": [0.5]}|{\"b\": [7.0]}"},
    {{"{\"a\":1}", "{\"a\":\"x\"}"}, "field 'a', byte 5: expected int64, found a string"},
    {{"{\"a\":1}", "{\"a\":[1]}"}, "expected int64, found an array"},
    {{"{\"a\":[1]}", "{\"a\":1}"}, "expected array of int64, found a single value"},
    {{"{\"a\":[]}", "{\"a\":1}"}, "expected array, found a single value"},
    {{"{\"a\":true}", "{\"a\":1}"}, "expected bool, found a number"},
    {{"{\"a\":9007199254740993}", "{\"a\":0.5}"}, "cannot become double"},
    {{"{\"a\":0.5}", "{\"a\":9007199254740993}"}, "does not hold the integer"},
    {{"{\"a\":[9007199254740993]}", "{\"a\":[0.5]}"}, "cannot become double"},
    {{"{\"a\":9007199254740993}", "{\"a\":1}"}, "{\"a\": 9007199254740993}|{\"a\": 1}"},
};

static void types_over_a_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
        uint64_t count = 0;
        while (count < 4 && cases[i].items[count] != NULL) {
            count++;
        }
        char *text = outcome(schema, cases[i].items, count);
        if (strcmp(text, cases[i].result) != 0 &&
            (text[0] == '{' || strstr(text, cases[i].result) == NULL)) {
            fail_msg("case %zu: %s\nexpected %s", i, text, cases[i].result);
        }
        free(text);
        om_schema_free(schema);
    }
}

/* What one batch fixed holds for the next. */
static void types_over_batches(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    const char *first[] = {"{\"a\":1,\"b\":[\"x\"],\"c\":0.5}"};
    const char *good[] = {"{\"c\":2,\"b\":[],\"a\":null}"};
    const char *bad[] = {"{\"a\":1.5}"};
    free(outcome(schema, first, 1));
    assert_int_equal(om_schema_count(schema), 3);
    char *text = outcome(schema, good, 1);
    assert_string_equal(text, "{\"b\": [], \"c\": 2.0}");
    free(text);
    text = outcome(schema, bad, 1);
    assert_non_null(strstr(text, "field 'a'"));
    free(text);
    assert_int_equal(om_schema_count(schema), 3);
    om_schema_free(schema);
}

typedef struct om_refused {
    uint64_t items[8];
    uint32_t count;
    omen_status_t answer;
} om_refused;

static omen_status_t refuse(void *ctx, uint64_t item, omen_status_t status, omen_error *err)
{
    om_refused *refused = ctx;
    assert_int_equal(status, OMEN_INVALID_ARGUMENT);
    assert_int_equal(err->status, status);
    assert_int_equal(err->item, item);
    refused->items[refused->count++] = item;
    return refused->answer;
}

/* Bad items become empty rows and decide nothing about types; names that only they have do not appear. */
static void per_item(void **state)
{
    (void)state;
    const char *items[] = {"{\"a\":\"x\",\"new\":1,\"b\":[1,\"y\"]}",
                           "{\"a\":5}",
                           "{\"a\":\"x\"}",
                           "{",
                           "{\"a\":0.5,\"c\":[]}",
                           "{\"a\":1,\"d\":2,\"a\":1}",
                           "{\"d\":\"text\"}"};
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    meta_batch batch;
    om_meta_rows rows;
    om_refused refused = {.answer = OMEN_OK};
    uint32_t first;
    meta_batch_make(&batch, items, 7);
    om_meta_input input = {
        .schema = schema, .column = &batch.column, .count = 7, .refuse = refuse, .ctx = &refused};
    omen_error untouched = {.item = 77};
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, &untouched), OMEN_OK);
    assert_int_equal(untouched.item, 77);
    assert_int_equal(refused.count, 4);
    static const uint64_t expected[] = {0, 2, 3, 5};
    assert_memory_equal(refused.items, expected, sizeof expected);
    assert_int_equal(rows.added_count, 2);
    assert_int_equal(om_meta_bind(schema, &rows, &first, NULL), OMEN_OK);
    assert_int_equal(first, 0);
    assert_int_equal(om_schema_find(schema, "a", 1)->type, OMEN_TYPE_DOUBLE);
    assert_int_equal(om_schema_find(schema, "d", 1)->type, OMEN_TYPE_STRING);
    assert_null(om_schema_find(schema, "new", 3));
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *row = rows.bytes + rows.offsets[expected[i]];
        assert_int_equal(om_row_bytes(row), 8);
        assert_int_equal(om_meta_fields(row), 0);
    }
    om_meta_rows_free(&rows);
    /* The caller may end it, too. */
    refused = (om_refused){.answer = OMEN_CANCELLED};
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, NULL), OMEN_CANCELLED);
    assert_int_equal(refused.count, 1);
    meta_batch_free(&batch);
    om_schema_free(schema);
}

static void parse_items(const om_schema *schema, const char *const *items, uint64_t count,
                        om_meta_rows *rows)
{
    meta_batch batch;
    meta_batch_make(&batch, items, count);
    assert_int_equal(meta_parse(&libc_alloc, schema, &batch, rows, NULL), OMEN_OK);
    meta_batch_free(&batch);
}

/* Batches that were parsed before another one, which added fields, was bound. */
static void bound_late(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    om_meta_rows late;
    uint32_t first;
    const char *items[] = {"{\"x\":1,\"n\":7,\"s\":\"text\",\"y\":[\"q\"],\"m\":[1,2]}",
                           "{\"y\":[],\"n\":-8}"};
    parse_items(schema, items, 2, &late);
    omen_field others[] = {META_FIELD("y", OMEN_TYPE_STRING | OMEN_TYPE_ARRAY),
                           META_FIELD("other", OMEN_TYPE_TIME), META_FIELD("s", OMEN_TYPE_TEXT),
                           META_FIELD("n", OMEN_TYPE_DOUBLE),
                           META_FIELD("m", OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY)};
    for (size_t i = 0; i < 5; i++) {
        om_field field;
        assert_int_equal(om_field_check(&others[i], &field, NULL), OMEN_OK);
        assert_int_equal(om_schema_add(schema, &field, NULL), OMEN_OK);
    }
    assert_int_equal(om_meta_bind(schema, &late, &first, NULL), OMEN_OK);
    assert_int_equal(first, 5);
    assert_int_equal(om_schema_count(schema), 6);
    static const char *const expected[] = {
        "{\"y\": [\"q\"], \"s\": \"text\", \"n\": 7.0, \"m\": [1.0, 2.0], \"x\": 1}",
        "{\"y\": [], \"n\": -8.0}"};
    for (size_t i = 0; i < 2; i++) {
        const uint8_t *row = late.bytes + late.offsets[i];
        assert_int_equal(
            om_meta_check(schema, row, (size_t)(late.offsets[i + 1] - late.offsets[i]), NULL),
            OMEN_OK);
        om_bytes out = meta_print(&libc_alloc, schema, row);
        assert_string_equal((const char *)out.data, expected[i]);
        om_bytes_free(&out);
    }
    om_meta_rows_free(&late);
    om_schema_free(schema);
}

/* What cannot be bound changes nothing: neither the schema nor the rows. */
static void bound_never(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        uint16_t type;
    } clashes[] = {{"{\"new\":1,\"a\":\"x\"}", OMEN_TYPE_INT64},
                   {"{\"new\":1,\"a\":0.5}", OMEN_TYPE_INT64},
                   {"{\"new\":1,\"a\":\"x\"}", OMEN_TYPE_TIME},
                   {"{\"new\":1,\"a\":[1]}", OMEN_TYPE_INT64},
                   {"{\"new\":1,\"a\":[1]}", OMEN_TYPE_DOUBLE},
                   {"{\"new\":1,\"a\":1}", OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY},
                   {"{\"new\":1,\"a\":9007199254740993}", OMEN_TYPE_DOUBLE},
                   {"{\"new\":1,\"a\":[1,9007199254740993]}", OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY}};
    for (size_t i = 0; i < sizeof clashes / sizeof clashes[0]; i++) {
        om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
        om_meta_rows rows;
        omen_error err;
        uint32_t first;
        parse_items(schema, &clashes[i].item, 1, &rows);
        size_t size = (size_t)rows.offsets[1];
        uint8_t *before = malloc(size);
        assert_non_null(before);
        memcpy(before, rows.bytes, size);
        omen_field other = META_FIELD("a", clashes[i].type);
        om_field field;
        assert_int_equal(om_field_check(&other, &field, NULL), OMEN_OK);
        assert_int_equal(om_schema_add(schema, &field, NULL), OMEN_OK);
        assert_int_equal(om_meta_bind(schema, &rows, &first, &err), OMEN_INVALID_ARGUMENT);
        assert_int_equal(err.detail, OMEN_D_TYPE);
        assert_non_null(strstr(err.message, "'a'"));
        assert_int_equal(om_schema_count(schema), 1);
        assert_memory_equal(rows.bytes, before, size);
        assert_int_equal(rows.added_count, 2);
        free(before);
        om_meta_rows_free(&rows);
        om_schema_free(schema);
    }
    /* More fields than there may be, since others came first. */
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    om_meta_rows rows;
    omen_error err;
    uint32_t first;
    const char *item = "{\"a\":1,\"b\":2}";
    parse_items(schema, &item, 1, &rows);
    for (uint32_t i = 0; i < OMEN_MAX_FIELDS - 1; i++) {
        om_field field;
        omen_field in = META_FIELD("", OMEN_TYPE_INT64);
        (void)snprintf(in.name, sizeof in.name, "f%u", i);
        assert_int_equal(om_field_check(&in, &field, NULL), OMEN_OK);
        assert_int_equal(om_schema_add(schema, &field, NULL), OMEN_OK);
    }
    assert_int_equal(om_meta_bind(schema, &rows, &first, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    assert_int_equal(om_schema_count(schema), OMEN_MAX_FIELDS - 1);
    om_meta_rows_free(&rows);
    om_schema_free(schema);
}

static char *patched(om_schema *schema, const char *item, const char *patch)
{
    om_meta_rows below;
    om_meta_rows above;
    meta_batch batch;
    uint32_t first;
    meta_take(schema, item, &below);
    meta_batch_make(&batch, &patch, 1);
    om_meta_input input = {.schema = schema, .column = &batch.column, .count = 1, .patch = true};
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &above, NULL), OMEN_OK);
    assert_true(above.patch);
    meta_batch_free(&batch);
    assert_int_equal(om_meta_bind(schema, &above, &first, NULL), OMEN_OK);
    size_t size = om_meta_merge(below.bytes, above.bytes, NULL);
    uint8_t *merged = malloc(size);
    assert_non_null(merged);
    assert_int_equal(om_meta_merge(below.bytes, above.bytes, merged), size);
    assert_int_equal(om_meta_check(schema, merged, size, NULL), OMEN_OK);
    om_bytes out = meta_print(&libc_alloc, schema, merged);
    char *text = strdup((const char *)out.data);
    om_bytes_free(&out);
    free(merged);
    om_meta_rows_free(&below);
    om_meta_rows_free(&above);
    return text;
}

static void patches(void **state)
{
    (void)state;
    static const char *const all[][3] = {
        {"{}", "{}", "{}"},
        {"{\"a\":1}", "{}", "{\"a\": 1}"},
        {"{}", "{\"a\":1}", "{\"a\": 1}"},
        {"{\"a\":1,\"b\":\"x\",\"c\":[1]}", "{\"b\":null}", "{\"a\": 1, \"c\": [1]}"},
        {"{\"a\":1,\"b\":\"x\",\"c\":[1]}", "{\"b\":\"longer than before\",\"z\":null,\"c\":[]}",
         "{\"a\": 1, \"b\": \"longer than before\", \"c\": []}"},
        {"{\"a\":1,\"b\":\"x\"}", "{\"a\":null,\"b\":null}", "{}"},
        {"{\"b\":\"x\"}", "{\"d\":0.5,\"a\":2}", "{\"a\": 2, \"b\": \"x\", \"d\": 0.5}"},
        {"{\"a\":1}", "{\"e\":[],\"a\":3}", "{\"a\": 3}"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
        om_meta_rows rows; /* so that the fields have this order in all cases */
        meta_take(schema, "{\"a\":1,\"b\":\"x\",\"c\":[1]}", &rows);
        om_meta_rows_free(&rows);
        char *text = patched(schema, all[i][0], all[i][1]);
        assert_string_equal(text, all[i][2]);
        free(text);
        om_schema_free(schema);
    }
}

/* In one batch of patches a field may be set that another item unset, before and behind it. */
static void patches_of_new_fields(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    const char *items[] = {"{\"a\":null,\"b\":[]}", "{\"a\":1,\"gone\":null}", "{\"a\":null}",
                           "{\"b\":[0.5]}"};
    meta_batch batch;
    om_meta_rows rows;
    uint32_t first;
    meta_batch_make(&batch, items, 4);
    om_meta_input input = {.schema = schema, .column = &batch.column, .count = 4, .patch = true};
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, NULL), OMEN_OK);
    meta_batch_free(&batch);
    assert_int_equal(om_meta_bind(schema, &rows, &first, NULL), OMEN_OK);
    assert_int_equal(om_schema_count(schema), 2);
    static const struct {
        uint32_t item, fields;
        uint16_t types[2];
    } expected[] = {{0, 2, {0, OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY}},
                    {1, 1, {OMEN_TYPE_INT64, 0}},
                    {2, 1, {0, 0}},
                    {3, 1, {OMEN_TYPE_DOUBLE | OMEN_TYPE_ARRAY, 0}}};
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *row = rows.bytes + rows.offsets[expected[i].item];
        assert_int_equal(om_meta_fields(row), expected[i].fields);
        for (uint32_t j = 0; j < expected[i].fields; j++) {
            assert_int_equal(om_meta_at(row, j).type, expected[i].types[j]);
        }
        /* A row that unsets is none for the log. */
        size_t size = (size_t)(rows.offsets[expected[i].item + 1] - rows.offsets[expected[i].item]);
        assert_int_equal(om_meta_check(schema, row, size, NULL) == OMEN_OK,
                         expected[i].types[0] != 0);
    }
    om_meta_rows_free(&rows);
    om_schema_free(schema);
}

/* Random batches, whose types nobody declared, against what jansson has of them. */
static void random_batches(void **state)
{
    (void)state;
    uint64_t seed = 31;
    for (int round = 0; round < 3000; round++) {
        om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
        const char *items[8];
        json_t *trees[8];
        uint32_t count = 1 + om_rng_below(&seed, 8);
        for (uint32_t i = 0; i < count; i++) {
            trees[i] = json_object();
            for (uint32_t n = om_rng_below(&seed, 6); n > 0; n--) {
                char name[8];
                uint32_t field = om_rng_below(&seed, 6);
                (void)snprintf(name, sizeof name, "f%u", field);
                json_t *value = field < 2    ? json_integer((int64_t)om_rng_below(&seed, 100))
                                : field == 2 ? json_string("word")
                                : field == 3 ? json_null()
                                             : json_array();
                if (field == 5 && om_rng_below(&seed, 2) == 0) {
                    (void)json_array_append_new(value, json_true());
                }
                if (field == 1 && om_rng_below(&seed, 2) == 0) {
                    json_decref(value);
                    value = json_real(0.25);
                }
                (void)json_object_set_new(trees[i], name, value);
            }
            items[i] = json_dumps(trees[i], 0);
        }
        char *text = outcome(schema, items, count);
        const om_field *mixed = om_schema_find(schema, "f1", 2);
        bool doubles = mixed != NULL && mixed->type == OMEN_TYPE_DOUBLE;
        assert_null(om_schema_find(schema, "f3", 2));
        assert_null(om_schema_find(schema, "f4", 2));
        char *rest = text;
        for (uint32_t i = 0; i < count; i++) {
            char *part = strtok_r(i == 0 ? text : NULL, "|", &rest);
            json_t *found = json_loads(part, 0, NULL);
            json_t *value = json_object_get(trees[i], "f1");
            if (doubles && json_is_integer(value)) {
                (void)json_object_set_new(trees[i], "f1", json_real(json_number_value(value)));
            }
            (void)json_object_del(trees[i], "f3");
            (void)json_object_del(trees[i], "f4");
            if (om_schema_find(schema, "f5", 2) == NULL) {
                (void)json_object_del(trees[i], "f5");
            }
            if (!json_equal(found, trees[i])) {
                fail_msg("round %d: %s became %s", round, items[i], part);
            }
            json_decref(found);
            json_decref(trees[i]);
            free((char *)(uintptr_t)items[i]);
        }
        free(text);
        om_schema_free(schema);
    }
}

/* Every cut and every changed bit of a row is refused, or the row prints and reads back as itself. */
static void damaged_rows(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    uint64_t seed = 37;
    uint64_t refused = 0;
    for (int round = 0; round < 40; round++) {
        json_t *item = meta_random_item(&seed, 16, round % 2 == 0);
        char *text = json_dumps(item, 0);
        om_meta_rows rows;
        meta_take(schema, text, &rows);
        size_t size = (size_t)rows.offsets[1];
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *copy = malloc(cut + 1);
            assert_non_null(copy);
            memcpy(copy, rows.bytes, cut);
            assert_int_equal(om_meta_check(schema, copy, cut, NULL), OMEN_DATA_LOSS);
            free(copy);
        }
        for (size_t at = 0; at < 8 * size; at++) {
            rows.bytes[at / 8] ^= (uint8_t)(1u << at % 8);
            omen_status_t status = om_meta_check(schema, rows.bytes, size, NULL);
            if (status == OMEN_OK) {
                om_bytes out = meta_print(&libc_alloc, schema, rows.bytes);
                om_meta_rows again;
                meta_take(schema, (const char *)out.data, &again);
                assert_int_equal(again.offsets[1], size);
                assert_memory_equal(again.bytes, rows.bytes, size);
                om_meta_rows_free(&again);
                om_bytes_free(&out);
            } else {
                assert_int_equal(status, OMEN_DATA_LOSS);
                refused++;
            }
            rows.bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        }
        om_meta_rows_free(&rows);
        free(text);
        json_decref(item);
    }
    assert_true(refused > 1000);
    om_schema_free(schema);
}

/* Entries that do not ascend, or stand twice, and types that the field does not have. */
static void disordered_rows(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    static const struct {
        om_row_entry entries[2];
        bool good;
    } shapes[] = {{{{1, OMEN_TYPE_INT64, 8}, {2, OMEN_TYPE_DOUBLE, 8}}, true},
                  {{{2, OMEN_TYPE_DOUBLE, 8}, {1, OMEN_TYPE_INT64, 8}}, false},
                  {{{1, OMEN_TYPE_INT64, 8}, {1, OMEN_TYPE_INT64, 8}}, false},
                  {{{1, OMEN_TYPE_INT64, 8}, {2, OMEN_TYPE_INT64, 8}}, false},
                  {{{1, OMEN_TYPE_INT64, 8}, {META_ALL, OMEN_TYPE_INT64, 8}}, false},
                  {{{1, 0, 8}, {2, OMEN_TYPE_DOUBLE, 8}}, false}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint64_t words[5] = {0};
        uint8_t *row = (uint8_t *)words;
        om_row_writer writer = om_row_begin(row, 2);
        static const uint8_t zero[8];
        om_row_put(&writer, shapes[i].entries[0], zero);
        om_row_put(&writer, shapes[i].entries[1], zero);
        size_t size = om_row_end(&writer);
        assert_int_equal(om_meta_check(schema, row, size, NULL),
                         shapes[i].good ? OMEN_OK : OMEN_DATA_LOSS);
    }
    om_schema_free(schema);
}

/* An item that is refused takes no names from those behind it. */
static void names_of_a_refused_item(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    char *many = malloc(1 << 18);
    assert_non_null(many);
    char *at = many;
    for (uint32_t i = 0; i < 8192; i++) { /* as many as a batch may bring */
        at += snprintf(at, 32, "%s\"name %u\":1", i == 0 ? "{" : ",", i);
    }
    at[0] = '}';
    at[1] = '\0';
    const char *items[] = {many, "{\"a\":1}"};
    meta_batch batch;
    om_meta_rows rows;
    om_refused refused = {.answer = OMEN_OK};
    meta_batch_make(&batch, items, 2);
    om_meta_input input = {
        .schema = schema, .column = &batch.column, .count = 2, .refuse = refuse, .ctx = &refused};
    assert_int_equal(om_meta_parse(&libc_alloc, &input, &rows, NULL), OMEN_OK);
    assert_int_equal(refused.count, 1);
    assert_int_equal(refused.items[0], 0);
    assert_int_equal(rows.added_count, 1);
    assert_int_equal(om_meta_fields(rows.bytes + rows.offsets[1]), 1);
    om_meta_rows_free(&rows);
    meta_batch_free(&batch);
    free(many);
    om_schema_free(schema);
}

/* Whatever allocation fails: RESOURCE_EXHAUSTED, no leak, the schema as it was. */
static void without_memory(void **state)
{
    (void)state;
    const char *items[] = {"{\"a\":1,\"b\":[\"x\",\"y\"],\"\\u0063\":\"text\",\"d\":[]}",
                           "{\"b\":[],\"a\":0.5,\"e\":{\"lat\":1,\"lon\":2},\"f\":\"AAAA\"}"};
    omen_field declared[] = {META_FIELD("e", OMEN_TYPE_GEO), META_FIELD("f", OMEN_TYPE_BYTES)};
    for (uint64_t fail = 1;; fail++) {
        meta_memory memory;
        meta_batch batch;
        om_meta_rows rows;
        uint32_t first;
        meta_memory_init(&memory);
        om_schema *schema = meta_schema(&memory.alloc, declared, 2);
        meta_batch_make(&batch, items, 2);
        memory.fail_at = fail;
        omen_status_t status = meta_parse(&memory.alloc, schema, &batch, &rows, NULL);
        bool parsed = status == OMEN_OK;
        status = parsed ? om_meta_bind(schema, &rows, &first, NULL) : status;
        assert_int_equal(om_schema_count(schema), status == OMEN_OK ? 5 : 2);
        if (parsed) {
            om_meta_rows_free(&rows);
        }
        meta_batch_free(&batch);
        om_schema_free(schema);
        meta_memory_end(&memory);
        if (status == OMEN_OK) {
            assert_true(fail > 8);
            return;
        }
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_over_a_batch),
        cmocka_unit_test(types_over_batches),
        cmocka_unit_test(per_item),
        cmocka_unit_test(bound_late),
        cmocka_unit_test(bound_never),
        cmocka_unit_test(patches),
        cmocka_unit_test(patches_of_new_fields),
        cmocka_unit_test(random_batches),
        cmocka_unit_test(damaged_rows),
        cmocka_unit_test(disordered_rows),
        cmocka_unit_test(names_of_a_refused_item),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
