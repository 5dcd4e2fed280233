/* slog.h - the service's structured log: one line a message, JSON or text, to stderr or a file.
 * Lines are short, bounded and escaped; a kind that repeats is limited and the number of lines left
 * out is told by the next one. Never pass keys, tokens or vectors as fields.
 * Depends on: omen.h.  Threads: any, but create and free.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SLOG_H
#define OM_SLOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "omen.h"

typedef struct om_slog om_slog;
enum { OM_SLOG_TEXT = 0, OM_SLOG_JSON = 1 };
enum { OM_SLOG_F_STRING = 0, OM_SLOG_F_U64 = 1, OM_SLOG_F_I64 = 2 };
enum {
    OM_SLOG_MAX_LINE = 2048, /* bytes of a line, its end included; longer ones are cut */
    OM_SLOG_MAX_VALUE = 512, /* bytes of one string value before escaping */
    OM_SLOG_MAX_KINDS = 64,  /* kinds that have a limit of their own; the rest share one */
    OM_SLOG_BURST = 20,      /* lines of one kind at once ... */
    OM_SLOG_PER_SECOND = 5   /* ... and a second after that; OMEN_LOG_ERROR has twice of both */
};

typedef struct om_slog_field {
    const char *name;
    uint32_t type;      /* OM_SLOG_F_* */
    const char *string; /* OM_SLOG_F_STRING; NULL is left out */
    uint64_t number;    /* U64, or I64 as two's complement */
} om_slog_field;
#define OM_SLOG_STR(name_, value_)             \
    {                                          \
        (name_), OM_SLOG_F_STRING, (value_), 0 \
    }
#define OM_SLOG_U64(name_, value_)                       \
    {                                                    \
        (name_), OM_SLOG_F_U64, NULL, (uint64_t)(value_) \
    }
#define OM_SLOG_I64(name_, value_)                                \
    {                                                             \
        (name_), OM_SLOG_F_I64, NULL, (uint64_t)(int64_t)(value_) \
    }

typedef struct om_slog_options {
    int32_t level;            /* OMEN_LOG_*: what is less important is left out */
    uint32_t format;          /* OM_SLOG_TEXT or OM_SLOG_JSON */
    const char *path;         /* NULL: stderr; else a file, appended to */
    uint64_t (*now_ns)(void); /* NULL: CLOCK_MONOTONIC; for the rate limit; tests replace it */
} om_slog_options;
/* NULL when the file cannot be opened or memory is short; errno tells. */
om_slog *om_slog_create(const om_slog_options *options);
void om_slog_free(om_slog *log);
/* Closes and opens the file again, after it was rotated away; false: the old one stays (errno). */
bool om_slog_reopen(om_slog *log);
bool om_slog_enabled(const om_slog *log, int32_t level);
/* `kind` is a short constant word (letters, digits, '_'), which names the event and is what the
 * rate limit counts. A NULL log is silence. Never fails; lines that cannot be written are counted.
 */
void om_slog_write(om_slog *log, int32_t level, const char *kind, const char *text,
                   const om_slog_field *fields, size_t count);
/* om_slog(log, OMEN_LOG_INFO, "kind", "what happened", OM_SLOG_STR("peer", p), OM_SLOG_U64("k",
 * k)); */
#define om_slog(log_, level_, kind_, text_, ...)                                            \
    om_slog_write((log_), (level_), (kind_), (text_), (const om_slog_field[]){__VA_ARGS__}, \
                  sizeof((const om_slog_field[]){__VA_ARGS__}) / sizeof(om_slog_field))
/* A line that is a record: written whatever the level is, and never left out. Only for what not anybody can
 * cause as often as he likes. */
void om_slog_record(om_slog *log, const char *kind, const char *text, const om_slog_field *fields,
                    size_t count);
/* An omen_log_fn: give it to omen_runtime_options.log with the om_slog as log_ctx. */
void om_slog_engine(void *log, int32_t level, const char *module, const char *text, size_t len);
/* Lines left out by the rate limit, and lines that could not be written. */
void om_slog_counts(const om_slog *log, uint64_t *suppressed, uint64_t *failed);
#endif
