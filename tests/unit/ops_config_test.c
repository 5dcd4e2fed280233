/* ops_config_test.c - options of omend: precedence of the sources, bounds at N and N + 1, what is
 * refused and how it is said.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "config_int.h"
#include "omen.h"
#include "slog.h"

enum { MAX_ARGS = 80 };

static om_config config;
static om_config_error error;
static char folder[] = "ops-config-XXXXXX";

/* Loads with flags and environment given as one text each, separated by spaces. */
static bool load(const char *flags, const char *variables)
{
    static char flag_text[8192];
    static char variable_text[8192];
    char *argv[MAX_ARGS + 1] = {"omend"};
    char *environment[MAX_ARGS + 1] = {NULL};
    int argc = 1;
    int n = 0;
    (void)snprintf(flag_text, sizeof flag_text, "%s", flags);
    (void)snprintf(variable_text, sizeof variable_text, "%s", variables);
    for (char *save = NULL, *t = strtok_r(flag_text, " ", &save); t != NULL && argc < MAX_ARGS;
         t = strtok_r(NULL, " ", &save)) {
        argv[argc++] = t;
    }
    for (char *save = NULL, *t = strtok_r(variable_text, " ", &save); t != NULL && n < MAX_ARGS;
         t = strtok_r(NULL, " ", &save)) {
        environment[n++] = t;
    }
    return om_config_load(&config, argc, argv, environment, &error);
}

static void assert_good(const char *flags)
{
    if (!load(flags, "")) {
        fail_msg("'%s' was refused: %s", flags, error.message);
    }
    om_config_free(&config);
}

/* Refused with this exit code and a message that holds `part`. */
static void assert_bad(const char *flags, int exit_code, const char *part)
{
    if (load(flags, "")) {
        fail_msg("'%s' was accepted", flags);
    }
    if (error.exit_code != exit_code || strstr(error.message, part) == NULL) {
        fail_msg("'%s': exit %d, '%s'; wanted %d, '%s'", flags, error.exit_code, error.message,
                 exit_code, part);
    }
}

static const char *write_file(const char *name, const char *text, size_t length)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

static void test_defaults(void **state)
{
    (void)state;
    assert_true(load("", ""));
    assert_int_equal(config.action, OM_CONFIG_RUN);
    assert_int_equal(config.listen_count, 1);
    assert_string_equal(config.listen[0], "127.0.0.1:7700");
    assert_string_equal(config.admin_listen, "127.0.0.1:7701");
    assert_null(config.tls_cert);
    assert_false(config.insecure_expose);
    assert_int_equal(config.threads, 0);
    assert_int_equal(config.max_message_bytes, 16 << 20);
    assert_int_equal(config.max_streams_per_connection, 128);
    assert_int_equal(config.log_level, OMEN_LOG_INFO);
    assert_int_equal(config.log_format, OM_SLOG_TEXT);
    uint64_t most = om_config_cgroup_memory("/");
    assert_true(most >= UINT64_C(320) << 20);
    assert_int_equal(config.memory_limit, most - most / 5);
    assert_true(config.memory_limit > 0);
    om_config_free(&config);
}

