/* golden_make.c - writes the golden files of the current format into a folder. Run by hand once a
 * format is new; the files of older formats are never written again.
 * SPDX-License-Identifier: Apache-2.0 */
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

static omen_status_t make(omen_db *db, const golden_file *file, const char *dir, omen_error *err)
{
    const omen_options options = {.struct_size = sizeof options,
                                  .dim = GOLDEN_DIM,
                                  .metric = file->metric,
                                  .dtype = file->dtype,
                                  .id_type = file->id_type,
                                  .quantization = file->quantization,
                                  .m = 8};
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
    if (status != OMEN_OK) {
        fprintf(stderr, "%s: %.232s\n", omen_status_name(status), err.message);
    }
    omen_db_free(db);
    return status == OMEN_OK ? 0 : 1;
}
