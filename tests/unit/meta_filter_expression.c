/* meta_filter_expression.c - random conditions, at once in our language and in SQL.
 * SPDX-License-Identifier: Apache-2.0 */
#include "meta_filter_expression.h"

#include <stdlib.h>
#include <string.h>

#include "metatime.h"

static uint32_t below(oracle *o, uint32_t bound)
{
    return oracle_below(o, bound);
}

/* A word in either case. */
static void word(oracle *o, expression *x, const char *text)
{
    const bool small = below(o, 4) == 0;
    for (; *text != '\0'; text++) {
        fputc(small && *text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text, x->to_text);
    }
}

static void both(oracle *o, expression *x, const char *text)
{
    word(o, x, text);
    fputs(text, x->to_sql);
}

/* ---- Values ------------------------------------------------------------------------------------- */
static void add_bind(expression *x, const oracle_value *value)
{
    ORACLE_NEED(x->bind_count < MOST_BINDS);
    x->binds[x->bind_count++] = *value;
}

/* $n with these values, all of one type. */
static void add_param(expression *x, const oracle_value *values, uint32_t count, uint32_t type)
{
    omen_param *param = &x->params[x->param_count];
    ORACLE_NEED(x->param_count < OMEN_MAX_PARAMS);
    uint8_t *data = calloc(count + 1, VALUE_TEXT);
    uint64_t *offsets = calloc(count + 1, sizeof *offsets);
    ORACLE_NEED(data != NULL && offsets != NULL);
    *param = (omen_param){.type = type, .count = count, .data = data, .offsets = offsets};
    for (uint32_t i = 0; i < count; i++) {
        const oracle_value *value = &values[i];
        offsets[i + 1] = offsets[i] + value->length;
        if (type == OMEN_TYPE_STRING || type == OMEN_TYPE_BYTES) {
            memcpy(data + offsets[i], value->text, value->length);
        } else if (type == OMEN_TYPE_BOOL) {
            data[i] = (uint8_t)value->integer;
        } else if (type == OMEN_TYPE_DOUBLE) {
            memcpy(data + (size_t)i * 8, &value->number, 8);
        } else {
            memcpy(data + (size_t)i * 8, &value->integer, 8);
        }
    }
    x->param_count++;
    fprintf(x->to_text, "$%u", x->param_count);
}

static void print_literal(oracle *o, expression *x, const oracle_value *value)
{
    char time[OM_TIME_TEXT];
    switch (value->type) {
    case OMEN_TYPE_INT64:
        fprintf(x->to_text, "%lld", (long long)value->integer);
        break;
    case OMEN_TYPE_DOUBLE:
        fprintf(x->to_text, "%.17g", value->number);
        break;
    case OMEN_TYPE_BOOL:
        word(o, x, value->integer != 0 ? "TRUE" : "FALSE");
        break;
    case OMEN_TYPE_TIME:
        fprintf(x->to_text, "'%.*s'", (int)om_time_print(value->integer, time), time);
        break;
    case OMEN_TYPE_BYTES:
        fputs(below(o, 2) == 0 ? "X'" : "x'", x->to_text);
        for (uint32_t i = 0; i < value->length; i++) {
            fprintf(x->to_text, "%02x", (uint8_t)value->text[i]);
        }
        fputc('\'', x->to_text);
        break;
    default:
        fputc('\'', x->to_text);
        for (uint32_t i = 0; i < value->length; i++) {
            fputs(value->text[i] == '\'' ? "'" : "", x->to_text);
            fputc(value->text[i], x->to_text);
        }
        fputc('\'', x->to_text);
        break;
    }
}

static void print_value(oracle *o, expression *x, const oracle_value *value)
{
    if (below(o, 5) == 0) {
        add_param(x, value, 1, value->type);
    } else {
        print_literal(o, x, value);
    }
}

