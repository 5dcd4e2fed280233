/* access_changes.c - keys, tenants and owners of collections: made, ended, told. A change is in the
 * catalogue before it counts, so that what was acknowledged survives.
 * SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "access_state.h"

static bool needs_catalog(const om_access *access, om_failure *f)
{
    return access->catalog != NULL ||
           om_failure_set(f, OMEN_FAILED_PRECONDITION, "NO_CATALOG", NULL,
                          "this server has no catalog: start omend with --catalog FILE");
}

/* ---- Making keys ----------------------------------------------------------------------------- */

/* What looks like an id could not be told from one. */
static bool looks_like_id(const char *name)
{
    return strlen(name) == OM_ID_TEXT && strspn(name, "0123456789abcdef") == OM_ID_TEXT;
}

static bool check_grants(const om_key_request *q, om_failure *f)
{
    if (q->grant_count == 0 || q->grant_count > OM_ACCESS_MAX_GRANTS) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "grants",
                              "grants has %zu, it must have 1 to %d", q->grant_count,
                              OM_ACCESS_MAX_GRANTS);
    }
    for (size_t i = 0; i < q->grant_count; i++) {
        if (q->grants[i].role < OM_ROLE_READ || q->grants[i].role > OM_ROLE_MANAGE) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "ROLE", "grants.role",
                                  "grants[%zu].role is %u, it must be read, write or manage", i,
                                  q->grants[i].role);
        }
        if (!om_access_pattern_ok(q->grants[i].collection)) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "NAME", "grants.collection",
                                  "grants[%zu].collection must be the name of a collection, a "
                                  "`prefix*` or `*`",
                                  i);
        }
    }
    return true;
}

static bool check_certificate(const char *name, om_failure *f)
{
    size_t n = strlen(name);
    bool ok = n <= OM_ACCESS_MAX_CERTIFICATE;
    for (size_t i = 0; ok && i < n; i++) {
        ok = (unsigned char)name[i] > ' ' && name[i] != 0x7f;
    }
    return ok || om_failure_set(f, OMEN_INVALID_ARGUMENT, "NAME", "certificate",
                                "certificate must be at most %d bytes without spaces",
                                OM_ACCESS_MAX_CERTIFICATE);
}

static bool check_request(const om_key_request *q, om_failure *f)
{
    if (!om_access_name_ok(q->name) || looks_like_id(q->name)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "NAME", "name",
                              "name must be ^[a-z0-9][a-z0-9._-]{0,62}$ and not look like an id");
    }
    if (q->expires < 0 || (q->expires > 0 && q->expires <= om_access_now())) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "EXPIRY", "expires_unix",
                              "expires_unix is %lld, which is over already", (long long)q->expires);
    }
    return check_grants(q, f) && check_certificate(q->certificate, f);
}

static bool make_secret(om_key_row *row, char *secret, om_failure *f)
{
    static const char prefix[] = "omen_";
    static const char digits[] = "0123456789abcdef";
    uint8_t random[32 + OM_ID_TEXT / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return om_failure_set(f, OMEN_UNAVAILABLE, "RANDOM", NULL,
                              "the system gave no random numbers");
    }
    for (size_t i = 0; i < OM_ID_TEXT / 2; i++) {
        row->id[2 * i] = digits[random[32 + i] >> 4];
        row->id[2 * i + 1] = digits[random[32 + i] & 15];
    }
    row->id[OM_ID_TEXT] = '\0';
    secret[0] = '\0';
    if (row->certificate[0] == '\0') {
        memcpy(secret, prefix, sizeof prefix);
        om_base64url_encode(random, 32, secret + sizeof prefix - 1);
        om_sha256(secret, OM_ACCESS_SECRET, row->hash);
    }
    OPENSSL_cleanse(random, sizeof random);
    return true;
}

