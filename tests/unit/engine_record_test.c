/* engine_record_test.c - payloads of log records: every field and bound of the decoder, and that what
 * the engine writes is what FORMAT.md says.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "disk_fixture.h"
#include "engine_record.h"

enum { ROOM = 4096, HEAD = 24 };
static const omen_options u64_options = {
    .dim = 2, .metric = OMEN_L2, .dtype = OMEN_F32, .id_type = OMEN_ID_U64};
static const omen_options string_options = {
    .dim = 2, .metric = OMEN_L2, .dtype = OMEN_F32, .id_type = OMEN_ID_STRING};

typedef struct bytes {
    _Alignas(8) uint8_t data[ROOM];
    size_t size;
} bytes;

static void put(bytes *b, const void *data, size_t size)
{
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void pad(bytes *b)
{
    while (b->size % 8 != 0) {
        b->data[b->size++] = 0;
    }
}

static void put_head(bytes *b, om_payload_head head)
{
    memset(b, 0, sizeof *b);
    put(b, &head, sizeof head);
}

static void put_field(bytes *b, uint16_t tag, const void *value, uint16_t length)
{
    put(b, &tag, sizeof tag);
    put(b, &length, sizeof length);
    put(b, value, length);
    pad(b);
    uint16_t fields = (uint16_t)(b->size - HEAD);
    memcpy(b->data + 2, &fields, sizeof fields);
}

static omen_status_t decode_as(const bytes *b, uint8_t type, om_payload *out, omen_error *err)
{
    /* In a block of its own size, so that reading behind it is seen. */
    uint8_t *copy = aligned_alloc(8, (b->size + 7) / 8 * 8 + 8);
    assert_non_null(copy);
    memcpy(copy, b->data, b->size);
    const om_log_record record = {
        .lsn = 9, .collection = 1, .type = type, .payload = copy, .bytes = b->size};
    omen_status_t status = om_payload_decode(&record, out, err);
    free(copy); /* only what is not behind a pointer is looked at below */
    return status;
}

static void refused(const bytes *b, omen_status_t status)
{
    om_payload p;
    omen_error err = {0};
    assert_int_equal(decode_as(b, OM_LOG_UPSERT, &p, &err), status);
    assert_true(strlen(err.message) > 0);
}

static void accepted(const bytes *b, om_payload *p)
{
    omen_error err = {0};
    omen_status_t status = decode_as(b, OM_LOG_UPSERT, p, &err);
    if (status != OMEN_OK) {
        print_message("%s\n", err.message);
    }
    assert_int_equal(status, OMEN_OK);
}

/* ---- Heads ------------------------------------------------------------------------------------- */
static void heads(void **state)
{
    (void)state;
    bytes b;
    om_payload p;
    const om_payload_head good = {.version = 1};
    put_head(&b, good);
    accepted(&b, &p);
    for (b.size = 0; b.size < HEAD; b.size++) {
        refused(&b, OMEN_DATA_LOSS);
    }
    om_payload_head head = good;
    head.version = 0;
    put_head(&b, head);
    refused(&b, OMEN_UNIMPLEMENTED);
    head.version = 2;
    put_head(&b, head);
    refused(&b, OMEN_UNIMPLEMENTED);
    head = good;
    head.columns = 32;
    put_head(&b, head);
    refused(&b, OMEN_UNIMPLEMENTED);
    head = good;
    head.count = OMEN_MAX_BATCH_ITEMS + 1;
    put_head(&b, head);
    refused(&b, OMEN_DATA_LOSS);
    static const uint16_t sizes[] = {7, 8, OM_PAYLOAD_FIELDS + 8, UINT16_MAX};
    for (uint32_t i = 0; i < 4; i++) {
        head = good;
        head.field_bytes = sizes[i];
        put_head(&b, head);
        refused(&b, OMEN_DATA_LOSS);
    }
    put_head(&b, good);
    put(&b, "\0\0\0\0\0\0\0", 8);
    refused(&b, OMEN_DATA_LOSS); /* bytes that belong to nothing */
    head = good;
    head.id_bytes = 8;
    put_head(&b, head);
    put(&b, "\0\0\0\0\0\0\0", 8);
    refused(&b, OMEN_DATA_LOSS);
}

