/* access_fixture.c - see access_fixture.h. SPDX-License-Identifier: Apache-2.0 */
#include "access_fixture.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

int things_set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/access_test.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

int things_tear_down(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

const char *things_path(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* By another file in its place, as tools that renew keys do it. */
void things_write(const char *name, const char *text, unsigned mode)
{
    const char *path = things_path(name);
    const char *fresh = things_path("fresh");
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename(fresh, path), 0);
}

om_access *things_start(const om_access_options *options)
{
    char why[700];
    om_access *access = om_access_create(options, why, sizeof why);
    if (access == NULL) {
        fail_msg("%s", why);
    }
    return access;
}

void things_refuse(const om_access_options *options, const char *part)
{
    char why[700] = "";
    om_access *access = om_access_create(options, why, sizeof why);
    if (access != NULL || strstr(why, part) == NULL) {
        fail_msg("wanted '%s', got '%s'", part, access != NULL ? "a start" : why);
    }
}

const om_principal *identify_with(om_access *access, const char *key, om_failure *f)
{
    char header[OM_ACCESS_MAX_TOKEN + 64];
    (void)snprintf(header, sizeof header, "Bearer %s", key);
    om_credentials c = {.authorization = header, .authorization_size = strlen(header)};
    return om_access_identify(access, &c, f);
}

const om_principal *identify_by(om_access *access, const char *certificate, om_failure *f)
{
    om_certificate_name name = {certificate, strlen(certificate)};
    om_credentials c = {.certificates = &name, .certificate_count = 1};
    return om_access_identify(access, &c, f);
}

void refused_for(om_access *access, const char *key, const char *reason)
{
    om_failure f;
    assert_null(identify_with(access, key, &f));
    assert_int_equal(f.code, OM_CODE_UNAUTHENTICATED);
    assert_string_equal(f.reason, reason);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* Two of them in turn: making one takes long. */
static EVP_PKEY *rsa_key(void)
{
    static EVP_PKEY *pool[2];
    static unsigned turn;
    EVP_PKEY **key = &pool[turn++ % 2];
    if (*key == NULL) {
        *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    }
    assert_int_equal(EVP_PKEY_up_ref(*key), 1);
    return *key;
}

EVP_PKEY *make_key(const char *algorithm)
{
    if (strcmp(algorithm, "EdDSA") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    if (algorithm[0] == 'E') {
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC",
                                 strcmp(algorithm, "ES256") == 0   ? "P-256"
                                 : strcmp(algorithm, "ES384") == 0 ? "P-384"
                                                                   : "P-521");
    }
    return rsa_key();
}

char *public_pem(EVP_PKEY *key)
{
    char *data = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long n = BIO_get_mem_data(bio, &data);
    char *out = calloc(1, (size_t)n + 1); /* what lies in a BIO has no end of its own */
    assert_non_null(out);
    memcpy(out, data, (size_t)n);
    BIO_free(bio);
    return out;
}

static char *unsigned_token(const char *header, const char *claims)
{
    size_t size = 2 * (strlen(header) + strlen(claims)) + 4096;
    char *out = malloc(size);
    om_base64url_encode((const uint8_t *)header, strlen(header), out);
    size_t n = strlen(out);
    out[n++] = '.';
    om_base64url_encode((const uint8_t *)claims, strlen(claims), out + n);
    return out;
}

static char *with_signature(char *token, const uint8_t *signature, size_t size)
{
    size_t n = strlen(token);
    token[n++] = '.';
    om_base64url_encode(signature, size, token + n);
    return token;
}

static size_t raw_of(const uint8_t *der, size_t size, size_t half, uint8_t *out)
{
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)size);
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half), half);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half), half);
    ECDSA_SIG_free(sig);
    return 2 * half;
}

char *sign_token(const char *header, const char *claims, const char *algorithm, EVP_PKEY *key)
{
    uint8_t signature[1024], raw[256];
    size_t n = sizeof signature;
    char digest[16];
    char *token = unsigned_token(header, claims);
    bool edwards = strcmp(algorithm, "EdDSA") == 0;
    (void)snprintf(digest, sizeof digest, "SHA%.3s", algorithm + 2);
    EVP_PKEY_CTX *padding = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &padding, edwards ? NULL : digest, NULL, NULL, key, NULL), 1);
    if (algorithm[0] == 'P') {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(ctx, signature, &n, (const uint8_t *)token, strlen(token)), 1);
    EVP_MD_CTX_free(ctx);
    if (algorithm[0] == 'E' && !edwards) {
        size_t half = strcmp(algorithm, "ES256") == 0   ? 32
                      : strcmp(algorithm, "ES384") == 0 ? 48
                                                        : 66;
        n = raw_of(signature, n, half, raw);
        return with_signature(token, raw, n);
    }
    return with_signature(token, signature, n);
}

char *sign_secret(const char *header, const char *claims, const char *secret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char *token = unsigned_token(header, claims);
    assert_non_null(HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)token,
                         strlen(token), mac, &n));
    return with_signature(token, mac, n);
}
