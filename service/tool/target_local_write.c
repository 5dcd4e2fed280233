/* target_local_write.c - changes a segment file: copies its items into memory, applies the change,
 * saves. The file is the old one until the new one is complete.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "target_local.h"

static const char copy_name[] = "copy";
static const uint64_t tick_us = 100000;

static bool failed(const om_local *t, const omen_error *why, om_tool_error *err)
{
    (void)t;
    om_tool_fail_omen(err, why);
    if (om_tool_interrupted()) {
        om_tool_fail(err, OM_EXIT_INTERRUPTED, "interrupted; the file is as it was");
    }
    return false;
}

static void tick(const om_local *t)
{
    omen_stats stats = {.struct_size = sizeof stats};
    omen_error why;
    if (t->write_options.tick != NULL && omen_get_stats(t->writing, &stats, &why) == OMEN_OK) {
        t->write_options.tick(t->write_options.tick_ctx, t->accepted, stats.indexed_rows);
    }
}

/* Copies all items, with their metadata, into t->writing. */
static bool copy_items(om_local *t, om_tool_error *err)
{
    size_t row = t->base.dim * om_tool_dtype_width(t->base.dtype);
    size_t most = (4u << 20) / row;
    om_scan_params p = {.most = most < 1 ? 1 : most > 16384 ? 16384 : most};
    om_ids ids = {0};
    om_json_column metadata = {0};
    om_item_parts parts = {.vectors = malloc(p.most * row), .metadata = &metadata};
    bool ok = parts.vectors != NULL ? true : om_tool_no_memory(err, p.most * row);
    om_local_rest(t);
    while (ok) {
        ok = om_local_scan(&t->base, &p, &ids, &parts, err);
        if (!ok || ids.count == 0) {
            break;
        }
        omen_error why;
        omen_batch batch = {.struct_size = sizeof batch,
                            .count = ids.count,
                            .vectors = parts.vectors,
                            .dtype = t->base.dtype,
                            .dim = t->base.dim,
                            .mode = OMEN_INSERT};
        om_ids_column(&ids, 0, &batch.ids, &batch.keys);
        om_json_column_view(&metadata, 0, ids.count, &batch.metadata);
        ok = omen_add_batch(t->writing, &batch, NULL, t->op, &why) == OMEN_OK ||
             failed(t, &why, err);
    }
    free(parts.vectors);
    om_ids_free(&ids);
    om_json_column_free(&metadata);
    return ok;
}

/* Starts the copy in memory that will replace the file. fields: NULL, or more to declare. */
static bool begin(om_local *t, const om_field_list *fields, om_tool_error *err)
{
    omen_error why;
    om_field_list own;
    omen_options opt = t->options;
    if (!om_local_fields(&t->base, &own, err)) {
        return false;
    }
    opt.struct_size = sizeof opt;
    opt.fields = own.items;
    opt.field_count = own.count;
    bool ok = omen_create(t->db, copy_name, &opt, &t->writing, &why) == OMEN_OK &&
              (fields == NULL || fields->count == 0 ||
               omen_declare_fields(t->writing, fields->items, fields->count, &why) == OMEN_OK);
    om_field_list_free(&own);
    return ok ? copy_items(t, err) : om_tool_fail_omen(err, &why);
}

/* Waits until the rows are in the graph, in steps, so that progress can be shown. */
static bool wait_indexed(om_local *t, om_tool_error *err)
{
    for (;;) {
        omen_error why;
        omen_status_t status = omen_wait(t->writing, 0, OMEN_WAIT_INDEXED, tick_us, t->op, &why);
        tick(t);
        if (status == OMEN_OK) {
            return true;
        }
        if (status != OMEN_DEADLINE_EXCEEDED) {
            return failed(t, &why, err);
        }
    }
}

static bool save(om_local *t, om_tool_error *err)
{
    omen_error why;
    if (omen_save(t->writing, t->path, t->op, &why) != OMEN_OK) {
        failed(t, &why, err);
        return om_tool_wrap(err, "%s", t->path);
    }
    return true;
}

bool om_local_write_begin(om_target *base, const om_target_write_options *opt, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    t->write_options = *opt;
    t->accepted = 0;
    return begin(t, opt->fields, err);
}

bool om_local_write(om_target *base, const om_target_batch *b, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = b->count,
                        .vectors = b->vectors,
                        .dtype = b->dtype,
                        .dim = b->dim,
                        .mode = t->write_options.mode,
                        .durability = t->write_options.durability,
                        .if_version = b->if_version};
    om_ids_column(b->ids, 0, &batch.ids, &batch.keys);
    if (b->metadata != NULL) {
        om_json_column_view(b->metadata, 0, b->count, &batch.metadata);
    }
    omen_error why;
    if (omen_add_batch(t->writing, &batch, NULL, t->op, &why) != OMEN_OK) {
        failed(t, &why, err);
        if (why.item != OMEN_NONE && why.item < b->count && !om_tool_interrupted()) {
            om_tool_wrap(err, "row %llu", (unsigned long long)(b->first_row + why.item));
        }
        return false;
    }
    t->accepted += b->count;
    tick(t);
    return true;
}

bool om_local_write_end(om_target *base, om_target_written *out, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    memset(out, 0, sizeof *out);
    out->accepted_at = om_tool_now();
    out->accepted = t->accepted;
    /* Saving waits for the graph in any case; asking for it here shows how it goes on. */
    if (!wait_indexed(t, err)) {
        return false;
    }
    out->indexed_at = om_tool_now();
    omen_stats stats = {.struct_size = sizeof stats};
    omen_error why;
    if (omen_get_stats(t->writing, &stats, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    out->indexed = stats.indexed_rows;
    return save(t, err);
}

bool om_local_erase(om_target *base, const om_ids *ids, uint64_t *removed, om_tool_error *err)
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
    if (!begin(t, NULL, err)) {
        return false;
    }
    if (omen_delete_batch(t->writing, &batch, &result, t->op, &why) != OMEN_OK) {
        return failed(t, &why, err);
    }
    *removed = result.applied;
    return result.applied == 0 || (wait_indexed(t, err) && save(t, err));
}

bool om_local_erase_where(om_target *base, const om_condition *where, uint64_t *removed,
                          om_tool_error *err)
{
    om_local *t = (om_local *)base;
    omen_write_result result = {.struct_size = sizeof result};
    omen_filter *filter = NULL;
    omen_error why;
    *removed = 0;
    if (!begin(t, NULL, err) || !om_local_compile(t->writing, where, &filter, err)) {
        return false;
    }
    bool ok = omen_delete_where(t->writing, filter, NULL, &result, t->op, &why) == OMEN_OK ||
              failed(t, &why, err);
    omen_filter_free(filter);
    *removed = result.applied;
    return ok && (result.applied == 0 || (wait_indexed(t, err) && save(t, err)));
}

bool om_local_declare(om_target *base, const om_field_list *fields, om_tool_error *err)
{
    om_local *t = (om_local *)base;
    return begin(t, fields, err) && wait_indexed(t, err) && save(t, err);
}
