/* config_text.c - the values of options as text: numbers, sizes, names; --help and --print-config.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config_int.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *suffix;
    uint32_t shift;
} units[] = {{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}, {"", 0}};

/* Digits at *text; moves behind them. Saturates. False: there are none. */
static bool parse_digits(const char **text, uint64_t *out)
{
    const char *c = *text;
    uint64_t value = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    bool some = c != *text;
    *text = c;
    *out = value;
    return some;
}

bool om_config_parse_u64(const char *text, uint64_t *out)
{
    return parse_digits(&text, out) && *text == '\0';
}

static bool find_unit(const char *suffix, uint32_t *shift)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(units[i].suffix, suffix) == 0) {
            *shift = units[i].shift;
            return true;
        }
    }
    return false;
}

/* A fraction of at most three digits is enough for "1.5GiB" and stays exact in integers. */
bool om_config_parse_bytes(const char *text, uint64_t *out)
{
    uint64_t whole = 0;
    uint64_t thousandths = 0;
    uint32_t shift = 0;
    if (!parse_digits(&text, &whole)) {
        return false;
    }
    if (*text == '.') {
        uint64_t scale = 100;
        text++;
        if (*text < '0' || *text > '9') {
            return false;
        }
        for (; *text >= '0' && *text <= '9' && scale > 0; text++, scale /= 10) {
            thousandths += scale * (uint64_t)(*text - '0');
        }
    }
    if (!find_unit(text, &shift) || (thousandths > 0 && shift == 0)) {
        return false;
    }
    uint64_t fraction = (thousandths << shift) / 1000;
    if (whole > (UINT64_MAX >> shift) || (whole << shift) > UINT64_MAX - fraction) {
        *out = UINT64_MAX;
    } else {
        *out = (whole << shift) + fraction;
    }
    return true;
}

void om_config_put_bytes(uint64_t value, char *out, size_t size)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0] - 2; i++) {
        uint64_t unit = UINT64_C(1) << units[i].shift;
        if (value >= unit && value % unit == 0) {
            (void)snprintf(out, size, "%" PRIu64 "%s", value / unit, units[i].suffix);
            return;
        }
    }
    (void)snprintf(out, size, "%" PRIu64, value);
}

bool om_config_is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > 63 || name[0] == '_' || name[0] == '-') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

/* ---- --help ------------------------------------------------------------------------------ */

static void put_row(const om_config_row *row, FILE *out)
{
    char head[64];
    const char *line = row->help;
    (void)snprintf(head, sizeof head, "--%s %s", row->name, row->argument);
    (void)fprintf(out, "  %-38s", head);
    for (const char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
        (void)fprintf(out, "%.*s\n%40s", (int)(end - line), line, "");
        line = end + 1;
    }
    (void)fputs(line, out);
    if (row->fallback != NULL && row->type != OM_TYPE_BOOL) {
        (void)fprintf(out, " [%s]", row->fallback);
    }
    (void)fputc('\n', out);
}

void om_config_help(FILE *out)
{
    (void)fputs("omend - serves OmenDB collections over gRPC\n\n"
                "usage: omend [options]\n\n"
                "options [default]:\n",
                out);
    for (size_t i = 0; i < om_config_row_count; i++) {
        put_row(&om_config_rows[i], out);
    }
    (void)fputs(
        "  --check-config                        check every option and file, then exit\n"
        "  --print-config                        print the options in force as a file, then exit\n"
        "  --version                             print versions, then exit\n"
        "  --help                                this text\n\n"
        "Every option can also be set in the environment (OMEND_MAX_INFLIGHT=512) and in the file\n"
        "(max-inflight = 512). Flags win over the environment, that over the file, that over the\n"
        "defaults. Sizes are bytes, or have a unit: 512KiB, 64MiB, 1.5GiB.\n\n"
        "examples:\n"
        "  omend                                            in memory, on this machine only\n"
        "  omend --data-dir /var/lib/omendb --backup-dir /var/backups/omendb\n"
        "  omend --listen 127.0.0.1:0 --ready-file /run/omend.addr\n"
        "  omend --open movies=/srv/movies.omen             serve a saved segment\n"
        "  omend --listen 0.0.0.0:7700 --tls-cert s.pem --tls-key s.key --tls-client-ca ca.pem\n\n"
        "signals: TERM, INT stop (a second one: at once); HUP reads certificates and keys again, "
        "and\n"
        "opens the log file and the audit log again. Exit codes: 0 a clean stop, 64 a flag or "
        "environment\n"
        "variable is wrong, 65 the data folder is damaged, not ours or newer, 70 could not start "
        "or go on (a failed log "
        "write\n"
        "ends so; a restart replays the log), 74 a mapped file was cut, 75 another process has "
        "the\n"
        "data folder, 78 the configuration or a file that it names is wrong.\n",
        out);
}

