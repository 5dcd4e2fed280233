/* engine_fields_edge_test.c - metadata at its edges: sizes, races at the door, files that lie.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fields_file.h"
#include "engine_items.h"

static omen_batch one(const uint64_t *keys, const float *vectors, const char *json,
                      const int64_t *offsets, uint64_t count)
{
    return (omen_batch){.struct_size = sizeof(omen_batch),
                        .count = count,
                        .vectors = vectors,
                        .dim = IT_DIM,
                        .keys = keys,
                        .metadata = {.data = json, .offsets = offsets, .offset_bits = 64}};
}

/* ---- Batches ---------------------------------------------------------------------------- */
/* An allocator that remembers how large each block is: one that is given back with another size is a
 * mistake. */
typedef struct sized {
    _Atomic uint64_t wrong, live;
} sized;

static void *sized_get(void *ctx, size_t size, size_t align)
{
    sized *s = ctx;
    size_t head = align < 64 ? 64 : align;
    uint8_t *block = aligned_alloc(head, (head + size + head - 1) / head * head);
    memcpy(block, &size, sizeof size);
    atomic_fetch_add(&s->live, 1);
    return block + head;
}

static void sized_put(void *ctx, void *block, size_t size, size_t align)
{
    sized *s = ctx;
    size_t head = align < 64 ? 64 : align;
    size_t was;
    memcpy(&was, (uint8_t *)block - head, sizeof was);
    atomic_fetch_add(&s->wrong, was != size);
    atomic_fetch_sub(&s->live, 1);
    memset(block, 0xA5, was);
    free((uint8_t *)block - head);
}

static void a_patch_gives_back_what_it_took(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    fixture f = {.rt = NULL};
    sized s = {0};
    const omen_runtime_options runtime = {
        .struct_size = sizeof runtime, .threads = 1, .allocator = {sized_get, sized_put, &s}};
    OK(&f, omen_runtime_create(&runtime, &f.rt, &f.err));
    const omen_db_options db = {.struct_size = sizeof db, .runtime = f.rt};
    OK(&f, omen_db_open(NULL, &db, &f.db, &f.err));
    const omen_options options = {.struct_size = sizeof options, .dim = IT_DIM};
    OK(&f, omen_create(f.db, "c", &options, &f.c, &f.err));
    uint64_t keys[COUNT];
    int32_t states[COUNT];
    float vectors[COUNT * IT_DIM] = {0};
    char json[COUNT * 16];
    int64_t offsets[COUNT + 1] = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i] = i;
        offsets[i + 1] = offsets[i] + snprintf(json + offsets[i], 16, "{\"n\":%u}", i);
    }
    omen_batch batch = one(keys, vectors, json, offsets, COUNT / 2);
    OK(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err));
    batch = one(keys, NULL, json, offsets, COUNT); /* half of them are not there */
    batch.mode = OMEN_PATCH;
    batch.flags = OMEN_PER_ITEM;
    batch.item_status = states;
    omen_write_result result = {.struct_size = sizeof result};
    OK(&f, omen_add_batch(f.c, &batch, &result, NULL, &f.err));
    assert_int_equal(result.applied, COUNT / 2);
    assert_int_equal(result.refused, COUNT / 2);
    assert_int_equal(states[0], OMEN_OK);
    assert_int_equal(states[COUNT - 1], OMEN_NOT_FOUND);
    fx_close(&f);
    assert_int_equal(atomic_load(&s.wrong), 0);
    assert_int_equal(atomic_load(&s.live), 0);
}

