/* capi_struct_test.c - structs of every age, handles of every kind, forks, and the names of constants.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_fixture.h"

static void shorter_structs_are_filled_up(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    /* An old caller: its struct ends behind dim, and what follows in memory is none of ours. */
    struct {
        uint32_t struct_size, flags, dim;
        uint32_t garbage[32];
    } old;
    memset(&old, 0xAB, sizeof old);
    old.struct_size = 12;
    old.flags = 0;
    old.dim = 7;
    omen_collection *c = NULL;
    OK(&f, omen_create(f.db, "old", (const omen_options *)(const void *)&old, &c, &f.err));
    omen_options o = {.struct_size = sizeof o};
    OK(&f, omen_describe(c, &o, &f.err));
    assert_int_equal(o.dim, 7);
    assert_int_equal(o.m, 16);
    omen_collection_free(c);
    fx_close(&f);
}

static void longer_structs_must_be_zero_behind(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    struct {
        omen_options known;
        uint8_t newer[16];
    } o = {.known = {.struct_size = sizeof o, .dim = 4}};
    omen_collection *c = NULL;
    OK(&f, omen_create(f.db, "zero", &o.known, &c, &f.err));
    omen_collection_free(c);
    for (uint32_t i = 0; i < 16; i += 5) {
        c = NULL;
        o.newer[i] = 1;
        FAILS(&f, omen_create(f.db, "new", &o.known, &c, &f.err), OMEN_UNIMPLEMENTED,
              OMEN_D_STRUCT_SIZE);
        assert_null(c);
        o.newer[i] = 0;
    }
    const uint32_t bad[] = {0, 7, 4097, UINT32_MAX};
    for (uint32_t i = 0; i < 4; i++) {
        o.known.struct_size = bad[i];
        FAILS(&f, omen_create(f.db, "bad", &o.known, &c, &f.err), OMEN_INVALID_ARGUMENT,
              OMEN_D_STRUCT_SIZE);
    }
    fx_close(&f);
}

static void out_structs_are_filled_as_far_as_they_go(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    union {
        omen_stats stats;
        uint8_t bytes[sizeof(omen_stats) + 16];
    } out;
    memset(&out, 0xAB, sizeof out);
    out.stats.struct_size = offsetof(omen_stats, deleted);
    OK(&f, omen_get_stats(f.c, &out.stats, &f.err));
    assert_int_equal(out.stats.struct_size, offsetof(omen_stats, deleted));
    assert_int_equal(out.stats.dim, 4);
    assert_int_equal(out.stats.count, 0);
    assert_int_equal(out.bytes[offsetof(omen_stats, deleted)], 0xAB);
    out.stats.struct_size = sizeof out;
    OK(&f, omen_get_stats(f.c, &out.stats, &f.err));
    assert_int_equal(out.bytes[sizeof(omen_stats) + 15], 0); /* unknown to us: told as zero */
    /* hits of a caller who does not know `version` */
    omen_hits hits;
    memset(&hits, 0xAB, sizeof hits);
    uint64_t key = 5;
    const float q[4] = {0};
    hits = (omen_hits){.struct_size = offsetof(omen_hits, version), .keys = &key, .version = 77};
    omen_query query = {.struct_size = sizeof query, .vectors = q, .dim = 4, .count = 1, .k = 1};
    OK(&f, omen_search(f.c, &query, &hits, &f.err));
    assert_true(key == OMEN_NONE);
    assert_int_equal(hits.version, 77);
    fx_close(&f);
}

