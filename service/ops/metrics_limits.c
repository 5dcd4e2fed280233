/* metrics_limits.c - connections and calls that were refused or ended to protect the others.
 * SPDX-License-Identifier: Apache-2.0 */
#include "metrics_int.h"

static void add_reasons(om_metrics *m, int family, const char *const *labels, om_cell_t *cells,
                        uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        cells[i] = om_registry_series(m->registry, family, labels[i]);
    }
}

void om_metrics_add_limits(om_metrics *m)
{
    static const char *const refused[OM_REFUSED_REASONS] = {"why=\"limit\"", "why=\"address\"",
                                                            "why=\"descriptors\""};
    static const char *const cut[OM_CUT_REASONS] = {"why=\"resets\"",      "why=\"memory\"",
                                                    "why=\"slow_reader\"", "why=\"slow_writer\"",
                                                    "why=\"answers\"",     "why=\"time\""};
    om_registry *r = m->registry;
    om_metrics_limits *l = &m->limits;
    int open = om_registry_family(r, OM_FAMILY_GAUGE_DOUBLE, "omendb_grpc_server_connections",
                                  "Open connections; a look once a second.");
    int bytes =
        om_registry_family(r, OM_FAMILY_GAUGE_DOUBLE, "omendb_grpc_server_answer_bytes",
                           "Answers that clients have not taken yet; a look once a second.");
    add_reasons(m,
                om_registry_family(r, OM_FAMILY_COUNTER,
                                   "omendb_grpc_server_connections_refused_total",
                                   "Connections that were not let in, by reason."),
                refused, l->refused, OM_REFUSED_REASONS);
    add_reasons(
        m,
        om_registry_family(r, OM_FAMILY_COUNTER, "omendb_grpc_server_cut_total",
                           "Connections (resets, memory, time) and calls (the others) that were "
                           "ended because their peer passed a limit."),
        cut, l->cut, OM_CUT_REASONS);
    l->connections = om_registry_series(r, open, "");
    l->answer_bytes = om_registry_series(r, bytes, "");
}

void om_metrics_refused(om_metrics *m, uint32_t why)
{
    if (m != NULL && why < OM_REFUSED_REASONS) {
        om_registry_add(m->registry, m->limits.refused[why], 1);
    }
}

void om_metrics_cut(om_metrics *m, uint32_t why)
{
    if (m != NULL && why < OM_CUT_REASONS) {
        om_registry_add(m->registry, m->limits.cut[why], 1);
    }
}

void om_metrics_connections(om_metrics *m, uint64_t open)
{
    if (m != NULL) {
        om_registry_set(m->registry, m->limits.connections, (double)open);
    }
}

void om_metrics_answer_bytes(om_metrics *m, uint64_t bytes)
{
    if (m != NULL) {
        om_registry_set(m->registry, m->limits.answer_bytes, (double)bytes);
    }
}
