/* metablock_open.c - checks the bytes of a block, so that nothing that reads it later has to.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Everything is looked at but the texts of TEXT fields: they are large, nothing is searched by them
 * here, and whoever prints one checks it. */
#include <math.h>
#include <string.h>

#include "metalayout.h"
#include "metarow_int.h"
#include "metatime.h"
#include "metautf8.h"

static omen_status_t lost(omen_error *err, const char *what)
{
    return om_fail(err, OMEN_DATA_LOSS, OMEN_D_CHECKSUM, "a block of metadata: %s", what);
}

static bool zeros(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* Where everything of a column stands. */
static void place_column(const om_block_entry *entry, uint32_t rows, const om_layout *layout,
                         const uint8_t *at, om_metacolumn *out)
{
    uint16_t base = om_base_type(entry->type);
    bool sparse = (entry->flags & OM_COLUMN_SPARSE) != 0;
    bool text = entry->type == OMEN_TYPE_TEXT;
    const void *values = at + layout->at[OM_PART_VALUES];
    *out = (om_metacolumn){.field = entry->field,
                           .type = entry->type,
                           .code_bytes = entry->code_bytes,
                           .sparse = sparse,
                           .distinct = entry->distinct,
                           .count = entry->count,
                           .entries = sparse ? entry->count : rows,
                           .elements = entry->elements,
                           .postings = entry->postings,
                           .heap_size = entry->heap};
    if (om_has_heap(entry->type)) {
        out->offsets = (const void *)(at + layout->at[OM_PART_OFFSETS]);
        out->heap = values;
    } else if (base == OMEN_TYPE_DOUBLE) {
        out->doubles = values;
    } else if (base == OMEN_TYPE_GEO) {
        out->points = values;
        out->cells = (const void *)(at + layout->at[OM_PART_CELLS]);
    } else {
        out->ints = values;
    }
    out->codes = text ? NULL : at + layout->at[OM_PART_CODES];
    out->starts = text ? NULL : (const void *)(at + layout->at[OM_PART_STARTS]);
    out->order = text ? NULL : (const void *)(at + layout->at[OM_PART_ORDER]);
    out->lists = om_is_array(entry->type) ? (const void *)(at + layout->at[OM_PART_LISTS]) : NULL;
    bool bitmap = layout->size[OM_PART_PRESENT] != 0;
    out->present = bitmap ? (const void *)(at + layout->at[OM_PART_PRESENT]) : NULL;
    out->rows_of = sparse ? (const void *)(at + layout->at[OM_PART_ROWS]) : NULL;
}

/* ---- Dictionaries -------------------------------------------------------------------------------- */

static const char *check_ints(const om_metacolumn *column)
{
    uint16_t base = om_base_type(column->type);
    int64_t least = base == OMEN_TYPE_BOOL ? 0 : base == OMEN_TYPE_TIME ? OM_TIME_MIN : INT64_MIN;
    int64_t most = base == OMEN_TYPE_BOOL ? 1 : base == OMEN_TYPE_TIME ? OM_TIME_MAX : INT64_MAX;
    bool good = true;
    for (uint32_t i = 0; i < column->distinct; i++) {
        good = good && column->ints[i] >= least && column->ints[i] <= most &&
               (i == 0 || column->ints[i - 1] < column->ints[i]);
    }
    return good ? NULL : "integers that do not ascend";
}

static const char *check_doubles(const om_metacolumn *column)
{
    bool good = true;
    uint64_t before = 0;
    for (uint32_t i = 0; i < column->distinct; i++) {
        uint64_t order = om_order_double(om_load64((const uint8_t *)&column->doubles[i]));
        good = good && isfinite(column->doubles[i]) && (i == 0 || before < order);
        before = order;
    }
    return good ? NULL : "doubles that do not ascend";
}

static const char *check_points(const om_metacolumn *column)
{
    for (uint32_t i = 0; i < column->distinct; i++) {
        const om_geo_point *point = &column->points[i];
        if (!(fabs(point->lat) <= 90 && fabs(point->lon) <= 180)) {
            return "a position out of range";
        }
        if (column->cells[i] != om_geo_cell(point->lat, point->lon)) {
            return "a position in a wrong cell";
        }
        if (i == 0 || column->cells[i - 1] < column->cells[i]) {
            continue;
        }
        const uint8_t *here = (const uint8_t *)point;
        uint64_t lat[2] = {om_load64(here - 16), om_load64(here)};
        uint64_t lon[2] = {om_load64(here - 8), om_load64(here + 8)};
        if (column->cells[i - 1] > column->cells[i] || lat[0] > lat[1] ||
            (lat[0] == lat[1] && lon[0] >= lon[1])) {
            return "positions that do not ascend";
        }
    }
    return NULL;
}

/* Offsets from 0 up to the end of the heap. */
static const char *check_offsets(const om_metacolumn *column, uint64_t count)
{
    bool good = column->offsets[0] == 0 && column->offsets[count] == column->heap_size;
    for (uint64_t i = 0; i < count; i++) {
        good = good && column->offsets[i] <= column->offsets[i + 1];
    }
    return good ? NULL : "offsets of strings that do not ascend";
}

static const char *check_strings(const om_metacolumn *column)
{
    const char *fault = check_offsets(column, column->distinct);
    if (fault != NULL) {
        return fault;
    }
    bool text = om_base_type(column->type) == OMEN_TYPE_STRING;
    const uint8_t *before = NULL;
    uint64_t length_before = 0;
    for (uint32_t i = 0; i < column->distinct; i++) {
        uint64_t length;
        const uint8_t *value = om_column_bytes(column, i, &length);
        if (text && om_utf8_valid(value, (size_t)length) != length) {
            return "a string that is not UTF-8";
        }
        if (i > 0) {
            size_t common = (size_t)(length < length_before ? length : length_before);
            int order = common == 0 ? 0 : memcmp(before, value, common);
            if (order > 0 || (order == 0 && length_before >= length)) {
                return "strings that do not ascend";
            }
        }
        before = value;
        length_before = length;
    }
    return NULL;
}

static const char *check_values(const om_metacolumn *column)
{
    switch (om_base_type(column->type)) {
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_BYTES:
        return check_strings(column);
    case OMEN_TYPE_TEXT:
        return check_offsets(column, column->entries);
    case OMEN_TYPE_GEO:
        return check_points(column);
    case OMEN_TYPE_DOUBLE:
        return check_doubles(column);
    default:
        return check_ints(column);
    }
}

/* ---- Rows ---------------------------------------------------------------------------------------- */

/* Which rows have a value: as many as the entry says, and no bit behind the last row. */
static const char *check_presence(const om_metacolumn *column, uint32_t rows)
{
    bool good = true;
    if (column->sparse) {
        for (uint32_t i = 0; i < column->count; i++) {
            good = good && column->rows_of[i] < rows &&
                   (i == 0 || column->rows_of[i - 1] < column->rows_of[i]);
        }
    } else if (column->present != NULL) {
        uint32_t words = (rows + 63) / 64;
        uint32_t count = 0;
        for (uint32_t i = 0; i < words; i++) {
            count += (uint32_t)__builtin_popcountll(column->present[i]);
        }
        good = count == column->count &&
               (rows % 64 == 0 || column->present[words - 1] >> rows % 64 == 0);
    }
    return good ? NULL : "rows that a field has and has not";
}

static const char *check_starts(const om_metacolumn *column)
{
    uint64_t sum = 0;
    bool good = column->starts[0] == 0;
    for (uint32_t code = 0; code < column->distinct; code++) {
        uint32_t here = column->starts[code + 1] - column->starts[code]; /* modulo 2^32 */
        good = good && here != 0 && here <= OM_BLOCK_ROWS;
        sum += here;
    }
    return good && sum == column->postings ? NULL : "values with a wrong number of rows";
}

/* order is right when the rows, taken one after the other, are what stands next under their codes.
 * cursors: [distinct], and are starts at first. */
static bool take_posting(const om_metacolumn *column, uint32_t *cursors, uint32_t code,
                         uint32_t row)
{
    uint32_t at = cursors[code];
    if (at == column->starts[code + 1] || column->order[at] != row) {
        return false;
    }
    cursors[code] = at + 1;
    return true;
}

static const char *check_codes(const om_metacolumn *column, uint32_t *cursors)
{
    bool coded_nulls = column->present != NULL;
    for (uint32_t entry = 0; entry < column->entries; entry++) {
        uint32_t code = om_column_code(column, entry);
        uint32_t row = column->sparse ? column->rows_of[entry] : entry;
        if (coded_nulls && (column->present[row / 64] >> row % 64 & 1) == 0) {
            if (code != column->distinct) {
                return "a value in a row that has none";
            }
            continue;
        }
        if (code >= column->distinct || !take_posting(column, cursors, code, row)) {
            return "rows in a wrong order";
        }
    }
    return NULL;
}

static const char *check_lists(const om_metacolumn *column)
{
    uint64_t sum = 0;
    bool good = column->lists[0] == 0;
    for (uint32_t entry = 0; entry < column->entries; entry++) {
        uint32_t here = column->lists[entry + 1] - column->lists[entry]; /* modulo 2^32 */
        uint32_t row = column->sparse ? column->rows_of[entry] : entry;
        bool null = column->present != NULL && (column->present[row / 64] >> row % 64 & 1) == 0;
        good = good && here <= (null ? 0 : OMEN_MAX_ARRAY);
        sum += here;
    }
    return good && sum == column->elements ? NULL : "arrays with a wrong number of elements";
}

static const char *check_elements(const om_metacolumn *column, uint32_t *cursors)
{
    uint64_t taken = 0;
    for (uint32_t entry = 0; entry < column->entries; entry++) {
        uint32_t row = column->sparse ? column->rows_of[entry] : entry;
        uint32_t count = column->lists[entry + 1] - column->lists[entry];
        for (uint64_t i = column->lists[entry], end = i + count; i < end; i++) {
            uint32_t code = om_column_code(column, i);
            if (code >= column->distinct) {
                return "an element that is none";
            }
            uint32_t at = cursors[code];
            bool again = at != column->starts[code] && column->order[at - 1] == row;
            if (!again && !take_posting(column, cursors, code, row)) {
                return "rows in a wrong order";
            }
            taken += !again;
        }
    }
    return taken == column->postings ? NULL : "rows under an element that they do not have";
}

static const char *check_rows(const om_metacolumn *column, uint32_t rows, uint32_t *cursors)
{
    const char *fault = check_presence(column, rows);
    if (fault != NULL || column->type == OMEN_TYPE_TEXT) {
        return fault;
    }
    fault = check_starts(column);
    if (fault != NULL) {
        return fault;
    }
    if (column->distinct != 0) {
        memcpy(cursors, column->starts, column->distinct * sizeof cursors[0]);
    }
    if (!om_is_array(column->type)) {
        return check_codes(column, cursors);
    }
    fault = check_lists(column);
    return fault != NULL ? fault : check_elements(column, cursors);
}

/* Texts of rows that have none are empty. */
static const char *check_texts(const om_metacolumn *column)
{
    bool good = true;
    for (uint32_t entry = 0; column->present != NULL && entry < column->entries; entry++) {
        bool null = (column->present[entry / 64] >> entry % 64 & 1) == 0;
        good = good && (!null || column->offsets[entry] == column->offsets[entry + 1]);
    }
    return good ? NULL : "a text in a row that has none";
}

/* ---- The block ----------------------------------------------------------------------------------- */

/* What lies between parts is zero: a block of these rows has these bytes only. */
static bool gaps_clear(const om_block_entry *entry, const om_layout *layout, uint32_t rows,
                       const uint8_t *at)
{
    bool clear = true;
    for (int part = 0; part < OM_PARTS; part++) {
        uint64_t next = part + 1 < OM_PARTS ? layout->at[part + 1] : layout->total;
        uint64_t filled = layout->at[part] + layout->size[part];
        if (part == OM_PART_CODES && layout->size[part] != 0 && !om_is_array(entry->type) &&
            (entry->flags & OM_COLUMN_SPARSE) == 0) {
            filled = layout->at[part] + (uint64_t)rows * entry->code_bytes;
        }
        clear = clear && zeros(at + filled, (size_t)(next - filled));
    }
    return clear;
}

/* Head and entries: every column where the one before it ends. */
static omen_status_t check_head(const om_schema *schema, const uint8_t *bytes, size_t size,
                                om_block_head *head, omen_error *err)
{
    if (size < sizeof *head || size % OM_BLOCK_ALIGN != 0 ||
        (uintptr_t)bytes % OM_BLOCK_ALIGN != 0) {
        return lost(err, "a wrong size");
    }
    memcpy(head, bytes, sizeof *head);
    if (memcmp(head->magic, OM_BLOCK_MAGIC, sizeof head->magic) != 0) {
        return lost(err, "no such block");
    }
    if (head->format != OM_BLOCK_FORMAT) {
        return om_fail(err, OMEN_UNIMPLEMENTED, OMEN_D_FORMAT_VERSION,
                       "a block of metadata has format %u; this library reads %u", head->format,
                       OM_BLOCK_FORMAT);
    }
    if (head->size != size || head->rows > OM_BLOCK_ROWS || head->reserved != 0 ||
        !zeros(head->zeros, sizeof head->zeros) || head->columns > om_schema_count(schema) ||
        head->columns > (size - sizeof *head) / sizeof(om_block_entry)) {
        return lost(err, "a wrong head");
    }
    return OMEN_OK;
}

static const char *check_entry(const om_schema *schema, const om_block_entry *entry,
                               const om_block_head *head, uint64_t at, om_layout *layout)
{
    if (entry->field >= om_schema_count(schema) ||
        entry->type != om_schema_at(schema, entry->field)->type) {
        return "a field that the schema does not have";
    }
    if (entry->reserved != 0 || entry->zero != 0 ||
        !om_entry_possible(entry, head->rows, head->size)) {
        return "counts that cannot be";
    }
    om_layout_of(entry, head->rows, layout);
    if (entry->at != at || entry->size != layout->total || layout->total > head->size - at) {
        return "a column beyond its place";
    }
    return NULL;
}

/* Places all columns; *most becomes the largest dictionary. */
static omen_status_t place_columns(const om_schema *schema, om_metablock *block,
                                   const om_block_head *head, uint32_t *most, omen_error *err)
{
    uint64_t at = sizeof *head + head->columns * sizeof(om_block_entry);
    uint32_t least = 0;
    *most = 1;
    for (uint32_t i = 0; i < head->columns; i++) {
        om_block_entry entry;
        om_layout layout;
        memcpy(&entry, block->bytes + sizeof *head + i * sizeof entry, sizeof entry);
        const char *fault = entry.field < least ? "columns that do not ascend"
                                                : check_entry(schema, &entry, head, at, &layout);
        if (fault == NULL && !gaps_clear(&entry, &layout, head->rows, block->bytes + at)) {
            fault = "bytes between its parts";
        }
        if (fault != NULL) {
            return lost(err, fault);
        }
        place_column(&entry, head->rows, &layout, block->bytes + at, &block->columns[i]);
        least = entry.field + 1u;
        *most = om_max_u32(*most, entry.distinct);
        at += layout.total;
    }
    return at == head->size ? OMEN_OK : lost(err, "bytes behind its last column");
}

static omen_status_t check_columns(const om_metablock *block, uint32_t most, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t *cursors = om_alloc_get(block->alloc, most * sizeof cursors[0], _Alignof(uint32_t));
    if (cursors == NULL) {
        return om_fail_memory(err, "checking metadata", most * sizeof cursors[0]);
    }
    for (uint32_t i = 0; i < block->column_count && status == OMEN_OK; i++) {
        const om_metacolumn *column = &block->columns[i];
        const char *fault = check_values(column);
        fault = fault != NULL ? fault : check_rows(column, block->rows, cursors);
        if (fault == NULL && column->type == OMEN_TYPE_TEXT) {
            fault = check_texts(column);
        }
        status = fault == NULL ? OMEN_OK : lost(err, fault);
    }
    om_alloc_put(block->alloc, cursors, most * sizeof cursors[0], _Alignof(uint32_t));
    return status;
}

static size_t handle_size(uint32_t columns)
{
    return sizeof(om_metablock) + columns * sizeof(om_metacolumn);
}

omen_status_t om_metablock_open(const om_alloc *alloc, const om_schema *schema,
                                const uint8_t *bytes, size_t size, om_metablock **out,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_metablock *block = NULL;
    om_block_head head;
    uint32_t most = 0;
    OM_TRY(check_head(schema, bytes, size, &head, err));
    block = om_alloc_zero(alloc, 1, handle_size(head.columns), _Alignof(om_metablock));
    if (block == NULL) {
        return om_fail_memory(err, "a block of metadata", handle_size(head.columns));
    }
    block->alloc = alloc;
    block->bytes = bytes;
    block->size = size;
    block->rows = head.rows;
    block->column_count = head.columns;
    OM_TRY(place_columns(schema, block, &head, &most, err));
    OM_TRY(check_columns(block, most, err));
    *out = block;
out:
    if (status != OMEN_OK) {
        om_metablock_free(block);
    }
    return status;
}

void om_metablock_free(om_metablock *block)
{
    if (block != NULL) {
        om_alloc_put(block->alloc, block, handle_size(block->column_count), _Alignof(om_metablock));
    }
}
