/* access_start.c - makes, ends and refreshes om_access. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_state.h"

enum { SAVE_S = 60, SWEEP_S = 30 };

/* ---- The catalogue --------------------------------------------------------------------------- */

static bool read_tenant(void *ctx, const char *name, const om_tenant_limits *limits)
{
    const om_access *access = ctx;
    return om_tenants_set(access->tenants, name, limits) != NULL;
}

static bool read_key(void *ctx, const om_key_row *row)
{
    om_access *access = ctx;
    om_tenant *tenant = om_tenants_find(access->tenants, row->tenant);
    access->last_number = row->number > access->last_number ? row->number : access->last_number;
    return tenant != NULL && om_keyring_add(access->ring, row, tenant) != NULL;
}

static bool read_owner(void *ctx, const char *collection, const char *tenant)
{
    const om_access *access = ctx;
    om_tenant *owner = om_tenants_find(access->tenants, tenant);
    return owner != NULL && om_owners_set(access->owners, collection, owner);
}

/* Whether a key could make others: without one a new server would be closed to everybody. */
static bool has_manager(const om_access *access)
{
    int64_t now = om_access_now();
    for (const om_ring_key *key = om_keyring_first(access->ring); key != NULL; key = key->next) {
        om_failure f;
        if (om_box_good(key->box, now, &f) &&
            (key->certificate[0] == '\0' || access->certificates) &&
            om_principal_may_some(&key->box->principal, OM_VERB_ADMIN)) {
            return true;
        }
    }
    return false;
}

static bool start_catalog(om_access *access, const char *path, char *error, size_t error_size)
{
    char why[400];
    if (access->check) {
        if (!om_catalog_check(path, why, sizeof why)) {
            (void)snprintf(error, error_size, "catalog: %s", why);
            return false;
        }
        return true;
    }
    om_catalog_reader reader = {access, read_tenant, read_key, read_owner};
    access->ring = om_keyring_create();
    access->catalog = om_catalog_open(path, why, sizeof why);
    bool ok = access->catalog != NULL && access->ring != NULL &&
              om_catalog_read(access->catalog, &reader, why, sizeof why);
    if (!ok) {
        (void)snprintf(error, error_size, "catalog: %s", access->ring != NULL ? why : "no memory");
    }
    return ok;
}

/* ---- Start and end --------------------------------------------------------------------------- */

static char *copy_of(const char *text, bool *ok)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    *ok = *ok && (text == NULL || copy != NULL);
    return copy;
}

static bool make_parts(om_access *access, const om_access_options *o, char *error, size_t size)
{
    static const om_grant everything = {OM_ROLE_MANAGE, "*"};
    bool ok = true;
    access->metrics = o->metrics;
    access->log = o->log;
    access->certificates = o->certificate_identities;
    access->check = o->check;
    access->max_collections = o->max_collections;
    access->has_jwt = o->jwt_key_file != NULL;
    access->has_bootstrap = o->bootstrap_file != NULL;
    access->required = o->catalog != NULL || access->has_jwt || access->has_bootstrap;
    access->jwt_algorithm = copy_of(o->jwt_algorithm, &ok);
    access->jwt_issuer = copy_of(o->jwt_issuer, &ok);
    access->jwt_audience = copy_of(o->jwt_audience, &ok);
    access->cache = om_cache_create();
    access->tenants = om_tenants_create();
    access->owners = om_owners_create();
    ok = ok && access->cache != NULL && access->tenants != NULL && access->owners != NULL;
    access->everybody = ok ? om_tenants_find(access->tenants, "default") : NULL;
    om_box_request q = {.name = "anonymous",
                        .kind = OM_BY_NOBODY,
                        .tenant = access->everybody,
                        .grants = &everything,
                        .grant_count = 1};
    access->anonymous = access->everybody != NULL ? om_box_create(&q) : NULL;
    q.grant_count = 0;
    access->nobody = access->everybody != NULL ? om_box_create(&q) : NULL;
    if (access->anonymous == NULL || access->nobody == NULL) {
        (void)snprintf(error, size, "no memory for keys and tenants");
        return false;
    }
    if (o->check && o->audit_file != NULL && !om_audit_check(o->audit_file, error, size)) {
        return false;
    }
    access->audit =
        om_audit_create(o->check ? NULL : o->audit_file, o->metrics, o->log, error, size);
    return access->audit != NULL;
}

