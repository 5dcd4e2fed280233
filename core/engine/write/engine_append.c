/* engine_append.c - adding a batch: everything that can fail first, then rows, ids, and one
 * publication.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

enum { PREFETCH_AHEAD = 12, CONVERT_CHUNK = 1024 };

/* ---- Keys and former rows, known before the batch is logged ----------------------------------- */
/* The same block serves as float scratch for the norms, so it holds a vector at least. */
omen_status_t om_write_grow_scratch(om_collection *c, uint64_t count, omen_error *err)
{
    const om_alloc *alloc = &c->rt->alloc;
    uint64_t room = count > c->options.dim ? count : c->options.dim;
    if (room <= c->former_room) {
        return OMEN_OK;
    }
    uint32_t *former = om_alloc_get(alloc, room * sizeof *former, OM_CACHE_LINE);
    uint64_t *keys = om_alloc_get(alloc, room * sizeof *keys, OM_CACHE_LINE);
    om_place *places = om_alloc_get(alloc, room * sizeof *places, OM_CACHE_LINE);
    if (former == NULL || keys == NULL || places == NULL) {
        om_alloc_put(alloc, former, room * sizeof *former, OM_CACHE_LINE);
        om_alloc_put(alloc, keys, room * sizeof *keys, OM_CACHE_LINE);
        om_alloc_put(alloc, places, room * sizeof *places, OM_CACHE_LINE);
        return om_fail_memory(err, "batch scratch",
                              room * (sizeof *former + sizeof *keys + sizeof *places));
    }
    om_write_free_scratch(c);
    c->former = former;
    c->row_keys = keys;
    c->places = places;
    c->former_room = room;
    return OMEN_OK;
}

void om_write_free_scratch(om_collection *c)
{
    const om_alloc *alloc = &c->rt->alloc;
    om_alloc_put(alloc, c->former, c->former_room * sizeof *c->former, OM_CACHE_LINE);
    om_alloc_put(alloc, c->row_keys, c->former_room * sizeof *c->row_keys, OM_CACHE_LINE);
    om_alloc_put(alloc, c->places, c->former_room * sizeof *c->places, OM_CACHE_LINE);
    c->former = NULL;
    c->row_keys = NULL;
    c->places = NULL;
    c->former_room = 0;
}

/* The row of a key in the segments before the growing one. */
static omen_status_t find_older(om_write *w, uint64_t key, om_place *out, omen_error *err)
{
    const om_set *set = om_set_load(w->c);
    *out = (om_place){.segment = NULL};
    for (uint32_t part = set->count - 1; part-- != 0;) {
        uint32_t slot = OM_IDMAP_ABSENT;
        omen_status_t status = om_segment_find(set->part[part], key, &slot, err);
        if (status != OMEN_OK) {
            return status;
        }
        if (slot != OM_IDMAP_ABSENT) {
            *out = (om_place){.segment = set->part[part], .slot = slot};
            break;
        }
    }
    return OMEN_OK;
}

static omen_status_t resolve_u64(om_write *w, omen_error *err)
{
    om_collection *c = w->c;
    const omen_batch *b = w->batch;
    bool assigned = w->by_keys && b->keys == NULL;
    bool older = om_set_load(c)->count > 1;
    uint64_t row = 0;
    for (uint64_t i = 0; i < b->count; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        uint64_t key = assigned ? w->next_key : om_write_key(w, i);
        w->next_key = key >= w->next_key ? key + 1 : w->next_key;
        w->row_keys[row] = key;
        if (older) {
            omen_status_t status = find_older(w, key, &w->places[row], err);
            if (status != OMEN_OK) {
                return status;
            }
        }
        row++;
    }
    return OMEN_OK;
}

/* The key of an id: of its live row, of an item of this batch before it, or a new one. */
static omen_status_t resolve_id(om_write *w, om_id id, om_idtable *seen, uint64_t row,
                                omen_error *err)
{
    om_collection *c = w->c;
    omen_status_t status = OMEN_OK;
    uint64_t key = OMEN_NONE;
    uint64_t before = seen != NULL ? om_idtable_put(seen, id.bytes, id.length) : 0;
    w->places[row] = (om_place){.segment = NULL};
    if (w->recovered) {
        key = w->batch->keys[row];
    } else if (before != 0) {
        key = w->row_keys[before - 1];
    } else {
        OM_TRY(om_find_id(c, id, &key, err));
    }
    if (key != OMEN_NONE && om_set_load(c)->count > 1) {
        OM_TRY(find_older(w, key, &w->places[row], err));
    }
    key = key == OMEN_NONE ? w->next_key : key;
    w->next_key = key >= w->next_key ? key + 1 : w->next_key;
    w->row_keys[row] = key;
out:
    return status;
}

