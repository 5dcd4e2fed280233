/* access_tenants.c - the service Access: tenants and their limits. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "access_job.h"
#include "impls.h"
#include "omen/v1/access.pb-c.h"
#include "tenants.h"
#include "usage.h"

static void show(const om_tenant *tenant, Omen__V1__Tenant *out)
{
    om_tenant_limits limits;
    omen__v1__tenant__init(out);
    om_tenant_get(tenant, &limits, &out->rows, &out->bytes);
    out->name = (char *)(uintptr_t)om_tenant_name(tenant);
    out->max_rows = limits.rows;
    out->max_bytes = limits.bytes;
    out->max_calls_per_second = limits.calls_a_second;
    out->max_concurrent_calls = limits.calls_at_once;
    out->max_streams = limits.streams;
    out->weight = limits.weight;
}

static void set_work(om_rpc *rpc, const void *request)
{
    const Omen__V1__Tenant *q = ((const Omen__V1__SetTenantRequest *)request)->tenant;
    om_failure f;
    if (q == NULL) {
        om_failure_set(&f, OMEN_INVALID_ARGUMENT, "LIMIT", "tenant", "tenant is not set");
        om_rpc_finish(rpc, &f);
        return;
    }
    om_tenant_limits limits = {.rows = q->max_rows,
                               .bytes = q->max_bytes,
                               .calls_a_second = q->max_calls_per_second,
                               .calls_at_once = q->max_concurrent_calls,
                               .streams = q->max_streams,
                               .weight = q->weight};
    const om_tenant *tenant = om_access_set_tenant(om_rpc_access(rpc), q->name, &limits, &f);
    om_rpc_audit(rpc, "set_tenant", q->name, tenant != NULL);
    if (tenant == NULL) {
        om_rpc_finish(rpc, &f);
        return;
    }
    /* A new quota holds from the next batch on, so what is there must be known now. */
    om_usage_measure(om_rt_shared_of(om_rpc_runtime(rpc)));
    Omen__V1__Tenant r;
    show(tenant, &r);
    om_rpc_reply_pb(rpc, &r.base);
}

static void list_work(om_rpc *rpc, const void *request)
{
    om_tenants *tenants = om_access_tenants(om_rpc_access(rpc));
    Omen__V1__Tenant *rows = calloc(OM_ACCESS_MAX_TENANTS, sizeof *rows);
    Omen__V1__Tenant **pointers = calloc(OM_ACCESS_MAX_TENANTS, sizeof(Omen__V1__Tenant *));
    (void)request;
    om_usage_measure(om_rt_shared_of(om_rpc_runtime(rpc)));
    if (rows != NULL && pointers != NULL) {
        const om_tenant *tenant = NULL;
        Omen__V1__ListTenantsResponse r;
        omen__v1__list_tenants_response__init(&r);
        while (r.n_tenants < OM_ACCESS_MAX_TENANTS &&
               (tenant = om_tenants_at(tenants, (uint32_t)r.n_tenants)) != NULL) {
            show(tenant, &rows[r.n_tenants]);
            pointers[r.n_tenants] = &rows[r.n_tenants];
            r.n_tenants++;
        }
        r.tenants = pointers;
        om_rpc_reply_pb(rpc, &r.base);
    } else {
        om_failure f;
        om_failure_set(&f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the list");
        om_rpc_finish(rpc, &f);
    }
    free(pointers);
    free(rows);
}

static void set_message(om_rpc *rpc, om_rpc_message *m)
{
    om_access_submit(rpc, m, &omen__v1__set_tenant_request__descriptor, set_work);
}

static void list_message(om_rpc *rpc, om_rpc_message *m)
{
    om_access_submit(rpc, m, &omen__v1__list_tenants_request__descriptor, list_work);
}

const om_rpc_impl om_impl_omen_v1_Access_SetTenant = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(om_access_job), .message = set_message};
const om_rpc_impl om_impl_omen_v1_Access_ListTenants = {
    .verb = OM_VERB_ADMIN, .state_size = sizeof(om_access_job), .message = list_message};
