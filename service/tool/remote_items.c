/* remote_items.c - items of a collection of a server: get, count, facets, delete; and its fields.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "remote_pack.h"

/* An arena for the parts of a request. */
static om_arena request_arena(void)
{
    om_arena arena;
    om_arena_init(&arena, NULL, 0, 0);
    return arena;
}

/* ---- Fields --------------------------------------------------------------------------------------- */

static void take_field(const Omen__V1__Field *from, omen_field *to)
{
    (void)snprintf(to->name, sizeof to->name, "%s", from->name);
    (void)snprintf(to->language, sizeof to->language, "%s", from->language);
    to->type = (uint32_t)from->type | (from->array ? OMEN_TYPE_ARRAY : 0u);
    to->weight = from->weight;
    to->flags = (from->stop_words ? OMEN_FIELD_STOP_WORDS : 0u) |
                (from->no_stemming ? OMEN_FIELD_NO_STEMMING : 0u);
}

bool om_remote_fields(om_target *base, om_field_list *out, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    Omen__V1__GetCollectionRequest request;
    omen__v1__get_collection_request__init(&request);
    request.name = om_remote_text(t->name);
    const Omen__V1__Collection *c =
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Collections/GetCollection", &request.base,
                       &omen__v1__collection__descriptor, &t->arena, err);
    size_t n = c != NULL && c->config != NULL ? c->config->n_fields : 0;
    if (c == NULL || !om_field_list_make(out, n, err)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        take_field(c->config->fields[i], &out->items[out->count++]);
    }
    return true;
}

bool om_remote_declare(om_target *base, const om_field_list *fields, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    om_arena arena = request_arena();
    Omen__V1__DeclareFieldsRequest request;
    omen__v1__declare_fields_request__init(&request);
    request.name = om_remote_text(t->name);
    request.n_fields = fields->count;
    bool ok =
        om_remote_pack_fields(fields->items, fields->count, &arena, &request.fields, err) &&
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Collections/DeclareFields", &request.base,
                       &omen__v1__collection__descriptor, &t->arena, err) != NULL;
    om_arena_reset(&arena);
    return ok;
}

/* ---- Counting -------------------------------------------------------------------------------------- */

/* NULL: *err is set. */
static const Omen__V1__CountResponse *ask_count(om_remote *t, const om_condition *where,
                                                Omen__V1__FacetRequest *facet, om_tool_error *err)
{
    om_arena arena = request_arena();
    om_packed_filter filter;
    Omen__V1__CountRequest request;
    omen__v1__count_request__init(&request);
    request.collection = om_remote_text(t->name);
    const Omen__V1__CountResponse *answer = NULL;
    if (om_remote_filter(where, &arena, &filter, err)) {
        request.filter = filter.text;
        request.n_params = filter.count;
        request.params = filter.params;
        request.n_facets = facet != NULL ? 1 : 0;
        request.facets = &facet;
        answer = om_remote_call(&t->endpoint, t->client, "/omen.v1.Items/Count", &request.base,
                                &omen__v1__count_response__descriptor, &t->arena, err);
    }
    om_arena_reset(&arena);
    return answer;
}

bool om_remote_count(om_target *base, const om_condition *where, uint64_t *count,
                     om_tool_error *err)
{
    const Omen__V1__CountResponse *answer = ask_count((om_remote *)base, where, NULL, err);
    if (answer != NULL) {
        *count = answer->count;
    }
    return answer != NULL;
}

