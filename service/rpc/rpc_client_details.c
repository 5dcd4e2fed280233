/* rpc_client_details.c - reads the reason and the advice to retry out of grpc-status-details-bin.
 * The bytes come from the server: the walk is bounded by their length and believes none of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "rpc_client.h"

typedef struct span {
    const uint8_t *at, *end;
} span;

static bool read_varint(span *s, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && s->at < s->end; shift += 7) {
        uint8_t byte = *s->at++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* The next field; a length-delimited one is returned in *body, a varint in *value. */
static bool next_field(span *s, uint64_t *field, span *body, uint64_t *value)
{
    uint64_t tag, length;
    *value = 0;
    body->at = body->end = s->at;
    if (s->at == s->end || !read_varint(s, &tag)) {
        return false;
    }
    *field = tag >> 3;
    switch (tag & 7) {
    case 0:
        return read_varint(s, value);
    case 1:
    case 5:
        length = (tag & 7) == 1 ? 8 : 4;
        break;
    case 2:
        if (!read_varint(s, &length)) {
            return false;
        }
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(s->end - s->at)) {
        return false;
    }
    body->at = s->at;
    body->end = s->at + length;
    s->at = body->end;
    return true;
}

static bool ends_with(span text, const char *suffix)
{
    size_t n = strlen(suffix);
    return (size_t)(text.end - text.at) >= n && memcmp(text.end - n, suffix, n) == 0;
}

static void read_reason(span info, om_rpcc_status *status)
{
    uint64_t field, value;
    span body;
    while (next_field(&info, &field, &body, &value)) {
        size_t n = (size_t)(body.end - body.at);
        if (field != 1 || n >= sizeof status->reason) {
            continue;
        }
        bool plain = true;
        for (size_t i = 0; i < n; i++) {
            plain = plain && body.at[i] > 0x20 && body.at[i] < 0x7f;
        }
        if (plain && n > 0) {
            memcpy(status->reason, body.at, n);
            status->reason[n] = '\0';
        }
    }
}

/* RetryInfo{Duration retry_delay = 1 {seconds = 1, nanos = 2}} */
static void read_retry(span info, om_rpcc_status *status)
{
    uint64_t field, value;
    span delay, none;
    while (next_field(&info, &field, &delay, &value)) {
        if (field != 1) {
            continue;
        }
        uint64_t seconds = 0, nanos = 0;
        while (next_field(&delay, &field, &none, &value)) {
            seconds = field == 1 ? value : seconds;
            nanos = field == 2 ? value : nanos;
        }
        if (seconds <= 3600 && nanos < 1000000000) {
            status->retry_ms = (uint32_t)(seconds * 1000 + nanos / 1000000);
        }
    }
}

/* google.rpc.Status{code = 1, message = 2, details = 3: Any{type_url = 1, value = 2}} */
void om_rpcc_read_details(const uint8_t *bytes, size_t size, om_rpcc_status *status)
{
    if (size == 0) {
        return;
    }
    span all = {bytes, bytes + size};
    uint64_t field, value;
    span any, part;
    while (next_field(&all, &field, &any, &value)) {
        if (field != 3) {
            continue;
        }
        span type = {any.at, any.at}, content = {any.at, any.at};
        while (next_field(&any, &field, &part, &value)) {
            type = field == 1 ? part : type;
            content = field == 2 ? part : content;
        }
        if (ends_with(type, "google.rpc.ErrorInfo")) {
            read_reason(content, status);
        } else if (ends_with(type, "google.rpc.RetryInfo")) {
            read_retry(content, status);
        }
    }
}
