/* rpc_call.c - the life of a call: a slot waits, a call arrives, is admitted, read, and accounted for.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc_int.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEEP_CALLS 0 /* reuse would hide use after free */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP_CALLS 0
#endif
#endif
#ifndef KEEP_CALLS
#define KEEP_CALLS 1
#endif

static void on_new(om_rpc *rpc, bool ok);
static void on_close(om_rpc *rpc, bool ok);
static void on_read(om_rpc *rpc, bool ok);
static void on_post(om_rpc *rpc, bool ok);

/* ---- Objects --------------------------------------------------------------------------------- */

static void tag_init(om_tag *tag, om_rpc *rpc, void (*fn)(om_rpc *, bool))
{
    tag->fn = fn;
    tag->rpc = rpc;
}

static om_rpc *rpc_new(om_queue *q, uint32_t method)
{
    pthread_mutex_lock(&q->free_mutex);
    om_rpc *rpc = q->free_list;
    if (rpc != NULL) {
        q->free_list = rpc->next;
        q->free_count--;
    }
    pthread_mutex_unlock(&q->free_mutex);
    if (rpc == NULL) {
        rpc = aligned_alloc(64, (sizeof *rpc + 63) & ~(size_t)63);
        if (rpc == NULL) {
            return NULL;
        }
        rpc->op = NULL;
    }
    memset(rpc, 0, offsetof(struct om_rpc, op));
    rpc->op_dirty = false;
    rpc->queue = q;
    rpc->rt = q->rt;
    rpc->index = method;
    rpc->impl = method < om_rpc_method_count ? om_rpc_methods[method].impl : NULL;
    tag_init(&rpc->t_new, rpc, on_new);
    tag_init(&rpc->t_close, rpc, on_close);
    tag_init(&rpc->t_read, rpc, on_read);
    tag_init(&rpc->t_write, rpc, om_rpc_on_written);
    tag_init(&rpc->t_status, rpc, om_rpc_on_status);
    tag_init(&rpc->t_post, rpc, on_post);
    grpc_metadata_array_init(&rpc->metadata);
    grpc_call_details_init(&rpc->details);
    om_arena_init(&rpc->arena, rpc->room, sizeof rpc->room, sizeof rpc->room);
    atomic_fetch_add_explicit(&q->rt->allocated, 1, memory_order_relaxed);
    pthread_mutex_lock(&q->free_mutex);
    om_rpc_watch_add(rpc);
    pthread_mutex_unlock(&q->free_mutex);
    return rpc;
}

static void rpc_free(om_rpc *rpc)
{
    om_queue *q = rpc->queue;
    om_rt *rt = rpc->rt;
    om_arena_reset(&rpc->arena);
    grpc_metadata_array_destroy(&rpc->metadata);
    grpc_call_details_destroy(&rpc->details);
    pthread_mutex_lock(&q->free_mutex);
    om_rpc_watch_remove(rpc);
    bool keep = KEEP_CALLS && q->free_count < RPC_FREE_KEPT;
    if (keep) {
        rpc->next = q->free_list;
        q->free_list = rpc;
        q->free_count++;
    }
    pthread_mutex_unlock(&q->free_mutex);
    if (!keep) {
        omen_op_free(rpc->op);
        free(rpc);
    }
    /* The last touch: after it the server may go away. */
    atomic_fetch_sub_explicit(&rt->allocated, 1, memory_order_release);
}

void om_queue_free_calls(om_queue *q)
{
    while (q->free_list != NULL) {
        om_rpc *next = q->free_list->next;
        omen_op_free(q->free_list->op);
        free(q->free_list);
        q->free_list = next;
    }
}

/* ---- Lifetime -------------------------------------------------------------------------------- */

void om_rpc_hold(om_rpc *rpc)
{
    atomic_fetch_add_explicit(&rpc->pending, 1, memory_order_relaxed);
}

