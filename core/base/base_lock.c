/* base_lock.c - ranked locks; with OMEN_ASSERT a thread that takes them out of order fails at once,
 * whether or not a deadlock would have come of it this time. SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <time.h>

#include "lock.h"

#if defined(OMEN_ASSERT) && OMEN_ASSERT >= 1
enum { MAX_HELD = 32 };
static _Thread_local uint32_t held_ranks[MAX_HELD];
static _Thread_local uint32_t held_count;

/* Checked before the lock is taken: the report must not depend on bad luck with another thread. */
static void rank_push(uint32_t rank)
{
    om_assert(held_count < MAX_HELD);
    om_assert(held_count == 0 || held_ranks[held_count - 1] < rank);
    held_ranks[held_count++] = rank;
}

static void rank_pop(uint32_t rank)
{
    uint32_t at = held_count;
    while (at > 0 && held_ranks[at - 1] != rank) {
        at--;
    }
    om_assert(at > 0);
    for (; at < held_count; at++) {
        held_ranks[at - 1] = held_ranks[at];
    }
    held_count--;
}
#else
static inline void rank_push(uint32_t rank)
{
    (void)rank;
}
static inline void rank_pop(uint32_t rank)
{
    (void)rank;
}
#endif

/* The calls below fail only when the caller broke a rule (a lock that was never made, or is not held). */
static inline void must_succeed(int failed)
{
    om_assert(failed == 0);
    (void)failed;
}

static omen_status_t init_result(int failed, const char *what, omen_error *err)
{
    if (failed != 0) {
        return om_fail_errno(err, OMEN_RESOURCE_EXHAUSTED, failed, "cannot make a %s", what);
    }
    return OMEN_OK;
}

omen_status_t om_mutex_init(om_mutex *mutex, uint32_t rank, omen_error *err)
{
    mutex->rank = rank;
    return init_result(pthread_mutex_init(&mutex->mutex, NULL), "mutex", err);
}

void om_mutex_destroy(om_mutex *mutex)
{
    must_succeed(pthread_mutex_destroy(&mutex->mutex));
}

void om_mutex_lock(om_mutex *mutex) OM_NO_LOCK_ANALYSIS
{
    rank_push(mutex->rank);
    must_succeed(pthread_mutex_lock(&mutex->mutex));
}

void om_mutex_unlock(om_mutex *mutex) OM_NO_LOCK_ANALYSIS
{
    rank_pop(mutex->rank);
    must_succeed(pthread_mutex_unlock(&mutex->mutex));
}

omen_status_t om_cond_init(om_cond *cond, omen_error *err)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (failed == 0) {
        failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        if (failed == 0) {
            failed = pthread_cond_init(&cond->cond, &attributes);
        }
        must_succeed(pthread_condattr_destroy(&attributes));
    }
    return init_result(failed, "condition", err);
}

void om_cond_destroy(om_cond *cond)
{
    must_succeed(pthread_cond_destroy(&cond->cond));
}

bool om_cond_wait(om_cond *cond, om_mutex *mutex, uint64_t deadline_ns)
{
    if (deadline_ns == 0) {
        must_succeed(pthread_cond_wait(&cond->cond, &mutex->mutex));
        return true;
    }
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / UINT64_C(1000000000)),
                             .tv_nsec = (long)(deadline_ns % UINT64_C(1000000000))};
    int failed = pthread_cond_timedwait(&cond->cond, &mutex->mutex, &until);
    om_assert(failed == 0 || failed == ETIMEDOUT);
    return failed != ETIMEDOUT;
}

void om_cond_broadcast(om_cond *cond)
{
    must_succeed(pthread_cond_broadcast(&cond->cond));
}

omen_status_t om_rwlock_init(om_rwlock *lock, uint32_t rank, omen_error *err)
{
    pthread_rwlockattr_t attributes;
    lock->rank = rank;
    int failed = pthread_rwlockattr_init(&attributes);
    if (failed == 0) {
        /* Many short readers would starve a writer under the default of the C library. */
        (void)pthread_rwlockattr_setkind_np(&attributes,
                                            PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        failed = pthread_rwlock_init(&lock->lock, &attributes);
        must_succeed(pthread_rwlockattr_destroy(&attributes));
    }
    return init_result(failed, "read-write lock", err);
}

void om_rwlock_destroy(om_rwlock *lock)
{
    must_succeed(pthread_rwlock_destroy(&lock->lock));
}

void om_rwlock_read(om_rwlock *lock) OM_NO_LOCK_ANALYSIS
{
    rank_push(lock->rank);
    must_succeed(pthread_rwlock_rdlock(&lock->lock));
}

void om_rwlock_write(om_rwlock *lock) OM_NO_LOCK_ANALYSIS
{
    rank_push(lock->rank);
    must_succeed(pthread_rwlock_wrlock(&lock->lock));
}

void om_rwlock_unlock(om_rwlock *lock) OM_NO_LOCK_ANALYSIS
{
    rank_pop(lock->rank);
    must_succeed(pthread_rwlock_unlock(&lock->lock));
}
