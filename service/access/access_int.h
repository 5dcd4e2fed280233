/* access_int.h - inside of service/access: principals with their counts, the cache of verified
 * credentials, and what the parts ask of each other. Locks: om_access.write
 * (one change of the catalogue at a time) is taken before om_access.lock (keys and owners); the
 * mutexes of the cache, of the audit log and of the reloads are leaves. Depends on: access.h,
 * tenants.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ACCESS_INT_H
#define OM_ACCESS_INT_H
#include <pthread.h>
#include <stdatomic.h>

#include "access.h"
#include "tenants.h"
#include "watched.h"

enum {
    OM_HASH = 32,     /* SHA-256 of a secret: all that is kept of it */
    OM_TAG = 16,      /* SipHash of a credential: its place in the cache */
    OM_ID_TEXT = 16,  /* hex digits of a key's id */
    OM_LEEWAY_S = 60, /* clocks of those who sign tokens */
    OM_PEER = 128,
    OM_BOOTSTRAP_MAX = 4,
    OM_BOOTSTRAP_LEAST = 32, /* characters of a bootstrap key */
    OM_BOOTSTRAP_MOST = 512,
    OM_REVOKED_KEPT = 1000 /* keys that are shown after their end; older ones are forgotten */
};

/* ---- principal.c ----------------------------------------------------------------------------- */
typedef struct om_box {
    om_principal principal; /* first: what is handed out */
    _Atomic uint32_t refs;
    _Atomic bool revoked;
    _Atomic int64_t used; /* unix seconds of the last call */
    int64_t until;        /* with leeway; 0: never */
    /* A token is good as long as the keys are that verified it: their number then, and now. NULL:
     * no token. */
    const _Atomic uint64_t *generation;
    uint64_t verified;
    om_grant grants[];
} om_box;
typedef struct om_box_request {
    const char *name;
    uint32_t kind;
    om_tenant *tenant;
    int64_t expires;
    const om_grant *grants;
    size_t grant_count;
    const char *id; /* tells it from others of its name; NULL: the name is enough */
} om_box_request;
/* With one reference. NULL: no memory. */
om_box *om_box_create(const om_box_request *request);
om_box *om_box_hold(om_box *box);
void om_box_release(om_box *box); /* NULL is accepted */
static inline om_box *om_box_of(const om_principal *principal)
{
    return (om_box *)(uintptr_t)(const void *)principal;
}
int64_t om_access_now(void); /* unix seconds */
/* Whether it need not be verified again. */
bool om_box_fresh(const om_box *box);
/* False: *f says CREDENTIAL_EXPIRED or CREDENTIAL_REVOKED. */
bool om_box_good(const om_box *box, int64_t now, om_failure *f);
bool om_access_refuse(om_failure *f, const char *reason, const char *text);

/* ---- cache.c: tag -> box --------------------------------------------------------------------- */
typedef struct om_cache om_cache;
om_cache *om_cache_create(void); /* NULL: no memory or no random numbers */
void om_cache_free(om_cache *cache);
/* The tag of a credential: keyed with a secret of the process, so that nobody can make two with one
 * tag. `kind` tells keys from names of certificates. */
void om_cache_tag(const om_cache *cache, uint8_t kind, const char *text, size_t size,
                  uint8_t tag[OM_TAG]);
om_box *om_cache_find(om_cache *cache, const uint8_t tag[OM_TAG]); /* held; NULL: none */
void om_cache_add(om_cache *cache, const uint8_t tag[OM_TAG], om_box *box);
/* Tokens that were refused a moment ago, which would be again: kept apart, so that they take no place from
 * good ones. generation: of the keys that refused it. */
enum { OM_REFUSED_S = 10 };
void om_cache_refuse(om_cache *cache, const uint8_t tag[OM_TAG], int64_t now, uint64_t generation);
bool om_cache_refused(om_cache *cache, const uint8_t tag[OM_TAG], int64_t now, uint64_t generation);
void om_cache_sweep(om_cache *cache,
                    int64_t now); /* lets go what is revoked, over, or to be verified again */
void om_siphash128(const uint8_t key[16], const uint8_t *data, size_t size, uint8_t out[16]);

