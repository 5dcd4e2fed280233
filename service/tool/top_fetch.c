/* top_fetch.c - GET /metrics: one request over plain HTTP, bounded in time and size.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "top.h"

typedef struct fetch {
    const char *address;
    double until; /* seconds, monotonic */
    int fd;
    char *data;
    size_t size, room;
} fetch;

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool fail(const fetch *f, om_tool_error *err, const char *what)
{
    return om_tool_fail(err, OM_EXIT_UNAVAILABLE, "%s: %s", f->address, what);
}

/* Waits until the socket is ready; false: the time is over, or the user wants to stop. */
static bool ready(const fetch *f, short events, om_tool_error *err)
{
    for (;;) {
        double left = f->until - now();
        if (om_tool_interrupted()) {
            return om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted");
        }
        if (left <= 0) {
            return fail(f, err, "no answer in time");
        }
        struct pollfd p = {.fd = f->fd, .events = events};
        int n = poll(&p, 1, left > 0.2 ? 200 : (int)(left * 1000) + 1);
        if (n > 0) {
            return true;
        }
        if (n < 0 && errno != EINTR) {
            return fail(f, err, strerror(errno));
        }
    }
}

static bool dial_one(fetch *f, const struct addrinfo *a, om_tool_error *err)
{
    int error = 0;
    socklen_t size = sizeof error;
    f->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (f->fd < 0) {
        return fail(f, err, strerror(errno));
    }
    if (connect(f->fd, a->ai_addr, a->ai_addrlen) == 0) {
        return true;
    }
    if (errno != EINPROGRESS) {
        return fail(f, err, strerror(errno));
    }
    if (!ready(f, POLLOUT, err)) {
        return false;
    }
    (void)getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 || fail(f, err, strerror(error));
}

/* HOST:PORT, [V6]:PORT or :PORT. */
static bool split_address(const fetch *f, char *host, size_t size, const char **port,
                          om_tool_error *err)
{
    const char *colon = strrchr(f->address, ':');
    size_t n = colon != NULL ? (size_t)(colon - f->address) : 0;
    const char *from = f->address;
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    if (colon == NULL || colon[1] == '\0' || n >= size) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--admin: '%s' is not HOST:PORT", f->address);
    }
    (void)snprintf(host, size, "%.*s", (int)n, n > 0 ? from : "localhost");
    if (n == 0) {
        (void)snprintf(host, size, "localhost");
    }
    *port = colon + 1;
    return true;
}

static bool dial(fetch *f, om_tool_error *err)
{
    char host[256];
    const char *port = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    if (!split_address(f, host, sizeof host, &port, err)) {
        return false;
    }
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        return fail(f, err, gai_strerror(rc));
    }
    bool ok = false;
    for (const struct addrinfo *a = found; a != NULL && !ok; a = a->ai_next) {
        ok = dial_one(f, a, err);
        if (!ok && f->fd >= 0) {
            (void)close(f->fd);
            f->fd = -1;
        }
    }
    freeaddrinfo(found);
    return ok;
}

static bool ask(fetch *f, om_tool_error *err)
{
    char request[512];
    int n =
        snprintf(request, sizeof request,
                 "GET /metrics HTTP/1.0\r\nHost: %s\r\nUser-Agent: omen-top\r\n\r\n", f->address);
    if (n < 0 || (size_t)n >= sizeof request) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--admin: the address is too long");
    }
    for (size_t sent = 0; sent < (size_t)n;) {
        ssize_t w = ready(f, POLLOUT, err)
                        ? send(f->fd, request + sent, (size_t)n - sent, MSG_NOSIGNAL)
                        : -2;
        if (w == -2) {
            return false;
        }
        if (w < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(f, err, strerror(errno));
        }
        sent += w > 0 ? (size_t)w : 0;
    }
    return true;
}

static bool receive(fetch *f, om_tool_error *err)
{
    for (;;) {
        if (f->size + 65536 > f->room) {
            size_t more = f->room == 0 ? 1 << 17 : 2 * f->room;
            char *grown = more <= 2 * (size_t)OM_TOP_MAX_PAGE ? realloc(f->data, more) : NULL;
            if (grown == NULL) {
                return fail(f, err, "the page is too long");
            }
            f->data = grown;
            f->room = more;
        }
        if (!ready(f, POLLIN, err)) {
            return false;
        }
        ssize_t n = recv(f->fd, f->data + f->size, f->room - f->size - 1, 0);
        if (n == 0) {
            f->data[f->size] = '\0';
            return true;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(f, err, strerror(errno));
        }
        f->size += n > 0 ? (size_t)n : 0;
    }
}

/* "HTTP/1.x 200 ...", headers, an empty line, and as much as Content-Length says. */
static bool take_body(fetch *f, om_top_page *out, om_tool_error *err)
{
    char *end = f->size > 12 ? memmem(f->data, f->size, "\r\n\r\n", 4) : NULL;
    if (end == NULL || memcmp(f->data, "HTTP/1.", 7) != 0) {
        return fail(f, err, "the answer is not HTTP: is it the admin address (--admin-listen)?");
    }
    if (memcmp(f->data + 8, " 200", 4) != 0) {
        char line[80];
        (void)snprintf(line, sizeof line, "/metrics answers %.*s",
                       (int)strcspn(f->data + 9, "\r\n"), f->data + 9);
        return fail(f, err, line);
    }
    *end = '\0';
    const char *length = strcasestr(f->data, "\r\nContent-Length:");
    size_t head = (size_t)(end + 4 - f->data);
    size_t size = f->size - head;
    if (length != NULL && strtoull(length + 17, NULL, 10) != size) {
        return fail(f, err, "the answer ended early");
    }
    memmove(f->data, f->data + head, size + 1);
    char *text = f->data;
    f->data = NULL;
    return om_top_parse(text, size, out, err);
}

bool om_top_fetch(const char *address, uint64_t timeout_ms, om_top_page *out, om_tool_error *err)
{
    fetch f = {.address = address, .until = now() + (double)timeout_ms / 1000, .fd = -1};
    *out = (om_top_page){.text = NULL};
    bool ok = dial(&f, err) && ask(&f, err) && receive(&f, err) && take_body(&f, out, err);
    if (ok) {
        out->taken = now();
        ok = om_top_find(out, "omendb_build_info") != NULL;
        if (!ok) {
            om_top_page_free(out);
            (void)fail(&f, err, "these are not the metrics of an omend");
        }
    }
    if (f.fd >= 0) {
        (void)close(f.fd);
    }
    free(f.data);
    return ok;
}
