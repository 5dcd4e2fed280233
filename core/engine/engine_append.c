/* engine_append.c - adding a batch: everything that can fail first, then rows, ids, and one
 * publication.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine_int.h"

enum { PREFETCH_AHEAD = 12, CONVERT_CHUNK = 1024 };

float om_inverse_norm(const om_segment *c, const void *row, float *scratch)
{
    const om_kernels *kernels = c->rt->kernels;
    uint32_t dim = c->options.dim;
    const float *x = row;
    if (c->options.dtype != OMEN_F32) {
        om_to_f32(kernels, c->options.dtype, row, scratch, dim);
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

void om_row_norms(om_segment *c, uint32_t first, uint32_t n)
{
    float *norms = (float *)(void *)c->store->array[OM_A_NORMS].base;
    const uint8_t *rows = c->store->array[OM_A_VECTORS].base;
    float *scratch = (float *)(void *)c->former; /* room was made for it */
    for (uint32_t i = first; i < first + n; i++) {
        norms[i] = om_inverse_norm(c, rows + (size_t)i * c->layout.row_bytes, scratch);
    }
}

/* ---- What is checked with the collection locked ---------------------------------------------- */
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

static bool has_key(om_segment *c, uint64_t key)
{
    return c->store != NULL && om_idmap_get(&c->map, (const void *)c->store->array[OM_A_KEYS].base,
                                            key) != OM_IDMAP_ABSENT;
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
        bool there = has_key(w->c, keys[i]);
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
        bool there =
            w->c->table != NULL && om_idtable_find(w->c->table, id.bytes, id.length) != OMEN_NONE;
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

static uint64_t key_of(const om_write *w, uint64_t i)
{
    return w->batch->keys != NULL ? w->batch->keys[i] : om_id_u64(om_column_get(&w->batch->ids, i));
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
        bool there = has_key(w->c, om_id_u64(id));
        bool added = true;
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

static omen_status_t check_mode(om_write *w, omen_error *err)
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

/* ---- Room ------------------------------------------------------------------------------------ */
static omen_status_t reserve_former(om_segment *c, uint64_t count, omen_error *err)
{
    /* The same block serves as float scratch for the norms, so it holds a vector at least. */
    uint64_t room = count > c->options.dim ? count : c->options.dim;
    if (room <= c->former_room) {
        return OMEN_OK;
    }
    uint32_t *former = om_alloc_get(&c->rt->alloc, room * sizeof *former, OM_CACHE_LINE);
    if (former == NULL) {
        return om_fail_memory(err, "batch scratch", room * sizeof *former);
    }
    om_alloc_put(&c->rt->alloc, c->former, c->former_room * sizeof *former, OM_CACHE_LINE);
    c->former = former;
    c->former_room = room;
    return OMEN_OK;
}

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
    om_segment *c = w->c;
    omen_status_t status = OMEN_OK;
    const uint64_t *keys = (const void *)c->store->array[OM_A_KEYS].base;
    om_rwlock_write(&c->ids_mu);
    status = om_idmap_reserve(&c->map, w->accepted, keys, err);
    if (status == OMEN_OK && c->options.id_type != OMEN_ID_U64) {
        if (c->table == NULL) {
            status = om_idtable_create(&c->rt->alloc, &c->table, err);
        }
        if (status == OMEN_OK) {
            status = om_idtable_reserve(c->table, w->accepted, accepted_bytes(w), err);
        }
    }
    om_rwlock_unlock(&c->ids_mu);
    return status;
}

static omen_status_t reserve_keys(const om_write *w, omen_error *err)
{
    bool assigned = w->c->options.id_type == OMEN_ID_U64 && w->by_keys && w->batch->keys == NULL;
    if (assigned && w->accepted > OMEN_NONE - w->c->next_key) {
        return om_fail(err, OMEN_OUT_OF_RANGE, OMEN_D_LIMIT,
                       "keys: %llu cannot be assigned above %llu, the highest one used",
                       (unsigned long long)w->accepted, (unsigned long long)w->c->next_key - 1);
    }
    return OMEN_OK;
}

/* Everything the batch needs, so that the rest cannot fail. */
static omen_status_t reserve(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segment *c = w->c;
    OM_TRY(reserve_keys(w, err));
    OM_TRY(reserve_former(c, w->accepted, err));
    OM_TRY(om_marks_reserve(c, err));
    if (w->accepted != 0) {
        OM_TRY(reserve_table(w, err));
    }
    if (w->batch->request_id != NULL) {
        OM_TRY(om_requests_reserve(c->db->requests, err));
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
    om_segment *c = w->c;
    const uint8_t *from = w->batch->vectors;
    size_t row = c->layout.row_bytes;
    uint8_t *to = c->store->array[OM_A_VECTORS].base + (size_t)slot * row;
    bool narrow = w->dtype != c->options.dtype;
    if (!narrow && w->stride == row && w->accepted == w->batch->count) {
        memcpy(to, from, w->batch->count * row);
        return;
    }
    for (uint64_t i = 0; i < w->batch->count; i++) {
        if (om_write_skips(w, i)) {
            continue;
        }
        if (narrow) {
            narrow_row(c->rt->kernels, from + i * w->stride, (uint16_t *)(void *)to,
                       c->options.dim);
        } else {
            memcpy(to, from + i * w->stride, row);
        }
        to += row;
    }
}

/* Writes the keys of the rows; ids_mu held for the id table. */
static void set_keys(om_write *w, uint64_t *keys)
{
    om_segment *c = w->c;
    const omen_batch *b = w->batch;
    uint64_t row = 0;
    for (uint64_t i = 0; i < b->count; i++) {
        if (om_write_skips(w, i)) {
            if (b->keys_out != NULL) {
                b->keys_out[i] = OMEN_NONE;
            }
            continue;
        }
        uint64_t key;
        if (c->options.id_type != OMEN_ID_U64) {
            bool added = false;
            om_id id = om_column_get(&b->ids, i);
            key = om_idtable_add(c->table, id.bytes, id.length, &added);
        } else {
            key = w->by_keys && b->keys == NULL ? c->next_key : key_of(w, i);
            c->next_key = key >= c->next_key ? key + 1 : c->next_key;
        }
        om_assert(keys != NULL); /* there is room for every row that is not skipped */
        keys[row++] = key;
        if (b->keys_out != NULL) {
            b->keys_out[i] = key;
        }
    }
}

/* Points every key to its new row and notes the rows that it had; returns how many had one. */
static uint64_t put_keys(om_segment *c, uint32_t slot, uint32_t n)
{
    const uint64_t *keys = (const void *)c->store->array[OM_A_KEYS].base;
    uint64_t replaced = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            om_idmap_prefetch(&c->map, keys[slot + i + PREFETCH_AHEAD]);
        }
        c->former[i] = om_idmap_put(&c->map, keys, slot + i);
        replaced += c->former[i] != OM_IDMAP_ABSENT;
    }
    return replaced;
}

