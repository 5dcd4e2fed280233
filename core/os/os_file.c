/* os_file.c - files that appear whole or not at all: written under a temporary name beside the final
 * one, synced, renamed. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "os_int.h"
#include "rng.h"

enum { BUFFER_BYTES = 256 << 10, NAME_TRIES = 64, SUFFIX = 16 };

struct om_file {
    const om_alloc *alloc;
    char *path;   /* as the caller gave it, for messages */
    char *target; /* the same with an absolute folder    */
    char *tmp;    /* beside it; empty: not there         */
    uint8_t *buffer;
    size_t path_size, buffered;
    uint64_t flushed; /* bytes that the kernel has        */
    om_iofile out;
    bool broken; /* a write failed: commit is refused     */
};

static void free_file(om_file *file)
{
    const om_alloc *alloc = file->alloc;
    om_io_close(&file->out);
    om_alloc_put(alloc, file->buffer, BUFFER_BYTES, 4096);
    om_alloc_put(alloc, file->tmp, PATH_MAX, 1);
    om_alloc_put(alloc, file->target, PATH_MAX, 1);
    om_alloc_put(alloc, file->path, file->path_size, 1);
    om_alloc_put(alloc, file, sizeof *file, alignof(om_file));
}

static om_file *new_file(const om_io *io, const om_alloc *alloc, const char *path)
{
    om_file *file = om_alloc_zero(alloc, 1, sizeof *file, alignof(om_file));
    if (file == NULL) {
        return NULL;
    }
    file->alloc = alloc;
    file->path_size = strlen(path) + 1;
    file->path = om_alloc_get(alloc, file->path_size, 1);
    file->target = om_alloc_zero(alloc, 1, PATH_MAX, 1);
    file->tmp = om_alloc_zero(alloc, 1, PATH_MAX, 1);
    file->buffer = om_alloc_get(alloc, BUFFER_BYTES, 4096);
    file->out = (om_iofile){.io = io, .fd = -1, .path = file->path};
    if (file->path == NULL || file->target == NULL || file->tmp == NULL || file->buffer == NULL) {
        free_file(file);
        return NULL;
    }
    memcpy(file->path, path, file->path_size);
    return file;
}

/* The folder gets its absolute name now: the rename then happens there even when the working directory
 * changes, and a folder that is not there is found before the work, not after it. */
static omen_status_t find_target(om_file *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_io *io = file->out.io;
    OM_TRY(om_os_folder(file->path, file->tmp, PATH_MAX, err));
    int failed = io->ops->resolve(io->ctx, file->tmp, file->target, PATH_MAX);
    file->tmp[0] = '\0';
    if (failed != 0) {
        return om_fail_errno(err, om_os_status(failed), failed, "%s: cannot open the folder",
                             file->path);
    }
    const char *name = om_os_last_part(file->path);
    size_t length = strlen(file->target);
    if (length + strlen(name) + SUFFIX >= PATH_MAX) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME, "%s: the path is too long",
                       file->path);
    }
    bool root = length == 1;
    (void)snprintf(file->target + length, PATH_MAX - length, "%s%s", root ? "" : "/", name);
    om_io_stat info = {0};
    bool found = false;
    OM_TRY(om_io_look(io, file->target, &info, &found, err));
    if (found && !info.regular) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_IO, "%s: is there and no regular file",
                       file->path);
    }
out:
    return status;
}

static omen_status_t open_tmp(om_file *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    /* The names need not be secret (EXCLUSIVE decides), only seldom taken. */
    uint64_t seed = om_io_now(file->out.io);
    const uint32_t flags = OM_IO_WRITE | OM_IO_CREATE | OM_IO_EXCLUSIVE;
    for (int i = 0; i < NAME_TRIES; i++) {
        omen_error reason = {0};
        (void)snprintf(file->tmp, PATH_MAX, "%s.%08x.tmp", file->target,
                       (unsigned)(om_rng_next(&seed) >> 32));
        status = om_io_open(file->out.io, file->tmp, flags, &file->out, &reason);
        file->out.path = file->path;
        if (status == OMEN_OK) {
            return OMEN_OK;
        }
        if (reason.sys_errno != EEXIST) {
            file->tmp[0] = '\0';
            return om_fail_errno(err, status, reason.sys_errno,
                                 "%s: cannot create a file beside it", file->path);
        }
    }
    file->tmp[0] = '\0';
    return om_fail_errno(err, status, EEXIST, "%s: cannot create a file beside it", file->path);
}

