/* io.h - every system call of the engine on files, and its clocks, behind one table of functions, so that
 * tests can record, refuse, reorder and forget what a disk does.
 * Depends on: base.  Locks: none.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IO_H
#define OM_IO_H
#include <sys/uio.h>

#include "base.h"

enum {
    OM_IO_WRITE = 1,     /* else read-only                                            */
    OM_IO_CREATE = 2,    /* made when it is not there                                 */
    OM_IO_EXCLUSIVE = 4, /* EEXIST when it is there                                   */
    OM_IO_TRUNCATE = 8
};
typedef struct om_io_space {
    uint64_t total, available; /* bytes of the file system that a path lies on */
} om_io_space;
typedef struct om_io_stat {
    uint64_t bytes;
    bool folder;
    bool regular; /* neither: a pipe, a device, a socket */
} om_io_stat;
typedef struct om_io_mapping {
    uint64_t offset; /* a multiple of 4,096 */
    size_t bytes;    /* at least 1 */
    bool writable;   /* private: changes stay in this process and never reach the file */
} om_io_mapping;
/* Called for every entry but "." and ".."; anything but 0 ends the listing and is returned. */
typedef int (*om_io_entry)(void *arg, const char *name);

/* All return 0 or a positive errno value; transfers may be short, and any call may give EINTR (the helpers
 * below go on then). Paths are NUL-terminated. Descriptors are small integers of the driver's own,
 * close-on-exec; opening never waits, and a descriptor is gone after `close` whatever that returns. `sync`
 * is fdatasync: the bytes and the size are on stable storage. A name is on stable storage only after
 * sync_dir of its folder. Threads: any; reads and writes of one descriptor may overlap. */
typedef struct om_io_ops {
    int (*open)(void *ctx, const char *path, uint32_t flags, int *fd);
    int (*close)(void *ctx, int fd);
    int (*pread)(void *ctx, int fd, void *data, size_t bytes, uint64_t offset, size_t *done);
    int (*pwritev)(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset,
                   size_t *done);
    int (*allocate)(void *ctx, int fd, uint64_t bytes); /* blocks for [0, bytes); grows the size */
    int (*truncate)(void *ctx, int fd, uint64_t bytes);
    int (*sync)(void *ctx, int fd);
    int (*fstat)(void *ctx, int fd, om_io_stat *out);
    int (*stat)(void *ctx, const char *path, om_io_stat *out);
    int (*rename)(void *ctx, const char *from, const char *to);
    int (*link)(void *ctx, const char *from, const char *to);
    int (*unlink)(void *ctx, const char *path);
    int (*mkdir)(void *ctx, const char *path);
    int (*rmdir)(void *ctx, const char *path);
    int (*sync_dir)(void *ctx, const char *path);
    int (*list)(void *ctx, const char *path, om_io_entry entry, void *arg);
    /* The absolute name of a folder that is there, so that a later chdir does not matter; ENAMETOOLONG
     * when `capacity` bytes do not hold it. */
    int (*resolve)(void *ctx, const char *path, char *out, size_t capacity);
    int (*space)(void *ctx, const char *path, om_io_space *out);
    int (*lock)(void *ctx, int fd); /* exclusive, until closed; EAGAIN when another one holds it */
    /* Not inherited by a forked child. The range must lie inside the file. */
    int (*map)(void *ctx, int fd, const om_io_mapping *mapping, void **base);
    int (*unmap)(void *ctx, void *base, size_t bytes);
    uint64_t (*now_ns)(void *ctx);  /* monotonic            */
    uint64_t (*wall_ns)(void *ctx); /* since the Unix epoch */
} om_io_ops;
typedef struct om_io {
    const om_io_ops *ops;
    void *ctx;
} om_io;
/* Direct system calls. */
extern const om_io om_io_system;

/* ---- On top of any table: whole transfers, and failures as omen_error with the path in the message ---- */
typedef struct om_iofile {
    const om_io *io;
    int fd;           /* -1: not open */
    const char *path; /* the caller's, for messages; lives as long as this */
} om_iofile;
omen_status_t om_io_open(const om_io *io, const char *path, uint32_t flags, om_iofile *out,
                         omen_error *err) OM_NODISCARD;
void om_io_close(om_iofile *file); /* harmless on a closed one */
/* All of the bytes, or a failure; reading behind the end is DATA_LOSS. EINTR and short transfers are
 * continued here; a transfer of 0 bytes is an error. */
