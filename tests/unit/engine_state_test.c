/* engine_state_test.c - directories that are not as they should be, locks, full and failing disks,
 * the order of handles at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_fixture.h"
#include "wal.h"

static const omen_options plain = {.metric = OMEN_L2};

static void make_one(dbx *x)
{
    db_init_sim(x);
    db_open(x);
    db_create(x, 0, &plain);
    db_put(x, 0, 0, 100);
}

static void write_file(dbx *x, const char *path, const void *bytes, size_t size)
{
    om_iofile file;
    OK(&x->f,
       om_io_open(&x->io, path, OM_IO_WRITE | OM_IO_CREATE | OM_IO_TRUNCATE, &file, &x->f.err));
    OK(&x->f, om_io_write(&file, bytes, size, 0, &x->f.err));
    om_io_close(&file);
}

/* ---- Directories ------------------------------------------------------------------------------- */
static void a_foreign_directory_stays_as_it_is(void **state)
{
    (void)state;
    static dbx x;
    static const char *const names[] = {"/db/notes.txt", "/db/MANIFEST-000004", "/db/0000000a"};
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        db_init_sim(&x);
        OK(&x.f, om_io_mkdir(&x.io, "/db", &x.f.err));
        write_file(&x, names[i], "hello", 5);
        sim_image *before = sim_disk_image(x.sim);
        for (uint32_t flags = 0; flags <= OMEN_DB_MUST_EXIST; flags++) {
            x.options.flags = flags; /* none, read only, must exist */
            FAILS(&x.f, db_try_open(&x), OMEN_DATA_LOSS, OMEN_D_NONE);
        }
        sim_image *after = sim_disk_image(x.sim);
        assert_true(sim_image_hash(before) == sim_image_hash(after));
        sim_image_free(before);
        sim_image_free(after);
        db_end(&x);
    }
}

static void what_is_missing_is_made_when_it_may(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    x.options.flags = OMEN_DB_MUST_EXIST;
    FAILS(&x.f, db_try_open(&x), OMEN_NOT_FOUND, OMEN_D_NONE);
    x.options.flags = OMEN_DB_READ_ONLY;
    FAILS(&x.f, db_try_open(&x), OMEN_NOT_FOUND, OMEN_D_NONE);
    OK(&x.f, om_io_mkdir(&x.io, "/db", &x.f.err)); /* empty now */
    FAILS(&x.f, db_try_open(&x), OMEN_NOT_FOUND, OMEN_D_NONE);
    x.options.flags = OMEN_DB_MUST_EXIST;
    FAILS(&x.f, db_try_open(&x), OMEN_NOT_FOUND, OMEN_D_NONE);
    OK(&x.f, om_io_mkdir(&x.io, "/db/lost+found", &x.f.err)); /* as new file systems have */
    x.options.flags = 0;
    db_open(&x);
    db_create(&x, 0, &plain);
    db_close(&x);
    x.options.flags = OMEN_DB_MUST_EXIST;
    db_open(&x);
    db_check(&x);
    db_end(&x);

    db_init_sim(&x);
    write_file(&x, "/db", "no folder", 9);
    FAILS(&x.f, db_try_open(&x), OMEN_INVALID_ARGUMENT, OMEN_D_NAME);
    db_end(&x);
}

/* Every call of the first opening fails, and then it is opened after all. */
static void an_unfinished_creation_is_finished(void **state)
{
    (void)state;
    static dbx x;
    uint64_t calls = 1;
    for (uint64_t nth = 1; nth <= calls; nth++) {
        db_init_sim(&x);
        sim_disk_fault(x.sim,
                       &(sim_fault){.call = SIM_CALLS, .nth = nth, .for_ever = true, .error = EIO});
        omen_status_t status = db_try_open(&x);
        sim_disk_fault(x.sim, &(sim_fault){.nth = 0});
        if (status == OMEN_OK) {
            break; /* it was opened before the failure */
        }
        calls = nth + 1;
        db_open(&x);
        db_create(&x, 0, &plain);
        db_put(&x, 0, 0, 10);
        db_kill(&x);
        db_open(&x);
        db_check(&x);
        db_end(&x);
    }
    assert_true(calls > 10);
    db_end(&x);
}

