/* sim_names.c - paths, folders and links of a simulated disk. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_int.h"

#define ENDLESS (UINT64_C(1) << 40) /* size of a disk without a limit */

typedef struct place {
    uint32_t folder; /* SIM_NOTHING: the path is the root */
    uint32_t node;   /* SIM_NOTHING: not there */
    char name[SIM_NAME];
} place;

/* Relative paths begin at the root; there is no "..". */
static int find(const sim_disk *disk, const char *path, place *out)
{
    *out = (place){.folder = SIM_NOTHING, .node = SIM_ROOT};
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        if (length != 0 && !(length == 1 && path[0] == '.')) {
            if (out->node == SIM_NOTHING) {
                return ENOENT;
            }
            if (!sim_image_node(disk->image, out->node)->folder) {
                return ENOTDIR;
            }
            if (length >= SIM_NAME) {
                return ENAMETOOLONG;
            }
            memcpy(out->name, path, length);
            out->name[length] = '\0';
            if (strcmp(out->name, "..") == 0) {
                return EINVAL;
            }
            out->folder = out->node;
            out->node = sim_image_find(disk->image, out->folder, out->name);
        }
        path += length;
        path += *path == '/' ? 1 : 0;
    }
    return 0;
}

static const sim_node *node_at(const sim_disk *disk, const place *at)
{
    return sim_image_node(disk->image, at->node);
}

/* Puts the name there, or takes it away (SIM_NOTHING). */
static void set_name(sim_disk *disk, sim_call call, const place *at, uint32_t node)
{
    sim_image_name(disk->image, at->folder, at->name, node);
    if (disk->trace != NULL) {
        sim_op *op = sim_trace_add(disk->trace, call);
        op->node = node;
        op->folder = op->folder2 = at->folder;
        memcpy(op->name, at->name, SIM_NAME);
    }
}

static int open_node(sim_disk *disk, const place *at, uint32_t flags, int *fd)
{
    int slot = 0;
    while (slot < SIM_FILES && disk->files[slot].open) {
        slot++;
    }
    if (slot == SIM_FILES) {
        return EMFILE;
    }
    uint32_t node = at->node;
    if (node == SIM_NOTHING) {
        if ((flags & OM_IO_CREATE) == 0) {
            return ENOENT;
        }
        node = sim_image_add(disk->image, false);
        set_name(disk, SIM_OPEN, at, node);
    } else if ((flags & OM_IO_CREATE) != 0 && (flags & OM_IO_EXCLUSIVE) != 0) {
        return EEXIST;
    } else if (node_at(disk, at)->folder && (flags & (OM_IO_WRITE | OM_IO_CREATE)) != 0) {
        return EISDIR;
    } else if ((flags & OM_IO_TRUNCATE) != 0 && node_at(disk, at)->size != 0) {
        sim_image_resize(disk->image, node, 0);
        if (disk->trace != NULL) {
            sim_trace_add(disk->trace, SIM_TRUNCATE)->node = node;
        }
    }
    disk->files[slot] =
        (sim_file){.open = true, .writable = (flags & OM_IO_WRITE) != 0, .node = node};
    *fd = slot;
    return 0;
}

int sim_do_open(void *ctx, const char *path, uint32_t flags, int *fd)
{
    sim_disk *disk = ctx;
    place at;
    *fd = -1;
    int failed = sim_enter(disk, SIM_OPEN);
    failed = failed != 0 ? failed : find(disk, path, &at);
    failed = failed != 0 ? failed : open_node(disk, &at, flags, fd);
    return sim_leave(disk, failed);
}

/* What the path names, which must be there. */
static int find_there(const sim_disk *disk, const char *path, place *out)
{
    int failed = find(disk, path, out);
    return failed != 0 ? failed : out->node == SIM_NOTHING ? ENOENT : 0;
}

static int find_folder(const sim_disk *disk, const char *path, place *out)
{
    int failed = find_there(disk, path, out);
    return failed != 0 ? failed : node_at(disk, out)->folder ? 0 : ENOTDIR;
}