/* ---- text.c ---------------------------------------------------------------------------------- */
/* base64url without padding, strict: no other character, no bits left over. Returns the bytes; SIZE_MAX: not
 * of this form or too long. */
size_t om_base64url_decode(const char *text, size_t size, uint8_t *out, size_t capacity);
void om_base64url_encode(const uint8_t *data, size_t size,
                         char *out); /* out: 4/3 of it and a NUL */
/* "role:collection"; false: not of this form. */
bool om_grant_parse(const char *text, om_grant *out);
void om_sha256(const void *data, size_t size, uint8_t out[OM_HASH]);

/* ---- catalog.c: the SQLite file -------------------------------------------------------------- */
typedef struct om_catalog om_catalog;
typedef struct om_key_row {
    uint64_t number;
    char id[OM_ID_TEXT + 1], name[OM_ACCESS_MAX_PRINCIPAL + 1], tenant[OM_ACCESS_MAX_PRINCIPAL + 1];
    char certificate[OM_ACCESS_MAX_CERTIFICATE + 1]; /* "": hash counts */
    uint8_t hash[OM_HASH];
    int64_t created, expires, revoked, last_used;
    uint32_t grant_count;
    om_grant grants[OM_ACCESS_MAX_GRANTS];
} om_key_row;
/* What is read at the start is given to these. False stops with *error as they filled it. */
typedef struct om_catalog_reader {
    void *ctx;
    bool (*tenant)(void *ctx, const char *name, const om_tenant_limits *limits);
    bool (*key)(void *ctx, const om_key_row *row);
    bool (*owner)(void *ctx, const char *collection, const char *tenant);
} om_catalog_reader;
/* Whether it could be opened, as far as that can be told without making or taking it. */
bool om_catalog_check(const char *path, char *error, size_t error_size);
om_catalog *om_catalog_open(const char *path, char *error, size_t error_size);
bool om_catalog_read(om_catalog *catalog, const om_catalog_reader *reader, char *error,
                     size_t error_size);
void om_catalog_close(om_catalog *catalog);
/* A consistent copy, on disk, for us only; whole or not there. */
bool om_catalog_copy(om_catalog *catalog, const char *folder, const char *name, char *error,
                     size_t error_size);
/* Each is one transaction, on disk when it returns. False: *f says why (UNAVAILABLE / CATALOG). */
bool om_catalog_add_key(om_catalog *catalog, const om_key_row *row, om_failure *f);
bool om_catalog_revoke_key(om_catalog *catalog, uint64_t number, int64_t when, om_failure *f);
bool om_catalog_forget_key(om_catalog *catalog, uint64_t number, om_failure *f);
bool om_catalog_set_tenant(om_catalog *catalog, const char *name, const om_tenant_limits *limits,
                           om_failure *f);
bool om_catalog_own(om_catalog *catalog, const char *collection, const char *tenant, om_failure *f);
bool om_catalog_disown(om_catalog *catalog, const char *collection, om_failure *f);
/* Several of these in one transaction. */
bool om_catalog_begin(om_catalog *catalog, om_failure *f);
bool om_catalog_used(om_catalog *catalog, uint64_t number, int64_t when, om_failure *f);
bool om_catalog_commit(om_catalog *catalog, om_failure *f);

/* ---- keyring.c: the keys in memory; its user holds om_access.lock ---------------------------- */
typedef struct om_keyring om_keyring;
typedef struct om_ring_key {
    struct om_ring_key *next_hash; /* of the same bucket of secrets or of certificates */
    struct om_ring_key *next;      /* by number */
    uint64_t number;
    char id[OM_ID_TEXT + 1];
    char *certificate; /* "": hash counts */
    uint8_t hash[OM_HASH];
    int64_t created, revoked, saved_used;
    om_box *box; /* name, tenant, grants, expiry, last use */
} om_ring_key;
om_keyring *om_keyring_create(void);
void om_keyring_free(om_keyring *ring);
/* Takes a copy; NULL: no memory. */
om_ring_key *om_keyring_add(om_keyring *ring, const om_key_row *row, om_tenant *tenant);
void om_keyring_remove(om_keyring *ring, om_ring_key *key);
om_ring_key *om_keyring_first(om_keyring *ring);
size_t om_keyring_count(const om_keyring *ring, bool revoked); /* those that are not, or that are */
om_ring_key *om_keyring_by_hash(om_keyring *ring, const uint8_t hash[OM_HASH]);
om_ring_key *om_keyring_by_certificate(om_keyring *ring, const char *name, size_t size);
/* One that is not revoked: by id or name. */
om_ring_key *om_keyring_find(om_keyring *ring, const char *key);
void om_keyring_revoke(om_keyring *ring, om_ring_key *key, int64_t when);
void om_keyring_tell(const om_ring_key *key, om_key *out);

