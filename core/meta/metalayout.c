/* metalayout.c - where the parts of a column stand. SPDX-License-Identifier: Apache-2.0 */
#include "metalayout.h"

bool om_entry_possible(const om_block_entry *entry, uint32_t rows, uint64_t size)
{
    uint16_t base = om_base_type(entry->type);
    bool array = om_is_array(entry->type);
    bool text = entry->type == OMEN_TYPE_TEXT;
    bool sparse = om_is_sparse(entry->count, rows);
    if (base < OMEN_TYPE_STRING || base > (array ? OMEN_TYPE_BYTES : OMEN_TYPE_TEXT) ||
        entry->type != (base | (array ? OMEN_TYPE_ARRAY : 0))) {
        return false;
    }
    if (entry->count == 0 || entry->count > rows ||
        entry->flags != (sparse ? OM_COLUMN_SPARSE : 0)) {
        return false;
    }
    /* Every different value is that of a row; a row has at most OMEN_MAX_ARRAY elements. */
    uint64_t most = array ? (uint64_t)entry->count * OMEN_MAX_ARRAY : text ? 0 : entry->count;
    uint64_t elements = array ? entry->elements : 0;
    bool nulls = om_null_coded(entry->type, sparse, entry->count, rows);
    return entry->elements == elements && elements <= most && entry->distinct <= most &&
           (array ? entry->postings <= elements : entry->postings == most) &&
           entry->heap <= (om_has_heap(entry->type) ? size : 0) &&
           entry->code_bytes == om_code_bytes(entry->type, entry->distinct, nulls);
}

/* Sizes of the dictionary. */
static void layout_values(const om_block_entry *entry, uint64_t entries, om_layout *out)
{
    uint64_t values = entry->type == OMEN_TYPE_TEXT ? entries : entry->distinct;
    if (om_has_heap(entry->type)) {
        out->size[OM_PART_OFFSETS] = 8 * (values + 1);
        out->size[OM_PART_VALUES] = entry->heap;
    } else if (entry->type == OMEN_TYPE_GEO) {
        out->size[OM_PART_VALUES] = 16 * values;
        out->size[OM_PART_CELLS] = 8 * values;
    } else {
        out->size[OM_PART_VALUES] = 8 * values;
    }
}

void om_layout_of(const om_block_entry *entry, uint32_t rows, om_layout *out)
{
    bool sparse = (entry->flags & OM_COLUMN_SPARSE) != 0;
    bool array = om_is_array(entry->type);
    uint64_t entries = sparse ? entry->count : rows;
    *out = (om_layout){.total = 0};
    layout_values(entry, entries, out);
    if (entry->type != OMEN_TYPE_TEXT) {
        uint64_t codes = array ? entry->elements : sparse ? entries : (entries + 63) / 64 * 64;
        out->size[OM_PART_CODES] = codes * entry->code_bytes;
        out->size[OM_PART_STARTS] = 4 * ((uint64_t)entry->distinct + 1);
        out->size[OM_PART_ORDER] = 2 * entry->postings;
    }
    out->size[OM_PART_LISTS] = array ? 4 * (entries + 1) : 0;
    out->size[OM_PART_PRESENT] =
        !sparse && entry->count < rows ? ((uint64_t)rows + 63) / 64 * 8 : 0;
    out->size[OM_PART_ROWS] = sparse ? 2 * (uint64_t)entry->count : 0;
    /* What is scanned begins at a cache line; sparse columns are many and small. */
    uint64_t align = sparse ? 8 : OM_BLOCK_ALIGN;
    uint64_t at = 0;
    for (int part = 0; part < OM_PARTS; part++) {
        out->at[part] = at;
        at = (at + out->size[part] + align - 1) / align * align;
    }
    out->total = (at + OM_BLOCK_ALIGN - 1) / OM_BLOCK_ALIGN * OM_BLOCK_ALIGN;
}
