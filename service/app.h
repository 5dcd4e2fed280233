/* app.h - the parts of omend in the order in which they start and stop.
 * Depends on: omen.h, rt.h and the headers of ops.  Threads: one, but om_app_fatal.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_APP_H
#define OM_APP_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "access.h"
#include "admin.h"
#include "config.h"
#include "console.h"
#include "metrics.h"
#include "notify.h"
#include "observe.h"
#include "omen.h"
#include "rt.h"
#include "slog.h"
#include "tls.h"

enum { OM_APP_MAX_LINE = 64 + (OM_CONFIG_MAX_LISTEN + 1) * OM_CONFIG_MAX_ADDRESS };

typedef struct om_app {
    om_config config;
    om_health health;
    om_notify notify;
    om_slog *log;
    om_metrics *metrics;
    om_observe observe;
    om_tls *tls;
    om_access *access;
    om_admin *admin;
    om_console *console; /* NULL: off */
    omen_runtime *runtime;
    omen_db *db;
    omen_collection *opened[OM_CONFIG_MAX_OPEN]; /* keeps --open collections alive */
    uint32_t db_state;                           /* OMEN_DB_*, as last logged */
    uint64_t faults;                             /* om_fault_count, as last logged */
    bool log_failed;                             /* drain, then exit with a failure */
    om_rt *rt;
    uint64_t started_ns;
    pthread_t main_thread; /* is sent SIGUSR1 when `fatal` is set */
    atomic_bool fatal;
    char line[OM_APP_MAX_LINE]; /* "omend: serving grpc=... admin=..." */
} om_app;

uint64_t om_app_now_ns(void); /* CLOCK_MONOTONIC */
/* Starts everything up to serving. Not OM_EXIT_OK: the reason was logged; call om_app_stop all the
 * same. config, main_thread, started_ns and notify are set before. */
int om_app_start(om_app *app);
/* Reads certificates and --open files only, for --check-config. */
int om_app_check(om_app *app);
/* Prints the line on stdout, writes the ready file, tells the supervisor. */
int om_app_announce(om_app *app);
/* Once a second: heartbeat, watchdog, figures that nobody else pushes. */
void om_app_tick(om_app *app);
/* SIGHUP: certificates are read again at the next handshake, the log file is opened again. */
void om_app_reload(om_app *app);
/* Ends what is there, in reverse order; grace_ms for calls that still run. */
void om_app_stop(om_app *app, uint32_t grace_ms);
#endif
