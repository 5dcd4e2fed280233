/* fuzz_jwt.c - tokens of any bytes against an HMAC secret that stands here, so that the seeds are
 * well signed and changes of their claims are reached; and any bytes as a file of keys. The first
 * byte chooses. SPDX-License-Identifier: Apache-2.0 */
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "access_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "the secret of the fuzzer has enough bytes";

static om_jwt_keys *keys_of(void)
{
    static om_jwt_keys *keys;
    char why[256];
    if (keys == NULL) {
        keys = om_jwt_keys_parse("HS256", secret, sizeof secret - 1, why, sizeof why);
    }
    return keys;
}

/* What was taken must be within its bounds. */
static void check(const om_jwt_claims *c)
{
    if (memchr(c->name, '\0', sizeof c->name) == NULL || c->name[0] == '\0' ||
        c->grant_count > OM_ACCESS_MAX_GRANTS || c->expires < 0 ||
        (c->tenant[0] != '\0' && !om_access_name_ok(c->tenant))) {
        abort();
    }
    for (size_t i = 0; i < c->grant_count; i++) {
        if (c->grants[i].role < OM_ROLE_READ || c->grants[i].role > OM_ROLE_MANAGE ||
            !om_access_pattern_ok(c->grants[i].collection)) {
            abort();
        }
    }
}

static void judge(const char *token, size_t size, bool must_fail)
{
    om_jwt_claims claims;
    const char *why = NULL;
    om_jwt_want want = {keys_of(), NULL, "omendb", 1800000000};
    const char *reason = om_jwt_verify(&want, token, size, &claims, &why);
    if (reason == NULL) {
        if (must_fail) {
            abort();
        }
        check(&claims);
    } else if (why == NULL || why[0] == '\0') {
        abort();
    }
}

/* The bytes as claims, signed as they are. */
static void judge_claims(const uint8_t *data, size_t size)
{
    static const char header[] = "eyJhbGciOiJIUzI1NiJ9.";
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char token[OM_ACCESS_MAX_TOKEN];
    if (size > 5000) {
        return;
    }
    memcpy(token, header, sizeof header);
    om_base64url_encode(data, size, token + sizeof header - 1);
    size_t used = strlen(token);
    if (HMAC(EVP_sha256(), secret, sizeof secret - 1, (const uint8_t *)token, used, mac, &n) ==
        NULL) {
        return;
    }
    token[used++] = '.';
    om_base64url_encode(mac, n, token + used);
    judge(token, strlen(token), false);
    token[used] = token[used] == 'A' ? 'B' : 'A'; /* with another signature it is nothing */
    judge(token, strlen(token), true);
}

static void read_keys(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"HS256", "RS256", "PS384", "ES256", "ES512", "EdDSA"};
    char why[256];
    uint8_t signature[64] = {1};
    if (size == 0) {
        return;
    }
    char *text = malloc(size); /* with a NUL in place of the first byte's room */
    if (text == NULL) {
        return;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    om_jwt_keys *keys = om_jwt_keys_parse(names[data[0] % (sizeof names / sizeof names[0])], text,
                                          strlen(text), why, sizeof why);
    if (keys != NULL && om_jwt_keys_verify(keys, "", "abc", 3, signature, sizeof signature)) {
        abort();
    }
    om_jwt_keys_free(keys);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        judge((const char *)data + 1, size - 1, false);
        break;
    case 1:
        judge_claims(data + 1, size - 1);
        break;
    default:
        read_keys(data + 1, size - 1);
    }
    return 0;
}
