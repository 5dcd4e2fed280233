/* jwt_keys.c - the keys that tokens are checked with: PEM public keys, a JSON Web Key Set, or an
 * HMAC secret. Keys that do not fit the algorithm are refused at the start, so that a public key
 * can never be taken for a secret. SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_int.h"

enum { SECRET = 1, RSA_PKCS1 = 2, RSA_PSS = 3, ECDSA = 4, EDDSA = 5 };
enum { HMAC_LEAST = 32, RSA_LEAST_BITS = 2048, RSA_MOST_BITS = 8192, MAX_NUMBER = 1024 };

typedef struct algorithm {
    const char *name;
    int kind;
    const char *digest;
    const char *curve; /* of ECDSA: as OpenSSL calls it, and as a JWK does */
    const char *jwk_curve;
    size_t half; /* of ECDSA: bytes of r and of s */
} algorithm;

static const algorithm algorithms[] = {{"HS256", SECRET, "SHA256", NULL, NULL, 0},
                                       {"HS384", SECRET, "SHA384", NULL, NULL, 0},
                                       {"HS512", SECRET, "SHA512", NULL, NULL, 0},
                                       {"RS256", RSA_PKCS1, "SHA256", NULL, NULL, 0},
                                       {"RS384", RSA_PKCS1, "SHA384", NULL, NULL, 0},
                                       {"RS512", RSA_PKCS1, "SHA512", NULL, NULL, 0},
                                       {"PS256", RSA_PSS, "SHA256", NULL, NULL, 0},
                                       {"PS384", RSA_PSS, "SHA384", NULL, NULL, 0},
                                       {"PS512", RSA_PSS, "SHA512", NULL, NULL, 0},
                                       {"ES256", ECDSA, "SHA256", "prime256v1", "P-256", 32},
                                       {"ES384", ECDSA, "SHA384", "secp384r1", "P-384", 48},
                                       {"ES512", ECDSA, "SHA512", "secp521r1", "P-521", 66},
                                       {"EdDSA", EDDSA, NULL, NULL, "Ed25519", 0}};

typedef struct jwt_key {
    char kid[OM_JWT_KID + 1]; /* "": none */
    EVP_PKEY *public;         /* NULL: a secret */
    uint8_t *secret;
    size_t secret_size;
} jwt_key;

struct om_jwt_keys {
    const algorithm *algorithm;
    size_t count;
    jwt_key keys[OM_JWT_MAX_KEYS];
};

static const algorithm *find_algorithm(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return &algorithms[i];
        }
    }
    return NULL;
}

bool om_jwt_algorithm_ok(const char *name)
{
    return find_algorithm(name) != NULL;
}

const char *om_jwt_keys_algorithm(const om_jwt_keys *keys)
{
    return keys->algorithm->name;
}

void om_jwt_keys_free(om_jwt_keys *keys)
{
    for (size_t i = 0; keys != NULL && i < keys->count; i++) {
        EVP_PKEY_free(keys->keys[i].public);
        if (keys->keys[i].secret != NULL) {
            OPENSSL_cleanse(keys->keys[i].secret, keys->keys[i].secret_size);
            free(keys->keys[i].secret);
        }
    }
    free(keys);
}

/* ---- Taking keys in -------------------------------------------------------------------------- */

/* NULL: the key fits the algorithm; otherwise what is wrong with it. */
static const char *check_public(const algorithm *a, EVP_PKEY *key)
{
    char curve[64] = "";
    int bits = EVP_PKEY_get_bits(key);
    switch (a->kind) {
    case RSA_PKCS1:
    case RSA_PSS:
        if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
            return "the algorithm wants an RSA key";
        }
        return bits < RSA_LEAST_BITS || bits > RSA_MOST_BITS
                   ? "an RSA key must have 2048 to 8192 bits"
                   : NULL;
    case ECDSA:
        (void)EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof curve,
                                             NULL);
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && strcmp(curve, a->curve) == 0
                   ? NULL
                   : "the algorithm wants a key of another curve";
    case EDDSA:
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : "EdDSA wants an Ed25519 key";
    default:
        return "the algorithm wants a secret, not a public key";
    }
}

/* Takes the key over. NULL: done. */
static const char *add_public(om_jwt_keys *keys, EVP_PKEY *key, const char *kid)
{
    const char *why =
        key == NULL ? "a key in it cannot be read" : check_public(keys->algorithm, key);
    if (why == NULL && keys->count == OM_JWT_MAX_KEYS) {
        why = "it holds more than 16 keys";
    }
    if (why != NULL) {
        EVP_PKEY_free(key);
        return why;
    }
    jwt_key *to = &keys->keys[keys->count++];
    (void)snprintf(to->kid, sizeof to->kid, "%s", kid);
    to->public = key;
    return NULL;
}

