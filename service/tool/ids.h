/* ids.h - a growing column of ids of one type, and text forms of ids.
 * Depends on: tool.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_IDS_H
#define OM_IDS_H
#include <stdio.h>

#include "tool.h"

/* type 0: not known yet; the first id fixes it. */
typedef struct om_ids {
    uint32_t type; /* OMEN_ID_* */
    size_t count;
    uint64_t *u64;    /* OMEN_ID_U64 */
    uint8_t *uuid;    /* OMEN_ID_UUID: 16 bytes each */
    char *text;       /* OMEN_ID_STRING: all bytes, without NULs between */
    int64_t *offsets; /* OMEN_ID_STRING: count + 1 */
    size_t cap, text_cap;
} om_ids;

void om_ids_free(om_ids *ids);
/* Forgets the ids, keeps the memory and the type. */
void om_ids_clear(om_ids *ids);
bool om_ids_add_u64(om_ids *ids, uint64_t id, om_tool_error *err);
bool om_ids_add_uuid(om_ids *ids, const uint8_t id[16], om_tool_error *err);
bool om_ids_add_string(om_ids *ids, const char *id, size_t len, om_tool_error *err);
/* Parses a text as an id of ids->type (which must be set) and appends it. */
bool om_ids_add_text(om_ids *ids, const char *text, size_t len, om_tool_error *err);
/* Appends id i of another column of the same type. */
bool om_ids_add_from(om_ids *ids, const om_ids *from, size_t i, om_tool_error *err);
/* Appends all ids of another column, converted to ids->type (set): texts to numbers or UUIDs,
 * numbers and UUIDs to texts. */
bool om_ids_add_converted(om_ids *ids, const om_ids *from, om_tool_error *err);
bool om_ids_equal(const om_ids *a, size_t i, const om_ids *b, size_t j);

/* The ids from `first` on as the C interface takes them: keys for u64, a column for the others. */
void om_ids_column(const om_ids *ids, size_t first, omen_column *column, const uint64_t **keys);

/* Text of id i: at most OMEN_MAX_STRING_ID bytes and a NUL into buf[OM_ID_TEXT]. Bytes that a
 * terminal could take for commands are replaced by '?'. Returns its length. */
#define OM_ID_TEXT (OMEN_MAX_STRING_ID + 1)
size_t om_ids_text(const om_ids *ids, size_t i, char buf[OM_ID_TEXT]);
/* The bytes of a string id. */
const char *om_ids_string(const om_ids *ids, size_t i, size_t *len);

/* Parses "18446744073709551614"; false when it is not a u64 or is the reserved greatest one. */
bool om_ids_parse_u64(const char *text, size_t len, uint64_t *out);
/* Parses 8-4-4-4-12 or 32 hexadecimal digits. */
bool om_ids_parse_uuid(const char *text, size_t len, uint8_t out[16]);
/* True for well-formed UTF-8 without NUL. */
bool om_ids_utf8(const char *text, size_t len);
#endif
