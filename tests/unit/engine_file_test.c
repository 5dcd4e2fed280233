/* engine_file_test.c - segment files: what is saved is what is opened; the same bytes whatever the number
 * of threads; damage anywhere is reported or harmless. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

enum { N = 1500, DIM = 10, K = 10 };

static omen_collection *open_file(fixture *f, const char *name, const char *path, uint32_t flags)
{
    omen_collection *c = NULL;
    omen_open_options opt = {.struct_size = sizeof opt, .flags = flags, .file = path};
    OK(f, omen_open(f->db, name, &opt, &c, &f->err));
    return c;
}

static uint32_t id_text(uint32_t i, char *out, size_t room)
{
    int length = snprintf(out, room, "id-%u-%.*s", i, (int)(i % 40),
                          "abcdefghijklmnopqrstuvwxyz0123456789ABCD");
    assert_true(length > 0 && (size_t)length < room);
    return (uint32_t)length;
}

/* Rows first .. first + n - 1 of the test's data, with ids of the collection's type. */
static void add_ids(fixture *f, const float *rows, uint32_t first, uint32_t n)
{
    char *bytes = malloc((size_t)n * 64);
    int32_t *offsets = malloc((n + 1) * sizeof *offsets);
    assert_non_null(bytes);
    assert_non_null(offsets);
    offsets[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        char *at = bytes + offsets[i];
        uint32_t length = id_text(first + i, at, 64);
        if (f->options.id_type == OMEN_ID_UUID) {
            memset(at + length, '.', length < 16 ? 16 - length : 0);
            memcpy(at, &(uint32_t){first + i}, sizeof(uint32_t));
            length = 16;
        }
        offsets[i + 1] = offsets[i] + (int32_t)length;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = n,
                        .vectors = rows + (size_t)first * DIM,
                        .dim = DIM,
                        .ids = {.data = bytes, .offsets = offsets, .offset_bits = 32}};
    OK(f, omen_add_batch(f->c, &batch, NULL, NULL, &f->err));
    free(offsets);
    free(bytes);
}

/* Everything that reads gives the same for both collections. */
static void same_answers(fixture *f, omen_collection *other, const float *rows)
{
    for (uint32_t flags = 0; flags <= OMEN_GRAPH_ONLY; flags++) {
        static uint64_t keys[2][20 * K];
        static float distances[2][20 * K];
        omen_query query = {.struct_size = sizeof query,
                            .flags = flags & ~(uint32_t)OMEN_PARTIAL_OK,
                            .vectors = rows,
                            .dtype = OMEN_F32,
                            .dim = DIM,
                            .count = 20,
                            .k = K};
        for (uint32_t i = 0; i < 2; i++) {
            omen_hits hits = {
                .struct_size = sizeof hits, .keys = keys[i], .distances = distances[i]};
            OK(f, omen_search(i == 0 ? f->c : other, &query, &hits, &f->err));
        }
        assert_memory_equal(keys[0], keys[1], sizeof keys[0]);
        assert_memory_equal(distances[0], distances[1], sizeof distances[0]);
    }
    uint64_t cursor[2] = {0, 0}, count[2], keys[2][64], total = 0;
    do {
        for (uint32_t i = 0; i < 2; i++) {
            OK(f, omen_scan(i == 0 ? f->c : other, &cursor[i], keys[i], 64, &count[i], &f->err));
        }
        assert_int_equal(count[0], count[1]);
        assert_memory_equal(keys[0], keys[1], count[0] * sizeof keys[0][0]);
        float vectors[2][64 * DIM];
        omen_column column[2];
        omen_rows *ids[2];
        for (uint32_t i = 0; i < 2; i++) {
            omen_collection *c = i == 0 ? f->c : other;
            OK(f, omen_get_vectors(c, keys[i], count[i], vectors[i], 0, OMEN_F32, NULL, &f->err));
            OK(f, omen_fetch(c, keys[i], count[i], OMEN_FIELD_ID, &ids[i], &f->err));
            omen_rows_column(ids[i], OMEN_FIELD_ID, &column[i]);
        }
        assert_memory_equal(vectors[0], vectors[1], count[0] * DIM * sizeof(float));
        uint64_t back[64];
        OK(f, omen_lookup(other, &column[0], count[0], back, &f->err));
        assert_memory_equal(back, keys[0], count[0] * sizeof back[0]);
        omen_rows_free(ids[0]);
        omen_rows_free(ids[1]);
        total += count[0];
    } while (count[0] == 64);
    assert_int_equal(total, fx_count(f));
}

static void fill(fixture *f, const float *rows)
{
    if (f->options.id_type == OMEN_ID_U64) {
        fx_add(f, rows, N, 100);
        fx_add(f, rows, 50, 150); /* replaced */
    } else {
        add_ids(f, rows, 0, N);
        add_ids(f, rows, 60, 50);
    }
    uint64_t cursor = 0, count, keys[40];
    OK(f, omen_scan(f->c, &cursor, keys, 40, &count, &f->err));
    for (uint32_t i = 0; i < count; i++) {
        fx_delete(f, keys[i]);
    }
}

