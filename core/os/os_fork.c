/* os_fork.c - counts forks, so that a child recognises handles of its parent. Threads and locks of the
 * parent do not exist in the child, therefore such handles are refused there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>

#include "os.h"

static _Atomic uint32_t generation;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void register_handler(void)
{
    /* It fails only without memory; handles of a parent are not recognised then. */
    (void)pthread_atfork(NULL, NULL, in_child);
}

uint32_t om_fork_generation(void)
{
    (void)pthread_once(&once, register_handler);
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
