/* tool.h - what every part of the omen command-line tool uses: exit codes and errors.
 * A function that can fail returns false and has then filled *err; err is never NULL.
 * Depends on: omen.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TOOL_H
#define OM_TOOL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

/* The exit codes are part of the interface: deploy/man/omen.1 and `omen help exit-codes` list
 * them. */
enum {
    OM_EXIT_OK = 0,
    OM_EXIT_RUNTIME = 1,     /* anything not named below */
    OM_EXIT_USAGE = 2,       /* the command line is wrong */
    OM_EXIT_NOT_FOUND = 3,   /* no such file, collection or item */
    OM_EXIT_DATA_LOSS = 4,   /* a damaged segment file, or batches a server has lost */
    OM_EXIT_BAD_INPUT = 5,   /* the data given is malformed or does not fit the collection */
    OM_EXIT_UNAVAILABLE = 6, /* no server there, or it did not answer in time */
    OM_EXIT_PRECONDITION =
        7,              /* exists already, in use, read-only, another version, a limit reached */
    OM_EXIT_DENIED = 8, /* no valid credential, or it may not do this */
    OM_EXIT_INTERRUPTED = 130 /* Ctrl-C, as shells report it */
};

typedef struct om_tool_error {
    int code;          /* OM_EXIT_* */
    bool retriable;    /* the same call may succeed if it is tried again */
    char reason[40];   /* machine-readable: DIM_MISMATCH, ...; may be empty */
    char message[960]; /* one sentence for people */
} om_tool_error;

/* Fills *err and returns false, so that a caller can write `return om_tool_fail(...)`. */
bool om_tool_fail(om_tool_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "text: " in front of the message and returns false. */
bool om_tool_wrap(om_tool_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Takes over an error of the library. */
bool om_tool_fail_omen(om_tool_error *err, const omen_error *from);
/* The exit code for a status (the numbers of omen.h and of gRPC are the same). */
int om_tool_exit_code(int status);
static inline bool om_tool_no_memory(om_tool_error *err, size_t bytes)
{
    (void)om_tool_fail(err, OM_EXIT_RUNTIME, "out of memory (%zu bytes wanted)", bytes);
    return false;
}

/* Set by SIGINT and SIGTERM; long work looks at it between steps. */
bool om_tool_interrupted(void);
/* Catches SIGINT and SIGTERM from now on. A second signal ends the process at once. */
void om_tool_catch_signals(void);
/* The operation that a signal cancels, or NULL. */
void om_tool_set_op(omen_op *op);

/* Names of the numbers in omen.h ("l2", "u8", "string", ...); NULL when unknown. */
const char *om_tool_metric_name(uint32_t metric);
const char *om_tool_dtype_name(uint32_t dtype);
const char *om_tool_id_type_name(uint32_t id_type);
const char *om_tool_quant_name(uint32_t quantization);
/* Bytes of one value of a type of omen.h; 0 when unknown. */
size_t om_tool_dtype_width(uint32_t dtype);

/* Seconds of a clock that never goes back. */
double om_tool_now(void);
#endif
