/* failure.c - failures and their google.rpc.Status form. SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "wwrite.h"

#define DOMAIN "omendb"
#define TYPE_URL "type.googleapis.com/google.rpc."

static void copy_text(char *out, size_t capacity, const char *text)
{
    snprintf(out, capacity, "%s", text != NULL ? text : "");
}

/* A text that was cut may end inside a character: status messages and details must be UTF-8. */
static void trim_utf8(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && !om_utf8_valid((const uint8_t *)text, size)) {
        text[--size] = '\0';
    }
}

bool om_failure_set(om_failure *f, uint32_t code, const char *reason, const char *field,
                    const char *format, ...)
{
    f->code = code;
    f->retry_ms = 0;
    f->item = OMEN_NONE;
    f->request_id[0] = '\0';
    f->quota[0] = '\0';
    copy_text(f->reason, sizeof f->reason, reason);
    copy_text(f->field, sizeof f->field, field);
    va_list args;
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
    trim_utf8(f->message);
    return false;
}

bool om_failure_limit(om_failure *f, const char *field, uint64_t value, uint64_t limit)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field, "%s is %llu, the limit is %llu",
                          field, (unsigned long long)value, (unsigned long long)limit);
}

bool om_failure_unimplemented(om_failure *f, const char *field)
{
    return om_failure_set(f, OMEN_UNIMPLEMENTED, "UNIMPLEMENTED", field,
                          "%s is not implemented by this server", field);
}

/* The request field that an engine detail is about; NULL when it is about none. */
static const char *field_of(int32_t detail)
{
    switch (detail) {
    case OMEN_D_DIM_MISMATCH:
        return "vectors.dim";
    case OMEN_D_NOT_FINITE:
        return "vectors.data";
    case OMEN_D_TYPE:
        return "vectors.type";
    case OMEN_D_NAME:
        return "collection";
    case OMEN_D_SEQUENCE:
        return "seq";
    case OMEN_D_METADATA:
        return "items.metadata";
    case OMEN_D_FILTER_SYNTAX:
        return "filter";
    default:
        return NULL;
    }
}

/* How long a client should wait, by what is short. */
static uint32_t retry_after(const omen_error *err)
{
    switch (err->detail) {
    case OMEN_D_BACKLOG:
    case OMEN_D_RATE:
        return 100;
    case OMEN_D_BUDGET:
    case OMEN_D_NO_MEMORY:
    case OMEN_D_OUTCOME_UNKNOWN: /* a write with a stream or request id may be repeated */
        return 1000;
    case OMEN_D_DISK_FULL:
        return 10000;
    default:
        break;
    }
    if (err->status == OMEN_RESOURCE_EXHAUSTED && err->detail != OMEN_D_LIMIT) {
        return 1000;
    }
    return (err->flags & OMEN_ERROR_RETRIABLE) != 0 ? 100 : 0;
}

bool om_failure_from_engine(om_failure *f, const omen_error *err)
{
    uint32_t code = err->status > 0 && err->status <= OM_CODE_UNAUTHENTICATED
                        ? (uint32_t)err->status
                        : OMEN_INTERNAL;
    const char *reason = omen_detail_name(err->detail);
    /* An id has an item number, everything else that is looked for by name is a collection. */
    if (err->status == OMEN_NOT_FOUND && err->item != OMEN_NONE) {
        reason = "ITEM_NOT_FOUND";
    } else if (err->status == OMEN_NOT_FOUND && err->detail == OMEN_D_NAME) {
        reason = "COLLECTION_NOT_FOUND";
    } else if (err->status == OMEN_ALREADY_EXISTS && err->detail == OMEN_D_NAME) {
        reason = "COLLECTION_EXISTS";
    } else if (err->detail == OMEN_D_NONE) {
        reason = omen_status_name((omen_status_t)code);
    }
    const char *field = code == OMEN_INVALID_ARGUMENT ? field_of(err->detail) : NULL;
    om_failure_set(f, code, reason, field, "%s", err->message);
    f->item = err->item;
    f->retry_ms = retry_after(err);
    return false;
}

void om_failure_about(om_failure *f, const char *field)
{
    copy_text(f->field, sizeof f->field, field);
}

bool om_failure_retriable(const om_failure *f)
{
    /* What was written since stays written: the client must read again, not send again. */
    bool aborted = f->code == OMEN_ABORTED && strcmp(f->reason, "VERSION_CONFLICT") != 0;
    return f->retry_ms > 0 || f->code == OMEN_UNAVAILABLE || aborted;
}

