/* wire_int.h - what the readers of the hot messages share.
 * Depends on: write_reader.h, guard.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WIRE_INT_H
#define OM_WIRE_INT_H
#include "guard.h"
#include "write_reader.h"
#include "wwrite.h"

/* INVALID_ARGUMENT: the bytes are no `what`. Each returns false. */
bool om_wire_malformed(const om_wread *r, const char *what, om_failure *f);
bool om_wire_repeated(om_failure *f, const char *field);
bool om_wire_no_memory(om_failure *f, size_t bytes);
/* Fields that are not ours are skipped: a newer client may send them. */
static inline bool om_wire_skip(om_wread *r, const om_wfield *field)
{
    return field->type != OM_WT_LEN || om_wread_skip(r, (size_t)field->value);
}
static inline uint32_t om_wire_u32(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}
static inline float om_wire_float(uint64_t bits)
{
    float value = 0;
    uint32_t narrow = (uint32_t)bits;
    __builtin_memcpy(&value, &narrow, sizeof value);
    return value;
}

/* Where ids go: `to` has room for all bytes of their message; the offsets of strings go into a list, which
 * grows, or, when there is none, into offsets that were counted before. */
typedef struct om_ids_room {
    uint8_t *to;
    om_wlist *list;
    int32_t *offsets;
} om_ids_room;
bool om_read_ids_at(om_wread *r, const om_ids_room *room, om_wire_ids *out, om_failure *f);
/* Room for `bytes` in a list, which keeps what it has. */
bool om_wlist_reserve(om_wlist *list, size_t bytes, om_failure *f);
#endif
