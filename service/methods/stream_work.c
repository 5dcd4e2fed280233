/* stream_work.c - the worker's side of StreamWrite: parse, apply, acknowledge, wait for the index.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "search_reader.h"
#include "stream_int.h"

typedef enum outcome { DONE, BUSY, FLUSHING, FATAL } outcome;

/* ---- Shared state --------------------------------------------------------------------------------- */

void om_stream_drop_ring(om_stream_call *s)
{
    for (; s->count > 0; s->count--) {
        om_rpc_message_free(s->ring[s->first].message);
        s->ring[s->first].message = NULL;
        s->first = (s->first + 1) % STREAM_RING;
    }
    om_rt_note_ingest(s->shared, -(int64_t)s->bytes);
    s->bytes = 0;
}

void om_stream_push(om_stream_call *s, om_rpc_message *message)
{
    pthread_mutex_lock(&s->mutex);
    bool take = !s->stopped;
    bool start = take && !s->running;
    if (take) {
        stream_entry *e = &s->ring[(s->first + s->count) % STREAM_RING];
        *e = (stream_entry){message, message != NULL ? message->size : 0, om_pool_now_ns()};
        s->count++;
        s->bytes += e->size;
        om_rt_note_ingest(s->shared, (int64_t)e->size);
        s->running = true;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!take) {
        om_rpc_message_free(message);
    }
    if (start) {
        om_rpc_hold(s->rpc);
        om_pool_submit_always(s->shared->ingest, &s->work_job);
    }
}

/* The message at the head has been dealt with. */
static void pop(om_stream_call *s)
{
    stream_entry *e = &s->ring[s->first];
    om_rpc_message_free(e->message);
    e->message = NULL;
    om_rt_note_ingest(s->shared, -(int64_t)e->size);
    s->bytes -= e->size;
    s->first = (s->first + 1) % STREAM_RING;
    s->count--;
}

static void add_note(om_stream_call *s, stream_note *note)
{
    pthread_mutex_lock(&s->mutex);
    note->next = NULL;
    *s->notes_tail = note;
    s->notes_tail = &note->next;
    s->note_count++;
    pthread_mutex_unlock(&s->mutex);
}

static outcome fatal(om_stream_call *s, const om_failure *f)
{
    pthread_mutex_lock(&s->mutex);
    om_stream_failed(s, f);
    pthread_mutex_unlock(&s->mutex);
    return FATAL;
}

static outcome no_memory(om_stream_call *s)
{
    om_failure f;
    om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for an answer");
    f.retry_ms = 1000;
    return fatal(s, &f);
}

/* ---- Open ----------------------------------------------------------------------------------------- */

static bool read_open(om_stream_call *s, om_wread *r, char *collection, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        size_t size = (size_t)field.value;
        bool text = field.type == OM_WT_LEN;
        if (field.number == 1 && text) {
            if (!om_read_name(r, size, "open.collection", collection, OMEN_MAX_NAME + 1, f)) {
                return false;
            }
        } else if (field.number == 2 && text) {
            if (!om_read_name(r, size, "open.stream_id", s->stream_id, sizeof s->stream_id, f)) {
                return false;
            }
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            if (field.value > OMEN_DURABILITY_BATCH) {
                return om_failure_limit(f, "open.durability", field.value, OMEN_DURABILITY_BATCH);
            }
            s->durability = (uint32_t)field.value;
        } else if (text) {
            om_wread_skip(r, size);
        }
    }
    return r->bad == NULL || om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "open",
                                            "Open is malformed: %s", r->bad);
}

/* StreamWriteResponse{opened}. */
static stream_note *opened_note(const om_stream_call *s, uint64_t last_seq)
{
    stream_note *note = malloc(sizeof *note);
    if (note == NULL) {
        return NULL;
    }
    const om_rt_options *o = &s->shared->opt;
    size_t size = om_wsize_fixed64(last_seq) + om_wsize_uint(o->stream_window_bytes) +
                  om_wsize_uint(o->max_message_bytes) + om_wsize_len(strlen(s->shared->epoch));
    om_rpc_out_init(&note->out, om_wsize_len(size));
    om_wbuf w = om_wbuf_of(note->out.data, note->out.size);
    om_w_len(&w, 1, size);
    om_w_fixed64(&w, 1, last_seq);
    om_w_uint(&w, 2, o->stream_window_bytes);
    om_w_uint(&w, 3, o->max_message_bytes);
    om_w_string(&w, 4, s->shared->epoch);
    return note;
}

