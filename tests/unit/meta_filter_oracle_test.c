/* meta_filter_oracle_test.c - random conditions over random rows, against SQLite: blocks and single rows.
 * SPDX-License-Identifier: Apache-2.0
 *
 *   meta_filter_oracle_test [SEED [ROUNDS]] */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta_filter_expression.h"
#include "meta_filter_fixture.h"
#include "rng.h"

enum { MOST_ROWS = 20000, EXPRESSIONS = 60, PAIRS_WANTED = 100000 };
static uint64_t first_seed = 1;
static uint32_t rounds = 24;

/* Compares one condition over all rows; returns 0 or 1. */
static int compare(oracle *o, const expression *x, const test_block *block, uint64_t seed)
{
    static uint64_t words[OM_BLOCK_WORDS];
    const om_predicate_text text = {x->text, strlen(x->text), x->params, x->param_count};
    om_predicate *predicate = NULL;
    omen_error err;
    int failed = 0;
    if (om_predicate_compile(&test_alloc, o->schema, &text, &predicate, &err) != OMEN_OK) {
        fprintf(stderr, "seed %llu: %s\n%s\n", (unsigned long long)seed, err.message, x->text);
        return 1;
    }
    if (filter_rows(predicate, block, o->rows, words) == UINT32_MAX) {
        failed = 1;
    }
    const uint8_t *wanted = oracle_ask(o, x);
    for (uint32_t i = 0; i < o->count && failed == 0; i++) {
        const bool got = (words[i / 64] >> i % 64 & 1) != 0;
        if (got != (wanted[i] != 0)) {
            fprintf(stderr, "row %u: SQLite says %u\n", i, wanted[i]);
            failed = 1;
        }
    }
    if (failed != 0) {
        fprintf(stderr, "seed %llu fails: %s\nas SQL: %s\n", (unsigned long long)seed, x->text,
                x->sql);
    }
    om_predicate_free(predicate);
    return failed;
}

static void test_against_sqlite(void **state)
{
    static const uint32_t sizes[] = {1, 63, 64, 65, 300, 700, 1500, 4096};
    uint64_t pairs = 0;
    (void)state;
    printf("seeds %llu to %llu\n", (unsigned long long)first_seed,
           (unsigned long long)(first_seed + rounds - 1));
    for (uint32_t round = 0; round < rounds; round++) {
        const uint64_t seed = first_seed + round;
        oracle o;
        /* One large block: the ways of evaluating differ by size. */
        const bool large = round == 0;
        oracle_make(&o, seed, large ? MOST_ROWS : sizes[seed % 8]);
        test_block block = block_of(o.schema, o.rows, o.count);
        for (uint32_t i = 0; i < (large ? 12u : EXPRESSIONS); i++) {
            expression *x = expression_make(&o);
            assert_int_equal(compare(&o, x, &block, seed), 0);
            pairs += o.count;
            expression_free(x);
        }
        block_drop(&block);
        oracle_free(&o);
    }
    printf("%llu pairs of condition and row\n", (unsigned long long)pairs);
    assert_true(pairs >= PAIRS_WANTED || rounds < 24);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_sqlite)};
    if (argc > 1) {
        first_seed = strtoull(argv[1], NULL, 0);
    }
    if (argc > 2) {
        rounds = (uint32_t)strtoul(argv[2], NULL, 0);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
