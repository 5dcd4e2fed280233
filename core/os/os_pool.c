/* os_pool.c - a parallel for over a pool of threads that any number of callers share.
 *
 * A job lives on its caller's stack and hangs in the pool's list while it has tasks to give. Task numbers
 * are taken by an atomic add. The caller works too and waits only for tasks that a worker is running, so
 * every caller makes progress even when no worker comes: calls cannot deadlock, nested ones included.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lock.h"
#include "op.h"
#include "os.h"

enum {
    POOL_RANK = 90,
    MAX_THREADS = 4096,
    SPIN_NS = 20000,  /* about what waking a sleeping thread costs */
    SPINS_A_LOOK = 64 /* between two looks at the clock            */
};

typedef struct om_job {
    om_task_fn fn;
    void *ctx;
    uint32_t tasks;
    uint32_t joined;            /* workers inside; guarded by the pool's mutex */
    struct om_job *next, *prev; /* guarded by the pool's mutex */
    bool listed;                /* guarded by the pool's mutex */
    alignas(OM_CACHE_LINE) _Atomic uint32_t next_task;
    alignas(OM_CACHE_LINE) _Atomic uint32_t running; /* = joined, for a caller that spins */
} om_job;

typedef struct om_worker {
    struct om_pool *pool;
    om_thread *thread;
    uint32_t index;
} om_worker;

