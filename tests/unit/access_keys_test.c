/* access_keys_test.c - keys from their making to their end, over restarts, and what is refused at a start.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access_fixture.h"

static const char boot[] = "bootstrap-key-of-the-test-0123456789abcdef";

typedef struct seen {
    int count;
    uint64_t number;
    char id[32], name[64], tenant[64], certificate[300];
    int64_t expires, revoked;
    uint32_t grants, role;
} seen;

static void see(void *ctx, const om_key *key)
{
    seen *s = ctx;
    s->count++;
    s->number = key->number;
    (void)snprintf(s->id, sizeof s->id, "%s", key->id);
    (void)snprintf(s->name, sizeof s->name, "%s", key->name);
    (void)snprintf(s->tenant, sizeof s->tenant, "%s", key->tenant);
    (void)snprintf(s->certificate, sizeof s->certificate, "%s", key->certificate);
    s->expires = key->expires;
    s->revoked = key->revoked;
    s->grants = key->grant_count;
    s->role = key->grants[0].role;
}

static const om_grant read_all = {OM_ROLE_READ, "*"};

/* Makes a key; its secret. */
static const char *make(om_access *access, const char *name, const char *certificate, seen *out)
{
    static char secret[OM_ACCESS_SECRET + 1];
    om_failure f;
    memset(out, 0, sizeof *out);
    om_key_request q = {.name = name,
                        .tenant = "",
                        .certificate = certificate,
                        .grants = &read_all,
                        .grant_count = 1,
                        .tell = see,
                        .ctx = out};
    if (!om_access_create_key(access, &q, secret, &f)) {
        fail_msg("%s", f.message);
    }
    return secret;
}

static om_access_options with_catalog(void)
{
    things_write("boot", boot, 0600);
    return (om_access_options){.catalog = strdup(things_path("keys.db")),
                               .bootstrap_file = strdup(things_path("boot"))};
}

static void end(om_access *access, om_access_options *o)
{
    om_access_free(access);
    free((void *)(uintptr_t)o->catalog);
    free((void *)(uintptr_t)o->bootstrap_file);
}

