/* ops_admin_test.c - the admin server over a real socket: its pages, and requests that mean no
 * good. SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin.h"
#include "ops_promtext.h"

enum { MAX_ANSWER = 1 << 20 };
#define SECOND UINT64_C(1000000000)

static om_metrics *metrics;
static om_health health;
static om_admin *admin;
static _Atomic uint64_t clock_ns = 1000 * SECOND;

static uint64_t fake_clock(void)
{
    return clock_ns;
}

static int open_connection(void)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(om_admin_port(admin));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends the bytes and reads until the server closes, as it does after every answer. The peer may
 * close before it has read all: then what came until then counts. */
static size_t exchange(const char *request, size_t length, char *answer)
{
    int fd = open_connection();
    size_t n = 0;
    for (size_t sent = 0; sent < length;) {
        ssize_t k = send(fd, request + sent, length - sent, MSG_NOSIGNAL);
        if (k <= 0) {
            break;
        }
        sent += (size_t)k;
    }
    for (;;) {
        ssize_t k = recv(fd, answer + n, MAX_ANSWER - 1 - n, 0);
        if (k <= 0) {
            break;
        }
        n += (size_t)k;
    }
    (void)close(fd);
    answer[n] = '\0';
    return n;
}

/* The status code of the answer to a request text, 0 when there was none; static storage for it. */
static char answer_text[MAX_ANSWER];
static int ask(const char *request)
{
    int code = 0;
    (void)exchange(request, strlen(request), answer_text);
    return sscanf(answer_text, "HTTP/1.%*d %d", &code) == 1 ? code : 0;
}