static void test_precedence(void **state)
{
    static const char text[] = "# comment\n\nmax-inflight = 11\nlisten = 127.0.0.1:1\n"
                               "listen=127.0.0.1:2\n  grace-ms=33  \nlog-level = debug\n";
    (void)state;
    char flags[256];
    (void)snprintf(flags, sizeof flags, "--config %s",
                   write_file("precedence", text, sizeof text - 1));
    assert_true(load(flags, ""));
    assert_int_equal(config.max_inflight, 11);
    assert_int_equal(config.grace_ms, 33);
    assert_int_equal(config.listen_count, 2);
    om_config_free(&config);
    /* The environment wins over the file, and its list replaces the file's. */
    assert_true(load(flags, "OMEND_MAX_INFLIGHT=22 OMEND_LISTEN=127.0.0.1:3 OMEND_GRACE_MS="));
    assert_int_equal(config.max_inflight, 22);
    assert_int_equal(config.grace_ms, 33);
    assert_int_equal(config.listen_count, 1);
    assert_string_equal(config.listen[0], "127.0.0.1:3");
    om_config_free(&config);
    /* Flags win over both; the file may also come from the environment. */
    char variables[256];
    (void)snprintf(variables, sizeof variables, "OMEND_CONFIG=%s OMEND_MAX_INFLIGHT=22",
                   write_file("precedence", text, sizeof text - 1));
    assert_true(
        load("--max-inflight=44 --listen 127.0.0.1:4,127.0.0.1:5 --listen [::1]:6", variables));
    assert_int_equal(config.max_inflight, 44);
    assert_int_equal(config.log_level, OMEN_LOG_DEBUG);
    assert_int_equal(config.listen_count, 3);
    assert_string_equal(config.listen[1], "127.0.0.1:5");
    assert_string_equal(config.listen[2], "[::1]:6");
    om_config_free(&config);
}

static void test_stray_variables(void **state)
{
    char *const environment[] = {(char *)"OMEND_MAX_INFLIGT=secret",    (char *)"OMEND_GRACE_MS=1",
                                 (char *)"OMEND_SERVICE_HOST=x",        (char *)"OMEND_CONFIG=x",
                                 (char *)"OMEND_PORT_7700_TCP_ADDR=x",  (char *)"OMEND_PORT=x",
                                 (char *)"OMEND_A_SERVICE_PORT_GRPC=x", (char *)"OMENDB=x",
                                 (char *)"OMEND_SOMETHING_ELSE",        NULL};
    char text[256];
    size_t at = 0;
    (void)state;
    assert_true(om_config_stray_variable(environment, &at, text, sizeof text));
    assert_string_equal(text, "OMEND_MAX_INFLIGT says nothing: there is no option 'max-infligt'; "
                              "did you mean 'max-inflight'?");
    assert_true(om_config_stray_variable(environment, &at, text, sizeof text));
    assert_string_equal(text,
                        "OMEND_SOMETHING_ELSE says nothing: there is no option 'something-else'");
    assert_false(om_config_stray_variable(environment, &at, text, sizeof text));
    at = 0;
    assert_false(om_config_stray_variable(NULL, &at, text, sizeof text));
}

/* Quotes are of the shell; in a file they would be a part of the name of a folder. */
static void test_quotes(void **state)
{
    static const char quoted[] = "data-dir = \"/srv/data\"\n";
    static const char marked[] = "\xef\xbb\xbfgrace-ms = 33\n";
    static const char nested[] = "config = other.conf\n";
    char flags[256];
    (void)state;
    (void)snprintf(flags, sizeof flags, "--config %s",
                   write_file("quoted", quoted, sizeof quoted - 1));
    assert_bad(flags, OM_EXIT_CONFIG,
               "quoted:1: '\"/srv/data\"' is not valid for data-dir: quotes");
    assert_bad("--data-dir '/srv/data'", OM_EXIT_USAGE, "quotes would be part of it");
    assert_false(load("", "OMEND_DATA_DIR=\"/srv\""));
    assert_int_equal(error.exit_code, OM_EXIT_USAGE);
    (void)snprintf(flags, sizeof flags, "--config %s",
                   write_file("marked", marked, sizeof marked - 1));
    assert_true(load(flags, ""));
    assert_int_equal(config.grace_ms, 33);
    om_config_free(&config);
    (void)snprintf(flags, sizeof flags, "--config %s",
                   write_file("nested", nested, sizeof nested - 1));
    assert_bad(flags, OM_EXIT_CONFIG, "nested:1: a file cannot name another: --config is for");
}

/* Kubernetes adds variables of this form for a Service called omend. */
static void test_foreign_variables(void **state)
{
    (void)state;
    assert_true(load("", "OMEND_SERVICE_HOST=10.0.0.1 OMEND_PORT=tcp://10.0.0.1:7700 OMEND="));
    om_config_free(&config);
}

