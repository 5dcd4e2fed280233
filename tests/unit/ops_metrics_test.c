/* ops_metrics_test.c - the registry, histogram buckets against their definition, and the page.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap.h"
#include "metrics.h"
#include "ops_promtext.h"
#include "registry.h"

static double value_of(const char *page, const char *series)
{
    double value = -1;
    if (!promtext_value(page, series, &value)) {
        fail_msg("no sample %s", series);
    }
    return value;
}

static char *render(om_metrics *m)
{
    size_t length = 0;
    char *page = om_metrics_render(m, &length);
    assert_non_null(page);
    assert_int_equal(strlen(page), length);
    const char *wrong = promtext_check(page);
    if (wrong != NULL) {
        fail_msg("%s", wrong);
    }
    return page;
}

static om_metrics *create(void)
{
    om_metrics_options options = {.top_collections = 4, .runtime = NULL, .db = NULL};
    om_metrics *m = om_metrics_create(&options);
    assert_non_null(m);
    return m;
}

/* The reader itself must be able to say no. */
static void test_reader_refuses(void **state)
{
    static const char *const pages[] = {
        "a 1\n",
        "# HELP a b\n# TYPE a gauge\na 1",
        "# TYPE a gauge\na 1\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a counter\na 1\n",
        "# HELP a_total b\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1\" 2\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"\\q\"} 2\n",
        "# HELP a b\n# TYPE a gauge\na one\n",
        "# HELP a b\n# TYPE a gauge\n\na 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n"
        "a_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\n"
        "a_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        assert_non_null(promtext_check(pages[i]));
    }
    assert_null(promtext_check("# HELP a b\n# TYPE a gauge\na{x=\"\\n\\\\\\\"\",y=\"\"} 1e-3\n"));
}

static uint32_t slow_bucket(uint64_t ns)
{
    uint32_t i = 0;
    while (i < OM_HISTOGRAM_BOUNDS && ns > om_histogram_bound(i)) {
        i++;
    }
    return i;
}

static void test_buckets(void **state)
{
    static const double wanted[OM_HISTOGRAM_BOUNDS] = {
        10e-6, 25e-6, 50e-6,  100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3,
        25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1,      2.5,  5,      10,   30};
    (void)state;
    for (uint32_t i = 0; i < OM_HISTOGRAM_BOUNDS; i++) {
        uint64_t ns = om_histogram_bound(i);
        assert_int_equal(ns, (uint64_t)(wanted[i] * 1e9 + 0.5));
        assert_int_equal(om_histogram_bucket(ns), i);
        assert_int_equal(om_histogram_bucket(ns + 1), i + 1);
    }
    assert_int_equal(om_histogram_bucket(0), 0);
    assert_int_equal(om_histogram_bucket(UINT64_MAX), OM_HISTOGRAM_BOUNDS);
    for (int bit = 0; bit < 64; bit++) {
        uint64_t n = UINT64_C(1) << bit;
        for (uint64_t d = 0; d < 4; d++) {
            assert_int_equal(om_histogram_bucket(n + d), slow_bucket(n + d));
            assert_int_equal(om_histogram_bucket(n - d), slow_bucket(n - d));
        }
    }
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t ns = x >> (x & 63);
        assert_int_equal(om_histogram_bucket(ns), slow_bucket(ns));
    }
}

static void test_seconds(void **state)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "0.000000001"},
                 {1500000, "0.0015"},
                 {1000000000, "1"},
                 {UINT64_C(12345678901), "12.345678901"},
                 {UINT64_C(100000000000), "100"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        om_page page;
        om_page_init(&page, 64);
        om_page_put_seconds(&page, cases[i].ns);
        assert_string_equal(page.text, cases[i].text);
        om_page_free(&page);
    }
}

static void test_page_limit(void **state)
{
    om_page page;
    (void)state;
    om_page_init(&page, 10);
    om_page_put(&page, "0123456789");
    assert_false(page.failed);
    om_page_put(&page, "x");
    assert_true(page.failed);
    om_page_put(&page, "");
    assert_true(page.failed);
    assert_int_equal(page.length, 10);
    om_page_free(&page);
    om_page_init(&page, 100);
    om_page_put_label(&page, "a\"b\\c\nd");
    assert_string_equal(page.text, "a\\\"b\\\\c\\nd");
    om_page_free(&page);
}

