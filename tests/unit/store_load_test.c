/* store_load_test.c - which manifest counts. SPDX-License-Identifier: Apache-2.0 */
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

static void expect_generation(uint64_t generation, uint32_t want_skipped, const char *trouble)
{
    om_manifest m;
    uint32_t skipped = 99;
    omen_error err = {0};
    if (load(&m, &skipped, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(m.generation, generation);
    assert_int_equal(m.newest, generation + want_skipped);
    assert_int_equal(skipped, want_skipped);
    if (strstr(m.trouble, trouble) == NULL || (want_skipped == 0) != (m.trouble[0] == '\0')) {
        fail_msg("'%s' is not in '%s'", trouble, m.trouble);
    }
    om_manifest_free(&libc_alloc, &m);
}

static void expect_failure(omen_status_t want, const char *message)
{
    om_manifest m;
    uint32_t skipped;
    omen_error err = {0};
    assert_int_equal(load(&m, &skipped, &err), want);
    assert_int_equal(err.status, want);
    if (strstr(err.message, message) == NULL) {
        fail_msg("'%s' is not in '%s'", message, err.message);
    }
}

static void write_generation(uint64_t generation)
{
    sample.m.generation = generation;
    manifest_sample_write(&io, &sample);
}

static void test_newest(void **unused)
{
    (void)unused;
    om_manifest m;
    uint32_t skipped;
    expect_generation(5, 0, "");
    write_generation(6);
    write_generation(4);
    expect_generation(6, 0, "");
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    sample.m.generation = 6;
    manifest_assert_equal(&m, &sample.m);
    om_manifest_free(&libc_alloc, &m);
}

/* The newest generation is damaged, or one of its files is. */
static void flip(const char *path, size_t at)
{
    size_t size;
    uint8_t *bytes = file_get(&io, path, &size);
    assert_true(at < size);
    bytes[at] ^= 4;
    file_put(&io, path, bytes, size);
    free(bytes);
}

static void resize(const char *path, int64_t by)
{
    om_iofile file;
    uint64_t bytes;
    assert_int_equal(om_io_open(&io, path, OM_IO_WRITE, &file, NULL), OMEN_OK);
    assert_int_equal(om_io_size(&file, &bytes, NULL), OMEN_OK);
    assert_int_equal(om_io_truncate(&file, bytes + (uint64_t)by, NULL), OMEN_OK);
    om_io_close(&file);
}

static void test_falls_back(void **unused)
{
    (void)unused;
    write_generation(6);
    flip(F "MANIFEST-0000000000000006", 300);
    expect_generation(5, 1, "manifest: checksum of the collections");
    write_generation(7);
    resize(F "MANIFEST-0000000000000007", -1);
    expect_generation(5, 2, "it was cut off");
    write_generation(8);
    expect_generation(8, 0, "");
    /* A copy under another name is not that generation. */
    size_t size;
    uint8_t *bytes = file_get(&io, F "MANIFEST-0000000000000008", &size);
    file_put(&io, F "MANIFEST-0000000000000009", bytes, size);
    free(bytes);
    expect_generation(8, 1, "it holds generation 8, the name says 9");
}

typedef struct harm {
    const char *path;
    int64_t resize; /* 0: a bit of byte `at`; INT64_MIN: removed */
    size_t at;
    const char *message;
} harm;

/* Generation 6 names a segment, deaths and cursors of its own. */
static void test_files_count(void **unused)
{
    (void)unused;
    static const harm harms[] = {
        {SEG("00000005", "14"), INT64_MIN, 0, "0000000000000014.seg: cannot open"},
        {SEG("00000005", "14"), -1, 0, "14.seg: the file has 4279 bytes, the manifest says 4280"},
        {SEG("00000005", "14"), 1, 0, "14.seg: the file has 4281 bytes"},
        {SEG("00000005", "14"), 0, 0, "14.seg: checksum of the header"},
        {SEG("00000005", "14"), 0, 4095, "14.seg: checksum of the header"},
        {DEL("00000005", "14", "3"), INT64_MIN, 0, "3.del: cannot open"},
        {DEL("00000005", "14", "3"), -1, 0, "3.del: the file has"},
        {DEL("00000005", "14", "3"), 0, 60, "3.del: checksum of the header"},
        {DEL("00000005", "14", "3"), 0, 4100, "3.del: checksum of the deaths"},
        {F "CURSORS-0000000000000003", INT64_MIN, 0, "CURSORS-0000000000000003: cannot open"},
        {F "CURSORS-0000000000000003", 8, 0, "3: the file has 72 bytes, its header says 64"},
        {F "CURSORS-0000000000000003", 0, 50, "3: checksum of the header"},
    };
    for (size_t i = 0; i < sizeof harms / sizeof harms[0]; i++) {
        manifest_sample newer;
        manifest_sample_make(&newer, 6);
        newer.segments[3].deaths = 3;
        newer.m.cursors = 3;
        newer.segments[1].deaths = 2;
        manifest_sample_files(&io, &newer);
        manifest_sample_write(&io, &newer);
        /* Generation 5 does without all three. */
        manifest_sample_make(&sample, 5);
        manifest_sample_files(&io, &sample);
        sample.collections[2].segment_count = 1;
        manifest_sample_write(&io, &sample);
        expect_generation(6, 0, "");
        if (harms[i].resize == INT64_MIN) {
            assert_int_equal(om_io_unlink(&io, harms[i].path, NULL), OMEN_OK);
        } else if (harms[i].resize != 0) {
            resize(harms[i].path, harms[i].resize);
        } else {
            flip(harms[i].path, harms[i].at);
        }
        expect_generation(5, 1, harms[i].message);
    }
}

/* A valid page, but that of another file of the same size. */
static void test_another_segment(void **unused)
{
    (void)unused;
    sample.segments[0].header_crc ^= 1;
    write_generation(6);
    expect_generation(5, 1, "the manifest");
}

static void test_nothing_holds(void **unused)
{
    (void)unused;
    write_generation(6);
    flip(F "MANIFEST-0000000000000006", 9);
    flip(F "MANIFEST-0000000000000005", 40);
    expect_failure(OMEN_DATA_LOSS, "none of 2 manifests can be used; the newest, "
                                   "0000000000000006: manifest: checksum of the header");
    assert_int_equal(om_io_unlink(&io, F "MANIFEST-0000000000000006", NULL), OMEN_OK);
    assert_int_equal(om_io_unlink(&io, F "MANIFEST-0000000000000005", NULL), OMEN_OK);
    expect_failure(OMEN_DATA_LOSS, "no database: there is '");
}

/* A newer format ends the search: its older generation must not be written on. */
static void test_newer_format(void **unused)
{
    (void)unused;
    size_t size;
    const uint32_t format = 2;
    write_generation(6);
    uint8_t *bytes = file_get(&io, F "MANIFEST-0000000000000006", &size);
    memcpy(bytes + 8, &format, sizeof format);
    manifest_reseal(bytes, size);
    file_put(&io, F "MANIFEST-0000000000000006", bytes, size);
    free(bytes);
    expect_failure(OMEN_UNIMPLEMENTED, "format 2 is newer");
}

static void test_places_without_manifest(void **unused)
{
    (void)unused;
    om_manifest m;
    uint32_t skipped;
    omen_error err = {0};
    assert_int_equal(om_manifest_load(&io, &libc_alloc, "/none", &m, &skipped, &err),
                     OMEN_NOT_FOUND);
    assert_int_equal(om_io_mkdir(&io, "/new", NULL), OMEN_OK);
    static const char *const harmless[] = {"/new/LOCK", "/new/wal", "/new/lost+found",
                                           "/new/MANIFEST-0000000000000001.tmp"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(om_manifest_load(&io, &libc_alloc, "/new", &m, &skipped, &err),
                         OMEN_NOT_FOUND);
        assert_non_null(strstr(err.message, "/new: there is no database"));
        file_put(&io, harmless[i], "", 0);
    }
    static const char *const others[] = {"/new/notes.txt", "/new/CURSORS-0000000000000001",
                                         "/new/00000001", "/new/MANIFEST-1", "/new/BACKUP"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        file_put(&io, others[i], "", 0);
        assert_int_equal(om_manifest_load(&io, &libc_alloc, "/new", &m, &skipped, &err),
                         OMEN_DATA_LOSS);
        assert_non_null(strstr(err.message, others[i] + 5));
        assert_int_equal(om_io_unlink(&io, others[i], NULL), OMEN_OK);
    }
}

/* More generations than are tried: the newest ones count. */
static void test_many_generations(void **unused)
{
    (void)unused;
    om_path path;
    for (uint64_t g = 6; g < 80; g++) {
        assert_int_equal(om_path_manifest(&path, SAMPLE_FOLDER, g * 37 % 80 + 100, NULL), OMEN_OK);
        file_put(&io, path.text, "x", 1);
    }
    expect_failure(OMEN_DATA_LOSS, "none of 64 manifests");
    write_generation(1000);
    expect_generation(1000, 0, "");
}

/* Every call of the disk fails once: never an older generation for it, never a wrong answer. */
static void test_failing_disk(void **unused)
{
    (void)unused;
    static const int errors[] = {EIO, EINTR, EACCES, 0};
    write_generation(6);
    for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
        for (uint64_t nth = 1;; nth++) {
            om_manifest m;
            uint32_t skipped;
            omen_error err = {0};
            const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = errors[e]};
            sim_disk_fault(disk, &fault);
            omen_status_t status = load(&m, &skipped, &err);
            bool faulted = sim_disk_faulted(disk);
            sim_disk_fault(disk, &no_fault);
            if (status == OMEN_OK) {
                assert_int_equal(m.generation, 6);
                om_manifest_free(&libc_alloc, &m);
            } else {
                assert_true(status == OMEN_UNAVAILABLE || status == OMEN_FAILED_PRECONDITION);
            }
            if (!faulted) {
                assert_int_equal(status, OMEN_OK);
                break;
            }
        }
    }
}

