/* filter_test.c - the rows of a block that pass one test: codes scanned, or rows taken from the order of
 * the codes, whichever is less work. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "filter_int.h"

enum { MAX_SCANS = 64 };

/* ---- Bitmaps ------------------------------------------------------------------------------------ */
void om_bits_set(uint64_t *bits, const uint16_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bits[rows[i] / 64] |= UINT64_C(1) << rows[i] % 64;
    }
}

static void clear_rows(uint64_t *bits, const uint16_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bits[rows[i] / 64] &= ~(UINT64_C(1) << rows[i] % 64);
    }
}

void om_bits_touch(uint64_t *bits, bool set, const om_metacolumn *column, uint32_t lo, uint32_t hi)
{
    const uint16_t *rows = column->order + column->starts[lo];
    const uint32_t count = column->starts[hi] - column->starts[lo];
    if (set) {
        om_bits_set(bits, rows, count);
    } else {
        clear_rows(bits, rows, count);
    }
}

/* All rows of the block. */
void om_bits_all(const om_evaluation *e, uint64_t *out)
{
    memset(out, 0xff, e->words * sizeof *out);
    if (e->rows % 64 != 0) {
        out[e->rows / 64] = (UINT64_C(1) << e->rows % 64) - 1;
    }
}

/* Rows that have a value. */
static void fill_known(const om_evaluation *e, const om_metacolumn *column, uint64_t *out)
{
    if (column == NULL || column->sparse) {
        memset(out, 0, e->words * sizeof *out);
        if (column != NULL) {
            om_bits_set(out, column->rows_of, column->count);
        }
    } else if (column->present == NULL) {
        om_bits_all(e, out);
    } else {
        memcpy(out, column->present, e->words * sizeof *out);
    }
}

void om_bits_join(const om_evaluation *e, uint64_t *out, const uint64_t *other, uint32_t kind)
{
    if (kind == OM_SCAN_AND) {
        for (uint32_t w = 0; w < e->words; w++) {
            out[w] &= other[w];
        }
    } else {
        for (uint32_t w = 0; w < e->words; w++) {
            out[w] |= other[w];
        }
    }
}

static void remove_bits(const om_evaluation *e, uint64_t *out, const uint64_t *other)
{
    for (uint32_t w = 0; w < e->words; w++) {
        out[w] &= ~other[w];
    }
}

/* ---- Ranges of codes ---------------------------------------------------------------------------- */
/* A dense column that holds one code a row. */
bool om_column_scans(const om_metacolumn *column)
{
    return !column->sparse && (column->type & OMEN_TYPE_ARRAY) == 0 && column->code_bytes != 0 &&
           column->code_bytes <= 2;
}

uint32_t om_scan_cost(const om_evaluation *e, const om_metacolumn *column)
{
    return e->words * (column->code_bytes == 1 ? OM_COST_SCAN_8 : OM_COST_SCAN_16);
}

/* Scans for codes [lo, hi), or for all others when `outside`, null perhaps among them. lo < hi, and not all
 * codes of the width. The codes behind the last row are zeros: their bits are cleared. */
static uint32_t scan_range(const om_evaluation *e, const om_metacolumn *column, uint32_t lo,
                           uint32_t hi, bool outside, uint32_t kind, uint64_t *out)
{
    const uint32_t first = outside ? hi : lo;
    const uint32_t span = (outside ? lo - hi : hi - lo) - 1;
    uint32_t count;
    if (column->code_bytes == 1) {
        count =
            e->kernels->scan8[kind](column->codes, (uint8_t)first, (uint8_t)span, out, e->words);
    } else {
        count =
            e->kernels->scan16[kind](column->codes, (uint16_t)first, (uint16_t)span, out, e->words);
    }
    if (e->rows % 64 != 0) {
        uint64_t *last = &out[e->words - 1];
        const uint64_t behind = *last & ~((UINT64_C(1) << e->rows % 64) - 1);
        *last ^= behind;
        count -= (uint32_t)__builtin_popcountll(behind);
    }
    return count;
}

/* Whether [lo, hi) are all codes there can be: a scan has no span for that. */
static bool is_everything(const om_metacolumn *column, uint32_t lo, uint32_t hi)
{
    return lo == 0 && hi == column->distinct;
}

uint32_t om_bits_count(const om_evaluation *e, const uint64_t *bits)
{
    return e->kernels->count_bits(bits, e->words);
}

