/* field_spec.c - fields of the metadata as texts and JSON. SPDX-License-Identifier: Apache-2.0 */
#include "field_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct type {
    const char *name;
    uint32_t type;
} types[] = {
    {"string", OMEN_TYPE_STRING}, {"int", OMEN_TYPE_INT64},    {"int64", OMEN_TYPE_INT64},
    {"double", OMEN_TYPE_DOUBLE}, {"float", OMEN_TYPE_DOUBLE}, {"bool", OMEN_TYPE_BOOL},
    {"time", OMEN_TYPE_TIME},     {"bytes", OMEN_TYPE_BYTES},  {"geo", OMEN_TYPE_GEO},
    {"text", OMEN_TYPE_TEXT},
};

void om_field_list_free(om_field_list *list)
{
    free(list->items);
    memset(list, 0, sizeof *list);
}

bool om_field_list_make(om_field_list *list, size_t n, om_tool_error *err)
{
    list->count = 0;
    list->items = calloc(n + 1, sizeof *list->items);
    return list->items != NULL ? true : om_tool_no_memory(err, n * sizeof *list->items);
}

/* "string" or "string[]"; 0: no such type. */
static uint32_t type_by_name(const char *name, size_t len)
{
    uint32_t array = 0;
    if (len > 2 && memcmp(name + len - 2, "[]", 2) == 0) {
        array = OMEN_TYPE_ARRAY;
        len -= 2;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strlen(types[i].name) == len && memcmp(types[i].name, name, len) == 0) {
            bool fits = array == 0 || types[i].type <= OMEN_TYPE_BYTES;
            return fits ? types[i].type | array : 0;
        }
    }
    return 0;
}

const char *om_field_type_name(uint32_t type, char *buf)
{
    const char *name = "?";
    for (size_t i = sizeof types / sizeof *types; i-- > 0;) {
        name = types[i].type == (type & ~(uint32_t)OMEN_TYPE_ARRAY) ? types[i].name : name;
    }
    (void)snprintf(buf, 16, "%s%s", name, (type & OMEN_TYPE_ARRAY) != 0 ? "[]" : "");
    return buf;
}

static bool take_name(omen_field *f, const char *name, size_t len, om_tool_error *err)
{
    if (len == 0 || len > OMEN_MAX_FIELD_NAME) {
        return om_tool_fail(err, OM_EXIT_USAGE, "a field's name has 1 to %u bytes",
                            OMEN_MAX_FIELD_NAME);
    }
    memcpy(f->name, name, len);
    f->name[len] = '\0';
    return true;
}

static bool take_language(omen_field *f, const char *name, size_t len, om_tool_error *err)
{
    if (len == 0 || len >= sizeof f->language) {
        return om_tool_fail(err, OM_EXIT_USAGE, "there is no language '%.*s'", (int)len, name);
    }
    memcpy(f->language, name, len);
    f->language[len] = '\0';
    return true;
}

static bool take_option(omen_field *f, const char *text, size_t len, om_tool_error *err)
{
    static const char weight[] = "weight=", language[] = "language=";
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {{"stop-words", OMEN_FIELD_STOP_WORDS}, {"no-stemming", OMEN_FIELD_NO_STEMMING}};
    if (f->type != OMEN_TYPE_TEXT) {
        return om_tool_fail(err, OM_EXIT_USAGE, "only text fields have options, not '%s'", f->name);
    }
    for (size_t i = 0; i < 2; i++) {
        if (strlen(flags[i].name) == len && memcmp(text, flags[i].name, len) == 0) {
            f->flags |= flags[i].flag;
            return true;
        }
    }
    if (len > strlen(weight) && memcmp(text, weight, strlen(weight)) == 0) {
        char *end;
        f->weight = strtof(text + strlen(weight), &end);
        if (end == text + len && f->weight > 0) {
            return true;
        }
    } else if (len > strlen(language) && memcmp(text, language, strlen(language)) == 0) {
        return take_language(f, text + strlen(language), len - strlen(language), err);
    }
    return om_tool_fail(err, OM_EXIT_USAGE,
                        "'%.*s' is none of weight=W, language=NAME, stop-words, no-stemming",
                        (int)len, text);
}

