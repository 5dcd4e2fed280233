/* tenants.h - limits of a tenant: rows and bytes that it may store, calls a second, calls at once.
 * Limits are the catalogue's; what is used is counted here. Every function is wait-free except where said.
 * Depends on: omen.h, failure.h.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TENANTS_H
#define OM_TENANTS_H
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"
#include "omen.h"

typedef struct om_tenants om_tenants;
typedef struct om_tenant om_tenant;
/* 0: no limit. */
typedef struct om_tenant_limits {
    uint64_t rows, bytes;    /* stored by its collections: vectors, ids, metadata and text       */
    uint32_t calls_a_second; /* token bucket, a second deep                                      */
    uint32_t calls_at_once;
    uint32_t streams; /* StreamWrite calls at once                                        */
    uint32_t weight;  /* its share of the search workers when they are short; 0: 1        */
} om_tenant_limits;

om_tenants *om_tenants_create(void); /* with the tenant `default`, unlimited */
void om_tenants_free(om_tenants *tenants);
/* [locks] Adds it or changes its limits; NULL: OM_ACCESS_MAX_TENANTS are there, or no memory. Stays valid
 * until free. */
om_tenant *om_tenants_set(om_tenants *tenants, const char *name, const om_tenant_limits *limits);
om_tenant *om_tenants_find(om_tenants *tenants, const char *name); /* [locks] NULL: none */
const char *om_tenant_name(const om_tenant *tenant);
uint32_t om_tenant_index(const om_tenant *tenant); /* small and dense: for queues by tenant */
uint32_t om_tenant_weight(const om_tenant *tenant);
/* A call comes in, or is refused: RESOURCE_EXHAUSTED / RATE (calls a second, with RetryInfo) or
 * CONCURRENCY. */
bool om_tenant_enter(om_tenant *tenant, uint64_t now_ns, bool stream, om_failure *f);
void om_tenant_leave(om_tenant *tenant, bool stream);
/* Room for what a batch would add? RESOURCE_EXHAUSTED / QUOTA with a QuotaFailure: what, used, limit. Use is
 * what the last om_tenant_used said plus what was admitted since. */
bool om_tenant_room(om_tenant *tenant, uint64_t rows, uint64_t bytes, om_failure *f);
/* What its collections hold now (about once a second). */
void om_tenant_used(om_tenant *tenant, uint64_t rows, uint64_t bytes);
#endif
