/* metaadded.c - the fields that a batch brings along. SPDX-License-Identifier: Apache-2.0 */
#include "metaadded.h"

#include <string.h>

#include "op.h"
#include "rng.h"
#include "schema_int.h"

/* The table comes with the first name: most batches bring none. */
static omen_status_t make_names(om_metaparse *parse)
{
    if (parse->names != NULL) {
        return OMEN_OK;
    }
    parse->names =
        om_alloc_zero(parse->alloc, OM_ADDED_NAMES, sizeof parse->names[0], _Alignof(uint16_t));
    if (parse->names == NULL) {
        return om_fail_memory(parse->error, "new fields", OM_ADDED_NAMES * sizeof parse->names[0]);
    }
    parse->seed = om_mix64((uint64_t)(uintptr_t)parse->names ^ om_mix64(om_now_ns()));
    return OMEN_OK;
}

static omen_status_t make_room(om_metaparse *parse)
{
    om_meta_rows *rows = parse->rows;
    uint32_t old = rows->added_capacity;
    if (rows->added_count < old && rows->added_count < parse->added_capacity) {
        return OMEN_OK;
    }
    uint32_t capacity = old == 0 ? 16 : 2 * old;
    om_field *fields = om_alloc_grow(parse->alloc, rows->added, old * sizeof fields[0],
                                     capacity * sizeof fields[0], _Alignof(om_field));
    if (fields == NULL) {
        return om_fail_memory(parse->error, "new fields", capacity * sizeof fields[0]);
    }
    rows->added = fields;
    rows->added_capacity = capacity;
    om_added *added =
        om_alloc_grow(parse->alloc, parse->added, parse->added_capacity * sizeof added[0],
                      capacity * sizeof added[0], _Alignof(om_added));
    if (added == NULL) {
        return om_fail_memory(parse->error, "new fields", capacity * sizeof added[0]);
    }
    parse->added = added;
    parse->added_capacity = capacity;
    return OMEN_OK;
}

/* parse->name goes into the empty place `slot` of the table. */
static omen_status_t add_name(om_metaparse *parse, uint32_t slot, uint16_t *field)
{
    om_meta_rows *rows = parse->rows;
    const char *fault = om_field_name_fault(parse->name, parse->name_length);
    if (fault != NULL) {
        parse->name = NULL; /* it may be anything */
        return om_metaparse_bad(parse, OMEN_D_FIELD, "a name cannot be that of a field: %s", fault);
    }
    if (rows->added_count == OM_ADDED_MOST) {
        return om_metaparse_bad(parse, OMEN_D_LIMIT, "more than %u new names in one batch",
                                (unsigned)OM_ADDED_MOST);
    }
    omen_status_t status = make_room(parse);
    if (status != OMEN_OK) {
        return status;
    }
    uint32_t place = rows->added_count++;
    om_field *added = &rows->added[place];
    *added =
        (om_field){.id = (uint16_t)(OM_FIELD_ADDED + place), .name_length = parse->name_length};
    memcpy(added->name, parse->name, parse->name_length);
    parse->added[place] = (om_added){.slot = slot};
    parse->names[slot] = (uint16_t)(place + 1);
    *field = added->id;
    return OMEN_OK;
}

omen_status_t om_added_find(om_metaparse *parse, uint16_t *field)
{
    omen_status_t status = make_names(parse);
    if (status != OMEN_OK) {
        return status;
    }
    uint32_t slot =
        (uint32_t)om_field_hash(parse->seed, parse->name, parse->name_length) % OM_ADDED_NAMES;
    for (; parse->names[slot] != 0; slot = (slot + 1) % OM_ADDED_NAMES) {
        const om_field *added = &parse->rows->added[parse->names[slot] - 1];
        if (added->name_length == parse->name_length &&
            memcmp(added->name, parse->name, parse->name_length) == 0) {
            *field = added->id;
            return OMEN_OK;
        }
    }
    return add_name(parse, slot, field);
}

void om_added_accept(om_metaparse *parse)
{
    /* Fields that are added stand behind those of the schema. */
    for (uint32_t i = parse->entry_count; i > 0; i--) {
        const om_parsed *entry = &parse->entries[i - 1];
        if (entry->field < OM_FIELD_ADDED) {
            break;
        }
        uint32_t place = entry->field - OM_FIELD_ADDED;
        om_field *field = &parse->rows->added[place];
        om_added *added = &parse->added[place];
        uint16_t base = entry->type & (uint16_t)~OMEN_TYPE_ARRAY;
        if (base == OMEN_TYPE_INT64 && !added->inexact) {
            added->inexact = !om_meta_widens(parse->payload.data + entry->offset, entry->size);
        }
        parse->loose = parse->loose || entry->type == OMEN_TYPE_ARRAY;
        if (om_added_typeless(field->type) && entry->type != 0) {
            parse->typed += base != 0;
            field->type = entry->type;
        } else if ((field->type & ~OMEN_TYPE_ARRAY) == OMEN_TYPE_INT64 &&
                   base == OMEN_TYPE_DOUBLE) {
            field->type = entry->type;
            added->widened = true;
        }
    }
}

void om_added_forget(om_metaparse *parse, uint32_t mark)
{
    /* The newest goes first, so that no chain through the table is cut. */
    while (parse->rows->added_count > mark) {
        uint32_t place = --parse->rows->added_count;
        parse->names[parse->added[place].slot] = 0;
    }
}

void om_added_free(om_metaparse *parse)
{
    om_alloc_put(parse->alloc, parse->names, OM_ADDED_NAMES * sizeof parse->names[0],
                 _Alignof(uint16_t));
    om_alloc_put(parse->alloc, parse->added, parse->added_capacity * sizeof parse->added[0],
                 _Alignof(om_added));
}
