/* engine_worker.c - a thread of a database on disk that does rounds of work: it wakes when it is told, and
 * once in a while. A round that fails is tried again later, each time after twice as long.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine_disk.h"

#define TICK_NS UINT64_C(2000000000)
#define FIRST_DELAY_NS UINT64_C(100000000)
#define LAST_DELAY_NS UINT64_C(30000000000)

bool om_worker_stopping(const om_worker *worker)
{
    return atomic_load(&worker->cancel.cancelled) != 0;
}

static void note_outcome(om_worker *worker, omen_status_t status, const omen_error *err)
{
    if (status == OMEN_OK || om_worker_stopping(worker)) {
        worker->delay_ns = 0;
        worker->not_before_ns = 0;
        return;
    }
    uint64_t delay = worker->delay_ns == 0 ? FIRST_DELAY_NS : worker->delay_ns * 2;
    worker->delay_ns = om_min_u64(delay, LAST_DELAY_NS);
    worker->not_before_ns = om_now_ns() + worker->delay_ns;
    om_log_write(&worker->db->rt->log, OMEN_LOG_WARN, "engine",
                 "%s: work in the background is tried again in %llu ms: %s",
                 worker->db->disk->folder.text, (unsigned long long)(worker->delay_ns / 1000000),
                 err->message);
    if (err->detail == OMEN_D_DISK_FULL) {
        om_disk_watch(worker->db);
    }
}

static void run(void *ctx)
{
    om_worker *worker = ctx;
    om_mutex_lock(&worker->mu);
    while (!worker->stop) {
        if (!worker->notified) {
            (void)om_cond_wait(&worker->wake, &worker->mu, om_now_ns() + TICK_NS);
        }
        /* After a failure nobody hurries it. */
        while (!worker->stop && om_now_ns() < worker->not_before_ns) {
            (void)om_cond_wait(&worker->wake, &worker->mu, worker->not_before_ns);
        }
        if (worker->stop) {
            break;
        }
        worker->notified = false;
        om_mutex_unlock(&worker->mu);
        omen_error err = {0};
        note_outcome(worker, worker->round(worker, &err), &err);
        om_mutex_lock(&worker->mu);
    }
    om_mutex_unlock(&worker->mu);
}

omen_status_t om_worker_start(om_worker *worker, const char *name, omen_error *err)
{
    omen_status_t status = om_mutex_init(&worker->mu, OM_RANK_KEEPER, err);
    if (status != OMEN_OK) {
        return status;
    }
    if ((status = om_cond_init(&worker->wake, err)) != OMEN_OK) {
        goto no_cond;
    }
    status = om_thread_create(&worker->db->rt->alloc, name, run, worker, &worker->thread, err);
    if (status == OMEN_OK) {
        return OMEN_OK;
    }
    om_cond_destroy(&worker->wake);
no_cond:
    om_mutex_destroy(&worker->mu);
    return status;
}

void om_worker_stop(om_worker *worker)
{
    if (worker->thread == NULL) {
        return;
    }
    atomic_store(&worker->cancel.cancelled, 1);
    om_mutex_lock(&worker->mu);
    worker->stop = true;
    om_cond_broadcast(&worker->wake);
    om_mutex_unlock(&worker->mu);
    om_thread_join(worker->thread);
    worker->thread = NULL;
}

void om_worker_destroy(om_worker *worker)
{
    om_worker_stop(worker);
    om_cond_destroy(&worker->wake);
    om_mutex_destroy(&worker->mu);
}

void om_worker_notify(om_worker *worker)
{
    om_mutex_lock(&worker->mu);
    worker->notified = true;
    om_cond_broadcast(&worker->wake);
    om_mutex_unlock(&worker->mu);
}