static bool start_files(om_access *access, const om_access_options *o, char *error, size_t size)
{
    char why[400];
    if (o->bootstrap_file != NULL) {
        bool ok = om_watched_init(&access->bootstrap_file, o->bootstrap_file);
        (void)(ok && om_watched_changed(&access->bootstrap_file));
        if (!ok || !om_access_load_bootstrap(access, why, sizeof why)) {
            (void)snprintf(error, size, "bootstrap-key-file: %s", ok ? why : "no memory");
            return false;
        }
    }
    if (o->jwt_key_file != NULL) {
        bool ok = om_watched_init(&access->jwt_file, o->jwt_key_file);
        (void)(ok && om_watched_changed(&access->jwt_file));
        if (o->jwt_algorithm == NULL || !om_jwt_algorithm_ok(o->jwt_algorithm)) {
            (void)snprintf(
                error, size,
                "jwt-key is given, so jwt-algorithm must be one of HS256 HS384 HS512 RS256 "
                "RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA");
            return false;
        }
        if (o->jwt_audience == NULL) {
            (void)snprintf(
                error, size,
                "jwt-key is given without jwt-audience: tokens that were made for another "
                "service would be accepted");
            return false;
        }
        if (!ok || !om_access_load_jwt(access, why, sizeof why)) {
            (void)snprintf(error, size, "jwt-key: %s", ok ? why : "no memory");
            return false;
        }
    }
    return true;
}

om_access *om_access_create(const om_access_options *o, char *error, size_t error_size)
{
    om_access *access = calloc(1, sizeof *access);
    if (access == NULL) {
        (void)snprintf(error, error_size, "no memory for keys and tenants");
        return NULL;
    }
    (void)pthread_mutex_init(&access->write, NULL);
    /* Not starved by readers: a revocation must not wait for those who try keys. */
    pthread_rwlockattr_t attr;
    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&access->lock, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    atomic_init(&access->jwt_generation, 1);
    access->saved = om_access_now();
    access->swept = access->saved;
    if (o->certificate_identities && o->catalog == NULL) {
        (void)snprintf(
            error, error_size,
            "certificate-identities is given without catalog, which says what they may do");
        om_access_free(access);
        return NULL;
    }
    bool ok = make_parts(access, o, error, error_size) &&
              (o->catalog == NULL || start_catalog(access, o->catalog, error, error_size)) &&
              start_files(access, o, error, error_size);
    if (ok && access->catalog != NULL && !access->has_bootstrap && !access->has_jwt &&
        !has_manager(access)) {
        ok = false;
        (void)snprintf(error, error_size,
                       "catalog: it holds no key that may make others: give bootstrap-key-file, a "
                       "file with a key of your own: head -c 32 /dev/urandom | base64");
    }
    if (!ok) {
        om_access_free(access);
        return NULL;
    }
    om_metrics_auth_keys(access->metrics,
                         access->ring != NULL ? om_keyring_count(access->ring, false) : 0);
    return access;
}

void om_access_free(om_access *access)
{
    if (access == NULL) {
        return;
    }
    if (access->catalog != NULL && access->ring != NULL) {
        om_access_save_used(access);
    }
    om_cache_free(access->cache);
    om_bootstrap_free(&access->bootstrap);
    om_keyring_free(access->ring);
    om_owners_free(access->owners);
    om_jwt_keys_free(access->jwt_keys);
    om_box_release(access->anonymous);
    om_box_release(access->nobody);
    om_tenants_free(access->tenants);
    om_catalog_close(access->catalog);
    om_audit_free(access->audit);
    om_watched_free(&access->bootstrap_file);
    om_watched_free(&access->jwt_file);
    free(access->jwt_algorithm);
    free(access->jwt_issuer);
    free(access->jwt_audience);
    (void)pthread_rwlock_destroy(&access->lock);
    (void)pthread_mutex_destroy(&access->write);
    free(access);
}

/* ---- Once a second --------------------------------------------------------------------------- */

/* A bad file is told once for each change, and what was in force stays so. */
static void reload(om_access *access, om_watched *file, uint32_t what, bool force,
                   bool (*load)(om_access *, char *, size_t))
{
    char why[600];
    bool changed = om_watched_changed(file);
    if (!changed && !force) {
        return;
    }
    bool ok = load(access, why, sizeof why);
    om_metrics_auth_reload(access->metrics, what, ok);
    if (ok) {
        om_slog(access->log, OMEN_LOG_INFO, "auth_reload", "keys were read again",
                OM_SLOG_STR("file", file->path));
    } else {
        om_slog(access->log, OMEN_LOG_ERROR, "auth_reload",
                "a changed key file is bad; the keys from before stay in force",
                OM_SLOG_STR("why", why));
    }
}

void om_access_tick(om_access *access, bool force)
{
    int64_t now = om_access_now();
    if (access == NULL) {
        return;
    }
    if (access->has_bootstrap) {
        reload(access, &access->bootstrap_file, OM_AUTH_FILE_BOOTSTRAP, force,
               om_access_load_bootstrap);
    }
    if (access->has_jwt) {
        reload(access, &access->jwt_file, OM_AUTH_FILE_JWT, force, om_access_load_jwt);
    }
    if (force) {
        om_audit_reopen(access->audit);
    }
    if (now < access->swept || now - access->swept >= SWEEP_S) {
        access->swept = now;
        om_cache_sweep(access->cache, now);
    }
    if (access->catalog != NULL && (now < access->saved || now - access->saved >= SAVE_S)) {
        access->saved = now;
        om_access_save_used(access);
    }
}
