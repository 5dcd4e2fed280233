/* service_failure_test.c - failures and their google.rpc.Status bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "failure.h"
#include "wread.h"
#include "wwrite.h"

/* The details of one Status, as far as they matter here. */
typedef struct decoded {
    uint32_t code;
    char message[512], reason[64], domain[32], field[80], description[512], request_id[64];
    char item_key[16], item_value[32];
    uint64_t retry_seconds, retry_nanos;
    uint32_t details;
} decoded;

static void take_text(om_wread *r, const om_wfield *f, char *out, size_t capacity)
{
    assert_int_equal(f->type, OM_WT_LEN);
    assert_true(f->value < capacity);
    assert_true(om_wread_copy(r, out, (size_t)f->value));
    out[f->value] = '\0';
}

static void take_error_info(om_wread *r, decoded *d)
{
    om_wfield f;
    while (om_wread_field(r, &f)) {
        if (f.number == 1) {
            take_text(r, &f, d->reason, sizeof d->reason);
        } else if (f.number == 2) {
            take_text(r, &f, d->domain, sizeof d->domain);
        } else {
            size_t outer = om_wread_enter(r, (size_t)f.value);
            while (om_wread_field(r, &f)) {
                take_text(r, &f, f.number == 1 ? d->item_key : d->item_value,
                          f.number == 1 ? sizeof d->item_key : sizeof d->item_value);
            }
            om_wread_leave(r, outer);
        }
    }
}

static void take_bad_request(om_wread *r, decoded *d)
{
    om_wfield f;
    assert_true(om_wread_field(r, &f));
    size_t outer = om_wread_enter(r, (size_t)f.value);
    while (om_wread_field(r, &f)) {
        take_text(r, &f, f.number == 1 ? d->field : d->description,
                  f.number == 1 ? sizeof d->field : sizeof d->description);
    }
    om_wread_leave(r, outer);
}

static void take_retry(om_wread *r, decoded *d)
{
    om_wfield f;
    assert_true(om_wread_field(r, &f));
    size_t outer = om_wread_enter(r, (size_t)f.value);
    while (om_wread_field(r, &f)) {
        *(f.number == 1 ? &d->retry_seconds : &d->retry_nanos) = f.value;
    }
    om_wread_leave(r, outer);
}

static void take_any(om_wread *r, decoded *d)
{
    om_wfield f;
    char url[80];
    assert_true(om_wread_field(r, &f));
    take_text(r, &f, url, sizeof url);
    assert_memory_equal(url, "type.googleapis.com/google.rpc.", 31);
    assert_true(om_wread_field(r, &f));
    size_t outer = om_wread_enter(r, (size_t)f.value);
    if (strcmp(url + 31, "ErrorInfo") == 0) {
        take_error_info(r, d);
    } else if (strcmp(url + 31, "BadRequest") == 0) {
        take_bad_request(r, d);
    } else if (strcmp(url + 31, "RetryInfo") == 0) {
        take_retry(r, d);
    } else {
        assert_string_equal(url + 31, "RequestInfo");
        assert_true(om_wread_field(r, &f));
        take_text(r, &f, d->request_id, sizeof d->request_id);
    }
    om_wread_leave(r, outer);
    d->details++;
}

static decoded decode(const om_failure *failure)
{
    uint8_t bytes[OM_FAILURE_DETAILS_MAX];
    decoded d = {0};
    om_wread r;
    om_wfield f;
    size_t size = om_failure_encode(failure, bytes, sizeof bytes);
    assert_true(size > 0);
    om_span one = {bytes, size};
    om_wread_init(&r, &one, 1);
    while (om_wread_field(&r, &f)) {
        if (f.number == 1) {
            d.code = (uint32_t)f.value;
        } else if (f.number == 2) {
            take_text(&r, &f, d.message, sizeof d.message);
        } else {
            size_t outer = om_wread_enter(&r, (size_t)f.value);
            take_any(&r, &d);
            om_wread_leave(&r, outer);
        }
    }
    assert_null(r.bad);
    return d;
}

static void test_engine_error(void **state)
{
    (void)state;
    omen_error err = {.status = OMEN_INVALID_ARGUMENT,
                      .detail = OMEN_D_NOT_FINITE,
                      .item = 17,
                      .message = "item 17: not finite"};
    om_failure f;
    om_failure_from_engine(&f, &err);
    decoded d = decode(&f);
    assert_int_equal(d.code, OMEN_INVALID_ARGUMENT);
    assert_string_equal(d.message, err.message);
    assert_string_equal(d.reason, "NOT_FINITE");
    assert_string_equal(d.domain, "omendb");
    assert_string_equal(d.field, "vectors.data");
    assert_string_equal(d.description, err.message);
    assert_string_equal(d.item_key, "item");
    assert_string_equal(d.item_value, "17");
    assert_int_equal(d.details, 2);
    assert_false(om_failure_retriable(&f));
}

