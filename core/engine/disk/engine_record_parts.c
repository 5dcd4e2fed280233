/* engine_record_parts.c - batches that are larger than a record: their parts, kept until the COMMIT.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_record.h"

static om_alloc uncharged(const omen_runtime *rt)
{
    return (om_alloc){.fns = rt->alloc.fns};
}

void om_pending_free(omen_runtime *rt, om_pending *pending)
{
    if (pending == NULL) {
        return;
    }
    om_alloc alloc = uncharged(rt);
    size_t items = (size_t)pending->whole.items;
    om_alloc_put(&alloc, pending->keys, items * sizeof *pending->keys, OM_CACHE_LINE);
    om_alloc_put(&alloc, pending->offsets, (items + 1) * sizeof *pending->offsets, OM_CACHE_LINE);
    om_alloc_put(&alloc, pending->ids, (size_t)pending->whole.id_bytes, OM_CACHE_LINE);
    om_alloc_put(&alloc, pending->vectors, pending->vector_bytes, OM_CACHE_LINE);
    om_alloc_put(&alloc, pending->meta, pending->meta_room, OM_CACHE_LINE);
    om_alloc_put(&alloc, pending, sizeof *pending, _Alignof(om_pending));
}

static om_pending **find(om_disk *disk, uint32_t serial)
{
    om_pending **at = &disk->pending;
    while (*at != NULL && (*at)->serial != serial) {
        at = &(*at)->next;
    }
    return at;
}

void om_pending_drop(om_disk *disk, omen_runtime *rt, uint32_t serial)
{
    om_pending **at = &disk->pending;
    while (*at != NULL) {
        om_pending *pending = *at;
        if (serial != 0 && pending->serial != serial) {
            at = &pending->next;
            continue;
        }
        *at = pending->next;
        om_pending_free(rt, pending);
    }
}

static omen_status_t broken(const om_log_record *record, const char *what, uint64_t value,
                            uint64_t expected, omen_error *err)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                   "log record %llu: %s of a batch in parts is %llu, must be %llu",
                   (unsigned long long)record->lsn, what, (unsigned long long)value,
                   (unsigned long long)expected);
}

static omen_status_t make_columns(om_pending *pending, const om_alloc *alloc, omen_error *err)
{
    size_t items = (size_t)pending->whole.items;
    uint32_t columns = pending->whole.columns;
    bool good = true;
    if ((columns & OM_COLUMN_KEYS) != 0 && items != 0) {
        pending->keys = om_alloc_get(alloc, items * sizeof *pending->keys, OM_CACHE_LINE);
        good = pending->keys != NULL;
    }
    if (good && (columns & OM_COLUMN_IDS) != 0) {
        size_t bytes = (size_t)pending->whole.id_bytes;
        pending->ids = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
        good = pending->ids != NULL;
        if (good && pending->head.id_width == 0) {
            pending->offsets =
                om_alloc_get(alloc, (items + 1) * sizeof *pending->offsets, OM_CACHE_LINE);
            good = pending->offsets != NULL;
        }
    }
    if (good && pending->vector_bytes != 0) {
        pending->vectors = om_alloc_get(alloc, pending->vector_bytes, OM_CACHE_LINE);
        good = pending->vectors != NULL;
    }
    return good ? OMEN_OK : om_fail_memory(err, "a batch in parts", pending->vector_bytes);
}

/* The first part of a batch: room for all of it. */
static omen_status_t begin(om_disk *disk, omen_runtime *rt, const om_log_record *record,
                           const om_payload *p, omen_error *err)
{
    om_alloc alloc = uncharged(rt);
    om_pending_drop(disk, rt, record->collection); /* it was given up: the disk was full */
    uint64_t row = (p->head.columns & OM_COLUMN_VECTORS) != 0
                       ? (uint64_t)p->head.dim * om_dtype_width(p->head.dtype)
                       : 0;
    if (p->part.items * row > OMEN_MAX_BATCH_BYTES) {
        return broken(record, "size", p->part.items * row, OMEN_MAX_BATCH_BYTES, err);
    }
    if (p->part.columns != p->head.columns || p->part.items == 0) {
        return broken(record, "set of columns", p->part.columns, p->head.columns, err);
    }
    om_pending *pending = om_alloc_zero(&alloc, 1, sizeof *pending, _Alignof(om_pending));
    if (pending == NULL) {
        return om_fail_memory(err, "a batch in parts", sizeof *pending);
    }
    pending->serial = record->collection;
    pending->type = record->type;
    pending->first_lsn = record->lsn;
    pending->head = p->head;
    pending->whole = p->part;
    pending->vector_bytes = (size_t)(p->part.items * row);
    omen_status_t status = make_columns(pending, &alloc, err);
    if (status != OMEN_OK) {
        om_pending_free(rt, pending);
        return status;
    }
    pending->next = disk->pending;
    disk->pending = pending;
    return OMEN_OK;
}

