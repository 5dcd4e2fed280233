/* model_disk.c - a database on disk beside its model: opening, closing, checkpoints, merges.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_disk.h"

const char *const disk_kind_names[OP_KINDS] = {
    "add",      "bad batch", "delete", "repeat",   "assigned",  "get",     "lookup", "exact search",
    "search",   "scan",      "index",  "snapshot", "look back", "forget",  "reopen", "checkpoint",
    "optimize", "backup",    "reader", "refresh",  "save",      "recreate"};

model_run *disk_part(disk_run *run, uint32_t part)
{
    return &run->parts[part % DISK_PARTS];
}

void disk_part_name(uint32_t part, char out[16])
{
    (void)snprintf(out, 16, "part-%u", part);
}

static uint32_t below(disk_run *run, uint32_t bound)
{
    return model_below(&run->parts[0], bound);
}

/* ---- Collections ------------------------------------------------------------------------------ */

/* Chooses the shape of a part; the items of the model are all absent then. */
static void choose_shape(model_run *part)
{
    static const uint32_t quantizations[] = {OMEN_QUANT_SQ8, OMEN_QUANT_SQ8, OMEN_QUANT_NONE};
    free(part->items);
    part->id_type = 1 + model_below(part, 3);
    part->metric = 1 + model_below(part, 3);
    part->dtype = 1 + model_below(part, 4);
    part->quantization = quantizations[model_below(part, 3)];
    part->dim = 1 + model_below(part, model_below(part, 4) == 0 ? 4 : MODEL_MAX_DIM);
    part->universe = 200 + model_below(part, 500);
    part->items = calloc(part->universe, sizeof *part->items);
    part->live = 0;
    part->highest_key = 0;
    part->last_seq = 0;
    part->last_crc = 0;
    part->request[0] = '\0';
    part->wanted = 0;
    part->found = 0;
    CHECK(part, part->items != NULL);
}

static void create_part(disk_run *run, uint32_t n)
{
    char name[16];
    model_run *part = &run->parts[n];
    disk_part_name(n, name);
    choose_shape(part);
    const omen_options options = {.struct_size = sizeof options,
                                  .dim = part->dim,
                                  .metric = part->metric,
                                  .dtype = part->dtype,
                                  .id_type = part->id_type,
                                  .quantization = part->quantization,
                                  .m = 4 + model_below(part, 16),
                                  .durability = model_below(part, 4)};
    CHECK(part, omen_create(run->db, name, &options, &part->c, &part->err) == OMEN_OK);
    model_declare(part);
}

static void open_database(disk_run *run)
{
    static const uint64_t seals[] = {256, 500, 1024, 1500, 4000};
    model_run *any = &run->parts[0];
    const omen_db_options options = {.struct_size = sizeof options,
                                     .flags = below(run, 8) == 0 ? OMEN_DB_RAM : 0,
                                     .warm = below(run, 3),
                                     .interval_ms = 1 + below(run, 50),
                                     .seal_rows = seals[below(run, 5)],
                                     .reserve_bytes = 1 << 20};
    CHECK(any, omen_db_open(run->path, &options, &run->db, &any->err) == OMEN_OK);
}

static void open_parts(disk_run *run)
{
    char name[16];
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_run *part = &run->parts[n];
        uint64_t last_seq = 0;
        uint64_t epoch = 0;
        disk_part_name(n, name);
        CHECK(part, omen_open(run->db, name, NULL, &part->c, &part->err) == OMEN_OK);
        CHECK(part, omen_stream_open(part->c, MODEL_STREAM, strlen(MODEL_STREAM), &last_seq, &epoch,
                                     &part->err) == OMEN_OK);
        CHECK(part, last_seq == part->last_seq);
    }
    model_run *any = &run->parts[0];
    CHECK(any, omen_open(run->db, "assigned", NULL, &run->assigned, &any->err) == OMEN_OK);
}

static void close_database(disk_run *run)
{
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        omen_collection_free(run->parts[n].c);
    }
    omen_collection_free(run->assigned);
    omen_db_free(run->db);
    run->db = NULL;
}

void disk_begin(disk_run *run)
{
    (void)snprintf(run->path, sizeof run->path, "%s/db", run->folder);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        run->parts[n].seed = run->seed * DISK_PARTS + n;
        run->parts[n].what = "begin";
    }
    open_database(run);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        create_part(run, n);
    }
    const omen_options options = {.struct_size = sizeof options, .dim = 2};
    model_run *any = &run->parts[0];
    CHECK(any, omen_create(run->db, "assigned", &options, &run->assigned, &any->err) == OMEN_OK);
}

