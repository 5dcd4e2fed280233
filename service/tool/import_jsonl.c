/* import_jsonl.c - JSON lines: {"id": 7, "vector": [0.1, ...]} or a bare array a line; or with the bytes of
 * the vector: {"id": 7, "dtype": "f16", "vector": "base64"}, the same type in every line (f32 by default).
 * The dimension is that of the first line; either every line has an id or none has. All other members are
 * the metadata of the item, and those of a member "metadata" that is an object: so dumps write them, as a
 * field may be called "id". A first line {"fields": [...]} declares fields.
 * SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "import_int.h"

static bool bad_line(const om_import *imp, const char *why, om_tool_error *err)
{
    return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s, line %llu: %s", om_source_name(imp->src),
                        (unsigned long long)imp->line, why);
}

/* The next line that is not blank, parsed; *out NULL: the end. */
static bool next_object(om_import *imp, json_t **out, om_tool_error *err)
{
    *out = NULL;
    for (;;) {
        const char *line;
        size_t len;
        bool got;
        if (!om_source_line(imp->src, OM_IMPORT_LINE_MAX, &line, &len, &got, err)) {
            return om_tool_wrap(err, "line %llu", (unsigned long long)imp->line + 1);
        }
        if (!got) {
            return true;
        }
        imp->line++;
        size_t blank = 0;
        while (blank < len && strchr(" \t\r", line[blank]) != NULL && line[blank] != '\0') {
            blank++;
        }
        if (blank == len) {
            continue;
        }
        json_error_t why;
        *out = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
        if (*out == NULL) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s, line %llu, byte %d: %s",
                                om_source_name(imp->src), (unsigned long long)imp->line,
                                why.position, why.text);
        }
        return true;
    }
}

/* The members of a line. *vector NULL: it has none, which is allowed. */
static bool split_line(om_import *imp, json_t *line, json_t **vector, json_t **id,
                       om_tool_error *err)
{
    *id = NULL;
    *vector = line;
    if (json_is_object(line)) {
        *id = json_object_get(line, "id");
        *vector = json_object_get(line, "vector");
    }
    if (*vector == NULL && imp->bare) {
        return true;
    }
    if (!json_is_array(*vector) && !json_is_string(*vector)) {
        return bad_line(imp, "no \"vector\": [numbers], nor one in base64", err);
    }
    return true;
}

/* A geographic point is an object, too. */
static bool is_geo(const json_t *value)
{
    return json_object_size(value) == 2 && json_is_number(json_object_get(value, "lat")) &&
           json_is_number(json_object_get(value, "lon"));
}

/* Adds the members of `from` to `to`, which has none of them. */
static bool add_members(const om_import *imp, json_t *to, json_t *from, om_tool_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value)
    {
        if (json_object_get(to, key) != NULL) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                                "%s, line %llu: \"%.128s\" is beside and within \"metadata\"",
                                om_source_name(imp->src), (unsigned long long)imp->line, key);
        }
        if (json_object_set(to, key, value) != 0) {
            return om_tool_no_memory(err, 64);
        }
    }
    return true;
}

/* What is left of a line when id and vector are taken. Changes the line. */
static bool take_metadata(om_import *imp, json_t *line, om_tool_error *err)
{
    if (!json_is_object(line)) {
        return om_json_column_add(&imp->metadata, "", 0, err);
    }
    if (json_is_string(json_object_get(line, "vector"))) { /* else a field may be called so */
        (void)json_object_del(line, "dtype");
    }
    (void)json_object_del(line, "id");
    (void)json_object_del(line, "vector");
    json_t *inner = json_incref(json_object_get(line, "metadata"));
    bool ok = true;
    if (json_is_object(inner) && !is_geo(inner)) {
        (void)json_object_del(line, "metadata");
        ok = add_members(imp, line, inner, err);
    }
    json_decref(inner);
    if (!ok || json_object_size(line) == 0) {
        return ok && om_json_column_add(&imp->metadata, "", 0, err);
    }
    char *text = json_dumps(line, JSON_COMPACT);
    if (text == NULL) {
        return om_tool_no_memory(err, OM_IMPORT_LINE_MAX);
    }
    size_t len = strlen(text);
    ok = len <= OMEN_MAX_METADATA
             ? om_json_column_add(&imp->metadata, text, len, err)
             : om_tool_fail(
                   err, OM_EXIT_BAD_INPUT, "%s, line %llu: %zu bytes of metadata; %u are allowed",
                   om_source_name(imp->src), (unsigned long long)imp->line, len, OMEN_MAX_METADATA);
    free(text);
    return ok;
}

