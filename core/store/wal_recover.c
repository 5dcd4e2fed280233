/* wal_recover.c - opening: walks the files from the checkpoint on, tells a torn tail from rot, and makes
 * durable what it found. SPDX-License-Identifier: Apache-2.0
 *
 * A record that does not hold ends the log, unless something says that it was durable once: a later
 * record (it tells how far the log was synced when it was written), the next file (the one before is
 * synced before a file begins), or the manifest. Then it is rot: nothing is cut, nothing is written.
 * "There is a valid record behind it" alone proves nothing: sectors reach the disk in any order until
 * they are synced.
 * A torn tail needs no writing either. When nothing of its epoch is behind it, records go on in its
 * place; else the next append begins a file with a new epoch that names the last record that holds. A
 * crash before that finds the same files again. */
#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "wal_int.h"

enum { MOST_LISTINGS = 8 };

typedef struct found {
    om_wal_cursor cursor;
    uint32_t start; /* index of the file that is walked first */
    bool leftovers; /* behind the last record */
} found;

static void set_rotten(om_wal *wal, uint64_t lsn, const char *why)
{
    wal->rotten_lsn = lsn;
    (void)snprintf(wal->reason, sizeof wal->reason, "record %" PRIu64 " of the log: %.100s", lsn,
                   why);
    atomic_store(&wal->state, OM_LOG_ROTTEN);
}

static bool is_rotten(const om_wal *wal)
{
    return atomic_load(&wal->state) == OM_LOG_ROTTEN;
}

static uint64_t known_durable(const om_wal *wal)
{
    uint64_t hint = wal->options.durable_hint;
    return hint > wal->options.checkpoint ? hint : wal->options.checkpoint;
}

/* The file with record checkpoint + 1, or with the end of the log. */
static omen_status_t find_start(const om_wal *wal, found *f, omen_error *err)
{
    f->start = om_wal_names_find(&wal->files, wal->options.checkpoint + 1);
    if (f->start != UINT32_MAX) {
        return OMEN_OK;
    }
    if (wal->files.count != 0) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO,
                       "%s: the log begins with lsn %" PRIu64 ", but %" PRIu64
                       " is needed: files are missing",
                       wal->folder.text, wal->files.items[0].number, wal->options.checkpoint + 1);
    }
    if (wal->options.durable_hint > wal->options.checkpoint) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO,
                       "%s: there are no log files, but lsn %" PRIu64 " to %" PRIu64 " are needed",
                       wal->folder.text, wal->options.checkpoint + 1, wal->options.durable_hint);
    }
    return OMEN_OK;
}

/* Goes to file `index` and checks that it continues the one before. */
static omen_status_t enter_file(om_wal *wal, found *f, uint32_t index, omen_error *err)
{
    om_wal_cursor *c = &f->cursor;
    bool damaged = false;
    bool follows = index > f->start;
    uint64_t number = wal->files.items[index].number;
    uint64_t lsn = c->lsn;
    uint32_t crc = c->crc;
    omen_status_t status = om_wal_cursor_open(c, number, &damaged, err);
    if (status != OMEN_OK) {
        return status;
    }
    if (damaged) {
        set_rotten(wal, follows ? lsn : number, err->message);
        return OMEN_OK;
    }
    if (follows && c->header.previous_first != wal->files.items[index - 1].number) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO,
                       "%s: the log file before it, %016" PRIx64 ".wal, is missing", c->path.text,
                       c->header.previous_first);
    }
    if (follows && (lsn != number || crc != c->header.previous_crc)) {
        set_rotten(wal, lsn, "damaged, and the next log file says that it was durable");
    }
    return OMEN_OK;
}

/* Records up to, not including, `stop`. */
static omen_status_t walk(om_wal_cursor *c, uint64_t stop, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_wal_frame *frame = NULL;
    do {
        if (c->lsn == stop) {
            break;
        }
        status = om_wal_cursor_next(c, &frame, err);
    } while (status == OMEN_OK && frame != NULL);
    return status;
}

/* Where the last file ends. While another process appends, a record may be half there and what was
 * written behind it whole a moment later: so it is read again before it is called rotten. */
static omen_status_t walk_last(om_wal *wal, found *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_cursor *c = &f->cursor;
    om_wal_remains remains;
    const om_wal_frame *frame = NULL;
    do {
        OM_TRY(walk(c, UINT64_MAX, err));
        OM_TRY(om_wal_cursor_remains(c, &remains, err));
        f->leftovers = remains.any;
        c->held = 0;
        OM_TRY(om_wal_cursor_next(c, &frame, err));
    } while (frame != NULL);
    if (c->cut) {
        set_rotten(wal, c->lsn, "the log file is shorter than its header says");
    } else if (remains.durable >= c->lsn) {
        set_rotten(wal, c->lsn, "damaged, and a later one says that it was durable");
    } else if (known_durable(wal) >= c->lsn) {
        set_rotten(wal, c->lsn, "damaged or missing, and the manifest says that it was durable");
    }
out:
    return status;
}