/* A value to compare a field with: of the field's values, near them, or of the other kind of number. */
static oracle_value any_for(oracle *o, const oracle_field *field)
{
    uint32_t type = field->type & 0xff;
    const bool number = type == OMEN_TYPE_INT64 || type == OMEN_TYPE_DOUBLE;
    if (number && below(o, 3) == 0) {
        type = OMEN_TYPE_INT64 + OMEN_TYPE_DOUBLE - type;
    }
    oracle_value value = oracle_any(o, type, below(o, 6) == 0 && number ? 16 : field->spread);
    if (type == OMEN_TYPE_STRING && value.length > 2 && below(o, 4) == 0) {
        value.length = 2 + below(o, value.length - 2);
        while (value.length > 0 && (value.text[value.length] & 0xc0) == 0x80) {
            value.length--;
        }
    }
    return value;
}

/* One value in both languages; of arrays of bytes SQL sees hexadecimal text. */
static void bind_value(expression *x, const oracle_field *field, const oracle_value *value)
{
    oracle_value bound = *value;
    if (field->type == (OMEN_TYPE_BYTES | OMEN_TYPE_ARRAY)) {
        bound = (oracle_value){.type = OMEN_TYPE_STRING, .length = value->length * 2};
        for (uint32_t i = 0; i < value->length; i++) {
            (void)snprintf(bound.text + (size_t)i * 2, 3, "%02x", (uint8_t)value->text[i]);
        }
    }
    add_bind(x, &bound);
}

static void emit_value(oracle *o, expression *x, const oracle_field *field)
{
    const oracle_value value = any_for(o, field);
    print_value(o, x, &value);
    bind_value(x, field, &value);
    fputc('?', x->to_sql);
}

/* ---- Tests -------------------------------------------------------------------------------------- */
static void emit_field(oracle *o, expression *x, const oracle_field *field)
{
    const char *name = field->field->name;
    fprintf(x->to_text, below(o, 6) == 0 ? "\"%s\"" : "%s", name);
}

static void emit_compare(oracle *o, expression *x, const oracle_field *field)
{
    static const char *const ops[] = {"=", "!=", "<", "<=", ">", ">="};
    const char *op = ops[below(o, 6)];
    emit_field(o, x, field);
    fprintf(x->to_text, below(o, 3) == 0 ? "%s" : " %s ", op);
    fprintf(x->to_sql, "c%u %s ", field->field->id, op);
    emit_value(o, x, field);
}

static void emit_between(oracle *o, expression *x, const oracle_field *field)
{
    emit_field(o, x, field);
    fprintf(x->to_sql, "c%u", field->field->id);
    both(o, x, below(o, 3) == 0 ? " NOT BETWEEN " : " BETWEEN ");
    emit_value(o, x, field);
    both(o, x, " AND ");
    emit_value(o, x, field);
}

/* A list in our language; its values go to `values`. */
static uint32_t emit_list(oracle *o, expression *x, const oracle_field *field, oracle_value *values)
{
    uint32_t count = below(o, 3) == 0 ? below(o, MOST_BOUND) : below(o, 5);
    const bool bound = below(o, 2) == 0;
    count = count == 0 && !bound ? 1 : count;
    for (uint32_t i = 0; i < count; i++) {
        values[i] = any_for(o, field);
        if (bound && i > 0 && values[i].type != values[0].type) {
            values[i] = values[0]; /* arrays have one type */
        }
    }
    if (bound) {
        add_param(x, values, count, count != 0 ? values[0].type : field->type & 0xff);
        return count;
    }
    fputc('(', x->to_text);
    for (uint32_t i = 0; i < count; i++) {
        fputs(i == 0 ? "" : ", ", x->to_text);
        print_value(o, x, &values[i]);
    }
    fputc(')', x->to_text);
    return count;
}

static void bind_list(expression *x, const oracle_field *field, const oracle_value *values,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fputs(i == 0 ? "?" : ",?", x->to_sql);
        bind_value(x, field, &values[i]);
    }
}

/* A test of a null field is unknown, even against no values at all. */
static void emit_in(oracle *o, expression *x, const oracle_field *field)
{
    oracle_value values[MOST_BOUND];
    const bool negate = below(o, 3) == 0;
    const uint32_t c = field->field->id;
    emit_field(o, x, field);
    word(o, x, negate ? " NOT IN " : " IN ");
    const uint32_t count = emit_list(o, x, field, values);
    fprintf(x->to_sql, "CASE WHEN c%u IS NULL THEN NULL ELSE c%u %s (", c, c,
            negate ? "NOT IN" : "IN");
    bind_list(x, field, values, count);
    fputs(") END", x->to_sql);
}

