/* service_search_rich_test.c - searches beyond one vector leg: the reader against protobuf-c on random
 * requests split at random places, every limit at N and N + 1, and what must be refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "unit.h"

#include "omen/v1/items.pb-c.h"
#include "search_reader.h"
#include "service_random.h"
#include "wwrite.h"

enum { ROUNDS = 1500, LISTS = 20 };

/* ---- Random requests ------------------------------------------------------------------------------ */

/* Memory of one request, given back all at once. */
typedef struct heap {
    void *block[4096];
    size_t count;
} heap;
static heap memory;

static void *make(size_t size)
{
    assert_true(memory.count < sizeof memory.block / sizeof memory.block[0]);
    void *p = calloc(1, size + 1);
    assert_non_null(p);
    memory.block[memory.count++] = p;
    return p;
}

static void forget(void)
{
    while (memory.count > 0) {
        free(memory.block[--memory.count]);
    }
}

static char *random_text(uint64_t *seed, uint32_t most)
{
    uint32_t n = below(seed, most + 1);
    char *text = make(n);
    for (uint32_t i = 0; i < n; i++) {
        text[i] = (char)(' ' + below(seed, 95));
    }
    return text;
}

static Omen__V1__StringList *random_strings(uint64_t *seed)
{
    Omen__V1__StringList *list = make(sizeof *list);
    omen__v1__string_list__init(list);
    list->n_values = below(seed, LISTS);
    list->values = make(LISTS * sizeof *list->values);
    for (size_t i = 0; i < list->n_values; i++) {
        list->values[i] = random_text(seed, 12);
    }
    return list;
}

static Omen__V1__IntList *random_ints(uint64_t *seed)
{
    Omen__V1__IntList *list = make(sizeof *list);
    omen__v1__int_list__init(list);
    list->n_values = below(seed, LISTS);
    list->values = make(LISTS * sizeof *list->values);
    for (size_t i = 0; i < list->n_values; i++) {
        list->values[i] = (int64_t)(next_random(seed) >> below(seed, 64)) - 5;
    }
    return list;
}

static Omen__V1__DoubleList *random_doubles(uint64_t *seed)
{
    Omen__V1__DoubleList *list = make(sizeof *list);
    omen__v1__double_list__init(list);
    list->n_values = below(seed, LISTS);
    list->values = make(LISTS * sizeof *list->values);
    for (size_t i = 0; i < list->n_values; i++) {
        list->values[i] = (double)below(seed, 1000) / 7 - 40;
    }
    return list;
}

static Omen__V1__Value *random_value(uint64_t *seed)
{
    Omen__V1__Value *v = make(sizeof *v);
    omen__v1__value__init(v);
    v->kind_case = (Omen__V1__Value__KindCase)(1 + below(seed, 9));
    switch (v->kind_case) {
    case OMEN__V1__VALUE__KIND_STRING_VALUE:
        v->string_value = random_text(seed, 30);
        break;
    case OMEN__V1__VALUE__KIND_INT_VALUE:
        v->int_value = (int64_t)next_random(seed);
        break;
    case OMEN__V1__VALUE__KIND_DOUBLE_VALUE:
        v->double_value = (double)below(seed, 99) - 50.5;
        break;
    case OMEN__V1__VALUE__KIND_BOOL_VALUE:
        v->bool_value = (protobuf_c_boolean)below(seed, 2);
        break;
    case OMEN__V1__VALUE__KIND_BYTES_VALUE:
        v->bytes_value.len = below(seed, 20);
        v->bytes_value.data = make(20);
        memset(v->bytes_value.data, (int)below(seed, 256), 20);
        break;
    case OMEN__V1__VALUE__KIND_TIME_VALUE:
        v->time_value = -(int64_t)below(seed, 1000000);
        break;
    case OMEN__V1__VALUE__KIND_STRINGS:
        v->strings = random_strings(seed);
        break;
    case OMEN__V1__VALUE__KIND_INTS:
        v->ints = random_ints(seed);
        break;
    default:
        v->doubles = random_doubles(seed);
    }
    return v;
}

