/* store_sweep_test.c - which files are removed, and which never. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_manifest.h"
#include "store_sample.h"

#define F SAMPLE_FOLDER "/"
#define SEG(serial, id) F serial "/00000000000000" id ".seg"
#define DEL(serial, id, g) F serial "/00000000000000" id ".000000000000000" g ".del"
static const om_alloc libc_alloc;
static const sim_fault no_fault;
static sim_disk *disk;
static om_io io;
static manifest_sample sample;

static int set_up(void **unused)
{
    (void)unused;
    disk = sim_disk_create(NULL);
    io = sim_disk_io(disk);
    manifest_sample_make(&sample, 5);
    manifest_sample_files(&io, &sample);
    manifest_sample_write(&io, &sample);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    sim_open open = sim_disk_open(disk);
    sim_disk_free(disk);
    return open.files == 0 && open.mappings == 0 ? 0 : -1;
}

static omen_status_t load(om_manifest *out, uint32_t *skipped, omen_error *err)
{
    *out = (om_manifest){0};
    return om_manifest_load(&io, &libc_alloc, SAMPLE_FOLDER, out, skipped, err);
}

static void expect_generation(uint64_t generation, uint32_t want_skipped)
{
    om_manifest m;
    uint32_t skipped = 99;
    omen_error err = {0};
    if (load(&m, &skipped, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(m.generation, generation);
    assert_int_equal(skipped, want_skipped);
    om_manifest_free(&libc_alloc, &m);
}

static void write_generation(uint64_t generation)
{
    sample.m.generation = generation;
    manifest_sample_write(&io, &sample);
}

static void sweep(void)
{
    om_manifest m;
    uint32_t skipped;
    omen_error err = {0};
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    if (sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    om_manifest_free(&libc_alloc, &m);
}

/* What the current manifest does not name any more goes once no older kept one names it. */
static void test_sweep_generations(void **unused)
{
    (void)unused;
    for (uint64_t g = 6; g <= 8; g++) {
        sample.collections[0].segment_count = 1; /* 9 is gone */
        write_generation(g);
        sweep();
        assert_int_equal(file_exists(&io, SEG("00000003", "09")), g < 8);
        assert_int_equal(file_exists(&io, DEL("00000003", "09", "2")), g < 8);
        assert_true(file_exists(&io, SEG("00000003", "07")));
        assert_true(file_exists(&io, SEG("00000005", "14")));
        assert_true(file_exists(&io, DEL("00000005", "14", "2")));
        assert_true(file_exists(&io, F "CURSORS-0000000000000002"));
        assert_int_equal(file_exists(&io, F "MANIFEST-0000000000000005"), g < 8);
        assert_true(file_exists(&io, F "MANIFEST-0000000000000006"));
        expect_generation(g, 0);
    }
    assert_int_equal(folder_count(&io, SAMPLE_FOLDER), 7);
}

/* Deaths and cursors of older generations; a collection that was dropped. */
static void test_sweep_replaced(void **unused)
{
    (void)unused;
    manifest_sample newer;
    for (uint64_t g = 6; g <= 8; g++) {
        manifest_sample_make(&newer, g);
        newer.segments[1].deaths = 3;
        newer.segments[3].deaths = 3;
        newer.m.cursors = 4;
        newer.m.collection_count = 2; /* gamma_3 is dropped */
        newer.collections[2].segment_count = 0;
        manifest_sample_files(&io, &newer);
        manifest_sample_write(&io, &newer);
        sweep();
    }
    assert_false(file_exists(&io, DEL("00000003", "09", "2")));
    assert_true(file_exists(&io, DEL("00000003", "09", "3")));
    assert_true(file_exists(&io, F "CURSORS-0000000000000004"));
    assert_false(file_exists(&io, F "CURSORS-0000000000000002"));
    assert_false(file_exists(&io, F "00000005"));
    assert_true(file_exists(&io, F "0000000b"));
    assert_int_equal(folder_count(&io, F "00000003"), 3);
    assert_int_equal(folder_count(&io, SAMPLE_FOLDER), 6);
    expect_generation(8, 0);
}

