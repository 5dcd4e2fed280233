/* rpc_send.c - what a call sends: messages, the end with its details; and what is counted about it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "method_util.h"
#include "rpc_int.h"

static_assert(sizeof(grpc_slice) <= sizeof(((om_rpc_out *)NULL)->slice),
              "om_rpc_out holds a slice");

static grpc_slice slice_of(const om_rpc_out *out)
{
    grpc_slice slice;
    memcpy(&slice, out->slice, sizeof slice);
    return slice;
}

void om_rpc_out_init(om_rpc_out *out, size_t size)
{
    /* A large slice: a small one would hold its bytes inside itself, and they would move with it. */
    grpc_slice slice = grpc_slice_malloc_large(size > 0 ? size : 1);
    slice.data.refcounted.length = size;
    out->data = slice.data.refcounted.bytes;
    out->size = size;
    memcpy(out->slice, &slice, sizeof slice);
}

void om_rpc_out_drop(om_rpc_out *out)
{
    grpc_slice_unref(slice_of(out));
    out->data = NULL;
}

/* ---- Operations ----------------------------------------------------------------------------------- */

static size_t add_initial(om_rpc *rpc, grpc_op *op)
{
    if (rpc->initial_sent) {
        return 0;
    }
    rpc->initial_sent = true;
    *op = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    if (rpc->request_id[0] != '\0') {
        rpc->initial[0].key = grpc_slice_from_static_string("x-request-id");
        rpc->initial[0].value =
            grpc_slice_from_static_buffer(rpc->request_id, strlen(rpc->request_id));
        op->data.send_initial_metadata.count = 1;
        op->data.send_initial_metadata.metadata = rpc->initial;
    }
    return 1;
}

/* Large answers are held until their clients take them; small ones are bounded by the number of calls. */
static void hold_large(om_rpc *rpc, size_t *held, size_t size)
{
    if (size >= RPC_LARGE) {
        *held = size;
        atomic_fetch_add_explicit(&rpc->held, size, memory_order_relaxed);
        om_rt_note_answers(&rpc->rt->shared, (int64_t)size);
    }
}

static void drop_large(om_rpc *rpc, size_t *held)
{
    if (*held > 0) {
        om_rt_note_answers(&rpc->rt->shared, -(int64_t)*held);
        atomic_fetch_sub_explicit(&rpc->held, *held, memory_order_relaxed);
        *held = 0;
    }
}

static grpc_byte_buffer *buffer_of(om_rpc *rpc, om_rpc_out *out)
{
    grpc_slice slice = slice_of(out);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    atomic_fetch_add_explicit(&rpc->bytes_out, out->size, memory_order_relaxed);
    om_metrics_rpc_sent(rpc->rt->metrics[rpc->index], out->size);
    out->data = NULL;
    return buffer;
}

static size_t add_message(grpc_op *op, grpc_byte_buffer *buffer)
{
    *op = (grpc_op){.op = GRPC_OP_SEND_MESSAGE};
    op->data.send_message.send_message = buffer;
    return 1;
}

static size_t add_status(om_rpc *rpc, grpc_op *op, const om_failure *failure)
{
    *op = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op->data.send_status_from_server.status = GRPC_STATUS_OK;
    rpc->answered_ns = rpc->rt->shared.opt.slow_log_ms > 0 ? om_pool_now_ns() : 0;
    if (failure == NULL) {
        return 1;
    }
    uint8_t details[OM_FAILURE_DETAILS_MAX];
    om_failure f = *failure;
    om_rpc_need_id(rpc);
    memcpy(f.request_id, rpc->request_id, sizeof rpc->request_id);
    size_t size = om_failure_encode(&f, details, sizeof details);
    if (f.code == OMEN_DATA_LOSS) {
        om_metrics_checksum_failure(rpc->rt->shared.opt.metrics);
    }
    om_rpc_log_fault(rpc, &f);
    rpc->code = f.code;
    snprintf(rpc->why, sizeof rpc->why, "%.*s", (int)sizeof rpc->why - 1, f.message);
    rpc->status_text = grpc_slice_from_copied_string(f.message);
    rpc->status_details = grpc_slice_from_copied_buffer((const char *)details, size);
    rpc->trailing[0].key = grpc_slice_from_static_string("grpc-status-details-bin");
    rpc->trailing[0].value = rpc->status_details;
    op->data.send_status_from_server.status = (grpc_status_code)f.code;
    op->data.send_status_from_server.status_details = &rpc->status_text;
    op->data.send_status_from_server.trailing_metadata_count = size > 0 ? 1 : 0;
    op->data.send_status_from_server.trailing_metadata = rpc->trailing;
    return 1;
}

