/* slog.c - builds one bounded line a message, limits how often a kind may speak, writes it at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "slog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Room that every line keeps for its end: the suppressed count, the mark of a cut, brace, newline.
 */
#define LINE_TAIL 96u
#define NS_PER_SECOND UINT64_C(1000000000)

typedef struct bucket {
    char kind[32];
    bool error;
    uint64_t credit_ns; /* time units saved up; one line costs NS_PER_SECOND / rate */
    uint64_t last_ns;
    uint64_t suppressed;
} bucket;

struct om_slog {
    int32_t level;
    uint32_t format;
    char *path;
    uint64_t (*now_ns)(void);
    pthread_mutex_t mutex; /* guards fd, buckets and the order of lines */
    int fd;
    size_t bucket_count;
    bucket buckets[OM_SLOG_MAX_KINDS + 1]; /* the last is shared by kinds that found no place */
    _Atomic uint64_t suppressed;
    _Atomic uint64_t failed;
};

typedef struct line {
    char bytes[OM_SLOG_MAX_LINE];
    size_t length;
    bool json;
    bool cut;
} line;

typedef struct head {
    int32_t level;
    const char *kind, *text;
    uint64_t left_out;
} head;

static uint64_t monotonic_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

om_slog *om_slog_create(const om_slog_options *options)
{
    om_slog *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return NULL;
    }
    log->level = options->level;
    log->format = options->format;
    log->now_ns = options->now_ns != NULL ? options->now_ns : monotonic_ns;
    log->fd = STDERR_FILENO;
    if (options->path != NULL) {
        log->path = strdup(options->path);
        log->fd = log->path != NULL ? open_file(log->path) : -1;
        if (log->fd < 0) {
            int saved = log->path != NULL ? errno : ENOMEM;
            free(log->path);
            free(log);
            errno = saved;
            return NULL;
        }
    }
    (void)pthread_mutex_init(&log->mutex, NULL);
    return log;
}

void om_slog_free(om_slog *log)
{
    if (log == NULL) {
        return;
    }
    if (log->path != NULL) {
        (void)close(log->fd);
    }
    (void)pthread_mutex_destroy(&log->mutex);
    free(log->path);
    free(log);
}

bool om_slog_reopen(om_slog *log)
{
    if (log == NULL || log->path == NULL) {
        return true;
    }
    int fd = open_file(log->path);
    if (fd < 0) {
        return false;
    }
    (void)pthread_mutex_lock(&log->mutex);
    int old = log->fd;
    log->fd = fd;
    (void)pthread_mutex_unlock(&log->mutex);
    (void)close(old);
    return true;
}

bool om_slog_enabled(const om_slog *log, int32_t level)
{
    return log != NULL && level != OMEN_LOG_OFF && level <= log->level;
}

void om_slog_counts(const om_slog *log, uint64_t *suppressed, uint64_t *failed)
{
    *suppressed = log != NULL ? atomic_load_explicit(&log->suppressed, memory_order_relaxed) : 0;
    *failed = log != NULL ? atomic_load_explicit(&log->failed, memory_order_relaxed) : 0;
}

/* ---- Rate limit: a token bucket for each kind and class of level. The mutex is held. ----- */

static bucket *find_bucket(om_slog *log, const char *kind, bool error)
{
    for (size_t i = 0; i < log->bucket_count; i++) {
        bucket *b = &log->buckets[i];
        if (b->error == error && strncmp(b->kind, kind, sizeof b->kind - 1) == 0) {
            return b;
        }
    }
    bucket *b = &log->buckets[OM_SLOG_MAX_KINDS];
    if (log->bucket_count < OM_SLOG_MAX_KINDS) {
        b = &log->buckets[log->bucket_count++];
        (void)snprintf(b->kind, sizeof b->kind, "%s", kind);
        b->error = error;
    } else if (b->last_ns != 0) {
        return b;
    }
    b->credit_ns = UINT64_MAX; /* full: it is cut to the burst below */
    b->last_ns = log->now_ns();
    return b;
}

