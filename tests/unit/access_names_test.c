/* access_names_test.c - names, grants, base64url, SipHash, and what a principal may do, against
 * tables and known values. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "access_int.h"

static void names(void **state)
{
    static const char *const good[] = {"a", "0", "ci.reader-1", "a_b", "zz.9"};
    static const char *const bad[] = {"",    ".a",  "-a", "_a",  "A",
                                      "a b", "a/b", "a*", "a\n", "\xc3\xa4"};
    char longest[65];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(om_access_name_ok(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_access_name_ok(bad[i]));
    }
    memset(longest, 'x', sizeof longest);
    longest[63] = '\0';
    assert_true(om_access_name_ok(longest));
    longest[63] = 'x';
    longest[64] = '\0';
    assert_false(om_access_name_ok(longest));
}

static void patterns(void **state)
{
    static const char *const good[] = {"*", "films", "films*", "a-b_c*", "0"};
    static const char *const bad[] = {"", "**", "*a", "a*b", "Films", "a.b", "-*", "a**", " *"};
    char longest[66];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(om_access_pattern_ok(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_access_pattern_ok(bad[i]));
    }
    memset(longest, 'x', sizeof longest);
    longest[63] = '*';
    longest[64] = '\0';
    assert_true(om_access_pattern_ok(longest));
    longest[63] = 'x';
    longest[64] = '*';
    longest[65] = '\0';
    assert_false(om_access_pattern_ok(longest));
}

static void grants_as_text(void **state)
{
    static const char *const bad[] = {"",          "read",    "read:",    ":a",
                                      "reads:a",   "READ:a",  "read:A",   "none:a",
                                      "write:a:b", "read: a", "manage:**"};
    om_grant g;
    (void)state;
    assert_true(om_grant_parse("read:films*", &g));
    assert_int_equal(g.role, OM_ROLE_READ);
    assert_string_equal(g.collection, "films*");
    assert_true(om_grant_parse("write:a", &g));
    assert_int_equal(g.role, OM_ROLE_WRITE);
    assert_true(om_grant_parse("manage:*", &g));
    assert_int_equal(g.role, OM_ROLE_MANAGE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_grant_parse(bad[i], &g));
    }
}

/* ---- Roles against a table of their own ------------------------------------------------------ */

static om_box *box_with(const om_grant *grants, size_t count)
{
    om_box_request q = {.name = "x", .kind = OM_BY_KEY, .grants = grants, .grant_count = count};
    om_box *box = om_box_create(&q);
    assert_non_null(box);
    return box;
}

static void roles(void **state)
{
    static const char *const patterns_[] = {"*", "films", "film*", "other", "o*"};
    static const bool covers[] = {true, true, true, false, false}; /* the collection films */
    (void)state;
    for (uint32_t role = OM_ROLE_READ; role <= OM_ROLE_MANAGE; role++) {
        for (size_t p = 0; p < sizeof patterns_ / sizeof *patterns_; p++) {
            om_grant g = {role, ""};
            (void)snprintf(g.collection, sizeof g.collection, "%s", patterns_[p]);
            om_box *box = box_with(&g, 1);
            const om_principal *who = &box->principal;
            assert_int_equal(om_principal_may(who, "films", OM_VERB_READ), covers[p]);
            assert_int_equal(om_principal_may(who, "films", OM_VERB_WRITE), covers[p] && role >= 2);
            assert_int_equal(om_principal_may(who, "films", OM_VERB_MANAGE),
                             covers[p] && role >= 3);
            assert_int_equal(om_principal_may(who, "films", OM_VERB_ADMIN), p == 0 && role == 3);
            assert_false(om_principal_may(who, "films", OM_VERB_ANY));
            assert_false(om_principal_may(who, "films", OM_VERB_OPEN));
            assert_false(om_principal_may(who, "films", OM_VERB_NONE));
            assert_false(om_principal_may(who, "films", 99));
            assert_true(om_principal_may_some(who, OM_VERB_READ));
            assert_int_equal(om_principal_may_some(who, OM_VERB_WRITE), role >= 2);
            assert_int_equal(om_principal_may_some(who, OM_VERB_MANAGE), role >= 3);
            assert_int_equal(om_principal_may_some(who, OM_VERB_ADMIN), p == 0 && role == 3);
            assert_false(om_principal_may_some(who, OM_VERB_NONE));
            om_box_release(box);
        }
    }
}

static void grants_add_up(void **state)
{
    static const om_grant grants[] = {
        {OM_ROLE_READ, "a*"}, {OM_ROLE_MANAGE, "ab"}, {OM_ROLE_WRITE, "b"}};
    (void)state;
    om_box *box = box_with(grants, 3);
    const om_principal *who = &box->principal;
    assert_true(om_principal_may(who, "ax", OM_VERB_READ));
    assert_false(om_principal_may(who, "ax", OM_VERB_WRITE));
    assert_true(om_principal_may(who, "ab", OM_VERB_MANAGE));
    assert_false(om_principal_may(who, "abc", OM_VERB_MANAGE));
    assert_true(om_principal_may(who, "b", OM_VERB_WRITE));
    assert_false(om_principal_may(who, "bb", OM_VERB_READ));
    assert_false(om_principal_may_some(who, OM_VERB_ADMIN));
    om_box_release(box);
    box = box_with(NULL, 0);
    assert_false(om_principal_may_some(&box->principal, OM_VERB_READ));
    assert_true(om_principal_may_some(&box->principal, OM_VERB_ANY));
    om_box_release(box);
}

