/* alloc.h - memory: the caller's allocator behind a byte budget. Nothing else calls malloc.
 * Depends on: base.h.  Threads: any.  Locks: none (atomics).  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ALLOC_H
#define OM_ALLOC_H
#include <stdatomic.h>

#include "base.h"

/* Bytes in use against a limit; shared by heap blocks and mapped arenas of one runtime. */
typedef struct om_budget {
    _Atomic uint64_t used;
    _Atomic uint64_t rejections;
    uint64_t limit; /* 0: none */
} om_budget;
/* Takes `bytes` from the budget; false (and nothing taken) when the limit would be passed. */
bool om_budget_take(om_budget *budget, uint64_t bytes) OM_NODISCARD;
void om_budget_give(om_budget *budget, uint64_t bytes);

typedef struct om_alloc {
    omen_allocator fns; /* all three NULL: the C library */
    om_budget *budget;  /* NULL: not counted             */
} om_alloc;
/* A block of `size` bytes aligned to `align` (a power of two), or NULL. The content is undefined. */
void *om_alloc_get(const om_alloc *alloc, size_t size, size_t align) OM_NODISCARD;
/* The same, zeroed, for count * size bytes; NULL on overflow. */
void *om_alloc_zero(const om_alloc *alloc, size_t count, size_t size, size_t align) OM_NODISCARD;
/* Gives a block back; size and align as at the get. NULL is ignored. */
void om_alloc_put(const om_alloc *alloc, void *block, size_t size, size_t align);
/* Grows (or shrinks) by copy. On NULL the old block is intact. */
void *om_alloc_grow(const om_alloc *alloc, void *block, size_t old_size, size_t new_size,
                    size_t align) OM_NODISCARD;

/* Blocks that are given back together. One thread at a time. */
typedef struct om_arena {
    const om_alloc *alloc;
    struct om_arena_chunk *chunk;
    size_t chunk_size;
} om_arena;
void om_arena_init(om_arena *arena, const om_alloc *alloc, size_t chunk_size);
void *om_arena_get(om_arena *arena, size_t size, size_t align) OM_NODISCARD;
size_t om_arena_bytes(const om_arena *arena); /* taken from its allocator */
void om_arena_free(om_arena *arena);
#endif
