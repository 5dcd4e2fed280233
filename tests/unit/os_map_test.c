/* os_map_test.c - files mapped read-only. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os.h"

/* A temporary file of `bytes` bytes, byte i being i * 31 + 7. */
static void make_file(char *path, size_t capacity, size_t bytes)
{
    (void)snprintf(path, capacity, "om_map_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    uint8_t *data = malloc(bytes + 1);
    assert_non_null(data);
    for (size_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)(i * 31 + 7);
    }
    assert_int_equal(write(fd, data, bytes), (ssize_t)bytes);
    free(data);
    assert_int_equal(close(fd), 0);
}

static void maps_every_byte(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 4095, 4096, 4097, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char path[32];
        om_map map;
        make_file(path, sizeof path, sizes[i]);
        assert_int_equal(om_map_open(&om_io_system, &map, path, NULL), OMEN_OK);
        assert_int_equal(unlink(path), 0); /* the map keeps the file */
        assert_int_equal(map.bytes, sizes[i]);
        om_map_populate(&map, 0, map.bytes);
        om_map_random(&map, 0, map.bytes);
        for (size_t at = 0; at < map.bytes; at++) {
            if (map.base[at] != (uint8_t)(at * 31 + 7)) {
                fail_msg("byte %zu of %zu differs", at, map.bytes);
            }
        }
        om_map_close(&map);
        assert_null(map.base);
        om_map_close(&map); /* harmless again */
    }
}

static void hints_outside_do_nothing(void **state)
{
    (void)state;
    char path[32];
    om_map map;
    make_file(path, sizeof path, 10000);
    assert_int_equal(om_map_open(&om_io_system, &map, path, NULL), OMEN_OK);
    assert_int_equal(unlink(path), 0);
    om_map_populate(&map, 9999, SIZE_MAX);
    om_map_populate(&map, 10000, 1);
    om_map_populate(&map, SIZE_MAX, SIZE_MAX);
    om_map_random(&map, 5000, SIZE_MAX);
    om_map_random(&map, 0, 0);
    assert_int_equal(map.base[9999], (uint8_t)(9999 * 31 + 7));
    om_map_close(&map);
    om_map_populate(&map, 0, 1);
}

static void empty_file_has_no_bytes(void **state)
{
    (void)state;
    char path[32];
    om_map map;
    make_file(path, sizeof path, 0);
    assert_int_equal(om_map_open(&om_io_system, &map, path, NULL), OMEN_OK);
    assert_int_equal(map.bytes, 0);
    assert_null(map.base);
    om_map_close(&map);
    assert_int_equal(unlink(path), 0);
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    om_map map;
    omen_error err;
    assert_int_equal(om_map_open(&om_io_system, &map, "om_map_absent", &err), OMEN_NOT_FOUND);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_non_null(strstr(err.message, "om_map_absent"));
    assert_int_equal(om_map_open(&om_io_system, &map, ".", &err), OMEN_FAILED_PRECONDITION);
    assert_int_equal(om_map_open(&om_io_system, &map, "/dev/null", &err), OMEN_FAILED_PRECONDITION);

    char path[] = "om_map_fifoXXXXXX";
    assert_non_null(mkdtemp(path));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(om_map_open(&om_io_system, &map, path, &err),
                     OMEN_FAILED_PRECONDITION); /* and does not wait */
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_every_byte),
        cmocka_unit_test(hints_outside_do_nothing),
        cmocka_unit_test(empty_file_has_no_bytes),
        cmocka_unit_test(refuses_what_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