static outcome do_open(om_stream_call *s, om_wread *r)
{
    char collection[OMEN_MAX_NAME + 1] = "";
    om_failure f;
    omen_error err = {.item = OMEN_NONE};
    uint64_t last_seq = 0;
    if (s->coll != NULL) {
        om_failure_set(&f, OMEN_FAILED_PRECONDITION, "SEQUENCE", "open", "Open was sent twice");
        return fatal(s, &f);
    }
    if (!read_open(s, r, collection, &f) ||
        (s->coll = om_method_coll(s->rpc, collection, &f)) == NULL) {
        return fatal(s, &f);
    }
    if (s->stream_id[0] != '\0' &&
        omen_stream_open(s->coll->handle, s->stream_id, strlen(s->stream_id), &last_seq, &s->epoch,
                         &err) != OMEN_OK) {
        om_failure_from_engine(&f, &err);
        return fatal(s, &f);
    }
    omen_write_progress progress = {.struct_size = sizeof progress};
    if (omen_get_progress(s->coll->handle, &progress, &err) != OMEN_OK) {
        om_failure_from_engine(&f, &err);
        return fatal(s, &f);
    }
    stream_note *note = opened_note(s, last_seq);
    if (note == NULL) {
        return no_memory(s);
    }
    pthread_mutex_lock(&s->mutex);
    s->done_seq = last_seq;
    if (last_seq > 0) {
        om_stream_applied(s, last_seq, progress.visible_version, 0);
    }
    s->received_seq = last_seq;
    s->opened = true;
    pthread_mutex_unlock(&s->mutex);
    add_note(s, note);
    return DONE;
}

/* ---- Batches -------------------------------------------------------------------------------------- */

/* StreamWriteResponse{error}, with the bytes of its ItemErrors. */
static stream_note *error_note(uint64_t seq, const om_failure *f, const uint8_t *items, size_t size)
{
    stream_note *note = malloc(sizeof *note);
    if (note == NULL) {
        return NULL;
    }
    bool retriable = om_failure_retriable(f);
    size_t body = om_wsize_fixed64(seq) + om_wsize_uint(f->code) + om_wsize_len(strlen(f->reason)) +
                  om_wsize_len(strlen(f->message)) + (retriable ? 2 : 0) + size;
    om_rpc_out_init(&note->out, om_wsize_len(body));
    om_wbuf w = om_wbuf_of(note->out.data, note->out.size);
    om_w_len(&w, 3, body);
    om_w_fixed64(&w, 1, seq);
    om_w_uint(&w, 2, f->code);
    om_w_len(&w, 3, strlen(f->reason));
    om_w_raw(&w, f->reason, strlen(f->reason));
    om_w_len(&w, 4, strlen(f->message));
    om_w_raw(&w, f->message, strlen(f->message));
    om_w_uint(&w, 5, retriable ? 1 : 0);
    om_w_raw(&w, items, size);
    return note;
}

/* The batch is over, applied or refused. */
static void advance(om_stream_call *s, uint64_t seq, const omen_write_result *result)
{
    pthread_mutex_lock(&s->mutex);
    s->done_seq = seq > s->done_seq ? seq : s->done_seq;
    /* A batch that could not be read to its end was received all the same. */
    s->received_seq = seq > s->received_seq ? seq : s->received_seq;
    s->ack_due = true;
    if (result != NULL) {
        s->version = result->version > s->version ? result->version : s->version;
        s->accepted += result->replayed != 0 ? 0 : result->applied;
    }
    /* A refused batch is in the log as well, behind those before it: the newest version covers both. */
    om_stream_applied(s, s->done_seq, s->version, om_wire_batch_bytes(&s->batch));
    pthread_mutex_unlock(&s->mutex);
}

