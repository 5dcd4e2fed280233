/* tool_import_hostile_test.c - malformed vector files are refused with a message that says where.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "import.h"
#include "tool_files.h"

/* Reads the file to its end. Returns whether that went well; err tells the first failure. */
static bool read_all(const void *data, size_t size, const char *name, om_tool_error *err)
{
    om_import *imp;
    om_import_options opt = {0};
    if (!om_import_open_memory(data, size, name, &opt, &imp, err)) {
        return false;
    }
    om_import_rows rows = {.count = 1};
    bool ok = true;
    while (ok && rows.count > 0) {
        ok = om_import_read(imp, 100, &rows, err);
    }
    om_import_free(imp);
    return ok;
}

static void refused(const bytes *b, const char *name, const char *expected)
{
    om_tool_error err = {0};
    /* A copy of the exact size, so that a sanitizer sees a read beyond it. */
    uint8_t *copy = malloc(b->size + 1);
    assert_non_null(copy);
    if (b->size > 0) {
        memcpy(copy, b->data, b->size);
    }
    bool ok = read_all(copy, b->size, name, &err);
    free(copy);
    if (ok || strstr(err.message, expected) == NULL) {
        fail_msg("%s: '%s' does not hold '%s'", name, ok ? "(accepted)" : err.message, expected);
    }
    assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
}

static void refused_text(const char *text, const char *name, const char *expected)
{
    bytes b = {0};
    put_text(&b, text);
    refused(&b, name, expected);
    free(b.data);
}

static void vecs(void **state)
{
    (void)state;
    bytes b = {0};
    refused(&b, "a.fvecs", "is empty");
    put_le32(&b, 0);
    refused(&b, "a.fvecs", "row 0 at byte 0 tells 0 values");
    b.size = 0;
    put_le32(&b, 65536);
    refused(&b, "a.fvecs", "tells 65536 values");
    b.size = 0;
    put_le32(&b, 0xffffffffu);
    refused(&b, "a.fvecs", "tells 4294967295 values");
    b.size = 2;
    refused(&b, "a.fvecs", "truncated in the header of row 0");
    free(b.data);

    bytes f = make_fvecs(10, 4);
    f.size -= 3;
    refused(&f, "a.fvecs", "not a whole number of rows");
    bytes gz = pack_gzip(&f); /* the size is not known: the end comes as a surprise */
    refused(&gz, "a.fvecs.gz", "truncated in row 9");
    f.size += 3;
    f.data[20 * 3] = 5; /* the dimension of row 3 */
    refused(&f, "a.fvecs", "row 3 at byte 60 tells 5 values; the rows before it have another");
    free(f.data);
    free(gz.data);
}