/* The type of the values of a line; 0: no type that there is. */
static uint32_t dtype_of(const json_t *line, const json_t *vector)
{
    const char *name = json_string_value(json_object_get(line, "dtype"));
    if (json_is_array(vector) || json_object_get(line, "dtype") == NULL) {
        return OMEN_F32;
    }
    for (uint32_t dtype = OMEN_F32; name != NULL && dtype <= OMEN_U8; dtype++) {
        if (strcmp(name, om_tool_dtype_name(dtype)) == 0) {
            return dtype;
        }
    }
    return 0;
}

/* The bytes of a vector in base64. */
static bool take_text(const om_import *imp, const json_t *vector, uint8_t *out, om_tool_error *err)
{
    if (om_base64_decode(json_string_value(vector), json_string_length(vector), out,
                         om_import_row_bytes(imp))) {
        return true;
    }
    return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                        "%s, line %llu: the vector is not the base64 of %u values of type %s",
                        om_source_name(imp->src), (unsigned long long)imp->line, imp->info.dim,
                        om_tool_dtype_name(imp->info.dtype));
}

static bool take_array(const om_import *imp, const json_t *vector, float *out, om_tool_error *err)
{
    size_t n = json_array_size(vector);
    if (n != imp->info.dim) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s, line %llu: the vector has %zu values, the first one has %u",
                            om_source_name(imp->src), (unsigned long long)imp->line, n,
                            imp->info.dim);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(vector, i);
        double number = json_number_value(value);
        if (!json_is_number(value) || fabs(number) > (double)FLT_MAX) {
            return om_tool_fail(
                err, OM_EXIT_BAD_INPUT,
                "%s, line %llu: value %zu of the vector is not a number that an f32 "
                "can hold",
                om_source_name(imp->src), (unsigned long long)imp->line, i);
        }
        out[i] = (float)number;
    }
    return true;
}

/* `out` has room for a row and is aligned for floats. */
static bool take_vector(om_import *imp, const json_t *line, const json_t *vector, uint8_t *out,
                        om_tool_error *err)
{
    if ((vector == NULL) != (imp->info.dim == 0)) {
        return bad_line(imp,
                        vector == NULL ? "no \"vector\", but the first line has one"
                                       : "a \"vector\", but the first line has none",
                        err);
    }
    if (vector == NULL) {
        return true;
    }
    if (dtype_of(line, vector) != imp->info.dtype) {
        return bad_line(imp, "values of another type than in the first line", err);
    }
    return json_is_string(vector) ? take_text(imp, vector, out, err)
                                  : take_array(imp, vector, (float *)(void *)out, err);
}

static bool take_id(om_import *imp, const json_t *id, om_tool_error *err)
{
    if ((id != NULL) != imp->info.has_ids) {
        return bad_line(imp,
                        imp->info.has_ids ? "no \"id\", but the first line has one"
                                          : "an \"id\", but the first line has none",
                        err);
    }
    if (id == NULL) {
        return true;
    }
    bool ok;
    if (json_is_integer(id) && json_integer_value(id) >= 0) {
        ok = om_ids_add_u64(&imp->ids, (uint64_t)json_integer_value(id), err);
    } else if (json_is_string(id)) {
        ok = om_ids_add_string(&imp->ids, json_string_value(id), json_string_length(id), err);
    } else {
        return bad_line(imp, "\"id\" is neither a text nor a whole number from 0 on", err);
    }
    return ok ? true
              : om_tool_wrap(err, "%s, line %llu", om_source_name(imp->src),
                             (unsigned long long)imp->line);
}

