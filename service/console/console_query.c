/* console_query.c - a search of the console: from JSON to the request that the RPC would have made.
 * SPDX-License-Identifier: Apache-2.0 */
#include "console_query.h"

#include <math.h>
#include <string.h>

static const char *const members[] = {"collection", "like",          "vector",      "text",
                                      "text_field", "filter",        "limit",       "offset",
                                      "ef",         "rerank",        "exact",       "fusion",
                                      "group_by",   "vector_weight", "text_weight", NULL};

static bool weight_of(om_console_call *call, json_t *body, const char *name, float *out)
{
    const json_t *value = json_object_get(body, name);
    *out = (float)json_number_value(value);
    return value == NULL || json_is_number(value) || json_is_null(value) ||
           om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "TYPE", name, "%s is no number", name);
}

/* The place of the next leg; two at most. */
static om_wire_leg *next_leg(om_console_query *q)
{
    om_wire_leg *leg = q->search.leg_count == 0 ? &q->search.first : &q->second;
    q->search.more = &q->second;
    q->search.leg_count++;
    return leg;
}

static bool read_vector(om_console_call *call, const json_t *array, om_console_query *q)
{
    size_t count = json_array_size(array);
    if (!json_is_array(array) || count == 0 || count > OMEN_MAX_DIM) {
        return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "TYPE", "vector",
                              "vector is no list of 1 to %u numbers", OMEN_MAX_DIM);
    }
    float *values = om_wire_take(&q->arena, count * sizeof *values, 64, &call->f);
    for (size_t i = 0; values != NULL && i < count; i++) {
        const json_t *value = json_array_get(array, i);
        values[i] = (float)json_number_value(value);
        if (!json_is_number(value) || !isfinite(values[i])) {
            return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "NOT_FINITE", "vector",
                                  "vector[%zu] is no number that a float can hold", i);
        }
    }
    om_wire_leg *leg = next_leg(q);
    leg->kind = OMEN_LEG_VECTOR;
    leg->type = OMEN_F32;
    leg->dim = (uint32_t)count;
    leg->vector = (const uint8_t *)values;
    leg->vector_size = count * sizeof *values;
    return values != NULL;
}

static bool read_vector_leg(om_console_call *call, json_t *body, const om_coll *coll,
                            om_console_query *q)
{
    const json_t *like = json_object_get(body, "like");
    const json_t *vector = json_object_get(body, "vector");
    bool has_like = like != NULL && !json_is_null(like);
    bool has_vector = vector != NULL && !json_is_null(vector);
    if (has_like && has_vector) {
        return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", "vector",
                              "like and vector are two ways to say the same: give one of them");
    }
    if (!has_like && !has_vector) {
        return true;
    }
    if (has_vector && !read_vector(call, vector, q)) {
        return false;
    }
    if (has_like) {
        om_wire_leg *leg = next_leg(q);
        leg->kind = OMEN_LEG_LIKE;
        if (!om_console_ids(call, like, coll->options.id_type, &q->arena, &leg->like)) {
            return false;
        }
    }
    om_wire_leg *leg = &q->search.first;
    return weight_of(call, body, "vector_weight", &leg->weight) &&
           om_console_number(call, body, "ef", OMEN_MAX_EF, &leg->ef) &&
           om_console_number(call, body, "rerank", OMEN_MAX_EF, &leg->rerank) &&
           om_console_flag(call, body, "exact", &leg->exact);
}

static bool read_text_leg(om_console_call *call, json_t *body, om_console_query *q)
{
    const char *text = NULL;
    const char *field = NULL;
    if (!om_console_text(call, body, "text", &text) ||
        !om_console_text(call, body, "text_field", &field)) {
        return false;
    }
    if (text[0] == '\0') {
        return true;
    }
    if (strlen(text) > OMEN_MAX_TEXT_QUERY) {
        return om_failure_limit(&call->f, "text", strlen(text), OMEN_MAX_TEXT_QUERY);
    }
    om_wire_leg *leg = next_leg(q);
    leg->kind = OMEN_LEG_TEXT;
    leg->text = text;
    leg->text_size = strlen(text);
    leg->field = field[0] != '\0' ? field : NULL;
    return weight_of(call, body, "text_weight", &leg->weight);
}

static bool read_fusion(om_console_call *call, json_t *body, om_console_query *q)
{
    const char *name = NULL;
    if (!om_console_text(call, body, "fusion", &name)) {
        return false;
    }
    q->search.fusion = strcmp(name, "weighted") == 0 ? OMEN_FUSE_WEIGHTED : OMEN_FUSE_RRF;
    return name[0] == '\0' || strcmp(name, "rrf") == 0 || strcmp(name, "weighted") == 0 ||
           om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", "fusion",
                          "fusion is '%.40s', it must be rrf or weighted", name);
}

bool om_console_filter(om_console_call *call, json_t *body, const char **text, size_t *size)
{
    const char *filter = NULL;
    if (!om_console_text(call, body, "filter", &filter)) {
        return false;
    }
    *size = strlen(filter);
    *text = *size > 0 ? filter : NULL;
    return *size <= OMEN_MAX_FILTER || om_failure_limit(&call->f, "filter", *size, OMEN_MAX_FILTER);
}

static bool read_shape(om_console_call *call, json_t *body, om_console_query *q)
{
    const char *group = NULL;
    om_wire_search *s = &q->search;
    if (!om_console_number(call, body, "limit", OM_CONSOLE_MAX_HITS, &s->limit) ||
        !om_console_number(call, body, "offset", OMEN_MAX_K, &s->offset) ||
        !om_console_text(call, body, "group_by", &group) ||
        !om_console_filter(call, body, &s->filter, &s->filter_size) ||
        !read_fusion(call, body, q)) {
        return false;
    }
    s->group_by = group[0] != '\0' ? group : NULL;
    s->explain = true;
    s->with_metadata = true;
    s->partial_ok = true;
    s->rich = s->filter != NULL || s->offset > 0 || s->group_by != NULL || s->leg_count > 1 ||
              s->first.kind != OMEN_LEG_VECTOR;
    return true;
}

bool om_console_query_read(om_console_call *call, json_t *body, om_coll *coll, om_console_query *q)
{
    if (!om_console_known(call, body, members) || !read_vector_leg(call, body, coll, q) ||
        !read_text_leg(call, body, q) || !read_shape(call, body, q)) {
        return false;
    }
    if (q->search.leg_count == 0) {
        return om_failure_set(&call->f, OMEN_INVALID_ARGUMENT, "MALFORMED", NULL,
                              "nothing to search for: give like, vector or text");
    }
    return om_search_check(&q->search, coll, &call->f);
}
