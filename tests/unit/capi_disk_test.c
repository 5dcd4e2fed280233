/* capi_disk_test.c - the calls of ABI 0.2 from the caller's side: pointers, handles, structs of the age of
 * 0.1, and one walk through a database on disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_fixture.h"

/* A fresh folder below the one of temporary files; files in it are removed with it. */
typedef struct folder {
    char path[256], db[300], backup[300], restored[300];
} folder;

static void folder_make(folder *f)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(f->path, sizeof f->path, "%s/capi_disk.XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(f->path));
    (void)snprintf(f->db, sizeof f->db, "%s/db", f->path);
    (void)snprintf(f->backup, sizeof f->backup, "%s/backup", f->path);
    (void)snprintf(f->restored, sizeof f->restored, "%s/restored", f->path);
}

static void folder_remove(const folder *f)
{
    char command[400];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->path);
    assert_int_equal(system(command), 0);
}

static void pointers_and_handles_are_checked(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    void *wrong = f.c;
    void *wrong_op = f.db;
    omen_collection *c = NULL;
    omen_db_stats stats = {.struct_size = sizeof stats};
    omen_estimate_result estimate = {.struct_size = sizeof estimate};
    omen_backup_options opt = {.struct_size = sizeof opt, .op = wrong_op};
    FAILS(&f, omen_checkpoint(NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_checkpoint(wrong, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_checkpoint(f.db, wrong_op, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_refresh(wrong, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_get_db_stats(f.db, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_get_db_stats(wrong, &stats, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_backup(f.db, NULL, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_backup(f.db, "x", &opt, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_restore(NULL, "x", NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_restore("x", NULL, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_verify(NULL, NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    opt = (omen_backup_options){.struct_size = sizeof opt, .runtime = wrong};
    FAILS(&f, omen_verify("x", &opt, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_optimize(NULL, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_optimize(f.c, wrong_op, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_snapshot(f.c, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_snapshot(wrong_op, &c, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE);
    FAILS(&f, omen_estimate(NULL, 1, 0, &estimate, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&f, omen_estimate(&f.options, 1, 0, NULL, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    fx_close(&f);
}

static void structs_of_the_age_of_0_1_work(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 4}, 1);
    /* omen_db_options ended behind runtime; what follows in memory is none of ours. */
    union {
        omen_db_options now;
        uint8_t bytes[sizeof(omen_db_options)];
    } db_opt;
    memset(&db_opt, 0xAB, sizeof db_opt);
    db_opt.now.struct_size = offsetof(omen_db_options, warm);
    db_opt.now.flags = 0;
    db_opt.now.runtime = f.rt;
    omen_db *db = NULL;
    OK(&f, omen_db_open(NULL, &db_opt.now, &db, &f.err));
    omen_db_free(db);
    /* omen_batch ended behind request_id_len, omen_stats behind read_only. */
    omen_batch batch;
    memset(&batch, 0xAB, sizeof batch);
    const float row[4] = {1, 2, 3, 4};
    memset(&batch, 0, offsetof(omen_batch, crc));
    batch.struct_size = offsetof(omen_batch, crc);
    batch.count = 1;
    batch.vectors = row;
    batch.dim = 4;
    OK(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err));
    omen_stats stats;
    memset(&stats, 0xAB, sizeof stats);
    stats.struct_size = offsetof(omen_stats, segments);
    OK(&f, omen_get_stats(f.c, &stats, &f.err));
    assert_int_equal(stats.count, 1);
    assert_int_equal(stats.segments, 0xABABABABu);
    stats.struct_size = sizeof stats;
    OK(&f, omen_get_stats(f.c, &stats, &f.err));
    assert_int_equal(stats.segments, 1);
    fx_close(&f);
}

static void add_one(fixture *f, omen_collection *c, uint64_t key, float value)
{
    const float row[2] = {value, value};
    omen_batch batch = {
        .struct_size = sizeof batch, .count = 1, .vectors = row, .dim = 2, .keys = &key};
    OK(f, omen_add_batch(c, &batch, NULL, NULL, &f->err));
}

static uint64_t count_of(fixture *f, omen_collection *c)
{
    uint64_t n = 0;
    OK(f, omen_count(c, &n, &f->err));
    return n;
}

static void a_walk_through_a_database_on_disk(void **state)
{
    (void)state;
    folder at;
    fixture f;
    folder_make(&at);
    fx_open(&f, &(omen_options){.dim = 2}, 1);
    omen_db_options opt = {.struct_size = sizeof opt, .runtime = f.rt};
    omen_db *db = NULL;
    omen_db *second = NULL;
    omen_collection *c = NULL;
    omen_collection *before = NULL;
    OK(&f, omen_db_open(at.db, &opt, &db, &f.err));
    FAILS(&f, omen_db_open(at.db, &opt, &second, &f.err), OMEN_FAILED_PRECONDITION, OMEN_D_LOCKED);
    OK(&f, omen_create(db, "walk", &f.options, &c, &f.err));
    add_one(&f, c, 1, 1);
    OK(&f, omen_snapshot(c, &before, &f.err));
    add_one(&f, c, 2, 2);
    assert_int_equal(count_of(&f, before), 1);
    assert_int_equal(count_of(&f, c), 2);
    omen_collection_free(before);
    OK(&f, omen_checkpoint(db, NULL, &f.err));
    OK(&f, omen_optimize(c, NULL, &f.err));
    omen_backup_result result = {.struct_size = sizeof result};
    OK(&f, omen_backup(db, at.backup, NULL, &result, &f.err));
    assert_true(result.files > 0);
    assert_true(result.bytes > 0);
    add_one(&f, c, 3, 3);
    omen_db_stats stats = {.struct_size = sizeof stats};
    OK(&f, omen_get_db_stats(db, &stats, &f.err));
    assert_int_equal(stats.state, OMEN_DB_WRITABLE);
    assert_true(stats.durable_version >= result.version);
    omen_collection_free(c);
    omen_db_free(db);
    OK(&f, omen_verify(at.backup, NULL, NULL, &f.err));
    OK(&f, omen_restore(at.backup, at.restored, NULL, NULL, &f.err));
    const struct {
        const char *path;
        uint64_t rows;
    } wanted[] = {{at.db, 3}, {at.restored, 2}};
    for (int i = 0; i < 2; i++) {
        OK(&f, omen_db_open(wanted[i].path, &opt, &db, &f.err));
        OK(&f, omen_open(db, "walk", NULL, &c, &f.err));
        assert_int_equal(count_of(&f, c), wanted[i].rows);
        omen_collection_free(c);
        omen_db_free(db);
    }
    fx_close(&f);
    folder_remove(&at);
}

static void an_estimate_grows_with_rows(void **state)
{
    (void)state;
    fixture f;
    fx_open(&f, &(omen_options){.dim = 2}, 1);
    omen_options opt = {.struct_size = sizeof opt, .dim = 128};
    omen_estimate_result small = {.struct_size = sizeof small};
    omen_estimate_result large = {.struct_size = sizeof large};
    OK(&f, omen_estimate(&opt, 100000, 0, &small, &f.err));
    OK(&f, omen_estimate(&opt, 1000000, 0, &large, &f.err));
    assert_true(small.memory_serving >= 100000 * 128);
    assert_true(large.memory_serving > 9 * small.memory_serving);
    assert_true(large.disk >= UINT64_C(1000000) * 128 * 4);
    assert_true(large.disk_peak >= large.disk);
    opt.dim = 0;
    FAILS(&f, omen_estimate(&opt, 1, 0, &small, &f.err), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    fx_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers_and_handles_are_checked),
        cmocka_unit_test(structs_of_the_age_of_0_1_work),
        cmocka_unit_test(a_walk_through_a_database_on_disk),
        cmocka_unit_test(an_estimate_grows_with_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
