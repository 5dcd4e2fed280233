/* store_deaths_test.c - files of deaths: round trips, damage, failing disks.
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

#include "segfile.h"
#include "store_manifest.h"

enum { PAGE = 4096, ID = 77, ROWS = 130 };
static const char path[] = "/deaths";
static const sim_fault no_fault;
static sim_disk *disk;
static om_io io;

static int set_up(void **unused)
{
    (void)unused;
    disk = sim_disk_create(NULL);
    io = sim_disk_io(disk);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    sim_open open = sim_disk_open(disk);
    sim_disk_free(disk);
    return open.files == 0 && open.mappings == 0 ? 0 : -1;
}

static void fill(uint64_t *words, uint32_t rows)
{
    for (uint32_t w = 0; w < (rows + 63) / 64; w++) {
        words[w] = UINT64_C(0x9E3779B97F4A7C15) * (w + 1);
    }
}

static void test_round_trips(void **unused)
{
    (void)unused;
    static const uint32_t rows[] = {0, 1, 63, 64, 65, 127, 128, 129, 4096 * 8, 1000003};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t n = rows[i], count = (n + 63) / 64;
        uint64_t *words = malloc(count * sizeof *words + 1);
        om_deaths deaths;
        omen_error err = {0};
        assert_non_null(words);
        fill(words, n); /* bits behind the last row too: they are left out */
        if (om_deaths_write(&io, path, ID + i, n, words, &err) != OMEN_OK ||
            om_deaths_probe(&io, path, ID + i, n, &err) != OMEN_OK ||
            om_deaths_open(&io, path, ID + i, n, &deaths, &err) != OMEN_OK) {
            fail_msg("%u rows: %s", n, err.message);
        }
        assert_int_equal(deaths.words == NULL, n == 0);
        for (uint32_t row = 0; row < n; row++) {
            assert_int_equal(deaths.words[row / 64] >> row % 64 & 1,
                             words[row / 64] >> row % 64 & 1);
        }
        if (n % 64 != 0) {
            assert_int_equal(deaths.words[n / 64] >> n % 64, 0);
        }
        size_t size;
        free(file_get(&io, path, &size));
        assert_int_equal(size, PAGE + count * 8);
        om_deaths_close(&io, &deaths);
        om_deaths_close(&io, &deaths); /* harmless when closed */
        free(words);
    }
    assert_int_equal(folder_count(&io, "/"), 1);
}

/* Changes of the words stay in this process. */
static void test_private(void **unused)
{
    (void)unused;
    uint64_t words[3] = {1, 2, 3};
    om_deaths one, two;
    assert_int_equal(om_deaths_write(&io, path, ID, ROWS, words, NULL), OMEN_OK);
    assert_int_equal(om_deaths_open(&io, path, ID, ROWS, &one, NULL), OMEN_OK);
    one.words[0] = UINT64_MAX;
    assert_int_equal(om_deaths_open(&io, path, ID, ROWS, &two, NULL), OMEN_OK);
    assert_int_equal(two.words[0], 1);
    /* Written again under a reader, who keeps what it has. */
    words[1] = 9;
    assert_int_equal(om_deaths_write(&io, path, ID, ROWS, words, NULL), OMEN_OK);
    assert_int_equal(two.words[1], 2);
    om_deaths_close(&io, &one);
    om_deaths_close(&io, &two);
}

static void reseal(uint8_t *bytes, size_t size)
{
    uint32_t crc = om_crc32c(0, bytes + PAGE, size - PAGE);
    memcpy(bytes + 52, &crc, sizeof crc);
    om_head_seal(&om_deaths_kind, bytes);
}

static void test_every_bit(void **unused)
{
    (void)unused;
    uint64_t words[3] = {1, 2, 3};
    size_t size;
    om_deaths deaths;
    omen_error err;
    assert_int_equal(om_deaths_write(&io, path, ID, ROWS, words, NULL), OMEN_OK);
    uint8_t *bytes = file_get(&io, path, &size);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        memcpy(copy, bytes, size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        file_put(&io, path, copy, size);
        assert_int_equal(om_deaths_open(&io, path, ID, ROWS, &deaths, &err), OMEN_DATA_LOSS);
        assert_int_equal(om_deaths_probe(&io, path, ID, ROWS, NULL), OMEN_DATA_LOSS);
        reseal(copy, size);
        file_put(&io, path, copy, size);
        omen_status_t status = om_deaths_open(&io, path, ID, ROWS, &deaths, &err);
        if (status == OMEN_OK) { /* no row more than there are */
            assert_int_equal(deaths.words[2] >> 2, 0);
            om_deaths_close(&io, &deaths);
        } else {
            assert_true(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED);
        }
    }
    free(copy);
    free(bytes);
}