static Omen__V1__Leg *random_leg(uint64_t *seed)
{
    Omen__V1__Leg *leg = make(sizeof *leg);
    omen__v1__leg__init(leg);
    leg->query_case = (Omen__V1__Leg__QueryCase)(1 + below(seed, 3));
    if (leg->query_case == OMEN__V1__LEG__QUERY_VECTOR) {
        leg->vector = make(sizeof *leg->vector);
        omen__v1__vector_leg__init(leg->vector);
        leg->vector->ef = below(seed, 500);
        leg->vector->vector = make(sizeof *leg->vector->vector);
        omen__v1__vector_column__init(leg->vector->vector);
        leg->vector->vector->data.len = below(seed, 64);
        leg->vector->vector->data.data = make(64);
        memset(leg->vector->vector->data.data, (int)below(seed, 256), 64);
    } else if (leg->query_case == OMEN__V1__LEG__QUERY_TEXT) {
        leg->text = make(sizeof *leg->text);
        omen__v1__text_leg__init(leg->text);
        leg->text->text = random_text(seed, 40);
        leg->text->field = random_text(seed, OMEN_MAX_FIELD_NAME);
        leg->text->k1 = (float)below(seed, 4) / 2;
        leg->text->b = (float)below(seed, 3) / 2;
    } else {
        leg->like = make(sizeof *leg->like);
        omen__v1__ids__init(leg->like);
        leg->like->n_u64 = below(seed, 2) == 0 ? 0 : below(seed, LISTS);
        leg->like->u64 = make(LISTS * sizeof(uint64_t));
        leg->like->n_str = leg->like->n_u64 == 0 ? below(seed, LISTS) : 0;
        leg->like->str = make(LISTS * sizeof(char *));
        for (size_t i = 0; i < LISTS; i++) {
            char *text = make(16);
            (void)snprintf(text, 16, "id%u", below(seed, 100000));
            leg->like->u64[i] = next_random(seed);
            leg->like->str[i] = text;
        }
    }
    leg->weight = (float)below(seed, 4);
    leg->limit = below(seed, 3) * 50;
    return leg;
}

static void random_lists(Omen__V1__SearchRequest *q, uint64_t *seed)
{
    q->n_legs = 1 + below(seed, OMEN_MAX_LEGS);
    q->legs = make(OMEN_MAX_LEGS * sizeof *q->legs);
    for (size_t i = 0; i < q->n_legs; i++) {
        q->legs[i] = random_leg(seed);
    }
    q->n_params = below(seed, 10);
    q->params = make(10 * sizeof *q->params);
    for (size_t i = 0; i < q->n_params; i++) {
        q->params[i] = random_value(seed);
    }
    q->n_fields = below(seed, 10);
    q->fields = make(10 * sizeof *q->fields);
    for (size_t i = 0; i < q->n_fields; i++) {
        q->fields[i] = random_text(seed, 20);
    }
    q->n_facets = below(seed, OM_SEARCH_MAX_FACETS + 1);
    q->facets = make(OM_SEARCH_MAX_FACETS * sizeof *q->facets);
    for (size_t i = 0; i < q->n_facets; i++) {
        q->facets[i] = make(sizeof **q->facets);
        omen__v1__facet_request__init(q->facets[i]);
        q->facets[i]->field = random_text(seed, 20);
        q->facets[i]->limit = below(seed, OM_FACET_MAX_VALUES + 1);
    }
}

