/* wal_read.c - reading records: of the own log, and beside the process that writes it.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A reader beside the writer takes nobody's word: records hold only with the epoch of the header that it
 * read, in their order, each with the checksum of the one before. When the writer recycles a file that is
 * being read, nothing of it holds any more; that the file is gone from the folder then tells why. */
#include <inttypes.h>
#include <string.h>

#include "wal_int.h"

enum { MOST_TRIES = 16 };

/* One call of read. */
typedef struct reading {
    om_wal *wal;
    om_wal_cursor cursor;
    om_wal_names files; /* beside the writer: as last listed */
    om_wal_names spares;
    uint64_t from;   /* lsn that is delivered next */
    uint64_t newest; /* delivered */
    bool refused;    /* apply failed: its failure is nobody's damage */
    om_log_apply apply;
    void *ctx;
} reading;

static omen_status_t fail_too_old(const reading *r, uint64_t first, omen_error *err)
{
    return om_fail(err, OMEN_OUT_OF_RANGE, OMEN_D_NONE,
                   "%s: the log begins with lsn %" PRIu64 ", %" PRIu64 " was asked for",
                   r->wal->folder.text, first, r->from);
}

static omen_status_t deliver(reading *r, const om_wal_frame *frame, omen_error *err)
{
    if (frame->lsn < r->from) {
        return OMEN_OK;
    }
    const om_log_record record = {.lsn = frame->lsn,
                                  .collection = frame->collection,
                                  .type = frame->type,
                                  .flags = frame->flags,
                                  .payload = (const uint8_t *)(frame + 1),
                                  .bytes = frame->bytes};
    omen_status_t status = r->apply(r->ctx, &record, err);
    r->refused = status != OMEN_OK;
    if (status == OMEN_OK) {
        r->from++;
        r->newest = frame->lsn;
    }
    return status;
}

/* Delivers records below `stop` from the open file on; all of them must hold. */
static omen_status_t deliver_until(reading *r, uint64_t stop, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    while (r->cursor.lsn < stop) {
        const om_wal_frame *frame = NULL;
        OM_TRY(om_wal_cursor_must(&r->cursor, &frame, err));
        OM_TRY(deliver(r, frame, err));
    }
out:
    return status;
}

/* ---- The own log: its records are known to be whole -------------------------------------------- */
/* The file of the next record and where it ends. */
static void locate(om_wal *wal, uint64_t lsn, uint64_t *first, uint64_t *stop)
{
    om_mutex_lock(&wal->append_mu);
    uint32_t at = om_wal_names_find(&wal->files, lsn);
    om_assert(at != UINT32_MAX);
    *first = wal->files.items[at].number;
    *stop = at + 1 < wal->files.count ? wal->files.items[at + 1].number : UINT64_MAX;
    om_mutex_unlock(&wal->append_mu);
}

static omen_status_t read_own(reading *r, uint64_t tail, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    while (r->from <= tail) {
        uint64_t first = 0, stop = 0;
        locate(r->wal, r->from, &first, &stop);
        OM_TRY(om_wal_cursor_enter(&r->cursor, first, err));
        OM_TRY(deliver_until(r, om_min_u64(stop, tail + 1), err));
    }
out:
    return status;
}

/* ---- Beside the writer ------------------------------------------------------------------------- */
/* The last file: how far it holds, then a sync (any descriptor of a file will do), then the records. What
 * is delivered is durable, so the writer's machine may fail without un-writing what was read. */
static omen_status_t follow_last(reading *r, uint64_t first, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_wal_frame *frame = NULL;
    do {
        OM_TRY(om_wal_cursor_next(&r->cursor, &frame, err));
    } while (frame != NULL);
    uint64_t end = r->cursor.lsn;
    if (end > r->from) {
        OM_TRY(om_io_sync(&r->cursor.file, err));
        OM_TRY(om_wal_cursor_enter(&r->cursor, first, err));
        OM_TRY(deliver_until(r, end, err));
    }
out:
    return status;
}

/* Delivers what the file of `from` has; *last: it was the last one. */
static omen_status_t follow_file(reading *r, bool *last, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t at = om_wal_names_find(&r->files, r->from);
    if (at == UINT32_MAX) {
        return fail_too_old(r, r->files.items[0].number, err);
    }
    uint64_t first = r->files.items[at].number;
    *last = at + 1 == r->files.count;
    OM_TRY(om_wal_cursor_enter(&r->cursor, first, err));
    OM_TRY(*last ? follow_last(r, first, err)
                 : deliver_until(r, r->files.items[at + 1].number, err));
out:
    return status;
}

/* Goes on as long as the folder shows other files than before: new ones, or not those that failed. */
static omen_status_t read_beside(reading *r, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_wal_names before = {0};
    bool last = false;
    OM_TRY(om_wal_list(r->wal, &r->files, &r->spares, err));
    for (uint32_t tries = 0; r->files.count != 0 && tries < MOST_TRIES; tries++) {
        uint64_t from = r->from;
        status = follow_file(r, &last, err);
        bool gone = status == OMEN_NOT_FOUND || status == OMEN_DATA_LOSS;
        if (r->refused || (status != OMEN_OK && !gone)) {
            break;
        }
        tries = r->from != from ? 0 : tries;
        if (status == OMEN_OK && !last) {
            continue;
        }
        om_wal_names swap = before;
        omen_error other;
        before = r->files;
        r->files = swap;
        omen_status_t listed = om_wal_list(r->wal, &r->files, &r->spares, gone ? &other : err);
        if (listed != OMEN_OK || om_wal_names_same(&before, &r->files)) {
            status = gone ? status : listed;
            break;
        }
    }
out:
    om_wal_names_free(r->wal, &before);
    return status;
}

static void publish_read(om_wal *wal, uint64_t tail)
{
    om_mutex_lock(&wal->append_mu);
    if (tail > atomic_load(&wal->tail)) {
        atomic_store(&wal->tail, tail);
    }
    om_mutex_unlock(&wal->append_mu);
    om_wal_set_durable(wal, tail);
}

omen_status_t om_wal_read(om_logdriver *driver, uint64_t from, om_log_apply apply, void *ctx,
                          omen_error *err)
{
    omen_error local;
    om_wal *wal = om_wal_of(driver);
    omen_status_t status = OMEN_OK;
    reading r = {.wal = wal, .from = from != 0 ? from : 1, .apply = apply, .ctx = ctx};
    err = err != NULL ? err : &local;
    om_wal_cursor_init(&r.cursor, wal);
    if (atomic_load(&wal->state) == OM_LOG_READ_ONLY) {
        status = read_beside(&r, err);
        publish_read(wal, r.newest);
    } else {
        om_mutex_lock(&wal->append_mu);
        wal->readers++;
        uint64_t first = wal->first;
        uint64_t tail = atomic_load(&wal->tail);
        om_mutex_unlock(&wal->append_mu);
        status = r.from < first ? fail_too_old(&r, first, err) : read_own(&r, tail, err);
        om_mutex_lock(&wal->append_mu);
        wal->readers--;
        om_mutex_unlock(&wal->append_mu);
    }
    om_wal_cursor_free(&r.cursor);
    om_wal_names_free(wal, &r.files);
    om_wal_names_free(wal, &r.spares);
    return status;
}
