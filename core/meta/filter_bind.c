/* filter_bind.c - tests against the schema: whether a field can be asked this, and what that means for its
 * values. SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "filter_int.h"
#include "metatime.h"
#include "metautf8.h"
#include "schema_int.h"

enum { SHOWN_VALUE = 40 };

/* ---- Types -------------------------------------------------------------------------------------- */
static uint8_t class_of(uint32_t type)
{
    switch (type & ~(uint32_t)OMEN_TYPE_ARRAY) {
    case OMEN_TYPE_INT64:
    case OMEN_TYPE_BOOL:
    case OMEN_TYPE_TIME:
        return OM_CLASS_INT;
    case OMEN_TYPE_DOUBLE:
        return OM_CLASS_DOUBLE;
    case OMEN_TYPE_STRING:
    case OMEN_TYPE_BYTES:
        return OM_CLASS_BYTES;
    default:
        return OM_CLASS_NONE;
    }
}

/* TYPE: the field cannot be asked this; `hint` says what it can be asked. */
static omen_status_t wrong_test(om_parse *parse, const om_test_source *source, const char *hint)
{
    const om_field *field = source->field;
    return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                   "filter, byte %zu: field \"%.*s\" is %s: %s", source->at,
                   OM_NAME_ARGS(field->name, field->name_length), om_type_name(field->type), hint);
}

/* Fields that are compared with values: those that are not are told how they are asked instead. */
static omen_status_t comparable(om_parse *parse, const om_test_source *source, bool element)
{
    switch (source->field->type) {
    case OMEN_TYPE_TEXT:
        return wrong_test(parse, source,
                          "its words are found by text search, filters know IS [NOT] NULL only");
    case OMEN_TYPE_GEO:
        return wrong_test(parse, source,
                          "it is asked with DISTANCE(field, lat, lon) < metres or IS [NOT] NULL");
    default:
        if ((source->field->type & OMEN_TYPE_ARRAY) != 0 && !element) {
            return wrong_test(parse, source, "an array is asked with CONTAINS or IS [NOT] NULL");
        }
        return OMEN_OK;
    }
}

static omen_status_t wrong_value(om_parse *parse, const om_field *field, const om_literal *value)
{
    static const char *const kinds[] = {"an int", "a double", "a bool", "text", "bytes", "a time"};
    const char *name = field->name;
    const bool text = value->kind == OM_LIT_TEXT;
    const char *note = (field->type & ~(uint32_t)OMEN_TYPE_ARRAY) == OMEN_TYPE_TIME && text
                           ? " (a time is written '2026-11-20T08:00:00Z')"
                           : "";
    if (text) {
        return om_fail(
            parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
            "filter, byte %zu: field \"%.*s\" is %s and never '%.*s'%s", value->at,
            OM_NAME_ARGS(name, field->name_length), om_type_name(field->type),
            om_utf8_cut((const char *)value->slice.data, value->slice.length, SHOWN_VALUE),
            (const char *)value->slice.data, note);
    }
    char shown[OM_DOUBLE_TEXT + 1] = " ";
    if (value->kind == OM_LIT_INT) {
        (void)snprintf(shown, sizeof shown, " %lld", (long long)value->integer);
    } else if (value->kind == OM_LIT_DOUBLE) {
        (void)om_double_print(value->number, shown + 1);
    } else if (value->kind == OM_LIT_BOOL) {
        (void)snprintf(shown, sizeof shown, " %s", value->integer != 0 ? "TRUE" : "FALSE");
    } else {
        shown[0] = '\0';
    }
    return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                   "filter, byte %zu: field \"%.*s\" is %s and cannot be compared with %s%s",
                   value->at, OM_NAME_ARGS(name, field->name_length), om_type_name(field->type),
                   kinds[value->kind], shown);
}

