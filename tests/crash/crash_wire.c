/* crash_wire.c - the messages of the crash test. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "crc32c.h"

/* In the order of OMEN_DURABILITY_NONE, INTERVAL, BATCH. */
const char *const crash_names[CRASH_COLLECTIONS] = {"none", "interval", "batch"};
const uint32_t crash_id_types[CRASH_COLLECTIONS] = {OMEN_ID_U64, OMEN_ID_STRING, OMEN_ID_UUID};

static const uint8_t uuid_tail[8] = {0x11, 0x22, 0, 0x44, 0xFF, 0x66, 0x77, 0x88};

void *crash_must(void *memory)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "crash: out of memory\n");
        exit(1);
    }
    return memory;
}

static uint64_t number_of(const crash_writer *w, uint32_t id)
{
    return (uint64_t)w->index * 1000000 + id;
}

void crash_make_ids(const crash_writer *w, const uint16_t *ids, uint32_t count, crash_ids *out)
{
    omen__v1__ids__init(&out->ids);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t n = number_of(w, ids[i]);
        out->u64[i] = n;
        memcpy(out->uuid + (size_t)i * 16, &n, sizeof n);
        memcpy(out->uuid + (size_t)i * 16 + 8, uuid_tail, sizeof uuid_tail);
        (void)snprintf(out->text[i], sizeof out->text[i], "id-%llu", (unsigned long long)n);
        out->texts[i] = out->text[i];
    }
    switch (crash_id_types[crash_collection(w)]) {
    case OMEN_ID_U64:
        out->ids.n_u64 = count;
        out->ids.u64 = out->u64;
        break;
    case OMEN_ID_UUID:
        out->ids.uuid.len = (size_t)count * 16;
        out->ids.uuid.data = out->uuid;
        break;
    default:
        out->ids.n_str = count;
        out->ids.str = out->texts;
    }
}

bool crash_read_id(uint32_t collection, const Omen__V1__Ids *ids, size_t at, uint32_t *writer,
                   uint32_t *id)
{
    uint64_t n = UINT64_MAX;
    switch (crash_id_types[collection]) {
    case OMEN_ID_U64:
        n = ids->u64[at];
        break;
    case OMEN_ID_UUID:
        memcpy(&n, ids->uuid.data + at * 16, sizeof n);
        n = memcmp(ids->uuid.data + at * 16 + 8, uuid_tail, 8) == 0 ? n : UINT64_MAX;
        break;
    default:
        n = strncmp(ids->str[at], "id-", 3) == 0 ? strtoull(ids->str[at] + 3, NULL, 10) : n;
    }
    if (n >= (uint64_t)CRASH_WRITERS * 1000000 || n % 1000000 >= CRASH_IDS) {
        return false;
    }
    *writer = (uint32_t)(n / 1000000);
    *id = (uint32_t)(n % 1000000);
    return *writer % CRASH_COLLECTIONS == collection;
}

void crash_stream_id(const crash_writer *w, char out[32])
{
    (void)snprintf(out, 32, "writer-%u", w->index);
}

static om_rpcc_buf *pack_stream(Omen__V1__StreamWriteRequest__MessageCase kind, void *body)
{
    Omen__V1__StreamWriteRequest request;
    omen__v1__stream_write_request__init(&request);
    request.message_case = kind;
    request.open = body; /* all members are pointers */
    return crash_must(om_remote_pack(&request.base));
}

om_rpcc_buf *crash_pack_open(const crash_writer *w)
{
    char id[32];
    Omen__V1__StreamWriteRequest__Open open;
    omen__v1__stream_write_request__open__init(&open);
    crash_stream_id(w, id);
    open.collection = om_remote_text(crash_names[crash_collection(w)]);
    open.stream_id = id;
    return pack_stream(OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_OPEN, &open);
}

/* What a batch points to. */
typedef struct packed_batch {
    crash_ids ids;
    float rows[CRASH_ROWS * CRASH_DIM];
    Omen__V1__VectorColumn column;
    Omen__V1__ItemBatch items;
    Omen__V1__WriteBatch batch;
} packed_batch;

static void fill_batch(const crash_writer *w, const crash_batch *b, packed_batch *out)
{
    omen__v1__vector_column__init(&out->column);
    omen__v1__item_batch__init(&out->items);
    omen__v1__write_batch__init(&out->batch);
    crash_make_ids(w, b->ids, b->count, &out->ids);
    uint32_t crc = om_wire_crc32c(0, out->ids.ids.u64, out->ids.ids.n_u64 * 8);
    crc = om_wire_crc32c(crc, out->ids.ids.uuid.data, out->ids.ids.uuid.len);
    for (size_t i = 0; i < out->ids.ids.n_str; i++) {
        crc = om_wire_crc32c(crc, out->ids.text[i], strlen(out->ids.text[i]));
    }
    out->items.ids = &out->ids.ids;
    if (b->op != OMEN__V1__WRITE_OP__WRITE_OP_DELETE) {
        for (uint32_t i = 0; i < b->count; i++) {
            crash_row(w, b->ids[i], b->number, out->rows + (size_t)i * CRASH_DIM);
        }
        out->column.type = OMEN__V1__DATA_TYPE__DATA_TYPE_F32;
        out->column.dim = CRASH_DIM;
        out->column.data.data = (uint8_t *)out->rows;
        out->column.data.len = (size_t)b->count * CRASH_DIM * sizeof(float);
        out->items.vectors = &out->column;
        crc = om_wire_crc32c(crc, out->column.data.data, out->column.data.len);
    }
    out->batch.op = (Omen__V1__WriteOp)b->op;
    out->batch.crc32c = crc;
    out->batch.items = &out->items;
}

om_rpcc_buf *crash_pack_stream_batch(const crash_writer *w, const crash_batch *b)
{
    packed_batch *p = crash_must(malloc(sizeof *p));
    fill_batch(w, b, p);
    p->batch.seq = b->number;
    om_rpcc_buf *packed = pack_stream(OMEN__V1__STREAM_WRITE_REQUEST__MESSAGE_BATCH, &p->batch);
    free(p);
    return packed;
}

om_rpcc_buf *crash_pack_batch_write(const crash_writer *w, const crash_batch *b)
{
    char id[48];
    packed_batch *p = crash_must(malloc(sizeof *p));
    Omen__V1__BatchWriteRequest request;
    omen__v1__batch_write_request__init(&request);
    fill_batch(w, b, p);
    (void)snprintf(id, sizeof id, "writer-%u-%llu", w->index, (unsigned long long)b->number);
    request.collection = om_remote_text(crash_names[crash_collection(w)]);
    request.request_id = id;
    request.batch = &p->batch;
    om_rpcc_buf *packed = crash_must(om_remote_pack(&request.base));
    free(p);
    return packed;
}

void *crash_call(om_rpcc *client, const char *method, om_rpcc_buf *request, uint64_t timeout_ms,
                 const ProtobufCMessageDescriptor *type, om_arena *arena, om_rpcc_status *status)
{
    om_rpcc_buf *reply = NULL;
    void *message = NULL;
    om_tool_error err;
    if (om_rpcc_call(client, method, request, timeout_ms, &reply, status)) {
        message = om_remote_unpack(type, reply, arena, &err);
        om_rpcc_buf_unref(reply);
        if (message == NULL) {
            status->code = OMEN_INTERNAL;
            (void)snprintf(status->message, sizeof status->message, "%.500s", err.message);
        }
    }
    om_rpcc_buf_unref(request);
    return message;
}
