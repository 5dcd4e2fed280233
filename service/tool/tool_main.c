/* tool_main.c - the omen command: finds the command, parses its options, reports errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "out.h"

static bool run(const om_command *command, int argc, char **argv, bool *json, om_tool_error *err)
{
    om_args args;
    bool ok = om_args_parse(command, argc, argv, &args, err);
    *json = args.json;
    if (ok && args.help) {
        om_help_command(stdout, command);
    } else if (ok && (args.rest_count < command->min_args || args.rest_count > command->max_args)) {
        ok = om_tool_fail(err, OM_EXIT_USAGE, "usage: omen %s (see 'omen help %s')", command->usage,
                          command->name);
    } else if (ok) {
        ok = command->run(&args, err);
    }
    om_args_free(&args);
    return ok;
}

int main(int argc, char **argv)
{
    om_tool_error err = {0};
    om_tool_catch_signals();
    if (argc < 2) {
        om_help_all(stderr);
        return OM_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    } else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        name = "version";
    }
    const om_command *command = om_command_find(name);
    bool json = false;
    bool ok = command != NULL;
    if (!ok) {
        om_tool_fail(&err, OM_EXIT_USAGE, "there is no command '%s'; see 'omen help'", name);
    } else {
        ok = run(command, argc - 2, argv + 2, &json, &err);
    }
    /* A full disk or a closed pipe must not look like success. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (ok && errno != EPIPE) {
            ok =
                om_tool_fail(&err, OM_EXIT_RUNTIME, "cannot write the output: %s", strerror(errno));
        }
    }
    if (!ok) {
        om_out_error(&err, json);
    }
    return ok ? OM_EXIT_OK : err.code;
}