bool om_remote_facet(om_target *base, const om_condition *where, const char *field, uint32_t limit,
                     om_facet *out, om_tool_error *err)
{
    Omen__V1__FacetRequest request;
    omen__v1__facet_request__init(&request);
    request.field = om_remote_text(field);
    request.limit = limit;
    const Omen__V1__CountResponse *answer = ask_count((om_remote *)base, where, &request, err);
    if (answer == NULL) {
        return false;
    }
    const Omen__V1__Facet *f = answer->n_facets == 1 ? answer->facets[0] : NULL;
    if (f == NULL || f->n_values != f->n_counts) {
        return om_tool_fail(err, OM_EXIT_RUNTIME, "the server's answer has no facet of '%s'",
                            field);
    }
    out->counts = calloc(f->n_counts + 1, sizeof *out->counts);
    bool ok = out->counts != NULL ? true : om_tool_no_memory(err, f->n_counts);
    for (size_t i = 0; ok && i < f->n_values; i++) {
        out->counts[i] = f->counts[i];
        ok = om_json_column_add(&out->values, f->values[i], strlen(f->values[i]), err);
    }
    return ok;
}

/* ---- Getting ---------------------------------------------------------------------------------------- */

/* Marks what is missing; *present tells how many are there. */
static void mark_found(const Omen__V1__BatchGetResponse *answer, size_t count, uint8_t *found,
                       size_t *present)
{
    memset(found, 1, count);
    *present = count;
    for (size_t i = 0; i < answer->n_missing; i++) {
        if (answer->missing[i] < count && found[answer->missing[i]] != 0) {
            found[answer->missing[i]] = 0;
            (*present)--;
        }
    }
}

static bool take_vectors(const om_remote *t, const Omen__V1__ItemBatch *items, const uint8_t *found,
                         size_t count, size_t present, char *vectors, om_tool_error *err)
{
    size_t row = t->base.dim * om_tool_dtype_width(t->base.dtype);
    const Omen__V1__VectorColumn *column = items != NULL ? items->vectors : NULL;
    size_t bytes = column != NULL ? column->data.len : 0;
    if (bytes != present * row) {
        return om_tool_fail(err, OM_EXIT_RUNTIME,
                            "the server's answer has %zu bytes of vectors, not %zu", bytes,
                            present * row);
    }
    for (size_t i = 0, at = 0; i < count; i++) {
        if (found[i] != 0) {
            memcpy(vectors + i * row, column->data.data + at, row);
            at += row;
        }
    }
    return true;
}

/* Metadata and versions; those of missing items are empty. */
static bool take_rest(const Omen__V1__ItemBatch *items, const uint8_t *found, size_t count,
                      size_t present, const om_item_parts *parts, size_t first, om_tool_error *err)
{
    const Omen__V1__Metadata *m = items != NULL ? items->metadata : NULL;
    size_t have = m != NULL ? m->n_json : 0;
    size_t versions = items != NULL ? items->n_versions : 0;
    if ((have != 0 && have != present) || (versions != 0 && versions != present)) {
        return om_tool_fail(err, OM_EXIT_RUNTIME, "the server's answer does not fit its ids");
    }
    bool ok = true;
    for (size_t i = 0, at = 0; ok && i < count; i++) {
        bool there = found[i] != 0;
        if (parts->versions != NULL) {
            parts->versions[first + i] = there && versions != 0 ? items->versions[at] : 0;
        }
        if (parts->metadata != NULL) {
            bool some = there && have != 0;
            ok = om_json_column_add(parts->metadata, some ? (const char *)m->json[at].data : "",
                                    some ? m->json[at].len : 0, err);
        }
        at += there ? 1 : 0;
    }
    return ok;
}

