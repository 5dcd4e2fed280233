/* engine_fetch.c - ids, metadata and versions of items by their keys.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_answer.h"

/* Places, ids and versions are read under ids_mu; metadata then without it, as rows never change: parts of
 * files may have to be checked first, and writers do not wait for that. */
typedef struct fetch {
    om_collection *c;
    const omen_collection *handle;
    const uint64_t *keys;
    uint64_t count;
    uint32_t fields;
    const uint16_t *only; /* of the metadata; NULL: all */
    uint32_t only_count;
    om_place *places; /* [count] */
    omen_rows *rows;
} fetch;

/* ---- Ids ----------------------------------------------------------------------------------------- */
/* bytes NULL: there is no such item. `scratch` holds a u64 id. */
static omen_status_t id_at(const fetch *f, uint64_t i, uint64_t *scratch, om_id *out,
                           omen_error *err)
{
    *out = (om_id){.bytes = NULL};
    if (f->places[i].segment == NULL) {
        return OMEN_OK;
    }
    return om_segment_id(f->places[i].segment, f->places[i].slot, scratch, out, err);
}

static omen_status_t fixed_ids(const fetch *f, uint32_t width, omen_error *err)
{
    om_answer_column *column = NULL;
    omen_status_t status = om_answer_column_make(f->rows, OMEN_FIELD_ID, width, &column, err);
    for (uint64_t i = 0; status == OMEN_OK && i < f->count; i++) {
        uint64_t scratch;
        om_id id;
        uint8_t *to = column->bytes.data + i * width;
        status = id_at(f, i, &scratch, &id, err);
        memset(to, 0xFF, width);
        if (status == OMEN_OK && id.bytes != NULL) {
            memcpy(to, id.bytes, width < id.length ? width : id.length);
        }
    }
    return status;
}

static omen_status_t varying_ids(const fetch *f, omen_error *err)
{
    om_answer_column *column = NULL;
    omen_status_t status = om_answer_column_make(f->rows, OMEN_FIELD_ID, 0, &column, err);
    for (uint64_t i = 0; status == OMEN_OK && i < f->count; i++) {
        uint64_t scratch;
        om_id id;
        status = id_at(f, i, &scratch, &id, err);
        /* A damaged file may hold an empty id: there is nothing to copy then, and no room to copy to. */
        const bool some = status == OMEN_OK && id.bytes != NULL && id.length > 0;
        if (some) {
            status = om_bytes_room(&column->bytes, id.length, err);
        }
        if (some && status == OMEN_OK) {
            memcpy(column->bytes.data + column->bytes.size, id.bytes, id.length);
            column->bytes.size += id.length;
        }
        column->offsets[i + 1] = column->bytes.size;
    }
    return status;
}

/* ---- Versions ------------------------------------------------------------------------------------ */
static omen_status_t versions(const fetch *f, omen_error *err)
{
    om_answer_column *column = NULL;
    omen_status_t status =
        om_answer_column_make(f->rows, OMEN_FIELD_VERSION, sizeof(uint64_t), &column, err);
    for (uint64_t i = 0; status == OMEN_OK && i < f->count; i++) {
        uint64_t version = 0;
        if (f->places[i].segment != NULL) {
            status = om_segment_version(f->places[i].segment, f->places[i].slot, &version, err);
        }
        memcpy(column->bytes.data + i * sizeof version, &version, sizeof version);
    }
    return status;
}

/* ---- Metadata ------------------------------------------------------------------------------------ */
static omen_status_t json_of(const fetch *f, om_place place, om_bytes *scratch, om_bytes *out,
                             omen_error *err)
{
    static const uint64_t empty[1] = {sizeof(uint64_t)}; /* a row without fields */
    om_fields_look look;
    const uint8_t *row = NULL;
    /* The row was visible when its place was found. */
    om_fields_look_at(place.segment, atomic_load(&place.segment->visible), &look);
    omen_status_t status = om_fields_row(&look, place.slot, scratch, &row, err);
    if (status == OMEN_OK) {
        status = om_meta_json(f->c->schema, row != NULL ? row : (const uint8_t *)empty, f->only,
                              f->only_count, out, err);
    }
    return status;
}

