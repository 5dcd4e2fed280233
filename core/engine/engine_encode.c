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
    om_segment *c;
    om_executor *executor;
    const om_codec *codec;
    om_codes *codes;
    om_window *windows;
    float *scratch; /* [threads * per_worker] */
    size_t per_worker;
    uint32_t first, last;
} coder;

static size_t scratch_floats(const om_segment *c, const om_codec *codec)
{
    return om_round_up(c->options.dim, 16) + om_round_up(om_codec_scratch(codec), 16);
}

static const uint8_t *raw_row(const om_segment *c, uint32_t slot)
{
    return c->store->array[OM_A_VECTORS].base + (size_t)slot * c->layout.row_bytes;
}

/* The row as floats; copies only when it has to. */
static const float *row_floats(const om_segment *c, uint32_t slot, float *out)
{
    const void *row = raw_row(c, slot);
    if (c->options.dtype == OMEN_F32) {
        return row;
    }
    om_to_f32(c->rt->kernels, c->options.dtype, row, out, c->options.dim);
    return out;
}

/* A zero vector under cosine. It has no direction; coded as it is it would be nearer to every unit
 * vector than those are to each other, and the links of the whole graph would go through it. So its
 * code points somewhere, the same way for a slot every time; its distance is still 1, since hits are
 * scored in full precision. */
static const float *some_direction(const om_segment *c, uint32_t slot, float *out)
{
    uint64_t state = slot;
    for (uint32_t i = 0; i < c->options.dim; i++) {
        out[i] = (om_rng_next(&state) >> 63) != 0 ? 1.0f : -1.0f;
    }
    return out;
}

static const float *floats_to_encode(const om_segment *c, uint32_t slot, float *out)
{
    if (c->options.metric == OMEN_COSINE) {
        const float *norms = (const void *)c->store->array[OM_A_NORMS].base;
        if (norms[slot] == 0) {
            return some_direction(c, slot, out);
        }
    }
    return row_floats(c, slot, out);
}

static void encode_task(void *ctx, uint32_t worker, uint32_t task)
{
    const coder *k = ctx;
    om_segment *c = k->c;
    uint32_t from = k->first + task * ENCODE_TASK;
    uint32_t to = om_min_u32(from + ENCODE_TASK, k->last);
    float *floats = k->scratch + worker * k->per_worker;
    float *scratch = floats + om_round_up(c->options.dim, 16);
    for (uint32_t slot = from; slot < to; slot++) {
        uint8_t *code = k->codes->array.base + (size_t)slot * c->layout.code_stride;
        uint32_t clipped =
            om_codec_encode(k->codec, floats_to_encode(c, slot, floats), scratch, code);
        if (clipped != 0) {
            om_window *window = &k->windows[slot >> WINDOW_BITS];
            atomic_fetch_add_explicit(&window->rows, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&window->components, clipped, memory_order_relaxed);
        }
    }
}

/* Codes of rows [first, last), by all threads. */
static omen_status_t encode_rows(om_segment *c, coder *k, omen_error *err)
{
    uint32_t threads = k->executor->threads;
    k->per_worker = scratch_floats(c, k->codec);
    size_t bytes = threads * k->per_worker * sizeof(float);
    k->scratch = om_alloc_get(&c->rt->alloc, bytes, OM_CACHE_LINE);
    if (k->scratch == NULL) {
        return om_fail_memory(err, "encoding", bytes);
    }
    uint32_t tasks = (k->last - k->first + ENCODE_TASK - 1) / ENCODE_TASK;
    k->executor->run(k->executor, encode_task, k, tasks);
    om_alloc_put(&c->rt->alloc, k->scratch, bytes, OM_CACHE_LINE);
    return OMEN_OK;
}

static omen_status_t reserve_windows(om_segment *c, uint32_t rows, omen_error *err)
{
    uint32_t needed = (rows >> WINDOW_BITS) + 1;
    if (needed <= c->window_count) {
        return OMEN_OK;
    }
    needed = om_max_u32(needed, c->window_count * 2);
    om_window *windows = om_alloc_zero(&c->rt->alloc, needed, sizeof *windows, OM_CACHE_LINE);
    if (windows == NULL) {
        return om_fail_memory(err, "clipping counters", needed * sizeof *windows);
    }
    for (uint32_t i = 0; i < c->window_count; i++) {
        atomic_init(&windows[i].rows, atomic_load(&c->windows[i].rows));
        atomic_init(&windows[i].components, atomic_load(&c->windows[i].components));
    }
    om_window *former = c->windows;
    uint32_t former_count = c->window_count;
    om_mutex_lock(&c->marks_mu); /* Statistics read the table under it. */
    c->windows = windows;
    c->window_count = needed;
    om_mutex_unlock(&c->marks_mu);
    om_alloc_put(&c->rt->alloc, former, former_count * sizeof *former, OM_CACHE_LINE);
    return OMEN_OK;
}

