/* tool_import_test.c - the readers of vector files give back every value of well-formed files.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "import.h"
#include "tool_files.h"

static om_import *open_bytes(const bytes *b, const char *name, const om_import_options *opt)
{
    om_import *imp = NULL;
    om_tool_error err = {0};
    om_import_options none = {0};
    if (!om_import_open_memory(b->data, b->size, name, opt != NULL ? opt : &none, &imp, &err)) {
        fail_msg("%s: %s", name, err.message);
    }
    return imp;
}

/* Reads all in batches of `max` rows and checks that row r is value_of(first + r). */
static uint64_t check_f32(om_import *imp, size_t max, uint32_t first)
{
    const om_import_info *info = om_import_about(imp);
    uint64_t seen = 0;
    om_tool_error err = {0};
    for (;;) {
        om_import_rows rows;
        assert_true(om_import_read(imp, max, &rows, &err));
        if (rows.count == 0) {
            return seen;
        }
        assert_true(rows.count <= max);
        assert_int_equal(rows.first, first + seen);
        for (size_t r = 0; r < rows.count; r++) {
            for (uint32_t v = 0; v < info->dim; v++) {
                float got;
                memcpy(&got, (const char *)rows.data + 4 * (r * info->dim + v), 4);
                assert_float_equal(got, value_of((uint32_t)(rows.first + r), v), 0);
            }
        }
        seen += rows.count;
    }
}

static void fvecs_in_every_wrapping(void **state)
{
    (void)state;
    bytes plain = make_fvecs(1000, 37);
    bytes gz = pack_gzip(&plain), zst = pack_zstd(&plain);
    const bytes *files[] = {&plain, &gz, &zst};
    const char *names[] = {"a.fvecs", "a.fvecs.gz", "a.fvecs.zst"};
    for (size_t i = 0; i < 3; i++) {
        om_import *imp = open_bytes(files[i], names[i], NULL);
        const om_import_info *info = om_import_about(imp);
        assert_string_equal(info->format, "fvecs");
        assert_int_equal(info->dim, 37);
        assert_int_equal(info->dtype, OMEN_F32);
        /* Only a plain file tells its number of rows before it is read. */
        assert_true(info->rows == (i == 0 ? 1000 : OMEN_NONE));
        assert_int_equal(check_f32(imp, 77, 0), 1000);
        om_import_free(imp);
    }
    free(plain.data);
    free(gz.data);
    free(zst.data);
}

static void members_and_frames_one_after_the_other(void **state)
{
    (void)state;
    bytes all = make_fvecs(200, 5);
    size_t half = 100 * (4 + 5 * 4);
    bytes first = {.data = all.data, .size = half},
          second = {.data = all.data + half, .size = half};
    bytes gz = pack_gzip(&first), more = pack_gzip(&second);
    put(&gz, more.data, more.size);
    put(&gz, "\0\0\0\0", 4); /* padding behind the last member, as on tapes */
    bytes zst = pack_zstd(&first), frame = pack_zstd(&second);
    put(&zst, frame.data, frame.size);
    om_import *imp = open_bytes(&gz, "x.fvecs.gz", NULL);
    assert_int_equal(check_f32(imp, 1000, 0), 200);
    om_import_free(imp);
    imp = open_bytes(&zst, "x.fvecs.zst", NULL);
    assert_int_equal(check_f32(imp, 1000, 0), 200);
    om_import_free(imp);
    free(all.data);
    free(gz.data);
    free(more.data);
    free(zst.data);
    free(frame.data);
}

static void offset_and_limit(void **state)
{
    (void)state;
    bytes b = make_fvecs(100, 3);
    om_import_options opt = {.offset = 30, .limit = 20};
    om_import *imp = open_bytes(&b, "a.fvecs", &opt);
    assert_int_equal(om_import_about(imp)->rows, 20);
    assert_int_equal(check_f32(imp, 7, 30), 20);
    om_import_free(imp);
    opt = (om_import_options){.offset = 90, .limit = 20};
    imp = open_bytes(&b, "a.fvecs", &opt);
    assert_int_equal(om_import_about(imp)->rows, 10);
    assert_int_equal(check_f32(imp, 7, 90), 10);
    om_import_free(imp);
    free(b.data);
}

