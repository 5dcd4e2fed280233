/* target_remote_write.c - Items.StreamWrite: carries what stream_writer.c decides over a
 * connection, and connects again when it breaks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crc32c.h"
#include "remote_pack.h"
#include "stream_writer.h"

static const char method[] = "/omen.v1.Items/StreamWrite";
enum { POLL_MS = 100, BACKOFF_FIRST_MS = 100, BACKOFF_MAX_MS = 3000 };

/* What the stream is for at the moment: after a reconnect it goes on with it. */
typedef enum phase { WRITING, FLUSHING, CLOSING } phase;

struct om_remote_writer {
    om_remote *target;
    om_target_write_options options;
    om_swriter *batches;
    om_rpcc *client; /* of the stream; the target's own client stays free for other calls */
    om_rpcc_stream *stream;
    phase phase;
    bool opened;       /* the server has answered Open */
    bool control_sent; /* the message of the phase has been sent over this connection */
    bool flushed;      /* an Ack came after Flush */
    bool ended;        /* the server has ended the call with OK */
    bool lost_contact; /* between a broken connection and the next Opened */
    double lost_at;
    uint64_t backoff_ms;
    uint32_t max_message_bytes;
    uint64_t rows_done, rows_skipped, indexed, reconnects;
    uint64_t first_rows[OM_SWRITER_BATCHES_MAX]; /* of the batch with this seq, for messages */
    om_arena arena;
    char stream_id[OMEN_MAX_STREAM_ID + 1];
};

/* What stream_writer.c keeps for each batch. */
typedef struct sent_batch {
    om_remote_writer *owner;
    om_rpcc_buf *bytes;
    uint64_t rows;
} sent_batch;

static void release_batch(void *payload)
{
    sent_batch *b = payload;
    b->owner->rows_done += b->rows;
    om_rpcc_buf_unref(b->bytes);
    free(b);
}

static void tick(om_remote_writer *w)
{
    if (w->options.tick != NULL) {
        w->options.tick(w->options.tick_ctx, w->rows_done, w->indexed);
    }
}

static om_rpcc_buf *pack_request(Omen__V1__StreamWriteRequest__MessageCase kind,
                                 ProtobufCMessage *body)
{
    Omen__V1__StreamWriteRequest request;
    omen__v1__stream_write_request__init(&request);
    request.message_case = kind;
    request.open =
        (Omen__V1__StreamWriteRequest__Open *)(void *)body; /* all members are pointers */
    return om_remote_pack(&request.base);
}

static bool send_control(om_remote_writer *w, Omen__V1__StreamWriteRequest__MessageCase kind,
                         ProtobufCMessage *body, om_tool_error *err)
{
    om_rpcc_buf *packed = pack_request(kind, body);
    if (packed == NULL) {
        return om_tool_no_memory(err, 64);
    }
    (void)om_rpcc_stream_send(w->stream, packed); /* if it fails, the stream has ended */
    om_rpcc_buf_unref(packed);
    return true;
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static void disconnect(om_remote_writer *w)
{
    om_rpcc_stream_free(w->stream);
    om_rpcc_close(w->client);
    w->stream = NULL;
    w->client = NULL;
    w->opened = false;
    w->control_sent = false;
    w->flushed = false;
    om_swriter_on_disconnect(w->batches);
}

static bool connect_stream(om_remote_writer *w, om_tool_error *err)
{
    Omen__V1__StreamWriteRequest__Open open;
    omen__v1__stream_write_request__open__init(&open);
    const om_endpoint *e = &w->target->endpoint;
    om_rpcc_status status;
    if (!om_endpoint_connect(e, &w->client, err)) {
        return false;
    }
    if (!om_rpcc_stream_open(w->client, method, &w->stream, &status)) {
        return om_remote_fail(e, &status, err);
    }
    open.collection = om_remote_text(w->target->name);
    open.stream_id = w->stream_id;
    open.durability = (Omen__V1__Durability)w->options.durability;
    return send_control(w, OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_OPEN, &open.base, err);
}

static void pause_ms(uint64_t ms)
{
    struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR && !om_tool_interrupted()) {
    }
}

