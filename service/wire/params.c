/* params.c - parameters of a filter. A list is walked twice, to be counted and then to be read, so that it
 * takes one allocation of its size. SPDX-License-Identifier: Apache-2.0 */
#include "params.h"

#include <string.h>

#include "wwrite.h"

/* The members of omen.v1.Value. */
enum {
    V_STRING = 1,
    V_INT = 2,
    V_DOUBLE = 3,
    V_BOOL = 4,
    V_BYTES = 5,
    V_TIME = 6,
    V_STRINGS = 7,
    V_INTS = 8,
    V_DOUBLES = 9
};
static const uint32_t types[] = {0,
                                 OMEN_TYPE_STRING,
                                 OMEN_TYPE_INT64,
                                 OMEN_TYPE_DOUBLE,
                                 OMEN_TYPE_BOOL,
                                 OMEN_TYPE_BYTES,
                                 OMEN_TYPE_TIME,
                                 OMEN_TYPE_STRING,
                                 OMEN_TYPE_INT64,
                                 OMEN_TYPE_DOUBLE};

static bool malformed(const om_wread *r, om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "params",
                          "a Value is malformed: %s",
                          r->bad != NULL ? r->bad : "a field has the wrong type");
}

void *om_wire_take(om_arena *arena, size_t size, size_t align, om_failure *f)
{
    arena->limit = arena->used + size;
    void *out = om_arena_alloc(arena, size, align);
    if (out == NULL) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                       "no memory for a request of %zu bytes", size);
        f->retry_ms = 1000;
    }
    return out;
}

size_t om_wread_count(const om_wread *r, uint32_t number, size_t skip)
{
    om_wread copy = *r;
    om_wfield field;
    size_t count = 0;
    om_wread_skip(&copy, skip);
    while (om_wread_field(&copy, &field)) {
        count += field.number == number;
        if (field.type == OM_WT_LEN) {
            om_wread_skip(&copy, (size_t)field.value);
        }
    }
    return count;
}

bool om_read_text(om_wread *r, om_arena *arena, const om_wire_text *field, const char **out,
                  size_t *size, om_failure *f)
{
    if (field->size > field->max) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field->name,
                              "%s has %zu bytes, the limit is %zu", field->name, field->size,
                              field->max);
    }
    char *to = om_wire_take(arena, field->size + 1, 1, f);
    if (to == NULL) {
        return false;
    }
    if (!om_wread_copy(r, to, field->size)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", field->name,
                              "%s is malformed: %s", field->name, r->bad);
    }
    to[field->size] = '\0';
    if (!om_utf8_valid((const uint8_t *)to, field->size)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", field->name,
                              "%s is not UTF-8, or contains NUL", field->name);
    }
    *out = to;
    if (size != NULL) {
        *size = field->size;
    }
    return true;
}

/* The place of one more parameter. */
static omen_param *add(om_params *out, om_arena *arena, size_t more, om_failure *f)
{
    if (out->list == NULL) {
        if (more > OMEN_MAX_PARAMS) {
            om_failure_limit(f, "params", more, OMEN_MAX_PARAMS);
            return NULL;
        }
        out->list = om_wire_take(arena, more * sizeof *out->list, 8, f);
        out->capacity = out->list != NULL ? (uint32_t)more : 0;
        if (out->list == NULL) {
            return NULL;
        }
    }
    if (out->count == out->capacity) {
        om_failure_set(f, OMEN_INTERNAL, "INTERNAL", "params", "params were counted wrongly");
        return NULL;
    }
    omen_param *p = &out->list[out->count++];
    memset(p, 0, sizeof *p);
    return p;
}

static bool count_values(om_params *out, uint64_t values, om_failure *f)
{
    if (values > OMEN_MAX_ARRAY) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "params",
                              "params[%u] has %llu values, the limit is %u", out->count - 1,
                              (unsigned long long)values, OMEN_MAX_ARRAY);
    }
    out->values += values;
    return out->values <= OM_PARAM_VALUES_MAX ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "params",
                          "params have more than %d values in all, the limit is %d",
                          OM_PARAM_VALUES_MAX, OM_PARAM_VALUES_MAX);
}

