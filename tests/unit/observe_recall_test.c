/* observe_recall_test.c - the recall monitor against a comparison made by hand, while others write, and at
 * its limits; its interval against numbers worked out elsewhere.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_fixture.h"
#include "recall.h"
#include "recall_int.h"

enum { ROWS = 4000, DIM = 24, K = 10, QUERIES = 60 };

/* What holds a collection; counts its holders. */
typedef struct owner {
    _Atomic int holds;
    _Atomic uint32_t damaged;
} owner;

static void hold(void *ctx)
{
    atomic_fetch_add(&((owner *)ctx)->holds, 1);
}

static void release(void *ctx)
{
    atomic_fetch_sub(&((owner *)ctx)->holds, 1);
}

static om_recall_query query_of(const fixture *f, owner *o, const float *vector)
{
    return (om_recall_query){.owner = o,
                             .hold = hold,
                             .release = release,
                             .collection = f->c,
                             .damaged = &o->damaged,
                             .name = "films",
                             .vector = vector,
                             .vector_size = DIM * sizeof(float),
                             .dtype = OMEN_F32,
                             .dim = DIM,
                             .k = K};
}

static om_recall *monitor(om_metrics *m)
{
    om_recall_options options = {.sample = 1, .permille = 1000, .metrics = m, .no_thread = true};
    om_recall *r = om_recall_create(&options);
    assert_non_null(r);
    return r;
}

static om_metrics *new_metrics(omen_db *db)
{
    om_metrics_options options = {.top_collections = 4, .db = db};
    om_metrics *m = om_metrics_create(&options);
    assert_non_null(m);
    return m;
}

static void make(fixture *f, const float *rows)
{
    omen_options options = {.struct_size = sizeof options, .dim = DIM};
    fx_open(f, &options, 1);
    fx_add(f, rows, ROWS, 1);
    fx_index(f);
}

static double sample_count(om_metrics *m, const char *result)
{
    char line[96];
    size_t length = 0;
    char *page = om_metrics_render(m, &length);
    assert_non_null(page);
    (void)snprintf(line, sizeof line, "\nomendb_recall_samples_total{result=\"%s\"} ", result);
    const char *at = strstr(page, line);
    assert_non_null(at);
    double value = strtod(at + strlen(line), NULL);
    free(page);
    return value;
}

/* ---- The interval --------------------------------------------------------------------------- */

static void add(om_recall_table *t, uint32_t found, uint32_t wanted, int times)
{
    om_recall_result r = {.plan = OMEN_PLAN_GRAPH, .found = found, .wanted = wanted};
    for (int i = 0; i < times; i++) {
        assert_true(om_recall_table_add(t, "c", &r));
    }
}

/* Wilson's interval for 90 of 100 is 0.8256 to 0.9448, for 100 of 100 0.9630 to 1, for 50 of 100 0.4038 to
 * 0.5962: queries that all find the same share say no more than that there were so many of them. */
static void test_interval(void **state)
{
    static const struct {
        uint32_t found;
        double low, high;
    } cases[] = {{9, 0.825637, 0.944772}, {10, 0.963006, 1}, {5, 0.403832, 0.596168}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        om_recall_table t = {NULL, 0, 0};
        om_recall_estimate e;
        add(&t, cases[i].found, 10, 100);
        om_recall_estimate_of(&t.items[0], &e);
        assert_true(fabs(e.recall - cases[i].found / 10.0) < 1e-12);
        assert_true(fabs(e.low - cases[i].low) < 1e-5);
        assert_true(fabs(e.high - cases[i].high) < 1e-5);
        free(t.items);
    }
}