static void expiry(void **state)
{
    om_failure f;
    om_box_request q = {.name = "x", .kind = OM_BY_KEY, .expires = 1000};
    (void)state;
    om_box *box = om_box_create(&q);
    assert_true(om_box_good(box, 999, &f));
    assert_false(om_box_good(box, 1000, &f));
    assert_string_equal(f.reason, "CREDENTIAL_EXPIRED");
    om_box_release(box);
    q.kind = OM_BY_JWT; /* clocks of others may be a minute off */
    box = om_box_create(&q);
    assert_true(om_box_good(box, 1059, &f));
    assert_false(om_box_good(box, 1060, &f));
    atomic_store(&box->revoked, true);
    assert_false(om_box_good(box, 1, &f));
    assert_string_equal(f.reason, "CREDENTIAL_REVOKED");
    om_box_release(box);
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static void base64url(void **state)
{
    static const char *const bad[] = {"A",    "AA=",  "AAA=", "AB",   "AAB",
                                      "A+AA", "A/AA", "AA A", "AAAAA"};
    uint8_t data[64] = {0}, back[64];
    char text[100];
    (void)state;
    for (size_t size = 0; size < sizeof data; size++) {
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)(i * 37 + size * 11);
        }
        om_base64url_encode(data, size, text);
        assert_int_equal(strlen(text), (size * 4 + 2) / 3);
        assert_int_equal(om_base64url_decode(text, strlen(text), back, sizeof back), size);
        assert_memory_equal(data, back, size);
        if (size > 0) {
            assert_int_equal(om_base64url_decode(text, strlen(text), back, size - 1), SIZE_MAX);
        }
    }
    om_base64url_encode((const uint8_t *)"\xfb\xff\xfe", 3, text);
    assert_string_equal(text, "-__-");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(om_base64url_decode(bad[i], strlen(bad[i]), back, sizeof back), SIZE_MAX);
    }
}

/* The first and the last of the authors' vectors for 128 bits: key 0 .. 15, input 0 .. n - 1. */
static void siphash(void **state)
{
    static const uint8_t none[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                     0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    static const uint8_t one[16] = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
                                    0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
    uint8_t key[16], out[16];
    static const uint8_t zero[1] = {0};
    (void)state;
    for (uint8_t i = 0; i < 16; i++) {
        key[i] = i;
    }
    om_siphash128(key, zero, 0, out);
    assert_memory_equal(out, none, 16);
    om_siphash128(key, zero, 1, out);
    assert_memory_equal(out, one, 16);
}

/* ---- The cache ------------------------------------------------------------------------------- */

static void cache(void **state)
{
    uint8_t a[OM_TAG], b[OM_TAG];
    (void)state;
    om_cache *c = om_cache_create();
    om_cache_tag(c, 0, "token", 5, a);
    om_cache_tag(c, 1, "token", 5, b); /* a certificate of that name is another thing */
    assert_memory_not_equal(a, b, OM_TAG);
    om_box *box = box_with(NULL, 0);
    assert_null(om_cache_find(c, a));
    om_cache_add(c, a, box);
    om_box *found = om_cache_find(c, a);
    assert_ptr_equal(found, box);
    assert_null(om_cache_find(c, b));
    om_box_release(found);
    om_cache_sweep(c, 5);
    found = om_cache_find(c, a);
    assert_ptr_equal(found, box);
    om_box_release(found);
    atomic_store(&box->revoked, true);
    om_cache_sweep(c, 5);
    assert_null(om_cache_find(c, a));
    assert_int_equal(atomic_load(&box->refs), 1);
    om_box_release(box);
    om_cache_free(c);
}

/* Far more than fit: nothing leaks, nothing is found under a wrong tag, and what is used stays. */
static void cache_is_bounded(void **state)
{
    enum { MANY = 20000 };
    uint8_t tag[OM_TAG], kept[OM_TAG];
    char text[32];
    size_t found = 0;
    (void)state;
    om_cache *c = om_cache_create();
    om_box *mine = box_with(NULL, 0);
    om_cache_tag(c, 0, "mine", 4, kept);
    om_cache_add(c, kept, mine);
    om_box *other = box_with(NULL, 0);
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(text, sizeof text, "token %d", i);
        om_cache_tag(c, 0, text, (size_t)n, tag);
        om_cache_add(c, tag, other);
        om_box *still = om_cache_find(c, kept);
        assert_ptr_equal(still, mine);
        om_box_release(still);
    }
    for (int i = 0; i < MANY; i++) {
        int n = snprintf(text, sizeof text, "token %d", i);
        om_cache_tag(c, 0, text, (size_t)n, tag);
        om_box *box = om_cache_find(c, tag);
        assert_true(box == NULL || box == other);
        found += box != NULL;
        om_box_release(box);
    }
    assert_int_equal(atomic_load(&other->refs), found + 1);
    assert_true(found <= 4096 && found > 3000);
    om_cache_free(c);
    assert_int_equal(atomic_load(&other->refs), 1);
    om_box_release(other);
    om_box_release(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),          cmocka_unit_test(patterns),
        cmocka_unit_test(grants_as_text), cmocka_unit_test(roles),
        cmocka_unit_test(grants_add_up),  cmocka_unit_test(expiry),
        cmocka_unit_test(base64url),      cmocka_unit_test(siphash),
        cmocka_unit_test(cache),          cmocka_unit_test(cache_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
