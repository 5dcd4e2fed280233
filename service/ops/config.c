/* config.c - reads the sources of configuration in order of strength, and checks the whole.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "config_int.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRONMENT_PREFIX "OMEND_"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define LEFT_AT_LEAST (UINT64_C(64) << 20)
/* Two of the largest messages; and what is enough for any server. */
#define TRANSPORT_LEAST (UINT64_C(32) << 20)
#define TRANSPORT_MOST (UINT64_C(512) << 20)

static bool load_defaults(om_config_loader *l)
{
    l->source = OM_SOURCE_DEFAULT;
    l->place = "default";
    for (size_t i = 0; i < om_config_row_count; i++) {
        const om_config_row *row = &om_config_rows[i];
        if (row->fallback != NULL && !om_config_set(l, row, row->fallback)) {
            return false;
        }
    }
    return true;
}

/* ---- Flags ----------------------------------------------------------------------------------- */

/* Letters to change, add or take away to get from a to b; for "did you mean". Names are short. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t line[64];
    size_t width = strlen(b);
    if (width >= 64 || strlen(a) >= 64) {
        return 64;
    }
    for (size_t j = 0; j <= width; j++) {
        line[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = line[0];
        line[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            best = best < line[j] + 1 ? best : line[j] + 1;
            best = best < line[j + 1] + 1 ? best : line[j + 1] + 1;
            diagonal = line[j + 1];
            line[j + 1] = best;
        }
    }
    return line[width];
}

/* NULL: none is near enough. */
static const char *nearest_option(const char *name)
{
    const char *nearest = NULL;
    size_t least = 4; /* farther away it would be a guess */
    for (size_t i = 0; i < om_config_row_count; i++) {
        size_t d = edit_distance(name, om_config_rows[i].name);
        if (d < least) {
            least = d;
            nearest = om_config_rows[i].name;
        }
    }
    return nearest;
}

static bool fail_unknown(const om_config_loader *l, int exit_code, const char *name)
{
    const char *nearest = nearest_option(name);
    if (nearest != NULL) {
        return om_config_fail(l->error, exit_code,
                              "%s: there is no option '%.64s'; did you mean '%s'?", l->place, name,
                              nearest);
    }
    return om_config_fail(l->error, exit_code, "%s: there is no option '%.64s'; --help lists them",
                          l->place, name);
}

static bool set_action(om_config *config, const char *flag)
{
    static const struct {
        const char *flag;
        uint32_t action;
    } actions[] = {{"--help", OM_CONFIG_HELP},          {"-h", OM_CONFIG_HELP},
                   {"--version", OM_CONFIG_VERSION},    {"-V", OM_CONFIG_VERSION},
                   {"--check-config", OM_CONFIG_CHECK}, {"--print-config", OM_CONFIG_PRINT}};
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].flag, flag) == 0) {
            config->action = actions[i].action;
            return true;
        }
    }
    return false;
}

/* One flag at argv[*at]; only the row of `only` when it is not NULL. Moves *at behind its value. */
static bool load_flag(om_config_loader *l, int argc, char *const *argv, int *at,
                      const om_config_row *only)
{
    const char *flag = argv[*at];
    char place[80];
    (void)snprintf(place, sizeof place, "%.70s", flag);
    l->place = place;
    (*at)++;
    if (set_action(l->config, flag)) {
        return true;
    }
    if (strncmp(flag, "--", 2) != 0 || flag[2] == '\0') {
        return om_config_fail(l->error, OM_EXIT_USAGE,
                              "'%.64s' is not an option; --help lists them", flag);
    }
    size_t length = strcspn(flag + 2, "=");
    const om_config_row *row = om_config_find(flag + 2, length);
    const char *value = flag[2 + length] == '=' ? flag + 3 + length : NULL;
    if (row == NULL) {
        char name[80];
        (void)snprintf(name, sizeof name, "%.*s", (int)(length < 70 ? length : 70), flag + 2);
        l->place = "command line";
        return fail_unknown(l, OM_EXIT_USAGE, name);
    }
    if (value == NULL && row->type == OM_TYPE_BOOL) {
        value = "true";
    } else if (value == NULL && *at == argc) {
        return om_config_fail(l->error, OM_EXIT_USAGE, "--%s: it wants a value: %s", row->name,
                              row->argument);
    } else if (value == NULL) {
        value = argv[(*at)++];
    }
    (void)snprintf(place, sizeof place, "--%s", row->name);
    return only != NULL && only != row ? true : om_config_set(l, row, value);
}

static bool load_flags(om_config_loader *l, int argc, char *const *argv, const om_config_row *only)
{
    bool ok = true;
    l->source = OM_SOURCE_FLAG;
    for (int at = 1; ok && at < argc;) {
        ok = load_flag(l, argc, argv, &at, only);
    }
    return ok;
}

