/* filter_row.c - conditions on one meta row, which is in no block yet. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter_int.h"

enum { NOT_FOUND = -1 };

/* ---- Values ------------------------------------------------------------------------------------- */
/* Where a value is in a set, or NOT_FOUND. */
#define DEFINE_PLACE(name, type, member, order)                 \
    static int64_t name(const om_value_set *set, type value)    \
    {                                                           \
        uint32_t lo = 0, hi = set->count;                       \
        while (lo < hi) {                                       \
            const uint32_t middle = lo + (hi - lo) / 2;         \
            const int side = order(set->member[middle], value); \
            if (side == 0) {                                    \
                return middle;                                  \
            }                                                   \
            lo = side < 0 ? middle + 1 : lo;                    \
            hi = side < 0 ? hi : middle;                        \
        }                                                       \
        return NOT_FOUND;                                       \
    }
#define NUMBER_ORDER(a, b) (((a) > (b)) - ((a) < (b)))
DEFINE_PLACE(place_int, int64_t, ints, NUMBER_ORDER)
DEFINE_PLACE(place_double, double, doubles, NUMBER_ORDER)
DEFINE_PLACE(place_slice, om_slice, slices, om_slice_compare)

static bool in_range_of_bytes(const om_range_bytes *range, om_slice value)
{
    if (range->lo_edge == OM_EDGE_PREFIX) {
        return value.length >= range->lo.length &&
               (range->lo.length == 0 || memcmp(value.data, range->lo.data, range->lo.length) == 0);
    }
    if (range->lo_edge != OM_EDGE_NONE) {
        const int side = om_slice_compare(value, range->lo);
        if (side < 0 || (side == 0 && range->lo_edge == OM_EDGE_OPEN)) {
            return false;
        }
    }
    if (range->hi_edge != OM_EDGE_NONE) {
        const int side = om_slice_compare(value, range->hi);
        return side < 0 || (side == 0 && range->hi_edge == OM_EDGE_CLOSED);
    }
    return true;
}

/* Value i of a payload: of arrays an element, else i is 0. Returns its place in the set of the test; of a
 * range 0 when it is in it; or NOT_FOUND. */
static int64_t place_of(const om_test *test, const om_meta_value *value, uint32_t i)
{
    const bool range = test->kind == OM_TEST_RANGE;
    if (test->value_class == OM_CLASS_INT) {
        int64_t number;
        memcpy(&number, value->payload + (size_t)i * 8, 8);
        return !range ? place_int(&test->u.set, number)
               : test->u.ints.lo <= number && number <= test->u.ints.hi ? 0
                                                                        : NOT_FOUND;
    }
    if (test->value_class == OM_CLASS_DOUBLE) {
        double number;
        memcpy(&number, value->payload + (size_t)i * 8, 8);
        return !range ? place_double(&test->u.set, number)
               : test->u.doubles.lo <= number && number <= test->u.doubles.hi ? 0
                                                                              : NOT_FOUND;
    }
    om_slice slice = {value->payload, value->size};
    if ((test->type & OMEN_TYPE_ARRAY) != 0) {
        uint32_t count, ends[2];
        memcpy(&count, value->payload, 4);
        memcpy(ends, value->payload + 4 + (size_t)i * 4, 8);
        slice.data = value->payload + 8 + (size_t)count * 4 + ends[0];
        slice.length = ends[1] - ends[0];
    }
    return !range                                     ? place_slice(&test->u.set, slice)
           : in_range_of_bytes(&test->u.bytes, slice) ? 0
                                                      : NOT_FOUND;
}

static uint32_t element_count(const om_test *test, const om_meta_value *value)
{
    uint32_t count = value->size / 8;
    if (test->value_class == OM_CLASS_BYTES) {
        memcpy(&count, value->payload, 4);
    }
    return count;
}

/* ---- Tests -------------------------------------------------------------------------------------- */
static bool has_any(const om_test *test, const om_meta_value *value)
{
    const uint32_t count = element_count(test, value);
    for (uint32_t i = 0; i < count; i++) {
        if (place_of(test, value, i) != NOT_FOUND) {
            return true;
        }
    }
    return false;
}

/* Whether the elements cover the set: each is looked up in it, so that long arrays and long sets do not
 * multiply. */
static bool has_all(const om_test *test, const om_meta_value *value)
{
    uint64_t seen[OMEN_MAX_ARRAY / 64];
    const uint32_t count = element_count(test, value);
    uint32_t found = 0;
    if (count < test->u.set.count) {
        return false;
    }
    memset(seen, 0, (test->u.set.count + 63) / 64 * sizeof *seen);
    for (uint32_t i = 0; i < count && found < test->u.set.count; i++) {
        const int64_t place = place_of(test, value, i);
        if (place != NOT_FOUND && (seen[place / 64] >> place % 64 & 1) == 0) {
            seen[place / 64] |= UINT64_C(1) << place % 64;
            found++;
        }
    }
    return found == test->u.set.count;
}

static bool is_near(const om_circle *circle, const om_meta_value *value)
{
    double place[2];
    memcpy(place, value->payload, sizeof place);
    return om_circle_has(circle, place[0], place[1]);
}

static bool passes_test(const om_test *test, const uint8_t *row)
{
    om_meta_value value;
    const bool known = om_meta_get(row, test->field, &value);
    if (!known || test->kind == OM_TEST_NULL || test->kind == OM_TEST_EVERY) {
        return known ? test->kind == OM_TEST_EVERY : test->kind == OM_TEST_NULL;
    }
    bool match;
    if (test->kind == OM_TEST_GEO) {
        match = is_near(&test->u.circle, &value);
    } else if (test->kind == OM_TEST_ALL) {
        match = has_all(test, &value);
    } else if ((test->type & OMEN_TYPE_ARRAY) != 0) {
        match = has_any(test, &value);
    } else {
        match = place_of(test, &value, 0) != NOT_FOUND;
    }
    return match != test->negate;
}

static bool passes(const om_node *node, const uint8_t *row)
{
    if (node->kind == OM_NODE_CONST) {
        return node->pass;
    }
    if (node->kind == OM_NODE_TEST) {
        return passes_test(&node->test, row);
    }
    const bool decides = node->kind == OM_NODE_OR;
    for (uint32_t i = 0; i < node->count; i++) {
        if (passes(node->children[i], row) == decides) {
            return decides;
        }
    }
    return !decides;
}

bool om_predicate_row(const om_predicate *predicate, const uint8_t *row)
{
    return passes(predicate->root, row);
}
