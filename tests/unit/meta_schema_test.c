/* meta_schema_test.c - fields: what can be declared, what is found, what comes back from bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "meta_fixture.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

static const om_alloc libc_alloc;

static omen_status_t check_name(const char *name, size_t length, omen_error *err)
{
    omen_field in = {.type = OMEN_TYPE_INT64};
    om_field out;
    memcpy(in.name, name, length);
    return om_field_check(&in, &out, err);
}

static void names(void **state)
{
    (void)state;
    char longest[OMEN_MAX_FIELD_NAME + 2];
    memset(longest, 'n', sizeof longest);
    assert_int_equal(check_name(longest, OMEN_MAX_FIELD_NAME, NULL), OMEN_OK);
    omen_error err;
    assert_int_equal(check_name(longest, OMEN_MAX_FIELD_NAME + 1, &err), OMEN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "128 bytes"));
    static const char *const good[] = {"a",  "a b",     "\xC3\xA9t\xC3\xA9", "a$",
                                       "\"", "year.of", "\xC2\xA0x"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(check_name(good[i], strlen(good[i]), NULL), OMEN_OK);
    }
    static const char *const bad[][2] = {{"", "empty"},
                                         {"$a", "reserved"},
                                         {"a\n", "control"},
                                         {"a\x7F", "control"},
                                         {"a\xC2\x85", "control"},
                                         {"\xC3", "UTF-8"},
                                         {"a\xED\xA0\x80", "UTF-8"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(check_name(bad[i][0], strlen(bad[i][0]), &err), OMEN_INVALID_ARGUMENT);
        assert_int_equal(err.detail, OMEN_D_FIELD);
        assert_non_null(strstr(err.message, bad[i][1]));
    }
    omen_field open = {.type = OMEN_TYPE_INT64};
    om_field out;
    memset(open.name, 'n', sizeof open.name); /* no NUL at all */
    assert_int_equal(om_field_check(&open, &out, NULL), OMEN_INVALID_ARGUMENT);
}

static omen_status_t check_type(uint32_t type)
{
    omen_field in = META_FIELD("f", type);
    om_field out;
    return om_field_check(&in, &out, NULL);
}

static void types(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < 0x10000; type++) {
        bool plain = type >= OMEN_TYPE_STRING && type <= OMEN_TYPE_TEXT;
        bool array = type >= (OMEN_TYPE_ARRAY | OMEN_TYPE_STRING) &&
                     type <= (OMEN_TYPE_ARRAY | OMEN_TYPE_BYTES);
        assert_int_equal(check_type(type) == OMEN_OK, plain || array);
    }
    assert_int_equal(check_type(0x10001), OMEN_INVALID_ARGUMENT);
    assert_int_equal(check_type(UINT32_MAX), OMEN_INVALID_ARGUMENT);
}

static void texts(void **state)
{
    (void)state;
    om_field out;
    omen_field in = META_FIELD("f", OMEN_TYPE_TEXT);
    assert_int_equal(om_field_check(&in, &out, NULL), OMEN_OK);
    assert_true(out.weight == 1.0f);
    assert_string_equal(out.language, "english");
    in.weight = 2.5f;
    in.flags = OMEN_FIELD_STOP_WORDS | OMEN_FIELD_NO_STEMMING;
    memcpy(in.language, "porter", 7);
    assert_int_equal(om_field_check(&in, &out, NULL), OMEN_OK);
    omen_field back;
    om_field_describe(&out, &back);
    assert_memory_equal(&back, &in, sizeof in);
    const float bad_weights[] = {-1, NAN, INFINITY};
    for (size_t i = 0; i < 3; i++) {
        omen_field bad = META_FIELD("f", OMEN_TYPE_TEXT);
        bad.weight = bad_weights[i];
        assert_int_equal(om_field_check(&bad, &out, NULL), OMEN_INVALID_ARGUMENT);
    }
    omen_field flags = META_FIELD("f", OMEN_TYPE_TEXT);
    flags.flags = 4;
    assert_int_equal(om_field_check(&flags, &out, NULL), OMEN_INVALID_ARGUMENT);
    omen_field language = META_FIELD("f", OMEN_TYPE_TEXT);
    memcpy(language.language, "eng lish", 9);
    assert_int_equal(om_field_check(&language, &out, NULL), OMEN_INVALID_ARGUMENT);
    memset(language.language, 'x', sizeof language.language);
    assert_int_equal(om_field_check(&language, &out, NULL), OMEN_INVALID_ARGUMENT);
    /* Only texts have options. */
    omen_field other = META_FIELD("f", OMEN_TYPE_STRING);
    other.weight = 1;
    assert_int_equal(om_field_check(&other, &out, NULL), OMEN_INVALID_ARGUMENT);
    other = META_FIELD("f", OMEN_TYPE_STRING);
    other.flags = OMEN_FIELD_STOP_WORDS;
    assert_int_equal(om_field_check(&other, &out, NULL), OMEN_INVALID_ARGUMENT);
}

