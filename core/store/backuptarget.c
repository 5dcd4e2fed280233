/* backuptarget.c - a folder that appears whole or not at all. SPDX-License-Identifier: Apache-2.0
 *
 * Everything is made in "<path>.partial", which is renamed last. What an earlier try left there is removed
 * by names: only files that we give such names to go, and with anything else there nothing is begun. */
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "backupfile.h"
#include "filehead.h"
#include "manifest_int.h"

static const char lock_name[] = "LOCK";
static const char log_folder[] = "wal";
enum { LOG_DIGITS = 16 };

/* ---- What is ours in it ---- */
typedef struct file_list {
    const om_alloc *alloc;
    char (*names)[OM_NAME_TEXT];
    uint32_t count, capacity;
    bool log;                 /* of the folder "wal" */
    char other[OM_NAME_TEXT]; /* something that is not ours */
} file_list;

/* "<16 hex>.wal" and "spare-<16 hex>". */
static bool is_log_file(const char *name)
{
    const char *digits = strncmp(name, "spare-", 6) == 0 ? name + 6 : name;
    size_t length = strspn(digits, "0123456789abcdef");
    return length == LOG_DIGITS && strcmp(digits + length, digits == name ? ".wal" : "") == 0;
}

static bool is_ours(const file_list *list, const char *text)
{
    om_name name;
    if (list->log) {
        return is_log_file(text);
    }
    om_name_parse(text, &name);
    return name.kind != OM_NAME_OTHER || strcmp(text, OM_BACKUP_LIST) == 0 ||
           strcmp(text, OM_BACKUP_LIST ".tmp") == 0 || strcmp(text, log_folder) == 0;
}

static int add_file(void *arg, const char *text)
{
    file_list *list = arg;
    if (strcmp(text, lock_name) == 0) {
        return 0;
    }
    if (!is_ours(list, text)) {
        (void)snprintf(list->other, sizeof list->other, "%s", text);
        return 0;
    }
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        void *grown = om_alloc_grow(list->alloc, list->names, (size_t)list->capacity * OM_NAME_TEXT,
                                    (size_t)capacity * OM_NAME_TEXT, 1);
        if (grown == NULL) {
            return ENOMEM;
        }
        list->names = grown;
        list->capacity = capacity;
    }
    (void)snprintf(list->names[list->count++], OM_NAME_TEXT, "%s", text);
    return 0;
}

static omen_status_t list_files(const om_io *io, const char *folder, file_list *list,
                                omen_error *err)
{
    omen_status_t status = om_io_list(io, folder, add_file, list, err);
    if (status == OMEN_OK && list->other[0] != '\0') {
        status = om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_NONE,
                         "%s: there is '%s' in it, which is not ours", om_path_tail(folder),
                         list->other);
    }
    return status;
}

static void free_files(file_list *list)
{
    om_alloc_put(list->alloc, list->names, (size_t)list->capacity * OM_NAME_TEXT, 1);
}

static omen_status_t remove_folder(const om_io *io, const om_alloc *alloc, const char *folder,
                                   bool log, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    file_list list = {.alloc = alloc, .log = log};
    om_path path;
    OM_TRY(list_files(io, folder, &list, err));
    for (uint32_t i = 0; i < list.count; i++) {
        /* Defensive: the folder was listed, so names in it fit, if barely. */
        OM_TRY(om_path_join(&path, folder, list.names[i], err));
        OM_TRY(om_io_unlink(io, path.text, err));
    }
    status = om_io_rmdir(io, folder, err);
out:
    free_files(&list);
    return status;
}

/* Everything but the lock. */
static omen_status_t clear(const om_backup_target *target, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    file_list list = {.alloc = target->alloc};
    om_path path;
    om_io_stat info;
    bool found = false;
    OM_TRY(list_files(target->io, target->partial->text, &list, err));
    for (uint32_t i = 0; i < list.count; i++) {
        /* Defensive: likewise. */
        OM_TRY(om_path_join(&path, target->partial->text, list.names[i], err));
        OM_TRY(om_io_look(target->io, path.text, &info, &found, err));
        if (info.folder) {
            bool log = strcmp(list.names[i], log_folder) == 0;
            OM_TRY(remove_folder(target->io, target->alloc, path.text, log, err));
        } else {
            OM_TRY(om_io_unlink(target->io, path.text, err));
        }
    }
out:
    free_files(&list);
    return status;
}

