/* engine_encode.c - the codec of a growing segment: trained on its first rows, trained again when
 * it fits badly; and the codes of rows. Everything here depends on slot numbers alone, never on
 * timing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

enum {
    SECOND_BORDER = 16384,
    SAMPLE = 16384,
    WINDOW_BITS = 10,
    ENCODE_STEP = 65536,
    ENCODE_TASK = 512
};
#define WINDOW_ROWS (1u << WINDOW_BITS)
#define SAMPLE_FLOATS UINT64_C(16777216) /* 64 MiB of floats are the most that training may need */
/* A window with more clipped rows, or more clipped components, than this no longer fits the
 * codec: one row in fifty with a component out of range, or one component in two hundred. */
enum { CLIPPED_ROWS_IN = 50, CLIPPED_COMPONENTS_IN = 200 };

typedef struct coder {
    om_segment *seg;
    om_executor *executor;
    const om_codec *codec;
    om_codes *codes;
    om_window *windows;
    float *scratch; /* [threads * per_worker] */
    size_t per_worker;
    uint32_t first, last;
} coder;

static size_t scratch_floats(const om_segment *seg, const om_codec *codec)
{
    return om_round_up(seg->options.dim, 16) + om_round_up(om_codec_scratch(codec), 16);
}

static const uint8_t *raw_row(const om_segment *seg, uint32_t slot)
{
    return seg->store->array[OM_A_VECTORS].base + (size_t)slot * seg->layout.row_bytes;
}

/* The row as floats; copies only when it has to. */
static const float *row_floats(const om_segment *seg, uint32_t slot, float *out)
{
    const void *row = raw_row(seg, slot);
    if (seg->options.dtype == OMEN_F32) {
        return row;
    }
    om_to_f32(seg->rt->kernels, seg->options.dtype, row, out, seg->options.dim);
    return out;
}

/* A zero vector under cosine. It has no direction; coded as it is it would be nearer to every unit
 * vector than those are to each other, and the links of the whole graph would go through it. So its
 * code points somewhere, the same way for a slot every time; its distance is still 1, since hits are
 * scored in full precision. */
static const float *some_direction(const om_segment *seg, uint32_t slot, float *out)
{
    uint64_t state = slot;
    for (uint32_t i = 0; i < seg->options.dim; i++) {
        out[i] = (om_rng_next(&state) >> 63) != 0 ? 1.0f : -1.0f;
    }
    return out;
}

static const float *floats_to_encode(const om_segment *seg, uint32_t slot, float *out)
{
    if (seg->options.metric == OMEN_COSINE) {
        const float *norms = (const void *)seg->store->array[OM_A_NORMS].base;
        if (norms[slot] == 0) {
            return some_direction(seg, slot, out);
        }
    }
    return row_floats(seg, slot, out);
}

static void encode_task(void *ctx, uint32_t worker, uint32_t task)
{
    const coder *k = ctx;
    om_segment *seg = k->seg;
    uint32_t from = k->first + task * ENCODE_TASK;
    uint32_t to = om_min_u32(from + ENCODE_TASK, k->last);
    float *floats = k->scratch + worker * k->per_worker;
    float *scratch = floats + om_round_up(seg->options.dim, 16);
    for (uint32_t slot = from; slot < to; slot++) {
        uint8_t *code = k->codes->array.base + (size_t)slot * seg->layout.code_stride;
        uint32_t clipped =
            om_codec_encode(k->codec, floats_to_encode(seg, slot, floats), scratch, code);
        if (clipped != 0) {
            om_window *window = &k->windows[slot >> WINDOW_BITS];
            atomic_fetch_add_explicit(&window->rows, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&window->components, clipped, memory_order_relaxed);
        }
    }
}

