/* golden_make.c - writes the golden files of the current format into a folder. Run by hand once a
 * format is new; the files of older formats are never written again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"

static omen_status_t write_rows(omen_collection *c, const golden_file *file, int first_time,
                                omen_error *err)
{
    static uint8_t rows[GOLDEN_ITEMS * GOLDEN_DIM * 4];
    size_t row = golden_row_bytes(file);
    for (uint32_t n = 0; n < GOLDEN_ITEMS; n++) {
        golden_bytes(file, first_time ? (n + 1) % GOLDEN_ITEMS : n, rows + n * row);
    }
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = GOLDEN_ITEMS,
                              .vectors = rows,
                              .dim = GOLDEN_DIM,
                              .ids = golden_column(file, 0, GOLDEN_ITEMS)};
    return omen_add_batch(c, &batch, NULL, NULL, err);
}

static omen_options options_of(const golden_file *file)
{
    return (omen_options){.struct_size = sizeof(omen_options),
                          .dim = GOLDEN_DIM,
                          .metric = file->metric,
                          .dtype = file->dtype,
                          .id_type = file->id_type,
                          .quantization = file->quantization,
                          .m = 8};
}

static omen_status_t make(omen_db *db, const golden_file *file, const char *dir, omen_error *err)
{
    const omen_options options = options_of(file);
    omen_collection *c = NULL;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file->name);
    omen_status_t status = omen_create(db, "golden", &options, &c, err);
    if (status != OMEN_OK) {
        return status;
    }
    status = write_rows(c, file, 1, err);
    if (status == OMEN_OK) {
        status = write_rows(c, file, 0, err);
    }
    if (status == OMEN_OK) {
        const omen_batch gone = {.struct_size = sizeof gone,
                                 .count = GOLDEN_DELETED,
                                 .ids = golden_column(file, 0, GOLDEN_DELETED)};
        status = omen_delete_batch(c, &gone, NULL, NULL, err);
    }
    if (status == OMEN_OK) {
        status = omen_save(c, path, NULL, err);
    }
    omen_collection_free(c);
    return status == OMEN_OK ? omen_drop(db, "golden", err) : status;
}

/* ---- A database --------------------------------------------------------------------------------- */
/* Items [first, last) as they shall be in the end, or (early) as those after them; seq 0: no stream. */
static omen_status_t put(omen_collection *c, const golden_file *file, uint32_t first, uint32_t last,
                         uint64_t seq, omen_error *err)
{
    static uint8_t rows[GOLDEN_ITEMS * GOLDEN_DIM * 4];
    size_t row = golden_row_bytes(file);
    for (uint32_t n = first; n < last; n++) {
        bool early = seq == 1 && n < GOLDEN_EARLY;
        golden_bytes(file, early ? n + 1 : n, rows + (n - first) * row);
    }
    const omen_batch batch = {.struct_size = sizeof batch,
                              .count = last - first,
                              .vectors = rows,
                              .dim = GOLDEN_DIM,
                              .ids = golden_column(file, first, last),
                              .stream_id = "golden-stream",
                              .stream_id_len = 13,
                              .seq = seq,
                              .request_id = seq == 2 ? "golden-request" : NULL,
                              .request_id_len = seq == 2 ? 14 : 0,
                              .crc = 0xC0FFEE};
    return omen_add_batch(c, &batch, NULL, NULL, err);
}

static omen_status_t erase(omen_collection *c, const golden_file *file, omen_error *err)
{
    const omen_batch gone = {.struct_size = sizeof gone,
                             .count = GOLDEN_DELETED,
                             .ids = golden_column(file, 0, GOLDEN_DELETED)};
    return omen_delete_batch(c, &gone, NULL, NULL, err);
}

/* A segment; some of its items again, which makes deaths in it and a second segment; deletes and some items
 * again, which are only in the log. */
static omen_status_t fill(omen_db *db, omen_collection *const *c, omen_error *err)
{
    omen_status_t status = OMEN_OK;
    for (int i = 0; status == OMEN_OK && i < GOLDEN_COLLECTIONS; i++) {
        status = put(c[i], golden_kinds[i], 0, GOLDEN_ITEMS, 1, err);
    }
    status = status == OMEN_OK ? omen_checkpoint(db, NULL, err) : status;
    for (int i = 0; status == OMEN_OK && i < GOLDEN_COLLECTIONS; i++) {
        status = put(c[i], golden_kinds[i], 0, GOLDEN_EARLY, 2, err);
    }
    status = status == OMEN_OK ? omen_checkpoint(db, NULL, err) : status;
    for (int i = 0; status == OMEN_OK && i < GOLDEN_COLLECTIONS; i++) {
        status = erase(c[i], golden_kinds[i], err);
        if (status == OMEN_OK) {
            status = put(c[i], golden_kinds[i], GOLDEN_ITEMS - 3, GOLDEN_ITEMS, 3, err);
        }
    }
    return status;
}

static omen_status_t make_backup(const char *dir, omen_error *err)
{
    char folder[1024], backup[1024];
    omen_db *db = NULL;
    omen_collection *c[GOLDEN_COLLECTIONS] = {NULL};
    const omen_backup_options copy = {.struct_size = sizeof copy, .flags = OMEN_BACKUP_COPY};
    (void)snprintf(folder, sizeof folder, "%s/making", dir);
    (void)snprintf(backup, sizeof backup, "%s/%s", dir, golden_backup);
    golden_remove(folder);
    golden_remove(backup);
    omen_status_t status = omen_db_open(folder, NULL, &db, err);
    for (int i = 0; status == OMEN_OK && i < GOLDEN_COLLECTIONS; i++) {
        const omen_options options = options_of(golden_kinds[i]);
        status = omen_create(db, golden_names[i], &options, &c[i], err);
    }
    status = status == OMEN_OK ? fill(db, c, err) : status;
    status = status == OMEN_OK ? omen_backup(db, backup, &copy, NULL, err) : status;
    for (int i = 0; i < GOLDEN_COLLECTIONS; i++) {
        omen_collection_free(c[i]);
    }
    omen_db_free(db);
    golden_remove(folder);
    return status;
}

int main(int argc, char **argv)
{
    omen_db *db = NULL;
    omen_error err;
    if (argc != 2) {
        fprintf(stderr, "usage: golden_make FOLDER\n");
        return 2;
    }
    omen_status_t status = omen_db_open(NULL, NULL, &db, &err);
    for (size_t i = 0; status == OMEN_OK && i < golden_count; i++) {
        status = make(db, &golden_files[i], argv[1], &err);
    }
    status = status == OMEN_OK ? make_backup(argv[1], &err) : status;
    if (status != OMEN_OK) {
        fprintf(stderr, "%s: %.232s\n", omen_status_name(status), err.message);
    }
    omen_db_free(db);
    return status == OMEN_OK ? 0 : 1;
}
