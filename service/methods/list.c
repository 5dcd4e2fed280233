/* list.c - Items.List: pages of a collection at one version, filtered and ordered. The token tells the
 * listing and the place in it, so a page that was lost on its way can be asked for again (but for the last:
 * with it the listing ends).
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "impls.h"
#include "listings.h"
#include "method_util.h"
#include "omen/v1/items.pb-c.h"
#include "wwrite.h"

enum { PAGE_DEFAULT = 1000 };

typedef Omen__V1__ListRequest list_request;

typedef struct list_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    list_request *request;
    om_filter_source source; /* text NULL: no filter */
    uint64_t shape;
    om_cursor cursor;
    bool taken;
    uint64_t position; /* where a scan stands, or the last key of the page before */
    uint64_t next;     /* where the scan stands behind this page                  */
    bool follows;      /* there was a page before                                 */
    /* The page. */
    size_t rows;
    uint64_t count;
    bool more, cut;
    uint64_t *keys;
    uint8_t *vectors;
    omen_rows *ids;
    om_fetched fetched;
    char token[64];
} list_call;

/* In the order of writing and unfiltered a page is a scan; else the engine looks for its place by key. */
static bool is_scan(const list_call *c)
{
    return c->source.text == NULL && c->request->order_by[0] == '\0' && !c->request->descending;
}

static bool with_metadata(const list_call *c)
{
    return c->request->with_metadata || c->request->n_fields > 0;
}

/* ---- Where the listing stands ---------------------------------------------------------------- */

static bool expired(om_failure *f)
{
    return om_failure_set(f, OMEN_ABORTED, "CURSOR_EXPIRED", "page_token",
                          "the listing is over or was forgotten: begin anew without a page_token");
}

/* ".<number>", at *at, which moves behind it. */
static bool read_number(const char **at, uint64_t *out)
{
    const char *p = *at;
    uint64_t value = 0;
    if (p[0] != '.' || p[1] < '0' || p[1] > '9') {
        return false;
    }
    for (p++; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            return false;
        }
    }
    *at = p;
    *out = value;
    return true;
}

/* "<epoch>.<listing>.<position>" */
static bool read_token(const list_call *c, const om_rt_shared *s, uint64_t *id, uint64_t *position)
{
    const char *at = c->request->page_token;
    size_t epoch = strlen(s->epoch);
    if (strncmp(at, s->epoch, epoch) != 0) {
        return false;
    }
    at += epoch;
    return read_number(&at, id) && read_number(&at, position) && *at == '\0';
}

/* What the pages of one listing must have in common. */
static uint64_t shape_of(const list_call *c)
{
    static const om_params none;
    om_params order = {0};
    om_filter_source all = c->source;
    if (all.text == NULL) {
        all.text = "";
        all.params = &none;
    }
    om_filter_source by = {
        .text = c->request->order_by, .size = strlen(c->request->order_by), .params = &order};
    return om_source_hash(&all) * 3 + om_source_hash(&by) * 2 + (c->request->descending ? 1 : 0);
}

static bool take_snapshot(list_call *c, om_rt_shared *s, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    omen_stats stats = {.struct_size = sizeof stats};
    om_cursor cursor = {.shape = c->shape};
    if (omen_snapshot(c->coll->handle, &cursor.snapshot, &err) != OMEN_OK ||
        omen_get_stats(cursor.snapshot, &stats, &err) != OMEN_OK) {
        omen_collection_free(cursor.snapshot);
        return om_failure_from_engine(f, &err);
    }
    if (c->source.text != NULL) {
        c->source.collection = cursor.snapshot;
        cursor.filter = om_source_compile(&c->source, f);
        if (cursor.filter == NULL) {
            omen_collection_free(cursor.snapshot);
            return false;
        }
    }
    cursor.coll = om_coll_hold(c->coll);
    cursor.version = stats.version;
    c->taken = om_cursors_add(s->cursors, om_rpc_principal(c->rpc), &cursor);
    c->cursor = cursor;
    if (!c->taken) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "RATE", NULL,
                       "all %d listings are being read, and none is yours to end", OM_CURSORS_MAX);
        f->retry_ms = 1000;
    }
    return c->taken;
}

static bool find_place(list_call *c, om_rt_shared *s, om_failure *f)
{
    uint64_t id = 0;
    if (c->request->page_token[0] == '\0') {
        return take_snapshot(c, s, f);
    }
    c->follows = true;
    c->taken = read_token(c, s, &id, &c->position) &&
               om_cursors_take(s->cursors, om_rpc_principal(c->rpc), id, &c->cursor);
    if (!c->taken || strcmp(c->cursor.coll->name, c->request->collection) != 0) {
        return expired(f);
    }
    if (c->cursor.shape != c->shape) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "PAGE_TOKEN", "page_token",
                              "page_token is of a listing with another filter or order");
    }
    /* The shape is that of the listing's collection: another one may have its name by now. */
    om_coll_release(c->coll);
    c->coll = om_coll_hold(c->cursor.coll);
    return true;
}

