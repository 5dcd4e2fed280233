/* engine_filter.c - filters: compiling a condition or taking a set of keys, and their life.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine_filter.h"

/* ---- Life -------------------------------------------------------------------------------------- */
static omen_status_t make(om_collection *c, om_filter **out, omen_error *err)
{
    const om_alloc *alloc = &c->rt->alloc;
    om_filter *filter = om_alloc_zero(alloc, 1, sizeof *filter, _Alignof(om_filter));
    if (filter == NULL) {
        return om_fail_memory(err, "filter", sizeof *filter);
    }
    omen_status_t status = om_mutex_init(&filter->mu, OM_RANK_FILTER, err);
    if (status != OMEN_OK) {
        om_alloc_put(alloc, filter, sizeof *filter, _Alignof(om_filter));
        return status;
    }
    status = om_cond_init(&filter->made, err);
    if (status != OMEN_OK) {
        om_mutex_destroy(&filter->mu);
        om_alloc_put(alloc, filter, sizeof *filter, _Alignof(om_filter));
        return status;
    }
    atomic_init(&filter->refs, 1);
    filter->rt = c->rt;
    filter->c = c;
    om_runtime_ref(c->rt);
    *out = filter;
    return OMEN_OK;
}

void om_filter_ref(om_filter *filter)
{
    atomic_fetch_add_explicit(&filter->refs, 1, memory_order_relaxed);
}

/* Nobody searches with it any more: a search has a handle, and a handle has a reference. */
static void destroy(om_filter *filter)
{
    omen_runtime *rt = filter->rt;
    om_pass_free_all(filter);
    om_predicate_free(filter->predicate);
    om_alloc_put(&rt->alloc, filter->keys, filter->key_room * sizeof(uint64_t), OM_CACHE_LINE);
    om_alloc_put(&rt->alloc, filter->scratch, filter->scratch_bytes, OM_CACHE_LINE);
    om_alloc_put(&rt->alloc, filter->name, filter->name_bytes, OM_CACHE_LINE);
    om_cond_destroy(&filter->made);
    om_mutex_destroy(&filter->mu);
    om_alloc_put(&rt->alloc, filter, sizeof *filter, _Alignof(om_filter));
    om_runtime_unref(rt);
}

void om_filter_unref(om_filter *filter)
{
    if (filter != NULL && atomic_fetch_sub_explicit(&filter->refs, 1, memory_order_acq_rel) == 1) {
        destroy(filter);
    }
}

/* Takes the reference over. */
static omen_status_t make_handle(om_collection *c, om_filter *filter, omen_filter **out,
                                 omen_error *err)
{
    omen_filter *handle = om_alloc_zero(&c->rt->alloc, 1, sizeof *handle, _Alignof(omen_filter));
    if (handle == NULL) {
        om_filter_unref(filter);
        return om_fail_memory(err, "filter handle", sizeof *handle);
    }
    handle->handle = (om_handle){.magic = OM_MAGIC_FILTER, .generation = om_fork_generation()};
    handle->filter = filter;
    handle->c = c;
    om_collection_ref(c);
    *out = handle;
    return OMEN_OK;
}

void om_filter_free(omen_filter *handle)
{
    om_collection *c = handle->c;
    omen_runtime *rt = c->rt;
    handle->handle.magic = OM_MAGIC_FREED;
    om_filter_unref(handle->filter);
    om_runtime_ref(rt); /* the collection may be the last that holds it */
    om_alloc_put(&rt->alloc, handle, sizeof *handle, _Alignof(omen_filter));
    om_collection_unref(c);
    om_runtime_unref(rt);
}

omen_status_t om_filter_of(const om_collection *c, const omen_filter *handle, om_filter **out,
                           omen_error *err)
{
    *out = NULL;
    if (handle == NULL) {
        return OMEN_OK;
    }
    if (handle->c != c) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_HANDLE,
                       "filter: compiled for collection '%s'%s, used with '%s'", handle->c->name,
                       strcmp(handle->c->name, c->name) == 0 ? " of before it was dropped" : "",
                       c->name);
    }
    *out = handle->filter;
    return OMEN_OK;
}

