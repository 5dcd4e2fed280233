/* service_accept_test.c - the guard of listening sockets: limits, a lack of descriptors, cuts. The
 * transport is played by this file, which calls accept4 as the transport does.
 * SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#include "rpc_accept.h"

enum { PATIENCE_MS = 20000, MOST = 64 };

typedef struct fixture {
    int listener;
    uint16_t port;
    char address[32];
    const char *listen[1];
    om_metrics *metrics;
} fixture;

static int open_listener(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, MOST), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void begin(fixture *f, om_accept_options o)
{
    om_metrics_options metrics = {0};
    f->listener = open_listener(&f->port);
    snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
    f->listen[0] = f->address;
    f->metrics = om_metrics_create(&metrics);
    o.owner = f;
    o.listen = f->listen;
    o.ports = &f->port;
    o.listen_count = 1;
    o.metrics = f->metrics;
    assert_true(om_accept_guard(&o));
}

static void end(fixture *f)
{
    om_accept_leave(f);
    close(f->listener);
    om_metrics_free(f->metrics);
}

/* A client's socket; the connection waits at the listener. */
static int client(const fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(f->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int take(const fixture *f)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    struct pollfd wait = {.fd = f->listener, .events = POLLIN};
    (void)poll(&wait, 1, 0);
    return accept4(f->listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Whether the other side has ended the connection. */
static bool is_closed(int fd)
{
    char byte = 0;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    ssize_t n = recv(fd, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static double metric(const fixture *f, const char *series)
{
    size_t length = 0;
    char *page = om_metrics_render(f->metrics, &length);
    assert_non_null(page);
    char line[128];
    snprintf(line, sizeof line, "\nomendb_grpc_server_%s ", series);
    const char *at = strstr(page, line);
    assert_non_null(at);
    double value = strtod(at + strlen(line), NULL);
    free(page);
    return value;
}

static void test_limit(void **state)
{
    (void)state;
    fixture f;
    int clients[4];
    int taken[3];
    begin(&f, (om_accept_options){.max_connections = 3});
    assert_int_equal(om_accept_limit(), 3);
    for (int i = 0; i < 4; i++) {
        clients[i] = client(&f);
    }
    for (int i = 0; i < 3; i++) {
        taken[i] = take(&f);
        assert_true(taken[i] >= 0);
    }
    assert_int_equal(om_accept_connections(), 3);
    assert_int_equal(take(&f), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(is_closed(clients[3]));
    assert_true(metric(&f, "connections_refused_total{why=\"limit\"}") == 1);
    /* A connection that was closed makes room, which is seen when there is a need. */
    close(taken[1]);
    do {
        close(clients[3]);
        clients[3] = client(&f);
        taken[1] = take(&f);
    } while (taken[1] < 0);
    assert_int_equal(om_accept_connections(), 3);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
    for (int i = 0; i < 3; i++) {
        close(taken[i]);
    }
    om_accept_tick();
    assert_int_equal(om_accept_connections(), 0);
    assert_true(metric(&f, "connections") == 0);
    end(&f);
}

static void test_limit_of_an_address(void **state)
{
    (void)state;
    fixture f;
    begin(&f, (om_accept_options){.max_per_address = 2});
    int clients[3];
    int taken[2];
    for (int i = 0; i < 3; i++) {
        clients[i] = client(&f);
    }
    for (int i = 0; i < 2; i++) {
        taken[i] = take(&f);
        assert_true(taken[i] >= 0);
    }
    assert_int_equal(take(&f), -1);
    assert_true(is_closed(clients[2]));
    assert_true(metric(&f, "connections_refused_total{why=\"address\"}") == 1);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
    close(taken[0]);
    close(taken[1]);
    end(&f);
}

/* Without a descriptor the transport would close its listener for good. Here the client is turned
 * away, the listener stays, and serves again when there are descriptors. */
static void test_no_descriptor_left(void **state)
{
    (void)state;
    fixture f;
    struct rlimit was;
    int fill[4096];
    int filled = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    begin(&f, (om_accept_options){0});
    int first = client(&f);
    int second = client(&f);
    struct rlimit few = {256, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (filled < 4096 && (fill[filled] = open("/dev/null", O_RDONLY)) >= 0) {
        filled++;
    }
    assert_true(filled > 0 && filled < 4096);
    assert_int_equal(take(&f), -1);
    assert_int_equal(errno, EAGAIN); /* not EMFILE */
    assert_true(is_closed(first));
    assert_true(is_closed(second));
    while (filled > 0) {
        close(fill[--filled]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_true(metric(&f, "connections_refused_total{why=\"descriptors\"}") == 2);
    assert_true(metric(&f, "accept_failures_total") == 2);
    int third = client(&f);
    int taken = take(&f);
    assert_true(taken >= 0);
    close(first);
    close(second);
    close(third);
    close(taken);
    end(&f);
}

static void test_other_listeners_are_left_alone(void **state)
{
    (void)state;
    fixture f;
    uint16_t port = 0;
    begin(&f, (om_accept_options){.max_connections = 1});
    fixture other = {.listener = open_listener(&port)};
    other.port = port;
    int clients[3];
    int taken[3];
    for (int i = 0; i < 3; i++) {
        clients[i] = client(&other);
        taken[i] = take(&other);
        assert_true(taken[i] >= 0);
    }
    assert_int_equal(om_accept_connections(), 0);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
        close(taken[i]);
    }
    close(other.listener);
    end(&f);
    om_accept_leave(NULL);
}

/* Its name as the transport writes it. */
static void peer_of(int fd, char *out, size_t size)
{
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    snprintf(out, size, "ipv4:127.0.0.1:%u", ntohs(own.sin_port));
}

static void test_resets(void **state)
{
    (void)state;
    fixture f;
    char bad[64];
    char good[64];
    begin(&f, (om_accept_options){.max_resets = 10});
    int clients[2] = {client(&f), client(&f)};
    int taken[2] = {take(&f), take(&f)};
    peer_of(clients[0], bad, sizeof bad);
    peer_of(clients[1], good, sizeof good);
    uint64_t now = UINT64_C(5000000000);
    for (int i = 0; i < 10; i++) {
        assert_false(om_accept_note_reset(bad, false, now));
        assert_false(om_accept_note_reset(good, false, now + UINT64_C(1000000000) * (unsigned)i));
    }
    now += 15 * UINT64_C(1000000000);
    for (int i = 0; i < 10; i++) {
        assert_false(om_accept_note_reset(bad, false, now));
    }
    for (int i = 0; i < 100; i++) { /* near their deadlines ten times as many are fine */
        assert_false(om_accept_note_reset(good, true, now));
    }
    assert_true(om_accept_note_reset(bad, false, now));
    assert_true(is_closed(clients[0]));
    assert_true(metric(&f, "cut_total{why=\"resets\"}") == 1);
    assert_true(om_accept_note_reset(good, true, now));
    assert_true(is_closed(clients[1]));
    /* What is no TCP peer, or gone, is passed over. */
    static const char *const others[] = {
        "unix:",           "", "ipv4:", "ipv4:x:1", "ipv6:%5B::1", "ipv4:1", "ipv6:%5B::1%5D:80",
        "ipv4:127.0.0.1:1"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        for (int k = 0; k < 12; k++) {
            assert_false(om_accept_note_reset(others[i], false, now));
        }
    }
    for (int i = 0; i < 2; i++) {
        close(clients[i]);
        close(taken[i]);
    }
    end(&f);
}

static void send_all(int fd, size_t size)
{
    static char data[65536];
    while (size > 0) {
        ssize_t n = send(fd, data, size < sizeof data ? size : sizeof data, 0);
        assert_true(n > 0);
        size -= (size_t)n;
    }
}

static void receive_all(int fd, size_t size)
{
    static char data[65536];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (size > 0) {
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, data, size < sizeof data ? size : sizeof data, 0);
        assert_true(n > 0);
        size -= (size_t)n;
    }
}

static void test_the_largest_sender_is_cut(void **state)
{
    (void)state;
    fixture f;
    begin(&f, (om_accept_options){0});
    int clients[3];
    int taken[3];
    for (int i = 0; i < 3; i++) {
        clients[i] = client(&f);
        taken[i] = take(&f);
        assert_true(taken[i] >= 0);
    }
    for (int k = 0; k < 16; k++) { /* much, before the look */
        send_all(clients[0], 65536);
        receive_all(taken[0], 65536);
    }
    om_accept_tick();
    send_all(clients[1], 40000);
    send_all(clients[2], 30000);
    receive_all(taken[1], 40000);
    receive_all(taken[2], 30000);
    assert_true(om_accept_cut_largest(20000, OM_CUT_MEMORY));
    assert_true(is_closed(clients[1]));
    om_accept_tick();
    assert_false(om_accept_cut_largest(20000, OM_CUT_MEMORY)); /* nothing new since */
    assert_true(metric(&f, "cut_total{why=\"memory\"}") == 1);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
        close(taken[i]);
    }
    end(&f);
}

/* What was written before still arrives; nobody else is let in, and nobody is counted as refused. */
static void test_close(void **state)
{
    (void)state;
    fixture f;
    char word[8] = "";
    int strangers[2] = {0};
    begin(&f, (om_accept_options){.max_connections = 3});
    int one = client(&f);
    int taken = take(&f);
    assert_true(taken >= 0);
    assert_int_equal(send(taken, "bye", 3, 0), 3);
    assert_false(om_accept_close(strangers));
    assert_true(om_accept_close(&f));
    assert_int_equal(recv(one, word, sizeof word, 0), 3);
    assert_string_equal(word, "bye");
    assert_true(is_closed(one));
    assert_true(is_closed(taken)); /* the transport sees the end too */
    int late = client(&f);
    assert_int_equal(take(&f), -1);
    assert_true(is_closed(late));
    assert_true(metric(&f, "connections_refused_total{why=\"limit\"}") == 0);
    close(one);
    close(late);
    close(taken);
    end(&f);
    begin(&f, (om_accept_options){.max_connections = 3}); /* a next server lets in again */
    one = client(&f);
    taken = take(&f);
    assert_true(taken >= 0);
    close(taken);
    close(one);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_limit_of_an_address),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_other_listeners_are_left_alone),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_the_largest_sender_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
