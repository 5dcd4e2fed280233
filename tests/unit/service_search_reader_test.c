/* service_search_reader_test.c - the reader of SearchRequest and the writer of SearchResponse against
 * protobuf-c. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "unit.h"

#include "omen/v1/items.pb-c.h"
#include "search_reader.h"
#include "service_random.h"
#include "wwrite.h"

enum { ROUNDS = 2000, MAX_BYTES = 2048 };

typedef struct sample {
    Omen__V1__SearchRequest request;
    Omen__V1__Leg leg;
    Omen__V1__Leg *legs[1];
    Omen__V1__VectorLeg vector_leg;
    Omen__V1__VectorColumn vector;
    char name[OMEN_MAX_NAME + 1];
    uint8_t data[MAX_BYTES];
} sample;

static void random_sample(sample *s, uint64_t *seed)
{
    omen__v1__search_request__init(&s->request);
    omen__v1__leg__init(&s->leg);
    omen__v1__vector_leg__init(&s->vector_leg);
    omen__v1__vector_column__init(&s->vector);
    size_t length = below(seed, OMEN_MAX_NAME + 1);
    memset(s->name, 0, sizeof s->name);
    for (size_t i = 0; i < length; i++) {
        s->name[i] = (char)('a' + below(seed, 26));
    }
    s->vector.type = (Omen__V1__DataType)below(seed, 5);
    s->vector.dim = below(seed, 300);
    s->vector.data = (ProtobufCBinaryData){below(seed, sizeof s->data), s->data};
    for (size_t i = 0; i < s->vector.data.len; i++) {
        s->data[i] = (uint8_t)next_random(seed);
    }
    s->vector_leg.vector = &s->vector;
    s->vector_leg.ef = below(seed, 3) == 0 ? 0 : (uint32_t)next_random(seed);
    s->vector_leg.exact = (protobuf_c_boolean)below(seed, 2);
    s->vector_leg.rerank = below(seed, 100);
    s->leg.query_case = OMEN__V1__LEG__QUERY_VECTOR;
    s->leg.vector = &s->vector_leg;
    s->leg.weight = below(seed, 2) == 0 ? 0.0f : 0.5f;
    s->legs[0] = &s->leg;
    s->request.collection = s->name;
    s->request.limit = below(seed, 20000);
    s->request.legs = s->legs;
    s->request.n_legs = 1;
    s->request.min_version = below(seed, 2) == 0 ? 0 : next_random(seed);
    s->request.on_deadline = (Omen__V1__SearchRequest__OnDeadline)below(seed, 2);
    s->request.explain = below(seed, 2);
    s->request.with_vectors = (protobuf_c_boolean)below(seed, 2);
}

static bool read_request(const split *s, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wread r;
    om_arena_init(arena, NULL, 0, MAX_BYTES + 64);
    om_wread_init(&r, s->span, s->count);
    return om_read_search(&r, arena, out, f);
}

static void test_random_requests(void **state)
{
    (void)state;
    static sample s;
    static uint8_t bytes[8192];
    uint64_t seed = 1;
    for (int round = 0; round < ROUNDS; round++) {
        om_arena arena;
        om_wire_search got;
        om_failure f;
        random_sample(&s, &seed);
        split parts = split_bytes(bytes, omen__v1__search_request__pack(&s.request, bytes), &seed);
        assert_true(read_request(&parts, &arena, &got, &f));
        assert_string_equal(got.collection, s.name);
        assert_int_equal(got.limit, s.request.limit);
        assert_int_equal(got.ef, s.vector_leg.ef);
        assert_int_equal(got.rerank, s.vector_leg.rerank);
        assert_int_equal(got.exact, s.vector_leg.exact != 0);
        assert_int_equal(got.type, s.vector.type);
        assert_int_equal(got.dim, s.vector.dim);
        assert_int_equal(got.min_version, s.request.min_version);
        assert_int_equal(got.partial_ok, s.request.on_deadline == 1);
        assert_int_equal(got.explain, s.request.explain != 0);
        assert_int_equal(got.with_vectors, s.request.with_vectors != 0);
        assert_int_equal(got.vector_size, s.vector.data.len);
        if (got.vector_size > 0) {
            assert_memory_equal(got.vector, s.data, got.vector_size);
            assert_int_equal((uintptr_t)got.vector % 64, 0);
        }
        om_arena_reset(&arena);
        split_free(&parts);
    }
}

static void test_damaged_requests(void **state)
{
    (void)state;
    static sample s;
    static uint8_t bytes[8192];
    uint64_t seed = 2;
    uint32_t refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        om_arena arena;
        om_wire_search got;
        om_failure f = {0};
        random_sample(&s, &seed);
        size_t size = omen__v1__search_request__pack(&s.request, bytes);
        bytes[below(&seed, (uint32_t)(size < 100 ? size : 100))] = (uint8_t)next_random(&seed);
        size = below(&seed, 2) == 0 ? below(&seed, (uint32_t)size + 1) : size;
        split parts = split_bytes(bytes, size, &seed);
        if (read_request(&parts, &arena, &got, &f)) {
            Omen__V1__SearchRequest *other = omen__v1__search_request__unpack(NULL, size, bytes);
            assert_non_null(other);
            assert_int_equal(other->n_legs, 1);
            assert_int_equal(got.min_version, other->min_version);
            assert_string_equal(got.collection, other->collection);
            omen__v1__search_request__free_unpacked(other, NULL);
        } else {
            refused++;
            assert_int_not_equal(f.code, 0);
        }
        om_arena_reset(&arena);
        split_free(&parts);
    }
    assert_true(refused > 0 && refused < ROUNDS);
}

/* One request of hand-made fields: {number, text}, ended by number 0. */
static om_failure refusal_of(void (*build)(om_wbuf *w))
{
    uint8_t bytes[512];
    om_wbuf w = om_wbuf_of(bytes, sizeof bytes);
    build(&w);
    assert_false(w.full);
    om_arena arena;
    om_wire_search got;
    om_failure f = {0};
    uint64_t seed = 3;
    split parts = split_bytes(bytes, (size_t)(w.at - bytes), &seed);
    assert_false(read_request(&parts, &arena, &got, &f));
    om_arena_reset(&arena);
    split_free(&parts);
    return f;
}

