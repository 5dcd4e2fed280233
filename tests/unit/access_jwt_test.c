/* access_jwt_test.c - tokens: every algorithm with a good signature, and what must never get in:
 * none, another algorithm, a public key as secret, changed claims, other audiences, times at their
 * edges. SPDX-License-Identifier: Apache-2.0 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_fixture.h"

#define NOW INT64_C(1800000000)
#define CLAIMS                                                              \
    "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100," \
    "\"omen_grants\":[\"read:films*\",\"manage:logs\"],\"omen_tenant\":\"acme\"}"

static const char secret[] = "a secret of at least thirty-two bytes, or it is refused";

static om_jwt_keys *keys_of(const char *algorithm, const char *text)
{
    char why[256];
    om_jwt_keys *keys = om_jwt_keys_parse(algorithm, text, strlen(text), why, sizeof why);
    if (keys == NULL) {
        fail_msg("%s", why);
    }
    return keys;
}

static void no_keys(const char *algorithm, const char *text, const char *part)
{
    char why[256] = "";
    om_jwt_keys *keys = om_jwt_keys_parse(algorithm, text, strlen(text), why, sizeof why);
    if (keys != NULL || strstr(why, part) == NULL) {
        fail_msg("%s: wanted '%s', got '%s'", algorithm, part, keys != NULL ? "keys" : why);
    }
}

/* The reason, or NULL when the token is good. */
static const char *judge_at(const om_jwt_keys *keys, const char *token, int64_t now,
                            om_jwt_claims *out)
{
    const char *why = NULL;
    om_jwt_want want = {keys, "me", "omendb", now};
    return om_jwt_verify(&want, token, strlen(token), out, &why);
}

static const char *judge(const om_jwt_keys *keys, const char *token)
{
    om_jwt_claims claims;
    return judge_at(keys, token, NOW, &claims);
}

#define assert_good(keys, token) assert_null(judge(keys, token))
#define assert_invalid(keys, token)                         \
    do {                                                    \
        const char *reason_ = judge(keys, token);           \
        assert_non_null(reason_);                           \
        assert_string_equal(reason_, "CREDENTIAL_INVALID"); \
    } while (0)

static void header_of(char *out, size_t size, const char *algorithm)
{
    (void)snprintf(out, size, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", algorithm);
}

/* ---- Signatures ------------------------------------------------------------------------------ */

static void every_algorithm(void **state)
{
    static const char *const names[] = {"RS256", "RS384", "RS512", "PS256", "PS384",
                                        "PS512", "ES256", "ES384", "ES512", "EdDSA"};
    char header[64];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        om_jwt_claims claims;
        EVP_PKEY *mine = make_key(names[i]);
        EVP_PKEY *other = make_key(names[i]);
        char *pem = public_pem(mine);
        om_jwt_keys *keys = keys_of(names[i], pem);
        header_of(header, sizeof header, names[i]);
        char *token = sign_token(header, CLAIMS, names[i], mine);
        char *forged = sign_token(header, CLAIMS, names[i], other);
        assert_null(judge_at(keys, token, NOW, &claims));
        assert_string_equal(claims.name, "ci");
        assert_string_equal(claims.tenant, "acme");
        assert_int_equal(claims.expires, 1800000100);
        assert_int_equal(claims.grant_count, 2);
        assert_int_equal(claims.grants[1].role, OM_ROLE_MANAGE);
        assert_string_equal(claims.grants[0].collection, "films*");
        assert_invalid(keys, forged);
        /* Every byte of the token counts; a step that is prime to four meets all places of base64. */
        for (size_t k = 0; k < strlen(token); k += 5) {
            char before = token[k];
            token[k] = before == 'A' ? 'B' : 'A';
            assert_non_null(judge(keys, token));
            token[k] = before;
        }
        assert_good(keys, token);
        free(token);
        free(forged);
        free(pem);
        om_jwt_keys_free(keys);
        EVP_PKEY_free(mine);
        EVP_PKEY_free(other);
    }
}

