/* ingest_bench.c - sends batches of 1000 rows through Items.StreamWrite for a time, within the
 * credit, and counts those that are acknowledged as durable. Prints one JSON object.
 *
 *   ingest_bench ADDRESS COLLECTION DIM SECONDS
 *
 * Rows are made beforehand (64,000, from 24 hidden dimensions); each time round their first values are
 * moved, so that no row comes twice. Each batch has its crc32c. The same batches go to omend and to
 * echo_server.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "remote.h"

enum { BATCH_ROWS = 1000, POOL = 64, HIDDEN = 24, MOVED = 8, POLL_MS = 50, PARTS = 6 };
static const char method[] = "/omen.v1.Items/StreamWrite";

typedef struct ingest {
    char *collection;
    uint32_t dim;
    float *pool; /* [POOL * BATCH_ROWS][dim] */
    om_rpcc_stream *stream;
    om_arena arena;
    uint64_t sent, acked, window, batch_bytes, windows, indexed;
    uint64_t marks[PARTS]; /* acked at the end of each part of the time */
    bool opened;
} ingest;

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "ingest_bench: %s: %s\n", what, why);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL) {
        die("memory", "none left");
    }
    return memory;
}

static float uniform(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(*state >> 40) / (float)(1 << 23) - 1.0F;
}

/* Rows with as much structure as embeddings have: a few hidden dimensions and some noise. */
static void make_pool(ingest *g)
{
    uint64_t state = 12345;
    float *mixing = must(malloc((size_t)HIDDEN * g->dim * sizeof *mixing));
    g->pool = must(malloc((size_t)POOL * BATCH_ROWS * g->dim * sizeof *g->pool));
    for (size_t i = 0; i < (size_t)HIDDEN * g->dim; i++) {
        mixing[i] = uniform(&state);
    }
    for (size_t row = 0; row < (size_t)POOL * BATCH_ROWS; row++) {
        float *out = g->pool + row * g->dim;
        for (uint32_t d = 0; d < g->dim; d++) {
            out[d] = 0.05F * uniform(&state);
        }
        for (uint32_t h = 0; h < HIDDEN; h++) {
            float weight = uniform(&state);
            for (uint32_t d = 0; d < g->dim; d++) {
                out[d] += weight * mixing[(size_t)h * g->dim + d];
            }
        }
    }
    free(mixing);
}