void disk_compare(disk_run *run, omen_db *db)
{
    char name[16];
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_run *part = &run->parts[n];
        omen_collection *c = NULL;
        disk_part_name(n, name);
        CHECK(part, omen_open(db, name, NULL, &c, &part->err) == OMEN_OK);
        model_read_only(part, c);
        omen_collection_free(c);
    }
}

void disk_end(disk_run *run)
{
    for (uint32_t i = 0; i < DISK_SNAPSHOTS; i++) {
        disk_forget(run, &run->views[i]);
    }
    disk_reader_close(run);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_run *part = &run->parts[n];
        part->what = "recall";
        CHECK(part, part->wanted < 2000 || part->found * 100 >= part->wanted * 90);
        part->what = "end";
        model_read_only(part, part->c);
    }
    close_database(run);
    const omen_backup_options options = {.struct_size = sizeof options};
    model_run *any = &run->parts[0];
    CHECK(any, omen_verify(run->path, &options, NULL, &any->err) == OMEN_OK);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        free(run->parts[n].items);
    }
}

/* ---- Operations ------------------------------------------------------------------------------- */

/* Sometimes with a snapshot that outlives the handles, and must go on showing what it showed. */
static void reopen(disk_run *run, model_run *part)
{
    disk_view *kept = below(run, 4) == 0 ? &run->views[0] : NULL;
    omen_db *second = NULL;
    CHECK(part, omen_verify(run->path, NULL, NULL, &part->err) == OMEN_FAILED_PRECONDITION);
    CHECK(part, part->err.detail == OMEN_D_LOCKED);
    for (uint32_t i = 0; i < DISK_SNAPSHOTS; i++) {
        if (&run->views[i] != kept) {
            disk_forget(run, &run->views[i]);
        }
    }
    if (below(run, 2) == 0) {
        disk_reader_close(run);
    }
    close_database(run);
    if (kept != NULL && kept->c != NULL) {
        omen_status_t status = omen_db_open(run->path, NULL, &second, &part->err);
        CHECK(part, status == OMEN_OK || part->err.detail == OMEN_D_LOCKED);
        disk_look_back(run, 0);
        omen_db_free(status == OMEN_OK ? second : NULL);
        disk_forget(run, kept);
    }
    if (below(run, 5) == 0) {
        CHECK(part, omen_verify(run->path, NULL, NULL, &part->err) == OMEN_OK);
    }
    open_database(run);
    open_parts(run);
    uint64_t count = 0;
    CHECK(part, omen_count(run->assigned, &count, &part->err) == OMEN_OK);
    CHECK(part, count == run->assigned_live);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_read_only(&run->parts[n], run->parts[n].c);
    }
}

/* Keys that the library chooses rise for ever, also over the end of the process and over deletes. */
static void assigned(disk_run *run, model_run *part)
{
    float rows[8][2];
    uint64_t keys[8];
    uint32_t count = 1 + model_below(part, 8);
    for (uint32_t i = 0; i < count; i++) {
        rows[i][0] = (float)i;
        rows[i][1] = (float)count;
    }
    omen_batch batch = {
        .struct_size = sizeof batch, .count = count, .vectors = rows, .dim = 2, .keys_out = keys};
    CHECK(part, omen_add_batch(run->assigned, &batch, NULL, NULL, &part->err) == OMEN_OK);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(part, keys[i] > run->assigned_highest || (i == 0 && run->assigned_highest == 0));
        run->assigned_highest = keys[i];
    }
    run->assigned_live += count;
    if (model_below(part, 2) == 0) {
        omen_write_result result = {.struct_size = sizeof result};
        omen_batch gone = {.struct_size = sizeof gone, .count = count, .keys = keys};
        CHECK(part, omen_delete_batch(run->assigned, &gone, &result, NULL, &part->err) == OMEN_OK);
        CHECK(part, result.applied == count);
        run->assigned_live -= count;
    }
    uint64_t there = 0;
    CHECK(part, omen_count(run->assigned, &there, &part->err) == OMEN_OK);
    CHECK(part, there == run->assigned_live);
}

static void index_part(model_run *part)
{
    omen_stats stats = {.struct_size = sizeof stats};
    CHECK(part, omen_wait(part->c, 0, OMEN_WAIT_INDEXED, 0, NULL, &part->err) == OMEN_OK);
    CHECK(part, omen_get_stats(part->c, &stats, &part->err) == OMEN_OK);
    CHECK(part, stats.backlog_rows == 0 && stats.count == part->live);
}

