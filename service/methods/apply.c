/* apply.c - batches into the engine. SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "wwrite.h"

enum { STUCK_TRIES = 3, PUSH_US = 20000 };
enum { OP_UPSERT = 1, OP_INSERT = 2, OP_UPDATE = 3, OP_PATCH = 4, OP_DELETE = 5 };

static const char *id_type_name(uint32_t type)
{
    static const char *const names[] = {"none", "u64", "uuid", "str"};
    return type < 4 ? names[type] : "?";
}

static bool check_ids(const om_apply *a, om_failure *f)
{
    const om_wire_ids *ids = &a->batch->ids;
    size_t versions = a->batch->version_count;
    if (versions > 0 && versions != ids->count) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "if_version",
                              "if_version has %zu versions for %zu items", versions, ids->count);
    }
    if (ids->count == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "items.ids",
                              "items.ids is empty: a batch has at least one item");
    }
    return ids->type == a->coll->options.id_type ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "items.ids",
                          "items.ids.%s is set, the collection %s has ids of type %s",
                          id_type_name(ids->type), a->coll->name,
                          id_type_name(a->coll->options.id_type));
}

static bool check_metadata(const om_apply *a, om_failure *f)
{
    const om_wire_metadata *m = &a->batch->metadata;
    return m->count == 0 || m->count == a->batch->ids.count ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "METADATA", "items.metadata",
                          "items.metadata has %zu objects for %zu items: it has one an item, "
                          "or none",
                          m->count, a->batch->ids.count);
}

static bool check_vectors(const om_apply *a, om_failure *f)
{
    const om_wire_vectors *v = &a->batch->vectors;
    const omen_options *o = &a->coll->options;
    uint32_t type = v->type == 0 ? o->dtype : v->type;
    uint32_t width = om_coll_width(type);
    if (a->batch->op == OP_PATCH && (!v->present || v->size == 0)) {
        return true; /* the vectors stay */
    }
    if (!v->present) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "items.vectors",
                              "items.vectors is not set");
    }
    if (type == OMEN_BF16 || type == OMEN_B1) {
        return om_failure_unimplemented(f, "items.vectors.type");
    }
    if (width == 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "TYPE", "items.vectors.type",
                              "vectors.type is %u, which is not a type", type);
    }
    if (v->dim != 0 && v->dim != o->dim) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "items.vectors.dim",
                              "vectors.dim is %u, the collection %s has %u", v->dim, a->coll->name,
                              o->dim);
    }
    /* Sizes come from one message, so the product of count (at most bytes / 3) and row fits. */
    size_t row = (size_t)o->dim * width;
    return v->size == a->batch->ids.count * row ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "DIM_MISMATCH", "items.vectors.data",
                          "vectors.data has %zu bytes, %zu items of %zu bytes have %zu", v->size,
                          a->batch->ids.count, row, a->batch->ids.count * row);
}

/* delete_filter goes alone. */
static bool check_delete_filter(const om_wire_batch *b, om_failure *f)
{
    if (b->op != OP_DELETE) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "delete_filter",
                              "delete_filter is set: it is for op DELETE, op is %u", b->op);
    }
    return (b->ids.count == 0 && b->version_count == 0) ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "delete_filter",
                          "delete_filter is set, and items.ids or if_version too: exactly one "
                          "tells what to delete");
}

static bool check_delete(const om_apply *a, om_failure *f)
{
    const om_wire_batch *b = a->batch;
    if (b->vectors.present && b->vectors.size > 0) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "items.vectors",
                              "items.vectors is set: a batch of op DELETE has ids only");
    }
    return b->metadata.count == 0 ||
           om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "items.metadata",
                          "items.metadata is set: a batch of op DELETE has ids only");
}

static bool check(const om_apply *a, om_failure *f)
{
    const om_wire_batch *b = a->batch;
    if (b->op > OP_DELETE) {
        return om_failure_set(f, OMEN_INVALID_ARGUMENT, "LIMIT", "op", "op is %u, the limit is %d",
                              b->op, OP_DELETE);
    }
    if (!om_write_batch_crc_ok(b)) {
        om_failure_set(f, OMEN_DATA_LOSS, "CHECKSUM", "crc32c",
                       "crc32c is %08x, which is not that of the ids, vectors and metadata "
                       "received",
                       b->crc32c);
        f->retry_ms = 1;
        return false;
    }
    if (b->filter != NULL && !check_delete_filter(b, f)) {
        return false;
    }
    if (b->filter == NULL && b->params.count > 0) {
        return om_method_stray_params(f);
    }
    if (b->filter == NULL && !check_ids(a, f)) {
        return false;
    }
    if (b->op == OP_DELETE) {
        return check_delete(a, f);
    }
    return check_vectors(a, f) && check_metadata(a, f);
}

