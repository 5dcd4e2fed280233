/* echo_server.c - what the gRPC library can do with the batches of a stream when nobody looks at them.
 *
 *   echo_server [whole]
 *
 * Answers every call like Items.StreamWrite: Opened to its first message, an Ack to each further one
 * (whole: the message itself goes back). One call at a time; prints its port, ends when stdin is closed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "remote.h"
#include "rpc_client_int.h"

enum { WINDOW = 32 << 20 };
typedef enum tag { TAG_CALL = 1, TAG_START, TAG_READ, TAG_WRITE, TAG_END } tag;

typedef struct echo {
    grpc_server *server;
    grpc_completion_queue *queue;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_byte_buffer *received, *sent;
    uint64_t messages;
    int cancelled;
    bool whole, writing, over;
} echo;

static void *tag_of(tag t)
{
    return (void *)(uintptr_t)t; /* never followed */
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "echo_server: %s\n", what);
        exit(1);
    }
}

static void start_op(echo *e, grpc_op *op, tag t)
{
    must(grpc_call_start_batch(e->call, op, 1, tag_of(t), NULL) == GRPC_CALL_OK, "an operation");
}

static void next_call(echo *e)
{
    grpc_call_details_init(&e->details);
    grpc_metadata_array_init(&e->metadata);
    e->messages = 0;
    e->over = false;
    must(grpc_server_request_call(e->server, &e->call, &e->details, &e->metadata, e->queue,
                                  e->queue, tag_of(TAG_CALL)) == GRPC_CALL_OK,
         "waiting for a call");
}

static void read_next(echo *e)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &e->received;
    start_op(e, &op, TAG_READ);
}

static void begin_call(echo *e)
{
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    start_op(e, &op, TAG_START);
    grpc_op end = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    end.data.recv_close_on_server.cancelled = &e->cancelled;
    start_op(e, &end, TAG_END);
    read_next(e);
}

static grpc_byte_buffer *answer(echo *e)
{
    Omen__V1__StreamWriteResponse__Opened opened;
    Omen__V1__StreamWriteResponse__Ack ack;
    Omen__V1__StreamWriteResponse response;
    omen__v1__stream_write_response__init(&response);
    if (e->messages++ == 0) {
        omen__v1__stream_write_response__opened__init(&opened);
        opened.window_bytes = WINDOW;
        opened.max_message_bytes = WINDOW;
        response.message_case = OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_OPENED;
        response.opened = &opened;
    } else if (e->whole) {
        grpc_byte_buffer *same = e->received;
        e->received = NULL;
        return same;
    } else {
        omen__v1__stream_write_response__ack__init(&ack);
        ack.received_seq = ack.durable_seq = ack.visible_seq = e->messages - 1;
        response.message_case = OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ACK;
        response.ack = &ack;
    }
    om_rpcc_buf *packed = om_remote_pack(&response.base);
    must(packed != NULL, "memory");
    grpc_byte_buffer *out = om_rpcc_wrap(packed);
    om_rpcc_buf_unref(packed);
    return out;
}

/* One message in, one out; the next one is read while the answer goes. */
static void on_read(echo *e, bool ok)
{
    if (!ok || e->received == NULL) {
        return; /* the end of the call is told by TAG_END */
    }
    e->sent = answer(e);
    grpc_byte_buffer_destroy(e->received);
    e->received = NULL;
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    op.data.send_message.send_message = e->sent;
    start_op(e, &op, TAG_WRITE);
}

static void on_event(echo *e, const grpc_event *event)
{
    switch ((tag)(uintptr_t)event->tag) {
    case TAG_CALL:
        if (event->success) {
            begin_call(e);
        }
        break;
    case TAG_READ:
        on_read(e, event->success != 0);
        break;
    case TAG_WRITE:
        grpc_byte_buffer_destroy(e->sent);
        e->sent = NULL;
        if (event->success) {
            read_next(e);
        }
        break;
    case TAG_END:
        grpc_call_unref(e->call);
        grpc_call_details_destroy(&e->details);
        grpc_metadata_array_destroy(&e->metadata);
        next_call(e);
        break;
    default:
        break;
    }
}

/* The program ends with the one that started it. */
static void *watch_stdin(void *unused)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    (void)unused;
    _exit(0);
}

int main(int argc, char **argv)
{
    echo e = {.whole = argc > 1 && strcmp(argv[1], "whole") == 0};
    pthread_t watcher;
    grpc_init();
    grpc_arg arg = {.type = GRPC_ARG_INTEGER,
                    .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH};
    arg.value.integer = -1;
    grpc_channel_args args = {1, &arg};
    e.server = grpc_server_create(&args, NULL);
    e.queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(e.server, e.queue, NULL);
    grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
    int port = grpc_server_add_http2_port(e.server, "127.0.0.1:0", plain);
    grpc_server_credentials_release(plain);
    must(port > 0, "no port");
    grpc_server_start(e.server);
    must(pthread_create(&watcher, NULL, watch_stdin, NULL) == 0, "no thread");
    (void)printf("127.0.0.1:%d\n", port);
    (void)fflush(stdout);
    next_call(&e);
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(e.queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        must(event.type == GRPC_OP_COMPLETE, "the queue ended");
        on_event(&e, &event);
    }
}
