/* access_tenants_test.c - limits of tenants at N and N + 1, also when many threads ask at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "access.h"
#include "tenants.h"

#define SECOND UINT64_C(1000000000)

static om_tenant *make(om_tenants *tenants, om_tenant_limits limits)
{
    om_tenant *t = om_tenants_set(tenants, "acme", &limits);
    assert_non_null(t);
    return t;
}

static void assert_refused(const om_failure *f, const char *reason)
{
    assert_int_equal(f->code, OMEN_RESOURCE_EXHAUSTED);
    assert_string_equal(f->reason, reason);
    assert_non_null(strstr(f->message, "acme"));
}

static void test_table(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant_limits limits = {0};
    char name[80];
    assert_non_null(tenants);
    om_tenant *first = om_tenants_find(tenants, "default");
    assert_non_null(first);
    assert_int_equal(om_tenant_index(first), 0);
    assert_int_equal(om_tenant_weight(first), 1);
    assert_null(om_tenants_find(tenants, "acme"));
    for (uint32_t i = 1; i < OM_ACCESS_MAX_TENANTS; i++) {
        snprintf(name, sizeof name, "t%u", i);
        limits.weight = i;
        om_tenant *t = om_tenants_set(tenants, name, &limits);
        assert_non_null(t);
        assert_int_equal(om_tenant_index(t), i);
        assert_int_equal(om_tenant_weight(t), i);
        assert_string_equal(om_tenant_name(t), name);
        assert_ptr_equal(om_tenants_at(tenants, i), t);
    }
    assert_null(om_tenants_set(tenants, "one-more", &limits));
    assert_null(om_tenants_at(tenants, OM_ACCESS_MAX_TENANTS));
    assert_int_equal(om_tenants_count(tenants), OM_ACCESS_MAX_TENANTS);
    om_tenant *t7 = om_tenants_find(tenants, "t7");
    limits = (om_tenant_limits){
        .rows = 5, .bytes = 6, .calls_a_second = 7, .calls_at_once = 8, .streams = 9};
    assert_ptr_equal(om_tenants_set(tenants, "t7", &limits), t7);
    om_tenant_limits got;
    om_tenant_get(t7, &got, NULL, NULL);
    limits.weight = 1; /* 0 means 1 */
    assert_memory_equal(&got, &limits, sizeof got);
    om_tenants_free(tenants);
    om_tenants_free(NULL);
}

static void test_names(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    char name[OM_ACCESS_MAX_PRINCIPAL + 2];
    memset(name, 'a', sizeof name);
    name[OM_ACCESS_MAX_PRINCIPAL + 1] = '\0';
    assert_null(om_tenants_set(tenants, name, &(om_tenant_limits){0}));
    assert_null(om_tenants_set(tenants, "", &(om_tenant_limits){0}));
    name[OM_ACCESS_MAX_PRINCIPAL] = '\0';
    assert_non_null(om_tenants_set(tenants, name, &(om_tenant_limits){0}));
    om_tenants_free(tenants);
}

static void test_unlimited(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant *t = om_tenants_find(tenants, "default");
    om_failure f;
    for (int i = 0; i < 10000; i++) {
        assert_true(om_tenant_enter(t, SECOND, i % 2 == 0, &f));
    }
    om_tenant_claim much = {UINT64_C(1) << 40, UINT64_C(1) << 50};
    assert_true(om_tenant_claim_room(t, &much, &f));
    assert_false(om_tenants_metered(tenants));
    om_tenants_free(tenants);
}

static void test_rate(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant *t = make(tenants, (om_tenant_limits){.calls_a_second = 100});
    om_failure f;
    uint64_t now = 1000 * SECOND;
    for (int i = 0; i < 100; i++) { /* a second's worth at once */
        assert_true(om_tenant_enter(t, now, false, &f));
    }
    assert_false(om_tenant_enter(t, now, false, &f));
    assert_refused(&f, "RATE");
    assert_in_range(f.retry_ms, 10, 11); /* a token is there after a hundredth of a second */
    now += UINT64_C(9000000);
    assert_false(om_tenant_enter(t, now, false, &f));
    now += UINT64_C(1000000);
    assert_true(om_tenant_enter(t, now, false, &f));
    assert_false(om_tenant_enter(t, now, false, &f));
    /* However long it rests, the bucket is a second deep. */
    now += 3600 * SECOND;
    uint32_t taken = 0;
    while (om_tenant_enter(t, now, false, &f)) {
        taken++;
    }
    assert_int_equal(taken, 100);
    om_tenants_free(tenants);
}