/* Codes of rows [first, last), by all threads. */
static omen_status_t encode_rows(om_segment *seg, coder *k, omen_error *err)
{
    uint32_t threads = k->executor->threads;
    k->per_worker = scratch_floats(seg, k->codec);
    size_t bytes = threads * k->per_worker * sizeof(float);
    k->scratch = om_alloc_get(&seg->rt->alloc, bytes, OM_CACHE_LINE);
    if (k->scratch == NULL) {
        return om_fail_memory(err, "encoding", bytes);
    }
    uint32_t tasks = (k->last - k->first + ENCODE_TASK - 1) / ENCODE_TASK;
    k->executor->run(k->executor, encode_task, k, tasks);
    om_alloc_put(&seg->rt->alloc, k->scratch, bytes, OM_CACHE_LINE);
    return OMEN_OK;
}

static omen_status_t reserve_windows(om_segment *seg, uint32_t rows, omen_error *err)
{
    uint32_t needed = (rows >> WINDOW_BITS) + 1;
    if (needed <= seg->window_count) {
        return OMEN_OK;
    }
    needed = om_max_u32(needed, seg->window_count * 2);
    om_window *windows = om_alloc_zero(&seg->rt->alloc, needed, sizeof *windows, OM_CACHE_LINE);
    if (windows == NULL) {
        return om_fail_memory(err, "clipping counters", needed * sizeof *windows);
    }
    for (uint32_t i = 0; i < seg->window_count; i++) {
        atomic_init(&windows[i].rows, atomic_load(&seg->windows[i].rows));
        atomic_init(&windows[i].components, atomic_load(&seg->windows[i].components));
    }
    om_window *former = seg->windows;
    uint32_t former_count = seg->window_count;
    om_mutex_lock(&seg->marks_mu); /* Statistics read the table under it. */
    seg->windows = windows;
    seg->window_count = needed;
    om_mutex_unlock(&seg->marks_mu);
    om_alloc_put(&seg->rt->alloc, former, former_count * sizeof *former, OM_CACHE_LINE);
    return OMEN_OK;
}

uint64_t om_clipped_rows(om_segment *seg)
{
    uint64_t sum = 0;
    om_mutex_lock(&seg->marks_mu);
    for (uint32_t i = 0; i < seg->window_count; i++) {
        sum += atomic_load_explicit(&seg->windows[i].rows, memory_order_relaxed);
    }
    om_mutex_unlock(&seg->marks_mu);
    return sum;
}

omen_status_t om_encode_step(om_segment *seg, uint32_t target, om_executor *executor,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t first = atomic_load_explicit(&seg->codes->encoded, memory_order_relaxed);
    uint32_t last = om_min_u32(target, first + om_min_u32(ENCODE_STEP, UINT32_MAX - first));
    if (seg->codec == NULL || first >= last) {
        return OMEN_OK;
    }
    OM_TRY(reserve_windows(seg, last, err));
    coder k = {.seg = seg,
               .executor = executor,
               .codec = seg->codec,
               .codes = seg->codes,
               .windows = seg->windows,
               .first = first,
               .last = last};
    OM_TRY(encode_rows(seg, &k, err));
    atomic_store_explicit(&seg->codes->encoded, last, memory_order_release);
    atomic_store_explicit(&seg->coded, last, memory_order_relaxed);
out:
    return status;
}

/* Trains on up to `most` rows spread evenly over [0, rows). */
static omen_status_t train(om_segment *seg, uint32_t rows, uint32_t most, om_codec **out,
                           omen_error *err)
{
    uint32_t dim = seg->options.dim;
    uint64_t fits = SAMPLE_FLOATS / dim;
    uint32_t n = (uint32_t)om_min_u64(om_min_u32(rows, most), fits < 256 ? 256 : fits);
    size_t bytes = (size_t)n * dim * sizeof(float);
    float *sample = om_alloc_get(&seg->rt->alloc, bytes, OM_CACHE_LINE);
    if (sample == NULL) {
        return om_fail_memory(err, "training sample", bytes);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = (uint32_t)((uint64_t)i * rows / n);
        om_to_f32(seg->rt->kernels, seg->options.dtype, raw_row(seg, slot),
                  sample + (size_t)i * dim, dim);
    }
    omen_status_t status = om_codec_train(&seg->rt->alloc, &seg->codec_params, sample, n, out, err);
    om_alloc_put(&seg->rt->alloc, sample, bytes, OM_CACHE_LINE);
    return status;
}

