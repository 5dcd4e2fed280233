/* metablock.h - the metadata of up to 65,536 neighbouring rows, column by column, with its indexes:
 * immutable, the same position-independent bytes in memory and in a segment file.
 * Depends on: metarow.h, simd.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0
 *
 * A column has a sorted dictionary of its values, a code (u8 or u16) a row, and rows in the order of
 * their codes: a range of values is a range of codes, found by binary search, counted by subtraction,
 * and read from whichever is shorter. */
#ifndef OM_METABLOCK_H
#define OM_METABLOCK_H
#include "metarow.h"

#define OM_BLOCK_ROWS 65536u
#define OM_BLOCK_WORDS (OM_BLOCK_ROWS / 64)

/* Building: rows in order, then finish. Rows are checked ones and are not needed after the add. After
 * an add that failed the builder can only be freed; a finish that failed can be tried again. */
typedef struct om_metabuild om_metabuild;
omen_status_t om_metabuild_create(const om_alloc *alloc, const om_schema *schema,
                                  om_metabuild **out, omen_error *err) OM_NODISCARD;
omen_status_t om_metabuild_add(om_metabuild *build, const uint8_t *row,
                               omen_error *err) OM_NODISCARD;
/* The block's bytes, a multiple of 64, aligned to 64; given back with om_alloc_put(alloc, out, size, 64).
 * The builder is empty again. */
omen_status_t om_metabuild_finish(om_metabuild *build, uint8_t **out, size_t *size,
                                  omen_error *err) OM_NODISCARD;
void om_metabuild_free(om_metabuild *build);

/* A handle to a block's bytes, which must outlive it. Hostile input: everything that is followed later is
 * checked here, in one pass over the bytes; OMEN_DATA_LOSS. */
typedef struct om_metablock om_metablock;
omen_status_t om_metablock_open(const om_alloc *alloc, const om_schema *schema,
                                const uint8_t *bytes, size_t size, om_metablock **out,
                                omen_error *err) OM_NODISCARD;
void om_metablock_free(om_metablock *block);
uint32_t om_metablock_rows(const om_metablock *block);
/* Row i as a meta row again, appended to out (aligned to 8). */
omen_status_t om_metablock_row(const om_metablock *block, uint32_t i, om_bytes *out,
                               omen_error *err) OM_NODISCARD;
/* The value of a field that is no array in row i, read in place; false: null. Texts of damaged files
 * may be no UTF-8. */
bool om_metablock_get(const om_metablock *block, uint32_t i, uint16_t field, om_meta_value *out);
/* The rows that have a value, ascending by it (om_meta_compare), ties by row; their number. 0 and NULL
 * for a field of type TEXT or array (GEO: in the order of cells). */
uint32_t om_metablock_sorted(const om_metablock *block, uint16_t field, const uint16_t **rows);
/* Different values of a field (not TEXT, GEO, BYTES) with the number of rows of `pass` (a bitmap of
 * its rows; NULL: all) that have it; rows where it is null are not counted. */
typedef void (*om_metablock_value)(void *ctx, const om_meta_value *value, uint32_t rows);
void om_metablock_facet(const om_metablock *block, uint16_t field, const uint64_t *pass,
                        om_metablock_value each, void *ctx);
#endif
