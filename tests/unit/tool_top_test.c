/* tool_top_test.c - omen top: pages taken apart, asked, compared, fetched and drawn; pages that are none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#include "top.h"

static om_top_page parse(const char *text)
{
    om_top_page page;
    om_tool_error err;
    if (!om_top_parse(strdup(text), strlen(text), &page, &err)) {
        fail_msg("%s", err.message);
    }
    return page;
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static void test_parse(void **state)
{
    (void)state;
    om_top_page p =
        parse("# HELP a b\n# TYPE a gauge\na 1.5\nb{x=\"1\",y=\"2\"} 2\nb{x=\"1\",y=\"3\"} 4\n"
              "b{x=\"10\",y=\"2\"} 8\nc{q=\"a}\\\"b\"} 16\nd NaN\n\ne{} 1e3");
    bool there = false;
    assert_int_equal(p.sample_count, 7);
    assert_int_equal(p.family_count, 5);
    assert_true(near(om_top_sum(&p, "a", NULL, &there), 1.5) && there);
    assert_true(near(om_top_sum(&p, "b", NULL, NULL), 14));
    assert_true(near(om_top_sum(&p, "b", "x=\"1\"", NULL), 6)); /* not x="10" */
    assert_true(near(om_top_sum(&p, "b", "y=\"2\"", NULL), 10));
    assert_true(near(om_top_sum(&p, "b", "x=\"1\",y=\"3\"", NULL), 4));
    assert_true(near(om_top_sum(&p, "b", "x=\"2\"", &there), 0) && !there);
    assert_true(near(om_top_sum(&p, "none", NULL, &there), 0) && !there);
    assert_true(near(om_top_sum(&p, "e", NULL, NULL), 1000));
    char value[8];
    const om_top_sample *s = &p.samples[om_top_find(&p, "b")->first];
    assert_true(om_top_label(s, "y", value, sizeof value));
    assert_string_equal(value, "2");
    assert_false(om_top_label(s, "z", value, sizeof value));
    assert_false(om_top_label(s, "y", value, 1));
    om_top_page_free(&p);
}

static void test_no_pages(void **state)
{
    static const char *const wrong[] = {"a\n",           "a x\n",    "a{x=\"1\" 2\n",
                                        "{x=\"1\"} 2\n", "a{x=\"1}", "<html>hi</html>",
                                        "a 1 2\n",       " 1\n"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        om_top_page page;
        om_tool_error err;
        if (om_top_parse(strdup(wrong[i]), strlen(wrong[i]), &page, &err)) {
            fail_msg("'%s' was taken for a page", wrong[i]);
        }
        assert_null(page.text);
        assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
    }
    om_top_page page;
    om_tool_error err;
    char *zero = malloc(4);
    memcpy(zero, "a\0b", 4);
    assert_false(om_top_parse(zero, 3, &page, &err));
}

static void test_quantiles(void **state)
{
    (void)state;
    om_top_page a = parse("h_bucket{p=\"x\",le=\"1\"} 5\nh_bucket{p=\"x\",le=\"2\"} 5\n"
                          "h_bucket{p=\"x\",le=\"+Inf\"} 5\n");
    om_top_page b = parse("h_bucket{p=\"x\",le=\"1\"} 5\nh_bucket{p=\"x\",le=\"2\"} 25\n"
                          "h_bucket{p=\"x\",le=\"+Inf\"} 25\nh_bucket{p=\"y\",le=\"1\"} 80\n"
                          "h_bucket{p=\"y\",le=\"2\"} 80\nh_bucket{p=\"y\",le=\"+Inf\"} 80\n");
    assert_true(near(om_top_quantile(&a, &b, "h", "p=\"x\"", 0.5), 1.5));
    assert_true(near(om_top_quantile(&a, &b, "h", NULL, 0.5), 0.625)); /* 50 of 80 below 1 */
    assert_true(near(om_top_quantile(&a, &b, "h", NULL, 0.9), 1.5));
    assert_true(near(om_top_quantile(&b, &b, "h", NULL, 0.9), 0));
    assert_true(near(om_top_quantile(&a, &b, "none", NULL, 0.9), 0));
    om_top_page_free(&a);
    om_top_page_free(&b);
    /* as a server writes them: the parts of each histogram together */
    a = parse("h_bucket{p=\"x\",le=\"1\"} 0\nh_bucket{p=\"x\",le=\"+Inf\"} 0\nh_sum{p=\"x\"} 0\n"
              "h_count{p=\"x\"} 0\nh_bucket{p=\"y\",le=\"1\"} 0\nh_bucket{p=\"y\",le=\"+Inf\"} 0\n"
              "h_sum{p=\"y\"} 0\nh_count{p=\"y\"} 0\n");
    b = parse(
        "h_bucket{p=\"x\",le=\"1\"} 0\nh_bucket{p=\"x\",le=\"+Inf\"} 3\nh_sum{p=\"x\"} 9\n"
        "h_count{p=\"x\"} 3\nh_bucket{p=\"y\",le=\"1\"} 17\nh_bucket{p=\"y\",le=\"+Inf\"} 17\n"
        "h_sum{p=\"y\"} 2\nh_count{p=\"y\"} 17\n");
    assert_int_equal(b.family_count, 3);
    assert_true(near(om_top_sum(&b, "h_count", NULL, NULL), 20));
    assert_true(near(om_top_sum(&b, "h_count", "p=\"y\"", NULL), 17));
    assert_true(near(om_top_quantile(&a, &b, "h", NULL, 0.5), 10.0 / 17));
    assert_true(near(om_top_quantile(&a, &b, "h", "p=\"y\"", 0.5), 0.5));
    om_top_page_free(&a);
    om_top_page_free(&b);
    a = parse("h_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 0\n");
    b = parse("h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 10\n");
    assert_true(near(om_top_quantile(&a, &b, "h", NULL, 0.99), 1)); /* beyond all bounds */
    om_top_page_free(&a);
    om_top_page_free(&b);
}

