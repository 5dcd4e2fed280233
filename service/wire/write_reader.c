/* write_reader.c - WriteBatch, ItemBatch, Ids and VectorColumn out of a chain of spans.
 * SPDX-License-Identifier: Apache-2.0 */
#include "write_reader.h"

#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "wwrite.h"

enum { ALIGN = 64, OFFSETS_MIN = 1024, DATA_MIN = 65536 };

static bool malformed(const om_wread *r, const char *what, om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL, "%s is malformed: %s", what,
                          r->bad != NULL ? r->bad : "a field has the wrong type");
}

static bool no_memory(om_failure *f, size_t bytes)
{
    om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                   "no memory for a batch of %zu bytes", bytes);
    f->retry_ms = 1000;
    return false;
}

static bool repeated(om_failure *f, const char *field)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", field,
                          "%s is malformed: a field that may occur once occurs twice", field);
}

void om_wbuffer_free(om_wbuffer *b)
{
    free(b->data);
    free(b->offsets);
    *b = (om_wbuffer){0};
}

void om_wbuffer_trim(om_wbuffer *b, size_t keep)
{
    if (b->capacity > keep) {
        free(b->data);
        b->data = NULL;
        b->capacity = 0;
    }
    if (b->offset_capacity * sizeof *b->offsets > keep) {
        free(b->offsets);
        b->offsets = NULL;
        b->offset_capacity = 0;
    }
}

/* Room for every byte of the message and the padding of two columns. */
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
        return no_memory(f, need);
    }
    b->capacity = need;
    return true;
}

static bool reserve_offsets(om_wbuffer *b, size_t count, om_failure *f)
{
    if (count <= b->offset_capacity) {
        return true;
    }
    size_t more = b->offset_capacity < OFFSETS_MIN ? OFFSETS_MIN : 2 * b->offset_capacity;
    more = more < count ? count : more;
    int32_t *grown = realloc(b->offsets, more * sizeof *grown);
    if (grown == NULL) {
        return no_memory(f, more * sizeof *grown);
    }
    b->offsets = grown;
    b->offset_capacity = more;
    return true;
}

/* The one kind of ids that the message has so far must stay the only one. */
static bool ids_kind(om_wire_ids *ids, uint32_t kind, om_failure *f)
{
    if (ids->type != OM_IDS_NONE && ids->type != kind) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "ids",
                              "ids mixes u64, uuid and str: exactly one must be set");
    }
    ids->type = kind;
    return true;
}

static bool take_u64(om_wread *r, const om_wfield *field, uint8_t *to, om_wire_ids *ids,
                     om_failure *f)
{
    if (!ids_kind(ids, OM_IDS_U64, f)) {
        return false;
    }
    if (field->type == OM_WT_FIXED64) {
        memcpy(to + ids->size, &field->value, 8);
        ids->size += 8;
        ids->count++;
        return true;
    }
    if (field->type != OM_WT_LEN || field->value % 8 != 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "ids.u64",
                              "ids.u64 has %llu bytes, which is no multiple of 8",
                              (unsigned long long)field->value);
    }
    size_t size = (size_t)field->value;
    if (!om_wread_copy(r, to + ids->size, size)) {
        return malformed(r, "Ids", f);
    }
    ids->size += size;
    ids->count += size / 8;
    return true;
}

static bool take_uuid(om_wread *r, const om_wfield *field, uint8_t *to, om_wire_ids *ids,
                      om_failure *f)
{
    size_t size = (size_t)field->value;
    if (ids->type == OM_IDS_UUID) {
        return repeated(f, "ids.uuid");
    }
    if (!ids_kind(ids, OM_IDS_UUID, f)) {
        return false;
    }
    if (field->type != OM_WT_LEN || size % 16 != 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "ids.uuid",
                              "ids.uuid has %zu bytes, which is no multiple of 16", size);
    }
    if (!om_wread_copy(r, to, size)) {
        return malformed(r, "Ids", f);
    }
    ids->size = size;
    ids->count = size / 16;
    return true;
}

static bool take_string(om_wread *r, const om_wfield *field, om_wbuffer *b, uint8_t *to,
                        om_wire_ids *ids, om_failure *f)
{
    size_t size = (size_t)field->value;
    if (field->type != OM_WT_LEN) {
        return malformed(r, "Ids", f);
    }
    if (!ids_kind(ids, OM_IDS_STRING, f) || !reserve_offsets(b, ids->count + 2, f)) {
        return false;
    }
    if (size == 0 || size > OMEN_MAX_STRING_ID) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "ids.str",
                       "ids.str[%zu] has %zu bytes, it must have 1 to %u", ids->count, size,
                       OMEN_MAX_STRING_ID);
        f->item = ids->count;
        return false;
    }
    if (!om_wread_copy(r, to + ids->size, size)) {
        return malformed(r, "Ids", f);
    }
    if (!om_utf8_valid(to + ids->size, size)) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "ids.str",
                       "ids.str[%zu] is not UTF-8, or contains NUL", ids->count);
        f->item = ids->count;
        return false;
    }
    ids->size += size;
    b->offsets[0] = 0;
    b->offsets[++ids->count] = (int32_t)ids->size;
    return true;
}

