/* sim_disk.c - a simulated disk in use: counting, faults, open files, data.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "sim_int.h"

#define FIRST_WALL UINT64_C(1700000000000000000)
/* Frames of the disk itself, and those that make a site. Too many would split one call into many sites. */
enum { SITE_SKIP = 2, SITE_DEPTH = 4 };

static const char *const call_names[] = {
    [SIM_OPEN] = "open",       [SIM_CLOSE] = "close",       [SIM_PREAD] = "pread",
    [SIM_PWRITEV] = "pwritev", [SIM_ALLOCATE] = "allocate", [SIM_TRUNCATE] = "truncate",
    [SIM_SYNC] = "sync",       [SIM_FSTAT] = "fstat",       [SIM_STAT] = "stat",
    [SIM_RENAME] = "rename",   [SIM_LINK] = "link",         [SIM_UNLINK] = "unlink",
    [SIM_MKDIR] = "mkdir",     [SIM_RMDIR] = "rmdir",       [SIM_SYNC_DIR] = "sync_dir",
    [SIM_LIST] = "list",       [SIM_RESOLVE] = "resolve",   [SIM_SPACE] = "space",
    [SIM_LOCK] = "lock",       [SIM_MAP] = "map",           [SIM_CALLS] = "any",
    [SIM_MARK] = "mark",
};

const char *sim_call_name(sim_call call)
{
    return call_names[call];
}

/* ---- Counting and faults --------------------------------------------------------------------------- */
/* Frames: note_site's caller and the function of the table come first and say nothing. */
static sim_site site_of(const sim_disk *disk, sim_call call)
{
    void *frames[SITE_SKIP + SITE_DEPTH];
    int depth = backtrace(frames, SITE_SKIP + SITE_DEPTH);
    sim_site site = {.id = (uint64_t)call + 1,
                     .call = call,
                     .nth = disk->calls[SIM_CALLS],
                     .kind = disk->calls[call],
                     .sync = call == SIM_SYNC || call == SIM_SYNC_DIR ? disk->syncs : 0};
    for (int i = 0; i + SITE_SKIP < depth; i++) {
        site.frames[i] = frames[i + SITE_SKIP];
        site.id = om_mix64(site.id ^ (uintptr_t)frames[i + SITE_SKIP]);
    }
    return site;
}

static void note_site(sim_disk *disk, const sim_site *site)
{
    if (disk->site_count == disk->site_capacity) {
        disk->site_capacity = disk->site_capacity * 2 + 1024;
        disk->sites = sim_memory(disk->sites, disk->site_capacity * sizeof disk->sites[0]);
    }
    disk->sites[disk->site_count++] = *site;
}

void sim_lock(sim_disk *disk)
{
    (void)pthread_mutex_lock(disk->mutex);
}

int sim_enter(sim_disk *disk, sim_call call)
{
    sim_lock(disk);
    disk->calls[call]++;
    disk->calls[SIM_CALLS]++;
    disk->syncs += call == SIM_SYNC || call == SIM_SYNC_DIR ? 1 : 0;
    disk->lying = disk->lie != 0 && disk->syncs == disk->lie;
    if (disk->tracking || disk->lie_site != 0) {
        sim_site site = site_of(disk, call);
        disk->lying = disk->lying || (disk->lie_site != 0 && site.id == disk->lie_site);
        if (disk->tracking) {
            note_site(disk, &site);
        }
    }
    const sim_fault *fault = &disk->fault;
    if (fault->nth == 0 || (fault->call != SIM_CALLS && fault->call != call)) {
        return 0;
    }
    uint64_t now = disk->calls[fault->call];
    if (now != disk->fault_at && !(fault->for_ever && now > disk->fault_at)) {
        return 0;
    }
    disk->faulted = true;
    if (fault->error != 0) {
        return fault->error;
    }
    return call == SIM_PREAD || call == SIM_PWRITEV ? SIM_SHORT : EIO;
}

int sim_leave(sim_disk *disk, int failed)
{
    (void)pthread_mutex_unlock(disk->mutex);
    return failed;
}

/* ---- Open files ------------------------------------------------------------------------------------ */
int sim_file_of(const sim_disk *disk, int fd, sim_file const **out)
{
    if (fd < 0 || fd >= SIM_FILES || !disk->files[fd].open) {
        return EBADF;
    }
    *out = &disk->files[fd];
    return 0;
}

static bool has_name(const sim_image *image, uint32_t number)
{
    for (uint32_t i = 0; i < image->count; i++) {
        const sim_node *node = image->nodes[i];
        for (uint32_t j = 0; node != NULL && j < node->entry_count; j++) {
            if (node->entries[j].node == number) {
                return true;
            }
        }
    }
    return false;
}

