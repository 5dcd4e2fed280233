/* text.c - base64url, grants as texts, hashes. SPDX-License-Identifier: Apache-2.0 */
#include <openssl/evp.h>
#include <string.h>

#include "access_int.h"

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

size_t om_base64url_decode(const char *text, size_t size, uint8_t *out, size_t capacity)
{
    uint32_t bits = 0;
    uint32_t count = 0;
    size_t n = 0;
    if (size % 4 == 1) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < size; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0) {
            return SIZE_MAX;
        }
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (n == capacity) {
                return SIZE_MAX;
            }
            out[n++] = (uint8_t)(bits >> count);
            bits &= (1u << count) - 1;
        }
    }
    /* What is left over must be zero, or one value would have many texts. */
    return bits == 0 ? n : SIZE_MAX;
}

void om_base64url_encode(const uint8_t *data, size_t size, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    uint32_t count = 0;
    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        count += 8;
        while (count >= 6) {
            count -= 6;
            *out++ = digits[bits >> count & 63];
        }
        bits &= (1u << count) - 1;
    }
    if (count > 0) {
        *out++ = digits[bits << (6 - count) & 63];
    }
    *out = '\0';
}

bool om_grant_parse(const char *text, om_grant *out)
{
    const char *colon = strchr(text, ':');
    out->role = 0;
    for (uint32_t role = OM_ROLE_READ; colon != NULL && role <= OM_ROLE_MANAGE; role++) {
        size_t n = strlen(om_role_name(role));
        if ((size_t)(colon - text) == n && memcmp(text, om_role_name(role), n) == 0) {
            out->role = role;
        }
    }
    if (out->role == 0 || strlen(colon + 1) >= sizeof out->collection ||
        !om_access_pattern_ok(colon + 1)) {
        return false;
    }
    memcpy(out->collection, colon + 1, strlen(colon + 1) + 1);
    return true;
}

void om_sha256(const void *data, size_t size, uint8_t out[OM_HASH])
{
    unsigned int n = 0;
    if (EVP_Digest(data, size, out, &n, EVP_sha256(), NULL) != 1 || n != OM_HASH) {
        memset(out, 0,
               OM_HASH); /* no memory: it is nobody's, since rows with such a hash are refused */
    }
}
