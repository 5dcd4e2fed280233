/* ds_idtable_test.c - the table of byte ids against a plain array of (id, key).
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "idtable.h"
#include "rng.h"

static const om_alloc libc_alloc;

enum { IDS = 4000, OPS = 200000 };

/* The n-th id: lengths from 1 to 512 bytes, zero bytes inside, long common beginnings and endings.
 */
static size_t nth_id(uint32_t n, uint8_t *out)
{
    static const uint32_t lengths[] = {4, 16, 30, 5, 64, 240, 241, 511, 512, 33};
    size_t length = lengths[n % 10];
    memset(out, n % 3 == 0 ? 0 : 'x', length);
    memcpy(n % 2 == 0 ? out : out + length - 4, &n, 4);
    return length;
}

static uint64_t add(om_idtable *table, const void *id, size_t length, bool expect_added)
{
    bool added = !expect_added;
    assert_int_equal(om_idtable_reserve(table, 1, length, NULL), OMEN_OK);
    uint64_t key = om_idtable_add(table, id, length, &added);
    assert_int_equal(added, expect_added);
    return key;
}

static void check_all(const om_idtable *table, const uint64_t *model)
{
    uint8_t id[OMEN_MAX_STRING_ID];
    uint64_t count = 0;
    for (uint32_t n = 0; n < IDS; n++) {
        size_t length = nth_id(n, id);
        if (model[n] == 0) {
            assert_int_equal(om_idtable_find(table, id, length), OMEN_NONE);
            continue;
        }
        assert_int_equal(om_idtable_find(table, id, length), model[n]);
        size_t stored_length = 0;
        const void *stored = om_idtable_id(table, model[n], &stored_length);
        assert_non_null(stored);
        assert_int_equal(stored_length, length);
        assert_memory_equal(stored, id, length);
        count++;
    }
    assert_int_equal(om_idtable_count(table), count);
}

static void run_ops(uint64_t seed, uint32_t add_percent)
{
    om_idtable *table = NULL;
    assert_int_equal(om_idtable_create(&libc_alloc, &table, NULL), OMEN_OK);
    uint64_t *model = calloc(IDS, sizeof *model);
    assert_non_null(model);
    uint8_t id[OMEN_MAX_STRING_ID];
    uint64_t next = 1;
    uint64_t state = seed;
    for (uint32_t op = 0; op < OPS; op++) {
        uint32_t n = om_rng_below(&state, IDS);
        size_t length = nth_id(n, id);
        uint32_t dice = om_rng_below(&state, 100);
        if (dice < add_percent) {
            uint64_t key = add(table, id, length, model[n] == 0);
            assert_int_equal(key, model[n] == 0 ? next : model[n]);
            next += model[n] == 0;
            model[n] = key;
        } else if (dice < 90) {
            uint64_t key = model[n] == 0 ? 1 + om_rng_below(&state, (uint32_t)next) : model[n];
            bool lives = model[n] != 0;
            size_t ignored = 0;
            if (lives || om_idtable_id(table, key, &ignored) == NULL) {
                om_idtable_remove(table, key);
                assert_null(om_idtable_id(table, key, &ignored));
                model[n] = 0;
            }
        } else {
            uint64_t expected = model[n] == 0 ? OMEN_NONE : model[n];
            assert_int_equal(om_idtable_find(table, id, length), expected);
        }
        assert_int_equal(om_idtable_next_key(table), next);
        if (op % (OPS / 5) == 0) {
            check_all(table, model);
        }
    }
    check_all(table, model);
    for (uint32_t n = 0; n < IDS; n++) {
        om_idtable_remove(table, model[n]);
    }
    assert_int_equal(om_idtable_count(table), 0);
    om_idtable_free(table);
    free(model);
}

static void test_random_operations(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_ops(seed, 30);
        run_ops(seed, 50);
        run_ops(seed, 70);
    }
}

static void test_edges(void **unused)
{
    (void)unused;
    om_idtable_free(NULL);
    om_idtable *table = NULL;
    assert_int_equal(om_idtable_create(&libc_alloc, &table, NULL), OMEN_OK);
    size_t length = 0;
    assert_int_equal(om_idtable_next_key(table), 1);
    assert_int_equal(om_idtable_find(table, "a", 1), OMEN_NONE);
    assert_null(om_idtable_id(table, 0, &length));
    assert_null(om_idtable_id(table, 1, &length));
    assert_null(om_idtable_id(table, OMEN_NONE, &length));
    om_idtable_remove(table, 1);

    /* Ids that differ in a trailing or embedded zero byte only. */
    assert_int_equal(add(table, "a", 1, true), 1);
    assert_int_equal(add(table, "a\0", 2, true), 2);
    assert_int_equal(add(table, "a\0\0", 3, true), 3);
    assert_int_equal(add(table, "a\0b", 3, true), 4);
    assert_int_equal(add(table, "\0", 1, true), 5);
    assert_int_equal(add(table, "a\0b", 3, false), 4);
    assert_int_equal(om_idtable_find(table, "a", 1), 1);
    assert_int_equal(om_idtable_find(table, "", 0), OMEN_NONE);
    assert_null(om_idtable_id(table, 6, &length));
    assert_null(om_idtable_id(table, OMEN_NONE, &length));

    /* A removed id comes back with a new key. */
    om_idtable_remove(table, 2);
    om_idtable_remove(table, 2);
    assert_int_equal(om_idtable_find(table, "a\0", 2), OMEN_NONE);
    assert_int_equal(add(table, "a\0", 2, true), 6);
    assert_int_equal(om_idtable_count(table), 5);
    om_idtable_free(table);
}

