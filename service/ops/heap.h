/* heap.h - jemalloc: an arena of its own for the engine, so that figures tell it from the rest.
 * Built without jemalloc (OM_JEMALLOC not set) the C library serves and there are no figures.
 * Depends on: omen.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_HEAP_H
#define OM_HEAP_H
#include <stdbool.h>
#include <stdint.h>

#include "omen.h"

typedef struct om_heap_stats {
    uint64_t allocated, active, metadata, resident, mapped, retained;
    uint64_t engine_allocated; /* of allocated: in the engine's arena */
} om_heap_stats;
/* The allocator to give to omen_runtime_create. All NULL without jemalloc, or when no arena could
 * be made: the engine then takes the C library. The same one at every call. */
omen_allocator om_heap_engine_allocator(void);
bool om_heap_get_stats(om_heap_stats *out); /* false: nothing is known */
#endif
