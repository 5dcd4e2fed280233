/* write_reader.c - WriteBatch, ItemBatch and VectorColumn out of a chain of spans.
 * SPDX-License-Identifier: Apache-2.0 */
#include "write_reader.h"

#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "wire_int.h"

enum { ALIGN = 64, LIST_MIN = 4096, DATA_MIN = 65536 };

bool om_wire_malformed(const om_wread *r, const char *what, om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL, "%s is malformed: %s", what,
                          r->bad != NULL ? r->bad : "a field has the wrong type");
}

bool om_wire_no_memory(om_failure *f, size_t bytes)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                   "no memory for a batch of %zu bytes", bytes);
    f->retry_ms = 1000;
    return false;
}

bool om_wire_repeated(om_failure *f, const char *field)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", field,
                          "%s is malformed: a field that may occur once occurs twice", field);
}

bool om_wlist_reserve(om_wlist *list, size_t bytes, om_failure *f)
{
    if (bytes <= list->capacity) {
        return true;
    }
    size_t more = list->capacity < LIST_MIN ? LIST_MIN : 2 * list->capacity;
    more = more < bytes ? bytes : more;
    void *grown = realloc(list->data, more);
    if (grown == NULL) {
        return om_wire_no_memory(f, more);
    }
    *list = (om_wlist){grown, more};
    return true;
}

static void trim_list(om_wlist *list, size_t keep)
{
    if (list->capacity > keep) {
        free(list->data);
        *list = (om_wlist){0};
    }
}

void om_wbuffer_free(om_wbuffer *b)
{
    om_arena_reset(&b->arena);
    free(b->data);
    free(b->offsets.data);
    free(b->json.data);
    free(b->versions.data);
    *b = (om_wbuffer){0};
}

void om_wbuffer_trim(om_wbuffer *b, size_t keep)
{
    if (b->capacity > keep) {
        free(b->data);
        b->data = NULL;
        b->capacity = 0;
    }
    trim_list(&b->offsets, keep);
    trim_list(&b->json, keep);
    trim_list(&b->versions, keep);
    om_arena_reset(&b->arena);
}

/* Room for every byte of the message and the padding of three columns. */
static bool reserve(om_wbuffer *b, size_t message, om_failure *f)
{
    size_t need = (message + 3 * (size_t)ALIGN) & ~(size_t)(ALIGN - 1);
    if (need <= b->capacity) {
        return true;
    }
    need = need < DATA_MIN ? DATA_MIN : need;
    free(b->data);
    b->capacity = 0;
    b->data = aligned_alloc(ALIGN, need);
    if (b->data == NULL) {
        return om_wire_no_memory(f, need);
    }
    b->capacity = need;
    return true;
}

bool om_read_ids(om_wread *r, om_wbuffer *buffer, om_wire_ids *out, om_failure *f)
{
    if (!reserve(buffer, r->limit - r->pos, f)) {
        return false;
    }
    om_ids_room room = {buffer->data, &buffer->offsets, NULL};
    return om_read_ids_at(r, &room, out, f);
}

static bool read_column(om_wread *r, uint8_t *to, om_wire_vectors *out, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        bool text = field.type == OM_WT_LEN;
        if (field.number == 1 && text && field.value > 0) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "NOT_FOUND", "vectors.name",
                                  "vectors.name must be empty: an item has one unnamed vector");
        }
        if (field.number == 2 && field.type == OM_WT_VARINT) {
            out->type = om_wire_u32(field.value);
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            out->dim = om_wire_u32(field.value);
        } else if (field.number == 4 && text) {
            if (out->data != NULL) {
                return om_wire_repeated(f, "vectors.data");
            }
            out->data = to;
            out->size = (size_t)field.value;
            om_wread_copy(r, to, out->size);
        } else if (field.number <= 4 && !(field.number == 1 && text)) {
            return om_wire_malformed(r, "VectorColumn", f);
        } else if (text) {
            om_wread_skip(r, (size_t)field.value);
        }
    }
    return r->bad == NULL || om_wire_malformed(r, "VectorColumn", f);
}

