/* stream_bench.c - writes rows through Items.StreamWrite as fast as the server takes them, searches
 * beside it, and prints one JSON object.
 *
 *   stream_bench ADDRESS COLLECTION BASE QUERIES ROWS SECONDS
 *
 * BASE and QUERIES: u32 rows, u32 dim, then f32 values. The first ROWS rows are encoded beforehand and
 * sent in batches of 1000; after them mixtures of two rows each are sent for SECONDS, to see the steady
 * state. A second thread sends one search after the other all the time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "remote.h"

enum { BATCH_ROWS = 1000, POLL_MS = 50, LIMIT = 10 };
static const char WRITE_METHOD[] = "/omen.v1.Items/StreamWrite";
static const char SEARCH_METHOD[] = "/omen.v1.Items/Search";

typedef struct rows {
    uint32_t count, dim;
    float *values;
} rows;

typedef struct searcher {
    pthread_t thread;
    const char *address, *collection;
    const rows *queries;
    atomic_bool stop;
    om_latency latency;
} searcher;

/* What the writer knows; times are seconds since the first batch was sent. */
typedef struct writer {
    char *collection;
    const rows *base;
    om_rpcc_stream *stream;
    om_arena arena;
    om_rpcc_buf **encoded;
    uint64_t first_batches, sent, acked, indexed, window, batch_bytes, window_changes;
    bool opened;
    double begin, first_done, steady_from;
    uint64_t indexed_at_first, acked_at_steady, indexed_at_steady;
    float *mixed;
} writer;

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "stream_bench: %s: %s\n", what, why);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL) {
        die("memory", "none left");
    }
    return memory;
}

static rows read_rows(const char *path)
{
    rows r;
    uint32_t head[2];
    FILE *f = fopen(path, "rbe");
    if (f == NULL || fread(head, sizeof head, 1, f) != 1 || head[0] == 0 || head[1] == 0) {
        die(path, "cannot be read");
    }
    size_t n = (size_t)head[0] * head[1];
    r = (rows){head[0], head[1], must(malloc(n * sizeof *r.values))};
    if (fread(r.values, sizeof *r.values, n, f) != n) {
        die(path, "is too short");
    }
    (void)fclose(f);
    return r;
}

/* ---- Searching ------------------------------------------------------------------------------- */

static om_rpcc_buf *encode_search(const searcher *s, size_t query)
{
    Omen__V1__VectorColumn column;
    omen__v1__vector_column__init(&column);
    Omen__V1__VectorLeg leg;
    omen__v1__vector_leg__init(&leg);
    Omen__V1__Leg any;
    omen__v1__leg__init(&any);
    Omen__V1__Leg *legs[1] = {&any};
    Omen__V1__SearchRequest request;
    omen__v1__search_request__init(&request);
    column.type = OMEN__V1__DATA_TYPE__DATA_TYPE_F32;
    column.dim = s->queries->dim;
    column.data.len = s->queries->dim * sizeof(float);
    column.data.data = (uint8_t *)(s->queries->values + query * s->queries->dim);
    leg.vector = &column;
    any.query_case = OMEN__V1__LEG__QUERY_VECTOR;
    any.vector = &leg;
    request.collection = om_remote_text(s->collection);
    request.limit = LIMIT;
    request.n_legs = 1;
    request.legs = legs;
    return must(om_remote_pack(&request.base));
}

