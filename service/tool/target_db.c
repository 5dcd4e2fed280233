/* target_db.c - a collection of a database in a folder, opened in this process. Reading needs no lock and
 * goes on beside a writer; writing needs the database alone, and a write is durable when it returns.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "crc32c.h"
#include "import.h"
#include "target_local.h"

static const uint64_t tick_us = 100000;

bool om_embed_database(const char *folder, int mode, bool create, omen_db **out, om_tool_error *err)
{
    omen_error why;
    omen_db_options opt = {.struct_size = sizeof opt,
                           .flags = (mode == OM_TARGET_READ ? OMEN_DB_READ_ONLY : 0) |
                                    (create ? 0 : OMEN_DB_MUST_EXIST),
                           .warm = OMEN_WARM_NONE};
    if (omen_db_open(folder, &opt, out, &why) == OMEN_OK) {
        return true;
    }
    om_tool_fail_omen(err, &why);
    if (why.detail == OMEN_D_LOCKED) {
        size_t n = strlen(err->message);
        (void)snprintf(err->message + n, sizeof err->message - n,
                       "; if an omend serves it, use --server");
    }
    return false;
}

static void embed_close(om_target *base)
{
    om_local *t = (om_local *)base;
    om_tool_set_op(NULL);
    om_local_rest(t);
    omen_collection_free(t->collection);
    omen_db_free(t->db); /* makes everything durable */
    omen_op_free(t->op);
    free(t);
}

bool om_embed_open(const om_place *place, int mode, om_target **out, om_tool_error *err)
{
    omen_error why;
    om_local *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return om_tool_no_memory(err, sizeof *t);
    }
    t->base.ops = &om_embed_ops;
    t->lock_fd = -1;
    if (!om_embed_database(place->db, mode, false, &t->db, err)) {
        embed_close(&t->base);
        return false;
    }
    t->options.struct_size = sizeof t->options;
    if (omen_op_create(&t->op, &why) != OMEN_OK ||
        omen_open(t->db, place->name, NULL, &t->collection, &why) != OMEN_OK ||
        omen_describe(t->collection, &t->options, &why) != OMEN_OK) {
        om_tool_fail_omen(err, &why);
        om_tool_wrap(err, "%s", place->db);
        embed_close(&t->base);
        return false;
    }
    t->base.dim = t->options.dim;
    t->base.dtype = t->options.dtype;
    t->base.id_type = t->options.id_type;
    t->base.metric = t->options.metric;
    om_tool_set_op(t->op);
    *out = &t->base;
    return true;
}

bool om_embed_create(const om_place *place, const omen_options *opt, om_tool_error *err)
{
    omen_error why;
    omen_db *db = NULL;
    omen_collection *c = NULL;
    if (!om_embed_database(place->db, OM_TARGET_WRITE, true, &db, err)) {
        return false;
    }
    bool ok =
        omen_create(db, place->name, opt, &c, &why) == OMEN_OK || om_tool_fail_omen(err, &why);
    omen_collection_free(c);
    omen_db_free(db);
    return ok;
}

bool om_embed_drop(const om_place *place, om_tool_error *err)
{
    omen_error why;
    omen_db *db = NULL;
    if (!om_embed_database(place->db, OM_TARGET_WRITE, false, &db, err)) {
        return false;
    }
    bool ok = omen_drop(db, place->name, &why) == OMEN_OK || om_tool_fail_omen(err, &why);
    omen_db_free(db);
    return ok;
}

static bool list_one(omen_db *db, const char *name, om_list_each each, void *ctx,
                     om_tool_error *err)
{
    om_local t = {.db = db, .options = {.struct_size = sizeof t.options}};
    om_target_info info;
    omen_error why;
    if (omen_open(db, name, NULL, &t.collection, &why) != OMEN_OK ||
        omen_describe(t.collection, &t.options, &why) != OMEN_OK) {
        omen_collection_free(t.collection);
        return why.status == OMEN_NOT_FOUND ? true : om_tool_fail_omen(err, &why);
    }
    bool ok = om_local_describe(&t.base, &info, err);
    omen_collection_free(t.collection);
    if (ok) {
        each(ctx, name, &info);
    }
    return ok;
}

