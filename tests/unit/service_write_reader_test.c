/* service_write_reader_test.c - the reader of WriteBatch against protobuf-c, on random messages split
 * at random places; then the ways in which a message may be wrong. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "unit.h"

#include "crc32c.h"
#include "omen/v1/items.pb-c.h"
#include "service_random.h"
#include "write_reader.h"
#include "wwrite.h"

enum { ROUNDS = 2000, MAX_ITEMS = 40 };

/* ---- Random batches ------------------------------------------------------------------------------- */

typedef struct sample {
    Omen__V1__WriteBatch batch;
    Omen__V1__ItemBatch items;
    Omen__V1__Ids ids;
    Omen__V1__VectorColumn vectors;
    uint64_t u64[MAX_ITEMS];
    char text[MAX_ITEMS][24];
    char *str[MAX_ITEMS];
    uint8_t uuid[16 * MAX_ITEMS];
    uint8_t data[4096];
    Omen__V1__Metadata metadata;
    ProtobufCBinaryData json[MAX_ITEMS];
    char json_bytes[MAX_ITEMS][40];
    uint64_t versions[MAX_ITEMS];
    Omen__V1__Value values[4], *params[4];
} sample;

static void random_ids(sample *s, uint64_t *seed)
{
    uint32_t n = below(seed, MAX_ITEMS);
    omen__v1__ids__init(&s->ids);
    switch (below(seed, 3)) {
    case 0:
        for (uint32_t i = 0; i < n; i++) {
            s->u64[i] = next_random(seed);
        }
        s->ids.u64 = s->u64;
        s->ids.n_u64 = n;
        break;
    case 1:
        for (uint32_t i = 0; i < 16 * n; i++) {
            s->uuid[i] = (uint8_t)next_random(seed);
        }
        s->ids.uuid = (ProtobufCBinaryData){16 * (size_t)n, s->uuid};
        break;
    default:
        for (uint32_t i = 0; i < n; i++) {
            snprintf(s->text[i], sizeof s->text[i], "%.*s%u", (int)below(seed, 12),
                     "id-\xc3\xa9-xyz-0123", below(seed, 1000));
            s->text[i][0] = 'i'; /* a cut inside the two-byte letter would not be UTF-8 */
            if (!om_utf8_valid((const uint8_t *)s->text[i], strlen(s->text[i]))) {
                snprintf(s->text[i], sizeof s->text[i], "plain%u", i);
            }
            s->str[i] = s->text[i];
        }
        s->ids.str = s->str;
        s->ids.n_str = n;
    }
}

static void random_metadata(sample *s, uint64_t *seed)
{
    omen__v1__metadata__init(&s->metadata);
    s->metadata.n_json = below(seed, MAX_ITEMS);
    s->metadata.json = s->json;
    for (uint32_t i = 0; i < s->metadata.n_json; i++) {
        int n = below(seed, 4) == 0 ? 0
                                    : snprintf(s->json_bytes[i], sizeof s->json_bytes[i],
                                               "{\"n\":%u}", below(seed, 100000));
        s->json[i] = (ProtobufCBinaryData){(size_t)n, (uint8_t *)s->json_bytes[i]};
    }
    s->items.metadata = &s->metadata;
}

static void random_conditions(sample *s, uint64_t *seed)
{
    s->batch.n_if_version = below(seed, 3) == 0 ? below(seed, MAX_ITEMS) : 0;
    s->batch.if_version = s->versions;
    for (uint32_t i = 0; i < MAX_ITEMS; i++) {
        s->versions[i] = next_random(seed);
    }
    s->batch.delete_filter = below(seed, 3) == 0 ? s->text[0] : (char *)(uintptr_t) "";
    s->batch.n_params = below(seed, 5);
    s->batch.params = s->params;
    for (uint32_t i = 0; i < 4; i++) {
        s->params[i] = &s->values[i];
        omen__v1__value__init(&s->values[i]);
        s->values[i].kind_case = OMEN__V1__VALUE__KIND_INT_VALUE;
        s->values[i].int_value = (int64_t)next_random(seed);
    }
}

