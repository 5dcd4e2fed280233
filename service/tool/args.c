/* args.c - the table of options and the parser: --name value, --name=value, -k 10, -k10, --.
 * SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(om_args, name)

const om_option om_options[] = {
    {"help", 'h', OM_OPT_FLAG, true, FIELD(help), NULL, "show the help of a command"},
    {"json", 'j', OM_OPT_FLAG, true, FIELD(json), NULL, "print JSON, for scripts"},
    {"quiet", 'q', OM_OPT_FLAG, true, FIELD(quiet), NULL, "no progress bar, no notes"},
    {"server", 's', OM_OPT_TEXT, true, FIELD(server), "HOST[:PORT]",
     "use an omend (environment: OMEN_SERVER) in place of a file"},
    {"db", 0, OM_OPT_TEXT, true, FIELD(db), "DIR",
     "use the database in this folder (OMEN_DB), which omen opens itself"},
    {"collection", 'c', OM_OPT_TEXT, true, FIELD(collection), "NAME",
     "the collection at the server or in the database (OMEN_COLLECTION); then no TARGET is given"},
    {"tls-ca", 0, OM_OPT_TEXT, true, FIELD(tls_ca), "FILE",
     "use TLS and trust these roots, PEM (OMEN_TLS_CA)"},
    {"tls-cert", 0, OM_OPT_TEXT, true, FIELD(tls_cert), "FILE",
     "the client's certificate chain, PEM (OMEN_TLS_CERT)"},
    {"tls-key", 0, OM_OPT_TEXT, true, FIELD(tls_key), "FILE",
     "the client's private key, PEM (OMEN_TLS_KEY)"},
    {"tls-name", 0, OM_OPT_TEXT, true, FIELD(tls_name), "NAME",
     "the name the server's certificate carries, when it is not HOST (OMEN_TLS_NAME)"},
    {"key-file", 0, OM_OPT_TEXT, true, FIELD(key_file), "FILE",
     "show the API key or JWT in this file; -: standard input (OMEN_KEY_FILE)"},
    {"plain-key", 0, OM_OPT_FLAG, true, FIELD(plain_key), NULL,
     "send it to another machine without TLS, where others may read it"},
    {"timeout", 0, OM_OPT_NUMBER, true, FIELD(timeout_ms), "MS",
     "deadline of each call to the server (30000)"},

    {"dim", 'd', OM_OPT_NUMBER, false, FIELD(dim), "N", "values of a vector, 1 to 65535"},
    {"metric", 0, OM_OPT_TEXT, false, FIELD(metric), "l2|ip|cosine", "distance (l2)"},
    {"dtype", 0, OM_OPT_TEXT, false, FIELD(dtype), "f32|f16|i8|u8", "stored values (f32)"},
    {"id-type", 0, OM_OPT_TEXT, false, FIELD(id_type), "u64|uuid|string", "ids (u64)"},
    {"m", 0, OM_OPT_NUMBER, false, FIELD(m), "N", "links chosen an item (16)"},
    {"ef-construction", 0, OM_OPT_NUMBER, false, FIELD(ef_construction), "N",
     "beam while building (100)"},
    {"quantization", 0, OM_OPT_TEXT, false, FIELD(quantization), "sq8|none",
     "what the graph is walked with: int8 codes, or full precision (sq8)"},
    {"rotation", 0, OM_OPT_TEXT, false, FIELD(rotation), "auto|off|on",
     "rotate before quantising (auto)"},
    {"entry", 0, OM_OPT_TEXT, false, FIELD(entry), "auto|seeds|hierarchy",
     "where a search enters the graph (auto)"},
    {"durability", 0, OM_OPT_TEXT, false, FIELD(durability), "none|interval|batch",
     "what an acknowledgement promises (the collection's)"},
    {"capacity", 0, OM_OPT_NUMBER, false, FIELD(capacity), "ROWS", "rows expected; a hint"},
    {"max-backlog", 0, OM_OPT_NUMBER, false, FIELD(max_backlog), "ROWS",
     "rows not yet in the graph before writers wait"},

    {"create", 0, OM_OPT_FLAG, false, FIELD(create), NULL,
     "make the collection if it is missing, with the shape of the file"},
    {"format", 'f', OM_OPT_TEXT, false, FIELD(format), "fvecs|bvecs|ivecs|npy|idx|jsonl|dump",
     "format of the file (told by its name or first bytes)"},
    {"limit", 'n', OM_OPT_NUMBER, false, FIELD(limit), "ROWS", "at most so many rows (all)"},
    {"offset", 0, OM_OPT_NUMBER, false, FIELD(offset), "ROWS", "skip so many rows first"},
    {"batch", 'b', OM_OPT_NUMBER, false, FIELD(batch), "ROWS", "rows a batch (about 1 MiB)"},
    {"id-file", 0, OM_OPT_TEXT, false, FIELD(id_file), "FILE", "ids, one a line"},
    {"first-id", 0, OM_OPT_NUMBER, false, FIELD(first_id), "N",
     "id of the first row of the file, rising from there (0)"},
    {"mode", 0, OM_OPT_TEXT, false, FIELD(mode), "upsert|insert|update|patch",
     "insert refuses ids that exist, update those that do not; patch changes what a line tells of "
     "and\n"
     "                                    leaves the rest (upsert)"},
    {"stream-id", 0, OM_OPT_TEXT, false, FIELD(stream_id), "TEXT",
     "name of the upload (made from file and collection): run again with the same one to resume"},
    {"again", 0, OM_OPT_FLAG, false, FIELD(again), NULL,
     "write all of it, also what an earlier run of the same upload has written"},
    {"retry", 0, OM_OPT_NUMBER, false, FIELD(retry_s), "SECONDS",
     "how long to try to reconnect (60)"},
    {"no-wait", 0, OM_OPT_FLAG, false, FIELD(no_wait), NULL,
     "return before all rows are in the graph, or before the operation has ended: then\n"
     "                                    'omen operations' tells how it goes"},

    {"top", 'k', OM_OPT_NUMBER, false, FIELD(k), "N", "neighbours wanted, 1 to 16384 (10)"},
    {"ef", 'e', OM_OPT_NUMBER, false, FIELD(ef), "N", "beam width: more is slower and better"},
    {"exact", 'x', OM_OPT_FLAG, false, FIELD(exact), NULL, "brute force over all items"},
    {"explain", 0, OM_OPT_FLAG, false, FIELD(explain), NULL, "tell what each search did"},
    {"threads", 't', OM_OPT_TEXT, false, FIELD(thread_list), "N[,N...]", "threads to use"},
    {"graph-only", 0, OM_OPT_FLAG, false, FIELD(graph_only), NULL,
     "use the graph also where a scan would be taken"},
    {"vector", 'v', OM_OPT_TEXT, false, FIELD(vector), "[V,V,...]", "a query, as a JSON array"},
    {"id", 'i', OM_OPT_TEXT, false, FIELD(id), "ID", "search with the vector of this item"},
    {"queries", 'Q', OM_OPT_TEXT, false, FIELD(queries), "FILE", "queries, in any import format"},
    {"truth", 0, OM_OPT_TEXT, false, FIELD(truth), "FILE",
     "ivecs: the ids of the true neighbours, a row a query"},
    {"sqdist", 0, OM_OPT_TEXT, false, FIELD(sqdist), "FILE",
     "ivecs or fvecs: their squared distances, so that ties count"},
    {"cosine", 0, OM_OPT_TEXT, false, FIELD(cosine), "FILE",
     "fvecs: their cosine similarities, so that ties count"},
    {"samples", 0, OM_OPT_NUMBER, false, FIELD(samples), "N",
     "stored items used as queries when no file is given (200)"},
    {"seed", 0, OM_OPT_NUMBER, false, FIELD(seed), "N", "chooses the samples (1)"},
    {"seconds", 0, OM_OPT_SECONDS, false, FIELD(seconds), "S", "length of each measurement (3)"},
    {"in-flight", 0, OM_OPT_NUMBER, false, FIELD(in_flight), "N",
     "calls under way on each connection (1)"},
    {"previous", 0, OM_OPT_TEXT, false, FIELD(previous), "BACKUP",
     "an older backup: files that it has are linked from it, not read again"},
    {"incremental", 0, OM_OPT_FLAG, false, FIELD(incremental), NULL,
     "link the files that the server's newest backup has"},
    {"prefix", 0, OM_OPT_TEXT, false, FIELD(prefix), "TEXT", "only names that begin with it"},
    {"keep", 0, OM_OPT_NUMBER, false, FIELD(keep), "N",
     "delete all but the N newest (1 or more) of those with --prefix"},
    {"delete", 0, OM_OPT_TEXT, false, FIELD(remove), "NAME", "delete this backup"},
    {"replace", 0, OM_OPT_FLAG, false, FIELD(replace), NULL,
     "what is at TO is moved aside to TO.replaced-1 (-2, ...), not deleted"},
    {"once", 0, OM_OPT_TEXT, false, FIELD(once), "TEXT",
     "remember TEXT in the file TO.restored; do nothing when it is there already"},
    {"copy", 0, OM_OPT_FLAG, false, FIELD(copy), NULL,
     "copy files always; else hard links where that is possible"},
    {"cancel", 0, OM_OPT_FLAG, false, FIELD(cancel), NULL, "ask the operation to stop"},
    {"base64", 0, OM_OPT_FLAG, false, FIELD(base64), NULL,
     "JSON lines with vectors as base64 of their bytes: exact, and half as long"},
    {"rows", 0, OM_OPT_NUMBER, false, FIELD(rows), "N", "items"},
    {"id-bytes", 0, OM_OPT_NUMBER, false, FIELD(id_bytes), "N", "mean length of string ids (16)"},
    {"vectors", 0, OM_OPT_FLAG, false, FIELD(show_vectors), NULL, "print the vectors too"},

    {"field", 0, OM_OPT_TEXTS, false, FIELD(fields), "NAME:TYPE",
     "declare a field (repeatable): string, int, double, bool, time, bytes, with [] also arrays,\n"
     "                                    geo, or "
     "text[:weight=W][:language=L][:stop-words][:no-stemming]"},
    {"metadata", 0, OM_OPT_TEXT, false, FIELD(metadata_file), "FILE",
     "JSON lines: the metadata of the rows of the other file, in the same order"},
    {"metadata", 0, OM_OPT_FLAG, false, FIELD(metadata), NULL, "show the metadata"},
    {"versions", 0, OM_OPT_FLAG, false, FIELD(versions), NULL, "show the versions of the items"},
    {"fields", 0, OM_OPT_TEXT, false, FIELD(shown_fields), "A,B",
     "show these fields of the metadata"},
    {"text", 0, OM_OPT_TEXT, false, FIELD(text), "WORDS",
     "search for words (BM25); those in \"...\" one after the other"},
    {"text-field", 0, OM_OPT_TEXT, false, FIELD(text_field), "FIELD",
     "look for the words in this field (all text fields, by their weights)"},
    {"like", 0, OM_OPT_TEXTS, false, FIELD(like), "ID",
     "near the mean of the vectors of these items (repeatable), which are left out"},
    {"filter", 0, OM_OPT_TEXT, false, FIELD(filter), "CONDITION",
     "only items that pass, as in \"year >= 1950 AND genres CONTAINS 'Drama'\""},
    {"param", 0, OM_OPT_TEXTS, false, FIELD(params), "JSON",
     "the value of $1, then $2, ... of the filter"},
    {"fusion", 0, OM_OPT_TEXT, false, FIELD(fusion), "rrf|weighted",
     "how several searches become one list: by ranks, or by scores (rrf)"},
    {"weight", 0, OM_OPT_TEXTS, false, FIELD(weights), "W",
     "of a search in the fusion, in the order vector, like, text (repeatable; 1)"},
    {"skip", 0, OM_OPT_NUMBER, false, FIELD(skip), "N", "leave out the first N hits"},
    {"max-distance", 0, OM_OPT_TEXT, false, FIELD(max_distance), "D", "only hits within it"},
    {"min-score", 0, OM_OPT_TEXT, false, FIELD(min_score), "S", "only hits with that score"},
    {"group-by", 0, OM_OPT_TEXT, false, FIELD(group_by), "FIELD",
     "the best of each value of the field; -k counts values"},
    {"group-size", 0, OM_OPT_NUMBER, false, FIELD(group_size), "N", "so many of each value (1)"},
    {"facet", 0, OM_OPT_TEXTS, false, FIELD(facets), "FIELD",
     "count the values of a field among the items that pass (repeatable)"},
    {"order-by", 0, OM_OPT_TEXT, false, FIELD(order_by), "FIELD", "sort by it (as written)"},
    {"desc", 0, OM_OPT_FLAG, false, FIELD(descending), NULL, "largest first"},
    {"if-version", 0, OM_OPT_NUMBER, false, FIELD(if_version), "V",
     "only while the item has this version (as get --versions shows it)"},

    {"grant", 0, OM_OPT_TEXTS, false, FIELD(grants), "ROLE:COLLECTION",
     "what the key may do (repeatable): read, write or manage; of a collection, of prefix*, of *"},
    {"tenant", 0, OM_OPT_TEXT, false, FIELD(tenant), "NAME", "whose limits hold for it (default)"},
    {"expires", 0, OM_OPT_TEXT, false, FIELD(expires), "WHEN",
     "after this time (90m, 12h, 30d) or on this day (2027-01-31); never, if not given"},
    {"certificate", 0, OM_OPT_TEXT, false, FIELD(certificate), "NAME",
     "no secret: who shows a client certificate of this name"},
    {"out", 'o', OM_OPT_TEXT, false, FIELD(out), "FILE",
     "write the secret to a new file that only its owner may read"},
    {"all", 0, OM_OPT_FLAG, false, FIELD(all), NULL, "revoked and expired ones too"},
    {"max-rows", 0, OM_OPT_NUMBER, false, FIELD(max_rows), "N", "items in its collections; 0: any"},
    {"max-bytes", 0, OM_OPT_NUMBER, false, FIELD(max_bytes), "N",
     "bytes of them: vectors, ids, metadata; 0: any"},
    {"max-calls", 0, OM_OPT_NUMBER, false, FIELD(max_calls), "N", "calls a second; 0: any"},
    {"max-concurrent", 0, OM_OPT_NUMBER, false, FIELD(max_at_once), "N", "calls at once; 0: any"},
    {"max-streams", 0, OM_OPT_NUMBER, false, FIELD(max_streams), "N", "uploads at once; 0: any"},
    {"share", 0, OM_OPT_NUMBER, false, FIELD(share), "N",
     "of the search workers, against those of others, when they are short (1)"},
    {"host", 0, OM_OPT_TEXTS, false, FIELD(hosts), "NAME",
     "a name or address of the server (repeatable), beside localhost, 127.0.0.1 and ::1"},
    {"client", 0, OM_OPT_TEXTS, false, FIELD(clients), "NAME", "a client (repeatable; client)"},
    {"days", 0, OM_OPT_NUMBER, false, FIELD(days), "N", "how long they are valid (30)"},
    {"renew", 0, OM_OPT_FLAG, false, FIELD(renew), NULL,
     "replace certificates and keys that are there; the authority stays"},
    {"admin", 0, OM_OPT_TEXT, false, FIELD(admin), "HOST:PORT",
     "the server's admin address (OMEN_ADMIN; the host of --server, or localhost, port 7701)"},
    {"interval", 0, OM_OPT_SECONDS, false, FIELD(interval), "S", "between two looks (1)"},
    {"once", 0, OM_OPT_FLAG, false, FIELD(one_look), NULL, "one look, and out"},
};
const size_t om_options_count = sizeof om_options / sizeof *om_options;

const om_command *om_command_find(const char *name)
{
    for (size_t i = 0; i < om_commands_count; i++) {
        if (strcmp(name, om_commands[i].name) == 0) {
            return &om_commands[i];
        }
    }
    return NULL;
}

/* Whether a name is (also) that of a flag. */
static bool has_flag(const char *name)
{
    for (size_t i = 0; i < om_options_count; i++) {
        if (om_options[i].kind == OM_OPT_FLAG && strcmp(om_options[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool om_command_takes(const om_command *command, const om_option *option)
{
    if (option->global) {
        return true;
    }
    size_t n = strlen(option->name);
    bool valued = option->kind != OM_OPT_FLAG && has_flag(option->name);
    for (const char *p = command->options; *p != '\0';) {
        size_t word = strcspn(p, " ");
        bool wants_value = word > 0 && p[word - 1] == '=';
        if (word - (wants_value ? 1 : 0) == n && memcmp(p, option->name, n) == 0 &&
            wants_value == valued) {
            return true;
        }
        p += word;
        p += strspn(p, " ");
    }
    return false;
}

static const om_option *find_option(const om_command *command, const char *name, size_t len)
{
    for (size_t i = 0; i < om_options_count; i++) {
        const om_option *o = &om_options[i];
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0 &&
            om_command_takes(command, o)) {
            return o;
        }
    }
    return NULL;
}

static const om_option *find_letter(char letter)
{
    for (size_t i = 0; i < om_options_count; i++) {
        if (om_options[i].letter != 0 && om_options[i].letter == letter) {
            return &om_options[i];
        }
    }
    return NULL;
}

/* Numbers may have a k, M or G behind them: thousands, millions, thousand millions. */
static bool parse_number(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = text;
    if (*p < '0' || *p > '9') {
        return false;
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return false;
        }
    }
    uint64_t unit = *p == 'k' ? 1000u : *p == 'M' ? 1000000u : *p == 'G' ? 1000000000u : 1u;
    p += unit != 1 ? 1 : 0;
    *out = value;
    return *p == '\0' && !__builtin_mul_overflow(value, unit, out);
}

static bool set_option(const om_option *o, const char *value, om_args *args, om_tool_error *err)
{
    void *field = (char *)args + o->field;
    if (o->kind == OM_OPT_FLAG) {
        *(bool *)field = true;
        return true;
    }
    if (o->kind == OM_OPT_TEXT) {
        *(const char **)field = value;
        return true;
    }
    if (o->kind == OM_OPT_TEXTS) { /* there is room for every argument */
        om_texts *list = field;
        list->items[list->count++] = value;
        return true;
    }
    if (o->kind == OM_OPT_NUMBER) {
        args->versioned = args->versioned || o->field == FIELD(if_version);
        return parse_number(value, field)
                   ? true
                   : om_tool_fail(err, OM_EXIT_USAGE, "--%s wants a whole number, not '%s'",
                                  o->name, value);
    }
    char *end;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds > 0 && seconds <= 86400)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--%s wants seconds above 0, not '%s'", o->name,
                            value);
    }
    *(double *)field = seconds;
    return true;
}

