/* ds_idmap_test.c - the key to slot map against a plain array of what it should hold.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "idmap.h"
#include "rng.h"

static const om_alloc libc_alloc;

/* ---- The model: for each of KEYS possible keys, the slot it is at. ---- */
enum { KEYS = 3000, OPS = 300000 };

/* Keys with the same low bits, neighbours, and both ends of the range. */
static uint64_t nth_key(uint32_t n)
{
    switch (n % 4) {
    case 0:
        return n / 4;
    case 1:
        return UINT64_MAX - 1 - n / 4;
    case 2:
        return (uint64_t)n << 32;
    default:
        return (uint64_t)n << 52 | 7;
    }
}

static void check_all(const om_idmap *map, const uint64_t *keys, const uint32_t *model)
{
    uint64_t used = 0;
    for (uint32_t n = 0; n < KEYS; n++) {
        assert_int_equal(om_idmap_get(map, keys, nth_key(n)), model[n]);
        used += model[n] != OM_IDMAP_ABSENT;
    }
    assert_int_equal(map->used, used);
}

static void run_ops(uint64_t seed, uint32_t put_percent)
{
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    uint64_t *keys = calloc(OPS + 1, sizeof *keys);
    uint32_t *model = malloc(KEYS * sizeof *model);
    assert_non_null(keys);
    assert_non_null(model);
    memset(model, 0xFF, KEYS * sizeof *model);
    uint32_t slots = 0;
    uint64_t state = seed;
    for (uint32_t op = 0; op < OPS; op++) {
        uint32_t n = om_rng_below(&state, KEYS);
        uint32_t dice = om_rng_below(&state, 100);
        om_idmap_prefetch(&map, nth_key(n));
        if (dice < put_percent) {
            assert_int_equal(om_idmap_reserve(&map, 1, keys, NULL), OMEN_OK);
            keys[slots] = nth_key(n);
            assert_int_equal(om_idmap_put(&map, keys, slots), model[n]);
            model[n] = slots++;
        } else if (dice < 90) {
            assert_int_equal(om_idmap_remove(&map, keys, nth_key(n)), model[n]);
            model[n] = OM_IDMAP_ABSENT;
        } else {
            assert_int_equal(om_idmap_get(&map, keys, nth_key(n)), model[n]);
        }
        if (op % (OPS / 10) == 0) {
            check_all(&map, keys, model);
        }
    }
    check_all(&map, keys, model);
    om_idmap_free(&map);
    free(model);
    free(keys);
}

static void test_random_operations(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_ops(seed, 40);
        run_ops(seed, 60);
        run_ops(seed, 80);
    }
}

static void test_empty(void **unused)
{
    (void)unused;
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    om_idmap_prefetch(&map, 5);
    assert_int_equal(om_idmap_get(&map, NULL, 0), OM_IDMAP_ABSENT);
    assert_int_equal(om_idmap_remove(&map, NULL, 0), OM_IDMAP_ABSENT);
    assert_int_equal(om_idmap_bytes(&map), 0);
    assert_int_equal(om_idmap_reserve(&map, 0, NULL, NULL), OMEN_OK);
    assert_int_equal(om_idmap_get(&map, NULL, UINT64_MAX - 1), OM_IDMAP_ABSENT);
    om_idmap_free(&map);
    om_idmap_free(&map);
    assert_int_equal(om_idmap_get(&map, NULL, 0), OM_IDMAP_ABSENT);
}

static void test_one_key(void **unused)
{
    (void)unused;
    const uint64_t edge[] = {0, 1, UINT32_MAX, UINT64_MAX - 1};
    for (size_t i = 0; i < sizeof edge / sizeof edge[0]; i++) {
        om_idmap map;
        om_idmap_init(&map, &libc_alloc);
        const uint64_t keys[2] = {edge[i], edge[i]};
        assert_int_equal(om_idmap_reserve(&map, 1, keys, NULL), OMEN_OK);
        assert_int_equal(om_idmap_put(&map, keys, 0), OM_IDMAP_ABSENT);
        assert_int_equal(om_idmap_get(&map, keys, edge[i]), 0);
        assert_int_equal(om_idmap_get(&map, keys, edge[i] ^ 1), OM_IDMAP_ABSENT);
        assert_int_equal(om_idmap_put(&map, keys, 1), 0);
        assert_int_equal(om_idmap_put(&map, keys, 1), 1); /* the same slot again */
        assert_int_equal(map.used, 1);
        assert_int_equal(om_idmap_remove(&map, keys, edge[i]), 1);
        assert_int_equal(om_idmap_remove(&map, keys, edge[i]), OM_IDMAP_ABSENT);
        assert_int_equal(om_idmap_put(&map, keys, 0), OM_IDMAP_ABSENT);
        assert_int_equal(om_idmap_get(&map, keys, edge[i]), 0);
        om_idmap_free(&map);
    }
}