/* Of a stream's batch: what was sent, as the log remembers it. A filter is not in the client's checksum. */
static uint32_t crc_of(const om_wire_batch *b)
{
    uint32_t crc = b->crc32c != 0 ? b->crc32c : om_write_batch_crc(b);
    return b->filter != NULL ? om_wire_crc32c(crc, b->filter, b->filter_size) : crc;
}

static void fill(const om_apply *a, omen_batch *out)
{
    const om_wire_batch *b = a->batch;
    *out = (omen_batch){.struct_size = sizeof *out,
                        .flags = OMEN_NO_THROTTLE | (b->per_item_errors ? OMEN_PER_ITEM : 0),
                        .count = b->ids.count,
                        .durability = a->durability,
                        .stream_id = a->stream_id,
                        .stream_id_len = a->stream_id != NULL ? strlen(a->stream_id) : 0,
                        .seq = a->stream_id != NULL ? b->seq : 0,
                        .stream_epoch = a->stream_epoch,
                        .crc = a->stream_id == NULL ? 0 : crc_of(b),
                        .if_version = b->version_count > 0 ? b->if_version : NULL,
                        .request_id = a->request_id,
                        .request_id_len = a->request_id != NULL ? strlen(a->request_id) : 0,
                        .item_status = a->item_status};
    switch (b->ids.type) {
    case OM_IDS_NONE:
        break; /* a delete by filter */
    case OM_IDS_U64:
        out->keys = b->ids.data;
        break;
    case OM_IDS_UUID:
        out->ids = (omen_column){b->ids.data, NULL, 0, 16};
        break;
    default:
        out->ids = (omen_column){b->ids.data, b->ids.offsets, 32, 0};
    }
    if (b->op != OP_DELETE) {
        out->vectors = b->vectors.size > 0 ? b->vectors.data : NULL;
        out->dtype = b->vectors.type;
        out->dim = a->coll->options.dim;
        out->mode = b->op;
        if (b->metadata.count > 0) {
            out->metadata = (omen_column){b->metadata.data, b->metadata.offsets, 32, 0};
        }
    }
}

/* The index works in micro-batches. When the limit of a collection is below one, the tail would never
 * shrink by itself: then it is pushed, as a flush would do it. */
static void push_stuck_tail(om_apply *a)
{
    omen_write_progress p = {.struct_size = sizeof p};
    if (omen_get_progress(a->coll->handle, &p, NULL) != OMEN_OK) {
        return;
    }
    a->busy_tries = p.backlog_rows == a->busy_rows ? a->busy_tries + 1 : 0;
    a->busy_rows = p.backlog_rows;
    if (a->busy_tries >= STUCK_TRIES &&
        omen_wait(a->coll->handle, 0, OMEN_WAIT_INDEXED, PUSH_US, a->op, NULL) == OMEN_OK) {
        a->busy_tries = 0;
    }
}

static om_apply_end_t report(om_apply *a, const omen_error *err, bool *final, om_failure *f)
{
    om_failure_from_engine(f, err);
    a->short_of_memory = err->detail == OMEN_D_BUDGET && a->shared->opt.persistent;
    if (err->status == OMEN_RESOURCE_EXHAUSTED && err->detail == OMEN_D_BACKLOG) {
        push_stuck_tail(a);
        return OM_APPLY_BUSY;
    }
    if (a->short_of_memory) {
        return OM_APPLY_BUSY;
    }
    if (err->detail == OMEN_D_READ_ONLY && om_method_db_failed(a->shared, f)) {
        *final = false;
        return OM_APPLY_FAILED;
    }
    *final = err->status == OMEN_INVALID_ARGUMENT || err->status == OMEN_ALREADY_EXISTS ||
             err->status == OMEN_OUT_OF_RANGE || err->detail == OMEN_D_VERSION_CONFLICT ||
             (err->status == OMEN_RESOURCE_EXHAUSTED && err->detail == OMEN_D_LIMIT) ||
             (err->status == OMEN_NOT_FOUND && err->item != OMEN_NONE);
    if (err->status == OMEN_NOT_FOUND && !*final) {
        om_colls_forget(a->shared->colls, a->coll->name);
    }
    return OM_APPLY_FAILED;
}

