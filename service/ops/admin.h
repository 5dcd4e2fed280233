/* admin.h - the admin HTTP server: /metrics, /livez, /readyz (?verbose), /startupz, and the state they tell;
 * and routes of others (the console). Its own pages take GET and HEAD only and no bodies. Few connections,
 * short time limits: it must answer when the rest of the process is busy, and be worth nothing to an
 * attacker. What a route may take long for runs on threads of its own, so that probes never wait for it.
 * Depends on: metrics.h, slog.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ADMIN_H
#define OM_ADMIN_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics.h"
#include "slog.h"

enum { OM_HEALTH_STARTING = 0, OM_HEALTH_SERVING = 1, OM_HEALTH_DRAINING = 2 };
enum {
    OM_ADMIN_MAX_CONNECTIONS = 64,
    OM_ADMIN_MAX_PER_ADDRESS = 32,
    OM_ADMIN_TIMEOUT_S = 5,      /* of an idle connection */
    OM_ADMIN_MAX_AGE_S = 30,     /* of any connection: one that drips is cut by sweep */
    OM_ADMIN_MAX_HEADER = 16384, /* bytes of a request's line and headers */
    OM_ADMIN_WORKERS = 2,        /* threads of slow routes                */
    OM_ADMIN_MAX_REQUESTS = 24,  /* of routes, at once; more are told 503 */
    OM_ADMIN_MAX_BODY = 2 << 20, /* bytes; most that a route may ask for  */
    OM_HEALTH_STALE_S = 30       /* serving without a beat for longer: /livez says 503 */
};
/* Zero is STARTING. Fields are the functions' own. */
typedef struct om_health {
    _Atomic uint32_t phase;
    _Atomic uint64_t beat_ns;
} om_health;
void om_health_set(om_health *health, uint32_t phase); /* OM_HEALTH_* */
uint32_t om_health_get(const om_health *health);
void om_health_beat(om_health *health, uint64_t now_ns); /* CLOCK_MONOTONIC, by the main loop */
/* False only while SERVING without a beat: loading and draining may take their time. */
bool om_health_alive(const om_health *health, uint64_t now_ns);

/* ---- Routes ------------------------------------------------------------------------------ */

/* A request as its route sees it; lives as long as the call. */
typedef struct om_admin_request {
    bool post;
    bool local;       /* the peer's address is one of this machine's loopback        */
    char peer[64];    /* address and port, as text                                   */
    const char *body; /* of a POST, terminated; NULL while `admit` looks at it       */
    size_t body_size;
    void *connection; /* the server's                                                */
} om_admin_request;
/* The value of a header. NULL: not there, or there more than once, which is no way to be believed. */
const char *om_admin_header(const om_admin_request *r, const char *name);
/* Whether there is such a header at all, however often. */
bool om_admin_has_header(const om_admin_request *r, const char *name);
/* The value of ?name=, as it was sent: nothing is decoded. NULL: none. */
const char *om_admin_argument(const om_admin_request *r, const char *name);

typedef struct om_admin_header_line {
    const char *name, *value;
} om_admin_header_line;
typedef struct om_admin_answer {
    unsigned code;    /* 0: 500 */
    const char *type; /* NULL: plain text; static storage */
    const om_admin_header_line *headers;
    size_t header_count;
    char *text;       /* malloc'd; taken over by the server ... */
    const char *kept; /* ... or, when text is NULL, a text that outlives it */
    size_t size;
} om_admin_answer;

enum {
    OM_ADMIN_GET = 1u,
    OM_ADMIN_POST = 2u,
    OM_ADMIN_SLOW = 4u
}; /* GET: and HEAD; SLOW: own threads */
typedef struct om_admin_route {
    const char *path; /* compared as it is sent, without arguments */
    uint32_t flags;
    uint32_t max_body; /* of a POST */
    /* Looks at the headers before a body is read; never slow. False: *answer says why not. NULL: all
     * come in. */
    bool (*admit)(void *ctx, const om_admin_request *request, om_admin_answer *answer);
    void (*handle)(void *ctx, const om_admin_request *request, om_admin_answer *answer);
} om_admin_route;

/* ---- The server -------------------------------------------------------------------------- */

typedef struct om_admin om_admin;
typedef struct om_admin_options {
    const char *listen; /* "HOST:PORT" or "[V6]:PORT"; port 0: the kernel chooses */
    om_metrics *metrics;
    om_health *health;
    om_slog *log;
    uint64_t (*now_ns)(void);     /* NULL: CLOCK_MONOTONIC */
    const om_admin_route *routes; /* [route_count]; outlive the server, as their context does */
    size_t route_count;
    void *route_ctx;
} om_admin_options;
/* NULL: *error (of error_size bytes) says why. */
om_admin *om_admin_start(const om_admin_options *options, char *error, size_t error_size);
uint16_t om_admin_port(const om_admin *admin);
/* Cuts connections that are older than OM_ADMIN_MAX_AGE_S; to be called about once a second. */
void om_admin_sweep(om_admin *admin);
/* Stops listening and ends every connection; waits for its threads, and so for what routes are doing. */
void om_admin_stop(om_admin *admin);
#endif
