/* os_vm_test.c - reserved address space. SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* Whether the kernel would let this process touch the page at `at` (write() probes without a fault). */
static bool readable(const uint8_t *at)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    bool ok = write(ends[1], at, 1) == 1;
    (void)close(ends[0]);
    (void)close(ends[1]);
    return ok;
}

static void commit_goes_in_steps(void **state)
{
    (void)state;
    om_budget budget = {0};
    om_vm vm;
    assert_int_equal(om_vm_reserve(&vm, 64 * MIB + 1, &budget, NULL), OMEN_OK);
    assert_int_equal((uintptr_t)vm.base % (2 * MIB), 0);
    assert_int_equal(vm.reserved, 66 * MIB);
    assert_int_equal(vm.committed, 0);
    assert_int_equal(budget.used, 0);
    assert_false(readable(vm.base));

    static const size_t steps[][2] = {
        {1, 64 * KIB},          {64 * KIB, 64 * KIB},   {64 * KIB + 1, 128 * KIB},
        {2 * MIB - 1, 2 * MIB}, {2 * MIB + 1, 4 * MIB}, {3 * MIB, 4 * MIB},
        {65 * MIB, 66 * MIB}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        size_t before = vm.committed;
        assert_int_equal(om_vm_commit(&vm, steps[i][0], NULL), OMEN_OK);
        assert_int_equal(vm.committed, steps[i][1]);
        assert_int_equal(budget.used, steps[i][1]);
        if (vm.committed > before) {
            assert_int_equal(vm.base[before], 0);
            assert_int_equal(vm.base[vm.committed - 1], 0);
        }
        vm.base[vm.committed - 1] = (uint8_t)(i + 1);
        if (vm.committed < vm.reserved) {
            assert_false(readable(vm.base + vm.committed));
        }
    }
    assert_int_equal(vm.base[64 * KIB - 1], 2); /* what was written stays */
    om_vm_release(&vm);
    assert_int_equal(budget.used, 0);
    assert_null(vm.base);
    om_vm_release(&vm);
}

static void budget_and_reserve_are_limits(void **state)
{
    (void)state;
    om_budget budget = {.limit = 3 * MIB};
    om_vm vm;
    omen_error err;
    assert_int_equal(om_vm_reserve(&vm, 8 * MIB, &budget, NULL), OMEN_OK);
    assert_int_equal(om_vm_commit(&vm, 2 * MIB, &err), OMEN_OK);
    vm.base[0] = 42;
    assert_int_equal(om_vm_commit(&vm, 2 * MIB + 1, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_BUDGET);
    assert_int_equal(vm.committed, 2 * MIB);
    assert_int_equal(vm.base[0], 42);
    assert_int_equal(budget.used, 2 * MIB);
    assert_int_equal(om_vm_commit(&vm, 8 * MIB + 1, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_LIMIT);
    assert_int_equal(budget.used, 2 * MIB);
    om_vm_release(&vm);
    assert_int_equal(budget.used, 0);
}

static void absurd_reserves_are_refused(void **state)
{
    (void)state;
    om_vm vm;
    omen_error err;
    assert_int_equal(om_vm_reserve(&vm, 0, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(om_vm_reserve(&vm, SIZE_MAX, NULL, &err), OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(om_vm_reserve(&vm, SIZE_MAX / 2 - 8 * MIB, NULL, &err),
                     OMEN_RESOURCE_EXHAUSTED);
    assert_int_equal(err.detail, OMEN_D_NO_MEMORY);
    assert_null(vm.base);
    om_vm_release(&vm);
}

static void many_large_reserves_cost_nothing(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    om_vm vms[COUNT];
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(om_vm_reserve(&vms[i], 4096 * MIB, NULL, NULL), OMEN_OK);
        assert_int_equal(om_vm_commit(&vms[i], 1, NULL), OMEN_OK);
        vms[i].base[0] = 1;
    }
    for (int i = 0; i < COUNT; i++) {
        om_vm_release(&vms[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_goes_in_steps),
        cmocka_unit_test(budget_and_reserve_are_limits),
        cmocka_unit_test(absurd_reserves_are_refused),
        cmocka_unit_test(many_large_reserves_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