static void random_sample(sample *s, uint64_t *seed)
{
    omen__v1__write_batch__init(&s->batch);
    omen__v1__item_batch__init(&s->items);
    omen__v1__vector_column__init(&s->vectors);
    random_ids(s, seed);
    s->items.ids = &s->ids;
    if (below(seed, 8) != 0) {
        s->vectors.type = (Omen__V1__DataType)below(seed, 5);
        s->vectors.dim = below(seed, 300);
        s->vectors.data = (ProtobufCBinaryData){below(seed, sizeof s->data), s->data};
        for (size_t i = 0; i < s->vectors.data.len; i++) {
            s->data[i] = (uint8_t)next_random(seed);
        }
        s->items.vectors = &s->vectors;
    }
    if (below(seed, 2) == 0) {
        random_metadata(s, seed);
    }
    random_conditions(s, seed);
    s->batch.seq = below(seed, 3) == 0 ? 0 : next_random(seed);
    s->batch.op = (Omen__V1__WriteOp)below(seed, 6);
    s->batch.crc32c = (uint32_t)next_random(seed);
    s->batch.per_item_errors = (protobuf_c_boolean)below(seed, 2);
    s->batch.items = &s->items;
}

static void check_conditions(const sample *s, const om_wire_batch *got)
{
    assert_int_equal(got->version_count, s->batch.n_if_version);
    if (got->version_count > 0) {
        assert_int_equal((uintptr_t)got->if_version % 8, 0);
        assert_memory_equal(got->if_version, s->versions, 8 * got->version_count);
    }
    assert_string_equal(got->filter != NULL ? got->filter : "", s->batch.delete_filter);
    assert_int_equal(got->params.count, s->batch.n_params);
    for (uint32_t i = 0; i < got->params.count; i++) {
        assert_int_equal(got->params.list[i].type, OMEN_TYPE_INT64);
        assert_int_equal(*(const int64_t *)got->params.list[i].data, s->values[i].int_value);
    }
}

static void check_metadata(const sample *s, const om_wire_batch *got)
{
    assert_int_equal(got->metadata.present, s->items.metadata != NULL);
    assert_int_equal(got->metadata.count, s->items.metadata != NULL ? s->metadata.n_json : 0);
    for (size_t i = 0; i < got->metadata.count; i++) {
        const int32_t *at = &got->metadata.offsets[i];
        assert_int_equal(at[1] - at[0], s->json[i].len);
        assert_memory_equal(got->metadata.data + at[0], s->json[i].data, s->json[i].len);
    }
}

static void check_same(const sample *s, const om_wire_batch *got)
{
    check_conditions(s, got);
    check_metadata(s, got);
    assert_int_equal(got->seq, s->batch.seq);
    assert_int_equal(got->op, s->batch.op);
    assert_int_equal(got->crc32c, s->batch.crc32c);
    assert_int_equal(got->per_item_errors, s->batch.per_item_errors != 0);
    assert_int_equal(got->vectors.present, s->items.vectors != NULL);
    assert_int_equal(got->vectors.type, s->items.vectors != NULL ? s->vectors.type : 0);
    assert_int_equal(got->vectors.dim, s->items.vectors != NULL ? s->vectors.dim : 0);
    assert_int_equal(got->vectors.size, s->items.vectors != NULL ? s->vectors.data.len : 0);
    if (got->vectors.size > 0) {
        assert_memory_equal(got->vectors.data, s->data, got->vectors.size);
        assert_int_equal((uintptr_t)got->vectors.data % 64, 0);
    }
    size_t n = s->ids.n_u64 + s->ids.n_str + s->ids.uuid.len / 16;
    assert_int_equal(got->ids.count, n);
    if (n == 0) {
        return;
    }
    assert_int_equal((uintptr_t)got->ids.data % 64, 0);
    if (s->ids.n_u64 > 0) {
        assert_int_equal(got->ids.type, OM_IDS_U64);
        assert_memory_equal(got->ids.data, s->u64, 8 * n);
    } else if (s->ids.uuid.len > 0) {
        assert_int_equal(got->ids.type, OM_IDS_UUID);
        assert_memory_equal(got->ids.data, s->uuid, 16 * n);
    } else {
        assert_int_equal(got->ids.type, OM_IDS_STRING);
        for (size_t i = 0; i < n; i++) {
            size_t size = (size_t)(got->ids.offsets[i + 1] - got->ids.offsets[i]);
            assert_int_equal(size, strlen(s->str[i]));
            assert_memory_equal((const char *)got->ids.data + got->ids.offsets[i], s->str[i], size);
        }
    }
}

