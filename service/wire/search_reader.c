/* search_reader.c - SearchRequest out of a chain of spans. SPDX-License-Identifier: Apache-2.0 */
#include "search_reader.h"

#include <string.h>

#include "wire_int.h"

/* The fields of SearchRequest. */
enum {
    Q_COLLECTION = 1,
    Q_LIMIT = 2,
    Q_LEGS = 3,
    Q_MIN_VERSION = 4,
    Q_ON_DEADLINE = 5,
    Q_EXPLAIN = 6,
    Q_WITH_VECTORS = 7,
    Q_FILTER = 8,
    Q_PARAMS = 9,
    Q_OFFSET = 10,
    Q_FUSION = 11,
    Q_RANK_CONSTANT = 12,
    Q_MAX_DISTANCE = 13,
    Q_MIN_SCORE = 14,
    Q_GROUP_BY = 15,
    Q_GROUP_SIZE = 16,
    Q_WITH_METADATA = 17,
    Q_FIELDS = 18,
    Q_FACETS = 19,
    Q_LAST = 19
};
static const uint8_t wire_types[Q_LAST + 1] = {[Q_COLLECTION] = OM_WT_LEN,
                                               [Q_LIMIT] = OM_WT_VARINT,
                                               [Q_LEGS] = OM_WT_LEN,
                                               [Q_MIN_VERSION] = OM_WT_FIXED64,
                                               [Q_ON_DEADLINE] = OM_WT_VARINT,
                                               [Q_EXPLAIN] = OM_WT_VARINT,
                                               [Q_WITH_VECTORS] = OM_WT_VARINT,
                                               [Q_FILTER] = OM_WT_LEN,
                                               [Q_PARAMS] = OM_WT_LEN,
                                               [Q_OFFSET] = OM_WT_VARINT,
                                               [Q_FUSION] = OM_WT_VARINT,
                                               [Q_RANK_CONSTANT] = OM_WT_FIXED32,
                                               [Q_MAX_DISTANCE] = OM_WT_FIXED32,
                                               [Q_MIN_SCORE] = OM_WT_FIXED32,
                                               [Q_GROUP_BY] = OM_WT_LEN,
                                               [Q_GROUP_SIZE] = OM_WT_VARINT,
                                               [Q_WITH_METADATA] = OM_WT_VARINT,
                                               [Q_FIELDS] = OM_WT_LEN,
                                               [Q_FACETS] = OM_WT_LEN};

bool om_read_name(om_wread *r, size_t size, const char *field, char *out, size_t capacity,
                  om_failure *f)
{
    if (size >= capacity) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                              "%s has %zu bytes, the limit is %zu", field, size, capacity - 1);
    }
    if (!om_wread_copy(r, out, size)) {
        return om_wire_malformed(r, "text", f);
    }
    out[size] = '\0';
    if (!om_utf8_valid((const uint8_t *)out, size)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", field,
                              "%s is not UTF-8, or contains NUL", field);
    }
    return true;
}

/* The place of the next leg: the second one makes room for all. */
static om_wire_leg *next_leg(om_arena *arena, om_wire_search *out, om_failure *f)
{
    enum { MORE = OMEN_MAX_LEGS - 1 };
    if (out->leg_count == 0) {
        return &out->first;
    }
    if (out->leg_count == OMEN_MAX_LEGS) {
        om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "legs",
                       "legs has more than %u legs, the limit is %u", OMEN_MAX_LEGS, OMEN_MAX_LEGS);
        return NULL;
    }
    if (out->more == NULL) {
        out->more = om_wire_take(arena, MORE * sizeof *out->more, 16, f);
        if (out->more != NULL) {
            memset(out->more, 0, MORE * sizeof *out->more);
        }
    }
    return out->more != NULL ? &out->more[out->leg_count - 1] : NULL;
}

static bool read_leg(om_wread *r, size_t size, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wire_leg *leg = next_leg(arena, out, f);
    if (leg == NULL) {
        return false;
    }
    out->leg_count++;
    size_t outer = om_wread_enter(r, size);
    if (!om_read_leg(r, arena, leg, f)) {
        return false;
    }
    om_wread_leave(r, outer);
    out->rich |= out->leg_count > 1 || leg->kind != OMEN_LEG_VECTOR || leg->limit != 0;
    return true;
}

static bool read_param(om_wread *r, size_t size, om_arena *arena, om_wire_search *out,
                       om_failure *f)
{
    size_t more = out->params.list == NULL ? 1 + om_wread_count(r, Q_PARAMS, size) : 0;
    size_t outer = om_wread_enter(r, size);
    bool ok = om_params_read(r, arena, more, &out->params, f);
    if (ok) {
        om_wread_leave(r, outer);
    }
    out->rich = true;
    return ok;
}

/* A name of `fields`: how many come is counted at the first one. */
static bool read_field_name(om_wread *r, size_t size, om_arena *arena, om_wire_search *out,
                            om_failure *f)
{
    if (out->fields == NULL) {
        size_t count = 1 + om_wread_count(r, Q_FIELDS, size);
        if (count > OMEN_MAX_FIELDS) {
            return om_failure_limit(f, "fields", count, OMEN_MAX_FIELDS);
        }
        out->fields = om_wire_take(arena, count * sizeof *out->fields, 8, f);
        if (out->fields == NULL) {
            return false;
        }
        out->field_capacity = (uint32_t)count;
    }
    om_wire_text text = {"fields", size, OMEN_MAX_FIELD_NAME};
    if (out->field_count == out->field_capacity ||
        !om_read_text(r, arena, &text, &out->fields[out->field_count], NULL, f)) {
        return false;
    }
    out->field_count++;
    out->with_metadata = true;
    return true;
}

