/* engine_find_check.c - the arguments of omen_find.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "engine_find.h"

static omen_status_t invalid(om_find *f, int32_t detail, uint32_t leg, const char *what,
                             uint64_t value, uint64_t limit)
{
    return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, detail, leg,
                        "leg %u: %s %llu is above the limit of %llu", leg, what,
                        (unsigned long long)value, (unsigned long long)limit);
}

static omen_status_t check_vector(om_find *f, uint32_t i)
{
    const omen_leg *leg = f->leg[i].in;
    const omen_options *o = &f->c->options;
    if (leg->vector == NULL) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "leg %u: vector must not be NULL", i);
    }
    if (leg->dtype != 0 && om_dtype_width(leg->dtype) == 0) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, i,
                            "leg %u: dtype %u is not one of f32 (1), f16 (2), i8 (3), u8 (4)", i,
                            leg->dtype);
    }
    if (leg->dim != o->dim) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_DIM_MISMATCH, i,
                            "leg %u: dim %u, the collection has %u", i, leg->dim, o->dim);
    }
    return OMEN_OK;
}

static omen_status_t check_text(om_find *f, uint32_t i)
{
    const omen_leg *leg = f->leg[i].in;
    uint32_t fields = 0;
    if (leg->text == NULL && leg->text_len != 0) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "leg %u: text is NULL with %zu bytes", i, leg->text_len);
    }
    if (leg->text_len > OMEN_MAX_TEXT_QUERY) {
        return invalid(f, OMEN_D_LIMIT, i, "text: length", leg->text_len, OMEN_MAX_TEXT_QUERY);
    }
    if (!(leg->k1 >= 0 && leg->k1 <= 1000) || !(leg->b >= 0 && leg->b <= 1)) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, i,
                            "leg %u: k1 %g must be in 0 to 1,000, b %g in 0 to 1", i,
                            (double)leg->k1, (double)leg->b);
    }
    if (leg->field == NULL) {
        (void)om_text_fields(f->c, &fields);
        return fields != 0 ? OMEN_OK
                           : om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_FIELD, i,
                                          "leg %u: collection '%s' has no field of type text", i,
                                          f->c->name);
    }
    omen_status_t status = om_field_find(f->c, "text leg", leg->field, &f->leg[i].field, f->err);
    if (status == OMEN_OK && f->leg[i].field->type != OMEN_TYPE_TEXT) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, i,
                            "leg %u: field '%s' has type %s, not text", i, leg->field,
                            om_field_type_name(f->leg[i].field->type));
    }
    return status;
}

static omen_status_t check_like(om_find *f, uint32_t i)
{
    const omen_leg *leg = f->leg[i].in;
    if (leg->key_count == 0 || leg->keys == NULL) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "leg %u: keys: at least one is needed", i);
    }
    /* They are left out of the list, which is that much longer. */
    if (leg->key_count > OMEN_MAX_LIKE) {
        return invalid(f, OMEN_D_LIMIT, i, "keys: count", leg->key_count, OMEN_MAX_LIKE);
    }
    return OMEN_OK;
}

static omen_status_t check_leg(om_find *f, uint32_t i)
{
    const omen_leg *leg = f->leg[i].in;
    const uint32_t known = OMEN_EXACT | OMEN_GRAPH_ONLY;
    if ((leg->flags & ~known) != 0 || leg->reserved != 0) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "leg %u: flags: unknown bits 0x%x", i, leg->flags & ~known);
    }
    if (leg->limit > OMEN_MAX_K) {
        return invalid(f, OMEN_D_LIMIT, i, "limit:", leg->limit, OMEN_MAX_K);
    }
    if (leg->ef > OMEN_MAX_EF || leg->rerank > OMEN_MAX_EF) {
        return invalid(f, OMEN_D_LIMIT, i, "ef or rerank:", om_max_u32(leg->ef, leg->rerank),
                       OMEN_MAX_EF);
    }
    if (!(leg->weight >= 0 && isfinite(leg->weight))) {
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, i,
                            "leg %u: weight %g must be 0 (for 1) or above, and finite", i,
                            (double)leg->weight);
    }
    switch (leg->kind) {
    case OMEN_LEG_VECTOR:
        return check_vector(f, i);
    case OMEN_LEG_TEXT:
        return check_text(f, i);
    case OMEN_LEG_LIKE:
        return check_like(f, i);
    default:
        return om_fail_item(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "leg %u: kind %u is not one of vector (1), text (2), like (3)", i,
                            leg->kind);
    }
}