/* ---- Environment ----------------------------------------------------------------------------- */

static void variable_of(const om_config_row *row, char *out, size_t size)
{
    (void)snprintf(out, size, ENVIRONMENT_PREFIX "%s", row->name);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
}

static const char *find_variable(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return NULL;
}

/* Only known names are looked up: Kubernetes adds OMEND_SERVICE_HOST and its like by itself. An
 * empty variable is one that is not set. */
static bool load_environment(om_config_loader *l, char *const *environment,
                             const om_config_row *only)
{
    bool ok = true;
    l->source = OM_SOURCE_ENVIRONMENT;
    for (size_t i = 0; ok && i < om_config_row_count; i++) {
        char name[64];
        const om_config_row *row = &om_config_rows[i];
        variable_of(row, name, sizeof name);
        const char *value = find_variable(environment, name);
        if ((only == NULL || only == row) && value != NULL && value[0] != '\0') {
            l->place = name;
            ok = om_config_set(l, row, value);
        }
    }
    return ok;
}

/* What Kubernetes sets for each service whose name starts with omend, as an option would be named:
 * service-host, metrics-service-port-http, port, port-7700-tcp-addr. */
static bool is_of_service(const char *option)
{
    size_t length = strlen(option);
    const char *port = strstr(option, "port-");
    return strstr(option, "service-host") != NULL || strstr(option, "service-port") != NULL ||
           (length >= 4 && strcmp(option + length - 4, "port") == 0) ||
           (port != NULL && isdigit((unsigned char)port[5]));
}

bool om_config_stray_variable(char *const *environment, size_t *at, char *out, size_t size)
{
    size_t prefix = strlen(ENVIRONMENT_PREFIX);
    for (; environment != NULL && environment[*at] != NULL; (*at)++) {
        char option[64];
        const char *name = environment[*at];
        size_t length = strcspn(name, "=");
        if (strncmp(name, ENVIRONMENT_PREFIX, prefix) != 0 || length >= sizeof option) {
            continue;
        }
        (void)snprintf(option, sizeof option, "%.*s", (int)(length - prefix), name + prefix);
        for (char *c = option; *c != '\0'; c++) {
            *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
        }
        if (om_config_find(option, strlen(option)) != NULL || is_of_service(option)) {
            continue;
        }
        const char *nearest = nearest_option(option);
        (void)snprintf(out, size, "%.*s says nothing: there is no option '%s'%s%s%s", (int)length,
                       name, option, nearest != NULL ? "; did you mean '" : "",
                       nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
        (*at)++;
        return true;
    }
    return false;
}

/* ---- File ------------------------------------------------------------------------------------ */

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    for (size_t n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]); n--) {
        text[n - 1] = '\0';
    }
    return text;
}

static bool load_line(om_config_loader *l, char *line, bool *given)
{
    char *name = trim(line);
    char *equals = strchr(name, '=');
    if (name[0] == '\0' || name[0] == '#') {
        return true;
    }
    if (equals == NULL) {
        return om_config_fail(l->error, OM_EXIT_CONFIG,
                              "%s: `name = value` is wanted, or a # comment", l->place);
    }
    *equals = '\0';
    name = trim(name);
    const om_config_row *row = om_config_find(name, strlen(name));
    if (row == NULL) {
        return fail_unknown(l, OM_EXIT_CONFIG, name);
    }
    if (row->type == OM_TYPE_FILE) {
        return om_config_fail(l->error, OM_EXIT_CONFIG,
                              "%s: a file cannot name another: --%s is for the command line and "
                              "the environment",
                              l->place, row->name);
    }
    bool list = row->type == OM_TYPE_LISTEN || row->type == OM_TYPE_OPEN;
    if (!list && given[row - om_config_rows]) {
        return om_config_fail(l->error, OM_EXIT_CONFIG, "%s: %s is given twice", l->place,
                              row->name);
    }
    given[row - om_config_rows] = true;
    return om_config_set(l, row, trim(equals + 1));
}

