/* config_value.c - parses one value of an option and stores it, or says what is wrong with it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "config_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool om_config_fail(om_config_error *error, int exit_code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->exit_code = exit_code;
    (void)vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return false;
}

/* A wrong value: the exit code tells whether the call or the file has to be corrected. */
static bool fail_value(const om_config_loader *l, const om_config_row *row, const char *value,
                       const char *why)
{
    int code = l->source == OM_SOURCE_FILE ? OM_EXIT_CONFIG : OM_EXIT_USAGE;
    return om_config_fail(l->error, code, "%s: '%.100s' is not valid for %s: %s", l->place, value,
                          row->name, why);
}

bool om_config_fail_memory(om_config_error *error)
{
    return om_config_fail(error, OM_EXIT_INTERNAL, "no memory for the configuration");
}

static bool set_string(const om_config_loader *l, char **field, const char *value, size_t length)
{
    char *copy = strndup(value, length);
    if (copy == NULL) {
        return om_config_fail_memory(l->error);
    }
    free(*field);
    *field = copy;
    return true;
}

static const om_config_word *find_word(const om_config_row *row, const char *value)
{
    for (const om_config_word *w = row->words; w != NULL && w->word != NULL; w++) {
        if (strcmp(w->word, value) == 0) {
            return w;
        }
    }
    return NULL;
}

static bool fail_bounds(const om_config_loader *l, const om_config_row *row, const char *value)
{
    char why[128];
    char low[32];
    char high[32];
    if (row->type == OM_TYPE_U32) {
        (void)snprintf(low, sizeof low, "%" PRIu64, row->min);
        (void)snprintf(high, sizeof high, "%" PRIu64, row->max);
    } else {
        om_config_put_bytes(row->min, low, sizeof low);
        om_config_put_bytes(row->max, high, sizeof high);
    }
    (void)snprintf(why, sizeof why, "it must be %s to %s%s%s", low, high,
                   row->words != NULL ? ", or " : "", row->words != NULL ? row->words->word : "");
    return fail_value(l, row, value, why);
}

static bool set_number(const om_config_loader *l, const om_config_row *row, const char *value)
{
    char *field = (char *)l->config + row->offset;
    const om_config_word *word = find_word(row, value);
    uint64_t number = 0;
    bool is_bytes = row->type == OM_TYPE_BYTES || row->type == OM_TYPE_BYTES32;
    if (word != NULL) {
        number = word->value == UINT32_MAX ? OM_MEMORY_AUTO : word->value;
    } else if (!(is_bytes ? om_config_parse_bytes(value, &number)
                          : om_config_parse_u64(value, &number))) {
        return fail_value(l, row, value,
                          is_bytes ? "a size like 4194304, 512KiB or 1.5GiB is wanted"
                                   : "a whole number is wanted");
    } else if (number < row->min || number > row->max) {
        return fail_bounds(l, row, value);
    }
    if (row->type == OM_TYPE_BYTES) {
        memcpy(field, &number, sizeof number);
    } else {
        uint32_t narrow = (uint32_t)number;
        memcpy(field, &narrow, sizeof narrow);
    }
    return true;
}

static bool set_word(const om_config_loader *l, const om_config_row *row, const char *value)
{
    char why[128] = "it must be one of:";
    const om_config_word *word = find_word(row, value);
    if (word == NULL) {
        for (word = row->words; word->word != NULL; word++) {
            size_t n = strlen(why);
            (void)snprintf(why + n, sizeof why - n, " %s", word->word);
        }
        return fail_value(l, row, value, why);
    }
    memcpy((char *)l->config + row->offset, &word->value, sizeof word->value);
    return true;
}

static bool set_bool(const om_config_loader *l, const om_config_row *row, const char *value)
{
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcmp(value, "yes") == 0;
    bool no = strcmp(value, "false") == 0 || strcmp(value, "0") == 0 || strcmp(value, "no") == 0;
    if (!yes && !no) {
        return fail_value(l, row, value, "true or false is wanted");
    }
    memcpy((char *)l->config + row->offset, &yes, sizeof yes);
    return true;
}

static bool add_listen(const om_config_loader *l, const om_config_row *row, const char *value)
{
    om_config *c = l->config;
    char host[OM_CONFIG_MAX_ADDRESS];
    uint16_t port = 0;
    if (!om_config_is_unix(value) && !om_config_split(value, host, &port)) {
        return fail_value(l, row, value, "HOST:PORT, [IPV6]:PORT or unix:/PATH is wanted");
    }
    if (c->listen_count == OM_CONFIG_MAX_LISTEN) {
        char why[64];
        (void)snprintf(why, sizeof why, "at most %d addresses", OM_CONFIG_MAX_LISTEN);
        return fail_value(l, row, value, why);
    }
    if (!set_string(l, &c->listen[c->listen_count], value, strlen(value))) {
        return false;
    }
    c->listen_count++;
    return true;
}