static omen_status_t walk_files(om_wal *wal, found *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t last = wal->files.count - 1;
    for (uint32_t i = f->start; i <= last; i++) {
        OM_TRY(enter_file(wal, f, i, err));
        if (is_rotten(wal)) {
            break;
        }
        OM_TRY(i == last ? walk_last(wal, f, err)
                         : walk(&f->cursor, wal->files.items[i + 1].number, err));
    }
out:
    return status;
}

/* The log as the files tell it; a log without files begins behind the checkpoint. */
static omen_status_t look(om_wal *wal, found *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_cursor *c = &f->cursor;
    c->held = 0;
    c->crc = 0;
    c->lsn = wal->options.checkpoint + 1;
    c->durable = known_durable(wal);
    atomic_store(&wal->state, OM_LOG_OPEN);
    f->leftovers = false;
    OM_TRY(om_wal_list(wal, &wal->files, &wal->spares, err));
    OM_TRY(find_start(wal, f, err));
    wal->first = c->lsn;
    if (wal->files.count != 0) {
        wal->first = wal->files.items[f->start].number;
        OM_TRY(walk_files(wal, f, err));
    }
    uint64_t next = is_rotten(wal) ? wal->rotten_lsn : c->lsn;
    wal->last_crc = c->crc;
    atomic_store(&wal->tail, next - 1);
    atomic_store(&wal->durable, om_min_u64(c->durable, next - 1));
out:
    return status;
}

/* Writes the records above `durable` once more, and syncs. After a failed sync the kernel may hold pages
 * that it believes to be on the disk although they are not; whoever read them would see them vanish in the
 * next power failure. The bytes do not change, so a crash meanwhile does no harm. */
static omen_status_t secure(om_wal *wal, found *f, const om_iofile *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_cursor *c = &f->cursor;
    uint64_t tail = atomic_load(&wal->tail);
    uint64_t durable = atomic_load(&wal->durable);
    OM_TRY(om_wal_cursor_enter(c, wal->files.items[wal->files.count - 1].number, err));
    while (c->lsn <= tail) {
        const om_wal_frame *frame = NULL;
        uint64_t position = c->position;
        OM_TRY(om_wal_cursor_must(c, &frame, err));
        if (frame->lsn > durable) {
            OM_TRY(om_io_write(file, frame, OM_WAL_FRAME_BYTES + frame->bytes, position, err));
        }
    }
    OM_TRY(om_io_sync(file, err));
    om_wal_set_durable(wal, tail);
out:
    return status;
}

/* The last file takes the next records, unless there are leftovers in it. Nor one without records: only the
 * first append to a file proves that its name was synced, so the next file takes that name again. */
static omen_status_t take_last(om_wal *wal, found *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_file *file = om_alloc_zero(wal->alloc, 1, sizeof *file, alignof(om_wal_file));
    if (file == NULL) {
        return om_fail_memory(err, "a log file", sizeof *file);
    }
    file->io.fd = -1;
    file->refs = 1;
    file->path = f->cursor.path;
    file->header = f->cursor.header;
    uint64_t position = f->cursor.position;
    bool empty = atomic_load(&wal->tail) < file->header.first;
    wal->previous_first = empty ? file->header.previous_first : file->header.first;
    OM_TRY(om_io_open(wal->io, file->path.text, OM_IO_WRITE, &file->io, err));
    if (atomic_load(&wal->durable) < atomic_load(&wal->tail)) {
        OM_TRY(secure(wal, f, &file->io, err));
    }
    if (!f->leftovers && !empty) {
        om_wal_set_current(wal, file);
        wal->position = position;
        wal->filled = UINT64_MAX;
        file = NULL;
    }
out:
    om_wal_file_release(wal, file);
    return status;
}

/* Beside a writer files come and go while the folder is read: as long as the names change, a failure says
 * nothing. */
static omen_status_t look_beside_writer(om_wal *wal, found *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_names before = {0}, spares = {0};
    for (uint32_t i = 0; i < MOST_LISTINGS; i++) {
        status = look(wal, f, err);
        if (status == OMEN_OK && !is_rotten(wal)) {
            break;
        }
        omen_error other;
        if (om_wal_list(wal, &before, &spares, &other) != OMEN_OK ||
            om_wal_names_same(&before, &wal->files)) {
            break;
        }
    }
    om_wal_names_free(wal, &before);
    om_wal_names_free(wal, &spares);
    return status;
}

omen_status_t om_wal_recover(om_wal *wal, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    found f = {0};
    om_wal_cursor_init(&f.cursor, wal);
    if (wal->options.read_only) {
        OM_TRY(look_beside_writer(wal, &f, err));
        if (!is_rotten(wal)) {
            atomic_store(&wal->state, OM_LOG_READ_ONLY);
        }
        goto out;
    }
    OM_TRY(look(wal, &f, err));
    if (!is_rotten(wal) && wal->files.count != 0) {
        OM_TRY(take_last(wal, &f, err));
    }
    for (uint32_t i = 0; i < wal->spares.count; i++) {
        wal->next_spare = wal->spares.items[i].number + 1;
    }
out:
    om_wal_cursor_free(&f.cursor);
    return status;
}
