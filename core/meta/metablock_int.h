/* metablock_int.h - where everything of a block stands: what the builder writes, the opener checks and
 * the evaluation of filters reads. FORMAT.md gives the bytes.
 * Depends on: metablock.h.  Threads: any (a block never changes).  Locks: none.
 * SPDX-License-Identifier: Apache-2.0
 *
 * A column is there when at least one row has a value. Its different values are sorted: the
 * dictionary. A code is a place in it, so that a range of values is a range of codes [lo, hi), of which
 *   - starts[hi] - starts[lo] rows have one,
 *   - these rows are order[starts[lo] .. starts[hi]), grouped by code, ascending within a code,
 *   - and in dense columns they are those with codes[row] - lo < hi - lo (unsigned).
 * Null has no place in the dictionary and in order; in dense columns its code is `distinct`, which no
 * range reaches. Dense columns have an entry a row; sparse ones (fewer than a sixteenth of the rows has
 * a value) an entry a value, of the rows rows_of[0 .. count), ascending, and are never scanned but read
 * through order.
 * Arrays: the dictionary is of elements; row r (entry e) has the elements codes[lists[e] ..
 * lists[e + 1]) as they were written, and order has each row once under each different element.
 * TEXT has no dictionary. GEO: the dictionary is sorted by cell. */
#ifndef OM_METABLOCK_INT_H
#define OM_METABLOCK_INT_H
#include "metablock.h"

#define OM_BLOCK_MAGIC "OMENMETA"
#define OM_BLOCK_FORMAT 1u
#define OM_COLUMN_SPARSE 1u
#define OM_SPARSE_SHARE 16u /* sparse: count * this < rows */

typedef struct om_geo_point {
    double lat, lon;
} om_geo_point;

typedef struct om_metacolumn {
    uint16_t field, type; /* type with OMEN_TYPE_ARRAY */
    uint8_t code_bytes;   /* 1, 2; arrays also 4; TEXT 0 */
    bool sparse;
    uint32_t distinct; /* values in the dictionary; TEXT: 0 */
    uint32_t count;    /* rows that have a value (are not null) */
    uint32_t entries;  /* sparse: count; else the rows of the block */
    uint64_t elements; /* arrays: of all rows together; else 0 */
    uint64_t postings; /* entries of order: of arrays at most elements, of the rest count; TEXT 0 */
    /* The dictionary, strictly ascending. */
    const int64_t *ints;   /* INT64, TIME, BOOL (0, 1): [distinct]; else NULL */
    const double *doubles; /* DOUBLE: [distinct]; -0.0 before 0.0, which it equals: use bounds */
    const om_geo_point *points; /* GEO: [distinct] by (cell, bits of lat, bits of lon) */
    const uint64_t *cells;      /* GEO: [distinct] om_geo_cell of points, ascending, not strictly */
    const uint64_t *offsets;    /* STRING, BYTES: [distinct + 1] into heap; TEXT: [entries + 1] */
    const uint8_t *heap;
    uint64_t heap_size;
    /* Rows. */
    /* uint8_t, uint16_t or uint32_t: [entries], arrays: [elements]. Of dense columns that are no arrays
     * padded with zeros to a multiple of 64 codes. */
    const void *codes;
    const uint32_t *starts;  /* [distinct + 1] modulo 2^32: differences hold, places but the last */
    const uint16_t *order;   /* [postings] */
    const uint32_t *lists;   /* arrays: [entries + 1] modulo 2^32, likewise */
    const uint64_t *present; /* dense: bit r: row r has a value, zeros behind; NULL: all have */
    const uint16_t *rows_of; /* sparse: [count]; else NULL */
} om_metacolumn;

struct om_metablock {
    const om_alloc *alloc;
    const uint8_t *bytes;
    size_t size;
    uint32_t rows, column_count;
    om_metacolumn columns[]; /* ascending by field */
};

/* The column of a field, or NULL: it is null in every row. */
static inline const om_metacolumn *om_metablock_column(const om_metablock *block, uint16_t field)
{
    uint32_t lo = 0;
    uint32_t hi = block->column_count;
    while (lo < hi) {
        uint32_t middle = (lo + hi) / 2;
        if (block->columns[middle].field < field) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    return lo < block->column_count && block->columns[lo].field == field ? &block->columns[lo]
                                                                         : NULL;
}

/* Code i of a column. */
static inline uint32_t om_column_code(const om_metacolumn *column, uint64_t i)
{
    if (column->code_bytes == 1) {
        return ((const uint8_t *)column->codes)[i];
    }
    if (column->code_bytes == 2) {
        return ((const uint16_t *)column->codes)[i];
    }
    return ((const uint32_t *)column->codes)[i];
}

/* Value `code` of a dictionary of STRING or BYTES; entry `code` of a TEXT. */
static inline const uint8_t *om_column_bytes(const om_metacolumn *column, uint32_t code,
                                             uint64_t *length)
{
    *length = column->offsets[code + 1] - column->offsets[code];
    return column->heap + column->offsets[code];
}

/* Whether a row has a value, and then which entry of the column is its own. */
static inline bool om_column_entry(const om_metacolumn *column, uint32_t row, uint32_t *entry)
{
    *entry = row;
    if (!column->sparse) {
        return column->present == NULL || (column->present[row / 64] >> row % 64 & 1) != 0;
    }
    uint32_t lo = 0;
    uint32_t hi = column->count;
    while (lo < hi) {
        uint32_t middle = (lo + hi) / 2;
        if (column->rows_of[middle] < row) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    *entry = lo;
    return lo < column->count && column->rows_of[lo] == row;
}

/* Bits 31 .. 0 moved to the even bits of 64. */
static inline uint64_t om_geo_spread(uint32_t value)
{
    uint64_t x = value;
    x = (x | x << 16) & UINT64_C(0x0000FFFF0000FFFF);
    x = (x | x << 8) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x | x << 4) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    x = (x | x << 2) & UINT64_C(0x3333333333333333);
    return (x | x << 1) & UINT64_C(0x5555555555555555);
}

/* degrees + half in units of 2 * half / 2^32, rounded down; the upper end belongs to the last unit.
 * Rises with degrees (not strictly). degrees is in [-half, half]. */
static inline uint32_t om_geo_unit(double degrees, double half)
{
    double unit = (degrees + half) * (4294967296.0 / (2 * half));
    return unit >= 4294967295.0 ? UINT32_MAX : (uint32_t)unit;
}

/* The cell of a point: units of latitude in the odd bits, of longitude in the even ones (a Morton
 * code). */
static inline uint64_t om_geo_cell(double lat, double lon)
{
    return om_geo_spread(om_geo_unit(lat, 90)) << 1 | om_geo_spread(om_geo_unit(lon, 180));
}
#endif
