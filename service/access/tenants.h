/* tenants.h - limits of a tenant: rows and bytes that it may store, calls a second, calls at once.
 * Limits are the catalogue's; what is used is counted here. No function waits for another thread, except
 * where said.
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
/* With more a job would cost its lane nothing, and the other lanes would starve. */
enum { OM_TENANT_MAX_WEIGHT = 1000 };
typedef struct om_tenant_limits {
    uint64_t rows;           /* live items of its collections                                    */
    uint64_t bytes;          /* what its collections take, indexes included, memory and disk     */
    uint32_t calls_a_second; /* token bucket, a second deep                                      */
    uint32_t calls_at_once;  /* streams are calls too                                            */
    uint32_t streams;        /* StreamWrite calls at once                                        */
    uint32_t weight;         /* its share of the workers when they are short, at most
                                OM_TENANT_MAX_WEIGHT; 0: 1 */
} om_tenant_limits;

om_tenants *om_tenants_create(void); /* with the tenant `default`, unlimited */
void om_tenants_free(om_tenants *tenants);
/* [locks] Adds it or changes its limits; NULL: OM_ACCESS_MAX_TENANTS are there, no memory, or a name that is
 * empty or too long. Stays valid until free. */
om_tenant *om_tenants_set(om_tenants *tenants, const char *name, const om_tenant_limits *limits);
om_tenant *om_tenants_find(om_tenants *tenants, const char *name); /* [locks] NULL: none */
/* [locks] In the order of their making, `default` first; at: NULL: there is none. They stay valid
 * until free. */
uint32_t om_tenants_count(om_tenants *tenants);
om_tenant *om_tenants_at(om_tenants *tenants, uint32_t i);
const char *om_tenant_name(const om_tenant *tenant);
uint32_t om_tenant_index(const om_tenant *tenant); /* small and dense: for queues by tenant */
uint32_t om_tenant_weight(const om_tenant *tenant);
/* Its limits and what is used; any of the three may be NULL. */
void om_tenant_get(const om_tenant *tenant, om_tenant_limits *limits, uint64_t *rows,
                   uint64_t *bytes);
/* A call comes in, or is refused: RESOURCE_EXHAUSTED / RATE (calls a second, with RetryInfo) or
 * CONCURRENCY. */
bool om_tenant_enter(om_tenant *tenant, uint64_t now_ns, bool stream, om_failure *f);
void om_tenant_leave(om_tenant *tenant, bool stream);

/* What a batch may add, and what it takes meanwhile. */
typedef struct om_tenant_claim {
    uint64_t rows, bytes;
} om_tenant_claim;
/* Room for what a batch would add? Then it is claimed until om_tenant_settle. RESOURCE_EXHAUSTED / QUOTA with
 * a QuotaFailure: what, used, limit. Use is what the last om_tenant_used said, plus what was added and
 * claimed since. */
bool om_tenant_claim_room(om_tenant *tenant, const om_tenant_claim *claim, om_failure *f);
/* The batch is over: the claim ends, `added` is what it added indeed. */
void om_tenant_settle(om_tenant *tenant, const om_tenant_claim *claim,
                      const om_tenant_claim *added);
/* Measuring its use, about once a second: om_tenant_look before the figures are taken and om_tenant_used
 * afterwards, so that what is added meanwhile is not lost (it may count twice until the next look).
 * One thread at a time. */
typedef struct om_tenant_look_t {
    int64_t rows, bytes;
} om_tenant_look_t;
om_tenant_look_t om_tenant_look(const om_tenant *tenant);
void om_tenant_used(om_tenant *tenant, om_tenant_look_t look, uint64_t rows, uint64_t bytes);
/* Whether any tenant has a limit of rows or bytes, so that use must be measured. */
bool om_tenants_metered(const om_tenants *tenants);
#endif