/* ---- Names ---- */
/* Without slashes at the end, which would make it another name. */
static omen_status_t name_target(om_backup_target *target, const char *path, omen_error *err)
{
    size_t length = strnlen(path, OM_PATH_MAX);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    static const char suffix[] = ".partial";
    if (length == 0 || length + sizeof suffix > OM_PATH_MAX) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "path of the new folder: %zu bytes, 1 to %zu are possible", length,
                       OM_PATH_MAX - sizeof suffix);
    }
    memcpy(target->path->text, path, length);
    target->path->text[length] = '\0';
    memcpy(target->partial->text, path, length);
    memcpy(target->partial->text + length, suffix, sizeof suffix);
    return OMEN_OK;
}

/* The folder that the new one will lie in, by its real name. */
static omen_status_t check_place(const om_backup_target *target, const char *source,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_path parent, real, inside;
    const char *slash = strrchr(target->path->text, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - target->path->text);
    memcpy(parent.text, target->path->text, length);
    parent.text[length] = '\0';
    const char *from = length != 0 ? parent.text : slash != NULL ? "/" : ".";
    OM_TRY(om_io_resolve(target->io, from, real.text, sizeof real.text, err));
    OM_TRY(om_io_resolve(target->io, source, inside.text, sizeof inside.text, err));
    size_t prefix = strlen(inside.text);
    if (strncmp(real.text, inside.text, prefix) == 0 &&
        (real.text[prefix] == '\0' || real.text[prefix] == '/' || prefix == 1)) {
        status = om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NAME, "%s: lies inside of %s",
                         om_path_tail(target->path->text), om_path_tail(source));
    }
out:
    return status;
}

static omen_status_t check_free(const om_backup_target *target, omen_error *err)
{
    om_io_stat info;
    bool found = false;
    omen_status_t status = om_io_look(target->io, target->path->text, &info, &found, err);
    if (status == OMEN_OK && found) {
        status = om_fail(err, OMEN_ALREADY_EXISTS, OMEN_D_NAME, "%s: is there already",
                         om_path_tail(target->path->text));
    }
    return status;
}

/* ---- Life ---- */
static omen_status_t make_partial(om_backup_target *target, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_error why = {0};
    om_path lock;
    OM_TRY(om_path_join(&lock, target->partial->text, lock_name, err));
    OM_TRY(om_io_mkdir(target->io, target->partial->text, err));
    status = om_io_open(target->io, lock.text, OM_IO_WRITE | OM_IO_CREATE, &target->lock, err);
    if (status != OMEN_OK) { /* Best effort: it goes unless something is in it. */
        (void)target->io->ops->rmdir(target->io->ctx, target->partial->text);
        goto out;
    }
    target->lock.path = target->partial->text; /* lives as long as the file is open */
    status = om_io_lock(&target->lock, &why);
    if (status != OMEN_OK) {
        if (err != NULL) {
            *err = why;
        }
        goto out;
    }
    target->made = true;
    status = clear(target, err);
out:
    return status;
}

omen_status_t om_backup_target_begin(om_backup_target *target, const char *path, const char *source,
                                     omen_error *err)
{
    omen_status_t status = OMEN_OK;
    target->lock.fd = -1;
    target->made = false;
    target->path = om_alloc_zero(target->alloc, 2, sizeof *target->path, alignof(om_path));
    if (target->path == NULL) {
        return om_fail_memory(err, "paths of a backup", 2 * sizeof *target->path);
    }
    target->partial = target->path + 1;
    OM_TRY(name_target(target, path, err));
    OM_TRY(check_free(target, err));
    OM_TRY(check_place(target, source, err));
    OM_TRY(make_partial(target, err));
out:
    return status;
}

omen_status_t om_backup_target_commit(om_backup_target *target, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_io_sync_dir(target->io, target->partial->text, err));
    OM_TRY(check_free(target, err));
    OM_TRY(om_io_rename(target->io, target->partial->text, target->path->text, err));
    target->made = false;
    OM_TRY(om_io_sync_parent(target->io, target->path->text, err));
out:
    return status;
}

/* Best effort: what stays is removed by the next try. */
static void remove_partial(const om_backup_target *target)
{
    omen_error unused;
    om_path lock;
    const om_io *io = target->io;
    if (clear(target, &unused) == OMEN_OK &&
        om_path_join(&lock, target->partial->text, lock_name, &unused) == OMEN_OK &&
        om_io_unlink(io, lock.text, &unused) == OMEN_OK) {
        (void)io->ops->rmdir(io->ctx, target->partial->text);
    }
}

void om_backup_target_end(om_backup_target *target)
{
    if (target->path == NULL) {
        return;
    }
    if (target->made) {
        remove_partial(target);
    }
    om_io_close(&target->lock);
    om_alloc_put(target->alloc, target->path, 2 * sizeof *target->path, alignof(om_path));
    target->path = NULL;
}
