/* get.c - Items.BatchGet. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "impls.h"
#include "method_util.h"
#include "omen/v1/items.pb-c.h"
#include "wwrite.h"

enum { TRIES = 4 };

typedef Omen__V1__BatchGetRequest get_request;

typedef struct get_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    omen_collection *from;     /* the collection, or: */
    omen_collection *snapshot; /* of it; NULL unless items changed again and again meanwhile */
    get_request *request;
    /* What is asked for, and what was found of it. */
    uint32_t count, found_count;
    uint64_t *keys, *found_keys;
    uint8_t *found;
    uint8_t *vectors; /* malloc'd: rows of the found ones, one after the other */
    size_t vectors_size;
    om_fetched fetched; /* metadata and versions of the found ones */
    om_fetched before;  /* versions of all, from before the vectors were read */
} get_call;

/* ---- Which items ----------------------------------------------------------------------------- */

static size_t id_count(const Omen__V1__Ids *ids)
{
    return ids->n_u64 + ids->uuid.len / 16 + ids->n_str;
}

static bool check_ids(const get_call *c, om_failure *f)
{
    static const char *const names[] = {"", "u64", "uuid", "str"};
    const Omen__V1__Ids *ids = c->request->ids;
    int kinds = 0;
    if (ids != NULL) {
        kinds = (ids->n_u64 > 0) + (ids->uuid.len > 0) + (ids->n_str > 0);
    }
    if (kinds != 1) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "ids",
                              "ids has %d of u64, uuid and str set: exactly one must be", kinds);
    }
    uint32_t type = ids->n_u64 > 0 ? OMEN_ID_U64 : ids->n_str > 0 ? OMEN_ID_STRING : OMEN_ID_UUID;
    if (type != c->coll->options.id_type) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "ids",
                              "ids.%s is set, the collection %s has ids of type %s", names[type],
                              c->coll->name, names[c->coll->options.id_type & 3]);
    }
    if (ids->uuid.len % 16 != 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "MALFORMED", "ids.uuid",
                              "ids.uuid has %zu bytes, which is no multiple of 16", ids->uuid.len);
    }
    return id_count(ids) <= OM_RT_MAX_GET_ITEMS ||
           om_failure_limit(f, "ids", id_count(ids), OM_RT_MAX_GET_ITEMS);
}

/* Keys of string ids: joined into one column for the look-up. */
static omen_status_t lookup_strings(get_call *c, omen_error *err)
{
    const Omen__V1__Ids *ids = c->request->ids;
    size_t total = 0;
    for (size_t i = 0; i < ids->n_str; i++) {
        total += strlen(ids->str[i]);
    }
    int64_t *offsets = malloc((ids->n_str + 1) * sizeof *offsets);
    char *data = malloc(total + 1);
    omen_status_t status = OMEN_RESOURCE_EXHAUSTED;
    if (offsets != NULL && data != NULL) {
        size_t at = 0;
        for (size_t i = 0; i < ids->n_str; i++) {
            size_t size = strlen(ids->str[i]);
            offsets[i] = (int64_t)at;
            memcpy(data + at, ids->str[i], size);
            at += size;
        }
        offsets[ids->n_str] = (int64_t)at;
        omen_column column = {data, offsets, 64, 0};
        status = omen_lookup(c->from, &column, ids->n_str, c->keys, err);
    } else {
        *err = (omen_error){.status = status,
                            .detail = OMEN_D_NO_MEMORY,
                            .item = OMEN_NONE,
                            .message = "no memory for the ids"};
    }
    free(offsets);
    free(data);
    return status;
}

static omen_status_t lookup(get_call *c, omen_error *err)
{
    const Omen__V1__Ids *ids = c->request->ids;
    omen_column column = {ids->u64, NULL, 0, 8};
    if (ids->n_str > 0) {
        return lookup_strings(c, err);
    }
    if (ids->uuid.len > 0) {
        column = (omen_column){ids->uuid.data, NULL, 0, 16};
    }
    return omen_lookup(c->from, &column, c->count, c->keys, err);
}

