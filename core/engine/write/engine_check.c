/* engine_check.c - a batch is checked as a whole before anything of it is applied.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

enum { CONVERT_CHUNK = 1024, STOP_EVERY = 4096 };

omen_status_t om_write_refuse(om_write *w, uint64_t i, omen_status_t status, omen_error *err)
{
    (void)err;
    if (w->status == NULL) {
        return status;
    }
    if (w->status[i] == OMEN_OK) {
        w->status[i] = status;
        w->accepted--;
        w->done.refused++;
    }
    return OMEN_OK;
}

void om_write_release(om_write *w)
{
    if (w->status != NULL) {
        om_alloc_put(&w->c->rt->alloc, w->status, (size_t)w->batch->count * sizeof *w->status,
                     OM_CACHE_LINE);
        w->status = NULL;
    }
    om_fields_drop(w);
    om_patch_drop(w); /* with the batch that w may point to: last */
}

static omen_status_t check_stream(const omen_batch *b, omen_error *err)
{
    if (b->stream_id == NULL) {
        if (b->stream_id_len != 0 || b->seq != 0 || b->stream_epoch != 0) {
            return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_SEQUENCE,
                           "seq %llu or stream_epoch without a stream_id",
                           (unsigned long long)b->seq);
        }
    } else if (b->stream_id_len == 0 || b->stream_id_len > OMEN_MAX_STREAM_ID) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "stream_id: %zu bytes, must be 1 to %u", b->stream_id_len,
                       OMEN_MAX_STREAM_ID);
    } else if (b->seq == 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_SEQUENCE, "seq: 0, must be 1 or above");
    }
    if (b->request_id == NULL ? b->request_id_len != 0
                              : b->request_id_len == 0 || b->request_id_len > OMEN_MAX_REQUEST_ID) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "request_id: %zu bytes, must be 1 to %u", b->request_id_len,
                       OMEN_MAX_REQUEST_ID);
    }
    return OMEN_OK;
}

static omen_status_t check_head(om_write *w, uint32_t flags, omen_error *err)
{
    const omen_batch *b = w->batch;
    omen_status_t status = check_stream(b, err);
    if (status != OMEN_OK) {
        return status;
    }
    if ((b->flags & ~flags) != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "batch flags: unknown bits 0x%x",
                       b->flags & ~flags);
    }
    if (b->count > OMEN_MAX_BATCH_ITEMS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "count: %llu is above the limit of %u", (unsigned long long)b->count,
                       OMEN_MAX_BATCH_ITEMS);
    }
    if (b->durability > OMEN_DURABILITY_BATCH) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "durability: %u is not one of 0 to 3", b->durability);
    }
    return OMEN_OK;
}

static omen_status_t check_types(om_write *w, omen_error *err)
{
    const omen_batch *b = w->batch;
    const omen_options *o = &w->c->options;
    w->dtype = b->dtype != 0 ? b->dtype : o->dtype;
    if (b->mode > OMEN_PATCH) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "mode: %u is not one of 0 to 4",
                       b->mode);
    }
    if (b->mode == OMEN_PATCH && b->vectors == NULL) {
        return OMEN_OK; /* they stay as they are */
    }
    if (w->dtype != o->dtype && !(w->dtype == OMEN_F32 && o->dtype == OMEN_F16)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "dtype: %u (%s) does not fit a collection of %s", w->dtype,
                       om_dtype_name(w->dtype), om_dtype_name(o->dtype));
    }
    if (b->dim != o->dim) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_DIM_MISMATCH,
                       "dim: %u, the collection has %u", b->dim, o->dim);
    }
    uint64_t row = (uint64_t)b->dim * om_dtype_width(w->dtype);
    w->stride = b->stride != 0 ? b->stride : row;
    if (w->stride < row || w->stride > PTRDIFF_MAX / (b->count + 1)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "stride: %llu bytes for rows of %llu bytes", (unsigned long long)w->stride,
                       (unsigned long long)row);
    }
    if (b->count != 0 && b->vectors == NULL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "vectors: NULL with %llu items",
                       (unsigned long long)b->count);
    }
    return OMEN_OK;
}

/* Where the ids come from, and how many bytes they have. */
static omen_status_t check_id_source(om_write *w, bool optional, omen_error *err)
{
    const omen_batch *b = w->batch;
    bool u64 = w->c->options.id_type == OMEN_ID_U64;
    if (b->keys != NULL && b->ids.data != NULL && !w->recovered) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, "keys and ids are both given");
    }
    if (b->ids.data != NULL) {
        return om_column_check(w->c, &b->ids, b->count, err);
    }
    w->by_keys = true;
    if (optional && u64) {
        return OMEN_OK; /* NULL: assigned */
    }
    if (optional && (b->keys != NULL || b->count != 0)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "ids: missing; a collection of %s ids is written by ids, not by keys",
                       w->c->options.id_type == OMEN_ID_UUID ? "UUID" : "string");
    }
    if (b->keys == NULL && b->count != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "keys and ids are both missing");
    }
    return OMEN_OK;
}