/* Puts exactly as many as were reserved, around every size at which the table grows. */
static void test_growth_boundaries(void **unused)
{
    (void)unused;
    for (uint32_t base = 64; base <= 4096; base *= 2) {
        uint32_t limit = base * 7 / 10;
        for (uint32_t n = limit - 1; n <= limit + 1; n++) {
            om_idmap map;
            om_idmap_init(&map, &libc_alloc);
            uint64_t *keys = malloc((n + 1) * sizeof *keys);
            assert_non_null(keys);
            assert_int_equal(om_idmap_reserve(&map, n, keys, NULL), OMEN_OK);
            size_t bytes = om_idmap_bytes(&map);
            assert_int_equal(bytes, (n <= limit ? base : base * 2) * sizeof(uint32_t));
            for (uint32_t slot = 0; slot < n; slot++) {
                keys[slot] = om_mix64(slot);
                assert_int_equal(om_idmap_put(&map, keys, slot), OM_IDMAP_ABSENT);
            }
            assert_int_equal(om_idmap_bytes(&map), bytes);
            assert_int_equal(om_idmap_reserve(&map, n, keys, NULL), OMEN_OK);
            for (uint32_t slot = 0; slot < n; slot++) {
                assert_int_equal(om_idmap_get(&map, keys, keys[slot]), slot);
            }
            om_idmap_free(&map);
            free(keys);
        }
    }
}

/* Slots far above the number of keys: every width of slot, up to the last slot there may be. The
 * key array is read at these slots, so it is address space of which three pages are touched. */
static void test_slot_widths(void **unused)
{
    (void)unused;
    enum { WIDTHS = 31 };
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    uint32_t slots[3 * WIDTHS];
    size_t count = 0;
    uint32_t highest = 1u << 26; /* half a GiB of keys, most of them never touched */
    for (uint32_t width = 1; (1u << width) <= highest; width++) {
        for (uint32_t d = 0; d < 3; d++) {
            uint32_t slot = (1u << width) - 2 + d;
            if (count == 0 || slot > slots[count - 1]) {
                slots[count++] = slot;
            }
        }
    }
    uint64_t *keys = calloc((size_t)highest + 2, sizeof *keys);
    assert_non_null(keys);
    assert_int_equal(om_idmap_reserve(&map, count, keys, NULL), OMEN_OK);
    for (size_t i = 0; i < count; i++) {
        keys[slots[i]] = 1000 + i;
        assert_int_equal(om_idmap_put(&map, keys, slots[i]), OM_IDMAP_ABSENT);
        for (size_t j = 0; j <= i; j++) {
            assert_int_equal(om_idmap_get(&map, keys, 1000 + j), slots[j]);
        }
    }
    om_idmap_free(&map);
    free(keys);
}

/* The slot of all ones under a tag of all ones would be the empty word: slots get another bit first. */
static void test_word_of_all_ones(void **unused)
{
    (void)unused;
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    static uint64_t keys[1 << 16];
    for (uint32_t bits = map.slot_bits; bits <= 16; bits++) {
        const uint32_t slot = ((uint32_t)1 << bits) - 1;
        uint64_t key = (uint64_t)bits << 56;
        while (om_mix64(key ^ map.seed) >> (32 + bits) != UINT64_MAX >> (32 + bits)) {
            key++;
        }
        assert_int_equal(om_idmap_reserve(&map, 1, keys, NULL), OMEN_OK);
        keys[slot] = key;
        assert_int_equal(om_idmap_put(&map, keys, slot), OM_IDMAP_ABSENT);
        assert_int_equal(om_idmap_get(&map, keys, key), slot);
        assert_int_equal(om_idmap_remove(&map, keys, key), slot);
    }
    om_idmap_free(&map);
}

