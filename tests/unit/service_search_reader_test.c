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
    om_arena_init(arena, NULL, 0, 0);
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
        assert_int_equal(got.first.ef, s.vector_leg.ef);
        assert_int_equal(got.first.rerank, s.vector_leg.rerank);
        assert_int_equal(got.first.exact, s.vector_leg.exact != 0);
        assert_int_equal(got.first.type, s.vector.type);
        assert_int_equal(got.first.dim, s.vector.dim);
        assert_int_equal(got.min_version, s.request.min_version);
        assert_int_equal(got.partial_ok, s.request.on_deadline == 1);
        assert_int_equal(got.explain, s.request.explain != 0);
        assert_int_equal(got.with_vectors, s.request.with_vectors != 0);
        assert_int_equal(got.leg_count, 1);
        assert_int_equal(got.first.kind, OMEN_LEG_VECTOR);
        assert_false(got.rich);
        assert_int_equal(arena.used, s.vector.data.len); /* nothing else was allocated */
        assert_int_equal(got.first.vector_size, s.vector.data.len);
        if (got.first.vector_size > 0) {
            assert_memory_equal(got.first.vector, s.data, got.first.vector_size);
            assert_int_equal((uintptr_t)got.first.vector % 64, 0);
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
            assert_int_equal(other->n_legs, got.leg_count);
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

/* Scores, groups, metadata and facets, against protobuf-c. */
static void test_response_extras(void **state)
{
    (void)state;
    static const char json[] = "{}{\"a\":1}";
    static const int64_t json_offsets[] = {0, 2, 9, 9};
    static const char values[] = "\"x\"\"yy\"";
    static const int64_t value_offsets[] = {0, 3, 7};
    static const uint64_t counts[] = {UINT64_C(1) << 40, 1};
    static const uint64_t keys[] = {5, 6, 7};
    static const float scores[] = {3, 2, 1};
    static const uint32_t groups[] = {0, 0, 300};
    om_wire_texts metadata = {json, json_offsets, 3};
    om_wire_facet_values facets[] = {{"colour", {values, value_offsets, 2}, counts},
                                     {"empty", {NULL, NULL, 0}, NULL}};
    omen_explain explain = {.plan = OMEN_PLAN_HYBRID};
    omen_filter_explain filter = {.estimated = 0.5,
                                  .selectivity = 0.25,
                                  .matches = UINT64_MAX,
                                  .tests = UINT64_MAX,
                                  .filter_ns = UINT64_MAX,
                                  .text_ns = UINT64_MAX,
                                  .fuse_ns = UINT64_MAX,
                                  .postings = UINT64_MAX,
                                  .candidates = UINT64_MAX};
    explain.distances = explain.hops = explain.scanned = explain.reranked = UINT64_MAX;
    explain.entry_ns = explain.graph_ns = explain.scan_ns = explain.rerank_ns = UINT64_MAX;
    explain.ef = UINT32_MAX;
    om_wire_hits hits = {.count = 3,
                         .id_type = OMEN_ID_U64,
                         .keys = keys,
                         .scores = scores,
                         .groups = groups,
                         .metadata = &metadata,
                         .facets = facets,
                         .facet_count = 2,
                         .explain = &explain,
                         .filter_explain = &filter,
                         .queue_ns = UINT64_MAX};
    Omen__V1__SearchResponse *r = written(&hits);
    assert_int_equal(r->n_distances, 0);
    assert_int_equal(r->n_scores, 3);
    assert_memory_equal(r->scores, scores, sizeof scores);
    assert_int_equal(r->n_groups, 3);
    assert_int_equal(r->groups[2], 300);
    assert_int_equal(r->metadata->n_json, 3);
    assert_int_equal(r->metadata->json[1].len, 7);
    assert_memory_equal(r->metadata->json[1].data, "{\"a\":1}", 7);
    assert_int_equal(r->metadata->json[2].len, 0);
    assert_int_equal(r->n_facets, 2);
    assert_string_equal(r->facets[0]->field, "colour");
    assert_string_equal(r->facets[0]->values[1], "\"yy\"");
    assert_true(r->facets[0]->counts[0] == UINT64_C(1) << 40);
    assert_int_equal(r->facets[1]->n_values, 0);
    /* The largest explain that there can be fits its room. */
    assert_string_equal(r->explain->plan, "hybrid");
    assert_int_equal(r->explain->n_stages, 8);
    assert_string_equal(r->explain->stages[1]->name, "filter");
    assert_string_equal(r->explain->stages[7]->name, "fuse");
    assert_true(r->explain->candidates == UINT64_MAX && r->explain->selectivity == 0.25);
    omen__v1__search_response__free_unpacked(r, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_requests), cmocka_unit_test(test_damaged_requests),
        cmocka_unit_test(test_response_u64),    cmocka_unit_test(test_response_other_ids),
        cmocka_unit_test(test_response_extras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
