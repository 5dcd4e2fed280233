/* backupfile.h - the list BACKUP of a backup folder (name, size and checksum of each of its files), and files
 * copied with their checksums. FORMAT.md gives the list.
 * Depends on: base, os.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_BACKUPFILE_H
#define OM_BACKUPFILE_H
#include "alloc.h"
#include "io.h"
#include "op.h"

#define OM_BACKUP_LIST "BACKUP"
enum { OM_BACKUP_MAX_NAME = 63, OM_BACKUP_MAX_FILES = 1 << 22, OM_BACKUP_MAX_BYTES = 512 << 20 };

typedef struct om_backup_file {
    char name[OM_BACKUP_MAX_NAME + 1]; /* below the folder, with one '/' at most */
    uint64_t bytes;
    uint32_t crc; /* CRC-32C of all of it */
} om_backup_file;
typedef struct om_backup_list {
    uint8_t database[16];
    uint64_t generation; /* of its manifest */
    uint64_t version;    /* everything durable up to it is in the backup */
    om_backup_file *files;
    uint32_t count, capacity;
} om_backup_list;
void om_backup_list_free(const om_alloc *alloc, om_backup_list *list);
/* INTERNAL for a name that the list cannot hold. */
omen_status_t om_backup_list_add(const om_alloc *alloc, om_backup_list *list,
                                 const om_backup_file *file, omen_error *err) OM_NODISCARD;
/* Sorts the list and makes it the file BACKUP of the folder, durable on return. */
omen_status_t om_backup_list_write(const om_io *io, const om_alloc *alloc, const char *folder,
                                   om_backup_list *list, omen_error *err) OM_NODISCARD;
/* Trusts nothing; the files come ascending by name. NOT_FOUND: the folder is no backup. DATA_LOSS: the list
 * is damaged or cut. UNIMPLEMENTED / FORMAT_VERSION for a newer one. */
omen_status_t om_backup_list_read(const om_io *io, const om_alloc *alloc, const char *folder,
                                  om_backup_list *out, omen_error *err) OM_NODISCARD;
/* The file of this name in a list that was read or written, or NULL. */
const om_backup_file *om_backup_list_find(const om_backup_list *list, const char *name);
uint64_t om_backup_list_bytes(const om_backup_list *list);

/* ---- Files; buffer, progress and an end before time in one place ---- */
typedef struct om_backup_work {
    const om_io *io;
    const om_alloc *alloc;
    omen_op *op;          /* or NULL */
    uint32_t stage;       /* as reported */
    uint64_t done, total; /* bytes */
    uint8_t *buffer;      /* OM_BACKUP_BUFFER */
} om_backup_work;
enum { OM_BACKUP_BUFFER = 1 << 20 };
omen_status_t om_backup_work_begin(om_backup_work *work, omen_error *err) OM_NODISCARD;
void om_backup_work_end(om_backup_work *work);
/* Reads a file of exactly `sum->bytes` bytes (else DATA_LOSS) and fills in sum->crc; `to` (NULL: none) gets
 * the bytes and is durable on return but for its name; it must not be there. A failure removes it. */
omen_status_t om_backup_copy(om_backup_work *work, const char *from, const char *to,
                             om_backup_file *sum, omen_error *err) OM_NODISCARD;
/* Another name for a file. *linked false: this file system cannot do that here, which is no failure. */
omen_status_t om_backup_link(const om_io *io, const char *from, const char *to, bool *linked,
                             omen_error *err) OM_NODISCARD;
/* Records `after` + 1 to `to` of a log, which are durable, as new log files in the folder "wal" of `folder`,
 * which is made; they are as long as what is in them, durable on return, and added to the list. */
struct om_logdriver;
typedef struct om_backup_log {
    struct om_logdriver *log;
    const uint8_t *database; /* its uuid */
    const char *folder;
    uint64_t after, to;
} om_backup_log;
omen_status_t om_backup_log_copy(om_backup_work *work, const om_backup_log *what,
                                 om_backup_list *list, omen_error *err) OM_NODISCARD;

/* ---- The new folder: "<path>.partial" until it is whole ---- */
typedef struct om_backup_target {
    const om_io *io;
    const om_alloc *alloc;
    struct om_path *path, *partial;
    om_iofile lock;
    bool made;
} om_backup_target;
/* Makes "<path>.partial", empty but for a LOCK; what a process that ended has left there goes first.
 * ALREADY_EXISTS: something has the name `path`. INVALID_ARGUMENT: it lies inside `source`.
 * FAILED_PRECONDITION: somebody else is at it (LOCKED), or there are files in it that are not ours. */
omen_status_t om_backup_target_begin(om_backup_target *target, const char *path, const char *source,
                                     omen_error *err) OM_NODISCARD;
/* Gives it its name, durable on return; all files and folders in it are durable but for itself. */
omen_status_t om_backup_target_commit(om_backup_target *target, omen_error *err) OM_NODISCARD;
/* Gives back what it holds; removes what is there unless it was committed. Harmless when zeroed. */
void om_backup_target_end(om_backup_target *target);
#endif