static bool not_text(const om_params *out, om_failure *f)
{
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "params",
                          "params[%u] is not UTF-8, or contains NUL", out->count - 1);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (~(value & 1) + 1));
}

/* ---- From the wire -------------------------------------------------------------------------------- */

/* One text: bytes and two offsets. */
static bool read_text(om_wread *r, size_t size, om_arena *arena, om_params *out, om_failure *f)
{
    omen_param *p = &out->list[out->count - 1];
    uint64_t *offsets = om_wire_take(arena, 2 * sizeof *offsets, 8, f);
    uint8_t *data = offsets != NULL ? om_wire_take(arena, size + 1, 1, f) : NULL;
    if (data == NULL) {
        return false;
    }
    if (!om_wread_copy(r, data, size)) {
        return malformed(r, f);
    }
    offsets[0] = 0;
    offsets[1] = size;
    p->count = 1;
    p->data = data;
    p->offsets = offsets;
    return p->type != OMEN_TYPE_STRING || om_utf8_valid(data, size) || not_text(out, f);
}

static bool read_number(const om_wfield *field, om_arena *arena, om_params *out, om_failure *f)
{
    omen_param *p = &out->list[out->count - 1];
    int64_t value = field->number == V_BOOL     ? field->value != 0
                    : field->number == V_DOUBLE ? (int64_t)field->value
                                                : unzigzag(field->value);
    uint8_t *data = om_wire_take(arena, 8, 8, f);
    if (data == NULL) {
        return false;
    }
    if (field->number == V_BOOL) {
        data[0] = (uint8_t)value;
    } else {
        memcpy(data, &value, 8);
    }
    p->count = 1;
    p->data = data;
    return true;
}

/* The strings of a StringList: how many, and their bytes. */
static bool measure_strings(const om_wread *r, uint64_t *count, size_t *bytes)
{
    om_wread copy = *r;
    om_wfield field;
    while (om_wread_field(&copy, &field)) {
        if (field.number == 1) {
            *count += 1;
            *bytes += field.type == OM_WT_LEN ? (size_t)field.value : 0;
        }
        if (field.type == OM_WT_LEN) {
            om_wread_skip(&copy, (size_t)field.value);
        } else if (field.number == 1) {
            return false;
        }
    }
    return copy.bad == NULL;
}

static bool read_strings(om_wread *r, om_arena *arena, om_params *out, om_failure *f)
{
    omen_param *p = &out->list[out->count - 1];
    om_wfield field;
    uint64_t count = 0;
    size_t bytes = 0;
    if (!measure_strings(r, &count, &bytes)) {
        return malformed(r, f);
    }
    if (!count_values(out, count, f)) {
        return false;
    }
    uint64_t *offsets = om_wire_take(arena, (size_t)(count + 1) * sizeof *offsets, 8, f);
    uint8_t *data = offsets != NULL ? om_wire_take(arena, bytes + 1, 1, f) : NULL;
    if (data == NULL) {
        return false;
    }
    uint64_t at = 0;
    while (om_wread_field(r, &field)) {
        if (field.number != 1) {
            if (field.type == OM_WT_LEN) {
                om_wread_skip(r, (size_t)field.value);
            }
            continue;
        }
        offsets[p->count++] = at;
        om_wread_copy(r, data + at, (size_t)field.value);
        if (!om_utf8_valid(data + at, (size_t)field.value)) {
            return not_text(out, f);
        }
        at += field.value;
    }
    offsets[p->count] = at;
    p->data = data;
    p->offsets = offsets;
    return r->bad == NULL || malformed(r, f);
}

