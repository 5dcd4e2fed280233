/* admin.h - the admin HTTP server: /metrics, /livez, /readyz (?verbose), /startupz; and the state they tell.
 * GET and HEAD only, no bodies, few connections, short time limits: it must answer when the rest of
 * the process is busy, and be worth nothing to an attacker.
 * Depends on: metrics.h, slog.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ADMIN_H
#define OM_ADMIN_H
#include <stdatomic.h>
#include <stdbool.h>
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

typedef struct om_admin om_admin;
typedef struct om_admin_options {
    const char *listen; /* "HOST:PORT" or "[V6]:PORT"; port 0: the kernel chooses */
    om_metrics *metrics;
    om_health *health;
    om_slog *log;
    uint64_t (*now_ns)(void); /* NULL: CLOCK_MONOTONIC */
} om_admin_options;
/* NULL: *error (of error_size bytes) says why. */
om_admin *om_admin_start(const om_admin_options *options, char *error, size_t error_size);
uint16_t om_admin_port(const om_admin *admin);
/* Cuts connections that are older than OM_ADMIN_MAX_AGE_S; to be called about once a second. */
void om_admin_sweep(om_admin *admin);
/* Stops listening and ends every connection; waits for its thread. */
void om_admin_stop(om_admin *admin);
#endif
