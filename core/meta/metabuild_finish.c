/* metabuild_finish.c - columns become the bytes of a block. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "metabuild_int.h"
#include "metarow_int.h"

/* What finishing needs beside the block, as large as the largest column asks for. */
typedef struct om_finish {
    om_metabuild *build;
    om_sortitem *items, *scratch; /* [most] */
    om_sortrun *pending;          /* [most / 2 + 1] */
    uint32_t *ranks, *cursors;    /* [most] */
    uint32_t most;
} om_finish;

static void free_finish(om_finish *finish)
{
    const om_alloc *alloc = finish->build->alloc;
    size_t most = finish->most;
    om_alloc_put(alloc, finish->items, most * sizeof(om_sortitem), _Alignof(om_sortitem));
    om_alloc_put(alloc, finish->scratch, most * sizeof(om_sortitem), _Alignof(om_sortitem));
    om_alloc_put(alloc, finish->pending, (most / 2 + 1) * sizeof(om_sortrun), _Alignof(om_sortrun));
    om_alloc_put(alloc, finish->ranks, most * sizeof(uint32_t), _Alignof(uint32_t));
    om_alloc_put(alloc, finish->cursors, most * sizeof(uint32_t), _Alignof(uint32_t));
}

static omen_status_t make_finish(om_finish *finish, om_metabuild *build, omen_error *err)
{
    *finish = (om_finish){.build = build, .most = 1};
    for (uint32_t i = 0; i < build->column_capacity; i++) {
        if (build->columns[i] != NULL) {
            finish->most = om_max_u32(finish->most, build->columns[i]->dict.count);
        }
    }
    const om_alloc *alloc = build->alloc;
    size_t most = finish->most;
    finish->items = om_alloc_get(alloc, most * sizeof(om_sortitem), _Alignof(om_sortitem));
    finish->scratch = om_alloc_get(alloc, most * sizeof(om_sortitem), _Alignof(om_sortitem));
    finish->pending =
        om_alloc_get(alloc, (most / 2 + 1) * sizeof(om_sortrun), _Alignof(om_sortrun));
    finish->ranks = om_alloc_get(alloc, most * sizeof(uint32_t), _Alignof(uint32_t));
    finish->cursors = om_alloc_get(alloc, most * sizeof(uint32_t), _Alignof(uint32_t));
    if (finish->items == NULL || finish->scratch == NULL || finish->pending == NULL ||
        finish->ranks == NULL || finish->cursors == NULL) {
        free_finish(finish);
        return om_fail_memory(err, "sorting metadata", most * 2 * sizeof(om_sortitem));
    }
    return OMEN_OK;
}

static const uint16_t *rows_of(const om_buildcolumn *column)
{
    return (const uint16_t *)(const void *)column->rows.data;
}
static const uint32_t *numbers_of(const om_buildcolumn *column)
{
    return (const uint32_t *)(const void *)column->numbers.data;
}
/* Ends of arrays in numbers, or of texts. */
static uint64_t end_at(const om_bytes *ends, uint64_t i)
{
    return i == 0 ? 0 : om_load64(ends->data + 8 * (i - 1));
}

/* Different elements of each row, summed: the size of order. last: [dict.count]. */
static uint64_t count_postings(const om_buildcolumn *column, uint32_t *last)
{
    uint32_t count = om_build_count(column);
    const uint32_t *numbers = numbers_of(column);
    uint64_t postings = 0;
    memset(last, 0, column->dict.count * sizeof last[0]);
    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t j = end_at(&column->lists, i); j < end_at(&column->lists, i + 1); j++) {
            postings += last[numbers[j]] != i + 1;
            last[numbers[j]] = i + 1;
        }
    }
    return postings;
}