/* ---- owners.c: which tenant has a collection; its user holds om_access.lock ------------------ */
typedef struct om_owners om_owners;
om_owners *om_owners_create(void);
void om_owners_free(om_owners *owners);
bool om_owners_set(om_owners *owners, const char *collection, om_tenant *tenant); /* NULL: none */
om_tenant *om_owners_get(const om_owners *owners, const char *collection);        /* NULL: none */
size_t om_owners_count(const om_owners *owners, const om_tenant *tenant); /* walks all of them */

/* ---- jwt.c, jwt_keys.c ----------------------------------------------------------------------- */
typedef struct om_jwt_keys om_jwt_keys;
enum { OM_JWT_MAX_KEYS = 16, OM_JWT_MAX_FILE = 64 * 1024, OM_JWT_KID = 128, OM_JWT_ISSUER = 512 };
bool om_jwt_algorithm_ok(const char *name);
/* text: PEM public keys, a JWKS, or an HMAC secret, as the algorithm wants. NULL: *error says why. */
om_jwt_keys *om_jwt_keys_parse(const char *algorithm, const char *text, size_t size, char *error,
                               size_t error_size);
void om_jwt_keys_free(om_jwt_keys *keys);
const char *om_jwt_keys_algorithm(const om_jwt_keys *keys);
/* Whether one of the keys made this signature. kid "": any may have, but when several keys have a kid none of
 * those. */
bool om_jwt_keys_verify(const om_jwt_keys *keys, const char *kid, const char *text,
                        size_t text_size, const uint8_t *signature, size_t signature_size);
#define OM_JWT_NO_KEY "its signature is of none of the keys"
typedef struct om_jwt_want {
    const om_jwt_keys *keys;
    const char *issuer, *audience; /* NULL: not looked at */
    int64_t now;
} om_jwt_want;
typedef struct om_jwt_claims {
    char name[OM_ACCESS_MAX_PRINCIPAL + 1],
        tenant[OM_ACCESS_MAX_PRINCIPAL + 1]; /* tenant "": default */
    char issuer[OM_JWT_ISSUER + 1];          /* "": it names none, or is not asked for */
    int64_t expires;
    size_t grant_count;
    om_grant grants[OM_ACCESS_MAX_GRANTS];
} om_jwt_claims;
/* NULL: it is good. Otherwise the reason CREDENTIAL_INVALID or CREDENTIAL_EXPIRED; *why is for the log of the
 * server and never told to the caller. */
const char *om_jwt_verify(const om_jwt_want *want, const char *token, size_t size,
                          om_jwt_claims *out, const char **why);

/* ---- audit.c --------------------------------------------------------------------------------- */
typedef struct om_audit om_audit;
typedef struct om_audit_line {
    const om_principal *principal;
    const char *peer, *action, *object;
    bool ok;
    const char *why;          /* what the other side is not told: which check a credential failed */
    const char *certificates; /* names in a certificate that has no grants */
} om_audit_line;
/* path NULL: lines go to the log. NULL: *error. */
om_audit *om_audit_create(const char *path, om_metrics *metrics, om_slog *log, char *error,
                          size_t error_size);
/* Whether create could open the file, which is not made. */
bool om_audit_check(const char *path, char *error, size_t error_size);
void om_audit_free(om_audit *audit);
void om_audit_write(om_audit *audit, const om_audit_line *line);
void om_audit_reopen(om_audit *audit);
#endif
