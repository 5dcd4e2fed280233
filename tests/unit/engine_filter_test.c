/* engine_filter_test.c - filtered searches against brute force: every condition and plan, dead rows,
 * segments, snapshots, rows that come later, sets of keys, and everything that is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "things.h"

enum { K = 10, MOST = 64, ROWS = 6000 };

typedef struct found {
    uint64_t keys[MOST];
    float distances[MOST];
    uint32_t count;
    omen_explain explain;
    omen_filter_explain filters;
} found;

static omen_status_t search(things *t, omen_collection *c, const float *vector,
                            const omen_filter *filter, uint32_t k, uint32_t flags, found *out)
{
    omen_query query = {.struct_size = sizeof query,
                        .flags = flags,
                        .vectors = vector,
                        .dtype = OMEN_F32,
                        .dim = THING_DIM,
                        .count = 1,
                        .k = k,
                        .filter = filter};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = out->keys,
                      .distances = out->distances,
                      .counts = &out->count,
                      .explain = &out->explain,
                      .filters = &out->filters};
    return omen_search(c, &query, &hits, &t->f.err);
}

/* Hits pass and live, are as many as there can be, have the right distances; returns how many are as near
 * as the true ones. */
static uint32_t good(things *t, omen_collection *c, const float *vector, const thing_filter *filter,
                     const omen_filter *compiled, uint32_t k, uint32_t flags)
{
    found got;
    thing_hit truth[MOST];
    uint32_t right = 0;
    uint32_t want = things_nearest(t, vector, filter, truth, k);
    OK(&t->f, search(t, c, vector, compiled, k, flags, &got));
    assert_int_equal(got.count, want);
    assert_int_equal(got.filters.matches, things_matches(t, filter));
    if (want == 0) {
        assert_int_equal(got.explain.plan, OMEN_PLAN_EMPTY);
        assert_int_equal(got.filters.selectivity != 0, 0);
    }
    for (uint32_t i = 0; i < want; i++) {
        assert_true(got.keys[i] < t->room);
        const thing *item = &t->item[got.keys[i]];
        double distance = fx_distance(t->f.options.metric, vector, item->vector, THING_DIM);
        assert_true(thing_passes(item, filter));
        assert_true(fabs(distance - (double)got.distances[i]) < 1e-4 * (1 + fabs(distance)));
        assert_true(i == 0 || got.distances[i - 1] <= got.distances[i]);
        right += distance <= truth[want - 1].value + 1e-5;
        for (uint32_t j = 0; j < i; j++) {
            assert_true(got.keys[j] != got.keys[i]);
        }
    }
    return right * K / (want != 0 ? want : 1) + (want == 0 ? K : 0);
}

/* All conditions, with the exact search right to the last hit and the others nearly so. */
static void check_all(things *t, omen_collection *c, omen_filter *const *compiled)
{
    fx_rng rng = {77};
    uint32_t right = 0, of = 0;
    for (uint32_t i = 0; i < thing_filter_count; i++) {
        float vector[THING_DIM];
        things_query(&rng, vector);
        const thing_filter *filter = &thing_filters[i];
        assert_int_equal(good(t, c, vector, filter, compiled[i], K, OMEN_EXACT), K);
        right += good(t, c, vector, filter, compiled[i], K, 0);
        right += good(t, c, vector, filter, compiled[i], K, OMEN_GRAPH_ONLY);
        of += 2 * K;
        (void)good(t, c, vector, filter, compiled[i], 1, 0);
        (void)good(t, c, vector, filter, compiled[i], MOST, OMEN_GRAPH_ONLY);
    }
    assert_true(right >= of * 95 / 100);
}

static void compile_all(things *t, omen_filter **out)
{
    for (uint32_t i = 0; i < thing_filter_count; i++) {
        out[i] = things_compile(t, &thing_filters[i]);
    }
}

static void free_all(omen_filter **compiled)
{
    for (uint32_t i = 0; i < thing_filter_count; i++) {
        omen_filter_free(compiled[i]);
    }
}

/* ---- Sets of keys -------------------------------------------------------------------------------- */
static bool in_set(const thing *item, double value)
{
    return item->number % (int64_t)value == 0;
}

