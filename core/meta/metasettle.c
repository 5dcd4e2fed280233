/* metasettle.c - the fields that a batch adds get one type in all its rows, and then their place in
 * the schema.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "metaadded.h"
#include "metaparse_int.h"
#include "metautf8.h"
#include "schema_int.h"

/* What becomes of an entry: its final form, or false: it goes. The payload is changed where it stands. */
static bool settle_entry(const om_metaparse *parse, om_row_entry *entry, uint8_t *payload)
{
    if (entry->field < OM_FIELD_ADDED) {
        return true;
    }
    const om_added *added = &parse->added[entry->field - OM_FIELD_ADDED];
    if (added->place == OM_NO_FIELD) {
        return false; /* nothing but nulls and empty arrays in the whole batch */
    }
    uint16_t type = parse->rows->added[added->place].type;
    uint16_t base = type & (uint16_t)~OMEN_TYPE_ARRAY;
    entry->field = (uint16_t)(OM_FIELD_ADDED + added->place);
    if (entry->type == OMEN_TYPE_ARRAY) {
        bool strings = base == OMEN_TYPE_STRING || base == OMEN_TYPE_BYTES;
        entry->type = type;
        entry->size = strings ? entry->size : 0; /* a count of 0, or no numbers */
    } else if (entry->type != 0 && entry->type != type) {
        om_meta_widen(payload, entry->size);
        entry->type = type;
    }
    return true;
}

/* Rewrites a row to `to`, which is not behind it: it never grows. Returns its size. */
static size_t settle_row(om_metaparse *parse, uint8_t *row, uint8_t *to)
{
    uint32_t fields = om_meta_fields(row);
    const uint8_t *payload = row + OM_ROW_HEAD + (size_t)fields * OM_ROW_ENTRY;
    uint8_t *at = row + (payload - row);
    uint32_t kept = 0;
    om_assert(fields <= parse->entry_capacity);
    for (uint32_t i = 0; i < fields; i++) {
        om_row_entry entry = om_row_entry_at(row, i);
        size_t padded = om_row_pad(entry.size);
        om_parsed *parsed = &parse->entries[kept];
        parsed->offset = (size_t)(at - row);
        kept += settle_entry(parse, &entry, at);
        *parsed = (om_parsed){
            .field = entry.field, .type = entry.type, .size = entry.size, .offset = parsed->offset};
        at += padded;
    }
    /* Payloads only move down: what is read is never behind what is written. */
    uint8_t *write = to + OM_ROW_HEAD + (size_t)kept * OM_ROW_ENTRY;
    om_row_writer writer = {.row = to, .payload = write, .fields = kept};
    for (uint32_t i = 0; i < kept; i++) {
        const om_parsed *parsed = &parse->entries[i];
        size_t padded = om_row_pad(parsed->size);
        memmove(writer.payload, row + parsed->offset, padded);
        writer.payload += padded;
    }
    for (uint32_t i = 0; i < kept; i++) {
        const om_parsed *parsed = &parse->entries[i];
        om_row_entry entry = {.field = parsed->field, .type = parsed->type, .size = parsed->size};
        om_row_entry_set(to, writer.written++, entry);
    }
    return om_row_end(&writer);
}

/* Fields without a type go, the others close up. True: rows have to follow. */
static bool settle_fields(om_metaparse *parse)
{
    om_meta_rows *rows = parse->rows;
    bool moved = parse->loose;
    uint32_t kept = 0;
    for (uint32_t place = 0; place < rows->added_count; place++) {
        om_added *added = &parse->added[place];
        if (om_added_typeless(rows->added[place].type)) {
            added->place = OM_NO_FIELD;
            moved = true;
            continue;
        }
        added->place = (uint16_t)kept;
        moved = moved || added->widened;
        rows->added[kept] = rows->added[place];
        rows->added[kept].id = (uint16_t)(OM_FIELD_ADDED + kept);
        kept++;
    }
    rows->added_count = kept;
    return moved;
}

void om_metaparse_settle(om_metaparse *parse)
{
    om_meta_rows *rows = parse->rows;
    if (rows->added_count == 0 || !settle_fields(parse)) {
        return;
    }
    size_t to = 0;
    size_t from = 0;
    for (uint64_t i = 0; i < rows->count; i++) {
        size_t next = (size_t)rows->offsets[i + 1];
        to += settle_row(parse, parse->out.data + from, parse->out.data + to);
        rows->offsets[i + 1] = to;
        from = next;
    }
    parse->out.size = to;
}

/* ---- Joining the schema -------------------------------------------------------------------------- */

typedef struct om_binding {
    om_meta_rows *rows;
    uint32_t fresh; /* fields that the schema gets */
    bool shuffled;  /* ids do not rise with places */
    bool widens;    /* some INT64 field is DOUBLE there */
    uint16_t ids[OMEN_MAX_FIELDS];
    uint16_t types[OMEN_MAX_FIELDS];
} om_binding;

static bool widens_to(uint16_t from, uint16_t to)
{
    return from + 1 == to && (to & ~OMEN_TYPE_ARRAY) == OMEN_TYPE_DOUBLE;
}
_Static_assert(OMEN_TYPE_INT64 + 1 == OMEN_TYPE_DOUBLE, "widens_to");