uint64_t om_clipped_rows(om_segment *c)
{
    uint64_t sum = 0;
    om_mutex_lock(&c->marks_mu);
    for (uint32_t i = 0; i < c->window_count; i++) {
        sum += atomic_load_explicit(&c->windows[i].rows, memory_order_relaxed);
    }
    om_mutex_unlock(&c->marks_mu);
    return sum;
}

omen_status_t om_encode_step(om_segment *c, uint32_t target, om_executor *executor,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t first = atomic_load_explicit(&c->codes->encoded, memory_order_relaxed);
    uint32_t last = om_min_u32(target, first + om_min_u32(ENCODE_STEP, UINT32_MAX - first));
    if (c->codec == NULL || first >= last) {
        return OMEN_OK;
    }
    OM_TRY(reserve_windows(c, last, err));
    coder k = {.c = c,
               .executor = executor,
               .codec = c->codec,
               .codes = c->codes,
               .windows = c->windows,
               .first = first,
               .last = last};
    OM_TRY(encode_rows(c, &k, err));
    atomic_store_explicit(&c->codes->encoded, last, memory_order_release);
    atomic_store_explicit(&c->coded, last, memory_order_relaxed);
out:
    return status;
}

/* Trains on up to `most` rows spread evenly over [0, rows). */
static omen_status_t train(om_segment *c, uint32_t rows, uint32_t most, om_codec **out,
                           omen_error *err)
{
    uint32_t dim = c->options.dim;
    uint64_t fits = SAMPLE_FLOATS / dim;
    uint32_t n = (uint32_t)om_min_u64(om_min_u32(rows, most), fits < 256 ? 256 : fits);
    size_t bytes = (size_t)n * dim * sizeof(float);
    float *sample = om_alloc_get(&c->rt->alloc, bytes, OM_CACHE_LINE);
    if (sample == NULL) {
        return om_fail_memory(err, "training sample", bytes);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = (uint32_t)((uint64_t)i * rows / n);
        om_to_f32(c->rt->kernels, c->options.dtype, raw_row(c, slot), sample + (size_t)i * dim,
                  dim);
    }
    omen_status_t status = om_codec_train(&c->rt->alloc, &c->codec_params, sample, n, out, err);
    om_alloc_put(&c->rt->alloc, sample, bytes, OM_CACHE_LINE);
    return status;
}

omen_status_t om_codec_start(om_segment *c, uint32_t target, omen_error *err)
{
    if (c->codec != NULL || target == 0) {
        return OMEN_OK;
    }
    omen_status_t status = OMEN_OK;
    om_view *view = NULL;
    om_codec *codec = NULL;
    OM_TRY(om_view_prepare(c, &view, err));
    status = train(c, target, OM_FIRST_SAMPLE, &codec, err);
    if (status != OMEN_OK) {
        om_alloc_put(&c->rt->alloc, view, sizeof *view, _Alignof(om_view));
        goto out;
    }
    om_assert(om_codec_stride(codec) == c->layout.code_stride);
    c->codec = codec;
    c->trained_rows = target;
    om_view_parts parts = {.store = c->store, .codes = c->codes, .codec = codec};
    om_view_publish(c, view, &parts);
out:
    return status;
}

uint32_t om_codec_border(uint32_t indexed)
{
    uint32_t next = (indexed >> WINDOW_BITS) + 1;
    return next > (UINT32_MAX >> WINDOW_BITS) ? UINT32_MAX : next << WINDOW_BITS;
}

