/* metasort.c - sorts the values of a dictionary. SPDX-License-Identifier: Apache-2.0
 *
 * Numbers become unsigned keys of 8 bytes and are sorted by radix. Strings are sorted by their first 8
 * bytes so, then runs that agree by the next 8, and so on: no string is compared with another as a
 * whole, and the work is bounded by the bytes that there are, whatever they look like. */
#include "metasort.h"

#include <string.h>

#include "metablock_int.h"
#include "metarow_int.h"

enum { DIGITS = 8, VALUES = 256, SMALL = 48 };

static void insert_keys(om_sortitem *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        om_sortitem item = items[i];
        uint32_t at = i;
        for (; at > 0 && items[at - 1].key > item.key; at--) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
}

/* One pass: by one digit, from items to out. */
static void scatter(const om_sortitem *items, uint32_t count, uint32_t digit, uint32_t *places,
                    om_sortitem *out)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < VALUES; i++) {
        uint32_t here = places[i];
        places[i] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++) {
        out[places[items[i].key >> 8 * digit & 0xFF]++] = items[i];
    }
}

void om_metasort_keys(om_sortitem *items, uint32_t count, om_sortitem *scratch)
{
    if (count <= SMALL) {
        insert_keys(items, count);
        return;
    }
    uint32_t counts[DIGITS][VALUES];
    memset(counts, 0, sizeof counts);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t digit = 0; digit < DIGITS; digit++) {
            counts[digit][items[i].key >> 8 * digit & 0xFF]++;
        }
    }
    om_sortitem *from = items;
    om_sortitem *to = scratch;
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        if (counts[digit][from[0].key >> 8 * digit & 0xFF] == count) {
            continue; /* all have the same digit here */
        }
        scatter(from, count, digit, counts[digit], to);
        om_sortitem *other = from;
        from = to;
        to = other;
    }
    if (from != items) {
        memcpy(items, from, count * sizeof items[0]);
    }
}

/* 8 bytes of a string from `depth` on as a number of their order; zeros behind its end. */
static uint64_t key_at(const uint8_t *bytes, size_t size, uint64_t depth)
{
    uint8_t part[8] = {0};
    if (depth >= size) {
        return 0;
    }
    size_t left = size - (size_t)depth;
    if (left >= 8) {
        return __builtin_bswap64(om_load64(bytes + depth));
    }
    memcpy(part, bytes + depth, left);
    return __builtin_bswap64(om_load64(part));
}

/* A run of strings that agree up to depth + 8, zeros behind their ends taken for bytes: those that end
 * there go first, by their length. Returns how many these are: 9 at most, as they are different. */
static uint32_t settle_short(const om_metadict *dict, om_sortitem *items, uint32_t count,
                             uint64_t depth)
{
    uint32_t ended = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t size;
        (void)om_metadict_value(dict, items[i].number, &size);
        if (size > depth + 8) {
            continue;
        }
        om_sortitem item = items[i];
        items[i] = items[ended];
        uint32_t at = ended++;
        item.key = size;
        for (; at > 0 && items[at - 1].key > item.key; at--) {
            items[at] = items[at - 1];
        }
        items[at] = item;
    }
    return ended;
}

static void sort_strings(const om_metadict *dict, om_sortitem *items, om_sortitem *scratch,
                         om_sortrun *pending)
{
    uint32_t waiting = 0;
    pending[waiting++] = (om_sortrun){.count = dict->count};
    while (waiting > 0) {
        om_sortrun run = pending[--waiting];
        om_sortitem *part = items + run.start;
        for (uint32_t i = 0; i < run.count; i++) {
            size_t size;
            const uint8_t *bytes = om_metadict_value(dict, part[i].number, &size);
            part[i].key = key_at(bytes, size, run.depth);
        }
        om_metasort_keys(part, run.count, scratch);
        for (uint32_t i = 0; i < run.count;) {
            uint32_t to = i + 1;
            while (to < run.count && part[to].key == part[i].key) {
                to++;
            }
            uint32_t left = to - i;
            if (left > 1) {
                left -= settle_short(dict, part + i, left, run.depth);
            }
            if (left > 1) {
                /* Runs that wait are disjoint and have two strings at least. */
                pending[waiting++] = (om_sortrun){
                    .start = run.start + to - left, .count = left, .depth = run.depth + 8};
            }
            i = to;
        }
    }
}

static int compare_points(const uint8_t *a, const uint8_t *b)
{
    uint64_t x = om_load64(a);
    uint64_t y = om_load64(b);
    if (x == y) {
        x = om_load64(a + 8);
        y = om_load64(b + 8);
    }
    return (x > y) - (x < y);
}

/* Points of one cell by the bits of their numbers. A cell is about a centimetre wide: only data made
 * for it has many different points in one, and then shell sort bounds the work. */
static void sort_cell(const om_metadict *dict, om_sortitem *items, uint32_t count)
{
    static const uint32_t gaps[] = {47093, 20930, 9302, 4134, 1837, 816, 363,
                                    161,   72,    32,   14,   6,    1};
    for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++) {
        for (uint32_t i = gaps[g]; i < count; i++) {
            om_sortitem item = items[i];
            const uint8_t *value = dict->values.data + 16 * (size_t)item.number;
            uint32_t at = i;
            while (at >= gaps[g] &&
                   compare_points(dict->values.data + 16 * (size_t)items[at - gaps[g]].number,
                                  value) > 0) {
                items[at] = items[at - gaps[g]];
                at -= gaps[g];
            }
            items[at] = item;
        }
    }
}

static void sort_points(const om_metadict *dict, om_sortitem *items, om_sortitem *scratch)
{
    for (uint32_t i = 0; i < dict->count; i++) {
        om_geo_point point;
        memcpy(&point, dict->values.data + 16 * (size_t)items[i].number, sizeof point);
        items[i].key = om_geo_cell(point.lat, point.lon);
    }
    om_metasort_keys(items, dict->count, scratch);
    for (uint32_t i = 0; i < dict->count;) {
        uint32_t to = i + 1;
        while (to < dict->count && items[to].key == items[i].key) {
            to++;
        }
        sort_cell(dict, items + i, to - i);
        i = to;
    }
}

void om_metasort_dict(const om_metadict *dict, uint16_t type, om_sortitem *items,
                      om_sortitem *scratch, om_sortrun *pending)
{
    for (uint32_t i = 0; i < dict->count; i++) {
        items[i] = (om_sortitem){.number = i};
    }
    if (dict->width == 0) {
        sort_strings(dict, items, scratch, pending);
        return;
    }
    if (type == OMEN_TYPE_GEO) {
        sort_points(dict, items, scratch);
        return;
    }
    for (uint32_t i = 0; i < dict->count; i++) {
        uint64_t bits = om_load64(dict->values.data + 8 * (size_t)i);
        items[i].key = type == OMEN_TYPE_DOUBLE ? om_order_double(bits) : om_order_int(bits);
    }
    om_metasort_keys(items, dict->count, scratch);
}
