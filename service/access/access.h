/* access.h - who calls, and what they may do: API keys, JWTs, client certificates, roles, tenants.
 * A catalogue (one SQLite file of the service, never of the engine) holds keys, certificate identities,
 * tenants and which tenant owns a collection. Without a catalogue and without a JWT key nothing is asked
 * of callers: everybody is `anonymous` and may do everything, which is why such a server listens on this
 * machine only.
 * Depends on: omen.h, failure.h, metrics.h, slog.h.  Threads: any, but create and free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ACCESS_H
#define OM_ACCESS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"
#include "metrics.h"
#include "slog.h"

typedef struct om_access om_access;
typedef struct om_tenant om_tenant;   /* tenants.h */
typedef struct om_tenants om_tenants; /* tenants.h */
typedef struct om_tenant_limits om_tenant_limits;

/* What a method needs. NONE is nobody: a method that forgot to say is closed, not open. */
enum {
    OM_VERB_NONE = 0,
    OM_VERB_OPEN = 1,   /* no credential: health                                     */
    OM_VERB_ANY = 2,    /* any valid credential: server information, who am I        */
    OM_VERB_READ = 3,   /* of a collection: search, get, list, count                 */
    OM_VERB_WRITE = 4,  /* of a collection: add, update, delete items                */
    OM_VERB_MANAGE = 5, /* of a collection: create, delete, optimize it              */
    OM_VERB_ADMIN = 6   /* of the server: MANAGE of every collection (`*`)           */
};
/* Each role may do what the ones before it may. */
enum { OM_ROLE_READ = 1, OM_ROLE_WRITE = 2, OM_ROLE_MANAGE = 3 };
enum {
    OM_ACCESS_MAX_GRANTS = 64,  /* of one principal            */
    OM_ACCESS_MAX_KEYS = 10000, /* that are not revoked        */
    OM_ACCESS_MAX_TENANTS = 1000,
    OM_ACCESS_MAX_TOKEN = 8192,      /* bytes of an authorization header's value */
    OM_ACCESS_MAX_CERTIFICATE = 255, /* bytes of a certificate's name */
    OM_ACCESS_MAX_PAGE = 1000,       /* keys of one ListKeys          */
    OM_ACCESS_SECRET = 48,           /* "omen_" and 43 of base64url   */
    OM_ACCESS_MAX_PRINCIPAL = 63,    /* bytes of a name: ^[a-z0-9][a-z0-9._-]{0,62}$ */
    OM_ACCESS_IDENTITY = 16
};
/* A collection's name, `prefix*`, or `*`. */
typedef struct om_grant {
    uint32_t role; /* OM_ROLE_* */
    char collection[OMEN_MAX_NAME + 2];
} om_grant;

enum { OM_BY_NOBODY = 0, OM_BY_KEY = 1, OM_BY_JWT = 2, OM_BY_CERTIFICATE = 3, OM_BY_BOOTSTRAP = 4 };
/* Never changes once it is handed out; held by its users, so that a revocation can drop it at once. */
typedef struct om_principal {
    char name[OM_ACCESS_MAX_PRINCIPAL + 1];
    uint32_t kind; /* OM_BY_*                              */
    /* Of the key, or of the token's subject, issuer and tenant: what is kept for a caller belongs to it.
     * Names are given again when a key is revoked, identities never. */
    uint8_t identity[OM_ACCESS_IDENTITY];
    om_tenant *tenant; /* never NULL: `default` when none is named */
    int64_t expires;   /* unix seconds; 0: never               */
    uint32_t grant_count;
    const om_grant *grants;
} om_principal;

/* What came with a call. Texts are not terminated but `peer`; NULL: none. */
enum { OM_ACCESS_CERTIFICATE_NAMES = 16 };
typedef struct om_certificate_name {
    const char *text;
    size_t size;
} om_certificate_name;
typedef struct om_credentials {
    const char *authorization; /* "Bearer ..."                                  */
    size_t authorization_size;
    /* Names of a verified client certificate: SANs (URI, DNS), then the common name; the first that is known
     * counts, and one that is revoked ends the search. */
    const om_certificate_name *certificates;
    size_t certificate_count; /* at most OM_ACCESS_CERTIFICATE_NAMES are looked at */
    const char *peer;         /* for the audit log; NULL: tell_peer is asked, when it is needed */
    void (*tell_peer)(const void *ctx, char *out, size_t size); /* NULL: nobody knows */
    const void *peer_ctx;
} om_credentials;

typedef struct om_access_options {
    const char *catalog; /* SQLite file, made when missing (0600); NULL: no keys      */
    const char
        *bootstrap_file; /* keys that may do everything, one a line; read again when it changes */
    const char *jwt_key_file;  /* PEM public key, JWKS or HMAC secret; read again when it changes */
    const char *jwt_algorithm; /* the one that is accepted: RS256 ES256 EdDSA HS256 ...       */
    const char *jwt_issuer, *jwt_audience;
    bool certificate_identities; /* a client certificate whose name has grants is a credential */
    const char *audit_file;      /* JSON lines; NULL: to the log                               */
    uint32_t max_collections;    /* of a tenant other than `default`; 0: any number            */
    bool check;                  /* --check-config: files are looked at, none is made or held  */
    om_metrics *metrics;
    om_slog *log;
} om_access_options;
/* NULL: *error says which option, what is wrong and how to mend it. */
om_access *om_access_create(const om_access_options *options, char *error, size_t error_size);
void om_access_free(om_access *access);
/* Whether callers must show a credential. */
bool om_access_required(const om_access *access);
/* Whether the names of client certificates are of any use. */
bool om_access_takes_certificates(const om_access *access);
/* Who it is; give it back with om_principal_release. Verified credentials are remembered (bounded)
 * until they change, are revoked or expire, so that a call costs one lookup. A credential that is
 * shown must be good: a bad key is not made up for by a certificate. NULL: *f is UNAUTHENTICATED
 * with reason CREDENTIAL_MISSING, CREDENTIAL_INVALID, CREDENTIAL_EXPIRED or CREDENTIAL_REVOKED;
 * wrong and unknown are not told apart, and expired and revoked are told only to who shows a
 * credential that was good once. */
