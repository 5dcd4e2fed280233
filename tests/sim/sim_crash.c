/* sim_crash.c - traces, and the disks that a power failure could leave at each of their operations.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A walk keeps the image of what is certain and the list of effects that are not. `sync` moves the data of
 * one file from the list to the image, `sync_dir` the names of one folder. A state is a copy of the image
 * with some of the list put on top, always in order: names are assignments, so any subset of them makes
 * sense. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "sim_int.h"

struct sim_crash {
    const sim_trace *trace;
    sim_image *certain;
    size_t at; /* operations passed */
    uint64_t mark;
    const sim_op **pending;
    size_t count, capacity;
};

/* ---- Traces ---------------------------------------------------------------------------------------- */
sim_op *sim_trace_add(sim_trace *trace, sim_call call)
{
    if (trace->count == trace->capacity) {
        trace->capacity = trace->capacity * 2 + 256;
        trace->ops = sim_memory(trace->ops, trace->capacity * sizeof trace->ops[0]);
    }
    sim_op *op = &trace->ops[trace->count++];
    memset(op, 0, sizeof *op);
    op->call = call;
    return op;
}

void sim_trace_free(sim_trace *trace)
{
    if (trace == NULL) {
        return;
    }
    for (size_t i = 0; i < trace->count; i++) {
        free(trace->ops[i].data);
    }
    free(trace->ops);
    sim_image_free(trace->base);
    free(trace);
}

size_t sim_trace_length(const sim_trace *trace)
{
    return trace->count;
}

void sim_disk_record(sim_disk *disk)
{
    sim_trace_free(sim_disk_recorded(disk));
    sim_trace *trace = sim_memory(NULL, sizeof *trace);
    *trace = (sim_trace){.base = sim_disk_image(disk)};
    sim_lock(disk);
    disk->trace = trace;
    (void)sim_leave(disk, 0);
}

sim_trace *sim_disk_recorded(sim_disk *disk)
{
    sim_lock(disk);
    sim_trace *trace = disk->trace;
    disk->trace = NULL;
    (void)sim_leave(disk, 0);
    return trace;
}

void sim_disk_mark(sim_disk *disk, uint64_t value)
{
    sim_lock(disk);
    if (disk->trace != NULL) {
        sim_trace_add(disk->trace, SIM_MARK)->bytes = value;
    }
    (void)sim_leave(disk, 0);
}

void sim_trace_describe(const sim_trace *trace, size_t i, char *text, size_t capacity)
{
    const sim_op *op = &trace->ops[i];
    const char *name = sim_call_name(op->call);
    if (sim_op_is_name(op)) {
        (void)snprintf(text, capacity, "%s %u/%s%s%s (node %d)", name, op->folder, op->name,
                       op->call == SIM_RENAME ? " to " : "", op->name2, (int)op->node);
    } else if (op->call == SIM_SYNC_DIR) {
        (void)snprintf(text, capacity, "%s %u", name, op->folder);
    } else if (op->call == SIM_MARK) {
        (void)snprintf(text, capacity, "%s %llu", name, (unsigned long long)op->bytes);
    } else {
        (void)snprintf(text, capacity, "%s node %u: %llu bytes at %llu%s", name, op->node,
                       (unsigned long long)op->bytes, (unsigned long long)op->offset,
                       op->lost ? " (failed)" : "");
    }
}

void sim_op_apply(const sim_op *op, sim_image *image)
{
    if (op->call == SIM_PWRITEV) {
        sim_image_write(image, op->node, op->offset, op->data, (size_t)op->bytes);
    } else if (op->call == SIM_ALLOCATE) {
        sim_image_allocate(image, op->node, op->bytes);
    } else if (op->call == SIM_TRUNCATE) {
        sim_image_resize(image, op->node, op->bytes);
    } else if (op->call == SIM_RENAME) {
        sim_image_name(image, op->folder, op->name, SIM_NOTHING);
        sim_image_name(image, op->folder2, op->name2, op->node);
    } else if (sim_op_is_name(op)) {
        sim_image_name(image, op->folder, op->name, op->node);
    }
}