int sim_do_stat(void *ctx, const char *path, om_io_stat *out)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_STAT);
    failed = failed != 0 ? failed : find_there(disk, path, &at);
    if (failed == 0) {
        const sim_node *node = node_at(disk, &at);
        *out = (om_io_stat){.bytes = node->size, .folder = node->folder, .regular = !node->folder};
    }
    return sim_leave(disk, failed);
}

/* Whether a folder lies in another one, at any depth. */
static bool lies_in(const sim_disk *disk, uint32_t number, uint32_t folder)
{
    const sim_node *node = sim_image_node(disk->image, folder);
    for (uint32_t i = 0; i < node->entry_count; i++) {
        uint32_t entry = node->entries[i].node;
        if (entry == number || lies_in(disk, number, entry)) {
            return true;
        }
    }
    return false;
}

static int may_replace(const sim_disk *disk, const place *from, const place *to)
{
    if (from->node == SIM_NOTHING) {
        return ENOENT;
    }
    if (from->folder == SIM_NOTHING || to->folder == SIM_NOTHING) {
        return EBUSY;
    }
    if (from->node == to->folder || lies_in(disk, to->folder, from->node)) {
        return EINVAL;
    }
    if (to->node == SIM_NOTHING || to->node == from->node) {
        return 0;
    }
    const sim_node *old = node_at(disk, to);
    if (to->node == from->folder || lies_in(disk, from->folder, to->node)) {
        return ENOTEMPTY;
    }
    if (old->folder != node_at(disk, from)->folder) {
        return old->folder ? EISDIR : ENOTDIR;
    }
    return old->entry_count != 0 ? ENOTEMPTY : 0;
}

int sim_do_rename(void *ctx, const char *from_path, const char *to_path)
{
    sim_disk *disk = ctx;
    place from, to;
    int failed = sim_enter(disk, SIM_RENAME);
    failed = failed != 0 ? failed : find(disk, from_path, &from);
    failed = failed != 0 ? failed : find(disk, to_path, &to);
    failed = failed != 0 ? failed : may_replace(disk, &from, &to);
    if (failed != 0 || to.node == from.node) {
        return sim_leave(disk, failed);
    }
    sim_image_name(disk->image, from.folder, from.name, SIM_NOTHING);
    sim_image_name(disk->image, to.folder, to.name, from.node);
    if (disk->trace != NULL) {
        sim_op *op = sim_trace_add(disk->trace, SIM_RENAME);
        op->node = from.node;
        op->folder = from.folder;
        op->folder2 = to.folder;
        memcpy(op->name, from.name, SIM_NAME);
        memcpy(op->name2, to.name, SIM_NAME);
    }
    if (to.node != SIM_NOTHING) {
        sim_disk_forget(disk, to.node);
    }
    return sim_leave(disk, 0);
}

int sim_do_link(void *ctx, const char *from_path, const char *to_path)
{
    sim_disk *disk = ctx;
    place from, to;
    int failed = sim_enter(disk, SIM_LINK);
    failed = failed != 0 ? failed : find_there(disk, from_path, &from);
    failed = failed != 0 ? failed : find(disk, to_path, &to);
    if (failed == 0 && to.node != SIM_NOTHING) {
        failed = EEXIST;
    }
    if (failed == 0 && node_at(disk, &from)->folder) {
        failed = EPERM;
    }
    if (failed == 0) {
        set_name(disk, SIM_LINK, &to, from.node);
    }
    return sim_leave(disk, failed);
}

static void remove_name(sim_disk *disk, sim_call call, const place *at)
{
    set_name(disk, call, at, SIM_NOTHING);
    sim_disk_forget(disk, at->node);
}