/* ---- Answer ---------------------------------------------------------------------------------- */

static size_t ids_size(const get_call *c)
{
    const Omen__V1__Ids *ids = c->request->ids;
    size_t size = 0;
    if (c->found_count == 0) {
        return 0;
    }
    if (ids->n_str == 0) {
        return om_wsize_len((ids->n_u64 > 0 ? 8 : 16) * (size_t)c->found_count);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        size += c->found[i] != 0 ? om_wsize_len(strlen(ids->str[i])) : 0;
    }
    return size;
}

static void write_ids(om_wbuf *w, const get_call *c)
{
    const Omen__V1__Ids *ids = c->request->ids;
    size_t width = ids->n_u64 > 0 ? 8 : 16;
    if (c->found_count > 0 && ids->n_str == 0) {
        om_w_len(w, ids->n_u64 > 0 ? 1 : 2, width * c->found_count);
    }
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->found[i] == 0) {
            continue;
        }
        if (ids->n_u64 > 0) {
            om_w_raw(w, &ids->u64[i], 8);
        } else if (ids->n_str > 0) {
            om_w_len(w, 3, strlen(ids->str[i]));
            om_w_raw(w, ids->str[i], strlen(ids->str[i]));
        } else {
            om_w_raw(w, ids->uuid.data + 16 * (size_t)i, 16);
        }
    }
}

static bool with_metadata(const get_call *c)
{
    return c->request->with_metadata || c->request->n_fields > 0;
}

/* Vectors and what belongs to them are read one after the other: versions tell whether they are of one
 * moment. */
static bool must_agree(const get_call *c)
{
    return c->vectors != NULL && (with_metadata(c) || c->request->with_versions);
}

static size_t column_size(const get_call *c)
{
    return om_wsize_uint(c->coll->options.dtype) + om_wsize_uint(c->coll->options.dim) +
           (c->vectors_size > 0 ? om_wsize_len(c->vectors_size) : 0);
}

/* Of the ItemBatch. */
static size_t items_size(const get_call *c)
{
    size_t size = om_wsize_len(ids_size(c));
    if (c->vectors != NULL) {
        size += om_wsize_len(column_size(c));
    }
    if (with_metadata(c)) {
        size += om_wsize_len(om_wsize_metadata(&c->fetched.metadata));
    }
    if (c->request->with_versions && c->found_count > 0) {
        size += om_wsize_len(8 * (size_t)c->found_count);
    }
    return size;
}

static void write_items(om_wbuf *w, const get_call *c)
{
    om_w_len(w, 1, ids_size(c));
    write_ids(w, c);
    if (c->vectors != NULL) {
        om_w_len(w, 2, column_size(c));
        om_w_uint(w, 2, c->coll->options.dtype);
        om_w_uint(w, 3, c->coll->options.dim);
        om_w_bytes(w, 4, c->vectors, c->vectors_size);
    }
    if (with_metadata(c)) {
        om_w_len(w, 3, om_wsize_metadata(&c->fetched.metadata));
        om_w_metadata(w, &c->fetched.metadata);
    }
    if (c->request->with_versions) {
        om_w_bytes(w, 4, c->fetched.versions, 8 * (size_t)c->found_count);
    }
}

static void reply(get_call *c)
{
    size_t items = items_size(c);
    size_t missing = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        missing += c->found[i] == 0 ? om_wsize_varint(i) : 0;
    }
    om_rpc_out out;
    om_rpc_out_init(&out, om_wsize_len(items) + (missing > 0 ? om_wsize_len(missing) : 0));
    om_wbuf w = om_wbuf_of(out.data, out.size);
    om_w_len(&w, 1, items);
    write_items(&w, c);
    if (missing > 0) {
        om_w_len(&w, 2, missing);
        for (uint32_t i = 0; i < c->count; i++) {
            if (c->found[i] == 0) {
                om_w_varint(&w, i);
            }
        }
    }
    om_rpc_reply(c->rpc, &out);
}

