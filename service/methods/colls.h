/* colls.h - open collections by name: every call needs a handle, and opening one for each would cost.
 * Depends on: omen.h, metrics.h, recall.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_COLLS_H
#define OM_COLLS_H
#include <stdatomic.h>
#include <stdint.h>

#include "access.h"
#include "metrics.h"
#include "omen.h"
#include "recall.h"

/* Bounds of the times of searches that are kept for each collection; another one is beyond them. */
enum { OM_COLL_TIMES = 10 };
typedef struct om_colls om_colls;
typedef struct om_coll {
    omen_collection *handle;
    omen_options options;       /* as created, defaults filled in                        */
    uint32_t row_bytes;         /* of a stored vector                                    */
    _Atomic uint32_t search_ns; /* smoothed time of recent graph searches; 0: not known  */
    _Atomic uint32_t damaged;   /* a file of it was cut while it was served (fault.h)    */
    om_tenant *tenant;          /* whose it is: limits of rows and bytes                 */
    char name[OMEN_MAX_NAME + 1];
    _Atomic uint64_t times[OM_COLL_TIMES + 1], time_ns; /* searches by their time; its sum */
    _Atomic uint32_t refs;
    struct om_coll *next;
} om_coll;

/* access: NULL: collections have no tenants. */
om_colls *om_colls_create(omen_db *db, om_access *access);
void om_colls_free(om_colls *colls);
/* Times of searches go to the metrics, collections that are gone leave the recall monitor (NULL: off). Before
 * there are calls; om_colls_free ends it. */
void om_colls_observe(om_colls *colls, om_metrics *metrics, om_recall *recall);
/* A reference to the collection; give it back with om_coll_release. */
omen_status_t om_colls_get(om_colls *colls, const char *name, om_coll **out, omen_error *err)
    __attribute__((warn_unused_result));
om_coll *om_coll_hold(om_coll *coll);
void om_coll_release(om_coll *coll); /* NULL is accepted */
/* Around what makes or drops the collection of this name and says whose it is: one at a time for a name, so
 * that both are of the same collection. Nothing is held by a call that may wait for another. */
void om_colls_change(om_colls *colls, const char *name);
void om_colls_changed(om_colls *colls, const char *name);
/* The collection is gone: the next get opens anew. */
void om_colls_forget(om_colls *colls, const char *name);
/* Around every call of the engine that reads what is stored: status = om_coll_leave(coll, omen_...(), err)
 * after om_coll_enter(coll). Once a file of the collection was found cut, the status is DATA_LOSS, whatever
 * the call returned: it may have read zeros. */
void om_coll_enter(om_coll *coll);
omen_status_t om_coll_leave(om_coll *coll, omen_status_t status, omen_error *err)
    __attribute__((warn_unused_result));
/* DATA_LOSS, when that is known already: for calls that write. */
omen_status_t om_coll_whole(const om_coll *coll, omen_error *err)
    __attribute__((warn_unused_result));
/* Bytes of one component of an OMEN_F32 .. OMEN_U8 vector; 0 for other types. */
uint32_t om_coll_width(uint32_t dtype);
/* Counts the time of a graph search in: what the next one may take. */
void om_coll_note_search(om_coll *coll, uint64_t ns);
/* Counts the time of any search in, for the metrics. */
void om_coll_note_time(om_coll *coll, uint64_t ns);
#endif
