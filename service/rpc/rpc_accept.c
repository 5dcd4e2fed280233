/* rpc_accept.c - accept4 for the transport, with limits. SPDX-License-Identifier: Apache-2.0 */
#include "rpc_accept.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "peer_counts.h"

enum { COUNT_AGAIN_MS = 50, COUNT_TICKS = 5, FEW = 1024, NEAR_TIMES = 10 };

typedef struct listener {
    int fd;
    uint64_t cookie;
} listener;

/* One accepted connection, at the place of its descriptor. */
typedef struct connection {
    uint64_t cookie; /* 0: none */
    uint64_t received;
    uint32_t address; /* hash; 0: not TCP */
    uint16_t port;
} connection;

static struct guard {
    pthread_mutex_t mutex;
    om_accept_options opt; /* guarded by mutex, as all below */
    bool active, closing;  /* closing: nobody else is let in */
    listener listeners[OM_ACCEPT_MAX_LISTENERS];
    uint32_t listener_count;
    connection *table;  /* by descriptor */
    uint32_t room, top; /* of the table; above the highest descriptor in use */
    uint32_t open, limit;
    uint32_t ticks;
    uint64_t counted_ns;
    om_peer_counts addresses, resets;
    int spare;  /* a descriptor to give up when there is no other; -1: lost */
    bool stuck; /* connections wait at a listener, and nobody was told */
    _Atomic uint32_t
        listening; /* listener_count, for those who only want to know whether there are any */
} guard = {.mutex = PTHREAD_MUTEX_INITIALIZER, .spare = -1};

/* The name by which the dynamic linker finds it. */
int om_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) __asm__("accept4")
    __attribute__((visibility("default"), used));

static int system_accept(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return (int)syscall(SYS_accept4, fd, address, size, flags);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Unique among all sockets since the machine started; 0: this is no socket. */
static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

static uint32_t hash_bytes(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ bytes[i]) * 16777619u;
    }
    h ^= h >> 15;
    return h != 0 ? h : 1;
}

/* A mapped address is the same peer as the plain one. */
static uint32_t address_of(const struct sockaddr_storage *from, uint16_t *port)
{
    *port = 0;
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        *port = ntohs(v4->sin_port);
        return hash_bytes(&v4->sin_addr, 4);
    }
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        *port = ntohs(v6->sin6_port);
        return IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)
                   ? hash_bytes((const uint8_t *)&v6->sin6_addr + 12, 4)
                   : hash_bytes(&v6->sin6_addr, 16);
    }
    return 0;
}

/* ---- Counting --------------------------------------------------------------------------------------- */

