/* rpc_server.c - start, drain and stop of the server. SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "colls.h"
#include "listings.h"
#include "operations.h"
#include "rpc_accept.h"
#include "rpc_int.h"
#include "tenants.h"
#include "usage.h"

enum { CANCEL_WAIT_MS = 60000, BEAT_MS = 1000 };

om_rt_shared *om_rt_shared_of(om_rt *rt)
{
    return &rt->shared;
}

static omen_status_t fail(omen_error *err, omen_status_t status, int32_t detail, const char *what,
                          const char *value)
{
    if (err != NULL) {
        *err = (omen_error){.status = status, .detail = detail, .item = OMEN_NONE};
        snprintf(err->message, sizeof err->message, "%s%s", what, value);
    }
    return status;
}

/* ---- Options --------------------------------------------------------------------------------- */

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void or_default(uint32_t *field, uint32_t value)
{
    *field = *field == 0 ? value : *field;
}

static void fill_options(om_rt_options *o)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t cores = clamp(online > 0 ? (uint32_t)online : 1, 1, 512);
    or_default(&o->cq_threads, clamp(cores / 4, 2, OM_RT_MAX_CQ));
    /* One queue thread can be held in its read loop by a fast peer: never fewer than two. */
    o->cq_threads = clamp(o->cq_threads, 2, OM_RT_MAX_CQ);
    or_default(&o->search_threads, cores);
    or_default(&o->ingest_threads, clamp(cores, 2, 8));
    or_default(&o->search_queue, 64 * o->search_threads);
    or_default(&o->max_in_flight, OM_RT_IN_FLIGHT);
    or_default(&o->max_streams, OM_RT_STREAMS);
    or_default(&o->max_message_bytes, OM_RT_MESSAGE_BYTES);
    or_default(&o->max_metadata_bytes, OM_RT_METADATA_BYTES);
    or_default(&o->keepalive_ms, 60000);
    or_default(&o->keepalive_timeout_ms, 20000);
    or_default(&o->connection_idle_ms, 15 * 60000);
    or_default(&o->connection_age_ms, 30 * 60000);
    or_default(&o->connection_grace_ms, 10 * 60000);
    or_default(&o->handshake_ms, 10000);
    or_default(&o->stalled_call_ms, 120000);
    o->stream_window_bytes =
        o->stream_window_bytes == 0 ? OM_RT_WINDOW_BYTES : o->stream_window_bytes;
    o->transport_quota = o->transport_quota == 0 ? 512ull << 20 : o->transport_quota;
}

static grpc_arg int_arg(const char *key, uint32_t value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};
    arg.value.integer = value > INT32_MAX ? INT32_MAX : (int)value;
    return arg;
}

static grpc_server *make_server(const om_rt_options *o)
{
    grpc_resource_quota *quota = grpc_resource_quota_create("omend");
    grpc_resource_quota_resize(quota, (size_t)o->transport_quota);
    grpc_arg quota_arg = {.type = GRPC_ARG_POINTER,
                          .key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA};
    quota_arg.value.pointer.p = quota;
    quota_arg.value.pointer.vtable = grpc_resource_quota_arg_vtable();
    grpc_arg args[] = {
        quota_arg,
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, o->max_message_bytes),
        int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, INT32_MAX),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, o->max_metadata_bytes),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, o->max_streams),
        /* Two servers must not share a port silently. */
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        /* Identity only: the size limit is checked before decompression, so gzip would be a bomb. */
        int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, o->keepalive_ms),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, o->keepalive_timeout_ms),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000),
        int_arg(GRPC_ARG_MAX_CONNECTION_IDLE_MS, o->connection_idle_ms),
        int_arg(GRPC_ARG_MAX_CONNECTION_AGE_MS, o->connection_age_ms),
        int_arg(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, o->connection_grace_ms),
        int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, o->handshake_ms),
    };
    grpc_channel_args all = {sizeof args / sizeof args[0], args};
    grpc_server *server = grpc_server_create(&all, NULL);
    grpc_resource_quota_unref(quota);
    return server;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

static void beat(om_queue *q)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    atomic_store_explicit(&q->beat_ns, (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec,
                          memory_order_relaxed);
}

