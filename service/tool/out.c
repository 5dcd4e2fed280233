/* out.c - JSON, readable numbers and the progress bar.
 * SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void om_out_object(json_t *object)
{
    if (object == NULL || json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0) {
        /* main reports it: the stream is in error, or memory is out. */
        (void)fputs("{\"error\":{\"message\":\"out of memory\"}}", stdout);
    }
    (void)fputc('\n', stdout);
    json_decref(object);
}

static void exact_real(double value)
{
    char text[40];
    for (int digits = 9; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (!(strtod(text, NULL) < value) && !(strtod(text, NULL) > value)) {
            break;
        }
    }
    /* Without a point it would come back as an integer. */
    (void)fputs(text, stdout);
    (void)fputs(strpbrk(text, ".e") == NULL ? ".0" : "", stdout);
}

/* As deep as what the tool makes: hits of items of arrays. */
static void exact_value(json_t *value)
{
    if (json_is_real(value)) {
        exact_real(json_real_value(value));
    } else if (json_is_array(value)) {
        (void)putchar('[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            (void)fputs(i > 0 ? "," : "", stdout);
            exact_value(json_array_get(value, i));
        }
        (void)putchar(']');
    } else if (json_is_object(value)) {
        (void)putchar('{');
        bool first = true;
        const char *key;
        json_t *member;
        json_object_foreach(value, key, member)
        {
            json_t *name = json_string(key);
            (void)fputs(first ? "" : ",", stdout);
            (void)json_dumpf(name, stdout, JSON_ENCODE_ANY);
            (void)putchar(':');
            exact_value(member);
            json_decref(name);
            first = false;
        }
        (void)putchar('}');
    } else {
        (void)json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
    }
}

void om_out_exact(json_t *object)
{
    if (object == NULL) {
        om_out_object(object);
        return;
    }
    exact_value(object);
    (void)putchar('\n');
    json_decref(object);
}

json_t *om_out_float(float value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.9g", (double)value);
    return json_real(strtod(text, NULL));
}

void om_out_error(const om_tool_error *err, bool json)
{
    if (json) {
        json_t *object =
            json_pack("{s:{s:i, s:s, s:s, s:b}}", "error", "exit_code", err->code, "reason",
                      err->reason, "message", err->message, "retriable", (int)err->retriable);
        if (object != NULL) {
            (void)json_dumpf(object, stderr, JSON_COMPACT);
            (void)fputc('\n', stderr);
            json_decref(object);
            return;
        }
    }
    (void)fprintf(stderr, "omen: %s%s%s%s\n", err->message, err->reason[0] != '\0' ? " [" : "",
                  err->reason, err->reason[0] != '\0' ? "]" : "");
}

json_t *om_out_id(const om_ids *ids, size_t i)
{
    if (ids->type == OMEN_ID_U64 && ids->u64[i] <= INT64_MAX) {
        return json_integer((json_int_t)ids->u64[i]);
    }
    if (ids->type == OMEN_ID_STRING) {
        size_t len;
        const char *text = om_ids_string(ids, i, &len);
        return json_stringn(text, len);
    }
    char buf[OM_ID_TEXT];
    (void)om_ids_text(ids, i, buf);
    return json_string(buf);
}

const char *om_out_abi(uint32_t abi)
{
    static char text[24];
    (void)snprintf(text, sizeof text, "%u.%u", abi >> 16, abi & 0xffffu);
    return text;
}

const char *om_out_count(char *buf, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = buf;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

const char *om_out_bytes(char *buf, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(buf, 32,
                   unit == 0    ? "%.0f %s"
                   : value < 10 ? "%.2f %s"
                                : "%.1f %s",
                   value, units[unit]);
    return buf;
}

const char *om_out_rate(char *buf, double per_second)
{
    const char *unit = per_second >= 999500 ? "M" : per_second >= 9995 ? "k" : "";
    double value = unit[0] == 'M'   ? per_second / 1e6
                   : unit[0] == 'k' ? per_second / 1e3
                                    : per_second;
    int digits = unit[0] == '\0' ? (value < 10 ? 2 : 0) : value < 10 ? 2 : value < 100 ? 1 : 0;
    (void)snprintf(buf, 32, "%.*f%s", digits, value, unit);
    return buf;
}

const char *om_out_seconds(char *buf, double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 359999) {
        (void)snprintf(buf, 32, "--:--");
    } else if (seconds >= 3600) {
        (void)snprintf(buf, 32, "%d:%02d:%02d", (int)seconds / 3600, (int)seconds / 60 % 60,
                       (int)seconds % 60);
    } else {
        (void)snprintf(buf, 32, "%d:%02d", (int)seconds / 60, (int)seconds % 60);
    }
    return buf;
}

void om_bar_start(om_bar *bar, bool wanted)
{
    memset(bar, 0, sizeof *bar);
    const char *term = getenv("TERM");
    bar->on = wanted && isatty(STDERR_FILENO) && !(term != NULL && strcmp(term, "dumb") == 0);
    bar->started = om_tool_now();
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
        return size.ws_col < 400 ? size.ws_col : 400;
    }
    return 80;
}

/* `cells` characters of which the fraction is full, in eighths; out has 3 bytes a cell and a NUL. */
static void draw_cells(char *out, size_t cells, double fraction)
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    size_t full = (size_t)(fraction * (double)cells * 8);
    size_t at = 0;
    for (size_t i = 0; i < cells; i++) {
        const char *cell = full >= 8 * (i + 1) ? "█" : full > 8 * i ? eighths[full - 8 * i] : " ";
        size_t n = strlen(cell);
        memcpy(out + at, cell, n);
        at += n;
    }
    out[at] = '\0';
}

void om_bar_draw(om_bar *bar, const om_bar_state *s)
{
    double now = om_tool_now();
    if (!bar->on || now - bar->drawn < 0.1) {
        return;
    }
    bar->drawn = now;
    double elapsed = now - bar->started;
    double fraction = s->total == 0 ? 0 : (double)s->done / (double)s->total;
    fraction = fraction > 1 ? 1 : fraction;
    char rows[32], rate[32], indexed[32], left[32], text[200], cells[40 * 3 + 1], percent[16] = "";
    om_out_count(rows, s->rows);
    om_out_count(indexed, s->indexed);
    om_out_rate(rate, elapsed > 0 ? (double)s->rows / elapsed : 0);
    om_out_seconds(left, fraction > 0 ? elapsed * (1 - fraction) / fraction : -1);
    if (s->total != 0) {
        (void)snprintf(percent, sizeof percent, "%3.0f%% ", fraction * 100);
    }
    int n = snprintf(text, sizeof text, " %s%s rows  %s/s  %s indexed  ETA %s", percent, rows, rate,
                     indexed, left);
    size_t label = strlen(s->label) + 1;
    size_t used = label + 2 + (n > 0 ? (size_t)n : 0);
    size_t width = terminal_width() - 1;
    size_t room = used + 8 <= width ? width - used : 0;
    room = room > 40 ? 40 : room;
    draw_cells(cells, room, fraction);
    (void)fprintf(stderr, "\r\033[K%s %s%s%s%.*s", s->label, room > 0 ? "▕" : "", cells,
                  room > 0 ? "▏" : "", (int)(width > label ? width - label : 0), text);
    (void)fflush(stderr);
}

void om_bar_end(om_bar *bar)
{
    if (bar->on) {
        (void)fputs("\r\033[K", stderr);
        (void)fflush(stderr);
    }
    bar->on = false;
}
