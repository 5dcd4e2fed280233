/* engine_pairs.c - the sorted maps of a segment file: from keys, and from hashes of ids, to
 * slots.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_int.h"

enum { SMALL = 16 };

static bool before(om_pair a, om_pair b)
{
    return a.value != b.value ? a.value < b.value : a.slot < b.slot;
}

static void insertion_sort(om_pair *pairs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        om_pair pair = pairs[i];
        size_t at = i;
        for (; at != 0 && before(pair, pairs[at - 1]); at--) {
            pairs[at] = pairs[at - 1];
        }
        pairs[at] = pair;
    }
}

/* Hoare's partition around a pivot that nobody can foresee to be bad; returns where the right
 * part begins, both parts being shorter than the whole. */
static size_t partition(om_pair *pairs, size_t count, uint64_t *rng)
{
    om_pair pivot = pairs[om_mix64((*rng)++) % (count - 1)];
    size_t i = 0;
    size_t j = count - 1;
    for (;;) {
        while (before(pairs[i], pivot)) {
            i++;
        }
        while (before(pivot, pairs[j])) {
            j--;
        }
        if (i >= j) {
            return j + 1;
        }
        om_pair swap = pairs[i];
        pairs[i++] = pairs[j];
        pairs[j--] = swap;
    }
}

void om_pairs_sort(om_pair *pairs, size_t count)
{
    uint64_t rng = count;
    while (count > SMALL) {
        size_t split = partition(pairs, count, &rng);
        /* The shorter part by recursion: its depth stays below the logarithm of the count. */
        if (split < count - split) {
            om_pairs_sort(pairs, split);
            pairs += split;
            count -= split;
        } else {
            om_pairs_sort(pairs + split, count - split);
            count = split;
        }
    }
    insertion_sort(pairs, count);
}

uint64_t om_id_hash(om_id id)
{
    uint64_t hash = om_mix64(id.length);
    for (size_t i = 0; i < id.length; i += sizeof hash) {
        uint64_t word = 0;
        size_t left = id.length - i;
        memcpy(&word, id.bytes + i, left < sizeof word ? left : sizeof word);
        hash = om_mix64(hash ^ word);
    }
    return hash;
}
