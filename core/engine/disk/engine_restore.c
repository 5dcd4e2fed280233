/* engine_restore.c - a new database out of a backup. SPDX-License-Identifier: Apache-2.0
 *
 * The backup is only read. Its list is checked first, then that every file is there with its size; then each
 * is copied and must have its checksum. The new folder gets its name when the manifest in it can be
 * followed. */
#include <stdio.h>
#include <string.h>

#include "backupfile.h"
#include "engine_disk.h"

static const om_alloc plain_alloc;

typedef struct restore {
    const char *from;
    om_backup_work work;
    om_backup_target target;
    om_backup_list list;
    omen_backup_result result;
    char folder[OM_BACKUP_MAX_NAME + 1]; /* that the last file went to; empty: the top */
    om_path source, copy;
} restore;

/* "00000001" of "00000001/x"; empty without a folder. */
static void folder_of(const char *name, char out[OM_BACKUP_MAX_NAME + 1])
{
    const char *slash = strchr(name, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - name);
    memcpy(out, name, length);
    out[length] = '\0';
}

static omen_status_t check_files(restore *r, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint32_t i = 0; i < r->list.count; i++) {
        const om_backup_file *file = &r->list.files[i];
        om_io_stat info;
        bool found = false;
        OM_TRY(om_path_join(&r->source, r->from, file->name, err));
        OM_TRY(om_io_look(r->work.io, r->source.text, &info, &found, err));
        if (!found) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                           "%s: is missing, the list of the backup %.100s names it", file->name,
                           r->from);
        }
        if (info.bytes != file->bytes) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                           "%s: has %llu bytes, the list of the backup says %llu: %s", file->name,
                           (unsigned long long)info.bytes, (unsigned long long)file->bytes,
                           info.bytes < file->bytes ? "it was cut off" : "something was appended");
        }
    }
out:
    return status;
}

/* The names on the list ascend, so the files of a folder stand together. */
static omen_status_t enter_folder(restore *r, const char *name, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    char folder[OM_BACKUP_MAX_NAME + 1];
    folder_of(name, folder);
    if (strcmp(folder, r->folder) == 0) {
        return OMEN_OK;
    }
    if (r->folder[0] != '\0') {
        OM_TRY(om_path_join(&r->copy, r->target.partial->text, r->folder, err));
        OM_TRY(om_io_sync_dir(r->work.io, r->copy.text, err));
    }
    memcpy(r->folder, folder, sizeof folder);
    if (folder[0] != '\0') {
        OM_TRY(om_path_join(&r->copy, r->target.partial->text, folder, err));
        OM_TRY(om_io_mkdir(r->work.io, r->copy.text, err));
    }
out:
    return status;
}

static omen_status_t copy_file(restore *r, const om_backup_file *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_backup_file sum = *file;
    OM_TRY(enter_folder(r, file->name, err));
    OM_TRY(om_path_join(&r->source, r->from, file->name, err));
    OM_TRY(om_path_join(&r->copy, r->target.partial->text, file->name, err));
    OM_TRY(om_backup_copy(&r->work, r->source.text, r->copy.text, &sum, err));
    if (sum.crc != file->crc) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM,
                       "%s: checksum is %08x, the list of the backup says %08x: it was changed",
                       file->name, sum.crc, file->crc);
    }
    r->result.files++;
    r->result.bytes += file->bytes;
    r->result.bytes_copied += file->bytes;
out:
    return status;
}

/* The list could be whole and still not be that of a database. */
static omen_status_t check_database(restore *r, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_manifest m = {0};
    uint32_t skipped = 0;
    OM_TRY(om_manifest_load(r->work.io, r->work.alloc, r->target.partial->text, &m, &skipped, err));
    if (skipped != 0 || m.generation != r->list.generation ||
        memcmp(m.database, r->list.database, sizeof m.database) != 0) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE,
                         "%.150s: the manifest in it is not the one of its list", r->from);
    }
    om_manifest_free(r->work.alloc, &m);
out:
    return status;
}

static omen_status_t run(restore *r, const char *to, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_backup_list_read(r->work.io, r->work.alloc, r->from, &r->list, err));
    OM_TRY(check_files(r, err));
    OM_TRY(om_backup_target_begin(&r->target, to, r->from, err));
    OM_TRY(om_backup_work_begin(&r->work, err));
    r->work.total = om_backup_list_bytes(&r->list);
    for (uint32_t i = 0; i < r->list.count; i++) {
        OM_TRY(copy_file(r, &r->list.files[i], err));
    }
    OM_TRY(enter_folder(r, "", err));
    OM_TRY(check_database(r, err));
    OM_TRY(om_backup_target_commit(&r->target, err));
    r->result.version = r->list.version;
    om_op_report(r->work.op, 0, r->work.total, r->work.total);
out:
    return status;
}

static omen_status_t check_options(const omen_backup_options *opt, omen_error *err)
{
    if ((opt->flags & ~(uint32_t)OMEN_BACKUP_COPY) != 0 || opt->previous != NULL) {
        return om_fail(
            err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
            "restore: unknown flags 0x%x, or a previous backup, which means nothing here",
            opt->flags & ~(uint32_t)OMEN_BACKUP_COPY);
    }
    return OMEN_OK;
}

omen_status_t om_restore(const om_io *io, const char *from, const char *to,
                         const omen_backup_options *opt, omen_backup_result *out, omen_error *err)
{
    omen_status_t status = check_options(opt, err);
    if (status != OMEN_OK) {
        return status;
    }
    io = io != NULL ? io : &om_io_system;
    const om_alloc *alloc = opt->runtime != NULL ? &opt->runtime->alloc : &plain_alloc;
    restore *r = om_alloc_zero(alloc, 1, sizeof *r, OM_CACHE_LINE);
    if (r == NULL) {
        return om_fail_memory(err, "restore", sizeof *r);
    }
    r->from = from;
    r->work = (om_backup_work){.io = io, .alloc = alloc, .op = opt->op};
    r->target = (om_backup_target){.io = io, .alloc = alloc};
    status = run(r, to, err);
    if (status == OMEN_OK && out != NULL) {
        r->result.struct_size = out->struct_size;
        *out = r->result;
    }
    om_backup_target_end(&r->target);
    om_backup_work_end(&r->work);
    om_backup_list_free(alloc, &r->list);
    om_alloc_put(alloc, r, sizeof *r, OM_CACHE_LINE);
    return status;
}
