/* wal_append.c - appending: one gathered write a group, checksummed in place without copies.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A new file is filled with zeros a step ahead of the records, in the same write. Once a block was written,
 * writing it again changes nothing but the block, so that of the syncs of small records only one in many
 * waits for the journal of the file system too. */
#include <string.h>

#include "segfile.h"
#include "wal_int.h"

enum { MOST_PARTS = 64, ZEROS = 64 << 10 };
static const uint8_t zeros[ZEROS];

/* What is written together. */
typedef struct group {
    om_wal *wal;
    const om_log_entry *entries;
    uint32_t count;
    bool ballast;   /* every entry may take the last spare */
    uint64_t bytes; /* in the file */
    om_wal_frame frames[OM_LOG_MAX_GROUP];
    uint32_t payload_crc[OM_LOG_MAX_GROUP];
    struct iovec parts[MOST_PARTS];
    int part_count;
    uint64_t at; /* offset of parts[0] in the file */
    uint64_t part_bytes;
} group;

static omen_status_t check_entry(const om_wal *wal, const om_log_entry *entry, uint32_t index,
                                 uint64_t *payload, omen_error *err)
{
    uint64_t bytes = 0;
    if (entry->type == 0 || entry->type >= OM_LOG_TYPES || entry->part_count > OM_LOG_MAX_PARTS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "log entry %u: type %u (below %d), %u parts (at most %d)", index,
                       entry->type, OM_LOG_TYPES, entry->part_count, OM_LOG_MAX_PARTS);
    }
    for (uint32_t i = 0; i < entry->part_count && bytes <= wal->max_payload; i++) {
        bytes += om_min_u64(entry->parts[i].iov_len, wal->max_payload + UINT64_C(1));
    }
    if (bytes > wal->max_payload) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "log entry %u: more than %u bytes, the limit of a record here", index,
                       wal->max_payload);
    }
    *payload = bytes;
    return OMEN_OK;
}

/* Frames without what only the lock can give, and the checksums of the payloads, which cost most. */
static omen_status_t prepare(group *g, omen_error *err)
{
    const om_wal *wal = g->wal;
    if (g->count == 0 || g->count > OM_LOG_MAX_GROUP) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "%u log entries in one group, 1 to %d are possible", g->count,
                       OM_LOG_MAX_GROUP);
    }
    g->ballast = true;
    for (uint32_t i = 0; i < g->count; i++) {
        const om_log_entry *entry = &g->entries[i];
        uint64_t payload = 0;
        omen_status_t status = check_entry(wal, entry, i, &payload, err);
        if (status != OMEN_OK) {
            return status;
        }
        for (uint32_t p = 0; p < entry->part_count; p++) {
            g->payload_crc[i] =
                om_crc32c(g->payload_crc[i], entry->parts[p].iov_base, entry->parts[p].iov_len);
        }
        g->ballast = g->ballast && (entry->flags & OM_LOG_BALLAST) != 0;
        g->bytes += OM_WAL_FRAME_BYTES + om_wal_padded(payload);
        g->frames[i] = (om_wal_frame){.bytes = (uint32_t)payload,
                                      .collection = entry->collection,
                                      .type = entry->type,
                                      .flags = entry->flags & (uint8_t)~OM_LOG_BALLAST,
                                      .frame_bytes = OM_WAL_FRAME_BYTES};
    }
    if (g->bytes > wal->file_bytes - OM_WAL_HEADER_BYTES) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "a group of %llu bytes does not fit into a log file of %llu",
                       (unsigned long long)g->bytes, (unsigned long long)wal->file_bytes);
    }
    return OMEN_OK;
}

static omen_status_t flush(group *g, omen_error *err)
{
    omen_status_t status = om_io_writev(&g->wal->current->io, g->parts, g->part_count, g->at, err);
    g->at += g->part_bytes;
    g->part_bytes = 0;
    g->part_count = 0;
    return status;
}