void om_rpc_release(om_rpc *rpc)
{
    if (atomic_fetch_sub_explicit(&rpc->pending, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (rpc->state != NULL && rpc->impl->destroy != NULL) {
        rpc->impl->destroy(rpc);
    }
    if (rpc->state != rpc->state_room) {
        free(rpc->state);
    }
    atomic_fetch_sub_explicit(&rpc->queue->live, 1, memory_order_relaxed);
    om_rpc_account(rpc);
    om_rpc_leave(rpc);
    grpc_byte_buffer_destroy(rpc->received);
    grpc_call_unref(rpc->call);
    rpc_free(rpc);
}

/* Starts a batch whose completion comes back as `tag`; it holds the call meanwhile. */
void om_rpc_start_tag(om_rpc *rpc, om_tag *tag, const grpc_op *ops, size_t count)
{
    om_rpc_hold(rpc);
    atomic_fetch_add_explicit(&tag->hb, 1, memory_order_release);
    grpc_call_error error = grpc_call_start_batch(rpc->call, ops, count, tag, NULL);
    if (error != GRPC_CALL_OK) {
        /* A mistake of this adapter (a batch twice, a wrong order): end the call, keep the server. */
        om_slog(rpc->rt->shared.opt.log, OMEN_LOG_ERROR, "rpc_batch", "a batch was refused",
                OM_SLOG_U64("error", error));
        grpc_call_cancel(rpc->call, NULL);
        /* Never the last hold: whoever starts a batch has one. */
        atomic_fetch_sub_explicit(&rpc->pending, 1, memory_order_acq_rel);
    }
}

void om_rpc_event(om_tag *tag, bool ok)
{
    atomic_load_explicit(&tag->hb, memory_order_acquire);
    tag->fn(tag->rpc, ok);
}

void om_rpc_post(om_rpc *rpc)
{
    if (!atomic_exchange_explicit(&rpc->post_due, true, memory_order_acq_rel)) {
        om_rpc_start_tag(rpc, &rpc->t_post, NULL, 0);
    }
}

static void on_post(om_rpc *rpc, bool ok)
{
    (void)ok;
    atomic_exchange_explicit(&rpc->post_due, false, memory_order_acq_rel);
    if (rpc->state != NULL) {
        if (!rpc->drain_told && atomic_load(&rpc->rt->shared.draining)) {
            rpc->drain_told = true;
            if (rpc->impl->drain != NULL) {
                rpc->impl->drain(rpc);
            }
        }
        if (rpc->impl->posted != NULL) {
            rpc->impl->posted(rpc);
        }
    }
    om_rpc_release(rpc);
}

/* ---- Streams that must hear of a drain or a change of health --------------------------------- */

static void list_add(om_rpc *rpc)
{
    om_rt *rt = rpc->rt;
    pthread_mutex_lock(&rt->list_mutex);
    rpc->listed = true;
    rpc->next = rt->streams;
    if (rpc->next != NULL) {
        rpc->next->prev = rpc;
    }
    rt->streams = rpc;
    pthread_mutex_unlock(&rt->list_mutex);
}

static void list_remove(om_rpc *rpc)
{
    om_rt *rt = rpc->rt;
    pthread_mutex_lock(&rt->list_mutex);
    rpc->listed = false;
    *(rpc->prev != NULL ? &rpc->prev->next : &rt->streams) = rpc->next;
    if (rpc->next != NULL) {
        rpc->next->prev = rpc->prev;
    }
    pthread_mutex_unlock(&rt->list_mutex);
}

/* A listed call has RECV_CLOSE outstanding, so it is alive under the mutex. */
void om_rpc_wake_streams(om_rt *rt)
{
    pthread_mutex_lock(&rt->list_mutex);
    for (om_rpc *rpc = rt->streams; rpc != NULL; rpc = rpc->next) {
        om_rpc_post(rpc);
    }
    pthread_mutex_unlock(&rt->list_mutex);
}

/* ---- Arrival --------------------------------------------------------------------------------- */

void om_rpc_listen(om_queue *q, uint32_t method)
{
    om_rpc *rpc = rpc_new(q, method);
    if (rpc == NULL) {
        om_slog_write(q->rt->shared.opt.log, OMEN_LOG_ERROR, "rpc_memory",
                      "no memory for a request slot", NULL, 0);
        return;
    }
    atomic_fetch_add_explicit(&rpc->t_new.hb, 1, memory_order_release);
    grpc_call_error error = GRPC_CALL_OK;
    if (method < om_rpc_method_count) {
        error = grpc_server_request_registered_call(q->rt->server, q->rt->registered[method],
                                                    &rpc->call, &rpc->deadline, &rpc->metadata,
                                                    NULL, q->cq, q->cq, &rpc->t_new);
    } else {
        error = grpc_server_request_call(q->rt->server, &rpc->call, &rpc->details, &rpc->metadata,
                                         q->cq, q->cq, &rpc->t_new);
    }
    if (error != GRPC_CALL_OK) {
        rpc_free(rpc);
    }
}

static uint64_t deadline_of(gpr_timespec deadline, uint64_t now_ns)
{
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
        return 0;
    }
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    if (left.tv_sec < 0) {
        return now_ns;
    }
    if (left.tv_sec > 365 * 86400) {
        return 0;
    }
    return now_ns + (uint64_t)left.tv_sec * 1000000000u + (uint64_t)left.tv_nsec;
}

/* The call is answered, and its place is another's: a client that does not take refusals would else have all
 * places, since calls that were answered do not count among the streams of its connection. */
static void give_place(om_rpc *rpc)
{
    atomic_fetch_sub_explicit(rpc->place, 1, memory_order_relaxed);
    rpc->place = &rpc->rt->refused;
    atomic_fetch_add_explicit(rpc->place, 1, memory_order_relaxed);
    atomic_store_explicit(&rpc->refused, true, memory_order_relaxed);
}

static void refuse(om_rpc *rpc, uint32_t code, const char *reason, uint32_t why, const char *text)
{
    om_failure f;
    om_failure_set(&f, code, reason, NULL, "%s", text);
    f.retry_ms = 1000;
    om_metrics_rpc_shed(rpc->rt->shared.opt.metrics, why);
    give_place(rpc);
    om_rpc_finish(rpc, &f);
}

static bool is_watch(const om_rpc *rpc)
{
    return om_rpc_methods[rpc->index].server_stream;
}

/* Counts the call in, and says whether there is room for it. Health must answer when all others are refused,
 * but it asks for no credential: what is counted there takes no place from those who have one, and
 * streams, which stay as long as their client likes, leave room for probes. */
static bool count_in(om_rpc *rpc, bool quiet)
{
    om_rt *rt = rpc->rt;
    uint64_t limit = !quiet          ? rt->shared.opt.max_in_flight
                     : is_watch(rpc) ? (uint64_t)RPC_WATCHES_MAX
                                     : (uint64_t)RPC_QUIET_MAX;
    rpc->place = !quiet ? &rt->in_flight : is_watch(rpc) ? &rt->watches : &rt->quiet;
    if (rpc->place == &rt->watches) {
        om_rpc_note_address(rpc);
    }
    if (atomic_fetch_add_explicit(rpc->place, 1, memory_order_relaxed) < limit) {
        return true;
    }
    return quiet && (is_watch(rpc) ? om_rpc_end_watch(rpc) : om_rpc_end_silent(rt));
}

static void look_at_unsent(om_rt *rt)
{
    if (atomic_load_explicit(&rt->unsent, memory_order_relaxed) > RPC_UNSENT_MANY &&
        atomic_fetch_add_explicit(&rt->looks, 1, memory_order_relaxed) % RPC_UNSENT_LOOK == 0) {
        om_rpc_cut_unsent(rt);
    }
}

/* Admission: the call is answered here, or given to its method. */
static void admit(om_rpc *rpc)
{
    om_rt *rt = rpc->rt;
    const om_rpc_impl *impl = rpc->impl;
    bool quiet = (impl->flags & OM_RPC_QUIET) != 0;
    bool room = count_in(rpc, quiet);
    om_metrics_rpc_started(rt->metrics[rpc->index]);
    if (atomic_load(&rt->shared.draining) && !quiet) {
        refuse(rpc, OMEN_UNAVAILABLE, "DRAINING", OM_SHED_DRAINING, "the server is stopping");
        return;
    }
    if (!room) {
        refuse(rpc, OMEN_RESOURCE_EXHAUSTED, "RATE", OM_SHED_INFLIGHT,
               "too many calls are in flight on this server");
        return;
    }
    om_failure f;
    if (!om_rpc_authorize(rpc, &f)) {
        give_place(rpc);
        om_rpc_finish(rpc, &f);
        return;
    }
    rpc->state = rpc->state_room;
    if (impl->state_size > sizeof rpc->state_room) {
        rpc->state = malloc(impl->state_size);
    }
    if (rpc->state == NULL) {
        refuse(rpc, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", OM_SHED_MEMORY, "no memory for the call");
        return;
    }
    memset(rpc->state, 0, impl->state_size);
    const om_rpc_method *m = &om_rpc_methods[rpc->index];
    if (m->client_stream || m->server_stream) {
        list_add(rpc);
        /* A drain that began since the check above did not see this call. */
        if (atomic_load(&rt->shared.draining)) {
            om_rpc_post(rpc);
        }
    }
    if (impl->start != NULL) {
        impl->start(rpc);
    }
    om_rpc_wait_begins(&rpc->reading_ns, rpc);
    om_rpc_read(rpc);
}

static void refuse_unknown(om_rpc *rpc)
{
    om_failure f;
    char path[128];
    size_t size = GRPC_SLICE_LENGTH(rpc->details.method);
    size = size < sizeof path - 1 ? size : sizeof path - 1;
    memcpy(path, GRPC_SLICE_START_PTR(rpc->details.method), size);
    path[size] = '\0';
    if (!om_utf8_valid((const uint8_t *)path, size)) {
        snprintf(path, sizeof path, "this");
    }
    om_metrics_rpc_unimplemented(rpc->rt->shared.opt.metrics);
    atomic_store_explicit(&rpc->refused, true, memory_order_relaxed);
    om_failure_set(&f, OMEN_UNIMPLEMENTED, "UNIMPLEMENTED", NULL, "method %s is not known", path);
    om_rpc_finish(rpc, &f);
}

static void on_new(om_rpc *rpc, bool ok)
{
    if (!ok) {
        /* The server shuts down; there is no call. */
        rpc_free(rpc);
        return;
    }
    om_rpc_listen(rpc->queue, rpc->index);
    /* From here on om_rpc_watch may hold the call. */
    atomic_store_explicit(&rpc->pending, 1, memory_order_release);
    atomic_fetch_add_explicit(&rpc->queue->live, 1, memory_order_relaxed);
    rpc->started_ns = om_pool_now_ns();
    bool known = rpc->index < om_rpc_method_count;
    rpc->deadline_ns = deadline_of(known ? rpc->deadline : rpc->details.deadline, rpc->started_ns);
    om_rpc_take_headers(rpc);
    /* First and always: it tells of cancellation, and holds the call until the end. */
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &rpc->close_cancelled;
    om_rpc_start_tag(rpc, &rpc->t_close, &op, 1);
    if (known) {
        admit(rpc);
    } else {
        refuse_unknown(rpc);
    }
    look_at_unsent(rpc->rt);
    om_rpc_release(rpc);
}

static void on_close(om_rpc *rpc, bool ok)
{
    (void)ok;
    if (rpc->listed) {
        list_remove(rpc);
    }
    if (rpc->close_cancelled != 0 && !atomic_load(&rpc->finished)) {
        atomic_store(&rpc->cancelled, true);
        om_rpc_note_reset(rpc, om_pool_now_ns());
        if (rpc->op != NULL) {
            omen_op_cancel(rpc->op);
        }
        if (rpc->state != NULL && rpc->impl->cancelled != NULL) {
            rpc->impl->cancelled(rpc);
        }
    }
    om_rpc_release(rpc);
}

/* ---- Messages -------------------------------------------------------------------------------- */

typedef struct message_box {
    om_rpc_message message; /* first */
    grpc_byte_buffer *buffer;
    om_rpc *rpc;      /* lives as long as its messages */
    uint64_t counted; /* in om_rt.shared.read_bytes    */
    om_span spans[];
} message_box;

/* Points at the slices of the buffer, which stay where they are until the message is freed. */
static om_rpc_message *message_of(om_rpc *rpc, grpc_byte_buffer *buffer)
{
    const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
    message_box *box = malloc(sizeof *box + slices->count * sizeof box->spans[0]);
    if (box == NULL) {
        return NULL;
    }
    box->buffer = buffer;
    box->rpc = rpc;
    box->counted = 0;
    for (size_t i = 0; i < slices->count; i++) {
        box->spans[i] = (om_span){GRPC_SLICE_START_PTR(slices->slices[i]),
                                  GRPC_SLICE_LENGTH(slices->slices[i])};
    }
    box->message = (om_rpc_message){box->spans, slices->count, slices->length};
    if (slices->length >= RPC_LARGE) {
        box->counted = rpc->impl->verb != OM_VERB_WRITE ? slices->length : 0;
        atomic_fetch_add_explicit(&rpc->held, slices->length, memory_order_relaxed);
        atomic_fetch_add_explicit(&rpc->rt->shared.read_bytes, box->counted, memory_order_relaxed);
    }
    return &box->message;
}

void om_rpc_message_free(om_rpc_message *message)
{
    if (message != NULL) {
        message_box *box = (message_box *)(void *)message;
        om_rpc *rpc = box->rpc;
        if (message->size >= RPC_LARGE) {
            atomic_fetch_sub_explicit(&rpc->held, message->size, memory_order_relaxed);
            atomic_fetch_sub_explicit(&rpc->rt->shared.read_bytes, box->counted,
                                      memory_order_relaxed);
        }
        grpc_byte_buffer_destroy(box->buffer);
        free(box);
    }
}

void om_rpc_read(om_rpc *rpc)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &rpc->received;
    om_rpc_start_tag(rpc, &rpc->t_read, &op, 1);
}

/* Whether a message may be held; what writes has a limit of its own (om_rt_ingest_full). */
static bool has_room(const om_rpc *rpc, size_t size)
{
    const om_rt_shared *s = &rpc->rt->shared;
    return size < RPC_LARGE || rpc->impl->verb == OM_VERB_WRITE ||
           om_rt_reads_hold(s) + size <= om_rt_reads_limit(s);
}

static void give_message(om_rpc *rpc, grpc_byte_buffer *buffer)
{
    om_failure f;
    size_t size = grpc_byte_buffer_length(buffer);
    atomic_fetch_add_explicit(&rpc->bytes_in, size, memory_order_relaxed);
    om_metrics_rpc_received(rpc->rt->metrics[rpc->index], size);
    if (om_rpc_methods[rpc->index].client_stream && !om_rpc_still(rpc, &f)) {
        grpc_byte_buffer_destroy(buffer);
        if (rpc->impl->refused != NULL) {
            rpc->impl->refused(rpc, &f);
        } else {
            om_rpc_finish(rpc, &f);
        }
        return;
    }
    om_rpc_message *message = NULL;
    if (buffer->type != GRPC_BB_RAW || buffer->data.raw.compression != GRPC_COMPRESS_NONE) {
        om_failure_set(&f, OMEN_UNIMPLEMENTED, "UNIMPLEMENTED", NULL,
                       "compressed messages are refused");
    } else if (!has_room(rpc, size)) {
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "MESSAGES", NULL,
                       "messages of calls that are not answered yet hold as much memory as may be");
        f.retry_ms = 1000;
        om_metrics_rpc_shed(rpc->rt->shared.opt.metrics, OM_SHED_MEMORY);
    } else if ((message = message_of(rpc, buffer)) == NULL) {
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the message");
    }
    if (message == NULL) {
        grpc_byte_buffer_destroy(buffer);
        om_rpc_finish(rpc, &f);
        return;
    }
    rpc->single_seen = true;
    rpc->impl->message(rpc, message);
}

