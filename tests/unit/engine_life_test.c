/* engine_life_test.c - databases, collections and handles: names, options, limits, lifetimes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"

static const omen_options small = {.dim = 4};

static void defaults_are_filled_in(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &small, 1);
    const omen_options *o = &f.options;
    assert_int_equal(o->dim, 4);
    assert_int_equal(o->metric, OMEN_L2);
    assert_int_equal(o->dtype, OMEN_F32);
    assert_int_equal(o->id_type, OMEN_ID_U64);
    assert_int_equal(o->m, 16);
    assert_int_equal(o->ef_construction, 100);
    assert_int_equal(o->quantization, OMEN_QUANT_SQ8);
    assert_int_equal(o->durability, OMEN_DURABILITY_BATCH);
    assert_int_equal(o->max_backlog_rows, 1048576);
    fx_close(&f);
}

static void the_tail_is_bounded_by_bytes_too(void **state)
{
    (void)state;
    fixture f;
    omen_options wide = {.dim = 1024};
    fx_open(&f, &wide, 1);
    assert_int_equal(f.options.max_backlog_rows, (1u << 30) / 4096);
    fx_close(&f);
    wide.dim = 65535;
    fx_open(&f, &wide, 1);
    assert_int_equal(f.options.max_backlog_rows, 65536);
    fx_close(&f);
}

static omen_status_t create(fixture *f, const char *name, omen_options o)
{
    omen_collection *c = NULL;
    o.struct_size = sizeof o;
    omen_status_t status = omen_create(f->db, name, &o, &c, &f->err);
    assert_true((status == OMEN_OK) == (c != NULL));
    omen_collection_free(c);
    return status;
}

static void options_are_checked_at_their_limits(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &small, 1);
    const struct {
        omen_options o;
        omen_status_t status;
        int32_t detail;
    } cases[] = {
        {{.dim = 0}, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT},
        {{.dim = OMEN_MAX_DIM + 1}, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT},
        {{.dim = 4, .metric = 5}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .metric = OMEN_HAMMING}, OMEN_UNIMPLEMENTED, OMEN_D_TYPE},
        {{.dim = 4, .dtype = OMEN_BF16}, OMEN_UNIMPLEMENTED, OMEN_D_TYPE},
        {{.dim = 4, .dtype = OMEN_B1}, OMEN_UNIMPLEMENTED, OMEN_D_TYPE},
        {{.dim = 4, .dtype = 7}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .id_type = 4}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .m = 1}, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT},
        {{.dim = 4, .m = OMEN_MAX_M + 1}, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT},
        {{.dim = 4, .ef_construction = OMEN_MAX_EF + 1}, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT},
        {{.dim = 4, .quantization = 3}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .rotation = 3}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .entry = 3}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .durability = 4}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .flags = 1}, OMEN_INVALID_ARGUMENT, OMEN_D_NONE},
        {{.dim = 4, .capacity_hint = OMEN_MAX_ROWS + 1ull}, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        FAILS(&f, create(&f, "x", cases[i].o), cases[i].status, cases[i].detail);
    }
    OK(&f, create(&f, "widest", (omen_options){.dim = OMEN_MAX_DIM}));
    OK(&f, create(&f, "most-links", (omen_options){.dim = 1, .m = OMEN_MAX_M}));
    OK(&f,
       create(&f, "least-links", (omen_options){.dim = 1, .m = 2, .ef_construction = OMEN_MAX_EF}));
    fx_close(&f);
}

static void names_follow_the_pattern(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &small, 1);
    char longest[OMEN_MAX_NAME + 2];
    memset(longest, 'a', sizeof longest);
    longest[OMEN_MAX_NAME] = '\0';
    OK(&f, create(&f, longest, small));
    OK(&f, create(&f, "0_-", small));
    longest[OMEN_MAX_NAME] = 'a';
    longest[OMEN_MAX_NAME + 1] = '\0';
    const char *bad[] = {"", "_a", "-a", "A", "a b", "a/b", "\xc3\xa9", longest};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        FAILS(&f, create(&f, bad[i], small), OMEN_INVALID_ARGUMENT, OMEN_D_NAME);
        FAILS(&f, omen_drop(f.db, bad[i], &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NAME);
    }
    FAILS(&f, create(&f, "test", small), OMEN_ALREADY_EXISTS, OMEN_D_NAME);
    FAILS(&f, omen_drop(f.db, "none", &f.err), OMEN_NOT_FOUND, OMEN_D_NAME);
    fx_close(&f);
}

static void lists_are_sorted_and_come_in_pieces(void **state)
{
    (void)state;
    enum { COUNT = 100, PIECE = 7 };
    fixture f;
    fx_open(&f, &small, 1);
    OK(&f, omen_drop(f.db, "test", &f.err));
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "c%02u", (i * 37) % COUNT);
        OK(&f, create(&f, name, small));
    }
    char names[PIECE][OMEN_MAX_NAME + 1];
    char after[OMEN_MAX_NAME + 1] = "";
    uint32_t seen = 0;
    for (size_t count = PIECE; count == PIECE;) {
        OK(&f, omen_list(f.db, seen == 0 ? NULL : after, names[0], PIECE, &count, &f.err));
        for (size_t i = 0; i < count; i++, seen++) {
            char expected[16];
            (void)snprintf(expected, sizeof expected, "c%02u", seen);
            assert_string_equal(names[i], expected);
            memcpy(after, names[i], sizeof after);
        }
    }
    assert_int_equal(seen, COUNT);
    fx_close(&f);
}

static void dropped_collections_are_gone_for_every_handle(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &small, 1);
    omen_collection *second = NULL;
    OK(&f, omen_open(f.db, "test", NULL, &second, &f.err));
    float *rows = fx_rows(10, 4, 1);
    fx_add(&f, rows, 10, 0);
    OK(&f, omen_drop(f.db, "test", &f.err));
    uint64_t key = 0;
    float distance;
    FAILS(&f, omen_count(second, &key, &f.err), OMEN_NOT_FOUND, OMEN_D_NAME);
    FAILS(&f, omen_search_f32(f.c, rows, 1, 1, 0, &key, &distance, &f.err), OMEN_NOT_FOUND,
          OMEN_D_NAME);
    omen_batch batch = {.struct_size = sizeof batch, .count = 1, .vectors = rows, .dim = 4};
    FAILS(&f, omen_add_batch(second, &batch, NULL, NULL, &f.err), OMEN_NOT_FOUND, OMEN_D_NAME);
    FAILS(&f, omen_open(f.db, "test", NULL, &second, &f.err), OMEN_NOT_FOUND, OMEN_D_NAME);
    OK(&f, create(&f, "test", small)); /* the name is free again */
    free(rows);
    omen_collection_free(second);
    fx_close(&f);
}

