/* engine_merge_graph.c - codec, codes and graph of a merged segment. Memory: a code, a row of links and a
 * counter for each row of the output, whatever the vectors take.
 * SPDX-License-Identifier: Apache-2.0
 *
 * When the oldest input has no dead rows, is a good part of the output, and its codec suits the other
 * rows, the output begins as its copy (codes, links, entry points) and only the others are put into the
 * graph; otherwise everything is made anew, with a codec trained on an even sample. Both depend on the
 * inputs alone. */
#include <string.h>

#include "engine_merge_int.h"
#include "rng.h"

enum { SAMPLE = 16384, SAMPLE_LEAST = 1024, FIT_SAMPLE = 2048, ENCODE_TASK = 256, BASE_IN = 4 };
/* The sample takes 64 MiB at most, as that of a growing segment, and a sixteenth of a memory limit. */
#define SAMPLE_BYTES (UINT64_C(64) << 20)
enum { SAMPLE_BUDGET_IN = 16 };
/* As there: more clipped rows, and more clipped components, mean that a codec does not fit. */
enum { CLIPPED_ROWS_IN = 50, CLIPPED_COMPONENTS_IN = 200 };

/* ---- Vectors as floats ------------------------------------------------------------------------- */
static size_t scratch_floats(const om_merge *merge, const om_codec *codec)
{
    return om_round_up(merge->options->dim, 16) + om_round_up(om_codec_scratch(codec), 16);
}

static bool is_zero(const om_merge *merge, const om_run *run, uint32_t i)
{
    return merge->options->metric == OMEN_COSINE && run->source->norms[run->slots[i]] == 0;
}

/* A zero vector under cosine points somewhere, the same way for a slot every time (engine_encode.c says
 * why). */
static const float *some_direction(uint32_t slot, uint32_t dim, float *out)
{
    uint64_t state = slot;
    for (uint32_t i = 0; i < dim; i++) {
        out[i] = (om_rng_next(&state) >> 63) != 0 ? 1.0f : -1.0f;
    }
    return out;
}

/* What stands for row i of a run in the graph. */
static const float *floats_of(const om_merge *merge, const om_run *run, uint32_t i, float *out)
{
    const void *row = om_run_vector(merge, run, i);
    if (is_zero(merge, run, i)) {
        return some_direction(run->first + i, merge->options->dim, out);
    }
    if (merge->options->dtype == OMEN_F32) {
        return row;
    }
    om_to_f32(merge->rt->kernels, merge->options->dtype, row, out, merge->options->dim);
    return out;
}

static omen_status_t touch_vectors(const om_merge *merge, const om_run *run, omen_error *err)
{
    omen_status_t status = om_run_touch(merge, run, OM_TOUCH_VECTORS, err);
    if (status == OMEN_OK && merge->options->metric == OMEN_COSINE) {
        status = om_run_touch(merge, run, OM_TOUCH_NORMS, err);
    }
    return status;
}

/* ---- The codec --------------------------------------------------------------------------------- */
/* `n` rows spread evenly over rows [from, merge->rows), as floats. */
static omen_status_t fill_sample(const om_merge *merge, uint32_t from, uint32_t n, float *sample,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t dim = merge->options->dim;
    uint64_t span = merge->rows - from;
    uint64_t at = 0;
    om_run run = {.n = 0};
    for (uint32_t i = 0; i < n; i++) {
        uint64_t want = from + i * span / n;
        if (!om_run_seek(merge, &run, want - at)) {
            break; /* never: live rows were counted */
        }
        at = want + 1;
        OM_TRY(om_run_touch(merge, &run, OM_TOUCH_VECTORS, err));
        om_to_f32(merge->rt->kernels, merge->options->dtype, om_run_vector(merge, &run, 0),
                  sample + (size_t)i * dim, dim);
    }
out:
    return status;
}

/* A function of options and limits, not of what is in use: merges of the same inputs give the same bytes. */
static uint32_t sample_rows(const om_merge *merge)
{
    uint64_t limit = merge->rt->budget.limit;
    uint64_t bytes = limit != 0 ? om_min_u64(limit / SAMPLE_BUDGET_IN, SAMPLE_BYTES) : SAMPLE_BYTES;
    uint64_t rows = bytes / (merge->options->dim * sizeof(float));
    return rows < SAMPLE_LEAST ? SAMPLE_LEAST : (uint32_t)om_min_u64(rows, SAMPLE);
}

static omen_status_t train(om_merge *merge, const om_codec_params *params, omen_error *err)
{
    const om_alloc *alloc = &merge->rt->alloc;
    uint32_t n = om_min_u32(merge->rows, sample_rows(merge));
    size_t bytes = (size_t)n * merge->options->dim * sizeof(float);
    float *sample = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
    if (sample == NULL) {
        return om_fail_memory(err, "training sample", bytes);
    }
    omen_status_t status = fill_sample(merge, 0, n, sample, err);
    if (status == OMEN_OK) {
        status = om_codec_train(alloc, params, sample, n, &merge->codec, err);
    }
    om_alloc_put(alloc, sample, bytes, OM_CACHE_LINE);
    return status;
}

