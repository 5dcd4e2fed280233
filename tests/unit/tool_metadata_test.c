/* tool_metadata_test.c - metadata as the tool reads them: fields and parameters of the command line,
 * members of JSON lines, dumps. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "condition.h"
#include "dump.h"
#include "field_spec.h"
#include "import.h"

/* ---- Fields and parameters --------------------------------------------------------------------------- */

static void fields_of_the_command_line(void **state)
{
    (void)state;
    om_tool_error err;
    omen_field f;
    char buf[96];
    assert_true(om_field_parse("title:text:weight=2.5:language=german:stop-words", &f, &err));
    assert_string_equal(f.name, "title");
    assert_int_equal(f.type, OMEN_TYPE_TEXT);
    assert_float_equal(f.weight, 2.5f, 0);
    assert_string_equal(f.language, "german");
    assert_int_equal(f.flags, OMEN_FIELD_STOP_WORDS);
    assert_string_equal(om_field_options(&f, buf, sizeof buf),
                        ":weight=2.5:language=german:stop-words");
    assert_true(om_field_parse("\"a:b\":string[]", &f, &err));
    assert_string_equal(f.name, "a:b");
    assert_int_equal(f.type, OMEN_TYPE_STRING | OMEN_TYPE_ARRAY);
    assert_string_equal(om_field_type_name(f.type, buf), "string[]");
    assert_true(om_field_parse("at:geo", &f, &err));
    assert_int_equal(f.type, OMEN_TYPE_GEO);
    static const char *const bad[] = {"",
                                      "x",
                                      "x:",
                                      ":int",
                                      "x:integer",
                                      "x:text[]",
                                      "x:geo[]",
                                      "x:int:weight=2",
                                      "x:text:y",
                                      "x:text:weight=-1",
                                      "x:text:weight=2x",
                                      "x:text:language=",
                                      "\"x:int"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_field_parse(bad[i], &f, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
    }
}

static void fields_survive_json(void **state)
{
    (void)state;
    om_tool_error err;
    omen_field fields[3];
    om_field_list back;
    assert_true(om_field_parse("a:text:weight=0.1:no-stemming", &fields[0], &err));
    assert_true(om_field_parse("b:time[]", &fields[1], &err));
    assert_true(om_field_parse("c:bool", &fields[2], &err));
    json_t *list = om_fields_json(fields, 3);
    assert_true(om_fields_from_json(list, &back, &err));
    assert_int_equal(back.count, 3);
    assert_memory_equal(back.items, fields, sizeof fields);
    om_field_list_free(&back);
    json_decref(list);
    static const char *const bad[] = {"{}", "[1]", "[{\"name\":\"x\"}]",
                                      "[{\"name\":\"\",\"type\":\"int\"}]",
                                      "[{\"name\":\"x\",\"type\":\"text[]\"}]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        list = json_loads(bad[i], 0, NULL);
        assert_non_null(list);
        assert_false(om_fields_from_json(list, &back, &err));
        assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
        json_decref(list);
    }
}

static bool conditions(const char **params, size_t count, om_condition *out, om_tool_error *err)
{
    om_args args = {.filter = "x = $1", .params = {params, count}};
    return om_condition_from_args(&args, out, err);
}

static void parameters_have_the_types_of_json(void **state)
{
    (void)state;
    om_tool_error err;
    om_condition c;
    const char *good[] = {
        "7", "2.5", "true", "\"é\"", "Drama", "[1, 2]", "[1, 2.5]", "[\"a\", \"bc\"]", "[]"};
    assert_true(conditions(good, 9, &c, &err));
    static const uint32_t types[] = {OMEN_TYPE_INT64,  OMEN_TYPE_DOUBLE, OMEN_TYPE_BOOL,
                                     OMEN_TYPE_STRING, OMEN_TYPE_STRING, OMEN_TYPE_INT64,
                                     OMEN_TYPE_DOUBLE, OMEN_TYPE_STRING, OMEN_TYPE_STRING};
    static const uint32_t counts[] = {1, 1, 1, 1, 1, 2, 2, 2, 0};
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(c.params[i].type, types[i]);
        assert_int_equal(c.params[i].count, counts[i]);
    }
    assert_int_equal(*(const int64_t *)c.params[0].data, 7);
    assert_float_equal(((const double *)c.params[6].data)[1], 2.5, 0);
    assert_float_equal(((const double *)c.params[6].data)[0], 1, 0);
    assert_memory_equal(c.params[4].data, "Drama", 5);
    assert_int_equal(c.params[7].offsets[1], 1);
    assert_int_equal(c.params[7].offsets[2], 3);
    om_condition_free(&c);
    const char *bad[] = {"[1, \"a\"]", "{}", "null", "[true]", "[1", "\"x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(conditions(&bad[i], 1, &c, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
    }
    om_args without = {.params = {good, 1}};
    assert_false(om_condition_from_args(&without, &c, &err));
}

/* ---- JSON lines -------------------------------------------------------------------------------------- */