static om_block_entry make_entry(const om_finish *finish, const om_buildcolumn *column)
{
    uint32_t rows = finish->build->rows;
    uint32_t count = om_build_count(column);
    bool array = om_is_array(column->type);
    bool text = column->type == OMEN_TYPE_TEXT;
    bool sparse = om_is_sparse(count, rows);
    bool nulls = om_null_coded(column->type, sparse, count, rows);
    om_block_entry entry = {.field = column->field,
                            .type = column->type,
                            .flags = sparse ? OM_COLUMN_SPARSE : 0,
                            .distinct = column->dict.count,
                            .count = count};
    entry.code_bytes = om_code_bytes(column->type, entry.distinct, nulls);
    entry.elements = array ? column->numbers.size / sizeof(uint32_t) : 0;
    entry.postings = array ? count_postings(column, finish->cursors) : text ? 0 : count;
    entry.heap = text                        ? column->text.size
                 : om_has_heap(column->type) ? column->dict.values.size
                                             : 0;
    return entry;
}

static void put_code(void *codes, uint8_t code_bytes, uint64_t i, uint32_t code)
{
    if (code_bytes == 1) {
        ((uint8_t *)codes)[i] = (uint8_t)code;
    } else if (code_bytes == 2) {
        ((uint16_t *)codes)[i] = (uint16_t)code;
    } else {
        ((uint32_t *)codes)[i] = code;
    }
}

/* The dictionary in its order, and the rank of each number. */
static void write_values(om_finish *finish, const om_buildcolumn *column, const om_layout *layout,
                         uint8_t *to)
{
    const om_metadict *dict = &column->dict;
    uint8_t *values = to + layout->at[OM_PART_VALUES];
    uint64_t *offsets = (uint64_t *)(void *)(to + layout->at[OM_PART_OFFSETS]);
    uint64_t *cells = (uint64_t *)(void *)(to + layout->at[OM_PART_CELLS]);
    uint64_t end = 0;
    om_metasort_dict(dict, om_base_type(column->type), finish->items, finish->scratch,
                     finish->pending);
    if (dict->width == 0) {
        offsets[0] = 0;
    }
    for (uint32_t rank = 0; rank < dict->count; rank++) {
        size_t size;
        const uint8_t *value = om_metadict_value(dict, finish->items[rank].number, &size);
        finish->ranks[finish->items[rank].number] = rank;
        if (size != 0) {
            memcpy(values + end, value, size);
        }
        end += size;
        if (dict->width == 0) {
            offsets[rank + 1] = end;
        } else if (dict->width == 16) {
            cells[rank] = finish->items[rank].key;
        }
    }
}

/* Sums counts[c + 1] into places: counts[c] is then where code c begins. */
static void sum_starts(uint32_t *starts, uint32_t distinct, uint32_t *cursors)
{
    uint32_t sum = 0;
    for (uint32_t code = 0; code < distinct; code++) {
        uint32_t here = starts[code];
        starts[code] = sum;
        cursors[code] = sum;
        sum += here;
    }
    starts[distinct] = sum;
}

/* Codes, starts and order of a column whose rows have one value. */
static void write_rows(om_finish *finish, const om_buildcolumn *column, const om_block_entry *entry,
                       const om_layout *layout, uint8_t *to)
{
    const uint16_t *rows = rows_of(column);
    const uint32_t *numbers = numbers_of(column);
    uint8_t *codes = to + layout->at[OM_PART_CODES];
    uint32_t *starts = (uint32_t *)(void *)(to + layout->at[OM_PART_STARTS]);
    uint16_t *order = (uint16_t *)(void *)(to + layout->at[OM_PART_ORDER]);
    bool sparse = (entry->flags & OM_COLUMN_SPARSE) != 0;
    if (!sparse && entry->count < finish->build->rows) {
        for (uint32_t row = 0; row < finish->build->rows; row++) {
            put_code(codes, entry->code_bytes, row, entry->distinct);
        }
    }
    memset(starts, 0, ((size_t)entry->distinct + 1) * sizeof starts[0]);
    for (uint32_t i = 0; i < entry->count; i++) {
        uint32_t code = finish->ranks[numbers[i]];
        put_code(codes, entry->code_bytes, sparse ? i : rows[i], code);
        starts[code]++;
    }
    sum_starts(starts, entry->distinct, finish->cursors);
    for (uint32_t i = 0; i < entry->count; i++) {
        order[finish->cursors[finish->ranks[numbers[i]]]++] = rows[i];
    }
}

