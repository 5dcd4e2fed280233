/* engine_cells.c - fields by name, and single values of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_answer.h"

omen_status_t om_field_find(const om_collection *c, const char *what, const char *name,
                            const om_field **out, omen_error *err)
{
    size_t length = strnlen(name, OMEN_MAX_FIELD_NAME + 1);
    const om_field *field =
        length <= OMEN_MAX_FIELD_NAME ? om_schema_find(c->schema, name, length) : NULL;
    if (field == NULL) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD,
                       "%s: collection '%s' has no field '%.*s'%s", what, c->name,
                       (int)om_min_u64(length, OMEN_MAX_FIELD_NAME), name,
                       length > OMEN_MAX_FIELD_NAME ? "..." : "");
    }
    *out = field;
    return OMEN_OK;
}

const char *om_field_type_name(uint32_t type)
{
    static const char *const names[] = {"?",    "string", "int64", "double", "bool",
                                        "time", "bytes",  "geo",   "text"};
    static const char *const arrays[] = {"?",      "string[]", "int64[]", "double[]",
                                         "bool[]", "time[]",   "bytes[]"};
    uint32_t base = type & ~(uint32_t)OMEN_TYPE_ARRAY;
    if ((type & OMEN_TYPE_ARRAY) != 0) {
        return base < sizeof arrays / sizeof *arrays ? arrays[base] : "?";
    }
    return base < sizeof names / sizeof *names ? names[base] : "?";
}

omen_status_t om_cell(const om_fields_look *look, uint32_t slot, uint16_t field, om_meta_value *out,
                      omen_error *err)
{
    out->type = 0;
    if (!look->any) {
        return OMEN_OK;
    }
    if (slot >= look->parts->meta_covered) {
        const uint8_t *row = om_fields_meta_row(look, slot);
        if (row == NULL || !om_meta_get(row, field, out)) {
            out->type = 0;
        }
        return OMEN_OK;
    }
    uint32_t i = om_fields_part_of(look, slot);
    const om_metablock *block = NULL;
    if (look->parts->meta[i].none) {
        return OMEN_OK;
    }
    omen_status_t status = om_fields_block(look, i, &block, err);
    if (status == OMEN_OK &&
        !om_metablock_get(block, slot - look->parts->meta[i].first, field, out)) {
        out->type = 0;
    }
    return status;
}
