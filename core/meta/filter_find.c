/* filter_find.c - from a test to codes of a block: binary searches in the dictionary for ranges, merges
 * with it for sets; and from codes to numbers of rows. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter_int.h"

/* ---- Ranges ------------------------------------------------------------------------------------- */
/* The first code of [from, distinct) whose value is at least (above: is above) a bound. */
#define DEFINE_BOUND(name, type)                                                     \
    static uint32_t name(const type *values, uint32_t count, type bound, bool above) \
    {                                                                                \
        uint32_t base = 0;                                                           \
        for (uint32_t left = count; left > 0;) {                                     \
            const uint32_t half = left / 2;                                          \
            const type value = values[base + half];                                  \
            const bool below = above ? value <= bound : value < bound;               \
            base += below ? half + 1 : 0;                                            \
            left = below ? left - half - 1 : half;                                   \
        }                                                                            \
        return base;                                                                 \
    }
DEFINE_BOUND(bound_int, int64_t)
DEFINE_BOUND(bound_double, double)
DEFINE_BOUND(bound_cell, uint64_t)

uint32_t om_cells_below(const uint64_t *cells, uint32_t count, uint64_t bound)
{
    return bound_cell(cells, count, bound, false);
}

static om_slice slice_at(const om_metacolumn *column, uint32_t code)
{
    om_slice slice;
    slice.data = om_column_bytes(column, code, &slice.length);
    return slice;
}

enum { SIDE_AT_LEAST, SIDE_ABOVE, SIDE_BEHIND_PREFIX };

static uint32_t bound_slice(const om_metacolumn *column, om_slice bound, uint32_t side)
{
    uint32_t base = 0;
    for (uint32_t left = column->distinct; left > 0;) {
        const uint32_t half = left / 2;
        om_slice value = slice_at(column, base + half);
        if (side == SIDE_BEHIND_PREFIX && value.length > bound.length) {
            value.length = bound.length;
        }
        const int order = om_slice_compare(value, bound);
        const bool below = side == SIDE_AT_LEAST ? order < 0 : order <= 0;
        base += below ? half + 1 : 0;
        left = below ? left - half - 1 : half;
    }
    return base;
}

static void find_bytes(const om_range_bytes *range, om_plan *plan)
{
    const om_metacolumn *column = plan->column;
    plan->lo = 0;
    plan->hi = column->distinct;
    if (range->lo_edge != OM_EDGE_NONE) {
        plan->lo = bound_slice(column, range->lo,
                               range->lo_edge == OM_EDGE_OPEN ? SIDE_ABOVE : SIDE_AT_LEAST);
    }
    if (range->lo_edge == OM_EDGE_PREFIX) {
        plan->hi = bound_slice(column, range->lo, SIDE_BEHIND_PREFIX);
    } else if (range->hi_edge != OM_EDGE_NONE) {
        plan->hi = bound_slice(column, range->hi,
                               range->hi_edge == OM_EDGE_OPEN ? SIDE_AT_LEAST : SIDE_ABOVE);
    }
}

static void find_range(const om_test *test, om_plan *plan)
{
    const om_metacolumn *column = plan->column;
    if (test->value_class == OM_CLASS_INT) {
        plan->lo = bound_int(column->ints, column->distinct, test->u.ints.lo, false);
        plan->hi = bound_int(column->ints, column->distinct, test->u.ints.hi, true);
    } else if (test->value_class == OM_CLASS_DOUBLE) {
        plan->lo = bound_double(column->doubles, column->distinct, test->u.doubles.lo, false);
        plan->hi = bound_double(column->doubles, column->distinct, test->u.doubles.hi, true);
    } else {
        find_bytes(&test->u.bytes, plan);
    }
    plan->hi = om_max_u32(plan->hi, plan->lo);
    plan->rows = column->starts[plan->hi] - column->starts[plan->lo];
}

/* A circle: the codes between the first and the last cell of a square around it. */
static void find_circle(const om_circle *circle, om_plan *plan)
{
    const om_metacolumn *column = plan->column;
    plan->lo = 0;
    plan->hi = circle->none ? 0 : column->distinct;
    const double west = circle->lon - circle->half_width;
    const double east = circle->lon + circle->half_width;
    if (!circle->none && !circle->all && west > -180 && east < 180) {
        const double south = circle->south > -90 ? circle->south : -90;
        const double north = circle->north < 90 ? circle->north : 90;
        plan->lo = bound_cell(column->cells, column->distinct, om_geo_cell(south, west), false);
        plan->hi = bound_cell(column->cells, column->distinct, om_geo_cell(north, east), true);
    }
    plan->rows = column->starts[plan->hi] - column->starts[plan->lo];
}

/* ---- Sets --------------------------------------------------------------------------------------- */
/* Takes a code that a set has. */
static inline void found(const om_metacolumn *column, uint32_t code, uint32_t *list, om_plan *plan,
                         uint32_t *fewest)
{
    const uint32_t rows = column->starts[code + 1] - column->starts[code];
    if (list != NULL) {
        list[plan->codes] = code;
    }
    plan->codes++;
    plan->rows += rows;
    *fewest = om_min_u32(*fewest, rows);
}

/* Both are ascending: whichever is behind leaps ahead, in steps that double, so that a short list in a
 * long dictionary costs the logarithms of the gaps, and lists of a size cost their sum. A value of the set
 * may stand twice in the dictionary (0.0 and -0.0), never the other way round. */