/* One argument that begins with a dash; *i moves on when it takes the next one as its value. */
static bool parse_option(const om_command *command, char **argv, int argc, int *i, om_args *args,
                         om_tool_error *err)
{
    const char *arg = argv[*i];
    const om_option *o;
    const char *value = NULL;
    if (arg[1] == '-') {
        size_t len = strcspn(arg + 2, "=");
        o = find_option(command, arg + 2, len);
        value = arg[2 + len] == '=' ? arg + 3 + len : NULL;
    } else {
        o = find_letter(arg[1]);
        value = arg[2] != '\0' ? arg + 2 : NULL;
    }
    if (o == NULL || !om_command_takes(command, o)) {
        return om_tool_fail(err, OM_EXIT_USAGE, "'omen %s' has no option '%s'; see 'omen help %s'",
                            command->name, arg, command->name);
    }
    if (o->kind == OM_OPT_FLAG && value != NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--%s takes no value", o->name);
    }
    if (o->kind != OM_OPT_FLAG && value == NULL) {
        if (*i + 1 >= argc) {
            return om_tool_fail(err, OM_EXIT_USAGE, "--%s wants a value: %s", o->name, o->value);
        }
        value = argv[++*i];
    }
    return set_option(o, value, args, err);
}

/* What no option has set. A server and a database are one choice: an option for one of them beats what the
 * environment says of the other. */