/* A collection that is known to be cut takes nothing: its older rows could not be found. */
static omen_status_t write_batch(om_apply *a, const omen_batch *batch, omen_error *err)
{
    omen_status_t status = om_coll_whole(a->coll, err);
    if (status != OMEN_OK) {
        return status;
    }
    om_coll_enter(a->coll);
    if (a->filter != NULL) {
        status = omen_delete_where(a->coll->handle, a->filter, batch, &a->result, a->op, err);
    } else if (a->batch->op == OP_DELETE) {
        status = omen_delete_batch(a->coll->handle, batch, &a->result, a->op, err);
    } else {
        status = omen_add_batch(a->coll->handle, batch, &a->result, a->op, err);
    }
    return om_coll_leave(a->coll, status, err);
}

/* What the first try needs, kept for the next ones. */
static bool prepare(om_apply *a, bool *final, om_failure *f)
{
    const om_wire_batch *b = a->batch;
    om_filter_source source = {.collection = a->coll->handle,
                               .text = b->filter,
                               .size = b->filter_size,
                               .params = &b->params,
                               .field = "delete_filter",
                               .metrics = a->shared->opt.metrics};
    if (!check(a, f)) {
        return false;
    }
    if (b->filter != NULL && a->filter == NULL) {
        a->filter = om_source_compile(&source, f);
        *final = f->code == OMEN_INVALID_ARGUMENT;
        return a->filter != NULL;
    }
    if (b->per_item_errors && b->ids.count > 0 && a->item_status == NULL) {
        a->item_status = malloc(b->ids.count * sizeof *a->item_status);
        if (a->item_status == NULL) {
            *final = false;
            om_failure_set(f, OMEN_RESOURCE_EXHAUSTED, "NO_MEMORY", NULL,
                           "no memory for item errors");
            f->retry_ms = 1000;
            return false;
        }
    }
    return true;
}

/* ---- Quotas ----------------------------------------------------------------------------------------- */

/* What the batch may add. Updates and deletes add no rows, and deletes nothing at all. */
static om_tenant_claim claim_of(const om_wire_batch *b)
{
    om_tenant_claim claim = {0, 0};
    if (b->op != OP_DELETE) {
        claim.rows = b->op == OP_UPDATE || b->op == OP_PATCH ? 0 : b->ids.count;
        claim.bytes = om_wire_batch_bytes(b);
    }
    return claim;
}

/* A batch that finds no room keeps its seq: it is no fault of the batch, and may come again. */
static bool claim_room(om_apply *a, om_failure *f)
{
    a->claim = claim_of(a->batch);
    if (a->coll->tenant == NULL || om_tenant_claim_room(a->coll->tenant, &a->claim, f)) {
        return true;
    }
    om_metrics_rpc_shed(a->shared->opt.metrics, OM_SHED_QUOTA);
    return false;
}

static void settle(om_apply *a, omen_status_t status)
{
    om_tenant_claim added = {0, 0};
    const omen_write_result *w = &a->result;
    if (a->coll->tenant == NULL) {
        return;
    }
    if (status == OMEN_OK && w->replayed == 0) {
        uint64_t fresh = w->applied > w->replaced ? w->applied - w->replaced : 0;
        added.rows = fresh < a->claim.rows ? fresh : a->claim.rows;
        added.bytes = a->claim.bytes;
    }
    om_tenant_settle(a->coll->tenant, &a->claim, &added);
}

om_apply_end_t om_apply_run(om_apply *a, bool *final, om_failure *f)
{
    omen_error err = {.item = OMEN_NONE};
    omen_batch batch;
    *final = true;
    if (!prepare(a, final, f)) {
        return OM_APPLY_FAILED;
    }
    *final = false;
    if (!claim_room(a, f)) {
        return OM_APPLY_FAILED;
    }
    *final = true;
    fill(a, &batch);
    a->result = (omen_write_result){.struct_size = sizeof a->result};
    uint64_t start = om_pool_now_ns();
    omen_status_t status = write_batch(a, &batch, &err);
    uint64_t took = om_pool_now_ns() - start;
    a->engine_ns += took;
    settle(a, status);
    if (status != OMEN_OK) {
        return report(a, &err, final, f);
    }
    bool replayed = a->result.replayed != 0;
    om_metrics_ingest_commit(a->shared->opt.metrics, took);
    om_metrics_ingest_batch(a->shared->opt.metrics, replayed ? 0 : a->result.applied,
                            replayed ? 0 : om_wire_batch_bytes(a->batch), replayed);
    return OM_APPLIED;
}

