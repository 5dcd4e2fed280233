/* import_source.c - reads a plain, gzip or zstd file through two fixed buffers.
 * The file is hostile: nothing is sized by what it says, and a stream that stops early is an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "import_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { RAW_BYTES = 128 * 1024, OUT_BYTES = 256 * 1024 };

struct om_source {
    enum { PLAIN, GZIP, ZSTD } kind;
    int fd;                /* -1: memory */
    const uint8_t *memory; /* the rest of a memory source */
    size_t memory_left;
    uint64_t file_bytes; /* size of a regular file, else 0 */
    uint64_t raw_total;  /* bytes taken from the file */
    uint64_t offset;     /* bytes handed out */
    bool raw_end, end;   /* the file, the data are at their end */
    bool member_open;    /* inside a gzip member or a zstd frame */
    z_stream gz;
    ZSTD_DStream *zs;
    size_t raw_pos, raw_len, out_pos, out_len;
    char *line;
    size_t line_cap;
    char *name;
    uint8_t raw[RAW_BYTES];
    uint8_t out[OUT_BYTES];
};

/* Waits for a pipe in short steps: a signal that comes just before a read would not interrupt it. A
 * regular file is always readable. */
static bool wait_readable(const om_source *s, om_tool_error *err)
{
    struct pollfd fd = {.fd = s->fd, .events = POLLIN};
    int ready = 0;
    while (ready <= 0 && !om_tool_interrupted()) {
        ready = poll(&fd, 1, 100);
        if (ready < 0 && errno != EINTR) {
            return om_tool_fail(err, OM_EXIT_RUNTIME, "%s: poll failed: %s", s->name,
                                strerror(errno));
        }
    }
    return om_tool_interrupted()
               ? om_tool_fail(err, OM_EXIT_INTERRUPTED, "%s: interrupted", s->name)
               : true;
}

/* Fills the raw buffer when it is empty. At the end raw_end is set and nothing is added. */
static bool fill_raw(om_source *s, om_tool_error *err)
{
    if (s->raw_pos < s->raw_len || s->raw_end) {
        return true;
    }
    s->raw_pos = s->raw_len = 0;
    if (s->fd < 0) {
        size_t n = s->memory_left < RAW_BYTES ? s->memory_left : RAW_BYTES;
        if (n > 0) {
            memcpy(s->raw, s->memory, n);
            s->memory += n;
        }
        s->memory_left -= n;
        s->raw_len = n;
    } else {
        ssize_t n;
        do {
            if (!wait_readable(s, err)) {
                return false;
            }
            n = read(s->fd, s->raw, RAW_BYTES);
        } while (n < 0 && (errno == EINTR || errno == EAGAIN));
        if (n < 0) {
            return om_tool_fail(err, OM_EXIT_RUNTIME, "%s: read failed: %s", s->name,
                                strerror(errno));
        }
        s->raw_len = (size_t)n;
    }
    s->raw_end = s->raw_len == 0;
    s->raw_total += s->raw_len;
    return true;
}

static bool truncated(const om_source *s, const char *kind, om_tool_error *err)
{
    return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                        "%s: the %s stream ends early, after %llu uncompressed bytes", s->name,
                        kind, (unsigned long long)(s->offset + s->out_len));
}

static bool damaged(const om_source *s, const char *kind, const char *why, om_tool_error *err)
{
    return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                        "%s: damaged %s data near byte %llu of the file: %s", s->name, kind,
                        (unsigned long long)(s->raw_total - (s->raw_len - s->raw_pos)), why);
}

/* One inflate step. A file may hold several gzip members, one after the other (pigz, bgzip,
 * cat). */