static bool stop_if_interrupted(const om_remote_writer *w, om_tool_error *err)
{
    if (!om_tool_interrupted()) {
        return true;
    }
    return om_tool_fail(err, OM_EXIT_INTERRUPTED,
                        "interrupted after %llu rows; to go on from there, run the same command "
                        "with --stream-id %s",
                        (unsigned long long)w->rows_done, w->stream_id);
}

/* The stream has ended with this status. What can be healed by a new connection is; what the server
 * refused is an error. */
static bool on_ended(om_remote_writer *w, const om_rpcc_status *status, om_tool_error *err)
{
    if (status->code == 0 && w->phase == CLOSING) {
        w->ended = true;
        return true;
    }
    bool was_open = w->opened || w->lost_contact;
    /* What a new connection, or time, can heal: a server that went away, a full disk, short memory, a write
     * of which the server does not know whether it is on disk. The stream makes a repetition harmless. */
    bool healable = status->code == OMEN_UNAVAILABLE || status->code == 0 ||
                    status->code == OMEN_CANCELLED || status->retry_ms != 0;
    if (!was_open || !healable) {
        om_remote_fail(&w->target->endpoint, status, err);
        return w->lost_contact ? om_tool_wrap(err, "after the connection was lost") : false;
    }
    if (!w->lost_contact) {
        w->lost_contact = true;
        w->lost_at = om_tool_now();
        w->reconnects++;
    }
    disconnect(w);
    while (w->stream == NULL) {
        if (om_tool_now() - w->lost_at > (double)w->options.retry_s) {
            om_remote_fail(&w->target->endpoint, status, err);
            return om_tool_wrap(err,
                                "no connection for %llu seconds (%llu rows are safe; go on "
                                "with --stream-id %s)",
                                (unsigned long long)w->options.retry_s,
                                (unsigned long long)w->rows_done, w->stream_id);
        }
        pause_ms(w->backoff_ms > status->retry_ms ? w->backoff_ms : status->retry_ms);
        w->backoff_ms = w->backoff_ms * 2 < BACKOFF_MAX_MS ? w->backoff_ms * 2 : BACKOFF_MAX_MS;
        if (!stop_if_interrupted(w, err) || !connect_stream(w, err)) {
            return false;
        }
    }
    return true;
}

/* ---- What the server says -------------------------------------------------------------------- */

static bool check(const om_remote_writer *w, om_swriter_result result, om_tool_error *err)
{
    switch (result) {
    case OM_SWRITER_OK:
        return true;
    case OM_SWRITER_LOST:
        return om_tool_fail(err, OM_EXIT_DATA_LOSS,
                            "%s has lost batches that it had acknowledged (was it restarted "
                            "without storage?): import the file again",
                            w->target->endpoint.options.address);
    case OM_SWRITER_TOO_LARGE:
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "a batch is larger than the server's window or message limit: use a "
                            "smaller --batch");
    case OM_SWRITER_NO_MEMORY:
        return om_tool_no_memory(err, 0);
    default:
        return om_tool_fail(err, OM_EXIT_PRECONDITION,
                            "the server acknowledges batches that were never sent: another client "
                            "uses the stream id %s",
                            w->stream_id);
    }
}

static bool on_opened(om_remote_writer *w, const Omen__V1__StreamWriteResponse__Opened *m,
                      om_tool_error *err)
{
    if (w->opened) {
        return true;
    }
    w->opened = true;
    w->lost_contact = false;
    w->backoff_ms = BACKOFF_FIRST_MS;
    w->max_message_bytes = m->max_message_bytes;
    return check(w, om_swriter_on_opened(w->batches, m->last_seq, m->window_bytes), err);
}

