/* engine_rows.c - the arrays of a growing segment: small ones on the heap, larger ones in
 * reserved address space that is committed as rows come, so that nothing moves while it grows.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A collection passes through a few capacities. The first is one heap block per array: ten
 * thousand small collections must not cost a reservation and a dozen mappings each. The next
 * reserves address space, which is free until it is committed; only when that is full are rows
 * copied to a larger one. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine_int.h"

enum { HEAP_BYTES = 512 * 1024, HEAP_LEAST_ROWS = 64, VM_LEAST_ROWS = 131072, GROWTH = 16 };
#define VM_FIRST_BYTES (UINT64_C(16) << 30)
#define VM_MOST_BYTES (UINT64_C(1) << 40)
#define VM_FIRST_MOST_ROWS UINT64_C(4194304)

void om_layout_init(om_layout *layout, const om_codec_params *codec, uint32_t m)
{
    memset(layout, 0, sizeof *layout);
    layout->row_bytes = (size_t)codec->dim * om_dtype_width(codec->dtype);
    layout->code_stride = om_codec_row_bytes(codec);
    layout->link_stride = om_graph_link_stride(m);
    layout->bytes[OM_A_VECTORS] = layout->row_bytes;
    layout->bytes[OM_A_KEYS] = sizeof(uint64_t);
    layout->bytes[OM_A_DEAD] = 0;
    layout->bytes[OM_A_LINKS] = layout->link_stride;
    layout->bytes[OM_A_INCOMING] = sizeof(uint32_t);
    layout->bytes[OM_A_NORMS] = codec->metric == OMEN_COSINE ? sizeof(float) : 0;
    uint64_t most = VM_MOST_BYTES / om_layout_total(layout);
    layout->max_rows = (uint32_t)om_min_u64(most, OMEN_MAX_ROWS);
}

uint64_t om_layout_total(const om_layout *layout)
{
    uint64_t sum = layout->code_stride + 1;
    for (uint32_t i = 0; i < OM_A_COUNT; i++) {
        sum += layout->bytes[i];
    }
    return sum;
}

uint32_t om_layout_capacity(const om_layout *layout, uint32_t current, uint64_t needed,
                            uint64_t hint)
{
    uint64_t total = om_layout_total(layout);
    uint64_t heap_rows = HEAP_BYTES / total / HEAP_LEAST_ROWS * HEAP_LEAST_ROWS;
    if (current == 0 && needed <= heap_rows && hint <= heap_rows) {
        return (uint32_t)heap_rows;
    }
    uint64_t rows = VM_FIRST_BYTES / total;
    rows = rows < VM_LEAST_ROWS ? VM_LEAST_ROWS : om_min_u64(rows, VM_FIRST_MOST_ROWS);
    while (rows < needed || rows < hint || rows <= current) {
        rows = rows * GROWTH;
    }
    return (uint32_t)om_min_u64(rows, layout->max_rows);
}

/* Bytes of `rows` rows in an array. */
static size_t bytes_of(const om_layout *layout, uint32_t which, uint64_t rows)
{
    if (which == OM_A_DEAD) {
        return (size_t)((rows + 63) / 64 * sizeof(uint64_t));
    }
    return (size_t)(rows * layout->bytes[which]);
}

static bool on_heap(const om_layout *layout, uint32_t capacity)
{
    return capacity * om_layout_total(layout) <= HEAP_BYTES;
}

static omen_status_t array_init(omen_runtime *rt, om_array *array, size_t bytes, bool heap,
                                omen_error *err)
{
    if (bytes == 0) {
        return OMEN_OK;
    }
    if (heap) {
        bytes = om_round_up(bytes, OM_CACHE_LINE);
        array->base = om_alloc_zero(&rt->alloc, 1, bytes, OM_CACHE_LINE);
        if (array->base == NULL) {
            return om_fail_memory(err, "rows", bytes);
        }
        array->heap_bytes = bytes;
        return OMEN_OK;
    }
    omen_status_t status = om_vm_reserve(&array->vm, bytes, &rt->budget, err);
    if (status == OMEN_OK) {
        array->base = array->vm.base;
    }
    return status;
}

static void array_free(omen_runtime *rt, om_array *array)
{
    if (array->heap_bytes != 0) {
        om_alloc_put(&rt->alloc, array->base, array->heap_bytes, OM_CACHE_LINE);
    }
    om_vm_release(&array->vm);
}

static omen_status_t array_commit(om_array *array, size_t bytes, omen_error *err)
{
    return array->vm.base == NULL ? OMEN_OK : om_vm_commit(&array->vm, bytes, err);
}