static void random_request(Omen__V1__SearchRequest *q, uint64_t *seed)
{
    omen__v1__search_request__init(q);
    q->collection = random_text(seed, OMEN_MAX_NAME);
    q->limit = below(seed, 100);
    random_lists(q, seed);
    q->filter = random_text(seed, 60);
    q->offset = below(seed, 50);
    q->fusion = (Omen__V1__Fusion)below(seed, 3);
    q->rank_constant = (float)below(seed, 100);
    q->threshold_case =
        (Omen__V1__SearchRequest__ThresholdCase)(below(seed, 3) == 0 ? 0 : 13 + below(seed, 2));
    if (q->threshold_case == OMEN__V1__SEARCH_REQUEST__THRESHOLD_MAX_DISTANCE) {
        q->max_distance = (float)below(seed, 9);
    } else if (q->threshold_case == OMEN__V1__SEARCH_REQUEST__THRESHOLD_MIN_SCORE) {
        q->min_score = -(float)below(seed, 9);
    }
    q->group_by = random_text(seed, 20);
    q->group_size = below(seed, 5);
    q->with_metadata = (protobuf_c_boolean)below(seed, 2);
}

/* ---- Comparison ----------------------------------------------------------------------------------- */

static size_t data_size(const omen_param *p)
{
    if (p->type == OMEN_TYPE_STRING || p->type == OMEN_TYPE_BYTES) {
        return (size_t)p->offsets[p->count];
    }
    return p->count * (p->type == OMEN_TYPE_BOOL ? 1u : 8u);
}

/* The parameters as read from the wire, against those of the unpacked message. */
static void check_params(const Omen__V1__SearchRequest *q, const om_params *got)
{
    om_arena arena;
    om_failure f;
    om_params want;
    om_arena_init(&arena, NULL, 0, 0);
    assert_true(om_params_from_pb(q->params, q->n_params, &arena, &want, &f));
    assert_int_equal(got->count, want.count);
    assert_int_equal(got->values, want.values);
    for (uint32_t i = 0; i < want.count; i++) {
        const omen_param *a = &got->list[i];
        const omen_param *b = &want.list[i];
        assert_int_equal(a->type, b->type);
        assert_int_equal(a->count, b->count);
        assert_int_equal((uintptr_t)a->data % (a->type == OMEN_TYPE_INT64 ? 8 : 1), 0);
        assert_int_equal(a->offsets != NULL, b->offsets != NULL);
        if (a->offsets != NULL) {
            assert_memory_equal(a->offsets, b->offsets, 8 * ((size_t)a->count + 1));
        }
        assert_int_equal(data_size(a), data_size(b));
        assert_non_null(a->data);
        assert_memory_equal(a->data, b->data, data_size(b));
    }
    om_arena_reset(&arena);
}

static void check_leg(const Omen__V1__Leg *want, const om_wire_leg *got)
{
    assert_int_equal(got->kind, want->query_case);
    assert_true(got->weight == want->weight && got->limit == want->limit);
    if (want->query_case == OMEN__V1__LEG__QUERY_VECTOR) {
        assert_int_equal(got->ef, want->vector->ef);
        assert_int_equal(got->vector_size, want->vector->vector->data.len);
        if (got->vector_size > 0) {
            assert_memory_equal(got->vector, want->vector->vector->data.data, got->vector_size);
        }
    } else if (want->query_case == OMEN__V1__LEG__QUERY_TEXT) {
        assert_int_equal(got->text_size, strlen(want->text->text));
        assert_true(got->text_size == 0 || strcmp(got->text, want->text->text) == 0);
        assert_string_equal(got->field != NULL ? got->field : "", want->text->field);
        assert_true(got->k1 == want->text->k1 && got->b == want->text->b);
    } else {
        size_t n = want->like->n_u64 + want->like->n_str;
        assert_int_equal(got->like.count, n);
        for (size_t i = 0; i < want->like->n_str; i++) {
            const int32_t *at = &got->like.offsets[i];
            assert_int_equal(at[1] - at[0], strlen(want->like->str[i]));
            assert_memory_equal((const char *)got->like.data + at[0], want->like->str[i],
                                strlen(want->like->str[i]));
        }
        if (want->like->n_u64 > 0) {
            assert_memory_equal(got->like.data, want->like->u64, 8 * n);
            assert_int_equal((uintptr_t)got->like.data % 8, 0);
        }
    }
}

