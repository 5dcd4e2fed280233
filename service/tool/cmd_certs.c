/* cmd_certs.c - certs dev: certificates for tests and first steps. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd.h"
#include "dev_certs.h"

enum { HOSTS_MAX = 64, DAYS_MAX = 3650, CLIENTS_MAX = 256 };

static void say(const om_args *args, json_t *list, const char *folder, const char *name, bool made,
                const char *lacks)
{
    if (args->json) {
        json_t *one = json_pack("{s:s, s:b}", "name", name, "made", (int)made);
        if (lacks[0] != '\0') {
            (void)json_object_set_new(one, "lacks", json_string(lacks));
        }
        (void)json_array_append_new(list, one);
    } else if (!args->quiet) {
        (void)printf("%-5s %s/%s.pem %s/%s.key\n", made ? "made" : "kept", folder, name, folder,
                     name);
    }
    if (!args->json && lacks[0] != '\0') {
        (void)fprintf(stderr, "omen: %s/%s.pem is kept, but %s: --renew makes it anew\n", folder,
                      name, lacks);
    }
}

static bool issue_one(const om_args *args, om_dev_ca *ca, const om_dev_leaf *leaf,
                      const char *folder, json_t *list, om_tool_error *err)
{
    bool made;
    char lacks[256] = "";
    if (!om_dev_issue(ca, leaf, &made, err)) {
        return false;
    }
    if (!made) {
        om_dev_lacks(ca, leaf, lacks, sizeof lacks);
    }
    say(args, list, folder, leaf->name, made, lacks);
    return true;
}

static bool is_named(const om_args *args, const char *name)
{
    for (size_t i = 0; i < args->clients.count; i++) {
        if (strcmp(args->clients.items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Those that are named, or one called client; and, to be renewed, those that are there. */
static bool issue_clients(const om_args *args, om_dev_ca *ca, om_dev_leaf *leaf, const char *folder,
                          json_t *list, om_tool_error *err)
{
    char there[CLIENTS_MAX][OM_DEV_NAME + 1];
    size_t count = args->renew ? om_dev_clients(ca, there, CLIENTS_MAX) : 0;
    bool ok = true;
    for (size_t i = 0; ok && i < args->clients.count; i++) {
        leaf->name = args->clients.items[i];
        ok = strcmp(leaf->name, "server") != 0
                 ? issue_one(args, ca, leaf, folder, list, err)
                 : om_tool_fail(err, OM_EXIT_USAGE, "a client cannot be called 'server'");
    }
    for (size_t i = 0; ok && i < count; i++) {
        leaf->name = there[i];
        ok = is_named(args, leaf->name) || issue_one(args, ca, leaf, folder, list, err);
    }
    if (ok && args->clients.count == 0 && count == 0) {
        leaf->name = "client";
        ok = issue_one(args, ca, leaf, folder, list, err);
    }
    return ok;
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
    om_dev_leaf leaf = {.name = "server",
                        .hosts = hosts,
                        .host_count = count,
                        .days = (uint32_t)args->days,
                        .replace = args->renew};
    if (!issue_one(args, ca, &leaf, folder, list, err)) {
        return false;
    }
    leaf.hosts = NULL;
    return issue_clients(args, ca, &leaf, folder, list, err);
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
    say(args, list, folder, "ca", made, "");
    bool ok = issue(args, ca, folder, list, err);
    om_dev_ca_free(ca);
    const char *first = args->clients.count > 0 ? args->clients.items[0] : "client";
    if (ok && args->json) {
        om_out_object(json_pack("{s:s, s:O}", "folder", folder, "pairs", list));
    } else if (ok && !args->quiet && !args->renew) {
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
