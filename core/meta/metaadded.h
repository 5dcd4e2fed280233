/* metaadded.h - the fields that a batch brings along: their names, and the types that its items give them.
 * Depends on: metaparse_int.h.  Threads: one.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METAADDED_H
#define OM_METAADDED_H
#include "metaparse_int.h"

/* No type yet: only nulls, or only empty arrays. */
static inline bool om_added_typeless(uint16_t type)
{
    return type == 0 || type == OMEN_TYPE_ARRAY;
}
/* The field of parse->name among those that the batch adds; a new one if need be. */
omen_status_t om_added_find(om_metaparse *parse, uint16_t *field);
/* The entries of an item that is taken give their fields types. */
void om_added_accept(om_metaparse *parse);
/* Fields from place `mark` on go: the item that brought them was refused. */
void om_added_forget(om_metaparse *parse, uint32_t mark);
void om_added_free(om_metaparse *parse);
#endif
