/* audit.c - who changed what, and who was refused: one JSON object a line, appended whole. Refusals
 * are limited in number, since anybody can cause them; changes never are.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "access_int.h"

enum { BURST = 20, PER_SECOND = 5, MAX_LINE = 16384, MAX_FIELD = 256 };

struct om_audit {
    char *path; /* NULL: to the log */
    om_metrics *metrics;
    om_slog *log;
    pthread_mutex_t mutex; /* guards all below */
    int fd;
    double tokens; /* of refusals */
    int64_t refilled;
    uint64_t left_out;
    bool torn; /* the last line ended early */
};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
}

/* In the words of the start, and without making the file. */
bool om_audit_check(const char *path, char *error, size_t error_size)
{
    char folder[PATH_MAX];
    struct stat st;
    const char *why = NULL;
    if (stat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode)) {
            why = "it is not a regular file";
        } else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0) {
            why = strerror(errno);
        }
    } else if (errno != ENOENT) {
        why = strerror(errno);
    } else if (strlen(path) >= sizeof folder) {
        why = strerror(ENAMETOOLONG);
    } else {
        memcpy(folder, path, strlen(path) + 1);
        why = faccessat(AT_FDCWD, dirname(folder), W_OK | X_OK, AT_EACCESS) != 0 ? strerror(errno)
                                                                                 : NULL;
    }
    if (why != NULL) {
        (void)snprintf(error, error_size, "audit-log %.200s: %s", path, why);
    }
    return why == NULL;
}

om_audit *om_audit_create(const char *path, om_metrics *metrics, om_slog *log, char *error,
                          size_t error_size)
{
    om_audit *a = calloc(1, sizeof *a);
    struct stat st;
    if (a == NULL || (path != NULL && (a->path = strdup(path)) == NULL)) {
        free(a);
        (void)snprintf(error, error_size, "audit-log: no memory");
        return NULL;
    }
    a->metrics = metrics;
    a->log = log;
    a->tokens = BURST;
    a->fd = -1;
    (void)pthread_mutex_init(&a->mutex, NULL);
    if (path == NULL) {
        return a;
    }
    a->fd = open_file(path);
    if (a->fd < 0 || fstat(a->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)snprintf(error, error_size, "audit-log %.200s: %s", path,
                       a->fd < 0 ? strerror(errno) : "it is not a regular file");
        om_audit_free(a);
        return NULL;
    }
    return a;
}

void om_audit_free(om_audit *a)
{
    if (a == NULL) {
        return;
    }
    if (a->fd >= 0) {
        (void)close(a->fd);
    }
    (void)pthread_mutex_destroy(&a->mutex);
    free(a->path);
    free(a);
}

void om_audit_reopen(om_audit *a)
{
    if (a->path == NULL) {
        return;
    }
    int fd = open_file(a->path);
    if (fd < 0) {
        om_slog(a->log, OMEN_LOG_ERROR, "audit", "the audit log could not be opened again",
                OM_SLOG_STR("why", strerror(errno)));
        return;
    }
    pthread_mutex_lock(&a->mutex);
    int old = a->fd;
    a->fd = fd;
    pthread_mutex_unlock(&a->mutex);
    (void)close(old);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

typedef struct text {
    char data[MAX_LINE];
    size_t size;
} text;

/* There is room for every field at its longest: six bytes a character, and nine fields. */
static void put(text *t, const char *s)
{
    size_t n = strlen(s);
    if (t->size + n < sizeof t->data) {
        memcpy(t->data + t->size, s, n + 1);
        t->size += n;
    }
}

/* Printable ASCII stands for itself, everything else is \u00XX: names come from certificates and
 * from requests. */
static void put_field(text *t, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0') {
        return;
    }
    put(t, ",\"");
    put(t, name);
    put(t, "\":\"");
    for (size_t i = 0; value[i] != '\0' && i < MAX_FIELD; i++) {
        char one[8];
        unsigned char c = (unsigned char)value[i];
        bool plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
        (void)snprintf(one, sizeof one, plain ? "%c" : "\\u%04x", c);
        put(t, one);
    }
    put(t, "\"");
}

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"nobody", "key", "jwt", "certificate", "bootstrap"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : names[0];
}

