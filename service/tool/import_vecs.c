/* import_vecs.c - fvecs, bvecs and ivecs: each row is an int32 dimension and that many values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "import_int.h"

static bool bad_dim(const om_import *imp, uint32_t dim, om_tool_error *err)
{
    return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: row %llu at byte %llu tells %u values; %s",
                        om_source_name(imp->src), (unsigned long long)imp->next_row,
                        (unsigned long long)om_source_offset(imp->src) - 4, dim,
                        imp->info.dim == 0 ? "1 to 65535 are allowed: is it another format?"
                                           : "the rows before it have another number");
}

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Reads the dimension of the next row. *got false: the end. */
static bool row_header(om_import *imp, uint32_t *dim, bool *got, om_tool_error *err)
{
    uint8_t bytes[4];
    size_t n;
    if (!om_source_read(imp->src, bytes, sizeof bytes, &n, err)) {
        return false;
    }
    *got = n != 0;
    if (n != 0 && n < sizeof bytes) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: truncated in the header of row %llu",
                            om_source_name(imp->src), (unsigned long long)imp->next_row);
    }
    *dim = n == sizeof bytes ? load_le32(bytes) : 0;
    return true;
}

static bool read_vecs(om_import *imp, size_t n, size_t *got, om_tool_error *err)
{
    size_t row = om_import_row_bytes(imp);
    uint64_t first = imp->next_row;
    *got = 0;
    for (size_t i = 0; i < n; i++) {
        bool more = true;
        uint32_t dim = imp->info.dim;
        /* The first header was read to learn the dimension. */
        if (!imp->has_pending && !row_header(imp, &dim, &more, err)) {
            return false;
        }
        if (!more) {
            break;
        }
        imp->has_pending = false;
        imp->next_row = first + i;
        if (dim != imp->info.dim) {
            return bad_dim(imp, dim, err);
        }
        size_t bytes;
        if (!om_source_read(imp->src, imp->buf + i * row, row, &bytes, err)) {
            return false;
        }
        if (bytes < row) {
            return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: truncated in row %llu (byte %llu)",
                                om_source_name(imp->src), (unsigned long long)imp->next_row,
                                (unsigned long long)om_source_offset(imp->src));
        }
        (*got)++;
    }
    imp->next_row = first; /* the caller counts the rows */
    return true;
}

bool om_import_vecs_start(om_import *imp, om_tool_error *err)
{
    uint32_t dim = 0;
    bool got;
    if (!row_header(imp, &dim, &got, err)) {
        return false;
    }
    if (!got) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: is empty", om_source_name(imp->src));
    }
    if (dim == 0 || dim > OMEN_MAX_DIM) {
        return bad_dim(imp, dim, err);
    }
    imp->info.dim = dim;
    imp->has_pending = true;
    uint64_t size = om_source_plain_size(imp->src);
    uint64_t row = om_import_row_bytes(imp) + 4;
    if (size % row != 0) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: %llu bytes are not a whole number of rows of %llu bytes (%s, %u "
                            "values): truncated, or another format",
                            om_source_name(imp->src), (unsigned long long)size,
                            (unsigned long long)row, imp->info.format, dim);
    }
    imp->declared = size != 0 ? size / row : OMEN_NONE;
    imp->read = read_vecs;
    return true;
}
