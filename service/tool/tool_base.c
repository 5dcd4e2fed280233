/* tool_base.c - errors, signals, names and the clock of the command-line tool.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static _Atomic(omen_op *) current_op;

bool om_tool_fail(om_tool_error *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    err->code = code;
    err->retriable = code == OM_EXIT_UNAVAILABLE;
    err->reason[0] = '\0';
    (void)vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    return false;
}

bool om_tool_wrap(om_tool_error *err, const char *fmt, ...)
{
    char old[sizeof err->message];
    memcpy(old, err->message, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->message) {
        size_t room = sizeof err->message - (size_t)n;
        (void)snprintf(err->message + n, room, ": %.*s", (int)(room > 3 ? room - 3 : 0), old);
    }
    return false;
}

int om_tool_exit_code(int status)
{
    enum {
        PERMISSION_DENIED = 7,
        UNAUTHENTICATED = 16
    }; /* of gRPC: the library has no callers to check */
    switch (status) {
    case OMEN_OK:
        return OM_EXIT_OK;
    case PERMISSION_DENIED:
    case UNAUTHENTICATED:
        return OM_EXIT_DENIED;
    case OMEN_CANCELLED:
        return interrupted ? OM_EXIT_INTERRUPTED : OM_EXIT_RUNTIME;
    case OMEN_INVALID_ARGUMENT:
    case OMEN_OUT_OF_RANGE:
        return OM_EXIT_BAD_INPUT;
    case OMEN_NOT_FOUND:
        return OM_EXIT_NOT_FOUND;
    case OMEN_DEADLINE_EXCEEDED:
    case OMEN_UNAVAILABLE:
        return OM_EXIT_UNAVAILABLE;
    case OMEN_ABORTED: /* another version, an expired cursor, another writer of the stream */
    case OMEN_ALREADY_EXISTS:
    case OMEN_FAILED_PRECONDITION:
    case OMEN_RESOURCE_EXHAUSTED:
        return OM_EXIT_PRECONDITION;
    case OMEN_DATA_LOSS:
        return OM_EXIT_DATA_LOSS;
    default:
        return OM_EXIT_RUNTIME;
    }
}

bool om_tool_fail_omen(om_tool_error *err, const omen_error *from)
{
    om_tool_fail(err, om_tool_exit_code(from->status), "%.*s", (int)sizeof from->message,
                 from->message);
    if (from->detail != OMEN_D_NONE) {
        (void)snprintf(err->reason, sizeof err->reason, "%s", omen_detail_name(from->detail));
    }
    err->retriable = (from->flags & OMEN_ERROR_RETRIABLE) != 0;
    return false;
}

static void on_signal(int sig)
{
    if (interrupted) {
        _exit(OM_EXIT_INTERRUPTED);
    }
    interrupted = sig;
    omen_op *op = atomic_load_explicit(&current_op, memory_order_acquire);
    if (op != NULL) {
        omen_op_cancel(op);
    }
}

bool om_tool_interrupted(void)
{
    return interrupted != 0;
}

void om_tool_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    action.sa_handler =
        SIG_IGN; /* a closed pipe is a failed write, not a death without a message */
    (void)sigaction(SIGPIPE, &action, NULL);
}

void om_tool_set_op(omen_op *op)
{
    atomic_store_explicit(&current_op, op, memory_order_release);
}

const char *om_tool_metric_name(uint32_t metric)
{
    static const char *const names[] = {NULL, "l2", "ip", "cosine", "hamming"};
    return metric < sizeof names / sizeof *names ? names[metric] : NULL;
}

const char *om_tool_dtype_name(uint32_t dtype)
{
    static const char *const names[] = {NULL, "f32", "f16", "i8", "u8", "bf16", "b1"};
    return dtype < sizeof names / sizeof *names ? names[dtype] : NULL;
}

const char *om_tool_id_type_name(uint32_t id_type)
{
    static const char *const names[] = {NULL, "u64", "uuid", "string"};
    return id_type < sizeof names / sizeof *names ? names[id_type] : NULL;
}

const char *om_tool_quant_name(uint32_t quantization)
{
    static const char *const names[] = {NULL, "sq8", "none"};
    return quantization < sizeof names / sizeof *names ? names[quantization] : NULL;
}

size_t om_tool_dtype_width(uint32_t dtype)
{
    switch (dtype) {
    case OMEN_F32:
        return 4;
    case OMEN_F16:
    case OMEN_BF16:
        return 2;
    case OMEN_I8:
    case OMEN_U8:
        return 1;
    default:
        return 0;
    }
}

double om_tool_now(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}