omen_status_t om_codec_start(om_segment *seg, uint32_t target, omen_error *err)
{
    if (seg->codec != NULL || target == 0) {
        return OMEN_OK;
    }
    omen_status_t status = OMEN_OK;
    om_view *view = NULL;
    om_codec *codec = NULL;
    OM_TRY(om_view_prepare(seg, &view, err));
    status = train(seg, target, OM_FIRST_SAMPLE, &codec, err);
    if (status != OMEN_OK) {
        om_alloc_put(&seg->rt->alloc, view, sizeof *view, _Alignof(om_view));
        goto out;
    }
    om_assert(om_codec_stride(codec) == seg->layout.code_stride);
    seg->codec = codec;
    seg->trained_rows = target;
    om_view_parts parts = {.store = seg->store, .codes = seg->codes, .codec = codec};
    om_view_publish(seg, view, &parts);
out:
    return status;
}

uint32_t om_codec_border(uint32_t indexed)
{
    uint32_t next = (indexed >> WINDOW_BITS) + 1;
    return next > (UINT32_MAX >> WINDOW_BITS) ? UINT32_MAX : next << WINDOW_BITS;
}

static bool fits_badly(const om_segment *seg, uint32_t indexed)
{
    const om_window *window = &seg->windows[(indexed >> WINDOW_BITS) - 1];
    uint64_t rows = atomic_load_explicit(&window->rows, memory_order_relaxed);
    uint64_t components = atomic_load_explicit(&window->components, memory_order_relaxed);
    return rows * CLIPPED_ROWS_IN > WINDOW_ROWS &&
           components * CLIPPED_COMPONENTS_IN > (uint64_t)WINDOW_ROWS * seg->options.dim;
}

/* What a change of codec needs, made beforehand so that the switch itself cannot fail half way. */
typedef struct change {
    om_codec *codec;
    om_codes *codes;
    om_graph_view *graph;
    om_view *view;
    om_window *windows;
    uint32_t encoded;
} change;

static void drop_change(om_segment *seg, change *n)
{
    om_graph_view_free(n->graph);
    om_codec_free(n->codec);
    om_codes_free(seg->rt, n->codes);
    om_alloc_put(&seg->rt->alloc, n->windows, seg->window_count * sizeof *n->windows,
                 OM_CACHE_LINE);
    om_alloc_put(&seg->rt->alloc, n->view, sizeof *n->view, _Alignof(om_view));
}

static omen_status_t prepare_change(om_segment *seg, change *n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t indexed = atomic_load_explicit(&seg->indexed, memory_order_relaxed);
    n->encoded = indexed; /* the tail is coded again as the graph comes nearer to it */
    OM_TRY(om_view_prepare(seg, &n->view, err));
    n->windows =
        om_alloc_zero(&seg->rt->alloc, seg->window_count, sizeof *n->windows, OM_CACHE_LINE);
    if (n->windows == NULL) {
        return om_fail_memory(err, "clipping counters", seg->window_count * sizeof *n->windows);
    }
    OM_TRY(train(seg, indexed, SAMPLE, &n->codec, err));
    OM_TRY(om_codes_create(seg->rt, &seg->layout, seg->codes->capacity, &n->codes, err));
    OM_TRY(om_codes_commit(n->codes, &seg->layout, n->encoded, err));
    coder k = {.seg = seg,
               .executor = seg->rt->executor,
               .codec = n->codec,
               .codes = n->codes,
               .windows = n->windows,
               .first = 0,
               .last = n->encoded};
    OM_TRY(encode_rows(seg, &k, err));
    atomic_store_explicit(&n->codes->encoded, n->encoded, memory_order_release);
out:
    return status;
}

/* Writers commit memory for codes with the write mutex: the new array catches up with the old one
 * there. */
static omen_status_t swap_codes(om_segment *seg, om_codes *codes, omen_error *err)
{
    om_mutex_lock(&seg->c->write_mu);
    omen_status_t status = om_codes_commit(codes, &seg->layout, seg->codes->committed, err);
    if (status == OMEN_OK) {
        seg->codes = codes;
    }
    om_mutex_unlock(&seg->c->write_mu);
    return status;
}