static void test_without_memory(void **unused)
{
    (void)unused;
    write_generation(6);
    omen_status_t status = OMEN_INTERNAL;
    for (uint64_t calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_manifest m = {0};
        uint32_t skipped;
        omen_error err = {0};
        status = om_manifest_load(&io, &alloc, SAMPLE_FOLDER, &m, &skipped, &err);
        assert_int_equal(err.detail, status == OMEN_OK ? OMEN_D_NONE : OMEN_D_NO_MEMORY);
        om_manifest_free(&alloc, &m);
        assert_int_equal(scarce.blocks, 0);
    }
}

/* Without cursors; and folders with names so long that some of the files in them have none. */
static void test_long_folders(void **unused)
{
    static const size_t files[] = {0, 25, 30, 47}; /* "/MANIFEST-...", segments, deaths */
    (void)unused;
    char folder[OM_PATH_MAX];
    om_manifest m;
    uint32_t skipped;
    sample.m.cursors = 0;
    write_generation(6);
    file_put(&io, F "CURSORS-0000000000000003.tmp", "x", 1);
    file_put(&io, SEG("00000003", "07") ".89abcdef.tmp", "x", 1);
    assert_int_equal(load(&m, &skipped, NULL), OMEN_OK);
    for (size_t room = 0; room < 60; room++) { /* bytes left for the name of a file */
        om_manifest read = {0};
        omen_error err = {0};
        memset(folder, '/', sizeof folder);
        memcpy(folder + OM_PATH_MAX - 1 - room - 3, "/db", 4);
        omen_status_t status = om_manifest_load(&io, &libc_alloc, folder, &read, &skipped, &err);
        if (room < files[1]) {
            assert_int_equal(status, OMEN_INVALID_ARGUMENT);
        } else if (room < files[3]) {
            assert_true(status == OMEN_INVALID_ARGUMENT);
            assert_non_null(strstr(err.message, "the limit is 4095"));
        } else {
            assert_int_equal(status, OMEN_OK);
            om_manifest_free(&libc_alloc, &read);
        }
        status = sweep_with(&io, &libc_alloc, folder, &m, &err);
        if (status != OMEN_OK) {
            assert_int_equal(status, OMEN_INVALID_ARGUMENT);
            expect_generation(6, 0, "");
        }
        assert_int_equal(status == OMEN_OK, room >= files[2] + sizeof ".89abcdef.tmp" - 1);
        assert_int_equal(om_manifest_load(&io, &libc_alloc, folder, &read, &skipped, NULL),
                         room >= files[3] ? OMEN_OK : OMEN_INVALID_ARGUMENT);
        om_manifest_free(&libc_alloc, &read);
    }
    om_manifest_free(&libc_alloc, &m);
}

