/* engine_values.h - values of fields: in order, and counted.
 * Depends on: engine_answer.h.  Threads: one a table.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ENGINE_VALUES_H
#define OM_ENGINE_VALUES_H
#include "engine_answer.h"

/* Numbers by their bits, the rest where it lies: valid until the epoch is unpinned. */
typedef struct om_value {
    const uint8_t *bytes;
    uint64_t bits;
    uint64_t rows;
    uint64_t stamp; /* of the caller: 0 at first */
    uint32_t size;
    uint16_t type; /* 0: null */
} om_value;
typedef struct om_values {
    const om_alloc *alloc;
    om_value *entry; /* [room] count of them in use */
    size_t room, slots;
    uint32_t *slot; /* [slots] number of an entry + 1; 0: free */
    uint32_t count;
} om_values;
om_value om_value_from(const om_meta_value *from);
const uint8_t *om_value_payload(const om_value *value); /* as it was in the row */
/* Both of one type, not null. Strings by their bytes. */
int om_value_compare(const om_value *a, const om_value *b);
/* The entry of a value, which is added with 0 rows when it is new. */
omen_status_t om_values_find(om_values *values, const om_meta_value *from, uint32_t *out,
                             omen_error *err) OM_NODISCARD;
/* Puts the `limit` most frequent ones to the front, in order, ties by value; returns their number. The
 * table finds nothing any more until it is cleared. */
uint32_t om_values_best(om_values *values, uint32_t limit);
void om_values_clear(om_values *values);
void om_values_free(om_values *values);
#endif
