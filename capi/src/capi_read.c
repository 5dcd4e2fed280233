/* capi_read.c - searching and fetching.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

static omen_status_t check(const void *collection, omen_error *err)
{
    return om_handle_check(collection, OM_MAGIC_COLLECTION, "c", err);
}

omen_status_t omen_search(omen_collection *c, const omen_query *query, omen_hits *hits,
                          omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_query q;
    omen_hits h;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(query, "query", err));
    OM_TRY(om_pointer_check(hits, "hits", err));
    OM_TRY(om_struct_in(&q, sizeof q, query, "omen_query", err));
    OM_TRY(om_struct_in(&h, sizeof h, hits, "omen_hits", err));
    OM_TRY(om_op_check(q.op, err));
    OM_TRY(om_filter_check(q.filter, err));
    OM_TRY(om_collection_search(c, &q, &h, err));
    /* The only field that is written; an older caller's struct ends before it. */
    if (hits->struct_size >= offsetof(omen_hits, version) + sizeof hits->version) {
        hits->version = h.version;
    }
out:
    return status;
}

omen_status_t omen_search_f32(omen_collection *c, const float *queries, uint32_t count, uint32_t k,
                              uint32_t ef, uint64_t *keys, float *distances, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_options options;
    OM_TRY(check(c, err));
    OM_TRY(om_collection_describe(c, &options, err));
    omen_query query = {.struct_size = sizeof query,
                        .vectors = queries,
                        .dtype = OMEN_F32,
                        .dim = options.dim,
                        .count = count,
                        .k = k,
                        .ef = ef,
                        .threads = 1};
    omen_hits hits = {.struct_size = sizeof hits, .keys = keys, .distances = distances};
    OM_TRY(om_collection_search(c, &query, &hits, err));
out:
    return status;
}

omen_status_t omen_lookup(omen_collection *c, const omen_column *ids, uint64_t count,
                          uint64_t *keys, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(ids, "ids", err));
    if (count != 0) {
        OM_TRY(om_pointer_check(keys, "keys", err));
    }
    OM_TRY(om_collection_lookup(c, ids, count, keys, err));
out:
    return status;
}

omen_status_t omen_get_vectors(omen_collection *c, const uint64_t *keys, uint64_t count, void *out,
                               uint64_t stride, uint32_t dtype, uint8_t *found, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    if (count != 0) {
        OM_TRY(om_pointer_check(keys, "keys", err));
        OM_TRY(om_pointer_check(out, "out", err));
    }
    om_get get = {
        .keys = keys, .count = count, .out = out, .stride = stride, .dtype = dtype, .found = found};
    OM_TRY(om_collection_get(c, &get, err));
out:
    return status;
}

static omen_status_t fetch(omen_collection *c, const om_fetch *in, omen_rows **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    if (in->count != 0) {
        OM_TRY(om_pointer_check(in->keys, "keys", err));
    }
    if (in->name_count != 0) {
        OM_TRY(om_pointer_check(in->names, "names", err));
    }
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_collection_fetch(c, in, out, err));
out:
    return status;
}

omen_status_t omen_fetch(omen_collection *c, const uint64_t *keys, uint64_t count, uint32_t fields,
                         omen_rows **out, omen_error *err)
{
    om_fetch in = {.keys = keys, .count = count, .fields = fields};
    return fetch(c, &in, out, err);
}

omen_status_t omen_fetch_fields(omen_collection *c, const uint64_t *keys, uint64_t count,
                                uint32_t fields, const char *const *names, uint64_t name_count,
                                omen_rows **out, omen_error *err)
{
    om_fetch in = {.keys = keys,
                   .count = count,
                   .fields = fields,
                   .some = true,
                   .names = names,
                   .name_count = name_count};
    return fetch(c, &in, out, err);
}

uint64_t omen_rows_count(const omen_rows *r)
{
    const void *head = r;
    return om_handle_owned(head, OM_MAGIC_ROWS) ? om_rows_count(r) : 0;
}

void omen_rows_column(const omen_rows *r, uint32_t field, omen_column *out)
{
    const void *head = r;
    if (out != NULL && om_handle_owned(head, OM_MAGIC_ROWS)) {
        om_rows_column(r, field, out);
    } else if (out != NULL) {
        *out = (omen_column){.data = NULL};
    }
}

void omen_rows_free(omen_rows *r)
{
    const void *head = r;
    if (om_handle_owned(head, OM_MAGIC_ROWS)) {
        om_rows_free(r);
    }
}

omen_status_t omen_scan(omen_collection *c, uint64_t *cursor, uint64_t *keys, uint64_t capacity,
                        uint64_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(cursor, "cursor", err));
    OM_TRY(om_pointer_check(count, "count", err));
    if (capacity != 0) {
        OM_TRY(om_pointer_check(keys, "keys", err));
    }
    om_scan scan = {.cursor = cursor, .keys = keys, .capacity = capacity, .count = count};
    OM_TRY(om_collection_scan(c, &scan, err));
out:
    return status;
}
