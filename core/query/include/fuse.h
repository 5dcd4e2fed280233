/* fuse.h - several ranked lists become one.
 * Depends on: base.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FUSE_H
#define OM_FUSE_H
#include "alloc.h"
#include "base.h"

typedef struct om_ranked {
    uint64_t key;
    float value;     /* distance or score, as the list has it */
    uint32_t origin; /* the caller's: where the item is */
    uint32_t slot;
} om_ranked;
typedef struct om_ranked_list {
    const om_ranked *items; /* best first; a key at most once */
    uint32_t count;
    float weight;
    bool distances; /* smaller is better */
} om_ranked_list;
typedef struct om_fuse_options {
    uint32_t fusion;     /* OMEN_FUSE_* */
    float rank_constant; /* RRF */
} om_fuse_options;
/* The union of the lists by falling fused score (in `value`), ties by key. out: [sum of counts], and none of
 * the lists. origin and slot are those of the first list that has the item. Values and weights are finite. */
omen_status_t om_fuse(const om_alloc *alloc, const om_ranked_list *lists, uint32_t count,
                      const om_fuse_options *options, om_ranked *out, uint32_t *found,
                      omen_error *err) OM_NODISCARD;
#endif