/* ---- Manifests --------------------------------------------------------------------------------- */
static void spoil_newest_manifest(dbx *x, uint64_t *generation)
{
    om_path path;
    const omen_db *db = x->f.db;
    *generation = db->disk->generation;
    OK(&x->f, om_path_manifest(&path, "/db", *generation, &x->f.err));
    db_kill(x);
    write_file(x, path.text, "damaged", 7);
}

static void an_older_manifest_does_too(void **state)
{
    (void)state;
    static dbx x;
    uint64_t generation = 0;
    make_one(&x);
    for (uint32_t round = 0; round < 6; round++) {
        db_put(&x, 0, round * 50, 100);
        OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
        db_put(&x, 0, round * 70, 90);
        db_remove(&x, 0, round * 60, 20);
        if (round % 2 == 0) {
            OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        }
        db_put(&x, 0, 1000 + round, 5);
        spoil_newest_manifest(&x, &generation);
        db_open(&x);
        db_check(&x);
        OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
        assert_true(x.f.db->disk->generation > generation);
        db_check(&x);
    }
    db_end(&x);
}

/* A manifest that could neither be made durable nor be removed is there: the next one goes above it. */
static void a_stray_manifest_is_passed(void **state)
{
    (void)state;
    static dbx x;
    om_path path;
    make_one(&x);
    uint64_t generation = x.f.db->disk->generation;
    OK(&x.f, om_path_manifest(&path, "/db", generation + 1, &x.f.err));
    write_file(&x, path.text, "stray", 5);
    FAILS(&x.f, om_checkpoint_write(x.f.db, &x.f.err), OMEN_ABORTED, OMEN_D_VERSION_CONFLICT);
    db_put(&x, 0, 50, 100);
    OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
    assert_true(x.f.db->disk->generation == generation + 2);
    db_kill(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

static void without_any_manifest_nothing_is_touched(void **state)
{
    (void)state;
    static dbx x;
    make_one(&x);
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    uint64_t newest = x.f.db->disk->generation;
    db_kill(&x);
    for (uint64_t g = 1; g <= newest; g++) {
        om_path path;
        OK(&x.f, om_path_manifest(&path, "/db", g, &x.f.err));
        OK(&x.f, om_io_unlink(&x.io, path.text, &x.f.err));
    }
    sim_image *before = sim_disk_image(x.sim);
    FAILS(&x.f, db_try_open(&x), OMEN_DATA_LOSS, OMEN_D_NONE);
    sim_image *after = sim_disk_image(x.sim);
    assert_true(sim_image_hash(before) == sim_image_hash(after));
    sim_image_free(before);
    sim_image_free(after);
    db_end(&x);
}

static void a_log_from_a_newer_version_is_refused(void **state)
{
    (void)state;
    static dbx x;
    uint64_t lsn = 0;
    _Alignas(8) uint8_t payload[24] = {2, 0};
    make_one(&x);
    om_disk *disk = x.f.db->disk;
    om_log_entry entry = {.collection = 1, .type = OM_LOG_UPSERT, .part_count = 1};
    entry.parts[0] = (struct iovec){.iov_base = payload, .iov_len = sizeof payload};
    OK(&x.f, disk->log->ops->append(disk->log, &entry, 1, &lsn, &x.f.err));
    db_kill(&x);
    FAILS(&x.f, db_try_open(&x), OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION);
    db_end(&x);
}

static void nonsense_in_the_log_is_told(void **state)
{
    (void)state;
    static dbx x;
    uint64_t lsn = 0;
    _Alignas(8) uint8_t payload[24] = {1, 0, 0, 0, 1, 0, 0, 0, 200, 1};
    make_one(&x);
    om_disk *disk = x.f.db->disk;
    om_log_entry entry = {.collection = 1, .type = OM_LOG_UPSERT, .part_count = 1};
    entry.parts[0] = (struct iovec){.iov_base = payload, .iov_len = sizeof payload};
    OK(&x.f, disk->log->ops->append(disk->log, &entry, 1, &lsn, &x.f.err));
    db_kill(&x);
    FAILS(&x.f, db_try_open(&x), OMEN_DATA_LOSS, OMEN_D_NONE);
    db_end(&x);
}

/* ---- Locks ------------------------------------------------------------------------------------- */
static void one_writer(void **state)
{
    (void)state;
    static dbx x;
    char pid[24];
    omen_db *second = NULL;
    db_init_folder(&x, "lock-db");
    db_open(&x);
    db_create(&x, 0, &plain);
    db_put(&x, 0, 0, 10);
    FAILS(&x.f, omen_db_open(x.path, &x.options, &second, &x.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_LOCKED);
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(x.f.err.message, pid));
    omen_db_options reading = x.options;
    reading.flags = OMEN_DB_READ_ONLY;
    OK(&x.f, omen_db_open(x.path, &reading, &second, &x.f.err));
    omen_db_free(second);
    db_close(&x);
    db_open(&x); /* given back */
    db_check(&x);
    db_end(&x);
}

/* The database ends with its last handle, whichever that is. */
static void handles_end_in_any_order(void **state)
{
    (void)state;
    static dbx x;
    omen_collection *snapshot = NULL;
    omen_db *second = NULL;
    db_init_folder(&x, "order-db");
    db_open(&x);
    db_create(&x, 0, &plain);
    db_create(&x, 1, &plain);
    db_put(&x, 0, 0, 10);
    omen_db_free(x.f.db);
    db_put(&x, 0, 10, 10);
    OK(&x.f, omen_snapshot(x.model[0].handle, &snapshot, &x.f.err));
    omen_collection_free(x.model[0].handle);
    x.model[0].handle = NULL;
    FAILS(&x.f, omen_db_open(x.path, &x.options, &second, &x.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_LOCKED);
    omen_collection_free(x.model[1].handle);
    x.model[1].handle = NULL;
    uint64_t count = 0;
    OK(&x.f, omen_count(snapshot, &count, &x.f.err));
    assert_int_equal(count, 20);
    omen_collection_free(snapshot);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

/* ---- Full and failing disks -------------------------------------------------------------------- */
static void a_full_disk_takes_deletes_and_recovers(void **state)
{
    (void)state;
    static dbx x;
    make_one(&x);
    uint64_t most = sim_disk_used(x.sim) + (UINT64_C(3) << 30);
    sim_disk_limit(x.sim, most);
    x.f.db->disk->options.reserve_bytes = UINT64_C(4) << 30;
    om_disk_watch(x.f.db);
    omen_db_stats stats = db_stats(&x);
    assert_int_equal(stats.state, OMEN_DB_DISK_FULL);
    assert_true(strlen(stats.reason) > 0);
    FAILS(&x.f, db_put_how(&x, 0, 50, 10, NULL, NULL), OMEN_RESOURCE_EXHAUSTED, OMEN_D_DISK_FULL);
    db_remove(&x, 0, 0, 20);
    db_check(&x);
    OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
    sim_disk_limit(x.sim, most + (UINT64_C(2) << 30));
    FAILS(&x.f, db_put_how(&x, 0, 50, 10, NULL, NULL), OMEN_RESOURCE_EXHAUSTED, OMEN_D_DISK_FULL);
    sim_disk_advance(x.sim, UINT64_C(1500000000)); /* then it looks again */
    db_put(&x, 0, 50, 10);
    assert_int_equal(db_stats(&x).state, OMEN_DB_WRITABLE);
    db_kill(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

static void a_failed_sync_ends_writing(void **state)
{
    (void)state;
    static dbx x;
    make_one(&x);
    sim_disk_fault(x.sim, &(sim_fault){.call = SIM_SYNC, .nth = 1, .error = EIO});
    FAILS(&x.f, db_put_how(&x, 0, 200, 10, NULL, NULL), OMEN_UNAVAILABLE, OMEN_D_OUTCOME_UNKNOWN);
    omen_db_stats stats = db_stats(&x);
    assert_int_equal(stats.state, OMEN_DB_FAILED);
    assert_true(strlen(stats.reason) > 0);
    FAILS(&x.f, db_put_how(&x, 0, 300, 10, NULL, NULL), OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY);
    FAILS(&x.f, omen_drop(x.f.db, "c0", &x.f.err), OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY);
    db_check(&x); /* reading goes on */
    db_kill(&x);
    db_open(&x);
    uint64_t count = 0;
    OK(&x.f, omen_count(x.model[0].handle, &count, &x.f.err));
    assert_true(count == 100 || count == 110); /* it is not known which */
    for (uint32_t i = 200; i < 210 && count == 110; i++) {
        x.model[0].item[i] = (db_item){.alive = true, .turn = 1, .key = i};
    }
    db_check(&x);
    db_put(&x, 0, 300, 10);
    db_end(&x);
}

static void rot_in_the_log_opens_for_reading(void **state)
{
    (void)state;
    static dbx x;
    make_one(&x);
    for (uint32_t i = 0; i < 20; i++) {
        db_put(&x, 0, 100 + i * 10, 10);
    }
    db_kill(&x);
    om_iofile file;
    uint8_t byte = 0;
    static const char path[] = "/db/wal/0000000000000001.wal";
    OK(&x.f, om_io_open(&x.io, path, OM_IO_WRITE, &file, &x.f.err));
    OK(&x.f, om_io_read(&file, &byte, 1, 4096 + 4000, &x.f.err));
    byte ^= 1;
    OK(&x.f, om_io_write(&file, &byte, 1, 4096 + 4000, &x.f.err));
    om_io_close(&file);
    sim_image *before = sim_disk_image(x.sim);
    db_open(&x);
    omen_db_stats stats = db_stats(&x);
    assert_int_equal(stats.state, OMEN_DB_DAMAGED);
    assert_true(strlen(stats.reason) > 0);
    FAILS(&x.f, db_put_how(&x, 0, 500, 10, NULL, NULL), OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY);
    FAILS(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err), OMEN_FAILED_PRECONDITION,
          OMEN_D_READ_ONLY);
    uint64_t count = 0;
    OK(&x.f, omen_count(x.model[0].handle, &count, &x.f.err));
    assert_true(count >= 100 && count < 300);
    db_close(&x);
    om_path lock;
    OK(&x.f, om_path_join(&lock, "/db", "LOCK", &x.f.err));
    OK(&x.f, om_io_unlink(&x.io, lock.text, &x.f.err)); /* names who looked: all that may differ */
    sim_image *after = sim_disk_image(x.sim);
    sim_disk *former = sim_disk_create(before);
    om_io io = sim_disk_io(former);
    OK(&x.f, om_io_unlink(&io, lock.text, &x.f.err));
    sim_image *compare = sim_disk_image(former);
    assert_true(sim_image_hash(compare) == sim_image_hash(after));
    sim_image_free(before);
    sim_image_free(after);
    sim_image_free(compare);
    sim_disk_free(former);
    db_end(&x);
}

/* ---- A log that is held back, and opening in time ----------------------------------------------- */
static void an_idle_collection_holds_the_log_until_it_is_sealed(void **state)
{
    (void)state;
    static dbx x;
    db_init_sim(&x);
    db_open(&x);
    db_create(&x, 0, &plain);
    db_create(&x, 1, &plain);
    db_put(&x, 1, 0, 3);
    uint64_t held = x.model[1].version;
    for (uint32_t i = 0; i < 10; i++) {
        db_put(&x, 0, i * 100, 100);
    }
    om_stop stop = {.op = NULL};
    const om_sealing how = {.least = 1, .force = true, .stop = &stop};
    bool done = false;
    OK(&x.f, om_checkpoint_seal(db_inner(&x, 0), &how, &done, &x.f.err));
    OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
    assert_int_equal(db_stats(&x).checkpoint_version, held - 1);
    OK(&x.f, om_checkpoint_seal(db_inner(&x, 1), &how, &done, &x.f.err));
    OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
    assert_true(db_stats(&x).checkpoint_version > x.model[0].version);
    db_kill(&x);
    db_open(&x);
    db_check(&x);
    assert_int_equal(db_stats(&x).recovered_rows, 0);
    db_end(&x);
}

static bool is_there(dbx *x, const char *path)
{
    om_io_stat info;
    bool found = false;
    OK(&x->f, om_io_look(&x->io, path, &info, &found, &x->f.err));
    return found;
}

static void dropped_collections_leave_no_files(void **state)
{
    (void)state;
    static dbx x;
    make_one(&x);
    db_create(&x, 1, &plain);
    db_put(&x, 1, 0, 50);
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    assert_true(is_there(&x, "/db/00000001"));
    assert_true(is_there(&x, "/db/00000002"));
    db_drop(&x, 0);
    for (uint32_t i = 0; i < OM_MANIFEST_KEPT; i++) {
        OK(&x.f, om_checkpoint_write(x.f.db, &x.f.err));
    }
    assert_false(is_there(&x, "/db/00000001"));
    assert_true(is_there(&x, "/db/00000002"));
    db_kill(&x);
    db_open(&x);
    db_check(&x);
    db_end(&x);
}

/* What opening takes, of a database with `rows` rows of 1 KiB in files. */
typedef struct opening {
    uint64_t reads, memory;
} opening;

static opening open_with(uint32_t rows)
{
    enum { DIM = 256, PART = 100 };
    static dbx x;
    static float data[PART][DIM];
    uint64_t keys[PART];
    omen_collection *c = NULL;
    const omen_options options = {.struct_size = sizeof options, .dim = DIM};
    omen_runtime_stats memory = {.struct_size = sizeof memory};
    db_init_sim(&x);
    db_open(&x);
    OK(&x.f, omen_create(x.f.db, "wide", &options, &c, &x.f.err));
    for (uint32_t at = 0; at < rows; at += PART) {
        for (uint32_t i = 0; i < PART; i++) {
            keys[i] = at + i;
            data[i][i % DIM] = (float)(at + i);
        }
        const omen_batch batch = {.struct_size = sizeof batch,
                                  .count = PART,
                                  .vectors = data,
                                  .dtype = OMEN_F32,
                                  .dim = DIM,
                                  .keys = keys};
        OK(&x.f, omen_add_batch(c, &batch, NULL, NULL, &x.f.err));
    }
    OK(&x.f, omen_checkpoint(x.f.db, NULL, &x.f.err));
    omen_collection_free(c);
    db_kill(&x);
    uint64_t before = sim_disk_calls(x.sim, SIM_PREAD);
    db_open(&x);
    opening out = {.reads = sim_disk_calls(x.sim, SIM_PREAD) - before};
    OK(&x.f, omen_get_runtime_stats(x.f.rt, &memory, &x.f.err));
    out.memory = memory.memory_used;
    assert_int_equal(db_stats(&x).recovered_rows, 0);
    db_end(&x);
    return out;
}

static void opening_does_not_grow_with_the_data(void **state)
{
    (void)state;
    opening small = open_with(300);
    opening large = open_with(3000); /* 2.7 MiB more of vectors alone */
    assert_true(large.reads <= small.reads + 2);
    assert_true(large.memory < small.memory + (128 << 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_directory_stays_as_it_is),
        cmocka_unit_test(what_is_missing_is_made_when_it_may),
        cmocka_unit_test(an_unfinished_creation_is_finished),
        cmocka_unit_test(an_older_manifest_does_too),
        cmocka_unit_test(a_stray_manifest_is_passed),
        cmocka_unit_test(without_any_manifest_nothing_is_touched),
        cmocka_unit_test(a_log_from_a_newer_version_is_refused),
        cmocka_unit_test(nonsense_in_the_log_is_told),
        cmocka_unit_test(one_writer),
        cmocka_unit_test(handles_end_in_any_order),
        cmocka_unit_test(a_full_disk_takes_deletes_and_recovers),
        cmocka_unit_test(a_failed_sync_ends_writing),
        cmocka_unit_test(rot_in_the_log_opens_for_reading),
        cmocka_unit_test(an_idle_collection_holds_the_log_until_it_is_sealed),
        cmocka_unit_test(dropped_collections_leave_no_files),
        cmocka_unit_test(opening_does_not_grow_with_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
