/* base_fail_test.c - failure reports, names, logging, the serial executor, random numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base.h"
#include "executor.h"
#include "log.h"
#include "rng.h"

static void failure_fills_every_field(void **state)
{
    (void)state;
    omen_error err;
    memset(&err, 0xFF, sizeof err);
    assert_int_equal(
        om_fail(&err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "dim is %d, limit %u", 7, 3u),
        OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.status, OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    assert_int_equal(err.sys_errno, 0);
    assert_int_equal(err.flags, 0);
    assert_true(err.item == OMEN_NONE);
    assert_string_equal(err.message, "dim is 7, limit 3");

    assert_int_equal(om_fail_item(&err, OMEN_INVALID_ARGUMENT, OMEN_D_NOT_FINITE, 41, "NaN"),
                     OMEN_INVALID_ARGUMENT);
    assert_int_equal(err.item, 41);
    assert_int_equal(om_fail(NULL, OMEN_INTERNAL, 0, "nobody reads this"), OMEN_INTERNAL);
}

static void retriable_is_what_may_pass_later(void **state)
{
    (void)state;
    omen_error err;
    (void)om_fail(&err, OMEN_UNAVAILABLE, OMEN_D_IO, "x");
    assert_int_equal(err.flags, OMEN_ERROR_RETRIABLE);
    (void)om_fail_memory(&err, "codes", 4096);
    assert_int_equal(err.status, OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
    assert_int_equal(err.flags, OMEN_ERROR_RETRIABLE);
    assert_non_null(strstr(err.message, "4096"));
    assert_non_null(strstr(err.message, "codes"));
    (void)om_fail(&err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT, "x");
    assert_int_equal(err.flags, 0);
    (void)om_fail(&err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "x");
    assert_int_equal(err.flags, 0);
}

static void system_errors_become_statuses(void **state)
{
    (void)state;
    static const struct {
        int sys_errno;
        omen_status_t status;
        int32_t detail;
    } table[] = {
        {ENOSPC, OMEN_RESOURCE_EXHAUSTED, OMEN_D_DISK_FULL},
        {EDQUOT, OMEN_RESOURCE_EXHAUSTED, OMEN_D_DISK_FULL},
        {ENOMEM, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY},
        {ENOENT, OMEN_NOT_FOUND, OMEN_D_IO},
        {EIO, OMEN_UNAVAILABLE, OMEN_D_IO},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        omen_error err;
        assert_int_equal(om_fail_errno(&err, OMEN_UNAVAILABLE, table[i].sys_errno, "file %s", "a"),
                         table[i].status);
        assert_int_equal(err.detail, table[i].detail);
        assert_int_equal(err.sys_errno, table[i].sys_errno);
        assert_memory_equal(err.message, "file a: ", 8);
        assert_true(strlen(err.message) > 8);
        assert_int_equal(om_fail_errno(NULL, OMEN_UNAVAILABLE, table[i].sys_errno, "x"),
                         table[i].status);
    }
    omen_error err;
    (void)om_fail_errno(&err, OMEN_UNAVAILABLE, 123456, "x");
    assert_string_equal(err.message, "x: unknown system error");
}

static bool is_utf8(const char *text)
{
    while (*text != '\0') {
        unsigned char lead = (unsigned char)*text++;
        int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
        for (; more > 0; more--, text++) {
            if (((unsigned char)*text & 0xC0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x8D\x8E"};
    for (size_t unit = 0; unit < 4; unit++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char text[1024] = {0};
            memset(text, 'x', shift);
            while (strlen(text) < 600) {
                memcpy(text + strlen(text), units[unit], strlen(units[unit]));
            }
            omen_error err;
            (void)om_fail(&err, OMEN_INTERNAL, 0, "%s", text);
            assert_true(strlen(err.message) >= sizeof err.message - 4);
            assert_true(is_utf8(err.message));
            (void)om_fail_errno(&err, OMEN_INTERNAL, ENOSPC, "%s", text);
            assert_true(strlen(err.message) < sizeof err.message);
            assert_true(is_utf8(err.message));
            assert_non_null(strstr(err.message, ": No space left on device"));
        }
    }
}

static void names_and_widths(void **state)
{
    (void)state;
    assert_int_equal(om_dtype_width(OMEN_F32), 4);
    assert_int_equal(om_dtype_width(OMEN_F16), 2);
    assert_int_equal(om_dtype_width(OMEN_I8), 1);
    assert_int_equal(om_dtype_width(OMEN_U8), 1);
    assert_int_equal(om_dtype_width(OMEN_BF16), 0);
    assert_int_equal(om_dtype_width(OMEN_B1), 0);
    assert_int_equal(om_dtype_width(0), 0);
    assert_int_equal(om_dtype_width(UINT32_MAX), 0);
    assert_string_equal(om_dtype_name(OMEN_F32), "f32");
    assert_string_equal(om_dtype_name(OMEN_U8), "u8");
    assert_string_equal(om_dtype_name(OMEN_B1), "b1");
    assert_string_equal(om_dtype_name(OMEN_B1 + 1), "?");
    assert_string_equal(om_metric_name(OMEN_COSINE), "cosine");
    assert_string_equal(om_metric_name(0), "?");
    assert_string_equal(om_metric_name(UINT32_MAX), "?");
}

static void checked_arithmetic(void **state)
{
    (void)state;
    size_t out = 0;
    assert_true(om_add_size(SIZE_MAX - 1, 1, &out));
    assert_true(out == SIZE_MAX);
    assert_false(om_add_size(SIZE_MAX, 1, &out));
    assert_true(om_mul_size(SIZE_MAX, 1, &out));
    assert_false(om_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_int_equal(om_round_up(0, 64), 0);
    assert_int_equal(om_round_up(1, 64), 64);
    assert_int_equal(om_round_up(64, 64), 64);
}

typedef struct log_seen {
    int calls;
    int32_t level;
    char text[600];
    size_t length;
} log_seen;

static void log_hook(void *ctx, int32_t level, const char *module, const char *text, size_t length)
{
    log_seen *seen = ctx;
    assert_string_equal(module, "test");
    seen->calls++;
    seen->level = level;
    seen->length = length;
    memcpy(seen->text, text, length);
    seen->text[length] = '\0';
}

static void log_respects_level_and_length(void **state)
{
    (void)state;
    log_seen seen = {0};
    om_log log = {.fn = log_hook, .ctx = &seen, .level = OMEN_LOG_WARN};
    om_log_write(&log, OMEN_LOG_INFO, "test", "quiet");
    om_log_write(&log, OMEN_LOG_OFF, "test", "no level");
    assert_int_equal(seen.calls, 0);
    om_log_write(&log, OMEN_LOG_WARN, "test", "%d rows", 5);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.level, OMEN_LOG_WARN);
    assert_string_equal(seen.text, "5 rows");
    om_log_write(&log, OMEN_LOG_ERROR, "test", "%600d", 1);
    assert_int_equal(seen.length, 511);
    om_log_write(NULL, OMEN_LOG_ERROR, "test", "nobody");
    om_log_write(&(om_log){.level = OMEN_LOG_DEBUG}, OMEN_LOG_ERROR, "test", "no hook");
    assert_int_equal(seen.calls, 2);
}

static void note_task(void *ctx, uint32_t worker, uint32_t task)
{
    uint32_t *next = ctx;
    assert_int_equal(worker, 0);
    assert_int_equal(task, *next);
    ++*next;
}

static void serial_executor_runs_all_in_order(void **state)
{
    (void)state;
    uint32_t next = 0;
    assert_int_equal(om_executor_serial.threads, 1);
    om_executor_serial.run(&om_executor_serial, note_task, &next, 100);
    assert_int_equal(next, 100);
    om_executor_serial.run(&om_executor_serial, note_task, &next, 0);
    assert_int_equal(next, 100);
}

static void random_numbers_are_the_published_ones(void **state)
{
    (void)state;
    /* The first outputs of SplitMix64 for the seed 1234567, as published with the algorithm. */
    static const uint64_t expected[] = {
        UINT64_C(6457827717110365317), UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
        UINT64_C(4593380528125082431), UINT64_C(16408922859458223821)};
    uint64_t seed = 1234567;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(om_rng_next(&seed) == expected[i]);
    }
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t value = om_rng_below(&seed, 7);
        assert_true(value < 7);
        counts[value]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
    assert_int_equal(om_rng_below(&seed, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_fills_every_field),
        cmocka_unit_test(retriable_is_what_may_pass_later),
        cmocka_unit_test(system_errors_become_statuses),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(names_and_widths),
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(log_respects_level_and_length),
        cmocka_unit_test(serial_executor_runs_all_in_order),
        cmocka_unit_test(random_numbers_are_the_published_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