static void *queue_loop(void *arg)
{
    om_queue *q = arg;
    pthread_setname_np(pthread_self(), "omend-rpc");
    for (;;) {
        gpr_timespec wake =
            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(BEAT_MS, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(q->cq, wake, NULL);
        beat(q);
        if (event.type == GRPC_QUEUE_SHUTDOWN) {
            return NULL;
        }
        if (event.type == GRPC_OP_COMPLETE) {
            uint64_t events = atomic_load_explicit(&q->events, memory_order_relaxed);
            atomic_store_explicit(&q->events, events + 1, memory_order_relaxed);
            om_rpc_event(event.tag, event.success != 0);
        }
    }
}

static void listen_all(om_queue *q)
{
    for (uint32_t m = 0; m <= om_rpc_method_count; m++) {
        bool hot = m < om_rpc_method_count && (om_rpc_methods[m].impl->flags & OM_RPC_HOT) != 0;
        for (int slot = 0; slot < (hot ? RPC_SLOTS_HOT : RPC_SLOTS); slot++) {
            om_rpc_listen(q, m);
        }
    }
}

static bool start_queues(om_rt *rt)
{
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        listen_all(&rt->queue[i]);
        beat(&rt->queue[i]);
        if (pthread_create(&rt->queue[i].thread, NULL, queue_loop, &rt->queue[i]) != 0) {
            rt->queue[i].thread = 0;
            return false;
        }
    }
    return true;
}

/* ---- Start ----------------------------------------------------------------------------------- */

/* abseil in this build watches lock order with one global lock and aborts on a cycle: off. */
static void disable_deadlock_detection(void)
{
    void (*set_mode)(int) = NULL;
    *(void **)&set_mode = dlsym(
        RTLD_DEFAULT, "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE");
    if (set_mode != NULL) {
        set_mode(0);
    }
}

static void make_epoch(char out[17])
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) {
        value = om_pool_now_ns();
    }
    snprintf(out, 17, "%016llx", (unsigned long long)value);
}

/* A server that was given none lets everybody in, as `anonymous`. */
static omen_status_t make_access(om_rt *rt, omen_error *err)
{
    char why[200] = "";
    om_rt_options *o = &rt->shared.opt;
    if (o->access == NULL) {
        om_access_options nothing = {.metrics = o->metrics, .log = o->log};
        rt->own_access = om_access_create(&nothing, why, sizeof why);
        o->access = rt->own_access;
    }
    return o->access != NULL ? OMEN_OK
                             : fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY, why, "");
}

static omen_status_t make_parts(om_rt *rt, omen_error *err)
{
    om_rt_options *o = &rt->shared.opt;
    rt->registered = calloc(om_rpc_method_count, sizeof *rt->registered);
    rt->metrics = calloc(om_rpc_method_count + 1, sizeof(om_metrics_method *));
    rt->ports = calloc(o->listen_count, sizeof *rt->ports);
    rt->tls_ports = calloc(o->listen_count, sizeof *rt->tls_ports);
    rt->shared.search = om_pool_start("omend-search", o->search_threads, o->search_queue);
    rt->shared.ingest = om_pool_start("omend-ingest", o->ingest_threads, 4096);
    rt->shared.admin = om_pool_start("omend-admin", OM_RT_ADMIN_THREADS, 256);
    rt->shared.keys = om_pool_start("omend-keys", OM_RT_KEYS_THREADS, 256);
    rt->shared.colls = om_colls_create(o->db, o->access);
    rt->shared.cursors = om_cursors_create(NULL);
    rt->shared.operations = om_operations_create(&rt->shared, NULL);
    if (rt->registered == NULL || rt->metrics == NULL || rt->ports == NULL ||
        rt->tls_ports == NULL || rt->shared.search == NULL || rt->shared.ingest == NULL ||
        rt->shared.admin == NULL || rt->shared.keys == NULL || rt->shared.colls == NULL ||
        rt->shared.operations == NULL || rt->shared.cursors == NULL) {
        return fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY,
                    "no memory or threads for the server", "");
    }
    om_colls_observe(rt->shared.colls, o->metrics, o->observe != NULL ? o->observe->recall : NULL);
    for (uint32_t m = 0; m < om_rpc_method_count; m++) {
        rt->metrics[m] =
            om_metrics_add_method(o->metrics, om_rpc_methods[m].service, om_rpc_methods[m].name);
    }
    if (om_tenants_metered(om_access_tenants(o->access))) {
        om_usage_measure(&rt->shared); /* quotas hold from the first batch on */
    }
    return OMEN_OK;
}

/* The core takes a port modulo 65,536. */
static bool port_fits(const char *address)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    if (strncmp(address, "unix:", 5) == 0) {
        return true;
    }
    return colon != NULL && colon[1] >= '0' && colon[1] <= '9' &&
           strtoul(colon + 1, &end, 10) <= 65535 && *end == '\0';
}

/* A socket takes its mode from the umask, which is there for files: with 0077 no proxy of another user could
 * connect. Our group may, nobody else. Nothing is accepted before the start of the server. */
static bool open_to_group(const char *address)
{
    return strncmp(address, "unix:", 5) != 0 || chmod(address + 5, 0660) == 0;
}