static bool fits_badly(const om_segment *c, uint32_t indexed)
{
    const om_window *window = &c->windows[(indexed >> WINDOW_BITS) - 1];
    uint64_t rows = atomic_load_explicit(&window->rows, memory_order_relaxed);
    uint64_t components = atomic_load_explicit(&window->components, memory_order_relaxed);
    return rows * CLIPPED_ROWS_IN > WINDOW_ROWS &&
           components * CLIPPED_COMPONENTS_IN > (uint64_t)WINDOW_ROWS * c->options.dim;
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

static void drop_change(om_segment *c, change *n)
{
    om_graph_view_free(n->graph);
    om_codec_free(n->codec);
    om_codes_free(c->rt, n->codes);
    om_alloc_put(&c->rt->alloc, n->windows, c->window_count * sizeof *n->windows, OM_CACHE_LINE);
    om_alloc_put(&c->rt->alloc, n->view, sizeof *n->view, _Alignof(om_view));
}

static omen_status_t prepare_change(om_segment *c, change *n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t indexed = atomic_load_explicit(&c->indexed, memory_order_relaxed);
    n->encoded = indexed; /* the tail is coded again as the graph comes nearer to it */
    OM_TRY(om_view_prepare(c, &n->view, err));
    n->windows = om_alloc_zero(&c->rt->alloc, c->window_count, sizeof *n->windows, OM_CACHE_LINE);
    if (n->windows == NULL) {
        return om_fail_memory(err, "clipping counters", c->window_count * sizeof *n->windows);
    }
    OM_TRY(train(c, indexed, SAMPLE, &n->codec, err));
    OM_TRY(om_codes_create(c->rt, &c->layout, c->codes->capacity, &n->codes, err));
    OM_TRY(om_codes_commit(n->codes, &c->layout, n->encoded, err));
    coder k = {.c = c,
               .executor = c->rt->executor,
               .codec = n->codec,
               .codes = n->codes,
               .windows = n->windows,
               .first = 0,
               .last = n->encoded};
    OM_TRY(encode_rows(c, &k, err));
    atomic_store_explicit(&n->codes->encoded, n->encoded, memory_order_release);
out:
    return status;
}

/* Writers commit memory for codes with the write mutex: the new array catches up with the old one
 * there. */
static omen_status_t swap_codes(om_segment *c, om_codes *codes, omen_error *err)
{
    om_mutex_lock(&c->write_mu);
    omen_status_t status = om_codes_commit(codes, &c->layout, c->codes->committed, err);
    if (status == OMEN_OK) {
        c->codes = codes;
    }
    om_mutex_unlock(&c->write_mu);
    return status;
}

static om_graph_arrays arrays_with(const om_segment *c, const om_codec *codec,
                                   const om_codes *codes)
{
    return (om_graph_arrays){.codec = codec,
                             .codes = codes->array.base,
                             .links = (uint32_t *)(void *)c->store->array[OM_A_LINKS].base,
                             .incoming = (uint32_t *)(void *)c->store->array[OM_A_INCOMING].base};
}

static omen_status_t switch_codec(om_segment *c, change *n, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_graph_arrays old_arrays = arrays_with(c, c->codec, c->codes);
    om_graph_arrays new_arrays = arrays_with(c, n->codec, n->codes);
    status = om_graph_rescore(c->graph, &new_arrays, c->rt->executor, err);
    if (status == OMEN_OK) {
        status = om_graph_view_create(c->graph, &new_arrays, &n->graph, err);
    }
    if (status == OMEN_OK) {
        status = swap_codes(c, n->codes, err);
    }
    if (status != OMEN_OK) {
        /* Back to the codes that stay. Without the memory for that the entry points keep codes of the
         * other codec: searches begin in worse places until the next training. */
        omen_status_t back = om_graph_rescore(c->graph, &old_arrays, c->rt->executor, NULL);
        if (back != OMEN_OK) {
            om_log_write(&c->rt->log, OMEN_LOG_WARN, "engine",
                         "collection '%s': no memory to score the graph again", c->name);
        }
        return status;
    }
    om_window *windows = c->windows;
    om_mutex_lock(&c->marks_mu);
    c->windows = n->windows;
    om_mutex_unlock(&c->marks_mu);
    om_alloc_put(&c->rt->alloc, windows, c->window_count * sizeof *windows, OM_CACHE_LINE);
    c->codec = n->codec;
    c->trained_rows = atomic_load_explicit(&c->indexed, memory_order_relaxed);
    om_view_parts parts = {
        .store = c->store, .codes = n->codes, .codec = n->codec, .graph = n->graph};
    om_view_publish(c, n->view, &parts);
    atomic_store_explicit(&c->coded, n->encoded, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->retrained, 1, memory_order_relaxed);
    return OMEN_OK;
}

static omen_status_t retrain(om_segment *c, omen_error *err)
{
    change n = {.codec = NULL};
    omen_status_t status = prepare_change(c, &n, err);
    if (status == OMEN_OK) {
        status = switch_codec(c, &n, err);
    }
    if (status != OMEN_OK) {
        drop_change(c, &n);
    }
    return status;
}

/* Whether the codec is to be trained again, now that rows [0, indexed) are in the graph. */
static bool review_due(const om_segment *c, uint32_t indexed)
{
    if (c->trained_rows < OM_FIRST_SAMPLE) {
        /* A codec of a few rows, for a caller who did not wait for more, is a makeshift. */
        return indexed / 2 >= c->trained_rows;
    }
    /* Training and coding anew costs about as much as putting one row in fifty into the graph: one row
     * more in eight since the last time makes it cheap however often it happens. */
    bool grown = indexed - c->trained_rows >= WINDOW_ROWS &&
                 indexed - c->trained_rows >= c->trained_rows / 8;
    bool window_ends = indexed >= WINDOW_ROWS && (indexed & (WINDOW_ROWS - 1)) == 0;
    return indexed == SECOND_BORDER || (window_ends && grown && fits_badly(c, indexed));
}

omen_status_t om_codec_review(om_segment *c, omen_error *err)
{
    uint32_t indexed = atomic_load_explicit(&c->indexed, memory_order_relaxed);
    bool bytes = c->options.dtype == OMEN_U8 || c->options.dtype == OMEN_I8;
    bool identity = bytes && c->options.metric == OMEN_L2 && c->options.rotation != OMEN_ROTATE_ON;
    if (identity || c->options.quantization == OMEN_QUANT_NONE || !review_due(c, indexed)) {
        return OMEN_OK;
    }
    return retrain(c, err);
}
