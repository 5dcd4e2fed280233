/* ops_tls_test.c - certificate files: what is accepted, what is refused and why, and what happens
 * when they change under a running server. Keys and certificates are made here.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cmocka.h>

#include "metrics.h"
#include "tls.h"

static char folder[] = "ops-tls-XXXXXX";
static char cert_path[64], key_path[64], ca_path[64];
static om_metrics *metrics;
static char error[512];

/* A key and a certificate for it, as PEM; the caller frees both. */
typedef struct pair {
    char *cert, *key;
} pair;

static char *take_text(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    char *copy = malloc((size_t)n + 1);
    assert_non_null(copy);
    memcpy(copy, data, (size_t)n); /* it has no end mark */
    copy[n] = '\0';
    BIO_free(bio);
    return copy;
}

static pair make_pair(long seconds)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *cert_out = BIO_new(BIO_s_mem());
    BIO *key_out = BIO_new(BIO_s_mem());
    assert_true(key != NULL && cert != NULL && cert_out != NULL && key_out != NULL);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), seconds));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    X509_NAME *name = X509_get_subject_name(cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"localhost", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert, name), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(cert_out, cert), 1);
    assert_int_equal(PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL), 1);
    pair made = {take_text(cert_out), take_text(key_out)};
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

static void free_pair(pair p)
{
    free(p.cert);
    free(p.key);
}

/* By a rename, as a careful tool does it: the inode changes whatever the clock says. */
static void write_bytes(const char *path, const char *bytes, size_t n)
{
    char temporary[80];
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "we");
    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0640), 0); /* whatever the umask of who runs this */
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static om_tls *create(bool with_ca)
{
    om_tls_options options = {cert_path, key_path, with_ca ? ca_path : NULL, metrics, NULL};
    error[0] = '\0';
    return om_tls_create(&options, error, sizeof error);
}

static void assert_refused(bool with_ca, const char *path, const char *why)
{
    om_tls *tls = create(with_ca);
    if (tls != NULL || strstr(error, path) == NULL || strstr(error, why) == NULL) {
        fail_msg("wanted %s: %s, got '%s'", path, why, error);
    }
}

static double reloads(const char *result)
{
    char series[64];
    size_t length = 0;
    char *page = om_metrics_render(metrics, &length);
    assert_non_null(page);
    (void)snprintf(series, sizeof series, "\nomendb_tls_reloads_total{result=\"%s\"} ", result);
    const char *at = strstr(page, series);
    assert_non_null(at);
    double value = strtod(at + strlen(series), NULL);
    free(page);
    return value;
}

static void test_load(void **state)
{
    pair p = make_pair(3600);
    uint64_t mine = 0;
    uint64_t other = 0;
    om_tls_pem pem;
    (void)state;
    write_text(cert_path, p.cert);
    write_text(key_path, p.key);
    om_tls *tls = create(false);
    assert_non_null(tls);
    assert_false(om_tls_wants_client_certificate(tls));
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_CHANGED);
    assert_string_equal(pem.chain, p.cert);
    assert_string_equal(pem.key, p.key);
    assert_null(pem.client_ca);
    om_tls_release(&pem);
    assert_null(pem.key);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_UNCHANGED);
    /* A second listener gets its own copy. */
    assert_int_equal(om_tls_fetch(tls, &other, &pem), OM_TLS_CHANGED);
    /* What was handed out outlives the handle. */
    om_tls_free(tls);
    assert_string_equal(pem.chain, p.cert);
    om_tls_release(&pem);
    om_tls_free(NULL);
    free_pair(p);
}

static void test_client_ca(void **state)
{
    pair p = make_pair(3600);
    pair authority = make_pair(3600);
    uint64_t generation = 0;
    om_tls_pem pem;
    (void)state;
    write_text(cert_path, p.cert);
    write_text(key_path, p.key);
    write_text(ca_path, authority.cert);
    om_tls *tls = create(true);
    assert_non_null(tls);
    assert_true(om_tls_wants_client_certificate(tls));
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    assert_string_equal(pem.client_ca, authority.cert);
    om_tls_release(&pem);
    om_tls_free(tls);
    /* One authority that has ended among others is a warning; when all have, no client could connect. */
    pair ended = make_pair(-1);
    char both[8192];
    (void)snprintf(both, sizeof both, "%s%s", ended.cert, authority.cert);
    write_text(ca_path, both);
    tls = create(true);
    assert_non_null(tls);
    write_text(ca_path, ended.cert);
    assert_int_equal(om_tls_fetch(tls, &(uint64_t){1}, &pem),
                     OM_TLS_FAILED); /* the old ones stay */
    om_tls_free(tls);
    assert_refused(true, ca_path, "every authority in it has expired");
    free_pair(ended);
    write_text(ca_path, "nothing\n");
    assert_refused(true, ca_path, "no PEM certificate");
    assert_int_equal(unlink(ca_path), 0);
    assert_refused(true, ca_path, "No such file");
    assert_null(strstr(error, "limit"));
    free_pair(p);
    free_pair(authority);
}

