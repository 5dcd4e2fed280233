/* engine_answer.c - the rows that fetches and facets hand out: columns of values.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_answer.h"

void om_rows_free(omen_rows *rows)
{
    omen_runtime *rt = rows->rt;
    rows->handle.magic = OM_MAGIC_FREED;
    for (uint32_t i = 0; i < OM_ANSWER_COLUMNS; i++) {
        om_alloc_put(&rt->alloc, rows->column[i].offsets,
                     (size_t)(rows->count + 1) * sizeof(uint64_t), OM_CACHE_LINE);
        om_bytes_free(&rows->column[i].bytes);
    }
    om_alloc_put(&rt->alloc, rows, sizeof *rows, _Alignof(omen_rows));
    om_runtime_unref(rt);
}

static om_answer_column *column_of(const omen_rows *rows, uint32_t field)
{
    bool one = field != 0 && (field & (field - 1)) == 0 && field < 1u << OM_ANSWER_COLUMNS;
    return one ? (om_answer_column *)(uintptr_t)&rows->column[__builtin_ctz(field)] : NULL;
}

uint64_t om_rows_count(const omen_rows *rows)
{
    return rows->count;
}

void om_rows_column(const omen_rows *rows, uint32_t field, omen_column *out)
{
    const om_answer_column *column = column_of(rows, field);
    memset(out, 0, sizeof *out);
    if (column == NULL || !column->there) {
        return;
    }
    /* An answer without a byte is there all the same: data is not NULL. */
    out->data = column->bytes.data != NULL ? (const void *)column->bytes.data : (const void *)rows;
    out->offsets = column->width == 0 ? column->offsets : NULL;
    out->offset_bits = column->width == 0 ? 64 : 0;
    out->width = column->width;
}

omen_status_t om_answer_make(omen_runtime *rt, uint64_t count, omen_rows **out, omen_error *err)
{
    omen_rows *rows = om_alloc_zero(&rt->alloc, 1, sizeof *rows, _Alignof(omen_rows));
    if (rows == NULL) {
        return om_fail_memory(err, "fetched rows", sizeof *rows);
    }
    rows->handle = (om_handle){.magic = OM_MAGIC_ROWS, .generation = om_fork_generation()};
    rows->rt = rt;
    rows->count = count;
    om_runtime_ref(rt);
    *out = rows;
    return OMEN_OK;
}

omen_status_t om_answer_column_make(omen_rows *rows, uint32_t field, uint32_t width,
                                    om_answer_column **out, omen_error *err)
{
    const om_alloc *alloc = &rows->rt->alloc;
    om_answer_column *column = column_of(rows, field);
    om_assert(column != NULL && !column->there);
    column->there = true;
    column->width = width;
    column->bytes = (om_bytes){.alloc = alloc};
    *out = column;
    if (width != 0) {
        omen_status_t status = om_bytes_room(&column->bytes, (size_t)rows->count * width, err);
        column->bytes.size = status == OMEN_OK ? (size_t)rows->count * width : 0;
        return status;
    }
    column->offsets =
        om_alloc_zero(alloc, (size_t)rows->count + 1, sizeof(uint64_t), OM_CACHE_LINE);
    if (column->offsets == NULL) {
        return om_fail_memory(err, "fetched rows", (rows->count + 1) * sizeof(uint64_t));
    }
    return OMEN_OK;
}
