/* field_spec.h - fields of the metadata as texts: of the command line (title:text:weight=2), of JSON (in
 * dumps and output), of tables.
 * Depends on: tool.h, jansson.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FIELD_SPEC_H
#define OM_FIELD_SPEC_H
#include <jansson.h>

#include "tool.h"

typedef struct om_field_list {
    omen_field *items;
    size_t count;
} om_field_list;
void om_field_list_free(om_field_list *list);
/* A list of n zeroed fields, count 0. */
bool om_field_list_make(om_field_list *list, size_t n, om_tool_error *err);

/* NAME:TYPE[:OPTION...] as --field takes it; a name with a ':' stands in double quotes. */
bool om_field_parse(const char *text, omen_field *out, om_tool_error *err);
/* "string[]"; buf holds at least 16 bytes. */
const char *om_field_type_name(uint32_t type, char *buf);
/* The options of a text field, as --field takes them: ":weight=2:language=german", or "". */
const char *om_field_options(const omen_field *f, char *buf, size_t size);
/* [{"name": ..., "type": ..., ...}, ...]; NULL when memory runs out. */
json_t *om_fields_json(const omen_field *fields, size_t count);
/* And back, from bytes that may be anything. */
bool om_fields_from_json(const json_t *array, om_field_list *out, om_tool_error *err);
#endif
