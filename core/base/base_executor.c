/* base_executor.c - the executor that has no threads. SPDX-License-Identifier: Apache-2.0 */
#include "executor.h"

static void run_serial(om_executor *self, om_task_fn fn, void *ctx, uint32_t tasks)
{
    (void)self;
    for (uint32_t task = 0; task < tasks; task++) {
        fn(ctx, 0, task);
    }
}

om_executor om_executor_serial = {.threads = 1, .run = run_serial};