static void bvecs_and_ivecs(void **state)
{
    (void)state;
    bytes b = {0};
    for (uint8_t r = 0; r < 10; r++) {
        put_le32(&b, 4);
        uint8_t row[4] = {r, 1, 255, (uint8_t)(2 * r)};
        put(&b, row, 4);
    }
    om_import *imp = open_bytes(&b, "a.bvecs", NULL);
    om_import_rows rows;
    om_tool_error err;
    assert_int_equal(om_import_about(imp)->dtype, OMEN_U8);
    assert_true(om_import_read(imp, 100, &rows, &err));
    assert_int_equal(rows.count, 10);
    for (uint8_t r = 0; r < 10; r++) {
        uint8_t want[4] = {r, 1, 255, (uint8_t)(2 * r)};
        assert_memory_equal((const uint8_t *)rows.data + 4 * r, want, 4);
    }
    om_import_free(imp);

    bytes i = {0};
    put_le32(&i, 2);
    put_le32(&i, 7);
    put_le32(&i, (uint32_t)-5);
    imp = open_bytes(&i, "a.ivecs", NULL);
    assert_int_equal(om_import_about(imp)->dtype, OM_IMPORT_I32);
    assert_true(om_import_read(imp, 100, &rows, &err));
    assert_int_equal(rows.count, 1);
    assert_int_equal(((const int32_t *)rows.data)[1], -5);
    om_import_free(imp);
    free(b.data);
    free(i.data);
}

static void npy_versions_types_and_shapes(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *header;
        uint32_t dtype, dim;
        uint64_t rows;
        size_t bytes;
    } cases[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", OMEN_F32, 4, 3, 48},
        {2, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", OMEN_F32, 4, 3, 48},
        {1, "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 4)}", OMEN_F16, 4, 3, 24},
        {1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }", OMEN_U8, 4, 3, 12},
        {1, "{'shape': (6,), 'fortran_order': True, 'descr': '|i1', }", OMEN_I8, 6, 1, 6},
        {1, "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (0, 9)}", OMEN_F32, 9, 0, 0},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        bytes b = {0};
        put_npy(&b, cases[c].version, cases[c].header);
        for (size_t i = 0; i < cases[c].bytes; i++) {
            uint8_t v = (uint8_t)(i * 3);
            put(&b, &v, 1);
        }
        /* No suffix: the format is told by the first bytes. */
        om_import *imp = open_bytes(&b, "unnamed", NULL);
        const om_import_info *info = om_import_about(imp);
        assert_string_equal(info->format, "npy");
        assert_int_equal(info->dtype, cases[c].dtype);
        assert_int_equal(info->dim, cases[c].dim);
        assert_int_equal(info->rows, cases[c].rows);
        om_import_rows rows;
        om_tool_error err;
        assert_true(om_import_read(imp, 100, &rows, &err));
        assert_int_equal(rows.count, cases[c].rows);
        assert_memory_equal(rows.data != NULL ? rows.data : b.data,
                            b.data + b.size - cases[c].bytes, cases[c].bytes);
        om_import_free(imp);
        free(b.data);
    }
}

static void idx_of_images_labels_and_floats(void **state)
{
    (void)state;
    bytes b = {0};
    put(&b, "\0\0\x08\x03", 4);
    put_be32(&b, 2);
    put_be32(&b, 2);
    put_be32(&b, 3);
    put(&b, "abcdefghijkl", 12);
    om_import *imp = open_bytes(&b, "train-images-idx3-ubyte", NULL);
    om_import_rows rows;
    om_tool_error err;
    assert_int_equal(om_import_about(imp)->dim, 6);
    assert_int_equal(om_import_about(imp)->rows, 2);
    assert_true(om_import_read(imp, 1, &rows, &err));
    assert_true(om_import_read(imp, 1, &rows, &err));
    assert_memory_equal(rows.data, "ghijkl", 6);
    om_import_free(imp);
    free(b.data);

    bytes f = {0};
    float value = -1.5f;
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put(&f, "\0\0\x0d\x01", 4);
    put_be32(&f, 1);
    put_be32(&f, bits);
    imp = open_bytes(&f, "x", NULL);
    assert_int_equal(om_import_about(imp)->dtype, OMEN_F32);
    assert_true(om_import_read(imp, 5, &rows, &err));
    assert_memory_equal(rows.data, &value, 4);
    om_import_free(imp);
    free(f.data);
}