/* ---- Fields ------------------------------------------------------------------------------------ */
static void one_field(uint16_t tag, uint16_t length, omen_status_t status)
{
    static const uint8_t zeros[1024];
    bytes b;
    om_payload p;
    put_head(&b, (om_payload_head){.version = 1});
    put_field(&b, tag, zeros, length);
    if (status == OMEN_OK) {
        accepted(&b, &p);
    } else {
        refused(&b, status);
    }
}

static void fields(void **state)
{
    (void)state;
    static const struct {
        uint16_t tag, size;
    } fixed[] = {{OM_FIELD_SEQ, 8},   {OM_FIELD_CRC, 4},    {OM_FIELD_COUNTS, 24},
                 {OM_FIELD_PART, 24}, {OM_FIELD_ACTION, 4}, {OM_FIELD_OPTIONS, 56}};
    for (uint32_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        one_field(fixed[i].tag, fixed[i].size, OMEN_OK);
        one_field(fixed[i].tag, (uint16_t)(fixed[i].size - 1), OMEN_DATA_LOSS);
        one_field(fixed[i].tag, (uint16_t)(fixed[i].size + 1), OMEN_DATA_LOSS);
        one_field(fixed[i].tag, 0, OMEN_DATA_LOSS);
    }
    one_field(OM_FIELD_REQUEST, OMEN_MAX_REQUEST_ID, OMEN_OK);
    one_field(OM_FIELD_REQUEST, OMEN_MAX_REQUEST_ID + 1, OMEN_DATA_LOSS);
    one_field(OM_FIELD_REQUEST, 0, OMEN_DATA_LOSS);
    one_field(OM_FIELD_NAME, OMEN_MAX_NAME, OMEN_OK);
    one_field(OM_FIELD_NAME, OMEN_MAX_NAME + 1, OMEN_DATA_LOSS);
    one_field(OM_FIELD_STREAM, 5, OMEN_DATA_LOSS); /* without a seq */
    one_field(77, 5, OMEN_OK);
    one_field(77 | OM_FIELD_REQUIRED, 5, OMEN_UNIMPLEMENTED);
}

static void more_fields(void **state)
{
    (void)state;
    bytes b;
    om_payload p;
    uint64_t seq = 5;
    put_head(&b, (om_payload_head){.version = 1});
    put_field(&b, OM_FIELD_STREAM, "abc", 3);
    put_field(&b, OM_FIELD_SEQ, &seq, sizeof seq);
    accepted(&b, &p);
    assert_int_equal(p.stream.length, 3);
    assert_int_equal(p.seq, 5);
    put_field(&b, OM_FIELD_STREAM, "def", 3); /* twice */
    refused(&b, OMEN_DATA_LOSS);
    put_head(&b, (om_payload_head){.version = 1});
    put_field(&b, OM_FIELD_SEQ, &seq, sizeof seq); /* without a stream: seq 5 of nobody */
    refused(&b, OMEN_DATA_LOSS);
    put_head(&b, (om_payload_head){.version = 1}); /* longer than the fields */
    put_field(&b, 77, "12345678", 8);
    uint16_t length = 13;
    memcpy(b.data + HEAD + 2, &length, sizeof length);
    refused(&b, OMEN_DATA_LOSS);
    om_part_field part = {.items = OMEN_MAX_BATCH_ITEMS + 1};
    put_head(&b, (om_payload_head){.version = 1});
    put_field(&b, OM_FIELD_PART, &part, sizeof part);
    refused(&b, OMEN_DATA_LOSS);
    part = (om_part_field){.id_bytes = OMEN_MAX_BATCH_BYTES + UINT64_C(1)};
    put_head(&b, (om_payload_head){.version = 1});
    put_field(&b, OM_FIELD_PART, &part, sizeof part);
    refused(&b, OMEN_DATA_LOSS);
}