static const char *add_secret(om_jwt_keys *keys, const void *secret, size_t size, const char *kid)
{
    if (keys->algorithm->kind != SECRET) {
        return "the algorithm wants a public key, not a secret";
    }
    if (size < HMAC_LEAST) {
        return "a secret must have at least 32 bytes: head -c 48 /dev/urandom | base64";
    }
    if (keys->count == OM_JWT_MAX_KEYS) {
        return "it holds more than 16 keys";
    }
    uint8_t *copy = malloc(size);
    if (copy == NULL) {
        return "no memory";
    }
    memcpy(copy, secret, size);
    jwt_key *to = &keys->keys[keys->count++];
    (void)snprintf(to->kid, sizeof to->kid, "%s", kid);
    to->secret = copy;
    to->secret_size = size;
    return NULL;
}

/* ---- PEM ------------------------------------------------------------------------------------- */

/* Answers "no pass phrase": without it OpenSSL would ask on the terminal. */
static int no_pass_phrase(char *out, int size, int writing, void *ctx)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static size_t count_blocks(const char *text)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, "-----BEGIN ")) != NULL; at++) {
        n++;
    }
    return n;
}

static const char *parse_pem(om_jwt_keys *keys, const char *text, size_t size)
{
    const char *why = NULL;
    if (keys->algorithm->kind == SECRET) {
        return "it holds a PEM key, and the algorithm wants a secret: a public key is none";
    }
    if (strstr(text, "PRIVATE KEY-----") != NULL) {
        return "it holds a private key: give the public one (openssl pkey -pubout)";
    }
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    EVP_PKEY *key = NULL;
    while (bio != NULL && why == NULL &&
           (key = PEM_read_bio_PUBKEY(bio, NULL, no_pass_phrase, NULL)) != NULL) {
        why = add_public(keys, key, "");
    }
    if (why == NULL && keys->count != count_blocks(text)) {
        why = "a part of it is no public key that can be read";
    }
    BIO_free(bio);
    return why;
}

/* ---- JSON Web Keys --------------------------------------------------------------------------- */

/* A member in base64url as bytes; 0: there is none, or it is not of this form. */
static size_t member(const json_t *jwk, const char *name, uint8_t *out, size_t capacity)
{
    const json_t *value = json_object_get(jwk, name);
    const char *text = json_string_value(value);
    size_t n = text != NULL ? om_base64url_decode(text, json_string_length(value), out, capacity)
                            : SIZE_MAX;
    return n == SIZE_MAX ? 0 : n;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_of(const json_t *jwk)
{
    uint8_t n[MAX_NUMBER];
    uint8_t e[16];
    size_t n_size = member(jwk, "n", n, sizeof n);
    size_t e_size = member(jwk, "e", e, sizeof e);
    EVP_PKEY *key = NULL;
    BIGNUM *modulus = n_size > 0 ? BN_bin2bn(n, (int)n_size, NULL) : NULL;
    BIGNUM *exponent = e_size > 0 ? BN_bin2bn(e, (int)e_size, NULL) : NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (modulus != NULL && exponent != NULL && builder != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        key = from_params("RSA", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_of(const algorithm *a, const json_t *jwk)
{
    uint8_t coordinates[1 + 2 * 66];
    EVP_PKEY *key = NULL;
    coordinates[0] = POINT_CONVERSION_UNCOMPRESSED;
    if (a->half == 0 || member(jwk, "x", coordinates + 1, a->half) != a->half ||
        member(jwk, "y", coordinates + 1 + a->half, a->half) != a->half) {
        return NULL;
    }
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, a->curve, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, coordinates,
                                         1 + 2 * a->half) == 1) {
        key = from_params("EC", builder);
    }
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *ed25519_of(const json_t *jwk)
{
    uint8_t x[32];
    return member(jwk, "x", x, sizeof x) == sizeof x
               ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x)
               : NULL;
}

static bool says(const json_t *jwk, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    return text != NULL && strcmp(text, wanted) == 0;
}

/* Sets hold keys for other uses and algorithms as well: those are passed over. */
static bool concerns(const algorithm *a, const json_t *jwk)
{
    static const char *const types[] = {"", "oct", "RSA", "RSA", "EC", "OKP"};
    bool use = json_object_get(jwk, "use") == NULL || says(jwk, "use", "sig");
    bool named = json_object_get(jwk, "alg") == NULL || says(jwk, "alg", a->name);
    bool curve = a->jwk_curve == NULL || says(jwk, "crv", a->jwk_curve);
    return use && named && curve && says(jwk, "kty", types[a->kind]);
}

static const char *add_jwk(om_jwt_keys *keys, const json_t *jwk)
{
    const algorithm *a = keys->algorithm;
    const json_t *kid = json_object_get(jwk, "kid");
    const char *name = json_is_string(kid) ? json_string_value(kid) : "";
    if (kid != NULL && (!json_is_string(kid) || strlen(name) > OM_JWT_KID ||
                        strlen(name) != json_string_length(kid))) {
        return "the kid of a key is no text, or longer than 128 bytes";
    }
    if (json_object_get(jwk, "d") != NULL) {
        return "it holds a private key: give the public ones";
    }
    if (a->kind == SECRET) {
        uint8_t secret[MAX_NUMBER];
        size_t size = member(jwk, "k", secret, sizeof secret);
        const char *why = add_secret(keys, secret, size, name);
        OPENSSL_cleanse(secret, sizeof secret);
        return why;
    }
    return add_public(keys,
                      a->kind == ECDSA   ? ec_of(a, jwk)
                      : a->kind == EDDSA ? ed25519_of(jwk)
                                         : rsa_of(jwk),
                      name);
}

static const char *parse_jwks(om_jwt_keys *keys, const char *text, size_t size)
{
    const char *why = NULL;
    json_t *set = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(set, "keys");
    if (!json_is_array(list)) {
        why = "it is no JSON Web Key Set: {\"keys\": [...]}";
    }
    for (size_t i = 0; why == NULL && i < json_array_size(list); i++) {
        const json_t *jwk = json_array_get(list, i);
        if (concerns(keys->algorithm, jwk)) {
            why = add_jwk(keys, jwk);
        }
    }
    json_decref(set);
    return why;
}

/* ---- The file -------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

om_jwt_keys *om_jwt_keys_parse(const char *algorithm_name, const char *text, size_t size,
                               char *error, size_t error_size)
{
    const char *why = NULL;
    size_t at = 0;
    om_jwt_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        (void)snprintf(error, error_size, "no memory for the keys of tokens");
        return NULL;
    }
    keys->algorithm = find_algorithm(algorithm_name);
    while (at < size && is_space(text[at])) {
        at++;
    }
    ERR_clear_error();
    if (keys->algorithm == NULL) {
        why = "the algorithm is not known";
    } else if (strstr(text, "-----BEGIN ") != NULL) {
        why = parse_pem(keys, text, size);
    } else if (at < size && text[at] == '{') {
        why = parse_jwks(keys, text + at, size - at);
    } else if (keys->algorithm->kind == SECRET) {
        while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
            size--; /* the line's end is no part of the secret */
        }
        why = add_secret(keys, text, size, "");
    } else {
        why = "it holds neither PEM public keys nor a JSON Web Key Set";
    }
    if (why == NULL && keys->count == 0) {
        why = "it holds no key for this algorithm";
    }
    ERR_clear_error();
    if (why != NULL) {
        (void)snprintf(error, error_size, "%s (%.16s)", why, algorithm_name);
        om_jwt_keys_free(keys);
        return NULL;
    }
    return keys;
}

