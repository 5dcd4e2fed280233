/* metrics_auth.c - families about who calls and what is refused to them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "metrics_int.h"

static om_cell_t add_single(om_metrics *m, uint32_t type, const char *name, const char *help)
{
    return om_registry_series(m->registry, om_registry_family(m->registry, type, name, help), "");
}

void om_metrics_add_auth(om_metrics *m)
{
    static const char *const reasons[OM_AUTH_REASONS] = {
        "reason=\"missing\"", "reason=\"invalid\"", "reason=\"expired\"", "reason=\"revoked\""};
    static const char *const reloads[OM_AUTH_FILES][2] = {
        {"file=\"bootstrap\",result=\"failed\"", "file=\"bootstrap\",result=\"ok\""},
        {"file=\"jwt\",result=\"failed\"", "file=\"jwt\",result=\"ok\""}};
    om_registry *r = m->registry;
    int family = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_auth_failures_total",
                                    "Calls without a good credential, by reason.");
    for (uint32_t i = 0; i < OM_AUTH_REASONS; i++) {
        m->auth_failures[i] = om_registry_series(r, family, reasons[i]);
    }
    m->auth_denied = add_single(m, OM_FAMILY_COUNTER, "omendb_auth_denied_total",
                                "Calls whose credential is good and does not allow them.");
    m->auth_lookups =
        add_single(m, OM_FAMILY_COUNTER, "omendb_auth_cache_misses_total",
                   "Credentials that had to be verified: they were not in the cache.");
    m->auth_keys =
        add_single(m, OM_FAMILY_GAUGE_DOUBLE, "omendb_auth_keys", "Keys that are not revoked.");
    family = om_registry_family(r, OM_FAMILY_COUNTER, "omendb_auth_reloads_total",
                                "Times that a changed file of keys was read, by result.");
    for (uint32_t i = 0; i < OM_AUTH_FILES; i++) {
        m->auth_reloads[i][0] = om_registry_series(r, family, reloads[i][0]);
        m->auth_reloads[i][1] = om_registry_series(r, family, reloads[i][1]);
    }
    m->audit_failures = add_single(m, OM_FAMILY_COUNTER, "omendb_audit_failed_lines_total",
                                   "Lines of the audit log that could not be written.");
}

void om_metrics_auth_failure(om_metrics *m, uint32_t why)
{
    if (m != NULL && why < OM_AUTH_REASONS) {
        om_registry_add(m->registry, m->auth_failures[why], 1);
    }
}

void om_metrics_auth_denied(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->auth_denied, 1);
    }
}

void om_metrics_auth_lookup(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->auth_lookups, 1);
    }
}

void om_metrics_auth_reload(om_metrics *m, uint32_t file, bool ok)
{
    if (m != NULL && file < OM_AUTH_FILES) {
        om_registry_add(m->registry, m->auth_reloads[file][ok ? 1 : 0], 1);
    }
}

void om_metrics_auth_keys(om_metrics *m, uint64_t count)
{
    if (m != NULL) {
        om_registry_set(m->registry, m->auth_keys, (double)count);
    }
}

void om_metrics_audit_failure(om_metrics *m)
{
    if (m != NULL) {
        om_registry_add(m->registry, m->audit_failures, 1);
    }
}
