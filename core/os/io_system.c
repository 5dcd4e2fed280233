/* io_system.c - the table of direct system calls: the only file of the library that makes any on files.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "io.h"

enum { ZEROS = 64 << 10 };

static int result(int returned)
{
    return returned == 0 ? 0 : errno;
}

static int system_open(void *ctx, const char *path, uint32_t flags, int *fd)
{
    (void)ctx;
    /* O_NONBLOCK: a path that is a pipe must fail or open, not wait for the other end. */
    int how = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how |= (flags & OM_IO_WRITE) != 0 ? O_RDWR : O_RDONLY;
    how |= (flags & OM_IO_CREATE) != 0 ? O_CREAT : 0;
    how |= (flags & OM_IO_EXCLUSIVE) != 0 ? O_EXCL : 0;
    how |= (flags & OM_IO_TRUNCATE) != 0 ? O_TRUNC : 0;
    *fd = open(path, how, 0666);
    return *fd >= 0 ? 0 : errno;
}

static int system_close(void *ctx, int fd)
{
    (void)ctx;
    return result(close(fd));
}

static int system_pread(void *ctx, int fd, void *data, size_t bytes, uint64_t offset, size_t *done)
{
    (void)ctx;
    *done = 0;
    if (offset > INT64_MAX) {
        return EINVAL;
    }
    ssize_t got = pread(fd, data, bytes < SSIZE_MAX ? bytes : SSIZE_MAX, (off_t)offset);
    if (got < 0) {
        return errno;
    }
    *done = (size_t)got;
    return 0;
}

static int system_pwritev(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset,
                          size_t *done)
{
    (void)ctx;
    *done = 0;
    if (offset > INT64_MAX) {
        return EFBIG;
    }
    ssize_t put = pwritev(fd, parts, count, (off_t)offset);
    if (put < 0) {
        return errno;
    }
    *done = (size_t)put;
    return 0;
}

/* File systems without fallocate get zeros behind the end, which takes the blocks as well. */
static int append_zeros(int fd, uint64_t bytes)
{
    static const uint8_t zeros[ZEROS];
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return errno;
    }
    uint64_t at = (uint64_t)info.st_size;
    while (at < bytes) {
        size_t part = bytes - at < ZEROS ? (size_t)(bytes - at) : (size_t)ZEROS;
        ssize_t put = pwrite(fd, zeros, part, (off_t)at);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? errno : ENOSPC;
        }
        at += (uint64_t)put;
    }
    return 0;
}

static int system_allocate(void *ctx, int fd, uint64_t bytes)
{
    (void)ctx;
    if (bytes > INT64_MAX) {
        return EFBIG;
    }
    if (bytes == 0 || fallocate(fd, 0, 0, (off_t)bytes) == 0) {
        return 0;
    }
    return errno == EOPNOTSUPP || errno == ENOSYS ? append_zeros(fd, bytes) : errno;
}

static int system_truncate(void *ctx, int fd, uint64_t bytes)
{
    (void)ctx;
    return bytes > INT64_MAX ? EFBIG : result(ftruncate(fd, (off_t)bytes));
}

static int system_sync(void *ctx, int fd)
{
    (void)ctx;
    return result(fdatasync(fd));
}

static void fill_stat(const struct stat *info, om_io_stat *out)
{
    *out = (om_io_stat){.bytes = info->st_size > 0 ? (uint64_t)info->st_size : 0,
                        .folder = S_ISDIR(info->st_mode),
                        .regular = S_ISREG(info->st_mode)};
}

static int system_fstat(void *ctx, int fd, om_io_stat *out)
{
    (void)ctx;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return errno;
    }
    fill_stat(&info, out);
    return 0;
}

static int system_stat(void *ctx, const char *path, om_io_stat *out)
{
    (void)ctx;
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno;
    }
    fill_stat(&info, out);
    return 0;
}

static int system_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return result(rename(from, to));
}

static int system_link(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return result(link(from, to));
}

static int system_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return result(unlink(path));
}

