/* lanes.h - the queue of a pool: jobs in lanes that share time by their weights. No threads and no
 * clock in it.
 * Depends on: pool.h.  Threads: one at a time.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_LANES_H
#define OM_LANES_H
#include "pool.h"

typedef struct om_lane {
    om_job *head, **tail;
    uint32_t queued, weight;
    uint32_t place;   /* in om_lanes.active, while queued > 0                                  */
    uint64_t pass_ns; /* the time its jobs took, divided by its weight: who has least is next  */
    uint64_t mean_ns; /* smoothed time of a job                                                */
} om_lane;

typedef struct om_lanes {
    om_lane lane[OM_POOL_LANES];
    uint16_t active[OM_POOL_LANES]; /* lanes with jobs */
    uint32_t active_count, queued;
    uint64_t pass_ns; /* of the lane served last: where a lane begins that had nothing to do */
} om_lanes;

/* What a job that was taken out was charged in advance. */
typedef struct om_lane_bill {
    uint32_t lane, weight;
    uint64_t ns;
} om_lane_bill;

void om_lanes_init(om_lanes *lanes);
void om_lanes_push(om_lanes *lanes, om_job *job);
/* The next job, NULL: none. Its lane pays what its jobs usually take, so that several workers do not
 * all serve the same one. */
om_job *om_lanes_pop(om_lanes *lanes, om_lane_bill *bill);
/* The job took ns; 0: it did not run. */
void om_lanes_settle(om_lanes *lanes, const om_lane_bill *bill, uint64_t ns);
/* Whether one more job of this lane may wait when `capacity` jobs may. */
bool om_lanes_room(const om_lanes *lanes, const om_job *job, uint32_t capacity);
/* The time until `workers` threads come to the job if it is pushed now, as far as the queue tells: at
 * most what is expected, since jobs that run already are left out. */
uint64_t om_lanes_wait_ns(const om_lanes *lanes, const om_job *job, uint32_t workers);
#endif