#define DEFINE_MERGE(name, dictionary, wanted, order)                                          \
    static uint32_t name(const om_metacolumn *column, const om_value_set *set, uint32_t *list, \
                         om_plan *plan)                                                        \
    {                                                                                          \
        const uint32_t distinct = column->distinct;                                            \
        uint32_t fewest = UINT32_MAX, last = UINT32_MAX, code = 0, at = 0, step;               \
        while (code < distinct && at < set->count) {                                           \
            const int side = order(dictionary(code), wanted(at));                              \
            if (side == 0) {                                                                   \
                plan->values += at != last ? 1 : 0;                                            \
                last = at;                                                                     \
                found(column, code++, list, plan, &fewest);                                    \
            } else if (side < 0) {                                                             \
                for (step = 1;                                                                 \
                     step < distinct - code && order(dictionary(code + step), wanted(at)) < 0; \
                     step *= 2) {                                                              \
                    code += step;                                                              \
                }                                                                              \
                for (; step > 0; step /= 2) {                                                  \
                    if (step < distinct - code &&                                              \
                        order(dictionary(code + step), wanted(at)) < 0) {                      \
                        code += step;                                                          \
                    }                                                                          \
                }                                                                              \
                code++;                                                                        \
            } else {                                                                           \
                for (step = 1;                                                                 \
                     step < set->count - at && order(wanted(at + step), dictionary(code)) < 0; \
                     step *= 2) {                                                              \
                    at += step;                                                                \
                }                                                                              \
                for (; step > 0; step /= 2) {                                                  \
                    if (step < set->count - at &&                                              \
                        order(wanted(at + step), dictionary(code)) < 0) {                      \
                        at += step;                                                            \
                    }                                                                          \
                }                                                                              \
                at++;                                                                          \
            }                                                                                  \
        }                                                                                      \
        return fewest;                                                                         \
    }
#define NUMBER_ORDER(a, b) (((a) > (b)) - ((a) < (b)))
#define COLUMN_INT(code) column->ints[code]
#define COLUMN_DOUBLE(code) column->doubles[code]
#define COLUMN_SLICE(code) slice_at(column, code)
#define SET_INT(i) set->ints[i]
#define SET_DOUBLE(i) set->doubles[i]
#define SET_SLICE(i) set->slices[i]
DEFINE_MERGE(merge_ints, COLUMN_INT, SET_INT, NUMBER_ORDER)
DEFINE_MERGE(merge_doubles, COLUMN_DOUBLE, SET_DOUBLE, NUMBER_ORDER)
DEFINE_MERGE(merge_slices, COLUMN_SLICE, SET_SLICE, om_slice_compare)

/* Returns the rows of the rarest value that was found. */
static uint32_t find_set(const om_test *test, uint32_t *list, om_plan *plan)
{
    plan->rows = plan->codes = plan->values = 0;
    const uint32_t fewest = test->value_class == OM_CLASS_INT
                                ? merge_ints(plan->column, &test->u.set, list, plan)
                            : test->value_class == OM_CLASS_DOUBLE
                                ? merge_doubles(plan->column, &test->u.set, list, plan)
                                : merge_slices(plan->column, &test->u.set, list, plan);
    om_assert(plan->codes <= test->u.set.count + 1);
    return fewest;
}

/* ---- Rows --------------------------------------------------------------------------------------- */
/* From what is known of the rows that match to what is known of those that pass. */
static void bound_rows(const om_test *test, uint32_t least, uint32_t most, om_plan *plan)
{
    const uint32_t known = plan->column->count;
    least = om_min_u32(least, known);
    most = om_min_u32(most, known);
    plan->least = test->negate ? known - most : least;
    plan->most = test->negate ? known - least : most;
}

void om_test_find(const om_test *test, const om_metablock *block, uint32_t *list, om_plan *plan)
{
    *plan = (om_plan){.column = om_metablock_column(block, test->field)};
    const uint32_t known = plan->column == NULL ? 0 : plan->column->count;
    const bool array = (test->type & OMEN_TYPE_ARRAY) != 0;
    uint32_t fewest;
    if (test->kind == OM_TEST_NULL || test->kind == OM_TEST_EVERY) {
        plan->least = plan->most =
            test->kind == OM_TEST_NULL ? om_metablock_rows(block) - known : known;
        return;
    }
    if (plan->column == NULL) {
        return;
    }
    switch (test->kind) {
    case OM_TEST_GEO:
        find_circle(&test->u.circle, plan);
        bound_rows(test, test->u.circle.all ? known : 0, plan->rows, plan);
        break;
    case OM_TEST_ALL:
        fewest = find_set(test, list, plan);
        /* Two codes of one value (0.0 and -0.0) may have more rows together. */
        fewest = plan->values == plan->codes ? fewest : known;
        bound_rows(test, 0, plan->values == test->u.set.count ? fewest : 0, plan);
        break;
    default:
        if (test->kind == OM_TEST_SET) {
            (void)find_set(test, list, plan);
        } else {
            find_range(test, plan);
        }
        /* Of an array a row may be under several codes. */
        bound_rows(test, array ? 0 : plan->rows, plan->rows, plan);
        break;
    }
}