static void emit_contains(oracle *o, expression *x, const oracle_field *field)
{
    static const char *const kinds[] = {" CONTAINS ", " CONTAINS ANY ", " CONTAINS ALL "};
    oracle_value values[MOST_BOUND];
    const uint32_t kind = below(o, 3), c = field->field->id;
    const bool array = (field->type & OMEN_TYPE_ARRAY) != 0;
    const bool negate = below(o, 4) == 0;
    uint32_t count = 1;
    emit_field(o, x, field);
    word(o, x, negate ? " NOT" : "");
    word(o, x, kinds[kind]);
    if (kind == 0) {
        values[0] = any_for(o, field);
        print_value(o, x, &values[0]);
    } else {
        count = emit_list(o, x, field, values);
    }
    fprintf(x->to_sql, "CASE WHEN c%u IS NULL THEN NULL ELSE %s(", c, negate ? "NOT " : "");
    if (kind < 2) {
        fprintf(x->to_sql,
                array ? "EXISTS(SELECT 1 FROM json_each(c%u) AS j WHERE j.value IN (" : "(c%u IN (",
                c);
        bind_list(x, field, values, count);
        fputs("))", x->to_sql);
    } else {
        fputs("1", x->to_sql);
        for (uint32_t i = 0; i < count; i++) {
            fprintf(x->to_sql,
                    array ? " AND EXISTS(SELECT 1 FROM json_each(c%u) AS j WHERE j.value = ?)"
                          : " AND c%u = ?",
                    c);
            bind_value(x, field, &values[i]);
        }
    }
    fputs(") END", x->to_sql);
}

static void emit_like(oracle *o, expression *x, const oracle_field *field)
{
    oracle_value value = any_for(o, field);
    const bool open = below(o, 4) != 0, negate = below(o, 4) == 0;
    oracle_value pattern = {.type = OMEN_TYPE_STRING};
    for (uint32_t i = 0; i < value.length; i++) {
        if (strchr("%_\\", value.text[i]) != NULL) {
            pattern.text[pattern.length++] = '\\';
        }
        pattern.text[pattern.length++] = value.text[i];
    }
    if (open) {
        pattern.text[pattern.length++] = '%';
    }
    emit_field(o, x, field);
    word(o, x, negate ? " NOT LIKE " : " LIKE ");
    print_value(o, x, &pattern);
    value.type = OMEN_TYPE_BYTES;
    /* substr() makes null of an empty blob. */
    fprintf(x->to_sql, "CASE WHEN c%u IS NULL THEN NULL ELSE %s(", field->field->id,
            negate ? "NOT " : "");
    if (open) {
        fprintf(x->to_sql, "coalesce(substr(CAST(c%u AS BLOB),1,%u), x'')", field->field->id,
                value.length);
    } else {
        fprintf(x->to_sql, "CAST(c%u AS BLOB)", field->field->id);
    }
    fputs(" = ?) END", x->to_sql);
    add_bind(x, &value);
}

static void emit_distance(oracle *o, expression *x, const oracle_field *field)
{
    static const char *const ops[] = {"<", "<=", ">", ">="};
    static const double reaches[] = {0.001, 900, 50000, 1e6, 5e6, 1e7, 1.9e7, 2.1e7, -5};
    const char *op = ops[below(o, 4)];
    oracle_value place[3];
    for (uint32_t i = 0; i < 3; i++) {
        place[i] = (oracle_value){.type = OMEN_TYPE_DOUBLE};
    }
    place[0].number = below(o, 5) == 0 ? 90 : below(o, 1800001) / 1e4 - 90;
    place[1].number = below(o, 5) == 0 ? -180 : below(o, 3600001) / 1e4 - 180;
    place[2].number = reaches[below(o, 9)] * (1 + below(o, 1000) / 3000.0);
    word(o, x, "DISTANCE(");
    emit_field(o, x, field);
    fprintf(x->to_sql, "distance(c%u, lon%u, ", field->field->id, field->field->id);
    for (uint32_t i = 0; i < 3; i++) {
        fputs(i == 2 ? ") " : ", ", x->to_text);
        fputs(i == 2 ? ") " : i == 1 ? ", " : "", x->to_sql);
        if (i == 2) {
            both(o, x, op);
        }
        print_value(o, x, &place[i]);
        fputs("?", x->to_sql);
        add_bind(x, &place[i]);
    }
}

