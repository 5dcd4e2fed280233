/* engine_patch.c - PATCH: some fields of items change, which makes whole items of them, that are then
 * written as any others. With the write mutex held, so that nobody changes them in between.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

struct om_patch {
    omen_batch batch; /* what is written instead */
    uint8_t *vectors; /* [vector_bytes] NULL: the caller's */
    size_t vector_bytes;
};

void om_patch_drop(om_write *w)
{
    if (w->patch != NULL) {
        const om_alloc *alloc = &w->c->rt->alloc;
        om_alloc_put(alloc, w->patch->vectors, w->patch->vector_bytes, OM_CACHE_LINE);
        om_alloc_put(alloc, w->patch, sizeof *w->patch, _Alignof(struct om_patch));
        w->patch = NULL;
    }
}

typedef struct patching {
    om_write *w;
    const struct om_batch_fields *from; /* the changes; NULL: of the vector alone */
    om_write to;                        /* its fields are the merged rows */
    uint64_t *keys;                     /* [count] of the items */
    om_idmap seen;                      /* items of the batch by their keys */
    om_ctx *ctx;
    om_bytes scratch;
    bool any; /* a merged row has fields */
} patching;

static omen_status_t key_of(const om_write *w, uint64_t i, uint64_t *key, omen_error *err)
{
    if (w->c->options.id_type == OMEN_ID_U64) {
        *key = om_write_key(w, i);
        return OMEN_OK;
    }
    return om_find_id(w->c, om_column_get(&w->batch->ids, i), key, err);
}

/* ---- The vector that an item has ----------------------------------------------------------------- */
static omen_status_t copy_vector(const patching *p, om_place place, uint64_t i, omen_error *err)
{
    om_segment *seg = place.segment;
    size_t row = seg->layout.row_bytes;
    const uint8_t *from;
    if (seg->mapped != NULL) {
        omen_status_t status = om_mapped_touch(seg->mapped, OM_TOUCH_VECTORS, place.slot, 1, err);
        if (status != OMEN_OK) {
            return status;
        }
        from = seg->mapped->section[OM_SECTION_VECTORS].data;
    } else {
        from = seg->store->array[OM_A_VECTORS].base;
    }
    memcpy(p->w->patch->vectors + (size_t)i * row, from + (size_t)place.slot * row, row);
    return OMEN_OK;
}

/* ---- The fields that it has, and those that change ------------------------------------------------- */
static omen_status_t append_merged(patching *p, uint64_t i, const uint8_t *row,
                                   const uint8_t *change, omen_error *err)
{
    om_bytes *out = &p->to.fields->own;
    omen_status_t status = OMEN_OK;
    size_t size = om_meta_merge(row, change, NULL);
    if (size > OM_META_ROW_MAX) { /* one of many patches may be the one too many */
        status = om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, i,
                              "item %llu: its metadata would have %zu bytes, the limit is %u",
                              (unsigned long long)i, size, (unsigned)OM_META_ROW_MAX);
        status = om_write_refuse(p->w, i, status, err);
        change = om_meta_empty; /* it stays as it is */
        size = om_meta_merge(row, change, NULL);
    }
    if (status == OMEN_OK) {
        status = om_bytes_room(out, size, err);
    }
    if (status == OMEN_OK) {
        (void)om_meta_merge(row, change, out->data + out->size);
        p->any = p->any || om_meta_fields(out->data + out->size) != 0;
        out->size += size;
    }
    return status;
}

