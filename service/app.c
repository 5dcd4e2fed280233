/* app.c - starts, watches and stops the parts of omend.
 * SPDX-License-Identifier: Apache-2.0 */
#include "app.h"

#include "fault.h"
#include "heap.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C(1000000000)

enum { MAX_STRAY = 16 }; /* variables that are warned of */

uint64_t om_app_now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

/* A failed start is told on stderr in any case: the log may be a file, or not there yet. */
static int fail(om_app *app, int exit_code, const char *what, const char *why)
{
    (void)fprintf(stderr, "omend: %s: %s\n", what, why);
    if (app->config.log_file != NULL) {
        om_slog(app->log, OMEN_LOG_ERROR, "start", "could not start", OM_SLOG_STR("what", what),
                OM_SLOG_STR("why", why));
    }
    return exit_code;
}

static int fail_file(om_app *app, const char *option, const char *path, int why)
{
    char text[OM_CONFIG_MAX_VALUE + 128];
    (void)snprintf(text, sizeof text, "%s: %s", path, strerror(why));
    return fail(app, OM_EXIT_CONFIG, option, text);
}

/* ---- Start ----------------------------------------------------------------------------------- */

/* A misspelt variable would silently leave its option at the default. */
static void warn_of_variables(om_app *app)
{
    char text[256];
    size_t at = 0;
    for (int i = 0; i < MAX_STRAY && om_config_stray_variable(environ, &at, text, sizeof text);
         i++) {
        om_slog_write(app->log, OMEN_LOG_WARN, "environment", text, NULL, 0);
    }
}

static int start_log(om_app *app)
{
    om_slog_options options = {app->config.log_level, app->config.log_format, app->config.log_file,
                               NULL};
    app->log = om_slog_create(&options);
    if (app->log == NULL) {
        return fail_file(app, "log-file", app->config.log_file, errno);
    }
    warn_of_variables(app);
    return OM_EXIT_OK;
}

static int start_metrics(om_app *app)
{
    om_metrics_options options = {.top_collections = app->config.metrics_collections,
                                  .data_dir = app->config.data_dir};
    app->metrics = om_metrics_create(&options);
    return app->metrics != NULL ? OM_EXIT_OK : fail(app, OM_EXIT_INTERNAL, "metrics", "no memory");
}

static int start_observe(om_app *app)
{
    om_observe_options options = {.metrics = app->metrics,
                                  .log = app->log,
                                  .recall_sample = app->config.recall_sample,
                                  .recall_permille = app->config.recall_cost};
    return om_observe_start(&app->observe, &options)
               ? OM_EXIT_OK
               : fail(app, OM_EXIT_INTERNAL, "observe", "no memory or no thread");
}

static int start_tls(om_app *app)
{
    char error[512];
    om_tls_options options = {app->config.tls_cert, app->config.tls_key, app->config.tls_client_ca,
                              app->metrics, app->log};
    if (options.cert_file == NULL) {
        return OM_EXIT_OK;
    }
    app->tls = om_tls_create(&options, error, sizeof error);
    return app->tls != NULL ? OM_EXIT_OK : fail(app, OM_EXIT_CONFIG, "tls", error);
}

static int make_access(om_app *app, bool check)
{
    char error[700];
    const om_config *c = &app->config;
    om_access_options options = {.catalog = c->catalog,
                                 .bootstrap_file = c->bootstrap_key_file,
                                 .jwt_key_file = c->jwt_key,
                                 .jwt_algorithm = c->jwt_algorithm,
                                 .jwt_issuer = c->jwt_issuer,
                                 .jwt_audience = c->jwt_audience,
                                 .certificate_identities = c->certificate_identities,
                                 .audit_file = c->audit_log,
                                 .check = check,
                                 .max_collections = c->max_collections_per_tenant,
                                 .metrics = app->metrics,
                                 .log = app->log};
    app->access = om_access_create(&options, error, sizeof error);
    return app->access != NULL ? OM_EXIT_OK : fail(app, OM_EXIT_CONFIG, "access", error);
}

