/* simd_emulated_main.c - all properties of one kernel table, as a plain program: what is cross-compiled and
 * run under an emulator. SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "simd_checks.h"

int main(int argc, char **argv)
{
    const simd_check *const lists[] = {simd_checks_bytes, simd_checks_floats, simd_checks_scan};
    const om_kernels *kernels = argc == 2 ? om_kernels_by_name(argv[1]) : NULL;
    if (kernels == NULL) {
        fprintf(stderr, "usage: %s TABLE, one that this machine has\n", argv[0]);
        return 2;
    }
    uint32_t failures = 0;
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        for (const simd_check *check = lists[l]; check->name != NULL; check++) {
            uint32_t found = check->run(kernels);
            printf("%s %s: %s\n", kernels->name, check->name, found == 0 ? "ok" : "FAILED");
            fflush(stdout);
            failures += found;
        }
    }
    return failures == 0 ? 0 : 1;
}
