/* metabuild_int.h - the columns of a block while rows are added.
 * Depends on: metalayout.h, metasort.h.  Threads: one.  Locks: none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METABUILD_INT_H
#define OM_METABUILD_INT_H
#include "metalayout.h"
#include "metasort.h"

/* One field. Rows that have a value, in order, and what each has: a number of the dictionary, for
 * arrays a list of them, of TEXT the bytes. */
typedef struct om_buildcolumn {
    uint16_t field, type;
    om_metadict dict;
    om_bytes rows;    /* uint16_t a value */
    om_bytes numbers; /* uint32_t a value, of arrays an element; TEXT: uint64_t ends in text */
    om_bytes lists;   /* arrays: uint64_t ends in numbers */
    om_bytes text;
} om_buildcolumn;

struct om_metabuild {
    const om_alloc *alloc;
    const om_schema *schema;
    uint64_t seed;
    uint32_t rows;
    om_buildcolumn **columns; /* [column_capacity] by field; NULL: none yet */
    uint32_t column_capacity;
};

static inline uint32_t om_build_count(const om_buildcolumn *column)
{
    return (uint32_t)(column->rows.size / sizeof(uint16_t));
}
#endif
