/* searcher.h - one search from its parsed request to the bytes of its SearchResponse.
 * Depends on: search_reader.h, colls.h, rt_shared.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SEARCHER_H
#define OM_SEARCHER_H
#include "method_util.h"
#include "search_reader.h"

typedef struct om_searcher {
    om_rt_shared *shared;
    om_coll *coll;
    const om_wire_search *request;
    om_arena *arena;     /* results are built here; its limit is raised as needed */
    omen_op *op;         /* may be NULL                                           */
    uint64_t timeout_us; /* 0: none                                               */
    uint64_t queue_ns;
    uint64_t engine_ns; /* set                                                   */
    /* set by om_search_run: what to write, and how many bytes that takes */
    om_wire_hits hits;
    size_t size;
    omen_rows *rows; /* freed by om_search_end */
    omen_explain explain;
} om_searcher;

/* Shape of the request against the collection. False: *f says why. */
bool om_search_check(const om_wire_search *request, const om_coll *coll, om_failure *f);
/* Searches and prepares the answer. om_search_end must follow in either case. */
bool om_search_run(om_searcher *s, om_failure *f);
void om_search_end(om_searcher *s);
#endif
