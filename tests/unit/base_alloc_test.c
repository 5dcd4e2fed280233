/* base_alloc_test.c - budgets, blocks and arenas. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

/* An allocator that counts, checks sizes at the free, and fails on request. */
typedef struct counting {
    size_t blocks, bytes, calls, fail_at;
} counting;

static void *counting_alloc(void *ctx, size_t size, size_t align)
{
    counting *self = ctx;
    if (++self->calls == self->fail_at) {
        return NULL;
    }
    void *block = NULL;
    if (posix_memalign(&block, align < sizeof(void *) ? sizeof(void *) : align, size) != 0) {
        return NULL;
    }
    self->blocks++;
    self->bytes += size;
    return block;
}

static void counting_free(void *ctx, void *block, size_t size, size_t align)
{
    counting *self = ctx;
    (void)align;
    self->blocks--;
    self->bytes -= size;
    free(block);
}

static om_alloc counting_make(counting *state, om_budget *budget)
{
    memset(state, 0, sizeof *state);
    om_alloc alloc = {.fns = {counting_alloc, counting_free, state}, .budget = budget};
    return alloc;
}

static void budget_stops_at_the_limit(void **state)
{
    (void)state;
    om_budget budget = {.limit = 100};
    assert_true(om_budget_take(&budget, 60));
    assert_true(om_budget_take(&budget, 40));
    assert_false(om_budget_take(&budget, 1));
    assert_int_equal(budget.used, 100);
    assert_int_equal(budget.rejections, 1);
    assert_false(om_budget_take(&budget, UINT64_MAX));
    assert_int_equal(budget.used, 100);
    om_budget_give(&budget, 1);
    assert_true(om_budget_take(&budget, 1));
    assert_false(om_budget_take(&budget, 1));
}

static void budget_without_limit_still_refuses_overflow(void **state)
{
    (void)state;
    om_budget budget = {0};
    assert_true(om_budget_take(&budget, UINT64_MAX - 1));
    assert_true(om_budget_take(&budget, 1));
    assert_false(om_budget_take(&budget, 1));
    assert_int_equal(budget.used, UINT64_MAX);
}

enum { BUDGET_THREADS = 4, BUDGET_ROUNDS = 20000, BUDGET_LIMIT = 10 };

static void *take_and_give(void *arg)
{
    om_budget *budget = arg;
    for (int i = 0; i < BUDGET_ROUNDS; i++) {
        if (om_budget_take(budget, 7)) {
            if (budget->used > BUDGET_LIMIT) {
                return budget;
            }
            om_budget_give(budget, 7);
        }
    }
    return NULL;
}

static void budget_holds_between_threads(void **state)
{
    (void)state;
    om_budget budget = {.limit = BUDGET_LIMIT};
    pthread_t threads[BUDGET_THREADS];
    for (int i = 0; i < BUDGET_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
    }
    for (int i = 0; i < BUDGET_THREADS; i++) {
        void *over = NULL;
        assert_int_equal(pthread_join(threads[i], &over), 0);
        assert_null(over);
    }
    assert_int_equal(budget.used, 0);
}

static void blocks_are_aligned_and_counted(void **state)
{
    (void)state;
    om_budget budget = {.limit = 1 << 20};
    om_alloc alloc = {.budget = &budget};
    for (size_t align = 1; align <= 4096; align *= 2) {
        unsigned char *block = om_alloc_get(&alloc, 1000, align);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % align, 0);
        assert_int_equal(budget.used, 1000);
        memset(block, 0xAB, 1000);
        om_alloc_put(&alloc, block, 1000, align);
        assert_int_equal(budget.used, 0);
    }
    om_alloc_put(&alloc, NULL, 1000, 8);
    assert_int_equal(budget.used, 0);
}

