/* notify.c - the sd_notify protocol by hand: it is one datagram, not worth a library.
 * SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The address of "/path" or "@abstract"; 0: not an address. */
static socklen_t fill_address(const char *socket_name, struct sockaddr_un *out)
{
    size_t length = strlen(socket_name);
    memset(out, 0, sizeof *out);
    if ((socket_name[0] != '/' && socket_name[0] != '@') || length < 2 ||
        length >= sizeof out->sun_path) {
        return 0;
    }
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, socket_name, length);
    bool abstract = socket_name[0] == '@';
    if (abstract) {
        out->sun_path[0] = '\0';
    }
    /* An abstract name ends where its length says, a path with its NUL. */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (abstract ? 0 : 1));
}

void om_notify_open(om_notify *n, const char *socket_name, const char *watchdog_usec,
                    const char *watchdog_pid)
{
    struct sockaddr_un address;
    n->fd = -1;
    n->watchdog_us = 0;
    socklen_t length = socket_name != NULL ? fill_address(socket_name, &address) : 0;
    if (length == 0) {
        return;
    }
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd >= 0 && connect(n->fd, (const struct sockaddr *)&address, length) != 0) {
        om_notify_close(n);
    }
    bool ours = watchdog_pid == NULL || strtol(watchdog_pid, NULL, 10) == (long)getpid();
    if (n->fd >= 0 && ours && watchdog_usec != NULL) {
        n->watchdog_us = strtoull(watchdog_usec, NULL, 10);
    }
}

void om_notify_close(om_notify *n)
{
    if (n->fd >= 0) {
        (void)close(n->fd);
    }
    n->fd = -1;
    n->watchdog_us = 0;
}

bool om_notify_send(const om_notify *n, const char *state)
{
    size_t length = strlen(state);
    return n->fd >= 0 && send(n->fd, state, length, MSG_NOSIGNAL) == (ssize_t)length;
}
