/* tool_dump_test.c - dumps come back as they were, and every change or cut of one is found; base64.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base64.h"
#include "dump.h"
#include "import.h"

enum { DIM = 3, ROWS = 25, BLOCK = 10 };

typedef struct stream {
    uint8_t *bytes;
    size_t size;
} stream;

static bool put(void *ctx, const void *bytes, size_t n, om_tool_error *err)
{
    stream *s = ctx;
    (void)err;
    s->bytes = realloc(s->bytes, s->size + n);
    assert_non_null(s->bytes);
    memcpy(s->bytes + s->size, bytes, n);
    s->size += n;
    return true;
}

static void add_id(om_ids *ids, size_t row)
{
    om_tool_error err;
    uint8_t uuid[16] = {0};
    char text[32];
    if (ids->type == OMEN_ID_U64) {
        assert_true(om_ids_add_u64(ids, UINT64_C(1) << 40 | row, &err));
    } else if (ids->type == OMEN_ID_UUID) {
        uuid[0] = (uint8_t)row;
        uuid[15] = 0xfe;
        assert_true(om_ids_add_uuid(ids, uuid, &err));
    } else {
        int n = snprintf(text, sizeof text, "%.*s", (int)row + 1, "abcdefghijklmnopqrstuvwxyz");
        assert_true(om_ids_add_string(ids, text, (size_t)n, &err));
    }
}

static float value_of(size_t row, size_t i)
{
    return (float)row * 10.0f + (float)i / 8.0f;
}

static stream make(uint32_t id_type)
{
    stream s = {NULL, 0};
    om_tool_error err;
    om_dump_writer w = {.put = put,
                        .ctx = &s,
                        .head = {.options = {.dim = DIM,
                                             .metric = OMEN_COSINE,
                                             .dtype = OMEN_F32,
                                             .id_type = id_type,
                                             .m = 12},
                                 .rows = OMEN_NONE}};
    om_ids ids = {.type = id_type};
    float vectors[BLOCK * DIM];
    assert_true(om_dump_begin(&w, &err));
    for (size_t row = 0; row < ROWS;) {
        om_ids_clear(&ids);
        for (; ids.count < BLOCK && row < ROWS; row++) {
            for (size_t i = 0; i < DIM; i++) {
                vectors[ids.count * DIM + i] = value_of(row, i);
            }
            add_id(&ids, row);
        }
        assert_true(om_dump_rows(&w, &ids, vectors, NULL, &err));
    }
    assert_true(om_dump_end(&w, &err));
    om_dump_writer_free(&w);
    om_ids_free(&ids);
    return s;
}

/* Reads to the end, in batches of 7; the rows seen in *rows. */
static bool read_all(const uint8_t *bytes, size_t size, om_import **out, uint64_t *rows,
                     om_tool_error *err)
{
    om_import_options none = {0};
    om_import_rows got = {.count = 1};
    *rows = 0;
    *out = NULL;
    if (!om_import_open_memory(bytes, size, "x.omendump", &none, out, err)) {
        *out = NULL;
        return false;
    }
    while (got.count > 0) {
        if (!om_import_read(*out, 7, &got, err)) {
            return false;
        }
        for (size_t r = 0; r < got.count; r++) {
            float vector[DIM];
            memcpy(vector, (const char *)got.data + r * sizeof vector, sizeof vector);
            for (size_t i = 0; i < DIM; i++) {
                assert_float_equal(vector[i], value_of(*rows + r, i), 0);
            }
        }
        *rows += got.count;
    }
    return true;
}

