/* crash_load.c - the writers: streams that resume, and single calls that are tried again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

enum { POLL_MS = 100, CUT_ONE_IN = 200, REPLAY_ONE_IN = 12, HASTY_ONE_IN = 20 };
static const char stream_method[] = "/omen.v1.Items/StreamWrite";
static const char single_method[] = "/omen.v1.Items/BatchWrite";

om_rpcc *crash_connect(const crash_run *run)
{
    om_rpcc *client = NULL;
    om_rpcc_status status;
    const om_rpcc_options options = {.address = run->address};
    return om_rpcc_open(&options, &client, &status) ? client : crash_must(NULL);
}

/* ---- Streams --------------------------------------------------------------------------------- */

typedef struct stream_load {
    crash_writer *w;
    om_rpcc *client;
    om_rpcc_stream *stream;
    om_arena arena;
    bool opened;
    uint64_t repeat; /* a batch to be sent once more although it is acknowledged; 0: none */
    double silent;   /* since when nothing came */
} stream_load;

void crash_on_opened(crash_writer *w, uint64_t last_seq)
{
    if (last_seq < w->acked) {
        crash_problem(w->run, CRASH_LOST,
                      "stream writer-%u: the server has %llu, acknowledged %llu", w->index,
                      (unsigned long long)last_seq, (unsigned long long)w->acked);
    } else if (last_seq > w->sent) {
        crash_problem(w->run, CRASH_DOUBLED,
                      "stream writer-%u: the server has %llu, sent were %llu", w->index,
                      (unsigned long long)last_seq, (unsigned long long)w->sent);
    } else {
        crash_advance(w, last_seq);
        w->sent = last_seq;
    }
}

static bool open_stream(stream_load *s)
{
    om_rpcc_status status;
    s->opened = false;
    s->silent = om_tool_now();
    if (!om_rpcc_stream_open(s->client, stream_method, &s->stream, &status)) {
        crash_problem(s->w->run, CRASH_OTHER, "a stream cannot be opened: %s", status.message);
        return false;
    }
    om_rpcc_buf *open = crash_pack_open(s->w);
    (void)om_rpcc_stream_send(s->stream, open);
    om_rpcc_buf_unref(open);
    return true;
}

/* The client goes away in the middle, and comes back at once. */
static bool cut(stream_load *s)
{
    s->w->cuts++;
    om_rpcc_stream_free(s->stream);
    s->stream = NULL;
    return open_stream(s);
}

static void send_some(stream_load *s)
{
    crash_writer *w = s->w;
    if (!s->opened || !om_rpcc_stream_can_send(s->stream)) {
        return;
    }
    uint64_t number = s->repeat;
    s->repeat = 0;
    if (number == 0) {
        if (w->sent - w->acked >= CRASH_PENDING) {
            return;
        }
        if (w->sent == w->made) {
            (void)crash_make(w);
        }
        number = ++w->sent;
    }
    om_rpcc_buf *message = crash_pack_stream_batch(w, crash_at(w, number));
    (void)om_rpcc_stream_send(s->stream, message); /* if it fails, the stream has ended */
    om_rpcc_buf_unref(message);
}

static void on_error(crash_writer *w, const Omen__V1__StreamWriteResponse__BatchError *m)
{
    bool ours = m->seq > w->acked && m->seq <= w->sent;
    if (!ours || !crash_at(w, m->seq)->refused || m->code != OMEN_ALREADY_EXISTS) {
        crash_problem(w->run, CRASH_OTHER,
                      "writer-%u: batch %llu was refused: %u %s: %s (acked %llu, sent %llu)",
                      w->index, (unsigned long long)m->seq, m->code, m->reason, m->message,
                      (unsigned long long)w->acked, (unsigned long long)w->sent);
    }
}

/* What is visible survives the end of the process, whatever the level. */
static void on_ack(crash_writer *w, const Omen__V1__StreamWriteResponse__Ack *m)
{
    if (m->visible_seq > w->sent || m->durable_seq > m->visible_seq) {
        crash_problem(w->run, CRASH_DOUBLED,
                      "writer-%u: %llu (durable %llu) acknowledged, %llu sent", w->index,
                      (unsigned long long)m->visible_seq, (unsigned long long)m->durable_seq,
                      (unsigned long long)w->sent);
    } else if (m->visible_seq > w->acked) {
        crash_advance(w, m->visible_seq);
    }
}