bool om_embed_list(const char *folder, om_list_each each, void *ctx, om_tool_error *err)
{
    enum { PAGE = 128 };
    char names[PAGE][OMEN_MAX_NAME + 1];
    char after[OMEN_MAX_NAME + 1] = "";
    omen_error why;
    omen_db *db = NULL;
    if (!om_embed_database(folder, OM_TARGET_READ, false, &db, err)) {
        return false;
    }
    bool ok = true;
    size_t n = PAGE;
    while (ok && n == PAGE) {
        ok = omen_list(db, after[0] != '\0' ? after : NULL, names[0], PAGE, &n, &why) == OMEN_OK ||
             om_tool_fail_omen(err, &why);
        for (size_t i = 0; ok && i < n; i++) {
            ok = list_one(db, names[i], each, ctx, err);
            memcpy(after, names[i], sizeof after);
        }
    }
    omen_db_free(db);
    return ok;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

static bool failed(const om_local *t, const omen_error *why, om_tool_error *err)
{
    om_tool_fail_omen(err, why);
    if (om_tool_interrupted()) {
        om_tool_fail(err, OM_EXIT_INTERRUPTED,
                     "interrupted after %llu rows; the same command goes on from there",
                     (unsigned long long)t->accepted);
    }
    return false;
}

static void tick(const om_local *t)
{
    omen_stats stats = {.struct_size = sizeof stats};
    if (t->write_options.tick != NULL && omen_get_stats(t->collection, &stats, NULL) == OMEN_OK) {
        t->write_options.tick(t->write_options.tick_ctx, t->accepted, stats.indexed_rows);
    }
}

static bool declare(om_target *base, const om_field_list *fields, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_error why;
    return omen_declare_fields(t->collection, fields->items, fields->count, &why) == OMEN_OK
               ? true
               : om_tool_fail_omen(err, &why);
}

static bool write_begin(om_target *base, const om_target_write_options *opt, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_error why;
    t->write_options = *opt;
    t->accepted = 0;
    t->skipped = 0;
    t->seq = 0;
    t->last_seq = 0;
    if (opt->fields != NULL && opt->fields->count > 0 && !declare(base, opt->fields, err)) {
        return false;
    }
    if (opt->stream_id == NULL) {
        return true;
    }
    return omen_stream_open(t->collection, opt->stream_id, strlen(opt->stream_id), &t->last_seq,
                            &t->epoch, &why) == OMEN_OK
               ? true
               : om_tool_fail_omen(err, &why);
}

/* Over the ids, the vectors, the metadata: the same batch gives the same sum. */
static uint32_t sum_of(const om_target_batch *b)
{
    uint32_t crc = 0;
    if (b->ids->type == OMEN_ID_U64) {
        crc = om_wire_crc32c(crc, b->ids->u64, b->count * sizeof *b->ids->u64);
    } else if (b->ids->type == OMEN_ID_UUID) {
        crc = om_wire_crc32c(crc, b->ids->uuid, 16 * b->count);
    } else if (b->count > 0) {
        crc = om_wire_crc32c(crc, b->ids->text + b->ids->offsets[0],
                             (size_t)(b->ids->offsets[b->count] - b->ids->offsets[0]));
    }
    if (b->vectors != NULL) {
        crc = om_wire_crc32c(crc, b->vectors, b->count * b->dim * om_tool_dtype_width(b->dtype));
    }
    return b->metadata == NULL
               ? crc
               : om_wire_crc32c(crc, b->metadata->text, om_json_column_bytes(b->metadata));
}

static bool write_rows(om_target *base, const om_target_batch *b, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    const om_target_write_options *o = &t->write_options;
    omen_error why;
    t->seq++;
    if (t->seq < t->last_seq) { /* the last one is sent again: its sum is compared */
        t->accepted += b->count;
        t->skipped += b->count;
        tick(t);
        return true;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = b->count,
                        .vectors = b->vectors,
                        .dtype = b->dtype,
                        .dim = b->dim,
                        .mode = o->mode,
                        .durability = o->durability,
                        .stream_id = o->stream_id,
                        .stream_id_len = o->stream_id != NULL ? strlen(o->stream_id) : 0,
                        .seq = o->stream_id != NULL ? t->seq : 0,
                        .stream_epoch = t->epoch,
                        .crc = o->stream_id != NULL ? sum_of(b) : 0,
                        .if_version = b->if_version};
    omen_write_result result = {.struct_size = sizeof result};
    om_ids_column(b->ids, 0, &batch.ids, &batch.keys);
    if (b->metadata != NULL) {
        om_json_column_view(b->metadata, 0, b->count, &batch.metadata);
    }
    if (omen_add_batch(t->collection, &batch, &result, t->op, &why) != OMEN_OK) {
        failed(t, &why, err);
        if (why.item != OMEN_NONE && why.item < b->count && !om_tool_interrupted()) {
            om_tool_wrap(err, "row %llu", (unsigned long long)(b->first_row + why.item));
        }
        return false;
    }
    t->accepted += b->count;
    t->skipped += result.replayed != 0 ? b->count : 0;
    tick(t);
    return true;
}

static bool wait_indexed(om_local *t, om_tool_error *err)
{
    for (;;) {
        omen_error why;
        omen_status_t status = omen_wait(t->collection, 0, OMEN_WAIT_INDEXED, tick_us, t->op, &why);
        tick(t);
        if (status == OMEN_OK) {
            return true;
        }
        if (status != OMEN_DEADLINE_EXCEEDED) {
            return failed(t, &why, err);
        }
    }
}

static bool write_end(om_target *base, om_target_written *out, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_stats stats = {.struct_size = sizeof stats};
    omen_error why;
    memset(out, 0, sizeof *out);
    if (omen_wait(t->collection, 0, OMEN_WAIT_DURABLE, 0, t->op, &why) != OMEN_OK) {
        return failed(t, &why, err);
    }
    out->accepted_at = om_tool_now();
    out->accepted = t->accepted;
    out->skipped = t->skipped;
    if (t->write_options.wait_indexed && !wait_indexed(t, err)) {
        return false;
    }
    out->indexed_at = om_tool_now();
    if (omen_get_stats(t->collection, &stats, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    out->indexed = stats.indexed_rows;
    if (t->write_options.stream_id != NULL) {
        (void)snprintf(out->stream_id, sizeof out->stream_id, "%s", t->write_options.stream_id);
    }
    return true;
}

static bool erase(om_target *base, const om_ids *ids, uint64_t *removed, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_batch batch = {.struct_size = sizeof batch, .count = ids->count};
    omen_write_result result = {.struct_size = sizeof result};
    omen_error why;
    *removed = 0;
    if (ids->count == 0) {
        return true;
    }
    om_ids_column(ids, 0, &batch.ids, &batch.keys);
    if (omen_delete_batch(t->collection, &batch, &result, t->op, &why) != OMEN_OK) {
        return failed(t, &why, err);
    }
    *removed = result.applied;
    return true;
}

static bool erase_where(om_target *base, const om_condition *where, uint64_t *removed,
                        om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_write_result result = {.struct_size = sizeof result};
    const omen_filter *filter;
    omen_error why;
    if (!om_local_filter(t, where, &filter, err)) {
        return false;
    }
    if (omen_delete_where(t->collection, filter, NULL, &result, t->op, &why) != OMEN_OK) {
        return failed(t, &why, err);
    }
    *removed = result.applied;
    return true;
}

const om_target_ops om_embed_ops = {
    .close = embed_close,
    .describe = om_local_describe,
    .fields = om_local_fields,
    .declare = declare,
    .count = om_local_count,
    .facet = om_local_facet,
    .search = om_local_search,
    .find = om_local_find,
    .get = om_local_get,
    .erase = erase,
    .erase_where = erase_where,
    .scan = om_local_scan,
    .recall = om_local_recall,
    .write_begin = write_begin,
    .write = write_rows,
    .write_end = write_end,
    .session_open = om_local_session_open,
    .session_step = om_local_session_step,
    .session_close = om_local_session_close,
};