/* ---- Signatures ------------------------------------------------------------------------------ */

/* A JWS has r and s one after the other, OpenSSL wants them as DER. */
static unsigned char *der_of(const algorithm *a, const uint8_t *signature, size_t size,
                             int *der_size)
{
    unsigned char *der = NULL;
    if (size != 2 * a->half) {
        return NULL;
    }
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, (int)a->half, NULL);
    BIGNUM *s = BN_bin2bn(signature + a->half, (int)a->half, NULL);
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = NULL;
        s = NULL;
        *der_size = i2d_ECDSA_SIG(sig, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return *der_size > 0 ? der : NULL;
}

static bool verify_public(const algorithm *a, EVP_PKEY *key, const char *text, size_t text_size,
                          const uint8_t *signature, size_t size)
{
    int der_size = 0;
    unsigned char *der = a->kind == ECDSA ? der_of(a, signature, size, &der_size) : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *padding = NULL; /* belongs to ctx */
    bool ok = ctx != NULL && (a->kind != ECDSA || der != NULL) &&
              EVP_DigestVerifyInit_ex(ctx, &padding, a->digest, NULL, NULL, key, NULL) == 1;
    if (ok && a->kind == RSA_PSS) {
        ok = EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    ok = ok &&
         EVP_DigestVerify(ctx, der != NULL ? der : signature, der != NULL ? (size_t)der_size : size,
                          (const unsigned char *)text, text_size) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return ok;
}

static bool verify_secret(const algorithm *a, const jwt_key *key, const char *text,
                          size_t text_size, const uint8_t *signature, size_t size)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    const EVP_MD *digest = EVP_get_digestbyname(a->digest);
    return digest != NULL &&
           HMAC(digest, key->secret, (int)key->secret_size, (const unsigned char *)text, text_size,
                mac, &n) != NULL &&
           n == size && CRYPTO_memcmp(mac, signature, n) == 0;
}

bool om_jwt_keys_verify(const om_jwt_keys *keys, const char *kid, const char *text,
                        size_t text_size, const uint8_t *signature, size_t signature_size)
{
    const algorithm *a = keys->algorithm;
    bool ok = false;
    size_t named = 0;
    for (size_t i = 0; i < keys->count; i++) {
        named += keys->keys[i].kid[0] != '\0';
    }
    for (size_t i = 0; !ok && i < keys->count; i++) {
        const jwt_key *key = &keys->keys[i];
        /* A token that names none of several must not cost a try with each. */
        bool other = kid[0] != '\0' ? strcmp(kid, key->kid) != 0 : named > 1;
        if (key->kid[0] != '\0' && other) {
            continue;
        }
        ok = key->public != NULL
                 ? verify_public(a, key->public, text, text_size, signature, signature_size)
                 : verify_secret(a, key, text, text_size, signature, signature_size);
    }
    ERR_clear_error();
    return ok;
}
