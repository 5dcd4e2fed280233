/* search_check.c - the shape of a search against its collection: what can be told before the engine is asked,
 * with the field named. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "searcher.h"

static uint32_t limit_of(const om_wire_search *q)
{
    return q->limit == 0 ? OM_SEARCH_DEFAULT_LIMIT : q->limit;
}

static uint32_t group_size_of(const om_wire_search *q)
{
    return q->group_size == 0 ? 1 : q->group_size;
}

uint32_t om_search_capacity(const om_wire_search *q)
{
    return q->group_by != NULL ? limit_of(q) * group_size_of(q) : limit_of(q);
}

static bool check_vector(const om_wire_leg *leg, const om_coll *coll, om_failure *f)
{
    uint32_t type = leg->type == 0 ? coll->options.dtype : leg->type;
    uint32_t width = om_coll_width(type);
    if (leg->ef > OMEN_MAX_EF) {
        return om_failure_limit(f, "legs.vector.ef", leg->ef, OMEN_MAX_EF);
    }
    if (leg->rerank > OMEN_MAX_EF) {
        return om_failure_limit(f, "legs.vector.rerank", leg->rerank, OMEN_MAX_EF);
    }
    if (type == OMEN_BF16 || type == OMEN_B1) {
        return om_failure_unimplemented(f, "legs.vector.vector.type");
    }
    if (width == 0 || (type != coll->options.dtype && type != OMEN_F32)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "legs.vector.vector.type",
                              "vector.type is %u, the collection %s has %u; F32 is accepted too",
                              type, coll->name, coll->options.dtype);
    }
    if (leg->dim != 0 && leg->dim != coll->options.dim) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "legs.vector.vector.dim",
                              "vector.dim is %u, the collection %s has %u", leg->dim, coll->name,
                              coll->options.dim);
    }
    size_t need = (size_t)coll->options.dim * width;
    return leg->vector_size == need ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "legs.vector.vector.data",
                          "vector.data has %zu bytes, one vector of the collection %s has %zu",
                          leg->vector_size, coll->name, need);
}

/* A number that a client gives: not NaN, not infinite, and not below 0. */
static bool check_number(float value, const char *field, om_failure *f)
{
    return (isfinite(value) && value >= 0) ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                          "%s is %g, it must be a number, and not negative", field, (double)value);
}

static bool check_text(const om_wire_leg *leg, om_failure *f)
{
    if (leg->text == NULL || leg->text_size == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "legs.text.text",
                              "legs.text.text is empty");
    }
    return check_number(leg->k1, "legs.text.k1", f) && check_number(leg->b, "legs.text.b", f) &&
           (leg->b <= 1 || om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "legs.text.b",
                                          "legs.text.b is %g, the limit is 1", (double)leg->b));
}

static bool check_like(const om_wire_leg *leg, const om_coll *coll, om_failure *f)
{
    static const char *const names[] = {"none", "u64", "uuid", "str"};
    const om_wire_ids *ids = &leg->like;
    if (ids->count == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "legs.like",
                              "legs.like is empty: it names one item at least");
    }
    if (ids->type != coll->options.id_type) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "legs.like",
                              "legs.like.%s is set, the collection %s has ids of type %s",
                              names[ids->type & 3], coll->name, names[coll->options.id_type & 3]);
    }
    return ids->count <= OM_RT_MAX_GET_ITEMS ||
           om_failure_limit(f, "legs.like", ids->count, OMEN_MAX_LIKE);
}

static bool check_leg(const om_wire_leg *leg, const om_coll *coll, om_failure *f)
{
    switch (leg->kind) {
    case OMEN_LEG_VECTOR:
        return check_vector(leg, coll, f);
    case OMEN_LEG_TEXT:
        return check_text(leg, f);
    default:
        return check_like(leg, coll, f);
    }
}

static bool check_threshold(const om_wire_search *q, om_failure *f)
{
    bool distances = q->leg_count == 1 && q->first.kind != OMEN_LEG_TEXT;
    bool of_distance = q->threshold == OM_THRESHOLD_DISTANCE;
    const char *field = of_distance ? "max_distance" : "min_score";
    if (q->threshold == OM_THRESHOLD_NONE) {
        return true;
    }
    if (isnan(q->bound)) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "NOT_FINITE", field, "%s is not a number",
                              field);
    }
    return of_distance == distances ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", field,
                          of_distance ? "max_distance is for a search with one vector leg: this "
                                        "one has scores"
                                      : "min_score is for text and fused searches: this one has "
                                        "distances");
}

static bool check_groups(const om_wire_search *q, om_failure *f)
{
    if (q->group_by == NULL) {
        return q->group_size == 0 ||
               om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "group_size",
                              "group_size is %u, and group_by is not set", q->group_size);
    }
    uint64_t hits = ((uint64_t)limit_of(q) + q->offset) * group_size_of(q);
    return hits <= OMEN_MAX_K ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "group_size",
                          "(offset + limit) * group_size is %llu, the limit is %u",
                          (unsigned long long)hits, OMEN_MAX_K);
}

/* What only searches beyond a plain vector leg have. */
static bool check_rich(const om_wire_search *q, om_failure *f)
{
    if ((uint64_t)limit_of(q) + q->offset > OMEN_MAX_K) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "offset",
                              "offset + limit is %llu, the limit is %u",
                              (unsigned long long)limit_of(q) + q->offset, OMEN_MAX_K);
    }
    if (q->filter == NULL && q->params.count > 0) {
        return om_method_stray_params(f);
    }
    for (uint32_t i = 0; i < q->facet_count; i++) {
        if (q->facets[i].field[0] == '\0') {
            return om_failure_set(f, OMEN_INVALID_ARGUMENT, "FIELD", "facets.field",
                                  "facets[%u].field is empty", i);
        }
    }
    return check_threshold(q, f);
}

bool om_search_check(const om_wire_search *q, const om_coll *coll, om_failure *f)
{
    if (limit_of(q) > OMEN_MAX_K) {
        return om_failure_limit(f, "limit", q->limit, OMEN_MAX_K);
    }
    for (uint32_t i = 0; i < q->leg_count; i++) {
        const om_wire_leg *leg = om_wire_leg_at(q, i);
        if (leg->limit > OMEN_MAX_K) {
            return om_failure_limit(f, "legs.limit", leg->limit, OMEN_MAX_K);
        }
        if (!check_number(leg->weight, "legs.weight", f) || !check_leg(leg, coll, f)) {
            return false;
        }
    }
    if (q->fusion > OMEN_FUSE_WEIGHTED) {
        return om_failure_limit(f, "fusion", q->fusion, OMEN_FUSE_WEIGHTED);
    }
    return check_number(q->rank_constant, "rank_constant", f) && (!q->rich || check_rich(q, f)) &&
           check_groups(q, f);
}