/* ---- Verbs ---------------------------------------------------------------------------------------- */

void om_rpc_write(om_rpc *rpc, om_rpc_out *out)
{
    grpc_op ops[2];
    hold_large(rpc, &rpc->write_large, out->size);
    om_rpc_wait_begins(&rpc->sending_ns, rpc);
    rpc->sent_message = buffer_of(rpc, out);
    size_t n = add_initial(rpc, ops);
    n += add_message(&ops[n], rpc->sent_message);
    om_rpc_start_tag(rpc, &rpc->t_write, ops, n);
}

void om_rpc_on_written(om_rpc *rpc, bool ok)
{
    grpc_byte_buffer_destroy(rpc->sent_message);
    rpc->sent_message = NULL;
    drop_large(rpc, &rpc->write_large);
    if (!atomic_load(&rpc->finished)) {
        om_rpc_wait_ends(&rpc->sending_ns);
    }
    if (ok && rpc->state != NULL && rpc->impl->written != NULL) {
        rpc->impl->written(rpc);
    }
    om_rpc_release(rpc);
}

/* Whether the answer would be one too many of those that wait for slow clients. */
static bool refuse_answer(om_rpc *rpc, om_rpc_out *out)
{
    om_failure f;
    if (out->size < RPC_LARGE || !om_rt_answers_full(&rpc->rt->shared, out->size)) {
        return false;
    }
    om_rpc_out_drop(out);
    om_method_answers_full(&f);
    om_metrics_cut(rpc->rt->shared.opt.metrics, OM_CUT_ANSWERS);
    om_rpc_finish(rpc, &f);
    return true;
}

void om_rpc_reply(om_rpc *rpc, om_rpc_out *out)
{
    if (refuse_answer(rpc, out)) {
        return;
    }
    if (atomic_exchange(&rpc->finished, true)) {
        om_rpc_out_drop(out);
        return;
    }
    grpc_op ops[3];
    hold_large(rpc, &rpc->final_large, out->size);
    om_rpc_answer_begins(rpc);
    rpc->sent_final = buffer_of(rpc, out);
    size_t n = add_initial(rpc, ops);
    n += add_message(&ops[n], rpc->sent_final);
    n += add_status(rpc, &ops[n], NULL);
    om_rpc_start_tag(rpc, &rpc->t_status, ops, n);
}

void om_rpc_finish(om_rpc *rpc, const om_failure *failure)
{
    if (atomic_exchange(&rpc->finished, true)) {
        return;
    }
    grpc_op ops[2];
    om_rpc_answer_begins(rpc);
    size_t n = add_initial(rpc, ops);
    n += add_status(rpc, &ops[n], failure);
    om_rpc_start_tag(rpc, &rpc->t_status, ops, n);
}

void om_rpc_on_status(om_rpc *rpc, bool ok)
{
    (void)ok;
    grpc_byte_buffer_destroy(rpc->sent_final);
    rpc->sent_final = NULL;
    drop_large(rpc, &rpc->final_large);
    om_rpc_wait_ends(&rpc->sending_ns);
    atomic_fetch_sub_explicit(&rpc->rt->unsent, 1, memory_order_relaxed);
    if (rpc->code != 0) {
        grpc_slice_unref(rpc->status_text);
        grpc_slice_unref(rpc->status_details);
    }
    om_rpc_release(rpc);
}

static om_rpc_out pack(const ProtobufCMessage *message)
{
    om_rpc_out out;
    om_rpc_out_init(&out, protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, out.data);
    return out;
}

void om_rpc_reply_pb(om_rpc *rpc, const ProtobufCMessage *message)
{
    om_rpc_out out = pack(message);
    om_rpc_reply(rpc, &out);
}

void om_rpc_write_pb(om_rpc *rpc, const ProtobufCMessage *message)
{
    om_rpc_out out = pack(message);
    om_rpc_write(rpc, &out);
}

/* ---- Accounting ----------------------------------------------------------------------------------- */

