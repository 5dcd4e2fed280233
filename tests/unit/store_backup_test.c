/* store_backup_test.c - lists of backups, copied files, and folders that appear whole.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backupfile.h"
#include "segfile.h"
#include "store_manifest.h"
#include "store_sample.h"

static const om_alloc libc_alloc;
static const sim_fault no_fault;
static sim_disk *disk;
static om_io io;

static int set_up(void **unused)
{
    (void)unused;
    disk = sim_disk_create(NULL);
    io = sim_disk_io(disk);
    return om_io_mkdir(&io, "/b", NULL) == OMEN_OK && om_io_mkdir(&io, "/db", NULL) == OMEN_OK ? 0
                                                                                               : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    sim_open open = sim_disk_open(disk);
    sim_disk_free(disk);
    return open.files == 0 && open.mappings == 0 ? 0 : -1;
}

static void expect_message(const omen_error *err, const char *message)
{
    if (strstr(err->message, message) == NULL) {
        fail_msg("'%s' is not in '%s'", message, err->message);
    }
}

/* ---- The list ---- */
static om_backup_list sample_list(void)
{
    static const char *const names[] = {
        "wal/0000000000000001.wal", "MANIFEST-0000000000000003", "00000001/0000000000000001.seg",
        "00000001/0000000000000001.0000000000000002.del", "CURSORS-0000000000000003"};
    om_backup_list list = {.generation = 3, .version = UINT64_MAX};
    for (uint8_t i = 0; i < 16; i++) {
        list.database[i] = (uint8_t)(i * 17);
    }
    for (uint32_t i = 0; i < 5; i++) {
        om_backup_file file = {.bytes = i * UINT64_C(10000000000), .crc = 0xFFFFFFFFu >> 7 * i};
        (void)snprintf(file.name, sizeof file.name, "%s", names[i]);
        assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, NULL), OMEN_OK);
    }
    return list;
}

static const char text_of_sample[] =
    "omendb-backup 1\n"
    "database 00112233445566778899aabbccddeeff\n"
    "generation 3\n"
    "version 18446744073709551615\n"
    "files 5\n"
    "000007ff 30000000000 00000001/0000000000000001.0000000000000002.del\n"
    "0003ffff 20000000000 00000001/0000000000000001.seg\n"
    "0000000f 40000000000 CURSORS-0000000000000003\n"
    "01ffffff 10000000000 MANIFEST-0000000000000003\n"
    "ffffffff 0 wal/0000000000000001.wal\n";

static void put_text(const char *text)
{
    char whole[4096];
    int length =
        snprintf(whole, sizeof whole, "%send %08x\n", text, om_crc32c(0, text, strlen(text)));
    assert_int_equal(om_io_unlink(&io, "/b/BACKUP", NULL), OMEN_OK);
    file_put(&io, "/b/BACKUP", whole, (size_t)length);
}

static omen_status_t read_list(om_backup_list *out, omen_error *err)
{
    *out = (om_backup_list){.count = 0};
    return om_backup_list_read(&io, &libc_alloc, "/b", out, err);
}