static void no_legs(om_wbuf *w)
{
    om_w_string(w, 1, "a");
}
static void two_legs(om_wbuf *w)
{
    for (int i = 0; i < 2; i++) {
        om_w_len(w, 3, 2);
        om_w_len(w, 1, 0);
    }
}
static void text_leg(om_wbuf *w)
{
    om_w_len(w, 3, 2);
    om_w_len(w, 2, 0);
}
static void like_leg(om_wbuf *w)
{
    om_w_len(w, 3, 2);
    om_w_len(w, 3, 0);
}
static void empty_leg(om_wbuf *w)
{
    om_w_len(w, 3, 0);
}
static void filter(om_wbuf *w)
{
    om_w_string(w, 8, "a = 1");
}
static void long_name(om_wbuf *w)
{
    char name[OMEN_MAX_NAME + 2];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    om_w_string(w, 1, name);
}
static void wrong_type(om_wbuf *w)
{
    om_w_uint(w, 1, 5);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        void (*build)(om_wbuf *w);
        uint32_t code;
        const char *field;
    } cases[] = {{no_legs, OMEN_INVALID_ARGUMENT, "legs"},
                 {two_legs, OMEN_UNIMPLEMENTED, "legs"},
                 {text_leg, OMEN_UNIMPLEMENTED, "legs.text"},
                 {like_leg, OMEN_UNIMPLEMENTED, "legs.like"},
                 {empty_leg, OMEN_INVALID_ARGUMENT, "legs.vector"},
                 {filter, OMEN_UNIMPLEMENTED, "filter"},
                 {long_name, OMEN_INVALID_ARGUMENT, "collection"},
                 {wrong_type, OMEN_INVALID_ARGUMENT, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        om_failure f = refusal_of(cases[i].build);
        assert_int_equal(f.code, cases[i].code);
        assert_string_equal(f.field, cases[i].field);
    }
}

/* ---- Answers -------------------------------------------------------------------------------------- */