static om_rpcc_buf *encode(ingest *g, uint64_t seq)
{
    uint64_t keys[BATCH_ROWS];
    float *values = g->pool + (seq % POOL) * BATCH_ROWS * g->dim;
    for (uint64_t i = 0; i < BATCH_ROWS; i++) {
        keys[i] = seq * BATCH_ROWS + i;
        for (uint32_t d = 0; d < MOVED && d < g->dim; d++) {
            values[i * g->dim + d] += 0.01F * (float)((seq + i + d) % 7) - 0.03F;
        }
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
    column.dim = g->dim;
    column.data.len = (size_t)BATCH_ROWS * g->dim * sizeof(float);
    column.data.data = (uint8_t *)values;
    items.ids = &ids;
    items.vectors = &column;
    batch.seq = seq;
    batch.crc32c = om_wire_crc32c(om_wire_crc32c(0, keys, sizeof keys), values, column.data.len);
    batch.items = &items;
    request.message_case = OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_BATCH;
    request.batch = &batch;
    return must(om_remote_pack(&request.base));
}

static void send_open(ingest *g)
{
    Omen__V1__StreamWriteRequest__Open open;
    omen__v1__stream_write_request__open__init(&open);
    Omen__V1__StreamWriteRequest request;
    omen__v1__stream_write_request__init(&request);
    open.collection = g->collection;
    open.stream_id = om_remote_text("ingest");
    request.message_case = OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_OPEN;
    request.open = &open;
    om_rpcc_buf *packed = must(om_remote_pack(&request.base));
    (void)om_rpcc_stream_send(g->stream, packed);
    om_rpcc_buf_unref(packed);
}

static void send_one(ingest *g)
{
    bool room = g->sent == g->acked || (g->sent - g->acked + 1) * g->batch_bytes <= g->window;
    if (!g->opened || !room || !om_rpcc_stream_can_send(g->stream)) {
        return;
    }
    om_rpcc_buf *message = encode(g, ++g->sent);
    g->batch_bytes = om_rpcc_buf_size(message);
    if (!om_rpcc_stream_send(g->stream, message)) {
        die("stream", "a batch was not taken");
    }
    om_rpcc_buf_unref(message);
}

static void take(ingest *g, om_rpcc_buf *bytes)
{
    om_tool_error err;
    if (g->opened && om_rpcc_buf_size(bytes) > 4096) { /* an echo of the whole batch */
        g->acked++;
        return;
    }
    const Omen__V1__StreamWriteResponse *m =
        om_remote_unpack(&omen__v1__stream_write_response__descriptor, bytes, &g->arena, &err);
    if (m == NULL) {
        die("stream", err.message);
    }
    switch (m->message_case) {
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_OPENED:
        g->opened = true;
        g->window = m->opened->window_bytes;
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ACK:
        g->acked = m->ack->durable_seq;
        g->indexed = m->ack->indexed_items;
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_WINDOW:
        g->window = m->window->window_bytes;
        g->windows++;
        break;
    case OMEN__V1__STREAM_WRITE_RESPONSE__MESSAGE_ERROR:
        die("refused", m->error->message);
    default:
        die("stream", "an unexpected message");
    }
}

static void pump(ingest *g)
{
    om_rpcc_buf *message;
    om_rpcc_status status;
    send_one(g);
    switch (om_rpcc_stream_poll(g->stream, POLL_MS, &message, &status)) {
    case OM_RPCC_MESSAGE:
        take(g, message);
        om_rpcc_buf_unref(message);
        break;
    case OM_RPCC_ENDED:
        die("the stream ended", status.message);
    default:
        break;
    }
}

static void print(const ingest *g, double seconds)
{
    double rows = (double)g->acked * BATCH_ROWS;
    (void)printf(
        "{\"rows_per_s\": %.0f, \"bytes_per_s\": %.0f, \"batch_bytes\": %llu, \"acked\": "
        "%llu, \"indexed\": %llu, \"window_changes\": %llu, \"seconds\": %.3f, \"parts\": [",
        rows / seconds, (double)(g->acked * g->batch_bytes) / seconds,
        (unsigned long long)g->batch_bytes, (unsigned long long)g->acked * BATCH_ROWS,
        (unsigned long long)g->indexed, (unsigned long long)g->windows, seconds);
    for (int i = 0; i < PARTS; i++) {
        uint64_t before = i > 0 ? g->marks[i - 1] : 0;
        (void)printf("%s%.0f", i > 0 ? ", " : "",
                     (double)(g->marks[i] - before) * BATCH_ROWS * PARTS / seconds);
    }
    (void)printf("]}\n");
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        die("usage", "ingest_bench ADDRESS COLLECTION DIM SECONDS");
    }
    om_rpcc *client;
    om_rpcc_status status;
    const om_rpcc_options options = {.address = argv[1]};
    ingest g = {.collection = argv[2], .dim = (uint32_t)strtoul(argv[3], NULL, 10)};
    double seconds = strtod(argv[4], NULL);
    if (g.dim == 0 || g.dim > OMEN_MAX_DIM || !(seconds > 0)) {
        die("usage", "DIM or SECONDS is wrong");
    }
    make_pool(&g);
    if (!om_rpcc_open(&options, &client, &status) ||
        !om_rpcc_stream_open(client, method, &g.stream, &status)) {
        die("connecting", status.message);
    }
    send_open(&g);
    while (!g.opened) {
        pump(&g);
    }
    double begin = om_tool_now();
    for (int part = 0; part < PARTS; part++) {
        while (om_tool_now() - begin < seconds * (part + 1) / PARTS) {
            pump(&g);
        }
        g.marks[part] = g.acked;
    }
    print(&g, om_tool_now() - begin);
    om_rpcc_stream_free(g.stream);
    om_rpcc_close(client);
    om_arena_reset(&g.arena);
    free(g.pool);
    return 0;
}