static void test_list(void **unused)
{
    (void)unused;
    om_backup_list list = sample_list(), read;
    size_t size;
    assert_int_equal(om_backup_list_write(&io, &libc_alloc, "/b", &list, NULL), OMEN_OK);
    uint8_t *bytes = file_get(&io, "/b/BACKUP", &size);
    assert_int_equal(size, sizeof text_of_sample - 1 + 13);
    assert_memory_equal(bytes, text_of_sample, sizeof text_of_sample - 1);
    free(bytes);
    assert_int_equal(read_list(&read, NULL), OMEN_OK);
    assert_int_equal(read.count, 5);
    assert_int_equal(read.version, UINT64_MAX);
    assert_int_equal(read.generation, 3);
    assert_memory_equal(read.database, list.database, 16);
    assert_int_equal(om_backup_list_bytes(&read), UINT64_C(100000000000));
    for (uint32_t i = 0; i < 5; i++) {
        const om_backup_file *found = om_backup_list_find(&read, list.files[i].name);
        assert_non_null(found);
        assert_int_equal(found->crc, list.files[i].crc);
        assert_int_equal(found->bytes, list.files[i].bytes);
    }
    assert_null(om_backup_list_find(&read, "MANIFEST-0000000000000004"));
    assert_null(om_backup_list_find(&read, ""));
    om_backup_list_free(&libc_alloc, &read);
    om_backup_list_free(&libc_alloc, &list);
    om_backup_list_free(&libc_alloc, &list);

    assert_int_equal(om_backup_list_write(&io, &libc_alloc, "/b", &list, NULL), OMEN_OK);
    assert_int_equal(read_list(&read, NULL), OMEN_OK);
    assert_int_equal(read.count, 0);
    om_backup_list_free(&libc_alloc, &read);
    for (uint32_t i = 0; i < 1000; i++) {
        om_backup_file file = {.bytes = i};
        (void)snprintf(file.name, sizeof file.name, "f%u", i * 7 % 1000);
        assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, NULL), OMEN_OK);
    }
    assert_int_equal(om_backup_list_write(&io, &libc_alloc, "/b", &list, NULL), OMEN_OK);
    assert_int_equal(read_list(&read, NULL), OMEN_OK);
    assert_int_equal(om_backup_list_find(&read, "f7")->bytes, 1);
    om_backup_list_free(&libc_alloc, &read);
    om_backup_list_free(&libc_alloc, &list);
}

static void test_list_refuses(void **unused)
{
    static const char *const bad[] = {"",       "/a",   "a/",  "a//b", "a/b/c", ".a",
                                      "a/.b",   "..",   "a b", "a\nb", "a\\b",  "\xC3\xA9",
                                      "BACKUP", "LOCK", "a:",  "a@"};
    (void)unused;
    om_backup_list list = {.count = 0};
    om_backup_file file = {.bytes = 1};
    omen_error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(file.name, sizeof file.name, "%s", bad[i]);
        assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, &err), OMEN_INTERNAL);
    }
    (void)snprintf(file.name, sizeof file.name, "AZ_az-09.x/09");
    assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, &err), OMEN_OK);
    memset(file.name, 'a', sizeof file.name);
    assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, &err), OMEN_INTERNAL);
    file.name[OM_BACKUP_MAX_NAME] = '\0';
    assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, &err), OMEN_OK);
    assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, &err), OMEN_OK);
    assert_int_equal(om_backup_list_write(&io, &libc_alloc, "/b", &list, &err), OMEN_INTERNAL);
    expect_message(&err, "is listed twice");
    list.count = OM_BACKUP_MAX_FILES;
    assert_int_equal(om_backup_list_add(&libc_alloc, &list, &file, &err), OMEN_RESOURCE_EXHAUSTED);
    om_backup_list_free(&libc_alloc, &list);
}

static void test_list_damage(void **unused)
{
    (void)unused;
    om_backup_list list = sample_list(), read;
    size_t size;
    omen_error err = {0};
    assert_int_equal(read_list(&read, &err), OMEN_NOT_FOUND);
    expect_message(&err, "/b: is no backup: there is no BACKUP in it");
    assert_int_equal(om_backup_list_write(&io, &libc_alloc, "/b", &list, NULL), OMEN_OK);
    om_backup_list_free(&libc_alloc, &list);
    uint8_t *bytes = file_get(&io, "/b/BACKUP", &size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        file_put(&io, "/b/BACKUP", bytes, size);
        assert_int_equal(read_list(&read, NULL), OMEN_DATA_LOSS);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        file_put(&io, "/b/BACKUP", bytes, cut);
        assert_int_equal(read_list(&read, NULL), OMEN_DATA_LOSS);
    }
    uint8_t more[4096] = {0};
    memcpy(more, bytes, size);
    for (size_t length = size + 1; length < size + 20; length++) {
        file_put(&io, "/b/BACKUP", more, length);
        assert_int_equal(read_list(&read, NULL), OMEN_DATA_LOSS);
    }
    free(bytes);
}

