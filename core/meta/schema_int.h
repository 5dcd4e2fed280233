/* schema_int.h - what the module shares about fields: names, the hash of a name, room for more fields.
 * Depends on: schema.h.  Threads: as schema.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SCHEMA_INT_H
#define OM_SCHEMA_INT_H
#include "schema.h"

/* Why these bytes cannot be the name of a field; NULL: they can. */
const char *om_field_name_fault(const char *name, size_t length);
/* A hash of a name that nobody outside can foresee when they do not know the seed. */
uint64_t om_field_hash(uint64_t seed, const char *name, size_t length);
/* Room for `extra` more fields, so that adding them cannot fail. */
omen_status_t om_schema_reserve(om_schema *schema, uint32_t extra, omen_error *err) OM_NODISCARD;
/* "int64", "array of string": for messages. */
const char *om_type_name(uint32_t type);
/* Bytes of a value of this type that stands alone in a row: 8; 0: any number (strings, GEO, arrays). */
static inline uint32_t om_type_fixed(uint32_t type)
{
    return type >= OMEN_TYPE_INT64 && type <= OMEN_TYPE_TIME ? 8 : 0;
}
#endif