static void what_is_saved_is_opened(void **state)
{
    (void)state;
    float *rows = fx_rows(N, DIM, 30);
    for (uint32_t n = 0; n < 9; n++) {
        fixture f;
        const omen_options o = {.dim = DIM,
                                .metric = 1 + n % 3,
                                .id_type = 1 + n / 3,
                                .entry = n == 4 ? OMEN_ENTRY_HIERARCHY : OMEN_ENTRY_AUTO};
        fx_open(&f, &o, 2);
        fill(&f, rows);
        const char *path = fx_path("saved.omen");
        OK(&f, omen_save(f.c, path, NULL, &f.err));
        for (uint32_t i = 0; i < 2; i++) {
            omen_collection *c = open_file(&f, "copy", path, i == 0 ? 0 : OMEN_OPEN_VERIFY);
            same_answers(&f, c, rows);
            omen_options read = {.struct_size = sizeof read};
            OK(&f, omen_describe(c, &read, &f.err));
            assert_memory_equal(&read, &f.options, sizeof read);
            omen_stats stats = {.struct_size = sizeof stats};
            OK(&f, omen_get_stats(c, &stats, &f.err));
            assert_int_equal(stats.read_only, 1);
            assert_int_equal(stats.count, fx_count(&f));
            assert_true(stats.bytes_mapped > 0 && stats.bytes_vectors == 0);
            OK(&f, omen_drop(f.db, "copy", &f.err));
            omen_collection_free(c);
        }
        fx_remove(path);
        fx_close(&f);
    }
    free(rows);
}