static omen_status_t resolve_ids(om_write *w, om_idtable *seen, omen_error *err)
{
    uint64_t row = 0;
    for (uint64_t i = 0; i < w->batch->count; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        om_id id = om_column_get(&w->batch->ids, i);
        omen_status_t status = resolve_id(w, id, seen, row++, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

static omen_status_t resolve(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_idtable *seen = NULL;
    w->row_keys =
        w->c->row_keys + w->ahead; /* behind those of the batches before it in its group */
    w->places = w->c->places + w->ahead;
    if (w->c->options.id_type == OMEN_ID_U64) {
        OM_TRY(resolve_u64(w, err));
    } else {
        if (w->accepted > 1 && !w->recovered) {
            OM_TRY(om_idtable_create(&w->c->rt->alloc, &seen, err));
            OM_TRY(om_idtable_reserve(seen, w->accepted, w->id_bytes, err));
        }
        OM_TRY(resolve_ids(w, seen, err));
    }
out:
    om_idtable_free(seen);
    return status;
}

/* ---- Room ------------------------------------------------------------------------------------ */
/* Bytes of the ids that are really written. */
static uint64_t accepted_bytes(const om_write *w)
{
    if (w->status == NULL) {
        return w->id_bytes;
    }
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < w->batch->count; i++) {
        bytes += om_write_skips(w, i) ? 0 : om_column_get(&w->batch->ids, i).length;
    }
    return bytes;
}

static omen_status_t reserve_table(om_write *w, omen_error *err)
{
    om_segment *seg = w->seg;
    omen_status_t status = OMEN_OK;
    const uint64_t *keys = (const void *)seg->store->array[OM_A_KEYS].base;
    om_rwlock_write(&w->c->ids_mu);
    status = om_idmap_reserve(&seg->map, w->ahead + w->accepted, keys, err);
    if (status == OMEN_OK && seg->options.id_type != OMEN_ID_U64) {
        if (seg->table == NULL) {
            status = om_idtable_create(&w->c->rt->alloc, &seg->table, err);
        }
        if (status == OMEN_OK) {
            status = om_idtable_reserve(seg->table, w->accepted, accepted_bytes(w), err);
        }
    }
    if (status == OMEN_OK) {
        status = om_births_reserve(seg, w->ahead_batches + 1, err);
    }
    om_rwlock_unlock(&w->c->ids_mu);
    return status;
}

static omen_status_t reserve_keys(const om_write *w, omen_error *err)
{
    bool assigned = w->c->options.id_type == OMEN_ID_U64 && w->by_keys && w->batch->keys == NULL;
    if (assigned && w->accepted > OMEN_NONE - w->next_key) {
        return om_fail(err, OMEN_OUT_OF_RANGE, OMEN_D_LIMIT,
                       "keys: %llu cannot be assigned above %llu, the highest one used",
                       (unsigned long long)w->accepted, (unsigned long long)w->next_key - 1);
    }
    return OMEN_OK;
}

/* Everything the batch needs, so that the rest cannot fail. */
static omen_status_t reserve(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = w->c;
    OM_TRY(reserve_keys(w, err));
    OM_TRY(om_marks_reserve(w->seg, err));
    if (w->accepted != 0) {
        OM_TRY(reserve_table(w, err));
    }
    if (w->batch->request_id != NULL) {
        OM_TRY(om_requests_reserve(c->db->requests, err));
    }
    OM_TRY(resolve(w, err));
    if (w->fields != NULL) {
        OM_TRY(om_fields_stage(w, err));
    }
out:
    return status;
}

/* ---- Applying: nothing here can fail --------------------------------------------------------- */
static void narrow_row(const om_kernels *kernels, const uint8_t *from, uint16_t *to, uint32_t dim)
{
    float in[CONVERT_CHUNK];
    for (uint32_t at = 0; at < dim; at += CONVERT_CHUNK) {
        uint32_t n = om_min_u32(CONVERT_CHUNK, dim - at);
        memcpy(in, from + (size_t)at * sizeof(float), n * sizeof(float));
        kernels->f32_to_f16(in, to + at, n);
    }
}

static void copy_vectors(om_write *w, uint32_t slot)
{
    om_segment *seg = w->seg;
    const uint8_t *from = w->batch->vectors;
    size_t row = seg->layout.row_bytes;
    uint8_t *to = seg->store->array[OM_A_VECTORS].base + (size_t)slot * row;
    bool narrow = w->dtype != seg->options.dtype;
    if (!narrow && w->stride == row && w->accepted == w->batch->count) {
        memcpy(to, from, w->batch->count * row);
        return;
    }
    for (uint64_t i = 0; i < w->batch->count; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        if (narrow) {
            narrow_row(seg->rt->kernels, from + i * w->stride, (uint16_t *)(void *)to,
                       seg->options.dim);
        } else {
            memcpy(to, from + i * w->stride, row);
        }
        to += row;
    }
}

/* Writes the keys of the rows and the ids they have; ids_mu held. */
static void set_keys(om_write *w, uint32_t slot)
{
    om_segment *seg = w->seg;
    const omen_batch *b = w->batch;
    uint64_t row = 0;
    bool ids = seg->options.id_type != OMEN_ID_U64;
    for (uint64_t i = 0; i < b->count; i++) {
        bool skipped = om_write_skips(w, i);
        if (b->keys_out != NULL && !w->recovered) {
            b->keys_out[i] = skipped ? OMEN_NONE : w->row_keys[row];
        }
        if (skipped) {
            continue;
        }
        if (ids) {
            om_id id = om_column_get(&b->ids, i);
            uint64_t former = om_idtable_put(seg->table, id.bytes, id.length);
            if (former != 0 && !seg->ids_kept) {
                om_idtable_forget(seg->table, former);
            }
        }
        row++;
    }
    memcpy(seg->store->array[OM_A_KEYS].base + (size_t)slot * sizeof(uint64_t), w->row_keys,
           (size_t)row * sizeof(uint64_t));
}

/* Points every key to its new row and notes the row it had; returns how many had one. */
static uint64_t put_keys(om_write *w, uint32_t slot, uint32_t n)
{
    om_collection *c = w->c;
    om_segment *seg = w->seg;
    const uint64_t *keys = (const void *)seg->store->array[OM_A_KEYS].base;
    uint64_t replaced = 0;
    bool older = om_set_load(c)->count > 1;
    for (uint32_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            om_idmap_prefetch(&seg->map, keys[slot + i + PREFETCH_AHEAD]);
        }
        c->former[i] = om_idmap_put(&seg->map, keys, slot + i);
        if (c->former[i] != OM_IDMAP_ABSENT && om_segment_is_dead(seg, c->former[i])) {
            c->former[i] = OM_IDMAP_ABSENT;
        }
        replaced += c->former[i] != OM_IDMAP_ABSENT || (older && w->places[i].segment != NULL);
    }
    return replaced;
}

static void bury(om_write *w, uint32_t n)
{
    om_collection *c = w->c;
    bool older = om_set_load(c)->count > 1;
    for (uint32_t i = 0; i < n; i++) {
        if (c->former[i] != OM_IDMAP_ABSENT) {
            (void)om_segment_kill(w->seg, c->former[i]);
        } else if (older && w->places[i].segment != NULL) {
            (void)om_segment_kill(w->places[i].segment, w->places[i].slot);
        }
    }
}

/* Makes rows visible, then marks the ones they replace. A search in between sees some items
 * twice, never not at all; `replacing` tells it to look again. */
static void publish(om_write *w, uint32_t slot, uint32_t n, uint64_t replaced)
{
    om_collection *c = w->c;
    if (replaced != 0) {
        atomic_fetch_add(&c->replacing, 1);
    }
    atomic_fetch_add(&w->seg->live, n);
    atomic_store(&w->seg->visible, slot + n);
    if (replaced != 0) {
        bury(w, n);
        atomic_fetch_add(&c->replacing, 1);
    }
}

static void apply(om_write *w)
{
    om_collection *c = w->c;
    om_segment *seg = w->seg;
    uint32_t slot = atomic_load_explicit(&seg->visible, memory_order_relaxed);
    uint32_t n = (uint32_t)w->accepted;
    uint64_t replaced = 0;
    if (n != 0) {
        copy_vectors(w, slot);
        if (c->options.metric == OMEN_COSINE) {
            om_row_norms(seg, slot, n);
        }
        if (w->fields != NULL) {
            om_fields_apply(w, slot);
        }
    }
    om_rwlock_write(&c->ids_mu);
    om_write_number(w);
    if (w->batch->count != 0) {
        if (n != 0) {
            set_keys(w, slot);
            om_births_push(seg, w->done.version, slot);
            if (atomic_load_explicit(&seg->first_version, memory_order_relaxed) == 0) {
                atomic_store(&seg->first_version, w->done.version);
            }
            atomic_store(&seg->last_version, w->done.version);
        } else if (w->batch->keys_out != NULL && !w->recovered) {
            memset(w->batch->keys_out, 0xff, (size_t)w->batch->count * sizeof(uint64_t));
        }
        replaced = n != 0 ? put_keys(w, slot, n) : 0; /* an empty segment has no store */
        publish(w, slot, n, replaced);
    }
    c->next_key = w->next_key;
    w->done.applied = n;
    w->done.replaced = replaced;
    atomic_store(&c->version, w->done.version);
    om_rwlock_unlock(&c->ids_mu);
    om_marks_push(seg, w->done.version, slot + n);
}

/* The keys that the items of a replayed batch have now; OMEN_NONE for what is not there. */
static omen_status_t replayed_keys(const om_write *w, omen_error *err)
{
    om_collection *c = w->c;
    const omen_batch *b = w->batch;
    omen_status_t status = OMEN_OK;
    om_rwlock_read(&c->ids_mu);
    for (uint64_t i = 0; b->keys_out != NULL && i < b->count && status == OMEN_OK; i++) {
        b->keys_out[i] = OMEN_NONE;
        if (c->options.id_type != OMEN_ID_U64) {
            status = om_find_id(c, om_column_get(&b->ids, i), &b->keys_out[i], err);
        } else if (!w->by_keys || b->keys != NULL) {
            b->keys_out[i] = om_write_key(w, i);
        }
    }
    om_rwlock_unlock(&c->ids_mu);
    return status;
}

/* ---- The steps of a batch, write mutex held ---------------------------------------------------- */
omen_status_t om_write_stage(om_write *w, bool *grow, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    *grow = false;
    if (!w->recovered) {
        OM_TRY(om_collection_alive(w->c, err));
        OM_TRY(om_write_seen(w, &w->stream, err));
        if (w->replayed) {
            return replayed_keys(w, err);
        }
        OM_TRY(om_write_check_mode(w, err));
        OM_TRY(om_write_check_versions(w, err));
    } else {
        OM_TRY(om_write_recover_stream(w, &w->stream, err));
    }
    if (w->accepted != 0) {
        OM_TRY(om_growth_commit(w->seg, w->ahead + w->accepted, grow, err));
    }
    if (!*grow && w->batch->mode == OMEN_PATCH && !w->recovered) {
        OM_TRY(om_patch_apply(w, err));
    }
    if (!*grow) {
        OM_TRY(reserve(w, err));
    }
out:
    return status;
}

void om_write_apply(om_write *w)
{
    apply(w);
    om_write_remember(w, w->stream);
}

omen_status_t om_write_recover(om_collection *c, const om_recovered *r, omen_error *err)
{
    om_write w = {.c = c, .batch = r->batch, .recovered = true, .deletes = r->deletes};
    w.done.version = r->version;
    omen_status_t status = r->deletes ? om_write_check_delete(&w, err) : om_write_check(&w, err);
    if (status == OMEN_OK && r->meta != NULL && r->batch->count != 0) {
        status = om_fields_recover(&w, r->meta, r->meta_bytes, err);
    }
    if (status == OMEN_OK) {
        status = r->deletes ? om_write_delete(&w, err) : om_write_commit(&w, err);
    }
    om_write_release(&w);
    return status;
}

omen_status_t om_collection_add(omen_collection *handle, const omen_batch *batch,
                                omen_write_result *result, omen_op *op, omen_error *err)
{
    om_write w = {.c = handle->c, .batch = batch, .op = op};
    uint64_t rejections = om_rejections(w.c->rt);
    omen_error local; /* PER_ITEM refusals fill it, which must not show when the call succeeds. */
    omen_status_t status = om_collection_writable(handle, false, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_write_check(&w, &local);
    if (status == OMEN_OK) {
        status = om_write_leave_room(&w, &local);
    }
    if (status == OMEN_OK) {
        status = om_write_throttle(&w, &local);
    }
    if (status == OMEN_OK) {
        status = om_write_commit(&w, &local);
    }
    if (status != OMEN_OK) {
        status = om_explain_memory(w.c->rt, rejections, status, &local);
    }
    return om_write_end(&w, status, &local, result, err);
}
