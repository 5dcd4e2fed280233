/* json_column.h - a growing column of JSON texts beside a column of ids: the metadata of a batch, an object
 * an item, or nothing where an item has none; the values of a facet.
 * Depends on: tool.h.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_JSON_COLUMN_H
#define OM_JSON_COLUMN_H
#include "tool.h"

typedef struct om_json_column {
    size_t count;
    char *text;       /* all bytes, without NULs between */
    int64_t *offsets; /* count + 1 */
    size_t cap, text_cap;
} om_json_column;

void om_json_column_free(om_json_column *c);
/* Forgets the texts, keeps the memory. */
void om_json_column_clear(om_json_column *c);
bool om_json_column_add(om_json_column *c, const char *text, size_t len, om_tool_error *err);
/* Text i; not terminated. */
const char *om_json_column_get(const om_json_column *c, size_t i, size_t *len);
size_t om_json_column_bytes(const om_json_column *c);
/* Texts [first, first + n) as the C interface takes them; absent (data NULL) when all are empty. */
void om_json_column_view(const om_json_column *c, size_t first, size_t n, omen_column *out);
/* Appends the n values of a column with 64-bit offsets, as the library hands them out. */
bool om_json_column_add_view(om_json_column *c, const omen_column *from, size_t n,
                             om_tool_error *err);
#endif
