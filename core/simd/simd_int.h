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
 * rows must be under way at any time: 32 to 52 lines did best here (Zen 5). Asking for a whole list of long
 * rows at once is slower (eight of 832 bytes ahead: 4 to 20 %).
 *  - rows of one or two lines: 16 ahead; of three or four: 8 ahead;
 *  - longer rows: one group of four ahead, each line asked for while the same line of the current
 *    group is worked on, which spreads the requests evenly;
 *  - of a row beyond OM_PREFETCH_LINES lines only the first are asked for: the hardware's stream
 *    prefetcher has caught on by then. */
enum { OM_GROUP = 4, OM_SHORT_LINES = 4, OM_AHEAD_LONG = 4, OM_PREFETCH_LINES = 32 };
#define OM_AHEAD(lines) \
    ((lines) <= 2 ? 16u : (lines) <= OM_SHORT_LINES ? 8u : (uint32_t)OM_AHEAD_LONG)

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

/* Kernels of one instruction set live in three files: integer rows and the beam (with the table),
 * float distances, conversions. These are the functions that cross the files. */
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
    void om_##isa##_hadamard(float *data, uint32_t n);

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
    }
#endif