/* ---- Codes ------------------------------------------------------------------------------------- */
typedef struct coder {
    const om_merge *merge;
    const om_run *run;
    float *scratch; /* [threads * per_worker] */
    size_t per_worker;
} coder;

static void encode_task(void *ctx, uint32_t worker, uint32_t task)
{
    const coder *k = ctx;
    const om_merge *merge = k->merge;
    float *floats = k->scratch + worker * k->per_worker;
    float *scratch = floats + om_round_up(merge->options->dim, 16);
    uint32_t end = om_min_u32((task + 1) * ENCODE_TASK, k->run->n);
    for (uint32_t i = task * ENCODE_TASK; i < end; i++) {
        uint8_t *code = merge->codes.base + (size_t)(k->run->first + i) * merge->layout.code_stride;
        (void)om_codec_encode(merge->codec, floats_of(merge, k->run, i, floats), scratch, code);
    }
}

static omen_status_t encode_with(om_merge *merge, coder *k, uint32_t from, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_executor *executor = merge->rt->executor;
    om_run run = {.n = 0};
    bool more =
        from == 0 ? om_run_next(merge, &run, om_run_most(merge)) : om_run_seek(merge, &run, from);
    for (; more; more = om_run_next(merge, &run, om_run_most(merge))) {
        OM_TRY(om_merge_stopped(merge, err));
        OM_TRY(touch_vectors(merge, &run, err));
        k->run = &run;
        executor->run(executor, encode_task, k, (run.n + ENCODE_TASK - 1) / ENCODE_TASK);
        om_run_done(merge, &run, OM_TOUCH_VECTORS);
        om_op_report(merge->job->op, OM_MERGE_CODES, run.first + run.n, merge->rows);
    }
out:
    return status;
}

/* Codes of rows [from, merge->rows), by all threads. */
static omen_status_t encode(om_merge *merge, uint32_t from, omen_error *err)
{
    uint32_t threads = merge->rt->executor->threads;
    coder k = {.merge = merge, .per_worker = scratch_floats(merge, merge->codec)};
    size_t bytes = threads * k.per_worker * sizeof(float);
    k.scratch = om_alloc_get(&merge->rt->alloc, bytes, OM_CACHE_LINE);
    if (k.scratch == NULL) {
        return om_fail_memory(err, "encoding", bytes);
    }
    omen_status_t status = encode_with(merge, &k, from, err);
    om_alloc_put(&merge->rt->alloc, k.scratch, bytes, OM_CACHE_LINE);
    return status;
}

/* ---- The oldest input as a beginning ----------------------------------------------------------- */
static bool may_begin_with(const om_merge *merge, const om_merge_source *first,
                           const om_graph_params *params)
{
    return first->mapped != NULL && params->entry == OMEN_ENTRY_SEEDS &&
           first->input.live == first->input.rows && first->input.rows == first->mapped->rows &&
           first->input.rows >= merge->rows / BASE_IN;
}

/* Whether rows from `from` on are coded well by a codec that did not see them. */
static omen_status_t fits_others(const om_merge *merge, const om_codec *codec, uint32_t from,
                                 bool *fits, omen_error *err)
{
    const om_alloc *alloc = &merge->rt->alloc;
    omen_status_t status = OMEN_OK;
    uint32_t dim = merge->options->dim;
    uint32_t n = om_min_u32(merge->rows - from, FIT_SAMPLE);
    size_t floats = (size_t)n * dim * sizeof(float);
    size_t scratch_bytes = om_codec_scratch(codec) * sizeof(float);
    uint64_t rows = 0;
    uint64_t components = 0;
    float *sample = om_alloc_get(alloc, floats, OM_CACHE_LINE);
    float *scratch = om_alloc_get(alloc, scratch_bytes, OM_CACHE_LINE);
    uint8_t *code = om_alloc_get(alloc, merge->layout.code_stride, OM_CACHE_LINE);
    if (sample == NULL || scratch == NULL || code == NULL) {
        status = om_fail_memory(err, "a look at the codec", floats + scratch_bytes);
        goto out;
    }
    OM_TRY(fill_sample(merge, from, n, sample, err));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t clipped = om_codec_encode(codec, sample + (size_t)i * dim, scratch, code);
        rows += clipped != 0;
        components += clipped;
    }
    *fits = rows * CLIPPED_ROWS_IN <= n || components * CLIPPED_COMPONENTS_IN <= (uint64_t)n * dim;
out:
    om_alloc_put(alloc, code, merge->layout.code_stride, OM_CACHE_LINE);
    om_alloc_put(alloc, scratch, scratch_bytes, OM_CACHE_LINE);
    om_alloc_put(alloc, sample, floats, OM_CACHE_LINE);
    return status;
}

/* A codec of our own: the input's goes with the input. */
static omen_status_t copy_codec(om_merge *merge, const om_codec *codec, omen_error *err)
{
    const om_alloc *alloc = &merge->rt->alloc;
    size_t size = om_codec_export_size(codec);
    uint8_t *bytes = om_alloc_get(alloc, size, OM_CACHE_LINE);
    if (bytes == NULL) {
        return om_fail_memory(err, "codec", size);
    }
    om_codec_export(codec, bytes);
    omen_status_t status = om_codec_import(alloc, bytes, size, &merge->codec, err);
    om_alloc_put(alloc, bytes, size, OM_CACHE_LINE);
    return status;
}

