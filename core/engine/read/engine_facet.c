/* engine_facet.c - how many of the items that pass have each value of a field.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_moment.h"
#include "engine_values.h"

typedef struct facet {
    om_collection *c;
    const omen_collection *handle;
    om_filter *filter; /* NULL: all */
    const om_field *field;
    uint32_t limit;
    om_values values;
    uint64_t *words; /* [OM_BLOCK_WORDS] rows of a block that count */
    omen_rows *rows;
    uint64_t stamp; /* of the array whose elements are counted */
    om_stop stop;
    /* Of the block at hand: */
    omen_status_t status;
    omen_error *err;
} facet;

static void add_value(void *ctx, const om_meta_value *value, uint32_t rows)
{
    facet *f = ctx;
    uint32_t at = 0;
    if (f->status == OMEN_OK && rows != 0) {
        f->status = om_values_find(&f->values, value, &at, f->err);
    }
    if (f->status == OMEN_OK && rows != 0) {
        f->values.entry[at].rows += rows;
    }
}

static omen_status_t add_block(facet *f, const om_fields_look *look, uint32_t i,
                               const om_rows_of *of, omen_error *err)
{
    const om_meta_part *part = &look->parts->meta[i];
    const om_metablock *block = NULL;
    uint32_t last = om_min_u32(part->first + part->rows, of->last);
    if (part->none) {
        return OMEN_OK;
    }
    omen_status_t status = om_fields_block(look, i, &block, err);
    if (status != OMEN_OK) {
        return status;
    }
    memset(f->words, 0, OM_BLOCK_WORDS * sizeof *f->words);
    for (uint32_t word = part->first >> 6; word <= (last - 1) >> 6; word++) {
        f->words[word - (part->first >> 6)] = om_rows_word(of, word);
    }
    f->status = OMEN_OK;
    f->err = err;
    om_metablock_facet(block, f->field->id, f->words, add_value, f);
    return f->status;
}

/* Each different element of an array once: those of this row have its stamp. */
static void add_elements(facet *f, const om_meta_value *array)
{
    uint32_t count = om_meta_elements(array);
    f->stamp++;
    for (uint32_t i = 0; i < count && f->status == OMEN_OK; i++) {
        uint32_t at = 0;
        om_meta_value element = {.field = array->field,
                                 .type = (uint16_t)(array->type & ~(uint32_t)OMEN_TYPE_ARRAY)};
        element.payload = om_meta_element(array, i, &element.size);
        f->status = om_values_find(&f->values, &element, &at, f->err);
        if (f->status == OMEN_OK && f->values.entry[at].stamp != f->stamp) {
            f->values.entry[at].stamp = f->stamp;
            f->values.entry[at].rows++;
        }
    }
}

static omen_status_t add_rows(facet *f, const om_fields_look *look, const om_rows_of *of,
                              uint32_t first, omen_error *err)
{
    f->status = OMEN_OK;
    f->err = err;
    for (uint32_t slot = first; slot < of->last && f->status == OMEN_OK; slot++) {
        const uint8_t *row = om_fields_meta_row(look, slot);
        om_meta_value value;
        bool counts = (om_rows_word(of, slot >> 6) >> (slot & 63) & 1) != 0;
        if (!counts || row == NULL || !om_meta_get(row, f->field->id, &value)) {
            continue;
        }
        if ((value.type & OMEN_TYPE_ARRAY) != 0) {
            add_elements(f, &value);
        } else {
            add_value(f, &value, 1);
        }
    }
    return f->status;
}

static omen_status_t add_part(facet *f, const om_moment_part *at, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_fields_look look;
    om_fields_look_at(at->part.segment, at->part.rows, &look);
    if (!look.any || at->matches == 0) {
        return OMEN_OK;
    }
    om_rows_of of = om_moment_rows(at, 0, at->part.rows);
    for (uint32_t i = 0; i < look.parts->meta_count && look.parts->meta[i].first < of.last; i++) {
        OM_TRY(add_block(f, &look, i, &of, err));
    }
    status = add_rows(f, &look, &of, look.parts->meta_covered, err);
out:
    return status;
}

/* The answer, while the values still are where they lie. */
static omen_status_t write_answer(facet *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_answer_column *values = NULL, *counts = NULL;
    uint32_t n = om_values_best(&f->values, f->limit);
    OM_TRY(om_answer_make(f->c->rt, n, &f->rows, err));
    OM_TRY(om_answer_column_make(f->rows, OMEN_FIELD_VALUE, 0, &values, err));
    OM_TRY(om_answer_column_make(f->rows, OMEN_FIELD_COUNT, sizeof(uint64_t), &counts, err));
    for (uint32_t i = 0; i < n; i++) {
        const om_value *entry = &f->values.entry[i];
        om_meta_value value = {.field = f->field->id, .type = entry->type, .size = entry->size};
        value.payload = om_value_payload(entry);
        OM_TRY(om_meta_value_json(&value, &values->bytes, err));
        values->offsets[i + 1] = values->bytes.size;
        memcpy(counts->bytes.data + i * sizeof entry->rows, &entry->rows, sizeof entry->rows);
    }
out:
    return status;
}

static omen_status_t count_values(const om_reader *from, void *args, omen_error *err)
{
    facet *f = args;
    om_moment moment = {.alloc = &from->c->rt->alloc};
    omen_status_t status = om_moment_take(f->handle, f->filter, &f->stop, &moment, err);
    for (uint32_t i = 0; status == OMEN_OK && i < moment.count; i++) {
        if (moment.part[i].part.rows != 0) {
            status = add_part(f, &moment.part[i], err);
        }
    }
    if (status == OMEN_OK) {
        status = write_answer(f, err);
    }
    om_moment_free(&moment);
    return status;
}

static omen_status_t check(const facet *f, omen_error *err)
{
    uint32_t base = f->field->type & ~(uint32_t)OMEN_TYPE_ARRAY;
    if (base < OMEN_TYPE_STRING || base > OMEN_TYPE_TIME) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE,
                       "facet field '%s': values of type %s are not counted", f->field->name,
                       om_field_type_name(f->field->type));
    }
    return OMEN_OK;
}

omen_status_t om_collection_facet(omen_collection *handle, const om_facet *in, omen_rows **out,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    const om_alloc *alloc = &c->rt->alloc;
    uint64_t rejections = om_rejections(c->rt);
    facet f = {.c = c, .handle = handle, .limit = in->limit, .values = {.alloc = alloc}};
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(om_filter_of(c, in->filter, &f.filter, err));
    OM_TRY(om_field_find(c, "facet", in->field, &f.field, err));
    OM_TRY(check(&f, err));
    f.words = om_alloc_get(alloc, OM_BLOCK_WORDS * sizeof *f.words, OM_CACHE_LINE);
    if (f.words == NULL) {
        status = om_fail_memory(err, "facet", OM_BLOCK_WORDS * sizeof *f.words);
        goto out;
    }
    status = om_read_pinned(handle, false, count_values, &f, err);
    om_alloc_put(alloc, f.words, OM_BLOCK_WORDS * sizeof *f.words, OM_CACHE_LINE);
    om_values_free(&f.values);
    if (status == OMEN_OK) {
        *out = f.rows;
    } else if (f.rows != NULL) {
        om_rows_free(f.rows);
    }
out:
    return om_explain_memory(c->rt, rejections, status, err);
}