/* Whether a value suits a field or its elements; the text of a time becomes the time. */
static omen_status_t convert(om_parse *parse, const om_field *field, om_literal *value)
{
    bool suits = false;
    switch (field->type & ~(uint32_t)OMEN_TYPE_ARRAY) {
    case OMEN_TYPE_INT64:
    case OMEN_TYPE_DOUBLE:
        suits = value->kind == OM_LIT_INT || value->kind == OM_LIT_DOUBLE;
        break;
    case OMEN_TYPE_BOOL:
        suits = value->kind == OM_LIT_BOOL;
        break;
    case OMEN_TYPE_TIME:
        suits = value->kind == OM_LIT_TIME ||
                (value->kind == OM_LIT_TEXT && om_time_parse((const char *)value->slice.data,
                                                             value->slice.length, &value->integer));
        break;
    case OMEN_TYPE_STRING:
        suits = value->kind == OM_LIT_TEXT;
        break;
    case OMEN_TYPE_BYTES:
        suits = value->kind == OM_LIT_BYTES;
        break;
    default:
        break;
    }
    if (!suits) {
        return wrong_value(parse, field, value);
    }
    if (value->kind == OM_LIT_TEXT && class_of(field->type) == OM_CLASS_INT) {
        value->kind = OM_LIT_TIME;
    }
    return OMEN_OK;
}

/* ---- Ranges ------------------------------------------------------------------------------------- */
static void begin(om_test *out, const om_test_source *source, uint8_t kind)
{
    *out = (om_test){.field = source->field->id,
                     .type = source->field->type,
                     .kind = kind,
                     .value_class = class_of(source->field->type),
                     .negate = source->negate};
    if (out->value_class == OM_CLASS_INT) {
        out->u.ints = (om_range_int){INT64_MIN, INT64_MAX};
    } else if (out->value_class == OM_CLASS_DOUBLE) {
        out->u.doubles = (om_range_double){-INFINITY, INFINITY};
    }
}

/* A test that no value passes, or with NOT every value does, is not left as a range. */
static omen_status_t finish(om_test *test)
{
    const bool empty =
        (test->value_class == OM_CLASS_INT && test->u.ints.lo > test->u.ints.hi) ||
        (test->value_class == OM_CLASS_DOUBLE && test->u.doubles.lo > test->u.doubles.hi);
    if (test->kind == OM_TEST_RANGE && empty) {
        test->kind = OM_TEST_NONE;
    }
    if (test->negate && (test->kind == OM_TEST_NONE || test->kind == OM_TEST_EVERY)) {
        test->kind = test->kind == OM_TEST_NONE ? OM_TEST_EVERY : OM_TEST_NONE;
        test->negate = false;
    }
    return OMEN_OK;
}

/* Raises the lower end of a range to a value. */
static void limit_from(om_test *test, const om_literal *value, bool strict)
{
    if (test->value_class == OM_CLASS_BYTES) {
        test->u.bytes.lo = value->slice;
        test->u.bytes.lo_edge = strict ? OM_EDGE_OPEN : OM_EDGE_CLOSED;
    } else if (test->value_class == OM_CLASS_DOUBLE) {
        test->u.doubles.lo = om_filter_double_from(value, strict);
    } else if (!om_filter_int_from(value, strict, &test->u.ints.lo)) {
        test->kind = OM_TEST_NONE;
    }
}

static void limit_to(om_test *test, const om_literal *value, bool strict)
{
    if (test->value_class == OM_CLASS_BYTES) {
        test->u.bytes.hi = value->slice;
        test->u.bytes.hi_edge = strict ? OM_EDGE_OPEN : OM_EDGE_CLOSED;
    } else if (test->value_class == OM_CLASS_DOUBLE) {
        test->u.doubles.hi = om_filter_double_to(value, strict);
    } else if (!om_filter_int_to(value, strict, &test->u.ints.hi)) {
        test->kind = OM_TEST_NONE;
    }
}

static void limit_equal(om_test *test, const om_literal *value)
{
    limit_from(test, value, false);
    limit_to(test, value, false);
}

/* ---- Tests -------------------------------------------------------------------------------------- */
omen_status_t om_filter_bind_null(om_parse *parse, const om_test_source *source, om_test *out)
{
    (void)parse;
    begin(out, source, source->negate ? OM_TEST_EVERY : OM_TEST_NULL);
    out->negate = false;
    return OMEN_OK;
}

omen_status_t om_filter_bind_bool(om_parse *parse, const om_test_source *source, om_test *out)
{
    if (source->field->type != OMEN_TYPE_BOOL) {
        const omen_status_t status = comparable(parse, source, false);
        return status != OMEN_OK
                   ? status
                   : wrong_test(parse, source, "only a bool stands alone, others are compared");
    }
    begin(out, source, OM_TEST_RANGE);
    const om_literal truth = {.kind = OM_LIT_BOOL, .integer = 1};
    limit_equal(out, &truth);
    return OMEN_OK;
}

