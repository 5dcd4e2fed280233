/* admin_route.c - requests of routes: their headers, bodies, and the threads of the slow ones. A connection
 * whose request a worker has is suspended: the server neither reads from it nor times it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "admin_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

typedef struct om_admin_exchange {
    om_admin_requests *queue;
    const om_admin_route *route;
    om_admin_request request;
    om_admin_answer answer;
    char *body;
    size_t expected; /* bytes of the body, as announced */
    bool done;
    struct om_admin_exchange *next;
} exchange;

/* ---- What a request says of itself --------------------------------------------------------- */

typedef struct sought {
    const char *name, *value;
    unsigned count;
} sought;

static enum MHD_Result look(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
    sought *s = ctx;
    (void)kind;
    if (strcasecmp(name, s->name) == 0) {
        s->value = value;
        s->count++;
    }
    return MHD_YES;
}

static sought seek(const om_admin_request *r, const char *name)
{
    sought s = {.name = name};
    (void)MHD_get_connection_values(r->connection, MHD_HEADER_KIND, look, &s);
    return s;
}

const char *om_admin_header(const om_admin_request *r, const char *name)
{
    sought s = seek(r, name);
    return s.count == 1 ? s.value : NULL;
}

bool om_admin_has_header(const om_admin_request *r, const char *name)
{
    return seek(r, name).count > 0;
}

const char *om_admin_argument(const om_admin_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

static bool is_loopback_v4(const uint8_t *address)
{
    return address[0] == 127;
}

static void name_peer(om_admin_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char text[INET6_ADDRSTRLEN] = "";
    if (info == NULL || info->client_addr == NULL) {
        return;
    }
    if (info->client_addr->sa_family == AF_INET) {
        struct sockaddr_in a;
        memcpy(&a, info->client_addr, sizeof a);
        (void)inet_ntop(AF_INET, &a.sin_addr, text, sizeof text);
        (void)snprintf(r->peer, sizeof r->peer, "%s:%u", text, ntohs(a.sin_port));
        r->local = is_loopback_v4((const uint8_t *)&a.sin_addr);
    } else if (info->client_addr->sa_family == AF_INET6) {
        struct sockaddr_in6 a;
        memcpy(&a, info->client_addr, sizeof a);
        (void)inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof text);
        (void)snprintf(r->peer, sizeof r->peer, "[%s]:%u", text, ntohs(a.sin6_port));
        r->local = IN6_IS_ADDR_LOOPBACK(&a.sin6_addr) ||
                   (IN6_IS_ADDR_V4MAPPED(&a.sin6_addr) && is_loopback_v4(a.sin6_addr.s6_addr + 12));
    }
}

/* ---- Answers ------------------------------------------------------------------------------- */

static void refuse(om_admin_answer *answer, unsigned code, const char *why)
{
    free(answer->text);
    *answer = (om_admin_answer){.code = code, .kept = why, .size = strlen(why)};
}

static enum MHD_Result refuse_now(struct MHD_Connection *connection, unsigned code, const char *why)
{
    om_admin_answer answer = {.code = code, .kept = why, .size = strlen(why)};
    return om_admin_send(connection, &answer);
}

static enum MHD_Result refuse_method(struct MHD_Connection *connection, const om_admin_route *route)
{
    bool get = (route->flags & OM_ADMIN_GET) != 0;
    bool post = (route->flags & OM_ADMIN_POST) != 0;
    const om_admin_header_line allow = {"Allow", get && post ? "GET, HEAD, POST"
                                                 : post      ? "POST"
                                                             : "GET, HEAD"};
    static const char why[] = "the method is not one of this page\n";
    om_admin_answer answer = {
        .code = 405, .headers = &allow, .header_count = 1, .kept = why, .size = sizeof why - 1};
    return om_admin_send(connection, &answer);
}

static enum MHD_Result send_answer(exchange *e, struct MHD_Connection *connection)
{
    enum MHD_Result result = om_admin_send(connection, &e->answer);
    e->answer.text = NULL;
    return result;
}

/* ---- Requests ------------------------------------------------------------------------------ */

const om_admin_route *om_admin_find_route(const om_admin_requests *q, const char *path)
{
    for (size_t i = 0; i < q->route_count; i++) {
        if (strcmp(q->routes[i].path, path) == 0) {
            return &q->routes[i];
        }
    }
    return NULL;
}

void om_admin_exchange_free(void *request)
{
    exchange *e = request;
    if (e == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&e->queue->mutex);
    e->queue->count--;
    (void)pthread_mutex_unlock(&e->queue->mutex);
    free(e->answer.text);
    free(e->body);
    free(e);
}

/* NULL: there are too many, or no memory. */
static exchange *exchange_new(om_admin_requests *q)
{
    (void)pthread_mutex_lock(&q->mutex);
    bool room = !q->stopping && q->count < OM_ADMIN_MAX_REQUESTS;
    exchange *e = room ? calloc(1, sizeof *e) : NULL;
    q->count += e != NULL;
    (void)pthread_mutex_unlock(&q->mutex);
    if (e != NULL) {
        e->queue = q;
    }
    return e;
}

/* The announced length. False: it is none that is taken. */
static bool body_length(struct MHD_Connection *connection, size_t max, size_t *length)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    char *end = NULL;
    *length = 0;
    if (text == NULL || text[0] < '0' || text[0] > '9' ||
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding") != NULL) {
        return false;
    }
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *length = (size_t)n;
    return errno == 0 && *end == '\0' && n <= max;
}