/* What each added field is in the schema, or will be. */
static omen_status_t match_fields(const om_schema *schema, om_binding *binding, omen_error *err)
{
    uint32_t count = om_schema_count(schema);
    const om_meta_rows *rows = binding->rows;
    for (uint32_t i = 0; i < rows->added_count; i++) {
        const om_field *added = &rows->added[i];
        const om_field *there = om_schema_find(schema, added->name, added->name_length);
        binding->types[i] = there != NULL ? there->type : added->type;
        binding->ids[i] = there != NULL ? there->id : (uint16_t)(count + binding->fresh);
        binding->fresh += there == NULL;
        binding->shuffled = binding->shuffled || (i > 0 && binding->ids[i] < binding->ids[i - 1]);
        bool text = added->type == OMEN_TYPE_STRING && binding->types[i] == OMEN_TYPE_TEXT;
        bool widens = widens_to(added->type, binding->types[i]);
        binding->widens = binding->widens || widens;
        if (added->type != binding->types[i] && !text && !widens) {
            return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                           "metadata: field '%.*s' has meanwhile become %s; here it is %s",
                           OM_NAME_ARGS(added->name, added->name_length), om_type_name(there->type),
                           om_type_name(added->type));
        }
    }
    return OMEN_OK;
}

/* Whether all integers of fields that became DOUBLE can be doubles. */
static omen_status_t check_widening(const om_binding *binding, omen_error *err)
{
    const om_meta_rows *rows = binding->rows;
    for (uint64_t i = 0; binding->widens && i < rows->count; i++) {
        om_meta_iter iter = om_meta_first(rows->bytes + rows->offsets[i]);
        om_meta_value value;
        while (om_meta_next(&iter, &value)) {
            uint32_t place = value.field - (uint32_t)OM_FIELD_ADDED;
            if (value.field >= OM_FIELD_ADDED && value.type != 0 &&
                widens_to(value.type, binding->types[place]) &&
                !om_meta_widens(value.payload, value.size)) {
                const om_field *added = &rows->added[place];
                return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, i,
                                    "metadata of item %llu: field '%.*s' has meanwhile become "
                                    "double, which does not hold its integer exactly",
                                    (unsigned long long)i,
                                    OM_NAME_ARGS(added->name, added->name_length));
            }
        }
    }
    return OMEN_OK;
}

/* Ids and types of the schema into the entries of a row. */
static void bind_entries(const om_binding *binding, uint8_t *row)
{
    uint32_t fields = om_meta_fields(row);
    uint8_t *payload = row + OM_ROW_HEAD + (size_t)fields * OM_ROW_ENTRY;
    for (uint32_t i = 0; i < fields; i++) {
        om_row_entry entry = om_row_entry_at(row, i);
        if (entry.field >= OM_FIELD_ADDED) {
            uint32_t place = entry.field - (uint32_t)OM_FIELD_ADDED;
            if (entry.type != 0 && widens_to(entry.type, binding->types[place])) {
                om_meta_widen(payload, entry.size);
            }
            entry.type = entry.type != 0 ? binding->types[place] : 0;
            entry.field = binding->ids[place];
            om_row_entry_set(row, i, entry);
        }
        payload += om_row_pad(entry.size);
    }
}

/* Puts the entries of a row in order, by the smallest that is left: rare, and only for new fields. */
static void reorder_row(uint8_t *row, uint8_t *copy)
{
    uint32_t bytes = om_row_bytes(row);
    memcpy(copy, row, bytes);
    om_row_writer writer = om_row_begin(row, om_meta_fields(copy));
    uint32_t least = 0;
    for (uint32_t i = 0; i < writer.fields; i++) {
        om_meta_iter iter = om_meta_first(copy);
        om_meta_value value;
        om_meta_value next = {.field = OM_NO_FIELD};
        while (om_meta_next(&iter, &value)) {
            next = value.field >= least && value.field < next.field ? value : next;
        }
        om_row_entry entry = {.field = next.field, .type = next.type, .size = next.size};
        om_row_put(&writer, entry, next.payload);
        least = next.field + 1u;
    }
    (void)om_row_end(&writer);
}

static size_t largest_row(const om_meta_rows *rows)
{
    size_t largest = 0;
    for (uint64_t i = 0; i < rows->count; i++) {
        size_t size = (size_t)(rows->offsets[i + 1] - rows->offsets[i]);
        largest = size > largest ? size : largest;
    }
    return largest;
}

omen_status_t om_meta_bind(om_schema *schema, om_meta_rows *rows, uint32_t *first, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_binding binding = {.rows = rows};
    uint8_t *copy = NULL;
    size_t copy_size = 0;
    *first = om_schema_count(schema);
    if (rows->added_count == 0) {
        return OMEN_OK;
    }
    om_assert(rows->added_count <= OMEN_MAX_FIELDS);
    OM_TRY(match_fields(schema, &binding, err));
    OM_TRY(check_widening(&binding, err));
    if (binding.shuffled) {
        copy_size = largest_row(rows);
        copy = om_alloc_get(rows->alloc, copy_size, 8);
        if (copy == NULL) {
            status = om_fail_memory(err, "metadata", copy_size);
            goto out;
        }
    }
    OM_TRY(om_schema_reserve(schema, binding.fresh, err));
    for (uint32_t i = 0; i < rows->added_count; i++) {
        if (binding.ids[i] >= *first) {
            OM_TRY(om_schema_add(schema, &rows->added[i], err)); /* there is room */
        }
    }
    for (uint64_t i = 0; i < rows->count; i++) {
        uint8_t *row = rows->bytes + rows->offsets[i];
        bind_entries(&binding, row);
        if (binding.shuffled) {
            reorder_row(row, copy);
        }
    }
    rows->added_count = 0;
out:
    om_alloc_put(rows->alloc, copy, copy_size, 8);
    return status;
}
