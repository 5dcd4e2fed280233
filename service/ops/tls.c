/* tls.c - loads certificate files, checks them with OpenSSL, notices that they changed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include "watched.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct material {
    atomic_uint references;
    char *chain, *key, *ca;
    size_t key_length;
    int64_t expiry;
} material;

struct om_tls {
    om_metrics *metrics;
    om_slog *log;
    pthread_mutex_t mutex; /* guards what follows */
    om_watched files
        [3]; /* chain, key, client CA or without a path; a bad one is not read again and again */
    material *current;
    uint64_t generation; /* of current, from 1 */
    bool force;
};

enum { CHAIN = 0, KEY = 1, CA = 2 };

static void release(material *m)
{
    if (m != NULL && atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) == 1) {
        free(m->chain);
        om_secret_free(m->key, m->key_length);
        free(m->ca);
        free(m);
    }
}

/* All are looked at, so that one change is one reading. */
static bool look(om_tls *tls)
{
    bool changed = false;
    for (int i = 0; i < 3; i++) {
        changed = (tls->files[i].path != NULL && om_watched_changed(&tls->files[i])) || changed;
    }
    return changed;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

/* Answers "no pass phrase": without it OpenSSL would ask on the terminal. */
static int no_pass_phrase(char *out, int size, int writing, void *ctx)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static X509 *read_certificate(BIO *bio)
{
    return PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
}

/* How many certificates a PEM text has, and how many of them have not expired. */
typedef struct counts {
    int all, living;
} counts;

static void count_one(const X509 *certificate, counts *out)
{
    out->all++;
    out->living += X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0 ? 1 : 0;
}

/* Counts the certificates of a PEM text and gives the first. NULL: *why tells. */
static X509 *check_certificates(const char *pem, int limit, counts *out, const char **why)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *first = bio != NULL ? read_certificate(bio) : NULL;
    bool more = first != NULL;
    *out = (counts){0, 0};
    if (first != NULL) {
        count_one(first, out);
    }
    *why = bio == NULL ? "no memory" : "no PEM certificate found";
    while (more && out->all <= limit) {
        X509 *next = read_certificate(bio);
        more = next != NULL;
        if (more) {
            count_one(next, out);
        }
        X509_free(next);
    }
    /* The end of the text is the one error that is none. */
    bool broken =
        first != NULL && !more && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    if (first != NULL && (out->all > limit || broken)) {
        *why = broken ? "a certificate in it cannot be read" : "too many certificates";
        X509_free(first);
        first = NULL;
    }
    ERR_clear_error();
    BIO_free(bio);
    return first;
}

static bool check_key(const char *pem, X509 *certificate, const char **why)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
    bool match = false;
    if (key == NULL) {
        *why = "no readable PEM private key (encrypted keys are not accepted)";
    } else {
        match = X509_check_private_key(certificate, key) == 1;
        *why = "the key does not belong to the certificate";
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return match;
}

static int64_t expiry_of(const X509 *certificate)
{
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1) {
        return 0;
    }
    return (int64_t)timegm(&tm);
}

/* No client would go on with a certificate that is over; told here, whoever starts the server sees it. */
static bool check_dates(const X509 *certificate, char *text, size_t size)
{
    char when[32] = "a time that cannot be read";
    struct tm tm;
    bool over = X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0;
    bool early = X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0;
    memset(&tm, 0, sizeof tm);
    if (ASN1_TIME_to_tm(over ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate),
                        &tm) == 1) {
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    }
    (void)snprintf(text, size,
                   over ? "the certificate has expired at %s: renew it"
                        : "the certificate is valid from %s on: is the clock right?",
                   when);
    return !over && !early;
}

/* With none in force every client would be refused in its handshake; with some, those of the others. */
static bool check_authorities(const om_tls *tls, const char *pem, const char **why)
{
    counts n;
    X509 *first = check_certificates(pem, OM_TLS_MAX_CA, &n, why);
    bool ok = first != NULL && n.living > 0;
    if (first != NULL && !ok) {
        *why = "every authority in it has expired: no client could connect";
    } else if (ok && n.living < n.all) {
        om_slog(tls->log, OMEN_LOG_WARN, "tls", "authorities of clients have expired",
                OM_SLOG_STR("file", tls->files[CA].path), OM_SLOG_I64("expired", n.all - n.living),
                OM_SLOG_I64("all", n.all));
    }
    X509_free(first);
    return ok;
}

