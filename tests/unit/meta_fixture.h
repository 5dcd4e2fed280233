/* meta_fixture.h - what the tests of core/meta share: counted memory, schemas, batches of JSON, random
 * items.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef META_FIXTURE_H
#define META_FIXTURE_H
#include "unit.h"

#include <jansson.h>

#include "metablock.h"

/* An allocator that counts what is out and can fail at the n-th call from now on. */
typedef struct meta_memory {
    om_alloc alloc;
    om_budget budget;
    uint64_t calls, fail_at; /* 0: never */
} meta_memory;
void meta_memory_init(meta_memory *memory);
/* Nothing is out. */
void meta_memory_end(const meta_memory *memory);

om_schema *meta_schema(const om_alloc *alloc, const omen_field *fields, size_t count);
#define META_FIELD(field_name, field_type)       \
    (omen_field)                                 \
    {                                            \
        .name = field_name, .type = (field_type) \
    }

/* The items as one batch. Values end where the next begins. */
typedef struct meta_batch {
    char *bytes;
    int64_t *offsets;
    uint64_t count;
    omen_column column;
} meta_batch;
void meta_batch_make(meta_batch *batch, const char *const *items, uint64_t count);
void meta_batch_free(meta_batch *batch);
omen_status_t meta_parse(const om_alloc *alloc, const om_schema *schema, const meta_batch *batch,
                         om_meta_rows *rows, omen_error *err);
/* Parses, binds and checks one item; the caller frees rows. */
void meta_take(om_schema *schema, const char *item, om_meta_rows *rows);
/* The row as JSON with a NUL; to be freed with om_bytes_free. */
om_bytes meta_print(const om_alloc *alloc, const om_schema *schema, const uint8_t *row);

/* All types: field i of META_ALL has the type that its name says. */
enum { META_ALL = 14 };
extern const omen_field meta_all[META_ALL];
/* A random item of these fields, each there with `share` of 16; few: values out of few. What is
 * printed again must be equal to it. */
json_t *meta_random_item(uint64_t *seed, uint32_t share, bool few);
#endif