omen_status_t om_filter_bind_compare(om_parse *parse, const om_test_source *source, uint32_t op,
                                     const om_literals *value, om_test *out)
{
    static const uint32_t opposite[] = {OM_OP_NE, OM_OP_EQ, OM_OP_GE, OM_OP_GT, OM_OP_LE, OM_OP_LT};
    om_literal limit = om_filter_value(value, 0);
    om_test_source plain = *source;
    omen_status_t status;
    OM_TRY(comparable(parse, source, false));
    OM_TRY(convert(parse, source->field, &limit));
    if (source->negate) {
        /* There is no NaN: what is not below is at least as large. */
        op = opposite[op];
    }
    plain.negate = op == OM_OP_NE;
    begin(out, &plain, OM_TEST_RANGE);
    if (op == OM_OP_EQ || op == OM_OP_NE) {
        limit_equal(out, &limit);
    } else if (op == OM_OP_LT || op == OM_OP_LE) {
        limit_to(out, &limit, op == OM_OP_LT);
    } else {
        limit_from(out, &limit, op == OM_OP_GT);
    }
    return finish(out);
out:
    return status;
}

omen_status_t om_filter_bind_between(om_parse *parse, const om_test_source *source,
                                     const om_literals *from, const om_literals *to, om_test *out)
{
    om_literal ends[2] = {om_filter_value(from, 0), om_filter_value(to, 0)};
    omen_status_t status;
    OM_TRY(comparable(parse, source, false));
    OM_TRY(convert(parse, source->field, &ends[0]));
    OM_TRY(convert(parse, source->field, &ends[1]));
    begin(out, source, OM_TEST_RANGE);
    limit_from(out, &ends[0], false);
    limit_to(out, &ends[1], false);
    return finish(out);
out:
    return status;
}

/* A pattern is a prefix and one '%' at its end; \_ \% and \\ stand for these characters. Takes the escapes
 * out of *pattern, whose bytes belong to the predicate. */
static omen_status_t parse_pattern(om_parse *parse, const om_literal *value, om_slice *prefix,
                                   bool *open)
{
    om_bound *bound = value->bound;
    if (bound != NULL && bound->patterned) {
        *prefix = bound->prefix;
        *open = bound->open;
        return OMEN_OK;
    }
    uint8_t *copy = om_arena_get(&parse->out->arena, value->slice.length + 1, 1);
    if (copy == NULL) {
        return om_fail_memory(parse->err, "filter", value->slice.length);
    }
    size_t length = 0;
    *open = false;
    for (size_t i = 0; i < value->slice.length; i++) {
        const uint8_t c = value->slice.data[i];
        const bool last = i + 1 == value->slice.length;
        if (c == '\\' && !last) {
            i++;
        } else if (c == '%' && last) {
            *open = true;
            break;
        } else if (c == '%' || c == '_' || c == '\\') {
            return om_fail(
                parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_FILTER_SYNTAX,
                "filter, byte %zu: expected a prefix and one %% at its end behind LIKE, found "
                "another '%c' (the character itself is written \\%c)",
                value->at, c, c);
        }
        copy[length++] = value->slice.data[i];
    }
    *prefix = (om_slice){copy, length};
    if (bound != NULL) {
        bound->patterned = true;
        bound->prefix = *prefix;
        bound->open = *open;
    }
    return OMEN_OK;
}

omen_status_t om_filter_bind_like(om_parse *parse, const om_test_source *source,
                                  const om_literals *value, om_test *out)
{
    const om_literal pattern = om_filter_value(value, 0);
    bool open;
    om_slice prefix;
    omen_status_t status;
    OM_TRY(comparable(parse, source, false));
    if (source->field->type != OMEN_TYPE_STRING) {
        return wrong_test(parse, source, "LIKE is for strings");
    }
    if (pattern.kind != OM_LIT_TEXT) {
        return wrong_value(parse, source->field, &pattern);
    }
    OM_TRY(parse_pattern(parse, &pattern, &prefix, &open));
    begin(out, source, OM_TEST_RANGE);
    out->u.bytes.lo = prefix;
    out->u.bytes.hi = prefix;
    out->u.bytes.lo_edge = open ? OM_EDGE_PREFIX : OM_EDGE_CLOSED;
    out->u.bytes.hi_edge = open ? OM_EDGE_NONE : OM_EDGE_CLOSED;
out:
    return status;
}