static int system_mkdir(void *ctx, const char *path)
{
    (void)ctx;
    return result(
        mkdir(path, 0700)); /* what a database is made of is for its owner, whatever the umask */
}

static int system_rmdir(void *ctx, const char *path)
{
    (void)ctx;
    return result(rmdir(path));
}

static int system_sync_dir(void *ctx, const char *path)
{
    (void)ctx;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int failed = result(fsync(fd));
    (void)close(fd);
    return failed;
}

static int system_list(void *ctx, const char *path, om_io_entry entry, void *arg)
{
    (void)ctx;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno;
    }
    int failed = 0;
    for (;;) {
        errno = 0;
        /* The stream is this call's own, which is all that readdir wants. */
        struct dirent *found = readdir(folder); /* NOLINT(concurrency-mt-unsafe) */
        if (found == NULL) {
            failed = errno;
            break;
        }
        if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0) {
            continue;
        }
        failed = entry(arg, found->d_name);
        if (failed != 0) {
            break;
        }
    }
    (void)closedir(folder);
    return failed;
}

static int system_resolve(void *ctx, const char *path, char *out, size_t capacity)
{
    (void)ctx;
    char name[PATH_MAX];
    struct stat info;
    if (realpath(path, name) == NULL || stat(name, &info) != 0) {
        return errno;
    }
    if (!S_ISDIR(info.st_mode)) {
        return ENOTDIR;
    }
    size_t length = strlen(name);
    if (length >= capacity) {
        return ENAMETOOLONG;
    }
    memcpy(out, name, length + 1);
    return 0;
}

static int system_space(void *ctx, const char *path, om_io_space *out)
{
    (void)ctx;
    struct statvfs info;
    if (statvfs(path, &info) != 0) {
        return errno;
    }
    out->total = (uint64_t)info.f_blocks * info.f_frsize;
    out->available = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}

/* A lock of the open file, not of the process: it does not vanish when some other descriptor of the file is
 * closed, and a second open in this process meets it too. */
static int system_lock(void *ctx, int fd)
{
    (void)ctx;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0) {
        return 0;
    }
    return errno == EACCES ? EAGAIN : errno;
}

static int system_map(void *ctx, int fd, const om_io_mapping *mapping, void **base)
{
    (void)ctx;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return errno;
    }
    uint64_t size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
    if (mapping->offset > size || mapping->bytes > size - mapping->offset) {
        return ENXIO; /* What lies behind the end is a signal, not an error. */
    }
    int protection = PROT_READ | (mapping->writable ? PROT_WRITE : 0);
    int flags = mapping->writable ? MAP_PRIVATE : MAP_SHARED;
    void *mapped = mmap(NULL, mapping->bytes, protection, flags, fd, (off_t)mapping->offset);
    if (mapped == MAP_FAILED) {
        return errno;
    }
    /* A forked child may use no handle, so it needs no copy of the pages and must not keep the file. */
    (void)madvise(mapped, mapping->bytes, MADV_DONTFORK);
    *base = mapped;
    return 0;
}

static int system_unmap(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    return result(munmap(base, bytes));
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static uint64_t system_now(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t system_wall(void *ctx)
{
    (void)ctx;
    return clock_ns(CLOCK_REALTIME);
}

static const om_io_ops system_ops = {
    .open = system_open,
    .close = system_close,
    .pread = system_pread,
    .pwritev = system_pwritev,
    .allocate = system_allocate,
    .truncate = system_truncate,
    .sync = system_sync,
    .fstat = system_fstat,
    .stat = system_stat,
    .rename = system_rename,
    .link = system_link,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .rmdir = system_rmdir,
    .sync_dir = system_sync_dir,
    .list = system_list,
    .resolve = system_resolve,
    .space = system_space,
    .lock = system_lock,
    .map = system_map,
    .unmap = system_unmap,
    .now_ns = system_now,
    .wall_ns = system_wall,
};
const om_io om_io_system = {&system_ops, NULL};
