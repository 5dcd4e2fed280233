/* engine_recall.c - recall, measured: sampled queries as a user would search them, and exactly.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "engine_int.h"

enum { DEFAULT_K = 10, DEFAULT_SAMPLES = 200, CHUNK = 64, TRIES = 64 };

typedef struct measure {
    om_collection *c;
    const omen_collection *handle;
    const omen_recall_options *opt;
    omen_op *op;
    uint32_t k, samples, dtype;
    uint64_t stride, rng;
    float *queries; /* [CHUNK * dim]            */
    uint64_t *keys; /* [CHUNK * k], two of them */
    float *distances;
    uint32_t *counts;
    omen_explain *explain;
    double found, wanted, graph_distances;
} measure;

static void free_buffers(measure *m)
{
    const om_alloc *alloc = &m->c->rt->alloc;
    size_t hits = (size_t)CHUNK * m->k * 2;
    om_alloc_put(alloc, m->queries, (size_t)CHUNK * m->c->options.dim * sizeof(float),
                 OM_CACHE_LINE);
    om_alloc_put(alloc, m->keys, hits * sizeof *m->keys, OM_CACHE_LINE);
    om_alloc_put(alloc, m->distances, hits * sizeof *m->distances, OM_CACHE_LINE);
    om_alloc_put(alloc, m->counts, 2 * CHUNK * sizeof *m->counts, OM_CACHE_LINE);
    om_alloc_put(alloc, m->explain, CHUNK * sizeof *m->explain, OM_CACHE_LINE);
}

static omen_status_t make_buffers(measure *m, omen_error *err)
{
    const om_alloc *alloc = &m->c->rt->alloc;
    size_t hits = (size_t)CHUNK * m->k * 2;
    size_t floats = (size_t)CHUNK * m->c->options.dim;
    m->queries = om_alloc_get(alloc, floats * sizeof(float), OM_CACHE_LINE);
    m->keys = om_alloc_get(alloc, hits * sizeof *m->keys, OM_CACHE_LINE);
    m->distances = om_alloc_get(alloc, hits * sizeof *m->distances, OM_CACHE_LINE);
    m->counts = om_alloc_get(alloc, 2 * CHUNK * sizeof *m->counts, OM_CACHE_LINE);
    m->explain = om_alloc_get(alloc, CHUNK * sizeof *m->explain, OM_CACHE_LINE);
    if (m->queries == NULL || m->keys == NULL || m->distances == NULL || m->counts == NULL ||
        m->explain == NULL) {
        return om_fail_memory(err, "recall buffers", (floats + hits * 3) * sizeof(float));
    }
    return OMEN_OK;
}

/* Row number `at` of the segments, one after the other. */
static om_place place_of(const om_reader *from, uint64_t at, uint32_t *part)
{
    for (*part = 0; *part < from->set->count; (*part)++) {
        uint32_t rows = om_reader_rows(from, *part);
        if (at < rows) {
            return (om_place){.segment = from->set->part[*part], .slot = (uint32_t)at};
        }
        at -= rows;
    }
    return (om_place){.segment = NULL};
}