/* Every byte changed in every way that is text, with a right checksum: refused, or another good list. */
static void test_list_hostile(void **unused)
{
    static const char letters[] = "\n /0129:a g";
    (void)unused;
    char text[sizeof text_of_sample];
    om_backup_list read;
    size_t harmless = 0;
    for (size_t at = 0; at + 1 < sizeof text; at++) {
        for (size_t i = 0; i < sizeof letters; i++) { /* a zero too */
            memcpy(text, text_of_sample, sizeof text);
            text[at] = letters[i];
            put_text(text);
            omen_status_t status = read_list(&read, NULL);
            assert_true(status == OMEN_OK || status == OMEN_DATA_LOSS ||
                        status == OMEN_UNIMPLEMENTED);
            harmless += status == OMEN_OK;
            om_backup_list_free(&libc_alloc, &read);
        }
    }
    assert_true(harmless > 100);
}

static void test_list_texts(void **unused)
{
    static const struct {
        const char *text;
        omen_status_t status;
        const char *message;
    } cases[] = {
#define HEAD "omendb-backup 1\ndatabase 00112233445566778899aabbccddeeff\n"
        {"", OMEN_DATA_LOSS, "first line"},
        {"omendb-backup 2\nwhatever", OMEN_UNIMPLEMENTED, "backup format 2 is newer than 1"},
        {"omendb-backup 01\n", OMEN_DATA_LOSS, "its head makes no sense"},
        {"omendb-backup \n", OMEN_DATA_LOSS, "first line"},
        {"omendb-backup 99999999999\n", OMEN_DATA_LOSS, "first line"},
        {"omendb-backup 1\ndatabase 0011", OMEN_DATA_LOSS, "head"},
        {"omendb-backup 1\ndatabase 0g112233445566778899aabbccddeeff\n", OMEN_DATA_LOSS, "head"},
        {"omendb-backup 1\ndatabase g0112233445566778899aabbccddeeff\n", OMEN_DATA_LOSS, "head"},
        {HEAD "generation 1\nversion 2\nfiles 0\n", OMEN_OK, ""},
        {HEAD "generation 01\nversion 2\nfiles 0\n", OMEN_DATA_LOSS, "not written as"},
        {HEAD "generation 18446744073709551616\nversion 2\nfiles 0\n", OMEN_DATA_LOSS, "head"},
        {HEAD "generation \nversion 2\nfiles 0\n", OMEN_DATA_LOSS, "head"},
        {HEAD "generation 1\nversion 2\nfiles 0\n\n", OMEN_DATA_LOSS, "not written as"},
        {HEAD "generation 1\nversion 2\nfiles 4194305\n", OMEN_DATA_LOSS, "head"},
        {HEAD "generation 1\nversion 2\nfiles 4194304\n", OMEN_DATA_LOSS, "a line makes no sense"},
        {HEAD "generation 1\nversion 2\nfiles 1\n", OMEN_DATA_LOSS, "a line makes no sense"},
        {HEAD "generation 1\nversion 2\nfiles 0\n00000000 1 a\n", OMEN_DATA_LOSS, "not written as"},
        {HEAD "generation 1\nversion 2\nfiles 1\n00000000 1 a", OMEN_DATA_LOSS, "a name has"},
        {HEAD "generation 1\nversion 2\nfiles 1\n00000000 1 \n", OMEN_DATA_LOSS, "a name has"},
        {HEAD "generation 1\nversion 2\nfiles 1\n00000000 1 ../a\n", OMEN_DATA_LOSS, "not one of"},
        {HEAD "generation 1\nversion 2\nfiles 1\n0000000A 1 a\n", OMEN_DATA_LOSS, "a line"},
        {HEAD "generation 1\nversion 2\nfiles 1\n000000000 1 a\n", OMEN_DATA_LOSS, "not written"},
        {HEAD "generation 1\nversion 2\nfiles 1\n100000000 1 a\n", OMEN_DATA_LOSS, "a line"},
        {HEAD "generation 1\nversion 2\nfiles 1\n00000000 9223372036854775807 a\n", OMEN_OK, ""},
        {HEAD "generation 1\nversion 2\nfiles 1\n00000000 9223372036854775808 a\n", OMEN_DATA_LOSS,
         "a line"},
        {HEAD "generation 1\nversion 2\nfiles 2\n00000000 9223372036854775807 a\n00000000 1 b\n",
         OMEN_DATA_LOSS, "impossible sizes"},
        {HEAD "generation 1\nversion 2\nfiles 2\n00000000 1 a\n00000000 1 a\n", OMEN_DATA_LOSS,
         "ascend"},
        {HEAD "generation 1\nversion 2\nfiles 2\n00000000 1 b\n00000000 1 a\n", OMEN_DATA_LOSS,
         "ascend"},
        {HEAD "generation 1\nversion 2\nfiles 3\n00000000 9223372036854775807 a\n"
              "00000000 9223372036854775807 b\n00000000 2 c\n",
         OMEN_DATA_LOSS, "impossible sizes"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        om_backup_list read;
        omen_error err = {0};
        put_text(cases[i].text);
        omen_status_t status = read_list(&read, &err);
        if (status != cases[i].status || strstr(err.message, cases[i].message) == NULL) {
            fail_msg("%s: status %d, %s", cases[i].text, status, err.message);
        }
        om_backup_list_free(&libc_alloc, &read);
    }
    om_backup_list none;
    omen_error cut = {0};
    assert_int_equal(om_io_unlink(&io, "/b/BACKUP", NULL), OMEN_OK);
    file_put(&io, "/b/BACKUP", "end 1\n1234567", 13);
    assert_int_equal(read_list(&none, &cut), OMEN_DATA_LOSS);
    expect_message(&cut, "its last line is not there");
    char line[256] = HEAD "generation 1\nversion 2\nfiles 1\n00000000 1 ";
    size_t length = strlen(line);
    memset(line + length, 'n', 64);
    memcpy(line + length + 64, "\n", 2);
    om_backup_list read;
    put_text(line);
    assert_int_equal(read_list(&read, NULL), OMEN_DATA_LOSS);
    memcpy(line + length + 63, "\n", 2);
    put_text(line);
    assert_int_equal(read_list(&read, NULL), OMEN_OK);
    om_backup_list_free(&libc_alloc, &read);
}

/* Folders whose names leave no room for that of the list; a disk that fails. */
static void test_list_paths(void **unused)
{
    (void)unused;
    char folder[OM_PATH_MAX];
    om_backup_list list = {.count = 0};
    omen_error err = {0};
    memset(folder, '/', sizeof folder);
    folder[OM_PATH_MAX - 3] = '\0';
    assert_int_equal(om_backup_list_write(&io, &libc_alloc, folder, &list, &err),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(om_backup_list_read(&io, &libc_alloc, folder, &list, &err),
                     OMEN_INVALID_ARGUMENT);
    const sim_fault fault = {.call = SIM_STAT, .nth = 1, .error = EIO};
    sim_disk_fault(disk, &fault);
    assert_int_equal(read_list(&list, &err), OMEN_UNAVAILABLE);
    sim_disk_fault(disk, &no_fault);
}

static void test_list_without_memory(void **unused)
{
    (void)unused;
    omen_status_t status = OMEN_INTERNAL;
    om_backup_list list = sample_list();
    for (uint64_t calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_backup_list own = {.count = 0};
        for (uint32_t i = 0; i < list.count && (i == 0 || status == OMEN_OK); i++) {
            status = om_backup_list_add(&alloc, &own, &list.files[i], NULL);
        }
        if (status == OMEN_OK) {
            status = om_backup_list_write(&io, &alloc, "/b", &own, NULL);
        }
        om_backup_list_free(&alloc, &own);
        assert_int_equal(scarce.blocks, 0);
        assert_int_equal(file_exists(&io, "/b/BACKUP"), status == OMEN_OK);
    }
    status = OMEN_INTERNAL;
    for (uint64_t calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_backup_list read = {.count = 0};
        omen_error err = {0};
        status = om_backup_list_read(&io, &alloc, "/b", &read, &err);
        assert_int_equal(err.detail, status == OMEN_OK ? OMEN_D_NONE : OMEN_D_NO_MEMORY);
        om_backup_list_free(&alloc, &read);
        assert_int_equal(scarce.blocks, 0);
    }
    om_backup_list_free(&libc_alloc, &list);
}

/* ---- Copies ---- */
static uint8_t content[3 * OM_BACKUP_BUFFER + 17];

static void make_content(void)
{
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 31 + i / 4096);
    }
}

