/* simd_int.h - what the kernel files share: the tables, the prefetch constants, row addressing.
 * Only static inline functions here: each file is compiled for another instruction set, and a shared
 * external copy could carry instructions that the machine lacks.
 * Depends on: base.  Locks: none.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_SIMD_INT_H
#define OM_SIMD_INT_H
#include <string.h>

#include "simd.h"

#define OM_INLINE static inline __attribute__((always_inline))
/* Loops over the rows of a group have a constant bound: unrolled, their arrays live in registers. */
#define OM_UNROLL _Pragma("GCC unroll 4")

/* Rolling prefetch. A random row costs about 160 ns from memory and 2 to 10 ns of arithmetic, so several
 * rows must be under way at any time. Measured on Zen 5 with gathers of 32 to 48 rows (what a hop of
 * the graph asks for), about 100 lines ahead do best: 24 rows of 256 bytes took 10.7 ns a row (8 rows:
 * 15.0), 16 of 384 bytes 18 (4: 24), 8 of 832 bytes 33 from memory and 24 half in cache (4: 35 and 29;
 * 16 no better). Rows of one or two lines gain nothing beyond 32. In a short gather of long rows the
 * first rows would wait behind the requests for the last ones (16 rows of 832 bytes: 38 ns with 4
 * ahead, 44 with 8). Long rows are asked for line by line while the same line of the current group is
 * worked on; of a row beyond OM_PREFETCH_LINES lines only the first ones: the hardware has caught the
 * stream by then. */
enum { OM_GROUP = 4, OM_SHORT_LINES = 4, OM_PREFETCH_LINES = 32 };
static inline uint32_t om_ahead(uint32_t lines, uint32_t n)
{
    const uint32_t rows = 104u / (lines == 0 ? 1u : lines) & ~3u;
    if (rows <= OM_GROUP || (lines > 8 && n < 24)) {
        return OM_GROUP;
    }
    return rows < 32 ? rows : 32;
}

/* Signature of a gather kernel. */
#define OM_GATHER_ARGS                                                                          \
    const om_probe *probe, const uint8_t *rows, size_t stride, const uint32_t *ids, uint32_t n, \
        int32_t *out