static void finding(void **state)
{
    (void)state;
    meta_memory memory;
    meta_memory_init(&memory);
    om_schema *schema = meta_schema(&memory.alloc, meta_all, META_ALL);
    assert_int_equal(om_schema_count(schema), META_ALL);
    for (uint32_t i = 0; i < META_ALL; i++) {
        const om_field *field = om_schema_find(schema, meta_all[i].name, strlen(meta_all[i].name));
        assert_ptr_equal(field, om_schema_at(schema, i));
        assert_int_equal(field->type, meta_all[i].type);
    }
    assert_null(om_schema_find(schema, "strin", 5));
    assert_null(om_schema_find(schema, "string[]x", 9));
    assert_null(om_schema_find(schema, "", 0));
    om_field again;
    assert_int_equal(om_field_check(&meta_all[3], &again, NULL), OMEN_OK);
    assert_int_equal(om_schema_add(schema, &again, NULL), OMEN_OK);
    assert_int_equal(again.id, 3);
    again.type = OMEN_TYPE_STRING;
    omen_error err;
    assert_int_equal(om_schema_add(schema, &again, &err), OMEN_ALREADY_EXISTS);
    assert_int_equal(err.detail, OMEN_D_FIELD);
    assert_non_null(strstr(err.message, "'bool'"));
    assert_int_equal(om_schema_count(schema), META_ALL);
    om_schema_free(schema);
    om_schema_free(NULL);
    meta_memory_end(&memory);
}

static omen_status_t add_numbered(om_schema *schema, uint32_t n, omen_error *err)
{
    omen_field in = META_FIELD("", OMEN_TYPE_INT64);
    om_field field;
    (void)snprintf(in.name, sizeof in.name, "field number %u", n);
    assert_int_equal(om_field_check(&in, &field, NULL), OMEN_OK);
    omen_status_t status = om_schema_add(schema, &field, err);
    assert_true(status != OMEN_OK || field.id == n);
    return status;
}

static void many(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, NULL, 0);
    for (uint32_t i = 0; i < OMEN_MAX_FIELDS; i++) {
        assert_int_equal(add_numbered(schema, i, NULL), OMEN_OK);
    }
    omen_error err;
    assert_int_equal(add_numbered(schema, OMEN_MAX_FIELDS, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    for (uint32_t i = 0; i < OMEN_MAX_FIELDS; i++) {
        char name[32];
        int length = snprintf(name, sizeof name, "field number %u", i);
        assert_int_equal(om_schema_find(schema, name, (size_t)length)->id, i);
    }
    /* And all of them as bytes. */
    size_t size = om_schema_export_size(schema, 0);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    om_schema_export(schema, 0, bytes);
    om_schema *copy = meta_schema(&libc_alloc, NULL, 0);
    assert_int_equal(om_schema_import(copy, bytes, size, NULL), OMEN_OK);
    assert_int_equal(om_schema_count(copy), OMEN_MAX_FIELDS);
    free(bytes);
    om_schema_free(copy);
    om_schema_free(schema);
}

/* Readers find what is there already, whole, while another thread adds. */
typedef struct om_racing {
    om_schema *schema;
    _Atomic bool over;
} om_racing;

static void *look(void *ctx)
{
    om_racing *racing = ctx;
    uint64_t seed = 11;
    uintptr_t wrong = 0;
    while (!atomic_load(&racing->over)) {
        uint32_t count = om_schema_count(racing->schema);
        for (int i = 0; count != 0 && i < 100; i++) {
            char name[32];
            uint32_t n = om_rng_below(&seed, count);
            int length = snprintf(name, sizeof name, "field number %u", n);
            const om_field *field = om_schema_find(racing->schema, name, (size_t)length);
            wrong += field == NULL || field->id != n || field != om_schema_at(racing->schema, n);
        }
    }
    return (void *)wrong;
}

static void readers_beside_a_writer(void **state)
{
    (void)state;
    om_racing racing = {.schema = meta_schema(&libc_alloc, NULL, 0)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look, &racing), 0);
    }
    for (uint32_t i = 0; i < OMEN_MAX_FIELDS; i++) {
        assert_int_equal(add_numbered(racing.schema, i, NULL), OMEN_OK);
    }
    atomic_store(&racing.over, true);
    for (int i = 0; i < 2; i++) {
        void *wrong = NULL;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    om_schema_free(racing.schema);
}