static omen_status_t check_ids(om_write *w, omen_error *err)
{
    const omen_batch *b = w->batch;
    for (uint64_t i = 0; i < b->count; i++) {
        omen_status_t status = OMEN_OK;
        if (!w->by_keys) {
            om_id id = om_column_get(&b->ids, i);
            status = om_id_check(w->c, id, i, err);
            w->id_bytes += status == OMEN_OK ? id.length : 0;
        } else if (b->keys != NULL && b->keys[i] == OMEN_NONE) {
            status = om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, i,
                                  "item %llu: the key 2^64 - 1 is reserved", (unsigned long long)i);
        }
        if (status != OMEN_OK && (status = om_write_refuse(w, i, status, err)) != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t check_size(om_write *w, omen_error *err)
{
    const omen_batch *b = w->batch;
    uint64_t row = (uint64_t)b->dim * om_dtype_width(w->dtype);
    if (b->vectors == NULL && b->mode == OMEN_PATCH) { /* those that they have are written again */
        row = (uint64_t)w->c->options.dim * om_dtype_width(w->c->options.dtype);
    }
    uint64_t bytes = b->count * row + (w->by_keys ? b->count * sizeof(uint64_t) : w->id_bytes);
    if (bytes > OMEN_MAX_BATCH_BYTES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "batch: %llu bytes of vectors and ids are above the limit of %u",
                       (unsigned long long)bytes, OMEN_MAX_BATCH_BYTES);
    }
    return OMEN_OK;
}

/* The slow way, in aligned pieces: for rows at odd addresses, and for floats that are stored as
 * half floats, of which none may become infinite. */
static bool pieces_are_finite(const om_write *w, const uint8_t *row)
{
    const om_kernels *kernels = w->c->rt->kernels;
    bool narrow = w->c->options.dtype == OMEN_F16;
    uint32_t dim = w->c->options.dim;
    float wide[CONVERT_CHUNK];
    uint16_t half[CONVERT_CHUNK];
    for (uint32_t at = 0; at < dim; at += CONVERT_CHUNK) {
        uint32_t n = om_min_u32(CONVERT_CHUNK, dim - at);
        if (w->dtype == OMEN_F16) {
            memcpy(half, row + (size_t)at * sizeof *half, n * sizeof *half);
        } else {
            memcpy(wide, row + (size_t)at * sizeof *wide, n * sizeof *wide);
            if (!kernels->finite_f32(wide, n)) {
                return false;
            }
            if (narrow) {
                kernels->f32_to_f16(wide, half, n);
            }
        }
        if (narrow && !kernels->finite_f16(half, n)) {
            return false;
        }
    }
    return true;
}

static bool row_is_finite(const om_write *w, const uint8_t *row)
{
    const om_kernels *kernels = w->c->rt->kernels;
    uint32_t dim = w->c->options.dim;
    if (w->dtype != OMEN_F32 && w->dtype != OMEN_F16) {
        return true;
    }
    if (w->dtype != w->c->options.dtype || (uintptr_t)row % om_dtype_width(w->dtype) != 0) {
        return pieces_are_finite(w, row);
    }
    if (w->dtype == OMEN_F16) {
        return kernels->finite_f16((const uint16_t *)(const void *)row, dim);
    }
    return kernels->finite_f32((const float *)(const void *)row, dim);
}

static omen_status_t check_values(om_write *w, omen_error *err)
{
    const omen_batch *b = w->batch;
    om_stop stop = {.op = w->op};
    for (uint64_t i = 0; i < b->count && b->vectors != NULL; i++) {
        if (i % STOP_EVERY == 0 && om_stop_check(&stop) != OMEN_OK) {
            return om_fail(err, OMEN_CANCELLED, OMEN_D_NONE,
                           "cancelled before anything was written");
        }
        if (OM_LIKELY(row_is_finite(w, (const uint8_t *)b->vectors + i * w->stride))) {
            continue;
        }
        omen_status_t status =
            om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NOT_FINITE, i,
                         "item %llu: a component is NaN, infinite or too large for %s",
                         (unsigned long long)i, om_dtype_name(w->c->options.dtype));
        if ((status = om_write_refuse(w, i, status, err)) != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t make_status(om_write *w, omen_error *err)
{
    w->accepted = w->batch->count;
    if ((w->batch->flags & OMEN_PER_ITEM) == 0 || w->batch->count == 0) {
        return OMEN_OK;
    }
    w->status =
        om_alloc_zero(&w->c->rt->alloc, (size_t)w->batch->count, sizeof *w->status, OM_CACHE_LINE);
    if (w->status == NULL) {
        return om_fail_memory(err, "item states", w->batch->count * sizeof *w->status);
    }
    return OMEN_OK;
}

/* JSON values lie one behind the other; each is looked at when it is parsed. */
static omen_status_t check_metadata(const om_write *w, omen_error *err)
{
    const omen_column *column = &w->batch->metadata;
    uint64_t bytes = 0;
    omen_status_t status = om_column_check_shape(column, w->batch->count, "metadata", err);
    if (status == OMEN_OK && column->data != NULL && w->batch->count != 0) {
        om_id first = om_column_get(column, 0);
        om_id last = om_column_get(column, w->batch->count - 1);
        bytes = (uint64_t)(last.bytes - first.bytes) + last.length;
    }
    if (bytes > OMEN_MAX_BATCH_BYTES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "batch: %llu bytes of metadata are above the limit of %u",
                       (unsigned long long)bytes, OMEN_MAX_BATCH_BYTES);
    }
    return status;
}

omen_status_t om_write_check(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check_head(w, OMEN_NOWAIT | OMEN_PER_ITEM | OMEN_NO_THROTTLE, err));
    OM_TRY(check_types(w, err));
    OM_TRY(check_id_source(w, true, err));
    OM_TRY(make_status(w, err));
    OM_TRY(check_ids(w, err));
    OM_TRY(check_size(w, err));
    OM_TRY(check_values(w, err));
    if (w->batch->metadata.data != NULL) {
        OM_TRY(check_metadata(w, err));
        OM_TRY(om_fields_parse(w, err));
    }
out:
    return status;
}

omen_status_t om_write_check_delete(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check_head(w, OMEN_NOWAIT | OMEN_PER_ITEM | OMEN_NO_THROTTLE, err));
    OM_TRY(check_id_source(w, false, err));
    OM_TRY(make_status(w, err));
    OM_TRY(check_ids(w, err));
out:
    return status;
}