/* ---- Columns ----------------------------------------------------------------------------------- */
/* Two items with keys, string ids and vectors. */
static void put_items(bytes *b)
{
    const uint64_t keys[2] = {7, 8};
    const uint32_t offsets[3] = {0, 2, 5};
    const float rows[2][2] = {{1, 2}, {3, 4}};
    put_head(b, (om_payload_head){.version = 1,
                                  .mode = OMEN_UPSERT,
                                  .count = 2,
                                  .dim = 2,
                                  .dtype = OMEN_F32,
                                  .columns = OM_COLUMN_KEYS | OM_COLUMN_IDS | OM_COLUMN_VECTORS,
                                  .id_bytes = 5});
    put(b, keys, sizeof keys);
    put(b, offsets, sizeof offsets);
    pad(b);
    put(b, "ababc", 5);
    pad(b);
    put(b, rows, sizeof rows);
}

static void columns(void **state)
{
    (void)state;
    bytes b;
    om_payload p;
    omen_batch batch;
    omen_error err;
    put_items(&b);
    accepted(&b, &p);
    assert_int_equal(om_payload_batch(&p, &string_options, false, &batch, &err), OMEN_OK);
    assert_int_equal(batch.count, 2);
    assert_int_equal(batch.ids.offset_bits, 32);
    size_t whole = b.size;
    for (b.size = HEAD; b.size < whole; b.size++) {
        refused(&b, OMEN_DATA_LOSS); /* cut anywhere */
    }
    b.size = whole + 8;
    refused(&b, OMEN_DATA_LOSS);
    static const uint32_t bad[][3] = {{1, 2, 5}, {0, 6, 5}, {0, 2, 4}, {0, 2, 6}, {0, 5, 2}};
    for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_items(&b);
        memcpy(b.data + HEAD + 16, bad[i], sizeof bad[i]);
        refused(&b, OMEN_DATA_LOSS);
    }
    put_items(&b);
    b.data[16] = OMEN_B1; /* a dtype without rows */
    refused(&b, OMEN_DATA_LOSS);
    put_items(&b);
    b.data[14] = 1; /* dim 65538 */
    refused(&b, OMEN_DATA_LOSS);
    put_items(&b);
    b.data[18] = 2; /* 2 bytes an id, but there are 5 */
    refused(&b, OMEN_DATA_LOSS);
    put_items(&b);
    b.data[19] = 3; /* wider than any id */
    refused(&b, OMEN_DATA_LOSS);
}

static void batches_must_fit_the_collection(void **state)
{
    (void)state;
    bytes b;
    om_payload p;
    omen_batch batch;
    omen_error err;
    put_items(&b);
    accepted(&b, &p);
    const omen_options *fits = &string_options;
    omen_options other = *fits;
    assert_int_equal(om_payload_batch(&p, &u64_options, false, &batch, &err), OMEN_DATA_LOSS);
    assert_int_equal(om_payload_batch(&p, fits, true, &batch, &err), OMEN_DATA_LOSS);
    other.dim = 3;
    assert_int_equal(om_payload_batch(&p, &other, false, &batch, &err), OMEN_DATA_LOSS);
    other = *fits;
    other.dtype = OMEN_F16;
    assert_int_equal(om_payload_batch(&p, &other, false, &batch, &err), OMEN_DATA_LOSS);
    other = *fits;
    other.id_type = OMEN_ID_UUID;
    assert_int_equal(om_payload_batch(&p, &other, false, &batch, &err), OMEN_DATA_LOSS);
    p.head.mode = OMEN_PATCH + 1;
    assert_int_equal(om_payload_batch(&p, fits, false, &batch, &err), OMEN_DATA_LOSS);
    p.head.mode = OMEN_UPSERT;
    p.head.columns = OM_COLUMN_KEYS;
    assert_int_equal(om_payload_batch(&p, fits, true, &batch, &err), OMEN_OK);
    assert_int_equal(om_payload_batch(&p, &u64_options, true, &batch, &err), OMEN_OK);
    assert_int_equal(om_payload_batch(&p, &u64_options, false, &batch, &err), OMEN_DATA_LOSS);
    p.head.columns = OM_COLUMN_IDS;
    assert_int_equal(om_payload_batch(&p, fits, true, &batch, &err), OMEN_OK);
    p.head.columns = OM_COLUMN_IDS | OM_COLUMN_KEYS;
    assert_int_equal(om_payload_batch(&p, fits, true, &batch, &err), OMEN_DATA_LOSS);
}