static int start_access(om_app *app)
{
    return make_access(app, false);
}

/* Whether permissions keep us out of a folder, or, when it is yet to be made, out of where it goes. Another
 * failure than that is the engine's to tell. */
static bool is_closed_to_us(const char *folder)
{
    char above[OM_CONFIG_MAX_VALUE + 1];
    if (faccessat(AT_FDCWD, folder, R_OK | W_OK | X_OK, AT_EACCESS) == 0) {
        return false;
    }
    if (errno != ENOENT || strlen(folder) >= sizeof above) {
        return errno == EACCES;
    }
    memcpy(above, folder, strlen(folder) + 1);
    return faccessat(AT_FDCWD, dirname(above), W_OK | X_OK, AT_EACCESS) != 0 && errno == EACCES;
}

/* A backup has the list of its files, a database has none; see omen_backup. */
static bool is_backup(const char *folder)
{
    char path[OM_CONFIG_MAX_VALUE + 16];
    (void)snprintf(path, sizeof path, "%s/BACKUP", folder);
    return access(path, F_OK) == 0;
}

/* A folder of somebody else: files that we make there could not be read by its owner's omend, or
 * theirs by us. A folder of root that is open to our group is how volumes are mounted. */
static int check_owner(om_app *app)
{
    char why[OM_CONFIG_MAX_VALUE + 200];
    struct stat st;
    const char *folder = app->config.data_dir;
    uid_t me = geteuid();
    if (folder == NULL) {
        return OM_EXIT_OK;
    }
    bool there = stat(folder, &st) == 0;
    if (there && !S_ISDIR(st.st_mode)) {
        (void)snprintf(why, sizeof why, "'%s' is not a folder", folder);
        return fail(app, OM_EXIT_CONFIG, "data-dir", why);
    }
    if (there && is_backup(folder)) {
        (void)snprintf(why, sizeof why,
                       "'%s' is a backup, and would be none any more after the first write: make a "
                       "folder from it with `omen restore` and serve that",
                       folder);
        return fail(app, OM_EXIT_CONFIG, "data-dir", why);
    }
    if (is_closed_to_us(folder)) {
        (void)snprintf(
            why, sizeof why,
            "omend runs as user %u, which may not write in '%s' or the folder above: chown -R that "
            "folder to user %u, or run omend as its owner",
            (unsigned)me, folder, (unsigned)me);
        return fail(app, OM_EXIT_CONFIG, "data-dir", why);
    }
    if (!there || st.st_uid == me || st.st_uid == 0) {
        return OM_EXIT_OK;
    }
    (void)snprintf(why, sizeof why,
                   "'%s' belongs to user %u and omend runs as user %u: run omend as that user, or "
                   "chown -R the folder",
                   folder, (unsigned)st.st_uid, (unsigned)me);
    return fail(app, OM_EXIT_CONFIG, "data-dir", why);
}

/* A file that is written later, beside others: now is when somebody looks at what we say. */
static int check_ready_file(om_app *app)
{
    char folder[OM_CONFIG_MAX_VALUE + 1];
    const char *path = app->config.ready_file;
    struct stat st;
    if (path == NULL) {
        return OM_EXIT_OK;
    }
    (void)snprintf(folder, sizeof folder, "%s", path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return fail_file(app, "ready-file", path, EISDIR);
    }
    return faccessat(AT_FDCWD, dirname(folder), W_OK | X_OK, AT_EACCESS) == 0
               ? OM_EXIT_OK
               : fail_file(app, "ready-file", path, errno);
}

/* Whoever reaches an address of others must have something to show. */
static int check_console(om_app *app)
{
    const om_config *c = &app->config;
    if (c->admin_listen == NULL) {
        return OM_EXIT_OK;
    }
    if (c->console == OM_CONSOLE_ANY && !om_access_required(app->access) && !c->insecure_expose &&
        !om_config_is_loopback(c->admin_listen)) {
        return fail(app, OM_EXIT_CONFIG, "console",
                    "any: everybody who reaches the admin port could search and start operations: "
                    "give --catalog or --jwt-key, or use --console local");
    }
    return OM_EXIT_OK;
}

