/* engine_delete.c - deleting items, wherever their rows are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_fields_int.h"

/* Keys that are found when nothing is written any more. */
struct om_finding {
    om_find_keys find;
    void *ctx;
    omen_batch batch; /* with these keys */
    uint64_t *keys;   /* [count] */
    uint64_t count;
};

static omen_status_t key_to_delete(const om_write *w, uint64_t i, uint64_t *key, omen_error *err)
{
    if (w->by_keys) {
        *key = w->batch->keys[i];
        return OMEN_OK;
    }
    return om_find_id(w->c, om_column_get(&w->batch->ids, i), key, err);
}

/* Finds the rows before the batch is logged: reading a damaged file may fail, applying may not. */
static omen_status_t find_rows(om_write *w, omen_error *err)
{
    om_collection *c = w->c;
    uint64_t row = 0;
    for (uint64_t i = 0; i < w->batch->count; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        uint64_t key = OMEN_NONE;
        om_place *place = &w->places[row++];
        *place = (om_place){.segment = NULL};
        omen_status_t status = key_to_delete(w, i, &key, err);
        if (status == OMEN_OK && key != OMEN_NONE) {
            status = om_find_key(c, key, place, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* The maps of a growing segment forget what is dead, unless a snapshot may ask for it. ids_mu held. */
static void forget(om_segment *seg, uint32_t slot)
{
    const uint64_t *keys = (const void *)seg->store->array[OM_A_KEYS].base;
    if (seg->ids_kept) {
        return;
    }
    (void)om_idmap_remove(&seg->map, keys, keys[slot]);
    if (seg->table != NULL) {
        om_idtable_remove(seg->table, (uint64_t)slot + 1);
    }
}

static void apply(om_write *w)
{
    om_collection *c = w->c;
    om_rwlock_write(&c->ids_mu);
    om_write_number(w);
    for (uint64_t row = 0; row < w->accepted; row++) {
        om_place place = w->places[row];
        if (place.segment != NULL && om_segment_kill(place.segment, place.slot)) {
            w->done.applied++;
            if (place.segment == w->seg) {
                forget(w->seg, place.slot);
            }
        }
    }
    w->done.replaced = w->done.applied;
    atomic_store(&c->version, w->done.version);
    om_rwlock_unlock(&c->ids_mu);
    om_marks_push(w->seg, w->done.version,
                  atomic_load_explicit(&w->seg->visible, memory_order_relaxed));
}

static omen_status_t find_keys(om_write *w, omen_error *err)
{
    struct om_finding *f = w->finding;
    const om_stop stop = {.op = w->op};
    omen_status_t status = f->find(f->ctx, w->c, &stop, &f->keys, &f->count, err);
    if (status == OMEN_OK && f->count > OMEN_MAX_BATCH_ITEMS) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "delete: %llu items pass, a batch may have %u", (unsigned long long)f->count,
                       OMEN_MAX_BATCH_ITEMS);
    }
    f->batch.keys = f->keys;
    f->batch.count = f->count;
    w->accepted = f->count;
    return status;
}

static omen_status_t delete_locked(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_stream *stream = NULL;
    w->seg = om_set_last(om_set_load(w->c));
    w->level = om_max_u32(w->c->options.durability, w->batch->durability);
    if (!w->recovered) {
        OM_TRY(om_collection_alive(w->c, err));
        OM_TRY(om_write_seen(w, &stream, err));
        if (w->replayed) {
            return OMEN_OK;
        }
    } else {
        OM_TRY(om_write_recover_stream(w, &stream, err));
    }
    if (w->finding != NULL) {
        OM_TRY(find_keys(w, err));
    }
    OM_TRY(om_write_check_versions(w, err));
    OM_TRY(om_write_grow_scratch(w->c, w->accepted, err));
    w->places = w->c->places;
    OM_TRY(om_marks_reserve(w->seg, err));
    if (w->batch->request_id != NULL) {
        OM_TRY(om_requests_reserve(w->c->db->requests, err));
    }
    OM_TRY(find_rows(w, err));
    if (w->c->db->disk != NULL && !w->recovered) {
        OM_TRY(om_record_write(w, err));
        OM_TRY(om_record_sync(w->c, w->level, w->done.version, err));
    }
    apply(w);
    om_write_remember(w, stream);
out:
    w->backlog = om_backlog(w->c);
    return status;
}

omen_status_t om_write_delete(om_write *w, omen_error *err)
{
    om_mutex_lock(&w->c->write_mu);
    omen_status_t status = delete_locked(w, err);
    om_mutex_unlock(&w->c->write_mu);
    return status;
}

omen_status_t om_collection_delete(omen_collection *handle, const omen_batch *batch,
                                   omen_write_result *result, omen_op *op, omen_error *err)
{
    om_write w = {.c = handle->c, .batch = batch, .op = op, .deletes = true};
    uint64_t rejections = om_rejections(w.c->rt);
    omen_error local;
    omen_status_t status = om_collection_writable(handle, true, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_write_check_delete(&w, &local);
    if (status == OMEN_OK) {
        status = om_write_delete(&w, &local);
    }
    if (status != OMEN_OK) {
        status = om_explain_memory(w.c->rt, rejections, status, &local);
    }
    return om_write_end(&w, status, &local, result, err);
}

omen_status_t om_collection_delete_found(omen_collection *handle, om_find_keys find, void *ctx,
                                         const omen_batch *origin, omen_write_result *result,
                                         omen_op *op, omen_error *err)
{
    static const uint64_t nothing = 0;
    struct om_finding f = {.find = find, .ctx = ctx};
    om_write w = {.c = handle->c, .batch = &f.batch, .op = op, .deletes = true, .finding = &f};
    uint64_t rejections = om_rejections(w.c->rt);
    omen_error local;
    if (origin != NULL) {
        f.batch = *origin;
    }
    f.batch.count = 0;
    f.batch.keys = &nothing;
    f.batch.ids = (omen_column){.data = NULL};
    f.batch.if_version = NULL;
    f.batch.item_status = NULL;
    f.batch.flags &= ~(uint32_t)OMEN_PER_ITEM;
    omen_status_t status = om_collection_writable(handle, true, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_write_check_delete(&w, &local);
    if (status == OMEN_OK) {
        status = om_write_delete(&w, &local);
    }
    if (status != OMEN_OK) {
        status = om_explain_memory(w.c->rt, rejections, status, &local);
    }
    status = om_write_end(&w, status, &local, result, err);
    om_alloc_put(&w.c->rt->alloc, f.keys, (size_t)f.count * sizeof *f.keys, OM_CACHE_LINE);
    return status;
}