/* True when a line of the kind may be written; *left_out then tells how many before it were not. */
static bool take_token(om_slog *log, const char *kind, int32_t level, uint64_t *left_out)
{
    bool error = level == OMEN_LOG_ERROR;
    uint64_t factor = error ? 2 : 1;
    uint64_t cost = NS_PER_SECOND / (OM_SLOG_PER_SECOND * factor);
    uint64_t full = cost * OM_SLOG_BURST * factor;
    bucket *b = find_bucket(log, kind, error);
    uint64_t now = log->now_ns();
    uint64_t passed = now > b->last_ns ? now - b->last_ns : 0;
    b->last_ns = now;
    b->credit_ns = passed > full || b->credit_ns > full - passed ? full : b->credit_ns + passed;
    if (b->credit_ns < cost) {
        b->suppressed++;
        atomic_fetch_add_explicit(&log->suppressed, 1, memory_order_relaxed);
        return false;
    }
    b->credit_ns -= cost;
    *left_out = b->suppressed;
    b->suppressed = 0;
    return true;
}

/* ---- The line ---------------------------------------------------------------------------- */

/* Bytes that may still be used before the tail. */
static size_t room(const line *l)
{
    size_t end = sizeof l->bytes - LINE_TAIL;
    return l->length < end ? end - l->length : 0;
}

static void put_raw(line *l, const char *text, size_t length)
{
    if (length > sizeof l->bytes - l->length) {
        l->cut = true;
        return;
    }
    memcpy(l->bytes + l->length, text, length);
    l->length += length;
}

static void put_text(line *l, const char *text)
{
    put_raw(l, text, strlen(text));
}

static void put_number(line *l, bool is_signed, uint64_t number)
{
    char digits[32];
    int n = is_signed ? snprintf(digits, sizeof digits, "%lld", (long long)number)
                      : snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    put_raw(l, digits, (size_t)n);
}

/* Length of the well-formed UTF-8 sequence at s (at most n bytes), or 0. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    unsigned char c = s[0];
    size_t need = c < 0x80                ? 1
                  : c >= 0xc2 && c < 0xe0 ? 2
                  : (c & 0xf0) == 0xe0    ? 3
                  : c >= 0xf0 && c < 0xf5 ? 4
                                          : 0;
    if (need == 0 || need > n) {
        return 0;
    }
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (c == 0xe0 && s[1] < 0xa0) || (c == 0xf0 && s[1] < 0x90);
    bool beyond = (c == 0xed && s[1] > 0x9f) || (c == 0xf4 && s[1] > 0x8f);
    return overlong || beyond ? 0 : need;
}

/* One character, escaped as JSON asks; the text format uses the same, so that a line is one line.
 */
static size_t escape_one(const unsigned char *s, size_t n, char *out, size_t *out_length)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = utf8_length(s, n);
    if (used == 0) {
        memcpy(out, "\\ufffd", 6);
        *out_length = 6;
        return 1;
    }
    unsigned char c = s[0];
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        *out_length = 2;
    } else if (c < 0x20 || c == 0x7f) {
        memcpy(out, "\\u00", 4);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        *out_length = 6;
    } else {
        memcpy(out, s, used);
        *out_length = used;
    }
    return used;
}

static void put_escaped(line *l, const char *text, size_t length)
{
    size_t limit = length < OM_SLOG_MAX_VALUE ? length : OM_SLOG_MAX_VALUE;
    l->cut |= length > limit;
    for (size_t i = 0; i < limit;) {
        char one[8];
        size_t n = 0;
        size_t used = escape_one((const unsigned char *)text + i, length - i, one, &n);
        if (n + 1 > room(l)) {
            l->cut = true;
            return;
        }
        put_raw(l, one, n);
        i += used;
    }
}

static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7f) {
            return false;
        }
    }
    return text[0] != '\0';
}

static void put_string(line *l, const char *text)
{
    if (!l->json && is_plain(text)) {
        put_escaped(l, text, strlen(text));
        return;
    }
    put_text(l, "\"");
    put_escaped(l, text, strlen(text));
    put_text(l, "\"");
}

static void put_name(line *l, const char *name)
{
    if (l->json) {
        put_text(l, l->length > 1 ? ",\"" : "\"");
        put_text(l, name);
        put_text(l, "\":");
        return;
    }
    put_text(l, " ");
    put_text(l, name);
    put_text(l, "=");
}

