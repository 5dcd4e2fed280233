/* wal_cursor.c - walks the records of one log file with large sequential reads, checking every byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "wal_int.h"

enum { BUFFER_ALIGN = 64 };

void om_wal_cursor_init(om_wal_cursor *cursor, const om_wal *wal)
{
    memset(cursor, 0, sizeof *cursor);
    cursor->wal = wal;
    cursor->file.fd = -1;
}

void om_wal_cursor_free(om_wal_cursor *cursor)
{
    om_io_close(&cursor->file);
    om_alloc_put(cursor->wal->alloc, cursor->buffer, cursor->capacity, BUFFER_ALIGN);
    cursor->buffer = NULL;
    cursor->capacity = 0;
}

static omen_status_t reserve(om_wal_cursor *cursor, size_t bytes, omen_error *err)
{
    if (bytes <= cursor->capacity) {
        return OMEN_OK;
    }
    /* Room for more than the record that asks: the bytes that are moved stay a small part. */
    size_t capacity = om_round_up(bytes, OM_WAL_READ) + (bytes > OM_WAL_READ ? OM_WAL_READ : 0);
    uint8_t *buffer =
        om_alloc_grow(cursor->wal->alloc, cursor->buffer, cursor->capacity, capacity, BUFFER_ALIGN);
    if (buffer == NULL) {
        return om_fail_memory(err, "buffer to read the log", capacity);
    }
    cursor->buffer = buffer;
    cursor->capacity = capacity;
    return OMEN_OK;
}

/* Bytes [position, position + bytes) of the file, which lie below the limit, are in the buffer. All
 * positions are multiples of 8, so payloads are aligned in the buffer as they are in the file. */
static omen_status_t fill(om_wal_cursor *cursor, uint64_t position, size_t bytes, omen_error *err)
{
    om_assert(position <= cursor->limit && bytes <= cursor->limit - position);
    bool begins = position >= cursor->start && position - cursor->start <= cursor->held;
    size_t skip = begins ? (size_t)(position - cursor->start) : cursor->held;
    size_t keep = cursor->held - skip;
    if (keep >= bytes) {
        return OMEN_OK;
    }
    omen_status_t status = reserve(cursor, bytes, err);
    if (status != OMEN_OK) {
        return status;
    }
    memmove(cursor->buffer, cursor->buffer + skip, keep);
    cursor->start = position;
    cursor->held = keep;
    size_t more = (size_t)om_min_u64(cursor->capacity, cursor->limit - position) - keep;
    status = om_io_read(&cursor->file, cursor->buffer + keep, more, position + keep, err);
    cursor->held += status == OMEN_OK ? more : 0;
    return status;
}

static const om_wal_frame *frame_at(const om_wal_cursor *cursor, uint64_t position)
{
    return (const om_wal_frame *)(const void *)(cursor->buffer + (position - cursor->start));
}

/* The header page; *damaged with the reason in err when it cannot be believed. */
static omen_status_t read_header(om_wal_cursor *cursor, uint64_t first, bool *damaged,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t size = 0;
    OM_TRY(om_io_size(&cursor->file, &size, err));
    if (size < OM_WAL_HEADER_BYTES) {
        *damaged = true;
        (void)om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO, "%s: %llu bytes, the header alone has %d",
                      cursor->path.text, (unsigned long long)size, OM_WAL_HEADER_BYTES);
        return OMEN_OK;
    }
    cursor->limit = size;
    OM_TRY(fill(cursor, 0, OM_WAL_HEADER_BYTES, err));
    status = om_wal_header_read(cursor->buffer, cursor->wal->options.database, cursor->path.text,
                                &cursor->header, err);
    if (status == OMEN_OK && cursor->header.first != first) {
        status =
            om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO, "%s: begins with lsn %llu, unlike its name",
                    cursor->path.text, (unsigned long long)cursor->header.first);
    }
    *damaged = status == OMEN_DATA_LOSS;
    status = *damaged ? OMEN_OK : status;
    cursor->limit = om_min_u64(size, cursor->header.file_bytes);
    cursor->held = (size_t)om_min_u64(cursor->held, cursor->limit);
    cursor->cut = size < cursor->header.file_bytes;
