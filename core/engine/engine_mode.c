/* engine_mode.c - INSERT and UPDATE: which ids of a batch must not, or must, be there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_int.h"

static omen_status_t exists(const om_write *w, uint64_t i, bool there, omen_error *err)
{
    if (w->batch->mode == OMEN_INSERT && there) {
        return om_fail_item(err, OMEN_ALREADY_EXISTS, OMEN_D_NONE, i, "item %llu: the id exists",
                            (unsigned long long)i);
    }
    if (w->batch->mode == OMEN_UPDATE && !there) {
        return om_fail_item(err, OMEN_NOT_FOUND, OMEN_D_NONE, i, "item %llu: the id does not exist",
                            (unsigned long long)i);
    }
    return OMEN_OK;
}

static omen_status_t has_key(om_collection *c, uint64_t key, bool *there, omen_error *err)
{
    om_place place;
    omen_status_t status = om_find_key(c, key, &place, err);
    *there = place.segment != NULL;
    return status;
}

/* INSERT and UPDATE by key; an INSERT must not name a key twice either. */
static omen_status_t check_mode_keys(om_write *w, om_idmap *seen, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const uint64_t *keys = w->batch->keys;
    for (uint64_t i = 0; i < w->batch->count && status == OMEN_OK; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        bool there = false;
        status = has_key(w->c, keys[i], &there, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (w->batch->mode == OMEN_INSERT && !there) {
            there = om_idmap_put(seen, keys, (uint32_t)i) != OM_IDMAP_ABSENT;
        }
        status = exists(w, i, there, err);
        if (status != OMEN_OK) {
            status = om_write_refuse(w, i, status, err);
        }
    }
    return status;
}

static omen_status_t check_mode_ids(om_write *w, om_idtable *seen, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint64_t i = 0; i < w->batch->count && status == OMEN_OK; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        om_id id = om_column_get(&w->batch->ids, i);
        uint64_t key = OMEN_NONE;
        status = om_find_id(w->c, id, &key, err);
        if (status != OMEN_OK) {
            return status;
        }
        bool there = key != OMEN_NONE;
        if (w->batch->mode == OMEN_INSERT && !there) {
            bool added = false;
            (void)om_idtable_add(seen, id.bytes, id.length, &added);
            there = !added;
        }
        status = exists(w, i, there, err);
        if (status != OMEN_OK) {
            status = om_write_refuse(w, i, status, err);
        }
    }
    return status;
}

static omen_status_t check_mode_u64_ids(om_write *w, omen_error *err)
{
    /* Ids of a U64 collection as a column: checked as bytes, which says the same. */
    omen_status_t status = OMEN_OK;
    om_idtable *seen = NULL;
    OM_TRY(om_idtable_create(&w->c->rt->alloc, &seen, err));
    OM_TRY(om_idtable_reserve(seen, w->batch->count, w->id_bytes, err));
    for (uint64_t i = 0; i < w->batch->count; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        om_id id = om_column_get(&w->batch->ids, i);
        bool there = false;
        bool added = true;
        OM_TRY(has_key(w->c, om_id_u64(id), &there, err));
        if (w->batch->mode == OMEN_INSERT && !there) {
            (void)om_idtable_add(seen, id.bytes, id.length, &added);
        }
        status = exists(w, i, there || !added, err);
        if (status != OMEN_OK) {
            OM_TRY(om_write_refuse(w, i, status, err));
        }
    }
out:
    om_idtable_free(seen);
    return status;
}

omen_status_t om_write_check_mode(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const omen_batch *b = w->batch;
    const om_alloc *alloc = &w->c->rt->alloc;
    if ((b->mode != OMEN_INSERT && b->mode != OMEN_UPDATE) || b->count == 0) {
        return OMEN_OK;
    }
    if (w->c->options.id_type != OMEN_ID_U64) {
        om_idtable *seen = NULL;
        OM_TRY(om_idtable_create(alloc, &seen, err));
        status = om_idtable_reserve(seen, b->count, w->id_bytes, err);
        if (status == OMEN_OK) {
            status = check_mode_ids(w, seen, err);
        }
        om_idtable_free(seen);
    } else if (!w->by_keys) {
        status = check_mode_u64_ids(w, err);
    } else if (b->keys != NULL) {
        om_idmap seen;
        om_idmap_init(&seen, alloc);
        status = om_idmap_reserve(&seen, b->count, b->keys, err);
        if (status == OMEN_OK) {
            status = check_mode_keys(w, &seen, err);
        }
        om_idmap_free(&seen);
    } else if (b->mode == OMEN_UPDATE) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "mode: UPDATE needs keys");
    }
out:
    return status;
}