void sim_disk_forget(sim_disk *disk, uint32_t number)
{
    for (int i = 0; i < SIM_FILES; i++) {
        if (disk->files[i].open && disk->files[i].node == number) {
            return;
        }
    }
    if (number != SIM_ROOT && !has_name(disk->image, number)) {
        sim_image_drop(disk->image, number);
    }
}

static int do_close(void *ctx, int fd)
{
    sim_disk *disk = ctx;
    const sim_file *file = NULL;
    int failed = sim_enter(disk, SIM_CLOSE);
    int unknown = sim_file_of(disk, fd, &file);
    if (unknown != 0) {
        return sim_leave(disk, unknown);
    }
    uint32_t node = file->node; /* A close that fails has closed all the same. */
    disk->files[fd] = (sim_file){0};
    sim_disk_forget(disk, node);
    return sim_leave(disk, failed);
}

static int do_lock(void *ctx, int fd)
{
    sim_disk *disk = ctx;
    const sim_file *file = NULL;
    int failed = sim_enter(disk, SIM_LOCK);
    failed = failed != 0 ? failed : sim_file_of(disk, fd, &file);
    if (failed == 0 && !file->writable) {
        failed = EBADF;
    }
    for (int i = 0; failed == 0 && i < SIM_FILES; i++) {
        const sim_file *other = &disk->files[i];
        if (i != fd && other->open && other->locked && other->node == file->node) {
            failed = EAGAIN;
        }
    }
    if (failed == 0) {
        disk->files[fd].locked = true;
    }
    return sim_leave(disk, failed);
}

static int do_fstat(void *ctx, int fd, om_io_stat *out)
{
    sim_disk *disk = ctx;
    const sim_file *file = NULL;
    int failed = sim_enter(disk, SIM_FSTAT);
    failed = failed != 0 ? failed : sim_file_of(disk, fd, &file);
    if (failed == 0) {
        const sim_node *node = sim_image_node(disk->image, file->node);
        *out = (om_io_stat){.bytes = node->size, .folder = node->folder, .regular = !node->folder};
    }
    return sim_leave(disk, failed);
}

/* ---- Data ------------------------------------------------------------------------------------------ */
static int do_pread(void *ctx, int fd, void *data, size_t bytes, uint64_t offset, size_t *done)
{
    sim_disk *disk = ctx;
    const sim_file *file = NULL;
    int failed = sim_enter(disk, SIM_PREAD);
    if (failed == SIM_SHORT) {
        bytes = bytes > 1 ? bytes / 2 : bytes;
        failed = 0;
    }
    failed = failed != 0 ? failed : sim_file_of(disk, fd, &file);
    if (failed == 0 && sim_image_node(disk->image, file->node)->folder) {
        failed = EISDIR;
    }
    *done = failed == 0 ? sim_image_read(disk->image, file->node, offset, data, bytes) : 0;
    return sim_leave(disk, failed);
}

static int writable_file(sim_disk *disk, int fd, uint32_t *node)
{
    const sim_file *file = NULL;
    int failed = sim_file_of(disk, fd, &file);
    if (failed != 0) {
        return failed;
    }
    *node = file->node;
    return file->writable ? 0 : EBADF;
}

static uint64_t used_blocks(const sim_disk *disk)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < disk->image->count; i++) {
        used += disk->image->nodes[i] != NULL ? disk->image->nodes[i]->held : 0;
    }
    return used;
}

/* How many of the bytes there is room for. */
static uint64_t room_for(const sim_disk *disk, uint32_t node, uint64_t offset, uint64_t bytes)
{
    if (disk->limit == 0) {
        return bytes;
    }
    uint64_t free_blocks = disk->limit / SIM_BLOCK;
    uint64_t used = used_blocks(disk);
    free_blocks = free_blocks > used ? free_blocks - used : 0;
    while (bytes != 0 && sim_image_wants(disk->image, node, offset, bytes) > free_blocks) {
        uint64_t over = (offset + bytes) % SIM_BLOCK;
        over = over != 0 ? over : SIM_BLOCK;
        bytes -= om_min_u64(over, bytes);
    }
    return bytes;
}

static void write_node(sim_disk *disk, uint32_t node, uint64_t offset, const void *data,
                       size_t bytes)
{
    sim_image_write(disk->image, node, offset, data, bytes);
    if (disk->trace != NULL) {
        sim_op *op = sim_trace_add(disk->trace, SIM_PWRITEV);
        op->node = node;
        op->offset = offset;
        op->bytes = bytes;
        op->data = sim_memory(NULL, bytes);
        memcpy(op->data, data, bytes);
    }
}