static omen_status_t metadata(const fetch *f, omen_error *err)
{
    om_answer_column *column = NULL;
    om_bytes scratch = {.alloc = &f->c->rt->alloc};
    omen_status_t status = om_answer_column_make(f->rows, OMEN_FIELD_METADATA, 0, &column, err);
    for (uint64_t i = 0; status == OMEN_OK && i < f->count; i++) {
        if (f->places[i].segment != NULL) {
            status = json_of(f, f->places[i], &scratch, &column->bytes, err);
        }
        column->offsets[i + 1] = column->bytes.size;
    }
    om_bytes_free(&scratch);
    return status;
}

/* ---- The call ------------------------------------------------------------------------------------ */
static omen_status_t read_locked(const om_reader *from, fetch *f, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint64_t i = 0; i < f->count; i++) {
        OM_TRY(om_reader_find(from, f->keys[i], &f->places[i], err));
    }
    if ((f->fields & OMEN_FIELD_ID) != 0) {
        uint32_t width = om_id_width(f->c);
        OM_TRY(width != 0 ? fixed_ids(f, width, err) : varying_ids(f, err));
    }
    if ((f->fields & OMEN_FIELD_VERSION) != 0) {
        OM_TRY(versions(f, err));
    }
out:
    return status;
}

static omen_status_t read_all(const om_reader *from, void *args, omen_error *err)
{
    fetch *f = args;
    (void)from; /* the set is looked at again with ids_mu held */
    om_rwlock_read(&f->c->ids_mu);
    om_reader now = om_reader_of(f->handle);
    omen_status_t status = read_locked(&now, f, err);
    om_rwlock_unlock(&f->c->ids_mu);
    if (status == OMEN_OK && (f->fields & OMEN_FIELD_METADATA) != 0) {
        status = metadata(f, err);
    }
    return status;
}

static omen_status_t check(const om_fetch *in, omen_error *err)
{
    const uint32_t known = OMEN_FIELD_ID | OMEN_FIELD_METADATA | OMEN_FIELD_VERSION;
    if (in->fields == 0 || (in->fields & ~known) != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE,
                       "fields: 0x%x is not one or more of id (1), metadata (2), version (4)",
                       in->fields);
    }
    if (in->count > OMEN_MAX_BATCH_ITEMS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "count: %llu keys, above the limit of %u", (unsigned long long)in->count,
                       OMEN_MAX_BATCH_ITEMS);
    }
    if (in->name_count > OMEN_MAX_FIELDS || (in->names == NULL && in->name_count != 0)) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "names: %s with %llu fields, at most %u", in->names == NULL ? "NULL" : "",
                       (unsigned long long)in->name_count, OMEN_MAX_FIELDS);
    }
    return OMEN_OK;
}

static omen_status_t find_names(const om_collection *c, const om_fetch *in, uint16_t *only,
                                omen_error *err)
{
    for (uint64_t i = 0; i < in->name_count; i++) {
        const om_field *field = NULL;
        if (in->names[i] == NULL) {
            return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                                "names: name %llu is NULL", (unsigned long long)i);
        }
        omen_status_t status = om_field_find(c, "names", in->names[i], &field, err);
        if (status != OMEN_OK) {
            return status;
        }
        only[i] = field->id;
    }
    return OMEN_OK;
}

static omen_status_t run(omen_collection *handle, fetch *f, omen_error *err)
{
    const om_alloc *alloc = &f->c->rt->alloc;
    omen_status_t status = om_answer_make(f->c->rt, f->count, &f->rows, err);
    if (status != OMEN_OK) {
        return status;
    }
    f->places = om_alloc_zero(alloc, (size_t)f->count + 1, sizeof *f->places, OM_CACHE_LINE);
    status = f->places == NULL
                 ? om_fail_memory(err, "fetched rows", (f->count + 1) * sizeof *f->places)
                 : om_read_pinned(handle, false, read_all, f, err);
    om_alloc_put(alloc, f->places, (size_t)(f->count + 1) * sizeof *f->places, OM_CACHE_LINE);
    if (status != OMEN_OK) {
        om_rows_free(f->rows);
    }
    return status;
}

omen_status_t om_collection_fetch(omen_collection *handle, const om_fetch *in, omen_rows **out,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    uint16_t only[OMEN_MAX_FIELDS];
    fetch f = {.c = c,
               .handle = handle,
               .keys = in->keys,
               .count = in->count,
               .fields = in->fields,
               .only = in->some ? only : NULL,
               .only_count = (uint32_t)in->name_count};
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(check(in, err));
    OM_TRY(find_names(c, in, only, err));
    OM_TRY(run(handle, &f, err));
    *out = f.rows;
out:
    return om_explain_memory(c->rt, rejections, status, err);
}
