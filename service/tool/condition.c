/* condition.c - the values of --param: JSON, or, when it is none, a text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "condition.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void *copy_of(const void *bytes, size_t n)
{
    void *out = malloc(n + 1);
    if (out != NULL && n > 0) {
        memcpy(out, bytes, n);
    }
    return out;
}

static bool own(omen_param *out, uint32_t type, uint32_t count, const void *data, size_t bytes,
                om_tool_error *err)
{
    out->type = type;
    out->count = count;
    out->data = copy_of(data, bytes);
    return out->data != NULL ? true : om_tool_no_memory(err, bytes);
}

/* Texts: of a list, or (list NULL) one. */
static bool take_texts(const json_t *value, omen_param *out, om_tool_error *err)
{
    bool list = json_is_array(value);
    size_t n = list ? json_array_size(value) : 1, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += json_string_length(list ? json_array_get(value, i) : value);
    }
    uint64_t *offsets = calloc(n + 1, sizeof *offsets);
    char *text = malloc(bytes + 1);
    out->type = OMEN_TYPE_STRING;
    out->count = (uint32_t)n;
    out->offsets = offsets;
    out->data = text;
    if (offsets == NULL || text == NULL) {
        return om_tool_no_memory(err, bytes);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *s = list ? json_array_get(value, i) : value;
        memcpy(text + offsets[i], json_string_value(s), json_string_length(s));
        offsets[i + 1] = offsets[i] + json_string_length(s);
    }
    return true;
}

static bool take_numbers(const json_t *list, bool whole, omen_param *out, om_tool_error *err)
{
    size_t n = json_array_size(list);
    int64_t *data = calloc(n + 1, sizeof *data); /* doubles are as wide */
    if (data == NULL) {
        return om_tool_no_memory(err, n * sizeof *data);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        double number = json_number_value(v);
        data[i] = json_integer_value(v);
        if (!whole) {
            memcpy(&data[i], &number, sizeof number);
        }
    }
    out->type = whole ? OMEN_TYPE_INT64 : OMEN_TYPE_DOUBLE;
    out->count = (uint32_t)n;
    out->data = data;
    return true;
}

/* All of a list are texts, or all are numbers. */
static bool take_list(const json_t *list, omen_param *out, om_tool_error *err)
{
    size_t n = json_array_size(list), texts = 0, whole = 0, numbers = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        texts += json_is_string(v);
        whole += json_is_integer(v);
        numbers += json_is_number(v);
    }
    if (n <= OMEN_MAX_ARRAY && texts == n) {
        return take_texts(list, out, err);
    }
    if (n <= OMEN_MAX_ARRAY && numbers == n) {
        return take_numbers(list, whole == n, out, err);
    }
    return om_tool_fail(err, OM_EXIT_USAGE,
                        "a list holds at most %u texts, or at most as many numbers",
                        OMEN_MAX_ARRAY);
}

static bool take_value(const json_t *value, omen_param *out, om_tool_error *err)
{
    if (json_is_integer(value)) {
        int64_t n = json_integer_value(value);
        return own(out, OMEN_TYPE_INT64, 1, &n, sizeof n, err);
    }
    if (json_is_real(value)) {
        double n = json_real_value(value);
        return own(out, OMEN_TYPE_DOUBLE, 1, &n, sizeof n, err);
    }
    if (json_is_boolean(value)) {
        uint8_t b = json_is_true(value) ? 1 : 0;
        return own(out, OMEN_TYPE_BOOL, 1, &b, sizeof b, err);
    }
    if (json_is_string(value)) {
        return take_texts(value, out, err);
    }
    return json_is_array(value) ? take_list(value, out, err)
                                : om_tool_fail(err, OM_EXIT_USAGE,
                                               "a text, a number, a truth value or a list of "
                                               "texts or numbers is wanted");
}

static bool take_param(const char *text, omen_param *out, om_tool_error *err)
{
    json_error_t why;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (value == NULL) { /* so that --param Drama needs no quotes within quotes */
        bool meant = text[0] == '[' || text[0] == '{' || text[0] == '"';
        value = meant ? NULL : json_string(text);
    }
    bool ok = value != NULL ? take_value(value, out, err)
                            : om_tool_fail(err, OM_EXIT_USAGE, "%s", why.text);
    json_decref(value);
    return ok ? true : om_tool_wrap(err, "--param %s", text);
}

bool om_condition_from_args(const om_args *args, om_condition *out, om_tool_error *err)
{
    size_t n = args->params.count;
    memset(out, 0, sizeof *out);
    out->text = args->filter;
    if (n > 0 && args->filter == NULL) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--param without --filter");
    }
    if (n > OMEN_MAX_PARAMS) {
        return om_tool_fail(err, OM_EXIT_USAGE, "--param: at most %u are allowed", OMEN_MAX_PARAMS);
    }
    out->params = calloc(n + 1, sizeof *out->params);
    if (out->params == NULL) {
        return om_tool_no_memory(err, n * sizeof *out->params);
    }
    for (; out->param_count < n; out->param_count++) {
        if (!take_param(args->params.items[out->param_count], &out->params[out->param_count],
                        err)) {
            out->param_count++; /* what there is of it is freed */
            om_condition_free(out);
            return false;
        }
    }
    return true;
}

static void drop(const void *owned)
{
    void *ptr;
    memcpy(&ptr, &owned, sizeof ptr);
    free(ptr);
}

void om_condition_free(om_condition *c)
{
    for (size_t i = 0; i < c->param_count; i++) {
        drop(c->params[i].data);
        drop(c->params[i].offsets);
    }
    free(c->params);
    memset(c, 0, sizeof *c);
}