static void check_set(things *t, omen_collection *c, uint32_t modulo)
{
    uint64_t *keys = malloc((t->room * 2 + 1) * sizeof *keys);
    const thing_filter filter = {"", in_set, modulo};
    omen_filter *compiled = NULL;
    fx_rng rng = {modulo};
    uint64_t n = 0;
    assert_non_null(keys);
    for (uint32_t key = t->room; key-- != 0;) { /* falling, twice, and some that are not there */
        if (((int64_t)(key % 97) - 20) % modulo == 0) {
            keys[n++] = key;
            keys[n++] = modulo % 2 != 0 ? key : key + t->room * UINT64_C(1000);
        }
    }
    OK(&t->f, omen_filter_from_keys(c, keys, n, &compiled, &t->f.err));
    for (uint32_t round = 0; round < 4; round++) {
        float vector[THING_DIM];
        things_query(&rng, vector);
        assert_int_equal(good(t, c, vector, &filter, compiled, K, OMEN_EXACT), K);
        (void)good(t, c, vector, &filter, compiled, K, 0);
    }
    uint64_t count = 0;
    OK(&t->f, omen_count_where(c, compiled, &count, &t->f.err));
    assert_int_equal(count, things_matches(t, &filter));
    omen_filter_free(compiled);
    free(keys);
}

/* Compiled before the first row; searched while rows come, are indexed, replaced and removed, in one
 * segment and in several. */
static void hits_are_those_of_brute_force(void **state)
{
    (void)state;
    for (uint32_t metric = OMEN_L2; metric <= OMEN_COSINE; metric++) {
        things t;
        omen_filter *compiled[32] = {NULL};
        things_open(&t, metric, ROWS, NULL);
        compile_all(&t, compiled);
        check_all(&t, t.f.c, compiled);
        things_put(&t, 0, 1000);
        check_all(&t, t.f.c, compiled);
        things_put(&t, 1000, 2500);
        fx_index(&t.f);
        check_all(&t, t.f.c, compiled);
        things_remove(&t, 100, 2000, 3);
        check_all(&t, t.f.c, compiled);
        things_put(&t, 3300, 700); /* some are replaced */
        check_all(&t, t.f.c, compiled);
        things_split(&t);
        check_all(&t, t.f.c, compiled);
        things_put(&t, 3000, 3000);
        fx_index(&t.f);
        check_all(&t, t.f.c, compiled);
        things_split(&t);
        things_put(&t, 5000, 50);
        things_remove(&t, 0, 1500, 2);
        check_all(&t, t.f.c, compiled);
        free_all(compiled);
        things_close(&t);
    }
}

/* A file that omen_save wrote, as a collection of its own. */
static void check_copy(things *t)
{
    things copy = *t;
    omen_filter *own[32] = {NULL};
    char path[512];
    (void)snprintf(path, sizeof path, "%s", fx_path("copy.omen"));
    omen_open_options opt = {.struct_size = sizeof opt, .file = path};
    OK(&t->f, omen_save(t->f.c, path, NULL, &t->f.err));
    OK(&t->f, omen_db_open(NULL, NULL, &copy.f.db, &t->f.err));
    OK(&t->f, omen_open(copy.f.db, "copy", &opt, &copy.f.c, &t->f.err));
    compile_all(&copy, own);
    check_all(&copy, copy.f.c, own);
    free_all(own);
    omen_collection_free(copy.f.c);
    omen_db_free(copy.f.db);
    fx_remove(path);
}

/* The same with files: sealed segments and their merges, rows out of the log, everything mapped. */
static void hits_from_files_are_those_of_brute_force(void **state)
{
    (void)state;
    things t;
    found got;
    omen_filter *compiled[32] = {NULL};
    char folder[512];
    (void)snprintf(folder, sizeof folder, "%s", fx_path("filters"));
    things_open(&t, OMEN_COSINE, ROWS, folder);
    compile_all(&t, compiled);
    things_put(&t, 0, 2500);
    check_all(&t, t.f.c, compiled);
    OK(&t.f, omen_checkpoint(t.f.db, NULL, &t.f.err));
    check_all(&t, t.f.c, compiled);
    things_remove(&t, 100, 2000, 3);
    things_put(&t, 2300, 1700);
    check_all(&t, t.f.c, compiled);
    thing_filter half = things_share(0.5);
    omen_filter *old = things_compile(&t, &half); /* it does not keep the database open */
    free_all(compiled);
    things_reopen(&t);
    compile_all(&t, compiled);
    FAILS(&t.f, search(&t, t.f.c, t.item[0].vector, old, K, 0, &got), OMEN_INVALID_ARGUMENT,
          OMEN_D_HANDLE);
    omen_filter_free(old);
    check_all(&t, t.f.c, compiled);
    OK(&t.f, omen_optimize(t.f.c, NULL, &t.f.err));
    check_all(&t, t.f.c, compiled);
    check_copy(&t);
    things_put(&t, 3900, 1000);
    things_remove(&t, 0, 4000, 4);
    check_all(&t, t.f.c, compiled);
    free_all(compiled);
    things_reopen(&t);
    compile_all(&t, compiled);
    check_all(&t, t.f.c, compiled);
    check_set(&t, t.f.c, 7);
    check_set(&t, t.f.c, 76);
    free_all(compiled);
    things_close(&t);
    things_discard(folder);
}

