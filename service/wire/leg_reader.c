/* leg_reader.c - a Leg of a search: vector, text, or items to be like. SPDX-License-Identifier: Apache-2.0 */
#include "search_reader.h"
#include "wire_int.h"

static bool read_vector(om_wread *r, om_arena *arena, om_wire_leg *out, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        if (field.number == 1 && field.value > 0) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "NOT_FOUND", "legs.vector.vector.name",
                                  "vector.name must be empty: an item has one unnamed vector");
        }
        if (field.number == 2 && field.type == OM_WT_VARINT) {
            out->type = om_wire_u32(field.value);
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            out->dim = om_wire_u32(field.value);
        } else if (field.number == 4 && field.type == OM_WT_LEN) {
            if (out->vector != NULL) {
                return om_wire_repeated(f, "legs.vector.vector.data");
            }
            uint8_t *to = om_wire_take(arena, (size_t)field.value, 64, f);
            if (to == NULL) {
                return false;
            }
            out->vector = to;
            out->vector_size = (size_t)field.value;
            om_wread_copy(r, to, out->vector_size);
        } else if (field.number >= 2 && field.number <= 4) {
            return om_wire_malformed(r, "VectorColumn", f);
        } else {
            om_wire_skip(r, &field);
        }
    }
    return r->bad == NULL || om_wire_malformed(r, "VectorColumn", f);
}

static bool read_vector_leg(om_wread *r, om_arena *arena, om_wire_leg *out, om_failure *f)
{
    om_wfield field;
    bool had_vector = false;
    while (om_wread_field(r, &field)) {
        if (field.number == 1 && field.type == OM_WT_LEN) {
            if (had_vector) {
                return om_wire_repeated(f, "legs.vector.vector");
            }
            had_vector = true;
            size_t outer = om_wread_enter(r, (size_t)field.value);
            if (!read_vector(r, arena, out, f)) {
                return false;
            }
            om_wread_leave(r, outer);
        } else if (field.number == 2 && field.type == OM_WT_VARINT) {
            out->ef = om_wire_u32(field.value);
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            out->exact = field.value != 0;
        } else if (field.number == 4 && field.type == OM_WT_VARINT) {
            out->rerank = om_wire_u32(field.value);
        } else if (field.number <= 4) {
            return om_wire_malformed(r, "VectorLeg", f);
        } else {
            om_wire_skip(r, &field);
        }
    }
    return r->bad == NULL || om_wire_malformed(r, "VectorLeg", f);
}

static bool read_text_leg(om_wread *r, om_arena *arena, om_wire_leg *out, om_failure *f)
{
    static const uint32_t wire[] = {0, OM_WT_LEN, OM_WT_LEN, OM_WT_FIXED32, OM_WT_FIXED32};
    om_wfield field;
    while (om_wread_field(r, &field)) {
        om_wire_text text = {"legs.text.text", (size_t)field.value, OMEN_MAX_TEXT_QUERY};
        if (field.number > 4) {
            om_wire_skip(r, &field);
            continue;
        }
        if (field.type != wire[field.number]) {
            return om_wire_malformed(r, "TextLeg", f);
        }
        if (field.number == 1) {
            if (!om_read_text(r, arena, &text, &out->text, &out->text_size, f)) {
                return false;
            }
        } else if (field.number == 2) {
            text = (om_wire_text){"legs.text.field", (size_t)field.value, OMEN_MAX_FIELD_NAME};
            if (!om_read_text(r, arena, &text, &out->field, NULL, f)) {
                return false;
            }
            out->field = out->field[0] != '\0' ? out->field : NULL;
        } else if (field.number == 3) {
            out->k1 = om_wire_float(field.value);
        } else {
            out->b = om_wire_float(field.value);
        }
    }
    return r->bad == NULL || om_wire_malformed(r, "TextLeg", f);
}

static bool read_like(om_wread *r, om_arena *arena, om_wire_leg *out, om_failure *f)
{
    if (om_read_ids_arena(r, arena, &out->like, f)) {
        return true;
    }
    om_failure_about(f, "legs.like");
    return false;
}

/* The query of a leg: which of the three it is, and the message. */
static bool read_query(om_wread *r, const om_wfield *field, om_arena *arena, om_wire_leg *out,
                       om_failure *f)
{
    if (field->type != OM_WT_LEN) {
        return om_wire_malformed(r, "Leg", f);
    }
    if (out->kind != 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "legs",
                              "a leg has two queries: exactly one of vector, text and like "
                              "must be set");
    }
    out->kind = field->number; /* the numbers are those of OMEN_LEG_* */
    size_t outer = om_wread_enter(r, (size_t)field->value);
    bool ok = field->number == OMEN_LEG_VECTOR ? read_vector_leg(r, arena, out, f)
              : field->number == OMEN_LEG_TEXT ? read_text_leg(r, arena, out, f)
                                               : read_like(r, arena, out, f);
    if (ok) {
        om_wread_leave(r, outer);
    }
    return ok;
}

bool om_read_leg(om_wread *r, om_arena *arena, om_wire_leg *out, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        if (field.number <= 3) {
            if (!read_query(r, &field, arena, out, f)) {
                return false;
            }
        } else if (field.number == 4 && field.type == OM_WT_FIXED32) {
            out->weight = om_wire_float(field.value);
        } else if (field.number == 5 && field.type == OM_WT_VARINT) {
            out->limit = om_wire_u32(field.value);
        } else if (field.number <= 5) {
            return om_wire_malformed(r, "Leg", f);
        } else {
            om_wire_skip(r, &field);
        }
    }
    if (r->bad == NULL && out->kind == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "legs",
                              "a leg has no query: vector, text or like must be set");
    }
    return r->bad == NULL || om_wire_malformed(r, "Leg", f);
}