/* What is in use already, and whether there is room; `write` is held, so nothing changes under us. */
static bool check_room(om_access *access, const om_key_row *row, om_failure *f)
{
    om_ring_key *other = om_keyring_find(access->ring, row->name);
    if (other != NULL) {
        return om_failure_set(f, OMEN_ALREADY_EXISTS, "KEY_EXISTS", "name",
                              "there is a key '%s' already: revoke it, or choose another name",
                              row->name);
    }
    size_t n = strlen(row->certificate);
    other = n > 0 ? om_keyring_by_certificate(access->ring, row->certificate, n) : NULL;
    if (other != NULL && other->revoked == 0) {
        return om_failure_set(f, OMEN_ALREADY_EXISTS, "KEY_EXISTS", "certificate",
                              "the certificate has the key '%s' already",
                              other->box->principal.name);
    }
    size_t count = om_keyring_count(access->ring, false);
    return count < OM_ACCESS_MAX_KEYS ||
           om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "LIMIT", NULL,
                          "there are %zu keys, the limit is %d: revoke some", count,
                          OM_ACCESS_MAX_KEYS);
}

static bool add_key(om_access *access, const om_key_request *q, om_key_row *row, om_tenant *tenant,
                    om_failure *f)
{
    row->number = access->last_number + 1;
    if (!check_room(access, row, f) || !om_catalog_add_key(access->catalog, row, f)) {
        return false;
    }
    access->last_number = row->number;
    pthread_rwlock_wrlock(&access->lock);
    const om_ring_key *key = om_keyring_add(access->ring, row, tenant);
    size_t count = om_keyring_count(access->ring, false);
    pthread_rwlock_unlock(&access->lock);
    if (key == NULL) {
        om_failure
            ignored; /* it is as if it had never been made; a restart would read it otherwise */
        (void)om_catalog_forget_key(access->catalog, row->number, &ignored);
        return om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                              "no memory for the key");
    }
    om_metrics_auth_keys(access->metrics, count);
    om_key told;
    om_keyring_tell(key, &told);
    q->tell(q->ctx, &told);
    return true;
}

bool om_access_create_key(om_access *access, const om_key_request *q, char *secret, om_failure *f)
{
    const char *name = q->tenant[0] != '\0' ? q->tenant : "default";
    if (!needs_catalog(access, f) || !check_request(q, f)) {
        return false;
    }
    om_tenant *tenant = om_access_name_ok(name) ? om_tenants_find(access->tenants, name) : NULL;
    if (tenant == NULL) {
        return om_failure_set(f, OMEN_NOT_FOUND, "TENANT_NOT_FOUND", "tenant",
                              "there is no tenant '%.63s': SetTenant makes it", name);
    }
    om_key_row *row = calloc(1, sizeof *row);
    if (row == NULL) {
        return om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                              "no memory for the key");
    }
    (void)snprintf(row->name, sizeof row->name, "%s", q->name);
    (void)snprintf(row->tenant, sizeof row->tenant, "%s", name);
    (void)snprintf(row->certificate, sizeof row->certificate, "%s", q->certificate);
    row->created = om_access_now();
    row->expires = q->expires;
    row->grant_count = (uint32_t)q->grant_count;
    memcpy(row->grants, q->grants, q->grant_count * sizeof row->grants[0]);
    bool ok = make_secret(row, secret, f);
    if (ok) {
        pthread_mutex_lock(&access->write);
        ok = add_key(access, q, row, tenant, f);
        pthread_mutex_unlock(&access->write);
    }
    if (!ok) {
        OPENSSL_cleanse(secret, OM_ACCESS_SECRET + 1);
    }
    free(row);
    return ok;
}

/* ---- Ending and telling ---------------------------------------------------------------------- */

/* Only so many are remembered after their end: the one that was made first goes. `write` is held. */
static void forget_oldest(om_access *access)
{
    om_failure f;
    while (om_keyring_count(access->ring, true) > OM_REVOKED_KEPT) {
        om_ring_key *key = om_keyring_first(access->ring);
        while (key->revoked == 0) {
            key = key->next;
        }
        if (!om_catalog_forget_key(access->catalog, key->number, &f)) {
            return; /* at the next time */
        }
        pthread_rwlock_wrlock(&access->lock);
        om_keyring_remove(access->ring, key);
        pthread_rwlock_unlock(&access->lock);
    }
}

/* A key that leaked is not taken any more, also when the catalogue cannot be written. Since a restart would
 * take it again the call fails, and the key can still be found: the next try writes it down. */