static int start_console(om_app *app)
{
    const om_config *c = &app->config;
    om_console_options options = {c->console, app->access, &app->health, &app->observe};
    if (c->console == OM_CONSOLE_OFF || c->admin_listen == NULL) {
        return OM_EXIT_OK;
    }
    app->console = om_console_create(&options);
    return app->console != NULL ? OM_EXIT_OK : fail(app, OM_EXIT_INTERNAL, "console", "no memory");
}

static int start_admin(om_app *app)
{
    char error[512];
    om_admin_options options = {.listen = app->config.admin_listen,
                                .metrics = app->metrics,
                                .health = &app->health,
                                .log = app->log};
    if (options.listen == NULL) {
        return OM_EXIT_OK;
    }
    if (app->console != NULL) {
        options.routes = om_console_routes(&options.route_count);
        options.route_ctx = app->console;
    }
    app->admin = om_admin_start(&options, error, sizeof error);
    return app->admin != NULL ? OM_EXIT_OK : fail(app, OM_EXIT_INTERNAL, "admin", error);
}

/* The exit code for a database that could not be opened: which of them a restart can help. */
static int open_exit_code(const omen_error *error)
{
    if (error->detail == OMEN_D_LOCKED) {
        return OM_EXIT_LOCKED;
    }
    if (error->status == OMEN_DATA_LOSS || error->detail == OMEN_D_FORMAT_VERSION) {
        return OM_EXIT_DATA;
    }
    bool path = error->status == OMEN_INVALID_ARGUMENT || error->status == OMEN_NOT_FOUND ||
                error->detail == OMEN_D_READ_ONLY;
    return path ? OM_EXIT_CONFIG : OM_EXIT_INTERNAL;
}

static void log_opened(om_app *app)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    if (app->config.data_dir == NULL) {
        om_slog_write(app->log, OMEN_LOG_WARN, "storage",
                      "collections live in memory only and end with this process (no data-dir)",
                      NULL, 0);
    } else if (omen_get_db_stats(app->db, &stats, NULL) == OMEN_OK) {
        om_slog(app->log, OMEN_LOG_INFO, "storage", "the database is open",
                OM_SLOG_STR("data_dir", app->config.data_dir),
                OM_SLOG_U64("collections", stats.collections),
                OM_SLOG_U64("segments", stats.segments), OM_SLOG_U64("version", stats.version),
                OM_SLOG_U64("replayed_records", stats.replayed_records),
                OM_SLOG_U64("recovered_rows", stats.recovered_rows),
                OM_SLOG_U64("replayed_us", stats.replayed_ns / 1000));
    }
}

/* Replays the log; /startupz says "starting" meanwhile. */
static int open_database(om_app *app)
{
    const om_config *c = &app->config;
    omen_error error;
    omen_db_options db = {.struct_size = sizeof db,
                          .flags = c->ram ? OMEN_DB_RAM : 0,
                          .runtime = app->runtime,
                          .warm = c->warm,
                          .interval_ms = c->interval_ms,
                          .seal_bytes = c->seal_bytes,
                          .seal_rows = c->seal_rows,
                          .reserve_bytes = c->reserve_bytes};
    om_fault_install();
    if (omen_db_open(c->data_dir, &db, &app->db, &error) != OMEN_OK) {
        return fail(app, open_exit_code(&error), c->data_dir != NULL ? "data-dir" : "engine",
                    error.message);
    }
    log_opened(app);
    return OM_EXIT_OK;
}

static int start_engine(om_app *app)
{
    omen_error error;
    omen_runtime_options runtime;
    memset(&runtime, 0, sizeof runtime);
    runtime.struct_size = sizeof runtime;
    runtime.threads = app->config.threads;
    runtime.log_level = app->config.log_level;
    runtime.memory_limit = app->config.memory_limit;
    runtime.allocator = om_heap_engine_allocator();
    runtime.log = om_slog_engine;
    runtime.log_ctx = app->log;
    if (omen_runtime_create(&runtime, &app->runtime, &error) != OMEN_OK) {
        return fail(app, OM_EXIT_INTERNAL, "engine", error.message);
    }
    int code = open_database(app);
    if (code == OM_EXIT_OK) {
        om_metrics_attach(app->metrics, app->runtime, app->db);
    }
    return code;
}