/* ---- Walking --------------------------------------------------------------------------------------- */
sim_crash *sim_crash_create(const sim_trace *trace)
{
    sim_crash *crash = sim_memory(NULL, sizeof *crash);
    *crash = (sim_crash){.trace = trace, .certain = sim_image_copy(trace->base)};
    return crash;
}

void sim_crash_free(sim_crash *crash)
{
    if (crash != NULL) {
        sim_image_free(crash->certain);
        free(crash->pending);
        free(crash);
    }
}

static bool settles(const sim_op *sync, const sim_op *op)
{
    if (sync->call == SIM_SYNC) {
        return sim_op_is_data(op) && op->node == sync->node;
    }
    /* A rename is one entry of a journal: syncing either folder makes both of its halves certain. */
    return sim_op_is_name(op) && (op->folder == sync->folder || op->folder2 == sync->folder);
}

static void settle(sim_crash *crash, const sim_op *sync)
{
    size_t kept = 0;
    for (size_t i = 0; i < crash->count; i++) {
        const sim_op *op = crash->pending[i];
        if (!settles(sync, op)) {
            crash->pending[kept++] = op;
        } else if (!sync->lost) {
            sim_op_apply(op, crash->certain);
        } else if (op->call != SIM_PWRITEV) {
            crash->pending[kept++] = op; /* Sizes are not in the pages that were given up. */
        }
    }
    crash->count = kept;
}

bool sim_crash_next(sim_crash *crash)
{
    if (crash->at == crash->trace->count) {
        return false;
    }
    const sim_op *op = &crash->trace->ops[crash->at++];
    if (op->call == SIM_MARK) {
        crash->mark = op->bytes;
        return true;
    }
    if (op->call == SIM_SYNC || op->call == SIM_SYNC_DIR) {
        settle(crash, op);
        return true;
    }
    bool makes = op->call == SIM_OPEN || op->call == SIM_MKDIR;
    if (makes && crash->at > crash->trace->given) {
        uint32_t made = sim_image_add(crash->certain, op->call == SIM_MKDIR);
        om_assert(made == op->node);
        (void)made;
    }
    if (crash->count == crash->capacity) {
        crash->capacity = crash->capacity * 2 + 64;
        crash->pending = sim_memory(crash->pending, crash->capacity * sizeof crash->pending[0]);
    }
    crash->pending[crash->count++] = op;
    return true;
}

size_t sim_crash_at(const sim_crash *crash)
{
    return crash->at;
}

uint64_t sim_crash_mark(const sim_crash *crash)
{
    return crash->mark;
}

size_t sim_crash_pending(const sim_crash *crash)
{
    return crash->count;
}

sim_disk *sim_crash_killed(const sim_crash *crash)
{
    sim_image *image = sim_crash_state(crash, SIM_KEEP_ALL, 0);
    sim_disk *disk = sim_disk_create(image);
    sim_image_free(image);
    sim_disk_record(disk);
    sim_trace *trace = disk->trace;
    sim_image_free(trace->base);
    trace->base = sim_image_copy(crash->certain);
    for (size_t i = 0; i < crash->count; i++) {
        const sim_op *from = crash->pending[i];
        sim_op *op = sim_trace_add(trace, from->call);
        *op = *from;
        if (from->data != NULL) {
            op->data = sim_memory(NULL, (size_t)from->bytes);
            memcpy(op->data, from->data, (size_t)from->bytes);
        }
    }
    trace->given = trace->count;
    return disk;
}

/* ---- States ---------------------------------------------------------------------------------------- */
/* SOME has more to give than the others, so it is chosen more often. */
enum { CHOOSE_NONE, CHOOSE_ALL, CHOOSE_PREFIX, CHOOSE_SOME, CHOICES = 6 };
enum { SIZE_WHOLE, SIZE_OLD, SIZE_KEPT, SIZES };

