/* args.h - the command line: one table of options, one of commands; help and completion come from
 * them.
 * Depends on: tool.h. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_ARGS_H
#define OM_ARGS_H
#include <stdio.h>

#include "tool.h"

/* The values of an option that may be given more than once, in order. */
typedef struct om_texts {
    const char **items;
    size_t count;
} om_texts;

/* Everything that options can set. Texts point into argv or the environment. */
typedef struct om_args {
    bool help, json, quiet;
    const char *server, *db, *collection, *tls_ca, *tls_cert, *tls_key, *tls_name, *key_file;
    bool plain_key;
    uint64_t timeout_ms;
    uint64_t dim, m, ef_construction, capacity, max_backlog; /* create */
    const char *metric, *dtype, *id_type, *quantization, *rotation, *entry, *durability;
    bool create; /* import */
    const char *format, *id_file, *stream_id, *mode;
    uint64_t limit, offset, batch, first_id, retry_s;
    bool no_wait;
    uint64_t k, ef, threads; /* search, recall, bench */
    bool exact, explain, graph_only, with_vectors;
    const char *vector, *id, *queries, *truth, *sqdist, *cosine, *thread_list;
    uint64_t in_flight, samples, seed, count;
    double seconds;
    bool show_vectors;
    const char *previous, *prefix, *remove, *once; /* backups */
    uint64_t keep;                                 /* OMEN_NONE: not given */
    bool copy, cancel, incremental, replace;
    bool again;              /* import: not a resumption */
    bool base64;             /* dump */
    uint64_t rows, id_bytes; /* estimate */
    om_texts fields, params, like, weights, facets;
    const char *metadata_file, *text, *text_field, *filter, *fusion, *max_distance, *min_score;
    const char *group_by, *shown_fields, *order_by;
    uint64_t skip, group_size, if_version;
    bool metadata, versions, descending, versioned; /* versioned: if_version was given */
    om_texts grants, hosts, clients;                /* keys, certs */
    const char *tenant, *expires, *certificate, *out;
    bool all, renew;
    /* OMEN_NONE: not given */
    uint64_t max_rows, max_bytes, max_calls, max_at_once, max_streams, share, days;
    const char *admin; /* top */
    double interval;
    bool one_look;
    char *whole_server; /* --server with the usual port; NULL: it has one */
    const char **rest;  /* arguments that are no options, in order */
    size_t rest_count;
} om_args;

typedef struct om_command {
    const char *name, *summary, *usage;
    const char
        *options; /* names, separated by spaces, beside the global ones; name= is the one with
                                  a value where a flag of the same name exists */
    size_t min_args, max_args; /* SIZE_MAX: any number */
    bool local_only;           /* knows no server */
    const char *help;          /* what it does, in paragraphs, with examples */
    bool (*run)(const om_args *args, om_tool_error *err);
} om_command;

typedef enum om_option_kind {
    OM_OPT_FLAG,
    OM_OPT_TEXT,
    OM_OPT_NUMBER,
    OM_OPT_SECONDS,
    OM_OPT_TEXTS /* may be repeated */
} om_option_kind;

typedef struct om_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    om_option_kind kind;
    bool global;
    size_t field;      /* offset in om_args */
    const char *value; /* what the help calls its value; words separated by | are completed */
    const char *help;
} om_option;

extern const om_option om_options[];
extern const size_t om_options_count;
extern const om_command om_commands[];
extern const size_t om_commands_count;

const om_command *om_command_find(const char *name);
bool om_command_takes(const om_command *command, const om_option *option);
/* Parses what follows the command. om_args_free when done, also after a failure. */
bool om_args_parse(const om_command *command, int argc, char **argv, om_args *args,
                   om_tool_error *err);
void om_args_free(om_args *args);

void om_help_all(FILE *to);
void om_help_command(FILE *to, const om_command *command);
void om_help_exit_codes(FILE *to);
void om_completion_bash(FILE *to);

/* The commands. Each returns false with *err filled when it fails. */
bool om_cmd_create(const om_args *args, om_tool_error *err);
bool om_cmd_import(const om_args *args, om_tool_error *err);
bool om_cmd_search(const om_args *args, om_tool_error *err);
bool om_cmd_get(const om_args *args, om_tool_error *err);
bool om_cmd_items(const om_args *args, om_tool_error *err);
bool om_cmd_patch(const om_args *args, om_tool_error *err);
bool om_cmd_fields(const om_args *args, om_tool_error *err);
bool om_cmd_delete(const om_args *args, om_tool_error *err);
bool om_cmd_count(const om_args *args, om_tool_error *err);
bool om_cmd_stats(const om_args *args, om_tool_error *err);
bool om_cmd_recall(const om_args *args, om_tool_error *err);
bool om_cmd_bench(const om_args *args, om_tool_error *err);
bool om_cmd_backup(const om_args *args, om_tool_error *err);
bool om_cmd_backups(const om_args *args, om_tool_error *err);
bool om_cmd_restore(const om_args *args, om_tool_error *err);
bool om_cmd_verify(const om_args *args, om_tool_error *err);
bool om_cmd_checkpoint(const om_args *args, om_tool_error *err);
bool om_cmd_optimize(const om_args *args, om_tool_error *err);
bool om_cmd_operations(const om_args *args, om_tool_error *err);
bool om_cmd_estimate(const om_args *args, om_tool_error *err);
bool om_cmd_dump(const om_args *args, om_tool_error *err);
bool om_cmd_load(const om_args *args, om_tool_error *err);
bool om_cmd_top(const om_args *args, om_tool_error *err);
bool om_cmd_list(const om_args *args, om_tool_error *err);
bool om_cmd_drop(const om_args *args, om_tool_error *err);
bool om_cmd_info(const om_args *args, om_tool_error *err);
bool om_cmd_keys(const om_args *args, om_tool_error *err);
bool om_cmd_tenants(const om_args *args, om_tool_error *err);
bool om_cmd_certs(const om_args *args, om_tool_error *err);
bool om_cmd_version(const om_args *args, om_tool_error *err);
bool om_cmd_completion(const om_args *args, om_tool_error *err);
bool om_cmd_help(const om_args *args, om_tool_error *err);
#endif
