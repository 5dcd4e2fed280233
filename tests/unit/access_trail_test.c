/* access_trail_test.c - what must not be lost: changes in the log, lines of the audit file on a full disk,
 * revocations that cannot be written down; and weights that would starve others.
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "access_fixture.h"
#include "slog.h"

static const char boot[] = "boot-key-0123456789-abcdefghijklmnopqrstuvwxyz";
static char secret[OM_ACCESS_SECRET + 1];

/* No file may be longer than this: what is written beyond it fails, as on a full disk. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static const char *content_of(const char *path)
{
    static char text[1 << 18];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text++) {
        n++;
    }
    return n;
}

/* Without a file of their own changes are in the log, however many there are and whatever its level. */
static void changes_are_never_thinned_out(void **state)
{
    static const int32_t levels[] = {OMEN_LOG_INFO, OMEN_LOG_ERROR};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *path = strdup(things_path(i == 0 ? "log.info" : "log.error"));
        om_slog_options log = {levels[i], OM_SLOG_JSON, path, NULL};
        om_access_options o = {.log = om_slog_create(&log)};
        assert_non_null(o.log);
        om_access *access = things_start(&o);
        for (int k = 0; k < 200; k++) {
            om_access_audit(access, NULL, "peer", "create_key", "k", true);
        }
        for (int k = 0; k < 200; k++) {
            om_access_audit(access, NULL, "peer", "restore", "k", false);
        }
        om_access_free(access);
        om_slog_free(o.log);
        const char *text = content_of(path);
        assert_int_equal(count_of(text, "\"text\":\"create_key\""), 200);
        assert_true(count_of(text, "\"text\":\"restore\"") < 200); /* anybody can cause those */
        free(path);
    }
}

static void a_torn_line_takes_no_other_with_it(void **state)
{
    (void)state;
    om_access_options o = {.audit_file = strdup(things_path("audit"))};
    om_access *access = things_start(&o);
    om_access_audit(access, NULL, "peer", "first", "k", true);
    size_t size = strlen(content_of(o.audit_file));
    limit_files(size + 20);
    om_access_audit(access, NULL, "peer", "torn", "k", true);
    om_access_audit(access, NULL, "peer", "lost", "k", true);
    limit_files(RLIM_INFINITY);
    assert_int_equal(strlen(content_of(o.audit_file)), size + 20);
    om_access_audit(access, NULL, "peer", "second", "k", true);
    om_access_audit(access, NULL, "peer", "third", "k", true);
    om_access_free(access);
    const char *text = content_of(o.audit_file);
    assert_int_equal(count_of(text, "\n{\"time\":"), 3);
    assert_int_equal(count_of(text, "}\n"), 3);
    assert_non_null(strstr(text, "second"));
    free((void *)(uintptr_t)o.audit_file);
}

static void ignore(void *ctx, const om_key *key)
{
    (void)ctx;
    (void)key;
}

static om_access *start_with_key(om_access_options *o)
{
    static const om_grant all = {OM_ROLE_READ, "*"};
    om_failure f;
    things_write("boot", boot, 0600);
    *o = (om_access_options){.catalog = strdup(things_path("keys.db")),
                             .bootstrap_file = strdup(things_path("boot"))};
    om_access *access = things_start(o);
    om_key_request q = {.name = "leaked",
                        .tenant = "",
                        .certificate = "",
                        .grants = &all,
                        .grant_count = 1,
                        .tell = ignore};
    assert_true(om_access_create_key(access, &q, secret, &f));
    return access;
}

static void end(om_access *access, om_access_options *o)
{
    om_access_free(access);
    free((void *)(uintptr_t)o->catalog);
    free((void *)(uintptr_t)o->bootstrap_file);
}

