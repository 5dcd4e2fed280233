/* tool_rpc_client_test.c - the gRPC client where no server is needed: error details, and a server
 * that is not there. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc_client.h"

/* google.rpc.Status{code 3, details [ErrorInfo{reason "DIM_MISMATCH", domain "omendb"},
 * RetryInfo{retry_delay {1 s, 500 ms}}]} */
static const uint8_t DETAILS[] = "\x08\x03"
                                 "\x1a\x44\x0a\x28"
                                 "type.googleapis.com/google.rpc.ErrorInfo"
                                 "\x12\x18\x0a\x0c"
                                 "DIM_MISMATCH"
                                 "\x12\x06"
                                 "omendb00"
                                 "\x1a\x36\x0a\x28"
                                 "type.googleapis.com/google.rpc.RetryInfo"
                                 "\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";

static void details_are_read(void **state)
{
    (void)state;
    om_rpcc_status s = {0};
    om_rpcc_read_details(DETAILS, sizeof DETAILS - 1, &s);
    assert_string_equal(s.reason, "DIM_MISMATCH");
    assert_int_equal(s.retry_ms, 1500);
}

/* Cut and changed in every place: never a read beyond the end (the copy has the exact size). */
static void damaged_details(void **state)
{
    (void)state;
    size_t size = sizeof DETAILS - 1;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, DETAILS, cut);
        uint8_t *exact = realloc(copy, cut > 0 ? cut : 1);
        assert_non_null(exact);
        om_rpcc_status s = {0};
        om_rpcc_read_details(exact, cut, &s);
        assert_true(strlen(s.reason) < sizeof s.reason);
        for (size_t i = 0; i < cut; i++) {
            exact[i] ^= 0xff;
            om_rpcc_read_details(exact, cut, &s);
            exact[i] ^= 0xff;
        }
        free(exact);
    }
}

/* A port that was free a moment ago and that nobody listens on: bound, but not listening. */
static int closed_port(char *address, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(address, size, "127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

static void nobody_listens(void **state)
{
    (void)state;
    char address[32];
    int fd = closed_port(address, sizeof address);
    om_rpcc_options opt = {.address = address};
    om_rpcc_status s;
    om_rpcc *c;
    om_rpcc_buf *reply, *request = om_rpcc_buf_create(0);
    assert_non_null(request);
    assert_true(om_rpcc_open(&opt, &c, &s));
    assert_false(om_rpcc_call(c, "/omen.v1.Items/Count", request, 60000, &reply, &s));
    assert_int_equal(s.code, 14);
    void *user;
    assert_false(om_rpcc_next(c, &user, &reply, &s)); /* nothing is under way */
    om_rpcc_stream *stream;
    om_rpcc_buf *message;
    assert_true(om_rpcc_stream_open(c, "/omen.v1.Items/StreamWrite", &stream, &s));
    om_rpcc_event event;
    do {
        event = om_rpcc_stream_poll(stream, 1000, &message, &s);
        assert_null(message);
    } while (event != OM_RPCC_ENDED);
    assert_int_equal(s.code, 14);
    assert_false(om_rpcc_stream_can_send(stream));
    om_rpcc_stream_free(stream);
    om_rpcc_close(c);
    om_rpcc_buf_unref(request);
    (void)close(fd);
}

/* Closing a client cancels what is under way; nothing leaks and nothing waits for a deadline. */
static void closing_with_calls_under_way(void **state)
{
    (void)state;
    char address[32];
    int fd = closed_port(address, sizeof address);
    om_rpcc_options opt = {.address = address};
    om_rpcc_status s;
    om_rpcc *c;
    om_rpcc_buf *request = om_rpcc_buf_create(10);
    assert_non_null(request);
    memset(om_rpcc_buf_data(request), 0, 10);
    assert_true(om_rpcc_open(&opt, &c, &s));
    for (int i = 0; i < 20; i++) {
        assert_true(om_rpcc_start(c, "/omen.v1.Items/Search", request, 0, NULL));
    }
    om_rpcc_buf_unref(request);
    om_rpcc_close(c);
    (void)close(fd);
}

static void wrong_options(void **state)
{
    (void)state;
    om_rpcc_options opt = {.address = "127.0.0.1:1", .tls_ca = "x", .tls_cert = "x"};
    om_rpcc_status s;
    om_rpcc *c;
    assert_false(om_rpcc_open(&opt, &c, &s));
    assert_int_equal(s.code, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(details_are_read), cmocka_unit_test(damaged_details),
        cmocka_unit_test(nobody_listens),   cmocka_unit_test(closing_with_calls_under_way),
        cmocka_unit_test(wrong_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
