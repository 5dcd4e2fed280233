/* base_arena.c - blocks that are given back together: a list of chunks, filled from the front.
 * SPDX-License-Identifier: Apache-2.0 */
#include "alloc.h"

typedef struct om_arena_chunk {
    struct om_arena_chunk *next;
    size_t bytes; /* of the whole chunk, this header included */
    size_t used;
} om_arena_chunk;

void om_arena_init(om_arena *arena, const om_alloc *alloc, size_t chunk_size)
{
    arena->alloc = alloc;
    arena->chunk = NULL;
    arena->chunk_size = chunk_size;
}

/* The address of a fitting block in the chunk, or NULL. */
static void *take_from(om_arena_chunk *chunk, size_t size, size_t align)
{
    uintptr_t base = (uintptr_t)chunk;
    size_t at = (size_t)(om_round_up(base + chunk->used, align) - base);
    if (at > chunk->bytes || size > chunk->bytes - at) {
        return NULL;
    }
    chunk->used = at + size;
    return (char *)chunk + at;
}

static om_arena_chunk *new_chunk(om_arena *arena, size_t bytes)
{
    om_arena_chunk *chunk = om_alloc_get(arena->alloc, bytes, OM_CACHE_LINE);
    if (chunk != NULL) {
        chunk->next = NULL;
        chunk->bytes = bytes;
        chunk->used = sizeof *chunk;
    }
    return chunk;
}

void *om_arena_get(om_arena *arena, size_t size, size_t align)
{
    om_assert(align != 0 && (align & (align - 1)) == 0);
    if (arena->chunk != NULL) {
        void *block = take_from(arena->chunk, size, align);
        if (block != NULL) {
            return block;
        }
    }
    size_t need;
    if (!om_add_size(size, sizeof(om_arena_chunk) + align, &need)) {
        return NULL;
    }
    /* A large block gets a chunk of its own behind the current one, which keeps its free space. */
    bool large = need > arena->chunk_size / 2;
    om_arena_chunk *chunk = new_chunk(arena, large ? need : arena->chunk_size);
    if (chunk == NULL) {
        return NULL;
    }
    if (large && arena->chunk != NULL) {
        chunk->next = arena->chunk->next;
        arena->chunk->next = chunk;
    } else {
        chunk->next = arena->chunk;
        arena->chunk = chunk;
    }
    void *block = take_from(chunk, size, align);
    om_assert(block != NULL);
    return block;
}

size_t om_arena_bytes(const om_arena *arena)
{
    size_t bytes = 0;
    for (const om_arena_chunk *chunk = arena->chunk; chunk != NULL; chunk = chunk->next) {
        bytes += chunk->bytes;
    }
    return bytes;
}

void om_arena_free(om_arena *arena)
{
    om_arena_chunk *chunk = arena->chunk;
    while (chunk != NULL) {
        om_arena_chunk *next = chunk->next;
        om_alloc_put(arena->alloc, chunk, chunk->bytes, OM_CACHE_LINE);
        chunk = next;
    }
    arena->chunk = NULL;
}
