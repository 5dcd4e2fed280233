/* plan.h - how a filtered search of one segment is answered: exactly, or by which walk over the graph.
 * Depends on: base.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_PLAN_H
#define OM_PLAN_H
#include "base.h"

/* Costs on this machine for one length of codes, in nanoseconds: measured once (calibrate), then read. */
typedef struct om_plan_costs {
    float gathered; /* a code read by its slot, rolling prefetch  */
    float walked;   /* a distance within the graph, its share of links and beam included */
} om_plan_costs;
typedef struct om_plan_input {
    uint64_t rows, matches; /* of the segment's graph; matches are counted, live */
    uint32_t k, ef;         /* ef: of an unfiltered search */
    double distances;       /* that an unfiltered search makes at this ef (a moving mean; 0: not known) */
    om_plan_costs costs;
    bool graph_only; /* OMEN_GRAPH_ONLY: never exact unless nothing else can answer */
} om_plan_input;
typedef struct om_plan {
    uint32_t plan; /* OMEN_PLAN_* */
    uint32_t ef;
    uint64_t budget; /* distances after which a walk is abandoned for the exact scan */
} om_plan;
void om_plan_choose(const om_plan_input *input, om_plan *out);
#endif
