/* store_crc32c_test.c - CRC-32C against published values, one bit at a time, and the table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crc32c_int.h"
#include "rng.h"
#include "segfile.h"

typedef uint32_t (*crc_fn)(uint32_t seed, const void *data, size_t bytes);

/* The definition: polynomial division, bit by bit. */
static uint32_t by_definition(uint32_t seed, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint32_t crc = ~seed;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
        }
    }
    return ~crc;
}

static uint8_t *random_bytes(size_t bytes)
{
    uint8_t *data = malloc(bytes);
    assert_non_null(data);
    uint64_t state = 42;
    for (size_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)om_rng_next(&state);
    }
    return data;
}

/* RFC 3720, appendix B.4, and the usual check value. */
static void check_published(crc_fn crc)
{
    uint8_t data[32];
    memset(data, 0, sizeof data);
    assert_int_equal(crc(0, data, sizeof data), 0x8A9136AAu);
    memset(data, 0xFF, sizeof data);
    assert_int_equal(crc(0, data, sizeof data), 0x62A8AB43u);
    for (uint8_t i = 0; i < sizeof data; i++) {
        data[i] = i;
    }
    assert_int_equal(crc(0, data, sizeof data), 0x46DD794Eu);
    assert_int_equal(crc(0, "123456789", 9), 0xE3069283u);
    assert_int_equal(crc(0, "", 0), 0);
    assert_int_equal(crc(0xE3069283u, NULL, 0), 0xE3069283u);
}

static void test_published_values(void **unused)
{
    (void)unused;
    check_published(by_definition);
    check_published(om_crc32c_table);
    check_published(om_crc32c);
}

static void test_every_length_and_alignment(void **unused)
{
    (void)unused;
    enum { LONGEST = 2600 };
    uint8_t *data = random_bytes(LONGEST + 16);
    for (size_t bytes = 0; bytes <= LONGEST; bytes++) {
        const uint8_t *at = data + bytes % 16;
        uint32_t right = by_definition(7, at, bytes);
        assert_int_equal(om_crc32c_table(7, at, bytes), right);
        assert_int_equal(om_crc32c(7, at, bytes), right);
    }
    free(data);
}

/* Lengths around whole numbers of the three-lane stretches, and a whole block. */
static void test_long_data(void **unused)
{
    (void)unused;
    enum { LONGEST = (1 << 20) + 64 };
    uint8_t *data = random_bytes(LONGEST);
    for (size_t around = 768; around + 9 < LONGEST; around += 768 * 16) {
        for (size_t bytes = around - 9; bytes <= around + 9; bytes += 3) {
            assert_int_equal(om_crc32c(0, data + 1, bytes), om_crc32c_table(0, data + 1, bytes));
        }
    }
    assert_int_equal(om_crc32c(0, data, 1 << 20), by_definition(0, data, 1 << 20));
    free(data);
}

static void test_continued(void **unused)
{
    (void)unused;
    enum { BYTES = 40000 };
    uint8_t *data = random_bytes(BYTES);
    uint32_t whole = om_crc32c_table(0, data, BYTES);
    for (size_t cut = 0; cut <= BYTES; cut += 197) {
        uint32_t first = om_crc32c(0, data, cut);
        assert_int_equal(om_crc32c(first, data + cut, BYTES - cut), whole);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_values),
        cmocka_unit_test(test_every_length_and_alignment),
        cmocka_unit_test(test_long_data),
        cmocka_unit_test(test_continued),
    };
    print_message("special instructions: %s\n", om_crc32c_has_hardware() ? "yes" : "no");
    return cmocka_run_group_tests_name("store_crc32c", tests, NULL, NULL);
}