static void refuse_at_once(const om_access *access, om_ring_key *key, om_failure *f)
{
    char why[sizeof f->message];
    (void)snprintf(why, sizeof why, "%s", f->message);
    atomic_store_explicit(&key->box->revoked, true, memory_order_release);
    (void)snprintf(f->message, sizeof f->message,
                   "the key is refused from now on, but a restart would take it again: revoke it "
                   "again when the catalog can be written: %.200s",
                   why);
    om_slog(access->log, OMEN_LOG_ERROR, "catalog", "that a key was revoked could not be saved",
            OM_SLOG_STR("key", key->id), OM_SLOG_STR("why", why));
}

bool om_access_revoke_key(om_access *access, const char *name, om_key_fn *tell, void *ctx,
                          om_failure *f)
{
    if (!needs_catalog(access, f)) {
        return false;
    }
    pthread_mutex_lock(&access->write);
    int64_t now = om_access_now();
    om_ring_key *key = om_keyring_find(access->ring, name);
    bool ok = key != NULL;
    if (!ok) {
        om_failure_set(f, OMEN_NOT_FOUND, "KEY_NOT_FOUND", "key",
                       "there is no key '%.63s' that is in force", name);
    } else {
        ok = om_catalog_revoke_key(access->catalog, key->number, now, f);
        if (!ok) {
            refuse_at_once(access, key, f);
        }
    }
    if (ok) {
        om_key told;
        pthread_rwlock_wrlock(&access->lock);
        om_keyring_revoke(access->ring, key, now);
        size_t count = om_keyring_count(access->ring, false);
        pthread_rwlock_unlock(&access->lock);
        om_metrics_auth_keys(access->metrics, count);
        om_keyring_tell(key, &told);
        tell(ctx, &told);
        forget_oldest(access);
    }
    pthread_mutex_unlock(&access->write);
    return ok;
}

bool om_access_list_keys(om_access *access, const om_key_page *page, om_failure *f)
{
    if (!needs_catalog(access, f)) {
        return false;
    }
    int64_t now = om_access_now();
    size_t told = 0;
    pthread_rwlock_rdlock(&access->lock);
    for (const om_ring_key *key = om_keyring_first(access->ring); key != NULL && told < page->most;
         key = key->next) {
        om_failure ignored;
        if (key->number > page->after && (page->all || om_box_good(key->box, now, &ignored))) {
            om_key view;
            om_keyring_tell(key, &view);
            page->tell(page->ctx, &view);
            told++;
        }
    }
    pthread_rwlock_unlock(&access->lock);
    return true;
}

void om_access_save_used(om_access *access)
{
    om_failure f;
    bool begun = false;
    bool ok = true;
    pthread_mutex_lock(&access->write);
    for (om_ring_key *key = om_keyring_first(access->ring); ok && key != NULL; key = key->next) {
        int64_t used = atomic_load_explicit(&key->box->used, memory_order_relaxed);
        if (used == key->saved_used) {
            continue;
        }
        ok = begun || om_catalog_begin(access->catalog, &f);
        begun = begun || ok;
        ok = ok && om_catalog_used(access->catalog, key->number, used, &f);
        key->saved_used = ok ? used : key->saved_used;
    }
    ok = (!begun || om_catalog_commit(access->catalog, &f)) && ok;
    pthread_mutex_unlock(&access->write);
    if (!ok) {
        om_slog(access->log, OMEN_LOG_WARN, "catalog", "when keys were used could not be saved",
                OM_SLOG_STR("why", f.message));
    }
}

/* ---- Tenants and owners ---------------------------------------------------------------------- */

om_tenants *om_access_tenants(om_access *access)
{
    return access->tenants;
}