static bool parse_file(om_config_loader *l, const char *path, char *text)
{
    bool given[OM_CONFIG_MAX_OPTIONS] = {false};
    bool ok = true;
    l->source = OM_SOURCE_FILE;
    if (strncmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0) {
        text += strlen(BYTE_ORDER_MARK); /* some editors put it before UTF-8; it says nothing */
    }
    for (unsigned number = 1; ok && text != NULL; number++) {
        char place[OM_CONFIG_MAX_VALUE + 16];
        char *next = strchr(text, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        (void)snprintf(place, sizeof place, "%.200s:%u", path, number);
        l->place = place;
        ok = load_line(l, text, given);
        text = next;
    }
    return ok;
}

static bool load_file(om_config_loader *l, const char *path)
{
    char *text = malloc(OM_CONFIG_MAX_FILE + 2);
    bool ok = false;
    size_t n = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int why = fd < 0 ? errno : 0;
    while (text != NULL && fd >= 0 && got > 0 && n <= OM_CONFIG_MAX_FILE) {
        got = read(fd, text + n, OM_CONFIG_MAX_FILE + 1 - n);
        why = got < 0 ? errno : 0;
        n += got > 0 ? (size_t)got : 0;
    }
    if (text == NULL) {
        ok = om_config_fail_memory(l->error);
    } else if (why != 0) {
        ok =
            om_config_fail(l->error, OM_EXIT_CONFIG, "config file %.200s: %s", path, strerror(why));
    } else if (n > OM_CONFIG_MAX_FILE || memchr(text, '\0', n) != NULL) {
        ok = om_config_fail(
            l->error, OM_EXIT_CONFIG, "config file %.200s: %s (limit %d bytes)", path,
            n > OM_CONFIG_MAX_FILE ? "it is too large" : "it holds a zero byte, so is not text",
            OM_CONFIG_MAX_FILE);
    } else {
        text[n] = '\0';
        ok = parse_file(l, path, text);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    free(text);
    return ok;
}

/* ---- The whole ------------------------------------------------------------------------------- */

static bool asks_credentials(const om_config *c)
{
    return c->catalog != NULL || c->bootstrap_key_file != NULL || c->jwt_key != NULL;
}

/* What belongs to keys and certificates of callers. */
static bool check_access(const om_config *c, om_config_error *error)
{
    if (c->certificate_identities && (c->tls_client_ca == NULL || c->catalog == NULL)) {
        return om_config_fail(error, OM_EXIT_CONFIG, "certificate-identities is given without %s",
                              c->catalog == NULL
                                  ? "catalog, which says what they may do"
                                  : "tls-client-ca, which certificates are checked with");
    }
    if (c->jwt_key == NULL &&
        (c->jwt_algorithm != NULL || c->jwt_issuer != NULL || c->jwt_audience != NULL)) {
        return om_config_fail(error, OM_EXIT_CONFIG, "%s is given without jwt-key",
                              c->jwt_algorithm != NULL ? "jwt-algorithm"
                              : c->jwt_issuer != NULL  ? "jwt-issuer"
                                                       : "jwt-audience");
    }
    return true;
}

static bool check_exposure(const om_config *c, om_config_error *error)
{
    const char *open_address = NULL;
    const char *option = "listen";
    for (size_t i = 0; i < c->listen_count && open_address == NULL; i++) {
        open_address = om_config_is_loopback(c->listen[i]) ? NULL : c->listen[i];
    }
    if (open_address == NULL && c->admin_listen != NULL &&
        !om_config_is_loopback(c->admin_listen)) {
        open_address = c->admin_listen;
        option = "admin-listen";
    }
    if (open_address == NULL || c->insecure_expose) {
        return true;
    }
    if (c->tls_cert != NULL) {
        return c->tls_client_ca != NULL || asks_credentials(c) ||
               om_config_fail(
                   error, OM_EXIT_CONFIG,
                   "%s: others can reach '%s', and nothing is asked of them: give "
                   "bootstrap-key-file (and catalog), jwt-key or tls-client-ca, listen on "
                   "127.0.0.1, or accept the risk with insecure-expose",
                   option, open_address);
    }
    return om_config_fail(
        error, OM_EXIT_CONFIG,
        "%s: others can reach '%s', and there is no TLS: give tls-cert and tls-key (better "
        "with tls-client-ca), listen on 127.0.0.1, or accept the risk with insecure-expose",
        option, open_address);
}

static bool check_listen_twice(const om_config *c, om_config_error *error)
{
    char host[OM_CONFIG_MAX_ADDRESS];
    for (size_t i = 0; i < c->listen_count; i++) {
        uint16_t port = 1;
        bool any_port = om_config_split(c->listen[i], host, &port) && port == 0;
        for (size_t j = 0; j < i && !any_port; j++) {
            if (strcmp(c->listen[i], c->listen[j]) == 0) {
                return om_config_fail(error, OM_EXIT_CONFIG, "listen: '%s' is given twice",
                                      c->listen[i]);
            }
        }
    }
    return true;
}

/* A backup inside of the database would be part of it. A database in the folder of backups is a restored
 * one. */
static bool check_folders(const om_config *c, om_config_error *error)
{
    if (c->data_dir == NULL && (c->backup_dir != NULL || c->ram)) {
        return om_config_fail(error, OM_EXIT_CONFIG, "%s is given without data-dir",
                              c->backup_dir != NULL ? "backup-dir" : "ram");
    }
    if (c->backup_dir == NULL) {
        return true;
    }
    char data[PATH_MAX];
    char backup[PATH_MAX];
    if (realpath(c->backup_dir, backup) == NULL) {
        return om_config_fail(error, OM_EXIT_CONFIG, "backup-dir: '%.200s': %s", c->backup_dir,
                              strerror(errno));
    }
    struct stat st;
    if (stat(backup, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return om_config_fail(error, OM_EXIT_CONFIG, "backup-dir: '%.200s' is no folder",
                              c->backup_dir);
    }
    if (realpath(c->data_dir, data) == NULL) { /* it is made at the start */
        return true;
    }
    size_t n = strlen(data);
    if (strncmp(data, backup, n) == 0 && (backup[n] == '/' || backup[n] == '\0')) {
        return om_config_fail(
            error, OM_EXIT_CONFIG,
            "backup-dir '%.200s' is data-dir '%.200s' or lies in it: give a folder "
            "beside it",
            c->backup_dir, c->data_dir);
    }
    return true;
}

static bool check_whole(om_config *c, om_config_error *error)
{
    if ((c->tls_cert == NULL) != (c->tls_key == NULL)) {
        return om_config_fail(error, OM_EXIT_CONFIG, "%s is given without %s",
                              c->tls_cert != NULL ? "tls-cert" : "tls-key",
                              c->tls_cert != NULL ? "tls-key" : "tls-cert");
    }
    if (c->tls_client_ca != NULL && c->tls_cert == NULL) {
        return om_config_fail(error, OM_EXIT_CONFIG,
                              "tls-client-ca is given without tls-cert and tls-key");
    }
    if (c->stream_window_bytes < c->max_message_bytes) {
        return om_config_fail(error, OM_EXIT_CONFIG,
                              "stream-window-bytes (%" PRIu64
                              ") is below max-message-bytes (%" PRIu32
                              "): a message of that size could never be sent",
                              c->stream_window_bytes, c->max_message_bytes);
    }
    return check_access(c, error) && check_folders(c, error) && check_listen_twice(c, error) &&
           check_exposure(c, error);
}

/* Transport, allocator and code take some 30 MiB beside the engine: a fifth of a small group is not enough
 * for them, and the kernel kills who goes over its limit. */
uint64_t om_config_auto_memory(uint64_t most)
{
    uint64_t rest = most / 5 < LEFT_AT_LEAST ? LEFT_AT_LEAST : most / 5;
    return most / 2 < rest ? most - most / 2 : most - rest;
}

uint64_t om_config_transport_memory(uint64_t most)
{
    uint64_t part = most / 10 < TRANSPORT_LEAST ? TRANSPORT_LEAST : most / 10;
    return most == 0 || part > TRANSPORT_MOST ? TRANSPORT_MOST : part;
}

static void resolve_memory(om_config *c)
{
    if (c->memory_limit == OM_MEMORY_AUTO) {
        c->memory_limit = om_config_auto_memory(om_config_cgroup_memory("/"));
    }
}

bool om_config_load(om_config *config, int argc, char *const *argv, char *const *environment,
                    om_config_error *error)
{
    om_config_loader l = {config, error, OM_SOURCE_DEFAULT, "default"};
    const om_config_row *file = om_config_find("config", strlen("config"));
    memset(config, 0, sizeof *config);
    memset(error, 0, sizeof *error);
    /* First only --config and OMEND_CONFIG: the file is the weakest source and is read before them.
     */
    bool ok = load_defaults(&l) && load_environment(&l, environment, file) &&
              load_flags(&l, argc, argv, file);
    if (ok && (config->action == OM_CONFIG_HELP || config->action == OM_CONFIG_VERSION)) {
        return true; /* what else is given does not matter */
    }
    ok = ok && (config->file == NULL || load_file(&l, config->file)) &&
         load_environment(&l, environment, NULL) && load_flags(&l, argc, argv, NULL) &&
         check_whole(config, error);
    if (!ok) {
        om_config_free(config);
        return false;
    }
    resolve_memory(config);
    return true;
}

void om_config_free(om_config *config)
{
    for (size_t i = 0; i < om_config_row_count; i++) {
        const om_config_row *row = &om_config_rows[i];
        if (row->type == OM_TYPE_STRING || row->type == OM_TYPE_FILE) {
            char **field = (char **)(void *)((char *)config + row->offset);
            free(*field);
        }
        om_config_clear_list(config, row);
    }
    memset(config, 0, sizeof *config);
}
