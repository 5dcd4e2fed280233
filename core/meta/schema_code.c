/* schema_code.c - fields as bytes, for the log, manifests and segment files. FORMAT.md gives every byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "metautf8.h"
#include "schema_int.h"

enum { HEAD = 8, FIELD_HEAD = 16 };

/* The fixed part of a field; name, language and zeros up to a multiple of 8 follow. */
typedef struct om_field_code {
    uint16_t id, type;
    uint32_t flags;
    float weight;
    uint8_t name_length, language_length;
    uint16_t reserved;
} om_field_code;
_Static_assert(sizeof(om_field_code) == FIELD_HEAD, "as in the file");
_Static_assert(OMEN_MAX_FIELD_NAME <= UINT8_MAX, "lengths of a byte");

static size_t field_size(size_t name_length, size_t language_length)
{
    return om_round_up(FIELD_HEAD + name_length + language_length, 8);
}

size_t om_schema_export_size(const om_schema *schema, uint32_t first)
{
    size_t size = HEAD;
    for (uint32_t id = first; id < om_schema_count(schema); id++) {
        const om_field *field = om_schema_at(schema, id);
        size += field_size(field->name_length, strlen(field->language));
    }
    return size;
}

void om_schema_export(const om_schema *schema, uint32_t first, uint8_t *out)
{
    uint32_t count = om_schema_count(schema);
    uint32_t head[2] = {first, count > first ? count - first : 0};
    memcpy(out, head, sizeof head);
    out += HEAD;
    for (uint32_t id = first; id < count; id++) {
        const om_field *field = om_schema_at(schema, id);
        size_t language_length = strlen(field->language);
        size_t size = field_size(field->name_length, language_length);
        om_field_code code = {.id = field->id,
                              .type = field->type,
                              .flags = field->flags,
                              .weight = field->weight,
                              .name_length = (uint8_t)field->name_length,
                              .language_length = (uint8_t)language_length};
        memset(out, 0, size);
        memcpy(out, &code, sizeof code);
        memcpy(out + FIELD_HEAD, field->name, field->name_length);
        memcpy(out + FIELD_HEAD + field->name_length, field->language, language_length);
        out += size;
    }
}

static omen_status_t lost(omen_error *err, const char *what)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "fields of the metadata: %s", what);
}

/* The field at the head of `size` bytes, held to all rules of a declaration; *used: its bytes. */
static omen_status_t decode_field(const uint8_t *bytes, size_t size, om_field *out, size_t *used,
                                  omen_error *err)
{
    om_field_code code;
    omen_field field;
    if (size < FIELD_HEAD) {
        return lost(err, "cut");
    }
    memset(&field, 0, sizeof field);
    memcpy(&code, bytes, sizeof code);
    size_t length = field_size(code.name_length, code.language_length);
    size_t filled = (size_t)FIELD_HEAD + code.name_length + code.language_length;
    if (length > size || code.name_length > OMEN_MAX_FIELD_NAME ||
        code.language_length >= sizeof field.language || code.reserved != 0) {
        return lost(err, "a wrong length");
    }
    memcpy(field.name, bytes + FIELD_HEAD, code.name_length);
    memcpy(field.language, bytes + FIELD_HEAD + code.name_length, code.language_length);
    bool ends =
        strlen(field.name) != code.name_length || strlen(field.language) != code.language_length;
    for (size_t i = filled; i < length; i++) {
        ends = ends || bytes[i] != 0;
    }
    field.type = code.type;
    field.flags = code.flags;
    field.weight = code.weight;
    /* A weight of 0 or an empty language would be filled in: they are never written. */
    bool text = code.type == OMEN_TYPE_TEXT;
    if (ends || (text && (code.weight == 0 || code.language_length == 0)) ||
        om_field_check(&field, out, NULL) != OMEN_OK) {
        return lost(err, "a field that cannot be");
    }
    out->id = code.id;
    *used = length;
    return OMEN_OK;
}

static omen_status_t import_field(om_schema *schema, om_field *field, omen_error *err)
{
    uint32_t count = om_schema_count(schema);
    uint16_t id = field->id;
    if (id < count) {
        const om_field *there = om_schema_at(schema, id);
        bool same = om_field_same(there, field) && there->name_length == field->name_length &&
                    memcmp(there->name, field->name, field->name_length) == 0;
        return same ? OMEN_OK : lost(err, "a field that is another one already");
    }
    if (id != count || om_schema_find(schema, field->name, field->name_length) != NULL) {
        return lost(err, "a field that does not follow the others");
    }
    return om_schema_add(schema, field, err);
}

omen_status_t om_schema_import(om_schema *schema, const uint8_t *bytes, size_t size,
                               omen_error *err)
{
    uint32_t head[2];
    if (size < HEAD) {
        return lost(err, "cut");
    }
    memcpy(head, bytes, sizeof head);
    if (head[0] > OMEN_MAX_FIELDS || head[1] > OMEN_MAX_FIELDS - head[0]) {
        return lost(err, "more fields than a collection can have");
    }
    if (head[0] > om_schema_count(schema)) {
        return lost(err, "fields that do not follow the others");
    }
    size_t at = HEAD;
    for (uint32_t i = 0; i < head[1]; i++) {
        om_field field;
        size_t used = 0;
        omen_status_t status = decode_field(bytes + at, size - at, &field, &used, err);
        if (status == OMEN_OK && field.id != head[0] + i) {
            status = lost(err, "fields that are not in order");
        }
        if (status == OMEN_OK) {
            status = import_field(schema, &field, err);
        }
        if (status != OMEN_OK) {
            return status;
        }
        at += used;
    }
    return at == size ? OMEN_OK : lost(err, "bytes behind the last field");
}
