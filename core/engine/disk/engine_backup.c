/* engine_backup.c - a copy of a database while it is written to. SPDX-License-Identifier: Apache-2.0
 *
 * A backup is a manifest, the files that it names, and the log from its checkpoint to what was durable when
 * it began: what a crash at that moment would have left, without the rest. Manifest and log are taken
 * with keep_mu held, so that no checkpoint trims the log meanwhile; the files are pinned and copied without
 * any lock. They never change, so hard links do as well as copies where they are possible; every one is
 * read whole once, against its own checksums, and its sum goes to the list. */
#include <stdio.h>
#include <string.h>

#include "backupfile.h"
#include "engine_disk.h"

enum { HEAD_BYTES = 4096 };

typedef struct backup {
    omen_db *db;
    om_disk *disk;
    const omen_backup_options *opt;
    om_backup_work work;
    om_backup_target target;
    om_backup_list list, previous;
    om_manifest manifest;
    omen_backup_result result;
    om_path from, to, old; /* of the file at hand */
} backup;

/* ---- What may be backed up --------------------------------------------------------------------- */
static omen_status_t check_call(const omen_db *db, const omen_backup_options *opt, omen_error *err)
{
    if ((opt->flags & ~(uint32_t)OMEN_BACKUP_COPY) != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "backup flags: unknown bits 0x%x",
                       opt->flags & ~(uint32_t)OMEN_BACKUP_COPY);
    }
    if (db->disk == NULL) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_NONE,
                       "backup: the database is in memory; omen_save writes its collections");
    }
    if (db->disk->log == NULL) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_READ_ONLY,
                       "backup: the database is open for reading; its writer can be backed up");
    }
    return OMEN_OK;
}

static omen_status_t read_previous(backup *b, omen_error *err)
{
    const char *path = b->opt->previous;
    if (path == NULL) {
        return OMEN_OK;
    }
    omen_status_t status = om_backup_list_read(b->work.io, b->work.alloc, path, &b->previous, err);
    if (status == OMEN_OK &&
        memcmp(b->previous.database, b->disk->uuid, sizeof b->disk->uuid) != 0) {
        status = om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_NONE,
                         "%.150s: the previous backup is of another database", path);
    }
    return status;
}

/* ---- Manifest and log -------------------------------------------------------------------------- */
/* What is durable now is what the backup will have. A log that broke is backed up as far as it is known to
 * be durable. */
static omen_status_t find_end(backup *b, omen_error *err)
{
    om_log_state state;
    om_logdriver *log = b->disk->log;
    log->ops->tail(log, &state);
    if (state.state == OM_LOG_ROTTEN) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "backup: the log of the database is damaged: %.150s", state.reason);
    }
    if (state.state == OM_LOG_OPEN) {
        omen_status_t status = log->ops->sync(log, state.tail, err);
        if (status != OMEN_OK) {
            return status;
        }
        b->result.version = state.tail;
    } else {
        b->result.version = state.durable;
    }
    /* What the files have was durable before the manifest was. */
    om_assert(b->result.version >= b->manifest.durable);
    b->list.version = b->result.version;
    return OMEN_OK;
}

static omen_status_t add_entry(backup *b, const om_backup_file *file, omen_error *err)
{
    b->result.files++;
    b->result.bytes += file->bytes;
    return om_backup_list_add(b->work.alloc, &b->list, file, err);
}

static omen_status_t name_file(backup *b, const char *name, omen_error *err)
{
    omen_status_t status = om_path_join(&b->from, b->disk->folder.text, name, err);
    return status != OMEN_OK ? status : om_path_join(&b->to, b->target.partial->text, name, err);
}