/* ---- --print-config ---------------------------------------------------------------------- */

static const char *word_of(const om_config_row *row, uint64_t value)
{
    for (const om_config_word *w = row->words; w != NULL && w->word != NULL; w++) {
        if (w->value == value) {
            return w->word;
        }
    }
    return NULL;
}

static void print_lists(const om_config *config, const om_config_row *row, FILE *out)
{
    size_t count = row->type == OM_TYPE_OPEN ? config->open_count : config->listen_count;
    for (size_t i = 0; i < count; i++) {
        if (row->type == OM_TYPE_OPEN) {
            (void)fprintf(out, "open = %s=%s\n", config->open[i].name, config->open[i].file);
        } else {
            (void)fprintf(out, "listen = %s\n", config->listen[i]);
        }
    }
}

static void print_number(const om_config *config, const om_config_row *row, FILE *out)
{
    const char *field = (const char *)config + row->offset;
    uint64_t value = 0;
    uint32_t narrow = 0;
    char text[32];
    if (row->type == OM_TYPE_BYTES) {
        memcpy(&value, field, sizeof value);
    } else {
        memcpy(&narrow, field, sizeof narrow);
        value = narrow;
    }
    const char *word = word_of(row, value);
    if (row->type == OM_TYPE_BYTES || row->type == OM_TYPE_BYTES32) {
        om_config_put_bytes(value, text, sizeof text);
    } else {
        (void)snprintf(text, sizeof text, "%" PRIu64, value);
    }
    (void)fprintf(out, "%s = %s\n", row->name, word != NULL ? word : text);
}

static void print_row(const om_config *config, const om_config_row *row, FILE *out)
{
    const char *string = NULL;
    bool boolean = false;
    switch (row->type) {
    case OM_TYPE_LISTEN:
    case OM_TYPE_OPEN:
        print_lists(config, row, out);
        break;
    case OM_TYPE_BOOL:
        memcpy(&boolean, (const char *)config + row->offset, sizeof boolean);
        (void)fprintf(out, "%s = %s\n", row->name, boolean ? "true" : "false");
        break;
    case OM_TYPE_FILE:
        break;
    case OM_TYPE_STRING:
        memcpy(&string, (const char *)config + row->offset, sizeof string);
        if (string != NULL || row->fallback != NULL) {
            (void)fprintf(out, "%s = %s\n", row->name, string != NULL ? string : "off");
        }
        break;
    default:
        print_number(config, row, out);
        break;
    }
}

void om_config_print(const om_config *config, FILE *out)
{
    static const char *const sources[] = {"default", "file", "environment", "flag"};
    (void)fputs("# The options in force; # says where each value came from.\n", out);
    for (size_t i = 0; i < om_config_row_count; i++) {
        const om_config_row *row = &om_config_rows[i];
        if (config->source[i] != OM_SOURCE_DEFAULT && row->type != OM_TYPE_FILE) {
            (void)fprintf(out, "# %s\n", sources[config->source[i]]);
        }
        print_row(config, row, out);
    }
}
