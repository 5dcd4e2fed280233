/* pool.c - worker threads. One mutex: a job is worth tens of microseconds at least.
 * SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"
#include "lanes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 1024 };

struct om_pool {
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* a job, a timer or the end                               */
    om_lanes lanes;      /* guarded by mutex, as all below                          */
    om_job *waiting;     /* by due_ns                                               */
    uint32_t capacity;
    uint32_t idle;
    bool stopping;
    _Atomic uint64_t queued_now, running_now; /* for polls                          */
    uint32_t threads;
    char name[16];
    pthread_t thread[];
};

uint64_t om_pool_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* For polls; the mutex is held. */
static void note_queued(om_pool *p)
{
    atomic_store_explicit(&p->queued_now, p->lanes.queued, memory_order_relaxed);
}

static void append(om_pool *p, om_job *job)
{
    om_lanes_push(&p->lanes, job);
    note_queued(p);
}

/* Moves jobs whose time has come to the queue. Returns when the next one is due; 0: none waits. */
static uint64_t collect_due(om_pool *p, uint64_t now)
{
    while (p->waiting != NULL && (p->stopping || p->waiting->due_ns <= now)) {
        om_job *job = p->waiting;
        p->waiting = job->next;
        append(p, job);
    }
    return p->waiting != NULL ? p->waiting->due_ns : 0;
}

/* The next job, waiting for it; NULL: the pool ends. Called and left with the mutex held. */
static om_job *next_job(om_pool *p, om_lane_bill *bill)
{
    for (;;) {
        uint64_t due = p->waiting != NULL ? collect_due(p, om_pool_now_ns()) : 0;
        om_job *job = om_lanes_pop(&p->lanes, bill);
        if (job != NULL) {
            note_queued(p);
            if (p->lanes.queued > 0 && p->idle > 0) {
                pthread_cond_signal(&p->wake);
            }
            return job;
        }
        if (p->stopping) {
            return NULL;
        }
        p->idle++;
        if (due == 0) {
            pthread_cond_wait(&p->wake, &p->mutex);
        } else {
            struct timespec at = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)};
            pthread_cond_timedwait(&p->wake, &p->mutex, &at);
        }
        p->idle--;
    }
}

static void *work(void *arg)
{
    om_pool *p = arg;
    pthread_setname_np(pthread_self(), p->name);
    pthread_mutex_lock(&p->mutex);
    om_job *job = NULL;
    om_lane_bill bill;
    while ((job = next_job(p, &bill)) != NULL) {
        pthread_mutex_unlock(&p->mutex);
        atomic_fetch_add_explicit(&p->running_now, 1, memory_order_relaxed);
        uint64_t start = om_pool_now_ns();
        bool expired = job->deadline_ns != 0 && start >= job->deadline_ns;
        job->run(job, expired); /* afterwards there may be no job any more */
        uint64_t took = expired ? 0 : om_pool_now_ns() - start;
        atomic_fetch_sub_explicit(&p->running_now, 1, memory_order_relaxed);
        pthread_mutex_lock(&p->mutex);
        om_lanes_settle(&p->lanes, &bill, took);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

om_pool *om_pool_start(const char *name, uint32_t threads, uint32_t capacity)
{
    if (threads == 0 || threads > MAX_THREADS) {
        return NULL;
    }
    om_pool *p = calloc(1, sizeof *p + threads * sizeof p->thread[0]);
    if (p == NULL) {
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&p->mutex, NULL);
    om_lanes_init(&p->lanes);
    p->capacity = capacity;
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    while (p->threads < threads) {
        if (pthread_create(&p->thread[p->threads], NULL, work, p) != 0) {
            om_pool_free(p);
            return NULL;
        }
        p->threads++;
    }
    return p;
}

/* Whether a job may wait; the mutex is held. */
static om_pool_answer judge(om_pool *p, const om_job *job, uint64_t *wait_ns)
{
    *wait_ns = p->lanes.queued > 0 ? om_lanes_wait_ns(&p->lanes, job, p->threads) : 0;
    if (!om_lanes_room(&p->lanes, job, p->capacity)) {
        return OM_POOL_FULL;
    }
    bool late = job->deadline_ns != 0 && job->queued_ns + *wait_ns > job->deadline_ns;
    return late && *wait_ns > 0 ? OM_POOL_LATE : OM_POOL_TAKEN;
}

om_pool_answer om_pool_submit(om_pool *p, om_job *job, uint64_t *wait_ns)
{
    uint64_t wait = 0;
    job->queued_ns = om_pool_now_ns();
    pthread_mutex_lock(&p->mutex);
    om_pool_answer answer = judge(p, job, &wait);
    if (answer == OM_POOL_TAKEN) {
        append(p, job);
    }
    bool wake = answer == OM_POOL_TAKEN && p->idle > 0;
    pthread_mutex_unlock(&p->mutex);
    if (wake) {
        pthread_cond_signal(&p->wake);
    }
    if (wait_ns != NULL) {
        *wait_ns = wait;
    }
    return answer;
}

bool om_pool_has_room(om_pool *p, const om_job *job)
{
    pthread_mutex_lock(&p->mutex);
    bool room = om_lanes_room(&p->lanes, job, p->capacity);
    pthread_mutex_unlock(&p->mutex);
    return room;
}

void om_pool_submit_always(om_pool *p, om_job *job)
{
    job->queued_ns = om_pool_now_ns();
    pthread_mutex_lock(&p->mutex);
    append(p, job);
    bool wake = p->idle > 0;
    pthread_mutex_unlock(&p->mutex);
    if (wake) {
        pthread_cond_signal(&p->wake);
    }
}

void om_pool_submit_later(om_pool *p, om_job *job, uint64_t delay_ns)
{
    job->queued_ns = om_pool_now_ns();
    job->due_ns = job->queued_ns + delay_ns;
    pthread_mutex_lock(&p->mutex);
    om_job **at = &p->waiting;
    while (*at != NULL && (*at)->due_ns <= job->due_ns) {
        at = &(*at)->next;
    }
    job->next = *at;
    *at = job;
    pthread_mutex_unlock(&p->mutex);
    /* An idle worker may sleep past the new time: let one look again. */
    pthread_cond_signal(&p->wake);
}

uint64_t om_pool_queued(const om_pool *p)
{
    return atomic_load_explicit(&p->queued_now, memory_order_relaxed);
}

uint64_t om_pool_running(const om_pool *p)
{
    return atomic_load_explicit(&p->running_now, memory_order_relaxed);
}

void om_pool_free(om_pool *p)
{
    if (p == NULL) {
        return;
    }
    pthread_mutex_lock(&p->mutex);
    p->stopping = true;
    pthread_mutex_unlock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    for (uint32_t i = 0; i < p->threads; i++) {
        pthread_join(p->thread[i], NULL);
    }
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}