static void put_time(text *t)
{
    char stamp[64] = "";
    char milliseconds[40];
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(stamp, sizeof stamp, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(milliseconds, sizeof milliseconds, ".%03ldZ\"", now.tv_nsec / 1000000);
    put(t, stamp);
    put(t, milliseconds);
}

/* Whether a refusal may be written; the mutex is held. */
static bool take_token(om_audit *a)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    a->tokens += (double)(ms - a->refilled) * PER_SECOND / 1000;
    a->tokens = a->tokens > BURST ? BURST : a->tokens;
    a->refilled = ms;
    if (a->tokens < 1) {
        a->left_out++;
        return false;
    }
    a->tokens -= 1;
    return true;
}

/* What a full disk has cut in two is ended first: the next line must be one by itself. */
static void append(om_audit *a, text *t)
{
    put(t, "}\n");
    struct iovec parts[2] = {{(char *)(uintptr_t) "\n", a->torn ? 1 : 0}, {t->data, t->size}};
    ssize_t whole = (ssize_t)(parts[0].iov_len + t->size);
    ssize_t n = writev(a->fd, parts, 2);
    if (n != whole) {
        om_metrics_audit_failure(a->metrics);
        om_slog(a->log, OMEN_LOG_ERROR, "audit", "a line of the audit log could not be written",
                OM_SLOG_STR("why", n < 0 ? strerror(errno) : "the disk is full"));
    }
    if (n > 0) {
        a->torn = n != whole && n > (ssize_t)parts[0].iov_len;
    }
}

static void to_log(om_audit *a, const om_audit_line *line)
{
    const om_principal *p = line->principal;
    const om_slog_field fields[] = {OM_SLOG_STR("principal", p != NULL ? p->name : NULL),
                                    OM_SLOG_STR("by", p != NULL ? kind_name(p->kind) : NULL),
                                    OM_SLOG_STR("peer", line->peer),
                                    OM_SLOG_STR("object", line->object),
                                    OM_SLOG_STR("why", line->why),
                                    OM_SLOG_STR("certificates", line->certificates),
                                    OM_SLOG_STR("result", line->ok ? "ok" : "refused")};
    size_t count = sizeof fields / sizeof fields[0];
    if (line->ok) {
        om_slog_record(a->log, "audit", line->action, fields, count);
    } else {
        om_slog_write(a->log, OMEN_LOG_WARN, "audit_refused", line->action, fields, count);
    }
}

void om_audit_write(om_audit *a, const om_audit_line *line)
{
    const om_principal *p = line->principal;
    text t = {.size = 0};
    if (a->path == NULL) {
        to_log(a, line);
        return;
    }
    put_time(&t);
    put_field(&t, "action", line->action);
    put_field(&t, "result", line->ok ? "ok" : "refused");
    put_field(&t, "object", line->object);
    put_field(&t, "why", line->why);
    put_field(&t, "certificates", line->certificates);
    if (p != NULL) {
        put_field(&t, "principal", p->name);
        put_field(&t, "by", kind_name(p->kind));
        put_field(&t, "tenant", om_tenant_name(p->tenant));
    }
    put_field(&t, "peer", line->peer);
    pthread_mutex_lock(&a->mutex);
    if (line->ok || take_token(a)) {
        if (a->left_out > 0) {
            char number[48];
            (void)snprintf(number, sizeof number, ",\"left_out\":%llu",
                           (unsigned long long)a->left_out);
            put(&t, number);
            a->left_out = 0;
        }
        append(a, &t);
    }
    pthread_mutex_unlock(&a->mutex);
}
