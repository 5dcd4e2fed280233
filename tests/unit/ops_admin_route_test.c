/* ops_admin_route_test.c - routes of the admin server over a real socket: methods, bodies, headers, slow ones
 * on threads of their own, and a stop in the middle of them. SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
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

enum { MAX_ANSWER = 1 << 18, MAX_BODY = 100000 };

static om_metrics *metrics;
static om_health health;
static om_admin *admin;
static sem_t slow_began, slow_may_end;
static _Atomic int slow_ran;

/* ---- Routes under test ------------------------------------------------------------------- */

static void echo(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    static const om_admin_header_line extra[] = {{"X-One", "1"}, {"X-Two", "2"}};
    const char *name = om_admin_argument(r, "name");
    const char *mark = om_admin_header(r, "X-Mark");
    assert_ptr_equal(ctx, &health);
    size_t size = 256 + r->body_size;
    a->text = malloc(size);
    assert_non_null(a->text);
    a->code = 200;
    a->type = "application/x-echo";
    a->headers = extra;
    a->header_count = 2;
    int n =
        snprintf(a->text, size, "%s local=%d name=%s mark=%s body=%zu:", r->post ? "POST" : "GET",
                 r->local, name != NULL ? name : "-", mark != NULL ? mark : "-", r->body_size);
    if (r->body_size > 0) {
        memcpy(a->text + n, r->body, r->body_size);
    }
    a->size = (size_t)n + r->body_size;
}

static void slow(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    (void)ctx;
    (void)r;
    (void)sem_post(&slow_began);
    (void)sem_wait(&slow_may_end);
    slow_ran++;
    *a = (om_admin_answer){.code = 200, .kept = "slow", .size = 4};
}

static void nothing(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    (void)ctx;
    (void)r;
    (void)a;
}

static bool admit_marked(void *ctx, const om_admin_request *r, om_admin_answer *a)
{
    (void)ctx;
    assert_null(r->body);
    *a = (om_admin_answer){.code = 403, .kept = "no mark", .size = 7};
    return om_admin_header(r, "X-Mark") != NULL;
}

static const om_admin_route routes[] = {
    {"/echo", OM_ADMIN_GET | OM_ADMIN_POST, MAX_BODY, NULL, echo},
    {"/slowecho", OM_ADMIN_POST | OM_ADMIN_SLOW, MAX_BODY, NULL, echo},
    {"/marked", OM_ADMIN_POST, MAX_BODY, admit_marked, echo},
    {"/slow", OM_ADMIN_GET | OM_ADMIN_SLOW, 0, NULL, slow},
    {"/nothing", OM_ADMIN_GET, 0, NULL, nothing},
};

/* ---- A client ---------------------------------------------------------------------------- */

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

static void send_all(int fd, const char *data, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t k = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (k <= 0) {
            break; /* the server has answered and closed already */
        }
        sent += (size_t)k;
    }
}

static char answer[MAX_ANSWER];
static int read_answer(int fd)
{
    size_t n = 0;
    int code = 0;
    for (ssize_t k = 1; k > 0;) {
        k = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        n += k > 0 ? (size_t)k : 0;
    }
    answer[n] = '\0';
    (void)close(fd);
    return sscanf(answer, "HTTP/1.%*d %d", &code) == 1 ? code : 0;
}

static int ask(const char *request)
{
    int fd = open_connection();
    send_all(fd, request, strlen(request));
    return read_answer(fd);
}

static const char *body(void)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* ---- Tests ------------------------------------------------------------------------------- */