static void check_same(const Omen__V1__SearchRequest *q, const om_wire_search *got)
{
    assert_int_equal(got->leg_count, q->n_legs);
    for (uint32_t i = 0; i < got->leg_count; i++) {
        check_leg(q->legs[i], om_wire_leg_at(got, i));
    }
    assert_string_equal(got->filter != NULL ? got->filter : "", q->filter);
    assert_int_equal(got->filter != NULL ? got->filter_size : 0, strlen(q->filter));
    check_params(q, &got->params);
    assert_int_equal(got->offset, q->offset);
    assert_int_equal(got->fusion, q->fusion);
    assert_true(got->rank_constant == q->rank_constant);
    assert_int_equal(got->threshold, q->threshold_case == 0 ? 0 : q->threshold_case - 12);
    if (got->threshold != OM_THRESHOLD_NONE) {
        assert_true(got->bound == (q->threshold_case == 13 ? q->max_distance : q->min_score));
    }
    assert_string_equal(got->group_by != NULL ? got->group_by : "", q->group_by);
    assert_int_equal(got->group_size, q->group_size);
    assert_int_equal(got->with_metadata, q->with_metadata || q->n_fields > 0);
    assert_int_equal(got->field_count, q->n_fields);
    for (uint32_t i = 0; i < got->field_count; i++) {
        assert_string_equal(got->fields[i], q->fields[i]);
    }
    assert_int_equal(got->facet_count, q->n_facets);
    for (uint32_t i = 0; i < got->facet_count; i++) {
        uint32_t limit = q->facets[i]->limit;
        assert_string_equal(got->facets[i].field, q->facets[i]->field);
        assert_int_equal(got->facets[i].limit, limit == 0 ? OM_FACET_DEFAULT_VALUES : limit);
    }
}

static bool read_bytes(const uint8_t *bytes, size_t size, om_arena *arena, om_wire_search *out,
                       om_failure *f, uint64_t *seed)
{
    split parts = split_bytes(bytes, size, seed);
    om_wread r;
    om_arena_init(arena, NULL, 0, 0);
    om_wread_init(&r, parts.span, parts.count);
    bool ok = om_read_search(&r, arena, out, f);
    split_free(&parts);
    return ok;
}

static void test_random_requests(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < ROUNDS; round++) {
        Omen__V1__SearchRequest q;
        om_arena arena;
        om_wire_search got;
        om_failure f = {0};
        random_request(&q, &seed);
        size_t size = omen__v1__search_request__get_packed_size(&q);
        uint8_t *bytes = make(size);
        omen__v1__search_request__pack(&q, bytes);
        bool ok = read_bytes(bytes, size, &arena, &got, &f, &seed);
        if (!ok) {
            fail_msg("round %d: %s", round, f.message);
        }
        check_same(&q, &got);
        om_arena_reset(&arena);
        forget();
    }
}

/* What the reader takes of damaged bytes, protobuf-c takes too, with the same lists. */
static void test_damaged_requests(void **state)
{
    (void)state;
    uint64_t seed = 12;
    uint32_t taken = 0;
    for (int round = 0; round < ROUNDS; round++) {
        Omen__V1__SearchRequest q;
        om_arena arena;
        om_wire_search got;
        om_failure f = {0};
        random_request(&q, &seed);
        size_t size = omen__v1__search_request__get_packed_size(&q);
        uint8_t *bytes = make(size);
        omen__v1__search_request__pack(&q, bytes);
        if (below(&seed, 3) == 0) {
            size = below(&seed, (uint32_t)size + 1);
        } else {
            bytes[below(&seed, (uint32_t)size)] = (uint8_t)next_random(&seed);
        }
        if (read_bytes(bytes, size, &arena, &got, &f, &seed)) {
            Omen__V1__SearchRequest *other = omen__v1__search_request__unpack(NULL, size, bytes);
            taken++;
            assert_non_null(other);
            assert_int_equal(other->n_legs, got.leg_count);
            assert_int_equal(other->n_params, got.params.count);
            assert_int_equal(other->n_fields, got.field_count);
            assert_int_equal(other->n_facets, got.facet_count);
            omen__v1__search_request__free_unpacked(other, NULL);
        } else {
            assert_int_not_equal(f.code, 0);
            assert_true(f.message[0] != '\0');
        }
        om_arena_reset(&arena);
        forget();
    }
    assert_true(taken > 0 && taken < ROUNDS);
}