static void test_copies(void **unused)
{
    static const size_t sizes[] = {
        0, 1, OM_BACKUP_BUFFER - 1, OM_BACKUP_BUFFER, OM_BACKUP_BUFFER + 1, sizeof content};
    (void)unused;
    omen_op op = {0};
    om_backup_work work = {.io = &io, .alloc = &libc_alloc, .op = &op, .stage = 2, .total = 99};
    assert_int_equal(om_backup_work_begin(&work, NULL), OMEN_OK);
    make_content();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        om_backup_file sum = {.bytes = sizes[i]};
        omen_error err = {0};
        assert_int_equal(om_io_unlink(&io, "/from", NULL), OMEN_OK);
        assert_int_equal(om_io_unlink(&io, "/to", NULL), OMEN_OK);
        file_put(&io, "/from", content, sizes[i]);
        work.done = 0;
        assert_int_equal(om_backup_copy(&work, "/from", "/to", &sum, NULL), OMEN_OK);
        assert_int_equal(sum.crc, om_crc32c(0, content, sizes[i]));
        assert_int_equal(work.done, sizes[i]);
        assert_int_equal(atomic_load(&op.done), i == 0 ? 0 : sizes[i]);
        size_t size;
        uint8_t *copy = file_get(&io, "/to", &size);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(copy, content, size);
        free(copy);
        sum.crc = 0;
        assert_int_equal(om_backup_copy(&work, "/from", NULL, &sum, NULL), OMEN_OK);
        assert_int_equal(sum.crc, om_crc32c(0, content, sizes[i]));
        /* Never over something, and only a file of this size. */
        assert_int_equal(om_backup_copy(&work, "/from", "/to", &sum, &err),
                         OMEN_FAILED_PRECONDITION);
        assert_true(file_exists(&io, "/to"));
        sum.bytes++;
        assert_int_equal(om_backup_copy(&work, "/from", NULL, &sum, &err), OMEN_DATA_LOSS);
        expect_message(&err, "it was cut off");
        sum.bytes -= sizes[i] == 0 ? 0 : 2;
        assert_int_equal(om_backup_copy(&work, "/from", NULL, &sum, &err), OMEN_DATA_LOSS);
        expect_message(&err, sizes[i] == 0 ? "it was cut off" : "something was appended");
    }
    om_backup_file sum = {.bytes = sizeof content};
    atomic_store(&op.cancelled, 1);
    assert_int_equal(om_backup_copy(&work, "/from", "/other", &sum, NULL), OMEN_CANCELLED);
    assert_false(file_exists(&io, "/other"));
    assert_int_equal(om_backup_copy(&work, "/none", "/other", &sum, NULL), OMEN_NOT_FOUND);
    om_backup_work_end(&work);
    sample_scarce scarce = {.left = 0};
    const om_alloc none = sample_scarce_alloc(&scarce);
    work.alloc = &none;
    assert_int_equal(om_backup_work_begin(&work, NULL), OMEN_RESOURCE_EXHAUSTED);
    om_backup_work_end(&work);
}

