/* cmd_tenants.c - tenants: lists them with what they use, and sets their limits.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"
#include "remote_access.h"

static const char *limit(char *buf, uint64_t value)
{
    if (value == 0) {
        (void)snprintf(buf, 32, "any");
        return buf;
    }
    return om_out_count(buf, value);
}

static void show(const om_args *args, const Omen__V1__Tenant *t)
{
    char a[32], b[32], c[32], d[32], e[32], f[32], g[32];
    if (args->json) {
        om_out_object(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", t->name, "max_rows",
            (json_int_t)t->max_rows, "max_bytes", (json_int_t)t->max_bytes, "max_calls_per_second",
            (json_int_t)t->max_calls_per_second, "max_concurrent_calls",
            (json_int_t)t->max_concurrent_calls, "max_streams", (json_int_t)t->max_streams, "share",
            (json_int_t)t->weight, "rows", (json_int_t)t->rows, "bytes", (json_int_t)t->bytes));
        return;
    }
    (void)printf("%s\n  items         %s of %s\n  bytes         %s of %s\n", t->name,
                 om_out_count(a, t->rows), limit(b, t->max_rows), om_out_bytes(c, t->bytes),
                 t->max_bytes == 0 ? "any" : om_out_bytes(d, t->max_bytes));
    (void)printf("  calls         %s a second, %s at once, %s uploads; share %u\n",
                 limit(e, t->max_calls_per_second), limit(f, t->max_concurrent_calls),
                 limit(g, t->max_streams), t->weight == 0 ? 1 : t->weight);
}

/* Limits that are not told stay as they are. */
static bool overlay(const om_args *args, Omen__V1__Tenant *t, om_tool_error *err)
{
    const struct {
        const char *option;
        uint64_t given;
        uint32_t *small; /* or: */
        uint64_t *large;
    } limits[] = {{"--max-rows", args->max_rows, NULL, &t->max_rows},
                  {"--max-bytes", args->max_bytes, NULL, &t->max_bytes},
                  {"--max-calls", args->max_calls, &t->max_calls_per_second, NULL},
                  {"--max-concurrent", args->max_at_once, &t->max_concurrent_calls, NULL},
                  {"--max-streams", args->max_streams, &t->max_streams, NULL},
                  {"--share", args->share, &t->weight, NULL}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].given == OMEN_NONE) {
            continue;
        }
        if (limits[i].large != NULL) {
            *limits[i].large = limits[i].given;
        } else if (om_check_range(limits[i].option, limits[i].given, 0, UINT32_MAX, err)) {
            *limits[i].small = (uint32_t)limits[i].given;
        } else {
            return false;
        }
    }
    return true;
}

static bool set(const om_args *args, om_remote_link *r, om_tool_error *err)
{
    Omen__V1__Tenant tenant;
    omen__v1__tenant__init(&tenant);
    const Omen__V1__ListTenantsResponse *all = om_remote_tenants(r, err);
    for (size_t i = 0; all != NULL && i < all->n_tenants; i++) {
        const Omen__V1__Tenant *t = all->tenants[i];
        if (strcmp(t->name, args->rest[1]) == 0) {
            tenant.max_rows = t->max_rows;
            tenant.max_bytes = t->max_bytes;
            tenant.max_calls_per_second = t->max_calls_per_second;
            tenant.max_concurrent_calls = t->max_concurrent_calls;
            tenant.max_streams = t->max_streams;
            tenant.weight = t->weight;
        }
    }
    if (all == NULL || !overlay(args, &tenant, err)) {
        return false;
    }
    tenant.name = om_remote_text(args->rest[1]);
    const Omen__V1__Tenant *now = om_remote_tenant_set(r, &tenant, err);
    if (now != NULL && (args->json || !args->quiet)) {
        show(args, now);
    }
    return now != NULL;
}

static bool list(const om_args *args, om_remote_link *r, om_tool_error *err)
{
    const Omen__V1__ListTenantsResponse *all = om_remote_tenants(r, err);
    for (size_t i = 0; all != NULL && i < all->n_tenants; i++) {
        show(args, all->tenants[i]);
    }
    return all != NULL;
}

bool om_cmd_tenants(const om_args *args, om_tool_error *err)
{
    om_remote_link *r;
    bool setting = args->rest_count == 2 && strcmp(args->rest[0], "set") == 0;
    bool listing =
        args->rest_count == 0 || (args->rest_count == 1 && strcmp(args->rest[0], "list") == 0);
    if (!setting && !listing) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "usage: omen tenants [list], or omen tenants set NAME [OPTIONS]");
    }
    if (args->server == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "tenants are a server's: give --server HOST:PORT");
    }
    if (!om_remote_link_open(args, &r, err)) {
        return false;
    }
    bool ok = setting ? set(args, r, err) : list(args, r, err);
    om_remote_link_close(r);
    return ok;
}