/* The same of arrays, with the lists of the rows. */
static void write_arrays(om_finish *finish, const om_buildcolumn *column,
                         const om_block_entry *entry, const om_layout *layout, uint8_t *to)
{
    const uint16_t *rows = rows_of(column);
    const uint32_t *numbers = numbers_of(column);
    uint8_t *codes = to + layout->at[OM_PART_CODES];
    uint32_t *starts = (uint32_t *)(void *)(to + layout->at[OM_PART_STARTS]);
    uint16_t *order = (uint16_t *)(void *)(to + layout->at[OM_PART_ORDER]);
    uint32_t *lists = (uint32_t *)(void *)(to + layout->at[OM_PART_LISTS]);
    bool sparse = (entry->flags & OM_COLUMN_SPARSE) != 0;
    uint32_t at = 0; /* the next entry whose list is not begun */
    uint32_t *last = finish->cursors;
    memset(starts, 0, ((size_t)entry->distinct + 1) * sizeof starts[0]);
    memset(last, 0, entry->distinct * sizeof last[0]);
    for (uint32_t i = 0; i < entry->count; i++) {
        uint64_t from = end_at(&column->lists, i);
        for (uint32_t to_entry = sparse ? i : rows[i]; at <= to_entry; at++) {
            lists[at] = (uint32_t)from;
        }
        for (uint64_t j = from; j < end_at(&column->lists, i + 1); j++) {
            uint32_t code = finish->ranks[numbers[j]];
            put_code(codes, entry->code_bytes, j, code);
            starts[code] += last[code] != i + 1;
            last[code] = i + 1;
        }
    }
    for (uint32_t entries = sparse ? entry->count : finish->build->rows; at <= entries; at++) {
        lists[at] = (uint32_t)entry->elements;
    }
    sum_starts(starts, entry->distinct, finish->cursors);
    for (uint32_t i = 0; i < entry->count; i++) {
        for (uint64_t j = end_at(&column->lists, i); j < end_at(&column->lists, i + 1); j++) {
            uint32_t code = finish->ranks[numbers[j]];
            uint32_t place = finish->cursors[code];
            if (place == starts[code] || order[place - 1] != rows[i]) {
                order[place] = rows[i];
                finish->cursors[code]++;
            }
        }
    }
}

static void write_texts(const om_finish *finish, const om_buildcolumn *column,
                        const om_block_entry *entry, const om_layout *layout, uint8_t *to)
{
    const uint16_t *rows = rows_of(column);
    uint64_t *offsets = (uint64_t *)(void *)(to + layout->at[OM_PART_OFFSETS]);
    bool sparse = (entry->flags & OM_COLUMN_SPARSE) != 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < entry->count; i++) {
        for (uint32_t to_entry = sparse ? i : rows[i]; at <= to_entry; at++) {
            offsets[at] = end_at(&column->numbers, i);
        }
    }
    for (uint32_t entries = sparse ? entry->count : finish->build->rows; at <= entries; at++) {
        offsets[at] = entry->heap;
    }
    if (entry->heap != 0) {
        memcpy(to + layout->at[OM_PART_VALUES], column->text.data, (size_t)entry->heap);
    }
}

/* Which rows have a value. */
static void write_presence(const om_finish *finish, const om_buildcolumn *column,
                           const om_block_entry *entry, const om_layout *layout, uint8_t *to)
{
    const uint16_t *rows = rows_of(column);
    if ((entry->flags & OM_COLUMN_SPARSE) != 0) {
        memcpy(to + layout->at[OM_PART_ROWS], rows, layout->size[OM_PART_ROWS]);
    } else if (entry->count < finish->build->rows) {
        uint64_t *present = (uint64_t *)(void *)(to + layout->at[OM_PART_PRESENT]);
        for (uint32_t i = 0; i < entry->count; i++) {
            present[rows[i] / 64] |= UINT64_C(1) << rows[i] % 64;
        }
    }
}

static void write_column(om_finish *finish, const om_buildcolumn *column,
                         const om_block_entry *entry, uint8_t *block)
{
    om_layout layout;
    om_layout_of(entry, finish->build->rows, &layout);
    uint8_t *to = block + entry->at;
    if (column->type == OMEN_TYPE_TEXT) {
        write_texts(finish, column, entry, &layout, to);
    } else {
        write_values(finish, column, &layout, to);
        if (om_is_array(column->type)) {
            write_arrays(finish, column, entry, &layout, to);
        } else {
            write_rows(finish, column, entry, &layout, to);
        }
    }
    write_presence(finish, column, entry, &layout, to);
}