static bool facet_field(om_wread *r, const om_wfield *field, om_arena *arena, om_wire_facet *out,
                        om_failure *f)
{
    if (field->number > 2) {
        return om_wire_skip(r, field) || om_wire_malformed(r, "FacetRequest", f);
    }
    if (field->type != (field->number == 1 ? (uint32_t)OM_WT_LEN : (uint32_t)OM_WT_VARINT)) {
        return om_wire_malformed(r, "FacetRequest", f);
    }
    if (field->number == 1) {
        om_wire_text text = {"facets.field", (size_t)field->value, OMEN_MAX_FIELD_NAME};
        return om_read_text(r, arena, &text, &out->field, NULL, f);
    }
    out->limit = om_wire_u32(field->value);
    return true;
}

static bool read_facet(om_wread *r, size_t size, om_arena *arena, om_wire_search *out,
                       om_failure *f)
{
    om_wfield field;
    if (out->facet_count == OM_SEARCH_MAX_FACETS) {
        return om_failure_limit(f, "facets",
                                1 + out->facet_count + om_wread_count(r, Q_FACETS, size),
                                OM_SEARCH_MAX_FACETS);
    }
    if (out->facets == NULL) {
        out->facets = om_wire_take(arena, OM_SEARCH_MAX_FACETS * sizeof *out->facets, 8, f);
        if (out->facets == NULL) {
            return false;
        }
    }
    om_wire_facet *facet = &out->facets[out->facet_count++];
    *facet = (om_wire_facet){.field = ""};
    size_t outer = om_wread_enter(r, size);
    while (om_wread_field(r, &field)) {
        if (!facet_field(r, &field, arena, facet, f)) {
            return false;
        }
    }
    if (r->bad != NULL) {
        return om_wire_malformed(r, "FacetRequest", f);
    }
    om_wread_leave(r, outer);
    facet->limit = facet->limit == 0 ? OM_FACET_DEFAULT_VALUES : facet->limit;
    out->rich = true;
    return facet->limit <= OM_FACET_MAX_VALUES ||
           om_failure_limit(f, "facets.limit", facet->limit, OM_FACET_MAX_VALUES);
}

/* A field that is a message or a text. */
static bool long_field(om_wread *r, const om_wfield *field, om_arena *arena, om_wire_search *out,
                       om_failure *f)
{
    size_t size = (size_t)field->value;
    om_wire_text text = {"filter", size, OMEN_MAX_FILTER};
    switch (field->number) {
    case Q_COLLECTION:
        return om_read_name(r, size, "collection", out->collection, sizeof out->collection, f);
    case Q_LEGS:
        return read_leg(r, size, arena, out, f);
    case Q_FILTER:
        out->filter = NULL;
        out->filter_size = 0;
        out->rich |= size > 0;
        return size == 0 || om_read_text(r, arena, &text, &out->filter, &out->filter_size, f);
    case Q_PARAMS:
        return read_param(r, size, arena, out, f);
    case Q_GROUP_BY:
        text = (om_wire_text){"group_by", size, OMEN_MAX_FIELD_NAME};
        out->group_by = NULL;
        out->rich |= size > 0;
        return size == 0 || om_read_text(r, arena, &text, &out->group_by, NULL, f);
    case Q_FIELDS:
        return read_field_name(r, size, arena, out, f);
    default:
        return read_facet(r, size, arena, out, f);
    }
}

/* Both members of the oneof `threshold` come here; the last one counts. */
static void threshold(const om_wfield *field, om_wire_search *out)
{
    out->threshold = field->number == Q_MAX_DISTANCE ? OM_THRESHOLD_DISTANCE : OM_THRESHOLD_SCORE;
    out->bound = om_wire_float(field->value);
    out->rich = true;
}

static void number_field(const om_wfield *field, om_wire_search *out)
{
    uint32_t value = om_wire_u32(field->value);
    switch (field->number) {
    case Q_LIMIT:
        out->limit = value;
        break;
    case Q_MIN_VERSION:
        out->min_version = field->value;
        break;
    case Q_ON_DEADLINE:
        out->partial_ok = field->value == 1;
        break;
    case Q_EXPLAIN:
        out->explain = value != 0;
        break;
    case Q_WITH_VECTORS:
        out->with_vectors = value != 0;
        break;
    case Q_OFFSET:
        out->offset = value;
        out->rich |= value != 0;
        break;
    case Q_FUSION:
        out->fusion = value; /* of one leg it changes nothing */
        break;
    case Q_RANK_CONSTANT:
        out->rank_constant = om_wire_float(field->value);
        break;
    case Q_GROUP_SIZE:
        out->group_size = value;
        break;
    case Q_WITH_METADATA:
        out->with_metadata |= value != 0;
        break;
    default:
        threshold(field, out);
    }
}

bool om_read_search(om_wread *r, om_arena *arena, om_wire_search *out, om_failure *f)
{
    om_wfield field;
    *out = (om_wire_search){.limit = 0};
    while (om_wread_field(r, &field)) {
        if (field.number > Q_LAST) {
            if (!om_wire_skip(r, &field)) {
                return om_wire_malformed(r, "SearchRequest", f);
            }
        } else if (field.type != wire_types[field.number]) {
            return om_wire_malformed(r, "SearchRequest", f);
        } else if (field.type != OM_WT_LEN) {
            number_field(&field, out);
        } else if (!long_field(r, &field, arena, out, f)) {
            return false;
        }
    }
    if (r->bad != NULL) {
        return om_wire_malformed(r, "SearchRequest", f);
    }
    if (out->leg_count == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "legs",
                              "legs is empty: a search needs a leg at least");
    }
    return true;
}
