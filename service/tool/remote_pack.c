/* remote_pack.c - filters, fields and metadata as messages. SPDX-License-Identifier: Apache-2.0 */
#include "remote_pack.h"

#include <stdlib.h>
#include <string.h>

static void *take(om_arena *arena, size_t n, size_t size, om_tool_error *err)
{
    size_t bytes;
    void *out = NULL;
    if (!__builtin_mul_overflow(n, size, &bytes)) {
        arena->limit += bytes + 64; /* what the user gave is the limit */
        out = om_arena_alloc(arena, bytes + 1, 16);
    }
    if (out == NULL) {
        (void)om_tool_no_memory(err, n);
        return NULL;
    }
    memset(out, 0, bytes + 1);
    return out;
}

/* Text i of a parameter, terminated. */
static char *text_of(const omen_param *p, size_t i, om_arena *arena, om_tool_error *err)
{
    size_t len = (size_t)(p->offsets[i + 1] - p->offsets[i]);
    char *out = take(arena, len + 1, 1, err);
    if (out != NULL && len > 0) {
        memcpy(out, (const char *)p->data + p->offsets[i], len);
    }
    return out;
}

static bool one_value(const omen_param *p, om_arena *arena, Omen__V1__Value *out,
                      om_tool_error *err)
{
    switch (p->type) {
    case OMEN_TYPE_INT64:
        out->kind_case = OMEN__V1__VALUE__KIND_INT_VALUE;
        memcpy(&out->int_value, p->data, sizeof out->int_value);
        return true;
    case OMEN_TYPE_DOUBLE:
        out->kind_case = OMEN__V1__VALUE__KIND_DOUBLE_VALUE;
        memcpy(&out->double_value, p->data, sizeof out->double_value);
        return true;
    case OMEN_TYPE_BOOL:
        out->kind_case = OMEN__V1__VALUE__KIND_BOOL_VALUE;
        out->bool_value = *(const uint8_t *)p->data != 0;
        return true;
    default:
        out->kind_case = OMEN__V1__VALUE__KIND_STRING_VALUE;
        out->string_value = text_of(p, 0, arena, err);
        return out->string_value != NULL;
    }
}

static bool text_list(const omen_param *p, om_arena *arena, Omen__V1__Value *out,
                      om_tool_error *err)
{
    Omen__V1__StringList *list = take(arena, 1, sizeof *list, err);
    char **texts = list != NULL ? take(arena, p->count, sizeof *texts, err) : NULL;
    bool ok = texts != NULL;
    for (size_t i = 0; ok && i < p->count; i++) {
        texts[i] = text_of(p, i, arena, err);
        ok = texts[i] != NULL;
    }
    if (ok) {
        omen__v1__string_list__init(list);
        list->n_values = p->count;
        list->values = texts;
        out->kind_case = OMEN__V1__VALUE__KIND_STRINGS;
        out->strings = list;
    }
    return ok;
}

static bool number_list(const omen_param *p, om_arena *arena, Omen__V1__Value *out,
                        om_tool_error *err)
{
    int64_t *copy = take(arena, p->count, sizeof *copy, err); /* doubles are as wide */
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, p->data, p->count * sizeof *copy);
    if (p->type == OMEN_TYPE_INT64) {
        Omen__V1__IntList *list = take(arena, 1, sizeof *list, err);
        if (list == NULL) {
            return false;
        }
        omen__v1__int_list__init(list);
        list->n_values = p->count;
        list->values = copy;
        out->kind_case = OMEN__V1__VALUE__KIND_INTS;
        out->ints = list;
        return true;
    }
    Omen__V1__DoubleList *list = take(arena, 1, sizeof *list, err);
    if (list == NULL) {
        return false;
    }
    omen__v1__double_list__init(list);
    list->n_values = p->count;
    list->values = (double *)(void *)copy;
    out->kind_case = OMEN__V1__VALUE__KIND_DOUBLES;
    out->doubles = list;
    return true;
}

bool om_remote_filter(const om_condition *where, om_arena *arena, om_packed_filter *out,
                      om_tool_error *err)
{
    *out = (om_packed_filter){.text = om_remote_text("")};
    if (where == NULL || where->text == NULL) {
        return true;
    }
    out->text = om_remote_text(where->text);
    out->count = where->param_count;
    out->params = take(arena, where->param_count, sizeof *out->params, err);
    bool ok = out->params != NULL;
    for (size_t i = 0; ok && i < out->count; i++) {
        const omen_param *p = &where->params[i];
        Omen__V1__Value *v = take(arena, 1, sizeof *v, err);
        ok = v != NULL;
        if (ok) {
            omen__v1__value__init(v);
            out->params[i] = v;
            ok = p->count == 1                 ? one_value(p, arena, v, err)
                 : p->type == OMEN_TYPE_STRING ? text_list(p, arena, v, err)
                                               : number_list(p, arena, v, err);
        }
    }
    return ok;
}

bool om_remote_pack_fields(const omen_field *fields, size_t count, om_arena *arena,
                           Omen__V1__Field ***out, om_tool_error *err)
{
    Omen__V1__Field **list = take(arena, count, sizeof *list, err);
    Omen__V1__Field *all = list != NULL ? take(arena, count, sizeof *all, err) : NULL;
    if (all == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const omen_field *f = &fields[i];
        omen__v1__field__init(&all[i]);
        all[i].name = om_remote_text(f->name);
        all[i].type = (Omen__V1__FieldType)(f->type & ~(uint32_t)OMEN_TYPE_ARRAY);
        all[i].array = (f->type & OMEN_TYPE_ARRAY) != 0;
        all[i].weight = f->weight;
        all[i].language = om_remote_text(f->language);
        all[i].stop_words = (f->flags & OMEN_FIELD_STOP_WORDS) != 0;
        all[i].no_stemming = (f->flags & OMEN_FIELD_NO_STEMMING) != 0;
        list[i] = &all[i];
    }
    *out = list;
    return true;
}

char **om_remote_names(const om_texts *names, size_t *count)
{
    char **out = NULL;
    *count = names != NULL ? names->count : 0;
    if (*count > 0) {
        memcpy(&out, &names->items, sizeof out); /* never written to */
    }
    return out;
}

bool om_remote_metadata(const om_json_column *from, om_arena *arena, Omen__V1__Metadata *out,
                        om_tool_error *err)
{
    omen__v1__metadata__init(out);
    out->json = take(arena, from->count, sizeof *out->json, err);
    if (out->json == NULL) {
        return false;
    }
    out->n_json = from->count;
    for (size_t i = 0; i < from->count; i++) {
        const char *text = om_json_column_get(from, i, &out->json[i].len);
        out->json[i].data = (uint8_t *)om_remote_text(text);
    }
    return true;
}

bool om_remote_take_metadata(const Omen__V1__Metadata *from, size_t n, om_json_column *to,
                             om_tool_error *err)
{
    size_t have = from != NULL ? from->n_json : 0;
    if (have != 0 && have != n) {
        return om_tool_fail(err, OM_EXIT_RUNTIME,
                            "the server's answer has metadata of %zu items, not of %zu", have, n);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        const char *text = have != 0 ? (const char *)from->json[i].data : "";
        ok = om_json_column_add(to, text, have != 0 ? from->json[i].len : 0, err);
    }
    return ok;
}