/* Nothing that is not ours, or newer than the manifest, and every leftover that is neither. */
static void test_sweep_files(void **unused)
{
    (void)unused;
    static const struct {
        const char *path;
        bool goes;
    } files[] = {
        {F "MANIFEST-0000000000000005.tmp", true},
        {F "MANIFEST-0000000000000001.00000000.tmp", true},
        {F "MANIFEST-0000000000000006.tmp", false}, /* being written */
        {F "MANIFEST-0000000000000006", false},     /* newer, though damaged */
        {F "CURSORS-0000000000000001", true},
        {F "CURSORS-0000000000000002.tmp", true},
        {F "CURSORS-0000000000000005", true},
        {F "CURSORS-0000000000000006", false},
        {F "CURSORS-0000000000000006.tmp", false},
        {SEG("00000003", "01"), true},
        {SEG("00000003", "27"), true},  /* 39 */
        {SEG("00000003", "28"), false}, /* 40: not given out yet */
        {SEG("00000003", "28") ".tmp", false},
        {SEG("00000003", "07") ".tmp", true},
        {SEG("00000003", "01") ".89abcdef.tmp", true},
        {DEL("00000003", "09", "1"), true},
        {DEL("00000003", "09", "2") ".tmp", true},
        {DEL("00000003", "09", "5"), true},
        {DEL("00000003", "09", "6"), false},
        {DEL("00000003", "09", "6") ".tmp", false},
        {DEL("00000003", "28", "1"), false},
        {F "00000003/MANIFEST-0000000000000001", false},
        {F "00000003/notes", false},
        {F "0000000000000001.seg", false}, /* not where ours are */
        {F "LOCK", false},
        {F "BACKUP", false},
        {F "00000002/x", false},
        {SEG("00000002", "01"), true},
        {SEG("0000000c", "01"), true}, /* serial 12 is not given out: only the file goes */
        {F "00000009", false},         /* a file */
        {F "wal", false},
    };
    static const char *const folders[] = {F "00000001", F "00000002", F "0000000c"};
    enum { FILES = sizeof files / sizeof files[0] };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(om_io_mkdir(&io, folders[i], NULL), OMEN_OK);
    }
    for (size_t i = 0; i < FILES; i++) {
        file_put(&io, files[i].path, "x", 1);
    }
    (void)unused;
    for (int times = 0; times < 2; times++) {
        sweep();
        for (size_t i = 0; i < FILES; i++) {
            if (file_exists(&io, files[i].path) == files[i].goes) {
                fail_msg("%s is %s", files[i].path, files[i].goes ? "there" : "gone");
            }
        }
        assert_false(file_exists(&io, F "00000001"));
        assert_true(file_exists(&io, F "00000002"));
        assert_true(file_exists(&io, F "0000000c"));
        expect_generation(5, 1);
    }
}

/* Of the older ones the newest two are kept, in whatever order the folder lists them; what goes away
 * meanwhile is no failure. */
static void test_sweep_order(void **unused)
{
    static const uint64_t order[] = {3, 4, 1, 2, 5};
    (void)unused;
    om_path path;
    om_manifest m;
    uint32_t skipped;
    for (size_t i = 0; i < 5; i++) {
        write_generation(order[i]);
    }
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    const sim_fault gone = {.call = SIM_OPEN, .nth = 1, .error = ENOENT};
    sim_disk_fault(disk, &gone);
    assert_int_equal(sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, NULL), OMEN_OK);
    for (uint64_t g = 1; g <= 5; g++) {
        assert_int_equal(om_path_manifest(&path, SAMPLE_FOLDER, g, NULL), OMEN_OK);
        assert_int_equal(file_exists(&io, path.text), g >= 3);
    }
    static const sim_fault faults[] = {
        {.call = SIM_STAT, .nth = 1, .error = ENOENT},
        {.call = SIM_RMDIR, .nth = 1, .error = ENOTEMPTY},
        {.call = SIM_RMDIR, .nth = 1, .error = EEXIST},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(om_io_mkdir(&io, F "00000001", NULL), OMEN_OK);
        sim_disk_fault(disk, &faults[i]);
        assert_int_equal(sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, NULL), OMEN_OK);
        assert_true(sim_disk_faulted(disk));
    }
    sim_disk_fault(disk, &no_fault);
    om_manifest_free(&libc_alloc, &m);
}

/* A manifest that cannot be read for other reasons than damage: nothing goes. */
static void test_sweep_stops(void **unused)
{
    (void)unused;
    om_manifest m;
    uint32_t skipped;
    size_t size;
    const uint32_t format = 2;
    omen_error err = {0};
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    write_generation(6);
    uint8_t *bytes = file_get(&io, F "MANIFEST-0000000000000006", &size);
    memcpy(bytes + 8, &format, sizeof format);
    manifest_reseal(bytes, size);
    file_put(&io, F "MANIFEST-0000000000000006", bytes, size);
    free(bytes);
    file_put(&io, SEG("00000003", "01"), "x", 1);
    assert_int_equal(sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, &err), OMEN_UNIMPLEMENTED);
    assert_int_equal(err.status, OMEN_UNIMPLEMENTED);
    assert_int_equal(sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, NULL), OMEN_UNIMPLEMENTED);
    assert_true(file_exists(&io, SEG("00000003", "01")));
    om_manifest_free(&libc_alloc, &m);
}