/* The JSON of the items, one after the other, to the place `to`. */
static bool read_metadata(om_wread *r, om_wlist *list, uint8_t *to, om_wire_metadata *out,
                          om_failure *f)
{
    om_wfield field;
    *out = (om_wire_metadata){.present = true, .data = to};
    while (om_wread_field(r, &field)) {
        size_t size = (size_t)field.value;
        if (field.number != 1) {
            om_wire_skip(r, &field);
            continue;
        }
        if (field.type != OM_WT_LEN) {
            return om_wire_malformed(r, "Metadata", f);
        }
        if (size > OMEN_MAX_METADATA) {
            om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "items.metadata",
                           "items.metadata.json[%zu] has %zu bytes, the limit is %u", out->count,
                           size, OMEN_MAX_METADATA);
            f->item = out->count;
            return false;
        }
        if (!om_wlist_reserve(list, (out->count + 2) * sizeof *out->offsets, f)) {
            return false;
        }
        int32_t *offsets = list->data;
        om_wread_copy(r, to + out->size, size);
        out->size += size;
        offsets[0] = 0;
        offsets[++out->count] = (int32_t)out->size;
        out->offsets = offsets;
    }
    return r->bad == NULL || om_wire_malformed(r, "Metadata", f);
}

static uint8_t *align_up(uint8_t *p)
{
    return p + (size_t)(-(uintptr_t)p & (ALIGN - 1));
}

/* Sub-messages, and versions (which answers have) as a list of fixed64. */
static bool item_type_ok(const om_wfield *field)
{
    if (field->number == 4) {
        return field->type == OM_WT_FIXED64 || (field->type == OM_WT_LEN && field->value % 8 == 0);
    }
    return field->number > 4 || field->type == OM_WT_LEN;
}

/* One column of the items, to *to, which moves behind it. */
static bool read_column_of(om_wread *r, uint32_t number, om_wbuffer *b, uint8_t **to,
                           om_wire_batch *out, om_failure *f)
{
    om_ids_room room = {*to, &b->offsets, NULL};
    bool ok = true;
    switch (number) {
    case 1:
        ok = om_read_ids_at(r, &room, &out->ids, f);
        *to = align_up(*to + out->ids.size);
        return ok;
    case 2:
        out->vectors.present = true;
        ok = read_column(r, *to, &out->vectors, f);
        *to = align_up(*to + out->vectors.size);
        return ok;
    default:
        ok = read_metadata(r, &b->json, *to, &out->metadata, f);
        *to = align_up(*to + out->metadata.size);
        return ok;
    }
}

static bool read_items(om_wread *r, om_wbuffer *b, om_wire_batch *out, om_failure *f)
{
    static const char *const names[] = {"", "items.ids", "items.vectors", "items.metadata"};
    om_wfield field;
    uint8_t *to = b->data;
    bool had[4] = {false};
    while (om_wread_field(r, &field)) {
        if (!item_type_ok(&field)) {
            return om_wire_malformed(r, "ItemBatch", f);
        }
        if (field.number > 3) {
            om_wire_skip(r, &field);
            continue;
        }
        if (had[field.number]) {
            return om_wire_repeated(f, names[field.number]);
        }
        had[field.number] = true;
        size_t outer = om_wread_enter(r, (size_t)field.value);
        if (!read_column_of(r, field.number, b, &to, out, f)) {
            return r->bad != NULL ? om_wire_malformed(r, "ItemBatch", f) : false;
        }
        om_wread_leave(r, outer);
    }
    return r->bad == NULL || om_wire_malformed(r, "ItemBatch", f);
}

/* A run of if_version, packed or one by one. */
static bool read_versions(om_wread *r, const om_wfield *field, om_wbuffer *b, om_wire_batch *out,
                          om_failure *f)
{
    bool one = field->type == OM_WT_FIXED64;
    size_t size = one ? 8 : (size_t)field->value;
    if (!one && (field->type != OM_WT_LEN || size % 8 != 0)) {
        return om_wire_malformed(r, "WriteBatch", f);
    }
    size_t had = out->version_count * 8;
    if (!om_wlist_reserve(&b->versions, had + size + 8, f)) {
        return false;
    }
    uint8_t *to = (uint8_t *)b->versions.data + had;
    if (one) {
        memcpy(to, &field->value, 8);
    } else {
        om_wread_copy(r, to, size);
    }
    out->if_version = b->versions.data;
    out->version_count += size / 8;
    return true;
}

/* delete_filter: the text, checked, in the arena. */
static bool read_filter(om_wread *r, const om_wfield *field, om_wbuffer *b, om_wire_batch *out,
                        om_failure *f)
{
    if (field->type != OM_WT_LEN) {
        return om_wire_malformed(r, "WriteBatch", f);
    }
    return field->value == 0 ||
           om_read_text(r, &b->arena,
                        &(om_wire_text){"delete_filter", (size_t)field->value, OMEN_MAX_FILTER},
                        &out->filter, &out->filter_size, f);
}

