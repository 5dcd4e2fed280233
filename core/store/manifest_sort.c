/* manifest_sort.c - numbers in order: equal ids are found side by side, whatever the file holds.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A radix sort: its time does not depend on the numbers, which may be chosen to hurt, and ids that are small
 * (they count from 1) need few passes. */
#include <string.h>

#include "manifest_int.h"

enum { RADIX = 256 };

void om_tags_sort(om_tag *tags, om_tag *scratch, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all |= tags[i].key;
    }
    om_tag *from = tags, *to = scratch;
    for (uint32_t shift = 0; shift < 64 && all >> shift != 0; shift += 8) {
        size_t at[RADIX] = {0}, next = 0;
        for (size_t i = 0; i < count; i++) {
            at[from[i].key >> shift & 255]++;
        }
        for (uint32_t digit = 0; digit < RADIX; digit++) {
            size_t here = at[digit];
            at[digit] = next;
            next += here;
        }
        for (size_t i = 0; i < count; i++) {
            to[at[from[i].key >> shift & 255]++] = from[i];
        }
        om_tag *swap = from;
        from = to;
        to = swap;
    }
    if (from != tags) {
        memcpy(tags, from, count * sizeof *tags);
    }
}

size_t om_tags_find(const om_tag *tags, size_t count, uint64_t key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tags[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
