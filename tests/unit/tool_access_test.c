/* tool_access_test.c - what the tool shows to a server and makes for it: key files, where they may go,
 * grants, ends of keys, certificates for tests. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev_certs.h"
#include "remote_access.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s", "/tmp/tool_access_test.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"key",        "ca.pem",     "ca.key",    "server.pem",
                                        "server.key", "client.pem", "client.key"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static const char *in_folder(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

static bool load(const char *address, bool plain, om_endpoint *e, om_tool_error *err)
{
    om_args args = {.server = address, .key_file = in_folder("key"), .plain_key = plain};
    return om_endpoint_load(&args, e, err);
}

static void a_key_file(void **state)
{
    (void)state;
    static const char *const good[] = {"omen_abc", "omen_abc\n", "  omen_abc \t\r\n",
                                       "\n\nomen_abc\n",
                                       "# the key of March\nomen_abc\n# and a word\n"};
    om_endpoint e;
    om_tool_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        write_file("key", good[i]);
        assert_true(load("localhost:7700", false, &e, &err));
        assert_string_equal(e.options.authorization, "Bearer omen_abc");
        om_endpoint_free(&e);
        assert_null(e.authorization);
    }
}

static void a_bad_key_file(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "\n",        "# nothing\n", "two words\n",
                                      "ctrl\x01\n", "\xc3\xa4\n"};
    om_endpoint e;
    om_tool_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file("key", bad[i]);
        assert_false(load("localhost:7700", false, &e, &err));
        assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
        assert_null(strstr(err.message, "words")); /* it may be a secret */
    }
    char *large = malloc(20001);
    assert_non_null(large);
    memset(large, 'x', 20000);
    large[20000] = '\0';
    write_file("key", large);
    assert_false(load("localhost:7700", false, &e, &err));
    large[8185] = '\0'; /* the longest one */
    write_file("key", large);
    assert_true(load("localhost:7700", false, &e, &err));
    assert_int_equal(strlen(e.authorization), 8192);
    om_endpoint_free(&e);
    large[8185] = 'x';
    large[8186] = '\0';
    write_file("key", large);
    assert_false(load("localhost:7700", false, &e, &err));
    free(large);
    assert_int_equal(unlink(in_folder("key")), 0);
    assert_false(load("localhost:7700", false, &e, &err));
    assert_int_equal(err.code, OM_EXIT_NOT_FOUND);
}

