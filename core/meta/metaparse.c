/* metaparse.c - JSON objects become meta rows: names become fields, values payloads, entries are put
 * in order.
 * SPDX-License-Identifier: Apache-2.0
 *
 * One pass over the text, no tree. Items of a batch mostly have the same names in the same order, so
 * the field that followed this one in the item before is tried first: one comparison instead of a
 * hash. A refused item leaves nothing behind: new fields get their types when an item is accepted. */
#include "metarow.h"

#include <string.h>

#include "metaadded.h"
#include "metaparse_int.h"
#include "schema_int.h"

static bool has_name(const om_field *field, const om_metaparse *parse)
{
    return field->name_length == parse->name_length &&
           memcmp(field->name, parse->name, parse->name_length) == 0;
}

/* The field of parse->name. *previous is the field before it in this item (known: none, or one that is
 * not in the schema yet), and becomes this one. */
static omen_status_t find_field(om_metaparse *parse, uint32_t *previous, uint16_t *field)
{
    uint16_t guess = parse->next[*previous];
    if (guess < parse->known && has_name(om_schema_at(parse->schema, guess), parse)) {
        *previous = guess;
        *field = guess;
        return OMEN_OK;
    }
    const om_field *found = om_schema_find(parse->schema, parse->name, parse->name_length);
    if (found != NULL && found->id < parse->known) {
        parse->next[*previous] = found->id;
        *previous = found->id;
        *field = found->id;
        return OMEN_OK;
    }
    *previous = parse->known;
    return om_added_find(parse, field);
}

static om_want want_of(const om_metaparse *parse, uint16_t field)
{
    if (field < OM_FIELD_ADDED) {
        return (om_want){.type = om_schema_at(parse->schema, field)->type};
    }
    uint32_t place = field - OM_FIELD_ADDED;
    uint16_t type = parse->rows->added[place].type;
    return (om_want){.type = type,
                     .soft = (type & ~OMEN_TYPE_ARRAY) == OMEN_TYPE_INT64,
                     .inexact = parse->added[place].inexact};
}

static omen_status_t add_entry(om_metaparse *parse, om_parsed entry)
{
    if (parse->entry_count == parse->known + parse->rows->added_count) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "a name occurs twice");
    }
    if (parse->entry_count == parse->entry_capacity) {
        uint32_t capacity = parse->entry_capacity == 0 ? 32 : 2 * parse->entry_capacity;
        om_parsed *entries =
            om_alloc_grow(parse->alloc, parse->entries, parse->entry_capacity * sizeof entries[0],
                          capacity * sizeof entries[0], _Alignof(om_parsed));
        if (entries == NULL) {
            return om_fail_memory(parse->error, "metadata", capacity * sizeof entries[0]);
        }
        parse->entries = entries;
        parse->entry_capacity = capacity;
    }
    parse->entries[parse->entry_count++] = entry;
    return OMEN_OK;
}

/* A name and its value, from the opening quote on. */
static omen_status_t parse_member(om_metaparse *parse, uint32_t *previous)
{
    omen_status_t status = OMEN_OK;
    om_parsed entry = {.offset = parse->payload.size};
    parse->at++;
    OM_TRY(om_metaparse_name(parse));
    OM_TRY(find_field(parse, previous, &entry.field));
    om_metaparse_space(parse);
    if (!om_metaparse_take(parse, ':')) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected ':'");
    }
    om_metaparse_space(parse);
    if (parse->at == parse->end) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a value");
    }
    if (*parse->at != 'n') {
        OM_TRY(om_metaparse_value(parse, want_of(parse, entry.field), &entry.type));
        entry.size = (uint32_t)(parse->payload.size - entry.offset);
    } else if (!om_metaparse_word(parse, "null", 4)) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a value");
    }
    OM_TRY(add_entry(parse, entry));
    parse->name = NULL;
    om_metaparse_space(parse);
out:
    return status;
}

static omen_status_t parse_object(om_metaparse *parse)
{
    uint32_t previous = parse->known;
    om_metaparse_space(parse);
    if (!om_metaparse_take(parse, '{')) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a JSON object");
    }
    om_metaparse_space(parse);
    bool more = !om_metaparse_take(parse, '}');
    while (more) {
        if (parse->at == parse->end || *parse->at != '"') {
            return om_metaparse_bad(parse, OMEN_D_METADATA, "expected a name in double quotes");
        }
        omen_status_t status = parse_member(parse, &previous);
        if (status != OMEN_OK) {
            return status;
        }
        more = om_metaparse_take(parse, ',');
        if (!more && !om_metaparse_take(parse, '}')) {
            return om_metaparse_bad(parse, OMEN_D_METADATA, "expected ',' or '}'");
        }
        om_metaparse_space(parse);
    }
    om_metaparse_space(parse);
    if (parse->at != parse->end) {
        return om_metaparse_bad(parse, OMEN_D_METADATA, "something behind the object");
    }
    return OMEN_OK;
}

/* By field. They mostly are in order already; the gaps are for the text that tries what they are not
 * (Ciura 2001). */