/* Each plan is taken by some share of passing items, and says what it did. */
static void every_plan_answers(void **state)
{
    (void)state;
    static const double shares[] = {0,    0.002, 0.005, 0.01, 0.02, 0.04, 0.08,
                                    0.15, 0.3,   0.5,   0.7,  0.9,  0.97, 2};
    enum { MANY = 20000 };
    things t;
    fx_rng rng = {5};
    uint32_t seen = 0;
    things_open(&t, OMEN_L2, MANY, NULL);
    things_put(&t, 0, MANY);
    fx_index(&t.f);
    for (uint32_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        thing_filter filter = things_share(shares[i]);
        omen_filter *compiled = things_compile(&t, &filter);
        uint32_t right = 0, of = 0;
        for (uint32_t round = 0; round < 20; round++) {
            float vector[THING_DIM];
            found got;
            things_query(&rng, vector);
            uint32_t flags = round % 2 != 0 ? OMEN_GRAPH_ONLY : 0u;
            right += good(&t, t.f.c, vector, &filter, compiled, K, flags);
            of += K;
            OK(&t.f, search(&t, t.f.c, vector, compiled, K, flags, &got));
            assert_true(got.explain.plan < 32);
            seen |= 1u << got.explain.plan;
            double share = (double)got.filters.matches / MANY;
            assert_true(fabs(got.filters.selectivity - share) < 1e-9);
            assert_true(fabs(got.filters.estimated - share) < 0.05);
            assert_string_not_equal(omen_plan_name(got.explain.plan), "unknown");
        }
        assert_true(right >= of * 95 / 100);
        omen_filter_free(compiled);
    }
    assert_true((seen & 1u << OMEN_PLAN_EMPTY) != 0);
    assert_true((seen & 1u << OMEN_PLAN_EXACT) != 0);
    assert_true((seen & 1u << OMEN_PLAN_GRAPH) != 0);
    assert_true((seen & 1u << OMEN_PLAN_FILTER_IN) != 0);
    assert_true((seen & (1u << OMEN_PLAN_FILTER_HOP | 1u << OMEN_PLAN_FILTER_BRIDGE)) != 0);
    things_close(&t);
}

/* ---- Sets of keys, as they change ------------------------------------------------------------------ */
static void sets_of_keys(void **state)
{
    (void)state;
    static const uint32_t modulos[] = {1, 2, 7, 76};
    things t;
    things_open(&t, OMEN_L2, ROWS, NULL);
    for (uint32_t step = 0; step < 4; step++) {
        for (uint32_t i = 0; i < 4; i++) {
            check_set(&t, t.f.c, modulos[i]);
        }
        things_put(&t, step * 1000, 2000);
        if (step % 2 != 0) {
            fx_index(&t.f);
            things_split(&t);
        }
        things_remove(&t, step * 900, 700, 5);
    }
    omen_filter *empty = NULL;
    OK(&t.f, omen_filter_from_keys(t.f.c, NULL, 0, &empty, &t.f.err));
    uint64_t count = 1;
    OK(&t.f, omen_count_where(t.f.c, empty, &count, &t.f.err));
    assert_int_equal(count, 0);
    omen_filter_free(empty);
    things_close(&t);
}

