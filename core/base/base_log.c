/* base_log.c - messages to the caller's hook. SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "log.h"

enum { MAX_MESSAGE = 512 }; /* longer ones are cut */

void om_log_write(const om_log *log, int32_t level, const char *module, const char *format, ...)
{
    if (log == NULL || log->fn == NULL || level > log->level || level <= OMEN_LOG_OFF) {
        return;
    }
    char text[MAX_MESSAGE];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length >= 0) {
        log->fn(log->ctx, level, module, text,
                (size_t)om_min_u64((uint64_t)length, sizeof text - 1));
    }
}