static bool parse(const char *text, omen_field *out, om_tool_error *err)
{
    memset(out, 0, sizeof *out);
    const char *name = text;
    size_t len = strcspn(text, ":");
    const char *p = text + len;
    if (text[0] == '"') {
        name = text + 1;
        len = strcspn(name, "\"");
        p = name + len + (name[len] == '"' ? 1 : 0);
    }
    if (*p != ':') {
        return om_tool_fail(err, OM_EXIT_USAGE, "NAME:TYPE[:OPTION...] is wanted");
    }
    size_t type_len = strcspn(++p, ":");
    out->type = type_by_name(p, type_len);
    if (out->type == 0) {
        return om_tool_fail(err, OM_EXIT_USAGE,
                            "'%.*s' is none of string, int, double, bool, time, bytes (all of them "
                            "also as arrays, with [] behind), geo, text",
                            (int)type_len, p);
    }
    bool ok = take_name(out, name, len, err);
    for (p += type_len; ok && *p == ':';) {
        size_t n = strcspn(++p, ":");
        ok = take_option(out, p, n, err);
        p += n;
    }
    return ok;
}

bool om_field_parse(const char *text, omen_field *out, om_tool_error *err)
{
    return parse(text, out, err) || om_tool_wrap(err, "--field %s", text);
}

const char *om_field_options(const omen_field *f, char *buf, size_t size)
{
    char weight[32] = "";
    buf[0] = '\0';
    if (f->type != OMEN_TYPE_TEXT) {
        return buf;
    }
    if (f->weight > 0 && (f->weight < 1 || f->weight > 1)) {
        (void)snprintf(weight, sizeof weight, ":weight=%g", (double)f->weight);
    }
    (void)snprintf(buf, size, "%s%s%s%s%s", weight, f->language[0] != '\0' ? ":language=" : "",
                   f->language, (f->flags & OMEN_FIELD_STOP_WORDS) != 0 ? ":stop-words" : "",
                   (f->flags & OMEN_FIELD_NO_STEMMING) != 0 ? ":no-stemming" : "");
    return buf;
}

json_t *om_fields_json(const omen_field *fields, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < count; i++) {
        const omen_field *f = &fields[i];
        char type[16];
        json_t *o =
            json_pack("{s:s, s:s}", "name", f->name, "type", om_field_type_name(f->type, type));
        if (o != NULL && f->type == OMEN_TYPE_TEXT) {
            (void)json_object_set_new(o, "weight", json_real((double)f->weight));
            (void)json_object_set_new(o, "language", json_string(f->language));
            (void)json_object_set_new(o, "stop_words",
                                      json_boolean((f->flags & OMEN_FIELD_STOP_WORDS) != 0));
            (void)json_object_set_new(o, "no_stemming",
                                      json_boolean((f->flags & OMEN_FIELD_NO_STEMMING) != 0));
        }
        if (json_array_append_new(list, o) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static bool field_from_json(const json_t *o, omen_field *f, om_tool_error *err)
{
    const json_t *name = json_object_get(o, "name");
    const char *type = json_string_value(json_object_get(o, "type"));
    const json_t *language = json_object_get(o, "language");
    f->type = type != NULL ? type_by_name(type, strlen(type)) : 0;
    if (!json_is_string(name) || f->type == 0) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "a field has no name, or no known type");
    }
    if (json_is_true(json_object_get(o, "stop_words"))) {
        f->flags |= OMEN_FIELD_STOP_WORDS;
    }
    if (json_is_true(json_object_get(o, "no_stemming"))) {
        f->flags |= OMEN_FIELD_NO_STEMMING;
    }
    double weight = json_number_value(json_object_get(o, "weight"));
    f->weight = weight > 0 && weight < 1e30 ? (float)weight : 0;
    size_t len = json_is_string(language) ? json_string_length(language) : 0;
    return take_name(f, json_string_value(name), json_string_length(name), err) &&
           (len == 0 || take_language(f, json_string_value(language), len, err));
}

bool om_fields_from_json(const json_t *array, om_field_list *out, om_tool_error *err)
{
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > OMEN_MAX_FIELDS) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "the fields are no list of at most %u",
                            OMEN_MAX_FIELDS);
    }
    if (!om_field_list_make(out, n, err)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!field_from_json(json_array_get(array, i), &out->items[i], err)) {
            err->code = OM_EXIT_BAD_INPUT;
            om_field_list_free(out);
            return false;
        }
        out->count++;
    }
    return true;
}