static omen_status_t check_counts(om_find *f)
{
    const omen_request *in = f->in;
    if (in->k < 1 || in->k > OMEN_MAX_K || in->offset > OMEN_MAX_K - in->k) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "k: %u at offset %u; k must be at least 1, both together at most %u", in->k,
                       in->offset, OMEN_MAX_K);
    }
    f->wanted = in->offset + in->k;
    f->group_size = om_max_u32(in->group_size, 1);
    if (in->group_by == NULL) {
        return in->group_size <= 1 ? OMEN_OK
                                   : om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                                             "group_size: %u without group_by", in->group_size);
    }
    if ((uint64_t)f->wanted * f->group_size > OMEN_MAX_K) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "group_size: %u hits of each of %u groups are above the limit of %u hits",
                       f->group_size, f->wanted, OMEN_MAX_K);
    }
    omen_status_t status = om_field_find(f->c, "group_by", in->group_by, &f->group_by, f->err);
    if (status == OMEN_OK && (f->group_by->type & OMEN_TYPE_ARRAY) != 0) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "group_by field '%s' is an array (%s)", in->group_by,
                       om_field_type_name(f->group_by->type));
    }
    return status;
}

static omen_status_t check_bounds(om_find *f)
{
    const omen_request *in = f->in;
    bool distances = in->leg_count == 1 && in->legs[0].kind != OMEN_LEG_TEXT;
    if ((in->flags & OMEN_FIND_MAX_DISTANCE) != 0 && (!distances || isnan(in->max_distance))) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "max_distance: %g with %u legs; it bounds a search of one vector leg",
                       (double)in->max_distance, in->leg_count);
    }
    if ((in->flags & OMEN_FIND_MIN_SCORE) != 0 && (distances || isnan(in->min_score))) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "min_score: %g; it bounds searches for words or of several legs",
                       (double)in->min_score);
    }
    if (in->fusion > OMEN_FUSE_WEIGHTED) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "fusion: %u is not one of rrf (1), weighted (2)", in->fusion);
    }
    if (!(in->rank_constant >= 0 && isfinite(in->rank_constant))) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "rank_constant: %g must be 0 (for 60) or above, and finite",
                       (double)in->rank_constant);
    }
    return OMEN_OK;
}

omen_status_t om_find_check(om_find *f)
{
    omen_status_t status = OMEN_OK;
    const omen_request *in = f->in;
    const uint32_t known = OMEN_PARTIAL_OK | OMEN_FIND_MAX_DISTANCE | OMEN_FIND_MIN_SCORE;
    if ((in->flags & ~known) != 0) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "request flags: unknown bits 0x%x", in->flags & ~known);
    }
    if (in->leg_count < 1 || in->leg_count > OMEN_MAX_LEGS) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "leg_count: %u is not in 1 to %u", in->leg_count, OMEN_MAX_LEGS);
    }
    if (in->legs == NULL || f->hits->keys == NULL) {
        return om_fail(f->err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "%s: must not be NULL",
                       in->legs == NULL ? "legs" : "hits.keys");
    }
    for (uint32_t i = 0; i < in->leg_count; i++) {
        f->leg[i].in = &in->legs[i];
        OM_TRY(check_leg(f, i));
    }
    OM_TRY(check_counts(f));
    OM_TRY(check_bounds(f));
out:
    return status;
}