/* The disk is full: the key is refused all the same, the call says what is not done, and can be repeated. */
static void a_revocation_holds_on_a_full_disk(void **state)
{
    om_access_options o;
    om_failure f;
    (void)state;
    om_access *access = start_with_key(&o);
    const om_principal *who = identify_with(access, secret, &f);
    assert_non_null(who);
    om_principal_release(who);
    limit_files(0);
    assert_false(om_access_revoke_key(access, "leaked", ignore, NULL, &f));
    limit_files(RLIM_INFINITY);
    assert_int_equal(f.code, OMEN_UNAVAILABLE);
    assert_non_null(strstr(f.message, "refused from now on"));
    refused_for(access, secret, "CREDENTIAL_REVOKED");
    assert_true(om_access_revoke_key(access, "leaked", ignore, NULL, &f));
    om_access_free(access);
    access = things_start(&o);
    refused_for(access, secret, "CREDENTIAL_REVOKED");
    end(access, &o);
}

static void weights_have_an_end(void **state)
{
    om_access_options o;
    om_failure f;
    (void)state;
    om_access *access = start_with_key(&o);
    om_tenant_limits limits = {.weight = OM_TENANT_MAX_WEIGHT + 1};
    assert_null(om_access_set_tenant(access, "acme", &limits, &f));
    assert_int_equal(f.code, OMEN_INVALID_ARGUMENT);
    assert_string_equal(f.field, "tenant.weight");
    limits.weight = OM_TENANT_MAX_WEIGHT;
    assert_non_null(om_access_set_tenant(access, "acme", &limits, &f));
    /* One that was written down before there was an end. */
    limits.weight = 4000000000u;
    om_tenant *old = om_tenants_set(om_access_tenants(access), "old", &limits);
    assert_int_equal(om_tenant_weight(old), OM_TENANT_MAX_WEIGHT);
    end(access, &o);
}

/* A token that was refused is remembered shortly, and not when the keys have changed since. */
static void refused_tokens_are_remembered(void **state)
{
    uint8_t tag[OM_TAG], other[OM_TAG];
    om_cache *cache = om_cache_create();
    (void)state;
    assert_non_null(cache);
    om_cache_tag(cache, 0, "a.b.c", 5, tag);
    om_cache_tag(cache, 0, "a.b.d", 5, other);
    assert_false(om_cache_refused(cache, tag, 1000, 7));
    om_cache_refuse(cache, tag, 1000, 7);
    assert_true(om_cache_refused(cache, tag, 1000, 7));
    assert_true(om_cache_refused(cache, tag, 1000 + OM_REFUSED_S - 1, 7));
    assert_false(om_cache_refused(cache, tag, 1000 + OM_REFUSED_S, 7));
    assert_false(om_cache_refused(cache, tag, 1000, 8));
    assert_false(om_cache_refused(cache, other, 1000, 7));
    assert_false(om_cache_refused(cache, tag, 900, 7)); /* the clock was set back */
    om_cache_free(cache);
}

/* Of several keys with a kid a token must name one: none is tried else. */
static void a_token_names_its_key(void **state)
{
    static const char two[] =
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"1\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
        "{\"kty\":\"oct\",\"kid\":\"2\",\"k\":\"YTEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}";
    char why[128];
    const char *claims = "{\"sub\":\"ci\",\"exp\":2000}";
    const char *reason = NULL;
    om_jwt_claims out;
    om_jwt_keys *keys = om_jwt_keys_parse("HS256", two, strlen(two), why, sizeof why);
    (void)state;
    assert_non_null(keys);
    om_jwt_want want = {.keys = keys, .now = 1000};
    char *named = sign_secret("{\"alg\":\"HS256\",\"kid\":\"1\"}", claims,
                              "0123456789abcdef0123456789abcdef");
    char *unnamed =
        sign_secret("{\"alg\":\"HS256\"}", claims, "0123456789abcdef0123456789abcdef");
    assert_null(om_jwt_verify(&want, named, strlen(named), &out, &reason));
    assert_non_null(om_jwt_verify(&want, unnamed, strlen(unnamed), &out, &reason));
    free(named);
    free(unnamed);
    om_jwt_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_are_never_thinned_out, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(a_torn_line_takes_no_other_with_it, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(a_revocation_holds_on_a_full_disk, things_set_up,
                                        things_tear_down),
        cmocka_unit_test(refused_tokens_are_remembered),
        cmocka_unit_test(a_token_names_its_key),
        cmocka_unit_test_setup_teardown(weights_have_an_end, things_set_up, things_tear_down)};
    (void)signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