static bool chance(uint64_t *rng, uint32_t of_8)
{
    return om_rng_below(rng, 8) < of_8;
}

/* Puts a write on the disk sector by sector, of_8 eighths of them. The size may have arrived without the
 * bytes, which then read as zeros, or as what the blocks held before they belonged to this file. */
static void apply_sectors(const sim_op *op, sim_image *image, uint64_t *rng, uint32_t of_8)
{
    uint64_t size = sim_image_node(image, op->node)->size;
    uint64_t end = op->offset + op->bytes;
    uint32_t sizes = om_rng_below(rng, SIZES);
    bool stale = chance(rng, 2);
    uint64_t limit = sizes == SIZE_OLD ? size : end;
    for (uint64_t at = op->offset; at < end && at < limit;) {
        uint64_t stop = om_min_u64(om_min_u64((at / SIM_SECTOR + 1) * SIM_SECTOR, end), limit);
        if (chance(rng, of_8)) {
            sim_image_write(image, op->node, at, op->data + (at - op->offset), (size_t)(stop - at));
        } else if (at >= size && stale && sizes == SIZE_WHOLE) {
            uint8_t garbage[SIM_SECTOR];
            for (size_t i = 0; i < sizeof garbage; i++) {
                garbage[i] = (uint8_t)om_rng_next(rng);
            }
            sim_image_write(image, op->node, at, garbage, (size_t)(stop - at));
        }
        at = stop;
    }
    if (sizes == SIZE_WHOLE && sim_image_node(image, op->node)->size < end) {
        sim_image_resize(image, op->node, end);
    }
}

static void apply_part(const sim_op *op, sim_image *image, uint64_t *rng, uint32_t of_8)
{
    if (op->call == SIM_PWRITEV) {
        apply_sectors(op, image, rng, of_8);
    } else if (chance(rng, of_8)) {
        sim_op_apply(op, image);
    }
}

static void keep_prefix(const sim_crash *crash, sim_image *image, uint64_t *rng)
{
    size_t whole = om_rng_below(rng, (uint32_t)crash->count);
    for (size_t i = 0; i < whole; i++) {
        sim_op_apply(crash->pending[i], image);
    }
    apply_part(crash->pending[whole], image, rng, 4);
}

static void keep_some(const sim_crash *crash, sim_image *image, uint64_t *rng)
{
    static const uint32_t eighths[] = {1, 4, 7};
    uint32_t names = om_rng_below(rng, CHOICES), data = om_rng_below(rng, CHOICES);
    uint32_t of_8 = eighths[om_rng_below(rng, 3)];
    uint64_t salt = om_rng_next(rng);
    for (size_t i = 0; i < crash->count; i++) {
        const sim_op *op = crash->pending[i];
        bool name = sim_op_is_name(op);
        uint32_t choice = name ? names : data;
        /* A folder's or file's own moment up to which things have reached the disk. */
        size_t cut = (size_t)(om_mix64(salt ^ (name ? ~(uint64_t)op->folder : op->node)) %
                              (crash->count + 1));
        if (choice == CHOOSE_ALL || (choice == CHOOSE_PREFIX && i < cut)) {
            sim_op_apply(op, image);
        } else if (choice >= CHOOSE_SOME) {
            apply_part(op, image, rng, of_8);
        }
    }
}

sim_image *sim_crash_state(const sim_crash *crash, sim_kept kept, uint64_t seed)
{
    sim_image *image = sim_image_copy(crash->certain);
    uint64_t rng = om_mix64(seed);
    if (crash->count == 0 || kept == SIM_KEEP_NONE) {
        return image;
    }
    if (kept == SIM_KEEP_PREFIX) {
        keep_prefix(crash, image, &rng);
    } else if (kept == SIM_KEEP_SOME) {
        keep_some(crash, image, &rng);
    } else {
        for (size_t i = 0; i < crash->count; i++) {
            sim_op_apply(crash->pending[i], image);
        }
    }
    return image;
}