static om_graph_arrays arrays_with(const om_segment *seg, const om_codec *codec,
                                   const om_codes *codes)
{
    return (om_graph_arrays){.codec = codec,
                             .codes = codes->array.base,
                             .links = (uint32_t *)(void *)seg->store->array[OM_A_LINKS].base,
                             .incoming = (uint32_t *)(void *)seg->store->array[OM_A_INCOMING].base};
}

static omen_status_t switch_codec(om_segment *seg, change *n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_graph_arrays old_arrays = arrays_with(seg, seg->codec, seg->codes);
    om_graph_arrays new_arrays = arrays_with(seg, n->codec, n->codes);
    status = om_graph_rescore(seg->graph, &new_arrays, seg->rt->executor, err);
    if (status == OMEN_OK) {
        status = om_graph_view_create(seg->graph, &new_arrays, &n->graph, err);
    }
    if (status == OMEN_OK) {
        status = swap_codes(seg, n->codes, err);
    }
    if (status != OMEN_OK) {
        /* Back to the codes that stay. Without the memory for that the entry points keep codes of the
         * other codec: searches begin in worse places until the next training. */
        omen_status_t back = om_graph_rescore(seg->graph, &old_arrays, seg->rt->executor, NULL);
        if (back != OMEN_OK) {
            om_log_write(&seg->rt->log, OMEN_LOG_WARN, "engine",
                         "collection '%s': no memory to score the graph again", seg->c->name);
        }
        return status;
    }
    om_window *windows = seg->windows;
    om_mutex_lock(&seg->marks_mu);
    seg->windows = n->windows;
    om_mutex_unlock(&seg->marks_mu);
    om_alloc_put(&seg->rt->alloc, windows, seg->window_count * sizeof *windows, OM_CACHE_LINE);
    seg->codec = n->codec;
    seg->trained_rows = atomic_load_explicit(&seg->indexed, memory_order_relaxed);
    om_view_parts parts = {
        .store = seg->store, .codes = n->codes, .codec = n->codec, .graph = n->graph};
    om_view_publish(seg, n->view, &parts);
    atomic_store_explicit(&seg->coded, n->encoded, memory_order_relaxed);
    atomic_fetch_add_explicit(&seg->retrained, 1, memory_order_relaxed);
    return OMEN_OK;
}

static omen_status_t retrain(om_segment *seg, omen_error *err)
{
    change n = {.codec = NULL};
    omen_status_t status = prepare_change(seg, &n, err);
    if (status == OMEN_OK) {
        status = switch_codec(seg, &n, err);
    }
    if (status != OMEN_OK) {
        drop_change(seg, &n);
    }
    return status;
}

/* Whether the codec is to be trained again, now that rows [0, indexed) are in the graph. */
static bool review_due(const om_segment *seg, uint32_t indexed)
{
    if (seg->trained_rows < OM_FIRST_SAMPLE) {
        /* A codec of a few rows, for a caller who did not wait for more, is a makeshift. */
        return indexed / 2 >= seg->trained_rows;
    }
    /* Training and coding anew costs about as much as putting one row in fifty into the graph: one row
     * more in eight since the last time makes it cheap however often it happens. */
    bool grown = indexed - seg->trained_rows >= WINDOW_ROWS &&
                 indexed - seg->trained_rows >= seg->trained_rows / 8;
    bool window_ends = indexed >= WINDOW_ROWS && (indexed & (WINDOW_ROWS - 1)) == 0;
    return indexed == SECOND_BORDER || (window_ends && grown && fits_badly(seg, indexed));
}

omen_status_t om_codec_review(om_segment *seg, omen_error *err)
{
    uint32_t indexed = atomic_load_explicit(&seg->indexed, memory_order_relaxed);
    bool bytes = seg->options.dtype == OMEN_U8 || seg->options.dtype == OMEN_I8;
    bool identity =
        bytes && seg->options.metric == OMEN_L2 && seg->options.rotation != OMEN_ROTATE_ON;
    if (identity || seg->options.quantization == OMEN_QUANT_NONE || !review_due(seg, indexed)) {
        return OMEN_OK;
    }
    return retrain(seg, err);
}