omen_status_t om_io_read(const om_iofile *file, void *data, size_t bytes, uint64_t offset,
                         omen_error *err) OM_NODISCARD;
omen_status_t om_io_write(const om_iofile *file, const void *data, size_t bytes, uint64_t offset,
                          omen_error *err) OM_NODISCARD;
/* The same for up to 64 parts, which it may change. */
omen_status_t om_io_writev(const om_iofile *file, struct iovec *parts, int count, uint64_t offset,
                           omen_error *err) OM_NODISCARD;
/* fdatasync. Never call it again after it failed: the kernel has forgotten what it could not write. */
omen_status_t om_io_sync(const om_iofile *file, omen_error *err) OM_NODISCARD;
omen_status_t om_io_size(const om_iofile *file, uint64_t *bytes, omen_error *err) OM_NODISCARD;
/* Blocks for [0, bytes), so that writing there cannot find the disk full; the size grows to `bytes`. */
omen_status_t om_io_allocate(const om_iofile *file, uint64_t bytes, omen_error *err) OM_NODISCARD;
omen_status_t om_io_truncate(const om_iofile *file, uint64_t bytes, omen_error *err) OM_NODISCARD;
/* FAILED_PRECONDITION / LOCKED when another one holds it; kept until the file is closed. */
omen_status_t om_io_lock(const om_iofile *file, omen_error *err) OM_NODISCARD;
/* The file may be closed afterwards. DATA_LOSS when the range does not lie inside the file. */
omen_status_t om_io_map(const om_iofile *file, const om_io_mapping *mapping, void **base,
                        omen_error *err) OM_NODISCARD;
void om_io_unmap(const om_io *io, void *base, size_t bytes); /* harmless on NULL */
/* *found false: there is nothing of this name, which is no failure. */
omen_status_t om_io_look(const om_io *io, const char *path, om_io_stat *out, bool *found,
                         omen_error *err) OM_NODISCARD;
omen_status_t om_io_rename(const om_io *io, const char *from, const char *to,
                           omen_error *err) OM_NODISCARD;
omen_status_t om_io_link(const om_io *io, const char *from, const char *to,
                         omen_error *err) OM_NODISCARD;
/* A file that is not there is no failure. */
omen_status_t om_io_unlink(const om_io *io, const char *path, omen_error *err) OM_NODISCARD;
/* A folder that is there already is no failure. */
omen_status_t om_io_mkdir(const om_io *io, const char *path, omen_error *err) OM_NODISCARD;
/* A folder that is not there is no failure. */
omen_status_t om_io_rmdir(const om_io *io, const char *path, omen_error *err) OM_NODISCARD;
omen_status_t om_io_sync_dir(const om_io *io, const char *path, omen_error *err) OM_NODISCARD;
/* The same for the folder that `path` lies in. */
omen_status_t om_io_sync_parent(const om_io *io, const char *path, omen_error *err) OM_NODISCARD;
omen_status_t om_io_list(const om_io *io, const char *path, om_io_entry entry, void *arg,
                         omen_error *err) OM_NODISCARD;
omen_status_t om_io_free_space(const om_io *io, const char *path, om_io_space *out,
                               omen_error *err) OM_NODISCARD;
omen_status_t om_io_resolve(const om_io *io, const char *path, char *out, size_t capacity,
                            omen_error *err) OM_NODISCARD;
/* A small file whole, at most `limit` bytes (more is DATA_LOSS), into memory of `alloc`, with a zero byte
 * behind it; give back *bytes + 1 with alignment 8. */
struct om_alloc;
omen_status_t om_io_slurp(const om_io *io, const struct om_alloc *alloc, const char *path,
                          uint64_t limit, uint8_t **data, size_t *bytes,
                          omen_error *err) OM_NODISCARD;
/* The file appears whole or not at all: "<path>.tmp", sync, rename. Its name is certain when the caller has
 * synced the folder, with whatever else he puts there. One caller at a time for one path. */
omen_status_t om_io_put(const om_io *io, const char *path, const void *data, size_t bytes,
                        omen_error *err) OM_NODISCARD;
/* The same and the folder synced. */
omen_status_t om_io_replace(const om_io *io, const char *path, const void *data, size_t bytes,
                            omen_error *err) OM_NODISCARD;
static inline uint64_t om_io_now(const om_io *io)
{
    return io->ops->now_ns(io->ctx);
}
static inline uint64_t om_io_wall(const om_io *io)
{
    return io->ops->wall_ns(io->ctx);
}
#endif