/* A full registry gives no cell; reporting to it is harmless. */
static void test_registry_full(void **state)
{
    om_registry *r = om_registry_create();
    om_cell_t last = 0;
    uint32_t made = 0;
    (void)state;
    assert_non_null(r);
    int family = om_registry_family(r, OM_FAMILY_HISTOGRAM, "h", "x");
    for (uint32_t i = 0; i <= OM_REGISTRY_CELLS / OM_HISTOGRAM_CELLS; i++) {
        last = om_registry_series(r, family, "");
        made += last != OM_CELL_NONE;
    }
    assert_int_equal(made, OM_REGISTRY_CELLS / OM_HISTOGRAM_CELLS);
    assert_int_equal(last, OM_CELL_NONE);
    om_registry_observe(r, last, 5);
    om_registry_add(r, last, 5);
    om_registry_set(r, last, 5);
    assert_int_equal(om_registry_read(r, last), 0);
    for (int i = 1; i < OM_REGISTRY_FAMILIES; i++) {
        assert_true(om_registry_family(r, OM_FAMILY_GAUGE, "g", "x") >= 0);
    }
    assert_int_equal(om_registry_family(r, OM_FAMILY_GAUGE, "g", "x"), -1);
    assert_int_equal(om_registry_series(r, -1, ""), OM_CELL_NONE);
    om_registry_free(r);
}

static void test_precreated(void **state)
{
    om_metrics *m = create();
    (void)state;
    assert_non_null(om_metrics_add_method(m, "omen.v1.Items", "Search"));
    char *page = render(m);
    assert_int_equal(promtext_count(page, "omendb_build_info"), 1);
    assert_int_equal(promtext_count(page, "omendb_grpc_server_handled_total"), OM_METRICS_CODES);
    assert_true(value_of(page, "omendb_grpc_server_handled_total{service=\"omen.v1.Items\","
                               "method=\"Search\",code=\"UNAUTHENTICATED\"}") == 0);
    assert_int_equal(promtext_count(page, "omendb_search_seconds_bucket"), 9 * 21);
    assert_true(value_of(page, "omendb_search_short_total") == 0);
    assert_true(value_of(page, "omendb_ingest_stall_seconds_total{why=\"index_backlog\"}") == 0);
    assert_true(value_of(page, "process_start_time_seconds") > 1e9);
    assert_true(value_of(page, "process_resident_memory_bytes") > 1e5);
    assert_true(value_of(page, "process_virtual_memory_bytes") >=
                value_of(page, "process_resident_memory_bytes"));
    assert_true(value_of(page, "process_open_fds") >= 3);
    assert_true(value_of(page, "process_threads") >= 1);
    /* Without an engine its series are absent, not 0. */
    assert_int_equal(promtext_count(page, "omendb_memory_used_bytes"), 0);
    assert_int_equal(promtext_count(page, "omendb_points"), 0);
    free(page);
    om_metrics_free(m);
}

static void test_rpc(void **state)
{
    om_metrics *m = create();
    om_metrics_method *method = om_metrics_add_method(m, "s", "m");
    (void)state;
    for (int i = 0; i < 3; i++) {
        om_metrics_rpc_started(method);
    }
    om_metrics_rpc_received(method, 100);
    om_metrics_rpc_sent(method, 7);
    om_metrics_rpc_sent(method, 8);
    om_metrics_rpc_handled(method, 0, 30000);
    om_metrics_rpc_handled(method, 999, 40000000000);
    om_metrics_rpc_shed(m, OM_SHED_QUEUE);
    om_metrics_rpc_shed(m, OM_SHED_REASONS); /* unknown: ignored */
    om_metrics_rpc_unimplemented(m);
    om_metrics_accept_failure(m);
    char *page = render(m);
    assert_true(value_of(page, "omendb_grpc_server_started_total{service=\"s\",method=\"m\"}") ==
                3);
    assert_true(value_of(page, "omendb_grpc_server_inflight{service=\"s\",method=\"m\"}") == 1);
    assert_true(value_of(page, "omendb_grpc_server_handled_total{service=\"s\",method=\"m\","
                               "code=\"OK\"}") == 1);
    assert_true(value_of(page, "omendb_grpc_server_handled_total{service=\"s\",method=\"m\","
                               "code=\"UNKNOWN\"}") == 1);
#define SECONDS "omendb_grpc_server_handling_seconds"
#define SERIES "{service=\"s\",method=\"m\""
    assert_true(value_of(page, SECONDS "_bucket" SERIES ",le=\"2.5e-05\"}") == 0);
    assert_true(value_of(page, SECONDS "_bucket" SERIES ",le=\"5e-05\"}") == 1);
    assert_true(value_of(page, SECONDS "_bucket" SERIES ",le=\"30\"}") == 1);
    assert_true(value_of(page, SECONDS "_count" SERIES "}") == 2);
    assert_true(value_of(page, SECONDS "_sum" SERIES "}") == 40.00003);
    assert_true(value_of(page, "omendb_grpc_server_msg_sent_bytes_total" SERIES "}") == 15);
    assert_true(value_of(page, "omendb_grpc_server_msg_sent_total" SERIES "}") == 2);
    assert_true(value_of(page, "omendb_grpc_server_msg_received_bytes_total" SERIES "}") == 100);
    assert_true(value_of(page, "omendb_grpc_server_shed_total{why=\"queue\"}") == 1);
    assert_true(value_of(page, "omendb_grpc_server_unimplemented_total") == 1);
    assert_true(value_of(page, "omendb_grpc_server_accept_failures_total") == 1);
    free(page);
    om_metrics_free(m);
}