static bool on_refused(const om_remote_writer *w,
                       const Omen__V1__StreamWriteResponse__BatchError *m, om_tool_error *err)
{
    uint64_t row = w->first_rows[m->seq % OM_SWRITER_BATCHES_MAX];
    om_tool_fail(err, om_tool_exit_code((int)m->code), "%.700s", m->message);
    (void)snprintf(err->reason, sizeof err->reason, "%.39s", m->reason);
    err->retriable = m->retriable;
    if (m->n_items > 0) {
        return om_tool_wrap(err, "row %llu", (unsigned long long)(row + m->items[0]->item));
    }
    return om_tool_wrap(err, "the batch of the rows from %llu on was refused",
                        (unsigned long long)row);
}

static bool on_message(om_remote_writer *w, om_rpcc_buf *bytes, om_tool_error *err)
{
    const Omen__V1__StreamWriteResponse *m =
        om_remote_unpack(&omen__v1__stream_write_response__descriptor, bytes, &w->arena, err);
    if (m == NULL) {
        return false;
    }
    switch (m->message_case) {
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_OPENED:
        return on_opened(w, m->opened, err);
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ACK:
        w->indexed = m->ack->indexed_items;
        w->flushed = w->flushed || (w->phase == FLUSHING && w->control_sent);
        if (!check(w, om_swriter_on_ack(w->batches, m->ack->durable_seq), err)) {
            return false;
        }
        tick(w);
        return true;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ERROR:
        return on_refused(w, m->error, err);
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_WINDOW:
        return check(w, om_swriter_on_window(w->batches, m->window->window_bytes), err);
    default:
        return true; /* Draining: the call ends soon, and then another connection is made */
    }
}

/* ---- The engine ------------------------------------------------------------------------------ */

/* Sends what may be sent now: batches within the credit; behind them the message of the phase. */
static bool send_some(om_remote_writer *w, om_tool_error *err)
{
    if (!w->opened || !om_rpcc_stream_can_send(w->stream)) {
        return true;
    }
    const om_swriter_batch *b = om_swriter_send_next(w->batches);
    if (b != NULL) {
        (void)om_rpcc_stream_send(w->stream, ((sent_batch *)b->payload)->bytes);
        return true;
    }
    if (w->phase == WRITING || w->control_sent || !om_swriter_idle(w->batches)) {
        return true;
    }
    w->control_sent = true;
    Omen__V1__StreamWriteRequest__Flush flush;
    omen__v1__stream_write_request__flush__init(&flush);
    Omen__V1__StreamWriteRequest__Close done;
    omen__v1__stream_write_request__close__init(&done);
    return w->phase == FLUSHING
               ? send_control(w, OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_FLUSH, &flush.base, err)
               : send_control(w, OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_CLOSE, &done.base, err);
}

/* Sends and receives; returns when nothing has happened for wait_ms, or nothing more is to be had
 * at once after something has. */
static bool pump(om_remote_writer *w, uint64_t wait_ms, om_tool_error *err)
{
    for (;;) {
        om_rpcc_buf *message;
        om_rpcc_status status;
        bool ok = stop_if_interrupted(w, err) && send_some(w, err);
        if (!ok) {
            return false;
        }
        switch (om_rpcc_stream_poll(w->stream, wait_ms, &message, &status)) {
        case OM_RPCC_MESSAGE:
            ok = on_message(w, message, err);
            om_rpcc_buf_unref(message);
            break;
        case OM_RPCC_ENDED:
            ok = on_ended(w, &status, err);
            break;
        case OM_RPCC_SENT:
            break;
        default:
            tick(w);
            return true;
        }
        if (!ok || w->ended) {
            return ok;
        }
        wait_ms = 0;
    }
}

void om_remote_writer_free(om_remote_writer *w)
{
    if (w == NULL) {
        return;
    }
    om_rpcc_stream_free(w->stream);
    om_rpcc_close(w->client);
    om_swriter_free(w->batches);
    om_arena_reset(&w->arena);
    free(w);
}

