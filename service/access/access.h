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
typedef struct om_tenant om_tenant; /* tenants.h */

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
    OM_ACCESS_MAX_TOKEN = 8192,  /* bytes of an authorization header's value */
    OM_ACCESS_MAX_PRINCIPAL = 63 /* bytes of a name: ^[a-z0-9][a-z0-9._-]{0,62}$ */
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
    uint32_t kind;     /* OM_BY_*                              */
    om_tenant *tenant; /* never NULL: `default` when none is named */
    int64_t expires;   /* unix seconds; 0: never               */
    uint32_t grant_count;
    const om_grant *grants;
} om_principal;

/* What came with a call. Texts are not terminated; NULL: none. */
typedef struct om_credentials {
    const char *authorization; /* "Bearer ..."                                  */
    size_t authorization_size;
    const char *certificate; /* SAN (URI, DNS) or common name of a verified client certificate */
    size_t certificate_size;
    const char *peer; /* for the audit log, terminated                 */
} om_credentials;

typedef struct om_access_options {
    const char *catalog;        /* SQLite file, made when missing (0600); NULL: no keys      */
    const char *bootstrap_file; /* one key that may do everything; read again when it changes */
    const char *jwt_key_file;  /* PEM public key, JWKS or HMAC secret; read again when it changes */
    const char *jwt_algorithm; /* the one that is accepted: RS256 ES256 EdDSA HS256 ...       */
    const char *jwt_issuer, *jwt_audience;
    bool certificate_identities; /* a client certificate whose name has grants is a credential */
    const char *audit_file;      /* JSON lines; NULL: to the log                               */
    om_metrics *metrics;
    om_slog *log;
} om_access_options;
/* NULL: *error says which option, what is wrong and how to mend it. */
om_access *om_access_create(const om_access_options *options, char *error, size_t error_size);
void om_access_free(om_access *access);
/* Whether callers must show a credential. */
bool om_access_required(const om_access *access);
/* Who it is; give it back with om_principal_release. Verified credentials are remembered (bounded) until they
 * change, are revoked or expire, so that a call costs one lookup. NULL: *f is UNAUTHENTICATED with reason
 * CREDENTIAL_MISSING, CREDENTIAL_INVALID, CREDENTIAL_EXPIRED or CREDENTIAL_REVOKED; wrong and unknown are not
 * told apart. */
const om_principal *om_access_identify(om_access *access, const om_credentials *credentials,
                                       om_failure *f);
void om_principal_release(const om_principal *principal); /* NULL is accepted */
const om_principal *om_principal_hold(const om_principal *principal);
/* Whether verb (READ, WRITE, MANAGE) of this collection is allowed. */
bool om_principal_may(const om_principal *principal, const char *collection, uint32_t verb);
/* Whether verb is allowed of anything at all: told before a message is read. */
bool om_principal_may_some(const om_principal *principal, uint32_t verb);
/* PERMISSION_DENIED / ROLE with principal, verb and collection; counted and audited. Returns false. */
bool om_access_denied(om_access *access, const om_principal *principal, const char *collection,
                      uint32_t verb, om_failure *f);
/* One line in the audit log: what changes something (create, delete, keys, tenants, backups, restores), and
 * every denial (rate limited). Never a secret. NULL texts are left out. */
void om_access_audit(om_access *access, const om_principal *principal, const char *peer,
                     const char *action, const char *object, bool ok);
/* Once a second: changed files are read, expired entries leave the cache. SIGHUP forces it. */
void om_access_tick(om_access *access, bool force);
#endif
