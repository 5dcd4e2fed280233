/* idpages.h - the bytes of ids in key order, in pages of up to 32 KiB. Part of idtable.
 * Depends on: base.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IDPAGES_H
#define OM_IDPAGES_H
#include "alloc.h"
#include "base.h"

/* A page: bytes of ids from the front, and from the back one u16 an id: where its bytes end, and in
 * the top bit whether it was removed. The ids of a page have consecutive keys. */
typedef struct om_idpage {
    uint8_t *data;
    uint64_t first_key;
    uint32_t size;  /* allocated bytes                     */
    uint32_t count; /* ids, removed ones included          */
    uint32_t used;  /* bytes from the front                */
    uint32_t dead;  /* of these: bytes of removed ids      */
    uint32_t live;  /* ids that are not removed            */
} om_idpage;

typedef struct om_idpages {
    const om_alloc *alloc;
    om_idpage *pages; /* [0, started) in key order, the last of them open; [started, count) spare */
    size_t started, count, capacity;
    uint64_t
        spare_room; /* what the spare pages hold for certain, whatever the lengths of the ids */
    uint64_t page_bytes; /* of all pages                                                          */
    uint64_t next_key;
} om_idpages;

void om_idpages_init(om_idpages *pages, const om_alloc *alloc);
void om_idpages_free(om_idpages *pages);
/* Room for `ids` more ids of `bytes` together. */
omen_status_t om_idpages_reserve(om_idpages *pages, uint64_t ids, uint64_t bytes,
                                 omen_error *err) OM_NODISCARD;
/* Adds an id, for which there is room; returns its key. */
uint64_t om_idpages_append(om_idpages *pages, const void *id, size_t length);
/* The bytes of a key; NULL when it is not there. */
const uint8_t *om_idpages_get(const om_idpages *pages, uint64_t key, size_t *length);
/* Removes a key that is there; gives memory back when most of its page is dead. */
void om_idpages_remove(om_idpages *pages, uint64_t key);
/* Calls fn for every id, keys rising. */
typedef void (*om_idpages_fn)(void *ctx, uint64_t key, const uint8_t *id, size_t length);
void om_idpages_each(const om_idpages *pages, om_idpages_fn fn, void *ctx);
size_t om_idpages_bytes(const om_idpages *pages);
#endif
