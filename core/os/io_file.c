/* io_file.c - open files over any table of io.h: whole transfers, and failures with the path in the message.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "io.h"
#include "os_int.h"

enum { MOST_PARTS = 64, SLURP_ALIGN = 8 };

omen_status_t om_os_status(int sys_errno)
{
    switch (sys_errno) {
    case EACCES:
    case EPERM:
    case EROFS:
    case EISDIR:
    case ENOTDIR:
    case ENOTEMPTY:
    case EEXIST:
    case EXDEV:
    case EMLINK:
    case ENAMETOOLONG:
    case ELOOP:
    case ENXIO:
    case EFBIG:
    case ETXTBSY:
        return OMEN_FAILED_PRECONDITION;
    case EMFILE:
    case ENFILE:
        return OMEN_RESOURCE_EXHAUSTED;
    default:
        return OMEN_UNAVAILABLE;
    }
}

static omen_status_t fail_file(const om_iofile *file, int failed, const char *what, omen_error *err)
{
    return om_fail_errno(err, om_os_status(failed), failed, "%s: %s", file->path, what);
}

omen_status_t om_io_open(const om_io *io, const char *path, uint32_t flags, om_iofile *out,
                         omen_error *err)
{
    *out = (om_iofile){.io = io, .fd = -1, .path = path};
    int fd = -1;
    int failed;
    do {
        failed = io->ops->open(io->ctx, path, flags, &fd);
    } while (failed == EINTR);
    if (failed != 0) {
        return fail_file(out, failed, "cannot open", err);
    }
    out->fd = fd;
    return OMEN_OK;
}

void om_io_close(om_iofile *file)
{
    if (file->io != NULL && file->fd >= 0) {
        /* What matters was synced before; the descriptor is gone even when this fails. */
        (void)file->io->ops->close(file->io->ctx, file->fd);
    }
    file->fd = -1;
}

omen_status_t om_io_read(const om_iofile *file, void *data, size_t bytes, uint64_t offset,
                         omen_error *err)
{
    uint8_t *to = data;
    size_t left = bytes;
    while (left != 0) {
        size_t done = 0;
        int failed = file->io->ops->pread(file->io->ctx, file->fd, to, left, offset, &done);
        if (failed == EINTR) {
            continue;
        }
        if (failed != 0) {
            return fail_file(file, failed, "cannot read", err);
        }
        if (done == 0) {
            return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO,
                           "%s: the file ends at byte %llu, %zu bytes too early", file->path,
                           (unsigned long long)offset, left);
        }
        om_assert(done <= left);
        to += done;
        offset += done;
        left -= done;
    }
    return OMEN_OK;
}

/* Leaves out the first `done` bytes of the parts. */
static void skip_parts(struct iovec **parts, int *count, size_t done)
{
    while (*count != 0 && done >= (*parts)->iov_len) {
        done -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (*count != 0) {
        (*parts)->iov_base = (uint8_t *)(*parts)->iov_base + done;
        (*parts)->iov_len -= done;
    }
}

omen_status_t om_io_writev(const om_iofile *file, struct iovec *parts, int count, uint64_t offset,
                           omen_error *err)
{
    om_assert(count >= 0 && count <= MOST_PARTS);
    skip_parts(&parts, &count, 0); /* Empty parts would look like a disk that takes nothing. */
    while (count != 0) {
        size_t done = 0;
        int failed = file->io->ops->pwritev(file->io->ctx, file->fd, parts, count, offset, &done);
        if (failed == EINTR) {
            continue;
        }
        if (failed != 0 || done == 0) {
            return fail_file(file, failed != 0 ? failed : EIO, "cannot write", err);
        }
        offset += done;
        skip_parts(&parts, &count, done);
    }
    return OMEN_OK;
}

omen_status_t om_io_write(const om_iofile *file, const void *data, size_t bytes, uint64_t offset,
                          omen_error *err)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    return om_io_writev(file, &part, 1, offset, err);
}

