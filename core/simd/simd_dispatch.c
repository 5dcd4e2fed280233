/* simd_dispatch.c - which kernels this machine runs: asked once, feature by feature.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include "simd_int.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* A feature name, and where its bit is. */
typedef struct feature {
    const char *name;
    uint8_t leaf; /* 1 or 7 (subleaf 0), or 71: leaf 7, subleaf 1 */
    uint8_t reg;  /* 0 eax, 1 ebx, 2 ecx, 3 edx                   */
    uint8_t bit;
    uint8_t state; /* what the operating system must save: 0 SSE, 1 + AVX, 2 + AVX-512 */
} feature;

#if defined(__x86_64__)
static const feature features[] = {
    {"sse4.1", 1, 2, 19, 0},     {"sse4.2", 1, 2, 20, 0},     {"popcnt", 1, 2, 23, 0},
    {"fma", 1, 2, 12, 1},        {"avx", 1, 2, 28, 1},        {"f16c", 1, 2, 29, 1},
    {"avx2", 7, 1, 5, 1},        {"bmi2", 7, 1, 8, 0},        {"avxvnni", 71, 0, 4, 1},
    {"avx512f", 7, 1, 16, 2},    {"avx512dq", 7, 1, 17, 2},   {"avx512bw", 7, 1, 30, 2},
    {"avx512vl", 7, 1, 31, 2},   {"avx512vbmi", 7, 2, 1, 2},  {"avx512vnni", 7, 2, 11, 2},
    {"avx512bf16", 71, 0, 5, 2}, {"avx512fp16", 7, 3, 23, 2},
};

/* What the operating system saves on a context switch. A processor may have AVX-512 while the system (or
 * a hypervisor) does not keep its registers: the bits of XCR0 decide, not those of cpuid alone. */
static uint32_t os_state(void)
{
    uint32_t a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1u << 27)) == 0) {
        return 0; /* no OSXSAVE: xgetbv would fault */
    }
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x06u) != 0x06u) {
        return 0;
    }
    return (low & 0xe6u) == 0xe6u ? 2 : 1;
}

static bool has_feature(const feature *wanted)
{
    uint32_t reg[4] = {0, 0, 0, 0};
    uint32_t leaf = wanted->leaf == 71 ? 7 : wanted->leaf;
    uint32_t subleaf = wanted->leaf == 71 ? 1 : 0;
    if (__get_cpuid_count(leaf, 0, &reg[0], &reg[1], &reg[2], &reg[3]) == 0) {
        return false;
    }
    if (subleaf != 0) {
        if (reg[0] < subleaf) {
            return false;
        }
        __cpuid_count(leaf, subleaf, reg[0], reg[1], reg[2], reg[3]);
    }
    return ((reg[wanted->reg] >> wanted->bit) & 1u) != 0 && os_state() >= wanted->state;
}

static bool has_all(const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!om_cpu_has(names[i])) {
            return false;
        }
    }
    return true;
}

static bool has_avx2(void)
{
    static const char *const needed[] = {"avx", "avx2", "fma", "f16c", "popcnt"};
    return has_all(needed, sizeof needed / sizeof needed[0]);
}

static bool has_avx512(void)
{
    static const char *const needed[] = {"avx512f", "avx512bw", "avx512vl", "avx512dq",
                                         "avx512vnni"};
    return has_avx2() && has_all(needed, sizeof needed / sizeof needed[0]);
}

bool om_cpu_has(const char *name)
{
    if (strcmp(name, "avx512") == 0) {
        return has_avx512();
    }
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        if (strcmp(name, features[i].name) == 0) {
            return has_feature(&features[i]);
        }
    }
    return strcmp(name, "scalar") == 0;
}
#else
bool om_cpu_has(const char *name)
{
#if defined(__aarch64__)
    if (strcmp(name, "neon") == 0) {
        return true; /* part of the base architecture */
    }
#endif
    return strcmp(name, "scalar") == 0;
}
#endif

/* The tables in rising order of preference. */
static const om_kernels *const tables[] = {
    &om_kernels_scalar,
#if defined(__x86_64__)
    &om_kernels_avx2,
    &om_kernels_avx512,
#elif defined(__aarch64__)
    &om_kernels_neon,
#endif
};
enum { TABLES = sizeof tables / sizeof tables[0] };

static bool usable(const om_kernels *table)
{
#if defined(__x86_64__)
    if (strcmp(table->name, "avx2") == 0) {
        return has_avx2();
    }
    if (strcmp(table->name, "avx512") == 0) {
        return has_avx512();
    }
#endif
    return om_cpu_has(table->name);
}

const om_kernels *om_kernels_by_name(const char *name)
{
    for (size_t i = 0; i < TABLES; i++) {
        if (strcmp(tables[i]->name, name) == 0) {
            return usable(tables[i]) ? tables[i] : NULL;
        }
    }
    return NULL;
}

static const om_kernels *choose(void)
{
    size_t last = TABLES - 1;
    const char *cap = getenv("OMEN_ISA_MAX");
    for (size_t i = 0; cap != NULL && i < TABLES; i++) {
        if (strcmp(tables[i]->name, cap) == 0) {
            last = i; /* an unknown value caps nothing */
        }
    }
    while (last > 0 && !usable(tables[last])) {
        last--;
    }
    return tables[last];
}

const om_kernels *om_kernels_get(void)
{
    /* Threads that race here all find the same answer: no lock is needed, only an untorn pointer. */
    static _Atomic(const om_kernels *) chosen;
    const om_kernels *kernels = atomic_load_explicit(&chosen, memory_order_acquire);
    if (kernels == NULL) {
        kernels = choose();
        atomic_store_explicit(&chosen, kernels, memory_order_release);
    }
    return kernels;
}
