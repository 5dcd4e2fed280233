/* graph_fixture.c - see graph_fixture.h.  SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"

void random_row(uint32_t i, uint32_t dim, float *row)
{
    uint64_t state = om_mix64(i + 1);
    for (uint32_t j = 0; j < dim; j++) {
        row[j] = (float)om_rng_below(&state, 2001) / 1000.0f - 1.0f;
    }
}

static void *zeroed(const om_alloc *alloc, size_t count, size_t size)
{
    void *block = om_alloc_zero(alloc, count, size, OM_CACHE_LINE);
    assert_non_null(block);
    return block;
}

void fixture_open(fixture *f, const fixture_options *options, make_row_fn make)
{
    omen_error err;
    om_codec_params params = {options->dim,          options->metric, OMEN_F32,
                              options->quantization, OMEN_ROTATE_OFF, 1};
    om_graph_params graph = {options->m, options->ef_construction, options->entry, 0, 42};
    memset(f, 0, sizeof *f);
    f->alloc.budget = &f->budget;
    f->n = options->n;
    f->dim = options->dim;
    f->metric = options->metric;
    f->rows = zeroed(&f->alloc, (size_t)f->n * f->dim, sizeof(float));
    for (uint32_t i = 0; i < f->n; i++) {
        make(i, f->dim, f->rows + (size_t)i * f->dim);
    }
    assert_int_equal(om_codec_train(&f->alloc, &params, f->rows, f->n, &f->codec, &err), OMEN_OK);
    f->stride = om_codec_stride(f->codec);
    f->link_stride = om_graph_link_stride(options->m);
    f->codes = zeroed(&f->alloc, f->n, f->stride);
    f->links = zeroed(&f->alloc, f->n, f->link_stride);
    f->incoming = zeroed(&f->alloc, f->n, sizeof(uint32_t));
    f->scratch = zeroed(&f->alloc, om_codec_scratch(f->codec) + 1, sizeof(float));
    f->probe = zeroed(&f->alloc, 1, f->stride);
    for (uint32_t i = 0; i < f->n; i++) {
        (void)om_codec_encode(f->codec, f->rows + (size_t)i * f->dim, f->scratch,
                              f->codes + (size_t)i * f->stride);
    }
    f->arrays = (om_graph_arrays){f->codec, f->codes, f->links, f->incoming};
    assert_int_equal(om_graph_create(&f->alloc, &graph, &f->graph, &err), OMEN_OK);
    assert_int_equal(om_pool_create(&f->alloc, options->threads, &f->pool, &err), OMEN_OK);
    assert_int_equal(om_graph_ctx_create(&f->alloc, &f->ctx, &err), OMEN_OK);
}

void fixture_index(fixture *f, uint32_t end)
{
    omen_error err;
    while (om_graph_count(f->graph) < end) {
        uint32_t first = om_graph_count(f->graph);
        uint32_t batch = om_min_u32(om_graph_batch_end(first), end) - first;
        assert_int_equal(
            om_graph_insert(f->graph, &f->arrays, batch, om_pool_executor(f->pool), &err), OMEN_OK);
    }
}

void fixture_close(fixture *f)
{
    size_t scratch = om_codec_scratch(f->codec) + 1;
    om_graph_ctx_free(f->ctx);
    om_graph_free(f->graph);
    om_codec_free(f->codec);
    om_pool_free(f->pool);
    om_alloc_put(&f->alloc, f->rows, (size_t)f->n * f->dim * sizeof(float), OM_CACHE_LINE);
    om_alloc_put(&f->alloc, f->codes, f->n * f->stride, OM_CACHE_LINE);
    om_alloc_put(&f->alloc, f->links, f->n * f->link_stride, OM_CACHE_LINE);
    om_alloc_put(&f->alloc, f->incoming, f->n * sizeof(uint32_t), OM_CACHE_LINE);
    om_alloc_put(&f->alloc, f->scratch, scratch * sizeof(float), OM_CACHE_LINE);
    om_alloc_put(&f->alloc, f->probe, f->stride, OM_CACHE_LINE);
    assert_int_equal(f->budget.used, 0);
}

uint32_t fixture_search(fixture *f, const float *query, uint32_t ef, uint64_t *keys, uint32_t k)
{
    omen_error err;
    om_graph_view *view = NULL;
    om_probe probe;
    const uint64_t *beam = NULL;
    uint32_t found = 0;
    om_graph_counters counters = {0};
    assert_int_equal(om_graph_view_create(f->graph, &f->arrays, &view, &err), OMEN_OK);
    assert_int_equal(om_graph_ctx_reserve(f->ctx, view, ef, &err), OMEN_OK);
    om_codec_query(f->codec, query, f->scratch, f->probe, &probe);
    assert_int_equal(om_graph_search(view, f->ctx, &probe, ef, NULL, &beam, &found, &counters),
                     OMEN_OK);
    found = om_min_u32(found, k);
    if (found > 0) {
        memcpy(keys, beam, found * sizeof *keys);
    }
    om_graph_view_free(view);
    return found;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint32_t fixture_brute(fixture *f, const float *query, uint64_t *keys, uint32_t k)
{
    uint32_t n = om_graph_count(f->graph);
    uint64_t *all = zeroed(&f->alloc, n + 1u, sizeof *all);
    om_probe probe;
    om_codec_query(f->codec, query, f->scratch, f->probe, &probe);
    for (uint32_t i = 0; i < n; i++) {
        int32_t distance;
        om_kernels_by_name("scalar")->gather[probe.kind](&probe, f->codes, f->stride, &i, 1,
                                                         &distance);
        all[i] = om_key_pack(distance, i);
    }
    qsort(all, n, sizeof *all, compare_keys);
    uint32_t found = om_min_u32(n, k);
    memcpy(keys, all, found * sizeof *keys);
    om_alloc_put(&f->alloc, all, (n + 1u) * sizeof *all, OM_CACHE_LINE);
    return found;
}

double fixture_recall(fixture *f, uint32_t queries, uint32_t k, uint32_t ef)
{
    uint64_t got[256], want[256];
    uint32_t hits = 0, wanted = 0;
    assert_true(k <= 256);
    for (uint32_t q = 0; q < queries; q++) {
        const float *query = f->rows + (size_t)q * (f->n / queries) * f->dim;
        uint32_t found = fixture_search(f, query, ef, got, k);
        uint32_t all = fixture_brute(f, query, want, k);
        int32_t worst = om_key_distance(want[all - 1]);
        wanted += all;
        for (uint32_t i = 0; i < found; i++) {
            hits += om_key_distance(got[i]) <= worst;
        }
    }
    return (double)hits / wanted;
}