static void json_lines(void **state)
{
    (void)state;
    bytes b = {0};
    put_text(&b, "{\"id\": 7, \"vector\": [1, 2.5, -3e2]}\n\n"
                 "  {\"vector\": [0, 0, 0.1], \"id\": 9, \"title\": \"x\"}\r\n"
                 "{\"id\":11,\"vector\":[1,1,1]}");
    om_import *imp = open_bytes(&b, "rows.jsonl", NULL);
    om_import_rows rows;
    om_tool_error err;
    assert_true(om_import_about(imp)->has_ids);
    assert_true(om_import_read(imp, 2, &rows, &err));
    assert_int_equal(rows.count, 2);
    assert_int_equal(rows.ids->count, 2);
    assert_int_equal(rows.ids->u64[0], 7);
    assert_int_equal(rows.ids->u64[1], 9);
    float want[6] = {1, 2.5f, -300, 0, 0, 0.1f};
    assert_memory_equal(rows.data, want, sizeof want);
    assert_non_null(rows.metadata);
    assert_int_equal(rows.metadata->count, 2);
    size_t told;
    assert_memory_equal(om_json_column_get(rows.metadata, 1, &told), "{\"title\":\"x\"}", 13);
    assert_int_equal(told, 13);
    (void)om_json_column_get(rows.metadata, 0, &told);
    assert_int_equal(told, 0);
    assert_true(om_import_read(imp, 2, &rows, &err));
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.ids->u64[0], 11);
    assert_null(rows.metadata);
    assert_true(om_import_read(imp, 2, &rows, &err));
    assert_int_equal(rows.count, 0);
    om_import_free(imp);
    free(b.data);

    bytes s = {0};
    put_text(&s, "{\"id\": \"a\", \"vector\": [1]}\n{\"id\": \"\\u00e9\", \"vector\": [2]}\n");
    imp = open_bytes(&s, "no suffix", NULL);
    assert_true(om_import_read(imp, 9, &rows, &err));
    assert_int_equal(rows.ids->type, OMEN_ID_STRING);
    size_t len;
    assert_memory_equal(om_ids_string(rows.ids, 1, &len), "\xc3\xa9", 2);
    assert_int_equal(len, 2);
    om_import_free(imp);
    free(s.data);

    bytes a = {0};
    put_text(&a, "[1, 2]\n[3, 4]\n");
    om_import_options skip = {.offset = 1};
    imp = open_bytes(&a, "a.jsonl", &skip);
    assert_false(om_import_about(imp)->has_ids);
    assert_true(om_import_read(imp, 9, &rows, &err));
    assert_int_equal(rows.count, 1);
    assert_float_equal(((const float *)rows.data)[0], 3, 0);
    om_import_free(imp);
    free(a.data);
}

/* A file much larger than the buffers, and its position as a progress bar sees it. */
static void files_larger_than_the_buffers(void **state)
{
    (void)state;
    bytes b = make_fvecs(30000, 16); /* 2 MB */
    char path[] = "tool_import_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.data, b.size), b.size);
    om_import *imp;
    om_tool_error err;
    om_import_options opt = {.format = "fvecs"};
    assert_true(om_import_open(path, &opt, &imp, &err));
    assert_int_equal(check_f32(imp, 4096, 0), 30000);
    uint64_t done, total;
    om_import_position(imp, &done, &total);
    assert_int_equal(done, b.size);
    assert_int_equal(total, b.size);
    om_import_free(imp);
    assert_int_equal(unlink(path), 0);
    (void)close(fd);
    free(b.data);
}

static void conversions_lose_nothing(void **state)
{
    (void)state;
    om_tool_error err;
    size_t item = 99;
    const uint8_t u8[4] = {0, 1, 200, 255};
    const int8_t i8[2] = {-128, 127};
    float f[4];
    assert_true(om_import_convert(u8, OMEN_U8, f, OMEN_F32, 4, &item, &err));
    assert_float_equal(f[3], 255, 0);
    assert_true(om_import_convert(i8, OMEN_I8, f, OMEN_F32, 2, &item, &err));
    assert_float_equal(f[0], -128, 0);
    /* 1, smallest subnormal, greatest, -2 in half precision. */
    const uint16_t half[4] = {0x3c00, 0x0001, 0x7bff, 0xc000};
    assert_true(om_import_convert(half, OMEN_F16, f, OMEN_F32, 4, &item, &err));
    assert_float_equal(f[0], 1, 0);
    assert_float_equal(f[1], 0x1p-24f, 0);
    assert_float_equal(f[2], 65504, 0);
    assert_float_equal(f[3], -2, 0);

    uint8_t out[4];
    const float whole[4] = {0, 1, 200, 255};
    assert_true(om_import_convert(whole, OMEN_F32, out, OMEN_U8, 4, &item, &err));
    assert_memory_equal(out, u8, 4);
    const float bad[3][2] = {{1, 256}, {1, 0.5f}, {1, -1}};
    for (size_t i = 0; i < 3; i++) {
        assert_false(om_import_convert(bad[i], OMEN_F32, out, OMEN_U8, 2, &item, &err));
        assert_int_equal(item, 1);
    }
    const int32_t wide[2] = {16777216, 16777217}; /* 2^24 + 1 is no f32 */
    assert_false(om_import_convert(wide, OM_IMPORT_I32, f, OMEN_F32, 2, &item, &err));
    assert_int_equal(item, 1);
    assert_false(om_import_convert(u8, OMEN_U8, out, OMEN_F16, 2, &item, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fvecs_in_every_wrapping),
        cmocka_unit_test(members_and_frames_one_after_the_other),
        cmocka_unit_test(offset_and_limit),
        cmocka_unit_test(bvecs_and_ivecs),
        cmocka_unit_test(npy_versions_types_and_shapes),
        cmocka_unit_test(idx_of_images_labels_and_floats),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(files_larger_than_the_buffers),
        cmocka_unit_test(conversions_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
