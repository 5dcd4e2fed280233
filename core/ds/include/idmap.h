/* idmap.h - from a u64 key to the newest slot that holds it: open addressing over slots.
 * Depends on: base.  Threads: one writer or many readers (the caller locks).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IDMAP_H
#define OM_IDMAP_H
#include "alloc.h"
#include "base.h"

/* The table holds u32 words only (5.7 bytes an item at load 0.7): the slot, and in the bits that
 * slots do not need yet a tag out of the key's hash. Keys are read from the caller's array, where
 * the tag agrees. */
typedef struct om_idmap {
    const om_alloc *alloc;
    uint32_t *table;    /* capacity words; UINT32_MAX: empty. NULL before the first reserve */
    uint64_t mask;      /* capacity - 1, capacity a power of two */
    uint64_t used;      /* keys in the map */
    uint64_t seed;      /* mixed into the hash, so that colliding keys cannot be prepared */
    uint32_t slot_bits; /* low bits of a word that are the slot */
    uint32_t reserved;
} om_idmap;
#define OM_IDMAP_ABSENT UINT32_MAX
void om_idmap_init(om_idmap *map, const om_alloc *alloc);
void om_idmap_free(om_idmap *map);
/* Makes room for `extra` more puts, so that they cannot fail. keys: as for get. */
omen_status_t om_idmap_reserve(om_idmap *map, uint64_t extra, const uint64_t *keys,
                               omen_error *err) OM_NODISCARD;
uint32_t om_idmap_get(const om_idmap *map, const uint64_t *keys, uint64_t key);
/* Points keys[slot] to slot < OMEN_MAX_ROWS; returns the slot it pointed to before, or
 * OM_IDMAP_ABSENT. Needs room. The keys of all slots in the map must stay as they were put. */
uint32_t om_idmap_put(om_idmap *map, const uint64_t *keys, uint32_t slot);
/* Removes a key; returns its slot or OM_IDMAP_ABSENT. */
uint32_t om_idmap_remove(om_idmap *map, const uint64_t *keys, uint64_t key);
void om_idmap_prefetch(const om_idmap *map, uint64_t key);
size_t om_idmap_bytes(const om_idmap *map);
#endif
