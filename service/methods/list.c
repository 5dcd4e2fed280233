/* list.c - Items.List: pages of a collection at one version. The token tells the listing and the place in
 * it, so a page that was lost on its way can be asked for again (but for the last: with it the listing ends).
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impls.h"
#include "listings.h"
#include "method_util.h"
#include "omen/v1/items.pb-c.h"

enum { PAGE_DEFAULT = 1000 };

typedef struct list_call {
    om_job job;
    om_rpc *rpc;
    om_coll *coll;
    Omen__V1__ListRequest *request;
    om_cursor cursor;
    bool taken;
    uint64_t position;
    /* The page. */
    size_t rows;
    uint64_t count;
    uint64_t *keys;
    uint8_t *vectors;
    omen_rows *ids;
    char **texts; /* of string ids, with their bytes behind */
    char token[64];
} list_call;

/* ---- Where the listing stands ---------------------------------------------------------------------- */

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

static bool take_snapshot(list_call *c, om_rt_shared *s, om_failure *f)
{
    omen_error err;
    omen_collection *snapshot = NULL;
    omen_stats stats = {.struct_size = sizeof stats};
    if (omen_snapshot(c->coll->handle, &snapshot, &err) != OMEN_OK ||
        omen_get_stats(snapshot, &stats, &err) != OMEN_OK) {
        omen_collection_free(snapshot);
        return om_failure_from_engine(f, &err);
    }
    c->cursor =
        (om_cursor){.snapshot = snapshot, .coll = om_coll_hold(c->coll), .version = stats.version};
    c->taken = om_cursors_add(s->cursors, &c->cursor);
    if (!c->taken) {
        om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "RATE", NULL, "%d listings are being read",
                       OM_CURSORS_MAX);
        f->retry_ms = 100;
    }
    return c->taken;
}

static bool find_place(list_call *c, om_rt_shared *s, om_failure *f)
{
    uint64_t id = 0;
    if (c->request->page_token[0] == '\0') {
        return take_snapshot(c, s, f);
    }
    c->taken = read_token(c, s, &id, &c->position) && om_cursors_take(s->cursors, id, &c->cursor);
    if (!c->taken || strcmp(c->cursor.coll->name, c->request->collection) != 0) {
        return expired(f);
    }
    /* The shape is that of the listing's collection: another one may have its name by now. */
    om_coll_release(c->coll);
    c->coll = om_coll_hold(c->cursor.coll);
    return true;
}

/* ---- The page ---------------------------------------------------------------------------------------- */

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

static bool read_page(list_call *c, om_failure *f)
{
    omen_error err;
    omen_collection *from = c->cursor.snapshot;
    om_coll_enter(c->coll);
    omen_status_t status = omen_scan(from, &c->position, c->keys, c->rows, &c->count, &err);
    if (status == OMEN_OK && c->vectors != NULL && c->count > 0) {
        status = omen_get_vectors(from, c->keys, c->count, c->vectors, 0, 0, NULL, &err);
    }
    if (status == OMEN_OK && c->coll->options.id_type != OMEN_ID_U64 && c->count > 0) {
        status = omen_fetch(from, c->keys, c->count, OMEN_FIELD_ID, &c->ids, &err);
    }
    status = om_coll_leave(c->coll, status, &err);
    return status == OMEN_OK || om_failure_from_engine(f, &err);
}

/* String ids, each with a NUL: pointers and bytes in one allocation. */
static bool copy_texts(list_call *c, const omen_column *column, om_failure *f)
{
    const int64_t *offsets = column->offsets;
    size_t bytes = (size_t)(offsets[c->count] - offsets[0]) + (size_t)c->count;
    c->texts = malloc(c->count * sizeof *c->texts + bytes);
    if (c->texts == NULL) {
        return om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                              "no memory for the page");
    }
    char *to = (char *)(c->texts + c->count);
    for (uint64_t i = 0; i < c->count; i++) {
        size_t n = (size_t)(offsets[i + 1] - offsets[i]);
        c->texts[i] = to;
        memcpy(to, (const char *)column->data + offsets[i], n);
        to[n] = '\0';
        to += n + 1;
    }
    return true;
}

