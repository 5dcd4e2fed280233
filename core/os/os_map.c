/* os_map.c - whole files mapped read-only, and hints about them. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os_int.h"

#define POPULATE_STEP ((size_t)4 << 20)

static omen_status_t map_fd(om_map *map, int fd, const char *path, omen_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return om_fail_errno(err, om_os_status(errno), errno, "%s: cannot look at the file", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return om_fail(err, OMEN_FAILED_PRECONDITION, OMEN_D_IO, "%s: is no regular file", path);
    }
    if (info.st_size == 0) {
        return OMEN_OK; /* Nothing to map: base stays NULL, bytes 0. */
    }
    if ((uint64_t)info.st_size > SIZE_MAX) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "%s: %llu bytes are too many to map", path,
                       (unsigned long long)info.st_size);
    }
    size_t bytes = (size_t)info.st_size;
    void *mapping = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
        return om_fail_errno(err, om_os_status(errno), errno, "%s: cannot map %zu bytes", path,
                             bytes);
    }
    map->base = mapping;
    map->bytes = bytes;
    map->mapping = mapping;
    return OMEN_OK;
}

omen_status_t om_map_open(om_map *map, const char *path, omen_error *err)
{
    memset(map, 0, sizeof *map);
    /* O_NONBLOCK: a path that is a pipe must fail, not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return om_fail_errno(err, om_os_status(errno), errno, "%s: cannot open", path);
    }
    omen_status_t status = map_fd(map, fd, path, err);
    (void)close(fd);
    return status;
}

void om_map_close(om_map *map)
{
    if (map->mapping != NULL) {
        int failed = munmap(map->mapping, map->bytes);
        om_assert(failed == 0);
        (void)failed;
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