static size_t count_keys(om_access *access, bool all)
{
    seen s = {.count = 0};
    om_failure f;
    om_key_page page = {.most = 100000, .all = all, .tell = see, .ctx = &s};
    assert_true(om_access_list_keys(access, &page, &f));
    return (size_t)s.count;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void nobody_is_asked(void **state)
{
    om_failure f;
    om_access_options none = {.catalog = NULL};
    (void)state;
    om_access *access = things_start(&none);
    assert_false(om_access_required(access));
    const om_principal *who = identify_with(access, "anything", &f);
    assert_non_null(who);
    assert_int_equal(who->kind, OM_BY_NOBODY);
    assert_true(om_principal_may_some(who, OM_VERB_ADMIN));
    assert_string_equal(om_tenant_name(who->tenant), "default");
    om_principal_release(who);
    assert_false(om_access_revoke_key(access, "x", see, NULL, &f));
    assert_string_equal(f.reason, "NO_CATALOG");
    assert_null(om_access_set_tenant(access, "acme", &(om_tenant_limits){0}, &f));
    assert_string_equal(f.reason, "NO_CATALOG");
    om_access_free(access);
}

/* What a caller left behind must not be found by the next one of that name. */
static void a_name_is_given_again_an_identity_is_not(void **state)
{
    om_failure f;
    seen s;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    const om_principal *first = identify_with(access, make(access, "reader", "", &s), &f);
    assert_non_null(first);
    assert_true(om_access_revoke_key(access, "reader", see, &s, &f));
    const om_principal *second = identify_with(access, make(access, "reader", "", &s), &f);
    assert_non_null(second);
    assert_string_equal(first->name, second->name);
    assert_memory_not_equal(first->identity, second->identity, sizeof first->identity);
    const om_principal *third = identify_with(access, boot, &f);
    assert_memory_not_equal(third->identity, second->identity, sizeof third->identity);
    om_principal_release(first);
    om_principal_release(second);
    om_principal_release(third);
    end(access, &o);
}

static void a_key_lives_and_ends(void **state)
{
    om_failure f;
    seen s;
    char secret[64];
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    assert_true(om_access_required(access));
    (void)snprintf(secret, sizeof secret, "%s", make(access, "reader", "", &s));
    assert_int_equal(strlen(secret), OM_ACCESS_SECRET);
    assert_memory_equal(secret, "omen_", 5);
    assert_int_equal(strlen(s.id), 16);
    assert_int_equal(s.count, 1);
    const om_principal *who = identify_with(access, secret, &f);
    assert_non_null(who);
    assert_string_equal(who->name, "reader");
    assert_int_equal(who->kind, OM_BY_KEY);
    const om_principal *again = identify_with(access, secret, &f); /* from the cache */
    assert_ptr_equal(who, again);
    om_principal_release(again);
    assert_true(om_principal_still(who));

    /* A restart knows it; a changed secret is nobody's. */
    om_principal_release(who);
    om_access_free(access);
    access = things_start(&o);
    who = identify_with(access, secret, &f);
    assert_non_null(who);
    secret[20] ^= 1;
    refused_for(access, secret, "CREDENTIAL_INVALID");
    secret[20] ^= 1;

    memset(&s, 0, sizeof s);
    (void)snprintf(s.id, sizeof s.id, "reader");
    assert_true(om_access_revoke_key(access, "reader", see, &s, &f));
    assert_true(s.revoked > 0);
    /* The call that runs hears of it, new ones too, now and after a restart. */
    assert_false(om_principal_still(who));
    om_principal_release(who);
    refused_for(access, secret, "CREDENTIAL_REVOKED");
    assert_false(om_access_revoke_key(access, "reader", see, &s, &f));
    assert_string_equal(f.reason, "KEY_NOT_FOUND");
    assert_int_equal(count_keys(access, false), 0);
    assert_int_equal(count_keys(access, true), 1);
    (void)make(access, "reader", "", &s); /* the name is free again */
    end(access, &o);
}

static void a_revoked_key_stays_revoked(void **state)
{
    om_failure f;
    seen s;
    char secret[64];
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    (void)snprintf(secret, sizeof secret, "%s", make(access, "gone", "", &s));
    om_principal_release(identify_with(access, secret, &f));
    assert_true(om_access_revoke_key(access, s.id, see, &s, &f)); /* by its id */
    refused_for(access, secret, "CREDENTIAL_REVOKED");
    om_access_free(access);
    access = things_start(&o);
    refused_for(access, secret, "CREDENTIAL_REVOKED");
    end(access, &o);
}

static void expired_keys_are_told_apart(void **state)
{
    seen s;
    char secret[64];
    sqlite3 *db = NULL;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    (void)snprintf(secret, sizeof secret, "%s", make(access, "short", "", &s));
    om_access_free(access);
    assert_int_equal(sqlite3_open(o.catalog, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE keys SET expires = 1000000 WHERE name = 'short'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    access = things_start(&o);
    refused_for(access, secret, "CREDENTIAL_EXPIRED");
    refused_for(access, "omen_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "CREDENTIAL_INVALID");
    end(access, &o);
}

/* Made while the catalogue is in use; a server starts on it and knows the keys. */
static void a_copy_of_the_catalogue(void **state)
{
    char why[256] = "";
    char kept[OM_ACCESS_SECRET + 1];
    struct stat st;
    om_failure f;
    seen s;
    om_access_options o = with_catalog();
    const char *folder = things_path(".");
    (void)state;
    om_access *access = things_start(&o);
    (void)snprintf(kept, sizeof kept, "%s", make(access, "app", "", &s));
    assert_true(om_access_copy(access, folder, why, sizeof why));
    assert_true(om_access_copy(access, folder, why, sizeof why)); /* again, over the first */
    (void)make(access, "later", "", &s);
    assert_false(om_access_copy(access, things_path("no/such"), why, sizeof why));
    assert_non_null(strstr(why, "No such file"));
    assert_true(om_access_copy(NULL, folder, why, sizeof why));
    const char *copy = things_path(OM_ACCESS_COPY);
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    om_access_options other = {.catalog = strdup(copy), .bootstrap_file = o.bootstrap_file};
    om_access *restored =
        things_start(&other); /* while the first one runs: it is a file of its own */
    const om_principal *who = identify_with(restored, kept, &f);
    assert_non_null(who);
    assert_string_equal(who->name, "app");
    om_principal_release(who);
    assert_int_equal(count_keys(restored, true), 1);
    om_access_free(restored);
    free((void *)(uintptr_t)other.catalog);
    end(access, &o);
}

/* A certificate that no key names: the audit log says which names were read out of it. */
static void unknown_certificates(void **state)
{
    char line[4096] = "";
    om_failure f;
    om_access_options o = with_catalog();
    om_certificate_name names_[] = {{"spiffe://a/b", 12}, {"no\"de", 5}};
    om_credentials c = {.certificates = names_, .certificate_count = 2};
    (void)state;
    o.certificate_identities = true;
    o.audit_file = strdup(things_path("audit"));
    om_access *access = things_start(&o);
    assert_null(om_access_identify(access, &c, &f));
    assert_string_equal(f.reason, "CREDENTIAL_INVALID");
    FILE *file = fopen(o.audit_file, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(line, "\"why\":\"no key names this certificate\""));
    assert_non_null(strstr(line, "\"certificates\":\"spiffe://a/b, no\\u0022de\""));
    free((void *)(uintptr_t)o.audit_file);
    o.audit_file = NULL;
    end(access, &o);
}

static void certificates(void **state)
{
    om_failure f;
    seen s;
    om_access_options o = with_catalog();
    (void)state;
    o.certificate_identities = true;
    om_access *access = things_start(&o);
    assert_string_equal(make(access, "node", "spiffe://cluster/ns/a", &s), "");
    assert_string_equal(s.certificate, "spiffe://cluster/ns/a");
    const om_principal *who = identify_by(access, "spiffe://cluster/ns/a", &f);
    assert_non_null(who);
    assert_int_equal(who->kind, OM_BY_CERTIFICATE);
    om_principal_release(who);
    assert_null(identify_by(access, "spiffe://cluster/ns/b", &f));
    assert_string_equal(f.reason, "CREDENTIAL_INVALID");
    assert_null(identify_by(access, "node", &f)); /* the key's name is not the certificate's */
    refused_for(access, "spiffe://cluster/ns/a", "CREDENTIAL_INVALID"); /* nor is it a secret */

    /* Of several names the first that is known counts; a bad key is not made up for by a certificate. */
    om_certificate_name names_[] = {{"unknown", 7}, {"spiffe://cluster/ns/a", 21}};
    om_credentials c = {.certificates = names_, .certificate_count = 2};
    who = om_access_identify(access, &c, &f);
    assert_non_null(who);
    om_principal_release(who);
    c.authorization = "Bearer nonsense";
    c.authorization_size = strlen(c.authorization);
    assert_null(om_access_identify(access, &c, &f));

    assert_true(om_access_revoke_key(access, "node", see, &s, &f));
    assert_null(identify_by(access, "spiffe://cluster/ns/a", &f));
    assert_string_equal(f.reason, "CREDENTIAL_REVOKED");
    (void)make(access, "node2", "spiffe://cluster/ns/a", &s); /* given again */
    who = identify_by(access, "spiffe://cluster/ns/a", &f);
    assert_non_null(who);
    assert_string_equal(who->name, "node2");
    om_principal_release(who);
    om_access_free(access);
    o.certificate_identities = false; /* then they are nothing */
    access = things_start(&o);
    assert_null(identify_by(access, "spiffe://cluster/ns/a", &f));
    assert_string_equal(f.reason, "CREDENTIAL_MISSING");
    end(access, &o);
}

static void headers(void **state)
{
    static const char *const bad[] = {"",           "Bearer",      "Bearer ",
                                      "Basic abc",  "bearer\tabc", "Bearerabc",
                                      "Bearer a b", "Bearer a\nb", "Bearer \xc3\xa4"};
    char header[96];
    om_failure f;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        om_credentials c = {.authorization = bad[i], .authorization_size = strlen(bad[i])};
        assert_null(om_access_identify(access, &c, &f));
        assert_string_equal(f.reason, "CREDENTIAL_INVALID");
    }
    om_credentials none = {.peer = "here"};
    assert_null(om_access_identify(access, &none, &f));
    assert_string_equal(f.reason, "CREDENTIAL_MISSING");
    static const char *const schemes[] = {"Bearer ", "bearer ", "BEARER   "};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(header, sizeof header, "%s%s", schemes[i], boot);
        om_credentials c = {.authorization = header, .authorization_size = strlen(header)};
        const om_principal *who = om_access_identify(access, &c, &f);
        assert_non_null(who);
        assert_int_equal(who->kind, OM_BY_BOOTSTRAP);
        om_principal_release(who);
        c.authorization_size--; /* less than the key is no key */
        assert_null(om_access_identify(access, &c, &f));
    }
    end(access, &o);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static void bad_requests(void **state)
{
    seen s;
    om_failure f;
    char secret[OM_ACCESS_SECRET + 1];
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    om_grant many[OM_ACCESS_MAX_GRANTS + 1];
    for (size_t i = 0; i <= OM_ACCESS_MAX_GRANTS; i++) {
        many[i] = read_all;
    }
    const om_key_request good = {.name = "a",
                                 .tenant = "",
                                 .certificate = "",
                                 .grants = many,
                                 .grant_count = OM_ACCESS_MAX_GRANTS,
                                 .tell = see,
                                 .ctx = &s};
    om_key_request q = good;
    q.name = "A";
    assert_false(om_access_create_key(access, &q, secret, &f));
    assert_string_equal(f.reason, "NAME");
    q = good;
    q.name = "0123456789abcdef"; /* like an id */
    assert_false(om_access_create_key(access, &q, secret, &f));
    q = good;
    q.tenant = "acme";
    assert_false(om_access_create_key(access, &q, secret, &f));
    assert_string_equal(f.reason, "TENANT_NOT_FOUND");
    q = good;
    q.grant_count = OM_ACCESS_MAX_GRANTS + 1;
    assert_false(om_access_create_key(access, &q, secret, &f));
    q.grant_count = 0;
    assert_false(om_access_create_key(access, &q, secret, &f));
    assert_string_equal(f.field, "grants");
    q = good;
    q.expires = om_access_now() - 1;
    assert_false(om_access_create_key(access, &q, secret, &f));
    assert_string_equal(f.reason, "EXPIRY");
    q = good;
    q.certificate = "a b";
    assert_false(om_access_create_key(access, &q, secret, &f));
    for (uint32_t role = 0; role < 6; role += 4) { /* 0 and 4 */
        q = good;
        many[0].role = role;
        assert_false(om_access_create_key(access, &q, secret, &f));
        assert_string_equal(f.reason, "ROLE");
    }
    many[0] = (om_grant){OM_ROLE_READ, "a*b"};
    assert_false(om_access_create_key(access, &good, secret, &f));
    assert_string_equal(f.field, "grants.collection");
    many[0] = read_all;
    assert_int_equal(count_keys(access, true), 0);
    assert_true(om_access_create_key(access, &good, secret, &f));
    assert_false(om_access_create_key(access, &good, secret, &f));
    assert_string_equal(f.reason, "KEY_EXISTS");
    om_access_free(access);
    access = things_start(&o);
    assert_int_equal(count_keys(access, false), 1);
    end(access, &o);
}

static void pages(void **state)
{
    char name[16];
    seen s;
    om_failure f;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    for (int i = 0; i < 25; i++) {
        (void)snprintf(name, sizeof name, "k%d", i);
        (void)make(access, name, "", &s);
    }
    uint64_t after = 0;
    int total = 0;
    for (int page = 0; page < 3; page++) {
        memset(&s, 0, sizeof s);
        om_key_page p = {.after = after, .most = 10, .tell = see, .ctx = &s};
        assert_true(om_access_list_keys(access, &p, &f));
        assert_int_equal(s.count, page < 2 ? 10 : 5);
        after = s.number;
        total += s.count;
    }
    assert_int_equal(total, 25);
    end(access, &o);
}

static void tenants_and_owners(void **state)
{
    om_failure f;
    seen s;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    om_tenant_limits limits = {.rows = 5, .bytes = UINT64_MAX, .weight = 3};
    om_tenant *acme = om_access_set_tenant(access, "acme", &limits, &f);
    assert_non_null(acme);
    assert_null(om_access_set_tenant(access, "Acme", &limits, &f));
    assert_true(om_access_own(access, "films", acme, &f));
    assert_ptr_equal(om_access_owner(access, "films"), acme);
    assert_string_equal(om_tenant_name(om_access_owner(access, "other")), "default");
    for (int i = 0; i < 2000; i++) { /* the table grows */
        char name[16];
        (void)snprintf(name, sizeof name, "c%d", i);
        if (i < 50) {
            assert_true(om_access_own(access, name, acme, &f));
        }
        assert_int_equal(om_access_owner(access, name) == acme, i < 50);
    }
    assert_true(om_access_disown(access, "c7", &f));
    om_key_request q = {.name = "a",
                        .tenant = "acme",
                        .certificate = "",
                        .grants = &read_all,
                        .grant_count = 1,
                        .tell = see,
                        .ctx = &s};
    char secret[OM_ACCESS_SECRET + 1];
    assert_true(om_access_create_key(access, &q, secret, &f));
    om_access_free(access);
    access = things_start(&o);
    acme = om_tenants_find(om_access_tenants(access), "acme");
    assert_non_null(acme);
    om_tenant_limits back;
    om_tenant_get(acme, &back, NULL, NULL);
    assert_int_equal(back.rows, 5);
    assert_true(back.bytes == UINT64_MAX);
    assert_int_equal(back.weight, 3);
    assert_ptr_equal(om_access_owner(access, "films"), acme);
    assert_string_equal(om_tenant_name(om_access_owner(access, "c7")), "default");
    const om_principal *who = identify_with(access, secret, &f);
    assert_ptr_equal(who->tenant, acme);
    om_principal_release(who);
    end(access, &o);
}

static void only_so_many_are_remembered(void **state)
{
    char name[16];
    seen s;
    om_failure f;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    for (int i = 0; i < OM_REVOKED_KEPT + 5; i++) {
        (void)snprintf(name, sizeof name, "k%d", i);
        (void)make(access, name, "", &s);
        assert_true(om_access_revoke_key(access, name, see, &s, &f));
    }
    assert_int_equal(count_keys(access, true), OM_REVOKED_KEPT);
    om_access_free(access);
    access = things_start(&o);
    assert_int_equal(count_keys(access, true), OM_REVOKED_KEPT);
    end(access, &o);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void bootstrap_is_replaced_without_a_gap(void **state)
{
    static const char second[] = "second-bootstrap-key-0123456789abcdefghij";
    char both[128];
    om_failure f;
    om_access_options o = with_catalog();
    (void)state;
    om_access *access = things_start(&o);
    const om_principal *who = identify_with(access, boot, &f);
    assert_non_null(who);
    (void)snprintf(both, sizeof both, "# old and new\n%s\n\n%s \r\n", boot, second);
    things_write("boot", both, 0640);
    om_access_tick(access, false);
    assert_true(om_principal_still(who)); /* a call that runs is not disturbed */
    om_principal_release(identify_with(access, second, &f));
    things_write("boot", "too short", 0600); /* bad: the keys from before stay */
    om_access_tick(access, false);
    assert_true(om_principal_still(who));
    things_write("boot", second, 0604); /* everybody could read it */
    om_access_tick(access, true);
    assert_true(om_principal_still(who));
    things_write("boot", second, 0600);
    om_access_tick(access, false);
    assert_false(om_principal_still(who));
    om_principal_release(who);
    refused_for(access, boot, "CREDENTIAL_INVALID");
    assert_int_equal(unlink(things_path("boot")), 0);
    om_access_tick(access, true);
    who = identify_with(access, second, &f);
    assert_non_null(who);
    om_principal_release(who);
    end(access, &o);
}

static void bad_starts(void **state)
{
    char spaces[80], five[256] = "";
    (void)state;
    om_access_options o = {.bootstrap_file = strdup(things_path("b"))};
    (void)unlink(o.bootstrap_file);
    things_refuse(&o, "No such file");
    things_write("b", "", 0600);
    things_refuse(&o, "it holds no key");
    things_write("b", "0123456789012345678901234567890", 0600); /* 31 */
    things_refuse(&o, "32 to 512 characters");
    things_write("b", "01234567890123456789012345678901", 0600);
    om_access_free(things_start(&o));
    (void)snprintf(spaces, sizeof spaces, "%s %s", boot, "x");
    things_write("b", spaces, 0600);
    things_refuse(&o, "no spaces");
    for (int i = 0; i < 5; i++) {
        (void)snprintf(five + strlen(five), sizeof five - strlen(five),
                       "%d1234567890123456789012345678901\n", i);
    }
    things_write("b", five, 0600);
    things_refuse(&o, "more than 4");
    things_write("b", boot, 0644);
    things_refuse(&o, "chmod");
    free((void *)(uintptr_t)o.bootstrap_file);
    o = (om_access_options){.catalog = strdup(things_path("none/x.db"))};
    things_refuse(&o, "folder must be");
    free((void *)(uintptr_t)o.catalog);
    o = (om_access_options){.certificate_identities = true};
    things_refuse(&o, "without catalog");
    o = (om_access_options){.audit_file = "/no/such/folder/a"};
    things_refuse(&o, "audit-log");
}

static void bad_catalogs(void **state)
{
    sqlite3 *db = NULL;
    seen s;
    (void)state;
    om_access_options o = {.catalog = strdup(things_path("c.db"))};
    things_refuse(&o, "no key that may make others"); /* and it is there now */
    assert_int_equal(chmod(o.catalog, 0604), 0);
    things_refuse(&o, "chmod");
    assert_int_equal(chmod(o.catalog, 0660),
                     0); /* a group is fine: volumes of Kubernetes have one */
    things_write("boot", boot, 0600);
    o.bootstrap_file = strdup(things_path("boot"));
    om_access *access = things_start(&o);
    things_refuse(&o, "another process uses it");
    (void)make(access, "a", "", &s);
    om_access_free(access);
    assert_int_equal(sqlite3_open(o.catalog, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE keys SET grants = 'rule:*'", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    things_refuse(&o, "table keys cannot be read");
    assert_int_equal(sqlite3_open(o.catalog, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    things_refuse(&o, "another version");
    assert_int_equal(sqlite3_open(o.catalog, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA application_id = 5", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    things_refuse(&o, "another program");
    things_write("c.db",
                 "this is no database at all, and long enough to have a header: "
                 "............................................................",
                 0600);
    things_refuse(&o, "not a catalog");
    if (geteuid() == 0) {
        assert_int_equal(unlink(o.catalog), 0);
        things_write("c.db", "", 0600);
        assert_int_equal(chown(o.catalog, 12345, 12345), 0);
        things_refuse(&o, "belongs to user 12345");
    }
    free((void *)(uintptr_t)o.catalog);
    free((void *)(uintptr_t)o.bootstrap_file);
}

/* ---- Audit ----------------------------------------------------------------------------------- */

static void audit_lines(void **state)
{
    char text[65536];
    om_failure f;
    om_access_options o = with_catalog();
    (void)state;
    o.audit_file = strdup(things_path("audit"));
    om_access *access = things_start(&o);
    const om_principal *who = identify_with(access, boot, &f);
    om_access_audit(access, who, "ipv4:127.0.0.1:5", "create_key", "a\"\n\xff", true);
    for (int i = 0; i < 100; i++) {
        refused_for(access, "wrong-key-that-must-never-be-in-a-log", "CREDENTIAL_INVALID");
    }
    assert_false(om_access_denied(access, who, "films", OM_VERB_WRITE, &f));
    assert_int_equal(f.code, OM_CODE_PERMISSION_DENIED);
    assert_string_equal(f.reason, "ROLE");
    assert_string_equal(f.message, "'bootstrap' may not write the collection 'films'");
    for (int i = 0; i < 200; i++) {
        om_access_audit(access, who, NULL, "backup", "b", true); /* changes are never left out */
    }
    assert_int_equal(rename(o.audit_file, things_path("rotated")), 0);
    om_access_tick(access, true);
    om_access_audit(access, who, NULL, "restore", "b", true);
    om_principal_release(who);
    FILE *file = fopen(things_path("rotated"), "re");
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(text,
                           "\"action\":\"create_key\",\"result\":\"ok\",\"object\":"
                           "\"a\\u0022\\u000a\\u00ff\",\"principal\":\"bootstrap\",\"by\":"
                           "\"bootstrap\",\"tenant\":\"default\",\"peer\":\"ipv4:127.0.0.1:5\"}"));
    assert_null(strstr(text, "wrong-key"));
    assert_null(strstr(text, boot));
    size_t lines = 0, refused = 0, backups = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    for (const char *at = text; (at = strstr(at, "\"refused\"")) != NULL; at++) {
        refused++;
    }
    for (const char *at = text; (at = strstr(at, "\"backup\"")) != NULL; at++) {
        backups++;
    }
    assert_int_equal(backups, 200);
    assert_true(refused >= 20 && refused < 100);
    assert_int_equal(lines, 1 + refused + backups);
    struct stat st;
    assert_int_equal(stat(things_path("audit"), &st), 0);
    assert_true(st.st_size > 0 && (st.st_mode & 0777) == 0600);
    free((void *)(uintptr_t)o.audit_file);
    end(access, &o);
}

static void collections_are_counted(void **state)
{
    om_failure f;
    om_access_options o = with_catalog();
    (void)state;
    o.max_collections = 2;
    om_access *access = things_start(&o);
    om_tenant_limits limits = {0};
    om_tenant *acme = om_access_set_tenant(access, "acme", &limits, &f);
    om_tenant *other = om_access_set_tenant(access, "other", &limits, &f);
    om_tenant *everybody = om_access_owner(access, "nobody-knows");
    assert_true(om_access_own(access, "a", acme, &f) && om_access_own(access, "b", acme, &f));
    assert_false(om_access_own(access, "c", acme, &f));
    assert_int_equal(f.code, OMEN_RESOURCE_EXHAUSTED);
    assert_string_equal(f.reason, "QUOTA");
    assert_string_equal(f.quota, "acme/collections");
    assert_ptr_equal(om_access_owner(access, "c"), everybody);
    assert_true(om_access_own(access, "b", acme, &f)); /* it is one of the two */
    assert_true(om_access_own(access, "c", other, &f));
    for (char name[] = "m"; name[0] < 'z'; name[0]++) {
        assert_true(om_access_own(access, name, everybody, &f));
    }
    assert_true(om_access_disown(access, "a", &f));
    assert_true(om_access_own(access, "d", acme, &f));
    end(access, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked),
        cmocka_unit_test_setup_teardown(a_key_lives_and_ends, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(a_name_is_given_again_an_identity_is_not, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(a_revoked_key_stays_revoked, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(expired_keys_are_told_apart, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(certificates, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(a_copy_of_the_catalogue, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(unknown_certificates, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(headers, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(bad_requests, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(pages, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(tenants_and_owners, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(only_so_many_are_remembered, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(bootstrap_is_replaced_without_a_gap, things_set_up,
                                        things_tear_down),
        cmocka_unit_test_setup_teardown(bad_starts, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(bad_catalogs, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(collections_are_counted, things_set_up, things_tear_down),
        cmocka_unit_test_setup_teardown(audit_lines, things_set_up, things_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
