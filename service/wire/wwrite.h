/* wwrite.h - writes protocol buffer fields into a buffer of known size: sizes first, then bytes.
 * Depends on: nothing.  Threads: any.  SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_WWRITE_H
#define OM_WWRITE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OM_WT_VARINT = 0, OM_WT_FIXED64 = 1, OM_WT_LEN = 2, OM_WT_FIXED32 = 5 };

/* A writer over a fixed buffer. A write that does not fit sets `full` and leaves the buffer alone. */
typedef struct om_wbuf {
    uint8_t *at, *end;
    bool full;
} om_wbuf;

static inline om_wbuf om_wbuf_of(uint8_t *data, size_t size)
{
    return (om_wbuf){data, data + size, false};
}
static inline size_t om_wsize_varint(uint64_t value)
{
    return ((size_t)(63 - __builtin_clzll(value | 1)) * 9 + 73) / 64;
}
/* Sizes of whole fields with a one-byte tag (numbers 1 .. 15); zero values are left out (proto3). */
static inline size_t om_wsize_uint(uint64_t value)
{
    return value == 0 ? 0 : 1 + om_wsize_varint(value);
}
static inline size_t om_wsize_fixed64(uint64_t value)
{
    return value == 0 ? 0 : 9;
}
static inline size_t om_wsize_len(size_t size)
{
    return 1 + om_wsize_varint(size) + size;
}

void om_w_varint(om_wbuf *w, uint64_t value);
void om_w_uint(om_wbuf *w, uint32_t field, uint64_t value);    /* nothing for 0 */
void om_w_fixed64(om_wbuf *w, uint32_t field, uint64_t value); /* nothing for 0 */
void om_w_double(om_wbuf *w, uint32_t field, double value);    /* nothing for 0 */
/* Tag and length of a field whose `size` bytes follow, also for 0. */
void om_w_len(om_wbuf *w, uint32_t field, size_t size);
void om_w_raw(om_wbuf *w, const void *data, size_t size);
void om_w_bytes(om_wbuf *w, uint32_t field, const void *data, size_t size); /* nothing for 0 */
void om_w_string(om_wbuf *w, uint32_t field, const char *text);
#endif
