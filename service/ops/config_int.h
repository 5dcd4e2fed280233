/* config_int.h - the table of options and the parsers of their values.
 * Depends on: config.h.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_CONFIG_INT_H
#define OM_CONFIG_INT_H
#include "config.h"

enum { OM_SOURCE_DEFAULT = 0, OM_SOURCE_FILE = 1, OM_SOURCE_ENVIRONMENT = 2, OM_SOURCE_FLAG = 3 };
enum {
    OM_TYPE_U32 = 0,
    OM_TYPE_BYTES32,
    OM_TYPE_BYTES,
    OM_TYPE_BOOL,
    OM_TYPE_WORD,
    OM_TYPE_STRING,
    OM_TYPE_LISTEN,
    OM_TYPE_OPEN,
    OM_TYPE_FILE
};

typedef struct om_config_word {
    const char *word;
    uint32_t value;
} om_config_word;

typedef struct om_config_row {
    const char *name; /* of the flag, without dashes */
    uint8_t type;     /* OM_TYPE_* */
    size_t offset;    /* of the field in om_config */
    uint64_t min, max;
    const char *fallback;        /* the default as text; NULL: none */
    const om_config_word *words; /* of OM_TYPE_WORD; of a number: words it also takes */
    const char *argument;        /* for --help: "BYTES" */
    const char *help;
} om_config_row;
extern const om_config_row om_config_rows[];
extern const size_t om_config_row_count;
const om_config_row *om_config_find(const char *name, size_t length);

#define OM_MEMORY_AUTO UINT64_MAX /* before load has resolved it */

/* "123", "64KiB", "2MiB", "1.5GiB"; false when it is not of this form. Saturates. */
bool om_config_parse_bytes(const char *text, uint64_t *out);
bool om_config_parse_u64(const char *text, uint64_t *out);
/* ^[a-z0-9][a-z0-9_-]{0,62}$ */
bool om_config_is_name(const char *name);
/* Writes `value` as the shortest text that parse_bytes reads back. */
void om_config_put_bytes(uint64_t value, char *out, size_t size);
bool om_config_is_unix(const char *address); /* "unix:/path" */

/* What the readers of a source hand down. */
typedef struct om_config_loader {
    om_config *config;
    om_config_error *error;
    uint8_t source;    /* OM_SOURCE_* that is being read */
    const char *place; /* "--listen", "OMEND_LISTEN", "omend.conf:3": for messages */
} om_config_loader;
/* Fills *error and returns false. */
bool om_config_fail(om_config_error *error, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool om_config_fail_memory(om_config_error *error);
/* Parses and stores one value; a list grows, unless what it holds came from a weaker source. */
bool om_config_set(const om_config_loader *l, const om_config_row *row, const char *value);
void om_config_clear_list(om_config *c, const om_config_row *row);
#endif