bool om_remote_write_begin(om_target *base, const om_target_write_options *opt, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    om_remote_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return om_tool_no_memory(err, sizeof *w);
    }
    t->writer = w;
    w->target = t;
    w->options = *opt;
    w->backoff_ms = BACKOFF_FIRST_MS;
    om_arena_init(&w->arena, NULL, 0, 0);
    w->batches = om_swriter_create(release_batch);
    if (w->batches == NULL) {
        return om_tool_no_memory(err, 1);
    }
    if (opt->stream_id != NULL) {
        if (strlen(opt->stream_id) > OMEN_MAX_STREAM_ID) {
            return om_tool_fail(err, OM_EXIT_USAGE, "--stream-id is longer than %u bytes",
                                OMEN_MAX_STREAM_ID);
        }
        (void)snprintf(w->stream_id, sizeof w->stream_id, "%s", opt->stream_id);
    } else {
        om_remote_random_id(w->stream_id, sizeof w->stream_id, "omen-import");
    }
    if (opt->fields != NULL && opt->fields->count > 0 &&
        !om_remote_declare(base, opt->fields, err)) {
        return false;
    }
    if (!connect_stream(w, err)) {
        return false;
    }
    double until = om_tool_now() + (double)t->endpoint.timeout_ms / 1000;
    while (!w->opened) {
        if (!pump(w, POLL_MS, err)) {
            return false;
        }
        if (!w->opened && om_tool_now() > until) {
            return om_tool_fail(err, OM_EXIT_UNAVAILABLE, "%s did not answer within %llu ms",
                                t->endpoint.options.address,
                                (unsigned long long)t->endpoint.timeout_ms);
        }
    }
    return true;
}

static om_rpcc_buf *pack_batch(om_remote_writer *w, const om_target_batch *b, om_tool_error *err)
{
    static const Omen__V1__WriteOp ops[] = {
        OMEN__V1__WRITE_OP__WRITE_OP_UPSERT, OMEN__V1__WRITE_OP__WRITE_OP_UPSERT,
        OMEN__V1__WRITE_OP__WRITE_OP_INSERT, OMEN__V1__WRITE_OP__WRITE_OP_UPDATE,
        OMEN__V1__WRITE_OP__WRITE_OP_PATCH};
    om_arena arena;
    Omen__V1__Metadata metadata;
    char **texts;
    Omen__V1__Ids ids;
    Omen__V1__VectorColumn column;
    omen__v1__vector_column__init(&column);
    Omen__V1__ItemBatch items;
    omen__v1__item_batch__init(&items);
    Omen__V1__WriteBatch batch;
    omen__v1__write_batch__init(&batch);
    om_arena_init(&arena, NULL, 0, 0);
    if (!om_remote_ids(b->ids, 0, b->count, &ids, &texts, err)) {
        return NULL;
    }
    if (b->metadata != NULL && !om_remote_metadata(b->metadata, &arena, &metadata, err)) {
        om_arena_reset(&arena);
        free(texts);
        return NULL;
    }
    column.type = (Omen__V1__DataType)b->dtype;
    column.dim = b->dim;
    column.data.len = b->vectors != NULL ? b->count * b->dim * om_tool_dtype_width(b->dtype) : 0;
    column.data.data = (uint8_t *)om_remote_text(b->vectors);
    items.ids = &ids;
    items.vectors = b->vectors != NULL ? &column : NULL;
    items.metadata = b->metadata != NULL ? &metadata : NULL;
    uint32_t crc = om_wire_crc32c(0, ids.u64, ids.n_u64 * sizeof *ids.u64);
    crc = om_wire_crc32c(crc, ids.uuid.data, ids.uuid.len);
    if (ids.n_str > 0) {
        crc = om_wire_crc32c(crc, b->ids->text + b->ids->offsets[0],
                             (size_t)(b->ids->offsets[b->count] - b->ids->offsets[0]));
    }
    crc = om_wire_crc32c(crc, column.data.data, column.data.len);
    batch.crc32c = b->metadata == NULL
                       ? crc
                       : om_wire_crc32c(crc, b->metadata->text, om_json_column_bytes(b->metadata));
    batch.seq = om_swriter_next_seq(w->batches);
    batch.op = ops[w->options.mode <= OMEN_PATCH ? w->options.mode : 0];
    batch.items = &items;
    uint64_t version = b->if_version != NULL ? *b->if_version : 0;
    batch.n_if_version = b->if_version != NULL && b->count == 1 ? 1 : 0;
    batch.if_version = &version;
    om_rpcc_buf *packed = pack_request(OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_BATCH, &batch.base);
    om_arena_reset(&arena);
    free(texts);
    if (packed == NULL) {
        om_tool_no_memory(err, column.data.len);
    }
    return packed;
}

