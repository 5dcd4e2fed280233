/* engine_mode.c - INSERT, UPDATE and PATCH: which ids of a batch must not, or must, be there; and which
 * version they must have.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_fields_int.h"

static bool must_be_there(const omen_batch *b)
{
    return b->mode == OMEN_UPDATE || b->mode == OMEN_PATCH;
}

static omen_status_t exists(const om_write *w, uint64_t i, bool there, omen_error *err)
{
    if (w->batch->mode == OMEN_INSERT && there) {
        return om_fail_item(err, OMEN_ALREADY_EXISTS, OMEN_D_NONE, i, "item %llu: the id exists",
                            (unsigned long long)i);
    }
    if (must_be_there(w->batch) && !there) {
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
    if ((b->mode != OMEN_INSERT && !must_be_there(b)) || b->count == 0) {
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
    } else if (must_be_there(b)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "mode: %s needs keys",
                       b->mode == OMEN_PATCH ? "PATCH" : "UPDATE");
    }
out:
    return status;
}

/* ---- if_version ---------------------------------------------------------------------------------- */
/* The version that an item has; 0: it is not there. write_mu held. */
static omen_status_t version_of(const om_write *w, uint64_t i, uint64_t *version, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_place place = {.segment = NULL};
    uint64_t key = OMEN_NONE;
    const omen_batch *b = w->batch;
    *version = 0;
    if (w->c->options.id_type != OMEN_ID_U64 && !w->by_keys) {
        OM_TRY(om_find_id(w->c, om_column_get(&b->ids, i), &key, err));
    } else if (!w->by_keys || b->keys != NULL) {
        key = om_write_key(w, i);
    } /* else it is given out, and nobody has it */
    if (key != OMEN_NONE) {
        OM_TRY(om_find_key(w->c, key, &place, err));
    }
    if (place.segment != NULL) {
        status = om_segment_version(place.segment, place.slot, version, err);
    }
out:
    return status;
}

omen_status_t om_write_check_versions(om_write *w, omen_error *err)
{
    const omen_batch *b = w->batch;
    for (uint64_t i = 0; b->if_version != NULL && i < b->count; i++) {
        uint64_t version = 0;
        if (om_write_skips(w, i)) {
            continue;
        }
        omen_status_t status = version_of(w, i, &version, err);
        if (status == OMEN_OK && version != b->if_version[i]) {
            status =
                om_fail_item(err, OMEN_ABORTED, OMEN_D_VERSION_CONFLICT, i,
                             "item %llu: its version is %llu, not %llu", (unsigned long long)i,
                             (unsigned long long)version, (unsigned long long)b->if_version[i]);
            status = om_write_refuse(w, i, status, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}