static void bury(om_segment *c, uint32_t n)
{
    _Atomic uint64_t *dead = (_Atomic uint64_t *)(void *)c->store->array[OM_A_DEAD].base;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = c->former[i];
        if (slot != OM_IDMAP_ABSENT) {
            atomic_fetch_or_explicit(&dead[slot >> 6], UINT64_C(1) << (slot & 63),
                                     memory_order_release);
        }
    }
}

/* Makes rows visible, then marks the ones they replace. A search in between sees some items
 * twice, never not at all; `replacing` tells it to look again. */
static void publish(om_write *w, uint32_t slot, uint32_t n, uint64_t replaced)
{
    om_segment *c = w->c;
    if (replaced != 0) {
        atomic_fetch_add(&c->replacing, 1);
    }
    atomic_store(&c->visible, slot + n);
    if (replaced != 0) {
        bury(c, n);
        atomic_fetch_add(&c->replacing, 1);
    }
    atomic_fetch_add(&c->live, n - (uint32_t)replaced);
}

static void apply(om_write *w)
{
    om_segment *c = w->c;
    uint32_t slot = atomic_load_explicit(&c->visible, memory_order_relaxed);
    uint32_t n = (uint32_t)w->accepted;
    uint64_t replaced = 0;
    if (n != 0) {
        copy_vectors(w, slot);
        if (c->options.metric == OMEN_COSINE) {
            om_row_norms(c, slot, n);
        }
    }
    om_rwlock_write(&c->ids_mu);
    w->done.version = atomic_fetch_add(&c->db->version, 1) + 1;
    if (w->batch->count != 0) {
        set_keys(w, n != 0 ? (uint64_t *)(void *)c->store->array[OM_A_KEYS].base + slot : NULL);
    }
    if (n != 0) {
        replaced = put_keys(c, slot, n);
        publish(w, slot, n, replaced);
    }
    atomic_store(&c->version, w->done.version);
    om_rwlock_unlock(&c->ids_mu);
    w->done.applied = n;
    w->done.replaced = replaced;
    om_marks_push(c, w->done.version, slot + n);
}

