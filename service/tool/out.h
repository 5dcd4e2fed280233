/* out.h - output: JSON for scripts, text for people, a progress bar for a terminal.
 * Depends on: tool.h, jansson.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_OUT_H
#define OM_OUT_H
#include <jansson.h>
#include <stdio.h>

#include "ids.h"

/* Prints an object on one line and releases it. */
void om_out_object(json_t *object);
/* The same with every number exact, in as few digits as that takes: for objects with metadata. */
void om_out_exact(json_t *object);
/* A float in the nine digits that make it one. */
json_t *om_out_float(float value);
/* An error: to standard error, as text or, with json, as {"error": {...}}. */
void om_out_error(const om_tool_error *err, bool json);
/* An id as JSON: a number for u64, else a text. */
json_t *om_out_id(const om_ids *ids, size_t i);
/* "0.1" of MAJOR << 16 | MINOR; static storage. */
const char *om_out_abi(uint32_t abi);
/* 1234567 as "1,234,567"; buf holds at least 32 bytes. Returns buf. */
const char *om_out_count(char *buf, uint64_t n);
/* Bytes as "1.5 MiB"; buf holds at least 32 bytes. */
const char *om_out_bytes(char *buf, uint64_t bytes);
/* A rate with three digits that matter: "12.3k". */
const char *om_out_rate(char *buf, double per_second);
const char *om_out_seconds(char *buf, double seconds);

/* A bar on standard error, drawn at most ten times a second, and only on a terminal. */
typedef struct om_bar {
    bool on;
    double started, drawn;
    size_t width; /* of the last line drawn */
} om_bar;
void om_bar_start(om_bar *bar, bool wanted);
/* done of total rows (or bytes) are accepted, indexed rows are in the graph. total 0: unknown; rows
 * is what is shown as accepted. */
typedef struct om_bar_state {
    const char *label;
    uint64_t done, total; /* in any unit: only their ratio is used */
    uint64_t rows, indexed;
} om_bar_state;
void om_bar_draw(om_bar *bar, const om_bar_state *state);
void om_bar_end(om_bar *bar); /* wipes the line */
#endif