omen_status_t om_io_sync(const om_iofile *file, omen_error *err)
{
    /* Not even after EINTR: what was not written then is not known either. */
    int failed = file->io->ops->sync(file->io->ctx, file->fd);
    return failed == 0 ? OMEN_OK : fail_file(file, failed, "cannot sync", err);
}

omen_status_t om_io_size(const om_iofile *file, uint64_t *bytes, omen_error *err)
{
    om_io_stat info = {0};
    int failed = file->io->ops->fstat(file->io->ctx, file->fd, &info);
    if (failed != 0) {
        return fail_file(file, failed, "cannot look at the file", err);
    }
    if (!info.regular) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_IO, "%s: is no regular file",
                       file->path);
    }
    *bytes = info.bytes;
    return OMEN_OK;
}

omen_status_t om_io_allocate(const om_iofile *file, uint64_t bytes, omen_error *err)
{
    int failed;
    do {
        failed = file->io->ops->allocate(file->io->ctx, file->fd, bytes);
    } while (failed == EINTR);
    return failed == 0 ? OMEN_OK : fail_file(file, failed, "cannot reserve blocks", err);
}

omen_status_t om_io_truncate(const om_iofile *file, uint64_t bytes, omen_error *err)
{
    int failed;
    do {
        failed = file->io->ops->truncate(file->io->ctx, file->fd, bytes);
    } while (failed == EINTR);
    return failed == 0 ? OMEN_OK : fail_file(file, failed, "cannot set the size", err);
}

omen_status_t om_io_lock(const om_iofile *file, omen_error *err)
{
    int failed = file->io->ops->lock(file->io->ctx, file->fd);
    if (failed == EAGAIN) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_LOCKED,
                       "%s: is locked: it is open for writing elsewhere", file->path);
    }
    return failed == 0 ? OMEN_OK : fail_file(file, failed, "cannot lock", err);
}

omen_status_t om_io_map(const om_iofile *file, const om_io_mapping *mapping, void **base,
                        omen_error *err)
{
    int failed = file->io->ops->map(file->io->ctx, file->fd, mapping, base);
    if (failed == ENXIO) {
        return om_fail(err, OMEN_DATA_LOSS, OMEN_D_IO,
                       "%s: %zu bytes from byte %llu on are not all inside the file", file->path,
                       mapping->bytes, (unsigned long long)mapping->offset);
    }
    return failed == 0 ? OMEN_OK : fail_file(file, failed, "cannot map", err);
}

void om_io_unmap(const om_io *io, void *base, size_t bytes)
{
    if (base != NULL) {
        int failed = io->ops->unmap(io->ctx, base, bytes);
        om_assert(failed == 0);
        (void)failed;
    }
}

omen_status_t om_io_slurp(const om_io *io, const om_alloc *alloc, const char *path, uint64_t limit,
                          uint8_t **data, size_t *bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint8_t *block = NULL;
    uint64_t size = 0;
    om_iofile file;
    OM_TRY(om_io_open(io, path, 0, &file, err));
    OM_TRY(om_io_size(&file, &size, err));
    if (size > limit || size >= SIZE_MAX) {
        status = om_fail(err, OMEN_DATA_LOSS, OMEN_D_LIMIT, "%s: %llu bytes, at most %llu", path,
                         (unsigned long long)size, (unsigned long long)limit);
        goto out;
    }
    block = om_alloc_get(alloc, (size_t)size + 1, SLURP_ALIGN);
    if (block == NULL) {
        status = om_fail_memory(err, path, size + 1);
        goto out;
    }
    OM_TRY(om_io_read(&file, block, (size_t)size, 0, err));
    block[size] = 0;
    *data = block;
    *bytes = (size_t)size;
    block = NULL;
out:
    om_alloc_put(alloc, block, (size_t)size + 1, SLURP_ALIGN);
    om_io_close(&file);
    return status;
}