static void *search(void *arg)
{
    searcher *s = arg;
    om_rpcc *client;
    om_rpcc_status status;
    om_rpcc_options options = {.address = s->address};
    if (!om_rpcc_open(&options, &client, &status)) {
        die("search", status.message);
    }
    for (size_t i = 0; !atomic_load(&s->stop); i++) {
        om_rpcc_buf *request = encode_search(s, i % s->queries->count);
        om_rpcc_buf *reply;
        double begin = om_tool_now();
        if (!om_rpcc_call(client, SEARCH_METHOD, request, 60000, &reply, &status)) {
            die("search", status.message);
        }
        om_latency_add(&s->latency, (uint64_t)((om_tool_now() - begin) * 1e9));
        om_rpcc_buf_unref(reply);
        om_rpcc_buf_unref(request);
    }
    om_rpcc_close(client);
    return NULL;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static om_rpcc_buf *encode_batch(const writer *w, uint64_t seq, float *values)
{
    uint64_t keys[BATCH_ROWS];
    for (uint64_t i = 0; i < BATCH_ROWS; i++) {
        keys[i] = (seq - 1) * BATCH_ROWS + i;
    }
    Omen__V1__Ids ids;
    omen__v1__ids__init(&ids);
    Omen__V1__VectorColumn column;
    omen__v1__vector_column__init(&column);
    Omen__V1__ItemBatch items;
    omen__v1__item_batch__init(&items);
    Omen__V1__WriteBatch batch;
    omen__v1__write_batch__init(&batch);
    Omen__V1__StreamWriteRequest request;
    omen__v1__stream_write_request__init(&request);
    ids.n_u64 = BATCH_ROWS;
    ids.u64 = keys;
    column.type = OMEN__V1__DATA_TYPE__DATA_TYPE_F32;
    column.dim = w->base->dim;
    column.data.len = (size_t)BATCH_ROWS * w->base->dim * sizeof(float);
    column.data.data = (uint8_t *)values;
    items.ids = &ids;
    items.vectors = &column;
    batch.seq = seq;
    batch.items = &items;
    request.message_case = OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_BATCH;
    request.batch = &batch;
    return must(om_remote_pack(&request.base));
}

/* Rows that are not in the base, but like it: mixtures of two rows. */
static om_rpcc_buf *encode_mixed(writer *w, uint64_t seq)
{
    const rows *b = w->base;
    for (uint64_t i = 0; i < BATCH_ROWS; i++) {
        uint64_t at = seq * BATCH_ROWS + i;
        const float *one = b->values + (at % b->count) * b->dim;
        const float *two = b->values + (at * 7919 % b->count) * b->dim;
        for (uint32_t d = 0; d < b->dim; d++) {
            w->mixed[i * b->dim + d] = 0.9F * one[d] + 0.1F * two[d];
        }
    }
    return encode_batch(w, seq, w->mixed);
}

static void encode_first(writer *w)
{
    w->encoded = must(calloc(w->first_batches, sizeof(om_rpcc_buf *)));
    w->mixed = must(malloc((size_t)BATCH_ROWS * w->base->dim * sizeof(float)));
    for (uint64_t i = 0; i < w->first_batches; i++) {
        w->encoded[i] =
            encode_batch(w, i + 1, w->base->values + i * BATCH_ROWS * (uint64_t)w->base->dim);
    }
    w->batch_bytes = om_rpcc_buf_size(w->encoded[0]);
}

static void send_open(writer *w)
{
    Omen__V1__StreamWriteRequest__Open open;
    omen__v1__stream_write_request__open__init(&open);
    Omen__V1__StreamWriteRequest request;
    omen__v1__stream_write_request__init(&request);
    open.collection = w->collection;
    request.message_case = OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_OPEN;
    request.open = &open;
    om_rpcc_buf *packed = must(om_remote_pack(&request.base));
    (void)om_rpcc_stream_send(w->stream, packed);
    om_rpcc_buf_unref(packed);
}

static void send_one(writer *w)
{
    bool room = (w->sent - w->acked + 1) * w->batch_bytes <= w->window;
    if (!w->opened || !room || !om_rpcc_stream_can_send(w->stream)) {
        return;
    }
    if (w->sent == 0) {
        w->begin = om_tool_now();
    }
    uint64_t at = w->sent++;
    om_rpcc_buf *message = at < w->first_batches ? w->encoded[at] : encode_mixed(w, at + 1);
    if (!om_rpcc_stream_send(w->stream, message)) {
        die("stream", "a batch was not taken");
    }
    om_rpcc_buf_unref(message);
}

static void take_message(writer *w, om_rpcc_buf *bytes)
{
    om_tool_error err;
    const Omen__V1__StreamWriteResponse *m =
        om_remote_unpack(&omen__v1__stream_write_response__descriptor, bytes, &w->arena, &err);
    if (m == NULL) {
        die("stream", err.message);
    }
    switch (m->message_case) {
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_OPENED:
        w->opened = true;
        w->window = m->opened->window_bytes;
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ACK:
        w->acked = m->ack->durable_seq;
        w->indexed = m->ack->indexed_items;
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_WINDOW:
        /* Less than a batch would stop this simple client for good. */
        w->window =
            m->window->window_bytes > w->batch_bytes ? m->window->window_bytes : w->batch_bytes;
        w->window_changes++;
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ERROR:
        die("refused", m->error->message);
    default:
        die("stream", "an unexpected message");
    }
}

static void pump(writer *w)
{
    om_rpcc_buf *message;
    om_rpcc_status status;
    send_one(w);
    switch (om_rpcc_stream_poll(w->stream, POLL_MS, &message, &status)) {
    case OM_RPCC_MESSAGE:
        take_message(w, message);
        om_rpcc_buf_unref(message);
        break;
    case OM_RPCC_ENDED:
        die("the stream ended", status.message);
    default:
        break;
    }
}

/* Sends until the first rows are accepted, lets the tail go on filling for a third of the time, then
 * takes the rates of the rest as the steady ones. */
static void run(writer *w, double seconds)
{
    send_open(w);
    while (w->acked < w->first_batches) {
        pump(w);
    }
    w->first_done = om_tool_now() - w->begin;
    w->indexed_at_first = w->indexed;
    double from = om_tool_now();
    while (om_tool_now() - from < seconds / 3) {
        pump(w);
    }
    w->steady_from = om_tool_now();
    w->acked_at_steady = w->acked;
    w->indexed_at_steady = w->indexed;
    while (om_tool_now() - from < seconds) {
        pump(w);
    }
}

static void print(const writer *w, const om_latency *all)
{
    double steady = om_tool_now() - w->steady_from;
    double first_rows = (double)w->first_batches * BATCH_ROWS;
    (void)printf("{\"first_rows\": %.0f, \"first_seconds\": %.4f, \"first_rows_per_s\": %.0f, "
                 "\"first_indexed\": %llu, \"steady_accepted_per_s\": %.0f, "
                 "\"steady_indexed_per_s\": %.0f, \"accepted\": %llu, \"indexed\": %llu, "
                 "\"window_changes\": %llu, ",
                 first_rows, w->first_done, first_rows / w->first_done,
                 (unsigned long long)w->indexed_at_first,
                 (double)(w->acked - w->acked_at_steady) * BATCH_ROWS / steady,
                 (double)(w->indexed - w->indexed_at_steady) / steady,
                 (unsigned long long)w->acked * BATCH_ROWS, (unsigned long long)w->indexed,
                 (unsigned long long)w->window_changes);
    (void)printf("\"searches\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
                 (unsigned long long)all->count, (double)om_latency_quantile(all, 0.50) / 1e3,
                 (double)om_latency_quantile(all, 0.99) / 1e3,
                 (double)om_latency_quantile(all, 1.0) / 1e3);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        die("usage", "stream_bench ADDRESS COLLECTION BASE QUERIES ROWS SECONDS");
    }
    rows base = read_rows(argv[3]);
    rows queries = read_rows(argv[4]);
    om_rpcc *client;
    om_rpcc_status status;
    om_rpcc_options options = {.address = argv[1]};
    writer w = {.collection = argv[2], .base = &base};
    searcher *s = must(calloc(1, sizeof *s));
    w.first_batches = strtoull(argv[5], NULL, 10) / BATCH_ROWS;
    if (w.first_batches == 0 || w.first_batches * BATCH_ROWS > base.count ||
        queries.dim != base.dim) {
        die("usage", "ROWS is less than a batch or more than the base has, or the dims differ");
    }
    encode_first(&w);
    if (!om_rpcc_open(&options, &client, &status) ||
        !om_rpcc_stream_open(client, WRITE_METHOD, &w.stream, &status)) {
        die("connecting", status.message);
    }
    s->address = argv[1];
    s->collection = argv[2];
    s->queries = &queries;
    if (pthread_create(&s->thread, NULL, search, s) != 0) {
        die("threads", "cannot start one");
    }
    run(&w, strtod(argv[6], NULL));
    atomic_store(&s->stop, true);
    (void)pthread_join(s->thread, NULL);
    print(&w, &s->latency);
    om_rpcc_stream_free(w.stream);
    om_rpcc_close(client);
    om_arena_reset(&w.arena);
    free(w.encoded);
    free(w.mixed);
    free(base.values);
    free(queries.values);
    free(s);
    return 0;
}