/* Independent misses are worth all hits, misses that come together only the queries. */
static void test_spread(void **state)
{
    (void)state;
    om_recall_table even = {NULL, 0, 0};
    om_recall_table lumped = {NULL, 0, 0};
    om_recall_estimate a, b;
    add(&even, 10, 10, 50); /* about binomial: half of the queries miss one of ten */
    add(&even, 9, 10, 50);
    add(&lumped, 10, 10, 95); /* the same mean: one in twenty misses all */
    add(&lumped, 0, 10, 5);
    om_recall_estimate_of(&even.items[0], &a);
    om_recall_estimate_of(&lumped.items[0], &b);
    assert_true(fabs(a.recall - 0.95) < 1e-12 && fabs(b.recall - 0.95) < 1e-12);
    assert_true(a.high - a.low < 0.5 * (b.high - b.low));
    /* 95 of 100 single trials */
    assert_true(fabs(b.low - 0.888249) < 2e-3 && fabs(b.high - 0.978459) < 2e-3);
    free(even.items);
    free(lumped.items);
}

/* What was long ago fades: after two windows of bad ones and four of good ones little is left of the bad. */
static void test_forgets(void **state)
{
    (void)state;
    om_recall_table t = {NULL, 0, 0};
    om_recall_estimate e;
    add(&t, 0, 10, 2 * OM_RECALL_WINDOW);
    add(&t, 10, 10, 4 * OM_RECALL_WINDOW);
    om_recall_estimate_of(&t.items[0], &e);
    assert_true(e.queries <= 2 * OM_RECALL_WINDOW);
    assert_true(e.recall > 0.9);
    free(t.items);
}

static void test_table(void **state)
{
    (void)state;
    om_recall_table t = {NULL, 0, 0};
    om_recall_result r = {.plan = OMEN_PLAN_GRAPH, .found = 1, .wanted = 1};
    char name[16];
    for (uint32_t i = 0; i < OM_RECALL_MAX_SERIES; i++) {
        (void)snprintf(name, sizeof name, "c%u", i * 7919u % OM_RECALL_MAX_SERIES);
        assert_true(om_recall_table_add(&t, name, &r));
    }
    assert_int_equal(t.count, OM_RECALL_MAX_SERIES);
    assert_false(om_recall_table_add(&t, "one-more", &r));
    assert_true(om_recall_table_add(&t, "c17", &r)); /* one that is there */
    for (size_t i = 1; i < t.count; i++) {
        assert_true(strcmp(t.items[i - 1].collection, t.items[i].collection) < 0);
    }
    r.plan = OMEN_PLAN_FILTER_IN;
    om_recall_table_forget(&t, "c17");
    om_recall_table_forget(&t, "c17");
    assert_int_equal(t.count, OM_RECALL_MAX_SERIES - 1);
    assert_true(om_recall_table_add(&t, "c18", &r));
    om_recall_table_forget(&t, "c18");
    assert_int_equal(t.count, OM_RECALL_MAX_SERIES - 2);
    free(t.items);
}

/* ---- Measuring ------------------------------------------------------------------------------- */

/* Share of the exact neighbours' distances that the search reaches, as an outsider sees it. */
static double by_hand(fixture *f, const float *q, uint32_t ef)
{
    uint64_t keys[K], exact_keys[K];
    float distances[K], exact[K];
    uint32_t n = fx_search(f, &(fx_query){q, K, ef, 0}, keys, distances);
    uint32_t m = fx_search(f, &(fx_query){q, K, 0, OMEN_EXACT}, exact_keys, exact);
    uint32_t hit = 0;
    for (uint32_t i = 0; i < n; i++) {
        hit += distances[i] <= exact[m - 1];
    }
    return (double)hit / m;
}