/* Rows of codes [lo, hi), of a column that is no array. */
static uint32_t range_bits(const om_evaluation *e, const om_test *test, const om_plan *plan,
                           uint64_t *out)
{
    const om_metacolumn *column = plan->column;
    const uint32_t others = column->count - plan->rows;
    const bool from_none = (plan->rows <= others) != test->negate;
    const uint32_t touched = om_min_u32(plan->rows, others);
    if (plan->rows == 0 || is_everything(column, plan->lo, plan->hi)) {
        if (test->negate == (plan->rows == 0)) {
            fill_known(e, column, out);
        } else {
            memset(out, 0, e->words * sizeof *out);
        }
    } else if (om_column_scans(column) &&
               om_scan_cost(e, column) < touched * OM_COST_ROW + OM_COST_BITMAP) {
        (void)scan_range(e, column, plan->lo, plan->hi, test->negate, OM_SCAN_SET, out);
        if (test->negate && column->present != NULL) {
            for (uint32_t w = 0; w < e->words; w++) {
                out[w] &= column->present[w];
            }
        }
    } else {
        /* The rows that match, or the others, set in an empty bitmap or cleared in that of all known ones. */
        if (from_none) {
            memset(out, 0, e->words * sizeof *out);
        } else {
            fill_known(e, column, out);
        }
        if (plan->rows <= others) {
            om_bits_touch(out, from_none, column, plan->lo, plan->hi);
        } else {
            om_bits_touch(out, from_none, column, 0, plan->lo);
            om_bits_touch(out, from_none, column, plan->hi, column->distinct);
        }
    }
    return plan->most; /* which is exact here */
}

/* ---- Sets of codes ------------------------------------------------------------------------------ */
/* The codes that a set has in the block, from the plan or looked up again. */
static const uint32_t *codes_of(const om_evaluation *e, const om_test *test)
{
    if (test->list_at != OM_LIST_SHARED) {
        return e->listed + test->list_at;
    }
    uint32_t *list = e->listed + e->predicate->listed;
    om_plan again;
    om_test_find(test, e->block, list, &again);
    return list;
}

/* The end of the run of neighbouring codes that begins at list[at]. */
static uint32_t run_end(const uint32_t *list, uint32_t count, uint32_t at)
{
    uint32_t end = at + 1;
    while (end < count && list[end] == list[end - 1] + 1) {
        end++;
    }
    return end;
}

static uint32_t count_runs(const uint32_t *list, uint32_t count)
{
    uint32_t runs = 0;
    for (uint32_t at = 0; at < count && runs <= MAX_SCANS; at = run_end(list, count, at)) {
        runs++;
    }
    return runs;
}

/* Sets or clears the rows of the listed codes, or those of all others. */
static void touch_list(uint64_t *bits, bool set, const om_plan *plan, const uint32_t *list,
                       bool others)
{
    uint32_t from = 0;
    for (uint32_t at = 0, end; at < plan->codes; at = end) {
        end = run_end(list, plan->codes, at);
        if (others) {
            om_bits_touch(bits, set, plan->column, from, list[at]);
            from = list[end - 1] + 1;
        } else {
            om_bits_touch(bits, set, plan->column, list[at], list[end - 1] + 1);
        }
    }
    if (others) {
        om_bits_touch(bits, set, plan->column, from, plan->column->distinct);
    }
}

/* Rows of a list of codes, of a column that is no array. */
static uint32_t list_bits(const om_evaluation *e, const om_test *test, const om_plan *plan,
                          uint64_t *out)
{
    const om_metacolumn *column = plan->column;
    const uint32_t *list = codes_of(e, test);
    const bool minority = plan->rows <= column->count - plan->rows;
    const uint32_t touched = om_min_u32(plan->rows, column->count - plan->rows);
    const uint32_t runs = om_column_scans(column) ? count_runs(list, plan->codes) : MAX_SCANS + 1;
    if (runs != 0 && runs <= MAX_SCANS &&
        !is_everything(column, list[0], list[plan->codes - 1] + 1) &&
        runs * om_scan_cost(e, column) < touched * OM_COST_ROW + OM_COST_BITMAP) {
        uint32_t kind = OM_SCAN_SET;
        for (uint32_t at = 0, end; at < plan->codes; at = end) {
            end = run_end(list, plan->codes, at);
            (void)scan_range(e, column, list[at], list[end - 1] + 1, false, kind, out);
            kind = OM_SCAN_OR;
        }
        if (test->negate) {
            for (uint32_t w = 0; w < e->words; w++) {
                out[w] = ~out[w] & (column->present != NULL ? column->present[w] : UINT64_MAX);
            }
            if (e->rows % 64 != 0) {
                out[e->words - 1] &= (UINT64_C(1) << e->rows % 64) - 1;
            }
        }
    } else {
        const bool from_none = minority != test->negate;
        if (from_none) {
            memset(out, 0, e->words * sizeof *out);
        } else {
            fill_known(e, column, out);
        }
        touch_list(out, from_none, plan, list, !minority);
    }
    return plan->most;
}

/* ---- Arrays ------------------------------------------------------------------------------------- */
static void finish_negated(const om_evaluation *e, const om_plan *plan, uint64_t *out,
                           uint64_t *spare)
{
    memcpy(spare, out, e->words * sizeof *out);
    fill_known(e, plan->column, out);
    remove_bits(e, out, spare);
}