/* ---- The page -------------------------------------------------------------------------------- */

static bool reserve(list_call *c, const om_rt_shared *s, om_failure *f)
{
    size_t room = s->opt.max_message_bytes / 2;
    size_t row = c->request->with_vectors ? c->coll->row_bytes : 0;
    row += c->coll->options.id_type == OMEN_ID_STRING ? OMEN_MAX_STRING_ID + 4 : 16;
    c->rows = c->request->page_size != 0 ? c->request->page_size : PAGE_DEFAULT;
    c->rows = c->rows < room / row ? c->rows : room / row;
    c->rows = c->rows == 0 ? 1 : c->rows;
    c->keys = calloc(c->rows, sizeof *c->keys);
    c->vectors = c->request->with_vectors ? malloc(c->rows * c->coll->row_bytes) : NULL;
    if (c->keys == NULL || (c->request->with_vectors && c->vectors == NULL)) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL, "no memory for the page");
        f->retry_ms = 1000;
        return false;
    }
    return true;
}

static omen_status_t read_keys(list_call *c, omen_error *err)
{
    const list_request *q = c->request;
    omen_listing listing = {.struct_size = sizeof listing,
                            .flags = (q->descending ? OMEN_LIST_DESCENDING : 0) |
                                     (c->follows ? OMEN_LIST_AFTER : 0),
                            .filter = c->cursor.filter,
                            .order_by = q->order_by[0] != '\0' ? q->order_by : NULL,
                            .after = c->position};
    if (is_scan(c)) {
        c->next = c->position;
        return omen_scan(c->cursor.snapshot, &c->next, c->keys, c->rows, &c->count, err);
    }
    return omen_list_items(c->cursor.snapshot, &listing, c->keys, c->rows, &c->count, err);
}

/* Metadata as far as there is room: the page ends there, and the next one begins. */
static bool read_metadata(list_call *c, const om_rt_shared *s, om_failure *f)
{
    om_fetch what = {.coll = c->coll,
                     .from = c->cursor.snapshot,
                     .keys = c->keys,
                     .count = (size_t)c->count,
                     .metadata = true,
                     .fields = (const char *const *)c->request->fields,
                     .field_count = c->request->n_fields,
                     .room = s->opt.max_message_bytes / 2,
                     .cut = true};
    if (!om_fetch_items(&what, &c->fetched, f)) {
        return false;
    }
    c->cut = c->fetched.count < c->count;
    c->more = c->more || c->cut;
    c->count = c->fetched.count;
    return true;
}

static omen_status_t read_columns(list_call *c, omen_error *err)
{
    omen_collection *from = c->cursor.snapshot;
    omen_status_t status = OMEN_OK;
    uint64_t again = 0;
    if (c->vectors != NULL && c->count > 0) {
        status = omen_get_vectors(from, c->keys, c->count, c->vectors, 0, 0, NULL, err);
    }
    if (status == OMEN_OK && c->coll->options.id_type != OMEN_ID_U64 && c->count > 0) {
        status = omen_fetch(from, c->keys, c->count, OMEN_FIELD_ID, &c->ids, err);
    }
    if (status == OMEN_OK && is_scan(c) && c->cut) {
        /* On a snapshot the same keys come again: this moves the place behind those that are sent. */
        status = omen_scan(from, &c->position, c->keys, c->count, &again, err);
    } else if (is_scan(c)) {
        c->position = c->next;
    } else if (c->count > 0) {
        c->position = c->keys[c->count - 1];
    }
    return status;
}