static void on_message(stream_load *s, om_rpcc_buf *bytes)
{
    crash_writer *w = s->w;
    om_tool_error err;
    const Omen__V1__StreamWriteResponse *m =
        om_remote_unpack(&omen__v1__stream_write_response__descriptor, bytes, &s->arena, &err);
    om_rpcc_buf_unref(bytes);
    s->silent = om_tool_now();
    if (m == NULL) {
        crash_problem(w->run, CRASH_OTHER, "writer-%u: %s", w->index, err.message);
        return;
    }
    switch (m->message_case) {
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_OPENED:
        crash_on_opened(w, m->opened->last_seq);
        s->opened = true;
        if (w->acked > 0 && crash_below(&w->rng, 3) == 0) {
            s->repeat = w->acked; /* must be acknowledged and not applied */
            w->replays++;
        }
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ACK:
        on_ack(w, m->ack);
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ERROR:
        on_error(w, m->error);
        break;
    default:
        break;
    }
}

static bool on_ended(const stream_load *s, const om_rpcc_status *status)
{
    crash_run *run = s->w->run;
    if (!atomic_load(&run->over)) {
        crash_problem(run, CRASH_OTHER, "writer-%u: the stream ended: %d %s", s->w->index,
                      status->code, status->message);
    }
    return false;
}

static bool stream_step(stream_load *s)
{
    om_rpcc_buf *message;
    om_rpcc_status status;
    crash_run *run = s->w->run;
    send_some(s);
    switch (om_rpcc_stream_poll(s->stream, POLL_MS, &message, &status)) {
    case OM_RPCC_MESSAGE:
        on_message(s, message);
        break;
    case OM_RPCC_ENDED:
        return on_ended(s, &status);
    default:
        break;
    }
    if ((om_tool_now() - s->silent) * 1000 > CRASH_PATIENCE_MS) {
        crash_problem(run, CRASH_OTHER, "writer-%u: the server is silent", s->w->index);
    }
    if (crash_is_bad(run)) {
        return false;
    }
    if (s->opened && !atomic_load(&run->over) && crash_below(&s->w->rng, CUT_ONE_IN) == 0) {
        return cut(s);
    }
    return true;
}

static void write_stream(crash_writer *w)
{
    stream_load s = {.w = w, .client = crash_connect(w->run)};
    om_arena_init(&s.arena, NULL, 0, 0);
    for (bool go = open_stream(&s); go;) {
        go = stream_step(&s);
    }
    om_rpcc_stream_free(s.stream);
    om_rpcc_close(s.client);
    om_arena_reset(&s.arena);
}

/* ---- Single calls ----------------------------------------------------------------------------- */

static void note_single(crash_writer *w, crash_batch *b, const Omen__V1__BatchWriteResponse *reply)
{
    if (b->refused) {
        crash_problem(w->run, CRASH_DOUBLED, "writer-%u: an INSERT of an id that exists was taken",
                      w->index);
    }
    if (reply->replayed && !w->unsure) {
        crash_problem(w->run, CRASH_DOUBLED, "writer-%u: call %llu is known before it was sent",
                      w->index, (unsigned long long)b->number);
    }
    b->version = reply->version;
}

bool crash_try_single(crash_writer *w, om_rpcc *client, om_arena *arena, uint64_t timeout_ms,
                      bool *replayed)
{
    crash_batch *b = crash_at(w, w->acked + 1);
    om_rpcc_status status;
    w->sent = b->number;
    const Omen__V1__BatchWriteResponse *reply =
        crash_call(client, single_method, crash_pack_batch_write(w, b), timeout_ms,
                   &omen__v1__batch_write_response__descriptor, arena, &status);
    if (reply != NULL) {
        note_single(w, b, reply);
        *replayed = reply->replayed;
    } else if (!b->refused || status.code != OMEN_ALREADY_EXISTS) {
        w->unsure = true;
        /* Over its time, or refused at once because the queue is longer than that. */
        bool late = timeout_ms < CRASH_PATIENCE_MS && (status.code == OMEN_DEADLINE_EXCEEDED ||
                                                       status.code == OMEN_RESOURCE_EXHAUSTED);
        if (!late && !atomic_load(&w->run->over)) {
            crash_problem(w->run, CRASH_OTHER, "writer-%u: call %llu: %d %s", w->index,
                          (unsigned long long)b->number, status.code, status.message);
        }
        return false;
    }
    w->unsure = false;
    crash_advance(w, b->number);
    return true;
}

/* A call of the past again, as a client that missed the answer would do it: it must be known. */
static void repeat_single(crash_writer *w, om_rpcc *client, om_arena *arena)
{
    uint32_t back = crash_below(&w->rng, CRASH_RING / 2);
    if (w->acked <= back) {
        return;
    }
    const crash_batch *b = crash_at(w, w->acked - back);
    om_rpcc_status status;
    if (b->refused) {
        return;
    }
    const Omen__V1__BatchWriteResponse *reply =
        crash_call(client, single_method, crash_pack_batch_write(w, b), CRASH_PATIENCE_MS,
                   &omen__v1__batch_write_response__descriptor, arena, &status);
    w->replays++;
    if (reply == NULL) {
        if (!atomic_load(&w->run->over)) {
            crash_problem(w->run, CRASH_OTHER, "writer-%u: call %llu again: %d %s", w->index,
                          (unsigned long long)b->number, status.code, status.message);
        }
    } else if (!reply->replayed) {
        crash_problem(w->run, CRASH_DOUBLED, "writer-%u: call %llu was applied a second time",
                      w->index, (unsigned long long)b->number);
    } else if (b->version != 0 && reply->version != b->version) {
        crash_problem(w->run, CRASH_OTHER, "writer-%u: call %llu has version %llu, it was %llu",
                      w->index, (unsigned long long)b->number, (unsigned long long)reply->version,
                      (unsigned long long)b->version);
    }
}

