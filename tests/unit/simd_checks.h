/* simd_checks.h - properties that every kernel table has, judged against the scalar one. No test framework:
 * the same code runs as a static program under an emulator. SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SIMD_CHECKS_H
#define OM_SIMD_CHECKS_H
#include "simd.h"

typedef struct simd_check {
    const char *name;
    uint32_t (*run)(const om_kernels *kernels); /* number of failures; says on stderr what failed */
} simd_check;
/* Ends with a NULL name. */
extern const simd_check simd_checks_bytes[];
extern const simd_check simd_checks_floats[];
extern const simd_check simd_checks_scan[];

/* `size` bytes that end where an unreadable page begins; NULL: no memory. The start is aligned to 64 when
 * size is a multiple of 64. Small ones may be left to the end of the process. */
void *simd_guarded(size_t size);
void simd_unguard(void *memory, size_t size);
/* Reports a failure; returns 1. */
uint32_t simd_failed(const om_kernels *kernels, const char *what, uint32_t a, uint32_t b);
/* A fixed sequence of random numbers; seeds are fixed, so that a failure can be repeated. */
uint64_t simd_random(void);
float simd_random_float(void); /* -1 .. 1 */
#endif