/* Adds exactly what was reserved, with lengths that leave as much as possible of each page unused.
 */
static void test_reserve_suffices(void **unused)
{
    (void)unused;
    uint8_t id[OMEN_MAX_STRING_ID];
    for (uint32_t trial = 0; trial < 60; trial++) {
        om_idtable *table = NULL;
        assert_int_equal(om_idtable_create(&libc_alloc, &table, NULL), OMEN_OK);
        uint64_t state = trial;
        uint32_t n = 0;
        for (uint32_t batch = 0; batch < 8; batch++) {
            uint32_t ids = 1 + om_rng_below(&state, trial < 30 ? 4 : 700);
            uint32_t lengths[700];
            uint64_t bytes = 0;
            for (uint32_t i = 0; i < ids; i++) {
                lengths[i] = trial % 3 == 0   ? OMEN_MAX_STRING_ID
                             : trial % 3 == 1 ? 4 + om_rng_below(&state, OMEN_MAX_STRING_ID - 3)
                                              : 4;
                bytes += lengths[i];
            }
            assert_int_equal(om_idtable_reserve(table, ids, bytes, NULL), OMEN_OK);
            size_t before = om_idtable_bytes(table);
            for (uint32_t i = 0; i < ids; i++, n++) {
                memset(id, 0, sizeof id);
                memcpy(id, &n, sizeof n);
                bool added = false;
                assert_int_equal(om_idtable_add(table, id, lengths[i], &added), n + 1);
                assert_true(added);
            }
            assert_int_equal(om_idtable_bytes(table), before);
        }
        om_idtable_free(table);
    }
}

/* As much as possible is wasted in every page: 62 ids of 512 bytes and one of 385 leave 513 bytes, and
 * another long one takes 514. Lengths of other ids than these do not come closer. */
static void test_reserve_of_wasted_pages(void **unused)
{
    (void)unused;
    enum { PAGES = 200, A_PAGE = 63 };
    uint8_t id[OMEN_MAX_STRING_ID] = {0};
    om_idtable *table = NULL;
    assert_int_equal(om_idtable_create(&libc_alloc, &table, NULL), OMEN_OK);
    assert_int_equal(om_idtable_reserve(table, PAGES * A_PAGE, PAGES * (62 * 512 + 385), NULL),
                     OMEN_OK);
    size_t before = om_idtable_bytes(table);
    for (uint32_t n = 0; n < PAGES * A_PAGE; n++) {
        bool added = false;
        memcpy(id, &n, sizeof n);
        size_t length = n % A_PAGE == A_PAGE - 1 ? 385 : 512;
        assert_int_equal(om_idtable_add(table, id, length, &added), n + 1);
    }
    assert_int_equal(om_idtable_bytes(table), before);
    for (uint32_t n = 0; n < PAGES * A_PAGE; n++) {
        size_t length = 0;
        const uint8_t *stored = om_idtable_id(table, n + 1, &length);
        assert_non_null(stored);
        assert_memory_equal(stored, &n, sizeof n);
        assert_int_equal(length, n % A_PAGE == A_PAGE - 1 ? 385 : 512);
    }
    om_idtable_free(table);
}

/* What was reserved stays reserved while ids are removed. */
static void test_removal_keeps_room(void **unused)
{
    (void)unused;
    enum { IDS_RESERVED = 30, LENGTH = 24 };
    om_idtable *table = NULL;
    char id[LENGTH + 1];
    assert_int_equal(om_idtable_create(&libc_alloc, &table, NULL), OMEN_OK);
    assert_int_equal(om_idtable_reserve(table, IDS_RESERVED, IDS_RESERVED * LENGTH, NULL), OMEN_OK);
    size_t before = om_idtable_bytes(table);
    for (uint64_t n = 1; n <= IDS_RESERVED; n++) {
        bool added = false;
        (void)snprintf(id, sizeof id, "%024llu", (unsigned long long)n);
        assert_int_equal(om_idtable_add(table, id, LENGTH, &added), n);
        assert_true(added);
        if (n % 8 != 0) {
            om_idtable_remove(table, n);
        }
        assert_int_equal(om_idtable_bytes(table), before);
    }
    assert_int_equal(om_idtable_count(table), IDS_RESERVED / 8);
    om_idtable_free(table);
}