/* ---- Sets --------------------------------------------------------------------------------------- */
/* Room for `count` values of a class; slices are the largest. */
static void *set_room(om_parse *parse, uint8_t value_class, uint32_t count)
{
    const size_t size = value_class == OM_CLASS_BYTES ? sizeof(om_slice) : 8;
    return om_arena_get(&parse->out->arena, count * size, 8);
}

/* Takes one value over; false: no value of the field can equal it. */
static bool set_value(uint8_t value_class, const om_literal *value, void *slot)
{
    int64_t lo, hi;
    double from;
    bool kept = true;
    switch (value_class) {
    case OM_CLASS_INT:
        kept = om_filter_int_from(value, false, &lo) && om_filter_int_to(value, false, &hi) &&
               lo == hi;
        memcpy(slot, &lo, kept ? sizeof lo : 0);
        break;
    case OM_CLASS_DOUBLE:
        from = om_filter_double_from(value, false);
        kept = from == om_filter_double_to(value, false);
        memcpy(slot, &from, sizeof from);
        break;
    default:
        memcpy(slot, &value->slice, sizeof value->slice);
        break;
    }
    return kept;
}

/* Sorts the values and leaves out repeated ones. */
static uint32_t set_sort(uint8_t value_class, void *values, uint32_t count)
{
    uint32_t kept = 0;
    if (value_class == OM_CLASS_INT) {
        int64_t *ints = values;
        om_filter_sort_ints(ints, count);
        for (uint32_t i = 0; i < count; i++) {
            ints[kept] = ints[i];
            kept += i + 1 == count || ints[i] != ints[i + 1] ? 1 : 0;
        }
    } else if (value_class == OM_CLASS_DOUBLE) {
        double *doubles = values;
        om_filter_sort_doubles(doubles, count);
        for (uint32_t i = 0; i < count; i++) {
            doubles[kept] = doubles[i];
            kept += i + 1 == count || doubles[i] < doubles[i + 1] ? 1 : 0;
        }
    } else {
        om_slice *slices = values;
        om_filter_sort_slices(slices, count);
        for (uint32_t i = 0; i < count; i++) {
            slices[kept] = slices[i];
            kept += i + 1 == count || om_slice_compare(slices[i], slices[i + 1]) != 0 ? 1 : 0;
        }
    }
    return kept;
}

/* What a test with these values is: `lost` of them equal nothing. */
static void set_shape(om_test *out, const om_set_source *set, void *values, uint32_t count,
                      bool lost)
{
    const bool array = (out->type & OMEN_TYPE_ARRAY) != 0;
    if (set->all && count == 0 && !lost) {
        out->kind = OM_TEST_EVERY; /* all of none */
    } else if (count == 0 || (set->all && (lost || (!array && count > 1)))) {
        out->kind = OM_TEST_NONE;
    } else if (count == 1) {
        out->kind = OM_TEST_RANGE;
        if (out->value_class == OM_CLASS_INT) {
            out->u.ints.lo = out->u.ints.hi = *(const int64_t *)values;
        } else if (out->value_class == OM_CLASS_DOUBLE) {
            out->u.doubles.lo = out->u.doubles.hi = *(const double *)values;
        } else {
            out->u.bytes.lo = out->u.bytes.hi = *(const om_slice *)values;
            out->u.bytes.lo_edge = out->u.bytes.hi_edge = OM_EDGE_CLOSED;
        }
    } else {
        out->kind = set->all ? OM_TEST_ALL : OM_TEST_SET;
        out->u.set = (om_value_set){.count = count};
        if (out->value_class == OM_CLASS_INT) {
            out->u.set.ints = values;
        } else if (out->value_class == OM_CLASS_DOUBLE) {
            out->u.set.doubles = values;
        } else {
            out->u.set.slices = values;
        }
    }
}

