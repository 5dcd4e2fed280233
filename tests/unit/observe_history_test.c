/* observe_history_test.c - samples against what was reported between them, the ring, and its quantiles.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "history.h"
#include "observe.h"

#define MS UINT64_C(1000000)

static uint64_t clock_ns;
static int64_t clock_ms;

static uint64_t fake_ns(void)
{
    return clock_ns;
}

static int64_t fake_ms(void)
{
    return clock_ms;
}

static void pass(uint64_t ms)
{
    clock_ns += ms * MS;
    clock_ms += (int64_t)ms;
}

static om_metrics *new_metrics(omen_db *db)
{
    om_metrics_options options = {.top_collections = 4, .db = db};
    om_metrics *m = om_metrics_create(&options);
    assert_non_null(m);
    return m;
}

static om_history *new_history(om_metrics *m)
{
    om_history_options options = {.metrics = m, .now_ns = fake_ns, .wall_ms = fake_ms};
    om_history *h = om_history_create(&options);
    assert_non_null(h);
    clock_ns = 5000 * MS;
    clock_ms = 1700000000000;
    return h;
}

static void search(om_metrics *m, uint32_t plan, uint64_t ns, uint32_t flags)
{
    om_metrics_search_event e = {
        .plan = plan, .flags = flags, .ns = ns, .distances = 100, .hops = 7, .filter_ns = 1000};
    om_metrics_search(m, &e);
}

static void test_rates(void **state)
{
    (void)state;
    om_metrics *m = new_metrics(NULL);
    om_metrics_method *method = om_metrics_add_method(m, "omen.v1.Items", "Search");
    om_history *h = new_history(m);
    om_history_sample s;
    search(m, OMEN_PLAN_GRAPH, 1 * MS, 0); /* before the first look: not in any sample */
    om_history_tick(h);
    assert_false(om_history_last(h, &s));
    pass(1000);
    search(m, OMEN_PLAN_GRAPH, 2 * MS, 0);
    search(m, OMEN_PLAN_FILTER_IN, 2 * MS, OM_SEARCH_FILTERED | OM_SEARCH_SHORT);
    search(m, OMEN_PLAN_EXACT, 2 * MS, OM_SEARCH_PARTIAL);
    for (uint32_t code = 0; code < OM_METRICS_CODES; code++) {
        om_metrics_rpc_started(method);
        om_metrics_rpc_handled(method, code, MS);
    }
    om_metrics_rpc_shed(m, OM_SHED_QUEUE);
    om_metrics_rpc_received(method, 300);
    om_metrics_rpc_sent(method, 40);
    om_metrics_ingest_batch(m, 64, 1000, false);
    om_metrics_ingest_batch(m, 64, 1000, true);
    om_metrics_ingest_window_bytes(m, 555);
    om_metrics_maintenance_started(m, 3);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.unix_ms, clock_ms);
    assert_int_equal(s.span_ms, 1000);
    assert_int_equal(s.searches, 3);
    assert_int_equal(s.filtered, 1);
    assert_int_equal(s.short_results, 1);
    assert_int_equal(s.partial, 1);
    assert_int_equal(s.distances, 300);
    assert_int_equal(s.hops, 21);
    assert_int_equal(s.calls, OM_METRICS_CODES);
    assert_int_equal(s.errors, OM_METRICS_CODES - 2); /* OK and CANCELLED are none */
    assert_int_equal(s.refused, 1);
    assert_int_equal(s.received_bytes, 300);
    assert_int_equal(s.sent_bytes, 40);
    assert_int_equal(s.batches, 1);
    assert_int_equal(s.rows, 64);
    assert_int_equal(s.bytes, 1000);
    assert_int_equal(s.window_bytes, 555);
    assert_int_equal(s.maintenance, 1);
    assert_true(s.resident_bytes > 0);
    assert_true(s.recall < 0 && s.recall_low < 0);
    pass(500);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.span_ms, 500);
    assert_int_equal(s.searches, 0);
    assert_int_equal(s.calls, 0);
    assert_int_equal(s.window_bytes, 555);
    om_history_free(h);
    om_metrics_free(m);
}

/* The straight line within a bucket, by hand: 100 values between 1 and 2.5 ms. */
static void test_quantiles(void **state)
{
    (void)state;
    om_metrics *m = new_metrics(NULL);
    om_history *h = new_history(m);
    om_history_sample s;
    om_history_tick(h);
    pass(1000);
    for (int i = 0; i < 100; i++) {
        search(m, OMEN_PLAN_GRAPH, 2 * MS, 0);
    }
    om_metrics_queue_wait(m, 5000);           /* the first bucket: 0 to 10 us */
    om_metrics_ingest_visible(m, 60000 * MS); /* beyond all bounds: the last of them */
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.search.p50, 1750000);
    assert_int_equal(s.search.p95, 2425000);
    assert_int_equal(s.search.p99, 2485000);
    assert_int_equal(s.queue.p50, 5000);
    assert_int_equal(s.visible.p99, 30000 * MS);
    assert_int_equal(s.commit.p99, 0);
    pass(1000);
    for (int i = 0; i < 98; i++) {
        search(m, OMEN_PLAN_GRAPH, 60000, 0);
    }
    search(m, OMEN_PLAN_GRAPH, 400 * MS, 0);
    search(m, OMEN_PLAN_FILTER_HOP, 400 * MS, 0);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_true(s.search.p50 > 50000 && s.search.p95 <= 100000);
    assert_true(s.search.p99 > 250 * MS && s.search.p99 <= 500 * MS);
    om_history_free(h);
    om_metrics_free(m);
}

