/* usage.h - what the collections of each tenant hold, measured for their quotas.
 * Depends on: rt_shared.h, access.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_USAGE_H
#define OM_USAGE_H
#include "rt_shared.h"

/* Looks at every collection and tells the tenants. Blocks for a look at each: at the start, when
 * limits change, when somebody asks. */
void om_usage_measure(om_rt_shared *shared);
/* About once a second: measures on an admin worker when a tenant has a quota, so often that it takes a
 * twentieth of a core at most. */
void om_usage_tick(om_rt_shared *shared, uint64_t now_ns);
#endif
