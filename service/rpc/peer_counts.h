/* peer_counts.h - how often something happened, by the hash of a peer, in fixed memory. Two peers that
 * share a cell are counted together, which is too strict, never too lax.
 * Depends on: nothing.  Threads: one at a time.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_PEER_COUNTS_H
#define OM_PEER_COUNTS_H
#include <stdint.h>
#include <string.h>

enum { OM_PEER_CELLS = 16384 };

typedef struct om_peer_counts {
    uint32_t count[OM_PEER_CELLS];
    uint32_t second[OM_PEER_CELLS]; /* of add_in_second: when the count began */
} om_peer_counts;

static inline uint32_t om_peer_cell(uint32_t key)
{
    return (key ^ key >> 14) % OM_PEER_CELLS;
}

static inline void om_peer_counts_clear(om_peer_counts *p)
{
    memset(p, 0, sizeof *p);
}

static inline uint32_t om_peer_counts_get(const om_peer_counts *p, uint32_t key)
{
    return p->count[om_peer_cell(key)];
}

static inline void om_peer_counts_add(om_peer_counts *p, uint32_t key)
{
    p->count[om_peer_cell(key)]++;
}

/* The same for things that are counted for a second: how many there were in this one. */
static inline uint32_t om_peer_counts_add_in_second(om_peer_counts *p, uint32_t key, uint32_t n,
                                                    uint64_t now_ns)
{
    uint32_t cell = om_peer_cell(key);
    uint32_t second = (uint32_t)(now_ns / 1000000000u);
    if (p->second[cell] != second) {
        p->second[cell] = second;
        p->count[cell] = 0;
    }
    p->count[cell] += n;
    return p->count[cell];
}
#endif
