/* tool_args_test.c - the command line: options, their spellings, their mistakes, and where a
 * command works. SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"

enum { ARGS_MAX = 16 };

/* Parses a NULL-terminated list as the arguments of a command. */
static bool parse(const char *command, const char *const *list, om_args *args, om_tool_error *err)
{
    static char room[ARGS_MAX][64];
    char *argv[ARGS_MAX];
    int argc = 0;
    for (; list[argc] != NULL; argc++) {
        (void)snprintf(room[argc], sizeof room[argc], "%s", list[argc]);
        argv[argc] = room[argc];
    }
    return om_args_parse(om_command_find(command), argc, argv, args, err);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void every_spelling(void **state)
{
    (void)state;
    om_args a;
    om_tool_error err;
    assert_true(parse("search", LIST("x.omen", "--top", "5", "--ef=30", "-x", "--json"), &a, &err));
    assert_int_equal(a.k, 5);
    assert_int_equal(a.ef, 30);
    assert_true(a.exact && a.json && !a.quiet);
    assert_int_equal(a.rest_count, 1);
    om_args_free(&a);
    assert_true(parse("search", LIST("-k7", "-e", "9", "--", "-q.npy", "-"), &a, &err));
    assert_int_equal(a.k, 7);
    assert_int_equal(a.rest_count, 2);
    assert_string_equal(a.rest[0], "-q.npy");
    om_args_free(&a);
    assert_true(parse("create", LIST("--capacity", "2M", "--dim", "1k"), &a, &err));
    assert_int_equal(a.capacity, 2000000);
    assert_int_equal(a.dim, 1000);
    om_args_free(&a);
}

static void mistakes(void **state)
{
    (void)state;
    om_args a;
    om_tool_error err;
    const char *const *bad[] = {LIST("--nope"),      LIST("--top"),
                                LIST("--top", "x"),  LIST("--top", "-1"),
                                LIST("--exact=yes"), LIST("--seconds", "1"),
                                LIST("-z"),          LIST("--top", "5kk"),
                                LIST("--to", "5"),   LIST("--top", "99999999999999999999")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse("search", bad[i], &a, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
        om_args_free(&a);
    }
    assert_false(parse("bench", LIST("--seconds", "0"), &a, &err));
    om_args_free(&a);
    assert_false(parse("bench", LIST("--seconds", "nan"), &a, &err));
    om_args_free(&a);
}

/* Every option named by a command exists, every option is used by some command, letters are
 * unique. */
static void the_tables_agree(void **state)
{
    (void)state;
    bool used[128] = {false};
    assert_true(om_options_count < 128);
    for (size_t c = 0; c < om_commands_count; c++) {
        size_t words = 0, taken = 0;
        const char *p = om_commands[c].options;
        while (*p != '\0') {
            words++;
            p += strcspn(p, " ");
            p += strspn(p, " ");
        }
        for (size_t i = 0; i < om_options_count; i++) {
            if (!om_options[i].global && om_command_takes(&om_commands[c], &om_options[i])) {
                used[i] = true;
                taken++;
            }
        }
        if (words != taken) {
            fail_msg("'%s' names an option that does not exist", om_commands[c].name);
        }
        assert_ptr_equal(om_command_find(om_commands[c].name), &om_commands[c]);
        assert_true(strlen(om_commands[c].help) > 0 && om_commands[c].run != NULL);
    }
    for (size_t i = 0; i < om_options_count; i++) {
        assert_true(used[i] || om_options[i].global);
        for (size_t j = 0; j < i; j++) {
            assert_true(om_options[i].letter == 0 || om_options[i].letter != om_options[j].letter);
            /* A flag and an option with a value may share a name: no command takes both. */
            bool twins = strcmp(om_options[i].name, om_options[j].name) == 0;
            assert_true(!twins ||
                        (om_options[i].kind == OM_OPT_FLAG) != (om_options[j].kind == OM_OPT_FLAG));
            for (size_t c = 0; twins && c < om_commands_count; c++) {
                assert_false(om_command_takes(&om_commands[c], &om_options[i]) &&
                             om_command_takes(&om_commands[c], &om_options[j]));
            }
        }
    }
}

static void place_of(const char *server, const char *collection, const char *first, bool remote,
                     const char *name)
{
    om_args a = {.server = server, .collection = collection};
    const char *rest[1] = {first};
    om_place place;
    om_tool_error err;
    a.rest = rest;
    a.rest_count = first != NULL ? 1 : 0;
    assert_true(om_place_find(&a, true, &place, &err));
    assert_true(place.remote == remote);
    assert_string_equal(remote ? place.name : place.path, name);
}

static void where_a_command_works(void **state)
{
    (void)state;
    place_of(NULL, NULL, "shop", false, "shop.omen");
    place_of(NULL, NULL, "shop.omen", false, "shop.omen");
    place_of(NULL, NULL, "dir/shop", false, "dir/shop.omen");
    place_of("h:1", NULL, "shop", true, "shop");
    place_of("h:1", "shop", NULL, true, "shop");
    place_of("h:1", "shop", "train.npy", true, "shop"); /* the argument is data */
    place_of("h:1", NULL, "shop.omen", false, "shop.omen");
    place_of("h:1", "other", "shop.omen", false, "shop.omen");
    om_args none = {0};
    om_place place;
    om_tool_error err;
    assert_false(om_place_find(&none, true, &place, &err));
    assert_int_equal(err.code, OM_EXIT_USAGE);
    assert_true(om_place_find(&none, false, &place, &err));
}

static void the_environment(void **state)
{
    (void)state;
    om_args a;
    om_tool_error err;
    assert_int_equal(setenv("OMEN_SERVER", "example:7070", 1), 0);
    assert_true(parse("count", LIST("shop"), &a, &err));
    assert_string_equal(a.server, "example:7070");
    om_args_free(&a);
    assert_true(parse("count", LIST("shop", "-s", "other:1"), &a, &err));
    assert_string_equal(a.server, "other:1");
    om_args_free(&a);
    assert_int_equal(unsetenv("OMEN_SERVER"), 0);
}

/* Without a port the transport would take 443, and 0 for one that is none. */
static void the_server_has_a_port(void **state)
{
    static const struct {
        const char *given, *used;
    } good[] = {{"localhost:7701", "localhost:7701"},
                {"localhost", "localhost:7700"},
                {"[::1]", "[::1]:7700"},
                {"[::1]:65535", "[::1]:65535"},
                {"unix:/run/sock", "unix:/run/sock"}};
    static const char *const bad[] = {"localhost:abc", "localhost:0", "localhost:65536", "host:7x"};
    (void)state;
    om_args a;
    om_tool_error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(parse("count", LIST("shop", "--server", good[i].given), &a, &err));
        assert_string_equal(a.server, good[i].used);
        om_args_free(&a);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(parse("count", LIST("shop", "--server", bad[i]), &a, &err));
        assert_int_equal(err.code, OM_EXIT_USAGE);
        assert_non_null(strstr(err.message, "HOST:PORT is wanted"));
        om_args_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling),   cmocka_unit_test(mistakes),
        cmocka_unit_test(the_tables_agree), cmocka_unit_test(where_a_command_works),
        cmocka_unit_test(the_environment),  cmocka_unit_test(the_server_has_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