int sim_do_unlink(void *ctx, const char *path)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_UNLINK);
    failed = failed != 0 ? failed : find_there(disk, path, &at);
    if (failed == 0 && node_at(disk, &at)->folder) {
        failed = EISDIR;
    }
    if (failed == 0) {
        remove_name(disk, SIM_UNLINK, &at);
    }
    return sim_leave(disk, failed);
}

int sim_do_mkdir(void *ctx, const char *path)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_MKDIR);
    failed = failed != 0 ? failed : find(disk, path, &at);
    if (failed == 0 && at.node != SIM_NOTHING) {
        failed = EEXIST;
    }
    if (failed == 0) {
        uint32_t node = sim_image_add(disk->image, true);
        set_name(disk, SIM_MKDIR, &at, node);
    }
    return sim_leave(disk, failed);
}

int sim_do_rmdir(void *ctx, const char *path)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_RMDIR);
    failed = failed != 0 ? failed : find_folder(disk, path, &at);
    if (failed == 0 && at.folder == SIM_NOTHING) {
        failed = EBUSY;
    }
    if (failed == 0 && node_at(disk, &at)->entry_count != 0) {
        failed = ENOTEMPTY;
    }
    if (failed == 0) {
        remove_name(disk, SIM_RMDIR, &at);
    }
    return sim_leave(disk, failed);
}

int sim_do_sync_dir(void *ctx, const char *path)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_SYNC_DIR);
    failed = failed != 0 ? failed : find_folder(disk, path, &at);
    if (failed == 0 && disk->trace != NULL && !disk->lying) {
        sim_op *op = sim_trace_add(disk->trace, SIM_SYNC_DIR);
        op->folder = op->folder2 = at.node;
    }
    return sim_leave(disk, failed);
}

int sim_do_list(void *ctx, const char *path, om_io_entry entry, void *arg)
{
    sim_disk *disk = ctx;
    place at;
    sim_entry *copy = NULL;
    uint32_t count = 0;
    int failed = sim_enter(disk, SIM_LIST);
    failed = failed != 0 ? failed : find_folder(disk, path, &at);
    if (failed == 0) {
        const sim_node *node = node_at(disk, &at);
        count = node->entry_count;
        copy = sim_memory(NULL, (count + 1) * sizeof copy[0]);
        if (count != 0) {
            memcpy(copy, node->entries, count * sizeof copy[0]);
        }
    }
    (void)sim_leave(disk, 0);
    /* Without the lock: the callback may use the disk, as one that removes what it finds does. */
    for (uint32_t i = 0; failed == 0 && i < count; i++) {
        failed = entry(arg, copy[i].name);
    }
    free(copy);
    return failed;
}

int sim_do_resolve(void *ctx, const char *path, char *out, size_t capacity)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_RESOLVE);
    failed = failed != 0 ? failed : find_folder(disk, path, &at);
    if (failed == 0) {
        size_t length = strlen(path);
        while (length > 1 && (path[length - 1] == '/' || path[length - 1] == '.')) {
            length--;
        }
        bool root = at.folder == SIM_NOTHING;
        int put = snprintf(out, capacity, "%s%.*s", root || path[0] != '/' ? "/" : "",
                           root ? 0 : (int)length, path);
        failed = put < 0 || (size_t)put >= capacity ? ENAMETOOLONG : 0;
    }
    return sim_leave(disk, failed);
}

int sim_do_space(void *ctx, const char *path, om_io_space *out)
{
    sim_disk *disk = ctx;
    place at;
    int failed = sim_enter(disk, SIM_SPACE);
    failed = failed != 0 ? failed : find_there(disk, path, &at);
    if (failed == 0) {
        uint64_t used = 0;
        for (uint32_t i = 0; i < disk->image->count; i++) {
            const sim_node *node = disk->image->nodes[i];
            used += node != NULL ? (uint64_t)node->held * SIM_BLOCK : 0;
        }
        out->total = disk->limit != 0 ? disk->limit : ENDLESS;
        out->available = out->total > used ? out->total - used : 0;
    }
    return sim_leave(disk, failed);
}