/* ---- A condition ------------------------------------------------------------------------------- */
static omen_status_t check_text(const om_predicate_text *text, omen_error *err)
{
    if (text->text == NULL && text->length != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "filter text: NULL with %zu bytes",
                       text->length);
    }
    if (text->length > OMEN_MAX_FILTER) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter: %zu bytes of text, above the limit of %u", text->length,
                       OMEN_MAX_FILTER);
    }
    if (text->param_count > OMEN_MAX_PARAMS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter params: %llu values, above the limit of %u",
                       (unsigned long long)text->param_count, OMEN_MAX_PARAMS);
    }
    if (text->params == NULL && text->param_count != 0) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, "filter params: NULL with %llu",
                       (unsigned long long)text->param_count);
    }
    return OMEN_OK;
}

/* Bytes behind a bound value, and that they are there. */
static omen_status_t check_param(const omen_param *param, uint64_t i, omen_error *err)
{
    bool bytes = param->type == OMEN_TYPE_STRING || param->type == OMEN_TYPE_BYTES;
    if (param->type < OMEN_TYPE_STRING || param->type > OMEN_TYPE_BYTES) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_TYPE, i,
                            "$%llu: type %u is not one of 1 (string) to 6 (bytes)",
                            (unsigned long long)i + 1, param->type);
    }
    if (param->count > OMEN_MAX_ARRAY) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT, i,
                            "$%llu: %u values, above the limit of %u", (unsigned long long)i + 1,
                            param->count, OMEN_MAX_ARRAY);
    }
    if (param->count != 0 && (bytes ? param->offsets == NULL : param->data == NULL)) {
        return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                            "$%llu: %s is NULL with %u values", (unsigned long long)i + 1,
                            bytes ? "offsets" : "data", param->count);
    }
    for (uint32_t n = 0; bytes && n < param->count; n++) {
        if (param->offsets[n] > param->offsets[n + 1] || param->offsets[n + 1] > INT32_MAX ||
            (param->data == NULL && param->offsets[n] != param->offsets[n + 1])) {
            return om_fail_item(err, OMEN_INVALID_ARGUMENT, OMEN_D_NONE, i,
                                "$%llu: value %u lies at %llu to %llu", (unsigned long long)i + 1,
                                n, (unsigned long long)param->offsets[n],
                                (unsigned long long)param->offsets[n + 1]);
        }
    }
    return OMEN_OK;
}

static omen_status_t check_all(const om_predicate_text *text, omen_error *err)
{
    omen_status_t status = check_text(text, err);
    for (uint64_t i = 0; status == OMEN_OK && i < text->param_count; i++) {
        status = check_param(&text->params[i], i, err);
    }
    return status;
}

