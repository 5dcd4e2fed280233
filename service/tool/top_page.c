/* top_page.c - a page of Prometheus text, taken apart in place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "top.h"

enum { MAX_BOUNDS = 64 };

static bool grow(void **array, size_t count, size_t *room, size_t each, om_tool_error *err)
{
    if (count < *room) {
        return true;
    }
    size_t more = *room == 0 ? 1024 : 2 * *room;
    void *grown = realloc(*array, more * each);
    if (grown == NULL) {
        return om_tool_no_memory(err, more * each);
    }
    *array = grown;
    *room = more;
    return true;
}

/* Of `name{labels} value`: cuts the line into three texts. False: it is not of this form. */
static bool split(char *line, char **labels, double *value)
{
    static char none[1];
    char *end = line + strcspn(line, "{ ");
    bool named = end > line;
    *labels = none;
    if (*end == '{') {
        *end = '\0';
        *labels = end + 1;
        bool quoted = false;
        for (end = *labels; *end != '\0' && (quoted || *end != '}'); end++) {
            if (quoted && *end == '\\' && end[1] != '\0') {
                end++;
            } else if (*end == '"') {
                quoted = !quoted;
            }
        }
        if (*end != '}') {
            return false;
        }
        *end++ = '\0';
    }
    if (*end != ' ' || !named) {
        return false;
    }
    *end++ = '\0';
    char *stop = end;
    *value = strtod(end, &stop);
    return stop != end && *stop == '\0';
}

typedef struct rooms {
    size_t samples, families;
} rooms;

static bool add(om_top_page *p, rooms *r, const char *name, om_top_sample sample,
                om_tool_error *err)
{
    if (!grow((void **)&p->samples, p->sample_count, &r->samples, sizeof *p->samples, err) ||
        !grow((void **)&p->families, p->family_count, &r->families, sizeof *p->families, err)) {
        return false;
    }
    sample.family = p->family_count;
    for (size_t i = p->family_count; i-- > 0 && sample.family == p->family_count;) {
        sample.family = strcmp(p->families[i].name, name) == 0 ? i : p->family_count;
    }
    if (sample.family == p->family_count) {
        p->families[p->family_count++] = (om_top_family){name, 0, 0};
    }
    p->families[sample.family].count++;
    p->samples[p->sample_count++] = sample;
    return true;
}

/* Buckets, sums and counts of a histogram take turns on the page: samples of a name are put together, in
 * their order. */
static bool gather(om_top_page *p, om_tool_error *err)
{
    size_t bytes = (p->sample_count + 1) * sizeof *p->samples;
    om_top_sample *sorted = malloc(bytes);
    size_t at = 0;
    if (sorted == NULL) {
        return om_tool_no_memory(err, bytes);
    }
    for (size_t i = 0; i < p->family_count; i++) {
        p->families[i].first = at;
        at += p->families[i].count;
        p->families[i].count = 0;
    }
    for (size_t i = 0; i < p->sample_count; i++) {
        om_top_family *f = &p->families[p->samples[i].family];
        sorted[f->first + f->count++] = p->samples[i];
    }
    free(p->samples);
    p->samples = sorted;
    return true;
}

bool om_top_parse(char *text, size_t size, om_top_page *out, om_tool_error *err)
{
    rooms r = {0, 0};
    size_t number = 0;
    *out = (om_top_page){.text = text};
    if (memchr(text, '\0', size) != NULL) {
        om_top_page_free(out);
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "the page of metrics has a zero byte in it");
    }
    for (char *line = text; line < text + size;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end != '\0' ? end + 1 : end;
        char *labels = NULL;
        double value = 0;
        *end = '\0';
        number++;
        bool ok = true;
        if (*line != '#' && *line != '\0') {
            ok = split(line, &labels, &value) ||
                 om_tool_fail(err, OM_EXIT_BAD_INPUT, "line %zu of the metrics is no sample",
                              number);
            ok = ok && add(out, &r, line, (om_top_sample){labels, value, 0}, err);
        }
        if (!ok) {
            om_top_page_free(out);
            return false;
        }
        line = next;
    }
    if (!gather(out, err)) {
        om_top_page_free(out);
        return false;
    }
    return true;
}