static Omen__V1__SearchResponse *written(const om_wire_hits *hits)
{
    size_t size = om_search_response_size(hits);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    bytes[size] = 0xa5;
    om_write_search_response(hits, bytes, size);
    assert_int_equal(bytes[size], 0xa5);
    Omen__V1__SearchResponse *r = omen__v1__search_response__unpack(NULL, size, bytes);
    assert_non_null(r);
    /* Exactly the size: packing the same again gives as many bytes. */
    assert_int_equal(omen__v1__search_response__get_packed_size(r), size);
    free(bytes);
    return r;
}

static void test_response_u64(void **state)
{
    (void)state;
    uint64_t keys[300];
    float distances[300];
    for (uint32_t i = 0; i < 300; i++) {
        keys[i] = (uint64_t)i << 40;
        distances[i] = (float)i / 2;
    }
    omen_explain explain = {.plan = OMEN_PLAN_GRAPH,
                            .ef = 64,
                            .distances = 1000,
                            .hops = 30,
                            .reranked = 20,
                            .entry_ns = 1,
                            .graph_ns = 500,
                            .scan_ns = 0,
                            .rerank_ns = 1u << 30};
    om_wire_hits hits = {.id_type = OMEN_ID_U64,
                         .keys = keys,
                         .distances = distances,
                         .version = 77,
                         .partial = true,
                         .explain = &explain,
                         .queue_ns = 9};
    for (hits.count = 0; hits.count <= 300; hits.count += 75) {
        Omen__V1__SearchResponse *r = written(&hits);
        assert_int_equal(r->ids->n_u64, hits.count);
        assert_int_equal(r->n_distances, hits.count);
        if (hits.count > 0) {
            assert_memory_equal(r->ids->u64, keys, 8 * hits.count);
            assert_memory_equal(r->distances, distances, 4 * hits.count);
        }
        assert_int_equal(r->version, 77);
        assert_true(r->partial);
        assert_string_equal(r->explain->plan, "graph");
        assert_int_equal(r->explain->distances, 1000);
        assert_int_equal(r->explain->n_stages, 5);
        assert_string_equal(r->explain->stages[0]->name, "queue");
        assert_int_equal(r->explain->stages[0]->ns, 9);
        assert_int_equal(r->explain->stages[4]->ns, 1u << 30);
        omen__v1__search_response__free_unpacked(r, NULL);
    }
}

static void test_response_other_ids(void **state)
{
    (void)state;
    static const char text[] = "abcdef";
    static const int64_t offsets[] = {0, 1, 3, 6};
    static const float distances[] = {1, 2, 3};
    uint8_t vectors[24];
    for (uint32_t i = 0; i < sizeof vectors; i++) {
        vectors[i] = (uint8_t)i;
    }
    omen_column strings = {text, offsets, 64, 0};
    om_wire_hits hits = {.count = 3,
                         .id_type = OMEN_ID_STRING,
                         .ids = &strings,
                         .distances = distances,
                         .vectors = vectors,
                         .vectors_size = sizeof vectors,
                         .vectors_type = OMEN_U8,
                         .vectors_dim = 8};
    Omen__V1__SearchResponse *r = written(&hits);
    assert_int_equal(r->ids->n_str, 3);
    assert_string_equal(r->ids->str[2], "def");
    assert_int_equal(r->vectors->dim, 8);
    assert_memory_equal(r->vectors->data.data, vectors, sizeof vectors);
    omen__v1__search_response__free_unpacked(r, NULL);
    uint8_t uuids[48];
    memset(uuids, 7, sizeof uuids);
    omen_column column = {uuids, NULL, 0, 16};
    hits.id_type = OMEN_ID_UUID;
    hits.ids = &column;
    r = written(&hits);
    assert_int_equal(r->ids->uuid.len, 48);
    assert_memory_equal(r->ids->uuid.data, uuids, 48);
    omen__v1__search_response__free_unpacked(r, NULL);
    /* Without hits nothing was fetched. */
    for (uint32_t type = OMEN_ID_U64; type <= OMEN_ID_STRING; type++) {
        om_wire_hits none = {.id_type = type, .distances = distances};
        r = written(&none);
        assert_int_equal(r->ids->n_u64 + r->ids->n_str + r->ids->uuid.len, 0);
        omen__v1__search_response__free_unpacked(r, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_requests),    cmocka_unit_test(test_damaged_requests),
        cmocka_unit_test(test_refusals),           cmocka_unit_test(test_response_u64),
        cmocka_unit_test(test_response_other_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
