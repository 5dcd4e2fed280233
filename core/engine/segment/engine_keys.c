/* engine_keys.c - the keys of all live items: by slots in a collection of one segment, else in the order of
 * the keys, which is the one thing that sealing and merging do not change.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_int.h"

enum { TOUCH_AHEAD = 64 };

/* ---- One segment: slot after slot ------------------------------------------------------------ */
static omen_status_t touch_ahead(om_segment *seg, uint32_t slot, uint32_t rows, omen_error *err)
{
    uint32_t ahead = om_min_u32(TOUCH_AHEAD, rows - slot);
    omen_status_t status = om_mapped_touch(seg->mapped, OM_TOUCH_DEAD, slot, ahead, err);
    return status != OMEN_OK ? status
                             : om_mapped_touch(seg->mapped, OM_TOUCH_KEYS, slot, ahead, err);
}

static omen_status_t scan_slots(const om_reader *from, const om_scan *scan, omen_error *err)
{
    om_segment *seg = from->set->part[0];
    uint32_t rows = om_reader_rows(from, 0);
    const om_view *view = om_view_load(seg);
    uint64_t slot = *scan->cursor;
    uint64_t n = 0;
    for (; slot < rows && n < scan->capacity; slot++) {
        omen_status_t status = OMEN_OK;
        bool dead = false;
        if (seg->mapped != NULL && (slot % TOUCH_AHEAD == 0 || n == 0)) {
            status = touch_ahead(seg, (uint32_t)slot, rows, err);
        }
        if (status == OMEN_OK) {
            status = om_reader_dead(from, 0, (uint32_t)slot, &dead, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
        if (!dead) {
            scan->keys[n++] = view->keys[slot];
        }
    }
    *scan->cursor = slot;
    *scan->count = n;
    return OMEN_OK;
}

/* ---- Several: the smallest keys from the cursor on ------------------------------------------- */
/* The `capacity` smallest keys seen so far, the largest on top. */
typedef struct smallest {
    uint64_t *keys;
    uint64_t size, capacity;
} smallest;

static void sift(uint64_t *keys, uint64_t size, uint64_t at)
{
    uint64_t key = keys[at];
    for (uint64_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && keys[child + 1] > keys[child]) {
            child++;
        }
        if (keys[child] <= key) {
            break;
        }
        keys[at] = keys[child];
        at = child;
    }
    keys[at] = key;
}

static void offer(smallest *s, uint64_t key)
{
    if (s->size == s->capacity) {
        if (key < s->keys[0]) {
            s->keys[0] = key;
            sift(s->keys, s->size, 0);
        }
        return;
    }
    uint64_t at = s->size++;
    for (; at != 0 && s->keys[(at - 1) / 2] < key; at = (at - 1) / 2) {
        s->keys[at] = s->keys[(at - 1) / 2];
    }
    s->keys[at] = key;
}

static void sort(smallest *s)
{
    for (uint64_t size = s->size; size > 1; size--) {
        uint64_t last = s->keys[size - 1];
        s->keys[size - 1] = s->keys[0];
        s->keys[0] = last;
        sift(s->keys, size - 1, 0);
    }
}

static omen_status_t offer_row(const om_reader *from, uint32_t part, uint32_t slot, uint64_t key,
                               smallest *s, omen_error *err)
{
    bool dead = false;
    omen_status_t status = om_reader_dead(from, part, slot, &dead, err);
    if (status == OMEN_OK && !dead) {
        offer(s, key);
    }
    return status;
}

static bool full_below(const smallest *s, uint64_t key)
{
    return s->size == s->capacity && key >= s->keys[0];
}

/* A mapped segment has its keys in order. */
static omen_status_t scan_mapped(const om_reader *from, uint32_t part, uint64_t first, smallest *s,
                                 omen_error *err)
{
    om_mapped *mapped = from->set->part[part]->mapped;
    uint64_t at = 0;
    omen_status_t status = om_mapped_first_key(mapped, first, &at, err);
    for (; status == OMEN_OK && at < mapped->section[OM_SECTION_KEYMAP].rows; at++) {
        uint32_t slot = 0;
        uint64_t key = 0;
        status = om_mapped_key_at(mapped, at, &slot, &key, err);
        if (status != OMEN_OK || full_below(s, key)) {
            break;
        }
        status = offer_row(from, part, slot, key, s, err);
    }
    return status;
}

static omen_status_t scan_memory(const om_reader *from, uint32_t part, uint64_t first, smallest *s,
                                 omen_error *err)
{
    uint32_t rows = om_reader_rows(from, part);
    const om_view *view = om_view_load(from->set->part[part]);
    omen_status_t status = OMEN_OK;
    for (uint32_t slot = 0; slot < rows && status == OMEN_OK; slot++) {
        uint64_t key = view->keys[slot];
        if (key >= first && !full_below(s, key)) {
            status = offer_row(from, part, slot, key, s, err);
        }
    }
    return status;
}

static omen_status_t scan_keys(const om_reader *from, const om_scan *scan, omen_error *err)
{
    smallest s = {.keys = scan->keys, .capacity = scan->capacity};
    omen_status_t status = OMEN_OK;
    for (uint32_t part = 0; part < from->set->count && s.capacity != 0; part++) {
        status = from->set->part[part]->mapped != NULL
                     ? scan_mapped(from, part, *scan->cursor, &s, err)
                     : scan_memory(from, part, *scan->cursor, &s, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    sort(&s);
    *scan->count = s.size;
    if (s.size != 0) {
        *scan->cursor = s.keys[s.size - 1] + 1;
    }
    return OMEN_OK;
}

omen_status_t om_collection_scan(omen_collection *handle, const om_scan *scan, omen_error *err)
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
    om_ctx_pin(c->rt, ctx);
    om_rwlock_read(&c->ids_mu); /* an item that is replaced has one live row at any moment */
    om_reader from = om_reader_of(handle);
    bool one = from.set->count == 1 && c->db->disk == NULL;
    status = one ? scan_slots(&from, scan, err) : scan_keys(&from, scan, err);
    om_rwlock_unlock(&c->ids_mu);
    om_ctx_unpin(ctx);
    om_ctx_release(ctx);
    return status;
}
