/* service_shares_test.c - the tables of listings and of operations between callers: who makes place for whom,
 * whose they are, and what is kept for administrators.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#include "listings.h"
#include "operations.h"
#include "tenants.h"

#define SECOND UINT64_C(1000000000)
enum { COLLECTIONS = OM_OPERATIONS_SHARED + 1, FREE = OM_OPERATIONS_SHARED, PATIENCE = 30000 };

static omen_db *db;
static om_access *access_;
static om_tenants *tenants;
static om_colls *colls;
static om_rt_shared shared;
static _Atomic uint64_t now = 5 * SECOND;
static char folder[64], fifo[80];
static int gate = -1; /* the reading end of what the log goes to */
static const om_grant everything = {OM_ROLE_MANAGE, "*"};
static const om_grant manages = {OM_ROLE_MANAGE, "c*"};
static const om_grant reads = {OM_ROLE_READ, "c*"};
static om_principal admin;

static uint64_t fake_now(void)
{
    return atomic_load(&now);
}

/* identity: up to 15 bytes, which are no other's. */
static om_principal caller(const char *identity, const char *tenant, const om_grant *grant)
{
    om_principal p = {.name = "same", .kind = OM_BY_KEY, .grant_count = 1, .grants = grant};
    assert_true(strlen(identity) < sizeof p.identity);
    memcpy(p.identity, identity, strlen(identity));
    p.tenant = om_tenants_find(tenants, tenant);
    if (p.tenant == NULL) {
        p.tenant = om_tenants_set(tenants, tenant, &(om_tenant_limits){0});
    }
    assert_non_null(p.tenant);
    return p;
}