/* The key is the one file of the three that nobody else may read; the rest is public. A link is how
 * Kubernetes mounts it: its own mode says nothing. */
static void test_key_mode(void **state)
{
    char target[80];
    uint64_t generation = 0;
    om_tls_pem pem;
    pair p = make_pair(3600);
    (void)state;
    write_text(cert_path, p.cert);
    write_text(key_path, p.key);
    assert_int_equal(chmod(cert_path, 0644), 0);
    assert_int_equal(chmod(key_path, 0644), 0);
    assert_refused(false, key_path, "everybody on this machine may read it: chmod o-rwx");
    assert_int_equal(chmod(key_path, 0602), 0);
    assert_refused(false, key_path, "chmod o-rwx");
    (void)snprintf(target, sizeof target, "%s.data", key_path);
    assert_int_equal(rename(key_path, target), 0);
    assert_int_equal(chmod(target, 0440), 0);
    assert_int_equal(symlink(strrchr(target, '/') + 1, key_path), 0);
    om_tls *tls = create(false);
    assert_non_null(tls);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    /* Opened to everybody while the server runs: what it has stays in use. */
    double failed = reloads("failed");
    assert_int_equal(chmod(target, 0444), 0);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_FAILED);
    assert_true(reloads("failed") > failed);
    assert_int_equal(chmod(target, 0400), 0);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    om_tls_free(tls);
    assert_int_equal(unlink(key_path), 0);
    assert_int_equal(unlink(target), 0);
    free_pair(p);
}

static void test_refused(void **state)
{
    static const char encrypted[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAc\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    pair p = make_pair(3600);
    pair q = make_pair(3600);
    char broken[8192];
    (void)state;
    write_text(cert_path, p.cert);
    write_text(key_path, q.key);
    assert_refused(false, key_path, "does not belong");
    write_text(key_path, p.cert);
    assert_refused(false, key_path, "no readable PEM private key");
    write_text(key_path, encrypted);
    assert_refused(false, key_path, "encrypted keys are not accepted");
    write_bytes(key_path, "a\0b", 3);
    assert_refused(false, key_path, "zero byte");
    write_text(key_path, p.key);
    write_text(cert_path, p.key);
    assert_refused(false, cert_path, "no PEM certificate");
    write_text(cert_path, "");
    assert_refused(false, cert_path, "no PEM certificate");
    /* The first one is good, the second is cut. */
    (void)snprintf(broken, sizeof broken, "%s%.200s", p.cert, q.cert);
    write_text(cert_path, broken);
    assert_refused(false, cert_path, "cannot be read");
    assert_int_equal(unlink(cert_path), 0);
    assert_refused(false, cert_path, "No such file");
    assert_int_equal(mkfifo(cert_path, 0600), 0); /* must not block */
    assert_refused(false, cert_path, "not a regular file");
    assert_int_equal(unlink(cert_path), 0);
    free_pair(p);
    free_pair(q);
}

/* Sizes and counts at the limit and one beyond. PEM allows text between the blocks. */
static void test_limits(void **state)
{
    pair p = make_pair(3600);
    char *text = malloc(OM_TLS_MAX_FILE + 2);
    size_t n = 0;
    (void)state;
    assert_non_null(text);
    write_text(key_path, p.key);
    memset(text, '\n', OM_TLS_MAX_FILE + 1);
    memcpy(text, p.cert, strlen(p.cert));
    write_bytes(cert_path, text, OM_TLS_MAX_FILE);
    om_tls *tls = create(false);
    assert_non_null(tls);
    om_tls_free(tls);
    write_bytes(cert_path, text, OM_TLS_MAX_FILE + 1);
    assert_refused(false, cert_path, "larger than its limit (limit 262144 bytes)");
    for (int i = 0; i < OM_TLS_MAX_CHAIN; i++, n += strlen(p.cert)) {
        memcpy(text + n, p.cert, strlen(p.cert));
    }
    write_bytes(cert_path, text, n);
    tls = create(false);
    assert_non_null(tls);
    om_tls_free(tls);
    memcpy(text + n, p.cert, strlen(p.cert));
    write_bytes(cert_path, text, n + strlen(p.cert));
    assert_refused(false, cert_path, "too many certificates");
    write_text(cert_path, p.cert);
    memset(text, '\n', OM_TLS_MAX_KEY + 1);
    memcpy(text, p.key, strlen(p.key));
    write_bytes(key_path, text, OM_TLS_MAX_KEY + 1);
    assert_refused(false, key_path, "(limit 65536 bytes)");
    free(text);
    free_pair(p);
}

static void test_reload(void **state)
{
    pair p = make_pair(3600);
    pair q = make_pair(7200);
    uint64_t mine = 0;
    uint64_t other = 0;
    om_tls_pem pem;
    (void)state;
    double ok = reloads("ok");
    double failed = reloads("failed");
    write_text(cert_path, p.cert);
    write_text(key_path, p.key);
    om_tls *tls = create(false);
    assert_non_null(tls);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    assert_int_equal(om_tls_fetch(tls, &other, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    /* The certificate is there and its key is not yet: the old pair stays, and is told once. */
    write_text(cert_path, q.cert);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_FAILED);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_UNCHANGED);
    assert_true(reloads("failed") == failed + 1);
    assert_true(reloads("ok") == ok);
    uint64_t late = 0;
    assert_int_equal(om_tls_fetch(tls, &late, &pem), OM_TLS_CHANGED);
    assert_string_equal(pem.chain, p.cert);
    om_tls_release(&pem);
    /* Now both: every listener is told, each once. */
    write_text(key_path, q.key);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_CHANGED);
    assert_string_equal(pem.key, q.key);
    om_tls_release(&pem);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_UNCHANGED);
    assert_int_equal(om_tls_fetch(tls, &other, &pem), OM_TLS_CHANGED);
    assert_string_equal(pem.chain, q.cert);
    om_tls_release(&pem);
    assert_true(reloads("ok") == ok + 1);
    /* Gone files are bad files. */
    assert_int_equal(unlink(key_path), 0);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_FAILED);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_UNCHANGED);
    write_text(key_path, q.key);
    assert_int_equal(om_tls_fetch(tls, &mine, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    om_tls_free(tls);
    free_pair(p);
    free_pair(q);
}

/* A secret of Kubernetes: the paths are links through a folder that is switched at once. */
static void test_links(void **state)
{
    pair p = make_pair(3600);
    pair q = make_pair(3600);
    uint64_t generation = 0;
    om_tls_pem pem;
    char path[128];
    (void)state;
    const pair *pairs[2] = {&p, &q};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/v%d", folder, i);
        assert_int_equal(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof path, "%s/v%d/cert", folder, i);
        write_text(path, pairs[i]->cert);
        (void)snprintf(path, sizeof path, "%s/v%d/key", folder, i);
        write_text(path, pairs[i]->key);
    }
    (void)snprintf(path, sizeof path, "%s/data", folder);
    assert_int_equal(symlink("v0", path), 0);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    assert_int_equal(symlink("data/cert", cert_path), 0);
    assert_int_equal(symlink("data/key", key_path), 0);
    om_tls *tls = create(false);
    assert_non_null(tls);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    char next[128];
    (void)snprintf(next, sizeof next, "%s/next", folder);
    assert_int_equal(symlink("v1", next), 0);
    assert_int_equal(rename(next, path), 0);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    assert_string_equal(pem.chain, q.cert);
    om_tls_release(&pem);
    om_tls_free(tls);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    free_pair(p);
    free_pair(q);
}