static bool from_environment(om_args *args, om_tool_error *err)
{
    bool chosen = args->server != NULL || args->db != NULL;
    static const struct {
        const char *name;
        size_t field;
    } known[] = {{"OMEN_SERVER", FIELD(server)},         {"OMEN_DB", FIELD(db)},
                 {"OMEN_COLLECTION", FIELD(collection)}, {"OMEN_TLS_CA", FIELD(tls_ca)},
                 {"OMEN_TLS_CERT", FIELD(tls_cert)},     {"OMEN_TLS_KEY", FIELD(tls_key)},
                 {"OMEN_TLS_NAME", FIELD(tls_name)},     {"OMEN_KEY_FILE", FIELD(key_file)}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *value = getenv(known[i].name);
        const char **field = (const char **)(void *)((char *)args + known[i].field);
        bool skip = chosen && i < 2; /* server and database */
        if (value != NULL && value[0] != '\0' && *field == NULL && !skip) {
            *field = value;
        }
    }
    return args->server == NULL || args->db == NULL
               ? true
               : om_tool_fail(
                     err, OM_EXIT_USAGE,
                     "--server and --db (or OMEN_SERVER and OMEN_DB) are both given: work on "
                     "one of them");
}

/* Whether digits up to the end are a port. */
static bool is_port(const char *text)
{
    size_t n = strspn(text, "0123456789");
    unsigned long port = n > 0 && n <= 5 && text[n] == '\0' ? strtoul(text, NULL, 10) : 0;
    return port > 0 && port <= 65535;
}