/* RFC 7515, A.1: the signature is good; the claims are from 2011 and lack what we ask for. */
static void a_known_value(void **state)
{
    static const char jwks[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
        "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
    static const char head[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                               "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0"
                               "dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    uint8_t signature[64];
    (void)state;
    om_jwt_keys *keys = keys_of("HS256", jwks);
    size_t n = om_base64url_decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", 43, signature,
                                   sizeof signature);
    assert_int_equal(n, 32);
    assert_true(om_jwt_keys_verify(keys, "", head, strlen(head), signature, n));
    signature[31] ^= 1;
    assert_false(om_jwt_keys_verify(keys, "", head, strlen(head), signature, n));
    assert_false(om_jwt_keys_verify(keys, "", head, strlen(head), signature, n - 1));
    assert_false(om_jwt_keys_verify(keys, "", head, strlen(head), signature, 0));
    om_jwt_keys_free(keys);
}

static void the_algorithm_is_pinned(void **state)
{
    (void)state;
    EVP_PKEY *rsa = make_key("RS256");
    char *pem = public_pem(rsa);
    om_jwt_keys *keys = keys_of("RS256", pem);
    static const char *const others[] = {"none",  "None", "NONE",  "HS256", "RS384",
                                         "PS256", "",     "rs256", "RS256 "};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char header[64];
        header_of(header, sizeof header, others[i]);
        char *token =
            sign_token(header, CLAIMS, "RS256", rsa); /* well signed, but says otherwise */
        assert_invalid(keys, token);
        char *dot = strrchr(token, '.');
        dot[1] = '\0'; /* without any signature */
        assert_invalid(keys, token);
        *dot = '\0';
        assert_invalid(keys, token);
        free(token);
        token = sign_secret(header, CLAIMS, pem); /* the public key taken for a secret */
        assert_invalid(keys, token);
        free(token);
    }
    char *token =
        sign_token("{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":false}", CLAIMS, "RS256", rsa);
    assert_invalid(keys, token);
    free(token);
    token = sign_token("{\"alg\":\"none\",\"alg\":\"RS256\"}", CLAIMS, "RS256", rsa);
    assert_invalid(keys, token);
    free(token);
    token = sign_token("{\"typ\":\"JWT\"}", CLAIMS, "RS256", rsa);
    assert_invalid(keys, token);
    free(token);
    /* A signature of the same key in another scheme. */
    token = sign_token("{\"alg\":\"RS256\"}", CLAIMS, "PS256", rsa);
    assert_invalid(keys, token);
    free(token);
    om_jwt_keys_free(keys);
    free(pem);
    EVP_PKEY_free(rsa);
}

/* ---- Claims ---------------------------------------------------------------------------------- */

static void claims(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "\"text\"",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\"}", /* no end */
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":\"1800000100\"}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":null}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":-5}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1e300}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"nbf\":1800000061}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"nbf\":\"now\"}",
        "{\"sub\":\"ci\",\"aud\":\"other\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"ci\",\"aud\":[\"x\",5],\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"ci\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"you\",\"exp\":1800000100}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"exp\":1800000100}",
        "{\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"a b\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"a\\u0000b\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"0123456789012345678901234567890123456789012345678901234567890123\","
        "\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"ci\",\"sub\":\"root\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"omen_grants\":"
        "\"manage:*\"}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"omen_grants\":["
        "\"root:*\"]}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"omen_grants\":[7]}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"omen_tenant\":"
        "\"\"}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"omen_tenant\":7}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100} x"};
    static const char *const good[] = {
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100}",
        "{\"sub\":\"auth0|5f7\",\"aud\":[\"x\",\"omendb\"],\"iss\":\"me\",\"exp\":1800000100.5}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"nbf\":1800000060}",
        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"me\",\"exp\":1800000100,\"omen_grants\":[]}"};
    (void)state;
    om_jwt_keys *keys = keys_of("HS256", secret);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *token = sign_secret("{\"alg\":\"HS256\"}", bad[i], secret);
        if (judge(keys, token) == NULL) {
            fail_msg("%s", bad[i]);
        }
        free(token);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char *token = sign_secret("{\"alg\":\"HS256\"}", good[i], secret);
        assert_good(keys, token);
        free(token);
    }
    om_jwt_keys_free(keys);
}

static void times_at_their_edges(void **state)
{
    om_jwt_claims c;
    (void)state;
    om_jwt_keys *keys = keys_of("HS256", secret);
    char *token = sign_secret("{\"alg\":\"HS256\"}", CLAIMS, secret);
    assert_null(judge_at(keys, token, 1800000159, &c));
    assert_string_equal(judge_at(keys, token, 1800000160, &c), "CREDENTIAL_EXPIRED");
    free(token);
    om_jwt_keys_free(keys);
}

