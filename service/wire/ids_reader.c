/* ids_reader.c - Ids out of a chain of spans. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "params.h"
#include "wire_int.h"

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
        return om_wire_malformed(r, "Ids", f);
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
        return om_wire_repeated(f, "ids.uuid");
    }
    if (!ids_kind(ids, OM_IDS_UUID, f)) {
        return false;
    }
    if (field->type != OM_WT_LEN || size % 16 != 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "ids.uuid",
                              "ids.uuid has %zu bytes, which is no multiple of 16", size);
    }
    if (!om_wread_copy(r, to, size)) {
        return om_wire_malformed(r, "Ids", f);
    }
    ids->size = size;
    ids->count = size / 16;
    return true;
}

static bool take_string(om_wread *r, const om_wfield *field, const om_ids_room *room,
                        om_wire_ids *ids, om_failure *f)
{
    size_t size = (size_t)field->value;
    uint8_t *to = room->to;
    if (field->type != OM_WT_LEN) {
        return om_wire_malformed(r, "Ids", f);
    }
    if (!ids_kind(ids, OM_IDS_STRING, f) ||
        (room->list != NULL &&
         !om_wlist_reserve(room->list, (ids->count + 2) * sizeof *ids->offsets, f))) {
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
        return om_wire_malformed(r, "Ids", f);
    }
    if (!om_utf8_valid(to + ids->size, size)) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "ids.str",
                       "ids.str[%zu] is not UTF-8, or contains NUL", ids->count);
        f->item = ids->count;
        return false;
    }
    ids->size += size;
    int32_t *offsets = room->list != NULL ? room->list->data : room->offsets;
    offsets[0] = 0;
    offsets[++ids->count] = (int32_t)ids->size;
    return true;
}

bool om_read_ids_at(om_wread *r, const om_ids_room *room, om_wire_ids *ids, om_failure *f)
{
    om_wfield field;
    *ids = (om_wire_ids){.data = room->to};
    while (om_wread_field(r, &field)) {
        bool ok = true;
        if (field.number == 1) {
            ok = take_u64(r, &field, room->to, ids, f);
        } else if (field.number == 2) {
            ok = take_uuid(r, &field, room->to, ids, f);
        } else if (field.number == 3) {
            ok = take_string(r, &field, room, ids, f);
        } else {
            om_wire_skip(r, &field);
        }
        if (!ok) {
            return false;
        }
    }
    if (r->bad != NULL) {
        return om_wire_malformed(r, "Ids", f);
    }
    ids->offsets = room->list != NULL ? room->list->data : room->offsets;
    return true;
}

bool om_read_ids_arena(om_wread *r, om_arena *arena, om_wire_ids *out, om_failure *f)
{
    size_t strings = om_wread_count(r, 3, 0);
    om_ids_room room = {.to = om_wire_take(arena, r->limit - r->pos, 64, f)};
    if (room.to == NULL) {
        return false;
    }
    room.offsets = om_wire_take(arena, (strings + 1) * sizeof *room.offsets, 4, f);
    return room.offsets != NULL && om_read_ids_at(r, &room, out, f);
}