/* Memory goes back while ids go, and a window of ids that moves on for ever stays of one size. */
static void test_memory_is_given_back(void **unused)
{
    (void)unused;
    om_budget budget = {0};
    const om_alloc alloc = {.budget = &budget};
    om_idtable *table = NULL;
    assert_int_equal(om_idtable_create(&alloc, &table, NULL), OMEN_OK);
    enum { WINDOW = 5000, LENGTH = 30 };
    size_t full = 0;
    for (uint64_t n = 1; n <= 20 * WINDOW; n++) {
        char id[LENGTH + 1];
        (void)snprintf(id, sizeof id, "item-%025llu", (unsigned long long)n);
        assert_int_equal(add(table, id, LENGTH, true), n);
        if (n > WINDOW) {
            om_idtable_remove(table, n - WINDOW);
        }
        if (n == 2 * WINDOW) {
            full = om_idtable_bytes(table);
        }
        assert_true(n <= 2 * WINDOW || om_idtable_bytes(table) <= full + full / 2);
    }
    assert_true(full < WINDOW * (LENGTH + 40));
    /* Three of four go: of every page but the open one, at most half of the bytes are dead
     * afterwards. */
    size_t before = om_idtable_bytes(table);
    for (uint64_t n = 19 * WINDOW + 1; n <= 20 * WINDOW; n++) {
        if (n % 4 != 0) {
            om_idtable_remove(table, n);
        }
    }
    assert_true(om_idtable_bytes(table) < before - WINDOW * LENGTH / 3);
    size_t length = 0;
    for (uint64_t n = 19 * WINDOW + 1; n <= 20 * WINDOW; n++) {
        const void *id = om_idtable_id(table, n, &length);
        assert_int_equal(id != NULL, n % 4 == 0);
        if (id != NULL) {
            assert_int_equal(om_idtable_find(table, id, length), n);
        }
    }
    assert_int_equal(atomic_load(&budget.used), om_idtable_bytes(table));
    om_idtable_free(table);
    assert_int_equal(atomic_load(&budget.used), 0);
}

/* Whatever allocation fails, the table stays whole; removals need no memory. */
static void test_no_memory(void **unused)
{
    (void)unused;
    uint8_t id[OMEN_MAX_STRING_ID];
    for (uint64_t limit = 0; limit < 60000; limit += 501) {
        om_budget budget = {.limit = limit + 1};
        const om_alloc alloc = {.budget = &budget};
        om_idtable *table = NULL;
        omen_error err = {0};
        if (om_idtable_create(&alloc, &table, &err) != OMEN_OK) {
            assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
            continue;
        }
        uint32_t n = 0;
        for (; n < 1000; n++) {
            size_t length = nth_id(n, id);
            if (om_idtable_reserve(table, 1, length, &err) != OMEN_OK) {
                assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
                break;
            }
            bool added = false;
            assert_int_equal(om_idtable_add(table, id, length, &added), n + 1);
        }
        for (uint32_t i = 0; i < n; i += 2) {
            om_idtable_remove(table, i + 1);
        }
        for (uint32_t i = 0; i < n; i++) {
            size_t length = nth_id(i, id);
            assert_int_equal(om_idtable_find(table, id, length), i % 2 == 0 ? OMEN_NONE : i + 1);
        }
        om_idtable_free(table);
        assert_int_equal(atomic_load(&budget.used), 0);
    }
}

static void test_limits(void **unused)
{
    (void)unused;
    om_idtable *table = NULL;
    omen_error err;
    assert_int_equal(om_idtable_create(&libc_alloc, &table, NULL), OMEN_OK);
    assert_int_equal(om_idtable_reserve(table, (uint64_t)OMEN_MAX_ROWS + 1, 1, &err),
                     OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(om_idtable_reserve(table, UINT64_MAX, 1, &err), OMEN_RESOURCE_EXHAUSTED);
    /* No id is longer than the limit, so no more bytes than that are reserved. */
    assert_int_equal(om_idtable_reserve(table, 2, UINT64_MAX, NULL), OMEN_OK);
    assert_true(om_idtable_bytes(table) < 4096);
    assert_int_equal(om_idtable_reserve(table, 0, 0, NULL), OMEN_OK);
    om_idtable_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_reserve_suffices),
        cmocka_unit_test(test_reserve_of_wasted_pages),
        cmocka_unit_test(test_removal_keeps_room),
        cmocka_unit_test(test_memory_is_given_back),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("ds_idtable", tests, NULL, NULL);
}