static void make_garbage(void)
{
    assert_int_equal(om_io_mkdir(&io, F "00000001", NULL), OMEN_OK);
    file_put(&io, SEG("00000001", "01"), "x", 1);
    file_put(&io, SEG("00000003", "01"), "x", 1);
    file_put(&io, SEG("00000003", "02") ".tmp", "x", 1);
    file_put(&io, F "CURSORS-0000000000000001", "x", 1);
}

/* Every call fails once: what is named stays, the failure is told, and the next sweep does the rest. */
static void test_sweep_failing_disk(void **unused)
{
    (void)unused;
    uint64_t failures = 0;
    write_generation(6);
    write_generation(7);
    for (uint64_t nth = 1;; nth++) {
        om_manifest m;
        uint32_t skipped;
        omen_error err = {0};
        make_garbage();
        assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
        const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = EIO};
        sim_disk_fault(disk, &fault);
        omen_status_t status = sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, &err);
        bool faulted = sim_disk_faulted(disk);
        sim_disk_fault(disk, &no_fault);
        om_manifest_free(&libc_alloc, &m);
        if (status != OMEN_OK) {
            failures++;
            assert_int_equal(status, OMEN_UNAVAILABLE);
            assert_int_equal(err.sys_errno, EIO);
            expect_generation(7, 0);
        }
        sweep();
        assert_false(file_exists(&io, F "00000001"));
        assert_false(file_exists(&io, SEG("00000003", "01")));
        assert_false(file_exists(&io, F "CURSORS-0000000000000001"));
        expect_generation(7, 0);
        if (!faulted) {
            break;
        }
    }
    assert_true(failures >= 15);
    const sim_fault fault = {.call = SIM_UNLINK, .nth = 1, .error = EIO};
    om_manifest m;
    uint32_t skipped;
    make_garbage();
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    sim_disk_fault(disk, &fault);
    assert_int_equal(sweep_with(&io, &libc_alloc, SAMPLE_FOLDER, &m, NULL), OMEN_UNAVAILABLE);
    sim_disk_fault(disk, &no_fault);
    om_manifest_free(&libc_alloc, &m);
}

static void test_sweep_without_memory(void **unused)
{
    (void)unused;
    omen_status_t status = OMEN_INTERNAL;
    om_manifest m;
    uint32_t skipped;
    write_generation(6);
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    make_garbage();
    for (uint64_t calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        omen_error err = {0};
        status = sweep_with(&io, &alloc, SAMPLE_FOLDER, &m, &err);
        assert_true(status == OMEN_OK || err.sys_errno == ENOMEM || err.detail == OMEN_D_NO_MEMORY);
        assert_int_equal(scarce.blocks, 0);
        expect_generation(6, 0);
    }
    om_manifest_free(&libc_alloc, &m);
    assert_false(file_exists(&io, F "00000001"));
}

/* Many files: the list of names grows. */
static void test_sweep_many(void **unused)
{
    (void)unused;
    om_path path;
    sample.m.next_segment = 1000;
    write_generation(5);
    for (uint64_t id = 100; id < 300; id++) {
        assert_int_equal(om_path_segment(&path, SAMPLE_FOLDER, 3, id, NULL), OMEN_OK);
        file_put(&io, path.text, "x", 1);
    }
    sweep();
    assert_int_equal(folder_count(&io, F "00000003"), 3);
}

/* Segments from a bound on wait to be named, whatever else there is. */
static void test_sweep_bound(void **unused)
{
    (void)unused;
    om_path path;
    om_manifest m;
    uint32_t skipped;
    omen_error err;
    sample.m.next_segment = 1000;
    write_generation(5);
    for (uint64_t id = 100; id < 110; id++) {
        assert_int_equal(om_path_segment(&path, SAMPLE_FOLDER, 3, id, NULL), OMEN_OK);
        file_put(&io, path.text, "x", 1);
    }
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    om_sweeping what = {.folder = SAMPLE_FOLDER, .current = &m, .segments_below = 105};
    assert_int_equal(om_sweep(&io, &libc_alloc, &what, &err), OMEN_OK);
    assert_int_equal(folder_count(&io, F "00000003"), 3 + 5);
    what.segments_below = UINT64_MAX; /* the manifest's own bound holds */
    m.next_segment = 107;
    assert_int_equal(om_sweep(&io, &libc_alloc, &what, &err), OMEN_OK);
    assert_int_equal(folder_count(&io, F "00000003"), 3 + 3);
    om_manifest_free(&libc_alloc, &m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sweep_generations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_failing_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep_bound, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store sweep", tests, NULL, NULL);
}
