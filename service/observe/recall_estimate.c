/* recall_estimate.c - what the measurements of a collection and plan say: a mean that forgets, and an
 * interval.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recall_int.h"

static int order(const om_recall_series *s, const char *collection, uint32_t plan)
{
    int names = strcmp(s->collection, collection);
    return names != 0 ? names : (s->plan > plan) - (s->plan < plan);
}

/* The first series that is not below. */
static size_t place_of(const om_recall_table *t, const char *collection, uint32_t plan)
{
    size_t low = 0;
    size_t high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order(&t->items[middle], collection, plan) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static om_recall_series *series_of(om_recall_table *t, const char *collection, uint32_t plan)
{
    size_t at = place_of(t, collection, plan);
    if (at < t->count && order(&t->items[at], collection, plan) == 0) {
        return &t->items[at];
    }
    if (t->count == t->capacity) {
        size_t more = t->capacity == 0 ? 64 : 2 * t->capacity;
        om_recall_series *grown =
            more <= OM_RECALL_MAX_SERIES ? realloc(t->items, more * sizeof *t->items) : NULL;
        if (grown == NULL) {
            return NULL;
        }
        t->items = grown;
        t->capacity = more;
    }
    om_recall_series *s = &t->items[at];
    memmove(s + 1, s, (t->count - at) * sizeof *s);
    t->count++;
    memset(s, 0, sizeof *s);
    (void)snprintf(s->collection, sizeof s->collection, "%s", collection);
    s->plan = plan;
    return s;
}

bool om_recall_table_add(om_recall_table *t, const char *collection, const om_recall_result *result)
{
    om_recall_series *s = series_of(t, collection, result->plan);
    if (s == NULL) {
        return false;
    }
    if (s->queries >= 2 * OM_RECALL_WINDOW) {
        s->queries /= 2;
        s->trials /= 2;
        s->sum /= 2;
        s->squares /= 2;
    }
    double share = (double)result->found / (double)result->wanted;
    s->queries += 1;
    s->trials += result->wanted;
    s->sum += share;
    s->squares += share * share;
    return true;
}

void om_recall_table_forget(om_recall_table *t, const char *collection)
{
    size_t from = place_of(t, collection, 0);
    size_t to = from;
    while (to < t->count && strcmp(t->items[to].collection, collection) == 0) {
        to++;
    }
    if (to > from) { /* else there may be no items, and so no array */
        memmove(&t->items[from], &t->items[to], (t->count - to) * sizeof *t->items);
        t->count -= to - from;
    }
}

void om_recall_merge(om_recall_series *to, const om_recall_series *from)
{
    to->queries += from->queries;
    to->trials += from->trials;
    to->sum += from->sum;
    to->squares += from->squares;
}

/* How many independent trials the hits are worth. Hits of one query are found and missed together: the
 * spread between queries tells how much. Never fewer than the queries, never more than the hits; while no
 * spread has been seen, the queries. */
static double trials_of(const om_recall_series *s, double p)
{
    double spread = s->queries > 1 ? (s->squares - s->queries * p * p) / (s->queries - 1) : 0;
    if (spread <= 1e-12) {
        return s->queries;
    }
    double worth = p * (1 - p) / (spread / s->queries);
    return fmax(s->queries, fmin(worth, s->trials));
}

/* Wilson's score interval at 95 %: it stays inside 0 to 1 and is honest for few samples. */
void om_recall_estimate_of(const om_recall_series *s, om_recall_estimate *out)
{
    const double z = 1.959963984540054;
    double p = fmin(1, s->sum / s->queries);
    double n = trials_of(s, p);
    double scale = 1 + z * z / n;
    double middle = (p + z * z / (2 * n)) / scale;
    double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale;
    memcpy(out->collection, s->collection, sizeof out->collection);
    out->plan = s->plan;
    out->queries = s->queries;
    out->recall = p;
    out->low = fmax(0, fmin(p, middle - half));
    out->high = fmin(1, fmax(p, middle + half));
}
