/* observe_slow_test.c - the ring of slow calls, and the lines that they leave in the log.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "slow.h"

static om_slow_call call_of(uint64_t n)
{
    om_slow_call c = {.unix_ms = (int64_t)n,
                      .service = "omen.v1.Items",
                      .method = "Search",
                      .code = 4,
                      .total_us = n,
                      .queue_us = 11,
                      .engine_us = 22,
                      .send_us = 33,
                      .search = {.searches = 1,
                                 .legs = 1,
                                 .k = 10,
                                 .ef = 64,
                                 .plan = OMEN_PLAN_FILTER_HOP,
                                 .visited = 77,
                                 .distances = 88,
                                 .filter_hash = 0xabc,
                                 .filter_us = 5}};
    (void)snprintf(c.request_id, sizeof c.request_id, "req-%llu", (unsigned long long)n);
    (void)snprintf(c.trace_id, sizeof c.trace_id, "0af7651916cd43dd8448eb211c80319c");
    (void)snprintf(c.peer, sizeof c.peer, "ipv4:127.0.0.1:4711");
    (void)snprintf(c.collection, sizeof c.collection, "films");
    return c;
}

static void test_ring(void **state)
{
    (void)state;
    static om_slow_call out[OM_SLOW_KEPT + 5];
    om_slow *s = om_slow_create(NULL, NULL);
    assert_non_null(s);
    assert_int_equal(om_slow_copy(s, out, 5), 0);
    for (uint64_t i = 1; i <= OM_SLOW_KEPT + 44; i++) {
        om_slow_call c = call_of(i);
        om_slow_add(s, &c);
    }
    assert_int_equal(om_slow_copy(s, out, OM_SLOW_KEPT + 5), OM_SLOW_KEPT);
    for (uint64_t i = 0; i < OM_SLOW_KEPT; i++) {
        assert_int_equal(out[i].total_us, OM_SLOW_KEPT + 44 - i);
    }
    assert_string_equal(out[0].request_id, "req-300");
    assert_int_equal(om_slow_copy(s, out, 2), 2);
    assert_int_equal(out[1].total_us, OM_SLOW_KEPT + 43);
    om_slow_free(s);
    om_slow_free(NULL);
    om_slow_call c = call_of(1);
    om_slow_add(NULL, &c);
    assert_int_equal(om_slow_copy(NULL, out, 1), 0);
}

static char *read_all(const char *path)
{
    static char text[8192];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    (void)fclose(file);
    return text;
}

static void test_lines(void **state)
{
    static const char *const wanted[] = {"\"kind\":\"slow_call\"",
                                         "\"method\":\"Search\"",
                                         "\"request_id\":\"req-9\"",
                                         "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\"",
                                         "\"peer\":\"ipv4:127.0.0.1:4711\"",
                                         "\"collection\":\"films\"",
                                         "\"code\":4",
                                         "\"total_us\":9",
                                         "\"queue_us\":11",
                                         "\"engine_us\":22",
                                         "\"send_us\":33",
                                         "\"plan\":\"filter_hop\"",
                                         "\"k\":10",
                                         "\"ef\":64",
                                         "\"visited\":77",
                                         "\"filter_hash\":\"0000000000000abc\""};
    char path[] = "/tmp/observe_slow_XXXXXX";
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    om_slog_options options = {.level = OMEN_LOG_INFO, .format = OM_SLOG_JSON, .path = path};
    om_slog *log = om_slog_create(&options);
    om_metrics_options none = {.top_collections = 1};
    om_metrics *m = om_metrics_create(&none);
    om_slow *s = om_slow_create(m, log);
    om_slow_call c = call_of(9);
    om_slow_add(s, &c);
    char *text = read_all(path);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strstr(text, wanted[i]) == NULL) {
            fail_msg("%s is not in %s", wanted[i], text);
        }
    }
    assert_null(strstr(text, "principal")); /* nobody said who it was */
    c = (om_slow_call){.service = "omen.v1.Maintenance", .method = "Verify", .total_us = 3};
    om_slow_add(s, &c);
    text = read_all(path);
    const char *second = strchr(text, '\n');
    assert_non_null(second);
    assert_non_null(strstr(second, "Verify"));
    assert_null(strstr(second, "plan")); /* what only a search has */
    assert_null(strstr(second, "filter"));
    size_t length = 0;
    char *page = om_metrics_render(m, &length);
    assert_non_null(page);
    assert_non_null(strstr(page, "\nomendb_slow_calls_total 2\n"));
    free(page);
    om_slow_free(s);
    om_metrics_free(m);
    om_slog_free(log);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ring), cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
