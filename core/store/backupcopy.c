/* backupcopy.c - files copied, linked and removed for backups. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "backupfile.h"
#include "filehead.h"
#include "manifest_int.h"
#include "segfile.h"

enum { BUFFER_ALIGN = 4096 };

omen_status_t om_backup_work_begin(om_backup_work *work, omen_error *err)
{
    work->buffer = om_alloc_get(work->alloc, OM_BACKUP_BUFFER, BUFFER_ALIGN);
    return work->buffer != NULL ? OMEN_OK
                                : om_fail_memory(err, "buffer of a backup", OM_BACKUP_BUFFER);
}

void om_backup_work_end(om_backup_work *work)
{
    om_alloc_put(work->alloc, work->buffer, OM_BACKUP_BUFFER, BUFFER_ALIGN);
    work->buffer = NULL;
}

static omen_status_t fail_cancelled(omen_error *err)
{
    return om_fail(err, OMEN_CANCELLED, OMEN_D_NONE, "backup: cancelled");
}

static omen_status_t copy_bytes(om_backup_work *work, const om_iofile *from, const om_iofile *to,
                                om_backup_file *sum, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_stop stop = {.op = work->op};
    sum->crc = 0;
    for (uint64_t at = 0; at < sum->bytes;) {
        size_t part = (size_t)om_min_u64(sum->bytes - at, OM_BACKUP_BUFFER);
        if (om_stop_check(&stop) != OMEN_OK) {
            return fail_cancelled(err);
        }
        OM_TRY(om_io_read(from, work->buffer, part, at, err));
        sum->crc = om_crc32c(sum->crc, work->buffer, part);
        if (to != NULL) {
            OM_TRY(om_io_write(to, work->buffer, part, at, err));
        }
        at += part;
        work->done += part;
        om_op_report(work->op, work->stage, work->done, work->total);
    }
out:
    return status;
}

static omen_status_t open_exactly(const om_io *io, const char *path, uint64_t bytes, om_iofile *out,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t size = 0;
    OM_TRY(om_io_open(io, path, 0, out, err));
    OM_TRY(om_io_size(out, &size, err));
    if (size != bytes) {
        status =
            om_fail(err, OMEN_DATA_LOSS, OMEN_D_NONE, "%s: the file has %llu bytes, not %llu: %s",
                    om_path_tail(path), (unsigned long long)size, (unsigned long long)bytes,
                    size < bytes ? "it was cut off" : "something was appended");
    }
out:
    return status;
}

omen_status_t om_backup_copy(om_backup_work *work, const char *from, const char *to,
                             om_backup_file *sum, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_iofile source = {.fd = -1}, target = {.fd = -1};
    OM_TRY(open_exactly(work->io, from, sum->bytes, &source, err));
    if (to == NULL) {
        OM_TRY(copy_bytes(work, &source, NULL, sum, err));
        goto out;
    }
    OM_TRY(om_io_open(work->io, to, OM_IO_WRITE | OM_IO_CREATE | OM_IO_EXCLUSIVE, &target, err));
    status = copy_bytes(work, &source, &target, sum, err);
    if (status == OMEN_OK) {
        status = om_io_sync(&target, err);
    }
    if (status != OMEN_OK) {
        (void)work->io->ops->unlink(work->io->ctx, to); /* Best effort: no list names it. */
    }
out:
    om_io_close(&target);
    om_io_close(&source);
    return status;
}

omen_status_t om_backup_link(const om_io *io, const char *from, const char *to, bool *linked,
                             omen_error *err)
{
    omen_error why = {0};
    omen_status_t status = om_io_link(io, from, to, &why);
    *linked = status == OMEN_OK;
    /* Another file system, one without links, or the most links that a file may have. */
    if (status == OMEN_OK || why.sys_errno == EXDEV || why.sys_errno == EPERM ||
        why.sys_errno == EMLINK || why.sys_errno == ENOSYS || why.sys_errno == EOPNOTSUPP) {
        return OMEN_OK;
    }
    if (err != NULL) {
        *err = why;
    }
    return status;
}