static void test_bounds(void **state)
{
    static const struct {
        const char *good, *bad, *part;
    } cases[] = {
        {"--threads 1024", "--threads 1025", "0 to 1024"},
        {"--threads auto", "--threads -1", "whole number"},
        {"--search-workers 1024", "--search-workers 1025", "0 to 1024"},
        {"--io-threads 2", "--io-threads 1", "2 to 64"},
        {"--io-threads 64", "--io-threads 65", "or auto"},
        {"--memory-limit 16MiB", "--memory-limit 16777215", "16MiB to 1024TiB"},
        {"--memory-limit 1024TiB", "--memory-limit 1125899906842625", "16MiB to 1024TiB"},
        {"--memory-limit none", "--memory-limit 0", "or none"},
        {"--max-message-bytes 64KiB", "--max-message-bytes 65535", "64KiB to 16MiB"},
        {"--max-message-bytes 16MiB", "--max-message-bytes 16777217", "64KiB to 16MiB"},
        {"--max-streams-per-connection 1", "--max-streams-per-connection 0", "1 to 128"},
        {"--max-streams-per-connection 128", "--max-streams-per-connection 129", "1 to 128"},
        {"--max-inflight 1", "--max-inflight 0", "1 to 1000000"},
        {"--max-inflight 1000000", "--max-inflight 1000001", "1 to 1000000"},
        {"--stream-window-bytes 1GiB", "--stream-window-bytes 1073741825", "64KiB to 1GiB"},
        {"--predrain-ms 300000", "--predrain-ms 300001", "0 to 300000"},
        {"--grace-ms 600000", "--grace-ms 600001", "0 to 600000"},
        {"--slow-log-ms 3600000", "--slow-log-ms 3600001", "0 to 3600000"},
        {"--slow-log-ms off", "--slow-log-ms never", "whole number"},
        {"--metrics-collections 1000", "--metrics-collections 1001", "0 to 1000"},
        {"--log-level warn", "--log-level loud", "off error warn info debug"},
        {"--log-format json", "--log-format xml", "text json"},
        {"--insecure-expose=false", "--insecure-expose=maybe", "true or false"},
        {"--max-inflight 18", "--max-inflight 18446744073709551617", "1 to 1000000"},
        {"--memory-limit 1.5GiB", "--memory-limit 1.5", "a size like"},
        {"--memory-limit 64MiB", "--memory-limit 64MB", "a size like"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_good(cases[i].good);
        assert_bad(cases[i].bad, OM_EXIT_USAGE, cases[i].part);
    }
}

static void test_flag_errors(void **state)
{
    (void)state;
    assert_bad("--max-inflght 3", OM_EXIT_USAGE, "did you mean 'max-inflight'");
    assert_bad("--zzzzzzzzzzz 3", OM_EXIT_USAGE, "--help lists them");
    assert_bad("serve", OM_EXIT_USAGE, "'serve' is not an option");
    assert_bad("--", OM_EXIT_USAGE, "is not an option");
    assert_bad("--grace-ms", OM_EXIT_USAGE, "--grace-ms: it wants a value");
    assert_bad("--grace-ms=", OM_EXIT_USAGE, "it is empty");
    assert_false(load("", "OMEND_GRACE_MS=ten"));
    assert_int_equal(error.exit_code, OM_EXIT_USAGE);
    assert_non_null(strstr(error.message, "OMEND_GRACE_MS: 'ten'"));
}

static void test_list_limits(void **state)
{
    char flags[8192] = "";
    (void)state;
    for (int i = 0; i < OM_CONFIG_MAX_LISTEN; i++) {
        size_t n = strlen(flags);
        (void)snprintf(flags + n, sizeof flags - n, "--listen 127.0.0.1:%d ", i + 1);
    }
    assert_good(flags);
    strcat(flags, "--listen 127.0.0.1:99");
    assert_bad(flags, OM_EXIT_USAGE, "at most 8 addresses");

    (void)snprintf(flags, sizeof flags, "--open a0=f");
    for (int i = 1; i < OM_CONFIG_MAX_OPEN; i++) {
        size_t n = strlen(flags);
        (void)snprintf(flags + n, sizeof flags - n, ",a%d=f", i);
    }
    assert_good(flags);
    strcat(flags, ",b=f");
    assert_bad(flags, OM_EXIT_USAGE, "at most 64 files");
}

static void test_value_length(void **state)
{
    char value[OM_CONFIG_MAX_VALUE + 32];
    (void)state;
    memset(value, 'x', sizeof value);
    memcpy(value, "--ready-file=", 13);
    value[13 + OM_CONFIG_MAX_VALUE - 1] = '\0';
    assert_good(value);
    value[13 + OM_CONFIG_MAX_VALUE - 1] = 'x';
    value[13 + OM_CONFIG_MAX_VALUE] = '\0';
    assert_bad(value, OM_EXIT_USAGE, "longer than 4095 bytes");
}

static void test_addresses(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "localhost:65535", "[::1]:7700",
                                       "unix:/run/s", "127.8.9.10:1",    "[::ffff:127.0.0.1]:5"};
    static const char *const bad[] = {"7700",       "127.0.0.1",  "127.0.0.1:", "127.0.0.1:65536",
                                      ":7700",      "[::1]7700",  "[::1",       "[zz]:1",
                                      "::1:7700",   "unix:",      "a/b:1",      "127.0.0.1:1x",
                                      "unix:rel/x", "host name:1"};
    static const char *const exposed[] = {"0.0.0.0:1",          "[::]:1",
                                          "10.0.0.1:1",         "example.org:1",
                                          "[::ffff:8.8.8.8]:1", "localhost.example.org:1",
                                          "128.0.0.1:1"};
    (void)state;
    char flags[256];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        (void)snprintf(flags, sizeof flags, "--listen %s", good[i]);
        assert_good(flags);
        assert_true(om_config_is_loopback(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(om_config_is_loopback(bad[i]));
        (void)snprintf(flags, sizeof flags, "--listen=%s", bad[i]);
        if (strchr(bad[i], ' ') == NULL) {
            assert_bad(flags, OM_EXIT_USAGE, "for listen: HOST:PORT");
        }
    }
    for (size_t i = 0; i < sizeof exposed / sizeof exposed[0]; i++) {
        (void)snprintf(flags, sizeof flags, "--listen %s", exposed[i]);
        assert_bad(flags, OM_EXIT_CONFIG, "insecure-expose");
        assert_non_null(strstr(error.message, exposed[i]));
        strcat(flags, " --insecure-expose");
        assert_good(flags);
    }
    assert_bad("--listen 127.0.0.1:5 --listen 127.0.0.1:5", OM_EXIT_CONFIG, "given twice");
    assert_good("--listen 127.0.0.1:0 --listen 127.0.0.1:0");
}

static void test_unix_path_length(void **state)
{
    char address[160];
    (void)state;
    memset(address, 'x', sizeof address);
    memcpy(address, "unix:/", 6);
    address[5 + 107] = '\0'; /* sun_path holds 108 bytes with the NUL */
    assert_true(om_config_is_unix(address));
    address[5 + 107] = 'x';
    address[5 + 108] = '\0';
    assert_false(om_config_is_unix(address));
}

static void test_exposure_and_tls(void **state)
{
    (void)state;
    assert_bad("--listen 0.0.0.0:1 --tls-cert c --tls-key k", OM_EXIT_CONFIG, "nothing is asked");
    assert_good("--listen 0.0.0.0:1 --tls-cert c --tls-key k --insecure-expose");
    assert_good("--listen 0.0.0.0:1 --tls-cert c --tls-key k --tls-client-ca a");
    assert_good("--listen 0.0.0.0:1 --tls-cert c --tls-key k --jwt-key j");
    assert_good("--listen 0.0.0.0:1 --tls-cert c --tls-key k --catalog d");
    assert_good("--listen 0.0.0.0:1 --tls-cert c --tls-key k --bootstrap-key-file b "
                "--admin-listen 0.0.0.0:2");
    assert_bad("--listen 0.0.0.0:1 --bootstrap-key-file b", OM_EXIT_CONFIG, "there is no TLS");
    assert_bad("--certificate-identities --tls-cert c --tls-key k --tls-client-ca a",
               OM_EXIT_CONFIG, "without catalog");
    assert_bad("--certificate-identities --catalog d", OM_EXIT_CONFIG, "without tls-client-ca");
    assert_bad("--jwt-issuer i", OM_EXIT_CONFIG, "jwt-issuer is given without jwt-key");
    assert_bad("--admin-listen 0.0.0.0:2", OM_EXIT_CONFIG, "admin-listen");
    assert_good("--admin-listen off");
    assert_bad("--admin-listen unix:/x", OM_EXIT_USAGE, "or off is wanted");
    assert_bad("--tls-cert c", OM_EXIT_CONFIG, "tls-cert is given without tls-key");
    assert_bad("--tls-key k", OM_EXIT_CONFIG, "tls-key is given without tls-cert");
    assert_bad("--tls-client-ca a", OM_EXIT_CONFIG, "without tls-cert");
    assert_bad("--stream-window-bytes 64KiB --max-message-bytes 65537", OM_EXIT_CONFIG,
               "below max-message-bytes (65537)");
    assert_good("--stream-window-bytes 64KiB --max-message-bytes 64KiB");
}

static void test_open(void **state)
{
    char name[80] = "--open ";
    (void)state;
    assert_true(load("--open movies=/srv/a=b.omen --open c0=x", ""));
    assert_int_equal(config.open_count, 2);
    assert_string_equal(config.open[0].name, "movies");
    assert_string_equal(config.open[0].file, "/srv/a=b.omen");
    om_config_free(&config);
    assert_bad("--open movies", OM_EXIT_USAGE, "NAME=FILE is wanted");
    assert_bad("--open movies=", OM_EXIT_USAGE, "NAME=FILE is wanted");
    assert_bad("--open =file", OM_EXIT_USAGE, "a NAME is");
    assert_bad("--open Movies=file", OM_EXIT_USAGE, "a NAME is");
    assert_bad("--open _x=file", OM_EXIT_USAGE, "a NAME is");
    assert_bad("--open x=a --open x=b", OM_EXIT_USAGE, "given twice");
    memset(name + 7, 'n', 63);
    memcpy(name + 70, "=f", 3);
    assert_good(name);
    name[70] = 'n';
    memcpy(name + 71, "=f", 3);
    assert_bad(name, OM_EXIT_USAGE, "1 to 63");
}

static void assert_bad_file(const char *text, size_t length, const char *part)
{
    char flags[256];
    (void)snprintf(flags, sizeof flags, "--config %s", write_file("bad", text, length));
    assert_bad(flags, OM_EXIT_CONFIG, part);
}

static void test_files(void **state)
{
    (void)state;
    assert_bad("--config no-such-file", OM_EXIT_CONFIG, "No such file");
    assert_bad("--config .", OM_EXIT_CONFIG, "Is a directory");
    assert_bad_file("\n\ngrace-ms 5\n", 12, "bad:3: `name = value` is wanted");
    assert_bad_file("grace-ms = 5\ngrace-ms = 6\n", 26, "bad:2: grace-ms is given twice");
    assert_bad_file("grce-ms = 5", 11, "did you mean 'grace-ms'");
    assert_bad_file("config = other", 14, "a file cannot name another");
    assert_bad_file("max-inflight = 0", 16, "bad:1: '0' is not valid for max-inflight");
    assert_bad_file("max-inflight = ", 15, "it is empty");
    assert_bad_file("a\0b", 3, "zero byte");
    char *large = malloc(OM_CONFIG_MAX_FILE + 1);
    assert_non_null(large);
    memset(large, '\n', OM_CONFIG_MAX_FILE + 1);
    assert_bad_file(large, OM_CONFIG_MAX_FILE + 1, "too large (limit 262144 bytes)");
    char flags[256];
    (void)snprintf(flags, sizeof flags, "--config %s",
                   write_file("limit", large, OM_CONFIG_MAX_FILE));
    assert_good(flags);
    free(large);
}

static void test_actions(void **state)
{
    (void)state;
    assert_true(load("--help --listen 0.0.0.0:1", ""));
    assert_int_equal(config.action, OM_CONFIG_HELP);
    om_config_free(&config);
    assert_true(load("-V", ""));
    assert_int_equal(config.action, OM_CONFIG_VERSION);
    om_config_free(&config);
    assert_true(load("--check-config", ""));
    assert_int_equal(config.action, OM_CONFIG_CHECK);
    om_config_free(&config);
}

/* What --print-config writes is read back to the same values; --help names every option. */
static void test_print_and_help(void **state)
{
    char *printed = NULL;
    char *again = NULL;
    char *help = NULL;
    size_t length = 0;
    (void)state;
    assert_true(load("--listen 127.0.0.1:1,[::1]:0 --open a=f1,b=f2 --memory-limit 300MiB "
                     "--log-format json --insecure-expose --admin-listen off --slow-log-ms 0 "
                     "--threads 3 --log-file l --max-message-bytes 1MiB",
                     ""));
    FILE *out = open_memstream(&printed, &length);
    om_config_print(&config, out);
    assert_int_equal(fclose(out), 0);
    om_config_free(&config);
    char flags[256];
    (void)snprintf(flags, sizeof flags, "--config %s", write_file("printed", printed, length));
    if (!load(flags, "")) {
        fail_msg("printed configuration refused: %s", error.message);
    }
    assert_int_equal(config.memory_limit, 300 << 20);
    assert_int_equal(config.listen_count, 2);
    assert_int_equal(config.open_count, 2);
    assert_null(config.admin_listen);
    assert_true(config.insecure_expose);
    memset(config.source, 0,
           sizeof config.source); /* the comments tell the source: leave them out */
    out = open_memstream(&again, &length);
    om_config_print(&config, out);
    assert_int_equal(fclose(out), 0);
    om_config_free(&config);
    char *line = strtok(again, "\n");
    for (line = strtok(NULL, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        assert_non_null(strstr(printed, line));
    }
    out = open_memstream(&help, &length);
    om_config_help(out);
    assert_int_equal(fclose(out), 0);
    for (size_t i = 0; i < om_config_row_count; i++) {
        char flag[64];
        (void)snprintf(flag, sizeof flag, "--%s ", om_config_rows[i].name);
        assert_non_null(strstr(help, flag));
    }
    free(printed);
    free(again);
    free(help);
}

/* The manual page knows every option. */
static void test_manual(void **state)
{
    static char text[65536];
    size_t length = 0;
    (void)state;
    FILE *file = fopen(OMEND_MANUAL, "re");
    assert_non_null(file);
    for (int c = fgetc(file); c != EOF && length < sizeof text - 1; c = fgetc(file)) {
        text[length] = (char)c;
        length += c != '\\'; /* "\\-\\-max\\-inflight" */
    }
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < om_config_row_count; i++) {
        char head[80];
        (void)snprintf(head, sizeof head, ".TP\nfB--%s", om_config_rows[i].name);
        if (strstr(text, head) == NULL) {
            fail_msg("%s is not in the manual", om_config_rows[i].name);
        }
    }
}

static void test_bytes(void **state)
{
    uint64_t n = 0;
    char text[32];
    (void)state;
    assert_true(om_config_parse_bytes("1.5GiB", &n));
    assert_int_equal(n, UINT64_C(1536) << 20);
    assert_true(om_config_parse_bytes("0.001KiB", &n));
    assert_int_equal(n, 1);
    assert_true(om_config_parse_bytes("99999999999999999999999", &n));
    assert_int_equal(n, UINT64_MAX);
    assert_true(om_config_parse_bytes("16777216TiB", &n));
    assert_int_equal(n, UINT64_MAX);
    assert_false(om_config_parse_bytes("1.2345KiB", &n));
    assert_false(om_config_parse_bytes("", &n));
    assert_false(om_config_parse_bytes("KiB", &n));
    assert_false(om_config_parse_bytes("1 KiB", &n));
    om_config_put_bytes(UINT64_C(3) << 30, text, sizeof text);
    assert_string_equal(text, "3GiB");
    om_config_put_bytes(1025, text, sizeof text);
    assert_string_equal(text, "1025");
}

static void put_file(const char *path, const char *text)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", folder, path);
    for (char *slash = strchr(full + strlen(folder) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_cgroup(void **state)
{
    char root[128];
    (void)state;
    /* v2: the limit of a parent binds when it is smaller. */
    (void)snprintf(root, sizeof root, "%s/v2", folder);
    assert_int_equal(om_config_cgroup_memory(root), 0);
    put_file("v2/proc/meminfo", "MemFree: 5 kB\nMemTotal:       4096 kB\n");
    assert_int_equal(om_config_cgroup_memory(root), 4096 * 1024);
    put_file("v2/proc/self/cgroup", "0::/a/b\n");
    put_file("v2/sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_int_equal(om_config_cgroup_memory(root), 4096 * 1024);
    put_file("v2/sys/fs/cgroup/a/memory.max", "1048576\n");
    assert_int_equal(om_config_cgroup_memory(root), 1048576);
    put_file("v2/sys/fs/cgroup/a/b/memory.max", "524288\n");
    assert_int_equal(om_config_cgroup_memory(root), 524288);
    /* In a container the group's path is not below the mount: its root counts. */
    put_file("v2/proc/self/cgroup", "0::/\n");
    put_file("v2/sys/fs/cgroup/memory.max", "2097152\n");
    assert_int_equal(om_config_cgroup_memory(root), 2097152);
    /* v1: "no limit" is a huge number, which the machine's memory cuts. */
    (void)snprintf(root, sizeof root, "%s/v1", folder);
    put_file("v1/proc/meminfo", "MemTotal: 8192 kB\n");
    put_file("v1/proc/self/cgroup", "9:cpu,cpuacct:/x\n7:hugetlb,memory:/docker/abc\n0::/\n");
    put_file("v1/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(om_config_cgroup_memory(root), 8192 * 1024);
    put_file("v1/sys/fs/cgroup/memory/memory.limit_in_bytes", "3145728\n");
    assert_int_equal(om_config_cgroup_memory(root), 3145728);
    put_file("v1/proc/self/cgroup", "garbage\n:::\n7:memory\n");
    assert_int_equal(om_config_cgroup_memory(root), 8192 * 1024);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? 0 : -1;
}

/* What is the engine's by itself, and what the transport may buffer, fit into the group together. */
static void test_shares_of_memory(void **state)
{
    const uint64_t mib = UINT64_C(1) << 20;
    (void)state;
    for (uint64_t most = 192 * mib; most <= 65536 * mib; most += 64 * mib) {
        uint64_t engine = om_config_auto_memory(most);
        uint64_t transport = om_config_transport_memory(most);
        assert_true(engine + transport + 30 * mib <= most);
        assert_true(engine >= most / 2);
        assert_true(transport >= 32 * mib && transport <= 512 * mib);
    }
    assert_int_equal(om_config_transport_memory(2560 * mib), 256 * mib);
    assert_int_equal(om_config_transport_memory(0), 512 * mib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_stray_variables),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_foreign_variables),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_flag_errors),
        cmocka_unit_test(test_list_limits),
        cmocka_unit_test(test_value_length),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unix_path_length),
        cmocka_unit_test(test_exposure_and_tls),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_print_and_help),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_cgroup),
        cmocka_unit_test(test_shares_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