/* ---- Names ---- */
static void test_paths(void **unused)
{
    (void)unused;
    om_path path = {.text = "old"};
    omen_error err = {0};
    char folder[OM_PATH_MAX];
    assert_int_equal(om_path_join(&path, "a/b", "c", NULL), OMEN_OK);
    assert_string_equal(path.text, "a/b/c");
    assert_int_equal(om_path_deaths(&path, "x", 0xABCD, 1, UINT64_MAX, NULL), OMEN_OK);
    assert_string_equal(path.text, "x/0000abcd/0000000000000001.ffffffffffffffff.del");
    memset(folder, 'f', sizeof folder);
    folder[OM_PATH_MAX - 3] = '\0';
    assert_int_equal(om_path_join(&path, folder, "n", NULL), OMEN_OK);
    assert_int_equal(strlen(path.text), OM_PATH_MAX - 1);
    assert_int_equal(om_path_join(&path, folder, "no", &err), OMEN_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "would have 4096 bytes, the limit is 4095"));
    assert_int_equal(path.text[OM_PATH_MAX - 2], 'n');
}

static void test_name_parse(void **unused)
{
    static const struct {
        const char *text;
        uint32_t kind;
        bool temporary;
    } cases[] = {
        {"MANIFEST-00000000000000af", OM_NAME_MANIFEST, false},
        {"MANIFEST-00000000000000af.tmp", OM_NAME_MANIFEST, true},
        {"MANIFEST-00000000000000af.0123abcd.tmp", OM_NAME_MANIFEST, true},
        {"MANIFEST-00000000000000AF", OM_NAME_OTHER, false},
        {"MANIFEST-00000000000000a", OM_NAME_OTHER, false},
        {"MANIFEST-00000000000000aff", OM_NAME_OTHER, false},
        {"MANIFEST-", OM_NAME_OTHER, false},
        {"MANIFEST", OM_NAME_OTHER, false},
        {"CURSORS-00000000000000af", OM_NAME_CURSORS, false},
        {"CURSORS-0000000000000g", OM_NAME_OTHER, false},
        {"000000af", OM_NAME_FOLDER, false},
        {"000000af.tmp", OM_NAME_OTHER, false},
        {"000000a", OM_NAME_OTHER, false},
        {"000000aff", OM_NAME_OTHER, false},
        {"00000000000000af", OM_NAME_OTHER, false},
        {"00000000000000af.seg", OM_NAME_SEGMENT, false},
        {"00000000000000af.seg.tmp", OM_NAME_SEGMENT, true},
        {"00000000000000af.seg.00000000.tmp", OM_NAME_SEGMENT, true},
        {"00000000000000af.seg.0000000.tmp", OM_NAME_OTHER, false},
        {"00000000000000af.seg.00000000", OM_NAME_OTHER, false},
        {"00000000000000af.seg.bak", OM_NAME_OTHER, false},
        {"00000000000000af.000000000000000b.del", OM_NAME_DEATHS, false},
        {"00000000000000af.000000000000000b.del.tmp", OM_NAME_DEATHS, true},
        {"00000000000000af.000000000000000b.seg", OM_NAME_OTHER, false},
        {"00000000000000af.00000000000000b.del", OM_NAME_OTHER, false},
        {"", OM_NAME_OTHER, false},
        {"0000000000000000000000000000000000000000000000000000000000000000", OM_NAME_OTHER, false},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        om_name name;
        om_name_parse(cases[i].text, &name);
        if (name.kind != cases[i].kind || name.temporary != cases[i].temporary) {
            fail_msg("%s: kind %u", cases[i].text, name.kind);
        }
        if (name.kind != OM_NAME_OTHER) {
            assert_int_equal(name.number, 0xaf);
            assert_int_equal(name.deaths, name.kind == OM_NAME_DEATHS ? 0xb : 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_newest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_falls_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newer_format, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places_without_manifest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_generations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_parse, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store load", tests, NULL, NULL);
}