omen_status_t om_file_create(const om_io *io, const om_alloc *alloc, const char *path,
                             om_file **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_file *file = NULL;
    size_t length = strlen(path);
    if (length == 0 || path[length - 1] == '/') {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME, "path '%s' names no file", path);
    }
    file = new_file(io, alloc, path);
    if (file == NULL) {
        return om_fail_memory(err, "a file buffer", BUFFER_BYTES);
    }
    OM_TRY(find_target(file, err));
    OM_TRY(open_tmp(file, err));
    *out = file;
    file = NULL;
out:
    if (file != NULL) {
        free_file(file);
    }
    return status;
}

static omen_status_t write_all(om_file *file, uint64_t offset, const void *data, size_t bytes,
                               omen_error *err)
{
    omen_status_t status = om_io_write(&file->out, data, bytes, offset, err);
    file->broken = file->broken || status != OMEN_OK;
    return status;
}

static omen_status_t flush_buffer(om_file *file, omen_error *err)
{
    omen_status_t status = write_all(file, file->flushed, file->buffer, file->buffered, err);
    if (status == OMEN_OK) {
        file->flushed += file->buffered;
        file->buffered = 0;
    }
    return status;
}

static omen_status_t refuse_broken(const om_file *file, omen_error *err)
{
    if (!file->broken) {
        return OMEN_OK;
    }
    return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_IO, "%s: an earlier write failed",
                   file->path);
}

omen_status_t om_file_write(om_file *file, const void *data, size_t bytes, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(refuse_broken(file, err));
    if (bytes > BUFFER_BYTES - file->buffered) {
        OM_TRY(flush_buffer(file, err));
    }
    if (bytes >= BUFFER_BYTES) {
        OM_TRY(write_all(file, file->flushed, data, bytes, err));
        file->flushed += bytes;
    } else if (bytes != 0) {
        memcpy(file->buffer + file->buffered, data, bytes);
        file->buffered += bytes;
    }
out:
    return status;
}

omen_status_t om_file_write_at(om_file *file, uint64_t offset, const void *data, size_t bytes,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(refuse_broken(file, err));
    uint64_t size = om_file_size(file);
    if (offset > size || bytes > size - offset) {
        return om_fail(err, OMEN_INTERNAL, OMEN_D_LIMIT,
                       "%s: overwriting %zu bytes at %llu of %llu", file->path, bytes,
                       (unsigned long long)offset, (unsigned long long)size);
    }
    OM_TRY(flush_buffer(file, err));
    OM_TRY(write_all(file, offset, data, bytes, err));
out:
    return status;
}

uint64_t om_file_size(const om_file *file)
{
    return file->flushed + file->buffered;
}

omen_status_t om_file_commit(om_file *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    const om_io *io = file->out.io;
    OM_TRY(refuse_broken(file, err));
    OM_TRY(flush_buffer(file, err));
    OM_TRY(om_io_sync(&file->out, err));
    om_io_close(&file->out);
    OM_TRY(om_io_rename(io, file->tmp, file->target, err));
    file->tmp[0] = '\0';
    OM_TRY(om_io_sync_parent(io, file->target, err));
out:
    om_file_abort(file);
    return status;
}

void om_file_abort(om_file *file)
{
    if (file == NULL) {
        return;
    }
    if (file->tmp[0] != '\0') {
        /* Best effort: what is left behind has the suffix .tmp and is never opened. */
        (void)file->out.io->ops->unlink(file->out.io->ctx, file->tmp);
    }
    free_file(file);
}
