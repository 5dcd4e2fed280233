/* ops_slog_test.c - the log: lines that stay lines, JSON that stays JSON, limits that hold.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

#include "slog.h"

static char path[] = "ops-slog-XXXXXX";
static uint64_t clock_ns;

static uint64_t fake_clock(void)
{
    return clock_ns;
}

static om_slog *create(int32_t level, uint32_t format)
{
    om_slog_options options = {level, format, path, fake_clock};
    clock_ns = UINT64_C(5000000000);
    assert_int_equal(truncate(path, 0), 0);
    om_slog *log = om_slog_create(&options);
    assert_non_null(log);
    return log;
}

/* What the file holds; static storage. */
static const char *content(void)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

static void test_json(void **state)
{
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    om_slog(log, OMEN_LOG_WARN, "slow", "took \"long\"\n",
            OM_SLOG_STR("peer", "ipv4:\\1\t\x01\x7f"), OM_SLOG_U64("k", UINT64_MAX),
            OM_SLOG_I64("delta", -5), OM_SLOG_STR("none", NULL), OM_SLOG_STR("empty", ""));
    const char *text = content();
    /* "2026-11-20T08:00:00.000Z": the time is 24 characters. */
    assert_int_equal(strncmp(text, "{\"time\":\"", 9), 0);
    assert_string_equal(
        text + 9 + 24,
        "\",\"level\":\"warn\",\"kind\":\"slow\",\"text\":\"took \\\"long\\\"\\u000a\","
        "\"peer\":\"ipv4:\\\\1\\u0009\\u0001\\u007f\",\"k\":18446744073709551615,"
        "\"delta\":-5,\"empty\":\"\"}\n");
    om_slog_free(log);
}

static void test_text(void **state)
{
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_TEXT);
    om_slog(log, OMEN_LOG_ERROR, "bind", "in use", OM_SLOG_STR("address", "127.0.0.1:7700"),
            OM_SLOG_STR("why", "two words\nand a line"), OM_SLOG_STR("empty", ""));
    assert_string_equal(content() + 24, " error bind: in use address=127.0.0.1:7700 "
                                        "why=\"two words\\u000aand a line\" empty=\"\"\n");
    om_slog_free(log);
}

/* Bytes that are not UTF-8 become U+FFFD; what is UTF-8 passes. */
static void test_utf8(void **state)
{
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    om_slog(log, OMEN_LOG_INFO, "k", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82",
            OM_SLOG_STR("overlong", "\xc0\xaf|\xe0\x80\xaf|\xf0\x80\x80\xaf"),
            OM_SLOG_STR("surrogate", "\xed\xa0\x80"), OM_SLOG_STR("cut", "x\xe2\x82"),
            OM_SLOG_STR("beyond", "\xf4\x90\x80\x80\xff"));
#define R "\\ufffd"
    assert_non_null(strstr(content(), "\"text\":\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82\","
                                      "\"overlong\":\"" R R "|" R R R "|" R R R R "\","
                                      "\"surrogate\":\"" R R R "\",\"cut\":\"x" R R "\","
                                      "\"beyond\":\"" R R R R R "\"}\n"));
    om_slog_free(log);
}

static void test_levels(void **state)
{
    (void)state;
    om_slog *log = create(OMEN_LOG_WARN, OM_SLOG_TEXT);
    assert_true(om_slog_enabled(log, OMEN_LOG_ERROR));
    assert_true(om_slog_enabled(log, OMEN_LOG_WARN));
    assert_false(om_slog_enabled(log, OMEN_LOG_INFO));
    assert_false(om_slog_enabled(log, OMEN_LOG_OFF));
    assert_false(om_slog_enabled(NULL, OMEN_LOG_ERROR));
    om_slog_write(log, OMEN_LOG_INFO, "k", "t", NULL, 0);
    om_slog_write(NULL, OMEN_LOG_ERROR, "k", "t", NULL, 0);
    assert_string_equal(content(), "");
    om_slog_free(log);
    log = create(OMEN_LOG_OFF, OM_SLOG_TEXT);
    om_slog_write(log, OMEN_LOG_ERROR, "k", "t", NULL, 0);
    assert_string_equal(content(), "");
    om_slog_free(log);
}

static void test_rate_limit(void **state)
{
    (void)state;
    uint64_t suppressed = 0;
    uint64_t failed = 0;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    for (int i = 0; i < OM_SLOG_BURST + 7; i++) {
        om_slog_write(log, OMEN_LOG_INFO, "often", "t", NULL, 0);
    }
    assert_int_equal(lines(content()), OM_SLOG_BURST);
    /* Another kind, and errors of the same kind, have a limit of their own. */
    om_slog_write(log, OMEN_LOG_INFO, "rare", "t", NULL, 0);
    om_slog_write(log, OMEN_LOG_ERROR, "often", "t", NULL, 0);
    assert_int_equal(lines(content()), OM_SLOG_BURST + 2);
    om_slog_counts(log, &suppressed, &failed);
    assert_int_equal(suppressed, 7);
    assert_int_equal(failed, 0);
    /* After a second there is room for some more, and the first tells how many are missing. */
    clock_ns += UINT64_C(1000000000);
    for (int i = 0; i < OM_SLOG_PER_SECOND + 1; i++) {
        om_slog_write(log, OMEN_LOG_INFO, "often", "t", NULL, 0);
    }
    assert_int_equal(lines(content()), OM_SLOG_BURST + 2 + OM_SLOG_PER_SECOND);
    assert_non_null(strstr(content(), "\"text\":\"t\",\"suppressed\":7}\n"));
    /* A long rest does not save up more than a burst. */
    clock_ns += UINT64_C(1000000000) * 86400 * 365;
    for (int i = 0; i < OM_SLOG_BURST * 2; i++) {
        om_slog_write(log, OMEN_LOG_INFO, "often", "t", NULL, 0);
    }
    assert_int_equal(lines(content()), OM_SLOG_BURST * 2 + 2 + OM_SLOG_PER_SECOND);
    om_slog_free(log);
}

