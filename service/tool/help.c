/* help.c - help, exit codes and shell completion, made from the tables of commands and options.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "args.h"

void om_help_all(FILE *to)
{
    (void)fputs(
        "omen - search vectors, in a file, in a database or at a server\n"
        "\n"
        "Usage: omen COMMAND [TARGET] [ARGUMENTS] [OPTIONS]\n"
        "\n"
        "TARGET is a segment file (shop.omen), which omen opens itself, or, with --server or\n"
        "OMEN_SERVER, the name of a collection at an omend, or, with --db or OMEN_DB, of one in\n"
        "the database of a folder. A TARGET with a '.' or a '/' in it is always a file.\n"
        "\n"
        "Commands:\n",
        to);
    for (size_t i = 0; i < om_commands_count; i++) {
        (void)fprintf(to, "  %-11s %s\n", om_commands[i].name, om_commands[i].summary);
    }
    (void)fputs(
        "\n"
        "First steps:\n"
        "  omen import shop.omen vectors.npy --create     a file, made from a NumPy array\n"
        "  omen search shop.omen --vector '[0.1, 0.2]'    its nearest neighbours\n"
        "  omen search shop.omen queries.fvecs -k 5 --json | jq .hits\n"
        "  omen import images train.npy --create --db ./data\n"
        "  omen import images train.npy --create --server localhost:7700\n"
        "\n"
        "'omen help COMMAND' explains a command with examples, 'omen help exit-codes' lists\n"
        "the exit codes. Shell completion: source <(omen completion bash)\n",
        to);
}

static void print_option(FILE *to, const om_option *o)
{
    char left[80];
    char letter[8] = "    ";
    if (o->letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
    }
    (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value != NULL ? " " : "",
                   o->value != NULL ? o->value : "");
    if (strlen(left) > 32) {
        (void)fprintf(to, "  %s\n  %-32s  %s\n", left, "", o->help);
    } else {
        (void)fprintf(to, "  %-32s  %s\n", left, o->help);
    }
}

void om_help_command(FILE *to, const om_command *command)
{
    (void)fprintf(to, "omen %s - %s\n\nUsage: omen %s\n\n%s", command->name, command->summary,
                  command->usage, command->help);
    bool own = false;
    for (size_t i = 0; i < om_options_count; i++) {
        if (!om_options[i].global && om_command_takes(command, &om_options[i])) {
            (void)fputs(own ? "" : "\nOptions:\n", to);
            own = true;
            print_option(to, &om_options[i]);
        }
    }
    (void)fputs("\nOptions of every command:\n", to);
    for (size_t i = 0; i < om_options_count; i++) {
        bool remote = i > 2; /* help, json and quiet come first; the rest is about places */
        if (om_options[i].global && !(remote && command->local_only)) {
            print_option(to, &om_options[i]);
        }
    }
}

void om_help_exit_codes(FILE *to)
{
    (void)fputs(
        "Exit codes of omen:\n"
        "    0  success\n"
        "    1  runtime error: none of the following\n"
        "    2  usage: the command line is wrong\n"
        "    3  not found: no such file, collection or item\n"
        "    4  data loss: a damaged file, backup or dump, or a server that lost "
        "acknowledged batches\n"
        "    5  bad input: data that is malformed or does not fit the collection\n"
        "    6  unavailable: no server there, or it did not answer in time\n"
        "    7  precondition: exists already, in use, read-only, another version, a full disk, or "
        "a limit reached\n"
        "    8  denied: no valid key or certificate, or it may not do this\n"
        "  130  interrupted (Ctrl-C)\n",
        to);
}

/* The words of "a|b|c", separated by spaces; nothing when the text is a placeholder such as
 * FILE. */
static void print_words(FILE *to, const char *text)
{
    if (strchr(text, '|') == NULL) {
        return;
    }
    for (const char *p = text; *p != '\0'; p++) {
        (void)fputc(*p == '|' ? ' ' : *p, to);
    }
}

static void completion_values(FILE *to)
{
    (void)fputs("    case \"$prev\" in\n", to);
    for (size_t i = 0; i < om_options_count; i++) {
        const om_option *o = &om_options[i];
        if (o->value == NULL) {
            continue;
        }
        (void)fprintf(to, "    --%s%s%c) ", o->name, o->letter != 0 ? "|-" : "",
                      o->letter != 0 ? o->letter : ' ');
        if (strcmp(o->value, "FILE") == 0 || strcmp(o->value, "DIR") == 0 ||
            strcmp(o->value, "BACKUP") == 0) {
            (void)fputs("COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", to);
        } else {
            (void)fputs("COMPREPLY=($(compgen -W \"", to);
            print_words(to, o->value);
            (void)fputs("\" -- \"$cur\")); return ;;\n", to);
        }
    }
    (void)fputs("    esac\n", to);
}

void om_completion_bash(FILE *to)
{
    (void)fputs("# bash completion for omen: source <(omen completion bash)\n"
                "_omen() {\n"
                "    local cur prev cmd opts\n"
                "    cur=\"${COMP_WORDS[COMP_CWORD]}\"\n"
                "    prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
                "    cmd=\"${COMP_WORDS[1]}\"\n"
                "    COMPREPLY=()\n"
                "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                "        COMPREPLY=($(compgen -W \"",
                to);
    for (size_t i = 0; i < om_commands_count; i++) {
        (void)fprintf(to, "%s ", om_commands[i].name);
    }
    (void)fputs("\" -- \"$cur\"))\n        return\n    fi\n", to);
    completion_values(to);
    (void)fputs("    case \"$cmd\" in\n", to);
    for (size_t c = 0; c < om_commands_count; c++) {
        (void)fprintf(to, "    %s) opts=\"", om_commands[c].name);
        for (size_t i = 0; i < om_options_count; i++) {
            if (om_command_takes(&om_commands[c], &om_options[i])) {
                (void)fprintf(to, "--%s ", om_options[i].name);
            }
        }
        (void)fputs("\" ;;\n", to);
    }
    (void)fputs("    esac\n"
                "    if [ \"$cmd\" = help ]; then\n"
                "        COMPREPLY=($(compgen -W \"exit-codes ",
                to);
    for (size_t i = 0; i < om_commands_count; i++) {
        (void)fprintf(to, "%s ", om_commands[i].name);
    }
    (void)fputs("\" -- \"$cur\"))\n"
                "    elif [[ \"$cur\" == -* ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n"
                "    else\n"
                "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                "    fi\n"
                "}\n"
                "complete -o filenames -F _omen omen\n",
                to);
}
