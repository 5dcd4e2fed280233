/* guard.h - what must be true of bytes before protobuf-c may see them, and the unpack itself.
 * protobuf-c 1.4 has no depth limit, merges repeated singular messages in quadratic time, takes any
 * bytes as text and turns a message into up to 60 times its size; guard and capped arena close this.
 * Depends on: failure.h, protobuf-c.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_GUARD_H
#define OM_GUARD_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

enum {
    OM_GUARD_DEPTH = 32,      /* messages inside messages                          */
    OM_GUARD_FIELDS = 100000, /* fields of a message, those of inner ones included */
    OM_ARENA_SLACK = 65536,   /* an unpacked message may take this much ...        */
    OM_ARENA_FACTOR = 16      /* ... and so many times its size                    */
};

/* One walk over the bytes. False: *f says INVALID_ARGUMENT and why. */
bool om_guard_check(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                    om_failure *f);

/* Memory that is freed all at once. The first bytes come from the owner's own room. Not thread-safe. */
typedef struct om_arena_chunk om_arena_chunk;
typedef struct om_arena {
    uint8_t *at, *end;
    om_arena_chunk *chunks;
    size_t used, limit; /* bytes handed out; the most that may be */
    uint8_t *room;
    size_t room_size;
} om_arena;
void om_arena_init(om_arena *a, void *room, size_t room_size, size_t limit);
/* NULL when the limit or the memory ends. align: a power of two, at most 64. */
void *om_arena_alloc(om_arena *a, size_t size, size_t align);
/* Frees everything; the arena is as after init. */
void om_arena_reset(om_arena *a);

/* Guard, then unpack into the arena, whose limit is raised by what this message may take. NULL: *f
 * says why. The message lives as long as the arena's content. */
void *om_guard_unpack(const ProtobufCMessageDescriptor *type, om_arena *arena, const uint8_t *data,
                      size_t size, om_failure *f);
#endif