/* ---- The call -------------------------------------------------------------------------------- */

static bool reserve(get_call *c, om_failure *f)
{
    om_arena *arena = om_rpc_arena(c->rpc);
    size_t vectors = c->request->with_vectors ? (size_t)c->count * c->coll->row_bytes : 0;
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(c->rpc));
    if (vectors > s->opt.max_message_bytes) {
        return om_failure_set(
            f, OMEN_INVALID_ARGUMENT, "LIMIT", "with_vectors",
            "the vectors of %u items have %zu bytes, the limit of a message is %u", c->count,
            vectors, s->opt.max_message_bytes);
    }
    arena->limit = arena->used + 17 * (size_t)c->count;
    c->keys = om_arena_alloc(arena, 8 * (size_t)c->count, 8);
    c->found_keys = om_arena_alloc(arena, 8 * (size_t)c->count, 8);
    c->found = om_arena_alloc(arena, c->count, 1);
    c->vectors = c->request->with_vectors ? malloc(vectors + 1) : NULL;
    if (c->keys == NULL || c->found_keys == NULL || c->found == NULL ||
        (c->request->with_vectors && c->vectors == NULL)) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the answer");
        f->retry_ms = 1000;
        return false;
    }
    return true;
}

/* Vectors of all, absent ones left out: then the places of the found ones are one after the other. */
static omen_status_t read_vectors(get_call *c, omen_error *err)
{
    size_t row = c->coll->row_bytes;
    uint32_t n = 0;
    omen_status_t status =
        omen_get_vectors(c->from, c->keys, c->count, c->vectors, 0, 0, c->found, err);
    for (uint32_t i = 0; status == OMEN_OK && i < c->count; i++) {
        if (c->found[i] != 0 && n++ != i) {
            memmove(c->vectors + (n - 1) * row, c->vectors + i * row, row);
        }
    }
    c->vectors_size = n * row;
    return status;
}

static omen_status_t find_items(get_call *c, omen_error *err)
{
    om_coll_enter(c->coll);
    omen_status_t status = lookup(c, err);
    for (uint32_t i = 0; status == OMEN_OK && i < c->count; i++) {
        c->found[i] = c->keys[i] != OMEN_NONE;
    }
    return om_coll_leave(c->coll, status, err);
}

static bool read_versions(get_call *c, om_failure *f)
{
    om_fetch what = {
        .coll = c->coll, .from = c->from, .keys = c->keys, .count = c->count, .versions = true};
    om_fetched_end(&c->before);
    return !must_agree(c) || om_fetch_items(&what, &c->before, f);
}

static omen_status_t read_found(get_call *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    if (c->vectors != NULL) {
        om_coll_enter(c->coll);
        status = read_vectors(c, err);
        status = om_coll_leave(c->coll, status, err);
    }
    c->found_count = 0;
    for (uint32_t i = 0; status == OMEN_OK && i < c->count; i++) {
        c->found_count += c->found[i] != 0;
    }
    return status;
}

/* Metadata and versions of the found ones. False: *f says why; or *again is set, since an item went or is
 * another one now. */
static bool read_rest(get_call *c, bool *again, om_failure *f)
{
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(c->rpc));
    const get_request *q = c->request;
    om_fetch what = {.coll = c->coll,
                     .from = c->from,
                     .keys = c->found_keys,
                     .metadata = with_metadata(c),
                     .versions = q->with_versions || must_agree(c),
                     .fields = (const char *const *)q->fields,
                     .field_count = q->n_fields,
                     .room = s->opt.max_message_bytes - c->vectors_size};
    *again = false;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->found[i] != 0) {
            c->found_keys[what.count++] = c->keys[i];
        }
    }
    om_fetched_end(&c->fetched);
    if (what.count == 0 || (!what.metadata && !what.versions)) {
        return true;
    }
    if (!om_fetch_items(&what, &c->fetched, f)) {
        return false;
    }
    const om_fetched *got = &c->fetched;
    size_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (c->found[i] == 0) {
            continue;
        }
        *again = *again || (what.metadata && got->offsets[n] == got->offsets[n + 1]) ||
                 (what.versions && got->versions[n] == 0) ||
                 (must_agree(c) && got->versions[n] != c->before.versions[i]);
        n++;
    }
    return !*again;
}

