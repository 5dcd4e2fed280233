/* model_past.c - what shows a database as it was: snapshots, readers, backups, saved files.
 * SPDX-License-Identifier: Apache-2.0 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model_disk.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void disk_remove(const char *path)
{
    if (path[0] != '\0') {
        (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

/* ---- Snapshots -------------------------------------------------------------------------------- */

void disk_forget(disk_run *run, disk_view *view)
{
    (void)run;
    omen_collection_free(view->c);
    free(view->model.items);
    memset(view, 0, sizeof *view);
}

void disk_snapshot(disk_run *run, uint32_t part)
{
    model_run *now = disk_part(run, part);
    disk_view *view = &run->views[model_below(now, DISK_SNAPSHOTS)];
    disk_forget(run, view);
    view->part = part % DISK_PARTS;
    view->model = *now;
    view->model.items = malloc(now->universe * sizeof *now->items);
    CHECK(now, view->model.items != NULL);
    memcpy(view->model.items, now->items, now->universe * sizeof *now->items);
    CHECK(now, omen_snapshot(now->c, &view->c, &now->err) == OMEN_OK);
    if (model_below(now, 3) == 0) {
        disk_look_back(run, (uint32_t)(view - run->views));
    }
}

/* It must be what it was, and refuse to be changed. */
void disk_look_back(disk_run *run, uint32_t which)
{
    disk_view *view = &run->views[which];
    if (view->c == NULL) {
        return;
    }
    model_run *m = &view->model;
    const model_run *now = &run->parts[view->part];
    m->seed = now->seed;
    m->rng = now->rng;
    m->op = now->op;
    m->wanted = 0;
    m->found = 0;
    model_read_only(m, view->c);
    m->what = "write to a snapshot";
    float row[MODEL_MAX_DIM] = {0};
    omen_batch batch = {.struct_size = sizeof batch, .count = 0, .vectors = row, .dim = m->dim};
    CHECK(m, omen_add_batch(view->c, &batch, NULL, NULL, &m->err) == OMEN_FAILED_PRECONDITION);
    CHECK(m, m->err.detail == OMEN_D_READ_ONLY);
}

/* ---- A reader beside the writer ----------------------------------------------------------------- */

static void wait_durable(disk_run *run)
{
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_run *part = &run->parts[n];
        CHECK(part, omen_wait(part->c, 0, OMEN_WAIT_DURABLE, 0, NULL, &part->err) == OMEN_OK);
    }
}

static void read_by_reader(disk_run *run)
{
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_read_only(&run->parts[n], run->reader_parts[n]);
    }
    memset(run->reader_has, 1, sizeof run->reader_has);
}

void disk_reader_close(disk_run *run)
{
    for (uint32_t n = 0; n < DISK_PARTS && run->reader != NULL; n++) {
        omen_collection_free(run->reader_parts[n]);
        run->reader_parts[n] = NULL;
    }
    omen_db_free(run->reader);
    run->reader = NULL;
}

void disk_reader(disk_run *run)
{
    char name[16];
    model_run *any = &run->parts[0];
    const omen_db_options options = {.struct_size = sizeof options, .flags = OMEN_DB_READ_ONLY};
    omen_db_stats stats = {.struct_size = sizeof stats};
    disk_reader_close(run);
    wait_durable(run);
    CHECK(any, omen_db_open(run->path, &options, &run->reader, &any->err) == OMEN_OK);
    CHECK(any, omen_get_db_stats(run->reader, &stats, &any->err) == OMEN_OK);
    CHECK(any, stats.state == OMEN_DB_OPENED_READ_ONLY);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        model_run *part = &run->parts[n];
        disk_part_name(n, name);
        CHECK(part,
              omen_open(run->reader, name, NULL, &run->reader_parts[n], &part->err) == OMEN_OK);
        omen_batch batch = {.struct_size = sizeof batch, .dim = part->dim};
        CHECK(part, omen_add_batch(run->reader_parts[n], &batch, NULL, NULL, &part->err) ==
                        OMEN_FAILED_PRECONDITION);
        CHECK(part, part->err.detail == OMEN_D_READ_ONLY);
    }
    read_by_reader(run);
}

