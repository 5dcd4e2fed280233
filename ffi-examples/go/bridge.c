/* bridge.c - puts the structs of omen.h together on the C stack; see bridge.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bridge.h"

omen_status_t bridge_db_open(const char *path, const bridge_db *o, omen_db **out, omen_error *err)
{
    const omen_runtime_options runtime_options = {.struct_size = sizeof runtime_options,
                                                  .threads = o->threads,
                                                  .memory_limit = o->memory_limit};
    omen_runtime *runtime = NULL;
    omen_status_t status = omen_runtime_create(&runtime_options, &runtime, err);
    if (status == OMEN_OK) {
        const omen_db_options options = {.struct_size = sizeof options,
                                         .flags = o->flags,
                                         .runtime = runtime,
                                         .interval_ms = o->interval_ms,
                                         .seal_rows = o->seal_rows};
        status = omen_db_open(path, &options, out, err);
        omen_runtime_free(runtime); /* the database keeps what it needs alive */
    }
    return status;
}

omen_status_t bridge_backup(omen_db *db, const char *path, const char *previous, omen_op *op,
                            omen_backup_result *out, omen_error *err)
{
    const omen_backup_options options = {
        .struct_size = sizeof options, .previous = previous, .op = op};
    return omen_backup(db, path, &options, out, err);
}

omen_status_t bridge_restore(const char *from, const char *to, omen_op *op, omen_backup_result *out,
                             omen_error *err)
{
    const omen_backup_options options = {.struct_size = sizeof options, .op = op};
    return to != NULL ? omen_restore(from, to, &options, out, err)
                      : omen_verify(from, &options, out, err);
}

omen_status_t bridge_open(const bridge_file *f, omen_collection **out, omen_error *err)
{
    const omen_open_options options = {.struct_size = sizeof options, .file = f->file};
    return omen_open(f->db, f->name, &options, out, err);
}

static omen_column id_column(uint32_t id_type, const void *ids, const int64_t *offsets)
{
    omen_column column = {.data = ids};
    if (id_type == OMEN_ID_STRING) {
        column.offsets = offsets;
        column.offset_bits = 64;
    } else {
        column.width = id_type == OMEN_ID_UUID ? 16 : 8;
    }
    return column;
}

omen_status_t bridge_write_batch(omen_collection *c, const bridge_write *w, const void *vectors,
                                 const void *ids, const int64_t *offsets, const void *metadata,
                                 const int64_t *metadata_offsets, const uint64_t *versions,
                                 const char *stream, size_t stream_len, const char *request,
                                 size_t request_len, omen_write_result *result, omen_op *op,
                                 omen_error *err)
{
    omen_batch batch = {.struct_size = sizeof batch,
                        .flags = w->flags,
                        .count = w->count,
                        .vectors = vectors,
                        .dtype = w->dtype,
                        .dim = w->dim,
                        .mode = w->mode,
                        .durability = w->durability,
                        .seq = w->seq,
                        .stream_epoch = w->epoch,
                        .if_version = versions};
    if (ids != NULL && w->id_type == OMEN_ID_U64) {
        batch.keys = ids;
    } else if (ids != NULL) {
        batch.ids = id_column(w->id_type, ids, offsets);
    }
    if (metadata != NULL) {
        batch.metadata =
            (omen_column){.data = metadata, .offsets = metadata_offsets, .offset_bits = 64};
    }
    if (stream_len > 0) {
        batch.stream_id = stream;
        batch.stream_id_len = stream_len;
    }
    if (request_len > 0) {
        batch.request_id = request;
        batch.request_id_len = request_len;
    }
    result->struct_size = sizeof *result;
    if (w->deletes) {
        return omen_delete_batch(c, &batch, result, op, err);
    }
    return omen_add_batch(c, &batch, result, op, err);
}

omen_status_t bridge_search(omen_collection *c, const bridge_query *q, const void *vectors,
                            uint64_t *keys, float *distances, uint32_t *counts, uint32_t *flags,
                            omen_explain *explain, omen_filter_explain *filters, uint64_t *version,
                            omen_error *err)
{
    const omen_query query = {.struct_size = sizeof query,
                              .flags = q->flags,
                              .vectors = vectors,
                              .dtype = q->dtype,
                              .dim = q->dim,
                              .count = q->count,
                              .k = q->k,
                              .ef = q->ef,
                              .rerank = q->rerank,
                              .threads = q->threads,
                              .timeout_us = q->timeout_us,
                              .min_version = q->min_version,
                              .op = q->op,
                              .filter = q->filter};
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = distances,
                      .counts = counts,
                      .flags = flags,
                      .explain = explain,
                      .filters = filters};
    const omen_status_t status = omen_search(c, &query, &hits, err);
    if (status == OMEN_OK) {
        *version = hits.version;
    }
    return status;
}

omen_status_t bridge_find(omen_collection *c, const omen_request *request, uint64_t *keys,
                          float *distances, float *scores, uint32_t *groups, uint32_t *count,
                          uint32_t *flags, omen_explain *explain, omen_filter_explain *filters,
                          uint64_t *version, omen_error *err)
{
    omen_hits hits = {.struct_size = sizeof hits,
                      .keys = keys,
                      .distances = distances,
                      .counts = count,
                      .flags = flags,
                      .explain = explain,
                      .filters = filters,
                      .scores = scores,
                      .groups = groups};
    const omen_status_t status = omen_find(c, request, &hits, err);
    if (status == OMEN_OK) {
        *version = hits.version;
    }
    return status;
}

omen_status_t bridge_lookup(omen_collection *c, uint32_t id_type, const void *ids,
                            const int64_t *offsets, uint64_t count, uint64_t *keys, omen_error *err)
{
    const omen_column column = id_column(id_type, ids, offsets);
    return omen_lookup(c, &column, count, keys, err);
}