/* Fetches ids [first, first + count) of the request. */
static bool get_some(om_remote *t, const om_ids *ids, size_t first, size_t count,
                     const om_item_parts *parts, uint8_t *found, om_tool_error *err)
{
    char **texts;
    Omen__V1__Ids wire;
    Omen__V1__BatchGetRequest request;
    omen__v1__batch_get_request__init(&request);
    if (!om_remote_ids(ids, first, count, &wire, &texts, err)) {
        return false;
    }
    request.collection = om_remote_text(t->name);
    request.ids = &wire;
    request.with_vectors = parts->vectors != NULL;
    request.with_metadata = parts->metadata != NULL;
    request.with_versions = parts->versions != NULL;
    request.fields =
        om_remote_names(parts->metadata != NULL ? parts->shown : NULL, &request.n_fields);
    const Omen__V1__BatchGetResponse *answer =
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Items/BatchGet", &request.base,
                       &omen__v1__batch_get_response__descriptor, &t->arena, err);
    free(texts);
    if (answer == NULL) {
        return false;
    }
    size_t present;
    size_t row = t->base.dim * om_tool_dtype_width(t->base.dtype);
    mark_found(answer, count, found, &present);
    return (parts->vectors == NULL || take_vectors(t, answer->items, found, count, present,
                                                   (char *)parts->vectors + first * row, err)) &&
           take_rest(answer->items, found, count, present, parts, first, err);
}

bool om_remote_get_items(om_target *base, const om_ids *ids, const om_item_parts *parts,
                         uint8_t *found, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    size_t row = base->dim * om_tool_dtype_width(base->dtype);
    size_t most = parts->metadata != NULL ? 64 : 5000;
    size_t fit = (4u << 20) / row;
    most = parts->vectors == NULL || fit > most ? most : fit < 1 ? 1 : fit;
    for (size_t first = 0; first < ids->count; first += most) {
        size_t count = ids->count - first < most ? ids->count - first : most;
        if (!get_some(t, ids, first, count, parts, found + first, err)) {
            return false;
        }
    }
    return true;
}

/* ---- Deleting --------------------------------------------------------------------------------------- */

static bool send_delete(om_remote *t, Omen__V1__WriteBatch *batch, uint64_t *removed,
                        om_tool_error *err)
{
    char request_id[64];
    Omen__V1__BatchWriteRequest request;
    omen__v1__batch_write_request__init(&request);
    om_remote_random_id(request_id, sizeof request_id, "omen-delete");
    batch->op = OMEN__V1__WRITE_OP__WRITE_OP_DELETE;
    request.collection = om_remote_text(t->name);
    request.request_id = request_id;
    request.batch = batch;
    const Omen__V1__BatchWriteResponse *answer =
        om_remote_call(&t->endpoint, t->client, "/omen.v1.Items/BatchWrite", &request.base,
                       &omen__v1__batch_write_response__descriptor, &t->arena, err);
    if (answer != NULL) {
        *removed += answer->applied;
    }
    return answer != NULL;
}

bool om_remote_erase(om_target *base, const om_ids *ids, uint64_t *removed, om_tool_error *err)
{
    enum { IDS_A_CALL = 10000 };
    bool ok = true;
    *removed = 0;
    for (size_t first = 0; ok && first < ids->count; first += IDS_A_CALL) {
        size_t count = ids->count - first < IDS_A_CALL ? ids->count - first : IDS_A_CALL;
        char **texts;
        Omen__V1__Ids wire;
        Omen__V1__ItemBatch items;
        omen__v1__item_batch__init(&items);
        Omen__V1__WriteBatch batch;
        omen__v1__write_batch__init(&batch);
        if (!om_remote_ids(ids, first, count, &wire, &texts, err)) {
            return false;
        }
        items.ids = &wire;
        batch.items = &items;
        ok = send_delete((om_remote *)base, &batch, removed, err);
        free(texts);
    }
    return ok;
}

bool om_remote_erase_where(om_target *base, const om_condition *where, uint64_t *removed,
                           om_tool_error *err)
{
    om_arena arena = request_arena();
    om_packed_filter filter;
    Omen__V1__WriteBatch batch;
    omen__v1__write_batch__init(&batch);
    *removed = 0;
    bool ok = om_remote_filter(where, &arena, &filter, err);
    if (ok) {
        batch.delete_filter = filter.text;
        batch.n_params = filter.count;
        batch.params = filter.params;
        ok = send_delete((om_remote *)base, &batch, removed, err);
    }
    om_arena_reset(&arena);
    return ok;
}
