/* pool.h - worker threads with a bounded queue that knows deadlines and shares, and jobs that wait.
 * Jobs belong to lanes (tenants). A lane's jobs run in order; the workers' time is divided between the lanes
 * that have work by their weights, so that one with much to do cannot keep the others waiting.
 * Depends on: nothing.  Threads: any, but start and free.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_POOL_H
#define OM_POOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct om_pool om_pool;
enum { OM_POOL_LANES = 1024 };
/* Embedded in what it works on; the pool never allocates. `expired`: the deadline passed before a
 * worker came to it. The job may be submitted again from inside run. */
typedef struct om_job {
    void (*run)(struct om_job *job, bool expired);
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none                    */
    uint64_t queued_ns;   /* set by submit                               */
    uint64_t due_ns;      /* set by submit_later                         */
    uint32_t lane;        /* whose it is, modulo OM_POOL_LANES           */
    uint32_t weight;      /* of the lane, the newest job's counts; 0: 1  */
    struct om_job *next;
} om_job;

typedef enum om_pool_answer {
    OM_POOL_TAKEN, /* it will run                                                               */
    OM_POOL_FULL,  /* the queue is full, and the lane has its share of it: nothing happened       */
    OM_POOL_LATE   /* what is ahead of it takes longer than its deadline allows: nothing happened */
} om_pool_answer;

uint64_t om_pool_now_ns(void); /* CLOCK_MONOTONIC */
/* NULL: no threads or no memory. capacity: jobs of om_pool_submit that may wait; a lane with less than its
 * share of them may pass it, so that twice as many wait at most, and one of each further lane. */
om_pool *om_pool_start(const char *name, uint32_t threads, uint32_t capacity);
/* Queues a job. *wait_ns (NULL: not told) is the time that the jobs ahead of it are expected to take. */
om_pool_answer om_pool_submit(om_pool *pool, om_job *job, uint64_t *wait_ns)
    __attribute__((warn_unused_result));
/* Whether om_pool_submit would find room for a job of this lane. */
bool om_pool_has_room(om_pool *pool, const om_job *job);
/* Queues a job that must run, whatever the queue holds: for work that was admitted before. */
void om_pool_submit_always(om_pool *pool, om_job *job);
/* The same, not before delay_ns from now. */
void om_pool_submit_later(om_pool *pool, om_job *job, uint64_t delay_ns);
/* Waiting and running jobs. */
uint64_t om_pool_queued(const om_pool *pool);
uint64_t om_pool_running(const om_pool *pool);
/* Runs what is queued (waiting jobs at once), then ends the threads. No submits may come afterwards. */
void om_pool_free(om_pool *pool);
#endif
