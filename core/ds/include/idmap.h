/* idmap.h - from a u64 key to the newest slot that holds it: open addressing over slots.
 * Depends on: base.  Threads: one writer or many readers (the caller locks).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IDMAP_H
#define OM_IDMAP_H
#include "alloc.h"
#include "base.h"

/* The table holds u32 slots only (5.7 bytes an item at load 0.7); keys are read from the caller's array. */
typedef struct om_idmap {
    const om_alloc *alloc;
    uint32_t *table; /* power of two; UINT32_MAX empty, UINT32_MAX - 1 removed */
    uint64_t mask;
    uint64_t used, removed;
} om_idmap;
#define OM_IDMAP_ABSENT UINT32_MAX
void om_idmap_init(om_idmap *map, const om_alloc *alloc);
void om_idmap_free(om_idmap *map);
/* Makes room for `extra` more puts, so that they cannot fail. keys: as for get. */
omen_status_t om_idmap_reserve(om_idmap *map, uint64_t extra, const uint64_t *keys, omen_error *err)
    OM_NODISCARD;
uint32_t om_idmap_get(const om_idmap *map, const uint64_t *keys, uint64_t key);
/* Points keys[slot] to slot; returns the slot it pointed to before, or OM_IDMAP_ABSENT. Needs room. */
uint32_t om_idmap_put(om_idmap *map, const uint64_t *keys, uint32_t slot);
/* Removes a key; returns its slot or OM_IDMAP_ABSENT. */
uint32_t om_idmap_remove(om_idmap *map, const uint64_t *keys, uint64_t key);
void om_idmap_prefetch(const om_idmap *map, uint64_t key);
size_t om_idmap_bytes(const om_idmap *map);
#endif