/* SIGHUP: read also when nothing seems to have changed. */
static void test_force(void **state)
{
    pair p = make_pair(3600);
    uint64_t generation = 0;
    om_tls_pem pem;
    (void)state;
    write_text(cert_path, p.cert);
    write_text(key_path, p.key);
    om_tls *tls = create(false);
    assert_non_null(tls);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    double ok = reloads("ok");
    om_tls_force(tls);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_CHANGED);
    om_tls_release(&pem);
    assert_true(reloads("ok") == ok + 1);
    assert_int_equal(om_tls_fetch(tls, &generation, &pem), OM_TLS_UNCHANGED);
    om_tls_force(NULL);
    om_tls_free(tls);
    free_pair(p);
}

enum { FETCHES = 300 };

static void *fetch_many(void *arg)
{
    uint64_t generation = 0;
    for (int i = 0; i < FETCHES; i++) {
        om_tls_pem pem;
        if (om_tls_fetch(arg, &generation, &pem) == OM_TLS_CHANGED) {
            if (strncmp(pem.key, "-----BEGIN", 10) != 0) {
                return arg;
            }
            om_tls_release(&pem);
        }
        om_tls_force(arg);
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[4];
    pair p = make_pair(3600);
    (void)state;
    write_text(cert_path, p.cert);
    write_text(key_path, p.key);
    om_tls *tls = create(false);
    assert_non_null(tls);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_many, tls), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *wrong = NULL;
        (void)pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    om_tls_free(tls);
    free_pair(p);
}

static int start(void **state)
{
    om_metrics_options options = {.top_collections = 1, .runtime = NULL, .db = NULL};
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", folder);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    (void)snprintf(ca_path, sizeof ca_path, "%s/ca.pem", folder);
    metrics = om_metrics_create(&options);
    return metrics != NULL ? 0 : -1;
}

static int stop(void **state)
{
    char command[64];
    (void)state;
    om_metrics_free(metrics);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),     cmocka_unit_test(test_client_ca),
        cmocka_unit_test(test_key_mode), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),   cmocka_unit_test(test_reload),
        cmocka_unit_test(test_links),    cmocka_unit_test(test_force),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