static void assert_metadata(const om_import_rows *rows, size_t i, const char *want)
{
    size_t len;
    assert_non_null(rows->metadata);
    assert_int_equal(rows->metadata->count, rows->count);
    const char *text = om_json_column_get(rows->metadata, i, &len);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

static om_import *open_lines(const char *text, bool bare)
{
    om_import *imp;
    om_tool_error err;
    om_import_options opt = {.bare = bare};
    assert_true(om_import_open_memory(text, strlen(text), "x.jsonl", &opt, &imp, &err));
    return imp;
}

static void members_of_lines_are_metadata(void **state)
{
    (void)state;
    om_import_rows rows;
    om_tool_error err;
    om_import *imp = open_lines(
        "{\"fields\":[{\"name\":\"dtype\",\"type\":\"string\"}]}\n"
        "{\"vector\":[1],\"dtype\":\"mine\",\"n\":9007199254740993,\"d\":0.1}\n"
        "{\"vector\":[2],\"metadata\":{\"id\":5,\"vector\":\"v\",\"x\":null},\"y\":1.0}\n"
        "{\"vector\":[3],\"metadata\":{\"lat\":1.5,\"lon\":2}}\n"
        "[4]\n",
        false);
    assert_int_equal(om_import_about(imp)->fields.count, 1);
    assert_true(om_import_read(imp, 10, &rows, &err));
    assert_int_equal(rows.count, 4);
    assert_null(rows.ids);
    assert_metadata(&rows, 0,
                    "{\"dtype\":\"mine\",\"n\":9007199254740993,\"d\":0.10000000000000001}");
    assert_metadata(&rows, 1, "{\"y\":1.0,\"id\":5,\"vector\":\"v\",\"x\":null}");
    assert_metadata(&rows, 2, "{\"metadata\":{\"lat\":1.5,\"lon\":2}}");
    assert_metadata(&rows, 3, "");
    om_import_free(imp);
    om_import_options none = {0};
    static const char twice[] = "{\"vector\":[1],\"a\":1,\"metadata\":{\"a\":2}}\n";
    assert_false(om_import_open_memory(twice, strlen(twice), "x.jsonl", &none, &imp, &err));
    assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
}

static void lines_without_vectors(void **state)
{
    (void)state;
    om_import_rows rows;
    om_tool_error err;
    om_import_options none = {0};
    static const char patch[] = "{\"id\":1,\"stock\":0}\n{\"id\":2,\"stock\":null}\n";
    static const char mixed[] = "{\"id\":1,\"stock\":0}\n{\"id\":2,\"vector\":[1]}\n";
    static const char other[] = "{\"id\":1,\"vector\":[1]}\n{\"id\":2,\"stock\":1}\n";
    om_import *imp = open_lines(patch, true);
    assert_int_equal(om_import_about(imp)->dim, 0);
    assert_true(om_import_read(imp, 10, &rows, &err));
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.ids->u64[1], 2);
    assert_metadata(&rows, 0, "{\"stock\":0}");
    assert_metadata(&rows, 1, "{\"stock\":null}");
    om_import_free(imp);
    assert_false(om_import_open_memory(patch, strlen(patch), "x.jsonl", &none, &imp, &err));
    assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
    const char *const bad[] = {mixed, other};
    for (size_t i = 0; i < 2; i++) {
        imp = open_lines(bad[i], true);
        assert_false(om_import_read(imp, 10, &rows, &err));
        assert_non_null(strstr(err.message, "line 2"));
        om_import_free(imp);
    }
}

/* A batch ends where its metadata are large, whatever number of rows was asked for, and always at the same
 * rows: what is resumed is cut as it was. */
static void large_metadata_end_a_batch(void **state)
{
    (void)state;
    enum { LINES = 5, BYTES = 600000 };
    const size_t room = LINES * (BYTES + 64);
    char *text = malloc(room);
    om_import_rows rows = {.count = 1};
    om_tool_error err;
    assert_non_null(text);
    size_t at = 0;
    for (int i = 0; i < LINES; i++) {
        at += (size_t)snprintf(text + at, room - at, "{\"id\":%d,\"t\":\"", i);
        memset(text + at, 'a' + i, BYTES);
        at += BYTES;
        at += (size_t)snprintf(text + at, room - at, "\"}\n");
    }
    om_import *imp = open_lines(text, true);
    static const size_t want[] = {2, 2, 1, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_true(om_import_read(imp, 100, &rows, &err));
        assert_int_equal(rows.count, want[i]);
    }
    om_import_free(imp);
    free(text);
}

static void an_object_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    size_t n = OMEN_MAX_METADATA;
    char *text = malloc(n + 64);
    om_import *imp = NULL;
    om_tool_error err;
    om_import_options opt = {.bare = true};
    assert_non_null(text);
    size_t at = (size_t)snprintf(text, n + 64, "{\"t\":\"");
    memset(text + at, 'x', n);
    (void)snprintf(text + at + n, 64 - at, "\"}\n");
    assert_false(om_import_open_memory(text, strlen(text), "x.jsonl", &opt, &imp, &err));
    assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
    free(text);
}

