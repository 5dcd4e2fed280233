/* access.c - puts the parts together: start, who calls, what happens once a second.
 * SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_state.h"

static const om_grant everything = {OM_ROLE_MANAGE, "*"};

/* ---- Bootstrap keys -------------------------------------------------------------------------- */

void om_bootstrap_free(om_bootstrap *b)
{
    for (size_t i = 0; i < b->count; i++) {
        om_box_release(b->boxes[i]);
    }
    memset(b, 0, sizeof *b);
}

static const char *add_bootstrap(om_access *access, om_bootstrap *b, const char *key, size_t size)
{
    char name[] = "bootstrap";
    om_box_request q = {.name = name,
                        .kind = OM_BY_BOOTSTRAP,
                        .tenant = access->everybody,
                        .grants = &everything,
                        .grant_count = 1};
    if (size < OM_BOOTSTRAP_LEAST || size > OM_BOOTSTRAP_MOST) {
        return "a key has 32 to 512 characters: head -c 32 /dev/urandom | base64";
    }
    for (size_t i = 0; i < size; i++) {
        if (key[i] <= ' ' || key[i] > '~') {
            return "a key has printable characters only, and no spaces";
        }
    }
    if (b->count == OM_BOOTSTRAP_MAX) {
        return "it holds more than 4 keys";
    }
    om_box *box = om_box_create(&q);
    if (box == NULL) {
        return "no memory";
    }
    om_sha256(key, size, b->hashes[b->count]);
    b->boxes[b->count++] = box;
    return NULL;
}

/* One key a line; # starts a comment. Several, so that one can be replaced without a gap. */
static bool parse_bootstrap(om_access *access, const char *text, om_bootstrap *out, char *error,
                            size_t error_size)
{
    const char *why = NULL;
    memset(out, 0, sizeof *out);
    while (why == NULL && text[0] != '\0') {
        size_t line = strcspn(text, "\n");
        size_t n = line;
        while (n > 0 && (text[n - 1] == '\r' || text[n - 1] == ' ' || text[n - 1] == '\t')) {
            n--;
        }
        if (n > 0 && text[0] != '#') {
            why = add_bootstrap(access, out, text, n);
        }
        text += line + (text[line] == '\n');
    }
    if (why == NULL && out->count == 0) {
        why = "it holds no key";
    }
    if (why != NULL) {
        (void)snprintf(error, error_size, "%.200s: %s", access->bootstrap_file.path, why);
        om_bootstrap_free(out);
    }
    return why == NULL;
}

/* Keys that are still there keep their principal, so that calls that run go on. */
static void take_over(om_bootstrap *from, om_bootstrap *to)
{
    for (size_t i = 0; i < from->count; i++) {
        bool kept = false;
        for (size_t k = 0; k < to->count; k++) {
            if (CRYPTO_memcmp(from->hashes[i], to->hashes[k], OM_HASH) == 0) {
                om_box *fresh = to->boxes[k];
                to->boxes[k] = om_box_hold(from->boxes[i]);
                om_box_release(fresh);
                kept = true;
            }
        }
        if (!kept) {
            atomic_store_explicit(&from->boxes[i]->revoked, true, memory_order_release);
        }
    }
}

bool om_access_load_bootstrap(om_access *access, char *error, size_t error_size)
{
    om_bootstrap fresh;
    size_t size = 0;
    char *text =
        om_watched_read(&access->bootstrap_file, true, OM_JWT_MAX_FILE, &size, error, error_size);
    bool ok = text != NULL && parse_bootstrap(access, text, &fresh, error, error_size);
    om_secret_free(text, size);
    if (ok) {
        pthread_rwlock_wrlock(&access->lock);
        om_bootstrap old = access->bootstrap;
        take_over(&old, &fresh);
        access->bootstrap = fresh;
        pthread_rwlock_unlock(&access->lock);
        om_bootstrap_free(&old);
    }
    return ok;
}

/* ---- Keys of tokens -------------------------------------------------------------------------- */