static outcome refuse_batch(om_stream_call *s, const om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    uint64_t seq = s->batch.seq;
    if (s->stream_id[0] != '\0' &&
        om_apply_skip(s->coll, s->stream_id, seq, s->epoch, &err) != OMEN_OK) {
        /* Out of order, or fenced by a newer connection: then the stream is over, not the batch. */
        om_failure g;
        om_failure_from_engine(&g, &err);
        return fatal(s, &g);
    }
    stream_note *note = error_note(seq, f, NULL, 0);
    if (note == NULL) {
        return no_memory(s);
    }
    add_note(s, note);
    advance(s, seq, NULL);
    return DONE;
}

static outcome accept_batch(om_stream_call *s)
{
    om_failure first;
    size_t size = 0;
    uint8_t *items = om_apply_item_errors(&s->apply, 6, &size, &first);
    if (items != NULL) {
        stream_note *note = error_note(s->batch.seq, &first, items, size);
        free(items);
        if (note == NULL) {
            return no_memory(s);
        }
        add_note(s, note);
    }
    advance(s, s->batch.seq, &s->apply.result);
    if (s->apply.result.replayed == 0) {
        om_metrics_ingest_visible(s->shared->opt.metrics,
                                  om_pool_now_ns() - s->ring[s->first].arrived_ns);
    }
    return DONE;
}

/* Without a stream_id the order is kept here. False: *out tells what to do instead of applying. */
static bool in_order(om_stream_call *s, outcome *out)
{
    om_failure f;
    uint64_t seq = s->batch.seq;
    if (seq == 0) {
        om_failure_set(&f, OMEN_INVALID_ARGUMENT, "SEQUENCE", "batch.seq",
                       "batch.seq is 0, batches are numbered from 1");
        *out = fatal(s, &f);
        return false;
    }
    if (s->stream_id[0] != '\0' || seq == s->done_seq + 1) {
        return true;
    }
    if (seq <= s->done_seq) {
        advance(s, seq, NULL);
        *out = DONE;
        return false;
    }
    om_failure_set(&f, OMEN_FAILED_PRECONDITION, "SEQUENCE", "batch.seq",
                   "batch.seq is %llu, the next one of the stream is %llu", (unsigned long long)seq,
                   (unsigned long long)s->done_seq + 1);
    *out = fatal(s, &f);
    return false;
}

/* Memory comes back when segments are written, or never: a stream waits for it, but not for ever. */
static bool stalled_long(const om_stream_call *s)
{
    return s->stalled_ns != 0 &&
           om_pool_now_ns() - s->stalled_ns > (uint64_t)STREAM_STALL_MS * 1000000u;
}

static outcome sync_some(om_stream_call *s, bool all)
{
    omen_error err = {.item = OMEN_NONE};
    om_failure f;
    if (om_stream_sync(s, all, &err) == OMEN_OK) {
        return DONE;
    }
    om_failure_from_engine(&f, &err);
    return fatal(s, &f);
}

static outcome apply(om_stream_call *s)
{
    om_failure f;
    bool final = false;
    om_apply_end_t end = om_apply_run(&s->apply, &final, &f);
    if (end == OM_APPLY_BUSY && !(s->apply.short_of_memory && stalled_long(s))) {
        return BUSY;
    }
    outcome out = end == OM_APPLIED                 ? accept_batch(s)
                  : end == OM_APPLY_FAILED && final ? refuse_batch(s, &f)
                                                    : fatal(s, &f);
    if (out == DONE) {
        out = sync_some(s, false);
    }
    om_rpc_note_engine(s->rpc, 0, s->apply.engine_ns);
    om_apply_end(&s->apply);
    s->parsed = false;
    return out;
}

