/* fuzz_memory.h - an io whose only file is the input, whatever it is called: nothing touches the disk.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

typedef struct fuzz_file {
    const uint8_t *bytes;
    size_t size;
} fuzz_file;

static inline void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static int memory_open(void *ctx, const char *path, uint32_t flags, int *fd)
{
    (void)ctx;
    (void)path;
    need((flags & OM_IO_WRITE) == 0, "nothing is written");
    *fd = 3;
    return 0;
}

static int memory_close(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    return 0;
}

static int memory_pread(void *ctx, int fd, void *data, size_t bytes, uint64_t offset, size_t *done)
{
    const fuzz_file *file = ctx;
    (void)fd;
    *done = offset >= file->size ? 0 : file->size - (size_t)offset;
    *done = *done < bytes ? *done : bytes;
    if (*done != 0) {
        memcpy(data, file->bytes + offset, *done);
    }
    return 0;
}

static int memory_fstat(void *ctx, int fd, om_io_stat *out)
{
    const fuzz_file *file = ctx;
    (void)fd;
    *out = (om_io_stat){.bytes = file->size, .regular = true};
    return 0;
}

static int memory_stat(void *ctx, const char *path, om_io_stat *out)
{
    (void)path;
    return memory_fstat(ctx, 3, out);
}

static int memory_map(void *ctx, int fd, const om_io_mapping *mapping, void **base)
{
    const fuzz_file *file = ctx;
    (void)fd;
    if (mapping->offset > file->size || mapping->bytes > file->size - mapping->offset) {
        return ENXIO;
    }
    *base = malloc(mapping->bytes);
    need(*base != NULL, "memory");
    memcpy(*base, file->bytes + mapping->offset, mapping->bytes);
    return 0;
}

static int memory_unmap(void *ctx, void *base, size_t bytes)
{
    (void)ctx;
    (void)bytes;
    free(base);
    return 0;
}

static const om_io_ops fuzz_ops = {.open = memory_open,
                                   .close = memory_close,
                                   .pread = memory_pread,
                                   .fstat = memory_fstat,
                                   .stat = memory_stat,
                                   .map = memory_map,
                                   .unmap = memory_unmap};

/* What a bad file may give. */
static inline void need_told(omen_status_t status)
{
    need(status == OMEN_DATA_LOSS || status == OMEN_UNIMPLEMENTED, "the status of a bad file");
}
#endif