static void dumps_come_back(void **state)
{
    (void)state;
    for (uint32_t id_type = OMEN_ID_U64; id_type <= OMEN_ID_STRING; id_type++) {
        stream s = make(id_type);
        om_import *imp = NULL;
        om_tool_error err = {0};
        uint64_t rows = 0;
        assert_true(read_all(s.bytes, s.size, &imp, &rows, &err));
        assert_int_equal(rows, ROWS);
        const om_import_info *info = om_import_about(imp);
        assert_true(info->has_shape && info->has_ids);
        assert_int_equal(info->shape.metric, OMEN_COSINE);
        assert_int_equal(info->shape.id_type, id_type);
        assert_int_equal(info->shape.m, 12);
        om_import_free(imp);
        /* The ids, too. */
        om_import_options skip = {.offset = 20};
        om_import_rows got;
        om_ids wanted = {.type = id_type};
        add_id(&wanted, 20);
        assert_true(om_import_open_memory(s.bytes, s.size, "x.dump", &skip, &imp, &err));
        assert_true(om_import_read(imp, 100, &got, &err));
        assert_int_equal(got.count, 5);
        assert_true(om_ids_equal(got.ids, 0, &wanted, 0));
        om_ids_free(&wanted);
        om_import_free(imp);
        free(s.bytes);
    }
}

static void every_cut_is_found(void **state)
{
    (void)state;
    stream s = make(OMEN_ID_STRING);
    for (size_t size = 0; size < s.size; size++) {
        om_import *imp = NULL;
        om_tool_error err = {0};
        uint64_t rows = 0;
        uint8_t *cut =
            malloc(size + 1); /* of this size, so that a sanitizer sees a read behind it */
        memcpy(cut, s.bytes, size);
        assert_false(read_all(cut, size, &imp, &rows, &err));
        assert_true(rows < ROWS || size > s.size - 40);
        assert_int_equal(err.code, OM_EXIT_DATA_LOSS);
        om_import_free(imp);
        free(cut);
    }
    free(s.bytes);
}

static void every_changed_byte_is_found(void **state)
{
    (void)state;
    stream s = make(OMEN_ID_STRING);
    for (size_t i = 0; i < s.size; i++) {
        om_import *imp = NULL;
        om_tool_error err = {0};
        uint64_t rows = 0;
        s.bytes[i] ^= (uint8_t)(1u << i % 8);
        assert_false(read_all(s.bytes, s.size, &imp, &rows, &err));
        assert_int_equal(err.code, OM_EXIT_DATA_LOSS);
        om_import_free(imp);
        s.bytes[i] ^= (uint8_t)(1u << i % 8);
    }
    /* One byte more is no dump either. */
    om_import *imp = NULL;
    om_tool_error err = {0};
    uint64_t rows = 0;
    assert_true(put(&s, "x", 1, &err));
    assert_false(read_all(s.bytes, s.size, &imp, &rows, &err));
    om_import_free(imp);
    free(s.bytes);
}

/* Blocks that are whole, but not where they belong. */
static void blocks_out_of_order_are_found(void **state)
{
    (void)state;
    stream s = make(OMEN_ID_U64);
    size_t block = OM_DUMP_BLOCK + BLOCK * (8 + DIM * sizeof(float)) + 4;
    uint8_t *mixed = malloc(s.size);
    om_import *imp = NULL;
    om_tool_error err = {0};
    uint64_t rows = 0;
    memcpy(mixed, s.bytes, s.size);
    memcpy(mixed + OM_DUMP_HEADER, s.bytes + OM_DUMP_HEADER + block, block);
    memcpy(mixed + OM_DUMP_HEADER + block, s.bytes + OM_DUMP_HEADER, block);
    assert_false(read_all(mixed, s.size, &imp, &rows, &err));
    assert_int_equal(rows, 0);
    om_import_free(imp);
    /* One left out. */
    memcpy(mixed, s.bytes, OM_DUMP_HEADER + block);
    memcpy(mixed + OM_DUMP_HEADER + block, s.bytes + OM_DUMP_HEADER + 2 * block,
           s.size - OM_DUMP_HEADER - 2 * block);
    assert_false(read_all(mixed, s.size - block, &imp, &rows, &err));
    om_import_free(imp);
    free(mixed);
    free(s.bytes);
}

/* ---- base64 ------------------------------------------------------------------------------ */

