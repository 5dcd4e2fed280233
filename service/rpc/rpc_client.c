/* rpc_client.c - unary calls and the connection of the gRPC client. Each client has a channel with
 * a subchannel pool of its own: the C core would otherwise share one connection between equal
 * channels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "rpc_client.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc_client_int.h"

struct om_rpcc_buf {
    int refs; /* atomic: the transport drops its reference on a thread of its own */
    size_t size;
    uint8_t data[];
};

om_rpcc_buf *om_rpcc_buf_create(size_t size)
{
    om_rpcc_buf *buf = malloc(sizeof *buf + size);
    if (buf != NULL) {
        __atomic_store_n(&buf->refs, 1, __ATOMIC_RELAXED);
        buf->size = size;
    }
    return buf;
}

void *om_rpcc_buf_data(om_rpcc_buf *buf)
{
    return buf->data;
}

size_t om_rpcc_buf_size(const om_rpcc_buf *buf)
{
    return buf->size;
}

om_rpcc_buf *om_rpcc_buf_ref(om_rpcc_buf *buf)
{
    /* Release: whoever drops the last reference has seen all that was written before. The transport's
     * own hand-over would do, but a thread sanitizer cannot see into that library. */
    __atomic_fetch_add(&buf->refs, 1, __ATOMIC_RELEASE);
    return buf;
}

void om_rpcc_buf_unref(om_rpcc_buf *buf)
{
    if (buf != NULL && __atomic_fetch_sub(&buf->refs, 1, __ATOMIC_ACQ_REL) == 1) {
        free(buf);
    }
}

static void unref_from_slice(void *buf)
{
    om_rpcc_buf_unref(buf);
}

grpc_byte_buffer *om_rpcc_wrap(om_rpcc_buf *buf)
{
    om_rpcc_buf_ref(buf);
    grpc_slice slice = grpc_slice_new_with_user_data(buf->data, buf->size, unref_from_slice, buf);
    grpc_byte_buffer *wrapped = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return wrapped;
}

om_rpcc_buf *om_rpcc_copy(grpc_byte_buffer *from)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, from)) {
        return NULL;
    }
    om_rpcc_buf *buf = om_rpcc_buf_create(grpc_byte_buffer_length(from));
    size_t at = 0;
    grpc_slice *slice;
    while (buf != NULL && grpc_byte_buffer_reader_peek(&reader, &slice)) {
        size_t n = GRPC_SLICE_LENGTH(*slice);
        if (n > buf->size - at) {
            break;
        }
        memcpy(buf->data + at, GRPC_SLICE_START_PTR(*slice), n);
        at += n;
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return buf;
}

bool om_rpcc_set_status(om_rpcc_status *status, int code, const char *message)
{
    memset(status, 0, sizeof *status);
    status->code = code;
    (void)snprintf(status->message, sizeof status->message, "%s", message);
    return code == 0;
}

static void copy_slice(char *out, size_t cap, grpc_slice slice)
{
    size_t n = GRPC_SLICE_LENGTH(slice);
    n = n < cap ? n : cap - 1;
    memcpy(out, GRPC_SLICE_START_PTR(slice), n);
    out[n] = '\0';
    for (size_t i = 0; i < n; i++) { /* a server must not be able to drive our terminal */
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f) {
            out[i] = ' ';
        }
    }
}

void om_rpcc_take_status(const om_rpcc_result *result, om_rpcc_status *status)
{
    memset(status, 0, sizeof *status);
    status->code = (int)result->code;
    if (result->code == GRPC_STATUS_OK) {
        return;
    }
    copy_slice(status->message, sizeof status->message, result->text);
    for (size_t i = 0; i < result->trailing.count; i++) {
        const grpc_metadata *m = &result->trailing.metadata[i];
        if (grpc_slice_str_cmp(m->key, "grpc-status-details-bin") == 0) {
            om_rpcc_read_details(GRPC_SLICE_START_PTR(m->value), GRPC_SLICE_LENGTH(m->value),
                                 status);
        }
    }
}

void om_rpcc_result_init(om_rpcc_result *result)
{
    memset(result, 0, sizeof *result);
    grpc_metadata_array_init(&result->initial);
    grpc_metadata_array_init(&result->trailing);
    result->text = grpc_empty_slice();
}

