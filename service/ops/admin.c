/* admin.c - the admin HTTP server on libmicrohttpd: one thread, four pages of its own with nothing to write
 * to, and the routes of others (admin_route.c). Every answer closes its connection, so that none has a reason
 * to be old. SPDX-License-Identifier: Apache-2.0 */
#include "admin_int.h"

#include "config.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C(1000000000)

typedef struct client {
    int fd; /* -1: free */
    uint64_t since_ns;
} client;

struct om_admin {
    struct MHD_Daemon *daemon;
    om_metrics *metrics;
    om_health *health;
    om_slog *log;
    uint64_t (*now_ns)(void);
    uint16_t port;
    om_admin_requests requests;
    pthread_mutex_t mutex; /* guards clients: a descriptor in it is open */
    client clients[OM_ADMIN_MAX_CONNECTIONS];
};

static uint64_t monotonic_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- Answers ----------------------------------------------------------------------------- */

static bool add_headers(struct MHD_Response *response, const om_admin_answer *a)
{
    static const om_admin_header_line always[] = {{"Cache-Control", "no-store"},
                                                  {"X-Content-Type-Options", "nosniff"},
                                                  {"Connection", "close"}};
    const char *type = a->type != NULL ? a->type : "text/plain; charset=utf-8";
    bool ok = MHD_add_response_header(response, "Content-Type", type) == MHD_YES;
    for (size_t i = 0; ok && i < sizeof always / sizeof always[0]; i++) {
        ok = MHD_add_response_header(response, always[i].name, always[i].value) == MHD_YES;
    }
    for (size_t i = 0; ok && i < a->header_count; i++) {
        ok = MHD_add_response_header(response, a->headers[i].name, a->headers[i].value) == MHD_YES;
    }
    return ok;
}

enum MHD_Result om_admin_send(struct MHD_Connection *connection, const om_admin_answer *a)
{
    char *text = a->text != NULL ? a->text : (char *)(uintptr_t)a->kept;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        text != NULL ? a->size : 0, text,
        a->text != NULL ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        free(a->text);
        return MHD_NO; /* closes the connection */
    }
    enum MHD_Result result = MHD_NO;
    if (add_headers(response, a)) {
        result = MHD_queue_response(connection, a->code != 0 ? a->code : 500, response);
    }
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_copy(struct MHD_Connection *connection, unsigned code,
                                   const char *text, size_t length)
{
    om_admin_answer a = {.code = code, .text = malloc(length + 1), .size = length};
    if (a.text == NULL) {
        return MHD_NO;
    }
    memcpy(a.text, text, length);
    return om_admin_send(connection, &a);
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned code,
                                   const char *text)
{
    char copy[128];
    int n = snprintf(copy, sizeof copy, "%s\n", text);
    return answer_copy(connection, code, copy, (size_t)n);
}

static enum MHD_Result answer_metrics(om_admin *admin, struct MHD_Connection *connection)
{
    uint64_t suppressed = 0;
    uint64_t failed = 0;
    size_t length = 0;
    om_slog_counts(admin->log, &suppressed, &failed);
    om_metrics_log_counts(admin->metrics, suppressed, failed);
    char *text = om_metrics_render(admin->metrics, &length);
    if (text == NULL) {
        return answer_text(connection, 500, "no memory for the page");
    }
    om_admin_answer a = {.code = 200,
                         .type = "text/plain; version=0.0.4; charset=utf-8",
                         .text = text,
                         .size = length};
    return om_admin_send(connection, &a);
}

static enum MHD_Result refuse_method(struct MHD_Connection *connection)
{
    static const om_admin_header_line allow = {"Allow", "GET, HEAD"};
    static const char why[] = "only GET and HEAD\n";
    om_admin_answer a = {
        .code = 405, .headers = &allow, .header_count = 1, .kept = why, .size = sizeof why - 1};
    return om_admin_send(connection, &a);
}

/* "?verbose", with or without a value. */
static bool verbose(struct MHD_Connection *connection)
{
    const char *value = NULL;
    size_t size = 0;
    return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "verbose",
                                         strlen("verbose"), &value, &size) == MHD_YES;
}