OM_INLINE const uint8_t *om_row_at(const uint8_t *rows, size_t stride, uint32_t id)
{
    return rows + (size_t)id * stride;
}
OM_INLINE void om_prefetch_row(const uint8_t *row, uint32_t lines)
{
    for (uint32_t line = 0; line < lines; line++) {
        __builtin_prefetch(row + (size_t)line * OM_CACHE_LINE, 0, 3);
    }
}
/* Prefetches rows ids[from .. min(to, n)), `lines` lines each. */
OM_INLINE void om_prefetch_rows(const uint8_t *rows, size_t stride, const uint32_t *ids,
                                uint32_t from, uint32_t to, uint32_t n, uint32_t lines)
{
    to = to < n ? to : n;
    for (uint32_t i = from; i < to; i++) {
        om_prefetch_row(om_row_at(rows, stride, ids[i]), lines);
    }
}
/* Addresses of the `count` rows of a group (count is a constant at every call). */
OM_INLINE void om_group_rows(const uint8_t *rows, size_t stride, const uint32_t *ids,
                             uint32_t count, const uint8_t **row)
{
    OM_UNROLL
    for (uint32_t r = 0; r < count; r++) {
        row[r] = om_row_at(rows, stride, ids[r]);
    }
}
/* Addresses of the four rows after a group, for prefetching: the last one stands in for missing ones. */
OM_INLINE void om_next_rows(const uint8_t *rows, size_t stride, const uint32_t *ids, uint32_t from,
                            uint32_t n, const uint8_t **row)
{
    OM_UNROLL
    for (uint32_t r = 0; r < OM_GROUP; r++) {
        row[r] = om_row_at(rows, stride, ids[from + r < n ? from + r : n - 1]);
    }
}
/* The tail of a row under OM_PROBE_NORM. */
OM_INLINE int32_t om_row_tail(const uint8_t *row, size_t stride)
{
    int32_t tail;
    memcpy(&tail, row + stride - sizeof tail, sizeof tail);
    return tail;
}
OM_INLINE int32_t om_wrap_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
OM_INLINE int32_t om_wrap_sub(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

extern const om_kernels om_kernels_scalar;

/* Joins the answer of a scan with the word that is there; kind is a constant at every call. */
OM_INLINE uint64_t om_scan_join(uint64_t there, uint64_t found, uint32_t kind)
{
    if (kind == OM_SCAN_AND) {
        return there & found;
    }
    return kind == OM_SCAN_OR ? there | found : found;
}

/* The scans of an instruction set, from word8 and word16: always-inline functions of the file, which give the
 * answer for 64 codes. */
#define OM_DECLARE_SCANS(isa)                                                              \
    uint32_t om_##isa##_set8(const uint8_t *, uint8_t, uint8_t, uint64_t *, uint32_t);     \
    uint32_t om_##isa##_and8(const uint8_t *, uint8_t, uint8_t, uint64_t *, uint32_t);     \
    uint32_t om_##isa##_or8(const uint8_t *, uint8_t, uint8_t, uint64_t *, uint32_t);      \
    uint32_t om_##isa##_set16(const uint16_t *, uint16_t, uint16_t, uint64_t *, uint32_t); \
    uint32_t om_##isa##_and16(const uint16_t *, uint16_t, uint16_t, uint64_t *, uint32_t); \
    uint32_t om_##isa##_or16(const uint16_t *, uint16_t, uint16_t, uint64_t *, uint32_t);  \
    uint32_t om_##isa##_count_bits(const uint64_t *, uint32_t);
#define OM_DEFINE_SCAN(name, type, word, kind)                                                \
    uint32_t name(const type *codes, type first, type span, uint64_t *bits, uint32_t words)   \
    {                                                                                         \
        uint32_t count = 0;                                                                   \
        for (uint32_t w = 0; w < words; w++) {                                                \
            bits[w] = om_scan_join(bits[w], word(codes + (size_t)w * 64, first, span), kind); \
            count += (uint32_t)__builtin_popcountll(bits[w]);                                 \
        }                                                                                     \
        return count;                                                                         \
    }
#define OM_DEFINE_SCANS(isa)                                             \
    OM_DEFINE_SCAN(om_##isa##_set8, uint8_t, word8, OM_SCAN_SET)         \
    OM_DEFINE_SCAN(om_##isa##_and8, uint8_t, word8, OM_SCAN_AND)         \
    OM_DEFINE_SCAN(om_##isa##_or8, uint8_t, word8, OM_SCAN_OR)           \
    OM_DEFINE_SCAN(om_##isa##_set16, uint16_t, word16, OM_SCAN_SET)      \
    OM_DEFINE_SCAN(om_##isa##_and16, uint16_t, word16, OM_SCAN_AND)      \
    OM_DEFINE_SCAN(om_##isa##_or16, uint16_t, word16, OM_SCAN_OR)        \
    uint32_t om_##isa##_count_bits(const uint64_t *bits, uint32_t words) \
    {                                                                    \
        uint32_t count = 0;                                              \
        for (uint32_t w = 0; w < words; w++) {                           \
            count += (uint32_t)__builtin_popcountll(bits[w]);            \
        }                                                                \
        return count;                                                    \
    }
/* Their places in the table. */
#define OM_TABLE_SCANS(isa)                                          \
    .scan8 = {om_##isa##_set8, om_##isa##_and8, om_##isa##_or8},     \
    .scan16 = {om_##isa##_set16, om_##isa##_and16, om_##isa##_or16}, \
    .count_bits = om_##isa##_count_bits
OM_DECLARE_SCANS(scalar)

/* Kernels of one instruction set live in four files: integer rows and the beam (with the table), float
 * distances, conversions, scans of codes. These are the functions that cross the files. */
#define OM_DECLARE_ISA(isa)                                                               \
    extern const om_kernels om_kernels_##isa;                                             \
    void om_##isa##_gather_l2_f32(OM_GATHER_ARGS);                                        \
    void om_##isa##_gather_ip_f32(OM_GATHER_ARGS);                                        \
    float om_##isa##_l2_f32(const float *query, const void *row, uint32_t dim);           \
    float om_##isa##_l2_f16(const float *query, const void *row, uint32_t dim);           \
    float om_##isa##_l2_i8(const float *query, const void *row, uint32_t dim);            \
    float om_##isa##_l2_u8(const float *query, const void *row, uint32_t dim);            \
    float om_##isa##_ip_f32(const float *query, const void *row, uint32_t dim);           \
    float om_##isa##_ip_f16(const float *query, const void *row, uint32_t dim);           \
    float om_##isa##_ip_i8(const float *query, const void *row, uint32_t dim);            \
    float om_##isa##_ip_u8(const float *query, const void *row, uint32_t dim);            \
    void om_##isa##_f16_to_f32(const uint16_t *in, float *out, uint32_t dim);             \
    void om_##isa##_f32_to_f16(const float *in, uint16_t *out, uint32_t dim);             \
    bool om_##isa##_finite_f32(const float *in, size_t count);                            \
    bool om_##isa##_finite_f16(const uint16_t *in, size_t count);                         \
    uint32_t om_##isa##_encode_sq8(const float *in, const float *center, float inv_scale, \
                                   uint32_t dim, uint8_t *code);                          \
    void om_##isa##_hadamard(float *data, uint32_t n);                                    \
    OM_DECLARE_SCANS(isa)

#if defined(__x86_64__)
OM_DECLARE_ISA(avx2)
OM_DECLARE_ISA(avx512)
#elif defined(__aarch64__)
OM_DECLARE_ISA(neon)
#endif

/* The table of an instruction set; `gather`, `pack_below`, `beam_insert`, `dot_u8s8` and `l2_u8` are
 * static functions of the file that expands it. */
#define OM_DEFINE_TABLE(isa)                                                                    \
    const om_kernels om_kernels_##isa = {                                                       \
        .name = #isa,                                                                           \
        .gather = {NULL, gather_l2_u8, gather_norm, gather_dot, om_##isa##_gather_l2_f32,       \
                   om_##isa##_gather_ip_f32},                                                   \
        .pack_below = pack_below,                                                               \
        .beam_insert = beam_insert,                                                             \
        .dot_u8s8 = dot_u8s8,                                                                   \
        .l2_u8 = l2_u8,                                                                         \
        .l2 = {NULL, om_##isa##_l2_f32, om_##isa##_l2_f16, om_##isa##_l2_i8, om_##isa##_l2_u8}, \
        .ip = {NULL, om_##isa##_ip_f32, om_##isa##_ip_f16, om_##isa##_ip_i8, om_##isa##_ip_u8}, \
        .f16_to_f32 = om_##isa##_f16_to_f32,                                                    \
        .f32_to_f16 = om_##isa##_f32_to_f16,                                                    \
        .finite_f32 = om_##isa##_finite_f32,                                                    \
        .finite_f16 = om_##isa##_finite_f16,                                                    \
        .encode_sq8 = om_##isa##_encode_sq8,                                                    \
        .hadamard = om_##isa##_hadamard,                                                        \
        OM_TABLE_SCANS(isa),                                                                    \
    }
#endif
