/* io_names.c - names over any table of io.h: folders, links, and files that are replaced whole.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "io.h"
#include "os_int.h"

static omen_status_t fail_name(const char *path, int failed, const char *what, omen_error *err)
{
    return om_fail_errno(err, om_os_status(failed), failed, "%s: %s", path, what);
}

omen_status_t om_io_look(const om_io *io, const char *path, om_io_stat *out, bool *found,
                         omen_error *err)
{
    *out = (om_io_stat){0};
    *found = false;
    int failed = io->ops->stat(io->ctx, path, out);
    if (failed == ENOENT) {
        return OMEN_OK;
    }
    if (failed != 0) {
        return fail_name(path, failed, "cannot look at it", err);
    }
    *found = true;
    return OMEN_OK;
}

omen_status_t om_io_rename(const om_io *io, const char *from, const char *to, omen_error *err)
{
    int failed = io->ops->rename(io->ctx, from, to);
    return failed == 0 ? OMEN_OK
                       : om_fail_errno(err, om_os_status(failed), failed, "%s: cannot rename to %s",
                                       from, to);
}

omen_status_t om_io_link(const om_io *io, const char *from, const char *to, omen_error *err)
{
    int failed = io->ops->link(io->ctx, from, to);
    return failed == 0 ? OMEN_OK
                       : om_fail_errno(err, om_os_status(failed), failed, "%s: cannot link to %s",
                                       from, to);
}

omen_status_t om_io_unlink(const om_io *io, const char *path, omen_error *err)
{
    int failed = io->ops->unlink(io->ctx, path);
    return failed == 0 || failed == ENOENT ? OMEN_OK
                                           : fail_name(path, failed, "cannot remove", err);
}

omen_status_t om_io_mkdir(const om_io *io, const char *path, omen_error *err)
{
    int failed = io->ops->mkdir(io->ctx, path);
    if (failed == EEXIST) {
        om_io_stat info = {0};
        int unseen = io->ops->stat(io->ctx, path, &info);
        failed = unseen != 0 ? unseen : info.folder ? 0 : ENOTDIR;
    }
    return failed == 0 ? OMEN_OK : fail_name(path, failed, "cannot make the folder", err);
}

omen_status_t om_io_rmdir(const om_io *io, const char *path, omen_error *err)
{
    int failed = io->ops->rmdir(io->ctx, path);
    return failed == 0 || failed == ENOENT
               ? OMEN_OK
               : fail_name(path, failed, "cannot remove the folder", err);
}

omen_status_t om_io_sync_dir(const om_io *io, const char *path, omen_error *err)
{
    int failed = io->ops->sync_dir(io->ctx, path);
    return failed == 0 ? OMEN_OK : fail_name(path, failed, "cannot sync the folder", err);
}

omen_status_t om_io_sync_parent(const om_io *io, const char *path, omen_error *err)
{
    char folder[PATH_MAX];
    omen_status_t status = om_os_folder(path, folder, sizeof folder, err);
    return status != OMEN_OK ? status : om_io_sync_dir(io, folder, err);
}

omen_status_t om_io_list(const om_io *io, const char *path, om_io_entry entry, void *arg,
                         omen_error *err)
{
    int failed = io->ops->list(io->ctx, path, entry, arg);
    return failed == 0 ? OMEN_OK : fail_name(path, failed, "cannot list the folder", err);
}

omen_status_t om_io_free_space(const om_io *io, const char *path, om_io_space *out, omen_error *err)
{
    int failed = io->ops->space(io->ctx, path, out);
    return failed == 0 ? OMEN_OK : fail_name(path, failed, "cannot ask for the free space", err);
}

omen_status_t om_io_resolve(const om_io *io, const char *path, char *out, size_t capacity,
                            omen_error *err)
{
    int failed = io->ops->resolve(io->ctx, path, out, capacity);
    return failed == 0 ? OMEN_OK : fail_name(path, failed, "cannot open the folder", err);
}

const char *om_os_last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

omen_status_t om_os_folder(const char *path, char *out, size_t capacity, omen_error *err)
{
    size_t length = (size_t)(om_os_last_part(path) - path);
    const char *from = length == 0 ? "." : path;
    length = length <= 1 ? 1 : length - 1; /* "." and "/" stay, "a/" loses its slash */
    if (length >= capacity) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME, "%s: the path is too long", path);
    }
    memcpy(out, from, length);
    out[length] = '\0';
    return OMEN_OK;
}

static omen_status_t write_whole(const om_io *io, const char *path, const void *data, size_t bytes,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_iofile file;
    OM_TRY(om_io_open(io, path, OM_IO_WRITE | OM_IO_CREATE | OM_IO_TRUNCATE, &file, err));
    OM_TRY(om_io_write(&file, data, bytes, 0, err));
    OM_TRY(om_io_sync(&file, err));
out:
    om_io_close(&file);
    return status;
}

omen_status_t om_io_put(const om_io *io, const char *path, const void *data, size_t bytes,
                        omen_error *err)
{
    omen_status_t status = OMEN_OK;
    char tmp[PATH_MAX];
    size_t length = strlen(path);
    if (length + sizeof ".tmp" > sizeof tmp) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME, "%s: the path is too long", path);
    }
    memcpy(tmp, path, length);
    memcpy(tmp + length, ".tmp", sizeof ".tmp");
    OM_TRY(write_whole(io, tmp, data, bytes, err));
    OM_TRY(om_io_rename(io, tmp, path, err));
    return OMEN_OK;
out:
    (void)io->ops->unlink(io->ctx, tmp); /* Best effort: nobody opens a file of this name. */
    return status;
}

omen_status_t om_io_replace(const om_io *io, const char *path, const void *data, size_t bytes,
                            omen_error *err)
{
    omen_status_t status = om_io_put(io, path, data, bytes, err);
    return status != OMEN_OK ? status : om_io_sync_parent(io, path, err);
}
