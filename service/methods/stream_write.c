/* stream_write.c - the actor's side of StreamWrite: what is read and when, what is told to the client.
 * Backpressure is not reading: when the window is full, no message is asked for, the transport's window
 * closes, and the client blocks. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "impls.h"
#include "stream_int.h"

/* ---- Answers --------------------------------------------------------------------------------- */

static void write_draining(om_stream_call *s)
{
    uint32_t grace = atomic_load(&s->shared->drain_grace_ms);
    om_rpc_out out;
    om_rpc_out_init(&out, om_wsize_len(om_wsize_uint(grace)));
    om_wbuf w = om_wbuf_of(out.data, out.size);
    om_w_len(&w, 5, om_wsize_uint(grace));
    om_w_uint(&w, 1, grace);
    s->draining_due = false;
    om_rpc_write(s->rpc, &out);
}

/* ---- What comes next ------------------------------------------------------------------------- */

typedef enum step { NOTHING, NOTE, WINDOW, DRAINING, ACK, FAIL, CLOSE, LEAVE } step;

/* What is to be sent now; a note is taken out of the list. */
static step next_step(om_stream_call *s, stream_note **note)
{
    step next = NOTHING;
    pthread_mutex_lock(&s->mutex);
    bool idle = !s->running && s->count == 0;
    if (s->notes != NULL) {
        *note = s->notes;
        s->notes = s->notes->next;
        s->notes_tail = s->notes == NULL ? &s->notes : s->notes_tail;
        s->note_count--;
        next = NOTE;
    } else if (s->draining_due) {
        next = DRAINING;
    } else if (s->ack_due && s->opened) {
        next = ACK;
    } else if (s->failed) {
        next = FAIL;
    } else if (s->closed) {
        next = CLOSE;
    } else if (s->draining && idle) {
        next = LEAVE;
    } else if (s->window_due) {
        next = WINDOW;
    }
    pthread_mutex_unlock(&s->mutex);
    return next;
}

static void end(om_stream_call *s, const om_failure *f)
{
    s->ended = true;
    pthread_mutex_lock(&s->mutex);
    s->stopped = true;
    if (!s->running) {
        om_stream_drop_ring(s);
    }
    pthread_mutex_unlock(&s->mutex);
    om_rpc_finish(s->rpc, f);
}

static void leave(om_stream_call *s)
{
    om_failure f;
    om_failure_set(&f, OMEN_UNAVAILABLE, "DRAINING", NULL,
                   "the server is stopping: resume after the last acknowledged seq");
    f.retry_ms = 1000;
    end(s, &f);
}

static void send_next(om_stream_call *s)
{
    stream_note *note = NULL;
    if (s->writing || s->ended || om_rpc_is_cancelled(s->rpc)) {
        return;
    }
    step next = next_step(s, &note);
    s->writing = next == NOTE || next == WINDOW || next == DRAINING || next == ACK;
    switch (next) {
    case NOTE:
        om_rpc_write(s->rpc, &note->out);
        free(note);
        break;
    case WINDOW:
        om_stream_write_window(s);
        break;
    case DRAINING:
        write_draining(s);
        break;
    case ACK:
        if (!om_stream_write_ack(s)) {
            s->writing = false;
            send_next(s);
        }
        break;
    case FAIL:
        end(s, &s->failure); /* it does not change any more */
        break;
    case CLOSE:
        end(s, NULL);
        break;
    case LEAVE:
        leave(s);
        break;
    default:
        break;
    }
}

