/* engine_stats.c - waiting for versions, and what can be polled.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

static uint64_t later(uint64_t timeout_us)
{
    uint64_t ns, deadline;
    if (timeout_us == 0 || __builtin_mul_overflow(timeout_us, UINT64_C(1000), &ns) ||
        __builtin_add_overflow(om_now_ns(), ns, &deadline)) {
        return 0;
    }
    return deadline;
}

omen_status_t om_collection_wait(omen_collection *handle, const om_wait *wait, omen_error *err)
{
    om_segment *c = handle->c;
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
    /* A version is handed out and applied under the write mutex: behind it all of them are
     * visible, and in a database in memory that is as durable as it gets. */
    om_mutex_lock(&c->write_mu);
    uint32_t target = atomic_load(&c->visible);
    om_mutex_unlock(&c->write_mu);
    if (wait->state != OMEN_WAIT_INDEXED || c->read_only) {
        return OMEN_OK;
    }
    if (wait->version != 0) {
        target = om_min_u32(target, om_marks_target(c, wait->version));
    }
    uint64_t rejections = om_rejections(c->rt);
    om_stop stop = {.op = wait->op, .deadline_ns = later(wait->timeout_us)};
    status = om_index_until(c, target, &stop, wait->op, err);
    return om_explain_memory(c->rt, rejections, status, err);
}

static uint32_t backlog_of(om_segment *c)
{
    uint32_t indexed = atomic_load(&c->indexed);
    uint32_t visible = atomic_load(&c->visible);
    return visible - om_min_u32(indexed, visible);
}

omen_status_t om_collection_progress(omen_collection *handle, omen_write_progress *out,
                                     omen_error *err)
{
    om_segment *c = handle->c;
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    /* The graph may take a batch between the two looks, and just before its version shows. */
    uint64_t indexed = c->read_only ? UINT64_MAX : om_marks_indexed(c);
    out->visible_version = atomic_load(&c->version);
    out->durable_version = out->visible_version;
    out->indexed_version = om_min_u64(indexed, out->visible_version);
    out->backlog_rows = backlog_of(c);
    out->backlog_limit_rows = c->backlog_limit;
    out->backlog_bytes = out->backlog_rows * c->layout.row_bytes;
    return OMEN_OK;
}

/* Bytes of the arrays; they change only with the write mutex held. */
static void store_bytes(om_segment *c, omen_stats *out)
{
    om_mutex_lock(&c->write_mu);
    if (c->store != NULL) {
        out->bytes_vectors = om_array_bytes(&c->store->array[OM_A_VECTORS]);
        out->bytes_links = om_array_bytes(&c->store->array[OM_A_LINKS]) +
                           om_array_bytes(&c->store->array[OM_A_INCOMING]);
        out->bytes_codes = om_array_bytes(&c->codes->array);
        out->bytes_ids = om_array_bytes(&c->store->array[OM_A_KEYS]) +
                         om_array_bytes(&c->store->array[OM_A_NORMS]) +
                         om_array_bytes(&c->store->array[OM_A_DEAD]);
    }
    om_mutex_unlock(&c->write_mu);
    om_rwlock_read(&c->ids_mu);
    out->bytes_ids += om_idmap_bytes(&c->map) + (c->table != NULL ? om_idtable_bytes(c->table) : 0);
    om_rwlock_unlock(&c->ids_mu);
}

/* The view is read as a search reads it. */
static omen_status_t view_facts(om_segment *c, omen_stats *out, omen_error *err)
{
    om_ctx *ctx = NULL;
    omen_status_t status = om_ctx_acquire(c->rt, &ctx, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(c->rt, ctx);
    const om_view *view = om_view_load(c);
    out->rotated = view != NULL && view->codec != NULL && om_codec_rotated(view->codec);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return OMEN_OK;
}

omen_status_t om_collection_stats(omen_collection *handle, omen_stats *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segment *c = handle->c;
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(view_facts(c, out, err));
    out->dim = c->options.dim;
    out->backlog_rows = backlog_of(c);
    out->indexed_rows = atomic_load(&c->indexed);
    out->rows = atomic_load(&c->visible);
    out->count = om_min_u64(atomic_load(&c->live), out->rows);
    out->deleted = out->rows - out->count;
    store_bytes(c, out);
    out->bytes_scratch = om_ctx_bytes(c->rt);
    if (c->mapped != NULL) {
        out->bytes_mapped = om_mapped_bytes(c->mapped);
        out->bytes_disk = out->bytes_mapped;
    }
    for (uint32_t i = 0; i < OM_SHARDS; i++) {
        out->searches += atomic_load_explicit(&c->shards[i].searches, memory_order_relaxed);
        out->distances += atomic_load_explicit(&c->shards[i].distances, memory_order_relaxed);
        out->hops += atomic_load_explicit(&c->shards[i].hops, memory_order_relaxed);
    }
    out->version = atomic_load(&c->version);
    out->retrained = atomic_load_explicit(&c->retrained, memory_order_relaxed);
    out->clipped_rows = om_clipped_rows(c);
    out->read_only = c->read_only;
out:
    return status;
}