void om_rpcc_result_free(om_rpcc_result *result)
{
    grpc_metadata_array_destroy(&result->initial);
    grpc_metadata_array_destroy(&result->trailing);
    grpc_slice_unref(result->text);
}

gpr_timespec om_rpcc_deadline(uint64_t timeout_ms)
{
    if (timeout_ms == 0 || timeout_ms > INT64_MAX) {
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    }
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
}

/* The distribution builds abseil with its deadlock detector on: a global lock on every mutex. */
static void quiet_abseil(void)
{
    void (*set)(int) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_"
                                       "15OnDeadlockCycleE");
    memcpy(&set, &symbol, sizeof set);
    if (set != NULL) {
        set(0);
    }
}

static grpc_channel_credentials *credentials(const om_rpcc_options *opt)
{
    if (opt->tls_ca == NULL) {
        return grpc_insecure_credentials_create();
    }
    grpc_ssl_pem_key_cert_pair pair = {opt->tls_key, opt->tls_cert};
    return grpc_ssl_credentials_create_ex(opt->tls_ca, opt->tls_cert != NULL ? &pair : NULL, NULL,
                                          NULL);
}

static void set_int(grpc_arg *arg, char *key, int value)
{
    arg->type = GRPC_ARG_INTEGER;
    arg->key = key;
    arg->value.integer = value;
}

/* A header of every call; key is static. */
static void send_always(om_rpcc *c, const char *key, const char *value)
{
    if (value != NULL) {
        grpc_metadata *m = &c->metadata[c->metadata_count++];
        m->key = grpc_slice_from_static_string(key);
        m->value = grpc_slice_from_copied_string(value);
    }
}

bool om_rpcc_open(const om_rpcc_options *opt, om_rpcc **out, om_rpcc_status *status)
{
    static char local_pool[] = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL;
    static char max_receive[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH;
    static char first_backoff[] = GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS;
    static char name_override[] = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG;
    if ((opt->tls_cert != NULL) != (opt->tls_key != NULL)) {
        return om_rpcc_set_status(status, 3, "a certificate and its key go together");
    }
    om_rpcc *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return om_rpcc_set_status(status, 8, "out of memory");
    }
    quiet_abseil();
    grpc_init();
    grpc_arg list[4];
    size_t n = 0;
    set_int(&list[n++], local_pool, 1);
    set_int(&list[n++], max_receive, (int)OM_RPCC_MESSAGE_MAX);
    set_int(&list[n++], first_backoff, 200);
    char *name = opt->tls_name != NULL ? strdup(opt->tls_name) : NULL;
    if (name != NULL) {
        list[n].type = GRPC_ARG_STRING;
        list[n].key = name_override;
        list[n++].value.string = name;
    }
    grpc_channel_args args = {n, list};
    grpc_channel_credentials *creds = credentials(opt);
    if (creds != NULL) {
        c->channel = grpc_channel_create(opt->address, creds, &args);
        grpc_channel_credentials_release(creds);
    }
    free(name);
    if (c->channel == NULL) {
        grpc_shutdown();
        free(c);
        return om_rpcc_set_status(status, 3, "the TLS files are not usable");
    }
    c->queue = grpc_completion_queue_create_for_next(NULL);
    send_always(c, "authorization", opt->authorization);
    send_always(c, "traceparent", opt->traceparent);
    *out = c;
    return true;
}