static void sort_entries(om_parsed *entries, uint32_t count)
{
    static const uint32_t gaps[] = {3937, 1750, 701, 301, 132, 57, 23, 10, 4, 1};
    bool sorted = true;
    for (uint32_t i = 1; i < count; i++) {
        sorted = sorted && entries[i - 1].field < entries[i].field;
    }
    for (size_t g = 0; !sorted && g < sizeof gaps / sizeof gaps[0]; g++) {
        uint32_t gap = gaps[g];
        for (uint32_t i = gap; i < count; i++) {
            om_parsed entry = entries[i];
            uint32_t at = i;
            for (; at >= gap && entries[at - gap].field > entry.field; at -= gap) {
                entries[at] = entries[at - gap];
            }
            entries[at] = entry;
        }
    }
}

static omen_status_t check_entries(om_metaparse *parse)
{
    uint32_t typed = parse->typed;
    sort_entries(parse->entries, parse->entry_count);
    for (uint32_t i = 0; i < parse->entry_count; i++) {
        const om_parsed *entry = &parse->entries[i];
        bool added = entry->field >= OM_FIELD_ADDED;
        const om_field *field = added ? &parse->rows->added[entry->field - OM_FIELD_ADDED]
                                      : om_schema_at(parse->schema, entry->field);
        parse->name = field->name;
        parse->name_length = field->name_length;
        if (i > 0 && entry[-1].field == entry->field) {
            return om_metaparse_bad(parse, OMEN_D_METADATA, "a name occurs twice");
        }
        typed += added && om_added_typeless(field->type) && !om_added_typeless(entry->type);
        if (typed > OMEN_MAX_FIELDS - parse->known) {
            return om_metaparse_bad(parse, OMEN_D_LIMIT,
                                    "the collection would have more than %u fields",
                                    OMEN_MAX_FIELDS);
        }
    }
    parse->name = NULL;
    return OMEN_OK;
}

/* The item's row behind the others. */
static omen_status_t write_row(om_metaparse *parse)
{
    size_t size = OM_ROW_HEAD;
    uint32_t fields = 0;
    for (uint32_t i = 0; i < parse->entry_count; i++) {
        if (parse->entries[i].type != 0 || parse->patch) {
            size += OM_ROW_ENTRY + om_row_pad(parse->entries[i].size);
            fields++;
        }
    }
    om_assert(size <= OM_META_ROW_MAX); /* numbers take 8 bytes, of 2 of the text at least */
    omen_status_t status = om_bytes_room(&parse->out, size, parse->error);
    if (status != OMEN_OK) {
        return status;
    }
    om_row_writer writer = om_row_begin(parse->out.data + parse->out.size, fields);
    for (uint32_t i = 0; i < parse->entry_count; i++) {
        const om_parsed *entry = &parse->entries[i];
        if (entry->type != 0 || parse->patch) {
            om_row_entry head = {.field = entry->field, .type = entry->type, .size = entry->size};
            om_row_put(&writer, head, parse->payload.data + entry->offset);
        }
    }
    parse->out.size += om_row_end(&writer);
    return OMEN_OK;
}

static void begin_item(om_metaparse *parse, const uint8_t *text, size_t length)
{
    parse->from = text;
    parse->at = text;
    parse->end = text + length;
    parse->name = NULL;
    parse->entry_count = 0;
    parse->payload.size = 0;
    parse->text.size = 0;
}

static omen_status_t parse_item(om_metaparse *parse, const uint8_t *text, size_t length)
{
    omen_status_t status = OMEN_OK;
    uint32_t mark = parse->rows->added_count;
    begin_item(parse, text, length);
    if (length > OMEN_MAX_METADATA) {
        return om_metaparse_bad(parse, OMEN_D_LIMIT, "%zu bytes, at most %u", length,
                                OMEN_MAX_METADATA);
    }
    if (length != 0) {
        OM_TRY(parse_object(parse));
        OM_TRY(check_entries(parse));
    }
    OM_TRY(write_row(parse));
    om_added_accept(parse);
out:
    if (status != OMEN_OK) {
        om_added_forget(parse, mark);
    }
    return status;
}

/* Value i of the column. */
static omen_status_t slice(const om_meta_input *input, uint64_t i, const uint8_t **text,
                           size_t *length, omen_error *err)
{
    const omen_column *column = input->column;
    int64_t from = (int64_t)(i * column->width);
    int64_t to = from + column->width;
    if (column->offset_bits == 32) {
        from = ((const int32_t *)column->offsets)[i];
        to = ((const int32_t *)column->offsets)[i + 1];
    } else if (column->offset_bits == 64) {
        from = ((const int64_t *)column->offsets)[i];
        to = ((const int64_t *)column->offsets)[i + 1];
    }
    if (from < 0 || to < from) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "metadata: the offsets of item %llu do not ascend",
                            (unsigned long long)i);
    }
    *text = (const uint8_t *)column->data + from;
    *length = (size_t)(to - from);
    return OMEN_OK;
}