static void test_copies_on_failing_disks(void **unused)
{
    (void)unused;
    static const int errors[] = {EIO, ENOSPC, EINTR, 0};
    om_backup_work work = {.io = &io, .alloc = &libc_alloc};
    assert_int_equal(om_backup_work_begin(&work, NULL), OMEN_OK);
    make_content();
    file_put(&io, "/from", content, sizeof content);
    for (size_t e = 0; e < 4; e++) {
        for (uint64_t nth = 1;; nth++) {
            om_backup_file sum = {.bytes = sizeof content};
            const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = errors[e]};
            sim_disk_fault(disk, &fault);
            omen_status_t status = om_backup_copy(&work, "/from", "/to", &sum, NULL);
            bool faulted = sim_disk_faulted(disk);
            sim_disk_fault(disk, &no_fault);
            assert_int_equal(file_exists(&io, "/to"), status == OMEN_OK);
            assert_int_not_equal(status, OMEN_DATA_LOSS);
            assert_int_equal(om_io_unlink(&io, "/to", NULL), OMEN_OK);
            if (!faulted) {
                break;
            }
        }
    }
    om_backup_work_end(&work);
}

static void test_links(void **unused)
{
    static const int cannot[] = {EXDEV, EPERM, EMLINK, ENOSYS, EOPNOTSUPP};
    (void)unused;
    bool linked = false;
    omen_error err = {0};
    file_put(&io, "/from", "x", 1);
    assert_int_equal(om_backup_link(&io, "/from", "/to", &linked, &err), OMEN_OK);
    assert_true(linked);
    assert_true(file_exists(&io, "/to"));
    for (size_t i = 0; i < 5; i++) {
        const sim_fault fault = {.call = SIM_LINK, .nth = 1, .error = cannot[i]};
        sim_disk_fault(disk, &fault);
        assert_int_equal(om_backup_link(&io, "/from", "/two", &linked, &err), OMEN_OK);
        assert_false(linked);
    }
    sim_disk_fault(disk, &no_fault);
    assert_int_equal(om_backup_link(&io, "/none", "/two", &linked, &err), OMEN_NOT_FOUND);
    assert_int_equal(om_backup_link(&io, "/none", "/two", &linked, NULL), OMEN_NOT_FOUND);
    assert_int_equal(om_backup_link(&io, "/from", "/to", &linked, NULL), OMEN_FAILED_PRECONDITION);
}