static void empty_blocks_have_an_address(void **state)
{
    (void)state;
    om_budget budget = {0};
    om_alloc alloc = {.budget = &budget};
    void *a = om_alloc_get(&alloc, 0, 8);
    void *b = om_alloc_get(&alloc, 0, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    om_alloc_put(&alloc, a, 0, 8);
    om_alloc_put(&alloc, b, 0, 8);
    assert_int_equal(budget.used, 0);
}

static void zeroed_blocks_and_overflow(void **state)
{
    (void)state;
    om_alloc alloc = {0};
    unsigned char *block = om_alloc_zero(&alloc, 33, 7, 64);
    assert_non_null(block);
    for (size_t i = 0; i < 33u * 7u; i++) {
        assert_int_equal(block[i], 0);
    }
    om_alloc_put(&alloc, block, 33u * 7u, 64);
    assert_null(om_alloc_zero(&alloc, SIZE_MAX / 2, 3, 8));
    assert_null(om_alloc_get(&alloc, SIZE_MAX, 8));
    assert_null(om_alloc_get(&alloc, (size_t)PTRDIFF_MAX, 64));
}

static void growth_keeps_content_and_survives_failure(void **state)
{
    (void)state;
    counting counter;
    om_budget budget = {.limit = 4096};
    om_alloc alloc = counting_make(&counter, &budget);
    char *block = om_alloc_grow(&alloc, NULL, 0, 8, 8);
    assert_non_null(block);
    memcpy(block, "abcdefg", 8);
    block = om_alloc_grow(&alloc, block, 8, 1000, 8);
    assert_non_null(block);
    assert_string_equal(block, "abcdefg");
    assert_int_equal(counter.bytes, 1000);
    assert_int_equal(budget.used, 1000);

    assert_null(om_alloc_grow(&alloc, block, 1000, 5000, 8)); /* over the budget */
    counter.fail_at = counter.calls + 1;
    assert_null(om_alloc_grow(&alloc, block, 1000, 2000, 8)); /* the allocator fails */
    assert_string_equal(block, "abcdefg");
    assert_int_equal(budget.used, 1000);

    block = om_alloc_grow(&alloc, block, 1000, 3, 8);
    assert_non_null(block);
    assert_memory_equal(block, "abc", 3);
    om_alloc_put(&alloc, block, 3, 8);
    assert_int_equal(counter.blocks, 0);
    assert_int_equal(budget.used, 0);
}

static void arena_blocks_do_not_overlap(void **state)
{
    (void)state;
    enum { BLOCKS = 500 };
    counting counter;
    om_budget budget = {0};
    om_alloc alloc = counting_make(&counter, &budget);
    om_arena arena;
    om_arena_init(&arena, &alloc, 4096);
    unsigned char *blocks[BLOCKS];
    size_t sizes[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t align = (size_t)1 << (i % 8);
        sizes[i] = i % 50 == 49 ? 10000 + i : (i * 37) % 300;
        blocks[i] = om_arena_get(&arena, sizes[i], align);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % align, 0);
        memset(blocks[i], (int)(i & 0xFF), sizes[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(blocks[i][j], i & 0xFF);
        }
    }
    assert_true(counter.blocks < BLOCKS / 5); /* small ones share chunks */
    om_arena_free(&arena);
    assert_int_equal(counter.blocks, 0);
    assert_int_equal(counter.bytes, 0);
    assert_int_equal(budget.used, 0);
    om_arena_free(&arena); /* harmless again */
}

static void arena_reports_failure_and_goes_on(void **state)
{
    (void)state;
    counting counter;
    om_budget budget = {.limit = 20000};
    om_alloc alloc = counting_make(&counter, &budget);
    om_arena arena;
    om_arena_init(&arena, &alloc, 4096);
    assert_null(om_arena_get(&arena, SIZE_MAX - 8, 8));
    assert_null(om_arena_get(&arena, 30000, 8));
    assert_non_null(om_arena_get(&arena, 100, 8));
    assert_null(om_arena_get(&arena, 30000, 8));
    assert_non_null(om_arena_get(&arena, 10000, 8));
    om_arena_free(&arena);
    assert_int_equal(counter.blocks, 0);
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_stops_at_the_limit),
        cmocka_unit_test(budget_without_limit_still_refuses_overflow),
        cmocka_unit_test(budget_holds_between_threads),
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(empty_blocks_have_an_address),
        cmocka_unit_test(zeroed_blocks_and_overflow),
        cmocka_unit_test(growth_keeps_content_and_survives_failure),
        cmocka_unit_test(arena_blocks_do_not_overlap),
        cmocka_unit_test(arena_reports_failure_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