static void options_must_hold(void **state)
{
    (void)state;
    om_payload p = {.has_options = false};
    omen_options out;
    omen_error err;
    assert_int_equal(om_payload_options(&p, &out, &err), OMEN_DATA_LOSS);
    p.has_options = true;
    p.options = (om_options_field){.dim = 2, .m = 16, .metric = 1, .dtype = 1, .id_type = 1};
    assert_int_equal(om_payload_options(&p, &out, &err), OMEN_OK);
    p.options.dim = 0;
    assert_int_equal(om_payload_options(&p, &out, &err), OMEN_DATA_LOSS);
}

/* ---- What is written --------------------------------------------------------------------------- */
typedef struct seen {
    uint32_t types[OM_LOG_TYPES], parts, items;
    om_payload_head head[OM_LOG_TYPES];
    bool request, stream, crc, counts, options;
} seen;

static omen_status_t look(void *ctx, const om_log_record *record, omen_error *err)
{
    seen *s = ctx;
    om_payload p;
    omen_status_t status = om_payload_decode(record, &p, err);
    s->types[record->type]++;
    s->parts += (record->flags & OM_LOG_PART) != 0;
    s->head[record->type] = p.head;
    s->items += p.head.count;
    s->request |= p.request.bytes != NULL && p.request.length == 2;
    s->stream |= p.stream.bytes != NULL && p.seq == 1;
    s->crc |= p.crc == 99;
    s->counts |= p.has_counts && p.counts.applied == 10 && p.counts.replaced == 5;
    s->options |= p.has_options && p.options.dim == DB_DIM;
    return status;
}

static void what_is_written(void **state)
{
    (void)state;
    static dbx x;
    seen s = {.parts = 0};
    static const omen_options half = {
        .metric = OMEN_L2, .dtype = OMEN_F16, .id_type = OMEN_ID_STRING};
    db_init_sim(&x);
    db_open(&x);
    db_create(&x, 0, &half);
    db_put(&x, 0, 0, 15);
    omen_batch how = {.request_id = "rq",
                      .request_id_len = 2,
                      .stream_id = "s",
                      .stream_id_len = 1,
                      .seq = 1,
                      .crc = 99};
    OK(&x.f, db_put_how(&x, 0, 10, 10, &how, NULL));
    how = (omen_batch){.mode = OMEN_INSERT, .stream_id = "s", .stream_id_len = 1, .seq = 2};
    FAILS(&x.f, db_put_how(&x, 0, 10, 10, &how, NULL), OMEN_ALREADY_EXISTS, OMEN_D_NONE);
    how.seq = 3;
    OK(&x.f, db_put_how(&x, 0, 30, 10, &how, NULL));
    db_remove(&x, 0, 0, 7);
    om_collection *c = db_inner(&x, 0);
    om_mutex_lock(&c->write_mu);
    omen_status_t frozen = om_collection_freeze(c, &x.f.err);
    om_mutex_unlock(&c->write_mu);
    OK(&x.f, frozen);
    om_disk *disk = x.f.db->disk;
    OK(&x.f, disk->log->ops->read(disk->log, 1, look, &s, &x.f.err));
    assert_int_equal(s.types[OM_LOG_SCHEMA], 1);
    assert_int_equal(s.types[OM_LOG_UPSERT], 2);
    assert_int_equal(s.types[OM_LOG_INSERT], 1);
    assert_int_equal(s.types[OM_LOG_DELETE], 1);
    assert_int_equal(s.types[OM_LOG_NOOP], 1);
    assert_int_equal(s.types[OM_LOG_SEAL], 1);
    assert_int_equal(s.parts, 0);
    assert_true(s.request && s.stream && s.crc && s.counts && s.options);
    const om_payload_head *put_one = &s.head[OM_LOG_UPSERT];
    assert_int_equal(put_one->dtype, OMEN_F16); /* as it is stored */
    assert_int_equal(put_one->columns, OM_COLUMN_KEYS | OM_COLUMN_IDS | OM_COLUMN_VECTORS);
    assert_int_equal(s.head[OM_LOG_DELETE].columns, OM_COLUMN_IDS);
    assert_int_equal(s.items, 15 + 10 + 10 + 7);
    db_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(fields),
        cmocka_unit_test(more_fields),
        cmocka_unit_test(columns),
        cmocka_unit_test(batches_must_fit_the_collection),
        cmocka_unit_test(options_must_hold),
        cmocka_unit_test(what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
