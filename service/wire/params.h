/* params.h - bound parameters of a filter ($1, $2, ...): omen.v1.Value, from the wire or from protobuf-c, as
 * the engine takes them.
 * Depends on: guard.h (arena), wread.h.  Threads: one an arena.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_PARAMS_H
#define OM_PARAMS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "guard.h"
#include "omen/v1/types.pb-c.h"
#include "wread.h"

/* Values of all lists of a request: a number of one byte on the wire is one of eight in memory. */
enum { OM_PARAM_VALUES_MAX = 1 << 20 };

/* The parameters of one request, in the arena. Zero to begin with. */
typedef struct om_params {
    omen_param *list;
    uint32_t count, capacity;
    uint64_t values; /* of all of them */
} om_params;

/* Reads the Value in which the reader stands, to its end, as the next parameter. `more`: how many are still
 * to come, this one included; asked for at the first one only. */
bool om_params_read(om_wread *r, om_arena *arena, size_t more, om_params *out, om_failure *f);
/* All parameters of an unpacked message. */
bool om_params_from_pb(Omen__V1__Value *const *values, size_t count, om_arena *arena,
                       om_params *out, om_failure *f);

/* Fields with this number from here to the end of the innermost message; the reader stays where it is, in
 * front of `skip` bytes that belong to a field read before. */
size_t om_wread_count(const om_wread *r, uint32_t number, size_t skip);
/* Copies a text field of size bytes, at most max, NUL-terminated, into the arena. */
typedef struct om_wire_text {
    const char *name; /* for errors */
    size_t size, max;
} om_wire_text;
bool om_read_text(om_wread *r, om_arena *arena, const om_wire_text *field, const char **out,
                  size_t *size, om_failure *f);
/* Memory whose size was checked against a limit before: raises the arena's. NULL: *f says NO_MEMORY. */
void *om_wire_take(om_arena *arena, size_t size, size_t align, om_failure *f);
#endif
