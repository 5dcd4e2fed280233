/* rng.h - a small deterministic generator: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
 * Depends on: base.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_RNG_H
#define OM_RNG_H
#include "base.h"

/* A bijective mix of 64 bits: the hash of integers everywhere. */
static inline uint64_t om_mix64(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}
static inline uint64_t om_rng_next(uint64_t *state)
{
    uint64_t value = om_mix64(*state);
    *state += UINT64_C(0x9E3779B97F4A7C15);
    return value;
}
/* 0 .. bound-1, bound >= 1 (multiply-shift; bias below 2^-32 for 32-bit bounds). */
static inline uint32_t om_rng_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(((om_rng_next(state) >> 32) * bound) >> 32);
}
#endif
