/* engine_schema.c - the fields of a collection: declared, listed, and how their text is analysed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_fields_int.h"
#include "engine_record.h"

/* ---- TEXT fields --------------------------------------------------------------------------------- */
/* In the order of their ids, appended in place; a longer array replaces a full one, which stays until the
 * collection goes, as searches may hold it. */
struct om_text_list {
    struct om_text_list *former;
    uint32_t room;
    _Atomic uint32_t count;
    om_text_of field[];
};

static size_t size_of(uint32_t room)
{
    return sizeof(struct om_text_list) + room * sizeof(om_text_of);
}

const om_text_of *om_text_fields(om_collection *c, uint32_t *count)
{
    const struct om_text_list *list = atomic_load_explicit(&c->texts, memory_order_acquire);
    *count = list != NULL ? atomic_load_explicit(&list->count, memory_order_acquire) : 0;
    return *count != 0 ? list->field : NULL;
}

const om_text_of *om_text_of_field(om_collection *c, uint16_t field)
{
    uint32_t count = 0;
    const om_text_of *list = om_text_fields(c, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].field == field) {
            return &list[i];
        }
    }
    return NULL;
}

/* Room for `more` TEXT fields, so that adding them cannot fail. write_mu held. */
static omen_status_t reserve_texts(om_collection *c, uint32_t more, omen_error *err)
{
    struct om_text_list *former = atomic_load_explicit(&c->texts, memory_order_relaxed);
    uint32_t count = former != NULL ? atomic_load(&former->count) : 0;
    uint32_t room = former != NULL ? former->room : 4;
    if (former != NULL && count + more <= room) {
        return OMEN_OK;
    }
    while (room < count + more) {
        room *= 2;
    }
    struct om_text_list *list = om_alloc_zero(&c->rt->alloc, 1, size_of(room), OM_CACHE_LINE);
    if (list == NULL) {
        return om_fail_memory(err, "text fields", size_of(room));
    }
    list->former = former;
    list->room = room;
    if (count != 0) {
        memcpy(list->field, former->field, count * sizeof list->field[0]);
    }
    atomic_init(&list->count, count);
    atomic_store_explicit(&c->texts, list, memory_order_release);
    return OMEN_OK;
}

static omen_status_t add_text(om_collection *c, const om_field *field, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_analyser *analyser = NULL;
    const om_analyser_options options = {
        .language = field->language[0] != '\0' ? field->language : NULL, .flags = field->flags};
    OM_TRY(om_analyser_create(&c->rt->alloc, &options, &analyser, err));
    struct om_text_list *list = atomic_load_explicit(&c->texts, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&list->count, memory_order_relaxed);
    om_assert(count < list->room);
    list->field[count] =
        (om_text_of){.field = field->id, .weight = field->weight, .analyser = analyser};
    atomic_store_explicit(&list->count, count + 1, memory_order_release);
out:
    return status;
}

/* Analysers of the TEXT fields that have none yet: those from the first such one on. write_mu held. */
omen_status_t om_schema_attach_texts(om_collection *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t known = 0;
    uint32_t count = om_schema_count(c->schema);
    const om_text_of *texts = om_text_fields(c, &known);
    uint32_t next = known != 0 ? (uint32_t)texts[known - 1].field + 1 : 0;
    for (uint32_t id = next; id < count && status == OMEN_OK; id++) {
        const om_field *field = om_schema_at(c->schema, id);
        if (field->type == OMEN_TYPE_TEXT) {
            OM_TRY(reserve_texts(c, 1, err));
            OM_TRY(add_text(c, field, err));
        }
    }
out:
    return status;
}

void om_schema_detach(om_collection *c)
{
    struct om_text_list *list = atomic_load(&c->texts);
    for (uint32_t i = 0; list != NULL && i < atomic_load(&list->count); i++) {
        om_analyser_free(list->field[i].analyser);
    }
    while (list != NULL) {
        struct om_text_list *former = list->former;
        om_alloc_put(&c->rt->alloc, list, size_of(list->room), OM_CACHE_LINE);
        list = former;
    }
    atomic_store(&c->texts, NULL);
    om_schema_free(c->schema);
    c->schema = NULL;
}

/* ---- From bytes ------------------------------------------------------------------------------------ */
omen_status_t om_schema_take(om_collection *c, const uint8_t *bytes, size_t size, omen_error *err)
{
    om_mutex_lock(&c->write_mu);
    bool logged = c->schema_logged == om_schema_count(c->schema);
    omen_status_t status = om_schema_import(c->schema, bytes, size, err);
    if (status == OMEN_OK) {
        status = om_schema_attach_texts(c, err);
    }
    c->schema_logged = logged ? om_schema_count(c->schema) : c->schema_logged;
    om_mutex_unlock(&c->write_mu);
    return status;
}

/* Only what the log has, so that a manifest or a file never knows a field that the log brings later: no
 * accepted row has the others. */
