/* listings.h - snapshots of collections between the pages of a listing. A bounded table: what was not used
 * for five minutes goes. When it is full, who has most makes place: a caller can end others' listings only
 * where its tenant, or it itself among those of its tenant, has fewer of them.
 * Depends on: colls.h, access.h.  Threads: any, but create and free.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_LISTINGS_H
#define OM_LISTINGS_H
#include <stdbool.h>
#include <stdint.h>

#include "colls.h"

enum {
    OM_CURSORS_MAX = 64,
    OM_CURSORS_IDLE_S = 300,
    OM_CURSORS_REST_S = 60 /* unused so long, it makes place for whoever needs one */
};

typedef struct om_cursors om_cursors;
typedef struct om_cursor {
    uint64_t id; /* of the listing, never 0 */
    omen_collection *snapshot;
    om_coll *coll; /* whose it is */
    uint64_t version;
    omen_filter *filter;               /* compiled for the snapshot; NULL: all items           */
    uint64_t shape;                    /* tells listings with another filter or order apart    */
    uint8_t owner[OM_ACCESS_IDENTITY]; /* who began it: om_cursors_add fills these in */
    const om_tenant *tenant;
} om_cursor;

/* now_ns: NULL for CLOCK_MONOTONIC. NULL: no memory. */
om_cursors *om_cursors_create(uint64_t (*now_ns)(void));
void om_cursors_free(om_cursors *cursors);
/* Takes the snapshot and the filter over, and a reference to the collection; the id is given here. False:
 * no place is this caller's to have at this moment; what was handed over was freed. */
bool om_cursors_add(om_cursors *cursors, const om_principal *who, om_cursor *cursor);
/* The listing, which stays until it is given back. False: it is gone, or somebody else's. */
bool om_cursors_take(om_cursors *cursors, const om_principal *who, uint64_t id, om_cursor *out);
/* ends: nothing is left to list. */
void om_cursors_give(om_cursors *cursors, uint64_t id, bool ends);
/* Frees what has not been used for too long; about once a second. NULL is accepted. */
void om_cursors_sweep(om_cursors *cursors);
#endif
