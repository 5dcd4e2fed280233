/* base_fail.c - failure reports in the caller's omen_error, and names of the public constants.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OM_BASE_FAIL_C
#include "base.h"

#if defined(OMEN_ASSERT) && OMEN_ASSERT >= 1
/* Only builds that check invariants contain this: a release library never aborts. */
_Noreturn void om_assert_failed(const char *expression, const char *file, int line)
{
    char text[512];
    int length =
        snprintf(text, sizeof text, "%s:%d: broken invariant: %s\n", file, line, expression);
    if (length > 0) {
        size_t bytes = om_min_u64((uint64_t)length, sizeof text - 1);
        ssize_t written = write(STDERR_FILENO, text, bytes);
        (void)written; /* Nothing can be done about it on the way out. */
    }
    abort();
}
#endif

/* Whether the same call may succeed later without a change by the caller. */
static uint32_t error_flags(omen_status_t status, int32_t detail)
{
    bool retriable = status == OMEN_UNAVAILABLE;
    if (status == OMEN_RESOURCE_EXHAUSTED) {
        retriable = detail != OMEN_D_LIMIT;
    }
    retriable =
        retriable || detail == OMEN_D_LOCKED || detail == OMEN_D_RATE || detail == OMEN_D_BACKLOG;
    return retriable ? OMEN_ERROR_RETRIABLE : 0;
}

/* A message that was cut must not end inside a UTF-8 sequence: bindings decode it strictly. */
static void trim_utf8(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && length - start < 4 && ((unsigned char)text[start - 1] & 0xC0u) == 0x80u) {
        start--;
    }
    if (start == 0) {
        return;
    }
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xF0u ? 4 : lead >= 0xE0u ? 3 : lead >= 0xC0u ? 2 : 1;
    if (want > 1 && length - (start - 1) < want) {
        text[start - 1] = '\0';
    }
}

static void fill_message(omen_error *err, const char *format, va_list args)
{
    int length = vsnprintf(err->message, sizeof err->message, format, args);
    if (length < 0) {
        err->message[0] = '\0';
    } else if ((size_t)length >= sizeof err->message) {
        trim_utf8(err->message, sizeof err->message - 1);
    }
}

static void fill_head(omen_error *err, omen_status_t status, int32_t detail, uint64_t item)
{
    memset(err, 0, sizeof *err);
    err->status = status;
    err->detail = detail;
    err->flags = error_flags(status, detail);
    err->item = item;
}

omen_status_t om_fail(omen_error *err, omen_status_t status, int32_t detail, const char *format,
                      ...)
{
    om_assert(status != OMEN_OK);
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill_head(err, status, detail, OMEN_NONE);
        fill_message(err, format, args);
        va_end(args);
    }
    return status;
}

omen_status_t om_fail_item(omen_error *err, omen_status_t status, int32_t detail, uint64_t item,
                           const char *format, ...)
{
    om_assert(status != OMEN_OK);
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        fill_head(err, status, detail, item);
        fill_message(err, format, args);
        va_end(args);
    }
    return status;
}

omen_status_t om_fail_errno(omen_error *err, omen_status_t status, int sys_errno,
                            const char *format, ...)
{
    om_assert(status != OMEN_OK);
    int32_t detail = OMEN_D_IO;
    if (sys_errno == ENOSPC || sys_errno == EDQUOT) {
        status = OMEN_RESOURCE_EXHAUSTED;
        detail = OMEN_D_DISK_FULL;
    } else if (sys_errno == ENOMEM) {
        status = OMEN_RESOURCE_EXHAUSTED;
        detail = OMEN_D_NO_MEMORY;
    } else if (sys_errno == ENOENT) {
        status = OMEN_NOT_FOUND;
    }
    if (err == NULL) {
        return status;
    }
    va_list args;
    va_start(args, format);
    fill_head(err, status, detail, OMEN_NONE);
    fill_message(err, format, args);
    va_end(args);
    err->sys_errno = sys_errno;

    const char *reason = strerrordesc_np(sys_errno);
    size_t used = strlen(err->message);
    if (reason == NULL) {
        reason = "unknown system error";
    }
    /* The reason matters more than the end of a long path. */
    size_t need = strlen(reason) + 2;
    size_t room = sizeof err->message - 1;
    if (used + need > room) {
        used = room - need;
        trim_utf8(err->message, used);
        used = strnlen(err->message, used);
    }
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s", reason);
    return status;
}

omen_status_t om_fail_memory(omen_error *err, const char *what, uint64_t bytes)
{
    return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_NO_MEMORY, "no memory: %llu bytes for %s",
                   (unsigned long long)bytes, what);
}

uint32_t om_dtype_width(uint32_t dtype)
{
    switch (dtype) {
    case OMEN_F32:
        return 4;
    case OMEN_F16:
        return 2;
    case OMEN_I8:
    case OMEN_U8:
        return 1;
    default:
        return 0;
    }
}

const char *om_dtype_name(uint32_t dtype)
{
    static const char *const names[] = {"?", "f32", "f16", "i8", "u8", "bf16", "b1"};
    return dtype < sizeof names / sizeof names[0] ? names[dtype] : names[0];
}

const char *om_metric_name(uint32_t metric)
{
    static const char *const names[] = {"?", "l2", "ip", "cosine", "hamming"};
    return metric < sizeof names / sizeof names[0] ? names[metric] : names[0];
}