static outcome do_batch(om_stream_call *s, om_wread *r)
{
    om_failure f;
    outcome out = DONE;
    if (!om_read_write_batch(r, &s->buffer, &s->batch, &f)) {
        /* What is not implemented or wrong in a field is the batch's failure; bytes that are no
         * WriteBatch are the stream's, since not even the seq can be trusted. */
        bool readable = strcmp(f.reason, "MALFORMED") != 0 || f.item != OMEN_NONE;
        readable = readable && f.code != OMEN_RESOURCE_EXHAUSTED;
        return readable && s->batch.seq != 0 && in_order(s, &out) ? refuse_batch(s, &f)
               : out == FATAL                                     ? out
                                                                  : fatal(s, &f);
    }
    pthread_mutex_lock(&s->mutex);
    s->received_seq = s->batch.seq > s->received_seq ? s->batch.seq : s->received_seq;
    om_rpc_message_free(s->ring[s->first].message);
    s->ring[s->first].message = NULL;
    pthread_mutex_unlock(&s->mutex);
    if (!in_order(s, &out)) {
        return out;
    }
    s->parsed = true;
    s->apply = (om_apply){.shared = s->shared,
                          .coll = s->coll,
                          .batch = &s->batch,
                          .durability = s->durability,
                          .stream_id = s->stream_id[0] != '\0' ? s->stream_id : NULL,
                          .stream_epoch = s->epoch,
                          .op = s->op};
    return apply(s);
}

/* ---- Flush ---------------------------------------------------------------------------------------- */

static outcome do_flush(om_stream_call *s)
{
    omen_error err = {.item = OMEN_NONE};
    omen_write_progress p = {.struct_size = sizeof p};
    if (omen_get_progress(s->coll->handle, &p, &err) != OMEN_OK) {
        om_failure f;
        om_failure_from_engine(&f, &err);
        return fatal(s, &f);
    }
    outcome out = sync_some(s, true);
    if (out != DONE) {
        return out;
    }
    /* What others write meanwhile is not waited for. */
    s->flush_version = s->version != 0 ? s->version : p.visible_version;
    return s->flush_version == 0 ? DONE : FLUSHING;
}

/* On an admin worker, in short waits, so that many flushing streams share few threads. */
void om_stream_flush(om_job *job, bool expired)
{
    om_stream_call *s = (om_stream_call *)((char *)job - offsetof(om_stream_call, flush_job));
    omen_error err = {.item = OMEN_NONE};
    (void)expired;
    bool stop = om_rpc_is_cancelled(s->rpc) || om_rpc_draining(s->rpc);
    omen_status_t status = OMEN_OK;
    if (!stop) {
        status = omen_wait(s->coll->handle, s->flush_version, OMEN_WAIT_INDEXED, STREAM_FLUSH_US,
                           s->op, &err);
        if (status == OMEN_DEADLINE_EXCEEDED) {
            om_pool_submit_always(s->shared->admin, job);
            return;
        }
    }
    if (status != OMEN_OK) {
        om_failure f;
        om_failure_from_engine(&f, &err);
        fatal(s, &f);
    }
    pthread_mutex_lock(&s->mutex);
    pop(s);
    s->ack_due = true;
    pthread_mutex_unlock(&s->mutex);
    om_pool_submit_always(s->shared->ingest, &s->work_job);
}

/* ---- The loop ------------------------------------------------------------------------------------- */

/* Close or half-close: answered by a last Ack, which is durable to its end, then OK. */
static outcome close_stream(om_stream_call *s)
{
    outcome out = s->coll != NULL ? sync_some(s, true) : DONE;
    pthread_mutex_lock(&s->mutex);
    s->closed = s->opened && out == DONE;
    s->ack_due = true;
    pthread_mutex_unlock(&s->mutex);
    return out;
}