/* Bytes that follow the first byte of a character; SIZE_MAX: no character starts so. */
static size_t utf8_more(uint8_t first)
{
    if (first < 0x80) {
        return first == 0 ? SIZE_MAX : 0;
    }
    if (first < 0xc2 || first > 0xf4) {
        return SIZE_MAX;
    }
    return first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

/* Whether the second byte makes an overlong form, a surrogate, or a number beyond U+10FFFF. */
static bool utf8_out_of_range(uint8_t first, uint8_t second)
{
    return (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
           (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
}

bool om_utf8_valid(const uint8_t *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        size_t more = utf8_more(text[i]);
        if (more > size - i - 1 || (more > 0 && utf8_out_of_range(text[i], text[i + 1]))) {
            return false;
        }
        for (size_t k = 1; k <= more; k++) {
            if ((text[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}

/* ---- google.rpc.Status ---------------------------------------------------------------------------- */

/* An Any of type `name` with the bytes of `value`, as details (field 3) of the Status. */
static void add_detail(om_wbuf *w, const char *name, const om_wbuf *value, const uint8_t *start)
{
    char url[64];
    snprintf(url, sizeof url, TYPE_URL "%s", name);
    size_t size = (size_t)(value->at - start);
    if (value->full) {
        w->full = true;
        return;
    }
    om_w_len(w, 3, om_wsize_len(strlen(url)) + (size > 0 ? om_wsize_len(size) : 0));
    om_w_string(w, 1, url);
    om_w_bytes(w, 2, start, size);
}

static void add_error_info(om_wbuf *w, const om_failure *f)
{
    uint8_t data[256];
    char item[24];
    om_wbuf v = om_wbuf_of(data, sizeof data);
    om_w_string(&v, 1, f->reason);
    om_w_string(&v, 2, DOMAIN);
    if (f->item != OMEN_NONE) {
        /* One entry of the map `metadata`: {"item": "17"}. */
        int n = snprintf(item, sizeof item, "%llu", (unsigned long long)f->item);
        om_w_len(&v, 3, om_wsize_len(4) + om_wsize_len((size_t)n));
        om_w_string(&v, 1, "item");
        om_w_string(&v, 2, item);
    }
    add_detail(w, "ErrorInfo", &v, data);
}

static void add_bad_request(om_wbuf *w, const om_failure *f)
{
    uint8_t data[512];
    om_wbuf v = om_wbuf_of(data, sizeof data);
    size_t field = strlen(f->field);
    size_t text = strlen(f->message);
    om_w_len(&v, 1, om_wsize_len(field) + (text > 0 ? om_wsize_len(text) : 0));
    om_w_string(&v, 1, f->field);
    om_w_string(&v, 2, f->message);
    add_detail(w, "BadRequest", &v, data);
}

static void add_quota_failure(om_wbuf *w, const om_failure *f)
{
    uint8_t data[600];
    om_wbuf v = om_wbuf_of(data, sizeof data);
    om_w_len(&v, 1, om_wsize_len(strlen(f->quota)) + om_wsize_len(strlen(f->message)));
    om_w_string(&v, 1, f->quota);
    om_w_string(&v, 2, f->message);
    add_detail(w, "QuotaFailure", &v, data);
}

static void add_retry_info(om_wbuf *w, const om_failure *f)
{
    uint8_t data[32];
    om_wbuf v = om_wbuf_of(data, sizeof data);
    uint64_t seconds = f->retry_ms / 1000;
    uint64_t nanos = (uint64_t)(f->retry_ms % 1000) * 1000000;
    om_w_len(&v, 1, om_wsize_uint(seconds) + om_wsize_uint(nanos));
    om_w_uint(&v, 1, seconds);
    om_w_uint(&v, 2, nanos);
    add_detail(w, "RetryInfo", &v, data);
}

static void add_request_info(om_wbuf *w, const om_failure *f)
{
    uint8_t data[64];
    om_wbuf v = om_wbuf_of(data, sizeof data);
    om_w_string(&v, 1, f->request_id);
    add_detail(w, "RequestInfo", &v, data);
}

size_t om_failure_encode(const om_failure *f, uint8_t *out, size_t capacity)
{
    om_wbuf w = om_wbuf_of(out, capacity);
    om_w_uint(&w, 1, f->code);
    om_w_string(&w, 2, f->message);
    add_error_info(&w, f);
    if (f->field[0] != '\0') {
        add_bad_request(&w, f);
    }
    if (f->quota[0] != '\0') {
        add_quota_failure(&w, f);
    }
    if (f->retry_ms > 0) {
        add_retry_info(&w, f);
    }
    if (f->request_id[0] != '\0') {
        add_request_info(&w, f);
    }
    return w.full ? 0 : (size_t)(w.at - out);
}