static int get(const char *path)
{
    char request[256];
    (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return ask(request);
}

static const char *body(void)
{
    const char *end = strstr(answer_text, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void test_probes(void **state)
{
    (void)state;
    om_health_set(&health, OM_HEALTH_STARTING);
    assert_int_equal(get("/livez"), 200);
    assert_int_equal(get("/startupz"), 503);
    assert_int_equal(get("/readyz"), 503);
    assert_string_equal(body(), "starting\n");
    om_health_beat(&health, fake_clock());
    om_health_set(&health, OM_HEALTH_SERVING);
    assert_int_equal(get("/livez"), 200);
    assert_int_equal(get("/startupz"), 200);
    assert_int_equal(get("/readyz"), 200);
    assert_string_equal(body(), "ready\n");
    /* The heartbeat decides about /livez only, and only while serving. */
    clock_ns += OM_HEALTH_STALE_S * SECOND;
    assert_int_equal(get("/livez"), 200);
    clock_ns += 1;
    assert_int_equal(get("/livez"), 503);
    assert_int_equal(get("/readyz"), 200);
    om_health_set(&health, OM_HEALTH_DRAINING);
    assert_int_equal(get("/livez"), 200);
    assert_int_equal(get("/startupz"), 200);
    assert_int_equal(get("/readyz"), 503);
    assert_string_equal(body(), "draining\n");
}

static void test_metrics_page(void **state)
{
    double value = -1;
    (void)state;
    om_metrics_rpc_unimplemented(metrics);
    assert_int_equal(get("/metrics"), 200);
    assert_non_null(
        strstr(answer_text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer_text, "Connection: close\r\n"));
    const char *wrong = promtext_check(body());
    if (wrong != NULL) {
        fail_msg("%s", wrong);
    }
    assert_true(promtext_value(body(), "omendb_grpc_server_unimplemented_total", &value));
    assert_true(value == 1);
    assert_int_equal(get("/metrics?name[]=x"), 200);
}

static void test_head(void **state)
{
    (void)state;
    assert_int_equal(ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_string_equal(body(), "");
    assert_non_null(strstr(answer_text, "Content-Length: "));
}

static void test_refused(void **state)
{
    static const struct {
        const char *request;
        int code;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /../metrics HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /livez%00x HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /%6civez HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405},
        {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405},
        {"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405},
        {"get /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405},
        {"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 413},
        {"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413},
        {"HEAD /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = ask(cases[i].request);
        if (code != cases[i].code) {
            fail_msg("%d for %s", code, cases[i].request);
        }
    }
    assert_int_equal(ask("POST /livez HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    assert_non_null(strstr(answer_text, "Allow: GET, HEAD\r\n"));
}

/* Not HTTP, or HTTP of an evil kind: an error or silence, and the server lives on. */
static void test_garbage(void **state)
{
    static const char *const requests[] = {
        "",
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /livez HTTP/9.9\r\n\r\n",
        "GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551617\r\n\r\n",
        "GET http://[::1 HTTP/1.1\r\nHost: \r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = open_connection();
        (void)send(fd, requests[i], strlen(requests[i]), MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR); /* half a request ends here */
        while (recv(fd, answer_text, sizeof answer_text, 0) > 0) {
        }
        (void)close(fd);
    }
    om_health_set(&health, OM_HEALTH_SERVING);
    assert_int_equal(get("/readyz"), 200);
}

/* A line or headers beyond the limit are refused before they take memory. */
static void test_large_requests(void **state)
{
    enum { LARGE = 4 * OM_ADMIN_MAX_HEADER };
    char *request = malloc(LARGE + 64);
    (void)state;
    assert_non_null(request);
    memset(request, 'a', LARGE);
    memcpy(request, "GET /", 5);
    memcpy(request + LARGE, " HTTP/1.1\r\nHost: x\r\n\r\n", 23);
    int code = ask(request);
    assert_true(code == 0 || (code >= 400 && code < 500));
    memset(request, 'a', LARGE);
    memcpy(request, "GET /startupz HTTP/1.1\r\nHost: x\r\nX: ", 36);
    memcpy(request + LARGE, "\r\n\r\n", 5);
    code = ask(request);
    assert_true(code == 0 || (code >= 400 && code < 500));
    /* A header that fits is fine. */
    memset(request, 'a', LARGE);
    memcpy(request, "GET /startupz HTTP/1.1\r\nHost: x\r\nX: ", 36);
    memcpy(request + OM_ADMIN_MAX_HEADER / 4, "\r\n\r\n", 5);
    assert_int_equal(ask(request), 200);
    free(request);
}

/* One address cannot take all connections; when it lets go, the server answers again. */
static void test_connection_limit(void **state)
{
    enum { TRIED = OM_ADMIN_MAX_PER_ADDRESS + 8 };
    int fds[TRIED];
    size_t refused = 0;
    (void)state;
    for (size_t i = 0; i < TRIED; i++) {
        fds[i] = open_connection();
    }
    /* A refused one is closed at once; an accepted one waits for a request. The refusals come in
     * the order of the connections, so the answer of the last one means that all were decided. */
    for (size_t i = TRIED; i-- > OM_ADMIN_MAX_PER_ADDRESS;) {
        char c;
        refused += recv(fds[i], &c, 1, 0) <= 0;
    }
    assert_int_equal(refused, TRIED - OM_ADMIN_MAX_PER_ADDRESS);
    for (size_t i = 0; i < OM_ADMIN_MAX_PER_ADDRESS; i++) {
        struct pollfd p = {fds[i], POLLIN, 0};
        assert_int_equal(poll(&p, 1, 0), 0); /* still open */
    }
    for (size_t i = 0; i < TRIED; i++) {
        (void)close(fds[i]);
    }
    int code = 0;
    for (int i = 0; i < 1000 && code != 200; i++) { /* until it has noticed that they are gone */
        code = get("/startupz");
    }
    assert_int_equal(code, 200);
}

/* One byte at a time resets the idle time of the connection for ever; its age ends it. */
static void test_dripping(void **state)
{
    bool closed = false;
    (void)state;
    int fd = open_connection();
    assert_true(send(fd, "GET /livez HTTP/1.1\r\nX: ", 24, MSG_NOSIGNAL) == 24);
    for (int i = 0; i < 300 && !closed; i++) {
        struct pollfd p = {fd, POLLIN, 0};
        clock_ns += SECOND;
        om_admin_sweep(admin);
        closed = send(fd, "a", 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, 20) != 0;
        assert_true(i >= OM_ADMIN_MAX_AGE_S || !closed);
    }
    assert_true(closed);
    (void)close(fd);
    om_admin_sweep(NULL);
}

static void *scrape(void *arg)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    size_t *good = arg;
    char *answer = malloc(MAX_ANSWER);
    for (int i = 0; answer != NULL && i < 20; i++) {
        size_t n = exchange(request, sizeof request - 1, answer);
        *good += n > 1000 && strncmp(answer, "HTTP/1.1 200", 12) == 0 && answer[n - 1] == '\n';
    }
    free(answer);
    return NULL;
}

static void test_concurrent(void **state)
{
    pthread_t threads[4];
    size_t good[4] = {0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, scrape, &good[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 20);
    }
}

/* The port is taken: a message that names the address, no crash. Stopping ends open connections. */
static void test_start_and_stop(void **state)
{
    char error[256] = "";
    char where[32];
    (void)state;
    (void)snprintf(where, sizeof where, "127.0.0.1:%u", om_admin_port(admin));
    om_admin_options options = {
        .listen = where, .metrics = metrics, .health = &health, .now_ns = fake_clock};
    assert_null(om_admin_start(&options, error, sizeof error));
    assert_non_null(strstr(error, where));
    assert_non_null(strstr(error, "in use"));
    options.listen = "127.0.0.1";
    assert_null(om_admin_start(&options, error, sizeof error));
    assert_non_null(strstr(error, "HOST:PORT"));
    options.listen = "no.such.host.invalid:0";
    assert_null(om_admin_start(&options, error, sizeof error));
    assert_non_null(strstr(error, "no.such.host.invalid"));
    options.listen = "[::1]:0";
    om_admin *second = om_admin_start(&options, error, sizeof error);
    assert_true(second != NULL || strstr(error, "[::1]") != NULL); /* some machines have no IPv6 */
    om_admin_stop(second);
    om_admin_stop(NULL);
    int fd = open_connection();
    om_admin_stop(admin);
    admin = NULL;
    char c;
    assert_true(recv(fd, &c, 1, 0) <= 0);
    (void)close(fd);
}

static int start(void **state)
{
    char error[256];
    om_metrics_options metrics_options = {.top_collections = 4, .runtime = NULL, .db = NULL};
    (void)state;
    metrics = om_metrics_create(&metrics_options);
    om_admin_options options = {
        .listen = "127.0.0.1:0", .metrics = metrics, .health = &health, .now_ns = fake_clock};
    admin = om_admin_start(&options, error, sizeof error);
    return admin != NULL ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    om_admin_stop(admin);
    om_metrics_free(metrics);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_metrics_page),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_large_requests),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_dripping),
        cmocka_unit_test(test_concurrent),
        cmocka_unit_test(test_start_and_stop),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