/* Ids to the place `to`, where there is room for what is left of the message. */
static bool read_ids_at(om_wread *r, om_wbuffer *b, uint8_t *to, om_wire_ids *ids, om_failure *f)
{
    om_wfield field;
    *ids = (om_wire_ids){.data = to};
    while (om_wread_field(r, &field)) {
        bool ok = true;
        if (field.number == 1) {
            ok = take_u64(r, &field, to, ids, f);
        } else if (field.number == 2) {
            ok = take_uuid(r, &field, to, ids, f);
        } else if (field.number == 3) {
            ok = take_string(r, &field, b, to, ids, f);
        } else if (field.type == OM_WT_LEN) {
            om_wread_skip(r, (size_t)field.value);
        }
        if (!ok) {
            return false;
        }
    }
    if (r->bad != NULL) {
        return malformed(r, "Ids", f);
    }
    ids->offsets = b->offsets;
    return true;
}

bool om_read_ids(om_wread *r, om_wbuffer *buffer, om_wire_ids *out, om_failure *f)
{
    return reserve(buffer, r->limit - r->pos, f) && read_ids_at(r, buffer, buffer->data, out, f);
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
            out->type = field.value > UINT32_MAX ? UINT32_MAX : (uint32_t)field.value;
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            out->dim = field.value > UINT32_MAX ? UINT32_MAX : (uint32_t)field.value;
        } else if (field.number == 4 && text) {
            if (out->data != NULL) {
                return repeated(f, "vectors.data");
            }
            out->data = to;
            out->size = (size_t)field.value;
            om_wread_copy(r, to, out->size);
        } else if (field.number <= 4 && !(field.number == 1 && text)) {
            return malformed(r, "VectorColumn", f);
        } else if (text) {
            om_wread_skip(r, (size_t)field.value);
        }
    }
    return r->bad == NULL || malformed(r, "VectorColumn", f);
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

static bool read_items(om_wread *r, om_wbuffer *b, om_wire_batch *out, om_failure *f)
{
    om_wfield field;
    uint8_t *to = b->data;
    bool had_ids = false;
    while (om_wread_field(r, &field)) {
        bool ok = true;
        size_t outer = r->limit;
        if (!item_type_ok(&field)) {
            return malformed(r, "ItemBatch", f);
        }
        if (field.number == 1) {
            if (had_ids) {
                return repeated(f, "items.ids");
            }
            had_ids = true;
            outer = om_wread_enter(r, (size_t)field.value);
            ok = read_ids_at(r, b, to, &out->ids, f);
            to = align_up(to + out->ids.size);
        } else if (field.number == 2) {
            if (out->vectors.present) {
                return repeated(f, "items.vectors");
            }
            out->vectors.present = true;
            outer = om_wread_enter(r, (size_t)field.value);
            ok = read_column(r, to, &out->vectors, f);
            to = align_up(to + out->vectors.size);
        } else if (field.number == 3 && field.value > 0) {
            return om_failure_unimplemented(f, "items.metadata");
        } else {
            ok = field.type != OM_WT_LEN || om_wread_skip(r, (size_t)field.value);
        }
        if (!ok) {
            return r->bad != NULL ? malformed(r, "ItemBatch", f) : false;
        }
        om_wread_leave(r, outer);
    }
    return r->bad == NULL || malformed(r, "ItemBatch", f);
}

/* The small fields of a WriteBatch. */
static bool batch_field(om_wread *r, const om_wfield *field, om_wire_batch *out, om_failure *f)
{
    static const uint32_t types[] = {OM_WT_FIXED64, OM_WT_VARINT, OM_WT_FIXED32, OM_WT_VARINT};
    if (field->number <= 4) {
        if (field->type != types[field->number - 1]) {
            return malformed(r, "WriteBatch", f);
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
    bool given = field->type != OM_WT_LEN || field->value > 0;
    if (given && field->number == 6) {
        return om_failure_unimplemented(f, "if_version");
    }
    if (given && field->number == 7) {
        return om_failure_unimplemented(f, "delete_filter");
    }
    if (field->number == 8) {
        return om_failure_unimplemented(f, "params");
    }
    return field->type != OM_WT_LEN || om_wread_skip(r, (size_t)field->value) ||
           malformed(r, "WriteBatch", f);
}

bool om_read_write_batch(om_wread *r, om_wbuffer *buffer, om_wire_batch *out, om_failure *f)
{
    om_wfield field;
    bool had_items = false;
    *out = (om_wire_batch){0};
    if (!reserve(buffer, r->limit - r->pos, f)) {
        return false;
    }
    while (om_wread_field(r, &field)) {
        if (field.number != 5) {
            if (!batch_field(r, &field, out, f)) {
                return false;
            }
            continue;
        }
        if (had_items) {
            return repeated(f, "items");
        }
        if (field.type != OM_WT_LEN) {
            return malformed(r, "WriteBatch", f);
        }
        had_items = true;
        size_t outer = om_wread_enter(r, (size_t)field.value);
        if (!read_items(r, buffer, out, f)) {
            return false;
        }
        om_wread_leave(r, outer);
    }
    return r->bad == NULL || malformed(r, "WriteBatch", f);
}

uint32_t om_write_batch_crc(const om_wire_batch *batch)
{
    uint32_t crc = om_wire_crc32c(0, batch->ids.data, batch->ids.size);
    return om_wire_crc32c(crc, batch->vectors.data, batch->vectors.size);
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
            malformed(r, "StreamWriteRequest", f);
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
