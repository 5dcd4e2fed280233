/* phase.c - the state of the process that the probes tell.
 * SPDX-License-Identifier: Apache-2.0 */
#include "admin.h"

#define NS_PER_SECOND UINT64_C(1000000000)

void om_health_set(om_health *health, uint32_t phase)
{
    atomic_store_explicit(&health->phase, phase, memory_order_release);
}

uint32_t om_health_get(const om_health *health)
{
    return atomic_load_explicit(&health->phase, memory_order_acquire);
}

void om_health_beat(om_health *health, uint64_t now_ns)
{
    atomic_store_explicit(&health->beat_ns, now_ns, memory_order_relaxed);
}

bool om_health_alive(const om_health *health, uint64_t now_ns)
{
    uint64_t beat = atomic_load_explicit(&health->beat_ns, memory_order_relaxed);
    return om_health_get(health) != OM_HEALTH_SERVING || now_ns < beat ||
           now_ns - beat <= OM_HEALTH_STALE_S * NS_PER_SECOND;
}
