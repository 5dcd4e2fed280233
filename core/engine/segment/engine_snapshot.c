/* engine_snapshot.c - reading: the present of a collection, or its past in a snapshot.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot holds the segments of one moment and copies of their tombstones. Rows do not change, and ids of
 * rows that die later are kept while a snapshot lives, so it needs nothing else. */
#include <string.h>

#include "engine_int.h"

om_reader om_reader_of(const omen_collection *handle)
{
    return (om_reader){.c = handle->c,
                       .set = handle->snapshot != NULL ? handle->snapshot->set
                                                       : om_set_load(handle->c),
                       .snapshot = handle->snapshot};
}

uint32_t om_reader_rows(const om_reader *from, uint32_t part)
{
    return from->snapshot != NULL ? from->snapshot->rows[part]
                                  : atomic_load(&from->set->part[part]->visible);
}

omen_status_t om_reader_dead(const om_reader *from, uint32_t part, uint32_t slot, bool *dead,
                             omen_error *err)
{
    om_segment *seg = from->set->part[part];
    if (from->snapshot != NULL) {
        *dead = slot >= from->snapshot->rows[part] ||
                ((from->snapshot->dead[part][slot >> 6] >> (slot & 63)) & 1) != 0;
        return OMEN_OK;
    }
    if (seg->mapped != NULL) {
        omen_status_t status = om_mapped_touch(seg->mapped, OM_TOUCH_DEAD, slot, 1, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    *dead = om_view_is_dead(om_view_load(seg), slot);
    return OMEN_OK;
}

static bool was_dead(const om_snapshot *snapshot, uint32_t part, uint32_t slot)
{
    return ((snapshot->dead[part][slot >> 6] >> (slot & 63)) & 1) != 0;
}

/* Of a segment in memory: its map knows the newest row of a key, which may be younger than the snapshot. Only
 * then its rows are gone through; keys that were alive stay in the map (ids_kept). */
static uint32_t past_slot(const om_snapshot *snapshot, uint32_t part, uint64_t key)
{
    const om_segment *seg = snapshot->set->part[part];
    const uint64_t *keys = (const void *)seg->store->array[OM_A_KEYS].base;
    uint32_t slot = om_idmap_get(&seg->map, keys, key);
    if (slot == OM_IDMAP_ABSENT || slot < snapshot->rows[part]) {
        bool gone = slot == OM_IDMAP_ABSENT || was_dead(snapshot, part, slot);
        return gone ? OM_IDMAP_ABSENT : slot;
    }
    for (slot = snapshot->rows[part]; slot-- != 0;) {
        if (keys[slot] == key && !was_dead(snapshot, part, slot)) {
            return slot;
        }
    }
    return OM_IDMAP_ABSENT;
}

static omen_status_t find_past(const om_reader *from, uint32_t part, uint64_t key, uint32_t *slot,
                               omen_error *err)
{
    om_segment *seg = from->set->part[part];
    *slot = OM_IDMAP_ABSENT;
    if (from->snapshot->rows[part] == 0) {
        return OMEN_OK;
    }
    if (seg->mapped == NULL) {
        *slot = past_slot(from->snapshot, part, key);
        return OMEN_OK;
    }
    bool dead = false;
    omen_status_t status = om_mapped_slot_of_key(seg->mapped, key, slot, err);
    if (status == OMEN_OK && *slot != OM_IDMAP_ABSENT) {
        status = om_reader_dead(from, part, *slot, &dead, err);
        *slot = dead ? OM_IDMAP_ABSENT : *slot;
    }
    return status;
}

omen_status_t om_reader_find(const om_reader *from, uint64_t key, om_place *out, omen_error *err)
{
    *out = (om_place){.segment = NULL};
    for (uint32_t part = from->set->count; part-- != 0;) {
        uint32_t slot = OM_IDMAP_ABSENT;
        om_segment *seg = from->set->part[part];
        omen_status_t status = from->snapshot != NULL ? find_past(from, part, key, &slot, err)
                                                      : om_segment_find(seg, key, &slot, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (slot != OM_IDMAP_ABSENT) {
            *out = (om_place){.segment = seg, .slot = slot};
            break;
        }
    }
    return OMEN_OK;
}

/* The row that the id had in a segment in memory; like past_slot. */
static uint32_t past_slot_of_id(const om_snapshot *snapshot, uint32_t part, om_id id)
{
    const om_segment *seg = snapshot->set->part[part];
    uint64_t number = om_idtable_find(seg->table, id.bytes, id.length);
    if (number == OMEN_NONE || number <= snapshot->rows[part]) {
        bool gone = number == OMEN_NONE || was_dead(snapshot, part, (uint32_t)(number - 1));
        return gone ? OM_IDMAP_ABSENT : (uint32_t)(number - 1);
    }
    for (uint32_t slot = snapshot->rows[part]; slot-- != 0;) {
        size_t length = 0;
        if (was_dead(snapshot, part, slot)) {
            continue;
        }
        const void *there = om_idtable_id(seg->table, (uint64_t)slot + 1, &length);
        if (there != NULL && length == id.length && memcmp(there, id.bytes, length) == 0) {
            return slot;
        }
    }
    return OM_IDMAP_ABSENT;
}

static omen_status_t find_past_id(const om_reader *from, uint32_t part, om_id id, uint64_t *key,
                                  omen_error *err)
{
    om_segment *seg = from->set->part[part];
    *key = OMEN_NONE;
    if (from->snapshot->rows[part] == 0) {
        return OMEN_OK;
    }
    if (seg->mapped != NULL) {
        return om_mapped_key_of_id(seg->mapped, id, key, err);
    }
    uint32_t slot = past_slot_of_id(from->snapshot, part, id);
    if (slot != OM_IDMAP_ABSENT) {
        *key = ((const uint64_t *)(const void *)seg->store->array[OM_A_KEYS].base)[slot];
    }
    return OMEN_OK;
}

omen_status_t om_reader_find_id(const om_reader *from, om_id id, uint64_t *key, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_place place = {.segment = NULL};
    if (from->snapshot == NULL) {
        return om_find_id(from->c, id, key, err);
    }
    *key = OMEN_NONE;
    if (from->c->options.id_type == OMEN_ID_U64) {
        uint64_t wanted = id.length == sizeof(uint64_t) ? om_id_u64(id) : OMEN_NONE;
        status = om_reader_find(from, wanted, &place, err);
        *key = place.segment != NULL ? wanted : OMEN_NONE;
        return status;
    }
    for (uint32_t part = from->set->count; part-- != 0 && status == OMEN_OK;) {
        uint64_t found = OMEN_NONE;
        uint32_t slot = OM_IDMAP_ABSENT;
        status = find_past_id(from, part, id, &found, err);
        if (status == OMEN_OK && found != OMEN_NONE) {
            status = find_past(from, part, found, &slot, err);
        }
        if (slot != OM_IDMAP_ABSENT) {
            *key = found;
            break;
        }
    }
    return status;
}

/* ---- The present ----------------------------------------------------------------------------- */
omen_status_t om_find_key(om_collection *c, uint64_t key, om_place *out, omen_error *err)
{
    om_reader now = {.c = c, .set = om_set_load(c)};
    return om_reader_find(&now, key, out, err);
}

omen_status_t om_find_id(om_collection *c, om_id id, uint64_t *key, omen_error *err)
{
    const om_set *set = om_set_load(c);
    *key = OMEN_NONE;
    for (uint32_t part = set->count; part-- != 0 && *key == OMEN_NONE;) {
        omen_status_t status = om_segment_find_id(set->part[part], id, key, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* ---- Life ------------------------------------------------------------------------------------ */
void om_snapshot_free(om_collection *c, om_snapshot *snapshot)
{
    const om_alloc *alloc = &c->rt->alloc;
    if (snapshot == NULL) {
        return;
    }
    uint32_t count = snapshot->set->count;
    for (uint32_t i = 0; i < count; i++) {
        if (snapshot->dead[i] != NULL) {
            om_segment_drop_dead(snapshot->set->part[i], snapshot->rows[i], snapshot->dead[i]);
        }
    }
    om_alloc_put(alloc, snapshot->dead, count * sizeof *snapshot->dead, OM_CACHE_LINE);
    om_alloc_put(alloc, snapshot->rows, count * sizeof *snapshot->rows, OM_CACHE_LINE);
    om_alloc_put(alloc, snapshot->live_rows, count * sizeof *snapshot->live_rows, OM_CACHE_LINE);
    om_set_free(c->rt, snapshot->set);
    om_alloc_put(alloc, snapshot, sizeof *snapshot, OM_CACHE_LINE);
}

static omen_status_t make_arrays(om_collection *c, om_snapshot *snapshot, omen_error *err)
{
    const om_alloc *alloc = &c->rt->alloc;
    uint32_t count = snapshot->set->count;
    snapshot->dead = om_alloc_zero(alloc, count, sizeof *snapshot->dead, OM_CACHE_LINE);
    snapshot->rows = om_alloc_zero(alloc, count, sizeof *snapshot->rows, OM_CACHE_LINE);
    snapshot->live_rows = om_alloc_zero(alloc, count, sizeof *snapshot->live_rows, OM_CACHE_LINE);
    if (snapshot->dead == NULL || snapshot->rows == NULL || snapshot->live_rows == NULL) {
        return om_fail_memory(err, "snapshot", count * sizeof *snapshot->dead);
    }
    return OMEN_OK;
}

/* write_mu held. */
static omen_status_t fill(om_collection *c, om_snapshot *snapshot, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_set *set = om_set_load(c);
    OM_TRY(om_set_make(c->rt, set->part, set->count, &snapshot->set, err));
    OM_TRY(make_arrays(c, snapshot, err));
    snapshot->serial = atomic_fetch_add_explicit(&c->rt->serials, 1, memory_order_relaxed) + 1;
    snapshot->version = atomic_load(&c->version);
    om_rwlock_write(&c->ids_mu);
    for (uint32_t i = 0; i < set->count; i++) {
        set->part[i]->ids_kept = true;
    }
    om_rwlock_unlock(&c->ids_mu);
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t rows = atomic_load(&set->part[i]->visible);
        OM_TRY(om_segment_copy_dead(set->part[i], rows, &snapshot->dead[i], &snapshot->live_rows[i],
                                    err));
        snapshot->rows[i] = rows;
        snapshot->live += snapshot->live_rows[i];
    }
out:
    return status;
}

static omen_status_t make(om_collection *c, om_snapshot **out, omen_error *err)
{
    om_snapshot *snapshot = om_alloc_zero(&c->rt->alloc, 1, sizeof *snapshot, OM_CACHE_LINE);
    if (snapshot == NULL) {
        return om_fail_memory(err, "snapshot", sizeof *snapshot);
    }
    om_mutex_lock(&c->write_mu);
    omen_status_t status = fill(c, snapshot, err);
    om_mutex_unlock(&c->write_mu);
    if (status != OMEN_OK) {
        if (snapshot->set == NULL) {
            om_alloc_put(&c->rt->alloc, snapshot, sizeof *snapshot, OM_CACHE_LINE);
        } else {
            om_snapshot_free(c, snapshot);
        }
        return status;
    }
    *out = snapshot;
    return OMEN_OK;
}

omen_status_t om_collection_snapshot(omen_collection *handle, omen_collection **out,
                                     omen_error *err)
{
    om_collection *c = handle->c;
    om_snapshot *snapshot = NULL;
    omen_collection *made = NULL;
    uint64_t rejections = om_rejections(c->rt);
    omen_status_t status = om_collection_alive(c, err);
    if (status == OMEN_OK && handle->snapshot != NULL) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                       "collection '%s': the handle is a snapshot already", c->name);
    }
    if (status == OMEN_OK) {
        status = om_collection_handle(c, &made, err);
    }
    if (status == OMEN_OK) {
        status = make(c, &snapshot, err);
        if (status != OMEN_OK) {
            om_collection_free(made);
        }
    }
    if (status != OMEN_OK) {
        return om_explain_memory(c->rt, rejections, status, err);
    }
    made->snapshot = snapshot;
    *out = made;
    return OMEN_OK;
}