static omen_status_t bind_all(om_rt *rt, omen_error *err)
{
    const om_rt_options *o = &rt->shared.opt;
    for (size_t i = 0; i < o->listen_count; i++) {
        if (!port_fits(o->listen[i])) {
            return fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                        "not HOST:PORT with a port of 0 to 65535: ", o->listen[i]);
        }
        grpc_server_credentials *creds = om_rpc_credentials(rt, i);
        if (creds == NULL) {
            return fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "TLS material is not usable", "");
        }
        int port = grpc_server_add_http2_port(rt->server, o->listen[i], creds);
        grpc_server_credentials_release(creds);
        if (port == 0) {
            return fail(
                err, OMEN_UNAVAILABLE, OMEN_D_IO,
                "cannot listen (address in use, not of this machine, or TLS material that does "
                "not work) at ",
                o->listen[i]);
        }
        if (!open_to_group(o->listen[i])) {
            return fail(err, OMEN_UNAVAILABLE, OMEN_D_IO, "cannot set the mode of the socket ",
                        o->listen[i]);
        }
        rt->ports[i] = strncmp(o->listen[i], "unix:", 5) == 0 ? 0 : (uint16_t)port;
    }
    return OMEN_OK;
}

static omen_status_t start_server(om_rt *rt, omen_error *err)
{
    rt->server = make_server(&rt->shared.opt);
    rt->queue_count = rt->shared.opt.cq_threads;
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        om_queue *q = &rt->queue[i];
        q->rt = rt;
        pthread_mutex_init(&q->free_mutex, NULL);
        q->cq = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(rt->server, q->cq, NULL);
    }
    for (uint32_t m = 0; m < om_rpc_method_count; m++) {
        rt->registered[m] = grpc_server_register_method(rt->server, om_rpc_methods[m].path, NULL,
                                                        GRPC_SRM_PAYLOAD_NONE, 0);
    }
    omen_status_t status = bind_all(rt, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_accept_options accept = {.owner = rt,
                                .listen = rt->shared.opt.listen,
                                .ports = rt->ports,
                                .listen_count = rt->shared.opt.listen_count,
                                .max_connections = rt->shared.opt.max_connections,
                                .max_per_address = rt->shared.opt.max_connections_per_address,
                                .max_resets = rt->shared.opt.max_resets,
                                .metrics = rt->shared.opt.metrics,
                                .log = rt->shared.opt.log};
    if (!om_accept_guard(&accept)) {
        return fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY, "no memory for the server", "");
    }
    grpc_server_start(rt->server);
    if (!start_queues(rt)) {
        return fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY, "no thread for the server", "");
    }
    return OMEN_OK;
}

omen_status_t om_rt_start(const om_rt_options *options, om_rt **out, omen_error *err)
{
    if (options->db == NULL || options->listen_count == 0) {
        return fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "db and listen must be given", "");
    }
    om_rt *rt = calloc(1, sizeof *rt);
    if (rt == NULL) {
        return fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY, "no memory for the server", "");
    }
    rt->shared.opt = *options;
    fill_options(&rt->shared.opt);
    make_epoch(rt->shared.epoch);
    pthread_mutex_init(&rt->list_mutex, NULL);
    pthread_mutex_init(&rt->shared.usage.mutex, NULL);
    disable_deadlock_detection();
    grpc_init();
    om_rpc_log_install(rt);
    omen_status_t status = make_access(rt, err);
    if (status == OMEN_OK) {
        status = make_parts(rt, err);
    }
    if (status == OMEN_OK) {
        status = start_server(rt, err);
    }
    if (status != OMEN_OK) {
        om_rt_stop(rt, 0);
        om_rt_free(rt);
        return status;
    }
    *out = rt;
    return OMEN_OK;
}

uint16_t om_rt_port(const om_rt *rt, size_t i)
{
    return i < rt->shared.opt.listen_count ? rt->ports[i] : 0;
}

/* ---- Drain and stop -------------------------------------------------------------------------- */

void om_rt_set_serving(om_rt *rt, bool serving)
{
    atomic_store(&rt->shared.serving, serving);
    om_rpc_wake_streams(rt);
}

void om_rt_drain(om_rt *rt, uint32_t grace_ms)
{
    atomic_store(&rt->shared.drain_grace_ms, grace_ms);
    atomic_store(&rt->shared.serving, false);
    atomic_store(&rt->shared.draining, true);
    om_operations_stop(rt->shared.operations);
    om_rpc_wake_streams(rt);
}

static void on_down(om_rpc *rpc, bool ok)
{
    (void)ok;
    /* The tag carries the server where calls carry themselves. */
    om_rt *rt = (om_rt *)(void *)rpc;
    atomic_store(&rt->down, true);
}

