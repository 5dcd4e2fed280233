/* ops_notify_test.c - the supervisor protocol against a socket of our own.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "notify.h"

static int listen_at(const char *name)
{
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name, strlen(name));
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    return fd;
}

static void assert_told(const om_notify *n, int fd, const char *state)
{
    char text[64] = "";
    assert_true(om_notify_send(n, state));
    ssize_t got =
        recv(fd, text, sizeof text - 1, MSG_DONTWAIT); /* sent is received: same machine */
    assert_int_equal(got, strlen(state));
    assert_string_equal(text, state);
}

static void test_path(void **state)
{
    char folder[64] =
        P_tmpdir "/ops-notify-XXXXXX"; /* the address has room for a short path only */
    char path[80];
    om_notify n;
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/s", folder);
    int fd = listen_at(path);
    om_notify_open(&n, path, NULL, NULL);
    assert_told(&n, fd, "READY=1");
    assert_told(&n, fd, "STOPPING=1\nSTATUS=draining");
    assert_int_equal(n.watchdog_us, 0);
    /* The supervisor goes away: sending fails and nothing else happens. */
    (void)close(fd);
    assert_false(om_notify_send(&n, "WATCHDOG=1"));
    om_notify_close(&n);
    om_notify_close(&n);
    assert_false(om_notify_send(&n, "READY=1"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_abstract_and_watchdog(void **state)
{
    char name[64];
    char variable[80];
    char pid[32];
    om_notify n;
    (void)state;
    (void)snprintf(name, sizeof name, "ops-notify-test-%ld", (long)getpid());
    (void)snprintf(variable, sizeof variable, "@%s", name);
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    /* An abstract name has no NUL behind it. */
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path + 1, name, strlen(name));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
                     0);
    om_notify_open(&n, variable, "30000000", pid);
    assert_told(&n, fd, "READY=1");
    assert_int_equal(n.watchdog_us, 30000000);
    om_notify_close(&n);
    om_notify_open(&n, variable, "30000000", "1"); /* meant for another process */
    assert_int_equal(n.watchdog_us, 0);
    assert_told(&n, fd, "READY=1");
    om_notify_close(&n);
    om_notify_open(&n, variable, "30000000", NULL);
    assert_int_equal(n.watchdog_us, 30000000);
    om_notify_close(&n);
    (void)close(fd);
}

static void test_nobody(void **state)
{
    char long_name[200];
    om_notify n;
    (void)state;
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[0] = '/';
    long_name[sizeof long_name - 1] = '\0';
    const char *const names[] = {NULL, "", "/", "relative", "/no/such/socket", long_name};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        om_notify_open(&n, names[i], "1000000", NULL);
        assert_int_equal(n.fd, -1);
        assert_int_equal(n.watchdog_us, 0);
        assert_false(om_notify_send(&n, "READY=1"));
        om_notify_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_abstract_and_watchdog),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