static void test_against_hand(void **state)
{
    static const uint32_t efs[] = {10, 16, 200};
    (void)state;
    fixture f;
    float *rows = fx_rows(ROWS, DIM, 5);
    float *queries = fx_rows(QUERIES, DIM, 6);
    make(&f, rows);
    for (size_t e = 0; e < sizeof efs / sizeof efs[0]; e++) {
        om_metrics *m = new_metrics(NULL);
        om_recall *r = monitor(m);
        owner o = {0, 0};
        double sum = 0;
        for (uint32_t i = 0; i < QUERIES; i++) {
            om_recall_query q = query_of(&f, &o, queries + (size_t)i * DIM);
            q.ef = efs[e];
            om_recall_offer(r, &q);
            assert_int_equal(atomic_load(&o.holds), 1);
            assert_true(om_recall_step(r));
            assert_int_equal(atomic_load(&o.holds), 0);
            sum += by_hand(&f, queries + (size_t)i * DIM, efs[e]);
        }
        om_recall_estimate got;
        assert_int_equal(om_recall_copy(r, &got, 1), 1);
        assert_string_equal(got.collection, "films");
        assert_int_equal(got.plan, OMEN_PLAN_GRAPH);
        assert_true(fabs(got.recall - sum / QUERIES) < 1e-9);
        assert_true(got.low <= got.recall && got.recall <= got.high);
        assert_int_equal((int)sample_count(m, "measured"), QUERIES);
        om_recall_forget(r, "films");
        assert_int_equal(om_recall_copy(r, NULL, 0), 0);
        assert_false(om_recall_lowest(r, &got));
        om_recall_free(r);
        om_metrics_free(m);
    }
    fx_close(&f);
    free(rows);
    free(queries);
}

/* Everything of the query is copied: what it pointed to is gone when it is measured. */
static void test_filter_is_copied(void **state)
{
    (void)state;
    fixture f;
    omen_options options = {.struct_size = sizeof options, .dim = DIM};
    float *rows = fx_rows(ROWS, DIM, 5);
    uint64_t keys[ROWS];
    int64_t offsets[ROWS + 1] = {0};
    char *text = malloc(ROWS * 32);
    fx_open(&f, &options, 1);
    for (uint32_t i = 0; i < ROWS; i++) {
        keys[i] = i + 1;
        int n = snprintf(text + offsets[i], 32, "{\"n\": %u, \"s\": \"w%u\"}", i % 100, i % 3);
        offsets[i + 1] = offsets[i] + n;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = ROWS,
                        .vectors = rows,
                        .dtype = OMEN_F32,
                        .dim = DIM,
                        .keys = keys,
                        .metadata = {text, offsets, 64, 0}};
    OK(&f, omen_add_batch(f.c, &batch, NULL, NULL, &f.err));
    fx_index(&f);
    om_metrics *m = new_metrics(NULL);
    om_recall *r = monitor(m);
    owner o = {0, 0};
    int64_t bound = 97;
    uint64_t ends[4] = {0, 2, 4, 6};
    omen_param params[2] = {{OMEN_TYPE_INT64, 1, &bound, NULL},
                            {OMEN_TYPE_STRING, 3, "w0w1w2", ends}};
    for (int i = 0; i < 20; i++) {
        om_recall_query q = query_of(&f, &o, rows + (size_t)i * DIM);
        char *filter = strdup("n < $1 AND s IN $2");
        omen_param *copy = malloc(sizeof params);
        memcpy(copy, params, sizeof params);
        q.filter = filter;
        q.filter_size = strlen(filter);
        q.params = copy;
        q.param_count = 2;
        om_recall_offer(r, &q);
        memset(filter, 'x', q.filter_size);
        memset(copy, 0xee, sizeof params);
        free(filter);
        free(copy);
        assert_true(om_recall_step(r));
    }
    assert_int_equal((int)sample_count(m, "failed"), 0);
    assert_int_equal((int)(sample_count(m, "measured") + sample_count(m, "skipped")), 20);
    om_recall_estimate e[8];
    size_t n = om_recall_copy(r, e, 8);
    assert_true(n >= 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(e[i].plan >= OMEN_PLAN_FILTER_IN && e[i].plan <= OMEN_PLAN_ABANDONED);
        assert_true(e[i].recall > 0.5);
    }
    om_recall_query wrong = query_of(&f, &o, rows);
    wrong.filter = "no such field = 1";
    wrong.filter_size = strlen(wrong.filter);
    om_recall_offer(r, &wrong);
    assert_true(om_recall_step(r));
    assert_int_equal((int)sample_count(m, "failed"), 1);
    om_recall_free(r);
    om_metrics_free(m);
    fx_close(&f);
    free(rows);
    free(text);
}

/* ---- While others write ----------------------------------------------------------------------- */

