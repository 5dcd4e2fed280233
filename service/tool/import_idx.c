/* import_idx.c - the files of MNIST (idx1-ubyte, idx3-ubyte, ...): big-endian sizes, then the
 * values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "import_int.h"

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

bool om_import_idx_start(om_import *imp, om_tool_error *err)
{
    const char *name = om_source_name(imp->src);
    uint8_t head[4 + 4 * 4];
    size_t got;
    if (!om_source_read(imp->src, head, 4, &got, err)) {
        return false;
    }
    if (got < 4 || head[0] != 0 || head[1] != 0 || head[3] < 1 || head[3] > 4) {
        return om_tool_fail(
            err, OM_EXIT_BAD_INPUT,
            "%s: not an idx file (its first bytes are 0, 0, type, 1 to 4 dimensions)", name);
    }
    switch (head[2]) {
    case 0x08:
        imp->info.dtype = OMEN_U8;
        break;
    case 0x09:
        imp->info.dtype = OMEN_I8;
        break;
    case 0x0d:
        imp->info.dtype = OMEN_F32;
        imp->big_endian = true;
        break;
    default:
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: values of idx type %#04x; 0x08 (u8), 0x09 (i8) and 0x0d (f32) are "
                            "read",
                            name, head[2]);
    }
    size_t sizes = head[3];
    if (!om_source_read(imp->src, head + 4, 4 * sizes, &got, err)) {
        return false;
    }
    if (got < 4 * sizes) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: truncated in the idx header", name);
    }
    uint64_t dim = 1; /* of one dimension: a value a row, as in files of labels */
    for (size_t i = 1; i < sizes; i++) {
        if (__builtin_mul_overflow(dim, (uint64_t)load_be32(head + 4 + 4 * i), &dim)) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: the idx sizes overflow", name);
        }
    }
    imp->read = om_import_dense_read;
    return om_import_set_shape(imp, load_be32(head + 4), dim, err);
}