/* Whoever keeps calling gets the rate, whatever else it sends. */
static void test_rate_over_time(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    static const uint32_t rates[] = {1, 3, 1000, 49999};
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        om_tenant *t = make(tenants, (om_tenant_limits){.calls_a_second = rates[r]});
        om_failure f;
        uint64_t start = (uint64_t)(r + 1) * 100000 * SECOND;
        uint64_t taken = 0;
        for (uint64_t ms = 0; ms < 10000; ms++) {
            for (int k = 0; k < 3 + (int)(rates[r] / 500); k++) {
                taken += om_tenant_enter(t, start + ms * 1000000, false, &f);
            }
        }
        uint64_t fair = (uint64_t)rates[r] * 11; /* ten seconds, and the bucket */
        assert_true(taken <= fair + 1);
        assert_true(taken + taken / 50 + 2 >= fair);
    }
    om_tenants_free(tenants);
}

static void test_concurrency(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant *t = make(tenants, (om_tenant_limits){.calls_at_once = 5, .streams = 2});
    om_failure f;
    assert_true(om_tenant_enter(t, 0, true, &f));
    assert_true(om_tenant_enter(t, 0, true, &f));
    assert_false(om_tenant_enter(t, 0, true, &f));
    assert_refused(&f, "CONCURRENCY");
    assert_non_null(strstr(f.message, "2 streams"));
    assert_true(f.retry_ms > 0);
    for (int i = 0; i < 3; i++) {
        assert_true(om_tenant_enter(t, 0, false, &f));
    }
    assert_false(om_tenant_enter(t, 0, false, &f));
    assert_refused(&f, "CONCURRENCY");
    assert_non_null(strstr(f.message, "5 calls"));
    om_tenant_leave(t, true);
    assert_true(om_tenant_enter(t, 0, true, &f));
    om_tenant_leave(t, false);
    assert_true(om_tenant_enter(t, 0, false, &f));
    assert_false(om_tenant_enter(t, 0, false, &f));
    om_tenants_free(tenants);
}

/* A call that is refused for its number costs no token. */
static void test_refusals_cost_nothing(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant *t = make(tenants, (om_tenant_limits){.calls_at_once = 1, .calls_a_second = 2});
    om_failure f;
    assert_true(om_tenant_enter(t, SECOND, false, &f));
    for (int i = 0; i < 10; i++) {
        assert_false(om_tenant_enter(t, SECOND, false, &f));
        assert_refused(&f, "CONCURRENCY");
    }
    om_tenant_leave(t, false);
    assert_true(om_tenant_enter(t, SECOND, false, &f));
    om_tenant_leave(t, false);
    assert_false(om_tenant_enter(t, SECOND, false, &f));
    assert_refused(&f, "RATE");
    om_tenants_free(tenants);
}

static void use_is(const om_tenant *t, uint64_t rows, uint64_t bytes)
{
    uint64_t got_rows = 0;
    uint64_t got_bytes = 0;
    om_tenant_get(t, NULL, &got_rows, &got_bytes);
    assert_int_equal(got_rows, rows);
    assert_int_equal(got_bytes, bytes);
}

static void test_quota(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant *t = make(tenants, (om_tenant_limits){.rows = 100, .bytes = 1000});
    om_failure f;
    assert_true(om_tenants_metered(tenants));
    om_tenant_claim hundred = {100, 500};
    om_tenant_claim one = {1, 1};
    om_tenant_claim nothing = {0, 0};
    assert_true(om_tenant_claim_room(t, &hundred, &f));
    assert_false(om_tenant_claim_room(t, &one, &f)); /* claimed is as good as used */
    assert_refused(&f, "QUOTA");
    assert_string_equal(f.quota, "acme/rows");
    assert_int_equal(f.retry_ms, 0); /* waiting does not help */
    assert_non_null(strstr(f.message, "100 rows"));
    assert_true(om_tenant_claim_room(t, &nothing, &f));
    /* 60 of them were there already. */
    om_tenant_settle(t, &hundred, &(om_tenant_claim){40, 200});
    use_is(t, 40, 200);
    assert_true(om_tenant_claim_room(t, &(om_tenant_claim){60, 0}, &f));
    om_tenant_settle(t, &(om_tenant_claim){60, 0}, &nothing); /* it failed */
    use_is(t, 40, 200);
    assert_false(om_tenant_claim_room(t, &(om_tenant_claim){1, 801}, &f));
    assert_refused(&f, "QUOTA");
    assert_string_equal(f.quota, "acme/bytes");
    assert_true(
        om_tenant_claim_room(t, &(om_tenant_claim){60, 800}, &f)); /* nothing was left claimed */
    om_tenants_free(tenants);
}