static omen_status_t put(group *g, const void *data, size_t bytes, omen_error *err)
{
    if (g->part_count == MOST_PARTS) {
        omen_status_t status = flush(g, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    g->parts[g->part_count++] =
        (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    g->part_bytes += bytes;
    return OMEN_OK;
}

static omen_status_t put_entry(group *g, uint32_t i, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_log_entry *entry = &g->entries[i];
    OM_TRY(put(g, &g->frames[i], sizeof g->frames[i], err));
    for (uint32_t p = 0; p < entry->part_count; p++) {
        OM_TRY(put(g, entry->parts[p].iov_base, entry->parts[p].iov_len, err));
    }
    uint32_t payload = g->frames[i].bytes;
    OM_TRY(put(g, zeros, (size_t)(om_wal_padded(payload) - payload), err));
out:
    return status;
}

/* Up to the next step, unless the group is so large that it gains nothing. *filled: where blocks that were
 * written end afterwards. */
static omen_status_t put_zeros(group *g, uint64_t *filled, omen_error *err)
{
    uint64_t file_bytes = g->wal->current->header.file_bytes;
    uint64_t step = file_bytes / OM_WAL_AHEAD_SHARE;
    uint64_t end = g->wal->position + g->bytes;
    *filled = g->wal->filled;
    if (end <= g->wal->filled) {
        return OMEN_OK;
    }
    *filled = end;
    if (g->bytes >= step) {
        return OMEN_OK;
    }
    *filled = om_min_u64(file_bytes, (end / step + 1) * step);
    for (uint64_t left = *filled - end; left != 0;) {
        size_t part = (size_t)om_min_u64(left, ZEROS);
        omen_status_t status = put(g, zeros, part, err);
        if (status != OMEN_OK) {
            return status;
        }
        left -= part;
    }
    return OMEN_OK;
}

static omen_status_t write_group(group *g, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal *wal = g->wal;
    uint64_t lsn = atomic_load(&wal->tail);
    uint64_t durable = atomic_load(&wal->durable);
    uint64_t filled = 0;
    uint32_t crc = wal->last_crc;
    g->at = wal->position;
    for (uint32_t i = 0; i < g->count; i++) {
        om_wal_frame *frame = &g->frames[i];
        frame->lsn = ++lsn;
        frame->epoch = wal->current->header.epoch;
        frame->previous_crc = crc;
        /* Fits: every file begins with a sync, and has no room for so many records. */
        frame->durable_back = (uint32_t)(lsn - durable);
        om_wal_frame_seal(frame, g->payload_crc[i]);
        crc = frame->crc;
        OM_TRY(put_entry(g, i, err));
    }
    OM_TRY(put_zeros(g, &filled, err));
    OM_TRY(flush(g, err));
    wal->position += g->bytes;
    wal->filled = filled;
    wal->last_crc = crc;
    atomic_store(&wal->tail, lsn);
    atomic_fetch_add(&wal->written, g->bytes); /* behind the tail: a sync never counts too much */
out:
    return status;
}

/* After a write that failed: frames of it that are in the file are made none, also after a power failure.
 * Without this a refused record could come back, with the first one or behind another try of it. */
static omen_status_t undo(group *g, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal *wal = g->wal;
    const om_iofile *file = &wal->current->io;
    uint64_t at = wal->position;
    bool undone = false;
    for (uint32_t i = 0; i < g->count; i++) {
        om_wal_frame frame;
        OM_TRY(om_io_read(file, &frame, sizeof frame, at, err));
        if (om_wal_frame_holds(&frame, wal->current->header.epoch)) {
            OM_TRY(om_io_write(file, zeros, sizeof frame, at, err));
            undone = true;
        }
        at += OM_WAL_FRAME_BYTES + om_wal_padded(g->frames[i].bytes);
    }
    if (undone) {
        OM_TRY(om_wal_sync_now(wal, err));
    }
out:
    return status;
}

/* A file with room for the group; normal groups leave the ballast alone, and wait until there is one. */
static omen_status_t make_room(group *g, omen_error *err)
{
    om_wal *wal = g->wal;
    bool full = wal->current == NULL || g->bytes > wal->current->header.file_bytes - wal->position;
    omen_status_t status = om_wal_ensure_spares(wal, full ? 2 : 1, err);
    if (status != OMEN_OK && g->ballast && wal->spares.count >= (full ? 1u : 0u)) {
        status = OMEN_OK;
    }
    return status == OMEN_OK && full ? om_wal_rotate(wal, err) : status;
}

static omen_status_t append(group *g, uint64_t *last, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal *wal = g->wal;
    OM_TRY(om_wal_writable(wal, err));
    OM_TRY(make_room(g, err));
    status = write_group(g, err);
    if (status != OMEN_OK) {
        omen_error other;
        bool undone = err->detail == OMEN_D_DISK_FULL && undo(g, &other) == OMEN_OK;
        status = undone ? status : om_wal_break(wal, err);
        goto out;
    }
    *last = atomic_load(&wal->tail);
    atomic_fetch_add(&wal->appends, 1);
out:
    return status;
}

omen_status_t om_wal_append(om_logdriver *driver, const om_log_entry *entries, uint32_t count,
                            uint64_t *last, omen_error *err)
{
    omen_error local;
    om_wal *wal = om_wal_of(driver);
    group g;
    memset(&g, 0, offsetof(group, frames));
    memset(g.payload_crc, 0, sizeof g.payload_crc);
    g.part_count = 0;
    g.part_bytes = 0;
    g.wal = wal;
    g.entries = entries;
    g.count = count;
    err = err != NULL ? err : &local;
    omen_status_t status = prepare(&g, err);
    if (status == OMEN_OK) {
        om_mutex_lock(&wal->append_mu);
        status = append(&g, last, err);
        om_mutex_unlock(&wal->append_mu);
    }
    if (status == OMEN_OK) {
        om_wal_timer_notify(wal);
    }
    return status;
}