typedef struct churn {
    fixture *f;
    const float *rows;
    _Atomic bool stop;
    _Atomic uint64_t writes;
} churn;

/* Deletes, moves and adds items, all the time. */
static void *churn_main(void *arg)
{
    churn *c = arg;
    fx_rng rng = {77};
    omen_error err;
    while (!atomic_load(&c->stop)) {
        uint64_t key = 1 + fx_below(&rng, ROWS);
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = 1,
                            .vectors = c->rows + (size_t)fx_below(&rng, ROWS) * DIM,
                            .dtype = OMEN_F32,
                            .dim = DIM,
                            .keys = &key};
        omen_status_t status = (fx_below(&rng, 2) == 0)
                                   ? omen_delete_batch(c->f->c, &batch, NULL, NULL, &err)
                                   : omen_add_batch(c->f->c, &batch, NULL, NULL, &err);
        if (status != OMEN_OK) {
            return NULL; /* the test sees too few writes */
        }
        atomic_fetch_add(&c->writes, 1);
    }
    return NULL;
}

/* A beam as wide as can be finds everything; whatever is written between the two searches must not look
 * like a miss. The same beam finds everything on a collection at rest, or the test says nothing. */
static void test_writes_are_no_misses(void **state)
{
    (void)state;
    fixture f;
    float *rows = fx_rows(ROWS, DIM, 5);
    float *queries = fx_rows(QUERIES, DIM, 6);
    make(&f, rows);
    om_recall *r = monitor(NULL);
    owner o = {0, 0};
    churn c = {&f, rows, false, 0};
    pthread_t thread;
    for (uint32_t i = 0; i < QUERIES; i++) {
        assert_true(by_hand(&f, queries + (size_t)i * DIM, 3000) >= 1);
    }
    assert_int_equal(pthread_create(&thread, NULL, churn_main, &c), 0);
    for (uint32_t i = 0; i < 5 * QUERIES || atomic_load(&c.writes) < 500; i++) {
        om_recall_query q = query_of(&f, &o, queries + (size_t)(i % QUERIES) * DIM);
        q.ef = 3000;
        om_recall_offer(r, &q);
        assert_true(om_recall_step(r));
    }
    atomic_store(&c.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    om_recall_estimate e[8];
    size_t n = om_recall_copy(r, e, 8);
    for (size_t i = 0; i < n; i++) {
        assert_true(e[i].recall > 1 - 1e-12);
    }
    om_recall_free(r);
    fx_close(&f);
    free(rows);
    free(queries);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void test_limits(void **state)
{
    (void)state;
    fixture f;
    float *rows = fx_rows(ROWS, DIM, 5);
    make(&f, rows);
    om_metrics *m = new_metrics(NULL);
    om_recall *r = monitor(m);
    owner o = {0, 0};
    om_recall_query q = query_of(&f, &o, rows);
    for (int i = 0; i < OM_RECALL_WAITING_EACH + 3; i++) {
        om_recall_offer(r, &q);
    }
    assert_int_equal(atomic_load(&o.holds), OM_RECALL_WAITING_EACH);
    assert_int_equal((int)sample_count(m, "dropped"), 3);
    for (int i = 0; i < OM_RECALL_WAITING; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "other%d", i);
        q.name = name;
        om_recall_offer(r, &q);
    }
    assert_int_equal(atomic_load(&o.holds), OM_RECALL_WAITING);
    assert_int_equal((int)sample_count(m, "dropped"), 3 + OM_RECALL_WAITING_EACH);
    uint8_t *large = calloc(1, OM_RECALL_MAX_BYTES);
    omen_param param = {OMEN_TYPE_BOOL, OM_RECALL_MAX_BYTES, large, NULL};
    q.params = &param;
    q.param_count = 1;
    om_recall_offer(r, &q);
    assert_int_equal((int)sample_count(m, "skipped"), 1);
    om_recall_free(r); /* gives back what waits */
    assert_int_equal(atomic_load(&o.holds), 0);
    om_recall_offer(NULL, &q);
    assert_false(om_recall_wants(NULL));
    free(large);
    om_metrics_free(m);
    fx_close(&f);
    free(rows);
}

/* A collection that is gone, one whose file was cut, one that is too large. */
static void test_nothing_to_say(void **state)
{
    (void)state;
    fixture f;
    float *rows = fx_rows(ROWS, DIM, 5);
    make(&f, rows);
    om_recall *r = monitor(NULL);
    om_recall_result result;
    owner o = {0, 1};
    om_recall_query q = query_of(&f, &o, rows);
    omen_op *op = NULL;
    OK(&f, omen_op_create(&op, &f.err));
    assert_int_equal(om_recall_measure(&q, UINT64_MAX, op, &result), OM_RECALL_FAILED);
    atomic_store(&o.damaged, 0);
    assert_int_equal(om_recall_measure(&q, UINT64_MAX, op, &result), OM_RECALL_MEASURED);
    assert_int_equal(om_recall_measure(&q, ROWS * DIM * sizeof(float) - 1, op, &result),
                     OM_RECALL_TOO_LARGE);
    omen_op_cancel(op);
    assert_int_equal(om_recall_measure(&q, UINT64_MAX, op, &result), OM_RECALL_FAILED);
    omen_op_free(op);
    om_recall_free(r);
    fx_close(&f);
    free(rows);
}

static void test_suits(void **state)
{
    (void)state;
    for (uint32_t plan = 0; plan < 12; plan++) {
        bool walk = plan == OMEN_PLAN_GRAPH || plan == OMEN_PLAN_FILTER_IN ||
                    plan == OMEN_PLAN_FILTER_HOP || plan == OMEN_PLAN_FILTER_BRIDGE ||
                    plan == OMEN_PLAN_ABANDONED;
        assert_int_equal(om_recall_suits(plan), walk);
    }
}

/* One of ten, within five standard deviations; one of one is each. */
static void test_wants(void **state)
{
    (void)state;
    om_recall_options options = {.sample = 10, .permille = 1, .no_thread = true};
    om_recall *r = om_recall_create(&options);
    int n = 0;
    for (int i = 0; i < 100000; i++) {
        n += om_recall_wants(r);
    }
    assert_in_range(n, 9500, 10500);
    om_recall_free(r);
    r = monitor(NULL);
    for (int i = 0; i < 1000; i++) {
        assert_true(om_recall_wants(r));
    }
    om_recall_free(r);
}

/* The thread measures what is offered, puts it on the page, and rests in proportion. */
static void test_thread(void **state)
{
    (void)state;
    fixture f;
    float *rows = fx_rows(ROWS, DIM, 5);
    make(&f, rows);
    om_metrics *m = new_metrics(NULL);
    om_recall_options options = {.sample = 1, .permille = 1000, .metrics = m};
    om_recall *r = om_recall_create(&options);
    owner o = {0, 0};
    om_recall_estimate e;
    assert_non_null(r);
    om_recall_query q = query_of(&f, &o, rows);
    om_recall_offer(r, &q);
    while (om_recall_copy(r, &e, 1) == 0) {
        struct timespec pause = {0, 1000000};
        (void)nanosleep(&pause, NULL);
    }
    size_t length = 0;
    char *page = om_metrics_render(m, &length);
    /* without a database no collection has a label: it is one of the others */
    assert_non_null(
        strstr(page, "omendb_recall_queries{collection=\"_other\",plan=\"graph\"} 1\n"));
    assert_non_null(strstr(page, "omendb_recall_estimate{collection=\"_other\",plan=\"graph\"} "));
    free(page);
    om_recall_free(r);
    page = om_metrics_render(m, &length);
    assert_null(strstr(page, "omendb_recall_estimate"));
    free(page);
    om_metrics_free(m);
    fx_close(&f);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_forgets),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_against_hand),
        cmocka_unit_test(test_filter_is_copied),
        cmocka_unit_test(test_writes_are_no_misses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_suits),
        cmocka_unit_test(test_wants),
        cmocka_unit_test(test_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
