/* cmd_basic.c - help, completion, version. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

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
