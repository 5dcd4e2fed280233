/* metasort.h - different values in a hash table, in the order they came, and then in their own order.
 * Depends on: metarow.h.  Threads: one.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METASORT_H
#define OM_METASORT_H
#include "metarow.h"

/* Different values, numbered as they first come. */
typedef struct om_metadict {
    const om_alloc *alloc;
    uint64_t seed;     /* so that colliding values cannot be prepared */
    uint64_t *table;   /* upper half of the hash, number + 1; 0: empty */
    size_t table_size; /* a power of two, at most half full */
    uint32_t width;    /* bytes of a value: 8, 16; 0: any */
    uint32_t count;
    om_bytes values;  /* one behind the other */
    om_bytes offsets; /* width 0: uint64_t[count + 1] */
} om_metadict;
void om_metadict_init(om_metadict *dict, const om_alloc *alloc, uint32_t width, uint64_t seed);
void om_metadict_free(om_metadict *dict);
void om_metadict_clear(om_metadict *dict); /* keeps its memory */
/* The number of a value (of `width` bytes, or of size bytes). */
omen_status_t om_metadict_add(om_metadict *dict, const uint8_t *value, size_t size,
                              uint32_t *number, omen_error *err) OM_NODISCARD;
const uint8_t *om_metadict_value(const om_metadict *dict, uint32_t number, size_t *size);

/* What is sorted: by key, and then by what the key stands for. */
typedef struct om_sortitem {
    uint64_t key;
    uint32_t number, spare;
} om_sortitem;
/* Ascending by key, stable. scratch: [count]. */
void om_metasort_keys(om_sortitem *items, uint32_t count, om_sortitem *scratch);
/* The numbers of a dictionary of values of `type` (no array) in ascending order of the values:
 * items[rank].number. scratch: [count]; pending: [count / 2 + 1], for strings. */
typedef struct om_sortrun {
    uint32_t start, count;
    uint64_t depth;
} om_sortrun;
void om_metasort_dict(const om_metadict *dict, uint16_t type, om_sortitem *items,
                      om_sortitem *scratch, om_sortrun *pending);
#endif
