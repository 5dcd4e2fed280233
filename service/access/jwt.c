/* jwt.c - reads a JSON Web Token (RFC 7519, JWS compact form) and says whether it is good. The
 * algorithm is the one that the server was started with, never the one that a token asks for. The
 * signature is checked before the claims are read. SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>

#include "access_int.h"

enum { MAX_HEADER = 2048, MAX_SIGNATURE = 1024, MAX_LIFE_BITS = 53 };

static const char invalid[] = "CREDENTIAL_INVALID";
static const char expired[] = "CREDENTIAL_EXPIRED";

typedef struct parts {
    const char *header, *payload, *signature;
    size_t header_size, payload_size, signature_size;
} parts;

static bool split(const char *token, size_t size, parts *out)
{
    const char *end = token + size;
    const char *first = memchr(token, '.', size);
    const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL) {
        return false;
    }
    *out = (parts){.header = token,
                   .header_size = (size_t)(first - token),
                   .payload = first + 1,
                   .payload_size = (size_t)(second - first - 1),
                   .signature = second + 1,
                   .signature_size = (size_t)(end - second - 1)};
    return out->header_size > 0 && out->payload_size > 0 && out->signature_size > 0;
}

/* A JSON object in base64url. Twice the same name is refused: readers would differ about which one counts. */
static json_t *object_of(const char *text, size_t size, size_t limit)
{
    uint8_t data[OM_ACCESS_MAX_TOKEN];
    json_t *out = NULL;
    size_t n = om_base64url_decode(text, size, data, limit < sizeof data ? limit : sizeof data);
    if (n != SIZE_MAX) {
        out = json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, NULL);
    }
    if (out != NULL && !json_is_object(out)) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

/* ---- The signature --------------------------------------------------------------------------- */

static const char *check_signature(const om_jwt_keys *keys, const parts *p, const json_t *header)
{
    uint8_t signature[MAX_SIGNATURE];
    const char *algorithm = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");
    size_t n = om_base64url_decode(p->signature, p->signature_size, signature, sizeof signature);
    if (algorithm == NULL || strcmp(algorithm, om_jwt_keys_algorithm(keys)) != 0) {
        return "its algorithm is not the one of jwt-algorithm";
    }
    if (json_object_get(header, "crit") != NULL) {
        return "it has critical extensions, of which none is known";
    }
    if (kid != NULL && (!json_is_string(kid) || json_string_length(kid) > OM_JWT_KID)) {
        return "its kid is no text, or too long";
    }
    if (n == SIZE_MAX || n == 0) {
        return "its signature is not base64url, or too long";
    }
    return om_jwt_keys_verify(keys, kid != NULL ? json_string_value(kid) : "", p->header,
                              p->header_size + 1 + p->payload_size, signature, n)
               ? NULL
               : OM_JWT_NO_KEY;
}

/* ---- Claims ---------------------------------------------------------------------------------- */

/* Seconds since 1970, whole or not. False: no such claim, or no time. */
static bool time_of(const json_t *claims, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(claims, name);
    double seconds = json_number_value(value);
    if (!json_is_number(value) || !(seconds >= 0) ||
        seconds > (double)(INT64_C(1) << MAX_LIFE_BITS)) {
        return false;
    }
    *out = (int64_t)seconds;
    return true;
}

static bool is_text(const json_t *value, const char *wanted)
{
    return json_is_string(value) && json_string_length(value) == strlen(wanted) &&
           strcmp(json_string_value(value), wanted) == 0;
}

/* "aud" is one text or several. */
static bool has_audience(const json_t *claims, const char *wanted)
{
    const json_t *value = json_object_get(claims, "aud");
    bool found = is_text(value, wanted);
    for (size_t i = 0; !found && i < json_array_size(value); i++) {
        found = is_text(json_array_get(value, i), wanted);
    }
    return found;
}

static const char *check_times(const json_t *claims, int64_t now, om_jwt_claims *out,
                               const char **why)
{
    int64_t from = 0;
    *why = "it has no time of expiry (exp)";
    if (!time_of(claims, "exp", &out->expires)) {
        return invalid;
    }
    *why = "it is not yet valid (nbf)";
    if (json_object_get(claims, "nbf") != NULL &&
        (!time_of(claims, "nbf", &from) || from > now + OM_LEEWAY_S)) {
        return invalid;
    }
    *why = "it has expired (exp)";
    return now >= out->expires + OM_LEEWAY_S ? expired : NULL;
}