uint64_t om_array_bytes(const om_array *array)
{
    return array->heap_bytes != 0 ? array->heap_bytes : array->vm.committed;
}

omen_status_t om_store_create(omen_runtime *rt, const om_layout *layout, uint32_t capacity,
                              om_store **out, omen_error *err)
{
    om_store *store = om_alloc_zero(&rt->alloc, 1, sizeof *store, _Alignof(om_store));
    if (store == NULL) {
        return om_fail_memory(err, "rows", sizeof *store);
    }
    store->capacity = capacity;
    bool heap = on_heap(layout, capacity);
    for (uint32_t i = 0; i < OM_A_COUNT; i++) {
        omen_status_t status =
            array_init(rt, &store->array[i], bytes_of(layout, i, capacity), heap, err);
        if (status != OMEN_OK) {
            om_store_free(rt, store);
            return status;
        }
    }
    *out = store;
    return OMEN_OK;
}

omen_status_t om_store_commit(om_store *store, const om_layout *layout, uint64_t rows,
                              omen_error *err)
{
    om_assert(rows <= store->capacity);
    if (rows <= store->committed) {
        return OMEN_OK;
    }
    for (uint32_t i = 0; i < OM_A_COUNT; i++) {
        omen_status_t status = array_commit(&store->array[i], bytes_of(layout, i, rows), err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    store->committed = (uint32_t)rows;
    return OMEN_OK;
}

void om_store_free(omen_runtime *rt, om_store *store)
{
    if (store == NULL) {
        return;
    }
    for (uint32_t i = 0; i < OM_A_COUNT; i++) {
        array_free(rt, &store->array[i]);
    }
    om_alloc_put(&rt->alloc, store, sizeof *store, _Alignof(om_store));
}

omen_status_t om_codes_create(omen_runtime *rt, const om_layout *layout, uint32_t capacity,
                              om_codes **out, omen_error *err)
{
    om_codes *codes = om_alloc_zero(&rt->alloc, 1, sizeof *codes, _Alignof(om_codes));
    if (codes == NULL) {
        return om_fail_memory(err, "codes", sizeof *codes);
    }
    codes->capacity = capacity;
    omen_status_t status = array_init(rt, &codes->array, (size_t)capacity * layout->code_stride,
                                      on_heap(layout, capacity), err);
    if (status != OMEN_OK) {
        om_codes_free(rt, codes);
        return status;
    }
    *out = codes;
    return OMEN_OK;
}

omen_status_t om_codes_commit(om_codes *codes, const om_layout *layout, uint64_t rows,
                              omen_error *err)
{
    om_assert(rows <= codes->capacity);
    if (rows <= codes->committed) {
        return OMEN_OK;
    }
    omen_status_t status = array_commit(&codes->array, (size_t)rows * layout->code_stride, err);
    if (status == OMEN_OK) {
        codes->committed = (uint32_t)rows;
    }
    return status;
}

void om_codes_free(omen_runtime *rt, om_codes *codes)
{
    if (codes == NULL) {
        return;
    }
    array_free(rt, &codes->array);
    om_alloc_put(&rt->alloc, codes, sizeof *codes, _Alignof(om_codes));
}

/* ---- Lengths ------------------------------------------------------------------------------------- */
float om_inverse_norm(const om_segment *seg, const void *row, float *scratch)
{
    const om_kernels *kernels = seg->rt->kernels;
    uint32_t dim = seg->options.dim;
    const float *x = row;
    if (seg->options.dtype != OMEN_F32) {
        om_to_f32(kernels, seg->options.dtype, row, scratch, dim);
        x = scratch;
    }
    float square = kernels->ip[OMEN_F32](x, x, dim);
    if (square >= FLT_MIN && square <= FLT_MAX) {
        return 1.0f / sqrtf(square);
    }
    /* Lengths whose square leaves the range of floats: very long, very short, or zero. */
    double sum = 0;
    for (uint32_t i = 0; i < dim; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    double inverse = sum > 0 ? 1.0 / sqrt(sum) : 0;
    return (float)(inverse > FLT_MAX ? FLT_MAX : inverse);
}

void om_row_norms(om_segment *seg, uint32_t first, uint32_t n)
{
    float *norms = (float *)(void *)seg->store->array[OM_A_NORMS].base;
    const uint8_t *rows = seg->store->array[OM_A_VECTORS].base;
    float *scratch = (float *)(void *)seg->c->former; /* room was made for it */
    for (uint32_t i = first; i < first + n; i++) {
        norms[i] = om_inverse_norm(seg, rows + (size_t)i * seg->layout.row_bytes, scratch);
    }
}
