/* cmd_certs.c - certs dev: certificates for tests and first steps. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"
#include "dev_certs.h"

enum { HOSTS_MAX = 64, DAYS_MAX = 3650 };

static void say(const om_args *args, json_t *list, const char *folder, const char *name, bool made)
{
    if (args->json) {
        (void)json_array_append_new(list, json_pack("{s:s, s:b}", "name", name, "made", (int)made));
    } else if (!args->quiet) {
        (void)printf("%-5s %s/%s.pem %s/%s.key\n", made ? "made" : "kept", folder, name, folder,
                     name);
    }
}

static bool issue(const om_args *args, om_dev_ca *ca, const char *folder, json_t *list,
                  om_tool_error *err)
{
    const char *hosts[HOSTS_MAX] = {"localhost", "127.0.0.1", "::1"};
    size_t count = 3;
    if (args->hosts.count > HOSTS_MAX - count) {
        return om_tool_fail(err, OM_EXIT_USAGE, "at most %d times --host", HOSTS_MAX - 3);
    }
    for (size_t i = 0; i < args->hosts.count; i++) {
        hosts[count++] = args->hosts.items[i];
    }
    bool made;
    om_dev_leaf leaf = {.name = "server",
                        .hosts = hosts,
                        .host_count = count,
                        .days = (uint32_t)args->days,
                        .replace = args->renew};
    if (!om_dev_issue(ca, &leaf, &made, err)) {
        return false;
    }
    say(args, list, folder, "server", made);
    leaf.hosts = NULL;
    for (size_t i = 0; i < (args->clients.count > 0 ? args->clients.count : 1); i++) {
        leaf.name = args->clients.count > 0 ? args->clients.items[i] : "client";
        if (strcmp(leaf.name, "server") == 0) {
            return om_tool_fail(err, OM_EXIT_USAGE, "a client cannot be called 'server'");
        }
        if (!om_dev_issue(ca, &leaf, &made, err)) {
            return false;
        }
        say(args, list, folder, leaf.name, made);
    }
    return true;
}

bool om_cmd_certs(const om_args *args, om_tool_error *err)
{
    om_dev_ca *ca;
    bool made;
    const char *folder = args->rest_count == 2 ? args->rest[1] : "certs";
    if (strcmp(args->rest[0], "dev") != 0) {
        return om_tool_fail(err, OM_EXIT_USAGE, "usage: omen certs dev [FOLDER] [OPTIONS]");
    }
    if (!om_check_range("--days", args->days, 1, DAYS_MAX, err) ||
        !om_dev_ca_open(folder, &made, &ca, err)) {
        return false;
    }
    json_t *list = args->json ? json_array() : NULL;
    say(args, list, folder, "ca", made);
    bool ok = issue(args, ca, folder, list, err);
    om_dev_ca_free(ca);
    const char *first = args->clients.count > 0 ? args->clients.items[0] : "client";
    if (ok && args->json) {
        om_out_object(json_pack("{s:s, s:O}", "folder", folder, "pairs", list));
    } else if (ok && !args->quiet) {
        (void)printf("\nFor tests: whoever reads ca.key can pretend to be anybody.\n"
                     "  omend --tls-cert %s/server.pem --tls-key %s/server.key --tls-client-ca "
                     "%s/ca.pem\n"
                     "  omen list --tls-ca %s/ca.pem --tls-cert %s/%s.pem --tls-key %s/%s.key "
                     "--server localhost:7700\n",
                     folder, folder, folder, folder, folder, first, folder, first);
    }
    json_decref(list);
    return ok;
}
