/* remote_access.h - keys and tenants of a server: the calls of omen.v1.Access.
 * Depends on: remote.h, remote_operations.h.  Threads: one at a time.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_REMOTE_ACCESS_H
#define OM_REMOTE_ACCESS_H
#include "omen/v1/access.pb-c.h"
#include "remote.h"
#include "remote_operations.h"

/* Answers live in the connection's arena, until the next call. NULL: *err is set. */
const Omen__V1__Principal *om_remote_who(om_remote_link *r, om_tool_error *err);
const Omen__V1__CreateKeyResponse *
om_remote_key_create(om_remote_link *r, const Omen__V1__CreateKeyRequest *q, om_tool_error *err);
/* A page of them; token: of the page before, or "". */
const Omen__V1__ListKeysResponse *om_remote_keys(om_remote_link *r, bool all, const char *token,
                                                 om_tool_error *err);
const Omen__V1__Key *om_remote_key_revoke(om_remote_link *r, const char *key, om_tool_error *err);
const Omen__V1__ListTenantsResponse *om_remote_tenants(om_remote_link *r, om_tool_error *err);
const Omen__V1__Tenant *om_remote_tenant_set(om_remote_link *r, Omen__V1__Tenant *tenant,
                                             om_tool_error *err);

/* read, write, manage; "?" for another number. */
const char *om_role_name(uint32_t role);
/* "ROLE:COLLECTION" of --grant. collection points into text. */
bool om_grant_parse(const char *text, uint32_t *role, const char **collection, om_tool_error *err);
/* 90m, 12h, 30d, 8w from now on, or the first second (UTC) of a day: 2027-01-31. */
bool om_expiry_parse(const char *text, int64_t now, int64_t *out, om_tool_error *err);
/* "2026-11-20 18:30"; buf holds at least 32 bytes. Returns buf; "never" for 0. */
const char *om_out_time(char *buf, int64_t unix_seconds);
#endif
