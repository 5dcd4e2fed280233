/* capi_find.c - filters, searches of several parts, counts, facets, listings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "capi_int.h"

static omen_status_t check(const void *collection, omen_error *err)
{
    return om_handle_check(collection, OM_MAGIC_COLLECTION, "c", err);
}

omen_status_t om_filter_check(const void *filter, omen_error *err)
{
    return filter == NULL ? OMEN_OK : om_handle_check(filter, OM_MAGIC_FILTER, "filter", err);
}

/* ---- Filters ------------------------------------------------------------------------------------- */
omen_status_t omen_filter_compile(omen_collection *c, const char *text, size_t text_len,
                                  const omen_param *params, uint64_t param_count, omen_filter **out,
                                  omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_condition condition = {
        .text = text, .length = text_len, .params = params, .param_count = param_count};
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(out, "out", err));
    if (text_len != 0) {
        OM_TRY(om_pointer_check(text, "text", err));
    }
    if (param_count != 0) {
        OM_TRY(om_pointer_check(params, "params", err));
    }
    OM_TRY(om_filter_compile(c, &condition, out, err));
out:
    return status;
}

omen_status_t omen_filter_from_keys(omen_collection *c, const uint64_t *keys, uint64_t count,
                                    omen_filter **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(out, "out", err));
    if (count != 0) {
        OM_TRY(om_pointer_check(keys, "keys", err));
    }
    OM_TRY(om_filter_from_keys(c, keys, count, out, err));
out:
    return status;
}

void omen_filter_free(omen_filter *filter)
{
    void *head = filter;
    if (om_handle_owned(head, OM_MAGIC_FILTER)) {
        om_filter_free(filter);
    }
}

omen_status_t omen_count_where(omen_collection *c, const omen_filter *filter, uint64_t *count,
                               omen_error *err)
{
    omen_status_t status = OMEN_OK;
    OM_TRY(check(c, err));
    OM_TRY(om_filter_check(filter, err));
    OM_TRY(om_pointer_check(count, "count", err));
    OM_TRY(om_collection_count_where(c, filter, count, err));
out:
    return status;
}

omen_status_t omen_delete_where(omen_collection *c, const omen_filter *filter,
                                const omen_batch *batch, omen_write_result *result, omen_op *op,
                                omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_batch origin;
    omen_write_result done = {.struct_size = sizeof done};
    size_t room = 0;
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(filter, "filter", err)); /* all items: nobody means that by NULL */
    OM_TRY(om_filter_check(filter, err));
    OM_TRY(om_op_check(op, err));
    OM_TRY(om_struct_in(&origin, sizeof origin, batch, "omen_batch", err));
    if (result != NULL) {
        OM_TRY(om_struct_room(result, "omen_write_result", &room, err));
    }
    OM_TRY(om_collection_delete_where(c, filter, batch != NULL ? &origin : NULL, &done, op, err));
    if (result != NULL) {
        om_struct_out(result, room, &done, sizeof done);
    }
out:
    return status;
}

/* ---- Searching ----------------------------------------------------------------------------------- */
/* Legs of any age lie struct_size of the first apart. */
static omen_status_t read_legs(const omen_request *request, omen_leg *legs, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (request->leg_count == 0 || request->leg_count > OMEN_MAX_LEGS) {
        return OMEN_OK; /* the engine refuses it */
    }
    OM_TRY(om_pointer_check(request->legs, "legs", err));
    size_t stride = request->legs[0].struct_size;
    for (uint32_t i = 0; i < request->leg_count; i++) {
        const unsigned char *at = (const unsigned char *)request->legs + i * stride;
        OM_TRY(om_struct_in(&legs[i], sizeof legs[i], at, "omen_leg", err));
        if (legs[i].struct_size != stride) {
            return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_STRUCT_SIZE,
                           "omen_leg.struct_size: leg %u has %u, the first one has %zu", i,
                           legs[i].struct_size, stride);
        }
    }
out:
    return status;
}

omen_status_t omen_find(omen_collection *c, const omen_request *request, omen_hits *hits,
                        omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_request r;
    omen_hits h;
    omen_leg legs[OMEN_MAX_LEGS];
    OM_TRY(check(c, err));
    OM_TRY(om_pointer_check(request, "request", err));
    OM_TRY(om_pointer_check(hits, "hits", err));
    OM_TRY(om_struct_in(&r, sizeof r, request, "omen_request", err));
    OM_TRY(om_struct_in(&h, sizeof h, hits, "omen_hits", err));
    OM_TRY(read_legs(&r, legs, err));
    OM_TRY(om_op_check(r.op, err));
    OM_TRY(om_filter_check(r.filter, err));
    r.legs = legs;
    OM_TRY(om_collection_find(c, &r, &h, err));
    if (hits->struct_size >= offsetof(omen_hits, version) + sizeof hits->version) {
        hits->version = h.version;
    }
out:
    return status;
}

omen_status_t omen_facet(omen_collection *c, const omen_filter *filter, const char *field,
                         uint32_t limit, omen_rows **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_facet in = {.filter = filter, .field = field, .limit = limit};
    OM_TRY(check(c, err));
    OM_TRY(om_filter_check(filter, err));
    OM_TRY(om_pointer_check(field, "field", err));
    OM_TRY(om_pointer_check(out, "out", err));
    OM_TRY(om_collection_facet(c, &in, out, err));
out:
    return status;
}

omen_status_t omen_list_items(omen_collection *c, const omen_listing *listing, uint64_t *keys,
                              uint64_t capacity, uint64_t *count, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    omen_listing options;
    om_item_listing in = {.options = &options, .keys = keys, .capacity = capacity};
    OM_TRY(check(c, err));
    OM_TRY(om_struct_in(&options, sizeof options, listing, "omen_listing", err));
    OM_TRY(om_filter_check(options.filter, err));
    OM_TRY(om_pointer_check(count, "count", err));
    if (capacity != 0) {
        OM_TRY(om_pointer_check(keys, "keys", err));
    }
    OM_TRY(om_collection_list_items(c, &in, count, err));
out:
    return status;
}