void om_top_page_free(om_top_page *p)
{
    free(p->text);
    free(p->samples);
    free(p->families);
    *p = (om_top_page){.text = NULL};
}

const om_top_family *om_top_find(const om_top_page *p, const char *name)
{
    for (size_t i = 0; i < p->family_count; i++) {
        if (strcmp(p->families[i].name, name) == 0) {
            return &p->families[i];
        }
    }
    return NULL;
}

/* Whether `label` (`a="b"`) is one of the labels: at their beginning or behind a comma. */
static bool has(const om_top_sample *s, const char *label)
{
    size_t size = label != NULL ? strlen(label) : 0;
    if (size == 0) {
        return true;
    }
    for (const char *at = strstr(s->labels, label); at != NULL; at = strstr(at + 1, label)) {
        bool begins = at == s->labels || at[-1] == ',';
        if (begins && (at[size] == '\0' || at[size] == ',')) {
            return true;
        }
    }
    return false;
}

double om_top_sum(const om_top_page *p, const char *name, const char *label, bool *there)
{
    const om_top_family *f = om_top_find(p, name);
    double sum = 0;
    bool found = false;
    for (size_t i = 0; f != NULL && i < f->count; i++) {
        const om_top_sample *s = &p->samples[f->first + i];
        if (has(s, label)) {
            sum += s->value;
            found = true;
        }
    }
    if (there != NULL) {
        *there = found;
    }
    return sum;
}

bool om_top_label(const om_top_sample *s, const char *label, char *out, size_t size)
{
    size_t length = strlen(label);
    for (const char *at = strstr(s->labels, label); at != NULL; at = strstr(at + 1, label)) {
        if ((at == s->labels || at[-1] == ',') && at[length] == '=' && at[length + 1] == '"') {
            const char *value = at + length + 2;
            size_t n = strcspn(value, "\"\\");
            if (value[n] != '"' || n >= size) {
                return false;
            }
            memcpy(out, value, n);
            out[n] = '\0';
            return true;
        }
    }
    return false;
}

/* ---- Histograms ---------------------------------------------------------------------------- */

typedef struct buckets {
    double bound[MAX_BOUNDS], count[MAX_BOUNDS]; /* cumulative, by rising bound */
    size_t n;
} buckets;

static void add_bucket(buckets *b, double bound, double count)
{
    size_t at = 0;
    while (at < b->n && b->bound[at] < bound) {
        at++;
    }
    if (at == b->n || b->bound[at] > bound) {
        if (b->n == MAX_BOUNDS) {
            return;
        }
        memmove(&b->bound[at + 1], &b->bound[at], (b->n - at) * sizeof b->bound[0]);
        memmove(&b->count[at + 1], &b->count[at], (b->n - at) * sizeof b->count[0]);
        b->bound[at] = bound;
        b->count[at] = 0;
        b->n++;
    }
    b->count[at] += count;
}

static void add_page(buckets *b, const om_top_page *p, const char *name, const char *label,
                     double sign)
{
    const om_top_family *f = om_top_find(p, name);
    for (size_t i = 0; f != NULL && i < f->count; i++) {
        const om_top_sample *s = &p->samples[f->first + i];
        char bound[32];
        if (has(s, label) && om_top_label(s, "le", bound, sizeof bound)) {
            add_bucket(b, strtod(bound, NULL), sign * s->value);
        }
    }
}

double om_top_quantile(const om_top_page *from, const om_top_page *to, const char *name,
                       const char *label, double q)
{
    char full[128];
    buckets b = {.n = 0};
    (void)snprintf(full, sizeof full, "%s_bucket", name);
    add_page(&b, to, full, label, 1);
    add_page(&b, from, full, label, -1);
    double total = b.n > 0 ? b.count[b.n - 1] : 0;
    if (!(total > 0)) {
        return 0;
    }
    double wanted = q * total;
    for (size_t i = 0; i < b.n; i++) {
        if (b.count[i] < wanted) {
            continue;
        }
        double low = i > 0 ? b.bound[i - 1] : 0;
        double below = i > 0 ? b.count[i - 1] : 0;
        if (isinf(b.bound[i]) || b.count[i] <= below) {
            return low;
        }
        return low + (b.bound[i] - low) * (wanted - below) / (b.count[i] - below);
    }
    return b.bound[b.n - 1];
}
