/* stream_writer.h - the client's half of Items.StreamWrite: numbers, credit, acknowledgements,
 * resuming.
 *
 * It does no I/O and knows nothing of gRPC or protobuf: the caller tells it what arrived and asks
 * it what to send, so it can be copied into any client. The rules it keeps:
 *  - batches carry seq 1, 2, 3, ... within a stream id, and are sent in this order;
 *  - the bytes sent and not acknowledged stay within the window that the server told;
 *  - a batch is kept until it is acknowledged as durable, and sent again after a reconnect, unless
 *    the server says in Opened that it has it: every batch is applied exactly once;
 *  - a server that knows less than it has acknowledged has lost data, and that is told, not hidden.
 *
 * Depends on: nothing. Threads: one at a time. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_STREAM_WRITER_H
#define OM_STREAM_WRITER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OM_SWRITER_BATCHES_MAX 4096u /* kept at a time, whatever the window */

typedef struct om_swriter om_swriter;

typedef struct om_swriter_batch {
    uint64_t seq;
    size_t bytes; /* of the encoded batch: what counts against the window */
    void *payload;
} om_swriter_batch;

typedef enum om_swriter_result {
    OM_SWRITER_OK = 0,
    OM_SWRITER_LOST,      /* Opened: the server has less than it had acknowledged */
    OM_SWRITER_PROTOCOL,  /* an acknowledgement of something never sent */
    OM_SWRITER_TOO_LARGE, /* a batch that no window the server grants would let through */
    OM_SWRITER_NO_MEMORY
} om_swriter_result;

/* `release` frees a payload that is not needed any more. NULL when memory runs out. */
om_swriter *om_swriter_create(void (*release)(void *payload));
void om_swriter_free(om_swriter *w);

/* The seq that the next pushed batch must carry. */
uint64_t om_swriter_next_seq(const om_swriter *w);
/* True when the server has said that it has the next batch already: push it with payload NULL. */
bool om_swriter_is_applied(const om_swriter *w);
/* Whether a batch of this size fits beside those that wait; if not, send and wait for an Ack
 * first. */
bool om_swriter_has_room(const om_swriter *w, size_t bytes);
/* Takes over the payload, also on failure. */
om_swriter_result om_swriter_push(om_swriter *w, void *payload, size_t bytes);
/* The next batch to send now, or NULL: nothing left, not connected, or no credit. It counts as
 * sent; its payload stays the writer's. */
const om_swriter_batch *om_swriter_send_next(om_swriter *w);

/* What the server said. */
om_swriter_result om_swriter_on_opened(om_swriter *w, uint64_t last_seq, uint64_t window_bytes);
om_swriter_result om_swriter_on_ack(om_swriter *w, uint64_t durable_seq);
om_swriter_result om_swriter_on_window(om_swriter *w, uint64_t window_bytes);
/* The connection is gone: everything unacknowledged is to be sent again after the next Opened. */
void om_swriter_on_disconnect(om_swriter *w);

uint64_t om_swriter_acked_seq(const om_swriter *w);
uint64_t om_swriter_unacked_bytes(const om_swriter *w); /* sent and not acknowledged */
bool om_swriter_idle(const om_swriter *w);              /* everything pushed is acknowledged */
#endif