static void test_get(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /echo?name=%41b HTTP/1.1\r\nHost: x\r\nx-mark: m\r\n\r\n"), 200);
    assert_string_equal(body(), "GET local=1 name=%41b mark=m body=0:");
    assert_non_null(strstr(answer, "Content-Type: application/x-echo\r\n"));
    assert_non_null(strstr(answer, "X-One: 1\r\n"));
    assert_non_null(strstr(answer, "X-Two: 2\r\n"));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_non_null(strstr(answer, "Cache-Control: no-store\r\n"));
    /* A header that comes twice is none. */
    assert_int_equal(ask("GET /echo HTTP/1.1\r\nHost: x\r\nX-Mark: a\r\nX-MARK: b\r\n\r\n"), 200);
    assert_string_equal(body(), "GET local=1 name=- mark=- body=0:");
    assert_int_equal(ask("HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_string_equal(body(), "");
    /* A handler that says nothing is an error of ours. */
    assert_int_equal(ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 500);
}

static int post(const char *path, const char *headers, size_t size, char fill)
{
    char head[512];
    char *data = malloc(size + 1);
    assert_non_null(data);
    memset(data, fill, size);
    int n =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n",
                 path, size, headers);
    int fd = open_connection();
    send_all(fd, head, (size_t)n);
    send_all(fd, data, size);
    free(data);
    return read_answer(fd);
}

static void test_bodies(void **state)
{
    static const char *const paths[] = {"/echo", "/slowecho"};
    static const size_t sizes[] = {0, 1, 4096, MAX_BODY};
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char head[64];
            assert_int_equal(post(paths[p], "", sizes[i], 'q'), 200);
            int n = snprintf(head, sizeof head, "POST local=1 name=- mark=- body=%zu:", sizes[i]);
            assert_memory_equal(body(), head, (size_t)n);
            assert_int_equal(strspn(body() + n, "q"), sizes[i]);
            assert_int_equal(strlen(body() + n), sizes[i]);
        }
        assert_int_equal(post(paths[p], "", MAX_BODY + 1, 'q'), 413);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *request;
        int code;
    } cases[] = {
        {"DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405},
        {"OPTIONS /echo HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\n\r\n", 405},
        {"GET /slowecho HTTP/1.1\r\nHost: x\r\n\r\n", 405},
        {"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405},
        {"GET /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 413},
        {"POST /echo HTTP/1.1\r\nHost: x\r\n\r\n", 413},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413},
        {"POST /marked HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 403},
        {"GET /echo/ HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /ech HTTP/1.1\r\nHost: x\r\n\r\n", 404},
        {"GET /%65cho HTTP/1.1\r\nHost: x\r\n\r\n", 404},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = ask(cases[i].request);
        if (code != cases[i].code) {
            fail_msg("%d for %s", code, cases[i].request);
        }
    }
    assert_int_equal(ask("PUT /slowecho HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    assert_non_null(strstr(answer, "Allow: POST\r\n"));
    assert_int_equal(ask("PUT /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    assert_non_null(strstr(answer, "Allow: GET, HEAD, POST\r\n"));
    assert_int_equal(
        ask("POST /marked HTTP/1.1\r\nHost: x\r\nX-Mark: m\r\nContent-Length: 2\r\n\r\nhi"), 200);
    assert_string_equal(body(), "POST local=1 name=- mark=m body=2:hi");
    assert_int_equal(ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

static void begin_slow(int *fd)
{
    static const char request[] = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n";
    *fd = open_connection();
    send_all(*fd, request, sizeof request - 1);
}

/* While every worker is busy, and more requests wait for one, probes and quick routes answer. */
static void test_slow(void **state)
{
    enum { COUNT = OM_ADMIN_WORKERS + 3 };
    int fds[COUNT];
    (void)state;
    slow_ran = 0;
    for (int i = 0; i < COUNT; i++) {
        begin_slow(&fds[i]);
    }
    for (int i = 0; i < OM_ADMIN_WORKERS; i++) {
        (void)sem_wait(&slow_began);
    }
    assert_int_equal(ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_int_equal(ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_int_equal(ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_int_equal(slow_ran, 0);
    for (int i = 0; i < COUNT; i++) {
        (void)sem_post(&slow_may_end);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(read_answer(fds[i]), 200);
        assert_string_equal(body(), "slow");
    }
    for (int i = OM_ADMIN_WORKERS; i < COUNT; i++) {
        (void)sem_wait(&slow_began);
    }
    assert_int_equal(slow_ran, COUNT);
}

/* No more than so many requests of routes are held; whoever comes then is told at once. */
static void test_too_many(void **state)
{
    int fds[OM_ADMIN_MAX_REQUESTS];
    (void)state;
    for (int i = 0; i < OM_ADMIN_MAX_REQUESTS; i++) {
        begin_slow(&fds[i]);
    }
    int code = 200;
    for (int i = 0; i < 1000 && code == 200; i++) { /* until all of them have come in */
        code = ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    assert_int_equal(code, 503);
    assert_int_equal(ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    for (int i = 0; i < OM_ADMIN_MAX_REQUESTS; i++) {
        (void)sem_post(&slow_may_end);
    }
    for (int i = 0; i < OM_ADMIN_MAX_REQUESTS; i++) {
        assert_int_equal(read_answer(fds[i]), 200);
        (void)sem_wait(&slow_began);
    }
    assert_int_equal(ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
}

/* A client that is gone before its answer takes nothing with it. */
static void test_gone(void **state)
{
    int fd = -1;
    (void)state;
    begin_slow(&fd);
    (void)sem_wait(&slow_began);
    (void)close(fd);
    (void)sem_post(&slow_may_end);
    fd = open_connection(); /* half a body, then nothing */
    send_all(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc", 53);
    (void)close(fd);
    assert_int_equal(post("/slowecho", "", 10, 'z'), 200);
}

static void *stop_admin(void *arg)
{
    (void)arg;
    om_admin_stop(admin);
    return NULL;
}

/* What a worker does is waited for, what waits is told that the server stops. */
static void test_stop(void **state)
{
    enum { COUNT = OM_ADMIN_WORKERS + 2 };
    int fds[COUNT];
    pthread_t thread;
    (void)state;
    slow_ran = 0;
    for (int i = 0; i < COUNT; i++) {
        begin_slow(&fds[i]);
    }
    for (int i = 0; i < OM_ADMIN_WORKERS; i++) {
        (void)sem_wait(&slow_began);
    }
    assert_int_equal(pthread_create(&thread, NULL, stop_admin, NULL), 0);
    for (int i = 0; i < COUNT; i++) {
        (void)sem_post(&slow_may_end);
    }
    (void)pthread_join(thread, NULL);
    admin = NULL;
    assert_true(slow_ran >= OM_ADMIN_WORKERS);
    for (int i = 0; i < COUNT; i++) {
        int code = read_answer(fds[i]);
        assert_true(code == 200 || code == 503 || code == 0);
    }
}

static int start(void **state)
{
    char error[256];
    om_metrics_options metrics_options = {.top_collections = 4};
    (void)state;
    (void)sem_init(&slow_began, 0, 0);
    (void)sem_init(&slow_may_end, 0, 0);
    metrics = om_metrics_create(&metrics_options);
    om_admin_options options = {.listen = "127.0.0.1:0",
                                .metrics = metrics,
                                .health = &health,
                                .routes = routes,
                                .route_count = sizeof routes / sizeof routes[0],
                                .route_ctx = &health};
    admin = om_admin_start(&options, error, sizeof error);
    return admin != NULL ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    om_admin_stop(admin);
    om_metrics_free(metrics);
    (void)sem_destroy(&slow_began);
    (void)sem_destroy(&slow_may_end);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),      cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_slow),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_gone),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
