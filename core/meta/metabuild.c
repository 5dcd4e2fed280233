/* metabuild.c - takes rows apart into columns. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "metabuild_int.h"
#include "metarow_int.h"
#include "op.h"
#include "rng.h"

omen_status_t om_metabuild_create(const om_alloc *alloc, const om_schema *schema,
                                  om_metabuild **out, omen_error *err)
{
    om_metabuild *build = om_alloc_zero(alloc, 1, sizeof *build, _Alignof(om_metabuild));
    if (build == NULL) {
        return om_fail_memory(err, "a block of metadata", sizeof *build);
    }
    build->alloc = alloc;
    build->schema = schema;
    build->seed = om_mix64((uint64_t)(uintptr_t)build ^ om_mix64(om_now_ns()));
    *out = build;
    return OMEN_OK;
}

void om_metabuild_free(om_metabuild *build)
{
    if (build == NULL) {
        return;
    }
    const om_alloc *alloc = build->alloc;
    for (uint32_t i = 0; i < build->column_capacity; i++) {
        om_buildcolumn *column = build->columns[i];
        if (column != NULL) {
            om_metadict_free(&column->dict);
            om_bytes_free(&column->rows);
            om_bytes_free(&column->numbers);
            om_bytes_free(&column->lists);
            om_bytes_free(&column->text);
            om_alloc_put(alloc, column, sizeof *column, _Alignof(om_buildcolumn));
        }
    }
    om_alloc_put(alloc, build->columns, build->column_capacity * sizeof build->columns[0],
                 _Alignof(om_buildcolumn *));
    om_alloc_put(alloc, build, sizeof *build, _Alignof(om_metabuild));
}

static omen_status_t grow_columns(om_metabuild *build, uint16_t field, omen_error *err)
{
    uint32_t old = build->column_capacity;
    uint32_t capacity = om_max_u32(om_max_u32(16, 2 * old), field + 1u);
    om_buildcolumn **columns =
        om_alloc_grow(build->alloc, build->columns, old * sizeof columns[0],
                      capacity * sizeof columns[0], _Alignof(om_buildcolumn *));
    if (columns == NULL) {
        return om_fail_memory(err, "a block of metadata", capacity * sizeof columns[0]);
    }
    memset(columns + old, 0, (capacity - old) * sizeof columns[0]);
    build->columns = columns;
    build->column_capacity = capacity;
    return OMEN_OK;
}

static omen_status_t make_column(om_metabuild *build, uint16_t field, uint16_t type,
                                 omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (field >= build->column_capacity) {
        OM_TRY(grow_columns(build, field, err));
    }
    om_buildcolumn *column =
        om_alloc_zero(build->alloc, 1, sizeof *column, _Alignof(om_buildcolumn));
    if (column == NULL) {
        return om_fail_memory(err, "a block of metadata", sizeof *column);
    }
    uint32_t width = om_has_heap(type) ? 0 : type == OMEN_TYPE_GEO ? 16 : 8;
    column->field = field;
    column->type = type;
    column->rows.alloc = build->alloc;
    column->numbers.alloc = build->alloc;
    column->lists.alloc = build->alloc;
    column->text.alloc = build->alloc;
    om_metadict_init(&column->dict, build->alloc, width, build->seed);
    build->columns[field] = column;
out:
    return status;
}

static omen_status_t add_number(om_buildcolumn *column, const uint8_t *value, size_t size,
                                omen_error *err)
{
    uint32_t number = 0;
    omen_status_t status = om_metadict_add(&column->dict, value, size, &number, err);
    return status != OMEN_OK ? status : om_bytes_put(&column->numbers, &number, sizeof number, err);
}

static omen_status_t add_array(om_buildcolumn *column, const om_meta_value *value, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t count = om_meta_elements(value);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size;
        const uint8_t *element = om_meta_element(value, i, &size);
        OM_TRY(add_number(column, element, size, err));
    }
    uint64_t end = column->numbers.size / sizeof(uint32_t);
    OM_TRY(om_bytes_put(&column->lists, &end, sizeof end, err));
out:
    return status;
}

static omen_status_t add_text(om_buildcolumn *column, const om_meta_value *value, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(om_bytes_put(&column->text, value->payload, value->size, err));
    uint64_t end = column->text.size;
    OM_TRY(om_bytes_put(&column->numbers, &end, sizeof end, err));
out:
    return status;
}

static omen_status_t add_value(om_metabuild *build, const om_meta_value *value, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (value->field >= build->column_capacity || build->columns[value->field] == NULL) {
        OM_TRY(make_column(build, value->field, value->type, err));
    }
    om_buildcolumn *column = build->columns[value->field];
    om_assert(column->type == value->type);
    uint16_t row = (uint16_t)build->rows;
    OM_TRY(om_bytes_put(&column->rows, &row, sizeof row, err));
    if (om_is_array(column->type)) {
        OM_TRY(add_array(column, value, err));
    } else if (column->type == OMEN_TYPE_TEXT) {
        OM_TRY(add_text(column, value, err));
    } else {
        OM_TRY(add_number(column, value->payload, value->size, err));
    }
out:
    return status;
}

omen_status_t om_metabuild_add(om_metabuild *build, const uint8_t *row, omen_error *err)
{
    if (build->rows == OM_BLOCK_ROWS) {
        return om_fail(err, OMEN_RESOURCE_EXHAUSTED, OMEN_D_LIMIT,
                       "a block of metadata has at most %u rows", OM_BLOCK_ROWS);
    }
    om_meta_iter iter = om_meta_first(row);
    om_meta_value value;
    while (om_meta_next(&iter, &value)) {
        omen_status_t status = add_value(build, &value, err);
        if (status != OMEN_OK) {
            return status;
        }
    }
    build->rows++;
    return OMEN_OK;
}
