/* searcher.h - one search from its parsed request to the bytes of its SearchResponse.
 * Depends on: search_reader.h, colls.h, fetch.h, rt_shared.h.  Threads: any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SEARCHER_H
#define OM_SEARCHER_H
#include "fetch.h"
#include "method_util.h"
#include "search_reader.h"

typedef struct om_searcher {
    om_rt_shared *shared;
    om_coll *coll;
    const om_rpc *rpc; /* the call that it belongs to; NULL: it is the console's */
    const om_wire_search *request;
    om_arena *arena;     /* results are built here; its limit is raised as needed */
    omen_op *op;         /* may be NULL                                           */
    uint64_t timeout_us; /* 0: none                                               */
    uint64_t queue_ns;
    uint64_t engine_ns; /* set                                                   */
    /* set by om_search_run: what to write, and how many bytes that takes */
    om_wire_hits hits;
    size_t size;
    /* Results, as long as the arena. */
    uint64_t *keys;
    float *distances, *scores; /* one of them is the answer's */
    uint32_t *groups;
    omen_explain explain;
    om_slow_search noted;               /* for the slow log */
    omen_filter_explain filter_explain; /* of rich requests */
    omen_filter *filter;                /* freed by om_search_end, as all below */
    omen_rows *rows;
    om_fetched *fetched; /* NULL: no metadata */
    om_facets *facets;   /* NULL: none */
} om_searcher;

/* Shape of the request against the collection. False: *f says why. */
bool om_search_check(const om_wire_search *request, const om_coll *coll, om_failure *f);
/* Searches and prepares the answer. om_search_end must follow in either case. */
bool om_search_run(om_searcher *s, om_failure *f);
void om_search_end(om_searcher *s);

/* The engine's part (finder.c): hits, distances or scores, explain. */
bool om_search_find(om_searcher *s, om_failure *f);
/* Hits of a group, and the most hits of the request. */
uint32_t om_search_capacity(const om_wire_search *request);
#endif