/* A replayed batch gets the keys its items have now; what it was assigned is not remembered. */
static void replayed_keys(const om_write *w)
{
    om_segment *c = w->c;
    const omen_batch *b = w->batch;
    if (b->keys_out == NULL) {
        return;
    }
    om_rwlock_read(&c->ids_mu);
    for (uint64_t i = 0; i < b->count; i++) {
        uint64_t key = OMEN_NONE;
        if (c->options.id_type != OMEN_ID_U64 && c->table != NULL) {
            om_id id = om_column_get(&b->ids, i);
            key = om_idtable_find(c->table, id.bytes, id.length);
        } else if (c->options.id_type == OMEN_ID_U64 && (!w->by_keys || b->keys != NULL)) {
            key = key_of(w, i);
        }
        b->keys_out[i] = key;
    }
    om_rwlock_unlock(&c->ids_mu);
}

/* ---- The call -------------------------------------------------------------------------------- */
/* One attempt under the write mutex. *grow: nothing was done, larger arrays are needed first. */
static omen_status_t add_locked(om_write *w, bool *grow, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_stream *stream = NULL;
    *grow = false;
    OM_TRY(om_collection_alive(w->c, err));
    OM_TRY(om_write_seen(w, &stream, err));
    if (w->replayed) {
        replayed_keys(w);
        return OMEN_OK;
    }
    OM_TRY(check_mode(w, err));
    if (w->accepted != 0) {
        OM_TRY(om_growth_commit(w->c, w->accepted, grow, err));
        if (*grow) {
            return OMEN_OK;
        }
    }
    OM_TRY(reserve(w, err));
    apply(w);
    om_write_remember(w, stream);
out:
    return status;
}

/* At the bound of the tail the writer itself works on the graph until there is room. */
static omen_status_t throttle(om_write *w, omen_error *err)
{
    om_segment *c = w->c;
    for (;;) {
        uint32_t visible = atomic_load_explicit(&c->visible, memory_order_acquire);
        uint32_t indexed = atomic_load_explicit(&c->indexed, memory_order_acquire);
        uint32_t backlog = visible - om_min_u32(indexed, visible);
        if (backlog < c->backlog_limit || w->batch->count == 0) {
            return OMEN_OK;
        }
        /* A bound below a micro-batch leaves the indexer nothing whole to take: the writer then
         * indexes the incomplete one itself, whatever its flags, or it would be refused for ever. */
        if ((w->batch->flags & OMEN_NO_THROTTLE) != 0 && om_index_has_batch(indexed, visible)) {
            om_indexer_notify(c);
            return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_BACKLOG,
                           "backlog: %u rows are not in the graph yet, the limit is %u", backlog,
                           c->backlog_limit);
        }
        om_stop stop = {.op = w->op};
        omen_status_t status = om_index_until(c, indexed + 1, &stop, NULL, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
}

static omen_status_t add(om_write *w, omen_error *err)
{
    om_segment *c = w->c;
    omen_status_t status = OMEN_OK;
    bool grow = false;
    OM_TRY(om_write_check(w, err));
    OM_TRY(throttle(w, err));
    for (;;) {
        om_mutex_lock(&c->write_mu);
        status = add_locked(w, &grow, err);
        om_mutex_unlock(&c->write_mu);
        if (status != OMEN_OK || !grow) {
            break;
        }
        OM_TRY(om_growth_run(c, w->accepted, err));
    }
out:
    return status;
}

omen_status_t om_collection_add(omen_collection *handle, const omen_batch *batch,
                                omen_write_result *result, omen_op *op, omen_error *err)
{
    om_write w = {.c = handle->c, .batch = batch, .op = op};
    uint64_t rejections = om_rejections(w.c->rt);
    omen_error local; /* PER_ITEM refusals fill it, which must not show when the call succeeds. */
    omen_status_t status = om_collection_writable(w.c, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = add(&w, &local);
    if (status != OMEN_OK) {
        om_write_consume(&w, status);
        status = om_explain_memory(w.c->rt, rejections, status, &local);
        if (err != NULL) {
            *err = local;
        }
    } else {
        om_write_result(&w, result);
        if (!w.replayed) {
            atomic_store_explicit(&w.c->last_append_ns, om_now_ns(), memory_order_relaxed);
            om_indexer_notify(w.c);
        }
    }
    om_write_release(&w);
    return status;
}
