/* graph_hostile_test.c - entry bytes and link rows from a damaged file; allocations that fail.
 * SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"

static const fixture_options usual = {.n = 1200,
                                      .dim = 24,
                                      .metric = OMEN_L2,
                                      .threads = 1,
                                      .entry = OMEN_ENTRY_SEEDS,
                                      .m = 8,
                                      .ef_construction = 60,
                                      .quantization = OMEN_QUANT_SQ8};

static om_graph_params params_of(const fixture_options *options)
{
    return (om_graph_params){options->m, options->ef_construction, options->entry, 0, 42};
}

/* Searches a graph made from `bytes`; whatever they hold, no slot is out of range. */
static omen_status_t search_imported(fixture *f, const fixture_options *options,
                                     const uint8_t *bytes, size_t size)
{
    omen_error err;
    om_graph *graph = NULL;
    om_graph_params params = params_of(options);
    omen_status_t status = om_graph_import(&f->alloc, &params, f->n, bytes, size, &graph, &err);
    if (status == OMEN_OK) {
        om_graph *own = f->graph;
        uint64_t keys[32];
        f->graph = graph;
        uint32_t found = fixture_search(f, f->rows, 32, keys, 32);
        for (uint32_t i = 0; i < found; i++) {
            assert_true(om_key_slot(keys[i]) < f->n);
        }
        f->graph = own;
        om_graph_free(graph);
    }
    return status;
}

static void damage(fixture *f, const fixture_options *options)
{
    size_t size = om_graph_export_size(f->graph);
    uint8_t *bytes = om_alloc_get(&f->alloc, size, OM_CACHE_LINE);
    om_graph_export(f->graph, bytes);
    assert_int_equal(search_imported(f, options, bytes, size), OMEN_OK);
    for (size_t cut = 0; cut < size; cut += 1 + size / 61) {
        assert_int_equal(search_imported(f, options, bytes, cut), OMEN_DATA_LOSS);
    }
    uint64_t state = 5;
    for (uint32_t round = 0; round < 400; round++) {
        uint32_t at = round < 64 ? round : om_rng_below(&state, (uint32_t)size);
        uint8_t flip = (uint8_t)(1u << om_rng_below(&state, 8));
        bytes[at] ^= flip;
        omen_status_t status = search_imported(f, options, bytes, size);
        assert_true(status == OMEN_OK || status == OMEN_DATA_LOSS);
        bytes[at] ^= flip;
    }
    om_alloc_put(&f->alloc, bytes, size, OM_CACHE_LINE);
}

static void test_damaged_entry_bytes(void **state)
{
    (void)state;
    for (uint32_t entry = OMEN_ENTRY_SEEDS; entry <= OMEN_ENTRY_HIERARCHY; entry++) {
        fixture f;
        fixture_options options = usual;
        options.entry = entry;
        fixture_open(&f, &options, random_row);
        fixture_index(&f, f.n);
        damage(&f, &options);
        fixture_close(&f);
    }
}

static void test_damaged_links_are_harmless_and_found(void **state)
{
    (void)state;
    fixture f;
    omen_error err;
    om_graph_report report;
    uint64_t keys[32], random = 9;
    fixture_open(&f, &usual, random_row);
    fixture_index(&f, f.n);
    uint32_t words = (uint32_t)(f.link_stride / sizeof(uint32_t));
    for (uint32_t round = 0; round < 300; round++) {
        f.links[om_rng_below(&random, f.n * words)] = (uint32_t)om_rng_next(&random);
        uint32_t found = fixture_search(&f, f.rows + (round % f.n) * f.dim, 32, keys, 32);
        for (uint32_t i = 0; i < found; i++) {
            assert_true(om_key_slot(keys[i]) < f.n);
        }
    }
    assert_int_equal(om_graph_check(f.graph, &f.arrays, &report, &err), OMEN_DATA_LOSS);
    fixture_close(&f);
}

typedef struct failing {
    uint64_t calls, fail_at;
} failing;

static void *failing_alloc(void *ctx, size_t size, size_t align)
{
    failing *state = ctx;
    if (++state->calls == state->fail_at) {
        return NULL;
    }
    void *block = NULL;
    return posix_memalign(&block, align < sizeof(void *) ? sizeof(void *) : align, size) == 0
               ? block
               : NULL;
}

static void failing_free(void *ctx, void *block, size_t size, size_t align)
{
    (void)ctx;
    (void)size;
    (void)align;
    free(block);
}

/* Indexes in batches of 64, retrying each that fails; returns true when an allocation failed. */
static bool index_with_failures(fixture *f, uint32_t end)
{
    bool failed = false;
    omen_error err;
    while (om_graph_count(f->graph) < end) {
        uint32_t before = om_graph_count(f->graph);
        uint32_t n = om_min_u32(64, end - before);
        omen_status_t status = om_graph_insert(f->graph, &f->arrays, n, &om_executor_serial, &err);
        if (status != OMEN_OK) {
            assert_int_equal(status, OMEN_RESOURCE_EXHAUSTED);
            assert_int_equal(om_graph_count(f->graph), before);
            failed = true;
        }
    }
    return failed;
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    for (uint32_t entry = OMEN_ENTRY_SEEDS; entry <= OMEN_ENTRY_HIERARCHY; entry++) {
        bool failed = true;
        for (uint64_t nth = 1; failed && nth < 200; nth++) {
            fixture f;
            failing plan = {0, 0};
            fixture_options options = usual;
            options.entry = entry;
            options.n = 300;
            memset(&f, 0, sizeof f);
            fixture_open(&f, &options, random_row);
            om_alloc own = {{failing_alloc, failing_free, &plan}, NULL};
            om_graph *first = f.graph;
            omen_error err;
            om_graph_params params = params_of(&options);
            assert_int_equal(om_graph_create(&own, &params, &f.graph, &err), OMEN_OK);
            plan.calls = 0;
            plan.fail_at = nth;
            failed = index_with_failures(&f, f.n);
            plan.fail_at = 0;
            om_graph_report report;
            assert_int_equal(om_graph_check(f.graph, &f.arrays, &report, &err), OMEN_OK);
            assert_int_equal(report.nodes, f.n);
            om_graph_free(f.graph);
            f.graph = first;
            fixture_close(&f);
        }
        assert_false(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_entry_bytes),
        cmocka_unit_test(test_damaged_links_are_harmless_and_found),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
