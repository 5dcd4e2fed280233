/* fuzz_meta.h - what the fuzz targets of core/meta share: a schema of all types, and reading all of a
 * block.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_META_H
#define FUZZ_META_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metablock.h"

static const om_alloc fuzz_heap;

static inline void need(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Fields "1" to "8" of these types, "9" to "14" of arrays. */
static inline om_schema *fuzz_schema(void)
{
    om_schema *schema = NULL;
    need(om_schema_create(&fuzz_heap, &schema, NULL) == OMEN_OK, "a schema");
    for (uint32_t i = 1; i <= 14; i++) {
        omen_field in = {.type = i <= 8 ? i : (i - 8) | OMEN_TYPE_ARRAY};
        om_field field;
        (void)snprintf(in.name, sizeof in.name, "%u", i);
        need(om_field_check(&in, &field, NULL) == OMEN_OK, "a field");
        need(om_schema_add(schema, &field, NULL) == OMEN_OK, "a field");
    }
    return schema;
}
#endif