/* What is behind the host: "" or ":PORT". NULL: there is no host. */
static const char *behind_host(const char *address)
{
    if (address[0] == '[') {
        const char *end = strchr(address, ']');
        return end != NULL && end > address + 1 ? end + 1 : NULL;
    }
    size_t n = strcspn(address, ":");
    return n > 0 ? address + n : NULL;
}

/* The transport would take 443 where no port is given, and 0 where it cannot be read. Names with a scheme
 * (unix:/path) are the transport's. */
static bool complete_server(om_args *args, om_tool_error *err)
{
    static const char *const schemes[] = {"unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:"};
    static const char usual[] = ":7700";
    const char *address = args->server;
    for (size_t i = 0; address != NULL && i < sizeof schemes / sizeof *schemes; i++) {
        address = strncmp(address, schemes[i], strlen(schemes[i])) != 0 ? address : NULL;
    }
    if (address == NULL) {
        return true;
    }
    const char *rest = behind_host(address);
    if (rest == NULL || (rest[0] != '\0' && (rest[0] != ':' || !is_port(rest + 1)))) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "--server %s: HOST:PORT is wanted, as localhost:7700 or [::1]:7700",
                            address);
    }
    if (rest[0] == '\0') {
        size_t size = strlen(address) + sizeof usual;
        args->whole_server = malloc(size);
        if (args->whole_server == NULL) {
            return om_tool_no_memory(err, size);
        }
        (void)snprintf(args->whole_server, size, "%s%s", address, usual);
        args->server = args->whole_server;
    }
    return true;
}

