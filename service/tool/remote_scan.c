/* remote_scan.c - all items of a collection of a server, page by page, as they were at the first one.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "remote_pack.h"

/* Rows that a page may have and still be far below the limit of a message. */
static size_t page_rows(const om_target *t, size_t most)
{
    size_t row = t->dim * om_tool_dtype_width(t->dtype);
    size_t rows = (4u << 20) / row;
    rows = rows < most ? rows : most;
    return rows < 1 ? 1 : rows > 10000 ? 10000 : rows;
}

static bool take_page(om_remote *t, const Omen__V1__ListResponse *page, size_t most, om_ids *ids,
                      const om_item_parts *parts, om_tool_error *err)
{
    size_t row = t->base.dim * om_tool_dtype_width(t->base.dtype);
    const Omen__V1__ItemBatch *items = page->items;
    size_t rows = items != NULL ? om_remote_ids_count(items->ids) : 0;
    size_t bytes = items != NULL && items->vectors != NULL ? items->vectors->data.len : 0;
    if (rows > most || bytes != (parts->vectors != NULL ? rows * row : 0)) {
        return om_tool_fail(err, OM_EXIT_RUNTIME,
                            "the server's answer has %zu ids and %zu bytes of vectors", rows,
                            bytes);
    }
    if (strlen(page->next_page_token) >= sizeof t->token) {
        return om_tool_fail(err, OM_EXIT_RUNTIME, "the server's page token is too long");
    }
    (void)snprintf(t->token, sizeof t->token, "%s", page->next_page_token);
    t->listed = t->token[0] == '\0';
    if (rows == 0) {
        return true;
    }
    if (parts->vectors != NULL) {
        memcpy(parts->vectors, items->vectors->data.data, bytes);
    }
    return (parts->metadata == NULL ||
            om_remote_take_metadata(items->metadata, rows, parts->metadata, err)) &&
           om_remote_take_ids(items->ids, ids, err);
}

bool om_remote_scan(om_target *base, const om_scan_params *p, om_ids *ids,
                    const om_item_parts *parts, om_tool_error *err)
{
    om_remote *t = (om_remote *)base;
    om_arena arena;
    om_packed_filter filter;
    ids->type = base->id_type;
    om_ids_clear(ids);
    if (parts->metadata != NULL) {
        om_json_column_clear(parts->metadata);
    }
    om_arena_init(&arena, NULL, 0, 0);
    bool ok = om_remote_filter(p->where, &arena, &filter, err);
    /* A page may be empty and another one follow it. */
    while (ok && !t->listed && ids->count == 0) {
        Omen__V1__ListRequest request;
        omen__v1__list_request__init(&request);
        request.collection = om_remote_text(t->name);
        request.page_size = (uint32_t)page_rows(base, p->most);
        request.page_token = t->token;
        request.with_vectors = parts->vectors != NULL;
        request.with_metadata = parts->metadata != NULL;
        request.fields =
            om_remote_names(parts->metadata != NULL ? parts->shown : NULL, &request.n_fields);
        request.filter = filter.text;
        request.n_params = filter.count;
        request.params = filter.params;
        request.order_by = om_remote_text(p->order_by != NULL ? p->order_by : "");
        request.descending = p->descending;
        const Omen__V1__ListResponse *page =
            om_remote_call(&t->endpoint, t->client, "/omen.v1.Items/List", &request.base,
                           &omen__v1__list_response__descriptor, &t->arena, err);
        ok = page != NULL && take_page(t, page, p->most, ids, parts, err);
    }
    om_arena_reset(&arena);
    return ok;
}