static void base64_of_every_length(void **state)
{
    static const char *const known[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char text[16] = "";
        uint8_t back[16];
        size_t n = strlen(known[i][0]);
        om_base64_encode((const uint8_t *)known[i][0], n, text);
        assert_memory_equal(text, known[i][1], OM_BASE64_SIZE(n));
        assert_int_equal(om_base64_bytes(known[i][1], strlen(known[i][1])), n);
        assert_true(om_base64_decode(known[i][1], strlen(known[i][1]), back, n));
        assert_memory_equal(back, known[i][0], n);
        assert_false(om_base64_decode(known[i][1], strlen(known[i][1]), back, n + 1));
    }
    for (unsigned seed = 1; seed < 300; seed++) {
        uint8_t bytes[64], back[64];
        char text[OM_BASE64_SIZE(64)];
        size_t n = seed % 64;
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)(seed * 2654435761u >> (i % 24));
        }
        om_base64_encode(bytes, n, text);
        assert_true(om_base64_decode(text, OM_BASE64_SIZE(n), back, n));
        assert_memory_equal(bytes, back, n);
    }
}

static void base64_refuses_the_rest(void **state)
{
    static const char *const bad[] = {
        "Zg=",      "Zg",   "Z===",   "====",
        "Zm9=Zm9v", "Zm9 ", "Zm9v\n", "Zh==" /* bits behind the end */,
        "Zm9v====", "Zm-_"};
    uint8_t out[16];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t want = 0; want < 8; want++) {
            assert_false(om_base64_decode(bad[i], strlen(bad[i]), out, want));
        }
    }
}

static void json_lines_take_base64(void **state)
{
    static const char text[] = "{\"id\": 4, \"dtype\": \"u8\", \"vector\": \"AQID\"}\n"
                               "{\"id\": 5, \"dtype\": \"u8\", \"vector\": \"/wAB\"}\n";
    static const char *const bad[] = {
        "{\"id\": 4, \"dtype\": \"u8\", \"vector\": \"AQID\"}\n{\"id\": 5, \"vector\": [1,2,3]}\n",
        ("{\"id\": 4, \"dtype\": \"u8\", \"vector\": \"AQID\"}\n"
         "{\"id\": 5, \"dtype\": \"u8\", \"vector\": \"AQI=\"}\n"),
        "{\"id\": 4, \"dtype\": \"u9\", \"vector\": \"AQID\"}\n",
        "{\"id\": 4, \"vector\": \"AQID\"}\n", /* three bytes are no f32 */
        "{\"id\": 4, \"dtype\": 7, \"vector\": \"AQIDBA==\"}\n",
        "{\"id\": 4, \"vector\": \"!!!!\"}\n",
        "{\"id\": 4, \"vector\": \"\"}\n",
    };
    om_import_options none = {0};
    om_import *imp = NULL;
    om_tool_error err = {0};
    om_import_rows rows;
    (void)state;
    assert_true(om_import_open_memory(text, strlen(text), "x.jsonl", &none, &imp, &err));
    assert_int_equal(om_import_about(imp)->dim, 3);
    assert_int_equal(om_import_about(imp)->dtype, OMEN_U8);
    assert_true(om_import_read(imp, 10, &rows, &err));
    assert_int_equal(rows.count, 2);
    assert_memory_equal(rows.data, "\x01\x02\x03\xff\x00\x01", 6);
    om_import_free(imp);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        imp = NULL;
        bool ok = om_import_open_memory(bad[i], strlen(bad[i]), "x.jsonl", &none, &imp, &err);
        assert_false(ok && om_import_read(imp, 10, &rows, &err));
        assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
        om_import_free(ok ? imp : NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dumps_come_back),
        cmocka_unit_test(every_cut_is_found),
        cmocka_unit_test(every_changed_byte_is_found),
        cmocka_unit_test(blocks_out_of_order_are_found),
        cmocka_unit_test(base64_of_every_length),
        cmocka_unit_test(base64_refuses_the_rest),
        cmocka_unit_test(json_lines_take_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