static void emit_null(oracle *o, expression *x, const oracle_field *field)
{
    emit_field(o, x, field);
    fprintf(x->to_sql, "c%u", field->field->id);
    both(o, x, below(o, 2) == 0 ? " IS NULL" : " IS NOT NULL");
}

static void emit_test(oracle *o, expression *x)
{
    const oracle_field *field = &o->fields[below(o, o->field_count)];
    const bool array = (field->type & OMEN_TYPE_ARRAY) != 0;
    const uint32_t kind = below(o, 12);
    if (below(o, 40) == 0) {
        both(o, x, below(o, 2) == 0 ? "TRUE" : "FALSE");
    } else if (kind == 0 || field->type == OMEN_TYPE_TEXT) {
        emit_null(o, x, field);
    } else if (field->type == OMEN_TYPE_GEO) {
        emit_distance(o, x, field);
    } else if (array || kind == 1) {
        emit_contains(o, x, field);
    } else if (kind < 4) {
        emit_in(o, x, field);
    } else if (kind < 6) {
        emit_between(o, x, field);
    } else if (kind < 9 && field->type == OMEN_TYPE_STRING) {
        emit_like(o, x, field);
    } else if (kind == 6 && field->type == OMEN_TYPE_BOOL) {
        emit_field(o, x, field);
        fprintf(x->to_sql, "(c%u = 1)", field->field->id);
    } else {
        emit_compare(o, x, field);
    }
}

/* ---- Groups ------------------------------------------------------------------------------------- */
/* `inside` AND: an OR needs parentheses. */
static void emit(oracle *o, expression *x, uint32_t depth)
{
    if (depth == 0 || below(o, 4) == 0) {
        if (below(o, 5) == 0) {
            both(o, x, "NOT ");
            fputc('(', x->to_sql); /* NOT binds looser in SQL: NOT a = 1 is NOT (a = 1) in both */
            emit_test(o, x);
            fputc(')', x->to_sql);
        } else {
            fputc('(', x->to_sql);
            emit_test(o, x);
            fputc(')', x->to_sql);
        }
        return;
    }
    const uint32_t parts = 2 + below(o, 3);
    const char *joint = below(o, 2) == 0 ? " AND " : " OR ";
    both(o, x, below(o, 4) == 0 ? "NOT (" : "(");
    for (uint32_t i = 0; i < parts; i++) {
        both(o, x, i == 0 ? "" : joint);
        emit(o, x, depth - 1);
    }
    both(o, x, ")");
}

/* Without parentheses: AND binds closer than OR. */
static void emit_flat(oracle *o, expression *x)
{
    const uint32_t parts = 2 + below(o, 5);
    for (uint32_t i = 0; i < parts; i++) {
        both(o, x, i == 0 ? "" : below(o, 2) == 0 ? " AND " : " OR ");
        emit(o, x, 0);
    }
}

expression *expression_make(oracle *o)
{
    expression *x = calloc(1, sizeof *x);
    size_t text_size, sql_size;
    ORACLE_NEED(x != NULL);
    x->binds = calloc(MOST_BINDS, sizeof *x->binds);
    x->params = calloc(OMEN_MAX_PARAMS, sizeof *x->params);
    x->to_text = open_memstream(&x->text, &text_size);
    x->to_sql = open_memstream(&x->sql, &sql_size);
    ORACLE_NEED(x->binds != NULL && x->params != NULL && x->to_text != NULL && x->to_sql != NULL);
    if (below(o, 4) == 0) {
        emit_flat(o, x);
    } else {
        emit(o, x, below(o, 4));
    }
    ORACLE_NEED(fclose(x->to_text) == 0 && fclose(x->to_sql) == 0);
    return x;
}

void expression_free(expression *x)
{
    for (uint32_t i = 0; i < x->param_count; i++) {
        free((void *)(uintptr_t)x->params[i].data);
        free((void *)(uintptr_t)x->params[i].offsets);
    }
    free(x->params);
    free(x->binds);
    free(x->text);
    free(x->sql);
    free(x);
}
