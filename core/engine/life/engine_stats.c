/* engine_stats.c - waiting for versions, and what can be polled.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"

static uint64_t later(uint64_t timeout_us)
{
    uint64_t ns, deadline;
    if (timeout_us == 0 || __builtin_mul_overflow(timeout_us, UINT64_C(1000), &ns) ||
        __builtin_add_overflow(om_now_ns(), ns, &deadline)) {
        return 0;
    }
    return deadline;
}

static omen_status_t wait_indexed(const om_set *set, const om_wait *wait, omen_error *err)
{
    om_stop stop = {.op = wait->op, .deadline_ns = later(wait->timeout_us)};
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment *seg = set->part[i];
        uint32_t target = atomic_load(&seg->visible);
        if (seg->mapped != NULL) {
            continue;
        }
        if (wait->version != 0) {
            target = om_min_u32(target, om_marks_target(seg, wait->version));
        }
        omen_status_t status = om_index_until(seg, target, &stop, wait->op, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    return OMEN_OK;
}

/* A version is handed out, made durable at its level and applied under the write mutex: behind it all of
 * them are visible. Durable on stable storage, whatever the level, is what the log then says. */
static omen_status_t wait_for(om_collection *c, const om_wait *wait, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_set *set = NULL;
    OM_TRY(om_set_hold(c, &set, err));
    if (wait->state == OMEN_WAIT_INDEXED && !c->read_only) {
        status = wait_indexed(set, wait, err);
    } else if (wait->state == OMEN_WAIT_DURABLE && c->db->disk != NULL && !c->read_only) {
        uint64_t version = wait->version != 0 ? wait->version : atomic_load(&c->version);
        status = c->db->disk->log->ops->sync(c->db->disk->log, version, err);
    }
out:
    om_set_free(c->rt, set);
    return status;
}

omen_status_t om_collection_wait(omen_collection *handle, const om_wait *wait, omen_error *err)
{
    om_collection *c = handle->c;
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint64_t newest = atomic_load(&c->db->version);
    if (wait->state < OMEN_WAIT_DURABLE || wait->state > OMEN_WAIT_INDEXED) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "state: %u is not one of durable (1), visible (2), indexed (3)",
                       wait->state);
    }
    if (wait->version > newest) {
        return om_fail(err, OMEN_OUT_OF_RANGE, OMEN_D_NONE,
                       "version: %llu was never handed out, the newest one is %llu",
                       (unsigned long long)wait->version, (unsigned long long)newest);
    }
    uint64_t rejections = om_rejections(c->rt);
    status = wait_for(c, wait, err);
    return om_explain_memory(c->rt, rejections, status, err);
}

/* The newest version whose rows, and all before them, are in graphs; write_mu held. */
static uint64_t indexed_version(om_collection *c)
{
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        om_segment *seg = set->part[i];
        if (seg->mapped == NULL && atomic_load(&seg->indexed) < atomic_load(&seg->visible)) {
            uint64_t first = atomic_load(&seg->first_version);
            uint64_t indexed = om_marks_indexed(seg);
            return indexed != 0 || first == 0 ? indexed : first - 1;
        }
    }
    return UINT64_MAX;
}

static uint64_t durable_version(om_collection *c, uint64_t visible)
{
    om_log_state state;
    if (c->db->disk == NULL || c->read_only) {
        return visible;
    }
    c->db->disk->log->ops->tail(c->db->disk->log, &state);
    return om_min_u64(state.durable, visible);
}

omen_status_t om_collection_progress(omen_collection *handle, omen_write_progress *out,
                                     omen_error *err)
{
    om_collection *c = handle->c;
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    /* The graph may take a batch between the looks, and just before its version shows. */
    om_mutex_lock(&c->write_mu);
    uint64_t indexed = c->read_only ? UINT64_MAX : indexed_version(c);
    out->backlog_rows = c->read_only ? 0 : om_backlog(c);
    out->visible_version = atomic_load(&c->version);
    om_mutex_unlock(&c->write_mu);
    out->durable_version = durable_version(c, out->visible_version);
    out->indexed_version = om_min_u64(indexed, out->visible_version);
    out->backlog_limit_rows = c->backlog_limit;
    out->backlog_bytes = out->backlog_rows * c->options.dim * om_dtype_width(c->options.dtype);
    return OMEN_OK;
}

