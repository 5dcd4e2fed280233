/* metalayout.h - a block as bytes: its head, the entry of a column, and where the parts of a column
 * stand, which follows from its counts. The builder and the opener compute it alike.
 * Depends on: metablock_int.h.  Threads: any.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_METALAYOUT_H
#define OM_METALAYOUT_H
#include "metablock_int.h"

enum { OM_BLOCK_ALIGN = 64 };

typedef struct om_block_head {
    uint8_t magic[8];
    uint32_t format, rows, columns, reserved;
    uint64_t size;
    uint8_t zeros[32];
} om_block_head;
typedef struct om_block_entry {
    uint16_t field, type;
    uint8_t code_bytes, flags; /* OM_COLUMN_SPARSE */
    uint16_t reserved;
    uint32_t distinct, count;
    uint64_t elements, postings, heap; /* heap: bytes of strings */
    uint64_t at, size;
    uint64_t zero;
} om_block_entry;
_Static_assert(sizeof(om_block_head) == 64 && sizeof(om_block_entry) == 64, "as in the file");

/* Parts in the order in which they stand. */
enum {
    OM_PART_OFFSETS = 0,
    OM_PART_VALUES = 1,
    OM_PART_CELLS = 2,
    OM_PART_CODES = 3,
    OM_PART_STARTS = 4,
    OM_PART_ORDER = 5,
    OM_PART_LISTS = 6,
    OM_PART_PRESENT = 7,
    OM_PART_ROWS = 8,
    OM_PARTS = 9
};
typedef struct om_layout {
    uint64_t at[OM_PARTS], size[OM_PARTS]; /* from the start of the column */
    uint64_t total;                        /* a multiple of 64 */
} om_layout;

static inline uint16_t om_base_type(uint16_t type)
{
    return type & (uint16_t)~OMEN_TYPE_ARRAY;
}
static inline bool om_is_array(uint16_t type)
{
    return (type & OMEN_TYPE_ARRAY) != 0;
}
/* STRING, BYTES, TEXT: values of any length. */
static inline bool om_has_heap(uint16_t type)
{
    uint16_t base = om_base_type(type);
    return base == OMEN_TYPE_STRING || base == OMEN_TYPE_BYTES || base == OMEN_TYPE_TEXT;
}
static inline bool om_is_sparse(uint32_t count, uint32_t rows)
{
    return (uint64_t)count * OM_SPARSE_SHARE < rows;
}
/* Bytes of a code of this column. */
static inline uint8_t om_code_bytes(uint16_t type, uint32_t distinct, bool nulls)
{
    if (type == OMEN_TYPE_TEXT) {
        return 0;
    }
    uint64_t codes = (uint64_t)distinct + nulls;
    return codes <= 256 ? 1 : codes <= 65536 ? 2 : 4;
}
/* Whether null is a code of the column. */
static inline bool om_null_coded(uint16_t type, bool sparse, uint32_t count, uint32_t rows)
{
    return !om_is_array(type) && !sparse && count < rows;
}

/* Whether the counts of an entry can be of a block of `rows` rows and at most `size` bytes. What
 * om_layout_of needs: its sums cannot overflow then. */
bool om_entry_possible(const om_block_entry *entry, uint32_t rows, uint64_t size);
void om_layout_of(const om_block_entry *entry, uint32_t rows, om_layout *out);
#endif
