/* method_util.h - what several methods need: the collection of a call, failures out of the engine.
 * Depends on: rpc.h, rt_shared.h, colls.h.  Threads: see rpc.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METHOD_UTIL_H
#define OM_METHOD_UTIL_H
#include "colls.h"
#include "rpc.h"
#include "rt_shared.h"

/* [any] The collection, or NULL with *f filled. */
om_coll *om_method_find(om_rt_shared *shared, const char *name, om_failure *f);
/* The same, and the call is about it. One thread at a time. */
om_coll *om_method_coll(om_rpc *rpc, const char *name, om_failure *f);
/* Ends the call with what the engine reported. */
void om_method_fail_engine(om_rpc *rpc, const omen_error *err);
/* Whether the log of the database has failed: then *f says UNAVAILABLE, since the server is about to be
 * started again. */
bool om_method_db_failed(const om_rt_shared *shared, om_failure *f);
/* Ends the call: its queue is full. */
void om_method_fail_full(om_rpc *rpc, const char *what);
/* Ends the call: its deadline passed while it waited. */
void om_method_fail_expired(om_rpc *rpc);
/* Refuses bound parameters and filters, which this server does not implement. */
bool om_method_no_filter(const char *filter, size_t params, om_failure *f);
/* min_version of calls whose engine function has none: OK when everything up to it is visible; waits
 * until then, the deadline or the cancel. Blocks: not for queue threads, unless version is 0. */
omen_status_t om_method_wait_visible(om_rpc *rpc, om_coll *coll, uint64_t version, omen_error *err);
#endif