static void test_method_limit(void **state)
{
    om_metrics *m = create();
    (void)state;
    for (int i = 0; i < OM_METRICS_MAX_METHODS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "m%d", i);
        om_metrics_method *method = om_metrics_add_method(m, "quote\"d", name);
        assert_non_null(method);
        om_metrics_rpc_started(method);
        om_metrics_rpc_handled(method, 16, 1);
    }
    assert_null(om_metrics_add_method(m, "s", "one too many"));
    om_metrics_rpc_started(NULL);
    char *page = render(m);
    /* The registry has room for all series of all methods. */
    assert_int_equal(promtext_count(page, "omendb_grpc_server_handled_total"),
                     OM_METRICS_MAX_METHODS * OM_METRICS_CODES);
    assert_true(value_of(page, "omendb_grpc_server_handled_total{service=\"quote\\\"d\","
                               "method=\"m63\",code=\"UNAUTHENTICATED\"}") == 1);
    free(page);
    om_metrics_free(m);
}

/* The labels are the engine's names of its plans. */
static void test_plan_names(void **state)
{
    om_metrics *m = create();
    (void)state;
    for (uint32_t plan = OMEN_PLAN_EXACT; plan <= OMEN_PLAN_HYBRID; plan++) {
        char series[96];
        om_metrics_search_event event = {.plan = plan, .ns = 1};
        om_metrics_search(m, &event);
        char *page = render(m);
        (void)snprintf(series, sizeof series, "omendb_search_seconds_count{plan=\"%s\"}",
                       omen_plan_name(plan));
        assert_true(value_of(page, series) == 1);
        free(page);
    }
    om_metrics_free(m);
}

static void test_search_and_ingest(void **state)
{
    om_metrics *m = create();
    om_metrics_search_event graph = {.plan = OMEN_PLAN_GRAPH,
                                     .flags = OM_SEARCH_SHORT,
                                     .ns = 90000,
                                     .distances = 500,
                                     .hops = 20};
    om_metrics_search_event exact = {
        .plan = OMEN_PLAN_EXACT, .flags = OM_SEARCH_PARTIAL, .ns = 9000, .distances = 1000};
    om_metrics_search_event hybrid = {.plan = OMEN_PLAN_HYBRID,
                                      .flags = OM_SEARCH_FILTERED,
                                      .ns = 1,
                                      .filter_ns = 20000,
                                      .postings = 77};
    (void)state;
    om_metrics_search(m, &graph);
    om_metrics_search(m, &exact);
    om_metrics_search(m, &hybrid);
    om_metrics_filter_error(m, OMEN_D_FILTER_SYNTAX);
    om_metrics_filter_error(m, OMEN_D_TYPE);
    om_metrics_filter_error(m, OMEN_D_TYPE);
    om_metrics_filter_error(m, OMEN_D_NO_MEMORY);
    om_metrics_queue_wait(m, 1);
    om_metrics_ingest_batch(m, 100, 51200, false);
    om_metrics_ingest_batch(m, 100, 51200, true);
    om_metrics_ingest_streams(m, 1);
    om_metrics_ingest_streams(m, 1);
    om_metrics_ingest_streams(m, -1);
    om_metrics_ingest_window_bytes(m, 4096);
    om_metrics_ingest_window_bytes(m, -4000);
    om_metrics_ingest_stall(m, OM_STALL_MEMORY, 1500000000);
    om_metrics_tls_reload(m, false);
    om_metrics_tls_expiry(m, 1893456000);
    om_metrics_ready(m, true);
    om_metrics_queues(m, 5, 6);
    om_metrics_log_counts(m, 3, 1);
    om_metrics_log_counts(m, 4, 1);
    char *page = render(m);
    assert_true(value_of(page, "omendb_search_seconds_count{plan=\"graph\"}") == 1);
    assert_true(value_of(page, "omendb_search_seconds_bucket{plan=\"exact\",le=\"1e-05\"}") == 1);
    assert_true(value_of(page, "omendb_search_distances_total{plan=\"exact\"}") == 1000);
    assert_true(value_of(page, "omendb_search_hops_total{plan=\"graph\"}") == 20);
    assert_true(value_of(page, "omendb_search_short_total") == 1);
    assert_true(value_of(page, "omendb_search_seconds_count{plan=\"hybrid\"}") == 1);
    assert_true(value_of(page, "omendb_search_filter_seconds_count") == 1);
    assert_true(value_of(page, "omendb_search_filter_seconds_bucket{le=\"2.5e-05\"}") == 1);
    assert_true(value_of(page, "omendb_search_postings_total") == 77);
    assert_true(value_of(page, "omendb_filter_errors_total{reason=\"FILTER_SYNTAX\"}") == 1);
    assert_true(value_of(page, "omendb_filter_errors_total{reason=\"TYPE\"}") == 2);
    assert_true(value_of(page, "omendb_filter_errors_total{reason=\"OTHER\"}") == 1);
    assert_true(value_of(page, "omendb_search_partial_total") == 1);
    assert_true(value_of(page, "omendb_ingest_rows_total") == 100);
    assert_true(value_of(page, "omendb_ingest_bytes_total") == 51200);
    assert_true(value_of(page, "omendb_ingest_replayed_batches_total") == 1);
    assert_true(value_of(page, "omendb_ingest_streams") == 1);
    assert_true(value_of(page, "omendb_ingest_window_bytes") == 96);
    assert_true(value_of(page, "omendb_ingest_stall_seconds_total{why=\"memory\"}") == 1.5);
    assert_true(value_of(page, "omendb_tls_reloads_total{result=\"failed\"}") == 1);
    assert_true(value_of(page, "omendb_tls_certificate_expiry_timestamp_seconds") == 1893456000);
    assert_true(value_of(page, "omendb_ready") == 1);
    assert_true(value_of(page, "omendb_queue_length{queue=\"ingest\"}") == 6);
    assert_true(value_of(page, "omendb_log_suppressed_lines_total") == 4);
    free(page);
    om_metrics_free(m);
}

