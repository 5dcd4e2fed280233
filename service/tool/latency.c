/* latency.c - a histogram of nanoseconds: 128 buckets for every doubling.
 * SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

static size_t bucket_of(uint64_t ns)
{
    if (ns < 128) {
        return (size_t)ns;
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(ns); /* >= 7 */
    return (size_t)(top - 6) * 128 + (size_t)((ns >> (top - 7)) & 127);
}

/* The greatest value of a bucket. */
static uint64_t bucket_top(size_t bucket)
{
    if (bucket < 128) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / 128) - 1;
    return ((uint64_t)(128 + bucket % 128 + 1) << shift) - 1;
}

void om_latency_add(om_latency *l, uint64_t ns)
{
    l->buckets[bucket_of(ns)]++;
    l->count++;
}

void om_latency_merge(om_latency *to, const om_latency *from)
{
    for (size_t i = 0; i < OM_LATENCY_BUCKETS; i++) {
        to->buckets[i] += from->buckets[i];
    }
    to->count += from->count;
}

uint64_t om_latency_quantile(const om_latency *l, double q)
{
    uint64_t want = (uint64_t)(q * (double)l->count);
    uint64_t seen = 0;
    want = want < 1 ? 1 : want > l->count ? l->count : want;
    for (size_t i = 0; i < OM_LATENCY_BUCKETS; i++) {
        seen += l->buckets[i];
        if (seen >= want && seen > 0) {
            return bucket_top(i);
        }
    }
    return 0;
}