static int do_pwritev(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset,
                      size_t *done)
{
    sim_disk *disk = ctx;
    uint32_t node = 0;
    *done = 0;
    int failed = sim_enter(disk, SIM_PWRITEV);
    bool cut = failed == SIM_SHORT;
    failed = failed != 0 && !cut ? failed : writable_file(disk, fd, &node);
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += parts[i].iov_len;
    }
    if (failed != 0 || bytes == 0) {
        return sim_leave(disk, failed);
    }
    /* One operation however many parts: the parts of one call are as near to each other as can be. */
    uint8_t *all = sim_memory(NULL, bytes);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len != 0) {
            memcpy(all + at, parts[i].iov_base, parts[i].iov_len);
            at += parts[i].iov_len;
        }
    }
    size_t part = (size_t)room_for(disk, node, offset, cut && bytes > 1 ? bytes / 2 : bytes);
    if (part != 0) {
        write_node(disk, node, offset, all, part);
    } else {
        failed = ENOSPC;
    }
    free(all);
    *done = part;
    return sim_leave(disk, failed);
}

static int do_allocate(void *ctx, int fd, uint64_t bytes)
{
    sim_disk *disk = ctx;
    uint32_t node = 0;
    int failed = sim_enter(disk, SIM_ALLOCATE);
    failed = failed != 0 ? failed : writable_file(disk, fd, &node);
    if (failed == 0 && room_for(disk, node, 0, bytes) < bytes) {
        failed = ENOSPC;
    }
    if (failed == 0) {
        sim_image_allocate(disk->image, node, bytes);
        if (disk->trace != NULL) {
            sim_op *op = sim_trace_add(disk->trace, SIM_ALLOCATE);
            op->node = node;
            op->bytes = bytes;
        }
    }
    return sim_leave(disk, failed);
}

static int do_truncate(void *ctx, int fd, uint64_t bytes)
{
    sim_disk *disk = ctx;
    uint32_t node = 0;
    int failed = sim_enter(disk, SIM_TRUNCATE);
    failed = failed != 0 ? failed : writable_file(disk, fd, &node);
    if (failed == 0) {
        sim_image_resize(disk->image, node, bytes);
        if (disk->trace != NULL) {
            sim_op *op = sim_trace_add(disk->trace, SIM_TRUNCATE);
            op->node = node;
            op->bytes = bytes;
        }
    }
    return sim_leave(disk, failed);
}

static int do_sync(void *ctx, int fd)
{
    sim_disk *disk = ctx;
    const sim_file *file = NULL;
    int failed = sim_enter(disk, SIM_SYNC);
    int unknown = sim_file_of(disk, fd, &file);
    if (unknown != 0) {
        return sim_leave(disk, unknown);
    }
    if (disk->trace != NULL && !disk->lying) {
        sim_op *op = sim_trace_add(disk->trace, SIM_SYNC);
        op->node = file->node;
        op->lost = failed != 0;
    }
    return sim_leave(disk, failed);
}

/* ---- Mappings: aligned copies, as files that are mapped do not change ---------------------------------- */
static int do_map(void *ctx, int fd, const om_io_mapping *mapping, void **base)
{
    sim_disk *disk = ctx;
    const sim_file *file = NULL;
    int failed = sim_enter(disk, SIM_MAP);
    failed = failed != 0 ? failed : sim_file_of(disk, fd, &file);
    if (failed == 0 && (mapping->bytes == 0 || mapping->offset % SIM_BLOCK != 0)) {
        failed = EINVAL;
    }
    if (failed == 0) {
        uint64_t size = sim_image_node(disk->image, file->node)->size;
        bool inside = mapping->offset <= size && mapping->bytes <= size - mapping->offset;
        failed = inside ? 0 : ENXIO;
    }
    int slot = 0;
    while (slot < SIM_MAPPINGS && disk->mappings[slot] != NULL) {
        slot++;
    }
    if (failed == 0 && (slot == SIM_MAPPINGS ||
                        posix_memalign(&disk->mappings[slot], SIM_BLOCK, mapping->bytes) != 0)) {
        failed = ENOMEM;
    }
    if (failed == 0) {
        *base = disk->mappings[slot];
        (void)sim_image_read(disk->image, file->node, mapping->offset, *base, mapping->bytes);
    }
    return sim_leave(disk, failed);
}

static int do_unmap(void *ctx, void *base, size_t bytes)
{
    sim_disk *disk = ctx;
    (void)bytes;
    sim_lock(disk);
    for (int i = 0; i < SIM_MAPPINGS; i++) {
        if (disk->mappings[i] == base && base != NULL) {
            free(base);
            disk->mappings[i] = NULL;
            return sim_leave(disk, 0);
        }
    }
    return sim_leave(disk, EINVAL);
}

