/* rpc_client_stream.c - bidirectional streams of the gRPC client. One message is on its way out and
 * one read is outstanding at any time; a stream ends when its status and the end of its messages
 * are in.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "rpc_client_int.h"

struct om_rpcc_stream {
    om_rpcc *client;
    grpc_call *call;
    grpc_byte_buffer *sending, *received;
    om_rpcc_result result;
    bool started, busy, half_closed; /* sending */
    bool reading, read_end;          /* receiving */
    bool status_in, end_told;
};

/* The tags of the completion queue: the address of one of these tells what has ended. */
static char tag_start, tag_send, tag_close, tag_read, tag_status;

static bool start_op(om_rpcc_stream *s, grpc_op *op, size_t n, void *tag)
{
    return grpc_call_start_batch(s->call, op, n, tag, NULL) == GRPC_CALL_OK;
}

static bool start_read(om_rpcc_stream *s)
{
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_RECV_MESSAGE;
    op.data.recv_message.recv_message = &s->received;
    s->reading = start_op(s, &op, 1, &tag_read);
    s->read_end = s->read_end || !s->reading;
    return s->reading;
}

bool om_rpcc_stream_open(om_rpcc *c, const char *method, om_rpcc_stream **out,
                         om_rpcc_status *status)
{
    om_rpcc_stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return om_rpcc_set_status(status, 8, "out of memory");
    }
    om_rpcc_result_init(&s->result);
    s->client = c;
    s->call = om_rpcc_new_call(c, method, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    grpc_op ops[2];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[0].data.recv_status_on_client.trailing_metadata = &s->result.trailing;
    ops[0].data.recv_status_on_client.status = &s->result.code;
    ops[0].data.recv_status_on_client.status_details = &s->result.text;
    bool ok = start_op(s, ops, 1, &tag_status);
    s->status_in = !ok;
    memset(ops, 0, sizeof ops);
    om_rpcc_initial_op(c, &ops[0]);
    ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &s->result.initial;
    s->started = ok && start_op(s, ops, 2, &tag_start);
    ok = s->started && start_read(s);
    if (!ok) {
        om_rpcc_stream_free(s);
        return om_rpcc_set_status(status, 13, "the stream could not be started");
    }
    *out = s;
    return true;
}

bool om_rpcc_stream_can_send(const om_rpcc_stream *s)
{
    return !s->busy && !s->half_closed && !s->status_in;
}

bool om_rpcc_stream_send(om_rpcc_stream *s, om_rpcc_buf *message)
{
    if (!om_rpcc_stream_can_send(s)) {
        return false;
    }
    s->sending = om_rpcc_wrap(message);
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_MESSAGE;
    op.data.send_message.send_message = s->sending;
    s->busy = start_op(s, &op, 1, &tag_send);
    return s->busy;
}

bool om_rpcc_stream_half_close(om_rpcc_stream *s)
{
    if (!om_rpcc_stream_can_send(s)) {
        return false;
    }
    grpc_op op;
    memset(&op, 0, sizeof op);
    op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    s->half_closed = start_op(s, &op, 1, &tag_close);
    s->busy = s->half_closed;
    return s->half_closed;
}

/* Takes note of an event of the queue. Returns what the caller has to be told. */
static om_rpcc_event on_event(om_rpcc_stream *s, const grpc_event *event, om_rpcc_buf **message)
{
    if (event->tag == &tag_start) {
        s->started = false;
    } else if (event->tag == &tag_status) {
        s->status_in = true;
    } else if (event->tag == &tag_send || event->tag == &tag_close) {
        grpc_byte_buffer_destroy(s->sending);
        s->sending = NULL;
        s->busy = false;
        /* A failed send means that the call is over: its status follows. */
        return event->success && event->tag == &tag_send ? OM_RPCC_SENT : OM_RPCC_NOTHING;
    } else if (event->tag == &tag_read) {
        s->reading = false;
        if (!event->success || s->received == NULL) {
            s->read_end = true;
            return OM_RPCC_NOTHING;
        }
        *message = om_rpcc_copy(s->received);
        grpc_byte_buffer_destroy(s->received);
        s->received = NULL;
        (void)start_read(s);
        return *message != NULL ? OM_RPCC_MESSAGE : OM_RPCC_NOTHING;
    }
    return OM_RPCC_NOTHING;
}

static bool all_in(const om_rpcc_stream *s)
{
    return s->status_in && !s->reading && !s->busy && !s->started;
}

om_rpcc_event om_rpcc_stream_poll(om_rpcc_stream *s, uint64_t timeout_ms, om_rpcc_buf **message,
                                  om_rpcc_status *status)
{
    gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                      gpr_time_from_millis((int64_t)timeout_ms, GPR_TIMESPAN));
    *message = NULL;
    while (!all_in(s)) {
        grpc_event event = grpc_completion_queue_next(s->client->queue, until, NULL);
        if (event.type != GRPC_OP_COMPLETE) {
            return OM_RPCC_NOTHING;
        }
        om_rpcc_event what = on_event(s, &event, message);
        if (what != OM_RPCC_NOTHING) {
            return what;
        }
    }
    s->end_told = true;
    om_rpcc_take_status(&s->result, status);
    return OM_RPCC_ENDED;
}

void om_rpcc_stream_free(om_rpcc_stream *s)
{
    if (s == NULL) {
        return;
    }
    if (!all_in(s)) {
        (void)grpc_call_cancel(s->call, NULL);
    }
    while (!all_in(s)) {
        om_rpcc_buf *message;
        om_rpcc_status status;
        (void)om_rpcc_stream_poll(s, 1000, &message, &status);
        om_rpcc_buf_unref(message);
    }
    grpc_call_unref(s->call);
    grpc_byte_buffer_destroy(s->sending);
    grpc_byte_buffer_destroy(s->received);
    om_rpcc_result_free(&s->result);
    free(s);
}
