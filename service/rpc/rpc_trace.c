/* rpc_trace.c - what the headers of a call say: credential, request, trace; and what is kept of slow calls
 * and of failed ones.
 * Metadata is the client's: what is not of the form is as if it were not there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rpc_int.h"

typedef struct text {
    const char *data;
    size_t size;
} text;

static bool is_named(grpc_slice key, const char *name, size_t size)
{
    return GRPC_SLICE_LENGTH(key) == size && memcmp(GRPC_SLICE_START_PTR(key), name, size) == 0;
}

/* Short and printable. */
static void take_request_id(om_rpc *rpc, text value)
{
    if (value.size == 0 || value.size > RPC_REQUEST_ID) {
        return;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] <= ' ' || value.data[i] > '~') {
            return;
        }
    }
    memcpy(rpc->request_id, value.data, value.size);
    rpc->request_id[value.size] = '\0';
}

static bool is_hex(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

static bool is_zero(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (at[i] != '0') {
            return false;
        }
    }
    return true;
}

/* W3C Trace Context: version, trace, parent, flags: "00-<32 hex>-<16 hex>-<2 hex>". A version above 00 may
 * go on behind a dash; ff is none; a trace or parent of zeros is none. */
static void take_trace(om_rpc *rpc, text value)
{
    enum { TRACE = 3, PARENT = 36, FLAGS = 53, END = 55 };
    const char *at = value.data;
    bool whole = value.size == END || (value.size > END && at[END] == '-');
    if (!whole || at[TRACE - 1] != '-' || at[PARENT - 1] != '-' || at[FLAGS - 1] != '-') {
        return;
    }
    bool first = memcmp(at, "00", 2) == 0;
    if (!is_hex(at, 2) || memcmp(at, "ff", 2) == 0 || (first && value.size != END) ||
        !is_hex(at + TRACE, RPC_TRACE_ID) || is_zero(at + TRACE, RPC_TRACE_ID) ||
        !is_hex(at + PARENT, 16) || is_zero(at + PARENT, 16) || !is_hex(at + FLAGS, 2)) {
        return;
    }
    memcpy(rpc->trace_id, at + TRACE, RPC_TRACE_ID);
    rpc->trace_id[RPC_TRACE_ID] = '\0';
}

/* Two credentials are none: which one counts would be a matter of order. */
static void take_authorization(om_rpc *rpc, const grpc_slice *value)
{
    static const char nothing[] = "";
    bool second = rpc->authorization != NULL;
    rpc->authorization =
        second ? nothing : (const char *)(const void *)GRPC_SLICE_START_PTR(*value);
    rpc->authorization_size = second ? 0 : GRPC_SLICE_LENGTH(*value);
}

/* One walk over the headers. Slices of metadata belong to the call; small ones lie inside the array. */
void om_rpc_take_headers(om_rpc *rpc)
{
    for (size_t i = 0; i < rpc->metadata.count; i++) {
        const grpc_metadata *m = &rpc->metadata.metadata[i];
        text value = {(const char *)GRPC_SLICE_START_PTR(m->value), GRPC_SLICE_LENGTH(m->value)};
        if (rpc->request_id[0] == '\0' && is_named(m->key, "x-request-id", 12)) {
            take_request_id(rpc, value);
        } else if (rpc->trace_id[0] == '\0' && is_named(m->key, "traceparent", 11)) {
            take_trace(rpc, value);
        } else if (is_named(m->key, "authorization", 13)) {
            take_authorization(rpc, &m->value);
        }
    }
}

void om_rpc_need_id(om_rpc *rpc)
{
    static _Atomic uint64_t counter;
    if (rpc->request_id[0] == '\0') {
        uint64_t n = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
        snprintf(rpc->request_id, sizeof rpc->request_id, "%.8s-%llx", rpc->rt->shared.epoch,
                 (unsigned long long)n);
    }
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* "ipv4:127.0.0.1:4711", "unix:/path"; as the transport writes it. */
static void put_peer(const om_rpc *rpc, char *out, size_t size)
{
    char *peer = grpc_call_get_peer(rpc->call);
    if (peer != NULL) {
        snprintf(out, size, "%s", peer);
        gpr_free(peer);
    }
}

void om_rpc_slow(om_rpc *rpc, uint32_t code, uint64_t total_ns)
{
    const om_rt_options *opt = &rpc->rt->shared.opt;
    const om_rpc_method *m = &om_rpc_methods[rpc->index];
    uint64_t ended_ns = rpc->started_ns + total_ns;
    om_slow_call call = {.unix_ms = wall_ms(),
                         .service = m->service,
                         .method = m->name,
                         .code = code,
                         .total_us = total_ns / 1000,
                         .queue_us = rpc->queue_ns / 1000,
                         .engine_us = rpc->engine_ns / 1000,
                         .received_bytes = atomic_load(&rpc->bytes_in),
                         .sent_bytes = atomic_load(&rpc->bytes_out),
                         .search = rpc->search};
    if (rpc->answered_ns != 0 && ended_ns > rpc->answered_ns) {
        call.send_us = (ended_ns - rpc->answered_ns) / 1000;
    }
    om_rpc_need_id(rpc);
    memcpy(call.request_id, rpc->request_id, sizeof call.request_id);
    memcpy(call.trace_id, rpc->trace_id, sizeof call.trace_id);
    memcpy(call.collection, rpc->collection, sizeof call.collection);
    snprintf(call.why, sizeof call.why, "%s", rpc->why);
    put_peer(rpc, call.peer, sizeof call.peer);
    if (rpc->principal != NULL) {
        snprintf(call.principal, sizeof call.principal, "%s", rpc->principal->name);
    }
    om_slow_add(opt->observe != NULL ? opt->observe->slow : NULL, &call);
}

static const char *fault_name(uint32_t code)
{
    return code == OMEN_INTERNAL     ? "INTERNAL"
           : code == OMEN_DATA_LOSS  ? "DATA_LOSS"
           : code == OM_CODE_UNKNOWN ? "UNKNOWN"
                                     : NULL;
}

static const char *or_none(const char *word)
{
    return word[0] != '\0' ? word : NULL;
}

void om_rpc_log_fault(const om_rpc *rpc, const om_failure *f)
{
    const char *name = fault_name(f->code);
    om_slog *log = rpc->rt->shared.opt.log;
    if (name == NULL || !om_slog_enabled(log, OMEN_LOG_ERROR)) {
        return;
    }
    char peer[OM_SLOW_PEER] = "";
    put_peer(rpc, peer, sizeof peer);
    bool known = rpc->index < om_rpc_method_count;
    const om_rpc_method *m = known ? &om_rpc_methods[rpc->index] : NULL;
    om_slog(log, OMEN_LOG_ERROR, "call_failed", f->message, OM_SLOG_STR("code", name),
            OM_SLOG_STR("reason", or_none(f->reason)),
            OM_SLOG_STR("service", known ? m->service : NULL),
            OM_SLOG_STR("method", known ? m->name : NULL),
            OM_SLOG_STR("request_id", or_none(f->request_id)),
            OM_SLOG_STR("trace_id", or_none(rpc->trace_id)), OM_SLOG_STR("peer", or_none(peer)),
            OM_SLOG_STR("principal", rpc->principal != NULL ? rpc->principal->name : NULL),
            OM_SLOG_STR("collection", or_none(rpc->collection)));
}
