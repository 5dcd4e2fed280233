/* tool_files.h - builds small files of vectors in memory for the tests of the readers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef OM_TOOL_FILES_H
#define OM_TOOL_FILES_H
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

typedef struct bytes {
    uint8_t *data;
    size_t size, cap;
} bytes;

static inline void put(bytes *b, const void *data, size_t n)
{
    if (b->size + n > b->cap) {
        b->cap = (b->size + n) * 2 + 64;
        b->data = realloc(b->data, b->cap);
        assert(b->data != NULL);
    }
    if (n > 0) {
        memcpy(b->data + b->size, data, n);
    }
    b->size += n;
}

static inline void put_text(bytes *b, const char *text)
{
    put(b, text, strlen(text));
}

static inline void put_le32(bytes *b, uint32_t v)
{
    uint8_t raw[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    put(b, raw, 4);
}

static inline void put_be32(bytes *b, uint32_t v)
{
    uint8_t raw[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    put(b, raw, 4);
}

static inline void put_f32(bytes *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    put_le32(b, bits);
}

/* An npy file: version, then a header of the given text, padded as NumPy pads it. */
static inline void put_npy(bytes *b, int version, const char *header)
{
    size_t fixed = version == 1 ? 10 : 12;
    size_t length = strlen(header) + 1;
    size_t padded = (fixed + length + 63) / 64 * 64 - fixed;
    uint8_t head[12] = {0x93,
                        'N',
                        'U',
                        'M',
                        'P',
                        'Y',
                        (uint8_t)version,
                        0,
                        (uint8_t)padded,
                        (uint8_t)(padded >> 8)};
    put(b, head, fixed);
    put_text(b, header);
    for (size_t i = length; i < padded; i++) {
        put(b, " ", 1);
    }
    put(b, "\n", 1);
}

/* Row r, value v of every test file. */
static inline float value_of(uint32_t r, uint32_t v)
{
    return (float)(r * 31 + v * 7 % 97) * 0.5f;
}

static inline bytes make_fvecs(uint32_t rows, uint32_t dim)
{
    bytes b = {0};
    for (uint32_t r = 0; r < rows; r++) {
        put_le32(&b, dim);
        for (uint32_t v = 0; v < dim; v++) {
            put_f32(&b, value_of(r, v));
        }
    }
    return b;
}

static inline bytes pack_gzip(const bytes *in)
{
    z_stream z;
    memset(&z, 0, sizeof z);
    int rc = deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    bytes out = {.cap = deflateBound(&z, in->size) + 64};
    out.data = malloc(out.cap);
    assert(rc == Z_OK && out.data != NULL);
    z.next_in = in->data;
    z.avail_in = (uInt)in->size;
    z.next_out = out.data;
    z.avail_out = (uInt)out.cap;
    rc = deflate(&z, Z_FINISH);
    assert(rc == Z_STREAM_END);
    (void)rc;
    out.size = out.cap - z.avail_out;
    (void)deflateEnd(&z);
    return out;
}

static inline bytes pack_zstd(const bytes *in)
{
    bytes out = {.cap = ZSTD_compressBound(in->size)};
    out.data = malloc(out.cap);
    assert(out.data != NULL);
    out.size = ZSTD_compress(out.data, out.cap, in->data, in->size, 3);
    assert(!ZSTD_isError(out.size));
    return out;
}
#endif
