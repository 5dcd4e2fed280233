/* observe.h - the parts of observation together: history, slow calls, recall monitor, and the thread
 * that ticks.
 * Depends on: history.h, slow.h, recall.h.  Threads: start, attach and stop: one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_OBSERVE_H
#define OM_OBSERVE_H
#include "history.h"
#include "recall.h"
#include "slow.h"

typedef struct om_observe {
    om_history *history;
    om_slow *slow;
    om_recall *recall; /* NULL: off */
    struct om_observe_thread *thread;
} om_observe;

typedef struct om_observe_options {
    om_metrics *metrics; /* outlives it */
    om_slog *log;        /* likewise */
    uint32_t recall_sample, recall_permille;
} om_observe_options;
/* False: no memory or no thread; stop it all the same. */
bool om_observe_start(om_observe *observe, const om_observe_options *options);
/* Where the history's gauges come from, once the transport runs; NULL before it goes. */
void om_observe_attach(om_observe *observe, om_history_look look, void *ctx);
/* The recall monitor holds collections: stop before the database is closed. */
void om_observe_stop(om_observe *observe);
#endif