static void a_key_stays_on_this_machine(void **state)
{
    (void)state;
    static const char *const local[] = {"localhost:7700", "localhost",  "127.0.0.1:7700",
                                        "127.8.8.8:1",    "[::1]:7700", "unix:/run/omend.sock"};
    static const char *const other[] = {
        "10.0.0.1:7700", "db.example.org:7700", "localhost.evil:1", "127.0.0.1.evil:77",
        "[::2]:7700",    "dns:localhost:1",     "128.0.0.1:7700",   "",
        "127.1:7700"};
    om_endpoint e;
    om_tool_error err;
    write_file("key", "omen_abc\n");
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        assert_true(om_endpoint_is_local(local[i]));
        assert_true(load(local[i], false, &e, &err));
        om_endpoint_free(&e);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_false(om_endpoint_is_local(other[i]));
        assert_false(load(other[i], false, &e, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
        assert_non_null(strstr(err.message, "--tls-ca"));
        assert_true(load(other[i], true, &e, &err));
        om_endpoint_free(&e);
    }
}

static void grants(void **state)
{
    (void)state;
    static const char *const bad[] = {"",       "read",  "read:",   ":films", "reads:films",
                                      "Read:x", "rea:x", "admin:x", " read:x"};
    uint32_t role;
    const char *collection;
    om_tool_error err;
    assert_true(om_grant_parse("read:films", &role, &collection, &err));
    assert_int_equal(role, OMEN__V1__ROLE__ROLE_READ);
    assert_string_equal(collection, "films");
    assert_true(om_grant_parse("write:shop-*", &role, &collection, &err));
    assert_int_equal(role, OMEN__V1__ROLE__ROLE_WRITE);
    assert_string_equal(collection, "shop-*");
    assert_true(om_grant_parse("manage:*", &role, &collection, &err));
    assert_int_equal(role, OMEN__V1__ROLE__ROLE_MANAGE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(om_grant_parse(bad[i], &role, &collection, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
    }
    assert_string_equal(om_role_name(OMEN__V1__ROLE__ROLE_MANAGE), "manage");
    assert_string_equal(om_role_name(0), "?");
    assert_string_equal(om_role_name(4), "?");
}

static void ends_of_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t at; /* from 1,000,000 on; 0: refused */
    } cases[] = {{"1m", 1000060},
                 {"90m", 1005400},
                 {"12h", 1043200},
                 {"30d", 3592000},
                 {"2w", 2209600},
                 {"2000-02-29", 951782400},
                 {"2027-01-31", 1801353600},
                 {"1970-01-12", 0},
                 {"2001-02-29", 0},
                 {"2027-13-01", 0},
                 {"2027-01-31x", 0},
                 {"", 0},
                 {"0d", 0},
                 {"-1d", 0},
                 {"30", 0},
                 {"d", 0},
                 {"30dd", 0},
                 {"30s", 0},
                 {" 30d", 0},
                 {"99999999999999999999d", 0},
                 {"9223372036854775807w", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at = 0;
        om_tool_error err;
        bool ok = om_expiry_parse(cases[i].text, 1000000, &at, &err);
        assert_int_equal(ok, cases[i].at != 0);
        if (ok) {
            assert_int_equal(at, cases[i].at);
        } else {
            assert_int_equal(err.code, OM_EXIT_USAGE);
        }
    }
    char buf[32];
    assert_string_equal(om_out_time(buf, 951782400), "2000-02-29 00:00");
    assert_string_equal(om_out_time(buf, 0), "never");
    assert_string_equal(om_out_time(buf, INT64_MAX), "never");
}

static void exit_codes(void **state)
{
    (void)state;
    assert_int_equal(om_tool_exit_code(7), OM_EXIT_DENIED);
    assert_int_equal(om_tool_exit_code(16), OM_EXIT_DENIED);
    assert_int_equal(om_tool_exit_code(OMEN_NOT_FOUND), OM_EXIT_NOT_FOUND);
}

/* ---- Certificates -------------------------------------------------------------------------------- */

static X509 *read_certificate(const char *name)
{
    FILE *f = fopen(in_folder(name), "re");
    assert_non_null(f);
    X509 *c = PEM_read_X509(f, NULL, NULL, NULL);
    assert_int_equal(fclose(f), 0);
    assert_non_null(c);
    return c;
}

static int purpose_of(const char *name, int purpose, const char *host)
{
    X509 *ca = read_certificate("ca.pem"), *c = read_certificate(name);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_true(store != NULL && context != NULL);
    assert_int_equal(X509_STORE_add_cert(store, ca), 1);
    assert_int_equal(X509_STORE_CTX_init(context, store, c, NULL), 1);
    assert_int_equal(X509_STORE_CTX_set_purpose(context, purpose), 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    if (host != NULL && strspn(host, "0123456789.:") == strlen(host)) {
        assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, host), 1);
    } else if (host != NULL) {
        assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
    }
    int ok = X509_verify_cert(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(c);
    return ok;
}

static void certificates_are_accepted(void **state)
{
    (void)state;
    static const char *const hosts[] = {"localhost", "127.0.0.1", "::1", "db.example.org"};
    om_dev_ca *ca;
    bool made;
    om_tool_error err;
    assert_true(om_dev_ca_open(folder, &made, &ca, &err));
    assert_true(made);
    om_dev_leaf leaf = {.name = "server", .hosts = hosts, .host_count = 4, .days = 3};
    assert_true(om_dev_issue(ca, &leaf, &made, &err));
    assert_true(made);
    leaf = (om_dev_leaf){.name = "client", .days = 3};
    assert_true(om_dev_issue(ca, &leaf, &made, &err));
    om_dev_ca_free(ca);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(purpose_of("server.pem", X509_PURPOSE_SSL_SERVER, hosts[i]), 1);
    }
    assert_int_equal(purpose_of("server.pem", X509_PURPOSE_SSL_SERVER, "example.org"), 0);
    assert_int_equal(purpose_of("server.pem", X509_PURPOSE_SSL_CLIENT, NULL), 0);
    assert_int_equal(purpose_of("client.pem", X509_PURPOSE_SSL_CLIENT, "client"), 1);
    assert_int_equal(purpose_of("client.pem", X509_PURPOSE_SSL_SERVER, NULL), 0);
    struct stat about;
    assert_int_equal(stat(in_folder("ca.key"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(stat(in_folder("client.key"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void what_is_there_is_kept(void **state)
{
    (void)state;
    om_dev_ca *ca;
    bool made;
    om_tool_error err;
    assert_true(om_dev_ca_open(folder, &made, &ca, &err));
    assert_false(made);
    X509 *before = read_certificate("client.pem");
    om_dev_leaf leaf = {.name = "client", .days = 3};
    assert_true(om_dev_issue(ca, &leaf, &made, &err));
    assert_false(made);
    X509 *same = read_certificate("client.pem");
    assert_int_equal(X509_cmp(before, same), 0);
    leaf.replace = true;
    assert_true(om_dev_issue(ca, &leaf, &made, &err));
    assert_true(made);
    X509 *after = read_certificate("client.pem");
    assert_int_not_equal(X509_cmp(before, after), 0);
    assert_int_equal(purpose_of("client.pem", X509_PURPOSE_SSL_CLIENT, NULL), 1);
    X509_free(before);
    X509_free(same);
    X509_free(after);
    assert_int_equal(unlink(in_folder("client.pem")), 0); /* half of a pair */
    assert_false(om_dev_issue(ca, &leaf, &made, &err));
    assert_int_equal(err.code, OM_EXIT_PRECONDITION);
    om_dev_ca_free(ca);
}

static void bad_names(void **state)
{
    (void)state;
    static const char *const names[] = {"", "ca", "../x", "a/b", "A", ".a", "-a", "a b", "a,DNS:b"};
    static const char *const hosts[] = {"",      "a,DNS:b",           "a b", "a/b", "a\n",
                                        "DNS:a", "1.2.3.4,IP:1.2.3.5"};
    om_dev_ca *ca;
    bool made;
    om_tool_error err;
    assert_true(om_dev_ca_open(folder, &made, &ca, &err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        om_dev_leaf leaf = {.name = names[i], .days = 1};
        assert_false(om_dev_issue(ca, &leaf, &made, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
    }
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        om_dev_leaf leaf = {.name = "other", .hosts = &hosts[i], .host_count = 1, .days = 1};
        assert_false(om_dev_issue(ca, &leaf, &made, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
    }
    om_dev_ca_free(ca);
    write_file("ca.pem", "no certificate\n");
    assert_false(om_dev_ca_open(folder, &made, &ca, &err));
    assert_int_equal(err.code, OM_EXIT_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_file),
        cmocka_unit_test(a_bad_key_file),
        cmocka_unit_test(a_key_stays_on_this_machine),
        cmocka_unit_test(grants),
        cmocka_unit_test(ends_of_keys),
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(certificates_are_accepted),
        cmocka_unit_test(what_is_there_is_kept),
        cmocka_unit_test(bad_names),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