static omen_status_t copy_manifest(backup *b, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_backup_file file = {.bytes = 0};
    uint8_t *bytes = NULL;
    size_t size = 0;
    (void)snprintf(file.name, sizeof file.name, OM_MANIFEST_KEY "-%016llx",
                   (unsigned long long)b->disk->generation);
    OM_TRY(name_file(b, file.name, err));
    OM_TRY(om_io_slurp(b->work.io, b->work.alloc, b->from.text, OM_MANIFEST_MAX_BYTES, &bytes,
                       &size, err));
    OM_TRY(om_manifest_decode(b->work.alloc, bytes, size, &b->manifest, err));
    file.bytes = size;
    OM_TRY(om_backup_copy(&b->work, b->from.text, b->to.text, &file, err));
    b->result.bytes_copied += file.bytes;
    b->list.generation = b->manifest.generation;
    memcpy(b->list.database, b->manifest.database, sizeof b->list.database);
    status = add_entry(b, &file, err);
out:
    om_alloc_put(b->work.alloc, bytes, bytes == NULL ? 0 : size + 1, 8);
    return status;
}

static omen_status_t copy_log(backup *b, omen_error *err)
{
    uint32_t before = b->list.count;
    const om_backup_log what = {.log = b->disk->log,
                                .database = b->disk->uuid,
                                .folder = b->target.partial->text,
                                .after = b->manifest.checkpoint,
                                .to = b->result.version};
    omen_status_t status = om_backup_log_copy(&b->work, &what, &b->list, err);
    for (uint32_t i = before; i < b->list.count; i++) {
        b->result.files++;
        b->result.bytes += b->list.files[i].bytes;
        b->result.bytes_copied += b->list.files[i].bytes;
    }
    return status;
}

/* Everything that a later checkpoint would take away. The pin is taken here and given back at the end. */
static omen_status_t take_moment(backup *b, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_disk *disk = b->disk;
    om_mutex_lock(&disk->keep_mu);
    atomic_fetch_add(&disk->pins, 1);
    OM_TRY(copy_manifest(b, err));
    OM_TRY(find_end(b, err));
    OM_TRY(copy_log(b, err));
out:
    om_mutex_unlock(&disk->keep_mu);
    return status;
}

/* ---- Files that never change ------------------------------------------------------------------- */
static omen_status_t read_head(backup *b, const char *path, uint64_t bytes, uint8_t *head,
                               bool *there, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_iofile file = {.fd = -1};
    om_io_stat info;
    OM_TRY(om_io_look(b->work.io, path, &info, there, err));
    *there = *there && info.bytes == bytes;
    if (*there) {
        OM_TRY(om_io_open(b->work.io, path, 0, &file, err));
        OM_TRY(om_io_read(&file, head, (size_t)om_min_u64(bytes, HEAD_BYTES), 0, err));
    }
out:
    om_io_close(&file);
    return status;
}

/* A file of the previous backup with this name and size, and with the same header, whose checksums cover the
 * rest: it is linked, not read. */
static omen_status_t link_previous(backup *b, om_backup_file *file, bool *linked, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint8_t old[HEAD_BYTES] = {0}, now[HEAD_BYTES] = {0};
    const om_backup_file *known = om_backup_list_find(&b->previous, file->name);
    bool there = false;
    *linked = false;
    if (known == NULL || known->bytes != file->bytes) {
        return OMEN_OK;
    }
    OM_TRY(om_path_join(&b->old, b->opt->previous, file->name, err));
    OM_TRY(read_head(b, b->old.text, file->bytes, old, &there, err));
    if (there) {
        OM_TRY(read_head(b, b->from.text, file->bytes, now, &there, err));
    }
    if (there && memcmp(old, now, sizeof old) == 0) {
        OM_TRY(om_backup_link(b->work.io, b->old.text, b->to.text, linked, err));
        file->crc = known->crc;
    }
out:
    return status;
}