void disk_refresh(disk_run *run)
{
    if (run->reader == NULL) {
        disk_reader(run);
        return;
    }
    model_run *any = &run->parts[0];
    uint32_t changed = 0;
    wait_durable(run);
    CHECK(any, omen_refresh(run->reader, &changed, &any->err) == OMEN_OK);
    read_by_reader(run);
}

/* ---- Copies ------------------------------------------------------------------------------------- */

/* A copy knows the batches of streams and the requests of the past, too. */
static void repeat_on_copy(model_run *part, omen_db *db, const char *name)
{
    omen_collection *own = part->c;
    uint64_t last_seq = 0;
    uint64_t epoch = 0;
    CHECK(part, omen_open(db, name, NULL, &part->c, &part->err) == OMEN_OK);
    CHECK(part, omen_stream_open(part->c, MODEL_STREAM, strlen(MODEL_STREAM), &last_seq, &epoch,
                                 &part->err) == OMEN_OK);
    CHECK(part, last_seq == part->last_seq);
    for (int i = 0; i < 8; i++) {
        model_repeat(part);
    }
    omen_collection_free(part->c);
    part->c = own;
}

static void compare_copy(disk_run *run, const char *path)
{
    char name[16];
    model_run *any = &run->parts[0];
    omen_db *db = NULL;
    bool read_only = model_below(any, 2) == 0;
    const omen_db_options options = {.struct_size = sizeof options,
                                     .flags = OMEN_DB_MUST_EXIST |
                                              (read_only ? (uint32_t)OMEN_DB_READ_ONLY : 0u)};
    CHECK(any, omen_db_open(path, &options, &db, &any->err) == OMEN_OK);
    disk_compare(run, db);
    for (uint32_t n = 0; n < DISK_PARTS && !read_only; n++) {
        disk_part_name(n, name);
        repeat_on_copy(&run->parts[n], db, name);
    }
    omen_db_free(db);
}

void disk_backup(disk_run *run)
{
    char path[DISK_PATH];
    char restored[DISK_PATH];
    model_run *any = &run->parts[0];
    (void)snprintf(path, sizeof path, "%s/backup-%u", run->folder, ++run->backups);
    (void)snprintf(restored, sizeof restored, "%s/restored", run->folder);
    bool next = run->backup[0] != '\0' && model_below(any, 2) == 0;
    const omen_backup_options options = {.struct_size = sizeof options,
                                         .flags = model_below(any, 2) == 0 ? OMEN_BACKUP_COPY : 0,
                                         .previous = next ? run->backup : NULL};
    omen_backup_result result = {.struct_size = sizeof result};
    omen_backup_result again = {.struct_size = sizeof again};
    CHECK(any, omen_backup(run->db, path, &options, &result, &any->err) == OMEN_OK);
    for (uint32_t n = 0; n < DISK_PARTS; n++) {
        CHECK(any, result.version >= run->parts[n].version);
    }
    disk_remove(run->backup); /* the newer one stands alone */
    (void)snprintf(run->backup, sizeof run->backup, "%s", path);
    CHECK(any, omen_verify(path, NULL, NULL, &any->err) == OMEN_OK);
    CHECK(any, omen_restore(path, restored, NULL, &again, &any->err) == OMEN_OK);
    CHECK(any, again.version == result.version);
    compare_copy(run, restored);
    disk_remove(restored);
}

/* One collection as a file, opened by a database in memory. */
void disk_save(disk_run *run, uint32_t n)
{
    char path[DISK_PATH];
    model_run *part = disk_part(run, n);
    omen_db *db = NULL;
    omen_collection *copy = NULL;
    (void)snprintf(path, sizeof path, "%s/saved.omen", run->folder);
    const omen_open_options options = {
        .struct_size = sizeof options, .flags = OMEN_OPEN_VERIFY, .file = path};
    CHECK(part, omen_save(part->c, path, NULL, &part->err) == OMEN_OK);
    CHECK(part, omen_db_open(NULL, NULL, &db, &part->err) == OMEN_OK);
    CHECK(part, omen_open(db, "copy", &options, &copy, &part->err) == OMEN_OK);
    model_read_only(part, copy);
    omen_collection_free(copy);
    omen_db_free(db);
    (void)unlink(path);
}