static void any_bits(const om_evaluation *e, const om_test *test, const om_plan *plan,
                     uint64_t *out)
{
    memset(out, 0, e->words * sizeof *out);
    if (test->kind == OM_TEST_RANGE) {
        om_bits_touch(out, true, plan->column, plan->lo, plan->hi);
    } else {
        touch_list(out, true, plan, codes_of(e, test), false);
    }
}

/* Codes list[at ..) of one value: two of 0.0 and -0.0. */
static uint32_t value_end(const om_metacolumn *column, const uint32_t *list, uint32_t count,
                          uint32_t at)
{
    return column->doubles != NULL && at + 1 < count &&
                   column->doubles[list[at]] == column->doubles[list[at + 1]]
               ? at + 2
               : at + 1;
}

static void all_bits(const om_evaluation *e, const om_test *test, const om_plan *plan,
                     uint64_t *out, uint64_t *spare)
{
    memset(out, 0, e->words * sizeof *out);
    if (plan->values < test->u.set.count) {
        return; /* an element that no row has */
    }
    const uint32_t *list = codes_of(e, test);
    for (uint32_t at = 0, end; at < plan->codes; at = end) {
        end = value_end(plan->column, list, plan->codes, at);
        uint64_t *bits = at == 0 ? out : spare;
        memset(bits, 0, e->words * sizeof *bits);
        for (uint32_t i = at; i < end; i++) {
            om_bits_touch(bits, true, plan->column, list[i], list[i] + 1);
        }
        if (at != 0) {
            om_bits_join(e, out, spare, OM_SCAN_AND);
            if (om_bits_count(e, out) == 0) {
                return;
            }
        }
    }
}

/* ---- Tests -------------------------------------------------------------------------------------- */
static uint32_t bits_of_null(const om_evaluation *e, const om_test *test, const om_plan *plan,
                             uint64_t *out, uint64_t *spare)
{
    if (test->kind == OM_TEST_EVERY) {
        fill_known(e, plan->column, out);
    } else {
        om_bits_all(e, out);
        if (plan->column != NULL) {
            fill_known(e, plan->column, spare);
            remove_bits(e, out, spare);
        }
    }
    return plan->most;
}

uint32_t om_test_bits(const om_evaluation *e, const om_node *node, uint64_t *out, om_level *spare)
{
    const om_test *test = &node->test;
    const om_plan *plan = &e->plans[node->index];
    const bool array = (test->type & OMEN_TYPE_ARRAY) != 0;
    if (test->kind == OM_TEST_NULL || test->kind == OM_TEST_EVERY) {
        return bits_of_null(e, test, plan, out, spare->words);
    }
    if (plan->most == 0 || plan->column == NULL) {
        memset(out, 0, e->words * sizeof *out);
        return 0;
    }
    if (test->kind == OM_TEST_RANGE && !array) {
        return range_bits(e, test, plan, out);
    }
    if (test->kind == OM_TEST_SET && !array) {
        return list_bits(e, test, plan, out);
    }
    if (test->kind == OM_TEST_GEO) {
        memset(out, 0, e->words * sizeof *out);
        om_near_bits(&test->u.circle, plan, out);
    } else if (test->kind == OM_TEST_ALL) {
        all_bits(e, test, plan, out, spare->words);
    } else {
        any_bits(e, test, plan, out);
    }
    if (test->negate) {
        finish_negated(e, plan, out, spare->words);
    }
    return om_bits_count(e, out);
}

uint32_t om_test_join(const om_evaluation *e, const om_node *node, uint32_t kind, uint64_t *out,
                      om_level *spare)
{
    const om_test *test = &node->test;
    const om_plan *plan = &e->plans[node->index];
    const om_metacolumn *column = plan->column;
    if (test->kind == OM_TEST_RANGE && column != NULL && om_column_scans(column) &&
        plan->rows != 0 && !is_everything(column, plan->lo, plan->hi) &&
        (!test->negate || column->present == NULL || kind == OM_SCAN_AND) &&
        om_scan_cost(e, column) <
            om_min_u32(plan->rows, column->count - plan->rows) * OM_COST_ROW + 2 * OM_COST_BITMAP) {
        uint32_t count = scan_range(e, column, plan->lo, plan->hi, test->negate, kind, out);
        if (test->negate && column->present != NULL) {
            for (uint32_t w = 0; w < e->words; w++) {
                out[w] &= column->present[w];
            }
            count = om_bits_count(e, out);
        }
        return count;
    }
    if (kind == OM_SCAN_OR && !test->negate && test->kind == OM_TEST_RANGE && column != NULL) {
        om_bits_touch(out, true, column, plan->lo, plan->hi);
        return om_bits_count(e, out);
    }
    (void)om_test_bits(e, node, spare->words, spare + 1);
    om_bits_join(e, out, spare->words, kind);
    return om_bits_count(e, out);
}
