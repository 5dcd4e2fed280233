/* filter_eval.c - conditions over a block: what each test selects is found first, in the dictionaries; then
 * groups are worked off from the most selective part on. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "filter_int.h"

/* ---- What the parts select ---------------------------------------------------------------------- */
/* Bounds on the rows that pass each node. A part that decides a group spares looking at the rest of it. */
static void find(const om_evaluation *e, const om_node *node)
{
    om_plan *plan = &e->plans[node->index];
    if (node->kind == OM_NODE_TEST) {
        const om_test *test = &node->test;
        const bool listed = (test->kind == OM_TEST_SET || test->kind == OM_TEST_ALL) &&
                            test->list_at != OM_LIST_SHARED;
        om_test_find(test, e->block, listed ? e->listed + test->list_at : NULL, plan);
        return;
    }
    const bool and = node->kind == OM_NODE_AND;
    *plan = (om_plan){.least = and? e->rows : 0, .most = and? e->rows : 0};
    if (node->kind == OM_NODE_CONST) {
        plan->least = plan->most = node->pass ? e->rows : 0;
    }
    for (uint32_t i = 0; i < node->count; i++) {
        const om_plan *part = &e->plans[node->children[i]->index];
        find(e, node->children[i]);
        if (and) {
            const uint32_t missing = e->rows - part->least;
            plan->most = om_min_u32(plan->most, part->most);
            plan->least = plan->least > missing ? plan->least - missing : 0;
        } else {
            plan->most = om_min_u32(e->rows, plan->most + part->most);
            plan->least = om_max_u32(plan->least, part->least);
        }
        if (and? plan->most == 0 : plan->least == e->rows) {
            plan->least = plan->most = and? 0 : e->rows;
            return;
        }
    }
}

/* ---- Groups ------------------------------------------------------------------------------------- */
static uint32_t evaluate(const om_evaluation *e, const om_node *node, uint64_t *out,
                         om_level *spare);

