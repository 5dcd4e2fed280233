/* filter.h - conditions on metadata: parsed once, checked against the schema, evaluated to bitmaps.
 * Depends on: metablock.h.  Threads: any (a compiled filter never changes).  Locks: none.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_FILTER_H
#define OM_FILTER_H
#include "metablock.h"

typedef struct om_predicate om_predicate; /* a compiled condition */
typedef struct om_predicate_text {
    const char *text;
    size_t length;
    const omen_param *params;
    uint64_t param_count;
} om_predicate_text;
/* Values are copied; fields are known by their ids, so that the schema may grow. Errors as at
 * omen_filter_compile. Memory through alloc, which must outlive the predicate. */
omen_status_t om_predicate_compile(const om_alloc *alloc, const om_schema *schema,
                                   const om_predicate_text *text, om_predicate **out,
                                   omen_error *err) OM_NODISCARD;
void om_predicate_free(om_predicate *predicate);
size_t om_predicate_bytes(const om_predicate *predicate); /* of memory that it holds */
/* Rows that pass: bit i of words[0 .. OM_BLOCK_WORDS) is row i of the block (bits from its rows on are 0).
 * Returns their number. scratch: om_predicate_scratch bytes, aligned to 64, for one thread at a time; what is
 * in it before does not matter. */
size_t om_predicate_scratch(const om_predicate *predicate);
uint32_t om_predicate_block(const om_predicate *predicate, const om_metablock *block,
                            uint64_t *words, void *scratch);
/* The same for one meta row that is in no block yet. */
bool om_predicate_row(const om_predicate *predicate, const uint8_t *row);
/* A guess, from dictionaries alone and without reading codes, of how many of the block's rows pass. */
double om_predicate_estimate(const om_predicate *predicate, const om_metablock *block);
#endif