static bool step_gzip(om_source *s, om_tool_error *err)
{
    if (s->raw_end) {
        s->end = true;
        return s->member_open ? truncated(s, "gzip", err) : true;
    }
    if (!s->member_open) {
        /* Zero padding after the last member is allowed, as gzip itself allows it. */
        if (s->raw[s->raw_pos] == 0) {
            s->raw_pos++;
            return true;
        }
        if (inflateReset(&s->gz) != Z_OK) {
            return damaged(s, "gzip", "cannot reset", err);
        }
        s->member_open = true;
    }
    s->gz.next_in = s->raw + s->raw_pos;
    s->gz.avail_in = (uInt)(s->raw_len - s->raw_pos);
    s->gz.next_out = s->out + s->out_len;
    s->gz.avail_out = (uInt)(OUT_BYTES - s->out_len);
    int rc = inflate(&s->gz, Z_NO_FLUSH);
    s->raw_pos = s->raw_len - s->gz.avail_in;
    s->out_len = OUT_BYTES - s->gz.avail_out;
    if (rc == Z_STREAM_END) {
        s->member_open = false;
        return true;
    }
    if (rc == Z_OK || rc == Z_BUF_ERROR) {
        return true;
    }
    return damaged(s, "gzip", s->gz.msg != NULL ? s->gz.msg : zError(rc), err);
}

static bool step_zstd(om_source *s, om_tool_error *err)
{
    /* After the file's end a frame may still have output buffered, so it is asked until it is
     * quiet. */
    if (s->raw_end && !s->member_open) {
        s->end = true;
        return true;
    }
    ZSTD_inBuffer in = {s->raw, s->raw_len, s->raw_pos};
    ZSTD_outBuffer out = {s->out, OUT_BYTES, s->out_len};
    size_t before = s->out_len;
    size_t rc = ZSTD_decompressStream(s->zs, &out, &in);
    if (ZSTD_isError(rc)) {
        return damaged(s, "zstd", ZSTD_getErrorName(rc), err);
    }
    s->raw_pos = in.pos;
    s->out_len = out.pos;
    s->member_open = rc != 0;
    if (s->raw_end && s->member_open && out.pos == before) {
        s->end = true;
        return truncated(s, "zstd", err);
    }
    return true;
}

/* Appends some bytes to out, or sets end. There is room for one whole raw buffer in it. */
static bool step(om_source *s, om_tool_error *err)
{
    if (!fill_raw(s, err)) {
        return false;
    }
    if (s->kind == GZIP) {
        return step_gzip(s, err);
    }
    if (s->kind == ZSTD) {
        return step_zstd(s, err);
    }
    if (s->raw_end) {
        s->end = true;
        return true;
    }
    memcpy(s->out + s->out_len, s->raw, s->raw_len);
    s->out_len += s->raw_len;
    s->raw_pos = s->raw_len;
    return true;
}

/* Makes at least one byte available in out, or sets end. */
static bool fill_out(om_source *s, om_tool_error *err)
{
    while (s->out_pos == s->out_len && !s->end) {
        s->out_pos = s->out_len = 0;
        if (!step(s, err)) {
            return false;
        }
    }
    return true;
}

/* Tells the compression by the first bytes and sets up the decoder. */
static bool start(om_source *s, om_tool_error *err)
{
    static const uint8_t zstd_magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    if (!fill_raw(s, err)) {
        return false;
    }
    if (s->raw_len >= 2 && s->raw[0] == 0x1f && s->raw[1] == 0x8b) {
        if (inflateInit2(&s->gz, 15 + 16) != Z_OK) {
            return om_tool_no_memory(err, sizeof s->gz);
        }
        s->kind = GZIP;
        s->member_open = true;
    } else if (s->raw_len >= 4 && memcmp(s->raw, zstd_magic, 4) == 0) {
        s->zs = ZSTD_createDStream();
        if (s->zs == NULL) {
            return om_tool_no_memory(err, 1u << 20);
        }
        s->kind = ZSTD;
        s->member_open = true;
    }
    return true;
}

static bool new_source(const char *name, om_source **out, om_tool_error *err)
{
    om_source *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return om_tool_no_memory(err, sizeof *s);
    }
    s->fd = -1;
    s->name = strdup(name);
    if (s->name == NULL) {
        free(s);
        return om_tool_no_memory(err, strlen(name));
    }
    *out = s;
    return true;
}