/* A few keys among many rows are looked up, which knows the newest rows alone: snapshots must not notice. */
static void few_keys_on_a_snapshot(void **state)
{
    (void)state;
    things t;
    omen_collection *snapshot = NULL;
    static const uint64_t keys[] = {3, 500, 999, 2000};
    omen_filter *compiled = NULL;
    uint64_t count = 0;
    found now, then;
    things_open(&t, OMEN_L2, ROWS, NULL);
    things_put(&t, 0, 2000);
    OK(&t.f, omen_snapshot(t.f.c, &snapshot, &t.f.err));
    float old[THING_DIM];
    memcpy(old, t.item[500].vector, sizeof old);
    things_put(&t, 500, 1);
    things_remove(&t, 999, 1, 1);
    things_put(&t, 2000, 100);
    OK(&t.f, omen_filter_from_keys(t.f.c, keys, 4, &compiled, &t.f.err));
    OK(&t.f, omen_count_where(t.f.c, compiled, &count, &t.f.err));
    assert_int_equal(count, 3);
    OK(&t.f, omen_count_where(snapshot, compiled, &count, &t.f.err));
    assert_int_equal(count, 3);
    OK(&t.f, search(&t, snapshot, old, compiled, K, 0, &then));
    assert_int_equal(then.count, 3);
    assert_int_equal(then.keys[0], 500);
    assert_true(then.distances[0] == 0);
    OK(&t.f, search(&t, t.f.c, old, compiled, K, 0, &now));
    assert_int_equal(now.count, 3);
    assert_true(now.distances[0] != 0);
    omen_filter_free(compiled);
    omen_collection_free(snapshot);
    things_close(&t);
}

/* ---- Snapshots ----------------------------------------------------------------------------------- */
static void snapshots_answer_as_then(void **state)
{
    (void)state;
    things t;
    omen_filter *compiled[32] = {NULL};
    omen_collection *snapshot[3];
    thing *then[3];
    things_open(&t, OMEN_COSINE, ROWS, NULL);
    compile_all(&t, compiled);
    for (uint32_t i = 0; i < 3; i++) {
        things_put(&t, i * 800, 1600);
        if (i == 1) {
            fx_index(&t.f);
        }
        things_remove(&t, i * 500, 400, 2);
        OK(&t.f, omen_snapshot(t.f.c, &snapshot[i], &t.f.err));
        then[i] = malloc(t.room * sizeof *then[i]);
        assert_non_null(then[i]);
        memcpy(then[i], t.item, t.room * sizeof *then[i]);
    }
    fx_index(&t.f);
    things_split(&t);
    things_put(&t, 0, 2000);
    for (uint32_t i = 0; i < 3; i++) {
        things past = t;
        past.item = then[i];
        check_all(&past, snapshot[i], compiled);
        omen_filter *own[32] = {NULL};
        past.f.c = snapshot[i]; /* compiled on the snapshot itself */
        compile_all(&past, own);
        check_all(&past, snapshot[i], own);
        check_all(&t, t.f.c, own);
        free_all(own);
    }
    check_all(&t, t.f.c, compiled);
    for (uint32_t i = 0; i < 3; i++) {
        omen_collection_free(snapshot[i]);
        free(then[i]);
    }
    free_all(compiled);
    things_close(&t);
}

/* ---- What is refused ----------------------------------------------------------------------------- */
static omen_status_t compile(things *t, const char *text, const omen_param *params, uint64_t count)
{
    omen_filter *out = NULL;
    omen_status_t status =
        omen_filter_compile(t->f.c, text, strlen(text), params, count, &out, &t->f.err);
    omen_filter_free(out);
    return status;
}

