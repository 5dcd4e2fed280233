/* schema.h - the fields of a collection's metadata: names, types, options. Fields are only ever added and
 * never change, so a field that was found stays valid as long as the schema.
 * Depends on: base.  Threads: one adds at a time (the collection's write mutex), any number look.
 * Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SCHEMA_H
#define OM_SCHEMA_H
#include "alloc.h"
#include "base.h"

#define OM_NO_FIELD UINT16_MAX
typedef struct om_field {
    uint16_t id;    /* its place in the schema, from 0 */
    uint16_t type;  /* OMEN_TYPE_*, with OMEN_TYPE_ARRAY */
    uint32_t flags; /* OMEN_FIELD_* */
    float weight;   /* TEXT: above 0 */
    uint32_t name_length;
    char name[OMEN_MAX_FIELD_NAME + 1];
    char language[28]; /* TEXT: an algorithm of libstemmer; else "" */
} om_field;

typedef struct om_schema om_schema;
omen_status_t om_schema_create(const om_alloc *alloc, om_schema **out,
                               omen_error *err) OM_NODISCARD;
void om_schema_free(om_schema *schema); /* NULL ok */
uint32_t om_schema_count(const om_schema *schema);
const om_field *om_schema_at(const om_schema *schema, uint32_t id); /* id < count */
/* NULL: none has this name. */
const om_field *om_schema_find(const om_schema *schema, const char *name, size_t length);

/* Checks a declaration and fills in its defaults. Whether there is a stemmer of this language,
 * core/text knows. */
omen_status_t om_field_check(const omen_field *in, om_field *out, omen_error *err) OM_NODISCARD;
void om_field_describe(const om_field *field, omen_field *out);
/* Whether two fields of one name agree in type and options. */
bool om_field_same(const om_field *a, const om_field *b);
/* Adds a checked field, whose id is set, or finds that it is there already just so. ALREADY_EXISTS /
 * FIELD when it is there with another type or options; RESOURCE_EXHAUSTED / LIMIT beyond
 * OMEN_MAX_FIELDS. */
omen_status_t om_schema_add(om_schema *schema, om_field *field, omen_error *err) OM_NODISCARD;

/* The bytes of fields [first, count), for the log, manifests and segment files (FORMAT.md), and back:
 * fields that are there already must agree, and the others follow them. Input is hostile:
 * OMEN_DATA_LOSS. */
size_t om_schema_export_size(const om_schema *schema, uint32_t first);
void om_schema_export(const om_schema *schema, uint32_t first, uint8_t *out);
omen_status_t om_schema_import(om_schema *schema, const uint8_t *bytes, size_t size,
                               omen_error *err) OM_NODISCARD;
#endif