static void test_every_cut(void **unused)
{
    (void)unused;
    uint64_t words[3] = {1, 2, 3};
    size_t size;
    om_deaths deaths;
    assert_int_equal(om_deaths_write(&io, path, ID, ROWS, words, NULL), OMEN_OK);
    uint8_t *bytes = file_get(&io, path, &size);
    uint8_t *copy = calloc(1, size + 64);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    for (size_t cut = 0; cut < size + 64; cut++) {
        if (cut != size) {
            assert_int_equal(om_io_unlink(&io, path, NULL), OMEN_OK);
            file_put(&io, path, copy, cut);
            assert_int_equal(om_deaths_open(&io, path, ID, ROWS, &deaths, NULL), OMEN_DATA_LOSS);
            assert_int_equal(om_deaths_probe(&io, path, ID, ROWS, NULL), OMEN_DATA_LOSS);
        }
    }
    /* Sizes that agree with the header, but not with the rows. */
    for (size_t cut = PAGE; cut < size + 64; cut += 8) {
        uint64_t said = cut;
        memcpy(copy, bytes, size);
        memcpy(copy + offsetof(om_head, file_bytes), &said, sizeof said);
        reseal(copy, cut);
        assert_int_equal(om_io_unlink(&io, path, NULL), OMEN_OK);
        file_put(&io, path, copy, cut);
        assert_int_equal(om_deaths_open(&io, path, ID, ROWS, &deaths, NULL),
                         cut == size ? OMEN_OK : OMEN_DATA_LOSS);
        if (cut == size) {
            om_deaths_close(&io, &deaths);
        }
    }
    free(copy);
    free(bytes);
}

static void test_of_another_segment(void **unused)
{
    (void)unused;
    const uint64_t words[3] = {1, 2, 3};
    om_deaths deaths;
    omen_error err = {0};
    assert_int_equal(om_deaths_write(&io, path, ID, ROWS, words, NULL), OMEN_OK);
    assert_int_equal(om_deaths_open(&io, path, ID + 1, ROWS, &deaths, &err), OMEN_DATA_LOSS);
    assert_non_null(strstr(err.message, "deaths of segment 000000000000004d with 130 rows, must be "
                                        "000000000000004e with 130"));
    assert_int_equal(om_deaths_open(&io, path, ID, ROWS + 1, &deaths, &err), OMEN_DATA_LOSS);
    assert_int_equal(om_deaths_open(&io, "/none", ID, ROWS, &deaths, &err), OMEN_NOT_FOUND);
    assert_int_equal(om_deaths_probe(&io, "/none", ID, ROWS, &err), OMEN_NOT_FOUND);
}

/* Every call of the disk fails once. Writing leaves a whole file or none. */
static void test_failing_disk(void **unused)
{
    (void)unused;
    static const int errors[] = {EIO, ENOSPC};
    const uint64_t words[3] = {1, 2, 3};
    uint64_t failures = 0;
    for (size_t e = 0; e < 2; e++) {
        for (uint64_t nth = 1;; nth++) {
            om_deaths deaths;
            omen_error err = {0};
            assert_int_equal(om_io_unlink(&io, path, NULL), OMEN_OK);
            const sim_fault fault = {.call = SIM_CALLS, .nth = nth, .error = errors[e]};
            sim_disk_fault(disk, &fault);
            omen_status_t status = om_deaths_write(&io, path, ID, ROWS, words, &err);
            bool written = status == OMEN_OK;
            if (written) {
                status = om_deaths_open(&io, path, ID, ROWS, &deaths, &err);
            }
            bool faulted = sim_disk_faulted(disk);
            sim_disk_fault(disk, &no_fault);
            if (status == OMEN_OK) {
                assert_int_equal(deaths.words[2], 3);
                om_deaths_close(&io, &deaths);
            } else {
                failures++;
                assert_int_not_equal(err.status, OMEN_DATA_LOSS);
                assert_true(written || !file_exists(&io, path));
            }
            if (!faulted) {
                break;
            }
        }
    }
    assert_true(failures >= 14); /* every call but closing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trips, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_another_segment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("store deaths", tests, NULL, NULL);
}
