/* tool_main.c - the omen command: finds the command, parses its options, reports errors.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "out.h"

bool om_cmd_help(const om_args *args, om_tool_error *err)
{
    if (args->rest_count == 0) {
        om_help_all(stdout);
        return true;
    }
    if (strcmp(args->rest[0], "exit-codes") == 0) {
        om_help_exit_codes(stdout);
        return true;
    }
    const om_command *command = om_command_find(args->rest[0]);
    if (command == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "there is no command '%s'; see 'omen help'",
                            args->rest[0]);
    }
    om_help_command(stdout, command);
    return true;
}

bool om_cmd_completion(const om_args *args, om_tool_error *err)
{
    if (strcmp(args->rest[0], "bash") != 0) {
        return om_tool_fail(err, OM_EXIT_USAGE, "only bash completion exists, not '%s'",
                            args->rest[0]);
    }
    om_completion_bash(stdout);
    return true;
}

bool om_cmd_version(const om_args *args, om_tool_error *err)
{
    (void)err;
    uint32_t abi = omen_abi_version();
    if (args->json) {
        om_out_object(json_pack("{s:s, s:s, s:i, s:s}", "version", omen_version_string(), "abi",
                                om_out_abi(abi), "format", (int)omen_format_version(), "isa",
                                omen_isa_name()));
        return true;
    }
    (void)printf("omen %s\nabi %s\nformat %u\nkernels %s\n", omen_version_string(), om_out_abi(abi),
                 omen_format_version(), omen_isa_name());
    return true;
}

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
    free(args.rest);
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
