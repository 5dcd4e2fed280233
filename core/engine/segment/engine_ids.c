/* engine_ids.c - ids as columns, and their way to keys and rows: lookup, get.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_answer.h"

enum { UUID_BYTES = 16, KEY_BYTES = 8, CONVERT_CHUNK = 1024, STEADY_ROUNDS = 2 };

static uint64_t offset_at(const omen_column *column, uint64_t i)
{
    if (column->offset_bits == 32) {
        int32_t offset;
        memcpy(&offset, (const uint8_t *)column->offsets + i * sizeof offset, sizeof offset);
        return (uint64_t)(int64_t)offset;
    }
    int64_t offset;
    memcpy(&offset, (const uint8_t *)column->offsets + i * sizeof offset, sizeof offset);
    return (uint64_t)offset;
}

om_id om_column_get(const omen_column *column, uint64_t i)
{
    const uint8_t *data = column->data;
    if (column->offset_bits == 0) {
        return (om_id){.bytes = data + i * column->width, .length = column->width};
    }
    uint64_t from = offset_at(column, i);
    return (om_id){.bytes = data + from, .length = (size_t)(offset_at(column, i + 1) - from)};
}

/* Ascending offsets within the limits of a batch: every value then has a length that can be
 * trusted. */
static omen_status_t check_offsets(const omen_column *column, uint64_t n, const char *what,
                                   omen_error *err)
{
    uint64_t before = offset_at(column, 0);
    for (uint64_t i = 0; i <= n; i++) {
        uint64_t offset = offset_at(column, i);
        if (offset < before || offset > INT64_MAX) {
            return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i == 0 ? 0 : i - 1,
                                "%s.offsets: entry %llu is %lld, below the one before it", what,
                                (unsigned long long)i, (long long)offset);
        }
        before = offset;
    }
    return OMEN_OK;
}

uint32_t om_id_width(const om_collection *c)
{
    switch (c->options.id_type) {
    case OMEN_ID_U64:
        return KEY_BYTES;
    case OMEN_ID_UUID:
        return UUID_BYTES;
    default:
        return 0;
    }
}

omen_status_t om_column_check_shape(const omen_column *column, uint64_t n, const char *what,
                                    omen_error *err)
{
    if (column->offset_bits == 0 && column->offsets == NULL) {
        return OMEN_OK;
    }
    if ((column->offset_bits != 32 && column->offset_bits != 64) || column->offsets == NULL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "%s: offset_bits %u must be 0, 32 or 64, with offsets for the last two",
                       what, column->offset_bits);
    }
    return check_offsets(column, n, what, err);
}

omen_status_t om_column_check(const om_collection *c, const omen_column *column, uint64_t n,
                              omen_error *err)
{
    uint32_t width = om_id_width(c);
    if (column->offset_bits == 0) {
        if (column->offsets != NULL || column->width == 0 || column->width > OMEN_MAX_STRING_ID ||
            (width != 0 && column->width != width)) {
            return om_fail(
                err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                "ids: width %u without offsets; the collection's ids have %u bytes (0: 1 to %u)",
                column->width, width, OMEN_MAX_STRING_ID);
        }
        return OMEN_OK;
    }
    return om_column_check_shape(column, n, "ids", err);
}

omen_status_t om_id_check(const om_collection *c, om_id id, uint64_t item, omen_error *err)
{
    uint32_t width = om_id_width(c);
    if (width != 0 ? id.length != width : id.length == 0 || id.length > OMEN_MAX_STRING_ID) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, item,
                            "item %llu: the id has %zu bytes, must have %u to %u",
                            (unsigned long long)item, id.length, width != 0 ? width : 1u,
                            width != 0 ? width : OMEN_MAX_STRING_ID);
    }
    if (width == KEY_BYTES && om_id_u64(id) == OMEN_NONE) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, item,
                            "item %llu: the id 2^64 - 1 is reserved", (unsigned long long)item);
    }
    return OMEN_OK;
}

uint64_t om_id_u64(om_id id)
{
    uint64_t value;
    memcpy(&value, id.bytes, sizeof value);
    return value;
}

/* ---- Keys by id ------------------------------------------------------------------------------ */
/* The set as it is with ids_mu held: an item that is replaced then has one live row in it. */
static omen_status_t read_locked(omen_collection *handle, om_reading reader, void *args,
                                 omen_error *err)
{
    om_collection *c = handle->c;
    om_rwlock_read(&c->ids_mu);
    om_reader from = om_reader_of(handle);
    omen_status_t status = reader(&from, args, err);
    om_rwlock_unlock(&c->ids_mu);
    return status;
}