static bool read_page(list_call *c, const om_rt_shared *s, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    om_coll_enter(c->coll);
    omen_status_t status = om_coll_leave(c->coll, read_keys(c, &err), &err);
    if (status != OMEN_OK) {
        om_failure_from_engine(f, &err);
        if (err.detail == OMEN_D_FIELD || err.detail == OMEN_D_TYPE) {
            om_failure_about(f, "order_by");
        }
        return false;
    }
    c->more = c->count == c->rows;
    if (with_metadata(c) && c->count > 0 && !read_metadata(c, s, f)) {
        return false;
    }
    om_coll_enter(c->coll);
    status = om_coll_leave(c->coll, read_columns(c, &err), &err);
    return status == OMEN_OK || om_failure_from_engine(f, &err);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static size_t column_size(const list_call *c)
{
    size_t size = (size_t)c->count * c->coll->row_bytes;
    return om_wsize_uint(c->coll->options.dtype) + om_wsize_uint(c->coll->options.dim) +
           (size > 0 ? om_wsize_len(size) : 0);
}

static size_t items_size(const list_call *c, const om_wire_hits *ids)
{
    size_t size = om_wsize_len(om_wsize_ids(ids));
    size += c->vectors != NULL ? om_wsize_len(column_size(c)) : 0;
    return size + (with_metadata(c) ? om_wsize_len(om_wsize_metadata(&c->fetched.metadata)) : 0);
}

static void write_items(om_wbuf *w, const list_call *c, const om_wire_hits *ids)
{
    om_w_len(w, 1, om_wsize_ids(ids));
    om_w_ids(w, ids);
    if (c->vectors != NULL) {
        om_w_len(w, 2, column_size(c));
        om_w_uint(w, 2, c->coll->options.dtype);
        om_w_uint(w, 3, c->coll->options.dim);
        om_w_bytes(w, 4, c->vectors, (size_t)c->count * c->coll->row_bytes);
    }
    if (with_metadata(c)) {
        om_w_len(w, 3, om_wsize_metadata(&c->fetched.metadata));
        om_w_metadata(w, &c->fetched.metadata);
    }
}

static void reply(list_call *c, const om_rt_shared *s)
{
    omen_column column = {0};
    om_wire_hits ids = {.count = (uint32_t)c->count,
                        .id_type = c->coll->options.id_type,
                        .keys = c->keys,
                        .ids = &column};
    if (c->ids != NULL) {
        omen_rows_column(c->ids, OMEN_FIELD_ID, &column);
    }
    if (c->more) {
        (void)snprintf(c->token, sizeof c->token, "%s.%" PRIu64 ".%" PRIu64, s->epoch, c->cursor.id,
                       c->position);
    }
    size_t items = items_size(c, &ids);
    size_t token = strlen(c->token);
    om_rpc_out out;
    om_rpc_out_init(&out, om_wsize_len(items) + (token > 0 ? om_wsize_len(token) : 0) +
                              om_wsize_fixed64(c->cursor.version));
    om_wbuf w = om_wbuf_of(out.data, out.size);
    om_w_len(&w, 1, items);
    write_items(&w, c, &ids);
    om_w_string(&w, 2, c->token);
    om_w_fixed64(&w, 3, c->cursor.version);
    om_rpc_reply(c->rpc, &out);
}

/* ---- The call -------------------------------------------------------------------------------- */

static void list_run(om_job *job, bool late)
{
    list_call *c = (list_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    bool whole = false;
    if (late) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc)) {
        whole = find_place(c, s, &f) && reserve(c, s, &f) && read_page(c, s, &f);
        if (whole) {
            reply(c, s);
        } else {
            om_rpc_finish(rpc, &f);
        }
    }
    if (c->taken) {
        /* A first page that failed leaves nothing to come back to. */
        om_cursors_give(s->cursors, c->cursor.id, whole ? !c->more : !c->follows);
    }
    om_rpc_release(rpc);
}

static bool check(list_call *c, om_failure *f)
{
    const list_request *q = c->request;
    om_method_filter filter = {q->filter, q->params, q->n_params};
    if (q->page_size > OM_RT_MAX_PAGE) {
        return om_failure_limit(f, "page_size", q->page_size, OM_RT_MAX_PAGE);
    }
    if (strlen(q->order_by) > OMEN_MAX_FIELD_NAME) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "order_by",
                              "order_by has %zu bytes, the limit is %u", strlen(q->order_by),
                              OMEN_MAX_FIELD_NAME);
    }
    if (!om_method_check_names("fields", q->fields, q->n_fields, f) ||
        !om_method_filter_source(c->rpc, &filter, NULL, &c->source, f)) {
        return false;
    }
    c->shape = shape_of(c);
    c->coll = om_method_coll(c->rpc, q->collection, f);
    return c->coll != NULL;
}

static void list_message(om_rpc *rpc, om_rpc_message *message)
{
    list_call *c = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    list_request *q = om_rpc_unpack(rpc, message, &omen__v1__list_request__descriptor);
    if (q == NULL) {
        return;
    }
    *c = (list_call){.rpc = rpc, .request = q};
    if (!check(c, &f)) {
        om_rpc_finish(rpc, &f);
        return;
    }
    c->job.run = list_run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_method_submit(rpc, s->search, &c->job, "reads");
}

static void list_destroy(om_rpc *rpc)
{
    list_call *c = om_rpc_state(rpc);
    free(c->keys);
    free(c->vectors);
    omen_rows_free(c->ids);
    om_fetched_end(&c->fetched);
    om_coll_release(c->coll);
}

const om_rpc_impl om_impl_omen_v1_Items_List = {.verb = OM_VERB_READ,
                                                .state_size = sizeof(list_call),
                                                .message = list_message,
                                                .destroy = list_destroy};