/* ---- Limits and refusals -------------------------------------------------------------------------- */

/* Reads a hand-made request; a code of 0: it was taken. */
static om_failure outcome_of(const om_wbuf *w, const uint8_t *bytes)
{
    om_arena arena;
    om_wire_search got;
    om_failure f = {0};
    uint64_t seed = 3;
    assert_false(w->full);
    if (read_bytes(bytes, (size_t)(w->at - bytes), &arena, &got, &f, &seed)) {
        f = (om_failure){0};
    }
    om_arena_reset(&arena);
    return f;
}

static void vector_leg(om_wbuf *w)
{
    om_w_len(w, 3, 2);
    om_w_len(w, 1, 0);
}

static void fill_text(om_wbuf *w, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        om_w_raw(w, "a", 1);
    }
}

static void put_filter(om_wbuf *w, size_t n)
{
    om_w_len(w, 8, n);
    fill_text(w, n);
}
static void put_group_by(om_wbuf *w, size_t n)
{
    om_w_len(w, 15, n);
    fill_text(w, n);
}
static void put_collection(om_wbuf *w, size_t n)
{
    om_w_len(w, 1, n);
    fill_text(w, n);
}
static void put_text_leg(om_wbuf *w, size_t n)
{
    size_t text = om_wsize_len(n);
    om_w_len(w, 3, om_wsize_len(text));
    om_w_len(w, 2, text);
    om_w_len(w, 1, n);
    fill_text(w, n);
}
static void put_legs(om_wbuf *w, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        vector_leg(w);
    }
}
static void put_params(om_wbuf *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        om_w_len(w, 9, 2);
        om_w_uint(w, 2, 2);
    }
}
static void put_ints(om_wbuf *w, size_t n)
{
    om_w_len(w, 9, om_wsize_len(om_wsize_len(n)));
    om_w_len(w, 8, om_wsize_len(n));
    om_w_len(w, 1, n);
    fill_text(w, n);
}
static void put_strings(om_wbuf *w, size_t n)
{
    om_w_len(w, 9, om_wsize_len(2 * n));
    om_w_len(w, 7, 2 * n);
    for (size_t i = 0; i < n; i++) {
        om_w_len(w, 1, 0);
    }
}
static void put_fields(om_wbuf *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        om_w_len(w, 18, 1);
        fill_text(w, 1);
    }
}
static void put_field_name(om_wbuf *w, size_t n)
{
    om_w_len(w, 18, n);
    fill_text(w, n);
}
static void put_facets(om_wbuf *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        om_w_len(w, 19, 3);
        om_w_string(w, 1, "f");
    }
}
static void put_facet_limit(om_wbuf *w, size_t n)
{
    om_w_len(w, 19, 3 + om_wsize_uint(n));
    om_w_string(w, 1, "f");
    om_w_uint(w, 2, n);
}

static void test_limits(void **state)
{
    (void)state;
    static const struct {
        void (*put)(om_wbuf *w, size_t n);
        size_t limit;
        const char *field;
    } cases[] = {{put_collection, OMEN_MAX_NAME, "collection"},
                 {put_filter, OMEN_MAX_FILTER, "filter"},
                 {put_group_by, OMEN_MAX_FIELD_NAME, "group_by"},
                 {put_text_leg, OMEN_MAX_TEXT_QUERY, "legs.text.text"},
                 {put_legs, OMEN_MAX_LEGS, "legs"},
                 {put_params, OMEN_MAX_PARAMS, "params"},
                 {put_ints, OMEN_MAX_ARRAY, "params"},
                 {put_strings, OMEN_MAX_ARRAY, "params"},
                 {put_fields, OMEN_MAX_FIELDS, "fields"},
                 {put_field_name, OMEN_MAX_FIELD_NAME, "fields"},
                 {put_facets, OM_SEARCH_MAX_FACETS, "facets"},
                 {put_facet_limit, OM_FACET_MAX_VALUES, "facets.limit"}};
    size_t room = 4 * OMEN_MAX_ARRAY;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t over = 0; over < 2; over++) {
            om_wbuf w = om_wbuf_of(bytes, room);
            vector_leg(&w);
            cases[i].put(&w, cases[i].limit + over);
            om_failure f = outcome_of(&w, bytes);
            assert_int_equal(f.code, over == 0 ? 0 : OMEN_INVALID_ARGUMENT);
            if (over != 0) {
                assert_string_equal(f.field, cases[i].field);
                assert_string_equal(f.reason, "LIMIT");
            }
        }
    }
    free(bytes);
}

