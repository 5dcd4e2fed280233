/* backuplog.c - a range of the log as log files of a backup. SPDX-License-Identifier: Apache-2.0
 *
 * Records come through the driver, whatever it is, while it goes on being appended to; what is written are
 * files as the local driver writes them, without room for more. A copy of the files as they lie would be
 * as large as their reserves, and could hold the end of a record without its beginning. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backupfile.h"
#include "filehead.h"
#include "logdriver.h"
#include "manifest.h"
#include "segfile.h"
#include "wal_int.h"

enum { NO_MORE = OMEN_OUT_OF_RANGE }; /* ends the reading behind the last record that is wanted */
static const uint8_t zeros[8];

typedef struct log_writer {
    om_backup_work *work;
    const om_backup_log *what;
    om_backup_list *list;
    om_path wal, path; /* the folder; the file */
    om_iofile file;
    om_wal_header header;
    uint64_t lsn;      /* of the next record */
    uint64_t position; /* in the file, of the buffer */
    size_t held;       /* bytes in the buffer */
    uint32_t crc;      /* of the record before */
    bool ended;
} log_writer;

static omen_status_t flush(log_writer *w, omen_error *err)
{
    omen_status_t status = om_io_write(&w->file, w->work->buffer, w->held, w->position, err);
    w->position += w->held;
    w->held = 0;
    return status;
}

static omen_status_t put(log_writer *w, const void *data, size_t bytes, omen_error *err)
{
    const uint8_t *from = data;
    while (bytes != 0) {
        size_t part = (size_t)om_min_u64(bytes, OM_BACKUP_BUFFER - w->held);
        memcpy(w->work->buffer + w->held, from, part);
        w->held += part;
        from += part;
        bytes -= part;
        if (w->held == OM_BACKUP_BUFFER) {
            omen_status_t status = flush(w, err);
            if (status != OMEN_OK) {
                return status;
            }
        }
    }
    return OMEN_OK;
}

static omen_status_t begin_file(log_writer *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    char name[OM_BACKUP_MAX_NAME + 1];
    uint64_t previous = w->header.first;
    (void)snprintf(name, sizeof name, "%016" PRIx64 ".wal", w->lsn);
    OM_TRY(om_path_join(&w->path, w->wal.text, name, err));
    OM_TRY(om_io_open(w->work->io, w->path.text, OM_IO_WRITE | OM_IO_CREATE | OM_IO_EXCLUSIVE,
                      &w->file, err));
    w->header = (om_wal_header){.magic = OM_WAL_MAGIC,
                                .format = OM_WAL_FORMAT,
                                .header_bytes = OM_WAL_HEADER_BYTES,
                                .byte_order = OM_WAL_BYTE_ORDER,
                                .first = w->lsn,
                                .previous_first = previous,
                                .durable = w->lsn - 1,
                                .previous_crc = w->crc,
                                .epoch = (uint32_t)(w->lsn % UINT32_MAX) + 1};
    memcpy(w->header.database, w->what->database, sizeof w->header.database);
    w->position = OM_WAL_HEADER_BYTES;
    w->held = 0;
out:
    return status;
}

/* The header is known now; the checksum of the whole file is read back. */
static omen_status_t end_file(log_writer *w, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint8_t page[OM_WAL_HEADER_BYTES];
    om_backup_file entry = {.bytes = 0};
    OM_TRY(flush(w, err));
    w->header.file_bytes = entry.bytes = w->position;
    om_wal_header_seal(&w->header, page);
    OM_TRY(om_io_write(&w->file, page, sizeof page, 0, err));
    OM_TRY(om_io_sync(&w->file, err));
    om_io_close(&w->file);
    OM_TRY(om_backup_copy(w->work, w->path.text, NULL, &entry, err));
    (void)snprintf(entry.name, sizeof entry.name, "wal/%016" PRIx64 ".wal", w->header.first);
    status = om_backup_list_add(w->work->alloc, w->list, &entry, err);
out:
    om_io_close(&w->file);
    return status;
}

static omen_status_t put_record(log_writer *w, const om_log_record *record, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    size_t padding = (size_t)om_wal_padded(record->bytes) - record->bytes;
    om_wal_frame frame = {.bytes = (uint32_t)record->bytes,
                          .lsn = record->lsn,
                          .epoch = w->header.epoch,
                          .collection = record->collection,
                          .type = record->type,
                          .flags = record->flags,
                          .frame_bytes = OM_WAL_FRAME_BYTES,
                          .previous_crc = w->crc,
                          .durable_back = 1}; /* all of it is durable before anybody reads it */
    om_wal_frame_seal(&frame, om_crc32c(0, record->payload, record->bytes));
    OM_TRY(put(w, &frame, sizeof frame, err));
    OM_TRY(put(w, record->payload, record->bytes, err));
    OM_TRY(put(w, zeros, padding, err));
    w->crc = frame.crc;
    w->lsn++;
out:
    return status;
}

static omen_status_t add_record(void *ctx, const om_log_record *record, omen_error *err)
{
    log_writer *w = ctx;
    omen_status_t status = OMEN_OK;
    const om_stop stop = {.op = w->work->op};
    if (record->lsn > w->what->to) {
        w->ended = true;
        return NO_MORE;
    }
    if (om_stop_check(&stop) != OMEN_OK) {
        return om_fail(err, OMEN_CANCELLED, OMEN_D_NONE, "backup: cancelled");
    }
    if (record->lsn != w->lsn || record->bytes > OM_LOG_MAX_PAYLOAD) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                       "backup: the log gives record %" PRIu64 " of %zu bytes for %" PRIu64,
                       record->lsn, record->bytes, w->lsn);
    }
    uint64_t need = OM_WAL_FRAME_BYTES + om_wal_padded(record->bytes);
    if (w->file.fd >= 0 && w->position + w->held + need > (uint64_t)OM_WAL_MAX_FILE) {
        OM_TRY(end_file(w, err));
    }
    if (w->file.fd < 0) {
        OM_TRY(begin_file(w, err));
    }
    status = put_record(w, record, err);
out:
    return status;
}

omen_status_t om_backup_log_copy(om_backup_work *work, const om_backup_log *what,
                                 om_backup_list *list, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    log_writer w = {.work = work, .what = what, .list = list, .lsn = what->after + 1};
    w.file.fd = -1;
    OM_TRY(om_path_join(&w.wal, what->folder, "wal", err));
    OM_TRY(om_io_mkdir(work->io, w.wal.text, err));
    if (what->to > what->after) {
        omen_error why = {0};
        status = what->log->ops->read(what->log, what->after + 1, add_record, &w, &why);
        if (status != OMEN_OK && !(w.ended && status == NO_MORE)) {
            if (err != NULL) {
                *err = why;
            }
            goto out;
        }
    }
    if (w.lsn != what->to + 1) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                         "backup: the log ends with record %" PRIu64 ", %" PRIu64 " is needed",
                         w.lsn - 1, what->to);
        goto out;
    }
    if (w.file.fd >= 0) {
        OM_TRY(end_file(&w, err));
    }
    status = om_io_sync_dir(work->io, w.wal.text, err);
out:
    om_io_close(&w.file);
    return status;
}