/* ---- Dumps -------------------------------------------------------------------------------------------- */

typedef struct stream {
    uint8_t bytes[4096];
    size_t size;
} stream;

static bool put(void *ctx, const void *bytes, size_t n, om_tool_error *err)
{
    stream *s = ctx;
    (void)err;
    assert_true(s->size + n <= sizeof s->bytes);
    memcpy(s->bytes + s->size, bytes, n);
    s->size += n;
    return true;
}

/* Two blocks: one with metadata, of which one item has none, and one without any. */
static void make_dump(stream *s, bool fields)
{
    om_tool_error err;
    omen_field field;
    assert_true(om_field_parse("t:text:weight=3", &field, &err));
    om_dump_writer w = {.put = put,
                        .ctx = s,
                        .head = {.options = {.dim = 2,
                                             .metric = OMEN_L2,
                                             .dtype = OMEN_U8,
                                             .id_type = OMEN_ID_STRING,
                                             .fields = &field,
                                             .field_count = fields ? 1 : 0},
                                 .rows = OMEN_NONE}};
    om_ids ids = {.type = OMEN_ID_STRING};
    om_json_column metadata = {0};
    s->size = 0;
    assert_true(om_ids_add_string(&ids, "a", 1, &err) && om_ids_add_string(&ids, "bcd", 3, &err));
    assert_true(om_json_column_add(&metadata, "{\"t\":\"x\"}", 9, &err) &&
                om_json_column_add(&metadata, "", 0, &err));
    assert_true(om_dump_begin(&w, &err));
    assert_true(om_dump_rows(&w, &ids, "\x01\x02\x03\x04", fields ? &metadata : NULL, &err));
    assert_true(om_dump_rows(&w, &ids, "\x05\x06\x07\x08", NULL, &err));
    assert_true(om_dump_end(&w, &err));
    om_dump_writer_free(&w);
    om_ids_free(&ids);
    om_json_column_free(&metadata);
}

/* 0 when all of it was read, else the exit code. */
static int read_dump(const uint8_t *bytes, size_t size)
{
    om_import *imp;
    om_import_options none = {0};
    om_import_rows rows = {.count = 1};
    om_tool_error err;
    if (!om_import_open_memory(bytes, size, "x.omendump", &none, &imp, &err)) {
        return err.code;
    }
    int code = 0;
    while (code == 0 && rows.count > 0) {
        code = om_import_read(imp, 1, &rows, &err) ? 0 : err.code;
    }
    om_import_free(imp);
    return code;
}

static void dumps_carry_fields_and_metadata(void **state)
{
    (void)state;
    static stream s;
    om_import *imp;
    om_import_options none = {0};
    om_import_rows rows;
    om_tool_error err;
    make_dump(&s, true);
    assert_int_equal(s.bytes[8], 2);
    assert_true(om_import_open_memory(s.bytes, s.size, "x.omendump", &none, &imp, &err));
    const om_import_info *info = om_import_about(imp);
    assert_int_equal(info->fields.count, 1);
    assert_string_equal(info->fields.items[0].name, "t");
    assert_float_equal(info->fields.items[0].weight, 3, 0);
    assert_true(om_import_read(imp, 3, &rows, &err));
    assert_int_equal(rows.count, 3);
    assert_metadata(&rows, 0, "{\"t\":\"x\"}");
    assert_metadata(&rows, 1, "");
    assert_metadata(&rows, 2, "");
    assert_memory_equal(rows.data, "\x01\x02\x03\x04\x05\x06", 6);
    om_import_free(imp);
    for (size_t size = 0; size < s.size; size++) {
        assert_int_not_equal(read_dump(s.bytes, size), 0);
    }
    for (size_t i = 0; i < s.size; i++) {
        s.bytes[i] ^= 0x10;
        assert_int_not_equal(read_dump(s.bytes, s.size), 0);
        s.bytes[i] ^= 0x10;
    }
    assert_int_equal(read_dump(s.bytes, s.size), 0);
}

/* Without fields the bytes are those of version 1, which older tools read. */
static void dumps_without_fields_are_of_the_first_version(void **state)
{
    (void)state;
    static stream s;
    make_dump(&s, false);
    assert_int_equal(s.bytes[8], 1);
    assert_int_equal(read_dump(s.bytes, s.size), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_the_command_line),
        cmocka_unit_test(fields_survive_json),
        cmocka_unit_test(parameters_have_the_types_of_json),
        cmocka_unit_test(members_of_lines_are_metadata),
        cmocka_unit_test(lines_without_vectors),
        cmocka_unit_test(large_metadata_end_a_batch),
        cmocka_unit_test(an_object_beyond_the_limit_is_refused),
        cmocka_unit_test(dumps_carry_fields_and_metadata),
        cmocka_unit_test(dumps_without_fields_are_of_the_first_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
