/* wread.h - reads protocol buffer fields out of a chain of memory spans, without copying it together.
 * A reader never goes beyond the message that it is in, and stays bad once something was wrong.
 * Depends on: failure.h.  Threads: one a reader.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WREAD_H
#define OM_WREAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* A piece of a message as the transport has it. Pieces are split anywhere. */
typedef struct om_span {
    const uint8_t *data;
    size_t size;
} om_span;

typedef struct om_wread {
    const uint8_t *at, *end; /* what is left of the current span                    */
    const om_span *next, *last;
    size_t pos;      /* bytes consumed since the start                              */
    size_t limit;    /* position where the innermost open message ends              */
    const char *bad; /* NULL, or why nothing more is read                           */
} om_wread;
typedef struct om_wfield {
    uint32_t number;
    uint32_t type;  /* OM_WT_*                                                       */
    uint64_t value; /* of a varint or fixed number; the length of a delimited field  */
} om_wfield;

void om_wread_init(om_wread *r, const om_span *spans, size_t count);
/* The next field of the innermost message: numbers are read, delimited fields are left to be taken by
 * om_wread_copy, om_wread_skip or om_wread_enter. False at its end, and when the reader is bad. */
bool om_wread_field(om_wread *r, om_wfield *out);
bool om_wread_copy(om_wread *r, void *out, size_t size);
bool om_wread_skip(om_wread *r, size_t size);
/* Enters a delimited field as a message and returns the limit to give back to om_wread_leave. */
size_t om_wread_enter(om_wread *r, size_t size);
void om_wread_leave(om_wread *r, size_t outer);
/* A varint (of packed lists). */
bool om_wread_varint(om_wread *r, uint64_t *value);
/* Marks the reader bad; the first reason stays. Returns false. */
bool om_wread_fail(om_wread *r, const char *why);
#endif
