/* restore_place.h - a restore into the place of a database: made beside it, then moved there; what was there
 * is moved aside. Depends on: args.h.  Threads: one at a time.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RESTORE_PLACE_H
#define OM_RESTORE_PLACE_H
#include "args.h"

enum { OM_RESTORE_PATH = 4096 };
typedef struct om_restore_place {
    const char *to, *once; /* once: NULL, or what the file beside it is to say */
    bool replace;
    int lock; /* of the database that is replaced; -1: none */
    char staging[OM_RESTORE_PATH], marker[OM_RESTORE_PATH];
} om_restore_place;

/* *done: --once says that there is nothing to do, and nothing is held. Otherwise place->staging is where to
 * restore to. False: the database is in use, or is there without --replace. */
bool om_restore_begin(const om_args *args, om_restore_place *place, bool *done, om_tool_error *err);
/* What was restored takes its place. */
bool om_restore_finish(om_restore_place *place, om_tool_error *err);
/* After a begin that held, whatever came of it. */
void om_restore_end(om_restore_place *place);
#endif