out:
    return status;
}

omen_status_t om_wal_cursor_open(om_wal_cursor *cursor, uint64_t first, bool *damaged,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_io_close(&cursor->file);
    cursor->held = 0;
    *damaged = false;
    om_wal_path_file(&cursor->path, cursor->wal, first);
    OM_TRY(om_io_open(cursor->wal->io, cursor->path.text, 0, &cursor->file, err));
    OM_TRY(read_header(cursor, first, damaged, err));
    if (!*damaged) {
        cursor->position = OM_WAL_HEADER_BYTES;
        cursor->lsn = first;
        cursor->crc = cursor->header.previous_crc;
        cursor->durable =
            cursor->durable > cursor->header.durable ? cursor->durable : cursor->header.durable;
    }
out:
    return status;
}

omen_status_t om_wal_cursor_next(om_wal_cursor *cursor, const om_wal_frame **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    *out = NULL;
    uint64_t left = cursor->limit - cursor->position;
    if (left < OM_WAL_FRAME_BYTES) {
        return OMEN_OK;
    }
    OM_TRY(fill(cursor, cursor->position, OM_WAL_FRAME_BYTES, err));
    const om_wal_frame *frame = frame_at(cursor, cursor->position);
    if (!om_wal_frame_holds(frame, cursor->header.epoch) || frame->lsn != cursor->lsn ||
        frame->previous_crc != cursor->crc ||
        om_wal_padded(frame->bytes) > left - OM_WAL_FRAME_BYTES) {
        return OMEN_OK;
    }
    size_t bytes = OM_WAL_FRAME_BYTES + (size_t)om_wal_padded(frame->bytes);
    OM_TRY(fill(cursor, cursor->position, bytes, err));
    frame = frame_at(cursor, cursor->position);
    if (!om_wal_payload_holds(frame, (const uint8_t *)(frame + 1))) {
        return OMEN_OK;
    }
    uint64_t durable = frame->lsn - frame->durable_back;
    cursor->durable = durable > cursor->durable ? durable : cursor->durable;
    cursor->position += bytes;
    cursor->lsn++;
    cursor->crc = frame->crc;
    *out = frame;
out:
    return status;
}

omen_status_t om_wal_cursor_enter(om_wal_cursor *cursor, uint64_t first, omen_error *err)
{
    bool damaged = false;
    omen_status_t status = om_wal_cursor_open(cursor, first, &damaged, err);
    return damaged ? OMEN_DATA_LOSS : status; /* err tells already */
}

omen_status_t om_wal_cursor_must(om_wal_cursor *cursor, const om_wal_frame **out, omen_error *err)
{
    omen_status_t status = om_wal_cursor_next(cursor, out, err);
    if (status == OMEN_OK && *out == NULL) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "%s: record %llu is damaged",
                         cursor->path.text, (unsigned long long)cursor->lsn);
    }
    return status;
}

omen_status_t om_wal_cursor_remains(om_wal_cursor *cursor, om_wal_remains *out, omen_error *err)
{
    *out = (om_wal_remains){0};
    uint64_t at = cursor->position;
    while (cursor->limit - at >= OM_WAL_FRAME_BYTES) {
        omen_status_t status = fill(cursor, at, OM_WAL_FRAME_BYTES, err);
        if (status != OMEN_OK) {
            return status;
        }
        uint64_t end = cursor->start + cursor->held - OM_WAL_FRAME_BYTES;
        for (; at <= end; at += sizeof(uint64_t)) {
            const om_wal_frame *frame = frame_at(cursor, at);
            if (frame->epoch == cursor->header.epoch && frame->lsn >= cursor->lsn &&
                om_wal_frame_holds(frame, cursor->header.epoch)) {
                uint64_t durable = frame->lsn - frame->durable_back;
                out->any = true;
                out->durable = durable > out->durable ? durable : out->durable;
            }
        }
    }
    return OMEN_OK;
}