static void npy(void **state)
{
    (void)state;
    static const struct {
        const char *header, *expected;
    } cases[] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1)}", "astype"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 1)}", "type '>f4'"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1)}", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "no dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 0)}", "0 values a row"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 65536)}", "65536 values a row"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9)}", "9 rows of 36 bytes, but"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "rows of"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4294967296, 4294967296)}",
         "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 1)}", "not {"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1)}", "not {"},
        {"{'descr': '<f4', 'fortran_order': False}", "not {"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "not {"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "not {"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,2", "not {"},
        {"", "not {"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = {0};
        put_npy(&b, 1, cases[i].header);
        put_f32(&b, 1);
        refused(&b, "a.npy", cases[i].expected);
        free(b.data);
    }
    refused_text("\x93NUMPY", "a.npy", "does not begin");
    refused_text("hello, world", "a.npy", "does not begin");
    bytes v3 = {0};
    put_npy(&v3, 3, "{}");
    refused(&v3, "a.npy", "versions 1 and 2");
    free(v3.data);
    bytes longer = {0};
    uint8_t head[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 0xff, 0xff, 0xff, 0xff};
    put(&longer, head, sizeof head);
    refused(&longer, "a.npy", "longer than 65536");
    free(longer.data);
}

static void idx(void **state)
{
    (void)state;
    bytes b = {0};
    put(&b, "\0\0\x0b\x01", 4);
    put_be32(&b, 1);
    refused(&b, "a.idx", "idx type 0x0b");
    b.size = 0;
    put(&b, "\0\0\x08\x03", 4);
    put_be32(&b, 2);
    refused(&b, "a.idx", "truncated in the idx header");
    put_be32(&b, 0x10000);
    put_be32(&b, 0x10000);
    refused(&b, "a.idx", "4294967296 values a row");
    b.size = 0;
    put(&b, "\0\0\x08\x02", 4);
    put_be32(&b, 3);
    put_be32(&b, 2);
    put(&b, "abcdefg", 7);
    refused(&b, "a.idx", "3 rows of 2 bytes, but 7 bytes follow");
    bytes gz = pack_gzip(&b);
    refused(&gz, "a.idx.gz", "more after the last of the 3 rows");
    b.size -= 2;
    bytes less = pack_gzip(&b);
    refused(&less, "a.idx.gz", "truncated in row 2 of 3");
    refused_text("\x01\x02\x03\x04", "a.idx", "not an idx file");
    free(b.data);
    free(gz.data);
    free(less.data);
}

static void json(void **state)
{
    (void)state;
    refused_text("\n\n", "a.jsonl", "is empty");
    refused_text("[1,2]\n[1,2,3]\n", "a.jsonl", "line 2: the vector has 3 values");
    refused_text("[1,2]\n[1,\n", "a.jsonl", "line 2, byte");
    refused_text("[1,2]\n[1,\"2\"]\n", "a.jsonl", "line 2: value 1");
    refused_text("[1,1e39]\n", "a.jsonl", "line 1: value 1");
    refused_text("[1,NaN]\n", "a.jsonl", "line 1, byte");
    refused_text("{\"id\":1}\n", "a.jsonl", "line 1: no \"vector\"");
    refused_text("{\"id\":1,\"id\":1,\"vector\":[1]}\n", "a.jsonl", "duplicate");
    refused_text("{\"id\":-1,\"vector\":[1]}\n", "a.jsonl", "line 1: \"id\" is neither");
    refused_text("{\"id\":\"\",\"vector\":[1]}\n", "a.jsonl", "line 1: a string id has 0 bytes");
    refused_text("{\"id\":1,\"vector\":[1]}\n{\"vector\":[1]}\n", "a.jsonl", "line 2: no \"id\"");
    refused_text("{\"id\":1,\"vector\":[1]}\n{\"id\":\"x\",\"vector\":[1]}\n", "a.jsonl",
                 "string id among u64");
    refused_text("[]\n", "a.jsonl", "1 to 65535");
    refused_text("{\"vector\":{}}\n", "a.jsonl", "no \"vector\"");
    bytes deep = {0};
    for (int i = 0; i < 100000; i++) {
        put(&deep, "[", 1);
    }
    refused(&deep, "a.jsonl", "line 1");
    free(deep.data);
    bytes wide = {0};
    put(&wide, "[", 1);
    while (wide.size <= OM_IMPORT_LINE_MAX) {
        put_text(&wide, "0.12345678901234567890,");
    }
    refused(&wide, "a.jsonl", "longer than 8388608 bytes");
    free(wide.data);
}

static void compressed_streams(void **state)
{
    (void)state;
    bytes plain = make_fvecs(500, 8);
    bytes gz = pack_gzip(&plain), zst = pack_zstd(&plain);
    for (size_t cut = 3; cut < gz.size; cut += gz.size / 13) {
        bytes part = {.data = gz.data, .size = cut};
        refused(&part, "a.fvecs.gz", "");
    }
    for (size_t cut = 5; cut < zst.size; cut += zst.size / 13) {
        bytes part = {.data = zst.data, .size = cut};
        refused(&part, "a.fvecs.zst", "");
    }
    bytes tail = {.data = gz.data, .size = gz.size - 1};
    refused(&tail, "a.fvecs.gz", "ends early");
    gz.data[gz.size - 6] ^= 1; /* the checksum */
    refused(&gz, "a.fvecs.gz", "damaged gzip");
    zst.data[zst.size / 2] ^= 0x55;
    om_tool_error err;
    (void)read_all(zst.data, zst.size, "a.fvecs.zst", &err); /* no checksum in it: must not crash */
    free(plain.data);
    free(gz.data);
    free(zst.data);
}

/* Bytes that belong to no format, and offsets behind the end. */
static void nothing_to_tell_the_format_by(void **state)
{
    (void)state;
    refused_text("hello", "notes.txt", "format cannot be told");
    refused_text("", "notes.txt", "format cannot be told");
    bytes b = make_fvecs(3, 2);
    om_import *imp;
    om_tool_error err;
    om_import_options opt = {.offset = 4};
    assert_false(om_import_open_memory(b.data, b.size, "a.fvecs", &opt, &imp, &err));
    assert_non_null(strstr(err.message, "offset 4 lies behind"));
    opt = (om_import_options){.format = "csv"};
    assert_false(om_import_open_memory(b.data, b.size, "a.fvecs", &opt, &imp, &err));
    assert_int_equal(err.code, OM_EXIT_USAGE);
    assert_false(om_import_open("/nonexistent/file.npy", &opt, &imp, &err));
    assert_int_equal(err.code, OM_EXIT_NOT_FOUND);
    free(b.data);
}

/* Every single-byte change and every cut of small files of each format ends well. */
static void damage_everywhere(void **state)
{
    (void)state;
    bytes files[4] = {make_fvecs(3, 2), {0}, {0}, {0}};
    const char *names[4] = {"a.fvecs", "a.npy", "a.idx", "a.jsonl"};
    put_npy(&files[1], 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}");
    put(&files[1], "0123456789abcdef", 16);
    put(&files[2], "\0\0\x08\x02", 4);
    put_be32(&files[2], 2);
    put_be32(&files[2], 3);
    put(&files[2], "abcdef", 6);
    put_text(&files[3], "{\"id\":1,\"vector\":[1,2]}\n{\"id\":2,\"vector\":[3,4]}\n");
    for (size_t f = 0; f < 4; f++) {
        om_tool_error err;
        assert_true(read_all(files[f].data, files[f].size, names[f], &err));
        for (size_t i = 0; i < files[f].size; i++) {
            for (unsigned flip = 1; flip < 256; flip *= 2) {
                files[f].data[i] ^= (uint8_t)flip;
                (void)read_all(files[f].data, files[f].size, names[f], &err);
                files[f].data[i] ^= (uint8_t)flip;
            }
            bytes part = {.data = files[f].data, .size = i};
            uint8_t *copy = malloc(i + 1);
            assert_non_null(copy);
            memcpy(copy, part.data, i);
            (void)read_all(copy, i, names[f], &err);
            free(copy);
        }
        free(files[f].data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vecs),
        cmocka_unit_test(npy),
        cmocka_unit_test(idx),
        cmocka_unit_test(json),
        cmocka_unit_test(compressed_streams),
        cmocka_unit_test(nothing_to_tell_the_format_by),
        cmocka_unit_test(damage_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