/* Takes what is left in the queue, so that it can be destroyed. */
static void drain_queue(om_rpcc *c)
{
    grpc_completion_queue_shutdown(c->queue);
    while (grpc_completion_queue_next(c->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(c->queue);
}

static void call_free(om_rpcc_unary *u)
{
    grpc_call_unref(u->call);
    grpc_byte_buffer_destroy(u->sent);
    grpc_byte_buffer_destroy(u->received);
    om_rpcc_result_free(&u->result);
    free(u);
}

void om_rpcc_close(om_rpcc *c)
{
    if (c == NULL) {
        return;
    }
    for (om_rpcc_unary *u = c->running; u != NULL; u = u->next) {
        (void)grpc_call_cancel(u->call, NULL);
    }
    while (c->in_flight > 0) {
        void *user;
        om_rpcc_buf *reply;
        om_rpcc_status status;
        (void)om_rpcc_next(c, &user, &reply, &status);
        om_rpcc_buf_unref(reply);
    }
    drain_queue(c);
    grpc_channel_destroy(c->channel);
    for (size_t i = 0; i < c->metadata_count; i++) {
        grpc_slice_unref(c->metadata[i].value);
    }
    free(c);
    grpc_shutdown();
}

/* Registered methods spare the transport a lookup a call; a client uses a handful of them. */
static void *registered(om_rpcc *c, const char *method)
{
    for (size_t i = 0; i < OM_RPCC_METHODS && c->methods[i].name[0] != '\0'; i++) {
        if (strcmp(c->methods[i].name, method) == 0) {
            return c->methods[i].handle;
        }
    }
    for (size_t i = 0; i < OM_RPCC_METHODS; i++) {
        if (c->methods[i].name[0] == '\0' && strlen(method) < sizeof c->methods[i].name) {
            (void)snprintf(c->methods[i].name, sizeof c->methods[i].name, "%s", method);
            c->methods[i].handle = grpc_channel_register_call(c->channel, method, NULL, NULL);
            return c->methods[i].handle;
        }
    }
    return NULL;
}

grpc_call *om_rpcc_new_call(om_rpcc *c, const char *method, gpr_timespec deadline)
{
    void *handle = registered(c, method);
    if (handle != NULL) {
        return grpc_channel_create_registered_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                                   c->queue, handle, deadline, NULL);
    }
    grpc_slice name = grpc_slice_from_copied_string(method);
    grpc_call *call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->queue,
                                               name, NULL, deadline, NULL);
    grpc_slice_unref(name);
    return call;
}

void om_rpcc_initial_op(om_rpcc *c, grpc_op *op)
{
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    op->data.send_initial_metadata.count = c->metadata_count;
    op->data.send_initial_metadata.metadata = c->metadata_count > 0 ? c->metadata : NULL;
}

bool om_rpcc_start(om_rpcc *c, const char *method, om_rpcc_buf *request, uint64_t timeout_ms,
                   void *user)
{
    om_rpcc_unary *u = c->in_flight < OM_RPCC_IN_FLIGHT_MAX ? calloc(1, sizeof *u) : NULL;
    if (u == NULL) {
        return false;
    }
    om_rpcc_result_init(&u->result);
    u->user = user;
    u->sent = om_rpcc_wrap(request);
    u->call = om_rpcc_new_call(c, method, om_rpcc_deadline(timeout_ms));
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    om_rpcc_initial_op(c, &ops[0]);
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = u->sent;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &u->result.initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &u->received;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &u->result.trailing;
    ops[5].data.recv_status_on_client.status = &u->result.code;
    ops[5].data.recv_status_on_client.status_details = &u->result.text;
    if (grpc_call_start_batch(u->call, ops, 6, u, NULL) != GRPC_CALL_OK) {
        call_free(u);
        return false;
    }
    u->next = c->running;
    if (u->next != NULL) {
        u->next->prev = u;
    }
    c->running = u;
    c->in_flight++;
    return true;
}

static void unlink_call(om_rpcc *c, om_rpcc_unary *u)
{
    if (u->prev != NULL) {
        u->prev->next = u->next;
    } else {
        c->running = u->next;
    }
    if (u->next != NULL) {
        u->next->prev = u->prev;
    }
    c->in_flight--;
}

bool om_rpcc_next(om_rpcc *c, void **user, om_rpcc_buf **reply, om_rpcc_status *status)
{
    *reply = NULL;
    if (c->in_flight == 0) {
        return false;
    }
    grpc_event event;
    do {
        event = grpc_completion_queue_next(c->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    } while (event.type != GRPC_OP_COMPLETE);
    om_rpcc_unary *u = event.tag;
    unlink_call(c, u);
    *user = u->user;
    om_rpcc_take_status(&u->result, status);
    if (status->code == 0) {
        *reply = u->received != NULL ? om_rpcc_copy(u->received) : NULL;
        if (*reply == NULL) {
            (void)om_rpcc_set_status(status, 13, "the answer could not be read");
        }
    }
    call_free(u);
    return true;
}

bool om_rpcc_call(om_rpcc *c, const char *method, om_rpcc_buf *request, uint64_t timeout_ms,
                  om_rpcc_buf **reply, om_rpcc_status *status)
{
    void *user;
    if (!om_rpcc_start(c, method, request, timeout_ms, NULL)) {
        return om_rpcc_set_status(status, 8, "out of memory, or too many calls under way");
    }
    return om_rpcc_next(c, &user, reply, status) && status->code == 0;
}