static void optimize(disk_run *run, model_run *part)
{
    omen_stats stats = {.struct_size = sizeof stats};
    CHECK(part, omen_optimize(part->c, NULL, &part->err) == OMEN_OK);
    CHECK(part, omen_get_stats(part->c, &stats, &part->err) == OMEN_OK);
    CHECK(part, stats.count == part->live && stats.deleted == 0 && stats.backlog_rows == 0);
    model_read_only(part, part->c);
    (void)run;
}

static void checkpoint(disk_run *run, model_run *part)
{
    omen_db_stats stats = {.struct_size = sizeof stats};
    CHECK(part, omen_checkpoint(run->db, NULL, &part->err) == OMEN_OK);
    CHECK(part, omen_get_db_stats(run->db, &stats, &part->err) == OMEN_OK);
    CHECK(part, stats.state == OMEN_DB_WRITABLE);
    CHECK(part, stats.checkpoint_version >= part->version);
    CHECK(part, stats.durable_version >= part->version);
}

/* Drops a collection and makes one of another shape under its name. */
static void recreate(disk_run *run, uint32_t n)
{
    char name[16];
    model_run *part = disk_part(run, n);
    for (uint32_t i = 0; i < DISK_SNAPSHOTS; i++) {
        if (run->views[i].part == n % DISK_PARTS) {
            disk_forget(run, &run->views[i]);
        }
    }
    disk_reader_close(run);
    disk_part_name(n % DISK_PARTS, name);
    CHECK(part, omen_drop(run->db, name, &part->err) == OMEN_OK);
    uint64_t count = 0;
    CHECK(part, omen_count(part->c, &count, &part->err) == OMEN_NOT_FOUND);
    omen_collection_free(part->c);
    create_part(run, n % DISK_PARTS);
    model_scan(part, part->c);
}

static void execute_write(disk_run *run, const disk_op *op, model_run *part)
{
    memset(run->reader_has, 0, sizeof run->reader_has);
    switch (op->kind) {
    case OP_ADD:
        if (model_below(part, 6) == 0) {
            model_patch(part);
        } else {
            model_add(part);
        }
        break;
    case OP_BAD:
        model_add_bad(part);
        break;
    case OP_DELETE:
        if (model_below(part, 8) == 0) {
            model_delete_where(part);
        } else {
            model_delete(part);
        }
        break;
    case OP_REPEAT:
        model_repeat(part);
        break;
    default:
        assigned(run, part);
    }
}

static void execute_read(const disk_op *op, model_run *part)
{
    switch (op->kind) {
    case OP_GET:
        model_get(part, part->c);
        break;
    case OP_LOOKUP:
        model_lookup(part, part->c);
        break;
    case OP_EXACT:
        model_search(part, part->c, OMEN_EXACT);
        break;
    case OP_SEARCH:
        model_search(part, part->c, model_below(part, 2) == 0 ? 0 : OMEN_GRAPH_ONLY);
        break;
    case OP_SCAN:
        model_scan(part, part->c);
        model_read_fields(part, part->c);
        break;
    default:
        index_part(part);
    }
}

static void execute_rest(disk_run *run, const disk_op *op, model_run *part)
{
    switch (op->kind) {
    case OP_SNAPSHOT:
        disk_snapshot(run, op->part);
        break;
    case OP_LOOK_BACK:
        disk_look_back(run, (uint32_t)(op->seed % DISK_SNAPSHOTS));
        break;
    case OP_FORGET:
        disk_forget(run, &run->views[op->seed % DISK_SNAPSHOTS]);
        break;
    case OP_REOPEN:
        reopen(run, part);
        break;
    case OP_CHECKPOINT:
        checkpoint(run, part);
        break;
    case OP_OPTIMIZE:
        optimize(run, part);
        break;
    case OP_BACKUP:
        disk_backup(run);
        break;
    case OP_READER:
        disk_reader(run);
        break;
    case OP_REFRESH:
        disk_refresh(run);
        break;
    case OP_SAVE:
        disk_save(run, op->part);
        break;
    default:
        recreate(run, op->part);
    }
}

void disk_execute(disk_run *run, const disk_op *op)
{
    model_run *part = disk_part(run, op->part);
    for (uint32_t n = 0; n < DISK_PARTS; n++) { /* what an operation does depends on its own seed */
        run->parts[n].seed = op->seed;
        run->parts[n].rng = n;
        run->parts[n].op = run->progress != NULL ? *run->progress : 0;
        run->parts[n].what = disk_kind_names[op->kind];
    }
    if (op->kind <= OP_ASSIGNED) {
        execute_write(run, op, part);
    } else if (op->kind <= OP_INDEX) {
        execute_read(op, part);
    } else {
        execute_rest(run, op, part);
    }
}
