/* engine_policy.c - which segments are merged next: a function of their sizes alone.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every segment costs each search a walk of its own, and every merge writes its rows again. Four or more
 * neighbours are merged when the result has at least twice the live bytes of the largest of them: then a
 * row is written once for each doubling of its segment at most, and once for each factor of four when
 * segments are sealed at one size. Equal sizes alone would not do: small segments (of an idle collection, of
 * a checkpoint that somebody asked for) may lie between large ones, and rows stay in the order of
 * their writing, so only neighbours can be merged. Of several such runs the smallest is taken first: small
 * merges are soon done and count as much. */
#include "engine_files.h"

/* Live rows decide: the dead ones are not written again. */
static uint64_t weight(const om_policy_segment *segment)
{
    return segment->rows == 0 ? 0
                              : (uint64_t)((double)segment->bytes *
                                           ((double)segment->live / (double)segment->rows));
}

/* The segment with the largest share of dead rows, when that is too large. */
static om_policy_pick wasteful(const om_policy_segment *segments, uint32_t count,
                               const om_policy_limits *limits)
{
    om_policy_pick pick = {.count = 0};
    double worst = 0;
    for (uint32_t i = 0; i < count; i++) {
        const om_policy_segment *s = &segments[i];
        bool fits = s->live <= limits->rows;
        double share = s->rows == 0 ? 0 : (double)(s->rows - s->live) / (double)s->rows;
        if (fits && s->rows != 0 && om_policy_wasteful(s->rows, s->live) && share > worst) {
            worst = share;
            pick = (om_policy_pick){.first = i, .count = 1};
        }
    }
    return pick;
}

/* The shortest run from `first` on that is worth a merge; its weight, 0 when there is none. */
static uint64_t run_from(const om_policy_segment *segments, uint32_t first, uint32_t count,
                         const om_policy_limits *limits, uint32_t *length)
{
    uint64_t sum = 0;
    uint64_t rows = 0;
    uint64_t largest = 0;
    for (uint32_t i = first; i < count; i++) {
        uint64_t own = weight(&segments[i]);
        sum += own;
        rows += segments[i].live;
        largest = own > largest ? own : largest;
        if (sum > limits->bytes || rows > limits->rows) {
            return 0;
        }
        if (i - first + 1 >= OM_MERGE_LEAST && sum >= OM_MERGE_GROWTH * largest) {
            *length = i - first + 1;
            return sum != 0 ? sum : 1;
        }
    }
    return 0;
}

om_policy_pick om_policy_choose(const om_policy_segment *segments, uint32_t count,
                                const om_policy_limits *limits)
{
    om_policy_pick pick = wasteful(segments, count, limits);
    uint64_t least = UINT64_MAX;
    if (pick.count != 0) {
        return pick;
    }
    for (uint32_t first = 0; first < count; first++) {
        uint32_t length = 0;
        uint64_t sum = run_from(segments, first, count, limits, &length);
        if (sum != 0 && sum < least) {
            least = sum;
            pick = (om_policy_pick){.first = first, .count = length};
        }
    }
    return pick;
}

om_policy_pick om_policy_all(const om_policy_segment *segments, uint32_t count)
{
    bool needed = count > 1 || (count == 1 && segments[0].live != segments[0].rows);
    return (om_policy_pick){.first = 0, .count = needed ? count : 0};
}