static void texts_that_are_no_tokens(void **state)
{
    static const char *const bad[] = {
        "",        ".",        "..",    "...",      "a.b.c",           "e30.e30.e30",
        "e30.e30", "e30.e30.", "..e30", "e30..e30", "e30.e30.e30.e30", "%%%.e30.e30"};
    char *deep = malloc(9000);
    char *arrays = malloc(5000);
    (void)state;
    om_jwt_keys *keys = keys_of("HS256", secret);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_invalid(keys, bad[i]);
    }
    memset(deep, 'A', 8999);
    deep[8999] = '\0';
    deep[100] = deep[200] = '.';
    assert_invalid(keys, deep); /* longer than a token may be */
    memset(arrays, '[', 4999);  /* depth, well signed */
    arrays[4999] = '\0';
    char *token = sign_secret("{\"alg\":\"HS256\"}", arrays, secret);
    assert_invalid(keys, token);
    free(token);
    free(arrays);
    free(deep);
    om_jwt_keys_free(keys);
}

/* ---- Key files ------------------------------------------------------------------------------- */

static void files_of_keys(void **state)
{
    char two[4096];
    (void)state;
    EVP_PKEY *rsa = make_key("RS256");
    EVP_PKEY *small = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    EVP_PKEY *curve = make_key("ES256");
    char *pem = public_pem(rsa);
    char *pem_small = public_pem(small);
    char *pem_curve = public_pem(curve);
    no_keys("HS256", pem, "a public key is none");
    no_keys("HS256", "short", "at least 32 bytes");
    no_keys("HS256", "0123456789012345678901234567890\n",
            "at least 32 bytes"); /* the line's end is none */
    no_keys("RS256", pem_small, "2048 to 8192");
    no_keys("RS256", pem_curve, "RSA key");
    no_keys("ES384", pem_curve, "another curve");
    no_keys("EdDSA", pem_curve, "Ed25519");
    no_keys("RS256", secret, "neither PEM");
    no_keys("RS256", "", "neither PEM");
    no_keys("RS256", "-----BEGIN PRIVATE KEY-----\n", "private key");
    no_keys("RS256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "can be read");
    no_keys("RS256", "{\"keys\":[]}", "no key for this");
    no_keys("RS256", "{\"keys\":5}", "JSON Web Key Set");
    no_keys("RS256", "{", "JSON Web Key Set");
    no_keys("RS256", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\"}]}", "cannot be read");
    no_keys("RS256", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "2048");
    no_keys("RS256", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\"}]}",
            "private");
    no_keys("RS256", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AQAB\"}]}", "no key for this");
    no_keys("ES256",
            "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}]}",
            "cannot be read");
    no_keys("HS256", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AQAB\"}]}", "at least 32");
    no_keys("XX256", secret, "not known");
    /* Two keys in one file: the tokens of both are good, so that one can be replaced. */
    EVP_PKEY *next = make_key("RS256");
    char *pem_next = public_pem(next);
    (void)snprintf(two, sizeof two, "# a comment\n%s%s", pem, pem_next);
    om_jwt_keys *keys = keys_of("RS256", two);
    char *a = sign_token("{\"alg\":\"RS256\"}", CLAIMS, "RS256", rsa);
    char *b = sign_token("{\"alg\":\"RS256\"}", CLAIMS, "RS256", next);
    assert_good(keys, a);
    assert_good(keys, b);
    om_jwt_keys_free(keys);
    free(a);
    free(b);
    free(pem);
    free(pem_small);
    free(pem_curve);
    free(pem_next);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small);
    EVP_PKEY_free(curve);
    EVP_PKEY_free(next);
}

static void member_of(EVP_PKEY *key, const char *name, char *out)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    om_base64url_encode(bytes, (size_t)BN_bn2bin(n, bytes), out);
    BN_free(n);
}

