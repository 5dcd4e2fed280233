/* wal_files.c - log files that begin, and files that are not needed any more.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Blocks that were written before are overwritten twice as fast as new ones are appended, and need no
 * journal of the file system; so trimmed files become spares and spares become log files. The last spare
 * is the ballast: when the disk is full only entries that say so may take it, so that deletes, which make
 * room, can still be logged.
 *
 * A file takes its place whole: the old one is synced, the header of the new one is synced under the name
 * of a spare, then it is renamed and the folder synced. So every file but the last is durable to its end,
 * a log file always has a header, and a missing one is damage. A file none of whose records holds is
 * replaced by the next one, which has its name. */
#include <stdalign.h>
#include <string.h>

#include "rng.h"
#include "wal_int.h"

void om_wal_file_release(om_wal *wal, om_wal_file *file)
{
    if (file == NULL) {
        return;
    }
    om_mutex_lock(&wal->sync_mu);
    bool last = --file->refs == 0;
    om_mutex_unlock(&wal->sync_mu);
    if (last) {
        om_io_close(&file->io);
        om_alloc_put(wal->alloc, file, sizeof *file, alignof(om_wal_file));
    }
}

void om_wal_set_current(om_wal *wal, om_wal_file *file)
{
    om_wal_file *old = wal->current;
    om_mutex_lock(&wal->sync_mu);
    wal->current = file;
    om_mutex_unlock(&wal->sync_mu);
    om_wal_file_release(wal, old);
}

/* A file that was half made, or cannot be used: it holds nothing. */
static void discard(const om_wal *wal, const char *path)
{
    omen_error err;
    if (om_io_unlink(wal->io, path, &err) != OMEN_OK) {
        om_log_write(wal->options.log, OMEN_LOG_WARN, "log", "%s", err.message);
    }
}

static omen_status_t make_spare(om_wal *wal, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_path path;
    om_iofile file = {.fd = -1};
    uint64_t number = wal->next_spare++; /* never again: what fails may leave a file behind */
    OM_TRY(om_wal_names_reserve(wal, &wal->spares, wal->spares.count + 1, err));
    om_wal_path_spare(&path, wal, number);
    OM_TRY(
        om_io_open(wal->io, path.text, OM_IO_WRITE | OM_IO_CREATE | OM_IO_EXCLUSIVE, &file, err));
    status = om_io_allocate(&file, wal->file_bytes, err);
    om_io_close(&file);
    if (status != OMEN_OK) {
        discard(wal, path.text);
        goto out;
    }
    om_wal_names_add(&wal->spares, number, wal->file_bytes);
    wal->spares.items[wal->spares.count - 1].fresh = true;
out:
    return status;
}

/* Spares of another size are from a smaller file system or were half made. */
static void drop_misfits(om_wal *wal)
{
    for (uint32_t i = wal->spares.count; i > 0; i--) {
        om_wal_path path;
        if (wal->spares.items[i - 1].bytes != wal->file_bytes) {
            om_wal_path_spare(&path, wal, wal->spares.items[i - 1].number);
            discard(wal, path.text);
            om_wal_names_remove(&wal->spares, i - 1);
        }
    }
}

omen_status_t om_wal_ensure_spares(om_wal *wal, uint32_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    drop_misfits(wal);
    while (status == OMEN_OK && wal->spares.count < count) {
        status = make_spare(wal, err);
    }
    return status;
}

/* Never the one that the file had in an earlier life, whatever the clock says: records of that life are
 * still in it. */
static uint32_t new_epoch(const om_wal *wal, const om_wal_header *old)
{
    uint64_t words[2];
    memcpy(words, wal->options.database, sizeof words);
    uint64_t h = om_mix64(words[0] ^ om_io_wall(wal->io));
    h = om_mix64(h ^ words[1] ^ om_io_now(wal->io));
    h = om_mix64(h ^ atomic_load(&wal->tail));
    uint64_t step = 1 + h % (UINT32_MAX - 1);
    return (uint32_t)(1 + (old->epoch - UINT64_C(1) + step) % UINT32_MAX);
}

/* The last spare gets the header of a log file, and its name. */
static omen_status_t begin_file(om_wal *wal, om_wal_file *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t tail = atomic_load(&wal->tail);
    uint8_t page[OM_WAL_HEADER_BYTES];
    om_wal_header old;
    om_wal_path path;
    om_wal_path_file(&path, wal, tail + 1);
    OM_TRY(om_io_open(wal->io, file->path.text, OM_IO_WRITE, &file->io, err));
    OM_TRY(om_io_read(&file->io, page, sizeof page, 0, err));
    memcpy(&old, page, sizeof old);
    file->header = (om_wal_header){
        .magic = OM_WAL_MAGIC,
        .format = OM_WAL_FORMAT,
        .header_bytes = OM_WAL_HEADER_BYTES,
        .byte_order = OM_WAL_BYTE_ORDER,
        .file_bytes = wal->file_bytes,
        .first = tail + 1,
        .previous_first = wal->previous_first,
        .durable = tail,
        .previous_crc = wal->last_crc,
        .epoch = new_epoch(wal, &old),
    };
    memcpy(file->header.database, wal->options.database, sizeof file->header.database);
    om_wal_header_seal(&file->header, page);
    OM_TRY(om_io_write(&file->io, page, sizeof page, 0, err));
    OM_TRY(om_io_sync(&file->io, err));
    OM_TRY(om_io_rename(wal->io, file->path.text, path.text, err));
    file->path = path;
out:
    return status;
}