static bool open_fd(om_source *s, const char *path, om_tool_error *err)
{
    if (strcmp(path, "-") == 0) {
        s->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    } else {
        s->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (s->fd < 0) {
        int code = errno == ENOENT ? OM_EXIT_NOT_FOUND : OM_EXIT_RUNTIME;
        return om_tool_fail(err, code, "%s: cannot open: %s", path, strerror(errno));
    }
    struct stat st;
    if (fstat(s->fd, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: is a directory", path);
        }
        s->file_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    }
    return true;
}

bool om_source_open(const char *path, om_source **out, om_tool_error *err)
{
    om_source *s = NULL;
    if (!new_source(strcmp(path, "-") == 0 ? "standard input" : path, &s, err)) {
        return false;
    }
    if (!open_fd(s, path, err) || !start(s, err)) {
        om_source_free(s);
        return false;
    }
    *out = s;
    return true;
}

bool om_source_open_memory(const void *data, size_t size, om_source **out, om_tool_error *err)
{
    om_source *s = NULL;
    if (!new_source("memory", &s, err)) {
        return false;
    }
    s->memory = data;
    s->memory_left = size;
    s->file_bytes = size;
    if (!start(s, err)) {
        om_source_free(s);
        return false;
    }
    *out = s;
    return true;
}

void om_source_free(om_source *s)
{
    if (s == NULL) {
        return;
    }
    if (s->kind == GZIP) {
        (void)inflateEnd(&s->gz);
    }
    (void)ZSTD_freeDStream(s->zs);
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    free(s->line);
    free(s->name);
    free(s);
}

bool om_source_read(om_source *s, void *out, size_t n, size_t *got, om_tool_error *err)
{
    uint8_t *to = out;
    size_t done = 0;
    while (done < n) {
        if (!fill_out(s, err)) {
            return false;
        }
        if (s->out_pos == s->out_len) {
            break;
        }
        size_t part = s->out_len - s->out_pos;
        part = part < n - done ? part : n - done;
        memcpy(to + done, s->out + s->out_pos, part);
        s->out_pos += part;
        s->offset += part;
        done += part;
    }
    *got = done;
    return true;
}

static bool line_append(om_source *s, size_t have, const uint8_t *bytes, size_t n,
                        om_tool_error *err)
{
    if (have + n > s->line_cap) {
        size_t cap = s->line_cap == 0 ? 4096 : s->line_cap;
        while (cap < have + n) {
            cap *= 2;
        }
        char *grown = realloc(s->line, cap);
        if (grown == NULL) {
            return om_tool_no_memory(err, cap);
        }
        s->line = grown;
        s->line_cap = cap;
    }
    if (n > 0) {
        memcpy(s->line + have, bytes, n);
    }
    return true;
}

bool om_source_line(om_source *s, size_t max, const char **line, size_t *len, bool *got,
                    om_tool_error *err)
{
    size_t have = 0;
    bool newline = false;
    while (!newline) {
        if (!fill_out(s, err)) {
            return false;
        }
        if (s->out_pos == s->out_len) {
            break;
        }
        const uint8_t *from = s->out + s->out_pos;
        size_t n = s->out_len - s->out_pos;
        const uint8_t *eol = memchr(from, '\n', n);
        newline = eol != NULL;
        size_t part = newline ? (size_t)(eol - from) : n;
        if (part > max - have) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                                "%s: a line is longer than %zu bytes (at byte %llu)", s->name, max,
                                (unsigned long long)s->offset);
        }
        if (!line_append(s, have, from, part, err)) {
            return false;
        }
        have += part;
        s->out_pos += part + (newline ? 1 : 0);
        s->offset += part + (newline ? 1 : 0);
    }
    *got = newline || have > 0;
    *line = have > 0 ? s->line : "";
    *len = have;
    return true;
}

bool om_source_peek(om_source *s, const uint8_t **bytes, size_t *n, om_tool_error *err)
{
    while (s->out_len < OM_SOURCE_PEEK_MAX && !s->end) {
        if (!step(s, err)) {
            return false;
        }
    }
    *bytes = s->out;
    size_t have = s->out_len;
    *n = have < OM_SOURCE_PEEK_MAX ? have : OM_SOURCE_PEEK_MAX;
    return true;
}

uint64_t om_source_offset(const om_source *s)
{
    return s->offset;
}

void om_source_position(const om_source *s, uint64_t *done, uint64_t *total)
{
    *done = s->raw_total - (s->raw_len - s->raw_pos);
    *total = s->file_bytes;
}

uint64_t om_source_plain_size(const om_source *s)
{
    return s->kind == PLAIN ? s->file_bytes : 0;
}

const char *om_source_name(const om_source *s)
{
    return s->name;
}