/* One element of a list of numbers: alone, or a packed run of them. out NULL: they are only counted. */
static bool take_numbers(om_wread *r, const om_wfield *field, bool doubles, uint64_t *out,
                         uint64_t *count)
{
    uint64_t value = field->value;
    if (field->type == (doubles ? (uint32_t)OM_WT_FIXED64 : (uint32_t)OM_WT_VARINT)) {
        if (out != NULL) {
            out[*count] = doubles ? value : (uint64_t)unzigzag(value);
        }
        *count += 1;
        return true;
    }
    if (field->type != OM_WT_LEN || (doubles && field->value % 8 != 0)) {
        return false;
    }
    size_t size = (size_t)field->value;
    if (doubles) {
        bool ok = out != NULL ? om_wread_copy(r, out + *count, size) : om_wread_skip(r, size);
        *count += size / 8;
        return ok;
    }
    size_t outer = om_wread_enter(r, size);
    while (r->bad == NULL && r->pos < r->limit) {
        if (!om_wread_varint(r, &value)) {
            return false;
        }
        if (out != NULL) {
            out[*count] = (uint64_t)unzigzag(value);
        }
        *count += 1;
    }
    om_wread_leave(r, outer);
    return r->bad == NULL;
}

static bool walk_numbers(om_wread *r, bool doubles, uint64_t *out, uint64_t *count)
{
    om_wfield field;
    while (om_wread_field(r, &field)) {
        if (field.number == 1) {
            if (!take_numbers(r, &field, doubles, out, count)) {
                return false;
            }
        } else if (field.type == OM_WT_LEN) {
            om_wread_skip(r, (size_t)field.value);
        }
    }
    return r->bad == NULL;
}

static bool read_numbers(om_wread *r, bool doubles, om_arena *arena, om_params *out, om_failure *f)
{
    omen_param *p = &out->list[out->count - 1];
    om_wread copy = *r;
    uint64_t count = 0;
    if (!walk_numbers(&copy, doubles, NULL, &count)) {
        return malformed(&copy, f);
    }
    if (!count_values(out, count, f)) {
        return false;
    }
    uint64_t *data = om_wire_take(arena, (size_t)count * sizeof *data + 8, 8, f);
    if (data == NULL) {
        return false;
    }
    count = 0;
    if (!walk_numbers(r, doubles, data, &count)) {
        return malformed(r, f);
    }
    p->count = (uint32_t)count;
    p->data = data;
    return true;
}

static bool read_member(om_wread *r, const om_wfield *field, om_arena *arena, om_params *out,
                        om_failure *f)
{
    static const uint32_t wire[] = {
        0,         OM_WT_LEN,    OM_WT_VARINT, OM_WT_FIXED64, OM_WT_VARINT,
        OM_WT_LEN, OM_WT_VARINT, OM_WT_LEN,    OM_WT_LEN,     OM_WT_LEN};
    if (field->type != wire[field->number]) {
        return malformed(r, f);
    }
    out->list[out->count - 1].type = types[field->number];
    if (field->number == V_STRING || field->number == V_BYTES) {
        return count_values(out, 1, f) && read_text(r, (size_t)field->value, arena, out, f);
    }
    if (field->type != OM_WT_LEN) {
        return count_values(out, 1, f) && read_number(field, arena, out, f);
    }
    size_t outer = om_wread_enter(r, (size_t)field->value);
    bool ok = field->number == V_STRINGS
                  ? read_strings(r, arena, out, f)
                  : read_numbers(r, field->number == V_DOUBLES, arena, out, f);
    if (ok) {
        om_wread_leave(r, outer);
    }
    return ok;
}

bool om_params_read(om_wread *r, om_arena *arena, size_t more, om_params *out, om_failure *f)
{
    om_wfield field;
    omen_param *p = add(out, arena, more, f);
    if (p == NULL) {
        return false;
    }
    while (om_wread_field(r, &field)) {
        if (field.number > V_DOUBLES) {
            if (field.type == OM_WT_LEN) {
                om_wread_skip(r, (size_t)field.value);
            }
            continue;
        }
        if (p->type != 0) {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "params",
                                  "params[%u] has two values", out->count - 1);
        }
        if (!read_member(r, &field, arena, out, f)) {
            return false;
        }
    }
    if (r->bad != NULL) {
        return malformed(r, f);
    }
    return p->type != 0 ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "params",
                          "params[%u] has no value, or one that this server does not know",
                          out->count - 1);
}

/* ---- From protobuf-c ------------------------------------------------------------------------------ */