/* ---- Numbers of one segment ------------------------------------------------------------------ */
/* Bytes of the arrays change only with the write mutex held, which is. */
static void add_segment(om_segment *seg, omen_stats *out)
{
    const om_view *view = om_view_load(seg);
    uint32_t rows = atomic_load(&seg->visible);
    out->rotated |= view != NULL && view->codec != NULL && om_codec_rotated(view->codec);
    out->indexed_rows += atomic_load(&seg->indexed);
    out->rows += rows;
    out->count += om_min_u32(atomic_load(&seg->live), rows);
    out->retrained += atomic_load_explicit(&seg->retrained, memory_order_relaxed);
    out->clipped_rows += om_clipped_rows(seg);
    out->segments++;
    out->frozen += seg->mapped == NULL && atomic_load(&seg->frozen);
    if (seg->store != NULL) {
        out->bytes_vectors += om_array_bytes(&seg->store->array[OM_A_VECTORS]);
        out->bytes_links += om_array_bytes(&seg->store->array[OM_A_LINKS]) +
                            om_array_bytes(&seg->store->array[OM_A_INCOMING]);
        out->bytes_codes += om_array_bytes(&seg->codes->array);
        out->bytes_ids += om_array_bytes(&seg->store->array[OM_A_KEYS]) +
                          om_array_bytes(&seg->store->array[OM_A_NORMS]) +
                          om_array_bytes(&seg->store->array[OM_A_DEAD]);
    }
    om_fields_stats(seg, out);
    om_rwlock_read(&seg->c->ids_mu);
    out->bytes_ids += seg->births.room * sizeof *seg->births.list;
    out->bytes_ids +=
        om_idmap_bytes(&seg->map) + (seg->table != NULL ? om_idtable_bytes(seg->table) : 0);
    om_rwlock_unlock(&seg->c->ids_mu);
    if (seg->mapped != NULL) {
        out->bytes_ids += seg->mapped->dead.committed;
        out->bytes_mapped += om_mapped_bytes(seg->mapped);
        out->bytes_disk += om_mapped_bytes(seg->mapped);
    }
}

omen_status_t om_collection_stats(omen_collection *handle, omen_stats *out, omen_error *err)
{
    om_collection *c = handle->c;
    om_ctx *ctx = NULL;
    omen_status_t status = om_collection_alive(c, err);
    if (status == OMEN_OK) {
        status = om_ctx_acquire(c->rt, &ctx, err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(c->rt, ctx); /* for the views */
    om_mutex_lock(&c->write_mu);
    const om_set *set = om_set_load(c);
    for (uint32_t i = 0; i < set->count; i++) {
        add_segment(set->part[i], out);
    }
    out->backlog_rows = om_backlog(c);
    om_mutex_unlock(&c->write_mu);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    out->dim = c->options.dim;
    out->fields = om_schema_count(c->schema);
    out->deleted = out->rows - out->count;
    out->bytes_scratch = om_ctx_bytes(c->rt);
    for (uint32_t i = 0; i < OM_SHARDS; i++) {
        out->searches += atomic_load_explicit(&c->shards[i].searches, memory_order_relaxed);
        out->distances += atomic_load_explicit(&c->shards[i].distances, memory_order_relaxed);
        out->hops += atomic_load_explicit(&c->shards[i].hops, memory_order_relaxed);
    }
    out->version = atomic_load(&c->version);
    out->read_only = c->read_only || handle->snapshot != NULL;
    return OMEN_OK;
}
