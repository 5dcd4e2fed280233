/* store_segfile_test.c - segment files written and read back. SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "segfile_int.h"
#include "store_sample.h"

static const om_alloc libc_alloc;
static char dir[] = "segfile-XXXXXX";
static char path[64];

static int make_dir(void **unused)
{
    (void)unused;
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
    return rmdir(dir); /* fails when a temporary file was left behind */
}

static void check_sections(om_segfile *file, const sample_section *sections, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const sample_section *want = &sections[i];
        om_section got;
        assert_int_equal(
            om_segfile_section(file, want->kind, 0, want->stride, want->rows, &got, NULL), OMEN_OK);
        assert_non_null(got.data);
        assert_int_equal(got.bytes, want->bytes);
        assert_int_equal(got.stride, want->stride);
        assert_int_equal(got.rows, want->rows);
        assert_int_equal((uintptr_t)got.data % 4096, 0);
        uint64_t offset = (uint64_t)(got.data - file->map.base);
        assert_int_equal(offset % (want->bytes >= 2 << 20 ? 2 << 20 : 4096), 0);
        assert_int_equal(om_segfile_verify(file, &got, 0, got.bytes, NULL), OMEN_OK);
        om_segfile_warm(file, &got);
        for (uint64_t at = 0; at < got.bytes; at++) {
            if (got.data[at] != sample_byte(want->kind, at)) {
                fail_msg("section kind %u, byte %llu", want->kind, (unsigned long long)at);
            }
        }
    }
}

static void round_trip(const sample_section *sections, uint32_t count, size_t piece)
{
    omen_error err = {0};
    if (sample_write(&libc_alloc, path, sections, count, piece, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    om_segfile *file = NULL;
    if (om_segfile_open(&om_io_system, &libc_alloc, path, &file, &err) != OMEN_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(om_segfile_rows(file), 40);
    assert_int_equal(om_segfile_version(file), 77);
    assert_int_equal(om_segfile_bytes(file), file->map.bytes);
    check_sections(file, sections, count);
    check_sections(file, sections, count); /* now from the bitmap */
    assert_int_equal(om_segfile_verify_all(file, NULL, NULL), OMEN_OK);
    om_segfile_close(file);
}

static void test_round_trips(void **unused)
{
    (void)unused;
    round_trip(sample_small, sample_small_count, 1);
    round_trip(sample_small, sample_small_count, 100000);
    round_trip(sample_large, sample_large_count, 1000);
    round_trip(sample_large, sample_large_count, 700000);
    round_trip(sample_large, sample_large_count, 1100000);
    round_trip(sample_large, sample_large_count, 1600000);
    round_trip(sample_large, sample_large_count, 3 << 20);
    round_trip(sample_small, 1, 50);
    round_trip(sample_small, 0, 1); /* no section at all */
}

/* The same input gives the same bytes, however it is cut into appends. */
static void test_bytes_do_not_depend_on_appends(void **unused)
{
    (void)unused;
    uint32_t first = 0;
    for (size_t piece = 1; piece < 1 << 20; piece *= 32) {
        assert_int_equal(
            sample_write(&libc_alloc, path, sample_small, sample_small_count, piece, NULL),
            OMEN_OK);
        om_map map;
        assert_int_equal(om_map_open(&om_io_system, &map, path, NULL), OMEN_OK);
        uint32_t crc = om_crc32c(0, map.base, map.bytes);
        first = piece == 1 ? crc : first;
        assert_int_equal(crc, first);
        om_map_close(&map);
    }
}

static void test_sections_asked_for(void **unused)
{
    (void)unused;
    omen_error err;
    om_segfile *file = NULL;
    om_section section;
    assert_int_equal(sample_write(&libc_alloc, path, sample_small, sample_small_count, 50, NULL),
                     OMEN_OK);
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, NULL), OMEN_OK);

    assert_int_equal(om_segfile_section(file, 31, 0, 0, 0, &section, NULL), OMEN_OK);
    assert_null(section.data);
    assert_int_equal(om_segfile_section(file, OM_SECTION_KEYS, 1, 0, 0, &section, NULL), OMEN_OK);
    assert_null(section.data);
    om_segfile_warm(file, &section);

    assert_int_equal(om_segfile_section(file, OM_SECTION_KEYS, 0, 16, 40, &section, &err),
                     OMEN_DATA_LOSS);
    assert_non_null(strstr(err.message, "(keys): row size is 8, must be 16"));
    assert_int_equal(om_segfile_section(file, OM_SECTION_KEYS, 0, 8, 41, &section, &err),
                     OMEN_DATA_LOSS);
    assert_non_null(strstr(err.message, "number of rows is 40, must be 41"));

    assert_int_equal(om_segfile_section(file, OM_SECTION_KEYS, 0, 8, 40, &section, NULL), OMEN_OK);
    assert_int_equal(om_segfile_verify(file, &section, 320, 0, NULL), OMEN_OK);
    assert_int_equal(om_segfile_verify(file, &section, 319, 1, NULL), OMEN_OK);
    assert_int_equal(om_segfile_verify(file, &section, 320, 1, &err), OMEN_DATA_LOSS);
    assert_int_equal(om_segfile_verify(file, &section, 0, 321, NULL), OMEN_DATA_LOSS);
    assert_int_equal(om_segfile_verify(file, &section, 1, UINT64_MAX, NULL), OMEN_DATA_LOSS);
    assert_int_equal(om_segfile_verify(file, &section, UINT64_MAX, 2, NULL), OMEN_DATA_LOSS);
    om_segfile_close(file);
    om_segfile_close(NULL);
}

static void test_verify_all_stops(void **unused)
{
    (void)unused;
    omen_error err;
    om_segfile *file = NULL;
    omen_op op = {0};
    const om_stop stop = {.op = &op};
    assert_int_equal(sample_write(&libc_alloc, path, sample_small, sample_small_count, 50, NULL),
                     OMEN_OK);
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, NULL), OMEN_OK);
    assert_int_equal(om_segfile_verify_all(file, &stop, NULL), OMEN_OK);
    atomic_store(&op.cancelled, 1);
    assert_int_equal(om_segfile_verify_all(file, &stop, &err), OMEN_CANCELLED);
    om_segfile_close(file);
}