static bool fill_ids(list_call *c, Omen__V1__Ids *out, om_failure *f)
{
    omen_column column;
    omen__v1__ids__init(out);
    if (c->coll->options.id_type == OMEN_ID_U64) {
        out->n_u64 = (size_t)c->count;
        out->u64 = c->keys;
        return true;
    }
    if (c->count == 0) {
        return true;
    }
    omen_rows_column(c->ids, OMEN_FIELD_ID, &column);
    if (c->coll->options.id_type == OMEN_ID_UUID) {
        out->uuid.len = 16 * (size_t)c->count;
        out->uuid.data = (uint8_t *)(uintptr_t)column.data;
        return true;
    }
    if (!copy_texts(c, &column, f)) {
        return false;
    }
    out->n_str = (size_t)c->count;
    out->str = c->texts;
    return true;
}

static bool reply(list_call *c, const om_rt_shared *s, om_failure *f)
{
    Omen__V1__Ids ids;
    Omen__V1__VectorColumn column;
    Omen__V1__ItemBatch items;
    Omen__V1__ListResponse r;
    omen__v1__item_batch__init(&items);
    omen__v1__list_response__init(&r);
    if (!fill_ids(c, &ids, f)) {
        return false;
    }
    items.ids = &ids;
    if (c->vectors != NULL) {
        omen__v1__vector_column__init(&column);
        column.type = (Omen__V1__DataType)c->coll->options.dtype;
        column.dim = c->coll->options.dim;
        column.data.data = c->vectors;
        column.data.len = (size_t)c->count * c->coll->row_bytes;
        items.vectors = &column;
    }
    if (c->count == c->rows) {
        (void)snprintf(c->token, sizeof c->token, "%s.%" PRIu64 ".%" PRIu64, s->epoch, c->cursor.id,
                       c->position);
        r.next_page_token = c->token;
    }
    r.items = &items;
    r.version = c->cursor.version;
    om_rpc_reply_pb(c->rpc, &r.base);
    return true;
}

/* ---- The call ------------------------------------------------------------------------------------------ */

static void list_run(om_job *job, bool late)
{
    list_call *c = (list_call *)(void *)job;
    om_rpc *rpc = c->rpc;
    om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    if (late) {
        om_method_fail_expired(rpc);
    } else if (!om_rpc_is_cancelled(rpc) && !(find_place(c, s, &f) && reserve(c, s, &f) &&
                                              read_page(c, &f) && reply(c, s, &f))) {
        om_rpc_finish(rpc, &f);
    }
    if (c->taken) {
        om_cursors_give(s->cursors, c->cursor.id, c->keys != NULL && c->count < c->rows);
    }
    om_rpc_release(rpc);
}

static void list_message(om_rpc *rpc, om_rpc_message *message)
{
    list_call *c = om_rpc_state(rpc);
    const om_rt_shared *s = om_rt_shared_of(om_rpc_runtime(rpc));
    om_failure f;
    Omen__V1__ListRequest *q = om_rpc_unpack(rpc, message, &omen__v1__list_request__descriptor);
    if (q == NULL) {
        return;
    }
    *c = (list_call){.rpc = rpc, .request = q};
    if (q->page_size > OM_RT_MAX_PAGE) {
        om_failure_limit(&f, "page_size", q->page_size, OM_RT_MAX_PAGE);
        om_rpc_finish(rpc, &f);
        return;
    }
    if (!om_method_no_filter(q->filter, q->n_params, &f) ||
        (c->coll = om_method_coll(rpc, q->collection, &f)) == NULL) {
        om_rpc_finish(rpc, &f);
        return;
    }
    c->job.run = list_run;
    c->job.deadline_ns = om_rpc_deadline_ns(rpc);
    om_rpc_hold(rpc);
    if (!om_pool_submit(s->search, &c->job)) {
        om_method_fail_full(rpc, "reads");
        om_rpc_release(rpc);
    }
}

static void list_destroy(om_rpc *rpc)
{
    list_call *c = om_rpc_state(rpc);
    free(c->keys);
    free(c->vectors);
    free(c->texts);
    omen_rows_free(c->ids);
    om_coll_release(c->coll);
}

const om_rpc_impl om_impl_omen_v1_Items_List = {
    .state_size = sizeof(list_call), .message = list_message, .destroy = list_destroy};
