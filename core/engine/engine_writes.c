/* engine_writes.c - what adding and deleting share: streams, request ids, results; and deleting
 * itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

static om_request_key request_of(const om_write *w)
{
    return (om_request_key){
        .id = w->batch->request_id, .length = w->batch->request_id_len, .serial = w->c->serial};
}

static omen_status_t check_sequence(om_write *w, om_stream *stream, omen_error *err)
{
    const omen_batch *b = w->batch;
    if (b->stream_epoch != 0 && b->stream_epoch != stream->epoch) {
        return om_fail(err, OMEN_ABORTED, OMEN_D_SEQUENCE,
                       "stream_epoch: %llu was fenced by a newer open, %llu",
                       (unsigned long long)b->stream_epoch, (unsigned long long)stream->epoch);
    }
    if (b->seq <= stream->last_seq) {
        w->replayed = true;
        w->done = (om_written){.version = stream->last_version};
        return OMEN_OK;
    }
    if (b->seq != stream->last_seq + 1) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_SEQUENCE,
                       "seq: %llu, the next one of the stream is %llu", (unsigned long long)b->seq,
                       (unsigned long long)stream->last_seq + 1);
    }
    return OMEN_OK;
}

omen_status_t om_write_seen(om_write *w, om_stream **stream, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const omen_batch *b = w->batch;
    if (b->stream_id != NULL) {
        om_stream_id id = {.bytes = b->stream_id, .length = b->stream_id_len};
        OM_TRY(om_streams_get(&w->c->rt->alloc, &w->c->streams, id, stream, err));
        OM_TRY(check_sequence(w, *stream, err));
    }
    if (b->request_id != NULL && !w->replayed) {
        om_request_key key = request_of(w);
        if (om_requests_find(w->c->db->requests, &key, &w->done)) {
            w->replayed = true;
            if (*stream != NULL) {
                (*stream)->last_seq = b->seq;
                (*stream)->last_version = w->done.version;
            }
        }
    }
out:
    return status;
}

void om_write_remember(om_write *w, om_stream *stream)
{
    if (stream != NULL) {
        stream->last_seq = w->batch->seq;
        stream->last_version = w->done.version;
    }
    if (w->batch->request_id != NULL) {
        om_request_key key = request_of(w);
        om_requests_put(w->c->db->requests, &key, &w->done);
    }
}

static void consume_locked(om_write *w)
{
    const omen_batch *b = w->batch;
    om_stream *stream = NULL;
    om_stream_id id = {.bytes = b->stream_id, .length = b->stream_id_len};
    if (om_streams_get(&w->c->rt->alloc, &w->c->streams, id, &stream, NULL) == OMEN_OK &&
        b->seq == stream->last_seq + 1 &&
        (b->stream_epoch == 0 || b->stream_epoch == stream->epoch)) {
        stream->last_seq = b->seq;
        stream->last_version = atomic_load(&w->c->version);
    }
}

void om_write_consume(om_write *w, omen_status_t status)
{
    const omen_batch *b = w->batch;
    bool final = status == OMEN_INVALID_ARGUMENT || status == OMEN_ALREADY_EXISTS ||
                 status == OMEN_NOT_FOUND || status == OMEN_OUT_OF_RANGE;
    if (!final || b->stream_id == NULL || b->stream_id_len == 0 ||
        b->stream_id_len > OMEN_MAX_STREAM_ID || b->seq == 0) {
        return;
    }
    om_mutex_lock(&w->c->write_mu);
    consume_locked(w);
    om_mutex_unlock(&w->c->write_mu);
}

void om_write_result(const om_write *w, omen_write_result *result)
{
    uint32_t visible = atomic_load(&w->c->visible);
    uint32_t indexed = atomic_load(&w->c->indexed);
    if (w->status != NULL && w->batch->item_status != NULL) {
        memcpy(w->batch->item_status, w->status, (size_t)w->batch->count * sizeof *w->status);
    } else if (w->batch->item_status != NULL) {
        memset(w->batch->item_status, 0, (size_t)w->batch->count * sizeof *w->batch->item_status);
    }
    if (result == NULL) {
        return;
    }
    result->replayed = w->replayed;
    result->version = w->done.version;
    result->applied = w->done.applied;
    result->replaced = w->done.replaced;
    result->refused = w->done.refused;
    result->backlog_rows = visible - om_min_u32(indexed, visible);
}

/* ---- Deleting -------------------------------------------------------------------------------- */
/* Removes one item; ids_mu held. */
static bool delete_one(om_segment *c, uint64_t key)
{
    _Atomic uint64_t *dead = (_Atomic uint64_t *)(void *)c->store->array[OM_A_DEAD].base;
    uint32_t slot = om_idmap_remove(&c->map, (const void *)c->store->array[OM_A_KEYS].base, key);
    if (slot == OM_IDMAP_ABSENT) {
        return false;
    }
    if (c->table != NULL) {
        om_idtable_remove(c->table, key);
    }
    atomic_fetch_or_explicit(&dead[slot >> 6], UINT64_C(1) << (slot & 63), memory_order_release);
    atomic_fetch_sub(&c->live, 1);
    return true;
}

static uint64_t key_to_delete(const om_write *w, uint64_t i)
{
    const om_segment *c = w->c;
    if (w->by_keys) {
        return w->batch->keys[i];
    }
    om_id id = om_column_get(&w->batch->ids, i);
    if (c->options.id_type == OMEN_ID_U64) {
        return om_id_u64(id);
    }
    return c->table != NULL ? om_idtable_find(c->table, id.bytes, id.length) : OMEN_NONE;
}

static void apply_delete(om_write *w)
{
    om_segment *c = w->c;
    om_rwlock_write(&c->ids_mu);
    w->done.version = atomic_fetch_add(&c->db->version, 1) + 1;
    for (uint64_t i = 0; c->store != NULL && i < w->batch->count; i++) {
        if (!om_write_skips(w, i) && delete_one(c, key_to_delete(w, i))) {
            w->done.applied++;
        }
    }
    w->done.replaced = w->done.applied;
    atomic_store(&c->version, w->done.version);
    om_rwlock_unlock(&c->ids_mu);
    om_marks_push(c, w->done.version, atomic_load_explicit(&c->visible, memory_order_relaxed));
}

static omen_status_t delete_locked(om_write *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_stream *stream = NULL;
    OM_TRY(om_collection_alive(w->c, err));
    OM_TRY(om_write_seen(w, &stream, err));
    if (w->replayed) {
        return OMEN_OK;
    }
    OM_TRY(om_marks_reserve(w->c, err));
    if (w->batch->request_id != NULL) {
        OM_TRY(om_requests_reserve(w->c->db->requests, err));
    }
    apply_delete(w);
    om_write_remember(w, stream);
out:
    return status;
}

omen_status_t om_collection_delete(omen_collection *handle, const omen_batch *batch,
                                   omen_write_result *result, omen_op *op, omen_error *err)
{
    om_write w = {.c = handle->c, .batch = batch, .op = op};
    uint64_t rejections = om_rejections(w.c->rt);
    omen_error local;
    omen_status_t status = om_collection_writable(w.c, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_write_check_delete(&w, &local);
    if (status == OMEN_OK) {
        om_mutex_lock(&w.c->write_mu);
        status = delete_locked(&w, &local);
        om_mutex_unlock(&w.c->write_mu);
    }
    if (status != OMEN_OK) {
        om_write_consume(&w, status);
        status = om_explain_memory(w.c->rt, rejections, status, &local);
        if (err != NULL) {
            *err = local;
        }
    } else {
        om_write_result(&w, result);
    }
    om_write_release(&w);
    return status;
}
