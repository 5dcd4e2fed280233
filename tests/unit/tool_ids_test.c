/* tool_ids_test.c - columns of ids, their text forms, and what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "ids.h"

static void numbers(void **state)
{
    (void)state;
    uint64_t v;
    assert_true(om_ids_parse_u64("0", 1, &v) && v == 0);
    assert_true(om_ids_parse_u64("18446744073709551614", 20, &v) && v == UINT64_MAX - 1);
    const char *bad[] = {"18446744073709551615",
                         "18446744073709551616",
                         "99999999999999999999",
                         "-1",
                         "1 ",
                         "0x1",
                         "",
                         "000000000000000000001"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_ids_parse_u64(bad[i], strlen(bad[i]), &v));
    }
}

static void uuids(void **state)
{
    (void)state;
    const char *text = "00112233-4455-6677-8899-aabbccddeeff";
    const char *plain = "00112233445566778899AABBCCDDEEFF";
    uint8_t a[16], b[16];
    assert_true(om_ids_parse_uuid(text, 36, a));
    assert_true(om_ids_parse_uuid(plain, 32, b));
    assert_memory_equal(a, b, 16);
    assert_int_equal(a[15], 0xff);
    const char *bad[] = {"0011223-34455-6677-8899-aabbccddeeff",
                         "00112233-4455-6677-8899-aabbccddeefg", "0011"};
    for (size_t i = 0; i < 3; i++) {
        assert_false(om_ids_parse_uuid(bad[i], strlen(bad[i]), a));
    }
    om_ids ids = {.type = OMEN_ID_UUID};
    om_tool_error err;
    char buf[OM_ID_TEXT];
    assert_true(om_ids_add_text(&ids, plain, 32, &err));
    assert_int_equal(om_ids_text(&ids, 0, buf), 36);
    assert_string_equal(buf, text);
    om_ids_free(&ids);
}

static void utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool good;
    } cases[] = {
        {"abc", 3, true},           {"\xc3\xa9", 2, true},
        {"\xe2\x82\xac", 3, true},  {"\xf0\x9f\x99\x82", 4, true},
        {"\xc3", 1, false},         {"\xc0\x80", 2, false},
        {"\xed\xa0\x80", 3, false}, {"\xf4\x90\x80\x80", 4, false},
        {"a\0b", 3, false},         {"\x80", 1, false},
        {"\xe0\x9f\xbf", 3, false}, {"\xf8\x88\x80\x80\x80", 5, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(om_ids_utf8(cases[i].text, cases[i].len) == cases[i].good);
    }
}

static void columns_grow_and_convert(void **state)
{
    (void)state;
    om_ids text = {.type = OMEN_ID_STRING}, numbers_back = {.type = OMEN_ID_U64};
    om_tool_error err;
    char buf[32];
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(buf, sizeof buf, "%d", i * 7);
        assert_true(om_ids_add_string(&text, buf, (size_t)n, &err));
    }
    assert_true(om_ids_add_converted(&numbers_back, &text, &err));
    assert_int_equal(numbers_back.count, 5000);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(numbers_back.u64[i], i * 7);
    }
    omen_column column;
    const uint64_t *keys;
    om_ids_column(&text, 10, &column, &keys);
    assert_null(keys);
    assert_int_equal(column.offset_bits, 64);
    assert_int_equal(((const int64_t *)column.offsets)[1] - ((const int64_t *)column.offsets)[0],
                     2);
    om_ids_column(&numbers_back, 3, &column, &keys);
    assert_int_equal(keys[0], 21);
    om_ids_clear(&text);
    assert_true(om_ids_add_string(&text, "x", 1, &err));
    assert_int_equal(text.offsets[0], 0);
    om_ids_free(&text);
    om_ids_free(&numbers_back);
}

static void refusals(void **state)
{
    (void)state;
    om_ids ids = {0};
    om_tool_error err;
    char big[OMEN_MAX_STRING_ID + 2];
    memset(big, 'x', sizeof big);
    assert_true(om_ids_add_string(&ids, big, OMEN_MAX_STRING_ID, &err));
    assert_false(om_ids_add_string(&ids, big, OMEN_MAX_STRING_ID + 1, &err));
    assert_false(om_ids_add_u64(&ids, 1, &err)); /* the column has strings */
    assert_false(om_ids_add_string(&ids, "\xff", 1, &err));
    assert_int_equal(ids.count, 1);
    om_ids_free(&ids);
    om_ids u = {.type = OMEN_ID_U64};
    assert_false(om_ids_add_u64(&u, OMEN_NONE, &err));
    assert_false(om_ids_add_text(&u, "seven", 5, &err));
    assert_non_null(strstr(err.message, "'seven'"));
    om_ids_free(&u);
}

/* What is printed cannot move the cursor of a terminal. */
static void control_bytes_are_not_printed(void **state)
{
    (void)state;
    om_ids ids = {0};
    om_tool_error err;
    char buf[OM_ID_TEXT];
    assert_true(om_ids_add_string(&ids, "a\x1b[2Jb\x7f", 7, &err));
    assert_int_equal(om_ids_text(&ids, 0, buf), 7);
    assert_string_equal(buf, "a?[2Jb?");
    om_ids_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),  cmocka_unit_test(uuids),
        cmocka_unit_test(utf8),     cmocka_unit_test(columns_grow_and_convert),
        cmocka_unit_test(refusals), cmocka_unit_test(control_bytes_are_not_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