/* What is written for a PATCH has vectors: as large as a batch may be, or it could not be read again. */
static void a_patch_is_as_large_as_a_batch(void **state)
{
    (void)state;
    enum { COUNT = 4200 }; /* of 256 KiB */
    fixture f;
    fx_open(&f, &(omen_options){.dim = OMEN_MAX_DIM}, 1);
    uint64_t *keys = calloc(COUNT, sizeof *keys);
    int64_t *offsets = calloc(COUNT + 1, sizeof *offsets);
    omen_batch batch = one(keys, NULL, "{}", offsets, COUNT);
    batch.dim = 0;
    batch.mode = OMEN_PATCH;
    FAILS(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    free(keys);
    free(offsets);
    fx_close(&f);
}

/* Patch after patch an item may grow; not beyond what a row of metadata may be. */
static void an_item_does_not_grow_for_ever(void **state)
{
    (void)state;
    enum { PART = 1000000, PARTS = 9 };
    items x;
    it_begin(&x, 2, NULL);
    (void)it_put(&x, 0, 1, false);
    const uint64_t key = 0;
    char *json = malloc(PART + 64);
    int32_t refused = 0;
    for (uint32_t i = 0; i < PARTS; i++) {
        int at = snprintf(json, 64, "{\"part%u\": \"", i);
        memset(json + at, 'x', PART);
        at += PART + snprintf(json + at + PART, 8, "\"}");
        const int64_t offsets[2] = {0, at};
        omen_batch batch = one(&key, NULL, json, offsets, 1);
        batch.mode = OMEN_PATCH;
        if (i + 1 < PARTS) {
            OK(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err));
            continue;
        }
        FAILS(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err), OMEN_INVALID_ARGUMENT,
              OMEN_D_LIMIT);
        assert_int_equal(x.f.err.item, 0);
        batch.flags = OMEN_PER_ITEM;
        batch.item_status = &refused;
        OK(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err));
        assert_int_equal(refused, OMEN_INVALID_ARGUMENT);
    }
    free(json);
    OK(&x.f, omen_save(x.f.c, fx_path("grown.omen"), NULL, &x.f.err)); /* its block can be made */
    fx_remove(fx_path("grown.omen"));
    it_end(&x);
}

static void fields_of_refused_items_do_not_stay(void **state)
{
    (void)state;
    static const char json[] = "{\"fresh\":1}";
    const int64_t offsets[2] = {0, sizeof json - 1};
    const float vector[IT_DIM] = {0};
    const uint64_t key = 0;
    int32_t refused = 0;
    items x;
    it_begin(&x, 2, "refused");
    (void)it_put(&x, 0, 1, false);
    uint32_t before = om_schema_count(x.f.c->c->schema);
    omen_batch batch = one(&key, vector, json, offsets, 1);
    batch.mode = OMEN_INSERT;
    batch.flags = OMEN_PER_ITEM;
    batch.item_status = &refused;
    OK(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err));
    assert_int_equal(refused, OMEN_ALREADY_EXISTS);
    assert_int_equal(om_schema_count(x.f.c->c->schema), before);
    it_close(&x);
    it_open(&x, false);
    it_check(&x, x.f.c);
    it_end(&x);
}

/* A field that the log never took is in no manifest and in no file, and is logged when it is used. */
static void manifests_know_what_the_log_knows(void **state)
{
    (void)state;
    static const char json[] = "{\"ghost\": 5}";
    const int64_t offsets[2] = {0, sizeof json - 1};
    const float vector[IT_DIM] = {0};
    const uint64_t key = 1;
    items x;
    it_begin(&x, 2, "ghost");
    (void)it_put(&x, 0, 1, false);
    uint32_t before = om_schema_count(x.f.c->c->schema);
    const omen_field ghost = {.name = "ghost", .type = OMEN_TYPE_INT64};
    om_field field;
    OK(&x.f, om_field_check(&ghost, &field, &x.f.err));
    OK(&x.f, om_schema_add(x.f.c->c->schema, &field, &x.f.err));
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    it_close(&x);
    it_open(&x, false);
    assert_int_equal(om_schema_count(x.f.c->c->schema), before);
    omen_batch batch = one(&key, vector, json, offsets, 1);
    OK(&x.f, omen_add_batch(x.f.c, &batch, NULL, NULL, &x.f.err));
    it_close(&x);
    it_open(&x, false);
    assert_int_equal(om_schema_count(x.f.c->c->schema), before + 1);
    it_end(&x);
}