/* Links out of a file, each looked at: the builder follows them without asking. Counts who is linked to. */
static omen_status_t copy_links(om_merge *merge, const om_section *from, uint32_t rows,
                                omen_error *err)
{
    uint32_t words = (uint32_t)(merge->layout.link_stride / sizeof(uint32_t));
    uint32_t *incoming = (uint32_t *)(void *)merge->incoming.base;
    uint32_t *links = (uint32_t *)(void *)merge->links.base;
    memcpy(links, from->data, (size_t)rows * merge->layout.link_stride);
    for (uint32_t slot = 0; slot < rows; slot++) {
        const uint32_t *row = links + (size_t)slot * words;
        bool sound = row[0] < 2 * merge->options->m && row[0] < words;
        for (uint32_t i = 1; sound && i <= row[0]; i++) {
            sound = row[i] < rows && row[i] != slot;
            if (sound) {
                incoming[row[i]]++;
            }
        }
        if (!sound) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                           "segment file: the links of slot %u are damaged", slot);
        }
    }
    return OMEN_OK;
}

static omen_status_t begin_with(om_merge *merge, const om_merge_source *first,
                                const om_graph_params *params, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_mapped *mapped = first->mapped;
    const om_section *entry = &mapped->section[OM_SECTION_ENTRY];
    uint32_t rows = first->input.rows;
    OM_TRY(om_mapped_ready(first->input.segment, merge->job->stop, err));
    memcpy(merge->codes.base, mapped->section[OM_SECTION_CODES].data,
           (size_t)rows * merge->layout.code_stride);
    OM_TRY(copy_links(merge, &mapped->section[OM_SECTION_LINKS], rows, err));
    OM_TRY(om_segfile_verify(mapped->file, entry, 0, entry->bytes, err));
    OM_TRY(om_graph_import(&merge->rt->alloc, params, rows, entry->data, (size_t)entry->bytes,
                           &merge->graph, err));
out:
    return status;
}

/* ---- The graph --------------------------------------------------------------------------------- */
static omen_status_t array_of(om_merge *merge, om_vm *vm, size_t row, omen_error *err)
{
    size_t bytes = row * merge->rows;
    omen_status_t status = om_vm_reserve(vm, bytes, &merge->rt->budget, err);
    return status != OMEN_OK ? status : om_vm_commit(vm, bytes, err);
}

static omen_status_t make_arrays(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(array_of(merge, &merge->codes, merge->layout.code_stride, err));
    OM_TRY(array_of(merge, &merge->links, merge->layout.link_stride, err));
    OM_TRY(array_of(merge, &merge->incoming, sizeof(uint32_t), err));
out:
    return status;
}

static omen_status_t insert_all(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_graph_arrays arrays = {.codec = merge->codec,
                              .codes = merge->codes.base,
                              .links = (uint32_t *)(void *)merge->links.base,
                              .incoming = (uint32_t *)(void *)merge->incoming.base};
    for (uint32_t at = om_graph_count(merge->graph); at < merge->rows;) {
        uint32_t end = om_min_u32(om_graph_batch_end(at), merge->rows);
        OM_TRY(om_merge_stopped(merge, err));
        OM_TRY(om_graph_insert(merge->graph, &arrays, end - at, merge->rt->executor, err));
        at = end;
        om_op_report(merge->job->op, OM_MERGE_GRAPH, at, merge->rows);
    }
out:
    return status;
}

/* Which way the output begins, and its codec. */
static omen_status_t begin_codec(om_merge *merge, bool *takes_over, omen_error *err)
{
    const om_merge_source *first = &merge->sources[0];
    const om_segment *seg = first->input.segment;
    omen_status_t status = OMEN_OK;
    *takes_over = false;
    if (may_begin_with(merge, first, &seg->graph_params)) {
        OM_TRY(fits_others(merge, first->mapped->codec, first->input.rows, takes_over, err));
    }
    if (*takes_over) {
        OM_TRY(copy_codec(merge, first->mapped->codec, err));
    } else {
        OM_TRY(train(merge, &seg->codec_params, err));
    }
    om_assert(om_codec_stride(merge->codec) == merge->layout.code_stride);
out:
    return status;
}

omen_status_t om_merge_graph(om_merge *merge, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_merge_source *first = &merge->sources[0];
    const om_graph_params *params = &first->input.segment->graph_params;
    bool takes_over = false;
    OM_TRY(begin_codec(merge, &takes_over, err));
    OM_TRY(make_arrays(merge, err)); /* when the samples are gone */
    if (takes_over) {
        OM_TRY(begin_with(merge, first, params, err));
    } else {
        OM_TRY(om_graph_create(&merge->rt->alloc, params, &merge->graph, err));
    }
    OM_TRY(encode(merge, om_graph_count(merge->graph), err));
    OM_TRY(insert_all(merge, err));
out:
    return status;
}
