/* lanes.c - weighted fair queueing by measured time. Counting jobs would not be fair: one search may take a
 * thousand times as long as another. SPDX-License-Identifier: Apache-2.0 */
#include "lanes.h"

#include <string.h>

enum { SMOOTH = 8, FIRST_NS = 50000 /* what a lane's first job is charged */ };

void om_lanes_init(om_lanes *l)
{
    memset(l, 0, sizeof *l);
    for (uint32_t i = 0; i < OM_POOL_LANES; i++) {
        l->lane[i].tail = &l->lane[i].head;
        l->lane[i].weight = 1;
    }
}

static uint32_t weight_of(const om_job *job)
{
    return job->weight > 0 ? job->weight : 1;
}

/* Time that a lane did not use is not kept: who rested for an hour must not have the next hour alone. */
static void activate(om_lanes *l, uint32_t index)
{
    om_lane *lane = &l->lane[index];
    lane->pass_ns = lane->pass_ns > l->pass_ns ? lane->pass_ns : l->pass_ns;
    lane->place = l->active_count;
    l->active[l->active_count++] = (uint16_t)index;
}

static void deactivate(om_lanes *l, uint32_t index)
{
    uint16_t last = l->active[--l->active_count];
    l->active[l->lane[index].place] = last;
    l->lane[last].place = l->lane[index].place;
}

void om_lanes_push(om_lanes *l, om_job *job)
{
    uint32_t index = job->lane % OM_POOL_LANES;
    om_lane *lane = &l->lane[index];
    lane->weight = weight_of(job);
    if (lane->queued == 0) {
        activate(l, index);
    }
    job->next = NULL;
    *lane->tail = job;
    lane->tail = &job->next;
    lane->queued++;
    l->queued++;
}

static uint32_t next_lane(const om_lanes *l)
{
    uint32_t best = l->active[0];
    for (uint32_t i = 1; i < l->active_count; i++) {
        uint32_t at = l->active[i];
        if (l->lane[at].pass_ns < l->lane[best].pass_ns) {
            best = at;
        }
    }
    return best;
}

om_job *om_lanes_pop(om_lanes *l, om_lane_bill *bill)
{
    if (l->active_count == 0) {
        return NULL;
    }
    uint32_t index = next_lane(l);
    om_lane *lane = &l->lane[index];
    om_job *job = lane->head;
    lane->head = job->next;
    lane->tail = lane->head == NULL ? &lane->head : lane->tail;
    lane->queued--;
    l->queued--;
    if (lane->queued == 0) {
        deactivate(l, index);
    }
    l->pass_ns = lane->pass_ns > l->pass_ns ? lane->pass_ns : l->pass_ns;
    *bill = (om_lane_bill){index, lane->weight, lane->mean_ns > 0 ? lane->mean_ns : FIRST_NS};
    lane->pass_ns += bill->ns / bill->weight;
    return job;
}

void om_lanes_settle(om_lanes *l, const om_lane_bill *bill, uint64_t ns)
{
    om_lane *lane = &l->lane[bill->lane];
    lane->pass_ns = lane->pass_ns - bill->ns / bill->weight + ns / bill->weight;
    if (ns > 0) {
        lane->mean_ns =
            lane->mean_ns == 0 ? ns : lane->mean_ns - lane->mean_ns / SMOOTH + ns / SMOOTH;
    }
}

/* The weights of all lanes that would have work if the job were there. */
static uint64_t weights_with(const om_lanes *l, const om_job *job)
{
    uint64_t sum = weight_of(job);
    for (uint32_t i = 0; i < l->active_count; i++) {
        sum += l->active[i] == job->lane % OM_POOL_LANES ? 0 : l->lane[l->active[i]].weight;
    }
    return sum;
}

bool om_lanes_room(const om_lanes *l, const om_job *job, uint32_t capacity)
{
    if (l->queued < capacity) {
        return true;
    }
    uint32_t queued = l->lane[job->lane % OM_POOL_LANES].queued;
    uint64_t share = (uint64_t)capacity * weight_of(job) / weights_with(l, job);
    /* Shares shrink with every lane that comes, those that are taken already do not: hence the second
     * limit. */
    return queued == 0 || (queued < share && l->queued < 2 * (uint64_t)capacity);
}

uint64_t om_lanes_wait_ns(const om_lanes *l, const om_job *job, uint32_t workers)
{
    const om_lane *own = &l->lane[job->lane % OM_POOL_LANES];
    uint64_t ahead = own->queued * own->mean_ns;
    if (ahead == 0) {
        return 0;
    }
    /* Whatever the others have queued, they have no more than their share until this lane is served;
     * when they have less, all of it. */
    uint64_t all = 0;
    for (uint32_t i = 0; i < l->active_count; i++) {
        const om_lane *lane = &l->lane[l->active[i]];
        all += lane->queued * lane->mean_ns;
    }
    uint64_t shared = ahead / weight_of(job) * weights_with(l, job);
    return (shared < all ? shared : all) / workers;
}
