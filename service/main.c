/* main.c - omend: configuration, signals, and the order of a stop.
 *
 * SIGTERM and SIGINT: unready, wait --predrain-ms, drain, wait at most --grace-ms for running
 * calls, stop. Each further one ends the wait that runs. SIGHUP: certificates and log file. Exit
 * codes: config.h. SPDX-License-Identifier: Apache-2.0 */
#include "app.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)

enum { TICK_MS = 1000, DRAIN_TICK_MS = 20 };
enum { EVENT_TICK, EVENT_STOP, EVENT_RELOAD };

/* Before the first thread: they inherit the mask, and only main waits for these. A peer that closes
 * its connection must not kill the process. */
static void set_signals(sigset_t *waited)
{
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigemptyset(waited);
    (void)sigaddset(waited, SIGTERM);
    (void)sigaddset(waited, SIGINT);
    (void)sigaddset(waited, SIGHUP);
    (void)sigaddset(waited, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, waited, NULL);
}

/* The transport never recovers from running out of descriptors, so it gets all that may be had. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int wait_event(om_app *app, const sigset_t *waited, uint64_t milliseconds)
{
    struct timespec timeout = {(time_t)(milliseconds / 1000),
                               (long)(milliseconds % 1000 * NS_PER_MS)};
    int signal_number = sigtimedwait(waited, NULL, &timeout);
    if (atomic_load_explicit(&app->fatal, memory_order_acquire)) {
        return EVENT_STOP;
    }
    if (signal_number == SIGTERM || signal_number == SIGINT) {
        return EVENT_STOP;
    }
    return signal_number == SIGHUP ? EVENT_RELOAD : EVENT_TICK;
}

static void serve(om_app *app, const sigset_t *waited)
{
    uint64_t tick_ms = TICK_MS;
    uint64_t watchdog_ms = app->notify.watchdog_us / 1000;
    if (watchdog_ms > 0 && watchdog_ms / 3 < tick_ms) {
        tick_ms = watchdog_ms / 3 > 0 ? watchdog_ms / 3 : 1;
    }
    for (;;) {
        int event = wait_event(app, waited, tick_ms);
        if (event == EVENT_STOP) {
            return;
        }
        if (event == EVENT_RELOAD) {
            om_app_reload(app);
        }
        om_app_tick(app);
        if (app->log_failed) {
            return;
        }
    }
}

/* Serves on until the time is over or a signal asks for haste; true: it was a signal. */
static bool predrain(om_app *app, const sigset_t *waited)
{
    uint64_t end = om_app_now_ns() + app->config.predrain_ms * NS_PER_MS;
    for (uint64_t now = om_app_now_ns(); now < end; now = om_app_now_ns()) {
        uint64_t left = (end - now) / NS_PER_MS + 1;
        if (wait_event(app, waited, left < TICK_MS ? left : TICK_MS) == EVENT_STOP) {
            return true;
        }
        om_app_tick(app);
    }
    return false;
}

/* Gives running calls their time; what is left of it, in ms, goes to the transport's own stop. */
static uint32_t wait_for_calls(om_app *app, const sigset_t *waited)
{
    uint64_t end = om_app_now_ns() + app->config.grace_ms * NS_PER_MS;
    for (uint64_t now = om_app_now_ns(); now < end; now = om_app_now_ns()) {
        om_rt_stats stats;
        memset(&stats, 0, sizeof stats);
        om_rt_get_stats(app->rt, &stats);
        if (stats.in_flight == 0) {
            return (uint32_t)((end - now) / NS_PER_MS);
        }
        if (wait_event(app, waited, DRAIN_TICK_MS) == EVENT_STOP) {
            return 0;
        }
        if (app->notify.watchdog_us > 0) {
            (void)om_notify_send(&app->notify, "WATCHDOG=1");
        }
    }
    return 0;
}

/* From here on a signal ends the process where it stands: clients have been told, calls are over.
 * What may still take time is a connection that never finished its handshake. */
static void restore_signals(const sigset_t *waited)
{
    struct sigaction standard;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    (void)sigaction(SIGTERM, &standard, NULL);
    (void)sigaction(SIGINT, &standard, NULL);
    sigset_t open = *waited;
    (void)sigdelset(&open, SIGHUP);
    (void)sigdelset(&open, SIGUSR1);
    (void)pthread_sigmask(SIG_UNBLOCK, &open, NULL);
}

static void stop(om_app *app, const sigset_t *waited)
{
    bool fatal = atomic_exchange_explicit(&app->fatal, false, memory_order_acq_rel);
    om_slog(app->log, OMEN_LOG_INFO, "stopping", "draining", OM_SLOG_U64("fatal", fatal),
            OM_SLOG_U64("predrain_ms", app->config.predrain_ms),
            OM_SLOG_U64("grace_ms", app->config.grace_ms));
    om_health_set(&app->health, OM_HEALTH_DRAINING);
    om_metrics_ready(app->metrics, false);
    (void)om_notify_send(&app->notify, "STOPPING=1");
    om_rt_set_serving(app->rt, false);
    if (!fatal) { /* nobody new can connect any more, so there is nothing to move away */
        (void)predrain(app, waited);
    }
    om_rt_drain(app->rt, app->config.grace_ms);
    uint32_t left_ms = wait_for_calls(app, waited);
    om_slog(app->log, OMEN_LOG_INFO, "stopped", "calls are over", OM_SLOG_U64("left_ms", left_ms));
    restore_signals(waited);
    om_app_stop(app, left_ms);
}

static int run(om_app *app)
{
    sigset_t waited;
    app->started_ns = om_app_now_ns();
    app->main_thread = pthread_self();
    set_signals(&waited);
    raise_fd_limit();
    om_notify_open(&app->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
                   getenv("WATCHDOG_PID"));
    int code = om_app_start(app);
    code = code == OM_EXIT_OK ? om_app_announce(app) : code;
    if (code != OM_EXIT_OK) {
        if (app->rt != NULL) {
            om_rt_drain(app->rt, 0);
        }
        om_app_stop(app, 0);
        return code;
    }
    serve(app, &waited);
    bool failed = atomic_load_explicit(&app->fatal, memory_order_acquire) || app->log_failed;
    stop(app, &waited);
    return failed ? OM_EXIT_INTERNAL : OM_EXIT_OK;
}

static int check(om_app *app)
{
    app->notify.fd = -1;
    int code = om_app_check(app);
    if (code == OM_EXIT_OK) {
        (void)puts("omend: the configuration is good");
    }
    om_app_stop(app, 0);
    return code;
}

static void print_version(void)
{
    uint32_t abi = omen_abi_version();
    (void)printf("omend %s (abi %u.%u, format %u, isa %s)\n", omen_version_string(), abi >> 16,
                 abi & 0xffff, omen_format_version(), omen_isa_name());
}

int main(int argc, char **argv)
{
    static om_app app; /* zero, and too large for a careful stack */
    om_config_error error;
    if (!om_config_load(&app.config, argc, argv, environ, &error)) {
        (void)fprintf(stderr, "omend: %s\n", error.message);
        return error.exit_code;
    }
    switch (app.config.action) {
    case OM_CONFIG_HELP:
        om_config_help(stdout);
        break;
    case OM_CONFIG_VERSION:
        print_version();
        break;
    case OM_CONFIG_PRINT:
        om_config_print(&app.config, stdout);
        break;
    case OM_CONFIG_CHECK:
        return check(&app);
    default:
        return run(&app);
    }
    om_config_free(&app.config);
    return fflush(stdout) == 0 ? OM_EXIT_OK : OM_EXIT_INTERNAL;
}