/* Kinds beyond the table share one limit: an endless variety of kinds is limited too. */
static void test_many_kinds(void **state)
{
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    for (int i = 0; i < OM_SLOG_MAX_KINDS + 500; i++) {
        char kind[24];
        (void)snprintf(kind, sizeof kind, "kind_%d", i);
        om_slog_write(log, OMEN_LOG_INFO, kind, "t", NULL, 0);
    }
    assert_int_equal(lines(content()), OM_SLOG_MAX_KINDS + OM_SLOG_BURST);
    om_slog_free(log);
}

/* However much is given, a line keeps its limit, its end, and says that it was cut. */
static void test_long_lines(void **state)
{
    char value[3000];
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    memset(value, 'v', sizeof value);
    value[OM_SLOG_MAX_VALUE] = '\0';
    om_slog(log, OMEN_LOG_INFO, "a", "t", OM_SLOG_STR("v", value));
    assert_null(strstr(content(), "cut"));
    value[OM_SLOG_MAX_VALUE] = 'v';
    value[OM_SLOG_MAX_VALUE + 1] = '\0';
    om_slog(log, OMEN_LOG_INFO, "b", "t", OM_SLOG_STR("v", value));
    assert_non_null(strstr(content(), "v\",\"cut\":1}\n"));
    memset(value, '\x01', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    om_slog(log, OMEN_LOG_INFO, "c", value, OM_SLOG_STR("one", value), OM_SLOG_STR("two", value),
            OM_SLOG_STR("three", value), OM_SLOG_U64("four", 4));
    const char *last = strstr(content(), "\"kind\":\"c\"");
    assert_non_null(last);
    assert_true(strlen(last) < OM_SLOG_MAX_LINE);
    assert_non_null(strstr(last, "\",\"cut\":1}\n"));
    assert_int_equal(lines(last), 1);
    om_slog_free(log);
}

static void test_reopen(void **state)
{
    char moved[64];
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_TEXT);
    om_slog_write(log, OMEN_LOG_INFO, "k", "before", NULL, 0);
    (void)snprintf(moved, sizeof moved, "%s.1", path);
    assert_int_equal(rename(path, moved), 0);
    om_slog_write(log, OMEN_LOG_INFO, "k", "still the old file", NULL, 0);
    assert_true(om_slog_reopen(log));
    om_slog_write(log, OMEN_LOG_INFO, "k", "after", NULL, 0);
    assert_int_equal(lines(content()), 1);
    assert_non_null(strstr(content(), "after"));
    assert_int_equal(unlink(moved), 0);
    om_slog_free(log);
    assert_true(om_slog_reopen(NULL));
}

static void test_failures(void **state)
{
    uint64_t suppressed = 0;
    uint64_t failed = 0;
    om_slog_options options = {OMEN_LOG_INFO, OM_SLOG_TEXT, "no-such-folder/log", fake_clock};
    (void)state;
    errno = 0;
    assert_null(om_slog_create(&options));
    assert_int_equal(errno, ENOENT);
    options.path = "/dev/full";
    om_slog *log = om_slog_create(&options);
    assert_non_null(log);
    om_slog_write(log, OMEN_LOG_INFO, "k", "t", NULL, 0);
    om_slog_counts(log, &suppressed, &failed);
    assert_int_equal(failed, 1);
    om_slog_free(log);
    om_slog_free(NULL);
}

static void test_engine_hook(void **state)
{
    char text[OM_SLOG_MAX_VALUE + 10];
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    om_slog_engine(log, OMEN_LOG_WARN, "store", "a block is damaged, not more", 18);
    assert_non_null(strstr(content(), "\"level\":\"warn\",\"kind\":\"engine\",\"text\":"
                                      "\"a block is damaged\",\"module\":\"store\"}\n"));
    memset(text, 'x', sizeof text);
    om_slog_engine(log, OMEN_LOG_WARN, "store", text, sizeof text);
    assert_int_equal(lines(content()), 2);
    om_slog_free(log);
}

static void *write_some(void *log)
{
    for (int i = 0; i < 200; i++) {
        om_slog(log, OMEN_LOG_INFO, "thread", "some words that make a line", OM_SLOG_U64("i", i));
        om_slog(log, OMEN_LOG_ERROR, "thread", "some words that make a line", OM_SLOG_U64("i", i));
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    uint64_t suppressed = 0;
    uint64_t failed = 0;
    (void)state;
    om_slog *log = create(OMEN_LOG_INFO, OM_SLOG_JSON);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_some, log), 0);
    }
    assert_true(om_slog_reopen(log));
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    om_slog_counts(log, &suppressed, &failed);
    const char *text = content();
    assert_int_equal(lines(text), 3 * OM_SLOG_BURST); /* errors have twice the burst */
    assert_int_equal(lines(text) + suppressed, 4 * 400);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_int_equal(strncmp(line, "{\"time\":\"", 9), 0);
    }
    om_slog_free(log);
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),       cmocka_unit_test(test_text),
        cmocka_unit_test(test_utf8),       cmocka_unit_test(test_levels),
        cmocka_unit_test(test_rate_limit), cmocka_unit_test(test_many_kinds),
        cmocka_unit_test(test_long_lines), cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_engine_hook),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
