/* stream_writer.c - a ring of batches between "pushed" and "acknowledged".
 * Seqs are dense, so position = seq modulo the ring; three marks move through it:
 * acked <= sent <= pushed. A reconnect moves `sent` back to `acked`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "stream_writer.h"

#include <stdlib.h>

struct om_swriter {
    void (*release)(void *payload);
    uint64_t acked;     /* everything up to here is durable at the server */
    uint64_t sent;      /* ... has been sent over this connection, or is acked */
    uint64_t pushed;    /* ... has been given to the writer */
    uint64_t known;     /* the server had this much when the stream was opened */
    uint64_t confirmed; /* the highest acknowledgement ever seen: the server must not forget it */
    uint64_t window;
    uint64_t largest;      /* window that the server ever granted: it takes batches of this size */
    uint64_t sent_bytes;   /* of batches in (acked, sent] */
    uint64_t queued_bytes; /* of batches in (acked, pushed] */
    bool open;
    om_swriter_batch ring[OM_SWRITER_BATCHES_MAX];
};

static om_swriter_batch *at(om_swriter *w, uint64_t seq)
{
    return &w->ring[seq % OM_SWRITER_BATCHES_MAX];
}

om_swriter *om_swriter_create(void (*release)(void *payload))
{
    om_swriter *w = calloc(1, sizeof *w);
    if (w != NULL) {
        w->release = release;
    }
    return w;
}

static void release(om_swriter *w, void *payload)
{
    if (payload != NULL) {
        w->release(payload);
    }
}

/* Forgets the batches up to seq. */
static void advance(om_swriter *w, uint64_t seq)
{
    while (w->acked < seq && w->acked < w->pushed) {
        om_swriter_batch *b = at(w, ++w->acked);
        w->queued_bytes -= b->bytes;
        if (b->seq <= w->sent) {
            w->sent_bytes -= b->bytes;
        }
        release(w, b->payload);
        b->payload = NULL;
    }
    if (w->sent < w->acked) {
        w->sent = w->acked;
    }
}

void om_swriter_free(om_swriter *w)
{
    if (w == NULL) {
        return;
    }
    advance(w, w->pushed);
    free(w);
}

uint64_t om_swriter_next_seq(const om_swriter *w)
{
    return w->pushed + 1;
}

bool om_swriter_is_applied(const om_swriter *w)
{
    return w->pushed + 1 <= w->known;
}

bool om_swriter_has_room(const om_swriter *w, size_t bytes)
{
    if (w->pushed - w->acked >= OM_SWRITER_BATCHES_MAX) {
        return false;
    }
    /* More than the window would only wait in memory. One batch is always taken: if it can never be
     * sent, push says so. */
    return w->pushed == w->acked || w->queued_bytes + bytes <= w->window;
}

om_swriter_result om_swriter_push(om_swriter *w, void *payload, size_t bytes)
{
    if (om_swriter_is_applied(w)) {
        release(w, payload);
        w->pushed++;
        w->acked = w->sent = w->pushed;
        return OM_SWRITER_OK;
    }
    bool too_large = w->open && bytes > w->largest;
    if (w->pushed - w->acked >= OM_SWRITER_BATCHES_MAX || too_large) {
        release(w, payload);
        return too_large ? OM_SWRITER_TOO_LARGE : OM_SWRITER_NO_MEMORY;
    }
    om_swriter_batch *b = at(w, ++w->pushed);
    b->seq = w->pushed;
    b->bytes = bytes;
    b->payload = payload;
    w->queued_bytes += bytes;
    return OM_SWRITER_OK;
}

const om_swriter_batch *om_swriter_send_next(om_swriter *w)
{
    if (!w->open || w->sent == w->pushed) {
        return NULL;
    }
    om_swriter_batch *b = at(w, w->sent + 1);
    /* With nothing under way a batch goes out even above a window that has shrunk meanwhile: the
     * server decides about it, and nothing else could ever move. */
    if (w->sent_bytes > 0 && w->sent_bytes + b->bytes > w->window) {
        return NULL;
    }
    w->sent++;
    w->sent_bytes += b->bytes;
    return b;
}

om_swriter_result om_swriter_on_window(om_swriter *w, uint64_t window_bytes)
{
    w->window = window_bytes;
    w->largest = window_bytes > w->largest ? window_bytes : w->largest;
    return OM_SWRITER_OK;
}

om_swriter_result om_swriter_on_opened(om_swriter *w, uint64_t last_seq, uint64_t window_bytes)
{
    if (last_seq < w->confirmed) {
        return OM_SWRITER_LOST;
    }
    if (w->pushed > 0 && last_seq > w->pushed && w->known < last_seq) {
        return OM_SWRITER_PROTOCOL; /* somebody else writes with this stream id */
    }
    w->known = last_seq > w->known ? last_seq : w->known;
    w->confirmed = last_seq;
    (void)om_swriter_on_window(w, window_bytes);
    w->open = true;
    w->sent = w->acked;
    w->sent_bytes = 0;
    advance(w, last_seq);
    return OM_SWRITER_OK;
}

om_swriter_result om_swriter_on_ack(om_swriter *w, uint64_t durable_seq)
{
    if (durable_seq > w->sent && durable_seq > w->known) {
        return OM_SWRITER_PROTOCOL;
    }
    if (durable_seq > w->confirmed) {
        w->confirmed = durable_seq;
    }
    advance(w, durable_seq);
    return OM_SWRITER_OK;
}

void om_swriter_on_disconnect(om_swriter *w)
{
    w->open = false;
    w->sent = w->acked;
    w->sent_bytes = 0;
}

uint64_t om_swriter_acked_seq(const om_swriter *w)
{
    return w->acked;
}

uint64_t om_swriter_unacked_bytes(const om_swriter *w)
{
    return w->sent_bytes;
}

bool om_swriter_idle(const om_swriter *w)
{
    return w->acked == w->pushed;
}