/* A TEXT field that comes while a batch is between the door and the mutex: its words are there all the
 * same. */
static void words_are_not_lost_to_a_race(void **state)
{
    (void)state;
    static const char json[] = "{\"later\": \"lantern light\"}";
    const int64_t offsets[2] = {0, sizeof json - 1};
    const float vector[IT_DIM] = {0};
    for (uint32_t when = 0; when < 2; when++) {
        items x;
        it_begin(&x, 4, NULL);
        const uint64_t key = 1;
        om_collection *c = x.f.c->c;
        const omen_batch batch = one(&key, vector, json, offsets, 1);
        om_write w = {.c = c, .batch = &batch};
        const omen_field text = {.name = "later", .type = OMEN_TYPE_TEXT};
        om_field field;
        if (when == 0) { /* parsed as a string, that is a text when it is bound */
            OK(&x.f, om_write_check(&w, &x.f.err));
            OK(&x.f, omen_declare_fields(x.f.c, &text, 1, &x.f.err));
        } else { /* parsed as a text that has no analyser yet */
            OK(&x.f, om_field_check(&text, &field, &x.f.err));
            OK(&x.f, om_schema_add(c->schema, &field, &x.f.err));
            OK(&x.f, om_write_check(&w, &x.f.err));
            om_mutex_lock(&c->write_mu);
            OK(&x.f, om_schema_attach_texts(c, &x.f.err));
            om_mutex_unlock(&c->write_mu);
        }
        OK(&x.f, om_write_commit(&w, &x.f.err));
        om_write_release(&w);
        om_fields_look look;
        om_fields_look_at(om_set_last(om_set_load(c)), 1, &look);
        assert_non_null(om_fields_text_row(&look, 0));
        it_end(&x);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------------- */
/* Under a limit rows are sealed while their blocks can still be made: no write is refused for ever. */
static void metadata_beyond_the_limit_is_taken(void **state)
{
    (void)state;
    enum { PIECE = 500, PIECES = 60, LONG = 2000, PATIENCE = 20 };
    char folder[512];
    fixture f = {.rt = NULL};
    (void)snprintf(folder, sizeof folder, "%s", fx_path("narrow"));
    const omen_runtime_options runtime = {
        .struct_size = sizeof runtime, .threads = 1, .memory_limit = UINT64_C(64) << 20};
    OK(&f, omen_runtime_create(&runtime, &f.rt, &f.err));
    const omen_db_options db = {.struct_size = sizeof db, .runtime = f.rt};
    OK(&f, omen_db_open(folder, &db, &f.db, &f.err));
    const omen_options options = {
        .struct_size = sizeof options, .dim = IT_DIM, .durability = OMEN_DURABILITY_NONE};
    OK(&f, omen_create(f.db, "c", &options, &f.c, &f.err));
    uint64_t keys[PIECE];
    float *vectors = calloc((size_t)PIECE * IT_DIM, sizeof *vectors);
    char *json = malloc((size_t)PIECE * (LONG + 64));
    int64_t offsets[PIECE + 1] = {0};
    uint32_t refusals = 0;
    fx_rng rng = {.state = 3};
    for (uint32_t b = 0; b < PIECES;) {
        for (uint32_t i = 0; i < PIECE; i++) {
            keys[i] = (uint64_t)b * PIECE + i;
            char *to = json + offsets[i];
            int at = snprintf(to, 16, "{\"s\":\"");
            for (uint32_t k = 0; k < LONG; k++) {
                to[at++] = (char)('a' + fx_below(&rng, 26));
            }
            offsets[i + 1] = offsets[i] + at + snprintf(to + at, 8, "\"}");
        }
        const omen_batch batch = one(keys, vectors, json, offsets, PIECE);
        omen_status_t status = omen_add_batch(f.c, &batch, NULL, NULL, &f.err);
        b += status == OMEN_OK;
        if (status != OMEN_OK) {
            FAILS(&f, status, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BUDGET);
            assert_true(++refusals < PATIENCE);
        }
    }
    assert_int_equal(fx_count(&f), PIECE * PIECES);
    free(vectors);
    free(json);
    fx_close(&f);
    it_remove_folder(folder);
}

/* ---- Files ---------------------------------------------------------------------------------------- */
/* A copy of a file with the sections of another one: right checksums, and other numbers of rows. */
static void mix_files(const char *rows_of, const char *fields_of, const char *to)
{
    static const om_alloc plain = {.budget = NULL};
    om_segfile *from[2] = {NULL, NULL};
    om_segwriter *writer = NULL;
    omen_error err;
    assert_int_equal(om_segfile_open(&om_io_system, &plain, rows_of, &from[0], &err), OMEN_OK);
    assert_int_equal(om_segfile_open(&om_io_system, &plain, fields_of, &from[1], &err), OMEN_OK);
    assert_int_equal(om_segwriter_create(&om_io_system, &plain, to, &writer, &err), OMEN_OK);
    for (uint32_t kind = 1; kind < OM_SECTION_MAX; kind++) {
        om_section s;
        bool other = kind == OM_SECTION_METADATA || kind == OM_SECTION_TEXT;
        assert_int_equal(om_segfile_section(from[other], kind, 0, 0, 0, &s, &err), OMEN_OK);
        if (s.data != NULL) {
            assert_int_equal(om_segwriter_begin(writer, kind, 0, s.stride, s.rows, s.bytes, &err),
                             OMEN_OK);
            assert_int_equal(om_segwriter_append(writer, s.data, (size_t)s.bytes, &err), OMEN_OK);
            assert_int_equal(om_segwriter_end(writer, &err), OMEN_OK);
        }
    }
    assert_int_equal(om_segwriter_commit(writer, om_segfile_rows(from[0]), 1, &err), OMEN_OK);
    om_segfile_close(from[0]);
    om_segfile_close(from[1]);
}

/* Births that lead out of the segment, under right checksums. */
static void births_are_not_trusted(void **state)
{
    (void)state;
    static const om_alloc plain = {.budget = NULL};
    static const om_birth bad[][3] = {{{1, 0, 0}, {2, 1000000000, 0}, {3, 5, 0}},
                                      {{1, 3, 0}, {2, 4, 0}, {3, 5, 0}},
                                      {{1, 0, 0}, {2, 4, 0}, {3, 4, 0}}};
    char good[512], hostile[512];
    (void)snprintf(good, sizeof good, "%s", fx_path("births.omen"));
    (void)snprintf(hostile, sizeof hostile, "%s", fx_path("hostile.omen"));
    items x;
    it_begin(&x, 100, NULL);
    (void)it_put(&x, 0, 100, false);
    OK(&x.f, omen_save(x.f.c, good, NULL, &x.f.err));
    for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        om_segfile *from = NULL;
        om_segwriter *to = NULL;
        OK(&x.f, om_segfile_open(&om_io_system, &plain, good, &from, &x.f.err));
        OK(&x.f, om_segwriter_create(&om_io_system, &plain, hostile, &to, &x.f.err));
        for (uint32_t kind = 1; kind < OM_SECTION_MAX; kind++) {
            om_section s;
            OK(&x.f, om_segfile_section(from, kind, 0, 0, 0, &s, &x.f.err));
            if (kind == OM_SECTION_BIRTHS) {
                s.data = (const uint8_t *)bad[i];
                s.rows = 3;
                s.bytes = sizeof bad[i];
            }
            if (s.data != NULL) {
                OK(&x.f, om_segwriter_begin(to, kind, 0, s.stride, s.rows, s.bytes, &x.f.err));
                OK(&x.f, om_segwriter_append(to, s.data, (size_t)s.bytes, &x.f.err));
                OK(&x.f, om_segwriter_end(to, &x.f.err));
            }
        }
        OK(&x.f, om_segwriter_commit(to, om_segfile_rows(from), 9, &x.f.err));
        om_segfile_close(from);
        omen_open_options options = {.struct_size = sizeof options, .file = hostile};
        omen_collection *c = NULL;
        uint64_t version = 0;
        OK(&x.f, omen_open(x.f.db, "hostile", &options, &c, &x.f.err));
        om_segment *seg = om_set_last(om_set_load(c->c));
        FAILS(&x.f, om_segment_version(seg, 7, &version, &x.f.err), OMEN_DATA_LOSS, OMEN_D_NONE);
        const om_merge_input input = {.segment = seg, .rows = 100, .live = 100};
        om_sink sink;
        const om_stop stop = {.op = NULL};
        OK(&x.f, om_sink_open(c->c, fx_path("out.omen"), &stop, &sink, &x.f.err));
        const om_fields_job job = {.inputs = &input, .count = 1};
        FAILS(&x.f, om_sink_fields(&sink, c->c, &job, &x.f.err), OMEN_DATA_LOSS, OMEN_D_NONE);
        om_sink_abort(&sink);
        omen_collection_free(c);
        OK(&x.f, omen_drop(x.f.db, "hostile", &x.f.err));
        options.flags = OMEN_OPEN_VERIFY;
        FAILS(&x.f, omen_open(x.f.db, "hostile", &options, &c, &x.f.err), OMEN_DATA_LOSS,
              OMEN_D_NONE);
    }
    fx_remove(good);
    fx_remove(hostile);
    it_end(&x);
}

static void blocks_of_other_files_are_refused_each_time(void **state)
{
    (void)state;
    char path[3][512];
    for (uint32_t i = 0; i < 3; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "mixed-%u.omen", i);
        (void)snprintf(path[i], sizeof path[i], "%s", fx_path(name));
    }
    for (uint32_t i = 0; i < 2; i++) {
        items x;
        it_begin(&x, 600, NULL);
        (void)it_put(&x, 0, i == 0 ? 100 : 600, false);
        OK(&x.f, omen_save(x.f.c, path[i], NULL, &x.f.err));
        it_end(&x);
    }
    mix_files(path[0], path[1], path[2]);
    items x;
    it_begin(&x, 1, NULL);
    const omen_open_options options = {.struct_size = sizeof options, .file = path[2]};
    omen_collection *c = NULL;
    OK(&x.f, omen_open(x.f.db, "mixed", &options, &c, &x.f.err));
    om_fields_look look;
    om_segment *seg = om_set_last(om_set_load(c->c));
    om_fields_look_at(seg, 100, &look);
    for (uint32_t i = 0; i < 3; i++) {
        const om_metablock *block = NULL;
        const om_textimage *image = NULL;
        FAILS(&x.f, om_fields_block(&look, 0, &block, &x.f.err), OMEN_DATA_LOSS, OMEN_D_NONE);
        FAILS(&x.f, om_fields_image(&look, 0, &image, &x.f.err), OMEN_DATA_LOSS, OMEN_D_NONE);
        assert_true(block == NULL && image == NULL);
    }
    omen_collection_free(c);
    it_end(&x);
    for (uint32_t i = 0; i < 3; i++) {
        fx_remove(path[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_gives_back_what_it_took),
        cmocka_unit_test(a_patch_is_as_large_as_a_batch),
        cmocka_unit_test(an_item_does_not_grow_for_ever),
        cmocka_unit_test(fields_of_refused_items_do_not_stay),
        cmocka_unit_test(manifests_know_what_the_log_knows),
        cmocka_unit_test(words_are_not_lost_to_a_race),
        cmocka_unit_test(metadata_beyond_the_limit_is_taken),
        cmocka_unit_test(births_are_not_trusted),
        cmocka_unit_test(blocks_of_other_files_are_refused_each_time),
    };
    return cmocka_run_group_tests_name("engine_fields_edge", tests, NULL, NULL);
}
