/* fuse.c - several ranked lists become one: reciprocal ranks (Cormack, Clarke, Buettcher, SIGIR 2009) or
 * weighted values.
 * Depends on: base.  SPDX-License-Identifier: Apache-2.0 */
#include "fuse.h"

#include <float.h>
#include <string.h>

#include "rng.h"

/* Items of all lists together: 16 lists of the longest that a search gives, with much room. */
#define ITEMS_MAX (UINT32_C(1) << 26)
#define NOTHING UINT32_MAX

/* One block of memory: sums beside the items of out, room to sort, a table of the keys. */
typedef struct scratch {
    double *score;
    om_ranked *sorted;
    uint32_t *table; /* position in out, or NOTHING */
    uint32_t mask;
    size_t bytes;
} scratch;

/* Part of the score that the item at `rank` (0: the best) has from its list. */
static double share_of(const om_ranked_list *list, const om_fuse_options *options, uint32_t rank)
{
    if (options->fusion != OMEN_FUSE_WEIGHTED) {
        return (double)list->weight / ((double)options->rank_constant + rank + 1.0);
    }
    double best = (double)list->items[0].value;
    double last = (double)list->items[list->count - 1].value;
    double value = (double)list->items[rank].value;
    /* Where all values are the same, all are the best. */
    double part = best != last ? (value - last) / (best - last) : 1.0;
    return (double)list->weight * part;
}

static omen_status_t make_scratch(const om_alloc *alloc, uint32_t total, scratch *out,
                                  omen_error *err)
{
    uint32_t slots = 16;
    while (slots < 2 * total) {
        slots *= 2;
    }
    size_t sums = om_round_up(total * sizeof(double), OM_CACHE_LINE);
    size_t room = om_round_up(total * sizeof(om_ranked), OM_CACHE_LINE);
    out->bytes = sums + room + slots * sizeof(uint32_t);
    out->mask = slots - 1;
    char *block = om_alloc_get(alloc, out->bytes, OM_CACHE_LINE);
    if (block == NULL) {
        return om_fail_memory(err, "fused lists", out->bytes);
    }
    out->score = (double *)(void *)block;
    out->sorted = (om_ranked *)(void *)(block + sums);
    out->table = (uint32_t *)(void *)(block + sums + room);
    memset(out->table, 0xff, slots * sizeof(uint32_t));
    return OMEN_OK;
}

/* Where the item of this key is in out; a new one is put behind the n that are there. */
static uint32_t place_of(const scratch *s, om_ranked *out, const om_ranked *item, uint32_t *n)
{
    uint32_t at = (uint32_t)om_mix64(item->key) & s->mask;
    while (s->table[at] != NOTHING) {
        if (out[s->table[at]].key == item->key) {
            return s->table[at];
        }
        at = (at + 1) & s->mask;
    }
    s->table[at] = *n;
    out[*n] = *item;
    s->score[*n] = 0;
    return (*n)++;
}

static bool before(const om_ranked *a, const om_ranked *b)
{
    return a->value != b->value ? a->value > b->value : a->key < b->key;
}

static void merge(const om_ranked *from, om_ranked *to, uint32_t left, uint32_t n)
{
    for (uint32_t i = 0, j = left, k = 0; k < n; k++) {
        bool first = j >= n || (i < left && !before(&from[j], &from[i]));
        to[k] = first ? from[i++] : from[j++];
    }
}

/* Merge sort, from pairs upward. */
static void sort(om_ranked *items, om_ranked *room, uint32_t n)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t at = 0; at < n; at += 2 * width) {
            uint32_t length = om_min_u32(2 * width, n - at);
            merge(items + at, room + at, om_min_u32(width, length), length);
        }
        memcpy(items, room, n * sizeof *items);
    }
}

omen_status_t om_fuse(const om_alloc *alloc, const om_ranked_list *lists, uint32_t count,
                      const om_fuse_options *options, om_ranked *out, uint32_t *found,
                      omen_error *err)
{
    uint64_t total = 0;
    scratch s = {0};
    for (uint32_t i = 0; i < count; i++) {
        total += lists[i].count;
    }
    if (total > ITEMS_MAX) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "lists: %llu items to fuse, at most %u", (unsigned long long)total,
                       ITEMS_MAX);
    }
    *found = 0;
    if (total == 0) {
        return OMEN_OK;
    }
    omen_status_t status = make_scratch(alloc, (uint32_t)total, &s, err);
    if (status != OMEN_OK) {
        return status;
    }
    /* The first list that has an item says where it is; sums are made in the order of the lists. */
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t rank = 0; rank < lists[i].count; rank++) {
            uint32_t at = place_of(&s, out, &lists[i].items[rank], &n);
            s.score[at] += share_of(&lists[i], options, rank);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i].value = s.score[i] < (double)FLT_MAX ? (float)s.score[i] : FLT_MAX;
    }
    sort(out, s.sorted, n);
    *found = n;
    om_alloc_put(alloc, s.score, s.bytes, OM_CACHE_LINE);
    return OMEN_OK;
}
