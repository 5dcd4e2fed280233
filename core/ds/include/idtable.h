/* idtable.h - the ids of UUID and STRING collections: bytes <-> number. Numbers are handed out in
 * rising order from 1 and never reused: the engine gives every row one, so that slot n has number n + 1.
 * Depends on: base.  Threads: one writer or many readers (the caller locks).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IDTABLE_H
#define OM_IDTABLE_H
#include "alloc.h"
#include "base.h"

typedef struct om_idtable om_idtable;
omen_status_t om_idtable_create(const om_alloc *alloc, om_idtable **out,
                                omen_error *err) OM_NODISCARD;
void om_idtable_free(om_idtable *table);
/* Makes room for `ids` more ids of `bytes` together, so that adding them cannot fail. */
omen_status_t om_idtable_reserve(om_idtable *table, uint64_t ids, uint64_t bytes,
                                 omen_error *err) OM_NODISCARD;
/* The key of an id, or OMEN_NONE. */
uint64_t om_idtable_find(const om_idtable *table, const void *id, size_t length);
/* Gives an id of 1 .. OMEN_MAX_STRING_ID bytes the next number, whether it is there or not; returns the
 * number it had, or 0. That one keeps its bytes until it is forgotten. Needs room. */
uint64_t om_idtable_put(om_idtable *table, const void *id, size_t length);
/* Forgets the bytes of a number that put has replaced. */
void om_idtable_forget(om_idtable *table, uint64_t number);
/* The key of an id of 1 .. OMEN_MAX_STRING_ID bytes, made if absent (*added tells). Needs room. */
uint64_t om_idtable_add(om_idtable *table, const void *id, size_t length, bool *added);
/* Forgets the id of a key: the next add of the same bytes gets a new key. */
void om_idtable_remove(om_idtable *table, uint64_t key);
/* The bytes of a key; NULL when the key is not (or no longer) there. Valid until the next add or
 * remove. */
const void *om_idtable_id(const om_idtable *table, uint64_t key, size_t *length);
uint64_t om_idtable_count(const om_idtable *table); /* ids there are */
uint64_t om_idtable_next_key(const om_idtable *table);
size_t om_idtable_bytes(const om_idtable *table);
#endif