static bool read_batch(const split *s, om_wbuffer *buffer, om_wire_batch *out, om_failure *f)
{
    om_wread r;
    om_wread_init(&r, s->span, s->count);
    return om_read_write_batch(&r, buffer, out, f);
}

static void test_random_batches(void **state)
{
    (void)state;
    static sample s;
    static uint8_t bytes[32768];
    uint64_t seed = 1;
    om_wbuffer buffer = {0};
    for (int round = 0; round < ROUNDS; round++) {
        om_wire_batch got;
        om_failure f;
        random_sample(&s, &seed);
        size_t size = omen__v1__write_batch__pack(&s.batch, bytes);
        split parts = split_bytes(bytes, size, &seed);
        assert_true(read_batch(&parts, &buffer, &got, &f));
        check_same(&s, &got);
        split_free(&parts);
    }
    om_wbuffer_free(&buffer);
}

/* What protobuf-c takes after a cut or a change must be what the reader takes, and the other way round
 * the reader may only be stricter. */
static void test_damaged_batches(void **state)
{
    (void)state;
    static sample s;
    static uint8_t bytes[32768];
    uint64_t seed = 2;
    om_wbuffer buffer = {0};
    uint32_t taken = 0;
    for (int round = 0; round < ROUNDS; round++) {
        om_wire_batch got;
        om_failure f = {0};
        random_sample(&s, &seed);
        size_t size = omen__v1__write_batch__pack(&s.batch, bytes);
        if (below(&seed, 2) == 0) {
            size = below(&seed, (uint32_t)size + 1);
        } else if (size > 0) {
            bytes[below(&seed, (uint32_t)(size < 64 ? size : 64))] = (uint8_t)next_random(&seed);
        }
        split parts = split_bytes(bytes, size, &seed);
        if (read_batch(&parts, &buffer, &got, &f)) {
            taken++;
            Omen__V1__WriteBatch *other = omen__v1__write_batch__unpack(NULL, size, bytes);
            assert_non_null(other);
            assert_int_equal(got.seq, other->seq);
            size_t other_size = other->items != NULL && other->items->vectors != NULL
                                    ? other->items->vectors->data.len
                                    : 0;
            assert_int_equal(got.vectors.size, other_size);
            size_t ids = other->items != NULL && other->items->ids != NULL
                             ? other->items->ids->n_u64 + other->items->ids->n_str +
                                   other->items->ids->uuid.len / 16
                             : 0;
            assert_int_equal(got.ids.count, ids);
            omen__v1__write_batch__free_unpacked(other, NULL);
        } else {
            assert_int_not_equal(f.code, 0);
            assert_true(f.message[0] != '\0');
        }
        split_free(&parts);
    }
    assert_true(taken > 0 && taken < ROUNDS);
    om_wbuffer_free(&buffer);
}

/* ---- Wrong on purpose ----------------------------------------------------------------------------- */

typedef struct built {
    uint8_t bytes[2048];
    om_wbuf w;
} built;

static void begin(built *b)
{
    b->w = om_wbuf_of(b->bytes, sizeof b->bytes);
}

/* Wraps what was built as field `number` of a new message. */
static void wrap(built *b, uint32_t number)
{
    uint8_t copy[sizeof b->bytes];
    size_t size = (size_t)(b->w.at - b->bytes);
    memcpy(copy, b->bytes, size);
    begin(b);
    om_w_len(&b->w, number, size);
    om_w_raw(&b->w, copy, size);
    assert_false(b->w.full);
}

static om_failure expect_refused(built *b)
{
    om_wbuffer buffer = {0};
    om_wire_batch got;
    om_failure f = {0};
    uint64_t seed = 3;
    split parts = split_bytes(b->bytes, (size_t)(b->w.at - b->bytes), &seed);
    assert_false(read_batch(&parts, &buffer, &got, &f));
    split_free(&parts);
    om_wbuffer_free(&buffer);
    return f;
}

