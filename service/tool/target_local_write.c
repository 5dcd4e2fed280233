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

typedef struct copy_room {
    uint64_t *keys;
    void *vectors;
    size_t rows;
} copy_room;

static bool room_make(copy_room *room, const om_local *t, om_tool_error *err)
{
    size_t row = t->base.dim * om_tool_dtype_width(t->base.dtype);
    room->rows = (4u << 20) / row;
    room->rows = room->rows < 1 ? 1 : room->rows > 16384 ? 16384 : room->rows;
    room->keys = calloc(room->rows, sizeof *room->keys);
    room->vectors = malloc(room->rows * row);
    return room->keys != NULL && room->vectors != NULL ? true
                                                       : om_tool_no_memory(err, room->rows * row);
}

/* Copies one round of items; *count tells how many there were. */
static bool copy_some(om_local *t, const copy_room *room, uint64_t *cursor, uint64_t *count,
                      omen_error *why)
{
    omen_rows *ids = NULL;
    bool ok = omen_scan(t->collection, cursor, room->keys, room->rows, count, why) == OMEN_OK;
    if (!ok || *count == 0) {
        return ok;
    }
    omen_batch batch = {.struct_size = sizeof batch,
                        .count = *count,
                        .vectors = room->vectors,
                        .dtype = t->base.dtype,
                        .dim = t->base.dim,
                        .mode = OMEN_INSERT,
                        .keys = room->keys};
    ok = omen_get_vectors(t->collection, room->keys, *count, room->vectors, 0, 0, NULL, why) ==
         OMEN_OK;
    if (ok && t->base.id_type != OMEN_ID_U64) {
        batch.keys = NULL; /* assigned anew; what names an item is its id */
        ok = omen_fetch(t->collection, room->keys, *count, OMEN_FIELD_ID, &ids, why) == OMEN_OK;
        if (ok) {
            omen_rows_column(ids, OMEN_FIELD_ID, &batch.ids);
        }
    }
    ok = ok && omen_add_batch(t->writing, &batch, NULL, t->op, why) == OMEN_OK;
    omen_rows_free(ids);
    return ok;
}

/* Starts the copy in memory that will replace the file. */
static bool begin(om_local *t, om_tool_error *err)
{
    copy_room room = {0};
    omen_error why;
    omen_options opt = t->options;
    opt.struct_size = sizeof opt;
    if (omen_create(t->db, copy_name, &opt, &t->writing, &why) != OMEN_OK) {
        return om_tool_fail_omen(err, &why);
    }
    bool ok = room_make(&room, t, err);
    uint64_t cursor = 0, count = room.rows;
    while (ok && count == room.rows) {
        ok = copy_some(t, &room, &cursor, &count, &why) || failed(t, &why, err);
    }
    free(room.keys);
    free(room.vectors);
    return ok;
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
    return begin(t, err);
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
                        .durability = t->write_options.durability};
    om_ids_column(b->ids, 0, &batch.ids, &batch.keys);
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
    if (!begin(t, err)) {
        return false;
    }
    if (omen_delete_batch(t->writing, &batch, &result, t->op, &why) != OMEN_OK) {
        return failed(t, &why, err);
    }
    *removed = result.applied;
    return result.applied == 0 || (wait_indexed(t, err) && save(t, err));
}