static enum MHD_Result begin(om_admin_requests *q, const om_admin_route *route,
                             const om_admin_call *call)
{
    bool post = strcmp(call->method, "POST") == 0;
    bool get = strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0;
    size_t expected = 0;
    if (!((post && (route->flags & OM_ADMIN_POST) != 0) ||
          (get && (route->flags & OM_ADMIN_GET) != 0))) {
        return refuse_method(call->connection, route);
    }
    if (post ? !body_length(call->connection, route->max_body, &expected)
             : om_admin_has_body(call->connection)) {
        return refuse_now(call->connection, 413,
                          post ? "a body with a Content-Length within the limit is needed\n"
                               : "a body is not accepted\n");
    }
    om_admin_request request = {.post = post, .connection = call->connection};
    om_admin_answer answer = {0};
    name_peer(&request);
    if (route->admit != NULL && !route->admit(q->ctx, &request, &answer)) {
        return om_admin_send(call->connection, &answer);
    }
    exchange *e = exchange_new(q);
    if (e == NULL) {
        return refuse_now(call->connection, 503, "too many requests at once: try again\n");
    }
    e->route = route;
    e->request = request;
    e->expected = expected;
    *call->request = e; /* freed when the server is done with the request */
    if (post) {
        e->body = malloc(expected + 1);
        if (e->body == NULL) {
            return refuse_now(call->connection, 503, "no memory for the body\n");
        }
        e->body[0] = '\0';
        e->request.body = e->body;
    }
    return MHD_YES;
}

static enum MHD_Result take_body(exchange *e, const char *data, size_t *size)
{
    if (e->body == NULL || *size > e->expected - e->request.body_size) {
        return MHD_NO; /* more than was announced: the connection is closed */
    }
    memcpy(e->body + e->request.body_size, data, *size);
    e->request.body_size += *size;
    e->body[e->request.body_size] = '\0';
    *size = 0;
    return MHD_YES;
}

/* The connection is suspended before a worker can resume it. */
static enum MHD_Result queue(exchange *e, struct MHD_Connection *connection)
{
    om_admin_requests *q = e->queue;
    (void)pthread_mutex_lock(&q->mutex);
    bool stopping = q->stopping;
    if (!stopping) {
        MHD_suspend_connection(connection);
        *q->tail = e;
        q->tail = &e->next;
        (void)pthread_cond_signal(&q->work);
    }
    (void)pthread_mutex_unlock(&q->mutex);
    return stopping ? refuse_now(connection, 503, "the server stops\n") : MHD_YES;
}

enum MHD_Result om_admin_route_call(om_admin_requests *q, const om_admin_route *route,
                                    const om_admin_call *call)
{
    exchange *e = *call->request;
    if (e == NULL) {
        return begin(q, route, call);
    }
    if (*call->data_size > 0) {
        return take_body(e, call->data, call->data_size);
    }
    if (!e->done && (e->route->flags & OM_ADMIN_SLOW) != 0) {
        return queue(e, call->connection);
    }
    if (!e->done) {
        e->route->handle(q->ctx, &e->request, &e->answer);
        e->done = true;
    }
    return send_answer(e, call->connection);
}

/* ---- Threads of the slow ones -------------------------------------------------------------- */

/* After the resume the exchange is the server's again, which may free it. */
static void *work(void *arg)
{
    om_admin_requests *q = arg;
    (void)pthread_mutex_lock(&q->mutex);
    for (;;) {
        while (q->first == NULL && !q->stopping) {
            (void)pthread_cond_wait(&q->work, &q->mutex);
        }
        exchange *e = q->first;
        if (e == NULL) {
            break;
        }
        q->first = e->next;
        q->tail = q->first == NULL ? &q->first : q->tail;
        bool stopping = q->stopping;
        (void)pthread_mutex_unlock(&q->mutex);
        if (stopping) {
            refuse(&e->answer, 503, "the server stops\n");
        } else {
            e->route->handle(q->ctx, &e->request, &e->answer);
        }
        e->done = true;
        MHD_resume_connection(e->request.connection);
        (void)pthread_mutex_lock(&q->mutex);
    }
    (void)pthread_mutex_unlock(&q->mutex);
    return NULL;
}

bool om_admin_requests_start(om_admin_requests *q, const om_admin_options *options)
{
    q->routes = options->routes;
    q->route_count = options->route_count;
    q->ctx = options->route_ctx;
    q->tail = &q->first;
    (void)pthread_mutex_init(&q->mutex, NULL);
    (void)pthread_cond_init(&q->work, NULL);
    bool slow = false;
    for (size_t i = 0; i < q->route_count; i++) {
        slow = slow || (q->routes[i].flags & OM_ADMIN_SLOW) != 0;
    }
    for (uint32_t i = 0; slow && i < OM_ADMIN_WORKERS; i++) {
        if (pthread_create(&q->threads[i], NULL, work, q) != 0) {
            return false;
        }
        q->thread_count++;
        (void)pthread_setname_np(q->threads[i], "omend-console");
    }
    return true;
}

void om_admin_requests_stop(om_admin_requests *q)
{
    (void)pthread_mutex_lock(&q->mutex);
    q->stopping = true;
    (void)pthread_cond_broadcast(&q->work);
    (void)pthread_mutex_unlock(&q->mutex);
    for (uint32_t i = 0; i < q->thread_count; i++) {
        (void)pthread_join(q->threads[i], NULL);
    }
    q->thread_count = 0;
}

void om_admin_requests_end(om_admin_requests *q)
{
    (void)pthread_cond_destroy(&q->work);
    (void)pthread_mutex_destroy(&q->mutex);
}
