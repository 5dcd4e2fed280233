/* os_map.c - whole files mapped read-only, and hints about them. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os_int.h"

#define POPULATE_STEP ((size_t)4 << 20)

enum { LOAD_PIECE = 4 << 20 };

static omen_status_t map_file(om_map *map, const om_iofile *file, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint64_t size = 0;
    void *mapping = NULL;
    OM_TRY(om_io_size(file, &size, err));
    if (size == 0) {
        return OMEN_OK; /* Nothing to map: base stays NULL, bytes 0. */
    }
    if (size > SIZE_MAX) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "%s: %llu bytes are too many to map", file->path, (unsigned long long)size);
    }
    const om_io_mapping whole = {.bytes = (size_t)size};
    OM_TRY(om_io_map(file, &whole, &mapping, err));
    *map = (om_map){.io = file->io, .base = mapping, .bytes = whole.bytes, .mapping = mapping};
out:
    return status;
}

omen_status_t om_map_open(const om_io *io, om_map *map, const char *path, omen_error *err)
{
    om_iofile file;
    memset(map, 0, sizeof *map);
    omen_status_t status = om_io_open(io, path, 0, &file, err);
    if (status == OMEN_OK) {
        status = map_file(map, &file, err);
    }
    om_io_close(&file);
    return status;
}

omen_status_t om_map_load(om_map *map, om_budget *budget, omen_error *err)
{
    om_vm ram = {.base = NULL};
    omen_status_t status = om_vm_reserve(&ram, map->bytes, budget, err);
    if (status == OMEN_OK) {
        status = om_vm_commit(&ram, map->bytes, err);
    }
    if (status != OMEN_OK) {
        om_vm_release(&ram);
        return status;
    }
    for (size_t at = 0; at < map->bytes; at += LOAD_PIECE) {
        size_t piece = map->bytes - at < LOAD_PIECE ? map->bytes - at : LOAD_PIECE;
        memcpy(ram.base + at, map->base + at, piece);
        om_pages_done(map->base + at, piece); /* the copy is the one that stays */
    }
    om_io_unmap(map->io, map->mapping, map->bytes);
    map->ram = ram;
    map->mapping = ram.base;
    map->base = ram.base;
    return OMEN_OK;
}

void om_map_close(om_map *map)
{
    if (map->ram.base != NULL) {
        om_vm_release(&map->ram);
    } else {
        om_io_unmap(map->io, map->mapping, map->bytes);
    }
    memset(map, 0, sizeof *map);
}

/* The whole pages that hold a range of the map; false when it is empty or outside. */
static bool page_range(const om_map *map, size_t offset, size_t bytes, uint8_t **start,
                       size_t *length)
{
    if (map->mapping == NULL || offset >= map->bytes || bytes == 0) {
        return false;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t end = bytes < map->bytes - offset ? offset + bytes : map->bytes;
    size_t first = offset & ~(page - 1);
    *start = (uint8_t *)map->mapping + first;
    *length = end - first;
    return true;
}

void om_map_random(const om_map *map, size_t offset, size_t bytes)
{
    uint8_t *start;
    size_t length;
    if (page_range(map, offset, bytes, &start, &length)) {
        (void)madvise(start, length, MADV_RANDOM);
    }
}

/* Reads one byte of every page. */
static void touch_pages(const uint8_t *start, size_t length)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = 0; at < length; at += page) {
        (void)*(const volatile uint8_t *)(start + at);
    }
}

void om_map_populate(const om_map *map, size_t offset, size_t bytes)
{
    uint8_t *start;
    size_t length;
    if (!page_range(map, offset, bytes, &start, &length)) {
        return;
    }
    while (length != 0) {
        size_t part = length < POPULATE_STEP ? length : POPULATE_STEP;
#ifdef MADV_POPULATE_READ
        int failed = madvise(start, part, MADV_POPULATE_READ);
#else
        int failed = -1;
        errno = EINVAL;
#endif
        if (failed != 0) {
            if (errno != EINVAL) {
                return; /* The disk fails or the file shrank: the reader meets that, not this hint. */
            }
            touch_pages(start, part); /* a kernel before 5.14 */
        }
        start += part;
        length -= part;
    }
}