static void pointers_and_handles_are_checked(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    uint64_t n = 0;
    void *wrong = f.db;
    omen_collection *c = NULL;
    FAILS(&f, omen_count(NULL, &n, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_count(f.c, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_count(wrong, &n, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_create(f.db, NULL, &f.options, &c, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_create(f.db, "x", NULL, &c, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_create(f.db, "x", &f.options, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_search(f.c, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_save(f.c, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_get_vectors(f.c, NULL, 1, &n, 0, 0, NULL, &f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    assert_int_equal(omen_count(wrong, &n, NULL), OMEN_INVALID_ARGUMENT); /* err may be NULL */
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1025};
    omen_runtime *rt = NULL;
    FAILS(&f, omen_runtime_create(&ropt, &rt, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    ropt = (omen_runtime_options){.struct_size = sizeof ropt, .log_level = 5};
    FAILS(&f, omen_runtime_create(&ropt, &rt, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    fx_close(&f);
}

/* In the child; the exit code tells the number of the first thing that was wrong. */
static int child(fixture *f, omen_rows *rows)
{
    omen_error err;
    omen_runtime_stats stats = {.struct_size = sizeof stats};
    omen_collection *c = NULL;
    uint64_t n;
    if (omen_count(f->c, &n, &err) != OMEN_FAILED_PRECONDITION || err.detail != OMEN_D_FORKED) {
        return 1;
    }
    if (omen_open(f->db, "test", NULL, &c, &err) != OMEN_FAILED_PRECONDITION || c != NULL) {
        return 2;
    }
    if (omen_get_runtime_stats(f->rt, &stats, &err) != OMEN_FAILED_PRECONDITION) {
        return 3;
    }
    omen_rows_free(rows);
    omen_collection_free(f->c);
    omen_db_free(f->db);
    omen_runtime_free(f->rt);
    if (omen_count(f->c, &n, &err) != OMEN_FAILED_PRECONDITION) {
        return 4; /* nothing was released, so this still is no use after free */
    }
    omen_db *db = NULL;
    if (omen_db_open(NULL, NULL, &db, &err) != OMEN_OK) {
        return 5;
    }
    if (omen_create(db, "mine", &f->options, &c, &err) != OMEN_OK) {
        return 6;
    }
    omen_collection_free(c);
    omen_db_free(db);
    return 0;
}

static void a_forked_child_starts_anew(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    float *data = fx_rows(2000, 4, 60);
    fx_add(&f, data, 2000, 0); /* threads are running */
    fx_index(&f);
    omen_rows *rows = NULL;
    const uint64_t key = 3;
    OK(&f, omen_fetch(f.c, &key, 1, OMEN_FIELD_ID, &rows, &f.err));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(child(&f, rows));
    }
    int code = -1;
    assert_true(waitpid(pid, &code, 0) == pid);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
    assert_int_equal(fx_count(&f), 2000);
    omen_rows_free(rows);
    free(data);
    fx_close(&f);
}

static void constants_have_names(void **state)
{
    (void)state;
    assert_string_equal(omen_status_name(OMEN_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(omen_status_name(OMEN_DATA_LOSS), "DATA_LOSS");
    assert_string_equal(omen_status_name(2), "UNKNOWN");
    assert_string_equal(omen_status_name(-1), "UNKNOWN");
    assert_string_equal(omen_status_name(16), "UNKNOWN");
    assert_string_equal(omen_detail_name(OMEN_D_DIM_MISMATCH), "DIM_MISMATCH");
    assert_string_equal(omen_detail_name(OMEN_D_TYPE), "TYPE");
    assert_string_equal(omen_detail_name(OMEN_D_FIELD + 1), "UNKNOWN");
    assert_string_equal(omen_detail_name(-1), "UNKNOWN");
    for (int32_t i = 0; i <= OMEN_D_FIELD; i++) {
        assert_non_null(omen_detail_name(i));
    }
    assert_string_equal(omen_detail_name(OMEN_D_FIELD), "FIELD");
    assert_string_equal(omen_plan_name(OMEN_PLAN_FILTER_IN), "filter_in");
    assert_string_equal(omen_plan_name(OMEN_PLAN_HYBRID), "hybrid");
    assert_string_equal(omen_plan_name(0), "unknown");
    assert_string_equal(omen_plan_name(OMEN_PLAN_HYBRID + 1), "unknown");
    assert_int_equal(omen_abi_version(), OMEN_ABI_MAJOR << 16 | OMEN_ABI_MINOR);
    assert_true(omen_format_version() >= 1);
    assert_true(strchr(omen_version_string(), '.') != NULL);
    assert_int_equal(omen_has_feature("mmap"), 1);
    assert_int_equal(omen_has_feature("scalar"), 1);
    assert_int_equal(omen_has_feature("teleport"), 0);
    assert_int_equal(omen_has_feature(NULL), 0);
    assert_int_equal(omen_has_feature(omen_isa_name()), 1);
}

static void progress_can_be_polled(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    float *data = fx_rows(3000, 4, 61);
    fx_add(&f, data, 3000, 0);
    omen_op *op = NULL;
    OK(&f, omen_op_create(&op, &f.err));
    OK(&f, omen_wait(f.c, 0, OMEN_WAIT_INDEXED, 0, op, &f.err));
    omen_progress progress = {.done = 99};
    omen_op_progress(op, &progress);
    assert_int_equal(progress.done, progress.total);
    omen_op_reset(op);
    omen_op_progress(op, &progress);
    assert_int_equal(progress.total, 0);
    omen_op_free(op);
    omen_op_free(NULL);
    omen_op_cancel(NULL);
    omen_op_reset(NULL);
    omen_op_progress(NULL, &progress);
    free(data);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shorter_structs_are_filled_up),
        cmocka_unit_test(longer_structs_must_be_zero_behind),
        cmocka_unit_test(out_structs_are_filled_as_far_as_they_go),
        cmocka_unit_test(pointers_and_handles_are_checked),
        cmocka_unit_test(a_forked_child_starts_anew),
        cmocka_unit_test(constants_have_names),
        cmocka_unit_test(progress_can_be_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
