/* backup_path.c - names of backups: a client can reach nothing outside the folder for backups.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operations.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool om_backup_name_ok(const char *name)
{
    static const char partial[] = ".partial";
    size_t size = strlen(name);
    if (size == 0 || size > OM_BACKUP_NAME || !is_alnum(name[0])) {
        return false;
    }
    for (size_t i = 1; i < size; i++) {
        if (!is_alnum(name[i]) && strchr("._-", name[i]) == NULL) {
            return false;
        }
    }
    return size < sizeof partial || strcmp(name + size - (sizeof partial - 1), partial) != 0;
}

/* What is there is looked at through the folder itself and without following a link, so that neither a
 * link nor a name can lead elsewhere. */
static bool check_entry(int folder, const om_backup_place *place, om_failure *f)
{
    struct stat st;
    bool there = fstatat(folder, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there && errno != ENOENT) {
        return om_failure_set(f, OMEN_INTERNAL, "IO", place->field, "%s: %s", place->name,
                              strerror(errno));
    }
    if (!place->exists) {
        return !there || om_failure_set(f, OMEN_ALREADY_EXISTS, "ALREADY_EXISTS", place->field,
                                        "%s: '%s' is there already", place->field, place->name);
    }
    if (!there || !S_ISDIR(st.st_mode)) {
        return om_failure_set(f, OMEN_NOT_FOUND, "BACKUP_NOT_FOUND", place->field,
                              "%s: there is no backup '%s'", place->field, place->name);
    }
    return true;
}

bool om_backup_path(const om_backup_place *place, char *out, size_t size, om_failure *f)
{
    if (place->folder == NULL) {
        return om_failure_set(f, OMEN_FAILED_PRECONDITION, "NO_BACKUP_DIR", NULL,
                              "this server has no folder for backups (--backup-dir)");
    }
    if (!om_backup_name_ok(place->name)) {
        return om_failure_set(
            f, OMEN_INVALID_ARGUMENT, "NAME", place->field,
            "%s: a name has 1 to %d letters, digits, '.', '_' and '-', begins with "
            "a letter or a digit, and does not end with '.partial'",
            place->field, OM_BACKUP_NAME);
    }
    int folder = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return om_failure_set(f, OMEN_INTERNAL, "IO", NULL, "the folder for backups: %s",
                              strerror(errno));
    }
    bool ok = check_entry(folder, place, f);
    (void)close(folder);
    int n = snprintf(out, size, "%s/%s", place->folder, place->name);
    if (ok && (n < 0 || (size_t)n >= size)) {
        ok = om_failure_set(f, OMEN_INTERNAL, "LIMIT", NULL, "the path of the backup is too long");
    }
    return ok;
}