static omen_status_t parse_items(om_metaparse *parse, const om_meta_input *input)
{
    bool absent = input->column == NULL || input->column->data == NULL;
    for (uint64_t i = 0; i < input->count; i++) {
        const uint8_t *text = (const uint8_t *)"";
        size_t length = 0;
        omen_status_t status = absent ? OMEN_OK : slice(input, i, &text, &length, parse->error);
        if (status != OMEN_OK) {
            return status;
        }
        parse->item = i;
        status = parse_item(parse, text, length);
        if (status == OMEN_INVALID_ARGUMENT && input->refuse != NULL) {
            status = input->refuse(input->ctx, i, status, parse->error);
            status = status != OMEN_OK ? status : parse_item(parse, (const uint8_t *)"", 0);
        }
        if (status != OMEN_OK) {
            return status;
        }
        parse->rows->offsets[i + 1] = parse->out.size;
    }
    return OMEN_OK;
}

/* Rows take about as many bytes as their text: names and quotes become entries. */
static size_t likely_size(const om_meta_input *input)
{
    const omen_column *column = input->column;
    uint64_t text = 0;
    if (column != NULL && column->data != NULL && input->count != 0) {
        const uint8_t *first = NULL;
        const uint8_t *last = NULL;
        size_t length = 0;
        if (slice(input, 0, &first, &length, NULL) == OMEN_OK &&
            slice(input, input->count - 1, &last, &length, NULL) == OMEN_OK && last >= first) {
            text = (uint64_t)(last - first) + length;
        }
    }
    return (size_t)(om_min_u64(text, OMEN_MAX_BATCH_BYTES) + input->count * OM_ROW_HEAD);
}

/* Memory that the rows do not need is given back: they may stay for long. */
static void trim(om_metaparse *parse)
{
    om_bytes *out = &parse->out;
    size_t size = om_round_up(out->size, 8);
    if (out->capacity - size > size / 8 && size != 0) {
        uint8_t *data = om_alloc_grow(out->alloc, out->data, out->capacity, size, 8);
        if (data != NULL) {
            out->data = data;
            out->capacity = size;
        }
    }
}

static omen_status_t begin(om_metaparse *parse, const om_meta_input *input)
{
    om_meta_rows *rows = parse->rows;
    size_t offsets;
    parse->known = om_schema_count(input->schema);
    if (input->count >= OMEN_MAX_ROWS || !om_mul_size((size_t)input->count + 1, 8, &offsets)) {
        return om_fail_memory(parse->error, "metadata", UINT64_MAX);
    }
    rows->offsets = om_alloc_get(parse->alloc, offsets, _Alignof(uint64_t));
    if (rows->offsets == NULL) {
        return om_fail_memory(parse->error, "metadata", offsets);
    }
    rows->offsets[0] = 0;
    rows->count = input->count;
    size_t next = ((size_t)parse->known + 1) * sizeof parse->next[0];
    parse->next = om_alloc_get(parse->alloc, next, _Alignof(uint16_t));
    if (parse->next == NULL) {
        return om_fail_memory(parse->error, "metadata", next);
    }
    memset(parse->next, 0xFF, next); /* OM_NO_FIELD */
    /* From here on these have an address, also for values that are empty. */
    omen_status_t status = om_bytes_room(&parse->payload, 1, parse->error);
    status = status != OMEN_OK ? status : om_bytes_room(&parse->text, 1, parse->error);
    if (status != OMEN_OK) {
        return status;
    }
    return om_bytes_room(&parse->out, likely_size(input), parse->error);
}

static void end(om_metaparse *parse)
{
    om_alloc_put(parse->alloc, parse->next, ((size_t)parse->known + 1) * sizeof parse->next[0],
                 _Alignof(uint16_t));
    om_alloc_put(parse->alloc, parse->entries, parse->entry_capacity * sizeof parse->entries[0],
                 _Alignof(om_parsed));
    om_added_free(parse);
    om_bytes_free(&parse->payload);
    om_bytes_free(&parse->key);
    om_bytes_free(&parse->text);
    om_bytes_free(&parse->ends);
}

omen_status_t om_meta_parse(const om_alloc *alloc, const om_meta_input *input, om_meta_rows *out,
                            omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_error error = {0};
    om_meta_rows rows = {.alloc = alloc, .patch = input->patch};
    om_metaparse parse = {.alloc = alloc,
                          .schema = input->schema,
                          .patch = input->patch,
                          .rows = &rows,
                          .out.alloc = alloc,
                          .error = &error,
                          .payload.alloc = alloc,
                          .key.alloc = alloc,
                          .text.alloc = alloc,
                          .ends.alloc = alloc};
    OM_TRY(begin(&parse, input));
    OM_TRY(parse_items(&parse, input));
    om_metaparse_settle(&parse);
    trim(&parse);
out:
    end(&parse);
    rows.bytes = parse.out.data;
    rows.capacity_bytes = parse.out.capacity;
    if (status == OMEN_OK) {
        *out = rows;
    } else {
        om_meta_rows_free(&rows);
        if (err != NULL) {
            *err = error;
        }
    }
    return status;
}
