/* os_file.c - files that appear whole or not at all: written under a temporary name beside the final
 * one, synced, renamed. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "op.h"
#include "os_int.h"
#include "rng.h"

enum { BUFFER_BYTES = 256 << 10, NAME_TRIES = 64, MAX_WRITE = 1 << 30 };

struct om_file {
    const om_alloc *alloc;
    char *path;     /* the final path, for messages        */
    char *name;     /* its last part                       */
    char *tmp_name; /* beside it; NULL: not made yet       */
    uint8_t *buffer;
    size_t path_size, buffered;
    uint64_t flushed; /* bytes that the kernel has           */
    int dir, fd;
    bool broken; /* a write failed: commit is refused   */
};

omen_status_t om_os_status(int sys_errno)
{
    switch (sys_errno) {
    case EACCES:
    case EPERM:
    case EROFS:
    case EISDIR:
    case ENOTDIR:
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

static omen_status_t fail_file(const om_file *file, int sys_errno, const char *what,
                               omen_error *err)
{
    return om_fail_errno(err, om_os_status(sys_errno), sys_errno, "%s: %s", file->path, what);
}

static void free_file(om_file *file)
{
    const om_alloc *alloc = file->alloc;
    if (file->fd >= 0) {
        (void)close(file->fd);
    }
    if (file->dir >= 0) {
        (void)close(file->dir);
    }
    om_alloc_put(alloc, file->buffer, BUFFER_BYTES, 4096);
    om_alloc_put(alloc, file->tmp_name, file->path_size + 32, 1);
    om_alloc_put(alloc, file->path, file->path_size, 1);
    om_alloc_put(alloc, file, sizeof *file, alignof(om_file));
}

static om_file *new_file(const om_alloc *alloc, const char *path)
{
    om_file *file = om_alloc_zero(alloc, 1, sizeof *file, alignof(om_file));
    if (file == NULL) {
        return NULL;
    }
    file->alloc = alloc;
    file->dir = file->fd = -1;
    file->path_size = strlen(path) + 1;
    file->path = om_alloc_get(alloc, file->path_size, 1);
    file->tmp_name = om_alloc_get(alloc, file->path_size + 32, 1);
    file->buffer = om_alloc_get(alloc, BUFFER_BYTES, 4096);
    if (file->path == NULL || file->tmp_name == NULL || file->buffer == NULL) {
        free_file(file);
        return NULL;
    }
    memcpy(file->path, path, file->path_size);
    char *slash = strrchr(file->path, '/');
    file->name = slash != NULL ? slash + 1 : file->path;
    return file;
}

/* Opens the folder now: the rename then happens there even when the working directory changes, and a
 * folder that cannot be synced is found before the work, not after it. */
static omen_status_t open_dir(om_file *file, omen_error *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    if (file->name == file->path) {
        file->dir = open(".", flags);
    } else if (file->name == file->path + 1) {
        file->dir = open("/", flags);
    } else {
        file->name[-1] = '\0';
        file->dir = open(file->path, flags);
        int failed = errno;
        file->name[-1] = '/';
        errno = failed;
    }
    if (file->dir < 0) {
        return fail_file(file, errno, "cannot open the folder", err);
    }
    struct stat info;
    if (fstatat(file->dir, file->name, &info, 0) == 0 && !S_ISREG(info.st_mode)) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_IO, "%s: is there and no regular file",
                       file->path);
    }
    return OMEN_OK;
}

static omen_status_t open_tmp(om_file *file, omen_error *err)
{
    /* The names need not be secret (O_EXCL decides), only seldom taken. */
    uint64_t seed = om_now_ns() ^ ((uint64_t)getpid() << 32) ^ (uintptr_t)file;
    for (int i = 0; i < NAME_TRIES; i++) {
        (void)snprintf(file->tmp_name, file->path_size + 32, "%s.%08x.tmp", file->name,
                       (unsigned)(om_rng_next(&seed) >> 32));
        file->fd = openat(file->dir, file->tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->fd >= 0 || errno != EEXIST) {
            break;
        }
    }
    if (file->fd < 0) {
        return fail_file(file, errno, "cannot create a file beside it", err);
    }
    return OMEN_OK;
}

omen_status_t om_file_create(const om_alloc *alloc, const char *path, om_file **out,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_file *file = NULL;
    size_t length = strlen(path);
    if (length == 0 || path[length - 1] == '/') {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME, "path '%s' names no file", path);
    }
    file = new_file(alloc, path);
    if (file == NULL) {
        return om_fail_memory(err, "a file buffer", BUFFER_BYTES);
    }
    OM_TRY(open_dir(file, err));
    OM_TRY(open_tmp(file, err));
    *out = file;
    file = NULL;
out:
    if (file != NULL) {
        free_file(file);
    }
    return status;
}

/* Writes all bytes at an offset; short writes and signals go on where they stopped. */
static omen_status_t write_all(om_file *file, uint64_t offset, const uint8_t *data, size_t bytes,
                               omen_error *err)
{
    while (bytes != 0) {
        size_t part = bytes < MAX_WRITE ? bytes : (size_t)MAX_WRITE;
        ssize_t written = pwrite(file->fd, data, part, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            file->broken = true;
            return fail_file(file, written < 0 ? errno : ENOSPC, "cannot write", err);
        }
        data += written;
        offset += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return OMEN_OK;
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
    OM_TRY(refuse_broken(file, err));
    OM_TRY(flush_buffer(file, err));
    /* A failed fsync is final: the kernel may have dropped the pages, a second call could lie. */
    if (fsync(file->fd) != 0) {
        OM_TRY(fail_file(file, errno, "cannot sync", err));
    }
    int closed = close(file->fd);
    file->fd = -1;
    if (closed != 0) {
        OM_TRY(fail_file(file, errno, "cannot close", err));
    }
    if (renameat(file->dir, file->tmp_name, file->dir, file->name) != 0) {
        OM_TRY(fail_file(file, errno, "cannot rename the temporary file", err));
    }
    file->tmp_name[0] = '\0';
    if (fsync(file->dir) != 0) {
        OM_TRY(fail_file(file, errno, "written, but its folder cannot be synced", err));
    }
out:
    om_file_abort(file);
    return status;
}

void om_file_abort(om_file *file)
{
    if (file == NULL) {
        return;
    }
    if (file->tmp_name[0] != '\0') {
        /* Best effort: what is left behind has the suffix .tmp and is never opened. */
        (void)unlinkat(file->dir, file->tmp_name, 0);
    }
    free_file(file);
}