static omen_status_t take_file(backup *b, om_backup_file *file, bool *linked, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    *linked = false;
    if ((b->opt->flags & OMEN_BACKUP_COPY) == 0) {
        OM_TRY(om_backup_link(b->work.io, b->from.text, b->to.text, linked, err));
    }
    if (*linked) {
        OM_TRY(om_backup_copy(&b->work, b->to.text, NULL, file, err));
    } else {
        OM_TRY(om_backup_copy(&b->work, b->from.text, b->to.text, file, err));
        b->result.bytes_copied += file->bytes;
    }
out:
    return status;
}

/* By name and size; *fresh: it was read, so its own checksums are to be looked at. */
static omen_status_t add_file(backup *b, om_backup_file *file, bool *fresh, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool linked = false;
    OM_TRY(name_file(b, file->name, err));
    OM_TRY(link_previous(b, file, &linked, err));
    *fresh = !linked;
    if (linked) {
        b->work.done += file->bytes;
    } else {
        OM_TRY(take_file(b, file, &linked, err));
    }
    b->result.files_linked += linked ? 1 : 0;
    status = add_entry(b, file, err);
out:
    return status;
}

static omen_status_t check_segment(backup *b, const om_manifest_segment *seg, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_segfile *file = NULL;
    const om_stop stop = {.op = b->work.op};
    OM_TRY(om_segfile_open(b->work.io, b->work.alloc, b->to.text, &file, err));
    if (om_segfile_header_crc(file) != seg->header_crc) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                         "%.150s: is not the file that the manifest names", b->from.text);
        goto out;
    }
    status = om_segfile_verify_all(file, &stop, err);
    if (status == OMEN_CANCELLED) {
        status = om_fail(err, status, OMEN_D_NONE, "backup: cancelled");
    }
out:
    om_segfile_close(file);
    return status;
}

static omen_status_t add_segment(backup *b, uint32_t serial, const om_manifest_segment *seg,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool fresh = false;
    om_backup_file file = {.bytes = seg->file_bytes};
    om_backup_file deaths = {.bytes = 0};
    om_deaths opened;
    om_io_stat info;
    (void)snprintf(file.name, sizeof file.name, "%08x/%016llx.seg", serial,
                   (unsigned long long)seg->id);
    OM_TRY(add_file(b, &file, &fresh, err));
    if (fresh) {
        OM_TRY(check_segment(b, seg, err));
    }
    if (seg->deaths == 0) {
        return OMEN_OK;
    }
    (void)snprintf(deaths.name, sizeof deaths.name, "%08x/%016llx.%016llx.del", serial,
                   (unsigned long long)seg->id, (unsigned long long)seg->deaths);
    OM_TRY(name_file(b, deaths.name, err));
    OM_TRY(om_io_look(b->work.io, b->from.text, &info, &fresh, err));
    deaths.bytes = info.bytes;
    OM_TRY(add_file(b, &deaths, &fresh, err));
    OM_TRY(om_deaths_open(b->work.io, b->to.text, seg->id, seg->rows, &opened, err));
    om_deaths_close(b->work.io, &opened);
out:
    return status;
}

static omen_status_t add_cursors(backup *b, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    bool fresh = false;
    om_backup_file file = {.bytes = 0};
    om_cursors cursors = {0};
    om_io_stat info;
    if (b->manifest.cursors == 0) {
        return OMEN_OK;
    }
    (void)snprintf(file.name, sizeof file.name, "CURSORS-%016llx",
                   (unsigned long long)b->manifest.cursors);
    OM_TRY(name_file(b, file.name, err));
    OM_TRY(om_io_look(b->work.io, b->from.text, &info, &fresh, err));
    file.bytes = info.bytes;
    OM_TRY(add_file(b, &file, &fresh, err));
    OM_TRY(om_cursors_read(b->work.io, b->work.alloc, b->to.text, &cursors, err));
out:
    om_cursors_free(b->work.alloc, &cursors);
    return status;
}

