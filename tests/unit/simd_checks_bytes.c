/* simd_checks_bytes.c - byte rows and the beam: bit for bit what the scalar kernels give.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "rng.h"
#include "simd_checks.h"

enum { ROWS = 24, MAX_BYTES = 65600, MAX_N = 67, CANARY = 0x5a };
enum { PAGE = 65536 }; /* at least the page size of every system */

void *simd_guarded(size_t size)
{
    const size_t whole = om_round_up(size, PAGE) + PAGE;
    uint8_t *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(memory + whole - PAGE, PAGE, PROT_NONE) != 0) {
        munmap(memory, whole);
        return NULL;
    }
    return memory + whole - PAGE - size;
}

void simd_unguard(void *memory, size_t size)
{
    const size_t used = om_round_up(size, PAGE);
    munmap((uint8_t *)memory + size - used, used + PAGE);
}

uint32_t simd_failed(const om_kernels *kernels, const char *what, uint32_t a, uint32_t b)
{
    fprintf(stderr, "%s: %s fails (%u, %u)\n", kernels->name, what, a, b);
    return 1;
}

static uint64_t random_state = 42;

uint64_t simd_random(void)
{
    return om_rng_next(&random_state);
}

float simd_random_float(void)
{
    return (float)((double)(simd_random() >> 40) / (double)(1u << 23) - 1.0);
}

static uint32_t below(uint32_t bound)
{
    return om_rng_below(&random_state, bound);
}

/* Random bytes, or one extreme value everywhere. */
static void fill(uint8_t *bytes, size_t size, uint32_t pattern)
{
    static const uint8_t extreme[] = {0, 255, 128, 127};
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern < sizeof extreme ? extreme[pattern] : (uint8_t)simd_random();
    }
}

/* Compares one gather of n rows, and looks for writes behind the results. */
static uint32_t compare_gather(const om_kernels *kernels, const om_probe *probe,
                               const uint8_t *rows, size_t stride, uint32_t n)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    uint32_t ids[MAX_N + 1];
    int32_t wanted[MAX_N + 1];
    int32_t got[MAX_N + 1];
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = below(ROWS);
    }
    ids[n] = UINT32_MAX; /* reading one id too many would fault */
    memset(wanted, CANARY, sizeof wanted);
    memset(got, CANARY, sizeof got);
    scalar->gather[probe->kind](probe, rows, stride, ids, n, wanted);
    kernels->gather[probe->kind](probe, rows, stride, ids, n, got);
    if (memcmp(wanted, got, sizeof wanted) != 0) {
        return simd_failed(kernels, "gather: kind, bytes", probe->kind, probe->bytes);
    }
    return 0;
}

static uint32_t gather_counts(const om_kernels *kernels, const om_probe *probe, const uint8_t *rows,
                              size_t stride)
{
    uint32_t failures = 0;
    const uint32_t most =
        probe->bytes > 256 ? 18 : MAX_N; /* long rows have one path for all lengths */
    for (uint32_t n = 0; n <= most; n++) {
        failures += compare_gather(kernels, probe, rows, stride, n);
    }
    return failures;
}

static uint32_t gather_shape(const om_kernels *kernels, uint32_t bytes, uint32_t extra)
{
    const size_t stride = bytes + extra;
    uint8_t *rows = simd_guarded(ROWS * stride);
    uint8_t *query = simd_guarded(bytes);
    if (rows == NULL || query == NULL) {
        return simd_failed(kernels, "out of memory", bytes, extra);
    }
    uint32_t failures = 0;
    const uint32_t patterns = bytes > 1100 ? 3 : 6;
    for (uint32_t pattern = 0; pattern < patterns * patterns; pattern++) {
        fill(rows, ROWS * stride, bytes > 1100 && pattern % patterns == 2 ? 9 : pattern % patterns);
        fill(query, bytes, pattern / patterns + (bytes > 1100 ? 2 : 0));
        om_probe probe = {.kind = OM_PROBE_L2_U8, .bytes = bytes, .bias = -7, .data = query};
        failures += gather_counts(kernels, &probe, rows, stride);
        probe.kind = OM_PROBE_DOT;
        probe.bias = (int32_t)simd_random();
        failures += gather_counts(kernels, &probe, rows, stride);
        if (extra == 0) {
            memset(query + bytes - 4, 0, 4); /* the tail lies in the last block */
        }
        probe.kind = OM_PROBE_NORM;
        failures += gather_counts(kernels, &probe, rows, stride);
    }
    simd_unguard(rows, ROWS * stride);
    simd_unguard(query, bytes);
    return failures;
}

static uint32_t check_gather(const om_kernels *kernels)
{
    static const uint32_t sizes[] = {64,  128,  192,  256,  320,   384,      768,
                                     832, 1024, 1088, 4096, 65536, MAX_BYTES};
    uint32_t failures = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        failures += gather_shape(kernels, sizes[i], 0);
        if (sizes[i] < 4096) {
            failures += gather_shape(kernels, sizes[i], 64) + gather_shape(kernels, sizes[i], 192);
        }
    }
    return failures;
}