static void test_mixed_ids(void **state)
{
    (void)state;
    built b;
    begin(&b);
    om_w_fixed64(&b.w, 1, 7);
    om_w_string(&b.w, 3, "seven");
    wrap(&b, 1);
    wrap(&b, 5);
    om_failure f = expect_refused(&b);
    assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
    assert_string_equal(f.field, "ids");
}

static void test_unpacked_ids(void **state)
{
    (void)state;
    built b;
    om_wbuffer buffer = {0};
    om_wire_batch got;
    om_failure f;
    uint64_t packed[2] = {8, 9};
    begin(&b);
    om_w_fixed64(&b.w, 1, 7);
    om_w_bytes(&b.w, 1, packed, sizeof packed);
    om_w_fixed64(&b.w, 1, 10);
    wrap(&b, 1);
    wrap(&b, 5);
    om_span one = {b.bytes, (size_t)(b.w.at - b.bytes)};
    om_wread r;
    om_wread_init(&r, &one, 1);
    assert_true(om_read_write_batch(&r, &buffer, &got, &f));
    const uint64_t want[] = {7, 8, 9, 10};
    assert_int_equal(got.ids.count, 4);
    assert_memory_equal(got.ids.data, want, sizeof want);
    om_wbuffer_free(&buffer);
}

static void test_string_id_limits(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        bool ok;
    } cases[] = {
        {0, false}, {1, true}, {OMEN_MAX_STRING_ID, true}, {OMEN_MAX_STRING_ID + 1, false}};
    char text[OMEN_MAX_STRING_ID + 2];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        built b;
        begin(&b);
        om_w_string(&b.w, 3, "first");
        om_w_len(&b.w, 3, cases[i].size);
        om_w_raw(&b.w, text, cases[i].size);
        wrap(&b, 1);
        wrap(&b, 5);
        if (!cases[i].ok) {
            om_failure f = expect_refused(&b);
            assert_string_equal(f.field, "ids.str");
            assert_int_equal(f.item, 1);
        }
    }
}

static void test_bad_text_in_id(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "\xc3", "a\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xc0\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        built b;
        begin(&b);
        om_w_string(&b.w, 3, bad[i]);
        wrap(&b, 1);
        wrap(&b, 5);
        assert_string_equal(expect_refused(&b).field, "ids.str");
    }
}

static void test_metadata_limit(void **state)
{
    (void)state;
    size_t room = OMEN_MAX_METADATA + 64;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    for (size_t over = 0; over < 2; over++) {
        size_t n = OMEN_MAX_METADATA + over;
        om_wbuf w = om_wbuf_of(bytes, room);
        om_wbuffer buffer = {0};
        om_wire_batch got;
        om_failure f = {0};
        size_t list = om_wsize_len(2) + om_wsize_len(n);
        om_w_len(&w, 5, om_wsize_len(list));
        om_w_len(&w, 3, list);
        om_w_string(&w, 1, "{}");
        om_w_len(&w, 1, n);
        memset(w.at, ' ', n);
        om_span one = {bytes, (size_t)(w.at - bytes) + n};
        om_wread r;
        om_wread_init(&r, &one, 1);
        assert_int_equal(om_read_write_batch(&r, &buffer, &got, &f), over == 0);
        if (over != 0) {
            assert_string_equal(f.field, "items.metadata");
            assert_int_equal(f.item, 1);
        }
        om_wbuffer_free(&buffer);
    }
    free(bytes);
}

/* Versions come packed, alone, and around the items. */
static void test_scattered_versions(void **state)
{
    (void)state;
    built b;
    om_wbuffer buffer = {0};
    om_wire_batch got;
    om_failure f;
    uint64_t packed[2] = {8, 9};
    begin(&b);
    om_w_fixed64(&b.w, 6, 7);
    om_w_len(&b.w, 5, 0);
    om_w_bytes(&b.w, 6, packed, sizeof packed);
    om_w_fixed64(&b.w, 6, 10);
    om_span one = {b.bytes, (size_t)(b.w.at - b.bytes)};
    om_wread r;
    om_wread_init(&r, &one, 1);
    assert_true(om_read_write_batch(&r, &buffer, &got, &f));
    const uint64_t want[] = {7, 8, 9, 10};
    assert_int_equal(got.version_count, 4);
    assert_memory_equal(got.if_version, want, sizeof want);
    om_wbuffer_free(&buffer);
}

