/* import_npy.c - NumPy arrays (.npy, versions 1 and 2): little-endian f4, f2, i1, u1, in C order.
 * The header is a Python literal; what is read of it is three members of one flat dictionary.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "import_int.h"

enum { HEADER_MAX = 64 * 1024, DIMS_MAX = 8 };

typedef struct npy_header {
    char descr[16];
    bool has_descr, has_order, has_shape, fortran;
    uint64_t shape[DIMS_MAX];
    size_t dims;
} npy_header;

static bool bad(const om_import *imp, const char *why, om_tool_error *err)
{
    return om_tool_fail(err, OM_EXIT_BAD_INPUT, "%s: bad npy header: %s", om_source_name(imp->src),
                        why);
}

static const char *skip_space(const char *p)
{
    while (isspace((unsigned char)*p)) {
        p++;
    }
    return p;
}

/* Reads a quoted text of less than cap bytes; NULL when there is none. */
static const char *quoted(const char *p, char *out, size_t cap)
{
    char quote = *p;
    if (quote != '\'' && quote != '"') {
        return NULL;
    }
    size_t n = 0;
    for (p++; *p != quote; p++) {
        if (*p == '\0' || *p == '\\' || n + 1 >= cap) {
            return NULL;
        }
        out[n++] = *p;
    }
    out[n] = '\0';
    return p + 1;
}

static const char *parse_shape(const char *p, npy_header *h)
{
    if (*p != '(') {
        return NULL;
    }
    p = skip_space(p + 1);
    while (*p != ')') {
        if (h->dims == DIMS_MAX || !isdigit((unsigned char)*p)) {
            return NULL;
        }
        uint64_t value = 0;
        for (; isdigit((unsigned char)*p); p++) {
            if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
                __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
                return NULL;
            }
        }
        h->shape[h->dims++] = value;
        p = skip_space(p);
        if (*p == ',') {
            p = skip_space(p + 1);
        } else if (*p != ')') {
            return NULL;
        }
    }
    h->has_shape = true;
    return p + 1;
}

static const char *parse_member(const char *p, npy_header *h)
{
    char key[16];
    p = quoted(p, key, sizeof key);
    if (p == NULL || *(p = skip_space(p)) != ':') {
        return NULL;
    }
    p = skip_space(p + 1);
    if (strcmp(key, "descr") == 0 && !h->has_descr) {
        h->has_descr = true;
        return quoted(p, h->descr, sizeof h->descr);
    }
    if (strcmp(key, "fortran_order") == 0 && !h->has_order) {
        h->has_order = true;
        h->fortran = strncmp(p, "True", 4) == 0;
        return h->fortran ? p + 4 : strncmp(p, "False", 5) == 0 ? p + 5 : NULL;
    }
    return strcmp(key, "shape") == 0 && !h->has_shape ? parse_shape(p, h) : NULL;
}

static bool parse_header(const char *text, npy_header *h)
{
    const char *p = skip_space(text);
    if (*p != '{') {
        return false;
    }
    p = skip_space(p + 1);
    while (*p != '}') {
        p = parse_member(p, h);
        if (p == NULL) {
            return false;
        }
        p = skip_space(p);
        if (*p == ',') {
            p = skip_space(p + 1);
        } else if (*p != '}') {
            return false;
        }
    }
    return *skip_space(p + 1) == '\0' && h->has_descr && h->has_order && h->has_shape;
}

static bool apply_header(om_import *imp, const npy_header *h, om_tool_error *err)
{
    static const struct {
        const char *descr;
        uint32_t dtype;
    } types[] = {{"<f4", OMEN_F32}, {"<f2", OMEN_F16}, {"|i1", OMEN_I8},
                 {"<i1", OMEN_I8},  {"|u1", OMEN_U8},  {"<u1", OMEN_U8}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(h->descr, types[i].descr) == 0) {
            imp->info.dtype = types[i].dtype;
        }
    }
    if (imp->info.dtype == 0) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: values of type '%s'; f4, f2, i1 and u1 are read: save "
                            "array.astype('<f4')",
                            om_source_name(imp->src), h->descr);
    }
    if (h->fortran && h->dims > 1) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: is in Fortran order: save numpy.ascontiguousarray(array)",
                            om_source_name(imp->src));
    }
    if (h->dims == 0) {
        return bad(imp, "the array has no dimensions", err);
    }
    /* A flat array is one row; of an array of images each image is one. */
    uint64_t rows = h->dims == 1 ? 1 : h->shape[0];
    uint64_t dim = h->dims == 1 ? h->shape[0] : 1;
    for (size_t i = 1; i < h->dims; i++) {
        if (__builtin_mul_overflow(dim, h->shape[i], &dim)) {
            return bad(imp, "the shape overflows", err);
        }
    }
    return om_import_set_shape(imp, rows, dim, err);
}

bool om_import_npy_start(om_import *imp, om_tool_error *err)
{
    uint8_t fixed[12];
    size_t got;
    if (!om_source_read(imp->src, fixed, 10, &got, err)) {
        return false;
    }
    if (got < 10 || memcmp(fixed, "\x93NUMPY", 6) != 0) {
        return bad(imp, "the file does not begin with \\x93NUMPY", err);
    }
    uint32_t length = (uint32_t)fixed[8] | (uint32_t)fixed[9] << 8;
    if (fixed[6] == 2) {
        if (!om_source_read(imp->src, fixed + 10, 2, &got, err)) {
            return false;
        }
        if (got < 2) {
            return bad(imp, "truncated", err);
        }
        length |= (uint32_t)fixed[10] << 16 | (uint32_t)fixed[11] << 24;
    } else if (fixed[6] != 1) {
        return bad(imp, "only versions 1 and 2 are read", err);
    }
    if (length > HEADER_MAX) {
        return bad(imp, "longer than 65536 bytes", err);
    }
    char *text = calloc(1, (size_t)length + 1);
    if (text == NULL) {
        return om_tool_no_memory(err, length);
    }
    npy_header h;
    memset(&h, 0, sizeof h);
    bool ok = om_source_read(imp->src, text, length, &got, err);
    if (ok && got < length) {
        ok = bad(imp, "truncated", err);
    } else if (ok && (strlen(text) != length || !parse_header(text, &h))) {
        ok = bad(imp, "not {'descr': ..., 'fortran_order': ..., 'shape': ...}", err);
    }
    free(text);
    imp->read = om_import_dense_read;
    return ok && apply_header(imp, &h, err);
}