omen_status_t om_wal_rotate(om_wal *wal, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_assert(wal->spares.count != 0);
    uint32_t last = wal->spares.count - 1;
    om_wal_name spare = wal->spares.items[last];
    om_wal_file *file = om_alloc_zero(wal->alloc, 1, sizeof *file, alignof(om_wal_file));
    if (file == NULL) {
        return om_fail_memory(err, "a log file", sizeof *file);
    }
    file->io.fd = -1;
    file->refs = 1;
    OM_TRY(om_wal_names_reserve(wal, &wal->files, wal->files.count + 1, err));
    om_wal_path_spare(&file->path, wal, spare.number);
    OM_TRY(om_wal_sync(&wal->driver, UINT64_MAX, err));
    status = begin_file(wal, file, err);
    om_wal_names_remove(&wal->spares, last);
    if (status != OMEN_OK) {
        discard(wal, file->path.text);
        goto out;
    }
    if (om_io_sync_dir(wal->io, wal->folder.text, err) != OMEN_OK) {
        status = om_wal_break(wal, err);
        goto out;
    }
    uint32_t count = wal->files.count;
    if (count != 0 && wal->files.items[count - 1].number == file->header.first) {
        om_wal_names_remove(&wal->files, count - 1); /* its name was taken over */
    }
    om_wal_names_add(&wal->files, file->header.first, wal->file_bytes);
    wal->previous_first = file->header.first;
    om_wal_set_current(wal, file);
    wal->position = OM_WAL_HEADER_BYTES;
    wal->filled = spare.fresh ? (uint64_t)OM_WAL_HEADER_BYTES : UINT64_MAX;
    file = NULL;
out:
    om_wal_file_release(wal, file);
    return status;
}

/* Whether a file is only what its name says. A power failure may leave the old name of a spare beside the new
 * one, so that it is the same file as a live one: then the name goes and the file is let alone. */
static bool is_itself(const om_wal *wal, const char *path, uint64_t first)
{
    uint8_t page[OM_WAL_HEADER_BYTES];
    om_wal_header header = {0};
    omen_error err;
    om_iofile file;
    bool known = om_io_open(wal->io, path, 0, &file, &err) == OMEN_OK &&
                 om_io_read(&file, page, sizeof page, 0, &err) == OMEN_OK &&
                 om_wal_header_read(page, wal->options.database, path, &header, &err) == OMEN_OK;
    om_io_close(&file);
    return known && header.first == first;
}

/* Takes the oldest file away. Neither needs a sync of the folder: whoever needs the file's records no more
 * does not mind it coming back, whatever is in it then. */
static omen_status_t retire(om_wal *wal, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_path path, spare;
    om_wal_name oldest = wal->files.items[0];
    OM_TRY(om_wal_names_reserve(wal, &wal->spares, wal->spares.count + 1, err));
    om_wal_path_file(&path, wal, oldest.number);
    om_wal_path_spare(&spare, wal, wal->next_spare);
    if (oldest.bytes == wal->file_bytes && wal->spares.count < (uint32_t)OM_WAL_SPARES &&
        is_itself(wal, path.text, oldest.number)) {
        OM_TRY(om_io_rename(wal->io, path.text, spare.text, err));
        om_wal_names_add(&wal->spares, wal->next_spare++, oldest.bytes);
    } else {
        OM_TRY(om_io_unlink(wal->io, path.text, err));
    }
    om_wal_names_remove(&wal->files, 0);
    uint64_t first = wal->files.items[0].number;
    wal->first = first > wal->first ? first : wal->first;
out:
    return status;
}

omen_status_t om_wal_trim(om_logdriver *driver, uint64_t lsn, omen_error *err)
{
    om_wal *wal = om_wal_of(driver);
    om_mutex_lock(&wal->append_mu);
    omen_status_t status = om_wal_writable(wal, err);
    lsn = om_min_u64(lsn, atomic_load(&wal->durable));
    while (status == OMEN_OK && wal->readers == 0 && wal->files.count > 1 &&
           wal->files.items[1].number <= lsn + 1) {
        status = retire(wal, err);
    }
    om_mutex_unlock(&wal->append_mu);
    return status;
}
