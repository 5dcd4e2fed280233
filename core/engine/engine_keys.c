/* engine_keys.c - the keys of all live items, in the order of their slots.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_int.h"

/* Epoch pinned. */
static omen_status_t scan_pinned(om_segment *c, const om_scan *scan, omen_error *err)
{
    uint32_t rows = atomic_load(&c->visible);
    const om_view *view = om_view_load(c);
    uint64_t slot = *scan->cursor;
    uint64_t n = 0;
    for (; slot < rows && n < scan->capacity; slot++) {
        if (view->mapped != NULL && (slot % 64 == 0 || n == 0)) {
            uint32_t ahead = om_min_u32(64, rows - (uint32_t)slot);
            omen_status_t status =
                om_mapped_touch(view->mapped, OM_TOUCH_DEAD, (uint32_t)slot, ahead, err);
            if (status == OMEN_OK) {
                status = om_mapped_touch(view->mapped, OM_TOUCH_KEYS, (uint32_t)slot, ahead, err);
            }
            if (status != OMEN_OK) {
                return status;
            }
        }
        if (!om_view_is_dead(view, (uint32_t)slot)) {
            scan->keys[n++] = view->keys[slot];
        }
    }
    *scan->cursor = slot;
    *scan->count = n;
    return OMEN_OK;
}

omen_status_t om_collection_scan(omen_collection *handle, const om_scan *scan, omen_error *err)
{
    om_segment *c = handle->c;
    om_ctx *ctx = NULL;
    omen_status_t status = om_collection_alive(c, err);
    if (status == OMEN_OK) {
        status = om_ctx_acquire(c->rt, &ctx, err);
    }
    if (status != OMEN_OK) {
        return status;
    }
    om_ctx_pin(c->rt, ctx);
    status = scan_pinned(c, scan, err);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return status;
}
