/* idmap.c - the key to slot table: linear probing over tagged u32 words.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word is a slot in its low slot_bits and, above them, the same bits of the high half of the
 * key's hash. The position comes from the low half, so the tag is independent of it: at a million
 * slots eleven tag bits spare 2,047 of 2,048 looks into the key array, each of which would be a
 * cache miss. When slots outgrow slot_bits, every word gives its lowest tag bit away, for which no
 * key has to be read. Removal closes the gap by moving words back, so there are no marks to skip or
 * to clean up. */
#include "idmap.h"

#include <string.h>

#include "op.h"
#include "rng.h"

enum { MIN_CAPACITY = 64, FIRST_SLOT_BITS = 12, GROW_AHEAD = 16 };
#define EMPTY UINT32_MAX

static uint64_t hash_key(const om_idmap *map, uint64_t key)
{
    return om_mix64(key ^ map->seed);
}

static uint32_t slot_mask(const om_idmap *map)
{
    return ((uint32_t)1 << map->slot_bits) - 1;
}

void om_idmap_init(om_idmap *map, const om_alloc *alloc)
{
    *map = (om_idmap){.alloc = alloc, .slot_bits = FIRST_SLOT_BITS};
    /* Nobody outside can know the address and the time, so keys that collide cannot be prepared. No
     * result depends on the seed: the order of the table is never shown. */
    map->seed = om_mix64((uint64_t)(uintptr_t)map ^ om_mix64(om_now_ns()));
}

void om_idmap_free(om_idmap *map)
{
    if (map->table != NULL) {
        om_alloc_put(map->alloc, map->table, om_idmap_bytes(map), OM_CACHE_LINE);
    }
    map->table = NULL;
    map->mask = 0;
    map->used = 0;
}

size_t om_idmap_bytes(const om_idmap *map)
{
    return map->table == NULL ? 0 : (size_t)(map->mask + 1) * sizeof map->table[0];
}

/* Puts a word that is known to be absent into a table with room. */
static void place(uint32_t *table, uint64_t mask, uint64_t hash, uint32_t word)
{
    uint64_t at = hash & mask;
    while (table[at] != EMPTY) {
        at = (at + 1) & mask;
    }
    table[at] = word;
}

/* Moves every word into a larger table. Words of one old neighbourhood go to two new ones, so the
 * writes are sequential; the keys are the random reads, and are asked for ahead of time. */
static void move_words(const om_idmap *map, const uint64_t *keys, uint32_t *table, uint64_t mask)
{
    uint32_t slots = slot_mask(map);
    uint64_t capacity = map->mask + 1;
    for (uint64_t i = 0; i < capacity; i++) {
        if (i + GROW_AHEAD < capacity && map->table[i + GROW_AHEAD] != EMPTY) {
            __builtin_prefetch(&keys[map->table[i + GROW_AHEAD] & slots]);
        }
        uint32_t word = map->table[i];
        if (word != EMPTY) {
            place(table, mask, hash_key(map, keys[word & slots]), word);
        }
    }
}

omen_status_t om_idmap_reserve(om_idmap *map, uint64_t extra, const uint64_t *keys, omen_error *err)
{
    if (extra > OMEN_MAX_ROWS || map->used + extra > OMEN_MAX_ROWS) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "id map: %llu keys and %llu more are above the limit of %u rows",
                       (unsigned long long)map->used, (unsigned long long)extra, OMEN_MAX_ROWS);
    }
    uint64_t needed = map->used + extra;
    uint64_t capacity = map->table == NULL ? MIN_CAPACITY : map->mask + 1;
    while (needed * 10 > capacity * 7) {
        capacity *= 2;
    }
    if (map->table != NULL && capacity == map->mask + 1) {
        return OMEN_OK;
    }
    size_t bytes = (size_t)capacity * sizeof map->table[0];
    uint32_t *table = om_alloc_get(map->alloc, bytes, OM_CACHE_LINE);
    if (table == NULL) {
        return om_fail_memory(err, "id map", bytes);
    }
    memset(table, 0xFF, bytes);
    if (map->table != NULL) {
        move_words(map, keys, table, capacity - 1);
        om_alloc_put(map->alloc, map->table, om_idmap_bytes(map), OM_CACHE_LINE);
    }
    map->table = table;
    map->mask = capacity - 1;
    return OMEN_OK;
}