/* Reads the next line into row i of the batch. */
static bool read_line(om_import *imp, uint8_t *out, bool *got, om_tool_error *err)
{
    json_t *line, *vector, *id;
    if (!next_object(imp, &line, err)) {
        return false;
    }
    *got = line != NULL;
    bool ok = line == NULL || (split_line(imp, line, &vector, &id, err) &&
                               take_vector(imp, line, vector, out, err) && take_id(imp, id, err) &&
                               take_metadata(imp, line, err));
    json_decref(line);
    return ok;
}

static bool read_jsonl(om_import *imp, size_t n, size_t *got, om_tool_error *err)
{
    size_t row = om_import_row_bytes(imp);
    *got = 0;
    for (size_t i = 0; i < n; i++) {
        bool more = true;
        /* imp->buf comes from realloc, and rows of floats keep its alignment. */
        uint8_t *out = row > 0 ? imp->buf + i * row : NULL;
        if (imp->has_pending) {
            if (row > 0) {
                memcpy(out, imp->pending, row);
            }
            imp->has_pending = false;
        } else if (!read_line(imp, out, &more, err)) {
            return false;
        }
        if (!more) {
            return true;
        }
        *got = i + 1;
        if (om_import_enough(imp)) {
            return true;
        }
    }
    return true;
}

/* The first line that is an item; what is told of fields before it is taken. */
static bool first_object(om_import *imp, json_t **out, om_tool_error *err)
{
    if (!next_object(imp, out, err)) {
        return false;
    }
    const json_t *fields = json_object_get(*out, "fields");
    if (json_is_array(fields) && json_object_size(*out) == 1 &&
        json_is_object(json_array_get(fields, 0))) {
        bool ok = om_fields_from_json(fields, &imp->info.fields, err) ||
                  om_tool_wrap(err, "%s, line %llu", om_source_name(imp->src),
                               (unsigned long long)imp->line);
        json_decref(*out);
        *out = NULL;
        if (!ok || !next_object(imp, out, err)) {
            return false;
        }
    }
    return *out != NULL
               ? true
               : om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: is empty", om_source_name(imp->src));
}

/* Sets dimension and type of the vectors from that of the first line. */
static bool learn_shape(om_import *imp, const json_t *line, const json_t *vector,
                        om_tool_error *err)
{
    uint32_t dtype = dtype_of(line, vector);
    size_t width = om_tool_dtype_width(dtype);
    size_t dim = json_array_size(vector);
    if (width == 0) {
        return bad_line(imp, "\"dtype\" is none of f32, f16, i8 and u8", err);
    }
    if (json_is_string(vector)) {
        size_t bytes = om_base64_bytes(json_string_value(vector), json_string_length(vector));
        dim = bytes % width == 0 ? bytes / width : 0;
    }
    if (dim == 0 || dim > OMEN_MAX_DIM) {
        return bad_line(imp, "a vector has 1 to 65535 values", err);
    }
    imp->info.dim = (uint32_t)dim;
    imp->info.dtype = dtype;
    return true;
}

/* The first line tells the dimension and whether there are ids. */
bool om_import_jsonl_start(om_import *imp, om_tool_error *err)
{
    json_t *line, *vector, *id;
    if (!first_object(imp, &line, err)) {
        return false;
    }
    bool ok = split_line(imp, line, &vector, &id, err);
    imp->info.dtype = OMEN_F32;
    ok = ok && (vector == NULL || learn_shape(imp, line, vector, err));
    if (ok) {
        size_t row = om_import_row_bytes(imp);
        imp->info.has_ids = id != NULL;
        imp->pending = calloc(row + 1, 1);
        ok = imp->pending != NULL ? take_vector(imp, line, vector, imp->pending, err) &&
                                        take_id(imp, id, err) && take_metadata(imp, line, err)
                                  : om_tool_no_memory(err, row);
        imp->has_pending = true;
        imp->read = read_jsonl;
    }
    json_decref(line);
    return ok;
}
