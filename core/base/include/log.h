/* log.h - messages to the caller's hook; never to stderr, never on a hot path.
 * Depends on: base.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_LOG_H
#define OM_LOG_H
#include "base.h"

typedef struct om_log {
    omen_log_fn fn; /* NULL: silence */
    void *ctx;
    int32_t level;
} om_log;
void om_log_write(const om_log *log, int32_t level, const char *module, const char *format, ...)
    OM_PRINTF(4, 5);
#endif