static int open_files(om_app *app)
{
    for (size_t i = 0; i < app->config.open_count; i++) {
        const om_config_open *file = &app->config.open[i];
        omen_error error;
        omen_open_options options;
        char what[OMEN_MAX_NAME + 16];
        memset(&options, 0, sizeof options);
        options.struct_size = sizeof options;
        options.file = file->file;
        if (omen_open(app->db, file->name, &options, &app->opened[i], &error) != OMEN_OK) {
            (void)snprintf(what, sizeof what, "open %s", file->name);
            return fail(app, OM_EXIT_CONFIG, what, error.message);
        }
        om_slog(app->log, OMEN_LOG_INFO, "open", "a saved segment is served",
                OM_SLOG_STR("collection", file->name), OM_SLOG_STR("file", file->file));
    }
    return OM_EXIT_OK;
}

/* Any thread of the transport: the listener is broken for good. main stops and exits with a
 * failure. */
static void on_fatal(void *ctx, const char *why)
{
    om_app *app = ctx;
    om_slog(app->log, OMEN_LOG_ERROR, "fatal", "the transport cannot go on; stopping",
            OM_SLOG_STR("why", why));
    atomic_store_explicit(&app->fatal, true, memory_order_release);
    (void)pthread_kill(app->main_thread, SIGUSR1);
}

static void look(void *ctx, om_history_gauges *out)
{
    om_rt_stats stats;
    memset(&stats, 0, sizeof stats);
    om_rt_get_stats(ctx, &stats);
    *out = (om_history_gauges){stats.in_flight, stats.streams, stats.searches_queued,
                               stats.ingest_queued};
}

static int start_rpc(om_app *app)
{
    const om_config *c = &app->config;
    omen_error error;
    om_rt_options options;
    memset(&options, 0, sizeof options);
    options.db = app->db;
    options.runtime = app->runtime;
    options.backup_dir = c->backup_dir;
    options.persistent = c->data_dir != NULL;
    options.durability = c->durability;
    options.metrics = app->metrics;
    options.log = app->log;
    options.observe = &app->observe;
    options.tls = app->tls;
    options.access = app->access;
    options.listen = (const char *const *)c->listen;
    options.listen_count = c->listen_count;
    options.fatal = on_fatal;
    options.fatal_ctx = app;
    options.cq_threads = c->io_threads;
    options.search_threads = c->search_workers;
    options.max_in_flight = c->max_inflight;
    options.max_streams = c->max_streams_per_connection;
    options.max_message_bytes = c->max_message_bytes;
    options.transport_quota = om_config_transport_memory(om_config_cgroup_memory("/"));
    options.max_connections = c->max_connections;
    options.max_connections_per_address = c->max_connections_per_address;
    options.connection_idle_ms = c->connection_idle_ms;
    options.connection_age_ms = c->connection_age_ms;
    options.connection_grace_ms = c->connection_grace_ms;
    options.keepalive_ms = c->keepalive_ms;
    options.keepalive_timeout_ms = c->keepalive_timeout_ms;
    options.stalled_call_ms = c->stalled_call_ms;
    options.max_resets = c->max_resets;
    options.stream_window_bytes = c->stream_window_bytes;
    options.slow_log_ms = c->slow_log_ms;
    options.memory_limit_bytes = c->memory_limit;
    omen_status_t status = om_rt_start(&options, &app->rt, &error);
    if (status != OMEN_OK) {
        return fail(app, status == OMEN_INVALID_ARGUMENT ? OM_EXIT_CONFIG : OM_EXIT_INTERNAL,
                    "grpc", error.message);
    }
    om_observe_attach(&app->observe, look, app->rt);
    om_console_attach(app->console, app->rt);
    return OM_EXIT_OK;
}