/* A set as identity providers publish it: several keys, found by kid; others are passed over. */
static void key_sets(void **state)
{
    char set[4096], n1[600], n2[600], e[16];
    (void)state;
    EVP_PKEY *one = make_key("RS256");
    EVP_PKEY *two = make_key("RS256");
    member_of(one, OSSL_PKEY_PARAM_RSA_N, n1);
    member_of(two, OSSL_PKEY_PARAM_RSA_N, n2);
    member_of(one, OSSL_PKEY_PARAM_RSA_E, e);
    (void)snprintf(
        set, sizeof set,
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"},"
        "{\"kty\":\"RSA\",\"use\":\"enc\",\"kid\":\"x\",\"n\":\"%s\",\"e\":\"%s\"},"
        "{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"one\",\"n\":\"%s\",\"e\":\"%s\"},"
        "{\"kty\":\"RSA\",\"alg\":\"RS256\",\"kid\":\"two\",\"n\":\"%s\",\"e\":\"%s\"}]}",
        n1, e, n1, e, n2, e);
    om_jwt_keys *keys = keys_of("RS256", set);
    static const struct {
        const char *header;
        bool first, second;
    } cases[] = {{"{\"alg\":\"RS256\",\"kid\":\"one\"}", true, false},
                 {"{\"alg\":\"RS256\",\"kid\":\"two\"}", false, true},
                 {"{\"alg\":\"RS256\",\"kid\":\"x\"}", false, false},
                 {"{\"alg\":\"RS256\",\"kid\":\"three\"}", false, false},
                 {"{\"alg\":\"RS256\",\"kid\":7}", false, false},
                 {"{\"alg\":\"RS256\"}", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *a = sign_token(cases[i].header, CLAIMS, "RS256", one);
        char *b = sign_token(cases[i].header, CLAIMS, "RS256", two);
        assert_int_equal(judge(keys, a) == NULL, cases[i].first);
        assert_int_equal(judge(keys, b) == NULL, cases[i].second);
        free(a);
        free(b);
    }
    om_jwt_keys_free(keys);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
}

/* ---- In the server --------------------------------------------------------------------------- */

/* Subject, issuer and tenant make a caller; a renewed token is the same one. */
static void subjects_are_their_issuers(void **state)
{
    static const char *const bodies[] = {
        "\"sub\":\"ci\",\"iss\":\"a\"", "\"sub\":\"ci\",\"iss\":\"a\",\"jti\":\"2\"",
        "\"sub\":\"ci\",\"iss\":\"b\"", "\"sub\":\"ci\"", "\"sub\":\"cj\",\"iss\":\"a\""};
    enum { BODIES = sizeof bodies / sizeof *bodies };
    const om_principal *who[BODIES];
    char claims_[256];
    om_failure f;
    (void)state;
    things_write("jwt", secret, 0600);
    om_access_options o = {.jwt_key_file = strdup(things_path("jwt")),
                           .jwt_algorithm = "HS256",
                           .jwt_audience = "omendb"};
    om_access *access = things_start(&o);
    for (int i = 0; i < BODIES; i++) {
        (void)snprintf(claims_, sizeof claims_, "{%s,\"aud\":\"omendb\",\"exp\":%lld}", bodies[i],
                       (long long)om_access_now() + 3600 + i);
        char *token = sign_secret("{\"alg\":\"HS256\"}", claims_, secret);
        who[i] = identify_with(access, token, &f);
        assert_non_null(who[i]);
        free(token);
    }
    assert_memory_equal(who[0]->identity, who[1]->identity, OM_ACCESS_IDENTITY);
    for (int i = 2; i < BODIES; i++) {
        for (int k = 0; k < i; k++) {
            assert_memory_not_equal(who[i]->identity, who[k]->identity, OM_ACCESS_IDENTITY);
        }
    }
    for (int i = 0; i < BODIES; i++) {
        om_principal_release(who[i]);
    }
    om_access_free(access);
    free((void *)(uintptr_t)o.jwt_key_file);
}

static void tokens_get_in_and_keys_are_replaced(void **state)
{
    char claims_[256], other[96];
    om_failure f;
    (void)state;
    things_write("jwt", secret, 0600);
    om_access_options o = {.jwt_key_file = strdup(things_path("jwt")),
                           .jwt_algorithm = "HS256",
                           .jwt_audience = "omendb"};
    om_access *access = things_start(&o);
    (void)snprintf(claims_, sizeof claims_,
                   "{\"sub\":\"ci\",\"aud\":\"omendb\",\"exp\":%lld,\"omen_grants\":[\"read:*\"]}",
                   (long long)om_access_now() + 3600);
    char *token = sign_secret("{\"alg\":\"HS256\"}", claims_, secret);
    const om_principal *who = identify_with(access, token, &f);
    assert_non_null(who);
    assert_int_equal(who->kind, OM_BY_JWT);
    assert_string_equal(who->name, "ci");
    const om_principal *again = identify_with(access, token, &f);
    assert_ptr_equal(who, again); /* remembered */
    om_principal_release(again);
    things_write("jwt", "bad", 0600);
    om_access_tick(access, false);
    assert_true(om_principal_still(who)); /* a bad file changes nothing */
    (void)snprintf(other, sizeof other, "%s, and other", secret);
    things_write("jwt", other, 0600);
    om_access_tick(access, false);
    assert_false(om_principal_still(who));
    refused_for(access, token, "CREDENTIAL_INVALID");
    things_write("jwt", secret, 0600);
    om_access_tick(access, false);
    again = identify_with(access, token, &f);
    assert_non_null(again);
    assert_true(om_principal_still(again));
    om_principal_release(again);
    om_principal_release(who);
    free(token);
    token = sign_secret("{\"alg\":\"HS256\"}",
                        "{\"sub\":\"ci\",\"aud\":\"omendb\",\"exp\":1000000000}", secret);
    refused_for(access, token, "CREDENTIAL_EXPIRED");
    free(token);
    (void)snprintf(claims_, sizeof claims_,
                   "{\"sub\":\"ci\",\"aud\":\"omendb\",\"exp\":%lld,\"omen_tenant\":\"nobody\"}",
                   (long long)om_access_now() + 3600);
    token = sign_secret("{\"alg\":\"HS256\"}", claims_, secret);
    refused_for(access, token, "CREDENTIAL_INVALID");
    free(token);
    om_access_free(access);
    o.jwt_audience = NULL;
    things_refuse(&o, "without jwt-audience");
    o.jwt_audience = "omendb";
    o.jwt_algorithm = NULL;
    things_refuse(&o, "jwt-algorithm must be");
    o.jwt_algorithm = "none";
    things_refuse(&o, "jwt-algorithm must be");
    o.jwt_algorithm = "RS256";
    things_refuse(&o, "neither PEM");
    free((void *)(uintptr_t)o.jwt_key_file);
}

/* The last line of the file of audits has `part`, and nothing of the token. */
static void audited(const char *path, const char *token, const char *part)
{
    char line[4096] = "";
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
    }
    assert_int_equal(fclose(file), 0);
    if (strstr(line, part) == NULL || strstr(line, token) != NULL) {
        fail_msg("wanted '%s' without the token, got %s", part, line);
    }
}