bool om_access_load_jwt(om_access *access, char *error, size_t error_size)
{
    char why[256];
    size_t size = 0;
    bool secret = strncmp(access->jwt_algorithm, "HS", 2) == 0;
    char *text =
        om_watched_read(&access->jwt_file, secret, OM_JWT_MAX_FILE, &size, error, error_size);
    if (text == NULL) {
        return false;
    }
    om_jwt_keys *fresh = om_jwt_keys_parse(access->jwt_algorithm, text, size, why, sizeof why);
    om_secret_free(text, size);
    if (fresh == NULL) {
        (void)snprintf(error, error_size, "%.200s: %s", access->jwt_file.path, why);
        return false;
    }
    pthread_rwlock_wrlock(&access->lock);
    om_jwt_keys *old = access->jwt_keys;
    access->jwt_keys = fresh;
    /* Tokens are verified again, with what is there now. */
    atomic_fetch_add_explicit(&access->jwt_generation, 1, memory_order_acq_rel);
    pthread_rwlock_unlock(&access->lock);
    om_jwt_keys_free(old);
    return true;
}

/* ---- Who calls ------------------------------------------------------------------------------- */

/* The token of "Bearer TOKEN"; NULL: not of this form. */
static const char *bearer(const char *text, size_t size, size_t *token_size)
{
    static const char scheme[] = "bearer";
    size_t at = sizeof scheme - 1;
    if (size <= at || size > OM_ACCESS_MAX_TOKEN || text[at] != ' ') {
        return NULL;
    }
    for (size_t i = 0; i < at; i++) {
        if ((text[i] | 0x20) != scheme[i]) {
            return NULL;
        }
    }
    while (at < size && text[at] == ' ') {
        at++;
    }
    *token_size = size - at;
    return at < size ? text + at : NULL;
}

static const om_principal *use(om_box *box, int64_t now)
{
    if (atomic_load_explicit(&box->used, memory_order_relaxed) != now) {
        atomic_store_explicit(&box->used, now, memory_order_relaxed);
    }
    return &box->principal;
}

/* A key of the bootstrap file or of the catalogue, held; NULL: there is none with this secret. */
static om_box *find_key(om_access *access, const char *token, size_t size)
{
    uint8_t hash[OM_HASH];
    om_box *box = NULL;
    om_sha256(token, size, hash);
    pthread_rwlock_rdlock(&access->lock);
    for (size_t i = 0; i < access->bootstrap.count; i++) {
        /* All are looked at, whichever it is. */
        if (CRYPTO_memcmp(access->bootstrap.hashes[i], hash, OM_HASH) == 0) {
            box = access->bootstrap.boxes[i];
        }
    }
    if (box == NULL && size == OM_ACCESS_SECRET && access->ring != NULL) {
        const om_ring_key *key = om_keyring_by_hash(access->ring, hash);
        box = key != NULL ? key->box : NULL;
    }
    if (box != NULL) {
        om_box_hold(box);
    }
    pthread_rwlock_unlock(&access->lock);
    OPENSSL_cleanse(hash, sizeof hash);
    return box;
}

static om_box *box_of_claims(om_access *access, const om_jwt_claims *claims, uint64_t generation,
                             const char **why)
{
    om_tenant *tenant = claims->tenant[0] == '\0'
                            ? access->everybody
                            : om_tenants_find(access->tenants, claims->tenant);
    *why = "its tenant is not known here";
    if (tenant == NULL) {
        return NULL;
    }
    om_box_request q = {.name = claims->name,
                        .kind = OM_BY_JWT,
                        .tenant = tenant,
                        .expires = claims->expires,
                        .grants = claims->grants,
                        .grant_count = claims->grant_count,
                        .id = claims->issuer};
    om_box *box = om_box_create(&q);
    *why = "no memory";
    if (box != NULL) {
        box->generation = &access->jwt_generation;
        box->verified = generation;
    }
    return box;
}

