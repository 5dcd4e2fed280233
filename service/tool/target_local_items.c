/* target_local_items.c - reads the items of a local collection: their ids, vectors, metadata and versions; by
 * id, or in a walk over all of them or those that pass.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "target_local.h"

/* Metadata of so many items are fetched at a time: at most 64 MiB. A walk stops a page at 4 MiB. */
enum { ITEMS_A_FETCH = 64, PAGE_BYTES = 4 << 20 };

void om_local_rest(om_local *t)
{
    omen_filter_free(t->filter);
    omen_filter_free(t->walk.filter);
    omen_collection_free(t->walk.snapshot);
    free(t->walk.keys);
    memset(&t->walk, 0, sizeof t->walk);
    t->filter = NULL;
    t->filter_of = NULL;
}

bool om_local_compile(omen_collection *c, const om_condition *where, omen_filter **out,
                      om_tool_error *err)
{
    omen_error why;
    return omen_filter_compile(c, where->text, strlen(where->text), where->params,
                               where->param_count, out, &why) == OMEN_OK
               ? true
               : om_tool_fail_omen(err, &why);
}

bool om_local_filter(om_local *t, const om_condition *where, const omen_filter **out,
                     om_tool_error *err)
{
    *out = NULL;
    if (where == NULL || where->text == NULL) {
        return true;
    }
    if (t->filter_of != where) {
        omen_filter *made = NULL;
        if (!om_local_compile(t->collection, where, &made, err)) {
            return false;
        }
        omen_filter_free(t->filter);
        t->filter = made;
        t->filter_of = where;
    }
    *out = t->filter;
    return true;
}

bool om_local_fields(om_target *base, om_field_list *out, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_error why;
    uint64_t count = 0;
    if (!om_field_list_make(out, OMEN_MAX_FIELDS, err)) {
        return false;
    }
    if (omen_list_fields(t->collection, out->items, OMEN_MAX_FIELDS, &count, &why) != OMEN_OK) {
        om_field_list_free(out);
        return om_tool_fail_omen(err, &why);
    }
    out->count = (size_t)(count < OMEN_MAX_FIELDS ? count : OMEN_MAX_FIELDS);
    return true;
}

bool om_local_count(om_target *base, const om_condition *where, uint64_t *count, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    const omen_filter *filter;
    omen_error why;
    if (!om_local_filter(t, where, &filter, err)) {
        return false;
    }
    omen_status_t status = filter != NULL ? omen_count_where(t->collection, filter, count, &why)
                                          : omen_count(t->collection, count, &why);
    return status == OMEN_OK ? true : om_tool_fail_omen(err, &why);
}

