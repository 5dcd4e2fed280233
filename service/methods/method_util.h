/* method_util.h - what several methods need: the collection of a call, failures out of the engine.
 * Depends on: rpc.h, rt_shared.h, colls.h.  Threads: see rpc.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METHOD_UTIL_H
#define OM_METHOD_UTIL_H
#include "colls.h"
#include "filters.h"
#include "rpc.h"
#include "rt_shared.h"

/* [any] Whether the caller may do to this collection what the method does. A collection that one
 * may not see is PERMISSION_DENIED whether it exists or not: names tell things too. */
bool om_method_may(om_rpc *rpc, const char *name, om_failure *f);
/* [any] The collection, when the caller may; NULL with *f filled. */
om_coll *om_method_find(om_rpc *rpc, const char *name, om_failure *f);
/* The same, and the call is about it. One thread at a time. */
om_coll *om_method_coll(om_rpc *rpc, const char *name, om_failure *f);
/* Ends the call with what the engine reported. */
void om_method_fail_engine(om_rpc *rpc, const omen_error *err);
/* Whether the log of the database has failed: then *f says UNAVAILABLE, since the server is about to be
 * started again. */
bool om_method_db_failed(const om_rt_shared *shared, om_failure *f);
/* The job is of the call's tenant: which lane of a pool it waits in, and with which weight. */
void om_method_lane(const om_rpc *rpc, om_job *job);
/* Gives a job with its deadline set to a pool, which holds the call until om_rpc_release at the end of
 * run. When the queue is full, or longer than the deadline, the call is ended at once. Last thing to
 * do in an actor's function: the job may have ended the call before this returns. */
void om_method_submit(om_rpc *rpc, om_pool *pool, om_job *job, const char *what);
/* RESOURCE_EXHAUSTED / ANSWERS. */
void om_method_answers_full(om_failure *f);
/* Ends the call: there is no room for it now. */
void om_method_fail_full(om_rpc *rpc, const char *what);
/* Ends the call: its deadline passed while it waited. */
void om_method_fail_expired(om_rpc *rpc);
/* The filter of an unpacked request, and what it points to in the call's arena: *out has text NULL when there
 * is none. */
typedef struct om_method_filter {
    const char *text;
    Omen__V1__Value *const *values;
    size_t value_count;
} om_method_filter;
bool om_method_filter_source(om_rpc *rpc, const om_method_filter *in, omen_collection *collection,
                             om_filter_source *out, om_failure *f);
/* INVALID_ARGUMENT: parameters without a filter. */
bool om_method_stray_params(om_failure *f);
/* Names of fields in an unpacked request: how many and how long. */
bool om_method_check_names(const char *field, char *const *names, size_t count, om_failure *f);
/* min_version of calls whose engine function has none: OK when everything up to it is visible; waits
 * until then, the deadline or the cancel. Blocks: not for queue threads, unless version is 0. */
omen_status_t om_method_wait_visible(om_rpc *rpc, om_coll *coll, uint64_t version, omen_error *err);
#endif
