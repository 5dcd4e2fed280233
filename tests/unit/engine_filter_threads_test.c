/* engine_filter_threads_test.c - filters, words and listings while items are replaced, deleted, indexed:
 * what always passes is always found. SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "things.h"

/* Keys below FIXED are replaced all the time and always there, with key % KINDS as their kind; those above
 * come and go. */
enum { FIXED = 2000, ROOM = 3000, KINDS = 8, BATCH = 50, BATCHES = 60, K = 20 };

/* Asserts of cmocka are for the thread of the test. */
#define HOLDS(x) holds((x), #x, __LINE__)
static void holds(bool ok, const char *what, int line)
{
    if (!ok) {
        print_error("line %d: %s\n", line, what);
        abort();
    }
}

typedef struct traffic {
    things t;
    omen_filter *kind;
    omen_collection *snapshot;
    _Atomic uint32_t writing;
    _Atomic uint32_t seed;
} traffic;

static void put(traffic *x, uint64_t first, uint32_t step, fx_rng *rng)
{
    char *json = malloc(BATCH * 100);
    int32_t offsets[BATCH + 1] = {0};
    uint64_t keys[BATCH];
    float vectors[BATCH][THING_DIM];
    omen_error err;
    HOLDS(json != NULL);
    for (uint32_t i = 0; i < BATCH; i++) {
        keys[i] = first + i * step;
        things_query(rng, vectors[i]);
        offsets[i + 1] =
            offsets[i] + snprintf(json + offsets[i], 100,
                                  "{\"number\":%llu,\"share\":%f,\"body\":\"common k%lluq\"}",
                                  (unsigned long long)(keys[i] < FIXED ? keys[i] % KINDS : 99),
                                  (double)(fx_uniform(rng) + 1) / 2,
                                  (unsigned long long)(keys[i] < FIXED ? keys[i] % KINDS : 99));
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = BATCH,
                        .vectors = vectors,
                        .dim = THING_DIM,
                        .keys = keys,
                        .metadata = {.data = json, .offsets = offsets, .offset_bits = 32}};
    HOLDS(omen_add_batch(x->t.f.c, &batch, NULL, NULL, &err) == OMEN_OK);
    free(json);
}

static void *writer(void *context)
{
    traffic *x = context;
    fx_rng rng = {atomic_fetch_add(&x->seed, 1)};
    omen_error err;
    for (uint32_t i = 0; i < BATCHES; i++) {
        put(x, fx_below(&rng, FIXED - BATCH), 1, &rng);
        put(x, FIXED + fx_below(&rng, ROOM - FIXED - BATCH), 1, &rng);
        uint64_t keys[BATCH];
        for (uint32_t k = 0; k < BATCH; k++) {
            keys[k] = FIXED + fx_below(&rng, ROOM - FIXED);
        }
        omen_batch gone = {.struct_size = sizeof gone, .count = BATCH, .keys = keys};
        HOLDS(omen_delete_batch(x->t.f.c, &gone, NULL, NULL, &err) == OMEN_OK);
    }
    atomic_fetch_sub(&x->writing, 1);
    return NULL;
}

static void all_of_kind(const uint64_t *keys, uint32_t count, uint32_t kind)
{
    for (uint32_t i = 0; i < count; i++) {
        HOLDS(keys[i] < FIXED && keys[i] % KINDS == kind);
        for (uint32_t j = 0; j < i; j++) {
            HOLDS(keys[i] != keys[j]);
        }
    }
}

static void search_vectors(traffic *x, fx_rng *rng)
{
    static const uint32_t flags[] = {0, OMEN_EXACT, OMEN_GRAPH_ONLY};
    float vector[THING_DIM];
    uint64_t keys[K];
    uint32_t count = 0;
    omen_error err;
    things_query(rng, vector);
    omen_query query = {.struct_size = sizeof query,
                        .flags = flags[fx_below(rng, 3)],
                        .vectors = vector,
                        .dtype = OMEN_F32,
                        .dim = THING_DIM,
                        .count = 1,
                        .k = K,
                        .filter = x->kind};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &count};
    HOLDS(omen_search(x->t.f.c, &query, &hits, &err) == OMEN_OK);
    HOLDS(count == K);
    all_of_kind(keys, count, 3);
}

/* Every item of the kind, though all of them are replaced meanwhile. */
static void search_words(traffic *x, omen_collection *c)
{
    uint64_t keys[FIXED];
    uint32_t count = 0;
    omen_error err;
    omen_leg leg = {.struct_size = sizeof leg,
                    .kind = OMEN_LEG_TEXT,
                    .text = "common k3q",
                    .text_len = sizeof "common k3q" - 1};
    omen_request request = {
        .struct_size = sizeof request, .legs = &leg, .leg_count = 1, .k = FIXED, .filter = x->kind};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .counts = &count};
    HOLDS(omen_find(c, &request, &hits, &err) == OMEN_OK);
    all_of_kind(keys, count, 3);
    HOLDS(count == FIXED / KINDS);
}

