/* simd_kernels_test.c - every kernel table that this machine has, against the scalar one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>

#include "simd_checks.h"

typedef struct table_case {
    const char *table;
    const simd_check *check;
} table_case;

static void run_case(void **state)
{
    const table_case *this = *state;
    const om_kernels *kernels = om_kernels_by_name(this->table);
    if (kernels == NULL) {
        skip(); /* another architecture, or an older machine */
    }
    assert_int_equal(this->check->run(kernels), 0);
}

int main(void)
{
    static const char *const tables[] = {"scalar", "avx2", "avx512", "neon"};
    static const simd_check *const lists[] = {simd_checks_bytes, simd_checks_floats,
                                              simd_checks_scan};
    static char names[64][48];
    static table_case cases[64];
    struct CMUnitTest tests[64];
    size_t count = 0;
    for (size_t t = 0; t < 4; t++) {
        for (size_t l = 0; l < 3; l++) {
            for (const simd_check *check = lists[l]; check->name != NULL && count < 64; check++) {
                snprintf(names[count], sizeof names[count], "%s %s", tables[t], check->name);
                cases[count] = (table_case){tables[t], check};
                tests[count] =
                    (struct CMUnitTest){names[count], run_case, NULL, NULL, &cases[count]};
                count++;
            }
        }
    }
    return _cmocka_run_group_tests("simd_kernels", tests, count, NULL, NULL);
}
