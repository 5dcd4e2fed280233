/* service_random.h - random wire messages and random splits of them, for the tests of the wire code.
 * Depends on: wread.h.  Threads: one a seed.  SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_RANDOM_H
#define SERVICE_RANDOM_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wread.h"

enum { SPLIT_MAX = 64 };

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(next_random(state) % n);
}

/* The bytes cut into spans, each in memory of exactly its size, so that a reader that goes too far is
 * caught by the address sanitizer. */
typedef struct split {
    om_span span[SPLIT_MAX];
    size_t count;
} split;
static inline split split_bytes(const uint8_t *data, size_t size, uint64_t *state)
{
    split s = {.count = 0};
    size_t at = 0;
    while (at < size || s.count == 0) {
        size_t left = size - at;
        size_t part =
            left == 0 || s.count == SPLIT_MAX - 1 ? left : below(state, (uint32_t)left + 1);
        part = below(state, 4) == 0 && left > 0 && s.count < SPLIT_MAX - 1 ? part % 8 : part;
        uint8_t *copy = malloc(part > 0 ? part : 1);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, data + at, part);
        s.span[s.count++] = (om_span){copy, part};
        at += part;
    }
    return s;
}
static inline void split_free(split *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free((void *)(uintptr_t)s->span[i].data);
    }
}
#endif
