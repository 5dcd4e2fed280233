/* principal.c - who calls: names, grants, and how long that holds. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access_int.h"

int64_t om_access_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec;
}

/* False: it could not be computed. Each part ends with its NUL, so that none runs into the next. */
static bool make_identity(const om_box_request *q, uint8_t out[OM_ACCESS_IDENTITY])
{
    static const uint8_t none[OM_HASH];
    const char *parts[] = {q->name, q->tenant != NULL ? om_tenant_name(q->tenant) : "",
                           q->id != NULL ? q->id : ""};
    char text[1 + 2 * (OM_ACCESS_MAX_PRINCIPAL + 1) + OM_JWT_ISSUER + 1];
    uint8_t hash[OM_HASH];
    size_t at = 0;
    text[at++] = (char)q->kind;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = strlen(parts[i]) + 1;
        if (n > sizeof text - at) {
            return false;
        }
        memcpy(text + at, parts[i], n);
        at += n;
    }
    om_sha256(text, at, hash);
    memcpy(out, hash, OM_ACCESS_IDENTITY);
    return memcmp(hash, none, sizeof none) != 0;
}

om_box *om_box_create(const om_box_request *q)
{
    om_box *box = calloc(1, sizeof *box + q->grant_count * sizeof box->grants[0]);
    if (box == NULL) {
        return NULL;
    }
    if (!make_identity(q, box->principal.identity)) {
        free(box);
        return NULL;
    }
    (void)snprintf(box->principal.name, sizeof box->principal.name, "%s", q->name);
    box->principal.kind = q->kind;
    box->principal.tenant = q->tenant;
    box->principal.expires = q->expires;
    box->principal.grant_count = (uint32_t)q->grant_count;
    box->principal.grants = box->grants;
    if (q->grant_count > 0) {
        memcpy(box->grants, q->grants, q->grant_count * sizeof box->grants[0]);
    }
    box->until = q->expires == 0 ? 0 : q->kind == OM_BY_JWT ? q->expires + OM_LEEWAY_S : q->expires;
    atomic_init(&box->refs, 1);
    return box;
}

om_box *om_box_hold(om_box *box)
{
    atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    return box;
}

void om_box_release(om_box *box)
{
    if (box != NULL && atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) == 1) {
        free(box);
    }
}

void om_principal_release(const om_principal *principal)
{
    if (principal != NULL) {
        om_box_release(om_box_of(principal));
    }
}

const om_principal *om_principal_hold(const om_principal *principal)
{
    return &om_box_hold(om_box_of(principal))->principal;
}

bool om_access_refuse(om_failure *f, const char *reason, const char *text)
{
    return om_failure_set(f, OM_CODE_UNAUTHENTICATED, reason, NULL, "%s", text);
}

bool om_box_good(const om_box *box, int64_t now, om_failure *f)
{
    if (atomic_load_explicit(&box->revoked, memory_order_acquire)) {
        return om_access_refuse(f, "CREDENTIAL_REVOKED",
                                "the credential was revoked: ask for another one");
    }
    if (box->until != 0 && now >= box->until) {
        return om_access_refuse(f, "CREDENTIAL_EXPIRED",
                                "the credential has expired: ask for another one");
    }
    return true;
}

bool om_box_fresh(const om_box *box)
{
    return box->generation == NULL ||
           atomic_load_explicit(box->generation, memory_order_acquire) == box->verified;
}

bool om_principal_still(const om_principal *principal)
{
    const om_box *box = om_box_of(principal);
    return !atomic_load_explicit(&box->revoked, memory_order_acquire) && om_box_fresh(box) &&
           (box->until == 0 || om_access_now() < box->until);
}

/* ---- What it may do -------------------------------------------------------------------------- */

static uint32_t role_for(uint32_t verb)
{
    switch (verb) {
    case OM_VERB_READ:
        return OM_ROLE_READ;
    case OM_VERB_WRITE:
        return OM_ROLE_WRITE;
    case OM_VERB_MANAGE:
    case OM_VERB_ADMIN:
        return OM_ROLE_MANAGE;
    default:
        return UINT32_MAX; /* no role has it */
    }
}

static bool is_everything(const char *pattern)
{
    return pattern[0] == '*' && pattern[1] == '\0';
}

static bool matches(const char *pattern, const char *collection)
{
    size_t n = strlen(pattern);
    if (n > 0 && pattern[n - 1] == '*') {
        return strncmp(pattern, collection, n - 1) == 0;
    }
    return strcmp(pattern, collection) == 0;
}

bool om_principal_may(const om_principal *p, const char *collection, uint32_t verb)
{
    uint32_t role = role_for(verb);
    for (uint32_t i = 0; i < p->grant_count; i++) {
        const om_grant *g = &p->grants[i];
        if (g->role >= role && (verb == OM_VERB_ADMIN ? is_everything(g->collection)
                                                      : matches(g->collection, collection))) {
            return true;
        }
    }
    return false;
}

bool om_principal_may_some(const om_principal *p, uint32_t verb)
{
    uint32_t role = role_for(verb);
    if (verb == OM_VERB_OPEN || verb == OM_VERB_ANY) {
        return true;
    }
    for (uint32_t i = 0; i < p->grant_count; i++) {
        const om_grant *g = &p->grants[i];
        if (g->role >= role && (verb != OM_VERB_ADMIN || is_everything(g->collection))) {
            return true;
        }
    }
    return false;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool name_ok(const char *name, size_t limit, char extra)
{
    size_t n = 0;
    if (!name_byte(name[0])) {
        return false;
    }
    for (; name[n] != '\0'; n++) {
        if (n >= limit || (!name_byte(name[n]) && name[n] != '_' && name[n] != '-' &&
                           (extra == '\0' || name[n] != extra))) {
            return false;
        }
    }
    return true;
}

bool om_access_name_ok(const char *name)
{
    return name_ok(name, OM_ACCESS_MAX_PRINCIPAL, '.');
}

bool om_access_pattern_ok(const char *pattern)
{
    char name[OMEN_MAX_NAME + 1];
    size_t n = strlen(pattern);
    if (is_everything(pattern)) {
        return true;
    }
    bool prefix = n > 0 && pattern[n - 1] == '*';
    size_t size = prefix ? n - 1 : n;
    if (size > OMEN_MAX_NAME) {
        return false;
    }
    memcpy(name, pattern, size);
    name[size] = '\0';
    return name_ok(name, OMEN_MAX_NAME, '\0');
}

const char *om_role_name(uint32_t role)
{
    static const char *const names[] = {"none", "read", "write", "manage"};
    return role < sizeof names / sizeof names[0] ? names[role] : names[0];
}
