/* store_write_test.c - writing that fails: the old file stays, nothing is left behind, the reason
 * is told. SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "segfile_int.h"
#include "store_sample.h"

static const om_alloc libc_alloc;
static char dir[] = "write-XXXXXX";
static char path[64];

static int make_dir(void **unused)
{
    (void)unused;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/sample.omen", dir);
    return 0;
}

static int remove_dir(void **unused)
{
    (void)unused;
    (void)unlink(path);
    return rmdir(dir);
}

static uint32_t files_in_dir(void)
{
    uint32_t count = 0;
    DIR *list = opendir(dir);
    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(list);
    return count;
}

static uint32_t crc_of_file(void)
{
    om_map map;
    assert_int_equal(om_map_open(&om_io_system, &map, path, NULL), OMEN_OK);
    uint32_t crc = om_crc32c(0, map.base, map.bytes);
    om_map_close(&map);
    return crc;
}

/* The file size limit of the process, at every few KiB of the file: each write in turn is the one
 * that fails. */
static void test_file_size_limit(void **unused)
{
    (void)unused;
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(sample_write(&libc_alloc, path, sample_small, 2, 100, NULL), OMEN_OK);
    uint32_t before = crc_of_file();
    uint32_t failures = 0;
    omen_status_t status = OMEN_INTERNAL;
    for (rlim_t limit = 0; status != OMEN_OK; limit += limit < 100000 ? 4099 : 500009) {
        omen_error err = {0};
        const struct rlimit low = {.rlim_cur = limit, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        status = sample_write(&libc_alloc, path, sample_large, sample_large_count, 300000, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        if (status != OMEN_OK) {
            assert_int_equal(err.sys_errno, EFBIG);
            assert_int_equal(err.detail, OMEN_D_IO);
            assert_non_null(strstr(err.message, "sample.omen"));
            assert_int_equal(crc_of_file(), before);
            failures++;
        }
        assert_int_equal(files_in_dir(), 1);
    }
    assert_true(failures > 20);
    assert_int_not_equal(crc_of_file(), before);
}

enum { CHILD_OK = 0, CHILD_NO_MOUNT = 77 };

/* In a mount namespace of its own: a file system of `size` bytes over the folder. */
static int run_on_small_disk(const char *size)
{
    char options[64];
    omen_error err = {0};
    (void)snprintf(options, sizeof options, "size=%s", size);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, options) != 0) {
        return CHILD_NO_MOUNT;
    }
    if (sample_write(&libc_alloc, path, sample_small, 2, 100, NULL) != OMEN_OK) {
        return 1;
    }
    uint32_t before = crc_of_file();
    omen_status_t status =
        sample_write(&libc_alloc, path, sample_large, sample_large_count, 300000, &err);
    if (status != OMEN_RESOURCE_EXHAUSTED || err.detail != OMEN_D_DISK_FULL ||
        err.sys_errno != ENOSPC) {
        return 2;
    }
    if (crc_of_file() != before || files_in_dir() != 1) {
        return 3;
    }
    /* The space is free again: what fits is written. */
    return sample_write(&libc_alloc, path, sample_small, sample_small_count, 100, NULL) == OMEN_OK
               ? 0
               : 4;
}

static void test_disk_full(void **unused)
{
    (void)unused;
    static const char *const sizes[] = {"192k", "1m", "3m", "9m"};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            _exit(run_on_small_disk(sizes[i]));
        }
        int result = 0;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFEXITED(result));
        if (WEXITSTATUS(result) == CHILD_NO_MOUNT) {
            print_message("a small file system cannot be mounted here: skipped\n");
            skip();
        }
        assert_int_equal(WEXITSTATUS(result), CHILD_OK);
    }
}

static void test_no_such_folder(void **unused)
{
    (void)unused;
    omen_error err = {0};
    om_segwriter *writer = NULL;
    assert_int_equal(
        om_segwriter_create(&om_io_system, &libc_alloc, "no-such-folder/a", &writer, &err),
        OMEN_NOT_FOUND);
    assert_null(writer);
    assert_non_null(strstr(err.message, "no-such-folder/a"));
}

static om_segwriter *new_writer(void)
{
    om_segwriter *writer = NULL;
    assert_int_equal(om_segwriter_create(&om_io_system, &libc_alloc, path, &writer, NULL), OMEN_OK);
    return writer;
}

/* Calls in the wrong order, or with sizes that do not fit, are refused, and so is everything after.
 */