/* ---- The new folder ---- */
static omen_status_t begin(om_backup_target *target, const char *path, omen_error *err)
{
    *target = (om_backup_target){.io = &io, .alloc = &libc_alloc};
    return om_backup_target_begin(target, path, "/db", err);
}

static void test_target(void **unused)
{
    (void)unused;
    om_backup_target target, other;
    omen_error err = {0};
    static const char *const paths[] = {"/b/new", "/b/slashes///", "relative", "/root"};
    static const char *const names[] = {"/b/new", "/b/slashes", "/relative", "/root"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(begin(&target, paths[i], &err), OMEN_OK);
        assert_false(file_exists(&io, names[i]));
        assert_int_equal(begin(&other, paths[i], &err), OMEN_FAILED_PRECONDITION);
        assert_int_equal(err.detail, OMEN_D_LOCKED);
        om_backup_target_end(&other);
        assert_int_equal(begin(&other, paths[i], NULL), OMEN_FAILED_PRECONDITION);
        om_backup_target_end(&other);
        om_path path;
        assert_int_equal(
            om_path_join(&path, target.partial->text, "MANIFEST-0000000000000001", NULL), OMEN_OK);
        file_put(&io, path.text, "x", 1);
        assert_int_equal(om_backup_target_commit(&target, &err), OMEN_OK);
        om_backup_target_end(&target);
        om_backup_target_end(&target);
        assert_int_equal(folder_count(&io, names[i]), 2);
        assert_int_equal(begin(&target, paths[i], &err), OMEN_ALREADY_EXISTS);
        om_backup_target_end(&target);
    }
    static const char *const inside[] = {"/db/b", "/db/", "/db/./b", "db/x"};
    assert_int_equal(om_io_mkdir(&io, "/db/sub", NULL), OMEN_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(begin(&target, inside[i], &err),
                         i == 1 ? OMEN_ALREADY_EXISTS : OMEN_INVALID_ARGUMENT);
        om_backup_target_end(&target);
    }
    assert_int_equal(begin(&target, "/db/sub/x", &err), OMEN_INVALID_ARGUMENT);
    expect_message(&err, "/db/sub/x: lies inside of /db");
    om_backup_target_end(&target);
    assert_int_equal(begin(&target, "/db2", &err), OMEN_OK); /* beside it */
    om_backup_target_end(&target);
    target = (om_backup_target){.io = &io, .alloc = &libc_alloc};
    assert_int_equal(om_backup_target_begin(&target, "/b/x", "/", &err), OMEN_INVALID_ARGUMENT);
    om_backup_target_end(&target);
    assert_int_equal(begin(&target, "", &err), OMEN_INVALID_ARGUMENT);
    om_backup_target_end(&target);
    assert_int_equal(begin(&target, "/none/x", &err), OMEN_NOT_FOUND);
    om_backup_target_end(&target);
    char longest[OM_PATH_MAX];
    memset(longest, '/', sizeof longest);
    memcpy(longest + sizeof longest - 10, "x", 2);
    longest[sizeof longest - 9] = 'y';
    longest[sizeof longest - 8] = '\0';
    assert_int_equal(begin(&target, longest, &err), OMEN_INVALID_ARGUMENT);
    om_backup_target_end(&target);
    memset(longest, '/',
           sizeof longest); /* "<path>.partial" fits, "<path>.partial/LOCK" does not */
    memcpy(longest + 4084, "x", 2);
    assert_int_equal(begin(&target, longest, &err), OMEN_INVALID_ARGUMENT);
    expect_message(&err, "the limit is 4095");
    om_backup_target_end(&target);
    assert_int_equal(om_io_mkdir(&io, "/dbx", NULL), OMEN_OK);
    assert_int_equal(begin(&target, "/dbx/b", &err),
                     OMEN_OK); /* another name, though it begins so */
    om_backup_target_end(&target);
    sample_scarce scarce = {.left = 0};
    const om_alloc none = sample_scarce_alloc(&scarce);
    target = (om_backup_target){.io = &io, .alloc = &none};
    assert_int_equal(om_backup_target_begin(&target, "/b/x", "/db", &err), OMEN_RESOURCE_EXHAUSTED);
    om_backup_target_end(&target);
}