bool om_remote_write(om_target *base, const om_target_batch *batch, om_tool_error *err)
{
    om_remote_writer *w = ((om_remote *)base)->writer;
    if (om_swriter_is_applied(w->batches)) {
        w->rows_done += batch->count;
        w->rows_skipped += batch->count;
        tick(w);
        return check(w, om_swriter_push(w->batches, NULL, 0), err);
    }
    om_rpcc_buf *packed = pack_batch(w, batch, err);
    if (packed == NULL) {
        return false;
    }
    size_t bytes = om_rpcc_buf_size(packed);
    bool ok = bytes <= w->max_message_bytes || w->max_message_bytes == 0;
    if (!ok) {
        check(w, OM_SWRITER_TOO_LARGE, err);
    }
    while (ok && !om_swriter_has_room(w->batches, bytes)) {
        ok = pump(w, POLL_MS, err);
    }
    sent_batch *sent = ok ? malloc(sizeof *sent) : NULL;
    if (sent == NULL) {
        om_rpcc_buf_unref(packed);
        return ok ? om_tool_no_memory(err, sizeof *sent) : false;
    }
    *sent = (sent_batch){w, packed, batch->count};
    w->first_rows[om_swriter_next_seq(w->batches) % OM_SWRITER_BATCHES_MAX] = batch->first_row;
    return check(w, om_swriter_push(w->batches, sent, bytes), err) && pump(w, 0, err);
}

/* Rows of the collection that are not in the graph yet; UINT64_MAX when it cannot be told. The figures
 * are shown meanwhile. */
static uint64_t backlog(om_remote_writer *w)
{
    om_target_info info;
    om_tool_error ignored; /* only the bar goes without */
    if (w->lost_contact || !om_remote_describe(&w->target->base, &info, &ignored)) {
        return UINT64_MAX;
    }
    w->indexed = info.indexed_rows;
    tick(w);
    return info.backlog_rows;
}

/* Flush is answered by an Ack, which looks like that of a batch sent late. So it is asked twice when
 * there is a backlog behind the first answer (which may be that of other writers, too). */
static bool flush(om_remote_writer *w, om_tool_error *err)
{
    w->phase = FLUSHING;
    for (int rounds = 0; rounds < 2; rounds++) {
        double asked = om_tool_now();
        w->control_sent = false;
        w->flushed = false;
        while (!w->flushed) {
            if (!pump(w, POLL_MS, err)) {
                return false;
            }
            if (!w->flushed && om_tool_now() - asked > 0.1) {
                (void)backlog(w);
                asked = om_tool_now();
            }
        }
        if (backlog(w) == 0) {
            break;
        }
    }
    return true;
}

bool om_remote_write_end(om_target *base, om_target_written *out, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    om_remote_writer *w = t->writer;
    memset(out, 0, sizeof *out);
    while (!om_swriter_idle(w->batches)) {
        if (!pump(w, POLL_MS, err)) {
            return false;
        }
    }
    out->accepted_at = om_tool_now();
    if (w->options.wait_indexed && !flush(w, err)) {
        return false;
    }
    out->indexed_at = om_tool_now();
    w->phase = CLOSING;
    w->control_sent = false;
    while (!w->ended) {
        if (!pump(w, POLL_MS, err)) {
            return false;
        }
    }
    out->accepted = w->rows_done;
    out->skipped = w->rows_skipped;
    out->indexed = w->indexed;
    out->reconnects = w->reconnects;
    (void)snprintf(out->stream_id, sizeof out->stream_id, "%s", w->stream_id);
    return true;
}
