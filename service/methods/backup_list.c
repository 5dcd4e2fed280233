/* backup_list.c - the backups of a folder: which there are, and their removal. Everything is reached through
 * descriptors of folders and without following links, so that nothing outside can be told or removed.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A backup that goes is renamed first, to a name that no backup can have: whoever is killed half way leaves a
 * folder that nobody takes for a backup, and the next removal clears it. */
#include "backup_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char list_file[] = "BACKUP"; /* every backup has it; see omen_backup */
static const char going[] = ".deleted-";  /* begins the names of those that are removed */
enum { DEPTH_MAX = 4, FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static bool fail_io(om_failure *f, const char *what)
{
    return om_failure_set(f, OMEN_INTERNAL, "IO", NULL, "%s: %s", what, strerror(errno));
}

static int open_top(const char *folder, om_failure *f)
{
    if (folder == NULL) {
        (void)om_failure_set(f, OMEN_FAILED_PRECONDITION, "NO_BACKUP_DIR", NULL,
                             "this server has no folder for backups (--backup-dir)");
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        (void)fail_io(f, "the folder for backups");
    }
    return fd;
}

/* A folder as a stream that has a descriptor of its own; NULL: errno says why. */
static DIR *open_stream(int parent, const char *name)
{
    int fd = openat(parent, name, FOLDER);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (stream == NULL && fd >= 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
    }
    return stream;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- Listing --------------------------------------------------------------------------------------- */

/* Adds what regular files of a folder take. What vanishes meanwhile is not counted. */
static void measure(int parent, const char *name, int depth, om_backup_entry *sum)
{
    DIR *stream = open_stream(parent, name);
    if (stream == NULL) {
        return;
    }
    for (struct dirent *d; (d = readdir(stream)) != NULL;) {
        struct stat st;
        if (is_dots(d->d_name) ||
            fstatat(dirfd(stream), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (S_ISREG(st.st_mode)) {
            sum->files++;
            sum->bytes += (uint64_t)st.st_size;
        } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            measure(dirfd(stream), d->d_name, depth + 1, sum);
        }
    }
    (void)closedir(stream);
}

/* Whether `name` is a backup; then *created_ms is when its list was written, which comes last. */
static bool is_backup(int top, const char *name, int64_t *created_ms)
{
    struct stat st;
    int fd = om_backup_name_ok(name) ? openat(top, name, FOLDER) : -1;
    if (fd < 0) {
        return false;
    }
    bool found = fstatat(fd, list_file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    (void)close(fd);
    if (found) {
        *created_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    }
    return found;
}

static int newest_first(const void *a, const void *b)
{
    const om_backup_entry *x = a, *y = b;
    if (x->created_ms != y->created_ms) {
        return x->created_ms < y->created_ms ? 1 : -1;
    }
    return strcmp(y->name, x->name);
}

typedef struct collected {
    om_backup_entry *entries;
    size_t count, capacity;
} collected;

static bool collect(collected *all, int top, const char *name, om_failure *f)
{
    int64_t created = 0;
    if (!is_backup(top, name, &created)) {
        return true;
    }
    if (all->count == OM_BACKUPS_MAX) {
        return om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "LIMIT", "prefix",
                              "more than %d backups: ask for those with a prefix", OM_BACKUPS_MAX);
    }
    if (all->count == all->capacity) {
        size_t capacity = all->capacity == 0 ? 16 : all->capacity * 2;
        om_backup_entry *grown = realloc(all->entries, capacity * sizeof *grown);
        if (grown == NULL) {
            return om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                                  "no memory for the list");
        }
        all->entries = grown;
        all->capacity = capacity;
    }
    om_backup_entry *e = &all->entries[all->count++];
    memset(e, 0, sizeof *e);
    (void)snprintf(e->name, sizeof e->name, "%.*s", (int)OM_BACKUP_NAME, name);
    e->created_ms = created;
    measure(top, name, 0, e);
    return true;
}

bool om_backup_list(const char *folder, const char *prefix, om_backup_entry **out, size_t *count,
                    om_failure *f)
{
    collected all = {.count = 0};
    size_t length = strlen(prefix);
    bool ok = true;
    int top = open_top(folder, f);
    DIR *stream = top >= 0 ? open_stream(top, ".") : NULL;
    if (stream == NULL) {
        ok = top >= 0 ? fail_io(f, "the folder for backups") : false;
    }
    for (struct dirent *d; ok && (d = readdir(stream)) != NULL;) {
        ok = strncmp(d->d_name, prefix, length) != 0 || collect(&all, top, d->d_name, f);
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
    if (top >= 0) {
        (void)close(top);
    }
    if (!ok) {
        free(all.entries);
        return false;
    }
    if (all.count > 1) {
        qsort(all.entries, all.count, sizeof *all.entries, newest_first);
    }
    *out = all.entries;
    *count = all.count;
    return true;
}

int64_t om_backup_newest_ms(const char *folder)
{
    int64_t newest = 0;
    om_failure ignored; /* whoever asks for the list is told why it cannot be read */
    int top = folder != NULL ? open_top(folder, &ignored) : -1;
    DIR *stream = top >= 0 ? open_stream(top, ".") : NULL;
    for (struct dirent *d; stream != NULL && (d = readdir(stream)) != NULL;) {
        int64_t created = 0;
        if (is_backup(top, d->d_name, &created) && created > newest) {
            newest = created;
        }
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
    if (top >= 0) {
        (void)close(top);
    }
    return newest;
}

/* ---- Removing -------------------------------------------------------------------------------------- */

/* Another removal may be at the same folder: what is gone already is no failure. */
static bool clear(int parent, const char *name, int depth)
{
    DIR *stream = open_stream(parent, name);
    bool ok = stream != NULL || errno == ENOENT;
    for (struct dirent *d; ok && stream != NULL && (d = readdir(stream)) != NULL;) {
        if (is_dots(d->d_name)) {
            continue;
        }
        if (unlinkat(dirfd(stream), d->d_name, 0) == 0 || errno == ENOENT) {
            continue;
        }
        ok = errno == EISDIR && depth < DEPTH_MAX && clear(dirfd(stream), d->d_name, depth + 1);
    }
    if (stream != NULL) {
        int why = errno;
        (void)closedir(stream);
        errno = why;
    }
    return ok && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

/* What removals that were killed have left. */
static bool sweep(int top)
{
    DIR *stream = open_stream(top, ".");
    bool ok = stream != NULL;
    for (struct dirent *d; ok && (d = readdir(stream)) != NULL;) {
        if (strncmp(d->d_name, going, sizeof going - 1) == 0) {
            ok = clear(top, d->d_name, 0);
        }
    }
    if (stream != NULL) {
        int why = errno;
        (void)closedir(stream);
        errno = why;
    }
    return ok;
}

static bool remove_from(int top, const char *name, om_failure *f)
{
    int64_t created = 0;
    char gone[sizeof going + OM_BACKUP_NAME];
    if (!is_backup(top, name, &created)) {
        return om_failure_set(f, OMEN_NOT_FOUND, "BACKUP_NOT_FOUND", "name",
                              "name: there is no backup '%.63s'", name);
    }
    (void)snprintf(gone, sizeof gone, "%s%s", going, name);
    if (!sweep(top)) {
        return fail_io(f, "what an earlier removal has left cannot be removed");
    }
    /* The new name is on disk before the first file goes. */
    if (renameat(top, name, top, gone) != 0 || fsync(top) != 0) {
        return fail_io(f, "the backup cannot be renamed");
    }
    return clear(top, gone, 0) ||
           fail_io(f, "the backup is out of the list, but files of it are left; the next removal "
                      "tries again");
}

bool om_backup_remove(const char *folder, const char *name, om_failure *f)
{
    int top = open_top(folder, f);
    bool ok = top >= 0 && remove_from(top, name, f);
    if (top >= 0) {
        (void)close(top);
    }
    return ok;
}