static void test_wrong_conditions(void **state)
{
    (void)state;
    built b;
    begin(&b);
    om_w_string(&b.w, 6, "1234567");
    assert_int_equal(expect_refused(&b).code, OMEN_INVALID_ARGUMENT);
    begin(&b);
    om_w_string(&b.w, 7, "a = '\xff'");
    assert_string_equal(expect_refused(&b).field, "delete_filter");
    begin(&b);
    om_w_len(&b.w, 8, 0);
    assert_string_equal(expect_refused(&b).field, "params");
    begin(&b);
    om_w_fixed64(&b.w, 1, 3);
    wrap(&b, 3);
    wrap(&b, 5);
    assert_string_equal(expect_refused(&b).reason, "MALFORMED");
}

static void test_repeated_parts(void **state)
{
    (void)state;
    built b;
    begin(&b);
    om_w_string(&b.w, 4, "abcd");
    om_w_string(&b.w, 4, "abcd");
    wrap(&b, 2);
    wrap(&b, 5);
    assert_string_equal(expect_refused(&b).field, "vectors.data");
    begin(&b);
    om_w_len(&b.w, 5, 0);
    om_w_len(&b.w, 5, 0);
    assert_string_equal(expect_refused(&b).field, "items");
    begin(&b);
    om_w_len(&b.w, 1, 0);
    om_w_len(&b.w, 1, 0);
    wrap(&b, 5);
    assert_string_equal(expect_refused(&b).field, "items.ids");
    begin(&b);
    om_w_len(&b.w, 3, 0);
    om_w_len(&b.w, 3, 0);
    wrap(&b, 5);
    assert_string_equal(expect_refused(&b).field, "items.metadata");
}

static void test_stream_kinds(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind <= 6; kind++) {
        built b;
        om_failure f = {0};
        om_wread r;
        begin(&b);
        if (kind > 0) {
            om_w_string(&b.w, kind, "x");
        }
        om_span one = {b.bytes, (size_t)(b.w.at - b.bytes)};
        om_wread_init(&r, &one, 1);
        uint32_t want = kind >= OM_STREAM_OPEN && kind <= OM_STREAM_CLOSE ? kind : OM_STREAM_NONE;
        assert_int_equal(om_read_stream_kind(&r, &f), want);
        assert_int_equal(f.code == 0, want != OM_STREAM_NONE);
    }
}

static void test_crc(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    uint64_t seed = 4;
    assert_int_equal(om_wire_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(om_wire_crc32c_plain(0, "123456789", 9), 0xe3069283u);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)next_random(&seed);
    }
    for (int round = 0; round < 200; round++) {
        size_t size = below(&seed, sizeof bytes);
        size_t cut = below(&seed, (uint32_t)size + 1);
        uint32_t want = om_wire_crc32c_plain(0, bytes, size);
        assert_int_equal(om_wire_crc32c(0, bytes, size), want);
        assert_int_equal(om_wire_crc32c(om_wire_crc32c(0, bytes, cut), bytes + cut, size - cut),
                         want);
    }
    om_wire_batch batch = {.ids = {.data = "1234", .size = 4},
                           .vectors = {.data = (const uint8_t *)"56", .size = 2},
                           .metadata = {.data = (const uint8_t *)"789", .size = 3}};
    assert_true(om_write_batch_crc_ok(&batch));
    batch.crc32c = 0xe3069283u;
    assert_true(om_write_batch_crc_ok(&batch));
    batch.crc32c ^= 1;
    assert_false(om_write_batch_crc_ok(&batch));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_batches),   cmocka_unit_test(test_damaged_batches),
        cmocka_unit_test(test_mixed_ids),        cmocka_unit_test(test_unpacked_ids),
        cmocka_unit_test(test_string_id_limits), cmocka_unit_test(test_bad_text_in_id),
        cmocka_unit_test(test_metadata_limit),   cmocka_unit_test(test_scattered_versions),
        cmocka_unit_test(test_wrong_conditions), cmocka_unit_test(test_repeated_parts),
        cmocka_unit_test(test_stream_kinds),     cmocka_unit_test(test_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