/* The name is shown in logs: printable, without what would have to be quoted there. */
static bool take_name(const json_t *claims, om_jwt_claims *out)
{
    const json_t *value = json_object_get(claims, "sub");
    const char *text = json_string_value(value);
    size_t n = text != NULL ? json_string_length(value) : 0;
    if (n == 0 || n >= sizeof out->name || strlen(text) != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    memcpy(out->name, text, n + 1);
    return true;
}

/* Subjects of two issuers are two callers. */
static bool take_issuer(const json_t *claims, om_jwt_claims *out)
{
    const json_t *value = json_object_get(claims, "iss");
    const char *text = json_string_value(value);
    out->issuer[0] = '\0';
    if (value == NULL) {
        return true;
    }
    if (text == NULL || strlen(text) != json_string_length(value) || strlen(text) > OM_JWT_ISSUER) {
        return false;
    }
    memcpy(out->issuer, text, strlen(text) + 1);
    return true;
}

static bool take_tenant(const json_t *claims, om_jwt_claims *out)
{
    const json_t *value = json_object_get(claims, "omen_tenant");
    const char *text = json_string_value(value);
    out->tenant[0] = '\0';
    if (value == NULL) {
        return true;
    }
    if (text == NULL || strlen(text) != json_string_length(value) || !om_access_name_ok(text)) {
        return false;
    }
    memcpy(out->tenant, text, strlen(text) + 1);
    return true;
}

/* "omen_grants": ["read:films*", "manage:logs"]; none: it may ask who it is, and nothing else. */
static bool take_grants(const json_t *claims, om_jwt_claims *out)
{
    const json_t *value = json_object_get(claims, "omen_grants");
    out->grant_count = 0;
    if (value == NULL) {
        return true;
    }
    if (!json_is_array(value) || json_array_size(value) > OM_ACCESS_MAX_GRANTS) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *grant = json_array_get(value, i);
        const char *text = json_string_value(grant);
        if (text == NULL || strlen(text) != json_string_length(grant) ||
            !om_grant_parse(text, &out->grants[out->grant_count++])) {
            return false;
        }
    }
    return true;
}

static const char *check_claims(const om_jwt_want *want, const json_t *claims, om_jwt_claims *out,
                                const char **why)
{
    if (want->issuer != NULL && !is_text(json_object_get(claims, "iss"), want->issuer)) {
        *why = "it is of another issuer (iss)";
        return invalid;
    }
    if (want->audience != NULL && !has_audience(claims, want->audience)) {
        *why = "it is for another audience (aud)";
        return invalid;
    }
    if (!take_name(claims, out)) {
        *why = "its subject (sub) is missing, longer than 63 bytes or not printable";
        return invalid;
    }
    if (!take_issuer(claims, out)) {
        *why = "its issuer (iss) is no text, or longer than 512 bytes";
        return invalid;
    }
    if (!take_tenant(claims, out)) {
        *why = "omen_tenant is no name of a tenant";
        return invalid;
    }
    if (!take_grants(claims, out)) {
        *why = "omen_grants is not a list of \"role:collection\", or has more than 64";
        return invalid;
    }
    return check_times(claims, want->now, out, why);
}

const char *om_jwt_verify(const om_jwt_want *want, const char *token, size_t size,
                          om_jwt_claims *out, const char **why)
{
    parts p;
    *why = "it is not of the form header.claims.signature";
    if (size > OM_ACCESS_MAX_TOKEN || !split(token, size, &p)) {
        return invalid;
    }
    json_t *header = object_of(p.header, p.header_size, MAX_HEADER);
    *why = "its header is no JSON object in base64url";
    if (header == NULL) {
        return invalid;
    }
    *why = check_signature(want->keys, &p, header);
    json_decref(header);
    if (*why != NULL) {
        return invalid;
    }
    json_t *claims = object_of(p.payload, p.payload_size, OM_ACCESS_MAX_TOKEN);
    *why = "its claims are no JSON object in base64url";
    if (claims == NULL) {
        return invalid;
    }
    const char *reason = check_claims(want, claims, out, why);
    json_decref(claims);
    return reason;
}