static bool read_param(om_wread *r, const om_wfield *field, om_wbuffer *b, om_wire_batch *out,
                       om_failure *f)
{
    if (field->type != OM_WT_LEN) {
        return om_wire_malformed(r, "WriteBatch", f);
    }
    size_t size = (size_t)field->value;
    size_t more = out->params.list == NULL ? 1 + om_wread_count(r, 8, size) : 0;
    size_t outer = om_wread_enter(r, size);
    bool ok = om_params_read(r, &b->arena, more, &out->params, f);
    if (ok) {
        om_wread_leave(r, outer);
    }
    return ok;
}

/* The small fields of a WriteBatch. */
static bool batch_field(om_wread *r, const om_wfield *field, om_wire_batch *out, om_failure *f)
{
    static const uint32_t types[] = {OM_WT_FIXED64, OM_WT_VARINT, OM_WT_FIXED32, OM_WT_VARINT};
    if (field->number <= 4) {
        if (field->type != types[field->number - 1]) {
            return om_wire_malformed(r, "WriteBatch", f);
        }
        switch (field->number) {
        case 1:
            out->seq = field->value;
            break;
        case 2:
            out->op = field->value > UINT32_MAX ? UINT32_MAX : (uint32_t)field->value;
            break;
        case 3:
            out->crc32c = (uint32_t)field->value;
            break;
        default:
            out->per_item_errors = field->value != 0;
        }
        return true;
    }
    return om_wire_skip(r, field) || om_wire_malformed(r, "WriteBatch", f);
}

static bool read_field(om_wread *r, const om_wfield *field, om_wbuffer *b, om_wire_batch *out,
                       om_failure *f)
{
    switch (field->number) {
    case 6:
        return read_versions(r, field, b, out, f);
    case 7:
        return read_filter(r, field, b, out, f);
    case 8:
        return read_param(r, field, b, out, f);
    default:
        return batch_field(r, field, out, f);
    }
}

bool om_read_write_batch(om_wread *r, om_wbuffer *buffer, om_wire_batch *out, om_failure *f)
{
    om_wfield field;
    bool had_items = false;
    *out = (om_wire_batch){0};
    if (!reserve(buffer, r->limit - r->pos, f)) {
        return false;
    }
    om_arena_reset(&buffer->arena);
    while (om_wread_field(r, &field)) {
        if (field.number != 5) {
            if (!read_field(r, &field, buffer, out, f)) {
                return false;
            }
            continue;
        }
        if (had_items) {
            return om_wire_repeated(f, "items");
        }
        if (field.type != OM_WT_LEN) {
            return om_wire_malformed(r, "WriteBatch", f);
        }
        had_items = true;
        size_t outer = om_wread_enter(r, (size_t)field.value);
        if (!read_items(r, buffer, out, f)) {
            return false;
        }
        om_wread_leave(r, outer);
    }
    return r->bad == NULL || om_wire_malformed(r, "WriteBatch", f);
}

uint32_t om_write_batch_crc(const om_wire_batch *batch)
{
    uint32_t crc = om_wire_crc32c(0, batch->ids.data, batch->ids.size);
    crc = om_wire_crc32c(crc, batch->vectors.data, batch->vectors.size);
    return om_wire_crc32c(crc, batch->metadata.data, batch->metadata.size);
}

bool om_write_batch_crc_ok(const om_wire_batch *batch)
{
    return batch->crc32c == 0 || om_write_batch_crc(batch) == batch->crc32c;
}

uint32_t om_read_stream_kind(om_wread *r, om_failure *f)
{
    om_wfield field;
    if (!om_wread_field(r, &field)) {
        if (r->bad != NULL) {
            om_wire_malformed(r, "StreamWriteRequest", f);
        } else {
            om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "message",
                           "StreamWriteRequest is empty: open, batch, flush or close must be set");
        }
        return OM_STREAM_NONE;
    }
    if (field.number < OM_STREAM_OPEN || field.number > OM_STREAM_CLOSE ||
        field.type != OM_WT_LEN) {
        om_failure_set(f, OMEN_UNIMPLEMENTED, "UNIMPLEMENTED", "message",
                       "StreamWriteRequest has field %u, which this server does not know",
                       field.number);
        return OM_STREAM_NONE;
    }
    if (field.value != r->limit - r->pos) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "message",
                       "StreamWriteRequest must have one field and nothing after it");
        return OM_STREAM_NONE;
    }
    om_wread_enter(r, (size_t)field.value);
    return field.number;
}