/* The last row there may be: its key lies behind an array that is only read where the tag agrees.
 */
static void test_last_slot(void **unused)
{
    (void)unused;
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    const size_t bytes = (size_t)OMEN_MAX_ROWS * sizeof(uint64_t);
    uint64_t *keys = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (keys == MAP_FAILED) {
        print_message("16 GiB of address space are more than this process may have\n");
        skip();
    }
    const uint32_t last = OMEN_MAX_ROWS - 1;
    assert_int_equal(om_idmap_reserve(&map, 2, keys, NULL), OMEN_OK);
    keys[last] = UINT64_MAX - 1;
    assert_int_equal(om_idmap_put(&map, keys, 0), OM_IDMAP_ABSENT);
    assert_int_equal(om_idmap_put(&map, keys, last), OM_IDMAP_ABSENT);
    assert_int_equal(om_idmap_get(&map, keys, UINT64_MAX - 1), last);
    assert_int_equal(om_idmap_get(&map, keys, 0), 0);
    assert_int_equal(om_idmap_remove(&map, keys, UINT64_MAX - 1), last);
    assert_int_equal(om_idmap_get(&map, keys, 0), 0);
    om_idmap_free(&map);
    assert_int_equal(munmap(keys, bytes), 0);
}

static void test_limits(void **unused)
{
    (void)unused;
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    omen_error err;
    assert_int_equal(om_idmap_reserve(&map, (uint64_t)OMEN_MAX_ROWS + 1, NULL, &err),
                     OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(om_idmap_reserve(&map, UINT64_MAX, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.message, "2147483646"));
    om_idmap_free(&map);
}

/* At the budget a reserve fails, and the map is what it was. */
static void test_no_memory(void **unused)
{
    (void)unused;
    om_budget budget = {.limit = 64 * sizeof(uint32_t)};
    const om_alloc alloc = {.budget = &budget};
    om_idmap map;
    om_idmap_init(&map, &alloc);
    uint64_t keys[64];
    assert_int_equal(om_idmap_reserve(&map, 44, keys, NULL), OMEN_OK);
    for (uint32_t slot = 0; slot < 44; slot++) {
        keys[slot] = slot;
        assert_int_equal(om_idmap_put(&map, keys, slot), OM_IDMAP_ABSENT);
    }
    omen_error err;
    assert_int_equal(om_idmap_reserve(&map, 1, keys, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
    for (uint32_t slot = 0; slot < 44; slot++) {
        assert_int_equal(om_idmap_get(&map, keys, slot), slot);
    }
    om_idmap_free(&map);
    assert_int_equal(atomic_load(&budget.used), 0);
}

/* A map that empties and fills again for ever must not grow. */
static void test_churn_keeps_size(void **unused)
{
    (void)unused;
    om_idmap map;
    om_idmap_init(&map, &libc_alloc);
    uint64_t keys[40];
    size_t bytes = 0;
    for (uint64_t round = 0; round < 5000; round++) {
        assert_int_equal(om_idmap_reserve(&map, 40, keys, NULL), OMEN_OK);
        for (uint32_t slot = 0; slot < 40; slot++) {
            keys[slot] = round * 40 + slot;
            assert_int_equal(om_idmap_put(&map, keys, slot), OM_IDMAP_ABSENT);
        }
        for (uint32_t slot = 0; slot < 40; slot++) {
            assert_int_equal(om_idmap_remove(&map, keys, keys[slot]), slot);
        }
        bytes = round == 0 ? om_idmap_bytes(&map) : bytes;
        assert_int_equal(om_idmap_bytes(&map), bytes);
    }
    om_idmap_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_one_key),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_growth_boundaries),
        cmocka_unit_test(test_slot_widths),
        cmocka_unit_test(test_word_of_all_ones),
        cmocka_unit_test(test_last_slot),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_churn_keeps_size),
    };
    return cmocka_run_group_tests_name("ds_idmap", tests, NULL, NULL);
}
