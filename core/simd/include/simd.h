/* simd.h - distance, beam and code-scan kernels, one table per instruction set, chosen once at run time.
 * Every table computes what simd_scalar.c computes: integer kernels bit for bit, float kernels up to
 * the order of summation.  Depends on: base.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SIMD_H
#define OM_SIMD_H
#include "base.h"

/* A query in the form that a gather kernel wants, made by core/quant.
 *   L2_U8   data: uint8_t[bytes]; sum of (row - q)^2
 *   NORM    data: int8_t[bytes]; bias + tail - dot(row u8, q s8); the tail is the int32_t in the last
 *           4 bytes of a row, where q is 0
 *   DOT     data: int8_t[bytes]; bias - dot(row u8, q s8)
 *   L2_F32  data: float[bytes / 4]; squared L2, as an ordered int32_t (see below)
 *   IP_F32  data: float[bytes / 4]; minus the inner product, likewise */
enum {
    OM_PROBE_L2_U8 = 1,
    OM_PROBE_NORM = 2,
    OM_PROBE_DOT = 3,
    OM_PROBE_L2_F32 = 4,
    OM_PROBE_IP_F32 = 5
};
typedef struct om_probe {
    uint32_t kind;
    uint32_t bytes; /* of a row that count: a multiple of 64 */
    int32_t bias;
    uint32_t reserved;
    const void *data; /* aligned to 64 */
} om_probe;

/* How a scan joins its answer with the bits that are there already. */
enum { OM_SCAN_SET = 0, OM_SCAN_AND = 1, OM_SCAN_OR = 2, OM_SCAN_KINDS = 3 };

/* Maps a float to an int32_t of the same order (NaN is never passed), and back. */
static inline int32_t om_order_f32(float value)
{
    int32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits >> 31) & INT32_MAX);
}
static inline float om_unorder_f32(int32_t ordered)
{
    float value;
    int32_t bits = ordered ^ ((ordered >> 31) & INT32_MAX);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

/* A beam entry: ordered distance above, slot and one flag bit below, so that plain integer order is
 * (distance, slot) order. Slots are below 2^31. */
static inline uint64_t om_key_pack(int32_t distance, uint32_t slot)
{
    return ((uint64_t)((uint32_t)distance ^ 0x80000000u) << 32) | ((uint64_t)slot << 1);
}
static inline int32_t om_key_distance(uint64_t key)
{
    return (int32_t)((uint32_t)(key >> 32) ^ 0x80000000u);
}
static inline uint32_t om_key_slot(uint64_t key)
{
    return (uint32_t)key >> 1;
}

typedef struct om_kernels {
    const char *name; /* "scalar", "avx2", "avx512", "neon" */

    /* out[i] = distance of the probe to the row ids[i] at rows + ids[i] * stride, i < n. Rows are aligned
     * to 64 bytes; stride is a multiple of 64. Prefetches the rows ahead while it works. */
    void (*gather[6])(const om_probe *probe, const uint8_t *rows, size_t stride,
                      const uint32_t *ids, uint32_t n,
                      int32_t *out); /* by probe kind; [0] is NULL */

    /* Packs (distance[i], ids[i]) with distance[i] < limit into out, in order; returns how many.
     * out has room for n rounded up to 16. */
    uint32_t (*pack_below)(const int32_t *distance, const uint32_t *ids, uint32_t n, int32_t limit,
                           uint64_t *out);

    /* Inserts key into the ascending keys[0 .. size), which keeps at most cap entries (the largest is
     * dropped); returns the position, or cap when it does not fit. The flag bit of stored keys is kept.
     * keys has room for cap rounded up to 8, plus 8. The new size is min(size + 1, cap). */
    uint32_t (*beam_insert)(uint64_t *keys, uint32_t size, uint32_t cap, uint64_t key);

    /* One pair: dot product, sum of squared differences. They wrap in 32 bits. */
    int32_t (*dot_u8s8)(const uint8_t *a, const int8_t *b, uint32_t bytes); /* multiple of 64 */
    uint32_t (*l2_u8)(const uint8_t *a, const uint8_t *b, uint32_t bytes);  /* multiple of 64 */

    /* Exact distances of a float query to a stored vector of a type (index: omen dtype 1..4; [0] NULL).
     * Any alignment, any dim >= 1. ip is the plain inner product. */
    float (*l2[5])(const float *query, const void *row, uint32_t dim);
    float (*ip[5])(const float *query, const void *row, uint32_t dim);

    /* Conversions of one vector. */
    void (*f16_to_f32)(const uint16_t *in, float *out, uint32_t dim);
    void (*f32_to_f16)(const float *in, uint16_t *out,
                       uint32_t dim); /* nearest even; overflow: inf */
    /* False when a component is NaN or infinite. */
    bool (*finite_f32)(const float *in, size_t count);
    bool (*finite_f16)(const uint16_t *in, size_t count);
    /* code[i] = clamp(round((in[i] - center[i]) * inv_scale), -128, 127) ^ 0x80; returns how many
     * components were clamped. Rounds to nearest even. */
    uint32_t (*encode_sq8)(const float *in, const float *center, float inv_scale, uint32_t dim,
                           uint8_t *code);
    /* One stage set of the fast Walsh-Hadamard transform, in place, n a power of two, not normalised. */
    void (*hadamard)(float *data, uint32_t n);

    /* Conditions on codes, 64 to a word of the answer, by OM_SCAN_*: bit i is set when codes[i] - first, in
     * the width of a code, is at most `span`. codes has words * 64 entries. Returns how many bits are set in
     * bits[0 .. words) then. */
    uint32_t (*scan8[OM_SCAN_KINDS])(const uint8_t *codes, uint8_t first, uint8_t span,
                                     uint64_t *bits, uint32_t words);
    uint32_t (*scan16[OM_SCAN_KINDS])(const uint16_t *codes, uint16_t first, uint16_t span,
                                      uint64_t *bits, uint32_t words);
    /* Bits that are set in bits[0 .. words). */
    uint32_t (*count_bits)(const uint64_t *bits, uint32_t words);
} om_kernels;

/* The best table for this machine, capped by OMEN_ISA_MAX (scalar < avx2 < avx512; scalar < neon). */
const om_kernels *om_kernels_get(void);
/* A table by name, or NULL when it is not built in or the machine lacks it: for tests. */
const om_kernels *om_kernels_by_name(const char *name);
/* "avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "f16c", "neon", ...: usable here (CPU and OS). */
bool om_cpu_has(const char *feature);
#endif