/* A token, verified, held; NULL: *reason, for the other side, and *why, for the operator. */
static om_box *verify_token(om_access *access, const char *token, size_t size, const char **reason,
                            const char **why)
{
    om_jwt_claims claims;
    om_box *box = NULL;
    uint8_t tag[OM_TAG];
    om_cache_tag(access->cache, 0, token, size, tag);
    if (om_cache_refused(access->cache, tag, om_access_now(),
                         atomic_load(&access->jwt_generation))) {
        *why = OM_JWT_NO_KEY;
        return NULL; /* *reason says so already */
    }
    pthread_rwlock_rdlock(&access->lock);
    uint64_t generation = atomic_load(&access->jwt_generation);
    om_jwt_want want = {access->jwt_keys, access->jwt_issuer, access->jwt_audience,
                        om_access_now()};
    *reason = om_jwt_verify(&want, token, size, &claims, why);
    pthread_rwlock_unlock(&access->lock);
    if (*reason != NULL && strcmp(*why, OM_JWT_NO_KEY) == 0) {
        om_cache_refuse(access->cache, tag, want.now, generation);
    }
    if (*reason == NULL) {
        box = box_of_claims(access, &claims, generation, why);
        *reason = "CREDENTIAL_INVALID";
    }
    return box;
}

static bool refuse_invalid(om_failure *f, const char *reason)
{
    bool over = strcmp(reason, "CREDENTIAL_EXPIRED") == 0;
    return om_access_refuse(f, reason,
                            over ? "the credential has expired: ask for another one"
                                 : "the credential is not valid here");
}

static bool is_plain(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

/* What a credential stands for, held, not from the cache. NULL: *f, and *why for the operator. */
static om_box *look_up(om_access *access, const char *token, size_t size, bool certificate,
                       const char **why, om_failure *f)
{
    const char *reason = "CREDENTIAL_INVALID";
    *why = certificate ? "no key names this certificate" : "no key has this secret";
    om_box *box = NULL;
    if (!certificate && !is_plain(token, size)) {
        *why = "it has characters that no credential has";
        refuse_invalid(f, reason);
        return NULL;
    }
    if (certificate) {
        pthread_rwlock_rdlock(&access->lock);
        const om_ring_key *key =
            access->ring != NULL ? om_keyring_by_certificate(access->ring, token, size) : NULL;
        box = key != NULL ? om_box_hold(key->box) : NULL;
        pthread_rwlock_unlock(&access->lock);
    } else {
        box = find_key(access, token, size);
        if (box == NULL && access->has_jwt && memchr(token, '.', size) != NULL) {
            box = verify_token(access, token, size, &reason, why);
        }
    }
    if (box == NULL) {
        refuse_invalid(f, reason);
    }
    return box;
}

static om_box *identify(om_access *access, const char *token, size_t size, bool certificate,
                        const char **why, om_failure *f)
{
    uint8_t tag[OM_TAG];
    int64_t now = om_access_now();
    om_cache_tag(access->cache, certificate, token, size, tag);
    om_box *box = om_cache_find(access->cache, tag);
    if (box != NULL && om_box_fresh(box) && om_box_good(box, now, f)) {
        return box;
    }
    om_box_release(box);
    om_metrics_auth_lookup(access->metrics);
    box = look_up(access, token, size, certificate, why, f);
    if (box != NULL && !om_box_good(box, now, f)) {
        *why = NULL; /* the reason says it */
        om_box_release(box);
        box = NULL;
    }
    if (box != NULL) {
        om_cache_add(access->cache, tag, box);
    }
    return box;
}

static uint32_t reason_number(const om_failure *f)
{
    static const char *const reasons[OM_AUTH_REASONS] = {
        "CREDENTIAL_MISSING", "CREDENTIAL_INVALID", "CREDENTIAL_EXPIRED", "CREDENTIAL_REVOKED"};
    for (uint32_t i = 0; i < OM_AUTH_REASONS; i++) {
        if (strcmp(reasons[i], f->reason) == 0) {
            return i;
        }
    }
    return OM_AUTH_INVALID;
}

/* "a, b": what a key would have to name for the certificate to be known. */
static void put_names(const om_credentials *c, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->certificate_count && i < OM_ACCESS_CERTIFICATE_NAMES && n < size;
         i++) {
        const om_certificate_name *name = &c->certificates[i];
        int put = snprintf(out + n, size - n, "%s%.*s", i > 0 ? ", " : "",
                           name->size < size ? (int)name->size : (int)size, name->text);
        n += put > 0 ? (size_t)put : 0;
    }
}