static void on_read(om_rpc *rpc, bool ok)
{
    grpc_byte_buffer *buffer = rpc->received;
    rpc->received = NULL;
    om_rpc_wait_ends(
        &rpc->reading_ns); /* of the first message; later ones of a stream may take their time */
    bool streams = om_rpc_methods[rpc->index].client_stream;
    if (buffer != NULL) {
        give_message(rpc, buffer);
    } else if (ok && grpc_call_failed_before_recv_message(rpc->call) == 0) {
        if (streams) {
            rpc->impl->message(rpc, NULL);
        } else if (!rpc->single_seen) {
            om_failure f;
            om_failure_set(&f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL, "the call has no message");
            om_rpc_finish(rpc, &f);
        }
    }
    om_rpc_release(rpc);
}

static bool copy_flat(const om_rpc_message *message, uint8_t *to)
{
    om_wread r;
    om_wread_init(&r, message->spans, message->span_count);
    return om_wread_copy(&r, to, message->size);
}

void *om_rpc_unpack(om_rpc *rpc, om_rpc_message *message, const ProtobufCMessageDescriptor *type)
{
    om_failure f;
    void *out = NULL;
    const uint8_t *data = message->span_count == 1 ? message->spans[0].data : NULL;
    if (data == NULL) {
        rpc->arena.limit = rpc->arena.used + message->size;
        uint8_t *flat = om_arena_alloc(&rpc->arena, message->size, 16);
        data = flat != NULL && copy_flat(message, flat) ? flat : NULL;
    }
    if (data == NULL && message->size > 0) {
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the message");
    } else {
        static const uint8_t nothing[1];
        out = om_guard_unpack(type, &rpc->arena, data != NULL ? data : nothing, message->size, &f);
    }
    om_rpc_message_free(message);
    if (out == NULL) {
        om_rpc_finish(rpc, &f);
    }
    return out;
}