om_tenant *om_access_set_tenant(om_access *access, const char *name, const om_tenant_limits *limits,
                                om_failure *f)
{
    om_tenant *tenant = NULL;
    if (!needs_catalog(access, f)) {
        return NULL;
    }
    if (!om_access_name_ok(name)) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "NAME", "tenant.name",
                       "tenant.name must be ^[a-z0-9][a-z0-9._-]{0,62}$");
        return NULL;
    }
    if (limits->weight > OM_TENANT_MAX_WEIGHT) {
        om_failure_limit(f, "tenant.weight", limits->weight, OM_TENANT_MAX_WEIGHT);
        return NULL;
    }
    pthread_mutex_lock(&access->write);
    /* The catalogue first; a tenant that finds no room in memory is taken back. */
    bool known = om_tenants_find(access->tenants, name) != NULL;
    if (!known && om_tenants_count(access->tenants) >= OM_ACCESS_MAX_TENANTS) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "LIMIT", NULL,
                       "there are %d tenants, which is the limit", OM_ACCESS_MAX_TENANTS);
    } else if (om_catalog_set_tenant(access->catalog, name, limits, f)) {
        tenant = om_tenants_set(access->tenants, name, limits);
        if (tenant == NULL) {
            om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                           "no memory for the tenant: it is there after a restart");
        }
    }
    pthread_mutex_unlock(&access->write);
    return tenant;
}

om_tenant *om_access_owner(om_access *access, const char *collection)
{
    pthread_rwlock_rdlock(&access->lock);
    om_tenant *tenant = om_owners_get(access->owners, collection);
    pthread_rwlock_unlock(&access->lock);
    return tenant != NULL ? tenant : access->everybody;
}

/* Collections without an item cost no quota of rows and bytes, but time of whoever walks all of them. The
 * mutex of changes is held. */
static bool room_for_one(const om_access *access, const char *collection, const om_tenant *owner,
                         om_failure *f)
{
    const char *name = om_tenant_name(owner);
    if (access->max_collections == 0 || om_owners_get(access->owners, collection) == owner ||
        om_owners_count(access->owners, owner) < access->max_collections) {
        return true;
    }
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "QUOTA", NULL,
                   "the tenant %s has %u collections, which is the limit "
                   "(--max-collections-per-tenant): delete some",
                   name, access->max_collections);
    (void)snprintf(f->quota, sizeof f->quota, "%s/collections", name);
    return false;
}

/* Without a row a collection is of `default`, so nothing is written for those. */
bool om_access_own(om_access *access, const char *collection, const om_tenant *tenant,
                   om_failure *f)
{
    om_tenant *owner = om_tenants_find(access->tenants, om_tenant_name(tenant));
    if (owner == access->everybody) {
        return om_access_disown(access, collection, f);
    }
    pthread_mutex_lock(&access->write);
    bool ok = room_for_one(access, collection, owner, f) &&
              (access->catalog == NULL ||
               om_catalog_own(access->catalog, collection, om_tenant_name(owner), f));
    if (ok) {
        pthread_rwlock_wrlock(&access->lock);
        ok = om_owners_set(access->owners, collection, owner) ||
             om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                            "no memory for the owner of a collection");
        pthread_rwlock_unlock(&access->lock);
    }
    pthread_mutex_unlock(&access->write);
    return ok;
}

/* What the catalogue still has would be whose the next collection of that name is, after a restart: what is
 * known here is given up only when that is gone. */
bool om_access_disown(om_access *access, const char *collection, om_failure *f)
{
    pthread_mutex_lock(&access->write);
    bool ok = access->catalog == NULL || om_catalog_disown(access->catalog, collection, f);
    if (ok) {
        pthread_rwlock_wrlock(&access->lock);
        (void)om_owners_set(access->owners, collection, NULL);
        pthread_rwlock_unlock(&access->lock);
    }
    pthread_mutex_unlock(&access->write);
    if (!ok) {
        om_slog(access->log, OMEN_LOG_ERROR, "catalog",
                "the owner of a collection could not be removed",
                OM_SLOG_STR("collection", collection), OM_SLOG_STR("why", f->message));
    }
    return ok;
}

bool om_access_copy(om_access *access, const char *folder, char *error, size_t error_size)
{
    if (access == NULL || access->catalog == NULL) {
        return true;
    }
    pthread_mutex_lock(&access->write);
    bool ok = om_catalog_copy(access->catalog, folder, OM_ACCESS_COPY, error, error_size);
    pthread_mutex_unlock(&access->write);
    return ok;
}
