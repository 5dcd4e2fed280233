/* ops_promtext.c - the strict reader.
 * SPDX-License-Identifier: Apache-2.0 */
#include "ops_promtext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FAMILIES = 512, MAX_SAMPLES = 20000 };

typedef struct sample {
    char name[128];   /* without labels */
    char labels[512]; /* without "le" */
    char le[32];
    double value;
    int family;
} sample;

typedef struct reader {
    char families[MAX_FAMILIES][128];
    char types[MAX_FAMILIES][16];
    int family_count;
    char helped[128]; /* the family of the HELP line just read */
    sample *samples;
    size_t sample_count;
} reader;

static char problem[1024];

static const char *bad(const char *why, const char *line)
{
    (void)snprintf(problem, sizeof problem, "%s: %.300s", why, line);
    return problem;
}

static size_t name_length(const char *text, bool label)
{
    size_t n = 0;
    for (;; n++) {
        char c = text[n];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(n > 0 && c >= '0' && c <= '9') && !(c == ':' && !label)) {
            return n;
        }
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int find_family(const reader *r, const char *name)
{
    for (int i = 0; i < r->family_count; i++) {
        if (strcmp(r->families[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static const char *read_comment(reader *r, const char *line)
{
    char name[128];
    char type[16];
    if (sscanf(line, "# HELP %127s", name) == 1) {
        const char *text = strchr(line + 7, ' ');
        if (text == NULL || text[1] == '\0') {
            return bad("help without a text", line);
        }
        (void)snprintf(r->helped, sizeof r->helped, "%s", name);
        return NULL;
    }
    if (sscanf(line, "# TYPE %127s %15s", name, type) != 2 || name[name_length(name, false)]) {
        return bad("a comment that is neither HELP nor TYPE", line);
    }
    bool counter = strcmp(type, "counter") == 0;
    if (!counter && strcmp(type, "gauge") != 0 && strcmp(type, "histogram") != 0) {
        return bad("unknown type", line);
    }
    if (strcmp(r->helped, name) != 0) {
        return bad("TYPE without HELP before it", line);
    }
    if (find_family(r, name) >= 0 || r->family_count == MAX_FAMILIES) {
        return bad("family twice, or too many", line);
    }
    if (counter != ends_with(name, "_total")) {
        return bad("_total belongs to counters, and to all of them", line);
    }
    if (ends_with(name, "_sum") || ends_with(name, "_count") || ends_with(name, "_bucket")) {
        return bad("the suffix belongs to histograms", line);
    }
    (void)snprintf(r->families[r->family_count], sizeof r->families[0], "%s", name);
    (void)snprintf(r->types[r->family_count++], sizeof r->types[0], "%s", type);
    return NULL;
}

/* One name="value" at *at; moves behind it. False: malformed. */
static bool read_label(const char **at, sample *s)
{
    size_t n = name_length(*at, true);
    const char *name = *at;
    const char *value = name + n + 2;
    if (n == 0 || name[n] != '=' || name[n + 1] != '"') {
        return false;
    }
    const char *end = value;
    for (; *end != '"'; end++) {
        if (*end == '\0' || (*end == '\\' && strchr("\\\"n", *++end) == NULL)) {
            return false;
        }
    }
    if (n == 2 && memcmp(name, "le", 2) == 0) {
        (void)snprintf(s->le, sizeof s->le, "%.*s", (int)(end - value), value);
    } else {
        size_t used = strlen(s->labels);
        (void)snprintf(s->labels + used, sizeof s->labels - used, "%.*s,", (int)(end + 1 - name),
                       name);
    }
    *at = end + 1;
    return true;
}

static bool read_sample(const char *line, sample *s)
{
    char *end = NULL;
    size_t n = name_length(line, false);
    memset(s, 0, sizeof *s);
    if (n == 0 || n >= sizeof s->name) {
        return false;
    }
    memcpy(s->name, line, n);
    const char *at = line + n;
    while (*at == '{' || *at == ',') {
        at++;
        if (!read_label(&at, s)) {
            return false;
        }
    }
    if (line[n] == '{' && *at++ != '}') {
        return false;
    }
    if (*at != ' ') {
        return false;
    }
    s->value = strtod(at + 1, &end);
    return end != at + 1 && *end == '\0';
}

static const char *add_sample(reader *r, const char *line)
{
    sample *s = &r->samples[r->sample_count];
    if (r->sample_count == MAX_SAMPLES || !read_sample(line, s)) {
        return bad("not a sample", line);
    }
    int family = r->family_count - 1; /* families are in one piece: it must be the last */
    bool histogram = family >= 0 && strcmp(r->types[family], "histogram") == 0;
    char base[128];
    (void)snprintf(base, sizeof base, "%s", s->name);
    if (histogram) {
        size_t n = strlen(base);
        n -= ends_with(base, "_bucket") ? 7 : ends_with(base, "_count") ? 6 : 4;
        base[n] = '\0';
    }
    if (family < 0 || strcmp(r->families[family], base) != 0) {
        return bad("a sample outside of its family", line);
    }
    if (ends_with(s->name, "_bucket") != (s->le[0] != '\0')) {
        return bad("le belongs to buckets", line);
    }
    if (s->value < 0 && strcmp(r->types[family], "gauge") != 0) {
        return bad("negative", line);
    }
    for (size_t i = r->sample_count; i-- > 0 && r->samples[i].family == family;) {
        const sample *o = &r->samples[i];
        if (strcmp(o->name, s->name) == 0 && strcmp(o->labels, s->labels) == 0 &&
            strcmp(o->le, s->le) == 0) {
            return bad("a sample twice", line);
        }
    }
    s->family = family;
    r->sample_count++;
    return NULL;
}

/* Buckets of one series stand together, rise with le and end with +Inf, _sum and _count. */
static const char *check_histograms(const reader *r)
{
    for (size_t i = 0; i < r->sample_count; i++) {
        const sample *s = &r->samples[i];
        if (s->le[0] == '\0') {
            continue;
        }
        bool last = strcmp(s->le, "+Inf") == 0;
        if (i + (last ? 2 : 1) >= r->sample_count) {
            return bad("histogram without an end", s->name);
        }
        const sample *next = &r->samples[i + 1];
        if (strcmp(next->labels, s->labels) != 0) {
            return bad("histogram torn apart", s->name);
        }
        if (!last && (strtod(next->le, NULL) <= strtod(s->le, NULL) || next->value < s->value)) {
            return bad("buckets must rise", s->name);
        }
        if (last &&
            (!ends_with(next->name, "_sum") || !ends_with(r->samples[i + 2].name, "_count") ||
             r->samples[i + 2].value != s->value)) {
            return bad("+Inf, _sum and _count do not fit", s->name);
        }
    }
    return NULL;
}

const char *promtext_check(const char *text)
{
    static reader r;
    char line[2048];
    const char *result = NULL;
    memset(&r, 0, sizeof r);
    r.samples = calloc(MAX_SAMPLES + 1, sizeof *r.samples);
    while (r.samples != NULL && *text != '\0' && result == NULL) {
        size_t n = strcspn(text, "\n");
        if (text[n] != '\n' || n >= sizeof line || n == 0) {
            result = bad("a line that is empty, too long or without an end", text);
            break;
        }
        (void)snprintf(line, sizeof line, "%.*s", (int)n, text);
        result = line[0] == '#' ? read_comment(&r, line) : add_sample(&r, line);
        text += n + 1;
    }
    if (result == NULL) {
        result = r.samples == NULL ? "no memory" : check_histograms(&r);
    }
    free(r.samples);
    return result;
}

bool promtext_value(const char *text, const char *series, double *out)
{
    size_t n = strlen(series);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, series, n) == 0 && line[n] == ' ') {
            *out = strtod(line + n + 1, NULL);
            return true;
        }
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return false;
}

size_t promtext_count(const char *text, const char *name)
{
    size_t count = 0;
    size_t n = strlen(name);
    for (const char *line = text; line != NULL && *line != '\0';) {
        count += strncmp(line, name, n) == 0 && (line[n] == ' ' || line[n] == '{');
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return count;
}