static uint32_t check_pairs(const om_kernels *kernels)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    uint8_t *a = simd_guarded(MAX_BYTES);
    uint8_t *b = simd_guarded(MAX_BYTES);
    uint32_t failures = 0;
    for (uint32_t pattern = 0; pattern < 25; pattern++) {
        fill(a, MAX_BYTES, pattern % 5);
        fill(b, MAX_BYTES, pattern / 5);
        for (uint32_t bytes = 64; bytes <= MAX_BYTES;
             bytes = bytes < 1024 ? bytes + 64 : bytes * 4 + 64) {
            const uint8_t *x = a + MAX_BYTES - bytes;
            const uint8_t *y = b + MAX_BYTES - bytes;
            if (scalar->dot_u8s8(x, (const int8_t *)y, bytes) !=
                kernels->dot_u8s8(x, (const int8_t *)y, bytes)) {
                failures += simd_failed(kernels, "dot_u8s8: bytes, pattern", bytes, pattern);
            }
            if (scalar->l2_u8(x, y, bytes) != kernels->l2_u8(x, y, bytes)) {
                failures += simd_failed(kernels, "l2_u8: bytes, pattern", bytes, pattern);
            }
        }
        failures += scalar->l2_u8(a, b, MAX_BYTES) != kernels->l2_u8(a, b, MAX_BYTES);
    }
    return failures;
}

static uint32_t check_pack_below(const om_kernels *kernels)
{
    const om_kernels *scalar = om_kernels_by_name("scalar");
    static const int32_t limits[] = {INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX};
    uint32_t failures = 0;
    for (uint32_t round = 0; round < 400; round++) {
        const uint32_t n = round % (MAX_N + 1);
        int32_t *distance = simd_guarded(n * 4);
        uint32_t *ids = simd_guarded(n * 4);
        uint64_t wanted[96];
        uint64_t got[96];
        memset(wanted, CANARY, sizeof wanted);
        memset(got, CANARY, sizeof got);
        for (uint32_t i = 0; i < n; i++) {
            distance[i] = round % 3 == 0 ? limits[below(6)] : (int32_t)below(20) - 10;
            ids[i] = (uint32_t)simd_random() >> 1;
        }
        const int32_t limit = round % 2 == 0 ? limits[below(6)] : (int32_t)below(24) - 12;
        uint32_t a = scalar->pack_below(distance, ids, n, limit, wanted);
        uint32_t b = kernels->pack_below(distance, ids, n, limit, got);
        if (a != b || memcmp(wanted, got, a * sizeof *got) != 0) {
            failures += simd_failed(kernels, "pack_below: n, found", n, b);
        }
        for (size_t i = om_round_up(n, 16); i < 96; i++) {
            if (memcmp(&got[i], &wanted[95], sizeof got[i]) != 0) {
                failures +=
                    simd_failed(kernels, "pack_below writes too far: n, at", n, (uint32_t)i);
            }
        }
    }
    return failures;
}

/* The model of a beam: what insertion into a sorted array of limited size means. */
static uint32_t model_insert(uint64_t *keys, uint32_t size, uint32_t cap, uint64_t key)
{
    uint32_t at = 0;
    while (at < size && keys[at] <= key) {
        at++;
    }
    if (at == cap) {
        return cap;
    }
    uint32_t last = size < cap ? size : cap - 1;
    memmove(keys + at + 1, keys + at, (last - at) * sizeof *keys);
    keys[at] = key;
    return at;
}

static uint32_t beam_run(const om_kernels *kernels, uint32_t cap, uint32_t spread)
{
    enum { ROOM = 512 };
    const uint32_t room = (uint32_t)om_round_up(cap, 8) + 8;
    uint64_t wanted[ROOM];
    uint64_t *got = simd_guarded((size_t)room * sizeof *got);
    uint32_t size = 0;
    memset(wanted, 0, sizeof wanted);
    memset(got, CANARY, room * sizeof *got);
    for (uint32_t i = 0; i < 3 * cap + 20; i++) {
        /* Negative and positive distances, many equal ones, some equal keys. */
        uint64_t key = om_key_pack((int32_t)below(spread) - (int32_t)(spread / 2), below(spread));
        uint32_t a = model_insert(wanted, size, cap, key);
        uint32_t b = kernels->beam_insert(got, size, cap, key);
        size = om_min_u32(size + 1, cap);
        if (a != b || memcmp(wanted, got, size * sizeof *got) != 0) {
            return simd_failed(kernels, "beam_insert: cap, step", cap, i);
        }
        /* The walk marks what it has expanded; equal keys together, which keeps the order. */
        const uint64_t marked = size == 0 ? UINT64_MAX : wanted[below(size)] >> 1;
        for (uint32_t m = 0; m < size; m++) {
            wanted[m] |= wanted[m] >> 1 == marked;
            got[m] |= got[m] >> 1 == marked;
        }
    }
    return 0;
}

static uint32_t check_beam(const om_kernels *kernels)
{
    static const uint32_t caps[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 64, 100, 203, 400};
    uint32_t failures = 0;
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        for (uint32_t spread = 2; spread < 100000; spread *= 7) {
            failures += beam_run(kernels, caps[i], spread);
        }
    }
    return failures;
}

const simd_check simd_checks_bytes[] = {
    {"gather", check_gather},    {"pairs", check_pairs}, {"pack_below", check_pack_below},
    {"beam_insert", check_beam}, {NULL, NULL},
};