/* A live row at random, or none when a few tries and then a look at all rows found only dead ones. */
static omen_status_t sample_place(measure *m, const om_reader *from, uint64_t rows, om_place *out,
                                  omen_error *err)
{
    bool dead = true;
    for (uint64_t i = 0; i < TRIES + rows && dead; i++) {
        uint32_t part = 0;
        uint64_t at = i < TRIES ? om_rng_below(&m->rng, (uint32_t)rows) : i - TRIES;
        *out = place_of(from, at, &part);
        if (out->segment == NULL) {
            break;
        }
        omen_status_t status = om_reader_dead(from, part, out->slot, &dead, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    if (dead) {
        out->segment = NULL;
    }
    return OMEN_OK;
}

/* Copies n stored rows as queries; *n falls to what there is. Epoch pinned. */
static omen_status_t sample_rows(measure *m, uint32_t *n, omen_error *err)
{
    om_reader from = om_reader_of(m->handle);
    uint32_t dim = m->c->options.dim;
    uint64_t rows = 0;
    for (uint32_t part = 0; part < from.set->count; part++) {
        rows += om_reader_rows(&from, part);
    }
    rows = om_min_u64(rows, OMEN_MAX_ROWS);
    for (uint32_t i = 0; i < *n; i++) {
        om_place place = {.segment = NULL};
        omen_status_t status = rows == 0 ? OMEN_OK : sample_place(m, &from, rows, &place, err);
        if (status == OMEN_OK && place.segment == NULL) {
            *n = i;
            return OMEN_OK;
        }
        if (status == OMEN_OK && place.segment->mapped != NULL) {
            status = om_mapped_touch(place.segment->mapped, OM_TOUCH_VECTORS, place.slot, 1, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
        om_to_f32(m->c->rt->kernels, m->c->options.dtype,
                  om_view_load(place.segment)->vectors +
                      (size_t)place.slot * place.segment->layout.row_bytes,
                  m->queries + (size_t)i * dim, dim);
    }
    return OMEN_OK;
}

static omen_status_t sample_pinned(measure *m, uint32_t *n, omen_error *err)
{
    om_ctx *ctx = NULL;
    omen_status_t status = om_ctx_acquire(m->c->rt, &ctx, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(m->c->rt, ctx);
    status = sample_rows(m, n, err);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return status;
}

static omen_status_t search_both(measure *m, const void *queries, uint32_t n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_collection handle = *m->handle;
    bool own = m->opt->vectors == NULL;
    size_t half = (size_t)CHUNK * m->k;
    omen_query query = {.struct_size = sizeof query,
                        .flags = m->opt->flags & OMEN_GRAPH_ONLY,
                        .vectors = queries,
                        .stride = own ? 0 : m->stride,
                        .dtype = own ? OMEN_F32 : m->dtype,
                        .dim = m->c->options.dim,
                        .count = n,
                        .k = m->k,
                        .ef = m->opt->ef,
                        .op = m->op};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = m->keys,
                      .distances = m->distances,
                      .counts = m->counts,
                      .explain = m->explain};
    OM_TRY(om_collection_search(&handle, &query, &hits, err));
    query.flags = OMEN_EXACT;
    hits.keys = m->keys + half;
    hits.distances = m->distances + half;
    hits.counts = m->counts + CHUNK;
    hits.explain = NULL;
    OM_TRY(om_collection_search(&handle, &query, &hits, err));
out:
    return status;
}

/* A hit counts when it is as near as the last exact one: which of several rows at the same
 * distance is returned is nobody's loss. */
static void compare(measure *m, uint32_t n)
{
    size_t half = (size_t)CHUNK * m->k;
    for (uint32_t q = 0; q < n; q++) {
        uint32_t exact = m->counts[CHUNK + q];
        if (exact == 0) {
            continue;
        }
        float limit = m->distances[half + (size_t)q * m->k + exact - 1];
        uint32_t hit = 0;
        for (uint32_t i = 0; i < m->counts[q] && i < exact; i++) {
            hit += m->distances[(size_t)q * m->k + i] <= limit;
        }
        m->found += hit;
        m->wanted += exact;
        m->graph_distances += (double)(m->explain[q].distances + m->explain[q].scanned);
    }
}

static omen_status_t run_samples(measure *m, uint32_t *done, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (*done = 0; *done < m->samples;) {
        uint32_t n = om_min_u32(CHUNK, m->samples - *done);
        const void *queries = m->queries;
        if (m->opt->vectors != NULL) {
            queries = (const uint8_t *)m->opt->vectors + (uint64_t)*done * m->stride;
        } else {
            OM_TRY(sample_pinned(m, &n, err));
        }
        if (n == 0) {
            break;
        }
        OM_TRY(search_both(m, queries, n, err));
        compare(m, n);
        *done += n;
        om_op_report(m->op, 0, *done, m->samples);
    }
out:
    return status;
}

/* Wilson's score interval at 95 %: it stays inside 0 to 1 and is honest for few samples. */
static void summarize(const measure *m, uint32_t samples, omen_recall *out)
{
    const double z = 1.959963984540054;
    double n = m->wanted;
    double p = n > 0 ? m->found / n : 1;
    double scale = n > 0 ? 1 + z * z / n : 1;
    double middle = n > 0 ? (p + z * z / (2 * n)) / scale : 0.5;
    double half = n > 0 ? z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale : 0.5;
    out->samples = samples;
    out->recall = p;
    out->low = fmax(0, fmin(p, middle - half));
    out->high = fmin(1, fmax(p, middle + half));
    out->distances = samples != 0 ? m->graph_distances / samples : 0;
}

static omen_status_t check_options(measure *m, omen_error *err)
{
    const omen_recall_options *opt = m->opt;
    const omen_options *o = &m->c->options;
    if ((opt->flags & ~(uint32_t)OMEN_GRAPH_ONLY) != 0 || opt->reserved != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "recall flags: unknown bits 0x%x",
                       opt->flags);
    }
    if (m->k > OMEN_MAX_K || opt->ef > OMEN_MAX_EF || m->samples > OMEN_MAX_QUERIES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "k %u is above %u, ef %u above %u or samples %u above %u", m->k, OMEN_MAX_K,
                       opt->ef, OMEN_MAX_EF, m->samples, OMEN_MAX_QUERIES);
    }
    if (opt->vectors == NULL) {
        return OMEN_OK;
    }
    if (opt->dim != o->dim) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_DIM_MISMATCH,
                       "dim: %u, the collection has %u", opt->dim, o->dim);
    }
    m->dtype = opt->dtype != 0 ? opt->dtype : o->dtype;
    uint64_t row = (uint64_t)o->dim * om_dtype_width(m->dtype);
    m->stride = opt->stride != 0 ? opt->stride : row;
    if (row == 0 || m->stride < row || m->stride > PTRDIFF_MAX / OMEN_MAX_QUERIES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "dtype %u or stride %llu does not fit", opt->dtype,
                       (unsigned long long)opt->stride);
    }
    return OMEN_OK;
}

omen_status_t om_collection_recall(omen_collection *handle, const omen_recall_options *opt,
                                   omen_recall *out, omen_op *op, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t done = 0;
    measure m = {.c = handle->c,
                 .handle = handle,
                 .opt = opt,
                 .op = op,
                 .k = opt->k != 0 ? opt->k : DEFAULT_K,
                 .samples = opt->samples != 0 ? opt->samples : DEFAULT_SAMPLES,
                 .rng = opt->seed};
    uint64_t rejections = om_rejections(m.c->rt);
    OM_TRY(om_collection_alive(m.c, err));
    OM_TRY(check_options(&m, err));
    status = make_buffers(&m, err);
    if (status == OMEN_OK) {
        status = run_samples(&m, &done, err);
    }
    if (status == OMEN_OK) {
        summarize(&m, done, out);
    }
    free_buffers(&m);
out:
    return om_explain_memory(m.c->rt, rejections, status, err);
}