static bool add_open(const om_config_loader *l, const om_config_row *row, const char *value)
{
    om_config *c = l->config;
    const char *equals = strchr(value, '=');
    om_config_open *open = &c->open[c->open_count];
    if (c->open_count == OM_CONFIG_MAX_OPEN) {
        char why[64];
        (void)snprintf(why, sizeof why, "at most %d files", OM_CONFIG_MAX_OPEN);
        return fail_value(l, row, value, why);
    }
    if (equals == NULL || equals[1] == '\0') {
        return fail_value(l, row, value, "NAME=FILE is wanted");
    }
    if (!set_string(l, &open->name, value, (size_t)(equals - value)) ||
        !set_string(l, &open->file, equals + 1, strlen(equals + 1))) {
        free(open->name);
        open->name = NULL;
        return false;
    }
    c->open_count++; /* owned from here on */
    if (!om_config_is_name(open->name)) {
        return fail_value(l, row, value,
                          "a NAME is 1 to 63 of a-z, 0-9, _ and -, and does not "
                          "start with _ or -");
    }
    for (size_t i = 0; i + 1 < c->open_count; i++) {
        if (strcmp(c->open[i].name, open->name) == 0) {
            return fail_value(l, row, value, "the NAME is given twice");
        }
    }
    return true;
}

/* "a,b": each part on its own. */
static bool add_list(const om_config_loader *l, const om_config_row *row, const char *value)
{
    char part[OM_CONFIG_MAX_VALUE];
    while (true) {
        size_t length = strcspn(value, ",");
        (void)snprintf(part, sizeof part, "%.*s", (int)length, value);
        if (!(row->type == OM_TYPE_LISTEN ? add_listen(l, row, part) : add_open(l, row, part))) {
            return false;
        }
        if (value[length] == '\0') {
            return true;
        }
        value += length + 1;
    }
}

void om_config_clear_list(om_config *c, const om_config_row *row)
{
    for (; row->type == OM_TYPE_LISTEN && c->listen_count > 0; c->listen_count--) {
        free(c->listen[c->listen_count - 1]);
        c->listen[c->listen_count - 1] = NULL;
    }
    for (; row->type == OM_TYPE_OPEN && c->open_count > 0; c->open_count--) {
        free(c->open[c->open_count - 1].name);
        free(c->open[c->open_count - 1].file);
        memset(&c->open[c->open_count - 1], 0, sizeof c->open[0]);
    }
}

static bool set_text(const om_config_loader *l, const om_config_row *row, const char *value)
{
    char **field = (char **)(void *)((char *)l->config + row->offset);
    char host[OM_CONFIG_MAX_ADDRESS];
    uint16_t port = 0;
    bool admin = row->offset == offsetof(om_config, admin_listen);
    if (admin && strcmp(value, "off") == 0) {
        free(*field);
        *field = NULL;
        return true;
    }
    if (admin && !om_config_split(value, host, &port)) {
        return fail_value(l, row, value, "HOST:PORT, [IPV6]:PORT or off is wanted");
    }
    return set_string(l, field, value, strlen(value));
}

bool om_config_set(const om_config_loader *l, const om_config_row *row, const char *value)
{
    uint8_t *source = &l->config->source[row - om_config_rows];
    if (value[0] == '\0') {
        return fail_value(l, row, value, "it is empty");
    }
    if (value[0] == '"' || value[0] == '\'') {
        return fail_value(l, row, value, "quotes would be part of it: write it without");
    }
    if (strlen(value) >= OM_CONFIG_MAX_VALUE) {
        char why[64];
        (void)snprintf(why, sizeof why, "it is longer than %d bytes", OM_CONFIG_MAX_VALUE - 1);
        return fail_value(l, row, value, why);
    }
    if (*source != l->source) {
        om_config_clear_list(l->config, row);
        *source = l->source;
    }
    switch (row->type) {
    case OM_TYPE_BOOL:
        return set_bool(l, row, value);
    case OM_TYPE_WORD:
        return set_word(l, row, value);
    case OM_TYPE_LISTEN:
    case OM_TYPE_OPEN:
        return add_list(l, row, value);
    case OM_TYPE_STRING:
    case OM_TYPE_FILE:
        return set_text(l, row, value);
    default:
        return set_number(l, row, value);
    }
}