void om_apply_end(om_apply *a)
{
    free(a->item_status);
    a->item_status = NULL;
    omen_filter_free(a->filter);
    a->filter = NULL;
}

omen_status_t om_apply_skip(om_coll *coll, const char *stream_id, uint64_t seq, uint64_t epoch,
                            omen_error *err)
{
    /* A delete of nothing: it changes no item, and its seq is remembered like any other. */
    omen_batch batch = {.struct_size = sizeof batch,
                        .stream_id = stream_id,
                        .stream_id_len = strlen(stream_id),
                        .seq = seq,
                        .stream_epoch = epoch};
    return omen_delete_batch(coll->handle, &batch, NULL, NULL, err);
}

/* NaN or infinite: an exponent of ones. The bytes may lie anywhere. */
static bool row_is_finite(const om_apply *a, size_t item)
{
    const om_wire_vectors *v = &a->batch->vectors;
    uint32_t type = v->type != 0 ? v->type : a->coll->options.dtype;
    size_t width = type == OMEN_F32 ? 4 : type == OMEN_F16 ? 2 : 0;
    size_t row = v->size / a->batch->ids.count;
    if (row == 0) {
        return true; /* deletes have ids only, and patches need no vectors */
    }
    const uint8_t *at = v->data + item * row;
    for (size_t i = 0; width != 0 && i + width <= row; i += width) {
        uint16_t high = (uint16_t)(at[i + width - 2] | at[i + width - 1] << 8);
        uint16_t ones = width == 4 ? 0x7f80 : 0x7c00;
        if ((high & ones) == ones) {
            return false;
        }
    }
    return true;
}

/* The engine gives a status an item, and no detail: what it can have been is looked up here. */
static const char *item_reason(const om_apply *a, size_t item)
{
    int32_t status = a->item_status[item];
    if (status == OMEN_ABORTED) {
        return omen_detail_name(OMEN_D_VERSION_CONFLICT);
    }
    if (status != OMEN_INVALID_ARGUMENT) {
        return omen_status_name(status);
    }
    if (!row_is_finite(a, item)) {
        return omen_detail_name(OMEN_D_NOT_FINITE);
    }
    return a->batch->metadata.count > 0 ? omen_detail_name(OMEN_D_METADATA) : "INVALID_ITEM";
}

static size_t item_error_size(const om_apply *a, size_t item)
{
    return om_wsize_uint(item) + om_wsize_uint((uint32_t)a->item_status[item]) +
           om_wsize_len(strlen(item_reason(a, item)));
}

uint8_t *om_apply_item_errors(const om_apply *a, uint32_t field, size_t *size, om_failure *first)
{
    size_t count = 0;
    size_t bytes = 0;
    size_t refused = 0;
    *size = 0;
    for (size_t i = 0; a->item_status != NULL && i < a->batch->ids.count; i++) {
        if (a->item_status[i] == OMEN_OK) {
            continue;
        }
        if (refused++ == 0) {
            om_failure_set(first, (uint32_t)a->item_status[i], item_reason(a, i), NULL, "refused");
            first->item = i;
        }
        if (count < OM_RT_ITEM_ERRORS) {
            count++;
            bytes += om_wsize_len(item_error_size(a, i));
        }
    }
    uint8_t *out = count > 0 ? malloc(bytes) : NULL;
    if (out == NULL) {
        return NULL;
    }
    snprintf(first->message, sizeof first->message, "%zu of %zu items were refused, %zu are listed",
             refused, a->batch->ids.count, count);
    om_wbuf w = om_wbuf_of(out, bytes);
    for (size_t i = 0; count > 0; i++) {
        if (a->item_status[i] != OMEN_OK) {
            om_w_len(&w, field, item_error_size(a, i));
            om_w_uint(&w, 1, (uint32_t)i);
            om_w_uint(&w, 2, (uint32_t)a->item_status[i]);
            om_w_string(&w, 3, item_reason(a, i));
            count--;
        }
    }
    *size = (size_t)(w.at - out);
    return out;
}