bool om_local_facet(om_target *base, const om_condition *where, const char *field, uint32_t limit,
                    om_facet *out, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    const omen_filter *filter;
    omen_rows *rows = NULL;
    omen_error why;
    if (!om_local_filter(t, where, &filter, err)) {
        return false;
    }
    if (omen_facet(t->collection, filter, field, limit, &rows, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    omen_column values, counts;
    size_t n = (size_t)omen_rows_count(rows);
    omen_rows_column(rows, OMEN_FIELD_VALUE, &values);
    omen_rows_column(rows, OMEN_FIELD_COUNT, &counts);
    out->counts = calloc(n + 1, sizeof *out->counts);
    bool ok = out->counts != NULL ? om_json_column_add_view(&out->values, &values, n, err)
                                  : om_tool_no_memory(err, n * sizeof *out->counts);
    if (ok && n > 0) {
        memcpy(out->counts, counts.data, n * sizeof *out->counts);
    }
    omen_rows_free(rows);
    return ok;
}

/* Keys of ids; OMEN_NONE where an id does not exist (u64 collections: the id itself). */
bool om_local_keys(omen_collection *c, const om_ids *ids, uint64_t *keys, om_tool_error *err)
{
    omen_column column;
    const uint64_t *direct;
    omen_error why;
    om_ids_column(ids, 0, &column, &direct);
    if (direct != NULL || ids->count == 0) {
        for (size_t i = 0; i < ids->count; i++) {
            keys[i] = direct[i];
        }
        return true;
    }
    return omen_lookup(c, &column, ids->count, keys, &why) == OMEN_OK
               ? true
               : om_tool_fail_omen(err, &why);
}

/* Appends n ids of a fetched column. */
static bool add_ids(const omen_rows *rows, const uint64_t *keys, size_t n, om_ids *ids,
                    om_tool_error *err)
{
    bool ok = true;
    omen_column column = {0};
    if (ids->type != OMEN_ID_U64) {
        omen_rows_column(rows, OMEN_FIELD_ID, &column);
    }
    const char *data = column.data;
    for (size_t i = 0; ok && i < n; i++) {
        if (ids->type == OMEN_ID_U64) {
            ok = om_ids_add_u64(ids, keys[i], err);
        } else if (ids->type == OMEN_ID_UUID) {
            ok = om_ids_add_uuid(ids, (const uint8_t *)data + 16 * i, err);
        } else {
            int64_t at[2];
            memcpy(at, (const char *)column.offsets + 8 * i, sizeof at);
            ok = om_ids_add_string(ids, data + at[0], (size_t)(at[1] - at[0]), err);
        }
    }
    return ok;
}

/* The same for at most ITEMS_A_FETCH keys. */
static bool take_some(omen_collection *c, const uint64_t *keys, size_t n, om_ids *ids,
                      const om_item_parts *parts, size_t done, om_tool_error *err)
{
    bool metadata = parts != NULL && parts->metadata != NULL;
    bool versions = parts != NULL && parts->versions != NULL;
    uint32_t wanted = (ids != NULL && ids->type != OMEN_ID_U64 ? OMEN_FIELD_ID : 0) |
                      (metadata ? OMEN_FIELD_METADATA : 0) | (versions ? OMEN_FIELD_VERSION : 0);
    const om_texts *shown = metadata ? parts->shown : NULL;
    omen_rows *rows = NULL;
    omen_error why;
    omen_status_t status =
        wanted == 0 ? OMEN_OK
        : shown != NULL && shown->count > 0
            ? omen_fetch_fields(c, keys, n, wanted, shown->items, shown->count, &rows, &why)
            : omen_fetch(c, keys, n, wanted, &rows, &why);
    bool ok = status == OMEN_OK ? true : om_tool_fail_omen(err, &why);
    ok = ok && (ids == NULL || add_ids(rows, keys, n, ids, err));
    omen_column column;
    if (ok && metadata) {
        omen_rows_column(rows, OMEN_FIELD_METADATA, &column);
        ok = om_json_column_add_view(parts->metadata, &column, n, err);
    }
    if (ok && versions) {
        omen_rows_column(rows, OMEN_FIELD_VERSION, &column);
        memcpy(parts->versions + done, column.data, n * sizeof *parts->versions);
    }
    omen_rows_free(rows);
    return ok;
}

bool om_local_take(omen_collection *c, const uint64_t *keys, size_t n, om_ids *ids,
                   const om_item_parts *parts, om_tool_error *err)
{
    bool ok = true;
    for (size_t at = 0; ok && at < n; at += ITEMS_A_FETCH) {
        size_t some = n - at < ITEMS_A_FETCH ? n - at : ITEMS_A_FETCH;
        ok = take_some(c, keys + at, some, ids, parts, at, err);
    }
    return ok;
}

bool om_local_get(om_target *base, const om_ids *ids, const om_item_parts *parts, uint8_t *found,
                  om_tool_error *err)
{
    om_local *t = (om_local *)base;
    size_t row = t->base.dim * om_tool_dtype_width(t->base.dtype);
    uint64_t *keys = calloc(ids->count + 1, sizeof *keys);
    char *unwanted = malloc(row);
    if (keys == NULL || unwanted == NULL) {
        free(keys);
        free(unwanted);
        return om_tool_no_memory(err, ids->count * sizeof *keys);
    }
    bool ok = om_local_keys(t->collection, ids, keys, err);
    for (size_t i = 0; ok && i < ids->count; i++) {
        char *to = parts->vectors != NULL ? (char *)parts->vectors + i * row : unwanted;
        omen_error why;
        found[i] = 0;
        ok = keys[i] == OMEN_NONE ||
             omen_get_vectors(t->collection, &keys[i], 1, to, 0, 0, &found[i], &why) == OMEN_OK ||
             om_tool_fail_omen(err, &why);
    }
    if (ok && (parts->metadata != NULL || parts->versions != NULL)) {
        ok = om_local_take(t->collection, keys, ids->count, NULL, parts, err);
    }
    free(unwanted);
    free(keys);
    return ok;
}

/* ---- Walks --------------------------------------------------------------------------------------- */

static bool walk_begin(om_local *t, const om_scan_params *p, om_tool_error *err)
{
    struct om_local_walk *w = &t->walk;
    omen_error why;
    w->begun = true;
    if (omen_snapshot(t->collection, &w->snapshot, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    return p->where == NULL || p->where->text == NULL ||
           om_local_compile(w->snapshot, p->where, &w->filter, err);
}

/* The next page of keys. */
static bool walk_page(om_local *t, const om_scan_params *p, om_tool_error *err)
{
    struct om_local_walk *w = &t->walk;
    omen_error why;
    uint64_t count = 0;
    uint64_t *grown = reallocarray(w->keys, p->most, sizeof *grown);
    if (grown == NULL) {
        return om_tool_no_memory(err, p->most * sizeof *grown);
    }
    bool first = w->keys == NULL;
    w->keys = grown;
    omen_status_t status;
    if (w->filter != NULL || p->order_by != NULL) {
        omen_listing listing = {.struct_size = sizeof listing,
                                .flags = (p->descending ? OMEN_LIST_DESCENDING : 0u) |
                                         (first ? 0u : OMEN_LIST_AFTER),
                                .filter = w->filter,
                                .order_by = p->order_by,
                                .after = w->last};
        status = omen_list_items(w->snapshot, &listing, w->keys, p->most, &count, &why);
    } else {
        status = omen_scan(w->snapshot, &w->cursor, w->keys, p->most, &count, &why);
    }
    if (status != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    w->count = (size_t)count;
    w->next = 0;
    w->ended = count < p->most;
    w->last = count > 0 ? w->keys[count - 1] : 0;
    return true;
}

bool om_local_scan(om_target *base, const om_scan_params *p, om_ids *ids,
                   const om_item_parts *parts, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    struct om_local_walk *w = &t->walk;
    omen_error why;
    ids->type = base->id_type;
    om_ids_clear(ids);
    if (parts->metadata != NULL) {
        om_json_column_clear(parts->metadata);
    }
    if (!w->begun && !walk_begin(t, p, err)) {
        return false;
    }
    if (w->next == w->count && !w->ended && !walk_page(t, p, err)) {
        return false;
    }
    size_t first = w->next;
    bool ok = true, full = false;
    while (ok && !full && w->next < w->count && w->next - first < p->most) {
        size_t left = w->count - w->next, room = p->most - (w->next - first);
        left = left < room ? left : room;
        size_t n = left < ITEMS_A_FETCH ? left : ITEMS_A_FETCH;
        ok = take_some(w->snapshot, w->keys + w->next, n, ids, parts, 0, err);
        w->next += n;
        full = parts->metadata != NULL && om_json_column_bytes(parts->metadata) >= PAGE_BYTES;
    }
    size_t n = w->next - first;
    if (ok && parts->vectors != NULL && n > 0 &&
        omen_get_vectors(w->snapshot, w->keys + first, n, parts->vectors, 0, 0, NULL, &why) !=
            OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    return ok;
}
