/* matrix.c - queries and truth files in memory, with a limit.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

void om_matrix_free(om_matrix *m)
{
    free(m->data);
    memset(m, 0, sizeof *m);
}

static bool append(om_matrix *m, const om_import_rows *rows, size_t row_bytes, size_t *cap,
                   const char *path, om_tool_error *err)
{
    size_t have = m->rows * row_bytes;
    size_t want = have + rows->count * row_bytes;
    if (want > OM_MATRIX_BYTES_MAX) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "%s: more than 1 GiB of queries; use --limit and --offset", path);
    }
    if (want > *cap) {
        size_t grow = *cap == 0 ? 1u << 20 : *cap;
        while (grow < want) {
            grow *= 2;
        }
        void *grown = realloc(m->data, grow);
        if (grown == NULL) {
            return om_tool_no_memory(err, grow);
        }
        m->data = grown;
        *cap = grow;
    }
    memcpy((char *)m->data + have, rows->data, rows->count * row_bytes);
    m->rows += rows->count;
    return true;
}

bool om_matrix_load(const char *path, const om_import_options *opt, om_matrix *out,
                    om_tool_error *err)
{
    om_import *imp;
    memset(out, 0, sizeof *out);
    if (!om_import_open(path, opt, &imp, err)) {
        return false;
    }
    const om_import_info *info = om_import_about(imp);
    out->dim = info->dim;
    out->dtype = info->dtype;
    size_t row_bytes = (size_t)info->dim * om_import_dtype_width(info->dtype);
    size_t cap = 0;
    om_import_rows rows = {.count = 1};
    bool ok = true;
    while (ok && rows.count > 0) {
        ok = om_import_read(imp, om_import_batch_rows(info->dim, info->dtype), &rows, err) &&
             (rows.count == 0 || append(out, &rows, row_bytes, &cap, path, err));
    }
    om_import_free(imp);
    if (!ok) {
        om_matrix_free(out);
    }
    return ok;
}

bool om_matrix_for_query(om_matrix *m, const om_target *t, om_tool_error *err)
{
    if (m->dim != t->dim) {
        return om_tool_fail(err, OM_EXIT_BAD_INPUT,
                            "the queries have %u values, the vectors of the collection %u", m->dim,
                            t->dim);
    }
    if (m->dtype == t->dtype || m->dtype == OMEN_F32) {
        return true;
    }
    size_t n = m->rows * m->dim;
    size_t item;
    float *converted = malloc(n * sizeof *converted + 1);
    if (converted == NULL) {
        return om_tool_no_memory(err, n * sizeof *converted);
    }
    if (!om_import_convert(m->data, m->dtype, converted, OMEN_F32, n, &item, err)) {
        free(converted);
        return om_tool_wrap(err, "query %zu", item / m->dim);
    }
    free(m->data);
    m->data = converted;
    m->dtype = OMEN_F32;
    return true;
}

bool om_matrix_parse(const char *json, om_matrix *out, om_tool_error *err)
{
    om_import *imp;
    om_import_rows rows;
    om_import_options opt = {.format = "jsonl", .limit = 1};
    size_t cap = 0;
    memset(out, 0, sizeof *out);
    if (!om_import_open_memory(json, strlen(json), "--vector", &opt, &imp, err)) {
        return om_tool_wrap(err, "--vector");
    }
    const om_import_info *info = om_import_about(imp);
    out->dim = info->dim;
    out->dtype = info->dtype;
    bool ok = om_import_read(imp, 1, &rows, err) &&
              append(out, &rows, info->dim * sizeof(float), &cap, "--vector", err);
    om_import_free(imp);
    if (!ok) {
        om_matrix_free(out);
    }
    return ok;
}