/* "HOST:PORT" with the port that was bound. */
static void put_address(char *out, size_t size, const char *address, uint16_t port)
{
    char host[OM_CONFIG_MAX_ADDRESS];
    uint16_t asked = 0;
    size_t n = strlen(out);
    if (!om_config_split(address, host, &asked)) {
        (void)snprintf(out + n, size - n, "%s", address); /* a unix socket */
    } else if (strchr(host, ':') != NULL) {
        (void)snprintf(out + n, size - n, "[%s]:%u", host, port);
    } else {
        (void)snprintf(out + n, size - n, "%s:%u", host, port);
    }
}

static void put_line(om_app *app)
{
    (void)snprintf(app->line, sizeof app->line, "omend: serving grpc=");
    for (size_t i = 0; i < app->config.listen_count; i++) {
        size_t n = strlen(app->line);
        (void)snprintf(app->line + n, sizeof app->line - n, "%s", i > 0 ? "," : "");
        put_address(app->line, sizeof app->line, app->config.listen[i], om_rt_port(app->rt, i));
    }
    size_t n = strlen(app->line);
    (void)snprintf(app->line + n, sizeof app->line - n, " admin=%s",
                   app->admin != NULL ? "" : "off");
    if (app->admin != NULL) {
        put_address(app->line, sizeof app->line, app->config.admin_listen,
                    om_admin_port(app->admin));
    }
}

int om_app_check(om_app *app)
{
    int code = start_log(app);
    code = code != OM_EXIT_OK ? code : make_access(app, true);
    code = code != OM_EXIT_OK ? code : check_console(app);
    code = code != OM_EXIT_OK ? code : check_owner(app);
    code = code != OM_EXIT_OK ? code : check_ready_file(app);
    code = code != OM_EXIT_OK ? code : start_tls(app);
    code = code != OM_EXIT_OK || app->config.open_count == 0 ? code : start_engine(app);
    return code != OM_EXIT_OK ? code : open_files(app);
}

int om_app_start(om_app *app)
{
    static int (*const steps[])(om_app *) = {
        start_log,     start_metrics, start_observe, start_access, start_tls,
        check_console, start_console, start_admin,   check_owner,  check_ready_file,
        start_engine,  open_files,    start_rpc};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int code = steps[i](app);
        if (code != OM_EXIT_OK) {
            return code;
        }
    }
    if (app->config.insecure_expose && app->tls == NULL) {
        om_slog_write(app->log, OMEN_LOG_WARN, "insecure_expose",
                      "whoever reaches this address may read and write: there is no TLS", NULL, 0);
    }
    put_line(app);
    return OM_EXIT_OK;
}

/* ---- Serving --------------------------------------------------------------------------------- */

/* Whoever waits for the file sees nothing or all of it. */
static bool write_ready_file(const char *path, const char *line)
{
    char temporary[OM_CONFIG_MAX_VALUE + 16];
    (void)snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "we");
    if (file == NULL) {
        return false;
    }
    bool ok = fprintf(file, "%s\n", line) > 0;
    ok = fclose(file) == 0 && ok && rename(temporary, path) == 0;
    if (!ok) {
        int saved = errno;
        (void)unlink(temporary);
        errno = saved;
    }
    return ok;
}

int om_app_announce(om_app *app)
{
    double seconds = (double)(om_app_now_ns() - app->started_ns) / (double)NS_PER_SECOND;
    om_app_tick(app);
    om_rt_set_serving(app->rt, true);
    om_health_set(&app->health, OM_HEALTH_SERVING);
    om_metrics_ready(app->metrics, true);
    om_metrics_startup_seconds(app->metrics, seconds);
    if (app->config.ready_file != NULL && !write_ready_file(app->config.ready_file, app->line)) {
        return fail_file(app, "ready-file", app->config.ready_file, errno);
    }
    (void)puts(app->line);
    (void)fflush(stdout);
    (void)om_notify_send(&app->notify, "READY=1");
    om_slog(app->log, OMEN_LOG_INFO, "serving", app->line,
            OM_SLOG_STR("version", omen_version_string()), OM_SLOG_STR("isa", omen_isa_name()),
            OM_SLOG_U64("memory_limit", app->config.memory_limit),
            OM_SLOG_U64("startup_ms", seconds * 1000));
    return OM_EXIT_OK;
}

