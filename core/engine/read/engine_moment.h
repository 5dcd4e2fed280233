/* engine_moment.h - the live rows that pass a filter, of all segments, as they are at one moment.
 * Depends on: engine_filter.h.  Threads: one a moment, epoch pinned.  Locks: ids_mu for a copy of the
 * tombstones, write_mu at worst.  SPDX-License-Identifier: Apache-2.0
 *
 * A batch is applied with ids_mu held: what is copied with it held is the state between two batches, in which
 * each item has one live row. Vector searches do without (they look at the rows that came meanwhile), which
 * searches for words cannot, as their scores need all rows. */
#ifndef OM_ENGINE_MOMENT_H
#define OM_ENGINE_MOMENT_H
#include "engine_filter.h"

typedef struct om_moment_part {
    om_part part; /* rows 0: nothing is there */
    const om_pass *pass;
    const uint64_t *live; /* [(rows + 63) / 64] bit i: row i passes and lives; NULL: all rows do */
    uint32_t matches;     /* bits set */
} om_moment_part;
typedef struct om_moment {
    const om_alloc *alloc;
    om_moment_part *part; /* [count] */
    uint32_t count, part_room;
    uint64_t *words;
    size_t word_room;
    uint64_t matches, live, rows; /* of all parts */
} om_moment;
/* filter NULL: all rows pass. out->alloc is set before; it can be taken again. */
omen_status_t om_moment_take(const omen_collection *handle, om_filter *filter, const om_stop *stop,
                             om_moment *out, omen_error *err) OM_NODISCARD;
void om_moment_free(om_moment *moment);
/* Its rows [first, last), at least one, to be gone through. */
om_rows_of om_moment_rows(const om_moment_part *part, uint32_t first, uint32_t last);
#endif
