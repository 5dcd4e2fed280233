/* search_reader.c - SearchRequest out of a chain of spans. SPDX-License-Identifier: Apache-2.0 */
#include "search_reader.h"

#include <string.h>

#include "wwrite.h"

static bool malformed(const om_wread *r, const char *what, om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL, "%s is malformed: %s", what,
                          r->bad != NULL ? r->bad : "a field has the wrong type");
}

static uint32_t narrow(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* Fields that are not ours are skipped: a newer client may send them. */
static bool skip_field(om_wread *r, const om_wfield *field)
{
    return field->type != OM_WT_LEN || om_wread_skip(r, (size_t)field->value);
}

bool om_read_name(om_wread *r, size_t size, const char *field, char *out, size_t capacity,
                  om_failure *f)
{
    if (size >= capacity) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                              "%s has %zu bytes, the limit is %zu", field, size, capacity - 1);
    }
    if (!om_wread_copy(r, out, size)) {
        return malformed(r, "text", f);
    }
    out[size] = '\0';
    if (!om_utf8_valid((const uint8_t *)out, size)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", field,
                              "%s is not UTF-8, or contains NUL", field);
    }
    return true;
}

static bool read_vector(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        if (field.number == 1 && field.value > 0) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "NOT_FOUND", "legs.vector.vector.name",
                                  "vector.name must be empty: an item has one unnamed vector");
        }
        if (field.number == 2 && field.type == OM_WT_VARINT) {
            out->type = narrow(field.value);
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            out->dim = narrow(field.value);
        } else if (field.number == 4 && field.type == OM_WT_LEN) {
            if (out->vector != NULL) {
                return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED",
                                      "legs.vector.vector.data", "vector.data occurs twice");
            }
            uint8_t *to = om_arena_alloc(arena, (size_t)field.value, 64);
            if (to == NULL) {
                return om_failure_limit(f, "legs.vector.vector.data", field.value, arena->limit);
            }
            out->vector = to;
            out->vector_size = (size_t)field.value;
            om_wread_copy(r, to, out->vector_size);
        } else if (field.number >= 2 && field.number <= 4) {
            return malformed(r, "VectorColumn", f);
        } else {
            skip_field(r, &field);
        }
    }
    return r->bad == NULL || malformed(r, "VectorColumn", f);
}

static bool read_vector_leg(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        if (field.number == 1 && field.type == OM_WT_LEN) {
            size_t outer = om_wread_enter(r, (size_t)field.value);
            if (!read_vector(r, arena, out, f)) {
                return false;
            }
            om_wread_leave(r, outer);
        } else if (field.number == 2 && field.type == OM_WT_VARINT) {
            out->ef = narrow(field.value);
        } else if (field.number == 3 && field.type == OM_WT_VARINT) {
            out->exact = field.value != 0;
        } else if (field.number == 4 && field.type == OM_WT_VARINT) {
            out->rerank = narrow(field.value);
        } else if (field.number <= 4) {
            return malformed(r, "VectorLeg", f);
        } else {
            skip_field(r, &field);
        }
    }
    return r->bad == NULL || malformed(r, "VectorLeg", f);
}

static bool read_leg(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wfield field;
    bool had_vector = false;
    while (om_wread_field(r, &field)) {
        if (field.number == 1 && field.type == OM_WT_LEN && !had_vector) {
            had_vector = true;
            size_t outer = om_wread_enter(r, (size_t)field.value);
            if (!read_vector_leg(r, arena, out, f)) {
                return false;
            }
            om_wread_leave(r, outer);
        } else if (field.number == 2) {
            return om_failure_unimplemented(f, "legs.text");
        } else if (field.number == 3) {
            return om_failure_unimplemented(f, "legs.like");
        } else if (field.number == 5 && field.value != 0) {
            return om_failure_unimplemented(f, "legs.limit");
        } else if (field.number == 1) {
            return malformed(r, "Leg", f);
        } else {
            /* The weight of a single leg changes nothing. */
            skip_field(r, &field);
        }
    }
    if (r->bad == NULL && !had_vector) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "legs.vector",
                              "legs[0] has no query: vector must be set");
    }
    return r->bad == NULL || malformed(r, "Leg", f);
}

/* The numbers of a SearchRequest. False: wrong type. */
static bool number_field(const om_wfield *field, om_wire_search *out)
{
    if (field->type != (field->number == 4 ? (uint32_t)OM_WT_FIXED64 : (uint32_t)OM_WT_VARINT)) {
        return false;
    }
    switch (field->number) {
    case 2:
        out->limit = narrow(field->value);
        break;
    case 4:
        out->min_version = field->value;
        break;
    case 5:
        out->partial_ok = field->value == 1;
        break;
    case 6:
        out->explain = field->value != 0;
        break;
    default:
        out->with_vectors = field->value != 0;
    }
    return true;
}

/* One field of the request; *legs counts. */
static bool request_field(om_wread *r, const om_wfield *field, om_arena *arena, uint32_t *legs,
                          om_wire_search *out, om_failure *f)
{
    size_t size = (size_t)field->value;
    if (field->number == 1 && field->type == OM_WT_LEN) {
        return om_read_name(r, size, "collection", out->collection, sizeof out->collection, f);
    }
    if (field->number == 3 && field->type == OM_WT_LEN) {
        if (++*legs > 1) {
            return om_failure_set(f, OMEN_UNIMPLEMENTED, "UNIMPLEMENTED", "legs",
                                  "legs has more than one leg: this server fuses no results yet");
        }
        size_t outer = om_wread_enter(r, size);
        bool ok = read_leg(r, arena, out, f);
        if (ok) {
            om_wread_leave(r, outer);
        }
        return ok;
    }
    if (field->number == 8 && field->type == OM_WT_LEN) {
        return size == 0 || om_failure_unimplemented(f, "filter");
    }
    if (field->number == 9) {
        return om_failure_unimplemented(f, "params");
    }
    if (field->number == 1 || field->number == 3 || field->number == 8) {
        return malformed(r, "SearchRequest", f);
    }
    if (field->number <= 7) {
        return number_field(field, out) || malformed(r, "SearchRequest", f);
    }
    return skip_field(r, field) || malformed(r, "SearchRequest", f);
}

bool om_read_search(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wfield field;
    uint32_t legs = 0;
    *out = (om_wire_search){.limit = 0};
    while (om_wread_field(r, &field)) {
        if (!request_field(r, &field, arena, &legs, out, f)) {
            return false;
        }
    }
    if (r->bad != NULL) {
        return malformed(r, "SearchRequest", f);
    }
    if (legs == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "legs",
                              "legs is empty: a search needs exactly one leg");
    }
    return true;
}