static void test_missing_and_odd_paths(void **unused)
{
    (void)unused;
    omen_error err;
    om_segfile *file = NULL;
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, "/nowhere/at/all", &file, &err),
                     OMEN_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, dir, &file, &err),
                     OMEN_FAILED_PRECONDITION);
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, "/dev/null", &file, &err),
                     OMEN_FAILED_PRECONDITION);
    assert_null(file);
}

/* A reader that is open keeps its file while a newer one takes the name. */
static void test_replaced_while_open(void **unused)
{
    (void)unused;
    om_segfile *file = NULL;
    assert_int_equal(sample_write(&libc_alloc, path, sample_small, sample_small_count, 50, NULL),
                     OMEN_OK);
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, NULL), OMEN_OK);
    assert_int_equal(sample_write(&libc_alloc, path, sample_small, 2, 50, NULL), OMEN_OK);
    check_sections(file, sample_small, sample_small_count);
    om_segfile_close(file);
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, NULL), OMEN_OK);
    check_sections(file, sample_small, 2);
    om_segfile_close(file);
}

static void *verify_everything(void *ctx)
{
    om_segfile *file = ctx;
    for (uint32_t i = 0; i < sample_large_count; i++) {
        om_section section;
        omen_status_t status =
            om_segfile_section(file, sample_large[i].kind, 0, 0, 0, &section, NULL);
        for (uint64_t at = 0; status == OMEN_OK && at < section.bytes; at += 100000) {
            uint64_t bytes = om_min_u64(section.bytes - at, 200000);
            status = om_segfile_verify(file, &section, at, bytes, NULL);
        }
        if (status != OMEN_OK) {
            return file;
        }
    }
    return NULL;
}

/* First touches of the same blocks by several threads at once. */
static void test_verify_by_threads(void **unused)
{
    (void)unused;
    enum { THREADS = 4 };
    om_segfile *file = NULL;
    pthread_t threads[THREADS];
    assert_int_equal(
        sample_write(&libc_alloc, path, sample_large, sample_large_count, 1 << 20, NULL), OMEN_OK);
    assert_int_equal(om_segfile_open(&om_io_system, &libc_alloc, path, &file, NULL), OMEN_OK);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, verify_everything, file), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = file;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    for (uint64_t block = 0; block < file->blocks; block++) {
        assert_true((atomic_load(&file->verified[block / 64]) >> (block % 64) & 1) != 0);
    }
    om_segfile_close(file);
}

/* Every allocation fails once; nothing leaks. */
static void test_open_without_memory(void **unused)
{
    (void)unused;
    assert_int_equal(sample_write(&libc_alloc, path, sample_small, sample_small_count, 50, NULL),
                     OMEN_OK);
    omen_status_t status = OMEN_INTERNAL;
    for (uint64_t calls = 0; status != OMEN_OK; calls++) {
        sample_scarce scarce = {.left = calls};
        const om_alloc alloc = sample_scarce_alloc(&scarce);
        om_segfile *file = NULL;
        omen_error err = {0};
        status = om_segfile_open(&om_io_system, &alloc, path, &file, &err);
        assert_true(calls < 100);
        assert_int_equal(status == OMEN_OK, calls >= 2);
        assert_int_equal(err.detail, status == OMEN_OK ? OMEN_D_NONE : OMEN_D_NO_MEMORY);
        om_segfile_close(file);
        assert_int_equal(scarce.blocks, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_bytes_do_not_depend_on_appends),
        cmocka_unit_test(test_sections_asked_for),
        cmocka_unit_test(test_verify_all_stops),
        cmocka_unit_test(test_missing_and_odd_paths),
        cmocka_unit_test(test_replaced_while_open),
        cmocka_unit_test(test_verify_by_threads),
        cmocka_unit_test(test_open_without_memory),
    };
    return cmocka_run_group_tests_name("store_segfile", tests, make_dir, remove_dir);
}