static void handles_are_freed_in_any_order(void **state)
{
    (void)state;
    float *rows = fx_rows(2000, 4, 2);
    for (uint32_t order = 0; order < 6; order++) {
        fixture f;
        fx_open(&f, &small, 2);
        fx_add(&f, rows, 2000, 0); /* the background is at work while handles go */
        for (uint32_t step = 0; step < 3; step++) {
            switch ((order / 2 + step * (1 + order % 2)) % 3) {
            case 0:
                omen_runtime_free(f.rt);
                break;
            case 1:
                omen_db_free(f.db);
                break;
            default:
                assert_int_equal(fx_count(&f), 2000);
                omen_collection_free(f.c);
            }
        }
    }
    omen_collection_free(NULL);
    omen_db_free(NULL);
    omen_runtime_free(NULL);
    free(rows);
}

static void a_directory_needs_its_parent(void **state)
{
    (void)state;
    omen_error err;
    omen_db *db = NULL;
    assert_int_equal(omen_db_open("no/such/parent", NULL, &db, &err), OMEN_NOT_FOUND);
    assert_null(db);
    assert_non_null(strstr(err.message, "no/such/parent"));
    omen_db_options flags = {.struct_size = sizeof flags, .flags = OMEN_DB_MUST_EXIST};
    assert_int_equal(omen_db_open(NULL, &flags, &db, &err), OMEN_INVALID_ARGUMENT);
    assert_null(db);
}

static void idle_collections_are_small(void **state)
{
    (void)state;
    enum { COUNT = 200, MOST = 64 * 1024 };
    fixture f;
    fx_open(&f, &small, 1);
    omen_runtime_stats before = {.struct_size = sizeof before};
    omen_runtime_stats after = {.struct_size = sizeof after};
    OK(&f, omen_get_runtime_stats(f.rt, &before, &f.err));
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "idle%u", i);
        OK(&f, create(&f, name, (omen_options){.dim = 768}));
    }
    OK(&f, omen_get_runtime_stats(f.rt, &after, &f.err));
    assert_true(after.memory_used - before.memory_used <= (uint64_t)COUNT * MOST);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(the_tail_is_bounded_by_bytes_too),
        cmocka_unit_test(options_are_checked_at_their_limits),
        cmocka_unit_test(names_follow_the_pattern),
        cmocka_unit_test(lists_are_sorted_and_come_in_pieces),
        cmocka_unit_test(dropped_collections_are_gone_for_every_handle),
        cmocka_unit_test(handles_are_freed_in_any_order),
        cmocka_unit_test(a_directory_needs_its_parent),
        cmocka_unit_test(idle_collections_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