/* Ready means that searches are answered; whether writes are is a condition of its own, since a full disk is
 * no reason to send searches elsewhere. */
static enum MHD_Result answer_verbose(const om_admin *admin, struct MHD_Connection *connection)
{
    static const char *const states[] = {"writable", "read-only", "disk full", "log failed",
                                         "log damaged"};
    omen_db_stats stats;
    char text[sizeof stats.reason + 96];
    bool known = om_metrics_database(admin->metrics, &stats);
    bool named = known && stats.state < sizeof states / sizeof states[0];
    int n = snprintf(text, sizeof text, "ready\nwritable: %s\nstate: %s%s%s\n",
                     known && stats.state == OMEN_DB_WRITABLE ? "yes" : "no",
                     named ? states[stats.state] : "unknown", stats.reason[0] != '\0' ? ": " : "",
                     stats.reason);
    return answer_copy(connection, 200, text, (size_t)n);
}

static enum MHD_Result answer_probe(const om_admin *admin, struct MHD_Connection *connection,
                                    const char *url)
{
    uint32_t phase = om_health_get(admin->health);
    if (strcmp(url, "/livez") == 0) {
        bool alive = om_health_alive(admin->health, admin->now_ns());
        return answer_text(connection, alive ? 200 : 503, alive ? "alive" : "no heartbeat");
    }
    if (strcmp(url, "/startupz") == 0) {
        bool started = phase != OM_HEALTH_STARTING;
        return answer_text(connection, started ? 200 : 503, started ? "started" : "starting");
    }
    if (phase == OM_HEALTH_SERVING && verbose(connection)) {
        return answer_verbose(admin, connection);
    }
    const char *text = phase == OM_HEALTH_SERVING    ? "ready"
                       : phase == OM_HEALTH_DRAINING ? "draining"
                                                     : "starting";
    return answer_text(connection, phase == OM_HEALTH_SERVING ? 200 : 503, text);
}

/* A request with a body has no place here: it is refused before the body is read. */
bool om_admin_has_body(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding") != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

/* Paths are compared as they come: what needs decoding is not one of ours. */
static size_t keep_escapes(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx;
    (void)connection;
    return strlen(text);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload_data,
                              size_t *upload_data_size, void **request)
{
    om_admin *admin = ctx;
    const om_admin_route *route = om_admin_find_route(&admin->requests, url);
    (void)version;
    if (route != NULL) {
        om_admin_call call = {connection, method, upload_data, upload_data_size, request};
        return om_admin_route_call(&admin->requests, route, &call);
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return refuse_method(connection);
    }
    if (om_admin_has_body(connection)) {
        return answer_text(connection, 413, "a body is not accepted");
    }
    if (strcmp(url, "/metrics") == 0) {
        return answer_metrics(admin, connection);
    }
    if (strcmp(url, "/livez") == 0 || strcmp(url, "/readyz") == 0 ||
        strcmp(url, "/startupz") == 0) {
        return answer_probe(admin, connection, url);
    }
    return answer_text(connection, 404, "there are /metrics, /livez, /readyz and /startupz");
}

/* ---- Connections: known by descriptor, so that old ones can be cut ----------------------- */

static void set_client(om_admin *admin, int fd, bool started)
{
    (void)pthread_mutex_lock(&admin->mutex);
    for (size_t i = 0; i < OM_ADMIN_MAX_CONNECTIONS; i++) {
        if (admin->clients[i].fd == (started ? -1 : fd)) {
            admin->clients[i].fd = started ? fd : -1;
            admin->clients[i].since_ns = admin->now_ns();
            break;
        }
    }
    (void)pthread_mutex_unlock(&admin->mutex);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    (void)ctx;
    (void)connection;
    (void)why;
    om_admin_exchange_free(*request);
    *request = NULL;
}

/* The server closes a descriptor only after CLOSED was told. */
static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)socket_context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL) {
        set_client(ctx, info->connect_fd, code == MHD_CONNECTION_NOTIFY_STARTED);
    }
}