static omen_status_t compile(om_collection *c, const om_predicate_text *text, om_filter_name *name,
                             om_filter **out, omen_error *err)
{
    om_filter *filter = NULL;
    omen_status_t status = make(c, &filter, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = om_predicate_compile(&c->rt->alloc, c->schema, text, &filter->predicate, err);
    if (status != OMEN_OK) {
        om_filter_unref(filter);
        return status;
    }
    atomic_store_explicit(&filter->bytes,
                          sizeof *filter + om_predicate_bytes(filter->predicate) + name->size,
                          memory_order_relaxed);
    om_filters_keep(c, filter, name);
    *out = filter;
    return OMEN_OK;
}

omen_status_t om_filter_compile(omen_collection *handle, const om_condition *condition,
                                omen_filter **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    om_predicate_text text = {.text = condition->text,
                              .length = condition->length,
                              .params = condition->params,
                              .param_count = condition->param_count};
    om_filter_name name = {.bytes = NULL};
    om_filter *filter = NULL;
    OM_TRY(om_collection_alive(c, err));
    OM_TRY(check_all(&text, err));
    OM_TRY(om_filter_name_make(&c->rt->alloc, &text, &name, err));
    filter = om_filters_find(c, &name);
    if (filter == NULL) {
        OM_TRY(compile(c, &text, &name, &filter, err));
    }
    status = make_handle(c, filter, out, err);
out:
    om_alloc_put(&c->rt->alloc, name.bytes, name.size, OM_CACHE_LINE);
    return om_explain_memory(c->rt, rejections, status, err);
}

/* ---- A set of keys ----------------------------------------------------------------------------- */
enum { RADIX_BITS = 8, RADIX = 1 << RADIX_BITS };

/* One pass of a radix sort, by the byte at `shift`; false when all keys have the same byte there. */
static bool sort_byte(const uint64_t *from, uint64_t *to, uint64_t count, uint32_t shift)
{
    uint64_t at[RADIX] = {0};
    for (uint64_t i = 0; i < count; i++) {
        at[(from[i] >> shift) & (RADIX - 1)]++;
    }
    if (at[(from[0] >> shift) & (RADIX - 1)] == count) {
        return false;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < RADIX; i++) {
        uint64_t n = at[i];
        at[i] = sum;
        sum += n;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[at[(from[i] >> shift) & (RADIX - 1)]++] = from[i];
    }
    return true;
}

/* Ascending and each once; spare has the room of keys. Returns how many are left; *keys or *spare is the
 * result, the former on return. */
static uint64_t sort_keys(uint64_t **keys, uint64_t **spare, uint64_t count)
{
    bool sorted = true;
    for (uint64_t i = 1; i < count && sorted; i++) {
        sorted = (*keys)[i - 1] < (*keys)[i];
    }
    for (uint32_t shift = 0; !sorted && shift < 64; shift += RADIX_BITS) {
        if (sort_byte(*keys, *spare, count, shift)) {
            uint64_t *swap = *keys;
            *keys = *spare;
            *spare = swap;
        }
    }
    uint64_t kept = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (kept == 0 || (*keys)[kept - 1] != (*keys)[i]) {
            (*keys)[kept++] = (*keys)[i];
        }
    }
    return kept;
}

static omen_status_t take_keys(om_filter *filter, const uint64_t *keys, uint64_t count,
                               omen_error *err)
{
    const om_alloc *alloc = &filter->rt->alloc;
    size_t bytes = (size_t)count * sizeof(uint64_t);
    if (count == 0) {
        return OMEN_OK;
    }
    filter->keys = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
    if (filter->keys == NULL) {
        return om_fail_memory(err, "keys of a filter", bytes);
    }
    filter->key_room = count;
    uint64_t *spare = om_alloc_get(alloc, bytes, OM_CACHE_LINE);
    if (spare == NULL) {
        return om_fail_memory(err, "keys of a filter", bytes);
    }
    memcpy(filter->keys, keys, bytes);
    filter->key_count = sort_keys(&filter->keys, &spare, count);
    om_alloc_put(alloc, spare, bytes, OM_CACHE_LINE);
    atomic_store_explicit(&filter->bytes, bytes, memory_order_relaxed);
    return OMEN_OK;
}

omen_status_t om_filter_from_keys(omen_collection *handle, const uint64_t *keys, uint64_t count,
                                  omen_filter **out, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    om_collection *c = handle->c;
    uint64_t rejections = om_rejections(c->rt);
    om_filter *filter = NULL;
    OM_TRY(om_collection_alive(c, err));
    if (count > OMEN_MAX_ROWS) {
        return om_fail(err, OMEN_INVALID_ARGUMENT, OMEN_D_LIMIT,
                       "filter: %llu keys, above the limit of %u", (unsigned long long)count,
                       OMEN_MAX_ROWS);
    }
    OM_TRY(make(c, &filter, err));
    status = take_keys(filter, keys, count, err);
    if (status != OMEN_OK) {
        om_filter_unref(filter);
        goto out;
    }
    status = make_handle(c, filter, out, err);
out:
    return om_explain_memory(c->rt, rejections, status, err);
}
