/* plan.c - which way a filtered search of a segment takes, by what each would cost on this machine.
 * Depends on: base, graph.  SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include <math.h>

/* Few rows are read at once, whatever the costs say: their order by code is certain. */
#define FEW_MATCHES 256u
/* Distances of an unfiltered search by the entries of its beam, before one was counted. */
#define DISTANCES_A_CANDIDATE 14.0
/* Where so many pass, what is not near is nowhere. */
#define IN_SHARE 0.5
/* Where fewer pass, passing slots are not connected even over neighbours of neighbours: recall 0.96 at 1 %
 * of a million rows, 0.89 at 0.5 %. */
#define BRIDGE_SHARE 0.01
/* A scan costs what it costs and finds all; a walk may have to be given up, and costs both then. */
#define SURE 1.3
/* Room in the beam, against the candidates that are expected to be expanded, and those that k of are expected
 * to pass. */
#define ROOM 2.0

/* Costs by bytes, in nanoseconds: from the third level cache and memory of a server of 2024. */
#define GATHERED_FIXED 5.0
#define GATHERED_A_BYTE 0.023
#define WALKED_FIXED 9.0
#define WALKED_A_BYTE 0.016

om_plan_costs om_plan_guess(size_t stride)
{
    double bytes = (double)stride;
    return (om_plan_costs){(float)(GATHERED_FIXED + GATHERED_A_BYTE * bytes),
                           (float)(WALKED_FIXED + WALKED_A_BYTE * bytes)};
}

static uint32_t room_for(const om_plan_input *in, double horizon, double share)
{
    double room = ROOM * fmax(horizon, (double)in->k / share);
    double most = (double)in->rows < OMEN_MAX_EF ? (double)in->rows : (double)OMEN_MAX_EF;
    room = room < most ? room : most;
    return om_max_u32((uint32_t)room, in->ef);
}

void om_plan_choose(const om_plan_input *in, om_plan *out)
{
    *out = (om_plan){.plan = OMEN_PLAN_EMPTY};
    if (in->matches == 0 || in->rows == 0) {
        return;
    }
    om_plan_costs costs = in->costs;
    if (!(costs.gathered > 0) || !(costs.walked > 0)) {
        costs = om_plan_guess(in->stride);
    }
    double share = (double)om_min_u64(in->matches, in->rows) / (double)in->rows;
    double distances = in->distances > 0 ? in->distances : DISTANCES_A_CANDIDATE * in->ef;
    double horizon = om_graph_horizon(in->ef, in->k, share);
    double scan = (double)in->matches * (double)costs.gathered;
    double walk =
        om_graph_filtered_distances(distances, in->ef, in->k, share) * (double)costs.walked;
    double among = om_graph_bridge_distances(in->ef) * (double)costs.walked;
    bool few = in->matches <= om_max_u32(FEW_MATCHES, 2 * in->k);
    /* Few are all drawn as seeds. */
    bool bridges =
        share < IN_SHARE && (in->matches <= FEW_MATCHES || (share >= BRIDGE_SHARE && among < walk));
    if (!in->graph_only && (few || scan <= SURE * (bridges ? among : walk))) {
        out->plan = OMEN_PLAN_EXACT;
        return;
    }
    out->plan = bridges             ? OMEN_PLAN_FILTER_BRIDGE
                : share >= IN_SHARE ? OMEN_PLAN_FILTER_IN
                                    : OMEN_PLAN_FILTER_HOP;
    out->ef = in->ef;
    out->beam = room_for(in, horizon, share);
    out->budget = in->graph_only ? UINT64_MAX : (uint64_t)(scan / (double)costs.walked) + in->ef;
}