/* What has changed about the files since the last look: each change is logged once. A log that could not be
 * written stays so until the database is opened again, so the process ends, and its supervisor starts it. */
static void watch_database(om_app *app)
{
    static const char *const texts[] = {
        "the database can be written again", "the database is read-only",
        "the disk is full: writes are refused until there is space",
        "the log could not be written: draining, a restart replays it",
        "the log is damaged: the database is read-only"};
    omen_db_stats stats = {.struct_size = sizeof stats};
    uint64_t faults = om_fault_count();
    if (faults != app->faults) {
        om_slog(app->log, OMEN_LOG_ERROR, "fault",
                "a mapped file was cut while it was served; its collection answers DATA_LOSS",
                OM_SLOG_U64("pages", faults));
        app->faults = faults;
    }
    if (omen_get_db_stats(app->db, &stats, NULL) != OMEN_OK || stats.state == app->db_state) {
        return;
    }
    app->db_state = stats.state;
    if (stats.state < sizeof texts / sizeof texts[0]) {
        om_slog(app->log, stats.state == OMEN_DB_WRITABLE ? OMEN_LOG_INFO : OMEN_LOG_ERROR, "state",
                texts[stats.state], OM_SLOG_STR("reason", stats.reason));
    }
    app->log_failed = stats.state == OMEN_DB_FAILED;
}

/* The heartbeat is the transport's: a queue thread that hangs makes /livez fail, and the
 * supervisor's watchdog with it. */
void om_app_tick(om_app *app)
{
    om_rt_stats stats;
    memset(&stats, 0, sizeof stats);
    om_rt_get_stats(app->rt, &stats);
    om_health_beat(&app->health, stats.oldest_beat_ns);
    om_metrics_queues(app->metrics, stats.searches_queued, stats.ingest_queued);
    om_rt_tick(app->rt);
    om_admin_sweep(app->admin);
    om_access_tick(app->access, false);
    watch_database(app);
    if (app->notify.watchdog_us > 0 && om_health_alive(&app->health, om_app_now_ns())) {
        (void)om_notify_send(&app->notify, "WATCHDOG=1");
    }
}

void om_app_reload(om_app *app)
{
    om_tls_force(app->tls);
    om_access_tick(app->access, true);
    if (!om_slog_reopen(app->log)) {
        om_slog(app->log, OMEN_LOG_ERROR, "reload", "the log file could not be opened again",
                OM_SLOG_STR("why", strerror(errno)));
    }
    om_slog_write(app->log, OMEN_LOG_INFO, "reload",
                  "keys were read again; certificates are at the next handshake", NULL, 0);
}

void om_app_stop(om_app *app, uint32_t grace_ms)
{
    om_health_set(&app->health, OM_HEALTH_DRAINING);
    om_console_attach(app->console, NULL); /* its searches end now: they use what goes next */
    if (app->rt != NULL) {
        om_observe_attach(&app->observe, NULL, NULL);
        om_rt_stop(app->rt, grace_ms);
    }
    om_admin_stop(app->admin); /* until here /livez answers */
    om_observe_stop(&app->observe);
    if (app->rt != NULL) {
        om_rt_free(app->rt);
    }
    om_console_free(app->console);
    om_metrics_attach(app->metrics, NULL, NULL);
    for (size_t i = 0; i < app->config.open_count; i++) {
        omen_collection_free(app->opened[i]);
    }
    omen_db_free(app->db);
    omen_runtime_free(app->runtime);
    om_access_free(app->access);
    om_tls_free(app->tls);
    om_metrics_free(app->metrics);
    if (app->config.ready_file != NULL && app->line[0] != '\0') {
        (void)unlink(app->config.ready_file);
    }
    om_slog_free(app->log);
    om_notify_close(&app->notify);
    om_config_free(&app->config);
}