static void test_metadata_errors(void **state)
{
    (void)state;
    static const struct {
        int32_t status, detail;
        const char *reason, *field;
        bool retriable;
    } cases[] = {{OMEN_INVALID_ARGUMENT, OMEN_D_METADATA, "METADATA", "items.metadata", false},
                 {OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX, "FILTER_SYNTAX", "filter", false},
                 {OMEN_INVALID_ARGUMENT, OMEN_D_FIELD, "FIELD", "", false},
                 {OMEN_ALREADY_EXISTS, OMEN_D_FIELD, "FIELD", "", false},
                 {OMEN_ABORTED, OMEN_D_VERSION_CONFLICT, "VERSION_CONFLICT", "", false},
                 {OMEN_ABORTED, OMEN_D_SEQUENCE, "SEQUENCE", "", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        omen_error err = {.status = cases[i].status,
                          .detail = cases[i].detail,
                          .item = 3,
                          .message = "what was wrong"};
        om_failure f;
        om_failure_from_engine(&f, &err);
        decoded d = decode(&f);
        assert_string_equal(d.reason, cases[i].reason);
        assert_string_equal(d.field, cases[i].field);
        assert_string_equal(d.item_value, "3");
        assert_int_equal(om_failure_retriable(&f), cases[i].retriable);
        om_failure_about(&f, "delete_filter");
        assert_string_equal(decode(&f).field, "delete_filter");
    }
}

static void test_every_engine_status_keeps_its_code(void **state)
{
    (void)state;
    for (int32_t status = 1; status <= 15; status++) {
        omen_error err = {.status = status, .item = OMEN_NONE, .message = "x"};
        om_failure f;
        om_failure_from_engine(&f, &err);
        assert_int_equal(decode(&f).code, status);
        assert_int_equal(om_failure_retriable(&f), status == OMEN_RESOURCE_EXHAUSTED ||
                                                       status == OMEN_UNAVAILABLE ||
                                                       status == OMEN_ABORTED);
    }
    omen_error odd = {.status = 99, .item = OMEN_NONE};
    om_failure f;
    om_failure_from_engine(&f, &odd);
    assert_int_equal(f.code, OMEN_INTERNAL);
}

static void test_retry(void **state)
{
    (void)state;
    omen_error err = {.status = OMEN_RESOURCE_EXHAUSTED,
                      .detail = OMEN_D_BACKLOG,
                      .item = OMEN_NONE,
                      .message = "behind"};
    om_failure f;
    om_failure_from_engine(&f, &err);
    assert_true(om_failure_retriable(&f));
    f.retry_ms = 2050;
    snprintf(f.request_id, sizeof f.request_id, "abc");
    decoded d = decode(&f);
    assert_int_equal(d.retry_seconds, 2);
    assert_int_equal(d.retry_nanos, 50000000);
    assert_string_equal(d.request_id, "abc");
    assert_string_equal(d.reason, "BACKLOG");
}

static void test_limit_names_field_value_and_limit(void **state)
{
    (void)state;
    om_failure f;
    assert_false(om_failure_limit(&f, "legs.vector.ef", 99999, 16384));
    decoded d = decode(&f);
    assert_string_equal(d.field, "legs.vector.ef");
    assert_non_null(strstr(d.message, "99999"));
    assert_non_null(strstr(d.message, "16384"));
}

static void test_long_texts_fit(void **state)
{
    (void)state;
    om_failure f;
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xa9", 2);
    }
    text[sizeof text - 2] = '\0';
    om_failure_set(&f, OMEN_INVALID_ARGUMENT, text, text, "x%s", text);
    f.item = UINT64_MAX - 1;
    f.retry_ms = UINT32_MAX;
    memset(f.request_id, 'r', sizeof f.request_id - 1);
    f.request_id[sizeof f.request_id - 1] = '\0';
    assert_true(om_utf8_valid((const uint8_t *)f.message, strlen(f.message)));
    uint8_t bytes[OM_FAILURE_DETAILS_MAX];
    assert_true(om_failure_encode(&f, bytes, sizeof bytes) > 0);
    assert_int_equal(om_failure_encode(&f, bytes, 100), 0);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        bool ok;
    } cases[] = {{"", 0, true},
                 {"plain", 5, true},
                 {"\xc3\xa9", 2, true},
                 {"\xe2\x82\xac", 3, true},
                 {"\xf0\x9f\x98\x80", 4, true},
                 {"\xf4\x8f\xbf\xbf", 4, true},
                 {"a\0b", 3, false},
                 {"\x80", 1, false},
                 {"\xc3", 1, false},
                 {"\xe2\x82", 2, false},
                 {"\xc0\xaf", 2, false},
                 {"\xe0\x80\x80", 3, false},
                 {"\xed\xa0\x80", 3, false},
                 {"\xf0\x80\x80\x80", 4, false},
                 {"\xf4\x90\x80\x80", 4, false},
                 {"\xf5\x80\x80\x80", 4, false},
                 {"\xff", 1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(om_utf8_valid((const uint8_t *)cases[i].text, cases[i].size), cases[i].ok);
    }
}

static void test_varint_sizes(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 64; bit++) {
        for (uint64_t value = (1ull << bit) - 1; value <= (1ull << bit); value++) {
            uint8_t bytes[10];
            om_wbuf w = om_wbuf_of(bytes, sizeof bytes);
            om_w_varint(&w, value);
            assert_int_equal(om_wsize_varint(value), w.at - bytes);
            om_span one = {bytes, (size_t)(w.at - bytes)};
            om_wread r;
            uint64_t back = 1;
            om_wread_init(&r, &one, 1);
            assert_true(om_wread_varint(&r, &back));
            assert_true(back == value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_error),
        cmocka_unit_test(test_metadata_errors),
        cmocka_unit_test(test_every_engine_status_keeps_its_code),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_limit_names_field_value_and_limit),
        cmocka_unit_test(test_long_texts_fit),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_varint_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