static uint64_t received_by(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    memset(&info, 0, sizeof info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

/* Forgets connections that are closed; the mutex is held. */
static void count_open(struct guard *g, uint64_t now)
{
    uint32_t open = 0;
    uint32_t top = 0;
    om_peer_counts_clear(&g->addresses);
    for (uint32_t fd = 0; fd < g->top; fd++) {
        connection *c = &g->table[fd];
        if (c->cookie == 0) {
            continue;
        }
        if (cookie_of((int)fd) != c->cookie) {
            c->cookie = 0;
            continue;
        }
        open++;
        top = fd + 1;
        c->received = c->address != 0 ? received_by((int)fd) : 0;
        if (c->address != 0) {
            om_peer_counts_add(&g->addresses, c->address);
        }
    }
    g->open = open;
    g->top = top;
    g->counted_ns = now;
}

static bool over_limit(const struct guard *g, uint32_t address, uint32_t *why)
{
    if (g->open >= g->limit) {
        *why = OM_REFUSED_LIMIT;
        return true;
    }
    *why = OM_REFUSED_ADDRESS;
    return g->opt.max_per_address != 0 && address != 0 &&
           om_peer_counts_get(&g->addresses, address) >= g->opt.max_per_address;
}

static void tell_refused(const struct guard *g, uint32_t why)
{
    static const char *const texts[] = {"there are as many connections as allowed",
                                        "an address has as many connections as allowed",
                                        "no file descriptor is left for a connection"};
    om_metrics_refused(g->opt.metrics, why);
    om_slog(g->opt.log, OMEN_LOG_WARN, "refused", texts[why], OM_SLOG_U64("connections", g->open),
            OM_SLOG_U64("limit", why == OM_REFUSED_ADDRESS ? g->opt.max_per_address : g->limit));
}

/* Takes the new connection into the table; false: it is too many. */
static bool admit(struct guard *g, int fd, const struct sockaddr_storage *from)
{
    uint16_t port = 0;
    uint32_t why = OM_REFUSED_LIMIT;
    uint32_t address = address_of(from, &port);
    pthread_mutex_lock(&g->mutex);
    bool full = !g->closing && over_limit(g, address, &why);
    uint64_t now = full ? now_ns() : 0;
    if (full && now - g->counted_ns >= COUNT_AGAIN_MS * UINT64_C(1000000)) {
        count_open(g, now);
        full = over_limit(g, address, &why);
    }
    bool known = g->active && fd >= 0 && (uint32_t)fd < g->room;
    if (g->closing) {
        full = true;
    } else if (known && !full) {
        g->table[fd] = (connection){.cookie = cookie_of(fd), .address = address, .port = port};
        g->top = (uint32_t)fd >= g->top ? (uint32_t)fd + 1 : g->top;
        g->open++;
        if (address != 0) {
            om_peer_counts_add(&g->addresses, address);
        }
    } else if (g->active) {
        full = true;
        tell_refused(g, why);
    }
    pthread_mutex_unlock(&g->mutex);
    return !full;
}

/* ---- Accepting -------------------------------------------------------------------------------------- */

static bool is_guarded(struct guard *g, int fd)
{
    bool found = false;
    pthread_mutex_lock(&g->mutex);
    for (uint32_t i = 0; i < g->listener_count && !found; i++) {
        found = g->listeners[i].fd == fd && g->listeners[i].cookie == cookie_of(fd);
    }
    pthread_mutex_unlock(&g->mutex);
    return found;
}

/* No descriptor is left. The connection at the head is taken with the spare one and closed, so that
 * its client knows, and the ones behind it get their turn. False: nobody waits, or the spare one is lost. */
static bool turn_away(struct guard *g, int fd)
{
    int client = -1;
    pthread_mutex_lock(&g->mutex);
    bool lost = g->spare < 0;
    if (g->spare >= 0) {
        close(g->spare);
        client = system_accept(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        lost = client < 0 && errno != EAGAIN; /* another thread was faster */
        if (client >= 0) {
            close(client);
        }
        g->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    g->stuck = g->stuck || lost;
    if (client >= 0 || lost) {
        om_metrics_accept_failure(g->opt.metrics);
        tell_refused(g, OM_REFUSED_DESCRIPTORS);
    }
    pthread_mutex_unlock(&g->mutex);
    return client >= 0;
}

/* Errors that belong to the one connection that was to be accepted: see accept(2). */
static bool is_of_connection(int error)
{
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

static void give_address(const struct sockaddr_storage *from, socklen_t from_size,
                         struct sockaddr *address, socklen_t *size)
{
    if (address != NULL && size != NULL) {
        memcpy(address, from, from_size < *size ? from_size : *size);
        *size = from_size;
    }
}

int om_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (atomic_load_explicit(&guard.listening, memory_order_acquire) == 0 ||
        !is_guarded(&guard, fd)) {
        return system_accept(fd, address, size, flags);
    }
    for (;;) {
        struct sockaddr_storage from = {0};
        socklen_t from_size = sizeof from;
        int client = system_accept(fd, (struct sockaddr *)&from, &from_size, flags);
        if (client >= 0) {
            if (admit(&guard, client, &from)) {
                give_address(&from, from_size, address, size);
                return client;
            }
            close(client);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!turn_away(&guard, fd)) {
                errno = EAGAIN;
                return -1;
            }
        } else if (!is_of_connection(errno)) {
            return -1;
        }
    }
}

/* ---- Guarding --------------------------------------------------------------------------------------- */

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t size = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on != 0;
}

static bool is_ours(const om_accept_options *o, int fd)
{
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    uint16_t port = 0;
    if (!is_listening(fd) || getsockname(fd, (struct sockaddr *)&own, &size) != 0) {
        return false;
    }
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&own;
    bool tcp = address_of(&own, &port) != 0;
    for (size_t i = 0; i < o->listen_count; i++) {
        bool path = strncmp(o->listen[i], "unix:", 5) == 0;
        if (path ? own.ss_family == AF_UNIX && strcmp(o->listen[i] + 5, un->sun_path) == 0
                 : tcp && o->ports[i] == port) {
            return true;
        }
    }
    return false;
}

/* The transport does not tell its descriptors, so they are looked for. */
static void find_listeners(struct guard *g)
{
    DIR *dir = opendir("/proc/self/fd");
    g->listener_count = 0;
    for (struct dirent *e = NULL; dir != NULL && (e = readdir(dir)) != NULL;) {
        char *end = NULL;
        long fd = strtol(e->d_name, &end, 10);
        if (end != e->d_name && *end == '\0' && is_ours(&g->opt, (int)fd) &&
            g->listener_count < OM_ACCEPT_MAX_LISTENERS) {
            g->listeners[g->listener_count++] = (listener){(int)fd, cookie_of((int)fd)};
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* Some descriptors stay for segments, logs and the admin server: an eighth, but 256 at least. */
static uint32_t limit_of(const om_accept_options *o, uint32_t descriptors)
{
    uint32_t reserve = descriptors / 8 > OM_ACCEPT_RESERVE ? descriptors / 8 : OM_ACCEPT_RESERVE;
    uint32_t most = descriptors > 2 * reserve ? descriptors - reserve : descriptors / 2;
    return o->max_connections != 0 && o->max_connections < most ? o->max_connections : most;
}

/* The mutex is held. */
static void end(struct guard *g)
{
    atomic_store_explicit(&g->listening, 0, memory_order_release);
    free(g->table);
    if (g->spare >= 0) {
        close(g->spare);
    }
    g->opt = (om_accept_options){0};
    g->table = NULL;
    g->active = g->closing = g->stuck = false;
    g->listener_count = g->room = g->top = g->open = g->ticks = 0;
    g->spare = -1;
}

bool om_accept_guard(const om_accept_options *options)
{
    struct rlimit files = {0};
    struct guard *g = &guard;
    pthread_mutex_lock(&g->mutex);
    end(g);
    uint32_t room = OM_ACCEPT_MAX_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < room) {
        room = (uint32_t)files.rlim_cur;
    }
    g->table = calloc(room, sizeof *g->table);
    if (g->table != NULL) {
        g->opt = *options;
        g->room = room;
        g->limit = limit_of(options, room);
        g->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        om_peer_counts_clear(&g->addresses);
        om_peer_counts_clear(&g->resets);
        find_listeners(g);
        g->active = true;
        atomic_store_explicit(&g->listening, g->listener_count, memory_order_release);
    }
    bool done = g->active;
    pthread_mutex_unlock(&g->mutex);
    return done;
}

void om_accept_leave(const void *owner)
{
    pthread_mutex_lock(&guard.mutex);
    if (guard.opt.owner == owner) {
        end(&guard);
    }
    pthread_mutex_unlock(&guard.mutex);
}

/* The transport looks at a listener when something new arrives there. What waits since it had to turn
 * its back is not new, so something is made to arrive: a connection of our own, closed at once. */
static void poke(int fd)
{
    struct sockaddr_storage to = {0};
    socklen_t size = sizeof to;
    int waiting = system_accept(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (waiting >= 0) {
        close(waiting); /* a full backlog would not let ours in */
    }
    if (getsockname(fd, (struct sockaddr *)&to, &size) != 0) {
        return;
    }
    int own = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (own >= 0) {
        (void)connect(own, (const struct sockaddr *)&to, size);
        close(own);
    }
}

void om_accept_tick(void)
{
    struct guard *g = &guard;
    int wake[OM_ACCEPT_MAX_LISTENERS];
    uint32_t woken = 0;
    pthread_mutex_lock(&g->mutex);
    g->ticks++;
    if (g->active && (g->top < FEW || g->open > g->limit / 2 || g->ticks % COUNT_TICKS == 0)) {
        count_open(g, now_ns());
    }
    if (g->active && g->spare < 0) {
        g->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (g->stuck && g->spare >= 0) {
        g->stuck = false;
        for (uint32_t i = 0; i < g->listener_count; i++) {
            wake[woken++] = g->listeners[i].fd;
        }
    }
    om_metrics_connections(g->opt.metrics, g->open);
    pthread_mutex_unlock(&g->mutex);
    /* Without the mutex: the transport accepts it on another thread. */
    for (uint32_t i = 0; i < woken; i++) {
        poke(wake[i]);
    }
}

uint32_t om_accept_connections(void)
{
    pthread_mutex_lock(&guard.mutex);
    uint32_t open = guard.open;
    pthread_mutex_unlock(&guard.mutex);
    return open;
}

uint32_t om_accept_limit(void)
{
    pthread_mutex_lock(&guard.mutex);
    uint32_t limit = guard.limit;
    pthread_mutex_unlock(&guard.mutex);
    return limit;
}

/* ---- Cutting ---------------------------------------------------------------------------------------- */

/* Ends a connection whose descriptor the transport owns: its peer gets a reset, the transport an
 * error. Only shutting it down would leave what has arrived to be read, and a peer that goes on
 * sending. The mutex is held. */
static bool cut(struct guard *g, uint32_t fd, uint32_t why, const char *text)
{
    const connection *c = &g->table[fd];
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    if (c->cookie == 0 || cookie_of((int)fd) != c->cookie || shutdown((int)fd, SHUT_RDWR) != 0) {
        return false;
    }
    (void)connect((int)fd, &nobody, sizeof nobody);
    om_metrics_cut(g->opt.metrics, why);
    om_slog(g->opt.log, OMEN_LOG_WARN, "cut", text, OM_SLOG_U64("port", c->port));
    return true;
}

bool om_accept_close(const void *owner)
{
    struct guard *g = &guard;
    pthread_mutex_lock(&g->mutex);
    bool ours = g->active && g->opt.owner == owner;
    g->closing = g->closing || ours;
    for (uint32_t fd = 0; ours && fd < g->top; fd++) {
        if (g->table[fd].cookie != 0 && cookie_of((int)fd) == g->table[fd].cookie) {
            (void)shutdown((int)fd, SHUT_RDWR); /* one that is closed already is no failure */
        }
    }
    pthread_mutex_unlock(&g->mutex);
    return ours;
}

/* "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711". False: it is no TCP peer. */
static bool parse_peer(const char *peer, uint32_t *address, uint16_t *port)
{
    char host[INET6_ADDRSTRLEN + 8];
    struct sockaddr_storage from = {0};
    const char *colon = strrchr(peer, ':');
    bool v6 = strncmp(peer, "ipv6:", 5) == 0;
    const char *start = peer + 5;
    if ((!v6 && strncmp(peer, "ipv4:", 5) != 0) || colon == NULL || colon <= start) {
        return false;
    }
    const char *end = colon;
    if (v6) {
        start += strncmp(start, "%5B", 3) == 0 ? 3 : *start == '[' ? 1 : 0;
        const char *bracket = strstr(start, "%5D");
        bracket = bracket != NULL ? bracket : strchr(start, ']');
        end = bracket != NULL ? bracket : colon;
    }
    size_t size = (size_t)(end - start);
    if (end < start || size >= sizeof host) {
        return false;
    }
    memcpy(host, start, size);
    host[size] = '\0';
    from.ss_family = v6 ? AF_INET6 : AF_INET;
    void *into = v6 ? (void *)&((struct sockaddr_in6 *)(void *)&from)->sin6_addr
                    : (void *)&((struct sockaddr_in *)(void *)&from)->sin_addr;
    if (inet_pton(from.ss_family, host, into) != 1) {
        return false;
    }
    uint16_t none = 0;
    *address = address_of(&from, &none);
    *port = (uint16_t)strtoul(colon + 1, NULL, 10);
    return true;
}

static bool cut_peer(struct guard *g, uint32_t address, uint16_t port, uint32_t why,
                     const char *text)
{
    for (uint32_t fd = 0; fd < g->top; fd++) {
        const connection *c = &g->table[fd];
        if (c->cookie != 0 && c->port == port && c->address == address) {
            return cut(g, fd, why, text);
        }
    }
    return false;
}

bool om_accept_cut_peer(const char *peer, uint32_t why, const char *text)
{
    struct guard *g = &guard;
    uint32_t address = 0;
    uint16_t port = 0;
    if (!parse_peer(peer, &address, &port)) {
        return false;
    }
    pthread_mutex_lock(&g->mutex);
    bool ended = g->active && cut_peer(g, address, port, why, text);
    pthread_mutex_unlock(&g->mutex);
    return ended;
}

bool om_accept_note_reset(const char *peer, bool near, uint64_t now)
{
    struct guard *g = &guard;
    uint32_t address = 0;
    uint16_t port = 0;
    bool ended = false;
    if (!parse_peer(peer, &address, &port)) {
        return false;
    }
    pthread_mutex_lock(&g->mutex);
    if (g->active && g->opt.max_resets != 0) {
        uint32_t key = address ^ (uint32_t)port * 2654435761u;
        uint64_t count = om_peer_counts_add_in_second(&g->resets, key, near ? 1 : NEAR_TIMES, now);
        ended = count > (uint64_t)NEAR_TIMES * g->opt.max_resets &&
                cut_peer(g, address, port, OM_CUT_RESETS,
                         "a connection cancelled more calls a second than allowed");
    }
    pthread_mutex_unlock(&g->mutex);
    return ended;
}

bool om_accept_cut_largest(uint64_t least, uint32_t why)
{
    struct guard *g = &guard;
    uint32_t worst = UINT32_MAX;
    uint64_t most = 0;
    pthread_mutex_lock(&g->mutex);
    for (uint32_t fd = 0; fd < g->top; fd++) {
        connection *c = &g->table[fd];
        if (c->cookie == 0 || c->address == 0 || cookie_of((int)fd) != c->cookie) {
            continue;
        }
        uint64_t received = received_by((int)fd);
        uint64_t fresh = received > c->received ? received - c->received : 0;
        worst = fresh > most ? fd : worst;
        most = fresh > most ? fresh : most;
    }
    bool done = worst != UINT32_MAX && most >= least &&
                cut(g, worst, why,
                    why == OM_CUT_MEMORY
                        ? "the transport holds more memory than allowed: who sent most is cut"
                        : "the transport works and brings nothing: who sent most is cut");
    pthread_mutex_unlock(&g->mutex);
    return done;
}