static void test_measured_use(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    om_tenant *t = make(tenants, (om_tenant_limits){.rows = 100});
    om_failure f;
    om_tenant_claim ten = {10, 0};
    om_tenant_claim before = {30, 0};
    assert_true(om_tenant_claim_room(t, &before, &f)); /* under way for long */
    om_tenant_look_t look = om_tenant_look(t);
    assert_true(om_tenant_claim_room(t, &ten, &f));
    om_tenant_settle(t, &ten, &ten); /* while it was measured: stays on top */
    om_tenant_used(t, look, 50, 0);
    use_is(t, 60, 0);
    assert_true(om_tenant_claim_room(t, &ten, &f));
    assert_false(om_tenant_claim_room(t, &(om_tenant_claim){1, 0}, &f)); /* 60 + 30 + 10 */
    om_tenant_settle(t, &before, &(om_tenant_claim){0, 0});
    om_tenant_settle(t, &ten, &(om_tenant_claim){0, 0});
    /* Deletes are seen at the next look. */
    om_tenant_used(t, om_tenant_look(t), 5, 0);
    use_is(t, 5, 0);
    assert_true(om_tenant_claim_room(t, &(om_tenant_claim){95, 0}, &f));
    /* A quota below what is stored takes nothing more, and takes nothing away. */
    (void)make(tenants, (om_tenant_limits){.rows = 3});
    assert_false(om_tenant_claim_room(t, &(om_tenant_claim){1, 0}, &f));
    (void)make(tenants, (om_tenant_limits){0});
    assert_false(om_tenants_metered(tenants));
    assert_true(om_tenant_claim_room(t, &(om_tenant_claim){1000, 0}, &f));
    om_tenants_free(tenants);
}

enum { THREADS = 8, TRIES = 20000 };
typedef struct crowd {
    om_tenant *tenant;
    _Atomic uint32_t inside, most;
    _Atomic uint64_t taken, rows;
} crowd;

static void *visit(void *arg)
{
    crowd *c = arg;
    om_failure f;
    for (uint32_t i = 0; i < TRIES; i++) {
        om_tenant_claim claim = {1 + i % 7, 0};
        if (om_tenant_enter(c->tenant, SECOND + i * UINT64_C(10000), false, &f)) {
            uint32_t now = atomic_fetch_add(&c->inside, 1) + 1;
            uint32_t most = atomic_load(&c->most);
            while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now)) {
            }
            atomic_fetch_add(&c->taken, 1);
            atomic_fetch_sub(&c->inside, 1);
            om_tenant_leave(c->tenant, false);
        }
        if (om_tenant_claim_room(c->tenant, &claim, &f)) {
            om_tenant_claim added = {i % 2 == 0 ? claim.rows : 0, 0};
            atomic_fetch_add(&c->rows, added.rows);
            om_tenant_settle(c->tenant, &claim, &added);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    om_tenants *tenants = om_tenants_create();
    pthread_t threads[THREADS];
    crowd c = {.tenant = make(
                   tenants,
                   (om_tenant_limits){.calls_at_once = 3, .calls_a_second = 20000, .rows = 50000})};
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &c), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&c.most) <= 3);
    /* Their clocks run 0.2 s, from the same start: a full bucket and a fifth of a second. */
    assert_true(atomic_load(&c.taken) <= 20000 + 4000 + 1);
    uint64_t rows = atomic_load(&c.rows);
    use_is(c.tenant, rows, 0);
    assert_true(rows <= 50000);
    assert_true(rows > 50000 - 7);
    om_failure f;
    for (uint32_t i = 0; i < 3; i++) { /* nobody was left inside */
        assert_true(om_tenant_enter(c.tenant, 1000 * SECOND, false, &f));
    }
    assert_false(om_tenant_enter(c.tenant, 1000 * SECOND, false, &f));
    om_tenants_free(tenants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_unlimited),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_over_time),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_refusals_cost_nothing),
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_measured_use),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
