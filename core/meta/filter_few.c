/* filter_few.c - a short list of rows, tested one by one: what is left when other conditions let few through.
 * SPDX-License-Identifier: Apache-2.0 */
#include "filter_int.h"

uint32_t om_few_take(const om_evaluation *e, const om_node *node, uint16_t *few)
{
    const om_test *test = &node->test;
    const om_plan *plan = &e->plans[node->index];
    const bool array = (test->type & OMEN_TYPE_ARRAY) != 0;
    if (node->kind != OM_NODE_TEST || test->kind != OM_TEST_RANGE || test->negate ||
        plan->column == NULL || plan->rows > OM_FEW_ROWS || (array && plan->hi - plan->lo > 1)) {
        return UINT32_MAX;
    }
    const uint16_t *rows = plan->column->order + plan->column->starts[plan->lo];
    for (uint32_t i = 0; i < plan->rows; i++) {
        few[i] = rows[i];
    }
    return plan->rows;
}

uint32_t om_few_extract(const om_evaluation *e, const uint64_t *bits, uint16_t *few)
{
    uint32_t count = 0;
    for (uint32_t w = 0; w < e->words; w++) {
        for (uint64_t left = bits[w]; left != 0; left &= left - 1) {
            few[count++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(left));
        }
    }
    return count;
}

uint32_t om_few_keep_bits(const uint64_t *bits, uint16_t *few, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint16_t row = few[i];
        few[kept] = row;
        kept += (uint32_t)(bits[row / 64] >> row % 64 & 1);
    }
    return kept;
}

/* Codes [lo, lo + span] of the width, but not `null`. */
#define DEFINE_KEEP(name, type)                                                               \
    static uint32_t name(const type *codes, type lo, type span, uint32_t null, uint16_t *few, \
                         uint32_t count)                                                      \
    {                                                                                         \
        uint32_t kept = 0;                                                                    \
        for (uint32_t i = 0; i < count; i++) {                                                \
            const uint16_t row = few[i];                                                      \
            const type code = codes[row];                                                     \
            few[kept] = row;                                                                  \
            kept += ((type)(code - lo) <= span) & (code != null);                             \
        }                                                                                     \
        return kept;                                                                          \
    }
DEFINE_KEEP(keep8, uint8_t)
DEFINE_KEEP(keep16, uint16_t)

static uint32_t keep_range(const om_test *test, const om_plan *plan, uint16_t *few, uint32_t count)
{
    const om_metacolumn *column = plan->column;
    /* The codes that pass, from `lo` on; outside of a range they wrap around. All codes: no test is needed
     * but that for null. */
    const bool none = plan->rows == 0;
    const bool every = none || (plan->lo == 0 && plan->hi == column->distinct);
    if (every && none != test->negate) {
        return 0;
    }
    const uint32_t lo = every ? 0 : test->negate ? plan->hi : plan->lo;
    const uint32_t span = (every          ? column->distinct
                           : test->negate ? plan->lo - plan->hi
                                          : plan->hi - plan->lo) -
                          1;
    if (column->code_bytes == 1) {
        return keep8(column->codes, (uint8_t)lo, (uint8_t)span, column->distinct, few, count);
    }
    return keep16(column->codes, (uint16_t)lo, (uint16_t)span, column->distinct, few, count);
}

static uint32_t keep_listed(const om_evaluation *e, const om_test *test, const om_plan *plan,
                            uint16_t *few, uint32_t count)
{
    const om_metacolumn *column = plan->column;
    const uint32_t *list = e->listed + test->list_at;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t code = om_column_code(column, few[i]);
        uint32_t base = 0;
        for (uint32_t left = plan->codes; left > 1;) {
            const uint32_t half = left / 2;
            base += list[base + half] <= code ? half : 0;
            left -= half;
        }
        const bool in = plan->codes != 0 && list[base] == code;
        const uint16_t row = few[i];
        few[kept] = row;
        kept += (in != test->negate) & (code != column->distinct);
    }
    return kept;
}

static uint32_t keep_near(const om_test *test, const om_plan *plan, uint16_t *few, uint32_t count)
{
    const om_metacolumn *column = plan->column;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t code = om_column_code(column, few[i]);
        const uint16_t row = few[i];
        if (code < column->distinct && om_circle_has(&test->u.circle, column->points[code].lat,
                                                     column->points[code].lon) != test->negate) {
            few[kept++] = row;
        }
    }
    return kept;
}

bool om_few_can(const om_evaluation *e, const om_node *node, uint32_t count)
{
    enum { COST_STEP = 25 };
    const om_test *test = &node->test;
    const om_plan *plan = &e->plans[node->index];
    if (node->kind != OM_NODE_TEST || plan->column == NULL || !om_column_scans(plan->column)) {
        return false;
    }
    const uint32_t rows = om_min_u32(plan->rows, plan->column->count - plan->rows);
    switch (test->kind) {
    case OM_TEST_RANGE:
        /* Bits, too, are looked up one by one. */
        return count * OM_COST_PROBE / 2 <
               om_min_u32(rows * OM_COST_ROW, om_scan_cost(e, plan->column)) + OM_COST_BITMAP;
    case OM_TEST_SET:
        return test->list_at != OM_LIST_SHARED &&
               count * COST_STEP * (32 - (uint32_t)__builtin_clz(plan->codes | 1)) <
                   rows * OM_COST_ROW + OM_COST_BITMAP;
    case OM_TEST_GEO:
        return count < plan->rows;
    default:
        return false;
    }
}

uint32_t om_few_keep(const om_evaluation *e, const om_node *node, uint16_t *few, uint32_t count)
{
    const om_test *test = &node->test;
    const om_plan *plan = &e->plans[node->index];
    switch (test->kind) {
    case OM_TEST_RANGE:
        return keep_range(test, plan, few, count);
    case OM_TEST_SET:
        return keep_listed(e, test, plan, few, count);
    default:
        om_assert(test->kind == OM_TEST_GEO);
        return keep_near(test, plan, few, count);
    }
}