static int set_up(void **state)
{
    om_access_options nothing = {.catalog = NULL};
    char why[256], name[8];
    omen_options opt = {.struct_size = sizeof opt, .dim = 2};
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/service_shares.XXXXXX");
    access_ = om_access_create(&nothing, why, sizeof why);
    if (mkdtemp(folder) == NULL || access_ == NULL ||
        omen_db_open(NULL, NULL, &db, NULL) != OMEN_OK) {
        return -1;
    }
    (void)snprintf(fifo, sizeof fifo, "%s/log", folder);
    tenants = om_access_tenants(access_);
    shared.opt.db = db;
    shared.opt.access = access_;
    (void)snprintf(shared.epoch, sizeof shared.epoch, "epoch");
    colls = om_colls_create(db, NULL);
    for (int i = 0; i < COLLECTIONS; i++) {
        omen_collection *handle = NULL;
        (void)snprintf(name, sizeof name, "c%d", i);
        if (omen_create(db, name, &opt, &handle, NULL) != OMEN_OK) {
            return -1;
        }
        omen_collection_free(handle);
    }
    admin = caller("admin", "default", &everything);
    return mkfifo(fifo, 0600);
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    om_colls_free(colls);
    omen_db_free(db);
    om_access_free(access_);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static om_coll *coll_of(int i)
{
    char name[8];
    om_coll *coll = NULL;
    (void)snprintf(name, sizeof name, "c%d", i % COLLECTIONS);
    assert_int_equal(om_colls_get(colls, name, &coll, NULL), OMEN_OK);
    return coll;
}

/* ---- Listings -------------------------------------------------------------------------------- */

/* Begins one and leaves it between two pages; 0: refused. */
static uint64_t list(om_cursors *c, const om_principal *who)
{
    om_cursor cursor = {.coll = coll_of(0)};
    assert_int_equal(omen_snapshot(cursor.coll->handle, &cursor.snapshot, NULL), OMEN_OK);
    if (!om_cursors_add(c, who, &cursor)) {
        return 0;
    }
    om_cursors_give(c, cursor.id, false);
    atomic_fetch_add(&now, 1);
    return cursor.id;
}

static bool has(om_cursors *c, const om_principal *who, uint64_t id)
{
    om_cursor cursor;
    bool there = om_cursors_take(c, who, id, &cursor);
    if (there) {
        om_cursors_give(c, id, false);
    }
    return there;
}

static void a_caller_ends_its_own_listings(void **state)
{
    om_principal greedy = caller("greedy", "w", &reads), beside = caller("beside", "w", &reads);
    om_principal late = caller("late", "late", &reads);
    (void)state;
    om_cursors *c = om_cursors_create(fake_now);
    uint64_t kept = list(c, &admin), small = list(c, &beside), first = list(c, &greedy);
    for (int i = 0; i < 3 * OM_CURSORS_MAX; i++) {
        assert_int_not_equal(list(c, &greedy), 0);
    }
    assert_false(has(c, &greedy, first));
    assert_true(has(c, &admin, kept) && has(c, &beside, small));
    /* Who has fewer finds a place, of who has most. */
    uint64_t ids[OM_CURSORS_MAX / 2];
    for (int i = 0; i < OM_CURSORS_MAX / 4; i++) {
        ids[i] = list(c, &late);
        assert_int_not_equal(ids[i], 0);
    }
    for (int i = 0; i < OM_CURSORS_MAX / 4; i++) {
        assert_true(has(c, &late, ids[i]));
    }
    assert_true(has(c, &admin, kept) && has(c, &beside, small));
    om_cursors_free(c);
}

static void a_listing_is_of_who_began_it(void **state)
{
    om_principal one = caller("one", "w", &reads), other = caller("other", "w", &reads);
    (void)state;
    om_cursors *c = om_cursors_create(fake_now);
    uint64_t id = list(c, &one);
    assert_false(has(c, &other, id));
    assert_false(has(c, &admin, id));
    assert_true(has(c, &one, id));
    om_cursors_free(c);
}

static void many_tenants_wait_for_each_other(void **state)
{
    uint64_t ids[OM_CURSORS_MAX];
    om_principal each[OM_CURSORS_MAX], more = caller("more", "more", &reads);
    char name[16];
    (void)state;
    om_cursors *c = om_cursors_create(fake_now);
    for (int i = 0; i < OM_CURSORS_MAX; i++) {
        (void)snprintf(name, sizeof name, "tenant-%d", i);
        each[i] = caller(name, name, &reads);
        ids[i] = list(c, &each[i]);
    }
    assert_int_equal(list(c, &more), 0); /* nobody has more than one */
    atomic_fetch_add(&now, OM_CURSORS_REST_S * SECOND);
    for (int i = 1; i < OM_CURSORS_MAX; i++) {
        assert_true(has(c, &each[i], ids[i]));
    }
    assert_int_not_equal(list(c, &more), 0); /* in the place of what rested */
    assert_false(has(c, &each[0], ids[0]));
    assert_true(has(c, &each[1], ids[1]));
    om_cursors_free(c);
}

/* ---- Operations ------------------------------------------------------------------------------ */

/* No operation ends while it is shut: the line that tells its end finds the pipe full. */
static om_slog *shut_gate(void)
{
    static const char filling[4096];
    om_slog_options opt = {.level = OMEN_LOG_INFO, .path = fifo};
    gate = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(gate >= 0);
    while (write(gate, filling, sizeof filling) > 0 || write(gate, filling, 1) > 0) {
    }
    om_slog *log = om_slog_create(&opt);
    assert_non_null(log);
    return log;
}

static void open_gate(void)
{
    char buffer[4096];
    while (read(gate, buffer, sizeof buffer) > 0) {
    }
}

static bool optimize(om_operations *ops, const om_principal *who, int i, om_operation_view *v,
                     om_failure *f)
{
    om_operation_request q = {.kind = OM_OPERATION_OPTIMIZE, .name = "", .other = "", .who = who};
    q.coll = coll_of(i);
    bool ok = om_operations_start(ops, &q, v, f);
    om_coll_release(q.coll);
    return ok;
}

static om_operation_view checkpoint(om_operations *ops)
{
    om_operation_request q = {
        .kind = OM_OPERATION_CHECKPOINT, .name = "", .other = "", .who = &admin};
    om_operation_view v;
    om_failure f;
    assert_true(om_operations_start(ops, &q, &v, &f));
    return v;
}

/* Until it is in this state or beyond; for an administrator. */
static void wait_for(om_operations *ops, const char *id, uint32_t at_least)
{
    struct timespec a_little = {0, 1000000};
    om_operation_view v;
    om_failure f;
    for (int i = 0; i < PATIENCE; i++) {
        assert_true(om_operations_get(ops, &admin, id, &v, &f));
        if (v.state >= at_least) {
            return;
        }
        (void)nanosleep(&a_little, NULL);
    }
    fail_msg("%s stays in state %u", id, v.state);
}

static void fails_for_rate(om_operations *ops, const om_principal *who, const char *whose)
{
    om_operation_view v;
    om_failure f;
    assert_false(optimize(ops, who, FREE, &v, &f));
    assert_int_equal(f.code, OMEN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(f.message, whose));
    assert_string_equal(f.reason, "RATE");
    assert_true(f.retry_ms > 0);
}

static void managers_leave_room_for_administrators(void **state)
{
    static const char *const names[] = {"t1", "t2", "t3"};
    om_operation_view v;
    om_failure f;
    int next = 0;
    (void)state;
    shared.opt.log = shut_gate();
    om_operations *ops = om_operations_create(&shared, fake_now);
    for (size_t t = 0; t < sizeof names / sizeof *names; t++) {
        om_principal a = caller(names[t], names[t], &manages), b = a, c = a;
        b.identity[15] = 'b';
        c.identity[15] = 'c';
        for (int i = 0; i < OM_OPERATIONS_OWN; i++) {
            assert_true(optimize(ops, &a, next++, &v, &f));
        }
        fails_for_rate(ops, &a, "of yours");
        for (int i = 0; i < OM_OPERATIONS_OWN; i++) {
            assert_true(optimize(ops, &b, next++, &v, &f));
        }
        fails_for_rate(ops, &c, "of your tenant");
    }
    assert_int_equal(next, OM_OPERATIONS_SHARED);
    om_principal late = caller("late", "late", &manages);
    fails_for_rate(ops, &late, "of collections");
    om_operation_view backup = checkpoint(ops); /* finds a place, and a thread */
    wait_for(ops, backup.id, OM_OPERATION_RUNNING);
    open_gate();
    om_operations_free(ops);
    om_slog_free(shared.opt.log);
    shared.opt.log = NULL;
    (void)close(gate);
}

static void one_under_way_answers_for_the_next(void **state)
{
    om_principal a = caller("a", "t1", &manages), b = caller("b", "t2", &manages);
    om_operation_view v, other;
    om_failure f;
    char id[sizeof v.id];
    (void)state;
    shared.opt.log = shut_gate();
    om_operations *ops = om_operations_create(&shared, fake_now);
    assert_true(optimize(ops, &a, 1, &v, &f));
    memcpy(id, v.id, sizeof id);
    for (int i = 0; i < OM_OPERATIONS_MAX; i++) {
        assert_true(optimize(ops, &a, 1, &v, &f));
        assert_string_equal(v.id, id);
    }
    assert_false(om_operations_get(ops, &b, id, &v, &f));
    assert_true(optimize(ops, &b, 1, &v, &f)); /* belongs to both from now on */
    assert_string_equal(v.id, id);
    assert_true(om_operations_get(ops, &b, id, &v, &f));
    assert_true(optimize(ops, &b, 2, &other, &f));
    assert_string_not_equal(other.id, id);
    assert_true(om_operations_cancel(ops, &a, id, &v, &f));
    assert_true(optimize(ops, &a, 1, &v, &f)); /* not with one that stops */
    assert_string_not_equal(v.id, id);
    open_gate();
    wait_for(ops, v.id, OM_OPERATION_SUCCEEDED);
    om_operations_free(ops);
    om_slog_free(shared.opt.log);
    shared.opt.log = NULL;
    (void)close(gate);
}

static void operations_are_of_a_key_not_of_a_name(void **state)
{
    om_principal a = caller("key-1", "t1", &manages), namesake = caller("key-2", "t1", &manages);
    om_operation_view v, *all = calloc(OM_OPERATIONS_MAX, sizeof *all);
    om_failure f;
    (void)state;
    shared.opt.log = shut_gate();
    om_operations *ops = om_operations_create(&shared, fake_now);
    assert_true(optimize(ops, &a, 1, &v, &f));
    char id[sizeof v.id];
    memcpy(id, v.id, sizeof id);
    assert_false(om_operations_get(ops, &namesake, id, &v, &f));
    assert_false(om_operations_cancel(ops, &namesake, id, &v, &f));
    assert_string_equal(f.reason, "OPERATION_NOT_FOUND");
    assert_int_equal(om_operations_list(ops, &namesake, all), 0);
    assert_int_equal(om_operations_list(ops, &a, all), 1);
    /* The same caller with other grants, as a token may have them. */
    a.grants = &reads;
    assert_true(om_operations_get(ops, &a, id, &v, &f));
    assert_false(om_operations_cancel(ops, &a, id, &v, &f));
    assert_int_equal(f.code, OM_CODE_PERMISSION_DENIED);
    a.grant_count = 0;
    assert_false(om_operations_get(ops, &a, id, &v, &f));
    assert_int_equal(om_operations_list(ops, &a, all), 0);
    assert_int_equal(om_operations_list(ops, &admin, all), 1);
    open_gate();
    wait_for(ops, id, OM_OPERATION_SUCCEEDED); /* nobody could cancel it */
    om_operations_free(ops);
    om_slog_free(shared.opt.log);
    shared.opt.log = NULL;
    (void)close(gate);
    free(all);
}

static void ended_ones_of_others_stay(void **state)
{
    om_operation_view *all = calloc(OM_OPERATIONS_MAX, sizeof *all);
    om_operation_view v;
    om_failure f;
    char name[16];
    (void)state;
    om_operations *ops = om_operations_create(&shared, fake_now);
    om_operation_view nightly = checkpoint(ops);
    wait_for(ops, nightly.id, OM_OPERATION_SUCCEEDED);
    for (int t = 0; t < 4; t++) {
        (void)snprintf(name, sizeof name, "t%d", t);
        om_principal who = caller(name, name, &manages);
        for (int i = 0; i < OM_OPERATIONS_MAX; i++) {
            atomic_fetch_add(&now, 1);
            assert_true(optimize(ops, &who, i, &v, &f));
            wait_for(ops, v.id, OM_OPERATION_SUCCEEDED);
        }
        /* Its own went; the fourth tenant has the place of who had most. */
        size_t left = om_operations_list(ops, &who, all);
        assert_int_equal(left, t < 3 ? OM_OPERATIONS_TENANT : 1);
        assert_string_equal(all[0].id, v.id);
        assert_true(om_operations_get(ops, &admin, nightly.id, &v, &f));
    }
    for (int t = 0; t < 3; t++) {
        (void)snprintf(name, sizeof name, "t%d", t);
        om_principal who = caller(name, name, &manages);
        assert_true(om_operations_list(ops, &who, all) >= OM_OPERATIONS_TENANT - 1);
    }
    assert_int_equal(om_operations_list(ops, &admin, all), OM_OPERATIONS_SHARED + 1);
    om_operations_free(ops);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_ends_its_own_listings),
        cmocka_unit_test(a_listing_is_of_who_began_it),
        cmocka_unit_test(many_tenants_wait_for_each_other),
        cmocka_unit_test(managers_leave_room_for_administrators),
        cmocka_unit_test(one_under_way_answers_for_the_next),
        cmocka_unit_test(operations_are_of_a_key_not_of_a_name),
        cmocka_unit_test(ended_ones_of_others_stay),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