const om_principal *om_access_identify(om_access *access, const om_credentials *credentials,
                                       om_failure *f);
/* Who is nobody, for what needs no credential: where credentials are asked for, it may do nothing
 * else. Give it back. */
const om_principal *om_access_anonymous(om_access *access);
/* Whether who was identified a while ago is still good: not revoked, not expired, its signing key
 * in use. False: identify again. */
bool om_principal_still(const om_principal *principal);
void om_principal_release(const om_principal *principal); /* NULL is accepted */
const om_principal *om_principal_hold(const om_principal *principal);
/* Whether verb (READ, WRITE, MANAGE, ADMIN) of this collection is allowed; no other verb is about one. */
bool om_principal_may(const om_principal *principal, const char *collection, uint32_t verb);
/* Whether verb is allowed of anything at all: told before a message is read. */
bool om_principal_may_some(const om_principal *principal, uint32_t verb);
/* PERMISSION_DENIED / ROLE with principal, verb and collection; counted and audited. Returns false. */
bool om_access_denied(om_access *access, const om_principal *principal, const char *collection,
                      uint32_t verb, om_failure *f);
/* The same, with the other side's address for the audit log. */
bool om_access_denied_from(om_access *access, const om_principal *principal, const char *peer,
                           const char *collection, uint32_t verb, om_failure *f);
/* One line in the audit log: what changes something (create, delete, keys, tenants, backups, restores), and
 * every denial (rate limited). Never a secret. NULL texts are left out. */
void om_access_audit(om_access *access, const om_principal *principal, const char *peer,
                     const char *action, const char *object, bool ok);
/* Once a second: changed files are read, what is new about the use of keys is saved. SIGHUP forces it and
 * opens the audit log again. */
void om_access_tick(om_access *access, bool force);

/* What a copy of the catalogue is called in a backup. */
#define OM_ACCESS_COPY "access.sqlite"
/* Puts a copy of the catalogue, in which keys are hashes, into a folder; nothing to do without one (or with
 * access NULL). False: *error. */
bool om_access_copy(om_access *access, const char *folder, char *error, size_t error_size);

/* ---- Names ----------------------------------------------------------------------------------- */
/* ^[a-z0-9][a-z0-9._-]{0,62}$: principals and tenants. */
bool om_access_name_ok(const char *name);
/* A collection's name, `prefix*` or `*`. */
bool om_access_pattern_ok(const char *pattern);
const char *om_role_name(uint32_t role);

/* ---- Tenants and what they own; [any], writes go to the catalogue and block ------------------ */
om_tenants *om_access_tenants(om_access *access);
/* Never NULL: `default` when nobody is known to own it. */
om_tenant *om_access_owner(om_access *access, const char *collection);
/* False: it could not be saved, and nothing has changed: *f. */
bool om_access_own(om_access *access, const char *collection, const om_tenant *tenant,
                   om_failure *f);
bool om_access_disown(om_access *access, const char *collection, om_failure *f);
/* Adds it or changes its limits; NULL: *f. FAILED_PRECONDITION / NO_CATALOG without a catalogue. */
om_tenant *om_access_set_tenant(om_access *access, const char *name, const om_tenant_limits *limits,
                                om_failure *f);

/* ---- Keys; [any], block ---------------------------------------------------------------------- */
/* A key as it is told; the texts are good until the callback returns. */
typedef struct om_key {
    uint64_t number; /* rises with every key; for pages */
    const char *id;  /* 16 hex digits */
    const char *name, *tenant;
    const char *certificate;                      /* "": it has a secret */
    int64_t created, expires, revoked, last_used; /* unix seconds; 0: never */
    uint32_t grant_count;
    const om_grant *grants;
} om_key;
typedef void om_key_fn(void *ctx, const om_key *key);
typedef struct om_key_request {
    const char *name, *tenant,
        *certificate; /* tenant "": default; certificate "": a secret is made */
    const om_grant *grants;
    size_t grant_count;
    int64_t expires;
    om_key_fn *tell;
    void *ctx;
} om_key_request;
/* secret holds OM_ACCESS_SECRET + 1 bytes; "" for a certificate. False: *f. */
bool om_access_create_key(om_access *access, const om_key_request *request, char *secret,
                          om_failure *f);
/* At once, for calls that run too. `key`: id or name. */
bool om_access_revoke_key(om_access *access, const char *key, om_key_fn *tell, void *ctx,
                          om_failure *f);
/* Up to `most` keys with a number above `after`. False: *f. */
typedef struct om_key_page {
    uint64_t after;
    size_t most;
    bool all; /* revoked and expired ones too */
    om_key_fn *tell;
    void *ctx;
} om_key_page;
bool om_access_list_keys(om_access *access, const om_key_page *page, om_failure *f);
#endif
