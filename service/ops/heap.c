/* heap.c - the engine's arena and the figures of jemalloc.
 * SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include <string.h>

#if defined(OM_JEMALLOC) && OM_JEMALLOC
#include <jemalloc/jemalloc.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

/* Read by jemalloc at the first allocation. Dirty pages go back to the kernel after 5 s, by a
 * thread of its own: what an index build leaves behind must not count against the memory limit for
 * long. */
extern const char *malloc_conf __attribute__((visibility("default")));
const char *malloc_conf = "background_thread:true,dirty_decay_ms:5000,muzzy_decay_ms:0,"
                          "metadata_thp:auto";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned engine_arena = UINT_MAX;

static void make_arena(void)
{
    unsigned index = 0;
    size_t size = sizeof index;
    if (mallctl("arenas.create", &index, &size, NULL, 0) == 0) {
        engine_arena = index;
    }
}

/* Past the thread caches: they mix arenas, and the figures would lie. The engine allocates rarely.
 */
static int flags_of(size_t align)
{
    return (int)MALLOCX_ARENA(engine_arena) | MALLOCX_TCACHE_NONE | MALLOCX_ALIGN(align);
}

static void *engine_alloc(void *ctx, size_t size, size_t align)
{
    (void)ctx;
    return mallocx(size > 0 ? size : 1, flags_of(align));
}

static void engine_free(void *ctx, void *ptr, size_t size, size_t align)
{
    (void)ctx;
    if (ptr != NULL) {
        sdallocx(ptr, size > 0 ? size : 1, flags_of(align));
    }
}

omen_allocator om_heap_engine_allocator(void)
{
    omen_allocator allocator = {engine_alloc, engine_free, NULL};
    (void)pthread_once(&once, make_arena);
    if (engine_arena == UINT_MAX) {
        memset(&allocator, 0, sizeof allocator);
    }
    return allocator;
}

static bool read_size(const char *name, uint64_t *out)
{
    size_t value = 0;
    size_t size = sizeof value;
    if (mallctl(name, &value, &size, NULL, 0) != 0) {
        return false;
    }
    *out = value;
    return true;
}

static uint64_t read_arena(const char *what)
{
    char name[64];
    uint64_t value = 0;
    if (engine_arena == UINT_MAX) {
        return 0;
    }
    (void)snprintf(name, sizeof name, "stats.arenas.%u.%s", engine_arena, what);
    return read_size(name, &value) ? value : 0;
}

bool om_heap_get_stats(om_heap_stats *out)
{
    uint64_t epoch = 1;
    size_t size = sizeof epoch;
    memset(out, 0, sizeof *out);
    if (mallctl("epoch", &epoch, &size, &epoch, sizeof epoch) != 0) {
        return false;
    }
    (void)pthread_once(&once, make_arena);
    out->engine_allocated = read_arena("small.allocated") + read_arena("large.allocated");
    return read_size("stats.allocated", &out->allocated) &&
           read_size("stats.active", &out->active) && read_size("stats.metadata", &out->metadata) &&
           read_size("stats.resident", &out->resident) && read_size("stats.mapped", &out->mapped) &&
           read_size("stats.retained", &out->retained);
}
#else
omen_allocator om_heap_engine_allocator(void)
{
    omen_allocator allocator = {NULL, NULL, NULL};
    return allocator;
}

bool om_heap_get_stats(om_heap_stats *out)
{
    memset(out, 0, sizeof *out);
    return false;
}
#endif