static uint32_t final_code(const om_rpc *rpc, uint64_t now)
{
    if (atomic_load(&rpc->finished)) {
        return rpc->code;
    }
    return rpc->deadline_ns != 0 && now >= rpc->deadline_ns ? OMEN_DEADLINE_EXCEEDED
                                                            : OMEN_CANCELLED;
}

void om_rpc_account(om_rpc *rpc)
{
    if (rpc->place == NULL) {
        return;
    }
    om_rt *rt = rpc->rt;
    uint64_t now = om_pool_now_ns();
    uint64_t total = now - rpc->started_ns;
    uint32_t code = final_code(rpc, now);
    const om_rpc_method *m = &om_rpc_methods[rpc->index];
    atomic_fetch_sub_explicit(rpc->place, 1, memory_order_relaxed);
    om_metrics_rpc_handled(rt->metrics[rpc->index], code, total);
    uint64_t slow = (uint64_t)rt->shared.opt.slow_log_ms * 1000000u;
    /* Streams are long by nature, and so is waiting. */
    bool long_by_nature =
        m->client_stream || (rpc->impl->flags & (OM_RPC_QUIET | OM_RPC_WAITS)) != 0;
    if (slow > 0 && total >= slow && !long_by_nature) {
        om_rpc_slow(rpc, code, total);
    }
}

/* ---- What a method may ask ------------------------------------------------------------------------ */

void *om_rpc_state(om_rpc *rpc)
{
    return rpc->state;
}

om_rt *om_rpc_runtime(const om_rpc *rpc)
{
    return rpc->rt;
}

uint32_t om_rpc_method_index(const om_rpc *rpc)
{
    return rpc->index;
}

uint64_t om_rpc_deadline_ns(const om_rpc *rpc)
{
    return rpc->deadline_ns;
}

uint64_t om_rpc_timeout_us(const om_rpc *rpc)
{
    if (rpc->deadline_ns == 0) {
        return 0;
    }
    uint64_t now = om_pool_now_ns();
    uint64_t left = rpc->deadline_ns > now ? (rpc->deadline_ns - now) / 1000 : 0;
    return left > 0 ? left : 1;
}

bool om_rpc_is_cancelled(const om_rpc *rpc)
{
    return atomic_load_explicit(&rpc->cancelled, memory_order_relaxed);
}

omen_op *om_rpc_op(om_rpc *rpc)
{
    if (rpc->op == NULL && omen_op_create(&rpc->op, NULL) != OMEN_OK) {
        rpc->op = NULL;
        return NULL;
    }
    if (!rpc->op_dirty) {
        rpc->op_dirty = true;
        omen_op_reset(rpc->op);
        if (om_rpc_is_cancelled(rpc)) {
            omen_op_cancel(rpc->op);
        }
    }
    return rpc->op;
}

om_arena *om_rpc_arena(om_rpc *rpc)
{
    return &rpc->arena;
}

void om_rpc_note_collection(om_rpc *rpc, const char *name)
{
    snprintf(rpc->collection, sizeof rpc->collection, "%s", name);
}

void om_rpc_note_engine(om_rpc *rpc, uint64_t queue_ns, uint64_t engine_ns)
{
    rpc->queue_ns += queue_ns;
    rpc->engine_ns += engine_ns;
}

void om_rpc_note_search(om_rpc *rpc, const om_slow_search *search)
{
    rpc->search = *search;
}

bool om_rpc_lingers(const om_rpc *rpc)
{
    enum { SOON = 4 }; /* a quarter of the limit */
    uint64_t slow = (uint64_t)rpc->rt->shared.opt.slow_log_ms * 1000000u;
    return slow > 0 && (om_pool_now_ns() - rpc->started_ns) * SOON >= slow;
}

uint32_t om_rpc_neighbours(const om_rpc *rpc)
{
    return atomic_load_explicit(&rpc->queue->live, memory_order_relaxed);
}

bool om_rpc_all_busy(const om_rpc *rpc)
{
    const om_rt *rt = rpc->rt;
    for (uint32_t i = 0; i < rt->queue_count; i++) {
        if (atomic_load_explicit(&rt->queue[i].live, memory_order_relaxed) == 0) {
            return false;
        }
    }
    return true;
}

bool om_rpc_draining(const om_rpc *rpc)
{
    return atomic_load(&rpc->rt->shared.draining);
}
