/* pbunpack.c - the arena, and protobuf-c behind guard and arena. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "guard.h"

enum { CHUNK_MIN = 8192, ALIGN_MAX = 64 };

struct om_arena_chunk {
    om_arena_chunk *next;
    size_t size;
};

void om_arena_init(om_arena *a, void *room, size_t room_size, size_t limit)
{
    *a = (om_arena){.room = room, .room_size = room_size, .limit = limit};
    a->at = a->room;
    a->end = a->room != NULL ? a->room + room_size : NULL;
}

static bool add_chunk(om_arena *a, size_t size)
{
    size_t body = size + ALIGN_MAX;
    body = body < CHUNK_MIN ? CHUNK_MIN : body;
    om_arena_chunk *chunk = malloc(sizeof *chunk + body);
    if (chunk == NULL) {
        return false;
    }
    *chunk = (om_arena_chunk){a->chunks, body};
    a->chunks = chunk;
    a->at = (uint8_t *)(chunk + 1);
    a->end = a->at + body;
    return true;
}

void *om_arena_alloc(om_arena *a, size_t size, size_t align)
{
    if (size > a->limit - a->used) {
        return NULL;
    }
    uintptr_t skip = (uintptr_t)(-(uintptr_t)a->at & (align - 1));
    if (a->at == NULL || (size_t)(a->end - a->at) < skip ||
        (size_t)(a->end - a->at) - skip < size) {
        if (!add_chunk(a, size)) {
            return NULL;
        }
        skip = (uintptr_t)(-(uintptr_t)a->at & (align - 1));
    }
    void *out = a->at + skip;
    a->at += skip + size;
    a->used += size;
    return out;
}

void om_arena_reset(om_arena *a)
{
    while (a->chunks != NULL) {
        om_arena_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    om_arena_init(a, a->room, a->room_size, a->limit);
}

static void *unpack_alloc(void *arena, size_t size)
{
    return om_arena_alloc(arena, size, 16);
}

static void unpack_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

void *om_guard_unpack(const ProtobufCMessageDescriptor *type, om_arena *arena, const uint8_t *data,
                      size_t size, om_failure *f)
{
    if (!om_guard_check(type, data, size, f)) {
        return NULL;
    }
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, arena};
    arena->limit = arena->used + OM_ARENA_SLACK + OM_ARENA_FACTOR * size;
    void *message = protobuf_c_message_unpack(type, &allocator, size, data);
    if (message == NULL) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                       "%s is malformed, or needs more than %zu bytes in memory", type->short_name,
                       (size_t)OM_ARENA_SLACK + OM_ARENA_FACTOR * size);
    }
    return message;
}