static void test_misuse(void **unused)
{
    (void)unused;
    (void)unlink(path);
    om_segwriter *writer = new_writer();
    assert_int_equal(om_segwriter_append(writer, "x", 1, NULL), OMEN_INTERNAL);
    assert_int_equal(om_segwriter_begin(writer, 1, 0, 0, 0, 1, NULL), OMEN_INTERNAL);
    assert_int_equal(om_segwriter_commit(writer, 0, 0, NULL), OMEN_INTERNAL);

    writer = new_writer();
    assert_int_equal(om_segwriter_begin(writer, 1, 0, 8, 3, 23, NULL), OMEN_INTERNAL);
    om_segwriter_abort(writer);

    writer = new_writer();
    assert_int_equal(om_segwriter_begin(writer, 1, 0, UINT64_MAX, UINT64_MAX, 1, NULL),
                     OMEN_INTERNAL);
    om_segwriter_abort(writer);

    writer = new_writer();
    assert_int_equal(om_segwriter_begin(writer, 1, 0, 1, 3, 3, NULL), OMEN_OK);
    assert_int_equal(om_segwriter_begin(writer, 2, 0, 1, 3, 3, NULL), OMEN_INTERNAL);
    om_segwriter_abort(writer);

    writer = new_writer();
    assert_int_equal(om_segwriter_begin(writer, 1, 0, 1, 3, 3, NULL), OMEN_OK);
    assert_int_equal(om_segwriter_append(writer, "abcd", 4, NULL), OMEN_INTERNAL);
    om_segwriter_abort(writer);

    writer = new_writer();
    assert_int_equal(om_segwriter_begin(writer, 1, 0, 1, 3, 3, NULL), OMEN_OK);
    assert_int_equal(om_segwriter_append(writer, "ab", 2, NULL), OMEN_OK);
    assert_int_equal(om_segwriter_end(writer, NULL), OMEN_INTERNAL);
    om_segwriter_abort(writer);

    writer = new_writer();
    assert_int_equal(om_segwriter_begin(writer, 1, 0, 1, 0, 0, NULL), OMEN_OK);
    assert_int_equal(om_segwriter_commit(writer, 0, 0, NULL), OMEN_INTERNAL);

    writer = new_writer();
    assert_int_equal(om_segwriter_end(writer, NULL), OMEN_INTERNAL);
    om_segwriter_abort(writer);

    writer = new_writer();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(om_segwriter_begin(writer, 1, 0, 0, 0, 0, NULL),
                         i == 0 ? OMEN_OK : OMEN_INTERNAL);
        assert_int_equal(om_segwriter_end(writer, NULL), i == 0 ? OMEN_OK : OMEN_INTERNAL);
    }
    om_segwriter_abort(writer);
    om_segwriter_abort(NULL);

    writer = new_writer();
    assert_int_equal(om_segwriter_commit(writer, (uint64_t)OMEN_MAX_ROWS + 1, 0, NULL),
                     OMEN_INTERNAL);
    assert_int_equal(files_in_dir(), 0);
}

static void test_number_of_sections(void **unused)
{
    (void)unused;
    om_segwriter *writer = new_writer();
    for (uint32_t i = 0; i < OM_SEG_MAX_SECTIONS; i++) {
        assert_int_equal(om_segwriter_begin(writer, 1, i, 0, 0, 1, NULL), OMEN_OK);
        assert_int_equal(om_segwriter_append(writer, "x", 1, NULL), OMEN_OK);
        assert_int_equal(om_segwriter_end(writer, NULL), OMEN_OK);
    }
    assert_int_equal(om_segwriter_commit(writer, OMEN_MAX_ROWS, UINT64_MAX, NULL), OMEN_OK);
    om_segfile *file = NULL;
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, NULL), OMEN_OK);
    assert_int_equal(om_segfile_verify_all(file, NULL, NULL), OMEN_OK);
    assert_int_equal(om_segfile_rows(file), OMEN_MAX_ROWS);
    assert_int_equal(om_segfile_version(file), UINT64_MAX);
    om_section section;
    assert_int_equal(om_segfile_section(file, 1, OM_SEG_MAX_SECTIONS - 1, 0, 0, &section, NULL),
                     OMEN_OK);
    assert_int_equal(section.data[0], 'x');
    om_segfile_close(file);

    writer = new_writer();
    for (uint32_t i = 0; i <= OM_SEG_MAX_SECTIONS; i++) {
        omen_status_t want = i == OM_SEG_MAX_SECTIONS ? OMEN_INTERNAL : OMEN_OK;
        assert_int_equal(om_segwriter_begin(writer, 1, i, 0, 0, 0, NULL), want);
        assert_int_equal(om_segwriter_end(writer, NULL), want);
    }
    om_segwriter_abort(writer);
}

/* A file with a required section of a kind that a later version may define. */
static void test_required_section(void **unused)
{
    (void)unused;
    for (int required = 0; required < 2; required++) {
        uint32_t kind = 25 | (required ? OM_SECTION_REQUIRED : 0);
        om_segwriter *writer = new_writer();
        assert_int_equal(om_segwriter_begin(writer, kind, 0, 0, 1, 1, NULL), OMEN_OK);
        assert_int_equal(om_segwriter_append(writer, "x", 1, NULL), OMEN_OK);
        assert_int_equal(om_segwriter_end(writer, NULL), OMEN_OK);
        assert_int_equal(om_segwriter_commit(writer, 0, 0, NULL), OMEN_OK);
        om_segfile *file = NULL;
        omen_error err = {0};
        assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, &err),
                         required ? OMEN_UNIMPLEMENTED : OMEN_OK);
        assert_int_equal(err.detail, required ? OMEN_D_FORMAT_VERSION : OMEN_D_NONE);
        om_segfile_close(file);
    }
}

/* Every allocation of the writer fails once; nothing leaks, and no file is left. */
static void test_no_memory(void **unused)
{
    (void)unused;
    (void)unlink(path);
    omen_status_t status = OMEN_INTERNAL;
    for (uint64_t calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        omen_error err = {0};
        status = sample_write(&alloc, path, sample_small, sample_small_count, 500, &err);
        assert_int_equal(scarce.blocks, 0);
        assert_true(calls < 100);
        assert_int_equal(files_in_dir(), status == OMEN_OK ? 1 : 0);
        if (status != OMEN_OK) {
            assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
            assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
        } else {
            assert_true(calls > 10);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_size_limit),    cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_no_such_folder),     cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_number_of_sections), cmocka_unit_test(test_required_section),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("store_write", tests, make_dir, remove_dir);
}
