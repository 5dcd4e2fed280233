/* console_test.c - the console without a server behind it: its page and the policy of it, who is let in, and
 * what its API says while omend starts. SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "console.h"

enum { MAX_ANSWER = 1 << 20 };

static om_metrics *metrics;
static om_health health;
static om_access *access_nobody;
static om_console *console;
static om_admin *admin;
static char answer[MAX_ANSWER];

static int ask(const char *request)
{
    struct sockaddr_in address;
    size_t n = 0;
    int code = 0;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(om_admin_port(admin));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
    for (ssize_t k = 1; k > 0;) {
        k = recv(fd, answer + n, sizeof answer - 1 - n, 0);
        n += k > 0 ? (size_t)k : 0;
    }
    answer[n] = '\0';
    (void)close(fd);
    return sscanf(answer, "HTTP/1.%*d %d", &code) == 1 ? code : 0;
}

static const char *body(void)
{
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* What stands between two tags, its hash in base64, and that the policy has it. */
static void check_hash(const char *open, const char *close_tag, const char *directive)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char base64[64];
    char wanted[128];
    unsigned size = 0;
    const char *from = strstr(body(), open);
    assert_non_null(from);
    from += strlen(open);
    const char *to = strstr(from, close_tag);
    assert_non_null(to);
    assert_true(to - from > 1000);
    assert_null(strstr(to + strlen(close_tag), open)); /* there is one only */
    assert_int_equal(EVP_Digest(from, (size_t)(to - from), digest, &size, EVP_sha256(), NULL), 1);
    (void)EVP_EncodeBlock((unsigned char *)base64, digest, (int)size);
    (void)snprintf(wanted, sizeof wanted, "%s 'sha256-%s';", directive, base64);
    assert_non_null(strstr(answer, wanted));
}

static void test_page(void **state)
{
    (void)state;
    assert_int_equal(ask("GET /console HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    assert_non_null(strstr(answer, "Content-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "Content-Security-Policy: default-src 'none'; "));
    assert_non_null(strstr(answer, "X-Frame-Options: DENY\r\n"));
    check_hash("<style>", "</style>", "style-src");
    check_hash("<script>", "</script>", "script-src");
    assert_null(strstr(body(), "@STYLE@"));
    assert_null(strstr(body(), "@SCRIPT@"));
    assert_null(strstr(body(), "https://"));  /* nothing comes from elsewhere */
    assert_null(strstr(body(), " style=\"")); /* the policy would drop it */
    assert_null(strstr(body(), "innerHTML"));
    assert_int_equal(ask("GET / HTTP/1.1\r\nHost: [::1]:7701\r\n\r\n"), 302);
    assert_non_null(strstr(answer, "Location: /console\r\n"));
}

static void test_starting(void **state)
{
    static const char *const calls[] = {"GET /console/api/collections",
                                        "GET /console/api/collection?name=a",
                                        "GET /console/api/operations", "POST /console/api/search"};
    char request[256];
    (void)state;
    assert_int_equal(ask("GET /console/api/state HTTP/1.1\r\nHost: localhost\r\n"
                         "X-Omen-Console: 1\r\n\r\n"),
                     200);
    assert_non_null(strstr(body(), "\"phase\":\"starting\""));
    assert_non_null(strstr(body(), "\"database\":null"));
    assert_int_equal(ask("GET /console/api/history HTTP/1.1\r\nHost: localhost\r\n"
                         "X-Omen-Console: 1\r\n\r\n"),
                     503);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        (void)snprintf(request, sizeof request,
                       "%s HTTP/1.1\r\nHost: localhost\r\nX-Omen-Console: 1\r\n"
                       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                       calls[i], calls[i][0] == 'P' ? 2 : 0, calls[i][0] == 'P' ? "{}" : "");
        assert_int_equal(ask(request), 503);
        assert_non_null(strstr(body(), "\"reason\":\"STARTING\""));
    }
    om_console_attach(console, NULL); /* nothing to wait for */
}

static void test_let_in(void **state)
{
    static const struct {
        const char *headers;
        int code;
    } cases[] = {
        {"Host: localhost:7701\r\nX-Omen-Console: 1\r\n", 200},
        {"Host: 127.0.0.1\r\nX-Omen-Console: 1\r\nOrigin: http://127.0.0.1\r\n", 200},
        {"Host: localhost\r\n", 403},
        {"Host: localhost\r\nX-Omen-Console: 0\r\n", 403},
        {"Host: evil.example\r\nX-Omen-Console: 1\r\n", 403},
        {"Host: localhost.\r\nX-Omen-Console: 1\r\n", 403},
        {"Host: 127.0.0.1.nip.io\r\nX-Omen-Console: 1\r\n", 403},
        {"Host: localhost\r\nHost: localhost\r\nX-Omen-Console: 1\r\n", 400},
        {"Host: localhost\r\nX-Omen-Console: 1\r\nOrigin: http://evil.example\r\n", 403},
        {"Host: localhost\r\nX-Omen-Console: 1\r\nOrigin: http://localhost:1\r\n", 403},
        {"Host: localhost\r\nX-Omen-Console: 1\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"Host: localhost\r\nX-Omen-Console: 1\r\nX-Forwarded-For: 1.2.3.4\r\n", 403},
    };
    char request[512];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(request, sizeof request, "GET /console/api/state HTTP/1.1\r\n%s\r\n",
                       cases[i].headers);
        int code = ask(request);
        if (code != cases[i].code) {
            fail_msg("%d for %s", code, cases[i].headers);
        }
    }
}

static int start(void **state)
{
    char error[512];
    om_metrics_options metrics_options = {.top_collections = 4};
    om_access_options access_options = {0};
    (void)state;
    metrics = om_metrics_create(&metrics_options);
    access_nobody = om_access_create(&access_options, error, sizeof error);
    om_console_options options = {OM_CONSOLE_LOCAL, access_nobody, &health, NULL};
    console = access_nobody != NULL ? om_console_create(&options) : NULL;
    if (console == NULL) {
        return -1;
    }
    om_admin_options admin_options = {
        .listen = "127.0.0.1:0", .metrics = metrics, .health = &health, .route_ctx = console};
    admin_options.routes = om_console_routes(&admin_options.route_count);
    admin = om_admin_start(&admin_options, error, sizeof error);
    return admin != NULL ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    om_admin_stop(admin);
    om_console_free(console);
    om_console_free(NULL);
    om_access_free(access_nobody);
    om_metrics_free(metrics);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_starting),
        cmocka_unit_test(test_let_in),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