/* Where a value of an unpacked message lies; it is taken from there. */
static bool scalar_of(const Omen__V1__Value *v, om_arena *arena, omen_param *p, om_failure *f)
{
    bool text = v->kind_case == OMEN__V1__VALUE__KIND_STRING_VALUE;
    uint64_t *offsets = NULL;
    uint8_t *flag = NULL;
    p->count = 1;
    switch (v->kind_case) {
    case OMEN__V1__VALUE__KIND_STRING_VALUE:
    case OMEN__V1__VALUE__KIND_BYTES_VALUE:
        offsets = om_wire_take(arena, 2 * sizeof *offsets, 8, f);
        if (offsets == NULL) {
            return false;
        }
        offsets[0] = 0;
        offsets[1] = text ? strlen(v->string_value) : v->bytes_value.len;
        p->offsets = offsets;
        p->data = text ? (const void *)v->string_value : v->bytes_value.data;
        /* No bytes have no address, and a value has one. */
        p->data = p->data != NULL ? p->data : "";
        return true;
    case OMEN__V1__VALUE__KIND_BOOL_VALUE:
        flag = om_wire_take(arena, 1, 1, f);
        if (flag == NULL) {
            return false;
        }
        *flag = v->bool_value != 0;
        p->data = flag;
        return true;
    case OMEN__V1__VALUE__KIND_DOUBLE_VALUE:
        p->data = &v->double_value;
        return true;
    case OMEN__V1__VALUE__KIND_TIME_VALUE:
        p->data = &v->time_value;
        return true;
    default:
        p->data = &v->int_value;
        return true;
    }
}

static bool strings_of(const Omen__V1__StringList *list, om_arena *arena, omen_param *p,
                       om_failure *f)
{
    size_t bytes = 0;
    for (size_t i = 0; i < list->n_values; i++) {
        bytes += strlen(list->values[i]);
    }
    uint64_t *offsets = om_wire_take(arena, (list->n_values + 1) * sizeof *offsets, 8, f);
    char *data = offsets != NULL ? om_wire_take(arena, bytes + 1, 1, f) : NULL;
    if (data == NULL) {
        return false;
    }
    size_t at = 0;
    for (size_t i = 0; i < list->n_values; i++) {
        size_t size = strlen(list->values[i]);
        offsets[i] = at;
        memcpy(data + at, list->values[i], size);
        at += size;
    }
    offsets[list->n_values] = at;
    p->count = (uint32_t)list->n_values;
    p->data = data;
    p->offsets = offsets;
    return true;
}

static bool value_of(const Omen__V1__Value *v, om_arena *arena, om_params *out, om_failure *f)
{
    omen_param *p = &out->list[out->count - 1];
    static const int64_t none = 0;
    uint32_t kind = (uint32_t)v->kind_case;
    if (kind == 0 || kind > V_DOUBLES) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "params",
                              "params[%u] has no value, or one that this server does not know",
                              out->count - 1);
    }
    p->type = types[kind];
    switch (v->kind_case) {
    case OMEN__V1__VALUE__KIND_STRINGS:
        return count_values(out, v->strings->n_values, f) && strings_of(v->strings, arena, p, f);
    case OMEN__V1__VALUE__KIND_INTS:
        p->count = (uint32_t)v->ints->n_values;
        p->data = v->ints->n_values > 0 ? v->ints->values : &none;
        return count_values(out, v->ints->n_values, f);
    case OMEN__V1__VALUE__KIND_DOUBLES:
        p->count = (uint32_t)v->doubles->n_values;
        p->data = v->doubles->n_values > 0 ? (const void *)v->doubles->values : &none;
        return count_values(out, v->doubles->n_values, f);
    default:
        return count_values(out, 1, f) && scalar_of(v, arena, p, f);
    }
}

bool om_params_from_pb(Omen__V1__Value *const *values, size_t count, om_arena *arena,
                       om_params *out, om_failure *f)
{
    *out = (om_params){0};
    for (size_t i = 0; i < count; i++) {
        if (add(out, arena, count, f) == NULL || !value_of(values[i], arena, out, f)) {
            return false;
        }
    }
    return true;
}