static void write_single(crash_writer *w)
{
    om_rpcc *client = crash_connect(w->run);
    om_arena arena;
    om_arena_init(&arena, NULL, 0, 0);
    bool replayed;
    while (!atomic_load(&w->run->over) && !crash_is_bad(w->run)) {
        if (w->acked == w->made) {
            (void)crash_make(w);
        }
        bool hasty = crash_below(&w->rng, HASTY_ONE_IN) == 0;
        uint64_t timeout = hasty ? 1 + crash_below(&w->rng, 3) : CRASH_PATIENCE_MS;
        (void)crash_try_single(w, client, &arena, timeout, &replayed);
        if (!atomic_load(&w->run->over) && crash_below(&w->rng, REPLAY_ONE_IN) == 0) {
            repeat_single(w, client, &arena);
        }
    }
    om_rpcc_close(client);
    om_arena_reset(&arena);
}

void *crash_write(void *writer)
{
    crash_writer *w = writer;
    if (w->stream) {
        write_stream(w);
    } else {
        write_single(w);
    }
    return NULL;
}

/* ---- Maintenance ------------------------------------------------------------------------------ */

static const Omen__V1__Operation *maintain(om_rpcc *client, om_arena *arena, uint32_t dice,
                                           om_rpcc_status *status)
{
    if (dice >= CRASH_COLLECTIONS) {
        Omen__V1__CheckpointRequest request;
        omen__v1__checkpoint_request__init(&request);
        return crash_call(client, "/omen.v1.Maintenance/Checkpoint",
                          crash_must(om_remote_pack(&request.base)), CRASH_PATIENCE_MS,
                          &omen__v1__operation__descriptor, arena, status);
    }
    Omen__V1__OptimizeRequest request;
    omen__v1__optimize_request__init(&request);
    request.collection = om_remote_text(crash_names[dice]);
    return crash_call(client, "/omen.v1.Maintenance/Optimize",
                      crash_must(om_remote_pack(&request.base)), CRASH_PATIENCE_MS,
                      &omen__v1__operation__descriptor, arena, status);
}

/* Waits for its end; false: it failed, or the server is gone. */
static bool wait_for(om_rpcc *client, om_arena *arena, const Omen__V1__Operation *operation,
                     om_rpcc_status *status)
{
    char id[64];
    (void)snprintf(id, sizeof id, "%s", operation->id);
    while (operation != NULL && operation->ended_unix_ms == 0) {
        Omen__V1__WaitOperationRequest request;
        omen__v1__wait_operation_request__init(&request);
        request.id = id;
        request.timeout_ms = 10000;
        operation = crash_call(client, "/omen.v1.Maintenance/WaitOperation",
                               crash_must(om_remote_pack(&request.base)), CRASH_PATIENCE_MS,
                               &omen__v1__operation__descriptor, arena, status);
    }
    bool good =
        operation != NULL && operation->state == OMEN__V1__OPERATION__STATE__STATE_SUCCEEDED;
    if (operation != NULL && !good) {
        status->code = (int)(operation->error != NULL ? operation->error->code : 0);
        (void)snprintf(status->message, sizeof status->message, "%.500s",
                       operation->error != NULL ? operation->error->message : "");
    }
    return good;
}

void *crash_maintain(void *of)
{
    crash_run *run = of;
    om_rpcc *client = crash_connect(run);
    om_rpcc_status status = {.code = 0};
    om_arena arena;
    om_arena_init(&arena, NULL, 0, 0);
    uint64_t rng = crash_mix(run->seed ^ run->cycle);
    while (!atomic_load(&run->over) && !crash_is_bad(run)) {
        uint32_t dice = crash_below(&rng, CRASH_COLLECTIONS + 3);
        const Omen__V1__Operation *operation = maintain(client, &arena, dice, &status);
        run->maintained += operation != NULL;
        bool good = operation != NULL && wait_for(client, &arena, operation, &status);
        if (!good && !atomic_load(&run->over)) {
            crash_problem(run, CRASH_OTHER, "%s: %d %s",
                          dice < CRASH_COLLECTIONS ? "optimize" : "checkpoint", status.code,
                          status.message);
        }
    }
    om_rpcc_close(client);
    om_arena_reset(&arena);
    return NULL;
}