static const char *const first =
    "omendb_build_info{version=\"0.1.0\",abi=\"0.4\"} 1\nomendb_ready 1\n"
    "omendb_grpc_server_handled_total{method=\"Search\",code=\"OK\"} 100\n"
    "omendb_grpc_server_handled_total{method=\"Search\",code=\"NOT_FOUND\"} 10\n"
    "omendb_search_seconds_count{plan=\"graph\"} 100\nomendb_ingest_rows_total 1000\n"
    "process_cpu_seconds_total 7\nomendb_points{collection=\"films\"} 10\n";
static const char *const second =
    "omendb_build_info{version=\"0.1.0\",abi=\"0.4\"} 1\nomendb_ready 1\n"
    "omendb_database_state{state=\"writable\"} 0\nomendb_database_state{state=\"disk_full\"} 1\n"
    "omendb_grpc_server_handled_total{method=\"Search\",code=\"OK\"} 300\n"
    "omendb_grpc_server_handled_total{method=\"Search\",code=\"NOT_FOUND\"} 14\n"
    "omendb_search_seconds_count{plan=\"graph\"} 300\nomendb_ingest_rows_total 50\n"
    "process_cpu_seconds_total 8\nomendb_collections 2\nomendb_points{collection=\"films\"} 12\n"
    "omendb_points{collection=\"art\"} 500\n"
    "omendb_collection_bytes{collection=\"films\",part=\"codes\"} 7\n"
    "omendb_collection_bytes{collection=\"films\",part=\"disk\"} 70\n"
    "omendb_collection_bytes{collection=\"art\",part=\"links\"} 9\n"
    "omendb_collection_bytes{collection=\"art\",part=\"mapped\"} 1000\n"
    "omendb_collection_search_seconds_count{collection=\"films\"} 40\n"
    "omendb_memory_used_bytes 90\nomendb_memory_budget_bytes 100\n"
    "omendb_recall_estimate{collection=\"films\",plan=\"graph\"} 0.98\n"
    "omendb_recall_estimate{collection=\"art\",plan=\"filter_in\"} 0.91\n"
    "omendb_recall_low{collection=\"films\",plan=\"graph\"} 0.97\n"
    "omendb_recall_low{collection=\"art\",plan=\"filter_in\"} 0.9\n"
    "omendb_recall_high{collection=\"art\",plan=\"filter_in\"} 0.92\n";

static om_top_view view_of(om_top_page *a, om_top_page *b)
{
    om_top_view v;
    om_tool_error err;
    *a = parse(first);
    *b = parse(second);
    a->taken = 10;
    b->taken = 12;
    assert_true(om_top_view_of(a, b, &v, &err));
    return v;
}

