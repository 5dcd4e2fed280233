/* pool.h - worker threads with a bounded queue that knows deadlines, and jobs that wait.
 * Depends on: nothing.  Threads: any, but start and free.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_POOL_H
#define OM_POOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct om_pool om_pool;
/* Embedded in what it works on; the pool never allocates. `expired`: the deadline passed before a
 * worker came to it. The job may be submitted again from inside run. */
typedef struct om_job {
    void (*run)(struct om_job *job, bool expired);
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
    uint64_t queued_ns;   /* set by submit            */
    uint64_t due_ns;      /* set by submit_later      */
    struct om_job *next;
} om_job;

uint64_t om_pool_now_ns(void); /* CLOCK_MONOTONIC */
/* NULL: no threads or no memory. capacity: jobs of om_pool_submit that may wait. */
om_pool *om_pool_start(const char *name, uint32_t threads, uint32_t capacity);
/* Queues a job. False: the queue is full; nothing happened. */
bool om_pool_submit(om_pool *pool, om_job *job);
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