static void bad_conditions_are_refused(void **state)
{
    (void)state;
    things t;
    omen_filter *out = NULL;
    int64_t number = 1;
    uint64_t offsets[2] = {5, 1};
    omen_param param = {.type = OMEN_TYPE_INT64, .count = 1, .data = &number};
    things_open(&t, OMEN_L2, 10, NULL);
    FAILS(&t.f, compile(&t, "share <", NULL, 0), OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX);
    FAILS(&t.f, compile(&t, "", NULL, 0), OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX);
    FAILS(&t.f, compile(&t, "nothing = 1", NULL, 0), OMEN_INVALID_ARGUMENT, OMEN_D_FIELD);
    FAILS(&t.f, compile(&t, "number = 'x'", NULL, 0), OMEN_INVALID_ARGUMENT, OMEN_D_TYPE);
    OK(&t.f, compile(&t, "number = $1", &param, 1));
    param.type = OMEN_TYPE_TEXT;
    FAILS(&t.f, compile(&t, "number = $1", &param, 1), OMEN_INVALID_ARGUMENT, OMEN_D_TYPE);
    param.type = OMEN_TYPE_INT64;
    param.count = OMEN_MAX_ARRAY + 1;
    FAILS(&t.f, compile(&t, "number IN $1", &param, 1), OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    param = (omen_param){.type = OMEN_TYPE_INT64, .count = 1};
    FAILS(&t.f, compile(&t, "number = $1", &param, 1), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    param = (omen_param){.type = OMEN_TYPE_STRING, .count = 1, .data = "abcdef"};
    FAILS(&t.f, compile(&t, "color = $1", &param, 1), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    param.offsets = offsets;
    FAILS(&t.f, compile(&t, "color = $1", &param, 1), OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&t.f, omen_filter_compile(t.f.c, "TRUE", OMEN_MAX_FILTER + 1, NULL, 0, &out, &t.f.err),
          OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    FAILS(&t.f, omen_filter_compile(t.f.c, NULL, 4, NULL, 0, &out, &t.f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    FAILS(&t.f, omen_filter_compile(t.f.c, "TRUE", 4, NULL, 1, &out, &t.f.err),
          OMEN_INVALID_ARGUMENT, OMEN_D_NONE);
    FAILS(&t.f, omen_filter_compile(t.f.c, "TRUE", 4, &param, OMEN_MAX_PARAMS + 1, &out, &t.f.err),
          OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    FAILS(&t.f, omen_filter_from_keys(t.f.c, NULL, 1, &out, &t.f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_NONE);
    FAILS(&t.f, omen_filter_from_keys(t.f.c, offsets, OMEN_MAX_ROWS + UINT64_C(1), &out, &t.f.err),
          OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT);
    assert_null(out);
    omen_filter_free(NULL);
    things_close(&t);
}

static void filters_stay_with_their_collection(void **state)
{
    (void)state;
    things t;
    found got;
    float vector[THING_DIM] = {0};
    uint64_t count = 0;
    omen_collection *other = NULL;
    things_open(&t, OMEN_L2, 100, NULL);
    things_put(&t, 0, 100);
    thing_filter filter = things_share(0.5);
    omen_filter *compiled = things_compile(&t, &filter);
    omen_options o = {.struct_size = sizeof o, .dim = THING_DIM};
    OK(&t.f, omen_create(t.f.db, "other", &o, &other, &t.f.err));
    FAILS(&t.f, search(&t, other, vector, compiled, K, 0, &got), OMEN_INVALID_ARGUMENT,
          OMEN_D_HANDLE);
    FAILS(&t.f, omen_count_where(other, compiled, &count, &t.f.err), OMEN_INVALID_ARGUMENT,
          OMEN_D_HANDLE);
    FAILS(&t.f, search(&t, t.f.c, vector, (const void *)other, K, 0, &got), OMEN_INVALID_ARGUMENT,
          OMEN_D_HANDLE);
    /* It outlives the handles of its collection, and knows the next one of that name as another. */
    omen_collection_free(other);
    omen_collection_free(t.f.c);
    OK(&t.f, omen_drop(t.f.db, "things", &t.f.err));
    OK(&t.f, omen_create(t.f.db, "things", &o, &t.f.c, &t.f.err));
    FAILS(&t.f, search(&t, t.f.c, vector, compiled, K, 0, &got), OMEN_INVALID_ARGUMENT,
          OMEN_D_HANDLE);
    things_close(&t);
    omen_filter_free(compiled);
}

/* What is compiled again is found again, and what is kept is bounded. */
static void many_filters_take_bounded_memory(void **state)
{
    (void)state;
    things t;
    omen_runtime_stats before = {.struct_size = sizeof before}, after = before;
    things_open(&t, OMEN_L2, 5000, NULL);
    things_put(&t, 0, 5000);
    fx_index(&t.f);
    for (uint32_t i = 0; i < 2000; i++) {
        thing_filter filter = things_share(i / 2000.0);
        omen_filter *compiled = things_compile(&t, &filter);
        uint64_t count = 0;
        OK(&t.f, omen_count_where(t.f.c, compiled, &count, &t.f.err));
        assert_int_equal(count, things_matches(&t, &filter));
        omen_filter_free(compiled);
        if (i == 200) {
            OK(&t.f, omen_get_runtime_stats(t.f.rt, &before, &t.f.err));
        }
    }
    OK(&t.f, omen_get_runtime_stats(t.f.rt, &after, &t.f.err));
    /* Far less than 1,800 filters take; something may be built in the background meanwhile. */
    assert_true(after.memory_used < before.memory_used + (1u << 20));
    things_close(&t);
}

/* A search that is stopped leaves its filter as it was, or with what it has looked at: the next one is
 * right. */
static void stopped_filters_go_on(void **state)
{
    (void)state;
    things t;
    found got;
    uint64_t count = 0;
    omen_op *op = NULL;
    things_open(&t, OMEN_L2, ROWS, NULL);
    things_put(&t, 0, ROWS);
    fx_index(&t.f);
    OK(&t.f, omen_op_create(&op, &t.f.err));
    omen_op_cancel(op);
    for (uint32_t i = 0; i < 2; i++) {
        thing_filter filter = things_share(0.4 + 0.1 * i);
        omen_filter *compiled = things_compile(&t, &filter);
        omen_query query = {.struct_size = sizeof query,
                            .flags = OMEN_PARTIAL_OK,
                            .vectors = t.item[0].vector,
                            .dtype = OMEN_F32,
                            .dim = THING_DIM,
                            .count = 1,
                            .k = K,
                            .op = i == 0 ? op : NULL,
                            .timeout_us = i, /* over before the first look, or just not */
                            .filter = compiled};
        uint32_t flags = 0;
        omen_hits hits = {
            .struct_size = sizeof hits, .keys = got.keys, .counts = &got.count, .flags = &flags};
        if (i == 0) {
            FAILS(&t.f, omen_search(t.f.c, &query, &hits, &t.f.err), OMEN_CANCELLED, OMEN_D_NONE);
        } else {
            OK(&t.f, omen_search(t.f.c, &query, &hits, &t.f.err));
            assert_true(flags == OMEN_HITS_PARTIAL ? got.count <= K : got.count == K);
        }
        OK(&t.f, omen_count_where(t.f.c, compiled, &count, &t.f.err));
        assert_int_equal(count, things_matches(&t, &filter));
        assert_int_equal(good(&t, t.f.c, t.item[7].vector, &filter, compiled, K, OMEN_EXACT), K);
        omen_filter_free(compiled);
    }
    omen_op_free(op);
    things_close(&t);
}

/* A full budget refuses writes; filters that are only kept for later are given up before a search is. */
static void short_memory_gives_up_kept_filters(void **state)
{
    (void)state;
    enum { LIMIT = 40 << 20, PIECE = 2000, MANY = 400000 };
    things t;
    uint64_t count = 0;
    memset(&t, 0, sizeof t);
    t.room = MANY;
    t.item = calloc(MANY, sizeof *t.item);
    assert_non_null(t.item);
    omen_runtime_options ropt = {.struct_size = sizeof ropt, .threads = 1, .memory_limit = LIMIT};
    OK(&t.f, omen_runtime_create(&ropt, &t.f.rt, &t.f.err));
    things_open_in(&t, OMEN_L2, NULL);
    uint32_t rows = 0;
    for (; things_try_put(&t, rows, PIECE); rows += PIECE) {
        assert_true(rows + 2 * PIECE <= MANY);
    }
    assert_int_equal(t.f.err.status, OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(fx_count(&t.f), rows);
    uint32_t answered = 0;
    for (uint32_t i = 0; i < 300; i++) {
        thing_filter filter = things_share((double)i / 300);
        omen_filter *compiled = things_compile(&t, &filter);
        if (omen_count_where(t.f.c, compiled, &count, &t.f.err) == OMEN_OK) {
            answered++;
            assert_int_equal(count, things_matches(&t, &filter));
        } else {
            assert_int_equal(t.f.err.status, OMEN_RESOURCE_EXHAUSTED);
        }
        omen_filter_free(compiled);
    }
    assert_true(answered > 290);
    things_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_are_those_of_brute_force),
        cmocka_unit_test(hits_from_files_are_those_of_brute_force),
        cmocka_unit_test(every_plan_answers),
        cmocka_unit_test(sets_of_keys),
        cmocka_unit_test(few_keys_on_a_snapshot),
        cmocka_unit_test(snapshots_answer_as_then),
        cmocka_unit_test(bad_conditions_are_refused),
        cmocka_unit_test(filters_stay_with_their_collection),
        cmocka_unit_test(many_filters_take_bounded_memory),
        cmocka_unit_test(stopped_filters_go_on),
        cmocka_unit_test(short_memory_gives_up_kept_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