static void test_view(void **state)
{
    (void)state;
    om_top_page a, b;
    om_top_view v = view_of(&a, &b);
    assert_string_equal(v.version, "0.1.0");
    assert_string_equal(v.state, "disk_full");
    assert_true(v.ready);
    assert_true(near(v.calls, 102) && near(v.errors, 2));
    assert_true(near(v.searches, 100) && near(v.plans[OMEN_PLAN_GRAPH - 1], 100));
    assert_true(near(v.rows, 25)); /* the server began anew: 50 since */
    assert_true(near(v.cores, 0.5));
    assert_true(near(v.recall, 0.91) && near(v.recall_low, 0.9) && near(v.recall_high, 0.92));
    assert_string_equal(v.recall_of, "art filter_in");
    assert_int_equal(v.collection_count, 2);
    assert_string_equal(v.collections[0].name, "films"); /* more searches */
    assert_true(near(v.collections[0].searches, 20) && near(v.collections[0].recall, 0.98));
    assert_true(near(v.collections[0].memory, 7) && near(v.collections[0].disk, 70));
    assert_true(near(v.collections[1].memory, 9) && near(v.collections[1].disk, 0));
    om_top_view_free(&v);
    om_top_page_free(&a);
    om_top_page_free(&b);
}

/* Whatever the size of the terminal, nothing is drawn beyond it. */
static void test_draw(void **state)
{
    (void)state;
    om_top_page a, b;
    om_top_view v = view_of(&a, &b);
    for (unsigned columns = 1; columns < 140; columns += 3) {
        for (unsigned rows = 1; rows < 30; rows++) {
            char *text = NULL;
            size_t size = 0;
            FILE *to = open_memstream(&text, &size);
            om_top_style style = {columns, rows, false, ""};
            om_top_draw(to, &v, "localhost:7701", &style);
            (void)fclose(to);
            unsigned lines = 0;
            for (const char *at = text; *at != '\0'; lines++) {
                size_t width = strcspn(at, "\n");
                assert_true(width <= columns);
                at += width + 1;
            }
            assert_true(lines <= rows);
            free(text);
        }
    }
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    om_top_draw(to, &v, "localhost:7701", &(om_top_style){200, 0, true, ""});
    (void)fclose(to);
    assert_non_null(strstr(text, "disk_full"));
    assert_non_null(strstr(text, "films"));
    assert_non_null(strstr(text, "90%"));
    assert_non_null(strstr(text, "0.9100 of art filter_in"));
    assert_null(strstr(text, "more"));
    free(text);
    om_top_view_free(&v);
    om_top_page_free(&a);
    om_top_page_free(&b);
}

/* ---- A server that says one thing -------------------------------------------------------------- */

typedef struct server {
    int fd;
    uint16_t port;
    const char *answer;
    pthread_t thread;
} server;

static void *serve(void *arg)
{
    server *s = arg;
    char request[1024];
    int fd = accept(s->fd, NULL, NULL);
    if (fd >= 0) {
        size_t got = 0;
        while (got < 4 || memcmp(request + got - 4, "\r\n\r\n", 4) != 0) {
            ssize_t n = recv(fd, request + got, sizeof request - got, 0);
            if (n <= 0) {
                break;
            }
            got += (size_t)n;
        }
        (void)send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
        (void)close(fd);
    }
    return NULL;
}

static bool fetch(const char *answer, om_top_page *page, om_tool_error *err)
{
    server s = {.answer = answer};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char address[64];
    s.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(s.fd, 1), 0);
    assert_int_equal(getsockname(s.fd, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    bool ok = om_top_fetch(address, 20000, page, err);
    assert_int_equal(pthread_join(s.thread, NULL), 0);
    (void)close(s.fd);
    return ok;
}

static void test_fetch(void **state)
{
    (void)state;
    om_top_page page;
    om_tool_error err;
    if (!fetch("HTTP/1.1 200 OK\r\nContent-Length: 31\r\nX: y\r\n\r\n"
               "omendb_build_info{v=\"1\"} 1\na 2\n",
               &page, &err)) {
        fail_msg("%s", err.message);
    }
    assert_true(near(om_top_sum(&page, "a", NULL, NULL), 2));
    assert_true(page.taken > 0);
    om_top_page_free(&page);
    static const char *const wrong[] = {
        "",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\nno\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nomendb_build_info 1\n",
        "HTTP/1.1 200 OK\r\n\r\nsomething_else 1\n",
        "HTTP/1.1 200 OK\r\n\r\n<html>\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(fetch(wrong[i], &page, &err));
        assert_null(page.text);
        assert_true(err.message[0] != '\0');
    }
}

static void test_addresses(void **state)
{
    static const char *const wrong[] = {"nothing", "host:", "127.0.0.1:port", "127.0.0.1:1"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        om_top_page page;
        om_tool_error err;
        assert_false(om_top_fetch(wrong[i], 5000, &page, &err));
        assert_true(err.code == OM_EXIT_USAGE || err.code == OM_EXIT_UNAVAILABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),     cmocka_unit_test(test_no_pages),
        cmocka_unit_test(test_quantiles), cmocka_unit_test(test_view),
        cmocka_unit_test(test_draw),      cmocka_unit_test(test_fetch),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