static bool check(const om_tls *tls, material *m, char *error, size_t error_size)
{
    char dates[128];
    const char *why = NULL;
    const char *which = tls->files[CHAIN].path;
    bool ok = false;
    counts n;
    X509 *leaf = check_certificates(m->chain, OM_TLS_MAX_CHAIN, &n, &why);
    bool dated = leaf != NULL && check_dates(leaf, dates, sizeof dates);
    if (leaf != NULL && !dated) {
        why = dates;
    }
    if (dated) {
        m->expiry = expiry_of(leaf);
        which = tls->files[KEY].path;
        ok = check_key(m->key, leaf, &why);
    }
    if (ok && m->ca != NULL) {
        which = tls->files[CA].path;
        ok = check_authorities(tls, m->ca, &why);
    }
    X509_free(leaf);
    if (!ok) {
        (void)snprintf(error, error_size, "%s: %s", which, why);
    }
    return ok;
}

static material *load_material(const om_tls *tls, char *error, size_t error_size)
{
    size_t length = 0;
    material *m = calloc(1, sizeof *m);
    if (m == NULL) {
        (void)snprintf(error, error_size, "no memory for the certificate files");
        return NULL;
    }
    atomic_init(&m->references, 1);
    m->chain =
        om_watched_read(&tls->files[CHAIN], false, OM_TLS_MAX_FILE, &length, error, error_size);
    if (m->chain != NULL) {
        m->key = om_watched_read(&tls->files[KEY], true, OM_TLS_MAX_KEY, &m->key_length, error,
                                 error_size);
    }
    bool loaded = m->key != NULL;
    if (loaded && tls->files[CA].path != NULL) {
        m->ca =
            om_watched_read(&tls->files[CA], false, OM_TLS_MAX_FILE, &length, error, error_size);
        loaded = m->ca != NULL;
    }
    if (!loaded || !check(tls, m, error, error_size)) {
        release(m);
        return NULL;
    }
    return m;
}

/* ---- The handle ------------------------------------------------------------------------------ */

om_tls *om_tls_create(const om_tls_options *options, char *error, size_t error_size)
{
    om_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        (void)snprintf(error, error_size, "no memory for TLS");
        return NULL;
    }
    (void)pthread_mutex_init(&tls->mutex, NULL);
    tls->metrics = options->metrics;
    tls->log = options->log;
    if (!om_watched_init(&tls->files[CHAIN], options->cert_file) ||
        !om_watched_init(&tls->files[KEY], options->key_file) ||
        (options->ca_file != NULL && !om_watched_init(&tls->files[CA], options->ca_file))) {
        (void)snprintf(error, error_size, "no memory for TLS");
        om_tls_free(tls);
        return NULL;
    }
    (void)look(tls); /* before reading: what changes after this is noticed */
    tls->current = load_material(tls, error, error_size);
    tls->generation = 1;
    if (tls->current == NULL) {
        om_tls_free(tls);
        return NULL;
    }
    om_metrics_tls_expiry(tls->metrics, tls->current->expiry);
    return tls;
}

void om_tls_free(om_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    release(tls->current);
    (void)pthread_mutex_destroy(&tls->mutex);
    for (int i = 0; i < 3; i++) {
        om_watched_free(&tls->files[i]);
    }
    free(tls);
}

bool om_tls_wants_client_certificate(const om_tls *tls)
{
    return tls->files[CA].path != NULL;
}

void om_tls_force(om_tls *tls)
{
    if (tls != NULL) {
        (void)pthread_mutex_lock(&tls->mutex);
        tls->force = true;
        (void)pthread_mutex_unlock(&tls->mutex);
    }
}

/* Reads the files when they are not what was seen last. The mutex is held. False: they are bad. */
static bool refresh(om_tls *tls)
{
    char error[512];
    bool changed = look(tls);
    if (!tls->force && !changed) {
        return true;
    }
    tls->force = false;
    material *fresh = load_material(tls, error, sizeof error);
    om_metrics_tls_reload(tls->metrics, fresh != NULL);
    if (fresh == NULL) {
        om_slog(tls->log, OMEN_LOG_ERROR, "tls_reload",
                "new certificate files are bad; the old ones stay in use",
                OM_SLOG_STR("why", error));
        return false;
    }
    release(tls->current);
    tls->current = fresh;
    tls->generation++;
    om_metrics_tls_expiry(tls->metrics, fresh->expiry);
    om_slog(tls->log, OMEN_LOG_INFO, "tls_reload", "new certificate files are in use",
            OM_SLOG_I64("expires", fresh->expiry));
    return true;
}

int om_tls_fetch(om_tls *tls, uint64_t *generation, om_tls_pem *out)
{
    (void)pthread_mutex_lock(&tls->mutex);
    bool good = refresh(tls);
    bool changed = *generation != tls->generation;
    if (changed) {
        material *m = tls->current;
        atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
        *out = (om_tls_pem){m->chain, m->key, m->ca, m};
        *generation = tls->generation;
    }
    (void)pthread_mutex_unlock(&tls->mutex);
    if (changed) {
        return OM_TLS_CHANGED;
    }
    return good ? OM_TLS_UNCHANGED : OM_TLS_FAILED;
}

void om_tls_release(om_tls_pem *pem)
{
    release(pem->owner);
    memset(pem, 0, sizeof *pem);
}
