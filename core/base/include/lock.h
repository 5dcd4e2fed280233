/* lock.h - ranked locks. Debug builds check that a thread takes them in rising order of rank.
 * Depends on: base.h.  The order table is in core/engine/README.md.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_LOCK_H
#define OM_LOCK_H
#include <pthread.h>

#include "base.h"

#if defined(__clang__)
#define OM_CAPABILITY(x) __attribute__((capability(x)))
#define OM_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define OM_ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define OM_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define OM_NO_LOCK_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define OM_CAPABILITY(x)
#define OM_REQUIRES(...)
#define OM_ACQUIRE(...)
#define OM_RELEASE(...)
#define OM_NO_LOCK_ANALYSIS
#endif

typedef struct OM_CAPABILITY("mutex") om_mutex {
    pthread_mutex_t mutex;
    uint32_t rank;
} om_mutex;
omen_status_t om_mutex_init(om_mutex *mutex, uint32_t rank, omen_error *err);
void om_mutex_destroy(om_mutex *mutex);
void om_mutex_lock(om_mutex *mutex) OM_ACQUIRE(*mutex);
void om_mutex_unlock(om_mutex *mutex) OM_RELEASE(*mutex);

typedef struct om_cond {
    pthread_cond_t cond;
} om_cond;
omen_status_t om_cond_init(om_cond *cond, omen_error *err);
void om_cond_destroy(om_cond *cond);
/* Waits; may wake early. deadline_ns (om_now_ns time) 0: none. False when the deadline passed. */
bool om_cond_wait(om_cond *cond, om_mutex *mutex, uint64_t deadline_ns) OM_REQUIRES(*mutex);
void om_cond_broadcast(om_cond *cond);

typedef struct OM_CAPABILITY("rwlock") om_rwlock {
    pthread_rwlock_t lock;
    uint32_t rank;
} om_rwlock;
omen_status_t om_rwlock_init(om_rwlock *lock, uint32_t rank, omen_error *err);
void om_rwlock_destroy(om_rwlock *lock);
void om_rwlock_read(om_rwlock *lock) OM_ACQUIRE(*lock);
void om_rwlock_write(om_rwlock *lock) OM_ACQUIRE(*lock);
void om_rwlock_unlock(om_rwlock *lock) OM_RELEASE(*lock);
#endif