/* ---- Clocks ---------------------------------------------------------------------------------------- */
static uint64_t do_now(void *ctx)
{
    sim_disk *disk = ctx;
    sim_lock(disk);
    uint64_t now = disk->clock += 1000;
    (void)sim_leave(disk, 0);
    return now;
}

static uint64_t do_wall(void *ctx)
{
    return FIRST_WALL + do_now(ctx);
}

static const om_io_ops sim_ops = {
    .open = sim_do_open,
    .close = do_close,
    .pread = do_pread,
    .pwritev = do_pwritev,
    .allocate = do_allocate,
    .truncate = do_truncate,
    .sync = do_sync,
    .fstat = do_fstat,
    .stat = sim_do_stat,
    .rename = sim_do_rename,
    .link = sim_do_link,
    .unlink = sim_do_unlink,
    .mkdir = sim_do_mkdir,
    .rmdir = sim_do_rmdir,
    .sync_dir = sim_do_sync_dir,
    .list = sim_do_list,
    .resolve = sim_do_resolve,
    .space = sim_do_space,
    .lock = do_lock,
    .map = do_map,
    .unmap = do_unmap,
    .now_ns = do_now,
    .wall_ns = do_wall,
};

om_io sim_disk_io(sim_disk *disk)
{
    return (om_io){&sim_ops, disk};
}

/* ---- Life and switches ------------------------------------------------------------------------------ */
sim_disk *sim_disk_create(const sim_image *from)
{
    sim_disk *disk = sim_memory(NULL, sizeof *disk);
    memset(disk, 0, sizeof *disk);
    disk->mutex = sim_memory(NULL, sizeof(pthread_mutex_t));
    (void)pthread_mutex_init(disk->mutex, NULL);
    disk->image = from != NULL ? sim_image_copy(from) : sim_image_create();
    sim_image_sweep(disk->image);
    return disk;
}

void sim_disk_free(sim_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    for (int i = 0; i < SIM_MAPPINGS; i++) {
        free(disk->mappings[i]);
    }
    sim_trace_free(disk->trace);
    sim_image_free(disk->image);
    free(disk->sites);
    (void)pthread_mutex_destroy(disk->mutex);
    free(disk->mutex);
    free(disk);
}

sim_image *sim_disk_image(sim_disk *disk)
{
    sim_lock(disk);
    sim_image *image = sim_image_copy(disk->image);
    (void)sim_leave(disk, 0);
    return image;
}

void sim_disk_limit(sim_disk *disk, uint64_t bytes)
{
    sim_lock(disk);
    disk->limit = bytes;
    (void)sim_leave(disk, 0);
}

uint64_t sim_disk_used(sim_disk *disk)
{
    sim_lock(disk);
    uint64_t used = used_blocks(disk) * SIM_BLOCK;
    (void)sim_leave(disk, 0);
    return used;
}

void sim_disk_advance(sim_disk *disk, uint64_t ns)
{
    sim_lock(disk);
    disk->clock += ns;
    (void)sim_leave(disk, 0);
}

uint64_t sim_disk_calls(sim_disk *disk, sim_call call)
{
    sim_lock(disk);
    uint64_t calls = disk->calls[call];
    (void)sim_leave(disk, 0);
    return calls;
}

sim_open sim_disk_open(sim_disk *disk)
{
    sim_open open = {0, 0};
    sim_lock(disk);
    for (int i = 0; i < SIM_FILES; i++) {
        open.files += disk->files[i].open ? 1 : 0;
    }
    for (int i = 0; i < SIM_MAPPINGS; i++) {
        open.mappings += disk->mappings[i] != NULL ? 1 : 0;
    }
    (void)sim_leave(disk, 0);
    return open;
}

void sim_disk_fault(sim_disk *disk, const sim_fault *fault)
{
    sim_lock(disk);
    disk->fault = *fault;
    disk->fault_at = disk->calls[fault->call] + fault->nth;
    disk->faulted = false;
    (void)sim_leave(disk, 0);
}

bool sim_disk_faulted(sim_disk *disk)
{
    sim_lock(disk);
    bool faulted = disk->faulted;
    (void)sim_leave(disk, 0);
    return faulted;
}

void sim_disk_lie(sim_disk *disk, uint64_t nth)
{
    sim_lock(disk);
    disk->lie = nth != 0 ? disk->syncs + nth : 0;
    (void)sim_leave(disk, 0);
}

void sim_disk_lie_site(sim_disk *disk, uint64_t site)
{
    sim_lock(disk);
    disk->lie_site = site;
    (void)sim_leave(disk, 0);
}

void sim_disk_track(sim_disk *disk, bool on)
{
    sim_lock(disk);
    disk->tracking = on;
    (void)sim_leave(disk, 0);
}

const sim_site *sim_disk_sites(sim_disk *disk, size_t *count)
{
    *count = disk->site_count;
    return disk->sites;
}
