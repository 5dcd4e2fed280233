/* remote_access.c - Access: keys, tenants, who one is. SPDX-License-Identifier: Apache-2.0 */
#include "remote_access.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const void *call(om_remote_link *r, const char *method, const ProtobufCMessage *request,
                        const ProtobufCMessageDescriptor *type, om_tool_error *err)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/omen.v1.Access/%s", method);
    return om_remote_call(&r->endpoint, r->client, path, request, type, &r->arena, err);
}

const Omen__V1__Principal *om_remote_who(om_remote_link *r, om_tool_error *err)
{
    Omen__V1__WhoAmIRequest request;
    omen__v1__who_am_irequest__init(&request);
    return call(r, "WhoAmI", &request.base, &omen__v1__principal__descriptor, err);
}

const Omen__V1__CreateKeyResponse *
om_remote_key_create(om_remote_link *r, const Omen__V1__CreateKeyRequest *q, om_tool_error *err)
{
    return call(r, "CreateKey", &q->base, &omen__v1__create_key_response__descriptor, err);
}

const Omen__V1__ListKeysResponse *om_remote_keys(om_remote_link *r, bool all, const char *token,
                                                 om_tool_error *err)
{
    Omen__V1__ListKeysRequest request;
    omen__v1__list_keys_request__init(&request);
    request.with_revoked = all;
    request.page_token = om_remote_text(token);
    return call(r, "ListKeys", &request.base, &omen__v1__list_keys_response__descriptor, err);
}

const Omen__V1__Key *om_remote_key_revoke(om_remote_link *r, const char *key, om_tool_error *err)
{
    Omen__V1__RevokeKeyRequest request;
    omen__v1__revoke_key_request__init(&request);
    request.key = om_remote_text(key);
    const Omen__V1__RevokeKeyResponse *answer =
        call(r, "RevokeKey", &request.base, &omen__v1__revoke_key_response__descriptor, err);
    if (answer != NULL && answer->key == NULL) {
        om_tool_fail(err, OM_EXIT_RUNTIME, "the server's answer names no key");
    }
    return answer != NULL ? answer->key : NULL;
}

const Omen__V1__ListTenantsResponse *om_remote_tenants(om_remote_link *r, om_tool_error *err)
{
    Omen__V1__ListTenantsRequest request;
    omen__v1__list_tenants_request__init(&request);
    return call(r, "ListTenants", &request.base, &omen__v1__list_tenants_response__descriptor, err);
}

const Omen__V1__Tenant *om_remote_tenant_set(om_remote_link *r, Omen__V1__Tenant *tenant,
                                             om_tool_error *err)
{
    Omen__V1__SetTenantRequest request;
    omen__v1__set_tenant_request__init(&request);
    request.tenant = tenant;
    return call(r, "SetTenant", &request.base, &omen__v1__tenant__descriptor, err);
}

static const char *const roles[] = {"read", "write", "manage"};
enum { ROLES = sizeof roles / sizeof *roles };

const char *om_role_name(uint32_t role)
{
    return role >= 1 && role <= ROLES ? roles[role - 1] : "?";
}

bool om_grant_parse(const char *text, uint32_t *role, const char **collection, om_tool_error *err)
{
    size_t length = strcspn(text, ":");
    for (uint32_t i = 0; i < ROLES; i++) {
        if (strlen(roles[i]) == length && memcmp(roles[i], text, length) == 0 &&
            text[length] == ':' && text[length + 1] != '\0') {
            *role = i + 1;
            *collection = text + length + 1;
            return true;
        }
    }
    return om_tool_fail(err, OM_EXIT_USAGE,
                        "--grant %s: it must be read:, write: or manage: and a collection, as in "
                        "write:films, read:shop-* or manage:*",
                        text);
}

static bool parse_day(const char *text, int64_t *out)
{
    struct tm day;
    memset(&day, 0, sizeof day);
    const char *end = strptime(text, "%Y-%m-%d", &day);
    if (end == NULL || *end != '\0') {
        return false;
    }
    int mday = day.tm_mday;
    *out = (int64_t)timegm(&day);
    return day.tm_mday == mday; /* it makes 1 March of 29 February where there is none */
}

bool om_expiry_parse(const char *text, int64_t now, int64_t *out, om_tool_error *err)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    char *end = NULL;
    long number = text[0] >= '0' && text[0] <= '9' ? strtol(text, &end, 10) : 0;
    bool ok = false;
    for (size_t i = 0; number > 0 && i < sizeof units / sizeof *units && !ok; i++) {
        int64_t seconds;
        ok = end[0] == units[i].letter && end[1] == '\0' &&
             !__builtin_mul_overflow((int64_t)number, units[i].seconds, &seconds) &&
             !__builtin_add_overflow(now, seconds, out);
    }
    ok = ok || parse_day(text, out);
    if (!ok) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--expires %s: it must be a time as 90m, 12h, 30d or 8w, or a day as "
                            "2027-01-31",
                            text);
    }
    return *out > now ? true : om_tool_fail(err, OM_EXIT_USAGE, "--expires %s is over", text);
}

const char *om_out_time(char *buf, int64_t unix_seconds)
{
    struct tm parts;
    time_t at = (time_t)unix_seconds;
    if (unix_seconds == 0 || gmtime_r(&at, &parts) == NULL ||
        strftime(buf, 32, "%Y-%m-%d %H:%M", &parts) == 0) {
        (void)snprintf(buf, 32, "never");
    }
    return buf;
}
