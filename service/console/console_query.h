/* console_query.h - a search of the console as the request that the RPC would have made.
 * Depends on: console_int.h, searcher.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CONSOLE_QUERY_H
#define OM_CONSOLE_QUERY_H
#include "console_int.h"
#include "searcher.h"

/* Texts are the body's, everything else is in the arena. */
typedef struct om_console_query {
    om_arena arena;
    om_wire_search search;
    om_wire_leg second;
} om_console_query;
/* The query is zero but for its arena. False: call->f names the member. */
bool om_console_query_read(om_console_call *call, json_t *body, om_coll *coll, om_console_query *q);
/* The member `filter`: *text is NULL when it is empty. */
bool om_console_filter(om_console_call *call, json_t *body, const char **text, size_t *size);
#endif
