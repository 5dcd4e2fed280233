/* access_threads_test.c - callers on several threads while keys are made, revoked and files are
 * replaced: who is good all the time must never be refused, and who is revoked must be at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_fixture.h"

enum { THREADS = 4, ROUNDS = 40 };

static const char boot[] = "bootstrap-key-that-stays-0123456789abcdef";
static const char other[] = "bootstrap-key-that-comes-and-goes-0123456";
static const char secret[] = "a secret of at least thirty-two bytes, or it is refused";

static om_access *access_;
static char stays[OM_ACCESS_SECRET + 1];
static char *token;
static _Atomic bool stop;
static _Atomic uint64_t calls, refusals;

static void ignore(void *ctx, const om_key *key)
{
    (void)ctx;
    (void)key;
}

static void must(const char *key)
{
    om_failure f;
    const om_principal *who = identify_with(access_, key, &f);
    if (who == NULL) {
        atomic_fetch_add(&refusals, 1);
        return;
    }
    /* What a call does meanwhile: it looks at the principal and lets it go. */
    if (!om_principal_may(who, "films", OM_VERB_READ)) {
        atomic_fetch_add(&refusals, 1);
    }
    om_principal_release(who);
}

static void *caller(void *arg)
{
    om_failure f;
    (void)arg;
    while (!atomic_load(&stop)) {
        must(boot);
        must(stays);
        must(token);
        om_principal_release(identify_with(access_, other, &f)); /* good or not */
        om_principal_release(identify_with(access_, "nobody's-key", &f));
        atomic_fetch_add(&calls, 5);
    }
    return NULL;
}

static void make(const char *name, char *out)
{
    om_failure f;
    static const om_grant all = {OM_ROLE_READ, "*"};
    om_key_request q = {.name = name,
                        .tenant = "",
                        .certificate = "",
                        .grants = &all,
                        .grant_count = 1,
                        .tell = ignore};
    assert_true(om_access_create_key(access_, &q, out, &f));
}

/* One turn of everything that changes while others call. */
static void change(int round)
{
    char both[128], key[OM_ACCESS_SECRET + 1], name[32];
    om_failure f;
    (void)snprintf(both, sizeof both, "%s\n%s\n", boot, round % 2 == 0 ? other : "");
    things_write("boot", both, 0600);
    things_write("jwt", secret, 0600);
    om_access_tick(access_, round % 3 == 0);
    (void)snprintf(name, sizeof name, "key-%d", round);
    make(name, key);
    const om_principal *who = identify_with(access_, key, &f);
    assert_non_null(who);
    assert_true(om_access_revoke_key(access_, name, ignore, NULL, &f));
    assert_false(om_principal_still(who));
    om_principal_release(who);
    refused_for(access_, key, "CREDENTIAL_REVOKED");
    om_key_page page = {.most = 1000, .all = true, .tell = ignore};
    assert_true(om_access_list_keys(access_, &page, &f));
    (void)snprintf(name, sizeof name, "c%d", round);
    (void)om_access_own(access_, name,
                        om_access_set_tenant(access_, "acme", &(om_tenant_limits){0}, &f), &f);
    (void)om_access_disown(access_, name, &f);
}

static void callers_and_changes(void **state)
{
    pthread_t threads[THREADS];
    char claims[160], file[128];
    (void)state;
    (void)snprintf(file, sizeof file, "%s\n", boot);
    things_write("boot", file, 0600);
    things_write("jwt", secret, 0600);
    om_access_options o = {.catalog = strdup(things_path("keys.db")),
                           .bootstrap_file = strdup(things_path("boot")),
                           .jwt_key_file = strdup(things_path("jwt")),
                           .audit_file = strdup(things_path("audit")),
                           .jwt_algorithm = "HS256",
                           .jwt_audience = "omendb"};
    access_ = things_start(&o);
    make("stays", stays);
    (void)snprintf(claims, sizeof claims,
                   "{\"sub\":\"ci\",\"aud\":\"omendb\",\"exp\":%lld,\"omen_grants\":[\"read:*\"]}",
                   (long long)om_access_now() + 36000);
    token = sign_secret("{\"alg\":\"HS256\"}", claims, secret);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, caller, NULL), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        change(round);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(atomic_load(&calls) > 0);
    assert_int_equal(atomic_load(&refusals), 0);
    om_access_free(access_);
    free(token);
    free((void *)(uintptr_t)o.catalog);
    free((void *)(uintptr_t)o.bootstrap_file);
    free((void *)(uintptr_t)o.jwt_key_file);
    free((void *)(uintptr_t)o.audit_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(callers_and_changes, things_set_up, things_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