static omen_status_t merge_row(patching *p, om_place place, uint64_t i, uint32_t before,
                               omen_error *err)
{
    om_fields_look look;
    const uint8_t *row = NULL;
    struct om_batch_fields *to = p->to.fields;
    const uint8_t *change = p->from != NULL ? p->from->bytes + p->from->offsets[i] : om_meta_empty;
    if (before != OM_IDMAP_ABSENT) { /* the item once more: on top of what it became */
        size_t size = (size_t)(to->own_offsets[before + 1] - to->own_offsets[before]);
        omen_status_t status = om_bytes_room(&to->own, size + om_meta_size(change) + size, err);
        if (status != OMEN_OK) {
            return status;
        }
        row = to->own.data + to->own_offsets[before]; /* there is room: it does not move */
    } else {
        om_fields_look_at(place.segment, atomic_load(&place.segment->visible), &look);
        omen_status_t status = om_fields_row(&look, place.slot, &p->scratch, &row, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return append_merged(p, i, row != NULL ? row : om_meta_empty, change, err);
}

static omen_status_t patch_item(patching *p, uint64_t i, omen_error *err)
{
    om_place place;
    omen_status_t status = key_of(p->w, i, &p->keys[i], err);
    if (status == OMEN_OK) {
        status = om_find_key(p->w->c, p->keys[i], &place, err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    om_assert(place.segment != NULL); /* check_mode found it */
    uint32_t before = om_idmap_put(&p->seen, p->keys, (uint32_t)i);
    if (p->w->patch->vectors != NULL) {
        status = copy_vector(p, place, i, err);
    }
    return status != OMEN_OK ? status : merge_row(p, place, i, before, err);
}

static omen_status_t patch_items(patching *p, omen_error *err)
{
    const om_write *w = p->w;
    struct om_batch_fields *to = p->to.fields;
    om_stop stop = {.op = w->op};
    for (uint64_t i = 0; i < w->batch->count; i++) {
        omen_status_t status = om_stop_check(&stop);
        if (status != OMEN_OK) {
            return om_fail(err, status, OMEN_D_NONE, "cancelled before anything was written");
        }
        to->own_offsets[i] = to->own.size;
        status = om_write_skips(w, i) ? append_merged(p, i, om_meta_empty, om_meta_empty, err)
                                      : patch_item(p, i, err);
        if (status != OMEN_OK) {
            return status;
        }
        to->own_offsets[i + 1] = to->own.size;
    }
    if (to->own.size > OMEN_MAX_BATCH_BYTES) {
        return om_fail(
            err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
            "batch: %zu bytes of metadata of the changed items are above the limit of %u",
            to->own.size, OMEN_MAX_BATCH_BYTES);
    }
    return OMEN_OK;
}

/* ---- The batch ------------------------------------------------------------------------------------- */
static omen_status_t begin(patching *p, omen_error *err)
{
    om_write *w = p->w;
    const om_alloc *alloc = &w->c->rt->alloc;
    const omen_options *o = &w->c->options;
    size_t count = (size_t)w->batch->count;
    omen_status_t status = OMEN_OK;
    w->patch = om_alloc_zero(alloc, 1, sizeof *w->patch, _Alignof(struct om_patch));
    p->keys = om_alloc_zero(alloc, count, sizeof *p->keys, OM_CACHE_LINE);
    if (w->patch == NULL || p->keys == NULL) {
        return om_fail_memory(err, "items to change", count * sizeof *p->keys);
    }
    w->patch->batch = *w->batch;
    if (w->batch->vectors == NULL) {
        size_t row = (size_t)o->dim * om_dtype_width(o->dtype);
        w->patch->vectors = om_alloc_zero(alloc, count, row, OM_CACHE_LINE);
        if (w->patch->vectors == NULL) {
            return om_fail_memory(err, "items to change", count * row);
        }
        w->patch->vector_bytes = count * row;
        w->patch->batch.vectors = w->patch->vectors;
        w->patch->batch.dtype = o->dtype;
        w->patch->batch.dim = o->dim;
        w->patch->batch.stride = row;
    }
    OM_TRY(om_idmap_reserve(&p->seen, count, p->keys, err));
    OM_TRY(om_fields_make(&p->to, err));
    OM_TRY(om_fields_make_offsets(&p->to, err));
    p->to.fields->own.alloc = alloc;
    p->scratch.alloc = alloc;
    OM_TRY(om_ctx_acquire(w->c->rt, &p->ctx, err));
    om_ctx_pin(w->c->rt, p->ctx);
out:
    return status;
}

static void end(patching *p)
{
    const om_alloc *alloc = &p->w->c->rt->alloc;
    if (p->ctx != NULL) {
        om_ctx_unpin(p->ctx);
        om_ctx_release(p->ctx);
    }
    om_idmap_free(&p->seen);
    om_fields_drop(&p->to);
    if (p->scratch.data != NULL) {
        om_bytes_free(&p->scratch);
    }
    om_alloc_put(alloc, p->keys, (size_t)p->w->batch->count * sizeof *p->keys, OM_CACHE_LINE);
}

/* The merged rows take the place of the changes. */
static omen_status_t exchange(patching *p, omen_error *err)
{
    om_write *w = p->w;
    struct om_batch_fields *merged = p->to.fields;
    omen_status_t status = OMEN_OK;
    om_fields_drop(w);
    w->batch = &w->patch->batch;
    w->dtype = w->batch->dtype != 0 ? w->batch->dtype : w->c->options.dtype;
    w->stride = w->batch->stride != 0 ? w->batch->stride : w->stride;
    if (p->any) {
        merged->bytes = merged->own.data;
        merged->bound = true;
        w->fields = merged;
        p->to.fields = NULL;
        status = om_fields_analyse(w, err);
    }
    return status;
}

omen_status_t om_patch_apply(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    patching p = {.w = w, .to = {.c = w->c, .batch = w->batch}};
    if (w->accepted == 0) {
        return OMEN_OK;
    }
    om_idmap_init(&p.seen, &w->c->rt->alloc);
    if (w->fields != NULL) {
        OM_TRY(om_fields_bind(w, err));
        p.from = w->fields;
    }
    OM_TRY(begin(&p, err));
    OM_TRY(patch_items(&p, err));
    status = exchange(&p, err);
out:
    end(&p);
    return status;
}