omen_status_t om_read_pinned(omen_collection *handle, bool lock, om_reading reader, void *args,
                             omen_error *err)
{
    om_collection *c = handle->c;
    om_ctx *ctx = NULL;
    omen_status_t status = om_ctx_acquire(c->rt, &ctx, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(c->rt, ctx);
    if (lock) {
        status = read_locked(handle, reader, args, err);
    } else {
        om_reader from = om_reader_of(handle);
        status = reader(&from, args, err);
    }
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return status;
}

omen_status_t om_read_steady(omen_collection *handle, om_reading reader, void *args, bool *steady,
                             omen_error *err)
{
    om_collection *c = handle->c;
    omen_status_t status = OMEN_OK;
    *steady = false;
    for (uint32_t round = 0; round < STEADY_ROUNDS && !*steady && status == OMEN_OK; round++) {
        uint32_t replacing = atomic_load(&c->replacing);
        status = om_read_pinned(handle, false, reader, args, err);
        *steady = handle->snapshot != NULL ||
                  ((replacing & 1) == 0 && atomic_load(&c->replacing) == replacing);
    }
    return status;
}

typedef struct lookup {
    const omen_column *ids;
    uint64_t count;
    uint64_t *keys;
} lookup;

static omen_status_t lookup_keys(const om_reader *from, void *args, omen_error *err)
{
    const lookup *l = args;
    for (uint64_t i = 0; i < l->count; i++) {
        omen_status_t status = om_reader_find_id(from, om_column_get(l->ids, i), &l->keys[i], err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

omen_status_t om_collection_lookup(omen_collection *handle, const omen_column *ids, uint64_t count,
                                   uint64_t *keys, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    lookup l = {.ids = ids, .count = count, .keys = keys};
    OM_TRY(om_collection_alive(c, err));
    if (ids->data == NULL && count != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "ids.data: NULL with %llu ids",
                       (unsigned long long)count);
    }
    if (count != 0) {
        OM_TRY(om_column_check(c, ids, count, err));
    }
    status = om_read_pinned(handle, true, lookup_keys, &l, err);
out:
    return status;
}

/* ---- Vectors by key -------------------------------------------------------------------------- */
static omen_status_t copy_row(om_place place, const om_get *get, uint64_t i, omen_error *err)
{
    om_segment *seg = place.segment;
    const om_view *view = om_view_load(seg);
    uint32_t slot = place.slot;
    uint32_t dim = seg->options.dim;
    if (view->mapped != NULL) {
        omen_status_t status = om_mapped_touch(view->mapped, OM_TOUCH_VECTORS, slot, 1, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    const uint8_t *row = view->vectors + (size_t)slot * seg->layout.row_bytes;
    uint8_t *out = (uint8_t *)get->out + i * get->stride;
    if (get->dtype == seg->options.dtype) {
        memcpy(out, row, seg->layout.row_bytes);
        return OMEN_OK;
    }
    float wide[CONVERT_CHUNK]; /* The caller's rows may lie at any address. */
    uint32_t width = om_dtype_width(seg->options.dtype);
    for (uint32_t at = 0; at < dim; at += CONVERT_CHUNK) {
        uint32_t n = om_min_u32(CONVERT_CHUNK, dim - at);
        om_to_f32(seg->rt->kernels, seg->options.dtype, row + (size_t)at * width, wide, n);
        memcpy(out + (size_t)at * sizeof *wide, wide, n * sizeof *wide);
    }
    return OMEN_OK;
}

/* Without `found` every key must be there: known before the first byte of the output is written. */
static omen_status_t check_all_there(const om_reader *from, const om_get *get, omen_error *err)
{
    for (uint64_t i = 0; i < get->count; i++) {
        om_place place;
        omen_status_t status = om_reader_find(from, get->keys[i], &place, err);
        if (status == OMEN_OK && place.segment == NULL) {
            status = om_fail_item(err, OMEN_NOT_FOUND, OMEN_D_NONE, i, "item %llu: no key %llu",
                                  (unsigned long long)i, (unsigned long long)get->keys[i]);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t get_rows(const om_reader *from, void *args, omen_error *err)
{
    const om_get *get = args;
    omen_status_t status = get->found == NULL ? check_all_there(from, get, err) : OMEN_OK;
    for (uint64_t i = 0; i < get->count && status == OMEN_OK; i++) {
        om_place place;
        status = om_reader_find(from, get->keys[i], &place, err);
        if (status == OMEN_OK && place.segment != NULL) {
            status = copy_row(place, get, i, err);
        }
        if (get->found != NULL) {
            get->found[i] = status == OMEN_OK && place.segment != NULL;
        }
    }
    return status;
}

static omen_status_t check_get(const om_collection *c, om_get *get, omen_error *err)
{
    get->dtype = get->dtype != 0 ? get->dtype : c->options.dtype;
    if (get->dtype != c->options.dtype && get->dtype != OMEN_F32) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "dtype: %u (%s) must be f32 or the collection's %s", get->dtype,
                       om_dtype_name(get->dtype), om_dtype_name(c->options.dtype));
    }
    uint64_t row = (uint64_t)c->options.dim * om_dtype_width(get->dtype);
    get->stride = get->stride != 0 ? get->stride : row;
    if (get->stride < row || get->count > PTRDIFF_MAX / get->stride) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "stride: %llu bytes for %llu rows of %llu bytes",
                       (unsigned long long)get->stride, (unsigned long long)get->count,
                       (unsigned long long)row);
    }
    return OMEN_OK;
}

omen_status_t om_collection_get(omen_collection *handle, const om_get *get, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_get g = *get;
    OM_TRY(om_collection_alive(handle->c, err));
    OM_TRY(check_get(handle->c, &g, err));
    status = om_read_pinned(handle, true, get_rows, &g, err);
out:
    return status;
}