static outcome do_message(om_stream_call *s, const stream_entry *e)
{
    om_failure f;
    om_wread r;
    outcome closing = DONE;
    if (s->parsed) {
        return apply(s);
    }
    if (e->message == NULL) {
        closing = close_stream(s);
    } else {
        om_wread_init(&r, e->message->spans, e->message->span_count);
        uint32_t kind = om_read_stream_kind(&r, &f);
        if (kind == OM_STREAM_NONE) {
            return fatal(s, &f);
        }
        if (kind == OM_STREAM_OPEN) {
            return do_open(s, &r);
        }
        if (s->coll != NULL && kind == OM_STREAM_BATCH) {
            return do_batch(s, &r);
        }
        if (s->coll != NULL && kind == OM_STREAM_FLUSH) {
            outcome out = do_flush(s);
            pthread_mutex_lock(&s->mutex);
            s->ack_due = s->ack_due || out == DONE;
            pthread_mutex_unlock(&s->mutex);
            return out;
        }
        if (kind == OM_STREAM_CLOSE) {
            closing = close_stream(s);
        }
    }
    if (s->coll == NULL) {
        om_failure_set(&f, OMEN_FAILED_PRECONDITION, "SEQUENCE", "open",
                       "the first message of a stream must be Open");
        return fatal(s, &f);
    }
    return closing;
}

/* The index is too far behind, or memory is short: the message stays where it is, and the client is
 * told once. */
static void throttle(om_stream_call *s)
{
    if (s->stalled_ns == 0) {
        s->stalled_ns = om_pool_now_ns();
        s->stalled_memory = s->apply.short_of_memory;
        pthread_mutex_lock(&s->mutex);
        s->throttled = true;
        s->why = s->stalled_memory ? "memory" : "index_backlog";
        s->window_due = true;
        pthread_mutex_unlock(&s->mutex);
        om_rpc_post(s->rpc);
    }
    om_pool_submit_later(s->shared->ingest, &s->work_job, (uint64_t)STREAM_RETRY_MS * 1000000u);
}

static void unthrottle(om_stream_call *s)
{
    if (s->stalled_ns != 0) {
        om_metrics_ingest_stall(s->shared->opt.metrics,
                                s->stalled_memory ? OM_STALL_MEMORY : OM_STALL_BACKLOG,
                                om_pool_now_ns() - s->stalled_ns);
        s->stalled_ns = 0;
        pthread_mutex_lock(&s->mutex);
        s->throttled = false;
        s->why = "";
        s->window_share = 8; /* the next Ack looks again */
        s->window_due = true;
        pthread_mutex_unlock(&s->mutex);
    }
}

/* The worker leaves the stream. The mutex is held and given back. */
static void leave(om_stream_call *s)
{
    om_rpc *rpc = s->rpc;
    s->running = false;
    om_wbuffer_trim(&s->buffer, STREAM_BUFFER_KEPT);
    pthread_mutex_unlock(&s->mutex);
    om_rpc_post(rpc);
    om_rpc_release(rpc);
}

/* Whether nothing more is to be done; the mutex is held. */
static bool must_stop(om_stream_call *s)
{
    bool give_up = s->stalled_ns != 0 && om_rpc_draining(s->rpc);
    if (om_rpc_is_cancelled(s->rpc) || s->failed || s->closed || give_up) {
        s->stopped = true;
        om_stream_drop_ring(s);
    }
    return s->count == 0;
}

void om_stream_work(om_job *job, bool expired)
{
    om_stream_call *s = (om_stream_call *)((char *)job - offsetof(om_stream_call, work_job));
    (void)expired;
    for (int turn = 0; turn < STREAM_TURN; turn++) {
        pthread_mutex_lock(&s->mutex);
        if (must_stop(s)) {
            leave(s);
            return;
        }
        stream_entry head = s->ring[s->first];
        pthread_mutex_unlock(&s->mutex);
        outcome out = do_message(s, &head);
        if (out == BUSY) {
            throttle(s);
            return;
        }
        unthrottle(s);
        if (out == FLUSHING) {
            om_pool_submit_always(s->shared->admin, &s->flush_job);
            return;
        }
        pthread_mutex_lock(&s->mutex);
        pop(s);
        pthread_mutex_unlock(&s->mutex);
        om_rpc_post(s->rpc);
    }
    om_pool_submit_always(s->shared->ingest, &s->work_job);
}