/* The values as a sorted set for fields of this type. */
static omen_status_t make_set(om_parse *parse, const om_field *field, const om_literals *values,
                              om_bound_set *out)
{
    const uint8_t value_class = class_of(field->type);
    const size_t width = value_class == OM_CLASS_BYTES ? sizeof(om_slice) : 8;
    omen_status_t status = OMEN_OK;
    uint32_t count = 0;
    om_assert(values->count <= OMEN_MAX_ARRAY);
    uint8_t *room = set_room(parse, value_class, values->count);
    if (room == NULL) {
        return om_fail_memory(parse->err, "filter", values->count * width);
    }
    for (uint32_t i = 0; i < values->count; i++) {
        om_literal value = om_filter_value(values, i);
        OM_TRY(convert(parse, field, &value));
        count += set_value(value_class, &value, room + count * width) ? 1 : 0;
    }
    *out = (om_bound_set){.type = field->type & ~(uint32_t)OMEN_TYPE_ARRAY,
                          .values = room,
                          .count = set_sort(value_class, room, count),
                          .lost = count != values->count};
out:
    return status;
}

/* The set of a bound array, made at its first use with this type. */
static omen_status_t bound_set(om_parse *parse, const om_field *field, const om_literals *values,
                               om_bound_set *out)
{
    const uint32_t type = field->type & ~(uint32_t)OMEN_TYPE_ARRAY;
    for (const om_bound_set *set = values->bound->sets; set != NULL; set = set->next) {
        if (set->type == type) {
            *out = *set;
            return OMEN_OK;
        }
    }
    omen_status_t status = make_set(parse, field, values, out);
    if (status != OMEN_OK) {
        return status;
    }
    om_bound_set *kept = om_arena_get(&parse->out->arena, sizeof *kept, _Alignof(om_bound_set));
    if (kept == NULL) {
        return om_fail_memory(parse->err, "filter", sizeof *kept);
    }
    *kept = *out;
    kept->next = values->bound->sets;
    values->bound->sets = kept;
    return OMEN_OK;
}

omen_status_t om_filter_bind_set(om_parse *parse, const om_test_source *source,
                                 const om_set_source *set, om_test *out)
{
    const om_literals *values = &set->values;
    om_bound_set made = {.values = NULL};
    omen_status_t status;
    OM_TRY(comparable(parse, source, set->contains));
    if (values->list == NULL) {
        OM_TRY(bound_set(parse, source->field, values, &made));
    } else {
        OM_TRY(make_set(parse, source->field, values, &made));
    }
    begin(out, source, OM_TEST_SET);
    set_shape(out, set, made.values, made.count, made.lost);
    return finish(out);
out:
    return status;
}

/* ---- Places ------------------------------------------------------------------------------------- */
static omen_status_t number_in(om_parse *parse, const om_literals *value, const char *what,
                               double most, double *out)
{
    const om_literal literal = om_filter_value(value, 0);
    if (literal.kind != OM_LIT_INT && literal.kind != OM_LIT_DOUBLE) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "filter, byte %zu: %s is a number", literal.at, what);
    }
    *out = literal.kind == OM_LIT_INT ? (double)literal.integer : literal.number;
    if (fabs(*out) > most) {
        return om_fail(parse->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "filter, byte %zu: %s %.17g is not within -%g and %g", literal.at, what,
                       *out, most, most);
    }
    return OMEN_OK;
}

omen_status_t om_filter_bind_distance(om_parse *parse, const om_test_source *source, uint32_t op,
                                      const om_literals place[3], om_test *out)
{
    om_circle circle = {0};
    om_test_source plain = *source;
    omen_status_t status;
    if (source->field->type != OMEN_TYPE_GEO) {
        return wrong_test(parse, source, "DISTANCE is for geo fields");
    }
    OM_TRY(number_in(parse, &place[0], "a latitude", 90, &circle.lat));
    OM_TRY(number_in(parse, &place[1], "a longitude", 180, &circle.lon));
    OM_TRY(number_in(parse, &place[2], "a distance", DBL_MAX, &circle.metres));
    /* Beyond is the same as not within. */
    const bool beyond = op == OM_OP_GT || op == OM_OP_GE;
    circle.closed = op == OM_OP_LE || op == OM_OP_GT;
    plain.negate = source->negate != beyond;
    begin(out, &plain, OM_TEST_GEO);
    out->u.circle = circle;
    om_circle_make(&out->u.circle);
out:
    return status;
}