struct om_pool {
    om_executor executor; /* first: run() finds the pool by it */
    const om_alloc *alloc;
    om_worker *workers;
    uint32_t worker_capacity;
    uint32_t worker_count;  /* started ones; written by the starter, read at the free */
    _Atomic uint32_t start; /* 0: not started, 1: somebody did */
    om_mutex mutex;
    om_cond work;                                  /* a job came, or stop        */
    om_cond done;                                  /* a worker left its job      */
    om_job *jobs;                                  /* guarded by mutex           */
    uint32_t sleeping;                             /* guarded by mutex      */
    bool stop;                                     /* guarded by mutex           */
    alignas(OM_CACHE_LINE) _Atomic uint32_t epoch; /* changes with every new job and at the stop */
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins until (*word == value) is `wanted`, for SPIN_NS at most. Work often comes in bursts: a thread that
 * is still awake takes the next job several times sooner than one that sleeps. */
static void spin_until(_Atomic uint32_t *word, uint32_t value, bool wanted)
{
    uint64_t start = om_now_ns();
    do {
        for (int i = 0; i < SPINS_A_LOOK; i++) {
            if ((atomic_load_explicit(word, memory_order_relaxed) == value) == wanted) {
                return;
            }
            cpu_relax();
        }
    } while (om_now_ns() - start < SPIN_NS);
}

static void list_job(om_pool *pool, om_job *job) OM_REQUIRES(pool->mutex)
{
    job->next = pool->jobs;
    job->prev = NULL;
    if (pool->jobs != NULL) {
        pool->jobs->prev = job;
    }
    pool->jobs = job;
    job->listed = true;
}

static void unlist_job(om_pool *pool, om_job *job) OM_REQUIRES(pool->mutex)
{
    if (!job->listed) {
        return;
    }
    if (job->prev != NULL) {
        job->prev->next = job->next;
    } else {
        pool->jobs = job->next;
    }
    if (job->next != NULL) {
        job->next->prev = job->prev;
    }
    job->listed = false;
}

/* The job with the fewest workers that still has tasks; jobs without are taken off the list. */
static om_job *pick_job(om_pool *pool) OM_REQUIRES(pool->mutex)
{
    om_job *best = NULL;
    om_job *next;
    for (om_job *job = pool->jobs; job != NULL; job = next) {
        next = job->next;
        if (atomic_load_explicit(&job->next_task, memory_order_relaxed) >= job->tasks) {
            unlist_job(pool, job);
        } else if (best == NULL || job->joined < best->joined) {
            best = job;
        }
    }
    return best;
}

/* Runs tasks until none is left; a worker also leaves when the epoch is no longer `epoch`, to see
 * whether a newer job needs it more. */
static void run_tasks(om_pool *pool, om_job *job, uint32_t worker, const uint32_t *epoch)
{
    for (;;) {
        /* next_task may pass tasks by one a participant; MAX_THREADS bounds that. */
        uint32_t task = atomic_fetch_add_explicit(&job->next_task, 1, memory_order_relaxed);
        if (task >= job->tasks) {
            return;
        }
        job->fn(job->ctx, worker, task);
        if (epoch != NULL && atomic_load_explicit(&pool->epoch, memory_order_relaxed) != *epoch) {
            return;
        }
    }
}

/* Works on one job, if there is one. The mutex is held at entry and exit, not in between. */
static bool work_once(om_pool *pool, uint32_t worker) OM_NO_LOCK_ANALYSIS
{
    uint32_t epoch = atomic_load_explicit(&pool->epoch, memory_order_relaxed);
    om_job *job = pick_job(pool);
    if (job == NULL) {
        return false;
    }
    job->joined++;
    atomic_store_explicit(&job->running, job->joined, memory_order_relaxed);
    om_mutex_unlock(&pool->mutex);

    run_tasks(pool, job, worker, &epoch);

    om_mutex_lock(&pool->mutex);
    job->joined--;
    atomic_store_explicit(&job->running, job->joined, memory_order_relaxed);
    if (job->joined == 0) {
        om_cond_broadcast(&pool->done);
    }
    return true;
}

static void worker_main(void *ctx)
{
    om_worker *self = ctx;
    om_pool *pool = self->pool;
    om_mutex_lock(&pool->mutex);
    while (!pool->stop) {
        if (work_once(pool, self->index)) {
            continue;
        }
        uint32_t epoch = atomic_load_explicit(&pool->epoch, memory_order_relaxed);
        om_mutex_unlock(&pool->mutex);
        spin_until(&pool->epoch, epoch, false);
        om_mutex_lock(&pool->mutex);
        while (!pool->stop && atomic_load_explicit(&pool->epoch, memory_order_relaxed) == epoch) {
            pool->sleeping++;
            (void)om_cond_wait(&pool->work, &pool->mutex, 0);
            pool->sleeping--;
        }
    }
    om_mutex_unlock(&pool->mutex);
}

/* The first caller starts the workers; others do not wait for that. When the system gives no more
 * threads, the pool has fewer, and the callers do the rest themselves. */
static void start_workers(om_pool *pool)
{
    uint32_t none = 0;
    if (atomic_load_explicit(&pool->start, memory_order_relaxed) != 0 ||
        !atomic_compare_exchange_strong(&pool->start, &none, 1)) {
        return;
    }
    for (uint32_t i = 0; i < pool->worker_capacity; i++) {
        om_worker *worker = &pool->workers[i];
        char name[32]; /* the thread keeps 15 bytes of it */
        worker->pool = pool;
        worker->index = i + 1;
        (void)snprintf(name, sizeof name, "omen-pool-%u", i + 1);
        if (om_thread_create(pool->alloc, name, worker_main, worker, &worker->thread, NULL) !=
            OMEN_OK) {
            break;
        }
        pool->worker_count = i + 1;
    }
}

static void submit_job(om_pool *pool, om_job *job)
{
    om_mutex_lock(&pool->mutex);
    list_job(pool, job);
    atomic_fetch_add_explicit(&pool->epoch, 1, memory_order_relaxed);
    if (pool->sleeping != 0) {
        om_cond_broadcast(&pool->work);
    }
    om_mutex_unlock(&pool->mutex);
}

/* Returns when no worker is inside any more. Leaving goes through the mutex, so what the tasks wrote is
 * visible to the caller, and the job is no longer reachable. */
static void finish_job(om_pool *pool, om_job *job)
{
    spin_until(&job->running, 0, true);
    om_mutex_lock(&pool->mutex);
    unlist_job(pool, job);
    while (job->joined != 0) {
        (void)om_cond_wait(&pool->done, &pool->mutex, 0);
    }
    om_mutex_unlock(&pool->mutex);
}

static void pool_run(om_executor *self, om_task_fn fn, void *ctx, uint32_t tasks)
{
    om_pool *pool = (om_pool *)(void *)self;
    if (pool->worker_capacity == 0 || tasks <= 1) {
        om_executor_serial.run(&om_executor_serial, fn, ctx, tasks);
        return;
    }
    om_assert(tasks <= UINT32_MAX - MAX_THREADS);
    om_job job = {.fn = fn, .ctx = ctx, .tasks = tasks};
    start_workers(pool);
    submit_job(pool, &job);
    run_tasks(pool, &job, 0, NULL);
    finish_job(pool, &job);
}

omen_status_t om_pool_create(const om_alloc *alloc, uint32_t threads, om_pool **out,
                             omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (threads == 0 || threads > MAX_THREADS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "threads is %u, allowed: 1 to %d",
                       threads, (int)MAX_THREADS);
    }
    om_pool *pool = om_alloc_zero(alloc, 1, sizeof *pool, alignof(om_pool));
    if (pool == NULL) {
        return om_fail_memory(err, "a thread pool", sizeof *pool);
    }
    pool->alloc = alloc;
    pool->executor.threads = threads;
    pool->executor.run = pool_run;
    pool->worker_capacity = threads - 1;
    bool have_mutex = false;
    bool have_work = false;
    pool->workers = om_alloc_zero(alloc, threads, sizeof *pool->workers, alignof(om_worker));
    if (pool->workers == NULL) {
        OM_TRY(om_fail_memory(err, "a thread pool", threads * sizeof *pool->workers));
    }
    OM_TRY(om_mutex_init(&pool->mutex, POOL_RANK, err));
    have_mutex = true;
    OM_TRY(om_cond_init(&pool->work, err));
    have_work = true;
    OM_TRY(om_cond_init(&pool->done, err));
    *out = pool;
    return OMEN_OK;
out:
    if (have_work) {
        om_cond_destroy(&pool->work);
    }
    if (have_mutex) {
        om_mutex_destroy(&pool->mutex);
    }
    om_alloc_put(alloc, pool->workers, threads * sizeof *pool->workers, alignof(om_worker));
    om_alloc_put(alloc, pool, sizeof *pool, alignof(om_pool));
    return status;
}

om_executor *om_pool_executor(om_pool *pool)
{
    return &pool->executor;
}

void om_pool_free(om_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    om_mutex_lock(&pool->mutex);
    om_assert(pool->jobs == NULL);
    pool->stop = true;
    atomic_fetch_add_explicit(&pool->epoch, 1, memory_order_relaxed);
    om_cond_broadcast(&pool->work);
    om_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->worker_count; i++) {
        om_thread_join(pool->workers[i].thread);
    }
    const om_alloc *alloc = pool->alloc;
    uint32_t threads = pool->worker_capacity + 1;
    om_cond_destroy(&pool->done);
    om_cond_destroy(&pool->work);
    om_mutex_destroy(&pool->mutex);
    om_alloc_put(alloc, pool->workers, threads * sizeof *pool->workers, alignof(om_worker));
    om_alloc_put(alloc, pool, sizeof *pool, alignof(om_pool));
}