/* Of the lists: none can be longer than the command line. */
static bool make_room(om_args *args, size_t n, om_tool_error *err)
{
    om_texts *lists[] = {&args->fields, &args->params, &args->like,  &args->weights,
                         &args->facets, &args->grants, &args->hosts, &args->clients};
    args->rest = calloc(n, sizeof *args->rest);
    bool ok = args->rest != NULL;
    for (size_t i = 0; ok && i < sizeof lists / sizeof *lists; i++) {
        lists[i]->items = calloc(n, sizeof *lists[i]->items);
        ok = lists[i]->items != NULL;
    }
    return ok ? true : om_tool_no_memory(err, n * sizeof *args->rest);
}

void om_args_free(om_args *args)
{
    free(args->rest);
    free(args->whole_server);
    free(args->fields.items);
    free(args->params.items);
    free(args->like.items);
    free(args->weights.items);
    free(args->facets.items);
    free(args->grants.items);
    free(args->hosts.items);
    free(args->clients.items);
    memset(args, 0, sizeof *args);
}

bool om_args_parse(const om_command *command, int argc, char **argv, om_args *args,
                   om_tool_error *err)
{
    memset(args, 0, sizeof *args);
    args->timeout_ms = 30000;
    args->retry_s = 60;
    args->k = 10;
    args->samples = 200;
    args->seed = 1;
    args->seconds = 3;
    args->in_flight = 1;
    args->id_bytes = 16;
    args->days = 30;
    args->max_rows = args->max_bytes = args->max_calls = OMEN_NONE;
    args->keep = OMEN_NONE;
    args->max_at_once = args->max_streams = args->share = OMEN_NONE;
    if (!make_room(args, (size_t)argc + 1, err)) {
        return false;
    }
    bool options = true;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (options && strcmp(arg, "--") == 0) {
            options = false;
        } else if (options && arg[0] == '-' && arg[1] != '\0') {
            if (!parse_option(command, argv, argc, &i, args, err)) {
                return false;
            }
        } else {
            args->rest[args->rest_count++] = arg;
        }
    }
    return from_environment(args, err) && complete_server(args, err);
}