static void list_snapshot(traffic *x)
{
    static const char *const orders[] = {NULL, "share"};
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t keys[FIXED], count = 0;
        omen_error err;
        omen_listing listing = {
            .struct_size = sizeof listing, .filter = x->kind, .order_by = orders[i]};
        HOLDS(omen_list_items(x->snapshot, &listing, keys, FIXED, &count, &err) == OMEN_OK);
        HOLDS(count == FIXED / KINDS);
        all_of_kind(keys, (uint32_t)count, 3);
    }
    uint64_t count = 0;
    omen_error err;
    HOLDS(omen_count_where(x->snapshot, x->kind, &count, &err) == OMEN_OK);
    HOLDS(count == FIXED / KINDS);
}

static void read_fields(traffic *x, fx_rng *rng)
{
    omen_rows *rows = NULL;
    omen_column json;
    omen_error err;
    uint64_t key = fx_below(rng, FIXED);
    HOLDS(omen_fetch(x->t.f.c, &key, 1, OMEN_FIELD_METADATA | OMEN_FIELD_VERSION, &rows, &err) ==
          OMEN_OK);
    omen_rows_column(rows, OMEN_FIELD_METADATA, &json);
    HOLDS(((const uint64_t *)json.offsets)[1] > 20);
    omen_rows_free(rows);
    HOLDS(omen_facet(x->t.f.c, x->kind, "number", 5, &rows, &err) == OMEN_OK);
    HOLDS(omen_rows_count(rows) == 1);
    omen_column column;
    uint64_t count = 0;
    omen_rows_column(rows, OMEN_FIELD_COUNT, &column);
    HOLDS(*(const uint64_t *)column.data == FIXED / KINDS);
    omen_rows_free(rows);
    HOLDS(omen_count_where(x->t.f.c, x->kind, &count, &err) == OMEN_OK);
    HOLDS(count == FIXED / KINDS);
}

static void *reader(void *context)
{
    traffic *x = context;
    fx_rng rng = {atomic_fetch_add(&x->seed, 1)};
    for (uint32_t round = 0; atomic_load(&x->writing) != 0 || round < 3; round++) {
        search_vectors(x, &rng);
        search_words(x, x->t.f.c);
        if (round % 4 == 0) {
            search_words(x, x->snapshot);
            list_snapshot(x);
            read_fields(x, &rng);
        }
        if (round % 16 == 0) { /* one of its own, found in the list or made */
            thing_filter other = things_share((double)(round % 7 + 1) / 8);
            omen_filter *compiled = NULL;
            omen_error err;
            uint64_t count = 0;
            omen_param param = {.type = OMEN_TYPE_DOUBLE, .count = 1, .data = &other.value};
            HOLDS(omen_filter_compile(x->t.f.c, "share < $1", 10, &param, 1, &compiled, &err) ==
                  OMEN_OK);
            HOLDS(omen_count_where(x->t.f.c, compiled, &count, &err) == OMEN_OK);
            HOLDS(count <= ROOM + 4 * BATCH);
            omen_filter_free(compiled);
        }
    }
    return NULL;
}

static void what_passes_is_found_under_writes(void **state)
{
    (void)state;
    enum { WRITERS = 2, READERS = 3 };
    traffic x = {.writing = WRITERS, .seed = 1};
    pthread_t thread[WRITERS + READERS];
    fx_rng rng = {99};
    things_open(&x.t, OMEN_L2, 1, NULL);
    for (uint64_t key = 0; key < FIXED; key += BATCH) {
        put(&x, key, 1, &rng);
    }
    OK(&x.t.f, omen_filter_compile(x.t.f.c, "number = 3", 10, NULL, 0, &x.kind, &x.t.f.err));
    OK(&x.t.f, omen_snapshot(x.t.f.c, &x.snapshot, &x.t.f.err));
    for (uint32_t i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, i < WRITERS ? writer : reader, &x), 0);
    }
    for (uint32_t i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    uint64_t count = 0;
    OK(&x.t.f, omen_count_where(x.t.f.c, x.kind, &count, &x.t.f.err));
    assert_int_equal(count, FIXED / KINDS);
    omen_collection_free(x.snapshot);
    omen_filter_free(x.kind);
    things_close(&x.t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes_is_found_under_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