static void put_field(line *l, const om_slog_field *field)
{
    if (field->type == OM_SLOG_F_STRING && field->string == NULL) {
        return;
    }
    if (strlen(field->name) + 32 > room(l)) {
        l->cut = true;
        return;
    }
    put_name(l, field->name);
    if (field->type == OM_SLOG_F_STRING) {
        put_string(l, field->string);
    } else {
        put_number(l, field->type == OM_SLOG_F_I64, field->number);
    }
}

static void put_time(line *l)
{
    struct timespec ts;
    struct tm tm;
    char text[40];
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    int m = snprintf(text + n, sizeof text - n, ".%03ldZ", ts.tv_nsec / 1000000);
    put_raw(l, text, n + (size_t)m);
}

static void put_head(line *l, int32_t level, const char *kind, const char *text)
{
    static const char *const names[] = {"off", "error", "warn", "info", "debug"};
    const char *name = names[level >= 0 && level <= OMEN_LOG_DEBUG ? level : OMEN_LOG_DEBUG];
    if (!l->json) {
        put_time(l);
        put_text(l, " ");
        put_text(l, name);
        put_text(l, " ");
        put_escaped(l, kind, strlen(kind));
        put_text(l, ": ");
        put_escaped(l, text, strlen(text));
        return;
    }
    put_text(l, "{");
    put_name(l, "time");
    put_text(l, "\"");
    put_time(l);
    put_text(l, "\"");
    put_name(l, "level");
    put_string(l, name);
    put_name(l, "kind");
    put_string(l, kind);
    put_name(l, "text");
    put_string(l, text);
}

/* LINE_TAIL is the room for what follows here: two short fields, the brace, the newline. */
static void put_end(line *l, uint64_t left_out)
{
    if (left_out > 0) {
        put_name(l, "suppressed");
        put_number(l, false, left_out);
    }
    if (l->cut) {
        put_name(l, "cut");
        put_text(l, "1");
    }
    put_text(l, l->json ? "}\n" : "\n");
}

/* One write a line: whole lines also when several processes append to the file. */
static bool write_line(int fd, const line *l)
{
    size_t done = 0;
    while (done < l->length) {
        ssize_t n = write(fd, l->bytes + done, l->length - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void emit(om_slog *log, const head *h, const om_slog_field *fields, size_t count)
{
    line l;
    l.length = 0;
    l.json = log->format == OM_SLOG_JSON;
    l.cut = false;
    put_head(&l, h->level, h->kind, h->text);
    for (size_t i = 0; i < count; i++) {
        put_field(&l, &fields[i]);
    }
    put_end(&l, h->left_out);
    (void)pthread_mutex_lock(&log->mutex);
    bool written = write_line(log->fd, &l);
    (void)pthread_mutex_unlock(&log->mutex);
    if (!written) {
        atomic_fetch_add_explicit(&log->failed, 1, memory_order_relaxed);
    }
}

void om_slog_write(om_slog *log, int32_t level, const char *kind, const char *text,
                   const om_slog_field *fields, size_t count)
{
    head h = {level, kind, text, 0};
    if (!om_slog_enabled(log, level)) {
        return;
    }
    (void)pthread_mutex_lock(&log->mutex);
    bool allowed = take_token(log, kind, level, &h.left_out);
    (void)pthread_mutex_unlock(&log->mutex);
    if (allowed) {
        emit(log, &h, fields, count);
    }
}

void om_slog_record(om_slog *log, const char *kind, const char *text, const om_slog_field *fields,
                    size_t count)
{
    head h = {OMEN_LOG_INFO, kind, text, 0};
    if (log != NULL) {
        emit(log, &h, fields, count);
    }
}

void om_slog_engine(void *log, int32_t level, const char *module, const char *text, size_t len)
{
    char copy[OM_SLOG_MAX_VALUE + 1];
    size_t n = len < OM_SLOG_MAX_VALUE ? len : OM_SLOG_MAX_VALUE;
    memcpy(copy, text, n);
    copy[n] = '\0';
    const om_slog_field fields[] = {OM_SLOG_STR("module", module)};
    om_slog_write(log, level, "engine", copy, fields, 1);
}