enum { THREADS = 8, EACH = 20000 };

static void *report(void *arg)
{
    om_metrics_method *method = arg;
    for (uint64_t i = 0; i < EACH; i++) {
        om_metrics_rpc_started(method);
        om_metrics_rpc_handled(method, (uint32_t)(i % 17), i * 1000);
    }
    return NULL;
}

/* No report is lost, and every page rendered meanwhile is consistent. */
static void test_threads(void **state)
{
    pthread_t threads[THREADS];
    om_metrics *m = create();
    om_metrics_method *method = om_metrics_add_method(m, "s", "m");
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, report, method), 0);
    }
    for (int i = 0; i < 20; i++) {
        free(render(m));
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    char *page = render(m);
    assert_true(value_of(page, "omendb_grpc_server_started_total{service=\"s\",method=\"m\"}") ==
                THREADS * EACH);
    assert_true(value_of(page, SECONDS "_count" SERIES "}") == THREADS * EACH);
    assert_true(value_of(page, "omendb_grpc_server_inflight" SERIES "}") == 0);
    free(page);
    om_metrics_free(m);
}

/* With jemalloc: what the engine takes is seen apart from the rest. */
static void test_heap(void **state)
{
    enum { SIZE = 8 << 20 };
    om_heap_stats before;
    om_heap_stats after;
    (void)state;
    omen_allocator allocator = om_heap_engine_allocator();
    if (!om_heap_get_stats(&before)) {
        assert_null(allocator.alloc);
        skip();
    }
    assert_non_null(allocator.alloc);
    void *p = allocator.alloc(allocator.ctx, SIZE, 64);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    assert_true(om_heap_get_stats(&after));
    assert_true(after.engine_allocated >= before.engine_allocated + SIZE);
    assert_true(after.allocated >= after.engine_allocated);
    allocator.free(allocator.ctx, p, SIZE, 64);
    allocator.free(allocator.ctx, NULL, SIZE, 64);
    p = allocator.alloc(allocator.ctx, 0, 8);
    assert_non_null(p);
    allocator.free(allocator.ctx, p, 0, 8);
    assert_true(om_heap_get_stats(&after));
    assert_int_equal(after.engine_allocated, before.engine_allocated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_refuses),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_page_limit),
        cmocka_unit_test(test_registry_full),
        cmocka_unit_test(test_precreated),
        cmocka_unit_test(test_rpc),
        cmocka_unit_test(test_method_limit),
        cmocka_unit_test(test_plan_names),
        cmocka_unit_test(test_search_and_ingest),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