/* why: NULL when the reason says it all. */
static const om_principal *refused(om_access *access, const om_credentials *c, const char *why,
                                   const om_failure *f)
{
    char peer[OM_PEER] = "";
    char names[OM_ACCESS_MAX_CERTIFICATE + 1] = "";
    om_audit_line line = {
        .peer = c->peer, .action = "identify", .object = f->reason, .ok = false, .why = why};
    if (c->authorization == NULL && c->certificate_count > 0) {
        put_names(c, names, sizeof names);
        line.certificates = names;
    }
    if (c->peer == NULL && c->tell_peer != NULL) {
        c->tell_peer(c->peer_ctx, peer, sizeof peer);
        line.peer = peer;
    }
    om_metrics_auth_failure(access->metrics, reason_number(f));
    om_audit_write(access->audit, &line);
    return NULL;
}

/* The first name that is known counts. NULL: *f is of the last one that was looked at. */
static om_box *by_certificate(om_access *access, const om_credentials *c, const char **why,
                              om_failure *f)
{
    om_box *box = NULL;
    refuse_invalid(f, "CREDENTIAL_INVALID");
    for (size_t i = 0; box == NULL && i < c->certificate_count && i < OM_ACCESS_CERTIFICATE_NAMES &&
                       strcmp(f->reason, "CREDENTIAL_INVALID") == 0;
         i++) {
        const om_certificate_name *name = &c->certificates[i];
        box = name->size > 0 && name->size <= OM_ACCESS_MAX_CERTIFICATE
                  ? identify(access, name->text, name->size, true, why, f)
                  : NULL;
    }
    return box;
}

const om_principal *om_access_identify(om_access *access, const om_credentials *c, om_failure *f)
{
    om_box *box = NULL;
    const char *why = NULL;
    if (!access->required) {
        return &om_box_hold(access->anonymous)->principal;
    }
    if (c->authorization != NULL) {
        size_t size = 0;
        const char *token = bearer(c->authorization, c->authorization_size, &size);
        if (token == NULL) {
            om_access_refuse(f, "CREDENTIAL_INVALID",
                             "authorization must be `Bearer` and an API key or a token");
            return refused(access, c, "authorization is not `Bearer` and one word", f);
        }
        box = identify(access, token, size, false, &why, f);
    } else if (c->certificate_count > 0 && access->certificates) {
        box = by_certificate(access, c, &why, f);
    } else {
        om_access_refuse(f, "CREDENTIAL_MISSING",
                         "this server asks for a credential: send `authorization: Bearer KEY`");
    }
    return box != NULL ? use(box, om_access_now()) : refused(access, c, why, f);
}

bool om_access_denied(om_access *access, const om_principal *p, const char *collection,
                      uint32_t verb, om_failure *f)
{
    return om_access_denied_from(access, p, NULL, collection, verb, f);
}

bool om_access_denied_from(om_access *access, const om_principal *p, const char *peer,
                           const char *collection, uint32_t verb, om_failure *f)
{
    static const char *const verbs[] = {"call",  "call",   "call",      "read",
                                        "write", "manage", "administer"};
    const char *word = verb < sizeof verbs / sizeof verbs[0] ? verbs[verb] : verbs[0];
    om_audit_line line = {
        .principal = p, .peer = peer, .action = word, .object = collection, .ok = false};
    om_metrics_auth_denied(access->metrics);
    om_audit_write(access->audit, &line);
    if (collection == NULL) {
        return om_failure_set(f, OM_CODE_PERMISSION_DENIED, "ROLE", NULL, "'%s' may not %s %s",
                              p->name, word,
                              verb == OM_VERB_ADMIN ? "this server (it takes the role manage on *)"
                                                    : "any collection");
    }
    return om_failure_set(f, OM_CODE_PERMISSION_DENIED, "ROLE", NULL,
                          "'%s' may not %s the collection '%s'", p->name, word, collection);
}

void om_access_audit(om_access *access, const om_principal *principal, const char *peer,
                     const char *action, const char *object, bool ok)
{
    om_audit_line line = {
        .principal = principal, .peer = peer, .action = action, .object = object, .ok = ok};
    om_audit_write(access->audit, &line);
}

const om_principal *om_access_anonymous(om_access *access)
{
    return &om_box_hold(access->required ? access->nobody : access->anonymous)->principal;
}

bool om_access_takes_certificates(const om_access *access)
{
    return access->certificates && access->ring != NULL;
}

bool om_access_required(const om_access *access)
{
    return access->required;
}