static bool wait_for(om_rt *rt, bool (*done)(om_rt *), uint64_t timeout_ms)
{
    uint64_t end = om_pool_now_ns() + timeout_ms * 1000000u;
    while (!done(rt)) {
        if (om_pool_now_ns() >= end) {
            return false;
        }
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    return true;
}

static bool is_down(om_rt *rt)
{
    return atomic_load(&rt->down);
}

/* Workers may still hold calls after the server is down; using a queue after its end would abort. */
static bool no_calls(om_rt *rt)
{
    return atomic_load_explicit(&rt->allocated, memory_order_acquire) == 0;
}

static uint64_t running(const om_rt *rt)
{
    return atomic_load(&rt->in_flight) + atomic_load(&rt->quiet) + atomic_load(&rt->watches) +
           atomic_load(&rt->refused);
}

static bool no_calls_run(om_rt *rt)
{
    return running(rt) == 0;
}

static void stop_server(om_rt *rt, uint32_t grace_ms)
{
    bool threads = rt->queue[rt->queue_count - 1].thread != 0;
    /* Once it shuts down, the core kills calls that arrive without a status: their clients would see
     * CANCELLED, which nobody tries again. An end of the connection is UNAVAILABLE. */
    if (threads) {
        (void)wait_for(rt, no_calls_run, grace_ms);
        (void)om_accept_close(rt);
    }
    rt->down_tag.fn = on_down;
    rt->down_tag.rpc = (om_rpc *)(void *)rt;
    atomic_fetch_add_explicit(&rt->down_tag.hb, 1, memory_order_release);
    grpc_server_shutdown_and_notify(rt->server, rt->queue[0].cq, &rt->down_tag);
    if (!threads) {
        /* Never served: nobody runs the queues, so take what comes back here. */
        for (uint32_t i = 0; i < rt->queue_count; i++) {
            if (rt->queue[i].thread == 0) {
                grpc_completion_queue_shutdown(rt->queue[i].cq);
                queue_loop(&rt->queue[i]);
            }
        }
    } else if (!wait_for(rt, is_down, grace_ms)) {
        grpc_server_cancel_all_calls(rt->server);
        wait_for(rt, is_down, CANCEL_WAIT_MS);
    }
    wait_for(rt, no_calls, CANCEL_WAIT_MS);
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        if (rt->queue[i].thread != 0) {
            grpc_completion_queue_shutdown(rt->queue[i].cq);
            pthread_join(rt->queue[i].thread, NULL);
        }
    }
    grpc_server_destroy(rt->server);
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        grpc_completion_queue_destroy(rt->queue[i].cq);
        om_queue_free_calls(&rt->queue[i]);
        pthread_mutex_destroy(&rt->queue[i].free_mutex);
    }
    rt->server = NULL;
}

void om_rt_stop(om_rt *rt, uint32_t grace_ms)
{
    if (rt->server != NULL) {
        stop_server(rt, grace_ms);
    }
    om_pool_free(rt->shared.search);
    om_pool_free(rt->shared.ingest);
    om_pool_free(rt->shared.admin);
    om_pool_free(rt->shared.keys);
    om_operations_free(rt->shared.operations);
    rt->shared.operations = NULL;
    rt->shared.search = NULL;
    rt->shared.ingest = NULL;
    rt->shared.admin = NULL;
    rt->shared.keys = NULL;
}

void om_rt_free(om_rt *rt)
{
    if (rt == NULL) {
        return;
    }
    om_accept_leave(rt);
    om_cursors_free(rt->shared.cursors);
    om_colls_free(rt->shared.colls);
    om_rpc_log_remove(rt);
    om_access_free(rt->own_access);
    grpc_shutdown();
    pthread_mutex_destroy(&rt->shared.usage.mutex);
    pthread_mutex_destroy(&rt->list_mutex);
    free(rt->registered);
    free(rt->metrics);
    free(rt->ports);
    free(rt->tls_ports);
    free(rt);
}

void om_rt_get_stats(const om_rt *rt, om_rt_stats *out)
{
    *out = (om_rt_stats){.in_flight = running(rt),
                         .streams = atomic_load(&rt->shared.streams),
                         .searches_queued = om_pool_queued(rt->shared.search),
                         .ingest_queued = om_pool_queued(rt->shared.ingest),
                         .oldest_beat_ns = UINT64_MAX};
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        uint64_t at = atomic_load_explicit(&rt->queue[i].beat_ns, memory_order_relaxed);
        out->oldest_beat_ns = at < out->oldest_beat_ns ? at : out->oldest_beat_ns;
    }
}

void om_rt_tick(om_rt *rt)
{
    om_cursors_sweep(rt->shared.cursors);
    om_rpc_watch(rt, om_pool_now_ns());
    om_usage_tick(&rt->shared, om_pool_now_ns());
    om_rpc_watch_transport(rt); /* by what came since the next line did its work */
    om_accept_tick();
    om_metrics_answer_bytes(rt->shared.opt.metrics, atomic_load(&rt->shared.answer_bytes));
}
