/* executor.h - a parallel for, as an interface: core/os implements it with a pool of threads.
 * Depends on: base.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_EXECUTOR_H
#define OM_EXECUTOR_H
#include "base.h"

/* Task `task` of a parallel for, run by worker `worker` (< threads; one task of a worker at a time). */
typedef void (*om_task_fn)(void *ctx, uint32_t worker, uint32_t task);

typedef struct om_executor {
    uint32_t threads; /* workers, the calling thread included; >= 1 */
    /* Runs fn for tasks 0 .. tasks-1, in any order, and returns when all are done. The caller works too
     * (as worker 0). Calls from different threads do not deadlock: they share the workers. */
    void (*run)(struct om_executor *self, om_task_fn fn, void *ctx, uint32_t tasks);
} om_executor;

/* Everything on the calling thread, as worker 0. */
extern om_executor om_executor_serial;
#endif