/* The children of a group in ascending order of the rows they let through. */
static const uint32_t *sort_children(const om_evaluation *e, const om_node *node)
{
    enum { SORTED = 64 };
    uint32_t *order = e->order + node->order_at;
    for (uint32_t i = 0; i < node->count; i++) {
        const uint32_t most = e->plans[node->children[i]->index].most;
        uint32_t at = i < SORTED ? i : SORTED - 1;
        order[i] = order[at]; /* in long groups the first ones are sorted */
        while (at > 0 && e->plans[node->children[order[at - 1]]->index].most > most) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    return order;
}

/* What the rows of a node cost as a bitmap. */
static uint64_t cost_of(const om_evaluation *e, const om_node *node)
{
    enum { COST_NEAR = 60 };
    const om_plan *plan = &e->plans[node->index];
    uint64_t cost = OM_COST_BITMAP;
    if (plan->most == 0 || plan->least == e->rows) {
        return 0;
    }
    if (node->kind != OM_NODE_TEST) {
        for (uint32_t i = 0; i < node->count; i++) {
            cost += cost_of(e, node->children[i]);
        }
        return cost;
    }
    if (plan->column == NULL || node->test.kind == OM_TEST_NULL ||
        node->test.kind == OM_TEST_EVERY) {
        return cost;
    }
    if (node->test.kind == OM_TEST_GEO) {
        return cost + (uint64_t)plan->rows * COST_NEAR;
    }
    if (om_column_scans(plan->column)) {
        const uint32_t rows = om_min_u32(plan->rows, plan->column->count - plan->rows);
        const uint64_t scan =
            node->test.kind == OM_TEST_RANGE ? om_scan_cost(e, plan->column) : UINT64_MAX;
        return cost + om_min_u64(scan, (uint64_t)rows * OM_COST_ROW);
    }
    return cost + (uint64_t)plan->rows * OM_COST_ROW;
}

/* Whether `count` rows are so few that testing them one by one for the next parts, which cost `rest` as
 * bitmaps, is less work. */
static bool worth_listing(uint32_t count, uint32_t parts, uint64_t rest)
{
    return count <= OM_FEW_ROWS &&
           OM_COST_BITMAP + (uint64_t)count * (parts * OM_COST_PROBE + OM_COST_ROW) < rest;
}

static uint64_t extract_cost(uint32_t count)
{
    return 2 * OM_COST_BITMAP + (uint64_t)count * OM_COST_EXTRACT;
}

/* One more part of an AND over a list of rows. */
static uint32_t narrow_few(const om_evaluation *e, const om_node *part, uint16_t *few,
                           uint32_t count, om_level *spare)
{
    if (om_few_can(e, part, count)) {
        return om_few_keep(e, part, few, count);
    }
    (void)evaluate(e, part, spare->words, spare + 1);
    return om_few_keep_bits(spare->words, few, count);
}

/* One more part of an AND over a bitmap. */
static uint32_t narrow_bits(const om_evaluation *e, const om_node *part, uint64_t *out,
                            om_level *spare)
{
    if (part->kind == OM_NODE_TEST) {
        return om_test_join(e, part, OM_SCAN_AND, out, spare);
    }
    (void)evaluate(e, part, spare->words, spare + 1);
    om_bits_join(e, out, spare->words, OM_SCAN_AND);
    return om_bits_count(e, out);
}

static uint32_t evaluate_and(const om_evaluation *e, const om_node *node, uint64_t *out,
                             om_level *spare)
{
    const uint32_t *order = sort_children(e, node);
    const om_node *first = node->children[order[0]];
    uint16_t *few = spare->few;
    uint32_t parts = node->count - 1;
    uint32_t count = UINT32_MAX;
    uint64_t rest = 0;
    for (uint32_t i = 1; i < node->count; i++) {
        rest += cost_of(e, node->children[order[i]]);
    }
    if (worth_listing(e->plans[first->index].most, parts, rest + cost_of(e, first))) {
        count = om_few_take(e, first, few);
    }
    bool listed = count != UINT32_MAX;
    if (!listed) {
        count = evaluate(e, first, out, spare);
    }
    for (uint32_t i = 1; i < node->count && count != 0; i++, parts--) {
        const om_node *part = node->children[order[i]];
        if (e->plans[part->index].least == e->rows) {
            continue;
        }
        if (!listed && worth_listing(count, parts,
                                     rest > extract_cost(count) ? rest - extract_cost(count) : 0)) {
            count = om_few_extract(e, out, few);
            listed = true;
        }
        rest -= cost_of(e, part);
        count = listed ? narrow_few(e, part, few, count, spare) : narrow_bits(e, part, out, spare);
    }
    if (listed) {
        memset(out, 0, e->words * sizeof *out);
        om_bits_set(out, few, count);
    }
    return count;
}

static uint32_t evaluate_or(const om_evaluation *e, const om_node *node, uint64_t *out,
                            om_level *spare)
{
    uint32_t count = 0;
    bool begun = false;
    for (uint32_t i = 0; i < node->count && count < e->rows; i++) {
        const om_node *part = node->children[i];
        if (e->plans[part->index].most == 0) {
            continue;
        }
        if (!begun) {
            count = evaluate(e, part, out, spare);
            begun = true;
        } else if (part->kind == OM_NODE_TEST) {
            count = om_test_join(e, part, OM_SCAN_OR, out, spare);
        } else {
            (void)evaluate(e, part, spare->words, spare + 1);
            om_bits_join(e, out, spare->words, OM_SCAN_OR);
            count = om_bits_count(e, out);
        }
    }
    return count;
}

/* The rows that pass a node, as bits of out, and their number. */
static uint32_t evaluate(const om_evaluation *e, const om_node *node, uint64_t *out,
                         om_level *spare)
{
    const om_plan *plan = &e->plans[node->index];
    if (plan->most == 0) {
        memset(out, 0, e->words * sizeof *out);
        return 0;
    }
    if (plan->least == e->rows) {
        om_bits_all(e, out);
        return e->rows;
    }
    if (node->kind == OM_NODE_TEST) {
        return om_test_bits(e, node, out, spare);
    }
    return node->kind == OM_NODE_AND ? evaluate_and(e, node, out, spare)
                                     : evaluate_or(e, node, out, spare);
}

/* ---- Blocks ------------------------------------------------------------------------------------- */
/* The parts of the scratch: where each begins, and the size of all. */
typedef struct scratch_layout {
    size_t order, listed, levels, size;
} scratch_layout;

static scratch_layout lay_scratch(const om_predicate *predicate)
{
    scratch_layout at;
    at.order = predicate->nodes * sizeof(om_plan);
    at.listed = at.order + predicate->places * sizeof(uint32_t);
    const size_t codes = (size_t)predicate->listed + predicate->shared;
    at.levels = om_round_up(at.listed + codes * sizeof(uint32_t), OM_CACHE_LINE);
    at.size = at.levels + predicate->levels * sizeof(om_level);
    return at;
}

size_t om_predicate_scratch(const om_predicate *predicate)
{
    return lay_scratch(predicate).size;
}

uint32_t om_predicate_block(const om_predicate *predicate, const om_metablock *block,
                            uint64_t *words, void *scratch)
{
    const scratch_layout at = lay_scratch(predicate);
    uint8_t *base = scratch;
    const uint32_t rows = om_metablock_rows(block);
    const om_evaluation e = {.predicate = predicate,
                             .block = block,
                             .kernels = om_kernels_get(),
                             .rows = rows,
                             .words = (rows + 63) / 64,
                             .plans = (om_plan *)(void *)base,
                             .order = (uint32_t *)(void *)(base + at.order),
                             .listed = (uint32_t *)(void *)(base + at.listed),
                             .levels = (om_level *)(void *)(base + at.levels)};
    find(&e, predicate->root);
    memset(words + e.words, 0, (OM_BLOCK_WORDS - e.words) * sizeof *words);
    return evaluate(&e, predicate->root, words, e.levels);
}

/* ---- Guesses ------------------------------------------------------------------------------------ */
/* The share of the rows that pass a test. */
static double test_share(const om_test *test, const om_metablock *block)
{
    const double rows = om_metablock_rows(block);
    om_plan plan;
    om_test_find(test, block, NULL, &plan);
    if (plan.least == plan.most || plan.column == NULL) {
        return plan.most / rows;
    }
    const double known = plan.column->count;
    double match = test->negate ? known - plan.least : plan.most;
    if (test->kind == OM_TEST_GEO) {
        match = om_near_guess(&test->u.circle, &plan);
    } else if ((test->type & OMEN_TYPE_ARRAY) != 0 && test->kind != OM_TEST_ALL) {
        match = known *
                (1 - exp(-(double)plan.rows / known)); /* some rows have several of the values */
    } else if (test->kind == OM_TEST_ALL) {
        match *= pow(match / known, test->u.set.count - 1.0);
    }
    return (test->negate ? known - match : match) / rows;
}

static double share(const om_node *node, const om_metablock *block)
{
    double all = 1;
    if (node->kind == OM_NODE_CONST) {
        return node->pass ? 1 : 0;
    }
    if (node->kind == OM_NODE_TEST) {
        return test_share(&node->test, block);
    }
    for (uint32_t i = 0; i < node->count; i++) {
        const double part = share(node->children[i], block);
        all *= node->kind == OM_NODE_AND ? part : 1 - part;
    }
    return node->kind == OM_NODE_AND ? all : 1 - all;
}

double om_predicate_estimate(const om_predicate *predicate, const om_metablock *block)
{
    return om_metablock_rows(block) == 0 ? 0
                                         : share(predicate->root, block) * om_metablock_rows(block);
}