static void same_fields(const om_schema *a, const om_schema *b)
{
    assert_int_equal(om_schema_count(a), om_schema_count(b));
    for (uint32_t i = 0; i < om_schema_count(a); i++) {
        assert_memory_equal(om_schema_at(a, i), om_schema_at(b, i), sizeof(om_field));
    }
}

static omen_field some_text(void)
{
    omen_field text = META_FIELD("body", OMEN_TYPE_TEXT);
    text.weight = 0.25f;
    text.flags = OMEN_FIELD_STOP_WORDS;
    memcpy(text.language, "french", 7);
    return text;
}

static void as_bytes(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    om_field field;
    omen_field text = some_text();
    assert_int_equal(om_field_check(&text, &field, NULL), OMEN_OK);
    assert_int_equal(om_schema_add(schema, &field, NULL), OMEN_OK);
    for (uint32_t first = 0; first <= META_ALL + 1; first++) {
        size_t size = om_schema_export_size(schema, first);
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        assert_int_equal(size % 8, 0);
        om_schema_export(schema, first, bytes);
        /* Behind the fields that are there; twice; and onto nothing. */
        om_schema *copy = meta_schema(&libc_alloc, meta_all, first > META_ALL ? META_ALL : first);
        if (first <= META_ALL) {
            assert_int_equal(om_schema_import(copy, bytes, size, NULL), OMEN_OK);
            assert_int_equal(om_schema_import(copy, bytes, size, NULL), OMEN_OK);
            same_fields(copy, schema);
        }
        om_schema_free(copy);
        om_schema *empty = meta_schema(&libc_alloc, NULL, 0);
        assert_int_equal(om_schema_import(empty, bytes, size, NULL),
                         first == 0 ? OMEN_OK : OMEN_DATA_LOSS);
        om_schema_free(empty);
        free(bytes);
    }
    om_schema_free(schema);
}

/* Every cut is refused; every changed byte is refused or gives a schema that exports to those bytes. */
static void damaged(void **state)
{
    (void)state;
    om_schema *schema = meta_schema(&libc_alloc, meta_all, META_ALL);
    om_field field;
    omen_field text = some_text();
    assert_int_equal(om_field_check(&text, &field, NULL), OMEN_OK);
    assert_int_equal(om_schema_add(schema, &field, NULL), OMEN_OK);
    size_t size = om_schema_export_size(schema, 0);
    uint8_t *bytes = malloc(size);
    uint8_t *again = malloc(size);
    assert_true(bytes != NULL && again != NULL);
    om_schema_export(schema, 0, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        om_schema *copy = meta_schema(&libc_alloc, NULL, 0);
        assert_int_equal(om_schema_import(copy, bytes, cut, NULL), OMEN_DATA_LOSS);
        om_schema_free(copy);
    }
    uint64_t taken = 0;
    for (size_t at = 0; at < 8 * size; at++) {
        om_schema *copy = meta_schema(&libc_alloc, NULL, 0);
        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        omen_status_t status = om_schema_import(copy, bytes, size, NULL);
        if (status == OMEN_OK) {
            taken++;
            assert_int_equal(om_schema_export_size(copy, 0), size);
            om_schema_export(copy, 0, again);
            assert_memory_equal(bytes, again, size);
        } else {
            assert_int_equal(status, OMEN_DATA_LOSS);
        }
        bytes[at / 8] ^= (uint8_t)(1u << at % 8);
        om_schema_free(copy);
    }
    assert_true(taken > 0 && taken < 4 * size); /* letters of names can become others */
    free(bytes);
    free(again);
    om_schema_free(schema);
}

/* Whatever allocation fails: no leak, and what is there stays. */
static void without_memory(void **state)
{
    (void)state;
    for (uint64_t fail = 1;; fail++) {
        meta_memory memory;
        meta_memory_init(&memory);
        memory.fail_at = fail;
        om_schema *schema = NULL;
        omen_status_t status = om_schema_create(&memory.alloc, &schema, NULL);
        for (uint32_t i = 0; status == OMEN_OK && i < 40; i++) {
            status = add_numbered(schema, i, NULL);
            assert_int_equal(om_schema_count(schema), status == OMEN_OK ? i + 1 : i);
        }
        om_schema_free(schema);
        meta_memory_end(&memory);
        if (status == OMEN_OK) {
            assert_true(fail > 4);
            return;
        }
        assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),          cmocka_unit_test(types),
        cmocka_unit_test(texts),          cmocka_unit_test(finding),
        cmocka_unit_test(many),           cmocka_unit_test(readers_beside_a_writer),
        cmocka_unit_test(as_bytes),       cmocka_unit_test(damaged),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