static bool fail_engine(const get_call *c, const omen_error *err, om_failure *f)
{
    if (err->status == OMEN_NOT_FOUND) {
        om_colls_forget(om_rt_shared_of(om_rpc_runtime(c->rpc))->colls, c->coll->name);
    }
    return om_failure_from_engine(f, err);
}

/* One look at everything. False: *f says why, unless *again is set. */
static bool read_once(get_call *c, bool *again, om_failure *f)
{
    omen_error err = {0};
    *again = false;
    if (find_items(c, &err) != OMEN_OK) {
        return fail_engine(c, &err, f);
    }
    if (!read_versions(c, f)) {
        return false;
    }
    if (read_found(c, &err) != OMEN_OK) {
        return fail_engine(c, &err, f);
    }
    return read_rest(c, again, f);
}

/* All columns are of the same items at the same moment: what changed between two looks is read anew, and when
 * writers are too quick for that, from a snapshot. */
static bool read_all(get_call *c, om_failure *f)
{
    omen_error err = {0};
    bool again = true;
    c->from = c->coll->handle;
    if (om_method_wait_visible(c->rpc, c->coll, c->request->min_version, &err) != OMEN_OK) {
        return fail_engine(c, &err, f);
    }
    for (int attempt = 1; attempt <= TRIES && again; attempt++) {
        if (attempt == TRIES) {
            if (omen_snapshot(c->coll->handle, &c->snapshot, &err) != OMEN_OK) {
                return fail_engine(c, &err, f);
            }
            c->from = c->snapshot;
        }
        if (read_once(c, &again, f)) {
            return true;
        }
    }
    return again ? om_failure_set(f, OMEN_ABORTED, "ABORTED", NULL,
                                  "the items changed while the answer was made: try again")
                 : false;
}

static void get_now(get_call *c)
{
    om_failure f;
    if (reserve(c, &f) && read_all(c, &f)) {
        reply(c);
    } else {
        om_rpc_finish(c->rpc, &f);
    }
    /* The call lives until its client has taken the answer: these need not. */
    free(c->vectors);
    c->vectors = NULL;
    om_fetched_end(&c->fetched);
}

static void get_run(om_job *job, bool expired)
{
    get_call *c = (get_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    if (expired) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc)) {
        get_now(c);
    }
    om_rpc_release(rpc);
}

static void get_message(om_rpc *rpc, om_rpc_message *message)
{
    get_call *c = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    c->rpc = rpc;
    c->request = om_rpc_unpack(rpc, message, &omen__v1__batch_get_request__descriptor);
    if (c->request == NULL) {
        return;
    }
    c->coll = om_method_coll(rpc, c->request->collection, &f);
    if (c->coll == NULL || !check_ids(c, &f) ||
        !om_method_check_names("fields", c->request->fields, c->request->n_fields, &f)) {
        om_rpc_finish(rpc, &f);
        return;
    }
    c->count = (uint32_t)id_count(c->request->ids);
    om_rpc_op(rpc);
    c->job.run = get_run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, s->search, &c->job, "reads");
}

static void get_destroy(om_rpc *rpc)
{
    get_call *c = om_rpc_state(rpc);
    free(c->vectors);
    om_fetched_end(&c->fetched);
    om_fetched_end(&c->before);
    omen_collection_free(c->snapshot);
    om_coll_release(c->coll);
}

const om_rpc_impl om_impl_omen_v1_Items_BatchGet = {.verb = OM_VERB_READ,
                                                    .state_size = sizeof(get_call),
                                                    .message = get_message,
                                                    .destroy = get_destroy};