static void test_ring(void **state)
{
    (void)state;
    om_metrics *m = new_metrics(NULL);
    om_history *h = new_history(m);
    static om_history_sample out[OM_HISTORY_SECONDS + 10];
    om_history_tick(h);
    for (int i = 0; i < OM_HISTORY_SECONDS + 50; i++) {
        pass(1000);
        for (int k = 0; k <= i % 5; k++) {
            search(m, OMEN_PLAN_GRAPH, MS, 0);
        }
        om_history_tick(h);
    }
    size_t n = om_history_copy(h, INT64_MIN, out, OM_HISTORY_SECONDS + 10);
    assert_int_equal(n, OM_HISTORY_SECONDS);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(out[i].unix_ms, clock_ms - 1000 * (int64_t)(n - 1 - i));
        assert_int_equal(out[i].searches, (i + 50) % 5 + 1);
    }
    assert_int_equal(om_history_copy(h, clock_ms - 3000, out, 100), 3);
    assert_int_equal(out[2].unix_ms, clock_ms);
    assert_int_equal(om_history_copy(h, INT64_MIN, out, 7), 7); /* the newest ones */
    assert_int_equal(out[6].unix_ms, clock_ms);
    assert_int_equal(om_history_copy(h, clock_ms, out, 7), 0);
    assert_int_equal(om_history_copy(NULL, 0, out, 7), 0);
    om_history_free(h);
    om_metrics_free(m);
}

static void test_same_moment(void **state)
{
    (void)state;
    om_metrics *m = new_metrics(NULL);
    om_history *h = new_history(m);
    om_history_sample s;
    om_history_tick(h);
    search(m, OMEN_PLAN_GRAPH, MS, 0);
    om_history_tick(h); /* no time has passed: nothing is lost, and nothing is divided by 0 */
    assert_false(om_history_last(h, &s));
    pass(1000);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.searches, 1);
    om_history_free(h);
    om_metrics_free(m);
}

static void give_gauges(void *ctx, om_history_gauges *out)
{
    *out = *(const om_history_gauges *)ctx;
}

static void test_gauges(void **state)
{
    (void)state;
    om_metrics *m = new_metrics(NULL);
    om_history *h = new_history(m);
    om_history_gauges gauges = {5, 4, 3, 2};
    om_history_sample s;
    om_history_attach(h, give_gauges, &gauges);
    om_history_tick(h);
    pass(1000);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.in_flight, 5);
    assert_int_equal(s.streams, 4);
    assert_int_equal(s.searches_queued, 3);
    assert_int_equal(s.ingest_queued, 2);
    om_history_attach(h, NULL, NULL);
    pass(1000);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.in_flight, 0);
    om_history_free(h);
    om_metrics_free(m);
}

static void test_database(void **state)
{
    (void)state;
    omen_db *db = NULL;
    omen_collection *c = NULL;
    omen_options options = {.struct_size = sizeof options, .dim = 2};
    float rows[6] = {1, 2, 3, 4, 5, 6};
    uint64_t keys[3] = {1, 2, 3};
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = 3,
                        .vectors = rows,
                        .dtype = OMEN_F32,
                        .dim = 2,
                        .keys = keys};
    om_history_sample s;
    assert_int_equal(omen_db_open(NULL, NULL, &db, NULL), OMEN_OK);
    om_metrics *m = new_metrics(db);
    om_history *h = new_history(m);
    om_history_tick(h);
    assert_int_equal(omen_create(db, "c", &options, &c, NULL), OMEN_OK);
    assert_int_equal(omen_add_batch(c, &batch, NULL, NULL, NULL), OMEN_OK);
    pass(1000);
    om_history_tick(h);
    assert_true(om_history_last(h, &s));
    assert_int_equal(s.collections, 1);
    assert_int_equal(s.items, 3);
    assert_int_equal(s.unindexed, 3);
    assert_true(s.version > 0);
    assert_int_equal(s.durable_lag_ms, 0); /* in memory: there is no log */
    assert_int_equal(s.index_lag_ms, 0); /* so few wait on purpose */
    om_history_free(h);
    om_metrics_free(m);
    omen_collection_free(c);
    omen_db_free(db);
}

/* The thread ticks by itself, and ends when it is told to. */
static void test_thread(void **state)
{
    (void)state;
    om_metrics *m = new_metrics(NULL);
    om_observe o = {NULL, NULL, NULL, NULL};
    om_observe_options options = {.metrics = m, .recall_sample = 10, .recall_permille = 5};
    assert_true(om_observe_start(&o, &options));
    assert_non_null(o.recall);
    om_observe_stop(&o);
    assert_null(o.history);
    options.recall_sample = 0;
    assert_true(om_observe_start(&o, &options));
    assert_null(o.recall);
    om_observe_stop(&o);
    om_observe_stop(&o);
    om_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),  cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_ring),   cmocka_unit_test(test_same_moment),
        cmocka_unit_test(test_gauges), cmocka_unit_test(test_database),
        cmocka_unit_test(test_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