/* Asks for the next message while there is room: for bytes, for messages, for a slow reader's errors. */
static void read_next(om_stream_call *s)
{
    if (s->reading || s->half_closed || s->ended || s->draining || om_rpc_is_cancelled(s->rpc)) {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    bool room = s->bytes < s->shared->opt.stream_window_bytes &&
                (s->count == 0 || !om_rt_ingest_full(s->shared)) &&
                s->count < OM_RT_STREAM_BATCHES && s->note_count < OM_RT_STREAM_ERRORS &&
                !s->stopped && !s->closed && !s->failed;
    pthread_mutex_unlock(&s->mutex);
    if (!room) {
        s->full_ns = s->full_ns == 0 ? om_pool_now_ns() : s->full_ns;
        return;
    }
    if (s->full_ns != 0) {
        om_metrics_ingest_stall(s->shared->opt.metrics, OM_STALL_WINDOW,
                                om_pool_now_ns() - s->full_ns);
        s->full_ns = 0;
    }
    s->reading = true;
    om_rpc_read(s->rpc);
}

static void step_both(om_stream_call *s)
{
    send_next(s);
    read_next(s);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static void start(om_rpc *rpc)
{
    om_stream_call *s = om_rpc_state(rpc);
    s->rpc = rpc;
    s->shared = om_rt_shared_of(om_rpc_runtime(rpc));
    s->op = om_rpc_op(rpc);
    s->work_job.run = om_stream_work;
    s->flush_job.run = om_stream_flush;
    s->ack_job.run = om_stream_recheck;
    om_method_lane(rpc, &s->work_job);
    om_method_lane(rpc, &s->flush_job);
    om_method_lane(rpc, &s->ack_job);
    s->why = "";
    s->window_share = 8;
    s->notes_tail = &s->notes;
    s->reading = true; /* the adapter reads the first message by itself */
    pthread_mutex_init(&s->mutex, NULL);
    atomic_fetch_add(&s->shared->streams, 1);
    om_metrics_ingest_streams(s->shared->opt.metrics, 1);
}

static void message(om_rpc *rpc, om_rpc_message *received)
{
    om_stream_call *s = om_rpc_state(rpc);
    s->reading = false;
    s->half_closed = received == NULL;
    om_stream_push(s, received);
    read_next(s);
}

static void on_progress(om_rpc *rpc)
{
    step_both(om_rpc_state(rpc));
}

static void written(om_rpc *rpc)
{
    om_stream_call *s = om_rpc_state(rpc);
    s->writing = false;
    step_both(s);
}

static void cancelled(om_rpc *rpc)
{
    om_stream_call *s = om_rpc_state(rpc);
    pthread_mutex_lock(&s->mutex);
    s->stopped = true;
    if (!s->running) {
        om_stream_drop_ring(s);
    }
    pthread_mutex_unlock(&s->mutex);
}

static void drain(om_rpc *rpc)
{
    om_stream_call *s = om_rpc_state(rpc);
    pthread_mutex_lock(&s->mutex);
    bool opened = s->opened;
    s->ack_due = s->ack_due || opened;
    pthread_mutex_unlock(&s->mutex);
    s->draining = true;
    s->draining_due = opened;
    step_both(s);
}

/* What was received before is dropped: whoever sent it may not write any more. */
static void refused(om_rpc *rpc, const om_failure *f)
{
    om_stream_call *s = om_rpc_state(rpc);
    s->reading = false;
    pthread_mutex_lock(&s->mutex);
    s->stopped = true;
    om_stream_failed(s, f);
    if (!s->running) {
        om_stream_drop_ring(s);
    }
    pthread_mutex_unlock(&s->mutex);
    send_next(s);
}

static void destroy(om_rpc *rpc)
{
    om_stream_call *s = om_rpc_state(rpc);
    om_stream_drop_ring(s);
    while (s->notes != NULL) {
        stream_note *next = s->notes->next;
        om_rpc_out_drop(&s->notes->out);
        free(s->notes);
        s->notes = next;
    }
    om_apply_end(&s->apply);
    om_wbuffer_free(&s->buffer);
    om_coll_release(s->coll);
    pthread_mutex_destroy(&s->mutex);
    atomic_fetch_sub(&s->shared->streams, 1);
    om_metrics_ingest_streams(s->shared->opt.metrics, -1);
}

const om_rpc_impl om_impl_omen_v1_Items_StreamWrite = {.verb = OM_VERB_WRITE,
                                                       .flags = OM_RPC_HOT,
                                                       .state_size = sizeof(om_stream_call),
                                                       .start = start,
                                                       .message = message,
                                                       .written = written,
                                                       .posted = on_progress,
                                                       .cancelled = cancelled,
                                                       .refused = refused,
                                                       .drain = drain,
                                                       .destroy = destroy};