omen_status_t om_schema_give(om_collection *c, uint8_t **bytes, size_t *size, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_schema *known = NULL;
    uint32_t count = om_schema_count(c->schema);
    count = c->db->disk != NULL ? om_min_u32(count, c->schema_logged) : count;
    *bytes = NULL;
    *size = 0;
    if (count == 0) {
        return OMEN_OK;
    }
    OM_TRY(om_schema_create(&c->rt->alloc, &known, err));
    for (uint32_t id = 0; id < count; id++) {
        om_field copy = *om_schema_at(c->schema, id);
        OM_TRY(om_schema_add(known, &copy, err));
    }
    *size = om_schema_export_size(known, 0);
    *bytes = om_alloc_get(&c->rt->alloc, *size, 8);
    if (*bytes == NULL) {
        status = om_fail_memory(err, "fields", *size);
        goto out;
    }
    om_schema_export(known, 0, *bytes);
out:
    om_schema_free(known);
    return status;
}

/* ---- Declaring ------------------------------------------------------------------------------------- */
/* Checked fields, and their analysers made once to see that there are such languages. */
static omen_status_t check_fields(om_collection *c, const omen_field *fields, uint64_t count,
                                  om_field *out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (uint64_t i = 0; i < count; i++) {
        OM_TRY(om_field_check(&fields[i], &out[i], err));
        if (out[i].type == OMEN_TYPE_TEXT) {
            om_analyser *analyser = NULL;
            const om_analyser_options options = {
                .language = out[i].language[0] != '\0' ? out[i].language : NULL,
                .flags = out[i].flags};
            OM_TRY(om_analyser_create(&c->rt->alloc, &options, &analyser, err));
            om_analyser_free(analyser);
        }
    }
out:
    return status;
}

/* None is added unless all can be: each is looked up, against the schema and against those before it. */
static omen_status_t check_new(om_collection *c, om_field *fields, uint64_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_schema *trial = NULL;
    uint32_t known = om_schema_count(c->schema);
    OM_TRY(om_schema_create(&c->rt->alloc, &trial, err));
    for (uint32_t id = 0; id < known; id++) {
        om_field copy = *om_schema_at(c->schema, id);
        OM_TRY(om_schema_add(trial, &copy, err));
    }
    for (uint64_t i = 0; i < count; i++) {
        om_field copy = fields[i];
        OM_TRY(om_schema_add(trial, &copy, err));
    }
out:
    om_schema_free(trial);
    return status;
}

/* write_mu held, or the collection is nobody else's yet. */
static omen_status_t add_fields(om_collection *c, om_field *fields, uint64_t count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    uint32_t texts = 0;
    OM_TRY(check_new(c, fields, count, err));
    for (uint64_t i = 0; i < count; i++) {
        texts += fields[i].type == OMEN_TYPE_TEXT;
    }
    if (texts != 0) {
        OM_TRY(reserve_texts(c, texts, err));
    }
    for (uint64_t i = 0; i < count; i++) {
        OM_TRY(om_schema_add(c->schema, &fields[i], err));
    }
    OM_TRY(om_schema_attach_texts(c, err));
out:
    return status;
}

omen_status_t om_schema_declare(om_collection *c, const omen_field *fields, uint64_t count,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_field *checked = NULL;
    if (count == 0) {
        return OMEN_OK;
    }
    if (fields == NULL || count > OMEN_MAX_FIELDS) {
        return om_fail(
            err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, "fields: %s with %llu of them, at most %u",
            fields == NULL ? "NULL" : "too many", (unsigned long long)count, OMEN_MAX_FIELDS);
    }
    checked = om_alloc_zero(&c->rt->alloc, (size_t)count, sizeof *checked, OM_CACHE_LINE);
    if (checked == NULL) {
        return om_fail_memory(err, "fields", count * sizeof *checked);
    }
    OM_TRY(check_fields(c, fields, count, checked, err));
    om_mutex_lock(&c->write_mu);
    status = add_fields(c, checked, count, err);
    if (status == OMEN_OK && c->db->disk != NULL && c->serial != 0) {
        status = om_record_fields(c, err);
    }
    om_mutex_unlock(&c->write_mu);
out:
    om_alloc_put(&c->rt->alloc, checked, (size_t)count * sizeof *checked, OM_CACHE_LINE);
    return status;
}

omen_status_t om_collection_declare_fields(omen_collection *handle, const omen_field *fields,
                                           uint64_t count, omen_error *err)
{
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    omen_status_t status = om_collection_writable(handle, false, err);
    if (status == OMEN_OK) {
        status = om_schema_declare(c, fields, count, err);
    }
    return om_explain_memory(c->rt, rejections, status, err);
}

omen_status_t om_collection_list_fields(omen_collection *handle, omen_field *fields,
                                        uint64_t capacity, uint64_t *count, omen_error *err)
{
    om_collection *c = handle->c;
    omen_status_t status = om_collection_alive(c, err);
    if (status != OMEN_OK) {
        return status;
    }
    uint32_t there = om_schema_count(c->schema);
    for (uint32_t id = 0; id < there && id < capacity; id++) {
        om_field_describe(om_schema_at(c->schema, id), &fields[id]);
    }
    *count = there;
    return OMEN_OK;
}