static void a_mapped_collection_is_read_only(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM}, 1);
    float *rows = fx_rows(N, DIM, 31);
    fx_add(&f, rows, N, 0);
    const char *path = fx_path("once.omen");
    OK(&f, omen_save(f.c, path, NULL, &f.err));
    omen_collection *c = open_file(&f, "copy", path, 0);
    omen_batch batch = {.struct_size = sizeof batch, .count = 1, .vectors = rows, .dim = DIM};
    FAILS(&f, omen_add_batch(c, &batch, NULL, NULL, &f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    FAILS(&f, omen_delete_batch(c, &batch, NULL, NULL, &f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    omen_open_options opt = {.struct_size = sizeof opt, .file = path};
    omen_collection *other = NULL;
    FAILS(&f, omen_open(f.db, "copy", &opt, &other, &f.err), OMEN_ALREADY_EXISTS, OMEN_D_NAME);
    opt.file = fx_path("none.omen");
    FAILS(&f, omen_open(f.db, "other", &opt, &other, &f.err), OMEN_NOT_FOUND, OMEN_D_IO);
    /* A copy of the copy has the same bytes; the file may go while it is mapped. */
    char second[512];
    (void)snprintf(second, sizeof second, "%s", fx_path("twice.omen"));
    OK(&f, omen_save(c, second, NULL, &f.err));
    fx_remove(fx_path("once.omen"));
    same_answers(&f, c, rows);
    omen_collection *again = open_file(&f, "again", second, OMEN_OPEN_VERIFY);
    same_answers(&f, again, rows);
    fx_remove(second);
    omen_collection_free(again);
    omen_collection_free(c);
    free(rows);
    fx_close(&f);
}

static void an_empty_collection_can_be_saved(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM, .id_type = OMEN_ID_STRING}, 1);
    const char *path = fx_path("empty.omen");
    OK(&f, omen_save(f.c, path, NULL, &f.err));
    omen_collection *c = open_file(&f, "copy", path, OMEN_OPEN_VERIFY);
    const float q[DIM] = {0};
    uint64_t key;
    OK(&f, omen_search_f32(c, q, 1, 1, 0, &key, NULL, &f.err));
    assert_true(key == OMEN_NONE);
    omen_collection_free(c);
    OK(&f, omen_drop(f.db, "copy", &f.err));
    float *rows = fx_rows(20, DIM, 32);
    add_ids(&f, rows, 0, 20);
    for (uint64_t k = 1; k <= 20; k++) {
        fx_delete(&f, k);
    }
    OK(&f, omen_save(f.c, path, NULL, &f.err)); /* rows, all of them dead */
    c = open_file(&f, "copy", path, OMEN_OPEN_VERIFY);
    OK(&f, omen_search_f32(c, q, 1, 1, 0, &key, NULL, &f.err));
    assert_true(key == OMEN_NONE);
    omen_collection_free(c);
    fx_remove(path);
    free(rows);
    fx_close(&f);
}

static void the_number_of_threads_leaves_no_trace(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    float *rows = fx_rows(ROWS, DIM, 33);
    uint8_t *bytes[3];
    size_t size[3];
    for (uint32_t i = 0; i < 3; i++) {
        fixture f;
        fx_open(&f, &(omen_options){.dim = DIM, .metric = OMEN_COSINE}, i + 1);
        const uint32_t piece = 700; /* BIRTHS tells how it was cut into batches */
        for (uint32_t at = 0; at < ROWS; at += piece) {
            fx_add(&f, rows + (size_t)at * DIM, ROWS - at < piece ? ROWS - at : piece, at);
        }
        const char *path = fx_path("threads.omen");
        OK(&f, omen_save(f.c, path, NULL, &f.err));
        bytes[i] = fx_read(path, &size[i]);
        fx_remove(path);
        fx_close(&f);
    }
    for (uint32_t i = 1; i < 3; i++) {
        assert_int_equal(size[i], size[0]);
        assert_memory_equal(bytes[i], bytes[0], size[0]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        free(bytes[i]);
    }
    free(rows);
}

/* Uses a damaged file in every way; whatever is said must be an error or the truth. */
static void use_damaged(fixture *f, const char *path, const float *rows, const uint64_t *truth)
{
    omen_open_options opt = {.struct_size = sizeof opt, .file = path, .warm = OMEN_WARM_NONE};
    omen_collection *c = NULL;
    if (omen_open(f->db, "damaged", &opt, &c, &f->err) != OMEN_OK) {
        return;
    }
    uint64_t keys[K], cursor = 0, count = 0, many[64];
    float distances[K], vectors[K * DIM];
    if (omen_search_f32(c, rows, 1, K, 0, keys, distances, &f->err) == OMEN_OK) {
        assert_memory_equal(keys, truth, sizeof keys);
    }
    omen_query query = {.struct_size = sizeof query,
                        .flags = OMEN_EXACT,
                        .vectors = rows,
                        .dtype = OMEN_F32,
                        .dim = DIM,
                        .count = 1,
                        .k = K};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
    if (omen_search(c, &query, &hits, &f->err) == OMEN_OK) {
        assert_memory_equal(keys, truth, sizeof keys);
    }
    if (omen_get_vectors(c, truth, K, vectors, 0, 0, NULL, &f->err) == OMEN_OK) {
        assert_memory_equal(vectors, rows, DIM * sizeof(float));
    }
    omen_rows *ids = NULL;
    if (omen_fetch(c, truth, K, OMEN_FIELD_ID, &ids, &f->err) == OMEN_OK) {
        omen_column column;
        omen_rows_column(ids, OMEN_FIELD_ID, &column);
        if (omen_lookup(c, &column, K, keys, &f->err) == OMEN_OK) {
            assert_memory_equal(keys, truth, sizeof keys);
        }
        omen_rows_free(ids);
    }
    do {
        count = 0;
    } while (omen_scan(c, &cursor, many, 64, &count, &f->err) == OMEN_OK && count == 64);
    omen_collection_free(c);
    OK(f, omen_drop(f->db, "damaged", &f->err));
}

static void damage_is_reported_or_harmless(void **state)
{
    (void)state;
    enum { ROWS = 300, FLIPS = 400 };
    fixture f;
    fx_open(&f, &(omen_options){.dim = DIM, .metric = OMEN_COSINE, .id_type = OMEN_ID_STRING}, 1);
    float *rows = fx_rows(ROWS, DIM, 34);
    add_ids(&f, rows, 0, ROWS);
    fx_delete(&f, 17);
    const char *path = fx_path("good.omen");
    OK(&f, omen_save(f.c, path, NULL, &f.err));
    size_t size;
    uint8_t *bytes = fx_read(path, &size);
    fx_remove(path);
    uint64_t truth[K];
    OK(&f, omen_search_f32(f.c, rows, 1, K, 0, truth, NULL, &f.err));
    fx_rng rng = {35};
    path = fx_path("bad.omen");
    uint32_t refused = 0;
    for (uint32_t i = 0; i < FLIPS; i++) {
        size_t at = (size_t)(fx_next(&rng) % size);
        uint8_t bit = (uint8_t)(1u << fx_below(&rng, 8));
        bytes[at] ^= bit;
        fx_write(path, bytes, size);
        use_damaged(&f, path, rows, truth);
        omen_open_options opt = {
            .struct_size = sizeof opt, .file = path, .flags = OMEN_OPEN_VERIFY};
        omen_collection *c = NULL;
        if (omen_open(f.db, "checked", &opt, &c, &f.err) != OMEN_OK) {
            assert_true(f.err.status == OMEN_DATA_LOSS || f.err.status == OMEN_UNIMPLEMENTED);
            refused++;
        } else { /* a bit of the padding */
            omen_collection_free(c);
            OK(&f, omen_drop(f.db, "checked", &f.err));
        }
        bytes[at] ^= bit;
    }
    assert_true(refused > FLIPS / 4);
    for (size_t cut = 0; cut < size; cut += size / 50 + 1) {
        fx_write(path, bytes, cut);
        omen_open_options opt = {.struct_size = sizeof opt, .file = path};
        omen_collection *c = NULL;
        assert_int_equal(omen_open(f.db, "cut", &opt, &c, &f.err), OMEN_DATA_LOSS);
    }
    fx_remove(path);
    free(bytes);
    free(rows);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_opened),
        cmocka_unit_test(a_mapped_collection_is_read_only),
        cmocka_unit_test(an_empty_collection_can_be_saved),
        cmocka_unit_test(the_number_of_threads_leaves_no_trace),
        cmocka_unit_test(damage_is_reported_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