static omen_status_t add_collection(backup *b, const om_manifest_collection *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_path folder;
    if (c->segment_count == 0) {
        return OMEN_OK;
    }
    OM_TRY(om_path_collection(&folder, b->target.partial->text, c->serial, err));
    OM_TRY(om_io_mkdir(b->work.io, folder.text, err));
    for (uint32_t i = 0; i < c->segment_count; i++) {
        OM_TRY(add_segment(b, c->serial, &c->segments[i], err));
    }
    status = om_io_sync_dir(b->work.io, folder.text, err);
out:
    return status;
}

static void count_bytes(backup *b)
{
    b->work.total = b->work.done;
    for (uint32_t i = 0; i < b->manifest.collection_count; i++) {
        const om_manifest_collection *c = &b->manifest.collections[i];
        for (uint32_t s = 0; s < c->segment_count; s++) {
            b->work.total += c->segments[s].file_bytes;
        }
    }
}

/* ---- All of it --------------------------------------------------------------------------------- */
/* A fresh manifest makes a shorter log, and is one that was not damaged since. A database that cannot be
 * written, or has no room for one, goes into the backup as it is: just then one is wanted. */
static omen_status_t refresh_manifest(omen_db *db, omen_error *err)
{
    omen_error why = {0};
    omen_status_t status = om_checkpoint_write(db, &why);
    if (status == OMEN_FAILED_PRECONDITION || why.detail == OMEN_D_DISK_FULL) {
        return OMEN_OK;
    }
    if (status != OMEN_OK && err != NULL) {
        *err = why;
    }
    return status;
}

static omen_status_t run(backup *b, const char *path, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(read_previous(b, err));
    OM_TRY(om_backup_target_begin(&b->target, path, b->disk->folder.text, err));
    OM_TRY(om_backup_work_begin(&b->work, err));
    OM_TRY(refresh_manifest(b->db, err));
    status = take_moment(b, err);
    if (status == OMEN_OK) {
        count_bytes(b);
        for (uint32_t i = 0; i < b->manifest.collection_count && status == OMEN_OK; i++) {
            status = add_collection(b, &b->manifest.collections[i], err);
        }
    }
    if (status == OMEN_OK) {
        status = add_cursors(b, err);
    }
    atomic_fetch_sub(&b->disk->pins, 1);
    OM_TRY(status);
    OM_TRY(om_backup_list_write(b->work.io, b->work.alloc, b->target.partial->text, &b->list, err));
    OM_TRY(om_backup_target_commit(&b->target, err));
    om_op_report(b->work.op, 0, b->work.total, b->work.total);
out:
    return status;
}

omen_status_t om_backup(omen_db *db, const char *path, const omen_backup_options *opt,
                        omen_backup_result *out, omen_error *err)
{
    omen_status_t status = check_call(db, opt, err);
    if (status != OMEN_OK) {
        return status;
    }
    const om_alloc *alloc = &db->rt->alloc;
    uint64_t rejections = om_rejections(db->rt);
    backup *b = om_alloc_zero(alloc, 1, sizeof *b, OM_CACHE_LINE);
    if (b == NULL) {
        return om_explain_memory(db->rt, rejections, om_fail_memory(err, "backup", sizeof *b), err);
    }
    b->db = db;
    b->disk = db->disk;
    b->opt = opt;
    b->work = (om_backup_work){.io = db->disk->io, .alloc = alloc, .op = opt->op};
    b->target = (om_backup_target){.io = db->disk->io, .alloc = alloc};
    status = run(b, path, err);
    if (status == OMEN_OK && out != NULL) {
        b->result.struct_size = out->struct_size;
        *out = b->result;
    }
    om_backup_target_end(&b->target);
    om_backup_work_end(&b->work);
    om_manifest_free(alloc, &b->manifest);
    om_backup_list_free(alloc, &b->previous);
    om_backup_list_free(alloc, &b->list);
    om_alloc_put(alloc, b, sizeof *b, OM_CACHE_LINE);
    return om_explain_memory(db->rt, rejections, status, err);
}