static void make_partial(void)
{
    static const char *const files[] = {"/b/p.partial/LOCK",
                                        "/b/p.partial/BACKUP",
                                        "/b/p.partial/BACKUP.tmp",
                                        "/b/p.partial/MANIFEST-0000000000000001",
                                        "/b/p.partial/00000001/0000000000000001.seg",
                                        "/b/p.partial/00000001/0000000000000001.seg.tmp",
                                        "/b/p.partial/wal/0000000000000001.wal",
                                        "/b/p.partial/wal/spare-0000000000000001"};
    assert_int_equal(om_io_mkdir(&io, "/b/p.partial", NULL), OMEN_OK);
    assert_int_equal(om_io_mkdir(&io, "/b/p.partial/00000001", NULL), OMEN_OK);
    assert_int_equal(om_io_mkdir(&io, "/b/p.partial/wal", NULL), OMEN_OK);
    for (size_t i = 0; i < 8; i++) {
        file_put(&io, files[i], "x", 1);
    }
}

/* What a process left that ended in the middle; nothing of anybody else. */
static void test_leftovers(void **unused)
{
    static const char *const foreign[] = {"/b/p.partial/notes", "/b/p.partial/00000001/notes",
                                          "/b/p.partial/wal/notes",
                                          "/b/p.partial/wal/000000000000001.wal"};
    (void)unused;
    om_backup_target target;
    omen_error err = {0};
    make_partial();
    assert_int_equal(begin(&target, "/b/p", &err), OMEN_OK);
    assert_int_equal(folder_count(&io, "/b/p.partial"), 1);
    om_backup_target_end(&target);
    assert_false(file_exists(&io, "/b/p.partial"));
    for (size_t i = 0; i < 4; i++) {
        make_partial();
        file_put(&io, foreign[i], "x", 1);
        assert_int_equal(begin(&target, "/b/p", &err), OMEN_FAILED_PRECONDITION);
        expect_message(&err, "which is not ours");
        om_backup_target_end(&target);
        assert_true(file_exists(&io, foreign[i]));
        assert_int_equal(om_io_unlink(&io, foreign[i], NULL), OMEN_OK);
    }
    make_partial();
    om_path path;
    for (uint64_t i = 1; i < 200; i++) {
        assert_int_equal(om_path_segment(&path, "/b/p.partial", 1, i, NULL), OMEN_OK);
        file_put(&io, path.text, "x", 1);
    }
    assert_int_equal(begin(&target, "/b/p", &err), OMEN_OK);
    om_backup_target_end(&target);
    assert_false(file_exists(&io, "/b/p.partial"));
}

