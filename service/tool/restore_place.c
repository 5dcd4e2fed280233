/* restore_place.c - a restore into the place of a database. Nothing is deleted: what was there, and what an
 * earlier try has left, is moved aside. SPDX-License-Identifier: Apache-2.0 */
#include "restore_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ASIDE_MAX = 1000, ONCE_MAX = 200 };

static bool fail_file(om_tool_error *err, const char *path, const char *what)
{
    int code = errno == EEXIST ? OM_EXIT_PRECONDITION : OM_EXIT_RUNTIME;
    return om_tool_fail(err, code, "%s: %s: %s", path, what, strerror(errno));
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* TO without slashes at its end, and `suffix`. */
static bool beside(const char *to, const char *suffix, char *out, om_tool_error *err)
{
    size_t length = strlen(to);
    while (length > 1 && to[length - 1] == '/') {
        length--;
    }
    int n = snprintf(out, OM_RESTORE_PATH, "%.*s%s", (int)length, to, suffix);
    return n > 0 && n < OM_RESTORE_PATH
               ? true
               : om_tool_fail(err, OM_EXIT_BAD_INPUT, "the path is longer than %d bytes",
                              OM_RESTORE_PATH - 1);
}

/* ---- The file that tells what was restored ---------------------------------------------------------- */

static bool told_already(const om_restore_place *place)
{
    char text[ONCE_MAX + 2] = "";
    size_t length = strlen(place->once);
    int fd = open(place->marker, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof text);
    (void)close(fd);
    return n == (ssize_t)length + 1 && memcmp(text, place->once, length) == 0 &&
           text[length] == '\n';
}

static bool sync_parent(const char *path, om_tool_error *err)
{
    char folder[OM_RESTORE_PATH];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL) {
        (void)snprintf(folder, sizeof folder, ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) {
        (void)fail_file(err, folder, "sync");
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

/* Written beside and renamed: it says all or nothing. */
static bool tell(const om_restore_place *place, om_tool_error *err)
{
    char path[OM_RESTORE_PATH], text[ONCE_MAX + 2];
    if (!beside(place->marker, ".new", path, err)) {
        return false;
    }
    int size = snprintf(text, sizeof text, "%s\n", place->once);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return fail_file(err, path, "write");
    }
    bool ok = write(fd, text, (size_t)size) == size && fsync(fd) == 0;
    if (!ok) {
        (void)fail_file(err, path, "write");
    }
    (void)close(fd);
    if (ok && rename(path, place->marker) != 0) {
        ok = fail_file(err, place->marker, "rename");
    }
    return ok && sync_parent(place->marker, err);
}

/* ---- Moving ----------------------------------------------------------------------------------------- */

static bool move_aside(const om_restore_place *place, const char *path, om_tool_error *err)
{
    for (int i = 1; i <= ASIDE_MAX; i++) {
        char suffix[32], aside[OM_RESTORE_PATH];
        (void)snprintf(suffix, sizeof suffix, ".replaced-%d", i);
        if (!beside(place->to, suffix, aside, err)) {
            return false;
        }
        if (!exists(aside)) {
            return rename(path, aside) == 0 ? true : fail_file(err, path, "move aside");
        }
    }
    return om_tool_fail(err, OM_EXIT_PRECONDITION,
                        "%s: there are %d databases that were moved aside: remove some", place->to,
                        ASIDE_MAX);
}

/* The lock that a process has on a database which it writes to; held until the end. A folder without one is
 * nobody's. */
static bool take_lock(om_restore_place *place, om_tool_error *err)
{
    char path[OM_RESTORE_PATH];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (!beside(place->to, "/LOCK", path, err)) {
        return false;
    }
    place->lock = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (place->lock < 0 && errno != ENOENT) {
        return fail_file(err, path, "open");
    }
    if (place->lock >= 0 && fcntl(place->lock, F_OFD_SETLK, &whole) != 0) {
        om_tool_fail(err, OM_EXIT_PRECONDITION,
                     "%s: another process has the database open: stop it first", place->to);
        (void)snprintf(err->reason, sizeof err->reason, "LOCKED");
        return false;
    }
    return true;
}

static bool check_once(const om_restore_place *place, om_tool_error *err)
{
    size_t length = strlen(place->once);
    return length > 0 && length <= ONCE_MAX && strchr(place->once, '\n') == NULL
               ? true
               : om_tool_fail(err, OM_EXIT_USAGE, "--once wants a line of 1 to %d bytes", ONCE_MAX);
}

bool om_restore_begin(const om_args *args, om_restore_place *place, bool *done, om_tool_error *err)
{
    *place = (om_restore_place){
        .to = args->rest[1], .once = args->once, .replace = args->replace, .lock = -1};
    *done = false;
    if (!beside(place->to, ".restoring", place->staging, err) ||
        !beside(place->to, ".restored", place->marker, err) ||
        (place->once != NULL && !check_once(place, err))) {
        return false;
    }
    if (place->once != NULL && exists(place->to) && told_already(place)) {
        *done = true;
        return true;
    }
    if (exists(place->to) && !place->replace) {
        return om_tool_fail(err, OM_EXIT_PRECONDITION,
                            "%s is there already: --replace moves it aside", place->to);
    }
    /* Whole, but not yet moved when an earlier try ended. */
    if (!take_lock(place, err) ||
        (exists(place->staging) && !move_aside(place, place->staging, err))) {
        om_restore_end(place);
        return false;
    }
    return true;
}

bool om_restore_finish(om_restore_place *place, om_tool_error *err)
{
    char to[OM_RESTORE_PATH];
    if (!beside(place->to, "", to, err) || (exists(to) && !move_aside(place, to, err))) {
        return false;
    }
    if (rename(place->staging, to) != 0) {
        return fail_file(err, to, "rename");
    }
    return sync_parent(to, err) && (place->once == NULL || tell(place, err));
}

void om_restore_end(om_restore_place *place)
{
    if (place->lock >= 0) {
        (void)close(place->lock);
        place->lock = -1;
    }
}