static omen_status_t check_part(const om_pending *pending, const om_log_record *record,
                                const om_payload *p, omen_error *err)
{
    const om_payload_head *first = &pending->head;
    if (p->part.index != pending->parts) {
        return broken(record, "number", p->part.index, pending->parts, err);
    }
    if (record->type != pending->type) {
        return broken(record, "type", record->type, pending->type, err);
    }
    if (p->head.columns != first->columns || p->head.dim != first->dim ||
        p->head.dtype != first->dtype || p->head.id_width != first->id_width) {
        return broken(record, "set of columns", p->head.columns, first->columns, err);
    }
    if (p->head.count > pending->whole.items - pending->rows) {
        return broken(record, "count of items", pending->rows + p->head.count, pending->whole.items,
                      err);
    }
    if (p->head.id_bytes > pending->whole.id_bytes - pending->id_bytes) {
        return broken(record, "count of id bytes", pending->id_bytes + p->head.id_bytes,
                      pending->whole.id_bytes, err);
    }
    return OMEN_OK;
}

/* How long the rows of all parts are is not known before the last one. */
static omen_status_t grow_meta(om_pending *pending, omen_runtime *rt, const om_log_record *record,
                               const om_payload *p, omen_error *err)
{
    om_alloc alloc = uncharged(rt);
    size_t needed = pending->meta_bytes + p->meta_bytes;
    size_t room = pending->meta_room != 0 ? pending->meta_room : 65536;
    if (needed > OMEN_MAX_BATCH_BYTES) {
        return broken(record, "size of the metadata", needed, OMEN_MAX_BATCH_BYTES, err);
    }
    while (room < needed) {
        room *= 2;
    }
    if (p->meta == NULL || room == pending->meta_room) {
        return OMEN_OK;
    }
    uint8_t *meta = om_alloc_grow(&alloc, pending->meta, pending->meta_room, room, OM_CACHE_LINE);
    if (meta == NULL) {
        return om_fail_memory(err, "a batch in parts", room);
    }
    pending->meta = meta;
    pending->meta_room = room;
    return OMEN_OK;
}

static void copy_part(om_pending *pending, const om_payload *p)
{
    size_t rows = (size_t)pending->rows;
    size_t count = p->head.count;
    if (p->keys != NULL && count != 0) {
        memcpy(pending->keys + rows, p->keys, count * sizeof *p->keys);
    }
    if (p->head.id_bytes != 0) {
        memcpy(pending->ids + pending->id_bytes, p->ids, p->head.id_bytes);
    }
    if (p->offsets != NULL) {
        for (size_t i = 0; i <= count; i++) {
            pending->offsets[rows + i] = (uint32_t)pending->id_bytes + p->offsets[i];
        }
    }
    size_t row = pending->vector_bytes / (size_t)pending->whole.items;
    if (p->vectors != NULL && count != 0) {
        memcpy(pending->vectors + rows * row, p->vectors, count * row);
    }
    if (p->meta != NULL) {
        memcpy(pending->meta + pending->meta_bytes, p->meta, p->meta_bytes);
        pending->meta_bytes += p->meta_bytes;
    }
    pending->rows += count;
    pending->id_bytes += p->head.id_bytes;
    pending->parts++;
}

omen_status_t om_pending_add(om_disk *disk, omen_runtime *rt, const om_log_record *record,
                             const om_payload *payload, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (!payload->has_part) {
        return broken(record, "number", UINT64_MAX, 0, err);
    }
    if (payload->part.index == 0) {
        OM_TRY(begin(disk, rt, record, payload, err));
    }
    om_pending *pending = *find(disk, record->collection);
    if (pending == NULL) {
        /* A checkpoint took the end of the log while a batch was being written that was then given up: its
         * first parts are not read. One that was not has all of them behind the checkpoint, or is contained
         * as a whole; a COMMIT without parts is damage in any case. */
        return OMEN_OK;
    }
    OM_TRY(check_part(pending, record, payload, err));
    OM_TRY(grow_meta(pending, rt, record, payload, err));
    copy_part(pending, payload);
out:
    return status;
}

omen_status_t om_pending_take(om_disk *disk, const om_log_record *record, const om_payload *payload,
                              om_pending **out, omen_error *err)
{
    om_pending **at = find(disk, record->collection);
    om_pending *pending = *at;
    if (pending == NULL || !payload->has_part || payload->part.index != pending->parts) {
        return broken(record, "the count of parts", payload->part.index,
                      pending != NULL ? pending->parts : 0, err);
    }
    if (pending->rows != pending->whole.items || pending->rows != payload->part.items ||
        pending->id_bytes != pending->whole.id_bytes) {
        return broken(record, "the count of items", pending->rows, pending->whole.items, err);
    }
    *at = pending->next;
    pending->next = NULL;
    *out = pending;
    return OMEN_OK;
}

void om_pending_payload(const om_pending *pending, om_payload *out)
{
    memset(out, 0, sizeof *out);
    out->head = pending->head;
    out->head.count = (uint32_t)pending->whole.items;
    out->head.id_bytes = (uint32_t)pending->whole.id_bytes;
    out->keys = pending->keys;
    out->offsets = pending->offsets;
    out->ids = pending->ids;
    out->vectors = pending->vectors;
    out->meta = pending->meta;
    out->meta_bytes = pending->meta_bytes;
}