/* Every call fails once, and every allocation: the name appears only when all is well. */
static void test_target_failures(void **unused)
{
    (void)unused;
    for (uint64_t nth = 2;; nth++) { /* once, and for ever */
        om_backup_target target = {.io = &io, .alloc = &libc_alloc};
        make_partial();
        const sim_fault fault = {
            .call = SIM_CALLS, .nth = nth / 2, .for_ever = nth % 2 == 1, .error = EIO};
        sim_disk_fault(disk, &fault);
        omen_status_t status = om_backup_target_begin(&target, "/b/p", "/db", NULL);
        bool begun = status == OMEN_OK;
        if (begun) {
            status = om_backup_target_commit(&target, NULL);
        }
        om_backup_target_end(&target);
        bool faulted = sim_disk_faulted(disk);
        sim_disk_fault(disk, &no_fault);
        if (file_exists(&io, "/b/p")) {
            assert_int_equal(folder_count(&io, "/b/p"), 1);
            assert_int_equal(om_io_rename(&io, "/b/p", "/b/p.partial", NULL), OMEN_OK);
        } else {
            assert_int_equal(status, OMEN_UNAVAILABLE);
        }
        if (!faulted) {
            assert_int_equal(status, OMEN_OK);
            break;
        }
    }
    for (uint64_t calls = 0;; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_backup_target target = {.io = &io, .alloc = &alloc};
        make_partial();
        omen_status_t status = om_backup_target_begin(&target, "/b/p", "/db", NULL);
        om_backup_target_end(&target);
        assert_int_equal(scarce.blocks, 0);
        if (status == OMEN_OK) {
            break;
        }
    }
    /* An empty folder that could not even be locked goes. */
    const sim_fault full = {.call = SIM_OPEN, .nth = 1, .error = ENOSPC};
    om_backup_target target;
    assert_false(file_exists(&io, "/b/q.partial"));
    sim_disk_fault(disk, &full);
    assert_int_equal(begin(&target, "/b/q", NULL), OMEN_RESOURCE_EXHAUSTED);
    om_backup_target_end(&target);
    sim_disk_fault(disk, &no_fault);
    assert_false(file_exists(&io, "/b/q.partial"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copies_on_failing_disks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_target, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftovers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_target_failures, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store backup", tests, NULL, NULL);
}