/* The place of a key, or of the empty word where it would go. There always is an empty word. */
static uint64_t find(const om_idmap *map, const uint64_t *keys, uint64_t key, uint64_t hash)
{
    uint32_t slots = slot_mask(map);
    uint32_t tag = (uint32_t)(hash >> 32) & ~slots;
    uint64_t at = hash & map->mask;
    for (;;) {
        uint32_t word = map->table[at];
        if (word == EMPTY || ((word & ~slots) == tag && keys[word & slots] == key)) {
            return at;
        }
        at = (at + 1) & map->mask;
    }
}

uint32_t om_idmap_get(const om_idmap *map, const uint64_t *keys, uint64_t key)
{
    if (map->used == 0) {
        return OM_IDMAP_ABSENT;
    }
    uint32_t word = map->table[find(map, keys, key, hash_key(map, key))];
    return word == EMPTY ? OM_IDMAP_ABSENT : word & slot_mask(map);
}

/* Gives slots as many bits as `slot` needs. The word of all ones stays free for EMPTY. */
static void widen_slots(om_idmap *map, uint32_t slot)
{
    uint32_t before = slot_mask(map);
    while (slot >= slot_mask(map)) {
        map->slot_bits++;
    }
    uint32_t slots = slot_mask(map);
    for (uint64_t i = 0; i <= map->mask; i++) {
        uint32_t word = map->table[i];
        if (word != EMPTY) {
            map->table[i] = (word & ~slots) | (word & before);
        }
    }
}

uint32_t om_idmap_put(om_idmap *map, const uint64_t *keys, uint32_t slot)
{
    om_assert(map->table != NULL);
    om_assert(slot < OMEN_MAX_ROWS);
    if (OM_UNLIKELY(slot >= slot_mask(map))) {
        widen_slots(map, slot);
    }
    uint32_t slots = slot_mask(map);
    uint64_t hash = hash_key(map, keys[slot]);
    uint64_t at = find(map, keys, keys[slot], hash);
    uint32_t before = map->table[at];
    map->table[at] = ((uint32_t)(hash >> 32) & ~slots) | slot;
    if (before != EMPTY) {
        return before & slots;
    }
    map->used++;
    om_assert(map->used * 10 <= (map->mask + 1) * 7);
    return OM_IDMAP_ABSENT;
}

/* Closes a gap: every later word of the run that may stand in it, without coming before the place
 * its hash asks for, moves there, and leaves the next gap. */
static void close_gap(om_idmap *map, const uint64_t *keys, uint64_t gap)
{
    uint32_t slots = slot_mask(map);
    for (uint64_t at = (gap + 1) & map->mask; map->table[at] != EMPTY; at = (at + 1) & map->mask) {
        uint64_t home = hash_key(map, keys[map->table[at] & slots]) & map->mask;
        if (((at - home) & map->mask) >= ((at - gap) & map->mask)) {
            map->table[gap] = map->table[at];
            gap = at;
        }
    }
    map->table[gap] = EMPTY;
}

uint32_t om_idmap_remove(om_idmap *map, const uint64_t *keys, uint64_t key)
{
    if (map->used == 0) {
        return OM_IDMAP_ABSENT;
    }
    uint64_t at = find(map, keys, key, hash_key(map, key));
    uint32_t word = map->table[at];
    if (word == EMPTY) {
        return OM_IDMAP_ABSENT;
    }
    close_gap(map, keys, at);
    map->used--;
    return word & slot_mask(map);
}

void om_idmap_prefetch(const om_idmap *map, uint64_t key)
{
    if (map->table != NULL) {
        __builtin_prefetch(&map->table[hash_key(map, key) & map->mask]);
    }
}