void om_admin_sweep(om_admin *admin)
{
    if (admin == NULL) {
        return;
    }
    uint64_t now = admin->now_ns();
    (void)pthread_mutex_lock(&admin->mutex);
    for (size_t i = 0; i < OM_ADMIN_MAX_CONNECTIONS; i++) {
        const client *c = &admin->clients[i];
        if (c->fd >= 0 && now > c->since_ns &&
            now - c->since_ns > OM_ADMIN_MAX_AGE_S * NS_PER_SECOND) {
            (void)shutdown(c->fd, SHUT_RDWR);
        }
    }
    (void)pthread_mutex_unlock(&admin->mutex);
}

/* ---- Start and stop ---------------------------------------------------------------------- */

static int bind_one(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(fd, OM_ADMIN_MAX_CONNECTIONS) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* The socket, or -1 with *error filled. */
static int listen_on(const char *where, char *error, size_t error_size)
{
    char host[OM_CONFIG_MAX_ADDRESS];
    char service[8];
    uint16_t port = 0;
    struct addrinfo hints;
    struct addrinfo *found = NULL;
    if (!om_config_split(where, host, &port)) {
        (void)snprintf(error, error_size, "admin-listen: '%s' is not HOST:PORT", where);
        return -1;
    }
    (void)snprintf(service, sizeof service, "%u", port);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        (void)snprintf(error, error_size, "admin-listen: %s: %s", where, gai_strerror(rc));
        return -1;
    }
    int fd = bind_one(found);
    if (fd < 0) {
        (void)snprintf(error, error_size, "admin-listen: %s: %s", where, strerror(errno));
    }
    freeaddrinfo(found);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char port[8] = "0";
    if (getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
        (void)getnameinfo((struct sockaddr *)&address, length, NULL, 0, port, sizeof port,
                          NI_NUMERICSERV);
    }
    return (uint16_t)strtoul(port, NULL, 10);
}

/* clang-format off */
static struct MHD_Daemon *start_daemon(om_admin *admin, int fd)
{
    return MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, admin,
        MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)OM_ADMIN_MAX_CONNECTIONS,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)OM_ADMIN_MAX_PER_ADDRESS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)OM_ADMIN_TIMEOUT_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)OM_ADMIN_MAX_HEADER,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, admin,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}
/* clang-format on */

static void destroy(om_admin *admin)
{
    om_admin_requests_stop(&admin->requests);
    if (admin->daemon != NULL) {
        MHD_stop_daemon(admin->daemon); /* closes the socket too */
    }
    om_admin_requests_end(&admin->requests);
    (void)pthread_mutex_destroy(&admin->mutex);
    free(admin);
}

om_admin *om_admin_start(const om_admin_options *options, char *error, size_t error_size)
{
    om_admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        (void)snprintf(error, error_size, "admin-listen: no memory");
        return NULL;
    }
    admin->metrics = options->metrics;
    admin->health = options->health;
    admin->log = options->log;
    admin->now_ns = options->now_ns != NULL ? options->now_ns : monotonic_ns;
    (void)pthread_mutex_init(&admin->mutex, NULL);
    for (size_t i = 0; i < OM_ADMIN_MAX_CONNECTIONS; i++) {
        admin->clients[i].fd = -1;
    }
    int fd = listen_on(options->listen, error, error_size);
    if (!om_admin_requests_start(&admin->requests, options)) {
        (void)snprintf(error, error_size, "admin-listen: no threads");
    } else if (fd >= 0) {
        admin->port = port_of(fd);
        admin->daemon = start_daemon(admin, fd);
        if (admin->daemon == NULL) {
            (void)snprintf(error, error_size, "admin-listen: %s: the HTTP server did not start",
                           options->listen);
        }
    }
    if (admin->daemon == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        destroy(admin);
        return NULL;
    }
    return admin;
}

uint16_t om_admin_port(const om_admin *admin)
{
    return admin->port;
}

void om_admin_stop(om_admin *admin)
{
    if (admin != NULL) {
        destroy(admin);
    }
}
