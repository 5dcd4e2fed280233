/* fields.c - declared fields, in and out. SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool limit(om_failure *f, const char *what, size_t place, const char *part, size_t size,
                  size_t most)
{
    char field[64];
    (void)snprintf(field, sizeof field, "%s[%zu].%s", what, place, part);
    return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                          "%s has %zu bytes, the limit is %zu", field, size, most);
}

static bool check(const Omen__V1__Field *in, const char *what, size_t place, om_failure *f)
{
    char field[64];
    int type = (int)in->type;
    size_t language = sizeof((omen_field *)0)->language - 1;
    if (strlen(in->name) > OMEN_MAX_FIELD_NAME) {
        return limit(f, what, place, "name", strlen(in->name), OMEN_MAX_FIELD_NAME);
    }
    if (strlen(in->language) > language) {
        return limit(f, what, place, "language", strlen(in->language), language);
    }
    (void)snprintf(field, sizeof field, "%s[%zu].type", what, place);
    if (type < OMEN_TYPE_STRING || type > OMEN_TYPE_TEXT) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", field,
                              "%s is %d: a declared field has one of the types 1 to %d", field,
                              type, OMEN_TYPE_TEXT);
    }
    if (in->array && type > OMEN_TYPE_BYTES) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", field,
                              "%s is %d: there are no arrays of GEO and TEXT", field, type);
    }
    (void)snprintf(field, sizeof field, "%s[%zu].weight", what, place);
    return (isfinite(in->weight) && in->weight >= 0) ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                          "%s is %g, it must be a number, and not negative", field,
                          (double)in->weight);
}

bool om_field_list_read(Omen__V1__Field *const *fields, size_t count, const char *what,
                        omen_field **out, om_failure *f)
{
    *out = NULL;
    if (count > OMEN_MAX_FIELDS) {
        return om_failure_limit(f, what, count, OMEN_MAX_FIELDS);
    }
    if (count == 0) {
        return true;
    }
    omen_field *list = calloc(count, sizeof *list);
    if (list == NULL) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the fields");
        f->retry_ms = 1000;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const Omen__V1__Field *in = fields[i];
        if (!check(in, what, i, f)) {
            free(list);
            return false;
        }
        (void)snprintf(list[i].name, sizeof list[i].name, "%s", in->name);
        (void)snprintf(list[i].language, sizeof list[i].language, "%s", in->language);
        list[i].type = (uint32_t)in->type | (in->array ? OMEN_TYPE_ARRAY : 0u);
        list[i].flags = (in->stop_words ? OMEN_FIELD_STOP_WORDS : 0u) |
                        (in->no_stemming ? OMEN_FIELD_NO_STEMMING : 0u);
        list[i].weight = in->weight;
    }
    *out = list;
    return true;
}

static void view(Omen__V1__Field *out, omen_field *in)
{
    omen__v1__field__init(out);
    bool text = (in->type & ~(uint32_t)OMEN_TYPE_ARRAY) == OMEN_TYPE_TEXT;
    out->name = in->name;
    out->type = (Omen__V1__FieldType)(in->type & ~(uint32_t)OMEN_TYPE_ARRAY);
    out->array = (in->type & OMEN_TYPE_ARRAY) != 0;
    out->weight = text ? in->weight : 0;
    out->language = in->language;
    out->stop_words = (in->flags & OMEN_FIELD_STOP_WORDS) != 0;
    out->no_stemming = (in->flags & OMEN_FIELD_NO_STEMMING) != 0;
}

omen_status_t om_field_list_of(omen_collection *collection, om_field_list *out, omen_error *err)
{
    uint64_t count = 0;
    uint64_t now = 0;
    *out = (om_field_list){0};
    omen_status_t status = omen_list_fields(collection, NULL, 0, &count, err);
    if (status != OMEN_OK || count == 0) {
        return status;
    }
    /* Fields, messages and pointers one after the other: their alignments fall in this order. */
    size_t each = sizeof(Omen__V1__Field *) + sizeof(Omen__V1__Field) + sizeof(omen_field);
    out->memory = malloc((size_t)count * each);
    if (out->memory == NULL) {
        if (err != NULL) {
            *err = (omen_error){.status = OMEN_RESOURCE_EXHAUSTED,
                                .detail = OMEN_D_NO_MEMORY,
                                .item = OMEN_NONE,
                                .message = "no memory for the fields"};
        }
        return OMEN_RESOURCE_EXHAUSTED;
    }
    out->list = out->memory;
    Omen__V1__Field *messages = (Omen__V1__Field *)(void *)(out->list + count);
    omen_field *fields = (omen_field *)(void *)(messages + count);
    status = omen_list_fields(collection, fields, count, &now, err);
    if (status != OMEN_OK) {
        om_field_list_end(out);
        return status;
    }
    out->count = (size_t)(now < count ? now : count);
    for (size_t i = 0; i < out->count; i++) {
        view(&messages[i], &fields[i]);
        out->list[i] = &messages[i];
    }
    return OMEN_OK;
}

void om_field_list_end(om_field_list *fields)
{
    free(fields->memory);
    *fields = (om_field_list){0};
}