/* Sixteen lists of the most values are as many as a request may have. */
static void test_values_in_all(void **state)
{
    (void)state;
    size_t lists = OM_PARAM_VALUES_MAX / OMEN_MAX_ARRAY;
    size_t room = (lists + 1) * (OMEN_MAX_ARRAY + 32);
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    for (size_t more = 0; more < 2; more++) {
        om_wbuf w = om_wbuf_of(bytes, room);
        vector_leg(&w);
        for (size_t i = 0; i < lists; i++) {
            put_ints(&w, OMEN_MAX_ARRAY);
        }
        put_params(&w, more);
        assert_int_equal(outcome_of(&w, bytes).code, more == 0 ? 0 : OMEN_INVALID_ARGUMENT);
    }
    free(bytes);
}

static void no_legs(om_wbuf *w)
{
    om_w_string(w, 1, "a");
}
static void empty_leg(om_wbuf *w)
{
    om_w_len(w, 3, 0);
}
static void two_queries(om_wbuf *w)
{
    om_w_len(w, 3, 4);
    om_w_len(w, 1, 0);
    om_w_len(w, 2, 0);
}
static void mixed_like(om_wbuf *w)
{
    om_w_len(w, 3, 14);
    om_w_len(w, 3, 12);
    om_w_fixed64(w, 1, 7);
    om_w_string(w, 3, "s");
}
static void wrong_type(om_wbuf *w)
{
    om_w_uint(w, 1, 5);
}
static void bad_filter(om_wbuf *w)
{
    vector_leg(w);
    om_w_string(w, 8, "a = '\xff'");
}
static void no_value(om_wbuf *w)
{
    vector_leg(w);
    om_w_len(w, 9, 0);
}
static void two_values(om_wbuf *w)
{
    vector_leg(w);
    om_w_len(w, 9, 4);
    om_w_uint(w, 2, 2);
    om_w_uint(w, 4, 1);
}
static void bad_string(om_wbuf *w)
{
    vector_leg(w);
    om_w_len(w, 9, 4);
    om_w_string(w, 1, "\xc3(");
}
static void odd_doubles(om_wbuf *w)
{
    vector_leg(w);
    om_w_len(w, 9, 7);
    om_w_len(w, 9, 5);
    om_w_string(w, 1, "abc");
}
static void list_of_wrong_type(om_wbuf *w)
{
    vector_leg(w);
    om_w_len(w, 9, 11);
    om_w_len(w, 8, 9);
    om_w_fixed64(w, 1, 5);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        void (*build)(om_wbuf *w);
        const char *field;
    } cases[] = {{no_legs, "legs"},
                 {empty_leg, "legs"},
                 {two_queries, "legs"},
                 {mixed_like, "legs.like"},
                 {wrong_type, ""},
                 {bad_filter, "filter"},
                 {no_value, "params"},
                 {two_values, "params"},
                 {bad_string, "params"},
                 {odd_doubles, "params"},
                 {list_of_wrong_type, "params"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[256];
        om_wbuf w = om_wbuf_of(bytes, sizeof bytes);
        cases[i].build(&w);
        om_failure f = outcome_of(&w, bytes);
        assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
        assert_string_equal(f.field, cases[i].field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_requests), cmocka_unit_test(test_damaged_requests),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_values_in_all),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