/* The client is told that it is refused; which of the checks failed is for who reads the audit log. */
static void the_audit_log_tells_why(void **state)
{
    static const struct {
        const char *claims, *why;
    } cases[] = {
        {"\"sub\":\"ci\",\"aud\":\"other\",\"iss\":\"a\"", "it is for another audience (aud)"},
        {"\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"b\"", "it is of another issuer (iss)"},
        {"\"aud\":\"omendb\",\"iss\":\"a\"", "its subject (sub) is missing"},
        {"\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"a\",\"omen_grants\":\"read:*\"",
         "omen_grants is not a list"},
        {"\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"a\",\"omen_tenant\":\"nobody\"",
         "its tenant is not known here"},
        {"\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"a\",\"nbf\":99999999999", "(nbf)"}};
    char claims_[256];
    (void)state;
    things_write("jwt", secret, 0600);
    om_access_options o = {.jwt_key_file = strdup(things_path("jwt")),
                           .jwt_algorithm = "HS256",
                           .jwt_issuer = "a",
                           .jwt_audience = "omendb",
                           .audit_file = strdup(things_path("audit"))};
    om_access *access = things_start(&o);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(claims_, sizeof claims_, "{%s,\"exp\":99999999999}", cases[i].claims);
        char *token = sign_secret("{\"alg\":\"HS256\"}", claims_, secret);
        refused_for(access, token, "CREDENTIAL_INVALID");
        audited(o.audit_file, token, cases[i].why);
        free(token);
    }
    char *token =
        sign_secret("{\"alg\":\"HS256\"}",
                    "{\"sub\":\"ci\",\"aud\":\"omendb\",\"iss\":\"a\",\"exp\":99999999999}",
                    "another secret of at least 32 bytes, as is asked");
    refused_for(access, token, "CREDENTIAL_INVALID");
    audited(o.audit_file, token, "its signature is of none of the keys");
    free(token);
    refused_for(access, "omen_unknown", "CREDENTIAL_INVALID");
    audited(o.audit_file, "omen_unknown", "\"why\":\"no key has this secret\"");
    om_access_free(access);
    free((void *)(uintptr_t)o.jwt_key_file);
    free((void *)(uintptr_t)o.audit_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_audit_log_tells_why, things_set_up, things_tear_down),
        cmocka_unit_test(every_algorithm),
        cmocka_unit_test(a_known_value),
        cmocka_unit_test(the_algorithm_is_pinned),
        cmocka_unit_test(claims),
        cmocka_unit_test(times_at_their_edges),
        cmocka_unit_test(texts_that_are_no_tokens),
        cmocka_unit_test(files_of_keys),
        cmocka_unit_test(key_sets),
        cmocka_unit_test_setup_teardown(subjects_are_their_issuers, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(tokens_get_in_and_keys_are_replaced, things_set_up,
                                        things_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