/* Zeros wherever a part does not fill its place, so that equal rows give equal bytes, and in the
 * bitmap. */
static void clear_gaps(const om_block_entry *entry, uint32_t rows, uint8_t *block)
{
    om_layout layout;
    om_layout_of(entry, rows, &layout);
    for (int part = 0; part < OM_PARTS; part++) {
        uint64_t next = part + 1 < OM_PARTS ? layout.at[part + 1] : layout.total;
        uint64_t filled = layout.at[part] + layout.size[part];
        if (part == OM_PART_PRESENT) {
            filled = layout.at[part];
        } else if (part == OM_PART_CODES && layout.size[part] != 0 && !om_is_array(entry->type) &&
                   (entry->flags & OM_COLUMN_SPARSE) == 0) {
            filled = layout.at[part] + (uint64_t)rows * entry->code_bytes;
        }
        memset(block + entry->at + filled, 0, (size_t)(next - filled));
    }
}

static void clear_build(om_metabuild *build)
{
    for (uint32_t i = 0; i < build->column_capacity; i++) {
        om_buildcolumn *column = build->columns[i];
        if (column != NULL) {
            om_metadict_clear(&column->dict);
            column->rows.size = 0;
            column->numbers.size = 0;
            column->lists.size = 0;
            column->text.size = 0;
        }
    }
    build->rows = 0;
}

/* Entries of all columns that have a value, and the size of the block. */
static uint32_t plan_columns(const om_finish *finish, om_block_entry *entries, uint64_t *size)
{
    const om_metabuild *build = finish->build;
    uint32_t columns = 0;
    for (uint32_t i = 0; i < build->column_capacity; i++) {
        columns += build->columns[i] != NULL && om_build_count(build->columns[i]) != 0;
    }
    uint64_t at = sizeof(om_block_head) + columns * sizeof(om_block_entry);
    columns = 0;
    for (uint32_t i = 0; i < build->column_capacity; i++) {
        if (build->columns[i] != NULL && om_build_count(build->columns[i]) != 0) {
            om_layout layout;
            om_block_entry entry = make_entry(finish, build->columns[i]);
            om_layout_of(&entry, build->rows, &layout);
            entry.at = at;
            entry.size = layout.total;
            at += layout.total;
            entries[columns++] = entry;
        }
    }
    *size = at;
    return columns;
}

omen_status_t om_metabuild_finish(om_metabuild *build, uint8_t **out, size_t *size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_finish finish;
    uint64_t total = 0;
    status = make_finish(&finish, build, err);
    if (status != OMEN_OK) {
        return status;
    }
    size_t entries_size = (build->column_capacity + 1) * sizeof(om_block_entry);
    om_block_entry *entries = om_alloc_get(build->alloc, entries_size, _Alignof(om_block_entry));
    if (entries == NULL) {
        status = om_fail_memory(err, "a block of metadata", entries_size);
        goto out;
    }
    uint32_t columns = plan_columns(&finish, entries, &total);
    uint8_t *block = om_alloc_get(build->alloc, (size_t)total, OM_BLOCK_ALIGN);
    if (block == NULL) {
        status = om_fail_memory(err, "a block of metadata", total);
        goto out;
    }
    om_block_head head = {
        .format = OM_BLOCK_FORMAT, .rows = build->rows, .columns = columns, .size = total};
    memcpy(head.magic, OM_BLOCK_MAGIC, sizeof head.magic);
    memcpy(block, &head, sizeof head);
    memcpy(block + sizeof head, entries, columns * sizeof entries[0]);
    for (uint32_t i = 0; i < columns; i++) {
        clear_gaps(&entries[i], build->rows, block);
        write_column(&finish, build->columns[entries[i].field], &entries[i], block);
    }
    clear_build(build);
    *out = block;
    *size = (size_t)total;
out:
    om_alloc_put(build->alloc, entries, entries_size, _Alignof(om_block_entry));
    free_finish(&finish);
    return status;
}
