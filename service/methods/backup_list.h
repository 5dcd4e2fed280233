/* backup_list.h - the backups of a folder: which there are, and their removal.
 * Depends on: operations.h, failure.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_BACKUP_LIST_H
#define OM_BACKUP_LIST_H
#include "operations.h"

enum { OM_BACKUPS_MAX = 10000 }; /* told by one listing */

typedef struct om_backup_entry {
    char name[OM_BACKUP_NAME + 1];
    int64_t created_ms; /* since 1970 */
    uint64_t files, bytes;
} om_backup_entry;

/* Newest first, those with equal times by name; free(*out). folder: NULL when the server has none. False: *f
 * says why. Entries that vanish meanwhile are left out. */
bool om_backup_list(const char *folder, const char *prefix, om_backup_entry **out, size_t *count,
                    om_failure *f);
/* When the newest one was made, since 1970; 0: there is none, or the folder cannot be read. */
int64_t om_backup_newest_ms(const char *folder);
/* Removes a backup, and nothing that is no backup. */
bool om_backup_remove(const char *folder, const char *name, om_failure *f);
#endif
